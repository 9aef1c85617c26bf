//! The request body on its way in: received, bounded, decoded, redacted and counted, piece by
//! piece.
//!
//! Stage 6 of the walk. A small body is gathered whole before the provider is called; a large one
//! becomes the [`Source`] of a body that streams. The work (see `work`) is done in steps, between
//! which the task yields (see `turns`); a body that takes long is worked on by `body_threads`.
//! Tickets are not forwarded: `reader` reads them.
//!
//! Guarantees: nothing comes out that is not [`Redacted`]; a body that cannot be understood, is too
//! long or stops coming never becomes a complete one upstream; a defect of the redactor is a
//! refusal. Does not choose a provider, or send.

mod arriving;
pub mod coding;
pub mod form;
pub mod rate;
pub mod reader;
mod refusals;
mod seen;
mod sending;
pub mod work;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tollgate_wire::estimate::Asked;

use super::body_threads::Running;
use super::ownership::Ownership;
use super::refusal::{Refusal, overloaded};
use super::turns::Pace;
use crate::bounds::{GATHER_BYTES_MAX, ROUTE_WAIT_BYTES_MAX, TRANSLATED_BYTES_MAX};
use crate::code::Code;
use crate::config::policy::GatewayKey;
use crate::lock::lock;
use crate::redact::{BodyRedactor, Capture, RedactError, Redacted};
use crate::share::{Held, Share};
pub use arriving::Arriving;
pub use refusals::{allowed, judge_head, too_large, too_slow};
use refusals::{refusal_of, too_long_to_translate};
pub use seen::{Beside, Reserved, Seen};
use work::{Decoding, Job, Stepped, Work};

/// Reads one request body.
pub struct Intake {
    arriving: Arriving,
    /// Absent while it is elsewhere, and for good after a defect.
    work: Option<Work>,
    elsewhere: Option<Running<Job>>,
    seen: Arc<Mutex<Seen>>,
    ready: VecDeque<Redacted>,
    /// Gathered in `ready` since it was empty.
    ready_bytes: usize,
    bytes: u64,
    bytes_max: u64,
    finished: bool,
    /// Every model that the body names has to be one of this key's.
    key: Option<Arc<GatewayKey>>,
    pace: Pace,
    /// Judges the stored objects that the body names, unless all may be named.
    pub ownership: Option<Ownership>,
    /// Room for a long beginning that waits for its model.
    pub held: Option<Held>,
    /// The content type under which a form goes on.
    pub form_type: Option<HeaderValue>,
}

/// The result of [`Intake::gather`].
pub enum Gathered {
    /// The whole body.
    Whole(Redacted),
    /// The beginning of a longer one.
    Begun(Vec<Redacted>),
}

impl Intake {
    /// `capture` keeps what the log needs of the redacted body.
    pub fn new(
        arriving: Arriving,
        redactor: BodyRedactor,
        pace: Pace,
        bytes_max: u64,
        capture: Option<Capture>,
    ) -> Intake {
        let seen = Seen { capture: capture.map(Box::new), ..Seen::default() };
        Intake {
            arriving,
            work: Some(Work::new(redactor)),
            elsewhere: None,
            seen: Arc::new(Mutex::new(seen)),
            ready: VecDeque::new(),
            ready_bytes: 0,
            bytes: 0,
            bytes_max,
            finished: false,
            key: None,
            pace,
            ownership: None,
            held: None,
            form_type: None,
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

    /// The body is compressed.
    pub fn decode(&mut self, decoding: Decoding) {
        if let Some(work) = &mut self.work {
            work.decode(decoding);
        }
    }

    /// The facts of the body.
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
                return Ok(Gathered::Whole(whole));
            }
            if gathered < GATHER_BYTES_MAX {
                continue;
            }
            if !needs_model || self.work.as_ref().is_some_and(|work| work.facts().model.is_some()) {
                return Ok(Gathered::Begun(pieces));
            }
            if gathered >= self.route_wait_bytes_max() {
                let message = if self.form_type.is_some() {
                    "`model` must come within the first 32 MiB of a form that is routed by model; \
                     put it before the files"
                } else {
                    "`model` must come within the first MiB of a request body that is routed by \
                     model; put it before the messages"
                };
                return Err(self.refused(
                    Refusal::new(Code::InvalidRequest, message).about("model").closing(),
                ));
            }
            if !self.held.get_or_insert_with(|| room.begin()).grow_to(gathered) {
                return Err(self.refused(overloaded()));
            }
        }
    }

    /// How far `model` is waited for. Clients often write the files of a form first.
    fn route_wait_bytes_max(&self) -> usize {
        if self.form_type.is_some() { TRANSLATED_BYTES_MAX } else { ROUTE_WAIT_BYTES_MAX }
    }

    /// Reads on to the end of a body of which `pieces` have been read.
    ///
    /// # Errors
    /// The body is refused, or longer than `bytes_max`.
    pub async fn gather_rest(
        &mut self,
        mut pieces: Vec<Redacted>,
        bytes_max: usize,
        room: &Share,
    ) -> Result<Redacted, Refusal> {
        let sum = |pieces: &[Redacted]| pieces.iter().map(|p| p.as_bytes().len()).sum::<usize>();
        let mut gathered = sum(&pieces);
        loop {
            if gathered > bytes_max {
                return Err(self.refused(too_long_to_translate(bytes_max)));
            }
            if !self.held.get_or_insert_with(|| room.begin()).grow_to(gathered) {
                return Err(self.refused(overloaded()));
            }
            let from = pieces.len();
            let more = std::future::poll_fn(|cx| self.poll_more(cx, &mut pieces)).await?;
            gathered += sum(&pieces[from..]);
            if !more {
                self.finished = true;
                let whole = Redacted::concat(pieces);
                return Ok(whole);
            }
            Redacted::pack(&mut pieces);
        }
    }

    /// Appends the next redacted pieces; `false` at the end of the body. One step of work: after it
    /// the task gives way.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<Redacted>,
    ) -> Poll<Result<bool, Refusal>> {
        let from = out.len();
        let stepped = ready!(self.poll_step(cx, out)).and_then(|more| self.judge().map(|()| more));
        if stepped.is_ok() {
            self.note(&out[from..]);
        }
        let whole = stepped
            .and_then(|more| if more { Ok(more) } else { self.judge_whole().map(|()| more) });
        Poll::Ready(whole.map_err(|refusal| {
            out.truncate(from);
            self.refused(refusal)
        }))
    }

    /// Reads what the client sends, and works on it here or elsewhere. `false` at the end of the
    /// body.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<Redacted>,
    ) -> Poll<Result<bool, Refusal>> {
        loop {
            if let Some(running) = &mut self.elsewhere {
                let job = ready!(running.poll(cx));
                self.elsewhere = None;
                let Some(job) = job else {
                    return Poll::Ready(Err(refusal_of(&RedactError::Internal)));
                };
                self.pace.ran(job.time);
                self.work = Some(job.work);
                out.extend(job.pieces);
                match job.result? {
                    Stepped::Hungry if job.bytes == 0 => continue,
                    stepped => return Poll::Ready(Ok(stepped != Stepped::Ended)),
                }
            }
            let Some(work) = &self.work else {
                return Poll::Ready(Err(refusal_of(&RedactError::Internal)));
            };
            if work.is_hungry() {
                let Poll::Ready(frame) = self.poll_frame(cx) else {
                    self.pace.rest();
                    return Poll::Pending;
                };
                let frame = frame?;
                let Some(work) = &mut self.work else { continue };
                work.feed(frame);
            }
            if self.pace.is_slow() {
                let most = self.pace.step_bytes();
                self.elsewhere =
                    self.work.take().map(|work| self.pace.run(move |clock| work.job(clock, most)));
                continue;
            }
            let Some(work) = &mut self.work else { continue };
            if !work.is_done() {
                ready!(self.pace.poll_turn(cx));
            }
            let (most, begun) = (self.pace.step_bytes(), self.pace.begin());
            let (stepped, bytes) = work.step(most, out);
            self.pace.end(begun, bytes);
            match stepped? {
                Stepped::Ended => return Poll::Ready(Ok(false)),
                Stepped::More | Stepped::Hungry if bytes > 0 => return Poll::Ready(Ok(true)),
                Stepped::More | Stepped::Hungry => {}
            }
        }
    }

    /// Whether the client has to send more first.
    fn is_hungry(&self) -> bool {
        self.work.as_ref().is_some_and(Work::is_hungry)
    }

    /// Whether the body may be sent, as far as it is read.
    fn judge(&mut self) -> Result<(), Refusal> {
        let Some(facts) = self.work.as_ref().map(Work::facts) else {
            return Err(refusal_of(&RedactError::Internal));
        };
        if let Some(key) = &self.key {
            allowed(key, facts)?;
        }
        self.ownership.as_mut().map_or(Ok(()), |ownership| ownership.judge(facts))
    }

    /// Whether the body, all of it read, asks for more than was reserved when its beginning was
    /// known.
    fn judge_whole(&mut self) -> Result<(), Refusal> {
        self.pace.rest();
        let Some(Reserved { makes, longest, most }) = lock(&self.seen).reserved else {
            return Ok(());
        };
        let Some(facts) = self.work.as_ref().map(Work::facts) else {
            return Err(refusal_of(&RedactError::Internal));
        };
        let asked =
            Asked { makes, bound: facts.output_tokens_max, choices: facts.choices, longest };
        if asked.most() <= most {
            return Ok(());
        }
        let message = "a long request body that asks for longer or more answers than its beginning \
            says, or than its \
                       model gives, has to say so first; put `max_tokens`, `n` and the like before \
                       the messages";
        Err(Refusal::new(Code::InvalidRequest, message).closing())
    }

    /// The next bytes of the client.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        let data = ready!(self.arriving.poll_next(cx)).inspect_err(|_| {
            lock(&self.seen).disconnected |= self.arriving.disconnected;
        })?;
        self.bytes += data.as_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(if self.bytes > self.bytes_max {
            Err(too_large(self.bytes_max))
        } else {
            Ok(data)
        })
    }

    fn note(&mut self, pieces: &[Redacted]) {
        let mut seen = lock(&self.seen);
        seen.bytes = self.bytes;
        let mut fields = None;
        if let Some(work) = &mut self.work {
            work.note(&mut seen);
            fields = work.form_fields();
        }
        if let Some(capture) = &mut seen.capture {
            fields.as_deref().unwrap_or(pieces).iter().for_each(|piece| capture.push(piece));
        }
    }

    fn refused(&mut self, refusal: Refusal) -> Refusal {
        let mut seen = lock(&self.seen);
        seen.bytes = self.bytes;
        if let Some(work) = &self.work {
            work.note(&mut seen);
        }
        seen.refusal = Some(refusal.clone());
        refusal
    }
}
