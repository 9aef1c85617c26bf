//! `providers.*.auth`, checked: one source for each credential, of the cloud that the provider is in.
//!
//! Level 2 of the map. Variables of the environment that clouds set are read here, once for each
//! policy. The one file that is read is a service account's, because its kind decides whether it can
//! be used at all; one that is not there may still come. Does not fetch anything.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::{HeaderValue, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_wire::ProviderKind;

use super::super::policy::{
    AuthSource, AwsKeys, AwsSource, ContainerProof, EntraProof, EntraSource, GcpSource,
    ProviderAuth,
};
use super::super::reader::place::{Place, Problems};
use super::super::reader::shape::At;
use super::super::sections::{AuthCredentials, AuthType, RawProvider, RawProviderAuth};
use super::port_fits;
use crate::bounds::SECRET_FILE_BYTES_MAX;
use crate::egress::Egress;
use crate::ids::Secret;

/// The scope of Azure OpenAI.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// Ends the scope of an application.
const DEFAULT_SCOPE: &str = "/.default";
/// Where tokens of Entra come from, unless the environment names another authority.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// The metadata services of Azure and AWS.
const MACHINE: &str = "http://169.254.169.254";
/// The endpoint of containers in ECS.
const CONTAINER: &str = "http://169.254.170.2";
/// Addresses that credentials of a container may come from without TLS, besides this machine.
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
/// The metadata server of Google Cloud.
const METADATA: &str = "metadata.google.internal";

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

    fn entra(&self, problems: &mut Problems) -> Option<EntraSource> {
        let raw = self.raw;
        let scope = text(&raw.scope).unwrap_or(SCOPE);
        if !scope.ends_with(DEFAULT_SCOPE) {
            let text = "not the scope of an application; give the resource and `/.default`, e.g. \
                https://cognitiveservices.azure.com/.default";
            problems.add(&raw.scope.at, text);
        }
        if raw.credentials.value == Some(AuthCredentials::ManagedIdentity) {
            return self.managed_identity(scope, problems);
        }
        let token_url = self.token_url(problems);
        let tenant = text(&raw.tenant_id).map(str::to_owned);
        let tenant = tenant.or_else(|| variable("AZURE_TENANT_ID", problems));
        let is_tenant =
            |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
        match &tenant {
            Some(name) if !is_tenant(name) => {
                let text = "not a tenant; give its id (a UUID) or a domain of it";
                problems.add(&raw.tenant_id.at, text);
            }
            None => self.missing("tenant_id", "the id of the tenant", problems),
            Some(_) => {}
        }
        let client_id = text(&raw.client_id).map(str::to_owned);
        let client_id = client_id.or_else(|| variable("AZURE_CLIENT_ID", problems));
        if client_id.is_none() {
            self.missing("client_id", "the id of the application", problems);
        }
        let proof = self.entra_proof(problems);
        let token_url = match token_url {
            Some(given) => given?,
            None => {
                let authority = variable("AZURE_AUTHORITY_HOST", problems);
                let authority = authority.as_deref().unwrap_or(AUTHORITY).trim_end_matches('/');
                let address = format!("{authority}/{}/oauth2/v2.0/token", tenant.as_deref()?);
                self.address(&address, "AZURE_AUTHORITY_HOST", problems)?
            }
        };
        tenant?;
        let (client_id, scope) = (client_id?, scope.to_owned());
        Some(EntraSource::Application { token_url, client_id, scope, proof: proof? })
    }

    fn entra_proof(&self, problems: &mut Problems) -> Option<EntraProof> {
        let raw = self.raw;
        let file = text(&raw.federated_token_file);
        match (raw.client_secret.value.is_empty(), file) {
            (false, None) => Some(EntraProof::Secret(raw.client_secret.value.clone())),
            (false, Some(_)) => {
                let text = "given beside `client_secret`; keep one of the two";
                problems.add(&raw.federated_token_file.at, text);
                None
            }
            (true, Some(file)) => Some(EntraProof::File(PathBuf::from(file))),
            (true, None) if raw.client_secret.given => {
                let text = "empty; give the secret of the application, or `federated_token_file`";
                problems.add(&raw.client_secret.at, text);
                None
            }
            (true, None) => {
                let file = variable("AZURE_FEDERATED_TOKEN_FILE", problems);
                if file.is_none() {
                    let what = "it, or `federated_token_file`, or `credentials: managed_identity`";
                    self.missing("client_secret", what, problems);
                }
                file.map(|file| EntraProof::File(PathBuf::from(file)))
            }
        }
    }

    fn managed_identity(&self, scope: &str, problems: &mut Problems) -> Option<EntraSource> {
        let raw = self.raw;
        for (is_given, at) in [
            (text(&raw.tenant_id).is_some(), &raw.tenant_id.at),
            (!raw.client_secret.value.is_empty(), &raw.client_secret.at),
            (text(&raw.federated_token_file).is_some(), &raw.federated_token_file.at),
        ] {
            if is_given {
                problems.add(at, "not used by `credentials: managed_identity`; remove it");
            }
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let resource = encoded(scope.strip_suffix(DEFAULT_SCOPE).unwrap_or(scope));
        let client = text(&raw.client_id).map(|id| format!("&client_id={}", encoded(id)));
        let client = client.unwrap_or_default();
        let app = variable("IDENTITY_ENDPOINT", problems);
        let app = app.zip(variable("IDENTITY_HEADER", problems));
        let own = self.token_url(problems);
        let (base, version, header) = match app {
            Some((endpoint, header)) => (endpoint, "2019-08-01", Some(Secret::new(&header))),
            None => (format!("{MACHINE}/metadata/identity/oauth2/token"), "2018-02-01", None),
        };
        let base = match own {
            Some(given) => given?.to_string(),
            None => base,
        };
        let mark = if base.contains('?') { '&' } else { '?' };
        let address = format!("{base}{mark}api-version={version}&resource={resource}{client}");
        let address = self.address(&address, "IDENTITY_ENDPOINT", problems)?;
        Some(EntraSource::ManagedIdentity { address, header })
    }

    fn aws(&self, problems: &mut Problems) -> Option<AuthSource> {
        let region = self.region(problems);
        let raw = self.raw;
        let keys = [&raw.access_key_id, &raw.secret_access_key, &raw.session_token];
        if raw.credentials.value.is_some() {
            for key in keys.iter().filter(|key| !key.value.is_empty()) {
                problems.add(&key.at, "given beside `credentials`; keep one of the two");
            }
        }
        let source = match raw.credentials.value {
            None => self.aws_keys(problems),
            Some(AuthCredentials::Environment) => self.aws_environment(problems),
            Some(AuthCredentials::WebIdentity) => self.web_identity(region.as_deref(), problems),
            Some(AuthCredentials::Container) => self.container(problems),
            Some(AuthCredentials::Instance) => self.instance(problems),
            // Reported already.
            Some(AuthCredentials::ManagedIdentity | AuthCredentials::Metadata) => None,
        };
        Some(AuthSource::Aws { region: region?.into(), source: source? })
    }

    /// The region of the address decides: another one would never be accepted there.
    fn region(&self, problems: &mut Problems) -> Option<String> {
        let given = text(&self.raw.region).map(str::to_owned);
        let region = given
            .or_else(|| region_of(self.base_url.host().unwrap_or_default()).map(str::to_owned))
            .or_else(|| variable("AWS_REGION", problems))
            .or_else(|| variable("AWS_DEFAULT_REGION", problems));
        match &region {
            None => self.missing("region", "the region, e.g. eu-central-1", problems),
            Some(name) if !is_region(name) => {
                problems.add(&self.raw.region.at, "not a region; give e.g. eu-central-1");
                return None;
            }
            Some(_) => {}
        }
        region
    }

    fn aws_keys(&self, problems: &mut Problems) -> Option<AwsSource> {
        let raw = self.raw;
        let mut is_whole = true;
        let keys = [&raw.access_key_id, &raw.secret_access_key];
        if keys.iter().all(|key| key.value.is_empty() && !key.given) {
            let what = "it and `secret_access_key`, or `credentials: environment`, web_identity, \
                container or instance";
            self.missing("access_key_id", what, problems);
            return None;
        }
        for (key, name) in keys.into_iter().zip(["access_key_id", "secret_access_key"]) {
            if key.value.is_empty() && key.given {
                problems.add(&key.at, "empty; set the variable that it refers to, or give the key");
            } else if key.value.is_empty() {
                self.missing(name, "both parts of the access key", problems);
            }
            is_whole &= !key.value.is_empty();
        }
        self.fetches_nothing(problems);
        is_whole.then(|| {
            AwsSource::Keys(AwsKeys {
                access_key_id: raw.access_key_id.value.clone(),
                secret_access_key: raw.secret_access_key.value.clone(),
                session_token: raw.session_token.value.clone(),
                is_from_environment: false,
            })
        })
    }

    fn aws_environment(&self, problems: &mut Problems) -> Option<AwsSource> {
        self.fetches_nothing(problems);
        let access_key_id = self.needed("AWS_ACCESS_KEY_ID", problems);
        let secret_access_key = self.needed("AWS_SECRET_ACCESS_KEY", problems);
        let session_token = variable("AWS_SESSION_TOKEN", problems).unwrap_or_default();
        Some(AwsSource::Keys(AwsKeys {
            access_key_id: Secret::new(&access_key_id?),
            secret_access_key: Secret::new(&secret_access_key?),
            session_token: Secret::new(&session_token),
            is_from_environment: true,
        }))
    }

    fn web_identity(&self, region: Option<&str>, problems: &mut Problems) -> Option<AwsSource> {
        let token_file = self.needed("AWS_WEB_IDENTITY_TOKEN_FILE", problems);
        let role_arn = self.needed("AWS_ROLE_ARN", problems);
        let name = variable("AWS_ROLE_SESSION_NAME", problems);
        let is_name = |name: &str| {
            let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
            (2..=64).contains(&name.len()) && name.bytes().all(is_part)
        };
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            let text = "`AWS_ROLE_SESSION_NAME` is not a name of a session; give 2 to 64 letters, \
                digits or characters of `_+=,.@-`";
            problems.add(&self.raw.credentials.at, text);
        }
        let token_url = match self.token_url(problems) {
            Some(given) => given,
            None => {
                let region = region?;
                // Regions in China have names of their own.
                let end = if region.starts_with("cn-") { ".cn" } else { "" };
                let address = format!("https://sts.{region}.amazonaws.com{end}/");
                self.address(&address, "region", problems)
            }
        };
        Some(AwsSource::WebIdentity {
            token_url: token_url?,
            role_arn: role_arn?,
            session_name: name.unwrap_or_else(|| "tollgate".to_owned()),
            token_file: PathBuf::from(token_file?),
        })
    }

    fn container(&self, problems: &mut Problems) -> Option<AwsSource> {
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let address = match self.token_url(problems) {
            Some(given) => given,
            None => match (variable(RELATIVE, problems), variable(FULL, problems)) {
                (Some(path), _) => self.address(&format!("{CONTAINER}{path}"), RELATIVE, problems),
                (None, Some(full)) => self.address(&full, FULL, problems),
                (None, None) => {
                    self.needed(FULL, problems);
                    None
                }
            },
        };
        if let Some(address) = &address
            && address.scheme_str() == Some("http")
            && !is_near_container(address.host().unwrap_or_default())
        {
            let text = format!(
                "`{FULL}` is http at an address that is not this machine's, so the keys would \
                 cross the network in clear; give an https address"
            );
            problems.add(&self.raw.credentials.at, text);
        }
        let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", problems);
        let token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", problems);
        let proof = match (file, token) {
            (Some(file), _) => ContainerProof::File(PathBuf::from(file)),
            (None, Some(token)) => ContainerProof::Text(Secret::new(&token)),
            (None, None) => ContainerProof::Nothing,
        };
        Some(AwsSource::Container { address: address?, proof })
    }

    fn instance(&self, problems: &mut Problems) -> Option<AwsSource> {
        const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
        const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        if variable(DISABLED, problems).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let text = format!(
                "`{DISABLED}` is true, so the metadata service must not be asked; set it to \
                 false, or give other credentials"
            );
            problems.add(&self.raw.credentials.at, text);
        }
        let address = match self.token_url(problems) {
            Some(given) => given?,
            None => {
                let endpoint = variable(ENDPOINT, problems);
                self.address(endpoint.as_deref().unwrap_or(MACHINE), ENDPOINT, problems)?
            }
        };
        Some(AwsSource::Instance { address })
    }

    fn gcp(&self, problems: &mut Problems) -> Option<AuthSource> {
        let raw = self.raw;
        let project = text(&raw.quota_project).map(str::to_owned);
        let project = project.or_else(|| variable("GOOGLE_CLOUD_QUOTA_PROJECT", problems));
        let quota_project = project.and_then(|project| {
            let value = HeaderValue::from_str(&project).ok();
            if value.is_none() {
                problems
                    .add(&raw.quota_project.at, "not the id of a project; give e.g. my-project");
            }
            value
        });
        let file = text(&raw.service_account_file);
        let source = match (raw.credentials.value, file) {
            (Some(_), Some(_)) => {
                let text = "given beside `credentials`; keep one of the two";
                problems.add(&raw.service_account_file.at, text);
                None
            }
            (Some(_), None) => self.gcp_metadata(problems),
            (None, Some(file)) => {
                service_account_fits(Path::new(file), &raw.service_account_file.at, problems);
                let token_url = match self.token_url(problems) {
                    Some(given) => Some(given?),
                    None => None,
                };
                Some(GcpSource::ServiceAccount { file: PathBuf::from(file), token_url })
            }
            (None, None) => {
                let what = "the file of its key, or `credentials: metadata`";
                self.missing("service_account_file", what, problems);
                None
            }
        };
        Some(AuthSource::Gcp { quota_project, source: source? })
    }

    fn gcp_metadata(&self, problems: &mut Problems) -> Option<GcpSource> {
        const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
        let address = match self.token_url(problems) {
            Some(given) => given?,
            None => {
                let host = variable("GCE_METADATA_HOST", problems);
                let host = host.as_deref().unwrap_or(METADATA);
                self.address(&format!("http://{host}{PATH}"), "GCE_METADATA_HOST", problems)?
            }
        };
        Some(GcpSource::Metadata { address })
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

/// The region in a host name of AWS: `bedrock-runtime.eu-central-1.amazonaws.com`.
fn region_of(host: &str) -> Option<&str> {
    let is_aws =
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|e| host.ends_with(e));
    let region = host.split('.').nth(1).filter(|_| is_aws)?;
    // Names of private endpoints have further parts; their region is given by itself.
    (is_region(region) && region.contains('-')).then_some(region)
}

fn is_region(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether keys of a container may come from this host without TLS. A name is looked up before each
/// fetch.
fn is_near_container(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    match ip {
        Ok(ip) => ip.to_canonical().is_loopback() || CONTAINER_HOSTS.contains(&host),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// The members of a key file that say what it is.
#[derive(serde::Deserialize)]
struct KeyFile {
    #[serde(default)]
    r#type: String,
    client_email: Option<serde::de::IgnoredAny>,
    private_key: Option<serde::de::IgnoredAny>,
}

/// Checks that a file, if it is there, is a service account's key.
fn service_account_fits(file: &Path, at: &Place, problems: &mut Problems) {
    let Some(content) = read(file) else { return };
    let fault = match serde_json::from_slice::<KeyFile>(&content) {
        Err(_) => "not the JSON of a service account's key",
        Ok(key) if key.r#type == "external_account" => {
            "the configuration of a workload identity federation (external_account), which is not \
             supported"
        }
        Ok(key) if key.r#type != "service_account" => "not of the type service_account",
        Ok(KeyFile { client_email: None, .. } | KeyFile { private_key: None, .. }) => {
            "without `client_email` or `private_key`"
        }
        Ok(_) => return,
    };
    problems.add(
        at,
        format!("the file is {fault}; give a service account's key, or `credentials: metadata`"),
    );
}

/// A regular file of a bounded length.
fn read(file: &Path) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut content = zeroize::Zeroizing::new(Vec::new());
    File::open(file).ok()?.take(SECRET_FILE_BYTES_MAX).read_to_end(&mut content).ok()?;
    Some(content)
}
