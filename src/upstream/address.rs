//! Addresses and keys of providers: the URL of a call, and the header that carries the key.
//!
//! Stage 10 of the walk. Guarantees: a key goes to its own provider only, and is marked as
//! sensitive; a version header of the caller is kept; no name of a model reaches another path.
//! Does not: choose which headers of a caller may leave.
//!
//! # Source
//! Azure OpenAI, "API version lifecycle"; Vertex AI, "Claude models"; Amazon Bedrock, "API keys",
//! read November 2026.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Uri};
use tollgate_wire::ProviderKind;
use tollgate_wire::translate::path_segment;

use super::credentials::Key;
use crate::config::policy::{AuthSource, Provider, ProviderAuth};

/// The project that Google counts quota and cost for.
const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");
/// Calls that go to a deployment, at a resource of Azure with a dated API.
const OF_DEPLOYMENTS: [&str; 5] =
    ["/chat/completions", "/completions", "/embeddings", "/images/generations", "/audio/speech"];

impl Provider {
    /// Whether it is Vertex AI: by its host, or by a path as only Vertex AI has it.
    pub(crate) fn is_vertex(&self) -> bool {
        let (host, path) = (self.base_url.host().unwrap_or_default(), self.base_url.path());
        host.ends_with("aiplatform.googleapis.com")
            || (host.starts_with("aiplatform.") && host.ends_with(".rep.googleapis.com"))
            || path.ends_with("/publishers/google")
            || path.ends_with("/publishers/anthropic")
    }

    /// Whether it is the address at which Bedrock takes requests of Anthropic's format.
    pub(crate) fn is_mantle(&self) -> bool {
        let host = self.base_url.host().unwrap_or_default();
        let signs = self.auth.as_ref().is_some_and(|auth| auth.signs());
        (host.starts_with("bedrock-mantle.") && host.ends_with(".api.aws"))
            || (self.options.kind == ProviderKind::Anthropic && signs)
    }

    /// The header that carries the key, and the text before the key.
    fn key_header(&self, key: &str) -> (&'static str, &'static str) {
        const BEARER: (&str, &str) = ("authorization", "Bearer ");
        // Keys of Google's API keep their own header at Vertex AI; tokens are bearer tokens.
        let is_api_key = ["AIza", "AQ."].iter().any(|begin| key.starts_with(begin));
        match self.options.kind {
            ProviderKind::Anthropic if self.is_vertex() || self.is_mantle() => BEARER,
            ProviderKind::Gemini if self.is_vertex() && !is_api_key => BEARER,
            kind => kind.key_header(),
        }
    }
}

/// Sets the key, and the version header of the provider's kind unless there is one. A key that
/// signs is not set here: its signature needs the whole request.
pub fn set_credentials(headers: &mut HeaderMap, provider: &Provider, key: &Key) {
    if let Key::Text(key) = key
        && !key.is_empty()
    {
        let key = key.reveal();
        let (name, prefix) = provider.key_header(&key);
        if let Ok(mut value) = HeaderValue::from_bytes([prefix, &key].concat().as_bytes()) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    if let Some(token) = key.bearer() {
        headers.insert(header::AUTHORIZATION, token.clone());
        if let Some(ProviderAuth { source: AuthSource::Gcp { quota_project, .. }, .. }) =
            &provider.auth
            && let Some(project) = quota_project
        {
            headers.insert(QUOTA_PROJECT, project.clone());
        }
    }
    if let Some((name, value)) = provider.options.kind.version_header()
        && !headers.contains_key(name)
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The address of a path at a provider. `model`: the provider's name of the model, which some take
/// in the path.
pub fn address(provider: &Provider, path_and_query: &str, model: Option<&str>) -> Uri {
    match provider.dated_api() {
        None => target_uri(&provider.base_url, path_and_query),
        Some(version) => target_uri(&provider.base_url, &dated(path_and_query, version, model)),
    }
}

/// Whether a call cannot be sent there without the name of a model.
pub fn lacks_model(provider: &Provider, path_and_query: &str, model: Option<&str>) -> bool {
    provider.dated_api().is_some()
        && model.is_none_or(str::is_empty)
        && OF_DEPLOYMENTS.contains(&path_of(path_and_query))
}

/// Whether the id of a model could be read as another path at Bedrock, where it stands in the path.
pub fn is_ambiguous(provider: &Provider, model: Option<&str>) -> bool {
    provider.options.kind == ProviderKind::Bedrock
        && model.is_some_and(|model| {
            !model.is_empty() && model.split('/').any(|part| matches!(part, "" | "." | ".."))
        })
}

fn path_of(path_and_query: &str) -> &str {
    path_and_query.split('?').next().unwrap_or_default()
}

/// The path and query of a call at a resource of Azure with a dated API.
fn dated(path_and_query: &str, version: &str, model: Option<&str>) -> String {
    let path = path_of(path_and_query);
    let deployment = model.filter(|_| OF_DEPLOYMENTS.contains(&path));
    let deployment = deployment.map(|model| ["/deployments/", &path_segment(model)].concat());
    let query = path_and_query.get(path.len() + 1..).unwrap_or_default();
    let is_version = |parameter: &&str| {
        parameter.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("api-version"))
    };
    let own = query.split('&').filter(|parameter| !parameter.is_empty() && !is_version(parameter));
    let own: String = own.map(|parameter| ["&", parameter].concat()).collect();
    [&deployment.unwrap_or_default(), path, "?api-version=", version, &own].concat()
}

/// The base URL with the path appended to its own. Both were checked, so the result is valid.
fn target_uri(base: &Uri, path_and_query: &str) -> Uri {
    let mut parts = base.clone().into_parts();
    let whole = [base.path().trim_end_matches('/'), path_and_query].concat();
    parts.path_and_query = whole.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::options;
    use crate::config::sections::RawProvider;
    use crate::ids::Secret;

    fn provider(keys: &str, base_url: &str) -> Provider {
        Provider {
            name: Arc::from("p"),
            base_url: base_url.parse().expect("a URL"),
            forward_headers: vec![],
            egress: Arc::default(),
            auth: None,
            options: options::<RawProvider>(&format!("{{{keys}}}")),
        }
    }

    #[test]
    fn the_base_url_keeps_its_path() {
        for (base, path, expected) in [
            (
                "https://api.openai.com/v1",
                "/chat/completions",
                "https://api.openai.com/v1/chat/completions",
            ),
            ("http://127.0.0.1:8000", "/models?limit=2", "http://127.0.0.1:8000/models?limit=2"),
            ("http://h/a/b/", "/x", "http://h/a/b/x"),
        ] {
            assert_eq!(target_uri(&base.parse().expect("uri"), path).to_string(), expected);
        }
    }

    #[test]
    fn a_dated_api_of_azure_has_deployments_in_its_paths() {
        let azure =
            provider("kind: azure_openai, api_version: 2024-10-21", "https://r.test/openai");
        for (path, model, expected) in [
            (
                "/chat/completions",
                Some("my dep/1"),
                "/deployments/my%20dep%2F1/chat/completions?api-version=2024-10-21",
            ),
            (
                "/embeddings?api-version=2023-05-15&x=1",
                Some("e"),
                "/deployments/e/embeddings?api-version=2024-10-21&x=1",
            ),
            ("/responses", Some("m"), "/responses?api-version=2024-10-21"),
            ("/models", None, "/models?api-version=2024-10-21"),
        ] {
            let seen = address(&azure, path, model).to_string();
            assert_eq!(seen, ["https://r.test/openai", expected].concat(), "{path}");
        }
        assert!(lacks_model(&azure, "/embeddings?x=1", None));
        assert!(
            !lacks_model(&azure, "/embeddings", Some("e")) && !lacks_model(&azure, "/models", None)
        );
        let newest = provider("kind: azure_openai", "https://r.test/openai/v1");
        assert!(!lacks_model(&newest, "/embeddings", None));
        assert_eq!(
            address(&newest, "/embeddings", Some("e")).to_string(),
            "https://r.test/openai/v1/embeddings"
        );
    }

    #[test]
    fn clouds_are_known_by_host_or_path() {
        for (kind, base_url, expected) in [
            ("gemini", "https://europe-west4-aiplatform.googleapis.com/v1/projects/p", true),
            ("gemini", "https://aiplatform.googleapis.com/v1/projects/p", true),
            ("gemini", "https://aiplatform.eu.rep.googleapis.com/v1/projects/p", true),
            ("gemini", "http://127.0.0.1:1/v1/projects/p/locations/l/publishers/google", true),
            (
                "anthropic",
                "http://127.0.0.1:1/v1/projects/p/locations/l/publishers/anthropic",
                true,
            ),
            ("gemini", "https://generativelanguage.googleapis.com/v1beta", false),
            ("anthropic", "http://127.0.0.1:1/v1", false),
        ] {
            let provider = provider(&format!("kind: {kind}"), base_url);
            assert_eq!(provider.is_vertex(), expected, "{base_url}");
        }
    }

    #[test]
    fn each_key_has_the_header_of_its_service() {
        const VERTEX: &str = "https://aiplatform.googleapis.com/v1/projects/p/publishers/";
        const MANTLE: &str = "https://bedrock-mantle.eu-central-1.api.aws/anthropic/v1";
        for (kind, base_url, key, expected) in [
            ("openai", "https://api.openai.com/v1", "sk-1", "authorization: Bearer sk-1"),
            ("azure_openai", "https://r.test/openai/v1", "k", "api-key: k"),
            ("anthropic", "https://api.anthropic.com/v1", "sk-ant-1", "x-api-key: sk-ant-1"),
            ("anthropic", VERTEX, "ya29.x", "authorization: Bearer ya29.x"),
            ("anthropic", MANTLE, "bedrock-api-key-x", "authorization: Bearer bedrock-api-key-x"),
            ("gemini", VERTEX, "ya29.x", "authorization: Bearer ya29.x"),
            ("gemini", VERTEX, "AIzaX", "x-goog-api-key: AIzaX"),
            (
                "gemini",
                "https://generativelanguage.googleapis.com/v1beta",
                "k",
                "x-goog-api-key: k",
            ),
            ("bedrock", "https://bedrock-runtime.x.amazonaws.com", "k", "authorization: Bearer k"),
        ] {
            let (provider, mut headers) =
                (provider(&format!("kind: {kind}"), base_url), HeaderMap::new());
            set_credentials(&mut headers, &provider, &Key::Text(Secret::new(key)));
            let (name, value) = expected.split_once(": ").expect("a header");
            assert_eq!(headers[name], value, "{base_url}");
            assert!(headers[name].is_sensitive());
            assert_eq!(headers.contains_key("anthropic-version"), kind == "anthropic");
        }
    }
}
