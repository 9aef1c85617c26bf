//! Bounds that callers share: no caller can use up a bound, and each can use most of it while the
//! others do not need it.
//!
//! A leaf. A [`Pool`] is one bound (connections, calls, bytes …), a [`Party`] is a group whose use
//! is counted together (an organisation, an address, all pass-through callers). A party may take
//! more while its own use is at most a fixed multiple of what is still free (dynamic thresholds, as
//! in shared-memory switches): one party alone reaches three quarters, and the more parties there
//! are, the smaller is each one's share. Something always stays free for a newcomer.
//!
//! Guarantees: a pool never gives out more than its bound; dropping a [`Held`] gives its amount
//! back; taking and giving back are a few atomic operations, without a lock. Does not: decide about
//! a caller that gets nothing.
//!
//! # Source
//! A. K. Choudhury, E. L. Hahne: Dynamic Queue Length Thresholds for Shared-Memory Packet Switches,
//! 1998.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::IntCounter;

use crate::bounds::{REFUSAL_WAIT_MAX, REFUSALS_PER_SECOND, SHARE_OF_FREE, SHARED_FROM};
use crate::clock::Nanos;
use crate::metrics::Metrics;

/// The resource of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Open connections.
    Connections,
    /// Calls whose request body is being read.
    Readers,
    /// Calls in progress.
    Calls,
    /// Bytes that calls hold beyond the free amount of each.
    Bytes,
    /// Bytes of decoders of compressed bodies.
    DecoderBytes,
    /// Work that continues after its call.
    Background,
}

const RESOURCES: usize = 6;

impl Resource {
    /// Labels of `tollgate_bounds_reached_total`: one for every refusal of the pool, one for
    /// refusals because of the party's share.
    fn labels(self) -> (&'static str, &'static str) {
        match self {
            Resource::Connections => ("connections", "connections_share"),
            Resource::Readers => ("request_bodies", "request_bodies_share"),
            Resource::Calls => ("calls_in_flight", "calls_in_flight_share"),
            Resource::Bytes => ("held_bytes", "held_bytes_share"),
            Resource::DecoderBytes => ("decoders", "decoders_share"),
            Resource::Background => ("intents_background", "intents_background_share"),
        }
    }
}

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// All of it is in use.
    Bound,
    /// The party's share is used up.
    Share,
    /// The share of a part of a party is used up; the rest is left to other parts.
    Part,
}

/// A group whose use is counted together.
#[derive(Debug)]
pub struct Party {
    used: [AtomicUsize; RESOURCES],
    /// The multiple of the free amount that it may use.
    times_free: usize,
    /// The party that this one is a part of.
    within: Option<Arc<Party>>,
    /// The time until which refusals are held back, in nanoseconds of the clock.
    refusals: AtomicU64,
}

impl Party {
    /// A party by itself.
    pub fn new() -> Arc<Party> {
        Party::with_share(SHARE_OF_FREE)
    }

    /// A party that may use `times_free` times the free amount.
    pub fn with_share(times_free: usize) -> Arc<Party> {
        Arc::new(Party {
            used: Default::default(),
            times_free,
            within: None,
            refusals: AtomicU64::new(0),
        })
    }

    /// A part of this party. Its use counts for both, and it may use a share of the party's amount.
    pub fn part(self: &Arc<Party>) -> Arc<Party> {
        let within = Some(Arc::clone(self));
        Arc::new(Party {
            used: Default::default(),
            times_free: SHARE_OF_FREE,
            within,
            refusals: AtomicU64::new(0),
        })
    }

    /// The party itself, or the one that it is a part of.
    pub fn whole(&self) -> &Party {
        self.within.as_deref().unwrap_or(self)
    }

    /// How long a refusal of the party is held back at `now`: zero for [`REFUSALS_PER_SECOND`] of
    /// them, and then long enough to keep that rate, but at most [`REFUSAL_WAIT_MAX`]. Without it a
    /// client that retries at once on many connections would take processor time from others by
    /// refusals alone.
    pub fn refusal_wait(&self, now: Nanos) -> Duration {
        const SECOND: Duration = Duration::from_secs(1);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let most = now.0.saturating_add(nanos(SECOND + REFUSAL_WAIT_MAX));
        let next = |then: u64| {
            then.max(now.0).saturating_add(nanos(SECOND / REFUSALS_PER_SECOND)).min(most)
        };
        let then = self
            .refusals
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |then| Some(next(then)));
        let then = Nanos(next(then.unwrap_or_default()));
        then.since(now).saturating_sub(SECOND)
    }

    fn add(&self, resource: Resource, amount: usize) -> (usize, usize) {
        let own = self.used[resource as usize].fetch_add(amount, Ordering::Relaxed) + amount;
        let whole = self
            .within
            .as_deref()
            .map(|w| w.used[resource as usize].fetch_add(amount, Ordering::Relaxed) + amount);
        (own, whole.unwrap_or(own))
    }

    fn sub(&self, resource: Resource, amount: usize) {
        self.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
        if let Some(whole) = self.within.as_deref() {
            whole.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
        }
    }

    /// Whether `own` use, of `whole`, is within the share of the free amount. One unit is always
    /// within it.
    fn fits(&self, own: usize, whole: usize, free: usize) -> Result<(), Short> {
        let share = self.whole().times_free.saturating_mul(free);
        let part = SHARE_OF_FREE.saturating_mul(share.saturating_sub(whole));
        if whole > share.max(1) {
            Err(Short::Share)
        } else if self.within.is_some() && own > part.max(1) {
            Err(Short::Part)
        } else {
            Ok(())
        }
    }
}

/// One bound, and how much of it is in use.
#[derive(Debug)]
pub struct Pool {
    resource: Resource,
    most: usize,
    used: AtomicUsize,
    reached: IntCounter,
    reached_share: IntCounter,
}

impl Pool {
    /// A pool of `most`.
    pub fn new(resource: Resource, most: usize, metrics: &Metrics) -> Arc<Pool> {
        let (reached, share) = resource.labels();
        let counter = |label| metrics.bounds_reached.with_label_values(&[label]);
        let (reached, reached_share) = (counter(reached), counter(share));
        Arc::new(Pool { resource, most, used: AtomicUsize::new(0), reached, reached_share })
    }

    /// The amount that a party may take of it.
    pub fn of(self: &Arc<Pool>, party: &Arc<Party>) -> Share {
        Share { pool: Arc::clone(self), party: Arc::clone(party) }
    }

    /// The amount in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `amount` for `party`, if at most `most` is in use afterwards. The party has its share
    /// of `most`.
    fn take(&self, party: &Party, amount: usize, most: usize) -> Result<(), Short> {
        if amount > most {
            return Err(Short::Bound);
        }
        // Counted first, so that two concurrent calls cannot both take the last of the share.
        let (own, whole) = party.add(self.resource, amount);
        let mut short = Short::Bound;
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            short = Short::Bound;
            let used = used.checked_add(amount).filter(|used| *used <= most)?;
            if self.most >= SHARED_FROM {
                party.fits(own, whole, most - used).map_err(|why| short = why).ok()?;
            }
            Some(used)
        });
        taken.map(drop).map_err(|_| {
            party.sub(self.resource, amount);
            short
        })
    }

    fn count(&self, short: Short) -> Short {
        self.reached.inc();
        if short != Short::Bound {
            self.reached_share.inc();
        }
        short
    }
}

/// The amount that one party may take of a pool.
#[derive(Clone, Debug)]
pub struct Share {
    pool: Arc<Pool>,
    party: Arc<Party>,
}

impl Share {
    /// Takes one.
    ///
    /// # Errors
    /// The party gets none. The refusal is counted.
    pub fn take_one(&self) -> Result<Held, Short> {
        let mut held = self.begin();
        held.take_up_to(1).map(|()| held)
    }

    /// Nothing yet.
    pub fn begin(&self) -> Held {
        Held { share: self.clone(), amount: 0, most: self.pool.most }
    }

    /// Holds nothing yet. It takes from the half for optional uses, and may take a share of that
    /// half.
    pub fn begin_spare(&self) -> Held {
        Held { share: self.clone(), amount: 0, most: self.pool.most / 2 }
    }

    /// Whether the party could take `amount`, at this moment.
    ///
    /// # Errors
    /// It could not. The refusal is counted.
    pub fn has(&self, amount: usize) -> Result<(), Short> {
        let (pool, party) = (&self.pool, &self.party);
        pool.take(party, amount, pool.most).map_err(|short| pool.count(short))?;
        self.give_back(amount);
        Ok(())
    }

    fn give_back(&self, amount: usize) {
        self.party.sub(self.pool.resource, amount);
        self.pool.used.fetch_sub(amount, Ordering::Relaxed);
    }
}

/// An amount that is held until this is dropped.
#[derive(Debug)]
pub struct Held {
    share: Share,
    amount: usize,
    /// Of the pool.
    most: usize,
}

impl Held {
    /// Raises the held amount to `amount`, and returns whether there was enough. If not, the held
    /// amount stays.
    #[must_use]
    pub fn grow_to(&mut self, amount: usize) -> bool {
        self.take_up_to(amount).is_ok()
    }

    /// The same.
    ///
    /// # Errors
    /// There is not enough for this party. This is counted, unless the use is optional.
    pub fn take_up_to(&mut self, amount: usize) -> Result<(), Short> {
        let Some(more) = amount.checked_sub(self.amount).filter(|more| *more > 0) else {
            return Ok(());
        };
        let Share { pool, party } = &self.share;
        let taken = pool.take(party, more, self.most);
        taken.map_err(|short| if self.most == pool.most { pool.count(short) } else { short })?;
        self.amount = amount;
        Ok(())
    }

    /// Counts for another party from now on.
    ///
    /// # Errors
    /// It is more than that party may have. The refusal is counted, and nothing changes.
    pub fn pass_to(&mut self, party: &Arc<Party>) -> Result<(), Short> {
        let Share { pool, party: before } = &self.share;
        let (own, whole) = party.add(pool.resource, self.amount);
        let fits = party.fits(own, whole, pool.most - pool.used().min(pool.most));
        if let (Err(short), true) = (fits, pool.most >= SHARED_FROM) {
            party.sub(pool.resource, self.amount);
            return Err(pool.count(short));
        }
        before.sub(pool.resource, self.amount);
        self.share.party = Arc::clone(party);
        Ok(())
    }

    /// Gives all of it back.
    pub fn release(&mut self) {
        self.share.give_back(std::mem::take(&mut self.amount));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(most: usize) -> Arc<Pool> {
        Pool::new(Resource::Calls, most, &Metrics::new())
    }

    /// Takes one after the other, until there is no more.
    fn all(share: &Share) -> Vec<Held> {
        std::iter::from_fn(|| share.take_one().ok()).collect()
    }

    #[test]
    fn refusals_of_a_party_are_answered_at_a_bounded_rate() {
        let (party, other, begun) = (Party::new(), Party::new(), Nanos(7));
        let at = |ms: u64| Nanos(begun.0 + ms * 1_000_000);
        for _ in 0..REFUSALS_PER_SECOND {
            assert_eq!(party.refusal_wait(at(0)), Duration::ZERO);
        }
        let each = Duration::from_secs(1) / REFUSALS_PER_SECOND;
        for n in 1..=10 {
            assert_eq!(party.refusal_wait(at(0)), n * each);
        }
        let longest = (0..10_000).map(|_| party.refusal_wait(at(0))).max();
        assert_eq!(longest, Some(REFUSAL_WAIT_MAX));
        assert_eq!(other.refusal_wait(at(0)), Duration::ZERO);
        assert_eq!(party.refusal_wait(at(1_000)), REFUSAL_WAIT_MAX - Duration::from_secs(1) + each);
        assert_eq!(party.refusal_wait(at(60_000)), Duration::ZERO);
    }

    #[test]
    fn a_party_gets_most_and_leaves_some() {
        for (most, alone, then, last) in
            [(1, 1, 0, 0), (3, 3, 0, 0), (4, 3, 1, 0), (8, 6, 1, 1), (200, 150, 37, 9)]
        {
            let pool = pool(most);
            let parties = [Party::new(), Party::new(), Party::new()];
            let taken: Vec<Vec<Held>> = parties.iter().map(|party| all(&pool.of(party))).collect();
            let counts: Vec<usize> = taken.iter().map(Vec::len).collect();
            assert_eq!(counts, [alone, then, last], "{most}");
            drop(taken);
            assert_eq!(pool.used(), 0);
            assert_eq!(all(&pool.of(&parties[2])).len(), alone, "all was given back: {most}");
        }
    }

    #[test]
    fn however_many_come_each_newcomer_gets_one_while_there_is_one() {
        let pool = pool(100);
        let taken: Vec<Vec<Held>> = (0..100).map(|_| all(&pool.of(&Party::new()))).collect();
        assert!(taken.iter().take(5).all(|taken| !taken.is_empty()), "75, 18, 5, 1, 1");
        assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 100);
        assert_eq!(pool.of(&Party::new()).take_one().err(), Some(Short::Bound));
    }

    #[test]
    fn a_part_leaves_some_of_what_the_whole_may_have() {
        let pool = pool(200);
        let whole = Party::new();
        let (first, second) = (whole.part(), whole.part());
        let of_first = all(&pool.of(&first));
        let of_second = all(&pool.of(&second));
        assert!((120..150).contains(&of_first.len()), "{}", of_first.len());
        assert!((2..30).contains(&of_second.len()), "{}", of_second.len());
        assert_eq!(pool.of(&first).take_one().err(), Some(Short::Part));
        // Together they are one party to the others.
        assert!(of_first.len() + of_second.len() <= 150);
        assert!(all(&pool.of(&Party::new())).len() >= 30);
        drop((of_first, of_second));
        assert_eq!(whole.used[Resource::Calls as usize].load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_held_passes_to_another_party() {
        let pool = pool(8);
        let (unknown, known) = (Party::with_share(1), Party::new());
        let mut first = all(&pool.of(&unknown));
        assert_eq!(first.len(), 4, "one times what is free");
        for held in &mut first {
            held.pass_to(&known).expect("within the share");
        }
        assert_eq!(all(&pool.of(&known)).len(), 2);
        let mut more = all(&pool.of(&unknown));
        assert_eq!(more.len(), 2);
        let second = all(&pool.of(&known));
        assert_eq!((second.len(), pool.used()), (0, 6));
        let again: Vec<bool> = more.iter_mut().map(|held| held.pass_to(&known).is_ok()).collect();
        assert_eq!(again, [true, true], "six are three times the two that are free");
        drop((first, more));
        assert_eq!(pool.used(), 0);
        for party in [unknown, known] {
            assert_eq!(party.used[Resource::Calls as usize].load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn bytes_are_taken_up_to_the_bound_and_what_can_be_spared_to_half_of_it() {
        let pool = pool(4000);
        let share = pool.of(&Party::new());
        let (mut a, mut b) = (share.begin(), share.begin_spare());
        assert!(b.grow_to(1500) && !b.grow_to(1501), "its share of the half");
        assert!(pool.of(&Party::new()).begin_spare().grow_to(300), "others have one, too");
        assert!(a.grow_to(1500) && a.grow_to(5), "less is always there");
        assert_eq!(a.take_up_to(1501), Err(Short::Share));
        assert!(share.has(1).is_err() && pool.of(&Party::new()).has(700).is_ok());
        b.release();
        assert!(a.grow_to(3000) && !a.grow_to(3001) && !a.grow_to(usize::MAX));
        drop((a, b));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn many_threads_never_take_more_than_the_share_and_give_all_of_it_back() {
        let (pool, party) = (pool(40), Party::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let held = all(&pool.of(&party));
                        assert!(held.len() <= 30 && pool.used() <= 40);
                    }
                });
            }
        });
        assert_eq!((pool.used(), all(&pool.of(&party)).len()), (0, 30));
    }
}
