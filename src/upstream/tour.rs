//! The targets of one call, in the order in which its attempts visit them.
//!
//! Stage 10 of the walk. No I/O: the time is an argument. Guarantees: every attempt starts at the
//! target after the last one and visits the list in a circle; the wait that a target asked for
//! applies to that target only; nothing is allocated until an attempt has failed. Does not: count
//! attempts, sleep, or know circuits (the caller says which target is admitted).

use std::time::Duration;

use tokio::time::Instant;

use crate::config::policy::Target;

/// The targets, the next turn, and the waits that targets have asked for.
pub struct Tour<'t> {
    list: &'t [Target],
    /// Places in `list`; empty for the list's own order.
    order: Vec<usize>,
    len: usize,
    /// The place of the target that was tried last.
    at: usize,
    /// The place at which the search for the next target starts.
    turn: usize,
    /// The end of each target's wait; empty until an attempt has failed.
    waits: Vec<Option<Instant>>,
    /// Turns of targets that cannot serve the call.
    left_out: Vec<usize>,
}

impl<'t> Tour<'t> {
    /// Visits all of `list`, in `order` if it is not empty.
    pub fn new(list: &'t [Target], order: Vec<usize>) -> Tour<'t> {
        Tour {
            list,
            order,
            len: list.len(),
            at: 0,
            turn: 0,
            waits: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Visits the first target of `list` only.
    pub fn first_only(list: &'t [Target]) -> Tour<'t> {
        Tour { len: list.len().min(1), ..Tour::new(list, Vec::new()) }
    }

    /// The next target that `admit` lets through. Each target is asked at most once.
    ///
    /// # Errors
    /// No target is admitted: the shortest of the waits that `admit` has returned.
    pub fn next(
        &mut self,
        mut admit: impl FnMut(&Target) -> Result<(), Duration>,
    ) -> Result<&'t Target, Option<Duration>> {
        let mut soonest: Option<Duration> = None;
        for skipped in 0..self.len {
            let at = (self.turn + skipped) % self.len;
            if self.left_out.contains(&at) {
                continue;
            }
            let target = self.target(at);
            match admit(target) {
                Ok(()) => {
                    (self.at, self.turn) = (at, at + 1);
                    return Ok(target);
                }
                Err(wait) => soonest = Some(soonest.map_or(wait, |s| s.min(wait))),
            }
        }
        Err(soonest)
    }

    /// The target that was tried last has failed, and asks to be left alone for `wait`.
    pub fn failed(&mut self, wait: Option<Duration>, now: Instant) {
        self.waits.resize(self.len, None);
        if let Some(until) = self.waits.get_mut(self.at) {
            *until = wait.map(|wait| now + wait);
        }
    }

    /// The target that was tried last cannot serve this call: it has no further turn. Whether any
    /// other has one.
    pub fn leave_out(&mut self) -> bool {
        if !self.left_out.contains(&self.at) {
            self.left_out.push(self.at);
        }
        self.left_out.len() < self.len
    }

    /// How long the target whose turn is next still asks to be left alone. Other targets need not
    /// keep that wait.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let turns = (self.turn..self.turn + self.len).map(|turn| turn % self.len);
        let next = turns.into_iter().find(|turn| !self.left_out.contains(turn))?;
        let until = self.waits.get(next).copied().flatten();
        until.map(|until| until.saturating_duration_since(now))
    }

    fn target(&self, at: usize) -> &'t Target {
        &self.list[self.order.get(at).copied().unwrap_or(at)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::options;
    use crate::config::policy::Provider;
    use crate::config::sections::{RawProvider, RawTimeouts};

    const SECOND: Duration = Duration::from_secs(1);

    fn targets(count: usize) -> Vec<Target> {
        let timeouts = options::<RawTimeouts>("{}");
        let target = |n| {
            let provider = Provider {
                name: Arc::from(format!("p{n}")),
                base_url: http::Uri::from_static("http://localhost/v1"),
                forward_headers: vec![],
                egress: Arc::default(),
                auth: None,
                options: options::<RawProvider>("{}"),
            };
            Target {
                provider: Arc::new(provider),
                weight: 1,
                model: None,
                timeouts,
                facts: Default::default(),
            }
        };
        (0..count).map(target).collect()
    }

    fn next(tour: &mut Tour<'_>) -> String {
        tour.next(|_| Ok(())).expect("all are admitted").provider.name.to_string()
    }

    #[test]
    fn targets_are_visited_in_a_circle() {
        let list = targets(3);
        let mut tour = Tour::new(&list, vec![2, 0, 1]);
        assert_eq!([(); 4].map(|()| next(&mut tour)), ["p2", "p0", "p1", "p2"]);
        let mut tour = Tour::new(&list, Vec::new());
        let admit =
            |target: &Target| if &*target.provider.name == "p1" { Ok(()) } else { Err(SECOND) };
        assert_eq!(&*tour.next(admit).expect("one is admitted").provider.name, "p1");
        assert_eq!(next(&mut tour), "p2", "the search goes on after the last one");
        let mut tour = Tour::first_only(&list);
        assert_eq!([(); 2].map(|()| next(&mut tour)), ["p0", "p0"]);
    }

    #[test]
    fn without_an_admitted_target_the_shortest_wait_counts() {
        let list = targets(2);
        let mut waits = [3 * SECOND, SECOND].into_iter();
        let refused =
            Tour::new(&list, Vec::new()).next(|_| Err(waits.next().expect("each is asked once")));
        assert_eq!(refused.err(), Some(Some(SECOND)));
        assert_eq!(Tour::first_only(&[]).next(|_| Ok(())).err(), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_is_left_out_has_no_further_turn() {
        let (list, now) = (targets(3), Instant::now());
        let mut tour = Tour::new(&list, Vec::new());
        assert_eq!(next(&mut tour), "p0");
        assert!(tour.leave_out() && tour.leave_out());
        assert_eq!(next(&mut tour), "p1");
        tour.failed(Some(SECOND), now);
        assert_eq!(next(&mut tour), "p2");
        assert_eq!(tour.wait(now), Some(SECOND), "p1 is next, because p0 is left out");
        assert!(tour.leave_out());
        assert_eq!([(); 2].map(|()| next(&mut tour)), ["p1", "p1"]);
        assert!(!tour.leave_out());
        assert_eq!(tour.next(|_| Ok(())).err(), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_applies_to_the_target_that_asked_for_it() {
        let (list, now) = (targets(2), Instant::now());
        let mut tour = Tour::new(&list, Vec::new());
        assert_eq!(next(&mut tour), "p0");
        tour.failed(Some(5 * SECOND), now);
        assert_eq!(tour.wait(now), None, "the other target is next");
        assert_eq!(next(&mut tour), "p1");
        tour.failed(None, now + SECOND);
        assert_eq!(tour.wait(now + SECOND), Some(4 * SECOND));
        assert_eq!(next(&mut tour), "p0");
        tour.failed(None, now + 5 * SECOND);
        assert_eq!(next(&mut tour), "p1");
        tour.failed(None, now + 5 * SECOND);
        assert_eq!(tour.wait(now + 5 * SECOND), None, "a later failure replaces the wait");
    }
}
