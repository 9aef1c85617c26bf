//! The request body on its way in: read, bounded, redacted, and counted, piece by piece.
//!
//! Stage 5 of the walk. A small body is gathered whole before the provider is called; a large one becomes the
//! [`Source`] of a body that streams. The work is done in steps, between which the task gives way (see `turns`). Promises: nothing comes out that is not [`Redacted`]; a body that cannot be
//! understood, is too long or stops coming never becomes a complete one upstream; a defect of the redactor is a refusal.
//! Does not: choose a provider, or send.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tollgate_wire::estimate::{Asked, Makes};

use super::arriving::Arriving;
use super::coding::{Coding, Decoder, Fault};
use super::ownership::Ownership;
use super::refusal::{Refusal, overloaded, short_of};
use super::turns::Pace;
use crate::bounds::{GATHER_BYTES_MAX, ROUTE_WAIT_BYTES_MAX};
use crate::code::Code;
use crate::config::policy::GatewayKey;
use crate::lock::lock;
use crate::redact::{BodyRedactor, Facts, Ledger, RedactError, Redacted};
use crate::share::{Held, Resource, Share};
use crate::upstream::replay::{Broken, Source};

/// What is known of a body, also after the walk has ended early. Shared by the source that reads the body and the
/// record of the call.
#[derive(Debug, Default)]
pub struct Seen {
    pub facts: Facts,
    pub ledger: Ledger,
    /// As sent by the client.
    pub bytes: u64,
    /// Text for a model in it, as long as it is when it can be read.
    pub text_bytes: u64,
    /// The beginning of the redacted body, for the log.
    pub capture: Vec<Redacted>,
    capture_left: usize,
    /// The capture does not hold all of it.
    pub cut: bool,
    /// Why the body could not be completed.
    pub refusal: Option<Refusal>,
    /// The client went away while sending it.
    pub disconnected: bool,
    /// What was reserved for its answer before its end was known.
    pub reserved: Option<Reserved>,
}

/// What was reserved for the answer of a body before its end was known.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    pub makes: Makes,
    /// The longest answer of its model.
    pub longest: u64,
    /// Tokens, at most.
    pub most: u64,
}

impl Seen {
    /// The same body for another row, which does not count again what was taken out of it.
    pub fn without_counts(&self) -> Seen {
        Seen {
            facts: self.facts.clone(),
            ledger: Ledger::default(),
            bytes: self.bytes,
            text_bytes: self.text_bytes,
            capture: self.capture.clone(),
            cut: self.cut,
            ..Seen::default()
        }
    }

    /// The body was gathered whole, so that its capture is a slice of it and need not be put together again.
    fn capture_whole(&mut self, body: &Redacted) {
        let kept: usize = self.capture.iter().map(|p| p.as_bytes().len()).sum();
        self.capture = vec![body.prefix(kept)];
    }

    /// A body of which only its size is known.
    pub fn of_size(bytes: u64) -> Seen {
        Seen { bytes, ..Seen::default() }
    }

    /// What is known of a body that was made whole, such as a prompt.
    pub fn of_whole(body: &Redacted, ledger: Ledger, facts: Facts, capture_bytes: usize) -> Seen {
        let kept = body.prefix(capture_bytes);
        let cut = kept.as_bytes().len() < body.as_bytes().len();
        let bytes = body.as_bytes().len() as u64;
        Seen { facts, ledger, bytes, text_bytes: bytes, capture: vec![kept], cut, ..Seen::default() }
    }
}

/// A compressed body on its way in.
pub struct Decoding {
    decoder: Decoder,
    /// Room for the decoder.
    held: Held,
    bytes_max: u64,
}

impl Decoding {
    /// For a body of at most `bytes_max` bytes, decoded. What the decoder takes comes out of `room`.
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
        // Room first: it includes what the next piece may add.
        self.held.take_up_to(self.decoder.memory()).map_err(|short| short_of(Resource::DecoderBytes, short))?;
        self.decoder.next().map_err(|fault| self.refusal(fault))
    }

    /// The input has ended: what is left of the body; nothing at its end.
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
                let message = "the compressed request body grows out of all proportion; send it as it is";
                Refusal::new(Code::BodyTooLarge, message).closing()
            }
            Fault::Broken => {
                let message = "the compressed request body is damaged, cut short, or not of the coding that it names";
                Refusal::new(Code::UnsupportedMediaType, message).closing()
            }
        }
    }
}

/// Reads one request body.
pub struct Intake {
    arriving: Arriving,
    redactor: BodyRedactor,
    seen: Arc<Mutex<Seen>>,
    ready: Vec<Redacted>,
    bytes: u64,
    bytes_max: u64,
    finished: bool,
    /// Every model that the body names has to be one of this key's.
    key: Option<Arc<GatewayKey>>,
    decoding: Option<Box<Decoding>>,
    /// Came from the client and is still to be decoded; where the body is not compressed, nothing.
    encoded: Bytes,
    /// Still to be redacted.
    unread: Bytes,
    pace: Pace,
    /// Judges the stored objects that the body names, unless all may be named.
    pub ownership: Option<Ownership>,
    /// Room for a long beginning that waits for its model.
    pub held: Option<Held>,
}

/// What [`Intake::gather`] found.
pub enum Gathered {
    /// The whole body.
    Whole(Redacted),
    /// The beginning of a longer one.
    Begun(Vec<Redacted>),
}

impl Intake {
    /// `capture_bytes`: how much of the redacted body is kept for the log.
    pub fn new(arriving: Arriving, redactor: BodyRedactor, pace: Pace, bytes_max: u64, capture_bytes: usize) -> Intake {
        let seen = Seen { capture_left: capture_bytes, ..Seen::default() };
        Intake {
            arriving,
            redactor,
            seen: Arc::new(Mutex::new(seen)),
            ready: Vec::new(),
            bytes: 0,
            bytes_max,
            finished: false,
            key: None,
            decoding: None,
            encoded: Bytes::new(),
            unread: Bytes::new(),
            pace,
            ownership: None,
            held: None,
        }
    }

    /// Enough of the body has come: it is no longer one of those that are read.
    pub fn has_come(&mut self) {
        self.arriving.has_come();
    }

    /// Time spent waiting for the client.
    pub fn waited(&self) -> Duration {
        self.arriving.waited
    }

    /// The call is made with a key that may be restricted to certain models.
    pub fn restrict(&mut self, key: &Arc<GatewayKey>) {
        self.key = (!key.models.is_empty()).then(|| Arc::clone(key));
    }

    /// Why the body may not be sent with its key, as far as it is read.
    fn not_allowed(&self) -> Option<Refusal> {
        let key = self.key.as_ref()?;
        let facts = self.redactor.facts();
        if let Some(other) = facts.models.iter().find(|m| !key.may_use(Some(&m.name))) {
            let message = format!("this key may not be used with the model that `{}` names", other.param);
            return Some(Refusal::new(Code::ModelNotFound, message).about("model").closing());
        }
        if facts.models_cut {
            let message = "the request body names too many models, or one with too long a name, for a key that is \
                           restricted to certain models; name fewer";
            return Some(Refusal::new(Code::InvalidRequest, message).closing());
        }
        facts.chooser.map(|field| {
            let message = format!(
                "`{field}` lets the provider choose another model, and this key is restricted to certain models; \
                 leave `{field}` out"
            );
            Refusal::new(Code::InvalidRequest, message).about(field).closing()
        })
    }

    /// The body is compressed.
    pub fn decode(&mut self, decoding: Decoding) {
        self.decoding = Some(Box::new(decoding));
    }

    /// What is known of the body.
    pub fn seen(&self) -> Arc<Mutex<Seen>> {
        Arc::clone(&self.seen)
    }

    /// Reads the whole body if it is small, else its beginning: enough to route by (`needs_model`).
    ///
    /// # Errors
    /// The body is refused.
    pub async fn gather(&mut self, needs_model: bool, room: &Share) -> Result<Gathered, Refusal> {
        let mut pieces = Vec::new();
        let mut gathered = 0;
        loop {
            let from = pieces.len();
            let more = std::future::poll_fn(|cx| self.poll_more(cx, &mut pieces)).await?;
            gathered += pieces[from..].iter().map(|p| p.as_bytes().len()).sum::<usize>();
            Redacted::pack(&mut pieces);
            if !more {
                self.finished = true;
                let whole = Redacted::concat(pieces);
                lock(&self.seen).capture_whole(&whole);
                return Ok(Gathered::Whole(whole));
            }
            if gathered < GATHER_BYTES_MAX {
                continue;
            }
            if !needs_model || self.redactor.facts().model.is_some() {
                return Ok(Gathered::Begun(pieces));
            }
            if gathered >= ROUTE_WAIT_BYTES_MAX {
                let message = "`model` must come within the first MiB of a request body that is routed by model; \
                               put it before the messages";
                return Err(self.refused(Refusal::new(Code::InvalidRequest, message).about("model").closing()));
            }
            if !self.held.get_or_insert_with(|| room.begin()).grow_to(gathered) {
                return Err(self.refused(overloaded()));
            }
        }
    }

    /// Appends the next redacted pieces; `false` at the end of the body. One step of work: after it the task gives way.
    fn poll_more(&mut self, cx: &mut Context<'_>, out: &mut Vec<Redacted>) -> Poll<Result<bool, Refusal>> {
        let from = out.len();
        let chunk = match ready!(self.poll_chunk(cx)) {
            Ok(chunk) => chunk,
            Err(refusal) => return Poll::Ready(Err(self.refused(refusal))),
        };
        let (more, bytes) = (chunk.is_some(), chunk.as_ref().map_or(0, Bytes::len));
        let Intake { pace, redactor, .. } = self;
        // A defect in a detector must not let the body pass: it is caught here and the call refused.
        let redact = AssertUnwindSafe(|| match chunk {
            Some(chunk) => redactor.push(chunk, out),
            None => redactor.finish(out),
        });
        let redacted = pace.step(bytes, || catch_unwind(redact)).unwrap_or(Err(RedactError::Internal));
        if let Err(error) = redacted {
            out.truncate(from);
            return Poll::Ready(Err(self.refused(refusal_of(&error))));
        }
        if let Some(refusal) = self.not_allowed() {
            out.truncate(from);
            return Poll::Ready(Err(self.refused(refusal)));
        }
        if let Some(ownership) = &mut self.ownership
            && let Err(refusal) = ownership.judge(self.redactor.facts())
        {
            out.truncate(from);
            return Poll::Ready(Err(self.refused(refusal)));
        }
        self.note(&out[from..]);
        if !more {
            self.pace.rest();
        }
        if !more && self.asks_too_much() {
            out.truncate(from);
            let message = "a long request body that asks for longer or more answers than its beginning says, or than its \
                           model gives, has to say so first; put `max_tokens`, `n` and the like before the messages";
            return Poll::Ready(Err(self.refused(Refusal::new(Code::InvalidRequest, message).closing())));
        }
        Poll::Ready(Ok(more))
    }

    /// Whether the whole body asks for more than was reserved when its beginning was known.
    fn asks_too_much(&self) -> bool {
        let Some(Reserved { makes, longest, most }) = lock(&self.seen).reserved else { return false };
        let facts = self.redactor.facts();
        Asked { makes, bound: facts.output_tokens_max, choices: facts.choices, longest }.most() > most
    }

    /// The next bytes of the body, as they are to be read, as many as a step may have; nothing at its end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        loop {
            if !self.unread.is_empty() {
                ready!(self.pace.poll_turn(cx));
                let step = self.pace.step_bytes().min(self.unread.len());
                return Poll::Ready(Ok(Some(self.unread.split_to(step))));
            }
            if let Some(decoding) = &mut self.decoding {
                ready!(self.pace.poll_turn(cx));
                if let Some(piece) = self.pace.step(0, || decoding.next())? {
                    self.unread = piece;
                    continue;
                }
                if !self.encoded.is_empty() {
                    let step = self.pace.step_bytes().min(self.encoded.len());
                    decoding.push(self.encoded.split_to(step));
                    continue;
                }
            }
            let Poll::Ready(frame) = self.poll_frame(cx) else {
                self.pace.rest();
                return Poll::Pending;
            };
            match (frame?, &mut self.decoding) {
                (Some(chunk), Some(_)) => self.encoded = chunk,
                (Some(chunk), None) => self.unread = chunk,
                (None, Some(decoding)) => {
                    ready!(self.pace.poll_turn(cx));
                    match self.pace.step(0, || decoding.finish())? {
                        Some(piece) => self.unread = piece,
                        None => return Poll::Ready(Ok(None)),
                    }
                }
                (None, None) => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// The next bytes of the client.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        let data = ready!(self.arriving.poll_next(cx)).inspect_err(|_| {
            lock(&self.seen).disconnected |= self.arriving.disconnected;
        })?;
        self.bytes += data.as_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(if self.bytes > self.bytes_max { Err(too_large(self.bytes_max)) } else { Ok(data) })
    }

    fn note(&mut self, pieces: &[Redacted]) {
        let mut seen = lock(&self.seen);
        seen.bytes = self.bytes;
        seen.text_bytes = self.redactor.text_bytes();
        for piece in pieces {
            let bytes = piece.as_bytes();
            if bytes.len() > seen.capture_left {
                seen.cut = true;
            }
            if seen.capture_left > 0 && !bytes.is_empty() {
                let kept = piece.prefix(seen.capture_left);
                seen.capture_left -= kept.as_bytes().len();
                seen.capture.push(kept);
                Redacted::pack(&mut seen.capture);
            }
        }
        if seen.facts != *self.redactor.facts() {
            seen.facts = self.redactor.facts().clone();
        }
        if seen.ledger != *self.redactor.ledger() {
            seen.ledger = self.redactor.ledger().clone();
        }
    }

    fn refused(&mut self, refusal: Refusal) -> Refusal {
        let mut seen = lock(&self.seen);
        seen.bytes = self.bytes;
        seen.text_bytes = self.redactor.text_bytes();
        seen.facts = self.redactor.facts().clone();
        seen.ledger = self.redactor.ledger().clone();
        seen.refusal = Some(refusal.clone());
        refusal
    }
}

impl Source for Intake {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Redacted, Broken>>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Some(Ok(Redacted::concat(std::mem::take(&mut self.ready)))));
            }
            if self.finished {
                return Poll::Ready(None);
            }
            let mut out = Vec::new();
            match ready!(self.poll_more(cx, &mut out)) {
                Ok(more) => self.finished = !more,
                Err(_) => {
                    self.finished = true;
                    return Poll::Ready(Some(Err(Broken)));
                }
            }
            self.ready = out;
        }
    }
}

/// The 413 of a body longer than `bytes_max`.
pub fn too_large(bytes_max: u64) -> Refusal {
    let message = format!("the request body is too large; at most {bytes_max} bytes are taken");
    Refusal::new(Code::BodyTooLarge, message).closing()
}

fn refusal_of(error: &RedactError) -> Refusal {
    let code = match error {
        RedactError::InvalidJson { .. } => Code::InvalidJson,
        RedactError::InvalidRequest { .. } => Code::InvalidRequest,
        RedactError::Attachment { .. } => Code::AttachmentsNotAllowed,
        RedactError::Internal => Code::RedactionFailed,
    };
    Refusal::new(code, error.to_string()).closing()
}
