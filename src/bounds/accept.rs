//! Bounds of connections and of what comes over them.
//!
//! A part of the leaf `bounds`: constants only. Each names the behaviour when it is reached.

use std::time::Duration;

// ---- stage 1: accept ----------------------------------------------------------------------------

/// How many times what is still free of a bound one party (an organisation, an address, all
/// pass-through callers) may use. With 3, one party alone reaches three quarters. Above it: what
/// the bound itself does, to that party alone.
pub const SHARE_OF_FREE: usize = 3;
/// The same for all connections together that have had no authenticated call yet: at most half.
/// Further ones are taken on one of [`CONNECTIONS_OVER_MAX`].
pub const SHARE_OF_FREE_UNKNOWN: usize = 1;
/// Bounds that are smaller than this are not shared: what each could have would be nothing.
pub const SHARED_FROM: usize = 4;
/// Refusals of one party (401, 403, 429, 503 `overloaded`) in a second that are answered at once.
/// Above it they are held back.
pub const REFUSALS_PER_SECOND: u32 = 200;
/// How long a refusal is held back at most.
pub const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Organisations, and addresses of each kind, whose use is counted by itself. Further ones count
/// together as one.
pub const SHARING_PARTIES_MAX: usize = 16_384;
/// Open connections on the applications' side, where `bounds.connections` says nothing else. Above
/// it: 503 `overloaded`, except for `/healthz` and `/readyz`, on one of [`CONNECTIONS_OVER_MAX`].
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections beyond that, and beyond the share of those without an authenticated call. One that
/// authenticates is served if there is room for its organisation. For a further one the oldest that
/// has said nothing is closed, of the address that has most of them.
pub const CONNECTIONS_OVER_MAX: usize = 64;
/// The time that such a connection may take to send a request: then it is closed.
pub const HEAD_TIMEOUT_OVER: Duration = Duration::from_secs(2);
/// How long a connection that has not yet had a call is kept for one when the gateway ends.
pub const FIRST_CALL_AT_DRAIN: Duration = Duration::from_secs(1);
/// Calls being worked on at once, where `bounds.calls_in_flight` says nothing else. Above it: 503
/// `overloaded`. A call takes its place when its body, or the first
/// [`GATHER_BYTES_MAX`](super::GATHER_BYTES_MAX) of it, has come.
pub const CALLS_IN_FLIGHT_MAX: usize = 8_192;
/// Calls whose body is being read: as many as `bounds.calls_in_flight`, and not fewer than this.
/// Above it a body of the same party that comes too slowly is given up for the new one (408); if
/// there is none: 503 `overloaded`.
pub const READERS_MIN: usize = 16;
/// A request body has to come at this rate, in bytes a second, for as long as the gateway waits for
/// it. A slower one is 408.
pub const BODY_RATE_MIN: u64 = 1 << 10;
/// The rest of a request body that its call does not need is read and discarded for so long.
pub const UNREAD_TIME_MAX: Duration = Duration::from_secs(30);
/// A rest of at most so many bytes is read so that an HTTP/1 connection can be used again. With a
/// longer one, or one of unknown length, the answer says `connection: close`.
pub const UNREAD_KEPT_BYTES_MAX: u64 = 1 << 20;
/// Silence after which a connection that has had its last answer is no longer read.
pub const LINGER_IDLE_MAX: Duration = Duration::from_secs(5);
/// Bytes that are discarded of a connection that had its last answer and sends more than expected.
pub const LINGER_LAST_BYTES_MAX: u64 = 1 << 20;
/// So long a body may be waited for before that counts.
pub const BODY_GRACE: Duration = Duration::from_secs(10);
/// A body that came quickly may then be waited for so long at most.
pub const BODY_CREDIT_MAX: Duration = Duration::from_secs(30);
/// Of the bodies that are waited for, so many are looked at to find one that comes too slowly.
pub const SLOW_BODIES_LOOKED_AT: usize = 64;
/// Bytes that all calls together may hold beyond [`CALL_BYTES_FREE`] each, where
/// `bounds.held_bytes` says nothing else: bodies kept for another attempt (at most half),
/// beginnings that wait for their model, long answers that are checked whole, long events. Above
/// it: no replay, 503 `overloaded`, answers and events that pass unchecked; and new calls: 503
/// `overloaded`.
pub const HELD_BYTES_MAX: usize = 512 << 20;
/// When less than this is left of it new calls are refused, so that those at work can end.
pub const HELD_BYTES_SPARE: usize = 1 << 20;
/// Bytes that a call may hold of one body without asking for room.
pub const CALL_BYTES_FREE: usize = 64 << 10;
/// Bytes that hyper may hold of one HTTP/1 connection's input or output. A longer head is 431,
/// without a body.
pub const HTTP1_BUFFER_BYTES_MAX: usize = 256 << 10;
/// Bytes that an HTTP/2 peer may send without being asked for more: on one stream, and on all of
/// one connection.
pub const H2_STREAM_WINDOW: u32 = 128 << 10;
/// See [`H2_STREAM_WINDOW`].
pub const H2_CONNECTION_WINDOW: u32 = 256 << 10;
/// Bytes of an answer that an HTTP/2 stream is given at once; a peer that does not take so much
/// within [`WRITE_STALL_MAX`] has left.
pub const H2_PIECE_BYTES: usize = 16 << 10;
/// Bytes that an HTTP/2 stream may hold of an answer that its peer does not take.
pub const H2_SEND_BYTES_MAX: usize = 64 << 10;
/// Request head, all names and values together. Above it: 413 `headers_too_large`. hyper's own
/// limit is higher, so that our answer comes first.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// The same over HTTP/2, as its library counts: 32 bytes more for each field. Above it the library
/// answers 431 without a body. A longer one than [`HEAD_BYTES_MAX`], so that our answer comes first;
/// not as long as over HTTP/1, because a peer may send many heads at once and repeat fields for a
/// byte each.
pub const H2_HEAD_BYTES_MAX: u32 = 128 << 10;
/// A header's value that is passed on to a provider, in bytes. A longer one is left out.
pub const HEADER_VALUE_BYTES_MAX: usize = 4 << 10;
/// A query, in bytes, and its parameters. Above it: 400 `invalid_request`.
pub const QUERY_BYTES_MAX: usize = 8 << 10;
/// See [`QUERY_BYTES_MAX`].
pub const QUERY_PARAMETERS_MAX: usize = 100;
/// Waiting for a request head, and an idle keep-alive connection: then the connection is closed.
/// Longer than the pools of the common SDKs keep an idle connection, so that the gateway is rarely
/// the first to close.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may keep its answer waiting: then the connection is closed, and with it the
/// provider's. Over HTTP/2 the answer ends alone. Each KiB that the client takes gives it a second
/// more, up to this.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
/// The rate at which a client has to take its answer to keep it for longer, in bytes a second.
pub const WRITE_RATE_MIN: u64 = 1 << 10;
/// TLS handshake: then the connection is closed.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
pub const H2_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// HTTP/2 streams of one connection at once. Above it the stream is refused by the protocol.
pub const H2_STREAMS_MAX: u32 = 256;
