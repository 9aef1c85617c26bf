//! What a decision on a limit costs, what an organisation takes in memory, and what it costs to know a caller.
//!
//!     cargo bench --bench limit
//!
//! Every time is also given as a multiple of a plain look-up and change in the same kind of map, in the same run: the
//! machine may be slow or busy, the ratio stays.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it measures the time of the real world")]

use std::time::Instant;

use tollgate::limit::bench::{Work, resident_bytes};

/// Decisions of one sample; the fastest of several samples counts, since others only make it slower.
const DECISIONS: u64 = 200_000;
const SAMPLES: usize = 7;

fn main() {
    // First, while the allocator holds nothing of earlier work.
    let before = resident_bytes();
    let million = Work::million();
    let each = (resident_bytes() - before) as f64 / 1e6;
    println!("{} organisations with a bucket, names of 12 letters: {each:.0} bytes each\n", million.tracked());
    drop(million);
    let token = tollgate::auth_bench::Work::default();
    println!("| identity | ns each |\n|---|---|");
    println!("| a JWT that was verified before | {:.0} |", nanos(|n| token.again(n)));
    println!("| the same, never seen (HS256) | {:.0} |\n", nanos(|n| token.first(n)));
    println!("| organisations | work | ns each | look-ups |");
    println!("|---|---|---|---|");
    for orgs in [1, 1_000, 100_000] {
        let work = Work::new(orgs);
        let plain = nanos(|n| work.look_up(n));
        let rows = [
            ("plain look-up and change", plain),
            ("bucket, passes", nanos(|n| work.bucket(n))),
            ("bucket, refuses", nanos(|n| work.refused(n))),
            ("strict window of 60, passes and refuses", nanos(|n| work.strict(n))),
            ("tokens, money and a place, reserved and settled", nanos(|n| work.meters(n))),
        ];
        for (name, ns) in rows {
            println!("| {orgs} | {name} | {ns:.0} | {:.1} |", ns / plain);
        }
    }
}

fn nanos(work: impl Fn(u64)) -> f64 {
    let sample = || {
        let begun = Instant::now();
        (0..DECISIONS).for_each(&work);
        begun.elapsed().as_nanos() as f64 / DECISIONS as f64
    };
    (0..SAMPLES).map(|_| sample()).fold(f64::INFINITY, f64::min)
}
