//! The values of an encoded row.
//!
//! Pure. Guarantees: any bytes give values or [`NotARow`], never a panic. Does not: copy.

use super::Type;
use super::nested::{Attempts, EncodedAttempt, Tags};

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Uuid(uuid::Uuid),
    Millis(i64),
    /// Valid UTF-8.
    Text(&'a [u8]),
    Bool(bool),
    Integer(u64),
    NanoUsd(i64),
    Float(f64),
    Tags(Tags<'a>),
    Attempts(Attempts<'a>),
}

/// Reads the values of one encoded row, in the order of its columns, without copying.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

/// The bytes are not a row of the expected columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record does not hold a row of this schema")]
pub(crate) struct NotARow;

impl<'a> Decoder<'a> {
    /// Begins at the first column.
    pub(crate) fn new(row: &'a [u8]) -> Decoder<'a> {
        Decoder { rest: row }
    }

    /// The next value; `of` is the type of its column.
    ///
    /// # Errors
    /// The bytes end too early, or do not hold such a value.
    pub(crate) fn next(&mut self, of: Type) -> Result<Value<'a>, NotARow> {
        match of {
            Type::Uuid => {
                let (high, low) = (self.u64()?, self.u64()?);
                Ok(Value::Uuid(uuid::Uuid::from_u64_pair(high, low)))
            }
            Type::Millis => Ok(Value::Millis(i64::from_le_bytes(self.array()?))),
            Type::Text | Type::Label => Ok(Value::Text(self.text()?)),
            Type::Bool => Ok(Value::Bool(self.array::<1>()?[0] != 0)),
            Type::U8 => Ok(Value::Integer(u64::from(self.array::<1>()?[0]))),
            Type::U16 => Ok(Value::Integer(u64::from(u16::from_le_bytes(self.array()?)))),
            Type::U32 => Ok(Value::Integer(u64::from(u32::from_le_bytes(self.array()?)))),
            Type::U64 => Ok(Value::Integer(self.u64()?)),
            Type::Tags => {
                let (tags, rest) = Tags::read(self.rest)?;
                self.rest = rest;
                Ok(Value::Tags(tags))
            }
            Type::Attempts => {
                let (attempts, rest) = Attempts::read(self.rest)?;
                self.rest = rest;
                Ok(Value::Attempts(attempts))
            }
            _ if self.is_null()? => Ok(Value::Null),
            Type::NanoUsd => Ok(Value::NanoUsd(i64::from_le_bytes(self.array()?))),
            Type::OptionalText | Type::OptionalLabel => Ok(Value::Text(self.text()?)),
            Type::OptionalFloat => Ok(Value::Float(f64::from_le_bytes(self.array()?))),
        }
    }

    /// Whether everything was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that were not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The number of entries of a value that holds several.
    pub(super) fn count(&mut self) -> Result<u8, NotARow> {
        let [count] = self.array()?;
        if count < 0x80 { Ok(count) } else { Err(NotARow) }
    }

    /// One attempt.
    pub(super) fn attempt(&mut self) -> Result<EncodedAttempt<'a>, NotARow> {
        let mut text = || str::from_utf8(self.text()?).map_err(|_| NotARow);
        let provider = text()?;
        let status = u16::from_le_bytes(self.array()?);
        let error = str::from_utf8(self.text()?).map_err(|_| NotARow)?;
        Ok(EncodedAttempt { provider, status, error, ms: u32::from_le_bytes(self.array()?) })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotARow> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(NotARow)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u64(&mut self) -> Result<u64, NotARow> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn is_null(&mut self) -> Result<bool, NotARow> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(NotARow),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], NotARow> {
        let mut length = 0usize;
        for shift in (0..28).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let (text, rest) = self.rest.split_at_checked(length).ok_or(NotARow)?;
                self.rest = rest;
                return Ok(text);
            }
        }
        Err(NotARow)
    }
}
