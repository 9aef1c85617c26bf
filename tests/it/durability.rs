//! `ailog.durability`: what waits for the disk, and that it is hot.

use serde_json::json;

use crate::support::{
    Gateway, Provider, Setup, chat, eventually, jwt, post, refused_address, step,
};

/// How often the write-ahead log was synced.
fn syncs(gateway: &Gateway) -> f64 {
    gateway.metric("tollgate_log_sync_seconds_count")
}

/// One streamed chat call, whole.
fn streamed(gateway: &Gateway) -> String {
    let mut body = chat("hi");
    body["stream"] = json!(true);
    let reply = gateway.post("/v1/chat/completions", &jwt("acme"), &body);
    assert!(reply.ok().complete && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    reply.text().to_owned()
}

#[test]
fn with_power_every_kind_of_answer_waits_for_the_disk_and_none_without() {
    let provider = Provider::start();
    let events = step::chat_events(&["hello"], true);
    let mut gateway = Gateway::start(&provider);
    gateway.chat("acme", "hi").ok();
    provider.script([step::sse(&events)]);
    let before = streamed(&gateway);
    // Until a call asks for it, not even the shipper syncs.
    gateway.rows(2);
    assert_eq!(syncs(&gateway), 0.0);

    gateway.edit_and_wait("ailog", "{durability: power}");
    let mut seen = syncs(&gateway);
    let mut synced = |what: &str| {
        let now = syncs(&gateway);
        assert!(now > seen, "{what} did not wait for the disk");
        seen = now;
    };
    gateway.chat("acme", "hi").ok();
    synced("a JSON answer");
    provider.script([step::sse(&events)]);
    assert_eq!(streamed(&gateway), before, "the same bytes");
    synced("a stream");
    provider.script((0..3).map(|_| step::error(503, "x")));
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    synced("a refusal");
    // No call, no wait, even while the disk is busy.
    assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
    assert_eq!(gateway.stop().len(), 5);
}

#[test]
fn calls_at_once_are_all_answered_with_no_more_syncs_than_calls() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("ailog", "{durability: power}").start();
    let (apps, bearer) = (gateway.apps, jwt("acme"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..25).for_each(|_| {
                    drop(post(apps, "/v1/chat/completions", &bearer, &chat("hi")).ok().clone())
                })
            });
        }
    });
    let syncs = syncs(&gateway);
    assert!((1.0..=200.0).contains(&syncs), "{syncs}");
    assert_eq!(gateway.kill_and_restart().rows(200).len(), 200);
}

#[test]
fn a_backlog_at_its_bound_costs_rows_that_are_counted_and_no_call() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .setting("store", "clickhouse")
        .setting("clickhouse", &format!("{{url: \"http://{}\"}}", refused_address()))
        .setting("bounds", "{log_backlog_bytes: 16MiB}")
        .start();
    let rows = |result: &str| {
        gateway.metric(&format!("tollgate_log_rows_total{{result=\"{result}\"}}")) as u64
    };
    let (bearer, body) = (jwt("acme"), chat(&"a long question ".repeat(1_200)));
    let mut calls = 0;
    while rows("lost") < 5 {
        (0..50).for_each(|_| {
            drop(post(gateway.apps, "/v1/chat/completions", &bearer, &body).ok().clone())
        });
        calls += 50;
    }
    assert_eq!((rows("written") + rows("lost"), rows("stored")), (calls, 0));
    assert!(gateway.metric("tollgate_log_spool_bytes") <= f64::from(16 << 20));
    eventually("the age of the oldest row", || {
        (gateway.metric("tollgate_log_oldest_unshipped_seconds") > 0.0).then_some(())
    });
    gateway.reaches("tollgate_bounds_reached_total{bound=\"wal_bytes\"}", 5.0);
}
