//! `POST /v1/chat/completions` and `POST /v1/completions`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, event};
use super::fault::Script;
use super::json::text_of;
use super::think::{
    Question, Thought, Tool, ToolChoice, Usage, argument_pieces, pieces, think, tokens,
};

/// Choices of one answer. OpenAI's own limit.
const CHOICES_MAX: u64 = 128;

pub(crate) fn chat(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    let question = chat_question(body)?;
    let form = Form::new(body, &question, "chatcmpl", number)?;
    let thought = think(&question, script);
    if question.stream {
        return Ok(Answer::Events(form.stream(
            "chat.completion.chunk",
            &thought,
            chat_deltas(&thought, number),
        )));
    }
    let message = match &thought.tool {
        None => {
            json!({"role": "assistant", "content": thought.text, "refusal": null, "annotations": []})
        }
        Some(tool) => json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": call_id(number), "type": "function",
             "function": {"name": tool.name, "arguments": tool.arguments}}]}),
    };
    let finish = finish_reason(&thought);
    Ok(form.whole(
        "chat.completion",
        &thought,
        |index| json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish}),
    ))
}

pub(crate) fn completions(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    let prompt = text_of(&body["prompt"]);
    let question = Question {
        model: model_of(body)?,
        prompt_tokens: tokens(&prompt),
        user: prompt,
        max_tokens: body["max_tokens"].as_u64(),
        stream: body["stream"] == true,
        ..Question::default()
    };
    let form = Form::new(body, &question, "cmpl", number)?;
    let thought = think(&question, script);
    let finish = finish_reason(&thought);
    if question.stream {
        let mut deltas: Vec<Value> = pieces(&thought.text)
            .map(|text| json!({"text": text, "logprobs": null, "finish_reason": null}))
            .collect();
        deltas.push(json!({"text": "", "logprobs": null, "finish_reason": finish}));
        return Ok(Answer::Events(form.stream("text_completion", &thought, deltas)));
    }
    Ok(form.whole(
        "text_completion",
        &thought,
        |index| json!({"index": index, "text": thought.text, "logprobs": null, "finish_reason": finish}),
    ))
}

/// The `model` of a body; without one there is no answer.
pub(crate) fn model_of(body: &Value) -> Result<String, ApiError> {
    let model = body["model"].as_str().filter(|model| !model.is_empty());
    model
        .map(str::to_owned)
        .ok_or_else(|| ApiError::invalid("you must provide a model parameter", Some("model")))
}

/// The id of a tool call, made of the call's number.
pub(crate) fn call_id(number: u64) -> String {
    format!("call_mock{number:08}")
}

fn chat_question(body: &Value) -> Result<Question, ApiError> {
    let missing = || {
        ApiError::invalid("'messages' has to be a non-empty list of messages.", Some("messages"))
    };
    let messages =
        body["messages"].as_array().filter(|messages| !messages.is_empty()).ok_or_else(missing)?;
    let with_role = |roles: &'static [&'static str]| {
        let fits = move |message: &&Value| {
            message["role"].as_str().is_some_and(|role| roles.contains(&role))
        };
        messages.iter().filter(fits).map(|message| text_of(&message["content"]))
    };
    let system: Vec<String> = with_role(&["system", "developer"]).collect();
    let last = messages.last().unwrap_or(&Value::Null);
    let tools = body["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        let function = &tool["function"];
        Some(Tool {
            name: function["name"].as_str()?.to_owned(),
            parameters: function["parameters"].clone(),
        })
    });
    Ok(Question {
        model: model_of(body)?,
        system: system.join("\n"),
        user: with_role(&["user"]).next_back().unwrap_or_default(),
        tool_result: (last["role"] == "tool").then(|| text_of(&last["content"])),
        tools: tools.collect(),
        tool_choice: tool_choice(&body["tool_choice"], &body["tool_choice"]["function"]["name"]),
        schema: match body["response_format"]["type"].as_str() {
            Some("json_object") => Some(Value::Null),
            Some("json_schema") => Some(body["response_format"]["json_schema"]["schema"].clone()),
            _ => None,
        },
        max_tokens: body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()),
        stream: body["stream"] == true,
        prompt_tokens: messages
            .iter()
            .map(|message| tokens(&text_of(&message["content"])) + 3)
            .sum::<u64>()
            + 3,
    })
}

/// The meaning of `tool_choice`, where the name of a named tool is at `name`.
pub(crate) fn tool_choice(choice: &Value, name: &Value) -> ToolChoice {
    match (choice.as_str().or(choice["type"].as_str()), name.as_str()) {
        (_, Some(name)) => ToolChoice::Named(name.to_owned()),
        (Some("none"), _) => ToolChoice::None,
        (Some("required" | "any"), _) => ToolChoice::Any,
        _ => ToolChoice::Auto,
    }
}

fn finish_reason(thought: &Thought) -> &'static str {
    match thought {
        Thought { tool: Some(_), .. } => "tool_calls",
        Thought { cut_short: true, .. } => "length",
        _ => "stop",
    }
}

/// The parts of a choice that each event carries, without its `index`.
fn chat_deltas(thought: &Thought, number: u64) -> Vec<Value> {
    let choice = |delta: Value, finish: Option<&str>| json!({"delta": delta, "logprobs": null, "finish_reason": finish});
    let mut deltas = vec![];
    match &thought.tool {
        None => {
            deltas.push(choice(json!({"role": "assistant", "content": "", "refusal": null}), None));
            deltas.extend(pieces(&thought.text).map(|text| choice(json!({"content": text}), None)));
        }
        Some(tool) => {
            let begun = json!([{"index": 0, "id": call_id(number), "type": "function",
                "function": {"name": tool.name, "arguments": ""}}]);
            deltas.push(choice(
                json!({"role": "assistant", "content": null, "tool_calls": begun}),
                None,
            ));
            deltas.extend(argument_pieces(&tool.arguments).iter().map(|piece| {
                choice(
                    json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
                    None,
                )
            }));
        }
    }
    deltas.push(choice(json!({}), Some(finish_reason(thought))));
    deltas
}

/// The envelope that both endpoints put around their choices.
struct Form {
    id: String,
    model: String,
    created: i64,
    choices: u64,
    include_usage: bool,
}

impl Form {
    fn new(body: &Value, question: &Question, prefix: &str, number: u64) -> Result<Form, ApiError> {
        let choices = body["n"].as_u64().unwrap_or(1);
        if !(1..=CHOICES_MAX).contains(&choices) {
            return Err(ApiError::invalid("'n' has to be from 1 to 128.", Some("n")));
        }
        if body.get("stream_options").is_some_and(|options| !options.is_null()) && !question.stream
        {
            let message =
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            return Err(ApiError::invalid(message, Some("stream_options")));
        }
        Ok(Form {
            id: format!("{prefix}-mock{number:012}"),
            model: question.model.clone(),
            created: crate::clock::wall_ms() / 1000,
            choices,
            include_usage: body["stream_options"]["include_usage"] == true,
        })
    }

    fn usage(&self, thought: &Thought) -> Value {
        let Usage { input, cached, output, reasoning } = thought.usage;
        let output = output * self.choices;
        json!({
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
        })
    }

    fn whole(&self, object: &str, thought: &Thought, choice: impl Fn(u64) -> Value) -> Answer {
        let choices: Vec<Value> = (0..self.choices).map(choice).collect();
        Answer::ok(&json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
            "usage": self.usage(thought), "service_tier": "default", "system_fingerprint": "fp_mock",
        }))
    }

    /// Each of `deltas` for each choice; `usage` exactly as OpenAI does: asked for, it is null in
    /// every event and then comes in one of its own without choices; not asked for, it is nowhere.
    fn stream(&self, object: &str, thought: &Thought, deltas: Vec<Value>) -> Vec<Bytes> {
        let frame = |choices: Value| {
            let mut frame = json!({
                "id": self.id, "object": object, "created": self.created, "model": self.model,
                "service_tier": "default", "system_fingerprint": "fp_mock", "choices": choices,
            });
            if self.include_usage {
                frame["usage"] = Value::Null;
            }
            frame
        };
        let mut events = vec![];
        for delta in deltas {
            for index in 0..self.choices {
                let mut choice = delta.clone();
                choice["index"] = json!(index);
                events.push(event(&frame(json!([choice]))));
            }
        }
        if self.include_usage {
            let mut last = frame(json!([]));
            last["usage"] = self.usage(thought);
            events.push(event(&last));
        }
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        events
    }
}
