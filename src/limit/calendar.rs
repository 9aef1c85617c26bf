//! Days and months in UTC, for budgets: which one a moment lies in, and when the next begins.
//!
//! Pure. Source: the proleptic Gregorian calendar; days to dates after Howard Hinnant,
//! "chrono-Compatible Low-Level Date Algorithms" (2021).

use std::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// The day and the month of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Days since 1970-01-01.
    pub day: i32,
    /// Months since January of the year 0.
    pub month: i32,
    /// Until the next day begins.
    pub day_left: Duration,
    /// Until the next month begins.
    pub month_left: Duration,
}

impl Date {
    /// The date of a moment, in milliseconds since 1970.
    pub fn at(wall_ms: i64) -> Date {
        let day = i32::try_from(wall_ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX / 2);
        let (year, month, _) = civil(day);
        let next = if month == 12 { days(year + 1, 1) } else { days(year, month + 1) };
        let until = |day: i32| {
            Duration::from_millis(u64::try_from(i64::from(day) * DAY_MS - wall_ms).unwrap_or(0))
        };
        Date {
            day,
            month: year * 12 + month - 1,
            day_left: until(day + 1),
            month_left: until(next),
        }
    }

    /// The day and the month as text: `2026-11-30`, `2026-11`.
    pub fn names(self) -> (String, String) {
        let (year, month, day) = civil(self.day);
        (format!("{year:04}-{month:02}-{day:02}"), format!("{year:04}-{month:02}"))
    }

    /// When this day began, in milliseconds since 1970.
    pub fn day_start_ms(self) -> i64 {
        i64::from(self.day) * DAY_MS
    }

    /// When this month began, in milliseconds since 1970.
    pub fn month_start_ms(self) -> i64 {
        i64::from(days(self.month.div_euclid(12), self.month.rem_euclid(12) + 1)) * DAY_MS
    }
}

/// Year, month (1 to 12) and day of the month of a day since 1970.
fn civil(day: i32) -> (i32, i32, i32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i32::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Days since 1970 of the first of a month.
fn days(year: i32, month: i32) -> i32 {
    let year = year - i32::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the calendar that reports use.
        #[test]
        fn the_same_days_and_months_as_jiff(ms in 0i64..4_102_444_800_000) {
            let date = Date::at(ms);
            let zoned = jiff::Timestamp::from_millisecond(ms).expect("date").to_zoned(jiff::tz::TimeZone::UTC);
            prop_assert_eq!(date.month, i32::from(zoned.year()) * 12 + i32::from(zoned.month()) - 1);
            let day = zoned.start_of_day().expect("day").timestamp();
            prop_assert_eq!(date.day_start_ms(), day.as_millisecond());
            let month = zoned.date().first_of_month().to_zoned(jiff::tz::TimeZone::UTC).expect("month").timestamp();
            prop_assert_eq!(date.month_start_ms(), month.as_millisecond());
            let names = ["%Y-%m-%d", "%Y-%m"].map(|form| zoned.strftime(form).to_string());
            prop_assert_eq!(<[String; 2]>::from(date.names()), names);
            // The next ones begin exactly then.
            let next = Date::at(ms + i64::try_from(date.month_left.as_millis()).expect("short"));
            prop_assert_eq!((next.month, next.month_start_ms() - ms), (date.month + 1, date.month_left.as_millis() as i64));
            prop_assert_eq!(Date::at(ms + date.day_left.as_millis() as i64).day, date.day + 1);
        }
    }
}
