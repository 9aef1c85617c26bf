//! The shape of a request, as data, and the first place at which a request differs from it.
//!
//! Pure. Each provider's shapes stand beside its endpoints; each provider words the problem in its
//! own way. Guarantees: fields that a shape does not name are problems, at every depth. Does not:
//! know rules between fields, which the endpoints check.

use serde_json::{Map, Value};

/// The form that a value must have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Any value.
    Any,
    Text,
    /// One of these strings.
    Word(&'static [&'static str]),
    Flag,
    Integer,
    /// A number in this range.
    Number(f64, f64),
    /// An object with any fields.
    Open,
    /// A list of at least so many values.
    List(usize, &'static Shape),
    /// An object with these fields and no others.
    Fields(&'static [Field]),
    /// An object with exactly one of the first fields, and any of the others.
    One(&'static [Field], &'static [Field]),
    /// An object whose form depends on the string in this field; the word after it is the value
    /// of a field that is absent.
    Tagged(&'static str, &'static str, &'static [(&'static str, Shape)]),
    /// The first of these whose JSON type fits.
    Either(&'static [Shape]),
    Null,
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    Must(&'static str, Shape),
    May(&'static str, Shape),
}

impl Field {
    const fn name(self) -> &'static str {
        match self {
            Field::Must(name, _) | Field::May(name, _) => name,
        }
    }

    const fn shape(&self) -> &Shape {
        match self {
            Field::Must(_, shape) | Field::May(_, shape) => shape,
        }
    }
}

/// A step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Step {
        Step::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Step {
        Step::Index(index)
    }
}

/// The reason why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unknown,
    Missing,
    /// The value has another type than this one.
    Type(&'static str),
    /// The value is none of these.
    Value(String),
    /// A rule of the endpoint, in the provider's words.
    Rule(String),
}

/// The first place at which a request is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: Vec<Step>,
    pub(crate) fault: Fault,
}

impl Problem {
    /// A broken rule at a place.
    pub(crate) fn rule(path: &[Step], words: impl Into<String>) -> Problem {
        Problem { path: path.to_vec(), fault: Fault::Rule(words.into()) }
    }

    /// `messages[0].content`
    pub(crate) fn bracketed(&self) -> String {
        self.joined(".", |index| format!("[{index}]"))
    }

    /// `messages.0.content`
    pub(crate) fn dotted(&self) -> String {
        self.joined(".", |index| format!(".{index}"))
    }

    /// `/messages/0/content`
    pub(crate) fn pointer(&self) -> String {
        format!("/{}", self.joined("/", |index| format!("/{index}")))
    }

    /// The path of the object in which the field stands.
    pub(crate) fn parent(&self) -> Problem {
        let mut parent = self.clone();
        parent.path.pop();
        parent
    }

    /// The name of the field; empty for an entry of a list.
    pub(crate) fn field(&self) -> &str {
        match self.path.last() {
            Some(Step::Key(key)) => key,
            _ => "",
        }
    }

    fn joined(&self, between: &str, index: impl Fn(usize) -> String) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push_str(between);
                    }
                    path.push_str(key);
                }
                Step::Index(at) => path.push_str(&index(*at)),
            }
        }
        path
    }
}

/// Holds a value against a shape. `null_is_absent`: a field that is null counts as left out.
///
/// # Errors
/// The first difference.
pub(crate) fn check(value: &Value, shape: &Shape, null_is_absent: bool) -> Result<(), Problem> {
    let mut path = Vec::new();
    Checker { null_is_absent }
        .value(value, shape, &mut path)
        .map_err(|fault| Problem { path, fault })
}

struct Checker {
    null_is_absent: bool,
}

impl Checker {
    /// At an error, `path` is the place of it.
    fn value(&self, value: &Value, shape: &Shape, path: &mut Vec<Step>) -> Result<(), Fault> {
        match shape {
            Shape::Any => Ok(()),
            Shape::Text => typed(value.is_string(), "string"),
            Shape::Flag => typed(value.is_boolean(), "boolean"),
            Shape::Null => typed(value.is_null(), "null"),
            Shape::Open => typed(value.is_object(), "object"),
            Shape::Integer => typed(value.is_i64() || value.is_u64(), "integer"),
            Shape::Number(least, most) => {
                let Some(number) = value.as_f64() else { return Err(Fault::Type("number")) };
                let fits = (*least..=*most).contains(&number);
                fits.then_some(()).ok_or_else(|| Fault::Value(format!("{least} to {most}")))
            }
            Shape::Word(words) => {
                let Some(text) = value.as_str() else { return Err(Fault::Type("string")) };
                let known = words.contains(&text);
                known.then_some(()).ok_or_else(|| Fault::Value(quoted(words)))
            }
            Shape::List(least, of) => self.list(value, *least, of, path),
            Shape::Fields(fields) => {
                let Some(object) = value.as_object() else { return Err(Fault::Type("object")) };
                self.fields(object, &[*fields], &[], path)
            }
            Shape::One(of, beside) => self.one(value, [*of, *beside], path),
            Shape::Tagged(tag, default, of) => self.tagged(value, [*tag, *default], of, path),
            Shape::Either(shapes) => {
                let fits = |shape: &&Shape| has_type_of(value, shape);
                match shapes.iter().find(fits) {
                    Some(shape) => self.value(value, shape, path),
                    None => Err(Fault::Type(shapes.first().map_or("value", type_name))),
                }
            }
        }
    }

    fn list(
        &self,
        value: &Value,
        least: usize,
        of: &Shape,
        path: &mut Vec<Step>,
    ) -> Result<(), Fault> {
        let Some(items) = value.as_array() else { return Err(Fault::Type("array")) };
        if items.len() < least {
            return Err(Fault::Value(format!("at least {least} item(s)")));
        }
        items.iter().enumerate().try_for_each(|(index, item)| {
            self.at(Step::Index(index), path, |path| self.value(item, of, path))
        })
    }

    fn one(
        &self,
        value: &Value,
        [of, beside]: [&'static [Field]; 2],
        path: &mut Vec<Step>,
    ) -> Result<(), Fault> {
        let Some(object) = value.as_object() else { return Err(Fault::Type("object")) };
        self.fields(object, &[of, beside], &[], path)?;
        let present =
            of.iter().filter(|field| object.get(field.name()).is_some_and(|v| !v.is_null()));
        if present.count() == 1 {
            return Ok(());
        }
        let names: Vec<&str> = of.iter().map(|field| field.name()).collect();
        Err(Fault::Value(format!("exactly one of {}", quoted(&names))))
    }

    fn tagged(
        &self,
        value: &Value,
        [tag, default]: [&'static str; 2],
        of: &'static [(&'static str, Shape)],
        path: &mut Vec<Step>,
    ) -> Result<(), Fault> {
        let Some(object) = value.as_object() else { return Err(Fault::Type("object")) };
        let word = match object.get(tag) {
            None if default.is_empty() => {
                path.push(tag.into());
                return Err(Fault::Missing);
            }
            None => default,
            Some(word) => word.as_str().unwrap_or_default(),
        };
        match of.iter().find(|(known, _)| *known == word) {
            Some((_, Shape::Fields(fields))) => self.fields(object, &[*fields], &[tag], path),
            Some((_, shape)) => self.value(value, shape, path),
            None => {
                let words: Vec<&str> = of.iter().map(|(word, _)| *word).collect();
                path.push(tag.into());
                Err(Fault::Value(quoted(&words)))
            }
        }
    }

    fn fields(
        &self,
        object: &Map<String, Value>,
        groups: &[&'static [Field]],
        beside: &[&str],
        path: &mut Vec<Step>,
    ) -> Result<(), Fault> {
        let fields = || groups.iter().copied().flatten();
        for key in object.keys() {
            if !beside.contains(&key.as_str()) && !fields().any(|field| field.name() == key) {
                path.push(key.as_str().into());
                return Err(Fault::Unknown);
            }
        }
        for field in fields() {
            match object.get(field.name()).filter(|v| !(self.null_is_absent && v.is_null())) {
                Some(value) => self
                    .at(field.name().into(), path, |path| self.value(value, field.shape(), path))?,
                None if matches!(field, Field::Must(..)) => {
                    path.push(field.name().into());
                    return Err(Fault::Missing);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Checks what stands behind a step, which stays in `path` at an error.
    fn at(
        &self,
        step: Step,
        path: &mut Vec<Step>,
        check: impl FnOnce(&mut Vec<Step>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        path.push(step);
        check(path)?;
        path.pop();
        Ok(())
    }
}

fn typed(fits: bool, name: &'static str) -> Result<(), Fault> {
    fits.then_some(()).ok_or(Fault::Type(name))
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    quoted.join(", ")
}

fn type_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::Word(_) => "string",
        Shape::Flag => "boolean",
        Shape::Integer => "integer",
        Shape::Number(..) => "number",
        Shape::List(..) => "array",
        Shape::Open | Shape::Fields(_) | Shape::One(..) | Shape::Tagged(..) => "object",
        Shape::Null => "null",
        Shape::Any => "value",
        Shape::Either(shapes) => shapes.first().map_or("value", type_name),
    }
}

fn has_type_of(value: &Value, shape: &Shape) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Shape::Text => value.is_string(),
        Shape::Flag => value.is_boolean(),
        Shape::Integer | Shape::Number(..) => value.is_number(),
        Shape::List(..) => value.is_array(),
        Shape::Open | Shape::Fields(_) | Shape::One(..) | Shape::Tagged(..) => value.is_object(),
        Shape::Null => value.is_null(),
        Shape::Either(shapes) => shapes.iter().any(|shape| has_type_of(value, shape)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Field::{May, Must};
    use super::*;

    const PART: Shape = Shape::Tagged(
        "type",
        "",
        &[("text", Shape::Fields(&[Must("text", Shape::Text)])), ("open", Shape::Open)],
    );
    const BODY: Shape = Shape::Fields(&[
        Must("model", Shape::Text),
        May("n", Shape::Integer),
        May("t", Shape::Number(0.0, 2.0)),
        May("content", Shape::Either(&[Shape::Text, Shape::List(1, &PART)])),
        May(
            "data",
            Shape::One(&[May("a", Shape::Text), May("b", Shape::Text)], &[May("c", Shape::Flag)]),
        ),
    ]);

    #[test]
    fn the_first_difference_is_named_with_its_place() {
        let of = |rest: Value| {
            let mut body = json!({"model": "m"});
            for (key, value) in rest.as_object().unwrap() {
                body[key] = value.clone();
            }
            check(&body, &BODY, true)
        };
        for fine in [
            json!({}),
            json!({"n": null, "t": 2, "content": "x"}),
            json!({"content": [{"type": "text", "text": ""}, {"type": "open", "x": [1]}]}),
            json!({"data": {"a": "x", "c": true}}),
        ] {
            assert_eq!(of(fine.clone()), Ok(()), "{fine}");
        }
        for (wrong, place, fault) in [
            (json!({"x": 1}), "x", Fault::Unknown),
            (json!({"n": 1.5}), "n", Fault::Type("integer")),
            (json!({"t": 3}), "t", Fault::Value("0 to 2".into())),
            (json!({"content": []}), "content", Fault::Value("at least 1 item(s)".into())),
            (json!({"content": 1}), "content", Fault::Type("string")),
            (json!({"content": [{"type": "text"}]}), "content[0].text", Fault::Missing),
            (json!({"content": [{}]}), "content[0].type", Fault::Missing),
            (
                json!({"content": [{"type": "?"}]}),
                "content[0].type",
                Fault::Value("'text', 'open'".into()),
            ),
            (
                json!({"content": [{"type": "text", "text": "", "y": 1}]}),
                "content[0].y",
                Fault::Unknown,
            ),
            (json!({"data": {"c": true}}), "data", Fault::Value("exactly one of 'a', 'b'".into())),
            (
                json!({"data": {"a": "", "b": ""}}),
                "data",
                Fault::Value("exactly one of 'a', 'b'".into()),
            ),
        ] {
            let problem = of(wrong.clone()).unwrap_err();
            assert_eq!((problem.bracketed().as_str(), &problem.fault), (place, &fault), "{wrong}");
        }
        let null = check(&json!({"model": "m", "n": null}), &BODY, false).unwrap_err();
        assert_eq!((null.dotted().as_str(), null.fault), ("n", Fault::Type("integer")));
        assert_eq!(check(&json!({}), &BODY, true).unwrap_err().pointer(), "/model");
    }
}
