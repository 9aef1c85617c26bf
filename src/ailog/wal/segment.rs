//! The format of the write-ahead log's files, and the disk they are on.
//!
//! Stage 12 of the walk. A segment is a head (magic, id, time, CRC) and records. A record is a
//! marker, the length of its body, a CRC-32C over length and body, and the body: the version of the
//! columns and one row (see `columns`). If the call is traced, the version has the bit [`TRACED`],
//! and behind the row stand what its trace needs besides it (see `traced`) and the length of that.
//!
//! Guarantees: a file that is not a segment of this version is recognised. Does not: decide when
//! something is written (see `wal`), or read records (see `reader`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use uuid::Uuid;

use crate::ailog::columns::{self, SCHEMA_VERSION};
use crate::ailog::private;
use crate::ailog::row::Row;

pub(crate) const MAGIC: &[u8; 8] = b"TOLLWAL1";
/// Magic, segment id, milliseconds since 1970, CRC-32C of these.
pub(crate) const SEGMENT_HEAD_BYTES: usize = 8 + 16 + 8 + 4;
/// Begins every record, so that the next one can be found after damage.
pub(crate) const MARKER: &[u8; 4] = b"\xf5TGR";
/// Marker, length of the body, CRC-32C.
pub(crate) const RECORD_HEAD_BYTES: usize = 4 + 4 + 4;

/// In the version of a record: a part for the trace follows the row.
pub(crate) const TRACED: u8 = 0x80;

/// The file operations that can fail on a full or broken disk; tests use a disk that fails.
pub(crate) trait Disk: Send + Sync {
    /// Creates a file that must not be there yet, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts a file off at `length`.
    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }
    /// Waits until a file's content is on the disk.
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
pub(crate) struct FileSystem;

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
pub(crate) struct Segment {
    pub(crate) id: Uuid,
    pub(crate) path: PathBuf,
    /// Everything before this offset is written and does not change.
    pub(crate) committed: AtomicU64,
    /// Nothing more will be added.
    pub(crate) sealed: AtomicBool,
}

impl Segment {
    /// The end of the written part, and whether it is final.
    pub(crate) fn extent(&self) -> (u64, bool) {
        // In this order: a segment seen as sealed has its last record committed.
        let sealed = self.sealed.load(Ordering::Acquire);
        (self.committed.load(Ordering::Acquire), sealed)
    }
}

/// Writes the record of `row` into `out`, which is emptied first.
pub(crate) fn record(row: &Row, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(MARKER);
    out.extend_from_slice(&[0; 8]);
    out.push(SCHEMA_VERSION);
    columns::encode(row, out);
    if let Some(traced) = &row.traced {
        let begin = out.len();
        traced.encode(out);
        let length = (out.len() - begin) as u32;
        out.extend_from_slice(&length.to_le_bytes());
        out[RECORD_HEAD_BYTES] |= TRACED;
    }
    let length = ((out.len() - RECORD_HEAD_BYTES) as u32).to_le_bytes();
    out[4..8].copy_from_slice(&length);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &out[RECORD_HEAD_BYTES..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// The row in a record's body, and the part for its trace, which may be empty.
pub(crate) fn split(version: u8, body: &[u8]) -> (&[u8], &[u8]) {
    let parts = || {
        let (rest, length) = body.split_last_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        rest.split_at_checked(rest.len().checked_sub(length)?)
    };
    if version & TRACED == 0 { (body, &[]) } else { parts().unwrap_or((&[], &[])) }
}

/// A file in the log's folder.
pub(crate) enum Recognised {
    Segment(Segment),
    /// The process ended while it began this segment.
    Begun,
    /// Not a segment of this version.
    Foreign,
}

/// Looks at the head of a file.
///
/// # Errors
/// It cannot be read.
pub(crate) fn recognise(path: &Path) -> io::Result<Recognised> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0; SEGMENT_HEAD_BYTES];
    let present = (length as usize).min(SEGMENT_HEAD_BYTES);
    file.read_exact_at(&mut head[..present], 0)?;
    let magic = present.min(MAGIC.len());
    let is_begun = head[..magic] == MAGIC[..magic] || head == [0; SEGMENT_HEAD_BYTES];
    if length <= SEGMENT_HEAD_BYTES as u64 && is_begun {
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
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}
