//! Tickets that are answered later: `Prefer: respond-async`, 202, and a place to ask for the result.
//!
//! Promises: the result is its organisation's alone; it is kept a bounded while; looking at it costs nothing and leaves no
//! row; where the bound of such work is reached, the ticket is answered at once, as a preference allows. Does not: outlive
//! the process.
//!
//! # Source
//! RFC 7240, sections 2, 4.1 (`respond-async`) and 4.3 (`wait`).

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};

use super::super::body::Body;
use super::super::record::Record;
use super::super::refusal::Refusal;
use super::super::{PREFER, PREFERENCE_APPLIED, Walk};
use super::desk::{Desk, write};
use super::{Answer, json_answer, open_for, pending, refusal_of};
use crate::code::Code;
use crate::intent::flights::{Ended, Landing};
use crate::intent::ticket::IntentRequest;

/// What a caller would rather have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefer {
    /// An answer later.
    pub(super) later: bool,
    /// But to wait so long first.
    pub(super) wait: Duration,
}

impl Prefer {
    /// What the request's head says; what is not understood is no preference.
    pub(super) fn of(headers: &HeaderMap) -> Prefer {
        let mut prefer = Prefer::default();
        let lines = headers.get_all(PREFER).into_iter().filter_map(|line| line.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')) {
            // Parameters of a preference stand behind it.
            let preference = preference.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            match preference.split_once('=').map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))) {
                Some(("wait", seconds)) => {
                    prefer.wait = Duration::from_secs(seconds.parse::<u32>().unwrap_or(0).into())
                }
                None if preference == "respond-async" => prefer.later = true,
                _ => {}
            }
        }
        prefer
    }
}

/// A ticket that is being worked on for later.
pub(super) struct Begun {
    id: String,
    landing: Landing,
}

/// Begins the work on a ticket; `None` at the bound. What the caller's record holds of limits goes with the work.
pub(super) fn begin(desk: &Desk, request: IntentRequest, bytes: u64, caller: &mut Record) -> Option<Begun> {
    let gateway = &desk.gateway;
    let place = gateway.tenants.behind.of(&desk.party).take_one().ok()?;
    let Some((id, result, landing)) = gateway.at_work.results.begin(&request.org_id) else {
        gateway.metrics.bound("intent_results");
        return None;
    };
    let (desk, cut) = (desk.clone(), gateway.cut.clone());
    let mut record = desk.background_record();
    caller.hand_over(&mut record);
    gateway.tasks.spawn(async move {
        let _place = place;
        let ended = tokio::select! {
            ended = Box::pin(desk.classify(request, bytes, &mut record, None)) => ended,
            () = cut.cancelled() => return,
        };
        // The row first: who sees the result finds it in the log.
        write(&mut record, &ended);
        drop(result.send(Some(ended)));
    });
    Some(Begun { id, landing })
}

impl Begun {
    /// The answer if it is there within `wait`, else where to ask for it.
    pub(super) async fn answer(mut self, desk: &Desk, wait: Duration) -> Result<Answer, Refusal> {
        // Who does not say that they would wait is told where to look, however quick the work was.
        if wait.is_zero() {
            return Ok(Answer::Later(self.id));
        }
        match within(&mut self.landing, wait.min(desk.policy.intent.deadline)).await {
            Some(ended) => {
                desk.gateway.at_work.results.forget(&self.id);
                ended.map(Answer::Now).map_err(|error| refusal_of(&error))
            }
            None => Ok(Answer::Later(self.id)),
        }
    }
}

/// What has come of a ticket, if it has within `wait`.
async fn within(landing: &mut Landing, wait: Duration) -> Option<Ended> {
    let waited = tokio::time::timeout(wait, landing.wait_for(Option::is_some)).await;
    waited.ok()?.ok()?.clone()
}

/// Answers `GET /api/ai/intent/results/{id}`.
pub async fn result(walk: Walk<'_>, id: &str) -> Result<Response<Body>, Refusal> {
    let caller = walk.caller(true).await?;
    open_for(&walk, &caller)?;
    let unknown = || {
        let message = "there is no such result: it is another organization's, too old, or was lost in a restart";
        Refusal::new(Code::NotFound, message)
    };
    let mut landing = walk.gateway.at_work.results.find(id, &caller.org).ok_or_else(unknown)?;
    let wait = Prefer::of(&walk.head.headers).wait.min(walk.policy.intent.deadline);
    match within(&mut landing, wait).await {
        Some(Ok(finished)) => Ok(json_answer(StatusCode::OK, serde_json::to_vec(&finished.intent).unwrap_or_default())),
        Some(Err(error)) => Err(refusal_of(&error)),
        // The work was cut at the end of the process.
        None if landing.has_changed().is_err() => Err(unknown()),
        None => Ok(pending(id)),
    }
}

/// Says that the preference was followed.
pub(super) fn applied(headers: &mut HeaderMap) {
    headers.insert(PREFERENCE_APPLIED, http::HeaderValue::from_static("respond-async"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_as_the_standard_writes_them() {
        let table: [(&[&str], bool, u64); 9] = [
            (&[], false, 0),
            (&["respond-async"], true, 0),
            (&["Respond-Async, wait=10"], true, 10),
            (&["wait=10", "respond-async"], true, 10),
            (&["return=minimal; foo=\"bar\", respond-async; x, wait=\"3\""], true, 3),
            (&["wait = 5"], false, 5),
            (&["wait=-1"], false, 0),
            (&["wait=99999999999999"], false, 0),
            (&["respond-asynchronously", "respond-async=1"], false, 0),
        ];
        for (lines, later, seconds) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().expect("header"));
            }
            let expected = Prefer { later, wait: Duration::from_secs(seconds) };
            assert_eq!(Prefer::of(&headers), expected, "{lines:?}");
        }
    }
}
