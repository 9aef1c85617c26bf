//! A string or a container is judged by its place: how closely it is looked at, and the place of
//! its children.

use std::sync::Arc;

use super::Body;
use super::frame::{Frame, Place};
use crate::detect::words::Says;
use crate::keys::{Key, is_providers_own, is_thinking};
use crate::scan::{Blob, Look, Scanner, is_harmless};
use crate::schema::Texts;

impl Body {
    /// The meaning of the key at hand for a number in the string under it.
    pub(crate) fn hint(&mut self) -> Option<Says> {
        let at = self.frames.len().checked_sub(1)?;
        if let Some(says) = self.frames[at].says {
            return says;
        }
        let words = self.rules.words;
        let mut says = self.keys.key(words, self.frames[at].name());
        if says.is_none() && self.is_under_phones(at) && !words.is_neutral(self.frames[at].name()) {
            says = Some(Says::Phone);
        }
        // The lists that this one stands in have the same key, and so do those that follow in them.
        for frame in self.frames.iter_mut().rev() {
            frame.says = Some(says);
            if frame.object {
                break;
            }
        }
        says
    }

    /// How the string value at hand is looked at; nothing if it passes.
    pub(crate) fn look(&self) -> Option<Look> {
        let Some(frame) = self.top() else { return Some(Look::All) };
        if self.masking {
            let name = &frame.name[..usize::from(frame.name_len)];
            let thinks = |f: &Frame| is_thinking(&f.name[..usize::from(f.name_len)]);
            let signed =
                is_providers_own(name) || self.translated && self.frames.iter().any(thinks);
            return (!signed).then_some(Look::All);
        }
        match (frame.place, frame.key) {
            (Place::Top, Key::Model) => None,
            // Ids and names of an answer are made by the provider.
            (Place::Data, Key::Type | Key::Role | Key::Model) if self.schema.is_answer() => None,
            (Place::Data, Key::Name | Key::Called) if self.schema.is_answer() => Some(Look::Names),
            (Place::Data | Place::Variables, _) => Some(Look::All),
            (_, Key::Type | Key::Role | Key::Media) => Some(Look::Names),
            (Place::Schema, _) => Some(Look::All),
            (Place::Item, Key::Called) if !self.schema.is_answer() => Some(Look::Speaker),
            (_, Key::Name | Key::Called) => Some(Look::Names),
            _ => Some(Look::All),
        }
    }

    /// Whether a string that is all of `text` needs no closer look.
    pub(crate) fn is_harmless(&self, text: &[u8], look: Look) -> bool {
        is_harmless(&self.rules, self.marks, text, look)
    }

    /// Tells the scanner of the string at hand, if it does not know of it.
    #[inline]
    pub(crate) fn begin(&mut self) -> &mut Scanner {
        if let Some(look) = self.waiting.take() {
            self.begin_string(look);
        }
        self.scanner()
    }

    fn scanner(&mut self) -> &mut Scanner {
        let Body { scanner, rules, own, marks, .. } = self;
        scanner.get_or_insert_with(|| {
            let mut scanner = Box::new(Scanner::new(Arc::clone(rules), 1));
            (scanner.marks, scanner.digests) = (*marks, own.is_some());
            scanner
        })
    }

    fn begin_string(&mut self, look: Look) {
        if self.reading_key {
            self.changeable = true;
            return self.scanner().begin(look, None, Blob::None);
        }
        // The provider has signed its thinking.
        self.changeable = look == Look::All && !self.top().is_some_and(Frame::is_signed);
        let hint = match self.top() {
            Some(f) if look == Look::All && f.key == Key::Other => self.hint(),
            _ => None,
        };
        let (blob, json) = (self.blob(), self.top().is_some_and(|f| f.key == Key::Arguments));
        let scanner = self.scanner();
        scanner.begin(look, hint, blob);
        scanner.json = json;
    }

    /// Whether the keys of what opens as `child` under the key at hand are the API's.
    pub(crate) fn is_api(&self, child: Place) -> bool {
        let Some(frame) = self.top() else { return !self.schema.is_answer() };
        let users = match self.schema.texts {
            Texts::Unknown => matches!(frame.key, Key::Metadata | Key::Arguments | Key::Schema),
            _ => matches!(child, Place::Data | Place::Schema | Place::Variables),
        };
        // The sources of an answer are listed there, and not asked for.
        let told = matches!(&frame.name[..frame.name_len as usize], b"annotations" | b"citations");
        frame.api && !users && !told || frame.place == Place::Variables
    }

    pub(crate) fn seen(&self, key: Key) -> bool {
        key.routing_bit().is_some_and(|bit| self.seen & 1 << bit != 0)
    }

    /// Whether the container that is the frame of this number stands under a key that is about
    /// telephones, or in an object that does.
    fn is_under_phones(&mut self, at: usize) -> bool {
        let known = self.frames[..=at].iter().rposition(|f| f.phones.is_some());
        for at in known.map_or(0, |known| known + 1)..=at {
            let phones = self.stands_under_phones(at);
            self.frames[at].phones = Some(phones);
        }
        self.frames[at].phones.unwrap_or(false)
    }

    /// The same, if it is known of the one around it.
    fn stands_under_phones(&mut self, at: usize) -> bool {
        let [.., outer, inner] = &self.frames[..=at] else { return false };
        if inner.place != Place::Data {
            return false;
        }
        let (words, name, phones) = (self.rules.words, outer.name(), outer.phones == Some(true));
        // The key of a list is that of the list, and no word is shorter.
        if !outer.object || name.len() < 3 {
            return phones;
        }
        match self.keys.key(words, name) {
            Some(Says::Phone) => words.is_strong(name),
            Some(Says::Identifier) => false,
            None => phones && !words.is_neutral(name),
        }
    }

    /// The place of the object or array that opens under the key at hand.
    pub(crate) fn child(&self, object: bool) -> Place {
        let Some(frame) = self.top() else {
            return if object && !self.schema.is_answer() { Place::Top } else { Place::Data };
        };
        if self.schema.texts != Texts::Request {
            return Place::Data;
        }
        match (frame.place, frame.key) {
            (Place::Data, _) => Place::Data,
            (Place::Schema, _) => Place::Schema,
            (Place::Items, _) => Place::Item,
            (Place::Parts, _) => Place::Part,
            (Place::Top, Key::Messages) => Place::Items,
            (Place::Top, Key::Input) if self.schema.input_is_parts => Place::Parts,
            (Place::Top, Key::Input) => Place::Items,
            (Place::Top, Key::System) if !object => Place::Parts,
            (Place::Top, Key::StreamOptions) => Place::StreamOptions,
            (Place::Top, Key::Prompt) => Place::Typed,
            (_, Key::Metadata) => Place::Data,
            (Place::Item | Place::Part | Place::Typed, Key::Content) => {
                if object {
                    Place::Typed
                } else {
                    Place::Parts
                }
            }
            (Place::Top | Place::Plain, Key::Content) if !object => Place::Parts,
            (_, Key::Arguments) => Place::Data,
            (Place::Part | Place::Item | Place::Plain, Key::Input) => Place::Data,
            (Place::Plain | Place::Typed, Key::Schema) => Place::Schema,
            (Place::Typed, Key::Variables) if object => Place::Variables,
            (Place::Part | Place::Typed | Place::Variables, _) => Place::Typed,
            _ if object && frame.place == Place::Top && frame.key == Key::Other => Place::Plain,
            _ => Place::Plain,
        }
    }
}
