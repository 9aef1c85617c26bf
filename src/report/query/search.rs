//! The question for single rows: filters, the text searched for, and the page.
//!
//! Pure. Does not: know a store's SQL.

use serde_json::{Map, Value};

use super::ms_of;

/// Conditions that rows must meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Milliseconds since 1970: from here on.
    pub from_ms: Option<i64>,
    /// Milliseconds since 1970: before this.
    pub to_ms: Option<i64>,
    /// Exact values of columns; see [`Filter::COLUMNS`]. Those of one column are alternatives.
    pub equal: Vec<(&'static str, String)>,
    /// Tags that rows must have, with their values.
    pub tags: Vec<(String, String)>,
    /// Organisations whose rows these are; empty: all.
    pub orgs: Vec<String>,
    /// Only rows after this one, in the order from the newest to the oldest.
    pub behind: Option<Place>,
    /// Only rows with this text in them.
    pub search: Option<Search>,
}

/// A text that rows must have in one of their names or texts. Capitals of ASCII count as small
/// letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    pub text: String,
    /// Captured texts are looked through, too.
    pub in_texts: bool,
}

impl Search {
    /// The columns that are always looked through: names, ids and tags of the call.
    pub(crate) const NAMES: [&'static str; 14] = [
        "org_id",
        "provider",
        "model",
        "route",
        "caller",
        "outcome",
        "error_code",
        "limited_by",
        "endpoint",
        "response_model",
        "category",
        "id",
        "request_id",
        "tags",
    ];
    /// The others.
    pub(crate) const TEXTS: [&'static str; 4] = ["request", "response", "prompt", "answer"];

    /// The columns that are looked through.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static str> {
        let texts = Search::TEXTS.into_iter().filter(|_| self.in_texts);
        Search::NAMES.into_iter().chain(texts)
    }
}

/// The place of a row among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// The row's id.
    pub id: String,
}

impl Place {
    /// The place of a row that a reader has returned.
    pub fn of(row: &Map<String, Value>) -> Option<Place> {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        Some(Place { created_at_ms: ms_of(text("created_at")?)?, id: text("id")?.to_owned() })
    }
}

/// Some rows of the log, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// As objects of the public columns.
    pub rows: Vec<Map<String, Value>>,
    /// More rows were within the limit, but not within the bytes.
    pub is_cut: bool,
    /// A search ended early: it has seen all rows from this moment on (milliseconds since 1970).
    pub searched_to_ms: Option<i64>,
}

impl Filter {
    /// The columns with conditions, each with the number of its alternatives, and all values in
    /// that order.
    pub(crate) fn alternatives(&self) -> (Vec<(&'static str, usize)>, Vec<&str>) {
        let mut columns: Vec<(&'static str, usize)> = Vec::new();
        for (column, _) in &self.equal {
            match columns.iter_mut().find(|(known, _)| known == column) {
                Some((_, count)) => *count += 1,
                None => columns.push((column, 1)),
            }
        }
        let of = |wanted: &'static str| {
            self.equal.iter().filter(move |(column, _)| *column == wanted).map(|(_, v)| v.as_str())
        };
        let values = columns.iter().flat_map(|(column, _)| of(column)).collect();
        (columns, values)
    }

    /// The columns that a condition can name.
    pub const COLUMNS: [&'static str; 12] = [
        "id",
        "org_id",
        "caller",
        "route",
        "endpoint",
        "provider",
        "model",
        "outcome",
        "error_code",
        "limited_by",
        "request_id",
        "status",
    ];

    /// Adds a condition; returns whether there is such a column. `tag` takes `NAME:VALUE`.
    pub fn and(&mut self, column: &str, value: &str) -> bool {
        if column == "tag" {
            let tag = value.split_once(':').filter(|(name, _)| !name.is_empty());
            self.tags.extend(tag.map(|(name, value)| (name.to_owned(), value.to_owned())));
            return tag.is_some();
        }
        match Filter::COLUMNS.into_iter().find(|c| *c == column) {
            Some(column) => {
                self.equal.push((column, value.to_owned()));
                true
            }
            None => false,
        }
    }
}
