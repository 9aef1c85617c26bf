//! Everything a call needs, made once: the rooms, and what is at work in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::quotas::Quotas;
use super::turns::Turns;
use crate::ailog::AiLog;
use crate::auth::Authenticator;
use crate::bounds::INTENTS_BACKGROUND_MAX;
use crate::clock::Clock;
use crate::config::policy::Policy;
use crate::intent::flights::Flights;
use crate::intent::results::Results;
use crate::metrics::Metrics;
use crate::upstream::Upstream;

/// What all calls share.
pub struct Gateway {
    pub policy: Arc<ArcSwap<Policy>>,
    pub max_body_bytes: u64,
    pub auth: Authenticator,
    pub quotas: Quotas,
    pub upstream: Upstream,
    pub log: AiLog,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub at_work: AtWork,
    /// Turns for work on bodies.
    pub turns: Arc<Turns>,
    /// Work that goes on after its call.
    pub tasks: TaskTracker,
    /// Ends it, with all that is still open.
    pub cut: CancellationToken,
}

/// Calls and tickets that are at work, and whether more are welcome.
pub struct AtWork {
    /// Places for calls.
    pub places: Arc<Semaphore>,
    /// Tickets at work, and answers that came late.
    pub intents: Flights,
    /// Tickets whose answers are fetched later.
    pub results: Results,
    /// Places for work that goes on after its call.
    pub behind: Arc<Semaphore>,
    draining: AtomicBool,
}

impl AtWork {
    /// Nothing yet; room for so many calls.
    pub fn new(calls_in_flight_max: usize) -> AtWork {
        AtWork {
            places: Arc::new(Semaphore::new(calls_in_flight_max)),
            intents: Flights::default(),
            results: Results::default(),
            behind: Arc::new(Semaphore::new(INTENTS_BACKGROUND_MAX)),
            draining: AtomicBool::new(false),
        }
    }
}

impl Gateway {
    /// From now on `/readyz` says no.
    pub fn drain(&self) {
        self.at_work.draining.store(true, Ordering::Release);
    }

    /// Whether new calls are welcome.
    pub fn is_ready(&self) -> bool {
        !self.at_work.draining.load(Ordering::Acquire)
    }
}
