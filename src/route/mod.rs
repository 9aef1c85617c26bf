//! Stages 1 and 6 of the walk: which endpoint a request is for, and which providers get it.
//!
//! `table` maps method and path to an [`Endpoint`](table::Endpoint), once; everything after reads that value. `balance`
//! says in which order a call goes to the targets of a list that has weights.
//! Promises: paths match exactly or not at all, so what is authenticated, limited, logged and sent is the same path.
//! Does not: normalise, decode or rewrite a path, or look at `Host`.

pub mod balance;
pub mod table;

use crate::config::policy::{Policy, Targets};

/// Where calls for a model may go; an empty list where routing knows nothing.
pub fn targets<'p>(policy: &'p Policy, model: Option<&str>) -> &'p Targets {
    let rule = model.and_then(|model| policy.routing.models.iter().find(|rule| rule.pattern.matches(model)));
    rule.map_or(&policy.routing.default, |rule| &rule.to)
}

/// Whether no target can be chosen, or no body sent, without knowing the model.
pub fn needs_model(policy: &Policy) -> bool {
    !policy.routing.models.is_empty() || policy.routing.default.list.is_empty() || policy.routing.renames
}

/// A model pattern: `*` stands for any run of characters, everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// A pattern; any text is one.
    pub fn new(pattern: &str) -> Glob {
        Glob(pattern.to_owned())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` as a whole has this form. Linear in `text` for each `*`.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let mut last = None;
        for part in parts {
            if let Some(previous) = last.replace(part) {
                let Some(at) = rest.find(previous) else { return false };
                rest = &rest[at + previous.len()..];
            }
        }
        match last {
            None => rest.is_empty(),
            Some(end) => rest.ends_with(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn globs_match_whole_names() {
        let table = [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("claude-*", "claude-sonnet-5", true),
            ("claude-*", "claude", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-2", false),
            ("ft:*:acme:*", "ft:gpt-4o:acme::x", true),
            ("ft:*:acme:*", "ft:gpt-4o:other::x", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }
}
