//! The keys of `redaction`.

use std::path::PathBuf;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Hidden, Kind, Named, Shape, section, words};
use crate::redact::{
    Action, Answers, Attachments, ENTITIES, ENTITY_GROUPS, Placeholders, RulesSpec, TokenArrays,
};

words!(Attachments: "drop" => Attachments::Drop, "reject" => Attachments::Reject, "allow" => Attachments::Allow);

words!(TokenArrays: "decode" => TokenArrays::Decode, "refuse" => TokenArrays::Refuse, "allow" => TokenArrays::Allow);

words!(Placeholders: "plain" => Placeholders::Plain, "numbered" => Placeholders::Numbered, "stable" => Placeholders::Stable);

words!(Answers: "off" => Answers::Off, "mask" => Answers::Mask);

words!(Action: "mask" => Action::Mask, "drop_message" => Action::DropMessage, "reject" => Action::Reject, "count" => Action::Count);

/// The name of an entity, or of a group of them. Whether there is one of this name is checked where
/// the rules are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityName(pub String);

impl EntityName {
    /// The names that a policy may give.
    pub fn all() -> impl Iterator<Item = &'static str> {
        ENTITIES.iter().copied().chain(ENTITY_GROUPS.iter().map(|(group, _)| *group))
    }
}

impl Shape for EntityName {
    fn read(node: &Node, problems: &mut Problems) -> Option<EntityName> {
        String::read(node, problems).map(EntityName)
    }
    fn json(&self) -> serde_json::Value {
        self.0.json()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"enum": EntityName::all().collect::<Vec<_>>()})
    }
    fn kind() -> Kind {
        String::kind()
    }
}

section! {
    /// Redaction.
    RawRules => RulesSpec, ..default {
        /// Entities that are found and replaced, such as email, phone, credit_card and api_key, and
        /// groups of them: @eu_ids, @all_ids, @financial, @network, @secrets (see
        /// docs/redaction.md).
        entities: Vec<At<EntityName>> => check = "[email, phone]";
        /// Images, audio and files: drop (a note replaces them), reject (415) or allow.
        attachments: Attachments = "drop";
        /// Text as token ids in embeddings and completions: decode (sent as text, redacted; 415 if
        /// the model has none of OpenAI's encodings), refuse (415) or allow (it passes unread).
        token_arrays: TokenArrays = "decode";
        /// plain ([REDACTED_EMAIL]), numbered ([REDACTED_EMAIL_1]: a value has the same number within
        /// a call) or stable ([REDACTED_EMAIL_BCDFGHJKLM]: a value has the same letters in every
        /// call of its organisation, see `placeholder_key`). With `restore: true`, numbered is the
        /// default and plain is an error.
        placeholders: Placeholders => check = "plain";
        /// If true, the caller's answer has the values in the place of their placeholders, except in
        /// URLs.
        restore: bool = "false";
        /// With `restore`: values are restored in the arguments of tool calls, too. A model that
        /// follows injected instructions can send values out this way.
        restore_arguments: bool = "false";
        /// Values in answers that the call did not send: off (they pass) or mask (placeholders take
        /// their places, also in streams; the last word of a stream waits for the next one). The
        /// caller's own values stay. Audio and images cannot be masked and pass.
        answers: Answers = "off";
        /// The action for each kind of match (an entity, or the name of a pattern or word list):
        /// mask (a placeholder takes its place), drop_message (the message keeps its place, role
        /// and ids, and each of its texts becomes a note), reject (422 `sensitive_data`) or count
        /// (it is counted and passes, also into the log). An entity named here is looked for, too.
        actions: Named<Action> => check = "{}", eg "credit_card: reject";
        /// Values that are not redacted: an address, a domain (@example.com) or a number.
        allow: Hidden<Vec<At<String>>> = "[]", eg "support@example.com";
        /// Patterns of your own.
        custom: Vec<At<RawCustom>> => check = "[]", eg "{name: ticket, pattern: 'TCK-[0-9]{6}', \
            replacement: '[TICKET]'}";
        /// Word lists of your own.
        terms: Vec<At<RawTerms>> => check = "[]", eg "{name: project, words: [Falcon, Blue \
            Harbour], replacement: '[PROJECT]'}";
    }
}
section! {
    /// A pattern of your own.
    RawCustom {
        /// Letters, digits, `_`, `.` and `-`: the kind under which matches are counted.
        name: String;
        /// A regular expression in the syntax of Rust's regex crate (linear time, no look-around).
        pattern: Hidden<String>;
        /// Text that replaces a match; without it, [REDACTED_NAME].
        replacement: Option<String> = "null";
    }
}
section! {
    /// A word list of your own.
    RawTerms {
        /// Letters, digits, `_`, `.` and `-`: the kind under which matches are counted.
        name: String;
        /// Words and phrases.
        words: Hidden<Vec<At<String>>> = "[]";
        /// A file with the words instead, one in each line: at most 1,000,000 lines and 64 MiB. It is
        /// read again when it changes. A relative path is looked for beside `gateway.yaml`, in
        /// `policies/` and in the working directory.
        words_file: Option<PathBuf> = "null";
        /// If true, upper and lower case are different.
        case: bool = "false";
        /// If false, words are found inside longer words, too: `falcon` in `falconry`.
        whole_words: bool = "true";
        /// Text that replaces a match; without it, [REDACTED_NAME].
        replacement: Option<String> = "null";
    }
}
