//! How a body is read: a format of bodies as data.
//!
//! Pure. The redactor knows the words that APIs of language models share (`messages`, `content`,
//! `tools`, `metadata` …); a schema says what they mean in one format. Does not: name a provider,
//! or list the strings that are text. Each string is text unless its place is known to be none.

/// Whose words a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// A request whose format is known: an object, in which names of the API stay as they are.
    Request,
    /// A request whose format is not known: any JSON value, in which each string is text of the
    /// user and each known form of an attachment is one.
    Unknown,
    /// An answer on its way to the log: each string is text, and no part is refused for its type.
    Answer,
}

/// One format of bodies. [`Schema::REQUEST`], [`Schema::UNKNOWN`] and [`Schema::ANSWER`] are to
/// start from:
///
/// ```
/// use tollgate_redact::Schema;
/// const CHAT: Schema =
///     Schema { usage_option: true, output_bounds: &["max_tokens"], ..Schema::REQUEST };
/// assert!(CHAT.usage_option && !CHAT.typed_items);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Whose words the body holds.
    pub texts: Texts,
    /// `input` is text or a list of content parts, not a list of items or messages.
    pub input_is_parts: bool,
    /// A list of content parts may hold lists (of tokens); elsewhere that is refused.
    pub lists_of_tokens: bool,
    /// The top-level field whose text may come as token ids, in one list or in a list of lists;
    /// empty if there is none.
    pub token_field: &'static str,
    /// A part of the type `document` whose `source` has the type `text` or `content` is text, not
    /// an attachment.
    pub text_documents: bool,
    /// Items are told by their `type`. An item with an `id` and nothing else is one that the
    /// provider keeps, and an attachment item is taken out whole.
    pub typed_items: bool,
    /// `prompt` may be a list, and each entry is answered by itself.
    pub prompts: bool,
    /// `stream_options.include_usage` is known, so that it may be added.
    pub usage_option: bool,
    /// `store` is known, so that it may be set to `false`.
    pub store_option: bool,
    /// A content part that says that an attachment was removed, as JSON.
    pub removed_part: &'static str,
    /// Top-level fields that bound the answer, in tokens. Others that sound alike are taken as
    /// bounds that may not hold.
    pub output_bounds: &'static [&'static str],
}

impl Schema {
    /// A request of a known format without any of the options.
    pub const REQUEST: Schema = Schema {
        texts: Texts::Request,
        input_is_parts: false,
        lists_of_tokens: false,
        token_field: "",
        text_documents: false,
        typed_items: false,
        prompts: false,
        usage_option: false,
        store_option: false,
        removed_part: r#"{"type":"text","text":"[attachment removed]"}"#,
        output_bounds: &[
            "max_completion_tokens",
            "max_tokens",
            "max_output_tokens",
            "max_tokens_to_sample",
        ],
    };

    /// A request of an unknown format.
    pub const UNKNOWN: Schema = Schema { texts: Texts::Unknown, ..Schema::REQUEST };

    /// An answer.
    pub const ANSWER: Schema = Schema { texts: Texts::Answer, ..Schema::REQUEST };

    #[inline]
    pub(crate) fn is_answer(&self) -> bool {
        self.texts == Texts::Answer
    }

    #[inline]
    pub(crate) fn is_unknown(&self) -> bool {
        self.texts == Texts::Unknown
    }
}
