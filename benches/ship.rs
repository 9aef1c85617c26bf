//! An outage of the store, and the disk that answers wait for.
//!
//!     cargo bench --bench ship
//!     TOLLGATE_BENCH_CLICKHOUSE=http://127.0.0.1:8123 cargo bench --bench ship
//!     TOLLGATE_BENCH_INSERT=20000 valgrind --tool=callgrind target/release/deps/ship-…
//!
//! A backlog that is written as fast as possible stands for an hour without the store: no figure
//! here depends on how long that took. It is stored while a thousand rows a second keep arriving.
//! For ClickHouse the engine's own limit stands beside it: batches as the shipper makes them, sent
//! straight to the server.
//!
//! With `TOLLGATE_BENCH_INSERT` so many rows without captured texts go into the embedded store and
//! nothing else is done but to print the bytes of a row in the file: the instructions of two runs,
//! divided by the difference of their rows, are those of a row, with its part of the write-ahead
//! log. They are of one minute, or of `TOLLGATE_BENCH_DAYS`; after each `TOLLGATE_BENCH_CHUNK` of
//! them the store is waited for. With `TOLLGATE_BENCH_SUMS` the times of sums over all of them are
//! printed, too.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "support/log.rs"]
mod log;

use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tollgate::ailog::row::encode;
use tollgate::ailog::{AiLog, Options, StoreKind};
use tollgate::bounds::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use tollgate::clock::Clock;
use tollgate::metrics::Metrics;

/// Two of these make a row of 2 KiB.
const BODY_BYTES: usize = 900;
/// Rows a second that arrive while the backlog is stored.
const ARRIVING: u64 = 1_000;

/// An outage of the store.
struct CatchUp {
    /// Bytes of the rows that waited.
    backlog_bytes: u64,
    /// Rows a second that one thread appended while the store was away.
    appended_per_second: f64,
    /// Rows a second that the store took afterwards, while others kept arriving.
    shipped_per_second: f64,
    /// Rows a second that arrived meanwhile.
    arrived_per_second: f64,
    /// The age of the oldest row was shown while it waited.
    oldest_was_known: bool,
}

fn open(dir: &Path, store: StoreKind) -> AiLog {
    let mut options = Options::new(dir, 0);
    options.wal.total_bytes_max = u64::MAX;
    AiLog::open(options, store, Metrics::new()).unwrap_or_else(|error| panic!("{error}"))
}

/// Writes a backlog while the store is away, and measures how fast it is stored afterwards.
fn catch_up(dir: &Path, rows: usize, clickhouse: Option<&str>) -> CatchUp {
    let clock = Clock::start();
    let (mut row, texts) = (log::row(BODY_BYTES), log::texts(BODY_BYTES));
    let away = open(dir, StoreKind::ClickHouse(log::server("http://127.0.0.1:9")));
    let begun = clock.now();
    for _ in 0..rows {
        log::renew(&mut row, &texts);
        away.append(&row);
    }
    let appended_per_second = rows as f64 / clock.now().since(begun).as_secs_f64();
    let (backlog_bytes, lost) = (away.backlog().bytes, away.backlog().lost);
    assert_eq!(lost, 0);
    drop(away);

    let log = open(dir, log::store(clickhouse));
    let begun = clock.now();
    let (mut arrived, mut oldest_was_known) = (0, false);
    // The first backlog is stored when no more waits than has arrived since.
    while log.backlog().bytes > arrived * backlog_bytes / rows as u64 {
        oldest_was_known |= log.backlog().oldest_ms.is_some();
        let due = clock.now().since(begun).as_nanos() as u64 * ARRIVING / 1_000_000_000;
        while arrived < due {
            log::renew(&mut row, &texts);
            log.append(&row);
            arrived += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let passed = clock.now().since(begun).as_secs_f64();
    assert!(log.flush(Duration::from_secs(300)), "not stored: {:?}", log.backlog());
    log.close(Duration::from_secs(10));
    CatchUp {
        backlog_bytes,
        appended_per_second,
        shipped_per_second: rows as f64 / passed,
        arrived_per_second: arrived as f64 / passed,
        oldest_was_known,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.unwrap_or_else(|error| panic!("no event queue: {error}"))
}

/// Rows a second that a ClickHouse takes in batches as the shipper makes them, without log and
/// files.
fn engine_limit(rows: usize, url: &str) -> f64 {
    let StoreKind::ClickHouse(server) = log::store(Some(url)) else { return 0.0 };
    let client = clickhouse::Client::default().with_url(url).with_database(&server.database);
    let client = client.with_user(&server.user).with_validation(false);
    let (mut row, texts) = (log::row(BODY_BYTES), log::texts(BODY_BYTES));
    let (mut batches, mut batch, mut in_batch) = (Vec::new(), Vec::new(), 0);
    for n in 1..=rows {
        log::renew(&mut row, &texts);
        encode(&row, &mut batch);
        in_batch += 1;
        if in_batch == BATCH_ROWS_MAX || batch.len() >= BATCH_BYTES_MAX || n == rows {
            batches.push(Bytes::from(std::mem::take(&mut batch)));
            in_batch = 0;
        }
    }
    let (clock, runtime) = (Clock::start(), runtime());
    // A row of one table has all columns.
    let table = "CREATE TABLE IF NOT EXISTS one_table ENGINE = MergeTree ORDER BY created_at \
                 AS SELECT * FROM ai_log LIMIT 0";
    let made = runtime.block_on(client.query_raw(table).execute());
    made.unwrap_or_else(|error| panic!("{error}"));
    let begun = clock.now();
    for batch in batches {
        let sent = runtime.block_on(async {
            let mut insert = client.insert_formatted_with("INSERT INTO one_table FORMAT RowBinary");
            insert.send(batch).await?;
            insert.end().await
        });
        sent.unwrap_or_else(|error| panic!("{error}"));
    }
    rows as f64 / clock.now().since(begun).as_secs_f64()
}

/// Answers that wait for the disk.
struct Synced {
    /// How long an answer waited: half of them, 99 %.
    waited_ns: [u64; 2],
    rows_per_sync: f64,
    rows_per_second: f64,
}

/// Appends rows from tasks that each wait until their row is on the disk.
fn synced(dir: &Path, callers: usize, rows_each: usize) -> Synced {
    let metrics = Metrics::new();
    let log = AiLog::open(Options::new(dir, 0), StoreKind::Embedded, metrics.clone());
    let log = log.unwrap_or_else(|error| panic!("{error}"));
    log.expect_durable();
    let clock = Clock::start();
    let begun = clock.now();
    let mut times = runtime().block_on(async {
        let tasks = (0..callers).map(|_| {
            let (log, mut row) = (log.clone(), log::row(BODY_BYTES));
            async move {
                let mut times = Vec::with_capacity(rows_each);
                for _ in 0..rows_each {
                    row.id = uuid::Uuid::now_v7();
                    let at = clock.now();
                    log.append_soon(&row).await;
                    log.durable().await;
                    times.push(clock.now().since(at).as_nanos() as u64);
                }
                times
            }
        });
        together(tasks.collect()).await.concat()
    });
    let passed = clock.now().since(begun).as_secs_f64();
    let syncs = metrics.log_sync_seconds.get_sample_count();
    log.close(Duration::from_secs(10));
    times.sort_unstable();
    let rows = times.len();
    Synced {
        waited_ns: [times[rows / 2], times[(rows - 1) * 99 / 100]],
        rows_per_sync: rows as f64 / syncs.max(1) as f64,
        rows_per_second: rows as f64 / passed,
    }
}

/// Polls all tasks whenever one of them may continue, until all have ended.
async fn together<T>(tasks: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| (Box::pin(task), None)).collect();
    std::future::poll_fn(move |cx| {
        for (task, result) in tasks.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = task.as_mut().poll(cx) {
                *result = Some(value);
            }
        }
        if tasks.iter().any(|(_, result)| result.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(tasks.drain(..).filter_map(|(_, result)| result).collect())
    })
    .await
}

/// Stores rows of six organisations, four models and 24 callers; one in five failed.
fn insert(rows: usize) {
    let dir = log::folder();
    let log = open(dir.path(), StoreKind::Embedded);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut row = log::row(0);
    (row.request, row.response) = (None, None);
    let names: Vec<std::sync::Arc<str>> = (0..24).map(|n| format!("caller-{n}").into()).collect();
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
    let (days, chunk) = (number("TOLLGATE_BENCH_DAYS"), number("TOLLGATE_BENCH_CHUNK"));
    for n in 0..rows as i64 {
        log::vary(&mut row, &mut rng, &names);
        row.created_at_ms += n * days * 86_400_000 / rows as i64;
        log.append(&row);
        let ends_chunk = chunk > 0 && (n + 1) % chunk == 0;
        assert!(!ends_chunk || log.flush(Duration::from_secs(60)), "{:?}", log.backlog());
    }
    assert!(log.flush(Duration::from_secs(600)), "not stored: {:?}", log.backlog());
    log.close(Duration::from_secs(10));
    drop(log);
    let path = dir.path().join("tollgate.db");
    let database = rusqlite::Connection::open(&path).unwrap_or_else(|error| panic!("{error}"));
    let fold = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    fold.unwrap_or_else(|error| panic!("{error}"));
    let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!("{rows} rows, {:.0} bytes each in the file", bytes as f64 / rows as f64);
    if std::env::var("TOLLGATE_BENCH_SUMS").is_err() {
        return;
    }
    let clock = Clock::start();
    for (name, sql) in SUMS {
        let begun = clock.now();
        let mut statement = database.prepare(sql).unwrap_or_else(|error| panic!("{error}"));
        let mut lines = statement.query([]).unwrap_or_else(|error| panic!("{error}"));
        let mut count = 0;
        while lines.next().unwrap_or_else(|error| panic!("{error}")).is_some() {
            count += 1;
        }
        println!("{name}: {count} lines in {:.1} ms", clock.now().since(begun).as_secs_f64() * 1e3);
    }
}

/// Sums over all rows.
const SUMS: [(&str, &str); 5] = [
    ("cost by organisation and day", "SELECT * FROM cost_by_org_day"),
    ("day, organisation, provider, model with percentiles", "SELECT * FROM daily_summary"),
    ("hour, model, outcome with p95", "SELECT * FROM provider_health"),
    ("cost by caller", "SELECT caller, sum(calls), sum(cost_usd) FROM hourly GROUP BY caller"),
    ("the rows themselves", "SELECT org_id, sum(cost_usd) FROM ai_log GROUP BY org_id"),
];

fn main() {
    if let Ok(rows) = std::env::var("TOLLGATE_BENCH_INSERT") {
        return insert(rows.parse().unwrap_or_else(|error| panic!("{error}")));
    }
    let clickhouse = std::env::var("TOLLGATE_BENCH_CLICKHOUSE").ok();
    println!(
        "| store | rows that waited | MiB | appended/s | shipped/s, others arriving | arriving/s | \
            times |"
    );
    println!("|---|---|---|---|---|---|---|");
    let rows = 300_000;
    for store in
        [None, clickhouse.as_deref()].into_iter().take(1 + usize::from(clickhouse.is_some()))
    {
        let dir = log::folder();
        let f = catch_up(dir.path(), rows, store);
        assert!(f.oldest_was_known, "operators see the age of the oldest row");
        println!(
            "| {} | {rows} | {} | {:.0} | {:.0} | {:.0} | {:.1} |",
            if store.is_some() { "ClickHouse" } else { "embedded" },
            f.backlog_bytes >> 20,
            f.appended_per_second,
            f.shipped_per_second,
            f.arrived_per_second,
            f.shipped_per_second / f.arrived_per_second,
        );
    }
    if let Some(url) = &clickhouse {
        println!("\nstraight to the engine: {:.0} rows/s", engine_limit(150_000, url));
    }
    println!(
        "\n`durability: power`:\n\n| callers | waited p50 | p99 | rows per sync | rows/s \
            |\n|---|---|---|---|---|"
    );
    for (callers, each) in [(1, 300), (16, 200), (64, 100)] {
        let f = synced(log::folder().path(), callers, each);
        println!(
            "| {callers} | {:.0} us | {:.0} us | {:.1} | {:.0} |",
            f.waited_ns[0] as f64 / 1_000.0,
            f.waited_ns[1] as f64 / 1_000.0,
            f.rows_per_sync,
            f.rows_per_second,
        );
    }
}
