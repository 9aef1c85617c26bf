//! The facts about a request body, as far as it has been read.
//!
//! Stage 6 of the walk. Shared between the body's reader and the call's record.

use tollgate_wire::estimate::Makes;

use crate::pipeline::refusal::Refusal;
use crate::redact::{Capture, Facts, Ledger, RedactError, Redacted};

/// Facts of a body, also after the walk has ended early. Shared by the source that reads
/// the body and the record of the call.
#[derive(Debug, Default)]
pub struct Seen {
    pub facts: Facts,
    pub ledger: Ledger,
    /// As sent by the client.
    pub bytes: u64,
    /// Text for a model in it, as long as it is when it can be read.
    pub text_bytes: u64,
    /// The same in characters.
    pub text_chars: u64,
    /// The part of the redacted body that the log keeps.
    pub capture: Option<Box<Capture>>,
    /// Why the body could not be completed.
    pub refusal: Option<Refusal>,
    /// The client went away while sending it.
    pub disconnected: bool,
    /// The reservation for its answer, made before its end was known.
    pub reserved: Option<Reserved>,
    /// The findings of other rules.
    pub beside: Option<Beside>,
}

/// The findings of other rules in a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    pub ledger: Ledger,
    /// Why they refuse it.
    pub error: Option<RedactError>,
    /// All of it was read.
    pub is_done: bool,
}

/// The reservation for the answer to a body, made before its end was known.
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
            text_chars: self.text_chars,
            capture: self.capture.clone(),
            ..Seen::default()
        }
    }

    /// A body of which only its size is known.
    pub fn of_size(bytes: u64) -> Seen {
        Seen { bytes, ..Seen::default() }
    }

    /// The facts of a body that was made whole, such as a prompt.
    pub fn of_whole(
        body: &Redacted,
        ledger: Ledger,
        facts: Facts,
        mut capture: Option<Capture>,
    ) -> Seen {
        capture.iter_mut().for_each(|capture| capture.push(body));
        let bytes = body.as_bytes().len() as u64;
        Seen {
            facts,
            ledger,
            bytes,
            text_bytes: bytes,
            text_chars: String::from_utf8_lossy(body.as_bytes()).chars().count() as u64,
            capture: capture.map(Box::new),
            ..Seen::default()
        }
    }
}
