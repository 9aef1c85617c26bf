//! The public error codes: one table with everything that follows from a code.
//!
//! A leaf. A code has its text, an HTTP status, OpenAI's error `type`, the outcome of its row and a
//! general message. A stage that knows more than the code writes its own message. Does not turn
//! anything into bytes (see `server/reply`).

/// The outcome of a call, one word in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call succeeded.
    Ok,
    /// The client's own mistake.
    ClientError,
    /// Over a limit of the gateway.
    RateLimited,
    /// Over a limit of the provider.
    ProviderRateLimited,
    /// The provider failed, or refused the call.
    ProviderError,
    /// The call took too long.
    Timeout,
    /// The client left before its answer was complete.
    ClientDisconnect,
    /// An error of the gateway itself: overload, a defect.
    Refused,
}

impl Outcome {
    /// The outcome of a call that is answered with this status of its provider.
    pub const fn of_status(status: u16) -> Outcome {
        match status {
            429 => Outcome::ProviderRateLimited,
            400..=499 => Outcome::ClientError,
            500..=599 => Outcome::ProviderError,
            _ => Outcome::Ok,
        }
    }

    /// The form used in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::ClientError => "client_error",
            Outcome::RateLimited => "rate_limited",
            Outcome::ProviderRateLimited => "provider_rate_limited",
            Outcome::ProviderError => "provider_error",
            Outcome::Timeout => "timeout",
            Outcome::ClientDisconnect => "client_disconnect",
            Outcome::Refused => "refused",
        }
    }
}

/// Declares the codes: text, status, error `type`, outcome and general message of each.
macro_rules! codes {
    ($( $code:ident: $text:literal, $status:literal, $kind:literal, $outcome:ident, $message:literal; )*) => {
        /// A public error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $( #[doc = $message] $code, )* }

        impl Code {
            /// Every code, in the order of the documentation.
            #[cfg(test)]
            pub const ALL: &[Code] = &[ $( Code::$code, )* ];

            /// The wire form: lower snake case, stable.
            pub const fn as_str(self) -> &'static str {
                match self { $( Code::$code => $text, )* }
            }

            /// HTTP status of an answer with this code.
            pub const fn status(self) -> u16 {
                match self { $( Code::$code => $status, )* }
            }

            /// The OpenAI error `type` that SDKs map to their exception classes.
            pub const fn kind(self) -> &'static str {
                match self { $( Code::$code => $kind, )* }
            }

            /// The outcome of a call that the gateway refused with this code.
            pub const fn outcome(self) -> Outcome {
                match self { $( Code::$code => Outcome::$outcome, )* }
            }

            /// The message of a refusal whose stage knows no more than the code.
            pub const fn message(self) -> &'static str {
                match self { $( Code::$code => $message, )* }
            }
        }
    };
}

impl Code {
    /// Whether the same request may be answered when it is sent again in a moment. Not if it is
    /// wrong itself, and not if the gateway has tried that moment already.
    pub const fn may_pass_later(self) -> bool {
        matches!(
            self,
            Code::RequestTimeout | Code::RateLimitExceeded | Code::Internal | Code::Overloaded
        )
    }
}

codes! {
    InvalidJson: "invalid_json", 400, "invalid_request_error", ClientError,
        "the request body is not valid JSON";
    InvalidRequest: "invalid_request", 400, "invalid_request_error", ClientError,
        "the request is not valid";
    UnsupportedParameter: "unsupported_parameter", 400, "invalid_request_error", ClientError,
        "the provider of this model cannot do this";
    WrongEndpoint: "wrong_endpoint", 400, "invalid_request_error", ClientError,
        "the provider of this model does not have this endpoint";
    MissingToken: "missing_token", 401, "authentication_error", ClientError,
        "the request has no credential";
    InvalidToken: "invalid_token", 401, "authentication_error", ClientError,
        "the credential is not valid";
    FeatureDisabled: "feature_disabled", 403, "permission_error", ClientError,
        "this feature is disabled for the organisation";
    EndpointNotAllowed: "endpoint_not_allowed", 403, "permission_error", ClientError,
        "the credential may not be used for this endpoint or model";
    OrgMissing: "org_missing", 403, "permission_error", ClientError,
        "the credential names no organisation";
    NotFound: "not_found", 404, "not_found_error", ClientError,
        "there is nothing at this path";
    ModelNotFound: "model_not_found", 404, "not_found_error", ClientError,
        "no provider is configured for this model";
    MethodNotAllowed: "method_not_allowed", 405, "invalid_request_error", ClientError,
        "this path does not have this method";
    RequestTimeout: "request_timeout", 408, "invalid_request_error", ClientError,
        "the request body came too slowly";
    BodyTooLarge: "body_too_large", 413, "invalid_request_error", ClientError,
        "the request body is too large";
    HeadersTooLarge: "headers_too_large", 413, "invalid_request_error", ClientError,
        "the headers of the request are too large";
    AttachmentsNotAllowed: "attachments_not_allowed", 415, "invalid_request_error", ClientError,
        "attachments are not allowed";
    UnsupportedMediaType: "unsupported_media_type", 415, "invalid_request_error", ClientError,
        "the content type or coding of the request body is not supported";
    SensitiveData: "sensitive_data", 422, "invalid_request_error", ClientError,
        "the request holds data that may not be sent";
    RateLimitExceeded: "rate_limit_exceeded", 429, "rate_limit_error", RateLimited,
        "a limit is reached";
    RedactionFailed: "redaction_failed", 500, "server_error", Refused,
        "the request could not be redacted and was not forwarded";
    Internal: "internal", 500, "server_error", Refused,
        "internal error of the gateway; the request was not completed";
    NotSupported: "not_supported", 501, "invalid_request_error", ClientError,
        "the gateway does not support this";
    ProviderAnswerInvalid: "provider_answer_invalid", 502, "server_error", ProviderError,
        "the provider's answer could not be read";
    Overloaded: "overloaded", 503, "service_unavailable_error", Refused,
        "the gateway is at its limits; please try again in a moment";
    ProviderUnavailable: "provider_unavailable", 503, "service_unavailable_error", ProviderError,
        "the provider is unavailable";
    ProviderTimeout: "provider_timeout", 504, "service_unavailable_error", Timeout,
        "the provider did not answer in time";
}

#[cfg(test)]
mod tests {
    use super::Code;

    /// The public contract, as a table: a change here is a change for every user.
    #[test]
    fn codes_are_the_contract() {
        let line = |c: &Code| {
            format!("{} {} {} {}", c.status(), c.as_str(), c.kind(), c.outcome().as_str())
        };
        let table: Vec<String> = Code::ALL.iter().map(line).collect();
        assert_eq!(
            table,
            [
                "400 invalid_json invalid_request_error client_error",
                "400 invalid_request invalid_request_error client_error",
                "400 unsupported_parameter invalid_request_error client_error",
                "400 wrong_endpoint invalid_request_error client_error",
                "401 missing_token authentication_error client_error",
                "401 invalid_token authentication_error client_error",
                "403 feature_disabled permission_error client_error",
                "403 endpoint_not_allowed permission_error client_error",
                "403 org_missing permission_error client_error",
                "404 not_found not_found_error client_error",
                "404 model_not_found not_found_error client_error",
                "405 method_not_allowed invalid_request_error client_error",
                "408 request_timeout invalid_request_error client_error",
                "413 body_too_large invalid_request_error client_error",
                "413 headers_too_large invalid_request_error client_error",
                "415 attachments_not_allowed invalid_request_error client_error",
                "415 unsupported_media_type invalid_request_error client_error",
                "422 sensitive_data invalid_request_error client_error",
                "429 rate_limit_exceeded rate_limit_error rate_limited",
                "500 redaction_failed server_error refused",
                "500 internal server_error refused",
                "501 not_supported invalid_request_error client_error",
                "502 provider_answer_invalid server_error provider_error",
                "503 overloaded service_unavailable_error refused",
                "503 provider_unavailable service_unavailable_error provider_error",
                "504 provider_timeout service_unavailable_error timeout",
            ]
        );
    }

    /// One sentence, lower case, without a full stop: fit for a client.
    #[test]
    fn messages_are_one_plain_sentence() {
        for code in Code::ALL {
            let message = code.message();
            let begins = message.starts_with(|c: char| c.is_ascii_lowercase());
            assert!(begins && !message.ends_with('.') && message.len() < 80, "{message}");
        }
    }
}
