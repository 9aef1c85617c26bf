//! Little memory, little time on the processor, a long life: the gateway stays within its bounds
//! and keeps its promises.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::fault::{CHAT, Stage};
use crate::support::load::Load;
use crate::support::step::{self, Act, at_head};
use crate::support::{Connection, Gateway, Provider, Setup, chat, eventually, jwt, request};

/// Resident memory, in MiB.
fn memory(gateway: &Gateway) -> f64 {
    gateway.metric("process_resident_memory_bytes") / (1024.0 * 1024.0)
}

fn call(body: &serde_json::Value) -> Vec<u8> {
    let bearer = format!("Bearer {}", jwt("acme"));
    request("POST", CHAT, &[("authorization", &bearer)], body.to_string().as_bytes())
}

#[test]
fn long_bodies_hold_what_they_may_and_no_more() {
    const CALLS: u16 = 200;
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("bounds", "{held_bytes: 16MiB}").start();
    let stage = Stage::new(&gateway, &provider);
    let before = memory(&gateway);
    // A provider that takes them and says nothing, so that each would be kept for another attempt:
    // 100 MB in all.
    provider.script((0..CALLS).map(|_| at_head(vec![Act::Hold])));
    let bytes = call(&chat(&"word ".repeat(100_000)));
    let held: Vec<Connection> = (0..CALLS)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send(&bytes);
            connection
        })
        .collect();
    eventually("calls at work", || {
        (gateway.metric("tollgate_requests_in_flight") > f64::from(CALLS) - 0.5).then_some(())
    });
    let grown = memory(&gateway) - before;
    assert!(
        grown < 16.0 + 0.25 * f64::from(CALLS),
        "{grown} MiB for {CALLS} bodies of half a megabyte"
    );
    assert_eq!(gateway.send("GET", "/healthz", &[], b"").status, 200);
    drop(held);
    stage.is_quiet();
    stage.well_again("long bodies");
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
    // What is made once and kept is there after the first rounds.
    (0..5).for_each(|_| round());
    let before = memory(&gateway);
    (0..25).for_each(|_| round());
    let grown = memory(&gateway) - before;
    assert!(grown < 8.0, "{grown} MiB more after 25 rounds of 40 connections");
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
            "openai: {{kind: openai, base_url: \"http://{}/v1\", api_key: k}}\nsilent: {{kind: openai, base_url: \"http://{}/v1\", api_key: k}}",
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
