//! The problems of a configuration and the results of `--live` in the form that was asked for.
//!
//! Pure. Guarantees: every form has the same problems in the same order; JSON has the same members
//! for each of them; a line for GitHub is one line, whatever a value holds. Does not: find problems.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::live::Live;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
    /// Annotations of GitHub Actions.
    Github,
}

/// A problem, or something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    is_error: bool,
    file: Option<String>,
    line: u32,
    column: u32,
    end_column: Option<u32>,
    key: Option<String>,
    message: String,
    help: Option<String>,
}

/// The places of keys: file, line and column.
pub(crate) type Places = HashMap<String, (String, u32, u32)>;

impl Finding {
    /// A problem of the form `file:line:column: key: message; help`.
    pub(crate) fn error(text: &str, places: &Places) -> Finding {
        Finding::read(text, true, places)
    }

    /// A warning of the form `key: message; help`.
    pub(crate) fn warning(text: &str, places: &Places) -> Finding {
        Finding::read(text, false, places)
    }

    fn read(text: &str, is_error: bool, places: &Places) -> Finding {
        let (place, rest) = placed(text);
        let (key, rest) = match rest.split_once(": ") {
            Some((key, rest)) if !key.contains(' ') && !key.is_empty() => {
                (Some(key.to_owned()), rest)
            }
            _ => (None, rest),
        };
        let (message, help) = match rest.split_once("; ") {
            Some((message, help)) => (message, Some(help.to_owned())),
            None => (rest, None),
        };
        let known = key.as_ref().and_then(|key| place_of(key, places));
        let place = place.or(known);
        let end_column = place.as_ref().and_then(end_column);
        let (file, line, column) = match place {
            Some((file, line, column)) => (Some(file), line, column),
            None => (None, 1, 1),
        };
        let message = message.to_owned();
        Finding { is_error, file, line, column, end_column, key, message, help }
    }

    /// A word for the kind of problem.
    fn code(&self) -> &'static str {
        let message = &*self.message;
        match message {
            _ if !self.is_error => "risky_setting",
            _ if message.starts_with("unknown key") => "unknown_key",
            _ if message.contains("missing") || message.contains("not set") => "missing",
            _ if message.contains("cannot be read") => "unreadable",
            _ if message.starts_with("given twice") || message.starts_with("given beside") => {
                "conflict"
            }
            _ => "invalid_value",
        }
    }

    fn json(&self) -> Json {
        json!({
            "severity": if self.is_error { "error" } else { "warning" },
            "code": self.code(),
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "end_line": self.end_column.map(|_| self.line),
            "end_column": self.end_column,
            "key": self.key,
            "message": self.message,
            "help": self.help,
        })
    }

    fn github(&self) -> String {
        let text = match &self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message.clone(),
        };
        let command = if self.is_error { "error" } else { "warning" };
        let place = self.file.as_ref().map(|file| (file.as_str(), self.line, self.column));
        annotation(command, place, self.end_column, self.key.as_deref(), &text)
    }
}

/// `file:line:column` at the beginning of a line, and the rest.
fn placed(text: &str) -> (Option<(String, u32, u32)>, &str) {
    for (at, _) in text.match_indices(": ") {
        let mut parts = text[..at].rsplitn(3, ':');
        let (column, line, file) = (parts.next(), parts.next(), parts.next());
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
        if let (Some(column), Some(line), Some(file)) = (number(column), number(line), file) {
            return (Some((file.to_owned(), line, column)), &text[at + 2..]);
        }
    }
    (None, text.strip_prefix("built-in default: ").unwrap_or(text))
}

/// The place of a key, or of the nearest one around it.
fn place_of(key: &str, places: &Places) -> Option<(String, u32, u32)> {
    let mut key = key;
    loop {
        if let Some(place) = places.get(key) {
            return Some(place.clone());
        }
        key = key.rsplit_once(['.', '['])?.0;
    }
}

/// The column behind the value or the name that begins at a place.
fn end_column((file, line, column): &(String, u32, u32)) -> Option<u32> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().nth(usize::try_from(*line).ok()?.checked_sub(1)?)?;
    let rest: Vec<char> =
        line.chars().skip(usize::try_from(*column).ok()?.checked_sub(1)?).collect();
    let length = match rest.first()? {
        quote @ ('"' | '\'') => rest.iter().skip(1).position(|c| c == quote)? + 2,
        '[' | '{' | '-' | '&' | '*' | '!' | '|' | '>' => return None,
        _ => {
            let ends = |at: usize| match rest[at] {
                ',' | ']' | '}' => true,
                ':' => rest.get(at + 1).is_none_or(|next| *next == ' '),
                ' ' => rest.get(at + 1).is_none_or(|next| *next == '#'),
                _ => false,
            };
            (0..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len())
        }
    };
    u32::try_from(length).ok().filter(|length| *length > 0).map(|length| column + length)
}

/// A line that GitHub shows beside a line of a file.
fn annotation(
    command: &str,
    place: Option<(&str, u32, u32)>,
    end_column: Option<u32>,
    title: Option<&str>,
    text: &str,
) -> String {
    let mut parameters = Vec::new();
    if let Some((file, line, column)) = place {
        let file = file.strip_prefix("./").unwrap_or(file);
        parameters.push(format!("file={}", parameter(file)));
        parameters.push(format!("line={line},col={column}"));
    }
    if let Some(end) = end_column.filter(|_| place.is_some()) {
        parameters.push(format!("endColumn={end}"));
    }
    if let Some(title) = title {
        parameters.push(format!("title={}", parameter(title)));
    }
    let blank = if parameters.is_empty() { "" } else { " " };
    format!("::{command}{blank}{}::{}", parameters.join(","), escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn parameter(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

/// All of it in JSON.
pub(crate) fn json_of(
    version: Option<&str>,
    files: &[String],
    findings: &[Finding],
    live: Option<&[Live]>,
) -> String {
    let is_ok = !findings.iter().any(|finding| finding.is_error)
        && !live.unwrap_or_default().iter().any(Live::has_failed);
    let document = Document {
        version: 1,
        ok: is_ok,
        policy_version: version,
        files,
        problems: findings.iter().map(Finding::json).collect(),
        live: live.map(|live| live.iter().map(Live::json).collect()),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

/// The JSON form; its keys are in this order.
#[derive(serde::Serialize)]
struct Document<'a> {
    version: u32,
    ok: bool,
    policy_version: Option<&'a str>,
    files: &'a [String],
    problems: Vec<Json>,
    live: Option<Vec<Json>>,
}

/// All of it as annotations, errors first.
pub(crate) fn github_of(findings: &[Finding], live: &[Live], places: &Places) -> Vec<String> {
    let errors = findings.iter().filter(|finding| finding.is_error).map(Finding::github);
    let failed = live.iter().filter(|live| live.has_failed()).map(|live| {
        let place = place_of(&live.key, places);
        let end = place.as_ref().and_then(end_column);
        let place = place.as_ref().map(|(file, line, column)| (file.as_str(), *line, *column));
        annotation("error", place, end, Some(&live.key), &live.text())
    });
    let warnings = findings.iter().filter(|finding| !finding.is_error).map(Finding::github);
    errors.chain(failed).chain(warnings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_taken_apart() {
        let places = Places::from([("a.b".to_owned(), ("p.yaml".to_owned(), 3, 5))]);
        let told =
            Finding::error("dir/x.yaml:24:7: limits.burst: 0 is not allowed; give 1 to 9", &places);
        assert_eq!(
            told.json(),
            json!({"severity": "error", "code": "invalid_value", "file": "dir/x.yaml", "line": 24, "column": 7,
                "end_line": null, "end_column": null, "key": "limits.burst", "message": "0 is not allowed",
                "help": "give 1 to 9"})
        );
        let told = Finding::error("x.yaml:1:1: cannot be read: no; make it readable", &places);
        assert_eq!((told.key.clone(), told.code()), (None, "unreadable"));
        let told = Finding::warning("a.b.c: http: keys cross the network; give https", &places);
        assert_eq!(
            (told.file.as_deref(), told.line, told.code()),
            (Some("p.yaml"), 3, "risky_setting")
        );
        assert_eq!(told.message, "http: keys cross the network");
        let told = Finding::error("built-in default: empty", &places);
        assert_eq!((told.file.clone(), told.line, told.column), (None, 1, 1));
    }

    #[test]
    fn annotations_are_one_line_each() {
        let places = Places::new();
        let told = Finding::error("./p,1.yaml:2:3: a.b: 5% is\r\nwrong: x; give y", &places);
        assert_eq!(
            told.github(),
            "::error file=p%2C1.yaml,line=2,col=3,title=a.b::5%25 is%0D%0Awrong: x; give y"
        );
        assert_eq!(Finding::warning("no key here", &places).github(), "::warning::no key here");
    }

    #[test]
    fn the_end_of_a_value_is_read_from_its_file() {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("a.yaml");
        std::fs::write(&file, "a: {b: 'x, y', c: 12, d: e}  # f\ng: http://h:1/v1 # i\nj: [1]\n")
            .expect("write");
        let end = |line, column| end_column(&(file.display().to_string(), line, column));
        assert_eq!(
            [end(1, 1), end(1, 8), end(1, 19), end(1, 26)],
            [Some(2), Some(14), Some(21), Some(27)]
        );
        assert_eq!([end(2, 4), end(3, 4), end(9, 1)], [Some(17), None, None]);
    }
}
