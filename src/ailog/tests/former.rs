//! Data of former versions: their rows in the write-ahead log, in SQLite and in ClickHouse are
//! read as today's.

use std::path::Path;

use rusqlite::Connection;
use tollgate_wire::usage::{ServiceTier, TokenUsage};
use uuid::Uuid;

use super::{SOON, as_json, open, row};
use crate::ailog::columns;
use crate::ailog::row::Row;
use crate::ailog::wal::segment::{FileSystem, SEGMENT_HEAD_BYTES};
use crate::ailog::wal::{Wal, WalLimits};
use crate::config::policy::StoreKind;
use crate::report::{Dim, Filter, Reader};

/// A row of which everything is unknown that version 1 did not keep.
pub(crate) fn row_of_1(seed: u64) -> Row {
    let row = row(seed);
    let usage = TokenUsage {
        cache_write: 0,
        cache_write_1h: 0,
        audio_input: 0,
        audio_output: 0,
        tier: ServiceTier::Unknown,
        ..row.usage
    };
    Row {
        usage,
        price_version: None,
        attempts_detail: String::new(),
        translated: String::new(),
        dropped_fields: String::new(),
        finish_reason: "".into(),
        redaction_actions: String::new(),
        answer_masked: 0,
        limited_by: "".into(),
        tags: Vec::new(),
        first_token_ms: 0,
        cost_parts: None,
        stop_requested: false,
        max_tokens: 0,
        prompt_chars: 0,
        tool_calls: 0,
        client: String::new(),
        prompt: None,
        answer: None,
        attempts_log: Vec::new(),
        cache: "",
        downgraded: "".into(),
        trace_id: None,
        span_id: None,
        parent_span_id: None,
        traced: None,
        shadow: String::new(),
        ..row
    }
}

/// Writes a write-ahead log as version 1 did: the same frame, its version number, and fewer
/// columns. Returns the id of its only segment, and the end of its rows.
pub(crate) fn write_log_of_1(data_dir: &Path, rows: impl Iterator<Item = Row>) -> (Uuid, usize) {
    let wal_dir = data_dir.join("wal");
    let (wal, _) = Wal::open(&wal_dir, WalLimits::default(), Box::new(FileSystem)).expect("wal");
    let mut record = Vec::new();
    crate::ailog::wal::segment::record(&row_of_1(0), &mut record);
    wal.append(&record).expect("a segment");
    let oldest = wal.oldest().expect("segment");
    let (id, path) = (oldest.id, oldest.path.clone());
    drop(wal);
    let mut segment = std::fs::read(&path).expect("segment");
    segment.truncate(SEGMENT_HEAD_BYTES);
    for row in rows {
        let mut body = vec![1];
        columns::encode(&row, &mut body);
        body.truncate(body.len() - columns::unknown_after(1).len());
        let length = (body.len() as u32).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &body);
        segment.extend_from_slice(&record[..4]);
        segment.extend_from_slice(&length);
        segment.extend_from_slice(&crc.to_le_bytes());
        segment.extend_from_slice(&body);
    }
    let end = segment.len();
    std::fs::write(&path, segment).expect("written");
    (id, end)
}

#[test]
fn rows_of_version_1_in_the_write_ahead_log_are_stored() {
    let dir = tempfile::tempdir().expect("dir");
    write_log_of_1(dir.path(), (0..300).map(row_of_1));
    let (log, metrics) = open(dir.path());
    log.append(&row(300));
    assert!(log.flush(SOON));
    assert_eq!((super::count(&metrics, "stored"), super::count(&metrics, "dead_letter")), (301, 0));
    let reader = Reader::open(&StoreKind::Embedded, dir.path()).expect("store");
    let mut rows: Vec<Row> = (0..300).map(row_of_1).collect();
    rows.push(row(300));
    rows.sort_by_key(|r| std::cmp::Reverse((r.created_at_ms, r.id)));
    let expected: Vec<_> = rows.iter().map(as_json).collect();
    assert_eq!(reader.logs(&Filter::default(), 1_000).expect("logs"), expected);
}

#[test]
fn a_database_of_layout_1_is_brought_up_to_date_and_keeps_its_rows() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("tollgate.db");
    Connection::open(&path)
        .expect("database")
        .execute_batch(include_str!("layout_1.sql"))
        .expect("layout 1");
    for round in 0..2 {
        let (log, _) = open(dir.path());
        log.append(&row(round));
        assert!(log.flush(SOON));
        log.close(SOON);
    }
    let database = Connection::open(&path).expect("database");
    let version: i32 =
        database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("version");
    assert_eq!(version, 6);
    let reader = Reader::open(&StoreKind::Embedded, dir.path()).expect("store");
    let mut filter = Filter::default();
    assert!(filter.and("id", "01935a00-0000-7000-8000-000000000001"));
    let former = &reader.logs(&filter, 5).expect("logs")[0];
    assert_eq!((&former["cost_usd"], &former["calls"]), (&0.000195.into(), &1.into()));
    for (name, empty) in [
        ("price_version", true),
        ("service_tier", true),
        ("cache_write_tokens", false),
        ("translated", true),
        ("finish_reason", true),
    ] {
        assert_eq!(
            former[name],
            if empty { serde_json::Value::from("") } else { 0.into() },
            "{name}"
        );
    }
    assert_eq!(
        reader.summary(0, i64::MAX, &[Dim::Day]).expect("summary").iter().map(|s| s.calls).min(),
        Some(1)
    );

    // An old file and a new one have the same columns at the same places.
    let fresh = tempfile::tempdir().expect("dir");
    drop(open(fresh.path()));
    let layout = |path: &Path, name: &str| -> Vec<String> {
        let database = Connection::open(path.join("tollgate.db")).expect("database");
        let statement = database.prepare(&format!("SELECT * FROM {name}")).expect("sql");
        statement.column_names().map(str::to_owned).collect()
    };
    for name in ["ai_log", "daily_summary", "cost_by_org_day", "errors_hourly"] {
        assert_eq!(layout(dir.path(), name), layout(fresh.path(), name), "{name}");
    }
}

/// A file of layout 5 had a line for each bucket of a digest.
#[test]
fn the_digests_of_layout_5_are_brought_to_their_sums() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("tollgate.db");
    let (log, _) = open(dir.path());
    (0..2_000).for_each(|seed| log.append(&row(seed)));
    assert!(log.flush(SOON));
    log.close(SOON);
    drop(log);
    let figures = || -> Vec<Vec<rusqlite::types::Value>> {
        let database = Connection::open(&path).expect("database");
        let tables = ["daily_summary", "hourly", "provider_health", "providers_daily"];
        let of = |name: &str| -> Vec<Vec<rusqlite::types::Value>> {
            let mut statement = database
                .prepare(&format!("SELECT * FROM {name} ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"))
                .expect("sql");
            let columns = statement.column_count();
            let lines = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
            lines.expect("lines").map(|line| line.expect("a line")).collect()
        };
        tables.iter().flat_map(|name| of(name)).collect()
    };
    let today = figures();
    assert!(today.len() > 100);
    let database = Connection::open(&path).expect("database");
    let moved = |kind: u8, column: &str| {
        format!(
            "INSERT INTO ai_digests SELECT h.day, g.series, h.hour, h.grp, {kind}, \
             j.value & 2047, sum(j.value >> 11) FROM ai_hourly h \
             CROSS JOIN ai_groups g ON g.grp = h.grp \
             CROSS JOIN json_each('[' || h.{column} || ']') j WHERE j.value >= 2048 \
             GROUP BY 1, 2, 3, 4, 6; "
        )
    };
    let views = ["daily_summary", "hourly", "provider_health", "providers_daily"];
    let views: String = views.iter().map(|view| format!("DROP VIEW {view}; ")).collect();
    let dropped: String = ["ai_hourly", "ai_daily"]
        .iter()
        .flat_map(|table| {
            ["latency_digest", "first_token_digest"]
                .map(|column| format!("ALTER TABLE {table} DROP COLUMN {column}; "))
        })
        .collect();
    database
        .execute_batch(&format!(
            "ALTER TABLE ai_rows ADD COLUMN cost_usd REAL \
             GENERATED ALWAYS AS (cost_nano_usd / 1e9) VIRTUAL; \
             CREATE TABLE ai_digests (day TEXT NOT NULL, series INTEGER NOT NULL, \
             hour INTEGER NOT NULL, grp INTEGER NOT NULL, kind INTEGER NOT NULL, \
             bucket INTEGER NOT NULL, n INTEGER NOT NULL, \
             PRIMARY KEY (day, series, hour, grp, kind, bucket)) WITHOUT ROWID; \
             {}{}{views}{dropped} \
             PRAGMA user_version = 5",
            moved(0, "latency_digest"),
            moved(1, "first_token_digest"),
        ))
        .expect("the former tables");
    drop(database);
    drop(open(dir.path()));
    assert_eq!(figures(), today);
    super::embedded::rollups_equal_rows(dir.path());
}

/// A file from before limits by model were kept.
#[test]
fn the_table_of_limits_gets_its_new_column() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("tollgate.db");
    drop(open(dir.path()));
    let columns = |database: &Connection| -> Vec<String> {
        let statement = database.prepare("SELECT * FROM ai_limits").expect("sql");
        statement.column_names().map(str::to_owned).collect()
    };
    let database = Connection::open(&path).expect("database");
    let today = columns(&database);
    database
        .execute_batch(
            "DROP VIEW budget_used; ALTER TABLE ai_limits DROP COLUMN place;
             INSERT INTO ai_limits VALUES ('*', 'org', '', 'day', 5);",
        )
        .expect("the former table");
    drop(database);
    drop(open(dir.path()));
    let database = Connection::open(&path).expect("database");
    assert_eq!(columns(&database), today);
    for view in ["budget_used", "cost_by_org_day", "ai_log"] {
        assert!(
            !database
                .prepare(&format!("SELECT * FROM {view}"))
                .expect("a view")
                .exists([])
                .expect("lines")
        );
    }
}

/// The bytes of a row of this version: the write-ahead log and ClickHouse read them as they are.
#[test]
fn the_bytes_of_a_row_do_not_change() {
    let mut bytes = Vec::new();
    (0..500).for_each(|seed| columns::encode(&row(seed), &mut bytes));
    assert_eq!((bytes.len(), crc32c::crc32c(&bytes)), (388_968, 3_456_183_771));
}
