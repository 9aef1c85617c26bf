//! The request head, strictly: what hyper lets pass and a gateway must not.
//!
//! Stage 2 of the walk. Pure. Promises: a head that two servers could read in two ways is refused.
//! Does not: say which header passes (`headers` does), or see `content-length` beside
//! `transfer-encoding`, which hyper removes (`server/guard` looks at the bytes for that).

use http::header;
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
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
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
            return bad("the only supported transfer coding is `chunked`");
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH)
    {
        return bad("the request has both Content-Length and Transfer-Encoding");
    }
    if let Some(expect) = headers.get(header::EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return bad("the only supported expectation is `100-continue`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

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
            (
                "/v1/x",
                &[("host", "a"), ("transfer-encoding", "chunked"), ("content-length", "3")],
                Some(400),
            ),
            ("/v1/x", &[("host", "a"), ("expect", "a-miracle")], Some(400)),
            ("/v1/x", &[("host", "a"), ("x-long", &long)], Some(413)),
        ];
        for (uri, headers, expected) in table {
            let status = check(&head(uri, headers)).err().map(|r| r.code.status());
            assert_eq!(status, *expected, "{uri} {headers:?}");
        }
    }
}
