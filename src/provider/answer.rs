//! A whole JSON answer: which model answered, what it used, whether it is an error.
//!
//! Pure. Borrows from the answer; unknown fields are skipped without being kept.
//!
//! What is reported as used is in `usage`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tollgate_wire::usage::{ServiceTier, TokenUsage};

use super::Wire;
use super::usage::{GeminiUsage, Tier, Usage};

/// What a JSON answer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// `model`; empty where there is none.
    pub model: String,
    pub usage: Option<TokenUsage>,
    /// The answer is a JSON object.
    pub is_object: bool,
}

/// Reads an answer. Anything but a JSON object gives the default.
pub fn read(wire: Wire, answer: &[u8]) -> AnswerFacts {
    match serde_json::from_slice::<Head<'_>>(answer) {
        Ok(head) => AnswerFacts {
            usage: tokens(wire, head.usage, head.usage_metadata, head.service_tier),
            model: head.model.0.or(head.model_version.0).map(Cow::into_owned).unwrap_or_default(),
            is_object: true,
        },
        Err(_) => AnswerFacts::default(),
    }
}

/// What an answer or an event reports; the tier may stand beside the usage.
pub(super) fn tokens(wire: Wire, own: Lenient<Usage>, gemini: Lenient<GeminiUsage>, tier: Tier) -> Option<TokenUsage> {
    let own = own.0.and_then(|usage| usage.tokens(wire));
    let usage = own.or_else(|| gemini.0.and_then(|usage| usage.tokens(wire)))?;
    Some(if usage.tier == ServiceTier::Unknown { TokenUsage { tier: tier.0, ..usage } } else { usage })
}

/// Reads usage from the end of a long answer, of which only `tail` was kept: the last `"usage"` in it.
pub fn read_tail(wire: Wire, tail: &[u8]) -> Option<TokenUsage> {
    let own = last::<Lenient<Usage>>(tail, b"\"usage\"");
    let gemini = last::<Lenient<GeminiUsage>>(tail, b"\"usageMetadata\"");
    let tier = last::<Tier>(tail, b"\"service_tier\"");
    tokens(wire, own.unwrap_or_default(), gemini.unwrap_or_default(), tier.unwrap_or_default())
}

/// The value of the last field of that name.
fn last<'de, T: Deserialize<'de>>(tail: &'de [u8], name: &[u8]) -> Option<T> {
    let at = memchr::memmem::rfind(tail, name)? + name.len();
    let value = tail[at..].trim_ascii_start().strip_prefix(b":")?;
    serde_json::Deserializer::from_slice(value).into_iter::<T>().next()?.ok()
}

/// Choices of one answer, and tool calls of one choice, that are looked at; more are left out.
pub(super) const PARTS_MAX: usize = 128;

/// The first text that a model has written in a whole JSON answer of chat or messages; empty where there is none. Keeps nothing
/// of the answer but that text.
pub fn text(wire: Wire, answer: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        choices: FirstText,
        #[serde(default)]
        content: Content,
    }
    let Ok(Body { choices, content }) = serde_json::from_slice(answer) else { return String::new() };
    if wire == Wire::Messages { content.0 } else { choices.0 }
}

/// A string, or the texts of a list of parts put together; anything else is empty.
#[derive(Clone, Debug, Default)]
struct Content(String);

/// Of a list of choices the first text that is not empty.
#[derive(Clone, Debug, Default)]
struct FirstText(String);

/// What a provider's error says, for deciding what to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorFacts {
    /// `error.code`, or Anthropic's `error.type`.
    pub code: String,
    pub kind: String,
}

/// Reads an error body; anything unfamiliar gives empty fields.
pub fn read_error(answer: &[u8]) -> ErrorFacts {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        error: Lenient<Inner<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Inner<'a> {
        #[serde(borrow, default)]
        code: Text<'a>,
        #[serde(borrow, default, rename = "type")]
        kind: Text<'a>,
    }
    let Ok(Body { error: Lenient(Some(inner)) }) = serde_json::from_slice(answer) else { return ErrorFacts::default() };
    let text = |t: Text<'_>| t.0.map(Cow::into_owned).unwrap_or_default();
    ErrorFacts { code: text(inner.code), kind: text(inner.kind) }
}

#[derive(serde::Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    /// Gemini's name for it.
    #[serde(borrow, default, rename = "modelVersion")]
    model_version: Text<'a>,
    #[serde(default)]
    usage: Lenient<Usage>,
    #[serde(default, rename = "usageMetadata")]
    usage_metadata: Lenient<GeminiUsage>,
    #[serde(default)]
    service_tier: Tier,
}

/// A count of tokens; anything but a whole number from 0 up is "not known".
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count(pub(super) Option<u64>);

impl Count {
    pub(super) fn or_zero(self) -> u64 {
        self.0.unwrap_or(0)
    }
}

/// A string; anything else is "not known".
#[derive(Clone, Debug, Default)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

/// An object of a known form; anything else is "not known". (A malformed field *within* it still fails the parse, which
/// its own fields prevent by being lenient themselves.)
#[derive(Clone, Copy, Debug)]
pub(super) struct Lenient<T>(pub(super) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Lenient(None)
    }
}

struct CountVisitor;
struct ContentVisitor;
struct FirstTextVisitor;
struct TextVisitor;
struct LenientVisitor<T>(std::marker::PhantomData<T>);

/// The arms that every lenient visitor shares: a value of another type is read to its end and forgotten.
macro_rules! forget {
    (scalars $value:expr, $($scalar:ident: $type:ty),*) => {
        $(fn $scalar<E>(self, _: $type) -> Result<Self::Value, E> { Ok($value) })*
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($value) }
    };
    (map $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    ($value:expr, $($scalar:ident: $type:ty),*) => {
        forget!(scalars $value, $($scalar: $type),*);
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }
    fn visit_u64<E>(self, v: u64) -> Result<Count, E> {
        Ok(Count(Some(v)))
    }
    forget!(Count(None), visit_bool: bool, visit_i64: i64, visit_f64: f64, visit_str: &str);
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }
}

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or parts")
    }
    fn visit_str<E>(self, v: &str) -> Result<Content, E> {
        Ok(Content(v.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        #[derive(serde::Deserialize)]
        struct Part<'a> {
            #[serde(borrow, default)]
            text: Text<'a>,
        }
        let mut joined = String::new();
        while let Some(Lenient(part)) = parts.next_element::<Lenient<Part<'de>>>()? {
            joined.extend(part.and_then(|part| part.text.0));
        }
        Ok(Content(joined))
    }
    forget!(scalars Content::default(), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
    forget!(map Content::default());
}

impl<'de> Visitor<'de> for FirstTextVisitor {
    type Value = FirstText;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("choices")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<FirstText, A::Error> {
        #[derive(serde::Deserialize)]
        struct Choice {
            #[serde(default)]
            message: Lenient<Message>,
        }
        #[derive(serde::Deserialize)]
        struct Message {
            #[serde(default)]
            content: Content,
        }
        let mut first = FirstText::default();
        while let Some(Lenient(choice)) = choices.next_element::<Lenient<Choice>>()? {
            let content = choice.and_then(|choice| choice.message.0).map(|message| message.content.0);
            if first.0.is_empty() {
                first.0 = content.unwrap_or_default();
            }
        }
        Ok(first)
    }
    forget!(scalars FirstText::default(), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
    forget!(map FirstText::default());
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Borrowed(v))))
    }
    fn visit_str<E>(self, v: &str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(v.to_owned()))))
    }
    forget!(Text(None), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = Lenient<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lenient<T>, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|v| Lenient(Some(v)))
    }
    forget!(Lenient(None), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(CountVisitor)
    }
}

/// Takes the entries of a list one after the other.
pub(super) trait Take<'de>: Default {
    type Item: Deserialize<'de>;
    fn take(&mut self, item: Self::Item);
}

/// What was taken of a list; anything else is "not known".
#[derive(Clone, Copy, Debug)]
pub(super) struct Each<S>(pub(super) Option<S>);

impl<'de, S: Take<'de>> Visitor<'de> for Each<S> {
    type Value = Each<S>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Each<S>, A::Error> {
        let mut taken = S::default();
        while let Some(item) = list.next_element()? {
            taken.take(item);
        }
        Ok(Each(Some(taken)))
    }
    forget!(scalars Each(None), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
    forget!(map Each(None));
}

impl<'de, S: Take<'de>> Deserialize<'de> for Each<S> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Each(None))
    }
}

/// The first [`PARTS_MAX`] entries of a list; the others are read and forgotten.
#[derive(Clone, Debug)]
pub(super) struct Few<T>(pub(super) Vec<T>);

struct FewVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T>, A::Error> {
        let mut few = Vec::new();
        while few.len() < PARTS_MAX {
            let Some(item) = list.next_element()? else { return Ok(Few(few)) };
            few.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Few(few))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_seq(FewVisitor(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ContentVisitor)
    }
}

impl<'de> Deserialize<'de> for FirstText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(FirstTextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(TextVisitor)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(LenientVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, cached: u64, cache_write: u64, output: u64, reasoning: u64) -> Option<TokenUsage> {
        Some(TokenUsage { input, cached, cache_write, output, reasoning, ..TokenUsage::default() })
    }

    #[test]
    fn usage_of_every_dialect() {
        let table = [
            (
                Wire::Chat,
                r#"{"model":"m","usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
               "prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":5}}}"#,
                usage(100, 64, 0, 20, 5),
            ),
            (
                Wire::Responses,
                r#"{"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":8,"cache_write_tokens":4},
               "output_tokens":87,"output_tokens_details":{"reasoning_tokens":9},"total_tokens":123}}"#,
                usage(36, 8, 4, 87, 9),
            ),
            (Wire::Other, r#"{"object":"list","usage":{"prompt_tokens":8,"total_tokens":8}}"#, usage(8, 0, 0, 0, 0)),
            (
                Wire::Messages,
                r#"{"usage":{"input_tokens":10,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":5}}"#,
                usage(1110, 1000, 100, 5, 0),
            ),
            (Wire::Chat, r#"{"usage":{"prompt_tokens":0,"completion_tokens":0}}"#, usage(0, 0, 0, 0, 0)),
            // A provider that says odd things.
            (
                Wire::Chat,
                r#"{"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}}"#,
                usage(5, 5, 0, 2, 0),
            ),
            (Wire::Chat, r#"{"usage":{"prompt_tokens":"5","completion_tokens":-1,"total_tokens":1.5}}"#, None),
            (
                Wire::Chat,
                r#"{"usage":{"prompt_tokens":{"a":1},"completion_tokens":[2],"total_tokens":7}}"#,
                usage(7, 0, 0, 0, 0),
            ),
            (Wire::Chat, r#"{"usage":null}"#, None),
            (Wire::Chat, r#"{"usage":[1,{"a":2}]}"#, None),
            (Wire::Chat, r#"{}"#, None),
            (Wire::Chat, "[]", None),
            (Wire::Chat, "<html>", None),
        ];
        for (wire, text, expected) in table {
            assert_eq!(read(wire, text.as_bytes()).usage, expected, "{text}");
        }
        assert_eq!(read(Wire::Chat, br#"{"model":"gpt\u002d4o","usage":{}}"#).model, "gpt-4o");
        assert_eq!(read(Wire::Chat, br#"{"model":7}"#).model, "");
    }

    #[test]
    fn usage_at_the_end_of_a_long_answer() {
        let tail = br#"0.1,0.2]}],"model":"m","usage" : {"prompt_tokens":8,"total_tokens":8}}"#;
        assert_eq!(read_tail(Wire::Other, tail), usage(8, 0, 0, 0, 0));
        for odd in [&b""[..], b"\"usage\"", b"\"usage\":{\"prompt_to", b"\"usage\":null}"] {
            assert_eq!(read_tail(Wire::Other, odd), None);
        }
    }

    #[test]
    fn errors_are_read_where_they_look_like_one() {
        let facts = read_error(
            br#"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        );
        assert_eq!((facts.code.as_str(), facts.kind.as_str()), ("insufficient_quota", "insufficient_quota"));
        assert_eq!(read_error(br#"{"type":"error","error":{"type":"overloaded_error"}}"#).kind, "overloaded_error");
        for odd in [&b"{}"[..], b"{\"error\":\"x\"}", b"{\"error\":{\"code\":42}}", b"nope", b""] {
            assert_eq!(read_error(odd), ErrorFacts::default());
        }
    }
}
