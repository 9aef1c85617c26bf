//! The parts of a report besides its lines: the period before, the days, the largest changes of
//! cost, and the cost of the month.
//!
//! Pure but for the sums that it asks for. Guarantees: a cost that is not known is not told as
//! zero; a forecast is made for the month that still goes on, and only where something is known of
//! it. Does not: write any format.

use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::failure::Failure;
use crate::report::{Dim, Summary};

/// Changes that are told.
const MOVERS_MAX: usize = 5;
/// Complete days whose mean cost the forecast takes for each day to come.
const FORECAST_DAYS: i64 = 7;
/// The steps of a sparkline, one cell high.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A sparkline is no wider; days are added up to fit.
const SPARKS_MAX: usize = 60;

/// The sums of the calls of days, both included, by dimensions.
pub(crate) type Sums<'s> = dyn Fn(Date, Date, &[Dim]) -> Result<Vec<Summary>, Failure> + 's;

/// The days of a report, both included, and the present day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    pub from: Date,
    pub to: Date,
    pub today: Date,
}

/// One value of a dimension, and its cost in both periods in 10⁻⁹ USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mover {
    pub name: String,
    pub now: i64,
    pub before: i64,
}

impl Mover {
    /// The change of its cost.
    pub(crate) fn change(&self) -> i64 {
        self.now - self.before
    }
}

/// The cost of a month in 10⁻⁹ USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forecast {
    pub so_far: i64,
    pub expected: i64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Overview {
    pub period: Period,
    pub all: Summary,
    /// As many days before the period.
    pub former: Summary,
    /// Every day of the period.
    pub days: Vec<(Date, Summary)>,
    /// The dimension whose values have changed, and those that changed most, the largest change
    /// first.
    pub movers: Option<(Dim, Vec<Mover>)>,
    pub forecast: Option<Forecast>,
}

impl Overview {
    /// Reads the sums of a period whose report is by `by`.
    ///
    /// # Errors
    /// The store cannot be read, or the days are beyond the calendar.
    pub(crate) fn read(sums: &Sums<'_>, period: Period, by: &[Dim]) -> Result<Overview, Failure> {
        let Period { from, to, .. } = period;
        let count = i64::from(from.until(to)?.get_days()) + 1;
        let (before_from, before_to) = (from.checked_sub(count.days())?, from.yesterday()?);
        let one = |lines: Vec<Summary>| lines.into_iter().next().unwrap_or_default();
        let movers = match by.iter().find(|dim| !matches!(dim, Dim::Day | Dim::Hour)) {
            None => None,
            Some(dim) => {
                let now = sums(from, to, std::slice::from_ref(dim))?;
                let before = sums(before_from, before_to, std::slice::from_ref(dim))?;
                Some((dim.clone(), movers(now, before)))
            }
        };
        Ok(Overview {
            period,
            all: one(sums(from, to, &[])?),
            former: one(sums(before_from, before_to, &[])?),
            days: every_day(from, to, sums(from, to, &[Dim::Day])?)?,
            movers,
            forecast: if to == period.today { forecast(sums, period.today)? } else { None },
        })
    }

    /// The number of days.
    pub(crate) fn count(&self) -> usize {
        self.days.len()
    }

    /// The period before: `the day before`, `the 7 days before`.
    pub(crate) fn before(&self) -> String {
        match self.count() {
            1 => "the day before".to_owned(),
            count => format!("the {count} days before"),
        }
    }

    /// When something was in it: `the day before`, `in the 7 days before`.
    pub(crate) fn in_before(&self) -> String {
        if self.count() == 1 { self.before() } else { format!("in {}", self.before()) }
    }
}

/// The days of a period, also those without a call.
fn every_day(from: Date, to: Date, lines: Vec<Summary>) -> Result<Vec<(Date, Summary)>, Failure> {
    let (mut days, mut day) = (Vec::new(), from);
    let mut lines = lines.into_iter().peekable();
    loop {
        let name = day.to_string();
        let line = lines.next_if(|line| line.key.first() == Some(&name)).unwrap_or_default();
        days.push((day, line));
        if day >= to {
            return Ok(days);
        }
        day = day.tomorrow()?;
    }
}

/// The values with the largest changes.
fn movers(now: Vec<Summary>, before: Vec<Summary>) -> Vec<Mover> {
    let name = |line: &Summary| line.key.first().cloned().unwrap_or_default();
    let mut before: std::collections::HashMap<String, i64> =
        before.iter().map(|line| (name(line), line.cost_nano_usd)).collect();
    let mut movers: Vec<Mover> = now
        .iter()
        .map(|line| {
            let (name, now) = (name(line), line.cost_nano_usd);
            let before = before.remove(&name).unwrap_or_default();
            Mover { name, now, before }
        })
        .collect();
    movers.extend(before.into_iter().map(|(name, before)| Mover { name, now: 0, before }));
    movers.retain(|mover| mover.change() != 0);
    movers
        .sort_by(|a, b| b.change().abs().cmp(&a.change().abs()).then_with(|| a.name.cmp(&b.name)));
    movers.truncate(MOVERS_MAX);
    movers
}

/// The cost of this month if the days to come are like the last complete ones; the rest of today is
/// like theirs, too.
fn forecast(sums: &Sums<'_>, today: Date) -> Result<Option<Forecast>, Failure> {
    let cost = |from, to| -> Result<i64, Failure> {
        Ok(sums(from, to, &[])?.first().map_or(0, |line| line.cost_nano_usd))
    };
    let so_far = cost(today.first_of_month(), today)?;
    let of_today = cost(today, today)?;
    let last = cost(today.checked_sub(FORECAST_DAYS.days())?, today.yesterday()?)?;
    if last == 0 {
        return Ok(None);
    }
    let mean = last / FORECAST_DAYS;
    let to_come = i64::from(today.days_in_month()) - i64::from(today.day());
    let rest_of_today = (mean - of_today).max(0);
    let expected =
        so_far.saturating_add(rest_of_today).saturating_add(mean.saturating_mul(to_come));
    Ok(Some(Forecast { so_far, expected }))
}

/// The change to the period before in whole percent, rounded; nothing if there was nothing before.
pub(crate) fn percent(now: i64, before: i64) -> Option<i128> {
    let (now, before) = (i128::from(now), i128::from(before));
    (before > 0).then(|| ((now - before) * 200 / before + if now < before { -1 } else { 1 }) / 2)
}

/// One character for each figure, or for the sum of neighbours where there are many.
pub(crate) fn sparkline(figures: &[u64]) -> String {
    let width = figures.len().div_ceil(SPARKS_MAX).max(1);
    let sums: Vec<u128> =
        figures.chunks(width).map(|part| part.iter().map(|n| u128::from(*n)).sum()).collect();
    let most = sums.iter().copied().max().unwrap_or_default().max(1);
    let step = |sum: u128| {
        // Something is more than nothing.
        let at = usize::try_from((sum * 7).div_ceil(most)).unwrap_or_default();
        STEPS[at.min(STEPS.len() - 1)]
    };
    sums.into_iter().map(step).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().expect("a day")
    }

    fn line(key: &[&str], calls: u64, nano: i64) -> Summary {
        Summary {
            key: key.iter().map(|k| (*k).to_owned()).collect(),
            calls,
            cost_nano_usd: nano,
            ..Summary::default()
        }
    }

    /// An organisation's calls: a day, its name, calls and cost.
    type Call = (&'static str, &'static str, u64, i64);

    /// Sums of these calls, as a store gives them.
    pub(crate) fn sums_of(
        calls: &'static [Call],
    ) -> impl Fn(Date, Date, &[Dim]) -> Result<Vec<Summary>, Failure> {
        move |from, to, by| {
            let mut sums = std::collections::BTreeMap::<Vec<&str>, (u64, i64)>::new();
            for (date, org, count, nano) in calls {
                if !(from..=to).contains(&day(date)) {
                    continue;
                }
                let key = by.iter().map(|dim| if *dim == Dim::Day { *date } else { *org });
                let sum = sums.entry(key.collect()).or_default();
                *sum = (sum.0 + count, sum.1 + nano);
            }
            Ok(sums.into_iter().map(|(key, (calls, nano))| line(&key, calls, nano)).collect())
        }
    }

    pub(crate) const CALLS: &[Call] = &[
        ("2026-11-16", "acme", 9, 900),
        ("2026-11-18", "acme", 10, 7_000),
        ("2026-11-20", "globex", 5, 700),
        ("2026-11-23", "acme", 2, 300),
        ("2026-11-23", "new", 1, 40),
    ];

    pub(crate) fn overview(from: &str, to: &str, today: &str) -> Overview {
        let period = Period { from: day(from), to: day(to), today: day(today) };
        Overview::read(&sums_of(CALLS), period, &[Dim::Day, Dim::Org]).expect("sums")
    }

    #[test]
    fn the_period_before_is_as_long() {
        let seen = overview("2026-11-20", "2026-11-23", "2026-11-23");
        assert_eq!((seen.all.calls, seen.all.cost_nano_usd), (8, 1_040));
        assert_eq!((seen.former.calls, seen.former.cost_nano_usd), (19, 7_900));
        let days: Vec<(String, u64)> =
            seen.days.iter().map(|(day, line)| (day.to_string(), line.calls)).collect();
        assert_eq!(
            days.iter().map(|(day, calls)| (day.as_str(), *calls)).collect::<Vec<_>>(),
            [("2026-11-20", 5), ("2026-11-21", 0), ("2026-11-22", 0), ("2026-11-23", 3)]
        );
        assert_eq!(seen.before(), "the 4 days before");
        assert_eq!(overview("2026-11-23", "2026-11-23", "2026-11-23").before(), "the day before");
    }

    #[test]
    fn the_largest_changes_come_first_whichever_way_they_go() {
        let seen = overview("2026-11-20", "2026-11-23", "2026-11-23");
        let (dim, movers) = seen.movers.expect("changes");
        let told: Vec<_> = movers.iter().map(|m| (m.name.as_str(), m.now, m.before)).collect();
        assert_eq!(dim, Dim::Org);
        assert_eq!(told, [("acme", 300, 7_900), ("globex", 700, 0), ("new", 40, 0)]);
        let period = Period { today: day("2026-11-23"), ..seen.period };
        let by_day = Overview::read(&sums_of(CALLS), period, &[Dim::Day]).expect("sums");
        assert!(by_day.movers.is_none());
    }

    #[test]
    fn a_month_is_expected_to_go_on_as_in_its_last_complete_days() {
        // 8,600 in the seven days before the 23rd, which is 1,228 a day; seven days to come, and
        // the rest of today.
        let seen = overview("2026-11-17", "2026-11-23", "2026-11-23").forecast.expect("a forecast");
        let so_far = 900 + 7_000 + 700 + 340;
        assert_eq!(seen.so_far, so_far);
        assert_eq!(seen.expected, so_far + (1_228 - 340) + 7 * 1_228);
        assert!(overview("2026-11-16", "2026-11-20", "2026-11-23").forecast.is_none());
        assert!(overview("2026-12-24", "2026-12-24", "2026-12-24").forecast.is_none());
    }

    #[test]
    fn changes_are_rounded() {
        for (now, before, expected) in [
            (110, 100, Some(10)),
            (90, 100, Some(-10)),
            (100, 100, Some(0)),
            (2, 3, Some(-33)),
            (1_005, 1_000, Some(1)),
            (5, 0, None),
            (i64::MAX, 1, Some((i128::from(i64::MAX) - 1) * 100)),
        ] {
            assert_eq!(percent(now, before), expected, "{now} {before}");
        }
    }

    #[test]
    fn a_sparkline_tells_something_from_nothing() {
        assert_eq!(sparkline(&[0, 1, 50, 100]), "▁▂▅█");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[u64::MAX, 0]), "█▁");
        assert_eq!(sparkline(&vec![1; 366]).chars().count(), 53);
    }
}
