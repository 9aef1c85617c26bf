//! Requests of `chat/completions`.

mod fields;
mod messages;
mod options;
mod write;
mod write_messages;

use serde_json::value::RawValue;

use crate::translate::Operation;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Names, Request};

use fields::Body;
pub(crate) use write::write;

const NAMES: Names = Names {
    list: "messages",
    arguments: "messages[].tool_calls[].function.arguments",
    result: "messages[].content",
    is_error: "",
    detail: "messages[].content[].image_url.detail",
    citations: "",
    context: "",
    cache: "messages[].content[].prompt_cache_breakpoint",
};

/// Reads a request, and notes the fields that no target can express.
pub(crate) fn read<'a>(
    body: &'a str,
    _: Operation,
    losses: &mut Losses,
) -> Result<Request<'a>, Refused> {
    let mut body: Body<'a> =
        serde_json::from_str(body).map_err(|odd| Refused::unreadable(&odd, None))?;
    let mut request = Request { names: NAMES, ..Request::default() };
    losses.drop_unknown("", &body.unknown);
    messages::read(body.messages.take(), &mut request, losses)?;
    options::read(body, &mut request, losses)?;
    Ok(request)
}

/// Reads a part of the body; an error names its place.
fn parse<'a, T: serde::Deserialize<'a>>(json: &'a RawValue, place: &str) -> Result<T, Refused> {
    serde_json::from_str(json.get())
        .map_err(|odd| Refused::unreadable(&odd, Some(place.to_owned())))
}
