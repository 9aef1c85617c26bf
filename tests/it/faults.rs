//! The fault table: for each way in which a provider or a client fails, what the client got, what the provider saw, and
//! what the row says. After each the next good call succeeds; at the end descriptors and memory are as they were.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::support::step::{self, Act, Step};
use crate::support::{Connection, Gateway, Provider, Reply, Setup, eventually, jwt, refused_address, request};

/// What the client got.
#[derive(Clone)]
enum Got {
    /// The gateway's own error.
    Refused(u16, &'static str),
    /// The provider's answer, whole: its status, and its body as it was sent.
    Passed(u16, String),
    /// A stream that began as it was sent and ends with the endpoint's own error event, and nothing after it.
    BrokenStream(&'static str),
    /// A head, and then a connection that is cut before the end.
    Cut,
}

/// One line of the table.
struct Fault {
    name: &'static str,
    path: &'static str,
    model: &'static str,
    stream: bool,
    script: Vec<Step>,
    got: Got,
    sees: usize,
    /// `outcome`, `status`, `attempts`, `error_code`, and how `attempts_detail` goes on after each provider's name.
    row: (&'static str, u16, u8, &'static str, &'static str),
}

const CHAT: &str = "/v1/chat/completions";

fn json_call(name: &'static str, script: impl IntoIterator<Item = Step>) -> Fault {
    Fault {
        name,
        path: CHAT,
        model: "m",
        stream: false,
        script: script.into_iter().collect(),
        got: Got::Cut,
        sees: 1,
        row: ("ok", 200, 1, "", ""),
    }
}

fn stream(name: &'static str, script: Step) -> Fault {
    Fault { stream: true, ..json_call(name, [script]) }
}

impl Fault {
    fn to(mut self, model: &'static str) -> Fault {
        self.model = model;
        self
    }

    fn at(mut self, path: &'static str) -> Fault {
        self.path = path;
        self
    }

    fn refused(mut self, status: u16, code: &'static str) -> Fault {
        self.got = Got::Refused(status, code);
        self
    }

    fn passed(mut self, status: u16, body: impl Into<String>) -> Fault {
        self.got = Got::Passed(status, body.into());
        self
    }

    fn broken(mut self, code: &'static str) -> Fault {
        self.got = Got::BrokenStream(code);
        self
    }

    fn cut(mut self) -> Fault {
        self.got = Got::Cut;
        self
    }

    fn provider_sees(mut self, times: usize) -> Fault {
        self.sees = times;
        self
    }

    fn row(
        mut self,
        outcome: &'static str,
        status: u16,
        attempts: u8,
        code: &'static str,
        detail: &'static str,
    ) -> Fault {
        self.row = (outcome, status, attempts, code, detail);
        self
    }
}

fn raw(text: &str) -> Step {
    vec![Act::Send(text.as_bytes().to_vec())]
}

fn raw_then(text: &str, end: Act) -> Step {
    vec![Act::Send(text.as_bytes().to_vec()), end]
}

fn then(mut step: Step, end: Act) -> Step {
    step.push(end);
    step
}

fn says(status: u16, headers: &[(&str, &str)]) -> Step {
    let all = [&[("content-type", "application/json")], headers].concat();
    step::with_headers(status, &all, br#"{"error":{"message":"m","type":"x","param":null,"code":"x"}}"#)
}

fn said() -> String {
    r#"{"error":{"message":"m","type":"x","param":null,"code":"x"}}"#.to_owned()
}

/// Failures before an answer, and of answers that are checked whole.
fn before_the_answer() -> Vec<Fault> {
    let ok = || step::chat("hello");
    let hello = step::chat_body("hello").to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2000) + head + "content-length: 2\r\n\r\n{}";
    let no_money =
        json!({"error": {"message": "m", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}});
    let unavailable = |fault: Fault| fault.refused(503, "provider_unavailable");
    let down = |fault: Fault, attempts, detail| {
        unavailable(fault).provider_sees(usize::from(attempts)).row(
            "provider_error",
            503,
            attempts,
            "provider_unavailable",
            detail,
        )
    };
    vec![
        down(json_call("refuse", []).to("gone"), 3, "connect, connect, connect").provider_sees(0),
        down(json_call("black_hole", []).to("silent"), 3, "connect, connect, connect").provider_sees(0),
        down(json_call("no_such_name", []).to("nowhere"), 3, "connect, connect, connect").provider_sees(0),
        down(json_call("plain_http_behind_tls", []).to("plain"), 1, "protocol").provider_sees(0),
        down(json_call("reset_before_head", vec![step::reset_before_head(); 3]), 3, "reset, reset, reset"),
        down(json_call("close_before_head", vec![vec![Act::Close]; 3]), 3, "reset, reset, reset"),
        json_call("reset_then_well", [step::reset_before_head(), ok()]).passed(200, &*hello).provider_sees(2).row(
            "ok",
            200,
            2,
            "",
            "reset, ok",
        ),
        json_call("stall_before_head", [step::silence()]).refused(504, "provider_timeout").row(
            "timeout",
            504,
            1,
            "provider_timeout",
            "timeout",
        ),
        json_call("stall_in_head", [raw_then(head, Act::Hold)]).refused(504, "provider_timeout").row(
            "timeout",
            504,
            1,
            "provider_timeout",
            "timeout",
        ),
        down(json_call("no_http", [raw_then("SSH-2.0-OpenSSH_9\r\n\r\n", Act::Close)]), 1, "protocol"),
        down(json_call("bad_status", [raw_then("HTTP/1.1 42 x\r\n\r\n", Act::Close)]), 1, "protocol"),
        down(
            json_call("control_byte_in_header", [raw_then("HTTP/1.1 200 OK\r\nx: a\x01b\r\n\r\n", Act::Close)]),
            1,
            "protocol",
        ),
        down(json_call("too_many_headers", [raw_then(&format!("{head}{many}\r\n"), Act::Close)]), 1, "protocol"),
        down(
            json_call(
                "two_lengths",
                [raw_then(&format!("{head}content-length: 3\r\ncontent-length: 4\r\n\r\n{{}} "), Act::Close)],
            ),
            1,
            "protocol",
        ),
        down(
            json_call(
                "upgrade",
                [raw_then("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Act::Close)],
            ),
            1,
            "protocol",
        ),
        down(
            json_call("redirect", [step::with_headers(307, &[("location", "http://127.0.0.1:9/")], b"")]),
            1,
            "protocol",
        ),
        json_call("interim_flood", [raw(&interim)]).passed(200, "{}").row("ok", 200, 1, "", ""),
        down(json_call("always_500", vec![says(500, &[]); 3]), 3, "500, 500, 500"),
        down(json_call("always_529", vec![says(529, &[]); 3]), 3, "529, 529, 529"),
        json_call("well_after_502_and_503", [says(502, &[]), says(503, &[("retry-after-ms", "20")]), ok()])
            .passed(200, &*hello)
            .provider_sees(3)
            .row("ok", 200, 3, "", "502, 503, ok"),
        down(json_call("told_not_to_retry", [says(503, &[("x-should-retry", "false")])]), 1, "503"),
        json_call("told_to_retry", [says(400, &[("x-should-retry", "true")]), ok()])
            .passed(200, &*hello)
            .provider_sees(2)
            .row("ok", 200, 2, "", "400, ok"),
        json_call("always_429", vec![says(429, &[]); 3]).passed(429, said()).provider_sees(3).row(
            "rate_limited",
            429,
            3,
            "",
            "429, 429, 429",
        ),
        json_call("wait_too_long", [says(429, &[("retry-after", "3600")])]).passed(429, said()).row(
            "rate_limited",
            429,
            1,
            "",
            "429",
        ),
        json_call("no_money", [step::json(429, &no_money)]).passed(429, no_money.to_string()).row(
            "rate_limited",
            429,
            1,
            "",
            "429",
        ),
        down(json_call("key_refused", [says(401, &[])]), 1, "key_refused"),
        json_call("client_mistake", [says(400, &[])]).passed(400, said()).row("client_error", 400, 1, "", "400"),
        json_call("not_built", [says(501, &[])]).refused(503, "provider_unavailable").row(
            "provider_error",
            503,
            1,
            "provider_unavailable",
            "501",
        ),
        down(json_call("cut_in_json", [step::truncated_json(&step::chat_body("hello"))]), 1, "truncated"),
        json_call("stall_in_json", [raw_then(&format!("{head}content-length: 9\r\n\r\n{{"), Act::Hold)])
            .refused(504, "provider_timeout")
            .row("timeout", 504, 1, "provider_timeout", "timeout"),
        json_call("a_page_instead", [step::with_headers(200, &[("content-type", "text/html")], b"<h1>hi</h1>")])
            .passed(200, "<h1>hi</h1>"),
        json_call("half_a_json", [step::with_headers(200, &[("content-type", "application/json")], b"{\"a\":")])
            .passed(200, "{\"a\":"),
        json_call(
            "an_answer_behind_the_answer",
            [raw(&format!("{head}content-length: 2\r\n\r\n{{}}{head}content-length: 6\r\n\r\n{{evil}}"))],
        )
        .passed(200, "{}"),
        json_call(
            "ends_by_closing",
            [raw_then("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":2}", Act::Close)],
        )
        .passed(200, "{\"a\":2}"),
        json_call(
            "cut_in_audio",
            [raw_then("HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 100\r\n\r\nabc", Act::Close)],
        )
        .at("/v1/audio/speech")
        .cut()
        .row("provider_error", 200, 1, "provider_unavailable", "cut"),
    ]
}

/// Failures of answers that are on their way.
fn in_the_answer() -> Vec<Fault> {
    let events = step::chat_events(&["one ", "two "], true);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    let in_band =
        "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"server_error\"}}\n\n";
    let broken = |fault: Fault| {
        fault.broken("provider_unavailable").row("provider_error", 200, 1, "provider_unavailable", "cut")
    };
    let stalled = |fault: Fault| fault.broken("provider_timeout").row("timeout", 200, 1, "provider_timeout", "stalled");
    let created =
        ["event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{}}\n\n"];
    let started = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
    ];
    let begun = || step::sse_open(&events[..2]);
    vec![
        stream("one_byte_per_frame", step::one_byte_per_frame(&events)).passed(200, events.concat()),
        stream("comments_between", step::sse(&[&[": ping\n\n".to_owned()], &events[..]].concat()))
            .passed(200, format!(": ping\n\n{}", events.concat())),
        broken(stream("cut_mid_event", step::cut_mid_event(&events[..2]))),
        broken(stream("cut_between_events", then(begun(), Act::Close))),
        broken(stream("reset_mid_stream", then(begun(), Act::Reset))),
        broken(stream("ends_without_done", step::sse(&events[..2]))),
        broken(stream("nothing_at_all", step::sse(&events[..0]))),
        broken(stream("bad_chunk", then([begun(), raw("zz\r\n")].concat(), Act::Close))),
        broken(stream(
            "short_of_its_length",
            raw_then(&format!("{head}content-length: 500\r\n\r\n{}", events[0]), Act::Close),
        )),
        stalled(stream("stall_after_head", then(step::sse_open(&events[..0]), Act::Hold))),
        stalled(stream("stall_mid_stream", then(begun(), Act::Hold))),
        stalled(stream("stall_mid_event", then([begun(), raw("5\r\ndata:\r\n")].concat(), Act::Hold))),
        stream("done_is_missing", step::sse(&events[..events.len() - 1]))
            .passed(200, events[..events.len() - 1].concat()),
        stream("an_error_in_the_stream", step::sse(&[events[0].as_str(), in_band]))
            .passed(200, events[0].clone() + in_band)
            .row("provider_error", 200, 1, "", ""),
        broken(stream("cut_in_responses", then(step::sse_open(&created), Act::Close)).at("/v1/responses")),
        broken(stream("cut_in_messages", then(step::sse_open(&started), Act::Close)).at("/v1/messages")),
    ]
}

fn body(fault: &Fault) -> String {
    // Usage is asked for by the client itself, so that every byte of a stream passes as it came.
    let mut body =
        json!({"model": fault.model, "stream": fault.stream, "messages": [{"role": "user", "content": "hi"}]});
    match fault.path {
        CHAT if fault.stream => body["stream_options"] = json!({"include_usage": true}),
        "/v1/responses" => body = json!({"model": fault.model, "stream": true, "input": "hi"}),
        "/v1/audio/speech" => body = json!({"model": fault.model, "input": "hi", "voice": "x"}),
        "/v1/messages" => body["max_tokens"] = json!(9),
        _ => {}
    }
    body.to_string()
}

fn play(gateway: &Gateway, provider: &Provider, fault: &Fault) {
    provider.take_seen();
    provider.script(fault.script.clone());
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("x-request-id", fault.name)];
    let mut connection = Connection::open(gateway.apps);
    let reply = connection.send(&request("POST", fault.path, &headers, body(fault).as_bytes())).reply();
    assert_eq!(reply.header("x-request-id"), Some(fault.name));
    client_got(fault, &reply);
    let seen = provider.take_seen();
    assert_eq!(seen.len(), fault.sees, "{}: the provider saw {seen:?}", fault.name);
    assert!(seen.iter().all(|s| s.complete && s.body == seen[0].body), "{}: {seen:?}", fault.name);
    row_says(fault, &row(gateway, fault.name));
    well_again(gateway, fault.name);
    provider.take_seen();
}

fn client_got(fault: &Fault, reply: &Reply) {
    let name = fault.name;
    let text = String::from_utf8_lossy(&reply.body);
    match &fault.got {
        Got::Refused(status, code) => {
            assert_eq!((reply.status, reply.error_code().as_str()), (*status, *code), "{name}: {text}");
            assert_eq!(reply.header("x-should-retry"), Some("false"), "{name}");
        }
        Got::Passed(status, body) => {
            assert_eq!((reply.status, &*text, reply.complete), (*status, body.as_str(), true), "{name}");
        }
        Got::BrokenStream(code) => {
            assert!(reply.status == 200 && reply.complete, "{name}: {text}");
            let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
            let told = match fault.path {
                "/v1/messages" => last.starts_with("event: error\n") && last.contains("\"type\":\"api_error\""),
                "/v1/responses" => {
                    last.starts_with("event: error\n") && last.contains(code) && last.contains("\"sequence_number\":1")
                }
                _ => last.starts_with("data: {\"error\":") && last.contains(code),
            };
            assert!(told && !text.contains("[DONE]"), "{name}: {text}");
        }
        Got::Cut => assert!(reply.status == 200 && !reply.complete, "{name}: {text}"),
    }
}

fn row(gateway: &Gateway, id: &str) -> Map<String, Value> {
    eventually(&format!("the row of {id}"), || gateway.rows(0).into_iter().find(|row| row["request_id"] == id))
}

fn row_says(fault: &Fault, row: &Map<String, Value>) {
    let (outcome, status, attempts, code, detail) = fault.row;
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    // `openai 503 12ms, azure ok 8ms` without names and times.
    let words: Vec<String> =
        text("attempts_detail").split(", ").map(|part| part.split(' ').nth(1).unwrap_or_default().to_owned()).collect();
    let said = (text("outcome"), row["status"].clone(), row["attempts"].clone(), text("error_code"), words.join(", "));
    let expected = (outcome.to_owned(), json!(status), json!(attempts), code.to_owned(), detail.to_owned());
    assert_eq!(said, expected, "{}: {row:?}", fault.name);
    assert!(row["attempts"].as_u64().is_some_and(|attempts| attempts <= 3), "{}", fault.name);
}

fn well_again(gateway: &Gateway, after: &str) {
    let begun = Instant::now();
    assert_eq!(gateway.chat("acme", "hi").status, 200, "after {after}");
    // A second on a quiet machine.
    assert!(begun.elapsed() < Duration::from_secs(10), "after {after}: {:?}", begun.elapsed());
}

/// An address that says something in plain HTTP to everyone.
fn speaks_plain_http() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // Kept open: what has been said is not to be lost in a reset.
        let mut open = vec![];
        for mut stream in listener.incoming().take(3).flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            open.push(stream);
        }
    });
    address
}

#[test]
fn every_fault_of_a_provider_is_told_counted_and_over() {
    let provider = Provider::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = speaks_plain_http();
    let at = |name: &str, url: String| format!("{name}: {{kind: openai, base_url: \"{url}/v1\", api_key: sk-{name}}}");
    let providers = [
        at("openai", format!("http://{}", provider.address)),
        at("gone", format!("http://{}", refused_address())),
        at("silent", format!("https://{}", silent.local_addr().unwrap())),
        at("nowhere", "http://nowhere.invalid".to_owned()),
        at("plain", format!("https://{plain}")),
    ];
    let rule = |name: &str| format!("{{match: {name}, to: [{name}]}}");
    let rules: Vec<String> = ["gone", "silent", "nowhere", "plain"].iter().map(|name| rule(name)).collect();
    let gateway = Setup::new(&provider)
        .section("providers", &providers.join("\n"))
        .section("routing", &format!("models: [{}]\ndefault: [openai]", rules.join(", ")))
        .section("timeouts", "{connect: 1s, first_byte: 2s, idle: 2s}")
        .section("breaker", "{consecutive_failures: 100000}")
        .start();
    well_again(&gateway, "the start");
    let (files, memory) = (gateway.open_files(), gateway.metric("process_resident_memory_bytes"));
    let faults: Vec<Fault> = before_the_answer().into_iter().chain(in_the_answer()).collect();
    for fault in &faults {
        play(&gateway, &provider, fault);
    }
    // Whatever was tried with a client that waits is over: places, descriptors, memory.
    eventually("no call in flight", || (gateway.metric("tollgate_requests_in_flight") < 0.5).then_some(()));
    eventually("descriptors as before", || (gateway.open_files() <= files + 8).then_some(()));
    let grown = gateway.metric("process_resident_memory_bytes") - memory;
    assert!(grown < 48.0 * 1024.0 * 1024.0, "{} MiB more after {} faults", grown / 1048576.0, faults.len());
}

/// Where a client leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    InItsBody,
    WaitingForTheHead,
    BetweenAttempts,
    InTheStream,
}

#[test]
fn a_client_that_leaves_ends_its_call_wherever_it_is() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    well_again(&gateway, "the start");
    let files = gateway.open_files();
    let table = [
        (Leaves::InItsBody, vec![], 0, 0),
        (Leaves::WaitingForTheHead, vec![step::silence()], 1, 1),
        (Leaves::BetweenAttempts, vec![says(503, &[("retry-after", "9")])], 1, 1),
        (Leaves::InTheStream, vec![then(step::sse_open(&step::chat_events(&["one "], true)[..2]), Act::Hold)], 1, 1),
    ];
    for (leaves, script, sees, attempts) in table {
        let name = format!("{leaves:?}");
        provider.take_seen();
        let closed = provider.closed_by_peer();
        let held = matches!(leaves, Leaves::WaitingForTheHead | Leaves::InTheStream);
        provider.script(script);
        let bearer = format!("Bearer {}", jwt("acme"));
        let headers = [("authorization", bearer.as_str()), ("x-request-id", name.as_str())];
        let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
        let bytes = request("POST", CHAT, &headers, body.as_bytes());
        let mut connection = gateway.connect();
        match leaves {
            Leaves::InItsBody => {
                connection.send(&bytes[..bytes.len() - 5]);
                eventually("the call at work", || (gateway.metric("tollgate_requests_in_flight") > 0.5).then_some(()));
            }
            Leaves::InTheStream => {
                connection.send(&bytes).head().unwrap();
                connection.chunks_until("one ");
            }
            Leaves::WaitingForTheHead | Leaves::BetweenAttempts => {
                connection.send(&bytes);
                provider.wait_for(1);
                eventually("the attempt's end", || {
                    let over = gateway.metric("tollgate_retries_total{provider=\"openai\"") > 0.5;
                    (over || leaves == Leaves::WaitingForTheHead).then_some(())
                });
            }
        }
        drop(connection);
        let row = row(&gateway, &name);
        let expected = (&json!("client_disconnect"), &json!(attempts));
        assert_eq!((&row["outcome"], &row["attempts"]), expected, "{name}: {row:?}");
        assert_eq!(row["status"], 499, "{name}");
        if held {
            eventually("the provider's connection closed", || (provider.closed_by_peer() > closed).then_some(()));
        }
        well_again(&gateway, &name);
        let seen = provider.take_seen().into_iter().filter(|seen| seen.complete).count();
        assert_eq!(seen, sees + 1, "{name}: and the good call");
    }
    eventually("no call in flight", || (gateway.metric("tollgate_requests_in_flight") < 0.5).then_some(()));
    eventually("descriptors as before", || (gateway.open_files() <= files + 4).then_some(()));
}
