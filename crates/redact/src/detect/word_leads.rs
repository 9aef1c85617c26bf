//! The first bytes of words, by which most places of a text are out before a word is tried there.
//!
//! Pure. Promise: no place is out at which one of the words begins, in capitals or not. Does not:
//! know more of a word than its first four bytes.

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Leads {
    /// The first three bytes, by the last five bits of each: one bit for each third one.
    letters: Box<[u32; 1 << 10]>,
    /// The same of words that begin with a character of two bytes, and with one of more, by bytes
    /// that tell them apart: see [`wide`].
    wide: Box<[[u64; 64]; 2]>,
}

impl Default for Leads {
    fn default() -> Leads {
        Leads { letters: Box::new([0; 1 << 10]), wide: Box::new([[0; 64]; 2]) }
    }
}

impl Leads {
    pub(crate) fn add(&mut self, word: &[u8]) {
        if let Some((length, row, bit)) = wide(word) {
            self.wide[length][row] |= bit.map_or(u64::MAX, |bit| 1 << bit);
        }
        let [first, rest @ ..] = word else { return };
        let bit = |b: Option<&u8>| b.map_or(u32::MAX, |b| 1 << (b & 31));
        let (second, third) = (bit(rest.first()), bit(rest.get(1)));
        for next in (0..32).filter(|next| second >> next & 1 == 1) {
            self.letters[usize::from(first & 31) << 5 | next] |= third;
        }
    }

    /// Whether a word may begin at `i`. Says yes to more places than are right.
    #[inline]
    pub(crate) fn may_begin(&self, text: &[u8], i: usize) -> bool {
        if text[i] >= 0xC0 {
            let lead = wide(&text[i..text.len().min(i + 4)]);
            return lead.is_some_and(|(length, row, bit)| match bit {
                Some(bit) => self.wide[length][row] >> bit & 1 == 1,
                // The text ends.
                None => self.wide[length][row] != 0,
            });
        }
        let low = |i: usize| usize::from(text.get(i).map_or(0, |b| b & 31));
        self.letters[low(i) << 5 | low(i + 1)] >> low(i + 2) & 1 == 1
    }
}

/// Tells apart what begins with a character that is not ASCII: its length, the last six bits of its
/// second byte, and those of the last byte of the first four, or three where the first character has
/// as many. Nothing if it is ASCII, or has one byte.
#[inline]
fn wide(text: &[u8]) -> Option<(usize, usize, Option<u8>)> {
    let (first, second) = (*text.first()?, *text.get(1)?);
    if first < 0xC0 {
        return None;
    }
    let length = usize::from(first >= 0xE0);
    Some((length, usize::from(second & 63), text.get(3 - length).map(|b| b & 63)))
}
