//! The whole gateway with `store: clickhouse`, against a real ClickHouse engine.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::between::{Between, Fault};
use crate::support::engine::Engine;
use crate::support::load::Load;
use crate::support::{Connection, Provider, Setup, eventually, step};

fn close(a: &Value, b: f64) {
    let a = a
        .as_f64()
        .or_else(|| a.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{a} is no number"));
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn rows_and_the_daily_summary_are_in_clickhouse() {
    let (engine, provider) = (Engine::start(), Provider::start());
    engine.apply(engine.folder.path());
    let mut gateway = engine.gateway(&provider);
    provider.script((0..3).map(|_| step::error(503, "x")));
    for _ in 0..4 {
        gateway.chat("acme", "mail jane@example.com");
    }
    gateway.chat("other", "hi").ok();
    let rows = eventually("five rows", || Some(engine.rows()).filter(|rows| rows.len() >= 5));
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert_eq!((&rows[0]["outcome"], &rows[0]["attempts"]), (&"provider_error".into(), &3.into()));
    assert_eq!((&rows[1]["org_id"], &rows[1]["redacted_emails"]), (&"acme".into(), &1.into()));
    assert!(!format!("{rows:?}").contains("jane"));
    close(&rows[1]["cost_usd"], 5.55e-6);
    let summary = engine.query("SELECT * FROM tollgate.daily_summary ORDER BY org_id, calls");
    let of = |org: &str, column: &str| -> f64 {
        summary
            .iter()
            .filter(|row| row["org_id"] == org)
            .map(|row| row[column].as_f64().unwrap_or_default())
            .sum()
    };
    close(&of("acme", "calls").into(), 4.0);
    close(&of("acme", "errors").into(), 1.0);
    close(&of("acme", "input_tokens").into(), 33.0);
    close(&of("other", "output_tokens").into(), 7.0);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
    assert_eq!(engine.rows().len(), 5);
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn calls_go_on_while_clickhouse_is_away_and_no_row_is_lost_or_doubled() {
    let (engine, provider) = (Engine::start(), Provider::start());
    // Nothing is applied yet: there is no table, and calls are taken all the same.
    let gateway = engine.gateway(&provider);
    gateway.operators("/readyz").ok();
    for _ in 0..20 {
        gateway.chat("acme", "hi").ok();
    }
    engine.apply(engine.folder.path());
    // The first inserts fail, and then one is stored with its acknowledgement lost.
    engine.fault("mode=status&status=503&count=2");
    engine.fault("mode=drop_after&count=1&then=1");
    let gateway = gateway.kill_and_restart();
    for _ in 0..20 {
        gateway.chat("acme", "hi").ok();
    }
    eventually("forty rows", || Some(engine.rows().len()).filter(|count| *count >= 40));
    let ids = engine.query("SELECT count() AS n, uniqExact(id) AS ids FROM tollgate.ai_log");
    assert_eq!((&ids[0]["n"], &ids[0]["ids"]), (&40.into(), &40.into()), "{ids:?}");
}

#[test]
fn queries_whose_reader_has_left_are_counted_until_they_are_over() {
    let (provider, store) = (Provider::start(), Provider::start());
    store.always(step::silence());
    let clickhouse = format!("{{url: \"http://{}\"}}", store.address);
    let gateway = Setup::new(&provider)
        .setting("store", "clickhouse")
        .setting("clickhouse", &clickhouse)
        .start();
    let queries = || {
        store
            .seen()
            .iter()
            .filter(|seen| seen.text().contains("FROM") && !seen.text().contains("INSERT"))
            .count()
    };
    let before = queries();
    for n in 1..=4 {
        let mut reader = Connection::open(gateway.operators);
        reader.send(b"GET /api/logs HTTP/1.1\r\nhost: localhost\r\n\r\n");
        eventually("the query", || (queries() >= before + n).then_some(()));
    }
    // The four have left, and their queries go on: a fifth waits a moment for a place and is told
    // so. Three answers come long before a query gives up by itself, which frees its place.
    for _ in 0..3 {
        let reply = gateway.operators("/api/logs");
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.json()["error"], "too many queries at once; try again");
    }
    assert_eq!(queries(), before + 4);
}

/// Both addresses lead to the same tables, as those of replicas do.
#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn one_of_two_addresses_dies_under_load_and_each_call_has_one_row() {
    let (engine, provider) = (Engine::start(), Provider::start());
    provider.always(step::as_asked("hello"));
    engine.apply(engine.folder.path());
    let [first, second] = [(); 2].map(|()| Between::new(engine.address, &[]));
    let urls = format!("{{urls: [\"http://{}\", \"http://{}\"]}}", first.address, second.address);
    let mut gateway =
        Setup::new(&provider).setting("store", "clickhouse").setting("clickhouse", &urls).start();
    let load = Load::start(gateway.apps, 8, "load", Duration::ZERO);
    let stored = || gateway.metric("tollgate_log_rows_total{result=\"stored\"}");
    eventually("rows through the first", || (stored() > 100.0).then_some(()));
    // An acknowledgement is lost, and then nobody is there.
    first.script_and_wait([Fault::LostAck], 0);
    first.towards(None);
    let before = stored();
    eventually("rows through the second", || (stored() > before + 200.0).then_some(()));
    eventually("the first to be left alone", || {
        gateway.printed().contains("a ClickHouse server is left alone for a while").then_some(())
    });
    load.go_on(200);
    gateway.signal(Signal::TERM);
    let whole = load.end();
    assert!(gateway.wait().success());
    let found = engine.query(
        "SELECT count() AS n, uniqExact(id) AS ids, uniqExact(request_id) AS calls FROM \
         tollgate.ai_log",
    );
    // A call whose caller saw no whole answer has its row, too.
    let count = |name: &str| usize::try_from(found[0][name].as_u64().unwrap()).unwrap();
    assert_eq!((count("n"), count("n")), (count("ids"), count("calls")), "{found:?}");
    assert!((whole.len()..=whole.len() + 8).contains(&count("n")), "{found:?}, {}", whole.len());
    // The tables here are not replicated, which is worth a warning.
    gateway.prints("ai_rows is no replicated table");
}
