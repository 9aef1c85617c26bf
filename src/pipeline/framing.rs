//! The request head, strictly: what hyper lets pass and a gateway must not.
//!
//! Stage 1 of the walk. Pure. Also the allow-lists of headers, both ways. Promises: a head that two servers could read
//! in two ways is refused; no hop-by-hop header, no header named by `connection` and no credential passes. Does not:
//! see `content-length` beside `transfer-encoding`, which hyper removes (`server/guard` looks at the bytes for that).

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;

use super::refusal::Refusal;
use crate::bounds::HEAD_BYTES_MAX;
use crate::code::Code;

/// Checks one request head.
///
/// # Errors
/// 400 for an ambiguous head, 413 for a long one.
pub fn check(head: &Parts) -> Result<(), Refusal> {
    let bad = |message: &'static str| Err(Refusal::new(Code::InvalidRequest, message).closing());
    let headers = &head.headers;
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes + head.uri.path().len() + head.uri.query().map_or(0, str::len) > HEAD_BYTES_MAX {
        let message = "the request head is too large; at most 64 KiB of headers are read";
        return Err(Refusal::new(Code::HeadersTooLarge, message).closing());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return bad("the request has more than one Host header");
    }
    if head.version == http::Version::HTTP_11 && host.is_none() {
        return bad("the request has no Host header");
    }
    if let (Some(host), Some(authority)) = (host, head.uri.authority())
        && !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
    {
        return bad("the request target and the Host header name different hosts");
    }
    for value in headers.get_all(header::TRANSFER_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return bad("the only transfer coding that is read is `chunked`");
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return bad("the request has both Content-Length and Transfer-Encoding");
    }
    if let Some(expect) = headers.get(header::EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return bad("the only expectation that is met is `100-continue`");
    }
    Ok(())
}

/// Request headers that may reach a provider.
pub fn request_headers(client: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(16);
    for (name, value) in client {
        if may_leave(name) && !named_by_connection(client, name) {
            passed.append(name, value.clone());
        }
    }
    passed
}

/// The client's headers without those that its `connection` names: they end here (RFC 9110, 7.6.1).
pub fn end_to_end(client: &HeaderMap) -> Cow<'_, HeaderMap> {
    let named = |name: &&HeaderName| named_by_connection(client, name);
    if !client.contains_key(header::CONNECTION) || !client.keys().any(|name| named(&name)) {
        return Cow::Borrowed(client);
    }
    let mut passed = client.clone();
    for name in client.keys().filter(named) {
        passed.remove(name);
    }
    Cow::Owned(passed)
}

fn may_leave(name: &HeaderName) -> bool {
    match *name {
        header::CONTENT_TYPE | header::ACCEPT | header::USER_AGENT => true,
        _ => {
            let name = name.as_str();
            name == "openai-beta"
                || name == "idempotency-key"
                || name.starts_with("x-stainless-")
                || (name.starts_with("anthropic-") && name != "anthropic-organization-id")
        }
    }
}

/// Answer headers that may reach the client.
pub fn answer_headers(provider: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(16);
    for (name, value) in provider {
        if may_return(name) && !named_by_connection(provider, name) {
            passed.append(name, value.clone());
        }
    }
    passed
}

fn may_return(name: &HeaderName) -> bool {
    match *name {
        header::CONTENT_TYPE | header::CONTENT_ENCODING | header::CACHE_CONTROL | header::RETRY_AFTER => true,
        header::CONTENT_DISPOSITION | header::ETAG | header::LAST_MODIFIED => true,
        _ => {
            matches!(
                name.as_str(),
                "openai-processing-ms"
                    | "openai-version"
                    | "openai-model"
                    | "retry-after-ms"
                    | "x-should-retry"
                    | "x-ratelimit-limit-tokens"
                    | "x-ratelimit-remaining-tokens"
                    | "x-ratelimit-reset-tokens"
            ) || name.as_str().starts_with("anthropic-ratelimit-")
        }
    }
}

/// RFC 9110, section 7.6.1: what `connection` names belongs to this hop.
fn named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|v| v.split(',').any(|option| option.trim().eq_ignore_ascii_case(name.as_str())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Request};

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("request").into_parts().0
    }

    /// Target, headers, and the status of the refusal.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<u16>);

    #[test]
    fn ambiguous_heads_are_refused() {
        let long = "x".repeat(HEAD_BYTES_MAX);
        let table: &[Case<'_>] = &[
            ("/v1/x", &[("host", "a")], None),
            ("http://a/v1/x", &[("host", "A")], None),
            ("/v1/x", &[("host", "a"), ("transfer-encoding", "Chunked")], None),
            ("/v1/x", &[("host", "a"), ("expect", "100-Continue")], None),
            ("/v1/x", &[], Some(400)),
            ("/v1/x", &[("host", "a"), ("host", "a")], Some(400)),
            ("http://evil/v1/x", &[("host", "a")], Some(400)),
            ("/v1/x", &[("host", "a"), ("transfer-encoding", "gzip, chunked")], Some(400)),
            ("/v1/x", &[("host", "a"), ("transfer-encoding", "identity, chunked")], Some(400)),
            ("/v1/x", &[("host", "a"), ("transfer-encoding", "chunked"), ("content-length", "3")], Some(400)),
            ("/v1/x", &[("host", "a"), ("expect", "a-miracle")], Some(400)),
            ("/v1/x", &[("host", "a"), ("x-long", &long)], Some(413)),
        ];
        for (uri, headers, expected) in table {
            let status = check(&head(uri, headers)).err().map(|r| r.code.status());
            assert_eq!(status, *expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn only_listed_headers_pass() {
        let sent = head(
            "/",
            &[
                ("host", "a"),
                ("authorization", "Bearer k"),
                ("x-api-key", "k"),
                ("x-tollgate-token", "t"),
                ("cookie", "c"),
                ("content-type", "application/json"),
                ("accept", "*/*"),
                ("user-agent", "u"),
                ("openai-beta", "b"),
                ("openai-organization", "o"),
                ("openai-project", "p"),
                ("anthropic-version", "v"),
                ("x-stainless-lang", "l"),
                ("idempotency-key", "i"),
                ("x-forwarded-for", "1"),
                ("connection", "close, X-Stainless-Os"),
                ("x-stainless-os", "o"),
                ("te", "trailers"),
                ("accept-encoding", "gzip"),
                ("content-length", "3"),
            ],
        );
        let passed = request_headers(&sent.headers);
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "anthropic-version",
                "content-type",
                "idempotency-key",
                "openai-beta",
                "user-agent",
                "x-stainless-lang"
            ]
        );

        let mut answered = HeaderMap::new();
        for name in [
            "content-type",
            "x-request-id",
            "set-cookie",
            "server",
            "openai-organization",
            "transfer-encoding",
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-remaining-requests",
            "location",
            "alt-svc",
        ] {
            answered.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let passed = answer_headers(&answered);
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-ratelimit-remaining-tokens"]);
    }
}
