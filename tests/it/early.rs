//! Calls that are answered before their request body has come: the client can go on sending it,
//! and reads the answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::{
    Connection, Gateway, Provider, Setup, chat, eventually, frames, jwt, request,
};

const CHAT: &str = "/v1/chat/completions";

fn gateway(provider: &Provider) -> Gateway {
    Setup::new(provider)
        .setting("max_body_bytes", "16MiB")
        .section(
            "limits",
            "{requests_per_minute: 60000, burst: 60000, orgs: {limited: {requests_per_minute: 1, \
                burst: 1}}}",
        )
        .start()
}

/// A head that announces a body of so many bytes.
fn head(path: &str, bearer: &str, length: usize, more: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer \
            {bearer}\r\ncontent-length: {length}\r\n"
    );
    if !more.iter().any(|(name, _)| *name == "content-type") {
        head.push_str("content-type: application/json\r\n");
    }
    for (name, value) in more {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The answer to what was written so far, with its head, and whether the connection ends with it.
fn answer(stream: &mut TcpStream) -> (u16, bool) {
    let (mut seen, mut piece) = (vec![], [0; 4096]);
    let at = loop {
        let read = stream.read(&mut piece).expect("an answer");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
        seen.extend(&piece[..read]);
        if let Some(at) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8(seen[..at].to_vec()).unwrap().to_ascii_lowercase();
    let value = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    let length: usize = value("content-length").expect("a length").parse().unwrap();
    let mut rest = length - (seen.len() - at);
    while rest > 0 {
        let read = stream.read(&mut piece[..rest.min(4096)]).expect("the rest of the answer");
        assert!(read > 0, "cut");
        rest -= read;
    }
    (head[9..12].parse().unwrap(), value("connection").as_deref() == Some("close"))
}

fn open(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.apps).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(40))).unwrap();
    stream
}

/// Writes so many bytes of a body; an error says that the gateway has gone.
fn write(stream: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let piece = vec![b'x'; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let some = left.min(piece.len());
        stream.write_all(&piece[..some])?;
        left -= some;
    }
    Ok(())
}

/// A call that is refused at its head: its name, status, path, token and headers.
type Refused = (&'static str, u16, &'static str, String, Vec<(&'static str, &'static str)>);

fn refused() -> Vec<Refused> {
    let multipart = ("content-type", "multipart/form-data; boundary=b");
    vec![
        ("a bad token", 401, CHAT, "tg-unknown".to_owned(), vec![]),
        ("a closed endpoint", 403, "/v1/files", jwt("acme"), vec![multipart]),
        ("an attachment", 415, CHAT, jwt("acme"), vec![multipart]),
        ("a media type", 415, CHAT, jwt("acme"), vec![("content-type", "text/plain")]),
        ("a used-up limit", 429, CHAT, jwt("limited"), vec![]),
    ]
}

#[test]
fn a_long_body_can_be_sent_to_its_end_after_a_refusal() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    gateway.chat("limited", "uses up the limit");
    provider.take_seen();
    let length = 12 << 20;
    for (what, status, path, bearer, headers) in refused() {
        let mut stream = open(&gateway);
        stream.write_all(&head(path, &bearer, length, &headers)).unwrap();
        write(&mut stream, 1000).unwrap();
        assert_eq!(answer(&mut stream), (status, true), "{what}");
        write(&mut stream, length - 1000).unwrap_or_else(|error| panic!("{what}: {error}"));
        // An end, and not a reset.
        assert_eq!(stream.read(&mut [0; 10]).expect(what), 0, "{what}");
        stream.shutdown(Shutdown::Both).ok();
    }
    // Longer than a body may be: the answer is there all the same.
    let mut stream = open(&gateway);
    stream.write_all(&head(CHAT, &jwt("acme"), 20 << 20, &[])).unwrap();
    write(&mut stream, 14 << 20).expect("as long as a body may be");
    assert_eq!(answer(&mut stream), (413, true));
    assert!(provider.seen().is_empty());
    eventually("only the connection of this question", || {
        drop(stream.shutdown(Shutdown::Both));
        (gateway.metric("tollgate_connections ") < 1.5).then_some(())
    });
}

#[test]
fn the_rest_of_a_refused_body_is_bounded() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("max_body_bytes", "2MiB").start();
    let mut stream = open(&gateway);
    stream.write_all(&head(CHAT, "tg-unknown", 1 << 30, &[])).unwrap();
    assert_eq!(answer(&mut stream), (401, true));
    assert!(write(&mut stream, 1 << 30).is_err(), "a GiB was taken");
}

#[test]
fn a_short_body_that_comes_after_its_refusal_leaves_the_connection_usable() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    gateway.chat("limited", "uses up the limit");
    for length in [1 << 10, 200 << 10, 1 << 20] {
        for (what, status, path, bearer, headers) in refused() {
            if status == 415 {
                // These say that the connection ends.
                continue;
            }
            let mut stream = open(&gateway);
            stream.write_all(&head(path, &bearer, length, &headers)).unwrap();
            let (answered, closes) = answer(&mut stream);
            assert_eq!((answered, closes), (status, false), "{what}, {length}");
            write(&mut stream, length).unwrap();
            let body = chat("hi").to_string();
            let bearer = format!("Bearer {}", jwt("acme"));
            let good = request("POST", CHAT, &[("authorization", &bearer)], body.as_bytes());
            stream.write_all(&good).unwrap();
            assert_eq!(answer(&mut stream), (200, false), "{what}, {length}");
        }
    }
}

#[test]
fn a_body_that_waits_to_be_asked_for_is_not_asked_for_by_a_refusal() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    for length in [1000, 10 << 20] {
        let mut connection = Connection::open(gateway.apps);
        connection.send(&head(CHAT, "tg-unknown", length, &[("expect", "100-continue")]));
        let (interim, mut reply) = connection.head_and_interim();
        connection.body(&mut reply);
        assert_eq!((interim, reply.status, reply.header("connection")), (0, 401, Some("close")));
        assert!(connection.head().is_none(), "the connection ends");
    }
}

#[test]
fn over_http2_a_refused_body_is_read_to_its_end_and_reset_beyond_the_bound() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("max_body_bytes", "1MiB").start();
    let mut client = frames::Client::connect(gateway.apps);
    // Until the answer is complete, then all of the body within the bound: no reset.
    client.open(1, CHAT, "Bearer tg-unknown");
    assert_eq!(client.answer(1), frames::Answer::Complete);
    assert_eq!(client.send(1, 900 << 10, true), None, "reset within the bound");
    // A longer one is reset without an error.
    client.open(3, CHAT, "Bearer tg-unknown");
    assert_eq!(client.answer(3), frames::Answer::Complete);
    assert_eq!(client.send(3, 8 << 20, true), Some(0));
    // The connection goes on.
    client.open(5, CHAT, &format!("Bearer {}", jwt("acme")));
    client.data(5, chat("hi").to_string().as_bytes(), true);
    assert_eq!(client.answer(5), frames::Answer::Complete);
    assert_eq!(provider.only().text(), chat("hi").to_string());
}
