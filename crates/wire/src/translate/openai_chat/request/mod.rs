//! Requests of `chat/completions`.

mod fields;
mod messages;
mod options;
mod write;
mod write_messages;

use crate::translate::Operation;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Names, Request};
use crate::translate::read;

use fields::Body;
pub(crate) use write::write;

const NAMES: Names = Names {
    list: "messages",
    system: "messages",
    arguments: "messages[].tool_calls[].function.arguments",
    result: "messages[].content",
    is_error: "",
    detail: "messages[].content[].image_url.detail",
    citations: "",
    title: "messages[].content[].file.filename",
    context: "",
    cache: "messages[].content[].prompt_cache_breakpoint",
};

/// Reads a request, and notes the fields that no target can express.
pub(crate) fn read<'a>(
    body: &'a str,
    _: Operation,
    losses: &mut Losses,
) -> Result<Request<'a>, Refused> {
    let mut body: Body<'a> = read::body(body)?;
    let mut request = Request { names: NAMES, ..Request::default() };
    losses.drop_unknown("", &body.unknown);
    messages::read(body.messages.take(), &mut request, losses)?;
    options::read(body, &mut request, losses)?;
    Ok(request)
}
