//! The judgement of circuits at the end of an attempt.
//!
//! Stage 10 of the walk. Guarantees: operators are told when a circuit opens or closes, for all or
//! for one organisation. Does not: decide about retries.

use std::sync::Arc;

use super::Upstream;
use super::parties::{PartyId, PartyKind};
use super::retry::Blame;
use crate::config::policy::Policy;

impl Upstream {
    /// Tells the circuits how an attempt ended, and operators when one opens or closes.
    pub(crate) fn judge(
        &self,
        policy: &Policy,
        provider: &Arc<str>,
        caller: &str,
        party: PartyId,
        blame: Blame,
    ) {
        let now = self.clock.now().0;
        let (own, before, open) = self.providers.with(provider, |h| {
            let own = h.parties.ended(party, blame, &policy.breaker, now);
            let open = h.parties.is_failing(party, &policy.breaker, now);
            (own, h.shown_open.replace(open), open)
        });
        if before != Some(open) {
            let value = f64::from(u8::from(open));
            self.metrics.breaker_open.with_label_values(&[&**provider]).set(value);
        }
        let (is_known, provider) = (party.kind == PartyKind::Known, &**provider);
        match (before.unwrap_or(false), open, own) {
            (false, true, _) => {
                tracing::warn!(
                    event = "circuit_opened",
                    provider,
                    "circuit opened: calls to the provider pause"
                );
            }
            (true, false, _) => tracing::info!(
                event = "circuit_closed",
                provider,
                "circuit closed: the provider answers"
            ),
            // Strangers can be made up without end, so their circuits are no lines.
            (_, _, Some(true)) if is_known => {
                tracing::warn!(
                    event = "org_circuit_opened",
                    provider,
                    org = caller,
                    "circuit opened for one organisation"
                );
            }
            (_, _, Some(false)) if is_known => {
                tracing::info!(
                    event = "org_circuit_closed",
                    provider,
                    org = caller,
                    "circuit closed for one organisation"
                );
            }
            _ => {}
        }
    }
}
