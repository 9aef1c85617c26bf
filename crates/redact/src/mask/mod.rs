//! Values of others, taken out of an answer: what a call has not sent is replaced.
//!
//! Stage 11 of the walk, only where a policy says `answers: mask`. Pure. `text` masks one text that
//! comes in pieces; whole JSON answers are masked by the redactor of bodies, events of a stream by
//! `restore/event`. Promises: no part of a value that the call did not send leaves, wherever it is
//! cut, as far as it is found within the bytes that are held back; the call's own values stay. Does
//! not: mask what stands in ids, names and text that a provider has signed.

mod text;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::bounds::OWN_VALUES_MAX;

pub(crate) use text::{Mask, MaskText};

/// The values that one call has sent, as digests. Clones are the same values.
#[derive(Clone, Debug, Default)]
pub struct Own(Arc<Mutex<HashSet<u64>>>);

impl Own {
    /// The call has sent this value. Beyond the bound it counts as another's.
    pub(crate) fn add(&self, value: u64) {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if own.len() < OWN_VALUES_MAX {
            own.insert(value);
        }
    }

    pub(crate) fn has(&self, value: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&value)
    }
}
