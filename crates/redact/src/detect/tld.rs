//! The endings that domain names have on the public internet.
//!
//! Pure. Source: the first section of the Public Suffix List (publicsuffix.org), which follows
//! IANA's root zone database, last labels alone. Does not: refuse an address for its ending; it
//! decides where something else is as likely.

use std::sync::OnceLock;

/// Small letters, in order, blanks and ends of lines between.
const LIST: &str = include_str!("tlds.txt");
/// Longest ending that is no encoded one, in bytes.
const LEN_MAX: usize = 18;

/// Endings that are also what programs call methods, fields and marks of loops: "x@y.to(0)",
/// "this@Main.name".
const IN_PROGRAMS: &[&str] = &[
    "app", "as", "at", "be", "bar", "box", "by", "cal", "call", "cat", "click", "data", "date",
    "day", "dev", "do", "dot", "download", "events", "fail", "fit", "fly", "foo", "group", "help",
    "host", "how", "id", "in", "info", "int", "is", "it", "link", "live", "map", "me", "name",
    "net", "new", "next", "now", "one", "open", "page", "ping", "play", "plus", "post", "read",
    "red", "rest", "run", "save", "search", "select", "show", "space", "store", "stream", "style",
    "tab", "to", "top", "total", "watch", "win", "work", "zip", "zone",
];

/// Whether domain names end like this; upper and lower case are alike, and endings in other scripts
/// are not looked up.
pub(crate) fn is_known(ending: &[u8]) -> bool {
    if ending.len() > 4 && ending[..4].eq_ignore_ascii_case(b"xn--") || !ending.is_ascii() {
        return true;
    }
    let mut small = [0; LEN_MAX];
    let Some(small) = small.get_mut(..ending.len()) else { return false };
    small.copy_from_slice(ending);
    small.make_ascii_lowercase();
    Known::all().has(small)
}

/// The endings, in order.
struct Known {
    /// Those of at most eight bytes, each as one number.
    short: Vec<u64>,
    long: Vec<&'static str>,
}

impl Known {
    fn all() -> &'static Known {
        static READ: OnceLock<Known> = OnceLock::new();
        READ.get_or_init(|| {
            let all = LIST.split_ascii_whitespace();
            let (short, long): (Vec<_>, Vec<_>) = all.partition(|ending| ending.len() <= 8);
            Known { short: short.iter().map(|ending| packed(ending.as_bytes())).collect(), long }
        })
    }

    fn has(&self, small: &[u8]) -> bool {
        if small.len() <= 8 {
            self.short.binary_search(&packed(small)).is_ok()
        } else {
            self.long.binary_search_by(|known| known.as_bytes().cmp(small)).is_ok()
        }
    }
}

/// At most eight bytes as one number, in the order of the bytes.
fn packed(small: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..small.len()].copy_from_slice(small);
    u64::from_be_bytes(bytes)
}

/// Whether an ending that is known means something in programs, too.
pub(crate) fn is_in_programs(ending: &[u8]) -> bool {
    IN_PROGRAMS.iter().any(|word| ending.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_known_in_any_case() {
        let words: Vec<&str> = LIST.split_ascii_whitespace().collect();
        assert!(words.is_sorted() && words.len() > 1300);
        assert!(words.iter().all(|w| w.len() <= LEN_MAX && is_known(w.as_bytes())));
        assert!(IN_PROGRAMS.iter().all(|w| is_known(w.as_bytes())), "{IN_PROGRAMS:?}");
        assert!(is_known(b"COM") && is_known(b"xn--p1ai") && is_known("рф".as_bytes()));
        assert!(
            !is_known(b"")
                && !is_known(b"shape")
                && !is_known(b"internal")
                && !is_known(&[b'a'; 64])
        );
    }
}
