//! HTTP as it should not be: what is ambiguous is refused, what is hop-by-hop stays on its hop.

use crate::support::{Connection, Gateway, Provider, Setup, chat, jwt};

/// Writes raw bytes, `{auth}` and `{body}` and `{len}` filled in; the status of the answer, 0 for a
/// closed connection.
fn raw(gateway: &Gateway, template: &str) -> u16 {
    let body = chat("hi").to_string();
    let bytes = template
        .replace(
            "{auth}",
            &format!("authorization: Bearer {}\r\ncontent-type: application/json", jwt("acme")),
        )
        .replace("{len}", &body.len().to_string())
        .replace("{hex}", &format!("{:x}", body.len()))
        .replace("{body}", &body);
    let mut connection = Connection::open(gateway.apps);
    connection.send(bytes.as_bytes());
    connection.head().map_or(0, |head| head.status)
}

#[test]
fn ambiguous_requests_are_refused_and_never_forwarded() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let post = "POST /v1/chat/completions HTTP/1.1\r\n";
    let bad = [
        format!(
            "{post}host: a\r\n{{auth}}\r\ncontent-length: {{len}}\r\ntransfer-encoding: \
                chunked\r\n\r\n{{hex}}\r\n{{body}}\r\n0\r\n\r\n"
        ),
        format!(
            "{post}host: a\r\n{{auth}}\r\ntransfer-encoding: gzip, \
                chunked\r\n\r\n{{hex}}\r\n{{body}}\r\n0\r\n\r\n"
        ),
        format!("{post}host: a\r\n{{auth}}\r\ntransfer-encoding: identity\r\n\r\n{{body}}"),
        format!(
            "{post}host: a\r\n{{auth}}\r\ncontent-length: {{len}}\r\ncontent-length: \
                3\r\n\r\n{{body}}"
        ),
        format!("{post}host: a\r\nhost: b\r\n{{auth}}\r\ncontent-length: {{len}}\r\n\r\n{{body}}"),
        format!("{post}{{auth}}\r\ncontent-length: {{len}}\r\n\r\n{{body}}"),
        format!(
            "{post}host: a\r\n{{auth}}\r\ntransfer-encoding: \
                chunked\r\n\r\n0x{{hex}}\r\n{{body}}\r\n0\r\n\r\n"
        ),
        format!(
            "{post}host: a\r\n{{auth}}\r\n folded: x\r\ncontent-length: {{len}}\r\n\r\n{{body}}"
        ),
        "CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n{auth}\r\n\r\n".into(),
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n{auth}\r\n\r\n".into(),
        "TRACE /v1/models HTTP/1.1\r\nhost: a\r\n{auth}\r\n\r\n".into(),
        "GET http://evil.example/v1/models HTTP/1.1\r\nhost: a\r\n{auth}\r\n\r\n".into(),
    ];
    for template in bad {
        let status = raw(&gateway, &template);
        assert!(status == 0 || (400..500).contains(&status), "{status}: {template}");
    }
    for path in [
        "/v1/../v1/models",
        "/v1/%2e%2e/admin",
        "//evil.example/v1/models",
        "/v1//models",
        "/v1/models%2f..",
        "/v1/models%00",
        "/v1/models;x=1",
        "/v1/./models",
        "/v1/%6dodels",
        "/metrics",
        "/api/config",
        "/v1/models/..%5c",
    ] {
        let status = raw(&gateway, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n{{auth}}\r\n\r\n"));
        assert!((400..500).contains(&status), "{status}: {path}");
    }
    assert!(provider.seen().iter().all(|seen| !seen.complete), "{:?}", provider.seen());
    gateway.chat("acme", "still well").ok();
}

#[test]
fn hop_by_hop_headers_stay_on_their_hop() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let status = raw(
        &gateway,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{auth}\r\nconnection: close, \
            openai-beta\r\nkeep-alive: 5\r\n\
         te: trailers\r\nupgrade: h2c\r\nopenai-beta: x\r\nexpect: 100-continue\r\ncontent-length: \
         {len}\r\n\r\n{body}",
    );
    assert_eq!(status, 200);
    let seen = provider.only();
    for name in ["keep-alive", "te", "upgrade", "openai-beta", "expect"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[test]
fn http_1_0_is_answered_and_forwarded_as_1_1() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let status = raw(
        &gateway,
        "POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\n{auth}\r\ncontent-length: \
            {len}\r\n\r\n{body}",
    );
    assert_eq!(status, 200);
    assert_eq!(provider.only().text(), chat("hi").to_string());
}

#[test]
fn trailers_are_dropped() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let status = raw(
        &gateway,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{auth}\r\ntrailer: \
            x-late\r\ntransfer-encoding: chunked\r\n\r\n\
         {hex}\r\n{body}\r\n0\r\nx-late: jane@example.com\r\n\r\n",
    );
    assert_eq!(status, 200);
    let seen = provider.only();
    assert!(!format!("{seen:?}").contains("jane"), "{seen:?}");
}

#[test]
fn a_client_that_stops_in_its_body_leaves_nothing_half_done() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut connection = gateway.connect();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \
            {}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{\"model\":\"m\",\"messages\":[",
        jwt("acme")
    );
    connection.send(head.as_bytes());
    drop(connection);
    let row = gateway.only_row();
    assert_eq!(row["outcome"], "client_disconnect", "{row:?}");
    assert!(provider.seen().iter().all(|seen| !seen.complete), "{:?}", provider.seen());
}

#[test]
fn a_client_that_waits_to_be_asked_is_asked() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let body = chat("hi").to_string();
    let mut connection = gateway.connect();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \
            {}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        jwt("acme"),
        body.len()
    );
    connection.send(head.as_bytes());
    assert_eq!(connection.interim(), 100);
    connection.send(body.as_bytes());
    connection.reply().ok();
    assert_eq!(provider.only().text(), body);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("timeouts", "{idle: 2s}").start();
    let mut connection = gateway.connect();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \
            {}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{",
        jwt("acme")
    );
    connection.send(head.as_bytes());
    connection.reply().refused(408, "request_timeout");
    assert!(provider.seen().iter().all(|seen| !seen.complete));
    // A slow body that keeps coming is read to its end, though it takes longer than that all
    // together.
    let body = chat("hi").to_string();
    let head = head.replace("1000", &body.len().to_string());
    let mut connection = gateway.connect();
    connection.send(head.as_bytes());
    for piece in body.as_bytes()[1..].chunks(8) {
        std::thread::sleep(std::time::Duration::from_millis(300));
        connection.send(piece);
    }
    connection.reply().ok();
}
