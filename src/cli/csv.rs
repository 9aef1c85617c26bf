//! Cells of CSV (RFC 4180), safe to print on a terminal and to open in a spreadsheet.
//!
//! Pure. Guarantees: a spreadsheet takes no cell for a formula, wherever it parts the cells.

use crate::visible::{visible, visible_lines};

/// A cell of one line: hidden characters, line ends among them, are replaced.
pub(crate) fn quoted(cell: &str) -> String {
    of_shown(cell, visible(cell).into_owned())
}

/// A cell that keeps its line ends and tabs, within quotes.
pub(crate) fn quoted_lines(cell: &str) -> String {
    of_shown(cell, visible_lines(cell).into_owned())
}

fn of_shown(cell: &str, shown: String) -> String {
    // A spreadsheet would take a cell that begins like this for a formula; the wide forms are the
    // same to some.
    let steers =
        |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠');
    let is_formula = cell.trim_start().starts_with(steers) || cell.starts_with(['\t', '\r', '\n']);
    let digits = cell.strip_prefix('-').unwrap_or_default();
    let is_number = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.parse::<f64>().is_ok();
    let cell = if is_formula && !is_number { format!("'{shown}") } else { shown };
    // Where `;` or a tab parts the cells, they must not do so within one.
    let parts =
        |c: char| matches!(c, '"' | ',' | ';' | '|' | '\n' | '\r' | '\t') || c.is_whitespace();
    if cell.contains(parts) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}
