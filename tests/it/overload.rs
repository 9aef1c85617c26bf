//! At its bounds the gateway says so quickly, answers health all the same, and is well again when
//! there is room.

use serde_json::json;

use crate::support::{
    Connection, Gateway, Provider, Reply, Setup, chat, eventually, jwt, request, step,
};

/// A call of an organisation as bytes.
fn call(stream: bool) -> Vec<u8> {
    let mut body = chat("hi");
    body["stream"] = json!(stream);
    let bearer = format!("Bearer {}", jwt("acme"));
    request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.to_string().as_bytes(),
    )
}

#[track_caller]
fn told_to_come_back(reply: &Reply) {
    reply.refused(503, "overloaded");
    assert!(
        reply.header("retry-after").is_some() && reply.header("x-should-retry").is_none(),
        "{:?}",
        reply.headers
    );
}

/// Health on both sides.
#[track_caller]
fn is_well(gateway: &Gateway) {
    for path in ["/healthz", "/readyz"] {
        assert_eq!(gateway.send("GET", path, &[], b"").status, 200, "{path}");
        gateway.operators(path).ok();
    }
}

#[test]
fn more_connections_than_there_is_room_for() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("bounds", "{connections: 3}").start();
    let mut open: Vec<Connection> = (0..3).map(|_| gateway.connect()).collect();
    for connection in &mut open {
        connection.send(&request("GET", "/healthz", &[], b"")).reply().ok();
    }
    for _ in 0..200 {
        // Such a connection has two seconds to say something. On a machine that stands still it may
        // be too late, and is made again.
        let reply = eventually("an answer", || {
            let mut over = gateway.connect();
            let mut reply = over.send(&call(false)).head()?;
            over.body(&mut reply);
            Some(reply)
        });
        told_to_come_back(&reply);
        assert_eq!(reply.header("connection"), Some("close"));
    }
    is_well(&gateway);
    // Who says nothing there is sent away soon, and those who were first are served as before.
    let mut silent = gateway.connect();
    assert!(silent.head().is_none(), "closed without an answer");
    open[0].send(&call(false)).reply().ok();
    assert_eq!(provider.take_seen().len(), 1, "nothing else reached the provider");
    drop(open.pop());
    eventually("a place for the next one", || {
        (gateway.chat("acme", "hi").status == 200).then_some(())
    });
    gateway.reaches("tollgate_bounds_reached_total{bound=\"connections\"}", 200.0);
}

#[test]
fn more_calls_than_there_is_room_for() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("bounds", "{calls_in_flight: 2}").start();
    let events = step::chat_events(&["first ", "last "], true);
    let mut streams = vec![];
    for _ in 0..2 {
        let (gate, go) = step::gate();
        let mut script = step::sse_open(&events[..2]);
        script.push(gate);
        script.extend(step::sse_rest(&events[2..]));
        provider.script([script]);
        let mut connection = gateway.connect();
        connection.send(&call(true));
        let head = connection.head().unwrap();
        connection.chunks_until("first ");
        streams.push((connection, head, go));
    }
    told_to_come_back(&gateway.chat("acme", "hi"));
    is_well(&gateway);
    for (mut connection, mut head, go) in streams {
        go.send(()).unwrap();
        connection.body(&mut head);
        assert!(
            head.complete && head.text().ends_with("[DONE]\n\n"),
            "a stream that runs is not harmed"
        );
    }
    eventually("room for the next call", || {
        (gateway.chat("acme", "hi").status == 200).then_some(())
    });
    let rows = gateway.rows(4);
    let refused =
        rows.iter().find(|row| row["outcome"] == "refused").expect("a row of the refused call");
    assert_eq!(
        (&refused["status"], &refused["error_code"], &refused["attempts"]),
        (&json!(503), &json!("overloaded"), &json!(0))
    );
}

#[test]
fn more_bytes_than_there_is_room_for() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("bounds", "{held_bytes: 4MiB}").start();
    // Long answers that are checked whole and do not come to their end.
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
    provider.always(vec![
        step::Act::Send([head.as_bytes(), &vec![b' '; 900_000]].concat()),
        step::Act::Hold,
    ]);
    let held: Vec<Connection> = (0..4)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send(&call(false));
            connection
        })
        .collect();
    provider.wait_for(4);
    provider.always(step::chat("hello"));
    let reply = eventually("a call that finds no room", || {
        Some(gateway.chat("acme", "hi")).filter(|reply| reply.status != 200)
    });
    told_to_come_back(&reply);
    is_well(&gateway);
    gateway.reaches("tollgate_bounds_reached_total{bound=\"held_bytes\"}", 1.0);
    drop(held);
    eventually("room for the next call", || {
        (gateway.chat("acme", "hi").status == 200).then_some(())
    });
}

#[test]
fn a_long_answer_that_finds_no_room_passes_all_the_same() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("bounds", "{held_bytes: 4MiB}").start();
    let mut body = step::chat_body("hello");
    body["padding"] = json!("x".repeat(900_000));
    let text = body.to_string();
    provider.always(step::json(200, &body));
    let answered = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16).map(|_| scope.spawn(|| gateway.chat("acme", "hi"))).collect();
        let replies = calls.into_iter().map(|call| call.join().unwrap());
        // One that came when there was no room was told so; every other has its answer, byte for
        // byte.
        replies
            .filter(|reply| reply.status != 503)
            .map(|reply| assert!(reply.ok().text() == text && reply.complete))
            .count()
    });
    // There is room for four of them, and the first calls find it.
    assert!(answered >= 4, "{answered}");
    gateway.chat("acme", "hi").ok();
}

#[test]
fn fewer_descriptors_than_connections() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).descriptors(64).start();
    gateway.chat("acme", "hi").ok();
    let before = gateway.open_files();
    let flood: Vec<Connection> = (0..300).map(|_| gateway.connect()).collect();
    eventually("as many connections as fit", || {
        (gateway.metric("tollgate_connections ") >= 10.0).then_some(())
    });
    assert!(gateway.open_files() < 64, "never at the system's own limit: {}", gateway.open_files());
    gateway.operators("/healthz").ok();
    gateway.prints("too few file descriptors");
    drop(flood);
    eventually("a good call", || (gateway.chat("acme", "hi").status == 200).then_some(()));
    eventually("descriptors as before", || (gateway.open_files() <= before + 2).then_some(()));
}
