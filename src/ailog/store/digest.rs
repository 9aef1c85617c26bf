//! The digest of a latency: how many calls fell into each bucket of a logarithmic histogram.
//!
//! Pure. Both stores keep a number for each bucket, so digests are merged by adding, and both give
//! the same percentiles. Values below [`EXACT`] have a bucket each; above it, each power of two is
//! divided into 64 buckets.
//!
//! Guarantees: the value of a bucket differs by at most 1/128 from every value in it. Does not:
//! store anything.

/// Values below this have a bucket of their own.
const EXACT: u32 = 2 * PARTS;
/// Buckets of each power of two.
const PARTS: u32 = 64;

/// The bucket of a value in milliseconds.
pub(crate) const fn bucket(value: u32) -> u16 {
    if value < EXACT {
        return value as u16;
    }
    let shift = value.ilog2() - PARTS.ilog2();
    (shift * PARTS + (value >> shift)) as u16
}

/// The value that stands for a bucket: its middle.
pub(crate) const fn value(bucket: u16) -> u32 {
    let bucket = bucket as u32;
    if bucket < EXACT {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    ((bucket % PARTS + PARTS) << shift) + (1 << shift) / 2
}

/// [`bucket`] as SQL; `divided` is the expression of the value divided by a whole number.
pub(crate) fn bucket_sql(value: &str, divided: impl Fn(u64) -> String) -> String {
    let first = PARTS.ilog2() + 1;
    let steps = (first..u32::BITS).map(|power| {
        let (end, shift) = (1_u64 << (power + 1), power - PARTS.ilog2());
        format!("WHEN {value} < {end} THEN {} + {} ", shift * PARTS, divided(1 << shift))
    });
    format!("CASE WHEN {value} < {EXACT} THEN {value} {}END", steps.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_for_its_values_within_a_hundredth() {
        assert!((0..200_000).map(bucket).is_sorted());
        let near_powers = (7..32).flat_map(|power| {
            let power = 1_u32 << power;
            [power - 1, power, power + 1, power / 3 * 4, power / 5 * 7]
        });
        for number in (0..200_000).chain(near_powers).chain([u32::MAX]) {
            let stands = f64::from(value(bucket(number)));
            let off = (stands - f64::from(number)).abs() / f64::from(number.max(1));
            assert!(off <= 1.0 / 128.0, "{number}: {stands}");
        }
    }

    #[test]
    fn sql_and_program_agree() {
        let database = rusqlite::Connection::open_in_memory().expect("database");
        let sql = format!("SELECT {}", bucket_sql("?1", |by| format!("?1 / {by}")));
        let mut statement = database.prepare(&sql).expect("sql");
        let powers = (1..32).flat_map(|power| [(1_u32 << power) - 1, 1 << power, (1 << power) + 1]);
        for number in powers.chain([0, 200, 12_345, u32::MAX]) {
            let found: u16 = statement.query_row([number], |row| row.get(0)).expect("a bucket");
            assert_eq!(found, bucket(number), "{number}");
        }
    }
}
