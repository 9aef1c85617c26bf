//! E-mail addresses in prose, code and URLs: RFC 5321 local parts and domains, internationalised
//! ones (RFC 6531), quoted local parts, address literals.
//!
//! Where a grammar of addresses would take too much of the text around one (`?email=bob@…`,
//! `我的邮箱是bob@…`), the text's own habits decide. Not taken: `name@1.2.3`, `icon@2x.png`,
//! `git@host:path`, `x@y.shape(`, and what stands between the colon and the `@` of
//! `scheme://user:password@host`.

mod host;
mod vetoes;

use host::{Host, domain, is_foreign};
use vetoes::{is_no_host, vetoed};

use super::{Detector, View, tld};
use crate::fold::{NESTED_QUOTE, SOFT_BREAK, is_unspaced};

/// E-mail addresses: the scanner asks [`find`] at each `@`.
pub(crate) const DETECTOR: Detector = Detector { name: "email", ..Detector::NEW };

/// Longest local part that is taken whole, in bytes; of a longer run only the end is.
pub(crate) const LOCAL_MAX: usize = 200;
/// The end of a run that is too long (RFC 5321 §4.5.3.1.1).
const LOCAL_TAKEN: usize = 64;
/// Longest domain, in bytes of folded text.
const DOMAIN_MAX: usize = 400;
/// Longest quoted local part.
pub(crate) const QUOTED_MAX: usize = 80;

/// Finds the address around the `@` at `at`. `sure`: it stands there as itself or percent-encoded;
/// else the ending has to be a known one.
pub(crate) fn find(view: &View<'_>, at: usize, sure: bool) -> Option<(usize, usize)> {
    // Nothing before it, or what no local part ends with.
    if !view
        .before(at)
        .is_some_and(|b| is_local(b) || matches!(b, b'"' | b']' | SOFT_BREAK | NESTED_QUOTE))
    {
        return None;
    }
    let host = domain(view, at + 1)?;
    // First what is told by few bytes: the text before it may be long.
    if is_no_host(view, &host) {
        return None;
    }
    let mut start = if matches!(view.before(at), Some(b'"' | NESTED_QUOTE)) {
        quoted(view, at)?
    } else {
        local(view, at, &host)?
    };
    if view.at(start) == Some(b'_') && view.at(host.end) == Some(b'_') && start + 1 < at {
        // Emphasis in Markdown.
        start += 1;
    }
    let unsure = || at - start < 2 || !tld::is_known(host.ending(view));
    if vetoed(view, start, at, &host) || !sure && unsure() { None } else { Some((start, host.end)) }
}

/// Classes of bytes: may stand in a local part; is neither letter, digit, dot, dash, plus nor low
/// line there; may stand in the label of a domain; is a letter.
const LOCAL: u8 = 1;
const ODD: u8 = 2;
const LABEL: u8 = 4;
const LETTER: u8 = 8;
/// Punctuation of the text at the beginning of a local part.
const LEADING: u8 = 16;
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        class[b] = match c {
            _ if c.is_ascii_alphabetic() => LOCAL | LABEL | LETTER,
            b'0'..=b'9' | b'-' | b'_' => LOCAL | LABEL,
            b'.' | b'+' => LOCAL,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'/' | b'=' | b'?' | b'^' | b'`'
            | b'{' | b'|' | b'}' | b'~' => LOCAL | ODD,
            _ => 0,
        };
        b += 1;
    }
    let leading = b".-'*/=!#&~^|{}?`\x0C";
    let mut i = 0;
    while i < leading.len() {
        class[leading[i] as usize] |= LEADING;
        i += 1;
    }
    class
};

fn is(b: u8, class: u8) -> bool {
    CLASS[usize::from(b)] & class != 0
}

/// Whether this byte may stand in a local part without quotation marks, or in a character that may.
pub(crate) fn is_local(b: u8) -> bool {
    b >= 0x80 || is(b, LOCAL)
}

/// Whether this byte stands between the text and a local part, if it is the first.
pub(crate) fn is_leading(b: u8) -> bool {
    is(b, LEADING)
}

/// Whether a local part with many of these bytes is of the kind only standards write.
pub(crate) fn is_odd(b: u8) -> bool {
    is(b, ODD) || matches!(b, b'+' | b'_')
}

/// Whether this byte may stand in a query or an assignment before a local part: "a=1&email=bob".
pub(crate) fn is_of_query(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$' | b'&' | b'=') || b >= 0x80
}

/// Where the local part before `at` begins.
fn local(view: &View<'_>, at: usize, host: &Host) -> Option<usize> {
    // "49699333+dependabot[bot]@users.noreply.github.com"
    let mut i = if view.text[view.lo..at].ends_with(b"[bot]") { at - 5 } else { at };
    let mut ascii = i < at;
    let mut seen = 0;
    while let Some(b) = view.before(i) {
        if at - i > LOCAL_MAX {
            i = at - LOCAL_TAKEN;
            while view.at(i).is_some_and(|b| b & 0xC0 == 0x80) {
                i += 1;
            }
            break;
        }
        if b < 0x80 {
            let class = CLASS[usize::from(b)];
            if class & LOCAL == 0 && (b != SOFT_BREAK || is_assigned(view, i - 1)) {
                break;
            }
            seen |= class;
            ascii = true;
            i -= 1;
        } else {
            match view.char_before(i) {
                Some(c) if !(ascii && (is_unspaced(c) || is_foreign(c))) => i -= c.len_utf8(),
                _ => break,
            }
        }
    }
    if seen & ODD != 0 && is_rfc_art(&view.text[i..at]) {
        return Some(i);
    }
    let bracketed = view.before(i) == Some(b'<');
    if view.before(i) == Some(b'\\') && i + 1 < at {
        i = behind_escape(view, i);
    }
    let start = if seen & ODD != 0 {
        let marked = marked(&view.text[i..at], view.at(host.end) == Some(b'|'));
        i + if marked { 0 } else { cut(&view.text[i..at], bracketed) }
    } else {
        i + led(&view.text[i..at])
    };
    view.text[start..at].iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80).then_some(start)
}

/// Where a local part begins that a backslash stands before, so that no escape of a program's text
/// is cut in two: behind the letter of "…,\\nbob@example.com", before the backslash of
/// "end\\nbob@example.com", where the letter may be the name's.
fn behind_escape(view: &View<'_>, i: usize) -> usize {
    let line = |b: Option<u8>| matches!(b, Some(b'n' | b'r' | b't'));
    // "\\r\\n"
    let escape = i >= 2 && line(view.before(i - 1)) && view.before(i - 2) == Some(b'\\');
    let word = view.before(i - 1).is_some_and(|b| b.is_ascii_alphanumeric()) && !escape;
    let single = view.before(i - 1) != Some(b'\\');
    if line(view.at(i)) && !word {
        i + 1
    } else if single && matches!(view.at(i), Some(b'n' | b'r' | b't' | b'b' | b'f')) {
        i - 1
    } else {
        i
    }
}

/// Whether an equals sign at the end of a line, seen as the byte at `i`, assigns what follows to a
/// field for addresses: "email=⏎jane@…".
fn is_assigned(view: &View<'_>, i: usize) -> bool {
    const FIELDS: [&[u8]; 12] = [
        b"mail", b"email", b"e-mail", b"e_mail", b"to", b"from", b"cc", b"bcc", b"user",
        b"address", b"contact", b"sender",
    ];
    let before = &view.text[view.lo.max(i.saturating_sub(40))..i];
    let word = |b: &u8| b.is_ascii_alphabetic() || matches!(*b, b'-' | b'_');
    let name = &before[before.iter().rposition(|b| !word(b)).map_or(0, |at| at + 1)..];
    let last = name.rsplit(|b| *b == b'_').next().unwrap_or_default();
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field) || last.eq_ignore_ascii_case(field))
}

/// Whether a run with one `#`, `|` or `?` in it is a local part all of it: "jane#roe". Not
/// "page.html?jane", "/p?jane", "Name|jane". `piped`: another bar follows the address.
fn marked(run: &[u8], piped: bool) -> bool {
    let Some(i) = run.iter().position(|b| is(*b, ODD)) else { return false };
    let (front, rest) = (&run[..i], &run[i + 1..]);
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b);
    let ending = front.rsplit(|b| *b == b'.').next().unwrap_or_default();
    matches!(run[i], b'#' | b'?' | b'|')
        && !(run[i] == b'|' && piped)
        && front.first().is_some_and(u8::is_ascii_lowercase)
        && front.iter().all(plain)
        && !(ending.len() < front.len() && (tld::is_known(ending) || vetoes::is_file(ending)))
        && rest.first().is_some_and(u8::is_ascii_alphanumeric)
        && !rest.iter().any(|b| is(*b, ODD))
}

/// How much of a run of local-part characters is the text's own punctuation: URL paths, queries,
/// assignments, markup. `bracketed`: it stands right behind `<`, so that an equals sign in it is
/// its own ("<CAF7x9k=abc@mail.example.com>").
fn cut(run: &[u8], bracketed: bool) -> usize {
    // "curl -d 'email=bob@…'"
    let mut from = run.iter().take_while(|b| **b == b'\'').count();
    if let Some(i) =
        run.iter().rposition(|b| matches!(b, b'|' | b'`' | b'{' | b'}' | b'?' | b'#' | b'*'))
    {
        from = i + 1;
    }
    // A path: what follows the last slash, unless the slash stands inside a word
    // ("customer/department=shipping").
    let rest = &run[from..];
    let slashes = rest.iter().filter(|b| **b == b'/').count();
    if let Some(i) = rest.iter().rposition(|b| *b == b'/')
        && (slashes > 1 || i == 0 || rest.contains(&b'&'))
    {
        from += i + 1;
    }
    // A query or an assignment: "email=bob", "a=1&email=bob"; bounce addresses keep theirs.
    let rest = &run[from..];
    let bounce = [&b"prvs="[..], b"msprvs1=", b"SRS0=", b"SRS1=", b"SRS0+", b"bounce", b"btv1="];
    if !bracketed
        && !bounce.iter().any(|b| rest.len() > b.len() && rest[..b.len()].eq_ignore_ascii_case(b))
        && let Some(i) = rest.iter().rposition(|b| *b == b'=')
        && (rest[..i].contains(&b'&') || rest[..i].iter().all(|b| is_of_query(*b)))
    {
        from += i + 1;
    }
    from + led(&run[from..])
}

/// How many characters at the beginning are the text's own punctuation; one at least is left.
fn led(run: &[u8]) -> usize {
    // "!def!xyz%abc@example.com": a path of hosts.
    if let [b'!', next, rest @ ..] = run
        && next.is_ascii_alphanumeric()
        && rest.contains(&b'!')
    {
        return 0;
    }
    run.iter().take_while(|b| is(**b, LEADING)).count().min(run.len().saturating_sub(1))
}

/// A local part of the kind only standards write: "!#$%&'*+/=?^_`{|}~".
fn is_rfc_art(run: &[u8]) -> bool {
    run.iter().filter(|b| is_odd(**b)).count() > 8
}

/// Where a quoted local part begins whose closing mark stands before `at`.
fn quoted(view: &View<'_>, at: usize) -> Option<usize> {
    let close = at - 1;
    // The mark may be that of a nested text that turned out to be no JSON.
    let mark = view.text[close];
    // The marks of a text that stands in quotation marks itself: `{\"to\":\"\\\"zz
    // qq\\\"@example.com\"}`.
    let escapes =
        |i: usize| view.text[view.lo..i].iter().rev().take(8).take_while(|b| **b == b'\\').count();
    let own = escapes(close);
    let mut i = close;
    while let Some(b) = view.before(i) {
        i -= 1;
        if b == mark && escapes(i) <= own {
            let open = i - own.min(escapes(i));
            let inside = &view.text[i + 1..close - own];
            let blank =
                |b: Option<&u8>| b.is_none_or(|b| matches!(b, b' ' | b'\t' | b',' | b':' | b'='));
            let word = inside.iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
            // Text between two other strings is no local part: `"a" or "@example.com"`.
            let parted = match view.before(open) {
                None => true,
                Some(b) => matches!(
                    b,
                    b' ' | b'\t' | b'\n' | b'<' | b'(' | b'[' | b',' | b';' | b':' | NESTED_QUOTE
                ),
            };
            let own_mark =
                parted && mark == b'"' || word && !blank(inside.first()) && !blank(inside.last());
            return (own_mark && !inside.is_empty()).then_some(open);
        }
        if b == b'\n' || b == NESTED_QUOTE || at - i > QUOTED_MAX {
            return None;
        }
    }
    None
}
