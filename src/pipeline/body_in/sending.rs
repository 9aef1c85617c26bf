//! A request body on its way to the provider while the rest of it still comes.
//!
//! Stage 6 of the walk. Guarantees: redacted bytes that came together leave together, up to
//! [`BODY_GATHER_BYTES_MAX`], and none waits for bytes that have not come; nothing follows a piece
//! that could not be redacted. Does not: keep them for another attempt (`upstream::replay` does).

use std::task::{Context, Poll};

use super::Intake;
use crate::bounds::BODY_GATHER_BYTES_MAX;
use crate::redact::Redacted;
use crate::upstream::replay::{Broken, Source};

impl Source for Intake {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Redacted, Broken>>> {
        while !self.finished && self.ready_bytes < BODY_GATHER_BYTES_MAX {
            let mut out = Vec::new();
            match self.poll_more(cx, &mut out) {
                // Nothing more of it has come: what is ready goes. Else this waits for its turn.
                Poll::Pending if self.is_hungry() && !self.ready.is_empty() => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(more)) => self.finished = !more,
                Poll::Ready(Err(_)) => {
                    self.finished = true;
                    self.ready.clear();
                    return Poll::Ready(Some(Err(Broken)));
                }
            }
            let piece = Redacted::concat(out);
            self.ready_bytes += piece.as_bytes().len();
            self.ready.extend(Some(piece).filter(|piece| !piece.as_bytes().is_empty()));
        }
        let piece = self.ready.pop_front();
        if self.ready.is_empty() {
            self.ready_bytes = 0;
        }
        Poll::Ready(piece.map(Ok))
    }
}
