//! `auth`, checked.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::policy::{Accept, Algorithm, AuthPolicy, GatewayKey, JwksSource, JwtPolicy};
use super::super::reader::place::{Place, Problems};
use super::super::reader::shape::{At, Plain as _};
use super::super::sections::{RawAuth, RawJwt, RawKey};
use super::{distinct, globs, port_fits};
use crate::bounds::JWT_SECRETS_MAX;
use crate::ids::SecretBytes;
use aws_lc_rs::digest;

pub(crate) fn auth(
    raw: &RawAuth,
    tag_claims: Vec<Vec<String>>,
    problems: &mut Problems,
) -> Option<AuthPolicy> {
    distinct(&raw.accept, problems);
    if raw.accept.is_empty() {
        problems.add(
            &raw.accept.at,
            "empty, so no call is accepted; name at least one of jwt, key, passthrough, anonymous",
        );
    }
    let jwt = jwt(&raw.jwt.value, tag_claims, problems)?;
    let keys = keys(&raw.keys, problems);
    Some(AuthPolicy { jwt, keys, options: raw.plain() })
}

/// JWTs are accepted only where one can be verified: a secret that is missing (a misspelt variable,
/// an emptied file) has to be seen at the start, not as refused calls.
pub(crate) fn ways_in(raw: &At<RawAuth>, problems: &mut Problems) {
    let Some(jwt) = raw.accept.iter().find(|way| way.value == Accept::Jwt) else { return };
    let jwt = if raw.accept.given { &jwt.at } else { &raw.accept.at };
    let given = &raw.jwt.value;
    let secrets = given.secrets.iter().map(|secret| &secret.value.0);
    let is_set = secrets.chain([&given.secret.value.0]).any(|secret| !is_blank(secret));
    // A file that cannot be read is told already.
    let is_told = |at: &Place| problems.is_unresolved(&at.path);
    let is_told = is_told(&given.secret.at) || given.secrets.iter().any(|entry| is_told(&entry.at));
    // Of a list with a wrong word it is not known whether it has jwt.
    let is_told = is_told || problems.has_below("auth.accept");
    if is_set || is_told || !given.jwks.value.trim().is_empty() {
        return;
    }
    let others: Vec<&str> = raw.accept.iter().filter_map(|way| name(way.value)).collect();
    let others = if others.is_empty() { "key".to_owned() } else { others.join(", ") };
    let at = match (raw.given, given.secret.given) {
        (false, _) => &raw.at,
        (true, true) => &given.secret.at,
        (true, false) => jwt,
    };
    problems.add(
        at,
        format!(
            "`accept` has jwt, but there is neither a secret nor a key set, so no JWT can be \
             verified; run `export TOLLGATE_JWT_SECRET=$(openssl rand -hex 32)` and write `auth: \
             {{jwt: {{secret: \"${{TOLLGATE_JWT_SECRET}}\"}}}}`, or give `jwks`, or accept no \
             JWTs: `accept: [{others}]`"
        ),
    );
}

/// The other ways, as they are written.
fn name(way: Accept) -> Option<&'static str> {
    match way {
        Accept::Jwt => None,
        Accept::Key => Some("key"),
        Accept::Passthrough => Some("passthrough"),
        Accept::Anonymous => Some("anonymous"),
    }
}

/// Whether a secret is empty or nothing but white space.
fn is_blank(secret: &SecretBytes) -> bool {
    std::str::from_utf8(&secret.reveal()).is_ok_and(|text| text.trim().is_empty())
}

/// `Some(None)`: no secret and no key set, so JWTs are not checked here.
fn jwt(
    raw: &RawJwt,
    tag_claims: Vec<Vec<String>>,
    problems: &mut Problems,
) -> Option<Option<JwtPolicy>> {
    distinct(&raw.algorithms, problems);
    let algorithms: Vec<Algorithm> = raw.algorithms.iter().map(|a| a.value).collect();
    if algorithms.is_empty() {
        problems.add(
            &raw.algorithms.at,
            "empty, so no JWT can be verified; name at least one, e.g. [HS256]",
        );
    }
    let by_secret = |a: &Algorithm| a.is_hs();
    let secrets = secrets(raw, problems);
    if !secrets.is_empty() && !algorithms.is_empty() && !algorithms.iter().any(by_secret) {
        problems.add(
            &raw.algorithms.at,
            "`secret` is given, but no HS algorithm uses it; add HS256, or remove the secret",
        );
    }
    let jwks = jwks(&raw.jwks, problems)?;
    if jwks.is_some() && !algorithms.is_empty() && algorithms.iter().all(by_secret) {
        let at = if raw.algorithms.given { &raw.algorithms.at } else { &raw.jwks.at };
        problems.add(
            at,
            "a key set is given, but only HS algorithms are accepted; set \
            `algorithms` to those of its keys, e.g. [RS256]",
        );
    }
    let org_claim = claim(&raw.org_claim, problems);
    let user_claim = claim(&raw.user_claim, problems);
    if secrets.is_empty() && jwks.is_none() {
        return Some(None);
    }
    let options = raw.plain();
    let policy = JwtPolicy {
        jwks,
        org_claim,
        user_claim,
        tag_claims,
        secrets,
        options,
        fingerprint: [0; 32],
    };
    Some(Some(JwtPolicy { fingerprint: fingerprint(&policy), ..policy }))
}

/// The secrets that verify, the first of which signs.
fn secrets(raw: &RawJwt, problems: &mut Problems) -> Vec<SecretBytes> {
    let only = &raw.secret.value.0;
    if !only.is_empty() && is_blank(only) {
        problems.add(&raw.secret.at, "only white space; set a random secret: openssl rand -hex 32");
    }
    if raw.secrets.is_empty() {
        return if only.is_empty() { Vec::new() } else { vec![only.clone()] };
    }
    if raw.secret.given && !only.is_empty() {
        let text = "`secret` and `secrets` are both given; give one of them";
        problems.add(&raw.secrets.at, text);
    }
    if raw.secrets.len() > JWT_SECRETS_MAX {
        let text = format!("more than {JWT_SECRETS_MAX} secrets; remove those out of use");
        problems.add(&raw.secrets.at, text);
    }
    for entry in raw.secrets.iter().filter(|entry| is_blank(&entry.value.0)) {
        if !problems.is_unresolved(&entry.at.path) {
            problems.add(&entry.at, "empty; set a random secret: openssl rand -hex 32");
        }
    }
    raw.secrets.iter().map(|entry| entry.value.0.clone()).collect()
}

/// SHA-256 over every field. `Debug` separates them without ambiguity; the secrets, which it hides,
/// are hashed first.
fn fingerprint(policy: &JwtPolicy) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    // The content of a file may change; each token is bound to it when it is verified.
    for secret in policy.secrets.iter().filter(|secret| secret.file().is_none()) {
        let secret = secret.reveal();
        context.update(&(secret.len() as u64).to_le_bytes());
        context.update(&secret);
    }
    context.update(format!("{policy:?}").as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// `Some(None)`: none is configured.
fn jwks(given: &At<String>, problems: &mut Problems) -> Option<Option<JwksSource>> {
    let text = given.value.trim();
    if text.is_empty() {
        return Some(None);
    }
    if !text.contains("://") {
        return Some(Some(JwksSource::File(PathBuf::from(text))));
    }
    let uri = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
            && port_fits(uri)
    });
    if uri.is_none() {
        problems.add(
            &given.at,
            "not the address of a key set; give a file, or http(s)://host/path without user and \
             password",
        );
    }
    uri.map(|uri| Some(JwksSource::Url(uri)))
}

/// `app.org` leads into an object; a claim that is a URL is one name.
pub(crate) fn claim(given: &At<String>, problems: &mut Problems) -> Vec<String> {
    let text = given.value.trim();
    let path: Vec<String> = if text.contains("://") {
        vec![text.to_owned()]
    } else {
        text.split('.').map(str::to_owned).collect()
    };
    if path.iter().any(String::is_empty) || path.len() > 8 {
        problems.add(
            &given.at,
            "not the name of a claim; give e.g. org_id, or app.org for a claim inside an object",
        );
    }
    path
}

fn keys(raw: &[At<RawKey>], problems: &mut Problems) -> HashMap<[u8; 32], Arc<GatewayKey>> {
    let mut keys: HashMap<[u8; 32], Arc<GatewayKey>> = HashMap::with_capacity(raw.len());
    for key in raw {
        if key.name.is_empty() || key.name.len() > 128 || key.name.chars().any(char::is_control) {
            problems.add(
                &key.name.at,
                "not a usable name; give 1 to 128 bytes of text on one \
                line",
            );
        }
        let expires_ms = key.expires.value.as_deref().and_then(|text| {
            let moment = moment_ms(text.trim());
            if moment.is_none() {
                problems.add(
                    &key.expires.at,
                    "not a day or a time; give e.g. 2027-01-31 (from 00:00 UTC) or \
                     2027-01-31T12:00:00Z",
                );
            }
            moment
        });
        let models = globs(
            &key.models,
            |text| !text.is_empty(),
            "empty; give a model, with `*` for any run of characters",
            problems,
        );
        let endpoints = globs(
            &key.endpoints,
            is_api_path,
            "not a path of the API; give one below /v1/, e.g. /v1/chat/completions",
            problems,
        );
        if key.org.is_reserved() {
            let reason = "reserved for callers without an organisation (`anonymous`, \
                `passthrough`, `key-…`), whose limits and rows the key would share; give another \
                name";
            problems.add(&key.org.at, reason);
        }
        let Some(digest) = crate::digest::from_hex(key.sha256.value.trim()) else {
            let reason = "not a SHA-256; give the 64 hex digits of the whole key: printf %s \
                \"$KEY\" | sha256sum";
            problems.add(&key.sha256.at, reason);
            continue;
        };
        if is_empty_key(&digest) {
            let reason = "the SHA-256 of an empty text, so anyone could use this key; make a \
                random key: tollgate key new";
            problems.add(&key.sha256.at, reason);
        }
        let name = Arc::from(key.name.value.as_str());
        let value = GatewayKey { name, expires_ms, models, endpoints, options: key.plain() };
        if keys.insert(digest, Arc::new(value)).is_some() {
            problems.add(&key.sha256.at, "the same key as an earlier one; keep one");
        }
    }
    keys
}

/// Texts that are hashed where a variable was not set: nothing, with the line end that `echo` adds,
/// in quotes, behind the prefix.
const EMPTY: &[&str] = &["", "\n", "\r\n", " ", "\"\"", "''", "tg-", "tg-\n"];

pub(crate) fn is_empty_key(sha256: &[u8; 32]) -> bool {
    EMPTY.iter().any(|text| crate::digest::sha256(text.as_bytes()) == *sha256)
}

/// Whether a text can be the path of an endpoint, or a pattern of such paths.
pub(crate) fn is_api_path(text: &str) -> bool {
    text.starts_with("/v1/") || text.starts_with('*')
}

/// A day, which stands for its beginning (UTC), or a time, in milliseconds since 1970.
pub(crate) fn moment_ms(text: &str) -> Option<i64> {
    let moment = text.parse::<jiff::Timestamp>().ok();
    let day = || {
        text.parse::<jiff::civil::Date>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|day| day.timestamp())
    };
    moment.or_else(day).map(jiff::Timestamp::as_millisecond)
}
