//! One attempt at one target: the call is prepared for it and sent, and the answer is read as far
//! as it must be known before it is shown.
//!
//! Stage 10 of the walk. Guarantees: a connection that was closed as idle is no failed attempt; an
//! answer of another format is translated before it counts as one; the circuit of the target is
//! told how the attempt ended. Does not: decide about retries (the loop in `mod` does).

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use tollgate_wire::translate::loss::Refused;

use super::address::{is_ambiguous, lacks_model};
use super::answer::{Answer, AnswerBody, Attempted, Translated, gathered, is, status_facts, whole};
use super::apart::apart;
use super::client::{Reuse, Way};
use super::credentials::sigv4::{self, Scope, Signable, Unsigned};
use super::credentials::{Key, Missing, is_about_token, region};
use super::embeddings::Kept;
use super::foreign::{Back, Foreign, Sides, tell_error};
use super::parties::PartyId;
use super::replay::AttemptBody;
use super::request::{Destination, Rewritten, request};
use super::retry::{self, Blame, Failure, Verdict};
use super::trail::{Sent, Trail};
use super::translation::{Prepared, Unable};
use super::{Call, Upstream};
use crate::bounds::TRANSLATED_ANSWER_BYTES_MAX;
use crate::config::policy::{Policy, Target};
use crate::digest::{hex, sha256};

impl Upstream {
    /// Makes one attempt. `kept` has the parts of an answer that earlier ones got.
    pub(crate) async fn attempt(
        &self,
        (policy, target): (&Policy, &Target),
        call: &Call<'_>,
        party: PartyId,
        kept: &mut Kept,
        trail: &Arc<Trail>,
    ) -> Attempted {
        let name = &target.provider.name;
        // Boxed: most calls need no place for the futures of a translation.
        let prepared = match &call.translatable {
            Some(translatable) => match Box::pin(translatable.to(target, call)).await {
                Ok(prepared) => prepared,
                Err(Unable::Refused(refused)) => return Attempted::Untranslatable(refused),
                Err(Unable::NoRoom) => return Attempted::Failed(Failure::NoRoom, None),
            },
            None => Prepared::AsItIs,
        };
        let path = match &prepared {
            Prepared::AsItIs => call.path_and_query,
            Prepared::Foreign(foreign) => foreign.rewritten().path,
            Prepared::Parts(_) => "",
        };
        if lacks_model(&target.provider, path, target.model.as_deref().or(call.model)) {
            let text = "`model` is missing; at this provider it names the deployment";
            return Attempted::Untranslatable(Box::new(Refused::invalid("model", text)));
        }
        if is_ambiguous(&target.provider, target.model.as_deref().or(call.model)) {
            let text = "the model's id has a part that is empty, `.` or `..`; give the id as the \
                provider lists it";
            return Attempted::Untranslatable(Box::new(Refused::invalid("model", text)));
        }
        let Ok(key) = self.key(target, call).await else { return Attempted::KeyMissing };
        let to = Destination { policy, target, key: &key };
        let sent = trail.sent_to(&target.provider, target.model.as_ref(), self.clock.now());
        let (outcome, attempted) = match &prepared {
            Prepared::AsItIs => self.exchange(to, call, None, sent).await,
            Prepared::Foreign(foreign) => self.exchange(to, call, Some(&**foreign), sent).await,
            Prepared::Parts(parts) => Box::pin(self.embed(to, call, parts, kept, sent)).await,
        };
        // Neither a body that broke on the client's side, nor a lack of descriptors on this
        // machine, nor the gateway's key is evidence about the provider.
        let blame = match &attempted {
            _ if call.body.is_broken() => Blame::Gateway,
            Attempted::Failed(failure, _) => failure.blame(),
            Attempted::KeyRefused | Attempted::KeyMissing => Blame::Gateway,
            Attempted::Answer(_) | Attempted::Untranslatable(_) => Blame::Nobody,
        };
        if blame != Blame::Gateway {
            self.judge(policy, name, call.caller, party, blame);
        }
        self.metrics.upstream_attempts.with_label_values(&[&**name, outcome]).inc();
        attempted
    }

    /// The key of an attempt: the caller's own, or the provider's.
    async fn key(&self, target: &Target, call: &Call<'_>) -> Result<Key, Missing> {
        match call.own_key {
            Some(own) => Ok(Key::Text(own.clone())),
            None => {
                self.credentials.key(&target.provider, self.clock, target.timeouts.connect).await
            }
        }
    }

    /// Sends a call and reads its answer.
    async fn exchange(
        &self,
        to: Destination<'_>,
        call: &Call<'_>,
        foreign: Option<&Foreign>,
        sent: Sent,
    ) -> (&'static str, Attempted) {
        let rewritten = foreign.map(Foreign::rewritten);
        match self.send(to, call, rewritten.as_ref(), sent).await {
            Err(failure) => (failure.reason(), Attempted::Failed(failure, None)),
            Ok(response) => {
                let back = foreign.and_then(Foreign::back);
                let mut read = self.read(to, call, back, response).await;
                if let Some(reduced) = foreign.and_then(Foreign::reduced)
                    && let Attempted::Answer(answer) | Attempted::Failed(_, Some(answer)) =
                        &mut read.1
                {
                    answer.reduced = Some(Box::new(reduced.clone()));
                }
                read
            }
        }
    }

    /// Sends a request, and once more if the provider had closed an idle connection: that is no
    /// attempt of its own.
    pub(crate) async fn send(
        &self,
        Destination { policy, target, key }: Destination<'_>,
        call: &Call<'_>,
        rewritten: Option<&Rewritten<'_>>,
        sent: Sent,
    ) -> Result<http::Response<Incoming>, Failure> {
        let body = rewritten.map_or(call.body, |rewritten| rewritten.body);
        let way = Way {
            egress: &target.provider.egress,
            connect: target.timeouts.connect,
            first_byte: target.timeouts.first_byte,
            reuse: Reuse::Allowed,
        };
        let make = |sent| request(target, call, rewritten, key, sent);
        let answered = if key.signs_with().is_none() {
            // No request is held over a wait: it would have a place in the future of each call.
            self.client.send(make(sent.clone()), body, way).await
        } else {
            let first = Box::pin(self.signed(make(sent.clone()), (target, key), call)).await?;
            self.client.send(first, body, way).await
        };
        if matches!(answered, Err(Failure::Stale))
            && retry::decide(&Failure::Stale, call.stateful) != Verdict::GiveUp
            && call.body.may_repeat(policy.retry.replay_bytes)
        {
            let request = Box::pin(self.signed(make(sent), (target, key), call)).await?;
            return self.client.send(request, body, Way { reuse: Reuse::Never, ..way }).await;
        }
        answered
    }

    /// The request with a signature, if its provider takes signed ones.
    async fn signed(
        &self,
        mut request: Request<AttemptBody>,
        (target, key): (&Target, &Key),
        call: &Call<'_>,
    ) -> Result<Request<AttemptBody>, Failure> {
        let Some(keys) = key.signs_with() else { return Ok(request) };
        // It was gathered before: its targets were known.
        let body = request.body().bytes().ok_or(Failure::NoRoom)?;
        let digest = apart(body.len(), call.apart, move || hex(&sha256(&body))).await;
        let digest = digest.ok_or(Failure::NoRoom)?;
        let (method, address) = (request.method().clone(), request.uri().clone());
        let signable = Signable { method: &method, address: &address, body_sha256: &digest };
        let provider = &*target.provider;
        let scope = Scope { region: region(provider), service: sigv4::service(provider) };
        let signed =
            sigv4::signed(request.headers_mut(), signable, scope, keys, self.clock.wall_ms());
        signed.map_err(|Unsigned| {
            tracing::error!(
                event = "request_unsigned",
                provider = &*provider.name,
                "the request cannot be signed"
            );
            Failure::Protocol
        })?;
        Ok(request)
    }

    /// The end of an attempt whose answer is refused for its head alone.
    pub(crate) fn refused_by_head(
        &self,
        Destination { target, key, .. }: Destination<'_>,
        call: &Call<'_>,
        head: &http::response::Parts,
    ) -> Option<(&'static str, Attempted)> {
        let status = head.status;
        if status.is_informational()
            || (status.is_redirection() && status != StatusCode::NOT_MODIFIED)
        {
            // An upgrade or a redirect is a configuration mistake and is not followed.
            return Some(("protocol", Attempted::Failed(Failure::Protocol, None)));
        }
        if call.own_key.is_some() || !matches!(status.as_u16(), 401 | 403) {
            return None;
        }
        let name = &target.provider.name;
        tracing::error!(
            event = "provider_key_refused",
            provider = &**name,
            status = status.as_u16(),
            "the provider refuses the gateway's key"
        );
        self.metrics.provider_key_refused.with_label_values(&[&**name]).inc();
        if is_about_token(status, &head.headers) {
            self.credentials.suspect(&target.provider, key, self.clock);
        }
        Some(("key_refused", Attempted::KeyRefused))
    }

    /// Reads as much of an answer as must be known before it is shown.
    async fn read(
        &self,
        to: Destination<'_>,
        call: &Call<'_>,
        back: Option<Back<'_>>,
        response: http::Response<Incoming>,
    ) -> (&'static str, Attempted) {
        let (head, incoming) = response.into_parts();
        let (status, target) = (head.status, to.target);
        if let Some(refused) = self.refused_by_head(to, call, &head) {
            return refused;
        }
        let idle = target.timeouts.idle;
        // An answer without a body is complete at once, even if it is labelled as a stream.
        let bodiless = status == StatusCode::NO_CONTENT || *call.method == Method::HEAD;
        let empty = incoming.is_end_stream() && !is(&head.headers, "text/event-stream");
        let gather = bodiless
            || empty
            || !status.is_success()
            || is(&head.headers, "application/json")
            || back.as_ref().is_some_and(Back::is_whole);
        let read = if !gather {
            Ok((AnswerBody::Streaming(Bytes::new(), incoming), None))
        } else if back.is_some() && status.is_success() {
            let most = TRANSLATED_ANSWER_BYTES_MAX;
            let read = Box::pin(whole(most, incoming, idle, call.room)).await;
            read.map(|(bytes, held)| (AnswerBody::Whole(bytes), held))
        } else {
            gathered(incoming, idle, call.room).await
        };
        match read {
            Ok((body, held)) => {
                self.understood(Answer::of(target, head, body, held), call, back).await
            }
            Err(failure) => (failure.reason(), Attempted::Failed(failure, None)),
        }
    }

    /// The result of an attempt with this answer, which is translated if its format is another.
    async fn understood(
        &self,
        answer: Answer,
        call: &Call<'_>,
        back: Option<Back<'_>>,
    ) -> (&'static str, Attempted) {
        let status = answer.head.status;
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return self.refused(answer, back.as_ref().map(Back::sides));
        }
        let answer = match back {
            None => Ok(answer),
            // Boxed: most calls are not translated.
            Some(back) => Box::pin(back.read(answer, call.room, call.apart)).await,
        };
        match answer {
            Ok(answer) => ("ok", Attempted::Answer(answer)),
            Err(failure) => (failure.reason(), Attempted::Failed(failure, None)),
        }
    }

    /// The result of an attempt that the provider answered with an error.
    pub(crate) fn refused(
        &self,
        mut answer: Answer,
        translated: Option<(Sides, &Translated)>,
    ) -> (&'static str, Attempted) {
        let mut facts = status_facts(&answer, self.clock.wall_ms());
        if let Some(translated) = translated {
            tell_error(&mut answer, &mut facts, translated);
        }
        let failure = Failure::Status(facts);
        // An error that is too long to be inspected whole is not passed on: it may quote a
        // credential.
        let words = matches!(answer.body, AnswerBody::Whole(_)).then_some(answer);
        (failure.reason(), Attempted::Failed(failure, words))
    }
}
