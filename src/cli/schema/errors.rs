//! The cause of each error code and its remedy, in the words of the documentation.
//!
//! Data only. A test holds the table against the codes.

use crate::code::Code;

/// A code, its cause, and how to mend it.
pub(crate) struct Advice(pub(crate) Code, pub(crate) &'static str, pub(crate) &'static str);

/// One line for each code, in their order.
pub(crate) const ADVICE: &[Advice] = &[
    Advice(
        Code::InvalidJson,
        "The body is not valid JSON, or is not UTF-8.",
        "Send one JSON value; the message names the byte.",
    ),
    Advice(
        Code::InvalidRequest,
        "A field is missing, has the wrong type or stands twice; the head is ambiguous; or the \
             end of a long body asks for more than was reserved.",
        "Correct the field that `param` or the message names.",
    ),
    Advice(
        Code::UnsupportedParameter,
        "The provider of the model speaks another format, and cannot do what `param` asks for; or \
         `routing.on_loss` is `refuse` and a field cannot be carried as it is.",
        "Leave the field out, or choose a model of another provider.",
    ),
    Advice(
        Code::WrongEndpoint,
        "The model belongs to a provider that does not have this endpoint, and calls of it are \
         not translated.",
        "Call the endpoint that the message names.",
    ),
    Advice(
        Code::MissingToken,
        "The request has no credential.",
        "Send a JWT or a gateway key as the bearer token; in an SDK, as the API key.",
    ),
    Advice(
        Code::InvalidToken,
        "The credential does not verify, has expired, or is of a kind that is not accepted.",
        "Get a new one. Operators find the reason in the log and in `/api/auth`.",
    ),
    Advice(
        Code::FeatureDisabled,
        "The ticket endpoint is switched off for this organisation.",
        "Switch on `features.ai_intent_enabled`.",
    ),
    Advice(
        Code::EndpointNotAllowed,
        "The key may not be used for this endpoint, the endpoint needs the caller's own \
             provider key, or the body names a stored object of another organisation.",
        "Use another key, or extend its `endpoints`; for objects see \
             `routing.shared_objects`.",
    ),
    Advice(
        Code::OrgMissing,
        "The token names no organisation, or a name that belongs to the gateway.",
        "Put the organisation into the claim that `auth.jwt.org_claim` names.",
    ),
    Advice(
        Code::NotFound,
        "No API of a provider has this path.",
        "Check the base URL; it ends with `/v1`, and only once.",
    ),
    Advice(
        Code::ModelNotFound,
        "No provider is configured for this model, or its key may not use it.",
        "Add a rule to `routing.models` or a target to `routing.default`.",
    ),
    Advice(
        Code::MethodNotAllowed,
        "The path does not have this method.",
        "Use a method that the header `allow` lists.",
    ),
    Advice(
        Code::RequestTimeout,
        "The body stopped coming, or came at less than 1 KiB/s after the first 10 s.",
        "Send it faster; the call may be repeated.",
    ),
    Advice(
        Code::BodyTooLarge,
        "The body is longer than `max_body_bytes`, or a compressed one grows too much.",
        "Send less, or raise the bound.",
    ),
    Advice(
        Code::HeadersTooLarge,
        "The headers have more than 64 KiB together.",
        "Send fewer or shorter headers.",
    ),
    Advice(
        Code::AttachmentsNotAllowed,
        "The body has an attachment under `attachments: reject`, a text in base64, or is a \
             file upload.",
        "Send text as text; or allow attachments for this organisation.",
    ),
    Advice(
        Code::UnsupportedMediaType,
        "The content type or coding is not known, or the body holds content that cannot be \
             read, such as token ids of an unknown encoding.",
        "Send `application/json`, plain or as gzip, deflate or zstd; send text instead of \
             token ids.",
    ),
    Advice(
        Code::SensitiveData,
        "The request holds a value of a kind that `redaction.actions` rejects, or one that removes \
             its message in a message of more than 32 KiB. The message names the kinds.",
        "Remove the values, or ask the operator for another action.",
    ),
    Advice(
        Code::RateLimitExceeded,
        "A limit of the organisation, key, user or model is reached; the message names it.",
        "Wait for `retry-after`, or raise the limit.",
    ),
    Advice(
        Code::RedactionFailed,
        "A defect in the redactor. Nothing was forwarded.",
        "Report it with the `x-request-id`, without the text.",
    ),
    Advice(
        Code::Internal,
        "A defect in the gateway. The request was not completed.",
        "Report it with the `x-request-id`.",
    ),
    Advice(
        Code::NotSupported,
        "Realtime and WebSocket connections are not supported.",
        "Use the endpoints that answer over HTTP.",
    ),
    Advice(
        Code::ProviderAnswerInvalid,
        "A provider of another format sent an answer that cannot be read or carried, also when it \
         was asked again.",
        "Try again; if it stays so, ask for the answer in another form, or a model of another \
         provider.",
    ),
    Advice(
        Code::Overloaded,
        "The gateway is at one of its bounds, or the caller at its share of one.",
        "Wait for `retry-after`; operators see `tollgate_bounds_reached_total`.",
    ),
    Advice(
        Code::ProviderUnavailable,
        "The provider or a proxy on the way failed and the retries are used up, its circuit is \
             open, or it refuses the gateway's key.",
        "Try later; operators see the log line `call failed` with each attempt.",
    ),
    Advice(
        Code::ProviderTimeout,
        "The provider did not answer in time.",
        "Try again with a shorter question, or raise `timeouts`.",
    ),
];
