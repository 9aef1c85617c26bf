//! The public error codes: the whole vocabulary in which the gateway says no.
//!
//! A leaf. Each code has one status, one OpenAI error `type`, and no text: the message is made where the error arose,
//! because only there it is known what would help. Does not: turn anything into bytes (see `server/reply`).

/// What went wrong, in the words of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    InvalidJson,
    InvalidRequest,
    MissingToken,
    InvalidToken,
    FeatureDisabled,
    EndpointNotAllowed,
    OrgMissing,
    NotFound,
    ModelNotFound,
    MethodNotAllowed,
    RequestTimeout,
    BodyTooLarge,
    HeadersTooLarge,
    AttachmentsNotAllowed,
    UnsupportedMediaType,
    RateLimitExceeded,
    RedactionFailed,
    Internal,
    Overloaded,
    ProviderUnavailable,
    ProviderTimeout,
}

impl Code {
    /// Every code, in the order of the documentation.
    #[cfg(test)]
    pub const ALL: [Code; 21] = [
        Code::InvalidJson,
        Code::InvalidRequest,
        Code::MissingToken,
        Code::InvalidToken,
        Code::FeatureDisabled,
        Code::EndpointNotAllowed,
        Code::OrgMissing,
        Code::NotFound,
        Code::ModelNotFound,
        Code::MethodNotAllowed,
        Code::RequestTimeout,
        Code::BodyTooLarge,
        Code::HeadersTooLarge,
        Code::AttachmentsNotAllowed,
        Code::UnsupportedMediaType,
        Code::RateLimitExceeded,
        Code::RedactionFailed,
        Code::Internal,
        Code::Overloaded,
        Code::ProviderUnavailable,
        Code::ProviderTimeout,
    ];

    /// The wire form: lower snake case, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::InvalidJson => "invalid_json",
            Code::InvalidRequest => "invalid_request",
            Code::MissingToken => "missing_token",
            Code::InvalidToken => "invalid_token",
            Code::FeatureDisabled => "feature_disabled",
            Code::EndpointNotAllowed => "endpoint_not_allowed",
            Code::OrgMissing => "org_missing",
            Code::NotFound => "not_found",
            Code::ModelNotFound => "model_not_found",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::RequestTimeout => "request_timeout",
            Code::BodyTooLarge => "body_too_large",
            Code::HeadersTooLarge => "headers_too_large",
            Code::AttachmentsNotAllowed => "attachments_not_allowed",
            Code::UnsupportedMediaType => "unsupported_media_type",
            Code::RateLimitExceeded => "rate_limit_exceeded",
            Code::RedactionFailed => "redaction_failed",
            Code::Internal => "internal",
            Code::Overloaded => "overloaded",
            Code::ProviderUnavailable => "provider_unavailable",
            Code::ProviderTimeout => "provider_timeout",
        }
    }

    /// HTTP status of an answer with this code.
    pub const fn status(self) -> u16 {
        match self {
            Code::InvalidJson | Code::InvalidRequest => 400,
            Code::MissingToken | Code::InvalidToken => 401,
            Code::FeatureDisabled | Code::EndpointNotAllowed | Code::OrgMissing => 403,
            Code::NotFound | Code::ModelNotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::RequestTimeout => 408,
            Code::BodyTooLarge | Code::HeadersTooLarge => 413,
            Code::AttachmentsNotAllowed | Code::UnsupportedMediaType => 415,
            Code::RateLimitExceeded => 429,
            Code::RedactionFailed | Code::Internal => 500,
            Code::Overloaded | Code::ProviderUnavailable => 503,
            Code::ProviderTimeout => 504,
        }
    }

    /// The OpenAI error `type` that SDKs map to their exception classes.
    pub const fn kind(self) -> &'static str {
        match self {
            Code::InvalidJson
            | Code::InvalidRequest
            | Code::MethodNotAllowed
            | Code::RequestTimeout
            | Code::BodyTooLarge
            | Code::HeadersTooLarge
            | Code::AttachmentsNotAllowed
            | Code::UnsupportedMediaType => "invalid_request_error",
            Code::MissingToken | Code::InvalidToken => "authentication_error",
            Code::FeatureDisabled | Code::EndpointNotAllowed | Code::OrgMissing => "permission_error",
            Code::NotFound | Code::ModelNotFound => "not_found_error",
            Code::RateLimitExceeded => "rate_limit_error",
            Code::RedactionFailed | Code::Internal => "server_error",
            Code::Overloaded | Code::ProviderUnavailable | Code::ProviderTimeout => "service_unavailable_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    /// The public contract, as a table: a change here is a change for every user.
    #[test]
    fn codes_are_the_contract() {
        let table: Vec<String> =
            Code::ALL.iter().map(|c| format!("{} {} {}", c.status(), c.as_str(), c.kind())).collect();
        assert_eq!(
            table,
            [
                "400 invalid_json invalid_request_error",
                "400 invalid_request invalid_request_error",
                "401 missing_token authentication_error",
                "401 invalid_token authentication_error",
                "403 feature_disabled permission_error",
                "403 endpoint_not_allowed permission_error",
                "403 org_missing permission_error",
                "404 not_found not_found_error",
                "404 model_not_found not_found_error",
                "405 method_not_allowed invalid_request_error",
                "408 request_timeout invalid_request_error",
                "413 body_too_large invalid_request_error",
                "413 headers_too_large invalid_request_error",
                "415 attachments_not_allowed invalid_request_error",
                "415 unsupported_media_type invalid_request_error",
                "429 rate_limit_exceeded rate_limit_error",
                "500 redaction_failed server_error",
                "500 internal server_error",
                "503 overloaded service_unavailable_error",
                "503 provider_unavailable service_unavailable_error",
                "504 provider_timeout service_unavailable_error",
            ]
        );
    }
}
