//! The side of the write-ahead log that traces are exported from.
//!
//! A second reader with a position of its own, in the file `otlp-position` of `data_dir`. A segment
//! stays until this reader and the shipper have finished it.
//!
//! Guarantees: everything before the kept position was exported or dropped; a range after it is
//! read again at the next start. Does not: export anything (see `otlp`).

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::columns;
use super::private;
use super::shared::SharedLog;
use super::wal::Side;
use super::wal::position::Position;
use super::wal::reader::{Batch, BatchLimits, Next, WalReader};
use crate::bounds::{OTLP_REQUEST_BYTES_MAX, OTLP_SPANS_MAX};
use crate::clock::wall_ms;

const FILE: &str = "otlp-position";

/// How often reading a segment is tried before it is left out.
const READ_TRIES: u32 = 5;

/// Reads rows for the exporter of traces.
pub(crate) struct Tap {
    log: Arc<SharedLog>,
    reader: WalReader,
    file: PathBuf,
    read_failures: u32,
}

impl Tap {
    /// A reader that continues where the last one stopped. Its log keeps segments for it (see
    /// `Wal::keep_for_traces`).
    pub(crate) fn open(log: Arc<SharedLog>, data_dir: &Path) -> Tap {
        let file = data_dir.join(FILE);
        // Without a position everything that is there is read: rows without a trace have no span.
        let position = fs::read_to_string(&file).ok().and_then(|text| parse(&text));
        let reader = WalReader::of(Side::Traces, Arc::clone(&log.wal), position);
        Tap { log, reader, file, read_failures: 0 }
    }

    /// Reads the next rows; `false` if there are none at present.
    ///
    /// # Errors
    /// The log cannot be read; after some tries the segment is left out.
    pub(crate) fn next(&mut self) -> io::Result<bool> {
        let limits = BatchLimits { rows_max: OTLP_SPANS_MAX, bytes_max: OTLP_REQUEST_BYTES_MAX };
        loop {
            match self.reader.next(limits, None) {
                Ok(Next::Batch) => {
                    self.read_failures = 0;
                    return Ok(true);
                }
                Ok(Next::SegmentDone) => self.reader.remove_done(),
                Ok(Next::Nothing) => {
                    self.reader.release();
                    return Ok(false);
                }
                Err(error) => {
                    self.read_failures += 1;
                    if self.read_failures >= READ_TRIES || error.kind() == io::ErrorKind::NotFound {
                        self.read_failures = 0;
                        self.reader.quarantine();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// The rows that were read last.
    pub(crate) fn batch(&self) -> &Batch {
        self.reader.batch()
    }

    /// Whether a row is so old that the store would delete it.
    pub(crate) fn is_expired(&self, row: &[u8]) -> bool {
        let keep = self.log.control.retention().at(wall_ms());
        let at = columns::created_at_ms(row);
        keep.rows_from_ms.zip(at).is_some_and(|(oldest, at)| at < oldest)
    }

    /// Everything up to `end` of the segment of the rows that were read last is exported or
    /// dropped.
    ///
    /// # Errors
    /// The position cannot be kept: after a restart the range is exported again.
    pub(crate) fn done(&mut self, end: u64) -> io::Result<()> {
        let segment = self.reader.batch().segment;
        self.reader.advance(end);
        self.keep(Position { segment, offset: end })
    }

    fn keep(&self, position: Position) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = private::options().create(true).truncate(true).write(true).open(&new)?;
        file.write_all(format!("{} {}\n", position.segment, position.offset).as_bytes())?;
        fs::rename(&new, &self.file)
    }

    /// Bytes of the log that are not exported.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.log.wal.bytes_of(Side::Traces)
    }
}

fn parse(text: &str) -> Option<Position> {
    let (segment, offset) = text.strip_suffix('\n')?.split_once(' ')?;
    Some(Position { segment: Uuid::parse_str(segment).ok()?, offset: offset.parse().ok()? })
}
