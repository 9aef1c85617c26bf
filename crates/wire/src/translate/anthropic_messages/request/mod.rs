//! Requests of `messages`.

mod blocks;
mod fields;
mod options;
mod read_tools;
mod write;
mod write_messages;
mod write_options;

use crate::translate::Operation;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Names, Request};
use crate::translate::read;

use fields::Body;
pub(crate) use write::write;

const NAMES: Names = Names {
    list: "messages",
    system: "system",
    arguments: "messages[].content[].input",
    result: "messages[].content[].content",
    is_error: "messages[].content[].is_error",
    detail: "",
    citations: "messages[].content[].citations",
    title: "messages[].content[].title",
    context: "messages[].content[].context",
    cache: "cache_control",
};

/// Reads a request, and notes the fields that no target can express.
pub(crate) fn read<'a>(
    body: &'a str,
    operation: Operation,
    losses: &mut Losses,
) -> Result<Request<'a>, Refused> {
    let mut body: Body<'a> = read::body(body)?;
    let mut request = Request { names: NAMES, include_usage: true, ..Request::default() };
    losses.drop_unknown("", &body.unknown);
    blocks::read(&mut body, &mut request, losses)?;
    options::read(body, operation, &mut request, losses)?;
    Ok(request)
}
