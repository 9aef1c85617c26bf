//! Placeholders: how they are written, and which of them are the same.
//!
//! A leaf. Pure. A replacement in brackets may get a mark: a number in the order in which values
//! appear, or letters that follow from the value and a key. Models change how placeholders are
//! written, so two of them are the same if their cores are: upper case, `_` for a blank and a
//! hyphen, no brackets. Does not: keep values (`restore` does), or make the digests.

/// How placeholders are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placeholders {
    /// `[REDACTED_EMAIL]`
    #[default]
    Plain,
    /// `[REDACTED_EMAIL_1]`: the same value has the same number within a call.
    Numbered,
    /// `[REDACTED_EMAIL_BCDFGHJKLM]`: the same value has the same letters in every call that is
    /// made with the same key.
    Stable,
}

/// Makes the letters of [`Placeholders::Stable`]; the key stays inside.
pub trait PlaceholderKey: Send + Sync + std::fmt::Debug {
    /// A keyed digest of a value of this kind.
    fn digest(&self, kind: &str, value: &[u8]) -> [u8; 32];
}

/// Letters of a stable mark: no vowels, so that they make no word, and no digits, so that no
/// detector takes them for a number.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many of them a mark has; more where two values of one call begin alike.
pub(crate) const LETTERS_OF_MARK: [usize; 3] = [10, 12, 14];
/// Longest name inside the brackets of a placeholder that gets a mark.
const NAME_MAX: usize = 100;

/// The part that tells the placeholder of one value from that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Number(u32),
    Letters([u8; 14], u8),
}

impl Mark {
    /// All letters of a digest.
    pub(crate) fn letters(digest: &[u8; 32]) -> [u8; 14] {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let mut number = u128::from_be_bytes(bytes);
        std::array::from_fn(|_| {
            let letter = LETTERS[(number % LETTERS.len() as u128) as usize];
            number /= LETTERS.len() as u128;
            letter
        })
    }

    /// Shows the mark as text.
    pub(crate) fn with<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        match self {
            Mark::Number(number) => take(&number.to_string()),
            Mark::Letters(letters, n) => {
                take(std::str::from_utf8(&letters[..usize::from(*n)]).unwrap_or_default())
            }
        }
    }
}

/// The name of a replacement as it is compared; nothing if its placeholders get no mark.
pub(crate) fn name(replacement: &str) -> Option<Box<str>> {
    let name = replacement.strip_prefix('[')?.strip_suffix(']')?;
    let odd = |c: char| c.is_control() || matches!(c, '[' | ']' | '"' | '\\' | '%' | '【' | '】');
    let fits = !name.is_empty() && name.len() <= NAME_MAX && !name.contains(odd);
    fits.then(|| name.chars().map(alike).collect::<String>().into())
}

/// The form in which a placeholder with this name and mark is compared.
pub(crate) fn core(name: &str, mark: &str) -> Box<str> {
    format!("{name}_{mark}").into()
}

/// The core of a placeholder as it was written.
pub(crate) fn core_of(written: &str) -> String {
    let inside = written.replace("%5B", "[").replace("%5b", "[");
    let inside = inside.replace("%5D", "]").replace("%5d", "]").replace('\\', "");
    inside.trim_matches(['[', ']', '【', '】', ' ']).chars().map(alike).collect()
}

/// A character of a placeholder as it is compared.
pub(crate) fn alike(c: char) -> char {
    if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_uppercase() }
}

/// Placeholders that may be met.
pub(crate) trait Known {
    /// Whether one of them begins with this core.
    fn begins(&self, core: &str) -> bool;
    /// Whether this is the core of one of them.
    fn has(&self, core: &str) -> bool;
    /// Whether one of them may begin with this letter where it stands without brackets.
    fn may_be_bare(&self, first: char) -> bool;
}

/// How far a text is like a placeholder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing was read.
    #[default]
    Start,
    /// So many backslashes before the opening bracket.
    OpenSlash(u8),
    /// `%`, or `%5`.
    OpenPercent(bool),
    /// Behind the bracket; `true`: and a blank.
    Opened(bool),
    /// In the core; `true`: without brackets.
    Core(bool),
    /// So many backslashes within or behind the core.
    CoreSlash(u8, bool),
    /// A blank behind a core that may be whole.
    Blank,
    /// `%`, or `%5`, behind the core.
    ClosePercent(bool),
}

/// The next character of a text that may be a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    More,
    /// The placeholder ends with this character.
    Whole,
    /// The placeholder has ended before this character.
    WholeBefore,
    /// It is none.
    No,
}

/// Reads what may be one placeholder: in brackets, which may be escaped for Markdown or a URL, or
/// without them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    phase: Phase,
    core: String,
}

impl Attempt {
    pub(crate) fn reset(&mut self) {
        self.phase = Phase::Start;
        self.core.clear();
    }

    pub(crate) fn core(&self) -> &str {
        &self.core
    }

    /// Whether a placeholder may begin with this character. `bounded`: no letter or digit stands
    /// before it.
    pub(crate) fn may_begin(known: &impl Known, c: char, bounded: bool) -> bool {
        matches!(c, '[' | '【' | '\\' | '%') || bounded && known.may_be_bare(c)
    }

    /// Whether the text may end here and be a placeholder.
    pub(crate) fn is_whole_at_end(&self, known: &impl Known) -> bool {
        self.phase == Phase::Core(true) && known.has(&self.core)
    }

    /// Takes the next character. `slashes`: so many backslashes escape a character.
    pub(crate) fn step(&mut self, known: &impl Known, c: char, slashes: u8) -> Verdict {
        match self.phase {
            Phase::Start => match c {
                '[' | '【' => self.go(Phase::Opened(false)),
                '\\' => self.go(Phase::OpenSlash(1)),
                '%' => self.go(Phase::OpenPercent(false)),
                c => self.core_char(known, c, true),
            },
            Phase::OpenSlash(n) => match c {
                '\\' if n < slashes => self.go(Phase::OpenSlash(n + 1)),
                '[' if n == slashes => self.go(Phase::Opened(false)),
                _ => Verdict::No,
            },
            Phase::OpenPercent(false) if c == '5' => self.go(Phase::OpenPercent(true)),
            Phase::OpenPercent(true) if matches!(c, 'B' | 'b') => self.go(Phase::Opened(false)),
            Phase::OpenPercent(_) => Verdict::No,
            Phase::Opened(false) if c == ' ' && !known.begins("_") => self.go(Phase::Opened(true)),
            Phase::Opened(_) => self.core_char(known, c, false),
            Phase::Core(bare) => self.in_core(known, c, bare),
            Phase::CoreSlash(n, bare) => match c {
                '\\' if n < slashes => self.go(Phase::CoreSlash(n + 1, bare)),
                '_' | '-' if n == slashes => self.core_char(known, c, bare),
                ']' if n == slashes && !bare && known.has(&self.core) => Verdict::Whole,
                _ => Verdict::No,
            },
            Phase::Blank => match c {
                ']' | '】' => Verdict::Whole,
                '\\' => self.go(Phase::CoreSlash(1, false)),
                '%' => self.go(Phase::ClosePercent(false)),
                c if self.core_char(known, '_', false) == Verdict::More => {
                    self.core_char(known, c, false)
                }
                _ => Verdict::No,
            },
            Phase::ClosePercent(false) if c == '5' => self.go(Phase::ClosePercent(true)),
            Phase::ClosePercent(true) if matches!(c, 'D' | 'd') => Verdict::Whole,
            Phase::ClosePercent(_) => Verdict::No,
        }
    }

    fn in_core(&mut self, known: &impl Known, c: char, bare: bool) -> Verdict {
        let whole = known.has(&self.core);
        match c {
            ']' | '】' if !bare => return if whole { Verdict::Whole } else { Verdict::No },
            ' ' if !bare && whole => return self.go(Phase::Blank),
            '%' if !bare && whole => return self.go(Phase::ClosePercent(false)),
            '\\' if !bare || self.goes_on(known) => return self.go(Phase::CoreSlash(1, bare)),
            _ => {}
        }
        match self.core_char(known, c, bare) {
            Verdict::No if bare && whole && !c.is_alphanumeric() => Verdict::WholeBefore,
            verdict => verdict,
        }
    }

    /// Whether a separator may follow.
    fn goes_on(&mut self, known: &impl Known) -> bool {
        self.core.push('_');
        let begins = known.begins(&self.core);
        self.core.pop();
        begins
    }

    fn core_char(&mut self, known: &impl Known, c: char, bare: bool) -> Verdict {
        self.core.push(alike(c));
        if known.begins(&self.core) {
            return self.go(Phase::Core(bare));
        }
        self.core.pop();
        Verdict::No
    }

    fn go(&mut self, phase: Phase) -> Verdict {
        self.phase = phase;
        Verdict::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_follow_from_the_digest() {
        let mut digest = [0; 32];
        assert_eq!(&Mark::letters(&digest), b"BBBBBBBBBBBBBB");
        digest[15] = 21;
        assert_eq!(&Mark::letters(&digest), b"CCBBBBBBBBBBBB");
        let mark = Mark::Letters(Mark::letters(&digest), 10);
        assert_eq!(mark.with(str::to_owned), "CCBBBBBBBB");
        assert_eq!(Mark::Number(12).with(str::to_owned), "12");
    }

    #[test]
    fn a_core_is_the_same_however_it_is_written() {
        for written in [
            "[Kunde Nr_1]",
            "[ kunde-nr 1 ]",
            r"\[KUNDE\_NR\_1\]",
            "【kunde_nr_1】",
            "%5BKunde Nr 1%5d",
        ] {
            assert_eq!(core_of(written), "KUNDE_NR_1", "{written}");
        }
        assert_eq!(name("[Kunde Nr]").as_deref(), Some("KUNDE_NR"));
        for none in ["[]", "x", "[a]b]", "[a\"]", "[50%]", "", "[\u{7}]"] {
            assert_eq!(name(none), None, "{none}");
        }
        assert_eq!(name(&format!("[{}]", "x".repeat(101))), None);
    }
}
