//! What `benches/wal.rs` measures: appending rows and taking them to the embedded store. Not part of the gateway.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::row::{RouteKind, Row};
use super::schema::SchemaOptions;
use super::{AiLog, Options, columns, wal};
use crate::clock::{Clock, wall_ms};
use crate::config::policy::{ClickHouseOptions, StoreKind};
use crate::ids::{OrgId, RequestId, Secret};
use crate::metrics::Metrics;
use crate::redact::{Attachments, Rules, RulesSpec};
use crate::usage::{TokenUsage, UsageSource};

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
        wal::record(&row, &mut record);
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

fn store(clickhouse: Option<&str>) -> StoreKind {
    let Some(url) = clickhouse else { return StoreKind::Embedded };
    let database = "tollgate_bench".to_owned();
    let schema = SchemaOptions { database: database.clone(), cluster: None, retention_days: 90 };
    let server =
        ClickHouseOptions { url: url.to_owned(), database, user: "default".to_owned(), password: Secret::default() };
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
