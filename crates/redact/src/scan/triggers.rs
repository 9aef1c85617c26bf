//! The bytes around which a detector has to look, found a block of 64 at a time.
//!
//! Promises: no place is left out at which a detector would find something; most others are,
//! without a look at single bytes. Does not: look at what stands there.

use super::super::block::{self, Block};
use super::super::detect::phone;
use super::super::rules::Compiled;

/// Bytes around which a detector has to look, one after the other. Kept from one match to the next,
/// so that no block is looked at again after each of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Triggers {
    /// Detectors are asked at colons, and others than that of telephone numbers at digits.
    colons: bool,
    numbers: bool,
    /// Fewest digits of what begins with a digit.
    digits_min: u32,
    /// Nothing before it counts.
    barrier: usize,
    /// The block at hand, and which of its bytes are still to be told.
    block: usize,
    mask: u64,
    /// The next block, as far as it is known.
    ahead: Option<Seen>,
    /// The end of what was skipped: text before a new barrier may have been the reason.
    skipped: usize,
}

/// The bytes of a block that matter before it is looked at more closely.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    digits: u64,
    marks: u64,
}

impl Triggers {
    /// Those from `from` on that matter to the detectors of `rules`.
    pub(crate) fn new(barrier: usize, from: usize, rules: &Compiled) -> Triggers {
        Triggers {
            colons: !rules.at_colon.is_empty(),
            numbers: rules.numbers(),
            digits_min: rules.digits_min,
            barrier,
            block: from.wrapping_sub(block::LEN),
            mask: 0,
            ahead: None,
            skipped: 0,
        }
    }

    /// A match ends at `barrier`: nothing before it counts any more.
    pub(crate) fn pass(&mut self, text: &[u8], barrier: usize) {
        self.barrier = barrier;
        let inside = barrier.wrapping_sub(self.block);
        let number = |b: Option<&u8>| {
            b.is_some_and(|b| matches!(b, b'0'..=b'9' | b'-' | b'.' | b',' | b':'))
        };
        // A group of digits that went on what stands before the barrier may begin a number now.
        let parted = number(text.get(barrier)) && number(text.get(barrier.wrapping_sub(1)));
        if parted || self.skipped > barrier || inside >= 2 * block::LEN {
            (self.block, self.mask, self.ahead, self.skipped) =
                (barrier.wrapping_sub(block::LEN), 0, None, 0);
        } else if inside >= block::LEN {
            // In the next block: what of it lies before the barrier is left out when it is reached.
            self.mask = 0;
        } else {
            self.mask &= u64::MAX << inside;
        }
    }

    /// The next one is dealt with.
    pub(crate) fn skip(&mut self) {
        self.skipped = self.block.wrapping_add(self.mask.trailing_zeros() as usize + 1);
        self.mask &= self.mask.wrapping_sub(1);
    }

    /// The next one before `limit`; it stays the next one until it is skipped or passed.
    #[inline]
    pub(crate) fn peek(&mut self, text: &[u8], limit: usize) -> Option<usize> {
        loop {
            while self.mask != 0 {
                let q = self.block.wrapping_add(self.mask.trailing_zeros() as usize);
                if q >= limit {
                    return None;
                }
                match text[q] {
                    // Encoded characters are decoded before.
                    b'%' => {}
                    b':' if !self.colons && (q == 0 || text[q - 1] | 0x20 != b'a') => {}
                    b'0'..=b'9' if !self.numbers && phone::joined(text, self.barrier, q) => {}
                    _ => return Some(q),
                }
                self.skip();
            }
            // `block` is the block before, or 64 before the first.
            let i = self.block.wrapping_add(block::LEN);
            if i >= limit {
                return None;
            }
            let here = self.ahead.take().unwrap_or_else(|| look(text, i));
            let next = if i + block::LEN < text.len() {
                look(text, i + block::LEN)
            } else {
                Seen::default()
            };
            self.mask = here.marks;
            let enough = || here.digits.count_ones() + next.digits.count_ones() >= self.digits_min;
            if here.digits != 0 && (has_seven(here.digits) || enough()) {
                self.mask |= self.starts(text, i, here.digits, next.digits);
            }
            if self.barrier > i {
                // Nothing between is parted: see `pass`.
                self.mask &= u64::MAX.checked_shl((self.barrier - i) as u32).unwrap_or(0);
            }
            self.ahead = Some(next);
            self.block = i;
        }
    }

    /// One bit for the first digit of each run in the block at `i`, as far as a number may begin
    /// there.
    fn starts(&self, text: &[u8], i: usize, digits: u64, next_digits: u64) -> u64 {
        let before = i > 0 && i != self.barrier && text[i - 1].is_ascii_digit();
        let starts = digits & !(digits << 1 | u64::from(before));
        if self.numbers || starts == 0 {
            starts
        } else {
            long_enough(text, i, digits, next_digits, starts)
        }
    }
}

#[inline(always)]
fn look(text: &[u8], i: usize) -> Seen {
    let block = Block::of(text, i);
    Seen { digits: block.digits(), marks: block.marks() }
}

/// Those of `starts` from which on there are as many digits as a telephone number has, with nothing
/// but separators between.
fn long_enough(text: &[u8], i: usize, digits: u64, next_digits: u64, starts: u64) -> u64 {
    let block = Block::of(text, i);
    let number = block.in_number();
    // A group of digits that goes on the one before it is no start (see `phone::joined`); what
    // stands before the block, and so before the barrier, is not seen here.
    let starts = starts & !(block.joints() << 1 & digits << 2);
    // Seven bytes of a number from here on, as far as this block tells: most starts are out by this
    // alone.
    let two = number & (number >> 1 | 1 << 63);
    let four = two & (two >> 2 | 3 << 62);
    let mut left = starts & four & (four >> 3 | 7 << 61);
    let mut long = after_plus(text, i, block.pluses(), starts);
    left &= !long;
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
                || from_here.count_ones() + leading(text, i + block::LEN, next_digits)
                    >= phone::DIGITS_MIN as u32
        };
        long |= u64::from(enough) << q;
    }
    long
}

/// Those of `starts` that follow a plus, with a space or a bracket between perhaps: an odd mark may
/// part their groups.
#[inline(always)]
fn after_plus(text: &[u8], i: usize, pluses: u64, starts: u64) -> u64 {
    let before = |n: usize| u64::from(i >= n && text[i - n] == b'+');
    let carried = before(1) | before(2);
    if pluses | carried == 0 {
        return 0;
    }
    starts & (pluses << 1 | pluses << 2 | carried | before(1) << 1)
}

/// How many of `digits`, those of the block at `i`, go on a number that began before it.
fn leading(text: &[u8], i: usize, digits: u64) -> u32 {
    if digits == 0 {
        return 0;
    }
    let run = Block::of(text, i).in_number().trailing_ones();
    (digits & u64::MAX.checked_shr(64 - run).unwrap_or(0)).count_ones()
}

/// Whether at least as many bits are set as a telephone number has digits; sooner known than their
/// number.
#[inline(always)]
fn has_seven(mut bits: u64) -> bool {
    for _ in 1..phone::DIGITS_MIN {
        bits &= bits.wrapping_sub(1);
    }
    bits != 0
}
