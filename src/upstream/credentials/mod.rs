//! Credentials that the gateway gets from clouds, for providers with `auth`.
//!
//! Beside stage 10 of the walk. `keeper` fetches them in tasks of their own, `schedule` says when,
//! `fetch`, `requests` and `token` are one fetch, `sigv4` signs with one. This file keeps them for
//! the calls.
//!
//! Guarantees: no call waits for a fetch while its token is valid; one fetch at a time for each
//! credential; providers with the same credential share it, and a policy edit that leaves it alone
//! keeps its token; the credential of one provider is shown to no other. Does not: retry calls, or
//! count them.

mod fetch;
mod keeper;
mod requests;
mod schedule;
pub mod sigv4;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_credential_types::Credentials as AwsCredentials;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::{Notify, watch};

use crate::bounds::{CREDENTIAL_KEPT_FOR, CREDENTIALS_MAX};
use crate::clock::{Clock, Nanos};
use crate::config::policy::{AuthSource, Provider, ProviderAuth};
use crate::egress::outbound::Outbound;
use crate::ids::Secret;
use crate::lock::lock;
use schedule::Schedule;
pub use token::Failed;
use token::{Now, Shown, Token};

/// All credentials in use, by [`ProviderAuth::id`].
#[derive(Default)]
pub struct Credentials {
    all: ArcSwap<HashMap<[u8; 32], Arc<Credential>>>,
    /// Wakes the keeper for a new one.
    news: Notify,
}

/// One credential.
struct Credential {
    /// A provider that has it: its fetches go the same way as its calls.
    provider: Arc<Provider>,
    token: ArcSwapOption<Token>,
    /// The first fetch has ended, well or not.
    first: watch::Sender<bool>,
    schedule: Mutex<Schedule>,
    /// Wakes its task when the schedule has changed.
    changed: Notify,
    /// Set while no provider of the policy in force has it.
    unused_since: Mutex<Option<Nanos>>,
}

/// The key that one attempt shows.
#[derive(Clone)]
pub enum Key {
    /// A key of the policy, or the caller's own.
    Text(Secret),
    /// A fetched token.
    Token(Arc<Token>),
    /// An access key of the policy, which signs.
    Aws(AwsCredentials),
}

/// There is no credential now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing;

impl Key {
    /// The whole header `authorization`, if a token is shown in it.
    pub fn bearer(&self) -> Option<&HeaderValue> {
        match self {
            Key::Token(token) => match &token.shown {
                Shown::Bearer(value) => Some(value),
                Shown::Aws(_) => None,
            },
            Key::Text(_) | Key::Aws(_) => None,
        }
    }

    /// The access key, if requests are signed.
    pub fn signs_with(&self) -> Option<&AwsCredentials> {
        match self {
            Key::Aws(keys) => Some(keys),
            Key::Token(token) => match &token.shown {
                Shown::Aws(keys) => Some(keys),
                Shown::Bearer(_) => None,
            },
            Key::Text(_) => None,
        }
    }

    /// Runs `f` on each text that must not be seen in an answer.
    pub fn secrets(&self, mut f: impl FnMut(&[u8])) {
        if let Key::Text(secret) = self {
            f(secret.reveal().as_bytes());
        }
        if let Some(header) = self.bearer() {
            f(header.as_bytes().strip_prefix(b"Bearer ").unwrap_or(header.as_bytes()));
        }
        if let Some(keys) = self.signs_with() {
            f(keys.access_key_id().as_bytes());
            f(keys.secret_access_key().as_bytes());
            f(keys.session_token().unwrap_or_default().as_bytes());
        }
    }
}

impl Credentials {
    /// The key for a call to a provider. A credential that has never been fetched is waited for.
    ///
    /// # Errors
    /// There is none, and it has not come within `wait`.
    pub async fn key(
        &self,
        provider: &Arc<Provider>,
        clock: Clock,
        wait: Duration,
    ) -> Result<Key, Missing> {
        let Some(auth) = &provider.auth else {
            return Ok(Key::Text(provider.options.api_key.clone()));
        };
        if let Some(key) = of_policy(auth) {
            return key.ok_or(Missing);
        }
        let credential = self.of(provider, auth, clock);
        if let Some(token) = credential.current(clock) {
            return Ok(Key::Token(token));
        }
        let mut first = credential.first.subscribe();
        if !*first.borrow() {
            // Ends at the first fetch, or when the keeper has ended.
            drop(tokio::time::timeout(wait, first.wait_for(|has_ended| *has_ended)).await);
        }
        credential.current(clock).map(Key::Token).ok_or(Missing)
    }

    /// The key for a single request, fetched now and kept nowhere.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub async fn once(
        &self,
        outbound: &Outbound,
        provider: &Provider,
        clock: Clock,
    ) -> Result<Key, Failed> {
        let Some(auth) = &provider.auth else {
            return Ok(Key::Text(provider.options.api_key.clone()));
        };
        match of_policy(auth) {
            Some(key) => key.ok_or_else(|| Failed::lasting("the access key is empty")),
            None => {
                let fetched = fetch::fetch(outbound, provider, &auth.source, now(clock)).await;
                fetched.map(|(token, _)| Key::Token(Arc::new(token)))
            }
        }
    }

    /// The key that is at hand, without waiting.
    pub fn at_hand(&self, provider: &Provider, clock: Clock) -> Option<Key> {
        let Some(auth) = &provider.auth else {
            return Some(Key::Text(provider.options.api_key.clone()));
        };
        if let Some(key) = of_policy(auth) {
            return key;
        }
        self.all.load().get(&auth.id)?.current(clock).map(Key::Token)
    }

    /// A provider has refused this token.
    pub fn suspect(&self, provider: &Provider, key: &Key, clock: Clock) {
        let (Some(auth), Key::Token(refused)) = (&provider.auth, key) else { return };
        let Some(credential) = self.all.load().get(&auth.id).cloned() else { return };
        // Not for one that has been replaced since the call was sent.
        let is_current =
            credential.token.load().as_ref().is_some_and(|token| Arc::ptr_eq(token, refused));
        if is_current && lock(&credential.schedule).suspected(clock.now()) {
            credential.changed.notify_one();
        }
    }

    /// The credential of a provider; a new one if it is not known.
    fn of(&self, provider: &Arc<Provider>, auth: &ProviderAuth, clock: Clock) -> Arc<Credential> {
        if let Some(known) = self.all.load().get(&auth.id) {
            return Arc::clone(known);
        }
        let made = Arc::new(Credential::new(Arc::clone(provider), clock.now()));
        self.all.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.entry(auth.id).or_insert_with(|| Arc::clone(&made));
            all
        });
        self.news.notify_one();
        self.all.load().get(&auth.id).map_or(made, Arc::clone)
    }

    /// Takes the credentials of a policy, and forgets those that no policy has had for a while.
    fn adopt(&self, providers: &[Arc<Provider>], clock: Clock) {
        for provider in providers {
            if let Some(auth) = provider.auth.as_ref().filter(|auth| auth.keys().is_none()) {
                *lock(&self.of(provider, auth, clock).unused_since) = None;
            }
        }
        let now = clock.now();
        let is_used = |id: &[u8; 32]| {
            providers.iter().any(|p| p.auth.as_ref().is_some_and(|auth| auth.id == *id))
        };
        for (_, credential) in self.all.load().iter().filter(|(id, _)| !is_used(id)) {
            lock(&credential.unused_since).get_or_insert(now);
        }
        self.forget(now);
    }

    /// Forgets the credentials of former policies whose calls have ended.
    fn forget(&self, now: Nanos) {
        let is_crowded = self.all.load().len() > CREDENTIALS_MAX;
        let goes = |credential: &Credential| {
            let since = *lock(&credential.unused_since);
            since.is_some_and(|at| is_crowded || now.since(at) >= CREDENTIAL_KEPT_FOR)
        };
        if self.all.load().values().any(|credential| goes(credential)) {
            self.all.rcu(|all| {
                let mut all = HashMap::clone(all);
                all.retain(|_, credential| !goes(credential));
                all
            });
        }
    }
}

impl Credential {
    fn new(provider: Arc<Provider>, now: Nanos) -> Credential {
        Credential {
            provider,
            token: ArcSwapOption::empty(),
            first: watch::Sender::new(false),
            schedule: Mutex::new(Schedule::new(now)),
            changed: Notify::new(),
            unused_since: Mutex::new(None),
        }
    }

    /// The token, if it is valid.
    fn current(&self, clock: Clock) -> Option<Arc<Token>> {
        self.token.load_full().filter(|token| token.ends.is_ahead(now(clock)))
    }

    fn is_used(&self) -> bool {
        lock(&self.unused_since).is_none()
    }
}

/// The access key of a credential that is not fetched: `Some(None)` if a part of it is empty now.
fn of_policy(auth: &ProviderAuth) -> Option<Option<Key>> {
    let keys = auth.keys()?;
    let (id, secret) = (keys.access_key_id.reveal(), keys.secret_access_key.reveal());
    if id.is_empty() || secret.is_empty() {
        return Some(None);
    }
    let session = Some(keys.session_token.reveal()).filter(|token| !token.is_empty());
    let session = session.map(|token| (*token).to_owned());
    Some(Some(Key::Aws(AwsCredentials::new(&*id, &*secret, session, None, "tollgate"))))
}

/// The region that a provider's requests are signed for.
pub fn region(provider: &Provider) -> &str {
    match provider.auth.as_ref().map(|auth| &auth.source) {
        Some(AuthSource::Aws { region, .. }) => region,
        _ => "",
    }
}

/// Whether a refusal says that the token itself is not accepted (any more): at AWS, a 403 with one
/// of these names.
pub fn is_about_token(status: StatusCode, headers: &HeaderMap) -> bool {
    const NAMES: [&str; 3] =
        ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"];
    let name = headers.get("x-amzn-errortype").and_then(|name| name.to_str().ok());
    // An address may follow the name.
    let name = name.and_then(|name| name.split(':').next()).unwrap_or_default();
    status == StatusCode::UNAUTHORIZED || NAMES.contains(&name)
}

fn now(clock: Clock) -> Now {
    Now { monotonic: clock.now(), wall_ms: clock.wall_ms() }
}
