//! The cost of a row: appended to the write-ahead log, and taken to the store.
//!
//!     cargo bench --bench wal
//!     TOLLGATE_BENCH_CLICKHOUSE=http://127.0.0.1:8123 cargo bench --bench wal
//!
//! The store is the embedded one, or the database `tollgate_bench` of that ClickHouse server. CPU
//! time is the kernel's account of each thread (`schedstat`), so a busy machine changes it little.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "support/log.rs"]
mod log;

use std::path::Path;
use std::time::Duration;

use tollgate::ailog::row::encode;
use tollgate::ailog::{AiLog, Options};
use tollgate::clock::Clock;
use tollgate::metrics::Metrics;

/// The measurements, in nanoseconds unless the name says otherwise.
struct Figures {
    row_bytes: usize,
    encode: f64,
    /// CPU time of one append on the caller's thread.
    append_cpu: f64,
    /// Duration of an append: half of them, 99 %, 99.9 %.
    append: [u64; 3],
    /// CPU time of one row on the log's threads.
    store_cpu: f64,
    stored_per_second: f64,
}

/// Appends rows and waits until all of them are stored. `per_second` 0: as fast as possible.
fn measure(
    dir: &Path,
    rows: usize,
    body_bytes: usize,
    per_second: u64,
    clickhouse: Option<&str>,
) -> Figures {
    let clock = Clock::start();
    let opened = AiLog::open(Options::new(dir, 0), log::store(clickhouse), Metrics::new());
    let log = opened.unwrap_or_else(|error| panic!("{error}"));
    let mut row = log::row(body_bytes);
    let mut encoded = Vec::new();
    let begun = clock.now();
    for _ in 0..rows {
        encoded.clear();
        encode(&row, &mut encoded);
    }
    let encode = clock.now().since(begun).as_nanos() as f64 / rows as f64;

    let mut times = Vec::with_capacity(rows);
    let (process_before, begun) = (log::process_cpu_ns(), clock.now());
    let thread_before = log::thread_cpu_ns();
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
    let cpu_in_append = log::thread_cpu_ns() - thread_before;
    assert!(log.flush(Duration::from_secs(300)), "not stored: {:?}", log.backlog());
    let passed = clock.now().since(begun);
    // Before the log's threads end and take their figures with them.
    let process = log::process_cpu_ns() - process_before;
    log.close(Duration::from_secs(10));
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
    Figures {
        row_bytes: encoded.len(),
        encode,
        append_cpu: cpu_in_append as f64 / rows as f64,
        append: [at(500), at(990), at(999)],
        store_cpu: process.saturating_sub(cpu_in_append) as f64 / rows as f64,
        stored_per_second: rows as f64 / passed.as_secs_f64(),
    }
}

fn main() {
    let clickhouse = std::env::var("TOLLGATE_BENCH_CLICKHOUSE").ok();
    println!(
        "| bodies | rows/s asked | row bytes | encode | append CPU | append p50 / p99 / p99.9 | \
            store CPU | \
         rows/s stored |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (rows, body_bytes, per_second) in [
        (100_000, 0, 0),
        (100_000, 900, 0),
        (60_000, 1_500, 0),
        (5_000, 1_500, 1_000),
        (1_000, 1_500, 200),
        (10_000, 16_384, 0),
    ] {
        let dir = log::folder();
        let f = measure(dir.path(), rows, body_bytes, per_second, clickhouse.as_deref());
        let us = |ns: f64| format!("{:.2} us", ns / 1_000.0);
        println!(
            "| 2 x {body_bytes} | {} | {} | {} | {} | {} / {} / {} | {} | {:.0} |",
            if per_second == 0 { "all".to_owned() } else { per_second.to_string() },
            f.row_bytes,
            us(f.encode),
            us(f.append_cpu),
            us(f.append[0] as f64),
            us(f.append[1] as f64),
            us(f.append[2] as f64),
            us(f.store_cpu),
            f.stored_per_second,
        );
    }
}
