//! Sessions of browsers: a random value in a cookie, known here by its SHA-256.
//!
//! Guarantees: a session ends twelve hours after its sign-in, at its sign-out and with the process;
//! its cookie is `HttpOnly` and `SameSite=Strict`. Does not: set `Secure`, because this side speaks
//! plain HTTP (a TLS proxy in front of it keeps the cookie on its own connection).
//!
//! # Bounds
//! [`SESSIONS_MAX`]; at the bound the oldest ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::clock::Nanos;
use crate::config::policy::Principal;
use crate::digest::sha256;
use crate::lock::lock;
use crate::secrets;

const COOKIE: &str = "tollgate_session";
const LASTS: Duration = Duration::from_secs(12 * 3600);
const SESSIONS_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

struct Session {
    principal: Arc<Principal>,
    began: Nanos,
}

impl Sessions {
    /// Begins a session; returns its cookie, or nothing if the machine has no randomness.
    pub(super) fn begin(&self, principal: &Arc<Principal>, now: Nanos) -> Option<HeaderValue> {
        let value = secrets::random()?;
        let mut sessions = lock(&self.0);
        sessions.retain(|_, session| now.since(session.began) < LASTS);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.began);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                sessions.remove(&oldest);
            }
        }
        let session = Session { principal: Arc::clone(principal), began: now };
        sessions.insert(sha256(value.as_bytes()), session);
        cookie(&value, LASTS.as_secs())
    }

    /// The principal of a request's session.
    pub(super) fn find(&self, headers: &HeaderMap, now: Nanos) -> Option<Arc<Principal>> {
        let digest = sha256(value(headers)?.as_bytes());
        let sessions = lock(&self.0);
        let session = sessions.get(&digest)?;
        (now.since(session.began) < LASTS).then(|| Arc::clone(&session.principal))
    }

    /// Ends a request's session; returns the cookie that clears it.
    pub(super) fn end(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        lock(&self.0).remove(&sha256(value(headers)?.as_bytes()));
        cookie("", 0)
    }
}

fn cookie(value: &str, max_age_s: u64) -> Option<HeaderValue> {
    let text = format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age_s}");
    HeaderValue::try_from(text).ok()
}

/// The value of the session's cookie.
fn value(headers: &HeaderMap) -> Option<&str> {
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|list| list.to_str().ok());
    let pairs =
        lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find_map(|(name, value)| (name == COOKIE).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::Role;

    fn principal(name: &str) -> Arc<Principal> {
        Arc::new(Principal { name: name.into(), role: Role::Viewer, orgs: Vec::new() })
    }

    fn at(s: u64) -> Nanos {
        Nanos::default().plus(Duration::from_secs(s))
    }

    /// The headers that a browser sends back.
    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
        let list = format!("other=1; {pair}; last=2");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::try_from(list).expect("a header"));
        headers
    }

    #[test]
    fn a_session_lasts_until_its_end() {
        let sessions = Sessions::default();
        let cookie = sessions.begin(&principal("a"), at(0)).expect("a session");
        let text = cookie.to_str().expect("text");
        assert!(text.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{text}");
        let headers = sent(&cookie);
        let found = |s| sessions.find(&headers, at(s)).map(|principal| principal.name.to_string());
        assert_eq!(found(43_199).as_deref(), Some("a"));
        assert_eq!(found(43_200), None);
        sessions.end(&headers);
        assert_eq!(found(1), None);
        assert!(sessions.find(&HeaderMap::new(), at(1)).is_none());
    }

    #[test]
    fn at_the_bound_the_oldest_session_ends() {
        let sessions = Sessions::default();
        let first = sessions.begin(&principal("first"), at(0)).expect("a session");
        let rest: Vec<HeaderValue> = (1..=SESSIONS_MAX as u64)
            .map(|n| sessions.begin(&principal("x"), at(n)).expect("a session"))
            .collect();
        let now = at(2_000);
        assert!(sessions.find(&sent(&first), now).is_none());
        assert!(rest.iter().all(|cookie| sessions.find(&sent(cookie), now).is_some()));
    }
}
