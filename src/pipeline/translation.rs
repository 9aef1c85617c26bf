//! Calls whose provider speaks another format than the caller.
//!
//! Stages 6, 7 and 10 of the walk. Says which calls may be translated and makes refusals of what a
//! target cannot do. Does not: translate (`upstream/translation` does, for each attempt).

use tollgate_wire::Format;
use tollgate_wire::translate::loss::{Reason, Refused};
use tollgate_wire::translate::{self, Operation, native};

use super::refusal::Refusal;
use crate::code::Code;
use crate::config::policy::{Target, Targets};
use crate::config::sections::OnLoss;
use crate::ids::RequestId;
use crate::route::serving::{operation, serves};
use crate::route::table::Endpoint;
use crate::upstream::replay::Outgoing;
use crate::upstream::translation::Translatable;

/// Whether the body of a call of this endpoint is needed whole: it takes another form for one of
/// the targets, or one of them takes signed requests.
pub fn needs_whole_body(targets: &Targets, endpoint: &Endpoint, model: Option<&str>) -> bool {
    let signs = |target: &Target| target.provider.auth.as_ref().is_some_and(|auth| auth.signs());
    takes_other_form(targets, endpoint, model)
        || targets.list.iter().any(|target| signs(target) && serves(target, endpoint, model))
}

/// Whether a call of this endpoint takes another form for one of the targets.
fn takes_other_form(targets: &Targets, endpoint: &Endpoint, model: Option<&str>) -> bool {
    targets
        .list
        .iter()
        .any(|target| !target.provider.takes(endpoint.format) && serves(target, endpoint, model))
}

/// The call as its targets may need it: its id, and the milliseconds since 1970. `None` if all
/// targets take it as it is.
pub fn translatable<'a>(
    call: (&'a RequestId, i64),
    endpoint: &Endpoint,
    model: Option<&'a str>,
    (targets, body): (&Targets, &Outgoing),
    on_loss: OnLoss,
) -> Option<Translatable<'a>> {
    let (id, now_ms) = call;
    let may_carry = matches!(body, Outgoing::Whole(body)
        if native::may_carry(endpoint.format, body.as_bytes()));
    (may_carry || takes_other_form(targets, endpoint, model)).then(|| Translatable {
        call: translate::Call {
            format: endpoint.format,
            // Without one all targets take the call in its own format.
            operation: operation(endpoint).unwrap_or(Operation::Generate),
            id: id.as_str(),
            created: u64::try_from(now_ms / 1000).unwrap_or(0),
        },
        model: model.unwrap_or_default(),
        on_loss,
    })
}

/// The refusal of a call that no target can be asked.
pub fn refusal(refused: &Refused) -> Refusal {
    let code = match refused.reason {
        Reason::Unsupported => Code::UnsupportedParameter,
        Reason::Invalid => Code::InvalidRequest,
        Reason::NotJson => Code::InvalidJson,
    };
    let refusal = Refusal::new(code, refused.message.clone());
    match &refused.param {
        Some(param) => refusal.about(param.clone()),
        None => refusal,
    }
}

/// Whether errors at this path have Anthropic's shape.
pub fn is_anthropic(path: &str) -> bool {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let messages = Format::AnthropicMessages.routes();
    messages.iter().any(|route| path == route.path()) || path.starts_with("/messages/")
}
