//! The names in request bodies that mean something to the redactor, and the types of content parts.
//!
//! Pure tables. Source: OpenAI's OpenAPI description 2.3.0 and Anthropic's Messages API, read in November 2026.

/// A key of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Key {
    Model,
    Stream,
    Messages,
    Input,
    Prompt,
    /// What is put into a stored prompt, by names that the user gave.
    Variables,
    StreamOptions,
    IncludeUsage,
    Store,
    Background,
    PreviousResponseId,
    Conversation,
    /// A top-level field that would send the call somewhere else, or with another key.
    Override,
    Type,
    Role,
    /// `content` and its kin: text, or a list of parts.
    Content,
    System,
    Metadata,
    Arguments,
    Schema,
    /// Values of JSON Schema that are patterns or names.
    SchemaTerm,
    Audio,
    Source,
    Text,
    /// Always an attachment.
    Attachment,
    /// An attachment where its value is base64.
    Blob,
    /// Opaque to everyone but the provider: passes as it is.
    Opaque,
    /// An identifier, a name or a choice from a list.
    Name,
    /// `name`: of a message who speaks, elsewhere what a tool is called.
    Called,
    #[default]
    Other,
}

impl Key {
    pub(super) fn of(name: &[u8]) -> Key {
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
            b"api_base" | b"base_url" | b"api_key" | b"extra_headers" | b"api_version" | b"custom_llm_provider" => {
                Key::Override
            }
            b"type" => Key::Type,
            b"role" => Key::Role,
            b"content" | b"output" | b"parts" | b"summary" | b"outputs" => Key::Content,
            b"system" => Key::System,
            b"metadata" => Key::Metadata,
            b"arguments" => Key::Arguments,
            b"parameters" | b"input_schema" | b"schema" | b"output_schema" => Key::Schema,
            b"format" | b"pattern" | b"$ref" | b"$schema" | b"$id" | b"required" => Key::SchemaTerm,
            b"audio" => Key::Audio,
            b"source" => Key::Source,
            b"text" => Key::Text,
            b"image_url" | b"input_audio" | b"file_data" | b"file_url" | b"video_url" | b"inline_data"
            | b"inlineData" | b"fileData" | b"input_image" | b"input_file" | b"input_video" => Key::Attachment,
            b"file" | b"image" | b"video" | b"media" | b"document" | b"data" | b"b64_json" | b"result"
            | b"embedding" | b"mask" | b"partial_image_b64" => Key::Blob,
            b"encrypted_content" | b"signature" => Key::Opaque,
            b"name" => Key::Called,
            b"id" | b"object" | b"tool_choice" | b"service_tier" | b"reasoning_effort" | b"effort" | b"verbosity"
            | b"truncation" | b"detail" | b"voice" | b"encoding_format" | b"size" | b"quality" | b"style"
            | b"moderation" | b"output_format" | b"response_format" | b"status" | b"finish_reason" | b"include"
            | b"modalities" | b"media_type" | b"cache_control" | b"ttl" => Key::Name,
            _ if name.ends_with(b"_id") || name.ends_with(b"_ids") => Key::Name,
            _ => Key::Other,
        }
    }

    /// Which bit says that a key that routing or limits depend on was seen; such a key may stand once.
    pub(super) fn routing_bit(self) -> Option<u8> {
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

/// What a content part is by its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    /// Holds text (or calls and results, whose strings are looked at like any other).
    Text,
    Attachment,
    Unknown,
}

impl PartKind {
    pub(super) fn of(kind: &[u8]) -> PartKind {
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
}
