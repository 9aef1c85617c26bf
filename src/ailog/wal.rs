//! The write-ahead log: rows on disk before the client sees the end of its answer.
//!
//! Stage 9 of the walk. Append-only segment files in `data_dir/wal`, read and removed by the shipper (see `tail`).
//!
//! Promises: when [`Wal::append`] returns well, the record is in the page cache, so it survives the end of the process
//! however it ends. A failed write leaves no trace that a reader could take for a record. A segment that was found at
//! start is only read, never written to again. Does not: wait for the disk, except where [`Wal::sync`] is called (see `power`).
//!
//! # Bounds
//! A record, a segment, and all segments together have a most (`bounds.rs`). At the last the newest row is refused and
//! counted as lost; traffic goes on. A segment is ended after `WAL_SEGMENT_AGE_MAX`, so that rows that are stored do not
//! stay here for longer, however few there are.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::private;
use super::segment::{Disk, MAGIC, Recognised, SEGMENT_HEAD_BYTES, Segment, number_of, recognise};
use super::tail::Position;
use crate::bounds;
use crate::lock::lock;

/// How large the log may grow.
#[derive(Clone, Copy, Debug)]
pub struct WalLimits {
    /// One segment, in bytes.
    pub segment_bytes_max: u64,
    /// Everything not yet stored, in bytes.
    pub total_bytes_max: u64,
}

impl Default for WalLimits {
    fn default() -> WalLimits {
        WalLimits { segment_bytes_max: bounds::WAL_SEGMENT_BYTES_MAX, total_bytes_max: bounds::WAL_BYTES_MAX }
    }
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppendError {
    #[error("the write-ahead log has reached its bound")]
    Full,
    #[error("the write-ahead log cannot be written")]
    Io(#[source] io::Error),
    /// A part of it may be found at the next start: written again it could be there twice.
    #[error("the write-ahead log cannot be written, nor what was written of it be taken back")]
    Unclean(#[source] io::Error),
}

struct Active {
    file: Arc<File>,
    segment: Arc<Segment>,
    begun_ms: i64,
}

struct Writer {
    active: Option<Active>,
    next_number: u64,
    unsynced: Unsynced,
}

/// What was written since the last sync.
#[derive(Default)]
struct Unsynced {
    rows: u64,
    /// Segments that were ended since.
    ended: Vec<Arc<File>>,
    /// Segments of an earlier process, which may have ended before its disk had them.
    found: Vec<PathBuf>,
    /// A segment was begun: its name has to reach the disk, too.
    began: bool,
}

/// What was found at start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Segments with records.
    pub(super) segments: usize,
    /// Files that are no segments of this version; put aside under another name.
    pub(super) quarantined: usize,
}

/// The writing side.
pub(super) struct Wal {
    dir: PathBuf,
    limits: WalLimits,
    disk: Box<dyn Disk>,
    writer: Mutex<Writer>,
    /// Somebody asked for a sync once: from then on a segment that ends stays open until it is synced.
    keeps_until_synced: AtomicBool,
    /// Oldest first. The reader takes them off at the front.
    segments: Mutex<VecDeque<Arc<Segment>>>,
    /// Bytes of records written, counted from what was found at start.
    written: AtomicU64,
    /// Bytes of records that the reader is done with.
    taken: AtomicU64,
}

impl Wal {
    /// Opens the folder and takes stock of the segments that an earlier process left.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(super) fn open(dir: &Path, limits: WalLimits, disk: Box<dyn Disk>) -> io::Result<(Wal, Found)> {
        private::folder(dir)?;
        let mut numbered = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if let Some(number) = number_of(&path) {
                numbered.push((number, path));
            }
        }
        numbered.sort();
        let next_number = numbered.last().map_or(1, |(n, _)| n + 1);
        let (mut segments, mut found, mut bytes) = (VecDeque::new(), Found::default(), 0);
        let mut unsynced = Unsynced::default();
        for (_, path) in numbered {
            match recognise(&path)? {
                Recognised::Segment(segment) => {
                    bytes += segment.extent().0 - SEGMENT_HEAD_BYTES as u64;
                    found.segments += 1;
                    segments.push_back(Arc::new(segment));
                    unsynced.found.push(path);
                    unsynced.began = true;
                }
                // The process ended while it began the segment: there is no record in it.
                Recognised::Begun => fs::remove_file(&path)?,
                Recognised::Foreign => {
                    found.quarantined += 1;
                    let mut aside = path.with_extension("quarantined");
                    if aside.exists() {
                        // Numbers begin anew where no segment is left.
                        aside = path.with_extension(format!("{}.quarantined", Uuid::now_v7().simple()));
                    }
                    fs::rename(&path, aside)?;
                }
            }
        }
        let wal = Wal {
            dir: dir.to_owned(),
            limits,
            disk,
            writer: Mutex::new(Writer { active: None, next_number, unsynced }),
            keeps_until_synced: AtomicBool::new(false),
            segments: Mutex::new(segments),
            written: AtomicU64::new(bytes),
            taken: AtomicU64::new(0),
        };
        Ok((wal, found))
    }

    /// Writes one record (see [`record`]).
    ///
    /// # Errors
    /// The log is at its bound, or the disk does not take the record. Nothing of it is left, unless the error says so.
    pub(super) fn append(&self, record: &[u8]) -> Result<(), AppendError> {
        self.append_all(record, 1)
    }

    /// Writes `rows` records that stand one behind the other, in one write: all of them or none.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub(super) fn append_all(&self, records: &[u8], rows: u64) -> Result<(), AppendError> {
        let length = records.len() as u64;
        if self.bytes() + length > self.limits.total_bytes_max {
            return Err(AppendError::Full);
        }
        let mut writer = lock(&self.writer);
        if let Some(active) = &writer.active
            && active.segment.extent().0 + length > self.limits.segment_bytes_max
        {
            self.end_segment(&mut writer);
        }
        if writer.active.is_none() {
            writer.active = Some(self.begin_segment(writer.next_number).map_err(AppendError::Io)?);
            writer.next_number += 1;
            writer.unsynced.began = true;
        }
        let Some(active) = &writer.active else { return Err(AppendError::Full) };
        let (end, _) = active.segment.extent();
        if let Err(error) = self.disk.write_all_at(&active.file, records, end) {
            // A part of the records may be there, which a later start would take for written. It is cut off; where that
            // fails it is written over, which needs no room on the disk, and the segment is given up.
            if self.disk.set_len(&active.file, end).is_ok() {
                return Err(AppendError::Io(error));
            }
            let erased = self.disk.write_all_at(&active.file, &vec![0; records.len()], end).is_ok();
            self.end_segment(&mut writer);
            return Err(if erased { AppendError::Io(error) } else { AppendError::Unclean(error) });
        }
        active.segment.committed.store(end + length, Ordering::Release);
        self.written.fetch_add(length, Ordering::Release);
        writer.unsynced.rows += rows;
        Ok(())
    }

    /// From now on a segment that ends stays open until it is synced.
    pub(super) fn keep_until_synced(&self) {
        // Looked at first: nearly always it is set, and a write would take the line from the other threads.
        if !self.keeps_until_synced() {
            self.keeps_until_synced.store(true, Ordering::Release);
        }
    }

    pub(super) fn keeps_until_synced(&self) -> bool {
        self.keeps_until_synced.load(Ordering::Acquire)
    }

    /// Waits until everything written is on the disk. Returns the mark (see [`Wal::written`]) up to which that was tried
    /// and, where the disk did not take it, why, and how many rows may not be there. Those segments are ended: a second
    /// sync of the same file could succeed without the pages that the first one lost.
    pub(super) fn sync(&self) -> (u64, Option<(io::Error, u64)>) {
        let mut writer = lock(&self.writer);
        let unsynced = std::mem::take(&mut writer.unsynced);
        let mark = self.written();
        let active = writer.active.as_ref().map(|active| Arc::clone(&active.file));
        drop(writer);
        // Nobody waits for the lock meanwhile: appends go on while the disk works.
        let mut error = None;
        for file in unsynced.ended.iter().chain(&active) {
            error = self.disk.sync_file(file).err().or(error);
        }
        for path in &unsynced.found {
            match File::open(path) {
                Ok(file) => error = self.disk.sync_file(&file).err().or(error),
                // Stored and removed meanwhile.
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(other) => error = Some(other),
            }
        }
        if unsynced.began {
            error = self.disk.sync_folder(&self.dir).err().or(error);
        }
        let Some(error) = error else { return (mark, None) };
        let mut writer = lock(&self.writer);
        let Some(failed) = active else { return (mark, Some((error, unsynced.rows))) };
        let is_active = writer.active.as_ref().is_some_and(|now| Arc::ptr_eq(&failed, &now.file));
        if is_active {
            writer.seal();
        }
        let ended = writer.unsynced.ended.len();
        writer.unsynced.ended.retain(|file| !Arc::ptr_eq(file, &failed));
        if is_active || writer.unsynced.ended.len() < ended {
            // Rows that were written meanwhile may be in the same file, which is not asked again: they are suspect as well.
            let rows = unsynced.rows + std::mem::take(&mut writer.unsynced.rows);
            return (self.written(), Some((error, rows)));
        }
        (mark, Some((error, unsynced.rows)))
    }

    /// Ends the active segment if it was begun before `begun_ms` and holds anything.
    pub(super) fn end_if_begun_before(&self, begun_ms: i64) {
        let mut writer = lock(&self.writer);
        let is_old =
            |active: &Active| active.begun_ms < begun_ms && active.segment.extent().0 > SEGMENT_HEAD_BYTES as u64;
        if writer.active.as_ref().is_some_and(is_old) {
            self.end_segment(&mut writer);
        }
    }

    fn end_segment(&self, writer: &mut Writer) {
        if let Some(active) = writer.active.as_ref().filter(|_| self.keeps_until_synced()) {
            let file = Arc::clone(&active.file);
            writer.unsynced.ended.push(file);
        }
        writer.seal();
    }

    /// Bytes that the reader has not taken off yet.
    pub(super) fn bytes(&self) -> u64 {
        self.written().saturating_sub(self.taken.load(Ordering::Acquire))
    }

    /// Bytes written so far, as a mark to wait for with [`Wal::is_taken`].
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether the reader is done with everything up to `mark`.
    pub(super) fn is_taken(&self, mark: u64) -> bool {
        self.taken.load(Ordering::Acquire) >= mark
    }

    /// The oldest segment.
    pub(super) fn oldest(&self) -> Option<Arc<Segment>> {
        lock(&self.segments).front().cloned()
    }

    /// Whether a segment of that id is there.
    pub(super) fn has(&self, id: Uuid) -> bool {
        lock(&self.segments).iter().any(|s| s.id == id)
    }

    /// Where a position is among all that is there; nothing if its segment is gone.
    pub(super) fn place(&self, position: Position) -> Option<(usize, u64)> {
        let segment = lock(&self.segments).iter().position(|s| s.id == position.segment)?;
        Some((segment, position.offset))
    }

    /// The reader is done with `length` bytes of records.
    pub(super) fn taken(&self, length: u64) {
        self.taken.fetch_add(length, Ordering::Release);
    }

    /// Removes the oldest segment, which the reader is done with. If the file cannot be removed its rows are: the next start
    /// could not know that they are stored, if the segment of the position that the store has kept is gone by then.
    pub(super) fn remove_oldest(&self) {
        let Some(segment) = lock(&self.segments).pop_front() else { return };
        let Err(error) = self.disk.remove_file(&segment.path) else { return };
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        let file = File::options().write(true).open(&segment.path);
        let emptied = file.and_then(|file| self.disk.set_len(&file, SEGMENT_HEAD_BYTES as u64)).is_ok();
        tracing::warn!(%error, emptied, path = %segment.path.display(), "a stored log segment cannot be removed");
    }

    /// Takes the oldest segment, which cannot be read, out of the log; nothing is written to it any more. Its file stays.
    pub(super) fn give_up_oldest(&self) -> Option<Arc<Segment>> {
        let mut writer = lock(&self.writer);
        let segment = self.oldest()?;
        if writer.active.as_ref().is_some_and(|active| Arc::ptr_eq(&active.segment, &segment)) {
            self.end_segment(&mut writer);
        }
        lock(&self.segments).pop_front()
    }

    /// Ends the active segment, so that it can be read to its end and removed.
    #[cfg(test)]
    pub(super) fn seal(&self) {
        self.end_segment(&mut lock(&self.writer));
    }

    /// The disk, for the reader.
    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    fn begin_segment(&self, number: u64) -> io::Result<Active> {
        let path = self.dir.join(format!("{number:016x}.seg"));
        let id = Uuid::now_v7();
        let mut head = Vec::with_capacity(SEGMENT_HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(id.as_bytes());
        let begun_ms = crate::clock::wall_ms();
        head.extend_from_slice(&begun_ms.to_le_bytes());
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        let file = self.disk.create(&path)?;
        if let Err(error) = self.disk.write_all_at(&file, &head, 0) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let segment = Arc::new(Segment {
            id,
            path,
            committed: AtomicU64::new(SEGMENT_HEAD_BYTES as u64),
            sealed: AtomicBool::new(false),
        });
        lock(&self.segments).push_back(segment.clone());
        Ok(Active { file: Arc::new(file), segment, begun_ms })
    }
}

impl Writer {
    fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            active.segment.sealed.store(true, Ordering::Release);
        }
    }
}
