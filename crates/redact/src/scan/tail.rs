//! Matches that go on beyond their fixed part, for any length: base64, URLs, tokens, PEM blocks.

use super::super::detect::{data_url, secret};
use super::super::fold::SOFT_BREAK;
use super::{Op, Scanner};

/// A match that goes on beyond its fixed part, for any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    None,
    /// The head of a `data:` URL, and how much of the mark of base64 its end is.
    Head(u8),
    Base64(Wrapped),
    /// A field that is base64 as a whole.
    Blob,
    Url,
    Token,
    /// Runs of five dashes seen, and dashes in the present run.
    Pem(u8, u8),
}

/// How base64 is cut into lines, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrapped {
    /// Characters of the present line.
    line: u16,
    /// Characters of its match before them.
    head: u16,
    /// Characters of the lines before it.
    width: u16,
}

/// The mark of base64 at the end of a head.
const BASE64_MARK: &[u8] = b";base64";
/// How far after the end of a line, or a space, base64 is told from other text.
const LOOK: usize = 128;
/// No word is as long as this.
const LONG_RUN: usize = 24;
/// Shorter lines are not what base64 is wrapped to.
const LONG_LINE: usize = 40;

/// Whether base64 goes on after a mark that is not of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GoesOn {
    Yes,
    No,
    /// More of the text has to be here.
    Unknown,
}

impl Tail {
    /// Base64 after a head of so many characters in the same line.
    pub(crate) fn base64(head: u16) -> Tail {
        Tail::Base64(Wrapped { head, ..Wrapped::default() })
    }

    /// Whether `b` goes on the match.
    fn takes(&mut self, b: u8) -> bool {
        match self {
            Tail::None => false,
            Tail::Head(_) if b == b',' => true,
            Tail::Head(matched) => {
                let next = BASE64_MARK[usize::from(*matched) % BASE64_MARK.len()];
                *matched =
                    if b.eq_ignore_ascii_case(&next) && usize::from(*matched) < BASE64_MARK.len() {
                        *matched + 1
                    } else {
                        u8::from(b == b';')
                    };
                data_url::is_head(b)
            }
            Tail::Base64(wrapped) => {
                if b == b'\n' {
                    let width = if wrapped.line > 0 { wrapped.line } else { wrapped.width };
                    *wrapped = Wrapped { width, ..Wrapped::default() };
                } else {
                    wrapped.line = wrapped.line.saturating_add(1);
                }
                is_base64(b) || matches!(b, b' ' | b'\t')
            }
            Tail::Blob => is_base64(b),
            Tail::Url => b > b' ' && b < 0x7F && !b"\"'<>)]}`\\".contains(&b),
            Tail::Token => secret::is_token(b),
            Tail::Pem(runs, dashes) => eat_pem(runs, dashes, b),
        }
    }
}

impl Scanner {
    /// Drops what goes on the last match; whether its end is here.
    pub(crate) fn eat_tail(&mut self, end: bool) -> bool {
        let from = self.cur;
        let mut i = from;
        let seen = if end { self.window.len() } else { self.pluses.from() };
        while let Some(&b) = self.window[..seen].get(i) {
            // A dot belongs to a token only if the token goes on after it.
            if self.tail == Tail::Token && b == b'.' {
                match self.window[..seen].get(i + 1) {
                    None if !end => break,
                    Some(b) if secret::is_token(*b) && *b != b'.' => {}
                    _ => {
                        self.tail = Tail::None;
                        break;
                    }
                }
            }
            let goes_on = match self.tail {
                Tail::Base64(wrapped) if matches!(b, b'\n' | b' ' | b'\t') => {
                    match base64_goes_on(&self.window[i..seen], wrapped, end) {
                        GoesOn::Unknown => break,
                        more => more == GoesOn::Yes,
                    }
                }
                _ => true,
            };
            let goes_on = goes_on
                && (self.tail.takes(b) || self.tail == Tail::Url && self.is_percent_encoded(i));
            if !goes_on {
                self.tail = Tail::None;
                break;
            }
            if let Tail::Head(matched) = self.tail
                && b == b','
            {
                let base64 = usize::from(matched) == BASE64_MARK.len();
                self.tail = if base64 { Tail::base64(1) } else { Tail::Url };
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

/// Whether base64 goes on after the end of a line or the space with which `text` begins.
///
/// Lines are wrapped after 64 or 76 characters (RFC 7468 §2, RFC 2045 §6.8) or all alike, and a
/// form writes a plus as a space; anything else that follows is other text.
fn base64_goes_on(text: &[u8], wrapped: Wrapped, end: bool) -> GoesOn {
    if !end && text.len() <= LOOK {
        return GoesOn::Unknown;
    }
    let rest = &text[1..text.len().min(LOOK)];
    let run = |text: &[u8]| text.iter().take_while(|b| is_base64(**b) && **b != b'\n').count();
    let Wrapped { line, head, width } = wrapped;
    let goes_on = if text[0] == b'\n' {
        let (blank, rest) = rest.strip_prefix(b"\n").map_or((false, rest), |rest| (true, rest));
        let n = run(rest);
        let full = matches!(line, 64 | 76)
            || matches!(line.saturating_add(head), 64 | 76)
            || line > 0 && line == width;
        let long = n >= LONG_RUN || rest[..n].ends_with(b"=") || rest.get(n) == Some(&SOFT_BREAK);
        let closed = !rest.get(n).is_some_and(|b| b" @.'(/\\:".contains(b)) && n.is_multiple_of(4);
        match line {
            // Behind the head, or the second half of CR and LF.
            0 => long || head == 0 && n > 0 && closed,
            _ if full => long || n > if blank { 8 } else { 0 } && closed,
            _ => n >= LONG_LINE && usize::from(line) >= LONG_LINE,
        }
    } else if line == 0 && head > 0 {
        // A space right after the comma.
        let n = run(rest);
        n > 0 && !rest[..n].iter().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-'))
    } else {
        // Pieces of base64 with spaces between, and one of them longer than words are.
        let n = rest.iter().take_while(|b| is_base64(**b) && **b != b'\n' || **b == b' ').count();
        rest[..n]
            .split(|b| *b == b' ')
            .any(|piece| piece.len() >= LONG_RUN || piece.ends_with(b"="))
    };
    if goes_on { GoesOn::Yes } else { GoesOn::No }
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
    b.is_ascii_alphanumeric()
        || matches!(b, b'+' | b'/' | b'=' | b'\n' | b':' | b',' | SOFT_BREAK)
        || b == b' ' && *runs > 0
}

pub(crate) fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'\n')
}
