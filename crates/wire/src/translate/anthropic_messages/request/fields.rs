//! The objects of a request, as they are written.

use serde_json::value::RawValue;

use crate::translate::json::{JsonText, List, Number, Raw, object};

object! {
    /// The request.
    pub(crate) struct Body<'a> {
        "model" => model: JsonText<'a>,
        "max_tokens" => max_tokens: Number<'a>,
        "messages" => messages: List<&'a RawValue>,
        "system" => system: &'a RawValue,
        "stream" => stream: bool,
        "stop_sequences" => stop_sequences: List<JsonText<'a>>,
        "temperature" => temperature: Number<'a>,
        "top_p" => top_p: Number<'a>,
        "top_k" => top_k: Number<'a>,
        "tools" => tools: List<&'a RawValue>,
        "tool_choice" => tool_choice: ToolChoice<'a>,
        "thinking" => thinking: Thinking<'a>,
        "output_config" => output_config: OutputConfig<'a>,
        // The older name of `output_config.format`.
        "output_format" => output_format: OutputFormat<'a>,
        "metadata" => metadata: Metadata<'a>,
        "service_tier" => service_tier: JsonText<'a>,
        "speed" => speed: JsonText<'a>,
        "inference_geo" => inference_geo: JsonText<'a>,
        "cache_control" => cache_control: CacheControl<'a>,
        "container" => container: Raw<'a>,
        "mcp_servers" => mcp_servers: List<Raw<'a>>,
    }
}

object! {
    pub(crate) struct ToolChoice<'a> {
        "type" => kind: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "disable_parallel_tool_use" => disable_parallel_tool_use: bool,
    }
}

object! {
    pub(crate) struct Thinking<'a> {
        "type" => kind: JsonText<'a>,
        "budget_tokens" => budget_tokens: Number<'a>,
        "display" => display: JsonText<'a>,
    }
}

object! {
    pub(crate) struct OutputConfig<'a> {
        "effort" => effort: JsonText<'a>,
        "format" => format: OutputFormat<'a>,
    }
}

object! {
    pub(crate) struct OutputFormat<'a> {
        "type" => kind: JsonText<'a>,
        "schema" => schema: Raw<'a>,
    }
}

object! {
    pub(crate) struct Metadata<'a> {
        "user_id" => user_id: JsonText<'a>,
    }
}

object! {
    pub(crate) struct CacheControl<'a> {
        "type" => kind: JsonText<'a>,
        "ttl" => ttl: JsonText<'a>,
    }
}

object! {
    /// An entry of `tools`.
    pub(crate) struct Tool<'a> {
        "type" => kind: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "description" => description: JsonText<'a>,
        "input_schema" => input_schema: Raw<'a>,
        "strict" => strict: bool,
        "cache_control" => cache_control: CacheControl<'a>,
        "eager_input_streaming" => eager_input_streaming: Raw<'a>,
        "defer_loading" => defer_loading: bool,
        "input_examples" => input_examples: Raw<'a>,
        "allowed_callers" => allowed_callers: Raw<'a>,
    }
}

object! {
    /// An entry of `messages`.
    pub(crate) struct Message<'a> {
        "role" => role: JsonText<'a>,
        "content" => content: &'a RawValue,
    }
}

object! {
    /// A block of content, of any type.
    pub(crate) struct Block<'a> {
        "type" => kind: JsonText<'a>,
        "text" => text: JsonText<'a>,
        "cache_control" => cache_control: CacheControl<'a>,
        "citations" => citations: &'a RawValue,
        "source" => source: &'a RawValue,
        "title" => title: JsonText<'a>,
        "context" => context: JsonText<'a>,
        "content" => content: &'a RawValue,
        "id" => id: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "input" => input: Raw<'a>,
        "tool_use_id" => tool_use_id: JsonText<'a>,
        "is_error" => is_error: bool,
        "thinking" => thinking: JsonText<'a>,
        "signature" => signature: JsonText<'a>,
        "data" => data: JsonText<'a>,
        // The caller of a tool; the model itself, where there is nothing else.
        "caller" => caller: Raw<'a>,
    }
}

object! {
    /// The source of an image or a document.
    pub(crate) struct Source<'a> {
        "type" => kind: JsonText<'a>,
        "media_type" => media_type: JsonText<'a>,
        "data" => data: JsonText<'a>,
        "url" => url: JsonText<'a>,
        "file_id" => file_id: JsonText<'a>,
        "content" => content: &'a RawValue,
    }
}

object! {
    pub(crate) struct Citations<'a> {
        "enabled" => enabled: bool,
    }
}
