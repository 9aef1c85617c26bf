//! Where redacted bytes go: raw bytes by offset, with replacements between them.
//!
//! Pure. Knows the piece of the body at hand and the few raw bytes kept from pieces before it.
//! Passes long stretches on as slices of the piece, without a copy. May hold what it is given back
//! while it is not yet known whether a content part may leave. Memory: the bytes kept, bounded by
//! the caller's window, and the held ones, bounded by [`HELD_MAX`].

use bytes::{Bytes, BytesMut};

use super::Redacted;

/// Longest content part that is held back until its `type` is known, in redacted bytes. A longer
/// one is let go as text.
pub(crate) const HELD_MAX: usize = crate::bounds::REDACT_HELD_BYTES_MAX / 2;
/// Shorter slices are copied together.
const SLICE_MIN: usize = 512;

/// Redacted bytes in the making.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// Raw bytes from `kept_at` to `piece_at` that could not leave yet.
    kept: BytesMut,
    kept_at: u64,
    piece: Bytes,
    piece_at: u64,
    /// Raw bytes before it are dealt with.
    done: u64,
    /// Bytes to leave, not yet long enough to be handed on.
    small: BytesMut,
    ready: Vec<Redacted>,
    /// Bytes that were handed on with earlier pieces.
    given: u64,
    held: Vec<u8>,
    /// For each hold, where it begins in all the bytes given out since the outermost began.
    holds: Vec<usize>,
    /// Bytes of the outermost hold that were let go.
    let_go: usize,
    dropping: bool,
}

impl Out {
    /// Takes the next piece of the body.
    pub(crate) fn begin(&mut self, piece: Bytes) {
        self.piece = piece;
    }

    /// The offset after the piece at hand.
    pub(crate) fn end_of_piece(&self) -> u64 {
        self.piece_at + self.piece.len() as u64
    }

    /// Ends the piece: bytes before `safe` leave, the rest is kept. Finished bytes go to `out`.
    pub(crate) fn end(&mut self, safe: u64, out: &mut Vec<Redacted>) {
        self.advance(safe);
        let end = self.piece_at + self.piece.len() as u64;
        let from = self.done.max(self.piece_at);
        if self.done >= self.piece_at {
            self.kept.clear();
            self.kept_at = from;
        } else {
            let _ = self.kept.split_to((self.done - self.kept_at) as usize);
            self.kept_at = self.done;
        }
        self.kept.extend_from_slice(&self.piece[(from - self.piece_at) as usize..]);
        self.piece = Bytes::new();
        self.piece_at = end;
        self.flush_small();
        self.given += bytes_of(&self.ready);
        out.append(&mut self.ready);
    }

    /// Where in the redacted body the next byte will stand. Only while nothing is held back.
    pub(crate) fn position(&self) -> u64 {
        self.given + bytes_of(&self.ready) + self.small.len() as u64
    }

    /// Bytes that cannot leave yet.
    pub(crate) fn held_bytes(&self) -> usize {
        self.kept.len() + self.held.len() + self.small.len()
    }

    /// Raw bytes that have not left yet: those kept from pieces before, and those of the piece at
    /// hand.
    pub(crate) fn raw(&self, from: u64, to: u64) -> (&[u8], &[u8]) {
        let (mut kept, mut piece) = (&[][..], &[][..]);
        if from < self.piece_at {
            let end = to.min(self.piece_at);
            kept = &self.kept[(from - self.kept_at) as usize..(end - self.kept_at) as usize];
        }
        if to > self.piece_at {
            let from = from.max(self.piece_at);
            piece = &self.piece[(from - self.piece_at) as usize..(to - self.piece_at) as usize];
        }
        (kept, piece)
    }

    /// Raw bytes up to `to` leave as they are.
    pub(crate) fn advance(&mut self, to: u64) {
        if to <= self.done {
            return;
        }
        let from = self.done;
        self.done = to;
        if self.dropping {
            return;
        }
        if from < self.piece_at {
            let end = to.min(self.piece_at);
            let kept = &self.kept[(from - self.kept_at) as usize..(end - self.kept_at) as usize];
            if self.holds.is_empty() {
                self.small.extend_from_slice(kept);
            } else {
                self.held.extend_from_slice(kept);
            }
        }
        if to > self.piece_at {
            let range =
                (from.max(self.piece_at) - self.piece_at) as usize..(to - self.piece_at) as usize;
            if !self.holds.is_empty() {
                self.held.extend_from_slice(&self.piece[range]);
            } else if range.len() < SLICE_MIN {
                if self.small.capacity() == 0 {
                    self.small.reserve(2 * SLICE_MIN);
                }
                self.small.extend_from_slice(&self.piece[range]);
            } else {
                self.flush_small();
                self.ready.push(Redacted(self.piece.slice(range)));
            }
        }
        self.bound();
    }

    /// Raw bytes before it are dealt with.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Raw bytes up to `to` do not leave.
    pub(crate) fn skip(&mut self, to: u64) {
        self.done = self.done.max(to);
    }

    /// Puts `bytes` here.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.dropping {
            return;
        }
        if self.holds.is_empty() {
            self.small.extend_from_slice(bytes);
        } else {
            self.held.extend_from_slice(bytes);
            self.bound();
        }
    }

    /// From here on everything is dropped, or no longer.
    pub(crate) fn set_dropping(&mut self, dropping: bool) {
        self.dropping = dropping;
    }

    /// From here on bytes are held back. Returns the number of the hold.
    pub(crate) fn hold(&mut self) -> usize {
        if self.holds.is_empty() {
            self.let_go = 0;
        }
        self.holds.push(self.let_go + self.held.len());
        self.holds.len() - 1
    }

    /// How many bytes the holds have taken, with those that were let go.
    pub(crate) fn held_at(&self) -> usize {
        self.let_go + self.held.len()
    }

    /// Puts other bytes in the place of stretches of the innermost hold, if it still can. They are
    /// in order, and told as [`Out::held_at`] does.
    #[must_use]
    pub(crate) fn replace(&mut self, stretches: &[(usize, usize, &'static [u8])]) -> bool {
        let Some(&start) = self.holds.last() else { return false };
        if self.held_at() - start > HELD_MAX || start < self.let_go {
            return false;
        }
        let old = self.held.split_off(start - self.let_go);
        let mut at = start;
        for (from, to, new) in stretches {
            self.held.extend_from_slice(&old[at - start..from - start]);
            self.held.extend_from_slice(new);
            at = *to;
        }
        self.held.extend_from_slice(&old[at - start..]);
        true
    }

    /// Lets the innermost hold go.
    pub(crate) fn release(&mut self) {
        self.holds.pop();
        if self.holds.is_empty() {
            self.small.extend_from_slice(&self.held);
            self.held.clear();
        }
    }

    /// Drops what the innermost hold has held back, if it still can.
    #[must_use]
    pub(crate) fn discard(&mut self) -> bool {
        let Some(start) = self.holds.pop() else { return false };
        let whole = self.let_go + self.held.len() - start <= HELD_MAX && start >= self.let_go;
        if whole {
            self.held.truncate(start - self.let_go);
        }
        if self.holds.is_empty() {
            self.small.extend_from_slice(&self.held);
            self.held.clear();
        }
        whole
    }

    /// Lets go what can no longer be dropped, when much is held.
    fn bound(&mut self) {
        if self.held.len() <= HELD_MAX + HELD_MAX / 8 {
            return;
        }
        // Holds that are short enough to be dropped later keep their bytes, so that the outcome
        // does not depend on when this is called.
        let total = self.let_go + self.held.len();
        let keep = self
            .holds
            .iter()
            .copied()
            .find(|start| total - start <= HELD_MAX)
            .unwrap_or(total)
            .max(self.let_go);
        let n = keep - self.let_go;
        self.small.extend_from_slice(&self.held[..n]);
        self.held.drain(..n);
        self.let_go += n;
        self.flush_small();
    }

    fn flush_small(&mut self) {
        if !self.small.is_empty() {
            self.ready.push(Redacted(self.small.split().freeze()));
        }
    }
}

fn bytes_of(pieces: &[Redacted]) -> u64 {
    pieces.iter().map(|piece| piece.0.len() as u64).sum()
}
