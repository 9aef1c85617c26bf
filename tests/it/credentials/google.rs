//! Google Cloud: keys of service accounts, and the metadata server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{headers, kept_apart, setup, token};
use crate::support::step::{self, Step};
use crate::support::{Provider, eventually};

const BASE: &str = "/v1/projects/p/locations/l/publishers/google";
const PEM: &str = include_str!("../cloud/service-account.pem");

fn gemini(at: &Provider, auth: &str) -> String {
    format!(
        "vertex: {{kind: gemini, base_url: \"http://{}{BASE}\", auth: {{type: gcp, {auth}}}}}\n",
        at.address
    )
}

/// An answer of Gemini.
pub(super) fn generated() -> Step {
    step::json(
        200,
        &json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4}}),
    )
}

/// A token, with the header by which a metadata server is known.
fn of_metadata(text: &str) -> Step {
    let body =
        json!({"access_token": text, "expires_in": 3599, "token_type": "Bearer"}).to_string();
    let headers = [("content-type", "application/json"), ("metadata-flavor", "Google")];
    step::with_headers(200, &headers, body.as_bytes())
}

#[test]
fn a_service_account_signs_a_claim_for_its_token() {
    let (llm, google) = (Provider::start(), Provider::start());
    llm.always(generated());
    google.always(token("ya29.account", 3599));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    let key = json!({"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com",
        "private_key": PEM, "private_key_id": "k1", "token_uri": "https://oauth2.googleapis.com/token"});
    std::fs::write(&file, key.to_string()).unwrap();
    let auth = format!(
        "service_account_file: \"{}\", quota_project: my-quota, token_url: \"http://{}/token\"",
        file.display(),
        google.address
    );
    let gateway = setup(&llm, &gemini(&llm, &auth), "vertex").start();
    gateway.chat("acme", "hi").ok();
    let seen = llm.only();
    assert_eq!(seen.header("authorization"), Some("Bearer ya29.account"));
    assert_eq!(seen.header("x-goog-user-project"), Some("my-quota"));
    assert_eq!(seen.header("x-goog-api-key"), None);
    let asked = google.only();
    let form = asked.text();
    let rest = form.strip_prefix(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=",
    );
    let assertion = percent_decode_str(rest.expect(form)).decode_utf8().unwrap().into_owned();
    let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    // The address in the file, wherever the request goes.
    assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
    assert_eq!(claims["iss"], "a@p.iam.gserviceaccount.com");
    kept_apart(
        &[("llm", &llm), ("google", &google)],
        &[("ya29.account", &["llm"]), (&assertion, &["google"]), ("PRIVATE KEY", &[])],
    );
}

#[test]
fn the_metadata_server_gives_a_token_and_has_to_be_one() {
    let (llm, machine) = (Provider::start(), Provider::start());
    llm.always(generated());
    // An answer of something else at that address is no token.
    machine.script([token("of-an-impostor", 3600)]);
    machine.always(of_metadata("ya29.machine"));
    let gateway = setup(&llm, &gemini(&llm, "credentials: metadata"), "vertex")
        .environment("GCE_METADATA_HOST", &machine.address.to_string())
        .start();
    eventually("a token", || (gateway.chat("acme", "hi").status == 200).then_some(()));
    let asked = machine.seen();
    assert_eq!(asked[0].target, "/computeMetadata/v1/instance/service-accounts/default/token");
    assert_eq!(asked[0].header("metadata-flavor"), Some("Google"));
    assert_eq!(headers(&llm.seen(), "authorization"), [Some("Bearer ya29.machine")]);
    assert_eq!(headers(&llm.seen(), "x-goog-user-project"), [None]);
}

#[test]
fn claude_at_vertex_has_the_same_credential() {
    let (llm, machine) = (Provider::start(), Provider::start());
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 20, "output_tokens": 7}});
    llm.always(step::json(200, &answer));
    machine.always(of_metadata("ya29.shared"));
    let claude = format!(
        "claude: {{kind: anthropic, base_url: \"http://{}/v1/projects/p/locations/l/publishers/\
            anthropic\", auth: \
         {{type: gcp, credentials: metadata}}}}\n",
        llm.address
    );
    let providers = gemini(&llm, "credentials: metadata, quota_project: q") + &claude;
    let gateway = setup(&llm, &providers, "claude")
        .environment("GCE_METADATA_HOST", &machine.address.to_string())
        .start();
    gateway.chat("acme", "hi").ok();
    let seen = llm.only();
    assert_eq!(seen.header("authorization"), Some("Bearer ya29.shared"));
    assert_eq!(seen.header("x-api-key"), None);
    assert_eq!(machine.seen().len(), 1, "one fetch for both providers");
}
