//! A problem or a warning of a configuration, in each form in which it is shown.
//!
//! Pure. One renderer for `check`, the start, a reload and the operators' side: a line, a line with
//! the text that it is about, JSON, and an annotation for GitHub.
//!
//! Guarantees: every form has the same parts; a secret in a line of a file is masked; a form of one
//! line is one line, whatever a value holds. Does not: find problems.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::reader::place::Problems;
use super::reader::shape::{Kind, Section as _, SectionInfo};
use super::sections::{RawGateway, RawPolicy};
use crate::visible::visible;

/// Characters of a line of a file that are shown.
const SHOWN_MAX: usize = 160;

/// The places of keys: file, line and column.
pub(crate) type Places = HashMap<String, (String, u32, u32)>;
/// The text of a file.
pub(crate) type Texts<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A problem, or something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub(crate) is_error: bool,
    file: Option<String>,
    line: u32,
    column: u32,
    end_column: Option<u32>,
    key: Option<String>,
    message: String,
    help: Option<String>,
    excerpt: Option<Excerpt>,
}

/// The line of a file, with its secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// The characters that are underlined.
    from: usize,
    count: usize,
}

impl Diagnosis {
    /// A problem of the form `file:line:column: key: message; help`.
    pub(crate) fn error(text: &str, places: &Places, texts: Texts<'_>) -> Diagnosis {
        Diagnosis::read(text, true, places, texts)
    }

    /// A warning of the form `key: message; help`.
    pub(crate) fn warning(text: &str, places: &Places, texts: Texts<'_>) -> Diagnosis {
        Diagnosis::read(text, false, places, texts)
    }

    fn read(text: &str, is_error: bool, places: &Places, texts: Texts<'_>) -> Diagnosis {
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
        let source = place.as_ref().and_then(|(file, line, _)| line_of(&texts(file)?, *line));
        // The beginning of a file stands for all of it, unless the key begins there.
        let is_whole = matches!(&place, Some((_, 1, 1)))
            && key.as_ref().zip(source.as_ref()).is_some_and(|(key, source)| {
                let first = key.split(['.', '[']).next().unwrap_or_default();
                !source.trim_start_matches(['"', '\'']).starts_with(first)
            });
        let source = source.filter(|_| !is_whole);
        let length = match (&source, &place) {
            (Some(source), Some((_, _, column))) => value_length(source, *column),
            _ => None,
        };
        let end_column = length
            .and_then(|length| Some(place.as_ref()?.2.saturating_add(u32::try_from(length).ok()?)));
        let excerpt = source.zip(place.as_ref()).map(|(source, (_, _, column))| {
            excerpt(&source, *column as usize, length, key.as_deref().unwrap_or_default())
        });
        let (file, line, column) = match place {
            Some((file, line, column)) => (Some(file), line, column),
            None => (None, 1, 1),
        };
        let message = message.to_owned();
        Diagnosis { is_error, file, line, column, end_column, key, message, help, excerpt }
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

    /// `file:line:column: key: message; help`, or a warning.
    fn title(&self) -> String {
        let place = match &self.file {
            Some(file) => format!("{file}:{}:{}: ", self.line, self.column),
            None => String::new(),
        };
        let place = if self.is_error { place } else { "warning: ".to_owned() };
        let key = self.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        let help = self.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{place}{key}{}{help}", self.message)
    }

    /// The title and, below it, the line of the file with the place underlined.
    pub(crate) fn text(&self) -> String {
        let title = self.title();
        let Some(excerpt) = &self.excerpt else { return title };
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let place = match (&self.file, self.is_error) {
            // The title of a warning begins with its key.
            (Some(file), false) => format!("\n  {margin}--> {file}:{}:{}", self.line, self.column),
            _ => String::new(),
        };
        let gap = " ".repeat(excerpt.from);
        let mark = "^".repeat(excerpt.count);
        format!("{title}{place}\n  {number} | {}\n  {margin} | {gap}{mark}", visible(&excerpt.text))
    }

    /// One object of `check --format json`.
    pub(crate) fn json(&self) -> Json {
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
            "source": self.excerpt.as_ref().map(|excerpt| &excerpt.text),
        })
    }

    /// An annotation of GitHub.
    pub(crate) fn github(&self) -> String {
        let text = match &self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message.clone(),
        };
        let command = if self.is_error { "error" } else { "warning" };
        let place = self.file.as_ref().map(|file| (file.as_str(), self.line, self.column));
        annotation(command, place, self.end_column, self.key.as_deref(), &text)
    }
}

/// All problems, in the order of the files.
pub(crate) fn diagnoses(problems: &Problems) -> Vec<Diagnosis> {
    let texts = |file: &str| problems.text(file).map(|text| text.to_string());
    let places = Places::new();
    problems.lines().iter().map(|line| Diagnosis::error(line, &places, &texts)).collect()
}

/// All problems with the lines that they are about.
pub(crate) fn told(problems: &Problems) -> String {
    let list = diagnoses(problems);
    let mut text = list.iter().map(Diagnosis::text).collect::<Vec<_>>().join("\n");
    if problems.count() > list.len() && problems.is_cut() {
        text.push_str(&format!("\n… {} problems in all", problems.count()));
    }
    text
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
pub(crate) fn place_of(key: &str, places: &Places) -> Option<(String, u32, u32)> {
    let mut key = key;
    loop {
        if let Some(place) = places.get(key) {
            return Some(place.clone());
        }
        key = key.rsplit_once(['.', '['])?.0;
    }
}

fn line_of(text: &str, line: u32) -> Option<String> {
    text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?).map(str::to_owned)
}

/// The column behind the value or the name at a place.
pub(crate) fn end_column(
    (file, line, column): &(String, u32, u32),
    texts: Texts<'_>,
) -> Option<u32> {
    let length = value_length(&line_of(&texts(file)?, *line)?, *column)?;
    column.checked_add(u32::try_from(length).ok()?)
}

/// The length of the value or the name that begins at a column; `None` where it has none on this
/// line.
fn value_length(line: &str, column: u32) -> Option<usize> {
    let rest: Vec<char> =
        line.chars().skip(usize::try_from(column).ok()?.checked_sub(1)?).collect();
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
    (length > 0).then_some(length)
}

/// A line with its secrets masked, and where it is underlined.
fn excerpt(line: &str, column: usize, length: Option<usize>, key: &str) -> Excerpt {
    let chars: Vec<char> = line.chars().collect();
    let from = column.saturating_sub(1).min(chars.len());
    let to = (from + length.unwrap_or(1)).min(chars.len().max(from + 1));
    let mut shown = String::new();
    // Where the underlined characters come to stand.
    let (mut new_from, mut new_to) = (None, None);
    let hidden = hidden(&chars, key);
    let mut at = 0;
    while at < chars.len() {
        let count = shown.chars().count();
        if let Some((start, end)) = hidden.iter().find(|(start, _)| *start == at) {
            if (*start..*end).contains(&from) {
                new_from = Some(count);
            }
            shown.push_str("***");
            if (*start..*end).contains(&(to.saturating_sub(1))) {
                new_to = Some(count + 3);
            }
            at = *end;
            continue;
        }
        if at == from {
            new_from = Some(count);
        }
        shown.push(if chars[at] == '\t' { ' ' } else { chars[at] });
        at += 1;
        if at == to {
            new_to = Some(count + 1);
        }
    }
    let end = shown.chars().count();
    let (mut from, mut to) = (new_from.unwrap_or(end), new_to.unwrap_or(end + 1));
    // Of a long line the part around the place.
    if end > SHOWN_MAX {
        let first = from.saturating_sub(SHOWN_MAX / 2).min(end - SHOWN_MAX);
        shown = shown.chars().skip(first).take(SHOWN_MAX).collect();
        (from, to) = (from - first, (to - first).min(SHOWN_MAX));
    }
    Excerpt { text: shown.trim_end().to_owned(), from, count: to.saturating_sub(from).max(1) }
}

/// The parts of a line that are not shown: values of secret keys, passwords of URLs, comments, and
/// what looks like a secret where the key stands on another line.
fn hidden(chars: &[char], key: &str) -> Vec<(usize, usize)> {
    let text: String = chars.iter().collect();
    let mut parts = Vec::new();
    let last = key.rsplit('.').next().unwrap_or_default();
    let names = secret_names();
    let is_secret = |name: &str| names.contains(&name);
    let mut at = 0;
    while at < chars.len() {
        let begins_comment = chars[at] == '#' && (at == 0 || chars[at - 1].is_whitespace());
        if begins_comment {
            if at + 1 < chars.len() {
                parts.push((at + 1, chars.len()));
            }
            break;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = is_name(chars[at]) && (at == 0 || !is_name(chars[at - 1]));
        if starts {
            let end = (at..chars.len()).find(|i| !is_name(chars[*i])).unwrap_or(chars.len());
            let name: String = chars[at..end].iter().collect();
            let colon = (end..chars.len()).find(|i| !matches!(chars[*i], '"' | '\'' | ' '));
            if is_secret(&name) && colon.is_some_and(|i| chars[i] == ':') {
                let colon = colon.unwrap_or(end);
                let value = (colon + 1..chars.len()).find(|i| chars[*i] != ' ');
                if let Some(value) = value
                    && let Some(end) = value_end(chars, value)
                {
                    parts.push((value, end));
                    at = end;
                    continue;
                }
            }
            at = end;
            continue;
        }
        at += 1;
    }
    // An entry of a list of secrets, or a line in the middle of a value.
    let is_entry = last.split('[').next().is_some_and(is_secret) && last.contains('[');
    let trimmed = text.trim_start();
    let has_key = trimmed.contains(": ") || trimmed.ends_with(':');
    if parts.is_empty() && !trimmed.starts_with('#') && (is_entry || !has_key) {
        let start = chars.len() - trimmed.chars().count();
        let start = start + if trimmed.starts_with("- ") { 2 } else { 0 };
        let looks_secret = trimmed.split_whitespace().any(|word| {
            word.len() >= 20
                && word.chars().any(|c| c.is_ascii_digit())
                && word.chars().any(|c| c.is_ascii_alphabetic())
        });
        if start < chars.len() && (is_entry || looks_secret) && !trimmed.contains("${") {
            parts.push((start, chars.len()));
        }
    }
    parts.extend(passwords(&text, &parts));
    parts.sort_unstable();
    parts
}

/// The end of a secret that begins at a place; `None` where it may be seen: a reference, a file,
/// nothing.
fn value_end(chars: &[char], from: usize) -> Option<usize> {
    let rest: String = chars[from..].iter().collect();
    let is_open =
        ["${", "\"${", "'${", "{file", "{ file", "''", "\"\"", "null", "~", "[]", "|", ">", "#"]
            .iter()
            .any(|open| rest.starts_with(open));
    if is_open {
        return None;
    }
    let close = match chars[from] {
        '"' => Some('"'),
        '\'' => Some('\''),
        '[' => Some(']'),
        '{' => Some('}'),
        _ => None,
    };
    let end = match close {
        Some(close) => (from + 1..chars.len()).find(|i| chars[*i] == close).map(|i| i + 1),
        None => (from..chars.len()).find(|i| {
            matches!(chars[*i], ',' | '}' | ']')
                || chars[*i] == ' ' && chars.get(i + 1) == Some(&'#')
        }),
    };
    Some(end.unwrap_or(chars.len()))
}

/// The passwords of URLs.
fn passwords(text: &str, hidden: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = &text[start..];
        // A password may hold blanks and slashes, even if the URL is wrong then.
        let end = rest.find(['"', '\'', ',', '}', ']']).unwrap_or(rest.len());
        let Some(password_end) = rest[..end].rfind('@') else { continue };
        let user_end = rest[..password_end].find(':').map_or(0, |colon| colon + 1);
        let count = |bytes: usize| text[..bytes].chars().count();
        let part = (count(start + user_end), count(start + password_end));
        if part.0 < part.1 && !hidden.iter().any(|(from, to)| (*from..*to).contains(&part.0)) {
            found.push(part);
        }
    }
    found
}

/// The names of all keys with a value that is not shown.
fn secret_names() -> &'static [&'static str] {
    static NAMES: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| {
        // Names of customers and patterns for them are not shown either.
        let mut names = vec!["words", "allow", "pattern", "base64"];
        for info in [RawGateway::info(), RawPolicy::info()] {
            collect(&info, &mut names);
        }
        names.sort_unstable();
        names.dedup();
        names
    })
}

fn collect(info: &SectionInfo, names: &mut Vec<&'static str>) {
    for key in &info.keys {
        let mut kind = &key.kind;
        while let Kind::List(inner) | Kind::Or(_, inner) = kind {
            kind = inner;
        }
        match kind {
            Kind::Scalar(text) if text.starts_with("secret") => names.push(key.name),
            kind => {
                if let Some(info) = kind.section() {
                    collect(info, names);
                }
            }
        }
    }
}

/// A line that GitHub shows beside a line of a file.
pub(crate) fn annotation(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_problem_is_taken_apart() {
        let places = Places::from([("a.b".to_owned(), ("p.yaml".to_owned(), 3, 5))]);
        let text = "dir/x.yaml:24:7: limits.burst: 0 is not allowed; give 1 to 9";
        let told = Diagnosis::error(text, &places, &nothing);
        assert_eq!(
            told.json(),
            json!({"severity": "error", "code": "invalid_value", "file": "dir/x.yaml", "line": 24, "column": 7,
                "end_line": null, "end_column": null, "key": "limits.burst", "message": "0 is not allowed",
                "help": "give 1 to 9", "source": null})
        );
        assert_eq!(told.text(), text);
        let text = "x.yaml:1:1: cannot be read: no; make it readable";
        let told = Diagnosis::error(text, &places, &nothing);
        assert_eq!((told.key.clone(), told.code()), (None, "unreadable"));
        let text = "a.b.c: http: keys cross the network; give https";
        let told = Diagnosis::warning(text, &places, &nothing);
        assert_eq!(
            (told.file.as_deref(), told.line, told.code()),
            (Some("p.yaml"), 3, "risky_setting")
        );
        assert_eq!(told.message, "http: keys cross the network");
        let told = Diagnosis::error("built-in default: empty", &places, &nothing);
        assert_eq!((told.file.clone(), told.line, told.column), (None, 1, 1));
    }

    #[test]
    fn annotations_are_one_line_each() {
        let places = Places::new();
        let text = "./p,1.yaml:2:3: a.b: 5% is\r\nwrong: x; give y";
        assert_eq!(
            Diagnosis::error(text, &places, &nothing).github(),
            "::error file=p%2C1.yaml,line=2,col=3,title=a.b::5%25 is%0D%0Awrong: x; give y"
        );
        let told = Diagnosis::warning("no key here", &places, &nothing);
        assert_eq!(told.github(), "::warning::no key here");
    }

    #[test]
    fn the_end_of_a_value_is_read_from_its_file() {
        let text = "a: {b: 'x, y', c: 12, d: e}  # f\ng: http://h:1/v1 # i\nj: [1]\n";
        let texts = |_: &str| Some(text.to_owned());
        let end = |line, column| end_column(&("a.yaml".to_owned(), line, column), &texts);
        assert_eq!(
            [end(1, 1), end(1, 8), end(1, 19), end(1, 26)],
            [Some(2), Some(14), Some(21), Some(27)]
        );
        assert_eq!([end(2, 4), end(3, 4), end(9, 1)], [Some(17), None, None]);
    }

    #[test]
    fn the_line_is_underlined_and_has_no_secret() {
        let check = |line: &str, column: u32, key: &str, shown: &str, mark: &str| {
            let texts = |_: &str| Some(line.to_owned());
            let text = format!("a.yaml:1:{column}: {key}: wrong; give more");
            let told = Diagnosis::error(&text, &Places::new(), &texts).text();
            assert_eq!(told, format!("{text}\n  1 | {shown}\n    | {mark}"));
        };
        check("burst: 0", 8, "limits.burst", "burst: 0", "       ^");
        check("a: {b: zero, c: 1}", 8, "a.b", "a: {b: zero, c: 1}", "       ^^^^");
        check(
            "p: {api_key: sk-secret, base_url: ftp://x}",
            35,
            "p.base_url",
            "p: {api_key: ***, base_url: ftp://x}",
            "                            ^^^^^^^",
        );
        check("secret: hunter2", 9, "auth.jwt.secret", "secret: ***", "        ^^^");
        check("secret: \"${KEY}\"", 9, "auth.jwt.secret", "secret: \"${KEY}\"", "        ^^^^^^^^");
        check("- hunter2", 3, "auth.jwt.secrets[0]", "- ***", "  ^^^");
        check(
            "secrets: [hunter2, hunter3]",
            11,
            "auth.jwt.secrets[0]",
            "secrets: ***",
            "         ^^^",
        );
        check(
            "limits_store: redis://bob:hunter2@h:1",
            15,
            "limits_store",
            "limits_store: redis://bob:***@h:1",
            "              ^^^^^^^^^^^^^^^^^^^",
        );
        check(
            "proxy: \"http://u:hu sh/x@h\"",
            8,
            "p.proxy",
            "proxy: \"http://u:***@h\"",
            "       ^^^^^^^^^^^^^^^^",
        );
        check("burst: 0 # was sk-secret", 8, "limits.burst", "burst: 0 #***", "       ^");
        check("  s3cr3tw0rd0fth1rtycharacters", 3, "x", "  ***", "  ^^^");
        check("words: [Falcon, Heron]", 8, "redaction.terms", "words: ***", "       ^^^");
        check("a:", 3, "a", "a:", "  ^");
    }
}
