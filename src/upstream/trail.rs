//! What was tried for a call, where, and why it failed.
//!
//! Stage 7 of the walk. Shared with the record of the call, so that it is known also when the call is dropped under way.
//! Promises: nothing is written while the first attempt goes well; the list of failures is bounded. Does not: decide.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::retry::Failure;
use crate::bounds::ATTEMPTS_DETAIL_BYTES_MAX;
use crate::clock::{Clock, Nanos};
use crate::config::policy::Provider;
use crate::lock::lock;

/// How the attempts go.
#[derive(Debug, Default)]
pub struct Trail {
    attempts: AtomicU8,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    provider: Option<Arc<Provider>>,
    sent_at: Nanos,
    detail: String,
}

impl Trail {
    /// Sends so far.
    pub fn attempts(&self) -> u8 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// The provider of the last send.
    pub fn provider(&self) -> Option<Arc<Provider>> {
        self.last().provider.clone()
    }

    /// The same, and what was tried, once something has failed: `openai 503 120ms, local open, azure ok 812ms`. Empty where
    /// the first attempt was the right one. `open` is a provider that was left alone because its circuit is open.
    pub fn told(&self) -> (Option<Arc<Provider>>, String) {
        let last = self.last();
        (last.provider.clone(), last.detail.clone())
    }

    pub(super) fn sent_to(&self, provider: &Arc<Provider>, now: Nanos) {
        self.attempts.store(self.attempts().saturating_add(1), Ordering::Relaxed);
        let mut last = self.last();
        (last.provider, last.sent_at) = (Some(Arc::clone(provider)), now);
    }

    /// The last send failed.
    pub(super) fn failed(&self, failure: &Failure, now: Nanos) {
        match failure {
            Failure::Status(facts) => self.ended(&facts.status.to_string(), now),
            other => self.ended(other.reason(), now),
        }
    }

    /// The last send was answered, which is worth a word after others were not.
    pub(super) fn answered(&self, clock: Clock) {
        let mut last = self.last();
        if !last.detail.is_empty() {
            last.ended("ok", clock.now());
        }
    }

    /// How the last send ended, where that was no answer.
    pub fn ended(&self, how: &str, now: Nanos) {
        self.last().ended(how, now);
    }

    /// A provider was not asked because its circuit is open.
    pub(super) fn passed_over(&self, provider: &str) {
        self.last().note(&[provider, " open"].concat());
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        lock(&self.last)
    }
}

impl Last {
    fn ended(&mut self, how: &str, now: Nanos) {
        let Some(provider) = &self.provider else { return };
        let what = format!("{} {how} {}ms", provider.name, now.since(self.sent_at).as_millis());
        self.note(&what);
    }

    fn note(&mut self, what: &str) {
        let comma = if self.detail.is_empty() { "" } else { ", " };
        if self.detail.len() + comma.len() + what.len() <= ATTEMPTS_DETAIL_BYTES_MAX {
            self.detail.push_str(comma);
            self.detail.push_str(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Secret;
    use crate::provider::Kind;
    use crate::upstream::retry::StatusFacts;

    fn provider(name: &str) -> Arc<Provider> {
        Arc::new(Provider {
            name: Arc::from(name),
            kind: Kind::OpenAi,
            base_url: http::Uri::from_static("http://localhost/v1"),
            api_key: Secret::new(""),
            forward_headers: vec![],
        })
    }

    #[test]
    fn what_failed_is_told_and_what_went_well_is_not() {
        let (clock, at) = (Clock::start(), |ms: u64| Nanos(ms * 1_000_000));
        let trail = Trail::default();
        trail.sent_to(&provider("openai"), at(0));
        trail.answered(clock);
        assert_eq!((trail.attempts(), trail.told().1.as_str()), (1, ""));

        let trail = Trail::default();
        trail.sent_to(&provider("openai"), at(5));
        trail.failed(&Failure::Status(StatusFacts { status: 503, ..StatusFacts::default() }), at(125));
        trail.passed_over("local");
        trail.sent_to(&provider("azure"), at(200));
        trail.failed(&Failure::Reset, at(200));
        trail.sent_to(&provider("openai"), clock.now());
        trail.answered(clock);
        let detail = trail.told().1;
        assert!(detail.starts_with("openai 503 120ms, local open, azure reset 0ms, openai ok "), "{detail}");
        (0..1000).for_each(|_| trail.ended("again", at(0)));
        assert!(trail.told().1.len() <= ATTEMPTS_DETAIL_BYTES_MAX);
    }
}
