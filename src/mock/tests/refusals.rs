//! Requests that differ from the documented schemas, and the words in which they are refused.

use serde_json::{Value, json};

use super::{call, provider};

const KEY: &str = "x-goog-api-key: k\r\napi-key: k\r\nauthorization: Bearer k\r\n";

/// Each body is a good one with changes: a JSON pointer, and the value that is put there.
async fn check(path: &str, good: &Value, table: &[(&[(&str, Value)], &str)]) {
    let (address, _provider) = provider().await;
    let (status, _, bytes) = call(address, path, KEY, good).await;
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&bytes));
    for (changes, words) in table {
        let mut body = good.clone();
        for (pointer, value) in *changes {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = body.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
            match parent {
                Value::Array(items) if key == "-" => items.push(value.clone()),
                Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
                _ => parent[key] = value.clone(),
            }
        }
        let (status, _, bytes) = call(address, path, KEY, &body).await;
        let error: Value = serde_json::from_slice(&bytes).unwrap();
        let message = error["error"].get("message").unwrap_or(&error["message"]);
        let told = format!("{} {message}", error["error"]["param"]);
        assert!(status == 400 && told.contains(words), "{path} {changes:?}: {status} {told}");
    }
}

#[tokio::test]
async fn chat_completions() {
    let good = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let call = json!({"role": "assistant", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "x"});
    check("/v1/chat/completions", &good, &[
        (&[("/foo", json!(1))], "Unknown parameter: 'foo'"),
        (&[("/messages/0/foo", json!(1))], "\"messages[0].foo\""),
        (&[("/messages/0/role", json!("model"))], "messages[0].role"),
        (&[("/messages/0/content", json!(1))], "Invalid type for 'messages[0].content'"),
        (&[("/messages/0/content", json!([{"type": "image", "source": {}}]))], "messages[0].content[0].type"),
        (&[("/messages/0/content", json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]))], "Invalid data URL"),
        (&[("/temperature", json!(3))], "0 to 2"),
        (&[("/tool_choice", json!("auto"))], "'tool_choice' is only allowed when 'tools'"),
        (&[("/stream_options", json!({}))], "'stream_options'"),
        (&[("/messages/-", call.clone())], "did not have response messages: c1"),
        (&[("/messages/-", result.clone())], "must be a response to a"),
        (&[("/messages/-", call), ("/messages/-", json!({"role": "user", "content": "x"})), ("/messages/-", result)], "did not have response"),
        (&[("/tools", json!([{"type": "function", "function": {"name": "f", "strict": true, "parameters": open}}]))], "additionalProperties"),
        (&[("/response_format", json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": open}}))], "additionalProperties"),
    ]).await;
}

#[tokio::test]
async fn responses() {
    let good = json!({"model": "m", "input": [{"role": "user", "content": "hi"}]});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "x"});
    let item = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    check(
        "/v1/responses",
        &good,
        &[
            (&[("/messages", json!([]))], "Unknown parameter: 'messages'"),
            (
                &[("/input/0/content", json!([{"type": "text", "text": "x"}]))],
                "input[0].content[0].type",
            ),
            (&[("/input/-", output)], "No tool call found"),
            (&[("/input/-", item)], "No tool output found for function call c"),
            (
                &[(
                    "/input/-",
                    json!({"type": "reasoning", "summary": [], "encrypted_content": "x"}),
                )],
                "could not be verified",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn messages() {
    let good = json!({"model": "claude-sonnet-4-5", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]});
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    check(
        "/v1/messages",
        &good,
        &[
            (&[("/seed", json!(1))], "seed: Extra inputs are not permitted"),
            (&[("/max_tokens", json!(null))], "max_tokens: Input should be a valid integer"),
            (&[("/messages/0/role", json!("tool"))], "messages.0.role"),
            (
                &[("/messages/0/content", json!([{"type": "text", "text": ""}]))],
                "text content blocks must be non-empty",
            ),
            (&[("/messages/0/content", json!([]))], "non-empty content"),
            (&[("/temperature", json!(1.5))], "temperature: Input should be 0 to 1"),
            (&[("/temperature", json!(0.5)), ("/top_p", json!(0.5))], "cannot both be specified"),
            (
                &[("/model", json!("claude-opus-4-8")), ("/temperature", json!(1))],
                "temperature: Extra inputs",
            ),
            (
                &[("/thinking", json!({"type": "enabled", "budget_tokens": 2000}))],
                "`max_tokens` must be greater",
            ),
            (&[("/thinking", json!({"type": "adaptive"}))], "adaptive thinking is not supported"),
            (&[("/tool_choice", json!({"type": "auto"}))], "while providing tools"),
            (&[("/tools", json!([{"name": "f"}]))], "tools.0.custom.input_schema: Field required"),
            (
                &[("/tools", json!([{"name": "a b", "input_schema": {"type": "object"}}]))],
                "should match pattern",
            ),
            (
                &[("/tools", tools.clone()), ("/messages/-", call.clone())],
                "messages.1: `tool_use` ids were found without",
            ),
            (&[("/tools", tools), ("/messages/-", result.clone())], "unexpected `tool_use_id`"),
            (&[("/messages/-", call), ("/messages/-", result)], "must define tools"),
            (
                &[("/messages/-", json!({"role": "assistant", "content": "x "}))],
                "trailing whitespace",
            ),
            (&[("/messages/-", json!({"role": "system", "content": "x"}))], "messages.1.role"),
            (
                &[(
                    "/output_config",
                    json!({"format": {"type": "json_schema", "schema": {"type": "object"}}}),
                )],
                "'additionalProperties'",
            ),
            (&[("/system", json!([{"type": "text", "text": " "}]))], "system.0.text"),
        ],
    )
    .await;
}

#[tokio::test]
async fn generate_content() {
    let good = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let call = json!({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "skip_thought_signature_validator"}]});
    let result = json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]});
    let tool = |name: &str| json!([{"functionDeclarations": [{"name": name}]}]);
    check("/v1beta/models/gemini-3-flash-preview:generateContent", &good, &[
        (&[("/model", json!("x"))], "Unknown name \\\"model\\\": Cannot find field"),
        (&[("/contents/0/parts/0/foo", json!(1))], "at 'contents[0].parts[0]'"),
        (&[("/contents/0/role", json!("assistant"))], "contents[0].role"),
        (&[("/contents/0/parts", json!([]))], "contents[0].parts"),
        (&[("/contents/0/parts/0", json!({"thought": true}))], "exactly one of"),
        (&[("/contents/0/parts/0", json!({"inlineData": {"mimeType": "image/png", "data": "?"}}))], "Base64 decoding failed"),
        (&[("/contents/0/role", json!("model"))], "immediately after a user turn"),
        (&[("/contents/-", call.clone())], "followed by a function response turn"),
        (&[("/contents/-", result.clone())], "comes immediately after a"),
        (&[("/contents/-", json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": "x"}}]}))], "response' (expected object)"),
        (&[("/contents/-", call.clone()), ("/contents/-", json!({"role": "user", "parts": [{"text": "x"}]}))], "number of function response parts"),
        (&[("/contents/-", call), ("/contents/-", result), ("/contents/2/parts/-", json!({"text": "x"}))], "turn of their own"),
        (&[("/contents/-", json!({"role": "model", "parts": [{"functionCall": {"name": "f"}}]})), ("/contents/-", json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}))], "missing a thought_signature"),
        (&[("/tools", tool("1f"))], "Invalid function name"),
        (&[("/tools", tool("f")), ("/toolConfig", json!({"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}}))], "mode is ANY"),
        (&[("/tools", json!([{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}]))], "Only one of"),
        (&[("/generationConfig", json!({"responseJsonSchema": {}}))], "response_mime_type"),
        (&[("/generationConfig", json!({"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "low"}}))], "only one of thinking"),
        (&[("/generationConfig", json!({"maxTokens": 1}))], "at 'generationConfig'"),
        (&[("/systemInstruction", json!({"parts": []}))], "systemInstruction.parts"),
    ]).await;
}

#[tokio::test]
async fn converse() {
    let good = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    let call = json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}]});
    let result = json!({"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "x"}]}}]});
    let tools = json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]});
    let user = json!({"role": "user", "content": [{"text": "x"}]});
    check("/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse", &good, &[
        (&[("/max_tokens", json!(1))], "extraneous key [max_tokens]"),
        (&[("/messages/0/content/0/type", json!("text"))], "#/messages/0/content/0: extraneous key [type]"),
        (&[("/messages/0/content", json!("hi"))], "expected type: array"),
        (&[("/messages/0/role", json!("tool"))], "messages.0.role"),
        (&[("/messages/0/role", json!("assistant"))], "must start with a user message"),
        (&[("/messages/-", user.clone())], "must alternate"),
        (&[("/messages/0/content/0/text", json!(" "))], "messages.0.content.0 is blank"),
        (&[("/inferenceConfig", json!({"maxTokens": 0}))], "inferenceConfig.maxTokens"),
        (&[("/toolConfig", json!({"tools": []}))], "toolConfig.tools"),
        (&[("/toolConfig", json!({"tools": [{"toolSpec": {"name": "f", "description": "", "inputSchema": {"json": {"type": "object"}}}}]}))], "description"),
        (&[("/toolConfig", tools.clone()), ("/messages/-", call.clone())], "Expected toolResult blocks"),
        (&[("/toolConfig", tools.clone()), ("/messages/-", call.clone()), ("/messages/-", user)], "Expected toolResult blocks at messages.2.content"),
        (&[("/toolConfig", tools), ("/messages/0", result.clone())], "exceeds the number of toolUse"),
        (&[("/messages/-", call), ("/messages/-", result)], "toolConfig field must be defined"),
        (&[("/messages/0/content/-", json!({"image": {"format": "png", "source": {"bytes": "a b"}}}))], "not base64"),
        (&[("/messages/0/content/-", json!({"image": {"format": "jpg", "source": {"bytes": "aGk="}}}))], "format"),
        (&[("/messages/0/content", json!([{"document": {"format": "pdf", "name": "a", "source": {"bytes": "aGk="}}}]))], "text block must be included"),
        (&[("/messages/0/content/-", json!({"document": {"format": "pdf", "name": "a.pdf", "source": {"bytes": "aGk="}}}))], "file name"),
        (&[("/additionalModelRequestFields", json!({"seed": 1}))], "seed: Extra inputs"),
        (&[("/outputConfig", json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": {}}}}}))], "expected type: string"),
    ]).await;
}
