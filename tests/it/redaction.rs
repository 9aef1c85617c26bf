//! What leaves the house: nothing personal, however the bytes are cut; everything else byte for
//! byte.

use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Setup, chat, chunked, jwt, step};

const PATH: &str = "/v1/chat/completions";

/// Every letter of a JSON text's strings as an escape.
fn escaped(json: &str) -> String {
    json.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "@.+ -".contains(c) {
                format!("\\u{:04x}", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[test]
fn personal_data_is_redacted_wherever_the_body_is_cut() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str())];
    let texts = [
        "mail jane.doe@example.com or +49 30 1234567 now".to_owned(),
        escaped("mail jane.doe@example.com or +49 30 1234567 now"),
    ];
    for text in texts {
        let body = format!(
            "{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
        );
        let mut connection = gateway.connect();
        let bytes = body.as_bytes();
        for cut in 0..bytes.len() {
            let reply =
                connection.send(&chunked(PATH, &headers, &[&bytes[..cut], &bytes[cut..]])).reply();
            assert_eq!(
                reply.ok().header("x-tollgate-redactions"),
                Some("email=1,phone=1"),
                "cut at {cut}"
            );
        }
        // One byte in each chunk, too.
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        connection.send(&chunked(PATH, &headers, &each)).reply().ok();
        let seen = provider.take_seen();
        assert_eq!(seen.len(), bytes.len() + 1);
        let first = seen[0].text().to_owned();
        let content = seen[0].json()["messages"][0]["content"].as_str().unwrap().to_owned();
        assert!(content.starts_with("mail [") && content.ends_with(" now"), "{content}");
        for personal in ["jane", "doe", "example", "1234567", "+49"] {
            assert!(!content.contains(personal), "{content}");
        }
        // What is outside the matches is what was sent, escapes and all.
        let (before, after) =
            (body.find("mail").or(body.find("\\u006d")).unwrap(), &body[body.len() - 4..]);
        assert!(first.starts_with(&body[..before]) && first.ends_with(after), "{first}");
        for (cut, seen) in seen.iter().enumerate() {
            assert_eq!(seen.text(), first, "cut at {cut}");
        }
    }
}

#[test]
fn personal_data_is_in_no_log() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("log", "{level: debug, format: json}").start();
    provider.script([
        step::chat("you said jane.doe@example.com"),
        step::sse(&step::chat_events(&["write to jane", ".doe@exam", "ple.com ok"], true)),
    ]);
    gateway.chat("acme", "jane.doe@example.com").ok();
    let mut body = chat("call +49 30 1234567");
    body["stream"] = json!(true);
    gateway.post(PATH, &jwt("acme"), &body).ok();
    for row in gateway.rows(2) {
        let text = Value::Object(row).to_string();
        for personal in ["jane", "1234567"] {
            assert!(!text.contains(personal), "{text}");
        }
    }
    for personal in ["jane", "1234567", "sk-gateway-own-key"] {
        assert!(!gateway.printed().contains(personal), "{}", gateway.printed());
        assert!(!gateway.operators("/metrics").text().contains(personal));
        assert!(!gateway.operators("/api/config").text().contains(personal));
        assert!(!gateway.operators("/api/logs").text().contains(personal));
    }
    // The write-ahead log holds the same rows.
    let mut folders = vec![gateway.folder().join("data")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                files += 1;
                for personal in ["jane.doe", "1234567"] {
                    assert!(
                        !bytes.windows(personal.len()).any(|w| w == personal.as_bytes()),
                        "{:?}",
                        entry.path()
                    );
                }
            }
        }
    }
    assert!(files > 0);
}

#[test]
fn attachments_do_not_reach_the_provider() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let pixels = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "look at this"},
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{pixels}")}},
        {"type": "image_url", "image_url": {"url": "https://example.org/photo-of-jane.png"}},
        {"type": "input_audio", "input_audio": {"data": pixels, "format": "wav"}},
        {"type": "file", "file": {"file_data": pixels, "filename": "contract-of-jane.pdf"}},
        {"type": "text", "text": format!("inline data:image/png;base64,{pixels} end")},
    ]}]});
    gateway.post(PATH, &jwt("acme"), &body).ok();
    let seen = provider.only();
    assert!(seen.text().contains("look at this"), "{}", seen.text());
    for gone in ["iVBORw0KGgo", "data:image", "photo-of-jane", "contract-of-jane"] {
        assert!(!seen.text().contains(gone), "{}", seen.text());
    }
    assert_eq!(seen.json()["model"], "gpt-4o-mini");
    let row = gateway.only_row();
    assert!(row["attachments_dropped"].as_u64().unwrap() >= 4, "{row:?}");
    assert!(!row["request"].as_str().unwrap().contains("iVBORw0KGgo"));
}

#[test]
fn attachments_can_be_refused_or_allowed() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("redaction", "attachments: reject\norgs: {artists: {attachments: allow}}")
        .start();
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]});
    gateway.post(PATH, &jwt("acme"), &body).refused(415, "attachments_not_allowed");
    assert!(provider.take_seen().iter().all(|seen| !seen.complete));
    gateway.post(PATH, &jwt("artists"), &body).ok();
    assert!(provider.only().text().contains("iVBORw0KGgo="));
}

#[test]
fn organisations_have_their_own_rules() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "redaction",
            "entities: [email]\ncustom: [{name: ticket, pattern: \"TKT-[0-9]+\", \
                replacement: \"[TICKET]\"}]\n\
             terms: [{name: project, words: [Bluebird], replacement: \"[PROJECT]\"}]\norgs: \
             {plain: {entities: []}}",
        )
        .start();
    let text = "jane@example.com TKT-123 Bluebird +49 30 1234567";
    gateway.chat("acme", text).ok();
    gateway.chat("plain", text).ok();
    let seen = provider.seen();
    let content = |n: usize| seen[n].json()["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(content(0).ends_with("[TICKET] [PROJECT] +49 30 1234567"), "{}", content(0));
    assert!(!content(0).contains("jane"));
    assert!(content(1).starts_with("jane@example.com"), "{}", content(1));
}

#[test]
fn placeholders_are_put_back_for_the_caller_alone() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("redaction", "orgs: {acme: {restore: true}}").start();
    let text = "write to jane@example.com and joe@example.com and jane@example.com";
    let numbered = "write to [REDACTED_EMAIL_1] and [REDACTED_EMAIL_2] and [REDACTED_EMAIL_1]";
    let said = "I wrote to [REDACTED_EMAIL_2], not to [REDACTED_EMAIL_3] [";
    // Whole, as a stream, as a stream of single bytes, and to an organisation that did not ask for
    // it.
    let words = ["I wrote to ", "[RED", "ACTED_EMAIL_", "2]", ", not to [REDACTED_EMAIL_3] ["];
    provider.script([
        step::chat(said),
        step::sse(&step::chat_events(&words, true)),
        step::one_byte_per_frame(&step::chat_events(&words, true)),
        step::chat(said),
    ]);
    let whole = gateway.chat("acme", text);
    let content =
        |reply: &Value| reply["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(
        content(&whole.ok().json()),
        "I wrote to joe@example.com, not to [REDACTED_EMAIL_3] ["
    );
    assert_eq!(whole.header("x-tollgate-redactions"), Some("email=3"));
    let mut body = chat(text);
    body["stream"] = json!(true);
    for _ in 0..2 {
        let stream = gateway.post(PATH, &jwt("acme"), &body);
        let events: Vec<&str> =
            stream.ok().text().lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let content: String = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(content, "I wrote to joe@example.com, not to [REDACTED_EMAIL_3] [");
        assert_eq!(events.last(), Some(&"[DONE]"));
    }
    assert_eq!(content(&gateway.chat("other", text).ok().json()), said);
    let seen = provider.seen();
    for (n, expected) in [
        (0, numbered),
        (1, numbered),
        (3, "write to [REDACTED_EMAIL] and [REDACTED_EMAIL] and [REDACTED_EMAIL]"),
    ] {
        assert_eq!(seen[n].json()["messages"][0]["content"], expected, "{n}");
    }
    for row in gateway.rows(4) {
        let row = Value::Object(row).to_string();
        assert!(!row.contains("joe") && !row.contains("jane"), "{row}");
    }
}

/// The text of a streamed answer.
fn said_in(stream: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let text = |event: Value| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    events.filter_map(text).collect()
}

#[test]
fn a_placeholder_of_an_earlier_call_is_never_a_value_of_this_one() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("redaction", "{restore: true, restore_arguments: true}")
        .start();
    let history = json!({"model": "gpt-4o-mini", "messages": [
        {"role": "user", "content": "who wrote?"},
        {"role": "assistant", "content": "It was [REDACTED_EMAIL_1]."},
        {"role": "user", "content": "thanks; now write to jane@example.com"},
    ]});
    let said = "[REDACTED_TEXT_1] wrote; I write to [redacted email 1].";
    provider.always(step::chat(said));
    let reply = gateway.post(PATH, &jwt("acme"), &history);
    let sent = provider.only().json();
    assert_eq!(sent["messages"][1]["content"], "It was [REDACTED_TEXT_1].");
    assert_eq!(sent["messages"][2]["content"], "thanks; now write to [REDACTED_EMAIL_1]");
    assert_eq!(
        reply.ok().json()["choices"][0]["message"]["content"],
        "[REDACTED_EMAIL_1] wrote; I write to jane@example.com."
    );
    assert_eq!(reply.header("x-tollgate-redactions"), Some("email=1"));
}

#[test]
fn stable_placeholders_outlast_calls_and_gateways() {
    let provider = Provider::start();
    let setup = |key: &str| {
        Setup::new(&provider)
            .setting("placeholder_key", key)
            .section("redaction", "{placeholders: stable, restore: true}")
            .start()
    };
    let (one, two) =
        ("one-secret-of-at-least-32-bytes-here", "two-secret-of-at-least-32-bytes-here");
    let sent = |gateway: &Gateway, org: &str, text: &str| {
        gateway.chat(org, text).ok();
        let seen = provider.seen();
        let last = seen.last().expect("a call").json();
        last["messages"][0]["content"].as_str().expect("text").to_owned()
    };
    let first = {
        let gateway = setup(one);
        let first = sent(&gateway, "acme", "jane@example.com");
        assert!(first.starts_with("[REDACTED_EMAIL_") && first.len() == 27, "{first}");
        assert_eq!(sent(&gateway, "acme", "joe@example.com jane@example.com")[28..], first);
        assert_ne!(sent(&gateway, "globex", "jane@example.com"), first);
        // Typed by one who has not sent the value, it stands for nothing.
        provider.script([step::chat(&format!("It is {first}"))]);
        let reply = gateway.chat("acme", &format!("whose is {first}? joe@example.com"));
        assert_eq!(reply.ok().json()["choices"][0]["message"]["content"], format!("It is {first}"));
        first
    };
    let replica = setup(one);
    assert_eq!(sent(&replica, "acme", "jane@example.com"), first);
    assert_ne!(sent(&setup(two), "acme", "jane@example.com"), first);
}

#[test]
fn actions_reject_remove_and_count() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "redaction",
            "{entities: [email], actions: {credit_card: reject, iban: drop_message, phone: count}}",
        )
        .start();
    let card = "4111 1111 1111 1111";
    let refused = gateway.chat("acme", &format!("my card {card}, jane@example.com"));
    refused.refused(422, "sensitive_data");
    let error = refused.text().to_owned();
    assert!(error.contains("credit_card") && !error.contains("4111"), "{error}");
    // A long body is sent while it is read: the attempt is ended before its body is complete.
    let long = format!("{} {card}", "word ".repeat(40 << 10));
    gateway.chat("acme", &long).refused(422, "sensitive_data");
    let query = format!("{PATH}?card=4111111111111111");
    gateway.post(&query, &jwt("acme"), &chat("hello")).refused(422, "sensitive_data");
    assert!(provider.seen().iter().all(|request| !request.text().contains("4111")));
    let body = json!({"model": "gpt-4o-mini", "messages": [
        {"role": "user", "content": "pay to DE89 3704 0044 0532 0130 00"},
        {"role": "user", "content": "and call +44 20 7946 0958 or jane@example.com"},
    ]});
    gateway.post(PATH, &jwt("acme"), &body).ok();
    // The beginning of the long body may have come, too.
    let seen = provider.seen();
    let sent = seen.iter().find(|request| request.text().contains("message removed"));
    let sent = sent.expect("the last call").json();
    assert_eq!(sent["messages"][0], json!({"role": "user", "content": "[message removed]"}));
    assert_eq!(sent["messages"][1]["content"], "and call +44 20 7946 0958 or [REDACTED_EMAIL]");
    let rows = gateway.rows(4);
    let actions: Vec<&str> =
        rows.iter().map(|row| row["redaction_actions"].as_str().expect("text")).collect();
    assert_eq!(
        actions,
        [
            "reject:credit_card=1",
            "reject:credit_card=1",
            "reject:credit_card=1",
            "count:phone=1,drop_message=1"
        ]
    );
    assert_eq!(rows[0]["error_code"], "sensitive_data");
}

#[test]
fn values_that_a_call_has_not_sent_are_taken_out_of_its_answer() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("redaction", "{restore: true, answers: mask, orgs: {open: {answers: 'off'}}}")
        .start();
    let words = ["Not joe", "@exam", "ple.com but [REDACTED_EM", "AIL_1] or +44 20 79", "46 0958."];
    provider.script([
        step::chat(&words.concat()),
        step::sse(&step::chat_events(&words, true)),
        step::one_byte_per_frame(&step::chat_events(&words, true)),
        step::chat(&words.concat()),
    ]);
    let asked = "write to jane@example.com";
    let expected = "Not [REDACTED_EMAIL] but jane@example.com or [REDACTED_PHONE].";
    let whole = gateway.chat("acme", asked);
    assert_eq!(whole.ok().json()["choices"][0]["message"]["content"], expected);
    let mut body = chat(asked);
    body["stream"] = json!(true);
    for _ in 0..2 {
        let stream = gateway.post(PATH, &jwt("acme"), &body);
        assert_eq!(said_in(stream.ok().text()), expected);
        assert!(stream.ok().text().ends_with("data: [DONE]\n\n"));
    }
    let open = gateway.chat("open", asked);
    assert!(open.ok().text().contains("joe@example.com"));
    let masked: Vec<i64> = gateway
        .rows(4)
        .iter()
        .map(|row| row["answer_masked"].as_i64().expect("a number"))
        .collect();
    assert_eq!(masked, [2, 2, 2, 0]);
}

/// A call without a body sends no values: what the provider has stored for others is taken out of
/// its answer, and names that are no text stay.
#[test]
fn answers_to_calls_without_a_body_are_masked() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("redaction", "answers: mask").start();
    let stored = json!({"id": "resp_0123456789", "object": "response", "model": "gpt-4o-2024-08-06",
        "created_at": 1_795_428_000, "output": [{"type": "message", "id": "msg_4915123456789",
        "content": [{"type": "output_text", "text": "write to joe@example.com"}]}]});
    let models = json!({"object": "list", "data": [{"id": "gpt-4o-2024-08-06", "object": "model",
        "created": 1_715_367_049, "owned_by": "system"}]});
    let events =
        ["data: {\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"output_index\":0,\
                   \"content_index\":0,\"delta\":\"joe@example.com it is\"}\n\n"];
    let text = [("content-type", "text/plain; charset=utf-8")];
    provider.script([
        step::json(200, &stored),
        step::json(200, &models),
        step::sse(&events),
        step::with_headers(200, &text, b"mail joe@example.com, not you"),
        step::json(200, &stored),
    ]);
    let bearer = format!("Bearer sk-{}", "a1b2c3d4e5".repeat(4));
    let headers = [("authorization", bearer.as_str())];
    let ask = |method: &str, path: &str| gateway.send(method, path, &headers, b"");
    let found = ask("GET", "/v1/responses/resp_0123456789");
    let mut expected = stored.clone();
    expected["output"][0]["content"][0]["text"] = "write to [REDACTED_EMAIL]".into();
    assert_eq!(found.ok().json(), expected);
    assert_eq!(ask("GET", "/v1/models").ok().json(), models);
    let stream = ask("GET", "/v1/responses/resp_0123456789?stream=true");
    let told = stream.ok().text();
    assert!(told.contains("[REDACTED_EMAIL] it") && !told.contains("joe@"), "{told}");
    let content = ask("GET", "/v1/files/file-0123456789/content");
    assert_eq!(content.ok().text(), "mail [REDACTED_EMAIL], not you");
    assert_eq!(ask("POST", "/v1/responses/resp_0123456789/cancel").ok().json(), expected);
    let masked: Vec<i64> = gateway
        .rows(5)
        .iter()
        .map(|row| row["answer_masked"].as_i64().expect("a number"))
        .collect();
    assert_eq!(masked, [1, 0, 1, 1, 1]);
}

#[test]
fn an_answer_that_cannot_be_read_is_not_passed_on() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("redaction", "answers: mask").start();
    let headers = [("content-type", "application/json"), ("content-encoding", "br")];
    provider.script([step::with_headers(200, &headers, b"abcd")]);
    gateway.chat("acme", "hello").refused(503, "provider_unavailable");
}

#[test]
fn allowed_values_leave_as_they_are() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("redaction", "orgs: {acme: {allow: ['@example.com', +49 30 1234567]}}")
        .start();
    let text = "jane@example.com joe@example.org +49 (30) 1234567 +49 30 7654321";
    gateway.chat("acme", text).ok();
    gateway.chat("other", text).ok();
    let seen = provider.seen();
    let content = |n: usize| seen[n].json()["messages"][0]["content"].as_str().unwrap().to_owned();
    assert_eq!(content(0), "jane@example.com [REDACTED_EMAIL] +49 (30) 1234567 [REDACTED_PHONE]");
    assert_eq!(content(1), "[REDACTED_EMAIL] [REDACTED_EMAIL] [REDACTED_PHONE] [REDACTED_PHONE]");
}

/// LangChain's default: text as the token ids of OpenAI's encodings, with the model behind it.
#[test]
fn token_ids_are_redacted_as_the_text_that_they_stand_for() {
    let provider = Provider::start();
    provider.always(step::json(200, &json!({"object": "list", "data": [], "model": "m"})));
    let gateway = Setup::new(&provider)
        .section(
            "redaction",
            "{entities: [email], orgs: {open: {token_arrays: allow}, shut: \
            {token_arrays: refuse}}}",
        )
        .start();
    // "Hello, world" and "mail jane@example.com" in cl100k_base.
    let body = json!({"input": [[9906, 11, 1917], [3796, 503, 2194, 36587, 916]], "model": "text-embedding-3-small"});
    let ask = |org: &str, path: &str, body: &Value| gateway.post(path, &jwt(org), body);
    let reply = ask("acme", "/v1/embeddings", &body);
    assert_eq!(reply.ok().header("x-tollgate-redactions"), Some("email=1"));
    let seen = provider.take_seen()[0].json();
    assert_eq!(seen["input"], json!(["Hello, world", "mail [REDACTED_EMAIL]"]));
    let prompt = json!({"model": "gpt-3.5-turbo-instruct", "prompt": [3796, 503, 2194, 36587, 916], "max_tokens": 5});
    ask("acme", "/v1/completions", &prompt).ok();
    assert_eq!(provider.take_seen()[0].json()["prompt"], "mail [REDACTED_EMAIL]");
    // An encoding that is not known, or that the policy does not want.
    let mut other = body.clone();
    other["model"] = json!("bge-m3");
    let refused = ask("acme", "/v1/embeddings", &other);
    refused.refused(415, "unsupported_media_type");
    assert!(refused.text().contains("send `input` as text"), "{}", refused.text());
    ask("shut", "/v1/embeddings", &body).refused(415, "unsupported_media_type");
    assert_eq!(provider.seen().len(), 0);
    ask("open", "/v1/embeddings", &other).ok();
    assert_eq!(provider.take_seen()[0].json()["input"], other["input"]);
}
