//! The retry budget of one caller at one provider: retries must not multiply the load of an outage.
//!
//! Stage 10 of the walk. Pure: time is an argument. Counts calls and retries in ten slots of one
//! second; allowed retries are `percent` of the caller's calls of the last ten seconds, and at
//! least its share of ten a second (`max_retries: 0` turns retries off). Does not: know the other
//! callers (see `parties`).

/// Slots of one second.
const SLOTS: usize = 10;
/// Length of the window.
pub(crate) const WINDOW_NS: u64 = SLOTS as u64 * 1_000_000_000;
/// Retries that are always allowed within the window, shared by the callers that retry: ten a
/// second.
const FLOOR: u32 = 10 * SLOTS as u32;
/// The least share of each such caller: one a second.
const FLOOR_EACH: u32 = SLOTS as u32;

/// Calls and retries of the last ten seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    slots: [(u32, u32); SLOTS],
    second: u64,
}

impl Budget {
    /// Counts one call.
    pub fn call(&mut self, now_ns: u64) {
        let slot = self.slot(now_ns);
        slot.0 = slot.0.saturating_add(1);
    }

    /// Asks for one retry, and counts it if it is granted. `callers` is the number of callers that
    /// retry at present, this one included.
    pub fn retry(&mut self, percent: u32, callers: u32, now_ns: u64) -> bool {
        self.slot(now_ns);
        let sum = |(c, r), slot: &(u32, u32)| (c + u64::from(slot.0), r + u64::from(slot.1));
        let (calls, retries) = self.slots.iter().fold((0, 0), sum);
        let floor = (FLOOR / callers.max(1)).max(FLOOR_EACH);
        let granted = retries < u64::from(floor).max(calls * u64::from(percent) / 100);
        if granted {
            let slot = self.slot(now_ns);
            slot.1 = slot.1.saturating_add(1);
        }
        granted
    }

    fn slot(&mut self, now_ns: u64) -> &mut (u32, u32) {
        let second = now_ns / 1_000_000_000;
        // Skipped slots become empty; there are at most as many as the window has.
        for gone in self.second + 1..=second.min(self.second.saturating_add(SLOTS as u64)) {
            self.slots[gone as usize % SLOTS] = (0, 0);
        }
        self.second = self.second.max(second);
        &mut self.slots[self.second as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn granted(budget: &mut Budget, percent: u32, now: u64, asked: usize) -> usize {
        (0..asked).filter(|_| budget.retry(percent, 1, now)).count()
    }

    #[test]
    fn a_share_of_the_calls_and_never_under_the_floor() {
        let mut budget = Budget::default();
        assert_eq!(granted(&mut budget, 20, 5 * S, 1000), 100, "the floor");
        let mut budget = Budget::default();
        (0..5000).for_each(|i| budget.call(i % 10 * S));
        assert_eq!(granted(&mut budget, 20, 9 * S, 5000), 1000);
        let mut budget = Budget::default();
        assert_eq!(granted(&mut budget, 0, 9 * S, 1000), 100);
    }

    #[test]
    fn those_who_retry_share_the_floor() {
        for (callers, expected) in
            [(0, 100), (1, 100), (2, 50), (3, 33), (10, 10), (1_000, 10), (u32::MAX, 10)]
        {
            let mut budget = Budget::default();
            assert_eq!(
                (0..1000).filter(|_| budget.retry(0, callers, 5 * S)).count(),
                expected,
                "{callers}"
            );
        }
        // The retries that a caller's own calls allow do not depend on the number of other callers.
        let mut budget = Budget::default();
        (0..1000).for_each(|_| budget.call(5 * S));
        assert_eq!((0..1000).filter(|_| budget.retry(20, 1_000, 5 * S)).count(), 200);
    }

    #[test]
    fn the_window_slides() {
        let mut budget = Budget::default();
        assert_eq!(granted(&mut budget, 20, 5 * S, 1000), 100);
        assert_eq!(granted(&mut budget, 20, 14 * S, 1000), 0);
        assert_eq!(granted(&mut budget, 20, 15 * S, 1000), 100);
        assert_eq!(granted(&mut budget, 20, 5000 * S, 1000), 100);
        // A clock that goes back gives nothing new.
        assert_eq!(granted(&mut budget, 20, S, 1000), 0);
    }
}
