//! Writes a form from its redacted members, with a boundary of its own.
//!
//! Pure. Guarantees: the head of a part has its name, its file name and its media type, and nothing
//! else. Does not: redact, or read the content of files.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

use super::members::Listener;
use crate::Redacted;

/// A part whose redacted member is still to come.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) media: Option<String>,
    /// If it is a file: the member has its file name.
    pub(crate) file: Option<FileField>,
}

#[derive(Debug)]
pub(crate) struct FileField {
    /// The name of the field.
    pub(crate) name: String,
    /// The end of the file name that says what the file is.
    pub(crate) extension: Option<&'static str>,
}

/// Writes the form.
#[derive(Debug)]
pub(crate) struct Writer {
    boundary: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// Bytes that were handed on before `out`.
    pub(crate) given: u64,
    pub(crate) pending: VecDeque<Pending>,
    /// The file name, as far as it has been read.
    filename: Vec<u8>,
    /// Where the value of `model` begins, until its end is known.
    model_from: Option<u64>,
    pub(crate) model_at: Option<(u64, u64)>,
}

impl Writer {
    /// A form with this boundary, of which nothing is written.
    pub(crate) fn new(boundary: &[u8]) -> Writer {
        Writer {
            boundary: boundary.to_vec(),
            out: Vec::new(),
            given: 0,
            pending: VecDeque::new(),
            filename: Vec::new(),
            model_from: None,
            model_at: None,
        }
    }

    /// Writes the last boundary.
    pub(crate) fn end_form(&mut self) {
        let Writer { out, boundary, .. } = self;
        [b"--", &boundary[..], b"--\r\n"].iter().for_each(|text| out.extend_from_slice(text));
    }

    /// Hands on what is written, and then `bytes`.
    pub(crate) fn pass(&mut self, bytes: Bytes, out: &mut Vec<Redacted>) {
        for bytes in [Bytes::from(mem::take(&mut self.out)), bytes] {
            if !bytes.is_empty() {
                self.given += bytes.len() as u64;
                out.push(Redacted(bytes));
            }
        }
    }

    fn position(&self) -> u64 {
        self.given + self.out.len() as u64
    }

    fn head(&mut self, name: &str, filename: Option<&[u8]>, media: Option<&str>) {
        let Writer { boundary, out, .. } = self;
        let mut write = |text: &[u8]| out.extend_from_slice(text);
        write(b"--");
        write(boundary);
        write(b"\r\nContent-Disposition: form-data; name=\"");
        quoted(name.as_bytes(), &mut write);
        if let Some(filename) = filename {
            write(b"\"; filename=\"");
            quoted(filename, &mut write);
        }
        write(b"\"\r\n");
        if let Some(media) = media {
            write(b"Content-Type: ");
            write(media.as_bytes());
            write(b"\r\n");
        }
        write(b"\r\n");
    }
}

impl Listener for Writer {
    fn name(&mut self, name: &str) {
        let Some(pending) = self.pending.front_mut().filter(|part| part.file.is_none()) else {
            return;
        };
        let media = pending.media.take();
        self.head(name, None, media.as_deref());
        self.model_from = (name == "model").then(|| self.position());
    }

    fn value(&mut self, piece: &[u8]) {
        match self.pending.front() {
            Some(Pending { file: Some(_), .. }) => self.filename.extend_from_slice(piece),
            _ => self.out.extend_from_slice(piece),
        }
    }

    fn end(&mut self) {
        match self.pending.pop_front() {
            Some(Pending { media, file: Some(file) }) => {
                let mut filename = mem::take(&mut self.filename);
                // An address takes it along. Providers read the kind of the file from it.
                let lost = file.extension.filter(|end| !filename.ends_with(end.as_bytes()));
                filename.extend_from_slice(lost.unwrap_or_default().as_bytes());
                self.head(&file.name, Some(&filename), media.as_deref());
            }
            _ => {
                if let Some(from) = self.model_from.take() {
                    self.model_at = Some((from, self.position()));
                }
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// The extension of a file name, if it is one of those that APIs ask for. None is a domain.
pub(crate) fn extension(filename: &str) -> Option<&'static str> {
    const KNOWN: [&str; 25] = [
        ".csv", ".docx", ".flac", ".gif", ".html", ".jpeg", ".jpg", ".json", ".jsonl", ".m4a",
        ".mp3", ".mp4", ".mpeg", ".mpga", ".oga", ".ogg", ".pdf", ".png", ".pptx", ".txt", ".wav",
        ".webm", ".webp", ".xlsx", ".xml",
    ];
    KNOWN.into_iter().find(|known| filename.to_ascii_lowercase().ends_with(known))
}

/// A name as it stands in quotation marks.
///
/// # Source
/// The HTML Standard, "multipart form data", read November 2026.
fn quoted(name: &[u8], write: &mut impl FnMut(&[u8])) {
    for part in name.split_inclusive(|b| matches!(b, b'"' | b'\r' | b'\n')) {
        let (plain, mark) = match part.split_last() {
            Some((b'"', plain)) => (plain, &b"%22"[..]),
            Some((b'\r', plain)) => (plain, &b"%0D"[..]),
            Some((b'\n', plain)) => (plain, &b"%0A"[..]),
            _ => (part, &b""[..]),
        };
        write(plain);
        write(mark);
    }
}
