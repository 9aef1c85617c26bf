//! Every maximum of the gateway in one place, and the worst-case memory that follows from them.
//!
//! A leaf: constants only. Each bound names what happens when it is reached. Nothing here is
//! configurable; what an operator may choose is in `config/`.

use std::time::Duration;

// ---- start --------------------------------------------------------------------------------------

/// Shortest `placeholder_key`. A shorter one is refused with the configuration, or at the start.
pub const PLACEHOLDER_KEY_BYTES_MIN: usize = 32;
/// A word list in a file of its own. A larger one is refused with the policy.
pub const WORDS_FILE_BYTES_MAX: u64 = 64 << 20;

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
/// `overloaded`. A call takes its place when its body, or the first [`GATHER_BYTES_MAX`] of it, has
/// come.
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

// ---- stage 3: authenticate ----------------------------------------------------------------------

/// A bearer, in bytes. A longer one is refused before any cryptography.
pub const BEARER_BYTES_MAX: usize = 8 << 10;
/// An organisation's name, in bytes.
pub const ORG_BYTES_MAX: usize = 128;
/// Providers of one policy. Above it the policy is refused.
pub const PROVIDERS_MAX: usize = 1_024;
/// How long calls after a start wait for the first connection to a shared limits store. Then the
/// policy's `limits.fail` holds.
pub const LIMITS_STORE_START_MAX: Duration = Duration::from_secs(10);
/// Secrets of `auth.jwt.secrets`: a forged token costs a signature check with each.
pub const JWT_SECRETS_MAX: usize = 8;
/// Verified tokens that are remembered, so that one that comes again costs no signature check.
/// Above it the ones not used for longest go first.
pub const VERIFIED_TOKENS_MAX: usize = 65_536;
/// Keys in one JWK set. A larger set is refused whole.
pub const JWKS_KEYS_MAX: usize = 64;
/// A JWK set, in bytes.
pub const JWKS_BYTES_MAX: usize = 256 << 10;
/// A document of an OpenID provider, its key set or the answer of its token endpoint, in bytes.
pub const OIDC_DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Organisations of one value of a person's role claim that a claim names; the person sees no
/// further ones.
pub const OIDC_ORGS_MAX: usize = 256;

// ---- credentials of providers --------------------------------------------------------------------

/// The answer of a token endpoint, in bytes. A longer one is a failed fetch.
pub const TOKEN_BYTES_MAX: usize = 64 << 10;
/// The time that a fetch may take, with all its requests. Then it has failed.
pub const TOKEN_FETCH_MAX: Duration = Duration::from_secs(10);
/// The time that a connection to a metadata service may take: it is near, or not there at all.
pub const METADATA_CONNECT_MAX: Duration = Duration::from_secs(1);
/// Credentials that are kept, with those of former policies, whose calls may still run. Above it
/// those are forgotten at once.
pub const CREDENTIALS_MAX: usize = 2 * PROVIDERS_MAX;
/// The time that `tollgate check --live` gives one server, and all of them together. Then it reports
/// those that have not answered.
pub const PROBE_MAX: Duration = Duration::from_secs(10);
/// See [`PROBE_MAX`].
pub const PROBES_MAX: Duration = Duration::from_secs(20);
/// How long a credential of a former policy is kept.
pub const CREDENTIAL_KEPT_FOR: Duration = Duration::from_secs(15 * 60);

// ---- stage 4: admit -----------------------------------------------------------------------------

/// Organisations with a bucket. At the bound full buckets are dropped first (they say nothing that
/// a new one would not); if none is full, a newcomer is refused as `overloaded` rather than
/// another's debt forgotten.
pub const ORGS_MAX: usize = 1_000_000;
/// Subjects (organisations, keys, users, models) with limits beyond an organisation's requests. At
/// the bound as above.
pub const METERS_MAX: usize = 1_000_000;
/// Organisations of which calls are leased from the shared store at once. Above it the store is
/// asked for every call.
pub const LEASES_MAX: usize = 65_536;
/// How long leased calls may be spent; then they go back.
pub const LEASE_LASTS: Duration = Duration::from_millis(500);
/// Ended calls whose use the shared store has not been told yet. Above it what they reserved stays
/// used.
pub const SETTLEMENTS_MAX: usize = 8_192;
/// Sums read from the log at start, to go on counting budgets. Above it the smallest are left out.
pub const BUDGET_ROWS_MAX: usize = 1_000_000;

// ---- stage 6: read ------------------------------------------------------------------------------

/// Bytes that are made of a compressed body at once.
pub const DECODED_PIECE_BYTES: usize = 16 << 10;
/// A compressed body may become so many times as long. Above it: 413 `body_too_large`.
pub const DECODED_RATIO_MAX: u64 = 100;
/// Up to here it may grow as it likes.
pub const DECODED_FREE_BYTES: u64 = 4 << 20;
/// Window of a zstd body, as a power of two (8 MiB, as RFC 8878 asks of everyone). A larger one:
/// 413.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes of a zstd decoder besides the filled part of its window.
pub const ZSTD_STATE_BYTES: usize = 512 << 10;
/// Bytes of a gzip or deflate decoder, its window included.
pub const INFLATE_STATE_BYTES: usize = 64 << 10;
/// All decoders of compressed bodies together may take a quarter of `bounds.held_bytes`, and not
/// less than this. Above it: 503 `overloaded` for compressed bodies.
pub const DECODER_BYTES_MIN: usize = 16 << 20;

/// A step of work on a body, in bytes of input.
pub const STEP_BYTES_MAX: usize = 16 << 10;
/// After so many bytes, or after [`STEP_TIME_MAX`], the task gives way to others that are ready. At
/// the rate of usual text these bytes take a part of that time.
pub const GIVE_WAY_BYTES: usize = 64 << 10;
/// The shortest step, for input that is slow to work on.
pub const STEP_BYTES_MIN: usize = 256;
/// How long a step should take. After one that took longer the next ones are cut shorter.
pub const STEP_TIME_MAX: Duration = Duration::from_micros(200);
/// Time that a request body may take on the runtime's threads beyond what its bytes take quickly.
/// The rest is done on threads of low priority.
pub const BODY_INLINE_TIME_MAX: Duration = Duration::from_micros(500);
/// A body is worked on quickly at 50 MB/s or more: a fraction of the rate of any usual text.
pub const BODY_QUICK_NANOS_PER_BYTE: u64 = 20;
/// A job of such a thread, in bytes of the body and in time. Then another turn group has its turn.
pub const BODY_JOB_BYTES_MAX: usize = 32 << 10;
/// The same in time.
pub const BODY_JOB_TIME_MAX: Duration = Duration::from_millis(1);
/// Redacted bytes of a body that came together and are sent on together.
pub const BODY_GATHER_BYTES_MAX: usize = CALL_BYTES_FREE;
/// Turn groups whose work on bodies is counted apart. Some of more than these share a count.
pub const TURN_GROUPS_TOLD_APART: usize = 4_096;
/// One in so many of a processor's seconds is free for the bodies of each turn group. Beyond it a
/// step waits for its turn.
pub const TURN_FREE_SHARE: u64 = 8;
/// How far ahead of that share a group may be, as time in which it would have it back.
pub const TURN_FREE_BURST: Duration = Duration::from_millis(40);
/// A turn that was given out and is not used so long goes to the next in line.
pub const TURN_UNUSED_MAX: Duration = Duration::from_millis(5);

// ---- stage 6: redact ----------------------------------------------------------------------------

pub use tollgate_redact::bounds::*;

// ---- stage 7: route -----------------------------------------------------------------------------

/// Stored objects of which it is known whose they are, in all. Above it the older half is
/// forgotten, and a body that names one of those is refused.
pub const OBJECTS_MAX: usize = 1 << 20;
/// Bytes of one of them in memory, with the table around it.
pub const OBJECT_BYTES: usize = 36;
/// Such objects that wait to be written to disk. Above it one is forgotten at the next start.
pub const OBJECTS_QUEUED_MAX: usize = 8_192;

/// Redacted bytes that wait for `model` to pass when routing needs it. Above it: 400
/// `invalid_request`.
pub const ROUTE_WAIT_BYTES_MAX: usize = 1 << 20;

/// Targets of one list. More are refused with the policy.
pub const TARGETS_MAX: usize = 64;

// ---- stage 10: send -----------------------------------------------------------------------------

/// Redacted bytes gathered before the provider is called, so that a small body has a
/// `content-length` and is known to be well-formed before its first byte leaves. A larger body
/// streams.
pub const GATHER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a row about failed attempts. Further ones are left out.
pub const ATTEMPTS_DETAIL_BYTES_MAX: usize = 1 << 10;
/// Callers of one provider that have a circuit and a retry budget of their own, known ones and
/// strangers each; some 300 bytes each. Above it idle ones are forgotten, and newcomers have none:
/// their failures hold nobody off.
pub const PARTIES_MAX: usize = 4_096;
/// Pools of connections: one for each proxy, set of TLS files and connect timeout. Above it the
/// oldest is let go; its calls end, its idle connections close.
pub const POOLS_MAX: usize = 256;
/// The head of a proxy's answer to `CONNECT`, in bytes. A longer one counts as a failure.
pub const PROXY_HEAD_BYTES_MAX: usize = 16 << 10;
/// A file with certificates or a private key, in bytes. A larger one is refused.
pub const PEM_FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest `retry.replay_bytes`.
pub const REPLAY_BYTES_MAX: usize = 256 << 20;
/// Idle pooled connections to one provider.
pub const POOL_IDLE_MAX: usize = 512;
/// How long a pooled connection may lie idle.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Providers whose lists of models are asked for; of further ones, the names in routing are shown.
pub const MODEL_LISTS_MAX: usize = 64;
/// Memory of one list.
pub const MODEL_LIST_BYTES_MAX: usize = 256 << 10;
/// A page of a provider's list of models, in bytes. A longer one counts as a failure.
pub const MODEL_PAGE_BYTES_MAX: usize = 4 << 20;
/// Pages of one list; models of further ones are not shown.
pub const MODEL_PAGES_MAX: usize = 8;
/// How long a list is used before it is asked for again.
pub const MODEL_LIST_KEPT_FOR: Duration = Duration::from_secs(300);
/// How long a provider that gave no list is left alone.
pub const MODEL_LIST_RETRY_AFTER: Duration = Duration::from_secs(30);
/// How long a provider may take for its list.
pub const MODEL_LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller waits for lists that are being asked for.
pub const MODEL_LIST_WAIT_MAX: Duration = Duration::from_secs(3);
/// Longest `retry-after` of a provider that is waited for; a longer one is given to the client.
pub const RETRY_AFTER_WAIT_MAX: Duration = Duration::from_secs(10);

// ---- stage 11: answer ---------------------------------------------------------------------------

/// Longest redacted request body that is translated for a provider of another format; it is
/// gathered whole.
pub const TRANSLATED_BYTES_MAX: usize = 32 << 20;

/// A JSON answer up to this size is checked whole before its head is released; a larger one
/// streams.
pub const ANSWER_GATHER_BYTES_MAX: usize = 1 << 20;
/// The whole answer of a provider of another format, or all answers to one request for embeddings
/// together; it is gathered to be translated. Above it: 502 `provider_answer_invalid`.
pub const TRANSLATED_ANSWER_BYTES_MAX: usize = 64 << 20;
/// One server-sent event. A longer one is forwarded but no longer looked into.
pub const SSE_EVENT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a stream that came together and leave together.
pub const STREAM_GATHER_BYTES_MAX: usize = 16 << 10;
/// Events that come faster than this are gathered as far as they are here.
pub const STREAM_GATHER_WITHIN: Duration = Duration::from_millis(2);

// ---- intent -------------------------------------------------------------------------------------

/// A ticket's JSON, in bytes. Above it: 413 `body_too_large`.
pub const TICKET_BYTES_MAX: usize = 1 << 20;
/// Characters of a ticket that reach the prompt; a longer ticket is cut in the middle, with a note.
pub const TICKET_PROMPT_CHARS_MAX: usize = 24_000;
/// Finished intents that are kept for the same ticket asked again.
pub const INTENTS_KEPT_MAX: usize = 4_096;
/// How long they are kept.
pub const INTENTS_KEPT_FOR: Duration = Duration::from_secs(600);
/// Intents going on in the background at once. Above it the work ends with its caller's deadline,
/// and one that was to be answered later is answered at once.
pub const INTENTS_BACKGROUND_MAX: usize = 256;
/// Intents whose answers are fetched by their id. Above it the oldest finished one is forgotten.
pub const INTENT_RESULTS_MAX: usize = 4_096;
/// Tickets of one batch. Above it: 400 `invalid_request`.
pub const BATCH_TICKETS_MAX: usize = 100;
/// Characters of a ticket's own id, which its answer repeats. Above it: 400 `invalid_request`.
pub const TICKET_ID_CHARS_MAX: usize = 128;
/// A batch's JSON, in bytes. Above it: 413 `body_too_large`.
pub const BATCH_BODY_BYTES_MAX: usize = 8 << 20;
/// Tickets of one batch that are asked about at once; the others wait.
pub const BATCH_AT_ONCE_MAX: usize = 8;

// ---- stage 12: settle ---------------------------------------------------------------------------

/// Bytes of bodies that each call saves for second looks, under the rules of a candidate policy, in
/// bytes. Where they are used up, a body is looked at once, and its row says `unjudged`.
pub const SECOND_LOOK_BYTES: i64 = 12 << 10;
/// The same, in percent of each body.
pub const SECOND_LOOK_PERCENT: i64 = 25;
/// Bytes that are saved at most.
pub const SECOND_LOOK_SAVED_MAX: i64 = 8 << 20;
/// Calls of `tollgate replay` that are open at once. Beyond it the one that ends first is settled
/// early.
pub const REPLAY_OPEN_MAX: usize = 100_000;
/// Paths whose endpoints `tollgate replay` remembers; further ones are looked up again.
pub const REPLAY_ENDPOINTS_MAX: usize = 1_024;
/// Organisations, and limits, that `tollgate replay` lists; further ones are in the totals alone.
pub const REPLAY_ORGS_MAX: usize = 10_000;
/// Rows that `tollgate replay` gives as examples; further ones are only counted.
pub const REPLAY_EXAMPLES_MAX: usize = 20;

/// One record of the write-ahead log. A longer row loses the tail of its captured bodies, and says
/// so.
pub const WAL_RECORD_BYTES_MAX: usize = 1 << 20;
/// Records that wait for one write with others. At the bound they are written at once.
pub const LOG_GROUP_ROWS_MAX: usize = 32;
/// The same in bytes.
pub const LOG_GROUP_BYTES_MAX: usize = 256 << 10;
/// A segment of the write-ahead log; then a new one is begun.
pub const WAL_SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// A segment that is not full is ended after this time, so that it can be removed when its rows are
/// stored.
pub const WAL_SEGMENT_AGE_MAX: Duration = Duration::from_secs(3_600);
/// With `ailog.durability: power`, how long an answer waits for the disk. Then it goes out, and the
/// bound is counted.
pub const LOG_SYNC_WAIT_MAX: Duration = Duration::from_secs(10);
/// A label of a row (organisation, model, endpoint …), in bytes. A longer one is cut.
pub const LOG_LABEL_BYTES_MAX: usize = 1 << 10;
/// The text of a row's last user message, and that of its answer, in bytes. A longer one is cut.
pub const LOG_TEXT_BYTES_MAX: usize = 64 << 10;
/// Tags of a call. `ailog.tags` with more is refused.
pub const TAGS_MAX: usize = 16;
/// Name and value of a tag, in bytes. A longer value is cut, a longer name is refused.
pub const TAG_BYTES_MAX: usize = 256;
/// Attempts of a call that its row names each. Further ones are only counted.
pub const ATTEMPTS_LOGGED_MAX: usize = 32;
/// Lines of one kind that the log of the process has in a minute. Further ones are counted, and their
/// number is a line.
pub const LOG_LINES_PER_MINUTE_MAX: u64 = 60;
/// Organisations with series of their own on /metrics. Further ones share the series `(other)`.
pub const METRIC_ORGS_MAX: usize = 400;
/// A `tracestate`, in bytes. A longer one is left out of the trace.
pub const TRACESTATE_BYTES_MAX: usize = 1 << 10;
/// Spans of one request to a collector of traces. Further ones are in the next.
pub const OTLP_SPANS_MAX: usize = 512;
/// Bytes of such a request, before compression, as far as it has more than one call.
pub const OTLP_REQUEST_BYTES_MAX: usize = 1 << 20;
/// Longest text in a span, in bytes. A longer one is cut.
pub const OTLP_TEXT_BYTES_MAX: usize = 64 << 10;
/// Longest answer of a collector. A longer one counts as no answer.
pub const OTLP_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Time for one request to a collector. After it the request is repeated.
pub const OTLP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait before a request to a collector is repeated, unless it asks for a longer one.
pub const OTLP_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a collector may ask for. A longer one is cut.
pub const OTLP_RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// Log that waits for a collector, unless `telemetry.otlp.backlog_bytes` says otherwise. Above it
/// the oldest spans are dropped and counted.
pub const OTLP_BACKLOG_BYTES_MAX: u64 = 1 << 30;
/// Time for the spans that are left when the gateway ends. The rest is exported after the next start.
pub const OTLP_FLUSH_MAX: Duration = Duration::from_secs(5);
/// Kinds of refusal (organisation, route, outcome, code) that are folded at once. Above it each
/// call has a row.
pub const REFUSED_KINDS_MAX: usize = 4_096;
/// Callers, models and limits of one kind of refusal that have rows of their own. Calls of further ones
/// share a row.
pub const REFUSED_LABELS_MAX: usize = 16;
/// The dead-letter file, in bytes. Above it rows that a store refuses are counted as lost.
pub const DEAD_LETTER_BYTES_MAX: u64 = 256 << 20;
/// Lines, or rows, of one answer on the operators' side. Above it the rest is left out.
pub const REPORT_ROWS_MAX: usize = 10_000;
/// Lines of one `tollgate report`, some 100 MB. Above it the rest is left out, stderr says so, and
/// CSV and JSON end with exit code 1.
pub const REPORT_LINES_MAX: usize = 250_000;
/// Rows of a page of an export. The next page begins there.
pub const EXPORT_PAGE_ROWS: usize = 10_000;
/// Bytes of the values of such a page. The next page begins there.
pub const EXPORT_PAGE_BYTES: usize = 4 << 20;
/// Rows of a row group of Parquet. It is written there.
pub const EXPORT_GROUP_ROWS: usize = 100_000;
/// Bytes of such a group, before compression. It is written there.
pub const EXPORT_GROUP_BYTES: usize = 16 << 20;
/// All segments that are not yet stored, unless `bounds.log_backlog_bytes` says otherwise. Above it
/// the newest rows are dropped and counted, traffic goes on.
pub const WAL_BYTES_MAX: u64 = 4 << 30;
/// Rows in one batch to the store.
pub const BATCH_ROWS_MAX: usize = 10_000;
/// Bytes in one batch to the store.
pub const BATCH_BYTES_MAX: usize = 16 << 20;

// ---- the operators' side ------------------------------------------------------------------------

/// Open connections on the operators' side. Above it the one that has been silent for longest is
/// closed.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// Waiting for a request head there, and an idle connection: then it is closed.
pub const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client there may take nothing of its answer: then the connection is closed.
pub const ADMIN_WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// The same while connections are short.
pub const ADMIN_WRITE_STALL_MIN: Duration = Duration::from_secs(1);
/// How long a client there may take for the whole of an answer: then the connection is closed.
pub const ADMIN_ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes that hyper may hold of one connection's input or output there.
pub const ADMIN_BUFFER_BYTES_MAX: usize = 16 << 10;
/// A piece of an answer, and the longest answer that needs no place.
pub const ADMIN_PIECE_BYTES: usize = 64 << 10;
/// Longer answers at once. Above it one waits for [`ADMIN_WAIT_MAX`]; then it is 503.
pub const ADMIN_ANSWERS_MAX: usize = 4;
/// An answer on the operators' side, in bytes; the last row may go beyond. A longer one is cut
/// between rows, and says so.
pub const ADMIN_ANSWER_BYTES_MAX: usize = 8 << 20;
/// Text of the rows that are read from the log at once.
pub const ADMIN_BATCH_BYTES_MAX: usize = 512 << 10;
/// Longest line of `audit.jsonl`, in bytes. Of a longer record the number of further differences is
/// kept.
pub const AUDIT_LINE_BYTES_MAX: usize = 1 << 20;
/// Records of the audit that a start hands to the store once more.
pub const AUDIT_RESENT_MAX: usize = 1_000;
/// Records of the audit that wait for the store. At the bound the oldest waits for the next start.
pub const AUDIT_WAITING_MAX: usize = 2_000;
/// Records in one answer of `/api/audit`.
pub const AUDIT_PAGE_MAX: usize = 1_000;
/// Gateway keys that are made at run time. At the bound a new one is refused.
pub const KEYS_MAX: usize = 10_000;
/// How long a key that is revoked or has expired is kept at the bound, in milliseconds.
pub const KEY_OVER_KEPT_MS: i64 = 30 * 24 * 3600 * 1000;
/// Longest request body of an operator. A longer one is 413.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 << 10;
/// How long the body of an operator's request may take.
pub const ADMIN_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Queries of the log at once. Above it one waits for [`ADMIN_WAIT_MAX`]; then it is 503.
pub const ADMIN_QUERIES_MAX: usize = 4;
/// Rows that a search of the log looks through at once.
pub const SEARCH_WINDOW_ROWS: usize = 10_000;
/// How long a search of the log goes on. Then it has what it found, and says how far it came.
pub const SEARCH_TIME_MAX: Duration = Duration::from_millis(600);
/// Characters of the text that is searched for. A longer one is 400.
pub const SEARCH_TEXT_MAX: usize = 200;
/// Subjects in the list of limits that are closest to exhaustion.
pub const CLOSEST_LIMITS_MAX: usize = 100;
/// How long a query or a long answer waits for its place.
pub const ADMIN_WAIT_MAX: Duration = Duration::from_secs(3);

// ---- alerts -------------------------------------------------------------------------------------

/// Webhooks of a policy. More are refused with it.
pub const WEBHOOKS_MAX: usize = 16;
/// Rules of a policy. More are refused with it.
pub const ALERT_RULES_MAX: usize = 256;
/// Organisations whose errors are counted, and whose budgets are looked at. Of the former the one
/// that was silent for the longest time is forgotten for a newcomer; of the latter others wait.
pub const ALERT_ORGS_MAX: usize = 4_096;
/// Notifications that wait for one webhook. A further one is dropped.
pub const ALERTS_QUEUED_MAX: i64 = 1_000;
/// Milliseconds for which a notification is tried. Then it is given up.
pub const ALERT_TRIED_FOR_MS: i64 = 3 * 86_400_000;
/// Milliseconds for which it is remembered that a threshold was told: longer than a month.
pub const ALERT_CLAIMS_KEPT_MS: i64 = 70 * 86_400_000;
/// The longest pause between two tries.
pub const ALERT_WAIT_MAX: Duration = Duration::from_secs(86_400);
/// The answer of a webhook, which is not looked at. With a longer one the try has failed.
pub const ALERT_ANSWER_BYTES_MAX: usize = 1 << 20;

// ---- the exact cache ----------------------------------------------------------------------------

/// A longer answer is not kept.
pub const CACHE_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Headers and facts of a kept answer. One with more is not kept.
pub const CACHE_HEAD_BYTES_MAX: usize = 16 << 10;
/// So much is read of a file at most; a longer one is no answer.
pub const CACHE_FILE_BYTES_MAX: u64 = 2 << 20;
/// Kept answers. Above it the organisation that keeps most loses the one it used least lately.
pub const CACHE_ENTRIES_MAX: usize = 65_536;
/// Answers in memory, in bytes. Above it the one used least lately is on disk alone.
pub const CACHE_MEMORY_BYTES_MAX: usize = 32 << 20;
/// Answers on their way to the disk. A further one is not kept.
pub const CACHE_QUEUED_MAX: usize = 32;
/// Bytes that the cache holds at its bounds, if it is on.
pub const CACHE_BYTES_MAX: usize =
    CACHE_MEMORY_BYTES_MAX + CACHE_QUEUED_MAX * CACHE_ANSWER_BYTES_MAX + CACHE_ENTRIES_MAX * 512;

// ---- configuration ------------------------------------------------------------------------------

/// One configuration file, in bytes. A larger one is refused.
pub const CONFIG_FILE_BYTES_MAX: u64 = 4 << 20;
/// A file with a secret, in bytes. A larger one is refused.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

// ---- commands -----------------------------------------------------------------------------------

/// A price list to be imported, in bytes. A longer one is refused.
pub const PRICES_FILE_BYTES_MAX: usize = 32 << 20;
/// Tickets of one evaluation, and bytes of its file. A longer one is refused.
pub const EVAL_TICKETS_MAX: usize = 10_000;
/// See [`EVAL_TICKETS_MAX`].
pub const EVAL_FILE_BYTES_MAX: u64 = 64 << 20;

// ---- the simulated provider ---------------------------------------------------------------------

/// A body sent to the simulated provider. Above it: 413.
pub const MOCK_BODY_BYTES_MAX: usize = 128 << 20;
/// Words of one simulated answer; more are not made.
pub const MOCK_CHUNKS_MAX: usize = 100_000;
/// Fault markers that are counted. At the bound all counts begin again.
pub const MOCK_MARKERS_MAX: usize = 4_096;

// ---- what a provider says -----------------------------------------------------------------------

/// Tokens of one call that are believed, in and out each; what a provider reports beyond is cut.
/// The longest contexts have ten million.
pub const TOKENS_PER_CALL_MAX: u64 = 100_000_000;
/// Largest cost of one call that is believed: a million USD. Thousands of such rows still add up
/// without overflow, in both stores.
pub const NANO_USD_PER_CALL_MAX: i64 = 1_000_000_000_000_000;

// ---- all of it ----------------------------------------------------------------------------------

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
