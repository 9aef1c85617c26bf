//! A batch, divided so that no insert has rows of too many partitions.
//!
//! Pure.

use std::collections::BTreeSet;

use crate::ailog::columns::{COLUMNS, Decoder, at, created_at_ms};
use crate::ailog::store::sqlite::layout::{self, Home};
use crate::ailog::wal::reader::Batch;

/// The rows of a batch, in the order of their columns.
pub(crate) struct Divided {
    /// Without the captured texts.
    pub(crate) rows: Vec<u8>,
    /// The captured texts of the rows that have any.
    pub(crate) captures: Vec<u8>,
    /// Different days of them: captured texts have a partition for each.
    pub(crate) days: usize,
}

/// Divides a batch between the two tables, without the rows of the months in `stored`: the division
/// of a former table has taken them over with their texts.
pub(crate) fn divide(batch: &Batch, stored: &BTreeSet<Month>) -> Divided {
    let mut rows = Vec::with_capacity(batch.payload.len());
    let (mut captures, mut texts, mut days) = (Vec::new(), Vec::new(), BTreeSet::new());
    for index in 0..batch.rows.len() {
        if !stored.is_empty() && stored.contains(&month(batch.row(index))) {
            continue;
        }
        days.insert(created_at_ms(batch.row(index)).map(|ms| ms.div_euclid(DAY_MS)));
        let mut decoder = Decoder::new(batch.row(index));
        let (mut key, mut has_text) = ([&[][..]; 2], false);
        texts.clear();
        for (place, column) in COLUMNS.iter().enumerate() {
            // The log's reader has checked the row.
            let value = decoder.raw(column.of).unwrap_or(column.of.unknown());
            if layout::home(column) == Home::Capture {
                has_text |= value != column.of.unknown();
                texts.extend_from_slice(value);
                continue;
            }
            match place {
                ID => key[0] = value,
                CREATED_AT => key[1] = value,
                _ => {}
            }
            rows.extend_from_slice(value);
        }
        if has_text {
            key.iter().for_each(|value| captures.extend_from_slice(value));
            captures.extend_from_slice(&texts);
        }
    }
    Divided { rows, captures, days: days.len() }
}

/// A partition of the rows: year and month.
pub(crate) type Month = (i16, i8);

/// The month of an encoded row.
pub(crate) fn month(row: &[u8]) -> Month {
    let at = jiff::Timestamp::from_millisecond(created_at_ms(row).unwrap_or(0)).unwrap_or_default();
    let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    (day.year(), day.month())
}

pub(crate) const ID: usize = at("id");
const CREATED_AT: usize = at("created_at");
const DAY_MS: i64 = 86_400_000;
/// Partitions of one insert that a server takes without being asked for more.
pub(crate) const PARTITIONS_MAX: usize = 50;
