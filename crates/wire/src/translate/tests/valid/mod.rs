//! What the documents say of each form: fields, types, and the rules between them. Anything else
//! is a panic with the value.

pub(crate) mod bedrock;
pub(crate) mod gemini;

use serde_json::{Map, Value};

/// The fields of an object: each is one of `known`, each of `required` is there.
fn fields<'v>(value: &'v Value, required: &[&str], known: &[&str]) -> &'v Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for name in required {
        assert!(object.contains_key(*name), "{name} is missing in {value}");
    }
    for name in object.keys() {
        let is_known = required.contains(&name.as_str()) || known.contains(&name.as_str());
        assert!(is_known, "{name} is not known in {value}");
    }
    object
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no string in {value}"))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is no list in {value}"))
}

fn is_id(id: &str, most: usize) -> bool {
    (1..=most).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

// ---- messages -----------------------------------------------------------------------------------

/// A request of `messages`, as anthropic-python 2.14 types it, with the rules of its server.
pub(crate) fn messages_request(body: &Value) {
    let known = [
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "metadata",
        "service_tier",
        "stream",
    ];
    fields(body, &["model", "messages", "max_tokens"], &known);
    assert!(body["max_tokens"].as_u64().is_some_and(|n| n > 0), "{body}");
    for block in body.get("system").and_then(Value::as_array).into_iter().flatten() {
        fields(block, &["type", "text"], &["cache_control"]);
        assert!(!text(block, "text").trim().is_empty(), "{body}");
    }
    let mut open: Vec<&str> = Vec::new();
    let mut role_before = "";
    assert!(!list(body, "messages").is_empty());
    for message in list(body, "messages") {
        fields(message, &["role", "content"], &[]);
        let role = text(message, "role");
        assert!(["user", "assistant", "system"].contains(&role), "{body}");
        assert_ne!(role, role_before, "two turns of one role: {body}");
        role_before = role;
        let blocks = list(message, "content");
        assert!(!blocks.is_empty(), "{body}");
        let results = blocks.iter().filter(|block| block["type"] == "tool_result");
        let answered: Vec<&str> = results.map(|block| text(block, "tool_use_id")).collect();
        assert_eq!(answered, open, "results of the calls before, in order: {body}");
        assert!(blocks.iter().take(answered.len()).all(|b| b["type"] == "tool_result"), "{body}");
        open = blocks.iter().filter(|b| b["type"] == "tool_use").map(|b| text(b, "id")).collect();
        blocks.iter().for_each(|block| messages_block(block, role));
    }
    for tool in body.get("tools").and_then(Value::as_array).into_iter().flatten() {
        fields(tool, &["name", "input_schema"], &["description", "strict", "cache_control"]);
        assert!(
            is_id(text(tool, "name"), 128) && tool["input_schema"]["type"] == "object",
            "{tool}"
        );
    }
    if let Some(choice) = body.get("tool_choice") {
        fields(choice, &["type"], &["name", "disable_parallel_tool_use"]);
        assert!(body.get("tools").is_some(), "a choice without tools: {body}");
        let is_none = choice["type"] == "none";
        assert!(!(is_none && choice.get("disable_parallel_tool_use").is_some()), "{body}");
    }
    let marks = body.to_string().matches("\"cache_control\"").count();
    assert!(marks <= 4, "{marks} marks: {body}");
    thinking(body);
    messages_options(body);
}

fn messages_options(body: &Value) {
    let within = |name: &str| {
        body.get(name).is_none_or(|n| n.as_f64().is_some_and(|n| (0.0..=1.0).contains(&n)))
    };
    assert!(within("temperature") && within("top_p"), "{body}");
    assert!(body.get("top_k").is_none_or(Value::is_u64), "{body}");
    if let Some(stops) = body.get("stop_sequences") {
        let stops = stops.as_array().expect("a list");
        let is_text = |text: &Value| text.as_str().is_some_and(|text| !text.trim().is_empty());
        assert!(!stops.is_empty() && stops.iter().all(is_text), "{body}");
    }
    if let Some(choice) = body.get("tool_choice") {
        let kind = text(choice, "type");
        assert!(["auto", "any", "tool", "none"].contains(&kind), "{body}");
        assert_eq!(choice.get("name").is_some(), kind == "tool", "{body}");
    }
    if let Some(config) = body.get("output_config") {
        fields(config, &[], &["effort", "format"]);
        if let Some(format) = config.get("format") {
            fields(format, &["type", "schema"], &[]);
            assert!(format["type"] == "json_schema" && format["schema"].is_object(), "{body}");
        }
    }
    if let Some(metadata) = body.get("metadata") {
        fields(metadata, &["user_id"], &[]);
    }
    if let Some(tier) = body.get("service_tier").and_then(Value::as_str) {
        assert!(["auto", "standard_only"].contains(&tier), "{body}");
    }
}

fn thinking(body: &Value) {
    let Some(thinking) = body.get("thinking") else { return };
    fields(thinking, &["type"], &["budget_tokens", "display"]);
    if let Some(budget) = thinking.get("budget_tokens").and_then(Value::as_u64) {
        assert!(budget >= 1024 && Some(budget) < body["max_tokens"].as_u64(), "{body}");
    }
    if thinking["type"] != "disabled" {
        assert!(body.get("top_k").is_none(), "{body}");
        assert!(body.get("temperature").is_none_or(|t| t.as_f64() == Some(1.0)), "{body}");
    }
}

fn messages_block(block: &Value, role: &str) {
    let known: &[&str] = match (text(block, "type"), role) {
        ("text", _) => {
            assert!(!text(block, "text").trim().is_empty(), "blank: {block}");
            &["text", "cache_control"]
        }
        ("image", "user") => &["source", "cache_control"],
        ("document", "user") => &["source", "title", "context", "citations", "cache_control"],
        ("search_result", "user") => &["title", "source", "content", "citations", "cache_control"],
        ("tool_result", "user") => {
            for inner in block["content"].as_array().into_iter().flatten() {
                messages_block(inner, "user");
            }
            assert!(is_id(text(block, "tool_use_id"), 64), "{block}");
            &["tool_use_id", "content", "is_error", "cache_control"]
        }
        ("tool_use", "assistant") => {
            assert!(is_id(text(block, "id"), 64) && block["input"].is_object(), "{block}");
            &["id", "name", "input", "cache_control"]
        }
        ("thinking", "assistant") => {
            assert!(!text(block, "signature").is_empty(), "{block}");
            &["thinking", "signature"]
        }
        ("redacted_thinking", "assistant") => &["data"],
        (kind, role) => panic!("{kind} in a turn of {role}: {block}"),
    };
    fields(block, &["type"], known);
    if let Some(source) = block.get("source").filter(|source| source.is_object()) {
        fields(source, &["type"], &["media_type", "data", "url", "content"]);
    }
}

/// A whole answer of `messages`.
pub(crate) fn message(body: &Value) {
    let required =
        ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"];
    fields(body, &required, &[]);
    assert!(text(body, "id").starts_with("msg_") && body["type"] == "message", "{body}");
    assert_eq!(body["role"], "assistant");
    let reasons = [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ];
    assert!(reasons.contains(&text(body, "stop_reason")), "{body}");
    assert!(body["stop_sequence"].is_null() || body["stop_reason"] == "stop_sequence", "{body}");
    let has_calls = list(body, "content").iter().any(|block| block["type"] == "tool_use");
    assert!(has_calls || body["stop_reason"] != "tool_use", "{body}");
    list(body, "content").iter().for_each(|block| messages_block(block, "assistant"));
    messages_usage(&body["usage"]);
}

pub(crate) fn messages_usage(usage: &Value) {
    let known = [
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "cache_creation",
        "output_tokens_details",
        "service_tier",
    ];
    fields(usage, &["input_tokens", "output_tokens"], &known);
}

// ---- chat ---------------------------------------------------------------------------------------

/// A request of `chat/completions`, as openai-python 3.57 types it.
pub(crate) fn chat_request(body: &Value) {
    let known = [
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "max_completion_tokens",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "user",
        "safety_identifier",
        "metadata",
        "service_tier",
        "verbosity",
        "prompt_cache_key",
        "stream",
        "stream_options",
    ];
    fields(body, &["model", "messages"], &known);
    assert!(body.get("stop").and_then(Value::as_array).is_none_or(|stop| stop.len() <= 4));
    assert!(body.get("tool_choice").is_none() || body.get("tools").is_some(), "{body}");
    assert!(body.get("parallel_tool_calls").is_none() || body.get("tools").is_some(), "{body}");
    assert!(body.get("tools").and_then(Value::as_array).is_none_or(|tools| !tools.is_empty()));
    chat_options(body);
    let mut open: Vec<&str> = Vec::new();
    for message in list(body, "messages") {
        match text(message, "role") {
            "tool" => {
                fields(message, &["role", "content", "tool_call_id"], &[]);
                assert_eq!(text(message, "tool_call_id"), open.remove(0), "{body}");
                chat_content(&message["content"], &["text"]);
                continue;
            }
            "assistant" => {
                let known = ["tool_calls", "reasoning_content", "extra_content"];
                fields(message, &["role", "content"], &known);
                assert!(
                    !message["content"].is_null() || message.get("tool_calls").is_some(),
                    "{body}"
                );
                chat_content(&message["content"], &["text", "refusal"]);
            }
            "user" => {
                fields(message, &["role", "content"], &[]);
                chat_content(&message["content"], &["text", "image_url", "file", "input_audio"]);
            }
            "system" | "developer" => {
                fields(message, &["role", "content"], &[]);
                chat_content(&message["content"], &["text"]);
            }
            role => panic!("{role}: {body}"),
        }
        assert!(open.is_empty(), "calls without results: {body}");
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            chat_call(call);
            open.push(text(call, "id"));
        }
    }
    for tool in body.get("tools").and_then(Value::as_array).into_iter().flatten() {
        let kind = text(tool, "type");
        fields(tool, &["type", kind], &[]);
        fields(&tool[kind], &["name"], &["description", "parameters", "strict", "format"]);
        assert!(is_id(text(&tool[kind], "name"), 64), "{tool}");
    }
}

fn chat_options(body: &Value) {
    for name in ["temperature", "top_p", "presence_penalty", "frequency_penalty"] {
        assert!(body.get(name).is_none_or(Value::is_number), "{body}");
    }
    for name in ["user", "safety_identifier", "verbosity", "prompt_cache_key", "reasoning_effort"] {
        assert!(body.get(name).is_none_or(Value::is_string), "{body}");
    }
    for name in ["max_completion_tokens", "max_tokens"] {
        assert!(body.get(name).is_none_or(|n| n.as_u64().is_some_and(|n| n > 0)), "{body}");
    }
    assert!(body.get("top_logprobs").is_none() || body["logprobs"] == true, "{body}");
    if let Some(format) = body.get("response_format") {
        let kind = text(format, "type");
        assert!(["json_object", "json_schema"].contains(&kind), "{body}");
        if kind == "json_schema" {
            fields(&format[kind], &["name", "schema"], &["description", "strict"]);
        }
    }
    if let Some(tier) = body.get("service_tier").and_then(Value::as_str) {
        assert!(["auto", "default", "flex", "priority", "scale"].contains(&tier), "{body}");
    }
}

fn chat_content(content: &Value, kinds: &[&str]) {
    let Some(parts) = content.as_array() else {
        assert!(content.is_string() || content.is_null(), "{content}");
        return;
    };
    assert!(!parts.is_empty());
    for part in parts {
        let kind = text(part, "type");
        assert!(kinds.contains(&kind), "{content}");
        fields(part, &["type", kind], &["prompt_cache_breakpoint"]);
    }
}

fn chat_call(call: &Value) {
    fields(call, &["id", "type"], &["function", "custom", "extra_content"]);
    assert!(is_id(text(call, "id"), 40), "{call}");
    if call["type"] == "function" {
        fields(&call["function"], &["name", "arguments"], &[]);
        text(&call["function"], "arguments");
    } else {
        fields(&call["custom"], &["name", "input"], &[]);
    }
}

pub(crate) const FINISH_REASONS: [&str; 5] =
    ["stop", "length", "tool_calls", "content_filter", "function_call"];

/// A whole answer of `chat/completions`.
pub(crate) fn chat_completion(body: &Value) {
    let known = ["usage", "service_tier"];
    fields(body, &["id", "object", "created", "model", "choices"], &known);
    assert!(text(body, "id").starts_with("chatcmpl-") && body["object"] == "chat.completion");
    let [choice] = list(body, "choices") else { panic!("{body}") };
    fields(choice, &["index", "message", "finish_reason", "logprobs"], &[]);
    assert!(FINISH_REASONS.contains(&text(choice, "finish_reason")), "{body}");
    let message = &choice["message"];
    let known = ["tool_calls", "reasoning_content", "thinking_blocks", "extra_content"];
    fields(message, &["role", "content", "refusal"], &known);
    assert!(message["content"].is_string() || message["content"].is_null(), "{body}");
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        chat_call(call);
    }
    body.get("usage").into_iter().for_each(chat_usage);
}

pub(crate) fn chat_usage(usage: &Value) {
    let required = ["prompt_tokens", "completion_tokens", "total_tokens"];
    fields(usage, &required, &["prompt_tokens_details", "completion_tokens_details"]);
    let number = |name: &str| usage[name].as_u64().expect("a number");
    assert_eq!(number("total_tokens"), number("prompt_tokens") + number("completion_tokens"));
}
