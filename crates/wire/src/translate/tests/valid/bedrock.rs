//! A request of `converse`, as botocore 1.44 types it, with the rules of its server.

use serde_json::Value;

use super::{fields, list, text};

/// Checks a request.
pub(crate) fn request(body: &Value) {
    let known = [
        "system",
        "toolConfig",
        "inferenceConfig",
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "outputConfig",
        "requestMetadata",
        "serviceTier",
    ];
    fields(body, &["messages"], &known);
    for block in body.get("system").and_then(Value::as_array).into_iter().flatten() {
        match block.get("cachePoint") {
            Some(point) => cache_point(point),
            None => {
                fields(block, &["text"], &[]);
                assert!(!text(block, "text").trim().is_empty(), "{body}");
            }
        }
    }
    messages(body);
    tools(body);
    options(body);
    let points = body.to_string().matches("\"cachePoint\"").count();
    assert!(points <= 4, "{points} marks: {body}");
}

fn cache_point(point: &Value) {
    fields(point, &["type"], &["ttl"]);
    assert_eq!(point["type"], "default");
}

fn messages(body: &Value) {
    let mut open: Vec<&str> = Vec::new();
    let mut before = "assistant";
    let mut names: Vec<&str> = Vec::new();
    for message in list(body, "messages") {
        fields(message, &["role", "content"], &[]);
        let role = text(message, "role");
        assert!(["user", "assistant", "system"].contains(&role), "{message}");
        assert_ne!(role, before, "roles take turns: {body}");
        before = role;
        let blocks = list(message, "content");
        assert!(!blocks.is_empty(), "{body}");
        let results = blocks.iter().filter_map(|block| block.get("toolResult"));
        let answered: Vec<&str> = results.map(|result| text(result, "toolUseId")).collect();
        assert_eq!(answered, open, "results of the calls before: {body}");
        let calls = blocks.iter().filter_map(|block| block.get("toolUse"));
        open = calls.map(|call| text(call, "toolUseId")).collect();
        blocks.iter().for_each(|block| self::block(block, role, &mut names));
        let has = |kind: &str| blocks.iter().any(|block| block.get(kind).is_some());
        assert!(!has("document") || has("text"), "a document without text: {message}");
    }
    assert!(open.is_empty(), "calls without results: {body}");
}

fn block<'v>(block: &'v Value, role: &str, names: &mut Vec<&'v str>) {
    let object = block.as_object().unwrap_or_else(|| panic!("no object: {block}"));
    assert_eq!(object.len(), 1, "{block}");
    let (kind, inner) = object.iter().next().expect("one field");
    match (kind.as_str(), role) {
        ("text", _) => assert!(!text(block, "text").trim().is_empty(), "blank: {block}"),
        ("cachePoint", _) => cache_point(inner),
        ("image" | "document" | "audio", "user") => media(kind, inner, names),
        ("searchResult", "user") => search_result(inner),
        ("toolUse", "assistant") => {
            fields(inner, &["toolUseId", "name", "input"], &[]);
            assert!(is_id(text(inner, "toolUseId")) && inner["input"].is_object(), "{inner}");
        }
        ("toolResult", "user") => {
            fields(inner, &["toolUseId", "content"], &["status"]);
            let content = list(inner, "content");
            assert!(!content.is_empty() && is_id(text(inner, "toolUseId")), "{inner}");
            for part in content {
                let (kind, part) = part.as_object().expect("one").iter().next().expect("one");
                match kind.as_str() {
                    "text" => assert!(part.is_string(), "{inner}"),
                    "image" | "document" => media(kind, part, names),
                    "searchResult" => search_result(part),
                    _ => panic!("{inner}"),
                }
            }
        }
        ("reasoningContent", "assistant") => {
            fields(inner, &[], &["reasoningText", "redactedContent"]);
            if let Some(thought) = inner.get("reasoningText") {
                fields(thought, &["text"], &["signature"]);
            }
        }
        _ => panic!("{kind} in a turn of {role}: {block}"),
    }
}

fn search_result(inner: &Value) {
    fields(inner, &["source", "title", "content", "citations"], &[]);
    list(inner, "content").iter().for_each(|part| _ = fields(part, &["text"], &[]));
}

fn media<'v>(kind: &str, inner: &'v Value, names: &mut Vec<&'v str>) {
    let formats: &[&str] = match kind {
        "image" => &["jpeg", "png", "gif", "webp"],
        "document" => &["pdf", "txt", "csv", "html", "md", "doc", "docx", "xls", "xlsx"],
        _ => &["wav", "mp3", "opus", "flac", "aac", "webm"],
    };
    match kind {
        "document" => {
            fields(inner, &["name", "format", "source"], &["context", "citations"]);
            let name = text(inner, "name");
            let fits = |c: char| c.is_ascii_alphanumeric() || " -()[]".contains(c);
            assert!((1..=200).contains(&name.len()) && name.chars().all(fits), "{name:?}");
            assert!(!name.contains("  ") && !names.contains(&name), "{name:?}");
            names.push(name);
        }
        _ => _ = fields(inner, &["format", "source"], &[]),
    }
    assert!(formats.contains(&text(inner, "format")), "{inner}");
    fields(&inner["source"], &["bytes"], &[]);
    assert!(!text(&inner["source"], "bytes").contains(char::is_whitespace), "{inner}");
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

fn tools(body: &Value) {
    let has_calls = body["messages"].to_string().contains("\"toolUse\"");
    let Some(config) = body.get("toolConfig") else {
        assert!(!has_calls, "calls without declarations: {body}");
        return;
    };
    fields(config, &["tools"], &["toolChoice"]);
    let specs = list(config, "tools").iter().filter(|tool| tool.get("cachePoint").is_none());
    let mut count = 0;
    for tool in specs {
        count += 1;
        fields(tool, &["toolSpec"], &[]);
        let spec = &tool["toolSpec"];
        fields(spec, &["name", "inputSchema"], &["description", "strict"]);
        let name = text(spec, "name");
        assert!(is_id(name) && !name.contains(['.', ':']), "{spec}");
        assert!(spec["inputSchema"]["json"].is_object(), "{spec}");
        assert!(spec.get("description").is_none_or(|text| text != ""), "{spec}");
    }
    assert!(count > 0, "{body}");
    if let Some(choice) = config.get("toolChoice") {
        let object = fields(choice, &[], &["auto", "any", "tool"]);
        assert_eq!(object.len(), 1, "{choice}");
        choice.get("tool").into_iter().for_each(|tool| _ = fields(tool, &["name"], &[]));
    }
}

fn options(body: &Value) {
    if let Some(config) = body.get("inferenceConfig") {
        let known = ["maxTokens", "temperature", "topP", "stopSequences"];
        let object = fields(config, &[], &known);
        assert!(!object.is_empty(), "{body}");
        let within = |name: &str| {
            config.get(name).is_none_or(|n| n.as_f64().is_some_and(|n| (0.0..=1.0).contains(&n)))
        };
        assert!(within("temperature") && within("topP"), "{body}");
        let stops = config.get("stopSequences").and_then(Value::as_array).into_iter().flatten();
        assert!(stops.into_iter().all(|text| text.as_str().is_some_and(|t| !t.trim().is_empty())));
        assert!(config.get("maxTokens").is_none_or(|n| n.as_u64().is_some_and(|n| n > 0)));
    }
    if let Some(config) = body.get("outputConfig") {
        fields(config, &["textFormat"], &[]);
        fields(&config["textFormat"], &["type", "structure"], &[]);
        let schema = &config["textFormat"]["structure"]["jsonSchema"];
        fields(schema, &["schema"], &["name", "description"]);
        let schema: Value = serde_json::from_str(text(schema, "schema")).expect("JSON");
        assert!(schema.is_object(), "{body}");
    }
    if let Some(tier) = body.get("serviceTier") {
        fields(tier, &["type"], &[]);
        assert!(["default", "flex", "priority"].contains(&text(tier, "type")), "{tier}");
    }
    if let Some(metadata) = body.get("requestMetadata").and_then(Value::as_object) {
        assert!((1..=16).contains(&metadata.len()), "{body}");
    }
}
