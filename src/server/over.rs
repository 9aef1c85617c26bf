//! Connections beyond the bound, or beyond the share of those that have not authenticated.
//!
//! Stage 1 of the walk. A few are accepted all the same, because the next one may be an
//! authenticated caller. Guarantees: a further connection is always accepted, and another is closed
//! for it: the oldest of the address with the most connections, a silent one if there is one. A
//! connection with unread bytes is closed last. So neither silent connections nor many of one
//! address keep others out. Does not: serve them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::pipeline::seat::{Seat, Spare};
use crate::pipeline::tenants::Address;

/// Longest time that a closed connection takes to end on a busy machine.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Interval between two searches for a connection to close, and the time that the tasks of
/// connections have meanwhile.
const LOOKS: usize = 10;
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The places, and the connections that have one. Those that are gone, or have found a place
/// elsewhere, are forgotten later.
pub struct Over {
    places: Arc<Semaphore>,
    seats: Vec<Weak<Seat>>,
}

impl Over {
    /// A set of this many places.
    pub fn new(places: usize) -> Over {
        Over { places: Arc::new(Semaphore::new(places)), seats: Vec::new() }
    }

    /// A place for a connection; `None` if the machine is too busy to close another.
    pub async fn seat(&mut self, address: Address) -> Option<Arc<Seat>> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.one_to_go().await?.make_room();
                let place = Arc::clone(&self.places).acquire_owned();
                tokio::time::timeout(GONE_WITHIN, place).await.ok()?.ok()?
            }
        };
        let seat = Arc::new(Seat::over(address, place));
        self.seats.push(Arc::downgrade(&seat));
        Some(seat)
    }

    /// The connection to close for another. New ones have a moment to send bytes first.
    async fn one_to_go(&mut self) -> Option<Arc<Seat>> {
        for look in 0.. {
            self.seats.retain(|seat| seat.upgrade().is_some_and(|seat| seat.is_over()));
            let open: Vec<Arc<Seat>> = self.seats.iter().filter_map(Weak::upgrade).collect();
            let (spare, at) = most_spare(&open)?;
            if spare >= Spare::Refused || look == LOOKS {
                return open.into_iter().nth(at);
            }
            drop(open);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }
}

/// The connection to close first. They stand in the order in which they arrived.
fn most_spare(open: &[Arc<Seat>]) -> Option<(Spare, usize)> {
    let of_same =
        |seat: &Seat| open.iter().filter(|other| other.address() == seat.address()).count();
    // The first of those with most.
    let rank =
        |(at, seat): (usize, &Arc<Seat>)| (seat.spare(), of_same(seat), std::cmp::Reverse(at));
    open.iter().enumerate().map(rank).max().map(|(spare, _, at)| (spare, at.0))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio_util::task::TaskTracker;

    use super::*;

    fn address(last: u8) -> Address {
        Address::of(IpAddr::from([10, 0, 0, last]))
    }

    /// A connection that is closed when it is told so.
    fn connect(seat: Arc<Seat>) -> tokio::task::JoinHandle<()> {
        TaskTracker::new().spawn(async move {
            seat.may_stay().await;
            seat.left();
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_is_taken_for_the_oldest_of_the_address_that_has_most() {
        let mut over = Over::new(4);
        let mut open = Vec::new();
        for last in [1, 2, 2, 3] {
            let seat = over.seat(address(last)).await.expect("a place");
            seat.heard(false);
            open.push(connect(seat));
        }
        for (newcomer, closed) in [(4, 1), (5, 0), (6, 2)] {
            let seat = over.seat(address(newcomer)).await.expect("a place");
            seat.heard(false);
            assert_eq!(open.iter().position(|task| task.is_finished()), Some(closed), "{newcomer}");
            open[closed] = connect(seat);
            tokio::task::yield_now().await;
        }
        open.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_are_being_answered_stay_if_another_can_go() {
        let mut over = Over::new(3);
        let mut seats = Vec::new();
        for last in [1, 2, 3] {
            seats.push(over.seat(address(last)).await.expect("a place"));
        }
        seats.iter().for_each(|seat| seat.heard(false));
        let [_first, third] = [&seats[0], &seats[2]].map(|seat| seat.request());
        let open: Vec<_> = seats.drain(..).map(connect).collect();
        let fourth = over.seat(address(4)).await.expect("the second has gone");
        assert_eq!(
            open.iter().map(|task| task.is_finished()).collect::<Vec<_>>(),
            [false, true, false]
        );
        let _busy = fourth.request();
        let fourth = connect(fourth);
        drop(third);
        let fifth = over.seat(address(5)).await.expect("the third has gone");
        let _also = fifth.request();
        assert!(open[2].is_finished() && !fourth.is_finished());
        // All are being answered: the oldest goes, so that slow authentication keeps no connection
        // out.
        let fifth = connect(fifth);
        assert!(over.seat(address(6)).await.is_some());
        assert!(open[0].is_finished() && !fourth.is_finished() && !fifth.is_finished());
    }

    /// Also if the tasks of connections have not run since they came, as on a busy machine.
    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_read_yet_stays_if_another_can_go() {
        let mut over = Over::new(4);
        let mut seats = Vec::new();
        for last in [1, 1, 1, 2] {
            seats.push(over.seat(address(last)).await.expect("a place"));
        }
        // The first was never looked at, the second waits to be refused, the third is being
        // answered, the fourth is silent.
        seats[0].heard(true);
        let [_busy, _also] = [&seats[1], &seats[2]].map(|seat| seat.request());
        seats[1].pause();
        seats[3].heard(false);
        let mut open: Vec<_> = seats.drain(..).map(connect).collect();
        for closed in [3, 1, 2] {
            let newcomer = over.seat(address(3)).await.expect("a place");
            assert!(open[closed].is_finished(), "{closed}");
            assert_eq!(open.iter().filter(|task| task.is_finished()).count(), 1);
            // Its place is taken for good by one that is not read yet.
            open[closed] = connect(newcomer);
        }
        open.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
