//! The bytes around which a detector has to look, found a block of 64 at a time.
//!
//! Promises: no place is left out at which a detector would find something; most others are, without a look at single
//! bytes. Does not: look at what stands there.

use super::super::block::{self, Block};
use super::super::detect::phone;

/// Bytes around which a detector has to look, one after the other.
pub(super) struct Triggers<'a> {
    pub(super) text: &'a [u8],
    pub(super) limit: usize,
    /// Nothing before it counts; the first block does not begin before it.
    pub(super) barrier: usize,
    pub(super) ip: bool,
    pub(super) numbers: bool,
    /// The block at hand, and which of its bytes are still to be told.
    pub(super) block: usize,
    pub(super) mask: u64,
    /// What is known of the next block.
    pub(super) ahead: Option<Seen>,
}

/// What matters of a block before it is looked at more closely.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    digits: u64,
    marks: u64,
}

impl Triggers<'_> {
    pub(super) fn next(&mut self) -> Option<usize> {
        let digits_min = if self.ip { 4 } else { phone::DIGITS_MIN as u32 };
        loop {
            if self.mask != 0 {
                let q = self.block + self.mask.trailing_zeros() as usize;
                self.mask &= self.mask - 1;
                if q >= self.limit {
                    return None;
                }
                match self.text[q] {
                    b'%' if !matches!(self.text.get(q + 1), Some(b'4' | b'2')) => continue,
                    b':' if !self.ip && (q == 0 || self.text[q - 1] | 0x20 != b'a') => continue,
                    b'0'..=b'9' if !self.numbers && phone::joined(self.text, self.barrier, q) => continue,
                    _ => return Some(q),
                }
            }
            // `block` is the block before, or 64 before the first.
            let i = self.block.wrapping_add(block::LEN);
            if i >= self.limit {
                return None;
            }
            let here = self.ahead.take().unwrap_or_else(|| self.look(i));
            let next = if i + block::LEN < self.text.len() { self.look(i + block::LEN) } else { Seen::default() };
            self.mask = here.marks;
            let enough = || here.digits.count_ones() + next.digits.count_ones() >= digits_min;
            if here.digits != 0 && (has_seven(here.digits) || enough()) {
                self.mask |= self.starts(i, here.digits, next.digits);
            }
            self.ahead = Some(next);
            self.block = i;
        }
    }

    #[inline(always)]
    fn look(&self, i: usize) -> Seen {
        let block = Block::of(self.text, i);
        Seen { digits: block.digits(), marks: block.marks() }
    }

    /// One bit for the first digit of each run in the block at `i`, as far as a number may begin there.
    fn starts(&self, i: usize, digits: u64, next_digits: u64) -> u64 {
        let before = i > 0 && i != self.barrier && self.text[i - 1].is_ascii_digit();
        let starts = digits & !(digits << 1 | u64::from(before));
        if self.numbers || starts == 0 { starts } else { self.long_enough(i, digits, next_digits, starts) }
    }

    /// Those of `starts` from which on there are as many digits as a telephone number has, with nothing but separators
    /// between.
    fn long_enough(&self, i: usize, digits: u64, next_digits: u64, starts: u64) -> u64 {
        let block = Block::of(self.text, i);
        let number = block.in_number();
        // A group of digits that goes on the one before it is no start (see `phone::joined`); what stands before the block,
        // and so before the barrier, is not seen here.
        let starts = starts & !(block.joints() << 1 & digits << 2);
        // Seven bytes of a number from here on, as far as this block tells: most starts are out by this alone.
        let two = number & (number >> 1 | 1 << 63);
        let four = two & (two >> 2 | 3 << 62);
        let mut left = starts & four & (four >> 3 | 7 << 61);
        let mut long = 0;
        while left != 0 {
            let q = left.trailing_zeros();
            left &= left - 1;
            let from_here = digits >> q;
            let run = (!number >> q).trailing_zeros();
            let enough = if q + run < 64 {
                has_seven(from_here & ((1 << run) - 1))
            } else {
                // The run goes on in the next block.
                has_seven(from_here)
                    || from_here.count_ones() + self.leading(i + block::LEN, next_digits) >= phone::DIGITS_MIN as u32
            };
            long |= u64::from(enough) << q;
        }
        long
    }

    /// How many of `digits`, those of the block at `i`, go on a number that began before it.
    fn leading(&self, i: usize, digits: u64) -> u32 {
        if digits == 0 {
            return 0;
        }
        let run = Block::of(self.text, i).in_number().trailing_ones();
        (digits & u64::MAX.checked_shr(64 - run).unwrap_or(0)).count_ones()
    }
}

/// Whether at least as many bits are set as a telephone number has digits; sooner known than their number.
#[inline(always)]
fn has_seven(mut bits: u64) -> bool {
    for _ in 1..phone::DIGITS_MIN {
        bits &= bits.wrapping_sub(1);
    }
    bits != 0
}
