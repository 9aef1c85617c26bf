//! Refusals of calls at the wrong endpoint: their texts say what to do instead.
//!
//! Stages 2, 4 and 7 of the walk. Does not: match a route (see `route/table`).

use std::borrow::Cow;

use http::{HeaderMap, header};
use tollgate_wire::Format;

use super::refusal::Refusal;
use crate::code::Code;
use crate::config::policy::Targets;
use crate::route;
use crate::route::table::Endpoint;

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

fn wrong(targets: &Targets, endpoint: &Endpoint, model: Option<&str>) -> Refusal {
    let kind = targets.list.first().map_or("", |target| target.provider.options.kind.name());
    let name = model.unwrap_or("this model");
    let instead = match (endpoint.format, endpoint.name.as_ref()) {
        (Format::AnthropicMessages, "/v1/messages/count_tokens") => {
            "POST /v1/responses/input_tokens"
        }
        (Format::AnthropicMessages, _) => "POST /v1/chat/completions",
        _ => "POST /v1/messages",
    };
    let has_counterpart = matches!(
        endpoint.format,
        Format::AnthropicMessages
            | Format::OpenAiChat
            | Format::OpenAiCompletions
            | Format::OpenAiResponses
    );
    let message = if has_counterpart {
        format!(
            "`{name}` is served by a provider of kind {kind}, which does not have {}; call \
                {instead} instead",
            endpoint.name
        )
    } else {
        format!(
            "`{name}` is served by a provider of kind {kind}, which does not have {}; choose a \
                model of another \
             provider",
            endpoint.name
        )
    };
    Refusal::new(Code::WrongEndpoint, message).about("model")
}
