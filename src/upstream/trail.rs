//! The record of a call's attempts: their targets, and the reasons of failures.
//!
//! Stage 10 of the walk. Shared with the record of the call, so that it survives a call that is
//! dropped under way. Guarantees: no text is built while the first attempt succeeds; the list of
//! failures is bounded. Does not: decide, or count retries (the loop over attempts does).

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::retry::Failure;
use crate::bounds::{ATTEMPTS_DETAIL_BYTES_MAX, ATTEMPTS_LOGGED_MAX};
use crate::clock::{Clock, Nanos};
use crate::config::policy::Provider;
use crate::lock::lock;

/// The attempts of a call so far.
#[derive(Debug, Default)]
pub struct Trail {
    attempts: AtomicU8,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    provider: Option<Arc<Provider>>,
    /// The model's name there, if it is another than the one that was asked for.
    model: Option<Arc<str>>,
    sent_at: Nanos,
    /// The time at which the provider had the whole body of the last send.
    working_since: Option<Instant>,
    /// The provider has refused or failed: it charges nothing for the last send.
    is_free: bool,
    /// Nothing has ended the last send yet.
    is_open: bool,
    detail: String,
    /// The sends that ended, at most [`ATTEMPTS_LOGGED_MAX`].
    ended: Vec<Attempt>,
}

/// One send that has ended.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its provider.
    pub provider: Arc<Provider>,
    /// The model's name there, if it is another than the one that was asked for.
    pub model: Option<Arc<str>>,
    pub sent_at: Nanos,
    /// When it was over: for an answer, its last byte.
    pub over_at: Nanos,
    /// The status of the answer; 0 if there was none.
    pub status: u16,
    /// Why it failed, in a word; empty if it did not.
    pub error: Cow<'static, str>,
    /// From the send to its end.
    pub ms: u32,
}

/// Records the time at which the body of one send has been sent whole; of a send of several
/// bodies, the first of them.
#[derive(Clone)]
pub struct Sent {
    trail: Arc<Trail>,
    attempt: u8,
}

impl Sent {
    /// The body has been sent whole.
    pub(crate) fn told(self) {
        let mut last = self.trail.last();
        // This may be an earlier send that ends late.
        if self.trail.attempts() == self.attempt {
            last.working_since.get_or_insert_with(Instant::now);
        }
    }
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

    /// The name of the provider of the first send.
    pub fn first(&self) -> Option<Arc<str>> {
        let last = self.last();
        let ended = last.ended.first().map(|attempt| Arc::clone(&attempt.provider));
        let first = ended.or_else(|| last.provider.clone());
        first.map(|provider| Arc::clone(&provider.name))
    }

    /// The provider of the last send, and a list of the attempts, such as `openai 503 120ms, local
    /// open, azure ok 812ms`. The list is empty if the first attempt succeeded. `open` marks a
    /// provider that was not asked because its circuit was open.
    pub fn told(&self) -> (Option<Arc<Provider>>, String) {
        let last = self.last();
        (last.provider.clone(), last.detail.clone())
    }

    /// How long a provider has been at work on the last send: it has the whole body, and has
    /// neither refused it nor failed. The charge is not known before the end of the answer.
    pub fn at_work(&self) -> Option<Duration> {
        let last = self.last();
        last.working_since.filter(|_| !last.is_free).map(|since| since.elapsed())
    }

    /// The name under which the last send asked for its model, if it was another than the caller's.
    pub fn model(&self) -> Option<Arc<str>> {
        self.last().model.clone()
    }

    pub(crate) fn sent_to(
        self: &Arc<Trail>,
        provider: &Arc<Provider>,
        model: Option<&Arc<str>>,
        now: Nanos,
    ) -> Sent {
        let attempt = self.attempts().saturating_add(1);
        self.attempts.store(attempt, Ordering::Relaxed);
        let mut last = self.last();
        (last.provider, last.sent_at) = (Some(Arc::clone(provider)), now);
        last.model = model.cloned();
        (last.working_since, last.is_free, last.is_open) = (None, false, true);
        Sent { trail: Arc::clone(self), attempt }
    }

    /// The provider refused the gateway's key.
    pub(crate) fn key_refused(&self, now: Nanos) {
        let mut last = self.last();
        last.is_free = true;
        last.ended("key_refused", now);
        last.log(0, "key_refused".into(), now);
    }

    /// A provider was not asked because there is no credential for it.
    pub(crate) fn key_missing(&self, provider: &str) {
        self.last().note(&[provider, " key_refused"].concat());
    }

    /// The last send failed.
    pub(crate) fn failed(&self, failure: &Failure, now: Nanos) {
        // After a timeout the provider may still be at work.
        self.last().is_free = *failure != Failure::FirstByteTimeout;
        let mut last = self.last();
        let (status, how) = match failure {
            Failure::Status(facts) => (facts.status, facts.status.to_string().into()),
            other => (0, Cow::Borrowed(other.reason())),
        };
        last.ended(&how, now);
        last.log(status, failure.reason().into(), now);
    }

    /// The last send was answered. This is recorded only after a failure.
    pub(crate) fn answered(&self, clock: Clock) {
        let mut last = self.last();
        if !last.detail.is_empty() {
            last.ended("ok", clock.now());
        }
    }

    /// Records the end of the last send, if it was not a whole answer; `status` is 0 if there was
    /// none.
    pub fn ended(&self, how: &'static str, status: u16, now: Nanos) {
        let mut last = self.last();
        last.ended(how, now);
        last.log(status, how.into(), now);
    }

    /// Every send, in order. The last one is `answered` at that time with that status, if nothing
    /// has ended it; without an answer it was given up.
    pub fn attempts_log(&self, answered: Option<(u16, Nanos)>, now: Nanos) -> Vec<Attempt> {
        let mut last = self.last();
        if last.is_open {
            match answered {
                Some((status, at)) => {
                    last.log(status, Cow::Borrowed(""), at);
                    if let Some(answer) = last.ended.last_mut() {
                        answer.over_at = now;
                    }
                }
                None => last.log(0, Cow::Borrowed("given_up"), now),
            }
        }
        last.ended.clone()
    }

    /// A provider was not asked because its circuit is open.
    pub(crate) fn passed_over(&self, provider: &str) {
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

    fn log(&mut self, status: u16, error: Cow<'static, str>, now: Nanos) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let Some(provider) = &self.provider else { return };
        if self.ended.len() < ATTEMPTS_LOGGED_MAX {
            let ms = u32::try_from(now.since(self.sent_at).as_millis()).unwrap_or(u32::MAX);
            let (provider, model) = (Arc::clone(provider), self.model.clone());
            let sent_at = self.sent_at;
            self.ended.push(Attempt { provider, model, sent_at, over_at: now, status, error, ms });
        }
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
    use crate::config::options;
    use crate::config::sections::RawProvider;
    use crate::upstream::retry::StatusFacts;

    fn provider(name: &str) -> Arc<Provider> {
        Arc::new(Provider {
            name: Arc::from(name),
            base_url: http::Uri::from_static("http://localhost/v1"),
            forward_headers: vec![],
            egress: Arc::default(),
            auth: None,
            options: options::<RawProvider>("{}"),
        })
    }

    #[test]
    fn what_failed_is_told_and_what_went_well_is_not() {
        let (clock, at) = (Clock::start(), |ms: u64| Nanos(ms * 1_000_000));
        let trail = Arc::new(Trail::default());
        drop(trail.sent_to(&provider("openai"), None, at(0)));
        trail.answered(clock);
        assert_eq!((trail.attempts(), trail.told().1.as_str()), (1, ""));

        let trail = Arc::new(Trail::default());
        drop(trail.sent_to(&provider("openai"), None, at(5)));
        trail.failed(
            &Failure::Status(StatusFacts { status: 503, ..StatusFacts::default() }),
            at(125),
        );
        trail.passed_over("local");
        drop(trail.sent_to(&provider("azure"), None, at(200)));
        trail.failed(&Failure::Reset, at(200));
        drop(trail.sent_to(&provider("openai"), None, clock.now()));
        trail.answered(clock);
        let detail = trail.told().1;
        assert!(
            detail.starts_with("openai 503 120ms, local open, azure reset 0ms, openai ok "),
            "{detail}"
        );
        (0..1000).for_each(|_| trail.ended("again", 0, at(0)));
        assert!(trail.told().1.len() <= ATTEMPTS_DETAIL_BYTES_MAX);
    }

    #[test]
    fn every_send_is_listed_with_its_end() {
        let at = |ms: u64| Nanos(ms * 1_000_000);
        let told = |trail: &Trail, answered, now| -> Vec<(String, u16, String, u32)> {
            let list = trail.attempts_log(answered, now).into_iter();
            list.map(|a| (a.provider.name.to_string(), a.status, a.error.into(), a.ms)).collect()
        };
        let line =
            |name: &str, status, error: &str, ms| (name.to_owned(), status, error.to_owned(), ms);
        let trail = Arc::new(Trail::default());
        drop(trail.sent_to(&provider("openai"), None, at(5)));
        assert_eq!(told(&trail, Some((200, at(30))), at(90)), [line("openai", 200, "", 25)]);

        let trail = Arc::new(Trail::default());
        let failure = Failure::Status(StatusFacts { status: 503, ..StatusFacts::default() });
        drop(trail.sent_to(&provider("openai"), None, at(5)));
        trail.failed(&failure, at(125));
        // Nothing was sent.
        trail.passed_over("local");
        trail.ended("deadline", 0, at(130));
        drop(trail.sent_to(&provider("azure"), None, at(200)));
        trail.failed(&Failure::Reset, at(210));
        drop(trail.sent_to(&provider("azure"), None, at(300)));
        trail.ended("cut", 200, at(350));
        let all = [
            line("openai", 503, "status_5xx", 120),
            line("azure", 0, "reset", 10),
            line("azure", 200, "cut", 50),
        ];
        assert_eq!(told(&trail, Some((200, at(310))), at(360)), all);
        drop(trail.sent_to(&provider("azure"), None, at(400)));
        let last = told(&trail, None, at(410)).pop();
        assert_eq!(last, Some(line("azure", 0, "given_up", 10)), "the client left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_at_work_from_the_end_of_the_body_to_a_failure() {
        let trail = Arc::new(Trail::default());
        let status = |status| Failure::Status(StatusFacts { status, ..StatusFacts::default() });
        assert_eq!(trail.at_work(), None);
        let wait = || tokio::time::sleep(Duration::from_secs(2));
        let sent = trail.sent_to(&provider("openai"), Some(&Arc::from("deployed")), Nanos(0));
        wait().await;
        assert_eq!(trail.at_work(), None, "the body is not there yet");
        sent.told();
        wait().await;
        assert_eq!(
            (trail.at_work(), trail.model().as_deref()),
            (Some(Duration::from_secs(2)), Some("deployed"))
        );
        trail.failed(&status(429), Nanos(0));
        assert_eq!(trail.at_work(), None, "refused");
        // A second attempt; a late end of the first one's body does not count for the second.
        let first = trail.sent_to(&provider("openai"), None, Nanos(0));
        trail.failed(&Failure::Reset, Nanos(0));
        let second = trail.sent_to(&provider("azure"), None, Nanos(0));
        first.told();
        assert_eq!((trail.at_work(), trail.model()), (None, None));
        second.told();
        trail.failed(&Failure::FirstByteTimeout, Nanos(0));
        wait().await;
        assert_eq!(trail.at_work(), Some(Duration::from_secs(2)), "it may go on after a timeout");
        trail.key_refused(Nanos(0));
        assert_eq!(trail.at_work(), None);
    }
}
