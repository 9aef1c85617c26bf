//! The objects of a request, as they are written.

use serde_json::value::RawValue;

use crate::translate::json::{JsonText, List, Number, Raw, object};
use crate::translate::openai::{Audio, Breakpoint};

object! {
    /// The request. Fields that the answer repeats are kept as they were written.
    pub(crate) struct Body<'a> {
        "model" => model: JsonText<'a>,
        "input" => input: &'a RawValue,
        "instructions" => instructions: JsonText<'a>,
        "stream" => stream: bool,
        "stream_options" => stream_options: StreamOptions<'a>,
        "tools" => tools: &'a RawValue,
        "tool_choice" => tool_choice: &'a RawValue,
        "parallel_tool_calls" => parallel_tool_calls: bool,
        "text" => text: &'a RawValue,
        "reasoning" => reasoning: &'a RawValue,
        "max_output_tokens" => max_output_tokens: &'a RawValue,
        "temperature" => temperature: &'a RawValue,
        "top_p" => top_p: &'a RawValue,
        "top_logprobs" => top_logprobs: Number<'a>,
        "include" => include: List<JsonText<'a>>,
        "user" => user: &'a RawValue,
        "safety_identifier" => safety_identifier: &'a RawValue,
        "metadata" => metadata: &'a RawValue,
        "service_tier" => service_tier: JsonText<'a>,
        "prompt_cache_key" => prompt_cache_key: &'a RawValue,
        "prompt_cache_options" => prompt_cache_options: Raw<'a>,
        "prompt_cache_retention" => prompt_cache_retention: Raw<'a>,
        "store" => store: bool,
        "background" => background: bool,
        "background_options" => background_options: Raw<'a>,
        "previous_response_id" => previous_response_id: Raw<'a>,
        "conversation" => conversation: Raw<'a>,
        "prompt" => prompt: Raw<'a>,
        "truncation" => truncation: JsonText<'a>,
        "max_tool_calls" => max_tool_calls: Raw<'a>,
        "context_management" => context_management: Raw<'a>,
        "moderation" => moderation: Raw<'a>,
        "access_programs" => access_programs: Raw<'a>,
        "image" => image: Raw<'a>,
    }
}

object! {
    pub(crate) struct StreamOptions<'a> {
        "include_obfuscation" => include_obfuscation: bool,
    }
}

object! {
    pub(crate) struct Reasoning<'a> {
        "effort" => effort: JsonText<'a>,
        "summary" => summary: JsonText<'a>,
        "generate_summary" => generate_summary: JsonText<'a>,
        "context" => context: JsonText<'a>,
        "mode" => mode: JsonText<'a>,
    }
}

object! {
    pub(crate) struct TextOptions<'a> {
        "format" => format: TextFormat<'a>,
        "verbosity" => verbosity: JsonText<'a>,
    }
}

object! {
    pub(crate) struct TextFormat<'a> {
        "type" => kind: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "description" => description: JsonText<'a>,
        "schema" => schema: Raw<'a>,
        "strict" => strict: bool,
    }
}

object! {
    /// An entry of `tools`, also in a namespace.
    pub(crate) struct Tool<'a> {
        "type" => kind: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "description" => description: JsonText<'a>,
        "parameters" => parameters: Raw<'a>,
        "strict" => strict: bool,
        "format" => format: &'a RawValue,
        "tools" => tools: &'a RawValue,
        "defer_loading" => defer_loading: Raw<'a>,
        "allowed_callers" => allowed_callers: Raw<'a>,
        "output_schema" => output_schema: Raw<'a>,
    }
}

object! {
    /// The form of a tool's free text.
    pub(crate) struct TextForm<'a> {
        "type" => kind: JsonText<'a>,
        "syntax" => syntax: JsonText<'a>,
        "definition" => definition: JsonText<'a>,
    }
}

object! {
    /// `tool_choice` as an object, and the entries of its list.
    pub(crate) struct Choice<'a> {
        "type" => kind: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "namespace" => namespace: JsonText<'a>,
        "mode" => mode: JsonText<'a>,
        "tools" => tools: List<Choice<'a>>,
    }
}

object! {
    /// An entry of `input`. Fields whose form depends on the type are kept as they were written.
    pub(crate) struct Item<'a> {
        "type" => kind: JsonText<'a>,
        "role" => role: JsonText<'a>,
        "content" => content: &'a RawValue,
        "call_id" => call_id: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "namespace" => namespace: JsonText<'a>,
        "arguments" => arguments: &'a RawValue,
        "input" => input: &'a RawValue,
        "output" => output: &'a RawValue,
        "summary" => summary: &'a RawValue,
        "encrypted_content" => encrypted_content: JsonText<'a>,
        // They describe an item of an answer.
        "id" => id: Raw<'a>,
        "status" => status: Raw<'a>,
        "phase" => phase: Raw<'a>,
        "caller" => caller: Raw<'a>,
        "async" => is_async: Raw<'a>,
    }
}

object! {
    /// An entry of `content` or of a tool's `output`.
    pub(crate) struct Part<'a> {
        "type" => kind: JsonText<'a>,
        "text" => text: JsonText<'a>,
        "refusal" => refusal: JsonText<'a>,
        // They describe a text of an answer.
        "annotations" => annotations: Raw<'a>,
        "logprobs" => logprobs: Raw<'a>,
        "image_url" => image_url: JsonText<'a>,
        "file_id" => file_id: JsonText<'a>,
        "detail" => detail: JsonText<'a>,
        "file_data" => file_data: JsonText<'a>,
        "file_url" => file_url: JsonText<'a>,
        "filename" => filename: JsonText<'a>,
        "input_audio" => input_audio: Audio<'a>,
        "prompt_cache_breakpoint" => breakpoint: Breakpoint<'a>,
    }
}

object! {
    /// An entry of `summary`, or of a reasoning item's `content`.
    pub(crate) struct Thought<'a> {
        "type" => kind: JsonText<'a>,
        "text" => text: JsonText<'a>,
    }
}
