//! Files whose content is in force while it may change: secrets and certificates.
//!
//! A leaf, with I/O of its own. A [`Live`] holds the newest good content of its files. One thread
//! ([`LiveFiles::watch`]) looks at all of them four times a second, so that a file written in
//! place, a rename over it and a swap of Kubernetes' `..data` are all in force within a second.
//! Guarantees: content that cannot be read or used leaves the content before it in force and is
//! reported once; only regular files are opened; a bounded number of bytes is read; reading the
//! value takes no lock. Does not: know what the content is for (its [`Kind`] does).

use std::any::Any;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use zeroize::Zeroizing;

use crate::clock::wall_ms;
use crate::digest::sha256;
use crate::lock::lock;
use crate::metrics::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A file that was read so shortly after it was written may be written again without a trace in its
/// metadata, so its content is read again.
const SETTLED_AFTER_S: i64 = 2;
/// The right of everyone to read a file.
const READ_BY_ALL: u32 = 0o004;

/// The content of one file, wiped when it is dropped.
pub type Content = Zeroizing<Vec<u8>>;

/// A kind of content: how it is read, and its bounds.
pub struct Kind<T: 'static> {
    /// Its name in messages; kinds with the same name are the same.
    pub name: &'static str,
    /// Longest file.
    pub bytes_max: u64,
    /// Index of the file that other users must not read.
    pub private: Option<usize>,
    /// Makes the value of the files' contents.
    pub read: fn(&[Content]) -> Result<T, Wrong>,
}

/// Content that cannot be used: the index of its file, and `reason; remedy`.
pub type Wrong = (usize, String);

/// The value of one or several files, as their newest good content has it.
pub struct Live<T: 'static> {
    kind: &'static Kind<T>,
    paths: Vec<PathBuf>,
    current: ArcSwap<T>,
    state: Mutex<State>,
}

/// The last known state of the files.
struct State {
    /// SHA-256 of the contents in force.
    in_force: [u8; 32],
    stamps: Vec<Option<Stamp>>,
    /// The metadata tell of every later change.
    is_settled: bool,
    /// Why the present content is not in force.
    fault: Option<String>,
    /// Everyone may read the private file.
    is_exposed: bool,
}

/// Enough of a file's metadata to see most changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// All files of a configuration.
#[derive(Clone, Default)]
pub struct LiveFiles(Arc<Mutex<Vec<Weak<dyn Look>>>>);

/// The thread that looks at the files. It ends when this is dropped.
pub struct LiveWatch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A [`Live`] of any type.
trait Look: Send + Sync {
    fn is(&self, kind: &str, paths: &[PathBuf]) -> bool;
    /// Puts new content in force.
    fn look(&self);
    fn fault(&self) -> Option<String>;
    /// The file that everyone may read, although it is private.
    fn exposed(&self) -> Option<&Path>;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Send + Sync> Live<T> {
    fn read(kind: &'static Kind<T>, paths: Vec<PathBuf>) -> Result<Live<T>, String> {
        let stamps = stamps(&paths);
        let contents = contents(&paths, kind.bytes_max)?;
        let in_force = digest(&contents);
        let value = value(kind, &paths, &contents)?;
        // The first look of the thread reads the files once more.
        let is_exposed = exposed(kind.private, &paths).is_some();
        let state = State { in_force, stamps, is_settled: false, fault: None, is_exposed };
        Ok(Live { kind, paths, current: ArcSwap::from_pointee(value), state: Mutex::new(state) })
    }

    /// The value in force.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// The value in force, to keep.
    pub fn load_full(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The warning about a file that everyone may read since the last look.
    fn newly_exposed(&self, state: &mut State) -> Option<String> {
        let path = exposed(self.kind.private, &self.paths);
        let was_exposed = std::mem::replace(&mut state.is_exposed, path.is_some());
        path.filter(|_| !was_exposed).map(exposed_warning)
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.kind.name).field(&self.paths).finish()
    }
}

impl<T: Send + Sync> Look for Live<T> {
    fn is(&self, kind: &str, paths: &[PathBuf]) -> bool {
        self.kind.name == kind && self.paths == paths
    }

    fn look(&self) {
        let mut state = lock(&self.state);
        let stamps = stamps(&self.paths);
        if state.is_settled && stamps == state.stamps {
            return;
        }
        state.is_settled = settled(&stamps);
        state.stamps = stamps;
        if let Some(text) = self.newly_exposed(&mut state) {
            tracing::warn!(event = "secret_exposed", "{text}");
        }
        let read = contents(&self.paths, self.kind.bytes_max).and_then(|contents| {
            let digest = digest(&contents);
            if digest == state.in_force {
                return Ok(None);
            }
            value(self.kind, &self.paths, &contents).map(|value| Some((value, digest)))
        });
        match read {
            Ok(None) => state.fault = None,
            Ok(Some((value, digest))) => {
                self.current.store(Arc::new(value));
                (state.in_force, state.fault) = (digest, None);
                tracing::info!(
                    event = "file_reloaded",
                    files = %shown(&self.paths), "new {} in force", self.kind.name);
            }
            Err(reason) if state.fault.as_ref() != Some(&reason) => {
                tracing::error!(
                    event = "file_refused",
                    "{}: {reason}; the content before it stays in force",
                    self.kind.name
                );
                state.fault = Some(reason);
            }
            Err(_) => {}
        }
    }

    fn fault(&self) -> Option<String> {
        lock(&self.state).fault.clone()
    }

    fn exposed(&self) -> Option<&Path> {
        exposed(self.kind.private, &self.paths)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl LiveFiles {
    /// The value of these files. Files that are known already keep their value, even if they cannot
    /// be read now.
    ///
    /// # Errors
    /// `reason; remedy`, if they are new and cannot be read or used.
    pub fn open<T: Send + Sync>(
        &self,
        kind: &'static Kind<T>,
        paths: Vec<PathBuf>,
    ) -> Result<Arc<Live<T>>, String> {
        for known in self.alive() {
            if known.is(kind.name, &paths) {
                known.look();
                if let Ok(live) = known.into_any().downcast() {
                    return Ok(live);
                }
            }
        }
        let live = Arc::new(Live::read(kind, paths)?);
        let erased: Arc<dyn Look> = Arc::<Live<T>>::clone(&live);
        lock(&self.0).push(Arc::downgrade(&erased));
        Ok(live)
    }

    /// Looks at all files now.
    pub fn look(&self) {
        self.alive().iter().for_each(|file| file.look());
    }

    /// Why the present content of files is not in force.
    pub fn faults(&self) -> Vec<String> {
        self.alive().iter().filter_map(|file| file.fault()).collect()
    }

    /// A warning for each secret that every user of the machine may read.
    pub fn warnings(&self) -> Vec<String> {
        let mut list: Vec<String> =
            self.alive().iter().filter_map(|file| file.exposed().map(exposed_warning)).collect();
        list.sort_unstable();
        list.dedup();
        list
    }

    /// Starts the thread that looks at the files.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn watch(&self, metrics: Arc<Metrics>) -> io::Result<LiveWatch> {
        let (stop, stopped) = sync_channel::<()>(1);
        let files = self.clone();
        let run = move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                files.look();
                let faults = files.faults().len();
                metrics.files_refused.set(i64::try_from(faults).unwrap_or(i64::MAX));
            }
        };
        let thread = std::thread::Builder::new().name("file-watch".to_owned()).spawn(run)?;
        Ok(LiveWatch { stop: Some(stop), thread: Some(thread) })
    }

    fn alive(&self) -> Vec<Arc<dyn Look>> {
        let mut files = lock(&self.0);
        files.retain(|file| file.strong_count() > 0);
        files.iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for LiveFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveFiles")
    }
}

impl Drop for LiveWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The path of a file that a configuration names: in the first of these folders that has it, else
/// as it is written.
pub fn find(given: &Path, folders: &[PathBuf]) -> PathBuf {
    let mut places = folders.iter().map(|folder| folder.join(given));
    places.find(|path| path.exists()).unwrap_or_else(|| given.to_owned())
}

/// The private one of the files, if everyone may read it.
fn exposed(private: Option<usize>, paths: &[PathBuf]) -> Option<&Path> {
    let path = paths.get(private?)?;
    let mode = fs::metadata(path).ok()?.mode();
    (mode & READ_BY_ALL != 0).then_some(path)
}

fn exposed_warning(path: &Path) -> String {
    let path = path.display();
    format!(
        "{path}: every user of this machine may read this secret; run `chmod 600 {path}`, or in \
         Kubernetes set `defaultMode: 0400` and `fsGroup`"
    )
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some(Stamp {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    };
    paths.iter().map(stamp).collect()
}

/// Whether every file was written long ago.
fn settled(stamps: &[Option<Stamp>]) -> bool {
    let now = wall_ms() / 1_000;
    let is_old =
        |stamp: &Stamp| stamp.modified.0.max(stamp.changed.0) < now.saturating_sub(SETTLED_AFTER_S);
    stamps.iter().all(|stamp| stamp.as_ref().is_some_and(is_old))
}

fn contents(paths: &[PathBuf], bytes_max: u64) -> Result<Vec<Content>, String> {
    paths.iter().map(|path| content(path, bytes_max)).collect()
}

fn content(path: &Path, bytes_max: u64) -> Result<Content, String> {
    let name = path.display();
    let unreadable = |error| format!("`{name}` cannot be read: {error}; give a readable file");
    // Opening a pipe would wait for its writer, so the kind comes first.
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(format!("`{name}` is not a regular file; give one"));
    }
    // Space for all of it, so that a buffer that grows leaves no copy of a secret behind.
    let room = found.len().min(bytes_max) + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(room).unwrap_or(0)));
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!(
            "`{name}` is larger than {} KiB; give a smaller file",
            bytes_max >> 10
        ));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(format!("`{name}` is empty; write the content into it"));
    }
    Ok(bytes)
}

fn digest(contents: &[Content]) -> [u8; 32] {
    let each: Vec<u8> = contents.iter().flat_map(|content| sha256(content)).collect();
    sha256(&each)
}

fn value<T>(kind: &Kind<T>, paths: &[PathBuf], contents: &[Content]) -> Result<T, String> {
    (kind.read)(contents).map_err(|(index, reason)| {
        let name = paths.get(index).map_or_else(String::new, |path| path.display().to_string());
        format!("`{name}` {reason}")
    })
}

fn shown(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
