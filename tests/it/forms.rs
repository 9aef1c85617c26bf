//! Forms: text fields are redacted, files pass or are refused by the policy, and nothing of the
//! head of a part passes but its names and its type.

use serde_json::json;

use crate::support::{Gateway, Provider, Reply, SECRET, Seen, Setup, chunked, jwt, step};

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

/// A part of a form: what follows `form-data; ` in its head, and its content.
type Part<'p> = (&'p str, &'p [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut form = Vec::new();
    for (disposition, content) in parts {
        let head = format!("--bound\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--bound--\r\n");
    form
}

/// Sound of so many bytes: not text, and full of line breaks and hyphens.
fn sound(bytes: usize) -> Vec<u8> {
    let mut sound = b"RIFF\0\0\0\0WAVE\r\n--boun\r\n--".to_vec();
    sound.extend((0..=255_u8).cycle().take(bytes).map(|b| b.wrapping_mul(31)));
    sound.truncate(bytes);
    sound
}

fn send(gateway: &Gateway, path: &str, bearer: &str, body: &[u8]) -> Reply {
    let bearer = format!("Bearer {bearer}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "multipart/form-data; boundary=bound"),
    ];
    gateway.send("POST", path, &headers, body)
}

fn allowing(provider: &Provider) -> Setup {
    Setup::new(provider).section("redaction", "{attachments: allow}")
}

/// The parts of a form as the provider got it: what follows `form-data; `, and the content.
fn parts(seen: &Seen) -> Vec<(String, Vec<u8>)> {
    let kind = seen.header("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a form");
    assert_ne!(boundary, "bound", "the client's boundary went on");
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n", &seen.body[..]].concat();
    let mut cuts: Vec<usize> = body
        .windows(delimiter.len())
        .enumerate()
        .filter(|(_, w)| *w == delimiter)
        .map(|(at, _)| at)
        .collect();
    let end = cuts.pop().expect("an end");
    assert_eq!(&body[end + delimiter.len()..], b"--\r\n");
    let ends = cuts.iter().skip(1).copied().chain([end]);
    cuts.iter()
        .zip(ends)
        .map(|(from, to)| {
            let part = &body[from + delimiter.len() + 2..to];
            let at = part.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
            let head = String::from_utf8(part[..at].to_vec()).expect("UTF-8");
            let head =
                head.strip_prefix("Content-Disposition: form-data; ").expect("a disposition");
            (head.to_owned(), part[at + 4..].to_vec())
        })
        .collect()
}

#[test]
fn text_fields_are_redacted_and_files_pass_byte_for_byte() {
    let provider = Provider::start();
    let usage = json!({"text": "hello", "usage": {"type": "tokens", "input_tokens": 14,
        "output_tokens": 45, "total_tokens": 59}});
    provider.always(step::json(200, &usage));
    let gateway = allowing(&provider).start();
    // Whole, and so long that it streams; with the file first, as some clients write it.
    for bytes in [2_000, 300_000] {
        let sound = sound(bytes);
        let body = form(&[
            ("name=\"file\"; filename=\"call of jane@example.com.wav\"", &sound),
            ("name=\"model\"", b"gpt-4o-transcribe"),
            ("name=\"prompt\"", b"Jane: +1 415 555 0132\r\n\"quoted\""),
        ]);
        let reply = send(&gateway, TRANSCRIPTIONS, &jwt("acme"), &body);
        assert_eq!(reply.ok().json(), usage);
        assert_eq!(reply.header("x-tollgate-redactions"), Some("email=1,phone=1"));
        let seen = provider.take_seen().remove(0);
        assert_eq!(seen.target, TRANSCRIPTIONS);
        assert!(
            parts(&seen)
                == [
                    ("name=\"file\"; filename=\"call of [REDACTED_EMAIL].wav\"".to_owned(), sound),
                    ("name=\"model\"".to_owned(), b"gpt-4o-transcribe".to_vec()),
                    (
                        "name=\"prompt\"".to_owned(),
                        b"Jane: [REDACTED_PHONE]\r\n\"quoted\"".to_vec()
                    ),
                ]
        );
    }
    for row in gateway.rows(2) {
        assert_eq!(row["endpoint"], "/v1/audio/transcriptions");
        assert_eq!((&row["model"], &row["status"]), (&json!("gpt-4o-transcribe"), &json!(200)));
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(14), &json!(45)));
        assert_eq!((&row["redacted_emails"], &row["redacted_phones"]), (&json!(1), &json!(1)));
        let logged: serde_json::Value =
            serde_json::from_str(row["request"].as_str().expect("text")).expect("JSON");
        assert_eq!(logged["filename"], "call of [REDACTED_EMAIL]");
        assert_eq!(logged["prompt"], "Jane: [REDACTED_PHONE]\r\n\"quoted\"");
    }
}

#[test]
fn every_cut_of_a_form_reaches_the_provider_alike() {
    let provider = Provider::start();
    let gateway = allowing(&provider).start();
    let body = form(&[
        ("name=\"prompt\"", b"jane@example.com"),
        ("name=\"image[]\"; filename=\"a.png\"", &sound(700)),
        ("name=\"model\"", b"gpt-image-1"),
    ]);
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "multipart/form-data; boundary=\"bound\""),
    ];
    let mut first = None;
    for size in [1, 2, 7, 64, 511, body.len()] {
        let pieces: Vec<&[u8]> = body.chunks(size).collect();
        let request = chunked("/v1/images/edits", &headers, &pieces);
        gateway.connect().send(&request).reply().ok();
        let parts = parts(&provider.take_seen().remove(0));
        assert_eq!(parts[0].1, b"[REDACTED_EMAIL]");
        assert_eq!(*first.get_or_insert_with(|| parts.clone()), parts, "pieces of {size}");
    }
}

#[test]
fn files_need_a_policy_that_allows_them() {
    let provider = Provider::start();
    let body = form(&[("name=file; filename=a", &sound(100)), ("name=model", b"whisper-1")]);
    for (policy, word) in [("drop", "attachments: allow"), ("reject", "not allowed")] {
        let gateway = Setup::new(&provider)
            .section("redaction", &format!("{{attachments: {policy}}}"))
            .start();
        for path in [TRANSCRIPTIONS, "/v1/audio/translations", "/v1/images/variations"] {
            let reply = send(&gateway, path, &jwt("acme"), &body);
            reply.refused(415, "attachments_not_allowed");
            assert!(reply.text().contains(word), "{}", reply.text());
        }
        assert_eq!(gateway.rows(3)[0]["error_code"], "attachments_not_allowed");
    }
    assert!(provider.seen().is_empty(), "a file went on");
}

#[test]
fn forms_that_two_readers_could_read_in_two_ways_are_refused() {
    let provider = Provider::start();
    let gateway = allowing(&provider).start();
    let fine = form(&[("name=model", b"m")]);
    let with = |end: &[u8]| [&fine[..], end].concat();
    let many = form(&vec![("name=a", &b"b"[..]); 1_001]);
    for body in [
        Vec::new(),
        b"{\"model\": \"m\"}".to_vec(),
        with(b"--bound\r\nContent-Disposition: form-data; name=prompt\r\n\r\nx\r\n--bound--\r\n"),
        [b"preamble\r\n", &fine[..]].concat(),
        fine[..fine.len() - 4].to_vec(),
        form(&[("name=model; name=other", b"m")]),
        form(&[("name=file; filename*=UTF-8''a", b"m")]),
        form(&[("name=\"jane@example.com\"; filename=a", b"m")]),
        form(&[("name=prompt", b"\xff\xfe\0")]),
        many,
    ] {
        let reply = send(&gateway, TRANSCRIPTIONS, &jwt("acme"), &body);
        reply.refused(400, "invalid_request");
        assert!(reply.text().contains("form"), "{}", reply.text());
    }
    for kind in ["multipart/form-data", "multipart/form-data; boundary=a; boundary=bound"] {
        let bearer = format!("Bearer {}", jwt("acme"));
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        gateway.send("POST", TRANSCRIPTIONS, &headers, &fine).refused(400, "invalid_request");
    }
    assert!(provider.seen().iter().all(|seen| !seen.complete), "{:?}", provider.seen());
}

#[test]
fn a_form_is_routed_by_its_model_and_sent_again_under_another_name() {
    let provider = Provider::start();
    provider.script([step::error(500, "x"), step::json(200, &json!({"text": "x"}))]);
    let gateway = allowing(&provider)
        .section(
            "routing",
            "{models: [{match: \"whisper-*\", to: [{provider: openai, model: other}]}]}",
        )
        .start();
    let body =
        form(&[("name=file; filename=a.wav", &sound(200_000)), ("name=model", b"whisper-1")]);
    let reply = send(&gateway, TRANSCRIPTIONS, &jwt("acme"), &body);
    assert_eq!(reply.ok().header("x-tollgate-attempts"), Some("2"));
    let seen = provider.take_seen();
    assert_eq!(seen.len(), 2);
    for seen in &seen {
        assert_eq!(parts(seen)[1], ("name=\"model\"".to_owned(), b"other".to_vec()));
    }
    assert_eq!(gateway.only_row()["model"], "whisper-1");
}

#[test]
fn stored_files_need_a_providers_key_of_the_callers_own() {
    let provider = Provider::start();
    let auth = format!("accept: [jwt, passthrough]\njwt: {{secret: \"{SECRET}\"}}");
    let gateway = allowing(&provider).section("auth", &auth).start();
    let lines = b"{\"text\": \"mail jane@example.com\"}\n";
    let body = form(&[("name=purpose", b"batch"), ("name=file; filename=a.jsonl", lines)]);
    send(&gateway, "/v1/files", &jwt("acme"), &body).refused(403, "endpoint_not_allowed");
    send(&gateway, "/v1/files", "sk-own", &body).ok();
    let parts = parts(&provider.take_seen().remove(0));
    // A file that is text is redacted as text.
    assert_eq!(parts[1].1, b"{\"text\": \"mail [REDACTED_EMAIL]\"}\n");
    // Other endpoints read JSON alone, with any key.
    for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/batches"] {
        let reply = send(&gateway, path, "sk-own", &body);
        reply.refused(415, "attachments_not_allowed");
        assert!(reply.text().contains("application/json"), "{}", reply.text());
    }
}
