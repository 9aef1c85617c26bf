//! The generated parts of pages in `docs/`: tables of error codes, metrics and columns of the log.
//!
//! Pure: a part is made as text and put between its marks in a page. Does not: touch the rest of a
//! page, or make `docs/configuration.md`, which is generated whole (see `config`).

use std::fmt::Write as _;

use super::errors::{ADVICE, Advice};
use crate::ailog::columns::{COLUMNS, Column};
use crate::ailog::schema as clickhouse;
use crate::ailog::store::sqlite;
use crate::metrics::SERIES;

/// A part of a page.
pub(crate) struct Part {
    /// The page, from the root of a checkout.
    pub(crate) page: &'static str,
    /// Its name in the marks.
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

impl Part {
    /// The page with this part between its marks; `None` if it does not have the marks.
    pub(crate) fn put_into(&self, page: &str) -> Option<String> {
        let begin = format!("<!-- generated: {} -->\n", self.name);
        let end = format!("<!-- end of {} -->\n", self.name);
        let (before, rest) = page.split_once(&begin)?;
        let (_, after) = rest.split_once(&end)?;
        Some([before, &begin, &self.text, &end, after].concat())
    }
}

/// Every part.
pub(crate) fn parts() -> [Part; 3] {
    [
        Part { page: "docs/errors.md", name: "errors", text: errors() },
        Part { page: "docs/metrics.md", name: "metrics", text: metrics() },
        Part { page: "docs/ailog.md", name: "columns", text: columns() },
    ]
}

fn errors() -> String {
    let mut table = "| status | code | type | cause | remedy |\n|---|---|---|---|---|\n".to_owned();
    for Advice(code, cause, remedy) in ADVICE {
        let (status, name, kind) = (code.status(), code.as_str(), code.kind());
        let _ = writeln!(table, "| {status} | `{name}` | `{kind}` | {cause} | {remedy} |");
    }
    table
}

fn metrics() -> String {
    let mut table = "| series | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for series in SERIES {
        let kind = match series.make {
            "counter" | "counters" | "amount" | "amounts" => "counter",
            "seconds" | "seconds_by" | "short_seconds" => "histogram",
            _ => "gauge",
        };
        let labels = match series.labels {
            [] => "–",
            _ => series.comment.trim().trim_end_matches('.'),
        };
        let _ = writeln!(table, "| `{}` | {kind} | {labels} | {} |", series.name, series.help);
    }
    table.push_str("| `tollgate_build_info` | gauge | `version` | 1. |\n");
    table
}

fn columns() -> String {
    let mut table =
        "| column | SQLite | ClickHouse | since | meaning |\n|---|---|---|---|---|\n".to_owned();
    for Column { name, of, since, doc } in COLUMNS {
        let (embedded, server) = (sqlite::layout::type_of(of), clickhouse::type_of(of));
        let _ = writeln!(table, "| `{name}` | {embedded} | {server} | {since} | {doc} |");
    }
    table
}
