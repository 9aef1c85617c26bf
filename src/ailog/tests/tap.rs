//! Two readers of one log: a segment stays until both have finished it.

use std::path::Path;
use std::sync::Arc;

use super::{SOON, count, row};
use crate::ailog::row::{Row, Traced};
use crate::ailog::tap::Tap;
use crate::ailog::wal::WalLimits;
use crate::ailog::{AiLog, Options};
use crate::config::policy::StoreKind;
use crate::metrics::Metrics;

fn open(dir: &Path, traces: bool) -> (AiLog, Arc<Metrics>) {
    let metrics = Metrics::new();
    let options = Options {
        traces,
        wal: WalLimits { segment_bytes_max: 16 << 10, ..WalLimits::default() },
        ..Options::new(dir, 0)
    };
    let log = AiLog::open(options, StoreKind::Embedded, Arc::clone(&metrics)).expect("log");
    (log, metrics)
}

fn segments(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("wal")).expect("wal").count()
}

/// Row `n`, whose trace says so.
fn numbered(n: u64) -> Row {
    let traced = Traced { took_ns: n, ..Traced::default() };
    Row { traced: Some(Box::new(traced)), ..row(n) }
}

/// The next rows' numbers, at most so many, which are done then.
fn take(tap: &mut Tap, most: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < most && tap.next().expect("a log") {
        let (batch, mut end) = (tap.batch(), 0);
        for at in 0..batch.rows.len().min(most - numbers.len()) {
            let traced = crate::ailog::traced::ReadTraced::read(batch.trace(at)).expect("a trace");
            numbers.push(traced.took_ns);
            end = batch.rows[at].segment_end;
        }
        tap.done(end).expect("kept");
    }
    numbers
}

#[test]
fn a_segment_stays_until_its_rows_are_stored_and_their_traces_exported() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, metrics) = open(dir.path(), true);
    let mut tap = log.take_tap().expect("a tap");
    assert!(log.take_tap().is_none());
    (0..200).for_each(|n| log.append(&numbered(n)));
    assert!(log.flush(SOON));
    assert_eq!((log.backlog().bytes, count(&metrics, "stored")), (0, 200));
    let all = segments(dir.path());
    assert!(all > 3, "{all} segments");
    assert!(tap.backlog_bytes() > 40_000, "{}", tap.backlog_bytes());
    assert_eq!(take(&mut tap, 70), (0..70).collect::<Vec<_>>());
    let left = segments(dir.path());
    assert!(left < all && left > 1, "{left} of {all}");

    // The process ends. Nothing is stored twice, and the traces go on where they were.
    drop((log, tap));
    let (log, metrics) = open(dir.path(), true);
    let mut tap = log.take_tap().expect("a tap");
    (200..210).for_each(|n| log.append(&numbered(n)));
    assert!(log.flush(SOON));
    assert_eq!(count(&metrics, "stored"), 10);
    assert_eq!(take(&mut tap, usize::MAX), (70..210).collect::<Vec<_>>());
    assert_eq!((tap.backlog_bytes(), segments(dir.path())), (0, 1));

    // Traces are exported no more: segments do not wait for them.
    (210..400).for_each(|n| log.append(&numbered(n)));
    assert!(log.flush(SOON));
    drop((log, tap));
    let (log, _) = open(dir.path(), false);
    log.append(&numbered(400));
    assert!(log.flush(SOON) && log.take_tap().is_none());
    assert!(segments(dir.path()) <= 2, "{}", segments(dir.path()));
    drop(log);

    // And again: from what is there.
    let (log, metrics) = open(dir.path(), true);
    let mut tap = log.take_tap().expect("a tap");
    log.append(&numbered(401));
    assert!(log.flush(SOON));
    let numbers = take(&mut tap, usize::MAX);
    assert_eq!((numbers.last(), count(&metrics, "stored")), (Some(&401), 1));
}

#[test]
fn the_exporter_may_be_ahead_of_the_store() {
    let dir = tempfile::tempdir().expect("dir");
    let metrics = Metrics::new();
    let options = Options {
        traces: true,
        wal: WalLimits { segment_bytes_max: 16 << 10, ..WalLimits::default() },
        ..Options::new(dir.path(), 0)
    };
    // A store that is away.
    let server = crate::config::policy::ClickHouseOptions::at("http://127.0.0.1:9", "tollgate");
    let log = AiLog::open(options, StoreKind::ClickHouse(server), metrics).expect("log");
    let mut tap = log.take_tap().expect("a tap");
    (0..200).for_each(|n| log.append(&numbered(n)));
    let all = segments(dir.path());
    assert_eq!(take(&mut tap, usize::MAX).len(), 200);
    assert_eq!((tap.backlog_bytes(), segments(dir.path())), (0, all));
    assert!(log.backlog().bytes > 40_000);
    drop((log, tap));
    let (log, metrics) = open(dir.path(), true);
    let mut tap = log.take_tap().expect("a tap");
    assert!(log.flush(SOON));
    assert_eq!(count(&metrics, "stored"), 200);
    assert!(!tap.next().expect("a log"), "nothing is exported twice");
    assert!(segments(dir.path()) <= 1);
}

#[test]
fn a_position_that_cannot_be_read_is_the_beginning() {
    let dir = tempfile::tempdir().expect("dir");
    for text in ["", "nonsense", "01935a00-0000-7000-8000-000000000001 36", "x 1\n"] {
        let (log, _) = open(dir.path(), true);
        log.append(&numbered(1));
        drop(log);
        std::fs::write(dir.path().join("otlp-position"), text).expect("written");
        let (log, _) = open(dir.path(), true);
        let mut tap = log.take_tap().expect("a tap");
        assert!(!take(&mut tap, usize::MAX).is_empty(), "{text}");
    }
}
