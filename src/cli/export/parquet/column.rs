//! A column of a Parquet file: its type, and the values that wait for their row group.
//!
//! Pure. Guarantees: a required column has a value for every row. Values are encoded plainly; the
//! compression finds what repeats.

use super::thrift::{Fields, varint, write_struct};
use crate::ailog::columns::{Column, Type, Value};
use crate::cli::export::nested_json;

// The numbers of `parquet.thrift`.
const BOOLEAN: i32 = 0;
const INT32: i32 = 1;
const INT64: i32 = 2;
const DOUBLE: i32 = 5;
const BYTE_ARRAY: i32 = 6;
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const UTF8: i32 = 0;
const DECIMAL: i32 = 5;
const TIMESTAMP_MILLIS: i32 = 9;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const UNCOMPRESSED: i32 = 0;
const ZSTD: i32 = 6;
const DATA_PAGE: i32 = 0;
/// Digits of an amount, and those after the point.
const PRECISION: i32 = 18;
const SCALE: i32 = 9;

/// The physical type of a column.
const fn physical(of: Type) -> i32 {
    match of {
        Type::Bool => BOOLEAN,
        Type::U8 | Type::U16 => INT32,
        Type::U32 | Type::U64 | Type::NanoUsd | Type::Millis => INT64,
        Type::OptionalFloat => DOUBLE,
        Type::Uuid
        | Type::Text
        | Type::Label
        | Type::OptionalText
        | Type::OptionalLabel
        | Type::Tags
        | Type::Attempts => BYTE_ARRAY,
    }
}

const fn is_optional(of: Type) -> bool {
    matches!(of, Type::NanoUsd | Type::OptionalText | Type::OptionalLabel | Type::OptionalFloat)
}

/// Writes a column's element of the schema.
pub(crate) fn schema(fields: &mut Fields<'_>, column: &Column) {
    fields.i32(1, physical(column.of));
    fields.i32(3, if is_optional(column.of) { OPTIONAL } else { REQUIRED });
    fields.bytes(4, column.name.as_bytes());
    match column.of {
        Type::NanoUsd => {
            fields.i32(6, DECIMAL);
            fields.i32(7, SCALE);
            fields.i32(8, PRECISION);
            fields.structure(10, |logical| {
                logical.structure(5, |decimal| {
                    decimal.i32(1, SCALE);
                    decimal.i32(2, PRECISION);
                });
            });
        }
        Type::Millis => {
            fields.i32(6, TIMESTAMP_MILLIS);
            fields.structure(10, |logical| {
                logical.structure(8, |timestamp| {
                    timestamp.bool(1, true);
                    timestamp.structure(2, |unit| unit.structure(1, |_| {}));
                });
            });
        }
        of if physical(of) == BYTE_ARRAY => {
            fields.i32(6, UTF8);
            fields.structure(10, |logical| logical.structure(1, |_| {}));
        }
        _ => {}
    }
}

/// The values of a column that wait for their row group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    /// The values in their plain encoding, without the absent ones.
    plain: Vec<u8>,
    /// Of booleans: the bits of the last byte that are used.
    bits: u8,
    /// Of an optional column: whether rows have a value, as runs.
    runs: Vec<(bool, u32)>,
    rows: u32,
}

/// A column of a row group that is in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    codec: i32,
    offset: i64,
    rows: u32,
    bytes: i64,
    compressed_bytes: i64,
}

impl Waiting {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.plain.len()
    }

    /// Takes the value of a row.
    pub(crate) fn push(&mut self, column: &Column, value: Value<'_>) {
        self.rows += 1;
        let has_value = value != Value::Null;
        if is_optional(column.of) {
            match self.runs.last_mut() {
                Some((has, rows)) if *has == has_value => *rows += 1,
                _ => self.runs.push((has_value, 1)),
            }
            if !has_value {
                return;
            }
        }
        if let Some(json) = nested_json(column, value) {
            return self.text(json.as_bytes());
        }
        let number = match value {
            Value::Integer(number) => i64::try_from(number).unwrap_or(i64::MAX),
            Value::NanoUsd(number) | Value::Millis(number) => number,
            Value::Bool(is) => return self.bit(is),
            Value::Float(number) => return self.plain.extend_from_slice(&number.to_le_bytes()),
            Value::Text(text) => return self.text(String::from_utf8_lossy(text).as_bytes()),
            Value::Uuid(id) => return self.text(id.to_string().as_bytes()),
            Value::Null | Value::Tags(_) | Value::Attempts(_) => 0,
        };
        match physical(column.of) {
            INT32 => self.plain.extend_from_slice(&(number as i32).to_le_bytes()),
            INT64 => self.plain.extend_from_slice(&number.to_le_bytes()),
            BOOLEAN => self.bit(number != 0),
            _ => self.text(b""),
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(text);
    }

    fn bit(&mut self, is: bool) {
        if self.bits.is_multiple_of(8) {
            self.plain.push(0);
            self.bits = 0;
        }
        if let Some(last) = self.plain.last_mut() {
            *last |= u8::from(is) << self.bits;
        }
        self.bits += 1;
    }

    /// Appends the values as one page, and begins anew. `offset` is the place of its first byte in
    /// the file.
    pub(crate) fn write(&mut self, offset: u64, out: &mut Vec<u8>) -> Chunk {
        let before = out.len();
        let mut page = Vec::with_capacity(self.plain.len() + 16);
        if !self.runs.is_empty() {
            let mut levels = Vec::new();
            for (has_value, rows) in self.runs.drain(..) {
                varint(&mut levels, u64::from(rows) << 1);
                levels.push(u8::from(has_value));
            }
            page.extend_from_slice(&(levels.len() as u32).to_le_bytes());
            page.extend_from_slice(&levels);
        }
        page.append(&mut self.plain);
        let (codec, stored) = match zstd::bulk::compress(&page, 0) {
            Ok(compressed) => (ZSTD, compressed),
            Err(_) => (UNCOMPRESSED, page.clone()),
        };
        let rows = std::mem::take(&mut self.rows);
        write_struct(out, |header| {
            header.i32(1, DATA_PAGE);
            header.i32(2, page.len() as i32);
            header.i32(3, stored.len() as i32);
            header.structure(5, |data| {
                data.i32(1, rows as i32);
                data.i32(2, PLAIN);
                data.i32(3, RLE);
                data.i32(4, RLE);
            });
        });
        let header_bytes = out.len() - before;
        out.extend_from_slice(&stored);
        self.bits = 0;
        Chunk {
            codec,
            offset: offset as i64,
            rows,
            bytes: (header_bytes + page.len()) as i64,
            compressed_bytes: (out.len() - before) as i64,
        }
    }
}

impl Chunk {
    /// Bytes before compression.
    pub(crate) fn bytes(&self) -> i64 {
        self.bytes
    }

    /// Writes it as the footer has it.
    pub(crate) fn describe(&self, fields: &mut Fields<'_>, column: &Column) {
        fields.i64(2, self.offset);
        fields.structure(3, |data| {
            data.i32(1, physical(column.of));
            data.numbers(2, &[PLAIN, RLE]);
            data.texts(3, &[column.name]);
            data.i32(4, self.codec);
            data.i64(5, self.rows.into());
            data.i64(6, self.bytes);
            data.i64(7, self.compressed_bytes);
            data.i64(9, self.offset);
        });
    }
}
