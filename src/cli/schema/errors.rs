//! The cause of each error code and its remedy, in the words of the documentation.
//!
//! Pure. A new code does not compile without a line here.

use crate::code::Code;

/// The cause of a code, and how to mend it.
pub(super) const fn advice(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::InvalidJson => (
            "The body is not valid JSON, or is not UTF-8.",
            "Send one JSON value; the message names the byte.",
        ),
        Code::InvalidRequest => (
            "A field is missing, has the wrong type or stands twice; the head is ambiguous; or the \
             end of a long body asks for more than was reserved.",
            "Correct the field that `param` or the message names.",
        ),
        Code::WrongEndpoint => (
            "The model belongs to a provider of another wire format.",
            "Call the endpoint that the message names.",
        ),
        Code::MissingToken => (
            "The request has no credential.",
            "Send a JWT or a gateway key as the bearer token; in an SDK, as the API key.",
        ),
        Code::InvalidToken => (
            "The credential does not verify, has expired, or is of a kind that is not accepted.",
            "Get a new one. Operators find the reason in the log and in `/api/auth`.",
        ),
        Code::FeatureDisabled => (
            "The ticket endpoint is switched off for this organisation.",
            "Switch on `features.ai_intent_enabled`.",
        ),
        Code::EndpointNotAllowed => (
            "The key may not be used for this endpoint, the endpoint needs the caller's own \
             provider key, or the body names a stored object of another organisation.",
            "Use another key, or extend its `endpoints`; for objects see \
             `routing.shared_objects`.",
        ),
        Code::OrgMissing => (
            "The token names no organisation, or a name that belongs to the gateway.",
            "Put the organisation into the claim that `auth.jwt.org_claim` names.",
        ),
        Code::NotFound => (
            "No API of a provider has this path.",
            "Check the base URL; it ends with `/v1`, and only once.",
        ),
        Code::ModelNotFound => (
            "No provider is configured for this model, or its key may not use it.",
            "Add a rule to `routing.models` or a target to `routing.default`.",
        ),
        Code::MethodNotAllowed => {
            ("The path does not have this method.", "Use a method that the header `allow` lists.")
        }
        Code::RequestTimeout => (
            "The body stopped coming, or came at less than 1 KiB/s after the first 10 s.",
            "Send it faster; the call may be repeated.",
        ),
        Code::BodyTooLarge => (
            "The body is longer than `max_body_bytes`, or a compressed one grows too much.",
            "Send less, or raise the bound.",
        ),
        Code::HeadersTooLarge => {
            ("The headers have more than 64 KiB together.", "Send fewer or shorter headers.")
        }
        Code::AttachmentsNotAllowed => (
            "The body has an attachment under `attachments: reject`, a text in base64, or is a \
             file upload.",
            "Send text as text; or allow attachments for this organisation.",
        ),
        Code::UnsupportedMediaType => (
            "The content type or coding is not known, or the body holds content that cannot be \
             read, such as token ids of an unknown encoding.",
            "Send `application/json`, plain or as gzip, deflate or zstd; send text instead of \
             token ids.",
        ),
        Code::RateLimitExceeded => (
            "A limit of the organisation, key, user or model is reached; the message names it.",
            "Wait for `retry-after`, or raise the limit.",
        ),
        Code::RedactionFailed => (
            "A defect in the redactor. Nothing was forwarded.",
            "Report it with the `x-request-id`, without the text.",
        ),
        Code::Internal => (
            "A defect in the gateway. The request was not completed.",
            "Report it with the `x-request-id`.",
        ),
        Code::NotSupported => (
            "Realtime and WebSocket connections are not supported.",
            "Use the endpoints that answer over HTTP.",
        ),
        Code::Overloaded => (
            "The gateway is at one of its bounds, or the caller at its share of one.",
            "Wait for `retry-after`; operators see `tollgate_bounds_reached_total`.",
        ),
        Code::ProviderUnavailable => (
            "The provider failed and the retries are used up, its circuit is open, or it refuses \
             the gateway's key.",
            "Try later; operators see the log line `call failed` with each attempt.",
        ),
        Code::ProviderTimeout => (
            "The provider did not answer in time.",
            "Try again with a shorter question, or raise `timeouts`.",
        ),
    }
}
