//! The tickets of a request body, received as any other body and read as it comes.
//!
//! Guarantees: a body is complete by the deadline of a ticket, and within its length; memory beyond
//! a call's free share is taken from its party's. Does not redact (see `question`).

use super::reader::{Mistake, Reader, Ticket, Unread};
use crate::auth::Caller;
use crate::bounds::CALL_BYTES_FREE;
use crate::code::Code;
use crate::pipeline::body_in;
use crate::pipeline::readers::Entry;
use crate::pipeline::record::Record;
use crate::pipeline::refusal::{Refusal, short_of};
use crate::pipeline::upload::Upload;
use crate::pipeline::walk::Walk;
use crate::share::{Held, Resource};

/// The tickets of a request body.
pub struct Received {
    /// At least one.
    pub tickets: Vec<Ticket>,
    /// Size of the body, decoded.
    pub bytes: u64,
    /// Memory for the tickets, twice: a question has them again.
    pub held: Held,
}

/// Reads a request body of at most `bytes_max` bytes.
///
/// # Errors
/// The body cannot be read, or does not hold tickets.
pub async fn receive(
    walk: &Walk<'_>,
    caller: &Caller,
    upload: Upload,
    entry: Entry,
    record: &mut Record,
    mut reader: Reader,
    bytes_max: usize,
) -> Result<Received, Refusal> {
    let mut body = walk.body_reader(caller, upload, entry, bytes_max as u64)?;
    let mut held = walk.bytes().begin();
    let mut bytes = 0;
    let all = async {
        loop {
            let next = body.next().await;
            record.row().request_bytes = body.bytes();
            let Some(chunk) = next? else { break };
            bytes += chunk.len() as u64;
            body.step(chunk.len(), || reader.push(&chunk)).map_err(refusal_of)?;
            let kept = 2 * reader.bytes();
            if kept > CALL_BYTES_FREE {
                held.take_up_to(kept).map_err(|short| short_of(Resource::Bytes, short))?;
            }
        }
        body.rest();
        Ok::<_, Refusal>(())
    };
    let deadline = walk.deadline(walk.policy.intent.options.deadline);
    tokio::time::timeout_at(deadline, all).await.map_err(|_| body_in::too_slow())??;
    Ok(Received { tickets: reader.finish().map_err(refusal_of)?, bytes, held })
}

/// The refusal of a body that does not hold tickets.
fn refusal_of(unread: Unread) -> Refusal {
    match unread {
        Unread::Json(error) => Refusal::new(Code::InvalidJson, error.to_string()),
        Unread::Form(mistake) => refusal_of_mistake(mistake),
    }
}

/// The refusal of a ticket of the wrong form.
pub fn refusal_of_mistake(Mistake { message, field }: Mistake) -> Refusal {
    let refusal = Refusal::new(Code::InvalidRequest, message);
    if field.is_empty() { refusal } else { refusal.about(field) }
}
