//! Requests of `messages`.

use super::Row;
use crate::format::Format::{BedrockConverse, Gemini, OpenAiChat};

/// Requests with these messages.
fn talk(messages: &str) -> Row {
    Row::new(format!(r#"{{"model":"m","max_tokens":9000,"messages":[{messages}]}}"#))
        .at(Gemini, "/generationConfig/maxOutputTokens", "9000")
        .at(BedrockConverse, "/inferenceConfig/maxTokens", "9000")
        .at(OpenAiChat, "/max_completion_tokens", "9000")
}

/// A request with these fields beside one message.
fn with(fields: &str) -> Row {
    Row::new(format!(
        r#"{{"model":"m","max_tokens":9000,"messages":[{{"role":"user","content":"a"}}],{fields}}}"#
    ))
    .at(Gemini, "/generationConfig/maxOutputTokens", "9000")
    .at(BedrockConverse, "/inferenceConfig/maxTokens", "9000")
}

const U: &str = r#"{"role":"user","content":"a"}"#;
const F: &str = r#""tools":[{"name":"f","description":"F","input_schema":{"type":"object","properties":{"x":{"type":"number"}}}}]"#;

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
    vec![
        talk(U),
        talk(r#"{"role":"user","content":[{"type":"text","text":"é \"q\" \\ \n \ud83d\ude00"}]}"#),
        talk(&format!(r#"{U},{{"role":"user","content":[{{"type":"text","text":"b"}},{{"type":"text","text":"c"}}]}}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","content":[{{"type":"text","text":"b"}}]}},{U}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","content":"b"}},{{"role":"assistant","content":"c"}},{U}"#)),
        with(r#""system":"S""#),
        with(r#""system":[{"type":"text","text":"S"},{"type":"text","text":"T"}]"#),
        with(r#""system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#)
            .lost(Gemini, "cache_control")
            .at(OpenAiChat, "/messages/0/content/0/prompt_cache_breakpoint", r#"{"mode":"explicit","ttl":"30m"}"#)
            .at(BedrockConverse, "/system/1/cachePoint", r#"{"type":"default","ttl":"1h"}"#),
        talk(&format!(r#"{U},{{"role":"assistant","content":"b"}},{{"role":"system","content":"S"}},{U}"#)),
        talk(&format!(r#"{{"role":"assistant","content":"b"}},{U}"#))
            .lost(Gemini, "~messages")
            .lost(BedrockConverse, "~messages"),
        talk(&format!(r#"{U},{{"role":"assistant","content":"b"}}"#))
            .refused(OpenAiChat, "messages[1]")
            .refused(Gemini, "messages[1]"),
        talk(&format!(r#"{U},{{"role":"assistant","content":[{{"type":"text","text":"b","citations":[{{"type":"char_location"}}],"later":1}}]}},{U}"#))
            .lost_everywhere("messages[].content[].citations messages[].content[].later"),
        talk(&format!(r#"{U},{{"role":"assistant","content":[{{"type":"thinking","thinking":"Hm","signature":"tg1.google.U2c9PQ"}},{{"type":"text","text":"b"}}]}},{U}"#))
            .lost(OpenAiChat, "reasoning")
            .lost(BedrockConverse, "reasoning")
            .at(Gemini, "/contents/1/parts/0", r#"{"text":"Hm","thought":true,"thoughtSignature":"Sg=="}"#),
        talk(&format!(r#"{U},{{"role":"assistant","content":[{{"type":"thinking","thinking":"Hm","signature":"Sg=="}},{{"type":"redacted_thinking","data":"RA=="}},{{"type":"text","text":"b"}}]}},{U}"#))
            .lost(OpenAiChat, "reasoning")
            .lost(Gemini, "reasoning")
            .at(BedrockConverse, "/messages/1/content/0", r#"{"reasoningContent":{"reasoningText":{"text":"Hm","signature":"Sg=="}}}"#)
            .at(BedrockConverse, "/messages/1/content/1", r#"{"reasoningContent":{"redactedContent":"RA=="}}"#),
        talk(r#"{"role":"user","content":" "}"#)
            .refused(Gemini, "messages[0]")
            .refused(BedrockConverse, "messages[0]"),
        // A mark on the end of a long talk.
        talk(r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}"#)
            .lost(Gemini, "cache_control")
            .at(OpenAiChat, "/messages/0/content/1/prompt_cache_breakpoint/mode", r#""explicit""#)
            .at(BedrockConverse, "/messages/0/content/2/cachePoint", r#"{"type":"default"}"#),
    ]
}

fn media() -> Vec<Row> {
    let parts = |parts: &str| {
        talk(&format!(r#"{{"role":"user","content":[{{"type":"text","text":"?"}},{parts}]}}"#))
    };
    let title = "messages[].content[].title";
    vec![
        parts(r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}"#),
        parts(r#"{"type":"image","source":{"type":"base64","media_type":"image/jpg","data":"QU JD"}}"#),
        parts(r#"{"type":"image","source":{"type":"url","url":"https://e.org/a.png"}}"#)
            .refused(BedrockConverse, "messages[0].content[1]"),
        parts(r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#)
            .refused(OpenAiChat, "messages[0].content[1]")
            .refused(Gemini, "messages[0].content[1]")
            .refused(BedrockConverse, "messages[0].content[1]"),
        parts(r#"{"type":"document","title":"t.pdf","source":{"type":"base64","media_type":"application/pdf","data":"QUJD"}}"#)
            .lost(Gemini, title)
            .at(OpenAiChat, "/messages/0/content/1/file/filename", r#""t.pdf""#)
            .at(BedrockConverse, "/messages/0/content/1/document/name", r#""t-pdf""#),
        parts(r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"QUJD"},"citations":{"enabled":true},"context":"old"}"#)
            .lost(OpenAiChat, "messages[].content[].citations messages[].content[].context")
            .lost(Gemini, "messages[].content[].citations messages[].content[].context")
            .at(BedrockConverse, "/messages/0/content/1/document/citations", r#"{"enabled":true}"#)
            .at(BedrockConverse, "/messages/0/content/1/document/context", r#""old""#),
        parts(r#"{"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"T é"}}"#)
            .lost(OpenAiChat, title)
            .lost(Gemini, title)
            .at(BedrockConverse, "/messages/0/content/1/document/format", r#""txt""#),
        parts(r#"{"type":"document","title":"t","source":{"type":"content","content":[{"type":"text","text":"U"},{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"QUJD"}}]}}"#)
            .lost_everywhere(title),
        parts(r#"{"type":"document","source":{"type":"url","url":"https://e.org/a.pdf"}}"#)
            .refused(OpenAiChat, "messages[0].content[1]")
            .refused(BedrockConverse, "messages[0].content[1]"),
        parts(r#"{"type":"search_result","title":"T","source":"https://e.org","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"citations":{"enabled":true}}"#)
            .lost(OpenAiChat, "messages[].content[].citations")
            .lost(Gemini, "messages[].content[].citations")
            .at(BedrockConverse, "/messages/0/content/1/searchResult/citations", r#"{"enabled":true}"#),
    ]
}

fn calls() -> Vec<Row> {
    let call = |id: &str, input: &str| {
        format!(r#"{{"type":"tool_use","id":"{id}","name":"f","input":{input}}}"#)
    };
    let turn =
        |blocks: &[String]| format!(r#"{{"role":"assistant","content":[{}]}}"#, blocks.join(","));
    let result =
        |id: &str, more: &str| format!(r#"{{"type":"tool_result","tool_use_id":"{id}"{more}}}"#);
    let user = |blocks: &[String]| format!(r#"{{"role":"user","content":[{}]}}"#, blocks.join(","));
    let row = |messages: &[&str]| {
        Row::new(format!(r#"{{"max_tokens":9000,"messages":[{}],{F}}}"#, messages.join(",")))
            .at(Gemini, "/generationConfig/maxOutputTokens", "9000")
            .at(BedrockConverse, "/inferenceConfig/maxTokens", "9000")
    };
    let one = turn(&[call("t1", r#"{ "x" : 1, "a" : [null, "é"] }"#)]);
    let two =
        turn(&[r#"{"type":"text","text":"b"}"#.to_owned(), call("t1", "{}"), call("t2", "{}")]);
    let go = || r#"{"type":"text","text":"go"}"#.to_owned();
    let image =
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}"#;
    let content = "~messages[].content[].content";
    vec![
        row(&[U, &one, &user(&[result("t1", r#","content":"1""#)])]),
        row(&[U, &one, &user(&[result("t1", r#","content":[{"type":"text","text":"o"},{"type":"text","text":"ne"}]"#), go()])]),
        row(&[U, &two, &user(&[result("t2", r#","content":"2""#), result("t1", r#","content":"1""#), go()])]),
        row(&[U, &one, &user(&[result("t1", "")])]),
        row(&[U, &one, &user(&[result("t1", r#","is_error":true,"content":"no file""#)])])
            .lost(OpenAiChat, "~messages[].content[].is_error"),
        row(&[U, &one, &user(&[result("t1", r#","is_error":true"#)])])
            .lost(OpenAiChat, "~messages[].content[].is_error"),
        row(&[U, &one, &user(&[result("t1", &format!(r#","content":[{{"type":"text","text":"see"}},{image}]"#)), go()])])
            .lost(OpenAiChat, content),
        row(&[U, &one, &user(&[result("t1", r#","content":[{"type":"search_result","title":"T","source":"s","content":[{"type":"text","text":"x"}]}]"#)])]),
        row(&[U, &one, &user(&[result("t1", r#","content":[{"type":"text","text":"1"},{"type":"tool_reference","tool_name":"g"}]"#)])])
            .lost_everywhere("messages[].content[].content[].tool_reference \
                messages[].content[].tool_name"),
        row(&[U, &one, &user(&[result("t1", r#","content":[{"type":"text","text":"1","cache_control":{"type":"ephemeral"}}]"#)])])
            .lost_everywhere("cache_control"),
        row(&[U, &one, &user(&[result("t1", r#","content":"1","cache_control":{"type":"ephemeral"}"#)])])
            .lost(OpenAiChat, "cache_control")
            .lost(Gemini, "cache_control")
            .at(BedrockConverse, "/messages/2/content/1/cachePoint", r#"{"type":"default"}"#),
        row(&[U, &one, &user(&[result("t1", r#","content":"1""#)]), &one, &user(&[result("t1", r#","content":"2""#)])]),
        // Gemini's signature of a call, as Anthropic's SDKs have kept it.
        row(&[U, &turn(&[r#"{"type":"redacted_thinking","data":"tg1.google.U2c9PQ.c"}"#.to_owned(), call("t1", "{}")]), &user(&[result("t1", r#","content":"1""#)])])
            .lost(OpenAiChat, "reasoning")
            .lost(BedrockConverse, "reasoning")
            .at(Gemini, "/contents/1/parts/0/thoughtSignature", r#""Sg==""#),
        talk(&[U, &one, &user(&[result("t1", r#","content":"1""#)])].join(","))
            .lost(BedrockConverse, "~tools")
            .at(BedrockConverse, "/toolConfig/tools/0/toolSpec/name", r#""f""#),
        row(&[U, &one, U])
            .refused(OpenAiChat, "messages[1].content[0]")
            .refused(Gemini, "messages[1].content[0]")
            .refused(BedrockConverse, "messages[1].content[0]"),
    ]
}

fn tools() -> Vec<Row> {
    let choice = |choice: &str| with(&format!("{F},{choice}"));
    let calling = "/toolConfig/functionCallingConfig";
    let bedrock = "/toolConfig/toolChoice";
    vec![
        choice(r#""tool_choice":{"type":"auto"}"#)
            .at(OpenAiChat, "/tool_choice", r#""auto""#)
            .at(Gemini, calling, r#"{"mode":"AUTO"}"#)
            .at(BedrockConverse, bedrock, r#"{"auto":{}}"#),
        choice(r#""tool_choice":{"type":"any","disable_parallel_tool_use":true}"#)
            .lost(Gemini, "tool_choice.disable_parallel_tool_use")
            .lost(BedrockConverse, "tool_choice.disable_parallel_tool_use")
            .at(OpenAiChat, "/tool_choice", r#""required""#)
            .at(OpenAiChat, "/parallel_tool_calls", "false")
            .at(Gemini, calling, r#"{"mode":"ANY"}"#)
            .at(BedrockConverse, bedrock, r#"{"any":{}}"#),
        choice(r#""tool_choice":{"type":"tool","name":"f"}"#)
            .at(OpenAiChat, "/tool_choice", r#"{"type":"function","function":{"name":"f"}}"#)
            .at(Gemini, calling, r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#)
            .at(BedrockConverse, bedrock, r#"{"tool":{"name":"f"}}"#),
        choice(r#""tool_choice":{"type":"none"}"#)
            .at(OpenAiChat, "/tool_choice", r#""none""#)
            .at(Gemini, calling, r#"{"mode":"NONE"}"#),
        with(r#""tools":[{"type":"custom","name":"f","description":" ","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"},"eager_input_streaming":true,"defer_loading":true,"input_examples":[{}],"allowed_callers":["direct"]}]"#)
            .lost(OpenAiChat, "tools[0].allowed_callers tools[0].cache_control \
                tools[0].defer_loading tools[0].eager_input_streaming tools[0].input_examples")
            .lost(Gemini, "tools[0].allowed_callers tools[0].cache_control tools[0].defer_loading \
                tools[0].eager_input_streaming tools[0].input_examples")
            .lost(BedrockConverse, "tools[0].allowed_callers tools[0].defer_loading \
                tools[0].eager_input_streaming tools[0].input_examples")
            .at(BedrockConverse, "/toolConfig/tools/1/cachePoint", r#"{"type":"default"}"#),
        with(r#""tools":[{"name":"f","strict":true,"input_schema":{"type":"object","properties":{},"required":[],"additionalProperties":false}}]"#)
            .at(OpenAiChat, "/tools/0/function/strict", "true")
            .at(Gemini, calling, r#"{"mode":"VALIDATED"}"#)
            .at(BedrockConverse, "/toolConfig/tools/0/toolSpec/strict", "true"),
        with(r#""tools":[{"type":"bash_20250124","name":"bash"},{"name":"f","input_schema":{"type":"object"}}]"#)
            .lost_everywhere("tools[0]"),
        with(r#""tools":[{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"tool","name":"bash"}"#)
            .refused(OpenAiChat, "tools[0]")
            .refused(Gemini, "tools[0]")
            .refused(BedrockConverse, "tools[0]"),
    ]
}

fn options() -> Vec<Row> {
    let schema = r#"{"type":"object","properties":{"x":{"type":"string"}},"required":["x"],"additionalProperties":false}"#;
    let format = format!(r#"{{"type":"json_schema","schema":{schema}}}"#);
    vec![
        with(r#""temperature":0.5"#)
            .at(OpenAiChat, "/temperature", "0.5")
            .at(Gemini, "/generationConfig/temperature", "0.5")
            .at(BedrockConverse, "/inferenceConfig/temperature", "0.5"),
        with(r#""top_p":0.25,"top_k":4"#)
            .lost(OpenAiChat, "top_k")
            .at(OpenAiChat, "/top_p", "0.25")
            .at(Gemini, "/generationConfig/topK", "4")
            .at(BedrockConverse, "/additionalModelRequestFields/top_k", "4"),
        with(r#""stop_sequences":["END"]"#)
            .at(OpenAiChat, "/stop", r#"["END"]"#)
            .at(Gemini, "/generationConfig/stopSequences", r#"["END"]"#)
            .at(BedrockConverse, "/inferenceConfig/stopSequences", r#"["END"]"#),
        with(r#""stop_sequences":["1","2","3","4","5"]"#)
            .refused(OpenAiChat, "stop_sequences")
            .at(Gemini, "/generationConfig/stopSequences/4", r#""5""#)
            .at(BedrockConverse, "/inferenceConfig/stopSequences/4", r#""5""#),
        Row::new(r#"{"max_tokens":0,"messages":[{"role":"user","content":"a"}]}"#)
            .refused(OpenAiChat, "max_tokens")
            .refused(Gemini, "max_tokens")
            .refused(BedrockConverse, "max_tokens"),
        with(r#""metadata":{"user_id":"u","later":1}"#)
            .lost(OpenAiChat, "metadata.later")
            .lost(Gemini, "metadata.later metadata.user_id")
            .lost(BedrockConverse, "metadata.later metadata.user_id")
            .at(OpenAiChat, "/safety_identifier", r#""u""#),
        with(r#""service_tier":"standard_only""#)
            .at(OpenAiChat, "/service_tier", r#""default""#)
            .at(Gemini, "/serviceTier", r#""standard""#)
            .at(BedrockConverse, "/serviceTier", r#"{"type":"default"}"#),
        with(r#""service_tier":"auto","speed":"standard","inference_geo":"global""#),
        with(r#""speed":"fast","context_management":{},"diagnostics":{},"later":1"#)
            .lost_everywhere("context_management diagnostics later speed"),
        with(r#""inference_geo":"us""#)
            .refused(OpenAiChat, "inference_geo")
            .refused(Gemini, "inference_geo")
            .refused(BedrockConverse, "inference_geo"),
        with(r#""container":"c""#)
            .refused(OpenAiChat, "container")
            .refused(Gemini, "container")
            .refused(BedrockConverse, "container"),
        with(r#""cache_control":{"type":"ephemeral"}"#)
            .lost(OpenAiChat, "cache_control")
            .lost(Gemini, "cache_control")
            .at(BedrockConverse, "/messages/0/content/1/cachePoint", r#"{"type":"default"}"#),
        with(&format!(r#""output_config":{{"format":{format}}}"#))
            .at(OpenAiChat, "/response_format/json_schema/name", r#""answer""#)
            .at(Gemini, "/generationConfig/responseJsonSchema/required", r#"["x"]"#)
            .at(BedrockConverse, "/outputConfig/textFormat/type", r#""json_schema""#),
        with(&format!(r#""output_format":{format}"#))
            .at(OpenAiChat, "/response_format/json_schema/strict", "true")
            .at(Gemini, "/generationConfig/responseMimeType", r#""application/json""#)
            .at(BedrockConverse, "/outputConfig/textFormat/type", r#""json_schema""#),
        with(r#""output_config":{"effort":"high"}"#)
            .at(OpenAiChat, "/reasoning_effort", r#""high""#)
            .at(
                Gemini,
                "/generationConfig/thinkingConfig",
                r#"{"thinkingLevel":"high","includeThoughts":true}"#,
            )
            .at(
                BedrockConverse,
                "/additionalModelRequestFields/thinking",
                r#"{"type":"enabled","budget_tokens":8999}"#,
            )
            .lost(BedrockConverse, "~output_config.effort"),
        with(r#""thinking":{"type":"enabled","budget_tokens":2000}"#)
            .lost(OpenAiChat, "~thinking")
            .lost(Gemini, "~thinking")
            .at(OpenAiChat, "/reasoning_effort", r#""low""#)
            .at(Gemini, "/generationConfig/thinkingConfig/thinkingLevel", r#""low""#)
            .at(
                BedrockConverse,
                "/additionalModelRequestFields/thinking",
                r#"{"type":"enabled","budget_tokens":2000}"#,
            ),
        with(r#""thinking":{"type":"disabled"}"#)
            .lost(Gemini, "~thinking")
            .at(OpenAiChat, "/reasoning_effort", r#""none""#)
            .at(Gemini, "/generationConfig/thinkingConfig", r#"{"thinkingLevel":"minimal"}"#),
        with(r#""thinking":{"type":"adaptive"}"#).lost(BedrockConverse, "thinking"),
        with(r#""stream":true"#),
    ]
}
