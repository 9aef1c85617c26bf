//! Keys of AWS, from the policy, the environment or the machine.

use std::path::PathBuf;

use super::{Checked, MACHINE, text, variable};
use crate::config::policy::{AuthSource, AwsKeys, AwsSource, ContainerProof};
use crate::config::reader::place::Problems;
use crate::config::sections::AuthCredentials;
use crate::ids::Secret;

/// The endpoint of containers in ECS.
const CONTAINER: &str = "http://169.254.170.2";
/// Addresses that credentials of a container may come from without TLS, besides this machine.
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

impl Checked<'_> {
    pub(crate) fn aws(&self, problems: &mut Problems) -> Option<AuthSource> {
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
