//! The HTTP request that one attempt sends to one target.
//!
//! Stage 10 of the walk. Guarantees: the credential is either the caller's own provider key or the
//! target's, never a gateway credential, and it is marked as sensitive; a version header of the
//! caller is kept. Does not: choose which headers may leave (the [`Call`] holds only those), or
//! send anything.

use http::header::{self, HeaderName};
use http::{HeaderValue, Request};

use super::Call;
use super::address::{address, set_credentials};
use super::credentials::Key;
use super::replay::{AttemptBody, Outgoing, Rename};
use super::trail::Sent;
use crate::config::policy::{Policy, Target};

/// Headers of a caller that mean the same to providers of every format.
const KEPT_IN_TRANSLATION: [HeaderName; 2] = [header::CONTENT_TYPE, header::USER_AGENT];

/// Where an attempt goes, and the key that it shows.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    pub policy: &'a Policy,
    pub target: &'a Target,
    pub key: &'a Key,
}

/// A call in another form than its caller's.
pub struct Rewritten<'a> {
    /// The path below the target's base URL, with its query.
    pub path: &'a str,
    /// Headers of the target's format.
    pub headers: &'a [(&'static str, String)],
    pub body: &'a Outgoing,
    /// The caller's headers mean the same to the target: its format is the same.
    pub keeps_headers: bool,
}

/// The request of one attempt: the call's headers, the target's address and the key. A request that
/// is signed has no signature yet.
pub fn request(
    target: &Target,
    call: &Call<'_>,
    foreign: Option<&Rewritten<'_>>,
    key: &Key,
    sent: Sent,
) -> Request<AttemptBody> {
    let rename = target.model.as_deref().zip(call.model_at);
    let rename = rename.map(|(model, at)| Rename::new(at, model, call.is_form));
    let rename = rename.filter(|_| foreign.is_none());
    let body = foreign.map_or(call.body, |foreign| foreign.body);
    let mut request = Request::new(body.attempt(rename, Some(sent)));
    let model = target.model.as_deref().or(call.model);
    let target = &*target.provider;
    *request.method_mut() = call.method.clone();
    let path = foreign.map_or(call.path_and_query, |foreign| foreign.path);
    *request.uri_mut() = address(target, path, model);
    let headers = request.headers_mut();
    headers.clone_from(call.headers);
    if let Some(foreign) = foreign.filter(|foreign| !foreign.keeps_headers) {
        // Headers of the caller's format say nothing to a provider of another one.
        let kept = |name: &HeaderName| KEPT_IN_TRANSLATION.contains(name);
        let others: Vec<_> = headers.keys().filter(|name| !kept(name)).cloned().collect();
        others.iter().for_each(|name| drop(headers.remove(name)));
        for (name, value) in foreign.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(*name, value);
            }
        }
    }
    // Headers that are always forwarded have been copied already.
    for name in target.forward_headers.iter().filter(|name| !call.headers.contains_key(*name)) {
        for value in call.forwarded.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    set_credentials(headers, target, key);
    request
}
