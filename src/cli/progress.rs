//! A bar on stderr if that is a terminal.

use std::io::{IsTerminal as _, Write as _};

/// Shows how much of a known number is done.
pub(crate) struct Progress {
    what: &'static str,
    total: u32,
    visible: bool,
}

impl Progress {
    /// A bar behind the word `what`.
    pub(crate) fn new(what: &'static str, total: u32) -> Progress {
        Progress { what, total, visible: std::io::stderr().is_terminal() }
    }

    /// The same, but hidden where it would mix with what a terminal shows.
    pub(crate) fn unless(is_hidden: bool, what: &'static str, total: u32) -> Progress {
        let bar = Progress::new(what, total);
        Progress { visible: bar.visible && !is_hidden, ..bar }
    }

    /// Draws it, now and then.
    pub(crate) fn show(&self, done: u32) {
        if self.visible && (done.is_multiple_of(5) || done == self.total) {
            let filled = (u64::from(done) * 30 / u64::from(self.total.max(1))) as usize;
            let bar = "#".repeat(filled) + &"-".repeat(30_usize.saturating_sub(filled));
            drop(write!(std::io::stderr(), "\r{} [{bar}] {done}/{}", self.what, self.total));
        }
    }

    /// Ends its line.
    pub(crate) fn end(&self) {
        if self.visible {
            drop(writeln!(std::io::stderr()));
        }
    }
}
