//! Compressed request bodies: decoded, redacted, and forwarded plain; or refused.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::json;

use crate::support::{Gateway, Provider, Reply, Setup, chat, jwt};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

fn send(gateway: &Gateway, path: &str, coding: &str, body: &[u8]) -> Reply {
    let bearer = format!("Bearer {}", jwt("acme"));
    gateway.send("POST", path, &[("authorization", &bearer), ("content-encoding", coding)], body)
}

#[test]
fn a_compressed_body_is_read_redacted_and_forwarded_plain() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // One that is gathered, and one that streams; of words that do not repeat, so that the body
    // grows like real text.
    let long: String =
        (0..60_000_u32).map(|n| format!("w{} ", n.wrapping_mul(2_654_435_761) % 100_003)).collect();
    let mut rows = 0;
    for text in ["mail jane@example.com", &format!("mail jane@example.com {long}")] {
        let body = chat(text).to_string();
        for (coding, encoded) in [
            ("gzip", gzip(body.as_bytes())),
            ("x-gzip", gzip(body.as_bytes())),
            ("Deflate", deflate(body.as_bytes())),
            ("zstd", zstd(body.as_bytes())),
            ("identity", body.clone().into_bytes()),
        ] {
            let reply = send(&gateway, "/v1/chat/completions", coding, &encoded);
            assert_eq!(reply.status, 200, "{coding} {}: {}", encoded.len(), reply.text());
            assert_eq!(reply.header("x-tollgate-redactions"), Some("email=1"), "{coding}");
            let seen = provider.take_seen().pop().unwrap();
            assert!(
                seen.complete
                    && seen.text() == body.replace("jane@example.com", "[REDACTED_EMAIL]"),
                "{coding}"
            );
            assert_eq!(seen.header("content-encoding"), None, "{coding}");
            rows += 1;
            let row = gateway.rows(rows).pop().unwrap();
            assert_eq!(
                (&row["request_bytes"], &row["redacted_emails"]),
                (&json!(encoded.len()), &json!(1)),
                "{coding}"
            );
        }
    }
}

#[test]
fn what_cannot_be_decoded_is_refused_and_never_forwarded() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("max_body_bytes", "10MiB").start();
    let body = chat("hi").to_string();
    let zipped = gzip(body.as_bytes());
    let spaces = |bytes: usize| {
        [b"{\"messages\":[],\"x\":\"".as_slice(), &vec![b' '; bytes], b"\"}"].concat()
    };
    let table: [(&str, &str, Vec<u8>, u16, &str); 10] = [
        ("another coding", "br", zipped.clone(), 415, "unsupported_media_type"),
        ("two codings", "gzip, gzip", gzip(&zipped), 415, "unsupported_media_type"),
        ("another than it says", "zstd", zipped.clone(), 415, "unsupported_media_type"),
        ("plain", "gzip", body.clone().into_bytes(), 415, "unsupported_media_type"),
        ("cut short", "gzip", zipped[..zipped.len() - 9].to_vec(), 415, "unsupported_media_type"),
        (
            "followed by more",
            "gzip",
            [zipped.as_slice(), b"and more"].concat(),
            415,
            "unsupported_media_type",
        ),
        ("no JSON", "gzip", gzip(b"{\"model\":"), 400, "invalid_json"),
        ("a bomb", "gzip", gzip(&spaces(9 << 20)), 413, "body_too_large"),
        ("a bomb of zstd", "zstd", zstd(&spaces(9 << 20)), 413, "body_too_large"),
        ("a long body", "deflate", deflate(&spaces(11 << 20)), 413, "body_too_large"),
    ];
    for (what, coding, body, status, code) in &table {
        let reply = send(&gateway, "/v1/chat/completions", coding, body);
        assert_eq!(
            (reply.status, reply.error_code().as_str()),
            (*status, *code),
            "{what}: {}",
            reply.text()
        );
        assert!(provider.seen().iter().all(|seen| !seen.complete), "{what}");
    }
    let twice: Vec<(&str, &str)> = vec![("content-encoding", "gzip"), ("content-encoding", "gzip")];
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [twice, vec![("authorization", bearer.as_str())]].concat();
    gateway
        .send("POST", "/v1/chat/completions", &headers, &zipped)
        .refused(415, "unsupported_media_type");
    send(&gateway, "/v1/chat/completions", "gzip", &zipped).ok();
}

#[test]
fn bombs_are_refused_for_their_size_and_not_for_lack_of_memory() {
    let provider = Provider::start();
    // Less than what one of them becomes. A gateway that held it would answer 503.
    let gateway = Setup::new(&provider).setting("bounds", "{held_bytes: 4MiB}").start();
    let bomb = gzip(&vec![b' '; 64 << 20]);
    for _ in 0..20 {
        send(&gateway, "/v1/chat/completions", "gzip", &bomb).refused(413, "body_too_large");
    }
    gateway.chat("acme", "hi").ok();
}

#[test]
fn a_ticket_may_be_compressed_too() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let ticket =
        json!({"title": "Charged twice", "body": "Please refund; jane@example.com"}).to_string();
    for (coding, encoded) in [("gzip", gzip(ticket.as_bytes())), ("zstd", zstd(ticket.as_bytes()))]
    {
        send(&gateway, "/api/ai/intent", coding, &encoded).ok();
    }
    assert!(provider.seen().iter().all(|seen| !seen.text().contains("jane@")));
    send(&gateway, "/api/ai/intent", "br", ticket.as_bytes())
        .refused(415, "unsupported_media_type");
    send(&gateway, "/api/ai/intent", "gzip", ticket.as_bytes())
        .refused(415, "unsupported_media_type");
    send(&gateway, "/api/ai/intent", "gzip", &gzip(&vec![b' '; 2 << 20]))
        .refused(413, "body_too_large");
}
