//! A connection's place, and whose it is.
//!
//! Stages 1 and 3 of the walk. A connection begins as one of those of which only the address is
//! known; with its first authenticated call it counts for that call's party. One for which there is
//! no place, or no share of those unknown, is over: it has a short time to authenticate and gets a
//! place if there is one for its party. Promises: asking on a connection that has its place costs
//! one load; a connection that never authenticates ends. Does not: read or write it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::tenants::{Address, Tenants};
use super::unread::Underway;
use crate::bounds::{HEAD_TIMEOUT, HEAD_TIMEOUT_OVER};
use crate::clock::Nanos;
use crate::code::Code;
use crate::lock::lock;
use crate::share::{Held, Party, Short};

/// The peer is not known yet.
const UNKNOWN: u8 = 0;
/// The same, and it has no place.
const OVER: u8 = 1;
/// It counts for a party.
const KNOWN: u8 = 2;

/// One connection's place.
pub struct Seat {
    address: Address,
    state: AtomicU8,
    place: Mutex<Place>,
    /// Requests so far, and those that are being answered.
    requests: AtomicU64,
    busy: AtomicU32,
    /// The last look at it found nothing to read.
    silent: AtomicBool,
    /// Its call is refused, and the answer waits for its time.
    paused: AtomicBool,
    /// Whose the first authenticated call was.
    party: OnceLock<Arc<Party>>,
    /// It is to make room for another.
    leave: Notify,
    /// The request body under way, over HTTP/1.
    pub upload: Underway,
}

enum Place {
    Held(Held),
    Over {
        _place: OwnedSemaphorePermit,
    },
    /// The connection is closed.
    Left,
}

/// Why a connection may be closed for another, the best reason last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spare {
    /// It has said something that is not read yet, or was never looked at.
    Unheard,
    /// It is being answered.
    Answered,
    /// It waits to be refused.
    Refused,
    /// It says nothing.
    Silent,
}

/// A request that is being answered.
pub struct Busy(Arc<Seat>);

impl Seat {
    /// A connection with a place among those unknown.
    pub fn unknown(address: Address, held: Held) -> Seat {
        Seat::new(address, UNKNOWN, Place::Held(held))
    }

    /// A connection beyond them.
    pub fn over(address: Address, place: OwnedSemaphorePermit) -> Seat {
        Seat::new(address, OVER, Place::Over { _place: place })
    }

    fn new(address: Address, state: u8, place: Place) -> Seat {
        Seat {
            address,
            state: AtomicU8::new(state),
            place: Mutex::new(place),
            requests: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            silent: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            party: OnceLock::new(),
            leave: Notify::new(),
            upload: Underway::default(),
        }
    }

    /// Where it comes from.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Whether it still has no place.
    pub fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OVER
    }

    /// Whether none of its requests is being answered.
    pub fn is_idle(&self) -> bool {
        self.busy.load(Ordering::Relaxed) == 0
    }

    /// It was looked at, and there was something to read or not.
    pub fn heard(&self, something: bool) {
        self.silent.store(!something, Ordering::Relaxed);
    }

    /// Whether its peer has said nothing that is not read yet. Before the first look that is not
    /// known.
    pub fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Lasts as long as a refusal is held back, see [`Party::refusal_wait`].
    pub async fn before_refusal(&self, code: Code, tenants: &Tenants, now: Nanos) {
        if code != Code::Overloaded && !matches!(code.status(), 401 | 403 | 429) {
            return;
        }
        let wait = match self.party.get() {
            Some(party) => party.refusal_wait(now),
            None => tenants.unknown(self.address).refusal_wait(now),
        };
        if wait > Duration::ZERO {
            self.paused.store(true, Ordering::Relaxed);
            // Boxed: few connections need room for it.
            Box::pin(tokio::time::sleep(wait)).await;
            self.paused.store(false, Ordering::Relaxed);
        }
    }

    /// As if its call were refused, and held back.
    #[cfg(test)]
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    /// How little harm it does to close it: most if it is silent, some if it waits to be refused,
    /// least if it was never looked at.
    pub fn spare(&self) -> Spare {
        match (self.is_idle(), self.is_silent()) {
            (true, true) => Spare::Silent,
            _ if self.paused.load(Ordering::Relaxed) => Spare::Refused,
            (false, _) => Spare::Answered,
            (true, false) => Spare::Unheard,
        }
    }

    /// Whether it is known who is at its other end.
    pub fn is_known(&self) -> bool {
        self.state.load(Ordering::Acquire) == KNOWN
    }

    /// Counts for `party` from now on, if it did not count for another before.
    ///
    /// # Errors
    /// There is no place for the party.
    pub fn belongs_to(&self, tenants: &Tenants, party: &Arc<Party>) -> Result<(), Short> {
        if self.is_known() {
            return Ok(());
        }
        self.party.get_or_init(|| Arc::clone(party));
        let mut place = lock(&self.place);
        match &mut *place {
            // Another call of the connection was quicker.
            Place::Held(_) if self.is_known() => return Ok(()),
            Place::Held(held) => held.pass_to(party)?,
            // A call that has not heard of it yet.
            Place::Left => return Ok(()),
            Place::Over { .. } => *place = Place::Held(tenants.connections.of(party).take_one()?),
        }
        self.state.store(KNOWN, Ordering::Release);
        Ok(())
    }

    /// A request has come: its number on the connection, and what says that it is being answered.
    pub fn request(self: &Arc<Seat>) -> (u64, Busy) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        (self.requests.fetch_add(1, Ordering::Relaxed), Busy(Arc::clone(self)))
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Closes it soon, for another.
    pub fn make_room(&self) {
        self.leave.notify_one();
    }

    /// The connection is closed: its place is free, also while a call of it is still being dropped.
    pub fn left(&self) {
        // First: as soon as its place is free, it is no longer one that could make room.
        self.state.store(KNOWN, Ordering::Release);
        *lock(&self.place) = Place::Left;
    }

    /// Lasts as long as the connection may go on without an authenticated call.
    pub async fn may_stay(&self) {
        let patience = if self.is_over() { HEAD_TIMEOUT_OVER } else { HEAD_TIMEOUT };
        let mut seen = 0;
        loop {
            tokio::select! {
                biased;
                () = self.leave.notified() => return,
                () = tokio::time::sleep(patience) => {}
            }
            if self.is_known() {
                return std::future::pending().await;
            }
            let requests = self.requests();
            // Over, it is there for one answer; else for as long as it asks for something now and
            // then.
            if self.is_idle() && (self.is_over() || requests == seen) {
                return;
            }
            seen = requests;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::sync::Semaphore;
    use tokio::time::Instant;

    use super::*;
    use crate::bounds::REFUSALS_PER_SECOND;
    use crate::metrics::Metrics;

    fn address() -> Address {
        Address::of(IpAddr::from([10, 0, 0, 1]))
    }

    fn seat(tenants: &Tenants) -> Option<Arc<Seat>> {
        let held = tenants.connections.of(&tenants.unknown(address())).take_one().ok()?;
        Some(Arc::new(Seat::unknown(address(), held)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_counts_for_its_party_or_makes_room() {
        let tenants = Tenants::new(20, 1, 1, &Metrics::new());
        let unknown: Vec<Arc<Seat>> = std::iter::from_fn(|| seat(&tenants)).collect();
        assert!((5..=10).contains(&unknown.len()), "{}", unknown.len());
        let acme = Party::new();
        for seat in &unknown {
            assert!(!seat.is_known());
            seat.belongs_to(&tenants, &acme).expect("a place");
            seat.belongs_to(&tenants, &Party::new()).expect("it has one already");
        }
        let more: Vec<Arc<Seat>> = std::iter::from_fn(|| seat(&tenants)).collect();
        assert!(!more.is_empty(), "they count no longer as unknown");
        let places = Arc::new(Semaphore::new(1));
        let over = Seat::over(address(), Arc::clone(&places).try_acquire_owned().expect("free"));
        assert!(over.is_over() && places.available_permits() == 0);
        over.belongs_to(&tenants, &Party::new()).expect("a place of its own");
        assert_eq!((over.is_over(), over.is_known(), places.available_permits()), (false, true, 1));
        let before = tenants.connections.used();
        drop(over);
        assert_eq!(tenants.connections.used(), before - 1);
    }

    /// When the connection is closed, where that is within an hour; `asks` a request at each of
    /// these seconds.
    async fn closed_at(seat: &Arc<Seat>, asks: &[u64]) -> Option<u64> {
        let begun = Instant::now();
        let asking = async {
            for at in asks {
                tokio::time::sleep_until(begun + Duration::from_secs(*at)).await;
                drop(seat.request());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = asking => None,
            () = seat.may_stay() => Some(begun.elapsed().as_secs()),
            () = tokio::time::sleep(Duration::from_secs(3600)) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_says_who_it_is_is_closed() {
        let tenants = Tenants::new(20, 1, 1, &Metrics::new());
        let places = Arc::new(Semaphore::new(9));
        let over = || {
            Arc::new(Seat::over(address(), Arc::clone(&places).try_acquire_owned().expect("free")))
        };
        assert_eq!(closed_at(&seat(&tenants).expect("place"), &[]).await, Some(75));
        assert_eq!(closed_at(&seat(&tenants).expect("place"), &[10, 100]).await, Some(225));
        let asks: Vec<u64> = (0..100).map(|n| n * 60).collect();
        assert_eq!(closed_at(&seat(&tenants).expect("place"), &asks).await, None, "health checks");
        assert_eq!(closed_at(&over(), &[]).await, Some(2));
        assert_eq!(closed_at(&over(), &[0, 1, 2, 3, 4, 5, 6]).await, Some(2));
        let known = over();
        known.belongs_to(&tenants, &Party::new()).expect("a place");
        assert_eq!(closed_at(&known, &[]).await, None);
        let told = over();
        told.make_room();
        assert_eq!(closed_at(&told, &[]).await, Some(0));
        // While it is being answered it is not closed.
        let answered = over();
        let busy = answered.request();
        assert_eq!(closed_at(&answered, &[]).await, None);
        drop(busy);
        assert_eq!(closed_at(&answered, &[]).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_beyond_the_rate_are_held_back_and_no_others() {
        let (tenants, places) =
            (Tenants::new(20, 1, 1, &Metrics::new()), Arc::new(Semaphore::new(1)));
        let over = Seat::over(address(), Arc::clone(&places).try_acquire_owned().expect("free"));
        let (begun, now) = (Instant::now(), Nanos(1));
        for _ in 0..REFUSALS_PER_SECOND {
            over.before_refusal(Code::InvalidToken, &tenants, now).await;
        }
        over.before_refusal(Code::InvalidJson, &tenants, now).await;
        over.before_refusal(Code::ProviderUnavailable, &tenants, now).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(over.spare(), Spare::Unheard);
        tokio::select! {
            biased;
            () = over.before_refusal(Code::Overloaded, &tenants, now) => unreachable!("it waits"),
            () = std::future::ready(()) => assert_eq!(over.spare(), Spare::Refused),
        }
        over.before_refusal(Code::RateLimitExceeded, &tenants, now).await;
        assert!(begun.elapsed() > Duration::ZERO);
        // With its first authenticated call it counts for another.
        over.belongs_to(&tenants, &Party::new()).expect("a place");
        let begun = Instant::now();
        over.before_refusal(Code::RateLimitExceeded, &tenants, now).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
