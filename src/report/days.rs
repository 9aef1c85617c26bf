//! The days of a time zone, as SQL that both stores understand the same way.
//!
//! Pure. A zone is a list of offsets and of the moments from which each applies, daylight saving
//! time included. The stores add seconds and cut off the time of day, so they need not know time
//! zones, and cannot know different ones.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Changes of the offset that are followed (centuries of daylight saving time); the last one stays.
const CHANGES_MAX: usize = 1_000;

/// The days of a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    /// Offsets to UTC in seconds, each with the end of its time in milliseconds since 1970.
    until: Vec<(i64, i32)>,
    /// The offset from then on.
    last: i32,
}

impl Days {
    /// The days of UTC.
    pub const UTC: Days = Days { until: Vec::new(), last: 0 };

    /// The days of `zone` for moments of `from_ms <= t < to_ms`.
    pub fn of(zone: &TimeZone, from_ms: i64, to_ms: i64) -> Days {
        let moment = |ms: i64| {
            Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            })
        };
        let (from, to) = (moment(from_ms), moment(to_ms));
        let mut days = Days { until: Vec::new(), last: zone.to_offset(from).seconds() };
        for change in
            zone.following(from).take_while(|change| change.timestamp() < to).take(CHANGES_MAX)
        {
            let offset = change.offset().seconds();
            if offset != days.last {
                days.until.push((change.timestamp().as_millisecond(), days.last));
                days.last = offset;
            }
        }
        days
    }

    /// Whether hours of these days are hours of UTC.
    pub(crate) fn are_of_whole_hours(&self) -> bool {
        self.until.iter().map(|(_, offset)| *offset).chain([self.last]).all(|o| o % 3_600 == 0)
    }

    /// The offset to UTC as it ends a time.
    pub(crate) fn zone(offset: i32) -> String {
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
        match offset {
            0 => "Z".to_owned(),
            _ => format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        }
    }

    /// SQL for the day: `before` is the condition "earlier than this millisecond", `day` the day
    /// after adding that many seconds.
    pub(crate) fn sql(
        &self,
        before: impl Fn(i64) -> String,
        day: impl Fn(i32) -> String,
    ) -> String {
        if self.until.is_empty() {
            return day(self.last);
        }
        let steps = self
            .until
            .iter()
            .map(|(until, offset)| format!("WHEN {} THEN {} ", before(*until), day(*offset)));
        format!("CASE {}ELSE {} END", steps.collect::<String>(), day(self.last))
    }
}
