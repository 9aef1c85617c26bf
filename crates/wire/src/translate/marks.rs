//! The marks of the prompt cache.
//!
//! Guarantees: at most as many marks are written as providers take, the last ones of a request; one
//! that is left out is noted. Each format writes a mark in its own form.

use std::borrow::Cow;

use super::loss::Losses;
use super::neutral::CacheMark;

/// Marks that providers take in one request; the last ones count.
const MARKS_MAX: usize = 4;

/// The marks of one request, in the order in which they are written.
pub(crate) struct Marks {
    left_out: usize,
    are_taken: bool,
}

impl Marks {
    /// Of a request that has so many. `are_taken`: the target takes marks.
    pub(crate) fn new(count: usize, are_taken: bool) -> Marks {
        Marks { left_out: count.saturating_sub(MARKS_MAX), are_taken }
    }

    /// Whether the target takes marks.
    pub(crate) fn are_taken(&self) -> bool {
        self.are_taken
    }

    /// The next mark, if it is to be written; else notes that it is left out.
    pub(crate) fn next(
        &mut self,
        mark: Option<CacheMark>,
        name: impl Into<Cow<'static, str>>,
        losses: &mut Losses,
    ) -> Option<CacheMark> {
        let mark = mark?;
        if self.left_out == 0 && self.are_taken {
            return Some(mark);
        }
        self.left_out = self.left_out.saturating_sub(1);
        losses.drop_hint(name);
        None
    }
}

impl CacheMark {
    /// Whether it is to be kept for longer than the shortest time that there is.
    pub(crate) fn is_long(self) -> bool {
        self.minutes.is_some_and(|minutes| minutes > 5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_marks_count() {
        for (count, are_taken, expected) in
            [(3, true, 3), (4, true, 4), (6, true, 4), (2, false, 0)]
        {
            let (mut marks, mut losses) = (Marks::new(count, are_taken), Losses::default());
            let written: Vec<bool> = (0..count)
                .map(|_| marks.next(Some(CacheMark::default()), "cache", &mut losses).is_some())
                .collect();
            assert_eq!(written.iter().filter(|is_written| **is_written).count(), expected);
            assert!(written.is_sorted(), "the last ones: {written:?}");
            assert_eq!(losses.is_empty(), expected == count);
            assert_eq!(marks.next(None, "cache", &mut losses), None);
        }
    }
}
