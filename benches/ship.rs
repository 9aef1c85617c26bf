//! An outage of the store, and the disk that answers wait for.
//!
//!     cargo bench --bench ship
//!     TOLLGATE_BENCH_CLICKHOUSE=http://127.0.0.1:8123 cargo bench --bench ship
//!
//! A backlog that is written as fast as it goes stands for an hour without the store: nothing here depends on how long it
//! took. It is taken off while a thousand rows a second go on arriving. For ClickHouse the engine's own limit stands
//! beside it: batches as the shipper makes them, sent straight.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use tollgate::ailog_bench::{catch_up, engine_limit, synced};

/// Two of these make a row of 2 KiB.
const BODY_BYTES: usize = 900;
const ARRIVING: u64 = 1_000;

fn folder() -> tempfile::TempDir {
    match tempfile::tempdir() {
        Ok(dir) => dir,
        Err(error) => panic!("no folder for the benchmark: {error}"),
    }
}

fn main() {
    let clickhouse = std::env::var("TOLLGATE_BENCH_CLICKHOUSE").ok();
    println!("| store | rows that waited | MiB | appended/s | shipped/s, others arriving | arriving/s | times |");
    println!("|---|---|---|---|---|---|---|");
    let rows = 300_000;
    for store in [None, clickhouse.as_deref()].into_iter().take(1 + usize::from(clickhouse.is_some())) {
        let dir = folder();
        let f = catch_up(dir.path(), rows, BODY_BYTES, ARRIVING, store);
        assert!(f.oldest_was_known, "operators are told how old the oldest row is");
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
        println!("\nstraight to the engine: {:.0} rows/s", engine_limit(folder().path(), 150_000, BODY_BYTES, url));
    }
    println!(
        "\n`durability: power`:\n\n| callers | waited p50 | p99 | rows per sync | rows/s |\n|---|---|---|---|---|"
    );
    for (callers, each) in [(1, 300), (16, 200), (64, 100)] {
        let f = synced(folder().path(), callers, each, BODY_BYTES);
        println!(
            "| {callers} | {:.0} us | {:.0} us | {:.1} | {:.0} |",
            f.waited_ns[0] as f64 / 1_000.0,
            f.waited_ns[1] as f64 / 1_000.0,
            f.rows_per_sync,
            f.per_second,
        );
    }
}
