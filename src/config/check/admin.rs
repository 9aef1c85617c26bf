//! `admin`: how operators sign in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::policy::{Access, Principal};
use super::super::reader::place::Problems;
use super::super::reader::shape::At;
use super::super::sections::{OpenAccess, RawAccess, RawAdmin};
use super::auth::is_empty_key;
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
            if tokens.tokens.is_empty() {
                problems.add(&tokens.tokens.at, "empty, so no sign-in is possible; give a token");
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

/// The reason why an open operators' side does not start.
const OPEN: &str = "other machines reach this address, and it has no sign-in; set \
    `admin.access` to tokens, listen on 127.0.0.1 and use a tunnel, or say `admin: {access: \
    insecure}` if every machine that reaches it may read all prompts and answers";
