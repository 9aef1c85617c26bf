//! Counts of tokens, as the caller's format and as the provider's.

use serde_json::json;

use super::{ANTHROPIC, CHAT, parsed};
use crate::Format;
use crate::translate::{Call, Operation, Target, answer, is_possible, request};

const RESPONSES: Format = Format::OpenAiResponses;

#[test]
fn directions() {
    for (caller, target, operation, expected) in [
        (RESPONSES, CHAT, Operation::Generate, true),
        (RESPONSES, ANTHROPIC, Operation::Generate, true),
        (RESPONSES, ANTHROPIC, Operation::CountTokens, true),
        // Servers with chat completions only cannot count.
        (RESPONSES, CHAT, Operation::CountTokens, false),
        (CHAT, RESPONSES, Operation::Generate, false),
        (ANTHROPIC, RESPONSES, Operation::Generate, false),
        (ANTHROPIC, RESPONSES, Operation::CountTokens, true),
    ] {
        assert_eq!(is_possible(caller, target, operation), expected, "{caller:?} {target:?}");
    }
    let operation = Operation::Generate;
    let call = Call { format: CHAT, operation, id: "c", created: 1 };
    let body = br#"{"messages":[{"role":"user","content":"Hi"}]}"#;
    assert!(request(&call, &Target::new(RESPONSES, "gpt-5"), body).is_err());
}

#[test]
fn messages_are_counted_by_openai() {
    let operation = Operation::CountTokens;
    let call = Call { format: ANTHROPIC, operation, id: "c", created: 1 };
    let body = r#"{"model":"m","system":"S","thinking":{"type":"adaptive"},
        "tools":[{"name":"f","description":"d","input_schema":{"type":"object","properties":{}}}],
        "tool_choice":{"type":"any","disable_parallel_tool_use":true},
        "output_config":{"format":{"type":"json_schema","schema":{"type":"object"}},"effort":"low"},
        "messages":[
          {"role":"user","content":[{"type":"text","text":"a"},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}},
            {"type":"document","title":"t.pdf","source":{"type":"base64","media_type":"application/pdf","data":"QUJD"}},
            {"type":"document","source":{"type":"url","url":"https://e.org/a.pdf"}}]},
          {"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"s"},
            {"type":"text","text":"b"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"x":1}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":"c"}]}]}"#;
    let translated = request(&call, &Target::new(RESPONSES, "gpt-5"), body.as_bytes());
    let translated = translated.expect("a request");
    assert_eq!(translated.path, "/responses/input_tokens");
    let expected = json!({
        "model": "gpt-5",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "S"}]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "auto"},
                {"type": "input_file", "filename": "t.pdf", "file_data": "data:application/pdf;base64,QUJD"},
                {"type": "input_file", "file_url": "https://e.org/a.pdf"}
            ]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
            {"type": "function_call", "call_id": "toolu_1", "name": "f", "arguments": "{\"x\":1}"},
            {"type": "function_call_output", "call_id": "toolu_1", "output": [
                {"type": "input_text", "text": "Error: "}, {"type": "input_text", "text": "c"}
            ]}
        ],
        "tools": [{"type": "function", "name": "f", "description": "d", "strict": false,
            "parameters": {"type": "object", "properties": {}}}],
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"}
    });
    let mut body = parsed(&translated.body);
    // Whether it is said does not change the count.
    if let Some(format) = body["text"]["format"].as_object_mut() {
        format.remove("strict");
    }
    assert_eq!(body, expected);
    assert_eq!(translated.losses.dropped(), ["reasoning"]);
    assert_eq!(translated.losses.changed(), ["messages[].content[].is_error"]);
    let counted = br#"{"object":"response.input_tokens","input_tokens":42}"#;
    let counted = answer(&translated.context, counted).expect("a count");
    assert_eq!(counted.body, br#"{"input_tokens":42}"#);
    assert!(answer(&translated.context, b"{}").is_err());
}

#[test]
fn responses_are_counted_by_anthropic() {
    let operation = Operation::CountTokens;
    let call = Call { format: RESPONSES, operation, id: "c", created: 1 };
    let target = Target::new(ANTHROPIC, "claude-haiku-4-5");
    let translated = request(&call, &target, br#"{"model":"m","input":"Hi"}"#).expect("a request");
    assert_eq!(translated.path, "/messages/count_tokens");
    let counted = answer(&translated.context, br#"{"input_tokens":42}"#).expect("a count");
    assert_eq!(counted.body, br#"{"object":"response.input_tokens","input_tokens":42}"#);
}
