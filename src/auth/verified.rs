//! Tokens that were verified, by digest: a token that comes again costs a hash and a look-up, no
//! signature check.
//!
//! Bounded: two generations of [`VERIFIED_TOKENS_MAX`] / 2 entries over all shards. When the young
//! generation of a shard is full it becomes the old one, and the previous old one is dropped; an
//! entry that is used moves to the young one. So tokens in use stay and a flood of new ones costs
//! at most a signature check each. Only valid tokens get in.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{Context, SHA256};

use super::jwt::Claims;
use crate::bounds::VERIFIED_TOKENS_MAX;
use crate::config::policy::JwtPolicy;
use crate::lock::lock;

const SHARDS: usize = 16;

/// The key of a verified token.
pub type Digest = [u8; 32];

/// The digest of a token under the rules, the secrets and the key set that judge it: another rule
/// or key, another digest.
pub fn digest(policy: &JwtPolicy, key_set: Option<&Digest>, token: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(&policy.fingerprint);
    for secret in &policy.secrets {
        context.update(&secret.generation().to_le_bytes());
    }
    context.update(key_set.unwrap_or(&[0; 32]));
    context.update(token.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The verified tokens.
#[derive(Debug)]
pub struct Verified {
    shards: [Mutex<Shard>; SHARDS],
    /// Of one generation of one shard.
    entries_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Digest, Arc<Claims>>,
    old: HashMap<Digest, Arc<Claims>>,
}

impl Default for Verified {
    fn default() -> Verified {
        Verified::with_bound(VERIFIED_TOKENS_MAX)
    }
}

impl Verified {
    /// At most `entries` of them.
    fn with_bound(entries: usize) -> Verified {
        Verified { shards: Default::default(), entries_max: (entries / SHARDS / 2).max(1) }
    }

    pub fn get(&self, digest: &Digest) -> Option<Arc<Claims>> {
        let mut shard = self.shard(digest);
        if let Some(claims) = shard.young.get(digest) {
            return Some(claims.clone());
        }
        let claims = shard.old.remove(digest)?;
        shard.insert(*digest, claims.clone(), self.entries_max);
        Some(claims)
    }

    pub fn put(&self, digest: Digest, claims: Arc<Claims>) {
        self.shard(&digest).insert(digest, claims, self.entries_max);
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::from(digest[0]) % SHARDS])
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.shards.iter().map(|s| s.lock().map_or(0, |s| s.young.len() + s.old.len())).sum()
    }
}

impl Shard {
    fn insert(&mut self, digest: Digest, claims: Arc<Claims>, entries_max: usize) {
        if self.young.len() >= entries_max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest, claims);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_tokens_in_use_stay() {
        let verified = Verified::with_bound(256);
        let token = |i: u32| {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&i.to_be_bytes());
            digest[0] = u8::try_from(i % 16).expect("small");
            digest
        };
        let claims = Arc::new(Claims::for_test());
        let used = token(0);
        verified.put(used, claims.clone());
        for i in 1..10_000 {
            verified.put(token(i), claims.clone());
            assert!(verified.get(&used).is_some(), "{i}");
            assert!(verified.count() <= 256);
        }
        assert!(verified.get(&token(17)).is_none());
    }
}
