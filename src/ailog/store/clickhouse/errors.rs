//! The errors of the server, as the shipper tells them apart.
//!
//! Pure. Guarantees: an error that the rows cannot cause never drops them.

use std::time::Duration;

use clickhouse::error::Error;

use super::PARTS_WAIT;
use crate::ailog::store::StoreError;

/// The rows are stored already, so the batch must not be divided: it is sent again as it is.
pub(crate) fn not_of_the_rows(error: StoreError) -> StoreError {
    match error {
        StoreError::Rows { reason } => StoreError::Operator { reason },
        other => other,
    }
}

/// The meaning of a failure for the batch, by ClickHouse's error code; the status alone misleads (a
/// full disk and bad data are both 500).
///
/// The reason holds only the code and its name: the text of an error may quote the data.
pub(crate) fn classify(error: &Error) -> StoreError {
    let again = |reason: String| StoreError::Retry { reason, at_least: Duration::ZERO };
    let text = match error {
        Error::BadResponse(text) => text,
        Error::TimedOut => return again("ClickHouse does not answer in time".to_owned()),
        // It is unknown whether the rows arrived; the token makes a retry safe.
        Error::Network(_) => return again("ClickHouse cannot be reached".to_owned()),
        _ => return again("ClickHouse answered in an unknown form".to_owned()),
    };
    let Some(code) = exception_code(text) else { return by_status(text) };
    let reason = format!(
        "ClickHouse error {code}{}",
        exception_name(text).map_or(String::new(), |n| format!(" {n}"))
    );
    match code {
        // Rows that cannot be parsed, or that break a constraint.
        6 | 26 | 27 | 33 | 38 | 41 | 43 | 53 | 69 | 70 | 72 | 117 | 131 | 321 | 349 | 467 | 469 => {
            StoreError::Rows { reason }
        }
        // Database, table or one of its columns missing.
        16 | 60 | 81 => {
            StoreError::Operator { reason: format!("{reason}: run `tollgate clickhouse apply`") }
        }
        // Unknown name or setting; wrong user, password or rights; read-only.
        47 | 115 | 164 | 192 | 193 | 194 | 291 | 497 | 516 => StoreError::Operator { reason },
        // Too many parts.
        252 => StoreError::Retry { reason, at_least: PARTS_WAIT },
        _ => again(reason),
    }
}

/// An answer without a code: from a proxy, or a server that is starting.
pub(crate) fn by_status(text: &str) -> StoreError {
    let status: Option<u16> = text.get(..3).and_then(|s| s.parse().ok());
    match status {
        Some(status @ (400..=407 | 410..=428)) => {
            StoreError::Operator { reason: format!("the ClickHouse address answers {status}") }
        }
        Some(status) => StoreError::Retry {
            reason: format!("the ClickHouse address answers {status}"),
            at_least: Duration::ZERO,
        },
        None => StoreError::Retry {
            reason: "the ClickHouse address answers without a ClickHouse error".to_owned(),
            at_least: Duration::ZERO,
        },
    }
}

/// `Code: 60. DB::Exception: …`
pub(crate) fn exception_code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// `… (UNKNOWN_TABLE) (version …)`
pub(crate) fn exception_name(text: &str) -> Option<&str> {
    text.rsplit('(').filter_map(|part| part.split_once(')')).map(|(name, _)| name).find(|name| {
        name.len() > 3
            && name.len() < 80
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}
