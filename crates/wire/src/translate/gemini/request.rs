//! Writes a request.

use std::borrow::Cow;

use crate::translate::json::JsonObject;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Part, Request, Vendor, history};
use crate::translate::{Operation, Target, Written, path, tools};

use super::{config, contents};

/// Writes a request for this target.
pub(crate) fn write(
    request: &mut Request<'_>,
    target: &Target<'_>,
    operation: Operation,
    losses: &mut Losses,
) -> Result<Written, Refused> {
    history::leave_out_blank(request)?;
    history::leave_out_foreign(request, losses, |opaque| opaque.vendor == Vendor::Google);
    history::system_as_text(&mut request.turns);
    tools::leave_out_hosted(request, losses)?;
    note_cache_marks(request, losses);
    let counts = operation == Operation::CountTokens;
    let mut body = Vec::with_capacity(1 << 10);
    {
        let mut object = JsonObject::new(&mut body);
        if counts && !target.server.is_vertex {
            let mut inner = object.object("generateContentRequest");
            inner.str("model", &["models/", short_name(target.model)].concat());
            write_fields(request, target, true, losses, &mut inner)?;
        } else {
            write_fields(request, target, counts, losses, &mut object)?;
        }
    }
    request.note_rest(losses);
    let method = match (counts, request.stream) {
        (true, _) => "countTokens",
        (false, false) => "generateContent",
        (false, true) => "streamGenerateContent?alt=sse",
    };
    let path = Cow::Owned(format!("{}:{method}", model_path(target.model)));
    Ok(Written { body, path, headers: Vec::new() })
}

fn write_fields(
    request: &mut Request<'_>,
    target: &Target<'_>,
    counts: bool,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    contents::write_system(request, object);
    contents::write(request, target, losses, object)?;
    config::write_tools(request, counts, losses, object)?;
    config::write(request, target, counts, losses, object)
}

/// The provider finds what it can cache by itself.
fn note_cache_marks(request: &Request<'_>, losses: &mut Losses) {
    if request.turns.iter().flat_map(|turn| &turn.parts).any(Part::is_marked) {
        losses.drop_hint(request.names.cache);
    }
    for tool in request.tools.iter().filter(|tool| tool.cache.is_some()) {
        losses.drop_hint(format!("tools[{}].cache_control", tool.index));
    }
}

/// The name without the collection in which it is usual.
fn short_name(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

/// `/models/gemini-2.5-pro`; a name with a collection of its own keeps it.
fn model_path(model: &str) -> String {
    match short_name(model).split_once('/') {
        None => format!("/models/{}", path::segment(short_name(model))),
        Some((collection, name)) => {
            format!("/{}/{}", path::segment(collection), path::segment(name))
        }
    }
}
