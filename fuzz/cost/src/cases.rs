//! Inputs: a rule set, a frame of JSON, and a unit that is repeated in it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tollgate_redact::{
    Compare, CustomSpec, ENTITIES, Names, NamesSpec, Rules, RulesSpec, Schema, TermsSpec,
};

/// Bytes of a body that is measured.
pub const BODY_BYTES: usize = 24 << 10;

/// Rule sets by name.
pub const RULES: &[&str] =
    &["default", "all", "keys", "term", "custom", "restore", "everything", "names"];

/// The place of the default rules among them.
pub const DEFAULT: usize = 0;

/// Formats as those of the gateway are.
const CHAT: Schema = Schema { usage_option: true, store_option: true, ..Schema::REQUEST };
const RESPONSES: Schema = Schema { typed_items: true, store_option: true, ..Schema::REQUEST };

/// Frames by name: what stands before the units, between them and after them.
pub const FRAMES: &[(&str, Schema, &str, &str, &str)] = &[
    ("text", CHAT, r#"{"messages":[{"role":"user","content":""#, "", r#""}]}"#),
    ("list", CHAT, r#"{"messages":[],"x":["#, ",", "]}"),
    ("phones", CHAT, r#"{"messages":[],"x":{"phone_number_of_the_customer":["#, ",", "]}}"),
    ("object", CHAT, r#"{"messages":[],"x":{"#, ",", "}}"),
    ("data", CHAT, r#"{"messages":[],"metadata":{"#, ",", "}}"),
    ("parts", CHAT, r#"{"messages":[{"role":"user","content":["#, ",", "]}]}"),
    ("items", RESPONSES, r#"{"input":["#, ",", "]}"),
    ("other", Schema::UNKNOWN, "[", ",", "]"),
    (
        "nested",
        CHAT,
        r#"{"messages":[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"a\":\""#,
        "",
        r#"\"}"}}]}]}"#,
    ),
    ("deep", CHAT, DEEP.0, ",", DEEP.1),
];

const DEEP: (&str, &str) = {
    const NAME: &str = r#"{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":"#;
    (NAME, "}")
};
/// How often the parts of the frame `deep` are repeated.
const DEPTH: usize = 120;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub rules: usize,
    pub frame: usize,
    pub unit: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}", RULES[self.rules], FRAMES[self.frame].0, self.unit)
    }
}

impl Case {
    pub fn parse(line: &str) -> Case {
        let mut columns = line.splitn(3, '\t');
        let mut column = || {
            columns.next().unwrap_or_else(|| {
                panic!(
                    "three columns are needed: \
            {line}"
                )
            })
        };
        let (rules, frame) = (column(), column());
        Case {
            rules: RULES
                .iter()
                .position(|r| *r == rules)
                .unwrap_or_else(|| panic!("no rules `{rules}`")),
            frame: FRAMES
                .iter()
                .position(|f| f.0 == frame)
                .unwrap_or_else(|| panic!("no frame `{frame}`")),
            unit: column().to_owned(),
        }
    }

    /// A text in a message.
    pub fn text(rules: &str, text: &str) -> Case {
        let mut unit = String::with_capacity(text.len() + text.len() / 8);
        for c in text.chars() {
            match c {
                '\n' => unit.push_str("\\n"),
                '\t' => unit.push_str("\\t"),
                '"' | '\\' => unit.extend(['\\', c]),
                c => unit.push(c),
            }
        }
        Case::parse(&format!("{rules}\ttext\t{unit}"))
    }

    pub fn schema(&self) -> Schema {
        FRAMES[self.frame].1
    }

    /// The body: as many units as fit.
    pub fn body(&self) -> Vec<u8> {
        self.filled(BODY_BYTES)
    }

    /// A body with few units.
    pub fn few(&self) -> Vec<u8> {
        self.filled(self.unit.len() + 1)
    }

    fn filled(&self, bytes: usize) -> Vec<u8> {
        let (name, _, before, between, after) = FRAMES[self.frame];
        let depth = if name == "deep" { DEPTH } else { 1 };
        let mut body = String::with_capacity(bytes + 512);
        if name == "deep" {
            body.push_str(r#"{"messages":[],"x":"#);
            body.push_str(&before.repeat(depth));
            body.push('{');
        } else {
            body.push_str(before);
        }
        let units = body.len();
        while body.len() - units < bytes && !self.unit.is_empty() {
            if body.len() > units {
                body.push_str(between);
            }
            body.push_str(&self.unit);
        }
        if name == "deep" {
            body.push('}');
            body.push_str(&after.repeat(depth));
            body.push('}');
        } else {
            body.push_str(after);
        }
        body.into_bytes()
    }
}

/// Reads cases from a file; empty lines and lines that begin with `//` are left out.
pub fn read(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    text.lines().filter(|l| !l.is_empty() && !l.starts_with("//")).map(Case::parse).collect()
}

/// The compiled rule set.
pub fn rules(which: usize) -> Arc<Rules> {
    static COMPILED: OnceLock<Vec<Arc<Rules>>> = OnceLock::new();
    Arc::clone(
        &COMPILED.get_or_init(|| RULES.iter().map(|name| Arc::new(compile(name))).collect())[which],
    )
}

fn compile(name: &str) -> Rules {
    let entities = |n: usize| ENTITIES.iter().take(n).map(|e| (*e).to_owned()).collect::<Vec<_>>();
    let custom = |name: &str, pattern: &str| CustomSpec {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        replacement: format!("[{}]", name.to_uppercase()),
    };
    let words = |name: &str, words: &[&str]| TermsSpec {
        name: name.to_owned(),
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        replacement: format!("[{}]", name.to_uppercase()),
    };
    let mut spec = RulesSpec { entities: entities(2), ..RulesSpec::default() };
    match name {
        "all" => spec.entities = entities(ENTITIES.len()),
        "keys" => spec.entities.push("api_key".to_owned()),
        "term" => spec.terms = vec![words("project", &["falcon"])],
        "custom" => {
            spec.custom =
                vec![custom("employee", r"\bEMP-\d{6}\b"), custom("case", r"(?i)case\s*#?\d{4,8}")]
        }
        "names" => spec.names = names(),
        "restore" => (spec.restore, spec.restore_arguments) = (true, true),
        "everything" => {
            spec.entities = entities(ENTITIES.len());
            spec.terms = vec![
                words("project", &["falcon", "blue heron", "Жар-птица"]),
                words("vip", &["jane roe"]),
            ];
            spec.custom =
                vec![custom("employee", r"\bEMP-\d{6}\b"), custom("case", r"(?i)case\s*#?\d{4,8}")];
            spec.allow = vec![
                "support@example.com".to_owned(),
                "@example.org".to_owned(),
                "+18005550100".to_owned(),
            ];
            (spec.restore, spec.restore_arguments) = (true, true);
        }
        _ => {}
    }
    Rules::compile(&spec).expect("rules")
}

/// Lists of names that begin with one another, and of the longest that may be.
fn names() -> Vec<NamesSpec> {
    let rows = |word: &str, between: &str, end: &str| {
        let nested = (1..=6).map(|n| vec![word; n].join(between));
        let count = 1024 / (word.len() + between.len()) - 1;
        let long = (0..4).map(|n| [vec![word; count - n].join(between), end.to_owned()]);
        nested.chain(long.map(|parts| parts.join(between))).collect::<Vec<_>>().join("\n")
    };
    let list = |name: &str, lines: String, whole_words: bool| NamesSpec {
        name: name.to_owned(),
        names: Names::of_lines(&lines, Compare { case: false, whole_words }).expect("a list"),
        replacement: format!("[{}]", name.to_uppercase()),
    };
    let deep = (1..=6).map(|n| "alpha beta gamma delta epsilon zeta".split(' ').take(n).collect());
    let deep = deep.map(|words: Vec<_>| format!("{} end", words.join(" ")));
    let deep = deep.chain([rows("a", " ", "z")]).collect::<Vec<_>>().join("\n");
    vec![list("person", deep, true), list("part", rows("b", "", "c"), false)]
}
