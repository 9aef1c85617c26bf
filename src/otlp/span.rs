//! The spans of a call: one of kind SERVER for the call, and below it one of kind CLIENT for each
//! attempt.
//!
//! Pure. Guarantees: the same row always gives the same spans; tokens and cost are on one span of a
//! call, the attempt that answered, or was tried last. Does not: decide which calls are traced (see
//! `pipeline/traces`).
//!
//! # Source
//! opentelemetry-proto, `trace.proto` @03dcdb9; the conventions as in `names`.

use super::content::{self, Fields};
use super::names::{self, Name};
use super::protobuf::{put_bytes, put_fixed32, put_fixed64, put_int, put_message};
use super::value::{Any, put_attribute};
use crate::ailog::columns::{COLUMNS, Decoder, EncodedAttempt, Value, at};
use crate::ailog::traced::{ReadAttempt, ReadTraced};
use crate::config::policy::Semconv;
use crate::trace::{SpanId, TraceId};

/// Kinds of spans.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// A status.
const ERROR: u64 = 2;
/// Flags of a span: it is recorded, and it is known whether its parent is remote.
const SAMPLED: u32 = 1;
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Fields of a `Span`, and of a `Status` in it.
mod fields {
    pub(crate) const TRACE_ID: u64 = 1;
    pub(crate) const SPAN_ID: u64 = 2;
    pub(crate) const TRACE_STATE: u64 = 3;
    pub(crate) const PARENT: u64 = 4;
    pub(crate) const NAME: u64 = 5;
    pub(crate) const KIND: u64 = 6;
    pub(crate) const START: u64 = 7;
    pub(crate) const END: u64 = 8;
    pub(crate) const ATTRIBUTES: u64 = 9;
    pub(crate) const STATUS: u64 = 15;
    pub(crate) const FLAGS: u64 = 16;
    pub(crate) const CODE: u64 = 3;
}

/// The attributes that all spans of a gateway share.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) semconv: Semconv,
    /// The messages of requests and answers are in the spans.
    pub(crate) content: bool,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Address and port of the applications' side.
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// Spans, encoded one after the other.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    pub(crate) bytes: Vec<u8>,
    /// Where each span ends.
    pub(crate) ends: Vec<usize>,
}

impl Spans {
    /// The bytes of the span at `index`.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }
}

/// The values of a row, by their columns.
struct Cells<'a>(Vec<Value<'a>>);

macro_rules! cell {
    ($name:ident) => {{
        const AT: usize = at(stringify!($name));
        AT
    }};
}

impl<'a> Cells<'a> {
    fn of(row: &'a [u8]) -> Option<Cells<'a>> {
        let mut decoder = Decoder::new(row);
        COLUMNS.iter().map(|column| decoder.next(column.of).ok()).collect::<Option<_>>().map(Cells)
    }

    fn text(&self, at: usize) -> &'a str {
        match self.0[at] {
            Value::Text(text) => std::str::from_utf8(text).unwrap_or_default(),
            _ => "",
        }
    }

    fn number(&self, at: usize) -> u64 {
        match self.0[at] {
            Value::Integer(n) => n,
            Value::Bool(is) => u64::from(is),
            _ => 0,
        }
    }

    fn attempts(&self) -> Vec<EncodedAttempt<'a>> {
        match self.0[cell!(attempts_log)] {
            Value::Attempts(attempts) => attempts.iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// Appends the spans of a row and of what its trace needs besides; none if either cannot be read.
pub(crate) fn put_spans(spans: &mut Spans, row: &[u8], traced: &[u8], style: &Style) {
    let read = || {
        let (cells, traced) = (Cells::of(row)?, ReadTraced::read(traced)?);
        let trace_id = TraceId::parse(cells.text(cell!(trace_id)).as_bytes())?;
        let span_id = SpanId::parse(cells.text(cell!(span_id)).as_bytes())?;
        let Value::Millis(at_ms) = cells.0[cell!(created_at)] else { return None };
        let begun_ns = u64::try_from(at_ms).ok()?.saturating_mul(1_000_000);
        Some(Call { cells, traced, trace_id, span_id, begun_ns, style })
    };
    let Some(call) = read() else { return };
    spans.add(|out| call.put_server(out));
    let attempts = call.cells.attempts();
    let last = attempts.len().saturating_sub(1);
    for (n, (attempt, traced)) in attempts.iter().zip(&call.traced.attempts).enumerate() {
        let attempt = OneAttempt { n, is_last: n == last, attempt, traced };
        spans.add(|out| call.put_client(out, &attempt));
    }
}

/// A call, read.
struct Call<'a> {
    cells: Cells<'a>,
    traced: ReadTraced<'a>,
    trace_id: TraceId,
    span_id: SpanId,
    /// Nanoseconds since 1970.
    begun_ns: u64,
    style: &'a Style,
}

/// One of its attempts.
struct OneAttempt<'a> {
    n: usize,
    is_last: bool,
    attempt: &'a EncodedAttempt<'a>,
    traced: &'a ReadAttempt<'a>,
}

/// The head of a span.
struct Head<'a> {
    id: &'a [u8],
    parent: &'a [u8],
    name: String,
    kind: u64,
    /// Since the call began.
    from_ns: u64,
    to_ns: u64,
    is_error: bool,
}

impl Call<'_> {
    fn put_server(&self, out: &mut Vec<u8>) {
        let cells = &self.cells;
        let (endpoint, status) = (cells.text(cell!(endpoint)), cells.number(cell!(status)));
        let parent = SpanId::parse(cells.text(cell!(parent_span_id)).as_bytes());
        let head = Head {
            id: self.span_id.bytes(),
            parent: parent.as_ref().map_or(&[][..], |id| id.bytes()),
            name: format!("{} {endpoint}", self.traced.method),
            kind: SERVER,
            from_ns: 0,
            to_ns: self.traced.took_ns,
            is_error: status >= 500,
        };
        put_message(out, 2, |out| {
            self.put_head(out, &head);
            let mut put = |name: Name, value: Any<'_>| self.put(out, name, &value);
            put(names::METHOD, self.traced.method.into());
            put(names::PATH, endpoint.into());
            put(names::SCHEME, self.style.scheme.into());
            put(names::ROUTE, endpoint.into());
            put(names::STATUS, status.into());
            put(names::SERVER_ADDRESS, self.style.address.as_str().into());
            put(names::SERVER_PORT, u64::from(self.style.port).into());
            let code = cells.text(cell!(error_code));
            if status >= 500 {
                let status = status.to_string();
                put(names::ERROR, if code.is_empty() { status.as_str() } else { code }.into());
            }
            for (name, column) in [
                (names::USER_AGENT, cell!(client)),
                (names::ORG, cell!(org_id)),
                (names::OUTCOME, cell!(outcome)),
                (names::POLICY_VERSION, cell!(policy_version)),
                (names::REQUEST_ID, cell!(request_id)),
                (names::ERROR_CODE, cell!(error_code)),
                (names::LIMITED_BY, cell!(limited_by)),
                (names::TRANSLATED, cell!(translated)),
            ] {
                let text = cells.text(column);
                if !text.is_empty() {
                    put(name, text.into());
                }
            }
            if let Value::Uuid(id) = cells.0[cell!(id)] {
                put(names::ROW_ID, id.to_string().as_str().into());
            }
            put(names::ATTEMPTS, cells.number(cell!(attempts)).into());
            for (name, column) in [
                (names::REDACTED_EMAILS, cell!(redacted_emails)),
                (names::REDACTED_PHONES, cell!(redacted_phones)),
                (names::REDACTED_OTHER, cell!(redacted_other)),
                (names::ATTACHMENTS, cell!(attachments_dropped)),
            ] {
                let count = cells.number(column);
                if count > 0 {
                    put(name, count.into());
                }
            }
        });
    }

    fn put_client(&self, out: &mut Vec<u8>, one: &OneAttempt<'_>) {
        let cells = &self.cells;
        let OneAttempt { attempt, traced, .. } = one;
        let operation = names::operation(cells.text(cell!(endpoint)));
        let asked = cells.text(cell!(model));
        let model = if traced.model.is_empty() { asked } else { traced.model };
        let is_error = attempt.status >= 400 || !attempt.error.is_empty();
        let space = if model.is_empty() { "" } else { " " };
        let head = Head {
            id: &traced.span_id,
            parent: self.span_id.bytes(),
            name: [operation, space, model].concat(),
            kind: CLIENT,
            from_ns: traced.sent_ns,
            to_ns: traced.ended_ns,
            is_error,
        };
        put_message(out, 2, |out| {
            self.put_head(out, &head);
            let mut put = |name: Name, value: Any<'_>| self.put(out, name, &value);
            put(names::OPERATION, operation.into());
            put(names::PROVIDER, names::provider(traced.kind, traced.host).into());
            put(names::SERVER_ADDRESS, traced.host.into());
            put(names::SERVER_PORT, u64::from(traced.port).into());
            put(names::PROVIDER_NAME, attempt.provider.into());
            if !model.is_empty() {
                put(names::MODEL, model.into());
            }
            if cells.number(cell!(stream)) == 1 {
                put(names::STREAM, Any::Bool(true));
            }
            if attempt.status > 0 {
                put(names::STATUS, u64::from(attempt.status).into());
            }
            if one.n > 0 {
                put(names::RESEND_COUNT, (one.n as u64).into());
            }
            if is_error {
                let status = attempt.status.to_string();
                let is_status = attempt.status >= 400;
                put(names::ERROR, if is_status { status.as_str() } else { attempt.error }.into());
            }
            if one.is_last {
                self.put_answer(out, traced);
            }
        });
    }

    /// The attributes of the attempt that answered, or was tried last.
    fn put_answer(&self, out: &mut Vec<u8>, traced: &ReadAttempt<'_>) {
        let cells = &self.cells;
        let mut put = |name: Name, value: Any<'_>| self.put(out, name, &value);
        let request = Fields::of(cells.text(cell!(request)).as_bytes());
        let response = Fields::of(cells.text(cell!(response)).as_bytes());
        let max_tokens = cells.number(cell!(max_tokens));
        if max_tokens > 0 {
            put(names::MAX_TOKENS, max_tokens.into());
        }
        content::parameters(&request).into_iter().for_each(|(name, value)| put(name, value));
        if let Some(id) = response.text("id") {
            put(names::RESPONSE_ID, Any::Text(id));
        }
        let response_model = cells.text(cell!(response_model));
        if !response_model.is_empty() {
            put(names::RESPONSE_MODEL, response_model.into());
        }
        let finish_reason = cells.text(cell!(finish_reason));
        if !finish_reason.is_empty() {
            put(names::FINISH_REASONS, Any::List(vec![finish_reason.into()]));
        }
        if cells.number(cell!(stream)) == 1 && traced.first_byte_ns > traced.sent_ns {
            let seconds = (traced.first_byte_ns - traced.sent_ns) as f64 / 1e9;
            put(names::FIRST_CHUNK, Any::Double(seconds));
        }
        let source = cells.text(cell!(usage_source));
        if source != "none" {
            put(names::USAGE_SOURCE, source.into());
            put(names::INPUT_TOKENS, cells.number(cell!(input_tokens)).into());
            put(names::OUTPUT_TOKENS, cells.number(cell!(output_tokens)).into());
            for (name, column) in [
                (names::CACHE_READ, cell!(cached_tokens)),
                (names::CACHE_WRITE, cell!(cache_write_tokens)),
                (names::REASONING, cell!(reasoning_tokens)),
            ] {
                let count = cells.number(column);
                if count > 0 {
                    put(name, count.into());
                }
            }
        }
        if let Value::NanoUsd(nano) = cells.0[cell!(cost_usd)] {
            // The row keeps the exact integer.
            #[expect(clippy::cast_precision_loss, reason = "a span is for looking at")]
            put(names::COST, Any::Double(nano as f64 / 1e9));
        }
        if self.style.content {
            content::messages(&request).into_iter().for_each(|(name, value)| put(name, value));
            let answer = cells.text(cell!(answer));
            if !answer.is_empty() {
                let (name, value) = content::answer(answer, finish_reason);
                put(name, value);
            }
        }
    }

    fn put_head(&self, out: &mut Vec<u8>, head: &Head<'_>) {
        put_bytes(out, fields::TRACE_ID, self.trace_id.bytes());
        put_bytes(out, fields::SPAN_ID, head.id);
        if !self.traced.state.is_empty() {
            put_bytes(out, fields::TRACE_STATE, self.traced.state.as_bytes());
        }
        if !head.parent.is_empty() {
            put_bytes(out, fields::PARENT, head.parent);
        }
        put_bytes(out, fields::NAME, head.name.as_bytes());
        put_int(out, fields::KIND, head.kind);
        put_fixed64(out, fields::START, self.begun_ns.saturating_add(head.from_ns));
        put_fixed64(out, fields::END, self.begun_ns.saturating_add(head.to_ns.max(head.from_ns)));
        if head.is_error {
            put_message(out, fields::STATUS, |out| put_int(out, fields::CODE, ERROR));
        }
        let remote = if head.kind == SERVER && !head.parent.is_empty() { IS_REMOTE } else { 0 };
        put_fixed32(out, fields::FLAGS, SAMPLED | HAS_IS_REMOTE | remote);
    }

    fn put(&self, out: &mut Vec<u8>, name: Name, value: &Any<'_>) {
        if let Some(name) = name.of(self.style.semconv) {
            put_attribute(out, fields::ATTRIBUTES, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ailog::columns;
    use crate::ailog::tests::row;

    #[test]
    fn a_row_without_its_trace_has_no_spans() {
        let style = Style {
            semconv: Semconv::Current,
            content: true,
            scheme: "http",
            address: "::1".to_owned(),
            port: 1,
        };
        let mut spans = Spans::default();
        let (mut encoded, mut traced) = (Vec::new(), Vec::new());
        let of_trace = (0..)
            .map(row)
            .find(|row| row.traced.is_some() && row.trace_id.is_some() && row.span_id.is_some());
        let row = of_trace.expect("a row");
        columns::encode(&row, &mut encoded);
        row.traced.as_ref().expect("traced").encode(&mut traced);
        put_spans(&mut spans, &encoded, &traced, &style);
        // Attempts whose times are not known have no span.
        assert_eq!(spans.ends.len(), 1);
        assert_eq!(spans.get(0).len(), spans.bytes.len());
        let before = spans.bytes.len();
        put_spans(&mut spans, &encoded[..encoded.len() - 1], &traced, &style);
        put_spans(&mut spans, &encoded, &traced[1..], &style);
        put_spans(&mut spans, &encoded, b"", &style);
        assert_eq!(spans.bytes.len(), before);
    }
}
