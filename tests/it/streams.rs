//! Streams: their bytes, their usage, and how they end when something goes wrong.

use serde_json::{Value, json};

use crate::support::step::{self, Act};
use crate::support::{
    Connection, Gateway, Provider, Reply, Setup, a_processor, chat, eventually, jwt, request,
};

const PATH: &str = "/v1/chat/completions";

fn streamed(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = json!(true);
    body
}

fn asking_for_usage(text: &str) -> Value {
    let mut body = streamed(text);
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// Sends a call; the connection and the head of its answer.
fn open(gateway: &Gateway, path: &str, body: &Value) -> (Connection, Reply) {
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        path,
        &[("authorization", &bearer)],
        body.to_string().as_bytes(),
    ));
    let head = connection.head().expect("a head");
    (connection, head)
}

#[test]
fn a_stream_s_bytes_pass_unchanged() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut events = step::chat_events(&["Grüße ", "aus ", "\u{1f600}"], true);
    events.insert(1, ": a comment\n\n".into());
    events.insert(2, "retry: 100\r\nid: 7\r\ndata: {\"choices\":[],\"x\":1}\r\n\r\n".into());
    for step in [step::sse(&events), step::one_byte_per_frame(&events)] {
        provider.script([step]);
        let reply = gateway.post(PATH, &jwt("acme"), &asking_for_usage("hi"));
        assert_eq!(reply.ok().text(), events.concat());
        assert!(reply.complete);
        assert!(
            reply
                .header("content-type")
                .is_some_and(|value| value.starts_with("text/event-stream"))
        );
        let row = gateway.rows(1).pop().unwrap();
        assert_eq!(
            (&row["stream"], &row["input_tokens"], &row["output_tokens"]),
            (&json!(1), &json!(11), &json!(7))
        );
    }
    assert!(provider.seen().iter().all(|seen| seen.json() == asking_for_usage("hi")));
}

#[test]
fn usage_is_asked_for_and_taken_out_again() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let with_usage = step::chat_events(&["hello"], true);
    let usage_event = with_usage[with_usage.len() - 2].clone();
    for options in [
        Value::Null,
        json!({}),
        json!({"include_usage": false}),
        json!({"include_obfuscation": false}),
    ] {
        provider.take_seen();
        provider.script([step::sse(&with_usage)]);
        let mut body = streamed("hi");
        if !options.is_null() {
            body["stream_options"] = options.clone();
        }
        let reply = gateway.post(PATH, &jwt("acme"), &body);
        let sent = provider.only().json();
        assert_eq!(sent["stream_options"]["include_usage"], true, "{options}: {sent}");
        if options["include_obfuscation"] == false {
            assert_eq!(sent["stream_options"]["include_obfuscation"], false);
        }
        let text = reply.ok().text();
        assert!(!text.contains("\"choices\":[]") && !text.contains(&usage_event), "{text}");
        assert!(text.contains("hello") && text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    for row in gateway.rows(4) {
        assert_eq!(
            (&row["usage_source"], &row["output_tokens"]),
            (&json!("provider"), &json!(7)),
            "{row:?}"
        );
    }
}

#[test]
fn events_arrive_as_they_are_sent() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let events = step::chat_events(&["first ", "second "], true);
    let (gate, go) = step::gate();
    let mut script = step::sse_open(&events[..2]);
    script.push(gate);
    script.extend(step::sse_rest(&events[2..]));
    provider.script([script]);
    let (mut connection, mut head) = open(&gateway, PATH, &asking_for_usage("hi"));
    assert_eq!(head.status, 200);
    // The second event is held back by the provider, and the first is here already.
    let before = connection.chunks_until("first ");
    assert!(!before.contains("second"));
    go.send(()).unwrap();
    connection.body(&mut head);
    assert!(head.complete && head.text().ends_with("[DONE]\n\n"), "{}", head.text());
}

#[test]
fn events_that_come_together_leave_together() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).under(&format!("taskset -c {}", a_processor())).start();
    let words: Vec<String> = (0..2_000).map(|n| format!("word {n} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let events = step::chat_events(&words, true);
    provider.script([step::sse_together(&events)]);
    let (mut connection, head) = open(&gateway, PATH, &asking_for_usage("hi"));
    assert_eq!(head.status, 200);
    let (mut text, mut pieces) = (Vec::new(), 0);
    while let Some(piece) = connection.chunk().filter(|piece| !piece.is_empty()) {
        text.extend(piece);
        pieces += 1;
    }
    assert_eq!(String::from_utf8(text).expect("text"), events.concat());
    assert!(pieces < events.len() / 2, "{} events in {pieces} pieces", events.len());
    assert_eq!(gateway.rows(1)[0]["outcome"], "ok");
}

#[test]
fn a_stream_that_is_cut_says_so() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("timeouts", "{idle: 3s}").start();
    let events = step::chat_events(&["one ", "two ", "three "], true);
    let whole = &events[..3];
    let mut reset = step::sse_open(whole);
    reset.push(Act::Reset);
    let mut stalled = step::sse_open(whole);
    stalled.push(Act::Hold);
    let failures = [
        ("mid event", step::cut_mid_event(&events[..4])),
        ("between events", {
            let mut s = step::sse_open(whole);
            s.push(Act::Close);
            s
        }),
        ("by a clean end without [DONE]", step::sse(whole)),
        ("by a reset", reset),
        ("by silence", stalled),
    ];
    let count = failures.len();
    for (how, failure) in failures {
        provider.script([failure]);
        let reply = gateway.post(PATH, &jwt("acme"), &streamed("hi"));
        let text = reply.ok().text();
        assert!(!text.contains("[DONE]"), "{how}: {text}");
        assert!(text.contains("one "), "{how}: {text}");
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let data: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap_or("null"))
            .unwrap_or(Value::Null);
        assert!(
            data["error"]["message"].is_string() && data["error"]["code"].is_string(),
            "{how}: {text}"
        );
    }
    for row in gateway.rows(count) {
        let outcome = row["outcome"].as_str().unwrap();
        assert!(outcome == "provider_error" || outcome == "timeout", "{row:?}");
        assert_eq!(row["attempts"], 1, "an answer that has begun is not asked for again");
    }
}

#[test]
fn other_endpoints_tell_it_in_their_own_events() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "providers",
            &format!(
                "openai: {{kind: openai, base_url: \"http://{0}/v1\", api_key: sk-a}}\nanthropic: \
                {{kind: anthropic, base_url: \"http://{0}\", api_key: sk-b}}",
                provider.address
            ),
        )
        .section("routing", "{default: [openai], models: [{match: \"claude-*\", to: [anthropic]}]}")
        .start();
    let created = |n: u32| {
        format!(
            "event: response.output_text.delta\ndata: \
                {{\"type\":\"response.output_text.delta\",\"delta\":\"x\",\"sequence_number\":{n}}}\n\n"
        )
    };
    provider.script([step::cut_mid_event(&[created(0), created(1), created(2)])]);
    let reply = gateway.post(
        "/v1/responses",
        &jwt("acme"),
        &json!({"model": "gpt-4o", "input": "hi", "stream": true}),
    );
    let last = reply.ok().text().trim_end().rsplit("\n\n").next().unwrap().to_owned();
    assert!(last.starts_with("event: error\ndata: "), "{}", reply.text());
    let data: Value =
        serde_json::from_str(last.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&data["type"], &data["sequence_number"]), (&json!("error"), &json!(2)), "{data}");
    assert!(data["message"].is_string() && data["code"].is_string(), "{data}");

    let message = "event: content_block_delta\ndata: \
        {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_\
        delta\",\"text\":\"x\"}}\n\n";
    provider.script([step::cut_mid_event(&[message, message])]);
    let body = json!({"model": "claude-x", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let reply = gateway.post("/v1/messages", &jwt("acme"), &body);
    let last = reply.ok().text().trim_end().rsplit("\n\n").next().unwrap().to_owned();
    assert!(last.starts_with("event: error\ndata: "), "{}", reply.text());
    let data: Value =
        serde_json::from_str(last.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(
        (&data["type"], data["error"]["message"].is_string()),
        (&json!("error"), true),
        "{data}"
    );
}

#[test]
fn an_error_that_the_provider_tells_in_its_stream_counts() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let events = [
        step::chat_events(&["one "], true)[1].clone(),
        "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"param\":null\
            ,\"code\":\"x\"}}\n\n"
            .into(),
    ];
    provider.script([step::sse(&events)]);
    let reply = gateway.post(PATH, &jwt("acme"), &asking_for_usage("hi"));
    assert_eq!(reply.ok().text(), events.concat(), "it is passed on, and nothing is added");
    assert_eq!(gateway.only_row()["outcome"], "provider_error");
}

#[test]
fn a_client_that_leaves_takes_the_provider_with_it() {
    let provider = Provider::start();
    // It is as patient as usual: what ends soon ends because the client left.
    let gateway = Gateway::start(&provider);
    // In the middle of a stream.
    let mut script = step::sse_open(&step::chat_events(&["one "], true)[..2]);
    script.push(Act::Hold);
    provider.script([script]);
    let (mut connection, _) = open(&gateway, PATH, &streamed("hi"));
    connection.chunks_until("one ");
    drop(connection);
    eventually("the provider's connection closed", || {
        (provider.closed_by_peer() == 1).then_some(())
    });
    // Before the first byte.
    provider.script([step::silence()]);
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        PATH,
        &[("authorization", &bearer)],
        chat("hi").to_string().as_bytes(),
    ));
    provider.wait_for(2);
    drop(connection);
    eventually("the provider's connection closed", || {
        (provider.closed_by_peer() == 2).then_some(())
    });
    let rows = gateway.rows(2);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows.iter().all(|row| row["outcome"] == "client_disconnect" && row["attempts"] == 1),
        "{rows:?}"
    );
    assert_eq!(rows[1]["status"], 499);
    assert_eq!(provider.seen().len(), 2, "nobody asks again for a client that has left");
}

#[test]
fn a_client_that_leaves_between_attempts_ends_them() {
    let provider = Provider::start();
    // Asked to wait eight seconds, so that the client leaves while the gateway waits.
    provider.always(step::with_headers(503, &[("retry-after", "8")], b"{}"));
    let gateway = Gateway::start(&provider);
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        PATH,
        &[("authorization", &bearer)],
        chat("hi").to_string().as_bytes(),
    ));
    provider.wait_for(1);
    drop(connection);
    let row = gateway.only_row();
    assert_eq!(
        (&row["outcome"], &row["attempts"]),
        (&json!("client_disconnect"), &json!(1)),
        "{row:?}"
    );
    assert_eq!(provider.seen().len(), 1);
}

#[test]
fn a_row_is_there_before_the_end_of_the_answer() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    provider.always(step::sse(&step::chat_events(&["hello"], true)));
    for _ in 0..20 {
        gateway.post(PATH, &jwt("acme"), &streamed("hi")).ok();
    }
    // Killed the moment the last answer is complete: every row is found afterwards.
    let gateway = gateway.kill_and_restart();
    assert_eq!(gateway.rows(20).len(), 20);
}

#[test]
fn an_http2_client_that_resets_its_stream_takes_the_provider_with_it() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut script = step::sse_open(&step::chat_events(&["one "], true)[..2]);
    script.push(Act::Hold);
    provider.script([script]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.apps).await.unwrap();
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        let task = tokio::task::spawn(connection);
        let request = http::Request::post(format!("http://{}{PATH}", gateway.apps))
            .header("authorization", format!("Bearer {}", jwt("acme")))
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(streamed("hi").to_string())))
            .unwrap();
        let mut answer = send.send_request(request).await.unwrap();
        answer.body_mut().frame().await.unwrap().unwrap();
        // Only this stream is reset; the connection stays and is of use.
        drop(answer);
        let again = http::Request::get(format!("http://{}/healthz", gateway.apps))
            .body(Full::default())
            .unwrap();
        assert_eq!(send.send_request(again).await.unwrap().status(), 200);
        eventually("the provider's connection closed", || {
            (provider.closed_by_peer() == 1).then_some(())
        });
        task.abort();
    });
    assert_eq!(gateway.only_row()["outcome"], "client_disconnect");
}

/// The text without the comments that the gateway put in, and how many there were. Each stands
/// between two events.
fn without_comments(text: &str) -> (String, usize) {
    let (comments, events): (Vec<&str>, Vec<&str>) =
        text.split_inclusive("\n\n").partition(|event| *event == ": keep-alive\n\n");
    let events = events.concat();
    assert!(!events.contains("keep-alive"), "within an event: {text:?}");
    (events, comments.len())
}

#[test]
fn the_client_of_a_silent_stream_hears_of_it_between_events() {
    let provider = Provider::start();
    let with_usage = step::chat_events(&["one ", "two [REDACTED_EMAIL_1] "], true);
    let mut plain = with_usage.clone();
    plain.remove(plain.len() - 2);
    let restored: Vec<String> = with_usage
        .iter()
        .map(|event| event.replace("[REDACTED_EMAIL_1]", "jane@example.com"))
        .collect();
    // The client asks for usage; the gateway does and takes it out; values are put back.
    let table = [
        ("", asking_for_usage("hi"), with_usage.concat()),
        ("", streamed("hi"), plain.concat()),
        ("{restore: true}", asking_for_usage("to jane@example.com"), restored.concat()),
    ];
    for (redaction, body, expected) in table {
        let mut setup = Setup::new(&provider).section("timeouts", "{keep_alive: 100ms}");
        if !redaction.is_empty() {
            setup = setup.section("redaction", redaction);
        }
        let gateway = setup.start();
        // Silence behind the head, between two events, and in the middle of one.
        let cut = with_usage[2].len() / 2;
        let [(first, open_first), (second, open_second), (third, open_third)] =
            [(); 3].map(|()| step::gate());
        let mut script = step::sse_open(&with_usage[..0]);
        script.push(first);
        script.extend(step::sse_open(&with_usage[..2]).split_off(1));
        script.push(second);
        script.extend(step::sse_open(&[&with_usage[2][..cut]]).split_off(1));
        script.push(third);
        let rest = [&with_usage[2][cut..], &with_usage[3..].concat()];
        script.extend(step::sse_rest(&rest));
        provider.script([script]);
        let (mut connection, mut head) = open(&gateway, PATH, &body);
        let mut seen = String::new();
        for gate in [open_first, open_second, open_third] {
            seen += &connection.chunks_until(": keep-alive\n\n");
            gate.send(()).unwrap();
        }
        connection.body(&mut head);
        assert!(head.complete);
        let (events, comments) = without_comments(&(seen + head.text()));
        assert_eq!(events, expected);
        assert!(comments >= 3, "{comments}");
        let row = gateway.only_row();
        assert!(!row["response"].as_str().unwrap().contains("keep-alive"), "{row:?}");
        assert_eq!((&row["outcome"], &row["output_tokens"]), (&json!("ok"), &json!(7)), "{row:?}");
    }
}

#[test]
fn comments_prolong_nothing_and_stand_behind_no_end() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("timeouts", "{keep_alive: 100ms, idle: 1s}").start();
    let events = step::chat_events(&["one "], true);
    let held = |events: &[String]| {
        let mut script = step::sse_open(events);
        script.push(Act::Hold);
        script
    };
    // The provider is given up after `idle` as if nothing had been said.
    provider.script([held(&events[..2])]);
    let reply = gateway.post(PATH, &jwt("acme"), &asking_for_usage("hi"));
    let (told, comments) = without_comments(reply.ok().text());
    assert!(told.starts_with(&events[..2].concat()) && told.contains("provider_timeout"), "{told}");
    assert!((1..=9).contains(&comments), "{comments}");
    // Behind the last event nothing more comes, however long the connection stays.
    provider.script([held(&events)]);
    let reply = gateway.post(PATH, &jwt("acme"), &asking_for_usage("hi"));
    assert!(
        reply.ok().text().ends_with(&events[1..].concat()) && reply.complete,
        "{}",
        reply.text()
    );
    // What is no stream of events gets no comment; it is cut after `idle`.
    let audio = "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: \
        chunked\r\n\r\n3\r\nabc\r\n";
    provider.script([vec![Act::Send(audio.into()), Act::Hold]]);
    let body = json!({"model": "m", "input": "hi", "voice": "x"});
    let (mut connection, mut head) = open(&gateway, "/v1/audio/speech", &body);
    assert_eq!(connection.chunk().as_deref(), Some(&b"abc"[..]));
    connection.body(&mut head);
    assert!(head.body.is_empty() && !head.complete, "{:?}", head.body);
    let rows: Vec<Value> = gateway.rows(3).iter().map(|row| row["outcome"].clone()).collect();
    assert_eq!(rows, ["timeout", "ok", "timeout"]);
}
