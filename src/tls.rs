//! TLS of both listeners: certificates from PEM files, read again when the files change.
//!
//! rustls with aws-lc-rs. Guarantees: a bad new file leaves the old certificate in force; open
//! connections keep their certificate. Does not: issue or renew certificates.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::policy::Tls;

/// Protocols of a side that speaks HTTP/2, too, in the order of preference.
pub const BOTH_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// HTTP/1.1 alone.
pub const HTTP_1_ALONE: &[&[u8]] = &[b"http/1.1"];
/// Interval at which the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Accepts TLS connections with the newest certificate.
#[derive(Clone)]
pub struct TlsAcceptor {
    current: Arc<ArcSwap<ServerConfig>>,
    protocols: &'static [&'static [u8]],
}

impl TlsAcceptor {
    /// Reads the files, for a side that speaks these protocols (ALPN).
    ///
    /// # Errors
    /// A file is missing, is not PEM, or key and certificate do not belong together.
    pub fn new(files: &Tls, protocols: &'static [&'static [u8]]) -> anyhow::Result<TlsAcceptor> {
        let config = server_config(files, protocols)?;
        Ok(TlsAcceptor { current: Arc::new(ArcSwap::new(Arc::new(config))), protocols })
    }

    /// The handshake.
    ///
    /// # Errors
    /// The peer left, or did not speak TLS.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> std::io::Result<TlsStream<S>> {
        tokio_rustls::TlsAcceptor::from(self.current.load_full()).accept(stream).await
    }

    /// Checks the files at an interval and loads new ones, until `stop`.
    pub async fn follow(self, files: Tls, stop: CancellationToken) {
        let mut seen = stamps(&files);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = stamps(&files);
            if now == seen {
                continue;
            }
            seen = now;
            match server_config(&files, self.protocols) {
                Ok(config) => {
                    self.current.store(Arc::new(config));
                    tracing::info!(event = "tls_certificate_reloaded", "TLS certificate reloaded");
                }
                Err(error) => {
                    tracing::error!(
                        event = "tls_certificate_refused",
                        "TLS certificate not reloaded, the old one stays in use: \
                        {error:#}"
                    )
                }
            }
        }
    }
}

fn stamps(files: &Tls) -> Vec<Option<(SystemTime, u64)>> {
    let all = [Some(&files.cert_file), Some(&files.key_file), files.client_ca_file.as_ref()];
    let stamp = |path: &std::path::PathBuf| {
        fs::metadata(path).and_then(|m| Ok((m.modified()?, m.len()))).ok()
    };
    all.into_iter().flatten().map(stamp).collect()
}

fn server_config(files: &Tls, protocols: &'static [&'static [u8]]) -> anyhow::Result<ServerConfig> {
    let chain = certificates(&files.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .with_context(|| format!("no private key in {}", files.key_file.display()))?;
    let builder = ServerConfig::builder();
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .with_context(|| format!("{} holds no CA certificate", path.display()))?;
            }
            builder
                .with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build()?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).with_context(|| {
        format!(
            "{} and {} do not belong together",
            files.cert_file.display(),
            files.key_file.display()
        )
    })?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> Result<Vec<_>, _> { CertificateDer::pem_file_iter(path)?.collect() };
    let chain =
        read().with_context(|| format!("cannot read certificates from {}", path.display()))?;
    if chain.is_empty() { Err(anyhow!("no certificate in {}", path.display())) } else { Ok(chain) }
}

/// A client of the listener with these files: it trusts the certificate in them and no other,
/// whatever name or address the listener is reached by.
///
/// # Errors
/// The certificate cannot be read.
pub fn client_of(files: &Tls) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let leaf = certificates(&files.cert_file)?.swap_remove(0);
    let own = Own { leaf, provider: Arc::clone(&provider) };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(own))
        .with_no_client_auth())
}

/// Trusts one certificate.
#[derive(Debug)]
struct Own {
    leaf: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.leaf {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
