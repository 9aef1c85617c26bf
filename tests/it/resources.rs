//! Little memory, little time on the processor, a long life: the gateway stays within its bounds
//! and keeps its promises.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::fault::{CHAT, Stage};
use crate::support::load::Load;
use crate::support::step::{self, Act};
use crate::support::{Connection, Gateway, Provider, Setup, chat, eventually, jwt, request};

fn call(body: &serde_json::Value) -> Vec<u8> {
    let bearer = format!("Bearer {}", jwt("acme"));
    request("POST", CHAT, &[("authorization", &bearer)], body.to_string().as_bytes())
}

#[test]
fn long_bodies_hold_what_they_may_and_no_more() {
    const CALLS: usize = 100;
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .setting("bounds", "{held_bytes: 16MiB}")
        .section("retry", "{max_retries: 1, base_delay: 1ms, max_delay: 1ms}")
        .section("breaker", "{consecutive_failures: 100000}")
        .start();
    let stage = Stage::new(&gateway, &provider);
    // A provider that reads them, waits and fails. Only a body that was kept can be sent again; all
    // together they have 50 MB.
    let (gates, open): (Vec<_>, Vec<_>) = (0..CALLS).map(|_| step::gate()).unzip();
    let failing = |gate: Act| [vec![gate], step::error(503, "x")].concat();
    provider.script(gates.into_iter().map(failing));
    let bytes = call(&chat(&"word ".repeat(100_000)));
    let mut calls: Vec<Connection> = (0..CALLS)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send(&bytes);
            connection
        })
        .collect();
    provider.wait_for(CALLS);
    assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
    open.into_iter().for_each(|gate| gate.send(()).unwrap());
    let kept = calls.iter_mut().map(Connection::reply).filter(|reply| reply.status == 200).count();
    let most = (16 << 20) / 500_000;
    assert!((1..=most).contains(&kept), "{kept} of {CALLS} bodies of half a megabyte were kept");
    assert_eq!(provider.take_seen().len(), CALLS + kept);
    drop(calls);
    stage.is_quiet();
    gateway.chat("acme", "hi").ok();
}

#[test]
fn rounds_of_streams_idle_connections_and_leavers_leave_nothing() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let stage = Stage::new(&gateway, &provider);
    let events = step::chat_events(&["one ", "two "], true);
    let mut body = chat("hi");
    body["stream"] = json!(true);
    let bytes = call(&body);
    let round = || {
        provider.always(step::sse(&events));
        let mut open: Vec<Connection> = (0..40).map(|_| gateway.connect()).collect();
        // Half of them are idle; of the others half leave in their answer.
        for (n, connection) in open.iter_mut().enumerate().filter(|(n, _)| n % 2 == 0) {
            let mut head = connection.send(&bytes).head().unwrap();
            if n % 4 == 0 {
                connection.body(&mut head);
                assert!(head.complete);
            }
        }
        drop(open);
        provider.always(step::chat("hello"));
        stage.is_quiet();
        stage.well_again("a round");
    };
    // Each round checks calls in flight and open files. Memory is measured by
    // `scripts/bench-streams`.
    (0..10).for_each(|_| round());
    eventually("one connection, that of the question", || {
        (gateway.metric("tollgate_connections ") < 1.5).then_some(())
    });
}

#[test]
fn on_a_crowded_processor_timeouts_fire_and_health_answers() {
    let provider = Provider::start();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let one = allowed.split([',', '-']).next().unwrap();
    // One processor, after everybody else on it.
    let gateway = Setup::new(&provider).under(&format!("taskset -c {one} nice -n 19")).start();
    provider.always(step::as_asked("hello"));
    let load = Load::start(gateway.apps, 8, "crowd", Duration::ZERO);
    load.go_on(50);
    // A call that is routed to the same provider takes the next step of the script, whoever's it
    // is: so one of its own.
    let silent = Provider::start();
    silent.always(step::silence());
    gateway.edit_and_wait(
        "providers",
        &format!(
            "openai: {{kind: openai, base_url: \"http://{}/v1\", api_key: k}}\nsilent: {{kind: \
                openai, base_url: \"http://{}/v1\", api_key: k}}",
            provider.address, silent.address
        ),
    );
    gateway
        .edit_and_wait("routing", "{default: [openai], models: [{match: silent, to: [silent]}]}");
    // Other calls of that time may come too late as well. Their callers end, which fails nothing,
    // and new ones begin.
    gateway.edit_and_wait("timeouts", "{first_byte: 1s, idle: 1s}");
    let body = json!({"model": "silent", "messages": []});
    gateway.post(CHAT, &jwt("acme"), &body).refused(504, "provider_timeout");
    assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
    gateway.operators("/readyz").ok();
    gateway.edit_and_wait("timeouts", "{}");
    Load::start(gateway.apps, 8, "again", Duration::ZERO).go_on(50);
}
