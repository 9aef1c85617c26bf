//! The parts of a turn, and of an answer.

use std::borrow::Cow;

use crate::translate::ids;
use crate::translate::json::{self, JsonText, Raw};

/// A part of a turn.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The content.
    pub kind: PartKind<'a>,
    /// A cache mark after it. A hint.
    pub cache: Option<CacheMark>,
    /// Where it stood in the caller's request.
    pub place: Place,
}

impl<'a> Part<'a> {
    /// A part without a cache mark.
    pub fn new(kind: PartKind<'a>, place: Place) -> Part<'a> {
        Part { kind, cache: None, place }
    }

    /// A part of an answer.
    pub fn of_answer(kind: PartKind<'a>) -> Part<'a> {
        Part::new(kind, Place::default())
    }

    /// A text without a signature, in the place of this part.
    pub fn text_here(&self, text: JsonText<'a>) -> Part<'a> {
        Part { kind: PartKind::Text(TextPart::plain(text)), cache: self.cache, place: self.place }
    }

    /// Whether it has a cache mark, or a part of it has.
    pub fn is_marked(&self) -> bool {
        let inner: &[Part<'_>] = match &self.kind {
            PartKind::ToolResult(result) => &result.content,
            PartKind::Media(Media { source: Source::Parts(parts), .. }) => parts,
            _ => &[],
        };
        self.cache.is_some() || inner.iter().any(Part::is_marked)
    }

    /// Whether it is text without a character other than white space.
    pub fn is_blank_text(&self) -> bool {
        matches!(&self.kind, PartKind::Text(text) if text.text.is_blank() && text.signature.is_none())
    }
}

/// The index of a message in the caller's list (`messages`, `input`), and of the part in it. Its
/// name is `Names::place`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `None`: not in the list (`system`, `instructions`).
    pub message: Option<u32>,
    /// `None`: the content is a string.
    pub part: Option<u32>,
}

/// The kinds of parts.
#[derive(Clone, Debug)]
pub enum PartKind<'a> {
    /// Text.
    Text(TextPart<'a>),
    /// An image, a document or sound.
    Media(Media<'a>),
    /// A call of a tool, in an assistant turn or an answer.
    ToolCall(ToolCall<'a>),
    /// The result of a call, in a user turn.
    ToolResult(ToolResult<'a>),
    /// Thinking, in an assistant turn or an answer.
    Reasoning(Reasoning<'a>),
    /// A search result of the caller's own, to be cited.
    SearchResult(SearchResult<'a>),
}

/// A search result of the caller's own.
#[derive(Clone, Debug)]
pub struct SearchResult<'a> {
    /// Its title.
    pub title: JsonText<'a>,
    /// Its source: a URL or a name.
    pub source: JsonText<'a>,
    /// Its texts.
    pub texts: Vec<JsonText<'a>>,
    /// Citations are wanted.
    pub citations: bool,
}

impl<'a> SearchResult<'a> {
    /// All of it as one text, for formats that have nothing of the kind.
    pub fn as_text(&self) -> JsonText<'a> {
        JsonText::lines([&self.title, &self.source].into_iter().chain(&self.texts))
    }
}

/// Text.
#[derive(Clone, Debug, Default)]
pub struct TextPart<'a> {
    /// The text.
    pub text: JsonText<'a>,
    /// The model refused, and this is its explanation.
    pub is_refusal: bool,
    /// Opaque data of the provider that belongs to it (Gemini's signature).
    pub signature: Option<Opaque<'a>>,
}

impl<'a> TextPart<'a> {
    /// Text and nothing else.
    pub fn plain(text: JsonText<'a>) -> TextPart<'a> {
        TextPart { text, is_refusal: false, signature: None }
    }
}

/// An image, a document or sound.
#[derive(Clone, Debug)]
pub struct Media<'a> {
    /// Its kind.
    pub kind: MediaKind,
    /// Its content, or where it is.
    pub source: Source<'a>,
    /// Its file name or title.
    pub title: Option<JsonText<'a>>,
    /// A note on the document for the model (Anthropic's `context`).
    pub context: Option<JsonText<'a>>,
    /// How closely an image is looked at.
    pub detail: Option<Detail>,
    /// Citations are wanted.
    pub citations: bool,
}

impl<'a> Media<'a> {
    /// Media without a title and other extras.
    pub fn new(kind: MediaKind, source: Source<'a>) -> Media<'a> {
        Media { kind, source, title: None, context: None, detail: None, citations: false }
    }
}

/// The kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// An image.
    Image,
    /// A document: PDF, text and others.
    Document,
    /// Sound.
    Audio,
}

/// The content of media, or where it is.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// Its bytes.
    Base64 {
        /// `image/png`, in lower case, without parameters; `image/jpg` is `image/jpeg` here.
        media_type: Cow<'a, str>,
        /// Base64 without white space.
        data: JsonText<'a>,
    },
    /// Its text.
    Text {
        /// `text/plain`.
        media_type: Cow<'a, str>,
        /// The text.
        text: JsonText<'a>,
    },
    /// Parts of its own (Anthropic's `document.source.content`): texts and images.
    Parts(Vec<Part<'a>>),
    /// An address.
    Url(JsonText<'a>),
    /// The id of a stored file.
    File(JsonText<'a>),
}

/// How closely an image is looked at. `auto` is the absence of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// `low`.
    Low,
    /// `high`, `original`.
    High,
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct ToolCall<'a> {
    /// Its id, as the caller or the provider gave it; empty if there is none (Gemini).
    pub id: JsonText<'a>,
    /// The name of the tool.
    pub name: JsonText<'a>,
    /// The arguments.
    pub arguments: Arguments<'a>,
    /// Opaque data of the provider that belongs to it (Gemini's signature).
    pub signature: Option<Opaque<'a>>,
}

/// The arguments of a call.
#[derive(Clone, Debug)]
pub enum Arguments<'a> {
    /// A JSON object.
    Object(Raw<'a>),
    /// The text of a JSON object, in a string (OpenAI). Not yet looked at: a call that was cut off
    /// has half an object.
    Text(JsonText<'a>),
    /// The free text of a custom tool.
    Custom(JsonText<'a>),
}

impl<'a> Arguments<'a> {
    /// The arguments as a JSON object: blank text is `{}`, free text is `{"input": text}`.
    ///
    /// # Errors
    /// The text, if it is not a JSON object: the call was cut off, or its model was careless.
    pub fn as_object(&self) -> Result<Raw<'_>, Cow<'_, str>> {
        match self {
            Arguments::Object(object) => Ok(object.borrow()),
            Arguments::Text(text) if text.is_blank() => Ok(Raw::trusted("{}")),
            Arguments::Text(text) => {
                let plain = text.plain();
                if json::is_object(&plain) { Ok(Raw::trusted(plain)) } else { Err(plain) }
            }
            Arguments::Custom(text) => {
                Ok(Raw::trusted(format!("{{\"input\":\"{}\"}}", text.escaped())))
            }
        }
    }

    /// As [`Arguments::as_object`]; text that is not an object becomes `{"raw": text}`, and the
    /// second value is true.
    pub fn as_object_or_raw(&self) -> (Raw<'_>, bool) {
        match self.as_object() {
            Ok(object) => (object, false),
            Err(text) => {
                let text = JsonText::from_plain(text);
                (Raw::trusted(format!("{{\"raw\":\"{}\"}}", text.escaped())), true)
            }
        }
    }

    /// The arguments as the text of a JSON object: blank text is `{}`, an object is written without
    /// white space, other text stays as it is.
    pub fn as_text(&self) -> JsonText<'_> {
        match self {
            Arguments::Object(object) => JsonText::from_plain(json::compact(object.json())),
            Arguments::Text(text) if text.is_blank() => JsonText::literal("{}"),
            Arguments::Text(text) => text.borrow(),
            Arguments::Custom(_) => match self.as_object() {
                Ok(object) => JsonText::from_plain(object.into_json()),
                Err(text) => JsonText::from_plain(text),
            },
        }
    }
}

/// The result of a call.
#[derive(Clone, Debug)]
pub struct ToolResult<'a> {
    /// The id of the call.
    pub call_id: JsonText<'a>,
    /// The name of the tool. Readers leave it empty; it is filled in from the call.
    pub name: JsonText<'a>,
    /// Texts, media and search results.
    pub content: Vec<Part<'a>>,
    /// The call failed.
    pub is_error: bool,
}

/// Thinking of the model.
#[derive(Clone, Debug, Default)]
pub struct Reasoning<'a> {
    /// The text that may be read; empty if it is hidden.
    pub text: JsonText<'a>,
    /// Opaque data of the provider: the signature of the text, or the hidden text.
    pub opaque: Option<Opaque<'a>>,
}

/// Opaque data of a provider, which must come back to it unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque<'a> {
    /// The maker of the model that can read it.
    pub vendor: Vendor,
    /// Its meaning.
    pub kind: OpaqueKind,
    /// The data, as the provider wrote it.
    pub data: JsonText<'a>,
}

impl Opaque<'_> {
    /// The same data with storage of its own.
    pub fn into_owned(self) -> Opaque<'static> {
        Opaque { vendor: self.vendor, kind: self.kind, data: self.data.into_owned() }
    }
}

/// The meaning of opaque data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueKind {
    /// Signs the text beside it.
    Signature,
    /// Stands for text that is hidden (`redacted_thinking`, `redactedContent`,
    /// `encrypted_content`).
    Hidden,
}

/// The maker of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Claude, wherever it runs.
    Anthropic,
    /// Gemini.
    Google,
    /// Models of OpenAI.
    OpenAi,
    /// Nova.
    Amazon,
    /// Any other.
    Other,
}

/// A mark after which the prompt up to here is worth caching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheMark {
    /// For how long, in minutes; `None`: as long as is usual.
    pub minutes: Option<u32>,
}

impl ToolCall<'_> {
    /// Whether the id is one that every format takes.
    pub fn has_plain_id(&self) -> bool {
        ids::is_plain(self.id.escaped())
    }
}
