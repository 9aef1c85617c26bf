//! `providers`, `routing` and `prices`, checked.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderName, Method, Uri};
use tollgate_wire::ProviderKind;
use tollgate_wire::translate::model::Overrides;

use super::super::policy::{ModelRule, Provider, Routing, Spread, Target, Targets, Timeouts};
use super::super::reader::place::{Place, Problems, suggest};
use super::super::reader::shape::{At, Named, Plain as _, Usd};
use super::super::sections::{RawPrice, RawProvider, RawRouting, RawTarget, RawTo};
use super::egress::{self, Environment};
use super::{credentials, label, port_fits};
use crate::bounds::{MODEL_BYTES_MAX, PROVIDERS_MAX, TARGETS_MAX};
use crate::cost::{Price, PriceList, Rates};
use crate::glob::Glob;
use crate::route::table;

/// Headers that carry credentials, frame the message or are set by the gateway: never passed on by
/// configuration.
const HEADERS_OWN: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-goog-user-project",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-tollgate-token",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "content-encoding",
    "x-request-id",
];

/// The names of all providers, in the order of the file.
pub(crate) struct Names(Vec<String>);

impl Names {
    pub(crate) fn of(raw: &Named<RawProvider>) -> Names {
        Names(raw.0.iter().map(|(name, _)| name.value.clone()).collect())
    }

    /// The name of a provider.
    pub(crate) fn name(&self, index: usize) -> &str {
        self.0.get(index).map_or("", String::as_str)
    }

    /// The index of a provider; a problem where there is none of that name.
    pub(crate) fn find(&self, name: &str, at: &Place, problems: &mut Problems) -> Option<usize> {
        let index = self.0.iter().position(|n| n == name);
        if index.is_none() {
            // The name may have come from the environment, and then is not to be shown.
            let hint = suggest(name, self.0.iter().map(String::as_str));
            problems.add(at, format!("there is no provider of this name; {hint}"));
        }
        index
    }

    /// The provider of a key that is not given: `name` if there is such a provider, else the first.
    pub(crate) fn default(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|n| n == name).or(if self.0.is_empty() { None } else { Some(0) })
    }
}

pub(crate) fn providers(
    raw: &At<Named<RawProvider>>,
    environment: &Environment,
    problems: &mut Problems,
) -> Vec<Arc<Provider>> {
    if raw.0.is_empty() {
        problems.add(&raw.at, "empty, so no call has a provider; give at least one");
    }
    if raw.0.len() > PROVIDERS_MAX {
        problems.add(
            &raw.at,
            format!("more than {PROVIDERS_MAX} providers; split them over several gateways"),
        );
    }
    let mut providers = Vec::with_capacity(raw.0.len());
    for (name, given) in &raw.0 {
        label(name, &name.at, problems);
        let base_url = base_url(given, problems);
        api_version(given, problems);
        let forward_headers =
            given.forward_headers.iter().filter_map(|h| header(h, problems)).collect();
        let egress = egress::of(given, environment, problems);
        let key = given.api_key.value.reveal();
        if key.bytes().any(|b| !(0x21..=0x7e).contains(&b)) {
            problems.add(
                &given.api_key.at,
                "has a space, a line break or another character that no key has; give the key \
                    alone",
            );
        }
        if let Some(base_url) = base_url {
            let auth = credentials::auth(given, &base_url, &egress, problems);
            providers.push(Arc::new(Provider {
                name: Arc::from(name.value.as_str()),
                base_url,
                forward_headers,
                egress,
                auth,
                options: given.plain(),
            }));
        }
    }
    providers
}

/// The address of the API of an Azure resource, of which people write more or less.
fn azure(resource: &Uri, is_v1: bool) -> Option<Uri> {
    let mut parts = resource.clone().into_parts();
    if !matches!(resource.path().trim_end_matches('/'), "" | "/openai" | "/openai/v1") {
        return None;
    }
    let path = if is_v1 { "/openai/v1" } else { "/openai" };
    parts.path_and_query = Some(PathAndQuery::from_static(path));
    Uri::from_parts(parts).ok()
}

/// Checks the API version of an Azure resource.
fn api_version(given: &RawProvider, problems: &mut Problems) {
    let version = given.api_version.as_str();
    let is_azure = given.kind.value == ProviderKind::AzureOpenAi;
    let date = version.strip_suffix("-preview").unwrap_or(version);
    let is_date = date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok();
    if !is_azure && version != "v1" {
        let text = "only a provider of kind azure_openai has API versions; remove the key";
        problems.add(&given.api_version.at, text);
    } else if is_azure && version != "v1" && !is_date {
        let text = "not a version of Azure's API; give v1 or a date, e.g. 2024-10-21";
        problems.add(&given.api_version.at, text);
    }
}

/// Whether it is an address of Vertex AI, but not that of Anthropic's models.
fn is_other_publisher(uri: &Uri) -> bool {
    let is_vertex = uri.host().is_some_and(|host| host.ends_with("aiplatform.googleapis.com"));
    is_vertex && !uri.path().ends_with("/publishers/anthropic")
}

fn base_url(given: &RawProvider, problems: &mut Problems) -> Option<Uri> {
    let Some(text) = given.base_url.value.as_deref().map(str::trim) else {
        // Never a guess: the key of one server would go to another.
        let public = given.kind.value.base_url();
        if problems.is_unresolved(&given.base_url.at.path) {
            // Told already, or told if a command uses this provider; until then this stands there.
            return public.parse().ok();
        }
        problems
            .add(&given.base_url.at, format!("missing; give the server's address, e.g. {public}"));
        return None;
    };
    let fault = match text.trim_end_matches('/').parse::<Uri>() {
        Err(_) => "not a URL; give e.g. https://api.example.com/v1",
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
            "not an http or https URL; give e.g. https://api.example.com/v1"
        }
        Ok(uri) if uri.authority().is_none_or(|a| a.host().is_empty()) => {
            "a URL without a host; give e.g. https://api.example.com/v1"
        }
        Ok(uri) if uri.authority().is_some_and(|a| a.as_str().contains('@')) => {
            "a URL with a user; give the key as `api_key`"
        }
        Ok(uri) if !port_fits(&uri) => "invalid port; give 1 to 65535",
        Ok(uri) if uri.query().is_some() || text.contains('#') => {
            "a URL with a query or fragment; give scheme, host and path only"
        }
        Ok(uri)
            if uri.path().split('/').any(|s| s == "." || s == "..")
                || uri.path().contains("//") =>
        {
            "a path with `.`, `..` or `//`; give a plain path, e.g. https://api.example.com/v1"
        }
        Ok(uri) if given.kind.value == ProviderKind::AzureOpenAi => {
            match azure(&uri, given.api_version.as_str() == "v1") {
                Some(uri) => return Some(uri),
                None => "not the address of an Azure resource, which has no path but /openai/v1",
            }
        }
        Ok(uri) if given.kind.value == ProviderKind::Anthropic && is_other_publisher(&uri) => {
            "an address of Vertex AI that is not that of Claude; give one that ends with \
                /publishers/anthropic"
        }
        Ok(uri) => return Some(uri),
    };
    problems.add(&given.base_url.at, fault);
    None
}

fn header(given: &At<String>, problems: &mut Problems) -> Option<HeaderName> {
    match given.value.trim().parse::<HeaderName>() {
        Err(_) => problems.add(
            &given.at,
            "not the name of a header; give letters, digits and \
            `-`, e.g. x-team",
        ),
        Ok(name) if HEADERS_OWN.contains(&name.as_str()) => {
            problems.add(
                &given.at,
                "carries credentials or frames the message, so it is never forwarded; remove it",
            );
        }
        Ok(name) => return Some(name),
    }
    None
}

pub(crate) fn routing(
    raw: &RawRouting,
    names: &Names,
    providers: &[Arc<Provider>],
    timeouts: Timeouts,
    problems: &mut Problems,
) -> Option<Routing> {
    let known = Known { names, providers, timeouts };
    let default = if raw.default.given {
        targets(&raw.default, &raw.sticky, &known, problems)
    } else {
        let only = names.default("openai").and_then(|index| providers.get(index));
        let list = only.into_iter().flat_map(|only| Targets::only(Arc::clone(only), timeouts).list);
        Targets { list: list.collect(), spread: Spread::InOrder, sticky: false }
    };
    let mut endpoints: Vec<(Method, String)> = Vec::new();
    for given in raw.endpoints.iter() {
        match endpoint(given) {
            Ok(open) if endpoints.contains(&open) => {
                problems.add(&given.at, "given twice; keep one")
            }
            Ok(open) => endpoints.push(open),
            Err(reason) => problems.add(&given.at, reason),
        }
    }
    let mut models = Vec::with_capacity(raw.models.len());
    for rule in raw.models.iter() {
        if rule.r#match.trim().is_empty() {
            problems
                .add(&rule.r#match.at, "empty; give a model, with `*` for any run of characters");
        }
        if rule.to.is_empty() {
            problems.add(&rule.to.at, "empty; name at least one provider, or remove the rule");
        }
        let mut to = targets(&rule.to, &rule.sticky, &known, problems);
        let facts = rule.plain().overrides();
        to.list.iter_mut().for_each(|target| target.facts = facts);
        models.push(ModelRule { pattern: Glob::new(rule.r#match.trim()), to });
    }
    let lists = models.iter().map(|rule| &rule.to).chain([&default]);
    let (mut renames, mut model_in_path) = (false, false);
    for target in lists.flat_map(|targets| &targets.list) {
        renames |= target.model.is_some();
        model_in_path |= target.provider.dated_api().is_some();
    }
    let mut shared_objects = Vec::with_capacity(raw.shared_objects.len());
    for given in raw.shared_objects.iter() {
        if given.value.trim().is_empty() {
            problems.add(
                &given.at,
                "empty; give the id of an object, with `*` for any run of characters",
            );
        }
        shared_objects.push(Glob::new(given.value.trim()));
    }
    let options = raw.plain();
    Some(Routing { default, endpoints, shared_objects, models, renames, model_in_path, options })
}

/// The parts of targets.
struct Known<'a> {
    names: &'a Names,
    providers: &'a [Arc<Provider>],
    timeouts: Timeouts,
}

fn targets(
    given: &[At<RawTo>],
    sticky: &At<bool>,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Targets {
    if given.len() > TARGETS_MAX {
        problems.add(
            &given[TARGETS_MAX].at,
            format!(
                "too many targets; give at most \
            {TARGETS_MAX}"
            ),
        );
    }
    let weighted = given.iter().any(|to| to.0.weight.value.is_some());
    let mut list = Vec::with_capacity(given.len());
    for (i, to) in given.iter().enumerate() {
        let said = |to: &At<RawTo>| (to.0.provider.value.clone(), to.0.model.value.clone());
        if given[..i].iter().any(|earlier| said(earlier) == said(to)) {
            problems.add(&to.at, "given twice; keep one");
        }
        list.extend(target(&to.0, weighted, known, problems));
    }
    if weighted && !list.is_empty() && list.iter().all(|target| target.weight == 0) {
        problems.add(
            &given[0].at,
            "every weight is 0, so no call has a target; give one target the weight 1",
        );
    }
    if sticky.value && !weighted {
        problems.add(
            &sticky.at,
            "without weights every call goes to the first target; give weights, or remove \
             `sticky`",
        );
    }
    let mut weights = list.iter().map(|target| target.weight).filter(|weight| *weight > 0);
    let first = weights.next();
    let spread = match weighted {
        false => Spread::InOrder,
        true if weights.all(|weight| Some(weight) == first) => Spread::LeastLoaded,
        true => Spread::ByWeight,
    };
    Targets { list, spread, sticky: sticky.value }
}

fn target(
    given: &RawTarget,
    weighted: bool,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Target> {
    let timeouts = super::calls::target_timeouts(&given.timeouts, known.timeouts, problems);
    let weight = given.weight.value.unwrap_or(1);
    let model = given.model.value.as_deref().map(str::trim);
    if model.is_some_and(|model| model.is_empty() || model.len() > MODEL_BYTES_MAX) {
        problems.add(
            &given.model.at,
            format!(
                "not the name of a model; give 1 to {MODEL_BYTES_MAX} bytes, or remove the \
                key"
            ),
        );
    }
    let index = known.names.find(&given.provider.value, &given.provider.at, problems)?;
    let provider = Arc::clone(known.providers.get(index)?);
    Some(Target {
        provider,
        weight: if weighted { weight } else { 1 },
        model: model.map(Arc::from),
        timeouts,
        facts: Overrides::default(),
    })
}

fn endpoint(given: &At<String>) -> Result<(Method, String), &'static str> {
    let mut words = given.value.split_ascii_whitespace();
    let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
        return Err("not a method and a path; give e.g. \"POST /v1/batches\"");
    };
    let method = match method.to_ascii_uppercase().as_str() {
        "GET" => Method::GET,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        _ => return Err("unknown method; give GET, POST, PUT, PATCH or DELETE"),
    };
    let Some(below) = path.strip_prefix("/v1/").filter(|_| path.len() <= 512) else {
        return Err("not a path of the API; give one below /v1/, e.g. \"POST /v1/batches\"");
    };
    for segment in below.split('/').filter(|segment| *segment != "*") {
        if segment.contains(['{', '}']) {
            return Err("a name in braces; use `*` for one segment of the path");
        }
        if segment.contains('*') {
            return Err("`*` beside other characters; give it alone, for a whole segment of the \
                path");
        }
        // Nothing else is ever found in the path of a call.
        if !table::is_plain(segment) {
            return Err("a character that no path has; use letters, digits and any of -._~:@+,");
        }
    }
    Ok((method, path.to_owned()))
}

pub(crate) fn prices(raw: &[At<RawPrice>], names: &Names, problems: &mut Problems) -> PriceList {
    let mut prices = Vec::with_capacity(raw.len());
    for price in raw {
        let provider = price.provider.value.clone().unwrap_or_default();
        if !provider.is_empty() {
            names.find(&provider, &price.provider.at, problems);
        }
        if price.model.trim().is_empty() {
            problems
                .add(&price.model.at, "empty; give a model, with `*` for any run of characters");
        }
        let nano = |usd: &At<Option<Usd>>| usd.value.map(|usd| usd.0);
        let rates = price.plain();
        let input = rates.input;
        let cache_write = nano(&price.cache_write).unwrap_or(input);
        let rates = Rates {
            cached: nano(&price.cached_input).unwrap_or(input),
            cache_write,
            cache_write_1h: nano(&price.cache_write_1h).unwrap_or(cache_write),
            ..rates
        };
        let (above, tier, from_ms) =
            (price.above.value, price.tier.value, first_ms(&price.from, problems));
        prices.push(Price {
            provider,
            model: price.model.trim().to_owned(),
            above,
            tier,
            from_ms,
            rates,
        });
    }
    PriceList::built_in_with(prices)
}

/// The first millisecond of a day that may be given; 0 where none is.
fn first_ms(from: &At<Option<String>>, problems: &mut Problems) -> i64 {
    let Some(text) = &from.value else { return 0 };
    let day = text.trim().parse::<jiff::civil::Date>().ok();
    let first = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    if first.is_none() {
        problems.add(&from.at, "not a day; write e.g. 2027-01-01");
    }
    first.map_or(0, |first| first.timestamp().as_millisecond())
}
