//! Files and folders that only their owner can read: rows hold text of users, if redacted.
//!
//! Guarantees: whatever the umask of the process, the log and the embedded store create files with
//! mode 0600 and folders with 0700, and files that exist already are tightened when the log is
//! opened. Does not: change the mode of a data folder that existed before, which may be a shared
//! volume; `config::warnings` reports a wide one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Options of a file that only its owner can read.
pub(crate) fn options() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// Creates a folder that only its owner can read; an existing one keeps its mode.
///
/// # Errors
/// It does not exist and cannot be created.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(_) if path.is_dir() => Ok(()),
        made => made,
    }
}

/// Removes the rights of others from the log's own files in `data_dir`. Files of another user stay
/// as they are, with a warning.
pub(crate) fn tighten(data_dir: &Path) {
    const OURS: &[&str] =
        &["tollgate.db", "lock", "dead-letter.jsonl", "clickhouse.position", "wal", "audit."];
    for entry in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // SQLite appends `-wal`, `-shm` and `-journal` to the name.
        if OURS.iter().any(|ours| name.to_str().is_some_and(|name| name.starts_with(ours))) {
            tighten_one(&entry.path());
        }
    }
    for entry in fs::read_dir(data_dir.join("wal")).into_iter().flatten().flatten() {
        tighten_one(&entry.path());
    }
}

fn tighten_one(path: &Path) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return;
    }
    if let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7700)) {
        tracing::warn!(
            event = "file_open_to_others",
            %error, path = %path.display(), "other users of this machine may read this \
            file, and its mode cannot be changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn what_was_wide_is_tightened_and_foreign_files_stay() {
        let dir = tempfile::TempDir::new().expect("folder");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("wal")).expect("folder");
        let files = [
            "tollgate.db",
            "tollgate.db-wal",
            "tollgate.db-shm",
            "lock",
            "wal/1.seg",
            "wal/1.x.quarantined",
        ];
        for name in files.iter().chain(&["notes.txt"]) {
            fs::write(path(name), "x").expect("file");
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o664)).expect("mode");
        }
        fs::set_permissions(path("wal"), fs::Permissions::from_mode(0o755)).expect("mode");
        tighten(dir.path());
        assert!(files.iter().all(|name| mode(&path(name)) == 0o600));
        assert_eq!((mode(&path("wal")), mode(&path("notes.txt"))), (0o700, 0o664));
    }
}
