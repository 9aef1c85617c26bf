//! Room for the bytes that calls hold: one bound on all of them together.
//!
//! Stage 7 of the walk, and of the stages beside it. What every call may hold is bounded by the number of calls; what a
//! call holds beyond that (a body kept for replay, a long answer that is checked whole, a long event) takes room here and
//! gives it back when it is dropped. Promises: never more than the bound is given out; bodies kept for replay, which a
//! call can do without, never take more than half. Does not: decide what becomes of a call that gets no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bounds::HELD_BYTES_SPARE;

/// The room.
#[derive(Debug)]
pub struct Room {
    used: AtomicUsize,
    bytes_max: usize,
}

/// Room that is taken, until this is dropped.
#[derive(Debug)]
pub struct Held {
    room: Arc<Room>,
    bytes: usize,
    bytes_max: usize,
}

impl Room {
    /// Room for `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Arc<Room> {
        Arc::new(Room { used: AtomicUsize::new(0), bytes_max })
    }

    /// Whether so little is left that new calls had better wait.
    pub fn is_crowded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bytes_max.saturating_sub(HELD_BYTES_SPARE)
    }

    /// Nothing yet, of all of the room.
    pub fn begin(self: &Arc<Room>) -> Held {
        Held { room: Arc::clone(self), bytes: 0, bytes_max: self.bytes_max }
    }

    /// Nothing yet, of the half for what a call can do without.
    pub fn begin_spare(self: &Arc<Room>) -> Held {
        Held { room: Arc::clone(self), bytes: 0, bytes_max: self.bytes_max / 2 }
    }
}

impl Held {
    /// Takes room up to `bytes` in all; whether there was enough. Without it what is held stays held.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes) else { return true };
        let grown = self.room.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|total| *total <= self.bytes_max)
        });
        if grown.is_ok() {
            self.bytes = bytes;
        }
        grown.is_ok()
    }

    /// Gives all of it back.
    pub fn release(&mut self) {
        self.room.used.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
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

    #[test]
    fn room_is_taken_up_to_its_bound_and_given_back() {
        let room = Room::new(4 * HELD_BYTES_SPARE);
        let (mut a, mut b) = (room.begin(), room.begin_spare());
        assert!(b.grow_to(2 * HELD_BYTES_SPARE) && !b.grow_to(2 * HELD_BYTES_SPARE + 1), "half is the most");
        assert_eq!(b.bytes, 2 * HELD_BYTES_SPARE);
        assert!(a.grow_to(HELD_BYTES_SPARE) && !room.is_crowded());
        assert!(a.grow_to(HELD_BYTES_SPARE + 1) && room.is_crowded());
        assert!(a.grow_to(5), "less is always there");
        assert!(!a.grow_to(2 * HELD_BYTES_SPARE + 1) && !a.grow_to(usize::MAX));
        b.release();
        assert!(a.grow_to(4 * HELD_BYTES_SPARE));
        drop((a, b));
        assert_eq!(room.used.load(Ordering::Relaxed), 0);
    }
}
