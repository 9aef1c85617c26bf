//! One fetch of a credential, from whichever cloud it comes.
//!
//! Beside stage 10 of the walk. Guarantees: a fetch ends within [`TOKEN_FETCH_MAX`]; answers have a
//! bounded length, are never followed elsewhere and never logged; a secret goes to the token
//! endpoint of its own credential alone; files are read for each fetch. Does not: decide when (see
//! `schedule`), or keep the token.
//!
//! # Source
//! Microsoft Entra ID, "Acquire an access token from a VM"; ECS, "Task IAM role"; EC2, "Use
//! IMDSv2"; Google Cloud, "Metadata server", read November 2026.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use zeroize::Zeroizing;

use super::requests::{self, ServiceAccount};
use super::token::{self, Failed, Now, Token};
use crate::bounds::{
    METADATA_CONNECT_MAX, SECRET_FILE_BYTES_MAX, TOKEN_BYTES_MAX, TOKEN_FETCH_MAX,
};
use crate::config::policy::{
    AuthSource, AwsSource, ContainerProof, EntraProof, EntraSource, GcpSource, Provider,
};
use crate::egress::Egress;
use crate::egress::outbound::{Outbound, Patience};

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const METADATA_FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const EC2_TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const EC2_TOKEN_LIFE: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
/// The roles of a machine.
const EC2_ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// Addresses that keys of a container may come from without TLS, besides this machine.
const CONTAINER_ADDRESSES: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The way to a token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// As the provider is reached.
    AsProvider,
    /// At an address of this machine, which no proxy has.
    Machine,
}

/// An answer with status 200.
struct Reply {
    headers: HeaderMap,
    body: Bytes,
}

/// Fetches the credential of a provider. The second value says that its life had to be assumed.
///
/// # Errors
/// Why there is none.
///
/// # Cancel safety
/// Dropping the future closes its connection.
pub async fn fetch(
    outbound: &Outbound,
    provider: &Provider,
    source: &AuthSource,
    asked: Now,
) -> Result<(Token, bool), Failed> {
    let fetch = Fetch { outbound, provider, asked };
    let fetched = async {
        match source {
            AuthSource::Entra(source) => fetch.entra(source).await,
            AuthSource::Aws { source, .. } => fetch.aws(source).await,
            AuthSource::Gcp { source, .. } => fetch.gcp(source).await,
        }
    };
    let fetched = tokio::time::timeout(TOKEN_FETCH_MAX, fetched).await;
    let (token, is_assumed) =
        fetched.unwrap_or_else(|_| Err(Failed::passing("no answer in time")))?;
    if !token.ends.is_ahead(asked) {
        return Err(Failed::passing("the token in the answer has expired already"));
    }
    Ok((token, is_assumed))
}

struct Fetch<'a> {
    outbound: &'a Outbound,
    provider: &'a Provider,
    asked: Now,
}

impl Fetch<'_> {
    async fn entra(&self, source: &EntraSource) -> Result<(Token, bool), Failed> {
        let reply = match source {
            EntraSource::Application { token_url, client_id, scope, proof } => {
                let form = match proof {
                    EntraProof::Secret(secret) => {
                        requests::entra(client_id, scope, ("client_secret", &*secret.reveal()))
                    }
                    EntraProof::File(file) => {
                        let token = text_of(file).await?;
                        requests::entra(client_id, scope, ("client_assertion", token.trim()))
                    }
                };
                self.post(token_url, form).await?
            }
            EntraSource::ManagedIdentity { address, header } => {
                let mut request = get(address.clone());
                let headers = request.headers_mut();
                match header {
                    Some(secret) => {
                        headers.insert("x-identity-header", token::header(&[&*secret.reveal()])?)
                    }
                    None => headers.insert("metadata", HeaderValue::from_static("true")),
                };
                self.send(request, Reach::Machine).await?
            }
        };
        token::bearer(&reply.body, self.asked)
    }

    async fn aws(&self, source: &AwsSource) -> Result<(Token, bool), Failed> {
        match source {
            // These are never fetched: they are in the policy.
            AwsSource::Keys(_) => Err(Failed::lasting("there is nothing to fetch")),
            AwsSource::WebIdentity { token_url, role_arn, session_name, token_file } => {
                let token = text_of(token_file).await?;
                let form = requests::web_identity(role_arn, session_name, token.trim());
                let reply = self.post(token_url, form).await?;
                token::keys_in_xml(&reply.body, self.asked)
            }
            AwsSource::Container { address, proof } => {
                is_near(address).await?;
                let mut request = get(address.clone());
                let proof = match proof {
                    ContainerProof::Nothing => None,
                    ContainerProof::File(file) => Some(text_of(file).await?),
                    ContainerProof::Text(secret) => {
                        Some(Zeroizing::new((*secret.reveal()).to_owned()))
                    }
                };
                if let Some(proof) = proof {
                    let proof = token::header(&["", proof.trim()])?;
                    request.headers_mut().insert(AUTHORIZATION, proof);
                }
                let reply = self.send(request, Reach::Machine).await?;
                token::keys_in_json(&reply.body, self.asked)
            }
            AwsSource::Instance { address } => self.instance(address).await,
        }
    }

    /// IMDSv2: a session first, then the name of the role, then its keys.
    async fn instance(&self, base: &Uri) -> Result<(Token, bool), Failed> {
        let mut request = get(below(base, "/latest/api/token")?);
        *request.method_mut() = Method::PUT;
        request.headers_mut().insert(EC2_TOKEN_LIFE, HeaderValue::from_static("21600"));
        let session = self.send(request, Reach::Machine).await.map_err(|failed| {
            let hint = "in a container the instance needs a hop limit of 2";
            Failed { reason: format!("{} ({hint})", failed.reason), ..failed }
        })?;
        let session = Zeroizing::new(String::from_utf8_lossy(&session.body).into_owned());
        let session = token::header(&[session.trim()])?;
        let ask = |address| {
            let mut request = get(address);
            request.headers_mut().insert(EC2_TOKEN, session.clone());
            request
        };
        let roles = self.send(ask(below(base, EC2_ROLES)?), Reach::Machine).await?;
        let roles = String::from_utf8_lossy(&roles.body).into_owned();
        let role = roles.lines().next().unwrap_or_default().trim();
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        if role.is_empty() || role.starts_with('.') || !role.bytes().all(is_name) {
            return Err(Failed::passing("the instance has no role"));
        }
        let keys = ask(below(base, &[EC2_ROLES, role].concat())?);
        let reply = self.send(keys, Reach::Machine).await?;
        token::keys_in_json(&reply.body, self.asked)
    }

    async fn gcp(&self, source: &GcpSource) -> Result<(Token, bool), Failed> {
        match source {
            GcpSource::ServiceAccount { file, token_url } => {
                let content = content_of(file).await?;
                let account = ServiceAccount::read(&content)?;
                let own = account.token_uri().parse::<Uri>().ok();
                let own = own.filter(|uri| uri.scheme_str() == Some("https"));
                let address = token_url.clone().or(own).ok_or_else(|| {
                    Failed::lasting("`token_uri` in the file is no https address")
                })?;
                let assertion = account.assertion(self.asked.wall_ms / 1000)?;
                let reply = self.post(&address, requests::google(&assertion)).await?;
                token::bearer(&reply.body, self.asked)
            }
            GcpSource::Metadata { address } => {
                let mut request = get(address.clone());
                let google = HeaderValue::from_static("Google");
                request.headers_mut().insert(METADATA_FLAVOR, google.clone());
                let reply = self.send(request, Reach::Machine).await?;
                if reply.headers.get(METADATA_FLAVOR) != Some(&google) {
                    let text = "the answer is not that of a metadata server (no metadata-flavor)";
                    return Err(Failed::passing(text));
                }
                token::bearer(&reply.body, self.asked)
            }
        }
    }

    async fn post(&self, address: &Uri, form: Zeroizing<Vec<u8>>) -> Result<Reply, Failed> {
        // The bytes are cleared when the last part of the connection has let go of them.
        let mut request = Request::new(Full::new(Bytes::from_owner(form)));
        (*request.method_mut(), *request.uri_mut()) = (Method::POST, address.clone());
        request.headers_mut().insert(CONTENT_TYPE, FORM);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        self.send(request, Reach::AsProvider).await
    }

    /// Sends a request to a token endpoint; the one place where the way to it is chosen.
    async fn send(&self, request: Request<Full<Bytes>>, reach: Reach) -> Result<Reply, Failed> {
        let (egress, connect) = match reach {
            Reach::AsProvider => (Arc::clone(&self.provider.egress), TOKEN_FETCH_MAX),
            Reach::Machine => (Arc::new(Egress::direct()), METADATA_CONNECT_MAX),
        };
        tracing::debug!(
            event = "credential_asked",
            provider = &*self.provider.name,
            ?reach,
            "asking for a credential"
        );
        let patience = Patience { connect, whole: TOKEN_FETCH_MAX, bytes_max: TOKEN_BYTES_MAX };
        let sent = self.outbound.send(&egress, request, patience).await;
        let (head, body) = sent.map_err(|error| Failed::passing(error.to_string()))?.into_parts();
        if head.status != StatusCode::OK {
            return Err(requests::refused(head.status, &body));
        }
        Ok(Reply { headers: head.headers, body })
    }
}

fn get(address: Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = address;
    request
}

/// A path below a base address.
fn below(base: &Uri, path: &str) -> Result<Uri, Failed> {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = [base.path().trim_end_matches('/'), path].concat().parse().ok();
    Uri::from_parts(parts)
        .map_err(|_| Failed::lasting("the address of the metadata service is wrong"))
}

/// Keys of a container cross no network in clear: each address of the name has to be a near one.
async fn is_near(address: &Uri) -> Result<(), Failed> {
    if address.scheme_str() == Some("https") {
        return Ok(());
    }
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, address.port_u16().unwrap_or(80))).await;
    let found = found.map_err(|_| Failed::passing("the name of the endpoint is not known"))?;
    let is_allowed = |ip: IpAddr| {
        ip.to_canonical().is_loopback() || CONTAINER_ADDRESSES.contains(&&*ip.to_string())
    };
    if found.into_iter().all(|socket| is_allowed(socket.ip())) {
        Ok(())
    } else {
        Err(Failed::lasting("the endpoint is not on this machine; give an https address"))
    }
}

/// A regular file of a bounded length, read on a thread that may wait.
async fn content_of(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let (path, shown) = (file.to_owned(), file.display().to_string());
    let read = tokio::task::spawn_blocking(move || {
        // Opening a pipe would wait for its writer.
        if !std::fs::metadata(&path)?.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        let mut content = Zeroizing::new(Vec::new());
        std::fs::File::open(&path)?.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
        if content.len() as u64 > SECRET_FILE_BYTES_MAX {
            return Err(std::io::Error::other("too long"));
        }
        Ok(content)
    });
    match read.await {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(error)) => Err(Failed::passing(format!("`{shown}` cannot be read: {error}"))),
        Err(_) => Err(Failed::passing(format!("`{shown}` cannot be read"))),
    }
}

async fn text_of(file: &Path) -> Result<Zeroizing<String>, Failed> {
    let content = content_of(file).await?;
    let text = std::str::from_utf8(&content).unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Failed::passing(format!("`{}` has no text", file.display())));
    }
    Ok(Zeroizing::new(text.to_owned()))
}
