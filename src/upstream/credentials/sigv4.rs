//! Signatures of requests to Amazon Bedrock (AWS Signature Version 4).
//!
//! Stage 10 of the walk. Pure: the time is an argument; the signature itself is made by the crate
//! `aws-sigv4`. Guarantees: the signature covers the method, the address as it is sent, `host`,
//! `content-type` and the whole body; nothing that a proxy may change is signed. Does not: choose
//! the keys, or send anything.
//!
//! # Source
//! AWS, "Create a signed AWS API request"; services other than S3 encode each segment of the path
//! twice.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningInstructions, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use tollgate_wire::ProviderKind;

use crate::config::policy::Provider;

/// The request that a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub region: &'a str,
    /// The name that the service signs under.
    pub service: &'a str,
}

/// A request, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    pub method: &'a Method,
    pub address: &'a Uri,
    /// Lower-case hexadecimal digits.
    pub body_sha256: &'a str,
}

/// The name that the service of a provider signs under.
pub fn service(provider: &Provider) -> &'static str {
    let host = provider.base_url.host().unwrap_or_default();
    let is_runtime = host.contains("bedrock-runtime");
    let is_mantle =
        host.contains("bedrock-mantle") || provider.options.kind == ProviderKind::Anthropic;
    if is_mantle && !is_runtime { "bedrock-mantle" } else { "bedrock" }
}

/// Adds the signature to the headers of a request. `content-type` among them is signed.
///
/// # Errors
/// The request cannot be signed: a defect, or keys that no header can hold.
pub fn signed(
    headers: &mut HeaderMap,
    request: Signable<'_>,
    scope: Scope<'_>,
    keys: &Credentials,
    wall_ms: i64,
) -> Result<(), Unsigned> {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let time = SystemTime::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(wall_ms).map_err(|_| Unsigned)?);
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| (CONTENT_TYPE.as_str(), kind));
    let signable = SignableRequest::new(
        request.method.as_str(),
        request.address.to_string(),
        kind.into_iter(),
        SignableBody::Precomputed(request.body_sha256.to_owned()),
    );
    let (instructions, _) =
        signature(signable.map_err(|_| Unsigned)?, scope, keys, time, settings)?;
    for (name, value) in instructions.headers() {
        let name = HeaderName::try_from(name).map_err(|_| Unsigned)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| Unsigned)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

/// The headers that sign a request, and the signature alone.
fn signature(
    signable: SignableRequest<'_>,
    scope: Scope<'_>,
    keys: &Credentials,
    time: SystemTime,
    settings: SigningSettings,
) -> Result<(SigningInstructions, String), Unsigned> {
    let identity = keys.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(time)
        .settings(settings)
        .build();
    let params = params.map_err(|_| Unsigned)?.into();
    sign(signable, &params).map(aws_sigv4::SigningOutput::into_parts).map_err(|_| Unsigned)
}

/// A request could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsigned;

#[cfg(test)]
mod tests;
