//! A fetched credential: what a provider is shown, and until when.
//!
//! Beside stage 10 of the walk. Pure: answers of token endpoints become tokens here. Guarantees: a
//! token is a plain header value; its life has a bound; its text is in no message. Does not: fetch
//! (see `fetch`), or decide when (see `schedule`).
//!
//! # Source
//! RFC 6749 section 5.1; Microsoft Entra ID, "Acquire an access token from a VM"; AWS STS,
//! `AssumeRoleWithWebIdentity`; IMDSv2; Google Cloud, "Metadata server", read November 2026.

use std::time::Duration;

use aws_credential_types::Credentials;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::schedule::Kind;
use crate::clock::Nanos;

/// The life of a token that does not say how long it lives, or says nonsense.
const LIFE_UNKNOWN: Duration = Duration::from_secs(5 * 60);
/// A token is used for so long at most, whatever it says.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A credential that was fetched.
pub struct Token {
    pub shown: Shown,
    pub ends: Ends,
}

/// The credential that the provider gets.
pub enum Shown {
    /// `authorization`, whole.
    Bearer(HeaderValue),
    /// Keys that sign.
    Aws(Credentials),
}

/// The end of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// On the monotonic clock: the answer said how long it lives.
    After(Nanos),
    /// In milliseconds since 1970: the answer said a date.
    On(i64),
}

/// The two clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub monotonic: Nanos,
    pub wall_ms: i64,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub kind: Kind,
    /// For the operators' log; without a secret.
    pub reason: String,
}

impl Failed {
    /// A failure that may pass.
    pub fn passing(reason: impl Into<String>) -> Failed {
        Failed { kind: Kind::Passing, reason: reason.into() }
    }

    /// Whether only a change of the configuration helps.
    pub fn is_lasting(&self) -> bool {
        self.kind == Kind::Lasting
    }

    /// A failure that lasts until something is changed.
    pub fn lasting(reason: impl Into<String>) -> Failed {
        Failed { kind: Kind::Lasting, reason: reason.into() }
    }
}

impl Ends {
    /// The time until the end, in seconds; 0 or less after it.
    pub fn left_seconds(self, now: Now) -> f64 {
        match self {
            Ends::After(at) if at >= now.monotonic => at.since(now.monotonic).as_secs_f64(),
            Ends::After(at) => -now.monotonic.since(at).as_secs_f64(),
            #[expect(clippy::cast_precision_loss, reason = "a day in milliseconds fits a double")]
            Ends::On(ms) => ms.saturating_sub(now.wall_ms) as f64 / 1000.0,
        }
    }

    /// Whether the token may still be shown.
    pub fn is_ahead(self, now: Now) -> bool {
        match self {
            Ends::After(at) => now.monotonic < at,
            Ends::On(ms) => now.wall_ms < ms,
        }
    }

    /// The end on the monotonic clock.
    pub fn monotonic(self, now: Now) -> Nanos {
        match self {
            Ends::After(at) => at,
            Ends::On(ms) => {
                let left = u64::try_from(ms.saturating_sub(now.wall_ms)).unwrap_or(0);
                now.monotonic.plus(Duration::from_millis(left))
            }
        }
    }
}

/// An answer with a bearer token: OAuth's, and those of metadata services, whose numbers may be
/// text.
#[derive(Deserialize)]
struct BearerAnswer<'a> {
    access_token: Option<String>,
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
    #[serde(borrow)]
    expires_on: Option<&'a RawValue>,
}

/// The token in an answer to a request that was sent at `asked`, and whether its life had to be
/// assumed.
///
/// # Errors
/// The answer is not JSON, or has no usable token.
pub fn bearer(answer: &[u8], asked: Now) -> Result<(Token, bool), Failed> {
    let read: BearerAnswer<'_> = serde_json::from_slice(answer)
        .map_err(|_| Failed::passing("the answer is not the JSON of a token"))?;
    let text = Zeroizing::new(read.access_token.unwrap_or_default());
    if text.is_empty() {
        return Err(Failed::passing("the answer has no access_token"));
    }
    let shown = Shown::Bearer(header(&["Bearer ", &text])?);
    let (ends, is_assumed) = match (seconds(read.expires_in), seconds(read.expires_on)) {
        (Some(life), _) => (after(asked, life), false),
        (None, Some(at)) => {
            let at = i64::try_from(at).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
            (on(asked, at), false)
        }
        (None, None) => (Ends::After(asked.monotonic.plus(LIFE_UNKNOWN)), true),
    };
    Ok((Token { shown, ends }, is_assumed))
}

/// A positive number of seconds, as a number or as text.
fn seconds(value: Option<&RawValue>) -> Option<u64> {
    let text = value?.get().trim_matches('"').trim();
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().ok().filter(|seconds| *seconds > 0)
}

/// A header value of printable characters, marked as a secret.
///
/// # Errors
/// It has other characters.
pub fn header(parts: &[&str]) -> Result<HeaderValue, Failed> {
    let text = Zeroizing::new(parts.concat());
    let is_plain = parts.last().is_some_and(|token| {
        !token.is_empty() && token.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
    });
    let value = HeaderValue::from_str(&text).ok().filter(|_| is_plain);
    let mut value =
        value.ok_or_else(|| Failed::passing("the token has a character that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn after(asked: Now, life_seconds: u64) -> Ends {
    let life = Duration::from_secs(life_seconds).min(LIFE_MAX);
    Ends::After(asked.monotonic.plus(life))
}

fn on(asked: Now, ms: i64) -> Ends {
    let longest = i64::try_from(LIFE_MAX.as_millis()).unwrap_or(i64::MAX);
    Ends::On(ms.min(asked.wall_ms.saturating_add(longest)))
}

/// The parts of an answer with keys of AWS.
#[derive(Default)]
pub struct KeysAnswer {
    pub access_key_id: Zeroizing<String>,
    pub secret_access_key: Zeroizing<String>,
    pub session_token: Zeroizing<String>,
    /// RFC 3339.
    pub expiration: String,
}

/// The answer of a container's endpoint or of a machine's metadata service.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AwsJson {
    code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

/// The keys in an answer in JSON, and whether their life had to be assumed.
///
/// # Errors
/// As [`keys`].
pub fn keys_in_json(answer: &[u8], asked: Now) -> Result<(Token, bool), Failed> {
    let read: AwsJson = serde_json::from_slice(answer)
        .map_err(|_| Failed::passing("the answer is not the JSON of an access key"))?;
    if let Some(code) = read.code.filter(|code| code != "Success") {
        return Err(Failed::passing(format!("the metadata service says {}", word(&code))));
    }
    let part = |part: Option<String>| Zeroizing::new(part.unwrap_or_default());
    let parts = KeysAnswer {
        access_key_id: part(read.access_key_id),
        secret_access_key: part(read.secret_access_key),
        session_token: part(read.token),
        expiration: read.expiration.unwrap_or_default(),
    };
    keys(&parts, asked)
}

/// The keys in the answer of AWS STS, and whether their life had to be assumed.
///
/// # Errors
/// As [`keys`].
pub fn keys_in_xml(answer: &[u8], asked: Now) -> Result<(Token, bool), Failed> {
    let text = std::str::from_utf8(answer).unwrap_or_default();
    let inside = element(text, "Credentials").unwrap_or_default();
    let part = |name: &str| Zeroizing::new(unescaped(element(inside, name).unwrap_or_default()));
    let parts = KeysAnswer {
        access_key_id: part("AccessKeyId"),
        secret_access_key: part("SecretAccessKey"),
        session_token: part("SessionToken"),
        expiration: element(inside, "Expiration").unwrap_or_default().trim().to_owned(),
    };
    keys(&parts, asked)
}

/// The keys of these parts.
///
/// # Errors
/// A part is missing or has characters that no key has, or they have expired.
fn keys(parts: &KeysAnswer, asked: Now) -> Result<(Token, bool), Failed> {
    if parts.access_key_id.is_empty() || parts.secret_access_key.is_empty() {
        return Err(Failed::passing("the answer has no access key"));
    }
    header(&[&parts.access_key_id])?;
    if !parts.session_token.is_empty() {
        header(&[&parts.session_token])?;
    }
    let expires = parts.expiration.parse::<jiff::Timestamp>().ok();
    let (ends, is_assumed) = match expires {
        Some(at) => (on(asked, at.as_millisecond()), false),
        None => (Ends::After(asked.monotonic.plus(LIFE_UNKNOWN)), true),
    };
    let session = (!parts.session_token.is_empty()).then(|| parts.session_token.to_string());
    let shown = Shown::Aws(Credentials::new(
        parts.access_key_id.to_string(),
        parts.secret_access_key.to_string(),
        session,
        None,
        "tollgate",
    ));
    Ok((Token { shown, ends }, is_assumed))
}

/// The content of the first element of this name.
pub fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, behind) = xml.split_once(&*["<", name].concat())?;
    let (attributes, behind) = behind.split_once('>')?;
    let is_whole_name = attributes.is_empty() || attributes.starts_with(char::is_whitespace);
    if !is_whole_name {
        // Another element, whose name only begins so.
        return element(behind, name);
    }
    behind.split_once(&*["</", name, ">"].concat()).map(|(content, _)| content)
}

/// Text of XML. Numbered characters are not used in keys.
fn unescaped(text: &str) -> String {
    let text = text.trim();
    if !text.contains('&') {
        return text.to_owned();
    }
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// A word of an answer as it may be shown.
pub fn word(text: &str) -> String {
    let is_part = |c: &char| c.is_ascii_alphanumeric() || "_-.:/".contains(*c);
    text.chars().filter(is_part).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const NOW: Now = Now { monotonic: Nanos(7 * S), wall_ms: 1_764_500_000_000 };

    fn ends(answer: &str) -> (Ends, bool) {
        let (token, is_assumed) = bearer(answer.as_bytes(), NOW).expect("a token");
        (token.ends, is_assumed)
    }

    #[test]
    fn the_life_of_a_token_is_read_as_it_is_written() {
        let after = |seconds: u64| Ends::After(Nanos((7 + seconds) * S));
        for (answer, expected) in [
            (r#"{"access_token":"t","expires_in":3599}"#, (after(3599), false)),
            (r#"{"access_token":"t","expires_in":"3599"}"#, (after(3599), false)),
            (
                r#"{"access_token":"t","expires_in":"86399","expires_on":"1"}"#,
                (after(86_399), false),
            ),
            (r#"{"access_token":"t","expires_in":999999}"#, (after(86_400), false)),
            (r#"{"access_token":"t","expires_in":0}"#, (after(300), true)),
            (r#"{"access_token":"t","expires_in":-5}"#, (after(300), true)),
            (r#"{"access_token":"t","expires_in":"soon"}"#, (after(300), true)),
            (r#"{"access_token":"t"}"#, (after(300), true)),
            (
                r#"{"access_token":"t","expires_on":"1764500060"}"#,
                (Ends::On(1_764_500_060_000), false),
            ),
            (
                r#"{"access_token":"t","expires_on":1964500060}"#,
                (Ends::On(1_764_586_400_000), false),
            ),
        ] {
            assert_eq!(ends(answer), expected, "{answer}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_is_a_failure_without_its_text() {
        for answer in [
            "",
            "[]",
            "<html>",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            "{\"access_token\":\"se\\r\\ncret\"}",
            r#"{"access_token":"se cret"}"#,
        ] {
            let failed = bearer(answer.as_bytes(), NOW).err().expect("no token");
            assert!(!failed.reason.contains("cret"), "{failed:?}");
        }
    }

    fn aws(token: Token) -> (String, String, String, Ends) {
        let Shown::Aws(keys) = token.shown else { panic!("keys") };
        let session = keys.session_token().unwrap_or_default().to_owned();
        (keys.access_key_id().into(), keys.secret_access_key().into(), session, token.ends)
    }

    #[test]
    fn keys_are_read_in_any_order_and_unescaped() {
        let xml = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/\
            2011-06-15/\">\
            <AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>x</\
            SubjectFromWebIdentityToken>\
            <Credentials><Expiration>2025-11-30T12:00:00Z</Expiration><SessionToken>to&amp;k&lt;en==\
            </SessionToken>\n<SecretAccessKey>a/b+c</SecretAccessKey><AccessKeyId>ASIAX</\
            AccessKeyId>\
            </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        let (token, is_assumed) = keys_in_xml(xml.as_bytes(), NOW).expect("keys");
        let expected = ("ASIAX".into(), "a/b+c".into(), "to&k<en==".into());
        let (id, secret, session, ends) = aws(token);
        assert_eq!(((id, secret, session), is_assumed), (expected, false));
        assert_eq!(ends, Ends::On(1_764_504_000_000));
        for wrong in ["", "<Credentials></Credentials>", "<Error><Code>AccessDenied</Code></Error>"]
        {
            assert!(keys_in_xml(wrong.as_bytes(), NOW).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_in_json_need_the_word_success_where_there_is_one() {
        let json = r#"{"Code":"Success","AccessKeyId":"ASIAX","SecretAccessKey":"s","Token":"t",
            "Expiration":"2025-11-30T12:00:00Z"}"#;
        let (token, _) = keys_in_json(json.as_bytes(), NOW).expect("keys");
        assert_eq!(aws(token).2, "t");
        let json = r#"{"AccessKeyId":"ASIAX","SecretAccessKey":"s"}"#;
        let (token, is_assumed) = keys_in_json(json.as_bytes(), NOW).expect("keys");
        assert_eq!((token.ends, is_assumed), (Ends::After(Nanos(307 * S)), true));
        let failed = keys_in_json(br#"{"Code":"Failed"}"#, NOW).err().expect("no keys");
        assert_eq!(failed.reason, "the metadata service says Failed");
    }

    #[test]
    fn a_token_ends_by_the_clock_that_its_answer_named() {
        let later = Now { monotonic: Nanos(8 * S), wall_ms: NOW.wall_ms + 10_000 };
        let (by_life, by_date) = (Ends::After(Nanos(9 * S)), Ends::On(NOW.wall_ms + 5_000));
        assert!(by_life.is_ahead(later) && !by_date.is_ahead(later));
        assert_eq!((by_life.left_seconds(later), by_date.left_seconds(later)), (1.0, -5.0));
        assert_eq!(Ends::After(Nanos(7 * S)).left_seconds(later), -1.0);
        assert_eq!(Ends::On(NOW.wall_ms + 12_000).monotonic(later), Nanos(10 * S));
    }
}
