//! The days of a time zone, as SQL that both stores understand the same way.
//!
//! Pure. A zone is a list of offsets and of the moments from which each is in force, daylight saving time included; the
//! stores add seconds and cut off the time, so that neither needs to know time zones, or could know other ones.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Changes of the offset that are followed; the last one stays in force. Centuries of daylight saving time.
const CHANGES_MAX: usize = 1_000;

/// Which day a moment is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    /// Until when (in milliseconds since 1970) which offset to UTC (in seconds) is in force.
    until: Vec<(i64, i32)>,
    /// The offset from then on.
    last: i32,
}

impl Days {
    /// The days of UTC.
    pub const UTC: Days = Days { until: Vec::new(), last: 0 };

    /// The days of `zone` for moments of `from_ms <= t < to_ms`.
    pub fn of(zone: &TimeZone, from_ms: i64, to_ms: i64) -> Days {
        let moment =
            |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX });
        let (from, to) = (moment(from_ms), moment(to_ms));
        let mut days = Days { until: Vec::new(), last: zone.to_offset(from).seconds() };
        for change in zone.following(from).take_while(|change| change.timestamp() < to).take(CHANGES_MAX) {
            let offset = change.offset().seconds();
            if offset != days.last {
                days.until.push((change.timestamp().as_millisecond(), days.last));
                days.last = offset;
            }
        }
        days
    }

    /// SQL for the day: `before` says "earlier than this millisecond", `day` "the day, so many seconds added".
    pub(super) fn sql(&self, before: impl Fn(i64) -> String, day: impl Fn(i32) -> String) -> String {
        if self.until.is_empty() {
            return day(self.last);
        }
        let steps = self.until.iter().map(|(until, offset)| format!("WHEN {} THEN {} ", before(*until), day(*offset)));
        format!("CASE {}ELSE {} END", steps.collect::<String>(), day(self.last))
    }
}
