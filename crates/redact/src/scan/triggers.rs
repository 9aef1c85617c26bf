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
    /// Where telephone numbers may begin in it.
    phones: Starts,
    /// The next block, as far as it is known.
    ahead: Option<Seen>,
    /// The end of what was skipped: text before a new barrier may have been the reason.
    skipped: usize,
}

/// Where telephone numbers may begin in a block: one bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct Starts {
    likely: u64,
    /// Only where something near says that they are numbers, because their groups are those of
    /// none that stands alone.
    unlikely: u64,
}

/// Whether the digits at a place may be a telephone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phone {
    No,
    /// If something near says so.
    IfSaid,
    Yes,
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
            digits_min: if rules.numbers() { rules.digits_min } else { UNLABELLED_MIN },
            barrier,
            block: from.wrapping_sub(block::LEN),
            mask: 0,
            phones: Starts::default(),
            ahead: None,
            skipped: 0,
        }
    }

    /// A match ends at `barrier`: nothing before it counts any more.
    pub(crate) fn pass(&mut self, text: &[u8], barrier: usize) {
        self.barrier = barrier;
        let inside = barrier.wrapping_sub(self.block);
        let joint = |b: u8| matches!(b, b'-' | b'.' | b',' | b':');
        let [before, here, next] =
            [barrier.wrapping_sub(1), barrier, barrier + 1].map(|i| text.get(i).copied());
        // A group of digits that went on what stands before the barrier may begin a number now.
        let parted = match (before, here, next) {
            (Some(before), Some(b'0'..=b'9'), _) => before.is_ascii_digit() || joint(before),
            (Some(b'0'..=b'9'), Some(here), Some(b'0'..=b'9')) => joint(here),
            _ => false,
        };
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

    /// Whether a telephone number may begin at the next one.
    pub(crate) fn phone(&self) -> Phone {
        let bit = self.mask & self.mask.wrapping_neg();
        match (self.phones.likely & bit != 0, self.phones.unlikely & bit != 0) {
            (true, _) => Phone::Yes,
            (false, true) => Phone::IfSaid,
            (false, false) => Phone::No,
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
            self.phones = Starts::default();
            let enough = || {
                let count = here.digits.count_ones() + next.digits.count_ones();
                count >= self.digits_min
                    || count >= phone::DIGITS_MIN as u32 && near(here.digits, next.digits)
            };
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
    fn starts(&mut self, text: &[u8], i: usize, digits: u64, next_digits: u64) -> u64 {
        let before = i > 0 && i != self.barrier && text[i - 1].is_ascii_digit();
        let starts = digits & !(digits << 1 | u64::from(before));
        if starts == 0 {
            return 0;
        }
        self.phones = phones(text, i, [digits, next_digits], starts);
        if self.numbers { starts } else { self.phones.likely | self.phones.unlikely }
    }
}

#[inline(always)]
fn look(text: &[u8], i: usize) -> Seen {
    let block = Block::of(text, i);
    Seen { digits: block.digits(), marks: block.marks() }
}

/// Those of `starts` from which on there are as many digits as a telephone number has, with nothing
/// but separators between.
fn phones(text: &[u8], i: usize, [digits, next_digits]: [u64; 2], starts: u64) -> Starts {
    let block = Block::of(text, i);
    let number = block.in_number();
    // A group of digits that goes on the one before it is no start (see `phone::joined`); what
    // stands before the block, and so before the barrier, is not seen here.
    let joined = starts & block.joints() << 1 & digits << 2;
    let mut starts = starts & !joined;
    if joined != 0 {
        starts |= apart(text, i, joined & block.field_ends() << 1);
    }
    // So many bytes of a number from here on, as far as this block tells: most starts are out by
    // this alone.
    const _: () = assert!(phone::DIGITS_MIN == 5);
    let two = number & (number >> 1 | 1 << 63);
    let four = two & (two >> 2 | 3 << 62);
    let mut left = starts & four & (number >> 4 | 15 << 60);
    let plus = after_plus(text, i, block.pluses(), starts);
    left &= !plus;
    let mut found = Starts { likely: plus, unlikely: 0 };
    if left == 0 {
        return found;
    }
    // From the last group on, so that each knows what stands behind it.
    let (first, last) = (left.trailing_zeros(), 63 - left.leading_zeros());
    let end = last + (number >> last).trailing_ones();
    let mut groups = Groups::NONE;
    if end == 64 && next_digits != 0 {
        groups.read(Block::of(text, i + block::LEN).in_number(), next_digits);
    }
    let here = u64::MAX.checked_shr(64 - end).unwrap_or(0) & u64::MAX << first;
    let mut all = digits & !(digits << 1) & here;
    while all != 0 {
        let q = 63 - all.leading_zeros();
        let bit = 1 << q;
        all ^= bit;
        groups.add(q, digits, number);
        if left & bit == 0 {
            continue;
        }
        let at = i + q as usize;
        if groups.count >= UNLABELLED_MIN {
            let alone = phone::may_stand_alone(text, at, groups.lens);
            *if alone { &mut found.likely } else { &mut found.unlikely } |= bit;
        } else if groups.count >= phone::DIGITS_MIN as u32 && phone::may_be_short(text, at) {
            found.likely |= bit;
        }
    }
    found
}

/// Groups of digits with nothing but separators between, as far as they are known from the last
/// one on.
struct Groups {
    /// Where the first of them begins, or the text behind the block.
    next: u32,
    /// Their digits.
    count: u32,
    /// The lengths of the first three.
    lens: [u32; 3],
}

impl Groups {
    const NONE: Groups = Groups { next: 64, count: 0, lens: [0; 3] };

    /// Takes those of the block behind the one at hand, as far as only bytes of a number stand
    /// before them.
    fn read(&mut self, number: u64, digits: u64) {
        let on = number.trailing_ones();
        let mut digits = digits & !u64::MAX.checked_shl(on).unwrap_or(0);
        self.count = digits.count_ones();
        self.next += digits.trailing_zeros();
        for len in &mut self.lens {
            digits = digits.checked_shr(digits.trailing_zeros()).unwrap_or(0);
            *len = digits.trailing_ones();
            digits = digits.checked_shr(*len).unwrap_or(0);
        }
    }

    /// The group that begins at `q` stands before them.
    #[inline(always)]
    fn add(&mut self, q: u32, digits: u64, number: u64) {
        let len = (digits >> q).trailing_ones();
        let end = q + len;
        // With nothing else between.
        let joined = end >= 64 || (number >> end).trailing_ones() >= self.next.min(64) - end;
        let [first, second, _] = self.lens;
        if !joined {
            (self.count, self.lens) = (len, [len, 0, 0]);
        } else if self.next == end {
            // The block ends within it.
            (self.count, self.lens[0]) = (self.count + len, first + len);
        } else {
            (self.count, self.lens) = (self.count + len, [len, first, second]);
        }
        self.next = q;
    }
}

/// Those of `joined`, which digits and a comma or a colon stand before, that may be numbers.
#[inline(always)]
fn apart(text: &[u8], i: usize, mut joined: u64) -> u64 {
    let mut apart = 0;
    while joined != 0 {
        let q = i + joined.trailing_zeros() as usize;
        apart |= (joined & joined.wrapping_neg()) * u64::from(phone::may_be_apart(text, q));
        joined &= joined - 1;
    }
    apart
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

/// Whether five or six digits, and no more, of this block and the next are as near to each other as
/// those of a short number.
fn near(here: u64, next: u64) -> bool {
    /// Bytes of the longest short number, with its separators.
    const LEN_MAX: u32 = 20;
    let digits = u128::from(here) | u128::from(next) << 64;
    let len = |digits: u128| 128 - digits.leading_zeros() - digits.trailing_zeros();
    let last = 1 << (127 - (digits | 1).leading_zeros());
    len(digits & digits.wrapping_sub(1)) <= LEN_MAX || len(digits & !last) <= LEN_MAX
}

/// Fewest digits of a number that no label stands before.
const UNLABELLED_MIN: u32 = phone::UNLABELLED_MIN as u32;

/// Whether at least as many bits are set as a telephone number without a label has digits; sooner
/// known than their number.
#[inline(always)]
fn has_seven(mut bits: u64) -> bool {
    for _ in 1..UNLABELLED_MIN {
        bits &= bits.wrapping_sub(1);
    }
    bits != 0
}
