//! Sessions of browsers: a random value in a cookie, known here by its SHA-256.
//!
//! Guarantees: a session ends twelve hours after its sign-in, at its sign-out and with the process;
//! its cookie is `HttpOnly` and `SameSite=Strict`, and `Secure` with the prefix `__Host-` where
//! browsers come by https (`Settings::admin_is_https`). Does not: know how the sign-in went.
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
const SECURE_COOKIE: &str = "__Host-tollgate_session";
const LASTS: Duration = Duration::from_secs(12 * 3600);
const SESSIONS_MAX: usize = 1024;

pub(crate) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
    /// Browsers come by https.
    is_secure: bool,
}

struct Session {
    principal: Arc<Principal>,
    began: Nanos,
}

impl Sessions {
    pub(crate) fn new(is_secure: bool) -> Sessions {
        Sessions { open: Mutex::default(), is_secure }
    }

    /// Begins a session; returns its cookie, or nothing if the machine has no randomness.
    pub(crate) fn begin(&self, principal: &Arc<Principal>, now: Nanos) -> Option<HeaderValue> {
        let value = secrets::random()?;
        let mut sessions = lock(&self.open);
        sessions.retain(|_, session| now.since(session.began) < LASTS);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.began);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                sessions.remove(&oldest);
            }
        }
        let session = Session { principal: Arc::clone(principal), began: now };
        sessions.insert(sha256(value.as_bytes()), session);
        self.cookie(&value, LASTS.as_secs())
    }

    /// The principal of a request's session.
    pub(crate) fn find(&self, headers: &HeaderMap, now: Nanos) -> Option<Arc<Principal>> {
        let digest = sha256(cookie_value(headers, self.name())?.as_bytes());
        let sessions = lock(&self.open);
        let session = sessions.get(&digest)?;
        (now.since(session.began) < LASTS).then(|| Arc::clone(&session.principal))
    }

    /// Ends a request's session; returns the cookie that clears it.
    pub(crate) fn end(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        lock(&self.open).remove(&sha256(cookie_value(headers, self.name())?.as_bytes()));
        self.cookie("", 0)
    }

    fn name(&self) -> &'static str {
        if self.is_secure { SECURE_COOKIE } else { COOKIE }
    }

    fn cookie(&self, value: &str, max_age_s: u64) -> Option<HeaderValue> {
        let (name, secure) = (self.name(), if self.is_secure { "; Secure" } else { "" });
        let text = format!(
            "{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age_s}{secure}"
        );
        HeaderValue::try_from(text).ok()
    }
}

/// The value of a cookie of a request.
pub(crate) fn cookie_value<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|list| list.to_str().ok());
    let pairs =
        lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find_map(|(name, value)| (name == wanted).then_some(value))
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
        let sessions = Sessions::new(false);
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
    fn by_https_the_cookie_is_secure() {
        let sessions = Sessions::new(true);
        let cookie = sessions.begin(&principal("a"), at(0)).expect("a session");
        let text = cookie.to_str().expect("text");
        assert!(
            text.starts_with("__Host-tollgate_session=") && text.ends_with("; Secure"),
            "{text}"
        );
        assert!(sessions.find(&sent(&cookie), at(1)).is_some());
    }

    #[test]
    fn at_the_bound_the_oldest_session_ends() {
        let sessions = Sessions::new(false);
        let first = sessions.begin(&principal("first"), at(0)).expect("a session");
        let rest: Vec<HeaderValue> = (1..=SESSIONS_MAX as u64)
            .map(|n| sessions.begin(&principal("x"), at(n)).expect("a session"))
            .collect();
        let now = at(2_000);
        assert!(sessions.find(&sent(&first), now).is_none());
        assert!(rest.iter().all(|cookie| sessions.find(&sent(cookie), now).is_some()));
    }
}
