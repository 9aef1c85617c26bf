//! The HTTP request that one attempt sends to one target.
//!
//! Stage 10 of the walk. Guarantees: the credential is either the caller's own provider key or the
//! target's, never a gateway credential, and it is marked as sensitive; a version header of the
//! caller is kept. Does not: choose which headers may leave (the [`Call`] holds only those), or
//! send anything.

use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Request, Uri};

use super::Call;
use super::replay::{AttemptBody, Outgoing, Rename};
use super::trail::Sent;
use crate::config::policy::{Provider, Target};
use crate::ids::Secret;

/// Headers of a caller that mean the same to providers of every format.
const KEPT_IN_TRANSLATION: [HeaderName; 2] = [header::CONTENT_TYPE, header::USER_AGENT];

/// A call in another form than its caller's.
pub struct Rewritten<'a> {
    /// The path below the target's base URL, with its query.
    pub path: &'a str,
    /// Headers of the target's format.
    pub headers: &'a [(&'static str, String)],
    pub body: &'a Outgoing,
}

/// The request of one attempt: the call's headers, the target's address and its key.
pub fn request(
    target: &Target,
    call: &Call<'_>,
    foreign: Option<&Rewritten<'_>>,
    sent: Sent,
) -> Request<AttemptBody> {
    let rename =
        target.model.as_deref().zip(call.model_at).map(|(model, at)| Rename::new(at, model));
    let rename = rename.filter(|_| foreign.is_none());
    let body = foreign.map_or(call.body, |foreign| foreign.body);
    let mut request = Request::new(body.attempt(rename, Some(sent)));
    let target = &*target.provider;
    *request.method_mut() = call.method.clone();
    let path = foreign.map_or(call.path_and_query, |foreign| foreign.path);
    *request.uri_mut() = address(target, path);
    let headers = request.headers_mut();
    headers.clone_from(call.headers);
    if let Some(foreign) = foreign {
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
    set_credentials(headers, target, call.own_key.unwrap_or(&target.options.api_key));
    request
}

/// Sets the key, and the version header of the provider's kind unless there is one.
pub fn set_credentials(headers: &mut HeaderMap, provider: &Provider, key: &Secret) {
    if !key.is_empty() {
        let (name, prefix) = provider.options.kind.key_header();
        if let Ok(mut value) = HeaderValue::from_str(&[prefix, key.reveal()].concat()) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    if let Some((name, value)) = provider.options.kind.version_header()
        && !headers.contains_key(name)
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The address of a path at a provider.
pub fn address(provider: &Provider, path_and_query: &str) -> Uri {
    target_uri(&provider.base_url, path_and_query)
}

/// The base URL with the path appended to its own. Both were checked, so the result is valid.
fn target_uri(base: &Uri, path_and_query: &str) -> Uri {
    let mut parts = base.clone().into_parts();
    let whole = [base.path().trim_end_matches('/'), path_and_query].concat();
    parts.path_and_query = whole.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_keeps_its_path() {
        for (base, path, expected) in [
            (
                "https://api.openai.com/v1",
                "/chat/completions",
                "https://api.openai.com/v1/chat/completions",
            ),
            ("http://127.0.0.1:8000", "/models?limit=2", "http://127.0.0.1:8000/models?limit=2"),
            ("http://h/a/b/", "/x", "http://h/a/b/x"),
        ] {
            assert_eq!(target_uri(&base.parse().expect("uri"), path).to_string(), expected);
        }
    }
}
