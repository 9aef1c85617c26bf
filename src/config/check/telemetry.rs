//! `telemetry`: the collector of traces.

use std::sync::Arc;

use http::{HeaderName, Uri};

use super::super::policy::Otlp;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Plain as _};
use super::super::sections::RawTelemetry;
use super::{egress, port_fits};
use crate::egress::Egress;
use crate::egress::rules::NoProxy;

/// Headers that the gateway sets itself, or that belong to a connection.
const OWN_HEADERS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The collector, if there is one.
pub(crate) fn otlp(raw: &RawTelemetry, problems: &mut Problems) -> Option<Otlp> {
    let given = raw.otlp.value.as_ref()?;
    let endpoint = endpoint(&given.endpoint, problems);
    let mut headers = Vec::new();
    for (name, value) in &given.headers.value.0 {
        let parsed: Option<HeaderName> = name.value.parse().ok();
        match parsed.filter(|name| !OWN_HEADERS.contains(&name.as_str())) {
            Some(name) => headers.push((name, value.value.clone())),
            None => problems.add(
                &name.at,
                "not a header that can be set here; give a name such as authorization or x-api-key",
            ),
        }
    }
    let environment = egress::Environment::read(problems);
    let proxies = egress::proxies(&given.proxy, NoProxy::of(&[]), &environment, problems);
    let files = [&given.ca_file, &given.client_cert_file, &given.client_key_file];
    let egress = Arc::new(Egress::new(proxies, egress::tls(files, problems)));
    Some(Otlp { endpoint: endpoint?, headers, egress, options: given.plain() })
}

/// The address of the traces: `/v1/traces` below the given one.
fn endpoint(given: &At<String>, problems: &mut Problems) -> Option<Uri> {
    let base = given.value.trim().trim_end_matches('/');
    let address = format!("{base}/v1/traces").parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && port_fits(uri)
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if address.is_none() || base.ends_with("/v1/traces") {
        problems.add(
            &given.at,
            "not the base address of a collector; give http://host:4318 or https://host, without \
             /v1/traces, query and credentials (those go into `headers`)",
        );
        return None;
    }
    address
}
