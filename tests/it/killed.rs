//! `kill -9` under load: whatever a client saw whole has exactly one row.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::between::{Between, Fault};
use crate::support::engine::Engine;
use crate::support::load::Load;
use crate::support::{Gateway, Provider, Setup, eventually, step};

/// Between the calls of one caller. Little: there shall be calls under way when a gateway is
/// killed.
const PAUSE: Duration = Duration::from_millis(1);

/// How often a gateway is killed: a few times with all tests, as often as `TOLLGATE_TEST_KILLS`
/// says by hand.
fn rounds(usual: usize) -> usize {
    std::env::var("TOLLGATE_TEST_KILLS").map_or(usual, |text| text.parse().expect("a number"))
}

/// A provider that streams to those who ask for it.
fn provider() -> Provider {
    let provider = Provider::start();
    provider.always(step::as_asked("hello"));
    provider
}

/// How many rows there are of each request.
fn by_request<'a>(ids: impl Iterator<Item = &'a Value>) -> BTreeMap<String, usize> {
    let mut rows = BTreeMap::new();
    for id in ids {
        *rows.entry(id.as_str().expect("request_id").to_owned()).or_default() += 1;
    }
    rows
}

/// Every call that was whole has its row, and no call has two.
fn check(whole: &[String], rows: &BTreeMap<String, usize>) {
    let missing: Vec<&String> = whole.iter().filter(|id| !rows.contains_key(*id)).collect();
    assert!(
        missing.is_empty(),
        "{} of {} rows are missing: {missing:?}",
        missing.len(),
        whole.len()
    );
    let twice: Vec<&String> =
        rows.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id).collect();
    assert!(twice.is_empty(), "{} rows are doubled: {twice:?}", twice.len());
}

#[test]
fn killed_again_and_again_the_embedded_store_has_every_whole_answer_once() {
    let provider = provider();
    let mut gateway = Gateway::start(&provider);
    let mut whole = vec![];
    for round in 0..rounds(8) {
        let load = Load::start(gateway.apps, 4, &format!("kill-{round}"), PAUSE);
        // After more calls each time: before, while and after rows are stored.
        load.go_on(10 + 37 * round % 300);
        gateway = gateway.kill_and_restart();
        whole.extend(load.end());
    }
    let rows = gateway.stop();
    check(&whole, &by_request(rows.iter().map(|row| &row["request_id"])));
    assert!(rows.len() >= whole.len());
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn killed_beside_a_failing_clickhouse_every_whole_answer_is_there_once() {
    let (mut engine, provider) = (Engine::start(), provider());
    engine.apply(engine.folder.path());
    let between = Between::new(engine.address, &[]);
    let mut gateway = Setup::new(&provider)
        .setting("store", "clickhouse")
        .setting("clickhouse", &format!("{{url: \"http://{}\"}}", between.address))
        .start();
    let mut whole = vec![];
    for round in 0..rounds(7) {
        let load = Load::start(gateway.apps, 3, &format!("kill-{round}"), PAUSE);
        load.go_on(10);
        match round % 7 {
            // Killed when an acknowledgement was lost, and when the second was.
            0 => between.script_and_wait([Fault::LostAck; 2], 1),
            1 => between.script_and_wait([Fault::HalfSent, Fault::Busy, Fault::LostAck], 0),
            // Killed while the store takes its time.
            2 => between.script_and_wait([Fault::Slow(Duration::from_millis(900)); 2], 1),
            // Away when the gateway is killed, and back when the next one runs.
            3 => {
                between.towards(None);
                between.wait_for_a_call();
            }
            4 => {
                between.towards(None);
                engine.kill();
                between.wait_for_a_call();
            }
            // Restarted while the gateway goes on.
            5 => {
                engine.kill();
                between.wait_for_a_call();
                engine.start_again();
                between.towards(Some(engine.address));
                between.wait_for_a_call();
            }
            _ => between.script_and_wait([Fault::LostAck], 0),
        }
        load.go_on(17 * round % 100);
        gateway = gateway.kill_and_restart();
        whole.extend(load.end());
        if round % 7 == 4 {
            engine.start_again();
        }
        between.towards(Some(engine.address));
    }
    between.script([]);
    // A fresh process: what is left is sent without a long wait.
    let mut gateway = gateway.kill_and_restart();
    let rows = eventually("every row", || {
        let ids = engine.query("SELECT request_id FROM tollgate.ai_log");
        let rows = by_request(ids.iter().map(|row| &row["request_id"]));
        whole.iter().all(|id| rows.contains_key(id)).then_some(rows)
    });
    check(&whole, &rows);
    // Nothing comes after: an orderly end sends what there is.
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
    let ids = engine.query("SELECT request_id FROM tollgate.ai_log");
    check(&whole, &by_request(ids.iter().map(|row| &row["request_id"])));
}
