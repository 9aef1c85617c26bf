//! Everything a call needs, made once: the rooms, and what is at work in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::counters::Counters;
use super::org_series::OrgSeries;
use super::tenants::Tenants;
use super::turns::Turns;
use crate::ailog::AiLog;
use crate::alerts::Alerts;
use crate::auth::Authenticator;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::policy::Policy;
use crate::intent::flights::Flights;
use crate::intent::results::Results;
use crate::judge::shadow::Shadow;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::placeholders::PlaceholderKeys;
use crate::trace::Sampling;
use crate::upstream::Upstream;

/// The state that all calls share.
pub struct Gateway {
    pub policy: Arc<ArcSwap<Policy>>,
    pub max_body_bytes: u64,
    pub auth: Authenticator,
    /// Everything that is counted to keep callers to their limits.
    pub counters: Counters,
    /// The candidate policy, and all that is counted for it.
    pub shadow: Arc<Shadow>,
    pub upstream: Arc<Upstream>,
    pub log: AiLog,
    /// Conditions that are told to webhooks.
    pub alerts: Arc<Alerts>,
    /// Answers for calls that say the same again.
    pub cache: Cache,
    /// Whose the objects are that providers keep.
    pub objects: Arc<Objects>,
    /// Keys of stable placeholders.
    pub placeholders: PlaceholderKeys,
    pub metrics: Arc<Metrics>,
    /// Metrics of each organisation, if they are wanted.
    pub org_series: Option<Arc<OrgSeries>>,
    pub clock: Clock,
    /// The traces that are exported; `None`: none is.
    pub sampling: Option<Sampling>,
    /// The bounds that callers share.
    pub tenants: Tenants,
    pub at_work: AtWork,
    /// Turns for work on bodies.
    pub turns: Arc<Turns>,
    /// Work that goes on after its call.
    pub tasks: TaskTracker,
    /// Ends it, with all that is still open.
    pub cut: CancellationToken,
}

/// Tickets that are at work, and whether more calls are welcome.
#[derive(Default)]
pub struct AtWork {
    /// Tickets at work, and answers that came late.
    pub intents: Flights,
    /// Tickets whose answers are fetched later.
    pub results: Results,
    draining: AtomicBool,
}

impl Gateway {
    /// From now on `/readyz` says no.
    pub fn drain(&self) {
        self.at_work.draining.store(true, Ordering::Release);
    }

    /// Why new calls are not welcome, if they are not.
    ///
    /// # Errors
    /// A word for the answer of `/readyz`.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.at_work.draining.load(Ordering::Acquire) {
            return Err("draining\n");
        }
        match &self.counters.shared {
            Some(shared) if !shared.has_started() => Err("waiting for the limits store\n"),
            _ if !self.auth.has_keys(&self.policy.load().auth, self.clock.wall_ms()) => {
                Err("auth.jwt.jwks: the file holds no usable key\n")
            }
            _ => Ok(()),
        }
    }
}
