//! The gateway's own log: each failure, and each change of state that operators act on, is a line
//! that says enough to act.

use crate::support::{Gateway, Provider, Setup, chat, eventually, jwt, step};

/// The first line of the log that holds all of these.
fn line(gateway: &Gateway, parts: &[&str]) -> String {
    eventually(&format!("a line with {parts:?}"), || {
        let printed = gateway.printed();
        let mut lines = printed.lines();
        lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    })
}

fn ask(gateway: &Gateway, id: &str) -> u16 {
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("x-request-id", id)];
    let body = chat("hi").to_string();
    gateway.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).status
}

#[test]
fn a_server_error_names_provider_cause_attempts_and_call() {
    let provider = Provider::start();
    provider.always(step::error(503, "server_error"));
    let gateway = Setup::new(&provider)
        .section("retry", "{max_retries: 1, base_delay: 10ms, max_delay: 20ms}")
        .section("breaker", "{consecutive_failures: 3, open_for: 1s}")
        .start();
    assert_eq!(ask(&gateway, "first"), 503);
    let first = line(&gateway, &["call failed", "request_id=\"first\""]);
    for part in ["status=503", "code=\"provider_unavailable\"", "provider=\"openai\"", "attempts=2"]
    {
        assert!(first.contains(part), "{first}");
    }
    assert_eq!(first.matches("openai 503 ").count(), 2, "{first}");
    // The third failure opens the circuit.
    assert_eq!(ask(&gateway, "second"), 503);
    line(&gateway, &["WARN", "circuit opened", "provider=\"openai\""]);
    assert_eq!(ask(&gateway, "third"), 503);
    line(&gateway, &["call failed", "cause=\"openai open\"", "attempts=0", "request_id=\"third\""]);
    provider.always(step::chat("hello"));
    eventually("the circuit to close", || (ask(&gateway, "again") == 200).then_some(()));
    line(&gateway, &["INFO", "circuit closed", "provider=\"openai\""]);
    assert_eq!(gateway.printed().matches("circuit opened").count(), 1);
}

#[test]
fn a_key_that_a_provider_refuses_is_named() {
    let provider = Provider::start();
    provider.always(step::error(401, "invalid_api_key"));
    let gateway = Gateway::start(&provider);
    assert_eq!(ask(&gateway, "key"), 503);
    line(&gateway, &["ERROR", "refuses the gateway's key", "provider=\"openai\"", "status=401"]);
    line(&gateway, &["call failed", "openai key_refused ", "attempts=1", "request_id=\"key\""]);
}

#[test]
fn a_key_set_that_fails_is_named_once_and_not_for_every_call() {
    let (provider, keys) = (Provider::start(), Provider::start());
    keys.always(step::error(500, "server_error"));
    let gateway = Setup::new(&provider)
        .section(
            "auth",
            &format!(
                "jwt: {{jwks: \"http://{}/jwks?token=x\", algorithms: [ES256]}}",
                keys.address
            ),
        )
        .start();
    let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.c2lnbmF0dXJl";
    for _ in 0..5 {
        gateway.post("/v1/chat/completions", token, &chat("hi")).refused(401, "invalid_token");
    }
    let said = line(&gateway, &["ERROR", "the key set cannot be used", "status 500"]);
    assert!(said.contains(&format!("source=\"http://{}/jwks\"", keys.address)), "{said}");
    assert_eq!(gateway.printed().matches("the key set cannot be used").count(), 1);
    line(&gateway, &["credential refused", "reason=\"no_key_set\"", "kid=\"a\""]);
}

#[test]
fn start_and_stop_are_lines() {
    let provider = Provider::start();
    let mut gateway = Gateway::start(&provider);
    let (apps, operators) = (gateway.apps, gateway.operators);
    line(&gateway, &["INFO", "starting", "version=", "policy_version="]);
    line(&gateway, &["INFO", &format!("listening on http://{apps}")]);
    line(&gateway, &["INFO", &format!("operators on http://{operators}")]);
    gateway.stop();
    line(&gateway, &["INFO", "draining", "signal=\"SIGTERM\""]);
    line(&gateway, &["INFO", "stopped"]);
}
