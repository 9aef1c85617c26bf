//! The one writer of standard output, for every command.
//!
//! Guarantees: a reader that has closed its end (`| head`) ends a command without a message and
//! with success; output that cannot be written for another reason, such as a full disk, is a
//! failure with exit code 1. Does not: write logs or progress, which go to standard error.

use std::io::{self, Write as _};

use crate::failure::Failure;
use crate::visible::{visible, visible_json, visible_lines};

/// Prints lines to stdout, without what would steer a terminal.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    raw(&format!("{}\n", visible_lines(text)))
}

/// The same for JSON, which escapes what would steer a terminal.
///
/// # Errors
/// As [`line`].
pub(crate) fn json(text: &str) -> Result<(), Failure> {
    raw(&format!("{}\n", visible_json(text)))
}

/// A document as JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn document(document: &impl serde::Serialize) -> Result<(), Failure> {
    json(&serde_json::to_string(document).unwrap_or_default())
}

/// The text as it is, for those that have seen to it themselves.
///
/// # Errors
/// As [`line`].
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    written(bytes(text.as_bytes()))
}

/// Bytes as they are, of a command that writes many of them. See [`written`] for the failure.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// The meaning of a write to stdout for the command.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::User(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// A model's or caller's name comes from outside: a control character would move the cursor of the
/// terminal.
pub(crate) fn printable(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { visible(text).into_owned() }
}

/// Columns side by side: names to the left, figures to the right.
pub(crate) fn aligned(rows: &[Vec<String>], is_figure: impl Fn(usize) -> bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter().filter_map(|r| r.get(at)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter()
                .zip(&widths)
                .enumerate()
                .map(|(at, (cell, width))| {
                    if is_figure(at) {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                })
                .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
