//! The SDK of a caller, as its headers name it.
//!
//! Stage 5 of the walk. Pure. Guarantees: a short name of letters, digits and a few marks, without
//! what looks like a credential or would be redacted; nothing else of the headers. Does not:
//! believe it (a caller can send any name), or tell tools apart that send the same headers.
//!
//! # Source
//! openai-python, openai-node, anthropic-sdk-python and -typescript send `user-agent: OpenAI/Python
//! 2.9.0` and `x-stainless-lang`, `x-stainless-package-version` (seen in their sources, November
//! 2026).

use http::{HeaderMap, HeaderName, header};

use super::credential::{SHOWN_BYTES_MIN, Shown};
use super::headers::{self, is_constant, is_sdk};
use crate::redact::{self, Rules};

/// The longest name that is kept; a longer one is cut.
const CLIENT_BYTES_MAX: usize = 48;
const LANGUAGE: HeaderName = HeaderName::from_static("x-stainless-lang");
const VERSION: HeaderName = HeaderName::from_static("x-stainless-package-version");

/// Name and version, `openai-python/2.9.0`; empty if the headers name none, or if something in it
/// would be redacted.
pub fn of(head: &HeaderMap, rules: &Rules) -> String {
    let text = |name: HeaderName| head.get(name).and_then(|value| value.to_str().ok());
    let agent = text(header::USER_AGENT);
    let mut words = agent.unwrap_or_default().split_ascii_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let language = text(LANGUAGE).unwrap_or_default();
    let version = text(VERSION).unwrap_or_default();
    let name = match first.split_once('/') {
        // `AsyncOpenAI/Python 2.9.0`
        Some((product, _)) if !version.is_empty() => {
            let product = product.strip_prefix("Async").unwrap_or(product);
            plain([product, "-", language, "/", version])
        }
        None if !version.is_empty() => plain(["stainless-", language, "/", version, ""]),
        // Version and language are apart here, too.
        Some((_, language)) if is_version(second) && !is_version(language) => {
            plain([first, "/", second, "", ""]).replacen('/', "-", 1)
        }
        _ => plain([first, "", "", "", ""]),
    };
    let is_known = agent.is_some_and(|agent| is_sdk(agent.as_bytes()))
        && (language.is_empty() || is_constant(language.as_bytes()))
        && (version.is_empty() || headers::is_version(version.as_bytes()));
    if is_known {
        return name;
    }
    let shown = Shown::in_headers(head);
    let mut parts =
        [first, second, language, version].into_iter().filter(|part| part.len() >= SHOWN_BYTES_MIN);
    let says_more = parts.any(|part| shown.are_in(part))
        || !(rules.is_harmless(&name) || redact::text(rules, &name).1.is_empty());
    if says_more { String::new() } else { name }
}

fn is_version(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
}

/// The parts in lower case; empty if one holds a character that no name has.
fn plain(parts: [&str; 5]) -> String {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./+".contains(b);
    let mut all = parts.iter().flat_map(|part| part.bytes());
    if !all.clone().all(|b| is_plain(&b)) {
        return String::new();
    }
    let mut name = String::with_capacity(CLIENT_BYTES_MAX);
    name.extend(all.by_ref().take(CLIENT_BYTES_MAX).map(|b| char::from(b.to_ascii_lowercase())));
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { String::new() }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::redact::RulesSpec;

    #[test]
    fn sdks_are_named_with_their_version() {
        let long = "x".repeat(100);
        let rules = Rules::compile(&RulesSpec::default()).expect("rules");
        for (agent, language, version, expected) in [
            ("OpenAI/Python 2.9.0", "python", "2.9.0", "openai-python/2.9.0"),
            ("AsyncOpenAI/Python 2.9.0", "python", "2.9.0", "openai-python/2.9.0"),
            ("OpenAI/JS 6.1.0", "js", "6.1.0", "openai-js/6.1.0"),
            ("Anthropic/Python 0.79.0", "python", "0.79.0", "anthropic-python/0.79.0"),
            ("OpenAI/Go 3.0.1", "", "", "openai-go/3.0.1"),
            ("", "java", "1.2.3", "stainless-java/1.2.3"),
            ("curl/8.5.0", "", "", "curl/8.5.0"),
            ("python-httpx/0.28.1", "", "", "python-httpx/0.28.1"),
            ("Mozilla/5.0 (X11; Linux)", "", "", "mozilla/5.0"),
            ("codex_cli_rs/0.60.1 (Debian 12)", "", "", "codex_cli_rs/0.60.1"),
            ("node", "", "", "node"),
            ("jane.doe@example.com", "", "", ""),
            ("+14155550132", "", "", ""),
            ("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD", "", "", ""),
            ("sk-ant-api03-abcdef", "", "", ""),
            ("sdk/1.0", "python", "sk-ant-api03-abcdef", ""),
            ("Bearer tg-lab-key", "", "", ""),
            ("", "", "", ""),
            (&long, "", "", &long[..CLIENT_BYTES_MAX]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                ("user-agent", agent),
                ("x-stainless-lang", language),
                ("x-stainless-package-version", version),
            ] {
                let value = HeaderValue::from_str(value).expect("a value");
                if !value.is_empty() {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
            assert_eq!(of(&headers, &rules), expected, "{agent}");
        }
    }
}
