//! The copy in `data_dir`: `audit.jsonl`, and the small files beside it.
//!
//! Guarantees: mode 0600; a record is on the disk when `append` returns. Does not: change a line
//! that is there. The end of a line that a crash left without its end is removed before the next
//! record is written: it was never in force.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{self, Entry};
use crate::bounds::AUDIT_LINE_BYTES_MAX;
use crate::config::effective::Meaning;
use crate::digest::{hex, sha256};

/// The records.
pub(crate) const RECORDS: &str = "audit.jsonl";
/// The id of the chain.
const CHAIN: &str = "audit.chain";
/// The policy that was accepted last.
const POLICY: &str = "audit.policy.json";

/// The path of the records.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(RECORDS)
}

/// Lines of the records, in their order, without their ends; a line that is too long is cut.
pub(crate) struct Lines(Option<BufReader<File>>);

impl Lines {
    /// The lines of a folder; none if there is no file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Lines> {
        match File::open(path(data_dir)) {
            Ok(file) => Ok(Lines(Some(BufReader::new(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lines(None)),
            Err(error) => Err(error),
        }
    }
}

impl Iterator for Lines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let reader = self.0.as_mut()?;
        let mut line = Vec::new();
        match reader.take(AUDIT_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line) {
            Err(error) => Some(Err(error)),
            Ok(0) => None,
            Ok(_) => {
                // A line without an end is no record.
                let whole = line.strip_suffix(b"\n").unwrap_or_default();
                Some(Ok(String::from_utf8_lossy(whole).into_owned()))
            }
        }
    }
}

/// The chain as the file holds it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn entries(data_dir: &Path) -> io::Result<Vec<Option<Entry>>> {
    let entry = |line: String| {
        let (record, hash) = record::divided(&line)?;
        record::entry(&record, hash)
    };
    Lines::open(data_dir)?.map(|line| line.map(entry)).collect()
}

/// Opens the file for appending, whose end is the end of a line then. Returns how many bytes a
/// crash had left behind it.
///
/// # Errors
/// It cannot be opened, read or cut.
pub(crate) fn open(data_dir: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create(true).mode(0o600).open(path(data_dir))?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(AUDIT_LINE_BYTES_MAX as u64);
    let mut end = Vec::new();
    io::Seek::seek(&mut &file, io::SeekFrom::Start(from))?;
    (&file).take(AUDIT_LINE_BYTES_MAX as u64).read_to_end(&mut end)?;
    let kept = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
    let torn = end.len() as u64 - kept;
    // A line that is longer than any of ours was not torn by a crash.
    if torn > 0 && torn < AUDIT_LINE_BYTES_MAX as u64 {
        file.set_len(length - torn)?;
        file.sync_all()?;
    }
    File::open(data_dir)?.sync_all()?;
    Ok((file, torn))
}

/// Appends a line; it is on the disk when this returns. A line that cannot be written whole is
/// removed again.
///
/// # Errors
/// It cannot be written.
pub(crate) fn append(file: &mut File, line: &str) -> io::Result<()> {
    let length = file.metadata()?.len();
    let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // If this fails too, the next start finds the rest.
        let _ = file.set_len(length);
    }
    written
}

/// The id of the chain.
///
/// # Errors
/// It cannot be read.
pub(crate) fn chain(data_dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(data_dir.join(CHAIN)) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|id| !id.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The id of the chain, made if there is none.
///
/// # Errors
/// It cannot be read or written.
pub(crate) fn make_chain(data_dir: &Path) -> io::Result<String> {
    if let Some(id) = chain(data_dir)? {
        return Ok(id);
    }
    let random = crate::secrets::random()
        .ok_or_else(|| io::Error::other("the system gives no random numbers"))?;
    let id = hex(&sha256(random.as_bytes())[..16]);
    replace(&data_dir.join(CHAIN), format!("{id}\n").as_bytes())?;
    Ok(id)
}

/// The policy that was accepted last, with which the next one is compared.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) version: String,
    /// The salt of the marks, as hexadecimal digits.
    pub(crate) salt: String,
    pub(crate) meaning: Meaning,
}

/// Reads it; `None` if there is none that can be read.
pub(crate) fn accepted(data_dir: &Path) -> Option<Accepted> {
    serde_json::from_slice(&fs::read(data_dir.join(POLICY)).ok()?).ok()
}

/// Keeps it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn keep_accepted(data_dir: &Path, accepted: &Accepted) -> io::Result<()> {
    replace(&data_dir.join(POLICY), &serde_json::to_vec(accepted)?)
}

/// Replaces a file as a whole.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
