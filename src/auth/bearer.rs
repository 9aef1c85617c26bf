//! Credentials out of the request head, by strict rules.
//!
//! Pure. One `authorization: Bearer …` (the scheme in any case) or, without it, one `x-api-key`
//! (Anthropic's SDKs); and one `x-tollgate-token`. Anything that two readers could understand
//! differently (two headers, a list, another scheme) is refused.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::error::{AuthError, Reason};
use crate::bounds::BEARER_BYTES_MAX;

const GATEWAY: HeaderName = HeaderName::from_static("x-tollgate-token");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The credentials of a head.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// `x-tollgate-token`.
    pub gateway: Option<&'a str>,
    /// `authorization`, else `x-api-key`.
    pub bearer: Option<&'a str>,
}

const EMPTY: AuthError =
    AuthError::missing("the API key is empty; send it as the bearer token, behind `Bearer `");
const SCHEME: AuthError = AuthError::invalid(
    Reason::Headers,
    "the authorization header has to be `Bearer` and one token",
);
const TWICE: AuthError = AuthError::invalid(Reason::Headers, "the API key was sent more than once");
const FORM: AuthError = AuthError::invalid(
    Reason::Malformed,
    "the API key has a character that is not allowed, or is too long",
);

/// Finds the credentials.
///
/// # Errors
/// A credential that is there but has no clear meaning.
pub fn find(headers: &HeaderMap) -> Result<Found<'_>, AuthError> {
    let gateway = only(headers, GATEWAY)?.map(token).transpose()?;
    let bearer = match only(headers, header::AUTHORIZATION)? {
        Some(value) => Some(bearer(value)?),
        None => only(headers, API_KEY)?.map(token).transpose()?,
    };
    Ok(Found { gateway, bearer })
}

fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, AuthError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(TWICE) } else { Ok(first) }
}

fn bearer(value: &HeaderValue) -> Result<&str, AuthError> {
    let bytes = value.as_bytes();
    let Some((scheme, rest)) = bytes.split_at_checked(6) else { return Err(SCHEME) };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(SCHEME);
    }
    match rest.first() {
        None => Err(EMPTY),
        Some(b' ' | b'\t') => checked(rest.trim_ascii()),
        Some(_) => Err(SCHEME),
    }
}

fn token(value: &HeaderValue) -> Result<&str, AuthError> {
    checked(value.as_bytes().trim_ascii())
}

/// The bytes that a credential may have: a table, because each byte of each call's is looked up.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        plain[byte as usize] =
            byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'\'' | b'\\');
        byte += 1;
    }
    plain
};

/// One word of visible ASCII without a comma or a quote (RFC 6750 §2.1 allows less, providers' keys
/// need no more).
fn checked(bytes: &[u8]) -> Result<&str, AuthError> {
    if bytes.is_empty() {
        return Err(EMPTY);
    }
    if bytes.len() > BEARER_BYTES_MAX || !bytes.iter().all(|b| PLAIN[usize::from(*b)]) {
        return Err(FORM);
    }
    std::str::from_utf8(bytes).map_err(|_| FORM)
}
