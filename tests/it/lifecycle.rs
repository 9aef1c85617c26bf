//! A process that starts, is watched, is told to stop, and is killed.

use std::process::Stdio;

use rustix::process::Signal;

use crate::support::step;
use crate::support::{Gateway, Provider, Setup, chat, eventually, jwt, request, tollgate};

#[test]
fn operators_see_health_metrics_and_the_log() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    gateway.operators("/healthz").ok();
    gateway.operators("/readyz").ok();
    assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
    assert_eq!(gateway.send("GET", "/readyz", &[], b"").status, 200);
    gateway.chat("acme", "mail jane@example.com").ok();
    gateway.rows(1);
    let metrics = gateway.operators("/metrics");
    let text = metrics.ok().text();
    let expected = [
        "tollgate_requests_total",
        "tollgate_request_duration_seconds_bucket",
        "tollgate_time_to_first_byte_seconds_bucket",
        "tollgate_overhead_seconds_bucket",
        "tollgate_upstream_attempts_total",
        "tollgate_redactions_total",
        "tollgate_tokens_total",
        "tollgate_cost_usd_total",
        "tollgate_log_rows_total",
        "tollgate_log_spool_bytes",
        "tollgate_log_oldest_unshipped_seconds",
        "tollgate_config_last_reload_successful 1",
        "tollgate_config_last_reload_success_timestamp_seconds",
        "# TYPE tollgate_build_info gauge",
        "tollgate_build_info{version=",
        "process_resident_memory_bytes",
    ];
    for name in expected {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    gateway.reaches("tollgate_requests_total", 1.0);
    let logs = gateway.operators("/api/logs").ok().text().to_owned();
    assert!(
        logs.contains("\"org_id\":\"acme\"") || logs.contains("\"org_id\": \"acme\""),
        "{logs}"
    );
    let summary = gateway.operators("/api/summary").ok().text().to_owned();
    assert!(summary.contains("acme") && summary.contains("input_tokens"), "{summary}");
    let page = gateway.operators("/");
    assert!(page.ok().header("content-type").is_some_and(|value| value.starts_with("text/html")));
    let config = gateway.operators("/api/config").ok().text().to_owned();
    assert!(
        !config.contains("sk-gateway-own-key") && !config.contains("integration-test-secret"),
        "{config}"
    );
}

#[test]
fn a_store_that_is_away_is_told_apart_from_a_wrong_question() {
    let provider = Provider::start();
    // It hangs up at once.
    let store = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let clickhouse = format!("{{url: \"http://{}\"}}", store.local_addr().unwrap());
    std::thread::spawn(move || store.incoming().for_each(drop));
    let setup =
        Setup::new(&provider).setting("store", "clickhouse").setting("clickhouse", &clickhouse);
    let gateway = setup.start();
    for path in ["/api/summary", "/api/logs"] {
        let away = gateway.operators(path);
        assert!(
            away.status == 503 && away.text().contains("ClickHouse cannot be read"),
            "{}",
            away.text()
        );
    }
    assert_eq!(gateway.operators("/api/logs?limit=many").status, 400);
    gateway.chat("acme", "hi").ok();
}

#[test]
fn a_foreign_host_is_refused_on_the_operators_side() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .setting("admin", "{allowed_hosts: [tollgate.internal, Ops.Example.com]}")
        .start();
    let ask = |path: &str, host: &str| {
        let bytes = format!("GET {path} HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        crate::support::Connection::open(gateway.operators).send(bytes.as_bytes()).reply().status
    };
    let port = gateway.operators.port();
    for ours in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "[::1]:9090".to_owned(),
        "tollgate.internal".to_owned(),
        format!("TOLLGATE.internal:{port}"),
        "ops.example.com.".to_owned(),
    ] {
        assert_eq!(ask("/api/config", &format!("host: {ours}\r\n")), 200, "{ours}");
    }
    for foreign in ["evil.example", "xtollgate.internal", "tollgate.internal.evil.example"] {
        for path in ["/", "/api/config", "/api/logs", "/metricsx", "/api/auth"] {
            assert_eq!(ask(path, &format!("host: {foreign}\r\n")), 403, "{path} {foreign}");
        }
    }
    // Scrapers and probes come by any name. Nothing there is a caller's.
    for path in ["/metrics", "/healthz", "/readyz"] {
        for host in ["host: tollgate-0.pods.svc:9090\r\n", "host: evil.example\r\n"] {
            assert_eq!(ask(path, host), 200, "{path} {host}");
        }
    }
}

#[test]
fn a_second_process_on_the_same_folder_says_so() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let second = tollgate()
        .args(["serve", "--config"])
        .arg(gateway.folder())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let told = String::from_utf8_lossy(&second.stderr).into_owned()
        + &String::from_utf8_lossy(&second.stdout);
    assert!(told.contains(&gateway.folder().join("data").display().to_string()), "{told}");
    gateway.chat("acme", "hi").ok();
}

#[test]
fn sigterm_lets_running_calls_end() {
    let provider = Provider::start();
    let mut gateway = Gateway::start(&provider);
    let events = step::chat_events(&["first ", "last "], true);
    let (gate, go) = step::gate();
    let mut script = step::sse_open(&events[..2]);
    script.push(gate);
    script.extend(step::sse_rest(&events[2..]));
    provider.script([script]);
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut body = chat("hi");
    body["stream"] = serde_json::json!(true);
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.to_string().as_bytes(),
    ));
    let mut head = connection.head().unwrap();
    connection.chunks_until("first ");
    gateway.signal(Signal::TERM);
    // Not ready any more, and new connections are refused, while the old stream goes on.
    eventually("the listener closed", || {
        std::net::TcpStream::connect(gateway.apps).is_err().then_some(())
    });
    assert_eq!(gateway.operators("/readyz").status, 503);
    assert_eq!(gateway.operators("/healthz").status, 200);
    go.send(()).unwrap();
    connection.body(&mut head);
    assert!(head.complete && head.text().ends_with("[DONE]\n\n"), "{}", head.text());
    let status = gateway.wait();
    assert!(status.success(), "{status}");
    let row = gateway.only_row();
    assert_eq!(row["outcome"], "ok", "{row:?}");
}

#[test]
fn sigterm_does_not_wait_for_ever() {
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider).setting("shutdown_grace", "500ms").start();
    let mut script = step::sse_open(&step::chat_events(&["first "], true)[..2]);
    script.push(step::Act::Hold);
    provider.script([script]);
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.as_bytes(),
    ));
    connection.head().unwrap();
    connection.chunks_until("first ");
    let rows = gateway.stop();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (&rows[0]["outcome"], &rows[0]["status"]),
        (&"refused".into(), &503.into()),
        "its client did not leave"
    );
}

#[test]
fn kill_9_loses_no_row_and_doubles_none() {
    let provider = Provider::start();
    let mut gateway = Gateway::start(&provider);
    let mut answered = 0;
    for round in 0..3 {
        for _ in 0..40 {
            gateway.chat("acme", &format!("round {round}")).ok();
            answered += 1;
        }
        gateway = gateway.kill_and_restart();
        gateway.chat("acme", "after the restart").ok();
        answered += 1;
    }
    let rows = gateway.stop();
    assert_eq!(rows.len(), answered);
    let ids: std::collections::HashSet<String> =
        rows.iter().map(|row| row["id"].to_string()).collect();
    assert_eq!(ids.len(), answered);
}

#[test]
fn the_daily_summary_adds_up() {
    let provider = Provider::start();
    let mut gateway = Gateway::start(&provider);
    for n in 0..10 {
        if n % 5 == 0 {
            provider.script((0..3).map(|_| step::error(503, "x")));
        }
        gateway.chat(if n < 6 { "acme" } else { "other" }, "hi");
    }
    gateway.stop();
    let database = rusqlite::Connection::open(gateway.database()).unwrap();
    let rows =
        crate::support::gateway::query(&database, "SELECT * FROM daily_summary ORDER BY org_id")
            .unwrap();
    let column = |org: &str, column: &str| -> f64 {
        rows.iter()
            .filter(|row| row["org_id"] == org)
            .map(|row| {
                row[column].as_f64().or_else(|| row[column].as_str()?.parse().ok()).unwrap_or(0.0)
            })
            .sum()
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b} {rows:?}");
    close(column("acme", "calls"), 6.0);
    close(column("acme", "errors"), 2.0);
    close(column("other", "calls"), 4.0);
    close(column("acme", "input_tokens"), 44.0);
    close(column("other", "output_tokens"), 28.0);
    close(column("other", "cost_usd"), 4.0 * 5.55e-6);
    let names = [
        "day",
        "org_id",
        "provider",
        "model",
        "route",
        "calls",
        "errors",
        "error_rate",
        "rate_limited",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "p50_ms",
        "p95_ms",
        "p99_ms",
    ];
    for name in names {
        assert!(rows[0].contains_key(name), "{name} is not in {:?}", rows[0]);
    }
}
