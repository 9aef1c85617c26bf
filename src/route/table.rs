//! The route table: method and path to an endpoint, exactly.
//!
//! Stage 2 of the walk. Pure. There are three kinds of provider routes: open to every caller (those
//! of the wire formats, see `crates/wire`), open to callers with their own provider key only (they
//! name stored objects, which a shared key would show across organisations), and closed. A path
//! with anything but plain segments (an empty one, dots, an escape, a parameter) matches nothing.

use std::borrow::Cow;

use http::Method;
use tollgate_wire::Format;
use tollgate_wire::estimate::Makes;

/// The endpoint of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    Healthz,
    Readyz,
    Intent,
    IntentBatch,
    /// An intent that is answered later, by its id.
    IntentResult(String),
    Proxy(Endpoint),
    /// Known, and not open: 403.
    Closed,
    /// A protocol that the gateway does not speak: 501.
    Realtime,
    /// The path is known, the method is not: 405 with these.
    WrongMethod(&'static str),
    /// 404.
    Unknown,
}

/// An endpoint of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Canonical path, `/v1/chat/completions`; a stored object's id is `{id}`.
    pub name: Cow<'static, str>,
    /// Path below the provider's base URL, as the client wrote it: `/chat/completions`.
    pub path: String,
    /// The format of the request.
    pub format: Format,
    /// The format of the answer.
    pub answer: Format,
    /// The output that a `POST` charges for; nothing if it is free, or charged with another call.
    pub makes: Option<Makes>,
    /// Only for callers with their own provider key.
    pub own_key_only: bool,
    /// For the others this is an open path with a wrong method: 405 with this `allow`.
    pub others_use: Option<&'static str>,
    /// Repeating a call leaves something behind twice.
    pub stateful: bool,
    /// It takes forms.
    pub takes_forms: bool,
}

/// Words of a path behind which a model's name stands.
const BEFORE_MODEL: [&str; 3] = ["models", "engines", "deployments"];

impl Endpoint {
    /// The segments of the path that are no fixed words.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        // Asked for every call, of which few name an object.
        let name = if self.name.contains("{id}") { &*self.name } else { "" };
        let names = name.strip_prefix("/v1/").unwrap_or(name).split('/');
        self.path
            .trim_start_matches('/')
            .split('/')
            .zip(names)
            .filter(|(_, name)| *name == "{id}")
            .map(|(id, _)| id)
    }

    /// The model that the path names, without a verb behind it (`gemini-pro:generateContent`).
    pub fn model(&self) -> Option<&str> {
        let mut segments = self.path.split('/');
        segments.find(|s| BEFORE_MODEL.contains(s))?;
        let named = segments.next()?;
        Some(
            named
                .rsplit_once(':')
                .filter(|(_, verb)| is_verb(verb))
                .map_or(named, |(model, _)| model),
        )
    }
}

/// Methods of Google's API: `streamGenerateContent`, `predict`.
fn is_verb(text: &str) -> bool {
    ["enerateContent", "ountTokens", "mbedContent", "mbedContents", "redict"]
        .iter()
        .any(|end| text.ends_with(end))
}

/// Where intents that are answered later are asked for, before their id.
pub const INTENT_RESULTS: &str = "/api/ai/intent/results/";

/// The gateway's own endpoints, with their methods. A result of an intent has its id at the end.
pub static OWN: [(&str, &str, Matched); 4] = [
    ("/healthz", "GET, HEAD", Matched::Healthz),
    ("/readyz", "GET, HEAD", Matched::Readyz),
    ("/api/ai/intent", "POST", Matched::Intent),
    ("/api/ai/intent/batch", "POST", Matched::IntentBatch),
];

/// Lists of models, which every caller may get: the path below the version, and its name.
pub const LISTS: [(&str, &str); 2] = [("models", "/v1/models"), ("models/*", "/v1/models/{id}")];

/// First segments of routes that name stored objects, upload content, or start work that is fetched
/// later.
const OWN_KEY: &[&str] = &[
    "assistants",
    "audio",
    "batches",
    "chat",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "messages",
    "models",
    "responses",
    "skills",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

/// Paths behind them in the APIs of the providers; `*` stands for one segment. Anything else is a
/// mistake.
///
/// # Source
/// openai-python 3.54.0 (its resources) and Anthropic's API reference, read November 2026.
const STORED: &[&str] = &[
    "assistants",
    "assistants/*",
    "audio/voice_consents",
    "audio/voice_consents/*",
    "audio/voices",
    "audio/voices/*",
    "batches",
    "batches/*",
    "batches/*/cancel",
    "chat/completions",
    "chat/completions/*",
    "chat/completions/*/messages",
    "containers",
    "containers/*",
    "containers/*/files",
    "containers/*/files/*",
    "containers/*/files/*/content",
    "conversations",
    "conversations/*",
    "conversations/*/items",
    "conversations/*/items/*",
    "evals",
    "evals/*",
    "evals/*/runs",
    "evals/*/runs/*",
    "evals/*/runs/*/cancel",
    "evals/*/runs/*/output_items",
    "evals/*/runs/*/output_items/*",
    "files",
    "files/*",
    "files/*/content",
    "fine_tuning/alpha/graders/run",
    "fine_tuning/alpha/graders/validate",
    "fine_tuning/checkpoints/*/permissions",
    "fine_tuning/checkpoints/*/permissions/*",
    "fine_tuning/jobs",
    "fine_tuning/jobs/*",
    "fine_tuning/jobs/*/cancel",
    "fine_tuning/jobs/*/checkpoints",
    "fine_tuning/jobs/*/events",
    "fine_tuning/jobs/*/pause",
    "fine_tuning/jobs/*/resume",
    "messages/batches",
    "messages/batches/*",
    "messages/batches/*/cancel",
    "messages/batches/*/results",
    "models/*",
    "responses/*",
    "responses/*/cancel",
    "responses/*/input_items",
    "skills",
    "skills/*",
    "skills/*/content",
    "skills/*/versions",
    "skills/*/versions/*",
    "skills/*/versions/*/content",
    "threads",
    "threads/*",
    "threads/*/messages",
    "threads/*/messages/*",
    "threads/*/runs",
    "threads/*/runs/*",
    "threads/*/runs/*/cancel",
    "threads/*/runs/*/steps",
    "threads/*/runs/*/steps/*",
    "threads/*/runs/*/submit_tool_outputs",
    "uploads",
    "uploads/*",
    "uploads/*/cancel",
    "uploads/*/complete",
    "uploads/*/parts",
    "vector_stores",
    "vector_stores/*",
    "vector_stores/*/file_batches",
    "vector_stores/*/file_batches/*",
    "vector_stores/*/file_batches/*/cancel",
    "vector_stores/*/file_batches/*/files",
    "vector_stores/*/files",
    "vector_stores/*/files/*",
    "vector_stores/*/files/*/content",
    "vector_stores/*/search",
    "videos",
    "videos/*",
    "videos/*/content",
    "videos/*/remix",
    "videos/characters/*",
];

/// Paths whose `POST` takes a form (`multipart/form-data`).
///
/// # Source
/// As for [`STORED`].
const FORMS: &[&str] = &[
    "audio/transcriptions",
    "audio/translations",
    "audio/voice_consents",
    "audio/voices",
    "containers/*/files",
    "files",
    "images/edits",
    "images/variations",
    "skills",
    "skills/*/versions",
    "uploads/*/parts",
    "videos",
];

/// First segments of routes that administer an account, or whose bodies have a form of their own:
/// never open by themselves.
const NEVER: &[&str] = &[
    "agents",
    "chatkit",
    "content_provenance_checks",
    "decisions",
    "organization",
    "projects",
    "safety",
    "vaults",
    "webhook_endpoints",
    "webhook_event_types",
];

/// First segments of routes that speak another protocol.
const REALTIME: &[&str] = &["live", "realtime"];

/// Finds the route. `opened` are the policy's `routing.endpoints`: method and path, `*` for one
/// segment.
pub fn find(method: &Method, path: &str, opened: &[(Method, String)]) -> Matched {
    if let Some((_, allow, matched)) = OWN.iter().find(|(own, ..)| *own == path) {
        return only(method, allow, matched.clone());
    }
    if let Some(id) = path.strip_prefix(INTENT_RESULTS) {
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return if plain {
            only(method, "GET", Matched::IntentResult(id.to_owned()))
        } else {
            Matched::Unknown
        };
    }
    let Some(below) = plain(path) else { return Matched::Unknown };
    let allow = match open(below) {
        Some((open_method, endpoint)) if method.as_str() == open_method => {
            return Matched::Proxy(endpoint);
        }
        other => other.map(|(open_method, _)| open_method),
    };
    let opening = opened.iter().find(|(m, p)| m == method && fits(below_version(p), below));
    let stored_name =
        stored_name(below, opening.is_some_and(|(_, p)| below_version(p).starts_with("*")));
    // A request that names a stored object, or only reads one, does no work of its own; a `POST`
    // that an operator opened may.
    let counted_before =
        |own_key_only| *method != Method::POST || (own_key_only && stored_name.contains("{id}"));
    let endpoint = |own_key_only| Endpoint {
        name: Cow::Owned(stored_name.clone()),
        path: ["/", below].concat(),
        format: Format::Other,
        answer: if counted_before(own_key_only) { Format::StoredObject } else { Format::Other },
        makes: (!counted_before(own_key_only)).then_some(Makes::Nothing),
        own_key_only,
        others_use: allow,
        stateful: true,
        takes_forms: takes_forms(below),
    };
    if opening.is_some() {
        return Matched::Proxy(endpoint(false));
    }
    let first = below.split('/').next().unwrap_or_default();
    let plain_method = matches!(*method, Method::GET | Method::POST | Method::DELETE);
    match allow {
        Some(allow) if below.split('/').count() <= 2 && !(plain_method && stored(below)) => {
            Matched::WrongMethod(allow)
        }
        _ if REALTIME.contains(&first) => Matched::Realtime,
        _ if NEVER.contains(&first) => Matched::Closed,
        None if !STORED.iter().any(|known| fits(known, below)) => Matched::Unknown,
        _ if OWN_KEY.contains(&first) && plain_method => Matched::Proxy(endpoint(true)),
        _ if OWN_KEY.contains(&first) => Matched::WrongMethod("GET, POST, DELETE"),
        _ => Matched::Unknown,
    }
}

/// The endpoint at this path that is open to every caller, and its method.
fn open(below: &str) -> Option<(&'static str, Endpoint)> {
    let endpoint = |name: &'static str, format, answer, makes| Endpoint {
        name: Cow::Borrowed(name),
        path: ["/", below].concat(),
        format,
        answer,
        makes,
        own_key_only: false,
        others_use: None,
        stateful: false,
        takes_forms: takes_forms(below),
    };
    let fits_name = |name: &str| name.strip_prefix("/v1/") == Some(below);
    for format in Format::ALL {
        if let Some(route) = format.routes().iter().find(|route| fits_name(route.name)) {
            return Some(("POST", endpoint(route.name, *format, route.answer, route.makes)));
        }
    }
    let (_, name) = LISTS.iter().find(|(pattern, _)| fits(pattern, below))?;
    Some(("GET", endpoint(name, Format::Other, Format::Other, None)))
}

fn takes_forms(below: &str) -> bool {
    // Asked for every call, of which few are forms: most patterns differ in their first segment.
    let first = below.split('/').next().unwrap_or_default();
    FORMS.iter().any(|pattern| pattern.starts_with(first) && fits(pattern, below))
}

fn only(method: &Method, allow: &'static str, matched: Matched) -> Matched {
    if allow.split(", ").any(|m| method.as_str() == m) {
        matched
    } else {
        Matched::WrongMethod(allow)
    }
}

/// Listing or reading stored objects under a path whose `POST` is open: `GET chat/completions`,
/// `DELETE models/x`.
fn stored(below: &str) -> bool {
    matches!(below.split('/').next(), Some("chat" | "responses" | "models")) && below != "models"
}

/// The path below `/v1/`, which may be left out, if every segment is plain.
fn plain(path: &str) -> Option<&str> {
    if !path.starts_with('/') {
        return None;
    }
    let below = below_version(path);
    below.split('/').all(is_plain).then_some(below)
}

/// Whether a path may have this segment.
pub fn is_plain(segment: &str) -> bool {
    segment.bytes().any(|b| b != b'.')
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:@+,".contains(&b))
}

fn below_version(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_prefix("v1/").unwrap_or(path)
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut a, mut b) = (pattern.split('/'), path.split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(p), Some(s)) if p == "*" || p == s => {}
            _ => return false,
        }
    }
}

/// The path with its ids left out, so that an analyst can group by it. `any`: its first segment may
/// be anything.
fn stored_name(below: &str, any: bool) -> String {
    const WORDS: &[&str] = &[
        "cancel",
        "completions",
        "content",
        "edits",
        "events",
        "generations",
        "input_items",
        "jobs",
        "messages",
        "output_items",
        "parts",
        "runs",
        "search",
        "speech",
        "steps",
        "transcriptions",
        "translations",
        "variations",
    ];
    let mut name = String::from("/v1");
    for (i, segment) in below.split('/').enumerate() {
        name.push('/');
        name.push_str(if i == 0 && !any || WORDS.contains(&segment) { segment } else { "{id}" });
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(method: &str, path: &str) -> String {
        let opened = [
            (Method::POST, "/v1/rerank".to_owned()),
            (Method::GET, "/v1/batches/*".to_owned()),
            (Method::POST, "/v1/*/x".to_owned()),
        ];
        match find(&method.parse().expect("method"), path, &opened) {
            Matched::Proxy(e) => {
                let who = if e.own_key_only { "own key" } else { "all" };
                let others =
                    e.others_use.map(|allow| format!(", others {allow}")).unwrap_or_default();
                let forms = if e.takes_forms { ", forms" } else { "" };
                format!("{who} {} {}{others}{forms}", e.name, e.path)
            }
            Matched::WrongMethod(allow) => format!("405 {allow}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_table() {
        let table = [
            ("POST", "/v1/chat/completions", "all /v1/chat/completions /chat/completions"),
            ("POST", "/chat/completions", "all /v1/chat/completions /chat/completions"),
            ("GET", "/v1/models", "all /v1/models /models"),
            (
                "GET",
                "/v1/models/ft:gpt-4o:acme::a1",
                "all /v1/models/{id} /models/ft:gpt-4o:acme::a1",
            ),
            (
                "POST",
                "/v1/messages/count_tokens",
                "all /v1/messages/count_tokens /messages/count_tokens",
            ),
            ("POST", "/v1/rerank", "all /v1/rerank /rerank"),
            ("GET", "/v1/batches/batch_1", "all /v1/batches/{id} /batches/batch_1"),
            ("POST", "/v1/jane@example.com/x", "all /v1/{id}/{id} /jane@example.com/x"),
            ("POST", "/api/ai/intent", "Intent"),
            ("POST", "/api/ai/intent/batch", "IntentBatch"),
            ("GET", "/api/ai/intent/results/int_1a", "IntentResult(\"int_1a\")"),
            ("GET", "/healthz", "Healthz"),
            ("GET", "/readyz", "Readyz"),
            // Stored objects.
            (
                "GET",
                "/v1/files/file-1/content",
                "own key /v1/files/{id}/content /files/file-1/content",
            ),
            ("POST", "/v1/files", "own key /v1/files /files, forms"),
            ("GET", "/v1/responses/resp_1", "own key /v1/responses/{id} /responses/resp_1"),
            (
                "GET",
                "/v1/chat/completions",
                "own key /v1/chat/completions /chat/completions, others POST",
            ),
            (
                "GET",
                "/v1/chat/completions/c1/messages",
                "own key /v1/chat/completions/{id}/messages /chat/completions/c1/messages",
            ),
            (
                "POST",
                "/v1/audio/transcriptions",
                "all /v1/audio/transcriptions /audio/transcriptions, forms",
            ),
            ("POST", "/v1/images/edits", "all /v1/images/edits /images/edits, forms"),
            ("GET", "/v1/images/variations", "405 POST"),
            (
                "POST",
                "/v1/uploads/u1/parts",
                "own key /v1/uploads/{id}/parts /uploads/u1/parts, forms",
            ),
            ("POST", "/v1/batches", "own key /v1/batches /batches"),
            // Never.
            ("GET", "/v1/organization/usage", "Closed"),
            ("POST", "/v1/agents", "Closed"),
            // Another protocol.
            ("POST", "/v1/realtime/client_secrets", "Realtime"),
            ("GET", "/v1/realtime", "Realtime"),
            // No API has these.
            ("POST", "/v1/chat/completion", "Unknown"),
            ("POST", "/v1/chat", "Unknown"),
            ("POST", "/v1/audio/speach", "Unknown"),
            ("GET", "/v1/files/file-1/contents", "Unknown"),
            ("POST", "/v1/v1/messages", "Unknown"),
            ("POST", "/v1/messages/batches", "own key /v1/messages/{id} /messages/batches"),
            // Wrong method.
            ("GET", "/api/ai/intent", "405 POST"),
            ("GET", "/api/ai/intent/batch", "405 POST"),
            ("DELETE", "/api/ai/intent/results/int_1a", "405 GET"),
            ("PUT", "/v1/chat/completions", "405 POST"),
            ("GET", "/v1/embeddings", "405 POST"),
            ("POST", "/v1/models", "405 GET"),
            ("CONNECT", "/v1/chat/completions", "405 POST"),
            ("PATCH", "/v1/files/f", "405 GET, POST, DELETE"),
            ("POST", "/healthz", "405 GET, HEAD"),
            // Nothing.
            ("GET", "/", "Unknown"),
            ("GET", "/metrics", "Unknown"),
            ("POST", "/v1/nonsense", "Unknown"),
            ("GET", "/api/ai/intent/results/", "Unknown"),
            ("GET", "/api/ai/intent/results/a/b", "Unknown"),
            ("GET", "/api/ai/intent/results/%2e", "Unknown"),
            ("POST", "/v1//chat/completions", "Unknown"),
            ("POST", "//v1/chat/completions", "Unknown"),
            ("POST", "/v1/../chat/completions", "Unknown"),
            ("POST", "/v1/%2e%2e/chat/completions", "Unknown"),
            ("POST", "/v1/chat%2fcompletions", "Unknown"),
            ("POST", "/v1/chat/completions;x=1", "Unknown"),
            ("POST", "/v1/chat/completions/", "Unknown"),
            ("POST", "/v1/chat\\completions", "Unknown"),
            ("GET", "/v1/models/..", "Unknown"),
            ("POST", "chat/completions", "Unknown"),
            ("POST", "*", "Unknown"),
            ("POST", "", "Unknown"),
        ];
        for (method, path, expected) in table {
            assert_eq!(matched(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn open_endpoints_have_formats_and_a_charge() {
        use Makes::{Images, Nothing, Text};
        for (method, path, format, answer, makes) in [
            ("POST", "chat/completions", Format::OpenAiChat, Format::OpenAiChat, Some(Text)),
            (
                "POST",
                "completions",
                Format::OpenAiCompletions,
                Format::OpenAiCompletions,
                Some(Text),
            ),
            ("POST", "responses", Format::OpenAiResponses, Format::OpenAiResponses, Some(Text)),
            ("POST", "responses/input_tokens", Format::OpenAiResponses, Format::Other, None),
            ("POST", "responses/compact", Format::OpenAiResponses, Format::Other, Some(Nothing)),
            (
                "POST",
                "embeddings",
                Format::OpenAiEmbeddings,
                Format::OpenAiEmbeddings,
                Some(Nothing),
            ),
            (
                "POST",
                "moderations",
                Format::OpenAiModerations,
                Format::OpenAiModerations,
                Some(Nothing),
            ),
            (
                "POST",
                "images/generations",
                Format::OpenAiImages,
                Format::OpenAiImages,
                Some(Images),
            ),
            ("POST", "audio/speech", Format::OpenAiSpeech, Format::OpenAiSpeech, Some(Nothing)),
            ("POST", "messages", Format::AnthropicMessages, Format::AnthropicMessages, Some(Text)),
            ("POST", "messages/count_tokens", Format::AnthropicMessages, Format::Other, None),
            ("GET", "models", Format::Other, Format::Other, None),
            ("GET", "models/gpt-4o", Format::Other, Format::Other, None),
            // Opened by the policy, and stored objects.
            ("POST", "rerank", Format::Other, Format::Other, Some(Nothing)),
            ("POST", "batches", Format::Other, Format::Other, Some(Nothing)),
            ("POST", "responses/resp_1/cancel", Format::Other, Format::StoredObject, None),
            ("GET", "responses/resp_1", Format::Other, Format::StoredObject, None),
        ] {
            let opened = [(Method::POST, "/v1/rerank".to_owned())];
            let Matched::Proxy(found) =
                find(&method.parse().expect("method"), &["/v1/", path].concat(), &opened)
            else {
                panic!("{path}")
            };
            assert_eq!(
                (found.format, found.answer, found.makes),
                (format, answer, makes),
                "{path}"
            );
        }
    }

    #[test]
    fn ids_and_models_of_paths() {
        let opened = [
            (Method::POST, "/v1/engines/*/completions".to_owned()),
            (Method::POST, "/v1/models/*".to_owned()),
        ];
        for (method, path, ids, model) in [
            ("GET", "/v1/models", &[][..], None),
            (
                "GET",
                "/models/ft:gpt-4o:acme::a1",
                &["ft:gpt-4o:acme::a1"],
                Some("ft:gpt-4o:acme::a1"),
            ),
            ("POST", "/v1/engines/o1-pro/completions", &["o1-pro"], Some("o1-pro")),
            (
                "POST",
                "/v1/models/gemini-pro:streamGenerateContent",
                &["gemini-pro:streamGenerateContent"],
                Some("gemini-pro"),
            ),
            ("GET", "/v1/threads/t1/runs/r1", &["t1", "r1"], None),
            ("POST", "/v1/chat/completions", &[], None),
        ] {
            let Matched::Proxy(endpoint) = find(&method.parse().expect("method"), path, &opened)
            else {
                panic!("{path}")
            };
            assert_eq!(endpoint.ids().collect::<Vec<_>>(), ids, "{path}");
            assert_eq!(endpoint.model(), model, "{path}");
        }
    }
}
