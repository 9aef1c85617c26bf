//! Strings that need no closer look: they hold none of the bytes that a match needs.

use super::{Look, Scanner, holds_quoted_at};
use crate::block::{self, Block};
use crate::detect::secret;

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
    let quoted = |at: usize| matches!(text[at + 1..], [b'2', b'B' | b'b', ..]);
    text.contains(&b'+') || memchr::memchr_iter(b'=', text).any(quoted)
}

impl Scanner {
    /// Whether a string that is `text` from its beginning to its end holds nothing that a detector
    /// would be asked about.
    pub(crate) fn is_harmless(&self, text: &[u8], look: Look) -> bool {
        let digits_min = match look {
            // In a name digits mean nothing but behind a plus.
            Look::Names if !holds_plus(text) => u32::MAX,
            _ => self.rules.digits_min,
        };
        if self.rules.windowed()
            || self.rules.secrets.is_some() && text.len() >= secret::SHORTEST
            || self.may_hold_marker(text)
        {
            return false;
        }
        // Many strings are shorter than a block.
        if text.len() < SHORT {
            let (mut seen, mut digits) = (0, 0);
            for b in text {
                let class = CLASS[usize::from(*b)];
                seen |= class;
                digits += u32::from(class == DIGIT);
            }
            let address = seen & AT != 0 && seen & DOT != 0 && text.len() >= ADDRESS_MIN;
            let colon = seen & COLON != 0
                && (!self.rules.at_colon.is_empty() || text.len() >= DATA_URL_MIN);
            let quoted = seen & EQUALS != 0 && holds_quoted_at(text);
            return !address && !colon && !quoted && digits < digits_min;
        }
        let mut digits = 0;
        (0..text.len()).step_by(block::LEN).all(|at| {
            let block = Block::of(text, at);
            digits += block.digits().count_ones();
            block.marks() == 0 && digits < digits_min
        }) && !holds_quoted_at(text)
    }
}
