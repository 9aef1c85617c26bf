//! Strings that need no closer look: they hold none of the bytes that a match needs.

use super::{Look, holds_quoted_at, markers};
use crate::block::{self, Block};
use crate::detect::secret;
use crate::rules::Compiled;

/// Strings that are looked at byte by byte.
pub(crate) const SHORT: usize = 16;
/// Fewest bytes of an e-mail address: "a@b.co".
const ADDRESS_MIN: usize = 6;
/// Fewest bytes of a `data:` URL: "data:a/,".
const DATA_URL_MIN: usize = 8;

/// Classes of bytes without which a short string holds no match: `@` and `%`, a dot or a bracket
/// behind them, a colon, digits, an equals sign.
const AT: u8 = 1;
const DOT: u8 = 2;
const COLON: u8 = 4;
const DIGIT: u8 = 8;
const EQUALS: u8 = 16;
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    (class[b'@' as usize], class[b'%' as usize]) = (AT, AT);
    (class[b'.' as usize], class[b'[' as usize]) = (DOT, DOT);
    class[b':' as usize] = COLON;
    class[b'=' as usize] = EQUALS;
    let mut digit = b'0';
    while digit <= b'9' {
        class[digit as usize] = DIGIT;
        digit += 1;
    }
    class
};

/// Whether a text holds a plus, as it is or in quoted-printable. (In a URL it stands behind `%`,
/// which is looked at anyway.)
fn holds_plus(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'+', b'=', text)
        .any(|at| matches!(text[at..], [b'+', ..] | [b'=', b'2', b'B' | b'b', ..]))
}

/// Whether all bytes of a text stand behind `@`, as those of most names do: letters, `_`, brackets.
fn is_behind_at(text: &[u8]) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    // The highest bit of each byte that is not: exact, as a whole.
    let holds = |word: u64| word.wrapping_sub(LOW * (b'@' as u64 + 1)) & !word & (LOW << 7) == 0;
    let (words, rest) = text.as_chunks::<8>();
    let last = match (rest.is_empty(), text.last_chunk::<8>()) {
        (true, _) => return words.iter().all(|word| holds(u64::from_le_bytes(*word))),
        (false, Some(last)) => u64::from_le_bytes(*last),
        (false, None) => match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => {
                let halves = [u32::from_le_bytes(*first), u32::from_le_bytes(*last)];
                u64::from(halves[0]) | u64::from(halves[1]) << 32
            }
            _ => return text.iter().all(|b| *b > b'@'),
        },
    };
    holds(last) && words.iter().all(|word| holds(u64::from_le_bytes(*word)))
}

/// Whether a string that is `text` from its beginning to its end holds nothing that a detector would
/// be asked about. `marks`: text like a placeholder is looked for, too.
pub(crate) fn is_harmless(rules: &Compiled, marks: bool, text: &[u8], look: Look) -> bool {
    if rules.windowed()
        || rules.secrets.is_some() && text.len() >= secret::SHORTEST
        || marks && markers::may_hold(rules, text)
    {
        return false;
    }
    if rules.digits_min > 0 && is_behind_at(text) {
        return true;
    }
    let digits_min = match look {
        // In a name digits mean nothing but behind a plus.
        Look::Names if !holds_plus(text) => u32::MAX,
        _ => rules.digits_min,
    };
    // Many strings are shorter than a block.
    if text.len() < SHORT {
        let (mut seen, mut digits) = (0, 0);
        for b in text {
            let class = CLASS[usize::from(*b)];
            seen |= class;
            digits += u32::from(class == DIGIT);
        }
        let address = seen & AT != 0 && seen & DOT != 0 && text.len() >= ADDRESS_MIN;
        let colon = seen & COLON != 0 && (!rules.at_colon.is_empty() || text.len() >= DATA_URL_MIN);
        let quoted = seen & EQUALS != 0 && holds_quoted_at(text);
        return !address && !colon && !quoted && digits < digits_min;
    }
    let (mut digits, mut at) = (0, 0);
    while at < text.len() {
        let block = Block::of(text, at);
        if block.has_begin() {
            digits += block.digits().count_ones();
            // A sign that is encoded may go on behind the block.
            let rest = &text[at..text.len().min(at + block::LEN + 2)];
            if block.marks() != 0 || digits >= digits_min || holds_quoted_at(rest) {
                return false;
            }
        }
        at += block::LEN;
    }
    digits < digits_min
}
