//! The digest of a latency: how many calls fell into each bucket of a logarithmic histogram.
//!
//! Pure. Both stores keep a number for each bucket, so digests are merged by adding, and both give
//! the same percentiles. Values below [`EXACT`] have a bucket each; above it, each power of two is
//! divided into 64 buckets. In the embedded store a digest is a text of entries with commas in
//! between, which is a JSON array without its brackets. An entry is [`ENTRY`] times the number of
//! calls, plus the bucket. Digests are merged by joining their texts; a bucket may stand in several
//! entries.
//!
//! Guarantees: the value of a bucket differs by at most 1/128 from every value in it; a text that
//! [`append`] makes has at most `3 * ENTRY + 2 * TAIL` entries. Does not: store anything.

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

/// An entry of a text is the number of calls times this, plus the bucket.
pub(crate) const ENTRY: i64 = 1 << ENTRY_BITS;
/// The bits of an entry that are the bucket.
pub(crate) const ENTRY_BITS: u32 = 11;
/// So many entries may stand behind those that are merged.
const TAIL: usize = 64;
const _: () = assert!((bucket(u32::MAX) as i64) < ENTRY);

/// Appends a digest of values, given as their buckets; sorts them.
pub(crate) fn write(buckets: &mut [u16], text: &mut String) {
    buckets.sort_unstable();
    for same in buckets.chunk_by(|a, b| a == b) {
        push(text, same[0], same.len() as i64);
    }
}

/// Buckets and numbers of calls of a text. A bucket may come several times, also with no calls.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = (u16, i64)> {
    text.split(',').filter_map(|entry| entry.parse().ok()).map(entry)
}

/// Bucket and number of calls of an entry.
pub(crate) const fn entry(entry: i64) -> (u16, i64) {
    ((entry & (ENTRY - 1)) as u16, entry >> ENTRY_BITS)
}

/// Adds the entries of `more`. Entries of one bucket are merged when more stand behind the merged
/// ones than these are, and [`TAIL`]; the number of the merged ones then stands before them, as an
/// entry without calls.
pub(crate) fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(',');
    }
    text.push_str(more);
    let count = memchr::memchr_iter(b',', text.as_bytes()).count() + 1;
    let first = text.split(',').next().and_then(|first| first.parse().ok()).unwrap_or(ENTRY);
    let merged = if first < ENTRY { first as usize } else { 0 };
    if count <= 2 * merged + TAIL {
        return;
    }
    let mut counts = Vec::new();
    for (bucket, n) in entries(text) {
        add(&mut counts, bucket, n);
    }
    let distinct = counts.iter().filter(|n| **n > 0).count();
    text.clear();
    push(text, distinct as u16, 0);
    for (bucket, n) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
        push(text, bucket as u16, n);
    }
}

/// Adds to a number of calls; `counts` has those of each bucket up to the largest.
pub(crate) fn add(counts: &mut Vec<i64>, bucket: u16, n: i64) {
    let place = usize::from(bucket);
    if place >= counts.len() {
        counts.resize(place + 1, 0);
    }
    counts[place] = counts[place].saturating_add(n);
}

fn push(text: &mut String, bucket: u16, n: i64) {
    if !text.is_empty() {
        text.push(',');
    }
    // 53 bits of calls in one bucket are more than there will be.
    let entry = (n.clamp(0, i64::MAX >> ENTRY_BITS) << ENTRY_BITS) | i64::from(bucket);
    if let ten_thousands @ 1.. = entry / 10_000 {
        let _ = std::fmt::Write::write_fmt(text, format_args!("{ten_thousands}"));
    }
    // Nearly all entries have four digits: those of one to four calls.
    let first = [1_000, 100, 10].iter().position(|power| entry >= *power).unwrap_or(3);
    [1_000, 100, 10, 1][first..]
        .iter()
        .for_each(|power| text.push(char::from(b'0' + (entry / power % 10) as u8)));
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

    #[test]
    fn joined_digests_have_the_calls_of_all() {
        let mut rng = fastrand::Rng::with_seed(9);
        for spread in [1, 40, 1_700] {
            let (mut text, mut expected, mut longest) = (String::new(), Vec::new(), 0);
            for _ in 0..4_000 {
                let mut buckets: Vec<u16> =
                    (0..rng.usize(0..4)).map(|_| rng.u16(0..spread)).collect();
                buckets.iter().for_each(|bucket| add(&mut expected, *bucket, 1));
                let mut more = String::new();
                write(&mut buckets, &mut more);
                append(&mut text, &more);
                longest = longest.max(text.split(',').count());
            }
            let mut found = Vec::new();
            entries(&text).for_each(|(bucket, n)| add(&mut found, bucket, n));
            assert_eq!(found[..expected.len()], expected);
            assert!(found[expected.len()..].iter().all(|n| *n == 0));
            let is_bounded = (TAIL..=2 * usize::from(spread) + TAIL + 4).contains(&longest);
            assert!(is_bounded, "{longest} entries of {spread} buckets");
            let json: Vec<i64> = serde_json::from_str(&format!("[{text}]")).expect("an array");
            assert_eq!(
                json.into_iter().map(entry).collect::<Vec<_>>(),
                entries(&text).collect::<Vec<_>>()
            );
        }
    }
}
