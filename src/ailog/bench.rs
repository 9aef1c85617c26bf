//! What `benches/wal.rs` and `benches/ship.rs` measure: appending rows, waiting for the disk, taking rows to the store.
//! Not part of the gateway.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tollgate_wire::usage::{TokenUsage, UsageSource};

use super::row::{RouteKind, Row};
use super::schema::SchemaOptions;
use super::store::Store as _;
use super::store::clickhouse::{self, ClickHouseStore};
use super::wal::reader::{Batch, Span};
use super::wal::segment;
use super::{AiLog, Options, columns};
use crate::bounds::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use crate::clock::{Clock, wall_ms};
use crate::config::policy::{ClickHouseOptions, StoreKind};
use crate::ids::{OrgId, RequestId, Secret};
use crate::metrics::Metrics;
use crate::redact::{Attachments, Redacted, Rules, RulesSpec};

/// What was measured.
#[derive(Debug)]
pub struct Figures {
    /// Bytes of one encoded row.
    pub row_bytes: usize,
    /// Nanoseconds of one encoding, checksum included.
    pub encode_ns: f64,
    /// CPU nanoseconds of one append on the caller's thread.
    pub append_cpu_ns: f64,
    /// The same, as time that passed: half of the appends, 99 %, 99.9 %.
    pub append_ns: [u64; 3],
    /// CPU nanoseconds of one row on the shipper's thread, to the store.
    pub ship_cpu_ns: f64,
    /// Rows that the store took in a second.
    pub stored_per_second: f64,
}

/// What is done.
#[derive(Clone, Debug)]
pub struct Work {
    /// Rows to append.
    pub rows: usize,
    /// Length of each of a row's two bodies.
    pub body_bytes: usize,
    /// Rows a second; 0: as fast as it goes.
    pub per_second: u64,
    /// Address of a ClickHouse server; its database `tollgate_bench` is made. Nothing: the embedded store.
    pub clickhouse: Option<String>,
}

/// Does the work and waits until all rows are stored.
///
/// # Panics
/// If folder or server cannot be used.
pub fn run(dir: &Path, work: &Work) -> Figures {
    let Work { rows, body_bytes, per_second, .. } = *work;
    let clock = Clock::start();
    let log = AiLog::open(Options::new(dir, 0), store(work.clickhouse.as_deref()), Metrics::new());
    let log = match log {
        Ok(log) => log,
        Err(error) => panic!("{error}"),
    };
    let mut row = row(body_bytes);
    let mut record = Vec::new();
    let begun = clock.now();
    for _ in 0..rows {
        segment::record(&row, &mut record);
    }
    let encode_ns = clock.now().since(begun).as_nanos() as f64 / rows as f64;

    let mut times = Vec::with_capacity(rows);
    let (process_before, begun) = (process_cpu_ns(), clock.now());
    let thread_before = thread_cpu_ns();
    for n in 0..rows {
        row.id = uuid::Uuid::now_v7();
        if per_second > 0 && (n as u64).is_multiple_of((per_second / 20).max(1)) {
            let due = n as u64 * 1_000_000_000 / per_second;
            let passed = clock.now().since(begun).as_nanos() as u64;
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(passed)));
        }
        let at = clock.now();
        log.append(&row);
        times.push(clock.now().since(at).as_nanos() as u64);
    }
    let cpu_in_append = thread_cpu_ns() - thread_before;
    assert!(log.flush(Duration::from_secs(300)), "not stored: {:?}", log.backlog());
    let passed = clock.now().since(begun);
    // Before the shipper's thread ends and takes its figures with it.
    let process = process_cpu_ns() - process_before;
    log.close(Duration::from_secs(10));
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
    let mut encoded = Vec::new();
    columns::encode(&row, &mut encoded);
    Figures {
        row_bytes: encoded.len(),
        encode_ns,
        append_cpu_ns: cpu_in_append as f64 / rows as f64,
        append_ns: [at(500), at(990), at(999)],
        ship_cpu_ns: process.saturating_sub(cpu_in_append) as f64 / rows as f64,
        stored_per_second: rows as f64 / passed.as_secs_f64(),
    }
}

/// What was measured of an outage of the store.
#[derive(Debug)]
pub struct CatchUp {
    /// Bytes of the rows that waited.
    pub backlog_bytes: u64,
    /// Rows a second that one thread appended while the store was away.
    pub appended_per_second: f64,
    /// Rows a second that the store took afterwards, while others went on arriving.
    pub shipped_per_second: f64,
    /// The same, of rows that arrived meanwhile.
    pub arrived_per_second: f64,
    /// The oldest row's age when the store came back, as operators see it, was shown.
    pub oldest_was_known: bool,
}

/// Writes a backlog while the store is away, and measures how fast it is taken off while `arriving` rows a second come in.
///
/// # Panics
/// If folder or server cannot be used, or a row is lost.
pub fn catch_up(dir: &Path, rows: usize, body_bytes: usize, arriving: u64, clickhouse: Option<&str>) -> CatchUp {
    let clock = Clock::start();
    let mut row = row(body_bytes);
    let texts = texts(body_bytes);
    let next = |row: &mut Row| {
        row.id = uuid::Uuid::now_v7();
        row.created_at_ms = wall_ms();
        row.request = Some(texts[fastrand::usize(..texts.len())].clone());
        row.response = Some(texts[fastrand::usize(..texts.len())].clone());
    };
    let mut options = Options::new(dir, 0);
    options.wal.total_bytes_max = u64::MAX;
    let open = |store| match AiLog::open(options.clone(), store, Metrics::new()) {
        Ok(log) => log,
        Err(error) => panic!("{error}"),
    };
    let nobody = "http://127.0.0.1:9".to_owned();
    let away = open(StoreKind::ClickHouse(server(nobody)));
    let begun = clock.now();
    for _ in 0..rows {
        next(&mut row);
        away.append(&row);
    }
    let appended_per_second = rows as f64 / clock.now().since(begun).as_secs_f64();
    let (backlog_bytes, lost) = (away.backlog().bytes, away.backlog().lost);
    assert_eq!(lost, 0);
    drop(away);

    let log = open(store(clickhouse));
    let begun = clock.now();
    let (mut arrived, mut oldest_was_known) = (0, false);
    // The backlog as it was is gone when no more waits than has arrived since.
    while log.backlog().bytes > arrived * backlog_bytes / rows as u64 {
        oldest_was_known |= log.backlog().oldest_ms.is_some();
        let due = clock.now().since(begun).as_nanos() as u64 * arriving / 1_000_000_000;
        while arrived < due {
            next(&mut row);
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

/// Rows a second that a ClickHouse takes in batches as the shipper makes them, without log and files: its own limit here.
///
/// # Panics
/// If the server cannot be used.
pub fn engine_limit(dir: &Path, rows: usize, body_bytes: usize, url: &str) -> f64 {
    let StoreKind::ClickHouse(server) = store(Some(url)) else { return 0.0 };
    let Ok(mut straight) = ClickHouseStore::new(&server, dir) else { panic!("no event queue") };
    let (mut row, texts) = (row(body_bytes), texts(body_bytes));
    let (mut batches, mut batch) = (Vec::new(), Batch::default());
    for n in 0..rows {
        row.id = uuid::Uuid::now_v7();
        row.request = Some(texts[fastrand::usize(..texts.len())].clone());
        row.response = Some(texts[fastrand::usize(..texts.len())].clone());
        columns::encode(&row, &mut batch.payload);
        batch.rows.push(Span { payload_end: batch.payload.len(), segment_end: 0 });
        if batch.rows.len() == BATCH_ROWS_MAX || batch.payload.len() >= BATCH_BYTES_MAX || n + 1 == rows {
            batch.segment = uuid::Uuid::now_v7();
            batches.push(std::mem::take(&mut batch));
        }
    }
    let clock = Clock::start();
    let begun = clock.now();
    for batch in &batches {
        if let Err(error) = straight.store(batch, &|| false) {
            panic!("{error:?}");
        }
    }
    rows as f64 / clock.now().since(begun).as_secs_f64()
}

/// What was measured of answers that wait for the disk.
#[derive(Debug)]
pub struct Synced {
    /// Time that an answer waited: half of them, 99 %.
    pub waited_ns: [u64; 2],
    /// Rows that one sync covered.
    pub rows_per_sync: f64,
    /// Rows a second.
    pub per_second: f64,
}

/// Appends rows from tasks that each wait until theirs is on the disk.
///
/// # Panics
/// If the folder cannot be used.
pub fn synced(dir: &Path, callers: usize, rows_each: usize, body_bytes: usize) -> Synced {
    let metrics = Metrics::new();
    let log = match AiLog::open(Options::new(dir, 0), StoreKind::Embedded, metrics.clone()) {
        Ok(log) => log,
        Err(error) => panic!("{error}"),
    };
    log.expect_durable();
    let Ok(runtime) = clickhouse::runtime() else { panic!("no event queue") };
    let clock = Clock::start();
    let begun = clock.now();
    let mut times = runtime.block_on(async {
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let (log, mut row) = (log.clone(), row(body_bytes));
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
            })
            .collect();
        together(tasks).await.concat()
    });
    let passed = clock.now().since(begun).as_secs_f64();
    let syncs = metrics.log_sync_seconds.get_sample_count();
    log.close(Duration::from_secs(10));
    times.sort_unstable();
    let rows = times.len();
    Synced {
        waited_ns: [times[rows / 2], times[(rows - 1) * 99 / 100]],
        rows_per_sync: rows as f64 / syncs.max(1) as f64,
        per_second: rows as f64 / passed,
    }
}

/// Polls all of them whenever one of them may go on, until all have ended.
async fn together<T>(tasks: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| (Box::pin(task), None)).collect();
    std::future::poll_fn(move |cx| {
        for (task, result) in tasks.iter_mut().filter(|(_, result)| result.is_none()) {
            if let std::task::Poll::Ready(value) = task.as_mut().poll(cx) {
                *result = Some(value);
            }
        }
        if tasks.iter().any(|(_, result)| result.is_none()) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(tasks.drain(..).filter_map(|(_, result)| result).collect())
    })
    .await
}

/// Different texts, of made-up words, so that a store's compression has work to do.
fn texts(bytes: usize) -> Vec<Redacted> {
    let spec = RulesSpec { entities: vec![], attachments: Attachments::Allow, ..RulesSpec::default() };
    let rules = Rules::compile(&spec).unwrap_or_else(|e| panic!("{e:?}"));
    let mut rng = fastrand::Rng::with_seed(7);
    let words: Vec<String> = (0..4_000).map(|_| (0..rng.usize(2..10)).map(|_| rng.lowercase()).collect()).collect();
    let mut text = || {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            text.push_str(&words[rng.usize(..words.len())]);
            text.push(' ');
        }
        text.truncate(bytes);
        crate::redact::text(&rules, &text).0
    };
    (0..2_000).map(|_| text()).collect()
}

fn server(url: String) -> ClickHouseOptions {
    let database = "tollgate_bench".to_owned();
    ClickHouseOptions { url, database, user: "default".to_owned(), password: Secret::default() }
}

fn store(clickhouse: Option<&str>) -> StoreKind {
    let Some(url) = clickhouse else { return StoreKind::Embedded };
    let server = server(url.to_owned());
    let schema = SchemaOptions {
        database: server.database.clone(),
        cluster: None,
        retention_days: 90,
        changes_retention: false,
    };
    match schema.apply(&server) {
        Ok(_) => StoreKind::ClickHouse(server),
        Err(error) => panic!("{error}"),
    }
}

fn row(body_bytes: usize) -> Row {
    let spec = RulesSpec { entities: vec![], attachments: Attachments::Allow, ..RulesSpec::default() };
    let rules = Rules::compile(&spec).unwrap_or_else(|e| panic!("{e:?}"));
    let text: String = (0..).flat_map(|n| [format!("word{n}"), " ".to_owned()]).take(body_bytes).collect();
    let body = crate::redact::text(&rules, &text[..body_bytes]).0;
    let (Some(org), request_id) = (OrgId::new("acme"), RequestId::random()) else { panic!("a plain name") };
    let mut row = Row::begin(wall_ms(), org, RouteKind::Proxy, request_id, Arc::from("0123456789ab"));
    row.caller = Arc::from("ci-runner");
    row.endpoint = "/v1/chat/completions".into();
    row.provider = Arc::from("openai");
    row.model = "gpt-4o-mini".to_owned();
    row.response_model = "gpt-4o-mini-2024-07-18".to_owned();
    (row.status, row.attempts, row.latency_ms, row.ttfb_ms, row.gateway_us) = (200, 1, 812, 320, 95);
    row.usage = TokenUsage { input: 812, output: 240, ..TokenUsage::default() };
    (row.usage_source, row.cost_nano_usd) = (UsageSource::Provider, Some(265_800));
    (row.request, row.response) = (Some(body.clone()), Some(body));
    row
}

/// Time that this thread has been on a CPU.
fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The same for all threads of the process that are still there.
fn process_cpu_ns() -> u64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let of = |path: std::path::PathBuf| std::fs::read_to_string(path.join("schedstat")).ok();
    let texts = threads.filter_map(|entry| of(entry.ok()?.path()));
    texts.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}
