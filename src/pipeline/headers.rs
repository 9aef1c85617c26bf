//! Which headers pass, both ways, and in which form: the one list.
//!
//! Stages 10 and 11 of the walk. Pure but for a random number of the process. Promises: only listed
//! headers and those of a provider's `forward_headers` reach a provider; each value is in the one
//! form that its header has, or has been redacted by the organisation's rules; nothing that looks
//! like a credential passes, in no header; no hop-by-hop header and none that `connection` names
//! passes. Does not: add the provider's own key (`upstream` does).

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::credential::{self, Shown};
use super::query;
use crate::bounds::HEADER_VALUE_BYTES_MAX;
use crate::redact::{self, Ledger, Rules};

/// Declares the headers that the gateway adds to answers, and the list of them.
macro_rules! ours {
    ($( $(#[$doc:meta])* $name:ident: $text:literal; )*) => {
        $( $(#[$doc])* pub const $name: HeaderName = HeaderName::from_static($text); )*
        /// Headers that the gateway adds to answers. Pages of other origins may read them.
        pub const OURS: &[&str] = &[$( $text, )*];
    };
}

ours! {
    /// Sends to a provider.
    ATTEMPTS: "x-tollgate-attempts";
    /// The used part of each budget of the caller.
    BUDGET: "x-tollgate-budget";
    /// Whether the answer comes from the exact cache.
    CACHE: "x-tollgate-cache";
    /// The model that was asked in place of the caller's, and the limit that is used up.
    DOWNGRADE: "x-tollgate-downgrade";
    /// Providers whose models are not in the list, because they gave none.
    MODELS_MISSING: "x-tollgate-models-missing";
    /// The provider that answered.
    PROVIDER: "x-tollgate-provider";
    /// The redactions in a request, by kind.
    REDACTIONS: "x-tollgate-redactions";
    /// The formats of a translated call, and the fields that were not carried over.
    TRANSLATION: "x-tollgate-translation";
}

/// The form that a header's value has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `application/json`, and nothing else.
    Json,
    /// Media types that are known.
    Accept,
    /// Any text.
    Text,
    /// A short word or number about the SDK.
    Label,
    /// A list of names of beta features.
    Betas,
    /// `2023-06-01`
    Date,
    /// `true` or `false`
    Flag,
    /// The same for the same call; says nothing else.
    Idempotency,
}

/// Request headers that may reach any provider.
fn form(name: &HeaderName) -> Option<Form> {
    match *name {
        header::CONTENT_TYPE => return Some(Form::Json),
        header::ACCEPT => return Some(Form::Accept),
        header::USER_AGENT => return Some(Form::Text),
        _ => {}
    }
    match name.as_str() {
        "idempotency-key" => Some(Form::Idempotency),
        "openai-beta" | "anthropic-beta" => Some(Form::Betas),
        "anthropic-version" => Some(Form::Date),
        "anthropic-dangerous-direct-browser-access" => Some(Form::Flag),
        "x-stainless-lang"
        | "x-stainless-package-version"
        | "x-stainless-os"
        | "x-stainless-arch"
        | "x-stainless-runtime"
        | "x-stainless-runtime-version"
        | "x-stainless-retry-count"
        | "x-stainless-read-timeout"
        | "x-stainless-timeout"
        | "x-stainless-async"
        | "x-stainless-helper-method"
        | "x-stainless-poll-helper"
        | "x-stainless-custom-poll-interval"
        | "x-stainless-raw-response" => Some(Form::Label),
        _ => None,
    }
}

/// Whose headers these are, and what is taken out of them.
pub struct Owner<'a> {
    pub rules: &'a Rules,
    pub org: &'a str,
    pub shown: &'a Shown<'a>,
}

/// The headers of a request that leave.
#[derive(Debug, Default)]
pub struct Leaving {
    /// To every provider.
    pub common: HeaderMap,
    /// To providers that ask for them.
    pub forwarded: HeaderMap,
    pub ledger: Ledger,
}

/// The request headers that may reach a provider; `forward` are the names that providers of this
/// call ask for.
pub fn leaving<'n>(
    client: &HeaderMap,
    owner: &Owner<'_>,
    forward: impl Iterator<Item = &'n HeaderName>,
) -> Leaving {
    let mut leaving = Leaving { common: HeaderMap::with_capacity(16), ..Leaving::default() };
    for name in client.keys() {
        let Some(form) = form(name) else { continue };
        if named_by_connection(client, name) {
            continue;
        }
        let lists = matches!(form, Form::Accept | Form::Betas);
        for value in client.get_all(name).iter().take(if lists { usize::MAX } else { 1 }) {
            if let Some(value) = shaped(form, value, owner, &mut leaving.ledger) {
                leaving.common.append(name, value);
            }
        }
    }
    for name in forward {
        let twice = leaving.common.contains_key(name) || leaving.forwarded.contains_key(name);
        // A listed header has its form also where it is asked for.
        if twice
            || form(name).is_some()
            || credential::is_carrier(name)
            || named_by_connection(client, name)
        {
            continue;
        }
        for value in client.get_all(name) {
            if let Some(value) = text(value, owner, &mut leaving.ledger) {
                leaving.forwarded.append(name, value);
            }
        }
    }
    leaving
}

/// A value in its form; nothing if it cannot have it.
fn shaped(
    form: Form,
    value: &HeaderValue,
    owner: &Owner<'_>,
    ledger: &mut Ledger,
) -> Option<HeaderValue> {
    let bytes = value.as_bytes();
    match form {
        Form::Json => {
            let essence = bytes.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            let json = essence.eq_ignore_ascii_case(b"application/json");
            json.then_some(const { HeaderValue::from_static("application/json") })
        }
        Form::Accept => accept(value),
        Form::Text if is_sdk(bytes) => Some(value.clone()),
        Form::Text => text(value, owner, ledger),
        Form::Label if is_constant(bytes) => Some(value.clone()),
        Form::Label => is_label(bytes).then(|| text(value, owner, ledger))?,
        Form::Betas => betas(value, owner, ledger),
        Form::Date => is_date(bytes).then(|| value.clone()),
        Form::Flag => matches!(bytes, b"true" | b"false").then(|| value.clone()),
        Form::Idempotency => Some(idempotency_key(value, owner)),
    }
}

/// Any text, redacted.
fn text(value: &HeaderValue, owner: &Owner<'_>, ledger: &mut Ledger) -> Option<HeaderValue> {
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    if owner.shown.are_in(text) {
        return None;
    }
    if text.contains('%') {
        // A value that a reader would decode is looked at decoded, and cannot be told in the same
        // form.
        for reading in query::readings(text) {
            let (_, found) = redact::text(owner.rules, &reading);
            if !found.is_empty() || owner.shown.are_in(&reading) {
                ledger.absorb(&found);
                return None;
            }
        }
    }
    if owner.rules.is_harmless(text) {
        return Some(value.clone());
    }
    let (clean, found) = redact::text(owner.rules, text);
    if found.is_empty() {
        return Some(value.clone());
    }
    ledger.absorb(&found);
    HeaderValue::from_bytes(clean.as_bytes()).ok()
}

/// The media types of `accept` that are known, in their order, with their weights.
fn accept(value: &HeaderValue) -> Option<HeaderValue> {
    const KNOWN: [&str; 14] = [
        "*/*",
        "application/json",
        "text/event-stream",
        "application/*",
        "text/*",
        "text/plain",
        "application/octet-stream",
        "application/binary",
        "application/x-ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "audio/*",
        "audio/mpeg",
        "image/*",
    ];
    let whole = value.to_str().ok()?;
    if KNOWN.contains(&whole) {
        return Some(value.clone());
    }
    let mut known = String::new();
    for range in whole.split(',').take(KNOWN.len()) {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let Some(essence) = KNOWN.iter().find(|k| k.eq_ignore_ascii_case(essence)) else {
            continue;
        };
        let weight = parts.find_map(|p| p.strip_prefix("q=")).filter(|q| {
            q.len() <= 5
                && matches!(q.as_bytes(), [b'0' | b'1'] | [b'0' | b'1', b'.', ..])
                && is_number(&q[1..])
        });
        known.push_str(if known.is_empty() { "" } else { ", " });
        known.push_str(essence);
        if let Some(weight) = weight {
            known.push_str(";q=");
            known.push_str(weight);
        }
    }
    if known.is_empty() { None } else { HeaderValue::from_str(&known).ok() }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// `OpenAI/Python 1.99.9` and its kin.
pub(super) fn is_sdk(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"Async").unwrap_or(value);
    let sdks: [&[u8]; 4] =
        [b"OpenAI/Python ", b"OpenAI/JS ", b"Anthropic/Python ", b"Anthropic/JS "];
    sdks.iter().any(|sdk| value.strip_prefix(*sdk).is_some_and(is_version))
}

/// Words by which SDKs describe themselves.
pub(super) fn is_constant(value: &[u8]) -> bool {
    matches!(
        value,
        b"python"
            | b"js"
            | b"go"
            | b"java"
            | b"kotlin"
            | b"ruby"
            | b"csharp"
            | b"Linux"
            | b"MacOS"
            | b"Windows"
            | b"x64"
            | b"arm64"
            | b"x32"
            | b"arm"
            | b"CPython"
            | b"node"
            | b"deno"
            | b"bun"
            | b"browser"
            | b"unknown"
            | b"Unknown"
            | b"false"
            | b"true"
            | b"async:asyncio"
            | b"NOT_GIVEN"
            | b"stream"
            | b"raw"
    ) || is_version(value)
}

/// A version or a small number: `v20.11.0`, `3.12.1`, `600`, `0`.
pub(super) fn is_version(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"v").unwrap_or(value);
    let groups = value.split(|b| *b == b'.');
    groups.clone().count() <= 3
        && groups.clone().all(|g| (1..=3).contains(&g.len()) && g.iter().all(u8::is_ascii_digit))
}

fn is_label(value: &[u8]) -> bool {
    value.len() <= 64
        && value.iter().all(|b| b.is_ascii_alphanumeric() || b" ._:+()/-".contains(b))
        && value.iter().filter(|b| b.is_ascii_digit()).count() < 7
}

fn is_date(value: &[u8]) -> bool {
    value.len() == 10
        && value
            .iter()
            .enumerate()
            .all(|(i, b)| if matches!(i, 4 | 7) { *b == b'-' } else { b.is_ascii_digit() })
        && matches!(value[0], b'1' | b'2')
}

/// The names of a list that can be names of beta features.
fn betas(value: &HeaderValue, owner: &Owner<'_>, ledger: &mut Ledger) -> Option<HeaderValue> {
    let whole = value.to_str().ok().filter(|w| w.len() <= HEADER_VALUE_BYTES_MAX)?;
    let mut kept = Vec::new();
    let mut changed = false;
    for beta in whole.split(',').map(str::trim).filter(|b| !b.is_empty()) {
        if is_beta(beta, owner, ledger) {
            kept.push(beta);
        } else {
            changed = true;
        }
    }
    match (kept.is_empty(), changed) {
        (true, _) => None,
        (false, false) => Some(value.clone()),
        (false, true) => HeaderValue::from_str(&kept.join(",")).ok(),
    }
}

/// `prompt-caching-2024-07-31`, `assistants=v2`: small letters, few digits but for a date.
fn is_beta(beta: &str, owner: &Owner<'_>, ledger: &mut Ledger) -> bool {
    let name = match beta.len().checked_sub(10).map(|at| beta.as_bytes().split_at(at)) {
        Some((name, date)) if is_date(date) && matches!(name.last(), Some(b'-' | b'=' | b'_')) => {
            &beta[..name.len() - 1]
        }
        _ => beta,
    };
    let plain = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.=".contains(&b))
        && name.bytes().filter(u8::is_ascii_digit).count() < 7;
    if !plain || owner.shown.are_in(beta) {
        return false;
    }
    if owner.rules.is_harmless(name) {
        return true;
    }
    let (_, found) = redact::text(owner.rules, name);
    ledger.absorb(&found);
    found.is_empty()
}

/// The key as it is, if it says nothing; else one that is as much its own, for this organisation
/// and this process.
fn idempotency_key(value: &HeaderValue, owner: &Owner<'_>) -> HeaderValue {
    let says_nothing = value.to_str().is_ok_and(|text| {
        text.len() <= 255
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:=".contains(&b))
            && text.bytes().any(|b| b.is_ascii_alphabetic())
            && !owner.shown.are_in(text)
            && (owner.rules.is_harmless(text) || redact::text(owner.rules, text).1.is_empty())
    });
    if says_nothing { value.clone() } else { digest(owner.org, value.as_bytes()) }
}

/// A digest that stands for a key: without this process's secret no key can be tried against it.
fn digest(org: &str, key: &[u8]) -> HeaderValue {
    static SALT: LazyLock<[u8; 32]> = LazyLock::new(|| {
        let mut salt = [0; 32];
        // Without randomness the digest is still one.
        let _ = aws_lc_rs::rand::fill(&mut salt);
        salt
    });
    let mut context = Context::new(&SHA256);
    context.update(&*SALT);
    context.update(&(org.len() as u64).to_be_bytes());
    context.update(org.as_bytes());
    context.update(key);
    let mut text = "tollgate-".to_owned();
    for byte in &context.finish().as_ref()[..16] {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    HeaderValue::from_str(&text).unwrap_or(const { HeaderValue::from_static("tollgate") })
}

/// Answer headers that may reach the client.
pub fn returning(provider: &HeaderMap) -> HeaderMap {
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
        header::CONTENT_TYPE
        | header::CONTENT_ENCODING
        | header::CACHE_CONTROL
        | header::RETRY_AFTER => true,
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
        value.to_str().is_ok_and(|v| {
            v.split(',').any(|option| option.trim().eq_ignore_ascii_case(name.as_str()))
        })
    })
}

#[cfg(test)]
mod tests;
