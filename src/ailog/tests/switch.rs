//! A gateway whose store is changed: what waits goes to the new one, what is stored stays where it
//! is.

use std::collections::BTreeSet;
use std::time::Duration;

use super::clickhouse::{Engine, in_trouble};
use super::{SOON, count, row};
use crate::ailog::{AiLog, Options};
use crate::config::policy::StoreKind;
use crate::metrics::Metrics;

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn rows_are_in_one_store_or_the_other_and_none_in_both() {
    let engine = Engine::own();
    let clickhouse = StoreKind::ClickHouse(engine.apply("switched"));
    let dir = tempfile::tempdir().expect("dir");
    let mut next = 0;
    // Each run: its store, and whether it ends before its rows are stored.
    for (store, stored) in [
        (StoreKind::Embedded, true),
        (clickhouse.clone(), true),
        (StoreKind::Embedded, false),
        (clickhouse.clone(), false),
        (clickhouse.clone(), true),
        (StoreKind::Embedded, true),
        (clickhouse.clone(), false),
        (StoreKind::Embedded, false),
        (clickhouse, true),
    ] {
        let is_away = !stored && matches!(store, StoreKind::ClickHouse(_));
        engine.fault(if is_away {
            "mode=drop_before&count=1000000"
        } else {
            "mode=delay&ms=0&count=1"
        });
        let metrics = Metrics::new();
        let log = AiLog::open(Options::new(dir.path(), 0), store, metrics.clone()).expect("log");
        (next..next + 100).for_each(|n| log.append(&row(n)));
        next += 100;
        if stored {
            assert!(log.flush(SOON), "{:?}", log.backlog());
        } else if is_away {
            assert!(!log.flush(Duration::from_millis(20)));
        }
        drop(log);
        assert_eq!(count(&metrics, "lost"), 0);
    }
    let database = rusqlite::Connection::open(dir.path().join("tollgate.db")).expect("database");
    let mut statement = database.prepare("SELECT request_id FROM ai_log").expect("sql");
    let embedded: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .expect("query")
        .map(|id| id.expect("id"))
        .collect();
    let away = engine.query("SELECT request_id FROM switched.ai_log");
    let away: Vec<String> = away.lines().map(str::to_owned).collect();
    assert!(embedded.len() >= 200 && away.len() >= 300, "{} and {}", embedded.len(), away.len());
    let all: BTreeSet<&String> = embedded.iter().chain(&away).collect();
    assert_eq!((embedded.len() + away.len(), all.len()), (next as usize, next as usize));
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn a_batch_whose_acknowledgement_was_lost_may_be_in_both_stores_and_nothing_else_is() {
    let engine = Engine::own();
    let clickhouse = StoreKind::ClickHouse(engine.apply("both"));
    let dir = tempfile::tempdir().expect("dir");
    engine.fault("mode=drop_after&count=1000000");
    let log = AiLog::open(Options::new(dir.path(), 0), clickhouse, Metrics::new()).expect("log");
    (0..100).for_each(|n| log.append(&row(n)));
    in_trouble(&log);
    (100..150).for_each(|n| log.append(&row(n)));
    drop(log);
    let log =
        AiLog::open(Options::new(dir.path(), 0), StoreKind::Embedded, Metrics::new()).expect("log");
    assert!(log.flush(SOON), "{:?}", log.backlog());
    drop(log);
    let database = rusqlite::Connection::open(dir.path().join("tollgate.db")).expect("database");
    let embedded = "SELECT count(*) || ' ' || count(DISTINCT request_id) FROM ai_log";
    assert_eq!(
        database.query_row(embedded, [], |row| row.get::<_, String>(0)).expect("counts"),
        "150 150"
    );
    // ClickHouse has what one range held that was read before the trouble, once however often it
    // was sent.
    let away = engine.query(
        "SELECT count(), uniqExact(id), max(toUInt32(substring(request_id, 5))) FROM both.ai_log",
    );
    let away: Vec<u64> = away.split('\t').map(|n| n.parse().expect("a number")).collect();
    assert!(away[0] > 0 && away[0] == away[1] && away[2] < 100, "{away:?}");
}
