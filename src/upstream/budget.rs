//! The retry budget of one provider: an outage is not multiplied by retries.
//!
//! Stage 7 of the walk. Pure: time is an argument. Counts calls and retries in ten slots of one second; retries may be
//! `percent` of the calls of the last ten seconds, and never fewer than ten a second (who wants none sets `max_retries: 0`).

/// Slots of one second.
const SLOTS: usize = 10;
/// Retries that are always allowed within the window: ten a second.
const FLOOR: u64 = 10 * SLOTS as u64;

/// Calls and retries of the last ten seconds.
#[derive(Debug, Default)]
pub struct Budget {
    slots: [(u64, u64); SLOTS],
    second: u64,
}

impl Budget {
    /// Counts one call.
    pub fn call(&mut self, now_ns: u64) {
        self.slot(now_ns).0 += 1;
    }

    /// Asks for one retry, and counts it where it is granted.
    pub fn retry(&mut self, percent: u32, now_ns: u64) -> bool {
        self.slot(now_ns);
        let (calls, retries) = self.slots.iter().fold((0, 0), |(c, r), slot| (c + slot.0, r + slot.1));
        let granted = retries < FLOOR.max(calls.saturating_mul(u64::from(percent)) / 100);
        if granted {
            self.slot(now_ns).1 += 1;
        }
        granted
    }

    fn slot(&mut self, now_ns: u64) -> &mut (u64, u64) {
        let second = now_ns / 1_000_000_000;
        // Slots that were passed over are empty; never more than all of them.
        for gone in self.second + 1..=second.min(self.second + SLOTS as u64) {
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
        (0..asked).filter(|_| budget.retry(percent, now)).count()
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
