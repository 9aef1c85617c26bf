//! Errors of Bedrock: `{"message"}`, and exceptions in a stream.

use serde::Deserialize;

use crate::lenient::{Count, Lenient, Text};
use crate::translate::error::{self, ProviderError};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, rename = "__type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow, default, rename = "Message")]
    capital: Text<'a>,
}

/// Reads an error body. The name of the error stands in a header, which is not seen here, and now
/// and then in `__type`.
pub(crate) fn read(status: u16, body: &[u8]) -> ProviderError {
    let Ok(Lenient(Some(body))) = serde_json::from_slice::<Lenient<Body<'_>>>(body) else {
        return error::read_error(status, body);
    };
    let message = body.message.0.or(body.capital.0).unwrap_or_default();
    let kind = body.kind.0.unwrap_or_default();
    // `com.amazonaws.bedrock#ThrottlingException:http://…`
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let kind = kind.split(':').next().unwrap_or_default();
    ProviderError::new(status, kind, &message)
}

/// Reads an exception in a stream, as the framing tells it.
pub(crate) fn read_exception(data: &str) -> ProviderError {
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow, default)]
        message: Text<'a>,
        #[serde(borrow, default)]
        payload: Lenient<Payload<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload<'a> {
        #[serde(borrow, default)]
        message: Text<'a>,
        #[serde(borrow, default)]
        original_message: Text<'a>,
        #[serde(default)]
        original_status_code: Count,
    }
    let Ok(told) = serde_json::from_str::<Told<'_>>(data) else {
        return ProviderError::new(500, "", "");
    };
    let kind = told.kind.0.unwrap_or_default();
    let payload = told.payload.0;
    let original = payload.as_ref().and_then(|payload| payload.original_status_code.0);
    let message = told.message.0.or_else(|| {
        let payload = payload?;
        payload.message.0.or(payload.original_message.0)
    });
    let mut error = ProviderError::new(500, &kind, &message.unwrap_or_default());
    error.status = match (error.code.as_str(), original) {
        ("validation_exception", _) => 400,
        ("access_denied_exception", _) => 403,
        ("resource_not_found_exception", _) => 404,
        ("throttling_exception" | "model_not_ready_exception", _) => 429,
        ("service_unavailable_exception", _) => 503,
        ("model_timeout_exception", _) => 504,
        ("model_stream_error_exception", Some(429)) => 429,
        ("model_stream_error_exception" | "model_error_exception", _) => 424,
        _ => 500,
    };
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies() {
        for (body, code, message) in [
            (r#"{"message":"m"}"#, "", "m"),
            (r#"{"Message":"m"}"#, "", "m"),
            (
                r#"{"__type":"com.amazon.coral.service#ThrottlingException:http://x/","message":"m"}"#,
                "throttling_exception",
                "m",
            ),
            (r#"{"__type":"ValidationException"}"#, "validation_exception", ""),
            (r#"{"message":7}"#, "", ""),
            ("<html>", "", ""),
            ("", "", ""),
        ] {
            let error = read(429, body.as_bytes());
            assert_eq!(
                (error.status, error.code.as_str(), error.message.as_str()),
                (429, code, message),
                "{body}"
            );
        }
    }

    #[test]
    fn exceptions() {
        for (data, status, code, message) in [
            (
                r#"{"type":"throttlingException","payload":{"message":"m"}}"#,
                429,
                "throttling_exception",
                "m",
            ),
            (
                r#"{"type":"validationException","payload":{"message":"m"}}"#,
                400,
                "validation_exception",
                "m",
            ),
            (
                r#"{"type":"modelStreamErrorException","payload":{"originalMessage":"m","originalStatusCode":500}}"#,
                424,
                "model_stream_error_exception",
                "m",
            ),
            (
                r#"{"type":"serviceUnavailableException","payload":null}"#,
                503,
                "service_unavailable_exception",
                "",
            ),
            (
                r#"{"type":"internalServerException","payload":7}"#,
                500,
                "internal_server_exception",
                "",
            ),
            (r#"{"type":"InternalFailure","message":"m"}"#, 500, "internal_failure", "m"),
            ("{", 500, "", ""),
        ] {
            let error = read_exception(data);
            assert_eq!(
                (error.status, error.code.as_str(), error.message.as_str()),
                (status, code, message),
                "{data}"
            );
        }
    }
}
