//! Amazon Bedrock: signed requests, and the sources of the keys that sign them.

use aws_lc_rs::{digest, hmac};
use serde_json::{Value, json};

use super::{headers, kept_apart, setup, token};
use crate::support::step::{self, Act, Step};
use crate::support::{Gateway, Provider, Seen, eventually, jwt};

const MODEL: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

/// A provider of kind bedrock with this `auth`.
fn bedrock(at: &Provider, auth: &str) -> String {
    format!(
        "bedrock: {{kind: bedrock, base_url: \"http://{}\", auth: {{type: aws, region: \
            eu-central-1, {auth}}}}}\n",
        at.address
    )
}

/// An answer of Converse.
pub(super) fn converse(text: &str) -> Step {
    step::json(
        200,
        &json!({"output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn", "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7},
            "metrics": {"latencyMs": 1}}),
    )
}

fn call(gateway: &Gateway, model: &str, stream: bool) -> crate::support::Reply {
    let body = json!({"model": model, "stream": stream,
        "messages": [{"role": "user", "content": "write to jane@example.com"}]});
    gateway.post("/v1/chat/completions", &jwt("acme"), &body)
}

/// Keys as AWS hands them out.
struct Keys<'a> {
    id: &'a str,
    secret: &'a str,
    session: Option<&'a str>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// The path, each segment encoded once more.
fn canonical_path(path: &str) -> String {
    path.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// The request is signed as AWS checks it.
#[track_caller]
fn is_signed(seen: &Seen, keys: &Keys<'_>, service: &str) {
    let header = |name: &str| seen.header(name).unwrap_or_else(|| panic!("{name}: {seen:?}"));
    let date = header("x-amz-date");
    let scope = format!("{}/eu-central-1/{service}/aws4_request", &date[..8]);
    let session = keys.session.map_or("", |_| ";x-amz-security-token");
    let names = format!("content-type;host;x-amz-content-sha256;x-amz-date{session}");
    assert_eq!(seen.header("x-amz-security-token"), keys.session);
    assert_eq!(header("x-amz-content-sha256"), sha256(&seen.body));
    let values: String =
        names.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let canonical = format!(
        "{}\n{}\n\n{values}\n{names}\n{}",
        seen.method,
        canonical_path(&seen.target),
        sha256(&seen.body)
    );
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let key = ["AWS4", keys.secret].concat().into_bytes();
    let key = scope.split('/').fold(key, |key, part| mac(&key, part));
    assert_eq!(
        header("authorization"),
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            keys.id,
            hex(&mac(&key, &text))
        )
    );
}

const OWN: Keys<'_> = Keys { id: "AKIAOWN", secret: "own/secret+key", session: None };
const OWN_AUTH: &str = "access_key_id: AKIAOWN, secret_access_key: own/secret+key";

#[test]
fn calls_are_signed_over_the_redacted_translated_body() {
    let llm = Provider::start();
    llm.always(converse("hi"));
    let gateway = setup(&llm, &bedrock(&llm, OWN_AUTH), "bedrock").start();
    let arn = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc";
    for (model, segment) in [
        (MODEL, "us.anthropic.claude-sonnet-4-20250514-v1%3A0"),
        (
            arn,
            "arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Aapplication-inference-profile%2Fabc",
        ),
        ("amazon.nova-lite-v1", "amazon.nova-lite-v1"),
    ] {
        let reply = call(&gateway, model, false);
        assert_eq!(reply.ok().json()["choices"][0]["message"]["content"], "hi");
        let seen = llm.take_seen().remove(0);
        assert_eq!(seen.target, format!("/model/{segment}/converse"));
        assert!(!seen.text().contains("jane@") && seen.text().contains("[REDACTED_EMAIL]"));
        is_signed(&seen, &OWN, "bedrock");
    }
    assert_eq!(
        gateway.metric("tollgate_provider_credential_expires_seconds"),
        0.0,
        "nothing is fetched"
    );
}

#[test]
fn ids_that_would_be_another_path_are_refused() {
    let llm = Provider::start();
    let gateway = setup(&llm, &bedrock(&llm, OWN_AUTH), "bedrock").start();
    for model in ["..", "a/../b", "a//b", "/a", "a/", "./a"] {
        let reply = call(&gateway, model, false);
        reply.refused(400, "invalid_request");
        assert_eq!(reply.json()["error"]["param"], "model", "{model}");
    }
    assert!(llm.seen().is_empty());
}

#[test]
fn each_attempt_is_signed_anew_and_streams_are_signed_too() {
    let llm = Provider::start();
    llm.script([step::json(503, &json!({"message": "busy"}))]);
    llm.always(converse("hi"));
    let gateway = setup(&llm, &bedrock(&llm, OWN_AUTH), "bedrock").start();
    call(&gateway, MODEL, false).ok();
    let seen = llm.take_seen();
    assert_eq!(seen.len(), 2);
    seen.iter().for_each(|seen| is_signed(seen, &OWN, "bedrock"));

    llm.always(step::json(400, &json!({"message": "no"})));
    assert_eq!(call(&gateway, MODEL, true).status, 400);
    let seen = llm.take_seen().remove(0);
    assert!(seen.target.ends_with("/converse-stream"), "{}", seen.target);
    is_signed(&seen, &OWN, "bedrock");
}

#[test]
fn native_messages_at_bedrock_are_gathered_and_signed() {
    let llm = Provider::start();
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 20, "output_tokens": 7}});
    llm.always(step::json(200, &answer));
    let providers = format!(
        "aws: {{kind: anthropic, base_url: \"http://{}/anthropic/v1\", auth: {{type: aws, region: \
            eu-central-1, \
         {OWN_AUTH}}}}}",
        llm.address
    );
    let gateway = setup(&llm, &providers, "{provider: aws, model: anthropic.claude-x}").start();
    // Longer than what is read before a body is streamed.
    let text = "word ".repeat(60_000);
    let body: Value = json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": text}]});
    let reply = gateway.post("/v1/messages", &jwt("acme"), &body);
    assert_eq!(reply.ok().json(), answer);
    let seen = llm.only();
    assert_eq!(seen.target, "/anthropic/v1/messages");
    assert_eq!(seen.json()["model"], "anthropic.claude-x", "the body as it is sent is signed");
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    is_signed(&seen, &OWN, "bedrock-mantle");
}

fn sts(id: &str, secret: &str, session: &str, until: &str) -> Step {
    let xml = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><SessionToken>{session}</SessionToken>\
         <Expiration>{until}</Expiration><SecretAccessKey>{secret}</\
         SecretAccessKey><AccessKeyId>{id}</AccessKeyId>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    step::with_headers(200, &[("content-type", "text/xml")], xml.as_bytes())
}

#[test]
fn a_role_is_taken_for_the_token_in_a_file_and_its_keys_are_replaced() {
    let (llm, endpoint) = (Provider::start(), Provider::start());
    llm.always(converse("hi"));
    let until = "2999-01-01T00:00:00Z";
    endpoint.script([sts("ASIA1", "first/secret", "session&amp;1==", until)]);
    endpoint.always(sts("ASIA2", "second/secret", "session2", until));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "eyJ.web.identity\n").unwrap();
    let auth = format!("credentials: web_identity, token_url: \"http://{}/\"", endpoint.address);
    let gateway = setup(&llm, &bedrock(&llm, &auth), "bedrock")
        .environment("AWS_WEB_IDENTITY_TOKEN_FILE", &file.display().to_string())
        .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/tollgate")
        .environment("AWS_ROLE_SESSION_NAME", "of-the-test")
        .start();
    call(&gateway, MODEL, false).ok();
    assert_eq!(
        endpoint.only().text(),
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&\
            RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012\
         %3Arole%2Ftollgate&RoleSessionName=of-the-test&WebIdentityToken=eyJ.web.identity"
    );
    let first = Keys { id: "ASIA1", secret: "first/secret", session: Some("session&1==") };
    is_signed(&llm.take_seen()[0], &first, "bedrock");

    // A refusal that is not about the keys fetches nothing.
    let no = |name: &str| {
        let body = json!({"message": "no"}).to_string();
        let headers = [("content-type", "application/json"), ("x-amzn-errortype", name)];
        step::with_headers(403, &headers, body.as_bytes())
    };
    llm.script([
        no("AccessDeniedException"),
        no("ExpiredTokenException:http://internal.amazon.com/x"),
    ]);
    call(&gateway, MODEL, false).refused(503, "provider_unavailable");
    assert_eq!(endpoint.seen().len(), 1);
    call(&gateway, MODEL, false).refused(503, "provider_unavailable");
    endpoint.wait_for(2);
    let second = Keys { id: "ASIA2", secret: "second/secret", session: Some("session2") };
    eventually("the new keys", || {
        llm.take_seen();
        call(&gateway, MODEL, false).ok();
        llm.seen()[0].header("authorization")?.contains("ASIA2").then_some(())
    });
    is_signed(&llm.take_seen()[0], &second, "bedrock");
    kept_apart(
        &[("llm", &llm), ("sts", &endpoint)],
        &[("first/secret", &[]), ("second/secret", &[]), ("eyJ.web.identity", &["sts"])],
    );
}

fn keys_json(id: &str, secret: &str, session: &str) -> Value {
    json!({"Code": "Success", "AccessKeyId": id, "SecretAccessKey": secret, "Token": session,
        "Expiration": "2999-01-01T00:00:00Z"})
}

#[test]
fn a_container_has_an_endpoint_with_a_token_of_its_own() {
    let (llm, endpoint) = (Provider::start(), Provider::start());
    llm.always(converse("hi"));
    endpoint.always(step::json(200, &keys_json("ASIAC", "container/secret", "container-session")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorization");
    std::fs::write(&file, "token-of-the-pod\n").unwrap();
    let gateway = setup(&llm, &bedrock(&llm, "credentials: container"), "bedrock")
        .environment(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &format!("http://localhost:{}/v1/credentials", endpoint.address.port()),
        )
        .environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file.display().to_string())
        .start();
    call(&gateway, MODEL, false).ok();
    let asked = endpoint.only();
    assert_eq!((&*asked.method, &*asked.target), ("GET", "/v1/credentials"));
    assert_eq!(asked.header("authorization"), Some("token-of-the-pod"), "verbatim");
    let keys = Keys { id: "ASIAC", secret: "container/secret", session: Some("container-session") };
    is_signed(&llm.only(), &keys, "bedrock");
    kept_apart(
        &[("llm", &llm), ("endpoint", &endpoint)],
        &[("token-of-the-pod", &["endpoint"]), ("container-session", &["llm"])],
    );
}

#[test]
fn a_machine_has_a_metadata_service_that_gives_a_session_first() {
    let (llm, machine) = (Provider::start(), Provider::start());
    llm.always(converse("hi"));
    machine.always(vec![Act::Reply(std::sync::Arc::new(|seen: &Seen| {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let has_session = seen.header("x-aws-ec2-metadata-token") == Some("session-of-imds");
        let body = match (&*seen.method, &*seen.target) {
            ("PUT", "/latest/api/token") => {
                assert_eq!(seen.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
                "session-of-imds".to_owned()
            }
            ("GET", path) if path == ROLES && has_session => "role-1\n".to_owned(),
            ("GET", path) if path == [ROLES, "role-1"].concat() && has_session => {
                keys_json("ASIAM", "machine/secret", "machine-session").to_string()
            }
            _ => return b"HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n".to_vec(),
        };
        format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }))]);
    let gateway = setup(&llm, &bedrock(&llm, "credentials: instance"), "bedrock")
        .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{}/", machine.address))
        .start();
    call(&gateway, MODEL, false).ok();
    let keys = Keys { id: "ASIAM", secret: "machine/secret", session: Some("machine-session") };
    is_signed(&llm.only(), &keys, "bedrock");
    assert_eq!(machine.seen().len(), 3);
    kept_apart(
        &[("llm", &llm), ("machine", &machine)],
        &[
            ("session-of-imds", &["machine"]),
            ("machine-session", &["llm"]),
            ("machine/secret", &[]),
        ],
    );
}

#[test]
fn keys_of_the_environment_sign() {
    let llm = Provider::start();
    llm.always(converse("hi"));
    let gateway = setup(&llm, &bedrock(&llm, "credentials: environment"), "bedrock")
        .environment("AWS_ACCESS_KEY_ID", "AKIAENV")
        .environment("AWS_SECRET_ACCESS_KEY", "env/secret")
        .start();
    call(&gateway, MODEL, false).ok();
    let keys = Keys { id: "AKIAENV", secret: "env/secret", session: None };
    is_signed(&llm.only(), &keys, "bedrock");
}

#[test]
fn a_caller_cannot_set_headers_of_a_signature() {
    let (llm, entra) = (Provider::start(), Provider::start());
    entra.always(token("unused", 3600));
    llm.always(converse("hi"));
    let gateway = setup(&llm, &bedrock(&llm, OWN_AUTH), "bedrock").start();
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers_of_caller = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-amz-security-token", "callers-session"),
        ("x-amz-date", "20000101T000000Z"),
        ("x-goog-user-project", "callers-project"),
    ];
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]});
    gateway
        .send("POST", "/v1/chat/completions", &headers_of_caller, body.to_string().as_bytes())
        .ok();
    let seen = llm.seen();
    is_signed(&seen[0], &OWN, "bedrock");
    assert_eq!(headers(&seen, "x-goog-user-project"), [None]);
}
