//! Sums of lines, gathered by their keys in memory: quicker than `GROUP BY`, for which SQLite sorts
//! all that it reads.
//!
//! Guarantees: lines are in the order that SQLite would give them. Does not: bound their number (see
//! [`GROUPED_LINES_MAX`], which the reader holds).

use std::cmp::Reverse;
use std::collections::HashMap;

use rusqlite::Row;

use crate::report::query::{Part, Summary};

/// So many lines are gathered in memory, some 300 bytes each; of more, SQLite makes the sums. Tests
/// have more than theirs.
pub(crate) const GROUPED_LINES_MAX: usize = if cfg!(test) { 300 } else { 10_000 };
/// The figures of a line, in their order.
pub(crate) const SUMMED: [&str; 15] = [
    "calls",
    "errors",
    "rate_limited",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced_calls",
    "redactions",
    "attachments_dropped",
    "retried_calls",
    "saved_calls",
    "saved_by_cache_usd",
    "gateway_us",
    "row_count",
];
/// Those of them that are no measure of a roll-up: calls with some outcomes.
pub(crate) const OF_OUTCOME: [&str; 2] = ["errors", "rate_limited"];
/// The figures of a line, as numbers.
pub(crate) type Figures = [i64; SUMMED.len()];

/// The figures of a row, behind so many keys.
pub(crate) fn figures(row: &Row<'_>, keys: usize) -> rusqlite::Result<Figures> {
    let mut figures = [0; SUMMED.len()];
    for (at, figure) in figures.iter_mut().enumerate() {
        *figure = row.get::<_, Option<i64>>(keys + at)?.unwrap_or(0);
    }
    Ok(figures)
}

/// A line of an answer.
pub(crate) fn line_of(key: Vec<String>, figures: &Figures) -> Summary {
    let count = |at: usize| u64::try_from(figures[at]).unwrap_or(0);
    Summary {
        key,
        calls: count(0),
        errors: count(1),
        rate_limited: count(2),
        input_tokens: count(3),
        cached_tokens: count(4),
        output_tokens: count(5),
        cost_nano_usd: figures[6],
        unpriced: count(7),
        redactions: count(8),
        attachments_dropped: count(9),
        retried_calls: count(10),
        saved_calls: count(11),
        saved_by_cache_nano_usd: figures[12],
        gateway_us: count(13),
        row_count: count(14),
        ..Summary::default()
    }
}

/// The places of lines by their keys.
#[derive(Default)]
pub(crate) struct Places {
    places: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
}

impl Places {
    /// Those of these lines.
    pub(crate) fn of(lines: &[Summary]) -> Places {
        let mut places = Places::default();
        for (place, line) in lines.iter().enumerate() {
            places.key.clear();
            line.key.iter().for_each(|part| places.write(part));
            places.places.insert(places.key.clone(), place);
        }
        places
    }

    /// Each part with its length, so that no two keys are written the same way.
    fn write(&mut self, part: &str) {
        self.key.extend_from_slice(&part.len().to_le_bytes());
        self.key.extend_from_slice(part.as_bytes());
    }

    /// The place of the line whose keys a row begins with, if there is one.
    pub(crate) fn find(&mut self, row: &Row<'_>, keys: usize) -> rusqlite::Result<Option<usize>> {
        self.key.clear();
        for at in 0..keys {
            self.write(row.get_ref(at)?.as_str().unwrap_or_default());
        }
        Ok(self.places.get(&self.key).copied())
    }
}

/// Lines that are gathered.
pub(crate) struct Grouped {
    keys: usize,
    places: Places,
    lines: Vec<(Vec<String>, Figures)>,
}

impl Grouped {
    /// No line; each will have so many keys.
    pub(crate) fn new(keys: usize) -> Grouped {
        Grouped { keys, places: Places::default(), lines: Vec::new() }
    }

    /// The number of lines.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Adds a row to the line that has its keys.
    pub(crate) fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let figures = figures(row, self.keys)?;
        if let Some(place) = self.places.find(row, self.keys)? {
            let sums = &mut self.lines[place].1;
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
            return Ok(());
        }
        self.places.places.insert(self.places.key.clone(), self.lines.len());
        let key = (0..self.keys).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?;
        self.lines.push((key, figures));
        Ok(())
    }

    /// The wanted lines that have calls.
    pub(crate) fn part(mut self, wanted: &Part) -> Vec<Summary> {
        let named = |name: &str| SUMMED.iter().position(|known| *known == name);
        let largest = wanted.largest.and_then(|figure| named(figure.0));
        let figure = |figures: &Figures| Reverse(largest.map(|at| figures[at]));
        self.lines.sort_unstable_by(|(key, figures), (other, others)| {
            figure(figures).cmp(&figure(others)).then_with(|| key.cmp(other))
        });
        let lines = self.lines.into_iter().skip(wanted.skip).take(wanted.most);
        let lines = lines.map(|(key, figures)| line_of(key, &figures));
        lines.filter(|line| line.calls > 0).collect()
    }
}
