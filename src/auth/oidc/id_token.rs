//! ID tokens: signature, claims, and the rights in them.
//!
//! Pure. Guarantees: the algorithm is one with a public key, fit for the key that verifies (never
//! `none`, never the client's secret); issuer, audience, party, times and nonce are checked.
//!
//! # Source
//! OpenID Connect Core 1.0 §3.1.3.7, RFC 8725.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::super::json;
use super::super::jwks::KeySet;
use super::super::jwt::Head;
use crate::bounds::OIDC_ORGS_MAX;
use crate::config::policy::{GrantedOrgs, OidcOptions, Role};
use crate::ids::OrgId;

/// Accepted difference between the clocks.
const LEEWAY_MS: i64 = 60_000;
/// Keys that are tried for a token without a key id.
const KEYS_TRIED_MAX: usize = 8;
const TOKEN_BYTES_MAX: usize = 64 << 10;
const NAME_CHARS_MAX: usize = 128;

pub(crate) type Claims = Map<String, Value>;

/// The values that a token has to have.
pub(crate) struct Rules<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) now_ms: i64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is no signed token")]
    Malformed,
    #[error("its algorithm has no public key")]
    Algorithm,
    #[error("no key fits")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another client")]
    Audience,
    #[error("it belongs to another sign-in")]
    Nonce,
    #[error("it is not valid now; check the clocks")]
    Time,
    #[error("it has no subject")]
    Subject,
}

/// The claims of a token that holds.
///
/// # Errors
/// [`Fault::UnknownKey`] may pass with another key set.
pub(crate) fn verify(keys: &KeySet, token: &str, rules: &Rules<'_>) -> Result<Claims, Fault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Fault::Malformed);
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(Fault::Malformed) };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Malformed);
    let head = Head::read(&decode(header)?).map_err(|_| Fault::Algorithm)?;
    if head.algorithm.is_hs() {
        return Err(Fault::Algorithm);
    }
    let signature = decode(signature)?;
    let message = &token.as_bytes()[..header.len() + 1 + payload.len()];
    let mut fitting =
        keys.fitting(head.kid.as_deref(), head.algorithm).take(KEYS_TRIED_MAX).peekable();
    if fitting.peek().is_none() {
        return Err(Fault::UnknownKey);
    }
    if !fitting.any(|key| key.verifies(head.algorithm, message, &signature)) {
        return Err(if head.kid.is_some() { Fault::Signature } else { Fault::UnknownKey });
    }
    let claims = json::object(&decode(payload)?).ok_or(Fault::Malformed)?;
    check(&claims, rules)?;
    Ok(claims)
}

fn check(claims: &Claims, rules: &Rules<'_>) -> Result<(), Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(rules.issuer) {
        return Err(Fault::Issuer);
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let party = text("azp");
    let is_ours = audiences.contains(&rules.client_id)
        && party.is_none_or(|party| party == rules.client_id)
        && (audiences.len() == 1 || party.is_some());
    if !is_ours {
        return Err(Fault::Audience);
    }
    if text("nonce") != Some(rules.nonce) {
        return Err(Fault::Nonce);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a time beyond any calendar is no time")]
    let moment = |name: &str| claims.get(name)?.as_f64().map(|seconds| (seconds * 1000.0) as i64);
    let (expires, issued) = (moment("exp").ok_or(Fault::Time)?, moment("iat").ok_or(Fault::Time)?);
    let latest = rules.now_ms.saturating_add(LEEWAY_MS);
    let is_valid = expires > rules.now_ms.saturating_sub(LEEWAY_MS)
        && issued <= latest
        && moment("nbf").is_none_or(|from| from <= latest);
    if !is_valid {
        return Err(Fault::Time);
    }
    if text("sub").is_none_or(str::is_empty) { Err(Fault::Subject) } else { Ok(()) }
}

/// The highest role of the values in the role claim, and the organisations of all values that give
/// it; empty: all. A value whose claim names no organisation gives no role.
pub(crate) fn rights(claims: &Claims, options: &OidcOptions) -> Option<(Role, Vec<OrgId>)> {
    let values = texts(claims, &options.role_claim);
    let grants = options.roles.iter().filter(|(value, _)| values.contains(&value.as_str()));
    let mut best: Option<(Role, Vec<OrgId>)> = None;
    for (_, grant) in grants {
        let orgs: Vec<OrgId> = match &grant.orgs {
            GrantedOrgs::All => Vec::new(),
            GrantedOrgs::These(orgs) => orgs.clone(),
            GrantedOrgs::Claim(path) => {
                let names = texts(claims, path);
                names.into_iter().filter_map(OrgId::new).take(OIDC_ORGS_MAX).collect()
            }
        };
        if orgs.is_empty() && !matches!(grant.orgs, GrantedOrgs::All) {
            continue;
        }
        match &mut best {
            Some((role, _)) if rank(*role) > rank(grant.role) => {}
            Some((role, seen)) if *role == grant.role => {
                if seen.is_empty() || orgs.is_empty() {
                    seen.clear();
                } else {
                    seen.extend(orgs);
                }
            }
            _ => best = Some((grant.role, orgs)),
        }
    }
    let (role, mut orgs) = best?;
    orgs.sort();
    orgs.dedup();
    Some((role, orgs))
}

/// The texts of a claim: one, or a list of them.
fn texts<'c>(claims: &'c Claims, path: &[String]) -> Vec<&'c str> {
    let found = path.split_last().and_then(|(last, outer)| {
        let inner = outer.iter().try_fold(claims, |object, name| object.get(name)?.as_object());
        inner?.get(last)
    });
    match found {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn rank(role: Role) -> u8 {
    match role {
        Role::Viewer => 0,
        Role::Auditor => 1,
        Role::Operator => 2,
    }
}

/// The name of the person, for the log and the page.
pub(crate) fn name(claims: &Claims) -> String {
    let named = ["preferred_username", "email", "sub"];
    let found = named.into_iter().find_map(|name| {
        claims.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
    });
    let found = found.unwrap_or_default();
    found.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
