//! `POST /v1/responses`: JSON, and the typed events with their sequence numbers.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, named_event};
use super::chat::{call_id, model_of, tool_choice};
use super::fault::Script;
use super::json::text_of;
use super::think::{Question, Thought, Tool, argument_pieces, pieces, think, tokens};

pub(crate) fn responses(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    let question = question(body)?;
    let thought = think(&question, script);
    let form = Form {
        id: format!("resp_mock{number:012}"),
        number,
        created: crate::clock::wall_ms() / 1000,
        body,
    };
    if question.stream {
        return Ok(Answer::Events(form.stream(&question, &thought)));
    }
    Ok(Answer::ok(&form.response(&question, Some(&thought))))
}

fn question(body: &Value) -> Result<Question, ApiError> {
    let items = body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_role = |role: &'static str| {
        items.iter().filter(move |item| item["role"] == role).map(|item| text_of(&item["content"]))
    };
    let mut system: Vec<String> =
        body["instructions"].as_str().map(str::to_owned).into_iter().collect();
    system.extend(of_role("system").chain(of_role("developer")));
    let user = match &body["input"] {
        Value::String(text) => text.clone(),
        Value::Array(_) => of_role("user").next_back().unwrap_or_default(),
        _ => return Err(ApiError::invalid("'input' has to be a string or a list.", Some("input"))),
    };
    let tools = body["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        Some(Tool {
            name: tool["name"].as_str()?.to_owned(),
            parameters: tool["parameters"].clone(),
        })
    });
    let last = items.last().unwrap_or(&Value::Null);
    let texts = items.iter().map(|item| tokens(&text_of(&item["content"])) + 3).sum::<u64>();
    let system = system.join("\n");
    Ok(Question {
        model: model_of(body)?,
        prompt_tokens: texts.max(tokens(&user)) + tokens(&system) + 3,
        system,
        user,
        tool_result: (last["type"] == "function_call_output").then(|| text_of(&last["output"])),
        tools: tools.collect(),
        tool_choice: tool_choice(&body["tool_choice"], &body["tool_choice"]["name"]),
        schema: match body["text"]["format"]["type"].as_str() {
            Some("json_object") => Some(Value::Null),
            Some("json_schema") => Some(body["text"]["format"]["schema"].clone()),
            _ => None,
        },
        max_tokens: body["max_output_tokens"].as_u64(),
        stream: body["stream"] == true,
    })
}

struct Form<'a> {
    id: String,
    number: u64,
    created: i64,
    body: &'a Value,
}

impl Form<'_> {
    /// The response object: finished with a thought, begun without one.
    fn response(&self, question: &Question, thought: Option<&Thought>) -> Value {
        let cut_short = thought.is_some_and(|thought| thought.cut_short);
        let status = match thought {
            None => "in_progress",
            Some(_) if cut_short => "incomplete",
            Some(_) => "completed",
        };
        let usage = thought.map(|thought| {
            let usage = thought.usage;
            json!({
                "input_tokens": usage.input, "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.input + usage.output,
            })
        });
        json!({
            "id": self.id, "object": "response", "created_at": self.created, "status": status, "error": null,
            "incomplete_details": cut_short.then(|| json!({"reason": "max_output_tokens"})),
            "instructions": self.body["instructions"], "max_output_tokens": self.body["max_output_tokens"],
            "model": question.model, "output": thought.map(|t| vec![self.item(t, "completed")]).unwrap_or_default(),
            "parallel_tool_calls": true, "previous_response_id": null, "store": self.body["store"] != false,
            "reasoning": {"effort": null, "summary": null}, "temperature": 1.0, "top_p": 1.0,
            "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": self.body.get("tools").unwrap_or(&json!([])),
            "truncation": "disabled", "metadata": {}, "service_tier": "default", "usage": usage, "user": null,
        })
    }

    fn item(&self, thought: &Thought, status: &str) -> Value {
        let done = status == "completed";
        match &thought.tool {
            None => {
                let text = json!({"type": "output_text", "text": thought.text, "annotations": [], "logprobs": []});
                let content = if done { json!([text]) } else { json!([]) };
                json!({"id": self.item_id("msg"), "type": "message", "status": status, "role": "assistant",
                    "content": content})
            }
            Some(tool) => {
                json!({"id": self.item_id("fc"), "type": "function_call", "status": status,
                    "call_id": call_id(self.number), "name": tool.name,
                    "arguments": if done { tool.arguments.as_str() } else { "" }})
            }
        }
    }

    fn item_id(&self, prefix: &str) -> String {
        format!("{prefix}_mock{:012}", self.number)
    }

    fn stream(&self, question: &Question, thought: &Thought) -> Vec<Bytes> {
        let begun = self.response(question, None);
        let finished = self.response(question, Some(thought));
        let end = if thought.cut_short { "response.incomplete" } else { "response.completed" };
        let mut events = vec![
            ("response.created", json!({"response": begun})),
            ("response.in_progress", json!({"response": begun})),
            (
                "response.output_item.added",
                json!({"output_index": 0, "item": self.item(thought, "in_progress")}),
            ),
        ];
        match &thought.tool {
            None => events.extend(self.text_events(&thought.text)),
            Some(tool) => {
                let item = self.item_id("fc");
                events.extend(argument_pieces(&tool.arguments).iter().map(|piece| {
                    let data = json!({"item_id": item, "output_index": 0, "delta": piece});
                    ("response.function_call_arguments.delta", data)
                }));
                let data = json!({"item_id": item, "output_index": 0, "name": tool.name, "arguments": tool.arguments});
                events.push(("response.function_call_arguments.done", data));
            }
        }
        let item = self.item(thought, "completed");
        events.push(("response.output_item.done", json!({"output_index": 0, "item": item})));
        events.push((end, json!({"response": finished})));
        let numbered = events.into_iter().enumerate().map(|(sequence, (name, mut data))| {
            data["type"] = json!(name);
            data["sequence_number"] = json!(sequence);
            named_event(name, &data)
        });
        numbered.collect()
    }

    fn text_events(&self, text: &str) -> Vec<(&'static str, Value)> {
        let item = self.item_id("msg");
        let at = |more: Value| {
            let mut data = json!({"item_id": item, "output_index": 0, "content_index": 0});
            for (name, value) in more.as_object().into_iter().flatten() {
                data[name] = value.clone();
            }
            data
        };
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let mut events = vec![("response.content_part.added", at(json!({"part": part("")})))];
        events.extend(pieces(text).map(|piece| {
            ("response.output_text.delta", at(json!({"delta": piece, "logprobs": []})))
        }));
        events.push(("response.output_text.done", at(json!({"text": text, "logprobs": []}))));
        events.push(("response.content_part.done", at(json!({"part": part(text)}))));
        events
    }
}
