//! TLS on the operators' side: sign-in, cookies, certificates that change, the commands that ask
//! there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::access::sha256;
use crate::support::secure::file;
use crate::support::{Connection, DEADLINE, Gateway, Provider, Setup, eventually, tollgate};

fn install(folder: &Path, name: &str) {
    for (from, to) in [(format!("{name}.key"), "key.pem"), (format!("{name}.pem"), "cert.pem")] {
        std::fs::copy(file(&from), folder.join("new")).unwrap();
        std::fs::rename(folder.join("new"), folder.join(to)).unwrap();
    }
}

/// A gateway with a token `t`, and with the certificate `provider` in a folder of its own.
fn start(provider: &Provider) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "provider");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let admin = format!(
        "{{tls: {{cert_file: \"{}\", key_file: \"{}\"}}, access: {{tokens: [{{name: a, role: \
         operator, sha256: {}}}]}}}}",
        path("cert.pem"),
        path("key.pem"),
        sha256("t")
    );
    (Setup::new(provider).setting("admin", &admin).start(), folder)
}

/// A client that trusts the tests' authorities, and the name by which it looks for the gateway.
fn handshake(
    gateway: &Gateway,
    name: &str,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in ["ca.pem", "provider-ca.pem"] {
        roots.add(CertificateDer::from_pem_file(file(authority)).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(gateway.operators)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(tls, stream))
}

/// A request, and the whole answer as text.
fn ask(gateway: &Gateway, method: &str, path: &str, more: &str, body: &str) -> String {
    let mut stream = handshake(gateway, "127.0.0.1").expect("a handshake");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: \
         {length}\r\n{more}\r\n{body}",
        gateway.operators
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end that is told");
    String::from_utf8(answer).unwrap()
}

/// Runs a command; its exit code and all that it prints.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tollgate();
    command.args(arguments).env("TOLLGATE_TOKEN", "t").stdin(Stdio::null());
    let output = command.output().expect("run");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn operators_sign_in_over_tls_and_the_certificate_may_change() {
    let provider = Provider::start();
    let (gateway, folder) = start(&provider);
    gateway.chat("acme", "hi").ok();
    assert!(ask(&gateway, "GET", "/healthz", "", "").starts_with("HTTP/1.1 200"));
    assert!(ask(&gateway, "GET", "/api/config", "", "").starts_with("HTTP/1.1 401"));
    let form = "content-type: application/x-www-form-urlencoded\r\nsec-fetch-site: same-origin\r\n";
    let signed_in = ask(&gateway, "POST", "/sign-in", form, "token=t");
    let cookie = signed_in.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("a cookie: {signed_in}"));
    assert!(cookie.starts_with("__Host-tollgate_session=") && cookie.ends_with("; Secure"));
    let pair = cookie.split(';').next().unwrap();
    // Longer than one piece of an answer.
    let own = format!(
        "cookie: {pair}\r\nsec-fetch-site: same-origin\r\norigin: https://{}\r\n",
        gateway.operators
    );
    let script = ask(&gateway, "GET", "/assets/uplot.js", &own, "");
    let (head, body) = script.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, include_str!("../../src/admin/assets/uplot/uPlot.iife.min.js"));
    assert!(ask(&gateway, "POST", "/api/reload", &own, "").starts_with("HTTP/1.1 200"));

    // The commands that ask there, by address.
    let (config, address) = (gateway.folder().display().to_string(), gateway.operators.to_string());
    let healthy = || run(&["healthcheck", "--config", &config, "--addr", &address]);
    assert_eq!(healthy(), (Some(0), String::new()));
    assert_eq!(run(&["healthcheck", "--addr", &address]).0, Some(1), "plain HTTP");
    let (url, authority) =
        (format!("https://{address}"), file("provider-ca.pem").display().to_string());
    // The row of the call is stored a moment after its answer.
    eventually("a picture with the call", || {
        let (code, text) = run(&["top", "--once", "--url", &url, "--ca-file", &authority]);
        assert_eq!(code, Some(0), "{text}");
        text.contains("acme").then_some(())
    });
    let (code, text) = run(&["top", "--once", "--url", &url]);
    assert!(code == Some(1) && text.contains("certificate"), "{text}");

    // Without TLS there is no answer, and the side stays open.
    let mut plain = Connection::open(gateway.operators);
    plain.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(plain.head_or_rubbish().is_none_or(|status| status >= 400));

    install(folder.path(), "first");
    eventually("the new certificate", || handshake(&gateway, "gateway.test").ok());
    assert_eq!(healthy(), (Some(0), String::new()));
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    let (code, text) = run(&["check", "--config", &config]);
    assert!(code == Some(1) && text.contains("admin.tls.cert_file"), "{text}");
}

#[test]
fn the_warnings_and_the_rules_know_the_tls_of_operators() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("policies")).unwrap();
    std::fs::write(
        folder.path().join("policies/p.yaml"),
        "auth: {accept: [passthrough]}\nproviders: {p: {base_url: \"http://127.0.0.1:1/v1\"}}\n\
         routing: {default: [p]}\n",
    )
    .unwrap();
    install(folder.path(), "first");
    let path = folder.path().display().to_string();
    let check = |admin: &str| {
        let tokens = format!("tokens: [{{name: a, role: viewer, sha256: {}}}]", sha256("x"));
        let settings = format!(
            "admin_listen: 0.0.0.0:9090\nadmin: {{access: {{{tokens}}}{admin}}}\ndata_dir: \
             {path}/data\n"
        );
        std::fs::write(folder.path().join("gateway.yaml"), settings).unwrap();
        run(&["check", "--config", &path])
    };
    let tls = format!(", tls: {{cert_file: {path}/cert.pem, key_file: {path}/key.pem}}");
    let (code, text) = check("");
    assert!(code == Some(0) && text.contains("admin_listen: 0.0.0.0:9090 is open"), "{text}");
    let (code, text) = check(&tls);
    assert!(code == Some(0) && !text.contains("admin_listen:"), "{text}");
    let (code, text) = check(&format!("{tls}, public_url: \"HTTPS://Gate.example\""));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = check(&format!("{tls}, public_url: \"http://gate.example\""));
    assert!(code == Some(1) && text.contains("browsers come by https"), "{text}");
    // A pair that does not belong together.
    std::fs::copy(file("second.key"), folder.path().join("key.pem")).unwrap();
    let (code, text) = check(&tls);
    assert!(code == Some(1) && text.contains("do not belong together"), "{text}");
}
