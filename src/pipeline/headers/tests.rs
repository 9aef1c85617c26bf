use super::*;
use crate::redact::RulesSpec;

fn rules(entities: &[&str]) -> Rules {
    let entities = entities.iter().map(|e| (*e).to_owned()).collect();
    Rules::compile(&RulesSpec { entities, ..RulesSpec::default() }).expect("rules")
}

fn given(headers: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("name");
        map.append(name, HeaderValue::from_bytes(value).expect("value"));
    }
    map
}

/// The headers that leave, in the order of their names.
fn left(headers: &[(&str, &[u8])], forward: &[&str]) -> Vec<(String, String)> {
    let client = given(headers);
    let (rules, shown) = (rules(&["email", "phone"]), Shown::in_headers(&client));
    let owner = Owner { rules: &rules, org: "acme", shown: &shown };
    let forward: Vec<HeaderName> = forward.iter().map(|name| name.parse().expect("name")).collect();
    let leaving = leaving(&client, &owner, forward.iter());
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut left: Vec<_> = leaving.common.iter().chain(&leaving.forwarded).map(pair).collect();
    left.sort();
    left
}

fn one(name: &str, value: &[u8]) -> Option<String> {
    let mut left = left(&[(name, value)], &["x-team"]);
    assert!(left.len() < 2, "{left:?}");
    left.pop().map(|(_, value)| value)
}

#[test]
fn only_listed_headers_leave() {
    let sent: Vec<(&str, &[u8])> = [
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
        ("openai-anything", "p"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-api-key", "k"),
        ("anthropic-anything", "k"),
        ("x-stainless-lang", "js"),
        ("x-stainless-auth", "k"),
        ("idempotency-key", "i"),
        ("x-forwarded-for", "1"),
        ("connection", "close, X-Stainless-Os, x-hop"),
        ("x-stainless-os", "Linux"),
        ("x-hop", "h"),
        ("te", "trailers"),
        ("accept-encoding", "gzip"),
        ("content-length", "3"),
    ]
    .map(|(name, value)| (name, value.as_bytes()))
    .into();
    let names: Vec<String> =
        left(&sent, &["x-hop", "x-api-key"]).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "accept",
        "anthropic-version",
        "content-type",
        "idempotency-key",
        "openai-beta",
        "user-agent",
        "x-stainless-lang",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_headers_of_sdks_leave_as_they_are() {
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("accept", "text/event-stream;q=0.5, */*"),
        ("user-agent", "OpenAI/Python 1.99.9"),
        ("user-agent", "AsyncAnthropic/Python 0.64.0"),
        ("user-agent", "OpenAI/JS 5.12.2"),
        ("user-agent", "python-requests/2.32.4"),
        ("x-stainless-lang", "python"),
        ("x-stainless-package-version", "1.99.9"),
        ("x-stainless-package-version", "5.0.0-beta.1"),
        ("x-stainless-os", "Other:Haiku R1"),
        ("x-stainless-runtime-version", "v20.11.0"),
        ("x-stainless-async", "async:asyncio"),
        ("x-stainless-timeout", "600"),
        ("x-stainless-read-timeout", "600.0"),
        ("x-stainless-retry-count", "0"),
        ("x-stainless-helper-method", "chat.completions.stream"),
        ("openai-beta", "assistants=v2"),
        ("openai-beta", "responses_websockets=2026-02-06"),
        ("anthropic-beta", "prompt-caching-2024-07-31,max-tokens-3-5-sonnet-2024-07-15"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("idempotency-key", "stainless-python-retry-2f1e9b0c-1234-4678-9abc-0123456789ab"),
        ("x-team", "blue"),
        ("x-team", "50% of \u{e9}"),
    ] {
        assert_eq!(one(name, value.as_bytes()).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn values_are_redacted_or_left_out() {
    for (name, value, expected) in [
        ("user-agent", "acme/1.0 (jane.roe@example.com)", Some("acme/1.0 ([REDACTED_EMAIL])")),
        ("user-agent", "acme/1.0 (+1 415 555 0132)", Some("acme/1.0 ([REDACTED_PHONE])")),
        ("user-agent", "acme (jane.roe%40example.com)", None),
        ("user-agent", "acme sk-proj-abcdefgh", None),
        (
            "content-type",
            "application/json; charset=utf-8; by=jane.roe@example.com",
            Some("application/json"),
        ),
        ("content-type", "APPLICATION/json;x=+14155550132", Some("application/json")),
        ("content-type", "text/plain; by=jane.roe@example.com", None),
        ("accept", "application/json; by=jane.roe@example.com", Some("application/json")),
        ("accept", "x/jane, */*;q=0.8;by=jane.roe@example.com", Some("*/*;q=0.8")),
        ("accept", "*/*;q=4155550132", Some("*/*")),
        ("accept", "jane.roe@example.com", None),
        ("x-stainless-os", "jane.roe@example.com", None),
        ("x-stainless-lang", "4155550132", None),
        ("x-stainless-timeout", "+1 415 555 0132", None),
        ("x-stainless-runtime", "Bearer tg-lab-key", None),
        ("x-stainless-arch", "tg-labkey", None),
        ("openai-beta", "jane.roe@example.com", None),
        ("openai-beta", "assistants=v2, jane.roe@example.com", Some("assistants=v2")),
        ("anthropic-beta", "context-1m-2025-08-07,x=14155550132", Some("context-1m-2025-08-07")),
        ("anthropic-beta", "a-415-555-0132", None),
        ("anthropic-beta", "sk-ant-abcdef", None),
        ("anthropic-version", "+14155550132", None),
        ("anthropic-version", "jane.roe@example.com", None),
        ("anthropic-dangerous-direct-browser-access", "jane.roe@example.com", None),
        ("x-team", "jane.roe@example.com", Some("[REDACTED_EMAIL]")),
        (
            "x-team",
            "{\"mail\":\"jane.roe\\u0040example.com\"}",
            Some("{\"mail\":\"[REDACTED_EMAIL]\"}"),
        ),
        ("x-team", "jane.roe%2540example.com", None),
        ("x-team", "%2B14155550132", None),
        ("x-team", "tg-lab-key", None),
        ("x-team", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", None),
        ("x-team", "Bearer%20abc", None),
        ("x-team", "Basic dXNlcjpwYXNz", None),
    ] {
        assert_eq!(one(name, value.as_bytes()).as_deref(), expected, "{name}: {value}");
    }
    // Not UTF-8, empty, and long.
    assert_eq!(one("x-team", b"jane.roe\xff@example.com"), None);
    assert_eq!(one("user-agent", b"\xe9"), None);
    assert_eq!(one("x-team", b""), Some(String::new()));
    assert_eq!(one("x-team", &vec![b'x'; HEADER_VALUE_BYTES_MAX + 1]), None);
    let long = format!("{} jane.roe@example.com", "x ".repeat(490));
    assert!(one("x-team", long.as_bytes()).is_some_and(|v| v.ends_with(" [REDACTED_EMAIL]")));
}

#[test]
fn each_value_counts_where_there_are_several() {
    let twice =
        [("x-team", &b"a"[..]), ("x-team", b"jane.roe@example.com"), ("x-team", b"tg-lab-key")];
    let expected = ["a", "[REDACTED_EMAIL]"].map(|value| ("x-team".to_owned(), value.to_owned()));
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(left(&twice, &["x-team", "X-Team"]), sorted);
    let types =
        [("content-type", &b"application/json"[..]), ("content-type", b"x/jane.roe@example.com")];
    assert_eq!(left(&types, &[]), [("content-type".to_owned(), "application/json".to_owned())]);
    // The caller's own credential, whatever it looks like and wherever it stands.
    let shown =
        [("authorization", &b"Bearer odd-credential"[..]), ("user-agent", b"x odd-credential/1")];
    assert!(left(&shown, &[]).is_empty());
}

#[test]
fn idempotency_keys_stay_apart() {
    let rules = rules(&["email", "phone"]);
    let none = HeaderMap::new();
    let shown = Shown::in_headers(&none);
    let key = |org: &str, key: &[u8]| {
        let owner = Owner { rules: &rules, org, shown: &shown };
        let key = idempotency_key(&HeaderValue::from_bytes(key).expect("value"), &owner);
        key.to_str().expect("text").to_owned()
    };
    for personal in [
        &b"jane.roe@example.com"[..],
        b"+14155550132",
        b"4155550132",
        b"a b",
        b"\xff",
        b"tg-lab-key",
        b"",
    ] {
        let digest = key("acme", personal);
        assert!(digest.starts_with("tollgate-") && digest.len() == 41, "{digest}");
        assert_eq!(digest, key("acme", personal));
        assert_ne!(digest, key("other", personal));
        assert_ne!(digest, key("acme", &[personal, b"@"].concat()));
    }
    assert_eq!(key("acme", b"order-17"), "order-17");
}

#[test]
fn only_useful_headers_come_back() {
    let mut answered = HeaderMap::new();
    for name in [
        "content-type",
        "x-request-id",
        "set-cookie",
        "server",
        "openai-organization",
        "anthropic-organization-id",
        "transfer-encoding",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-remaining-requests",
        "location",
        "alt-svc",
    ] {
        answered.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
    }
    let passed = returning(&answered);
    let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "x-ratelimit-remaining-tokens"]);
}
