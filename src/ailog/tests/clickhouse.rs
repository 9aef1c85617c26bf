//! The log with ClickHouse's real engine behind its HTTP interface: same rows, same figures, each
//! exactly once.
//!
//! The engine comes from the Python package `chdb-core`, served by `tests/clickhouse/chdb_http.py`.
//! These tests need it: they fail, with the remedy, where it is missing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use super::{SOON, as_json, check_report, count, row};
use crate::ailog::row::Row;
use crate::ailog::schema::{KeptFor, SchemaOptions, statements};
use crate::ailog::store::clickhouse::POSITION_FILE;
use crate::ailog::wal::segment::SEGMENT_HEAD_BYTES;
use crate::ailog::{AiLog, Options, Retention, columns};
use crate::clock::Clock;
use crate::config::policy::{ClickHouseOptions, StoreKind};
use crate::metrics::Metrics;
use crate::report::{Dim, Filter, ReadError, Reader};

/// A running engine. It ends with this process, whose end closes its standard input.
pub(crate) struct Engine {
    child: Child,
    port: u16,
    _dir: Option<tempfile::TempDir>,
}

fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("TOLLGATE_TEST_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "the ClickHouse tests need Python with the engine in it. Run:\n    python3 -m venv .venv \
            && .venv/bin/pip install \
         --no-deps chdb-core==26.9.0 lz4==4.4.5\nor name a Python that has them in \
         TOLLGATE_TEST_PYTHON"
    );
    python
}

impl Engine {
    fn start(data: &Path, port: u16, arguments: &[&str]) -> Engine {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clickhouse/chdb_http.py");
        let port_file = data.join("port");
        let _ = std::fs::remove_file(&port_file);
        let mut child = Command::new(python())
            .arg(script)
            .arg("--path")
            .arg(data.join("engine"))
            .arg("--port-file")
            .arg(&port_file)
            .args(["--port", &port.to_string(), "--until-eof"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("python starts");
        let clock = Clock::start();
        let begun = clock.now();
        loop {
            if let Ok(port) = std::fs::read_to_string(&port_file) {
                return Engine { child, port: port.parse().expect("port"), _dir: None };
            }
            assert!(
                child.try_wait().expect("child").is_none(),
                "the engine ended; is chdb-core 26.9.0 installed?"
            );
            assert!(clock.now().since(begun) < SOON, "the engine does not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// An engine of its own, for a test that breaks it.
    pub(crate) fn own() -> Engine {
        let dir = tempfile::tempdir().expect("dir");
        let mut engine = Engine::start(dir.path(), 0, &[]);
        engine._dir = Some(dir);
        engine
    }

    /// The engine that the other tests share, each with a database of its own.
    pub(crate) fn shared() -> &'static Engine {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(Engine::own)
    }

    fn options(&self, database: &str) -> ClickHouseOptions {
        ClickHouseOptions::at(&format!("http://127.0.0.1:{}", self.port), database)
    }

    pub(crate) fn apply(&self, database: &str) -> ClickHouseOptions {
        let options = self.options(database);
        schema(database).apply(&options).expect("schema");
        options
    }

    fn post(&self, target: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        write!(
            stream,
            "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: \
                {}\r\n\r\n{body}",
            body.len()
        )
        .expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }

    pub(crate) fn query(&self, sql: &str) -> String {
        self.post("/", sql).trim().to_owned()
    }

    pub(crate) fn fault(&self, fault: &str) {
        self.post(&format!("/_fault?{fault}"), "");
    }

    fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("ended");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn schema(database: &str) -> SchemaOptions {
    // The rows of these tests are of one month; none may pass its time while they run.
    SchemaOptions {
        database: database.to_owned(),
        cluster: None,
        retention: Retention { rows: 3_650, captures: 3_650, hourly: 3_650 },
        changes_retention: false,
    }
}

fn open(dir: &Path, options: &ClickHouseOptions) -> (AiLog, Arc<Metrics>) {
    let metrics = Metrics::new();
    let log =
        AiLog::open(Options::new(dir, 0), StoreKind::ClickHouse(options.clone()), metrics.clone())
            .expect("log");
    (log, metrics)
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn the_schema_may_be_applied_again_and_has_the_public_columns() {
    let engine = Engine::shared();
    let apply = || schema("again").apply(&engine.options("again")).expect("applied");
    let first = apply();
    assert!(first.is_new && !apply().is_new, "{first:?}");
    let names = engine.query(
        "SELECT groupArray(name) FROM (SELECT name FROM system.columns WHERE \
        database = 'again' AND table = 'ai_log' ORDER BY position)",
    );
    let expected: Vec<String> =
        columns::COLUMNS.iter().map(|column| format!("'{}'", column.name)).collect();
    assert_eq!(names, format!("[{}]", expected.join(",")));
    assert_eq!(
        engine.query(
            "SELECT count() FROM system.columns WHERE database = 'again' AND table = \
                'ai_rows' AND comment = ''"
        ),
        "0"
    );
    let views = "SELECT arrayStringConcat(groupArray(name), ' ') FROM (SELECT name FROM \
        system.columns WHERE database = 'again' AND table = 'daily_summary' ORDER BY position)";
    assert_eq!(
        engine.query(views),
        "day org_id provider model route calls errors error_rate rate_limited input_tokens \
            output_tokens cost_usd p50_ms p95_ms p99_ms"
    );
    for view in ["cost_by_org_day", "errors_hourly"] {
        assert_eq!(engine.query(&format!("SELECT count() FROM again.{view}")), "0");
    }
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn applying_again_deletes_no_row_that_the_table_would_keep() {
    let engine = Engine::shared();
    let options = engine.options("kept");
    let apply = |retention_days, changes_retention| {
        let retention = Retention { rows: retention_days, captures: 30, hourly: 3_650 };
        let schema = SchemaOptions { retention, changes_retention, ..schema("kept") };
        let applied = schema.apply(&options).expect("applied");
        (applied.retention_before, applied.retention)
    };
    let days = KeptFor::Days;
    assert_eq!(apply(730, true), (None, days(730)));
    engine.query(
        "INSERT INTO kept.ai_rows (id, created_at) VALUES (generateUUIDv4(), now() - \
        INTERVAL 100 DAY)",
    );
    let rows = || {
        engine.query("OPTIMIZE TABLE kept.ai_rows FINAL");
        engine.query("SELECT count() FROM kept.ai_log")
    };
    // As an update of the gateway does, with its policy's retention or without a thought of it.
    assert_eq!(apply(90, false), (Some(days(730)), days(730)));
    assert_eq!(rows(), "1");
    // On request, in both directions.
    assert_eq!(apply(3_650, true), (Some(days(730)), days(3_650)));
    assert_eq!(rows(), "1");
    assert_eq!(apply(90, true), (Some(days(3_650)), days(90)));
    assert_eq!(rows(), "0");
    engine.query("ALTER TABLE kept.ai_rows REMOVE TTL");
    assert_eq!(apply(90, false), (Some(KeptFor::Never), KeptFor::Never));
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn a_table_of_a_former_version_is_brought_up_to_date_and_rows_wait_for_it() {
    let engine = Engine::shared();
    let options = engine.options("former");
    for statement in statements(include_str!("clickhouse_5.sql")) {
        engine.query(&statement);
    }
    engine.query(
        "CREATE TABLE former.tollgate_migrations (version UInt32, applied_at DateTime DEFAULT \
         now()) ENGINE = MergeTree ORDER BY version",
    );
    engine.query("INSERT INTO former.tollgate_migrations (version) VALUES (1), (2), (3), (4), (5)");
    engine.query(
        "ALTER TABLE former.ai_log MODIFY SETTING non_replicated_deduplication_window = 10000",
    );
    // One of them too old for its captured texts.
    engine.query(
        "INSERT INTO former.ai_log (id, created_at, org_id, model, calls, latency_ms, cost_usd, \
         request) VALUES (generateUUIDv4(), now() - 60, 'old', 'm', 1, 700, 0.25, 'kept'), \
         (generateUUIDv4(), now() - 3456000, 'old', 'm', 1, 900, 0.5, 'gone')",
    );

    let dir = tempfile::tempdir().expect("dir");
    super::former::write_log_of_1(dir.path(), (0..20).map(super::former::row_of_1));
    let (log, metrics) = open(dir.path(), &options);
    log.append(&row(20));
    assert!(!log.flush(std::time::Duration::from_millis(200)));
    in_trouble(&log);
    assert!(log.backlog().trouble.expect("trouble").contains("run `tollgate clickhouse apply`"));
    let reader = Reader::open(&StoreKind::ClickHouse(options.clone()), dir.path()).expect("reader");
    assert!(matches!(reader.logs(&Filter::default(), 1), Err(ReadError::NoSchema)));

    let retention = Retention { rows: 3_650, captures: 30, hourly: 3_650 };
    let schema = SchemaOptions { retention, ..schema("former") };
    assert!(schema.apply(&options).expect("applied").is_new);
    let engine_full = engine.query(
        "SELECT engine_full FROM system.tables WHERE database = 'former' AND name = 'ai_rows'",
    );
    assert!(engine_full.contains("non_replicated_deduplication_window = 100000"), "{engine_full}");
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!((count(&metrics, "stored"), count(&metrics, "dead_letter")), (21, 0));
    assert_eq!(
        engine.query(
            "SELECT count(), countIf(org_id = 'old' AND price_version = '') FROM former.ai_log"
        ),
        "23\t2"
    );
    // What was there is summed up, and what came later is added to it.
    rollups_equal_rows(engine, "former");
    let old = "SELECT sum(calls), sum(cost_usd) FROM former.hourly WHERE org_id = 'old'";
    assert_eq!(engine.query(old), "2\t0.75");
    let kept = "SELECT groupArray(request) FROM former.ai_log WHERE org_id = 'old'";
    assert_eq!(engine.query(kept), "['kept']");
    // An interrupted division begins again.
    for column in ["request", "response"] {
        let add = format!("ALTER TABLE former.ai_rows ADD COLUMN {column} Nullable(String)");
        engine.query(&add);
    }
    engine.query(
        "ALTER TABLE former.tollgate_migrations DELETE WHERE version > 5 SETTINGS \
         mutations_sync = 2",
    );
    assert!(schema.apply(&options).expect("applied again").is_new);
    rollups_equal_rows(engine, "former");
}

/// A database whose sums were by hour alone gets those of the days that are over; the others are
/// read by hour until a day begins that the new sums see as a whole.
#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn days_before_the_sums_by_day_are_summed_up_and_none_is_read_in_part() {
    let engine = Engine::shared();
    let options = engine.apply("young_days");
    let database = "young_days";
    for name in ["VIEW young_days.ai_daily_mv", "TABLE young_days.ai_daily"] {
        engine.query(&format!("DROP {name}"));
    }
    engine.query("DROP TABLE young_days.ai_daily_gaps");
    engine.query(
        "ALTER TABLE young_days.tollgate_migrations DELETE WHERE 1 SETTINGS mutations_sync = 2",
    );
    let insert = |times: &str, org: &str| {
        engine.query(&format!(
            "INSERT INTO young_days.ai_rows (id, created_at, org_id, model, provider, outcome, \
             calls, latency_ms, first_token_ms, input_tokens, cost_usd) \
             SELECT generateUUIDv4(), {times}, '{org}', concat('m-', toString(number % 3)), 'p', \
             if(number % 7 = 0, 'timeout', 'ok'), 1, 100 + number * 7, number % 900, number, \
             toDecimal64(number, 9) / 1000 FROM numbers(1000) \
             SETTINGS max_partitions_per_insert_block = 0"
        ));
    };
    let long_ago = "toDateTime64('2025-01-20 00:00:00', 3, 'UTC') + number * 2000";
    let lately = "now64(3, 'UTC') - number * 240";
    insert(long_ago, "old");
    insert(lately, "new");

    let dir = tempfile::tempdir().expect("dir");
    let reader = Reader::open(&StoreKind::ClickHouse(options.clone()), dir.path()).expect("reader");
    let by_hour = || reader.summary(0, i64::MAX, &[Dim::Day, Dim::Org, Dim::Caller]).expect("sums");
    let by_day = || reader.summary(0, i64::MAX, &[Dim::Day, Dim::Org]).expect("sums");
    let are_the_same = || {
        let (mut hours, days) = (by_hour(), by_day());
        for line in &mut hours {
            assert_eq!(line.key.pop().as_deref(), Some(""), "there is one caller");
        }
        assert_eq!(days, hours);
        days.iter().map(|line| line.calls).sum::<u64>()
    };
    assert!(schema(database).apply(&options).expect("applied").is_new);
    assert_eq!(are_the_same(), 2_000);
    rollups_equal_rows(engine, database);
    let gap = "SELECT argMax(begin, written_at) = toDate(now('UTC')) - 1, \
               argMax(end, written_at) = toDate(now('UTC')) + 2 FROM young_days.ai_daily_gaps";
    assert_eq!(engine.query(gap), "1\t1", "(unless midnight came between)");
    // Rows that come late count in both, and nothing is summed up twice.
    insert(long_ago, "old");
    insert(lately, "new");
    assert!(!schema(database).apply(&options).expect("applied").is_new);
    assert_eq!(are_the_same(), 4_000);
    rollups_equal_rows(engine, database);
    // The days that are over are read by day.
    engine.query(
        "ALTER TABLE young_days.ai_hourly DELETE WHERE org_id = 'old' SETTINGS mutations_sync = 2",
    );
    let old = |lines: &[crate::report::Summary]| {
        lines.iter().filter(|line| line.key[1] == "old").map(|line| line.calls).sum::<u64>()
    };
    assert_eq!((old(&by_hour()), old(&by_day())), (0, 2_000));
}

/// A former version noted a range before it sent it, and ended before it knew whether the range was
/// stored. Today's version sends the same range under the same token: its rows are there once, and
/// so are they in the roll-ups, which were made of the table in between.
#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn a_range_that_a_former_version_had_sealed_is_stored_once() {
    let engine = Engine::shared();
    for (database, is_stored) in [("sealed_stored", true), ("sealed_lost", false)] {
        for statement in statements(include_str!("clickhouse_5.sql")) {
            engine.query(&statement.replace("`former`", &format!("`{database}`")));
        }
        let dir = tempfile::tempdir().expect("dir");
        let rows: Vec<Row> = (0..20).map(super::former::row_of_1).collect();
        let (segment, end) = super::former::write_log_of_1(dir.path(), rows.iter().cloned());
        let (segment, begin) = (segment.simple(), SEGMENT_HEAD_BYTES);
        let line = format!("2 7 {segment} {begin} {end}");
        let crc = crc32c::crc32c(line.as_bytes());
        let place = format!("{line}\n{crc:08x}\n");
        std::fs::write(dir.path().join(POSITION_FILE), place).expect("a place");
        if is_stored {
            let value = |row: &Row| {
                format!(
                    "('{}', fromUnixTimestamp64Milli(toInt64({}), 'UTC'), '{}', {}, {}, {})",
                    row.id,
                    row.created_at_ms,
                    row.org_id.as_str(),
                    row.calls,
                    row.usage.input,
                    row.latency_ms
                )
            };
            engine.query(&format!(
                "INSERT INTO {database}.ai_log (id, created_at, org_id, calls, input_tokens, \
                 latency_ms) SETTINGS async_insert = 0, \
                 insert_deduplication_token = '{segment}-{begin}-{end}' VALUES {}",
                rows.iter().map(value).collect::<Vec<_>>().join(", ")
            ));
        }
        let options = engine.options(database);
        assert!(schema(database).apply(&options).expect("applied").is_new);
        let (log, metrics) = open(dir.path(), &options);
        assert!(log.flush(SOON), "{:?}", log.backlog());
        assert_eq!((count(&metrics, "stored"), count(&metrics, "dead_letter")), (20, 0));
        assert_eq!(
            engine.query(&format!("SELECT count(), uniqExact(id) FROM {database}.ai_log")),
            "20\t20"
        );
        rollups_equal_rows(engine, database);
        // The next range counts everywhere.
        log.append(&row(20));
        assert!(log.flush(SOON), "{:?}", log.backlog());
        assert_eq!(engine.query(&format!("SELECT count() FROM {database}.ai_log")), "21");
        rollups_equal_rows(engine, database);
    }
}

/// Whether the sums of the roll-ups are those of the rows, and each captured text is of one row.
fn rollups_equal_rows(engine: &Engine, database: &str) {
    let sums = |table: &str, rows: &str| {
        engine.query(&format!(
            "SELECT {rows}, sum(calls), sum(input_tokens), sum(cached_tokens), \
             sum(output_tokens), ifNull(sum(cost_usd), 0) FROM {database}.{table}"
        ))
    };
    assert_eq!(sums("ai_hourly", "sum(row_count)"), sums("ai_rows", "count()"));
    let digests = "SELECT arraySum(mapValues(sumMap(latency))) = sum(row_count) FROM";
    assert_eq!(engine.query(&format!("{digests} {database}.ai_hourly")), "1");
    let gap = format!("{database}.ai_daily_gaps");
    let in_gap = format!(
        "day >= (SELECT argMax(begin, written_at) FROM {gap}) AND \
         day < (SELECT argMax(end, written_at) FROM {gap})"
    );
    let by_day = |table: &str, day: &str| {
        engine.query(&format!(
            "SELECT {day} AS day, org_id, model, provider, route, outcome, sum(row_count), \
             sum(calls), sum(output_tokens), sum(cost_usd), sum(saved_by_cache_usd), \
             sum(gateway_us), sumMap(latency), sumMap(first_token) FROM {database}.{table} \
             WHERE NOT ({in_gap}) GROUP BY ALL ORDER BY ALL"
        ))
    };
    assert_eq!(by_day("ai_daily", "day"), by_day("ai_hourly", "toDate(hour)"));
    let twice = "SELECT count() - uniqExact(id) FROM";
    assert_eq!(engine.query(&format!("{twice} {database}.ai_captures")), "0");
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn the_schema_for_a_cluster_is_what_the_engine_understands() {
    let engine = Engine::shared();
    let options = SchemaOptions { cluster: Some("main".to_owned()), ..schema("replicated") };
    let script = options.sql();
    let statements = statements(&script);
    assert!(statements.len() >= 20, "{script}");
    for statement in &statements {
        // Without a keeper nothing replicated can be made; that it can be parsed is seen all the
        // same.
        let tree = engine.query(&format!("EXPLAIN AST {statement}"));
        assert!(tree.contains("Query"), "{statement}\n{tree}");
        let is_insert = statement.starts_with("INSERT");
        assert!(statement.contains("ON CLUSTER 'main'") != is_insert, "{statement}");
    }
    // A batch that is sent again within a week is dropped, whichever replica gets it, by the rows
    // and by every roll-up.
    for name in ["ai_rows", "ai_captures", "ai_hourly", "ai_daily", "ai_tags"] {
        let path = format!("/replicated/{name}'");
        let table = statements.iter().find(|s| s.contains(&path)).expect("a table");
        for setting in [
            "replicated_deduplication_window = 100000",
            "replicated_deduplication_window_seconds = 604800",
        ] {
            assert!(table.contains(setting), "{table}");
        }
    }
}

/// What the tests of a cluster run on: a cluster of this engine alone.
const CLUSTER: &str = "<clickhouse><tcp_port>9000</tcp_port><remote_servers><logs><shard><replica>\
     <host>127.0.0.1</host><port>9000</port></replica></shard></logs></remote_servers></\
     clickhouse>";

/// A statement for a cluster as one engine without a keeper can run it: on this engine alone, with
/// the plain form of the tables.
fn alone(statement: &str) -> String {
    let mut out = statement.replace(" ON CLUSTER 'logs'", "").replace(
        "replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800",
        "non_replicated_deduplication_window = 100000",
    );
    while let Some((before, rest)) = out.split_once("Replicated") {
        let (kind, rest) = rest.split_once("MergeTree(").expect("an engine");
        let (_, rest) = rest.split_once(')').expect("its end");
        out = format!("{before}{kind}MergeTree{rest}");
    }
    out
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn on_a_cluster_views_and_reports_read_all_shards() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("cluster.xml");
    std::fs::write(&file, CLUSTER).expect("file");
    let extra = format!("config-file={}", file.display());
    let engine = Engine::start(dir.path(), 0, &["--dsn-extra", &extra]);
    let options = ClickHouseOptions { cluster: "logs".to_owned(), ..engine.options("wide") };
    let schema = SchemaOptions { cluster: Some("logs".to_owned()), ..schema("wide") };
    for statement in statements(&schema.sql()) {
        if !statement.contains("ROLE") && !statement.starts_with("GRANT") {
            engine.query(&alone(&statement));
        }
    }
    let (log, metrics) = open(dir.path(), &options);
    let rows: Vec<Row> = (0..500).map(row).collect();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!(count(&metrics, "stored"), 500);

    // Every column is read through the cluster, captured texts among them.
    let sums = |table: &str| {
        engine.query(&format!(
            "SELECT count(), uniqExact(id), sum(length(request)), sum(length(response)), \
             sum(cost_usd) FROM wide.{table}"
        ))
    };
    assert_eq!(sums("ai_log_all"), sums("ai_log"));
    assert!(sums("ai_log").starts_with("500\t500\t"), "{}", sums("ai_log"));
    let on_cluster = StoreKind::ClickHouse(options.clone());
    let reader = Reader::open(&on_cluster, dir.path()).expect("reader");
    check_report(&reader, &rows);
    assert_eq!(reader.logs(&Filter::default(), 1_000).expect("logs").len(), 500);
    // No view and no report reads the part of one server alone.
    for table in ["ai_rows", "ai_captures", "ai_hourly", "ai_daily", "ai_tags", "ai_limits"] {
        let views = format!(
            "SELECT name FROM system.tables WHERE database = 'wide' AND engine = 'View' AND name != \
             'ai_log' AND match(create_table_query, '{table}[^_a-z]')"
        );
        assert_eq!(engine.query(&views), "", "{table}");
    }

    // `check --live` reads what reports read, and names what is missing there.
    let tried = |options: &ClickHouseOptions| {
        let tried = crate::ailog::store::clickhouse::trial::trial(options);
        let runtime = crate::ailog::store::clickhouse::runtime().expect("runtime");
        runtime.block_on(tried).map_err(|unusable| unusable.reason)
    };
    let note = tried(&options).expect("it can be used");
    assert!(note.contains("ai_rows is no replicated table"), "{note}");
    let unknown = ClickHouseOptions { cluster: "others".to_owned(), ..options.clone() };
    let reason = tried(&unknown).expect_err("an unknown cluster");
    assert!(reason.contains("knows no cluster `others`; correct"), "{reason}");
    let made = engine.query("SHOW CREATE TABLE wide.ai_log_all FORMAT TSVRaw");
    engine.query("DROP TABLE wide.ai_log_all");
    let reason = tried(&options).expect_err("a missing table");
    assert!(reason.contains("ai_log_all") && reason.contains("clickhouse apply"), "{reason}");
    engine.query(&made);
    assert!(tried(&options).is_ok());

    // Costs are computed again; the statements are those of a cluster.
    let before = engine.query("SELECT sum(cost_usd) FROM wide.ai_rows");
    let mut change = crate::report::cluster_statements("wide", "costs", "logs").into_iter();
    engine.query(&alone(&change.next().expect("a table")));
    let amounts = engine.query(
        "SELECT groupConcat(', ')(name) FROM (SELECT name FROM system.columns WHERE database = \
         'wide' AND table = 'costs' AND name != 'id' ORDER BY position)",
    );
    let ones = amounts.split(", ").map(|_| "1").collect::<Vec<_>>().join(", ");
    engine.query(&format!(
        "INSERT INTO wide.costs (id, {amounts}) SELECT id, {ones} FROM wide.ai_rows"
    ));
    for statement in change {
        let tree = engine.query(&format!("EXPLAIN AST {statement}"));
        assert!(statement.contains("ON CLUSTER 'logs'") && !tree.is_empty(), "{statement}");
        if !statement.starts_with("SYSTEM") {
            engine.query(&alone(&statement));
        }
    }
    assert_ne!(before, "500");
    assert_eq!(engine.query("SELECT sum(cost_usd) FROM wide.ai_rows"), "500");
    assert_eq!(engine.query("SELECT count() FROM wide.costs"), "0");
    for repair in crate::ailog::store::clickhouse::schema::repairs("toDateTime(0)", "now()", "_all")
    {
        engine.query(
            &repair
                .insert
                .replacen("INTO ai_", "INTO wide.ai_", 1)
                .replace("FROM ai_", "FROM wide.ai_"),
        );
    }
    assert_eq!(engine.query("SELECT sum(cost_usd) FROM wide.ai_hourly_all"), "500");
    assert_eq!(engine.query("SELECT sum(cost_usd) FROM wide.ai_daily_all"), "500");
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn the_next_server_gets_what_one_did_not_acknowledge() {
    let engine = Engine::own();
    let one = engine.apply("several");
    let dir = tempfile::tempdir().expect("dir");
    // Nobody is at the first address; the others lead to the same tables, as replicas have them.
    let urls = [
        "http://127.0.0.1:1".to_owned(),
        format!("http://127.0.0.1:{}", engine.port),
        format!("http://localhost:{}", engine.port),
    ];
    let options = ClickHouseOptions { urls: urls.to_vec(), ..one };
    let (log, metrics) = open(dir.path(), &options);
    let mut written = 0;
    for fault in ["mode=delay&ms=0&count=1", "mode=drop_after&count=1", "mode=delay&ms=0&count=1"] {
        engine.fault(fault);
        (written..written + 3_000).for_each(|n| log.append(&row(n)));
        written += 3_000;
        assert!(log.flush(SOON), "{fault}: {:?}", log.backlog());
    }
    assert_eq!(
        engine.query("SELECT count(), uniqExact(id) FROM several.ai_log"),
        format!("{written}\t{written}")
    );
    rollups_equal_rows(&engine, "several");
    assert_eq!(count(&metrics, "stored"), written);
    assert_eq!((count(&metrics, "lost"), count(&metrics, "dead_letter")), (0, 0));
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn a_server_that_hangs_is_left_for_another_one() {
    let engine = Engine::own();
    let one = engine.apply("hangs");
    let dir = tempfile::tempdir().expect("dir");
    // It takes connections, and answers nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let urls = vec![
        format!("http://{}", silent.local_addr().expect("address")),
        format!("http://127.0.0.1:{}", engine.port),
    ];
    let (log, _) = open(dir.path(), &ClickHouseOptions { urls, ..one });
    (0..100).for_each(|n| log.append(&row(n)));
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!(engine.query("SELECT count(), uniqExact(id) FROM hangs.ai_log"), "100\t100");
    // It is left alone now, and holds nothing up.
    (100..200).for_each(|n| log.append(&row(n)));
    assert!(log.flush(std::time::Duration::from_secs(15)), "{:?}", log.backlog());
    drop(silent);
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn rows_come_back_as_they_went_in_and_reports_agree() {
    let engine = Engine::shared();
    let options = engine.apply("roundtrip");
    let dir = tempfile::tempdir().expect("dir");
    let (log, metrics) = open(dir.path(), &options);
    let rows: Vec<Row> = (0..2_000).map(row).collect();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!(
        (count(&metrics, "stored"), count(&metrics, "lost"), count(&metrics, "dead_letter")),
        (2_000, 0, 0)
    );

    let store = StoreKind::ClickHouse(options);
    let reader = Reader::open(&store, dir.path()).expect("reader");
    check_report(&reader, &rows);
    let mut all: Vec<_> = rows.iter().collect();
    all.sort_by_key(|r| std::cmp::Reverse((r.created_at_ms, r.id)));
    let expected: Vec<_> = all.into_iter().map(as_json).collect();
    let found = reader.logs(&Filter::default(), 10_000).expect("logs");
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        for columns::Column { name, .. } in columns::COLUMNS {
            assert_eq!(found[name], expected[name], "{name} of {}", expected["request_id"]);
        }
    }

    // The same figures as the embedded store, line by line.
    let embedded_dir = tempfile::tempdir().expect("dir");
    let (embedded, _) = super::open(embedded_dir.path());
    rows.iter().for_each(|row| embedded.append(row));
    assert!(embedded.flush(SOON));
    let embedded = Reader::open(&StoreKind::Embedded, embedded_dir.path()).expect("reader");
    for by in [&[][..], &[Dim::Day, Dim::Org, Dim::Model], &Dim::ALL] {
        let (mut a, mut b) = (
            reader.summary(0, i64::MAX, by).expect("a"),
            embedded.summary(0, i64::MAX, by).expect("b"),
        );
        a.sort_by(|x, y| x.key.cmp(&y.key));
        b.sort_by(|x, y| x.key.cmp(&y.key));
        assert_eq!(a, b);
    }
    let sqlite =
        rusqlite::Connection::open(embedded_dir.path().join("tollgate.db")).expect("database");
    let mut statement =
        sqlite.prepare("SELECT * FROM daily_summary ORDER BY 1, 2, 3, 4, 5").expect("sql");
    let mut lines = statement.query([]).expect("query");
    let found = engine.query("SELECT * FROM roundtrip.daily_summary ORDER BY 1, 2, 3, 4, 5");
    let mut compared = 0;
    for line in found.lines() {
        let theirs: Vec<&str> = line.split('\t').collect();
        let ours = lines.next().expect("query").expect("as many lines");
        for (at, theirs) in theirs.iter().enumerate() {
            match ours.get_ref(at).expect("value") {
                rusqlite::types::ValueRef::Text(text) => {
                    // TabSeparated escapes; compare what needs no escape.
                    if !theirs.contains('\\') {
                        assert_eq!(theirs.as_bytes(), text);
                    }
                }
                rusqlite::types::ValueRef::Integer(n) => {
                    assert_eq!(theirs.parse::<i64>().expect("int"), n)
                }
                rusqlite::types::ValueRef::Real(f) => {
                    assert_eq!(theirs.parse::<f64>().expect("float"), f)
                }
                rusqlite::types::ValueRef::Null => assert_eq!(*theirs, "\\N"),
                other => panic!("{other:?}"),
            }
        }
        compared += 1;
    }
    assert!(compared > 50 && lines.next().expect("query").is_none());
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn days_and_views_are_what_brute_force_finds() {
    let engine = Engine::shared();
    let options = engine.apply("views");
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path(), &options);
    let rows = crate::report::tests::views::rows();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    crate::report::tests::views::check_days(
        &Reader::open(&StoreKind::ClickHouse(options), dir.path()).expect("reader"),
        &rows,
    );
    // Decimals and times as texts, so that nothing is lost on the way.
    let lines = |sql: &str| -> Vec<Vec<String>> {
        let found = engine.query(&format!("{sql} FORMAT JSONCompactStringsEachRow"));
        found.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    };
    let cost =
        "SELECT toString(day), org_id, calls, toString(toDecimal128(ifNull(cost_usd, 0), 9) * \
            1000000000), \
            tokens, unpriced_calls
                FROM views.cost_by_org_day ORDER BY 1, 2";
    assert_eq!(lines(cost), crate::report::tests::views::cost_by_org_day(&rows));
    let errors = "SELECT formatDateTime(hour, '%Y-%m-%dT%H:00:00Z'), org_id, provider, model, \
        outcome, status, error_code, calls,
                         last_request_id, all_calls FROM views.errors_hourly ORDER BY 1, 2, 3, 4, \
                         5, status, \
                         7";
    assert_eq!(lines(errors), crate::report::tests::views::errors_hourly(&rows));
    let daily = "SELECT toString(day), org_id, provider, model, route, calls, errors, \
        rate_limited, input_tokens, output_tokens,
                        toString(ifNull(cost_usd, 0) * 1000000000), p50_ms, p95_ms, p99_ms FROM \
                        views.daily_summary ORDER BY 1, 2, 3, 4, 5";
    assert_eq!(lines(daily), crate::report::tests::views::daily_summary(&rows));
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn rows_rollups_views_reports_and_exports_have_the_same_totals() {
    use crate::report::tests::mixed;
    let engine = Engine::shared();
    let options = engine.apply("mixed");
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path(), &options);
    let rows = mixed::rows();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON), "{:?}", log.backlog());
    let (calls, input, output, nano) = mixed::totals(rows.iter());
    for table in ["ai_log", "ai_hourly", "hourly", "daily_summary"] {
        let sums = "sum(calls), sum(input_tokens), sum(output_tokens), \
                    toInt64(sum(cost_usd) * 1000000000)";
        assert_eq!(
            engine.query(&format!("SELECT {sums} FROM mixed.{table}")),
            format!("{calls}\t{input}\t{output}\t{nano}"),
            "{table}"
        );
    }
    let reader = Reader::open(&StoreKind::ClickHouse(options), dir.path()).expect("reader");
    mixed::check(&reader, &rows);
    mixed::check_largest(&reader);
    mixed::check_search(&reader, &rows);
    crate::cli::export::tests::check(&reader, &rows);
    // A window of a millisecond with more bytes than a page.
    let text = super::redacted(&"x".repeat(200_000));
    let of =
        |seed| Row { created_at_ms: 1_795_000_000_000, request: Some(text.clone()), ..row(seed) };
    let large: Vec<Row> = (20_000..20_060).map(of).collect();
    large.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON), "{:?}", log.backlog());
    crate::cli::export::tests::check_large(&reader, &large);
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn queries_of_the_documentation_agree_with_the_embedded_store() {
    use crate::report::tests::queries::{YESTERDAY, comparable, embedded, keep_limits, queries};
    let engine = Engine::shared();
    let options = engine.apply("queries");
    let (dir, embedded_dir) =
        (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (log, _) = open(dir.path(), &options);
    let (embedded_log, _) = super::open(embedded_dir.path());
    let rows = crate::report::tests::views::rows();
    for row in &rows {
        log.append(row);
        embedded_log.append(row);
    }
    keep_limits(&log);
    keep_limits(&embedded_log);
    assert!(log.flush(SOON) && embedded_log.flush(SOON));
    let clock = Clock::start();
    let begun = clock.now();
    while embedded(embedded_dir.path(), "SELECT 1 FROM ai_limits").is_empty()
        || engine.query("SELECT count() FROM queries.ai_limits") == "0"
    {
        assert!(clock.now().since(begun) < SOON, "the limits are not stored");
        log.flush(std::time::Duration::from_millis(10));
        embedded_log.flush(std::time::Duration::from_millis(10));
    }
    let every_view = [
        "hourly",
        "cost_by_tag_day",
        "cache_savings",
        "limits_hit",
        "budget_used",
        "tickets_daily",
        "unpriced_models",
        "slowest_calls",
        "dearest_calls",
        "providers_daily",
        "provider_health",
        "retries_saved",
        "daily_summary",
        "cost_by_org_day",
        "errors_hourly",
    ];
    let models = "SELECT org_id, name, toUInt64(limit_usd), toInt64(spent_usd * 1000000000) \
                  FROM queries.budget_used WHERE period = 'month' AND day = '2026-11-01' \
                  AND scope = 'model' ORDER BY 1, 2 FORMAT JSONCompactStringsEachRow";
    let found: Vec<Vec<String>> = engine
        .query(models)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line"))
        .collect();
    assert_eq!(found, crate::report::tests::queries::budgets_of_models(&rows));
    let whole = every_view.map(|view| {
        let columns = embedded(
            embedded_dir.path(),
            &format!("SELECT name FROM pragma_table_info('{view}') WHERE name NOT LIKE 'tags'"),
        );
        let columns: Vec<String> = columns.into_iter().flatten().flatten().collect();
        format!("SELECT {} FROM {view}", columns.join(", "))
    });
    for sql in queries(&rows).into_iter().chain(whole) {
        let asked = format!("{sql} FORMAT JSONCompactEachRow");
        let settings = "output_format_json_quote_64bit_integers=1&\
                        output_format_json_quote_decimals=1";
        let found = engine.post(&format!("/?database=queries&{settings}"), &asked);
        let cell = |value: serde_json::Value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        let line = |line: &str| -> Vec<Option<String>> {
            let cells: Vec<serde_json::Value> = serde_json::from_str(line).expect("a line");
            cells.into_iter().map(cell).collect()
        };
        let there = comparable(found.lines().map(line).collect());
        assert_eq!(there, comparable(embedded(embedded_dir.path(), &sql)), "{sql}");
    }
    engine.post("/?database=queries", YESTERDAY[1]);
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn rows_are_priced_again_to_the_nano_dollar() {
    let engine = Engine::shared();
    let options = engine.apply("reprice");
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path(), &options);
    let store = StoreKind::ClickHouse(options);
    crate::report::tests::reprice::check(&log, &store, dir.path());
    rollups_equal_rows(engine, "reprice");
    let left = "SELECT count() FROM system.tables WHERE database = 'reprice' AND name LIKE \
        'tollgate_reprice%'";
    assert_eq!(engine.query(left), "0");
    // A table that is not on one server alone. There is no cluster here; a table of any other kind
    // is refused alike.
    engine.query("RENAME TABLE reprice.ai_rows TO reprice.plain");
    engine.query(
        "CREATE TABLE reprice.ai_rows AS reprice.plain ENGINE = Merge('reprice', '^plain$')",
    );
    let refused = crate::report::tests::reprice::run(&store, dir.path(), false);
    assert!(
        matches!(&refused, Err(ReadError::NotHere { engine }) if engine == "Merge"),
        "{refused:?}"
    );
    assert!(
        crate::report::tests::reprice::run(&store, dir.path(), true).is_ok(),
        "looking changes nothing"
    );
    assert_eq!(engine.query(left), "0");
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn whatever_happens_on_the_way_each_row_is_there_once() {
    let dir = tempfile::tempdir().expect("dir");
    let mut engine = Engine::start(dir.path(), 0, &[]);
    let options = engine.apply("faults");
    let (log, metrics) = open(dir.path(), &options);
    let mut written = 0;
    let mut more = |log: &AiLog| {
        (written..written + 100).for_each(|n| log.append(&row(n)));
        written += 100;
    };
    for fault in [
        "mode=drop_after&count=2",
        "mode=status&status=503&count=2",
        "mode=drop_before&count=1",
        "mode=status&status=500&count=1",
    ] {
        engine.fault(fault);
        more(&log);
        assert!(log.flush(SOON), "{fault}: {:?}", log.backlog());
    }
    assert_eq!(log.backlog().trouble, None);

    // The engine is killed; calls go on; it comes back at the same address.
    engine.kill();
    more(&log);
    assert!(!log.flush(std::time::Duration::from_millis(300)));
    assert!(log.backlog().bytes > 0);
    let port = engine.port;
    engine = Engine::start(dir.path(), port, &[]);
    assert!(log.flush(SOON), "{:?}", log.backlog());

    // An acknowledgement is lost, and before the next try there are more rows: the range must not
    // grow with them.
    engine.fault("mode=drop_after&count=1");
    more(&log);
    in_trouble(&log);
    more(&log);
    assert!(log.flush(SOON), "{:?}", log.backlog());

    // The same, and the gateway ends before it can try again; the next one sends the same range.
    engine.fault("mode=drop_after&count=1000000");
    more(&log);
    in_trouble(&log);
    more(&log);
    drop(log);
    engine.fault("mode=delay&ms=0&count=1");
    let (log, metrics_after) = open(dir.path(), &options);
    more(&log);
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!(
        engine.query("SELECT count(), uniqExact(id) FROM faults.ai_log"),
        format!("{written}\t{written}")
    );
    rollups_equal_rows(&engine, "faults");
    for metrics in [metrics, metrics_after] {
        assert_eq!((count(&metrics, "lost"), count(&metrics, "dead_letter")), (0, 0));
    }
}

/// Waits until an attempt to store has failed.
pub(crate) fn in_trouble(log: &AiLog) {
    let clock = Clock::start();
    let begun = clock.now();
    while log.backlog().trouble.is_none() {
        assert!(clock.now().since(begun) < SOON);
        log.flush(std::time::Duration::from_millis(10));
    }
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn a_gateway_starts_before_its_database_is_there() {
    let engine = Engine::own();
    let dir = tempfile::tempdir().expect("dir");
    let options = engine.options("late");
    let (log, metrics) = open(dir.path(), &options);
    (0..10).for_each(|n| log.append(&row(n)));
    in_trouble(&log);
    let trouble = log.backlog().trouble.expect("trouble");
    assert!(trouble.contains("UNKNOWN_DATABASE") || trouble.contains("UNKNOWN_TABLE"), "{trouble}");
    assert!(trouble.contains("tollgate clickhouse apply"), "{trouble}");
    let reader = Reader::open(&StoreKind::ClickHouse(options.clone()), dir.path()).expect("reader");
    assert!(matches!(reader.summary(0, i64::MAX, &[]), Err(ReadError::NoSchema)));
    engine.apply("late");
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!(count(&metrics, "stored"), 10);
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn a_row_that_the_table_refuses_is_buried_and_stops_nobody() {
    let engine = Engine::shared();
    let options = engine.apply("poison");
    engine
        .query("ALTER TABLE poison.ai_rows ADD CONSTRAINT no_poison CHECK request_id != 'req-77'");
    let dir = tempfile::tempdir().expect("dir");
    let (log, metrics) = open(dir.path(), &options);
    (0..200).for_each(|n| log.append(&row(n)));
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!(
        (count(&metrics, "stored"), count(&metrics, "dead_letter"), count(&metrics, "lost")),
        (199, 1, 0)
    );
    assert_eq!(engine.query("SELECT count(), uniqExact(id) FROM poison.ai_log"), "199\t199");
    rollups_equal_rows(engine, "poison");
    let buried = std::fs::read_to_string(dir.path().join("dead-letter.jsonl")).expect("file");
    let line: serde_json::Value = serde_json::from_str(&buried).expect("one line of JSON");
    assert_eq!(line["row"], serde_json::Value::Object(as_json(&row(77))));
    assert!(line["reason"].as_str().expect("reason").contains("469"), "{}", line["reason"]);
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn closing_does_not_wait_for_a_slow_server_and_loses_nothing() {
    let engine = Engine::own();
    let options = engine.apply("slow");
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path(), &options);
    engine.fault("mode=delay&ms=20000&count=1");
    (0..50).for_each(|n| log.append(&row(n)));
    // The shipper is in the middle of its request now, or begins it while the log is closed.
    log.flush(std::time::Duration::from_millis(50));
    let clock = Clock::start();
    let begun = clock.now();
    log.close(std::time::Duration::from_millis(100));
    assert!(
        clock.now().since(begun) < std::time::Duration::from_secs(10),
        "{:?}",
        clock.now().since(begun)
    );
    drop(log);
    let (log, _) = open(dir.path(), &options);
    assert!(log.flush(SOON), "{:?}", log.backlog());
    assert_eq!(engine.query("SELECT count(), uniqExact(id) FROM slow.ai_log"), "50\t50");
}
