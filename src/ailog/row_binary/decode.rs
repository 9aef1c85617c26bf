//! The values of an encoded row.
//!
//! Pure. Guarantees: any bytes give values or [`NotARow`], never a panic. Does not: copy.

use super::Type;
use super::nested::{Attempts, Tags};
use super::parts::{NotARow, Unread};

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
    unread: Unread<'a>,
}

impl<'a> Decoder<'a> {
    /// Begins at the first column.
    pub(crate) fn new(row: &'a [u8]) -> Decoder<'a> {
        Decoder { unread: Unread(row) }
    }

    /// The next value; `of` is the type of its column.
    ///
    /// # Errors
    /// The bytes end too early, or do not hold such a value.
    #[inline]
    pub(crate) fn next(&mut self, of: Type) -> Result<Value<'a>, NotARow> {
        match of {
            Type::Uuid => {
                let (high, low) = (self.unread.u64()?, self.unread.u64()?);
                Ok(Value::Uuid(uuid::Uuid::from_u64_pair(high, low)))
            }
            Type::Millis => Ok(Value::Millis(i64::from_le_bytes(self.unread.array()?))),
            Type::Text | Type::Label => Ok(Value::Text(self.unread.text()?)),
            Type::Bool => Ok(Value::Bool(self.unread.array::<1>()?[0] != 0)),
            Type::U8 => Ok(Value::Integer(u64::from(self.unread.array::<1>()?[0]))),
            Type::U16 => Ok(Value::Integer(u64::from(u16::from_le_bytes(self.unread.array()?)))),
            Type::U32 => Ok(Value::Integer(u64::from(u32::from_le_bytes(self.unread.array()?)))),
            Type::U64 => Ok(Value::Integer(self.unread.u64()?)),
            Type::Tags => {
                let (tags, rest) = Tags::read(self.unread)?;
                self.unread = rest;
                Ok(Value::Tags(tags))
            }
            Type::Attempts => {
                let (attempts, rest) = Attempts::read(self.unread)?;
                self.unread = rest;
                Ok(Value::Attempts(attempts))
            }
            _ if self.unread.is_null()? => Ok(Value::Null),
            Type::NanoUsd => Ok(Value::NanoUsd(i64::from_le_bytes(self.unread.array()?))),
            Type::OptionalText | Type::OptionalLabel => Ok(Value::Text(self.unread.text()?)),
            Type::OptionalFloat => Ok(Value::Float(f64::from_le_bytes(self.unread.array()?))),
        }
    }

    /// The bytes of the next value.
    ///
    /// # Errors
    /// The bytes end too early, or do not hold such a value.
    pub(crate) fn raw(&mut self, of: Type) -> Result<&'a [u8], NotARow> {
        let before = self.unread.0;
        self.next(of)?;
        Ok(&before[..before.len() - self.unread.0.len()])
    }

    /// The bytes that are still to be read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.unread.0
    }

    /// Whether everything was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.unread.0.is_empty()
    }
}
