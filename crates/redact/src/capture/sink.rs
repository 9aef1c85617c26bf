//! A JSON text that is written up to a bound and can be ended at any time.
//!
//! Pure. Guarantees: whatever was written, [`Sink::end`] gives valid JSON of at most the bound, or
//! nothing if not even that fits; a long string is cut inside, between two characters, and ends
//! with [`MARK`]. Does not: check what it is given (`scan` gives it tokens in the right order).

/// The end of a string that was cut.
pub(crate) const MARK: &str = "…[cut]";

/// JSON in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sink {
    out: Vec<u8>,
    bytes_max: usize,
    /// Longer strings are cut.
    string_max: usize,
    /// The ends of the containers that are open.
    open: Vec<u8>,
    /// So much of it is valid if the containers are ended.
    safe: usize,
    /// In a string that is a value: bytes that still fit.
    room: Option<usize>,
    /// That string was cut.
    string_is_cut: bool,
    /// In the name of a field.
    in_name: bool,
    is_full: bool,
    is_cut: bool,
}

/// A place at which a text may be ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    pub(crate) len: usize,
    pub(crate) open: Vec<u8>,
}

impl Sink {
    /// An empty text.
    pub(crate) fn new(bytes_max: usize, string_max: usize) -> Sink {
        Sink { bytes_max, string_max, ..Sink::default() }
    }

    /// Begins again with the same bounds.
    pub(crate) fn restart(&mut self) {
        let Sink { bytes_max, string_max, .. } = *self;
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        *self = Sink { out, ..Sink::new(bytes_max, string_max) };
    }

    /// Nothing more is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Notes the latest place at which the text may be ended.
    pub(crate) fn stop(&self, stop: &mut Stop) {
        stop.len = self.safe;
        stop.open.clear();
        stop.open.extend_from_slice(&self.open);
    }

    /// Bytes of the text that may be ended now.
    pub(crate) fn safe_len(&self) -> usize {
        self.safe
    }

    fn fits(&self, bytes: usize) -> bool {
        self.out.len() + bytes + self.open.len() <= self.bytes_max
    }

    /// Leaves out this and all that follows.
    fn fill(&mut self) {
        (self.is_full, self.is_cut, self.in_name) = (true, true, false);
        self.out.truncate(self.safe);
    }

    /// White space, `,`, `:` or a part of a number or literal.
    pub(crate) fn token(&mut self, byte: u8) {
        if self.is_full {
        } else if self.fits(1) {
            self.out.push(byte);
        } else {
            self.fill();
        }
    }

    /// A number or literal is complete.
    pub(crate) fn scalar_end(&mut self) {
        if !self.is_full {
            self.safe = self.out.len();
        }
    }

    /// A container begins.
    pub(crate) fn open(&mut self, byte: u8) {
        if self.is_full {
        } else if self.fits(2) {
            self.out.push(byte);
            self.open.push(if byte == b'{' { b'}' } else { b']' });
            self.safe = self.out.len();
        } else {
            self.fill();
        }
    }

    /// The innermost container ends.
    pub(crate) fn close(&mut self) {
        if !self.is_full {
            self.out.extend(self.open.pop());
            self.safe = self.out.len();
        }
    }

    /// A string begins; `is_name`: it names a field.
    pub(crate) fn string_begin(&mut self, is_name: bool) {
        if self.is_full {
            return;
        }
        if !self.fits(2 + MARK.len()) {
            return self.fill();
        }
        self.out.push(b'"');
        self.in_name = is_name;
        let left = self.bytes_max - self.open.len() - self.out.len() - MARK.len() - 1;
        self.room = (!is_name).then(|| left.min(self.string_max));
        self.string_is_cut = false;
    }

    /// Text of a string, without escapes.
    pub(crate) fn text(&mut self, text: &[u8]) {
        if self.is_full {
            return;
        }
        let from = self.out.len();
        let fits = self.fits(text.len() + 1);
        match &mut self.room {
            Some(room) => {
                let taken = text.len().min(*room);
                self.out.extend_from_slice(&text[..taken]);
                *room -= taken;
                if taken < text.len() && !self.string_is_cut {
                    self.cut_string();
                }
            }
            None if fits => self.out.extend_from_slice(text),
            None => return self.fill(),
        }
        // JSON has no control characters; a body with one is not JSON, but must not break it.
        let from = from.min(self.out.len());
        if has_control(&self.out[from..]) {
            self.out[from..].iter_mut().filter(|b| **b < 0x20).for_each(|byte| *byte = b' ');
        }
    }

    /// One escape, or two that make one character.
    pub(crate) fn escape(&mut self, escape: &[u8]) {
        if self.is_full {
            return;
        }
        let fits = self.fits(escape.len() + 1);
        match &mut self.room {
            Some(room) if *room >= escape.len() => {
                *room -= escape.len();
                self.out.extend_from_slice(escape);
            }
            Some(_) if !self.string_is_cut => self.cut_string(),
            Some(_) => {}
            None if fits => self.out.extend_from_slice(escape),
            None => self.fill(),
        }
    }

    /// The string takes no more. Its last character stays only if it is whole.
    fn cut_string(&mut self) {
        (self.room, self.string_is_cut, self.is_cut) = (Some(0), true, true);
        let tail = self.out.len().saturating_sub(3);
        let first = self.out[tail..].iter().rposition(|b| *b >= 0xc0).map(|at| tail + at);
        let Some(first) = first else { return };
        let length = match self.out[first] {
            0xf0.. => 4,
            0xe0.. => 3,
            _ => 2,
        };
        if first + length > self.out.len() {
            self.out.truncate(first);
        }
    }

    /// The string ends.
    pub(crate) fn string_end(&mut self) {
        if self.is_full {
            return;
        }
        if self.string_is_cut {
            self.out.extend_from_slice(MARK.as_bytes());
        }
        if self.in_name && !self.fits(1) {
            return self.fill();
        }
        self.out.push(b'"');
        (self.room, self.string_is_cut) = (None, false);
        if !std::mem::take(&mut self.in_name) {
            self.safe = self.out.len();
        }
    }

    /// A value that stands for one that is left out.
    pub(crate) fn mark(&mut self) {
        self.is_cut = true;
        self.string_begin(false);
        self.text(MARK.as_bytes());
        self.string_end();
    }

    /// The text up to now, ended; at `stop` if there is one.
    pub(crate) fn end(mut self, stop: Option<Stop>) -> Ended {
        if self.room.is_some() && !self.is_full {
            // The body broke off within a string.
            if !self.string_is_cut {
                self.cut_string();
            }
            self.string_end();
        }
        self.is_cut |= !self.open.is_empty();
        if let Some(Stop { len, open }) = stop {
            (self.safe, self.open, self.is_cut) = (len, open, true);
        }
        let is_blank = self.out[self.safe..].iter().all(u8::is_ascii_whitespace);
        if !is_blank || !self.open.is_empty() || self.safe == 0 {
            self.out.truncate(self.safe);
        }
        Ended { out: self.out, open: self.open, is_cut: self.is_cut }
    }
}

/// Whether a text holds a control character. (Not `any`, which looks at one byte after the other.)
fn has_control(text: &[u8]) -> bool {
    text.iter().fold(false, |seen, byte| seen | (*byte < 0x20))
}

/// A text whose containers are still to be ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) out: Vec<u8>,
    pub(crate) open: Vec<u8>,
    pub(crate) is_cut: bool,
}

impl Ended {
    /// Ends containers until so many are open.
    pub(crate) fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            self.out.extend(self.open.pop());
        }
    }

    /// Whether another entry of the innermost container needs a comma.
    pub(crate) fn has_entries(&self) -> bool {
        !matches!(self.out.last(), Some(b'{' | b'[') | None)
    }
}
