//! The state of every provider as this process sees it: circuits, retry budgets, calls in flight.
//!
//! Stage 10 of the walk. Guarantees: the state of a provider is kept by its name and outlives
//! policy reloads; the count of calls in flight falls when a [`Flying`] is dropped. Does not:
//! decide when a circuit opens (see [`parties`](super::parties)).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;

use super::parties::Parties;
use crate::lock::lock;

/// All providers.
#[derive(Default)]
pub struct Providers(DashMap<Arc<str>, Mutex<Health>>);

/// One provider.
#[derive(Default)]
pub struct Health {
    /// Circuits and retry budgets of its callers.
    pub parties: Parties,
    /// Calls in flight, counted only where targets are chosen by load.
    pub in_flight: InFlight,
    /// The value of the circuit's metric.
    pub shown_open: Option<bool>,
}

/// The calls in flight at one provider.
#[derive(Clone, Default)]
pub struct InFlight(Arc<AtomicU32>);

/// One call in flight. Dropping it ends the count.
pub struct Flying(InFlight);

impl Providers {
    /// Runs `f` on the state of a provider, which is made if the name is new.
    pub fn with<T>(&self, provider: &Arc<str>, f: impl FnOnce(&mut Health) -> T) -> T {
        if let Some(health) = self.0.get(provider) {
            return f(&mut lock(&health));
        }
        let health = self.0.entry(Arc::clone(provider)).or_default();
        f(&mut lock(&health))
    }

    /// Counts a call at a provider until the guard is dropped.
    pub fn in_flight(&self, provider: &Arc<str>) -> Flying {
        self.with(provider, |health| health.in_flight.clone().begin())
    }
}

impl InFlight {
    /// Their number.
    pub fn calls(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(self) -> Flying {
        self.0.fetch_add(1, Ordering::Relaxed);
        Flying(self)
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
