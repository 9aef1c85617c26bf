//! The use of each limit of one subject: arithmetic only.
//!
//! Stages 4, 8 and 12 of the walk. Pure: no clock, no map, no lock. Tokens and money are reserved
//! by estimate when a call is admitted and settled when it is over; use beyond the estimate is
//! owed, and the next call waits for it.
//!
//! Guarantees: a call passes all limits of a subject or takes from none; a reservation is given
//! back exactly once; a changed policy keeps debts. Does not: estimate (see
//! `tollgate_wire::estimate`), or know subjects (see `meters`).

use std::num::NonZeroU64;
use std::time::Duration;

use super::bucket::{Cell, Quota};
use super::calendar::Date;
use super::caps::{Ask, Caps, Estimate, Which};

/// A bucket of tokens holds one minute's worth, whatever its rate.
const MINUTE_NS: u64 = 60_000_000_000;
/// The wait that a refusal for calls in flight suggests; the end of a call cannot be known.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(1);

/// The moment of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Nanoseconds of the gateway's monotonic clock.
    pub now_ns: u64,
    /// The day and the month.
    pub date: Date,
}

/// The use of one subject.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Absent until a quota of calls is asked for.
    requests: Option<Cell>,
    /// Theoretical arrival time of the bucket of tokens, in nanoseconds of the gateway's clock.
    tokens_tat: u64,
    in_flight: u32,
    day: Spend,
    month: Spend,
}

/// Money spent and reserved in one day or month.
#[derive(Clone, Copy, Debug, Default)]
struct Spend {
    period: i32,
    nano_usd: u64,
    /// The part of it that is reserved for calls that are not over.
    reserved: u64,
}

/// The parts that a call took, to be given back or settled once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The quota that its request was counted under.
    request: Option<Quota>,
    in_flight: bool,
    /// Nanoseconds of the bucket of tokens, and its rate.
    tokens_ns: u64,
    /// The bucket's theoretical arrival time when they were taken.
    tokens_tat: u64,
    tokens_per_minute: Option<NonZeroU64>,
    nano_usd: u64,
    day: Option<i32>,
    month: Option<i32>,
}

/// A limit of this subject that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which one.
    pub which: Which,
    /// The limit of the policy.
    pub limit: u64,
    /// The wait after which it may pass if there are no other calls.
    pub wait: Duration,
}

impl Spend {
    fn in_period(&self, period: i32) -> u64 {
        if self.period == period { self.nano_usd } else { 0 }
    }

    fn add(&mut self, period: i32, nano_usd: u64) {
        let reserved = if self.period == period { self.reserved } else { 0 };
        let nano_usd = self.in_period(period).saturating_add(nano_usd);
        *self = Spend { period, nano_usd, reserved };
    }

    fn reserve(&mut self, period: i32, nano_usd: u64) {
        self.add(period, nano_usd);
        self.reserved = self.reserved.saturating_add(nano_usd);
    }

    /// Spent by calls that are over.
    fn settled(&self, period: i32) -> u64 {
        self.in_period(period).saturating_sub(self.reserved)
    }

    /// The reservation of a call that is over becomes its use.
    fn keep(&mut self, period: i32, reserved: u64) {
        if self.period == period {
            self.reserved = self.reserved.saturating_sub(reserved);
        }
    }

    /// Replaces a reservation by the real use. A period that is over is not opened again.
    fn settle(&mut self, period: i32, reserved: u64, used: u64) {
        if self.period == period {
            self.nano_usd = self.nano_usd.saturating_sub(reserved).saturating_add(used);
            self.reserved = self.reserved.saturating_sub(reserved);
        }
    }
}

/// The time in which `tokens` are refilled, rounded up.
fn tokens_time(tokens: u64, per_minute: NonZeroU64) -> u64 {
    let ns = (u128::from(tokens) * u128::from(MINUTE_NS)).div_ceil(u128::from(per_minute.get()));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

impl Meter {
    /// Takes all that `ask` wants, or nothing.
    ///
    /// An estimate that is more than a whole limit counts as the whole limit: such a call passes
    /// when nothing else was used, and owes the rest afterwards. One that is
    /// [assumed](Estimate::assumed) passes when any money is left, and while it goes on no other
    /// does: so a budget is exceeded by one call at most.
    ///
    /// # Errors
    /// The first limit that refuses.
    pub fn ask(&mut self, caps: &Caps, ask: Ask, at: Moment) -> Result<Taken, Refused> {
        let refused = |which, limit, wait| Err(Refused { which, limit, wait });
        let Estimate { tokens, nano_usd, assumed } = ask.estimate.unwrap_or_default();
        if let Some(most) =
            caps.calls_in_flight.filter(|most| ask.call && self.in_flight >= most.get())
        {
            return refused(Which::CallsInFlight, u64::from(most.get()), IN_FLIGHT_WAIT);
        }
        for (which, limit, spent, left) in [
            (
                Which::UsdPerDay,
                caps.nano_usd_per_day,
                self.day.in_period(at.date.day),
                at.date.day_left,
            ),
            (
                Which::UsdPerMonth,
                caps.nano_usd_per_month,
                self.month.in_period(at.date.month),
                at.date.month_left,
            ),
        ] {
            let Some(limit) = limit.map(NonZeroU64::get) else { continue };
            let fits = assumed || spent.saturating_add(nano_usd.min(limit)) <= limit;
            if spent >= limit || !fits {
                return refused(which, limit, left);
            }
        }
        if let Some(rate) = caps.tokens_per_minute {
            let after = self
                .tokens_tat
                .max(at.now_ns)
                .saturating_add(tokens_time(tokens.min(rate.get()), rate));
            let wait = after.saturating_sub(at.now_ns.saturating_add(MINUTE_NS));
            if wait > 0 {
                return refused(Which::Tokens, rate.get(), Duration::from_nanos(wait));
            }
        }
        if let Some(quota) = caps.requests.filter(|_| ask.call) {
            let decision =
                self.requests.get_or_insert_with(|| quota.fresh()).take(&quota, at.now_ns);
            if let Some(wait) = decision.wait {
                return refused(Which::Requests, u64::from(quota.requests_per_minute()), wait);
            }
        }
        Ok(self.take(caps, ask, at))
    }

    /// Counts a call that was admitted elsewhere, even beyond the limits here.
    pub fn note(&mut self, caps: &Caps, ask: Ask, at: Moment) -> Taken {
        if let Some(quota) = caps.requests.filter(|_| ask.call) {
            self.requests.get_or_insert_with(|| quota.fresh()).take(&quota, at.now_ns);
        }
        self.take(caps, ask, at)
    }

    /// All but the request itself.
    fn take(&mut self, caps: &Caps, ask: Ask, at: Moment) -> Taken {
        let mut taken = Taken {
            request: caps.requests.filter(|_| ask.call),
            in_flight: ask.call && caps.calls_in_flight.is_some(),
            ..Taken::default()
        };
        self.in_flight += u32::from(taken.in_flight);
        let Some(Estimate { tokens, nano_usd, .. }) = ask.estimate else { return taken };
        if let Some(rate) = caps.tokens_per_minute {
            taken.tokens_per_minute = Some(rate);
            taken.tokens_ns = tokens_time(tokens.min(rate.get()), rate);
            self.tokens_tat = self.tokens_tat.max(at.now_ns).saturating_add(taken.tokens_ns);
            taken.tokens_tat = self.tokens_tat;
        }
        taken.nano_usd = nano_usd;
        if caps.nano_usd_per_day.is_some() {
            taken.day = Some(at.date.day);
            self.day.reserve(at.date.day, nano_usd);
        }
        if caps.nano_usd_per_month.is_some() {
            taken.month = Some(at.date.month);
            self.month.reserve(at.date.month, nano_usd);
        }
        taken
    }

    /// The call is over and its use is known. Unused tokens are given back, except those that have
    /// been refilled meanwhile: otherwise long calls would save up more than the bucket holds.
    pub fn settle(&mut self, taken: &Taken, tokens: u64, nano_usd: u64, now_ns: u64) {
        self.in_flight = self.in_flight.saturating_sub(u32::from(taken.in_flight));
        if let Some(rate) = taken.tokens_per_minute {
            let used = tokens_time(tokens, rate);
            self.tokens_tat = match used.checked_sub(taken.tokens_ns) {
                Some(more) => self.tokens_tat.max(now_ns).saturating_add(more),
                None => {
                    let ahead = taken.tokens_tat.saturating_sub(now_ns);
                    self.tokens_tat.saturating_sub(ahead.min(taken.tokens_ns - used))
                }
            };
        }
        if let Some(day) = taken.day {
            self.day.settle(day, taken.nano_usd, nano_usd);
        }
        if let Some(month) = taken.month {
            self.month.settle(month, taken.nano_usd, nano_usd);
        }
    }

    /// The call is over and its use is unknown: the estimate stands.
    pub fn keep(&mut self, taken: &Taken) {
        self.in_flight = self.in_flight.saturating_sub(u32::from(taken.in_flight));
        taken.day.into_iter().for_each(|day| self.day.keep(day, taken.nano_usd));
        taken.month.into_iter().for_each(|month| self.month.keep(month, taken.nano_usd));
    }

    /// The call was refused by another limit: it counts as if it had never been made.
    pub fn give_back(&mut self, taken: &Taken) {
        if let (Some(quota), Some(cell)) = (&taken.request, self.requests.as_mut()) {
            cell.give_back(quota);
        }
        self.settle(taken, 0, 0, 0);
    }

    /// The use of each limit: which one, its use, and the limit itself (calls, tokens, 10⁻⁹ USD).
    /// Of quotas, the use is the part of the bucket that is empty.
    pub fn used(&self, caps: &Caps, at: Moment) -> impl Iterator<Item = (Which, u64, u64)> {
        let calls = caps.requests.zip(self.requests.as_ref()).map(|(quota, cell)| {
            let (used, most) = cell.used(&quota, at.now_ns);
            (Which::Requests, used, most)
        });
        let tokens = caps.tokens_per_minute.map(|rate| {
            let owed = u128::from(self.tokens_tat.saturating_sub(at.now_ns));
            let used = (owed * u128::from(rate.get())).div_ceil(u128::from(MINUTE_NS));
            (Which::Tokens, u64::try_from(used).unwrap_or(u64::MAX), rate.get())
        });
        let in_flight = caps
            .calls_in_flight
            .map(|most| (Which::CallsInFlight, u64::from(self.in_flight), u64::from(most.get())));
        let day = caps
            .nano_usd_per_day
            .map(|most| (Which::UsdPerDay, self.day.in_period(at.date.day), most.get()));
        let month = caps
            .nano_usd_per_month
            .map(|most| (Which::UsdPerMonth, self.month.in_period(at.date.month), most.get()));
        [calls, tokens, in_flight, day, month].into_iter().flatten()
    }

    /// Adds money that was spent before this process began.
    pub fn spent_before(&mut self, date: Date, day_nano_usd: u64, month_nano_usd: u64) {
        self.day.add(date.day, day_nano_usd);
        self.month.add(date.month, month_nano_usd);
    }

    /// Money spent and reserved in this day and in this month.
    pub fn spent(&self, date: Date) -> (u64, u64) {
        (self.day.in_period(date.day), self.month.in_period(date.month))
    }

    /// The same of calls that are over.
    pub fn settled(&self, date: Date) -> (u64, u64) {
        (self.day.settled(date.day), self.month.settled(date.month))
    }

    /// Whether it equals a fresh one, so that it may be forgotten.
    pub fn is_idle(&self, at: Moment) -> bool {
        self.in_flight == 0
            && self.tokens_tat <= at.now_ns
            && self.requests.as_ref().is_none_or(|cell| cell.is_idle(at.now_ns))
            && self.day.in_period(at.date.day) == 0
            && self.month.in_period(at.date.month) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    const S: u64 = 1_000_000_000;

    fn at(now_ns: u64) -> Moment {
        Moment { now_ns, date: Date::at(i64::try_from(now_ns / 1_000_000).expect("short")) }
    }

    fn caps(tokens: u64, in_flight: u32, day: u64, month: u64) -> Caps {
        Caps {
            requests: None,
            tokens_per_minute: NonZeroU64::new(tokens),
            calls_in_flight: NonZeroU32::new(in_flight),
            nano_usd_per_day: NonZeroU64::new(day),
            nano_usd_per_month: NonZeroU64::new(month),
        }
    }

    fn call(tokens: u64, nano_usd: u64) -> Ask {
        Ask { call: true, estimate: Some(Estimate { tokens, nano_usd, assumed: false }) }
    }

    #[test]
    fn what_is_only_assumed_passes_one_at_a_time() {
        let (caps, mut meter) = (caps(0, 0, 50, 80), Meter::default());
        let assumed = |nano_usd| Ask {
            call: true,
            estimate: Some(Estimate { tokens: 0, nano_usd, assumed: true }),
        };
        let first = meter.ask(&caps, assumed(200), at(S)).expect("nothing was used");
        for other in [assumed(200), assumed(1), call(0, 0)] {
            assert!(meter.ask(&caps, other, at(S)).is_err(), "all that is left is held");
        }
        meter.settle(&first, 0, 2, S);
        // A call that sets its bound has to fit, one that sets none passes as long as anything is
        // left.
        assert!(meter.ask(&caps, call(0, 49), at(S)).is_err());
        let small = meter.ask(&caps, call(0, 40), at(S)).expect("it fits");
        let second = meter.ask(&caps, assumed(200), at(S)).expect("eight are left");
        meter.settle(&small, 0, 0, S);
        assert!(
            meter.ask(&caps, assumed(1), at(S)).is_err(),
            "what the other has given back is held by the second"
        );
        meter.settle(&second, 0, 48, S);
        assert!(meter.ask(&caps, assumed(1), at(S)).is_err(), "nothing is left");
    }

    #[test]
    fn tokens_are_settled_and_debt_is_waited_for() {
        let (caps, mut meter) = (caps(6_000, 0, 0, 0), Meter::default());
        let first = meter.ask(&caps, call(1_000, 0), at(S)).expect("passes");
        // Used three times the minute's tokens: it passes, and the next waits until the debt is
        // refilled.
        meter.settle(&first, 18_000, 0, S);
        let refused = meter.ask(&caps, call(0, 0), at(S)).expect_err("in debt");
        assert_eq!(
            (refused.which, refused.limit, refused.wait),
            (Which::Tokens, 6_000, Duration::from_secs(120))
        );
        assert!(meter.ask(&caps, call(0, 0), at(121 * S)).is_ok());
        assert!(meter.ask(&caps, call(1, 0), at(121 * S)).is_err());
        // An estimate above the whole bucket passes when it is full.
        assert!(meter.ask(&caps, call(100_000, 0), at(400 * S)).is_ok());
    }

    #[test]
    fn a_call_of_which_nothing_is_known_yet_holds_no_tokens_and_no_money() {
        let (caps, mut meter) = (caps(60, 0, 50, 0), Meter::default());
        let at_head = meter.ask(&caps, Ask::CALL, at(S)).expect("passes");
        let known = meter
            .ask(&caps, Ask { call: false, estimate: call(60, 50).estimate }, at(S))
            .expect("passes");
        assert!(meter.ask(&caps, Ask::CALL, at(S)).is_err(), "nothing is left");
        meter.settle(&at_head, 18, 20, S);
        meter.settle(&known, 18, 20, S);
        // Charged once.
        assert!(meter.ask(&caps, call(42, 30), at(S)).is_ok());
    }

    #[test]
    fn what_is_released_is_free_again() {
        let (caps, mut meter) = (caps(100, 1, 50, 80), Meter::default());
        let taken = meter.ask(&caps, call(100, 50), at(S)).expect("passes");
        assert_eq!(
            meter.ask(&caps, call(1, 1), at(S)).map_err(|r| r.which),
            Err(Which::CallsInFlight)
        );
        meter.settle(&taken, 0, 0, S);
        let taken = meter.ask(&caps, call(100, 50), at(S)).expect("all of it came back");
        meter.settle(&taken, 10, 20, S);
        assert_eq!(meter.ask(&caps, call(91, 0), at(S)).map_err(|r| r.which), Err(Which::Tokens));
        assert_eq!(
            meter.ask(&caps, call(1, 31), at(S)).map_err(|r| r.which),
            Err(Which::UsdPerDay)
        );
        assert!(meter.ask(&caps, call(90, 30), at(S)).is_ok());
    }

    #[test]
    fn time_and_settlement_do_not_both_bring_tokens_back() {
        let (caps, mut meter) = (caps(60_000, 0, 0, 0), Meter::default());
        let ask = |meter: &mut Meter, n: u64| meter.ask(&caps, call(60_000, 0), at(n * 60 * S));
        let open: Vec<Taken> =
            (0..9).map(|n| ask(&mut meter, n).expect("a minute's tokens each minute")).collect();
        // All end in the ninth minute and have used nothing: one minute's tokens are there, and no
        // more.
        let mut passed = 0;
        for taken in &open {
            meter.settle(taken, 0, 0, 9 * 60 * S);
            passed += usize::from(ask(&mut meter, 9).is_ok());
        }
        assert_eq!(passed, 1);
    }

    #[test]
    fn budgets_are_of_their_day_and_month() {
        let (caps, mut meter) = (caps(0, 0, 50, 120), Meter::default());
        let day = 86_400 * S;
        // The first of January 1970: 31 days.
        for n in 0..2 {
            let taken = meter.ask(&caps, call(0, 50), at(n * day)).expect("a new day");
            meter.settle(&taken, 0, 50, n * day);
            assert_eq!(
                meter.ask(&caps, call(0, 0), at(n * day + S)).map_err(|r| r.which),
                Err(Which::UsdPerDay)
            );
        }
        let refused = meter.ask(&caps, call(0, 21), at(2 * day)).expect_err("the month's");
        assert_eq!(
            (refused.which, refused.limit, refused.wait),
            (Which::UsdPerMonth, 120, Duration::from_secs(29 * 86_400))
        );
        assert!(meter.ask(&caps, call(0, 21), at(31 * day)).is_ok());
        // A reservation of yesterday that is settled today does not open yesterday again.
        let mut meter = Meter::default();
        let taken = meter.ask(&caps, call(0, 50), at(day - 1)).expect("passes");
        meter.settle(&taken, 0, 7, day);
        assert!(meter.ask(&caps, call(0, 50), at(day)).is_ok());
    }

    #[test]
    fn an_idle_meter_may_be_forgotten_and_no_other() {
        let mut meter = Meter::default();
        assert!(meter.is_idle(at(S)));
        let taken = meter.ask(&caps(60, 1, 10, 0), call(30, 5), at(S)).expect("passes");
        assert!(!meter.is_idle(at(1000 * S)), "in flight");
        meter.settle(&taken, 30, 5, S);
        assert!(!meter.is_idle(at(1000 * S)), "money of today");
        assert!(meter.is_idle(at(86_400 * S)));
    }

    proptest! {
        /// For any order of calls, ends, failures and returns: calls in flight never exceed the
        /// limit, money is the sum of settled and reserved amounts, and when all is over nothing is
        /// held.
        #[test]
        fn nothing_is_lost_and_nothing_is_free(
            steps in proptest::collection::vec((0u8..4, 0u64..80, 0u64..120, 0u64..2_000_000_000), 1..200)
        ) {
            let caps = caps(600, 3, 1_000, 0);
            let (mut meter, mut now, mut spent) = (Meter::default(), S, 0u64);
            let mut open: Vec<(Taken, u64)> = vec![];
            for (kind, tokens, nano, step) in steps {
                now += step;
                match kind {
                    0 | 1 => if let Ok(taken) = meter.ask(&caps, call(tokens, nano), at(now)) { open.push((taken, nano)) },
                    2 => if let Some((taken, _)) = open.pop() { meter.settle(&taken, tokens, nano, now); spent += nano },
                    _ => if let Some((taken, _)) = open.pop() { meter.give_back(&taken) },
                }
                let reserved: u64 = open.iter().map(|(_, nano)| nano).sum();
                prop_assert!(open.len() <= 3 && meter.in_flight as usize == open.len());
                prop_assert_eq!(meter.day.nano_usd, spent + reserved);
            }
            for (taken, _) in open.drain(..) { meter.give_back(&taken) }
            prop_assert_eq!((meter.in_flight, meter.day.nano_usd), (0, spent));
        }

        /// For any length and use of calls: the tokens that calls of any span of time hold or have
        /// used are at most two buckets and the refill. (One, were it known which tokens time has
        /// brought back.)
        #[test]
        fn what_comes_back_is_no_more_than_was_taken(
            steps in proptest::collection::vec((0u8..5, 0usize..64, 1u64..700, 0u64..20_000_000_000), 1..300)
        ) {
            let (caps, mut meter, mut now) = (caps(600, 0, 0, 0), Meter::default(), S);
            // The time, the tokens that it holds or has used, and its reservation while it is open.
            let mut calls: Vec<(u64, u64, Option<Taken>)> = vec![];
            for (kind, which, tokens, step) in steps {
                // Many things happen at the same moment.
                now += if step % 3 == 0 { step } else { 0 };
                let mut open: Vec<_> = calls.iter_mut().filter(|(_, _, taken)| taken.is_some()).collect();
                if kind < 3 {
                    if let Ok(taken) = meter.ask(&caps, call(tokens, 0), at(now)) {
                        calls.push((now, tokens.min(600), Some(taken)));
                    }
                } else if !open.is_empty() {
                    let n = which % open.len();
                    let (_, holds, taken) = &mut *open[n];
                    let used = if kind == 3 { 0 } else { tokens.min(*holds) };
                    meter.settle(&taken.take().expect("open"), used, 0, now);
                    *holds = used;
                }
                let mut sum = 0;
                for (from, holds, _) in calls.iter().rev() {
                    sum += holds;
                    prop_assert!(u128::from(sum) * u128::from(MINUTE_NS)
                        <= 600 * (2 * u128::from(MINUTE_NS) + u128::from(now - from)), "{sum} in {}", now - from);
                }
            }
        }

        /// Reserved tokens: admissions in any minute never exceed two buckets' worth (its content
        /// and the refill).
        #[test]
        fn tokens_never_exceed_bucket_and_refill(calls in proptest::collection::vec((1u64..400, 0u64..5_000_000_000), 1..200)) {
            let (caps, mut meter, mut now) = (caps(600, 0, 0, 0), Meter::default(), S);
            let mut passed: Vec<(u64, u64)> = vec![];
            for (tokens, step) in calls {
                now += step;
                if meter.ask(&caps, call(tokens, 0), at(now)).is_ok() { passed.push((now, tokens)) }
            }
            for (i, (from, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for (to, tokens) in &passed[i..] {
                    sum += tokens;
                    prop_assert!(u128::from(sum) * u128::from(MINUTE_NS)
                        <= 600 * (u128::from(MINUTE_NS) + u128::from(to - from)), "{sum} in {}", to - from);
                }
            }
        }
    }
}
