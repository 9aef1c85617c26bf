//! Calls and errors of each organisation in the latest seconds, for rules about error rates.
//!
//! Touched at the end of a call, and only where the policy has such a rule. Bounded:
//! [`ALERT_ORGS_MAX`] organisations, of which the longest silent one is forgotten for a newcomer;
//! of each at most [`SLOTS`] slots of time. Does not: judge (see `rules`), or read a clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use crate::bounds::ALERT_ORGS_MAX;
use crate::ids::OrgId;
use crate::lock::lock;

/// Slots of the longest window. A window begins at the edge of one.
const SLOTS: usize = 60;

/// The latest calls of all organisations.
#[derive(Default)]
pub struct Pulse(Mutex<HashMap<OrgId, VecDeque<Slot>>>);

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Milliseconds since 1970 of its begin.
    from_ms: i64,
    calls: u64,
    errors: u64,
}

/// The calls of an organisation in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    pub org: OrgId,
    pub calls: u64,
    pub errors: u64,
}

impl Pulse {
    /// Notes calls that ended now; `longest` is the longest window of the policy.
    pub fn note(
        &self,
        org: &OrgId,
        (calls, is_error): (u32, bool),
        now_ms: i64,
        longest: Duration,
    ) {
        let length = slot_ms(longest);
        let from_ms = now_ms - now_ms.rem_euclid(length);
        let mut all = lock(&self.0);
        if !all.contains_key(org) && all.len() >= ALERT_ORGS_MAX {
            let silent = all.iter().min_by_key(|(_, slots)| slots.back().map(|slot| slot.from_ms));
            let silent = silent.map(|(org, _)| org.clone());
            silent.into_iter().for_each(|org| drop(all.remove(&org)));
        }
        let slots = all.entry(org.clone()).or_default();
        if slots.back().is_none_or(|slot| slot.from_ms < from_ms) {
            slots.push_back(Slot { from_ms, calls: 0, errors: 0 });
        }
        if let Some(slot) = slots.back_mut() {
            slot.calls += u64::from(calls);
            slot.errors += if is_error { u64::from(calls) } else { 0 };
        }
        while slots.len() > SLOTS + 1 {
            slots.pop_front();
        }
    }

    /// The calls of each organisation in the last `window`; forgets calls older than `longest`.
    pub fn rates(&self, now_ms: i64, window: Duration, longest: Duration) -> Vec<Rate> {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let mut all = lock(&self.0);
        let oldest = now_ms.saturating_sub(ms(longest) + slot_ms(longest));
        all.retain(|_, slots| {
            slots.retain(|slot| slot.from_ms > oldest);
            !slots.is_empty()
        });
        let from = now_ms.saturating_sub(ms(window));
        let rate = |(org, slots): (&OrgId, &VecDeque<Slot>)| {
            let inside = slots.iter().filter(|slot| slot.from_ms > from);
            let (calls, errors) =
                inside.fold((0, 0), |sum, slot| (sum.0 + slot.calls, sum.1 + slot.errors));
            Rate { org: org.clone(), calls, errors }
        };
        all.iter().map(rate).collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// The length of a slot.
fn slot_ms(longest: Duration) -> i64 {
    let length = longest.as_millis() / SLOTS as u128;
    i64::try_from(length).unwrap_or(i64::MAX).max(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let (pulse, org) = (Pulse::default(), OrgId::new("acme").expect("name"));
        for second in 0..120 {
            pulse.note(&org, (1, second % 4 == 0), second * 1_000, WINDOW);
        }
        let rates = |now_ms, window| pulse.rates(now_ms, window, WINDOW);
        let rate = |calls, errors| vec![Rate { org: org.clone(), calls, errors }];
        assert_eq!(rates(119_999, WINDOW), rate(60, 15));
        assert_eq!(rates(119_999, Duration::from_secs(10)), rate(10, 2));
        assert_eq!(rates(170_000, WINDOW), rate(9, 2));
        assert_eq!(rates(400_000, WINDOW), vec![]);
    }

    #[test]
    fn organisations_have_a_bound() {
        let pulse = Pulse::default();
        for n in 0..ALERT_ORGS_MAX + 10 {
            let org = OrgId::new(&format!("org-{n}")).expect("name");
            pulse.note(&org, (1, false), 1_000 * i64::try_from(n).expect("small"), WINDOW);
        }
        assert_eq!(lock(&pulse.0).len(), ALERT_ORGS_MAX);
        assert!(!lock(&pulse.0).contains_key("org-3"));
    }
}
