//! The record of a request's translation: fields that the target cannot express, and refusals.
//!
//! Names are those of the caller's request. Top-level fields and their parts by their path
//! (`logprobs`, `output_config.effort`), tools with their index (`tools[2].function.strict`), parts
//! of the conversation without (`messages[].content[].image_url.detail`), so that a long
//! conversation does not make a long list.
//!
//! Guarantees: each name once, at most `NAMES_MAX` of them, and printable, whatever a caller
//! chose for a name.

use std::borrow::Cow;

/// Names that are kept of one kind; more are counted as one `...`.
const NAMES_MAX: usize = 48;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 80;

/// The fields of a request that are not in its translation, or in it with another value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    dropped: Names,
    changed: Names,
    hints: Names,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(Vec<Cow<'static, str>>);

impl Losses {
    /// Notes a field that is left out.
    pub fn drop_field(&mut self, name: impl Into<Cow<'static, str>>) {
        self.dropped.add(name.into());
    }

    /// Notes a field that is carried with another value.
    pub fn change_field(&mut self, name: impl Into<Cow<'static, str>>) {
        self.changed.add(name.into());
    }

    /// Notes a field that is left out and changes nothing but the cost.
    pub fn drop_hint(&mut self, name: impl Into<Cow<'static, str>>) {
        self.hints.add(name.into());
    }

    /// Notes the unknown fields of an object. `path`: its path with a full stop; empty for the
    /// request itself.
    pub(crate) fn drop_unknown(&mut self, path: &str, names: &[Cow<'_, str>]) {
        for name in names {
            self.dropped.add(Cow::Owned([path, name].concat()));
        }
    }

    /// The fields that are left out, hints included, sorted.
    pub fn dropped(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.dropped.0.iter().chain(&self.hints.0).map(AsRef::as_ref).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The fields that are carried with another value, sorted.
    pub fn changed(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.changed.0.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names
    }

    /// Whether everything was carried as it is.
    pub fn is_empty(&self) -> bool {
        self.dropped.0.is_empty() && self.changed.0.is_empty() && self.hints.0.is_empty()
    }

    /// The value of `x-tollgate-translation`: `chat>anthropic; dropped="logprobs, seed"`. `from`
    /// and `to` are the names of the caller's format and of the provider's kind.
    pub fn header_value(&self, from: &str, to: &str) -> String {
        let mut value = [from, ">", to].concat();
        for (label, names) in [("dropped", self.dropped()), ("changed", self.changed())] {
            if !names.is_empty() {
                value.push_str(&format!("; {label}=\"{}\"", names.join(", ")));
            }
        }
        value
    }

    /// The refusal of a request whose losses are not accepted (`on_loss: refuse`); hints are.
    pub fn refusal(&self) -> Option<Refused> {
        let (name, text) = match (self.dropped.0.first(), self.changed.0.first()) {
            (Some(name), _) => (name, "cannot be expressed for the model's provider"),
            (None, Some(name)) => (name, "can only be carried with another value"),
            (None, None) => return None,
        };
        Some(Refused::unsupported(name.clone(), format!("`{name}` {text}")))
    }
}

impl Names {
    fn add(&mut self, name: Cow<'static, str>) {
        let name = printable(name);
        if self.0.contains(&name) {
            return;
        }
        match self.0.len() {
            0..NAMES_MAX => self.0.push(name),
            NAMES_MAX => self.0.push(Cow::Borrowed("...")),
            _ => {}
        }
    }
}

/// The name if it fits into a header in quotes; else what can be shown of it.
fn printable(name: Cow<'static, str>) -> Cow<'static, str> {
    let is_shown = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ',' | ';');
    if name.len() <= NAME_BYTES_MAX && name.chars().all(is_shown) {
        return name;
    }
    let shown = name.chars().take(NAME_BYTES_MAX).map(|c| if is_shown(c) { c } else { '?' });
    Cow::Owned(shown.collect())
}

/// A request that is not translated, because going on would give a wrong answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// The field, under the caller's name.
    pub param: Option<String>,
    /// A sentence for the caller.
    pub message: String,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The target has nothing of the kind: `unsupported_parameter`.
    Unsupported,
    /// The request is not one of the caller's format, or contradicts itself: `invalid_request`.
    Invalid,
    /// It is not JSON: `invalid_json`.
    NotJson,
}

impl Refused {
    /// The target cannot do it.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Refused {
        Refused { reason: Reason::Unsupported, param: Some(param.into()), message: message.into() }
    }

    /// The request is wrong.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Refused {
        Refused { reason: Reason::Invalid, param: Some(param.into()), message: message.into() }
    }

    /// The request cannot be read. `param`: the place, if it is known.
    pub(crate) fn unreadable(error: &serde_json::Error, param: Option<String>) -> Refused {
        use serde_json::error::Category;
        let reason = match error.classify() {
            Category::Data => Reason::Invalid,
            Category::Io | Category::Syntax | Category::Eof => Reason::NotJson,
        };
        // The place within a part of the body would mislead.
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or(&text);
        Refused { reason, param, message: format!("the request cannot be read: {text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_once_and_in_order() {
        let mut losses = Losses::default();
        assert_eq!((losses.is_empty(), losses.refusal()), (true, None));
        losses.drop_hint("cache_control");
        assert_eq!(losses.refusal(), None);
        losses.change_field("temperature");
        assert_eq!(losses.refusal().and_then(|r| r.param).as_deref(), Some("temperature"));
        for name in ["seed", "logprobs", "seed"] {
            losses.drop_field(name);
        }
        assert_eq!(
            losses.header_value("chat", "anthropic"),
            "chat>anthropic; dropped=\"cache_control, logprobs, seed\"; changed=\"temperature\""
        );
        assert_eq!(losses.refusal().and_then(|r| r.param).as_deref(), Some("seed"));
    }

    #[test]
    fn names_that_a_caller_chose_are_bounded() {
        let mut losses = Losses::default();
        losses.drop_unknown("", &[Cow::Borrowed("a\r\n\"b, é"), Cow::Owned("x".repeat(500))]);
        assert_eq!(losses.dropped()[0], "a???b???");
        assert_eq!(losses.dropped()[1].len(), NAME_BYTES_MAX);
        for i in 0..1000 {
            losses.drop_field(format!("f{i}"));
        }
        assert_eq!(losses.dropped().len(), NAMES_MAX + 1);
        assert!(losses.dropped().contains(&"..."));
    }
}
