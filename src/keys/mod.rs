//! Gateway keys that operators make and revoke while the gateway runs.
//!
//! Level 3 of the map. A key of the policy stands in a file that operators edit; a key made here
//! stands in `keys.json` of `data_dir`, and, with a limits store that replicas share, in that
//! store. Both kinds are checked alike (see `auth`).
//!
//! Guarantees: the key itself is shown once, to the operator who made it, and is kept nowhere; a
//! change is on disk before it is answered; asking takes no lock; a revoked key never comes back,
//! in whatever order replicas learn of it. Does not: know operators, or speak to a store.
//!
//! # Bounds
//! [`KEYS_MAX`] keys; at the bound those that have been over for [`KEY_OVER_KEPT_MS`] are
//! forgotten, and then a new key is refused.

mod record;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::bounds::{KEY_OVER_KEPT_MS, KEYS_MAX};
use crate::config::policy::GatewayKey;
use crate::digest::sha256;
use crate::lock::lock;
use crate::secrets;
pub use record::{Record, Wanted};

/// The keys of this gateway.
#[derive(Debug, Default)]
pub struct Keys {
    /// By the SHA-256 of the key, as text.
    records: Mutex<BTreeMap<String, Record>>,
    in_force: ArcSwap<HashMap<[u8; 32], Arc<GatewayKey>>>,
    /// Absent in tests.
    file: Option<PathBuf>,
    /// A record changed here.
    changed: Notify,
}

/// Why a key cannot be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The request is at fault.
    #[error("{0}")]
    Wrong(String),
    /// The name is taken.
    #[error("organisation `{org}` has a key named `{name}`; revoke it, or give another name")]
    Taken {
        /// The organisation.
        org: String,
        /// The name.
        name: String,
    },
    /// No key has this id.
    #[error("there is no key with this id; GET /api/keys lists them")]
    Unknown,
    /// See the bounds.
    #[error("there are {KEYS_MAX} keys, and no more are kept; revoke keys that are not used")]
    Full,
    /// The machine has no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// The fault.
        error: io::Error,
    },
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    version: u32,
    keys: Vec<Record>,
}

impl Keys {
    /// The keys in a data folder.
    ///
    /// # Errors
    /// Their file is there and cannot be read: going on without it would refuse its keys.
    pub fn open(data_dir: &Path) -> Result<Keys, KeysError> {
        let path = data_dir.join("keys.json");
        let records = read(&path)
            .map_err(|error| KeysError::File { path: path.display().to_string(), error })?;
        let keys = Keys { file: Some(path), ..Keys::default() };
        *lock(&keys.records) = records;
        keys.put_in_force(&lock(&keys.records));
        Ok(keys)
    }

    /// Whether there is none to be found.
    pub fn is_empty(&self) -> bool {
        self.in_force.load().is_empty()
    }

    /// The key with this SHA-256.
    pub fn find(&self, sha256: &[u8; 32]) -> Option<Arc<GatewayKey>> {
        self.in_force.load().get(sha256).cloned()
    }

    /// Makes a key, and returns it with its record. Blocks on the disk.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn make(&self, wanted: Wanted, now_ms: i64) -> Result<(String, Record), KeysError> {
        let key = random_key()?;
        let id = format!("key_{}", uuid::Uuid::now_v7().simple());
        let record = wanted.record(id, sha256(key.as_bytes()), now_ms).map_err(KeysError::Wrong)?;
        let mut records = lock(&self.records);
        let is_same = |other: &Record| {
            other.org == record.org
                && other.name == record.name
                && other.revoked_ms.is_none()
                && !other.is_over(now_ms)
        };
        if records.values().any(is_same) {
            return Err(KeysError::Taken { org: record.org, name: record.name });
        }
        let mut changed = records.clone();
        if changed.len() >= KEYS_MAX {
            changed.retain(|_, record| !record.is_over(now_ms - KEY_OVER_KEPT_MS));
        }
        if changed.len() >= KEYS_MAX {
            return Err(KeysError::Full);
        }
        changed.insert(record.sha256.clone(), record.clone());
        self.keep(&mut records, changed)?;
        Ok((key, record))
    }

    /// Revokes a key; one that is revoked stays as it is. Blocks on the disk.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn revoke(&self, id: &str, now_ms: i64) -> Result<Record, KeysError> {
        let mut records = lock(&self.records);
        let mut changed = records.clone();
        let record = changed.values_mut().find(|record| record.id == id);
        let record = record.ok_or(KeysError::Unknown)?;
        if record.revoked_ms.is_some() {
            return Ok(record.clone());
        }
        record.revoked_ms = Some(now_ms);
        let record = record.clone();
        self.keep(&mut records, changed)?;
        Ok(record)
    }

    /// All keys, revoked ones too, the newest first.
    pub fn list(&self) -> Vec<Record> {
        let mut list: Vec<Record> = lock(&self.records).values().cloned().collect();
        list.sort_by(|a, b| (b.created_ms, &b.id).cmp(&(a.created_ms, &a.id)));
        list
    }

    /// Takes over what other replicas know, and returns the records that they lack. Blocks on the
    /// disk if something is new.
    ///
    /// # Errors
    /// The file cannot be written; then nothing is taken over.
    pub fn merge(&self, others: &[Record]) -> Result<Vec<Record>, KeysError> {
        let mut records = lock(&self.records);
        let (mut changed, mut is_new) = (records.clone(), false);
        for other in others {
            let has_room = changed.len() < KEYS_MAX;
            match changed.get_mut(&other.sha256) {
                Some(record) => is_new |= record.merge(other),
                None if has_room => {
                    changed.insert(other.sha256.clone(), other.clone());
                    is_new = true;
                }
                None => {}
            }
        }
        let theirs: HashMap<&str, &Record> =
            others.iter().map(|record| (record.sha256.as_str(), record)).collect();
        let lacks = |record: &&Record| {
            theirs.get(record.sha256.as_str()).is_none_or(|theirs| *theirs != *record)
        };
        let missing = changed.values().filter(lacks).cloned().collect();
        if is_new {
            self.keep(&mut records, changed)?;
        }
        Ok(missing)
    }

    /// Waits until a record changes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Writes the records, and then they are in force.
    fn keep(
        &self,
        records: &mut BTreeMap<String, Record>,
        changed: BTreeMap<String, Record>,
    ) -> Result<(), KeysError> {
        if let Some(path) = &self.file {
            write(path, &changed)
                .map_err(|error| KeysError::File { path: path.display().to_string(), error })?;
        }
        *records = changed;
        self.put_in_force(records);
        self.changed.notify_one();
        Ok(())
    }

    fn put_in_force(&self, records: &BTreeMap<String, Record>) {
        self.in_force.store(Arc::new(records.values().filter_map(Record::in_force).collect()));
    }
}

/// `tg-` and 256 random bits.
///
/// # Errors
/// [`KeysError::NoRandomness`].
pub fn random_key() -> Result<String, KeysError> {
    Ok(format!("tg-{}", secrets::random().ok_or(KeysError::NoRandomness)?))
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Record>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let malformed = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let book: Book = serde_json::from_slice(&text).map_err(|error| {
        malformed(format!("not a list of keys ({error}); restore it, or delete it with its keys"))
    })?;
    if book.version != 1 {
        return Err(malformed(format!("version {} of this file is newer", book.version)));
    }
    Ok(book.keys.into_iter().map(|record| (record.sha256.clone(), record)).collect())
}

/// Replaces the file as a whole: it is the old one or the new one after a crash.
fn write(path: &Path, records: &BTreeMap<String, Record>) -> io::Result<()> {
    let book = Book { version: 1, keys: records.values().cloned().collect() };
    let temporary = path.with_extension("json.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(&book)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn wanted(name: &str) -> Wanted {
        Wanted {
            name: name.to_owned(),
            org: "acme".to_owned(),
            models: Vec::new(),
            endpoints: Vec::new(),
            expires: None,
        }
    }

    #[test]
    fn keys_outlive_a_restart_and_so_does_their_end() {
        let folder = tempfile::tempdir().expect("folder");
        let keys = Keys::open(folder.path()).expect("keys");
        assert!(keys.is_empty());
        let (key, record) = keys.make(wanted("a"), NOW).expect("a key");
        let (other, _) = keys.make(wanted("b"), NOW + 1).expect("a key");
        let found = |keys: &Keys, key: &str| keys.find(&sha256(key.as_bytes())).is_some();
        assert!(found(&keys, &key) && found(&keys, &other));
        let path = folder.path().join("keys.json");
        let text = fs::read_to_string(&path).expect("file");
        assert!(!text.contains(&key) && !text.contains(&key[3..]), "{text}");
        let mode = fs::metadata(&path).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        keys.revoke(&record.id, NOW + 2).expect("revoked");
        assert!(!found(&keys, &key) && found(&keys, &other));
        let again = Keys::open(folder.path()).expect("keys");
        assert!(!found(&again, &key) && found(&again, &other));
        assert_eq!(again.list(), keys.list());
        // The name is free again.
        keys.make(wanted("a"), NOW + 3).expect("a key");
        assert!(matches!(keys.make(wanted("a"), NOW + 3), Err(KeysError::Taken { .. })));
        assert!(matches!(keys.revoke("key_x", NOW), Err(KeysError::Unknown)));
        let first = keys.revoke(&record.id, NOW + 9).expect("revoked");
        assert_eq!(first.revoked_ms, Some(NOW + 2));
    }

    #[test]
    fn a_file_that_cannot_be_read_stops_the_start() {
        let folder = tempfile::tempdir().expect("folder");
        for text in ["", "[]", "{\"version\":2,\"keys\":[]}", "{\"version\":1,\"keys\":[{}]}"] {
            fs::write(folder.path().join("keys.json"), text).expect("file");
            let error = Keys::open(folder.path()).expect_err(text);
            assert!(error.to_string().contains("keys.json: "), "{error}");
        }
        let nowhere = Keys { file: Some(folder.path().join("no/keys.json")), ..Keys::default() };
        assert!(matches!(nowhere.make(wanted("a"), NOW), Err(KeysError::File { .. })));
        assert!(nowhere.is_empty() && nowhere.list().is_empty(), "a key without a file");
    }

    #[test]
    fn replicas_agree_whoever_speaks_first() {
        let (one, other) = (Keys::default(), Keys::default());
        let (_, a) = one.make(wanted("a"), NOW).expect("a key");
        let (_, b) = other.make(wanted("b"), NOW).expect("a key");
        other.revoke(&b.id, NOW + 1).expect("revoked");
        let missing = one.merge(&other.list()).expect("merged");
        assert_eq!(missing, std::slice::from_ref(&a), "what the other lacks");
        assert!(other.merge(&missing).expect("merged").iter().all(|record| record.id == b.id));
        assert_eq!(one.list(), other.list());
        one.revoke(&a.id, NOW + 2).expect("revoked");
        assert!(other.merge(&one.list()).expect("merged").is_empty());
        // An old record does not bring it back.
        one.merge(std::slice::from_ref(&a)).expect("merged");
        assert!(one.is_empty() && other.is_empty());
    }

    #[test]
    fn at_the_bound_old_ends_are_forgotten_and_then_keys_refused() {
        let keys = Keys::default();
        let made: Vec<Record> = (0..KEYS_MAX)
            .map(|i| {
                let sha = sha256(&i.to_be_bytes());
                wanted(&format!("k{i}")).record(format!("key_{i}"), sha, NOW).expect("a record")
            })
            .collect();
        keys.merge(&made).expect("merged");
        assert!(matches!(keys.make(wanted("one more"), NOW), Err(KeysError::Full)));
        keys.revoke("key_7", NOW).expect("revoked");
        let soon = NOW + KEY_OVER_KEPT_MS;
        assert!(matches!(keys.make(wanted("one more"), soon), Err(KeysError::Full)));
        keys.make(wanted("one more"), soon + 1).expect("room");
        assert_eq!(keys.list().len(), KEYS_MAX);
    }
}
