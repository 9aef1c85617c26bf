//! Requests of `chat/completions`.

use super::Row;
use crate::format::Format::{AnthropicMessages, BedrockConverse, Gemini};

/// Requests with these messages.
fn talk(messages: &str) -> Row {
    Row::new(format!(r#"{{"model":"m","messages":[{messages}]}}"#))
}

/// A request with these fields beside one message.
fn with(fields: &str) -> Row {
    Row::new(format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],{fields}}}"#))
}

const U: &str = r#"{"role":"user","content":"a"}"#;
const F: &str = r#""tools":[{"type":"function","function":{"name":"f","description":"F","parameters":{"type":"object","properties":{"x":{"type":"number"}}}}}]"#;

/// All requests.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = texts();
    rows.extend(media());
    rows.extend(calls());
    rows.extend(tools());
    rows.extend(options());
    rows.extend(formats());
    rows
}

fn texts() -> Vec<Row> {
    vec![
        talk(U),
        talk(r#"{"role":"user","content":"é \"q\" \\ \n \ud83d\ude00 \u0000"}"#),
        talk(&format!("{U},{U}")),
        talk(r#"{"role":"system","content":"S"},{"role":"user","content":"a"}"#),
        talk(&format!(r#"{{"role":"system","content":"S"}},{{"role":"developer","content":[{{"type":"text","text":"T"}},{{"type":"text","text":" "}}]}},{U}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","content":"b"}},{U}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","content":[{{"type":"text","text":"b"}},{{"type":"refusal","refusal":"c"}}]}},{U}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","content":null,"refusal":"No."}},{U}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","content":"b"}},{{"role":"system","content":"S"}},{U}"#)),
        talk(&format!(r#"{U},{{"role":"assistant","content":""}},{U}"#)),
        talk(r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"\t"},{"type":"text","text":"b"}]}"#),
        talk(&format!(r#"{{"role":"assistant","content":"b"}},{U}"#))
            .lost(Gemini, "~messages")
            .lost(BedrockConverse, "~messages"),
        talk(r#"{"role":"user","name":"Ann","content":"a","weight":1}"#)
            .lost_everywhere("messages[].name messages[].weight"),
        talk(&format!(r#"{U},{{"role":"assistant","content":"b","annotations":[{{"type":"url_citation"}}],"audio":null}},{U}"#))
            .lost_everywhere("messages[].annotations"),
        talk(&format!(r#"{U},{{"role":"assistant","content":"b","reasoning_content":"Hm"}},{U}"#))
            .lost_everywhere("reasoning"),
        talk(r#"{"role":"user","content":[{"type":"text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"text","text":"b"}]}"#)
            .lost(Gemini, "messages[].content[].prompt_cache_breakpoint"),
        // A turn that the model is to continue.
        talk(&format!(r#"{U},{{"role":"assistant","content":"b"}}"#)).refused(Gemini, "messages[1]"),
        talk(r#"{"role":"system","content":"S"}"#)
            .refused(AnthropicMessages, "messages")
            .refused(Gemini, "messages")
            .refused(BedrockConverse, "messages"),
    ]
}

fn media() -> Vec<Row> {
    let parts = |parts: &str| talk(&format!(r#"{{"role":"user","content":[{parts}]}}"#));
    let image = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}"#;
    let title = "messages[].content[].file.filename";
    vec![
        parts(image),
        parts(&format!(r#"{{"type":"text","text":"?"}},{image},{image}"#)),
        parts(r#"{"type":"image_url","image_url":"data:image/webp;base64,QUJD"}"#),
        parts(r#"{"type":"image_url","image_url":{"url":"data:image/jpg;base64,QU\nJD","detail":"auto"}}"#),
        parts(r#"{"type":"image_url","image_url":{"url":"data:image/gif;base64,QUJD","detail":"low"}}"#)
            .lost(AnthropicMessages, "messages[].content[].image_url.detail")
            .lost(BedrockConverse, "messages[].content[].image_url.detail")
            .at(Gemini, "/generationConfig", r#"{"mediaResolution":"MEDIA_RESOLUTION_LOW"}"#),
        parts(r#"{"type":"image_url","image_url":{"url":"https://e.org/a.png?b=1"}}"#)
            .refused(BedrockConverse, "messages[0].content[0]"),
        parts(r#"{"type":"text","text":"?"},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}}"#)
            .lost(Gemini, title)
            .at(AnthropicMessages, "/messages/0/content/1/title", r#""a.pdf""#)
            .at(BedrockConverse, "/messages/0/content/1/document/name", r#""a-pdf""#),
        parts(r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,QUJD"}}"#)
            .lost(BedrockConverse, "~messages"),
        parts(r#"{"type":"text","text":"?"},{"type":"file","file":{"file_data":"data:text/plain;base64,w6k="}}"#),
        parts(r#"{"type":"input_audio","input_audio":{"data":"QUJD","format":"wav"}},{"type":"text","text":"?"}"#)
            .refused(AnthropicMessages, "messages[0].content[0]"),
        parts(r#"{"type":"text","text":"?"},{"type":"file","file":{"file_id":"file-1"}}"#)
            .refused(AnthropicMessages, "messages[0].content[1]")
            .refused(Gemini, "messages[0].content[1]")
            .refused(BedrockConverse, "messages[0].content[1]"),
    ]
}

fn calls() -> Vec<Row> {
    let call = |id: &str, name: &str, arguments: &str| {
        format!(
            r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{arguments}"}}}}"#
        )
    };
    let turn = |content: &str, calls: &[String]| {
        format!(r#"{{"role":"assistant","content":{content},"tool_calls":[{}]}}"#, calls.join(","))
    };
    let result = |id: &str, text: &str| {
        format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"{text}"}}"#)
    };
    let row =
        |messages: &[&str]| Row::new(format!(r#"{{"messages":[{}],{F}}}"#, messages.join(",")));
    let one = turn("null", &[call("c1", "f", r#"{\"x\": 1, \"a\": \"é\"}"#)]);
    let two = turn("\"b\"", &[call("c1", "f", "{}"), call("c2", "f", "")]);
    let odd = turn("null", &[call("call|1.a", "f", "{}")]);
    let arguments = "~messages[].tool_calls[].function.arguments";
    vec![
        row(&[U, &one, &result("c1", "1")]),
        row(&[U, &one, &result("c1", "1"), U]),
        row(&[U, &two, &result("c1", "1"), &result("c2", "2")]),
        row(&[U, &two, &result("c2", "2"), &result("c1", "1"), U]),
        row(&[U, &one, &result("c1", "1"), &two.replace("c1", "c3"), &result("c3", "3"), &result("c2", "2")]),
        // The same id in two turns.
        row(&[U, &one, &result("c1", "1"), &one, &result("c1", "2"), U]),
        row(&[U, &odd, &result("call|1.a", "1")]),
        row(&[U, &one, &result("c1", "")]),
        row(&[U, &one, r#"{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"o"},{"type":"text","text":"ne"}]}"#]),
        row(&[U, &turn("null", &[call("c1", "f", r#"{\"x\": \"half"#)]), &result("c1", "1")])
            .lost_everywhere(arguments),
        row(&[U, &turn("null", &[call("c1", "f", "[1]")]), &result("c1", "1")]).lost_everywhere(arguments),
        // A mark on a result is written once.
        row(&[U, &one, r#"{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"1","prompt_cache_breakpoint":{"mode":"explicit"}}]}"#])
            .lost(Gemini, "messages[].content[].prompt_cache_breakpoint"),
        // Called, and not declared.
        talk(&[U, &one, &result("c1", "1")].join(","))
            .lost(AnthropicMessages, "~tools")
            .lost(BedrockConverse, "~tools")
            .lost(Gemini, "")
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"none"}"#),
        row(&[U, &one])
            .refused(AnthropicMessages, "messages[1]")
            .refused(Gemini, "messages[1]")
            .refused(BedrockConverse, "messages[1]"),
        row(&[U, &result("c1", "1")])
            .refused(AnthropicMessages, "messages[1]")
            .refused(Gemini, "messages[1]")
            .refused(BedrockConverse, "messages[1]"),
    ]
}

fn tools() -> Vec<Row> {
    let choice = |choice: &str| with(&format!("{F},{choice}"));
    let strict = r#""tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"x":{"type":"string"}},"required":["x"],"additionalProperties":false}}}]"#;
    let open = r#""tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"x":{"type":"string","maxLength":3}}}}}]"#;
    let calling = "/toolConfig/functionCallingConfig";
    let bedrock = "/toolConfig/toolChoice";
    vec![
        choice(r#""tool_choice":"auto""#)
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"auto"}"#)
            .at(Gemini, calling, r#"{"mode":"AUTO"}"#)
            .at(BedrockConverse, bedrock, r#"{"auto":{}}"#),
        choice(r#""tool_choice":"none""#)
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"none"}"#)
            .at(Gemini, calling, r#"{"mode":"NONE"}"#)
            .at(BedrockConverse, "/toolConfig", "null"),
        choice(r#""tool_choice":"required""#)
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"any"}"#)
            .at(Gemini, calling, r#"{"mode":"ANY"}"#)
            .at(BedrockConverse, bedrock, r#"{"any":{}}"#),
        choice(r#""tool_choice":{"type":"function","function":{"name":"f"}}"#)
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"tool","name":"f"}"#)
            .at(Gemini, calling, r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#)
            .at(BedrockConverse, bedrock, r#"{"tool":{"name":"f"}}"#),
        choice(r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}"#)
            .lost(AnthropicMessages, "~tool_choice")
            .lost(BedrockConverse, "~tool_choice")
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"auto"}"#)
            .at(Gemini, calling, r#"{"mode":"VALIDATED","allowedFunctionNames":["f"]}"#)
            .at(BedrockConverse, bedrock, r#"{"auto":{}}"#),
        choice(r#""parallel_tool_calls":false"#)
            .lost(Gemini, "parallel_tool_calls")
            .lost(BedrockConverse, "parallel_tool_calls")
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"auto","disable_parallel_tool_use":true}"#),
        with(r#""tools":[],"tool_choice":"auto""#),
        with(r#""tools":[{"type":"function","function":{"name":"f","description":"  "}}]"#),
        with(r#""tools":[{"type":"custom","custom":{"name":"c","description":"C","format":{"type":"grammar","grammar":{}}}}]"#)
            .lost_everywhere("tools[0].custom.format"),
        with(r#""functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"}"#)
            .at(AnthropicMessages, "/tool_choice", r#"{"type":"tool","name":"f"}"#)
            .at(Gemini, calling, r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#)
            .at(BedrockConverse, bedrock, r#"{"tool":{"name":"f"}}"#),
        with(strict)
            .at(AnthropicMessages, "/tools/0/strict", "true")
            .at(Gemini, calling, r#"{"mode":"VALIDATED"}"#)
            .at(BedrockConverse, "/toolConfig/tools/0/toolSpec/strict", "true"),
        with(open)
            .lost(AnthropicMessages, "tools[0].function.strict")
            .lost(BedrockConverse, "tools[0].function.strict")
            .at(AnthropicMessages, "/tools/0/strict", "null")
            .at(Gemini, calling, r#"{"mode":"VALIDATED"}"#),
        with(r#""tools":[{"type":"web_search"},{"type":"function","function":{"name":"f"}}]"#)
            .lost_everywhere("tools[0]"),
        with(r#""tools":[{"type":"web_search"}],"tool_choice":"required""#)
            .refused(AnthropicMessages, "tools[0]")
            .refused(Gemini, "tools[0]")
            .refused(BedrockConverse, "tools[0]"),
    ]
}

fn options() -> Vec<Row> {
    let inference = "/inferenceConfig";
    let config = "/generationConfig";
    vec![
        with(r#""max_completion_tokens":7,"max_tokens":9"#)
            .at(AnthropicMessages, "/max_tokens", "7")
            .at(Gemini, config, r#"{"maxOutputTokens":7}"#)
            .at(BedrockConverse, inference, r#"{"maxTokens":7}"#),
        with(r#""max_tokens":9"#)
            .at(AnthropicMessages, "/max_tokens", "9")
            .at(Gemini, config, r#"{"maxOutputTokens":9}"#)
            .at(BedrockConverse, inference, r#"{"maxTokens":9}"#),
        with(r#""temperature":0.5"#)
            .at(AnthropicMessages, "/temperature", "0.5")
            .at(Gemini, config, r#"{"temperature":0.5}"#)
            .at(BedrockConverse, inference, r#"{"temperature":0.5}"#),
        with(r#""temperature":1.5"#)
            .lost(AnthropicMessages, "~temperature")
            .lost(BedrockConverse, "~temperature")
            .at(AnthropicMessages, "/temperature", "1")
            .at(Gemini, config, r#"{"temperature":1.5}"#)
            .at(BedrockConverse, inference, r#"{"temperature":1}"#),
        with(r#""top_p":0.25"#)
            .at(AnthropicMessages, "/top_p", "0.25")
            .at(Gemini, config, r#"{"topP":0.25}"#)
            .at(BedrockConverse, inference, r#"{"topP":0.25}"#),
        with(r#""temperature":0.5,"top_p":0.25"#)
            .lost(AnthropicMessages, "top_p")
            .lost(BedrockConverse, "top_p")
            .at(AnthropicMessages, "/temperature", "0.5")
            .at(Gemini, config, r#"{"temperature":0.5,"topP":0.25}"#)
            .at(BedrockConverse, inference, r#"{"temperature":0.5}"#),
        with(r#""top_k":4"#)
            .at(AnthropicMessages, "/top_k", "4")
            .at(Gemini, config, r#"{"topK":4}"#)
            .at(BedrockConverse, "/additionalModelRequestFields", r#"{"top_k":4}"#),
        with(r#""stop":"END""#)
            .at(AnthropicMessages, "/stop_sequences", r#"["END"]"#)
            .at(Gemini, config, r#"{"stopSequences":["END"]}"#)
            .at(BedrockConverse, inference, r#"{"stopSequences":["END"]}"#),
        with(r#""stop":["a"," "]"#)
            .lost(AnthropicMessages, "stop")
            .lost(BedrockConverse, "stop")
            .at(AnthropicMessages, "/stop_sequences", r#"["a"]"#)
            .at(Gemini, config, r#"{"stopSequences":["a"," "]}"#)
            .at(BedrockConverse, inference, r#"{"stopSequences":["a"]}"#),
        with(r#""seed":7,"presence_penalty":0.5,"frequency_penalty":-1"#)
            .lost(AnthropicMessages, "frequency_penalty presence_penalty seed")
            .lost(BedrockConverse, "frequency_penalty presence_penalty seed")
            .at(Gemini, config, r#"{"seed":7,"presencePenalty":0.5,"frequencyPenalty":-1}"#),
        with(r#""logprobs":true,"top_logprobs":2"#)
            .lost(AnthropicMessages, "logprobs top_logprobs")
            .lost(BedrockConverse, "logprobs top_logprobs")
            .at(Gemini, config, r#"{"responseLogprobs":true,"logprobs":2}"#),
        with(r#""logit_bias":{"1":2},"verbosity":"low","prediction":{"type":"content","content":"x"},"moderation":{},"store":true"#)
            .lost_everywhere("logit_bias moderation prediction store verbosity"),
        with(r#""store":false,"n":1,"logprobs":false,"logit_bias":{},"service_tier":"auto","stop":null,"seed":null"#)
            .at(AnthropicMessages, "/service_tier", r#""auto""#),
        with(r#""prompt_cache_key":"k","prompt_cache_options":{"mode":"explicit"},"prompt_cache_retention":"24h""#)
            .lost_everywhere("prompt_cache_key prompt_cache_options prompt_cache_retention"),
        with(r#""user":"u","safety_identifier":"s""#)
            .lost(AnthropicMessages, "user")
            .lost(Gemini, "safety_identifier user")
            .lost(BedrockConverse, "safety_identifier user")
            .at(AnthropicMessages, "/metadata", r#"{"user_id":"s"}"#),
        with(r#""metadata":{"team":"red"}"#)
            .lost(AnthropicMessages, "metadata")
            .lost(Gemini, "metadata")
            .at(BedrockConverse, "/requestMetadata", r#"{"team":"red"}"#),
        with(r#""service_tier":"priority""#)
            .lost(AnthropicMessages, "service_tier")
            .at(Gemini, "/serviceTier", r#""priority""#)
            .at(BedrockConverse, "/serviceTier", r#"{"type":"priority"}"#),
        with(r#""service_tier":"default""#)
            .at(AnthropicMessages, "/service_tier", r#""standard_only""#)
            .at(Gemini, "/serviceTier", r#""standard""#)
            .at(BedrockConverse, "/serviceTier", r#"{"type":"default"}"#),
        with(r#""reasoning_effort":"medium""#)
            .at(AnthropicMessages, "/thinking", r#"{"type":"enabled","budget_tokens":8192}"#)
            .at(Gemini, "/generationConfig/thinkingConfig", r#"{"thinkingLevel":"medium","includeThoughts":true}"#)
            .at(BedrockConverse, "/additionalModelRequestFields/thinking", r#"{"type":"enabled","budget_tokens":8192}"#),
        with(r#""reasoning_effort":"max","temperature":0.5"#)
            .lost(AnthropicMessages, "temperature ~reasoning_effort")
            .lost(Gemini, "~reasoning_effort")
            .lost(BedrockConverse, "temperature ~reasoning_effort")
            .at(AnthropicMessages, "/thinking", r#"{"type":"enabled","budget_tokens":24576}"#)
            .at(Gemini, "/generationConfig/thinkingConfig/thinkingLevel", r#""high""#)
            .at(BedrockConverse, "/additionalModelRequestFields/thinking/budget_tokens", "24576"),
        with(r#""thinking":{"type":"enabled"},"safetySettings":[],"later":1"#)
            .lost_everywhere("later safetySettings thinking"),
        with(r#""stream":true,"stream_options":{"include_usage":true,"later":1}"#)
            .lost_everywhere("stream_options.later"),
        with(r#""n":2"#)
            .refused(AnthropicMessages, "n")
            .refused(Gemini, "n")
            .refused(BedrockConverse, "n"),
        with(r#""modalities":["text","audio"],"audio":{"voice":"v","format":"wav"}"#)
            .refused(AnthropicMessages, "modalities")
            .refused(Gemini, "modalities")
            .refused(BedrockConverse, "modalities"),
    ]
}

fn formats() -> Vec<Row> {
    let schema = |more: &str| {
        with(&format!(
            r#""response_format":{{"type":"json_schema","json_schema":{{"name":"n",{more}"schema":{{"type":"object","properties":{{"x":{{"type":"string"}}}},"required":["x"],"additionalProperties":false}}}}}}"#
        ))
        .at(Gemini, "/generationConfig/responseJsonSchema/required", r#"["x"]"#)
        .at(AnthropicMessages, "/output_config/format/schema/required", r#"["x"]"#)
        .at(BedrockConverse, "/outputConfig/textFormat/structure/jsonSchema/name", r#""n""#)
    };
    vec![
        schema(""),
        schema(r#""description":"D","#)
            .lost(AnthropicMessages, "response_format.json_schema.description")
            .lost(Gemini, "response_format.json_schema.description")
            .at(BedrockConverse, "/outputConfig/textFormat/structure/jsonSchema/description", r#""D""#),
        with(r#""response_format":{"type":"text"}"#),
        with(r#""response_format":{"type":"json_object"}"#)
            .lost(AnthropicMessages, "~response_format")
            .lost(BedrockConverse, "~response_format")
            .at(Gemini, "/generationConfig", r#"{"responseMimeType":"application/json"}"#)
            .at(AnthropicMessages, "/system/0/text", r#""Answer with one JSON object and nothing else.""#)
            .at(BedrockConverse, "/system/0/text", r#""Answer with one JSON object and nothing else.""#),
        // An object with any keys.
        with(r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}"#)
            .lost(AnthropicMessages, "~response_format")
            .lost(BedrockConverse, "~response_format")
            .at(Gemini, "/generationConfig/responseJsonSchema", r#"{"type":"object"}"#),
    ]
}
