//! A provider's answer as its caller gets it: values of others taken out, and the caller's own put
//! back, where the policy of the organisation says so.
//!
//! Stage 11 of the walk, between what was read of the provider (and noted for usage and log) and
//! the client; a translated answer comes translated. Promises: values of others are taken out
//! before values are put back, so that no value is looked at twice; only what changes is written
//! anew; an answer that cannot be read is an error where values of others have to be taken out, and
//! passes where they need not. Does not: find values or placeholders (`redact` does), or touch what
//! the log keeps.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tollgate_wire::sse;

use crate::redact::{
    BodyRedactor, BodyRestorer, EventRestorer, Extra, Ledger, Own, Redacted, Restored, Rules,
    TextRedactor, Values,
};

/// The changes that an answer gets.
#[derive(Default)]
pub struct Rewriting {
    /// Values of others are taken out.
    pub mask: Option<(Arc<Rules>, Own)>,
    /// Values are put back.
    pub values: Option<Values>,
    /// It was translated: thinking in it stays as its provider has signed it.
    pub translated: bool,
}

impl Rewriting {
    /// For the events of a stream.
    pub fn events(self) -> Option<Box<Events>> {
        let (idle, translated) = (self.mask.is_none() && self.values.is_none(), self.translated);
        (!idle).then(|| {
            Box::new(Events {
                mask: self
                    .mask
                    .map(|(rules, own)| EventRestorer::masking(&rules, &own, translated)),
                restore: self.values.map(|values| EventRestorer::new(&values)),
            })
        })
    }

    /// For a body that is JSON, if `json`, else text.
    pub fn body(self, json: bool) -> Option<Bodies> {
        let translated = self.translated;
        let mask = self.mask.map(|(rules, own)| match json {
            true => Masking::Json(Box::new(BodyRedactor::masking(rules, &own, translated))),
            false => Masking::Text(Box::new(TextRedactor::masking(&rules, &own))),
        });
        let restore = self.values.filter(|_| json).map(|values| BodyRestorer::new(&values));
        let idle = mask.is_none() && restore.is_none();
        (!idle).then_some(Bodies { mask, restore })
    }
}

/// The events of one stream.
pub struct Events {
    mask: Option<EventRestorer>,
    restore: Option<EventRestorer>,
}

impl Events {
    /// The bytes that the caller gets for a whole event.
    pub fn event(&mut self, event: &Bytes) -> Vec<Bytes> {
        let masked = self.mask.as_mut().and_then(|mask| with_lines(event, mask));
        let event = masked.as_ref().unwrap_or(event);
        let parsed = sse::parse(event);
        if parsed.data.is_empty() {
            return vec![event.clone()];
        }
        let mut out = Vec::new();
        let masked = match &mut self.mask {
            Some(mask) => mask.event(parsed.name, &parsed.data),
            None => Restored::default(),
        };
        masked.before.into_iter().for_each(|extra| self.extra(extra, &mut out));
        let data = masked.data.as_deref().unwrap_or(&parsed.data);
        let restored = match &mut self.restore {
            Some(restore) => restore.event(parsed.name, data),
            None => Restored::default(),
        };
        out.extend(restored.before.iter().map(extra));
        let data = restored.data.or(masked.data);
        out.push(data.map_or_else(|| event.clone(), |data| with_data(event, &data)));
        out
    }

    /// The stream is over: what was held back, in events of its own.
    pub fn end(&mut self) -> Vec<Bytes> {
        let mut out = Vec::new();
        let rest = self.mask.as_mut().map(EventRestorer::end).unwrap_or_default();
        rest.into_iter().for_each(|extra| self.extra(extra, &mut out));
        out.extend(self.restore.iter_mut().flat_map(EventRestorer::end).map(|e| extra(&e)));
        out
    }

    /// The redactions so far.
    pub fn masked(&self) -> Option<&Ledger> {
        self.mask.as_ref().and_then(EventRestorer::masked)
    }

    /// An event that was made here.
    fn extra(&mut self, made: Extra, out: &mut Vec<Bytes>) {
        let Some(restore) = &mut self.restore else { return out.push(extra(&made)) };
        let restored = restore.event(&made.name, &made.data);
        out.extend(restored.before.iter().map(extra));
        let Extra { name, data } = made;
        out.push(extra(&Extra { name, data: restored.data.unwrap_or(data) }));
    }
}

/// A body that is no stream of events.
pub struct Bodies {
    mask: Option<Masking>,
    restore: Option<BodyRestorer>,
}

enum Masking {
    Json(Box<BodyRedactor>),
    Text(Box<TextRedactor>),
}

/// An answer in which values of others cannot be found.
pub struct Unreadable;

impl Bodies {
    /// Takes the next piece and appends to `out` what the caller gets.
    ///
    /// # Errors
    /// The answer is not the JSON that it says it is, and values have to be taken out.
    pub fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), Unreadable> {
        let mut masked = Vec::new();
        match &mut self.mask {
            None => {
                self.restored(piece, out);
                return Ok(());
            }
            Some(Masking::Json(mask)) => {
                mask.push(piece, &mut masked).map_err(|_| Unreadable)?;
            }
            Some(Masking::Text(mask)) => mask.push(piece, &mut masked),
        }
        masked.into_iter().for_each(|piece| self.restored(piece.into_bytes(), out));
        Ok(())
    }

    /// The answer is complete; appends the rest to `out`.
    ///
    /// # Errors
    /// As for [`Bodies::push`].
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Unreadable> {
        let mut masked: Vec<Redacted> = Vec::new();
        match &mut self.mask {
            None => {}
            Some(Masking::Json(mask)) => mask.finish(&mut masked).map_err(|_| Unreadable)?,
            Some(Masking::Text(mask)) => mask.finish(&mut masked),
        }
        masked.into_iter().for_each(|piece| self.restored(piece.into_bytes(), out));
        self.restore.iter_mut().for_each(|restore| restore.finish(out));
        Ok(())
    }

    /// The answer broke off: what was held back to put values into it.
    pub fn break_off(&mut self, out: &mut Vec<Bytes>) {
        if self.mask.is_none() {
            self.restore.iter_mut().for_each(|restore| restore.finish(out));
        }
    }

    /// The redactions so far.
    pub fn masked(&self) -> Option<&Ledger> {
        match self.mask.as_ref()? {
            Masking::Json(mask) => Some(mask.ledger()),
            Masking::Text(mask) => Some(mask.ledger()),
        }
    }

    fn restored(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        match &mut self.restore {
            Some(restore) => restore.push(piece, out),
            None => out.push(piece),
        }
    }
}

fn extra(extra: &Extra) -> Bytes {
    let mut out = BytesMut::new();
    if !extra.name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(&extra.name);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&extra.data);
    out.extend_from_slice(b"\n\n");
    out.freeze()
}

/// The event without values of others in its other lines (names, ids, comments), if it has any.
fn with_lines(event: &[u8], mask: &mut EventRestorer) -> Option<Bytes> {
    let mut out: Option<BytesMut> = None;
    let mut at = 0;
    for line in event.split_inclusive(|b| *b == b'\n' || *b == b'\r') {
        let text = &line[..line.len() - usize::from(matches!(line.last(), Some(b'\n' | b'\r')))];
        let field = if at == 0 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
        let masked = if is_plain_line(field) { None } else { mask.line(text) };
        if let Some(masked) = masked {
            let out = out.get_or_insert_with(|| BytesMut::from(&event[..at]));
            out.extend_from_slice(&masked);
            out.extend_from_slice(&line[text.len()..]);
        } else if let Some(out) = &mut out {
            out.extend_from_slice(line);
        }
        at += line.len();
    }
    out.map(BytesMut::freeze)
}

/// Whether a line holds data, which are looked at for themselves, or nothing that may be a value:
/// names of events have no digits.
fn is_plain_line(line: &[u8]) -> bool {
    let name = line.strip_prefix(b"event:").unwrap_or(line);
    let letters = |b: &u8| b.is_ascii_alphabetic() || matches!(*b, b'_' | b'.' | b' ');
    line.starts_with(b"data:") || line == b"data" || line == b":" || name.iter().all(letters)
}

/// The event with other data, which are one line; its other lines and its line ends stay.
fn with_data(event: &[u8], data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(event.len() + data.len());
    let mut written = false;
    for line in event.split_inclusive(|b| *b == b'\n' || *b == b'\r') {
        let text = line.len() - usize::from(matches!(line.last(), Some(b'\n' | b'\r')));
        let is_data = line.starts_with(b"data:") || &line[..text] == b"data";
        if !is_data {
            // The line feed of a CRLF travels with its carriage return.
            out.extend_from_slice(line);
        } else if !written {
            written = true;
            out.extend_from_slice(b"data: ");
            for part in data.split(|b| *b == b'\n') {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(&line[text..]);
        }
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_others_are_taken_out_of_every_line() {
        let spec = crate::redact::RulesSpec {
            entities: vec!["email".into(), "phone".into()],
            answers: crate::redact::Answers::Mask,
            ..Default::default()
        };
        let rules = Arc::new(Rules::compile(&spec).expect("rules"));
        for (event, expected) in [
            (": mail bob@corp.com\n\n", ": mail [REDACTED_EMAIL]\n\n"),
            (
                "event: bob@corp.com\r\ndata: {}\r\nid: +14155550132\r\n\r\n",
                "event: [REDACTED_EMAIL]\r\ndata: {}\r\nid: [REDACTED_PHONE]\r\n\r\n",
            ),
            ("x: bob@corp.com\rdata: {\"a\":1}\r\r", "x: [REDACTED_EMAIL]\rdata: {\"a\":1}\r\r"),
            ("event: response.output_text.delta\ndata: {}\n\n", ""),
            (": ping\n\n", ""),
            ("\u{feff}data: {}\nid: 7\n\n", ""),
        ] {
            let mask = Some((Arc::clone(&rules), Own::default()));
            let mut events = Rewriting { mask, ..Rewriting::default() }.events().expect("masks");
            let out = events.event(&Bytes::copy_from_slice(event.as_bytes())).concat();
            let expected = if expected.is_empty() { event } else { expected };
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
    }

    #[test]
    fn an_event_keeps_its_other_lines() {
        for (event, expected) in [
            ("data: 1\n\n", "data: 22\n\n"),
            ("event: a\r\ndata:1\r\nid: 3\r\n\r\n", "event: a\r\ndata: 22\r\nid: 3\r\n\r\n"),
            (": c\rdata: 1\r\r", ": c\rdata: 22\r\r"),
            ("data: 1\ndata: 2\nid: 1\n\n", "data: 22\nid: 1\n\n"),
        ] {
            assert_eq!(with_data(event.as_bytes(), b"22"), expected.as_bytes(), "{event:?}");
        }
        assert_eq!(
            extra(&Extra { name: b"a".to_vec(), data: b"{}".to_vec() }),
            &b"event: a\ndata: {}\n\n"[..]
        );
        assert_eq!(extra(&Extra { name: Vec::new(), data: b"{}".to_vec() }), &b"data: {}\n\n"[..]);
    }
}
