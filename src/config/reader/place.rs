//! Places in configuration files, and the problems found there.
//!
//! Guarantees: a problem has a file, a line and a column; problems are printed in file order, each
//! once. Messages never quote a value of the environment or of a secret key (see `shape`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::live::{LiveFiles, find};
use crate::visible::visible;

/// A place in a configuration file, and the names that lead to it (`limits.orgs.acme`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Problems::files`]; `None` for a value that is built in.
    pub file: Option<usize>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub path: Arc<str>,
}

impl Place {
    /// No file at all: built-in defaults.
    pub fn built_in() -> Place {
        Place { file: None, line: 1, column: 1, path: Arc::from("") }
    }

    /// The same place, one name deeper.
    pub fn key(&self, name: &str) -> Place {
        let path =
            if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Place { path: Arc::from(path), ..self.clone() }
    }

    /// The same place, as an entry of the list there.
    pub fn entry(&self, index: usize) -> Place {
        Place { path: Arc::from(format!("{}[{index}]", self.path)), ..self.clone() }
    }

    /// The same names, at another line and column of the same file.
    pub fn moved(&self, line: u32, column: u32) -> Place {
        Place { line, column, ..self.clone() }
    }
}

/// One problem.
#[derive(Clone, Debug)]
struct Problem {
    at: Place,
    message: String,
}

/// All problems found. `Display` prints one `file:line:column: path: message` per line.
///
/// Every reader gets it, so it also holds the environment in which references are resolved, and the
/// files of secrets.
#[derive(Clone, Debug)]
pub struct Problems {
    files: Vec<String>,
    /// The texts of files, by their index.
    texts: Vec<Option<Arc<str>>>,
    list: Vec<Problem>,
    /// References to the environment that could not be resolved, where they are not problems yet.
    unresolved: Option<Vec<Problem>>,
    pub env: Environment,
    /// The files of secrets and certificates.
    pub live: LiveFiles,
    /// Where relative paths of such files are looked for first.
    pub folders: Vec<PathBuf>,
}

/// The beginning of the problem of a variable that is not set; its name follows.
pub(crate) const UNSET: &str = "environment variable ";

/// Reads a variable.
pub type Environment = fn(&str) -> Option<String>;

impl Default for Problems {
    fn default() -> Problems {
        Problems {
            files: Vec::new(),
            texts: Vec::new(),
            list: Vec::new(),
            unresolved: None,
            env: |name| std::env::var(name).ok(),
            live: LiveFiles::default(),
            folders: Vec::new(),
        }
    }
}

/// Whether a path is `outer` or below it.
pub(crate) fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Further problems are counted but not printed: a file of another kind has one in each line.
const PROBLEMS_MAX: usize = 200;

impl Problems {
    /// Names a file; its index goes into [`Place::file`].
    pub fn file(&mut self, name: &str) -> usize {
        self.files.push(name.to_owned());
        self.texts.push(None);
        self.files.len() - 1
    }

    /// Keeps the text of a file, for the lines that problems are about.
    pub fn keep_text(&mut self, file: usize, text: Arc<str>) {
        if let Some(kept) = self.texts.get_mut(file) {
            *kept = Some(text);
        }
    }

    /// The text of a file with this name.
    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        let at = self.files.iter().position(|file| file == name)?;
        self.texts.get(at)?.clone()
    }

    /// The path of a file that the configuration names.
    pub fn find(&self, given: &Path) -> PathBuf {
        find(given, &self.folders)
    }

    /// An empty list with the same environment, for problems that are not reported.
    pub fn apart(&self) -> Problems {
        Problems {
            files: Vec::new(),
            texts: Vec::new(),
            list: Vec::new(),
            unresolved: None,
            ..self.clone()
        }
    }

    /// Notes a problem.
    pub fn add(&mut self, at: &Place, message: impl Into<String>) {
        self.list.push(Problem { at: at.clone(), message: message.into() });
    }

    /// Whether there is a problem at or below a path.
    pub fn has_below(&self, path: &str) -> bool {
        self.list.iter().any(|problem| is_within(&problem.at.path, path))
    }

    /// From now on a reference that cannot be resolved is kept apart: it is a problem only if its
    /// value is used (see [`Problems::use_unresolved`]).
    pub fn keep_unresolved(&mut self) {
        self.unresolved.get_or_insert_default();
    }

    /// Notes a reference to the environment that cannot be resolved.
    pub fn unresolved(&mut self, at: &Place, message: impl Into<String>) {
        match &mut self.unresolved {
            Some(kept) => kept.push(Problem { at: at.clone(), message: message.into() }),
            None => self.add(at, message),
        }
    }

    /// Notes the unresolved references below the path `from` once more, for an alias at `to`.
    pub fn repeat_unresolved(&mut self, from: &str, to: &Place) {
        let Some(kept) = &mut self.unresolved else { return };
        let again: Vec<Problem> = kept
            .iter()
            .filter(|problem| is_within(&problem.at.path, from))
            .map(|problem| Problem { at: to.clone(), message: problem.message.clone() })
            .collect();
        kept.extend(again);
    }

    /// Whether the value at a path is a reference that cannot be resolved.
    pub fn is_unresolved(&self, path: &str) -> bool {
        let kept = self.unresolved.iter().flatten().chain(&self.list);
        kept.into_iter().any(|problem| &*problem.at.path == path)
    }

    /// Makes problems of the unresolved references at paths that are used.
    pub fn use_unresolved(&mut self, is_used: impl Fn(&str) -> bool) {
        let kept = self.unresolved.take().unwrap_or_default();
        self.list.extend(kept.into_iter().filter(|problem| is_used(&problem.at.path)));
    }

    /// The name of a file.
    pub fn name(&self, file: usize) -> Option<&str> {
        self.files.get(file).map(String::as_str)
    }

    /// The variable at a path that is not set and not used.
    pub fn unset_variable(&self, path: &str) -> Option<String> {
        let kept = self.unresolved.iter().flatten().find(|problem| &*problem.at.path == path)?;
        let name = kept.message.strip_prefix(UNSET)?.split(' ').next()?;
        Some(name.to_owned())
    }

    /// `file:line:column` of a place.
    pub fn show(&self, at: &Place) -> String {
        match at.file.and_then(|file| self.files.get(file)) {
            Some(file) => format!("{file}:{}:{}", at.line, at.column),
            None => "built-in default".to_owned(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there are more than are printed.
    pub fn is_cut(&self) -> bool {
        self.list.len() > PROBLEMS_MAX
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// One line for each problem, in file order, without repetitions.
    pub fn lines(&self) -> Vec<String> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|p| (p.at.file.unwrap_or(usize::MAX), p.at.line, p.at.column));
        let mut lines: Vec<String> = Vec::new();
        for problem in sorted {
            let path = if problem.at.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", problem.at.path)
            };
            // A key may hold anything; what is printed stays on its line and leaves the terminal
            // alone.
            let line = format!("{}: {path}{}", self.show(&problem.at), problem.message)
                .replace(char::is_control, " ");
            let line = visible(&line).into_owned();
            if !lines.contains(&line) {
                lines.push(line);
            }
            if lines.len() == PROBLEMS_MAX {
                break;
            }
        }
        lines
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str(line)?;
        }
        if self.count() > lines.len() && lines.len() == PROBLEMS_MAX {
            write!(f, "\n… {} problems in all", self.count())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The remedy for a word that is not known: the one of `known` that is close to it, else all.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let word = word.to_lowercase().replace('-', "_");
    let near = known
        .iter()
        // A longer word is not a typing error, and the distance takes time.
        .filter(|_| word.len() <= 64)
        .map(|k| (strsim::osa_distance(&word, k), *k))
        .filter(|(d, k)| *d <= (k.len().max(word.len()) / 3).max(1))
        .min_by_key(|(d, _)| *d);
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "configure one first".to_owned(),
        None => format!("choose from {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_listed() {
        let known = ["requests_per_minute", "burst", "strict", "orgs"];
        assert_eq!(suggest("request_per_minute", known), "did you mean `requests_per_minute`?");
        assert_eq!(suggest("requests-per-minute", known), "did you mean `requests_per_minute`?");
        assert_eq!(suggest("brust", known), "did you mean `burst`?");
        assert_eq!(
            suggest("tokens", known),
            "choose from requests_per_minute, burst, strict, orgs"
        );
    }

    #[test]
    fn problems_come_in_file_order_and_on_one_line() {
        let mut problems = Problems::default();
        let (a, b) = (problems.file("a.yaml"), problems.file("b.yaml"));
        let at = |file, line| Place { file: Some(file), line, column: 2, path: Arc::from("x.y") };
        problems.add(&at(b, 1), "third");
        problems.add(&at(a, 9), "second\nl\u{1b}in\u{202e}e");
        problems.add(&at(a, 2), "first");
        problems.add(&at(a, 2), "first");
        problems.add(&Place::built_in(), "last");
        assert_eq!(
            problems.to_string(),
            "a.yaml:2:2: x.y: first\na.yaml:9:2: x.y: second l in\u{fffd}e\nb.yaml:1:2: x.y: \
                third\nbuilt-in default: last"
        );
    }
}
