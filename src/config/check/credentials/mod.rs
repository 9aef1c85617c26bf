//! `providers.*.auth`, checked: one source for each credential, of the cloud that the provider is
//! in.
//!
//! Level 2 of the map. Variables of the environment that clouds set are read here, once for each
//! policy. The one file that is read is a service account's, because its kind decides whether it
//! can be used at all; one that is not there may still come. Does not fetch anything.

mod aws;
mod entra;
mod gcp;

use std::path::Path;

use http::Uri;
use tollgate_wire::ProviderKind;

use super::port_fits;
use crate::config::policy::{AuthSource, ProviderAuth};
use crate::config::reader::place::{Place, Problems};
use crate::config::reader::shape::At;
use crate::config::sections::{AuthCredentials, AuthType, RawProvider, RawProviderAuth};
use crate::egress::Egress;
use crate::ids::Secret;

/// The metadata services of Azure and AWS.
const MACHINE: &str = "http://169.254.169.254";

/// The credential of a provider at `base_url`, if it has one.
pub(crate) fn auth(
    given: &RawProvider,
    base_url: &Uri,
    egress: &Egress,
    problems: &mut Problems,
) -> Option<ProviderAuth> {
    let raw = given.auth.value.as_ref()?;
    if !given.api_key.value.is_empty() {
        let text = "given beside `api_key`; keep one of the two";
        problems.add(&given.auth.at, text);
    }
    let checked = Checked { raw, at: &given.auth.at, base_url };
    checked.fits_kind(given.kind.value, problems);
    checked.has_no_other_keys(problems);
    let source = match raw.r#type.value {
        AuthType::Entra => checked.entra(problems).map(AuthSource::Entra),
        AuthType::Aws => checked.aws(problems),
        AuthType::Gcp => checked.gcp(problems),
    };
    Some(ProviderAuth::new(source?, egress.identity()))
}

/// The files that a credential names: they may come later, but a person who checks wants to know.
pub(crate) fn files(raw: &RawProviderAuth) -> Vec<(&Place, &Path)> {
    let given = [&raw.federated_token_file, &raw.service_account_file].into_iter();
    let file = |key: &'_ At<Option<String>>| key.value.as_deref().is_some_and(|t| !t.is_empty());
    given
        .filter(|key| file(key))
        .filter_map(|key| Some((&key.at, Path::new(key.value.as_deref()?.trim()))))
        .collect()
}

/// An `auth` while it is checked.
struct Checked<'a> {
    raw: &'a RawProviderAuth,
    at: &'a Place,
    base_url: &'a Uri,
}

/// The text of a key that is given.
fn text(key: &At<Option<String>>) -> Option<&str> {
    key.value.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// A variable of the environment that is set.
fn variable(name: &str, problems: &Problems) -> Option<String> {
    (problems.env)(name).filter(|value| !value.is_empty())
}

impl Checked<'_> {
    /// The cloud has to be that of the provider: a token is shown to no other one.
    fn fits_kind(&self, kind: ProviderKind, problems: &mut Problems) {
        let host = self.base_url.host().unwrap_or_default();
        let path = self.base_url.path().trim_end_matches('/');
        let is_vertex = path.ends_with("/publishers/anthropic");
        let (fits, others) = match self.raw.r#type.value {
            AuthType::Entra => (kind == ProviderKind::AzureOpenAi, "azure_openai"),
            AuthType::Aws => {
                let is_public = host == "api.anthropic.com" || is_vertex;
                let fits = kind == ProviderKind::Bedrock
                    || (kind == ProviderKind::Anthropic && !is_public);
                (fits, "bedrock, or anthropic at an address of Bedrock")
            }
            AuthType::Gcp => {
                let fits =
                    kind == ProviderKind::Gemini || (kind == ProviderKind::Anthropic && is_vertex);
                (fits, "gemini, or anthropic at an address of Vertex AI")
            }
        };
        if !fits {
            let text = format!(
                "a credential for another kind of provider; give it to one of kind {others}, or \
                 give `api_key`"
            );
            problems.add(&self.raw.r#type.at, text);
        }
    }

    /// Keys of another cloud say that something else was meant.
    fn has_no_other_keys(&self, problems: &mut Problems) {
        let raw = self.raw;
        let given = |key: &At<Option<String>>| text(key).is_some();
        let secret = |key: &At<Secret>| !key.value.is_empty();
        let keys = [
            (AuthType::Entra, &raw.tenant_id.at, given(&raw.tenant_id)),
            (AuthType::Entra, &raw.client_id.at, given(&raw.client_id)),
            (AuthType::Entra, &raw.client_secret.at, secret(&raw.client_secret)),
            (AuthType::Entra, &raw.federated_token_file.at, given(&raw.federated_token_file)),
            (AuthType::Entra, &raw.scope.at, given(&raw.scope)),
            (AuthType::Aws, &raw.region.at, given(&raw.region)),
            (AuthType::Aws, &raw.access_key_id.at, secret(&raw.access_key_id)),
            (AuthType::Aws, &raw.secret_access_key.at, secret(&raw.secret_access_key)),
            (AuthType::Aws, &raw.session_token.at, secret(&raw.session_token)),
            (AuthType::Gcp, &raw.service_account_file.at, given(&raw.service_account_file)),
            (AuthType::Gcp, &raw.quota_project.at, given(&raw.quota_project)),
        ];
        let own = raw.r#type.value;
        for (of, at, _) in keys.iter().filter(|(of, _, is_given)| *of != own && *is_given) {
            let text = format!("a key of {}, but `type` is {}; remove it", word(*of), word(own));
            problems.add(at, text);
        }
        if let Some(source) = raw.credentials.value
            && !sources(own).contains(&source)
        {
            let all: Vec<&str> = sources(own).iter().filter_map(|of| source_word(*of)).collect();
            let text = format!("no source of {} credentials; give {}", word(own), all.join(", "));
            problems.add(&raw.credentials.at, text);
        }
    }

    /// The address of the token endpoint, if one is given; `Some(None)` if it is wrong.
    fn token_url(&self, problems: &mut Problems) -> Option<Option<Uri>> {
        let given = text(&self.raw.token_url)?;
        let uri = parsed(given);
        if uri.is_none() {
            let text = "not the address of a token endpoint; give http(s)://host/path without user \
                and password";
            problems.add(&self.raw.token_url.at, text);
        }
        Some(uri)
    }

    /// An address that `of`, a variable or a key, leads to.
    fn address(&self, text: &str, of: &str, problems: &mut Problems) -> Option<Uri> {
        let uri = parsed(text);
        if uri.is_none() {
            let text = format!("`{of}` gives no usable address; correct it, or give `token_url`");
            problems.add(self.at, text);
        }
        uri
    }

    /// A variable that the source cannot do without.
    fn needed(&self, name: &str, problems: &mut Problems) -> Option<String> {
        let value = variable(name, problems);
        if value.is_none() {
            let text =
                format!("needs `{name}`, which is not set; set it, or give other credentials");
            problems.unresolved(&self.raw.credentials.at, text);
        }
        value
    }

    fn missing(&self, key: &str, what: &str, problems: &mut Problems) {
        let text = format!("`{key}` is missing; give {what}");
        // The value may stand in a variable that the command at hand does not need.
        problems.unresolved(self.at, text);
    }

    fn fetches_nothing(&self, problems: &mut Problems) {
        if text(&self.raw.token_url).is_some() {
            let text = "nothing is fetched with an access key; remove it";
            problems.add(&self.raw.token_url.at, text);
        }
    }
}

fn word(of: AuthType) -> &'static str {
    AuthType::WORDS.iter().find(|(_, known)| *known == of).map_or("", |(word, _)| word)
}

fn source_word(of: AuthCredentials) -> Option<&'static str> {
    AuthCredentials::WORDS.iter().find(|(_, known)| *known == of).map(|(word, _)| *word)
}

fn sources(of: AuthType) -> &'static [AuthCredentials] {
    use AuthCredentials::{
        Container, Environment, Instance, ManagedIdentity, Metadata, WebIdentity,
    };
    match of {
        AuthType::Entra => &[ManagedIdentity],
        AuthType::Aws => &[Environment, WebIdentity, Container, Instance],
        AuthType::Gcp => &[Metadata],
    }
}

/// An http(s) address without a user.
fn parsed(text: &str) -> Option<Uri> {
    text.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'))
            && port_fits(uri)
    })
}
