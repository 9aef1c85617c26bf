//! Divides a stretch of time between the roll-ups and the rows.
//!
//! Pure. Whole days are read from the sums of days, whole hours from the sums of hours, and the
//! rest from the rows themselves, so that sums are exact for any stretch.

/// A stretch of milliseconds since 1970: from the first on, before the second.
pub(crate) type Stretch = (i64, i64);

/// The parts of a stretch; empty ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub(crate) days: Vec<Stretch>,
    pub(crate) hours: Vec<Stretch>,
    pub(crate) rows: Vec<Stretch>,
}

/// The finest sums that a question may be answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Day,
    Hour,
    Row,
}

const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

impl Pieces {
    /// Divides a stretch.
    pub(crate) fn of((from, to): Stretch, grain: Grain) -> Pieces {
        let mut pieces = Pieces::default();
        if from >= to {
            return pieces;
        }
        if grain == Grain::Row {
            pieces.rows.push((from, to));
            return pieces;
        }
        let [before, hours, after] = whole((from, to), HOUR_MS);
        pieces.rows = non_empty([before, after]);
        if grain == Grain::Hour {
            pieces.hours = non_empty([hours]);
            return pieces;
        }
        let [before, days, after] = whole(hours, DAY_MS);
        pieces.days = non_empty([days]);
        pieces.hours = non_empty([before, after]);
        pieces
    }
}

/// The part that consists of whole units, and those before and after it.
fn whole((from, to): Stretch, unit: i64) -> [Stretch; 3] {
    let begin = from.saturating_add(unit - 1).div_euclid(unit).saturating_mul(unit);
    let end = to.div_euclid(unit).saturating_mul(unit);
    if begin >= end {
        return [(from, to), (to, to), (to, to)];
    }
    [(from, begin), (begin, end), (end, to)]
}

fn non_empty<const N: usize>(stretches: [Stretch; N]) -> Vec<Stretch> {
    stretches.into_iter().filter(|(from, to)| from < to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_the_stretch() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let from = rng.i64(0..20 * DAY_MS);
            let step = [1, HOUR_MS, DAY_MS][rng.usize(..3)];
            let stretch = (from / step * step, (from + rng.i64(0..4 * DAY_MS)) / step * step);
            for grain in [Grain::Day, Grain::Hour, Grain::Row] {
                let Pieces { days, hours, rows } = Pieces::of(stretch, grain);
                assert!(days.iter().all(|(a, b)| a % DAY_MS == 0 && b % DAY_MS == 0));
                assert!(hours.iter().all(|(a, b)| a % HOUR_MS == 0 && b % HOUR_MS == 0));
                let rest: i64 = rows.iter().map(|(a, b)| b - a).sum();
                assert!(grain == Grain::Row || rest < 2 * HOUR_MS);
                let mut all = [days, hours, rows].concat();
                all.sort_unstable();
                let mut at = stretch.0;
                for (from, to) in all {
                    assert_eq!(from, at);
                    at = to;
                }
                assert_eq!(at, stretch.1.max(stretch.0));
            }
        }
        assert_eq!(Pieces::of((0, i64::MAX), Grain::Day).days.len(), 1);
    }
}
