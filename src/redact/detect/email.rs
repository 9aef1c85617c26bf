//! E-mail addresses in prose, code and URLs: RFC 5321 local parts and domains, internationalised ones (RFC 6531),
//! quoted local parts, address literals, and `%40` for `@`.
//!
//! Where a grammar of addresses would take too much of the text around one (`?email=bob@…`, `我的邮箱是bob@…`), the
//! text's own habits decide. Not taken: `name@1.2.3`, `icon@2x.png`, `git@host:path`, the user part of a URL, `x@y.shape(`.

use super::View;
use crate::redact::fold::{IDEOGRAPHIC_STOP, NESTED_QUOTE, is_unspaced};

/// Longest local part that is taken whole, in bytes; of a longer run only the end is.
const LOCAL_MAX: usize = 200;
/// What is taken of a run that is too long (RFC 5321 §4.5.3.1.1).
const LOCAL_TAKEN: usize = 64;
/// Longest domain, in bytes of folded text.
const DOMAIN_MAX: usize = 400;
/// Longest quoted local part.
pub(in crate::redact) const QUOTED_MAX: usize = 80;

/// Finds the address around the `@` (or `%40`, `%2540`) at `at`, which is `width` bytes wide.
pub(in crate::redact) fn find(view: &View<'_>, at: usize, width: usize) -> Option<(usize, usize)> {
    // Nothing before it, or what no local part ends with.
    if !view.before(at).is_some_and(|b| is_local(b) || matches!(b, b'"' | b']')) {
        return None;
    }
    let end = domain(view, at + width)?;
    // First what is told by few bytes: the text before it may be long.
    if is_no_host(view, at + width, end) {
        return None;
    }
    let mut start = if matches!(view.before(at), Some(b'"')) { quoted(view, at)? } else { local(view, at)? };
    if view.at(start) == Some(b'_') && view.at(end) == Some(b'_') && start + 1 < at {
        // Emphasis in Markdown.
        start += 1;
    }
    if vetoed(view, start, at, end) { None } else { Some((start, end)) }
}

/// For each byte: whether it may stand in a local part (1), and whether it is no letter, digit, dot, dash, plus or low
/// line (2).
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        let common = c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'+' | b'_');
        let odd = matches!(
            c,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        );
        class[b] = if odd { 3 } else { common as u8 };
        b += 1;
    }
    class
};

/// Whether this byte may stand in a local part without quotation marks, or in a character that may.
pub(in crate::redact) fn is_local(b: u8) -> bool {
    b >= 0x80 || CLASS[usize::from(b)] != 0
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
            if class == 0 {
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
    if seen & 2 != 0 && is_rfc_art(&view.text[i..at]) {
        return Some(i);
    }
    let bracketed = view.before(i) == Some(b'<');
    // A backslash and a letter that were left as they stood, not at the end of a word: "…,\\nbob@example.com".
    let escape =
        matches!(view.text[i..at].first(), Some(b'n' | b'r' | b't')) && i + 1 < at && view.before(i) == Some(b'\\');
    if escape && !view.before(i - 1).is_some_and(|b| b.is_ascii_alphanumeric()) {
        i += 1;
    }
    let start = if seen & 2 != 0 { i + cut(&view.text[i..at], bracketed) } else { i + led(&view.text[i..at]) };
    view.text[start..at].iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80).then_some(start)
}

/// How much of a run of local-part characters is the text's own punctuation: URL paths, queries, assignments, markup.
/// `bracketed`: it stands right behind `<`, so that an equals sign in it is its own ("<CAF7x9k=abc@mail.example.com>").
fn cut(run: &[u8], bracketed: bool) -> usize {
    // "curl -d 'email=bob@…'"
    let mut from = run.iter().take_while(|b| **b == b'\'').count();
    if let Some(i) = run.iter().rposition(|b| matches!(b, b'|' | b'`' | b'{' | b'}' | b'?' | b'#' | b'*')) {
        from = i + 1;
    }
    // Percent-encoded separators: "%20bob", "%3Cbob", "to%3Dbob".
    while let Some(i) = run[from..].windows(3).position(|w| {
        w[0] == b'%'
            && matches!(
                &w[1..].to_ascii_uppercase()[..],
                b"20"
                    | b"22"
                    | b"26"
                    | b"27"
                    | b"28"
                    | b"2C"
                    | b"2F"
                    | b"3A"
                    | b"3B"
                    | b"3C"
                    | b"3D"
                    | b"3E"
                    | b"3F"
                    | b"5B"
                    | b"7B"
                    | b"09"
                    | b"0A"
                    | b"0D"
            )
    }) {
        from += i + 3;
    }
    // A path: what follows the last slash, unless the slash stands inside a word ("customer/department=shipping").
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
            || rest[..i].iter().all(|b| b.is_ascii_alphanumeric() || b"_-.$&=".contains(b) || *b >= 0x80))
    {
        from += i + 1;
    }
    from + led(&run[from..])
}

/// How many characters at the beginning are the text's own punctuation; one at least is left.
fn led(run: &[u8]) -> usize {
    // "!def!xyz%abc@example.com": a path of hosts.
    if matches!(run, [b'!', next, rest @ ..] if next.is_ascii_alphanumeric() && rest.contains(&b'!')) {
        return 0;
    }
    run.iter().take_while(|b| b".-'*/=!#&~^|{}?`".contains(b)).count().min(run.len().saturating_sub(1))
}

/// A local part of the kind only standards write: "!#$%&'*+/=?^_`{|}~".
fn is_rfc_art(run: &[u8]) -> bool {
    run.iter().filter(|b| !b.is_ascii_alphanumeric() && b"!#$%&'*+/=?^_`{|}~".contains(b)).count() > 8
}

/// Where a quoted local part begins whose closing mark stands before `at`.
fn quoted(view: &View<'_>, at: usize) -> Option<usize> {
    let mut i = at - 1;
    while let Some(b) = view.before(i) {
        i -= 1;
        if b == b'"' && view.before(i) != Some(b'\\') {
            let open = match view.before(i) {
                None => true,
                Some(b) => matches!(b, b' ' | b'\t' | b'\n' | b'<' | b'(' | b',' | b';' | b':' | NESTED_QUOTE),
            };
            return (open && i + 2 < at).then_some(i);
        }
        if b == b'\n' || b == NESTED_QUOTE || at - i > QUOTED_MAX {
            return None;
        }
    }
    None
}

/// Where the domain that begins at `from` ends.
fn domain(view: &View<'_>, from: usize) -> Option<usize> {
    if view.at(from) == Some(b'[') {
        return literal(view, from);
    }
    let mut labels = 0;
    let mut best = None;
    let mut i = from;
    loop {
        let (end, tld) = label(view, i);
        if end == i || end - from > DOMAIN_MAX {
            break;
        }
        labels += 1;
        if labels >= 2 && tld > i {
            best = Some(tld);
        }
        let stop = view.at(end);
        let next = view.at(end + 1);
        let dot = stop == Some(b'.') && next.is_some_and(|b| b.is_ascii_alphanumeric() || b >= 0x80)
            || stop == Some(IDEOGRAPHIC_STOP) && labels == 1 && next.is_some_and(|b| b.is_ascii_alphanumeric());
        // Text glued behind a domain in another script is not followed by more of the domain, and neither is a sentence:
        // "example.com.Please".
        let glued = labels >= 2 && tld > i && tld < end && view.at(tld).is_some_and(|b| b >= 0x80);
        if !dot || glued || labels >= 2 && tld == end && sentence(view, i, end) {
            break;
        }
        i = end + 1;
    }
    best
}

/// Whether what follows the label in small letters at `from..end` and its dot is a word with a capital.
fn sentence(view: &View<'_>, from: usize, end: usize) -> bool {
    let next = &view.text[end + 1..view.text.len().min(end + 3)];
    view.text[from..end].iter().all(u8::is_ascii_lowercase)
        && matches!(next, [a, b] if a.is_ascii_uppercase() && b.is_ascii_lowercase())
}

/// The end of the label at `from`, and where it ends as a top-level domain (`from`, if it cannot be one).
fn label(view: &View<'_>, from: usize) -> (usize, usize) {
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
            if !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-' && i > from) {
                break;
            }
            if !first_ascii && b.is_ascii_alphabetic() && view.char_before(i).is_some_and(is_unspaced) {
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
    let tld = if ace || !first_ascii {
        i
    } else {
        let end = letters.unwrap_or(i).min(i);
        // `ma\u{f1}ana`-like labels are letters too; a top-level domain of mixed scripts does not exist.
        if end >= from + 2 && end - from <= 63 { end } else { from }
    };
    let tld = if !first_ascii && text.iter().all(u8::is_ascii_digit) { from } else { tld };
    (i, if text.len() < 2 { from } else { tld })
}

/// Letters of scripts that no address mixes with ASCII ones, and that are not taken for Latin letters either: what stands
/// in them before an ASCII address is the text's.
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
            | b"mt"
    )
}

/// Whether what has the form of a domain is something else.
fn is_no_host(view: &View<'_>, host: usize, end: usize) -> bool {
    let domain = &view.text[host..end];
    if domain.first() == Some(&b'[') {
        return false;
    }
    let dot = |from: usize| domain[from..].iter().position(|b| *b == b'.').map_or(domain.len(), |i| from + i);
    let first_end = dot(0);
    let first = &domain[..first_end];
    let second = domain.get(first_end + 1..).unwrap_or_default();
    let second = &second[..dot((first_end + 1).min(domain.len())) - (first_end + 1).min(domain.len())];
    let last = &domain[domain.iter().rposition(|b| *b == b'.').map_or(0, |i| i + 1)..];
    // No ending in the lists is longer.
    let mut small = [0u8; 9];
    let small = small.get_mut(..last.len()).map_or(&b""[..], |small| {
        small.copy_from_slice(last);
        small.make_ascii_lowercase();
        small
    });
    let digits = |s: &[u8]| !s.is_empty() && s.iter().all(u8::is_ascii_digit);
    // pkg@1.2.3-beta.rc, action@v4.1.x
    let version = first.strip_prefix(b"v").unwrap_or(first);
    if version.first().is_some_and(u8::is_ascii_digit)
        && digits(version)
        && second.first().is_some_and(u8::is_ascii_digit)
        && !second.iter().all(u8::is_ascii_alphabetic)
        && digits(second.split(|b| *b == b'-').next().unwrap_or_default())
    {
        return true;
    }
    let retina = first.len() == 2 && first[0].is_ascii_digit() && first[1] == b'x';
    if is_file(small) && (retina || last.len() != 2 || !second.is_empty() && labels_of(domain) == 2) {
        return true;
    }
    // Code: a call, an attribute of an array.
    let call = view.at(end) == Some(b'(')
        && view.at(end + 1).is_some_and(|b| matches!(b, b')' | b'-' | b'"' | b'\'') || b.is_ascii_digit());
    call || is_attribute(small)
}

/// Whether something that has the form of an address is something else.
fn vetoed(view: &View<'_>, start: usize, at: usize, end: usize) -> bool {
    let local = &view.text[start..at];
    if view.text[at..end].ends_with(b"]") {
        return false;
    }
    // A qualified `this` in code.
    if matches!(local, b"this" | b"super" | b"return") {
        return true;
    }
    // git@host:path and ssh://git@host
    if matches!(local, b"git" | b"hg" | b"svn") && matches!(view.at(end), Some(b':' | b'/')) {
        return true;
    }
    // "ftp://anonymous:bob@example.com@host/": the address is the password.
    view.at(end) != Some(b'@') && in_url(view, start)
}

fn labels_of(domain: &[u8]) -> usize {
    domain.split(|b| *b == b'.').count()
}

/// Whether the local part is the user part of a URL: `scheme://user:password@host`.
fn in_url(view: &View<'_>, start: usize) -> bool {
    let mut i = start;
    while let Some(b) = view.before(i) {
        if b == b'/' {
            let before = &view.text[view.lo..i];
            return before.ends_with(b"://");
        }
        if !(b.is_ascii_alphanumeric() || b"._~!$&*+,;=:%-".contains(&b)) || start - i > 100 {
            return false;
        }
        i -= 1;
    }
    false
}
