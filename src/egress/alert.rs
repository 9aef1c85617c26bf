//! TLS errors inside other errors, and the alerts that are about a client's certificate.
//!
//! Pure. In TLS 1.3 a server refuses a client after the handshake, so that its alert comes with the
//! first read.

use std::error::Error as StdError;

use rustls::{AlertDescription, CertificateError};

/// Alerts about the certificate that the client showed, or did not show.
const ABOUT_CLIENT: [AlertDescription; 8] = [
    AlertDescription::CertificateRequired,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

/// Whether the server demands a client certificate, or refuses the one that it got.
pub fn is_about_client(tls: &rustls::Error) -> bool {
    matches!(tls, rustls::Error::AlertReceived(alert) if ABOUT_CLIENT.contains(alert))
}

/// rustls errors travel inside `io::Error` (sometimes inside of another one), which does not name
/// them as its source.
pub fn tls_error<'e>(cause: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    if let Some(tls) = cause.downcast_ref() {
        return Some(tls);
    }
    let inner: &'e (dyn StdError + 'static) = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls_error(inner)
}

/// An error of a connection in words.
pub fn told(error: &std::io::Error) -> String {
    match tls_error(error) {
        // Its own words, which rustls would show as a structure.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            other.0.to_string()
        }
        Some(tls) => tls.to_string(),
        None => error.to_string(),
    }
}
