//! Locks that a panic elsewhere does not close.
//!
//! A poisoned lock says that a thread panicked while it held it. A panic is caught and ends one
//! call; what stands behind the locks of this crate is changed in steps of which each leaves it
//! whole, so the other calls go on. Does not: hold for state that is broken between two statements;
//! such state must not be locked with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, poisoned or not.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
