//! The work on a request body: decoding and redacting, without its task.
//!
//! Stage 6 of the walk. Pure but for the clock that a job is given. It owns all that it needs, so
//! that a long body can be worked on by another thread (see `body_threads`). Guarantees: a step
//! takes a bounded piece of input; a defect of the redactor is an error. Does not: read from the
//! client, or interpret the body.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;

use super::coding::{Coding, Decoder, Fault};
use super::{Beside, Seen, refusal_of, too_large};
use crate::bounds::{BODY_JOB_BYTES_MAX, BODY_JOB_TIME_MAX};
use crate::clock::Clock;
use crate::code::Code;
use crate::pipeline::refusal::{Refusal, short_of};
use crate::redact::{BodyRedactor, Counted, Facts, RedactError, Redacted};
use crate::share::{Held, Resource, Share};

/// A compressed body on its way in.
pub struct Decoding {
    decoder: Decoder,
    /// Room for the decoder.
    held: Held,
    bytes_max: u64,
}

impl Decoding {
    /// For a body of at most `bytes_max` bytes, decoded. The decoder's memory comes out of `room`.
    pub fn new(coding: Coding, bytes_max: u64, room: &Share) -> Decoding {
        Decoding { decoder: Decoder::new(coding, bytes_max), held: room.begin(), bytes_max }
    }

    /// Takes the next bytes, after [`Decoding::next`] has given nothing more.
    pub fn push(&mut self, chunk: Bytes) {
        self.decoder.push(chunk);
    }

    /// The next piece; nothing where more input is needed.
    ///
    /// # Errors
    /// The body is refused.
    pub fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        // The memory first: it includes the growth by the next piece.
        self.held
            .take_up_to(self.decoder.memory())
            .map_err(|short| short_of(Resource::DecoderBytes, short))?;
        self.decoder.next().map_err(|fault| self.refusal(fault))
    }

    /// The input has ended: returns the rest of the body; empty at its end.
    ///
    /// # Errors
    /// The body is refused.
    pub fn finish(&mut self) -> Result<Option<Bytes>, Refusal> {
        self.decoder.finish().map_err(|fault| self.refusal(fault))
    }

    fn refusal(&self, fault: Fault) -> Refusal {
        match fault {
            Fault::TooLarge => too_large(self.bytes_max),
            Fault::Bomb => {
                let message = "the compressed request body expands too much; send it uncompressed";
                Refusal::new(Code::BodyTooLarge, message).closing()
            }
            Fault::Broken => {
                let message = "the compressed request body is damaged or incomplete, or \
                    Content-Encoding names another coding";
                Refusal::new(Code::UnsupportedMediaType, message).closing()
            }
        }
    }
}

/// The work on one body.
pub struct Work {
    redactor: BodyRedactor,
    decoding: Option<Box<Decoding>>,
    /// Came from the client and is still to be decoded; where the body is not compressed, nothing.
    encoded: Bytes,
    /// Still to be redacted.
    unread: Bytes,
    /// The client has sent all of it.
    ended: bool,
    hungry: bool,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// There is more to work on.
    More,
    /// The client's next bytes are needed.
    Hungry,
    /// The body has ended.
    Ended,
}

/// Steps that were done at once.
pub struct Job {
    pub work: Work,
    pub pieces: Vec<Redacted>,
    /// Of the body, as it is to be read.
    pub bytes: usize,
    pub time: Duration,
    pub result: Result<Stepped, Refusal>,
}

impl Work {
    /// Work on a body that is redacted so.
    pub fn new(redactor: BodyRedactor) -> Work {
        let (encoded, unread) = (Bytes::new(), Bytes::new());
        Work { redactor, decoding: None, encoded, unread, ended: false, hungry: true }
    }

    /// The body is compressed.
    pub fn decode(&mut self, decoding: Decoding) {
        self.decoding = Some(Box::new(decoding));
    }

    /// Whether the client's next bytes are needed.
    pub fn is_hungry(&self) -> bool {
        self.hungry
    }

    /// Whether only the end is left.
    pub fn is_done(&self) -> bool {
        self.ended && self.unread.is_empty() && self.decoding.is_none()
    }

    /// The client's next bytes, when it is hungry; nothing at their end.
    pub fn feed(&mut self, frame: Option<Bytes>) {
        self.hungry = false;
        match frame {
            None => self.ended = true,
            Some(data) if self.decoding.is_some() => self.encoded = data,
            Some(data) => self.unread = data,
        }
    }

    /// The facts of the body, as far as it is read.
    pub fn facts(&self) -> &Facts {
        self.redactor.facts()
    }

    /// The redacted fields of a form, as JSON; nothing if the body is no form.
    pub fn form_fields(&mut self) -> Option<Vec<Redacted>> {
        self.redactor.form_fields()
    }

    /// Records the facts of the body.
    pub fn note(&self, seen: &mut Seen) {
        seen.text_bytes = self.redactor.text_bytes();
        seen.text_chars = self.redactor.text_chars();
        if seen.facts != *self.redactor.facts() {
            seen.facts = self.redactor.facts().clone();
        }
        if seen.ledger != *self.redactor.ledger() {
            seen.ledger = self.redactor.ledger().clone();
        }
        if let Some(Counted { ledger, error, is_done }) = self.redactor.counted_beside() {
            let ledger = ledger.clone();
            seen.beside = Some(Beside { ledger, error: error.cloned(), is_done });
        }
    }

    /// Decodes a piece if one is due, and redacts at most `most` bytes. Returns the result, and how
    /// many bytes were redacted.
    pub fn step(
        &mut self,
        most: usize,
        out: &mut Vec<Redacted>,
    ) -> (Result<Stepped, Refusal>, usize) {
        if self.unread.is_empty() {
            match self.next(most) {
                Ok(Stepped::More) if !self.unread.is_empty() => {}
                Ok(Stepped::Ended) => return (self.redact(None, out).map(|()| Stepped::Ended), 0),
                other => return (other, 0),
            }
        }
        let piece = self.unread.split_to(most.min(self.unread.len()));
        let bytes = piece.len();
        let redacted = self.redact(Some(piece), out);
        self.hungry = self.unread.is_empty() && self.decoding.is_none() && !self.ended;
        let stepped = if self.hungry { Stepped::Hungry } else { Stepped::More };
        (redacted.map(|()| stepped), bytes)
    }

    /// Finds the next text to redact.
    fn next(&mut self, most: usize) -> Result<Stepped, Refusal> {
        if let Some(decoding) = &mut self.decoding {
            if let Some(piece) = decoding.next()? {
                self.unread = piece;
                return Ok(Stepped::More);
            }
            if !self.encoded.is_empty() {
                decoding.push(self.encoded.split_to(most.min(self.encoded.len())));
                return Ok(Stepped::More);
            }
            if self.ended
                && let Some(piece) = decoding.finish()?
            {
                self.unread = piece;
                return Ok(Stepped::More);
            }
        }
        self.hungry = !self.ended;
        Ok(if self.ended { Stepped::Ended } else { Stepped::Hungry })
    }

    /// A defect in a detector must not let the body pass: it is caught here and the call refused.
    fn redact(&mut self, piece: Option<Bytes>, out: &mut Vec<Redacted>) -> Result<(), Refusal> {
        let Work { redactor, .. } = self;
        let redact = AssertUnwindSafe(|| match piece {
            Some(piece) => redactor.push(piece, out),
            None => redactor.finish(out),
        });
        let redacted = catch_unwind(redact).unwrap_or(Err(RedactError::Internal));
        redacted.map_err(|error| refusal_of(&error))
    }

    /// Steps of at most `most` bytes, until something is due that needs the task, or others should
    /// have their turn.
    pub fn job(mut self, clock: Clock, most: usize) -> Job {
        let (begun, mut pieces, mut bytes) = (clock.now(), Vec::new(), 0);
        loop {
            let (result, did) = self.step(most, &mut pieces);
            bytes += did;
            let time = clock.now().since(begun);
            if bytes >= BODY_JOB_BYTES_MAX
                || time >= BODY_JOB_TIME_MAX
                || !matches!(result, Ok(Stepped::More))
            {
                return Job { work: self, pieces, bytes, time, result };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use tollgate_wire::Format;

    use super::*;
    use crate::bounds::{STEP_BYTES_MAX, STEP_BYTES_MIN};
    use crate::metrics::Metrics;
    use crate::pipeline::tenants::Tenants;
    use crate::redact::{Rules, RulesSpec};
    use crate::share::Party;

    /// A body of many steps.
    fn body() -> Vec<u8> {
        let text = "Write to jane.doe@example.com or call +14155550132, please. ".repeat(5_000);
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#).into_bytes()
    }

    fn work(coding: Option<Coding>) -> Work {
        let entities = vec!["email".to_owned(), "phone".to_owned()];
        let spec = RulesSpec { entities, ..RulesSpec::default() };
        let rules = Arc::new(Rules::compile(&spec).expect("rules"));
        let mut work = Work::new(BodyRedactor::new(rules, *Format::OpenAiChat.schema(), false));
        if let Some(coding) = coding {
            let tenants = Tenants::new(10, 10, 1 << 20, &Metrics::new());
            work.decode(Decoding::new(coding, 1 << 30, &tenants.decoders.of(&Party::new())));
        }
        work
    }

    fn bytes(pieces: Vec<Redacted>) -> Vec<u8> {
        Redacted::concat(pieces).as_bytes().to_vec()
    }

    /// Fed in frames of so many bytes, and done by jobs.
    fn by_jobs(mut work: Work, sent: &[u8], frame: usize, most: usize) -> Result<Vec<u8>, Refusal> {
        let (clock, mut frames, mut pieces) = (Clock::start(), sent.chunks(frame), Vec::new());
        loop {
            if work.is_hungry() {
                work.feed(frames.next().map(Bytes::copy_from_slice));
            }
            let job = work.job(clock, most);
            assert!(job.bytes < BODY_JOB_BYTES_MAX + STEP_BYTES_MAX, "{}", job.bytes);
            pieces.extend(job.pieces);
            work = job.work;
            if job.result? == Stepped::Ended {
                return Ok(bytes(pieces));
            }
        }
    }

    #[test]
    fn jobs_make_the_same_of_a_body_as_steps() {
        let (body, mut work_by_steps, mut pieces) = (body(), work(None), Vec::new());
        work_by_steps.feed(Some(Bytes::from(body.clone())));
        while !work_by_steps.is_hungry() {
            assert!(work_by_steps.step(STEP_BYTES_MAX, &mut pieces).0.is_ok());
        }
        work_by_steps.feed(None);
        assert!(work_by_steps.is_done());
        assert!(matches!(work_by_steps.step(1, &mut pieces), (Ok(Stepped::Ended), 0)));
        let expected = bytes(pieces);
        assert!(!expected.windows(4).any(|part| part == b"jane"));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&body).expect("memory");
        let packed = gzip.finish().expect("memory");
        for (frame, most) in [(1 << 20, STEP_BYTES_MAX), (70_000, 1_000), (333, STEP_BYTES_MIN)] {
            assert_eq!(
                by_jobs(work(None), &body, frame, most).expect("a body"),
                expected,
                "{frame}, {most}"
            );
            let unpacked = by_jobs(work(Some(Coding::Gzip)), &packed, frame, most);
            assert_eq!(unpacked.expect("a body"), expected, "{frame}, {most}, packed");
        }
    }

    #[test]
    fn a_job_tells_what_is_wrong_with_a_body() {
        let code = |work, sent: &[u8]| {
            by_jobs(work, sent, 7, STEP_BYTES_MAX).map(drop).map_err(|refusal| refusal.code)
        };
        assert_eq!(code(work(None), b"{\"model\":\"m\""), Err(Code::InvalidJson));
        assert_eq!(
            code(work(Some(Coding::Gzip)), b"{\"model\":\"m\"}"),
            Err(Code::UnsupportedMediaType)
        );
    }
}
