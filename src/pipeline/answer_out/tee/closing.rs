//! The row of a streaming answer: its usage, its redacted text, and its end.
//!
//! Stages 11 and 12 of the walk. Guarantees: the row is closed before the last bytes go out; a long
//! text is redacted in steps. If the client leaves, the row has the usage and at most
//! [`LEFT_BYTES_MAX`] bytes of text that are known by then. Does not read the answer (`tee` does).

use bytes::Bytes;

use super::{Tee, TeeKind};
use crate::ailog::row::Outcome;
use crate::bounds::STEP_BYTES_MAX;
use crate::code::Code;
use crate::redact::{self, AnswerRedactor, Captured};

/// A row that is closed when its text has been redacted.
pub(crate) struct Closing {
    pub(crate) text: AnswerRedactor,
    /// The text is not all of the answer.
    cut: bool,
    outcome: Outcome,
    code: Option<Code>,
}

/// The part of an answer that goes into the log, not yet redacted.
struct Raw {
    text: Bytes,
    /// It is complete JSON.
    whole: bool,
    cut: bool,
}

/// Bytes that are redacted at once when the client has left: then the work cannot give way to
/// others. The rest is not kept.
const LEFT_BYTES_MAX: usize = 64 << 10;

impl Tee {
    pub(crate) fn record_stream(&mut self, outcome: Outcome, code: Option<Code>) {
        if !self.is_recorded() {
            let captured = self.note_stream();
            self.record(captured, outcome, code);
        }
    }

    pub(crate) fn record_plain(&mut self, outcome: Outcome, code: Option<Code>) {
        let captured = self.note_plain();
        self.record(captured, outcome, code);
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.closing.is_some() || self.record.is_closed()
    }

    /// Closes the row; where there is much to redact for it, in steps, before anything more goes
    /// out.
    fn record(&mut self, captured: Option<Raw>, outcome: Outcome, code: Option<Code>) {
        let Some(Raw { text, whole, cut }) = captured else {
            self.closed(None, outcome, code);
            return;
        };
        if text.len() > STEP_BYTES_MAX {
            let text = AnswerRedactor::new(&self.log.rules, text, whole, self.log.capture_bytes);
            self.closing = Some(Box::new(Closing { text, cut, outcome, code }));
            return;
        }
        let begun = self.pace.begin();
        let kept = redact::answer(&self.log.rules, &text, whole, self.log.capture_bytes);
        self.pace.end(begun, text.len());
        self.closed(Some(Captured { is_cut: kept.is_cut || cut, ..kept }), outcome, code);
    }

    /// The text of the row has been redacted.
    pub(crate) fn close(&mut self) {
        let Some(closing) = self.closing.take() else { return };
        let Closing { text, cut, outcome, code } = *closing;
        let kept = text.finish();
        self.closed(Some(Captured { is_cut: kept.is_cut || cut, ..kept }), outcome, code);
    }

    fn closed(&mut self, kept: Option<Captured>, outcome: Outcome, code: Option<Code>) {
        if let Some(kept) = kept {
            self.record.answered(kept);
        }
        self.record.close(self.status, outcome, code);
        self.durable = self.record.durable().map(Box::new);
    }

    /// Notes the usage, and returns the text for the log.
    fn note_stream(&mut self) -> Option<Raw> {
        let TeeKind::Events { translated, stream, .. } = &self.kind else { return None };
        self.record.row().response_bytes = self.bytes;
        if let Some(translated) = translated {
            // The provider's own figures, whatever the caller saw of them.
            let facts = translated.facts();
            self.record.answer_ended(facts.finish_reason.clone().into(), stream.tool_calls());
            if facts.is_complete && facts.usage.is_some() {
                self.record.used(facts.usage, &facts.model);
            } else {
                self.record.used_about(facts.usage, facts.text_bytes, &facts.model);
            }
        } else {
            self.note_usage();
        }
        let TeeKind::Events { stream, .. } = &self.kind else { return None };
        self.log.capture.then(|| {
            let transcript = stream.transcript();
            let json = serde_json::to_vec(transcript).unwrap_or_default();
            Raw { text: Bytes::from(json), whole: true, cut: transcript.is_cut() }
        })
    }

    /// Notes the usage that the events of the stream have told.
    fn note_usage(&mut self) {
        let TeeKind::Events { format, stream, .. } = &self.kind else { return };
        let (told, written) = (stream.usage(), stream.text_bytes());
        self.record.answer_ended(stream.finish_reason().clone(), stream.tool_calls());
        // Before the end a provider reports nothing, or of the beginning only.
        if !stream.is_usage_final() && (written > 0 || told.is_some()) && format.is_generated() {
            self.record.used_about(told, written, stream.model());
        } else {
            self.record.used(told, stream.model());
        }
    }

    /// The same of a plain answer.
    fn note_plain(&mut self) -> Option<Raw> {
        let TeeKind::Plain { prefix, textual, tail, format, .. } = &mut self.kind else {
            return None;
        };
        self.record.row().response_bytes = self.bytes;
        if !*textual {
            return None;
        }
        let facts = format.read_usage_in_tail(tail);
        self.record.used(facts, "");
        self.log.capture.then(|| {
            let whole = prefix.len() as u64 == self.bytes;
            Raw { text: prefix.split().freeze(), whole, cut: !whole }
        })
    }
}

impl Drop for Tee {
    /// The client left: what is known by now goes into the row, which the record then writes.
    fn drop(&mut self) {
        if self.record.is_closed() {
            return;
        }
        let (text, cut) = match self.closing.take() {
            Some(closing) => (closing.text, closing.cut),
            None => {
                let Some(Raw { mut text, whole, cut }) =
                    self.note_stream().or_else(|| self.note_plain())
                else {
                    return;
                };
                let long = text.len() > LEFT_BYTES_MAX;
                text.truncate(LEFT_BYTES_MAX);
                let mut text = AnswerRedactor::new(
                    &self.log.rules,
                    text,
                    whole && !long,
                    self.log.capture_bytes,
                );
                while !text.step(STEP_BYTES_MAX) {}
                (text, cut || long)
            }
        };
        let kept = text.finish();
        self.record.answered(Captured { is_cut: kept.is_cut || cut, ..kept });
    }
}
