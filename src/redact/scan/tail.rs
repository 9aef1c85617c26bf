//! Matches that go on beyond their fixed part, for any length: base64, URLs, tokens, PEM blocks.

use super::super::detect::secret;
use super::{Op, Scanner};

/// A match that goes on beyond its fixed part, for any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    None,
    Base64,
    Url,
    Token,
    /// Runs of five dashes seen, and dashes in the present run.
    Pem(u8, u8),
}

impl Scanner {
    /// Drops what goes on the last match; whether its end is here.
    pub(super) fn eat_tail(&mut self, end: bool) -> bool {
        let from = self.cur;
        let mut i = from;
        while let Some(&b) = self.window.get(i) {
            // A dot belongs to a token only if the token goes on after it.
            if self.tail == Tail::Token && b == b'.' {
                match self.window.get(i + 1) {
                    None if !end => break,
                    Some(b) if secret::is_token(*b) && *b != b'.' => {}
                    _ => {
                        self.tail = Tail::None;
                        break;
                    }
                }
            }
            let goes_on = match &mut self.tail {
                Tail::None => false,
                Tail::Base64 => is_base64(b),
                Tail::Url => b > b' ' && b < 0x7F && !b"\"'<>)]}`\\".contains(&b),
                Tail::Token => secret::is_token(b),
                Tail::Pem(runs, dashes) => eat_pem(runs, dashes, b),
            };
            if !goes_on {
                self.tail = Tail::None;
                break;
            }
            i += 1;
        }
        if i > from {
            self.ops.push(Op::Drop { to: self.raw_end(i - 1) });
            (self.barrier, self.cur) = (i, i);
        }
        self.tail == Tail::None
    }
}

/// Whether `b` still belongs to a PEM block after its first line.
fn eat_pem(runs: &mut u8, dashes: &mut u8, b: u8) -> bool {
    if *runs >= 2 {
        return false;
    }
    if b == b'-' {
        *dashes += 1;
        if *dashes == 5 {
            *runs += 1;
            *dashes = 0;
        }
        return true;
    }
    *dashes = 0;
    // Spaces only in the last line.
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b':' | b',') || b == b' ' && *runs > 0
}

pub(super) fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'\n' | b'%')
}
