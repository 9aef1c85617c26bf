//! The candidate policy, and all that is counted for it.
//!
//! Guarantees: its counters outlive its edits, and are touched by nothing else. Does not: judge a
//! call (see `pipeline/shadow`), or read files (see `config/shadow`).
//!
//! # Bounds
//! As for the counters in force: `ORGS_MAX` organisations, `METERS_MAX` subjects. Bodies are looked
//! at twice as far as `SECOND_LOOK_BYTES` for each call and `SECOND_LOOK_PERCENT` of all bytes
//! reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::limits::Counters;
use crate::bounds::{
    METERS_MAX, ORGS_MAX, SECOND_LOOK_BYTES, SECOND_LOOK_PERCENT, SECOND_LOOK_SAVED_MAX,
};
use crate::clock::Nanos;
use crate::config::shadow::Slot;
use crate::limit::meters::{Meters, moment};
use crate::limit::store::Limiter;

/// The candidate policy, and all that is counted for it.
pub(crate) struct Shadow {
    /// Where the candidate is.
    pub(crate) slot: Arc<Slot>,
    limiter: Limiter,
    /// Everything but requests of organisations.
    pub(crate) meters: Arc<Meters>,
    /// Draws among weighted targets so far.
    draws: AtomicU64,
    /// Bytes of bodies that may be looked at twice; below zero where more have been.
    saved: AtomicI64,
}

impl Shadow {
    /// Of the candidate at this place, with nothing counted yet.
    pub(crate) fn new(slot: Arc<Slot>) -> Shadow {
        let (limiter, meters) = (Limiter::new(ORGS_MAX), Arc::new(Meters::new(METERS_MAX)));
        let saved = AtomicI64::new(SECOND_LOOK_SAVED_MAX);
        Shadow { slot, limiter, meters, draws: AtomicU64::new(0), saved }
    }

    /// Forgets what says no more than nothing would.
    pub(crate) fn forget_idle(&self, now: Nanos, wall_ms: i64) {
        self.limiter.forget_idle(now);
        self.meters.forget_idle(moment(now, wall_ms));
    }

    /// Everything that is counted.
    pub(crate) fn counters(&self) -> Counters<'_> {
        Counters { limiter: &self.limiter, meters: &self.meters }
    }

    /// Whether a body may be looked at once more, under the candidate's rules.
    pub(crate) fn may_look(&self) -> bool {
        self.saved.load(Ordering::Relaxed) > 0
    }

    /// A body of so many bytes was read, and looked at twice if `is_second`: what it took is
    /// charged, and each body saves a part for others.
    pub(crate) fn read(&self, bytes: u64, is_second: bool) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let saves = SECOND_LOOK_BYTES.saturating_add(bytes / 100 * SECOND_LOOK_PERCENT);
        let change = if is_second { saves.saturating_sub(bytes) } else { saves };
        // The sum is of some calls at once, so a lost bound matters to none.
        let before = self.saved.fetch_add(change, Ordering::Relaxed);
        if before.saturating_add(change) > SECOND_LOOK_SAVED_MAX {
            self.saved.store(SECOND_LOOK_SAVED_MAX, Ordering::Relaxed);
        }
    }

    /// A number in 0..1: any stretch of them is spread evenly, so that weights are kept.
    pub(crate) fn draw(&self) -> f64 {
        let n = self.draws.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "32 bits are exact in a double")]
        let draw = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as f64 / (1_u64 << 32) as f64;
        draw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_looks_are_a_part_of_all() {
        for (bytes, least, most) in
            [(16_000, 1_000, 1_000), (40_000, 540, 575), (1 << 20, 245, 280)]
        {
            let shadow = Shadow::new(Arc::default());
            let mut seconds = 0;
            for n in 0..2_000 {
                let second = shadow.may_look();
                shadow.read(bytes, second);
                // A full bucket at the start is used up by then, if it is used at all.
                seconds += u64::from(second && n >= 1_000);
            }
            assert!((least..=most).contains(&seconds), "{bytes}: {seconds}");
        }
    }

    #[test]
    fn draws_keep_weights_in_any_stretch() {
        let shadow = Shadow::new(Arc::default());
        for _ in 0..5 {
            let low = (0..100).filter(|_| shadow.draw() < 0.25).count();
            assert!((22..=28).contains(&low), "{low}");
        }
    }
}
