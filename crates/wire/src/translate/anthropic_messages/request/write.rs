//! Writes a request.

use std::borrow::Cow;

use crate::translate::json::JsonObject;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Field, Request, history};
use crate::translate::{Operation, Target, Written, tools, vertex};

use super::write_messages;
use super::write_options::{self, Plan};

/// The version that takes sampling fields.
const VERSION_WITH_SAMPLING: &str = "2023-06-01";
/// The newest version, which refuses them.
const VERSION: &str = "2026-10-21";

/// Writes a request for this target.
pub(crate) fn write(
    request: &mut Request<'_>,
    target: &Target<'_>,
    operation: Operation,
    losses: &mut Losses,
) -> Result<Written, Refused> {
    history::leave_out_blank(request)?;
    tools::leave_out_hosted(request, losses)?;
    if !target.facts.mid_system {
        history::system_as_text(&mut request.turns);
    }
    let counts = operation == Operation::CountTokens;
    let most =
        request.max_tokens.as_ref().map_or(target.facts.output_tokens_max, |most| most.value);
    if !counts {
        request.max_tokens.get_or_insert(Field { name: "max_tokens", value: most });
    }
    let plan = Plan::of(request, target, most, losses)?;
    let mut marks = write_messages::marks(request, target);
    let mut body = Vec::with_capacity(1 << 10);
    let version;
    {
        let mut object = JsonObject::new(&mut body);
        if !target.server.is_vertex || counts {
            object.str("model", target.model);
        }
        if !counts {
            object.number("max_tokens", most);
        }
        // In the order in which the provider caches them, so that the first marks are given up.
        write_options::tools(request, &plan, &mut marks, losses, &mut object)?;
        write_messages::system(request, plan.form.line.as_ref(), &mut marks, losses, &mut object);
        write_messages::messages(request, target, &mut marks, losses, &mut object)?;
        write_options::thinking(&plan, &mut object);
        let has_sampling =
            write_options::sampling(request, target, &plan, counts, losses, &mut object);
        write_options::labels(request, counts, losses, &mut object);
        if request.stream && !counts {
            object.bool("stream", true);
        }
        let default = if has_sampling { VERSION_WITH_SAMPLING } else { VERSION };
        version = target.server.anthropic_version.unwrap_or(default);
        if target.server.is_vertex {
            object.str("anthropic_version", vertex::version(version));
        }
    }
    request.note_rest(losses);
    let headers = match target.server.is_vertex {
        true => vec![],
        false => vec![("anthropic-version", version.to_owned())],
    };
    let path = match (target.server.is_vertex, counts) {
        (false, false) => Cow::Borrowed("/messages"),
        (false, true) => Cow::Borrowed("/messages/count_tokens"),
        (true, _) => vertex::call_path(target.model, operation, request.stream),
    };
    Ok(Written { body, path, headers })
}
