//! The write-ahead log: rows on disk before the client sees the end of its answer.
//!
//! Stage 12 of the walk. Append-only segment files in `data_dir/wal`. `append` counts rows, `group`
//! gathers those of one moment, `sync` waits for the disk, `reader` is the side of the shipper and
//! of the exporter of traces, each with a place of its own ([`Side`]).
//!
//! Guarantees: when [`Wal::append`] succeeds, the record is in the page cache, so it survives the
//! process, however that ends. A failed write leaves nothing that a reader could take for a record.
//! A segment found at start is only read, never written to again. A segment is removed when every
//! side has finished it, the oldest first. Does not: wait for the disk, except in [`Wal::sync`].
//!
//! # Bounds
//! `WAL_RECORD_BYTES_MAX` for a record; [`WalLimits`] for a segment and for all of them. At the
//! last bound the newest row is refused and counted as lost; calls continue. A segment is ended
//! after `WAL_SEGMENT_AGE_MAX`, so that stored rows are removed from here, however few there are.

pub(crate) mod append;
pub(crate) mod group;
pub(crate) mod position;
pub(crate) mod reader;
pub(crate) mod segment;
pub(crate) mod sync;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use self::position::Position;
use self::segment::{Disk, MAGIC, Recognised, SEGMENT_HEAD_BYTES, Segment, number_of, recognise};
use crate::ailog::private;
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
        WalLimits {
            segment_bytes_max: bounds::WAL_SEGMENT_BYTES_MAX,
            total_bytes_max: bounds::WAL_BYTES_MAX,
        }
    }
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the write-ahead log has reached its bound")]
    Full,
    #[error("the write-ahead log cannot be written")]
    Io(#[source] io::Error),
    /// The next start may find a part of it; a second write could store it twice.
    #[error("the write-ahead log cannot be written, and the incomplete write cannot be undone")]
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

/// The files and rows written since the last sync.
#[derive(Default)]
struct Unsynced {
    rows: u64,
    /// Segments that ended since.
    ended: Vec<Arc<File>>,
    /// Segments of an earlier process, which may have ended before they were on the disk.
    found: Vec<PathBuf>,
    /// A segment was begun, so its name must reach the disk too.
    began: bool,
}

/// A reader of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The shipper, for the store.
    Store,
    /// The exporter of traces.
    Traces,
}

/// The segments that a side has not finished, oldest first.
struct Queues {
    store: VecDeque<Arc<Segment>>,
    /// `None`: traces are not exported, and no segment waits for them.
    traces: Option<VecDeque<Arc<Segment>>>,
}

impl Queues {
    fn of(&self, side: Side) -> Option<&VecDeque<Arc<Segment>>> {
        match side {
            Side::Store => Some(&self.store),
            Side::Traces => self.traces.as_ref(),
        }
    }

    /// Takes the oldest segment of a side; says whether the other one has finished it, too.
    fn pop(&mut self, side: Side) -> Option<(Arc<Segment>, bool)> {
        let segment = match side {
            Side::Store => self.store.pop_front(),
            Side::Traces => self.traces.as_mut()?.pop_front(),
        }?;
        let other = match side {
            Side::Store => self.traces.as_ref(),
            Side::Traces => Some(&self.store),
        };
        let waits = other.is_some_and(|queue| queue.iter().any(|s| s.id == segment.id));
        Some((segment, !waits))
    }

    fn push(&mut self, segment: &Arc<Segment>) {
        self.store.push_back(Arc::clone(segment));
        if let Some(traces) = &mut self.traces {
            traces.push_back(Arc::clone(segment));
        }
    }
}

/// The files found at start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Segments with records.
    pub(crate) segments: usize,
    /// Files that are not segments of this version; renamed.
    pub(crate) quarantined: usize,
}

/// The writing side.
pub(crate) struct Wal {
    dir: PathBuf,
    limits: WalLimits,
    disk: Box<dyn Disk>,
    writer: Mutex<Writer>,
    /// Set at the first request for a sync: a segment that ends stays open until it is synced.
    keeps_until_synced: AtomicBool,
    queues: Mutex<Queues>,
    /// Bytes of records written, including those found at start.
    written: AtomicU64,
    /// Bytes of records that the shipper has finished.
    taken: AtomicU64,
    /// The same of the exporter of traces.
    traced: AtomicU64,
}

impl Wal {
    /// Opens the folder and recognises the segments that an earlier process left.
    ///
    /// # Errors
    /// The folder cannot be created or read.
    pub(crate) fn open(
        dir: &Path,
        limits: WalLimits,
        disk: Box<dyn Disk>,
    ) -> io::Result<(Wal, Found)> {
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
                // The process ended while it began the segment: it holds no record.
                Recognised::Begun => fs::remove_file(&path)?,
                Recognised::Foreign => {
                    found.quarantined += 1;
                    let mut aside = path.with_extension("quarantined");
                    if aside.exists() {
                        // Numbers restart when no segment is left.
                        aside =
                            path.with_extension(format!("{}.quarantined", Uuid::now_v7().simple()));
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
            queues: Mutex::new(Queues { store: segments, traces: None }),
            written: AtomicU64::new(bytes),
            taken: AtomicU64::new(0),
            traced: AtomicU64::new(0),
        };
        Ok((wal, found))
    }

    /// From now on a segment is kept until its traces are exported, too. To be called before any
    /// reader is made.
    pub(crate) fn keep_for_traces(&self) {
        let mut queues = lock(&self.queues);
        queues.traces = Some(queues.store.clone());
    }

    /// Writes one record (see [`segment::record`]).
    ///
    /// # Errors
    /// The log is at its bound, or the disk does not take the record. Nothing of the record
    /// remains, unless the error is [`AppendError::Unclean`].
    pub(crate) fn append(&self, record: &[u8]) -> Result<(), AppendError> {
        self.append_all(record, 1)
    }

    /// Writes `rows` concatenated records in one write: all of them or none.
    ///
    /// # Errors
    /// As [`Wal::append`].
    pub(crate) fn append_all(&self, records: &[u8], rows: u64) -> Result<(), AppendError> {
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
            // A later start would take a part of the records for written. It is cut off; if that
            // fails, it is overwritten, which needs no room on the disk, and the segment is ended.
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
    pub(crate) fn keep_until_synced(&self) {
        // Read first: it is nearly always set, and a write would take the cache line from other
        // threads.
        if !self.keeps_until_synced() {
            self.keeps_until_synced.store(true, Ordering::Release);
        }
    }

    pub(crate) fn keeps_until_synced(&self) -> bool {
        self.keeps_until_synced.load(Ordering::Acquire)
    }

    /// Waits until everything written is on the disk. Returns the mark (see [`Wal::written`]) up to
    /// which it synced and, if the disk failed, the error and the number of rows that may be
    /// missing. Those segments are ended: a second sync of the same file could succeed without the
    /// pages that the first one lost.
    pub(crate) fn sync(&self) -> (u64, Option<(io::Error, u64)>) {
        let mut writer = lock(&self.writer);
        let unsynced = std::mem::take(&mut writer.unsynced);
        let mark = self.written();
        let active = writer.active.as_ref().map(|active| Arc::clone(&active.file));
        drop(writer);
        // The lock is free meanwhile: appends continue while the disk works.
        let mut error = None;
        for file in unsynced.ended.iter().chain(&active) {
            error = self.disk.sync_file(file).err().or(error);
        }
        for path in &unsynced.found {
            match File::open(path) {
                Ok(file) => error = self.disk.sync_file(&file).err().or(error),
                // It was stored and removed meanwhile.
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
            // Rows written meanwhile may be in the same file, which is not synced again: suspect
            // too.
            let rows = unsynced.rows + std::mem::take(&mut writer.unsynced.rows);
            return (self.written(), Some((error, rows)));
        }
        (mark, Some((error, unsynced.rows)))
    }

    /// Ends the active segment if it was begun before `begun_ms` and holds a record.
    pub(crate) fn end_if_begun_before(&self, begun_ms: i64) {
        let mut writer = lock(&self.writer);
        let is_old = |active: &Active| {
            active.begun_ms < begun_ms && active.segment.extent().0 > SEGMENT_HEAD_BYTES as u64
        };
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

    /// Bytes of records that the shipper has not finished.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_of(Side::Store)
    }

    /// Bytes of records that a side has not finished.
    pub(crate) fn bytes_of(&self, side: Side) -> u64 {
        self.written().saturating_sub(self.taken_of(side).load(Ordering::Acquire))
    }

    fn taken_of(&self, side: Side) -> &AtomicU64 {
        match side {
            Side::Store => &self.taken,
            Side::Traces => &self.traced,
        }
    }

    /// Bytes written so far, as a mark to wait for with [`Wal::is_taken`].
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether the shipper has finished everything up to `mark`.
    pub(crate) fn is_taken(&self, mark: u64) -> bool {
        self.taken.load(Ordering::Acquire) >= mark
    }

    /// The oldest segment that the shipper has not finished.
    #[cfg(test)]
    pub(crate) fn oldest(&self) -> Option<Arc<Segment>> {
        self.oldest_of(Side::Store)
    }

    /// The oldest segment that a side has not finished.
    pub(crate) fn oldest_of(&self, side: Side) -> Option<Arc<Segment>> {
        lock(&self.queues).of(side)?.front().cloned()
    }

    /// Whether a side still has a segment with that id.
    pub(crate) fn has(&self, side: Side, id: Uuid) -> bool {
        lock(&self.queues).of(side).is_some_and(|queue| queue.iter().any(|s| s.id == id))
    }

    /// A position as the index of its segment and the offset in it; `None` if the segment is gone.
    pub(crate) fn place(&self, position: Position) -> Option<(usize, u64)> {
        let segment = lock(&self.queues).store.iter().position(|s| s.id == position.segment)?;
        Some((segment, position.offset))
    }

    /// A side has finished `length` bytes of records.
    pub(crate) fn taken(&self, side: Side, length: u64) {
        self.taken_of(side).fetch_add(length, Ordering::Release);
    }

    /// Removes the oldest segment of a side, which has finished it, unless the other side has not.
    /// If the file cannot be removed, it is emptied: the next start could not know that its rows
    /// are stored, if the segment of the store's position is gone by then.
    pub(crate) fn remove_oldest(&self, side: Side) {
        // The side that is behind removes, so the order holds.
        let Some((segment, true)) = lock(&self.queues).pop(side) else { return };
        let Err(error) = self.disk.remove_file(&segment.path) else { return };
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        let file = File::options().write(true).open(&segment.path);
        let emptied =
            file.and_then(|file| self.disk.set_len(&file, SEGMENT_HEAD_BYTES as u64)).is_ok();
        tracing::warn!(
            event = "segment_not_removed",
            %error, emptied, path = %segment.path.display(), "a stored log segment \
            cannot be removed");
    }

    /// Takes the oldest segment, which cannot be read, from a side and ends it. Its file stays.
    pub(crate) fn give_up_oldest(&self, side: Side) -> Option<Arc<Segment>> {
        let mut writer = lock(&self.writer);
        let segment = self.oldest_of(side)?;
        if writer.active.as_ref().is_some_and(|active| Arc::ptr_eq(&active.segment, &segment)) {
            self.end_segment(&mut writer);
        }
        lock(&self.queues).pop(side).map(|(segment, _)| segment)
    }

    /// Ends the active segment, so that the reader can finish and remove it.
    #[cfg(test)]
    pub(crate) fn seal(&self) {
        self.end_segment(&mut lock(&self.writer));
    }

    /// The disk, for the reader.
    pub(crate) fn disk(&self) -> &dyn Disk {
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
        lock(&self.queues).push(&segment);
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
