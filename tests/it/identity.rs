//! Who calls: tokens, keys, passthrough, anonymous; and that none of it reaches a provider.

use aws_lc_rs::digest;
use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Reply, SECRET, Setup, chat, eventually, jwt, sign};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn ask(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    gateway.send("POST", "/v1/chat/completions", headers, chat("hi").to_string().as_bytes())
}

fn token(claims: Value) -> String {
    sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET)
}

const FAR: u64 = 4_000_000_000;

#[test]
fn tokens_that_do_not_verify_are_refused() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let claims = json!({"org_id": "acme", "exp": FAR});
    let good = jwt("acme");
    let (head, rest) = good.split_once('.').unwrap();
    let bad = [
        sign(&json!({"alg": "none"}), &claims, SECRET),
        sign(&json!({"alg": "HS512"}), &claims, SECRET),
        sign(&json!({"alg": "HS256", "crit": ["x"], "x": 1}), &claims, SECRET),
        sign(
            &json!({"alg": "HS256", "typ": "JWT"}),
            &claims,
            "another-secret-of-enough-bytes-here",
        ),
        token(json!({"org_id": "acme", "exp": 1000})),
        token(json!({"org_id": "acme"})),
        token(json!({"org_id": "acme", "exp": "4000000000"})),
        token(json!({"org_id": "acme", "exp": FAR, "nbf": FAR - 1})),
        format!("{head}.{rest}="),
        format!("{good}.x"),
        format!("{head}."),
        good[..good.len() - 2].to_owned(),
    ];
    for token in &bad {
        let reply = ask(&gateway, &[("authorization", &format!("Bearer {token}"))]);
        reply.refused(401, "invalid_token");
        assert!(!reply.text().contains(token.as_str()));
    }
    for authorization in
        ["Bearer", "Bearer ", "Basic YTpi", &format!("Bearer {good}, Bearer {good}")]
    {
        let reply = ask(&gateway, &[("authorization", authorization)]);
        assert_eq!(reply.status, 401, "{authorization}: {}", reply.text());
    }
    let twice = format!("Bearer {good}");
    assert_eq!(ask(&gateway, &[("authorization", &twice), ("authorization", &twice)]).status, 401);
    ask(&gateway, &[]).refused(401, "missing_token");
    assert_eq!(provider.seen().len(), 0);
    ask(&gateway, &[("authorization", &format!("bearer {good}"))]).ok();
    // Nobody known called, so there are no rows but the last.
    assert_eq!(gateway.only_row()["org_id"], "acme");
    gateway.reaches("tollgate_auth_failures_total", 17.0);
}

/// Every refusal is told to operators with its reason, and to clients in general words.
#[test]
fn operators_learn_why_a_token_was_refused() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "auth",
            &format!("jwt: {{secret: \"{SECRET}\", issuer: \"https://id\", audience: api}}"),
        )
        .start();
    let good = json!({"org_id": "acme", "iss": "https://id", "aud": "api", "exp": FAR});
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        claims
    };
    let header = json!({"alg": "HS256", "kid": "key-7"});
    let expired = sign(&header, &with("exp", json!(1000)), SECRET);
    let other = "another-secret-of-enough-bytes-here";
    let cases = [
        ("expired", expired.clone()),
        ("not_yet_valid", sign(&header, &with("nbf", json!(FAR - 1)), SECRET)),
        ("audience", sign(&header, &with("aud", json!("other")), SECRET)),
        ("issuer", sign(&header, &with("iss", json!("https://jane@example.com")), SECRET)),
        ("claims", sign(&header, &with("exp", json!("soon")), SECRET)),
        ("no_org", sign(&header, &with("org_id", json!([])), SECRET)),
        ("signature", sign(&header, &with("exp", json!(1000)), other)),
        ("algorithm", sign(&json!({"alg": "ES256", "kid": "key-7"}), &good, SECRET)),
        ("malformed", format!("{expired}.x")),
        ("unknown_key", "tg-0123456789abcdef0123456789abcdef".to_owned()),
        ("not_accepted", "sk-somebody".to_owned()),
    ];
    for (reason, token) in &cases {
        let bearer = format!("Bearer {token}");
        let name = format!("call-{reason}");
        let reply = ask(&gateway, &[("authorization", &bearer), ("x-request-id", &name)]);
        assert!(matches!(reply.status, 401 | 403), "{reason}: {}", reply.text());
        assert_eq!(reply.text().contains("expired"), *reason == "expired", "{}", reply.text());
        let series = format!("reason=\"{reason}\"");
        let metrics = gateway.operators("/metrics").ok().text().to_owned();
        let count = metrics.lines().find(|line| line.contains(&series)).expect("a series");
        assert!(count.ends_with(" 1"), "{count}");
        let line = eventually("a log line", || {
            let printed = gateway.printed();
            printed.lines().find(|line| line.contains(&name)).map(str::to_owned)
        });
        let said = format!("reason=\"{reason}\"");
        assert!(line.contains("credential refused") && line.contains(&said), "{line}");
        if !matches!(*reason, "malformed" | "unknown_key" | "not_accepted") {
            assert!(line.contains("kid=\"key-7\""), "{line}");
        }
    }
    ask(&gateway, &[]).refused(401, "missing_token");
    let shown = gateway.operators("/api/auth").ok().json();
    let list = shown["refused"].as_array().expect("a list");
    assert_eq!(list.len(), cases.len() + 1, "{shown}");
    let of = |reason: &str| list.iter().find(|one| one["reason"] == reason).expect("it").clone();
    assert_eq!(of("expired")["latest"]["kid"], "key-7");
    assert_eq!(of("expired")["latest"]["iss"], "https://id");
    assert_eq!(of("audience")["latest"]["request_id"], "call-audience");
    // Only the first few are logged; all are counted. No token, and no personal data, is told.
    for _ in 0..20 {
        ask(&gateway, &[("authorization", &format!("Bearer {expired}"))]);
    }
    let list = gateway.operators("/api/auth").ok().json();
    let list = list["refused"].as_array().expect("a list").clone();
    let expired_calls = list.iter().find(|one| one["reason"] == "expired").expect("it");
    assert_eq!(expired_calls["calls"], 21);
    let printed = gateway.printed();
    assert_eq!(printed.matches("reason=\"expired\"").count(), 5, "{printed}");
    for text in [printed, shown.to_string()] {
        assert!(!text.contains("jane@example.com"), "{text}");
        for (_, token) in &cases {
            assert!(!text.contains(token.as_str()), "{text}");
        }
    }
}

#[test]
fn the_organisation_is_a_claim() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "auth",
            &format!(
                "jwt: {{secret: \"{SECRET}\", org_claim: app.org, issuer: \"https://id\", \
                audience: api}}"
            ),
        )
        .start();
    let good = json!({"app": {"org": "acme"}, "iss": "https://id", "aud": ["x", "api"], "exp": FAR, "sub": "jane"});
    let with = |path: &str, value: Value| {
        let mut claims = good.clone();
        match path.split_once('.') {
            Some((outer, inner)) => claims[outer][inner] = value,
            None => claims[path] = value,
        }
        ask(&gateway, &[("authorization", &format!("Bearer {}", token(claims)))])
    };
    with("sub", json!("jane")).ok();
    with("app.org", json!(4711)).ok();
    let rows = gateway.rows(2);
    assert_eq!((&rows[0]["org_id"], &rows[0]["caller"]), (&json!("acme"), &json!("jane")));
    assert_eq!(rows[1]["org_id"], "4711");
    for wrong in [
        json!(null),
        json!(""),
        json!(["acme"]),
        json!({}),
        json!("a b"),
        json!("x".repeat(200)),
        json!("a\nb"),
    ] {
        with("app.org", wrong).refused(403, "org_missing");
    }
    for (claim, wrong) in [
        ("iss", json!("https://id/")),
        ("iss", json!(["https://id"])),
        ("iss", json!(null)),
        ("aud", json!("other")),
        ("aud", json!([])),
    ] {
        with(claim, wrong).refused(401, "invalid_token");
    }
    // A name in a header or body is no identity.
    let bearer = format!("Bearer {}", token(good.clone()));
    ask(
        &gateway,
        &[
            ("authorization", &bearer),
            ("openai-organization", "other"),
            ("x-org-id", "other"),
            ("x-tollgate-org", "other"),
        ],
    )
    .ok();
    assert_eq!(gateway.rows(3)[2]["org_id"], "acme");
}

#[test]
fn gateway_keys_are_kept_as_digests() {
    let provider = Provider::start();
    let key = "tg-0123456789abcdef0123456789abcdef";
    let gateway = Setup::new(&provider)
        .section(
            "auth",
            &format!(
                "jwt: {{secret: \"{SECRET}\"}}\nkeys: [{{name: ci, sha256: {}, org: acme}}]",
                sha256(key)
            ),
        )
        .start();
    ask(&gateway, &[("authorization", &format!("Bearer {key}"))]).ok();
    ask(&gateway, &[("x-tollgate-token", key)]).ok();
    ask(&gateway, &[("authorization", "Bearer tg-unknown")]).refused(401, "invalid_token");
    for seen in provider.seen() {
        assert_eq!(seen.header("authorization"), Some("Bearer sk-gateway-own-key"));
        assert!(!format!("{seen:?}").contains(key));
    }
    let rows = gateway.rows(2);
    assert!(rows.iter().all(|row| row["org_id"] == "acme" && row["caller"] == "ci"), "{rows:?}");
}

#[test]
fn passthrough_uses_the_caller_s_key_only() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let own = "sk-callers-own-key-123";
    ask(&gateway, &[("authorization", &format!("Bearer {own}"))]).ok();
    assert_eq!(
        provider.take_seen()[0].header("authorization"),
        Some(format!("Bearer {own}").as_str())
    );
    // Stored objects belong to the caller's own account, so they are open to it.
    let reply = gateway.send(
        "GET",
        "/v1/files/file-1",
        &[("authorization", &format!("Bearer {own}"))],
        b"",
    );
    reply.ok();
    assert_eq!(
        provider.take_seen()[0].header("authorization"),
        Some(format!("Bearer {own}").as_str())
    );
    // A token beside the caller's own key: the organisation is the token's, the key is the
    // caller's.
    ask(
        &gateway,
        &[("authorization", &format!("Bearer {own}")), ("x-tollgate-token", &jwt("acme"))],
    )
    .ok();
    let seen = provider.take_seen();
    assert_eq!(seen[0].header("authorization"), Some(format!("Bearer {own}").as_str()));
    assert_eq!(seen[0].header("x-tollgate-token"), None);
    let orgs = crate::support::eventually("the calls in the log", || {
        let rows = gateway.rows(2);
        let orgs: Vec<String> =
            rows.iter().map(|row| row["org_id"].as_str().unwrap().to_owned()).collect();
        orgs.contains(&"acme".to_owned()).then_some(orgs)
    });
    assert_eq!(orgs[0], format!("key-{}", &sha256(own)[..12]));
    // The provider refuses the caller's key: that is the caller's business.
    provider.script([crate::support::step::error(401, "invalid_api_key")]);
    assert_eq!(ask(&gateway, &[("authorization", &format!("Bearer {own}"))]).status, 401);
    assert!(!gateway.printed().contains(own));
}

#[test]
fn a_gateway_that_takes_no_passthrough_refuses_foreign_keys() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("auth", &format!("accept: [jwt]\njwt: {{secret: \"{SECRET}\"}}"))
        .start();
    let reply = ask(&gateway, &[("authorization", "Bearer sk-foreign")]);
    assert_eq!(reply.status, 401, "{}", reply.text());
    ask(&gateway, &[("authorization", &format!("Bearer {}", jwt("acme")))]).ok();
    assert_eq!(provider.only().header("authorization"), Some("Bearer sk-gateway-own-key"));
}

#[test]
fn anonymous_calls_are_taken_where_allowed() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("auth", &format!("accept: [jwt, anonymous]\njwt: {{secret: \"{SECRET}\"}}"))
        .start();
    ask(&gateway, &[]).ok();
    assert_eq!(gateway.only_row()["org_id"], "anonymous");
    ask(&gateway, &[("authorization", &format!("Bearer {}x", jwt("acme")))])
        .refused(401, "invalid_token");
}
