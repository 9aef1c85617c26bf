//! Thrift's compact protocol, as far as Parquet's headers need it: written, never read.
//!
//! Pure.
//!
//! # Source
//! Apache Thrift, `doc/specs/thrift-compact-protocol.md`, read in November 2026.

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Writes the fields of a struct; their numbers grow.
pub(crate) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    last: u8,
}

/// Appends a struct.
pub(crate) fn write_struct(out: &mut Vec<u8>, fill: impl FnOnce(&mut Fields<'_>)) {
    let mut fields = Fields { out, last: 0 };
    fill(&mut fields);
    fields.out.push(0);
}

impl Fields<'_> {
    fn begin(&mut self, number: u8, kind: u8) {
        // The numbers of Parquet's fields are at most 15 apart.
        self.out.push((number - self.last) << 4 | kind);
        self.last = number;
    }

    pub(crate) fn bool(&mut self, number: u8, is: bool) {
        self.begin(number, if is { TRUE } else { FALSE });
    }

    pub(crate) fn i32(&mut self, number: u8, value: i32) {
        self.begin(number, I32);
        varint(self.out, zigzag(value.into()));
    }

    pub(crate) fn i64(&mut self, number: u8, value: i64) {
        self.begin(number, I64);
        varint(self.out, zigzag(value));
    }

    pub(crate) fn bytes(&mut self, number: u8, value: &[u8]) {
        self.begin(number, BINARY);
        put_bytes(self.out, value);
    }

    pub(crate) fn structure(&mut self, number: u8, fill: impl FnOnce(&mut Fields<'_>)) {
        self.begin(number, STRUCT);
        write_struct(self.out, fill);
    }

    /// A list of numbers.
    pub(crate) fn numbers(&mut self, number: u8, values: &[i32]) {
        self.list(number, I32, values.len());
        values.iter().for_each(|value| varint(self.out, zigzag((*value).into())));
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, number: u8, values: &[&str]) {
        self.list(number, BINARY, values.len());
        values.iter().for_each(|value| put_bytes(self.out, value.as_bytes()));
    }

    /// A list of structs.
    pub(crate) fn structures<T>(
        &mut self,
        number: u8,
        items: &[T],
        fill: impl Fn(&mut Fields<'_>, &T),
    ) {
        self.list(number, STRUCT, items.len());
        for item in items {
            write_struct(self.out, |fields| fill(fields, item));
        }
    }

    fn list(&mut self, number: u8, kind: u8, count: usize) {
        self.begin(number, LIST);
        match u8::try_from(count) {
            Ok(count) if count < 15 => self.out.push(count << 4 | kind),
            _ => {
                self.out.push(0xf0 | kind);
                varint(self.out, count as u64);
            }
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Appends a number as LEB128.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
