//! YAML text to a tree of [`Node`]s.
//!
//! The only file that knows the YAML parser. It keeps scalars as they are written and does not
//! guess types: `no` stays `no`, `010` stays `010`. The key that reads a scalar decides on its
//! meaning. References to the environment are resolved here, in values only, after parsing.
//!
//! Guarantees: every duplicate key, unset variable and unsupported tag of a file is reported, not
//! just the first; a syntax error is one problem, because the rest of the file cannot be trusted.
//! Memory is bounded: an alias counts as the nodes that it stands for, and a file may have
//! [`NODES_MAX`] nodes. Does not support tags other than the core ones (`!!str`, `!!int` …),
//! several documents in one file, or keys that are not text.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::env::{self, EnvError};
use super::node::{Name, Node, Scalar, Value};
use super::place::{Place, Problems};

/// Nodes of one file. An alias counts as the nodes that it stands for.
const NODES_MAX: usize = 250_000;
/// Nesting of a file. The configuration itself needs six.
const DEPTH_MAX: usize = 32;
const NOT_YAML: &str = "not valid YAML";

/// Reads one file, whose index in `problems` is `file`. If it is not YAML, returns `None` and adds
/// the reason to `problems`.
pub(crate) fn parse(text: &str, file: Option<usize>, problems: &mut Problems) -> Option<Node> {
    let top = Place { file, ..Place::built_in() };
    let mut builder =
        Builder { parser: Parser::new_from_str(text), problems, anchors: HashMap::new(), nodes: 0 };
    match builder.document(&top) {
        Ok(node) => Some(node),
        Err(mut stop) => {
            if stop.message.starts_with(NOT_YAML) {
                let line =
                    text.lines().nth(stop.at.line.saturating_sub(1) as usize).unwrap_or_default();
                let remedy = remedy(&stop.message, line);
                stop.message.push_str(remedy);
            }
            if let Some((line, column)) = indenting_tab(text, stop.at.line) {
                stop.at = stop.at.moved(line, column);
                stop.message = format!("{NOT_YAML}: a tab indents this line; use spaces");
            }
            builder.problems.add(&stop.at, stop.message);
            None
        }
    }
}

/// The likeliest correction of a mistake, by what the parser says and the line where it stands.
fn remedy(message: &str, line: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match () {
        () if line.contains("${") => "; put quotes around a ${…} between { } or [ ]",
        () if says(&["mapping values"]) => {
            "; put quotes around a value that holds a colon, or indent the line as its neighbours"
        }
        () if says(&["anchor"]) => "; put quotes around a value that begins with * or &",
        () if says(&["':' indicator", "bracket", "flow"]) => {
            "; close the bracket that is open here or in a line before"
        }
        () => "; correct the syntax here or in the line before",
    }
}

/// The first tab among the spaces before a line's text, where it stands within two lines of a
/// mistake: the parser reports what was open before.
fn indenting_tab(text: &str, mistake: u32) -> Option<(u32, u32)> {
    let lines = (1..).zip(text.lines());
    let near = lines.skip_while(|(line, _)| line + 1 < mistake).take(3);
    let mut tabs = near.filter_map(|(line, text)| {
        let before = &text[..text.len() - text.trim_start_matches([' ', '\t']).len()];
        Some((line, u32::try_from(before.find('\t')? + 1).ok()?))
    });
    tabs.next()
}

/// A problem after which a file cannot be read on.
struct Stop {
    at: Place,
    message: String,
}

struct Builder<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    problems: &'a mut Problems,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

type Step<'a> = (Event<'a>, Span);

impl<'a> Builder<'a> {
    fn document(&mut self, top: &Place) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next(top)?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(Stop {
                        at: moved(top, &span),
                        message: "a second document in this file; remove the `---`".to_owned(),
                    });
                }
                _ => root = Some(self.node((event, span), top, 0)?),
            }
        }
        Ok(root.unwrap_or(Node { at: top.clone(), value: Value::Null }))
    }

    fn next(&mut self, at: &Place) -> Result<Step<'a>, Stop> {
        match self.parser.next() {
            Some(Ok(step)) => Ok(step),
            Some(Err(error)) => Err(syntax(at, &error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The node that begins with this event; `at` has its names, the event its line and column.
    fn node(&mut self, (event, span): Step<'a>, at: &Place, depth: usize) -> Result<Node, Stop> {
        let at = moved(at, &span);
        let first = self.nodes;
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(Stop {
                at,
                message: format!(
                    "nested too deeply; use at most {DEPTH_MAX} \
                levels"
                ),
            });
        }
        let (value, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, &at), anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.list(&at, depth)?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.map(&at, depth)?, anchor, tag),
            Event::Alias(anchor) => return self.alias(anchor, at),
            _ => return Err(Stop { at, message: "a value is missing; write one here".to_owned() }),
        };
        if self.nodes > NODES_MAX {
            return Err(Stop {
                at,
                message: format!(
                    "too many values; use at most {NODES_MAX} in \
                a file"
                ),
            });
        }
        let value = if tag.as_ref().is_some_and(|tag| !is_plain_tag(tag)) {
            self.problems.add(&at, "YAML tags (`!…`) have no meaning here; remove the tag");
            Value::Failed
        } else {
            value
        };
        let node = Node { at, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - first));
        }
        Ok(node)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, at: &Place) -> Value {
        if style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        match env::expand(text, self.problems.env) {
            Ok(None) => Value::Scalar(Scalar { text: text.to_owned(), reference: None }),
            Ok(Some(expanded)) => {
                Value::Scalar(Scalar { text: expanded, reference: Some(text.to_owned()) })
            }
            Err(error) => {
                match error {
                    EnvError::Unset(_) => self.problems.unresolved(at, error.to_string()),
                    EnvError::Open | EnvError::Name(_) => self.problems.add(at, error.to_string()),
                }
                Value::Failed
            }
        }
    }

    fn list(&mut self, at: &Place, depth: usize) -> Result<Value, Stop> {
        let mut nodes = Vec::new();
        loop {
            let step = self.next(at)?;
            match step.0 {
                Event::SequenceEnd => return Ok(Value::List(nodes)),
                Event::StreamEnd => return Err(unfinished(at)),
                _ => nodes.push(self.node(step, &at.entry(nodes.len()), depth + 1)?),
            }
        }
    }

    fn map(&mut self, at: &Place, depth: usize) -> Result<Value, Stop> {
        let mut entries: Vec<(Name, Node)> = Vec::new();
        let mut merged: Vec<(Name, Node)> = Vec::new();
        let mut seen: HashMap<String, u32> = HashMap::new();
        loop {
            let step = self.next(at)?;
            let key = match step.0 {
                Event::MappingEnd => break,
                Event::StreamEnd => return Err(unfinished(at)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => {
                    return Err(Stop {
                        at: moved(at, &step.1),
                        message: "not a plain key; write a name and a colon".to_owned(),
                    });
                }
            };
            let name = Name { at: moved(&at.key(&key), &step.1), text: key };
            let value_step = self.next(&name.at)?;
            // A value that is left out stands where its key stands.
            let empty = matches!(&value_step.0, Event::Scalar(_, ScalarStyle::Plain, ..))
                && value_step.1.start.index() == value_step.1.end.index();
            let mut node = self.node(value_step, &name.at, depth + 1)?;
            if empty {
                node.at = name.at.clone();
            }
            if name.text == "<<" {
                self.merge(node, &mut merged);
            } else if let Some(line) = seen.insert(name.text.clone(), name.at.line) {
                let message =
                    format!("given twice in the same mapping, first in line {line}; keep one");
                self.problems.add(&name.at, message);
            } else {
                entries.push((name, node));
            }
        }
        merged.retain(|(name, _)| !seen.contains_key(&name.text));
        entries.append(&mut merged);
        Ok(Value::Map(entries))
    }

    /// `<<: *base`: the names of `base` that are not given here. Of several bases the first that
    /// has a name counts.
    fn merge(&mut self, node: Node, merged: &mut Vec<(Name, Node)>) {
        match node.value {
            Value::Map(entries) => {
                for (name, value) in entries {
                    if !merged.iter().any(|(known, _)| known.text == name.text) {
                        merged.push((name, value));
                    }
                }
            }
            Value::List(nodes) => nodes.into_iter().for_each(|node| self.merge(node, merged)),
            Value::Failed => {}
            _ => self.problems.add(
                &node.at,
                "`<<` without a mapping; give it a mapping, or a \
                list of mappings",
            ),
        }
    }

    /// The value that an alias stands for, at the alias's own place.
    fn alias(&mut self, anchor: usize, at: Place) -> Result<Node, Stop> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Stop {
                at,
                message: "no anchor of this name ends before the alias; define it above".to_owned(),
            });
        };
        self.nodes += size;
        if self.nodes > NODES_MAX {
            return Err(Stop {
                at,
                message: format!(
                    "aliases stand for too many values; use at most {NODES_MAX} in \
                    a file"
                ),
            });
        }
        self.problems.repeat_unresolved(&node.at.path, &at);
        Ok(Node { at, value: node.value.clone() })
    }
}

fn moved(at: &Place, span: &Span) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    at.moved(number(span.start.line().max(1)), number(span.start.col()).saturating_add(1))
}

fn syntax(at: &Place, error: &ScanError) -> Stop {
    let marker = error.marker();
    let place = Place { file: at.file, ..Place::built_in() };
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Stop {
        at: place.moved(number(marker.line().max(1)), number(marker.col()).saturating_add(1)),
        message: format!("{NOT_YAML}: {}", error.info()),
    }
}

fn unfinished(at: &Place) -> Stop {
    Stop { at: at.clone(), message: format!("{NOT_YAML}: this does not end") }
}

/// The core tags (`!!str` and so on) are ignored: the key decides on the type.
fn is_plain_tag(tag: &Tag) -> bool {
    tag.handle() == "tag:yaml.org,2002:"
        && matches!(tag.suffix(), "str" | "int" | "float" | "bool" | "null" | "map" | "seq")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, String) {
        let mut problems = Problems::default();
        let file = problems.file("f.yaml");
        problems.env = |name| (name == "SET").then(|| "value: [x]".to_owned());
        let node = parse(text, Some(file), &mut problems);
        (node, problems.to_string())
    }

    /// The tree as one line: enough to compare.
    fn flat(node: &Node) -> String {
        let place = format!("@{}:{}", node.at.line, node.at.column);
        match &node.value {
            Value::Null => format!("null{place}"),
            Value::Failed => format!("failed{place}"),
            Value::Scalar(s) => format!("{:?}{place}", s.text),
            Value::List(nodes) => {
                format!("[{}]{place}", nodes.iter().map(flat).collect::<Vec<_>>().join(" "))
            }
            Value::Map(entries) => {
                let inner: Vec<String> =
                    entries.iter().map(|(k, v)| format!("{}={}", k.text, flat(v))).collect();
                format!("{{{}}}{place}", inner.join(" "))
            }
        }
    }

    #[test]
    fn every_value_knows_its_place_and_its_text() {
        let table = [
            ("", "null@1:1"),
            ("# only a comment\n", "null@1:1"),
            ("a: 1\nb: no\n", r#"{a="1"@1:4 b="no"@2:4}@1:1"#),
            ("a:\nb: ~\n", r#"{a=null@1:1 b=null@2:4}@1:1"#),
            ("a: [x, 'null']\n", r#"{a=["x"@1:5 "null"@1:8]@1:4}@1:1"#),
            ("a:\n  - b: 010\n", r#"{a=[{b="010"@2:8}@2:5]@2:3}@1:1"#),
            // The value of a variable is text, never structure.
            ("a: ${SET}\n", r#"{a="value: [x]"@1:4}@1:1"#),
            (
                "x: &x {p: 1, q: 2}\ny: {<<: *x, q: 3}\n",
                r#"{x={p="1"@1:11 q="2"@1:17}@1:7 y={q="3"@2:16 p="1"@1:11}@2:4}@1:1"#,
            ),
        ];
        for (text, expected) in table {
            let (node, problems) = read(text);
            assert_eq!(
                (node.as_ref().map(flat).as_deref(), problems.as_str()),
                (Some(expected), ""),
                "{text}"
            );
        }
    }

    #[test]
    fn all_problems_of_a_file_are_told() {
        let (node, problems) = read("a: 1\nb: ${UNSET}\na: 2\nc: !!python/object x\n");
        assert!(node.is_some());
        let lines: Vec<&str> = problems.lines().collect();
        assert_eq!(lines.len(), 3, "{problems}");
        assert!(
            lines[0].starts_with("f.yaml:2:4: b: environment variable UNSET is not set"),
            "{problems}"
        );
        assert!(lines[1].starts_with("f.yaml:3:1: a: given twice"), "{problems}");
        assert!(lines[2].starts_with("f.yaml:4:"), "{problems}");
    }

    #[test]
    fn what_is_no_yaml_has_a_place() {
        for (text, place) in [
            ("a: [1, 2\nb: 3\n", "f.yaml:2:"),
            ("a: 1\n\tb: 2\n", "f.yaml:2:1"),
            ("a: b: c\n", "f.yaml:1:"),
        ] {
            let (node, problems) = read(text);
            assert!(node.is_none() && problems.starts_with(place), "{text:?}: {problems}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let list = vec![format!("*a{}", i - 1); 9].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
        }
        for text in [
            bomb,
            "[".repeat(5_000),
            "- ".repeat(5_000),
            format!("a: &a [*a]\n{}", ""),
            "--- a\n--- b\n".into(),
        ] {
            let (node, problems) = read(&text);
            assert!(node.is_none() && !problems.is_empty(), "{:.40}: {problems}", text);
        }
    }
}
