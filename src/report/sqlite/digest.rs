//! The digests of a line of an answer, merged, and its percentiles.
//!
//! Guarantees: a percentile is that of the nearest rank, within 1 %. Does not: ask the store (see
//! `sums`).

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::ailog::store::digest::{add, entries, entry, value};
use crate::report::query::Summary;

/// The numbers of calls in each bucket.
#[derive(Default)]
pub(crate) struct Digest {
    latencies: Vec<i64>,
    first_tokens: Vec<i64>,
}

impl Digest {
    /// Adds the two digests of a row, which stand in these columns.
    pub(crate) fn add(&mut self, row: &Row<'_>, column: usize) -> rusqlite::Result<()> {
        for (at, counts) in [&mut self.latencies, &mut self.first_tokens].into_iter().enumerate() {
            match row.get_ref(column + at)? {
                ValueRef::Integer(number) => {
                    let (bucket, n) = entry(number);
                    add(counts, bucket, n);
                }
                ValueRef::Text(text) => {
                    let text = str::from_utf8(text).unwrap_or_default();
                    entries(text).for_each(|(bucket, n)| add(counts, bucket, n));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives the percentiles to a line, if there are any, and begins anew.
    pub(crate) fn finish(&mut self, line: &mut Summary) {
        let of = |counts: &[i64], percent| percentile(counts, percent).unwrap_or(0);
        [line.p50_ms, line.p95_ms, line.p99_ms] =
            [50, 95, 99].map(|percent| of(&self.latencies, percent));
        [line.first_token_p50_ms, line.first_token_p95_ms] =
            [50, 95].map(|percent| of(&self.first_tokens, percent));
        self.latencies.clear();
        self.first_tokens.clear();
    }
}

/// A percentile by nearest rank; `None` without any value.
fn percentile(counts: &[i64], percent: i64) -> Option<u64> {
    let total: i64 = counts.iter().sum();
    let (rank, mut upto) = ((percent * total + 99) / 100, 0);
    let bucket = counts.iter().position(|count| {
        upto += count;
        upto >= rank && upto > 0
    })?;
    Some(u64::from(value(bucket as u16)))
}
