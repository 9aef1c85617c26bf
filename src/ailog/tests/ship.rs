//! The shipper beside a store that does as it is told: what it gathers, what it says, and what it
//! sends again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::{SOON, count, row};
use crate::ailog::counters::Counters;
use crate::ailog::shared::SharedLog;
use crate::ailog::store::shipper::{Shipper, Step};
use crate::ailog::store::{
    AuditRecord, Keep, LimitInForce, Resume, Retention, Store, StoreError, Stored,
};
use crate::ailog::wal::position::Position;
use crate::ailog::wal::reader::{Batch, BatchLimits};
use crate::ailog::wal::segment::FileSystem;
use crate::ailog::wal::{Wal, WalLimits};
use crate::clock::Clock;
use crate::config::policy::StoreKind;
use crate::metrics::Metrics;
use crate::report::Reader;

/// Longer than any test.
const TICK: Duration = Duration::from_secs(3_600);

/// An order to a store about a batch.
enum Told {
    Take,
    Refuse,
    BeDefect,
}

/// A request to a store: the range, and how many rows are in it.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    start: u64,
    sealed_end: u64,
    rows: usize,
}

/// Says what it is asked for, and does as it is told; what it likes when nobody tells it any more.
struct Told1by1 {
    asked: Sender<Asked>,
    tell: Receiver<Told>,
    passed: Sender<Position>,
}

impl Store for Told1by1 {
    fn limits(&self) -> BatchLimits {
        BatchLimits { rows_max: 100, bytes_max: 0 }
    }

    fn tick(&self) -> Duration {
        TICK
    }

    fn resume(&mut self) -> Result<Option<Resume>, StoreError> {
        Ok(None)
    }

    fn store(&mut self, batch: &Batch, _give_up: &dyn Fn() -> bool) -> Result<Stored, StoreError> {
        let rows = batch.rows.len();
        let _ = self.asked.send(Asked { start: batch.start, sealed_end: batch.sealed_end, rows });
        match self.tell.recv().unwrap_or(Told::Take) {
            Told::Take => Ok(Stored { rows }),
            Told::Refuse => Err(StoreError::Rows { reason: "told to".to_owned() }),
            Told::BeDefect => panic!("told to"),
        }
    }

    fn pass_over(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let _ = self.passed.send(Position { segment: batch.segment, offset: batch.end });
        Ok(())
    }

    fn settle(&mut self) {}

    fn sync_always(&mut self) {}

    fn forget_before(&mut self, _keep: &Keep) -> bool {
        false
    }

    fn keep_limits(&mut self, _limits: &[LimitInForce]) -> Result<(), StoreError> {
        Ok(())
    }

    fn keep_audit(&mut self, _records: &[AuditRecord]) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Case {
    log: Arc<SharedLog>,
    metrics: Arc<Metrics>,
    asked: Receiver<Asked>,
    tell: Sender<Told>,
    passed: Receiver<Position>,
    dir: tempfile::TempDir,
}

/// A log whose shipper is run by the test.
fn case() -> (Case, Shipper) {
    let (dir, metrics) = (tempfile::tempdir().expect("dir"), Metrics::new());
    let ((ask, asked), (tell, told), (pass, passed)) = (channel(), channel(), channel());
    let wal = Wal::open(&dir.path().join("wal"), WalLimits::default(), Box::new(FileSystem))
        .expect("wal")
        .0;
    let log = Arc::new(SharedLog::new(
        Arc::new(wal),
        Counters::new(metrics.clone()),
        Retention::default(),
    ));
    let store = Box::new(Told1by1 { asked: ask, tell: told, passed: pass });
    let shipper =
        Shipper::new(log.clone(), store, None, dead_letters(dir.path())).expect("shipper");
    (Case { log, metrics, asked, tell, passed, dir }, shipper)
}

fn dead_letters(dir: &Path) -> std::path::PathBuf {
    dir.join("dead-letter.jsonl")
}

impl Case {
    fn append(&self, seeds: std::ops::Range<u64>) {
        seeds.for_each(|seed| self.log.appender.append(&row(seed)));
    }
}

#[test]
fn rows_that_come_while_a_batch_is_stored_share_the_next_one() {
    let (case, mut shipper) = case();
    case.append(0..1);
    let running = std::thread::spawn(move || shipper.run());
    assert_eq!(case.asked.recv_timeout(SOON).expect("the first row").rows, 1);
    case.append(1..6);
    case.tell.send(Told::Take).expect("it listens");
    // It has the rest of the tick to wait, which is longer than this test. Nobody waits for a row
    // here.
    assert!(case.asked.recv_timeout(Duration::from_millis(300)).is_err(), "the tick is not over");
    case.append(6..20);
    case.tell.send(Told::Take).expect("it listens");
    assert!(case.log.flush(SOON), "whoever waits does not wait for the tick");
    let batch = case.asked.try_recv().expect("the second batch");
    assert_eq!(batch.rows, 19);
    // Later rows are stored when the log is closed.
    case.append(20..23);
    case.tell.send(Told::Take).expect("it listens");
    case.log.control.stop(SOON);
    running.join().expect("ended well");
    assert_eq!(case.asked.try_recv().expect("the third batch").rows, 3);
    assert_eq!(count(&case.metrics, "stored"), 23);
}

#[test]
fn a_backlog_is_stored_without_a_pause() {
    let (case, mut shipper) = case();
    case.append(0..450);
    (0..5).for_each(|_| case.tell.send(Told::Take).expect("it listens"));
    let running = std::thread::spawn(move || shipper.run());
    let mut rows = 0;
    while rows < 450 {
        rows += case.asked.recv_timeout(SOON).expect("a batch").rows;
    }
    case.log.control.stop(SOON);
    running.join().expect("ended well");
}

#[test]
fn a_range_that_a_defect_met_on_its_way_is_sent_again_as_it_was() {
    let (case, mut shipper) = case();
    case.append(0..3);
    case.tell.send(Told::BeDefect).expect("it listens");
    assert!(catch_unwind(AssertUnwindSafe(|| shipper.step())).is_err());
    let first = case.asked.try_recv().expect("asked");
    case.append(3..9);
    case.tell.send(Told::Take).expect("it listens");
    assert!(matches!(shipper.step(), Step::Stored));
    assert_eq!(
        case.asked.try_recv().expect("asked"),
        first,
        "the store may have it already, by that name"
    );
    case.tell.send(Told::Take).expect("it listens");
    assert!(matches!(shipper.step(), Step::Emptied));
    assert_eq!(case.asked.try_recv().expect("asked").rows, 6);
}

#[test]
fn how_long_rows_wait_is_known_while_the_store_takes_its_time_and_over_when_it_is_done() {
    let (case, mut shipper) = case();
    let old = || {
        let mut row = row(1);
        row.created_at_ms = crate::clock::wall_ms() - 50_000;
        row
    };
    case.log.appender.append(&old());
    let stepping = std::thread::spawn(move || {
        shipper.step();
        shipper
    });
    case.asked.recv_timeout(SOON).expect("under way");
    let seconds = || case.metrics.log_oldest_unshipped_seconds.get();
    assert!(seconds() >= 50.0, "{}", seconds());
    case.tell.send(Told::Take).expect("it listens");
    stepping.join().expect("ended well");
    assert_eq!((seconds(), case.log.control.oldest_ms()), (0.0, None), "that row is stored");
    assert_eq!(case.metrics.log_spool_bytes.get(), 0);
}

#[test]
fn folded_refusals_are_written_while_the_store_takes_its_time() {
    // The shipper does not run, as if it waited for its store.
    let (case, _shipper) = case();
    case.log.end_second();
    let log = case.log.clone();
    let other = std::thread::spawn(move || log.sync_until_stopped());
    let mut refused = row(4);
    refused.calls = 1;
    (0..3).for_each(|_| case.log.append_refused(refused.clone()));
    let clock = Clock::start();
    let begun = clock.now();
    while count(&case.metrics, "written") < 2 {
        assert!(clock.now().since(begun) < SOON, "no row says how many were refused");
        std::thread::yield_now();
    }
    case.log.syncer.end();
    other.join().expect("ended well");
}

#[test]
fn a_row_that_is_buried_is_passed_in_the_store_as_well() {
    let (case, mut shipper) = case();
    case.append(0..1);
    for _ in 0..3 {
        case.tell.send(Told::Refuse).expect("it listens");
        shipper.step();
    }
    assert_eq!(count(&case.metrics, "dead_letter"), 1);
    let offset = case.passed.try_recv().expect("kept").offset;
    assert_eq!(
        offset,
        case.asked.try_recv().expect("asked").sealed_end,
        "a restart does not bury it again"
    );
}

#[test]
fn a_dead_letter_behind_one_that_was_cut_off_has_a_line_of_its_own() {
    let (case, mut shipper) = case();
    std::fs::write(dead_letters(case.dir.path()), "{\"reason\": \"cut o").expect("written");
    case.append(0..1);
    for _ in 0..3 {
        case.tell.send(Told::Refuse).expect("it listens");
        shipper.step();
    }
    let text = std::fs::read_to_string(dead_letters(case.dir.path())).expect("file");
    let last: serde_json::Value =
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["row"]["request_id"], "req-0");
}

#[test]
fn a_checkpoint_that_a_reader_holds_up_does_not_stop_the_log() {
    let dir = tempfile::tempdir().expect("dir");
    let mut options = crate::ailog::Options::new(dir.path(), 0);
    options.wal.segment_bytes_max = 10_000;
    let metrics = Metrics::new();
    let log =
        crate::ailog::AiLog::open(options, StoreKind::Embedded, metrics.clone()).expect("log");
    log.append(&row(0));
    assert!(log.flush(SOON));
    // A reader of the state of now, which checkpoints cannot pass.
    let reader = rusqlite::Connection::open(dir.path().join("tollgate.db")).expect("database");
    reader.execute_batch("BEGIN; SELECT count(*) FROM ai_log").expect("a snapshot");
    (1..100).for_each(|n| log.append(&row(n)));
    assert!(log.flush(SOON));
    log.close(SOON);
    assert_eq!(count(&metrics, "stored"), 100);
    drop(Reader::open(&StoreKind::Embedded, dir.path()).expect("reader"));
}
