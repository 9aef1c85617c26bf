//! A provider's streaming answer on its way to the client, teed to usage and log.
//!
//! Stage 11 of the walk. Events of a stream are passed on whole and unchanged, as they come: those
//! that are here together leave together, and one that comes alone does not wait. Other bodies are
//! passed on frame by frame.
//!
//! Guarantees: the row is written before the client can see that the answer is complete (its last
//! event, or the last byte of a known length); a stream that breaks is closed by the endpoint's own
//! error event and never by `[DONE]`; a slow client holds the provider back, because nothing is
//! read that has not been asked for; comments for the client of a silent stream stand between
//! events and never behind the last. Does not retry. Its row is closed in `closing`.

mod closing;
mod gather;
mod kind;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use tollgate_wire::sse::{self, EventReader, Piece};
use tollgate_wire::{Role, StreamFailure, StreamReader, translate};

use self::closing::Closing;
use super::super::record::Record;
use super::super::turns::Pace;
use super::answering::{Answering, Held, Logged};
use super::cut::Cut;
use super::idle::{Due, Silence};
use super::rewrite::{Bodies, Events};
use super::slices::pass;
use crate::ailog::Durable;
use crate::ailog::row::Outcome;
use crate::bounds::{CALL_BYTES_FREE, SSE_EVENT_BYTES_MAX};
use crate::code::Code;
use kind::TeeKind;

/// The messages to the client of a stream that breaks.
const BROKEN: &str = "The AI service stopped before the answer was complete. Please try again.";
const UNREADABLE: &str = "The AI service sent an answer that could not be read. Please try again.";
const TOO_SLOW: &str = "The AI service took too long to complete the answer. Please try again.";

/// Sent to the client of a silent stream: a comment, which readers of event streams skip.
const COMMENT: &[u8] = b": keep-alive\n\n";

/// One streaming answer.
pub struct Tee {
    /// Absent once it has ended or failed.
    incoming: Option<Incoming>,
    /// Bytes from the provider that are still to be read.
    unread: Bytes,
    /// Nothing follows them.
    unread_is_last: bool,
    ready: VecDeque<Bytes>,
    /// How often this has given way since the provider had nothing more.
    gave_way: u8,
    kind: TeeKind,
    status: u16,
    record: Record,
    log: Logged,
    bytes: u64,
    silence: Silence,
    cut: Cutting,
    /// Nothing goes out before this is done, and then the row is closed.
    closing: Option<Box<Closing>>,
    /// Nothing goes out before this is ready.
    durable: Option<Box<Durable>>,
    held: Held,
    pace: Pace,
}

/// Whether the connection is to be cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cutting {
    No,
    AfterFlush,
    Now,
}

/// A stream of events that has begun.
pub struct Arriving {
    /// Nothing, if all of it has been read.
    pub incoming: Option<Incoming>,
    /// The part of it that has been read.
    pub read: Bytes,
    /// Translates it.
    pub translated: Option<translate::Stream>,
}

/// How much of the end of a long JSON answer is kept: usage stands there.
const TAIL_BYTES: usize = 4 << 10;

impl Tee {
    /// An event stream. The usage event is dropped if only the gateway asked for it.
    pub fn events(answering: Answering, stream: Arriving, rewrite: Option<Box<Events>>) -> Tee {
        let Arriving { incoming, read, translated } = stream;
        let Answering { format, log, record, .. } = &answering;
        let capture_bytes = if log.capture { log.capture_bytes.saturating_add(1024) } else { 0 };
        let kind = TeeKind::Events {
            format: *format,
            reader: EventReader::new(SSE_EVENT_BYTES_MAX),
            stream: Box::new(StreamReader::new(*format, capture_bytes)),
            drop_usage: record.drop_usage(),
            pieces: Vec::new(),
            rewrite,
            translated: translated.map(Box::new),
        };
        Tee::new(answering, kind, incoming, read)
    }

    /// Any other answer, of which `read` has been read already. `textual`: it is text that a log
    /// can keep.
    pub fn plain(
        answering: Answering,
        incoming: Option<Incoming>,
        read: Bytes,
        textual: bool,
        rewrite: Option<Box<Bodies>>,
    ) -> Tee {
        let (prefix, tail) = (BytesMut::new(), BytesMut::new());
        let kind = TeeKind::Plain { prefix, textual, tail, format: answering.format, rewrite };
        Tee::new(answering, kind, incoming, read)
    }

    fn new(answering: Answering, kind: TeeKind, incoming: Option<Incoming>, read: Bytes) -> Tee {
        let Answering { status, record, log, patience, held, pace, .. } = answering;
        Tee {
            unread_is_last: incoming.is_none(),
            incoming,
            unread: read,
            ready: VecDeque::new(),
            gave_way: 0,
            kind,
            status,
            record,
            log,
            bytes: 0,
            silence: Silence::new(patience),
            cut: Cutting::No,
            closing: None,
            durable: None,
            held,
            pace,
        }
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        let nothing_left =
            self.incoming.is_none() && self.unread.is_empty() && self.ready.is_empty();
        nothing_left && self.cut == Cutting::No && self.closing.is_none() && self.durable.is_none()
    }

    /// The next bytes for the client.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        loop {
            if let Some(closing) = &mut self.closing {
                ready!(self.pace.poll_turn(cx));
                let bytes = self.pace.step_bytes();
                if self.pace.step(bytes.min(closing.text.left()), || closing.text.step(bytes)) {
                    self.close();
                }
                continue;
            }
            if let Some(durable) = &mut self.durable {
                ready!(Pin::new(&mut **durable).poll(cx));
                self.durable = None;
            }
            if !self.ready.is_empty() && !self.may_gather() {
                return Poll::Ready(self.leave().map(Ok));
            }
            match self.cut {
                Cutting::No => {}
                Cutting::AfterFlush => {
                    // Pieces handed on before go out first: a client that sees the head sees
                    // that the rest is missing.
                    self.cut = Cutting::Now;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Cutting::Now => {
                    self.cut = Cutting::No;
                    return Poll::Ready(Some(Err(Cut)));
                }
            }
            if !self.unread.is_empty() {
                ready!(self.pace.poll_turn(cx));
                self.look();
                continue;
            }
            let Some(incoming) = self.incoming.as_mut() else {
                self.pace.rest();
                return Poll::Ready(None);
            };
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending if !self.ready.is_empty() => {
                    ready!(self.give_way(cx));
                    return Poll::Ready(self.leave().map(Ok));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.gave_way = 0;
                    let last = incoming.is_end_stream();
                    if let Ok(data) = frame.into_data() {
                        if !self.silence.heard() {
                            self.broke(Outcome::Timeout, Code::ProviderTimeout, TOO_SLOW);
                            continue;
                        }
                        self.unread = data;
                    }
                    self.unread_is_last = last;
                    if last && self.unread.is_empty() {
                        self.ended();
                    }
                }
                Poll::Ready(None) => self.ended(),
                Poll::Ready(Some(Err(_))) => {
                    self.broke(Outcome::ProviderError, Code::ProviderUnavailable, BROKEN)
                }
                Poll::Pending => match {
                    self.pace.rest();
                    ready!(self.silence.poll(cx, self.kind.is_between_events()))
                } {
                    Due::Comment => self.ready.push_back(Bytes::from_static(COMMENT)),
                    Due::End => self.broke(Outcome::Timeout, Code::ProviderTimeout, TOO_SLOW),
                },
            }
        }
    }

    /// Takes as much of what came as a step may have.
    fn look(&mut self) {
        let data = self.unread.split_to(self.pace.step_bytes().min(self.unread.len()));
        let (bytes, begun) = (data.len(), self.pace.begin());
        self.take(data);
        self.pace.end(begun, bytes);
        // The last byte of a known length tells the client that the answer is complete: record
        // first.
        if self.unread.is_empty() && self.unread_is_last {
            self.ended();
        }
    }

    /// Takes bytes of the provider and makes ready what the client gets of them.
    fn take(&mut self, data: Bytes) {
        let first = self.bytes == 0;
        self.bytes += data.len() as u64;
        if matches!(self.kind, TeeKind::Plain { .. }) {
            self.record.cached.take(&data);
        }
        match &mut self.kind {
            TeeKind::Plain { prefix, textual, tail, rewrite, .. } => {
                // Of a long answer what has been read by now, where its own id stands.
                if let Some(learning) = self.log.learning.as_ref().filter(|_| first) {
                    learning.answer(&data);
                }
                if *textual {
                    let room = self.log.capture_bytes.saturating_sub(prefix.len()).min(data.len());
                    prefix.extend_from_slice(&data[..room]);
                    if data.len() >= TAIL_BYTES {
                        tail.clear();
                        tail.extend_from_slice(&data[data.len() - TAIL_BYTES..]);
                    } else {
                        let surplus = (tail.len() + data.len()).saturating_sub(TAIL_BYTES);
                        bytes::Buf::advance(tail, surplus);
                        tail.extend_from_slice(&data);
                    }
                }
                let Some(rewrite) = rewrite else { return self.ready.push_back(data) };
                let mut changed = Vec::new();
                let read = rewrite.push(data, &mut changed);
                rewrite.masked().into_iter().for_each(|ledger| self.record.masked(ledger));
                self.ready.extend(changed);
                if read.is_err() {
                    self.broke(Outcome::ProviderError, Code::ProviderAnswerInvalid, UNREADABLE);
                }
            }
            TeeKind::Events { translated: Some(stream), .. } => {
                let mut out = Vec::new();
                let failure = stream.push(data, &mut out).err();
                self.take_translated(out, failure);
            }
            TeeKind::Events { reader, pieces, .. } => {
                reader.push(data.clone(), pieces);
                if reader.held_bytes() > CALL_BYTES_FREE
                    && !self.held.room.grow_to(reader.held_bytes())
                {
                    reader.flush_partial(pieces);
                }
                self.take_events(&data);
            }
        }
    }

    /// Takes events of the caller's format that were made of what the provider sent, and the
    /// failure that ends them. Returns whether there was none.
    fn take_translated(&mut self, events: Vec<u8>, failure: Option<translate::Failure>) -> bool {
        let events = Bytes::from(events);
        if let TeeKind::Events { reader, pieces, .. } = &mut self.kind {
            reader.push(events.clone(), pieces);
            self.take_events(&events);
        }
        match &failure {
            None => return true,
            Some(translate::Failure::Invalid(_)) => {
                self.broke(Outcome::ProviderError, Code::ProviderAnswerInvalid, UNREADABLE);
            }
            Some(translate::Failure::Cut) => {
                self.broke(Outcome::ProviderError, Code::ProviderUnavailable, BROKEN);
            }
            Some(translate::Failure::Provider(error)) => {
                let message = error.shown_message().to_owned();
                self.broke(Outcome::ProviderError, Code::ProviderUnavailable, &message);
            }
        }
        false
    }

    /// Makes ready what the client gets of the events that `chunk` completed. Neighbours within the
    /// chunk leave as one slice of it.
    fn take_events(&mut self, chunk: &Bytes) {
        let TeeKind::Events { stream, drop_usage, pieces, rewrite, .. } = &mut self.kind else {
            return;
        };
        // Before anything is put back or taken out, which each call does for itself.
        self.record.cached.take(chunk);
        let (mut over, mut failed, mut unreadable) = (false, false, false);
        let has_begun = stream.text_bytes() > 0;
        let mut run = 0..0;
        for piece in pieces.drain(..) {
            if let Piece::Event(event) = &piece {
                let parsed = sse::parse(event);
                if let Some(learning) = &self.log.learning {
                    learning.answer(&parsed.data);
                }
                match stream.event(parsed.name, &parsed.data) {
                    Role::UsageOnly if *drop_usage => continue,
                    Role::Content | Role::UsageOnly => {}
                    Role::Last => over = true,
                    Role::Failed => failed = true,
                }
            }
            let is_event = matches!(piece, Piece::Event(_));
            let bytes = piece.into_bytes();
            match rewrite {
                Some(rewrite) if is_event => {
                    for bytes in rewrite.event(&bytes) {
                        run = pass(&mut self.ready, chunk, run, bytes);
                    }
                }
                // A part of an event that is too long cannot be looked into.
                Some(rewrite) if rewrite.masked().is_some() => unreadable = true,
                _ => run = pass(&mut self.ready, chunk, run, bytes),
            }
            if unreadable {
                break;
            }
        }
        if let Some(ledger) = rewrite.as_ref().and_then(|rewrite| rewrite.masked()) {
            self.record.masked(ledger);
        }
        if !has_begun && stream.text_bytes() > 0 {
            self.record.first_token();
        }
        self.ready.extend(Some(chunk.slice(run)).filter(|r| !r.is_empty()));
        if unreadable {
            self.broke(Outcome::ProviderError, Code::ProviderAnswerInvalid, UNREADABLE);
        } else if failed {
            self.record_stream(Outcome::ProviderError, None);
        } else if over {
            self.record_stream(Outcome::Ok, None);
        }
    }

    /// The provider's answer has ended as HTTP; whether it is complete is for the wire format to
    /// say.
    fn ended(&mut self) {
        self.incoming = None;
        if let TeeKind::Events { translated: Some(stream), .. } = &mut self.kind {
            let mut out = Vec::new();
            let failure = stream.end(&mut out).err();
            if !self.take_translated(out, failure) {
                return;
            }
        }
        // An answer that is not complete broke off: what is held of it is not released.
        let broke = matches!(&self.kind, TeeKind::Events { stream, .. } if !stream.may_end());
        if !broke && !self.end_rewriting() {
            return self.broke(Outcome::ProviderError, Code::ProviderAnswerInvalid, UNREADABLE);
        }
        match &mut self.kind {
            TeeKind::Plain { .. } => self.record_plain(Outcome::of_status(self.status), None),
            TeeKind::Events { reader, stream, rewrite, .. } => {
                if stream.may_end() {
                    let rest = reader.rest();
                    // Readers skip an event that never ended; it could not be looked into.
                    let masks = rewrite.as_ref().is_some_and(|r| r.masked().is_some());
                    let rest = if masks { Bytes::new() } else { rest };
                    let failed = stream.failed();
                    self.ready.extend(Some(rest).filter(|r| !r.is_empty()));
                    self.record_stream(
                        if failed { Outcome::ProviderError } else { Outcome::Ok },
                        None,
                    );
                } else {
                    self.broke(Outcome::ProviderError, Code::ProviderUnavailable, BROKEN);
                }
            }
        }
    }

    /// Makes ready what was held back; `false` if the answer turns out not to be readable.
    fn end_rewriting(&mut self) -> bool {
        match &mut self.kind {
            TeeKind::Plain { rewrite: Some(rewrite), .. } => {
                let mut rest = Vec::new();
                let read = rewrite.finish(&mut rest);
                rewrite.masked().into_iter().for_each(|ledger| self.record.masked(ledger));
                self.ready.extend(rest);
                read.is_ok()
            }
            TeeKind::Events { rewrite: Some(rewrite), .. } => {
                self.ready.extend(rewrite.end());
                rewrite.masked().into_iter().for_each(|ledger| self.record.masked(ledger));
                true
            }
            _ => true,
        }
    }

    /// Makes ready what was held back of an answer that broke off: not where it may be the
    /// beginning of a value of others.
    fn break_off(&mut self) {
        match &mut self.kind {
            TeeKind::Plain { rewrite: Some(rewrite), .. } => {
                let mut rest = Vec::new();
                rewrite.break_off(&mut rest);
                self.ready.extend(rest);
            }
            TeeKind::Events { rewrite: Some(rewrite), .. } if rewrite.masked().is_none() => {
                self.ready.extend(rewrite.end());
            }
            _ => {}
        }
    }

    /// The provider's answer broke off.
    fn broke(&mut self, outcome: Outcome, code: Code, message: &str) {
        self.incoming = None;
        self.unread = Bytes::new();
        self.break_off();
        let passed_whole = matches!(&self.kind, TeeKind::Events { stream, .. } if stream.ended());
        if !passed_whole {
            let how = if outcome == Outcome::Timeout { "stalled" } else { "cut" };
            self.record.broke_off(how, self.status);
        }
        match &mut self.kind {
            TeeKind::Plain { .. } => {
                self.record.row().truncated = true;
                self.record_plain(outcome, Some(code));
                self.cut = Cutting::AfterFlush;
            }
            // The usage has been passed on and recorded; a late fault changes nothing.
            TeeKind::Events { stream, .. } if stream.ended() => {}
            TeeKind::Events { format, stream, reader, .. } => {
                let sequence_number = stream.next_sequence_number();
                let failure = StreamFailure {
                    code: code.as_str(),
                    kind: code.kind(),
                    message,
                    sequence_number,
                };
                let event = format.error_event(&failure);
                // An event of which a part has gone out is ended first, so that it does not swallow
                // this one.
                self.ready.extend(reader.is_mid_event().then_some(Bytes::from_static(b"\n\n")));
                self.record_stream(outcome, Some(code));
                match event {
                    Some(event) => self.ready.push_back(Bytes::from(event)),
                    None => self.cut = Cutting::AfterFlush,
                }
            }
        }
    }
}
