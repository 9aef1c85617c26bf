//! The tree that a YAML file is read into: every key and value with its place.
//!
//! Pure data; `yaml` makes it, `shape` reads it.

use super::place::Place;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub at: Place,
    pub value: Value,
}

impl Node {
    /// Appends the values without their places. Equal nodes append equal text.
    pub fn write(&self, out: &mut String) {
        match &self.value {
            Value::Null | Value::Failed => out.push('~'),
            Value::Scalar(scalar) => out.push_str(&format!("{:?}", scalar.text)),
            Value::List(nodes) => {
                out.push('[');
                for node in nodes {
                    node.write(out);
                    out.push(',');
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (name, node) in entries {
                    out.push_str(&format!("{:?}:", name.text));
                    node.write(out);
                    out.push(',');
                }
                out.push('}');
            }
        }
    }
}

/// A value as written.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`, `~`, or nothing: the key's default.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file, no name twice.
    Map(Vec<(Name, Node)>),
    /// Its problem has been reported, so readers skip it.
    Failed,
}

/// A scalar's text.
#[derive(Clone, Debug)]
pub struct Scalar {
    pub text: String,
    /// The text of the file, if the value came from the environment. Messages show this, not
    /// `text`.
    pub reference: Option<String>,
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub struct Name {
    pub text: String,
    pub at: Place,
}
