//! A second set of rules that looks on while a body is redacted: it counts, and changes nothing.
//!
//! Guarantees: the redacted body, its errors and its facts are as without it, also after a defect
//! here. Does not: keep or give out any text.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::{BodyRedactor, Ledger, RedactError};

/// The rules that look on.
#[derive(Debug)]
pub(crate) struct Beside {
    redactor: BodyRedactor,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Ready,
    Done,
    Failed(RedactError),
}

/// The findings of the second set of rules so far.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The counts, as if these rules were in force.
    pub ledger: &'a Ledger,
    /// Why these rules refuse the body.
    pub error: Option<&'a RedactError>,
    /// All of the body was read.
    pub is_done: bool,
}

impl Beside {
    pub(crate) fn new(redactor: BodyRedactor) -> Beside {
        Beside { redactor, state: State::Ready }
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.step(false, |redactor| redactor.push(chunk, &mut Vec::new()));
    }

    pub(crate) fn finish(&mut self) {
        self.step(true, |redactor| redactor.finish(&mut Vec::new()));
    }

    /// A defect ends it, and nothing else.
    fn step(
        &mut self,
        is_last: bool,
        step: impl FnOnce(&mut BodyRedactor) -> Result<(), RedactError>,
    ) {
        if self.state != State::Ready {
            return;
        }
        let redactor = &mut self.redactor;
        let result = catch_unwind(AssertUnwindSafe(|| step(redactor)));
        match result.unwrap_or(Err(RedactError::Internal)) {
            Ok(()) if is_last => self.state = State::Done,
            Ok(()) => {}
            Err(error) => self.state = State::Failed(error),
        }
    }

    pub(crate) fn counted(&self) -> Counted<'_> {
        let error = match &self.state {
            State::Failed(error) => Some(error),
            State::Ready | State::Done => None,
        };
        Counted { ledger: self.redactor.ledger(), error, is_done: self.state == State::Done }
    }
}
