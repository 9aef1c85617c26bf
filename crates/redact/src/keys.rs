//! The names in request bodies that mean something to the redactor, and the types of content parts.
//!
//! Pure tables. Source: OpenAI's OpenAPI description 2.3.0 and Anthropic's Messages API, read in
//! November 2026; `vocabulary.txt` has the field names of openai-python 3.57.0 and anthropic-python
//! 2.14.0.

use std::sync::LazyLock;

use super::scan::Media;

/// A key of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Key {
    Model,
    Stream,
    Messages,
    Input,
    Prompt,
    /// Values for a stored prompt, by names that the user gave.
    Variables,
    StreamOptions,
    IncludeUsage,
    Store,
    Background,
    PreviousResponseId,
    Conversation,
    Type,
    Role,
    /// `content` and its kin: text, or a list of parts.
    Content,
    System,
    Metadata,
    Arguments,
    Schema,
    Audio,
    Source,
    Text,
    /// Always an attachment.
    Attachment,
    /// An attachment where its value is base64.
    Blob,
    /// Opaque to everyone but the provider.
    Opaque,
    /// The media type of the data beside it.
    Media,
    /// An identifier, a name or a choice from a list.
    Name,
    /// `name`: of a message who speaks, elsewhere what a tool is called.
    Called,
    #[default]
    Other,
}

impl Key {
    pub(crate) fn of(name: &[u8]) -> Key {
        match name {
            b"model" => Key::Model,
            b"stream" => Key::Stream,
            b"messages" => Key::Messages,
            b"input" => Key::Input,
            b"prompt" => Key::Prompt,
            b"variables" => Key::Variables,
            b"stream_options" => Key::StreamOptions,
            b"include_usage" => Key::IncludeUsage,
            b"store" => Key::Store,
            b"background" => Key::Background,
            b"previous_response_id" => Key::PreviousResponseId,
            b"conversation" => Key::Conversation,
            b"type" => Key::Type,
            b"role" => Key::Role,
            b"content" | b"output" | b"parts" | b"summary" | b"outputs" => Key::Content,
            b"system" => Key::System,
            b"metadata" | b"client_metadata" => Key::Metadata,
            b"arguments" => Key::Arguments,
            b"parameters" | b"input_schema" | b"schema" | b"output_schema" => Key::Schema,
            b"audio" => Key::Audio,
            b"source" => Key::Source,
            b"text" => Key::Text,
            b"image_url" | b"input_audio" | b"file_data" | b"file_url" | b"video_url"
            | b"inline_data" | b"inlineData" | b"fileData" | b"input_image" | b"input_file"
            | b"input_video" => Key::Attachment,
            b"file" | b"image" | b"video" | b"media" | b"document" | b"data" | b"b64_json"
            | b"result" | b"embedding" | b"mask" | b"partial_image_b64" => Key::Blob,
            b"signature" | b"thought_signature" | b"thoughtSignature" => Key::Opaque,
            _ if name.starts_with(b"encrypted_") => Key::Opaque,
            b"media_type" | b"mime_type" | b"mimeType" => Key::Media,
            b"name" => Key::Called,
            b"id" | b"object" | b"tool_choice" | b"service_tier" | b"reasoning_effort"
            | b"effort" | b"verbosity" | b"truncation" | b"detail" | b"voice"
            | b"encoding_format" | b"size" | b"quality" | b"style" | b"moderation"
            | b"output_format" | b"response_format" | b"status" | b"finish_reason" | b"include"
            | b"modalities" | b"cache_control" | b"ttl" => Key::Name,
            b"call_id"
            | b"tool_call_id"
            | b"tool_use_id"
            | b"item_id"
            | b"response_id"
            | b"file_id"
            | b"file_ids"
            | b"container_id"
            | b"vector_store_id"
            | b"vector_store_ids"
            | b"connector_id"
            | b"prompt_id"
            | b"approval_request_id"
            | b"request_id"
            | b"message_id"
            | b"thread_id"
            | b"run_id"
            | b"assistant_id"
            | b"batch_id"
            | b"skill_id"
            | b"input_file_id"
            | b"output_file_id" => Key::Name,
            _ => Key::Other,
        }
    }

    /// Which bit says that a key that routing or limits depend on was seen; such a key may stand
    /// once.
    pub(crate) fn routing_bit(self) -> Option<u8> {
        match self {
            Key::Model => Some(0),
            Key::Stream => Some(1),
            Key::Messages => Some(2),
            Key::Input => Some(3),
            Key::Prompt => Some(4),
            Key::StreamOptions => Some(5),
            _ => None,
        }
    }
}

/// Whether `name` is one of the APIs' own names, which patterns and words of a policy do not
/// change.
pub(crate) fn is_known(name: &[u8]) -> bool {
    static NAMES: LazyLock<Vec<&str>> =
        LazyLock::new(|| include_str!("vocabulary.txt").lines().collect());
    NAMES.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

/// Whether the text under a key of an answer is the provider's own: ids, names, choices from a list,
/// and what it has signed.
pub(crate) fn is_providers_own(name: &[u8]) -> bool {
    matches!(
        Key::of(name),
        Key::Model | Key::Type | Key::Role | Key::Name | Key::Called | Key::Opaque | Key::Media
    ) || name == b"thinking"
        || matches!(name, b"stop_reason" | b"system_fingerprint" | b"event_id" | b"sequence_number")
}

/// Whether thinking stands under this key of a translated answer.
pub(crate) fn is_thinking(key: &[u8]) -> bool {
    matches!(key, b"reasoning_content" | b"thinking_blocks" | b"summary")
}

/// The kind of a content part, by its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// Holds text (or calls and results, whose strings are looked at like any other).
    Text,
    Attachment,
    Unknown,
}

impl PartKind {
    pub(crate) fn of(kind: &[u8]) -> PartKind {
        match kind {
            b"text"
            | b"input_text"
            | b"output_text"
            | b"refusal"
            | b"summary_text"
            | b"reasoning_text"
            | b"thinking"
            | b"redacted_thinking"
            | b"reasoning"
            | b"tool_use"
            | b"tool_result"
            | b"server_tool_use"
            | b"mcp_tool_use"
            | b"mcp_tool_result"
            | b"web_search_tool_result"
            | b"web_search_result"
            | b"web_fetch_tool_result"
            | b"web_fetch_result"
            | b"search_result"
            | b"code_execution_tool_result"
            | b"code_execution_result"
            | b"bash_code_execution_tool_result"
            | b"bash_code_execution_result"
            | b"text_editor_code_execution_tool_result"
            | b"tool_search_tool_result"
            | b"tool_reference"
            | b"logs"
            | b"compaction" => PartKind::Text,
            b"image_url"
            | b"input_image"
            | b"image"
            | b"image_file"
            | b"input_audio"
            | b"audio"
            | b"output_audio"
            | b"output_image"
            | b"file"
            | b"input_file"
            | b"document"
            | b"video"
            | b"video_url"
            | b"input_video"
            | b"media"
            | b"container_upload"
            | b"computer_screenshot"
            | b"code_execution_output"
            | b"bash_code_execution_output" => PartKind::Attachment,
            _ => PartKind::Unknown,
        }
    }

    /// The meaning of a part's type, or of its source's, for the data in it.
    pub(crate) fn media(kind: &[u8]) -> Media {
        match kind {
            b"image"
            | b"image_url"
            | b"input_image"
            | b"image_file"
            | b"output_image"
            | b"computer_screenshot"
            | b"input_audio"
            | b"audio"
            | b"output_audio"
            | b"video"
            | b"video_url"
            | b"input_video" => Media::Binary,
            _ => Media::Unknown,
        }
    }
}
