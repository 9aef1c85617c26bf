//! The credential of a provider in a cloud, checked: where it comes from.
//!
//! Level 2 of the map. Addresses, names and files are those of the policy, or of the environment as
//! it was when the policy was read. Does not hold a fetched token.

use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderValue, Uri};

use crate::digest::sha256;
use crate::ids::Secret;

/// A credential that the gateway gets from a cloud.
#[derive(Debug)]
pub struct ProviderAuth {
    /// SHA-256 over all that a fetch reads, but not the content of files. Providers with the same
    /// one share the credential, and an edit that leaves it alone keeps the token.
    pub id: [u8; 32],
    pub source: AuthSource,
}

/// A cloud, and where its credential comes from.
#[derive(Debug)]
pub enum AuthSource {
    Entra(EntraSource),
    Aws {
        /// The region that requests are signed for.
        region: Arc<str>,
        source: AwsSource,
    },
    Gcp {
        /// The project that quota and cost are counted for.
        quota_project: Option<HeaderValue>,
        source: GcpSource,
    },
}

/// A token of Microsoft Entra ID.
#[derive(Debug)]
pub enum EntraSource {
    /// Of an application.
    Application { token_url: Uri, client_id: String, scope: String, proof: EntraProof },
    /// Of the machine or the app.
    ManagedIdentity {
        /// The whole address, with its query.
        address: Uri,
        /// The header `x-identity-header` of an app.
        header: Option<Secret>,
    },
}

/// How an application shows who it is.
#[derive(Debug)]
pub enum EntraProof {
    Secret(Secret),
    /// A file with a token of another issuer.
    File(PathBuf),
}

/// Keys of AWS.
#[derive(Debug)]
pub enum AwsSource {
    /// Nothing is fetched.
    Keys(AwsKeys),
    /// A role, for a token in a file.
    WebIdentity { token_url: Uri, role_arn: String, session_name: String, token_file: PathBuf },
    /// The endpoint of a container.
    Container { address: Uri, proof: ContainerProof },
    /// The metadata service of a machine, by its base address.
    Instance { address: Uri },
}

/// An access key.
#[derive(Debug)]
pub struct AwsKeys {
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    /// Empty for a key that does not end.
    pub session_token: Secret,
    /// They were read at the start and stay the same until the gateway ends.
    pub is_from_environment: bool,
}

/// The header `authorization` at the endpoint of a container.
#[derive(Debug)]
pub enum ContainerProof {
    Nothing,
    /// The content of a file, which is read for each fetch.
    File(PathBuf),
    Text(Secret),
}

/// A token of Google Cloud.
#[derive(Debug)]
pub enum GcpSource {
    /// For the key in a file; `token_url` replaces the address in it.
    ServiceAccount { file: PathBuf, token_url: Option<Uri> },
    /// From the metadata server: the whole address.
    Metadata { address: Uri },
}

impl ProviderAuth {
    /// A credential of this source. `egress` says how the provider is reached; a fetch goes the
    /// same way, unless it goes to an address of the machine.
    pub fn new(source: AuthSource, egress: &[u8; 32]) -> ProviderAuth {
        let read = match &source {
            AuthSource::Entra(source) => format!("{source:?}"),
            AuthSource::Aws { source, .. } => format!("{source:?}"),
            AuthSource::Gcp { source, .. } => format!("{source:?}"),
        };
        // `Debug` hides secrets, so that they are hashed by themselves.
        let mut digests = sha256(read.as_bytes()).to_vec();
        if !source.is_of_the_machine() {
            digests.extend(egress);
        }
        for secret in source.secrets() {
            // A file may get another content, which is no other credential.
            digests.extend(match secret.file() {
                Some(path) => sha256(path.as_os_str().as_encoded_bytes()),
                None => sha256(secret.reveal().as_bytes()),
            });
        }
        ProviderAuth { id: sha256(&digests), source }
    }

    /// The access key, if there is nothing to fetch.
    pub fn keys(&self) -> Option<&AwsKeys> {
        match &self.source {
            AuthSource::Aws { source: AwsSource::Keys(keys), .. } => Some(keys),
            _ => None,
        }
    }

    /// Whether requests are signed, so that their bodies are needed whole.
    pub fn signs(&self) -> bool {
        matches!(self.source, AuthSource::Aws { .. })
    }
}

impl AuthSource {
    /// Whether it is asked for at an address that only this machine has, which no proxy can reach.
    pub fn is_of_the_machine(&self) -> bool {
        matches!(
            self,
            AuthSource::Entra(EntraSource::ManagedIdentity { .. })
                | AuthSource::Aws {
                    source: AwsSource::Container { .. } | AwsSource::Instance { .. },
                    ..
                }
                | AuthSource::Gcp { source: GcpSource::Metadata { .. }, .. }
        )
    }

    /// The address that a fetch sends a secret to, if it is not one of this machine.
    pub fn token_url(&self) -> Option<&Uri> {
        match self {
            AuthSource::Entra(EntraSource::Application { token_url, .. })
            | AuthSource::Aws { source: AwsSource::WebIdentity { token_url, .. }, .. } => {
                Some(token_url)
            }
            AuthSource::Gcp { source: GcpSource::ServiceAccount { token_url, .. }, .. } => {
                token_url.as_ref()
            }
            _ => None,
        }
    }

    /// The secrets that a fetch sends.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            AuthSource::Entra(EntraSource::Application { proof, .. }) => match proof {
                EntraProof::Secret(secret) => vec![secret],
                EntraProof::File(_) => vec![],
            },
            AuthSource::Entra(EntraSource::ManagedIdentity { header, .. }) => {
                header.iter().collect()
            }
            AuthSource::Aws { source, .. } => match source {
                AwsSource::Keys(keys) => {
                    vec![&keys.access_key_id, &keys.secret_access_key, &keys.session_token]
                }
                AwsSource::Container { proof: ContainerProof::Text(secret), .. } => vec![secret],
                _ => vec![],
            },
            AuthSource::Gcp { .. } => vec![],
        }
    }
}
