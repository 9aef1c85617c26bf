//! The callers of one provider: a circuit and a retry budget for each of them.
//!
//! Stage 10 of the walk. Pure: time is an argument. A failure may be the provider's or the call's
//! own, so it counts for its caller alone. All callers are held off only on evidence that no single
//! caller can give: connections that fail before anything of a call was sent, or failures of at
//! least two known organisations with no success of any between them.
//!
//! Guarantees: a caller whose calls succeed is never held off because of another; callers with a
//! provider key of their own, and those without a name, are no evidence at all; a caller without a
//! failure of its own is let through, so that the provider is probed before it is shut to all; each
//! caller probes by itself, a failing probe prolongs no wait but its caller's, and one success of a
//! known organisation ends the outage for all. Every operation takes constant time, apart from a
//! search for idle entries, once a second at the bound. Does not: know what counts as a failure
//! (see [`Failure::blame`](super::retry::Failure::blame)).
//!
//! # Bounds
//! [`PARTIES_MAX`] callers of each kind. Above it idle ones are forgotten, and if there is none the
//! newcomer has no circuit of its own.

use std::collections::HashMap;
use std::time::Duration;

use super::breaker::{Breaker, BreakerOptions, nanos};
use super::budget::{self, Budget};
use super::retry::Blame;
use crate::bounds::PARTIES_MAX;

/// How often idle callers are looked for at the bound.
const SEARCH_EVERY_NS: u64 = 1_000_000_000;

/// A caller, to whom failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartyId {
    /// A keyed hash of its organisation.
    pub digest: u64,
    /// Whether its failures may be evidence.
    pub kind: PartyKind,
}

/// Kinds of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartyKind {
    /// An organisation that is known by its JWT or gateway key and uses the gateway's provider key.
    Known,
    /// A caller with a provider key of its own, or without a name. One person can make up many of
    /// these.
    Stranger,
}

/// The callers of one provider.
#[derive(Debug)]
pub struct Parties {
    known: Group,
    strangers: Group,
    /// Connections of all callers: a failure to connect is the provider's for every caller.
    connections: Breaker,
    /// While connections fail: the time from which each caller may probe.
    unreachable_until: Option<u64>,
    /// Counts the times that connections began to fail.
    unreachable: u64,
    streak: Streak,
}

/// Callers of one kind.
#[derive(Debug)]
struct Group {
    parties: HashMap<u64, Party>,
    most: usize,
    /// Stands for all callers beyond the bound.
    others: Party,
    calling: Recent,
    retrying: Recent,
    searched_at: u64,
    /// A new caller was beyond the bound.
    overflowed: bool,
}

#[derive(Debug, Default)]
struct Party {
    circuit: Breaker,
    budget: Budget,
    /// Failures within the streak of this number, up to what counts.
    failures: u32,
    streak: u64,
    /// The streak in which the circuit opened.
    opened_in: u64,
    /// The number of the connection outage that holds it off, and the end of that wait.
    barred: (u64, u64),
    seen_at: u64,
    called_in: u64,
    retried_in: u64,
}

/// Failures of known organisations since one of them had a success.
#[derive(Debug)]
struct Streak {
    /// Counts streaks.
    number: u64,
    parties: u32,
    /// Each party counts for at most half of the failures that open a circuit.
    failures: u32,
    last_at: u64,
    /// The time since which the streak is an outage.
    opened_at: Option<u64>,
    /// The last streak that was one.
    outage: Option<u64>,
}

/// The number of callers that were active in this stretch of time, or in the one before.
#[derive(Debug, Default)]
struct Recent {
    stretch: u64,
    now: u32,
    before: u32,
}

impl Recent {
    /// `mark` is the stretch in which the caller was counted last.
    fn note(&mut self, now_ns: u64, length_ns: u64, mark: &mut u64) {
        let stretch = now_ns / length_ns.max(1) + 1;
        if stretch > self.stretch {
            self.before = if stretch == self.stretch + 1 { self.now } else { 0 };
            (self.stretch, self.now) = (stretch, 0);
        }
        if *mark < stretch {
            *mark = stretch;
            self.now = self.now.saturating_add(1);
        }
    }

    fn count(&self) -> u32 {
        self.now.max(self.before)
    }
}

impl Default for Streak {
    fn default() -> Streak {
        // A party that has never failed is in no streak.
        Streak { number: 1, parties: 0, failures: 0, last_at: 0, opened_at: None, outage: None }
    }
}

impl Streak {
    /// A known organisation had a success.
    fn end(&mut self) {
        if self.parties > 0 || self.outage == Some(self.number) {
            *self = Streak { number: self.number + 1, outage: self.outage, ..Streak::default() };
        }
    }

    fn failed(&mut self, party: &mut Party, options: &BreakerOptions, now_ns: u64) {
        if self.opened_at.is_none() && now_ns.saturating_sub(self.last_at) > nanos(options.window) {
            self.end();
        }
        self.last_at = now_ns;
        if party.streak != self.number {
            (party.streak, party.failures) = (self.number, 0);
            self.parties = self.parties.saturating_add(1);
        }
        if party.failures < options.consecutive_failures.div_ceil(2) {
            party.failures += 1;
            self.failures = self.failures.saturating_add(1);
        }
        if self.opened_at.is_none()
            && self.parties >= 2
            && self.failures >= options.consecutive_failures
        {
            (self.opened_at, self.outage) = (Some(now_ns), Some(self.number));
        }
    }

    /// The start of an outage that shuts this caller out although its own circuit never opened: the
    /// caller has failed in it, too.
    fn shuts_out(&self, party: &Party) -> Option<u64> {
        self.opened_at.filter(|_| party.streak == self.number && !party.circuit.has_opened())
    }

    /// Whether the outage is over in which the circuit of this caller opened.
    fn lets_in(&self, party: &Party) -> bool {
        party.circuit.has_opened()
            && self.outage == Some(party.opened_in)
            && self.number > party.opened_in
    }
}

impl Group {
    fn new(most: usize) -> Group {
        let (calling, retrying) = (Recent::default(), Recent::default());
        let (parties, others) = (HashMap::new(), Party::default());
        Group { parties, most, others, calling, retrying, searched_at: 0, overflowed: false }
    }

    /// The party of a caller, and whether it is the caller's own.
    fn party(&mut self, digest: u64, options: &BreakerOptions, now_ns: u64) -> (&mut Party, bool) {
        if self.parties.len() >= self.most && !self.parties.contains_key(&digest) {
            self.forget_idle(options, now_ns);
            if self.parties.len() >= self.most {
                self.overflowed = true;
                return (&mut self.others, false);
            }
        }
        let party = self.parties.entry(digest).or_default();
        party.seen_at = party.seen_at.max(now_ns);
        self.calling.note(now_ns, nanos(options.window), &mut party.called_in);
        (party, true)
    }

    fn forget_idle(&mut self, options: &BreakerOptions, now_ns: u64) {
        if self.searched_at != 0 && now_ns.saturating_sub(self.searched_at) < SEARCH_EVERY_NS {
            return;
        }
        self.searched_at = now_ns.max(1);
        let window = nanos(options.window).max(budget::WINDOW_NS);
        self.parties.retain(|_, party| {
            now_ns.saturating_sub(party.seen_at) <= window || party.circuit.is_open(now_ns)
        });
    }
}

impl Default for Parties {
    fn default() -> Parties {
        Parties::new(PARTIES_MAX)
    }
}

impl Parties {
    /// No calls yet. At most `most` callers of each kind are told apart.
    pub fn new(most: usize) -> Parties {
        Parties {
            known: Group::new(most),
            strangers: Group::new(most),
            connections: Breaker::default(),
            unreachable_until: None,
            unreachable: 0,
            streak: Streak::default(),
        }
    }

    /// Whether a call may go out now, which then counts for the caller's retries.
    ///
    /// # Errors
    /// How long this caller is held off.
    pub fn admit(
        &mut self,
        id: PartyId,
        options: &BreakerOptions,
        now_ns: u64,
    ) -> Result<(), Duration> {
        self.enter(id, options, now_ns, true)
    }

    /// The same for another attempt of a call, which was counted with its first one.
    ///
    /// # Errors
    /// How long this caller is held off.
    pub fn admit_again(
        &mut self,
        id: PartyId,
        options: &BreakerOptions,
        now_ns: u64,
    ) -> Result<(), Duration> {
        self.enter(id, options, now_ns, false)
    }

    fn enter(
        &mut self,
        id: PartyId,
        options: &BreakerOptions,
        now_ns: u64,
        is_first: bool,
    ) -> Result<(), Duration> {
        let open_for = nanos(options.open_for);
        let group = match id.kind {
            PartyKind::Known => &mut self.known,
            PartyKind::Stranger => &mut self.strangers,
        };
        let (party, is_tracked) = group.party(id.digest, options, now_ns);
        if let Some(until) =
            barred_until(self.unreachable_until, self.unreachable, party).filter(|at| now_ns < *at)
        {
            return Err(Duration::from_nanos(until - now_ns));
        }
        if is_tracked {
            if let Some(since) = self.streak.shuts_out(party) {
                party.circuit.hold_until(since.saturating_add(open_for));
                party.opened_in = self.streak.number;
            } else if self.streak.lets_in(party) {
                party.circuit.hold_until(now_ns);
                party.opened_in = self.streak.number;
            }
            party.circuit.admit(options, now_ns)?;
        }
        if self.unreachable_until.is_some() {
            party.barred = (self.unreachable, now_ns.saturating_add(open_for));
        }
        if is_first {
            party.budget.call(now_ns);
        }
        Ok(())
    }

    /// An attempt of this caller is over. Returns whether the caller's own circuit has opened
    /// (`true`) or closed (`false`) by it.
    pub fn ended(
        &mut self,
        id: PartyId,
        blame: Blame,
        options: &BreakerOptions,
        now_ns: u64,
    ) -> Option<bool> {
        match blame {
            // This is no evidence about the provider.
            Blame::Gateway => return None,
            Blame::Provider => {
                self.connections.failed(options, now_ns);
                if self.unreachable_until.is_none() && self.connections.has_opened() {
                    self.unreachable += 1;
                    self.unreachable_until = Some(now_ns.saturating_add(nanos(options.open_for)));
                    self.streak.outage = Some(self.streak.number);
                }
            }
            Blame::Nobody | Blame::Open => {
                self.connections.succeeded(options, now_ns);
                self.unreachable_until = None;
            }
        }
        let (is_known, failed) = (id.kind == PartyKind::Known, blame != Blame::Nobody);
        let group = match id.kind {
            PartyKind::Known => &mut self.known,
            PartyKind::Stranger => &mut self.strangers,
        };
        let (party, is_tracked) = group.party(id.digest, options, now_ns);
        let was_open = party.circuit.has_opened();
        if !failed {
            if is_known {
                self.streak.end();
            }
            if is_tracked {
                party.circuit.succeeded(options, now_ns);
            }
        } else if is_tracked {
            if is_known {
                self.streak.failed(party, options, now_ns);
            }
            party.circuit.failed(options, now_ns);
            if !was_open && party.circuit.has_opened() {
                party.opened_in = self.streak.number;
            }
        }
        let is_open = party.circuit.has_opened();
        (is_tracked && is_open != was_open).then_some(is_open)
    }

    /// Whether a call of this caller would be held off now.
    pub fn is_open(&self, id: PartyId, options: &BreakerOptions, now_ns: u64) -> bool {
        let group = match id.kind {
            PartyKind::Known => &self.known,
            PartyKind::Stranger => &self.strangers,
        };
        let party = group.parties.get(&id.digest);
        let barred =
            barred_until(self.unreachable_until, self.unreachable, party.unwrap_or(&group.others));
        let own = party.is_some_and(|party| {
            let since = self.streak.shuts_out(party);
            let shut_out =
                since.is_some_and(|at| now_ns < at.saturating_add(nanos(options.open_for)));
            shut_out || (party.circuit.is_open(now_ns) && !self.streak.lets_in(party))
        });
        barred.is_some_and(|at| now_ns < at) || own
    }

    /// Whether the provider counts as failing: for all, or for its only caller.
    pub fn is_failing(&self, id: PartyId, options: &BreakerOptions, now_ns: u64) -> bool {
        let is_alone =
            self.known.calling.count().saturating_add(self.strangers.calling.count()) <= 1;
        self.streak.opened_at.is_some()
            || self.unreachable_until.is_some()
            || (is_alone && self.is_open(id, options, now_ns))
    }

    /// Asks for one retry of this caller, and counts it if it is granted.
    pub fn retry(
        &mut self,
        id: PartyId,
        percent: u32,
        options: &BreakerOptions,
        now_ns: u64,
    ) -> bool {
        let group = match id.kind {
            PartyKind::Known => &mut self.known,
            PartyKind::Stranger => &mut self.strangers,
        };
        let mut mark = group.party(id.digest, options, now_ns).0.retried_in;
        group.retrying.note(now_ns, budget::WINDOW_NS, &mut mark);
        let callers = group.retrying.count();
        let party = group.party(id.digest, options, now_ns).0;
        party.retried_in = mark;
        party.budget.retry(percent, callers, now_ns)
    }

    /// Whether a new caller was beyond the bound since this was asked last.
    pub fn has_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.known.overflowed) | std::mem::take(&mut self.strangers.overflowed)
    }
}

/// The time until which failing connections hold this caller off.
fn barred_until(first: Option<u64>, unreachable: u64, party: &Party) -> Option<u64> {
    first.map(|first| if party.barred.0 == unreachable { party.barred.1 } else { first })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    fn options() -> BreakerOptions {
        let (window, open_for) = (Duration::from_secs(30), Duration::from_secs(15));
        BreakerOptions {
            consecutive_failures: 10,
            error_percent: 50,
            min_calls: Some(20),
            window,
            open_for,
        }
    }

    fn org(digest: u64) -> PartyId {
        PartyId { digest, kind: PartyKind::Known }
    }

    fn stranger(digest: u64) -> PartyId {
        PartyId { digest, kind: PartyKind::Stranger }
    }

    /// A provider that plays its part, and the callers that it has been asked by.
    struct Stage {
        parties: Parties,
        now: u64,
    }

    impl Stage {
        fn new() -> Stage {
            Stage { parties: Parties::new(100), now: S }
        }

        /// One call that ends at once; returns whether it was admitted.
        fn call(&mut self, id: PartyId, blame: Blame) -> bool {
            let admitted = self.parties.admit(id, &options(), self.now).is_ok();
            if admitted {
                self.parties.ended(id, blame, &options(), self.now);
            }
            admitted
        }

        /// `count` calls; returns how many were admitted.
        fn calls(&mut self, id: PartyId, blame: Blame, count: usize) -> usize {
            (0..count).filter(|_| self.call(id, blame)).count()
        }
    }

    #[test]
    fn one_callers_failures_are_its_own() {
        for hostile in [org(1), stranger(1)] {
            let mut stage = Stage::new();
            assert_eq!(stage.calls(hostile, Blame::Open, 100), 10);
            assert!(
                stage.parties.is_failing(hostile, &options(), stage.now),
                "it is the only caller so far"
            );
            assert_eq!(stage.calls(org(2), Blame::Nobody, 100), 100);
            assert_eq!(stage.calls(stranger(2), Blame::Nobody, 100), 100);
            assert!(!stage.parties.is_failing(hostile, &options(), stage.now), "others are well");
            // Again and again, for minutes.
            for _ in 0..600 {
                stage.now += 500 * MS;
                stage.calls(hostile, Blame::Open, 3);
                assert!(stage.call(org(2), Blame::Nobody) && stage.call(org(3), Blame::Nobody));
            }
        }
    }

    #[test]
    fn a_single_organisation_has_the_circuit_for_itself() {
        let mut stage = Stage::new();
        assert_eq!(stage.calls(org(1), Blame::Open, 20), 10);
        assert!(
            stage.parties.is_failing(org(1), &options(), stage.now)
                && stage.parties.is_open(org(1), &options(), S)
        );
        let wait = stage.parties.admit(org(1), &options(), stage.now + 5 * S).expect_err("open");
        assert_eq!(wait, Duration::from_secs(10));
        stage.now += 15 * S;
        // One probe; the others wait for it.
        assert!(stage.parties.admit(org(1), &options(), stage.now).is_ok());
        assert!(stage.parties.admit(org(1), &options(), stage.now).is_err());
        stage.parties.ended(org(1), Blame::Nobody, &options(), stage.now);
        assert!(!stage.parties.is_failing(org(1), &options(), stage.now));
        assert_eq!(stage.calls(org(1), Blame::Nobody, 20), 20);
    }

    #[test]
    fn strangers_are_no_evidence_however_many_they_are() {
        let mut stage = Stage::new();
        for n in 0..80 {
            stage.calls(stranger(n), Blame::Open, 12);
        }
        // Not even beside an organisation that fails, too.
        assert_eq!(stage.calls(org(1), Blame::Open, 9), 9);
        assert_eq!(stage.calls(org(2), Blame::Nobody, 20), 20);
        assert!(!stage.parties.is_failing(org(2), &options(), stage.now));
    }

    #[test]
    fn an_outage_shuts_out_who_has_seen_it_and_lets_the_others_probe() {
        let mut stage = Stage::new();
        // Five of each count; a third that has not failed yet finds out by itself.
        for n in 0..5 {
            assert!(stage.call(org(1), Blame::Open) && stage.call(org(2), Blame::Open), "{n}");
        }
        assert!(stage.parties.is_failing(org(3), &options(), stage.now));
        assert!(!stage.call(org(1), Blame::Open) && !stage.call(org(2), Blame::Open));
        assert!(stage.parties.is_open(org(1), &options(), stage.now));
        assert!(!stage.parties.is_open(org(3), &options(), stage.now));
        assert_eq!(stage.calls(org(3), Blame::Open, 10), 1);
        // The probe of one that fails prolongs its own wait only.
        stage.now += 15 * S;
        assert_eq!(stage.calls(org(1), Blame::Open, 10), 1);
        assert_eq!(stage.calls(org(2), Blame::Nobody, 10), 10, "the provider is well again");
        assert!(!stage.parties.is_failing(org(2), &options(), stage.now));
        // The success of one lets all try again, each with one probe.
        stage.now += MS;
        assert_eq!(stage.calls(org(1), Blame::Open, 10), 1);
        assert_eq!(stage.calls(org(3), Blame::Nobody, 10), 10);
        assert_eq!(stage.calls(org(1), Blame::Open, 10), 0, "that was its one probe");
        stage.now += 15 * S;
        assert_eq!(stage.calls(org(1), Blame::Nobody, 10), 10);
    }

    #[test]
    fn failures_of_long_ago_are_no_outage() {
        let mut stage = Stage::new();
        stage.calls(org(1), Blame::Open, 9);
        stage.now += 31 * S;
        stage.calls(org(2), Blame::Open, 9);
        assert!(!stage.parties.is_failing(org(3), &options(), stage.now));
        assert!(stage.call(org(2), Blame::Nobody));
    }

    #[test]
    fn connections_that_fail_shut_out_all_and_each_may_probe() {
        let mut stage = Stage::new();
        for n in 0..10 {
            assert!(
                stage.call(if n % 2 == 0 { org(n) } else { stranger(n) }, Blame::Provider),
                "{n}"
            );
        }
        assert!(stage.parties.is_failing(org(99), &options(), stage.now));
        assert!(!stage.call(org(99), Blame::Nobody) && !stage.call(stranger(99), Blame::Nobody));
        stage.now += 15 * S;
        // A probe that does not come back holds only its caller off.
        assert!(stage.parties.admit(org(0), &options(), stage.now).is_ok());
        assert!(stage.parties.admit(org(0), &options(), stage.now).is_err());
        assert_eq!(stage.calls(org(2), Blame::Provider, 5), 1);
        // A successful connection ends it, even if the call fails.
        assert!(stage.call(org(4), Blame::Open));
        assert_eq!(stage.calls(org(99), Blame::Nobody, 5), 5);
        assert_eq!(stage.calls(org(2), Blame::Nobody, 5), 5);
    }

    #[test]
    fn what_connects_is_no_outage_of_connections() {
        let mut stage = Stage::new();
        for n in 0..100 {
            stage.calls(stranger(1), Blame::Nobody, 2);
            stage.call(org(n), Blame::Provider);
        }
        assert!(stage.parties.unreachable_until.is_none(), "most of them connect");
    }

    #[test]
    fn retries_of_one_leave_those_of_others() {
        let mut parties = Parties::new(100);
        let retries = |parties: &mut Parties, id| {
            (0..500).filter(|_| parties.retry(id, 20, &options(), S)).count()
        };
        assert_eq!(retries(&mut parties, org(1)), 100);
        assert_eq!(retries(&mut parties, org(2)), 50);
        for n in 0..24 {
            assert!(retries(&mut parties, stranger(n)) >= 10);
        }
        assert_eq!(retries(&mut parties, org(3)), 33);
        // Calls earn retries for their own caller.
        for _ in 0..1000 {
            parties.admit(org(4), &options(), S).expect("passes");
        }
        assert_eq!(retries(&mut parties, org(4)), 200);
        assert_eq!(retries(&mut parties, org(5)), 20);
    }

    #[test]
    fn at_the_bound_idle_callers_are_forgotten_and_newcomers_pass() {
        let mut stage = Stage { parties: Parties::new(10), now: S };
        for n in 0..10 {
            stage.calls(org(n), Blame::Nobody, 1);
        }
        assert!(!stage.parties.has_overflowed());
        assert_eq!(stage.calls(org(10), Blame::Open, 50), 50, "no circuit of its own");
        assert!(stage.parties.has_overflowed() && !stage.parties.has_overflowed());
        assert!(stage.parties.known.parties.len() <= 10);
        stage.now += 31 * S;
        assert_eq!(stage.calls(org(10), Blame::Open, 50), 10);
        assert!(!stage.parties.has_overflowed());
    }

    proptest! {
        /// For any calls of one organisation and any number of strangers, at any times and in any
        /// order: a call of an organisation whose calls succeed is admitted.
        #[test]
        fn those_whose_calls_succeed_are_never_held_off(
            steps in proptest::collection::vec((0u8..8, 0u64..40, 0u64..20_000), 1..400),
            consecutive_failures in 1u32..12,
            min_calls in 1u32..30,
        ) {
            let options = BreakerOptions { consecutive_failures, min_calls: Some(min_calls), ..options() };
            let (mut parties, mut now) = (Parties::new(30), S);
            let mut open: Vec<PartyId> = vec![];
            for (kind, n, ms) in steps {
                now += ms * MS;
                let hostile = if n < 10 { org(1) } else { stranger(n) };
                match kind {
                    // A call that ends at once, one that ends later, and an end of one of those.
                    0..=2 => if parties.admit(hostile, &options, now).is_ok() {
                        let blame = [Blame::Open, Blame::Nobody, Blame::Gateway][usize::from(kind)];
                        parties.ended(hostile, blame, &options, now);
                    },
                    3 => if parties.admit(hostile, &options, now).is_ok() { open.push(hostile) },
                    4 => if let Some(hostile) = open.pop() { parties.ended(hostile, Blame::Open, &options, now); },
                    _ => {
                        let victim = org(2 + n % 5);
                        prop_assert!(!parties.is_open(victim, &options, now));
                        prop_assert!(parties.admit(victim, &options, now).is_ok());
                        // Some of its calls take long, and some never come back.
                        if kind < 7 { parties.ended(victim, Blame::Nobody, &options, now); }
                    }
                }
            }
        }

        /// For any course of an outage and any bad probes after it: an organisation is served at
        /// the latest when the time of its own wait is over.
        #[test]
        fn recovery_depends_on_nobody_else(
            outage in proptest::collection::vec((0u64..6, prop::bool::ANY, 0u64..3_000), 0..200),
            after in proptest::collection::vec((0u64..40, 0u64..1_000), 0..100),
        ) {
            let (options, mut parties, mut now) = (options(), Parties::new(30), S);
            for (n, connects, ms) in outage {
                now += ms * MS;
                if parties.admit(org(n), &options, now).is_ok() {
                    parties.ended(org(n), if connects { Blame::Open } else { Blame::Provider }, &options, now);
                }
            }
            let over = now + 15 * S;
            for (n, ms) in after {
                now = (now + ms * MS).min(over);
                // Its probes hang, and it is first each time.
                let hostile = if n < 20 { org(0) } else { stranger(n) };
                let _ = parties.admit(hostile, &options, now);
            }
            for n in 1..6 {
                prop_assert!(parties.admit(org(n), &options, over).is_ok(), "{n}");
            }
        }
    }

    #[test]
    fn a_call_counts_once_however_often_it_is_retried() {
        let options = BreakerOptions { consecutive_failures: u32::MAX, ..options() };
        for (percent, expected) in [(25, 200), (100, 800)] {
            let (mut parties, mut retries) = (Parties::new(10), 0);
            for n in 0..800 {
                let now = S + n * MS;
                assert_eq!(parties.admit(org(1), &options, now), Ok(()));
                for _ in 0..2 {
                    if !parties.retry(org(1), percent, &options, now) {
                        break;
                    }
                    assert_eq!(parties.admit_again(org(1), &options, now), Ok(()));
                    retries += 1;
                }
            }
            assert_eq!(retries, expected, "{percent} %");
        }
    }
}
