//! E-mail addresses in prose, code and URLs: RFC 5321 local parts and domains, internationalised
//! ones (RFC 6531), quoted local parts, address literals.
//!
//! Where a grammar of addresses would take too much of the text around one (`?email=bob@…`,
//! `我的邮箱是bob@…`), the text's own habits decide. Not taken: `name@1.2.3`, `icon@2x.png`,
//! `git@host:path`, `x@y.shape(`, and what stands between the colon and the `@` of
//! `scheme://user:password@host`.

use super::{View, tld};
use crate::fold::{IDEOGRAPHIC_STOP, NESTED_QUOTE, SOFT_BREAK, is_unspaced};

/// Longest local part that is taken whole, in bytes; of a longer run only the end is.
const LOCAL_MAX: usize = 200;
/// What is taken of a run that is too long (RFC 5321 §4.5.3.1.1).
const LOCAL_TAKEN: usize = 64;
/// Longest domain, in bytes of folded text.
const DOMAIN_MAX: usize = 400;
/// Longest quoted local part.
pub(crate) const QUOTED_MAX: usize = 80;

/// Finds the address around the `@` at `at`. `sure`: it stands there as itself or percent-encoded;
/// else the ending has to be a known one.
pub(crate) fn find(view: &View<'_>, at: usize, sure: bool) -> Option<(usize, usize)> {
    // Nothing before it, or what no local part ends with.
    if !view.before(at).is_some_and(|b| is_local(b) || matches!(b, b'"' | b']' | SOFT_BREAK)) {
        return None;
    }
    let host = domain(view, at + 1)?;
    // First what is told by few bytes: the text before it may be long.
    if is_no_host(view, &host) {
        return None;
    }
    let mut start =
        if matches!(view.before(at), Some(b'"')) { quoted(view, at)? } else { local(view, at)? };
    if view.at(start) == Some(b'_') && view.at(host.end) == Some(b'_') && start + 1 < at {
        // Emphasis in Markdown.
        start += 1;
    }
    let unsure = || at - start < 2 || !tld::is_known(host.ending(view));
    if vetoed(view, start, at, &host) || !sure && unsure() { None } else { Some((start, host.end)) }
}

/// A domain, as offsets of the text.
#[derive(Clone, Copy, Debug)]
struct Host {
    start: usize,
    end: usize,
    /// Labels between dots; 0 for an address in brackets.
    labels: usize,
    /// Where the first label ends, and where the last one begins.
    first_end: usize,
    last: usize,
}

impl Host {
    /// The first label.
    fn first<'a>(&self, view: &View<'a>) -> &'a [u8] {
        &view.text[self.start..self.first_end]
    }

    /// The second label; nothing if there is none.
    fn second<'a>(&self, view: &View<'a>) -> &'a [u8] {
        let rest = view.text[..self.end].get(self.first_end + 1..).unwrap_or_default();
        &rest[..rest.iter().position(|b| *b == b'.').unwrap_or(rest.len())]
    }

    /// The last label.
    fn ending<'a>(&self, view: &View<'a>) -> &'a [u8] {
        &view.text[self.last..self.end]
    }
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

/// Where the local part before `at` begins.
fn local(view: &View<'_>, at: usize) -> Option<usize> {
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
            if class & LOCAL == 0 && b != SOFT_BREAK {
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
    // A backslash and a letter that were left as they stood, not at the end of a word:
    // "…,\\nbob@example.com".
    let escape = matches!(view.text[i..at].first(), Some(b'n' | b'r' | b't'))
        && i + 1 < at
        && view.before(i) == Some(b'\\');
    if escape && !view.before(i - 1).is_some_and(|b| b.is_ascii_alphanumeric()) {
        i += 1;
    }
    let start = if seen & ODD != 0 {
        i + cut(&view.text[i..at], bracketed)
    } else {
        i + led(&view.text[i..at])
    };
    view.text[start..at].iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80).then_some(start)
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
        && (rest[..i].contains(&b'&')
            || rest[..i]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.$&=".contains(b) || *b >= 0x80))
    {
        from += i + 1;
    }
    from + led(&run[from..])
}

/// How many characters at the beginning are the text's own punctuation; one at least is left.
fn led(run: &[u8]) -> usize {
    // "!def!xyz%abc@example.com": a path of hosts.
    if matches!(run, [b'!', next, rest @ ..] if next.is_ascii_alphanumeric() && rest.contains(&b'!'))
    {
        return 0;
    }
    run.iter().take_while(|b| is(**b, LEADING)).count().min(run.len().saturating_sub(1))
}

/// A local part of the kind only standards write: "!#$%&'*+/=?^_`{|}~".
fn is_rfc_art(run: &[u8]) -> bool {
    run.iter().filter(|b| !b.is_ascii_alphanumeric() && b"!#$%&'*+/=?^_`{|}~".contains(b)).count()
        > 8
}

/// Where a quoted local part begins whose closing mark stands before `at`.
fn quoted(view: &View<'_>, at: usize) -> Option<usize> {
    let close = at - 1;
    // The marks of a text that stands in quotation marks itself: `{\"to\":\"\\\"zz
    // qq\\\"@example.com\"}`.
    let escapes =
        |i: usize| view.text[view.lo..i].iter().rev().take(8).take_while(|b| **b == b'\\').count();
    let own = escapes(close);
    let mut i = close;
    while let Some(b) = view.before(i) {
        i -= 1;
        if b == b'"' && escapes(i) <= own {
            let open = i - own.min(escapes(i));
            let inside = &view.text[i + 1..close - own];
            let blank =
                |b: Option<&u8>| b.is_none_or(|b| matches!(b, b' ' | b'\t' | b',' | b':' | b'='));
            let word = inside.iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
            // What stands between two other strings is no local part: `"a" or "@example.com"`.
            let parted = match view.before(open) {
                None => true,
                Some(b) => matches!(
                    b,
                    b' ' | b'\t' | b'\n' | b'<' | b'(' | b',' | b';' | b':' | NESTED_QUOTE
                ),
            };
            let own_mark = parted || word && !blank(inside.first()) && !blank(inside.last());
            return (own_mark && !inside.is_empty()).then_some(open);
        }
        if b == b'\n' || b == NESTED_QUOTE || at - i > QUOTED_MAX {
            return None;
        }
    }
    None
}

/// The domain that begins at `from`.
fn domain(view: &View<'_>, from: usize) -> Option<Host> {
    if view.at(from) == Some(b'[') {
        let end = literal(view, from)?;
        return Some(Host { start: from, end, labels: 0, first_end: end, last: from });
    }
    let mut host = Host { start: from, end: from, labels: 0, first_end: from, last: from };
    let mut labels = 0;
    let mut best = None;
    let mut i = from;
    loop {
        let (end, tld) = label(view, i);
        if end == i || end - from > DOMAIN_MAX {
            break;
        }
        labels += 1;
        // An ideographic stop parts labels of the host, but none of what is told by its labels.
        if host.labels == 0 || view.text[i - 1] == b'.' {
            (host.labels, host.last) = (host.labels + 1, i);
        }
        if labels >= 2 && tld > i {
            host.end = tld;
            best = Some(Host {
                first_end: if host.labels == 1 { tld } else { host.first_end },
                ..host
            });
        }
        if host.labels == 1 {
            host.first_end = end;
        }
        let stop = view.at(end);
        let dot = match stop {
            Some(b'.') => {
                follows(view, end + 1).is_some_and(|b| b.is_ascii_alphanumeric() || b >= 0x80)
            }
            Some(IDEOGRAPHIC_STOP) => {
                labels == 1 && follows(view, end + 1).is_some_and(|b| b.is_ascii_alphanumeric())
            }
            _ => false,
        };
        // Text glued behind a domain in another script is not followed by more of the domain, and
        // neither is a sentence: "example.com.Please".
        let glued =
            || labels >= 2 && tld > i && tld < end && view.at(tld).is_some_and(|b| b >= 0x80);
        if !dot || glued() || labels >= 2 && tld == end && sentence(view, i, end) {
            break;
        }
        i = end + 1;
    }
    best
}

/// The byte at `i`, or the next one if a line that goes on ends there.
fn follows(view: &View<'_>, i: usize) -> Option<u8> {
    view.at(i).filter(|b| *b != SOFT_BREAK).or_else(|| view.at(i + 1))
}

/// Whether what follows the label in small letters at `from..end` and its dot is a word with a
/// capital.
fn sentence(view: &View<'_>, from: usize, end: usize) -> bool {
    let next = &view.text[end + 1..view.text.len().min(end + 3)];
    matches!(next, [a, b] if a.is_ascii_uppercase() && b.is_ascii_lowercase())
        && view.text[from..end].iter().all(u8::is_ascii_lowercase)
}

/// The end of the label at `from`, and where it ends as a top-level domain (`from`, if it cannot be
/// one).
fn label(view: &View<'_>, from: usize) -> (usize, usize) {
    let rest = &view.text[from..];
    let letters = rest.iter().take_while(|b| is(**b, LETTER)).count();
    if letters == 0 && rest.first().is_none_or(|b| !b.is_ascii_digit() && *b != b'_') {
        return odd_label(view, from);
    }
    let len = letters + rest[letters..].iter().take_while(|b| is(**b, LABEL)).count();
    if rest.get(len).is_some_and(|b| *b >= 0x80 || *b == SOFT_BREAK) {
        return odd_label(view, from);
    }
    let len = len - rest[..len].iter().rev().take_while(|b| matches!(**b, b'-' | b'_')).count();
    let tld = match len {
        0 | 1 => 0,
        6.. if rest[..4].eq_ignore_ascii_case(b"xn--") => len,
        _ if (2..=63).contains(&letters) => letters.min(len),
        _ => 0,
    };
    (from + len, from + tld)
}

/// The same for one that is not ASCII alone, or that a soft end of a line parts.
fn odd_label(view: &View<'_>, from: usize) -> (usize, usize) {
    let mut i = from;
    let mut letters = None;
    let first_ascii = view.at(from).is_some_and(|b| b < 0x80);
    if first_ascii {
        while view.at(i).is_some_and(|b| b.is_ascii_alphabetic()) {
            i += 1;
        }
        letters = Some(i);
    }
    while let Some(b) = view.at(i) {
        if b < 0x80 {
            if b == SOFT_BREAK {
                // "jane@exam=⏎ple.com" goes on, "TO=jane@example.com=⏎next" does not.
                let known = |to: usize| tld::is_known(&view.text[from..to]);
                let word = view.text[i + 1..]
                    .iter()
                    .take(20)
                    .take_while(|b| b.is_ascii_alphabetic())
                    .count();
                if i > from && known(i) && view.before(from) == Some(b'.') && word != 2 {
                    break;
                }
                i += 1;
                continue;
            }
            if !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-' && i > from) {
                break;
            }
            if !first_ascii
                && b.is_ascii_alphabetic()
                && view.char_before(i).is_some_and(is_unspaced)
            {
                break;
            }
            if letters.is_none() && !b.is_ascii_alphabetic() {
                letters = Some(i);
            }
            i += 1;
        } else {
            match view.char_at(i) {
                Some(c) if !(first_ascii && is_unspaced(c)) => i += c.len_utf8(),
                _ => break,
            }
        }
    }
    while i > from && matches!(view.at(i - 1), Some(b'-' | b'_')) {
        i -= 1;
    }
    let text = &view.text[from..i];
    let ace = text.len() > 5 && text[..4].eq_ignore_ascii_case(b"xn--");
    let tld = if ace {
        i
    } else if !first_ascii {
        // "пример.рф-030 901820"
        from + text
            .iter()
            .position(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_'))
            .unwrap_or(text.len())
    } else {
        let end = letters.unwrap_or(i).min(i);
        // `ma\u{f1}ana`-like labels are letters too; a top-level domain of mixed scripts does not
        // exist.
        if end >= from + 2 && end - from <= 63 { end } else { from }
    };
    let tld = if !first_ascii && text.iter().all(u8::is_ascii_digit) { from } else { tld };
    (i, if text.len() < 2 { from } else { tld })
}

/// Letters of scripts that no address mixes with ASCII ones, and that are not taken for Latin
/// letters either: what stands in them before an ASCII address is the text's.
fn is_foreign(c: char) -> bool {
    matches!(c as u32, 0x0590..=0x0DFF | 0x10A0..=0x10FF | 0x1200..=0x137F | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFC)
}

/// `[192.0.2.1]` and `[IPv6:…]`.
fn literal(view: &View<'_>, from: usize) -> Option<usize> {
    let inside = &view.text[from + 1..view.text.len().min(from + 50)];
    let close = inside.iter().position(|b| *b == b']')?;
    let inside = &inside[..close];
    let v6 = inside.len() > 7 && inside[..5].eq_ignore_ascii_case(b"IPv6:");
    let v4 = inside.iter().filter(|b| **b == b'.').count() == 3
        && inside.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && inside.len() >= 7;
    (v4 || v6).then_some(from + close + 2)
}

/// Endings of file names that are no top-level domains. Small letters.
fn is_file(ending: &[u8]) -> bool {
    matches!(
        ending,
        b"png"
            | b"jpg"
            | b"jpeg"
            | b"gif"
            | b"svg"
            | b"webp"
            | b"avif"
            | b"bmp"
            | b"ico"
            | b"tiff"
            | b"css"
            | b"scss"
            | b"js"
            | b"jsx"
            | b"ts"
            | b"tsx"
            | b"mjs"
            | b"json"
            | b"yaml"
            | b"yml"
            | b"toml"
            | b"xml"
            | b"html"
            | b"htm"
            | b"txt"
            | b"log"
            | b"csv"
            | b"lock"
            | b"conf"
            | b"ini"
            | b"cfg"
            | b"exe"
            | b"dll"
            | b"jar"
            | b"tgz"
            | b"gz"
            | b"service"
            | b"socket"
            | b"timer"
            | b"target"
            | b"mount"
            | b"slice"
            | b"scope"
            | b"path"
            | b"pdf"
            | b"docx"
            | b"xlsx"
    )
}

/// Attributes of arrays: `q@k.transpose`, `x@w.T`. Small letters.
fn is_attribute(name: &[u8]) -> bool {
    matches!(
        name,
        b"transpose"
            | b"shape"
            | b"reshape"
            | b"size"
            | b"dtype"
            | b"grad"
            | b"weight"
            | b"bias"
            | b"mean"
            | b"conj"
            | b"values"
            | b"detach"
            | b"numpy"
            | b"dot"
    )
}

/// Whether what has the form of a domain is something else, whatever stands before it.
fn is_no_host(view: &View<'_>, host: &Host) -> bool {
    if host.labels == 0 {
        return false;
    }
    let (first, last) = (host.first(view), host.ending(view));
    // pkg@1.2.3-beta.rc, action@v4.1.x
    let version = first.strip_prefix(b"v").unwrap_or(first);
    if version.first().is_some_and(u8::is_ascii_digit)
        && version.iter().all(u8::is_ascii_digit)
        && is_version(host.second(view))
    {
        return true;
    }
    // A domain may end as a file or an attribute does (".target", ".dot"): then the rest decides.
    let known = || tld::is_known(last);
    let other = is_program_text(view, host, last);
    last == b"mT" || other && !known() || is_call(view, host.end) && !known()
}

/// Whether it is the second part of a version: "2", "2-beta".
fn is_version(second: &[u8]) -> bool {
    let digits = second.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && second.get(digits).is_none_or(|b| *b == b'-')
}

/// Whether a domain ends as a file or an attribute does.
fn is_program_text(view: &View<'_>, host: &Host, last: &[u8]) -> bool {
    // No ending in the lists is shorter or longer.
    let mut small = [0u8; 9];
    if !(2..=small.len()).contains(&last.len()) {
        return false;
    }
    let small = &mut small[..last.len()];
    small.copy_from_slice(last);
    small.make_ascii_lowercase();
    is_file(small) && is_file_name(view, host) || is_attribute(small)
}

/// Whether a domain is the name of a file, as far as its ending does not tell.
fn is_file_name(view: &View<'_>, host: &Host) -> bool {
    let first = host.first(view);
    let retina = first.len() == 2 && first[0].is_ascii_digit() && first[1] == b'x';
    retina || host.end - host.last != 2 || host.labels == 2
}

/// Whether something that has the form of an address is something else.
fn vetoed(view: &View<'_>, start: usize, at: usize, host: &Host) -> bool {
    if host.labels == 0 {
        return false;
    }
    let local = &view.text[start..at];
    let (last, end) = (host.ending(view), host.end);
    let operand = local.len() == 1 && host.labels == 2;
    // The others of these endings are no domains'.
    if operand && (last.eq_ignore_ascii_case(b"dot") || last.eq_ignore_ascii_case(b"target")) {
        return true;
    }
    if is_call(view, end) && (operand || tld::is_in_programs(last))
        || is_label(local, host.first(view), last)
    {
        return true;
    }
    // A class of characters of a pattern: "\\w+@example\\.com".
    if view.before(start) == Some(b'\\')
        && matches!(local, [b'w' | b'S' | b'd' | b'D' | b'W', b'+' | b'*'])
    {
        return true;
    }
    // git@host:path and ssh://git@host
    if matches!(local, b"git" | b"hg" | b"svn") && matches!(view.at(end), Some(b':' | b'/')) {
        return true;
    }
    // "ftp://anonymous:bob@example.com@host/": the address is the password.
    view.at(end) != Some(b'@') && in_url(view, start, local)
}

/// Whether a method of what looks like a domain is called that ends at `end`: `q@k.view(-1)`. A
/// bracket may also begin a telephone number or a remark: `jane@example.com(010-12345678)`.
fn is_call(view: &View<'_>, end: usize) -> bool {
    if view.at(end) != Some(b'(') {
        return false;
    }
    let inside = &view.text[end + 1..view.text.len().min(end + 24)];
    match inside.first() {
        Some(b')' | b'"' | b'\'') => true,
        Some(b'-' | b'0'..=b'9') => {
            let n = inside
                .iter()
                .take_while(|b| b.is_ascii_digit() || matches!(b, b',' | b' ' | b'-'))
                .count();
            // "(030) 1234567" goes on behind the bracket.
            let more = inside.get(n + 1..n + 3).is_some_and(|m| m.iter().any(u8::is_ascii_digit));
            let digits = inside[..n].iter().filter(|b| b.is_ascii_digit()).count();
            inside.get(n) == Some(&b')') && !more && (1..7).contains(&digits)
        }
        _ => false,
    }
}

/// Whether it is a place in a program: `this@Main.name`, `return@run.foo`.
fn is_label(local: &[u8], first: &[u8], last: &[u8]) -> bool {
    let class = matches!(first, [a, b, ..] if a.is_ascii_uppercase() && b.is_ascii_lowercase());
    matches!(local, b"this" | b"super" | b"return")
        && (!tld::is_known(last) || class && tld::is_in_programs(last))
}

/// Users of machines and databases, not people.
const SERVICES: &[&str] = &[
    "admin",
    "anonymous",
    "app",
    "db",
    "dbuser",
    "deploy",
    "ec2-user",
    "ftp",
    "git",
    "guest",
    "hg",
    "myuser",
    "mysql",
    "oauth2",
    "pi",
    "postgres",
    "root",
    "svn",
    "test",
    "token",
    "ubuntu",
    "user",
    "username",
    "vagrant",
    "x-access-token",
];

/// Whether what begins at `start` is a password or a service's user in a URL:
/// `scheme://user:password@host`, `ssh://root@host`. A person's name there is an address like any
/// other: `sftp://jane.roe@example.com`.
fn in_url(view: &View<'_>, start: usize, local: &[u8]) -> bool {
    let mut i = start;
    while let Some(b) = view.before(i) {
        if b == b'/' {
            let before = &view.text[view.lo..i];
            let Some(scheme) = before.strip_suffix(b"://") else { return false };
            let mail =
                scheme.len() >= 6 && scheme[scheme.len() - 6..].eq_ignore_ascii_case(b"mailto");
            let service = SERVICES.iter().any(|s| local.eq_ignore_ascii_case(s.as_bytes()));
            return !mail && (view.text[i..start].contains(&b':') || i == start && service);
        }
        if !(b.is_ascii_alphanumeric() || b"._~!$&*+,;=:%-".contains(&b)) || start - i > 100 {
            return false;
        }
        i -= 1;
    }
    false
}
