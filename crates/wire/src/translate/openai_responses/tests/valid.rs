//! What the documented schemas demand of requests, of answers and of streams.

use serde_json::Value;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {value}"))
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list `{key}` in {value}"))
}

/// A request of `chat/completions`.
pub(crate) fn chat_request(body: &Value) {
    let mut open_calls: Vec<String> = Vec::new();
    for message in list(body, "messages") {
        let role = text(message, "role");
        if role != "tool" {
            assert!(open_calls.is_empty(), "calls without results: {body}");
        }
        match role {
            "system" | "developer" | "user" => {
                let content = &message["content"];
                assert!(content.is_string() || !list(message, "content").is_empty(), "{message}");
            }
            "assistant" => {
                let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
                assert!(!message["content"].is_null() || !calls.is_empty(), "{message}");
                for call in &calls {
                    assert_eq!(call["type"], "function");
                    text(&call["function"], "name");
                    text(&call["function"], "arguments");
                    open_calls.push(text(call, "id").to_owned());
                }
            }
            "tool" => {
                let id = text(message, "tool_call_id");
                let at = open_calls.iter().position(|open| open == id);
                open_calls.remove(at.unwrap_or_else(|| panic!("no call for {message}")));
                text(message, "content");
            }
            _ => panic!("{message}"),
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        assert_eq!(tool["type"], "function");
        text(&tool["function"], "name");
        assert!(tool["function"]["parameters"].is_object());
    }
    let keys = body.as_object().expect("an object").keys();
    for key in keys {
        let known = "model messages tools tool_choice parallel_tool_calls response_format \
                     max_completion_tokens temperature top_p logprobs top_logprobs \
                     reasoning_effort user safety_identifier metadata service_tier verbosity \
                     prompt_cache_key stream stream_options";
        assert!(known.split_whitespace().any(|known| known == key), "{key}");
    }
}

/// A request of `messages`.
pub(crate) fn anthropic_request(body: &Value) {
    assert!(body["max_tokens"].as_u64().is_some_and(|most| most > 0));
    let mut open_calls: Vec<String> = Vec::new();
    let mut before = "";
    for message in list(body, "messages") {
        let role = text(message, "role");
        assert_ne!(role, before, "{body}");
        before = role;
        let mut may_be_result = true;
        for block in list(message, "content") {
            let kind = text(block, "type");
            match kind {
                "text" => assert!(!text(block, "text").trim().is_empty()),
                "tool_use" => {
                    assert!(block["input"].is_object());
                    text(block, "name");
                    open_calls.push(text(block, "id").to_owned());
                }
                "tool_result" => {
                    assert!(may_be_result, "results stand first: {message}");
                    let id = text(block, "tool_use_id");
                    let at = open_calls.iter().position(|open| open == id);
                    open_calls.remove(at.unwrap_or_else(|| panic!("no call for {block}")));
                }
                "thinking" => assert!(!text(block, "signature").is_empty()),
                "redacted_thinking" => assert!(!text(block, "data").is_empty()),
                "image" | "document" => {
                    text(&block["source"], "type");
                }
                _ => panic!("{block}"),
            }
            may_be_result &= kind == "tool_result";
        }
        assert!(role == "assistant" || open_calls.is_empty(), "calls without results: {body}");
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        text(tool, "name");
        assert_eq!(tool["input_schema"]["type"], "object");
    }
}

/// An answer: what openai-python's `Response` requires.
pub(crate) fn response(value: &Value) {
    assert!(text(value, "id").starts_with("resp_"));
    assert_eq!((&value["object"], &value["store"]), (&"response".into(), &false.into()));
    assert!(value["created_at"].is_u64() && value["parallel_tool_calls"].is_boolean());
    assert!(value["tools"].is_array() && !value["tool_choice"].is_null());
    text(value, "model");
    let reason = &value["incomplete_details"]["reason"];
    match text(value, "status") {
        "incomplete" => assert!(reason == "max_output_tokens" || reason == "content_filter"),
        "completed" | "in_progress" => assert!(value["incomplete_details"].is_null()),
        other => panic!("{other}"),
    }
    for item in list(value, "output") {
        self::item(item);
    }
    let usage = &value["usage"];
    if !usage.is_null() {
        let (input, output) = (usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64());
        let sum = input.zip(output).map(|(input, output)| input + output);
        assert_eq!(usage["total_tokens"].as_u64(), sum);
        assert!(usage["input_tokens_details"]["cached_tokens"].is_u64());
        assert!(usage["input_tokens_details"]["cache_write_tokens"].is_u64());
        assert!(usage["output_tokens_details"]["reasoning_tokens"].is_u64());
    }
}

fn item(item: &Value) {
    text(item, "id");
    match text(item, "type") {
        "message" => {
            assert_eq!(item["role"], "assistant");
            text(item, "status");
            for part in list(item, "content") {
                self::part(part);
            }
        }
        "function_call" => {
            let names = ["call_id", "name", "arguments", "status"];
            names.iter().for_each(|name| _ = text(item, name));
        }
        "custom_tool_call" => {
            let names = ["call_id", "name", "input", "status"];
            names.iter().for_each(|name| _ = text(item, name));
        }
        "reasoning" => {
            for part in list(item, "summary") {
                assert_eq!(part["type"], "summary_text");
                text(part, "text");
            }
        }
        other => panic!("{other}"),
    }
}

fn part(part: &Value) {
    match text(part, "type") {
        "output_text" => {
            text(part, "text");
            assert!(part["annotations"].is_array() && part["logprobs"].is_array(), "{part}");
        }
        "refusal" => _ = text(part, "refusal"),
        other => panic!("{other}"),
    }
}

/// The events of a stream: name and data.
pub(crate) fn events(stream: &[u8]) -> Vec<(String, Value)> {
    let stream = std::str::from_utf8(stream).expect("UTF-8");
    let blocks = stream.split_terminator("\n\n");
    let event = |block: &str| {
        let (name, data) = block.split_once('\n').expect("two lines");
        let name = name.strip_prefix("event: ").expect("a name").to_owned();
        let data = super::parsed(data.strip_prefix("data: ").expect("data"));
        assert_eq!(data["type"], name.as_str());
        (name, data)
    };
    blocks.map(event).collect()
}

/// Follows a stream as openai-python does, and returns the last answer if there is one.
pub(crate) fn accumulated(events: &[(String, Value)]) -> Option<Value> {
    let mut items: Vec<(Value, bool)> = Vec::new();
    let mut last = None;
    let mut id = String::new();
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], number, "{name}");
        assert!(last.is_none(), "an event after the last: {name}");
        if number == 0 {
            assert_eq!(name, "response.created");
        }
        if let Some(response) = data.get("response") {
            self::response(response);
            if id.is_empty() {
                id = text(response, "id").to_owned();
            }
            assert_eq!(response["id"], id.as_str());
        }
        match name.as_str() {
            "response.completed" | "response.incomplete" => {
                let response = data["response"].clone();
                let status = name.strip_prefix("response.").unwrap_or_default();
                assert_eq!(response["status"], status);
                assert!(items.iter().all(|(_, is_done)| *is_done));
                let done: Vec<&Value> = items.iter().map(|(item, _)| item).collect();
                let listed: Vec<&Value> = list(&response, "output").iter().collect();
                assert_eq!(done, listed);
                last = Some(response);
            }
            "response.created" | "response.in_progress" => {
                assert_eq!(data["response"]["status"], "in_progress");
                assert!(list(&data["response"], "output").is_empty());
            }
            _ => follow(name, data, &mut items),
        }
    }
    last
}

/// An event of an item. What was put together of pieces is what the last event of it says.
fn follow(name: &str, data: &Value, items: &mut Vec<(Value, bool)>) {
    let index = usize::try_from(data["output_index"].as_u64().expect("an index")).expect("small");
    if name == "response.output_item.added" {
        item(&data["item"]);
        assert_eq!(index, items.len(), "indexes are dense");
        items.push((data["item"].clone(), false));
        return;
    }
    let (item, is_done) = &mut items[index];
    assert!(!*is_done, "{name} after the end of its item");
    if name == "response.output_item.done" {
        self::item(&data["item"]);
        let mut whole = data["item"].clone();
        // What only the last event says.
        for late in ["status", "encrypted_content"] {
            if let Some(value) = whole.as_object_mut().and_then(|object| object.remove(late)) {
                item[late] = value.clone();
                whole[late] = value;
            }
        }
        assert_eq!(*item, whole);
        *is_done = true;
        return;
    }
    assert_eq!(data["item_id"], item["id"], "{name}");
    let place = |list: &str, index: &str| {
        let at = usize::try_from(data[index].as_u64().expect("an index")).expect("small");
        (list.to_owned(), at)
    };
    match name {
        "response.content_part.added" | "response.reasoning_summary_part.added" => {
            let (parts, at) = match name.contains("summary") {
                true => place("summary", "summary_index"),
                false => place("content", "content_index"),
            };
            let parts = item[parts].as_array_mut().expect("a list");
            assert_eq!(at, parts.len(), "indexes are dense");
            parts.push(data["part"].clone());
        }
        "response.content_part.done" | "response.reasoning_summary_part.done" => {
            let (parts, at) = match name.contains("summary") {
                true => place("summary", "summary_index"),
                false => place("content", "content_index"),
            };
            assert_eq!(item[parts][at], data["part"]);
        }
        _ => pieces(name, data, item),
    }
}

/// Events of texts and arguments.
fn pieces(name: &str, data: &Value, item: &mut Value) {
    let (field, index, key) = match name.rsplit_once('.').expect("a full stop").0 {
        "response.output_text" => ("content", "content_index", "text"),
        "response.refusal" => ("content", "content_index", "refusal"),
        "response.reasoning_summary_text" => ("summary", "summary_index", "text"),
        "response.function_call_arguments" => ("", "", "arguments"),
        "response.custom_tool_call_input" => ("", "", "input"),
        other => panic!("{other}"),
    };
    let is_text = name.starts_with("response.output_text");
    let part = match field {
        "" => item,
        field => {
            let at = usize::try_from(data[index].as_u64().expect("an index")).expect("small");
            &mut item[field][at]
        }
    };
    if name.ends_with(".delta") {
        let whole = [text(part, key), text(data, "delta")].concat();
        part[key] = whole.into();
        if is_text {
            let more = list(data, "logprobs").to_vec();
            part["logprobs"].as_array_mut().expect("a list").extend(more);
        }
    } else {
        assert_eq!(part[key], data[key], "{name}");
        if is_text {
            assert_eq!(part["logprobs"], data["logprobs"]);
        }
    }
}
