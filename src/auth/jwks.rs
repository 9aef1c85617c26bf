//! JWK sets: which public keys may sign, from a file or a URL.
//!
//! A file is read again when it changes (checked at most every 500 ms, on a call that needs it). A
//! URL is fetched at the first token that needs it, for an unknown key id at most every 30 s, and
//! when the set is a quarter of an hour old. One call at a time fetches; the others use the present
//! set. The last good set is kept through every failure.
//!
//! Bounds: `JWKS_BYTES_MAX` and `JWKS_KEYS_MAX` (a larger set is refused whole), 5 s for a fetch.
//! Weak keys, keys for another use, and keys of an unknown kind are ignored. Secret keys (`oct`) do
//! not belong in a public set and are ignored, too.
//!
//! # Source
//! RFC 7517 (JWK), RFC 7518 §6, RFC 8037 §2, RFC 8725 §3.5 and §3.10.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use serde_json::{Map, Value};

use super::json;
use super::signature::PublicKey;
use crate::bounds::{JWKS_BYTES_MAX, JWKS_KEYS_MAX};
use crate::config::policy::{Algorithm, JwksSource};
use crate::digest::sha256;

/// Least interval between two checks of a file.
const FILE_EVERY_MS: u64 = 500;
/// Least interval between two fetches of a URL.
const URL_COOL_DOWN_MS: u64 = 30_000;
/// Least wait after a fetch whose caller left.
const URL_AGAIN_MS: u64 = 1_000;
/// A set of this age is fetched again, so that withdrawn keys disappear.
const URL_OLD_MS: u64 = 900_000;
/// Least interval between two log lines about the same source.
const COMPLAIN_EVERY_MS: u64 = 30_000;
/// Before the first time.
const NEVER: i64 = i64::MIN;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// 2048 to 8192 bits: weaker ones can be broken, longer ones cost a call milliseconds.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Fetches a JWK set. Implemented by the owner of the HTTP client. It must not follow redirects to
/// another host, and may stop reading after `bytes_max`.
pub trait KeySetFetch: Sync {
    /// The body of a `200` answer.
    fn fetch(
        &self,
        address: &Uri,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<u8>, FetchError>> + Send;
}

/// Why a set could not be fetched; the text is for the operators' log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Public keys that may sign.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// SHA-256 of the set's text.
    pub digest: [u8; 32],
}

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    public: PublicKey,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// It is too large, is not a JWK set, or holds no usable key.
    pub(super) fn read(bytes: &[u8]) -> Result<KeySet, &'static str> {
        if bytes.len() > JWKS_BYTES_MAX {
            return Err("the set is too large");
        }
        if bytes.starts_with(b"-----BEGIN") {
            return Err("a PEM file; a key set is JSON, {\"keys\": [{\"kty\": …}]}");
        }
        let set = json::object(bytes).ok_or("not JSON, or a name is given twice in an object")?;
        let list = set.get("keys").and_then(Value::as_array).ok_or("no list of `keys`")?;
        if list.len() > JWKS_KEYS_MAX {
            return Err("the set has too many keys");
        }
        let keys: Vec<Key> =
            list.iter().filter_map(Value::as_object).filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(
                "no key that can be used: signing keys of RSA (2048 to 8192 bits), P-256, P-384, \
                 P-521 or Ed25519",
            );
        }
        Ok(KeySet { keys, digest: sha256(bytes) })
    }

    /// Whether no set has been read yet.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have signed: of this id (all, where the token names none), and fit for the
    /// algorithm.
    pub fn fitting<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicKey> {
        self.keys
            .iter()
            .filter(move |key| kid.is_none() || key.kid.as_deref() == kid)
            .filter(move |key| key.algorithms.contains(&algorithm))
            .map(|key| &key.public)
    }
}

impl Key {
    /// A key that may verify signatures; `None` for any other.
    fn read(jwk: &Map<String, Value>) -> Option<Key> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if jwk.get("use").is_some_and(|u| u != "sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.as_array()?.iter().any(|o| o == "verify")
        {
            return None;
        }
        let (public, mut algorithms) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                let strong = RSA_BYTES.contains(&n.len()) && n[0] >= 0x80;
                let exponent = (1..=4).contains(&e.len())
                    && e[e.len() - 1] % 2 == 1
                    && (e.len() > 1 || e[0] > 1);
                if !strong || !exponent {
                    return None;
                }
                let all = [
                    Algorithm::RS256,
                    Algorithm::RS384,
                    Algorithm::RS512,
                    Algorithm::PS256,
                    Algorithm::PS384,
                    Algorithm::PS512,
                ];
                (PublicKey::Rsa { n, e }, all.to_vec())
            }
            ("EC", Some(curve)) => {
                let (algorithm, length) = match curve {
                    "P-256" => (Algorithm::ES256, 32),
                    "P-384" => (Algorithm::ES384, 48),
                    "P-521" => (Algorithm::ES512, 66),
                    _ => return None,
                };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != length || y.len() != length {
                    return None;
                }
                let point = [&[0x04], x.as_slice(), &y].concat();
                (PublicKey::Ec { algorithm, point }, vec![algorithm])
            }
            ("OKP", Some("Ed25519")) if bytes("x")?.len() == 32 => {
                (PublicKey::Ed25519(bytes("x")?), vec![Algorithm::EdDSA])
            }
            _ => return None,
        };
        if let Some(alg) = jwk.get("alg") {
            let only = Algorithm::named(alg.as_str()?)?;
            algorithms.retain(|a| *a == only);
        }
        if algorithms.is_empty() {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.to_owned()),
        };
        Some(Key { kid, algorithms, public })
    }
}

/// The key set in use; there is one, that of the policy.
#[derive(Debug, Default)]
pub struct KeySets {
    slot: ArcSwapOption<Slot>,
}

#[derive(Debug)]
struct Slot {
    source: JwksSource,
    keys: ArcSwap<KeySet>,
    /// The time of the last check (file) or fetch (URL), in wall milliseconds; `NEVER`: none yet.
    asked_ms: AtomicI64,
    /// The time of the last good set from a URL.
    answered_ms: AtomicI64,
    /// The time of the last log line about a failure.
    complained_ms: AtomicI64,
    /// Held by the call that fetches.
    asking: tokio::sync::Mutex<()>,
}

/// The set that judges a token now.
pub struct Current {
    pub keys: Arc<KeySet>,
    /// The address from which a fresh set may be fetched, or waited for, now.
    pub may_ask: Option<Uri>,
}

impl KeySets {
    /// The present set of this source. A file is checked if that is due.
    pub fn current(&self, source: &JwksSource, now_ms: i64) -> Current {
        let slot = self.slot(source);
        let may_ask = match source {
            JwksSource::File(path) => {
                slot.look(path, now_ms);
                None
            }
            JwksSource::Url(address) => {
                // If another call is fetching just now, this one waits for its answer.
                let may = slot.due(now_ms, URL_COOL_DOWN_MS) || slot.asking.try_lock().is_err();
                may.then(|| address.clone())
            }
        };
        Current { keys: slot.keys.load_full(), may_ask }
    }

    /// Whether the set of a URL is so old that it should be fetched, even if it knows the key.
    pub fn is_old(&self, source: &JwksSource, now_ms: i64) -> Option<Uri> {
        let JwksSource::Url(address) = source else { return None };
        let slot = self.slot.load();
        let slot = slot.as_ref().filter(|slot| slot.source == *source)?;
        let answered = slot.answered_ms.load(Ordering::Relaxed);
        let old = answered != NEVER && now_ms.abs_diff(answered) >= URL_OLD_MS;
        (old && slot.due(now_ms, URL_COOL_DOWN_MS)).then(|| address.clone())
    }

    /// Fetches the set at `address`, unless it was fetched within the cool-down. Of several calls
    /// one fetches and the others wait for it.
    pub async fn refresh(&self, address: &Uri, now_ms: i64, fetch: &impl KeySetFetch) {
        let slot = self.slot(&JwksSource::Url(address.clone()));
        let _asking = slot.asking.lock().await;
        slot.ask(address, now_ms, fetch).await;
    }

    /// As `refresh` for a set that is old; if another call is fetching it already, this one does
    /// not wait.
    pub async fn renew(&self, address: &Uri, now_ms: i64, fetch: &impl KeySetFetch) {
        let slot = self.slot(&JwksSource::Url(address.clone()));
        if let Ok(_asking) = slot.asking.try_lock() {
            slot.ask(address, now_ms, fetch).await;
        }
    }

    fn slot(&self, source: &JwksSource) -> Arc<Slot> {
        if let Some(slot) = self.slot.load_full()
            && slot.source == *source
        {
            return slot;
        }
        // The policy names another source: the old keys must not judge any more.
        let fresh = Arc::new(Slot {
            source: source.clone(),
            keys: ArcSwap::default(),
            asked_ms: AtomicI64::new(NEVER),
            answered_ms: AtomicI64::new(NEVER),
            complained_ms: AtomicI64::new(NEVER),
            asking: tokio::sync::Mutex::new(()),
        });
        self.slot.rcu(|slot| match slot {
            Some(slot) if slot.source == *source => Some(slot.clone()),
            _ => Some(fresh.clone()),
        });
        self.slot.load_full().filter(|slot| slot.source == *source).unwrap_or(fresh)
    }
}

impl Slot {
    /// Whether `every_ms` have passed since the last check; if the clock was set back, they count
    /// as passed.
    fn due(&self, now_ms: i64, every_ms: u64) -> bool {
        let asked = self.asked_ms.load(Ordering::Relaxed);
        asked == NEVER || now_ms.abs_diff(asked) >= every_ms
    }

    fn look(&self, path: &Path, now_ms: i64) {
        if !self.due(now_ms, FILE_EVERY_MS) {
            return;
        }
        self.asked_ms.store(now_ms, Ordering::Relaxed);
        match read_file(path) {
            Ok(bytes) => drop(self.take(&bytes, now_ms)),
            Err(error) => self.failed(&error.to_string(), now_ms),
        }
    }

    async fn ask(&self, address: &Uri, now_ms: i64, fetch: &impl KeySetFetch) {
        if !self.due(now_ms, URL_COOL_DOWN_MS) {
            return;
        }
        // If this call's client leaves meanwhile, another may fetch soon; a flood of such calls may
        // not.
        self.asked_ms.store(
            now_ms.saturating_sub_unsigned(URL_COOL_DOWN_MS - URL_AGAIN_MS),
            Ordering::Relaxed,
        );
        let answer =
            tokio::time::timeout(FETCH_TIMEOUT, fetch.fetch(address, JWKS_BYTES_MAX)).await;
        self.asked_ms.store(now_ms, Ordering::Relaxed);
        match answer {
            Ok(Ok(bytes)) => {
                if self.take(&bytes, now_ms) {
                    self.answered_ms.store(now_ms, Ordering::Relaxed);
                }
            }
            Ok(Err(error)) => self.failed(&error.0, now_ms),
            Err(_) => self.failed("no answer in time", now_ms),
        }
    }

    /// Writes a log line, at most one in [`COMPLAIN_EVERY_MS`]: a file is looked at twice a second.
    fn failed(&self, reason: &str, now_ms: i64) {
        let last = self.complained_ms.load(Ordering::Relaxed);
        if last != NEVER && now_ms.abs_diff(last) < COMPLAIN_EVERY_MS {
            return;
        }
        self.complained_ms.store(now_ms, Ordering::Relaxed);
        let kept = if self.keys.load().is_empty() { "no key set" } else { "the last good set" };
        let source = self.source.shown();
        tracing::error!(
            event = "key_set_failed",
            source,
            reason,
            in_use = kept,
            "the key set cannot be used"
        );
    }

    /// Puts a set in force; returns whether it was good.
    fn take(&self, bytes: &[u8], now_ms: i64) -> bool {
        if sha256(bytes) == self.keys.load().digest {
            return true;
        }
        match KeySet::read(bytes) {
            Ok(set) => {
                tracing::info!(
                    event = "key_set_loaded",
                    source = self.source.shown(),
                    keys = set.keys.len(),
                    "key set loaded"
                );
                self.keys.store(Arc::new(set));
                self.complained_ms.store(NEVER, Ordering::Relaxed);
                true
            }
            Err(reason) => {
                self.failed(reason, now_ms);
                false
            }
        }
    }
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(JWKS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
