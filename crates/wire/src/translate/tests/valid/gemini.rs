//! A request of `generateContent`, as google-genai 3.6 types it, with the rules of its server.

use serde_json::Value;

use super::{fields, list, text};

/// Checks a request.
pub(crate) fn request(body: &Value) {
    let known = ["systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier"];
    fields(body, &["contents"], &known);
    if let Some(system) = body.get("systemInstruction") {
        fields(system, &["parts"], &[]);
        for part in list(system, "parts") {
            fields(part, &["text"], &[]);
            assert!(!text(part, "text").trim().is_empty(), "{body}");
        }
    }
    contents(body);
    tools(body);
    config(body);
    if let Some(tier) = body.get("serviceTier") {
        assert!(["standard", "flex", "priority"].contains(&tier.as_str().expect("a word")));
    }
}

/// Roles take turns, but for results, which stand in a turn of their own; as many as calls, in
/// their order.
fn contents(body: &Value) {
    let contents = list(body, "contents");
    assert_eq!(contents.first().map(|c| text(c, "role")), Some("user"), "{body}");
    assert_eq!(contents.last().map(|c| text(c, "role")), Some("user"), "{body}");
    let mut calls: Vec<&str> = Vec::new();
    let mut before = ("model", false);
    for content in contents {
        fields(content, &["role", "parts"], &[]);
        let role = text(content, "role");
        let parts = list(content, "parts");
        assert!(["user", "model"].contains(&role) && !parts.is_empty(), "{content}");
        let results: Vec<&str> = parts
            .iter()
            .filter_map(|part| part.get("functionResponse"))
            .map(|result| text(result, "name"))
            .collect();
        assert!(results.is_empty() || results.len() == parts.len(), "alone: {content}");
        assert_eq!(results, calls, "results of the calls before: {body}");
        assert!(role != before.0 || before.1, "two turns of one role: {body}");
        before = (role, !results.is_empty());
        let called = parts.iter().filter_map(|part| part.get("functionCall"));
        calls = called.map(|call| text(call, "name")).collect();
        assert!(calls.is_empty() || role == "model", "{content}");
        parts.iter().for_each(|part| self::part(part, role));
    }
    assert!(calls.is_empty(), "calls without results: {body}");
}

fn part(part: &Value, role: &str) {
    let kinds = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];
    let mut kind = kinds.iter().filter(|kind| part.get(**kind).is_some());
    let (Some(kind), None) = (kind.next(), kind.next()) else { panic!("not one kind: {part}") };
    let known: &[&str] = if role == "model" { &["thought", "thoughtSignature"] } else { &[] };
    fields(part, &[kind], known);
    let inner = &part[*kind];
    match *kind {
        "text" => {
            let is_signed = part.get("thoughtSignature").is_some();
            assert!(is_signed || !text(part, "text").trim().is_empty(), "blank: {part}");
        }
        "inlineData" => {
            fields(inner, &["mimeType", "data"], &[]);
            assert!(text(inner, "mimeType").contains('/') && !text(inner, "data").contains('\n'));
        }
        "fileData" => _ = fields(inner, &["mimeType", "fileUri"], &[]),
        "functionCall" => {
            fields(inner, &["name", "args"], &[]);
            assert!(inner["args"].is_object() && is_name(text(inner, "name")), "{part}");
        }
        _ => {
            fields(inner, &["name", "response"], &["parts"]);
            let response = fields(&inner["response"], &[], &["output", "error"]);
            assert!(response.len() == 1 && response.values().all(Value::is_string), "{part}");
            for part in inner.get("parts").and_then(Value::as_array).into_iter().flatten() {
                fields(part, &["inlineData"], &[]);
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.len() <= 128
        && name.as_bytes().first().is_some_and(is_start)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
}

fn tools(body: &Value) {
    if let Some(tools) = body.get("tools").and_then(Value::as_array) {
        let [tools] = &tools[..] else { panic!("one entry with all functions: {body}") };
        fields(tools, &["functionDeclarations"], &[]);
        let declarations = list(tools, "functionDeclarations");
        assert!(!declarations.is_empty(), "{body}");
        for tool in declarations {
            fields(tool, &["name", "parametersJsonSchema"], &["description"]);
            assert!(is_name(text(tool, "name")) && tool["parametersJsonSchema"].is_object());
            assert!(tool.get("description").is_none_or(|text| text != ""), "{tool}");
        }
    }
    if let Some(config) = body.get("toolConfig") {
        assert!(body.get("tools").is_some(), "a choice without tools: {body}");
        fields(config, &["functionCallingConfig"], &[]);
        let calling = &config["functionCallingConfig"];
        fields(calling, &["mode"], &["allowedFunctionNames"]);
        let mode = text(calling, "mode");
        assert!(["AUTO", "ANY", "NONE", "VALIDATED"].contains(&mode), "{config}");
        let has_names = calling.get("allowedFunctionNames").is_some();
        assert!(!has_names || ["ANY", "VALIDATED"].contains(&mode), "{config}");
    }
}

fn config(body: &Value) {
    let Some(config) = body.get("generationConfig") else { return };
    let known = [
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "responseMimeType",
        "responseJsonSchema",
        "mediaResolution",
        "thinkingConfig",
    ];
    let object = fields(config, &[], &known);
    assert!(!object.is_empty(), "{body}");
    for (name, value) in object {
        let fits = match name.as_str() {
            "maxOutputTokens" => value.as_u64().is_some_and(|most| most > 0),
            "seed" => value.as_i64().is_some_and(|seed| i32::try_from(seed).is_ok()),
            "temperature" => value.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t)),
            "stopSequences" => value.as_array().is_some_and(|list| (1..=5).contains(&list.len())),
            "responseLogprobs" => value.is_boolean(),
            "logprobs" => config["responseLogprobs"] == true && value.is_u64(),
            "responseJsonSchema" => config["responseMimeType"] == "application/json",
            "thinkingConfig" => {
                let known = ["thinkingBudget", "thinkingLevel", "includeThoughts"];
                let thinking = fields(value, &[], &known);
                !(thinking.contains_key("thinkingBudget") && thinking.contains_key("thinkingLevel"))
            }
            "responseMimeType" | "mediaResolution" => value.is_string(),
            _ => value.is_number(),
        };
        assert!(fits, "{name}: {body}");
    }
}
