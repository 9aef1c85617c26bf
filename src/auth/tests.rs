//! Identity from outside: headers in, caller or refusal out. The tables follow the mistakes that
//! are known to go wrong with tokens.

mod accepted;
mod claims;
mod key_sets;
mod repeated;

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde_json::{Value as Json, json};

use super::{AuthError, Authenticator, Caller, FetchError, KeySetFetch};
use crate::config::options;
use crate::config::policy::{Accept, AuthOptions, AuthPolicy, GatewayKey, JwtPolicy};
use crate::config::sections::RawKey;
use crate::ids::SecretBytes;

const NOW_S: i64 = 1_800_000_000;
const NOW_MS: i64 = NOW_S * 1000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "tg-live-0123456789";
const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn jwt_policy() -> JwtPolicy {
    JwtPolicy::of_secret(SecretBytes::new(SECRET.as_bytes()), [1; 32])
}

fn policy(accept: &[Accept], jwt: Option<JwtPolicy>) -> AuthPolicy {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, KEY.as_bytes()).as_ref());
    let holder = GatewayKey {
        name: Arc::from("ci"),
        expires_ms: Some(NOW_MS + 1_000_000_000),
        models: vec![],
        endpoints: vec![],
        options: options::<RawKey>("{name: ci, sha256: '', org: keyed}"),
    };
    AuthPolicy {
        jwt,
        keys: HashMap::from([(sum, Arc::new(holder))]),
        options: AuthOptions::accepting(accept.to_vec()),
    }
}

const ALL: [Accept; 4] = [Accept::Jwt, Accept::Key, Accept::Passthrough, Accept::Anonymous];

fn signed(header: &str, claims: &str) -> String {
    signed_with(hmac::HMAC_SHA256, SECRET.as_bytes(), header, claims)
}

fn signed_with(algorithm: hmac::Algorithm, secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", B64.encode(tag))
}

/// Claims that are good, with these changed; `null` takes one away.
fn claims(changes: &Json) -> String {
    let mut claims = json!({"org_id": "acme", "sub": "ann", "iat": NOW_S - 10, "exp": NOW_S + 600});
    let map = claims.as_object_mut().expect("object");
    for (name, value) in changes.as_object().expect("object") {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
    claims.to_string()
}

fn good() -> String {
    signed(HS256, &claims(&json!({})))
}

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name: HeaderName = name.parse().expect("name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("value"));
    }
    headers
}

/// A fetch that is never needed.
struct NoFetch;

impl KeySetFetch for NoFetch {
    async fn fetch(&self, _: &Uri, _: usize) -> Result<Vec<u8>, FetchError> {
        panic!("no key set was to be fetched")
    }
}

/// Runs a future that never really waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime")
        .block_on(future)
}

fn ask(policy: &AuthPolicy, list: &[(&str, &str)], require_jwt: bool) -> Result<Caller, AuthError> {
    now(Authenticator::default().authenticate(
        policy,
        &headers(list),
        NOW_MS,
        require_jwt,
        &NoFetch,
    ))
}

/// `org via name upstream-key`, or the code.
fn line(result: Result<Caller, AuthError>) -> String {
    match result {
        Ok(c) => {
            let key = c.upstream_key.as_ref().map_or("-".to_owned(), |k| k.reveal().to_owned());
            format!("{} {:?} {} {key}", c.org, c.via, if c.name.is_empty() { "-" } else { &c.name })
        }
        Err(error) => error.code().as_str().to_owned(),
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn check_token(policy: &AuthPolicy, token: &str) -> Result<Caller, AuthError> {
    ask(policy, &[("authorization", &bearer(token))], false)
}

fn jwt_only(jwt: JwtPolicy) -> AuthPolicy {
    policy(&[Accept::Jwt], Some(jwt))
}

#[test]
fn without_a_credential_the_error_names_only_those_that_are_taken() {
    for (accept, require_jwt, named, not_named) in [
        (&[Accept::Jwt, Accept::Key][..], true, "a JWT", "gateway key"),
        (&[Accept::Jwt, Accept::Key], false, "a JWT or a gateway key", "provider"),
        (&[Accept::Jwt], false, "a JWT", "gateway key"),
        (&[Accept::Key], false, "a gateway key", "JWT"),
        (&[Accept::Passthrough], false, "your provider's key", "gateway key"),
    ] {
        let error = ask(&policy(accept, None), &[], require_jwt).expect_err("no caller");
        let text = error.to_string();
        assert!(text.contains(named) && !text.contains(not_named), "{accept:?}: {text}");
        assert_eq!(error.code().as_str(), "missing_token");
    }
}
