//! An open object or array, and its path.

use super::{NAME_MAX, decimal};
use crate::detect::words::Says;
use crate::facts::Fact;
use crate::keys::{Key, PartKind, is_thinking};
use crate::scan::Media;

/// The place of a container in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Top,
    /// `messages`, or the items of `input`.
    Items,
    /// A message or an item.
    Item,
    /// A list of content parts.
    Parts,
    /// A content part: its type must be known.
    Part,
    /// An object that may be an attachment by its type.
    Typed,
    /// User data: keys are text too.
    Data,
    /// Values for the variables of a stored prompt: whatever its key, a string is text.
    Variables,
    /// A JSON Schema.
    Schema,
    StreamOptions,
    Plain,
}

/// An open container.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) place: Place,
    pub(crate) object: bool,
    pub(crate) key: Key,
    pub(crate) name: [u8; NAME_MAX],
    pub(crate) name_len: u8,
    /// Values begun.
    pub(crate) values: u32,
    /// Held back until its type is known.
    pub(crate) held: bool,
    pub(crate) kind: Option<PartKind>,
    pub(crate) has_text: bool,
    pub(crate) noted: usize,
    pub(crate) fields: usize,
    /// The path of the object or array itself, once it was asked for.
    pub(crate) path: Option<Path>,
    /// The hint of the key at hand about a number, once it was asked for.
    pub(crate) says: Option<Option<Says>>,
    /// It stands under a key that is about telephones: `"phone": {"home": …}`. Known once it was
    /// asked for.
    pub(crate) phones: Option<bool>,
    /// Its keys are the API's, not the user's.
    pub(crate) api: bool,
    /// The top level, or `extra_body`, which some servers merge into it.
    pub(crate) top: bool,
    /// The fact that the key at hand tells about the call, and the fact of the key under which the
    /// object stands.
    pub(crate) fact: Fact,
    pub(crate) owner: Fact,
    /// Its `id`, until it is known whether the object is an item that the provider keeps.
    pub(crate) id: String,
    /// The parts of an item that were seen.
    pub(crate) item: u8,
    /// Objects kept at the provider that were named before it.
    pub(crate) stored: usize,
    /// A part of the type `document` whose source is not known yet.
    pub(crate) document: bool,
    /// A part whose source is text.
    pub(crate) text_source: bool,
    /// The meaning of its type and media type for the data in it.
    pub(crate) media: Media,
    /// It has data in base64.
    pub(crate) encoded: bool,
    /// Its `data` is the provider's own.
    pub(crate) opaque: bool,
}

/// Bits of [`Frame::item`]: it has a type, a type that names an item which is not sent, one whose
/// content may be left out, a role, or content.
pub(crate) const ITEM_TYPED: u8 = 1;
pub(crate) const ITEM_REFERENCE: u8 = 2;
pub(crate) const ITEM_ECHO: u8 = 4;
pub(crate) const ITEM_ROLE: u8 = 8;
pub(crate) const ITEM_CONTENT: u8 = 16;

impl Frame {
    /// The key at hand, of which the beginning is kept.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name[..usize::from(self.name_len)]
    }

    /// Whether the text under the key at hand is the provider's own, which it has signed.
    pub(crate) fn is_signed(&self) -> bool {
        let name = self.name();
        self.key == Key::Opaque || name == b"thinking" || is_thinking(name)
    }

    /// Appends the element or key at hand to a path.
    pub(crate) fn write_key(&self, path: &mut String) {
        if !self.object {
            path.push('[');
            path.push_str(decimal(self.values.saturating_sub(1).into(), &mut [0; 20]));
            path.push(']');
            return;
        }
        let name = self.name();
        let (mut digits, mut others) = (0, 0);
        for b in name {
            digits += usize::from(b.is_ascii_digit());
            others += usize::from(!matches!(b, b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'));
        }
        let plain = self.place != Place::Data
            && self.place != Place::Schema
            && name.len() < NAME_MAX
            && others == 0
            && digits < 4;
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(if plain { std::str::from_utf8(name).unwrap_or("*") } else { "*" });
    }
}

/// A path that stands in [`Body::path`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Path {
    pub(crate) len: usize,
    pub(crate) digest: u64,
}
