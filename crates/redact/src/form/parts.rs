//! The parts of a form: `multipart/form-data`, cut at its boundary.
//!
//! Pure. Guarantees: any cut of the bytes gives the same parts; contents leave as slices of the
//! bytes that came in; fewer bytes than the boundary has are kept between two pieces, and the head
//! of one part. Stricter than the standard: text before the first boundary, behind a boundary on its
//! line, or after the last one is an error, because another reader could take it for a part.
//!
//! # Source
//! RFC 7578; RFC 2046, section 5.1.1.

use bytes::{Buf as _, Bytes};
use memchr::memmem::Finder;

use crate::RedactError;
use crate::bounds::FORM_HEAD_BYTES_MAX;

/// The next part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The head of a part, without the empty line after it.
    Head(Vec<u8>),
    /// Bytes of its content.
    Content(Bytes),
    /// Its content has ended.
    PartEnd,
}

/// Where in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many bytes of the first delimiter have come; its line break is taken as read.
    Start(usize),
    /// Behind a delimiter: a line break, or the hyphens of the last one. The first byte of them.
    Delimited(Option<u8>),
    Head,
    Content,
    /// Behind the last delimiter.
    Over,
}

/// Cuts one form into parts.
#[derive(Debug)]
pub(crate) struct Parts {
    finder: Finder<'static>,
    place: Place,
    input: Bytes,
    /// The end of the input, if it may be the beginning of a delimiter; or the head so far.
    kept: Vec<u8>,
}

/// The length of the line break before a delimiter.
const LINE_BREAK: usize = 2;

impl Parts {
    /// For a form with this boundary.
    pub(crate) fn new(boundary: &[u8]) -> Parts {
        let delimiter = [b"\r\n--", boundary].concat();
        let finder = Finder::new(&delimiter).into_owned();
        Parts { finder, place: Place::Start(LINE_BREAK), input: Bytes::new(), kept: Vec::new() }
    }

    /// Takes the next bytes. All that came before has been read: [`Parts::next`] gave nothing more.
    pub(crate) fn feed(&mut self, bytes: Bytes) {
        self.input = if self.place == Place::Content && !self.kept.is_empty() {
            let joined = Bytes::from([&self.kept[..], &bytes].concat());
            self.kept.clear();
            joined
        } else {
            bytes
        };
    }

    /// The next piece; nothing where more input is needed.
    ///
    /// # Errors
    /// The bytes are no form.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, RedactError> {
        loop {
            if self.input.is_empty() {
                return Ok(None);
            }
            match self.place {
                Place::Start(at) => {
                    let delimiter = self.finder.needle();
                    if delimiter.get(at) != Some(&self.input.get_u8()) {
                        return invalid("it does not begin with the boundary of its content type");
                    }
                    let is_whole = at + 1 == delimiter.len();
                    self.place =
                        if is_whole { Place::Delimited(None) } else { Place::Start(at + 1) };
                }
                Place::Delimited(first) => {
                    self.place = match (first, self.input.get_u8()) {
                        (None, first @ (b'\r' | b'-')) => Place::Delimited(Some(first)),
                        (Some(b'\r'), b'\n') => Place::Head,
                        (Some(b'-'), b'-') => Place::Over,
                        _ => return invalid("a boundary is followed by something on its line"),
                    }
                }
                Place::Head => {
                    let Some(head) = self.head()? else { return Ok(None) };
                    self.place = Place::Content;
                    return Ok(Some(Piece::Head(head)));
                }
                Place::Content => return Ok(self.content()),
                Place::Over => {
                    if !self.input.iter().all(|b| matches!(b, b'\r' | b'\n')) {
                        return invalid("something follows its last boundary");
                    }
                    self.input.clear();
                }
            }
        }
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// The form has not.
    pub(crate) fn finish(&self) -> Result<(), RedactError> {
        if self.place == Place::Over { Ok(()) } else { invalid("it ends before its last boundary") }
    }

    /// Bytes that are kept between two pieces.
    pub(crate) fn held_bytes(&self) -> usize {
        self.kept.len()
    }

    /// The head of a part, once all of it has come.
    fn head(&mut self) -> Result<Option<Vec<u8>>, RedactError> {
        const END: &[u8] = b"\r\n\r\n";
        let before = self.kept.len();
        let room = (FORM_HEAD_BYTES_MAX + END.len()).saturating_sub(before);
        self.kept.extend_from_slice(&self.input[..room.min(self.input.len())]);
        let from = before.saturating_sub(END.len() - 1);
        if let Some(at) = memchr::memmem::find(&self.kept[from..], END) {
            let end = from + at;
            self.input.advance(end + END.len() - before);
            let mut head = std::mem::take(&mut self.kept);
            head.truncate(end);
            return Ok(Some(head));
        }
        if self.input.len() > room {
            return invalid("the head of a part is too long");
        }
        self.input.clear();
        Ok(None)
    }

    /// Content up to a delimiter, or as far as it is certain that none has begun.
    fn content(&mut self) -> Option<Piece> {
        match self.finder.find(&self.input) {
            Some(0) => {
                self.input.advance(self.finder.needle().len());
                self.place = Place::Delimited(None);
                Some(Piece::PartEnd)
            }
            Some(at) => Some(Piece::Content(self.input.split_to(at))),
            None => {
                let at = self.input.len() - begun(self.finder.needle(), &self.input);
                let content = self.input.split_to(at);
                self.kept.extend_from_slice(&self.input);
                self.input.clear();
                Some(Piece::Content(content)).filter(|_| at > 0)
            }
        }
    }
}

/// How many bytes at the end of `text` are the beginning of `delimiter`.
fn begun(delimiter: &[u8], text: &[u8]) -> usize {
    let from = text.len().saturating_sub(delimiter.len() - 1);
    // The delimiter has one carriage return, so that at most one beginning is the right one.
    memchr::memrchr(b'\r', &text[from..])
        .map(|at| &text[from + at..])
        .filter(|end| delimiter.starts_with(end))
        .map_or(0, <[u8]>::len)
}

pub(crate) fn invalid<T>(reason: &str) -> Result<T, RedactError> {
    Err(RedactError::InvalidRequest {
        reason: format!("the request body is no valid form: {reason}"),
    })
}
