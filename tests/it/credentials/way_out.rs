//! The way to token endpoints: proxies and authorities of their providers, and addresses of the
//! machine, which have neither.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{last_row, setup, token};
use crate::support::step::{self, Step};
use crate::support::{Gateway, Manner, Provider, Proxy, eventually, secure};

const PEM: &str = include_str!("../cloud/service-account.pem");

/// `https` in front of a double, with a certificate of the providers' authority.
fn https(double: &Provider) -> String {
    format!("https://{}", secure::in_front_of(double.address, "provider.pem"))
}

fn path(name: &str) -> String {
    secure::file(name).display().to_string()
}

/// A provider of kind azure_openai with a secret, and with these other keys.
fn azure(llm: &str, entra: &str, more: &str) -> String {
    format!(
        "azure: {{kind: azure_openai, base_url: \"{llm}\", auth: {{type: entra, tenant_id: t, \
         client_id: c, client_secret: entra-secret, token_url: \"{entra}/t/token\"}}, {more}}}\n"
    )
}

fn openai(at: &Provider) -> String {
    format!("openai: {{base_url: \"http://{}/v1\", api_key: sk-other-key}}\n", at.address)
}

fn sts() -> Step {
    let xml = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
               <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
               <SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>\
               </Credentials></AssumeRoleWithWebIdentityResult>\
               </AssumeRoleWithWebIdentityResponse>";
    step::with_headers(200, &[("content-type", "text/xml")], xml.as_bytes())
}

/// The time that is left of a provider's credential is known, so it was fetched.
fn is_fetched(gateway: &Gateway, provider: &str) {
    let metric = format!("tollgate_provider_credential_expires_seconds{{provider=\"{provider}\"}}");
    eventually("the credential", || (gateway.metric(&metric) > 0.0).then_some(()));
}

#[test]
fn every_cloud_is_asked_through_the_proxy_and_verified_by_the_authority_of_its_provider() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let key = json!({"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com",
        "private_key": PEM, "private_key_id": "k1", "token_uri": "https://token.invalid/"});
    let (key, web) = (file("key.json", &key.to_string()), file("web", "eyJ.web.identity"));
    let entra = "azure_openai; type: entra, tenant_id: t, client_id: c, client_secret: a-secret";
    let gcp = format!("gemini; type: gcp, service_account_file: \"{key}\"");
    let aws = "bedrock; type: aws, region: eu-central-1, credentials: web_identity";
    for (keys, answer, form) in [
        (entra, token("tok", 3600), "client_secret=a-secret"),
        (aws, sts(), "WebIdentityToken=eyJ.web.identity"),
        (gcp.as_str(), token("tok", 3600), "assertion=eyJ"),
    ] {
        let (llm, endpoint, proxy) = (Provider::start(), Provider::start(), Proxy::to_all());
        endpoint.always(answer);
        let at = https(&endpoint);
        let (kind, auth) = keys.split_once("; ").unwrap();
        let provider = format!(
            "cloud: {{kind: {kind}, base_url: \"{}\", auth: {{{auth}, token_url: \"{at}/token\"}}, \
             ca_file: \"{}\", proxy: \"http://corp:p%40ss@{}\"}}",
            https(&llm),
            path("provider-ca.pem"),
            proxy.address
        );
        // The machine trusts another authority.
        let gateway = setup(&llm, &provider, "{provider: cloud, model: m}")
            .environment("SSL_CERT_FILE", &path("ca.pem"))
            .environment("AWS_WEB_IDENTITY_TOKEN_FILE", &web)
            .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/tollgate")
            .start();
        is_fetched(&gateway, "cloud");
        let asked = endpoint.only();
        assert_eq!((&*asked.method, &*asked.target), ("POST", "/token"));
        assert!(asked.text().contains(form), "{}", asked.text());
        let target = at.trim_start_matches("https://");
        let head = format!(
            "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nproxy-authorization: Basic \
             Y29ycDpwQHNz\r\n\r\n"
        );
        assert_eq!(proxy.heads(), [head]);
        assert!(!proxy.has_seen(form) && !gateway.printed().contains("p%40ss"));
        assert_eq!(asked.header("proxy-authorization"), None);
    }
}

#[test]
fn a_call_and_its_token_take_the_same_way() {
    let (llm, entra, proxy) = (Provider::start(), Provider::start(), Proxy::to_all());
    entra.always(token("ey.access", 3600));
    let more =
        format!("ca_file: \"{}\", proxy: \"http://{}\"", path("provider-ca.pem"), proxy.address);
    let (at, of_tokens) = (https(&llm), https(&entra));
    let gateway = setup(&llm, &azure(&at, &of_tokens, &more), "azure").start();
    gateway.chat("acme", "hi").ok();
    assert_eq!(llm.only().header("authorization"), Some("Bearer ey.access"));
    let connected = |to: &str| {
        let line = format!("CONNECT {} ", to.trim_start_matches("https://"));
        proxy.heads().iter().filter(|head| head.starts_with(&line)).count()
    };
    assert_eq!((connected(&of_tokens), connected(&at), proxy.heads().len()), (1, 1, 2));
}

fn install(folder: &Path, from: &str) {
    let new = folder.join("new");
    fs::copy(secure::file(from), &new).unwrap();
    fs::rename(new, folder.join("roots.pem")).unwrap();
}

#[test]
fn a_token_endpoint_of_another_authority_gets_no_secret_until_the_file_is_replaced() {
    let (llm, other, entra) = (Provider::start(), Provider::start(), Provider::start());
    entra.always(token("ey.access", 3600));
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "ca.pem");
    let more = format!("ca_file: \"{}\"", folder.path().join("roots.pem").display());
    let at = format!("http://{}", llm.address);
    let providers = azure(&at, &https(&entra), &more) + &openai(&other);
    // The machine would trust it.
    let gateway = setup(&llm, &providers, "azure, openai")
        .environment("SSL_CERT_FILE", &path("provider-ca.pem"))
        .start();
    gateway.chat("acme", "hi").ok();
    let row = last_row(&gateway, 1);
    let detail = row["attempts_detail"].as_str().unwrap();
    assert!(detail.starts_with("azure key_refused, openai ok "), "{detail}");
    assert!(llm.seen().is_empty() && entra.seen().is_empty());
    gateway.prints("CN=Tollgate test CA of providers");
    install(folder.path(), "provider-ca.pem");
    is_fetched(&gateway, "azure");
    gateway.chat("acme", "hi").ok();
    assert_eq!(llm.only().header("authorization"), Some("Bearer ey.access"));
}

#[test]
fn a_proxy_that_fails_is_named_and_is_no_failure_of_the_provider() {
    for (manner, reason) in [
        (Manner::Answers(407), "proxy_auth"),
        (Manner::Answers(403), "proxy_refused"),
        (Manner::Closes, "proxy_closed"),
        (Manner::Hangs, ""),
    ] {
        let (llm, other, entra) = (Provider::start(), Provider::start(), Provider::start());
        let proxy = Proxy::to_all();
        proxy.behaves(manner);
        entra.always(token("ey.access", 3600));
        let more = format!(
            "ca_file: \"{}\", proxy: \"http://{}\"",
            path("provider-ca.pem"),
            proxy.address
        );
        let providers = azure(&https(&llm), &https(&entra), &more) + &openai(&other);
        let gateway = setup(&llm, &providers, "azure, openai")
            .section("timeouts", "{connect: 300ms}")
            .start();
        for _ in 0..6 {
            gateway.chat("acme", "hi").ok();
        }
        let row = last_row(&gateway, 6);
        let detail = row["attempts_detail"].as_str().unwrap();
        assert!(detail.starts_with("azure key_refused, openai ok "), "{manner:?}: {detail}");
        assert_eq!(gateway.metric("tollgate_breaker_open"), 0.0);
        assert!(entra.seen().is_empty() && llm.seen().is_empty());
        if manner == Manner::Hangs {
            continue;
        }
        gateway.prints(reason);
        proxy.behaves(Manner::Serves);
        is_fetched(&gateway, "azure");
        gateway.chat("acme", "hi").ok();
        assert_eq!(llm.only().header("authorization"), Some("Bearer ey.access"));
    }
}

#[test]
fn addresses_of_the_machine_are_reached_without_the_proxy_of_the_environment() {
    let [llm, google, container, machine, app] = [(); 5].map(|()| Provider::start());
    let proxy = Proxy::to_all();
    let keys = json!({"Code": "Success", "AccessKeyId": "ASIA", "SecretAccessKey": "s",
        "Token": "t", "Expiration": "2999-01-01T00:00:00Z"});
    let text = |text: &str| step::with_headers(200, &[], text.as_bytes());
    machine.script([text("session"), text("a-role")]);
    [&machine, &container].iter().for_each(|double| double.always(step::json(200, &keys)));
    let of_google = json!({"access_token": "g", "expires_in": 3599}).to_string();
    google.always(step::with_headers(200, &[("metadata-flavor", "Google")], of_google.as_bytes()));
    app.always(step::json(200, &json!({"access_token": "a", "expires_on": "4102444800"})));
    let provider = |name: &str, kind: &str, auth: &str| {
        format!(
            "{name}: {{kind: {kind}, base_url: \"http://{}\", auth: {{{auth}}}}}\n",
            llm.address
        )
    };
    let aws = |source: &str| format!("type: aws, region: x-1, credentials: {source}");
    let providers = [
        provider("azure", "azure_openai", "type: entra, credentials: managed_identity"),
        provider("google", "gemini", "type: gcp, credentials: metadata"),
        provider("container", "bedrock", &aws("container")),
        provider("instance", "bedrock", &aws("instance")),
    ];
    let gateway = setup(&llm, &providers.concat(), "azure")
        .environment("HTTP_PROXY", &format!("http://{}", proxy.address))
        .environment("IDENTITY_ENDPOINT", &format!("http://{}/msi", app.address))
        .environment("IDENTITY_HEADER", "of-the-app")
        .environment("GCE_METADATA_HOST", &google.address.to_string())
        .environment(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &format!("http://{}/keys", container.address),
        )
        .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{}", machine.address))
        .start();
    for name in ["azure", "google", "container", "instance"] {
        is_fetched(&gateway, name);
    }
    assert_eq!(proxy.heads(), [""; 0]);
    gateway.chat("acme", "hi").ok();
    let heads = proxy.heads();
    let line = format!("POST http://{}/openai/v1/chat/completions ", llm.address);
    assert!(heads.len() == 1 && heads[0].starts_with(&line), "{heads:?}");
    assert!(!proxy.has_seen("of-the-app"));
}
