//! The general types of values: scalars with and without a unit, lists, mappings with names of the
//! operator's own, and sections that organisations may override.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::node::{Name, Node, Scalar, Value};
use super::super::place::Problems;
use super::super::values;
use super::{At, Kind, Plain, Section, Shape};
use crate::ids::{OrgId, Secret};
use crate::money::decimal;

/// The scalar in a node; a problem where it is something else.
pub fn scalar<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a Scalar> {
    match &node.value {
        Value::Scalar(scalar) => return Some(scalar),
        Value::Failed => {}
        Value::Null => problems.add(&node.at, format!("{what} is missing here")),
        Value::List(_) => problems.add(&node.at, format!("{what} is needed here, not a list")),
        Value::Map(_) => problems.add(&node.at, format!("{what} is needed here, not a mapping")),
    }
    None
}

/// A scalar as messages may show it: what the file says, never what the environment holds.
pub fn shown(scalar: &Scalar) -> String {
    let text: String =
        scalar.reference.as_deref().unwrap_or(&scalar.text).chars().take(80).collect();
    if scalar.reference.is_some() { format!("the value of `{text}`") } else { format!("`{text}`") }
}

/// Reads a scalar with a function that tells what is wrong.
fn parsed<T>(
    node: &Node,
    what: &str,
    problems: &mut Problems,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let scalar = scalar(node, what, problems)?;
    read(scalar.text.trim())
        .map_err(|reason| problems.add(&node.at, format!("{}: {reason}", shown(scalar))))
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
                _ => Err("not a yes or no; write true or false".to_owned()),
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
                    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                    let reason = if digits { "too large" } else { "not a whole number of 0 or more" };
                    values::whole(text).and_then(|n| <$ty>::try_from(n).ok()).ok_or_else(|| reason.to_owned())
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
                .ok_or_else(|| "not a number".to_owned())
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
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

impl Shape for Secret {
    fn read(node: &Node, problems: &mut Problems) -> Option<Secret> {
        Some(Secret::new(&scalar(node, "text", problems)?.text))
    }
    fn json(&self) -> Json {
        json!(if self.is_empty() { "" } else { "***" })
    }
    fn schema() -> Json {
        json!({"type": ["string", "number"]})
    }
    fn kind() -> Kind {
        Kind::Scalar("secret")
    }
}

/// A value that says what is looked for in people's text (names of customers and projects), so that
/// it is counted and not shown.
#[derive(Clone, Debug)]
pub struct Hidden<T>(pub(crate) T);

impl<T> std::ops::Deref for Hidden<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Shape> Shape for Hidden<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Hidden<T>> {
        T::read(node, problems).map(Hidden)
    }
    fn json(&self) -> Json {
        match self.0.json() {
            Json::Array(list) if list.is_empty() => json!([]),
            Json::Array(list) => json!(format!("*** ({})", list.len())),
            _ => json!("***"),
        }
    }
    fn schema() -> Json {
        T::schema()
    }
    fn kind() -> Kind {
        T::kind()
    }
}

impl Shape for PathBuf {
    fn read(node: &Node, problems: &mut Problems) -> Option<PathBuf> {
        parsed(node, "a path", problems, |text| match text {
            "" => Err("empty; give a path".to_owned()),
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
            values::size(text).and_then(|n| N::of(n).ok_or_else(|| "too large".to_owned()))
        };
        parsed(node, "a size", problems, count).map(Size)
    }
    fn json(&self) -> Json {
        json!(values::show_size(self.0.count()))
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "string", "pattern": "^[0-9_]+ ?(B|[KMG]iB|[kKMG]B)?$|\\$\\{"}, {"type": "integer", "minimum": 0}]})
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

/// A limit, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap<T>(pub(crate) Option<T>);

impl<T: Shape> Shape for Cap<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Cap<T>> {
        match &node.value {
            Value::Scalar(scalar) if scalar.text.trim() == "off" => Some(Cap(None)),
            Value::Scalar(scalar) if scalar.text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                problems.add(&node.at, format!("{}: give a number, or `off`", shown(scalar)));
                None
            }
            _ => T::read(node, problems).map(|value| Cap(Some(value))),
        }
    }
    fn json(&self) -> Json {
        self.0.as_ref().map_or(json!("off"), Shape::json)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"const": "off"}, T::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or("off", Box::new(T::kind()))
    }
}

impl Shape for OrgId {
    fn read(node: &Node, problems: &mut Problems) -> Option<OrgId> {
        parsed(node, "an organisation", problems, |text| {
            OrgId::new(text).ok_or_else(|| ORG_RULE.to_owned())
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

const ORG_RULE: &str = "no name of an organisation: 1 to 128 of A-Z a-z 0-9 . _ : @ + = / -";

/// The description of `orgs`.
pub const ORGS: &str =
    "Overrides by organisation. Each takes the same keys and inherits those that it does not give.";

/// `null` or a value.
impl<T: Shape> Shape for Option<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Option<T>> {
        if matches!(node.value, Value::Null) {
            Some(None)
        } else {
            T::read(node, problems).map(Some)
        }
    }
    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, Shape::json)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "null"}, T::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or("null", Box::new(T::kind()))
    }
}

/// A list; entries that cannot be read are left out (and reported), unless that leaves nothing to
/// check.
impl<T: Shape> Shape for Vec<At<T>> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::List(nodes) => {
                let entry = |n: &Node| {
                    Some(At { value: T::read(n, problems)?, at: n.at.clone(), given: true })
                };
                let list: Vec<At<T>> = nodes.iter().filter_map(entry).collect();
                (!list.is_empty() || nodes.is_empty()).then_some(list)
            }
            Value::Failed => None,
            _ => {
                problems
                    .add(&node.at, "a list is needed here: [a, b], or lines that begin with `- `");
                None
            }
        }
    }
    fn json(&self) -> Json {
        self.iter().map(|entry| entry.value.json()).collect()
    }
    fn schema() -> Json {
        json!({"type": "array", "items": T::schema()})
    }
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }
}

/// A mapping with names of the operator's own, in the order of the file.
#[derive(Clone, Debug)]
pub struct Named<T>(pub(crate) Vec<(At<String>, At<T>)>);

impl<T: Shape> Shape for Named<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Named<T>> {
        let Value::Map(entries) = &node.value else {
            if !matches!(node.value, Value::Failed) {
                problems.add(
                    &node.at,
                    "a mapping is needed here: a name, a colon, and what it stands for",
                );
            }
            return None;
        };
        let read = |(key, value): &(Name, Node)| {
            let name = At { value: key.text.clone(), at: key.at.clone(), given: true };
            Some((name, At { value: T::read(value, problems)?, at: value.at.clone(), given: true }))
        };
        Some(Named(entries.iter().filter_map(read).collect()))
    }
    fn json(&self) -> Json {
        self.0.iter().map(|(name, value)| (name.value.clone(), value.value.json())).collect()
    }
    fn schema() -> Json {
        json!({"type": "object", "additionalProperties": T::schema()})
    }
    fn kind() -> Kind {
        Kind::Named(Box::new(T::kind()))
    }
}

/// A section that organisations may have their own version of: `orgs` takes the same keys and
/// inherits the rest.
#[derive(Clone, Debug)]
pub struct PerOrg<T> {
    pub base: T,
    pub orgs: Vec<(OrgId, At<T>)>,
}

impl<T: Section> Shape for PerOrg<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<PerOrg<T>> {
        let base = T::read_over(node, None, &["orgs"], problems)?;
        let mut orgs = Vec::new();
        let given = match &node.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.text == "orgs"),
            _ => None,
        };
        match given.map(|(_, node)| (&node.value, node)) {
            None | Some((Value::Null | Value::Failed, _)) => {}
            Some((Value::Map(entries), _)) => {
                for (key, value) in entries {
                    let org = OrgId::new(&key.text);
                    if org.is_none() {
                        problems.add(&key.at, ORG_RULE);
                    }
                    let own = T::read_over(value, Some(&base), &[], problems);
                    if let (Some(org), Some(own)) = (org, own) {
                        orgs.push((org, At { value: own, at: value.at.clone(), given: true }));
                    }
                }
            }
            Some((_, node)) => problems
                .add(&node.at, "a mapping is needed here: an organisation, a colon, and its keys"),
        }
        Some(PerOrg { base, orgs })
    }
    fn json(&self) -> Json {
        let mut json = self.base.json();
        json["orgs"] = self
            .orgs
            .iter()
            .map(|(org, own)| (org.as_str().to_owned(), own.value.json()))
            .collect();
        json
    }
    fn schema() -> Json {
        let mut schema = T::schema();
        let mut own = T::schema();
        // Defaults are those of the section, not of the gateway.
        if let Some(properties) = own["properties"].as_object_mut() {
            for key in properties.values_mut().filter_map(Json::as_object_mut) {
                key.remove("default");
            }
        }
        schema["properties"]["orgs"] = json!({
            "type": "object",
            "description": ORGS,
            "default": {},
            "additionalProperties": own,
        });
        schema
    }
    fn kind() -> Kind {
        Kind::PerOrg(T::info())
    }
}

macro_rules! plain {
    ($($ty:ty),*) => { $(
        impl Plain for $ty {
            type Plain = $ty;
            fn plain(&self) -> $ty {
                self.clone()
            }
        }
    )* };
}
plain!(bool, u32, u64, usize, f64, String, Secret, PathBuf, Duration, OrgId);

impl<N: Bytes> Plain for Size<N> {
    type Plain = N;
    fn plain(&self) -> N {
        self.0
    }
}

impl<T: Plain> Plain for Option<T> {
    type Plain = Option<T::Plain>;
    fn plain(&self) -> Self::Plain {
        self.as_ref().map(T::plain)
    }
}

impl<T: Plain> Plain for Cap<T> {
    type Plain = Option<T::Plain>;
    fn plain(&self) -> Self::Plain {
        self.0.plain()
    }
}

impl<T: Plain> Plain for Vec<At<T>> {
    type Plain = Vec<T::Plain>;
    fn plain(&self) -> Self::Plain {
        self.iter().map(|entry| entry.value.plain()).collect()
    }
}
