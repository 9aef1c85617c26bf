//! The reading side of the write-ahead log: records become batches, stored segments are removed.
//!
//! Stage 12 of the walk, on the shipper's thread and on that of the exporter of traces, each with a
//! place of its own.
//!
//! Guarantees: a batch is a range of one segment, and the same range always gives the same rows.
//! Damage (a torn tail, flipped bits, zeroes) is skipped up to the next whole record and counted;
//! it never stops the reader. An incomplete record at the very end of a segment is not damage: its
//! process ended while it wrote. Does not: decide when a batch is stored.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::position::Position;
use super::segment::{MARKER, RECORD_HEAD_BYTES, SEGMENT_HEAD_BYTES, Segment, TRACED, split};
use super::{Side, Wal};
use crate::ailog::columns;
use crate::bounds::{BATCH_BYTES_MAX, WAL_RECORD_BYTES_MAX};

/// Bounds of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

/// The place of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// End of the row in [`Batch::payload`].
    pub(crate) payload_end: usize,
    /// End of its record in the segment.
    pub(crate) segment_end: u64,
    /// End of its part of [`Batch::traces`].
    pub(crate) trace_end: usize,
}

/// The rows of one range of one segment.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The segment that the range is in.
    pub(crate) segment: Uuid,
    /// The range, in bytes of the segment.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// End of the range under which these rows may have reached the store before: `end`, or more if
    /// a power cut has shortened the segment since.
    pub(crate) sealed_end: u64,
    /// The rows in RowBinary, one after the other, all in today's columns.
    pub(crate) payload: Vec<u8>,
    pub(crate) rows: Vec<Span>,
    /// The parts of traces that are not in the rows (see `traced`); read for [`Side::Traces`]
    /// alone.
    pub(crate) traces: Vec<u8>,
    /// Damaged stretches in the range.
    pub(crate) damaged: u32,
    /// The range ends with an incomplete record. Its `append` did not return, so no client saw the
    /// end of that answer, unless a power cut took the rest of the record.
    pub(crate) unfinished: bool,
    /// Nothing was written after the range when it was read.
    pub(crate) leaves_nothing: bool,
    /// Bodies of whole records that are not rows of a known version, for the dead-letter file.
    pub(crate) unknown: Vec<Vec<u8>>,
}

impl Batch {
    /// The encoded row at `index`.
    pub(crate) fn row(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.rows[before].payload_end);
        &self.payload[start..self.rows[index].payload_end]
    }

    /// The part of the row at `index` that its trace needs; empty if it has none.
    pub(crate) fn trace(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.rows[before].trace_end);
        &self.traces[start..self.rows[index].trace_end]
    }

    fn clear(&mut self) {
        self.payload.clear();
        self.traces.clear();
        self.rows.clear();
        self.unknown.clear();
        (self.damaged, self.unfinished, self.leaves_nothing) = (0, false, false);
    }
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A batch to be stored.
    Batch,
    /// Everything in the oldest segment is stored and the segment has ended: it may be removed.
    SegmentDone,
    /// Everything that was written is stored.
    Nothing,
}

/// Reads the log from a position on.
pub(crate) struct WalReader {
    wal: Arc<Wal>,
    side: Side,
    /// The oldest segment, opened, and how far it is stored.
    current: Option<(Arc<Segment>, File)>,
    offset: u64,
    resumed: bool,
    chunk: Vec<u8>,
    batch: Batch,
}

impl WalReader {
    /// A reader that continues at `stored`: segments before it were stored by an earlier process
    /// and are removed. If no segment has that id, nothing in the log was ever stored.
    pub(crate) fn new(wal: Arc<Wal>, stored: Option<Position>) -> WalReader {
        WalReader::of(Side::Store, wal, stored)
    }

    /// A reader for a side, in the same way.
    pub(crate) fn of(side: Side, wal: Arc<Wal>, stored: Option<Position>) -> WalReader {
        let mut reader = WalReader {
            wal,
            side,
            current: None,
            offset: SEGMENT_HEAD_BYTES as u64,
            resumed: false,
            chunk: Vec::new(),
            batch: Batch::default(),
        };
        if let Some(position) = stored.filter(|p| reader.wal.has(side, p.segment)) {
            reader.resumed = true;
            while let Some(segment) = reader.wal.oldest_of(side) {
                let records_end = segment.extent().0;
                if segment.id == position.segment {
                    reader.offset = position.offset.clamp(SEGMENT_HEAD_BYTES as u64, records_end);
                    reader.wal.taken(side, reader.offset - SEGMENT_HEAD_BYTES as u64);
                    break;
                }
                let records = records_end.saturating_sub(SEGMENT_HEAD_BYTES as u64);
                reader.wal.taken(side, records);
                reader.wal.remove_oldest(side);
            }
        }
        reader
    }

    /// Reads the next batch, up to `end` if its range is already known, into [`WalReader::batch`].
    ///
    /// # Errors
    /// The segment cannot be read.
    pub(crate) fn next(&mut self, limits: BatchLimits, end: Option<u64>) -> io::Result<Next> {
        let Some(segment) = self.open_oldest()? else { return Ok(Next::Nothing) };
        let (committed, sealed) = segment.extent();
        let known = end.filter(|end| *end > self.offset && (*end <= committed || sealed));
        let until = known.unwrap_or(committed).min(committed);
        if self.offset < until {
            // A range that was fixed before is read whole, whatever the limits are today.
            let limits = if known.is_some() {
                BatchLimits { rows_max: usize::MAX, ..limits }
            } else {
                limits
            };
            self.read(&segment, until, limits)?;
            self.batch.sealed_end = known.unwrap_or(0).max(self.batch.end);
            self.batch.leaves_nothing = !sealed && self.batch.end == committed;
            return Ok(Next::Batch);
        }
        Ok(if sealed { Next::SegmentDone } else { Next::Nothing })
    }

    /// Removes the oldest segment, after [`Next::SegmentDone`].
    pub(crate) fn remove_done(&mut self) {
        self.current = None;
        self.offset = SEGMENT_HEAD_BYTES as u64;
        self.wal.remove_oldest(self.side);
    }

    /// Whether the segment of the position given at the start was found.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The batch that `next` read last.
    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Frees the memory that catching up needed; keeps as much as a quiet log needs.
    pub(crate) fn release(&mut self) {
        const KEPT_BYTES: usize = 1 << 20;
        if self.chunk.capacity() > KEPT_BYTES {
            self.chunk = Vec::new();
        }
        self.batch.clear();
        self.batch.payload.shrink_to(KEPT_BYTES);
    }

    /// The range up to `end` is stored.
    pub(crate) fn advance(&mut self, end: u64) {
        self.wal.taken(self.side, end.saturating_sub(self.offset));
        self.offset = end;
    }

    /// Gives up the oldest segment, which cannot be read: for the store its file stays under
    /// another name. Returns that name, and how many bytes were not read.
    pub(crate) fn quarantine(&mut self) -> Option<(PathBuf, u64)> {
        let segment = self.wal.give_up_oldest(self.side);
        self.current = None;
        let from = std::mem::replace(&mut self.offset, SEGMENT_HEAD_BYTES as u64);
        let segment = segment?;
        let bytes = segment.extent().0.saturating_sub(from);
        self.wal.taken(self.side, bytes);
        if self.side == Side::Traces {
            // The shipper removes it, or puts it aside.
            return Some((segment.path.clone(), bytes));
        }
        // With its id: a later segment may have the same number.
        let aside = segment.path.with_extension(format!("{}.quarantined", segment.id.simple()));
        let renamed = std::fs::rename(&segment.path, &aside).is_ok();
        Some((if renamed { aside } else { segment.path.clone() }, bytes))
    }

    fn open_oldest(&mut self) -> io::Result<Option<Arc<Segment>>> {
        if let Some((segment, _)) = &self.current {
            return Ok(Some(segment.clone()));
        }
        let Some(segment) = self.wal.oldest_of(self.side) else { return Ok(None) };
        let file = File::open(&segment.path)?;
        self.current = Some((segment.clone(), file));
        Ok(Some(segment))
    }

    /// Fills `batch` with the records from `offset` to `until`, at most one chunk and `limits`.
    fn read(&mut self, segment: &Segment, until: u64, limits: BatchLimits) -> io::Result<()> {
        let Some((_, file)) = &self.current else { return Ok(()) };
        // At least one whole record, so that every call makes progress.
        let most = limits.bytes_max.clamp(WAL_RECORD_BYTES_MAX + RECORD_HEAD_BYTES, BATCH_BYTES_MAX)
            as u64;
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
                Parsed::Record { version, body, length } => {
                    at += length;
                    in_damage = false;
                    let segment_end = self.offset + at as u64;
                    let (row, trace) = split(version, body);
                    match columns::missing(version & !TRACED, row) {
                        Ok(added) => {
                            batch.payload.extend_from_slice(row);
                            batch.payload.extend_from_slice(added);
                            if self.side == Side::Traces {
                                batch.traces.extend_from_slice(trace);
                            }
                            batch.rows.push(Span {
                                payload_end: batch.payload.len(),
                                segment_end,
                                trace_end: batch.traces.len(),
                            });
                        }
                        Err(_) => batch.unknown.push(body.to_vec()),
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
                        if whole {
                            length - at
                        } else {
                            (length - at).saturating_sub(MARKER.len() - 1)
                        }
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
        body: &'a [u8],
        length: usize,
    },
    /// It may be the beginning of a record that continues after these bytes.
    Incomplete,
    Damage,
}

/// Reads one record at the start of `bytes`.
fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<RECORD_HEAD_BYTES>() else {
        let begins =
            bytes[..bytes.len().min(MARKER.len())] == MARKER[..bytes.len().min(MARKER.len())];
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
        Some((version, body)) if crc == u32::from_le_bytes([c0, c1, c2, c3]) => {
            Parsed::Record { version: *version, body, length: RECORD_HEAD_BYTES + length }
        }
        _ => Parsed::Damage,
    }
}
