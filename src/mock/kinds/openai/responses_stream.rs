//! The typed events of a streamed answer of `responses`, with their sequence numbers.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::mock::answer::named_event;
use crate::mock::think::{argument_pieces, pieces};

use super::responses_form::Form;

type Event = (&'static str, Value);

/// All events of an answer.
pub(crate) fn stream(form: &Form<'_>) -> Vec<Bytes> {
    let begun = form.response(false);
    let mut events: Vec<Event> = vec![
        ("response.created", json!({"response": begun})),
        ("response.in_progress", json!({"response": begun})),
    ];
    for (index, item) in form.items().into_iter().enumerate() {
        item_events(index, &item, &mut events);
    }
    let end = if form.thought.cut_short { "response.incomplete" } else { "response.completed" };
    events.push((end, json!({"response": form.response(true)})));
    let numbered = events.into_iter().enumerate().map(|(sequence, (name, mut data))| {
        data["type"] = json!(name);
        data["sequence_number"] = json!(sequence);
        named_event(name, &data)
    });
    numbered.collect()
}

fn item_events(index: usize, item: &Value, events: &mut Vec<Event>) {
    let mut begun = item.clone();
    begun["status"] = json!("in_progress");
    match item["type"].as_str() {
        Some("message") => begun["content"] = json!([]),
        Some("function_call") => begun["arguments"] = json!(""),
        Some("custom_tool_call") => begun["input"] = json!(""),
        _ => {
            begun["summary"] = json!([]);
            begun["status"] = Value::Null;
        }
    }
    events.push(("response.output_item.added", json!({"output_index": index, "item": begun})));
    let at = |more: Value| {
        let mut data = json!({"item_id": item["id"], "output_index": index});
        for (name, value) in more.as_object().into_iter().flatten() {
            data[name] = value.clone();
        }
        data
    };
    match item["type"].as_str() {
        Some("message") => text_events(&item["content"][0], at, events),
        Some("function_call") => {
            let arguments = item["arguments"].as_str().unwrap_or_default();
            events.extend(argument_pieces(arguments).iter().map(|piece| {
                ("response.function_call_arguments.delta", at(json!({"delta": piece})))
            }));
            let data = at(json!({"name": item["name"], "arguments": arguments}));
            events.push(("response.function_call_arguments.done", data));
        }
        Some("custom_tool_call") => {
            let input = item["input"].as_str().unwrap_or_default();
            events.extend(argument_pieces(input).iter().map(|piece| {
                ("response.custom_tool_call_input.delta", at(json!({"delta": piece})))
            }));
            events.push(("response.custom_tool_call_input.done", at(json!({"input": input}))));
        }
        _ => summary_events(&item["summary"], at, events),
    }
    events.push(("response.output_item.done", json!({"output_index": index, "item": item})));
}

fn text_events(part: &Value, at: impl Fn(Value) -> Value, events: &mut Vec<Event>) {
    let text = part["text"].as_str().unwrap_or_default();
    let mut empty = part.clone();
    empty["text"] = json!("");
    events.push(("response.content_part.added", at(json!({"content_index": 0, "part": empty}))));
    events.extend(pieces(text).map(|piece| {
        let data = at(json!({"content_index": 0, "delta": piece, "logprobs": []}));
        ("response.output_text.delta", data)
    }));
    let data = at(json!({"content_index": 0, "text": text, "logprobs": []}));
    events.push(("response.output_text.done", data));
    events.push(("response.content_part.done", at(json!({"content_index": 0, "part": part}))));
}

fn summary_events(summary: &Value, at: impl Fn(Value) -> Value, events: &mut Vec<Event>) {
    for (index, part) in summary.as_array().into_iter().flatten().enumerate() {
        let text = part["text"].as_str().unwrap_or_default();
        let empty = json!({"type": "summary_text", "text": ""});
        events.push((
            "response.reasoning_summary_part.added",
            at(json!({"summary_index": index, "part": empty})),
        ));
        events.extend(pieces(text).map(|piece| {
            let data = at(json!({"summary_index": index, "delta": piece}));
            ("response.reasoning_summary_text.delta", data)
        }));
        let data = at(json!({"summary_index": index, "text": text}));
        events.push(("response.reasoning_summary_text.done", data));
        let data = at(json!({"summary_index": index, "part": part}));
        events.push(("response.reasoning_summary_part.done", data));
    }
}
