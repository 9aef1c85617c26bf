//! HTTP/2 as no client speaks it: floods cost no memory, reach no provider, and harm no other call.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PROTOCOL_ERROR, RST_STREAM,
    SETTINGS, block, frame,
};
use crate::support::{Gateway, Provider, chat, eventually, jwt};

fn call(bearer: &str) -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway.test"),
        (":path", "/v1/chat/completions"),
        ("authorization", bearer),
        ("content-type", "application/json"),
    ])
}

fn connect(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.apps).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
    stream
}

#[test]
fn a_call_in_these_frames_is_answered() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut stream = connect(&gateway);
    let body = chat("hi").to_string();
    stream
        .write_all(&frame(HEADERS, END_HEADERS, 1, &call(&format!("Bearer {}", jwt("acme")))))
        .unwrap();
    stream.write_all(&frame(DATA, END_STREAM, 1, body.as_bytes())).unwrap();
    // Frames until the last one of the answer.
    let mut kinds = vec![];
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        kinds.push(head[3]);
        if head[5..] == [0, 0, 0, 1] && head[4] & END_STREAM != 0 {
            break;
        }
    }
    assert!(kinds.contains(&HEADERS) && kinds.contains(&DATA), "{kinds:?}");
    assert_eq!(provider.only().text(), body);
}

#[test]
fn floods_of_frames_hold_no_other_call_up_and_reach_no_provider() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    gateway.chat("acme", "hi").ok();
    provider.take_seen();
    let head = call(&format!("Bearer {}", jwt("acme")));
    let opened = |stream: u32| frame(HEADERS, END_HEADERS, stream, &head);
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let odd = |count: u32| (0..count).map(|n| 2 * n + 1);
    let floods: [(&str, Vec<u8>); 6] = [
        ("rapid reset", odd(3000).flat_map(|n| [opened(n), reset(n)].concat()).collect()),
        ("more streams than allowed", odd(3000).flat_map(opened).collect()),
        (
            "headers without an end",
            [
                frame(HEADERS, 0, 1, &head),
                frame(CONTINUATION, 0, 1, &block(&[("x-filler", &"y".repeat(1000))]))
                    .repeat(20_000),
            ]
            .concat(),
        ),
        ("empty data", [opened(1), frame(DATA, 0, 1, b"").repeat(300_000)].concat()),
        ("pings", frame(PING, 0, 0, &[7; 8]).repeat(200_000)),
        ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(100_000)),
    ];
    for (what, bytes) in floods {
        let mut stream = connect(&gateway);
        // Nothing is read; the gateway may stop reading too, or close.
        let _ = stream.write_all(&bytes);
        gateway.chat("acme", "a good call beside it").ok();
        drop(stream);
        gateway.chat("acme", "a good call after it").ok();
        let seen = provider.take_seen();
        assert_eq!(seen.iter().filter(|seen| seen.complete).count(), 2, "{what}: {seen:?}");
    }
    eventually("no call in flight", || {
        (gateway.metric("tollgate_requests_in_flight") < 0.5).then_some(())
    });
    eventually("one connection, that of the question", || {
        (gateway.metric("tollgate_connections ") < 1.5).then_some(())
    });
}

/// Frames until one of this kind on stream 1, or the end of the connection; its payload.
fn until(stream: &mut TcpStream, wanted: &[u8]) -> Option<(u8, Vec<u8>)> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).ok()?;
        if wanted.contains(&head[3]) && (head[5..] == [0, 0, 0, 1] || head[3] == GOAWAY) {
            return Some((head[3], payload));
        }
    }
}

#[test]
fn a_length_that_is_not_that_of_the_data_is_no_call() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let body = chat("hi").to_string();
    let bearer = format!("Bearer {}", jwt("acme"));
    for length in [body.len() - 1, body.len() + 1, 0, 1_000_000] {
        let mut stream = connect(&gateway);
        let told = block(&[("content-length", &length.to_string())]);
        stream.write_all(&frame(HEADERS, END_HEADERS, 1, &[call(&bearer), told].concat())).unwrap();
        // The gateway may be done with it before all of it has been written.
        let _ = stream.write_all(&frame(DATA, END_STREAM, 1, body.as_bytes()));
        let (kind, payload) = until(&mut stream, &[RST_STREAM, GOAWAY]).expect("a refusal");
        let code = &payload[payload.len().min(if kind == GOAWAY { 8 } else { 4 }) - 4..];
        assert_eq!(code[..4], PROTOCOL_ERROR.to_be_bytes(), "{length}: {payload:?}");
    }
    assert!(provider.seen().iter().all(|seen| !seen.complete), "{:?}", provider.seen());
    gateway.chat("acme", "hi").ok();
    eventually("no call in flight", || {
        (gateway.metric("tollgate_requests_in_flight") < 0.5).then_some(())
    });
}

#[test]
fn a_head_that_is_too_large_gets_the_same_answer_as_over_http_1() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let filler = "y".repeat(14_000);
    let field = block(&[("x-filler", filler.as_str())]);
    let mut stream = connect(&gateway);
    let head = call(&format!("Bearer {}", jwt("acme")));
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &head)).unwrap();
    // Above 64 KiB, and below the bound of the library. More frames would be a flood.
    stream.write_all(&frame(CONTINUATION, 0, 1, &field).repeat(4)).unwrap();
    stream.write_all(&frame(CONTINUATION, END_HEADERS, 1, &field)).unwrap();
    let (kind, payload) = until(&mut stream, &[DATA, RST_STREAM, GOAWAY]).expect("an answer");
    assert_eq!(kind, DATA, "{payload:?}");
    let text = String::from_utf8(payload).unwrap();
    assert!(text.contains(r#""code":"headers_too_large""#), "{text}");
    assert!(provider.seen().is_empty());
}
