//! Word lists in files of their own: found, read, and told apart when they change.
//!
//! Guarantees: at most [`WORDS_FILE_BYTES_MAX`] bytes of a file are read; a list that cannot be
//! read is a problem of the policy that names it, and never an empty list. Does not: look for
//! changes by itself (`watch` does), or know what words are for.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::sections::{RawPolicy, RawRules};
use crate::bounds::WORDS_FILE_BYTES_MAX;

/// The word lists that a policy names.
#[derive(Debug, Default)]
pub(crate) struct WordFiles(Vec<WordFile>);

#[derive(Debug)]
struct WordFile {
    /// As the policy names it.
    given: PathBuf,
    found: PathBuf,
    stamp: Stamp,
    text: Result<Arc<str>, String>,
}

/// Enough of a file to see whether it has changed; nothing if it is not there.
pub(crate) type Stamp = Option<(u64, Option<SystemTime>)>;

impl WordFiles {
    /// Reads the lists of a policy. A relative path is looked for in these folders, then in the
    /// working directory.
    pub(crate) fn read(raw: &RawPolicy, folders: &[PathBuf]) -> WordFiles {
        let mut files: Vec<WordFile> = Vec::new();
        let orgs = raw.redaction.value.orgs.iter().map(|(_, own)| &own.value);
        for given in [&raw.redaction.value.base].into_iter().chain(orgs).flat_map(paths) {
            if files.iter().all(|file| file.given != *given) {
                files.push(WordFile::read(given, folders));
            }
        }
        WordFiles(files)
    }

    /// The text of a list.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn text(&self, given: &Path) -> Result<&str, String> {
        let file = self.0.iter().find(|file| file.given == given);
        match file.map(|file| &file.text) {
            Some(text) => text.as_deref().map_err(String::clone),
            None => Err("cannot be read; give a readable file".to_owned()),
        }
    }

    /// The texts of all.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|file| file.text.as_deref().ok())
    }

    /// The files, and how they were when they were read.
    pub(crate) fn stamps(&self) -> Vec<(PathBuf, Stamp)> {
        self.0.iter().map(|file| (file.found.clone(), file.stamp)).collect()
    }
}

impl WordFile {
    fn read(given: &Path, folders: &[PathBuf]) -> WordFile {
        let places = folders.iter().map(|folder| folder.join(given));
        let found = places.into_iter().find(|path| path.exists());
        let found = found.unwrap_or_else(|| given.to_owned());
        // Before the text: a change in between is seen as one.
        let stamp = stamp(&found);
        let text = text(&found).map(Arc::from);
        WordFile { given: given.to_owned(), found, stamp, text }
    }
}

/// The files that rules name.
fn paths(raw: &RawRules) -> impl Iterator<Item = &PathBuf> {
    raw.terms.iter().filter_map(|terms| terms.words_file.value.as_ref())
}

/// How a file is now.
pub(crate) fn stamp(path: &Path) -> Stamp {
    fs::metadata(path).ok().map(|found| (found.len(), found.modified().ok()))
}

fn text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let unreadable = |error| format!("`{shown}` cannot be read: {error}; give a readable file");
    // Opening a pipe would wait for its writer, so the kind comes first.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("`{shown}` is not a regular file; give one"));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(WORDS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > WORDS_FILE_BYTES_MAX {
        let most = WORDS_FILE_BYTES_MAX >> 20;
        return Err(format!("`{shown}` is larger than {most} MiB; give fewer words"));
    }
    String::from_utf8(bytes).map_err(|_| format!("`{shown}` is not UTF-8; save it as UTF-8"))
}
