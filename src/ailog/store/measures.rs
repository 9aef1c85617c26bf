//! The numbers that the roll-ups keep: of each group of rows, the sums of these.
//!
//! Pure. Each measure is written twice, side by side: as SQL over the columns of a row, for
//! ClickHouse and for rows that a report reads itself, and as a function of a decoded row, for the
//! embedded store.
//!
//! Guarantees: counts, tokens and amounts are whole numbers, so a roll-up equals its rows exactly.
//! Does not: know what rows are grouped by (see the stores).

use crate::ailog::columns::{COLUMNS, NotARow, Value, at, decode};

/// The values of a row, in the order of the columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a>([Value<'a>; COLUMNS.len()]);

impl<'a> Values<'a> {
    /// All values unknown.
    pub(crate) const UNKNOWN: Values<'a> = Values([Value::Null; COLUMNS.len()]);

    /// The values of an encoded row.
    ///
    /// # Errors
    /// The bytes are not a row of today's columns.
    pub(crate) fn decode(row: &'a [u8]) -> Result<Values<'a>, NotARow> {
        Ok(Values(decode(row)?))
    }

    /// The value of the column at this place.
    pub(crate) fn get(&self, column: usize) -> Value<'a> {
        self.0[column]
    }

    /// Sets the value of the column at this place.
    pub(crate) fn set(&mut self, column: usize, value: Value<'a>) {
        self.0[column] = value;
    }

    /// A number; zero if it is absent.
    pub(crate) fn number(&self, column: usize) -> i64 {
        match self.0[column] {
            Value::Integer(n) => i64::try_from(n).unwrap_or(i64::MAX),
            Value::NanoUsd(nano) => nano,
            Value::Millis(ms) => ms,
            _ => 0,
        }
    }

    /// A text; empty if it is absent.
    pub(crate) fn text(&self, column: usize) -> &'a [u8] {
        match self.0[column] {
            Value::Text(text) => text,
            _ => b"",
        }
    }

    fn is_null(&self, column: usize) -> bool {
        self.0[column] == Value::Null
    }

    /// The calls that the row stands for if the condition holds.
    fn calls_if(&self, condition: bool) -> i64 {
        if condition { self.number(CALLS) } else { 0 }
    }

    fn is_unpriced(&self) -> bool {
        self.is_null(COST) && self.text(USAGE_SOURCE) != b"none"
    }
}

const CALLS: usize = at("calls");
const COST: usize = at("cost_usd");
const USAGE_SOURCE: usize = at("usage_source");
const ATTEMPTS: usize = at("attempts");
const OUTCOME: usize = at("outcome");
const INPUT: usize = at("input_tokens");
const OUTPUT: usize = at("output_tokens");
const CONFIDENCE: usize = at("confidence");
pub(crate) const LATENCY: usize = at("latency_ms");
pub(crate) const FIRST_TOKEN: usize = at("first_token_ms");

/// A number of a row, and of a group the sum of those of its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Its name in the roll-ups. Amounts end in `_usd`, and are stored as integers of 10⁻⁹ USD in
    /// SQLite.
    pub(crate) name: &'static str,
    /// Its value of a row, as SQL of both stores; `$` stands before the name of a column.
    pub(crate) sql: &'static str,
    /// The same of a decoded row.
    pub(crate) of: fn(&Values<'_>) -> i64,
}

impl Measure {
    /// Whether it is an amount of money.
    pub(crate) fn is_amount(&self) -> bool {
        self.name.ends_with("_usd")
    }

    /// Its value of a row of the table with this alias.
    pub(crate) fn of_row(&self, alias: &str) -> String {
        self.sql.replace('$', &format!("{alias}."))
    }
}

/// The columns that are summed up as they are.
macro_rules! sum_of {
    ($name:literal) => {
        Measure {
            name: $name,
            sql: concat!("coalesce($", $name, ", 0)"),
            of: |row| {
                const COLUMN: usize = at($name);
                row.number(COLUMN)
            },
        }
    };
}

/// All of them, in the order of their columns.
pub(crate) const MEASURES: [Measure; 25] = [
    Measure { name: "row_count", sql: "1", of: |_| 1 },
    Measure { name: "calls", sql: "$calls", of: |row| row.number(CALLS) },
    Measure {
        name: "retried_calls",
        sql: "CASE WHEN $attempts > 1 THEN $calls ELSE 0 END",
        of: |row| row.calls_if(row.number(ATTEMPTS) > 1),
    },
    Measure {
        name: "saved_calls",
        sql: "CASE WHEN $attempts > 1 AND $outcome = 'ok' THEN $calls ELSE 0 END",
        of: |row| row.calls_if(row.number(ATTEMPTS) > 1 && row.text(OUTCOME) == b"ok"),
    },
    Measure {
        name: "unpriced_calls",
        sql: "CASE WHEN $cost_usd IS NULL AND $usage_source <> 'none' THEN $calls ELSE 0 END",
        of: |row| row.calls_if(row.is_unpriced()),
    },
    Measure {
        name: "unpriced_tokens",
        sql: "CASE WHEN $cost_usd IS NULL AND $usage_source <> 'none' \
              THEN $input_tokens + $output_tokens ELSE 0 END",
        of: |row| {
            if row.is_unpriced() { row.number(INPUT) + row.number(OUTPUT) } else { 0 }
        },
    },
    sum_of!("input_tokens"),
    sum_of!("cached_tokens"),
    sum_of!("cache_write_tokens"),
    sum_of!("output_tokens"),
    sum_of!("reasoning_tokens"),
    sum_of!("cost_usd"),
    sum_of!("input_cost_usd"),
    sum_of!("cached_cost_usd"),
    sum_of!("cache_write_cost_usd"),
    sum_of!("output_cost_usd"),
    sum_of!("saved_by_cache_usd"),
    Measure {
        name: "redactions",
        sql: "$redacted_emails + $redacted_phones + $redacted_other",
        of: |row| {
            const KINDS: [usize; 3] =
                [at("redacted_emails"), at("redacted_phones"), at("redacted_other")];
            KINDS.iter().map(|kind| row.number(*kind)).sum()
        },
    },
    sum_of!("attachments_dropped"),
    Measure {
        name: "confidences",
        sql: "CASE WHEN $confidence IS NULL THEN 0 ELSE 1 END",
        of: |row| i64::from(!row.is_null(CONFIDENCE)),
    },
    Measure {
        name: "confidence_millionths",
        sql: "coalesce(round($confidence * 1000000), 0)",
        of: |row| match row.get(CONFIDENCE) {
            Value::Float(confidence) => (confidence * 1e6).round() as i64,
            _ => 0,
        },
    },
    sum_of!("latency_ms"),
    sum_of!("gateway_us"),
    sum_of!("first_token_ms"),
    Measure {
        name: "first_tokens",
        sql: "CASE WHEN $first_token_ms > 0 THEN 1 ELSE 0 END",
        of: |row| i64::from(row.number(FIRST_TOKEN) > 0),
    },
];

/// The measures of a group of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums(pub(crate) [i64; MEASURES.len()]);

impl Sums {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: &Values<'_>) {
        for (sum, measure) in self.0.iter_mut().zip(&MEASURES) {
            *sum = sum.saturating_add((measure.of)(row));
        }
    }

    /// Adds another group.
    pub(crate) fn merge(&mut self, other: &Sums) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }

    /// The difference to a group of before.
    pub(crate) fn minus(&self, before: &Sums) -> Sums {
        let mut difference = *self;
        for (sum, less) in difference.0.iter_mut().zip(before.0) {
            *sum = sum.saturating_sub(less);
        }
        difference
    }
}
