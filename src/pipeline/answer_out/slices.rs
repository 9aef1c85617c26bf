//! Neighbouring slices of a chunk, joined without copying.
//!
//! Pure.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

/// Appends `bytes` to `ready`; neighbours within `chunk` leave as one slice of it, which is `run`.
/// Returns the run that continues.
pub fn pass(
    ready: &mut VecDeque<Bytes>,
    chunk: &Bytes,
    run: Range<usize>,
    bytes: Bytes,
) -> Range<usize> {
    let place = place_in(chunk, &bytes);
    if place.as_ref().is_some_and(|p| p.start == run.end && !run.is_empty()) {
        return run.start..run.end + bytes.len();
    }
    ready.extend(Some(chunk.slice(run)).filter(|r| !r.is_empty()));
    place.unwrap_or_else(|| {
        ready.push_back(bytes);
        0..0
    })
}

/// The range of `part` within `chunk`, if it is a slice of it.
fn place_in(chunk: &Bytes, part: &Bytes) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(chunk.as_ptr() as usize)?;
    let end = start + part.len();
    (end <= chunk.len()).then_some(start..end)
}
