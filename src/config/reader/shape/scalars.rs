//! Scalars: switches, numbers, texts, secrets, paths, and values with a unit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::node::{Node, Scalar, Value};
use super::super::place::Problems;
use super::super::values;
use super::{Kind, Shape};
use crate::ids::{OrgId, Secret};
use crate::money::decimal;

/// The scalar in a node; a problem where it is something else.
pub fn scalar<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a Scalar> {
    match &node.value {
        Value::Scalar(scalar) => return Some(scalar),
        Value::Failed => {}
        Value::Null => problems.add(&node.at, format!("empty; give {what}")),
        Value::List(_) => problems.add(&node.at, format!("a list; give {what} instead")),
        Value::Map(_) => problems.add(&node.at, format!("a mapping; give {what} instead")),
    }
    None
}

/// A scalar as messages may show it: what the file says, never what the environment holds.
pub fn shown(scalar: &Scalar) -> String {
    let text: String =
        scalar.reference.as_deref().unwrap_or(&scalar.text).chars().take(80).collect();
    if scalar.reference.is_some() { format!("the value of `{text}`") } else { format!("`{text}`") }
}

/// Reads a scalar with a function that returns the rest of the problem's sentence:
/// `is not …; write …`.
fn parsed<T>(
    node: &Node,
    what: &str,
    problems: &mut Problems,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let scalar = scalar(node, what, problems)?;
    read(scalar.text.trim())
        .map_err(|reason| problems.add(&node.at, format!("{} {reason}", shown(scalar))))
        .ok()
}

impl Shape for bool {
    fn read(node: &Node, problems: &mut Problems) -> Option<bool> {
        let from_env = matches!(&node.value, Value::Scalar(scalar) if scalar.reference.is_some());
        parsed(node, "`true` or `false`", problems, |text| {
            match text.to_ascii_lowercase().as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                // The words people set variables to.
                "1" | "yes" | "on" if from_env => Ok(true),
                "0" | "no" | "off" if from_env => Ok(false),
                _ => Err("is neither true nor false; write one of them".to_owned()),
            }
        })
    }
    fn json(&self) -> Json {
        json!(self)
    }
    fn schema() -> Json {
        // A reference to the environment is text to an editor.
        json!({"anyOf": [{"type": "boolean"}, {"type": "string"}]})
    }
    fn kind() -> Kind {
        Kind::Scalar("true or false")
    }
}

macro_rules! whole {
    ($($ty:ty),*) => { $(
        impl Shape for $ty {
            fn read(node: &Node, problems: &mut Problems) -> Option<$ty> {
                parsed(node, "a whole number", problems, |text| {
                    let are_digits =
                        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                    let reason = || match text.strip_prefix('-') {
                        Some(rest) if are_digits(rest) => "is negative; write 0 or more".to_owned(),
                        None if are_digits(text) => {
                            format!("is too large; write at most {}", <$ty>::MAX)
                        }
                        _ => "is not a whole number; write 0 or more".to_owned(),
                    };
                    values::whole(text).and_then(|n| <$ty>::try_from(n).ok()).ok_or_else(reason)
                })
            }
            fn json(&self) -> Json {
                json!(self)
            }
            fn schema() -> Json {
                json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "\\$\\{"}]})
            }
            fn kind() -> Kind {
                Kind::Scalar("whole number")
            }
        }
    )* };
}
whole!(u32, u64, usize);

impl Shape for f64 {
    fn read(node: &Node, problems: &mut Problems) -> Option<f64> {
        parsed(node, "a number", problems, |text| {
            let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            text.parse()
                .ok()
                .filter(|n: &f64| plain && n.is_finite())
                .ok_or_else(|| "is not a number; write e.g. 0.5".to_owned())
        })
    }
    fn json(&self) -> Json {
        json!(self)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "\\$\\{"}]})
    }
    fn kind() -> Kind {
        Kind::Scalar("number")
    }
}

impl Shape for String {
    fn read(node: &Node, problems: &mut Problems) -> Option<String> {
        Some(scalar(node, "text", problems)?.text.clone())
    }
    fn json(&self) -> Json {
        json!(mask_url(self))
    }
    fn schema() -> Json {
        // Numbers are taken as the text they are written as: `org: 4711`.
        json!({"type": ["string", "number", "boolean"]})
    }
    fn kind() -> Kind {
        Kind::Scalar("text")
    }
}

/// The password of a URL, masked.
fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let Some(at) = authority.rfind('@') else { return text.to_owned() };
    match authority[..at].split_once(':') {
        Some((user, _)) if !user.is_empty() => format!("{scheme}://{user}:***{}", &rest[at..]),
        _ => format!("{scheme}://***{}", &rest[at..]),
    }
}

/// A secret as it is written: text, or the path of its file.
pub enum Written<'n> {
    Text(&'n str),
    File(PathBuf),
}

/// A secret that is text or `{file: PATH}`.
pub fn written<'n>(node: &'n Node, problems: &mut Problems) -> Option<Written<'n>> {
    let Value::Map(entries) = &node.value else {
        return Some(Written::Text(&scalar(node, "text, or {file: PATH}", problems)?.text));
    };
    match entries.as_slice() {
        [(name, value)] if name.text == "file" => {
            PathBuf::read(value, problems).map(|path| Written::File(problems.find(&path)))
        }
        [(name, _)] => {
            problems.add(&name.at, "unknown key; write {file: PATH}, or the secret as text");
            None
        }
        _ => {
            problems.add(&node.at, "not a single key; write {file: PATH}, or the secret as text");
            None
        }
    }
}

/// A secret of a file. One that cannot be read is a problem only for commands that use it.
pub fn of_file<T: Default>(node: &Node, read: Result<T, String>, problems: &mut Problems) -> T {
    read.unwrap_or_else(|reason| {
        problems.unresolved(&node.at, reason);
        T::default()
    })
}

/// The JSON Schema of a secret.
pub fn secret_schema() -> Json {
    json!({"anyOf": [
        {"type": ["string", "number"]},
        {"type": "object", "required": ["file"], "additionalProperties": false,
         "properties": {"file": {"type": "string"}}},
    ]})
}

/// A secret as operators see it.
pub fn masked(file: Option<&Path>, is_empty: bool) -> Json {
    match file {
        Some(file) => json!({"file": file.to_string_lossy()}),
        None => json!(if is_empty { "" } else { "***" }),
    }
}

impl Shape for Secret {
    fn read(node: &Node, problems: &mut Problems) -> Option<Secret> {
        Some(match written(node, problems)? {
            Written::Text(text) => Secret::new(text),
            Written::File(path) => of_file(node, Secret::of_file(&problems.live, path), problems),
        })
    }
    fn json(&self) -> Json {
        masked(self.file(), self.is_empty())
    }
    fn schema() -> Json {
        secret_schema()
    }
    fn kind() -> Kind {
        Kind::Scalar("secret, or `{file: PATH}`")
    }
}

impl Shape for PathBuf {
    fn read(node: &Node, problems: &mut Problems) -> Option<PathBuf> {
        parsed(node, "a path", problems, |text| match text {
            "" => Err("is empty; give a path".to_owned()),
            _ => Ok(PathBuf::from(text)),
        })
    }
    fn json(&self) -> Json {
        json!(self.to_string_lossy())
    }
    fn schema() -> Json {
        json!({"type": "string"})
    }
    fn kind() -> Kind {
        Kind::Scalar("path")
    }
}

impl Shape for Duration {
    fn read(node: &Node, problems: &mut Problems) -> Option<Duration> {
        parsed(node, "a duration", problems, values::duration)
    }
    fn json(&self) -> Json {
        json!(values::show_duration(*self))
    }
    fn schema() -> Json {
        json!({"type": "string", "pattern": "^[0-9_]+ ?(ms|s|m|min|h|d)$|\\$\\{"})
    }
    fn kind() -> Kind {
        Kind::Scalar("duration")
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size<N = u64>(pub(crate) N);

/// A type that counts bytes.
pub trait Bytes: Copy {
    /// `None` if there are too many.
    fn of(count: u64) -> Option<Self>;
    /// The number of bytes.
    fn count(self) -> u64;
}

impl Bytes for u64 {
    fn of(count: u64) -> Option<u64> {
        Some(count)
    }
    fn count(self) -> u64 {
        self
    }
}

impl Bytes for usize {
    fn of(count: u64) -> Option<usize> {
        usize::try_from(count).ok()
    }
    fn count(self) -> u64 {
        self as u64
    }
}

impl<N: Bytes> Shape for Size<N> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Size<N>> {
        let count = |text: &str| {
            values::size(text).and_then(|n| N::of(n).ok_or_else(|| values::TOO_LARGE.to_owned()))
        };
        parsed(node, "a size", problems, count).map(Size)
    }
    fn json(&self) -> Json {
        json!(values::show_size(self.0.count()))
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "string", "pattern": "^[0-9_]+ \
            ?(B|[KMG]iB|[kKMG]B)?$|\\$\\{"}, {"type": "integer", "minimum": 0}]})
    }
    fn kind() -> Kind {
        Kind::Scalar("size")
    }
}

/// USD (for prices: per million tokens), in units of 10⁻⁹.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct Usd(pub(crate) u64);

impl Shape for Usd {
    fn read(node: &Node, problems: &mut Problems) -> Option<Usd> {
        parsed(node, "an amount of USD", problems, values::nano).map(Usd)
    }
    fn json(&self) -> Json {
        json!(decimal(self.0))
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
    }
    fn kind() -> Kind {
        Kind::Scalar("amount of USD")
    }
}

impl Shape for OrgId {
    fn read(node: &Node, problems: &mut Problems) -> Option<OrgId> {
        parsed(node, "an organisation", problems, |text| {
            OrgId::new(text).ok_or_else(|| format!("is {ORG_RULE}"))
        })
    }
    fn json(&self) -> Json {
        json!(self.as_str())
    }
    fn schema() -> Json {
        json!({"type": ["string", "integer"]})
    }
    fn kind() -> Kind {
        Kind::Scalar("organisation")
    }
}

pub(crate) const ORG_RULE: &str =
    "not the name of an organisation; give 1 to 128 of A-Z a-z 0-9 . _ : @ + = / -";
