//! TLS of outbound connections: trusted roots, client certificates.
//!
//! Guarantees: a `ca_file` is trusted instead of the machine's roots, not besides; key and
//! certificate of a client belong together; new content of the files is used by new connections
//! within a second, and content that cannot be used leaves the one before in force; an error about
//! a certificate names its issuer. Does not: skip verification, ever.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};

use super::issuer::issuer;
use crate::bounds::PEM_FILE_BYTES_MAX;
use crate::live::{Content, Kind, Live, LiveFiles, Wrong};

/// The files of a destination's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Trusted roots, instead of the machine's.
    pub ca: Option<PathBuf>,
    /// Certificate chain and private key of the client.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The TLS of connections to a destination.
#[derive(Clone, Debug)]
pub struct ClientTls(Held);

#[derive(Clone)]
enum Held {
    Machine,
    Files(Arc<Live<ClientConfig>>),
}

/// A certificate of the client, and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

static CA: Kind<ClientConfig> = Kind {
    name: "CA certificates",
    bytes_max: PEM_FILE_BYTES_MAX,
    private: None,
    read: |contents| config(&contents[0], None, 0),
};

static CLIENT: Kind<ClientConfig> = Kind {
    name: "client certificate",
    bytes_max: PEM_FILE_BYTES_MAX,
    private: Some(1),
    read: |contents| match identity(&contents[0], &contents[1], 0) {
        Ok(identity) => finish(machine_roots(), Some(identity), 0),
        Err(wrong) => Err(wrong),
    },
};

static CA_AND_CLIENT: Kind<ClientConfig> = Kind {
    name: "CA certificates and client certificate",
    bytes_max: PEM_FILE_BYTES_MAX,
    private: Some(2),
    read: |contents| {
        let identity = identity(&contents[1], &contents[2], 1)?;
        config(&contents[0], Some(identity), 1)
    },
};

/// The machine's trusted roots; Mozilla's where there are none, as in an empty container.
static MACHINE: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut store = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A root that cannot be parsed is left out; it could not verify anything.
        drop(store.add(certificate));
    }
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Arc::new(store)
});

/// HTTP/2 and HTTP/1.1, with the machine's roots.
static MACHINE_CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let made = finish(machine_roots(), None, 0);
    // Without a client certificate nothing can fail but an empty list of roots.
    Arc::new(made.unwrap_or_else(|_| {
        ClientConfig::builder().with_root_certificates(machine_roots()).with_no_client_auth()
    }))
});

/// The same for proxies, which speak HTTP/1.1.
static PROXY_CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut config = ClientConfig::clone(&MACHINE_CONFIG);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
});

/// The machine's trusted roots, read once.
pub fn machine_roots() -> Arc<RootCertStore> {
    Arc::clone(&MACHINE)
}

/// The TLS of connections to proxies themselves.
pub(crate) fn proxy_config() -> Arc<ClientConfig> {
    Arc::clone(&PROXY_CONFIG)
}

/// The certificates in PEM.
///
/// # Errors
/// `reason; remedy`
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let list = read.map_err(|error| format!("is not PEM ({error}); give certificates in PEM"))?;
    if list.is_empty() {
        return Err("holds no certificate; give certificates in PEM".to_owned());
    }
    Ok(list)
}

/// A store of trusted roots from PEM.
///
/// # Errors
/// `reason; remedy`
pub fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        let added = store.add(certificate);
        added.map_err(|error| {
            format!("holds a certificate that cannot be used ({error}); give CA certificates")
        })?;
    }
    Ok(store)
}

/// The machine's store, or one of these files alone. For clients that take PEM themselves, the
/// content of each file can be checked with [`certificates`].
fn config(ca: &Content, identity: Option<Identity>, client: usize) -> Result<ClientConfig, Wrong> {
    let roots = roots(ca).map_err(|reason| (0, reason))?;
    finish(Arc::new(roots), identity, client)
}

fn identity(chain: &Content, key: &Content, first: usize) -> Result<Identity, Wrong> {
    let chain = certificates(chain).map_err(|reason| (first, reason))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        let reason = "holds no private key; give one in PEM (PKCS#8, PKCS#1 or SEC1) without a \
            password";
        (first + 1, reason.to_owned())
    })?;
    Ok((chain, key))
}

fn finish(
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
    client: usize,
) -> Result<ClientConfig, Wrong> {
    let verifier = WebPkiServerVerifier::builder(roots).build();
    let inner =
        verifier.map_err(|error| (0, format!("cannot be used: {error}; give other CAs")))?;
    let verifier = Arc::new(NamesIssuer { inner });
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            (client, format!("does not belong to the private key ({error}); give both of a pair"))
        })?,
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl ClientTls {
    /// The machine's roots and no client certificate.
    pub fn machine() -> ClientTls {
        ClientTls(Held::Machine)
    }

    /// The TLS of these files, as they are at each connection.
    ///
    /// # Errors
    /// `reason; remedy`: a file cannot be read or used.
    pub fn of(files: &LiveFiles, tls: &TlsFiles) -> Result<ClientTls, String> {
        let (kind, paths) = match (tls.ca.clone(), tls.client.clone()) {
            (None, None) => return Ok(ClientTls::machine()),
            (Some(ca), None) => (&CA, vec![ca]),
            (None, Some((chain, key))) => (&CLIENT, vec![chain, key]),
            (Some(ca), Some((chain, key))) => (&CA_AND_CLIENT, vec![ca, chain, key]),
        };
        files.open(kind, paths).map(|live| ClientTls(Held::Files(live)))
    }

    /// The configuration of a new connection. Another one after a change of the files.
    pub fn config(&self) -> Arc<ClientConfig> {
        match &self.0 {
            Held::Machine => Arc::clone(&MACHINE_CONFIG),
            Held::Files(live) => live.load_full(),
        }
    }

    /// Whether connections that were made with a configuration may still be used.
    pub fn is(&self, config: &Arc<ClientConfig>) -> bool {
        match &self.0 {
            Held::Machine => Arc::ptr_eq(config, &MACHINE_CONFIG),
            Held::Files(live) => Arc::ptr_eq(config, &live.load()),
        }
    }

    /// The files.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        match &self.0 {
            Held::Machine => &[],
            Held::Files(live) => live.paths(),
        }
    }

    /// The name of the set of files.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.0 {
            Held::Machine => "",
            Held::Files(live) => live.kind(),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Machine => f.write_str("machine"),
            Held::Files(live) => live.fmt(f),
        }
    }
}

/// Verifies as webpki does, and names the issuer of a certificate that does not verify: behind a
/// proxy that inspects TLS, it is the name of the authority to add.
#[derive(Debug)]
struct NamesIssuer {
    inner: Arc<WebPkiServerVerifier>,
}

/// A certificate that does not verify.
#[derive(Debug)]
struct Untrusted {
    reason: CertificateError,
    issuer: String,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reason, issuer) = (&self.reason, &self.issuer);
        write!(f, "invalid peer certificate: {reason}; the certificate names the issuer `{issuer}`")
    }
}

impl StdError for Untrusted {}

impl ServerCertVerifier for NamesIssuer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        verified.map_err(|error| match (error, issuer(end_entity)) {
            (rustls::Error::InvalidCertificate(reason), Some(issuer)) => {
                let told = OtherError(Arc::new(Untrusted { reason, issuer }));
                rustls::Error::InvalidCertificate(CertificateError::Other(told))
            }
            (error, _) => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
