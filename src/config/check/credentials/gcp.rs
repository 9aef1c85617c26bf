//! Tokens of Google Cloud: a service account or the metadata server.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::HeaderValue;

use super::{Checked, text, variable};
use crate::bounds::SECRET_FILE_BYTES_MAX;
use crate::config::policy::{AuthSource, GcpSource};
use crate::config::reader::place::{Place, Problems};

/// The metadata server of Google Cloud.
const METADATA: &str = "metadata.google.internal";

impl Checked<'_> {
    pub(crate) fn gcp(&self, problems: &mut Problems) -> Option<AuthSource> {
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
