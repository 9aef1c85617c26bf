//! What a row costs: appended to the write-ahead log, and taken to the embedded store (or to ClickHouse).
//!
//!     cargo bench --bench wal
//!     TOLLGATE_BENCH_CLICKHOUSE=http://127.0.0.1:8123 cargo bench --bench wal
//!
//! CPU time is the kernel's account of each thread (`schedstat`), so a busy machine changes it little.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use tollgate::ailog_bench::{Work, run};

fn main() {
    let clickhouse = std::env::var("TOLLGATE_BENCH_CLICKHOUSE").ok();
    println!(
        "| bodies | rows/s asked | row bytes | encode | append CPU | append p50 / p99 / p99.9 | store CPU | rows/s stored |"
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
        let dir = match tempfile::tempdir() {
            Ok(dir) => dir,
            Err(error) => panic!("no folder for the benchmark: {error}"),
        };
        let f = run(dir.path(), &Work { rows, body_bytes, per_second, clickhouse: clickhouse.clone() });
        let us = |ns: f64| format!("{:.2} us", ns / 1_000.0);
        println!(
            "| 2 x {body_bytes} | {} | {} | {} | {} | {} / {} / {} | {} | {:.0} |",
            if per_second == 0 { "all".to_owned() } else { per_second.to_string() },
            f.row_bytes,
            us(f.encode_ns),
            us(f.append_cpu_ns),
            us(f.append_ns[0] as f64),
            us(f.append_ns[1] as f64),
            us(f.append_ns[2] as f64),
            us(f.ship_cpu_ns),
            f.stored_per_second,
        );
    }
}
