//! Output of the commands that print and end.

use std::io::{self, Write as _};

/// Prints a line to stdout. A reader that has had enough (`| head`) is no failure.
///
/// # Errors
/// Stdout cannot be written for another reason.
pub(super) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
