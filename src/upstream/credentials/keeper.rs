//! The tasks that fetch credentials, one for each.
//!
//! Beside stage 10 of the walk. Guarantees: one fetch at a time for each credential; a fetch whose
//! credential is in no policy any more is dropped; operators are told once when a credential fails,
//! when the reason is another one, when it has expired, and when it is well again. Does not: decide
//! when (see `schedule`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::fetch::fetch;
use super::{Credential, Failed, now};
use crate::config::policy::{Policy, Provider, ProviderAuth};
use crate::digest::sha256;
use crate::lock::lock;
use crate::upstream::Upstream;

/// How often a new policy is looked for, and what is left of tokens is shown.
const EVERY: Duration = Duration::from_millis(250);
/// How often a task looks whether a secret has another text.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Upstream {
    /// Fetches the credentials of the policy in force, and renews them, until `stop`.
    pub async fn keep_credentials(
        self: Arc<Self>,
        policy: Arc<ArcSwap<Policy>>,
        stop: CancellationToken,
    ) {
        let (mut tasks, mut running) = (JoinSet::new(), HashMap::<[u8; 32], AbortHandle>::new());
        let mut adopted: Option<Arc<Policy>> = None;
        let mut shown = HashSet::new();
        loop {
            let current = policy.load_full();
            if !adopted.as_ref().is_some_and(|known| Arc::ptr_eq(known, &current)) {
                self.credentials.adopt(&current.providers, self.clock);
                adopted = Some(Arc::clone(&current));
            }
            let all = self.credentials.all.load_full();
            running.retain(|id, task| {
                let stays = all.get(id).is_some_and(|credential| credential.is_used());
                if !stays {
                    task.abort();
                }
                stays && !task.is_finished()
            });
            for (id, credential) in all.iter().filter(|(_, credential)| credential.is_used()) {
                running.entry(*id).or_insert_with(|| {
                    tasks.spawn(Arc::clone(&self).renew(Arc::clone(credential)))
                });
            }
            self.credentials.forget(self.clock.now());
            self.show(&current.providers, &mut shown);
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.credentials.news.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Fetches one credential, again and again.
    async fn renew(self: Arc<Self>, credential: Arc<Credential>) {
        let Some(auth) = &credential.provider.auth else { return };
        let mut told = Told::default();
        let mut sent = secrets(auth);
        loop {
            let due = lock(&credential.schedule).due();
            let wait = due.since(self.clock.now());
            if !wait.is_zero() {
                tokio::select! {
                    () = credential.changed.notified() => {}
                    () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                }
                if secrets(auth) != sent {
                    sent = secrets(auth);
                    lock(&credential.schedule).changed(self.clock.now());
                }
                told.expiry(&credential.provider, self.has_expired(&credential));
                continue;
            }
            sent = secrets(auth);
            let asked = now(self.clock);
            let fetched = fetch(&self.outbound, &credential.provider, &auth.source, asked).await;
            let after = self.clock.now();
            match fetched {
                Ok((token, is_assumed)) => {
                    let ends = token.ends.monotonic(asked);
                    let chance = fastrand::f64();
                    lock(&credential.schedule).succeeded(asked.monotonic, ends, after, chance);
                    credential.token.store(Some(Arc::new(token)));
                    told.success(&credential.provider, is_assumed);
                    self.fails(&credential.provider, false);
                }
                Err(failed) => {
                    lock(&credential.schedule).failed(failed.kind, after);
                    told.failure(&credential.provider, &failed, self.has_token(&credential));
                    self.fails(&credential.provider, true);
                }
            }
            credential.first.send_replace(true);
            // The remaining time is shown now.
            self.credentials.news.notify_one();
        }
    }

    fn fails(&self, provider: &Provider, fails: bool) {
        let gauge = &self.metrics.provider_credential_failing;
        gauge.with_label_values(&[&*provider.name]).set(f64::from(u8::from(fails)));
    }

    fn has_token(&self, credential: &Credential) -> bool {
        credential.current(self.clock).is_some()
    }

    fn has_expired(&self, credential: &Credential) -> bool {
        credential.token.load().is_some() && !self.has_token(credential)
    }

    /// Shows what is left of each token.
    fn show(&self, providers: &[Arc<Provider>], shown: &mut HashSet<Arc<str>>) {
        let gauge = &self.metrics.provider_credential_expires;
        let fetched = |provider: &&Arc<Provider>| {
            provider.auth.as_ref().is_some_and(|auth| auth.keys().is_none())
        };
        let names: HashSet<Arc<str>> =
            providers.iter().filter(fetched).map(|provider| Arc::clone(&provider.name)).collect();
        for gone in shown.difference(&names) {
            // It is there: it was set.
            drop(gauge.remove_label_values(&[gone]));
        }
        let all = self.credentials.all.load();
        for provider in providers.iter().filter(fetched) {
            let credential = provider.auth.as_ref().and_then(|auth| all.get(&auth.id));
            let token = credential.and_then(|credential| credential.token.load_full());
            let left = token.map_or(0.0, |token| token.ends.left_seconds(now(self.clock)));
            gauge.with_label_values(&[&*provider.name]).set(left);
        }
        *shown = names;
    }
}

/// A digest of the secrets that a fetch sends: those in files may change.
fn secrets(auth: &ProviderAuth) -> Vec<[u8; 32]> {
    auth.source.secrets().iter().map(|secret| sha256(secret.reveal().as_bytes())).collect()
}

/// The state of a credential, for operators.
#[derive(Default)]
struct Told {
    /// The reason of the failure that is going on.
    failing: Option<String>,
    has_expired: bool,
    was_well: bool,
}

impl Told {
    fn success(&mut self, provider: &Provider, is_assumed: bool) {
        let provider = &*provider.name;
        if self.failing.take().is_some() || !self.was_well {
            tracing::info!(
                event = "credential_fetched",
                provider,
                "the provider's credential was fetched"
            );
            if is_assumed {
                tracing::warn!(
                    event = "credential_life_unknown",
                    provider,
                    "the token endpoint does not say how long the credential lives; 5 minutes are \
                     assumed"
                );
            }
        }
        (self.was_well, self.has_expired) = (true, false);
    }

    fn failure(&mut self, provider: &Provider, failed: &Failed, has_token: bool) {
        if self.failing.as_deref() == Some(&failed.reason) {
            return;
        }
        let (provider, reason) = (&*provider.name, &*failed.reason);
        if has_token {
            tracing::warn!(
                event = "credential_not_renewed",
                provider,
                reason,
                "the provider's credential cannot be renewed; the old \
                one is used until its end"
            );
        } else {
            tracing::error!(
                event = "credential_not_fetched",
                provider,
                reason,
                "the provider's credential cannot be fetched; calls \
                go to other providers, or are refused"
            );
        }
        self.failing = Some(failed.reason.clone());
    }

    fn expiry(&mut self, provider: &Provider, has_expired: bool) {
        if has_expired && !self.has_expired {
            let provider = &*provider.name;
            tracing::error!(
                event = "credential_ended",
                provider,
                "the provider's credential has expired; calls go to other \
                providers, or are refused"
            );
        }
        self.has_expired = has_expired;
    }
}
