//! TLS on the applications' side: both protocols, certificates that change while calls run,
//! certificates of clients.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;

use crate::support::{
    Connection, DEADLINE, Gateway, Provider, Setup, chat, eventually, jwt, request,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap()
}

/// A gateway with TLS whose certificate lies in its own folder, so that it can be exchanged.
fn start(provider: &Provider, more: &str) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "first");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tls =
        format!("{{cert_file: \"{}\", key_file: \"{}\"{more}}}", path("cert.pem"), path("key.pem"));
    (Setup::new(provider).setting("tls", &tls).start(), folder)
}

fn install(folder: &Path, name: &str) {
    for (from, to) in [(format!("{name}.key"), "key.pem"), (format!("{name}.pem"), "cert.pem")] {
        std::fs::copy(file(&from), folder.join("new")).unwrap();
        std::fs::rename(folder.join("new"), folder.join(to)).unwrap();
    }
}

fn client_config() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca")).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// A client that trusts the tests' authority and has no certificate of its own.
fn trusting() -> ClientConfig {
    client_config().with_no_client_auth()
}

/// A handshake; the error where there is one.
fn handshake(
    gateway: &Gateway,
    protocols: &[&[u8]],
    client: Option<&str>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut config = match client {
        None => trusting(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
            client_config().with_client_auth_cert(vec![certificate(name)], key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let mut tls =
        ClientConnection::new(Arc::new(config), ServerName::try_from("gateway.test").unwrap())
            .unwrap();
    let mut stream = TcpStream::connect(gateway.apps)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(tls, stream))
}

/// A chat call over TLS; the first line of the answer, or nothing where the connection was closed.
fn ask(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> Option<String> {
    let bearer = format!("Bearer {}", jwt("acme"));
    let bytes = request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        chat("hi").to_string().as_bytes(),
    );
    stream.write_all(&bytes).ok()?;
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut line).ok()?;
    (!line.is_empty()).then(|| line.trim().to_owned())
}

#[test]
fn calls_over_tls_and_the_protocol_is_agreed() {
    let provider = Provider::start();
    let (gateway, _folder) = start(&provider, "");
    let mut stream = handshake(&gateway, &[b"http/1.1"], None).unwrap();
    assert_eq!(ask(&mut stream).as_deref(), Some("HTTP/1.1 200 OK"));
    let both = handshake(&gateway, &[b"h2", b"http/1.1"], None).unwrap();
    assert_eq!(both.conn.alpn_protocol(), Some(&b"h2"[..]));
    let none = handshake(&gateway, &[], None);
    assert_eq!(ask(&mut none.unwrap()).as_deref(), Some("HTTP/1.1 200 OK"));
    // Plain HTTP on a TLS port is closed, and harms nobody.
    let mut plain = Connection::open(gateway.apps);
    plain.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(plain.head_or_rubbish().is_none_or(|status| status >= 400));
    let mut stream = handshake(&gateway, &[], None).unwrap();
    assert_eq!(ask(&mut stream).as_deref(), Some("HTTP/1.1 200 OK"));
}

/// The certificate that a new connection gets.
fn shown(gateway: &Gateway) -> Option<CertificateDer<'static>> {
    handshake(gateway, &[], None).ok()?.conn.peer_certificates()?.first().cloned()
}

#[test]
fn a_new_certificate_is_taken_up_while_the_old_connection_lives() {
    let provider = Provider::start();
    let (gateway, folder) = start(&provider, "");
    let mut old = handshake(&gateway, &[], None).unwrap();
    assert_eq!(shown(&gateway), Some(certificate("first")));
    install(folder.path(), "second");
    eventually("the new certificate", || {
        (shown(&gateway) == Some(certificate("second"))).then_some(())
    });
    assert_eq!(ask(&mut old).as_deref(), Some("HTTP/1.1 200 OK"));
}

#[test]
fn a_broken_certificate_file_changes_nothing() {
    let provider = Provider::start();
    let (gateway, folder) = start(&provider, "");
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    eventually("the look at it", || {
        gateway.printed().contains("TLS certificate not reloaded").then_some(())
    });
    assert_eq!(shown(&gateway), Some(certificate("first")));
}

#[test]
fn clients_without_a_certificate_are_refused_where_one_is_asked_for() {
    let provider = Provider::start();
    let (gateway, _folder) =
        start(&provider, &format!(", client_ca_file: \"{}\"", file("ca.pem").display()));
    let mut known = handshake(&gateway, &[], Some("client")).unwrap();
    assert_eq!(ask(&mut known).as_deref(), Some("HTTP/1.1 200 OK"));
    // In TLS 1.3 the client learns of it with its first read.
    let unknown = handshake(&gateway, &[], None).ok().and_then(|mut stream| ask(&mut stream));
    assert_eq!(unknown, None);
    assert_eq!(provider.seen().len(), 1);
}

/// The first bytes of a handshake.
fn hello() -> Vec<u8> {
    let mut tls =
        ClientConnection::new(Arc::new(trusting()), ServerName::try_from("gateway.test").unwrap())
            .unwrap();
    let mut bytes = vec![];
    tls.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_handshake_in_single_bytes_is_a_handshake() {
    let provider = Provider::start();
    let (gateway, _folder) = start(&provider, "");
    let mut tls =
        ClientConnection::new(Arc::new(trusting()), ServerName::try_from("gateway.test").unwrap())
            .unwrap();
    let mut stream = TcpStream::connect(gateway.apps).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    while tls.is_handshaking() {
        let mut bytes = vec![];
        while tls.wants_write() {
            tls.write_tls(&mut bytes).unwrap();
        }
        for byte in bytes {
            stream.write_all(&[byte]).unwrap();
        }
        if tls.is_handshaking() {
            assert!(tls.read_tls(&mut stream).unwrap() > 0, "closed in the handshake");
            tls.process_new_packets().unwrap();
        }
    }
    assert_eq!(ask(&mut StreamOwned::new(tls, stream)).as_deref(), Some("HTTP/1.1 200 OK"));
}

#[test]
fn what_is_no_handshake_is_closed_and_harms_nobody() {
    let provider = Provider::start();
    let (gateway, _folder) = start(&provider, "");
    let stage = |what: &str| {
        let mut stream =
            handshake(&gateway, &[], None).unwrap_or_else(|error| panic!("after {what}: {error}"));
        assert_eq!(ask(&mut stream).as_deref(), Some("HTTP/1.1 200 OK"), "after {what}");
    };
    stage("the start");
    let files = gateway.open_files();
    let hello = hello();
    let mut flipped = hello.clone();
    flipped.iter_mut().skip(5).step_by(3).for_each(|byte| *byte ^= 0x55);
    // Records of SSL 2 and 3, noise, a hello that is cut or spoiled: each is closed, whether at
    // once or by the timer.
    let table: [(&str, Vec<u8>); 6] = [
        ("plain HTTP", b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        (
            "SSL 2",
            vec![
                0x80, 0x2e, 0x01, 0x00, 0x02, 0x00, 0x15, 0x00, 0x00, 0x00, 0x10, 0x01, 0x00, 0x80,
            ],
        ),
        (
            "SSL 3",
            [&[0x16, 0x03, 0x00, 0x00, 0x2f, 0x01, 0x00, 0x00, 0x2b, 0x03, 0x00][..], &[7; 36]]
                .concat(),
        ),
        ("a hello that is spoiled", flipped),
        ("a hello that stalls", hello[..hello.len() / 2].to_vec()),
        ("nothing", vec![]),
    ];
    let open = table.map(|(what, bytes)| {
        let mut stream = TcpStream::connect(gateway.apps).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&bytes).unwrap();
        (what, stream)
    });
    stage("all of them");
    for (what, mut stream) in open {
        // An alert at most, then the end.
        let mut said = vec![];
        let ended = std::io::Read::read_to_end(&mut stream, &mut said);
        let timed_out = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out && said.len() <= 7, "{what}: {said:?}");
        stage(what);
    }
    eventually("descriptors as before", || (gateway.open_files() <= files + 2).then_some(()));
    // A name that is not sent is no hindrance: there is one certificate.
    let mut config = trusting();
    config.enable_sni = false;
    let mut tls =
        ClientConnection::new(Arc::new(config), ServerName::try_from("gateway.test").unwrap())
            .unwrap();
    let mut stream = TcpStream::connect(gateway.apps).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).unwrap();
    }
    assert_eq!(ask(&mut StreamOwned::new(tls, stream)).as_deref(), Some("HTTP/1.1 200 OK"));
}

#[test]
fn a_long_body_can_be_sent_to_its_end_after_a_refusal_over_tls() {
    let provider = Provider::start();
    let (gateway, _folder) = start(&provider, "");
    let mut stream = handshake(&gateway, &[b"http/1.1"], None).unwrap();
    let length = 8 << 20;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer \
            tg-unknown\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The answer, and the end that it announces.
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    // All of the body is taken; then the connection ends, and is not reset.
    stream.write_all(&vec![b'x'; length]).unwrap();
    stream.flush().unwrap();
    assert_eq!(stream.sock.read(&mut [0; 1]).unwrap(), 0);
    assert!(provider.seen().is_empty());
}
