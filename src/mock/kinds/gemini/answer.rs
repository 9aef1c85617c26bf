//! Answers of `generateContent`: whole, as a stream of events, and as a list.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, event};
use crate::mock::fault::Script;
use crate::mock::signature::sign;
use crate::mock::think::{Question, Thought, Tool, ToolChoice, pieces, think, tokens};

/// The question in a request.
pub(crate) fn question(body: &Value, model: &str) -> Question {
    let turns = body["contents"].as_array().map_or(&[][..], Vec::as_slice);
    let last = turns.last().unwrap_or(&Value::Null);
    let is_said = |turn: &&Value| turn["role"] != "model" && !text_of(turn).is_empty();
    let declarations = body["tools"].as_array().into_iter().flatten();
    let declarations =
        declarations.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten());
    let calling = &body["toolConfig"]["functionCallingConfig"];
    let allowed = calling["allowedFunctionNames"].as_array().map_or(&[][..], Vec::as_slice);
    let config = &body["generationConfig"];
    let system = text_of(&body["systemInstruction"]);
    let said = turns.iter().map(|turn| tokens(&text_of(turn)) + 3).sum::<u64>();
    let tools = declarations.filter_map(|tool| {
        let schema = tool.get("parametersJsonSchema").unwrap_or(&tool["parameters"]);
        Tool::new(&tool["name"], schema)
    });
    let tools =
        tools.filter(|tool| allowed.is_empty() || allowed.iter().any(|name| *name == tool.name));
    Question {
        model: model.to_owned(),
        prompt_tokens: said + tokens(&system),
        system,
        user: turns.iter().rev().find(is_said).map(text_of).unwrap_or_default(),
        tool_results: results(last),
        tools: tools.collect(),
        tool_choice: match calling["mode"].as_str() {
            Some("NONE") => ToolChoice::None,
            Some("ANY") => ToolChoice::Any,
            _ => ToolChoice::Auto,
        },
        one_call: false,
        schema: (config["responseMimeType"] == "application/json")
            .then(|| config.get("responseJsonSchema").unwrap_or(&config["responseSchema"]).clone()),
        media: media(last),
        thinks: thinks(&config["thinkingConfig"]),
        max_tokens: config["maxOutputTokens"].as_u64(),
        stream: false,
    }
}

fn thinks(config: &Value) -> bool {
    config["includeThoughts"] == true
        || config["thinkingBudget"].as_i64().is_some_and(|budget| budget != 0)
        || config["thinkingLevel"]
            .as_str()
            .is_some_and(|level| !level.eq_ignore_ascii_case("minimal"))
}

fn parts(turn: &Value) -> impl Iterator<Item = &Value> {
    turn["parts"].as_array().into_iter().flatten()
}

/// The texts of a turn without its thoughts.
fn text_of(turn: &Value) -> String {
    let texts = parts(turn).filter(|part| part["thought"] != true);
    texts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

fn results(turn: &Value) -> Vec<String> {
    let responses = parts(turn).filter_map(|part| part.get("functionResponse"));
    let texts = responses.map(|response| {
        let response = &response["response"];
        let said = response.get("output").or(response.get("error")).and_then(Value::as_str);
        said.map_or_else(|| response.to_string(), str::to_owned)
    });
    texts.collect()
}

fn media(turn: &Value) -> Vec<String> {
    let inner = parts(turn).filter_map(|part| part["functionResponse"]["parts"].as_array());
    let all = parts(turn).chain(inner.flatten());
    let types = all.filter_map(|part| part.get("inlineData").or(part.get("fileData")));
    types.filter_map(|data| data["mimeType"].as_str().map(str::to_owned)).collect()
}

pub(crate) fn whole(question: &Question, body: &Value, script: &Script, number: u64) -> Answer {
    let thought = think(question, script);
    let parts = answer_parts(question, body, &thought);
    let form = Form { question, thought: &thought, number };
    Answer::ok(&form.chunk(&parts, true))
}

pub(crate) fn stream(question: &Question, body: &Value, script: &Script, number: u64) -> Answer {
    Answer::events(chunks(question, body, script, number).iter().map(event).collect())
}

/// Without `alt=sse` a stream is one JSON list.
pub(crate) fn list(question: &Question, body: &Value, script: &Script, number: u64) -> Answer {
    Answer::ok(&json!(chunks(question, body, script, number)))
}

/// The chunks of an answer: words, then the calls together, then the end without any part.
fn chunks(question: &Question, body: &Value, script: &Script, number: u64) -> Vec<Value> {
    let thought = think(question, script);
    let form = Form { question, thought: &thought, number };
    let mut chunks = vec![];
    let mut calls = vec![];
    for part in answer_parts(question, body, &thought) {
        let Some(text) = part["text"].as_str() else {
            calls.push(part);
            continue;
        };
        for piece in pieces(text) {
            let mut small = part.clone();
            small["text"] = json!(piece);
            chunks.push(form.chunk(&[small], false));
        }
    }
    if !calls.is_empty() {
        chunks.push(form.chunk(&calls, false));
    }
    chunks.push(form.chunk(&[], true));
    chunks
}

/// The parts of an answer. The first of the calls is signed, as newer models do.
fn answer_parts(question: &Question, body: &Value, thought: &Thought) -> Vec<Value> {
    let is_shown = body["generationConfig"]["thinkingConfig"]["includeThoughts"] == true;
    let mut parts = vec![];
    if is_shown && !thought.thinking.is_empty() {
        parts.push(json!({"text": thought.thinking, "thought": true}));
    }
    if thought.calls.is_empty() {
        parts.push(json!({"text": thought.text}));
    }
    let is_signed = question.thinks || question.model.contains("gemini-3");
    for (index, call) in thought.calls.iter().enumerate() {
        let mut part = json!({"functionCall": {"name": call.name, "args": call.input()}});
        if index == 0 && is_signed {
            part["thoughtSignature"] = json!(sign("google", &call.name));
        }
        parts.push(part);
    }
    parts
}

struct Form<'a> {
    question: &'a Question,
    thought: &'a Thought,
    number: u64,
}

impl Form<'_> {
    /// One chunk, or a whole answer: usage is cumulative, and in each of them.
    fn chunk(&self, parts: &[Value], is_last: bool) -> Value {
        let mut content = json!({"role": "model"});
        if !parts.is_empty() {
            content["parts"] = json!(parts);
        }
        let mut candidate = json!({"index": 0, "content": content});
        if is_last {
            let word = if self.thought.cut_short { "MAX_TOKENS" } else { "STOP" };
            candidate["finishReason"] = json!(word);
        }
        json!({
            "candidates": [candidate], "usageMetadata": self.usage(is_last),
            "modelVersion": self.question.model, "responseId": format!("mock{:012}", self.number),
        })
    }

    fn usage(&self, is_last: bool) -> Value {
        let usage = self.thought.usage;
        let mut told = json!({"promptTokenCount": usage.input,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}]});
        if usage.cached > 0 {
            told["cachedContentTokenCount"] = json!(usage.cached);
        }
        if is_last {
            // Thoughts are counted beside the candidates.
            told["candidatesTokenCount"] = json!(usage.output.saturating_sub(usage.reasoning));
            if usage.reasoning > 0 {
                told["thoughtsTokenCount"] = json!(usage.reasoning);
            }
            told["totalTokenCount"] = json!(usage.input + usage.output);
        }
        told
    }
}
