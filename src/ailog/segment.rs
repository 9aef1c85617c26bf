//! The files of the write-ahead log: what a segment and a record look like, and the disk they are on.
//!
//! Stage 9 of the walk. A segment is a head (magic, id, time, CRC) and records. A record is a marker, the length of its
//! body, a CRC-32C over length and body, and the body: schema version and one row (see `columns`).
//!
//! Promises: a file that is not a whole segment of this version is told from one that is. Does not: decide what is written
//! when (see `wal`) or read records (see `tail`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use uuid::Uuid;

use super::columns::SCHEMA_VERSION;
use super::private;
use super::row::Row;

pub(super) const MAGIC: &[u8; 8] = b"TOLLWAL1";
/// Magic, segment id, milliseconds since 1970, CRC-32C of these.
pub(super) const SEGMENT_HEAD_BYTES: usize = 8 + 16 + 8 + 4;
/// Begins every record; makes it possible to find the next one behind damage.
pub(super) const MARKER: &[u8; 4] = b"\xf5TGR";
/// Marker, length of the body, CRC-32C.
pub(super) const RECORD_HEAD_BYTES: usize = 4 + 4 + 4;

/// The file operations that can fail on a full or broken disk; tests put a failing one here.
pub(super) trait Disk: Send + Sync {
    /// Creates a file that must not be there yet, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts a file off at `length`.
    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }
    /// Waits until what was written to a file is on the disk.
    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
    /// Waits until the names in a folder are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
    /// Fills `bytes` from `offset` on.
    fn read_exact_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(bytes, offset)
    }
}

/// The file system as it is.
pub(super) struct FileSystem;

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<File> {
        private::options().read(true).write(true).create_new(true).open(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

/// One segment file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: Uuid,
    pub(super) path: PathBuf,
    /// Everything before this offset is written and will not change.
    pub(super) committed: AtomicU64,
    /// Nothing will be added.
    pub(super) sealed: AtomicBool,
}

impl Segment {
    /// Where the written part ends, and whether that is final.
    pub(super) fn extent(&self) -> (u64, bool) {
        // In this order: a segment seen as sealed has its last record committed.
        let sealed = self.sealed.load(Ordering::Acquire);
        (self.committed.load(Ordering::Acquire), sealed)
    }
}

/// Puts the record of `row` into `out`, which is emptied first.
pub(super) fn record(row: &Row, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(MARKER);
    out.extend_from_slice(&[0; 8]);
    out.push(SCHEMA_VERSION);
    super::columns::encode(row, out);
    let length = ((out.len() - RECORD_HEAD_BYTES) as u32).to_le_bytes();
    out[4..8].copy_from_slice(&length);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &out[RECORD_HEAD_BYTES..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// What a file in the folder is.
pub(super) enum Recognised {
    Segment(Segment),
    Begun,
    Foreign,
}

/// Looks at the head of a file.
///
/// # Errors
/// It cannot be read.
pub(super) fn recognise(path: &Path) -> io::Result<Recognised> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0; SEGMENT_HEAD_BYTES];
    let present = (length as usize).min(SEGMENT_HEAD_BYTES);
    file.read_exact_at(&mut head[..present], 0)?;
    if length <= SEGMENT_HEAD_BYTES as u64 && (head[..present.min(8)] == MAGIC[..present.min(8)] || head == [0; 36]) {
        return Ok(Recognised::Begun);
    }
    let (covered, crc) = head.split_at(SEGMENT_HEAD_BYTES - 4);
    if &head[..8] != MAGIC || crc32c::crc32c(covered).to_le_bytes() != crc {
        return Ok(Recognised::Foreign);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&head[8..24]);
    Ok(Recognised::Segment(Segment {
        id: Uuid::from_bytes(id),
        path: path.to_owned(),
        committed: AtomicU64::new(length),
        sealed: AtomicBool::new(true),
    }))
}

/// The number in a segment's file name, which orders the segments.
pub(super) fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}
