//! `POST /v1/chat/completions`.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError};
use crate::mock::fault::Script;
use crate::mock::json::text_of;
use crate::mock::media;
use crate::mock::think::{
    Question, Thought, Tool, ToolCall, ToolChoice, argument_pieces, pieces, think, tokens,
};

use super::completions::{Form, finish_reason};
use super::{call_id, chat_shape, checked, invalid, model_of, strict};

pub(crate) fn chat(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    model_of(body)?;
    checked(body, &chat_shape::BODY)?;
    chat_shape::rules(body).map_err(|problem| invalid(&problem))?;
    strict_schemas(body)?;
    let question = question(body)?;
    let form = Form::new(body, &question, "chatcmpl", number)?;
    let thought = think(&question, script);
    if question.stream {
        return Ok(form.stream("chat.completion.chunk", &thought, deltas(&thought, number)));
    }
    let mut message = json!({"role": "assistant", "content": null, "refusal": null});
    if thought.calls.is_empty() {
        message["content"] = json!(thought.text);
        message["annotations"] = json!([]);
    } else {
        let calls = thought.calls.iter().enumerate();
        message["tool_calls"] =
            calls.map(|(index, call)| whole_call(call, number, index)).collect();
    }
    let finish = finish_reason(&thought);
    Ok(form.whole(
        "chat.completion",
        &thought,
        |index| json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish}),
    ))
}

/// Tools and answers that are said to be strict have a schema that can be.
fn strict_schemas(body: &Value) -> Result<(), ApiError> {
    let format = &body["response_format"]["json_schema"];
    if format["strict"] == true
        && let Some(problem) = strict::problem(&format["schema"])
    {
        let name = format["name"].as_str().unwrap_or_default();
        let words = format!("Invalid schema for response_format '{name}': {problem}.");
        return Err(ApiError::invalid(words, Some("response_format")));
    }
    for (index, tool) in body["tools"].as_array().into_iter().flatten().enumerate() {
        let function = &tool["function"];
        if function["strict"] == true
            && let Some(problem) = strict::problem(&function["parameters"])
        {
            let name = function["name"].as_str().unwrap_or_default();
            let words = format!("Invalid schema for function '{name}': {problem}.");
            let place = format!("tools[{index}].function.parameters");
            return Err(
                ApiError::invalid(words, Some(&place)).with_code("invalid_function_parameters")
            );
        }
    }
    Ok(())
}

fn question(body: &Value) -> Result<Question, ApiError> {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let with_role = |roles: &'static [&'static str]| {
        let fits = move |message: &&Value| {
            message["role"].as_str().is_some_and(|role| roles.contains(&role))
        };
        messages.iter().filter(fits)
    };
    let system: Vec<String> =
        with_role(&["system", "developer"]).map(|m| text_of(&m["content"])).collect();
    let last_user = with_role(&["user"]).next_back().unwrap_or(&Value::Null);
    let results = messages.iter().rev().take_while(|message| message["role"] == "tool");
    let mut results: Vec<String> = results.map(|message| text_of(&message["content"])).collect();
    results.reverse();
    let custom = json!({"type": "string"});
    let tools = body["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        let function = &tool["function"];
        Tool::new(&function["name"], &function["parameters"])
            .or_else(|| Tool::new(&tool["custom"]["name"], &custom))
    });
    let choice = &body["tool_choice"];
    let named = choice["function"].get("name").or(choice["custom"].get("name"));
    Ok(Question {
        model: model_of(body)?,
        system: system.join("\n"),
        user: text_of(&last_user["content"]),
        tool_results: results,
        tools: tools.collect(),
        tool_choice: ToolChoice::of(
            choice["allowed_tools"].get("mode").unwrap_or(choice),
            named.unwrap_or(&Value::Null),
        ),
        one_call: body["parallel_tool_calls"] == false,
        schema: match body["response_format"]["type"].as_str() {
            Some("json_object") => Some(Value::Null),
            Some("json_schema") => Some(body["response_format"]["json_schema"]["schema"].clone()),
            _ => None,
        },
        media: media_of(&last_user["content"])?,
        thinks: body["reasoning_effort"].as_str().is_some_and(|effort| effort != "none"),
        max_tokens: body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()),
        stream: body["stream"] == true,
        prompt_tokens: messages
            .iter()
            .map(|message| tokens(&text_of(&message["content"])) + 3)
            .sum::<u64>()
            + 3,
    })
}

/// The media types of the images and files in a message.
fn media_of(content: &Value) -> Result<Vec<String>, ApiError> {
    let parts = content.as_array().into_iter().flatten();
    let of_part = |part: &Value| {
        let url = part["image_url"]["url"].as_str().or(part["file"]["file_data"].as_str());
        if let Some(url) = url {
            return Some(media::of_url(url));
        }
        part["input_audio"]["format"].as_str().map(|format| Ok(format!("audio/{format}")))
    };
    let all: Result<Vec<String>, &str> = parts.filter_map(of_part).collect();
    all.map_err(|problem| {
        ApiError::invalid(problem, Some("messages")).with_code("invalid_image_url")
    })
}

/// A call of a function, or of a tool with free text.
fn whole_call(call: &ToolCall, number: u64, index: usize) -> Value {
    let id = call_id(number, index);
    match call.input() {
        Value::String(input) => {
            json!({"id": id, "type": "custom", "custom": {"name": call.name, "input": input}})
        }
        _ => json!({"id": id, "type": "function",
            "function": {"name": call.name, "arguments": call.arguments}}),
    }
}

/// The parts of a choice that each event carries, without its `index`.
fn deltas(thought: &Thought, number: u64) -> Vec<Value> {
    let choice = |delta: Value, finish: Option<&str>| json!({"delta": delta, "logprobs": null, "finish_reason": finish});
    let mut deltas = vec![];
    if thought.calls.is_empty() {
        deltas.push(choice(json!({"role": "assistant", "content": "", "refusal": null}), None));
        deltas.extend(pieces(&thought.text).map(|text| choice(json!({"content": text}), None)));
    } else {
        deltas.push(choice(json!({"role": "assistant", "content": null}), None));
    }
    for (index, call) in thought.calls.iter().enumerate() {
        let mut begun = whole_call(call, number, index);
        begun["index"] = json!(index);
        let (kind, field, text) = match call.input() {
            Value::String(input) => ("custom", "input", input),
            _ => ("function", "arguments", call.arguments.clone()),
        };
        begun[kind][field] = json!("");
        deltas.push(choice(json!({"tool_calls": [begun]}), None));
        deltas.extend(argument_pieces(&text).iter().map(|piece| {
            choice(json!({"tool_calls": [{"index": index, kind: {field: piece}}]}), None)
        }));
    }
    deltas.push(choice(json!({}), Some(finish_reason(thought))));
    deltas
}
