//! Clients that leave, dawdle or misbehave: their calls end, nobody else's is harmed, and all is as before.

use serde_json::json;

use crate::support::fault::{CHAT, Stage, row};
use crate::support::step::{self, Act, Step};
use crate::support::{Gateway, Provider, eventually, jwt, request};

fn then(mut step: Step, end: Act) -> Step {
    step.push(end);
    step
}

/// Where a client leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    InItsBody,
    WaitingForTheHead,
    BetweenAttempts,
    InTheStream,
}

#[test]
fn a_client_that_leaves_ends_its_call_wherever_it_is() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let stage = Stage::new(&gateway, &provider);
    let table = [
        (Leaves::InItsBody, vec![], 0, 0),
        (Leaves::WaitingForTheHead, vec![step::silence()], 1, 1),
        (Leaves::BetweenAttempts, vec![step::with_headers(503, &[("retry-after", "9")], b"{}")], 1, 1),
        (Leaves::InTheStream, vec![then(step::sse_open(&step::chat_events(&["one "], true)[..2]), Act::Hold)], 1, 1),
    ];
    for (leaves, script, sees, attempts) in table {
        let name = format!("{leaves:?}");
        provider.take_seen();
        let closed = provider.closed_by_peer();
        let held = matches!(leaves, Leaves::WaitingForTheHead | Leaves::InTheStream);
        provider.script(script);
        let bearer = format!("Bearer {}", jwt("acme"));
        let headers = [("authorization", bearer.as_str()), ("x-request-id", name.as_str())];
        let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
        let bytes = request("POST", CHAT, &headers, body.as_bytes());
        let mut connection = gateway.connect();
        match leaves {
            Leaves::InItsBody => {
                connection.send(&bytes[..bytes.len() - 5]);
                eventually("the call at work", || (gateway.metric("tollgate_requests_in_flight") > 0.5).then_some(()));
            }
            Leaves::InTheStream => {
                connection.send(&bytes).head().unwrap();
                connection.chunks_until("one ");
            }
            Leaves::WaitingForTheHead | Leaves::BetweenAttempts => {
                connection.send(&bytes);
                provider.wait_for(1);
                eventually("the attempt's end", || {
                    let over = gateway.metric("tollgate_retries_total{provider=\"openai\"") > 0.5;
                    (over || leaves == Leaves::WaitingForTheHead).then_some(())
                });
            }
        }
        drop(connection);
        let row = row(&gateway, &name);
        let expected = (&json!("client_disconnect"), &json!(attempts));
        assert_eq!((&row["outcome"], &row["attempts"]), expected, "{name}: {row:?}");
        assert_eq!(row["status"], 499, "{name}");
        if held {
            eventually("the provider's connection closed", || (provider.closed_by_peer() > closed).then_some(()));
        }
        let seen = provider.take_seen().into_iter().filter(|seen| seen.complete).count();
        assert_eq!(seen, sees, "{name}");
        stage.well_again(&name);
    }
    stage.is_quiet();
}
