//! `2026-11-23T10:00:00.000Z`: the form of `created_at` in the embedded store and in JSON.
//!
//! Pure. The calendar is jiff's; the digits are written here, because this is done for every row.

use jiff::Timestamp;
use jiff::tz::Offset;

/// The form as bytes. A time before 1970 counts as 1970, one after the last that jiff knows (in
/// December 9999) as that.
pub(crate) fn iso_millis(ms: i64) -> [u8; 24] {
    let time = Timestamp::from_millisecond(ms.max(0)).unwrap_or(Timestamp::MAX);
    let time = Offset::UTC.to_datetime(time);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let fields: [(usize, usize, i16); 7] = [
        (0, 4, time.year()),
        (5, 2, time.month().into()),
        (8, 2, time.day().into()),
        (11, 2, time.hour().into()),
        (14, 2, time.minute().into()),
        (17, 2, time.second().into()),
        (20, 3, time.millisecond()),
    ];
    for (at, digits, mut n) in fields {
        for digit in out[at..at + digits].iter_mut().rev() {
            *digit = b'0' + (n % 10) as u8;
            n /= 10;
        }
    }
    out
}

/// [`iso_millis`] as text.
pub(crate) fn iso(ms: i64) -> String {
    String::from_utf8_lossy(&iso_millis(ms)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_iso_8601() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_428_000_000, "2026-11-23T10:00:00.000Z"),
            (-1, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(iso(ms), text);
        }
        for days in 0..60_000 {
            let date = Timestamp::from_second(days * 86_400 + 3_661).expect("time").to_string();
            let expected = format!("{}.000Z", date.trim_end_matches('Z'));
            assert_eq!(iso(days * 86_400_000 + 3_661_000), expected);
        }
    }
}
