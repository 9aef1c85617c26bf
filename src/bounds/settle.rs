//! Bounds of the log and its stores.
//!
//! A part of the leaf `bounds`: constants only. Each names the behaviour when it is reached.

use std::time::Duration;

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
/// Lines of one kind that the log of the process has in a minute. Further ones are counted, and
/// their number is a line.
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
/// Time for the spans that are left when the gateway ends. The rest is exported after the next
/// start.
pub const OTLP_FLUSH_MAX: Duration = Duration::from_secs(5);
/// Kinds of refusal (organisation, route, outcome, code) that are folded at once. Above it each
/// call has a row.
pub const REFUSED_KINDS_MAX: usize = 4_096;
/// Callers, models and limits of one kind of refusal that have rows of their own. Calls of further
/// ones share a row.
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
