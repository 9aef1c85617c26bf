//! Text in the form of an address that is none: versions, files, attributes and calls of programs,
//! passwords and service users in URLs.

use super::host::Host;
use crate::detect::{View, tld};

/// Endings of file names that are no top-level domains. Small letters.
pub(crate) fn is_file(ending: &[u8]) -> bool {
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
pub(crate) fn is_attribute(name: &[u8]) -> bool {
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
pub(crate) fn is_no_host(view: &View<'_>, host: &Host) -> bool {
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
pub(crate) fn is_version(second: &[u8]) -> bool {
    let digits = second.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && second.get(digits).is_none_or(|b| *b == b'-')
}

/// Whether a domain ends as a file or an attribute does.
pub(crate) fn is_program_text(view: &View<'_>, host: &Host, last: &[u8]) -> bool {
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
pub(crate) fn is_file_name(view: &View<'_>, host: &Host) -> bool {
    let first = host.first(view);
    let retina = first.len() == 2 && first[0].is_ascii_digit() && first[1] == b'x';
    retina || host.end - host.last != 2 || host.labels == 2
}

/// Whether something that has the form of an address is something else.
pub(crate) fn vetoed(view: &View<'_>, start: usize, at: usize, host: &Host) -> bool {
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
pub(crate) fn is_call(view: &View<'_>, end: usize) -> bool {
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
pub(crate) fn is_label(local: &[u8], first: &[u8], last: &[u8]) -> bool {
    let class = matches!(first, [a, b, ..] if a.is_ascii_uppercase() && b.is_ascii_lowercase());
    matches!(local, b"this" | b"super" | b"return")
        && (!tld::is_known(last) || class && tld::is_in_programs(last))
}

/// Whether what begins at `start` is a password or a service's user in a URL:
/// `scheme://user:password@host`, `ssh://root@host`. A person's name there is an address like any
/// other: `sftp://jane.roe@example.com`.
pub(crate) fn in_url(view: &View<'_>, start: usize, local: &[u8]) -> bool {
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
