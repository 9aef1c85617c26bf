//! Translations, judged by the documented forms (`valid`) and by what must survive.

mod answers;
pub(crate) mod cells;
mod chat_to_messages;
mod messages_to_chat;
mod properties;
mod streams;
mod valid;

use serde_json::Value;

use super::loss::Refused;
use super::{Call, Operation, Target, Translated, request};
use crate::format::Format;

/// Translates a request.
fn translated(from: Format, target: &Target<'_>, body: &str) -> Result<Translated, Refused> {
    let call = Call { format: from, operation: Operation::Generate, id: "call-7", created: 17 };
    request(&call, target, body.as_bytes())
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|odd| panic!("{odd}: {}", String::from_utf8_lossy(bytes)))
}

/// A request with its translation, as the tables here have them.
struct Case {
    /// The model of the target.
    model: &'static str,
    /// The request without its model.
    request: &'static str,
    /// The translation without its model; a bound that stands in none of the two is ignored.
    expected: &'static str,
    dropped: &'static [&'static str],
    changed: &'static [&'static str],
}

/// Model, fields of a request beside its messages, fields of the translation, dropped, changed.
type FieldCase<'c> = (&'c str, &'c str, &'c str, &'c [&'c str], &'c [&'c str]);

/// Checks a table of requests.
fn check(from: Format, to: Format, valid: fn(&Value), cases: &[Case]) {
    for case in cases {
        let given: Value = json(case.request.as_bytes());
        let translated = translated(from, &Target::new(to, case.model), case.request)
            .unwrap_or_else(|refused| panic!("{}: {refused:?}", case.request));
        let mut seen = json(&translated.body);
        valid(&seen);
        let mut expected: Value = json(case.expected.as_bytes());
        let object = seen.as_object_mut().expect("an object");
        assert_eq!(object.remove("model").as_ref().and_then(Value::as_str), Some(case.model));
        if expected.get("max_tokens").is_none() && given.get("max_tokens").is_none() {
            object.remove("max_tokens");
        }
        if given["stream"] == Value::Bool(true) && to == Format::OpenAiChat {
            expected["stream_options"] = serde_json::json!({"include_usage": true});
        }
        assert_eq!(seen, expected, "{}", case.request);
        assert_eq!(translated.losses.dropped(), case.dropped, "{}", case.request);
        assert_eq!(translated.losses.changed(), case.changed, "{}", case.request);
    }
}

/// Checks a table of requests that are refused: the target's model, the request, and the field.
fn check_refused(from: Format, to: Format, cases: &[(&str, &str, &str)]) {
    for (model, request, param) in cases {
        let refused = translated(from, &Target::new(to, model), request).expect_err(request);
        assert_eq!(refused.param.as_deref(), Some(*param), "{request}: {}", refused.message);
        assert!(!refused.message.is_empty());
    }
}
