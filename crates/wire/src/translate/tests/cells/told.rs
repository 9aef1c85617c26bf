//! Answers as callers read them, in the same words for every format: `text …`, `thought … (…)`,
//! `hidden …`, `call …`, and the signatures of Gemini before or after what they belong to.
//!
//! Written after the documents of the formats, without the code that is tested.

use serde_json::Value;

use super::replies::{Bit, Class, End, Reply, vendor};
use crate::format::Format::{self, AnthropicMessages, BedrockConverse, Gemini, OpenAiChat};

/// An answer as its caller reads it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) said: Vec<String>,
    pub(crate) stop: String,
    /// Input with what was cached, the cached part, output.
    pub(crate) tokens: [u64; 3],
}

/// Names of tools that take free text.
pub(crate) const FREE: &str = "free";

/// What a caller is to be told of a reply.
pub(crate) fn expected(caller: Format, provider: Format, reply: &Reply) -> Told {
    let said = match caller {
        OpenAiChat => expected_of_chat(provider, reply),
        _ => expected_in_order(caller, reply),
    };
    let is_refusal = reply.bits.iter().any(|bit| matches!(bit, Bit::Refusal(_)));
    let class = match reply.end {
        End::Turn if is_refusal => Class::Filter,
        End::Turn => Class::Done,
        End::Length => Class::Length,
        End::Filter => Class::Filter,
        End::Word(_, class) => class,
    };
    let has_calls = reply.has_calls();
    let stop = match (caller, class) {
        (OpenAiChat, Class::Done | Class::Pause) if has_calls => "tool_calls",
        (OpenAiChat, Class::Done | Class::Pause) => "stop",
        (OpenAiChat, Class::Length | Class::Context) => "length",
        (OpenAiChat, Class::Filter) => "content_filter",
        (AnthropicMessages, Class::Done) if has_calls => "tool_use",
        (AnthropicMessages, Class::Done) => "end_turn",
        (AnthropicMessages, Class::Pause) => "pause_turn",
        (AnthropicMessages, Class::Context) => "model_context_window_exceeded",
        (AnthropicMessages, Class::Length) => "max_tokens",
        (AnthropicMessages, Class::Filter) => "refusal",
        // A refusal has a part of its own.
        (_, Class::Filter) if is_refusal => "completed",
        (_, Class::Filter) => "content_filter",
        (_, Class::Length | Class::Context) => "max_output_tokens",
        (_, Class::Done | Class::Pause) => "completed",
    };
    Told { said, stop: stop.to_owned(), tokens: [100, 80, 50] }
}

fn free_input(name: &str, arguments: &str) -> String {
    let value: Value = serde_json::from_str(arguments).expect("JSON");
    match (name == FREE, value["input"].as_str()) {
        (true, Some(input)) => format!("free {input:?}"),
        (true, None) => format!("free {:?}", value.to_string()),
        (false, _) => value.to_string(),
    }
}

/// Blocks and items keep their order. Neighbouring texts are one.
fn expected_in_order(caller: Format, reply: &Reply) -> Vec<String> {
    let mut said = Lines::default();
    for bit in &reply.bits {
        match bit {
            Bit::Text(text) => said.text(text),
            Bit::SignedText(text, signature) => {
                said.text(text);
                said.line(format!("signature of the text {signature}"));
            }
            // A text with a stop reason, where there is no such part.
            Bit::Refusal(text) if caller == AnthropicMessages => said.text(text),
            Bit::Refusal(text) => said.line(format!("refusal {text:?}")),
            Bit::Thought(text, signature) => said.line(format!("thought {text:?} ({signature})")),
            Bit::Hidden(data) => said.line(format!("hidden {data}")),
            Bit::Call(id, name, arguments, signature) => {
                if !signature.is_empty() {
                    said.line(format!("signature of the call {signature}"));
                }
                let arguments = match caller {
                    AnthropicMessages => {
                        serde_json::from_str::<Value>(arguments).expect("JSON").to_string()
                    }
                    _ => free_input(name, arguments),
                };
                said.line(format!("call {id} {name} {arguments}"));
            }
        }
    }
    said.0
}

/// A message of chat has one text, then its calls; its thinking stands beside.
fn expected_of_chat(provider: Format, reply: &Reply) -> Vec<String> {
    let mut said = Vec::new();
    let thoughts: Vec<&str> = reply
        .bits
        .iter()
        .filter_map(|bit| match bit {
            Bit::Thought(text, _) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    if !thoughts.concat().is_empty() {
        said.push(format!("thought {:?}", thoughts.concat()));
    }
    for bit in &reply.bits {
        match bit {
            Bit::Thought(text, signature) if !signature.is_empty() => {
                said.push(format!("thought {text:?} ({} {signature})", vendor(provider)));
            }
            Bit::Hidden(data) => said.push(format!("hidden {} {data}", vendor(provider))),
            _ => {}
        }
    }
    let texts: Vec<&str> = reply
        .bits
        .iter()
        .filter_map(|bit| match bit {
            Bit::Text(text) | Bit::SignedText(text, _) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    if !texts.is_empty() {
        said.push(format!("text {:?}", texts.concat()));
    }
    for bit in &reply.bits {
        if let Bit::Call(id, name, arguments, signature) = bit {
            let arguments = free_input(name, arguments);
            said.push(format!("call {id} {name} {arguments} ({signature})"));
        }
    }
    let mut signatures = reply.bits.iter().rev().filter_map(|bit| match bit {
        Bit::SignedText(_, signature) => Some(signature),
        _ => None,
    });
    said.extend(signatures.next().map(|signature| format!("signature of the text {signature}")));
    said
}

/// Lines, in which neighbouring texts are one.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn line(&mut self, line: String) {
        self.0.push(line);
    }

    fn text(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let quoted = format!("{text:?}");
        match self.0.last_mut() {
            Some(last) if last.starts_with("text ") => {
                last.pop();
                last.push_str(&quoted[1..]);
            }
            _ => self.0.push(format!("text {quoted}")),
        }
    }
}

// ---- what a caller reads ------------------------------------------------------------------------

/// The maker of opaque data, the data, and the letter of what it belongs to: taken out of a
/// carrier.
pub(crate) fn opened(data: &str) -> (String, String, String) {
    use base64::Engine;
    let Some(rest) = data.strip_prefix("tg1.") else {
        return ("anthropic".to_owned(), data.to_owned(), String::new());
    };
    let words: Vec<&str> = rest.split('.').collect();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let plain = String::from_utf8(engine.decode(words[1]).expect("base64")).expect("UTF-8");
    let vendor = if plain.is_empty() { "" } else { words[0] };
    (vendor.to_owned(), plain, words.get(2).copied().unwrap_or_default().to_owned())
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Reads an answer of this caller's format; checks that signatures are of this provider's vendor.
pub(crate) fn read(caller: Format, provider: Format, body: &Value) -> Told {
    let mut told = match caller {
        OpenAiChat => read_chat(body),
        AnthropicMessages => read_message(provider, body),
        _ => read_response(provider, body),
    };
    if provider == Gemini {
        // Minted: they only must not be the same twice.
        let mut ids: Vec<String> = Vec::new();
        for line in &mut told.said {
            if let Some(rest) = line.strip_prefix("call ") {
                let (id, rest) = rest.split_once(' ').expect("an id");
                assert!(!ids.contains(&id.to_owned()) && id.len() > 20, "{id}");
                ids.push(id.to_owned());
                *line = format!("call c{} {rest}", ids.len());
            }
        }
    }
    told
}

fn read_chat(body: &Value) -> Told {
    let (choice, usage) = (&body["choices"][0], &body["usage"]);
    let message = &choice["message"];
    let mut said = Vec::new();
    if !text(message, "reasoning_content").is_empty() {
        said.push(format!("thought {:?}", text(message, "reasoning_content")));
    }
    for block in list(message, "thinking_blocks") {
        let is_hidden = block["type"] == "redacted_thinking";
        let (vendor, data, _) = opened(text(block, if is_hidden { "data" } else { "signature" }));
        said.push(match is_hidden {
            true => format!("hidden {vendor} {data}"),
            false => format!("thought {:?} ({vendor} {data})", text(block, "thinking")),
        });
    }
    if message["content"].as_str().is_some_and(|text| !text.is_empty()) {
        said.push(format!("text {:?}", text(message, "content")));
    }
    if message["refusal"].is_string() && choice["finish_reason"] != "content_filter" {
        said.push(format!("refusal {:?}", text(message, "refusal")));
    }
    for call in list(message, "tool_calls") {
        let (function, custom) = (&call["function"], &call["custom"]);
        let signature = text(&call["extra_content"]["google"], "thought_signature");
        let (name, arguments) = match custom.is_object() {
            true => (text(custom, "name"), format!("free {:?}", text(custom, "input"))),
            false => {
                let arguments: Value =
                    serde_json::from_str(text(function, "arguments")).expect("JSON");
                (text(function, "name"), arguments.to_string())
            }
        };
        said.push(format!("call {} {name} {arguments} ({signature})", text(call, "id")));
    }
    let signature = text(&message["extra_content"]["google"], "thought_signature");
    if !signature.is_empty() {
        said.push(format!("signature of the text {signature}"));
    }
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Told {
        said,
        stop: text(choice, "finish_reason").to_owned(),
        tokens: [
            number("/prompt_tokens"),
            number("/prompt_tokens_details/cached_tokens"),
            number("/completion_tokens"),
        ],
    }
}

/// A signature, or data in place of thinking.
fn carried(lines: &mut Lines, provider: Format, thinking: &str, data: &str, is_hidden: bool) {
    let (vendor, data, owner) = opened(data);
    let is_own = vendor == super::replies::vendor(provider);
    assert!(vendor.is_empty() || is_own, "{vendor} {provider:?}");
    match owner.as_str() {
        "c" => lines.line(format!("signature of the call {data}")),
        "t" => lines.line(format!("signature of the text {data}")),
        _ if is_hidden || owner == "h" => lines.line(format!("hidden {data}")),
        _ => lines.line(format!("thought {thinking:?} ({data})")),
    }
}

fn read_message(provider: Format, body: &Value) -> Told {
    let mut lines = Lines::default();
    for block in list(body, "content") {
        match text(block, "type") {
            "text" => lines.text(text(block, "text")),
            "thinking" => {
                let (thinking, data) = (text(block, "thinking"), text(block, "signature"));
                carried(&mut lines, provider, thinking, data, false);
            }
            "redacted_thinking" => carried(&mut lines, provider, "", text(block, "data"), true),
            "tool_use" => {
                let (id, name) = (text(block, "id"), text(block, "name"));
                lines.line(format!("call {id} {name} {}", block["input"]));
            }
            other => panic!("{other}"),
        }
    }
    let usage = &body["usage"];
    let number = |name: &str| usage[name].as_u64().unwrap_or(0);
    let cached = number("cache_read_input_tokens");
    let written = number("cache_creation_input_tokens");
    Told {
        said: lines.0,
        stop: text(body, "stop_reason").to_owned(),
        tokens: [number("input_tokens") + cached + written, cached, number("output_tokens")],
    }
}

fn read_response(provider: Format, body: &Value) -> Told {
    let mut lines = Lines::default();
    for item in list(body, "output") {
        match text(item, "type") {
            "message" => {
                for part in list(item, "content") {
                    match text(part, "type") {
                        "output_text" => lines.text(text(part, "text")),
                        _ => lines.line(format!("refusal {:?}", text(part, "refusal"))),
                    }
                }
            }
            "reasoning" => {
                let thinking: Vec<&str> = list(item, "summary").map(|s| text(s, "text")).collect();
                let data = text(item, "encrypted_content");
                let data = if data.is_empty() { "tg1.other." } else { data };
                carried(&mut lines, provider, &thinking.concat(), data, false);
            }
            "function_call" => {
                let arguments: Value = serde_json::from_str(text(item, "arguments")).expect("JSON");
                let (id, name) = (text(item, "call_id"), text(item, "name"));
                lines.line(format!("call {id} {name} {arguments}"));
            }
            "custom_tool_call" => {
                let (id, name) = (text(item, "call_id"), text(item, "name"));
                lines.line(format!("call {id} {name} free {:?}", text(item, "input")));
            }
            other => panic!("{other}"),
        }
    }
    let stop = match text(&body["incomplete_details"], "reason") {
        "" => text(body, "status"),
        reason => reason,
    };
    let usage = &body["usage"];
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Told {
        said: lines.0,
        stop: stop.to_owned(),
        tokens: [
            number("/input_tokens"),
            number("/input_tokens_details/cached_tokens"),
            number("/output_tokens"),
        ],
    }
}

/// Gemini has no ids: calls have numbers, as [`read`] gives them.
pub(crate) fn without_ids(provider: Format, reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    if provider != Gemini {
        return reply;
    }
    let calls = reply.bits.iter_mut().filter_map(|bit| match bit {
        Bit::Call(id, ..) => Some(id),
        _ => None,
    });
    calls.enumerate().for_each(|(at, id)| *id = format!("c{}", at + 1));
    reply
}

/// Whether the provider says which of its models answered.
pub(crate) fn names_model(provider: Format) -> bool {
    provider != BedrockConverse
}
