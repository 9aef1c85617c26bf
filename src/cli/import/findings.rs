//! The result of the import for each key.
//!
//! Pure. Guarantees: every key of the input has a finding of its own path, but for those below a
//! key that is unsupported, or that holds one unit.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::tree::At;

/// How well a key is carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Exact,
    Approximate,
    Unsupported,
}

/// The result of the import for a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) status: Status,
    pub(crate) path: String,
    pub(crate) line: u32,
    /// The key of the policy.
    pub(crate) to: Option<String>,
    pub(crate) message: String,
}

/// The findings so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    by_path: HashMap<String, Vec<Finding>>,
    /// Paths whose finding stands for all that is below them.
    units: HashSet<String>,
}

impl Findings {
    pub(crate) fn exact(&mut self, at: &At<'_>, to: &str) {
        self.note(at, Status::Exact, Some(to), "");
    }

    pub(crate) fn approximate(&mut self, at: &At<'_>, to: &str, message: &str) {
        self.note(at, Status::Approximate, Some(to), message);
    }

    pub(crate) fn unsupported(&mut self, at: &At<'_>, message: &str) {
        self.note(at, Status::Unsupported, None, message);
    }

    /// The finding of this path stands for all that is below it.
    pub(crate) fn unit(&mut self, at: &At<'_>) {
        self.units.insert(at.path.clone());
    }

    fn note(&mut self, at: &At<'_>, status: Status, to: Option<&str>, message: &str) {
        let (path, to) = (at.path.clone(), to.map(str::to_owned));
        let finding = Finding { status, path, line: at.line, to, message: message.to_owned() };
        let here = self.by_path.entry(at.path.clone()).or_default();
        if !here.contains(&finding) {
            here.push(finding);
        }
    }

    /// All findings in the order of the input, with one for each key that nobody has looked at.
    pub(crate) fn finish(mut self, top: &At<'_>) -> Vec<Finding> {
        let mut out = Vec::new();
        self.walk(top, &mut out);
        out
    }

    fn walk(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        for (_, at) in at.entries() {
            self.key(&at, out);
        }
        for at in at.list() {
            // An entry is no key, but may have a finding, such as a model that is left out.
            let found = self.by_path.remove(&at.path).unwrap_or_default();
            let is_over = found.iter().any(|f| f.status == Status::Unsupported);
            out.extend(found);
            if !is_over {
                self.walk(&at, out);
            }
        }
    }

    fn key(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let found = self.by_path.remove(&at.path).unwrap_or_default();
        let is_over = found.iter().any(|finding| finding.status == Status::Unsupported)
            || self.units.contains(&at.path);
        let has_keys = has_keys(at);
        let here = out.len();
        let is_new = found.is_empty();
        out.extend(found);
        if has_keys && !is_over && (!is_new || self.has_below(at)) {
            self.walk(at, out);
            if is_new {
                let message = "its keys have findings of their own";
                out.insert(here, finding(at, Status::Exact, message));
            }
        } else if is_new {
            let (status, message) = match at.is_null() {
                true => (Status::Exact, "it has no value"),
                false => (Status::Unsupported, "Tollgate has nothing like it; leave it out"),
            };
            out.push(finding(at, status, message));
        }
    }

    fn has_below(&self, at: &At<'_>) -> bool {
        let is_below = |path: &str| {
            path.strip_prefix(at.path.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        self.by_path.keys().any(|path| is_below(path))
    }
}

fn finding(at: &At<'_>, status: Status, message: &str) -> Finding {
    let (path, message) = (at.path.clone(), message.to_owned());
    Finding { status, path, line: at.line, to: None, message }
}

/// Whether there are keys below it.
fn has_keys(at: &At<'_>) -> bool {
    !at.entries().is_empty() || at.list().iter().any(has_keys)
}
