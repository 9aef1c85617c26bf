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

/// Times of rows that come one after the other: the calendar is asked once an hour.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Hours since 1970, and their beginning; `None` before the first time.
    hour: Option<(i64, [u8; 24])>,
}

impl Times {
    /// The same as [`iso_millis`].
    pub(crate) fn iso(&mut self, ms: i64) -> [u8; 24] {
        let number = ms.div_euclid(HOUR_MS);
        let begin = match self.hour {
            Some((known, text)) if known == number => text,
            // Where the calendar ends, the text is not that of the hour.
            _ if !(0..LAST_HOUR_MS).contains(&ms) => return iso_millis(ms),
            _ => {
                let text = iso_millis(number * HOUR_MS);
                self.hour = Some((number, text));
                text
            }
        };
        let (mut out, rest) = (begin, ms.rem_euclid(HOUR_MS) as u32);
        let (minute, second, milli) = (rest / 60_000, rest / 1_000 % 60, rest % 1_000);
        for (at, n) in [(14, minute), (17, second), (20, milli / 10)] {
            out[at] = b'0' + (n / 10) as u8;
            out[at + 1] = b'0' + (n % 10) as u8;
        }
        out[22] = b'0' + (milli % 10) as u8;
        out
    }
}

const HOUR_MS: i64 = 3_600_000;
/// The year 9999 begins.
const LAST_HOUR_MS: i64 = 253_370_764_800_000;

/// [`iso_millis`] as text.
pub(crate) fn iso(ms: i64) -> String {
    String::from_utf8_lossy(&iso_millis(ms)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_one_after_the_other_are_the_same() {
        let (mut rng, mut times) = (fastrand::Rng::with_seed(4), Times::default());
        for span in [1_000, 4_000_000, 90_000_000, 40_000_000_000, 260_000_000_000_000] {
            for _ in 0..5_000 {
                let ms = 1_795_428_000_000 + rng.i64(-span..span);
                assert_eq!(times.iso(ms), iso_millis(ms), "{ms}");
            }
        }
        for ms in [i64::MIN, -1, 0, HOUR_MS - 1, HOUR_MS, LAST_HOUR_MS, i64::MAX] {
            assert_eq!(times.iso(ms), iso_millis(ms), "{ms}");
        }
    }

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
