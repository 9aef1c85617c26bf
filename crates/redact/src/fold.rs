//! Folding: how one character of user text is seen by the detectors.
//!
//! Full-width forms, foreign digits, dashes and spaces become their ASCII kin, invisible characters
//! vanish, and every other symbol becomes one break byte, so that detectors work on bytes. Pure.
//! Folding is for looking only: what is not part of a match leaves exactly as it came.
//!
//! Source: Unicode 16 character properties (general category Nd, Cf; block Halfwidth and Fullwidth
//! Forms).

use std::sync::OnceLock;

/// Stands for a symbol that belongs to no match.
pub(crate) const BREAK: u8 = 0x03;
/// Stands for `。`, which is a dot inside a domain name and a full stop elsewhere.
pub(crate) const IDEOGRAPHIC_STOP: u8 = 0x02;
/// Stands for a quotation mark that opens or closes a string of JSON inside a string.
pub(crate) const NESTED_QUOTE: u8 = 0x01;

/// Stands for a picture of a telephone.
pub(crate) const TELEPHONE: u8 = 0x04;
/// Stands for `—`, which is a dash between digits and the end of a clause elsewhere.
pub(crate) const LONG_DASH: u8 = 0x08;
/// Stands for `•` and its kin, which part the groups of some numbers and the entries of lists.
pub(crate) const BULLET: u8 = 0x0B;
/// Stands for `=` and the end of its line: a line of quoted-printable text that goes on (RFC 2045
/// §6.7), or an assignment.
pub(crate) const SOFT_BREAK: u8 = 0x0C;

/// The folded form of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// Seen as this byte.
    Byte(u8),
    /// Not seen.
    Skip,
    /// A letter, mark or digit without an ASCII kin: seen as itself.
    Keep,
}

/// The zero of every run of ten decimal digits (category Nd) outside ASCII and the full-width
/// forms.
const ZEROS: &[u32] = &[
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60, 0x16AC0,
    0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950,
    0x1FBF0,
];

/// Characters of a page.
const PAGE: usize = 256;
/// The folded forms of a page's characters, one byte each: these two, or the byte it is seen as,
/// which is no higher than a `~`.
const KEEP: u8 = 0xFE;
const SKIP: u8 = 0xFF;

/// Folds one character. What is decided once for a page of characters is kept: the tables of
/// Unicode are slow.
pub(crate) fn fold(c: char) -> Fold {
    let code = c as usize;
    match code {
        0x20..=0x7E => return Fold::Byte(code as u8),
        // The common letters.
        0x4E00..=0x9FFF | 0xAC00..=0xD7A3 => return Fold::Keep,
        _ => {}
    }
    match page(code)[code % PAGE] {
        KEEP => Fold::Keep,
        SKIP => Fold::Skip,
        b => Fold::Byte(b),
    }
}

/// A text as the detectors see it.
pub(crate) fn folded(text: &str) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len());
    for c in text.chars() {
        match fold(c) {
            Fold::Byte(b) => folded.push(b),
            Fold::Keep => folded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Fold::Skip => {}
        }
    }
    folded
}

/// The folded forms of the characters of a page.
fn page(code: usize) -> &'static [u8; PAGE] {
    static PAGES: [OnceLock<Box<[u8; PAGE]>>; 0x11_0000 / PAGE] =
        [const { OnceLock::new() }; 0x11_0000 / PAGE];
    PAGES[code / PAGE].get_or_init(|| {
        let first = code - code % PAGE;
        Box::new(std::array::from_fn(|i| match char::from_u32((first + i) as u32).map(decide) {
            Some(Fold::Byte(b)) => b,
            Some(Fold::Keep) => KEEP,
            Some(Fold::Skip) => SKIP,
            None => BREAK,
        }))
    })
}

/// How many bytes of a text are letters that are seen as themselves.
pub(crate) fn kept_len(text: &str) -> usize {
    let (mut at, mut known) = (usize::MAX, None);
    for (i, c) in text.char_indices() {
        let code = c as usize;
        if matches!(code, 0x4E00..=0x9FFF | 0xAC00..=0xD7A3) {
            continue;
        }
        if code / PAGE != at {
            (at, known) = (code / PAGE, Some(page(code)));
        }
        if code < 0x80 || known.is_none_or(|page| page[code % PAGE] != KEEP) {
            return i;
        }
    }
    text.len()
}

/// Folds one character, by the tables.
fn decide(c: char) -> Fold {
    let code = c as u32;
    match code {
        0x09 => Fold::Byte(b'\t'),
        // The ends of lines and pages.
        0x0A..=0x0D => Fold::Byte(b'\n'),
        0x20..=0x7E => Fold::Byte(code as u8),
        // The other control characters.
        0..=0x1F | 0x7F..=0x9F => Fold::Skip,
        // The common letters, before the searches below.
        0xC0..=0x24F if code != 0xD7 && code != 0xF7 => Fold::Keep,
        0x4E00..=0x9FFF | 0xAC00..=0xD7A3 | 0x3041..=0x3096 | 0x30A1..=0x30FA | 0x0400..=0x0481 => {
            Fold::Keep
        }
        0xA0..=0x2FFF => fold_low(c, code),
        0x3000 => Fold::Byte(b' '),
        0x3002 | 0xFF61 => Fold::Byte(IDEOGRAPHIC_STOP),
        // The long-vowel mark stands for a dash between digits and is a letter elsewhere; see
        // `scan`.
        0x1F4DE | 0x1F4DF | 0x1F4F1 | 0x1F4F2 | 0x1F4E0 => Fold::Byte(TELEPHONE),
        0x30FB | 0xFF65 => Fold::Byte(BULLET),
        0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0x3164 | 0xFFF0..=0xFFFC => Fold::Skip,
        0xFE52 => Fold::Byte(b'.'),
        0xFE58 | 0xFE63 | 0x301C | 0xFF5E => Fold::Byte(b'-'),
        0xFE59 => Fold::Byte(b'('),
        0xFE5A => Fold::Byte(b')'),
        0xFE62 => Fold::Byte(b'+'),
        0xFE6B => Fold::Byte(b'@'),
        0xFF01..=0xFF5D => Fold::Byte((code - 0xFEE0) as u8),
        0xE0000..=0xE0FFF
        | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A
        | 0x110BD
        | 0x110CD
        | 0x13430..=0x1343F => Fold::Skip,
        _ => fold_class(c, code),
    }
}

/// U+00A0 to U+2FFF without the Latin letters: spaces, dashes, invisible characters.
fn fold_low(c: char, code: u32) -> Fold {
    match code {
        0x2028 | 0x2029 => Fold::Byte(b'\n'),
        0xA0 | 0x1680 | 0x2000..=0x200A | 0x202F | 0x205F => Fold::Byte(b' '),
        0xAD
        | 0x034F
        | 0x0600..=0x0605
        | 0x061C
        | 0x06DD
        | 0x070F
        | 0x0890..=0x0891
        | 0x08E2
        | 0x115F
        | 0x1160
        | 0x17B4
        | 0x17B5
        | 0x180B..=0x180F
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x206F
        // The box and the ring around a digit ("1️⃣"), and the Braille cell without dots.
        | 0x20DD..=0x20E0
        | 0x20E2..=0x20E4
        | 0x2800 => Fold::Skip,
        0x2010..=0x2013 | 0x2212 | 0x2043 => Fold::Byte(b'-'),
        0x2014 | 0x2015 => Fold::Byte(LONG_DASH),
        0xB7 | 0x2024 | 0x2219 | 0x22C5 => Fold::Byte(b'.'),
        0x2022 | 0x2023 | 0x2027 | 0x204C | 0x204D | 0x25A0 => Fold::Byte(BULLET),
        0x25AA | 0x25AB | 0x25CF | 0x25E6 | 0x2981 | 0x2E31 => Fold::Byte(BULLET),
        // An apostrophe, and the quotation marks that look like one.
        0x2018 | 0x2019 | 0x02BC => Fold::Byte(b'\''),
        0x2044 | 0x2215 => Fold::Byte(b'/'),
        0x2795 => Fold::Byte(b'+'),
        0x260E | 0x260F | 0x2706 | 0x2121 => Fold::Byte(TELEPHONE),
        _ => fold_class(c, code),
    }
}

/// Digits, letters and marks; everything else is a break.
fn fold_class(c: char, code: u32) -> Fold {
    let after = ZEROS.partition_point(|zero| *zero <= code);
    if let Some(zero) = after.checked_sub(1).and_then(|i| ZEROS.get(i))
        && code - zero < 10
    {
        return Fold::Byte(b'0' + (code - zero) as u8);
    }
    // Marks that are not alphabetic (combining accents, viramas) belong to the letter before them.
    let mark = matches!(
        code,
        0x0300..=0x036F
            | 0x0483..=0x0489
            | 0x0591..=0x05C7
            | 0x064B..=0x065F
            | 0x0900..=0x0EFF
            | 0x1AB0..=0x1AFF
            | 0x1DC0..=0x1DFF
            | 0x20D0..=0x20FF
            | 0x3099..=0x309A
            | 0xFE20..=0xFE2F
    );
    if mark || c.is_alphanumeric() { Fold::Keep } else { Fold::Byte(BREAK) }
}

/// Whether a character is a letter, and whether it is a letter or a digit: one bit for each of a
/// page's characters.
#[derive(Debug, Default)]
struct Letters {
    alphabetic: [u64; PAGE / 64],
    alphanumeric: [u64; PAGE / 64],
}

impl Letters {
    /// Those of the page of `c`. What is decided once for a page is kept: the tables of Unicode are
    /// slow.
    fn of(c: char) -> &'static Letters {
        static PAGES: [OnceLock<Box<Letters>>; 0x11_0000 / PAGE] =
            [const { OnceLock::new() }; 0x11_0000 / PAGE];
        PAGES[c as usize / PAGE].get_or_init(|| {
            let first = c as usize - c as usize % PAGE;
            let mut letters = Box::<Letters>::default();
            for i in 0..PAGE {
                let Some(c) = char::from_u32((first + i) as u32) else { continue };
                letters.alphabetic[i / 64] |= u64::from(c.is_alphabetic()) << (i % 64);
                letters.alphanumeric[i / 64] |= u64::from(c.is_alphanumeric()) << (i % 64);
            }
            letters
        })
    }
}

/// Whether `c` is a letter.
pub(crate) fn is_alphabetic(c: char) -> bool {
    let i = c as usize % PAGE;
    Letters::of(c).alphabetic[i / 64] >> (i % 64) & 1 == 1
}

/// Whether `c` is a letter or a digit.
pub(crate) fn is_alphanumeric(c: char) -> bool {
    let i = c as usize % PAGE;
    Letters::of(c).alphanumeric[i / 64] >> (i % 64) & 1 == 1
}

/// Whether words of this letter's script are written without spaces between them, so that a word
/// before or after an ASCII word is not a part of it.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(
        c as u32,
        0x0E00..=0x0EFF
            | 0x1000..=0x109F
            | 0x1100..=0x11FF
            | 0x1780..=0x17FF
            | 0x3005..=0x30FF
            | 0x3130..=0x318F
            | 0x3400..=0x9FFF
            | 0xAC00..=0xD7AF
            | 0xF900..=0xFAFF
            | 0xFF66..=0xFFDC
            | 0x20000..=0x3FFFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_seen_as_their_kin() {
        for (c, seen) in [
            ('a', Fold::Byte(b'a')),
            ('＠', Fold::Byte(b'@')),
            ('．', Fold::Byte(b'.')),
            ('５', Fold::Byte(b'5')),
            ('٣', Fold::Byte(b'3')),
            ('۹', Fold::Byte(b'9')),
            ('७', Fold::Byte(b'7')),
            ('𝟎', Fold::Byte(b'0')),
            ('𝟿', Fold::Byte(b'9')),
            ('\u{2011}', Fold::Byte(b'-')),
            ('−', Fold::Byte(b'-')),
            ('\u{a0}', Fold::Byte(b' ')),
            ('\u{200b}', Fold::Skip),
            ('\u{ad}', Fold::Skip),
            ('\u{feff}', Fold::Skip),
            ('ü', Fold::Keep),
            ('я', Fold::Keep),
            ('話', Fold::Keep),
            ('\u{0301}', Fold::Keep),
            ('“', Fold::Byte(BREAK)),
            ('🙂', Fold::Byte(BREAK)),
            ('×', Fold::Byte(BREAK)),
            ('☎', Fold::Byte(TELEPHONE)),
            ('📱', Fold::Byte(TELEPHONE)),
            ('。', Fold::Byte(IDEOGRAPHIC_STOP)),
        ] {
            assert_eq!(fold(c), seen, "{c:?}");
        }
    }

    #[test]
    fn zeros_are_in_order() {
        assert!(ZEROS.windows(2).all(|w| w[1] - w[0] >= 10));
    }
}
