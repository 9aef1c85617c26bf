//! `POST /v1/messages`: Anthropic's API, JSON and named events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, named_event};
use super::chat::{model_of, tool_choice};
use super::fault::Script;
use super::json::text_of;
use super::think::{Question, Thought, Tool, argument_pieces, pieces, think, tokens};

pub(crate) fn messages(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    let question = question(body)?;
    if question.max_tokens.is_none() {
        return Err(ApiError::invalid("max_tokens: Field required", None));
    }
    let thought = think(&question, script);
    if question.stream {
        return Ok(Answer::Events(stream(&question, &thought, number)));
    }
    let mut message = message(&question, number);
    message["content"] = json!([block(&thought, number, true)]);
    message["stop_reason"] = json!(stop_reason(&thought));
    message["usage"] = usage(&thought, thought.usage.output);
    Ok(Answer::ok(&message))
}

pub(crate) fn count_tokens(body: &Value, _: &Script, _: u64) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&json!({"input_tokens": question(body)?.prompt_tokens})))
}

fn question(body: &Value) -> Result<Question, ApiError> {
    let missing = || ApiError::invalid("messages: Field required", None);
    let messages =
        body["messages"].as_array().filter(|messages| !messages.is_empty()).ok_or_else(missing)?;
    let last = messages.last().unwrap_or(&Value::Null);
    let result =
        last["content"].as_array().into_iter().flatten().find(|part| part["type"] == "tool_result");
    let tools = body["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        Some(Tool {
            name: tool["name"].as_str()?.to_owned(),
            parameters: tool["input_schema"].clone(),
        })
    });
    let system = text_of(&body["system"]);
    let texts =
        messages.iter().map(|message| tokens(&text_of(&message["content"])) + 3).sum::<u64>();
    let users = messages.iter().filter(|message| message["role"] == "user");
    Ok(Question {
        model: model_of(body)?,
        prompt_tokens: texts + tokens(&system),
        system,
        user: users.map(|message| text_of(&message["content"])).next_back().unwrap_or_default(),
        tool_result: result.map(|part| text_of(&part["content"])),
        tools: tools.collect(),
        tool_choice: tool_choice(&body["tool_choice"], &body["tool_choice"]["name"]),
        schema: None,
        max_tokens: body["max_tokens"].as_u64(),
        stream: body["stream"] == true,
    })
}

fn message(question: &Question, number: u64) -> Value {
    json!({
        "id": format!("msg_mock{number:012}"), "type": "message", "role": "assistant", "model": question.model,
        "content": [], "stop_reason": null, "stop_sequence": null,
    })
}

fn block(thought: &Thought, number: u64, done: bool) -> Value {
    match &thought.tool {
        None => json!({"type": "text", "text": if done { thought.text.as_str() } else { "" }}),
        Some(tool) => {
            let input = done
                .then(|| serde_json::from_str(&tool.arguments).ok())
                .flatten()
                .unwrap_or(json!({}));
            json!({"type": "tool_use", "id": format!("toolu_mock{number:08}"), "name": tool.name, "input": input})
        }
    }
}

fn stop_reason(thought: &Thought) -> &'static str {
    match thought {
        Thought { tool: Some(_), .. } => "tool_use",
        Thought { cut_short: true, .. } => "max_tokens",
        _ => "end_turn",
    }
}

/// Anthropic counts cached tokens beside the input, not within it.
fn usage(thought: &Thought, output: u64) -> Value {
    let cached = thought.usage.cached;
    json!({
        "input_tokens": thought.usage.input.saturating_sub(cached), "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached, "output_tokens": output, "service_tier": "standard",
    })
}

fn stream(question: &Question, thought: &Thought, number: u64) -> Vec<Bytes> {
    let mut begun = message(question, number);
    begun["usage"] = usage(thought, 1);
    let mut events = vec![
        ("message_start", json!({"message": begun})),
        (
            "content_block_start",
            json!({"index": 0, "content_block": block(thought, number, false)}),
        ),
        ("ping", json!({})),
    ];
    let delta = |delta: Value| ("content_block_delta", json!({"index": 0, "delta": delta}));
    match &thought.tool {
        None => events.extend(
            pieces(&thought.text).map(|piece| delta(json!({"type": "text_delta", "text": piece}))),
        ),
        Some(tool) => events.extend(
            argument_pieces(&tool.arguments)
                .iter()
                .map(|piece| delta(json!({"type": "input_json_delta", "partial_json": piece}))),
        ),
    }
    events.push(("content_block_stop", json!({"index": 0})));
    let stopped = json!({"stop_reason": stop_reason(thought), "stop_sequence": null});
    events.push((
        "message_delta",
        json!({"delta": stopped, "usage": {"output_tokens": thought.usage.output}}),
    ));
    events.push(("message_stop", json!({})));
    let named = events.into_iter().map(|(name, mut data)| {
        data["type"] = json!(name);
        named_event(name, &data)
    });
    named.collect()
}
