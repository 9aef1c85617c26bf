//! The reading side of the write-ahead log: records become batches, stored batches make segments disappear.
//!
//! Stage 9 of the walk, on the shipper's thread.
//!
//! Promises: a batch is a range of one segment, and the same range always gives the same rows. Damage (a torn tail,
//! flipped bits, zeroes) is stepped over to the next whole record and counted; it never stops the reader. The beginning of a
//! record at the very end of a segment is no damage: its process ended while it wrote. Does not: decide when a batch is stored.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::columns;
use super::segment::{MARKER, RECORD_HEAD_BYTES, SEGMENT_HEAD_BYTES, Segment};
use super::wal::Wal;
use crate::bounds::{BATCH_BYTES_MAX, WAL_RECORD_BYTES_MAX};

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) segment: Uuid,
    pub(super) offset: u64,
}

/// How much one batch may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
}

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// End of the row in [`Batch::payload`].
    pub(super) payload_end: usize,
    /// End of its record in the segment.
    pub(super) segment_end: u64,
}

/// The rows of one range of one segment.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Which segment.
    pub(super) segment: Uuid,
    /// The range, in bytes of the segment.
    pub(super) start: u64,
    pub(super) end: u64,
    /// End of the range under which these rows may have reached the store before: `end`, or more where a power cut has
    /// made the segment shorter since.
    pub(super) sealed_end: u64,
    /// The rows in RowBinary, one after the other, all in today's schema.
    pub(super) payload: Vec<u8>,
    pub(super) rows: Vec<Span>,
    /// Damaged stretches in the range.
    pub(super) damaged: u32,
    /// The range ends with the beginning of a record. Its `append` did not return, so no client saw the end of that answer,
    /// unless a power cut took the rest of it.
    pub(super) unfinished: bool,
    /// Nothing was written behind the range when it was read.
    pub(super) leaves_nothing: bool,
    /// Whole records that are no rows of this version's schema: raw bodies, for the dead-letter file.
    pub(super) unknown: Vec<Vec<u8>>,
}

impl Batch {
    /// The encoded row at `index`.
    pub(super) fn row(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.rows[before].payload_end);
        &self.payload[start..self.rows[index].payload_end]
    }

    fn clear(&mut self) {
        self.payload.clear();
        self.rows.clear();
        self.unknown.clear();
        (self.damaged, self.unfinished, self.leaves_nothing) = (0, false, false);
    }
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A batch to be stored.
    Batch,
    /// Everything in the oldest segment is stored and nothing will be added: it may be removed.
    SegmentDone,
    /// Everything that was written is stored.
    Nothing,
}

/// Reads the log from a position on.
pub(super) struct Tail {
    wal: Arc<Wal>,
    /// The oldest segment, opened, and how far it is stored.
    current: Option<(Arc<Segment>, File)>,
    offset: u64,
    resumed: bool,
    chunk: Vec<u8>,
    batch: Batch,
}

impl Tail {
    /// A reader that goes on at `stored`: segments before it were stored by an earlier process and are removed. Where no
    /// segment has that id, everything that is there was never stored.
    pub(super) fn new(wal: Arc<Wal>, stored: Option<Position>) -> Tail {
        let mut tail = Tail {
            wal,
            current: None,
            offset: SEGMENT_HEAD_BYTES as u64,
            resumed: false,
            chunk: Vec::new(),
            batch: Batch::default(),
        };
        if let Some(position) = stored.filter(|p| tail.wal.has(p.segment)) {
            tail.resumed = true;
            while let Some(segment) = tail.wal.oldest() {
                let records_end = segment.extent().0;
                if segment.id == position.segment {
                    tail.offset = position.offset.clamp(SEGMENT_HEAD_BYTES as u64, records_end);
                    tail.wal.taken(tail.offset - SEGMENT_HEAD_BYTES as u64);
                    break;
                }
                tail.wal.taken(records_end.saturating_sub(SEGMENT_HEAD_BYTES as u64));
                tail.wal.remove_oldest();
            }
        }
        tail
    }

    /// Looks for the next batch, up to `end` where the range is already known; it is in [`Tail::batch`] then.
    ///
    /// # Errors
    /// The segment cannot be read.
    pub(super) fn next(&mut self, limits: BatchLimits, end: Option<u64>) -> io::Result<Next> {
        let Some(segment) = self.open_oldest()? else { return Ok(Next::Nothing) };
        let (committed, sealed) = segment.extent();
        let known = end.filter(|end| *end > self.offset && (*end <= committed || sealed));
        let until = known.unwrap_or(committed).min(committed);
        if self.offset < until {
            // A range that was sealed before is read whole, whatever the limits are today.
            let limits = if known.is_some() { BatchLimits { rows_max: usize::MAX, ..limits } } else { limits };
            self.read(&segment, until, limits)?;
            self.batch.sealed_end = known.unwrap_or(0).max(self.batch.end);
            self.batch.leaves_nothing = !sealed && self.batch.end == committed;
            return Ok(Next::Batch);
        }
        Ok(if sealed { Next::SegmentDone } else { Next::Nothing })
    }

    /// Removes the segment that [`Next::SegmentDone`] was said of.
    pub(super) fn remove_done(&mut self) {
        self.current = None;
        self.offset = SEGMENT_HEAD_BYTES as u64;
        self.wal.remove_oldest();
    }

    /// Whether the position given at the start was found.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The batch that `next` gave last.
    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Gives back the memory that catching up took; what a quiet log needs is kept.
    pub(super) fn release(&mut self) {
        const KEPT_BYTES: usize = 1 << 20;
        if self.chunk.capacity() > KEPT_BYTES {
            self.chunk = Vec::new();
        }
        self.batch.clear();
        self.batch.payload.shrink_to(KEPT_BYTES);
    }

    /// The range up to `end` is stored.
    pub(super) fn advance(&mut self, end: u64) {
        self.wal.taken(end.saturating_sub(self.offset));
        self.offset = end;
    }

    /// Gives up the oldest segment, which cannot be read: it is left on disk under another name. Says which, and how many
    /// bytes of it were not read.
    pub(super) fn quarantine(&mut self) -> Option<(PathBuf, u64)> {
        let segment = self.wal.give_up_oldest();
        self.current = None;
        let from = std::mem::replace(&mut self.offset, SEGMENT_HEAD_BYTES as u64);
        let segment = segment?;
        let bytes = segment.extent().0.saturating_sub(from);
        self.wal.taken(bytes);
        // With its id: a later segment may have the same number.
        let aside = segment.path.with_extension(format!("{}.quarantined", segment.id.simple()));
        let renamed = std::fs::rename(&segment.path, &aside).is_ok();
        Some((if renamed { aside } else { segment.path.clone() }, bytes))
    }

    fn open_oldest(&mut self) -> io::Result<Option<Arc<Segment>>> {
        if let Some((segment, _)) = &self.current {
            return Ok(Some(segment.clone()));
        }
        let Some(segment) = self.wal.oldest() else { return Ok(None) };
        let file = File::open(&segment.path)?;
        self.current = Some((segment.clone(), file));
        Ok(Some(segment))
    }

    /// Fills `batch` with the records from `offset` to `until`, at most one chunk and `limits`.
    fn read(&mut self, segment: &Segment, until: u64, limits: BatchLimits) -> io::Result<()> {
        let Some((_, file)) = &self.current else { return Ok(()) };
        // At least one whole record, so that every call gets on.
        let most = limits.bytes_max.clamp(WAL_RECORD_BYTES_MAX + RECORD_HEAD_BYTES, BATCH_BYTES_MAX) as u64;
        let length = (until - self.offset).min(most) as usize;
        if self.chunk.len() < length {
            self.chunk.resize(length, 0);
        }
        let chunk = &mut self.chunk[..length];
        self.wal.disk().read_exact_at(file, chunk, self.offset)?;

        let batch = &mut self.batch;
        batch.clear();
        batch.segment = segment.id;
        batch.start = self.offset;
        let whole = self.offset + length as u64 == until;
        let is_end = whole && segment.extent() == (until, true);
        let (mut at, mut in_damage) = (0, false);
        while at < length && batch.rows.len() < limits.rows_max {
            match parse(&chunk[at..]) {
                Parsed::Record { version, row, length } => {
                    at += length;
                    in_damage = false;
                    let segment_end = self.offset + at as u64;
                    match columns::missing(version, row) {
                        Ok(added) => {
                            batch.payload.extend_from_slice(row);
                            batch.payload.extend_from_slice(added);
                            batch.rows.push(Span { payload_end: batch.payload.len(), segment_end });
                        }
                        Err(_) => batch.unknown.push(row.to_vec()),
                    }
                }
                Parsed::Incomplete if !whole && at > 0 => break,
                found @ (Parsed::Incomplete | Parsed::Damage) => {
                    let next = memchr::memmem::find(&chunk[at + 1..], MARKER);
                    if is_end && next.is_none() && matches!(found, Parsed::Incomplete) {
                        batch.unfinished = true;
                        at = length;
                        continue;
                    }
                    batch.damaged += u32::from(!in_damage);
                    in_damage = true;
                    at += 1;
                    at += next.unwrap_or_else(|| {
                        if whole { length - at } else { (length - at).saturating_sub(MARKER.len() - 1) }
                    });
                }
            }
        }
        batch.end = self.offset + at as u64;
        Ok(())
    }
}

enum Parsed<'a> {
    Record {
        version: u8,
        row: &'a [u8],
        length: usize,
    },
    /// It may be the beginning of a record that goes on behind these bytes.
    Incomplete,
    Damage,
}

/// Looks at the front of `bytes`.
fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<RECORD_HEAD_BYTES>() else {
        let begins = bytes[..bytes.len().min(MARKER.len())] == MARKER[..bytes.len().min(MARKER.len())];
        return if begins { Parsed::Incomplete } else { Parsed::Damage };
    };
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if [m0, m1, m2, m3] != *MARKER || length == 0 || length > WAL_RECORD_BYTES_MAX {
        return Parsed::Damage;
    }
    let Some(body) = rest.get(..length) else { return Parsed::Incomplete };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[l0, l1, l2, l3]), body);
    match body.split_first() {
        Some((version, row)) if crc == u32::from_le_bytes([c0, c1, c2, c3]) => {
            Parsed::Record { version: *version, row, length: RECORD_HEAD_BYTES + length }
        }
        _ => Parsed::Damage,
    }
}
