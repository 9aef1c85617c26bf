//! Answers of `messages`, whole and in named events, and of `messages/count_tokens`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError, named_event};
use crate::mock::fault::Script;
use crate::mock::json::text_of;
use crate::mock::signature::sign;
use crate::mock::think::{
    Question, Thought, Tool, ToolChoice, argument_pieces, pieces, think, tokens,
};

pub(crate) fn messages(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    let question = question(body);
    let thought = think(&question, script);
    let blocks = blocks(body, &thought, number);
    if question.stream {
        return Ok(Answer::events(stream(&question, &thought, &blocks, number)));
    }
    let mut message = message(&question, number);
    message["content"] = json!(blocks);
    message["stop_reason"] = json!(stop_reason(&thought));
    message["usage"] = usage(&thought, thought.usage.output);
    Ok(Answer::ok(&message))
}

pub(crate) fn count_tokens(body: &Value, script: &Script) -> Result<Answer, ApiError> {
    let tokens = script.input_tokens.unwrap_or(question(body).prompt_tokens);
    Ok(Answer::ok(&json!({"input_tokens": tokens})))
}

fn question(body: &Value) -> Question {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let last = messages.last().map_or(&Value::Null, |message| &message["content"]);
    let parts = |content: &'_ Value, kind: &str| -> Vec<Value> {
        let parts = content.as_array().into_iter().flatten();
        parts.filter(|part| part["type"] == kind).cloned().collect()
    };
    let tools = body["tools"].as_array().into_iter().flatten();
    let system = text_of(&body["system"]);
    let said =
        messages.iter().map(|message| tokens(&text_of(&message["content"])) + 3).sum::<u64>();
    let choice = &body["tool_choice"];
    let format = body["output_config"].get("format").unwrap_or(&body["output_format"]);
    // Results of tools are the user's turn, and not the user's words.
    let words = |message: &Value| match &message["content"] {
        Value::Array(_) => text_of(&json!(parts(&message["content"], "text"))),
        content => text_of(content),
    };
    let mut users = messages.iter().filter(|message| message["role"] == "user").map(words);
    let media = parts(last, "image").into_iter().chain(parts(last, "document"));
    Question {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        prompt_tokens: said + tokens(&system),
        system,
        user: users.rfind(|text| !text.is_empty()).unwrap_or_default(),
        tool_results: parts(last, "tool_result")
            .iter()
            .map(|part| text_of(&part["content"]))
            .collect(),
        tools: tools.filter_map(|tool| Tool::new(&tool["name"], &tool["input_schema"])).collect(),
        tool_choice: ToolChoice::of(choice, &choice["name"]),
        one_call: choice["disable_parallel_tool_use"] == true,
        schema: format.get("schema").cloned(),
        media: media.map(|part| media_type(&part["source"])).collect(),
        thinks: ["enabled", "adaptive"].iter().any(|kind| body["thinking"]["type"] == *kind),
        max_tokens: body["max_tokens"].as_u64(),
        stream: body["stream"] == true,
    }
}

fn media_type(source: &Value) -> String {
    source["media_type"].as_str().unwrap_or("a file by its address").to_owned()
}

fn message(question: &Question, number: u64) -> Value {
    json!({
        "id": format!("msg_mock{number:012}"), "type": "message", "role": "assistant", "model": question.model,
        "content": [], "stop_reason": null, "stop_sequence": null,
    })
}

/// The blocks of an answer, whole. The text of thinking is shown unless the request
/// says otherwise; the signature is of the text that is shown.
fn blocks(body: &Value, thought: &Thought, number: u64) -> Vec<Value> {
    let mut blocks = vec![];
    if !thought.thinking.is_empty() {
        let is_omitted = body["thinking"]["display"] == "omitted";
        let text = if is_omitted { "" } else { thought.thinking.as_str() };
        blocks.push(
            json!({"type": "thinking", "thinking": text, "signature": sign("anthropic", text)}),
        );
    }
    if thought.calls.is_empty() {
        blocks.push(json!({"type": "text", "text": thought.text}));
    }
    for (index, call) in thought.calls.iter().enumerate() {
        let id = match index {
            0 => format!("toolu_mock{number:08}"),
            _ => format!("toolu_mock{number:08}x{index}"),
        };
        blocks
            .push(json!({"type": "tool_use", "id": id, "name": call.name, "input": call.input()}));
    }
    blocks
}

fn stop_reason(thought: &Thought) -> &'static str {
    match thought {
        Thought { cut_short: true, .. } => "max_tokens",
        Thought { calls, .. } if !calls.is_empty() => "tool_use",
        _ => "end_turn",
    }
}

/// Anthropic counts cached tokens beside the input, not within it.
fn usage(thought: &Thought, output: u64) -> Value {
    let cached = thought.usage.cached;
    json!({
        "input_tokens": thought.usage.input.saturating_sub(cached), "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached, "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": thought.usage.reasoning}, "service_tier": "standard",
    })
}

fn stream(question: &Question, thought: &Thought, blocks: &[Value], number: u64) -> Vec<Bytes> {
    let mut begun = message(question, number);
    begun["usage"] = usage(thought, 1);
    let mut events = vec![("message_start", json!({"message": begun}))];
    for (index, block) in blocks.iter().enumerate() {
        block_events(index, block, &mut events);
        if index == 0 {
            events.insert(2, ("ping", json!({})));
        }
    }
    let stopped = json!({"stop_reason": stop_reason(thought), "stop_sequence": null});
    let usage = json!({"output_tokens": thought.usage.output,
        "output_tokens_details": {"thinking_tokens": thought.usage.reasoning}});
    events.push(("message_delta", json!({"delta": stopped, "usage": usage})));
    events.push(("message_stop", json!({})));
    let named = events.into_iter().map(|(name, mut data)| {
        data["type"] = json!(name);
        named_event(name, &data)
    });
    named.collect()
}

fn block_events(index: usize, block: &Value, events: &mut Vec<(&'static str, Value)>) {
    let text = |field: &str| block[field].as_str().unwrap_or_default();
    let mut begun = block.clone();
    let deltas: Vec<Value> = match block["type"].as_str() {
        Some("tool_use") => {
            begun["input"] = json!({});
            let pieces = argument_pieces(&block["input"].to_string());
            pieces
                .iter()
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                .collect()
        }
        Some("thinking") => {
            begun["thinking"] = json!("");
            begun["signature"] = json!("");
            let pieces = pieces(text("thinking"));
            let thinking = pieces.map(|piece| json!({"type": "thinking_delta", "thinking": piece}));
            let signature = json!({"type": "signature_delta", "signature": text("signature")});
            thinking.chain([signature]).collect()
        }
        _ => {
            begun["text"] = json!("");
            pieces(text("text")).map(|piece| json!({"type": "text_delta", "text": piece})).collect()
        }
    };
    events.push(("content_block_start", json!({"index": index, "content_block": begun})));
    let delta = |delta: Value| ("content_block_delta", json!({"index": index, "delta": delta}));
    events.extend(deltas.into_iter().map(delta));
    events.push(("content_block_stop", json!({"index": index})));
}
