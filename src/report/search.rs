//! Searches of the log, window by window from the newest row on.
//!
//! A search may fit no row, and looking through all of them takes long. So each window holds about
//! as many rows as the store looks through in a moment, and the search ends after a time.
//!
//! Guarantees: a page says how far back it has seen every row, so the next one goes on there; no
//! row is left out between two pages. Does not: compare texts (the stores do).
//!
//! # Bounds
//! [`SEARCH_TIME_MAX`], looked at after each window of about [`SEARCH_WINDOW_ROWS`] rows.

use super::query::{Filter, Page, ReadError};
use super::{Kind, Reader};
use crate::bounds::{SEARCH_TIME_MAX, SEARCH_WINDOW_ROWS};
use crate::clock::Clock;

/// The newest rows that pass the filter.
pub(crate) fn page(
    reader: &Reader,
    filter: &Filter,
    limit: usize,
    bytes_max: usize,
) -> Result<Page, ReadError> {
    let clock = Clock::start();
    let end = filter.to_ms.unwrap_or(i64::MAX);
    // Rows of the same millisecond as the last one may be behind it.
    let mut to_ms = filter.behind.as_ref().map_or(end, |place| end.min(place.created_at_ms + 1));
    let (mut page, mut bytes) = (Page::default(), 0);
    let begun = clock.now();
    loop {
        let begins = reader.begin_of_window(to_ms)?;
        let from_ms = begins.into_iter().chain(filter.from_ms).max();
        let window = Filter { from_ms, to_ms: Some(to_ms), ..filter.clone() };
        let found = reader.whole(&window, limit - page.rows.len(), bytes_max - bytes)?;
        bytes += found.rows.iter().map(length).sum::<usize>();
        page.rows.extend(found.rows);
        page.is_cut = found.is_cut || bytes >= bytes_max;
        let is_last = begins.is_none() || begins <= filter.from_ms;
        if page.is_cut || page.rows.len() >= limit || is_last {
            return Ok(page);
        }
        to_ms = from_ms.unwrap_or(i64::MIN);
        if clock.now().since(begun) >= SEARCH_TIME_MAX {
            page.searched_to_ms = Some(to_ms);
            return Ok(page);
        }
    }
}

/// About the bytes of a row's texts.
fn length(row: &serde_json::Map<String, serde_json::Value>) -> usize {
    row.values().map(|value| value.as_str().map_or(8, str::len)).sum()
}

impl Reader {
    /// The beginning of the window that ends at a moment; `None` if it has all rows before it.
    fn begin_of_window(&self, to_ms: i64) -> Result<Option<i64>, ReadError> {
        match &self.store {
            Kind::Sqlite(store) => store.moment_of(to_ms, SEARCH_WINDOW_ROWS),
            Kind::ClickHouse(store) => store.moment_of(to_ms, SEARCH_WINDOW_ROWS),
            Kind::Empty => Ok(None),
        }
    }
}
