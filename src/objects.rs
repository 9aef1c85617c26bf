//! Which organisation's answers named which objects at the providers: who owns what under a shared
//! key.
//!
//! Level 3 of the map. A body that names a stored object goes out only if an answer to the same
//! organisation has named it before. It keeps a digest of organisation and id, in memory and
//! in two files of `data_dir` (`objects.new` and `objects.old`, each with half of them), so that a
//! restart forgets nothing. Promises: at most [`OBJECTS_MAX`], of which the older half is forgotten
//! at the bound; asking takes no I/O; a disk that is full or slow costs the memory of a restart,
//! and no call waits for it. Does not: ask a provider, or tell other replicas.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use aws_lc_rs::digest::{Context, SHA256};

use crate::bounds::{OBJECTS_MAX, OBJECTS_QUEUED_MAX};
use crate::ids::OrgId;
use crate::lock::lock;
use crate::metrics::Metrics;

/// Organisation and object.
type Digest = [u8; 16];

/// How the files begin.
const MAGIC: [u8; 16] = *b"tollgate objects";

/// The objects of organisations.
pub struct Objects {
    known: Mutex<Known>,
    writer: Mutex<Option<Writer>>,
    metrics: Arc<Metrics>,
}

/// Two generations: when the newer one is full it becomes the older one, whose members are
/// forgotten.
#[derive(Default)]
struct Known {
    new: HashSet<Digest>,
    old: HashSet<Digest>,
}

/// The thread that writes.
struct Writer {
    queue: SyncSender<Entry>,
    thread: JoinHandle<()>,
}

/// An entry of the file.
enum Entry {
    Owned(Digest),
    /// Later entries belong to a new generation.
    Turn,
}

impl Objects {
    /// The objects known from before, and a place to keep new ones. A folder that cannot be read or
    /// written is a warning.
    pub fn open(data_dir: &Path, metrics: Arc<Metrics>) -> Objects {
        let (new, old) = (data_dir.join("objects.new"), data_dir.join("objects.old"));
        let known = Known { new: read(&new), old: read(&old) };
        let writer = match open(&new).and_then(|file| start(file, new, old)) {
            Ok(writer) => Some(writer),
            Err(error) => {
                tracing::warn!(
                    event = "objects_not_stored",
                    %error, "cannot store the owners of stored objects; they are \
                    forgotten at the next start");
                None
            }
        };
        Objects { known: Mutex::new(known), writer: Mutex::new(writer), metrics }
    }

    /// An answer to this organisation has named this object.
    pub fn learn(&self, org: &OrgId, id: &str) {
        let digest = digest(org, id);
        let turned = {
            let mut known = lock(&self.known);
            if known.new.contains(&digest) {
                return;
            }
            let full = known.new.len() >= OBJECTS_MAX / 2;
            if full {
                known.old = std::mem::take(&mut known.new);
            }
            known.new.insert(digest);
            full
        };
        if turned {
            self.metrics.bound("stored_objects");
        }
        let entries = turned.then_some(Entry::Turn).into_iter().chain([Entry::Owned(digest)]);
        if let Some(writer) = &*lock(&self.writer) {
            for entry in entries {
                if let Err(TrySendError::Full(_)) = writer.queue.try_send(entry) {
                    self.metrics.bound("stored_objects_queued");
                }
            }
        }
    }

    /// Whether an answer to this organisation has named this object.
    pub fn owns(&self, org: &OrgId, id: &str) -> bool {
        let digest = digest(org, id);
        let known = lock(&self.known);
        known.new.contains(&digest) || known.old.contains(&digest)
    }

    /// Waits until all that was learned has been written. Nothing is written after that.
    pub fn close(&self) {
        let writer = lock(&self.writer).take();
        if let Some(Writer { queue, thread }) = writer {
            drop(queue);
            // A writer that has ended has nothing left to write.
            drop(thread.join());
        }
    }
}

fn digest(org: &OrgId, id: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(&(org.as_str().len() as u64).to_be_bytes());
    context.update(org.as_str().as_bytes());
    context.update(id.as_bytes());
    let mut digest = [0; 16];
    digest.copy_from_slice(&context.finish().as_ref()[..16]);
    digest
}

/// The digests of a file; none of one that is not there or not ours.
fn read(path: &Path) -> HashSet<Digest> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(16 * (OBJECTS_MAX as u64 / 2 + 1)).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(
                event = "objects_unreadable",
                %error, path = %path.display(), "cannot read the owners of stored \
                objects")
        }
        Ok(_) => {}
    }
    let (records, _) = bytes.as_chunks::<16>();
    match records.split_first() {
        Some((magic, records)) if *magic == MAGIC => records.iter().copied().collect(),
        _ => HashSet::new(),
    }
}

/// The file, ready for the next record: a part of one at its end, which a kill may leave, is cut
/// off.
fn open(path: &Path) -> std::io::Result<File> {
    let mut file =
        OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let length = file.metadata()?.len();
    let mut magic = [0; 16];
    if length >= 16 && file.read_exact(&mut magic).is_ok() && magic == MAGIC {
        file.set_len(length / 16 * 16)?;
    } else {
        file.set_len(0)?;
        file.write_all(&MAGIC)?;
    }
    Ok(file)
}

fn start(file: File, new: PathBuf, old: PathBuf) -> std::io::Result<Writer> {
    let (queue, entries) = sync_channel(OBJECTS_QUEUED_MAX);
    let thread = std::thread::Builder::new()
        .name("objects".to_owned())
        .spawn(move || write(file, &new, &old, &entries))?;
    Ok(Writer { queue, thread })
}

/// Writes until nobody can learn anything any more, or the disk refuses.
fn write(mut file: File, new: &Path, old: &Path, entries: &Receiver<Entry>) {
    let mut write_one = |entry: Entry| -> std::io::Result<()> {
        match entry {
            Entry::Owned(digest) => file.write_all(&digest),
            Entry::Turn => {
                std::fs::rename(new, old)?;
                file = open(new)?;
                Ok(())
            }
        }
    };
    let mut well = true;
    for entry in entries {
        let result = write_one(entry);
        if let Err(error) = &result
            && well
        {
            tracing::warn!(
                event = "objects_not_stored",
                %error, "cannot store the owners of stored objects; they are \
                forgotten at the next start");
        }
        well = result.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(name: &str) -> OrgId {
        OrgId::new(name).expect("name")
    }

    #[test]
    fn what_is_learned_is_known_to_its_owner_alone_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let objects = Objects::open(folder.path(), Metrics::new());
        objects.learn(&org("a"), "resp_1");
        objects.learn(&org("a"), "resp_1");
        objects.learn(&org("b"), "resp_2");
        let check = |objects: &Objects| {
            assert!(objects.owns(&org("a"), "resp_1") && objects.owns(&org("b"), "resp_2"));
            assert!(!objects.owns(&org("b"), "resp_1") && !objects.owns(&org("a"), "resp_2"));
            // Organisation and id are kept apart.
            assert!(!objects.owns(&org("ar"), "esp_1") && !objects.owns(&org("a"), "resp_"));
        };
        check(&objects);
        objects.close();
        let path = folder.path().join("objects.new");
        let written = std::fs::read(&path).expect("file");
        assert_eq!(written.len(), 3 * 16);
        assert_eq!(std::fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
        // Half a record, as a kill may leave.
        std::fs::write(&path, [&written[..], b"half"].concat()).expect("write");
        let objects = Objects::open(folder.path(), Metrics::new());
        check(&objects);
        objects.learn(&org("c"), "resp_3");
        objects.close();
        let objects = Objects::open(folder.path(), Metrics::new());
        check(&objects);
        assert!(objects.owns(&org("c"), "resp_3"));
        // Another file of that name.
        objects.close();
        std::fs::write(&path, "something else altogether").expect("write");
        assert!(!Objects::open(folder.path(), Metrics::new()).owns(&org("a"), "resp_1"));
    }

    #[test]
    fn the_older_half_is_forgotten_at_the_bound() {
        let folder = tempfile::tempdir().expect("folder");
        let objects = Objects::open(folder.path(), Metrics::new());
        let half = OBJECTS_MAX / 2;
        {
            let mut known = lock(&objects.known);
            known.old.insert(digest(&org("a"), "oldest"));
            known.new.extend((0..half - 1).map(|i| digest(&org("a"), &i.to_string())));
        }
        objects.learn(&org("a"), "last");
        assert!(objects.owns(&org("a"), "oldest"));
        objects.learn(&org("a"), "next");
        assert!(!objects.owns(&org("a"), "oldest"));
        assert!(
            objects.owns(&org("a"), "0")
                && objects.owns(&org("a"), "last")
                && objects.owns(&org("a"), "next")
        );
        objects.close();
        let again = Objects::open(folder.path(), Metrics::new());
        assert!(again.owns(&org("a"), "last") && again.owns(&org("a"), "next"));
        // A folder that is not there costs the memory of a restart alone.
        let homeless = Objects::open(&folder.path().join("none"), Metrics::new());
        homeless.learn(&org("a"), "x");
        assert!(homeless.owns(&org("a"), "x"));
        homeless.close();
    }
}
