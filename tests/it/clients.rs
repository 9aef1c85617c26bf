//! Clients that leave, dawdle or misbehave: their calls end, nobody else's is harmed, and all is as
//! before.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::fault::{CHAT, Stage, row};
use crate::support::step::{self, Act, Step};
use crate::support::{DEADLINE, Gateway, Provider, Setup, chat, eventually, jwt, request};

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
        (
            Leaves::BetweenAttempts,
            vec![step::with_headers(503, &[("retry-after", "9")], b"{}")],
            1,
            1,
        ),
        (
            Leaves::InTheStream,
            vec![then(step::sse_open(&step::chat_events(&["one "], true)[..2]), Act::Hold)],
            1,
            1,
        ),
    ];
    for (leaves, script, sees, attempts) in table {
        let name = format!("{leaves:?}");
        provider.take_seen();
        let closed = provider.closed_by_peer();
        let held = matches!(leaves, Leaves::WaitingForTheHead | Leaves::InTheStream);
        provider.script(script);
        let bearer = format!("Bearer {}", jwt("acme"));
        let headers = [("authorization", bearer.as_str()), ("x-request-id", name.as_str())];
        let body =
            json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]})
                .to_string();
        let bytes = request("POST", CHAT, &headers, body.as_bytes());
        let mut connection = gateway.connect();
        match leaves {
            Leaves::InItsBody => {
                connection.send(&bytes[..bytes.len() - 5]);
                eventually("the call at work", || {
                    (gateway.metric("tollgate_requests_in_flight") > 0.5).then_some(())
                });
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
            eventually("the provider's connection closed", || {
                (provider.closed_by_peer() > closed).then_some(())
            });
        }
        let seen = provider.take_seen().into_iter().filter(|seen| seen.complete).count();
        assert_eq!(seen, sees, "{name}");
        stage.well_again(&name);
    }
    stage.is_quiet();
}

/// Connections that send the head of a request byte by byte, and do not come to its end.
struct Dripping(Vec<TcpStream>);

impl Dripping {
    fn start(gateway: &Gateway, count: usize) -> Dripping {
        let open = || {
            let stream = TcpStream::connect(gateway.apps).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream
        };
        let mut all = Dripping((0..count).map(|_| open()).collect());
        all.drip("POST /v1/chat/completions HTTP/1.1\r\n");
        all
    }

    fn drip(&mut self, text: &str) {
        for byte in text.bytes() {
            for stream in &mut self.0 {
                // One that was closed shows it when it is read.
                let _ = stream.write_all(&[byte]);
            }
        }
    }
}

#[test]
fn heads_that_drip_take_places_and_no_more_than_that() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("bounds", "{connections: 60}").start();
    let stage = Stage::new(&gateway, &provider);
    // There is room for others: they are served while the heads go on.
    let mut dripping = Dripping::start(&gateway, 50);
    gateway.chat("acme", "hi").ok();
    dripping.drip("x-slow: aaaaaaaa");
    gateway.chat("acme", "hi").ok();
    // There is none: who drips beyond the bound is closed by the timer, and health is answered.
    let mut over = Dripping::start(&gateway, 40);
    over.drip("x-slow: a");
    let closed = || over.0.iter().filter(|stream| is_closed(stream)).count();
    eventually("those beyond the bound closed", || (closed() >= 29).then_some(()));
    assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
    assert_eq!(provider.seen().len(), 2, "none of them was a call");
    drop((dripping, over));
    only_one_connection(&gateway);
    stage.well_again("heads that drip");
    stage.is_quiet();
}

/// Waits until nothing is connected but what asks.
fn only_one_connection(gateway: &Gateway) {
    let connections = || gateway.metric("tollgate_connections ");
    eventually("one connection, that of the question", || (connections() < 1.5).then_some(()));
}

fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.peek(&mut [0]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn a_thousand_calls_that_are_reset_at_once_leave_nothing() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let stage = Stage::new(&gateway, &provider);
    let bearer = format!("Bearer {}", jwt("acme"));
    let body = chat("hi").to_string();
    for n in 0..1000 {
        let id = format!("reset-{n}");
        let call = request(
            "POST",
            CHAT,
            &[("authorization", &bearer), ("x-request-id", &id)],
            body.as_bytes(),
        );
        let mut stream = TcpStream::connect(gateway.apps).unwrap();
        // Some leave in their head, some in their body, some behind it.
        stream.write_all(&call[..call.len() - n % 3 * 70]).unwrap();
        // Linger of zero makes the system send a reset instead of an orderly end.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    stage.is_quiet();
    only_one_connection(&gateway);
    stage.well_again("a thousand resets");
    // Nobody has two rows, and nobody was asked about twice.
    let rows = gateway.rows(2);
    let mut ids: Vec<&str> = rows.iter().filter_map(|row| row["request_id"].as_str()).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(rows.iter().all(|row| row["attempts"].as_u64().is_some_and(|attempts| attempts <= 1)));
}

#[test]
fn who_a_client_says_it_is_for_changes_nothing() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // The PROXY protocol is not spoken here.
    for line in
        ["PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".as_bytes(), b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"]
    {
        let mut connection = gateway.connect();
        connection.send(&[line, &request("GET", "/v1/models", &[], b"")].concat());
        let status = connection.head_or_rubbish();
        assert!(status.is_none_or(|status| status == 400), "{status:?}");
    }
    let bearer = format!("Bearer {}", jwt("acme"));
    let said = [
        ("authorization", bearer.as_str()),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1;host=evil.example"),
        ("via", "1.1 evil"),
        ("x-original-url", "/v1/files"),
    ];
    gateway.send("POST", CHAT, &said, chat("hi").to_string().as_bytes()).ok();
    let seen = provider.only();
    for (name, _) in &said[1..] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("host"), Some(provider.address.to_string().as_str()));
    let row = gateway.only_row();
    assert!(!format!("{row:?}").contains("10.0.0.1"), "{row:?}");
}
