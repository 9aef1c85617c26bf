//! Providers that break HTTP: what a client gets is whole or clearly refused, and the next call is
//! not harmed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::step::{self, Act, Step};
use crate::support::{Gateway, Provider, Setup, chat, jwt, request};

fn raw(text: impl Into<Vec<u8>>) -> Step {
    vec![Act::Send(text.into())]
}

fn raw_then_close(text: impl Into<Vec<u8>>) -> Step {
    vec![Act::Send(text.into()), Act::Close]
}

const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[test]
fn a_pooled_connection_that_was_closed_is_no_failure() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // The answer promises to keep the connection, and the provider closes it all the same.
    let mut closing = step::chat("hello");
    closing.push(Act::Close);
    provider.always(closing);
    for _ in 0..30 {
        gateway.chat("acme", "hi").ok();
    }
    assert!(gateway.rows(30).iter().all(|row| row["outcome"] == "ok"));
}

#[test]
fn odd_but_clear_answers_are_delivered() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20)
        + "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let table: [(&str, Step, &str); 5] = [
        (
            "interim answers",
            raw(interim + JSON_HEAD + "content-length: 7\r\n\r\n{\"a\":1}"),
            "{\"a\":1}",
        ),
        (
            "an end by closing",
            raw_then_close("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":2}"),
            "{\"a\":2}",
        ),
        (
            "a page instead of JSON",
            step::with_headers(200, &[("content-type", "text/html")], b"<h1>hi</h1>"),
            "<h1>hi</h1>",
        ),
        (
            "broken JSON",
            step::with_headers(200, &[("content-type", "application/json")], b"{\"a\":"),
            "{\"a\":",
        ),
        ("nothing", step::with_headers(200, &[("content-type", "application/json")], b""), ""),
    ];
    let count = table.len();
    for (what, step, expected) in table {
        provider.script([step]);
        let reply = gateway.chat("acme", "hi");
        assert_eq!((reply.ok().text(), reply.complete), (expected, true), "{what}");
    }
    let rows = gateway.rows(count);
    // Nothing known about usage is not the same as no usage.
    assert!(
        rows.iter().all(|row| row["usage_source"] != "provider" && row["input_tokens"].is_u64()),
        "{rows:?}"
    );
}

#[test]
fn a_second_answer_behind_the_first_reaches_nobody() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let evil = format!(
        "{JSON_HEAD}content-length: 7\r\n\r\n{{\"a\":1}}{JSON_HEAD}content-length: \
            8\r\n\r\n{{\"evil\"}}"
    );
    for _ in 0..5 {
        provider.script([raw(evil.clone())]);
        assert_eq!(gateway.chat("acme", "hi").ok().text(), "{\"a\":1}");
        assert_eq!(gateway.chat("other", "hi").ok().json(), step::chat_body("hello"));
    }
}

#[test]
fn contradictions_are_refused_or_resolved() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // Two framings: the answer is refused, or read by its chunks with the length gone.
    provider.always(raw(format!(
        "{JSON_HEAD}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n3\r\n \
            1}}\r\n0\r\n\r\n"
    )));
    let reply = gateway.chat("acme", "hi");
    if reply.status == 200 {
        assert_eq!((reply.text(), reply.complete), ("{\"a\": 1}", true));
    } else {
        reply.refused(503, "provider_unavailable");
    }
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let refused = [
        ("two lengths", format!("{JSON_HEAD}content-length: 3\r\ncontent-length: 4\r\n\r\n{{}} ")),
        (
            "an upgrade",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".into(),
        ),
        ("too many headers", format!("{JSON_HEAD}{many}content-length: 2\r\n\r\n{{}}")),
    ];
    for (what, text) in refused {
        provider.always(raw_then_close(text));
        let reply = gateway.chat("acme", "hi");
        assert_eq!(
            (reply.status, reply.error_code()),
            (503, "provider_unavailable".to_owned()),
            "{what}"
        );
    }
    provider.always(step::chat("hello"));
    gateway.chat("acme", "hi").ok();
}

#[test]
fn an_answer_without_a_body_has_none() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    provider.script([raw_then_close("HTTP/1.1 204 No Content\r\n\r\nleftover")]);
    let reply = gateway.chat("acme", "hi");
    assert_eq!((reply.status, reply.text()), (204, ""));
    gateway.chat("acme", "hi").ok();
}

#[test]
fn a_compressed_answer_keeps_its_label() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // `gzip` of `{}`.
    let zipped =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    provider.script([step::with_headers(
        200,
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &zipped,
    )]);
    let reply = gateway.chat("acme", "hi");
    match reply.ok().header("content-encoding") {
        Some("gzip") => assert_eq!(reply.body, zipped),
        None => assert_eq!(reply.text(), "{}"),
        other => panic!("{other:?}"),
    }
    // And no compression was asked for.
    let asked = provider.only();
    assert!(asked.header("accept-encoding").is_none_or(|value| value == "identity"), "{asked:?}");
    assert_eq!(
        gateway.only_row()["response"],
        serde_json::Value::Null,
        "what nobody can read is not kept"
    );
}

#[test]
fn a_client_that_does_not_read_stops_the_provider() {
    const LENGTH: usize = 128 << 20;
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Setup::towards(provider.local_addr().unwrap()).start();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let writer = std::thread::spawn(move || {
        let (mut stream, _) = provider.accept().unwrap();
        let mut request = [0; 64 << 10];
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            assert!(stream.read(&mut request).unwrap() > 0);
        }
        stream
            .write_all(format!("{JSON_HEAD}content-length: {LENGTH}\r\n\r\n").as_bytes())
            .unwrap();
        let piece = vec![b' '; 64 << 10];
        for _ in 0..LENGTH / piece.len() {
            stream.write_all(&piece).unwrap();
            counted.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    let body = chat("x").to_string();
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.as_bytes(),
    ));
    let mut head = connection.head().unwrap();
    // The provider writes as fast as it can, the client reads nothing: bytes wait in the sockets,
    // not in the gateway. It is looked at until the provider has been stuck for a while.
    let (mut stuck, mut last) = (0, 0);
    while stuck < 100 {
        // Also shows that the gateway is at work.
        assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
        let now = taken.load(Ordering::SeqCst);
        stuck = if now == last { stuck + 1 } else { 0 };
        last = now;
    }
    // The buffers of four sockets, of at most six MiB each, and some pieces in the gateway.
    assert!(last < 32 << 20, "{last} bytes were taken from the provider");
    connection.body(&mut head);
    assert!(head.complete && head.body.len() == LENGTH);
    assert_eq!(gateway.only_row()["response_bytes"], json!(LENGTH));
    writer.join().unwrap();
}

#[test]
fn a_refused_upload_is_told_without_inviting_it() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut connection = gateway.connect();
    connection.send(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \
        tg-unknown\r\nexpect: 100-continue\r\n\
        content-type: application/json\r\ncontent-length: 100\r\n\r\n",
    );
    let (interim, head) = connection.head_and_interim();
    assert_eq!((interim, head.status), (0, 401));
}

#[test]
fn an_event_longer_than_anything_passes_unchanged_and_is_not_gathered() {
    const HALF: usize = 8 << 20;
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let events = step::chat_events(&["one "], true);
    let half = "y".repeat(HALF);
    let (begin, end) =
        (format!("data: {{\"choices\":[],\"x\":\"{half}"), format!("{half}\"}}\n\n"));
    let expected = [&events[..1], &[begin.clone(), end.clone()], &events[1..]].concat().concat();
    // The second half comes when the client has read nearly all of the first.
    let (gate, go) = step::gate();
    let mut script = step::sse_open(&[&events[..1], &[begin]].concat());
    script.push(gate);
    script.extend(step::sse_rest(&[&[end], &events[1..]].concat()));
    provider.script([script]);
    let mut body = chat("hi");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let mut connection = gateway.connect();
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str())];
    let path = "/v1/chat/completions";
    connection.send(&request("POST", path, &headers, body.to_string().as_bytes()));
    let mut head = connection.head().unwrap();
    let mut read = vec![];
    while read.len() < HALF - (1 << 20) {
        read.extend(connection.chunk().expect("a piece"));
    }
    go.send(()).unwrap();
    connection.body(&mut head);
    read.extend(&head.body);
    assert!(head.complete && read == expected.as_bytes(), "{} bytes", read.len());
    // What stands before and behind it was read.
    let row = gateway.only_row();
    assert_eq!((&row["outcome"], &row["output_tokens"]), (&json!("ok"), &json!(7)), "{row:?}");
}

#[test]
fn a_bomb_in_an_answer_is_passed_on_and_not_opened() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for _ in 0..256 {
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    for kind in ["application/json", "text/event-stream", "text/plain"] {
        provider.script([step::with_headers(
            200,
            &[("content-type", kind), ("content-encoding", "gzip")],
            &bomb,
        )]);
        let reply = gateway.chat("acme", "hi");
        assert_eq!((reply.status, reply.header("content-encoding")), (200, Some("gzip")), "{kind}");
        assert!(reply.complete && reply.body == bomb, "{kind}: {} bytes", reply.body.len());
    }
    // Its text would be captured as far as it may be.
    assert!(gateway.rows(3).iter().all(|row| row["response"].is_null()));
}
