//! The meters of all subjects that the policy limits by more than an organisation's requests: one
//! map, bounded.
//!
//! Stages 4, 8 and 12 of the walk. Touched only where the policy has such limits. Kept across
//! policy reloads, like the buckets in `store`.
//!
//! Guarantees: exact under concurrency (see `bounded`); a call passes all of its subjects or takes
//! from none; a [`Reservation`] ends exactly once, however its call ends; no meter in use is
//! forgotten. Does not: read a clock, or share with other processes (see `redis`).
//!
//! # Bounds
//! [`METERS_MAX`](crate::bounds::METERS_MAX) meters; at the bound idle ones are forgotten, and if
//! there is none the newcomer is refused.

use std::sync::Arc;

use super::bounded::{Bounded, Full, Sharded};
use super::calendar::Date;
use super::caps::{Ask, Over, Scope, Subject, Used, Want, Which};
use super::meter::{Meter, Moment, Taken};
use super::redis::Held;
use crate::clock::Nanos;
use crate::ids::OrgId;

/// The meters.
pub struct Meters {
    map: Bounded<Subject, Meter, Sharded<Subject, Meter>>,
}

/// Why a call does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A limit refuses.
    Over(Over),
    /// No more subjects can be counted.
    Full,
}

impl From<Full> for Denied {
    fn from(_: Full) -> Denied {
        Denied::Full
    }
}

impl Meters {
    /// An empty map for at most `meters_max` subjects.
    pub fn new(meters_max: usize) -> Meters {
        Meters { map: Bounded::new(meters_max) }
    }

    /// Asks the same of every subject; all of them pass, or nothing is taken.
    ///
    /// # Errors
    /// The first that refuses.
    pub fn ask(
        self: &Arc<Meters>,
        wants: &[Want],
        ask: Ask,
        at: Moment,
    ) -> Result<Reservation, Denied> {
        let mut reservation = Reservation {
            meters: Arc::clone(self),
            held: Vec::with_capacity(wants.len()),
            shared: None,
        };
        for (subject, caps) in wants {
            match self.with(subject, at, |meter| meter.ask(caps, ask, at)) {
                Ok(Ok(taken)) => reservation.held.push((subject.clone(), taken)),
                Ok(Err(refused)) => {
                    reservation.undo();
                    let wait = Some(refused.wait);
                    let scope = subject.scope.clone();
                    return Err(Denied::Over(Over {
                        which: refused.which,
                        scope,
                        limit: refused.limit,
                        wait,
                    }));
                }
                Err(full) => {
                    reservation.undo();
                    return Err(full.into());
                }
            }
        }
        Ok(reservation)
    }

    /// Counts a call that was admitted elsewhere.
    pub fn note(self: &Arc<Meters>, wants: &[Want], ask: Ask, at: Moment) -> Reservation {
        let mut reservation = Reservation {
            meters: Arc::clone(self),
            held: Vec::with_capacity(wants.len()),
            shared: None,
        };
        for (subject, caps) in wants {
            // Beyond the bound it is not counted here; the store that admitted it has counted it.
            if let Ok(taken) = self.with(subject, at, |meter| meter.note(caps, ask, at)) {
                reservation.held.push((subject.clone(), taken));
            }
        }
        reservation
    }

    /// Adds money that a subject spent before this process began.
    ///
    /// # Errors
    /// [`Full`] at the bound.
    pub fn spent_before(
        &self,
        subject: &Subject,
        at: Moment,
        day_nano: u64,
        month_nano: u64,
    ) -> Result<(), Full> {
        self.with(subject, at, |meter| meter.spent_before(at.date, day_nano, month_nano))
    }

    /// Shows the use of every subject.
    pub fn each(&self, show: impl FnMut(&Subject, &Meter)) {
        self.map.each(show);
    }

    /// The budgets among these limits, as far as they are used.
    pub fn used<'w>(&self, wants: impl Iterator<Item = &'w Want>, at: Moment) -> Vec<Used> {
        let mut all = Vec::new();
        for (subject, caps) in wants.filter(|(_, caps)| caps.has_budget()) {
            let (day, month) = self.map.get(subject).map_or((0, 0), |meter| meter.spent(at.date));
            let scope = subject.scope.as_str();
            for (which, nano_usd, limit) in [
                (Which::UsdPerDay, day, caps.nano_usd_per_day),
                (Which::UsdPerMonth, month, caps.nano_usd_per_month),
            ] {
                all.extend(limit.map(|limit| Used { which, scope, nano_usd, limit: limit.get() }));
            }
        }
        all
    }

    /// Tells each organisation with the money that its calls have spent in this day and month,
    /// without those that are not over.
    pub fn each_org(&self, at: Moment, mut tell: impl FnMut(&OrgId, (u64, u64))) {
        self.map.each(|subject, meter| {
            let spent = meter.settled(at.date);
            if subject.scope == Scope::Org && spent != (0, 0) {
                tell(&subject.org, spent);
            }
        });
    }

    fn with<T>(
        &self,
        subject: &Subject,
        at: Moment,
        work: impl FnOnce(&mut Meter) -> T,
    ) -> Result<T, Full> {
        let meter =
            self.map.get_or_make(subject, at.now_ns, Meter::default, |meter| meter.is_idle(at));
        Ok(work(&mut *meter?))
    }

    /// Drops every meter that says no more than a fresh one would.
    pub fn forget_idle(&self, at: Moment) {
        self.map.forget(&|meter| meter.is_idle(at));
    }

    /// Subjects with a meter.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no subject has one.
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }
}

/// The parts of its subjects' limits that a call holds until it is over. Dropping it releases all
/// of them but the requests.
#[must_use = "dropping it releases what was reserved"]
pub struct Reservation {
    meters: Arc<Meters>,
    held: Vec<(Subject, Taken)>,
    /// The same in the store that replicas share.
    shared: Option<Box<Held>>,
}

impl Reservation {
    /// From now on this is held in the shared store, too.
    pub fn also(&mut self, held: Held) {
        match &mut self.shared {
            Some(shared) => shared.absorb(held),
            None => self.shared = Some(Box::new(held)),
        }
    }

    /// Takes over the parts of another reservation of the same call.
    pub fn absorb(&mut self, mut other: Reservation) {
        self.held.append(&mut other.held);
        if let Some(held) = other.shared.take() {
            self.also(*held);
        }
    }

    /// The call is over and used so many tokens and 10⁻⁹ USD; `None`: the estimate.
    pub fn settle(mut self, used: Option<(u64, u64)>, now: Nanos) {
        for (subject, taken) in self.held.drain(..) {
            if let Some(mut meter) = self.meters.map.get(&subject) {
                match used {
                    Some((tokens, nano_usd)) => meter.settle(&taken, tokens, nano_usd, now.0),
                    None => meter.keep(&taken),
                }
            }
        }
        if let Some(held) = self.shared.take() {
            held.settle(used);
        }
    }

    /// The call was refused by another limit: it counts as if it had never been made.
    pub fn undo(mut self) {
        for (subject, taken) in self.held.drain(..) {
            if let Some(mut meter) = self.meters.map.get(&subject) {
                meter.give_back(&taken);
            }
        }
        if let Some(held) = self.shared.take() {
            held.settle(Some((0, 0)));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for (subject, taken) in self.held.drain(..) {
            if let Some(mut meter) = self.meters.map.get(&subject) {
                meter.settle(&taken, 0, 0, 0);
            }
        }
        if let Some(held) = self.shared.take() {
            held.settle(Some((0, 0)));
        }
    }
}

/// The moment of a decision, from the two clocks.
pub fn moment(now: Nanos, wall_ms: i64) -> Moment {
    Moment { now_ns: now.0, date: Date::at(wall_ms) }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::limit::bucket::Quota;
    use crate::limit::caps::{Caps, Estimate};

    const AT: Nanos = Nanos(1_000_000_000);

    fn subject(scope: Scope) -> Subject {
        Subject { org: OrgId::new("acme").expect("name"), scope }
    }

    fn call(tokens: u64) -> Ask {
        Ask { call: true, estimate: Some(Estimate { tokens, nano_usd: 0, assumed: false }) }
    }

    #[test]
    fn a_call_that_one_subject_refuses_takes_from_none() {
        let meters = Arc::new(Meters::new(10));
        let one = NonZeroU32::MIN;
        let key = (
            subject(Scope::Key("ci".into())),
            Caps { requests: Some(Quota::new(one, one, false)), ..Caps::default() },
        );
        let org = (subject(Scope::Org), Caps { calls_in_flight: Some(one), ..Caps::default() });
        let at = moment(AT, 0);
        let first = meters
            .ask(&[key.clone(), org.clone()], call(0), at)
            .unwrap_or_else(|_| panic!("passes"));
        let other = (subject(Scope::Key("other".into())), key.1);
        let denied = meters.ask(&[other.clone(), org.clone()], call(0), at);
        let Err(Denied::Over(over)) = denied else { panic!("not refused") };
        assert_eq!((over.which, over.scope), (Which::CallsInFlight, Scope::Org));
        drop(first);
        // The other key's only request was given back, and the place is free again.
        drop(meters.ask(&[other, org], call(0), at).unwrap_or_else(|_| panic!("passes")));
        assert!(matches!(
            meters.ask(&[key], call(0), at),
            Err(Denied::Over(Over { which: Which::Requests, .. }))
        ));
    }

    #[test]
    fn many_threads_never_hold_more_places_than_there_are() {
        let (meters, most) = (Arc::new(Meters::new(10)), AtomicU32::new(0));
        let holding = AtomicU32::new(0);
        let want = [(
            subject(Scope::Org),
            Caps { calls_in_flight: NonZeroU32::new(7), ..Caps::default() },
        )];
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        if let Ok(reservation) = meters.ask(&want, call(0), moment(AT, 0)) {
                            most.fetch_max(
                                holding.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            std::thread::yield_now();
                            holding.fetch_sub(1, Ordering::SeqCst);
                            drop(reservation);
                        }
                    }
                });
            }
        });
        assert!((1..=7).contains(&most.into_inner()));
        assert!(
            (0..7)
                .map(|_| meters.ask(&want, call(0), moment(AT, 0)))
                .collect::<Vec<_>>()
                .iter()
                .all(Result::is_ok)
        );
    }

    #[test]
    fn at_the_bound_no_debt_is_forgotten() {
        let meters = Arc::new(Meters::new(1));
        let caps = Caps { tokens_per_minute: NonZeroU64::new(60), ..Caps::default() };
        let (a, b) =
            ((subject(Scope::User("a".into())), caps), (subject(Scope::User("b".into())), caps));
        let reservation = meters
            .ask(std::slice::from_ref(&a), call(30), moment(AT, 0))
            .unwrap_or_else(|_| panic!("passes"));
        reservation.settle(None, AT);
        assert!(matches!(
            meters.ask(std::slice::from_ref(&b), call(1), moment(AT, 0)),
            Err(Denied::Full)
        ));
        // Half a minute's tokens have refilled after half a minute.
        let later = moment(Nanos(AT.0 + 30_000_000_000), 0);
        assert!(meters.ask(&[b], call(1), later).is_ok());
        assert_eq!(meters.len(), 1);
    }
}
