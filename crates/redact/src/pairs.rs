//! The first two bytes of words, by which a text is searched for the places where one may begin.
//!
//! Pure. Promise: no place is left out at which one of the words begins. Does not: know more of a
//! word than its first two bytes.

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    /// For each first byte the number of its row, counted from 1; 0 for a byte that no word begins
    /// with.
    rows: [u8; 256],
    /// One bit for each second byte.
    seconds: Vec<[u64; 4]>,
}

impl Pairs {
    pub(crate) fn of<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Pairs {
        let mut pairs = Pairs { rows: [0; 256], seconds: Vec::new() };
        for word in words {
            let [first, rest @ ..] = word.as_ref() else { continue };
            let row = &mut pairs.rows[usize::from(*first)];
            if *row == 0 {
                pairs.seconds.push([0; 4]);
                // The last row, which every byte beyond the rest would share, has all bits.
                *row = u8::try_from(pairs.seconds.len()).unwrap_or(u8::MAX);
            }
            let seconds = &mut pairs.seconds[usize::from(*row) - 1];
            match rest.first() {
                Some(second) if *row < u8::MAX => {
                    seconds[usize::from(second >> 6)] |= 1 << (second & 63);
                }
                _ => *seconds = [u64::MAX; 4],
            }
        }
        pairs
    }

    /// Whether a word may begin with this byte.
    #[inline]
    pub(crate) fn may_begin_with(&self, first: u8) -> bool {
        self.rows[usize::from(first)] != 0
    }

    /// The first place in `from..until` at which a word may begin.
    #[inline]
    pub(crate) fn next(&self, text: &[u8], from: usize, until: usize) -> Option<usize> {
        let part = text.get(from..until)?;
        let may_begin = |(i, first): (usize, &u8)| {
            let row = self.rows[usize::from(*first)];
            row != 0
                && part.get(i + 1).is_none_or(|second| {
                    let seconds = &self.seconds[usize::from(row) - 1];
                    seconds[usize::from(second >> 6)] >> (second & 63) & 1 == 1
                })
        };
        part.iter().enumerate().position(may_begin).map(|i| from + i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_where_both_bytes_are_those_of_one() {
        let pairs = Pairs::of(["sk-", "a", "gh"]);
        let text = b"s-sk-ga.g";
        let all: Vec<usize> =
            (0..text.len()).filter(|i| pairs.next(text, *i, text.len()) == Some(*i)).collect();
        assert_eq!(all, [2, 6, 8]);
        assert_eq!(pairs.next(text, 3, 6), Some(5), "the text ends behind the first byte");
        assert!(pairs.may_begin_with(b's') && !pairs.may_begin_with(b'k'));
        assert_eq!(pairs.next(text, 9, 9), None);
        let all = Pairs::of((0..=255u8).map(|b| [b, b'x']));
        for b in 0..=255u8 {
            assert_eq!(all.next(&[b, b'x'], 0, 2), Some(0), "{b}");
        }
    }
}
