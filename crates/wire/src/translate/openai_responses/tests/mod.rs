//! Requests, answers and streams of `responses`, judged by the documented schemas and by
//! properties.

mod answers;
mod counts;
mod refusals;
mod requests;
mod streams;
pub(crate) mod valid;

use serde_json::{Value, json};

use crate::Format;
use crate::translate::loss::Refused;
use crate::translate::{Call, Context, Operation, Target, Translated, request};

const CHAT: Format = Format::OpenAiChat;
const ANTHROPIC: Format = Format::AnthropicMessages;
const GEMINI: Format = Format::Gemini;

fn parsed(text: impl AsRef<[u8]>) -> Value {
    let text = text.as_ref();
    serde_json::from_slice(text).unwrap_or_else(|odd| {
        panic!("{odd}: {}", String::from_utf8_lossy(text));
    })
}

/// A server of this format, which is not its maker's.
fn target(format: Format) -> Target<'static> {
    let model = match format {
        CHAT => "local",
        GEMINI => "gemini-3-flash",
        _ => "claude-haiku-4-5",
    };
    let mut target = Target::new(format, model);
    target.server.is_openai = false;
    target
}

fn translated(target: &Target<'_>, body: &str) -> Result<Translated, Refused> {
    let operation = Operation::Generate;
    let call = Call { format: Format::OpenAiResponses, operation, id: "call-1", created: 7 };
    request(&call, target, body.as_bytes())
}

/// The body and the losses: `dropped`, `~changed`.
fn sent(target: &Target<'_>, body: &str) -> (Value, String) {
    let translated = translated(target, body).unwrap_or_else(|odd| panic!("{odd:?}: {body}"));
    let losses = &translated.losses;
    let mut names: Vec<String> = losses.dropped().into_iter().map(str::to_owned).collect();
    names.extend(losses.changed().into_iter().map(|name| format!("~{name}")));
    (parsed(&translated.body), names.join(" "))
}

/// A context for answers to a request with these fields.
fn context(format: Format, fields: &str) -> Context {
    let body = format!(r#"{{"model":"m","input":"Hi"{fields}}}"#);
    translated(&target(format), &body).expect("a request").context
}

/// Without the ids of items, whose prefixes are checked, and with one id for all minted calls.
fn without_ids(mut value: Value) -> Value {
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(strip),
        Value::Object(object) => {
            if let (Some(Value::String(id)), Some(kind)) = (object.remove("id"), object.get("type"))
            {
                let prefix = match kind.as_str() {
                    Some("message") => "msg_",
                    Some("reasoning") => "rs_",
                    Some("function_call") => "fc_",
                    _ => "ctc_",
                };
                assert!(id.starts_with(prefix) && id.len() == prefix.len() + 24, "{id} {kind}");
            }
            if let Some(Value::String(id)) = object.get_mut("call_id")
                && id.starts_with("call_")
                && id.len() == 29
            {
                *id = "call_MINTED".to_owned();
            }
            object.values_mut().for_each(strip);
        }
        _ => {}
    }
}

/// A message of the assistant with one text.
fn said(text: &str, status: &str) -> Value {
    let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    json!({"type": "message", "role": "assistant", "status": status, "content": [part]})
}
