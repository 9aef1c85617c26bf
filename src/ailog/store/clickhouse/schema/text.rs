//! The columns, the measures and the digests as SQL.
//!
//! Pure. Guarantees: the names and types come from the registry of columns. Does not: run a
//! statement.

use crate::ailog::columns::{COLUMNS, Column, Type};
use crate::ailog::store::measures::MEASURES;
use crate::ailog::store::sqlite::layout::{self, Home, columns_in};

/// The names by which `ai_hourly` divides the rows of an hour.
pub(crate) const HOURLY_NAMES: [&str; 9] = [
    "org_id",
    "model",
    "provider",
    "route",
    "caller",
    "outcome",
    "status",
    "error_code",
    "limited_by",
];

/// The names by which `ai_daily` divides the rows of a day.
pub(crate) const DAILY_NAMES: [&str; 5] = ["org_id", "model", "provider", "route", "outcome"];

/// The columns of `ai_rows` but the last.
pub(crate) fn row_columns() -> Vec<&'static Column> {
    let last = last_column().name;
    let columns = COLUMNS.iter().filter(|column| layout::home(column) != Home::Capture);
    columns.filter(|column| column.name != last).collect()
}

/// The column that a gateway waits for. No roll-up needs it.
pub(crate) fn last_column() -> &'static Column {
    let [.., last] = &COLUMNS;
    last
}

/// The names, the measures and the names after them, in parentheses.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>, after: &[&'a str]) -> String {
    let measures = MEASURES.iter().map(|measure| measure.name);
    let all: Vec<&str> = names.chain(measures).chain(after.iter().copied()).collect();
    format!("({})", all.join(", "))
}

pub(crate) fn capture_columns() -> Vec<&'static Column> {
    columns_in(Home::Capture).map(|(_, column)| column).collect()
}

pub(crate) fn measure_columns() -> String {
    let column = |name: &str, of| format!("    {name:22} SimpleAggregateFunction(sum, {of})");
    let columns = MEASURES.map(|measure| {
        column(measure.name, if measure.is_amount() { "Decimal(38, 9)" } else { "Int64" })
            + " CODEC(ZSTD(1))"
    });
    columns.join(",\n")
}

pub(crate) fn measure_sums() -> String {
    let sum = |name: &str, of: &str| format!("    sum({of}) AS {name}");
    MEASURES.map(|measure| sum(measure.name, &measure.of_row("r"))).join(",\n")
}

/// The value of a merged digest by nearest rank; null if there is none.
pub(crate) fn percentile(percent: &str, digest: &str) -> String {
    let shift = "greatest(intDiv(b, 64), 1) - 1";
    let value = format!(
        "if(b < 128, toUInt32(b), toUInt32(bitShiftLeft(toUInt64(b % 64 + 64), {shift}) + \
         intDiv(bitShiftLeft(toUInt64(1), {shift}), 2)))"
    );
    let rank = format!("intDiv({percent} * arraySum(mapValues({digest})) + 99, 100)");
    format!(
        "arrayMap(b -> {value}, [mapKeys({digest})[arrayFirstIndex(n -> n >= {rank}, \
         arrayCumSum(mapValues({digest})))]])[1]"
    )
}

/// The columns as SQL, one on each line, aligned.
pub(crate) fn definitions(columns: &[&Column], prefix: &str) -> String {
    let width =
        |of: fn(&Column) -> &str| columns.iter().map(|column| of(column).len()).max().unwrap_or(0);
    let (name_width, type_width) =
        (width(|column| column.name), width(|column| type_of(column.of)));
    let define = |column: &&Column| {
        let (name, of, doc) = (column.name, type_of(column.of), column.doc.replace('\'', "''"));
        let codec = codec_of(column.of);
        format!("{prefix}{name:name_width$} {of:type_width$} COMMENT '{doc}'{codec}")
    };
    columns.iter().map(define).collect::<Vec<_>>().join(",\n")
}

/// The type of a column in ClickHouse.
pub(crate) const fn type_of(of: Type) -> &'static str {
    match of {
        Type::Uuid => "UUID",
        Type::Millis => "DateTime64(3, 'UTC')",
        Type::Text => "String",
        Type::Label => "LowCardinality(String)",
        Type::Bool => "Bool",
        Type::U8 => "UInt8",
        Type::U16 => "UInt16",
        Type::U32 => "UInt32",
        Type::U64 => "UInt64",
        Type::NanoUsd => "Nullable(Decimal(18, 9))",
        Type::OptionalText => "Nullable(String)",
        Type::OptionalLabel => "LowCardinality(Nullable(String))",
        Type::OptionalFloat => "Nullable(Float64)",
        Type::Tags => "Map(LowCardinality(String), String)",
        Type::Attempts => {
            "Array(Tuple(provider String, status UInt16, error LowCardinality(String), ms UInt32))"
        }
    }
}

/// How ClickHouse compresses a column, as the end of its definition.
pub(crate) const fn codec_of(of: Type) -> &'static str {
    match of {
        Type::Millis => " CODEC(DoubleDelta, ZSTD(1))",
        Type::Text | Type::U16 | Type::NanoUsd | Type::Tags | Type::Attempts => " CODEC(ZSTD(1))",
        Type::OptionalText => " CODEC(ZSTD(3))",
        Type::U32 | Type::U64 => " CODEC(T64, ZSTD(1))",
        Type::Uuid
        | Type::Label
        | Type::Bool
        | Type::U8
        | Type::OptionalLabel
        | Type::OptionalFloat => "",
    }
}
