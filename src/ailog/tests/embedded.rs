//! The log with the embedded store, from `append` to SQL.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tollgate_wire::usage::UsageSource;

use super::{SOON, as_json, count, open, row};
use crate::ailog::row::{Outcome, Row};
use crate::ailog::store::digest::{self, ENTRY_BITS};
use crate::ailog::wal::segment::{Disk, FileSystem};
use crate::ailog::{AiLog, OpenError, Options, Retention, columns};
use crate::clock::Clock;
use crate::config::policy::{ClickHouseOptions, StoreKind};
use crate::metrics::Metrics;
use crate::report::Reader;

fn database(dir: &Path) -> Connection {
    Connection::open(dir.join("tollgate.db")).expect("database")
}

fn number(dir: &Path, sql: &str) -> i64 {
    database(dir).query_row(sql, [], |row| row.get(0)).expect("number")
}

#[test]
fn a_row_comes_back_as_it_went_in() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, metrics) = open(dir.path());
    (0..500).for_each(|seed| log.append(&row(seed)));
    assert!(log.flush(SOON));
    assert_eq!(
        (count(&metrics, "written"), count(&metrics, "stored"), count(&metrics, "lost")),
        (500, 500, 0)
    );

    let database = database(dir.path());
    let mut statement = database
        .prepare(&format!("SELECT {} FROM ai_log WHERE id = ?", columns::column_list()))
        .expect("sql");
    for seed in 0..500 {
        let expected = as_json(&row(seed));
        let mut rows = statement.query([row(seed).id.to_string()]).expect("query");
        let found = rows.next().expect("row").expect("there is a row");
        for (at, columns::Column { name, .. }) in columns::COLUMNS.iter().enumerate() {
            let same = match (found.get_ref(at).expect("value"), &expected[*name]) {
                (ValueRef::Null, e) => e.is_null(),
                (ValueRef::Integer(n), e) => e.as_i64() == Some(n) || e.as_bool() == Some(n == 1),
                (ValueRef::Real(f), e) => e.as_f64() == Some(f),
                (ValueRef::Text(t), e) if e.is_object() || e.is_array() => {
                    e.to_string().as_bytes() == t
                }
                (ValueRef::Text(t), e) => e.as_str().map(str::as_bytes) == Some(t),
                (ValueRef::Blob(_), _) => false,
            };
            assert!(same, "{name} of {seed}: {:?}", expected[*name]);
        }
        assert!(rows.next().expect("query").is_none(), "once");
    }
}

#[test]
fn a_new_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("deep/data");
    let (_log, _) = open(&data);
    let mode = std::fs::metadata(&data).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// Also in a folder that was there before, as a volume is.
#[test]
fn every_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
        for entry in std::fs::read_dir(folder).expect("folder").flatten() {
            let mode = entry.metadata().expect("there").permissions().mode() & 0o777;
            found.push((entry.path().display().to_string(), mode));
            if entry.path().is_dir() {
                modes(&entry.path(), found);
            }
        }
    }
    let dir = tempfile::tempdir().expect("dir");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("mode");
    let look = || {
        let mut found = Vec::new();
        modes(dir.path(), &mut found);
        for name in ["tollgate.db", "tollgate.db-wal", "tollgate.db-shm", "lock", "wal", ".seg"] {
            assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{name}: {found:?}");
        }
        let wide: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o077 != 0).cloned().collect();
        assert!(wide.is_empty(), "{wide:?}");
    };
    let (log, _) = open(dir.path());
    log.append(&row(1));
    assert!(log.flush(SOON));
    look();
    log.close(SOON);
    drop(log);
    // As an earlier version left them.
    let mut left = Vec::new();
    modes(dir.path(), &mut left);
    for (path, _) in &left {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let (log, _) = open(dir.path());
    log.append(&row(2));
    assert!(log.flush(SOON));
    look();
}

#[test]
fn select_star_has_the_public_columns_in_order() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    log.close(SOON);
    let database = database(dir.path());
    let names = |sql| -> Vec<String> {
        database.prepare(sql).expect("sql").column_names().map(str::to_owned).collect()
    };
    let mut expected: Vec<&str> = columns::COLUMNS.map(|column| column.name).to_vec();
    // The amounts stand as integers behind all columns.
    expected.extend([
        "cost_nano_usd",
        "input_cost_nano_usd",
        "cached_cost_nano_usd",
        "cache_write_cost_nano_usd",
        "output_cost_nano_usd",
        "saved_by_cache_nano_usd",
    ]);
    assert_eq!(names("SELECT * FROM ai_log"), expected);
    assert_eq!(
        names("SELECT * FROM daily_summary"),
        [
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
            "p99_ms"
        ]
    );
}

/// The value that stands for a latency in a digest.
fn stands(latency_ms: i64) -> i64 {
    i64::from(digest::value(digest::bucket(latency_ms as u32)))
}

fn is_unpriced(row: &Row) -> bool {
    row.cost_nano_usd.is_none() && row.usage_source != UsageSource::None
}

#[test]
fn the_daily_summary_is_what_brute_force_finds() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    let rows: Vec<Row> = (0..3_000).map(row).collect();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));

    let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
    for row in &rows {
        let day = columns::iso(row.created_at_ms)[..10].to_owned();
        let key =
            [day.as_str(), row.org_id.as_str(), &row.provider, &row.model, row.route.as_str()];
        groups.entry(key.map(str::to_owned).to_vec()).or_default().push(row);
    }
    let database = database(dir.path());
    let mut statement =
        database.prepare("SELECT * FROM daily_summary ORDER BY 1, 2, 3, 4, 5").expect("sql");
    let mut found = statement.query([]).expect("query");
    for (key, members) in &groups {
        let line = found.next().expect("query").expect("a line");
        for (at, part) in key.iter().enumerate() {
            assert_eq!(&line.get::<_, String>(at).expect("key"), part);
        }
        let sum = |of: &dyn Fn(&Row) -> i64| members.iter().map(|r| of(r)).sum::<i64>();
        let calls = sum(&|r| i64::from(r.calls));
        let errors = sum(&|r| match r.outcome {
            Outcome::ProviderError | Outcome::Timeout | Outcome::Refused => i64::from(r.calls),
            _ => 0,
        });
        let nano = sum(&|r| r.cost_nano_usd.unwrap_or(0));
        let mut latencies: Vec<i64> = members.iter().map(|r| i64::from(r.latency_ms)).collect();
        latencies.sort_unstable();
        let percentile = |p: usize| stands(latencies[(p * latencies.len()).div_ceil(100) - 1]);
        let int = |at: usize| line.get::<_, i64>(at).expect("integer");
        assert_eq!((int(5), int(6)), (calls, errors));
        assert_eq!(line.get::<_, f64>(7).expect("rate"), errors as f64 / calls as f64);
        assert_eq!(
            int(8),
            sum(&|r| if r.outcome == Outcome::RateLimited { i64::from(r.calls) } else { 0 })
        );
        assert_eq!(
            (int(9), int(10)),
            (sum(&|r| r.usage.input as i64), sum(&|r| r.usage.output as i64))
        );
        let cost: Option<f64> = line.get(11).expect("cost");
        assert_eq!((cost.unwrap_or(0.0) * 1e9).round() as i64, nano);
        let unpriced = members.iter().any(|r| is_unpriced(r));
        assert_eq!(cost.is_none(), nano == 0 && unpriced, "{key:?}");
        assert_eq!((int(12), int(13), int(14)), (percentile(50), percentile(95), percentile(99)));
    }
    assert!(found.next().expect("query").is_none());
}

/// Whether the sums of the roll-ups are those of the rows.
pub(crate) fn rollups_equal_rows(dir: &Path) {
    let sums = |table: &str, rows: &str| -> String {
        let sql = format!(
            "SELECT {rows} || ' ' || coalesce(sum(calls), 0) || ' ' || \
             coalesce(sum(input_tokens), 0) || ' ' || coalesce(sum(cached_tokens), 0) || ' ' || \
             coalesce(sum(output_tokens), 0) || ' ' || coalesce(sum(cost_nano_usd), 0) || ' ' || \
             coalesce(sum(saved_by_cache_nano_usd), 0) FROM {table}"
        );
        database(dir).query_row(&sql, [], |row| row.get(0)).expect("sums")
    };
    let rows = sums("ai_rows", "count(*)");
    for table in ["ai_hourly", "ai_daily"] {
        assert_eq!(sums(table, "coalesce(sum(row_count), 0)"), rows, "{table}");
    }
    for (column, rows) in [
        ("latency_digest", "SELECT count(*) FROM ai_rows"),
        ("first_token_digest", "SELECT count(*) FROM ai_rows WHERE first_token_ms > 0"),
    ] {
        for table in ["ai_hourly", "ai_daily"] {
            let calls = format!(
                "SELECT coalesce(sum(j.value >> {ENTRY_BITS}), 0) FROM {table}, \
                 json_each('[' || {column} || ']') j"
            );
            assert_eq!(number(dir, &calls), number(dir, rows), "{column} of {table}");
        }
    }
    let lost = "SELECT count(*) FROM ai_captures c LEFT JOIN ai_rows r USING (capture)
                WHERE r.capture IS NULL";
    assert_eq!(number(dir, lost), 0, "each captured text is of a row");
}

#[test]
fn a_restart_stores_what_was_left_and_doubles_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    for round in 0..5 {
        let (log, _) = open(dir.path());
        (0..300).for_each(|n| log.append(&row(round * 300 + n)));
        if round % 2 == 0 {
            assert!(log.flush(SOON));
        }
        // Dropped without `close`, as a process that ends: rows are on disk, stored or not.
        drop(log);
    }
    let (log, _) = open(dir.path());
    assert!(log.flush(SOON));
    assert_eq!(log.backlog().bytes, 0);
    log.close(SOON);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM ai_log"), 1_500);
    rollups_equal_rows(dir.path());
    let segments = std::fs::read_dir(dir.path().join("wal")).expect("dir").count();
    assert!(segments <= 1, "stored segments are removed, {segments} are left");
}

#[test]
fn a_log_replayed_from_the_start_doubles_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    (0..300).for_each(|n| log.append(&row(n)));
    assert!(log.flush(SOON));
    drop(log);
    database(dir.path()).execute("DELETE FROM log_position", []).expect("forget");
    let (log, metrics) = open(dir.path());
    assert!(log.flush(SOON));
    assert_eq!(count(&metrics, "stored"), 0);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM ai_log"), 300);
    rollups_equal_rows(dir.path());
}

#[test]
fn a_second_process_is_told_which_folder_is_in_use() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    let second = AiLog::open(Options::new(dir.path(), 0), StoreKind::Embedded, Metrics::new());
    let Err(error @ OpenError::InUse(_)) = second else { panic!("two logs in one folder") };
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    drop(log);
    open(dir.path());
}

#[test]
fn a_flood_of_refusals_costs_few_rows_and_all_are_counted() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, metrics) = open(dir.path());
    let mut refused = row(4);
    (refused.outcome, refused.calls, refused.attempts) = (Outcome::RateLimited, 1, 0);
    for n in 0..20_000 {
        refused.id = uuid::Uuid::now_v7();
        refused.model = format!("m{}", n % 2);
        log.append_refused(refused.clone());
    }
    log.close(SOON);
    let rows = count(&metrics, "written");
    assert!(rows < 100, "{rows} rows");
    assert_eq!(
        number(dir.path(), "SELECT sum(calls) FROM ai_log WHERE outcome = 'rate_limited'"),
        20_000
    );
    assert_eq!(number(dir.path(), "SELECT sum(rate_limited) FROM daily_summary"), 20_000);
}

#[test]
fn each_part_of_the_log_is_deleted_at_its_own_time() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    let ages = [90, 40, 0];
    for n in 0..2_100 {
        let mut row = row(n);
        row.created_at_ms = crate::clock::wall_ms() - ages[n as usize % 3] * 86_400_000;
        row.request = Some(super::redacted("a text"));
        log.append(&row);
    }
    assert!(log.flush(SOON));
    log.close(SOON);
    drop(log);
    let mut options = Options::new(dir.path(), 0);
    options.retention = Retention { rows: 60, captures: 30, hourly: 365 };
    let log = AiLog::open(options, StoreKind::Embedded, Metrics::new()).expect("log");
    let clock = Clock::start();
    let begun = clock.now();
    let counts = || {
        ["ai_log", "ai_captures"]
            .map(|name| number(dir.path(), &format!("SELECT count(*) FROM {name}")))
    };
    while counts() != [1_400, 700] {
        assert!(clock.now().since(begun) < SOON, "retention has not run: {:?}", counts());
        std::thread::yield_now();
    }
    drop(log);
    // The sums of all of them are there, and the youngest have their texts.
    assert_eq!(number(dir.path(), "SELECT sum(row_count) FROM ai_hourly"), 2_100);
    let texts = "SELECT count(*) FROM ai_log WHERE request IS NOT NULL";
    assert_eq!(number(dir.path(), texts), 700);
    // A long time later only the roll-ups of the last year are left.
    let mut options = Options::new(dir.path(), 0);
    options.retention = Retention { rows: 60, captures: 30, hourly: 50 };
    let log = AiLog::open(options, StoreKind::Embedded, Metrics::new()).expect("log");
    while number(dir.path(), "SELECT sum(row_count) FROM ai_daily") != 1_400 {
        assert!(clock.now().since(begun) < SOON, "retention has not run");
        std::thread::yield_now();
    }
    log.append(&row(1));
    assert!(log.flush(SOON));
}

#[test]
fn reports_read_what_was_stored() {
    let dir = tempfile::tempdir().expect("dir");
    let reader = Reader::open(&StoreKind::Embedded, dir.path()).expect("no store yet");
    assert_eq!(reader.summary(0, i64::MAX, &[]).expect("summary"), []);
    let (log, _) = open(dir.path());
    let rows: Vec<Row> = (0..400).map(row).collect();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    let reader = Reader::open(&StoreKind::Embedded, dir.path()).expect("store");
    super::check_report(&reader, &rows);
}

/// A disk that is full while it is told so.
struct Filling(Arc<AtomicBool>);

impl Disk for Filling {
    fn create(&self, path: &Path) -> io::Result<File> {
        if self.0.load(Ordering::Relaxed) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            FileSystem.create(path)
        }
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            FileSystem.write_all_at(file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        FileSystem.write_all_at(file, bytes, offset)
    }
}

#[test]
fn a_full_disk_costs_the_rows_of_its_time_and_no_others() {
    let dir = tempfile::tempdir().expect("dir");
    let (full, metrics) = (Arc::new(AtomicBool::new(true)), Metrics::new());
    let disk = Box::new(Filling(full.clone()));
    let log =
        AiLog::open_on(Options::new(dir.path(), 0), StoreKind::Embedded, metrics.clone(), disk)
            .expect("log");
    let mut next = 0;
    for is_full in [true, false, true, false] {
        full.store(is_full, Ordering::Relaxed);
        (next..next + 100).for_each(|n| log.append(&row(n)));
        next += 100;
    }
    assert!(log.flush(SOON));
    log.close(SOON);
    assert_eq!(
        (count(&metrics, "written"), count(&metrics, "stored"), count(&metrics, "lost")),
        (200, 200, 200)
    );
    assert_eq!(log.backlog().lost, 200);
    let kept =
        "SELECT count(*) FROM ai_log WHERE CAST(substr(request_id, 5) AS INTEGER) / 100 IN (1, 3)";
    assert_eq!(number(dir.path(), kept), 200);
}

/// A store that is away, so that nothing is taken off the log.
fn away() -> StoreKind {
    StoreKind::ClickHouse(ClickHouseOptions::at("http://127.0.0.1:1", "d"))
}

#[test]
fn while_the_store_is_away_rows_past_their_time_are_dropped_and_counted() {
    let dir = tempfile::tempdir().expect("dir");
    let open = |retention_days, metrics: &Arc<Metrics>| {
        AiLog::open(Options::new(dir.path(), retention_days), away(), metrics.clone()).expect("log")
    };
    // Two outages: one that began forty days ago, and one of today.
    for days_ago in [40, 0] {
        let log = open(0, &Metrics::new());
        for n in 0..100 {
            let mut row = row(n + days_ago as u64 * 1_000);
            row.created_at_ms = crate::clock::wall_ms() - days_ago * 86_400_000;
            log.append(&row);
        }
    }
    let metrics = Metrics::new();
    let log = open(30, &metrics);
    let clock = Clock::start();
    let begun = clock.now();
    while count(&metrics, "expired") < 100 {
        assert!(clock.now().since(begun) < SOON);
        log.flush(std::time::Duration::from_millis(10));
    }
    assert!(!log.flush(std::time::Duration::from_millis(10)), "the others wait for the store");
    drop(log);
    let (log, _) = super::open(dir.path());
    assert!(log.flush(SOON));
    assert_eq!(number(dir.path(), "SELECT count(*) FROM ai_log"), 100);
    assert_eq!((count(&metrics, "expired"), count(&metrics, "lost")), (100, 0));
}

#[test]
fn a_log_beyond_its_bound_drops_the_newest_and_says_so() {
    let dir = tempfile::tempdir().expect("dir");
    let metrics = Metrics::new();
    let mut options = Options::new(dir.path(), 0);
    options.wal.total_bytes_max = 10_000;
    let log = AiLog::open(options, away(), metrics.clone()).expect("starts without its store");
    (0..100).for_each(|n| log.append(&row(n)));
    let (written, lost) = (count(&metrics, "written"), count(&metrics, "lost"));
    assert_eq!(written + lost, 100);
    assert!(written > 0 && lost > 0 && log.backlog().bytes <= 10_000);
    assert!(metrics.text().contains("tollgate_bounds_reached_total{bound=\"wal_bytes\"}"));
    drop(log);
    // Written rows are stored once there is a store; a gateway may change its store in between.
    let (log, _) = open(dir.path());
    assert!(log.flush(SOON));
    assert_eq!(number(dir.path(), "SELECT count(*) FROM ai_log"), written as i64);
}
