//! The way out: proxies, their failures, authorities and client certificates of providers.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    Gateway, Manner, Provider, Proxy, Setup, eventually, jwt, refused_address, secure, step,
    tollgate,
};

const KEY: &str = "sk-gateway-own-key";

fn path(name: &str) -> String {
    secure::file(name).display().to_string()
}

/// A provider's entry with more keys.
fn provider(base: &str, more: &str) -> String {
    format!("openai: {{kind: openai, base_url: \"{base}/v1\", api_key: {KEY}, {more}}}")
}

/// A gateway whose only provider has these keys.
fn start(base: &str, more: &str) -> Gateway {
    let unused = Provider::start();
    setup(&unused).section("providers", &provider(base, more)).start()
}

fn setup(unused: &Provider) -> Setup {
    Setup::new(unused)
        .section("timeouts", "{connect: 2s}")
        .section("retry", "{max_retries: 0}")
        .section("breaker", "{consecutive_failures: 3}")
}

/// `https` with a certificate of the providers' authority.
fn https(provider: &Provider) -> String {
    format!("https://{}", secure::in_front_of(provider.address, "provider.pem"))
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("https://").parse().unwrap()
}

/// Why the only call of an organisation failed.
fn failed(gateway: &Gateway, org: &str) -> String {
    gateway.chat(org, "hi").refused(503, "provider_unavailable");
    let row = |row: &&serde_json::Map<String, Value>| row["org_id"] == org;
    eventually("the call's row", || {
        let rows = gateway.rows(1);
        let row = rows.iter().find(row)?;
        row["attempts_detail"].as_str().map(str::to_owned)
    })
}

#[test]
fn a_proxy_of_an_https_provider_sees_its_name_and_no_key() {
    let real = Provider::start();
    let https = https(&real);
    let proxy = Proxy::towards(address(&https));
    for manner in [Manner::Serves, Manner::ServesSlowly] {
        proxy.behaves(manner);
        let keys = format!(
            "ca_file: \"{}\", proxy: \"http://corp:p%40ss@{}\"",
            path("provider-ca.pem"),
            proxy.address
        );
        let gateway = start(&https, &keys);
        gateway.chat("acme", "hi").ok();
        let shown = gateway.config().to_string();
        assert!(!shown.contains("p%40ss") && shown.contains(&proxy.address.to_string()), "{shown}");
        assert!(!gateway.printed().contains("p%40ss"));
    }
    let target = address(&https);
    let expected = format!(
        "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nproxy-authorization: Basic \
         Y29ycDpwQHNz\r\n\r\n"
    );
    assert_eq!(proxy.heads(), [expected.clone(), expected]);
    assert!(!proxy.has_seen(KEY) && !proxy.has_seen("gpt-4o-mini"));
    for seen in real.wait_for(2) {
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        assert_eq!(
            (seen.header("proxy-authorization"), seen.target.as_str()),
            (None, "/v1/chat/completions")
        );
    }
}

#[test]
fn an_http_provider_is_reached_in_absolute_form() {
    let real = Provider::start();
    let proxy = Proxy::towards(real.address);
    let keys = format!("proxy: \"http://corp:secret@{}\"", proxy.address);
    let gateway = start("http://llm.invalid:8000", &keys);
    for _ in 0..2 {
        gateway.chat("acme", "hi").ok();
    }
    let heads = proxy.heads();
    let begin = "POST http://llm.invalid:8000/v1/chat/completions HTTP/1.1\r\n";
    assert!(heads[0].starts_with(begin), "{heads:?}");
    assert!(heads[0].contains("proxy-authorization: Basic Y29ycDpzZWNyZXQ=\r\n"), "{heads:?}");
    proxy.behaves(Manner::Answers(407));
    let gateway = start("http://llm.invalid:8000", &keys);
    assert!(failed(&gateway, "acme").starts_with("openai proxy_auth "));
}

#[test]
fn every_failure_of_a_proxy_has_its_name_and_opens_no_circuit() {
    let real = Provider::start();
    let https = https(&real);
    let proxy = Proxy::towards(address(&https));
    let keys = |proxy: SocketAddr| {
        format!("ca_file: \"{}\", proxy: \"http://{proxy}\"", path("provider-ca.pem"))
    };
    let gateway = start(&https, &keys(proxy.address));
    for (manner, expected) in [
        (Manner::Answers(407), "proxy_auth"),
        (Manner::Answers(403), "proxy_refused"),
        (Manner::Answers(502), "proxy_refused"),
        (Manner::Answers(503), "proxy_refused"),
        (Manner::Hangs, "proxy_timeout"),
        (Manner::Closes, "proxy_closed"),
        (Manner::Babbles, "proxy_closed"),
    ] {
        proxy.behaves(manner);
        let org = format!("{manner:?}").replace(['(', ')'], "-");
        let detail = failed(&gateway, &org);
        assert!(detail.starts_with(&format!("openai {expected} ")), "{manner:?}: {detail}");
        let series = format!(
            "tollgate_upstream_attempts_total{{outcome=\"{expected}\",provider=\"openai\"}}"
        );
        gateway.reaches(&series, 1.0);
    }
    // More failures of one caller than open its circuit.
    proxy.behaves(Manner::Answers(502));
    (0..5).for_each(|_| gateway.chat("acme", "hi").refused(503, "provider_unavailable"));
    proxy.behaves(Manner::Serves);
    gateway.chat("acme", "hi").ok();
    assert_eq!(gateway.metric("tollgate_breaker_open"), 0.0);

    let gateway = start(&https, &keys(refused_address()));
    assert!(failed(&gateway, "acme").starts_with("openai proxy_connect "));
}

#[test]
fn a_call_is_retried_after_a_failure_of_the_proxy() {
    let (real, unused) = (Provider::start(), Provider::start());
    let proxy = Proxy::towards(real.address);
    proxy.behaves(Manner::Closes);
    let providers = format!(
        "openai: {{base_url: \"https://llm.invalid/v1\", api_key: {KEY}, proxy: \"http://{}\"}}\n\
         direct: {{base_url: \"http://{}/v1\", api_key: {KEY}, proxy: none}}",
        proxy.address, real.address
    );
    let gateway = setup(&unused)
        .section("providers", &providers)
        .section("routing", "{default: [openai, direct]}")
        .section("retry", "{base_delay: 1ms, max_delay: 1ms}")
        .start();
    gateway.chat("acme", "hi").ok();
    let detail = gateway.only_row()["attempts_detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("openai proxy_closed ") && detail.contains("direct ok "),
        "{detail}"
    );
}

#[test]
fn a_proxy_may_speak_tls_and_is_trusted_by_the_machine_s_roots_alone() {
    let real = Provider::start();
    let https = https(&real);
    let proxy = Proxy::towards(address(&https));
    let secured = secure::in_front_of(proxy.address, "provider.pem");
    let keys = format!("ca_file: \"{}\", proxy: \"https://{secured}\"", path("provider-ca.pem"));
    let unused = Provider::start();
    let started = |roots: &str| {
        let setup = setup(&unused).section("providers", &provider(&https, &keys));
        setup.environment("SSL_CERT_FILE", &path(roots)).start()
    };
    started("provider-ca.pem").chat("acme", "hi").ok();
    assert!(failed(&started("ca.pem"), "acme").starts_with("openai proxy_connect "));
}

#[test]
fn the_environment_names_proxies_and_their_exceptions() {
    let real = Provider::start();
    let https = https(&real);
    let proxy = Proxy::towards(address(&https));
    let unused = Provider::start();
    let through = |variables: &[(&str, String)], more: &str| {
        let keys = format!("ca_file: \"{}\"{more}", path("provider-ca.pem"));
        let mut setup = setup(&unused).section("providers", &provider(&https, &keys));
        for (name, value) in variables {
            setup = setup.environment(name, value);
        }
        let before = proxy.heads().len();
        setup.start().chat("acme", "hi").ok();
        proxy.heads().len() - before
    };
    let named = ("HTTPS_PROXY", format!("http://{}", proxy.address));
    let except = |list: &str| [named.clone(), ("NO_PROXY", list.to_owned())];
    assert_eq!(through(std::slice::from_ref(&named), ""), 1);
    assert_eq!(through(&[("https_proxy", proxy.address.to_string())], ""), 1);
    assert_eq!(through(&[("HTTP_PROXY", "http://127.0.0.1:1".to_owned())], ""), 0);
    assert_eq!(through(&except("llm.test, 127.0.0.0/8"), ""), 0);
    assert_eq!(through(&except("*"), ""), 0);
    assert_eq!(through(&except("0.0.0.1"), ""), 1);
    assert_eq!(through(std::slice::from_ref(&named), ", no_proxy: [127.0.0.1]"), 0);
    assert_eq!(through(std::slice::from_ref(&named), ", proxy: none"), 0);
    // An explicit proxy does not look at the variable.
    let explicit = format!(", proxy: \"http://{}\"", proxy.address);
    assert_eq!(through(&except("*"), &explicit), 1);
    assert_eq!(through(&except("*"), &format!("{explicit}, no_proxy: [127.0.0.1]")), 0);
}

#[test]
fn a_variable_or_an_address_that_cannot_be_used_ends_the_start() {
    let refused = |more: &str, variables: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.yaml");
        let text = format!(
            "data_dir: data\nauth: {{accept: [key]}}\nproviders:\n  {}\n",
            provider("https://llm.invalid", more)
        );
        fs::write(&file, text).unwrap();
        let run = |command: &str| {
            let output = tollgate()
                .args([command, "--config", "all.yaml"])
                .envs(variables.iter().copied())
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1), "{command}");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        assert_eq!(run("serve").contains("all.yaml:"), run("check").contains("all.yaml:"));
        run("check")
    };
    let text = refused("proxy: env", &[("HTTPS_PROXY", "socks5://corp:hush@proxy:1")]);
    assert!(
        text.contains("HTTPS_PROXY") && text.contains("http") && !text.contains("hush"),
        "{text}"
    );
    for (more, expected) in [
        ("proxy: \"http://corp:hu sh@proxy\"", "providers.openai.proxy: "),
        ("proxy: \"socks5://proxy:1080\"", "providers.openai.proxy: "),
        ("proxy: sometimes", "providers.openai.proxy: neither env, none nor a URL"),
        (
            "proxy: {url: \"http://corp:hush@proxy\"}",
            "providers.openai.proxy.url: has a user; give it by `username` and `password`",
        ),
        (
            "proxy: {url: \"http://proxy\", username: \"a:b\"}",
            "providers.openai.proxy.username: a proxy whose user has a colon",
        ),
        ("proxy: {username: a}", "providers.openai.proxy: `url` is missing"),
        ("no_proxy: [\"a, b\"]", "providers.openai.no_proxy[0]: "),
        ("ca_file: none.pem", "providers.openai.ca_file: `none.pem` cannot be read"),
        ("ca_file: all.yaml", "providers.openai.ca_file: "),
        ("client_cert_file: a.pem", "give both, or neither"),
    ] {
        let text = refused(more, &[]);
        assert!(text.contains(expected) && !text.contains("hu sh"), "{more}: {text}");
    }
    let key = format!(
        "client_cert_file: \"{}\", client_key_file: \"{}\"",
        path("client.pem"),
        path("first.key")
    );
    let text = refused(&key, &[]);
    assert!(text.contains("does not belong to the private key"), "{text}");
}

#[test]
fn key_sets_and_lists_of_models_take_the_same_way() {
    let real = Provider::start();
    let proxy = Proxy::towards(real.address);
    real.always(step::json(
        200,
        &json!({"object": "list", "data": [{"id": "m1", "object": "model"}]}),
    ));
    let unused = Provider::start();
    let gateway = setup(&unused)
        .section(
            "auth",
            "accept: [jwt]\njwt: {jwks: \"http://issuer.invalid/jwks\", algorithms: [ES256], \
            secret: \"\"}",
        )
        .section("providers", &provider("http://llm.invalid", ""))
        .environment("HTTP_PROXY", &proxy.address.to_string())
        .start();
    // A token of a key that the set does not have: the set is asked for.
    let header = "eyJhbGciOiJFUzI1NiIsImtpZCI6InEifQ";
    let token = format!("{header}.eyJvcmdfaWQiOiJhY21lIn0.AAAA");
    gateway.send("GET", "/v1/models", &[("authorization", &format!("Bearer {token}"))], b"");
    let heads = proxy.heads();
    assert!(
        heads.iter().any(|head| head.starts_with("GET http://issuer.invalid/jwks ")),
        "{heads:?}"
    );

    let gateway = setup(&unused)
        .section("providers", &provider("http://llm.invalid", ""))
        .environment("HTTP_PROXY", &proxy.address.to_string())
        .start();
    let bearer = format!("Bearer {}", jwt("acme"));
    let list = gateway.send("GET", "/v1/models", &[("authorization", &bearer)], b"");
    assert!(list.ok().text().contains("m1"), "{}", list.text());
}

#[test]
fn a_certificate_behind_a_proxy_is_told_with_its_issuer() {
    let real = Provider::start();
    let https = https(&real);
    let proxy = Proxy::towards(address(&https));
    let keys = format!("ca_file: \"{}\", proxy: \"http://{}\"", path("ca.pem"), proxy.address);
    let gateway = start(&https, &keys);
    assert!(failed(&gateway, "acme").starts_with("openai connect "));
    let printed = gateway.printed();
    let told = printed.lines().find(|line| line.contains("could not be secured")).expect(&printed);
    assert!(told.contains(&format!("through proxy http://{}", proxy.address)), "{told}");
    assert!(told.contains("CN=Tollgate test CA of providers"), "{told}");
}

/// A `ca_file` is trusted instead of the machine's roots.
#[test]
fn an_authority_of_a_provider_replaces_those_of_the_machine() {
    let real = Provider::start();
    let https = https(&real);
    let unused = Provider::start();
    let started = |ca: &str| {
        let keys = format!("ca_file: \"{}\"", path(ca));
        setup(&unused)
            .section("providers", &provider(&https, &keys))
            .environment("SSL_CERT_FILE", &path("provider-ca.pem"))
            .start()
    };
    started("provider-ca.pem").chat("acme", "hi").ok();
    assert!(failed(&started("ca.pem"), "acme").starts_with("openai protocol "));
}

#[test]
fn a_client_certificate_is_shown_to_its_provider_only() {
    let real = Provider::start();
    let asks = secure::that_asks(real.address, "provider.pem", "ca.pem");
    let identity = format!(
        "client_cert_file: \"{}\", client_key_file: \"{}\"",
        path("client.pem"),
        path("client.key")
    );
    let ca = path("provider-ca.pem");
    let providers = format!(
        "known: {{base_url: \"https://{asks}/v1\", api_key: {KEY}, ca_file: \"{ca}\", \
            {identity}}}\n\
         unknown: {{base_url: \"https://{asks}/v1\", api_key: {KEY}, ca_file: \"{ca}\"}}"
    );
    let unused = Provider::start();
    let gateway = setup(&unused)
        .section("providers", &providers)
        .section("routing", "models: [{match: unknown, to: [unknown]}]\ndefault: [known]")
        .start();
    gateway.chat("acme", "hi").ok();
    // The same address, and a connection to it is idle.
    let body = json!({"model": "unknown", "messages": [{"role": "user", "content": "hi"}]});
    let reply = gateway.post("/v1/chat/completions", &jwt("globex"), &body);
    reply.refused(503, "provider_unavailable");
    let rows = gateway.rows(2);
    let detail =
        rows.iter().find(|row| row["org_id"] == "globex").unwrap()["attempts_detail"].clone();
    assert!(detail.as_str().unwrap().starts_with("unknown tls "), "{detail}");
    gateway.chat("acme", "hi").ok();
}

#[test]
fn a_demanded_client_certificate_is_told_with_http_2_as_well() {
    let real = Provider::start();
    let asks = secure::that_asks_in_h2(real.address, "provider.pem", "ca.pem");
    let keys = format!("ca_file: \"{}\"", path("provider-ca.pem"));
    let gateway = start(&format!("https://{asks}"), &keys);
    for n in 0..3 {
        let detail = failed(&gateway, &format!("org-{n}"));
        assert!(detail.starts_with("openai tls "), "{detail}");
    }
}

fn install(folder: &Path, from: &str, to: &str) {
    let new = folder.join("new");
    fs::copy(secure::file(from), &new).unwrap();
    fs::rename(new, folder.join(to)).unwrap();
}

#[test]
fn changed_files_are_used_by_new_connections_and_broken_ones_are_not() {
    let real = Provider::start();
    let asks = secure::that_asks(real.address, "provider.pem", "ca.pem");
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "ca.pem", "roots.pem");
    install(folder.path(), "first.pem", "client.pem");
    install(folder.path(), "first.key", "client.key");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let keys = format!(
        "ca_file: \"{}\", client_cert_file: \"{}\", client_key_file: \"{}\"",
        file("roots.pem"),
        file("client.pem"),
        file("client.key")
    );
    let gateway = start(&format!("https://{asks}"), &keys);
    assert!(failed(&gateway, "first").starts_with("openai protocol "), "a wrong authority");
    install(folder.path(), "provider-ca.pem", "roots.pem");
    // `first` is signed by the same authority as `client`, for a server; it is no client.
    install(folder.path(), "client.pem", "client.pem");
    eventually("the key of another certificate is told", || {
        gateway.config().to_string().contains("does not belong to the private key").then_some(())
    });
    gateway.counts("tollgate_files_refused", 1.0);
    assert!(
        failed(&gateway, "second").starts_with("openai protocol "),
        "the old files are in force"
    );
    install(folder.path(), "client.key", "client.key");
    eventually("the new files", || (gateway.chat("third", "hi").status == 200).then_some(()));
    fs::write(folder.path().join("roots.pem"), "-----BEGIN RUBBISH").unwrap();
    eventually("the broken file", || {
        gateway.config().to_string().contains("roots.pem").then_some(())
    });
    gateway.chat("third", "hi").ok();
}
