//! Requests of `responses` and of `responses/input_tokens`.

mod content;
mod fields;
mod items;
mod options;
mod tools;

use crate::translate::Operation;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Names, Request};
use crate::translate::read;

use fields::Body;

const NAMES: Names = Names {
    list: "input",
    system: "instructions",
    arguments: "input[].arguments",
    result: "input[].output",
    is_error: "",
    detail: "input[].content[].detail",
    citations: "",
    title: "input[].content[].filename",
    context: "",
    cache: "input[].content[].prompt_cache_breakpoint",
};

/// Reads a request, and notes the fields that no target can express.
pub(crate) fn read<'a>(
    body: &'a str,
    _: Operation,
    losses: &mut Losses,
) -> Result<Request<'a>, Refused> {
    let mut body: Body<'a> = read::body(body)?;
    // Usage stands in every answer of this format.
    let mut request = Request { names: NAMES, include_usage: true, ..Request::default() };
    options::refuse_state(&body)?;
    losses.drop_unknown("", &body.unknown);
    tools::read(body.tools.take(), body.tool_choice.take(), &mut request, losses)?;
    items::read(body.instructions.take(), body.input.take(), &mut request, losses)?;
    options::read(body, &mut request, losses)?;
    Ok(request)
}
