//! The fault table: for each way in which a provider or a client fails, what the client got, what
//! the provider saw, and what the row says. After each the next good call succeeds and descriptors
//! are as they were.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::fault::{Fault, Stage, json_call, stream};
use crate::support::step::{self, Act, Step};
use crate::support::{Gateway, Provider, Setup, refused_address, secure};

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
    step::with_headers(
        status,
        &all,
        br#"{"error":{"message":"m","type":"x","param":null,"code":"x"}}"#,
    )
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
    let interim =
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(2000) + head + "content-length: 2\r\n\r\n{}";
    let no_money = json!({"error": {"message": "m", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}});
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
        down(
            json_call("black_hole", []).to("silent"),
            3,
            "connect, connect, \
            connect",
        )
        .provider_sees(0),
        down(
            json_call("no_such_name", []).to("nowhere"),
            3,
            "connect, connect, \
            connect",
        )
        .provider_sees(0),
        down(json_call("plain_http_behind_tls", []).to("plain"), 1, "protocol").provider_sees(0),
        down(
            json_call("reset_in_the_handshake", []).to("curt"),
            3,
            "connect, connect, \
            connect",
        )
        .provider_sees(0),
        // What does not verify now will not the next time, and nothing is sent to it.
        down(json_call("certificate_expired", []).to("expired"), 1, "protocol").provider_sees(0),
        down(json_call("certificate_of_another_host", []).to("elsewhere"), 1, "protocol")
            .provider_sees(0),
        down(json_call("certificate_of_its_own", []).to("own"), 1, "protocol").provider_sees(0),
        json_call("certificate_that_is_good", [ok()]).to("good").passed(200, &*hello),
        down(
            json_call("reset_before_head", vec![step::reset_before_head(); 3]),
            3,
            "reset, reset, \
            reset",
        ),
        down(json_call("close_before_head", vec![vec![Act::Close]; 3]), 3, "reset, reset, reset"),
        json_call("reset_then_well", [step::reset_before_head(), ok()])
            .passed(200, &*hello)
            .provider_sees(2)
            .row("ok", 200, 2, "", "reset, ok"),
        json_call("stall_before_head", [step::silence()]).refused(504, "provider_timeout").row(
            "timeout",
            504,
            1,
            "provider_timeout",
            "timeout",
        ),
        json_call("stall_in_head", [raw_then(head, Act::Hold)])
            .refused(504, "provider_timeout")
            .row("timeout", 504, 1, "provider_timeout", "timeout"),
        json_call(
            "drip_in_head",
            [vec![Act::Send("HTTP/1.1 200 OK\r\nx-long: ".into()), Act::Again(b"x".to_vec())]],
        )
        .refused(504, "provider_timeout")
        .row("timeout", 504, 1, "provider_timeout", "timeout"),
        down(
            json_call("no_http", [raw_then("SSH-2.0-OpenSSH_9\r\n\r\n", Act::Close)]),
            1,
            "protocol",
        ),
        down(
            json_call("bad_status", [raw_then("HTTP/1.1 42 x\r\n\r\n", Act::Close)]),
            1,
            "protocol",
        ),
        down(
            json_call(
                "control_byte_in_header",
                [raw_then(
                    "HTTP/1.1 200 OK\r\nx: \
                a\x01b\r\n\r\n",
                    Act::Close,
                )],
            ),
            1,
            "protocol",
        ),
        down(
            json_call("too_many_headers", [raw_then(&format!("{head}{many}\r\n"), Act::Close)]),
            1,
            "protocol",
        ),
        down(
            json_call(
                "two_lengths",
                [raw_then(
                    &format!(
                        "{head}content-length: 3\r\ncontent-length: \
                    4\r\n\r\n{{}} "
                    ),
                    Act::Close,
                )],
            ),
            1,
            "protocol",
        ),
        down(
            json_call(
                "upgrade",
                [raw_then(
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: \
                    upgrade\r\n\r\n",
                    Act::Close,
                )],
            ),
            1,
            "protocol",
        ),
        down(
            json_call(
                "redirect",
                [step::with_headers(307, &[("location", "http://127.0.0.1:9/")], b"")],
            ),
            1,
            "protocol",
        ),
        json_call("interim_flood", [raw(&interim)]).passed(200, "{}").row("ok", 200, 1, "", ""),
        down(json_call("always_500", vec![says(500, &[]); 3]), 3, "500, 500, 500"),
        down(json_call("always_529", vec![says(529, &[]); 3]), 3, "529, 529, 529"),
        json_call(
            "well_after_502_and_503",
            [says(502, &[]), says(503, &[("retry-after-ms", "20")]), ok()],
        )
        .passed(200, &*hello)
        .provider_sees(3)
        .row("ok", 200, 3, "", "502, 503, ok"),
        down(json_call("told_not_to_retry", [says(503, &[("x-should-retry", "false")])]), 1, "503"),
        json_call("told_to_retry", [says(400, &[("x-should-retry", "true")]), ok()])
            .passed(200, &*hello)
            .provider_sees(2)
            .row("ok", 200, 2, "", "400, ok"),
        json_call("always_429", vec![says(429, &[]); 3]).passed(429, said()).provider_sees(3).row(
            "provider_rate_limited",
            429,
            3,
            "",
            "429, 429, 429",
        ),
        json_call("wait_too_long", [says(429, &[("retry-after", "3600")])])
            .passed(429, said())
            .row("provider_rate_limited", 429, 1, "", "429"),
        json_call("no_money", [step::json(429, &no_money)]).passed(429, no_money.to_string()).row(
            "provider_rate_limited",
            429,
            1,
            "",
            "429",
        ),
        down(json_call("key_refused", [says(401, &[])]), 1, "key_refused"),
        json_call("client_mistake", [says(400, &[])]).passed(400, said()).row(
            "client_error",
            400,
            1,
            "",
            "400",
        ),
        json_call("not_built", [says(501, &[])]).refused(503, "provider_unavailable").row(
            "provider_error",
            503,
            1,
            "provider_unavailable",
            "501",
        ),
        down(
            json_call("cut_in_json", [step::truncated_json(&step::chat_body("hello"))]),
            1,
            "truncated",
        ),
        json_call(
            "stall_in_json",
            [raw_then(
                &format!(
                    "{head}content-length: \
            9\r\n\r\n{{"
                ),
                Act::Hold,
            )],
        )
        .refused(504, "provider_timeout")
        .row("timeout", 504, 1, "provider_timeout", "timeout"),
        json_call(
            "a_page_instead",
            [step::with_headers(200, &[("content-type", "text/html")], b"<h1>hi</h1>")],
        )
        .passed(200, "<h1>hi</h1>"),
        json_call(
            "half_a_json",
            [step::with_headers(200, &[("content-type", "application/json")], b"{\"a\":")],
        )
        .passed(200, "{\"a\":"),
        json_call(
            "an_answer_behind_the_answer",
            [raw(&format!(
                "{head}content-length: 2\r\n\r\n{{}}{head}content-length: \
                6\r\n\r\n{{evil}}"
            ))],
        )
        .passed(200, "{}"),
        // What follows an answer that has no body belongs to nobody.
        json_call("bytes_behind_204", [raw("HTTP/1.1 204 No Content\r\n\r\n{\"evil\":1}")])
            .passed(204, "")
            .row("ok", 204, 1, "", ""),
        json_call("bytes_behind_304", [raw("HTTP/1.1 304 Not Modified\r\n\r\n{\"evil\":1}")])
            .passed(304, "")
            .row("ok", 304, 1, "", ""),
        // Nothing, of a kind that is passed on as it comes: it is whole all the same.
        json_call(
            "an_empty_page",
            [step::with_headers(200, &[("content-type", "text/html")], b"")],
        )
        .passed(200, "")
        .row("ok", 200, 1, "", ""),
        // Answered, and never closed: the length or the last chunk is the end.
        json_call(
            "half_open_behind_length",
            [raw_then(
                &format!(
                    "{head}connection: close\r\ncontent-length: \
                2\r\n\r\n{{}}"
                ),
                Act::Hold,
            )],
        )
        .passed(200, "{}"),
        json_call(
            "half_open_behind_chunks",
            [raw_then(
                &format!(
                    "{head}connection: close\r\ntransfer-encoding: \
                    chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
                ),
                Act::Hold,
            )],
        )
        .passed(200, "{}"),
        json_call(
            "ends_by_closing",
            [raw_then(
                "HTTP/1.0 200 OK\r\ncontent-type: \
                application/json\r\n\r\n{\"a\":2}",
                Act::Close,
            )],
        )
        .passed(200, "{\"a\":2}"),
        json_call(
            "cut_in_audio",
            [raw_then(
                "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: \
                100\r\n\r\nabc",
                Act::Close,
            )],
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
    let in_band = "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null\
        ,\"code\":\"server_error\"}}\n\n";
    let broken = |fault: Fault| {
        fault.broken("provider_unavailable").row(
            "provider_error",
            200,
            1,
            "provider_unavailable",
            "cut",
        )
    };
    let stalled = |fault: Fault| {
        fault.broken("provider_timeout").row("timeout", 200, 1, "provider_timeout", "stalled")
    };
    let created = ["event: response.created\ndata: \
            {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{}}\n\n"];
    let started = ["event: message_start\ndata: \
            {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_\
            tokens\":1}}}\n\n"];
    let begun = || step::sse_open(&events[..2]);
    let odd =
        events.concat().replace("data: ", "id: 7\nretry: 10\nevent: message\n:\nnonsense\ndata: ");
    let long = format!(
        "data: {{\ndata: \"x\":[\n{}data: 0]}}\n\n{}",
        "data: 0,\n".repeat(10_000),
        events.concat()
    );
    vec![
        stream("one_byte_per_frame", step::one_byte_per_frame(&events))
            .passed(200, events.concat()),
        stream("carriage_returns", step::sse(&[events.concat().replace('\n', "\r")]))
            .passed(200, events.concat().replace('\n', "\r")),
        stream("byte_order_mark", step::sse(&[format!("\u{feff}{}", events.concat())]))
            .passed(200, format!("\u{feff}{}", events.concat())),
        stream("no_space_behind_data", step::sse(&[events.concat().replace("data: ", "data:")]))
            .passed(200, events.concat().replace("data: ", "data:")),
        stream("ids_and_retries", step::sse(std::slice::from_ref(&odd))).passed(200, &*odd),
        stream("ten_thousand_lines", step::sse(std::slice::from_ref(&long))).passed(200, &*long),
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
        stalled(stream(
            "stall_mid_event",
            then([begun(), raw("5\r\ndata:\r\n")].concat(), Act::Hold),
        )),
        stream("done_is_missing", step::sse(&events[..events.len() - 1]))
            .passed(200, events[..events.len() - 1].concat()),
        stream("an_error_in_the_stream", step::sse(&[events[0].as_str(), in_band]))
            .passed(200, events[0].clone() + in_band)
            .row("provider_error", 200, 1, "", ""),
        broken(
            stream("cut_in_responses", then(step::sse_open(&created), Act::Close))
                .at("/v1/responses"),
        ),
        broken(
            stream("cut_in_messages", then(step::sse_open(&started), Act::Close))
                .at("/v1/messages")
                .to("anthropic"),
        ),
    ]
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

/// An address that hears the beginning of a handshake and resets the connection.
fn is_curt() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().take(3).flatten() {
            let _ = stream.read(&mut [0; 16]);
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    });
    address
}

/// A gateway in front of this provider and of others that fail in ways of their own.
fn start(provider: &Provider, silent: SocketAddr) -> Gateway {
    let at = |name: &str, url: String| {
        format!("{name}: {{kind: openai, base_url: \"{url}/v1\", api_key: sk-{name}}}")
    };
    let behind = |certificate: &str| {
        format!("https://{}", secure::in_front_of(provider.address, certificate))
    };
    let others = [
        ("gone", format!("http://{}", refused_address())),
        ("silent", format!("https://{}", silent)),
        ("nowhere", "http://nowhere.invalid".to_owned()),
        ("plain", format!("https://{}", speaks_plain_http())),
        ("curt", format!("https://{}", is_curt())),
        ("expired", behind("provider-expired.pem")),
        ("elsewhere", behind("provider-elsewhere.pem")),
        ("own", behind("provider-own.pem")),
        ("good", behind("provider.pem")),
    ];
    let names = others.iter().map(|(name, _)| *name).chain(["anthropic"]);
    let rules: Vec<String> = names.map(|name| format!("{{match: {name}, to: [{name}]}}")).collect();
    let mut providers = vec![
        at("openai", format!("http://{}", provider.address)),
        at("anthropic", format!("http://{}", provider.address))
            .replace("kind: openai", "kind: anthropic"),
    ];
    providers.extend(others.map(|(name, url)| at(name, url)));
    Setup::new(provider)
        .environment("SSL_CERT_FILE", &secure::file("provider-ca.pem").display().to_string())
        .section("providers", &providers.join("\n"))
        .section("routing", &format!("models: [{}]\ndefault: [openai]", rules.join(", ")))
        .section("timeouts", "{connect: 1s, first_byte: 2s, idle: 2s}")
        .section("breaker", "{consecutive_failures: 100000}")
        .start()
}

/// Many faults are timeouts, so parts of a table are played at the same time, each on a gateway of
/// its own; all that these printed.
fn play(faults: &[Fault], start: impl Fn(&Provider) -> Gateway + Sync) -> String {
    let part = |faults: &[Fault]| {
        let provider = Provider::start();
        let gateway = start(&provider);
        let stage = Stage::new(&gateway, &provider);
        faults.iter().for_each(|fault| stage.play(fault));
        stage.is_quiet();
        gateway.printed()
    };
    thread::scope(|scope| {
        let parts: Vec<_> = faults
            .chunks(faults.len().div_ceil(4))
            .map(|faults| scope.spawn(|| part(faults)))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    })
}

#[test]
fn every_fault_of_a_provider_is_told_counted_and_over() {
    // Connections are taken by the system's backlog, and nothing is ever said.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let faults: Vec<Fault> = before_the_answer().into_iter().chain(in_the_answer()).collect();
    let printed = play(&faults, |provider| start(provider, address));
    // What is wrong with a certificate is for the operators to read.
    for reason in ["certificate expired", "certificate not valid for name", "UnknownIssuer"] {
        assert!(printed.contains(reason), "{reason}:\n{printed}");
    }
}

/// Calls that take longer than they may in all, wherever they are then.
fn at_the_deadline() -> Vec<Fault> {
    let events = step::chat_events(&["one ", "two "], true);
    let frame = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    let stalled = |fault: Fault| {
        fault.broken("provider_timeout").row("timeout", 200, 1, "provider_timeout", "stalled")
    };
    let refused = |fault: Fault, detail| {
        fault.refused(504, "provider_timeout").row("timeout", 504, 1, "provider_timeout", detail)
    };
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{";
    let audio = "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 1000000\r\n\r\n";
    let again = |begun: Step, bytes: &[u8]| then(begun, Act::Again(bytes.to_vec()));
    vec![
        stalled(stream("too_long_silent", then(step::sse_open(&events[..2]), Act::Hold))),
        // It never falls silent, and never ends.
        stalled(stream(
            "too_long_talking",
            again(step::sse_open(&events[..2]), &frame(&events[1])),
        )),
        stalled(stream(
            "too_long_in_an_event",
            again(step::sse_open(&events[..2]), &frame("data: x\n")),
        )),
        stalled(stream(
            "too_long_in_comments",
            again(step::sse_open(&events[..2]), &frame(": ping\n\n")),
        )),
        refused(json_call("too_long_before_the_head", [step::silence()]), "deadline"),
        refused(json_call("too_long_in_json", [again(raw(head), b" ")]), "deadline"),
        json_call("too_long_in_audio", [again(raw(audio), b"x")]).at("/v1/audio/speech").cut().row(
            "timeout",
            200,
            1,
            "provider_timeout",
            "stalled",
        ),
    ]
}

#[test]
fn a_call_is_over_when_its_time_is_wherever_it_is() {
    play(&at_the_deadline(), |provider| {
        Setup::new(provider).section("timeouts", "{total: 2s}").start()
    });
}
