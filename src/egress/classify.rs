//! From a request without an answer to a [`Fault`].
//!
//! Guarantees: operators are told of every certificate and proxy that fails, by name; no message
//! has a credential.

use std::error::Error as StdError;

use hyper_util::client::legacy::connect::Connected;

use super::alert::{is_about_client, tls_error};
use super::connector::NoConnection;
use super::fault::{Fault, ProxyFault};
use super::pools::NoResponse;
use super::used;

/// EMFILE, ENFILE, ENOBUFS and EADDRNOTAVAIL of Linux: this machine lacks the resource.
const EXHAUSTED: [i32; 4] = [24, 23, 105, 99];

/// Why a request has no answer.
pub fn fault(error: &NoResponse) -> Fault {
    match error {
        NoResponse::Unconnected(error) => judge(error, None, true),
        NoResponse::Broken { error, connected } => judge(error, Some(connected), false),
        NoResponse::Shared(error) => judge(error, error.connect_info(), error.is_connect()),
        NoResponse::Address => Fault::Reset,
    }
}

/// The fault behind an error of a connection, or of the attempt to make one.
fn judge(
    error: &(dyn StdError + 'static),
    connected: Option<&Connected>,
    is_connect: bool,
) -> Fault {
    if chain(error).any(|cause| {
        let errno = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        errno.is_some_and(|errno| EXHAUSTED.contains(&errno))
    }) {
        return Fault::Exhausted;
    }
    if let Some(unconnected) = chain(error).find_map(|cause| cause.downcast_ref()) {
        return of_connection(unconnected);
    }
    if connected.is_some_and(used::refused_client) {
        tracing::warn!(
            event = "client_certificate_refused",
            "a provider refuses the client certificate, or demands one"
        );
        return Fault::ClientCertificate;
    }
    if let Some(tls) = chain(error).find_map(tls_error) {
        tracing::warn!(
            event = "tls_failed",
            reason = %tls, "the connection to a provider could not be secured");
        return match tls {
            _ if is_about_client(tls) => Fault::ClientCertificate,
            // It may be about the data that was sent.
            rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_) => {
                Fault::Protocol
            }
            _ => Fault::Reset,
        };
    }
    let is_unusable = |http: &hyper::Error| {
        http.is_parse() || http.is_parse_too_large() || http.is_parse_status()
    };
    if chain(error).any(|cause| cause.downcast_ref().is_some_and(is_unusable)) {
        Fault::Protocol
    } else if is_connect {
        Fault::Connect
    } else if connected.is_some_and(used::ended_in_reuse) {
        Fault::Stale
    } else {
        Fault::Reset
    }
}

fn of_connection(error: &NoConnection) -> Fault {
    match error {
        NoConnection::Proxy { .. } => {
            tracing::warn!(event = "proxy_failed", reason = %error, "the proxy cannot be used");
            Fault::Proxy(ProxyFault::Connect)
        }
        NoConnection::Tunnel { fault, .. } => {
            tracing::warn!(event = "proxy_failed", reason = %error, "the proxy cannot be used");
            Fault::Proxy(*fault)
        }
        NoConnection::Tls { proxy, .. } => {
            let Some(tls) = chain(error).find_map(tls_error) else { return Fault::Connect };
            tracing::warn!(
                event = "tls_failed",
                reason = %error, "the connection to a provider could not be secured");
            // A certificate that does not verify will not verify next time; an alert or a cut
            // handshake may pass. Through a proxy it may be the proxy's certificate.
            match tls {
                _ if is_about_client(tls) => Fault::ClientCertificate,
                rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_)
                    if proxy.is_none() =>
                {
                    Fault::Certificate
                }
                _ => Fault::Connect,
            }
        }
        NoConnection::Dial(_) | NoConnection::Late { .. } | NoConnection::Host => Fault::Connect,
    }
}

/// An error and its causes.
fn chain<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    // Not `cause.source()`, which would be that of the reference.
    std::iter::successors(Some(error), |cause| (**cause).source())
}
