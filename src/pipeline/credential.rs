//! Text that looks like a credential, wherever it stands in a request head.
//!
//! Pure. A name or a value in a head is short and has no reason to look like a key, so this is less
//! strict than the redactor's entity `api_key`: the beginning of a key is enough. Promises: the
//! caller's own credentials are found wherever they stand. Does not: look at bodies.

use std::sync::OnceLock;

use http::{HeaderMap, header};

use crate::redact;

/// Headers that carry credentials.
const CARRIERS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-tollgate-token",
];

/// Shorter ones are words.
pub const SHOWN_BYTES_MIN: usize = 8;
/// Characters after the prefix of a key that make it one.
const KEY_BYTES_MIN: usize = 5;

/// The credentials that a call has shown: looked up when a text has to be held against them.
#[derive(Debug)]
pub struct Shown<'h> {
    headers: &'h HeaderMap,
    found: OnceLock<Vec<String>>,
}

impl<'h> Shown<'h> {
    /// The credentials in the headers of a call.
    pub fn in_headers(headers: &'h HeaderMap) -> Shown<'h> {
        Shown { headers, found: OnceLock::new() }
    }

    /// Whether this text is, or holds, one of them or what looks like another.
    pub fn are_in(&self, text: &str) -> bool {
        let found = self.found.get_or_init(|| {
            let values = CARRIERS.iter().flat_map(|name| self.headers.get_all(*name));
            values
                .filter_map(|value| value.to_str().ok())
                .map(|value| value.trim().rsplit(' ').next().unwrap_or_default())
                .filter(|token| token.len() >= SHOWN_BYTES_MIN)
                .map(str::to_owned)
                .collect()
        });
        found.iter().any(|shown| text.contains(&**shown)) || is_credential(text)
    }
}

/// Whether a header is there to carry a credential.
pub fn is_carrier(name: &header::HeaderName) -> bool {
    CARRIERS.contains(&name.as_str())
}

/// Whether a text holds what looks like a key, a JWT, or a scheme with its credential.
pub fn is_credential(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins_word = |at: usize| at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let found = (0..bytes.len()).filter(|at| begins_word(*at)).any(|at| {
        let rest = &bytes[at..];
        let token_after = |prefix: usize| rest[prefix..].iter().take_while(|b| is_token(b)).count();
        match rest[0] {
            b's' if rest.starts_with(b"sk-") || rest.starts_with(b"sk_") => {
                token_after(3) >= KEY_BYTES_MIN
            }
            b't' if rest.starts_with(b"tg-") => token_after(3) >= KEY_BYTES_MIN,
            b'e' if rest.starts_with(b"eyJ") => {
                rest.get(3 + token_after(3)) == Some(&b'.') && token_after(3) >= 4
            }
            b'B' | b'b' => {
                has_scheme(rest, b"bearer", 1) || has_scheme(rest, b"basic", SHOWN_BYTES_MIN)
            }
            _ => false,
        }
    });
    found || redact::holds_secret(text)
}

/// Whether a text begins with a scheme and a credential of so many characters, which ends the text
/// or stands before a comma.
fn has_scheme(text: &[u8], scheme: &[u8], bytes_min: usize) -> bool {
    let Some((name, rest)) = text.split_at_checked(scheme.len()) else { return false };
    if !name.eq_ignore_ascii_case(scheme)
        || !matches!(rest.first(), Some(b' ' | b'\t' | b'+' | b':' | b'='))
    {
        return false;
    }
    let rest = rest.trim_ascii_start();
    let credential = rest.split(|b| matches!(b, b' ' | b',' | b';')).find(|part| !part.is_empty());
    let is_last = |part: &[u8]| rest.trim_ascii().len() == part.len();
    credential.is_some_and(|part| part.len() >= bytes_min && (bytes_min == 1 || is_last(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tokens_and_schemes_are_told_from_words() {
        for credential in [
            "sk-other",
            "x sk-proj-abcdefgh",
            "(sk-ant-api03-abc)",
            "key=tg-lab-key",
            "tg-AbCdEf",
            "eyJhbGciOiJIUzI1NiJ9.eyJz",
            "Bearer x",
            "bearer tg-lab-key",
            "a/1 BEARER abc",
            "Basic dXNlcjpwYXNz",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "AKIAIOSFODNN7EXAMPLE",
        ] {
            assert!(is_credential(credential), "{credential}");
        }
        for word in [
            "sk-SK,sk;q=0.9",
            "task-force-one",
            "OpenAI/Python 1.99.9",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                Chrome/131.0.0.0 Safari/537.36",
            "basic plan",
            "Basic Client/1.0 (x)",
            "the bearer",
            "prompt-caching-2024-07-31",
            "",
        ] {
            assert!(!is_credential(word), "{word}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("authorization", http::HeaderValue::from_static("Bearer my-odd-credential"));
        assert!(Shown::in_headers(&headers).are_in("x=my-odd-credential."));
        assert!(!Shown::in_headers(&headers).are_in("my-odd"));
    }
}
