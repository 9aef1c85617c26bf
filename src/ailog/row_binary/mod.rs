//! ClickHouse's RowBinary: how one value becomes bytes, and bytes become a value again.
//!
//! Pure, and without knowledge of the row: `row` declares the columns with [`columns!`]. The
//! write-ahead log and both stores work with exactly these bytes: a row is encoded once, on the
//! call's own thread, and is not decoded on its way to ClickHouse.
//!
//! Guarantees: every encoded row decodes to the values it was made of; every text is valid UTF-8; a
//! row is never longer than a record of the write-ahead log may be.
//!
//! # Source
//! ClickHouse documentation, "RowBinary" and "Data types binary encoding", read in November 2026.

pub(crate) mod decode;
pub(crate) mod iso;
pub(crate) mod kinds;
pub(crate) mod nested;
pub(crate) mod parts;

/// A column of the log: the public contract of both stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) of: Type,
    /// The version of the columns that added it.
    pub(crate) since: u8,
    /// Its meaning, in the words of the documentation.
    pub(crate) doc: &'static str,
}

/// How a column is encoded, and the type it has in each store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Uuid,
    /// Milliseconds since 1970, UTC.
    Millis,
    Text,
    /// Text with few different values.
    Label,
    Bool,
    U8,
    U16,
    U32,
    U64,
    /// 10⁻⁹ USD, or absent.
    NanoUsd,
    OptionalText,
    /// Text with few different values, or absent.
    OptionalLabel,
    OptionalFloat,
    /// Names and values.
    Tags,
    /// Attempts at providers.
    Attempts,
}

impl Type {
    /// The encoding of an unknown value: empty text, zero, or absent.
    pub(crate) const fn unknown(self) -> &'static [u8] {
        match self {
            Type::Uuid => &[0; 16],
            Type::Millis | Type::U64 => &[0; 8],
            Type::U32 => &[0; 4],
            Type::U16 => &[0; 2],
            Type::Text | Type::Label | Type::Bool | Type::U8 | Type::Tags | Type::Attempts => &[0],
            Type::NanoUsd | Type::OptionalText | Type::OptionalLabel | Type::OptionalFloat => &[1],
        }
    }
}

/// Declares the columns of a row, in the order of their bytes. Of each: a comment (which becomes
/// the documentation and the comment in ClickHouse), the name, the kind of value (see [`kinds`]),
/// the version since which it exists, and its value, from the row and from the bodies that fit a
/// record.
macro_rules! columns {
    (|$row:ident, $bodies:ident|
     $(#[doc = $doc:literal] $name:ident: $kind:ident, $since:literal, $value:expr;)+) => {
        /// All columns, in the order of a row's bytes.
        pub(crate) const COLUMNS: [Column; [$($since),+].len()] = [$(Column {
            name: stringify!($name),
            of: kinds::$kind::TYPE,
            since: $since,
            doc: $doc.trim_ascii(),
        }),+];

        /// The values of an encoded row of today's columns. The types are known here, so this is a
        /// third of the work of [`Decoder::next`] in a loop.
        ///
        /// # Errors
        /// The bytes do not begin with such a row.
        pub(crate) fn decode(
            row: &[u8],
        ) -> Result<
            [$crate::ailog::row_binary::decode::Value<'_>; COLUMNS.len()],
            $crate::ailog::row_binary::parts::NotARow,
        > {
            let mut decoder = $crate::ailog::row_binary::decode::Decoder::new(row);
            Ok([$(decoder.next(kinds::$kind::TYPE)?),+])
        }

        /// Whether the bytes are exactly one row of today's columns.
        pub(crate) fn is_row(row: &[u8]) -> bool {
            let mut decoder = $crate::ailog::row_binary::decode::Decoder::new(row);
            $(if decoder.next(kinds::$kind::TYPE).is_err() {
                return false;
            })+
            decoder.is_at_end()
        }

        /// Appends the RowBinary form of a row to `out`.
        ///
        /// # Bounds
        /// Labels are cut at `LOG_LABEL_BYTES_MAX`, the captured bodies so that the row fits a
        /// record; a row whose body was cut here says `truncated`.
        pub fn encode($row: &Row, out: &mut Vec<u8>) {
            let [request, response, prompt, answer] =
                [&$row.request, &$row.response, &$row.prompt, &$row.answer]
                    .map(|text| text.as_ref().map(|text| $crate::ailog::row_binary::parts::valid_utf8(text.as_bytes())));
            let $bodies = kinds::Bodies::fit(
                [request.as_deref(), response.as_deref()],
                [prompt.as_deref(), answer.as_deref()],
            );
            $(kinds::$kind::put(out, $value);)+
        }
    };
}

pub(crate) use columns;
