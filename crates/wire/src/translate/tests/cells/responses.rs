//! Requests of `responses`.

use super::Row;
use crate::format::Format::{AnthropicMessages, BedrockConverse, Gemini, OpenAiChat};

/// A request with these items.
fn talk(items: &str) -> Row {
    Row::new(format!(r#"{{"model":"m","input":[{items}]}}"#))
}

/// A request with these fields beside one message.
fn with(fields: &str) -> Row {
    Row::new(format!(r#"{{"model":"m","input":"a",{fields}}}"#))
}

const U: &str = r#"{"role":"user","content":"a"}"#;
const F: &str = r#""tools":[{"type":"function","name":"f","description":"F","strict":false,"parameters":{"type":"object","properties":{"x":{"type":"number"}}}}]"#;

/// All requests.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = texts();
    rows.extend(media());
    rows.extend(calls());
    rows.extend(tools());
    rows.extend(options());
    rows
}

fn texts() -> Vec<Row> {
    let said = r#"{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"b","annotations":[],"logprobs":[]}]}"#;
    vec![
        Row::new(r#"{"input":"a é \ud83d\ude00 \"q\""}"#),
        talk(U),
        talk(&format!("{U},{U}")),
        with(r#""instructions":"S""#),
        talk(&format!(r#"{{"type":"message","role":"developer","content":[{{"type":"input_text","text":"S"}}]}},{U}"#)),
        talk(&format!(r#"{U},{said},{U}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","phase":"final_answer","content":"b"}},{{"role":"assistant","content":[{{"type":"refusal","refusal":"c"}}]}},{U}"#)),
        talk(&format!(r#"{U},{said},{{"role":"system","content":"S"}},{U}"#)),
        talk(r#"{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]}"#),
        talk(&format!(r#"{said},{U}"#)).lost(Gemini, "~input").lost(BedrockConverse, "~input"),
        talk(r#"{"role":"user","content":[{"type":"input_text","text":"a","x":1}],"y":1}"#)
            .lost_everywhere("input[].content[].x input[].y"),
        talk(r#"{"role":"user","content":[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit","ttl":"1h"}},{"type":"input_text","text":"b"}]}"#)
            .lost(OpenAiChat, "input[].content[].prompt_cache_breakpoint")
            .lost(Gemini, "input[].content[].prompt_cache_breakpoint")
            .at(AnthropicMessages, "/messages/0/content/0/cache_control", r#"{"type":"ephemeral","ttl":"1h"}"#)
            .at(BedrockConverse, "/messages/0/content/1/cachePoint", r#"{"type":"default","ttl":"1h"}"#),
        talk(&format!(r#"{U},{{"type":"reasoning","id":"rs_1","summary":[{{"type":"summary_text","text":"Hm"}}],"encrypted_content":"tg1.anthropic.U2c9PQ"}},{said},{U}"#))
            .lost(OpenAiChat, "reasoning")
            .lost(Gemini, "reasoning")
            .at(AnthropicMessages, "/messages/1/content/0", r#"{"type":"thinking","thinking":"Hm","signature":"Sg=="}"#)
            .at(BedrockConverse, "/messages/1/content/0/reasoningContent", r#"{"reasoningText":{"text":"Hm","signature":"Sg=="}}"#),
        talk(&format!(r#"{U},{{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA"}},{said},{U}"#))
            .lost_everywhere("reasoning"),
        talk(r#"{"role":"developer","content":"S"}"#)
            .refused(AnthropicMessages, "input")
            .refused(Gemini, "input")
            .refused(BedrockConverse, "input")
            .refused(OpenAiChat, "input"),
    ]
}

fn media() -> Vec<Row> {
    let parts = |parts: &str| {
        talk(&format!(
            r#"{{"role":"user","content":[{{"type":"input_text","text":"?"}},{parts}]}}"#
        ))
    };
    vec![
        parts(r#"{"type":"input_image","image_url":"data:image/png;base64,QUJD"}"#),
        parts(r#"{"type":"input_image","image_url":"data:image/png;base64,QUJD","detail":"high"}"#)
            .lost(AnthropicMessages, "input[].content[].detail")
            .lost(BedrockConverse, "input[].content[].detail")
            .at(Gemini, "/generationConfig/mediaResolution", r#""MEDIA_RESOLUTION_HIGH""#)
            .at(OpenAiChat, "/messages/0/content/1/image_url/detail", r#""high""#),
        parts(r#"{"type":"input_image","image_url":"https://e.org/a.jpeg"}"#)
            .refused(BedrockConverse, "input[0].content[1]"),
        parts(r#"{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}"#)
            .lost(Gemini, "input[].content[].filename")
            .at(OpenAiChat, "/messages/0/content/1/file/filename", r#""a.pdf""#)
            .at(AnthropicMessages, "/messages/0/content/1/title", r#""a.pdf""#),
        parts(r#"{"type":"input_file","file_data":"data:application/pdf;base64,QUJD"}"#),
        parts(r#"{"type":"input_file","file_url":"https://e.org/a.pdf"}"#)
            .refused(OpenAiChat, "input[0].content[1]")
            .refused(BedrockConverse, "input[0].content[1]"),
        parts(r#"{"type":"input_image","file_id":"file-1"}"#)
            .refused(OpenAiChat, "input[0].content[1]")
            .refused(AnthropicMessages, "input[0].content[1]")
            .refused(Gemini, "input[0].content[1]")
            .refused(BedrockConverse, "input[0].content[1]"),
        parts(r#"{"type":"input_audio","input_audio":{"data":"QUJD","format":"mp3"}}"#)
            .refused(AnthropicMessages, "input[0].content[1]"),
    ]
}

fn calls() -> Vec<Row> {
    let call = |id: &str, arguments: &str| {
        format!(
            r#"{{"type":"function_call","id":"fc_1","call_id":"{id}","name":"f","arguments":"{arguments}","status":"completed"}}"#
        )
    };
    let output = |id: &str, output: &str| {
        format!(r#"{{"type":"function_call_output","call_id":"{id}","output":{output}}}"#)
    };
    let row = |items: &[&str]| Row::new(format!(r#"{{"input":[{}],{F}}}"#, items.join(",")));
    let one = call("c1", r#"{\"x\":1,\"a\":\"é\"}"#);
    let said = r#"{"role":"assistant","content":"b"}"#;
    let image = r#"{"type":"input_image","image_url":"data:image/png;base64,QUJD"}"#;
    vec![
        row(&[U, &one, &output("c1", "\"1\"")]),
        row(&[U, said, &one, &call("c2", ""), &output("c1", "\"1\""), &output("c2", "\"2\""), U]),
        row(&[U, &one, &call("c2", "{}"), &output("c2", "\"2\""), &output("c1", "\"1\"")]),
        row(&[U, &one, &output("c1", "\"\"")]),
        row(&[U, &one, &output("c1", r#"[{"type":"input_text","text":"o"},{"type":"input_text","text":"ne"}]"#)]),
        row(&[U, &one, &output("c1", &format!(r#"[{image},{{"type":"input_text","text":"see"}}]"#)), U])
            .lost(OpenAiChat, "~input[].output"),
        row(&[U, &call("call|1", "{}"), &output("call|1", "\"1\"")]),
        row(&[U, &one, &output("c1", "\"1\""), &one, &output("c1", "\"2\"")]),
        row(&[U, &call("c1", r#"{\"half"#), &output("c1", "\"1\"")])
            .lost(AnthropicMessages, "~input[].arguments")
            .lost(Gemini, "~input[].arguments")
            .lost(BedrockConverse, "~input[].arguments"),
        Row::new(format!(
            r#"{{"input":[{U},{{"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"c","input":"x \"y\""}},{{"type":"custom_tool_call_output","call_id":"c1","output":"1"}}],"tools":[{{"type":"custom","name":"c"}}]}}"#
        )),
        row(&[U, r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"tg1.google.U2c9PQ.c"}"#, &one, &output("c1", "\"1\"")])
            .lost(OpenAiChat, "reasoning")
            .lost(AnthropicMessages, "reasoning")
            .lost(BedrockConverse, "reasoning")
            .at(Gemini, "/contents/1/parts/0/thoughtSignature", r#""Sg==""#),
        row(&[U, r#"{"type":"function_call","call_id":"c1","namespace":"ns","name":"g","arguments":"{}"}"#, &output("c1", "\"1\"")]),
        talk(&[U, &one, &output("c1", "\"1\"")].join(","))
            .lost(AnthropicMessages, "~tools")
            .lost(BedrockConverse, "~tools")
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"none"}"#),
        row(&[U, &one])
            .refused(OpenAiChat, "input[1]")
            .refused(AnthropicMessages, "input[1]")
            .refused(Gemini, "input[1]")
            .refused(BedrockConverse, "input[1]"),
        talk(&format!(r#"{U},{{"type":"web_search_call","id":"ws_1"}}"#))
            .refused(OpenAiChat, "input[1]")
            .refused(AnthropicMessages, "input[1]")
            .refused(Gemini, "input[1]")
            .refused(BedrockConverse, "input[1]"),
    ]
}

fn tools() -> Vec<Row> {
    let choice = |choice: &str| with(&format!("{F},{choice}"));
    let calling = "/toolConfig/functionCallingConfig";
    let bedrock = "/toolConfig/toolChoice";
    vec![
        choice(r#""tool_choice":"required","parallel_tool_calls":true"#)
            .at(OpenAiChat, "/tool_choice", r#""required""#)
            .at(OpenAiChat, "/parallel_tool_calls", "true")
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"any"}"#)
            .at(Gemini, calling, r#"{"mode":"ANY"}"#)
            .at(BedrockConverse, bedrock, r#"{"any":{}}"#),
        choice(r#""tool_choice":{"type":"function","name":"f"}"#)
            .at(OpenAiChat, "/tool_choice", r#"{"type":"function","function":{"name":"f"}}"#)
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"tool","name":"f"}"#)
            .at(Gemini, calling, r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#)
            .at(BedrockConverse, bedrock, r#"{"tool":{"name":"f"}}"#),
        choice(r#""parallel_tool_calls":false"#)
            .lost(Gemini, "parallel_tool_calls")
            .lost(BedrockConverse, "parallel_tool_calls")
            .at(OpenAiChat, "/parallel_tool_calls", "false")
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"auto","disable_parallel_tool_use":true}"#),
        with(r#""tools":[{"type":"namespace","name":"ns","description":"d","tools":[{"type":"function","name":"g","strict":false,"parameters":{"type":"object"}}]}]"#)
            .lost_everywhere("tools[0].description"),
        with(r#""tools":[{"type":"custom","name":"c","description":"d","format":{"type":"grammar","syntax":"lark","definition":"x"}}]"#)
            .lost_everywhere("tools[0].format"),
        with(r#""tools":[{"type":"web_search"},{"type":"function","name":"f","strict":false}]"#)
            .lost_everywhere("tools[0]"),
        with(r#""tools":[{"type":"function","name":"f","strict":false,"defer_loading":true,"output_schema":{},"later":1}]"#)
            .lost_everywhere("tools[0].defer_loading tools[0].later tools[0].output_schema"),
        with(r#""tools":[{"type":"function","name":"f","strict":true,"parameters":{"type":"object","properties":{},"required":[],"additionalProperties":false}}]"#)
            .at(OpenAiChat, "/tools/0/function/strict", "true")
            .at(AnthropicMessages, "/tools/0/strict", "true")
            .at(Gemini, calling, r#"{"mode":"VALIDATED"}"#)
            .at(BedrockConverse, "/toolConfig/tools/0/toolSpec/strict", "true"),
    ]
}

fn options() -> Vec<Row> {
    let schema = r#"{"type":"object","properties":{"x":{"type":"string"}},"required":["x"],"additionalProperties":false}"#;
    let both = "prompt_cache_key prompt_cache_options prompt_cache_retention";
    vec![
        with(r#""max_output_tokens":7"#)
            .at(OpenAiChat, "/max_completion_tokens", "7")
            .at(AnthropicMessages, "/max_tokens", "7")
            .at(Gemini, "/generationConfig", r#"{"maxOutputTokens":7}"#)
            .at(BedrockConverse, "/inferenceConfig", r#"{"maxTokens":7}"#),
        with(r#""temperature":1.5"#)
            .lost(AnthropicMessages, "~temperature")
            .lost(BedrockConverse, "~temperature")
            .at(OpenAiChat, "/temperature", "1.5")
            .at(AnthropicMessages, "/temperature", "1")
            .at(Gemini, "/generationConfig", r#"{"temperature":1.5}"#)
            .at(BedrockConverse, "/inferenceConfig", r#"{"temperature":1}"#),
        with(r#""top_p":0.25"#)
            .at(OpenAiChat, "/top_p", "0.25")
            .at(AnthropicMessages, "/top_p", "0.25")
            .at(Gemini, "/generationConfig", r#"{"topP":0.25}"#)
            .at(BedrockConverse, "/inferenceConfig", r#"{"topP":0.25}"#),
        with(r#""include":["message.output_text.logprobs"],"top_logprobs":2"#)
            .lost(AnthropicMessages, "include top_logprobs")
            .lost(BedrockConverse, "include top_logprobs")
            .at(OpenAiChat, "/logprobs", "true")
            .at(OpenAiChat, "/top_logprobs", "2")
            .at(Gemini, "/generationConfig", r#"{"responseLogprobs":true,"logprobs":2}"#),
        with(r#""include":["reasoning.encrypted_content"],"store":false,"truncation":"disabled","background":false"#),
        with(r#""store":true,"truncation":"auto","max_tool_calls":2,"context_management":[{}],"moderation":{},"later":1"#)
            .lost_everywhere("context_management later max_tool_calls moderation store truncation"),
        with(r#""previous_response_id":"resp_1""#)
            .refused(OpenAiChat, "previous_response_id")
            .refused(AnthropicMessages, "previous_response_id")
            .refused(Gemini, "previous_response_id")
            .refused(BedrockConverse, "previous_response_id"),
        with(r#""prompt_cache_key":"k","prompt_cache_options":{},"prompt_cache_retention":"24h""#)
            .lost_everywhere(both),
        with(r#""user":"u""#)
            .lost(Gemini, "user")
            .lost(BedrockConverse, "user")
            .at(OpenAiChat, "/user", r#""u""#)
            .at(AnthropicMessages, "/metadata", r#"{"user_id":"u"}"#),
        with(r#""safety_identifier":"s","metadata":{"team":"red"}"#)
            .lost(AnthropicMessages, "metadata")
            .lost(Gemini, "metadata safety_identifier")
            .lost(BedrockConverse, "safety_identifier")
            .at(OpenAiChat, "/user", r#""s""#)
            .at(OpenAiChat, "/metadata", r#"{"team":"red"}"#)
            .at(AnthropicMessages, "/metadata", r#"{"user_id":"s"}"#)
            .at(BedrockConverse, "/requestMetadata", r#"{"team":"red"}"#),
        with(r#""service_tier":"flex""#)
            .lost(AnthropicMessages, "service_tier")
            .at(OpenAiChat, "/service_tier", r#""flex""#)
            .at(Gemini, "/serviceTier", r#""flex""#)
            .at(BedrockConverse, "/serviceTier", r#"{"type":"flex"}"#),
        with(r#""reasoning":{"effort":"low","summary":"auto"}"#)
            .lost(OpenAiChat, "reasoning.summary")
            .at(OpenAiChat, "/reasoning_effort", r#""low""#)
            .at(AnthropicMessages, "/thinking", r#"{"type":"enabled","budget_tokens":1024}"#)
            .at(Gemini, "/generationConfig/thinkingConfig", r#"{"thinkingLevel":"low","includeThoughts":true}"#)
            .at(BedrockConverse, "/additionalModelRequestFields", r#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#),
        with(r#""reasoning":{"effort":"none"}"#)
            .lost(Gemini, "~reasoning.effort")
            .at(OpenAiChat, "/reasoning_effort", r#""none""#)
            .at(Gemini, "/generationConfig/thinkingConfig", r#"{"thinkingLevel":"minimal"}"#),
        with(r#""text":{"verbosity":"low"}"#)
            .lost(AnthropicMessages, "text.verbosity")
            .lost(Gemini, "text.verbosity")
            .lost(BedrockConverse, "text.verbosity")
            .at(OpenAiChat, "/verbosity", r#""low""#),
        with(&format!(r#""text":{{"format":{{"type":"json_schema","name":"n","description":"D","schema":{schema}}}}}"#))
            .lost(AnthropicMessages, "text.format.description")
            .lost(Gemini, "text.format.description")
            .at(OpenAiChat, "/response_format/json_schema/description", r#""D""#)
            .at(AnthropicMessages, "/output_config/format/type", r#""json_schema""#)
            .at(Gemini, "/generationConfig/responseJsonSchema/required", r#"["x"]"#)
            .at(BedrockConverse, "/outputConfig/textFormat/structure/jsonSchema/description", r#""D""#),
        with(r#""text":{"format":{"type":"json_object"}}"#)
            .lost(AnthropicMessages, "~text.format")
            .lost(BedrockConverse, "~text.format")
            .at(OpenAiChat, "/response_format", r#"{"type":"json_object"}"#)
            .at(Gemini, "/generationConfig", r#"{"responseMimeType":"application/json"}"#),
        with(r#""stream":true,"stream_options":{"include_obfuscation":false,"later":1}"#)
            .lost_everywhere("stream_options.later"),
    ]
}
