//! The column of a table: numbers of bare digits stand below each other, and only the head of the
//! table says that they are telephone numbers.
//!
//! Pure. Promise: depends only on the [`REACH`] bytes before a place. Does not: read the head; the
//! first number of a column is found by the words near it.

/// How far before a place its line may begin.
const REACH: usize = 200;
/// Blanks and quotation marks before a number in its column.
const BLANK_MAX: usize = 16;
/// A mark stands so near before the first digit of a number.
const NEAR: usize = 4;
/// How far below the last number of a column the next one may stand.
const BELOW: usize = 512;

/// The column in which a telephone number of bare digits stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The mark between columns.
    mark: u8,
    /// So many of them stand before it in its line.
    index: usize,
    /// Digits of the number.
    pub(crate) digits: usize,
    /// Where it ends.
    end: usize,
}

impl Column {
    /// The column of the bare digits at `start..end`; nothing if they stand in none.
    pub(crate) fn of(
        text: &[u8],
        from_start: bool,
        (start, end): (usize, usize),
    ) -> Option<Column> {
        let (mark, index) = place(text, from_start, start)?;
        Some(Column { mark, index, digits: end - start, end })
    }

    /// The same in a text of which the first `by` bytes are gone.
    pub(crate) fn slide(self, by: usize) -> Option<Column> {
        Some(Column { end: self.end.checked_sub(by)?, ..self })
    }

    /// Whether the number whose digits begin at `q` may stand in this column, as far as the bytes
    /// right before it tell.
    #[inline]
    pub(crate) fn may_be_at(&self, text: &[u8], q: usize) -> bool {
        let near = &text[q.saturating_sub(NEAR)..q];
        self.end + BELOW >= q && near.contains(&self.mark)
    }

    /// Whether the number at `start` stands in this column of another line.
    pub(crate) fn is_at(&self, text: &[u8], start: usize) -> bool {
        self.end + BELOW >= start && place(text, false, start) == Some((self.mark, self.index))
    }
}

/// The mark before `start` that parts columns, and how many of them stand in its line up to there.
fn place(text: &[u8], from_start: bool, start: usize) -> Option<(u8, usize)> {
    let mark = mark_before(text, start)?;
    let from = start.saturating_sub(REACH);
    let before = text.get(from..start)?;
    let line = match memchr::memrchr(b'\n', before) {
        Some(i) => &before[i + 1..],
        None if from == 0 && from_start => before,
        None => return None,
    };
    Some((mark, memchr::memchr_iter(mark, line).count()))
}

/// The mark right before `start`, with blanks and quotation marks between perhaps. Most numbers stand
/// behind none.
#[inline]
fn mark_before(text: &[u8], start: usize) -> Option<u8> {
    let before = text.get(start.saturating_sub(BLANK_MAX)..start)?;
    let mark = *before.iter().rev().find(|b| !matches!(b, b' ' | b'"' | b'\''))?;
    matches!(mark, b',' | b';' | b'|' | b'\t').then_some(mark)
}
