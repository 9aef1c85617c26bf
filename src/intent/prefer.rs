//! The `Prefer` header of a ticket call.
//!
//! Pure. Unknown and malformed preferences are ignored, as the standard says.
//!
//! # Source
//! RFC 7240, sections 2, 4.1 (`respond-async`) and 4.3 (`wait`).

use std::time::Duration;

use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The preferences of a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `respond-async`: a result that is fetched later.
    pub respond_async: bool,
    /// `wait`: the time to wait for the result first.
    pub wait: Duration,
}

impl Prefer {
    /// The preferences in a request's head.
    pub fn of(headers: &HeaderMap) -> Prefer {
        let mut prefer = Prefer::default();
        let lines = headers.get_all(PREFER).into_iter().filter_map(|line| line.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')) {
            // Without the parameters of the preference.
            let preference =
                preference.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            match preference
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            {
                Some(("wait", seconds)) => {
                    prefer.wait = Duration::from_secs(seconds.parse::<u32>().unwrap_or(0).into())
                }
                None if preference == "respond-async" => prefer.respond_async = true,
                _ => {}
            }
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_as_the_standard_writes_them() {
        let table: [(&[&str], bool, u64); 9] = [
            (&[], false, 0),
            (&["respond-async"], true, 0),
            (&["Respond-Async, wait=10"], true, 10),
            (&["wait=10", "respond-async"], true, 10),
            (&["return=minimal; foo=\"bar\", respond-async; x, wait=\"3\""], true, 3),
            (&["wait = 5"], false, 5),
            (&["wait=-1"], false, 0),
            (&["wait=99999999999999"], false, 0),
            (&["respond-asynchronously", "respond-async=1"], false, 0),
        ];
        for (lines, respond_async, seconds) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().expect("header"));
            }
            let expected = Prefer { respond_async, wait: Duration::from_secs(seconds) };
            assert_eq!(Prefer::of(&headers), expected, "{lines:?}");
        }
    }
}
