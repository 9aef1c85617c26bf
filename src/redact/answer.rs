//! Text that is no request body: query values, error messages, and answers on their way to the log.
//!
//! Pure. Never fails: what cannot be understood as JSON is redacted as text.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::rules::kind;
use super::scan::{Look, Op, Scanner};
use super::{BodyRedactor, Ledger, Redacted, Rules, Shape};

/// Redacts plain text (a query value, an error message of a provider, text put together from a stream).
pub fn text(rules: &Rules, text: &str) -> (Redacted, Ledger) {
    let mut scanner = Scanner::new(Arc::clone(&rules.0), 0);
    let mut ledger = Ledger::default();
    let mut out = BytesMut::new();
    let mut done = 0;
    scanner.begin(Look::All, None, false);
    // In pieces, so that what was found is carried out before it piles up.
    let mut rest = text;
    let mut base = 0;
    while !rest.is_empty() {
        let n = rest.floor_char_boundary(16 << 10);
        scanner.text(&rest[..n], base);
        carry_out(&mut scanner, rules, text, &mut done, &mut out, &mut ledger);
        (rest, base) = (&rest[n..], base + n as u64);
    }
    scanner.end();
    carry_out(&mut scanner, rules, text, &mut done, &mut out, &mut ledger);
    out.extend_from_slice(&text.as_bytes()[done..]);
    (Redacted(out.freeze()), ledger)
}

fn carry_out(
    scanner: &mut Scanner,
    rules: &Rules,
    text: &str,
    done: &mut usize,
    out: &mut BytesMut,
    ledger: &mut Ledger,
) {
    for op in scanner.ops.drain(..) {
        match op {
            Op::Replace { from, to, kind, .. } => {
                out.extend_from_slice(&text.as_bytes()[*done..from as usize]);
                out.extend_from_slice(rules.0.kinds[kind as usize].replacement.as_bytes());
                *done = to as usize;
                if kind == kind::ATTACHMENT {
                    ledger.attachments += 1;
                } else {
                    ledger.add(&rules.0.kinds[kind as usize].name);
                }
            }
            Op::Drop { to } => *done = to as usize,
        }
    }
}

/// Redacts a provider's answer for the log: JSON as JSON, anything else as text, cut at `bytes_max` after redaction.
/// `whole` says whether `answer` is the whole answer. Returns the text and whether it was cut. Never fails: what cannot
/// be understood as JSON is redacted as text.
pub fn answer(rules: &Arc<Rules>, answer: &Bytes, whole: bool, bytes_max: usize) -> (Redacted, bool) {
    let begins = answer.iter().find(|b| !b.is_ascii_whitespace());
    let mut redacted = None;
    if matches!(begins, Some(b'{' | b'[')) {
        let mut redactor = BodyRedactor::new(Arc::clone(rules), Shape::Answer, false);
        let mut out = Vec::new();
        let understood = redactor.push(answer.clone(), &mut out).is_ok();
        // Of an answer that was cut, what is certain so far is kept.
        if understood && (!whole || redactor.finish(&mut out).is_ok()) {
            redacted = Some(join(&out, bytes_max.saturating_add(4)));
        }
    }
    let redacted = redacted.unwrap_or_else(|| text(rules, &String::from_utf8_lossy(answer)).0.into_bytes());
    if redacted.len() <= bytes_max {
        return (Redacted(redacted), !whole);
    }
    let mut end = bytes_max;
    while end > 0 && redacted[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    (Redacted(redacted.slice(..end)), true)
}

/// Puts pieces together, as far as `bytes_max` needs.
fn join(pieces: &[Redacted], bytes_max: usize) -> Bytes {
    if let [Redacted(one)] = pieces {
        return one.clone();
    }
    let mut joined = BytesMut::new();
    for Redacted(piece) in pieces {
        if joined.len() > bytes_max {
            break;
        }
        joined.extend_from_slice(piece);
    }
    joined.freeze()
}
