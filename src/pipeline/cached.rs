//! The exact cache on the walk: which calls it may answer, and whose answers it keeps.
//!
//! Between the stages 7 and 8. A call that is found takes the rest of the walk as any other: values
//! are put back and those of others taken out for this call, and it leaves its row. It reserves and
//! uses neither tokens nor money; its request is counted.
//!
//! Guarantees: with the cache off a call costs one look at the policy; only known organisations
//! under the gateway's own provider keys are answered, since a caller's own key is checked by its
//! provider alone; an answer is kept only if it is a whole 2xx that keeps no state at the provider;
//! `no-store` neither looks nor keeps, `no-cache` does not look. Does not: look at bodies that are
//! too long to be gathered, or make one of two equal calls wait for the other.

use std::sync::Arc;

use bytes::BytesMut;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use super::keeping::{Cached, Keeping};
use super::record::Record;
use super::walk::Walk;
use super::{RequestBody, keeps_state};
use crate::auth::Caller;
use crate::bounds::GATHER_BYTES_MAX;
use crate::cache::{Question, Room, Stored, StoredHead};
use crate::config::policy::{Accept, Targets};
use crate::route::table::Endpoint;
use crate::upstream::answer::{Answer, AnswerBody, Reduced, Translated};
use crate::upstream::replay::Outgoing;

/// Request headers that change an answer, besides those that providers ask for.
const CHANGING: [&str; 3] = ["anthropic-beta", "anthropic-version", "openai-beta"];

/// The answer of an earlier call that said the same, if it is kept; else the record gets a place
/// for the answer to come.
pub(super) async fn find(
    walk: &Walk<'_>,
    (endpoint, path): (&Endpoint, &str),
    caller: &Caller,
    request: &RequestBody,
    targets: &Targets,
    record: &mut Record,
) -> Option<Answer> {
    let rules = walk.policy.cache.as_deref()?;
    let policy = rules.orgs.of(&caller.org);
    let is_known = matches!(caller.via, Accept::Jwt | Accept::Key) && caller.upstream_key.is_none();
    let Outgoing::Whole(body) = &request.body else { return None };
    let may_be = is_known
        && policy.keeps(&endpoint.name)
        && walk.head.method == Method::POST
        && request.form_type.is_none()
        && body.as_bytes().len() <= GATHER_BYTES_MAX
        && !keeps_state(walk, endpoint, &request.facts);
    if !may_be {
        return None;
    }
    record.cached = Cached::Miss(None);
    let asked = Directives::of(&walk.head.headers);
    if asked.no_store {
        return counted(walk, None);
    }
    let question = Question {
        org: &caller.org,
        policy_version: &walk.policy.version,
        endpoint: (&endpoint.name, path),
        body: body.as_bytes(),
        drops_usage: request.facts.usage_injected,
    };
    let Some(key) = question.key(changing(&walk.head.headers, targets)) else {
        return counted(walk, None);
    };
    let cache = &walk.gateway.cache;
    let found = if asked.no_cache { None } else { cache.find(key, rules.bytes_max).await };
    let Some(stored) = found else {
        let ttl_ms = i64::try_from(policy.options.ttl.as_millis()).unwrap_or(i64::MAX);
        let head = StoredHead {
            key: key.name(),
            org: caller.org.as_str().to_owned(),
            expires_ms: walk.gateway.clock.wall_ms().saturating_add(ttl_ms),
            ..StoredHead::default()
        };
        record.cached = Cached::Miss(Some(Box::new(Keeping {
            gateway: Arc::clone(walk.gateway),
            key,
            epoch: cache.epoch(),
            room: Room { bytes_max: rules.bytes_max, org_bytes_max: policy.options.max_bytes },
            head,
            body: BytesMut::new(),
            held: walk.bytes().begin(),
        })));
        return counted(walk, None);
    };
    record.cached = Cached::Hit(stored.head.cost_nano_usd);
    record.guided.used = walk.counting().used(caller, None);
    let own = walk.gateway.clock.now().since(walk.started).saturating_sub(request.waited);
    record.own_time(own);
    #[expect(clippy::cast_precision_loss, reason = "a counter for dashboards")]
    let saved = stored.head.cost_nano_usd.unwrap_or(0).max(0) as f64 / 1e9;
    walk.gateway.metrics.cache_saved_usd.inc_by(saved);
    counted(walk, answer(&stored, targets))
}

fn counted(walk: &Walk<'_>, answer: Option<Answer>) -> Option<Answer> {
    let result = if answer.is_some() { "hit" } else { "miss" };
    walk.gateway.metrics.cache_lookups.with_label_values(&[result]).inc();
    answer
}

/// The kept answer, as if a provider had given it.
fn answer(stored: &Stored, targets: &Targets) -> Option<Answer> {
    let StoredHead { translated, translation, dropped_fields, headers, .. } = &stored.head;
    let mut head = Response::new(()).into_parts().0;
    head.status = StatusCode::from_u16(stored.head.status).ok()?;
    for (name, value) in headers {
        head.headers.append(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value).ok()?,
        );
    }
    let (header, dropped_fields) = (translation.clone(), dropped_fields.clone());
    let mut answer =
        Answer::of(targets.list.first()?, head, AnswerBody::Whole(stored.body.clone()), None);
    if !translated.is_empty() {
        let formats = translated.clone();
        answer.translated = Some(Box::new(Translated {
            formats,
            header,
            dropped_fields,
            stream: None,
            whole: None,
        }));
    } else if !header.is_empty() {
        answer.reduced = Some(Box::new(Reduced { header, dropped_fields }));
    }
    Some(answer)
}

/// The headers of a request that change its answer.
fn changing<'h>(
    headers: &'h HeaderMap,
    targets: &'h Targets,
) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
    let asked_for = targets.list.iter().flat_map(|target| &target.provider.forward_headers);
    let names = CHANGING.into_iter().chain(asked_for.map(HeaderName::as_str));
    names.flat_map(|name| {
        headers.get_all(name).iter().map(move |value| (name.as_bytes(), value.as_bytes()))
    })
}

/// The request's directives about caches.
#[derive(Debug, Default, PartialEq, Eq)]
struct Directives {
    no_store: bool,
    no_cache: bool,
}

impl Directives {
    /// RFC 9111, section 5.2.1.
    fn of(headers: &HeaderMap) -> Directives {
        let mut found = Directives::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            for directive in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                found.no_store |= directive.eq_ignore_ascii_case(b"no-store");
                found.no_cache |= directive.eq_ignore_ascii_case(b"no-cache")
                    || directive.eq_ignore_ascii_case(b"max-age=0");
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_forbid_to_look_and_to_keep() {
        for (values, no_store, no_cache) in [
            (&[][..], false, false),
            (&["no-store"], true, false),
            (&["No-Cache"], false, true),
            (&["max-age=0"], false, true),
            (&["max-age=60, no-transform"], false, false),
            (&["max-age=60", "no-cache , no-store"], true, true),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_static(value));
            }
            assert_eq!(Directives::of(&headers), Directives { no_store, no_cache }, "{values:?}");
        }
    }
}
