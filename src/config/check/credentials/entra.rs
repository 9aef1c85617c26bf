//! Tokens of Microsoft Entra ID: a secret, a federated token, or an identity of the machine.

use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Checked, MACHINE, text, variable};
use crate::config::policy::{EntraProof, EntraSource};
use crate::config::reader::place::Problems;
use crate::config::sections::AuthCredentials;
use crate::ids::Secret;

/// The scope of Azure OpenAI.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// Ends the scope of an application.
const DEFAULT_SCOPE: &str = "/.default";
/// Where tokens of Entra come from, unless the environment names another authority.
const AUTHORITY: &str = "https://login.microsoftonline.com";

impl Checked<'_> {
    pub(crate) fn entra(&self, problems: &mut Problems) -> Option<EntraSource> {
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
}
