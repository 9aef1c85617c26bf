//! Refusals of calls at the wrong endpoint: their texts say what to do instead.
//!
//! Stages 2, 4 and 7 of the walk. Does not: match a route (see `route/table`).

use std::borrow::Cow;

use http::{HeaderMap, Method, header};
use tollgate_wire::Format;

use super::refusal::Refusal;
use crate::code::Code;
use crate::config::policy::Targets;
use crate::route;
use crate::route::table::{Endpoint, Matched};

/// Nothing is at this path.
pub fn unknown(path: &str) -> Refusal {
    let message = if path.starts_with("/v1/v1/") {
        "the path begins with /v1/v1: the client adds /v1 itself, so give it a base URL without \
            /v1 (for Anthropic's \
         SDKs, ANTHROPIC_BASE_URL=http://host:port)"
    } else {
        "there is no such endpoint; provider endpoints are under /v1, tickets go to POST \
            /api/ai/intent"
    };
    Refusal::new(Code::NotFound, message)
}

/// Realtime APIs, and WebSocket anywhere: what passes there cannot be redacted.
pub fn not_supported() -> Refusal {
    let message = "realtime and WebSocket connections are not supported, because the gateway \
        cannot redact them; use \
                   the HTTP endpoints, with `stream: true` for answers that come in pieces";
    Refusal::new(Code::NotSupported, message)
}

/// Whether a request asks for WebSocket.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let asked = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    asked.flat_map(|list| list.split(',')).any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// Whether the body is a form, or of another kind in parts.
pub fn is_upload(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.trim().get(..10))
        .is_some_and(|begin| begin.eq_ignore_ascii_case("multipart/"))
}

/// The message about a form where none is read.
pub const FORM: &str = "this endpoint takes application/json; forms (multipart/form-data) are taken \
    by audio/transcriptions, audio/translations, images/edits and images/variations, and by files \
    and uploads with the caller's own provider key";

/// The refusal of an endpoint that is open to the holders of a provider key only.
pub fn closed() -> Refusal {
    let message = "this endpoint is not open: it names stored objects. It can be called with the \
        caller's own provider key, if the policy accepts one (`auth.accept: [passthrough]`), or \
        opened by `routing.endpoints` in the policy";
    Refusal::new(Code::EndpointNotAllowed, message)
}

/// The refusal of an endpoint that is open to nobody.
pub fn never_open() -> Refusal {
    let message = "this endpoint is not open: it administers an account, or its bodies have a form \
        that the gateway does not know. Only `routing.endpoints` in the policy can open it";
    Refusal::new(Code::EndpointNotAllowed, message)
}

/// Those of the targets that take the endpoint's calls, as they are or translated.
///
/// # Errors
/// There are targets, and none of them does.
pub fn serving<'t>(
    targets: &'t Targets,
    endpoint: &Endpoint,
    model: Option<&str>,
) -> Result<Cow<'t, Targets>, Refusal> {
    route::serving::serving(targets, endpoint, model).ok_or_else(|| wrong(targets, endpoint, model))
}

/// Endpoints by which a model answers, and those by which its tokens are counted.
const ANSWERING: [&str; 3] = ["/v1/chat/completions", "/v1/messages", "/v1/responses"];
const COUNTING: [&str; 2] = ["/v1/messages/count_tokens", "/v1/responses/input_tokens"];

fn wrong(targets: &Targets, endpoint: &Endpoint, model: Option<&str>) -> Refusal {
    let kind = targets.list.first().map_or("", |target| target.provider.options.kind.name());
    let name = model.unwrap_or("this model");
    let remedy = match instead(targets, endpoint, model) {
        Some(instead) => format!("call POST {instead} instead"),
        None => "choose a model of another provider".to_owned(),
    };
    let message = format!(
        "`{name}` is served by a provider of kind {kind}, which does not have {}; {remedy}",
        endpoint.name
    );
    Refusal::new(Code::WrongEndpoint, message).about("model")
}

/// An endpoint for the same purpose that the targets do serve: best one that needs no translation.
fn instead(targets: &Targets, endpoint: &Endpoint, model: Option<&str>) -> Option<&'static str> {
    let is_compaction = endpoint.makes.is_some()
        && endpoint.format == Format::OpenAiResponses
        && endpoint.answer != endpoint.format;
    let names: &[&'static str] = match (endpoint.format, endpoint.makes) {
        _ if is_compaction => &[],
        (Format::AnthropicMessages | Format::OpenAiResponses, None) => &COUNTING,
        (
            Format::AnthropicMessages
            | Format::OpenAiChat
            | Format::OpenAiCompletions
            | Format::OpenAiResponses,
            _,
        ) => &ANSWERING,
        _ => &[],
    };
    let served = |name: &&'static str| match route::table::find(&Method::POST, name, &[]) {
        Matched::Proxy(other) if other.name != endpoint.name => {
            route::serving::serving(targets, &other, model).map(|_| other.format)
        }
        _ => None,
    };
    let served: Vec<_> = names.iter().filter_map(|name| Some((*name, served(name)?))).collect();
    let speaks = |format: Format| targets.list.iter().any(|t| t.provider.speaks(format));
    let native = served.iter().find(|(_, format)| speaks(*format));
    native.or(served.first()).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    /// The message about a call of this endpoint for a model of this provider; empty if it is served.
    fn told(provider: &str, path: &str) -> String {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("file");
        let text = format!(
            "auth: {{accept: [anonymous]}}\nproviders:\n  one: {{{provider}, \
             base_url: 'http://127.0.0.1:1/v1'}}\n"
        );
        std::fs::write(file.path(), text).expect("a policy");
        let policy = load(Some(file.path())).expect("a good policy").policy;
        let targets = route::targets(&policy, Some("m"));
        let Matched::Proxy(endpoint) = route::table::find(&Method::POST, path, &[]) else {
            panic!("{path}");
        };
        match serving(targets, &endpoint, Some("m")) {
            Ok(_) => String::new(),
            Err(refusal) => {
                assert_eq!(refusal.code, Code::WrongEndpoint);
                refusal.message.into_owned()
            }
        }
    }

    #[test]
    fn remedies_are_true() {
        let chat_only = "kind: openai, wires: [chat]";
        for (provider, path, remedy) in [
            // Nothing counts there, so neither endpoint sends to the other.
            (chat_only, "/v1/messages/count_tokens", "choose a model of another provider"),
            (chat_only, "/v1/responses/input_tokens", "choose a model of another provider"),
            ("kind: anthropic", "/v1/completions", "call POST /v1/messages instead"),
            (chat_only, "/v1/completions", "call POST /v1/chat/completions instead"),
        ] {
            let message = told(provider, path);
            assert!(message.contains(remedy), "{provider} {path}: {message}");
        }
        assert_eq!(told("kind: openai", "/v1/messages/count_tokens"), "");
    }

    #[test]
    fn a_compaction_is_never_translated() {
        for provider in ["kind: anthropic", "kind: openai, wires: [chat]"] {
            assert_eq!(told(provider, "/v1/responses"), "", "{provider}");
            let message = told(provider, "/v1/responses/compact");
            assert!(message.contains("does not have /v1/responses/compact; choose"), "{message}");
        }
        assert_eq!(told("kind: openai", "/v1/responses/compact"), "");
    }
}
