//! Traces as a collector gets them: what is in the spans, and that none is lost or doubled.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::collector::{Collector, Span, answer};
use crate::support::{Gateway, Provider, Setup, chat, eventually, jwt, step};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn start(provider: &Provider, collector: &Collector, more: &str) -> Gateway {
    Setup::new(provider).setting("telemetry", &collector.setting(more)).start()
}

/// A chat call of `acme` with more headers.
fn call(gateway: &Gateway, headers: &[(&str, &str)], body: &Value) -> u16 {
    let bearer = format!("Bearer {}", jwt("acme"));
    let body = body.to_string();
    let length = body.len().to_string();
    let mut all = vec![
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
    ];
    all.extend_from_slice(headers);
    gateway.send("POST", "/v1/chat/completions", &all, body.as_bytes()).status
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// The server spans by id; a span that came twice is an error.
fn servers(spans: &[Span]) -> BTreeMap<&str, &Span> {
    let mut by_id = BTreeMap::new();
    for span in spans.iter().filter(|span| span.is_server()) {
        assert!(by_id.insert(span.span_id.as_str(), span).is_none(), "{} came twice", span.span_id);
    }
    by_id
}

#[test]
fn a_call_is_a_span_in_its_callers_trace_and_each_attempt_one_below_it() {
    let (provider, collector) = (Provider::start(), Collector::start());
    provider.script([step::error(503, "overloaded")]);
    let gateway = start(&provider, &collector, ", headers: {x-api-key: secret-of-ours}");
    let body = json!({
        "model": "gpt-4o-mini", "temperature": 0.5, "max_tokens": 9,
        "messages": [{"role": "user", "content": "write to ann@example.com"}],
    });
    let headers = [("traceparent", &*parent("01")), ("tracestate", "vendor=1"), ("baggage", "a=b")];
    assert_eq!(call(&gateway, &headers, &body), 200);
    let spans = collector.wait_for(3);
    assert_eq!(spans.len(), 3);
    let row = gateway.only_row();
    let server = spans.iter().find(|span| span.is_server()).expect("a server span");
    assert_eq!((server.trace_id.as_str(), server.parent.as_str()), (TRACE, PARENT));
    assert_eq!((&row["trace_id"], &row["parent_span_id"]), (&json!(TRACE), &json!(PARENT)));
    assert_eq!(row["span_id"], json!(server.span_id));
    assert_eq!((server.name.as_str(), server.status), ("POST /v1/chat/completions", 0));
    assert_eq!((server.state.as_str(), server.flags), ("vendor=1", 0x301));
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/chat/completions")),
        ("http.response.status_code", json!(200)),
        ("url.scheme", json!("http")),
        ("tollgate.org", json!("acme")),
        ("tollgate.outcome", json!("ok")),
        ("tollgate.attempts", json!(2)),
        ("tollgate.redactions.email", json!(1)),
        ("tollgate.request_id", row["request_id"].clone()),
        ("tollgate.log_id", row["id"].clone()),
        ("gen_ai.usage.input_tokens", Value::Null),
        ("tollgate.cost_usd", Value::Null),
    ] {
        assert_eq!(server.get(name), &value, "{name}");
    }
    let mut attempts: Vec<&Span> = spans.iter().filter(|span| !span.is_server()).collect();
    attempts.sort_by_key(|span| span.start);
    for span in &attempts {
        assert_eq!((span.kind, span.name.as_str()), (3, "chat gpt-4o-mini"));
        assert_eq!((span.trace_id.as_str(), &span.parent), (TRACE, &server.span_id));
        assert!(span.start >= server.start && span.end <= server.end, "{span:?} {server:?}");
        assert_eq!(span.get("gen_ai.provider.name"), "openai");
        assert_eq!(span.get("server.address"), "127.0.0.1");
        assert_eq!(span.get("server.port"), provider.address.port());
    }
    let (failed, answered) = (attempts[0], attempts[1]);
    assert_eq!((failed.status, failed.get("error.type")), (2, &json!("503")));
    assert_eq!(failed.get("gen_ai.usage.input_tokens"), &Value::Null, "tokens count once");
    assert_eq!((answered.status, answered.get("error.type")), (0, &Value::Null));
    for (name, value) in [
        ("http.response.status_code", json!(200)),
        ("http.request.resend_count", json!(1)),
        ("gen_ai.request.temperature", json!(0.5)),
        ("gen_ai.request.max_tokens", json!(9)),
        ("gen_ai.usage.input_tokens", row["input_tokens"].clone()),
        ("gen_ai.usage.output_tokens", row["output_tokens"].clone()),
        ("gen_ai.response.model", row["response_model"].clone()),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("gen_ai.input.messages", Value::Null),
    ] {
        assert_eq!(answered.get(name), &value, "{name}");
    }
    let cost = answered.get("tollgate.cost_usd").as_f64().expect("a cost");
    assert!(cost > 0.0 && (cost - row["cost_usd"].as_f64().expect("a cost")).abs() < 1e-12);
    let export = &collector.exports()[0];
    assert_eq!(export.resource["service.name"], "tollgate");
    assert_eq!(export.schema_url, "https://opentelemetry.io/schemas/1.44.0");
    assert_eq!(collector.header("x-api-key").as_deref(), Some("secret-of-ours"));
    for seen in provider.seen() {
        for name in ["traceparent", "tracestate", "baggage"] {
            assert_eq!(seen.header(name), None, "{name} is the caller's and ours");
        }
    }
    assert!(!gateway.printed().contains("secret-of-ours"));
}

#[test]
fn a_caller_decides_about_its_trace_and_the_gateway_about_others() {
    let (provider, collector) = (Provider::start(), Collector::start());
    let gateway = start(&provider, &collector, ", sample_percent: 0");
    assert_eq!(call(&gateway, &[("traceparent", &parent("00"))], &chat("no")), 200);
    assert_eq!(call(&gateway, &[("traceparent", "00-broken")], &chat("no")), 200);
    assert_eq!(call(&gateway, &[("traceparent", &parent("01"))], &chat("yes")), 200);
    let spans = collector.wait_for(2);
    let rows = gateway.rows(3);
    assert_eq!(spans.len(), 2);
    assert_eq!(servers(&spans).keys().next(), Some(&rows[2]["span_id"].as_str().unwrap()));
    assert_eq!((&rows[0]["trace_id"], &rows[0]["parent_span_id"]), (&json!(TRACE), &json!(PARENT)));
    assert_ne!(rows[1]["trace_id"], TRACE);
    assert_eq!(
        (rows[1]["trace_id"].as_str().unwrap().len(), &rows[1]["parent_span_id"]),
        (32, &json!(""))
    );
    gateway.counts("tollgate_otlp_spans_total{result=\"sent\"}", 2.0);
}

#[test]
fn without_a_collector_a_row_keeps_the_callers_trace_and_no_more() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    assert_eq!(call(&gateway, &[("traceparent", &parent("01"))], &chat("one")), 200);
    assert_eq!(call(&gateway, &[], &chat("two")), 200);
    let rows = gateway.rows(2);
    assert_eq!((&rows[0]["trace_id"], &rows[0]["parent_span_id"]), (&json!(TRACE), &json!(PARENT)));
    assert_eq!(rows[0]["span_id"].as_str().map(str::len), Some(16));
    assert!(["trace_id", "span_id", "parent_span_id"].iter().all(|name| rows[1][*name] == ""));
}

#[test]
fn a_stream_has_its_first_chunk_and_messages_are_there_if_asked_for() {
    let (provider, collector) = (Provider::start(), Collector::start());
    provider.always(step::as_asked("hello"));
    let gateway = start(&provider, &collector, ", content: true, semconv: v1.41");
    let body = json!({
        "model": "gpt-4o-mini", "stream": true,
        "messages": [{"role": "user", "content": "I am ann@example.com"}],
    });
    assert_eq!(call(&gateway, &[], &body), 200);
    let spans = collector.wait_for(2);
    let client = spans.iter().find(|span| !span.is_server()).expect("a client span");
    assert_eq!(client.get("gen_ai.request.stream"), true);
    let first = client.get("gen_ai.response.time_to_first_chunk").as_f64().expect("seconds");
    assert!(first > 0.0 && first < (client.end - client.start) as f64 / 1e9, "{first} {client:?}");
    let messages = client.get("gen_ai.input.messages");
    assert_eq!(messages[0]["role"], "user");
    assert_eq!(messages[0]["parts"], json!([{"type": "text", "content": "I am [REDACTED_EMAIL]"}]));
    let answer = client.get("gen_ai.output.messages");
    assert_eq!(answer[0]["parts"], json!([{"type": "text", "content": "hello"}]));
    assert_eq!(collector.exports()[0].schema_url, "https://opentelemetry.io/schemas/1.41.0");
}

#[test]
fn a_collector_that_is_away_and_comes_back_has_every_span_once() {
    let (provider, collector) = (Provider::start(), Collector::start());
    collector.always(answer(503, b""));
    let gateway = start(&provider, &collector, "");
    for n in 0..20 {
        assert_eq!(call(&gateway, &[], &chat(&format!("call {n}"))), 200);
    }
    eventually("a request that is refused", || (collector.requests() > 0).then_some(()));
    gateway.reaches("tollgate_otlp_backlog_bytes", 1_000.0);
    let refused = collector.requests();
    // The rows are stored meanwhile: nobody but the exporter waits for the collector.
    let rows = gateway.rows(20);
    let gateway = gateway.kill_and_restart();
    collector.always(answer(200, b""));
    let all = eventually("the spans of all calls", || {
        let taken: Vec<Span> =
            collector.exports().into_iter().skip(refused).flat_map(|export| export.spans).collect();
        (servers(&taken).len() >= rows.len()).then_some(taken)
    });
    let ids: Vec<&str> = servers(&all).into_keys().collect();
    let mut expected: Vec<&str> = rows.iter().map(|row| row["span_id"].as_str().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    eventually("an empty backlog", || {
        (gateway.metric("tollgate_otlp_backlog_bytes") == 0.0).then_some(())
    });
    gateway.counts("tollgate_otlp_spans_total{result=\"sent\"}", 40.0);
    // Both readers know their places: after another start nothing is stored or sent again.
    let gateway = gateway.kill_and_restart();
    assert_eq!(call(&gateway, &[], &chat("one more")), 200);
    assert_eq!(gateway.rows(21).len(), 21);
    let last = eventually("its span", || {
        let spans = collector.exports().pop()?.spans;
        (spans.len() == 2).then_some(spans)
    });
    assert!(!ids.contains(&last[0].span_id.as_str()));
}

#[test]
fn a_collectors_words_are_kept() {
    let (provider, collector) = (Provider::start(), Collector::start());
    // Too long: in halves. One half is taken but for one span, the other is refused for good.
    collector.script([
        answer(413, b""),
        answer(200, b"\x0a\x09\x08\x01\x12\x05quota"),
        answer(400, b""),
    ]);
    let gateway = start(&provider, &collector, "");
    assert_eq!(call(&gateway, &[], &chat("one")), 200);
    let sum =
        |result: &str| gateway.metric(&format!("tollgate_otlp_spans_total{{result=\"{result}\"}}"));
    eventually("a dropped span", || (sum("dropped") == 1.0).then_some(()));
    assert_eq!((sum("rejected"), sum("sent")), (1.0, 0.0));
    let parts: Vec<usize> = collector.exports().iter().map(|export| export.spans.len()).collect();
    assert_eq!(parts, [2, 1, 1]);
    // One span that is too long by itself is dropped.
    collector.script([answer(413, b""), answer(413, b""), answer(200, b"")]);
    assert_eq!(call(&gateway, &[], &chat("two")), 200);
    eventually("the other span", || (sum("sent") == 1.0).then_some(()));
    assert_eq!(sum("dropped"), 2.0);
    // The next ones go as ever.
    assert_eq!(call(&gateway, &[], &chat("three")), 200);
    eventually("its spans", || (sum("sent") == 3.0).then_some(()));
}

#[test]
fn beyond_its_bound_the_oldest_spans_are_dropped_and_counted() {
    let (provider, collector) = (Provider::start(), Collector::start());
    collector.always(answer(503, b""));
    let gateway = Setup::new(&provider)
        .setting("telemetry", &collector.setting(", backlog_bytes: 1MiB"))
        .section("ailog", "capture: {bytes: 64KiB, keep: head}")
        .start();
    let text = "some words that are kept in the row ".repeat(1_600);
    for n in 0..40 {
        assert_eq!(call(&gateway, &[], &chat(&format!("{n} {text}"))), 200);
    }
    eventually("dropped spans", || {
        (gateway.metric("tollgate_otlp_spans_total{result=\"dropped\"}") > 0.0).then_some(())
    });
    gateway.reaches("tollgate_bounds_reached_total{bound=\"otlp_backlog\"}", 1.0);
    let rows = gateway.rows(40);
    collector.always(answer(200, b""));
    let last = rows[39]["span_id"].as_str().unwrap().to_owned();
    eventually("the newest span", || {
        collector.spans().iter().any(|span| span.span_id == last).then_some(())
    });
    eventually("every span's count", || {
        let sum = gateway.metric("tollgate_otlp_spans_total{result=\"sent\"}")
            + gateway.metric("tollgate_otlp_spans_total{result=\"dropped\"}");
        (sum == 80.0).then_some(())
    });
    assert_eq!(gateway.metric("tollgate_log_rows_total{result=\"lost\"}"), 0.0);
}

#[test]
fn what_is_left_at_the_end_is_sent_before_the_process_is_gone() {
    let (provider, collector) = (Provider::start(), Collector::start());
    let mut gateway = start(&provider, &collector, "");
    for _ in 0..5 {
        assert_eq!(call(&gateway, &[], &chat("last words")), 200);
    }
    let rows = gateway.stop();
    assert_eq!(servers(&collector.spans()).len(), rows.len());
}

/// Reads the same requests with the classes that the protocol's authors generate.
#[test]
#[ignore = "needs opentelemetry-proto; run by scripts/test"]
fn the_protocols_own_classes_read_the_spans() {
    let (provider, collector) = (Provider::start(), Collector::start());
    let gateway = start(&provider, &collector, ", content: true");
    for _ in 0..3 {
        assert_eq!(call(&gateway, &[("traceparent", &parent("01"))], &chat("hello")), 200);
    }
    collector.wait_for(6);
    let folder = tempfile::tempdir().expect("folder");
    let mut spans = 0;
    for (n, export) in collector.exports().iter().enumerate() {
        std::fs::write(folder.path().join(format!("{n}.bin")), &export.body).expect("written");
        spans += export.spans.len();
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join(".venv/bin/python"))
        .arg(root.join("tests/otlp/read.py"))
        .arg(folder.path())
        .output()
        .expect("python");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.trim(), format!("{spans} spans, trace {TRACE}"));
}
