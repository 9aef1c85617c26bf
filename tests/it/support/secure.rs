//! TLS in front of something plain: what a provider behind `https` looks like, with a certificate
//! that may be bad.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A file of the tests' certificates.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

/// Listens with this certificate for the providers' key, and passes what it hears on to a plain
/// address. It ends with the process of the tests.
pub fn in_front_of(plain: SocketAddr, certificate: &str) -> SocketAddr {
    asking(plain, certificate, None)
}

/// The same, and asks its clients for a certificate of this authority.
pub fn that_asks(plain: SocketAddr, certificate: &str, authority: &str) -> SocketAddr {
    asking(plain, certificate, Some((authority, &b"http/1.1"[..])))
}

/// The same, and asks for HTTP/2, which its plain address need not speak: clients without a
/// certificate do not get there.
pub fn that_asks_in_h2(plain: SocketAddr, certificate: &str, authority: &str) -> SocketAddr {
    asking(plain, certificate, Some((authority, &b"h2"[..])))
}

/// `clients`: the authority of their certificates, and the protocol.
fn asking(plain: SocketAddr, certificate: &str, clients: Option<(&str, &[u8])>) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(file(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("provider.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((authority, _)) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(file(authority)).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols.extend(clients.map(|(_, protocol)| protocol.to_vec()));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::task::spawn(async move {
                    let mut stream = match acceptor.accept(stream).into_fallible().await {
                        Ok(stream) => stream,
                        Err((_, mut stream)) => {
                            // With bytes unread, the end would be a reset, and the alert lost.
                            stream.shutdown().await.ok()?;
                            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok()?;
                            return None;
                        }
                    };
                    let mut plain = TcpStream::connect(plain).await.ok()?;
                    tokio::io::copy_bidirectional(&mut stream, &mut plain).await.ok()
                });
            }
        });
    });
    address
}
