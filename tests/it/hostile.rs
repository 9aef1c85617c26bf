//! Hostile callers: whatever one party does with all that it may have, every answer of another is
//! what it would have been.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;

use crate::support::step::{self, Act};
use crate::support::{Connection, Gateway, Provider, Setup, chat, eventually, jwt, request};

const CHAT: &str = "/v1/chat/completions";
const TICKETS: &str = "/api/ai/intent";

/// Callers with and without an identity may come.
fn setup(provider: &Provider, bounds: &str) -> Setup {
    Setup::new(provider)
        .section(
            "auth",
            &format!(
                "accept: [jwt, key, passthrough]\njwt: {{secret: \"{}\"}}",
                crate::support::SECRET
            ),
        )
        .setting("bounds", bounds)
}

/// One who has a token.
fn mallory(_: usize) -> String {
    jwt("mallory")
}

/// One who has none, and is somebody else in each call.
fn nobody(n: usize) -> String {
    format!("sk-junk-{n:05}")
}

type Who = fn(usize) -> String;

/// Each of these kinds of attacker.
const ATTACKERS: [(&str, Who); 2] = [("nobody", nobody), ("mallory", mallory)];

/// The head of a call, and what has been sent of its body.
fn begun(path: &str, bearer: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nauthorization: \
            Bearer {bearer}\r\n{more}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Connections on which so much has been said.
fn say(gateway: &Gateway, count: usize, what: impl Fn(usize) -> Vec<u8>) -> Vec<Connection> {
    let open = |n| {
        let mut connection = gateway.connect();
        connection.send(&what(n));
        connection
    };
    (0..count).map(open).collect()
}

/// Calls of another organisation, each on a connection of its own, and one that is kept.
#[track_caller]
fn victim_is_served(gateway: &Gateway, what: &str) {
    let bearer = format!("Bearer {}", jwt("victim"));
    let call =
        request("POST", CHAT, &[("authorization", &bearer)], chat("hi").to_string().as_bytes());
    // Until its first call, a connection is one of the many that have said nothing, and may have to
    // leave to a newcomer.
    let mut kept = eventually("a connection of the victim", || {
        let mut connection = gateway.connect();
        connection.send(&call);
        let mut reply = connection.head()?;
        connection.body(&mut reply);
        (reply.status == 200).then_some(connection)
    });
    for n in 0..10 {
        assert_eq!(
            kept.send(&call).reply().status,
            200,
            "{what}: {n}, on a connection that is kept"
        );
        let reply = gateway.chat("victim", "hi");
        assert_eq!(reply.status, 200, "{what}: {n}: {}", reply.text());
    }
    assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200, "{what}");
}

fn at_work(gateway: &Gateway, count: f64) {
    eventually("calls at work", || {
        (gateway.metric("tollgate_requests_in_flight") >= count).then_some(())
    });
}

fn none_at_work(gateway: &Gateway) {
    eventually("no call at work", || {
        (gateway.metric("tollgate_requests_in_flight") < 0.5).then_some(())
    });
}

fn zstd_header(window: u8) -> Vec<u8> {
    // A frame with a window and a block that is not the last, of 60 bytes as they are.
    let block = [0xe0, 0x01, 0x00];
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, window][..], &block, &[b' '; 60]].concat()
}

#[test]
fn windows_that_are_asked_for_and_not_filled_keep_nobody_out() {
    let provider = Provider::start();
    for (name, who) in ATTACKERS {
        for path in [CHAT, TICKETS] {
            if path == TICKETS && name == "nobody" {
                continue;
            }
            let gateway = setup(&provider, "{held_bytes: 64MiB}").start();
            let head = |n, window: u8| {
                let more = "content-encoding: zstd\r\ncontent-length: 90000\r\n";
                begun(path, &who(n), more, &zstd_header(window))
            };
            // The largest first: eight of them were all of the memory there is.
            let large = say(&gateway, 60, |n| head(n, 0x68));
            let small = say(&gateway, 60, |n| head(1000 + n, 0));
            at_work(&gateway, 20.0);
            victim_is_served(&gateway, &format!("{name} {path}"));
            // Also what is compressed, with the same window.
            let bearer = format!("Bearer {}", jwt("victim"));
            let body = zstd::encode_all(chat("hi").to_string().as_bytes(), 3).unwrap();
            let headers = [("authorization", bearer.as_str()), ("content-encoding", "zstd")];
            gateway.send("POST", CHAT, &headers, &body).ok();
            drop((large, small));
            none_at_work(&gateway);
        }
    }
}

#[test]
fn windows_that_are_filled_are_refused_and_nothing_else_is() {
    let provider = Provider::start();
    let gateway = setup(&provider, "{held_bytes: 64MiB}").start();
    // Five MiB that do not repeat much, behind a window of eight, each a little short of its end.
    let text: Vec<u8> = (0..700_000_u32)
        .flat_map(|n| format!("{:x} ", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect();
    let text =
        [b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"", &text[..5 << 20]]
            .concat();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(23).unwrap();
    encoder.write_all(&text).unwrap();
    encoder.flush().unwrap();
    let body = encoder.get_ref().clone();
    let head = begun(
        CHAT,
        &jwt("mallory"),
        "content-encoding: zstd\r\ncontent-length: 90000000\r\n",
        &body,
    );
    let open = say(&gateway, 12, |_| head.clone());
    eventually("a decoder too many", || {
        (gateway.metric("tollgate_bounds_reached_total{bound=\"decoders_share\"}") >= 1.0)
            .then_some(())
    });
    victim_is_served(&gateway, "filled windows");
    // What is not compressed has nothing to do with it, whoever's it is.
    gateway.chat("mallory", "hi").ok();
    drop(open);
    none_at_work(&gateway);
}

#[test]
fn slow_bodies_keep_nobody_out() {
    let provider = Provider::start();
    for (name, who) in ATTACKERS {
        let gateway = setup(&provider, "{calls_in_flight: 100}").start();
        let framings = ["content-length: 1000\r\n", "transfer-encoding: chunked\r\n"];
        let slow = say(&gateway, 200, |n| begun(CHAT, &who(n), framings[n % 2], b""));
        at_work(&gateway, 50.0);
        victim_is_served(&gateway, name);
        // The same who wait come second to those who do not.
        let (bearer, mut slow) = (format!("Bearer {}", who(7777)), slow);
        let call =
            request("POST", CHAT, &[("authorization", &bearer)], chat("hi").to_string().as_bytes());
        for _ in 0..20 {
            assert_eq!(gateway.connect().send(&call).reply().status, 200, "{name}: its own");
        }
        assert!(
            gateway.metric("tollgate_bounds_reached_total{bound=\"request_bodies_share\"}")
                >= 100.0
        );
        // The first that waited made room for the others.
        slow[0].reply().refused(408, "request_timeout");
        drop(slow);
        none_at_work(&gateway);
        assert!(provider.take_seen().iter().all(|seen| seen.complete));
    }
}

#[test]
fn slow_tickets_keep_nobody_out() {
    let provider = Provider::start();
    let gateway = setup(&provider, "{calls_in_flight: 40}").start();
    for path in [TICKETS, "/api/ai/intent/batch"] {
        let slow =
            say(&gateway, 100, |n| begun(path, &mallory(n), "content-length: 1000\r\n", b"{"));
        at_work(&gateway, 20.0);
        victim_is_served(&gateway, path);
        drop(slow);
        none_at_work(&gateway);
    }
}

#[test]
fn calls_that_wait_for_their_provider_keep_nobody_out() {
    let (provider, silent) = (Provider::start(), Provider::start());
    silent.always(step::silence());
    for (name, who) in ATTACKERS {
        let routing = "default: [openai]\nmodels: [{match: silent, to: [silent]}]";
        let gateway = setup(&provider, "{calls_in_flight: 40}")
            .section(
                "providers",
                &format!(
                    "openai: {{kind: openai, base_url: \"http://{}/v1\", api_key: k}}\nsilent: \
                        {{kind: openai, base_url: \"http://{}/v1\", api_key: k}}",
                    provider.address, silent.address
                ),
            )
            .section("routing", routing)
            .start();
        let body = json!({"model": "silent", "messages": []}).to_string();
        let length = format!("content-length: {}\r\n", body.len());
        let held = say(&gateway, 80, |n| begun(CHAT, &who(n), &length, body.as_bytes()));
        at_work(&gateway, 20.0);
        // Each of them has its place or its refusal before another organisation comes, beside which
        // their share is smaller. So the next one finds it used up.
        eventually("all of them", || {
            let refused =
                gateway.metric("tollgate_bounds_reached_total{bound=\"calls_in_flight_share\"}");
            (gateway.metric("tollgate_requests_in_flight") + refused >= 80.0).then_some(())
        });
        victim_is_served(&gateway, name);
        let reply =
            gateway.connect().send(&begun(CHAT, &who(99), &length, body.as_bytes())).reply();
        reply.refused(503, "overloaded");
        assert!(
            reply.text().contains("your share") && reply.header("retry-after").is_some(),
            "{}",
            reply.text()
        );
        assert!(
            gateway.metric("tollgate_bounds_reached_total{bound=\"calls_in_flight_share\"}") >= 1.0
        );
        drop(held);
        none_at_work(&gateway);
    }
}

#[test]
fn answers_that_nobody_reads_keep_nobody_out() {
    let provider = Provider::start();
    for (name, who) in ATTACKERS {
        let gateway = setup(&provider, "{calls_in_flight: 20}").start();
        // Longer than what the sockets between may hold.
        let long =
            step::with_headers(200, &[("content-type", "audio/mpeg")], &vec![b'x'; 12 << 20]);
        provider.always(long);
        let body = chat("hi").to_string();
        let length = format!("content-length: {}\r\n", body.len());
        let unread = say(&gateway, 40, |n| begun(CHAT, &who(n), &length, body.as_bytes()));
        at_work(&gateway, 8.0);
        provider.always(step::chat("hello"));
        victim_is_served(&gateway, name);
        drop(unread);
        none_at_work(&gateway);
    }
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let provider = Provider::start();
    let gateway = setup(&provider, "{connections: 100}").start();
    let junk = begun(CHAT, "tg-unknown", "content-length: 0\r\n", b"");
    let kinds: [(&str, Vec<u8>); 7] = [
        ("silent", b"".to_vec()),
        ("half a head", b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-slow: ".to_vec()),
        ("half a preface", b"PRI * HTTP/2.0\r\n".to_vec()),
        (
            "HTTP/2 without a stream",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        ),
        (
            "half a head of HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82"
                .to_vec(),
        ),
        ("health", request("GET", "/healthz", &[], b"")),
        ("no identity", junk),
    ];
    for (kind, bytes) in kinds {
        let open = say(&gateway, 200, |_| bytes.clone());
        victim_is_served(&gateway, kind);
        // Another round, while the first is still open.
        let more = say(&gateway, 200, |_| bytes.clone());
        victim_is_served(&gateway, kind);
        drop((open, more));
    }
    gateway.reaches("tollgate_bounds_reached_total{bound=\"connections_share\"}", 100.0);
    eventually("one connection, that of the question", || {
        (gateway.metric("tollgate_connections ") < 1.5).then_some(())
    });
}

#[test]
fn connections_of_one_caller_keep_nobody_out() {
    let provider = Provider::start();
    for (name, who) in ATTACKERS {
        let gateway = setup(&provider, "{connections: 60}").start();
        let body = chat("hi").to_string();
        let length = format!("content-length: {}\r\n", body.len());
        // Each had a call, and is kept.
        let kept: Vec<TcpStream> = (0..120)
            .map(|n| {
                let mut stream = TcpStream::connect(gateway.apps).unwrap();
                let _ = stream.write_all(&begun(CHAT, &who(n), &length, body.as_bytes()));
                let _ = std::io::Read::read(&mut stream, &mut [0; 100]);
                stream
            })
            .collect();
        victim_is_served(&gateway, name);
        assert!(
            gateway.metric("tollgate_bounds_reached_total{bound=\"connections_share\"}") >= 1.0,
            "{name}"
        );
        drop(kept);
        eventually("a place again", || {
            let reply = Connection::open(gateway.apps)
                .send(&begun(CHAT, &who(1), &length, body.as_bytes()))
                .reply();
            (reply.status == 200).then_some(())
        });
    }
}

#[test]
fn one_caller_alone_may_have_most_of_it() {
    let provider = Provider::start();
    let gateway = setup(&provider, "{connections: 100, calls_in_flight: 100}").start();
    let (gates, steps): (Vec<_>, Vec<_>) = (0..75)
        .map(|_| {
            let (gate, go) = step::gate();
            (go, [vec![gate], step::chat("hello")].concat())
        })
        .unzip();
    provider.script(steps);
    let body = chat("hi").to_string();
    let length = format!("content-length: {}\r\n", body.len());
    let mut open = say(&gateway, 75, |_| begun(CHAT, &jwt("acme"), &length, body.as_bytes()));
    provider.wait_for(75);
    drop(gates);
    for connection in &mut open {
        connection.reply().ok();
    }
}

#[test]
fn a_body_that_is_at_work_is_not_given_up_for_another() {
    let provider = Provider::start();
    let gateway = setup(&provider, "{calls_in_flight: 16}").start();
    // All of its share is bodies that wait for a provider which is silent; a slow body beside them
    // is given up instead.
    provider.always(vec![Act::Hold]);
    let body = chat("hi").to_string();
    let length = format!("content-length: {}\r\n", body.len());
    let held = say(&gateway, 8, |n| begun(CHAT, &mallory(n), &length, body.as_bytes()));
    provider.wait_for(8);
    let slow = say(&gateway, 30, |n| begun(CHAT, &mallory(n), "content-length: 1000\r\n", b"{"));
    at_work(&gateway, 8.0 + 12.0);
    provider.always(step::chat("hello"));
    let reply = gateway.chat("mallory", "hi");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(provider.closed_by_peer(), 0, "those at work go on");
    drop((held, slow));
    none_at_work(&gateway);
}
