//! Microsoft Entra ID: secrets, files, managed identities; and all that holds for every cloud.

use std::time::Duration;

use serde_json::json;

use super::{chat, headers, kept_apart, last_row, setup, token};
use crate::support::step::{self, Act};
use crate::support::{Gateway, Provider, Setup, eventually, within};

const SECRET: &str = "s3cr~t.+/=value";

/// A provider of kind azure_openai with this `auth`.
fn azure(name: &str, at: &Provider, auth: &str) -> String {
    format!(
        "{name}: {{kind: azure_openai, base_url: \"http://{}\", auth: {{type: entra, {auth}}}}}\n",
        at.address
    )
}

/// The secret of an application, at this token endpoint.
fn application(entra: &Provider, secret: &str) -> String {
    format!(
        "tenant_id: t, client_id: app-1, client_secret: \"{secret}\", \
            token_url: \"http://{}/t/token\"",
        entra.address
    )
}

fn openai(at: &Provider) -> String {
    format!(
        "openai: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-fallback-key}}\n",
        at.address
    )
}

/// One provider with a token of `entra`.
fn gateway(llm: &Provider, entra: &Provider) -> Gateway {
    setup(llm, &azure("azure", llm, &application(entra, SECRET)), "azure").start()
}

#[test]
fn a_token_is_fetched_by_a_form_and_shown_as_a_bearer() {
    let (llm, entra) = (Provider::start(), Provider::start());
    entra.always(token("ey.access.token-1", 3599));
    let gateway = gateway(&llm, &entra);
    // Before any call.
    let asked = entra.wait_for(1).remove(0);
    gateway.chat("acme", "hi").ok();
    gateway.chat("acme", "hi").ok();
    let seen = llm.seen();
    assert_eq!(headers(&seen, "authorization"), [Some("Bearer ey.access.token-1"); 2]);
    assert_eq!(headers(&seen, "api-key"), [None; 2]);
    assert_eq!((&*asked.method, &*asked.target), ("POST", "/t/token"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        asked.text(),
        "grant_type=client_credentials&client_id=app-1&\
            scope=https%3A%2F%2Fcognitiveservices.azure.com\
         %2F.default&client_secret=s3cr~t.%2B%2F%3Dvalue"
    );
    assert_eq!(entra.seen().len(), 1, "one fetch for both calls");
    kept_apart(
        &[("llm", &llm), ("entra", &entra)],
        &[("ey.access.token-1", &["llm"]), ("s3cr~t", &["entra"]), ("sk-", &[])],
    );
    let metric = "tollgate_provider_credential_expires_seconds{provider=\"azure\"}";
    let left =
        eventually("what is left", || Some(gateway.metric(metric)).filter(|left| *left > 0.0));
    assert!((3000.0..=3599.0).contains(&left), "{left}");
    let printed = gateway.printed() + gateway.operators("/api/config").text();
    assert!(!printed.contains("s3cr~t") && !printed.contains("access.token"), "{printed}");
}

#[test]
fn a_token_in_a_file_is_read_for_each_fetch() {
    let (llm, entra) = (Provider::start(), Provider::start());
    entra.always(token("tok-a", 3600));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("federated");
    std::fs::write(&file, "eyJ.first.x\n").unwrap();
    let auth = format!(
        "federated_token_file: \"{}\", token_url: \"http://{}/\"",
        file.display(),
        entra.address
    );
    // The variables of the webhook stand in for the other keys.
    let gateway = setup(&llm, &azure("azure", &llm, &auth), "azure")
        .environment("AZURE_TENANT_ID", "t")
        .environment("AZURE_CLIENT_ID", "of-webhook")
        .start();
    let asked = entra.wait_for(1).remove(0);
    assert!(asked.text().contains("client_id=of-webhook&"), "{}", asked.text());
    assert!(asked.text().ends_with("jwt-bearer&client_assertion=eyJ.first.x"), "{}", asked.text());
    std::fs::write(&file, "eyJ.second.x").unwrap();
    llm.script([step::error(401, "Unauthorized")]);
    gateway.chat("acme", "hi");
    assert!(entra.wait_for(2)[1].text().ends_with("client_assertion=eyJ.second.x"));
}

#[test]
fn managed_identities_are_asked_at_the_machine_or_at_the_app() {
    let (llm, machine, app) = (Provider::start(), Provider::start(), Provider::start());
    // Numbers are texts there.
    machine.always(step::json(200, &json!({"access_token": "tok-vm", "expires_in": "3599"})));
    app.always(step::json(200, &json!({"access_token": "tok-app", "expires_on": "4102444800"})));
    let auth = format!(
        "credentials: managed_identity, client_id: mi-1, token_url: \"http://{}/metadata/identity/\
            oauth2/token\"",
        machine.address
    );
    let at_machine = setup(&llm, &azure("azure", &llm, &auth), "azure").start();
    at_machine.chat("acme", "hi").ok();
    let asked = machine.only();
    assert_eq!(
        asked.target,
        "/metadata/identity/oauth2/token?api-version=2018-02-01\
         &resource=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom&client_id=mi%2D1"
    );
    assert_eq!((&*asked.method, asked.header("metadata")), ("GET", Some("true")));

    let at_app = setup(&llm, &azure("azure", &llm, "credentials: managed_identity"), "azure")
        .environment("IDENTITY_ENDPOINT", &format!("http://{}/msi/token", app.address))
        .environment("IDENTITY_HEADER", "header-of-app")
        .start();
    at_app.chat("acme", "hi").ok();
    let asked = app.only();
    assert!(
        asked.target.starts_with("/msi/token?api-version=2019-08-01&resource="),
        "{}",
        asked.target
    );
    assert_eq!(asked.header("x-identity-header"), Some("header-of-app"));
    assert_eq!(
        headers(&llm.seen(), "authorization"),
        [Some("Bearer tok-vm"), Some("Bearer tok-app")]
    );
    kept_apart(
        &[("llm", &llm), ("machine", &machine), ("app", &app)],
        &[("header-of-app", &["app"]), ("tok-vm", &["llm"]), ("tok-app", &["llm"])],
    );
}

#[test]
fn providers_with_the_same_credential_share_one_fetch() {
    let (one, two, entra) = (Provider::start(), Provider::start(), Provider::start());
    entra.always(token("shared", 3600));
    let same = application(&entra, SECRET);
    let other = application(&entra, "another-secret");
    let providers = [azure("a", &one, &same), azure("b", &two, &same), azure("c", &two, &other)];
    let gateway = setup(&one, &providers.concat(), "a, b, c").start();
    entra.wait_for(2);
    one.always(step::error(500, "x"));
    gateway.chat("acme", "hi").ok();
    assert_eq!(headers(&two.seen(), "authorization"), [Some("Bearer shared")]);
    let secrets: Vec<bool> =
        entra.seen().iter().map(|seen| seen.text().contains("another-secret")).collect();
    assert_eq!(secrets.iter().filter(|is_other| !**is_other).count(), 1, "{secrets:?}");
    assert_eq!(secrets.len(), 2);
}

#[test]
fn an_edit_that_leaves_a_credential_alone_fetches_nothing() {
    let (llm, entra) = (Provider::start(), Provider::start());
    entra.always(token("kept", 3600));
    let gateway = gateway(&llm, &entra);
    gateway.chat("acme", "hi").ok();
    for burst in 1..4 {
        gateway.edit_and_wait("limits", &format!("{{burst: {burst}000}}"));
        gateway.chat("acme", "hi").ok();
    }
    let more = azure("azure", &llm, &application(&entra, SECRET))
        .replace("}}", "}, forward_headers: [x-a]}");
    gateway.edit_and_wait("providers", &more);
    gateway.chat("acme", "hi").ok();
    assert_eq!(entra.seen().len(), 1);
    // Another secret is another credential.
    entra.always(token("other", 3600));
    gateway.edit_and_wait("providers", &azure("azure", &llm, &application(&entra, "rotated")));
    gateway.chat("acme", "hi").ok();
    assert!(entra.seen()[1].text().ends_with("client_secret=rotated"));
    assert_eq!(llm.seen().last().unwrap().header("authorization"), Some("Bearer other"));
    // Back again, before the old one is forgotten.
    gateway.edit_and_wait("providers", &azure("azure", &llm, &application(&entra, SECRET)));
    gateway.chat("acme", "hi").ok();
    assert_eq!(llm.seen().last().unwrap().header("authorization"), Some("Bearer kept"));
    assert_eq!(entra.seen().len(), 2);
}

#[test]
fn a_refused_token_is_fetched_again_once_and_the_call_goes_to_the_next_target() {
    let (llm, other, entra) = (Provider::start(), Provider::start(), Provider::start());
    entra.script([token("revoked", 3600)]);
    entra.always(token("fresh", 3600));
    llm.always(step::error(401, "Unauthorized"));
    let providers = azure("azure", &llm, &application(&entra, SECRET)) + &openai(&other);
    let gateway = setup(&llm, &providers, "azure, openai").start();
    for _ in 0..12 {
        gateway.chat("acme", "hi").ok();
    }
    entra.wait_for(2);
    // The fresh token is refused, too: not again within half a minute.
    eventually("the fresh token", || {
        gateway.chat("acme", "hi").ok();
        llm.seen().iter().any(|s| s.header("authorization") == Some("Bearer fresh")).then_some(())
    });
    gateway.chat("acme", "hi").ok();
    assert_eq!(entra.seen().len(), 2);
    let row = last_row(&gateway, 14);
    let detail = row["attempts_detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("azure key_refused ") && detail.contains(", openai ok "),
        "{detail}"
    );
    assert_eq!(row["provider"], "openai");
    // No event for the circuit, and no retry.
    assert_eq!(gateway.metric("tollgate_breaker_open"), 0.0);
    assert_eq!(gateway.metric("tollgate_retries_total"), 0.0);
    llm.always(chat("hello"));
    gateway.chat("acme", "hi").ok();
    eventually("the row of a call that azure has answered", || {
        (last_row(&gateway, 15)["provider"] == "azure").then_some(())
    });
    kept_apart(
        &[("llm", &llm), ("other", &other), ("entra", &entra)],
        &[
            ("revoked", &["llm"]),
            ("fresh", &["llm"]),
            ("sk-fallback-key", &["other"]),
            ("s3cr~t", &["entra"]),
        ],
    );
}

#[test]
fn no_call_waits_for_a_refresh_while_a_token_is_valid() {
    let (llm, entra) = (Provider::start(), Provider::start());
    // The refresh that the refusal asks for never ends.
    entra.script([token("first", 60), step::silence()]);
    let gateway = gateway(&llm, &entra);
    gateway.chat("acme", "hi").ok();
    llm.script([step::error(401, "Unauthorized")]);
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    entra.wait_for(2);
    for _ in 0..5 {
        gateway.chat("acme", "hi").ok();
    }
    assert_eq!(entra.seen().len(), 2, "the refresh still hangs, and is the only one");
    assert_eq!(headers(&llm.seen(), "authorization"), [Some("Bearer first"); 7]);
}

#[test]
fn an_expired_token_is_not_shown_and_the_next_target_is_asked() {
    let (llm, other, entra) = (Provider::start(), Provider::start(), Provider::start());
    entra.script([token("short", 2)]);
    entra.always(step::json(
        401,
        &json!({"error": "invalid_client", "error_description": "AADSTS7000222: s3cr~t", "error_codes": [7_000_222],
            "trace_id": "trace-1"}),
    ));
    let providers = azure("azure", &llm, &application(&entra, SECRET)) + &openai(&other);
    let gateway = setup(&llm, &providers, "azure, openai").start();
    gateway.chat("acme", "hi").ok();
    let metric = "tollgate_provider_credential_expires_seconds{provider=\"azure\"}";
    eventually("the end of the token", || (gateway.metric(metric) < 0.0).then_some(()));
    let asked = llm.seen().len();
    for _ in 0..12 {
        gateway.chat("acme", "hi").ok();
    }
    assert_eq!(llm.seen().len(), asked, "nothing is sent without a credential");
    let row = last_row(&gateway, 13);
    let detail = row["attempts_detail"].as_str().unwrap();
    assert!(detail.starts_with("azure key_refused, openai ok "), "{detail}");
    assert_eq!([&row["provider"], &row["attempts"]], [&json!("openai"), &json!(1)]);
    assert_eq!(gateway.metric("tollgate_breaker_open"), 0.0);
    assert_eq!(gateway.metric("tollgate_retries_total"), 0.0);
    let printed = gateway.printed();
    let told =
        printed.lines().filter(|line| line.contains("AADSTS7000222") && line.contains("trace-1"));
    assert_eq!(told.count(), 1, "once, however often it fails: {printed}");
    assert!(!printed.contains("s3cr~t"), "{printed}");
    // It is asked for again by itself.
    entra.always(token("again", 3600));
    eventually("a new token", || {
        gateway.chat("acme", "hi").ok();
        llm.seen().iter().any(|s| s.header("authorization") == Some("Bearer again")).then_some(())
    });
}

#[test]
fn an_endpoint_that_hangs_holds_early_calls_for_the_connect_timeout_only() {
    let (llm, other, entra) = (Provider::start(), Provider::start(), Provider::start());
    entra.always(step::silence());
    let providers = azure("azure", &llm, &application(&entra, SECRET)) + &openai(&other);
    let gateway =
        setup(&llm, &providers, "azure, openai").section("timeouts", "{connect: 200ms}").start();
    gateway.chat("acme", "hi").ok();
    let row = gateway.only_row();
    assert!(row["attempts_detail"].as_str().unwrap().starts_with("azure key_refused, openai ok "));
    assert_eq!(entra.wait_for(1).len(), 1);
    assert!(llm.seen().is_empty());
    // Alone, it is as unavailable as a provider can be.
    gateway.edit_and_wait("routing", "{default: [azure]}");
    let reply = gateway.chat("acme", "hi");
    reply.refused(503, "provider_unavailable");
    assert_eq!(reply.header("x-tollgate-attempts").unwrap_or("0"), "0");
}

#[test]
fn an_early_call_waits_for_the_first_token() {
    let (llm, entra) = (Provider::start(), Provider::start());
    let (wait, open) = step::gate();
    entra.always([vec![wait], token("late", 3600)].concat());
    let gateway = setup(&llm, &azure("azure", &llm, &application(&entra, SECRET)), "azure")
        .section("timeouts", "{connect: 60s}")
        .start();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| gateway.chat("acme", "hi"));
        entra.wait_for(1);
        open.send(()).unwrap();
        call.join().unwrap().ok();
    });
    assert_eq!(headers(&llm.seen(), "authorization"), [Some("Bearer late")]);
    assert_eq!(gateway.only_row()["attempts_detail"], "");
}

#[test]
fn answers_of_token_endpoints_are_bounded_and_not_followed() {
    let (llm, entra, elsewhere) = (Provider::start(), Provider::start(), Provider::start());
    let to = format!("http://{}/", elsewhere.address);
    let long = json!({"access_token": "x".repeat(70_000), "expires_in": 3600});
    entra.script([
        step::with_headers(307, &[("location", &to)], b""),
        step::json(200, &long),
        step::json(200, &json!({"access_token": "a\r\nx-evil: 1", "expires_in": 3600})),
        step::with_headers(200, &[("content-type", "text/html")], b"<html>sign in</html>"),
    ]);
    entra.always(token("good", 3600));
    let gateway = gateway(&llm, &entra);
    eventually("a token in spite of all", || {
        (gateway.chat("acme", "hi").status == 200).then_some(())
    });
    assert!(entra.seen().len() >= 5 && elsewhere.seen().is_empty());
    assert_eq!(headers(&llm.seen(), "authorization"), [Some("Bearer good")]);
}

#[test]
fn a_fetch_for_a_credential_that_an_edit_replaced_is_dropped() {
    let (llm, entra) = (Provider::start(), Provider::start());
    entra.always(vec![Act::Hold]);
    let gateway = gateway(&llm, &entra);
    entra.wait_for(1);
    let other = Provider::start();
    other.always(token("new", 3600));
    gateway.edit_and_wait("providers", &azure("azure", &llm, &application(&other, SECRET)));
    gateway.chat("acme", "hi").ok();
    let is_closed = || (entra.closed_by_peer() == 1).then_some(());
    // Long before the ten seconds of a fetch that hangs are over.
    assert!(within(Duration::from_secs(8), is_closed).is_some());
    assert_eq!(headers(&llm.seen(), "authorization"), [Some("Bearer new")]);
}

#[test]
fn a_callers_own_key_replaces_the_credential() {
    let (llm, entra) = (Provider::start(), Provider::start());
    entra.always(token("of-the-gateway", 3600));
    let gateway = gateway(&llm, &entra);
    entra.wait_for(1);
    gateway.post("/v1/chat/completions", "callers-own-azure-key", &crate::support::chat("hi")).ok();
    let seen = llm.only();
    assert_eq!(seen.header("api-key"), Some("callers-own-azure-key"));
    assert_eq!(seen.header("authorization"), None);
}

#[test]
fn a_token_that_an_error_quotes_is_blanked() {
    let (llm, entra) = (Provider::start(), Provider::start());
    entra.always(token("ey.quoted-token", 3600));
    llm.always(step::json(400, &json!({"error": {"message": "bad ey.quoted-token", "code": "x"}})));
    let gateway = gateway(&llm, &entra);
    let reply = gateway.chat("acme", "hi");
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("bad [credential]"), "{}", reply.text());
}

#[test]
fn a_target_without_a_key_ends_the_call_only_if_it_is_the_last() {
    // Keys of the policy that are refused go on, too.
    let (first, second) = (Provider::start(), Provider::start());
    first.always(step::error(401, "invalid_api_key"));
    let providers = format!(
        "a: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-a-key}}\nb: {{kind: openai, \
            base_url: \
         \"http://{}/v1\", api_key: sk-b-key}}",
        first.address, second.address
    );
    let gateway = Setup::new(&first)
        .section("providers", &providers)
        .section("routing", "{default: [a, b]}")
        .start();
    gateway.chat("acme", "hi").ok();
    second.always(step::error(403, "no"));
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    let row = last_row(&gateway, 2);
    let detail = row["attempts_detail"].as_str().unwrap();
    assert!(
        detail.starts_with("a key_refused ") && detail.contains(", b key_refused "),
        "{detail}"
    );
    assert_eq!(
        [first.seen().len(), second.seen().len()],
        [2, 2],
        "each is asked once for each call"
    );
}
