//! The rules of a policy before they are compiled, and why they cannot be.
//!
//! A leaf but for the names of detectors. Pure data.

use crate::detect::{self, DETECTORS};
use crate::names::Names;
use crate::placeholder::Placeholders;

/// The rules of a policy before they are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RulesSpec {
    /// Names from [`ENTITIES`] and [`ENTITY_GROUPS`].
    pub entities: Vec<String>,
    /// How attachments are treated.
    pub attachments: Attachments,
    /// How text that comes as token ids is treated.
    pub token_arrays: TokenArrays,
    /// How placeholders are written.
    pub placeholders: Placeholders,
    /// Values are put back in the answer; with plain placeholders, those get numbers.
    pub restore: bool,
    /// In the arguments of tool calls, too.
    pub restore_arguments: bool,
    /// The treatment of values in an answer that its call has not sent.
    pub answers: Answers,
    /// The action on matches of a kind, by its name; an entity named here is looked for, too.
    pub actions: Vec<(String, Action)>,
    /// Patterns of the policy's own.
    pub custom: Vec<CustomSpec>,
    /// Word lists of the policy's own.
    pub terms: Vec<TermsSpec>,
    /// Long lists of names.
    pub names: Vec<NamesSpec>,
    /// Values that may stay: `support@example.com`, all of a domain as `@example.com`, or a number,
    /// whose digits alone count. Case does not matter. Only for the built-in entities but
    /// `api_key`.
    pub allow: Vec<String>,
}

/// One `redaction.custom`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomSpec {
    /// Its name in the ledger.
    pub name: String,
    /// A regular expression; sees folded text, matches at most [`CUSTOM_SPAN_MAX`](crate::CUSTOM_SPAN_MAX) bytes for
    /// certain.
    pub pattern: String,
    /// Put in the place of each match, as it stands.
    pub replacement: String,
}

/// One `redaction.terms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TermsSpec {
    /// Its name in the ledger.
    pub name: String,
    /// Found as whole words; upper and lower case are alike in ASCII.
    pub words: Vec<String>,
    /// Put in the place of each word, as it stands.
    pub replacement: String,
}

/// The treatment of values in an answer that its call has not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Answers {
    /// They pass.
    #[default]
    Off,
    /// Placeholders take their places.
    Mask,
}

/// The action on a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// A placeholder takes its place.
    #[default]
    Mask,
    /// The message that holds it is removed: a note takes the place of its texts.
    DropMessage,
    /// The request is refused.
    Reject,
    /// It is counted and stays.
    Count,
}

/// One long list of names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamesSpec {
    /// Its name in the ledger.
    pub name: String,
    /// The names.
    pub names: Names,
    /// Put in the place of each, as it stands.
    pub replacement: String,
}

/// How attachments (image, audio, file, document parts and `data:` URLs) are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Attachments {
    /// Taken out; the message keeps a short note.
    #[default]
    Drop,
    /// The call is refused.
    Reject,
    /// They pass.
    Allow,
}

/// How text that comes as token ids is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TokenArrays {
    /// It is sent as text, redacted; refused where the encoding of the model is not known.
    #[default]
    Decode,
    /// The call is refused.
    Refuse,
    /// Token ids pass unread.
    Allow,
}

/// The entities that a policy may name.
pub const ENTITIES: &[&str] = &{
    let mut names = [""; DETECTORS.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = DETECTORS[n].name;
        n += 1;
    }
    names
};

/// Names for several entities, which a policy may give in their place, and the entities.
pub const ENTITY_GROUPS: &[(&str, &[&str])] = detect::GROUPS;

/// Why rules cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// An entity that is not in [`ENTITIES`] or [`ENTITY_GROUPS`].
    #[error("unknown entity `{0}`")]
    UnknownEntity(String),
    /// `custom[index]` is no pattern that can be used.
    #[error("custom[{index}]: {reason}")]
    Pattern {
        /// Its place in the list.
        index: usize,
        /// The problem.
        reason: String,
    },
    /// `allow[index]` says nothing: it has neither letters nor digits.
    #[error("allow[{index}]: has neither letters nor digits")]
    Allow {
        /// Its place in the list.
        index: usize,
    },
    /// `actions[index]` names no entity, pattern or word list.
    #[error("actions[{index}]: names no entity, pattern or word list")]
    Action {
        /// Its place in the list.
        index: usize,
    },
    /// `terms[index]` cannot be used.
    #[error("terms[{index}]: {reason}")]
    Terms {
        /// Its place in the list.
        index: usize,
        /// The problem.
        reason: String,
    },
}
