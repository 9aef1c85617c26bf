//! `admin`: how operators sign in, and how browsers reach their side.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Uri;

use super::super::policy::{Access, Grant, GrantedOrgs, OidcOptions, Principal};
use super::super::reader::place::Problems;
use super::super::reader::shape::At;
use super::super::sections::{OpenAccess, RawAccess, RawAdmin, RawGrant, RawOidc};
use super::auth::{claim, is_empty_key};
use super::egress::Environment;
use super::port_fits;
use crate::digest::from_hex;

/// How operators sign in at `listen`.
pub(crate) fn access(
    raw: &RawAdmin,
    listen: Option<SocketAddr>,
    listen_at: &At<String>,
    problems: &mut Problems,
) -> Access {
    match &raw.access.value {
        RawAccess::Open(OpenAccess::Insecure) => Access::Insecure,
        RawAccess::Open(OpenAccess::None) => {
            if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
                problems.add(&listen_at.at, OPEN);
            }
            Access::Local
        }
        RawAccess::Tokens(tokens) => {
            // One that was given and cannot be read is a problem already.
            let was_given = ["admin.access.tokens", "admin.access.oidc"]
                .iter()
                .any(|path| problems.has_below(path));
            if tokens.tokens.is_empty() && tokens.oidc.value.is_none() && !was_given {
                let reason = "empty, so no sign-in is possible; give a token, or `oidc`";
                problems.add(&tokens.tokens.at, reason);
            }
            let mut principals = HashMap::with_capacity(tokens.tokens.len());
            for token in tokens.tokens.iter() {
                let is_line = !token.name.is_empty()
                    && token.name.len() <= 128
                    && !token.name.chars().any(char::is_control);
                if !is_line {
                    let reason = "not a usable name; give 1 to 128 bytes of text on one line";
                    problems.add(&token.name.at, reason);
                }
                let Some(digest) = from_hex(token.sha256.trim()) else {
                    let reason = "not a SHA-256; give the 64 hex digits of the whole token: \
                        printf %s \"$TOKEN\" | sha256sum";
                    problems.add(&token.sha256.at, reason);
                    continue;
                };
                if is_empty_key(&digest) {
                    let reason = "the SHA-256 of an empty text, so anyone could sign in; make a \
                        random token: openssl rand -base64 32";
                    problems.add(&token.sha256.at, reason);
                }
                let principal = Principal {
                    name: Arc::from(token.name.value.as_str()),
                    role: token.role.value,
                    orgs: token.orgs.iter().map(|org| org.value.clone()).collect(),
                };
                if principals.insert(digest, Arc::new(principal)).is_some() {
                    problems.add(&token.sha256.at, "the same token as an earlier one; keep one");
                }
            }
            Access::Tokens(Arc::new(principals))
        }
    }
}

/// The address at which browsers reach the operators' side, without a slash at its end.
pub(crate) fn public_url(raw: &RawAdmin, problems: &mut Problems) -> Option<Arc<str>> {
    let given = &raw.public_url;
    // Scheme and host have no case.
    let text = given.value.trim().to_ascii_lowercase();
    if text.is_empty() {
        return None;
    }
    let is_address = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && port_fits(&uri)
            && matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("/"))
    });
    if !is_address {
        let reason = "not the address of a site; give scheme and host without a path, e.g. \
            https://tollgate.example.com";
        problems.add(&given.at, reason);
    } else if raw.tls.value.is_some() && text.starts_with("http:") {
        let reason = "`admin.tls` is set, so browsers come by https; give an address of https";
        problems.add(&given.at, reason);
    }
    Some(text.trim_end_matches('/').into())
}

/// The OpenID provider by which people sign in.
pub(crate) fn oidc(
    raw: &RawAdmin,
    listen: Option<SocketAddr>,
    problems: &mut Problems,
) -> Option<Arc<OidcOptions>> {
    let RawAccess::Tokens(tokens) = &raw.access.value else { return None };
    let given = tokens.oidc.value.as_ref()?;
    if raw.public_url.trim().is_empty() && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        let reason = "needs `admin.public_url`, to which the issuer sends browsers back, because \
            `admin_listen` is not a loopback address";
        problems.add(&tokens.oidc.at, reason);
    }
    let is_issuer = given.issuer.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && port_fits(&uri)
    });
    if !is_issuer {
        let reason = "not an issuer; give its address as in its discovery document, e.g. \
            https://login.example.com";
        problems.add(&given.issuer.at, reason);
    }
    if given.client_id.trim().is_empty() {
        problems.add(&given.client_id.at, "empty; give the name of the gateway at the issuer");
    }
    if !given.scopes.iter().any(|scope| scope.value == "openid") {
        problems.add(&given.scopes.at, "lacks `openid`, without which there is no ID token");
    }
    if given.roles.0.is_empty() {
        let reason = "empty, so no person has a role; give e.g. {platform: operator}";
        problems.add(&given.roles.at, reason);
    }
    Some(Arc::new(options(given, problems)))
}

fn options(given: &RawOidc, problems: &mut Problems) -> OidcOptions {
    OidcOptions {
        issuer: given.issuer.value.clone(),
        client_id: given.client_id.value.clone(),
        client_secret: given.client_secret.value.clone(),
        scopes: given.scopes.iter().map(|scope| scope.value.clone()).collect(),
        role_claim: claim(&given.role_claim, problems),
        roles: (given.roles.0.iter())
            .map(|(name, given)| (name.value.clone(), grant(&given.value, problems)))
            .collect(),
        egress: Environment::read(problems).egress(),
    }
}

/// The rights of a value of the role claim.
fn grant(given: &RawGrant, problems: &mut Problems) -> Grant {
    let scope = match given {
        RawGrant::Role(role) => return Grant { role: *role, orgs: GrantedOrgs::All },
        RawGrant::Scope(scope) => scope,
    };
    let has_claim = !scope.org_claim.trim().is_empty();
    if has_claim && !scope.orgs.is_empty() {
        problems.add(&scope.org_claim.at, "`orgs` is given, too; give one of them");
    }
    let orgs = if has_claim {
        GrantedOrgs::Claim(claim(&scope.org_claim, problems))
    } else if scope.orgs.is_empty() {
        GrantedOrgs::All
    } else {
        GrantedOrgs::These(scope.orgs.iter().map(|org| org.value.clone()).collect())
    };
    Grant { role: scope.role.value, orgs }
}

/// The reason why an open operators' side does not start.
const OPEN: &str = "other machines reach this address, and it has no sign-in; set \
    `admin.access` to tokens, listen on 127.0.0.1 and use a tunnel, or say `admin: {access: \
    insecure}` if every machine that reaches it may read all prompts and answers";
