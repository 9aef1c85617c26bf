//! TLS on the applications' side: certificates from PEM files, read again when the files change.
//!
//! Stage 1 of the walk. rustls with aws-lc-rs; HTTP/2 and HTTP/1.1 by ALPN. Guarantees: a bad new
//! file leaves the old certificate in force; open connections keep their certificate. Does not:
//! issue or renew certificates.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::policy::Tls;

/// Interval at which the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Accepts TLS connections with the newest certificate.
#[derive(Clone)]
pub struct TlsAcceptor {
    current: Arc<ArcSwap<ServerConfig>>,
}

impl TlsAcceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// A file is missing, is not PEM, or key and certificate do not belong together.
    pub fn new(files: &Tls) -> anyhow::Result<TlsAcceptor> {
        Ok(TlsAcceptor { current: Arc::new(ArcSwap::new(Arc::new(server_config(files)?))) })
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
            match server_config(&files) {
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

fn server_config(files: &Tls) -> anyhow::Result<ServerConfig> {
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
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> Result<Vec<_>, _> { CertificateDer::pem_file_iter(path)?.collect() };
    let chain =
        read().with_context(|| format!("cannot read certificates from {}", path.display()))?;
    if chain.is_empty() { Err(anyhow!("no certificate in {}", path.display())) } else { Ok(chain) }
}
