//! For the tests of provider sides: a request there, an answer back, a stream in any pieces.

use bytes::Bytes;
use serde_json::Value;

use super::loss::Refused;
use super::{
    Bounds, Call, Context, Failure, Operation, Stream, StreamFacts, Target, Translated, request,
};
use crate::format::Format;

pub(crate) const BOUNDS: Bounds = Bounds { event_bytes_max: 1 << 16, held_bytes_max: 1 << 12 };

/// Translates a request to a model.
pub(crate) fn translated(
    caller: Format,
    target: &Target<'_>,
    body: &str,
) -> Result<Translated, Refused> {
    let operation = Operation::Generate;
    request(&Call { format: caller, operation, id: "c1", created: 7 }, target, body.as_bytes())
}

/// Translates a request for a number of tokens.
pub(crate) fn counted(caller: Format, target: &Target<'_>, body: &str) -> Translated {
    let operation = Operation::CountTokens;
    request(&Call { format: caller, operation, id: "c1", created: 7 }, target, body.as_bytes())
        .expect("a translation")
}

/// The context of the answer to a request that says nothing in particular.
pub(crate) fn context(caller: Format, target: &Target<'_>, stream: bool) -> Context {
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
    );
    let mut context = translated(caller, target, &body).expect("a translation").context;
    context.include_usage = true;
    context
}

/// A field of a request's body.
pub(crate) fn field(translated: &Translated, pointer: &str) -> Value {
    let body: Value = serde_json::from_slice(&translated.body).expect("JSON");
    body.pointer(pointer).cloned().unwrap_or(Value::Null)
}

/// A translated stream: the bytes, how it ended, and what it told.
pub(crate) type Streamed = (String, Result<(), Failure>, StreamFacts);

/// Translates a stream whose pieces have so many bytes.
pub(crate) fn streamed(context: &Context, bytes: &[u8], piece_bytes: usize) -> Streamed {
    let mut stream = Stream::new(context, BOUNDS).expect("a translation");
    let mut out = Vec::new();
    let pieces = bytes.chunks(piece_bytes.max(1));
    let pushed: Result<(), Failure> =
        pieces.map(Bytes::copy_from_slice).try_for_each(|piece| stream.push(piece, &mut out));
    let ended = pushed.and_then(|()| stream.end(&mut out));
    (String::from_utf8(out).expect("UTF-8"), ended, stream.facts().clone())
}

/// Translates a stream whole, and checks that pieces of every size give the same.
pub(crate) fn streamed_in_any_pieces(context: &Context, bytes: &[u8]) -> Streamed {
    let whole = streamed(context, bytes, bytes.len());
    for piece_bytes in (1..40).chain([64, 100, 255]) {
        let seen = streamed(context, bytes, piece_bytes);
        assert_eq!((&seen.0, &seen.1), (&whole.0, &whole.1), "pieces of {piece_bytes} bytes");
    }
    whole
}

/// Checks that a stream that is cut anywhere before its last `tail` bytes fails, and has no mark of
/// an end.
pub(crate) fn cut_anywhere_is_a_failure(context: &Context, bytes: &[u8], tail: usize) {
    for length in 0..bytes.len() - tail {
        let (out, ended, facts) = streamed(context, &bytes[..length], length);
        assert!(ended.is_err() && !facts.is_complete, "cut at {length}: {out}");
        for mark in ["[DONE]", "message_stop", "response.completed"] {
            assert!(!out.contains(mark), "cut at {length}: {out}");
        }
    }
}

/// Every name of a field of the caller's request, with a value that is not the default; a request
/// with it must carry it or name it.
pub(crate) const CHAT_FIELDS: &[(&str, &str)] = &[
    ("max_completion_tokens", "77"),
    ("temperature", "0.25"),
    ("top_p", "0.5"),
    ("top_k", "17"),
    ("stop", r#"["END"]"#),
    ("seed", "4711"),
    ("presence_penalty", "0.125"),
    ("frequency_penalty", "0.375"),
    ("logprobs", "true"),
    ("top_logprobs", "3"),
    ("logit_bias", r#"{"50256":-100}"#),
    ("reasoning_effort", r#""high""#),
    ("user", r#""user-1""#),
    ("safety_identifier", r#""user-2""#),
    ("metadata", r#"{"team":"red"}"#),
    ("service_tier", r#""flex""#),
    ("verbosity", r#""low""#),
    ("prompt_cache_key", r#""key-1""#),
    ("prompt_cache_options", r#"{"ttl":"30m"}"#),
    ("prompt_cache_retention", r#""24h""#),
    ("prediction", r#"{"type":"content","content":"x"}"#),
    ("moderation", r#"{"x":1}"#),
    ("store", "true"),
    ("parallel_tool_calls", "false"),
    ("response_format", r#"{"type":"json_object"}"#),
    ("some_new_field", "1"),
];
