//! Requests that two servers could read in two ways: whatever a client writes, the provider sees at
//! most the one request that was authenticated, and never a second one hidden in it.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::{Gateway, Provider, jwt};

/// One case: a request that is authenticated and carries its number, framed in some odd way; behind
/// it one that is not, and then one that ends the connection.
struct Case {
    bytes: Vec<u8>,
}

const HIDDEN: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: \
    application/json\r\ncontent-length: 25\r\n\r\n{\"messages\":[\"SMUGGLED\"]}";
const LAST: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn body(number: usize) -> String {
    format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"case-{number}.\"}}]}}"
    )
}

/// A request with `headers` beside the usual ones, and `framed` behind its head.
fn case(bearer: &str, first_line: &str, headers: &str, framed: &str) -> Case {
    let head = format!(
        "{first_line}\r\nhost: a\r\nauthorization: Bearer {bearer}\r\ncontent-type: \
            application/json\r\n"
    );
    Case { bytes: format!("{head}{headers}\r\n{framed}{HIDDEN}{LAST}").into_bytes() }
}

/// Ways of framing that are wrong, ambiguous, or only unusual. `{l}` is the length of the body,
/// `{x}` the same in hex.
const FRAMINGS: &[(&str, &str)] = &[
    ("content-length: {l}\r\n", "{b}"),
    ("transfer-encoding: chunked\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("content-length: {l}\r\ntransfer-encoding: chunked\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\ncontent-length: {l}\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("content-length: 0\r\ntransfer-encoding: chunked\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("content-length: {l}\r\ncontent-length: 0\r\n", "{b}"),
    ("content-length: 0\r\ncontent-length: {l}\r\n", "{b}"),
    ("content-length: {l}, {l}\r\n", "{b}"),
    ("content-length: {l}, 0\r\n", "{b}"),
    ("content-length: +{l}\r\n", "{b}"),
    ("content-length: -{l}\r\n", "{b}"),
    ("content-length: 0x{x}\r\n", "{b}"),
    ("content-length: {l}_0\r\n", "{b}"),
    ("content-length: 18446744073709551616\r\n", "{b}"),
    ("content-length : {l}\r\n", "{b}"),
    (" content-length: {l}\r\n", "{b}"),
    ("content-length:\r\n {l}\r\n", "{b}"),
    ("x: y\rcontent-length: {l}\r\n", "{b}"),
    ("x: y\ncontent-length: {l}\r\n", "{b}"),
    ("content\x00-length: {l}\r\n", "{b}"),
    ("content-length: {l}\x00\r\n", "{b}"),
    ("content_length: {l}\r\n", "{b}"),
    ("transfer-encoding: gzip, chunked\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked, identity\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: identity\r\ncontent-length: {l}\r\n", "{b}"),
    ("transfer-encoding: xchunked\r\ncontent-length: {l}\r\n", "{b}"),
    ("transfer-encoding : chunked\r\ncontent-length: {l}\r\n", "{b}"),
    ("transfer-encoding:\x0bchunked\r\ncontent-length: {l}\r\n", "{b}"),
    ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: \"chunked\"\r\ncontent-length: {l}\r\n", "{b}"),
    ("transfer-encoding: chunked\r\n", "0{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "0x{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "+{x}\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "{x} \r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "{x};a=b\r\n{b}\r\n0;c=d\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "{x};a=\"\n\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "{x}\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "{x}\r{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "{x}\r\n{b}0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "{x}\r\n{b}\r\n00000000000000000000\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "f{x}0000000000000000\r\n{b}\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked\r\n", "0_{x}\r\n{b}\r\n0\r\n\r\n"),
    (
        "transfer-encoding: chunked\r\n",
        "{x}\r\n{b}\r\n0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
    ),
    ("transfer-encoding: chunked\r\n", "{x}\r\n{b}\r\n-0\r\n\r\n"),
    ("expect: 100-continue\r\ncontent-length: {l}\r\n", "{b}"),
    ("upgrade: websocket\r\nconnection: upgrade\r\ncontent-length: {l}\r\n", "{b}"),
    (
        "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: \
            AAMAAABkAAQAAP__\r\ncontent-length: {l}\r\n",
        "{b}",
    ),
    ("connection: content-length\r\ncontent-length: {l}\r\n", "{b}"),
    ("connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n", "{x}\r\n{b}\r\n0\r\n\r\n"),
    ("host: b\r\ncontent-length: {l}\r\n", "{b}"),
    ("authorization: Bearer other\r\ncontent-length: {l}\r\n", "{b}"),
];

const FIRST_LINES: &[&str] = &[
    "POST /v1/chat/completions HTTP/1.1",
    "POST /v1/chat/completions HTTP/1.0",
    "POST  /v1/chat/completions  HTTP/1.1",
    "\r\nPOST /v1/chat/completions HTTP/1.1",
    "POST /v1/chat/completions HTTP/1.1\n",
    "POST /v1/chat/completions\tHTTP/1.1",
    "POST /v1/chat/completions HTTP/1.2",
    "POST /v1/chat/completions",
    "POST http://a/v1/chat/completions HTTP/1.1",
    "POST http://b/v1/chat/completions HTTP/1.1",
    "POST //v1/chat/completions HTTP/1.1",
    "POST /v1/chat/completions?x=1 HTTP/1.1\r\nx: y",
    "GE\x00T /v1/chat/completions HTTP/1.1",
    "GET /v1/models HTTP/1.1",
    "PRI * HTTP/2.0",
];

/// A small generator, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// Bytes that matter to those who read HTTP.
const SPICE: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0",
    b"_",
    b"+",
    b"0x",
    b"\x0b",
    b"\x85",
    b"\xff",
    b"\r\n\r\n",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"\r\n0\r\n\r\n",
];

fn corpus(bearer: &str) -> Vec<Case> {
    let filled = |text: &str, number: usize| {
        let body = body(number);
        text.replace("{l}", &body.len().to_string())
            .replace("{x}", &format!("{:x}", body.len()))
            .replace("{b}", &body)
    };
    let mut cases = vec![];
    for first_line in FIRST_LINES {
        let framings = if *first_line == FIRST_LINES[0] { FRAMINGS } else { &FRAMINGS[..6] };
        for (headers, framed) in framings {
            let number = cases.len();
            cases.push(case(bearer, first_line, &filled(headers, number), &filled(framed, number)));
        }
    }
    let mut chance = Chance(7);
    for _ in 0..600 {
        let number = cases.len();
        let (headers, framed) = FRAMINGS[chance.below(4)];
        let mut made =
            case(bearer, FIRST_LINES[0], &filled(headers, number), &filled(framed, number));
        // Where the framing is told, not within the token.
        let token = made.bytes.windows(bearer.len()).position(|w| w == bearer.as_bytes()).unwrap()
            + bearer.len();
        for _ in 0..=chance.below(3) {
            let at = token + chance.below(made.bytes.len() - token - LAST.len());
            let spice = SPICE[chance.below(SPICE.len())];
            match chance.below(3) {
                0 => drop(made.bytes.splice(at..at, spice.iter().copied())),
                1 => drop(made.bytes.remove(at)),
                _ => made.bytes[at] = spice[0],
            }
        }
        cases.push(made);
    }
    cases
}

/// Writes a case and reads what comes until the connection ends; the answers' status lines.
fn play(gateway: &Gateway, case: &Case) -> Vec<u16> {
    let mut stream = TcpStream::connect(gateway.apps).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let _ = stream.write_all(&case.bytes);
    let (mut read, mut piece, mut leaving) = (vec![], [0; 4096], false);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => read.extend_from_slice(&piece[..length]),
            // It waits for more of what it takes to be a body.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && !leaving => {
                leaving = true;
                let _ = stream.shutdown(Shutdown::Write);
            }
            Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&read).into_owned();
    text.match_indices("HTTP/1.1 ")
        .filter_map(|(at, found)| text[at + found.len()..].get(..3)?.parse().ok())
        .collect()
}

#[test]
fn whatever_is_written_no_second_request_reaches_the_provider() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let cases = corpus(&jwt("acme"));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let served = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some(case) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    let statuses = play(&gateway, case);
                    let shown = String::from_utf8_lossy(&case.bytes);
                    assert!(
                        statuses.iter().all(|status| (100..500).contains(status)),
                        "{statuses:?} {shown}"
                    );
                    if statuses.contains(&200) {
                        served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(served.into_inner() > 50, "most cases end before they could do harm");
    let mut numbers = HashSet::new();
    for seen in provider.seen() {
        let shown = String::from_utf8_lossy(&seen.body).into_owned();
        assert_eq!(seen.header("authorization"), Some("Bearer sk-gateway-own-key"), "{seen:?}");
        if seen.method == "GET" {
            assert_eq!((seen.target.as_str(), shown.as_str()), ("/v1/models", ""), "{seen:?}");
            continue;
        }
        assert!(
            seen.method == "POST" && seen.target.starts_with("/v1/chat/completions"),
            "{seen:?}"
        );
        assert!(!shown.contains("SMUGGLED") && !shown.contains("HTTP/1.1"), "{seen:?}");
        if seen.complete {
            let number = shown
                .split_once("case-")
                .and_then(|(_, rest)| rest.split_once('.'))
                .map(|(n, _)| n.to_owned());
            assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{seen:?}");
            assert!(number.is_none_or(|number| numbers.insert(number)), "twice: {seen:?}");
        }
    }
    assert!(numbers.len() > 50, "{}", numbers.len());
    gateway.chat("acme", "still well").ok();
}

#[test]
fn each_pipelined_request_is_its_own() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut bytes = vec![];
    for n in 0..50 {
        // Every fifth has no identity.
        let bearer = if n % 5 == 4 { "nobody".to_owned() } else { jwt(&format!("org-{}", n % 3)) };
        let body = body(n);
        bytes.extend(
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-request-id: \
                    call-{n}\r\nauthorization: Bearer tg-{bearer}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .replace(if n % 5 == 4 { "\0" } else { "Bearer tg-" }, "Bearer ")
            .into_bytes(),
        );
    }
    let mut connection = gateway.connect();
    connection.send(&bytes);
    for n in 0..50 {
        let reply = connection.reply();
        assert_eq!(reply.header("x-request-id"), Some(format!("call-{n}").as_str()), "in order");
        assert_eq!(reply.status, if n % 5 == 4 { 401 } else { 200 }, "{n}");
    }
    let seen = provider.seen();
    assert_eq!(seen.len(), 40);
    let rows = gateway.rows(40);
    for org in ["org-0", "org-1", "org-2"] {
        assert!(rows.iter().filter(|row| row["org_id"] == org).count() >= 13, "{rows:?}");
    }
}
