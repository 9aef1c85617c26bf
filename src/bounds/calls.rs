//! Bounds of a call, from its credential to its answer.
//!
//! A part of the leaf `bounds`: constants only. Each names the behaviour when it is reached.

use std::time::Duration;

use super::accept::CALL_BYTES_FREE;

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

// ---- credentials of providers -------------------------------------------------------------------

/// The answer of a token endpoint, in bytes. A longer one is a failed fetch.
pub const TOKEN_BYTES_MAX: usize = 64 << 10;
/// The time that a fetch may take, with all its requests. Then it has failed.
pub const TOKEN_FETCH_MAX: Duration = Duration::from_secs(10);
/// The time that a connection to a metadata service may take: it is near, or not there at all.
pub const METADATA_CONNECT_MAX: Duration = Duration::from_secs(1);
/// Credentials that are kept, with those of former policies, whose calls may still run. Above it
/// those are forgotten at once.
pub const CREDENTIALS_MAX: usize = 2 * PROVIDERS_MAX;
/// The time that `tollgate check --live` gives one server, and all of them together. Then it
/// reports those that have not answered.
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
/// Idle pooled connections to one provider. Further ones are closed after their answer.
pub const POOL_IDLE_MAX: usize = 512;
/// How long a pooled connection may lie idle.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Origins whose HTTP/1 connections are kept, in one pool. Above it those without one are
/// forgotten; if all have one, connections to another are not kept.
pub const POOL_ORIGINS_MAX: usize = 1_024;
/// Kept connections that a request looks at for a free one, before it makes one.
pub const POOL_LOOKS_MAX: usize = 32;
/// Bytes of an answer whose connection is kept although its end has not come: it is not free before.
pub const POOL_SHORT_BODY_BYTES: u64 = 64 << 10;
/// Connections of one pool that turned out to speak HTTP/2, and are handed over to those that are
/// shared. Further ones are closed, and made anew if they are needed.
pub const HANDED_OVER_MAX: usize = 64;
/// How old such a connection may be.
pub const HANDED_OVER_TIME_MAX: Duration = Duration::from_secs(1);
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

// ---- what a provider says -----------------------------------------------------------------------

/// Tokens of one call that are believed, in and out each; what a provider reports beyond is cut.
/// The longest contexts have ten million.
pub const TOKENS_PER_CALL_MAX: u64 = 100_000_000;
/// Largest cost of one call that is believed: a million USD. Thousands of such rows still add up
/// without overflow, in both stores.
pub const NANO_USD_PER_CALL_MAX: i64 = 1_000_000_000_000_000;
