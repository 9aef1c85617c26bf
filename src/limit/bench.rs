//! What `benches/limit.rs` measures: decisions on limits, and the memory of many organisations. Not part of the gateway.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use dashmap::DashMap;

use super::bucket::Quota;
use super::caps::{Ask, Caps, Estimate, Scope, Subject};
use super::meters::{Meters, Want, moment};
use super::store::Limiter;
use crate::bounds::{METERS_MAX, ORGS_MAX};
use crate::clock::Nanos;
use crate::ids::OrgId;

const SECOND: u64 = 1_000_000_000;
/// The largest quota that a policy may have: it is never used up here.
const PLENTY: u32 = 10_000_000;

/// Organisations, and everything that counts them.
pub struct Work {
    orgs: Vec<OrgId>,
    plain: DashMap<OrgId, u64>,
    limiter: Limiter,
    small: Limiter,
    strict: Limiter,
    meters: Arc<Meters>,
    wants: Vec<[Want; 1]>,
}

fn quota(requests_per_minute: u32, strict: bool) -> Quota {
    let requests = NonZeroU32::new(requests_per_minute).unwrap_or(NonZeroU32::MIN);
    Quota::new(requests, requests, strict)
}

#[expect(clippy::expect_used, reason = "plain names, made here")]
fn org(n: usize) -> OrgId {
    OrgId::new(&format!("org{n:09}")).expect("plain name")
}

impl Work {
    /// So many organisations, each of which has called before.
    pub fn new(orgs: usize) -> Work {
        let orgs: Vec<OrgId> = (0..orgs).map(org).collect();
        let caps = Caps {
            requests: None,
            tokens_per_minute: NonZeroU64::new(1_000_000_000_000),
            calls_in_flight: NonZeroU32::new(1_000),
            nano_usd_per_day: NonZeroU64::new(9_000_000_000_000_000),
            nano_usd_per_month: NonZeroU64::new(9_000_000_000_000_000),
        };
        let want = |org: &OrgId| [(Subject { org: org.clone(), scope: Scope::Org }, caps)];
        let work = Work {
            plain: orgs.iter().map(|org| (org.clone(), 0)).collect(),
            limiter: Limiter::new(ORGS_MAX),
            small: Limiter::new(ORGS_MAX),
            strict: Limiter::new(ORGS_MAX),
            meters: Arc::new(Meters::new(METERS_MAX)),
            wants: orgs.iter().map(want).collect(),
            orgs,
        };
        for n in 0..work.orgs.len() as u64 {
            work.bucket(n);
            work.refused(n);
            work.strict(n);
            work.meters(n);
        }
        work
    }

    /// A million organisations that have called once and been forgotten by nobody.
    pub fn million() -> Work {
        let work = Work::new(0);
        for n in 0..1_000_000 {
            drop(work.limiter.take(&org(n), &quota(60, false), Nanos(SECOND)));
        }
        work
    }

    /// Organisations with a bucket.
    pub fn tracked(&self) -> usize {
        self.limiter.len()
    }

    fn pick(&self, n: u64) -> usize {
        // Neighbours in time are no neighbours in memory.
        usize::try_from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).unwrap_or(0) % self.orgs.len()
    }

    /// What any count by organisation costs in such a map.
    pub fn look_up(&self, n: u64) {
        if let Some(mut count) = self.plain.get_mut(&self.orgs[self.pick(n)]) {
            *count += 1;
        }
    }

    /// A decision that lets the call pass.
    pub fn bucket(&self, n: u64) {
        let now = Nanos(SECOND + n * 10_000);
        let decision = self.limiter.take(&self.orgs[self.pick(n)], &quota(PLENTY, false), now);
        assert!(decision.is_ok_and(|decision| decision.wait.is_none()));
    }

    /// A decision that, but for the first, refuses the call.
    pub fn refused(&self, n: u64) {
        drop(self.small.take(&self.orgs[self.pick(n)], &quota(1, false), Nanos(SECOND)));
    }

    /// A decision on a sliding window of 60 calls.
    pub fn strict(&self, n: u64) {
        drop(self.strict.take(&self.orgs[self.pick(n)], &quota(60, true), Nanos(SECOND + n * 10_000_000)));
    }

    /// A reservation of tokens, money and a place in flight, and its settlement.
    pub fn meters(&self, n: u64) {
        let ask = Ask { call: true, estimate: Some(Estimate { tokens: 10, nano_usd: 1, assumed: false }) };
        let now = Nanos(SECOND + n * 10_000);
        let held = self.meters.ask(&self.wants[self.pick(n)], ask, moment(now, 1_700_000_000_000));
        assert!(held.is_ok_and(|held| {
            held.settle(Some((12, 1)), now);
            true
        }));
    }
}

/// Bytes of memory that this process has, by the kernel's account; 0 where it gives none.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
