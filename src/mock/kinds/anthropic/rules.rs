//! The rules between the fields of a request, and between its turns.

use serde_json::Value;

use crate::mock::shape::{Problem, Step, check as shaped};
use crate::mock::{media, signature};

use super::shapes;

/// Models that take no sampling, and thinking in the new form only: the name holds one of these.
const NEW_MODELS: [&str; 7] = ["-4-7", "-4-8", "opus-5", "sonnet-5", "haiku-5", "fable", "mythos"];
/// Keywords that no schema of an answer may have.
const REFUSED: [&str; 12] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "uniqueItems",
    "oneOf",
    "patternProperties",
];

type Checked = Result<(), Problem>;

/// Checks all of them. `is_new`: the version of the API that takes no sampling.
pub(crate) fn check(body: &Value, is_new: bool) -> Checked {
    let refuses_sampling = is_new || is_new_model(body);
    for name in ["temperature", "top_p", "top_k"] {
        if refuses_sampling && body.get(name).is_some() {
            return rule(&[name.into()], "Extra inputs are not permitted");
        }
    }
    if body.get("temperature").is_some() && body.get("top_p").is_some() && is_of_4(body) {
        return rule(
            &[],
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        );
    }
    for (index, text) in body["stop_sequences"].as_array().into_iter().flatten().enumerate() {
        if text.as_str().is_some_and(|text| text.trim().is_empty()) {
            let place = ["stop_sequences".into(), index.into()];
            return rule(&place, "each stop sequence must contain non-whitespace");
        }
    }
    tools(body)?;
    thinking(body)?;
    for format in [&body["output_config"]["format"], &body["output_format"]] {
        if let Some(words) = schema_problem(&format["schema"]) {
            return rule(&["output_config".into(), "format".into(), "schema".into()], &words);
        }
    }
    system(&body["system"])?;
    messages(body)
}

fn rule(path: &[Step], words: &str) -> Checked {
    Err(Problem::rule(path, words))
}

fn is_new_model(body: &Value) -> bool {
    let model = body["model"].as_str().unwrap_or_default();
    NEW_MODELS.iter().any(|part| model.contains(part))
}

fn is_of(body: &Value, part: &str) -> bool {
    body["model"].as_str().is_some_and(|model| model.contains(part))
}

fn is_of_4(body: &Value) -> bool {
    body["model"].as_str().is_some_and(|model| model.contains("-4-") || model.ends_with("-4"))
}

fn is_word(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn tools(body: &Value) -> Checked {
    let tools = body["tools"].as_array().map_or(&[][..], Vec::as_slice);
    if tools.is_empty() && body.get("tool_choice").is_some() {
        return rule(
            &["tool_choice".into()],
            "tool_choice may only be specified while providing tools",
        );
    }
    for (index, tool) in tools.iter().enumerate() {
        if tool["type"].as_str().is_some_and(|kind| kind != "custom") {
            continue;
        }
        let at = |field: &str| ["tools".into(), index.into(), "custom".into(), field.into()];
        shaped(tool, &shapes::TOOL, false).map_err(|problem| {
            let place: [Step; 3] = ["tools".into(), index.into(), "custom".into()];
            Problem { path: place.into_iter().chain(problem.path).collect(), ..problem }
        })?;
        if !is_word(tool["name"].as_str().unwrap_or_default(), 128) {
            return rule(&at("name"), "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'");
        }
        if tool["input_schema"]["type"] != "object" {
            return rule(&at("input_schema.type"), "Input should be 'object'");
        }
        if tool["strict"] == true
            && let Some(words) = schema_problem(&tool["input_schema"])
        {
            return rule(&at("input_schema"), &words);
        }
    }
    Ok(())
}

fn thinking(body: &Value) -> Checked {
    let thinking = &body["thinking"];
    let place = ["thinking".into()];
    let kind = thinking["type"].as_str().unwrap_or("disabled");
    if kind == "enabled" {
        let budget = thinking["budget_tokens"].as_u64().unwrap_or(0);
        if is_new_model(body) {
            let words = "\"thinking.type.enabled\" is not supported for this model. Use \
                         \"thinking.type.adaptive\" and \"output_config.effort\".";
            return rule(&[], words);
        }
        if budget < 1024 {
            let words = "Input should be greater than or equal to 1024";
            return rule(&["thinking".into(), "enabled".into(), "budget_tokens".into()], words);
        }
        if body["max_tokens"].as_u64().is_some_and(|most| most <= budget) {
            return rule(&[], "`max_tokens` must be greater than `thinking.budget_tokens`");
        }
    }
    let is_adaptive = kind == "adaptive" || body["output_config"].get("effort").is_some();
    if is_adaptive && is_before_4_6(body) {
        return rule(&[], "adaptive thinking is not supported on this model");
    }
    if kind == "disabled" {
        return Ok(());
    }
    if body["temperature"].as_f64().is_some_and(|temperature| temperature < 1.0) {
        return rule(&[], "`temperature` may only be set to 1 when thinking is enabled.");
    }
    if body.get("top_k").is_some() {
        return rule(&place, "`top_k` must be unset when thinking is enabled.");
    }
    let forced = ["any", "tool"].iter().any(|kind| body["tool_choice"]["type"] == *kind);
    if forced && kind == "enabled" {
        return rule(&[], "Thinking may not be enabled when tool_choice forces tool use.");
    }
    Ok(())
}

/// Models up to 4.5, which think with a budget.
fn is_before_4_6(body: &Value) -> bool {
    let model = body["model"].as_str().unwrap_or_default();
    let parts = ["-4-5", "-4-1", "-4-0", "-4-2025", "-3-", "claude-3"];
    parts.iter().any(|part| model.contains(part)) && !model.contains("opus-4-5")
}

/// Why the schema of an answer is not taken.
fn schema_problem(schema: &Value) -> Option<String> {
    let fields = schema.as_object()?;
    if let Some(key) = REFUSED.iter().find(|key| fields.contains_key(**key)) {
        let kind = schema["type"].as_str().unwrap_or("object");
        return Some(format!("For '{kind}' type, property '{key}' is not supported"));
    }
    if schema["type"] == "object" && schema["additionalProperties"] != false {
        return Some(
            "For 'object' type, 'additionalProperties' must be explicitly set to false".into(),
        );
    }
    let named = ["properties", "$defs", "definitions"];
    let mut below: Vec<&Value> = named
        .iter()
        .filter_map(|key| fields.get(*key)?.as_object())
        .flat_map(|map| map.values())
        .collect();
    below.extend(fields.get("items"));
    for key in ["anyOf", "allOf"] {
        below.extend(fields.get(key).and_then(Value::as_array).into_iter().flatten());
    }
    below.into_iter().find_map(schema_problem)
}

fn system(system: &Value) -> Checked {
    for (index, block) in system.as_array().into_iter().flatten().enumerate() {
        if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
            let words = "text content blocks must contain non-whitespace text";
            return rule(&["system".into(), index.into(), "text".into()], words);
        }
    }
    Ok(())
}

fn messages(body: &Value) -> Checked {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut open: Vec<&str> = vec![];
    let mut has_calls = false;
    for (index, message) in messages.iter().enumerate() {
        let blocks = message["content"].as_array().map_or(&[][..], Vec::as_slice);
        let of = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
        if message["role"] == "user" {
            results(index, blocks, &mut open)?;
        }
        // Instructions in mid-conversation, which newer models take.
        if message["role"] == "system" && (!is_new_model(body) || is_of(body, "-4-7")) {
            let place = ["messages".into(), index.into(), "role".into()];
            return rule(&place, "Input should be 'user' or 'assistant'");
        }
        if let Some(id) = open.first() {
            return unanswered(index - 1, id);
        }
        if message["role"] == "assistant" {
            open = of("tool_use").filter_map(|block| block["id"].as_str()).collect();
            has_calls |= !open.is_empty();
        }
        for (at, block) in blocks.iter().enumerate() {
            let place = ["messages".into(), index.into(), "content".into(), at.into()];
            block_rules(block, message["role"] == "user", &place)?;
        }
        let is_empty = blocks.is_empty()
            && message["content"].as_str().is_none_or(|text| text.trim().is_empty());
        if is_empty && message["role"] != "assistant" {
            return rule(
                &["messages".into(), index.into()],
                "user messages must have non-empty content",
            );
        }
    }
    if let Some(id) = open.first() {
        return unanswered(messages.len() - 1, id);
    }
    let tools = body["tools"].as_array().map_or(0, Vec::len);
    if has_calls && tools == 0 {
        return rule(
            &[],
            "Requests which include `tool_use` or `tool_result` blocks must define tools",
        );
    }
    ending(messages)
}

fn unanswered(index: usize, id: &str) -> Checked {
    let words = format!(
        "`tool_use` ids were found without `tool_result` blocks immediately after: {id}. Each \
         `tool_use` block must have a corresponding `tool_result` block in the next message."
    );
    rule(&["messages".into(), index.into()], &words)
}

/// The results at the beginning of a turn answer the calls of the turn before it.
fn results(index: usize, blocks: &[Value], open: &mut Vec<&str>) -> Checked {
    let mut are_over = false;
    for (at, block) in blocks.iter().enumerate() {
        if block["type"] != "tool_result" {
            are_over = true;
            continue;
        }
        let place = ["messages".into(), index.into(), "content".into(), at.into()];
        let id = block["tool_use_id"].as_str().unwrap_or_default();
        let Some(found) = open.iter().position(|open| *open == id) else {
            let words = format!(
                "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` \
                 block must have a corresponding `tool_use` block in the previous message."
            );
            return rule(&place, &words);
        };
        if are_over {
            return rule(&place, "`tool_result` blocks must come first in the content");
        }
        open.remove(found);
    }
    Ok(())
}

fn block_rules(block: &Value, is_user: bool, place: &[Step]) -> Checked {
    let of_assistant = ["tool_use", "thinking", "redacted_thinking"];
    let kind = block["type"].as_str().unwrap_or_default();
    if is_user && of_assistant.contains(&kind) {
        return rule(place, &format!("`{kind}` blocks can only be in `assistant` messages"));
    }
    if !is_user && ["tool_result", "image", "document"].contains(&kind) {
        return rule(place, &format!("`{kind}` blocks can only be in `user` messages"));
    }
    match kind {
        "text" if block["text"].as_str().is_some_and(str::is_empty) => {
            rule(place, "text content blocks must be non-empty")
        }
        "tool_use" if !is_word(block["id"].as_str().unwrap_or_default(), 256) => {
            rule(place, "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        }
        "thinking" => {
            let text = block["thinking"].as_str().unwrap_or_default();
            let signature = block["signature"].as_str().unwrap_or_default();
            let is_own = signature::is_of(signature, "anthropic", text);
            if is_own { Ok(()) } else { rule(place, "Invalid `signature` in `thinking` block") }
        }
        "image" | "document" if block["source"]["type"] == "base64" => {
            let is_data = media::is_base64(block["source"]["data"].as_str().unwrap_or_default());
            if is_data { Ok(()) } else { rule(place, "source.base64.data: invalid base64 data") }
        }
        _ => Ok(()),
    }
}

/// The last turn, if it is of the assistant, does not end in white space.
fn ending(messages: &[Value]) -> Checked {
    let Some(last) = messages.last().filter(|last| last["role"] == "assistant") else {
        return Ok(());
    };
    let blocks = last["content"].as_array().and_then(|blocks| blocks.last());
    let text = blocks.map_or(&last["content"], |block| &block["text"]).as_str().unwrap_or_default();
    if text.ends_with(char::is_whitespace) {
        return rule(
            &["messages".into()],
            "final assistant content cannot end with trailing whitespace",
        );
    }
    Ok(())
}
