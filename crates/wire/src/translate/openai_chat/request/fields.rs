//! The objects of a request, as they are written.

use serde_json::value::RawValue;

use crate::translate::json::{JsonText, List, Number, Raw, object};
use crate::translate::openai::Audio;

object! {
    /// The request.
    pub(crate) struct Body<'a> {
        "model" => model: JsonText<'a>,
        "messages" => messages: List<&'a RawValue>,
        "stream" => stream: bool,
        "stream_options" => stream_options: StreamOptions<'a>,
        "tools" => tools: List<&'a RawValue>,
        "tool_choice" => tool_choice: &'a RawValue,
        "functions" => functions: List<&'a RawValue>,
        "function_call" => function_call: &'a RawValue,
        "parallel_tool_calls" => parallel_tool_calls: bool,
        "response_format" => response_format: ResponseFormat<'a>,
        "max_completion_tokens" => max_completion_tokens: Number<'a>,
        "max_tokens" => max_tokens: Number<'a>,
        "temperature" => temperature: Number<'a>,
        "top_p" => top_p: Number<'a>,
        "top_k" => top_k: Number<'a>,
        "stop" => stop: &'a RawValue,
        "n" => n: Number<'a>,
        "seed" => seed: Number<'a>,
        "presence_penalty" => presence_penalty: Number<'a>,
        "frequency_penalty" => frequency_penalty: Number<'a>,
        "logprobs" => logprobs: bool,
        "top_logprobs" => top_logprobs: Number<'a>,
        "logit_bias" => logit_bias: Raw<'a>,
        "reasoning_effort" => reasoning_effort: JsonText<'a>,
        "user" => user: JsonText<'a>,
        "safety_identifier" => safety_identifier: JsonText<'a>,
        "metadata" => metadata: Raw<'a>,
        "service_tier" => service_tier: JsonText<'a>,
        "verbosity" => verbosity: JsonText<'a>,
        "prompt_cache_key" => prompt_cache_key: JsonText<'a>,
        "prompt_cache_options" => prompt_cache_options: Raw<'a>,
        "prompt_cache_retention" => prompt_cache_retention: Raw<'a>,
        "prediction" => prediction: Raw<'a>,
        "moderation" => moderation: Raw<'a>,
        "store" => store: bool,
        "modalities" => modalities: List<JsonText<'a>>,
        "audio" => audio: Raw<'a>,
        "web_search_options" => web_search_options: Raw<'a>,
    }
}

object! {
    pub(crate) struct StreamOptions<'a> {
        "include_usage" => include_usage: bool,
        "include_obfuscation" => include_obfuscation: bool,
    }
}

object! {
    pub(crate) struct ResponseFormat<'a> {
        "type" => kind: JsonText<'a>,
        "json_schema" => json_schema: JsonSchema<'a>,
    }
}

object! {
    pub(crate) struct JsonSchema<'a> {
        "name" => name: JsonText<'a>,
        "description" => description: JsonText<'a>,
        "schema" => schema: Raw<'a>,
        "strict" => strict: bool,
    }
}

object! {
    /// An entry of `tools`.
    pub(crate) struct Tool<'a> {
        "type" => kind: JsonText<'a>,
        "name" => name: JsonText<'a>,
        "function" => function: Function<'a>,
        "custom" => custom: Custom<'a>,
    }
}

object! {
    /// A function; an entry of `functions`, too.
    pub(crate) struct Function<'a> {
        "name" => name: JsonText<'a>,
        "description" => description: JsonText<'a>,
        "parameters" => parameters: Raw<'a>,
        "strict" => strict: bool,
    }
}

object! {
    pub(crate) struct Custom<'a> {
        "name" => name: JsonText<'a>,
        "description" => description: JsonText<'a>,
        "format" => format: Raw<'a>,
    }
}

object! {
    /// `tool_choice` as an object, and the entries of its list.
    pub(crate) struct Choice<'a> {
        "type" => kind: JsonText<'a>,
        "function" => function: Named<'a>,
        "custom" => custom: Named<'a>,
        "allowed_tools" => allowed_tools: Allowed<'a>,
        // In `function_call`.
        "name" => name: JsonText<'a>,
    }
}

object! {
    pub(crate) struct Named<'a> {
        "name" => name: JsonText<'a>,
    }
}

object! {
    pub(crate) struct Allowed<'a> {
        "mode" => mode: JsonText<'a>,
        "tools" => tools: List<Choice<'a>>,
    }
}

object! {
    /// An entry of `messages`.
    pub(crate) struct Message<'a> {
        "role" => role: JsonText<'a>,
        "content" => content: &'a RawValue,
        "name" => name: JsonText<'a>,
        "tool_call_id" => tool_call_id: JsonText<'a>,
        "tool_calls" => tool_calls: List<Call<'a>>,
        "function_call" => function_call: CalledFunction<'a>,
        "refusal" => refusal: JsonText<'a>,
        "reasoning_content" => reasoning_content: JsonText<'a>,
        "reasoning" => reasoning: Raw<'a>,
        "thinking_blocks" => thinking_blocks: List<ThinkingBlock<'a>>,
        "extra_content" => extra_content: ExtraContent<'a>,
        "annotations" => annotations: Raw<'a>,
        "audio" => audio: Raw<'a>,
    }
}

object! {
    /// An entry of `tool_calls`.
    pub(crate) struct Call<'a> {
        "id" => id: JsonText<'a>,
        "type" => kind: JsonText<'a>,
        // Left over from the pieces of a stream.
        "index" => index: Raw<'a>,
        "function" => function: CalledFunction<'a>,
        "custom" => custom: CalledCustom<'a>,
        "extra_content" => extra_content: ExtraContent<'a>,
    }
}

object! {
    pub(crate) struct CalledFunction<'a> {
        "name" => name: JsonText<'a>,
        "arguments" => arguments: JsonText<'a>,
    }
}

object! {
    pub(crate) struct CalledCustom<'a> {
        "name" => name: JsonText<'a>,
        "input" => input: JsonText<'a>,
    }
}

object! {
    /// An entry of `thinking_blocks`, a convention of other gateways.
    pub(crate) struct ThinkingBlock<'a> {
        "type" => kind: JsonText<'a>,
        "index" => index: Raw<'a>,
        "thinking" => thinking: JsonText<'a>,
        "signature" => signature: JsonText<'a>,
        "data" => data: JsonText<'a>,
        // Calls that stand before it.
        "after_calls" => after_calls: Number<'a>,
        "cache_control" => cache_control: Raw<'a>,
    }
}

object! {
    pub(crate) struct ExtraContent<'a> {
        "google" => google: Google<'a>,
    }
}

object! {
    pub(crate) struct Google<'a> {
        "thought_signature" => thought_signature: JsonText<'a>,
    }
}

object! {
    /// An entry of `content`.
    pub(crate) struct Part<'a> {
        "type" => kind: JsonText<'a>,
        "text" => text: JsonText<'a>,
        "refusal" => refusal: JsonText<'a>,
        "image_url" => image_url: &'a RawValue,
        "file" => file: File<'a>,
        "input_audio" => input_audio: Audio<'a>,
        "prompt_cache_breakpoint" => breakpoint: &'a RawValue,
        "cache_control" => cache_control: Raw<'a>,
    }
}

object! {
    pub(crate) struct ImageUrl<'a> {
        "url" => url: JsonText<'a>,
        "detail" => detail: JsonText<'a>,
    }
}

object! {
    pub(crate) struct File<'a> {
        "file_data" => file_data: JsonText<'a>,
        "filename" => filename: JsonText<'a>,
        "file_id" => file_id: JsonText<'a>,
    }
}
