//! Long request bodies that a provider does not take to their end.

use serde_json::json;

use crate::support::fault::{CHAT, Stage, row};
use crate::support::step::{self, Act, at_head};
use crate::support::{Connection, Gateway, Provider, Reply, Setup, eventually, jwt, request};

/// A chat call of so many bytes of text, with an address in it.
fn upload(gateway: &Gateway, id: &str, length: usize) -> Reply {
    let text = format!("jane@example.com {}", "word ".repeat(length / 5));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("x-request-id", id)];
    Connection::open(gateway.apps).send(&request("POST", CHAT, &headers, body.as_bytes())).reply()
}

#[test]
fn an_upload_that_is_reset_is_repeated_if_all_of_it_is_kept() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("retry", "{base_delay: 10ms, max_delay: 20ms, replay_bytes: 512KiB}")
        .start();
    let stage = Stage::new(&gateway, &provider);
    // Reset behind its first bytes; there is room for all of it.
    provider.script([at_head(vec![Act::Take(1000), Act::Reset])]);
    upload(&gateway, "short", 300_000).ok();
    let seen = provider.take_seen();
    assert_eq!(seen.iter().map(|seen| seen.complete).collect::<Vec<_>>(), [false, true]);
    assert!(seen[1].text().contains("[REDACTED_EMAIL] word") && seen[1].body.len() > 300_000);
    assert_eq!(
        (&row(&gateway, "short")["attempts"], &row(&gateway, "short")["outcome"]),
        (&json!(2), &json!("ok"))
    );
    stage.well_again("short");
    // Reset when more has been sent than is kept.
    provider.script([at_head(vec![Act::Take(4 << 20), Act::Reset])]);
    let reply = upload(&gateway, "long", 8 << 20);
    reply.refused(503, "provider_unavailable");
    assert_eq!(provider.take_seen().len(), 1);
    let row = row(&gateway, "long");
    assert_eq!(
        (&row["attempts"], &row["outcome"], &row["status"]),
        (&json!(1), &json!("provider_error"), &json!(503))
    );
    stage.well_again("long");
    stage.is_quiet();
}

#[test]
fn an_answer_before_the_end_of_the_upload_ends_it() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let stage = Stage::new(&gateway, &provider);
    // Longer than what the sockets on its way may hold: else all of it has been sent, and the
    // connection is of use.
    let length = 64 << 20;
    for status in [413, 400] {
        let id = status.to_string();
        // The answer comes when a part is there; the rest is waited for and not read.
        let (gate, go) = step::gate();
        let answer = step::with_headers(
            status,
            &[("content-type", "application/json")],
            br#"{"error":{"message":"m"}}"#,
        );
        provider.script([at_head([vec![Act::Take(1000)], answer, vec![gate, Act::Hold]].concat())]);
        let closed = provider.closed_by_peer();
        let reply = upload(&gateway, &id, length);
        assert_eq!((reply.status, reply.text()), (status, r#"{"error":{"message":"m"}}"#), "{id}");
        go.send(()).unwrap();
        eventually("the provider's connection closed", || {
            (provider.closed_by_peer() > closed).then_some(())
        });
        let row = row(&gateway, &id);
        assert_eq!(
            (&row["attempts"], &row["outcome"], &row["status"]),
            (&json!(1), &json!("client_error"), &json!(status))
        );
        provider.take_seen();
        stage.well_again(&id);
    }
    stage.is_quiet();
}
