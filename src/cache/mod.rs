//! The exact cache: whole answers of providers, for calls that say exactly the same again.
//!
//! Level 3 of the map. Answers are kept in memory (the latest) and in files of `data_dir/cache`,
//! one for each answer. `key` says which calls are the same, `index` which answers are kept,
//! `stored` is an answer and its file.
//!
//! Guarantees: with the cache off nothing is started, read or written, and what an earlier policy
//! has kept is deleted; a file is complete or no answer (written aside, renamed, with a checksum),
//! so that `kill -9` costs at most the answers on their way to the disk; no call waits for a write;
//! answers of one organisation are found by no other; an answer that was asked for before a purge
//! is not kept after it. Does not: know calls (see `pipeline/cached`), or tell other replicas.

mod index;
mod key;
mod stored;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::bounds::{CACHE_FILE_BYTES_MAX, CACHE_QUEUED_MAX};
use crate::clock::wall_ms;
use crate::digest::from_hex;
use crate::ids::OrgId;
use crate::lock::lock;
use crate::metrics::Metrics;
pub use index::Room;
use index::{Index, Place};
pub use key::{Key, Question};
pub use stored::{Stored, StoredHead};

/// Files that are being written have this behind their name.
const UNFINISHED: &str = ".new";

/// The kept answers.
pub struct Cache {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
}

struct Shared {
    folder: PathBuf,
    index: Mutex<Index>,
    /// Counts purges.
    purges: Mutex<u64>,
    metrics: Arc<Metrics>,
}

/// The thread that works with files.
enum Writer {
    /// Nothing is known of the folder yet.
    NotStarted,
    Runs {
        queue: SyncSender<Order>,
        thread: JoinHandle<()>,
    },
    /// The cache is off, or the gateway ends.
    Ended,
}

enum Order {
    /// Read what an earlier process has kept, for so many bytes in all.
    Scan(u64),
    Write(Key, Arc<Stored>),
    /// Delete files that have to go.
    Sweep,
}

/// The number of purges at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Cache {
    /// The answers below `data_dir`. Touches nothing yet.
    pub fn new(data_dir: &Path, metrics: Arc<Metrics>) -> Cache {
        let shared = Shared {
            folder: data_dir.join("cache"),
            index: Mutex::default(),
            purges: Mutex::default(),
            metrics,
        };
        Cache { shared: Arc::new(shared), writer: Mutex::new(Writer::NotStarted) }
    }

    /// The answer to a question, if it is kept and fresh. The disk is read where memory has it not.
    pub async fn find(&self, key: Key, bytes_max: u64) -> Option<Arc<Stored>> {
        self.begin(bytes_max);
        match lock(&self.shared.index).find(&key, wall_ms())? {
            Place::Memory(stored) => return Some(stored),
            Place::Disk => {}
        }
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.read(key)).await.ok()?
    }

    /// The purges so far: an answer asked for now is kept only if there is none until then.
    pub fn epoch(&self) -> Epoch {
        Epoch(*lock(&self.shared.purges))
    }

    /// Keeps an answer that was asked for in `epoch`.
    pub fn keep(&self, key: Key, stored: Stored, room: Room, epoch: Epoch) {
        self.begin(room.bytes_max);
        let stored = Arc::new(stored);
        {
            let purges = lock(&self.shared.purges);
            if *purges != epoch.0 || !lock(&self.shared.index).keep(key, &stored, room) {
                return;
            }
        }
        if !self.order(Order::Write(key, stored)) {
            lock(&self.shared.index).remove(&key);
        }
        self.shared.measure();
    }

    /// Forgets all answers, or those of one organisation; returns how many there were. Their files
    /// are deleted soon.
    pub fn purge(&self, org: Option<&OrgId>) -> usize {
        let purged = {
            let mut purges = lock(&self.shared.purges);
            *purges += 1;
            lock(&self.shared.index).purge(org)
        };
        self.order(Order::Sweep);
        self.shared.measure();
        purged
    }

    /// Forgets what has ended. `bytes_max` is the room of all organisations; `None` if the cache is
    /// off: then all of it is deleted.
    pub fn tend(&self, bytes_max: Option<u64>) {
        let Some(bytes_max) = bytes_max else { return self.off() };
        self.begin(bytes_max);
        lock(&self.shared.index).tend(wall_ms(), bytes_max);
        self.order(Order::Sweep);
        self.shared.measure();
    }

    /// Waits until all that was kept is on disk. Nothing is kept after that.
    pub fn close(&self) {
        self.end();
    }

    /// Starts the thread, unless it runs.
    fn begin(&self, bytes_max: u64) {
        let mut writer = lock(&self.writer);
        if !matches!(*writer, Writer::NotStarted) {
            return;
        }
        let (queue, orders) = sync_channel(CACHE_QUEUED_MAX);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("cache".to_owned())
            .spawn(move || shared.obey(&orders));
        match thread {
            Ok(thread) => {
                drop(queue.try_send(Order::Scan(bytes_max)));
                *writer = Writer::Runs { queue, thread };
            }
            Err(error) => {
                tracing::warn!(
                    event = "thread_not_started",
                    %error,
                    "cannot start the thread of the cache; nothing is kept"
                );
                *writer = Writer::Ended;
            }
        }
    }

    /// Whether the thread will do it.
    fn order(&self, order: Order) -> bool {
        let Writer::Runs { queue, .. } = &*lock(&self.writer) else { return false };
        match queue.try_send(order) {
            Ok(()) => true,
            // A full queue ends with a sweep anyway.
            Err(TrySendError::Full(Order::Write(..))) => {
                self.shared.metrics.bound("cache_queued");
                false
            }
            Err(_) => false,
        }
    }

    /// Deletes everything, and starts again when it is on again.
    fn off(&self) {
        self.end();
        *lock(&self.shared.purges) += 1;
        *lock(&self.shared.index) = Index::default();
        match fs::remove_dir_all(&self.shared.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = self.shared.folder.display();
                tracing::warn!(
                    event = "cache_not_deleted",
                    %error,
                    %path,
                    "cannot delete the answers of the cache, which is off"
                );
            }
            _ => {}
        }
        self.shared.measure();
        *lock(&self.writer) = Writer::NotStarted;
    }

    fn end(&self) {
        let before = std::mem::replace(&mut *lock(&self.writer), Writer::Ended);
        if let Writer::Runs { queue, thread } = before {
            drop(queue);
            // A thread that has ended has nothing left to write.
            drop(thread.join());
        }
    }
}

impl Shared {
    /// Does what it is told until there are no more orders.
    fn obey(&self, orders: &Receiver<Order>) {
        let mut is_well = true;
        for order in orders {
            let done = match order {
                Order::Scan(bytes_max) => self.scan(bytes_max),
                Order::Write(key, stored) => self.write(key, &stored),
                Order::Sweep => Ok(()),
            };
            if let Err(error) = &done
                && std::mem::replace(&mut is_well, false)
            {
                tracing::warn!(event = "cache_not_kept", %error, "answers cannot be kept on disk");
            }
            is_well |= done.is_ok();
            let doomed = lock(&self.index).take_doomed();
            doomed.iter().for_each(|key| drop(fs::remove_file(self.path(key))));
        }
    }

    /// Finds the answers of an earlier process; deletes files that are none.
    fn scan(&self, bytes_max: u64) -> std::io::Result<()> {
        DirBuilder::new().mode(0o700).recursive(true).create(&self.folder)?;
        let room = Room { bytes_max, org_bytes_max: u64::MAX };
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let found = name.to_str().and_then(from_hex).map(Key).and_then(|key| {
                let mut beginning = Vec::new();
                let file = File::open(&path).ok()?;
                let bytes = file.metadata().ok()?.len();
                file.take(stored::BEGINNING_BYTES as u64).read_to_end(&mut beginning).ok()?;
                let head = stored::head_of(&beginning)?;
                Some((key, OrgId::new(&head.org)?, (bytes, head.expires_ms)))
            });
            let is_fresh = found.is_some_and(|(key, org, size)| {
                let mut index = lock(&self.index);
                size.1 > wall_ms() && (index.has(&key) || index.know(key, org, size, room))
            });
            if !is_fresh {
                drop(fs::remove_file(&path));
            }
        }
        self.measure();
        Ok(())
    }

    /// Writes an answer, unless it has been forgotten meanwhile.
    fn write(&self, key: Key, stored: &Stored) -> std::io::Result<()> {
        if !lock(&self.index).has(&key) {
            return Ok(());
        }
        let path = self.path(&key);
        let written = match stored.to_file() {
            Some(bytes) => write_aside(&path, &bytes),
            None => Err(std::io::Error::other("the head of an answer is too long")),
        };
        written.inspect_err(|_| lock(&self.index).remove(&key))
    }

    /// Reads an answer, and keeps it in memory. One that is not whole is forgotten.
    fn read(&self, key: Key) -> Option<Arc<Stored>> {
        let mut bytes = Vec::new();
        let read = File::open(self.path(&key))
            .and_then(|file| file.take(CACHE_FILE_BYTES_MAX).read_to_end(&mut bytes));
        let stored = read.ok().and_then(|_| Stored::of_file(bytes, &key)).map(Arc::new);
        let mut index = lock(&self.index);
        match &stored {
            Some(stored) => index.remember(&key, stored),
            None => index.remove(&key),
        }
        stored
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.name())
    }

    fn measure(&self) {
        let (entries, disk, memory) = lock(&self.index).sizes();
        self.metrics.cache_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        for (place, bytes) in [("disk", disk), ("memory", memory)] {
            #[expect(clippy::cast_precision_loss, reason = "a gauge for dashboards")]
            self.metrics.cache_bytes.with_label_values(&[place]).set(bytes as f64);
        }
    }
}

/// Writes a file beside its place and moves it there whole.
fn write_aside(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let aside = path.with_extension(&UNFINISHED[1..]);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&aside, path));
    written.inspect_err(|_| drop(fs::remove_file(&aside)))
}

#[cfg(test)]
mod tests;
