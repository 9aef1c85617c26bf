//! Rows as a Parquet file: a row group after the other, and the footer at the end.
//!
//! Pure: it appends to a buffer and knows how much it has appended. Written here, because the
//! crates that write Parquet are mostly readers and bring a calendar and big numbers with them;
//! DuckDB and PyArrow read the files in a test.
//!
//! Guarantees: times are timestamps in UTC, amounts decimals of nine digits after the point; tags
//! and attempts are JSON text; names and order of the columns are those of the log.
//!
//! # Bounds
//! A row group ends at the given numbers of rows and bytes; the last row may exceed the second.
//!
//! # Source
//! `apache/parquet-format`, `parquet.thrift` and `Encodings.md`, version 2.12, read in November
//! 2026.

mod column;
mod thrift;

use self::column::{Chunk, Waiting, schema};
use self::thrift::write_struct;
use super::Form;
use crate::ailog::columns::COLUMNS;
use crate::ailog::store::measures::Values;

/// The first and the last bytes of a file.
const MAGIC: &[u8] = b"PAR1";
/// The version of the format: all that is used here is of the first one.
const VERSION: i32 = 1;

/// The format.
pub(crate) struct Parquet {
    waiting: Vec<Waiting>,
    rows: usize,
    groups: Vec<Group>,
    /// Bytes that were appended.
    written: u64,
    /// Rows, and bytes before compression, of a row group.
    group_max: (usize, usize),
}

/// A row group that is in the file.
struct Group {
    rows: usize,
    chunks: Vec<Chunk>,
}

impl Form for Parquet {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        self.written += MAGIC.len() as u64;
    }

    fn row(&mut self, row: &Values<'_>, out: &mut Vec<u8>) {
        let mut bytes = 0;
        for (place, (column, waiting)) in COLUMNS.iter().zip(&mut self.waiting).enumerate() {
            waiting.push(column, row.get(place));
            bytes += waiting.bytes();
        }
        self.rows += 1;
        if self.rows >= self.group_max.0 || bytes >= self.group_max.1 {
            self.write_group(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.rows > 0 {
            self.write_group(out);
        }
        let before = out.len();
        self.write_footer(out);
        let length = (out.len() - before) as u32;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(MAGIC);
    }
}

impl Parquet {
    /// A file whose row groups end at so many rows or bytes.
    pub(crate) fn new(rows_max: usize, bytes_max: usize) -> Parquet {
        let waiting = vec![Waiting::default(); COLUMNS.len()];
        let group_max = (rows_max, bytes_max);
        Parquet { waiting, rows: 0, groups: Vec::new(), written: 0, group_max }
    }

    fn write_group(&mut self, out: &mut Vec<u8>) {
        let mut chunks = Vec::with_capacity(COLUMNS.len());
        for waiting in &mut self.waiting {
            let before = out.len();
            chunks.push(waiting.write(self.written, out));
            self.written += (out.len() - before) as u64;
        }
        self.groups.push(Group { rows: std::mem::take(&mut self.rows), chunks });
    }

    fn write_footer(&self, out: &mut Vec<u8>) {
        let rows: usize = self.groups.iter().map(|group| group.rows).sum();
        // The root, and a leaf for each column.
        let elements: Vec<Option<usize>> =
            [None].into_iter().chain((0..COLUMNS.len()).map(Some)).collect();
        write_struct(out, |file| {
            file.i32(1, VERSION);
            file.structures(2, &elements, |element, place| match place {
                Some(place) => schema(element, &COLUMNS[*place]),
                None => {
                    element.bytes(4, b"ai_log");
                    element.i32(5, COLUMNS.len() as i32);
                }
            });
            file.i64(3, rows as i64);
            file.structures(4, &self.groups, |fields, group| {
                let places: Vec<usize> = (0..group.chunks.len()).collect();
                fields.structures(1, &places, |chunk, place| {
                    group.chunks[*place].describe(chunk, &COLUMNS[*place]);
                });
                fields.i64(2, group.chunks.iter().map(Chunk::bytes).sum());
                fields.i64(3, group.rows as i64);
            });
            file.bytes(6, concat!("tollgate version ", env!("CARGO_PKG_VERSION")).as_bytes());
        });
    }
}
