//! The cache with real files: what is found again, and what is not.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;

use super::*;

const ROOM: Room = Room { bytes_max: 1 << 20, org_bytes_max: 1 << 20 };

fn stored(key: Key, org: &str) -> Stored {
    let head = StoredHead {
        key: key.name(),
        org: org.to_owned(),
        expires_ms: i64::MAX,
        status: 200,
        ..StoredHead::default()
    };
    Stored { head, body: Bytes::from(format!("the answer of {org}")) }
}

fn open(folder: &Path) -> Cache {
    Cache::new(folder, Metrics::new())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("cache")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Asks until the folder of an earlier process has been read.
async fn found(cache: &Cache, key: Key) -> Option<Arc<Stored>> {
    cache.find(key, ROOM.bytes_max).await;
    // The thread has read the folder when it ends.
    cache.end();
    cache.find(key, ROOM.bytes_max).await
}

#[tokio::test]
async fn answers_outlast_the_process_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("folder");
    let cache = open(folder.path());
    let keys: Vec<Key> = (0..4).map(|n| Key([n; 32])).collect();
    for key in &keys {
        cache.keep(*key, stored(*key, "acme"), ROOM, cache.epoch());
        assert!(cache.find(*key, ROOM.bytes_max).await.is_some(), "from memory at once");
    }
    cache.close();
    let paths = files(folder.path());
    assert_eq!(paths.len(), 4);
    let mode = |path: &Path| fs::metadata(path).expect("file").permissions().mode() & 0o777;
    assert_eq!((mode(&paths[0]), mode(&folder.path().join("cache"))), (0o600, 0o700));
    // A cut file, a damaged one, one that was being written, and one that is not ours.
    let bytes = fs::read(&paths[1]).expect("file");
    fs::write(&paths[1], &bytes[..bytes.len() - 1]).expect("write");
    let mut damaged = fs::read(&paths[2]).expect("file");
    *damaged.last_mut().expect("a byte") ^= 1;
    fs::write(&paths[2], damaged).expect("write");
    fs::write(paths[3].with_extension("new"), b"half").expect("write");
    fs::write(folder.path().join("cache/other"), b"other").expect("write");

    let cache = open(folder.path());
    assert_eq!(found(&cache, keys[0]).await.as_deref(), Some(&stored(keys[0], "acme")));
    for (n, is_there) in [(1, false), (2, false), (3, true)] {
        assert_eq!(cache.find(keys[n], ROOM.bytes_max).await.is_some(), is_there, "{n}");
    }
    assert_eq!(files(folder.path()).len(), 4, "only files of ours are left");
}

#[tokio::test]
async fn a_purge_forgets_what_was_kept_and_what_is_on_its_way() {
    let folder = tempfile::tempdir().expect("folder");
    let cache = open(folder.path());
    let (a, b, late) = (Key([1; 32]), Key([2; 32]), Key([3; 32]));
    let epoch = cache.epoch();
    cache.keep(a, stored(a, "acme"), ROOM, epoch);
    cache.keep(b, stored(b, "other"), ROOM, epoch);
    assert_eq!(cache.purge(OrgId::new("acme").as_ref()), 1);
    cache.keep(late, stored(late, "acme"), ROOM, epoch);
    assert!(cache.find(a, ROOM.bytes_max).await.is_none());
    assert!(cache.find(late, ROOM.bytes_max).await.is_none(), "it was asked for before");
    assert!(cache.find(b, ROOM.bytes_max).await.is_some());
    cache.keep(late, stored(late, "acme"), ROOM, cache.epoch());
    assert!(cache.find(late, ROOM.bytes_max).await.is_some());
    assert_eq!(cache.purge(None), 2);
    cache.close();
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn when_it_is_switched_off_everything_goes() {
    let folder = tempfile::tempdir().expect("folder");
    let cache = open(folder.path());
    cache.tend(None);
    assert!(!folder.path().join("cache").exists(), "nothing is made while it is off");
    let key = Key([1; 32]);
    cache.keep(key, stored(key, "acme"), ROOM, cache.epoch());
    cache.tend(None);
    assert!(!folder.path().join("cache").exists());
    assert!(cache.find(key, ROOM.bytes_max).await.is_none());
    // It may be switched on again.
    cache.keep(key, stored(key, "acme"), ROOM, cache.epoch());
    assert!(cache.find(key, ROOM.bytes_max).await.is_some());
}
