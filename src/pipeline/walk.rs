//! One call on its way, as all stages see it.
//!
//! The caller, the record's beginning, the head of the body, the body's way in, the path
//! for the provider. Does not: know the order of the stages (`pipeline/mod.rs` tells it).

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Uri, header};
use tokio::time::Instant;
use tollgate_wire::tokens;

use super::body_in::coding::Coding;
use super::body_in::form;
use super::body_in::reader::BodyReader;
use super::body_in::work::Decoding;
use super::body_in::{self, Arriving, Intake};
use super::client;
use super::credential::Shown;
use super::endpoints;
use super::gateway::Gateway;
use super::ownership::Ownership;
use super::query;
use super::readers::Entry;
use super::record::Record;
use super::refusal::{Refusal, short_of};
use super::seat::Seat;
use super::turns::Pace;
use super::upload::Upload;
use super::{shadow, tags, traces};
use crate::ailog::row::{RouteKind, Row};
use crate::auth::{self, AuthError, Caller, FetchError, KeySetFetch, Latest};
use crate::clock::Nanos;
use crate::code::Code;
use crate::config::policy::Policy;
use crate::egress::Egress;
use crate::ids::RequestId;
use crate::lock::lock;
use crate::redact::{self, BodyRedactor};
use crate::route::table::Endpoint;
use crate::share::{Party, Resource, Share};
use crate::upstream::Upstream;
use crate::visible::visible;

/// The facts about a body that its head states.
pub struct BodyHead<'h> {
    pub coding: Option<Coding>,
    /// It is a form with this boundary.
    pub boundary: Option<&'h [u8]>,
}

/// One call on its way, as all stages see it.
pub struct Walk<'g> {
    pub gateway: &'g Arc<Gateway>,
    pub policy: Arc<Policy>,
    pub head: Parts,
    pub request_id: &'g RequestId,
    pub started: Nanos,
    pub seat: &'g Seat,
    /// Whom the call counts for, once that is known.
    party: OnceLock<Arc<Party>>,
}

impl<'g> Walk<'g> {
    /// A call at its beginning, under the policy that it will end under.
    pub fn new(
        gateway: &'g Arc<Gateway>,
        policy: Arc<Policy>,
        head: Parts,
        request_id: &'g RequestId,
        started: Nanos,
        seat: &'g Seat,
    ) -> Walk<'g> {
        Walk { gateway, policy, head, request_id, started, seat, party: OnceLock::new() }
    }
}

impl Walk<'_> {
    /// Stage 3.
    pub async fn caller(&self, jwt_only: bool) -> Result<Caller, Refusal> {
        let now_ms = self.gateway.clock.wall_ms();
        let fetch = KeySets(&self.gateway.upstream, &self.policy.egress);
        let (auth, headers) = (&self.policy.auth, &self.head.headers);
        let mut asking =
            pin!(self.gateway.auth.authenticate(auth, headers, now_ms, jwt_only, &fetch));
        let result = match poll_once(asking.as_mut()).await {
            Some(result) => result,
            // A key set has to be fetched first. A caller that waits for it holds a head, and has
            // not shown who it is.
            None => {
                let unknown = self.gateway.tenants.unknown(self.seat.address());
                let waiting = self.gateway.tenants.reading.of(&unknown).take_one();
                let _waiting = waiting.map_err(|short| short_of(Resource::Readers, short))?;
                asking.await
            }
        };
        let caller = result.map_err(|error| {
            self.unknown_caller(error, now_ms);
            Refusal::new(error.code(), error.to_string())
        })?;
        let tenants = &self.gateway.tenants;
        let party = self.party.get_or_init(|| tenants.party(&caller, self.seat.address()));
        self.seat
            .belongs_to(tenants, party)
            .map_err(|short| short_of(Resource::Connections, short))?;
        Ok(caller)
    }

    /// Counts a refused credential, and tells operators why it was refused: in the log, a few
    /// times a minute for each reason, and on their side.
    fn unknown_caller(&self, error: AuthError, now_ms: i64) {
        let (code, reason) = (error.code().as_str(), error.reason());
        self.gateway.metrics.auth_failures.with_label_values(&[code, reason.as_str()]).inc();
        let Some(unlogged) = self.gateway.auth.refused.count(reason, now_ms) else { return };
        let (kid, iss) = auth::named_by(&self.head.headers);
        let rules = &self.policy.redaction.default;
        let shown = |text: &str| {
            let text = if redact::holds_secret(text) { "(a credential)" } else { text };
            let text = redact::text(rules, &visible(text)).0;
            String::from_utf8_lossy(text.as_bytes()).into_owned()
        };
        let (kid, iss, request_id) = (shown(&kid), shown(&iss), self.request_id.as_str());
        tracing::warn!(
            event = "credential_refused",
            reason = reason.as_str(),
            kid,
            iss,
            request_id,
            unlogged,
            "credential refused"
        );
        let latest = Latest { at_ms: now_ms, kid, iss, request_id: request_id.to_owned() };
        self.gateway.auth.refused.keep(reason, latest);
    }

    /// Whom the call counts for.
    pub fn party(&self) -> &Arc<Party> {
        self.party.get_or_init(|| self.gateway.tenants.unknown(self.seat.address()))
    }

    /// Room for what the call holds beyond what each may.
    pub fn bytes(&self) -> Share {
        self.gateway.tenants.bytes.of(self.party())
    }

    /// Room for the decoder of a compressed body.
    pub fn decoders(&self) -> Share {
        self.gateway.tenants.decoders.of(self.party())
    }

    /// Stage 5: opens the record.
    pub fn record(&self, caller: &Caller, route: RouteKind, endpoint: Cow<'static, str>) -> Record {
        let (id, version) = (self.request_id.clone(), Arc::clone(&self.policy.version));
        let begun =
            Row::begin(self.gateway.clock.wall_ms(), caller.org.clone(), route, id, version);
        let client = client::of(&self.head.headers, self.policy.redaction.of(&caller.org));
        let tags = tags::of_head(&self.policy, &self.head.headers, caller);
        let mut row = Row { caller: Arc::clone(&caller.name), endpoint, client, tags, ..begun };
        traces::begin(&mut row, &self.head, self.gateway.sampling);
        let Parts { method, uri, headers, .. } = &self.head;
        let head = shadow::Head { method, path: uri.path(), headers, route };
        Record::open(self.gateway, Arc::clone(&self.policy), row, self.started)
            .judged_by(shadow::begin(self.gateway, &self.policy, caller, &head))
    }

    pub fn wrong_method(&self, allow: &'static str) -> Refusal {
        let method = &self.head.method;
        let message = if *method == Method::OPTIONS {
            let asks = self.head.headers.contains_key(header::ORIGIN);
            let none = self.policy.cors.origins.is_empty();
            let whom = if asks && !none { "this origin" } else { "any" };
            format!(
                "OPTIONS is not allowed here; use {allow}. Pages of other origins may call if the \
                    policy names their \
                 origins in `cors.origins`; it does not name {whom}"
            )
        } else {
            format!("{} is not allowed here; use {allow}", known_method(method))
        };
        Refusal { allow: Some(allow), ..Refusal::new(Code::MethodNotAllowed, message) }
    }

    /// When a call that may take `total` must be over.
    pub fn deadline(&self, total: Duration) -> Instant {
        Instant::now() + total.saturating_sub(self.gateway.clock.now().since(self.started))
    }

    /// Checks the head of the body: a kind that can be read, in a coding that can be, not too
    /// long. `forms`: a form is one, too.
    pub fn check_body_head(&self, forms: bool) -> Result<BodyHead<'_>, Refusal> {
        let headers = &self.head.headers;
        let length: Option<u64> = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok());
        if length.is_some_and(|l| l > self.gateway.max_body_bytes) {
            return Err(body_in::too_large(self.gateway.max_body_bytes));
        }
        let unsupported = |message: &'static str| {
            Err(Refusal::new(Code::UnsupportedMediaType, message).closing())
        };
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = match (codings.next().map(|v| Coding::of(v.as_bytes())), codings.next()) {
            (None, _) => None,
            (Some(Ok(coding)), None) => coding,
            _ => {
                let message = "a request body may be compressed once, as gzip, deflate or zstd; \
                    send it that way or uncompressed";
                return Err(Refusal::new(Code::UnsupportedMediaType, message).closing());
            }
        };
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return Ok(BodyHead { coding, boundary: None });
        };
        let kind = kind.to_str().unwrap_or_default();
        if let Some(boundary) = if forms { form::boundary(kind)? } else { None } {
            return Ok(BodyHead { coding, boundary: Some(boundary) });
        }
        let kind = kind.to_ascii_lowercase();
        let mut parts = kind.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        if endpoints::is_upload(headers) {
            return Err(Refusal::new(Code::AttachmentsNotAllowed, endpoints::FORM).closing());
        }
        if essence != "application/json" {
            return unsupported("the request body must be application/json");
        }
        let utf8 = |p: &str| {
            p.strip_prefix("charset=")
                .is_none_or(|c| matches!(c.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"))
        };
        if !parts.all(utf8) {
            return unsupported("the request body must be UTF-8");
        }
        Ok(BodyHead { coding, boundary: None })
    }

    /// The reader of a body that is not forwarded, after a check of its head.
    ///
    /// # Errors
    /// The head says that the body cannot be read.
    pub fn body_reader(
        &self,
        caller: &Caller,
        upload: Upload,
        entry: Entry,
        bytes_max: u64,
    ) -> Result<BodyReader, Refusal> {
        let coding = self.check_body_head(false)?.coding;
        let arriving = Arriving::new(upload, self.policy.timeouts.idle, entry);
        let mut body = BodyReader::new(arriving, self.pace(caller), bytes_max);
        if let Some(coding) = coding {
            body.decode(coding, &self.decoders());
        }
        Ok(body)
    }

    /// The redactor of the call's body, followed by the record.
    ///
    /// Made apart from the walk: the values that it moves are large, and would have a second place
    /// in the walk's future.
    ///
    /// # Errors
    /// The head says that the body cannot be read.
    pub fn intake(
        &self,
        endpoint: &Endpoint,
        rules: &Arc<redact::Rules>,
        caller: &Caller,
        upload: Upload,
        entry: Entry,
        record: &mut Record,
    ) -> Result<Intake, Refusal> {
        let (policy, bytes_max) = (&self.policy, self.gateway.max_body_bytes);
        let BodyHead { coding, boundary } = self.check_body_head(endpoint.takes_forms)?;
        let arriving = Arriving::new(upload, policy.timeouts.idle, entry);
        let options = endpoint.answer.schema();
        let mut redactor =
            BodyRedactor::new(Arc::clone(rules), *endpoint.format.schema(), options.usage_option);
        redactor.decode_tokens(&tokens::OpenAi);
        if rules.need_key()
            && let Some(key) = self.gateway.placeholders.of(&caller.org)
        {
            redactor.key_placeholders(key);
        }
        if policy.routing.options.force_store_false && options.store_option {
            redactor.forbid_store();
        }
        if policy.routing.renames || record.guided.cheaper.is_some() {
            redactor.locate_model();
        }
        (record.values, record.own) = (redactor.values(), redactor.own());
        let other_rules = record.shadow().and_then(|shadow| lock(shadow).other_rules(rules));
        let mut beside = other_rules.map(|rules| {
            let mut beside = BodyRedactor::new(rules, *endpoint.format.schema(), false);
            beside.decode_tokens(&tokens::OpenAi);
            beside
        });
        let mut form_type = None;
        if let Some(boundary) = boundary {
            let written = form::fresh_boundary()?;
            redactor.read_form(boundary, written.as_bytes());
            if let Some(beside) = &mut beside {
                beside.read_form(boundary, written.as_bytes());
            }
            form_type = form::content_type(&written);
        }
        beside.into_iter().for_each(|beside| redactor.count_beside(beside));
        let capture = tags::capture(policy);
        let mut intake = Intake::new(arriving, redactor, self.pace(caller), bytes_max, capture);
        intake.form_type = form_type;
        if let Some(coding) = coding {
            intake.decode(Decoding::new(coding, bytes_max, &self.decoders()));
        }
        intake.ownership = Ownership::of(self.gateway, policy, caller);
        record.follow(intake.seen());
        Ok(intake)
    }

    /// At what pace a body of the caller is worked on.
    pub fn pace(&self, caller: &Caller) -> Pace {
        let turns = &self.gateway.turns;
        turns.pace(turns.group(caller))
    }

    /// The path for the provider, with its query as far as that may leave.
    pub fn redacted_target(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        rules: &redact::Rules,
        record: &mut Record,
    ) -> Result<String, Refusal> {
        let shown = Shown::in_headers(&self.head.headers);
        check_ids(endpoint, rules, &shown)?;
        let restricted = caller.key.as_ref().filter(|key| !key.models.is_empty());
        if let Some(key) = restricted
            && let Some(model) = endpoint.model()
            && !key.may_use(Some(model))
        {
            return Err(model_not_allowed());
        }
        let Some(query) = self.head.uri.query().filter(|q| !q.is_empty()) else {
            return Ok(endpoint.path.clone());
        };
        let query = query::cleaned(rules, &shown, query)?;
        if restricted.is_some_and(|key| query.models.iter().any(|model| !key.may_use(Some(model))))
        {
            return Err(model_not_allowed());
        }
        record.took_from_head(&query.ledger);
        body_in::judge_head(rules, &query.ledger)?;
        if query.text.is_empty() {
            return Ok(endpoint.path.clone());
        }
        Ok([&endpoint.path, "?", &query.text].concat())
    }
}

/// Names in a path are not rewritten: one that holds personal data would be another's name.
fn check_ids(endpoint: &Endpoint, rules: &redact::Rules, shown: &Shown<'_>) -> Result<(), Refusal> {
    if endpoint.ids().next().is_none() {
        return Ok(());
    }
    let holds = |text: &str| !rules.is_harmless(text) && !redact::text(rules, text).1.is_empty();
    let is_number = |id: &str| {
        let digits = id.bytes().filter(u8::is_ascii_digit).count();
        digits >= PHONE_DIGITS_MIN
            && id.bytes().all(|b| b.is_ascii_digit() || b"+-.~,".contains(&b))
    };
    let suspect = |id: &str| {
        let model = endpoint.model() == Some(id);
        query::readings(id).iter().any(|id| holds(id) || shown.are_in(id)) || model && is_number(id)
    };
    let joined = || endpoint.ids().collect::<Vec<_>>().join(" ");
    if endpoint.ids().any(suspect) || endpoint.ids().count() > 1 && holds(&joined()) {
        let message = "the path holds what looks like personal data or a credential, so it was not \
            forwarded; name the \
                       object or model by its id";
        return Err(Refusal::new(Code::InvalidRequest, message).closing());
    }
    Ok(())
}

/// No model is called by so many digits alone.
const PHONE_DIGITS_MIN: usize = 7;

/// The message to a key with `models`.
pub fn model_not_allowed() -> Refusal {
    Refusal::new(Code::ModelNotFound, "this key may not be used with this model")
        .about("model")
        .closing()
}

/// The result, if it is there without waiting.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Key sets come through the client that also calls providers.
struct KeySets<'u>(&'u Upstream, &'u Arc<Egress>);

impl KeySetFetch for KeySets<'_> {
    async fn fetch(&self, address: &Uri, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        self.0.fetch(self.1, address, bytes_max).await.map_err(FetchError)
    }
}

fn known_method(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::PATCH => method.as_str(),
        Method::OPTIONS | Method::CONNECT | Method::TRACE => method.as_str(),
        _ => "this method",
    }
}
