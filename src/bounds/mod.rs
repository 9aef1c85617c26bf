//! Every maximum of the gateway in one place, and the worst-case memory that follows from them.
//!
//! A leaf: constants only. Each bound names what happens when it is reached. Nothing here is
//! configurable; what an operator may choose is in `config/`. The parts are by the walk: `accept`,
//! `calls`, `settle`; then `operators`, and `outside` of the serving gateway.

mod accept;
mod calls;
mod operators;
mod outside;
mod settle;

pub use accept::*;
pub use calls::*;
pub use operators::*;
pub use outside::*;
pub use settle::*;

/// Bytes that a connection may hold: a head or an answer that is not taken, or an HTTP/2 window;
/// and the state of both.
pub const CONNECTION_BYTES_MAX: usize =
    HTTP1_BUFFER_BYTES_MAX + H2_CONNECTION_WINDOW as usize + (16 << 10);

/// The names of objects and models in a body.
const BODY_NAMES_BYTES_MAX: usize =
    (BODY_OBJECTS_MAX + BODY_MODELS_MAX) * (BODY_OBJECT_ID_BYTES_MAX + BODY_PARAM_BYTES_MAX + 64);

/// Bytes that a call may hold whose body is being read: its head, the gathered beginning of its
/// body, what the redactor holds back, the names of objects and models in it, and what a decoder
/// has just made.
pub const READER_BYTES_MAX: usize = HEAD_BYTES_MAX
    + CALL_BYTES_FREE
    + REDACT_HELD_BYTES_MAX
    + BODY_NAMES_BYTES_MAX
    + 10 * DECODED_PIECE_BYTES
    + (32 << 10);

/// Bytes that a call may hold without asking for room, apart from its captures: its head, the
/// gathered beginning of its body, what the redactor holds back, an answer or an event, what waits
/// to be sent either way, the values that are put back, the names of objects and models in its
/// body, and what a decoder has just made.
pub const CALL_BYTES_MAX: usize = 2 * CALL_BYTES_FREE
    + HEAD_BYTES_MAX
    + REDACT_HELD_BYTES_MAX
    + HTTP1_BUFFER_BYTES_MAX
    + H2_SEND_BYTES_MAX
    + 3 * RESTORE_BYTES_MAX
    + 10 * DECODED_PIECE_BYTES
    + 2 * BODY_NAMES_BYTES_MAX
    + (32 << 10);

/// Bytes that the process holds besides: rows that wait to be written and stored, kept intents,
/// remembered tokens, the operators' side, caches.
pub const PROCESS_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX
    + LOG_GROUP_BYTES_MAX
    + WAL_RECORD_BYTES_MAX
    + (INTENTS_KEPT_MAX + INTENT_RESULTS_MAX) * (4 << 10)
    + VERIFIED_TOKENS_MAX * 512
    + 4 * SHARING_PARTIES_MAX * 256
    + OBJECTS_MAX * OBJECT_BYTES
    + ADMIN_CONNECTIONS_MAX * (2 * ADMIN_BUFFER_BYTES_MAX + ADMIN_PIECE_BYTES)
    + (ADMIN_ANSWERS_MAX + ADMIN_QUERIES_MAX) * 2 * WAL_RECORD_BYTES_MAX
    + ADMIN_ANSWERS_MAX * ADMIN_ANSWER_BYTES_MAX
    + MODEL_LISTS_MAX * MODEL_LIST_BYTES_MAX
    + (64 << 20);

/// How many calls may have their body read, with so many in flight.
pub const fn readers_max(calls: usize) -> usize {
    if calls > READERS_MIN { calls } else { READERS_MIN }
}

/// Bytes that decoders may take, beside so many bytes that calls hold.
pub const fn decoder_bytes_max(held_bytes: usize) -> usize {
    if held_bytes / 4 > DECODER_BYTES_MIN { held_bytes / 4 } else { DECODER_BYTES_MIN }
}

/// Bytes that the gateway may take at its bounds: every connection hostile and every call as
/// large as it may be. Apart from organisations and their limits (some 118 bytes each, at most
/// [`ORGS_MAX`]), the exact cache if it is on ([`CACHE_BYTES_MAX`]) and the allocator's own waste.
pub const fn memory_max(
    connections: usize,
    calls: usize,
    held_bytes: usize,
    capture_bytes: usize,
) -> usize {
    PROCESS_BYTES_MAX
        .saturating_add(
            connections.saturating_add(CONNECTIONS_OVER_MAX).saturating_mul(CONNECTION_BYTES_MAX),
        )
        .saturating_add(readers_max(calls).saturating_mul(READER_BYTES_MAX))
        .saturating_add(decoder_bytes_max(held_bytes))
        .saturating_add(
            calls.saturating_mul(CALL_BYTES_MAX.saturating_add(capture_bytes.saturating_mul(3))),
        )
        .saturating_add(held_bytes)
}

const _: () =
    assert!(GATHER_BYTES_MAX <= CALL_BYTES_FREE && ANSWER_GATHER_BYTES_MAX <= HELD_BYTES_SPARE);
const _: () = assert!(HEAD_BYTES_MAX < HTTP1_BUFFER_BYTES_MAX);
const _: () = assert!(GATHER_BYTES_MAX <= ROUTE_WAIT_BYTES_MAX);
const _: () = assert!(INTENTS_BACKGROUND_MAX < INTENT_RESULTS_MAX);
const _: () = assert!(WAL_RECORD_BYTES_MAX as u64 * 8 <= WAL_SEGMENT_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn worst_case_memory_is_what_the_readme_says() {
        let shown = |connections, calls, held| memory_max(connections, calls, held, 16 << 10) / MIB;
        assert_eq!(shown(CONNECTIONS_MAX, CALLS_IN_FLIGHT_MAX, HELD_BYTES_MAX), 17_746);
        assert_eq!(shown(500, 200, 64 * MIB), 955);
        assert_eq!(memory_max(usize::MAX, usize::MAX, usize::MAX, usize::MAX), usize::MAX);
    }
}
