//! Large bodies of one caller do not hold up others, and take no memory beyond what they say.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::{Gateway, Provider, SECRET, Setup, a_processor, chat, jwt, request};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A chat body of about `bytes` bytes that is all matches.
fn matches(bytes: usize) -> String {
    chat(&"%40b.png a@b.co +14155550132 ".repeat(bytes / 30)).to_string()
}

/// While large bodies are at work, an organisation's small calls are answered, and so is health.
fn small_calls_pass(setup: Setup, provider: &Provider) {
    let gateway = setup
        .section("auth", &format!("{{jwt: {{secret: \"{SECRET}\"}}, accept: [jwt, passthrough]}}"))
        .start();
    let plain = matches(1 << 20);
    let packed = gzip(&plain);
    let hogs: Vec<_> = (0..12)
        .map(|n| {
            let bearer = format!(
                "Bearer {}",
                if n % 2 == 0 { jwt("hog") } else { "sk-junk-0123456789".to_owned() }
            );
            let mut headers = vec![("authorization", bearer.as_str())];
            let body = if n % 3 == 0 { packed.as_slice() } else { plain.as_bytes() };
            if n % 3 == 0 {
                headers.push(("content-encoding", "gzip"));
            }
            let bytes = request("POST", "/v1/chat/completions", &headers, body);
            let mut connection = gateway.connect();
            std::thread::spawn(move || connection.send(&bytes).reply().status)
        })
        .collect();
    let uploaded = || provider.seen().iter().filter(|seen| seen.body.len() > 1 << 18).count();
    // Together the large ones take seconds.
    for _ in 0..5 {
        gateway.chat("victim", "hello").ok();
        assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
        gateway.operators("/healthz").ok();
    }
    assert!(uploaded() < hogs.len(), "the small calls came first");
    for hog in hogs {
        assert_eq!(hog.join().unwrap(), 200);
    }
    assert_eq!(uploaded(), 12);
}

#[test]
fn small_calls_pass_large_ones() {
    let provider = Provider::start();
    small_calls_pass(Setup::new(&provider), &provider);
}

#[test]
fn small_calls_pass_large_ones_on_one_processor() {
    let provider = Provider::start();
    small_calls_pass(
        Setup::new(&provider).under(&format!("taskset -c {}", a_processor())),
        &provider,
    );
}

/// Tickets beside megabytes of fields that nobody asked for, in either coding.
#[test]
fn tickets_are_found_among_megabytes_of_other_fields() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // Numbers that differ, so that it stays below the ratio bound.
    let junk: String = (0..600_000_u32)
        .map(|n| format!("{{\"a\":{}}},", n.wrapping_mul(2_654_435_761) >> 22))
        .collect();
    let junk = junk.trim_end_matches(',');
    let ticket = r#"{"title":"Charged twice","body":"Please refund"}"#;
    let before = format!(r#"{{"x":[{junk}],"tickets":[{ticket}]}}"#);
    let within = format!(r#"{{"tickets":[{},"x":[{junk}]}}]}}"#, ticket.trim_end_matches('}'));
    let bearer = format!("Bearer {}", jwt("acme"));
    for body in [before, within] {
        for packed in [false, true] {
            let mut headers = vec![("authorization", bearer.as_str())];
            if packed {
                headers.push(("content-encoding", "gzip"));
            }
            let bytes = if packed { gzip(&body) } else { body.clone().into_bytes() };
            let reply = gateway.send("POST", "/api/ai/intent/batch", &headers, &bytes);
            assert_eq!(reply.ok().json()["results"][0]["status"], json!(200));
        }
    }
    for wrong in [
        r#"{"title":"a","title":"b","body":"c"}"#,
        r#"{"tickets":[],"tickets":[{"title":"a","body":"b"}]}"#,
    ] {
        let path =
            if wrong.contains("tickets") { "/api/ai/intent/batch" } else { "/api/ai/intent" };
        let reply = gateway.send("POST", path, &[("authorization", &bearer)], wrong.as_bytes());
        reply.refused(400, "invalid_request");
        assert!(reply.text().contains("is given twice"), "{}", reply.text());
    }
    // In one ticket of a batch it is the mistake of that ticket.
    let twice = r#"{"tickets":[{"title":"a","body":"b","b\u006fdy":"c"}]}"#;
    let headers = [("authorization", bearer.as_str())];
    let reply = gateway.send("POST", "/api/ai/intent/batch", &headers, twice.as_bytes());
    let result = reply.ok().json()["results"][0].clone();
    assert_eq!((&result["status"], &result["error"]["param"]), (&json!(400), &json!("body")));
    assert!(reply.text().contains("is given twice"), "{}", reply.text());
}
