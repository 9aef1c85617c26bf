//! The folders under watch.
//!
//! Guarantees: a folder that was replaced, or that a link leads to now, is watched anew. Does not:
//! read files.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::super::load::{ConfigFile, Source};
use super::super::reader::place::Problems;
use super::super::shadow;
use super::{POLL, POLL_UNTOLD, Signal};

/// The folders under watch: those of the source, and those that its links lead to.
pub(crate) struct Folders {
    watcher: Option<RecommendedWatcher>,
    /// Each path as it was when it was put under watch, so that a folder that was replaced is
    /// watched anew.
    watched: HashMap<PathBuf, u64>,
}

impl Folders {
    pub(crate) fn new(signals: SyncSender<Signal>) -> Folders {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the files is an access, too, and must not wake us again.
            let of_interest =
                event.as_ref().is_ok_and(|e| !matches!(e.kind, notify::EventKind::Access(_)));
            if of_interest || event.is_err() {
                drop(signals.try_send(Signal::Changed));
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(
                event = "policy_polled",
                %error, "no change events for configuration files; they are read every \
                second instead");
        }
        Folders { watcher: watcher.ok(), watched: HashMap::new() }
    }

    /// On a system that tells nothing.
    #[cfg(test)]
    pub(crate) fn untold(_: SyncSender<Signal>) -> Folders {
        Folders { watcher: None, watched: HashMap::new() }
    }

    /// Puts the folders of `source` under watch, as they are now; how long to wait at most before
    /// the next look.
    pub(crate) fn follow(&mut self, source: &Source) -> Duration {
        let Some(watcher) = &mut self.watcher else { return POLL_UNTOLD };
        let mut wanted: HashMap<PathBuf, u64> = HashMap::new();
        let mut want = |folder: &Path| {
            if let (Ok(real), Ok(found)) = (fs::canonicalize(folder), fs::metadata(folder)) {
                wanted.insert(real, identity(&found));
            }
        };
        source.folders().iter().for_each(|folder| want(folder));
        let candidate = source.folder().map(shadow::folder_in);
        candidate.iter().for_each(|folder| want(folder));
        let mut files = source.files(&mut Problems::default());
        files.extend(candidate.iter().flat_map(|folder| shadow::files_of(folder)));
        for ConfigFile { path, .. } in files {
            if let Some(parent) = fs::canonicalize(&path).ok().as_deref().and_then(Path::parent) {
                want(parent);
            }
        }
        self.watched.retain(|path, id| {
            let keep = wanted.get(path) == Some(id);
            if !keep {
                drop(watcher.unwatch(path));
            }
            keep
        });
        let count = wanted.len();
        for (path, id) in wanted {
            if !self.watched.contains_key(&path)
                && watcher.watch(&path, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(path, id);
            }
        }
        if self.watched.len() == count { POLL } else { POLL_UNTOLD }
    }
}

#[cfg(unix)]
fn identity(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> u64 {
    0
}
