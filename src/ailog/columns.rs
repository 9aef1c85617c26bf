//! The columns as a whole: their names for SQL, and rows of older versions.
//!
//! Pure. `row` declares the columns, `row_binary` has their encoding.
//!
//! Guarantees: a record of any released version becomes a row of today's columns. Does not: know a
//! store's types (see `store`).

use std::sync::LazyLock;

pub(crate) use super::row::{COLUMNS, SCHEMA_VERSION, decode, encode, is_row};
pub(crate) use super::row_binary::decode::{Decoder, Value};
pub(crate) use super::row_binary::iso::{Times, iso, iso_millis};
pub(crate) use super::row_binary::nested::EncodedAttempt;
pub(crate) use super::row_binary::parts::NotARow;
pub(crate) use super::row_binary::{Column, Type};

/// Columns are only ever added at the end, each with a known version.
const _: () = {
    let (mut at, mut before) = (0, 1);
    while at < COLUMNS.len() {
        let since = COLUMNS[at].since;
        assert!(before <= since && since <= SCHEMA_VERSION);
        (at, before) = (at + 1, since);
    }
};

/// The names, comma-separated, for SQL.
pub(crate) fn column_list() -> String {
    COLUMNS.map(|column| column.name).join(", ")
}

/// The place of a column among all; a name that is none does not compile.
pub(crate) const fn at(name: &str) -> usize {
    let name = name.as_bytes();
    let mut at = 0;
    while at < COLUMNS.len() {
        let other = COLUMNS[at].name.as_bytes();
        let mut same = 0;
        while same < name.len() && same < other.len() && name[same] == other[same] {
            same += 1;
        }
        if same == name.len() && same == other.len() {
            return at;
        }
        at += 1;
    }
    panic!("no such column")
}

/// The columns that the given version added.
pub(crate) fn added_in(columns: &[Column], version: u8) -> impl Iterator<Item = &Column> {
    columns.iter().filter(move |column| column.since == version)
}

/// The bytes that follow the record of a row of the given version to make it a row of today's
/// columns; none for today's version.
///
/// # Errors
/// The bytes are not exactly one row of that version, or the version is unknown.
pub(crate) fn missing(version: u8, row: &[u8]) -> Result<&'static [u8], NotARow> {
    if version == SCHEMA_VERSION {
        return if is_row(row) { Ok(&[]) } else { Err(NotARow) };
    }
    if !(1..SCHEMA_VERSION).contains(&version) {
        return Err(NotARow);
    }
    let mut decoder = Decoder::new(row);
    for column in COLUMNS.iter().take_while(|column| column.since <= version) {
        decoder.next(column.of)?;
    }
    if decoder.is_at_end() { Ok(unknown_after(version)) } else { Err(NotARow) }
}

/// The values of all columns after the given version in a row of which they are unknown.
pub(crate) fn unknown_after(version: u8) -> &'static [u8] {
    static UNKNOWN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let after = |version| COLUMNS.iter().filter(move |column| column.since > version);
        (0..=SCHEMA_VERSION)
            .map(|version| after(version).flat_map(|c| c.of.unknown()).copied().collect())
            .collect()
    });
    UNKNOWN.get(usize::from(version)).map_or(&[], Vec::as_slice)
}

/// The time of a row, from its encoded form.
pub(crate) fn created_at_ms(row: &[u8]) -> Option<i64> {
    row.get(16..24)
        .and_then(|bytes| bytes.first_chunk::<8>())
        .map(|bytes| i64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_unique() {
        let mut names = COLUMNS.map(|column| column.name);
        names.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for Column { name, doc, .. } in COLUMNS {
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(
                name.bytes().all(is_plain) && !doc.is_empty() && !doc.contains('|'),
                "{name}: {doc}"
            );
        }
    }

    #[test]
    fn the_interface_description_names_only_columns() {
        let page = include_str!("../../config/openapi.yaml");
        let (_, row) = page.split_once("\n    Row:\n").expect("the schema of a row");
        let (_, properties) = row.split_once("      properties:\n").expect("its properties");
        let mut names = 0;
        let lines = properties.lines().take_while(|line| line.starts_with("        "));
        // Deeper lines are of what a column holds.
        for line in lines.filter(|line| !line.starts_with("         ")) {
            let name = line.trim_start().split(':').next().expect("a name");
            assert!(COLUMNS.iter().any(|column| column.name == name), "{name}");
            names += 1;
        }
        assert!(names > 10, "only {names} properties");
    }
}
