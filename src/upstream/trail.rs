//! What was tried for a call, where, and why it failed.
//!
//! Stage 7 of the walk. Shared with the record of the call, so that it is known also when the call is dropped under way.
//! Promises: nothing is written while the first attempt goes well; the list of failures is bounded. Does not: decide.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::retry::Failure;
use crate::bounds::ATTEMPTS_DETAIL_BYTES_MAX;
use crate::config::policy::Provider;

/// How the attempts go.
#[derive(Debug, Default)]
pub struct Trail {
    attempts: AtomicU8,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    provider: Option<Arc<Provider>>,
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

    /// What was tried, once something has failed: `openai:503,openai:reset,azure:ok`. Empty where the first attempt was the
    /// right one. `open` stands for a provider that was left alone because its circuit is open.
    #[cfg_attr(not(test), expect(dead_code, reason = "until rows have a column for it"))]
    pub fn detail(&self) -> String {
        self.last().detail.clone()
    }

    pub(super) fn sent_to(&self, provider: &Arc<Provider>) {
        self.attempts.store(self.attempts().saturating_add(1), Ordering::Relaxed);
        self.last().provider = Some(Arc::clone(provider));
    }

    /// The last send failed.
    pub(super) fn failed(&self, failure: &Failure) {
        match failure {
            Failure::Status(facts) => self.ended(&facts.status.to_string()),
            other => self.ended(other.reason()),
        }
    }

    /// The last send was answered.
    pub(super) fn answered(&self) {
        let mut last = self.last();
        if !last.detail.is_empty() {
            last.note(None, "ok");
        }
    }

    /// How the last send ended, where that was no answer.
    pub fn ended(&self, how: &str) {
        self.last().note(None, how);
    }

    /// A provider was not asked because its circuit is open.
    pub(super) fn passed_over(&self, provider: &str) {
        self.last().note(Some(provider), "open");
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    fn note(&mut self, provider: Option<&str>, how: &str) {
        let Some(name) = provider.or(self.provider.as_ref().map(|provider| &*provider.name)) else { return };
        if self.detail.len() + name.len() + how.len() + 2 > ATTEMPTS_DETAIL_BYTES_MAX {
            return;
        }
        let comma = if self.detail.is_empty() { "" } else { "," };
        self.detail.push_str(&[comma, name, ":", how].concat());
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
        let trail = Trail::default();
        trail.sent_to(&provider("openai"));
        trail.answered();
        assert_eq!((trail.attempts(), trail.detail().as_str()), (1, ""));

        let trail = Trail::default();
        trail.sent_to(&provider("openai"));
        trail.failed(&Failure::Status(StatusFacts { status: 503, ..StatusFacts::default() }));
        trail.passed_over("local");
        trail.sent_to(&provider("azure"));
        trail.failed(&Failure::Reset);
        trail.sent_to(&provider("openai"));
        trail.answered();
        assert_eq!(trail.detail(), "openai:503,local:open,azure:reset,openai:ok");
        trail.ended("cut");
        assert!(trail.detail().ends_with("openai:ok,openai:cut"));
        (0..1000).for_each(|_| trail.ended("again"));
        assert!(trail.detail().len() <= ATTEMPTS_DETAIL_BYTES_MAX);
    }
}
