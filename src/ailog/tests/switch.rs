//! A gateway whose store is changed: what waits goes to the new one, what is stored stays where it is.

use std::collections::BTreeSet;
use std::time::Duration;

use super::clickhouse::Engine;
use super::{SOON, count, row};
use crate::ailog::{AiLog, Options};
use crate::config::policy::StoreKind;
use crate::metrics::Metrics;

#[test]
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
        engine.fault(if is_away { "mode=drop_before&count=1000000" } else { "mode=delay&ms=0&count=1" });
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
    let embedded: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("query").map(|id| id.expect("id")).collect();
    let away = engine.query("SELECT request_id FROM switched.ai_log");
    let away: Vec<String> = away.lines().map(str::to_owned).collect();
    assert!(embedded.len() >= 200 && away.len() >= 300, "{} and {}", embedded.len(), away.len());
    let all: BTreeSet<&String> = embedded.iter().chain(&away).collect();
    assert_eq!((embedded.len() + away.len(), all.len()), (next as usize, next as usize));
}
