//! Where in a body a reader is: finds the strings that the log keeps apart.
//!
//! Pure. Guarantees: a request has one message at hand at most, and a string is text of it by the
//! names of the fields around it alone. Does not: read bytes or keep text (`whole` and `Keeper` do).

/// Depth to which the names of fields are looked at.
const NAMES: usize = 7;

/// The kind of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Answer,
}

/// Names of fields that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Name {
    #[default]
    Other,
    Messages,
    Input,
    Prompt,
    Content,
    Text,
    Role,
    Choices,
    Message,
    Output,
    Metadata,
}

impl Name {
    fn of(word: &[u8]) -> Name {
        match word {
            b"messages" => Name::Messages,
            b"input" => Name::Input,
            b"prompt" => Name::Prompt,
            b"content" => Name::Content,
            b"text" => Name::Text,
            b"role" => Name::Role,
            b"choices" => Name::Choices,
            b"message" => Name::Message,
            b"output" => Name::Output,
            b"metadata" => Name::Metadata,
            _ => Name::Other,
        }
    }
}

/// The parts of a body that begin with a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    /// A message.
    pub(crate) message: bool,
    /// Text that is kept.
    pub(crate) text: bool,
    /// An entry of `metadata` that is text.
    pub(crate) noted: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    kind: Kind,
    depth: usize,
    names: [Name; NAMES],
    /// Entries of the list at depth 2 so far.
    entries: usize,
    /// The container at depth 2 is a list.
    is_list: bool,
    in_message: bool,
    is_user: bool,
    has_text: bool,
}

impl Finder {
    pub(crate) fn new(kind: Kind) -> Finder {
        Finder {
            kind,
            depth: 0,
            names: [Name::Other; NAMES],
            entries: 0,
            is_list: false,
            in_message: false,
            is_user: false,
            has_text: false,
        }
    }

    /// Containers that are open.
    #[inline]
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// A message is at hand.
    pub(crate) fn in_message(&self) -> bool {
        self.in_message
    }

    /// The message at hand, or the answer, has text.
    pub(crate) fn has_text(&self) -> bool {
        self.has_text
    }

    /// The field at the top that is at hand.
    pub(crate) fn top(&self) -> Name {
        self.names[1]
    }

    /// A list of messages is at hand.
    pub(crate) fn in_messages(&self) -> bool {
        self.depth >= 2 && self.is_list && self.holds_messages()
    }

    /// Whether the field at the top is the list of messages, or a prompt.
    fn holds_messages(&self) -> bool {
        matches!(self.names[1], Name::Messages | Name::Input | Name::Prompt)
    }

    /// A container or a string begins as a value.
    #[inline]
    pub(crate) fn begin(&mut self, is_string: bool) -> Begun {
        let message = self.kind == Kind::Request
            && !self.in_message
            && self.holds_messages()
            && (self.depth == 2 && self.is_list
                || self.depth == 1 && is_string && self.names[1] != Name::Messages);
        if message {
            (self.in_message, self.is_user, self.has_text) = (true, is_string, is_string);
        }
        let text = is_string && self.is_text();
        self.has_text |= text;
        let noted = is_string
            && self.depth == 2
            && self.names[1] == Name::Metadata
            && self.kind == Kind::Request;
        Begun { message, text, noted }
    }

    /// Whether a string at hand is text of a message or of the answer.
    fn is_text(&self) -> bool {
        use Name::*;
        let names = &self.names;
        match (self.kind, self.depth, names[1]) {
            (Kind::Request, 1 | 2, _) => self.in_message,
            (Kind::Request, 3, _) => self.in_message && names[3] == Content,
            (Kind::Request, 5, _) => self.in_message && names[3] == Content && names[5] == Text,
            (Kind::Answer, 1, Content) => true,
            (Kind::Answer, 3, Content) => names[3] == Text,
            (Kind::Answer, 3, Choices) => self.entries == 0 && matches!(names[3], Content | Text),
            (Kind::Answer, 4, Choices) => {
                self.entries == 0 && names[3] == Message && names[4] == Content
            }
            (Kind::Answer, 6, Choices) => {
                self.entries == 0 && names[3..7] == [Message, Content, Other, Text]
            }
            (Kind::Answer, 5, Output) => names[3] == Content && names[5] == Text,
            _ => false,
        }
    }

    /// A container opens.
    #[inline]
    pub(crate) fn open(&mut self, is_list: bool) {
        self.depth += 1;
        self.set_name(Name::Other);
        if self.depth == 2 {
            (self.entries, self.is_list) = (0, is_list);
        }
    }

    /// It closes; [`Finder::end`] follows.
    #[inline]
    pub(crate) fn close(&mut self) {
        self.depth -= 1;
    }

    /// A comma between two entries.
    #[inline]
    pub(crate) fn comma(&mut self) {
        self.entries += usize::from(self.depth == 2);
    }

    /// The name of a field has been read.
    #[inline]
    pub(crate) fn name(&mut self, word: &[u8]) {
        self.set_name(Name::of(word));
    }

    fn set_name(&mut self, name: Name) {
        if let Some(place) = self.names.get_mut(self.depth) {
            *place = name;
        }
    }

    /// A string that is a value and no text.
    #[inline]
    pub(crate) fn string(&mut self, word: &[u8]) {
        if self.depth == 3 && self.names[3] == Name::Role {
            self.is_user = word == b"user";
        }
    }

    /// A value has ended: `true` if it was a message of a user that has text.
    #[inline]
    pub(crate) fn end(&mut self) -> bool {
        let at_end = self.in_message && matches!(self.depth, 1 | 2);
        self.in_message &= !at_end;
        at_end && self.is_user && self.has_text
    }
}
