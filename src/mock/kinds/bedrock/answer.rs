//! Answers of Converse: whole, and as a stream of frames.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::mock::answer::Answer;
use crate::mock::fault::Script;
use crate::mock::json::text_of;
use crate::mock::signature::sign;
use crate::mock::think::{
    Question, Thought, Tool, ToolChoice, argument_pieces, pieces, think, tokens,
};

use super::frames;

/// Tokens of a prompt.
pub(crate) fn prompt_tokens(body: &Value) -> u64 {
    question(body, "").prompt_tokens
}

fn question(body: &Value, model: &str) -> Question {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let last = messages.last().map_or(&Value::Null, |message| &message["content"]);
    let users = messages.iter().filter(|message| message["role"] == "user");
    let mut users =
        users.map(|message| own_text(&message["content"])).filter(|text| !text.is_empty());
    let config = &body["toolConfig"];
    let tools = config["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        let spec = &tool["toolSpec"];
        Tool::new(&spec["name"], &spec["inputSchema"]["json"])
    });
    let choice = &config["toolChoice"];
    let schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str();
    let extra = &body["additionalModelRequestFields"];
    let system = text_of(&body["system"]);
    let said = messages.iter().map(|m| tokens(&own_text(&m["content"])) + 3).sum::<u64>();
    Question {
        model: model.to_owned(),
        prompt_tokens: said + tokens(&system),
        system,
        user: users.next_back().unwrap_or_default(),
        tool_results: inner(last, "toolResult").map(|result| text_of(&result["content"])).collect(),
        tools: tools.collect(),
        tool_choice: match choice["tool"]["name"].as_str() {
            Some(name) => ToolChoice::Named(name.to_owned()),
            None if choice.get("any").is_some() => ToolChoice::Any,
            None => ToolChoice::Auto,
        },
        one_call: false,
        schema: schema.and_then(|schema| serde_json::from_str(schema).ok()),
        media: media(last),
        thinks: thinks(extra),
        max_tokens: body["inferenceConfig"]["maxTokens"].as_u64(),
        stream: false,
    }
}

/// Claude's, Nova's and others' ways of asking for it.
fn thinks(extra: &Value) -> bool {
    let kind = extra["thinking"]["type"].as_str().or(extra["reasoningConfig"]["type"].as_str());
    matches!(kind, Some("enabled" | "adaptive"))
        || extra["reasoning_effort"].as_str().is_some_and(|effort| effort != "none")
}

fn inner<'v>(content: &'v Value, kind: &'static str) -> impl Iterator<Item = &'v Value> + use<'v> {
    content.as_array().into_iter().flatten().filter_map(move |block| block.get(kind))
}

/// The texts of a turn, without those of results.
fn own_text(content: &Value) -> String {
    inner(content, "text").filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn media(content: &Value) -> Vec<String> {
    let results = inner(content, "toolResult").map(|result| &result["content"]);
    let mut types = vec![];
    for content in [content].into_iter().chain(results) {
        let format =
            |kind: &'static str| inner(content, kind).filter_map(|block| block["format"].as_str());
        types.extend(format("image").map(|format| format!("image/{format}")));
        types.extend(format("document").map(|format| match format {
            "pdf" => "application/pdf".to_owned(),
            "txt" => "text/plain".to_owned(),
            _ => format!("text/{format}"),
        }));
        types.extend(format("audio").map(|format| format!("audio/{format}")));
    }
    types
}

pub(crate) fn whole(body: &Value, model: &str, script: &Script, number: u64) -> Answer {
    let thought = think(&question(body, model), script);
    let message = json!({"role": "assistant", "content": blocks(&thought, number)});
    Answer::json(
        200,
        vec![("x-amzn-requestid", format!("00000000-0000-4000-8000-{number:012}"))],
        &json!({"output": {"message": message}, "stopReason": stop_reason(&thought),
            "usage": usage(&thought), "metrics": {"latencyMs": 1}}),
    )
}

pub(crate) fn stream(body: &Value, model: &str, script: &Script, number: u64) -> Answer {
    let thought = think(&question(body, model), script);
    let mut events = vec![frames::event("messageStart", &json!({"role": "assistant"}))];
    for (index, block) in blocks(&thought, number).iter().enumerate() {
        block_events(index, block, &mut events);
    }
    let stopped = json!({"stopReason": stop_reason(&thought)});
    events.push(frames::event("messageStop", &stopped));
    let metadata = json!({"usage": usage(&thought), "metrics": {"latencyMs": 1}, "p": "abcdef"});
    events.push(frames::event("metadata", &metadata));
    Answer::Events { content_type: frames::CONTENT_TYPE, events }
}

fn blocks(thought: &Thought, number: u64) -> Vec<Value> {
    let mut blocks = vec![];
    if !thought.thinking.is_empty() {
        let text = &thought.thinking;
        let told = json!({"text": text, "signature": sign("anthropic", text)});
        blocks.push(json!({"reasoningContent": {"reasoningText": told}}));
    }
    if thought.calls.is_empty() {
        blocks.push(json!({"text": thought.text}));
    }
    for (index, call) in thought.calls.iter().enumerate() {
        let id = match index {
            0 => format!("tooluse_mock{number:08}"),
            _ => format!("tooluse_mock{number:08}x{index}"),
        };
        blocks
            .push(json!({"toolUse": {"toolUseId": id, "name": call.name, "input": call.input()}}));
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

/// Bedrock counts cached tokens beside the input, and has no word for reasoning.
fn usage(thought: &Thought) -> Value {
    let usage = thought.usage;
    json!({"inputTokens": usage.input.saturating_sub(usage.cached), "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output, "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": 0})
}

/// Text and reasoning have no event for their beginning: the first delta opens them.
fn block_events(index: usize, block: &Value, events: &mut Vec<Bytes>) {
    let delta = |delta: Value| {
        let data = json!({"contentBlockIndex": index, "delta": delta, "p": "abc"});
        frames::event("contentBlockDelta", &data)
    };
    if let Some(text) = block["text"].as_str() {
        events.extend(pieces(text).map(|piece| delta(json!({"text": piece}))));
    } else if let Some(thought) = block["reasoningContent"].get("reasoningText") {
        let text = thought["text"].as_str().unwrap_or_default();
        let reasoning = |piece: Value| delta(json!({"reasoningContent": piece}));
        events.extend(pieces(text).map(|piece| reasoning(json!({"text": piece}))));
        events.push(reasoning(json!({"signature": thought["signature"]})));
    } else {
        let call = &block["toolUse"];
        let start = json!({"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}});
        let begun = json!({"contentBlockIndex": index, "start": start});
        events.push(frames::event("contentBlockStart", &begun));
        let input = call["input"].to_string();
        let pieces = argument_pieces(&input);
        events.extend(pieces.iter().map(|piece| delta(json!({"toolUse": {"input": piece}}))));
    }
    events.push(frames::event("contentBlockStop", &json!({"contentBlockIndex": index})));
}
