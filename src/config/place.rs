//! Where a value stands, and everything that is wrong with a configuration.
//!
//! Promises: problems are kept with file, line and column and printed in file order, each once. Messages never quote a
//! value that came from the environment, nor one of a secret key (see `shape`).

use std::fmt;
use std::sync::Arc;

use crate::visible::visible;

/// A place in a configuration file, and the names that lead to it (`limits.orgs.acme`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index into [`Problems::files`]; `None` for a value that is built in.
    pub(super) file: Option<usize>,
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
    pub(super) path: Arc<str>,
}

impl Place {
    /// No file at all: built-in defaults.
    pub(super) fn built_in() -> Place {
        Place { file: None, line: 1, column: 1, path: Arc::from("") }
    }

    /// The same place, one name deeper.
    pub(super) fn key(&self, name: &str) -> Place {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Place { path: Arc::from(path), ..self.clone() }
    }

    /// The same place, as an entry of the list there.
    pub(super) fn entry(&self, index: usize) -> Place {
        Place { path: Arc::from(format!("{}[{index}]", self.path)), ..self.clone() }
    }

    /// The same names, at another line and column of the same file.
    pub(super) fn moved(&self, line: u32, column: u32) -> Place {
        Place { line, column, ..self.clone() }
    }
}

/// One thing that has to be changed.
#[derive(Clone, Debug)]
struct Problem {
    at: Place,
    message: String,
}

/// Everything that is wrong. `Display` prints one `file:line:column: path: message` a line.
///
/// It is handed down the whole reading, and so carries the environment that references are resolved in.
#[derive(Clone, Debug)]
pub(crate) struct Problems {
    files: Vec<String>,
    list: Vec<Problem>,
    pub(super) env: Environment,
}

/// Reads a variable.
pub(super) type Environment = fn(&str) -> Option<String>;

impl Default for Problems {
    fn default() -> Problems {
        Problems { files: Vec::new(), list: Vec::new(), env: |name| std::env::var(name).ok() }
    }
}

/// More than this many are counted, not printed: a file of the wrong kind has as many as it has lines.
const PROBLEMS_MAX: usize = 200;

impl Problems {
    /// Names a file; its index goes into [`Place::file`].
    pub(super) fn file(&mut self, name: &str) -> usize {
        self.files.push(name.to_owned());
        self.files.len() - 1
    }

    /// Others with the same environment, for what is not to be told.
    pub(super) fn apart(&self) -> Problems {
        Problems { files: Vec::new(), list: Vec::new(), env: self.env }
    }

    /// Notes a problem.
    pub(super) fn add(&mut self, at: &Place, message: impl Into<String>) {
        self.list.push(Problem { at: at.clone(), message: message.into() });
    }

    /// `file:line:column` of a place.
    pub(super) fn show(&self, at: &Place) -> String {
        match at.file.and_then(|file| self.files.get(file)) {
            Some(file) => format!("{file}:{}:{}", at.line, at.column),
            None => "built-in default".to_owned(),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// One line for each, in file order; a problem that was found twice is said once.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|p| (p.at.file.unwrap_or(usize::MAX), p.at.line, p.at.column));
        let mut lines: Vec<String> = Vec::new();
        for problem in sorted {
            let path = if problem.at.path.is_empty() { String::new() } else { format!("{}: ", problem.at.path) };
            // A key may hold anything; what is printed stays on its line and leaves the terminal alone.
            let line = format!("{}: {path}{}", self.show(&problem.at), problem.message).replace(char::is_control, " ");
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

/// ` Did you mean …?` where one of `known` is close to `word`, else the whole list if it is short.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|k| (distance(&word.to_lowercase().replace('-', "_"), k), *k))
        .filter(|(d, k)| *d <= (k.len().max(word.len()) / 3).max(1))
        .min_by_key(|(d, _)| *d);
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there is nothing to choose from".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Edits (insert, delete, replace, swap neighbours) from `a` to `b`; words beyond 64 characters count as far apart.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > 64 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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
        assert_eq!(suggest("tokens", known), "known here: requests_per_minute, burst, strict, orgs");
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abcd", "acbd"), 1);
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
            "a.yaml:2:2: x.y: first\na.yaml:9:2: x.y: second l in\u{fffd}e\nb.yaml:1:2: x.y: third\nbuilt-in default: last"
        );
    }
}
