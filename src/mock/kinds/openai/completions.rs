//! `POST /v1/completions`, and the envelope that chat completions share with it.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError, event};
use crate::mock::fault::Script;
use crate::mock::json::text_of;
use crate::mock::shape::Field::{May, Must};
use crate::mock::shape::Shape;
use crate::mock::think::{Question, Thought, Usage, pieces, think, tokens};

use super::{checked, model_of};

/// Choices of one answer. OpenAI's own limit.
const CHOICES_MAX: u64 = 128;

const BODY: Shape = Shape::Fields(&[
    Must("model", Shape::Text),
    Must("prompt", Shape::Either(&[Shape::Text, Shape::List(0, &Shape::Any)])),
    May("best_of", Shape::Integer),
    May("echo", Shape::Flag),
    May("frequency_penalty", Shape::Number(-2.0, 2.0)),
    May("logit_bias", Shape::Open),
    May("logprobs", Shape::Integer),
    May("max_tokens", Shape::Integer),
    May("n", Shape::Integer),
    May("presence_penalty", Shape::Number(-2.0, 2.0)),
    May("seed", Shape::Integer),
    May("stop", Shape::Either(&[Shape::Text, Shape::List(1, &Shape::Text)])),
    May("stream", Shape::Flag),
    May("stream_options", Shape::Open),
    May("suffix", Shape::Text),
    May("temperature", Shape::Number(0.0, 2.0)),
    May("top_p", Shape::Number(0.0, 1.0)),
    May("user", Shape::Text),
]);

pub(crate) fn completions(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    model_of(body)?;
    checked(body, &BODY)?;
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
        return Ok(form.stream("text_completion", &thought, deltas));
    }
    Ok(form.whole(
        "text_completion",
        &thought,
        |index| json!({"index": index, "text": thought.text, "logprobs": null, "finish_reason": finish}),
    ))
}

/// The word for the end of an answer.
pub(crate) fn finish_reason(thought: &Thought) -> &'static str {
    match thought {
        Thought { cut_short: true, .. } => "length",
        Thought { calls, .. } if !calls.is_empty() => "tool_calls",
        _ => "stop",
    }
}

/// The envelope that both endpoints put around their choices.
pub(crate) struct Form {
    id: String,
    model: String,
    created: i64,
    choices: u64,
    include_usage: bool,
}

impl Form {
    pub(crate) fn new(
        body: &Value,
        question: &Question,
        prefix: &str,
        number: u64,
    ) -> Result<Form, ApiError> {
        let choices = body["n"].as_u64().unwrap_or(1);
        if !(1..=CHOICES_MAX).contains(&choices) {
            return Err(ApiError::invalid("'n' has to be from 1 to 128.", Some("n")));
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

    pub(crate) fn whole(
        &self,
        object: &str,
        thought: &Thought,
        choice: impl Fn(u64) -> Value,
    ) -> Answer {
        let choices: Vec<Value> = (0..self.choices).map(choice).collect();
        Answer::ok(&json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
            "usage": self.usage(thought), "service_tier": "default", "system_fingerprint": "fp_mock",
        }))
    }

    /// Each of `deltas` for each choice; `usage` exactly as OpenAI does: asked for, it is null in
    /// every event and then comes in one of its own without choices; not asked for, it is nowhere.
    pub(crate) fn stream(&self, object: &str, thought: &Thought, deltas: Vec<Value>) -> Answer {
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
        Answer::events(events)
    }
}
