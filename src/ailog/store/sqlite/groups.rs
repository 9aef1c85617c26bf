//! The names that many rows share, by number.
//!
//! Guarantees: a number is used only after the transaction that gave it has ended well; see
//! [`Groups::forget`]. Does not: delete numbers that no row has any more (see `retention`).
//!
//! # Bounds
//! `KNOWN_MAX` groups are kept in memory; beyond it they are read again.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::bind::Bound;
use super::layout::{GROUPED, GROUPED_AT, SERIES, SERIES_AT};
use crate::ailog::columns::{Value, at};
use crate::ailog::store::measures::Values;

/// Groups that are kept in memory.
const KNOWN_MAX: usize = 20_000;
const OUTCOME: usize = at("outcome");

/// A group of rows, as the roll-ups know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) number: i64,
    pub(crate) series: i64,
}

impl Hash for Group {
    /// The series follows from the group.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i64(self.number);
    }
}

#[derive(Debug)]
struct Known {
    group: Group,
    /// The last day of which the file knows that the group has rows.
    last_day: [u8; 10],
}

/// The groups that were seen.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    known: HashMap<Box<[u8]>, Known>,
    /// The names of the row that is looked up, in one piece.
    key: Vec<u8>,
}

impl Groups {
    /// The group of a row of the given day; a new one if there is none.
    pub(crate) fn of(
        &mut self,
        connection: &Connection,
        values: &Values<'_>,
        day: &[u8; 10],
    ) -> rusqlite::Result<Group> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for place in SERIES_AT.into_iter().chain(GROUPED_AT) {
            append(&mut key, values.get(place));
        }
        let found = self.look_up(connection, values, day, &key);
        self.key = key;
        found
    }

    fn look_up(
        &mut self,
        connection: &Connection,
        values: &Values<'_>,
        day: &[u8; 10],
        key: &[u8],
    ) -> rusqlite::Result<Group> {
        if let Some(known) = self.known.get_mut(key) {
            if known.last_day < *day {
                used(connection, known.group, day)?;
                known.last_day = *day;
            }
            return Ok(known.group);
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let group = find_or_add(connection, values, day)?;
        self.known.insert(key.into(), Known { group, last_day: *day });
        Ok(group)
    }

    /// Forgets all numbers: the transaction that gave some of them did not end well, or some were
    /// deleted.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

/// The outcome of a row.
pub(crate) fn outcome<'a>(values: &Values<'a>) -> &'a [u8] {
    values.text(OUTCOME)
}

fn append(key: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Text(text) => {
            key.extend_from_slice(&(text.len() as u32).to_le_bytes());
            key.extend_from_slice(text);
        }
        Value::Integer(number) => key.extend_from_slice(&number.to_le_bytes()),
        // No other type is among the names.
        _ => key.extend_from_slice(&u32::MAX.to_le_bytes()),
    }
}

fn used(connection: &Connection, group: Group, day: &[u8; 10]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE ai_groups SET last_day = ?2 WHERE grp = ?1 AND last_day < ?2")?
        .execute((group.number, Bound(Value::Text(day))))?;
    Ok(())
}

fn find_or_add(
    connection: &Connection,
    values: &Values<'_>,
    day: &[u8; 10],
) -> rusqlite::Result<Group> {
    let series_names = || SERIES_AT.into_iter().map(|place| Bound(values.get(place)));
    let find = format!("SELECT series FROM ai_series WHERE {}", equal(&SERIES));
    let add = insert("ai_series", &SERIES);
    let series = number(connection, [&find, &add], &series_names)?;
    let group_names = || {
        let names = GROUPED_AT.into_iter().map(|place| Bound(values.get(place)));
        [Bound(Value::NanoUsd(series))].into_iter().chain(names)
    };
    let names = [&["series"], &GROUPED[..]].concat();
    let find = format!("SELECT grp FROM ai_groups WHERE {}", equal(&names));
    let add = insert("ai_groups", &names);
    let number = number(connection, [&find, &add], &group_names)?;
    let group = Group { number, series };
    used(connection, group, day)?;
    Ok(group)
}

/// The number under which these names are found, or else added.
fn number<'a, N: Iterator<Item = Bound<'a>>>(
    connection: &Connection,
    [find, add]: [&str; 2],
    names: &dyn Fn() -> N,
) -> rusqlite::Result<i64> {
    let mut find = connection.prepare_cached(find)?;
    let found = find.query_row(params_from_iter(names()), |row| row.get(0)).optional()?;
    match found {
        Some(number) => Ok(number),
        None => connection.prepare_cached(add)?.insert(params_from_iter(names())),
    }
}

fn equal(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name} IS ?")).collect::<Vec<_>>().join(" AND ")
}

fn insert(table: &str, names: &[&str]) -> String {
    let marks = vec!["?"; names.len()].join(", ");
    format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", "))
}
