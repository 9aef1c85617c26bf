//! Tokens that are signed with a key pair: the set of public keys comes from a URL or a file.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Provider, Setup, chat, eventually, jwt, step};

/// An issuer of tokens.
struct Issuer {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl Issuer {
    fn new(kid: &'static str) -> Issuer {
        Issuer { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), kid }
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(json!({"alg": "ES256", "kid": self.kid})),
            part(json!({"org_id": "acme", "sub": "ann", "exp": now + 600}))
        );
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn set(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid,
            "x": number(&point[1..33]), "y": number(&point[33..])}]})
    }
}

fn auth(jwks: &str) -> String {
    format!("jwt: {{jwks: \"{jwks}\", algorithms: [ES256]}}")
}

#[test]
fn a_key_set_is_fetched_once_and_not_for_every_unknown_key() {
    let (provider, keys, issuer) = (Provider::start(), Provider::start(), Issuer::new("a"));
    keys.always(step::json(200, &issuer.set()));
    let gateway = Setup::new(&provider)
        .section("auth", &auth(&format!("http://{}/jwks", keys.address)))
        .start();
    for _ in 0..20 {
        gateway.post("/v1/chat/completions", &issuer.token(), &chat("hi")).ok();
    }
    for _ in 0..20 {
        let forged = Issuer::new("b").token();
        gateway.post("/v1/chat/completions", &forged, &chat("hi")).refused(401, "invalid_token");
    }
    // Another's key under a known name, and a token of the other family.
    for forged in [Issuer::new("a").token(), jwt("acme")] {
        gateway.post("/v1/chat/completions", &forged, &chat("hi")).refused(401, "invalid_token");
    }
    // Once, and at most once more every 30 s, not for each of the 22 tokens.
    let seen = keys.seen();
    assert!((1..=3).contains(&seen.len()), "{seen:?}");
    let asked = &seen[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/jwks"));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(provider.seen().len(), 20);
    assert_eq!(gateway.rows(20)[0]["caller"], "ann");
}

#[test]
fn a_key_set_that_is_elsewhere_broken_or_endless_is_not_taken() {
    let issuer = Issuer::new("a");
    let elsewhere = Provider::start();
    elsewhere.always(step::json(200, &issuer.set()));
    let location = format!("http://{}/jwks", elsewhere.address);
    let padded = format!("{}{}", issuer.set(), " ".repeat(300 << 10));
    let answers = [
        step::with_headers(302, &[("location", &location)], b""),
        step::with_headers(200, &[("content-type", "text/html")], b"<html>"),
        step::error(500, "down"),
        step::with_headers(200, &[("content-type", "application/json")], padded.as_bytes()),
        step::truncated_json(&issuer.set()),
        step::reset_before_head(),
    ];
    for answer in answers {
        let (provider, keys) = (Provider::start(), Provider::start());
        keys.always(answer);
        let gateway = Setup::new(&provider)
            .section("auth", &auth(&format!("http://{}/jwks", keys.address)))
            .start();
        gateway
            .post("/v1/chat/completions", &issuer.token(), &chat("hi"))
            .refused(401, "invalid_token");
        assert!(provider.seen().is_empty());
    }
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn a_key_set_in_a_file_is_followed() {
    let (provider, folder) = (Provider::start(), tempfile::tempdir().unwrap());
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let file = folder.path().join("jwks.json");
    fs::write(&file, old.set().to_string()).unwrap();
    let gateway = Setup::new(&provider).section("auth", &auth(&file.display().to_string())).start();
    gateway.post("/v1/chat/completions", &old.token(), &chat("hi")).ok();
    gateway.post("/v1/chat/completions", &new.token(), &chat("hi")).refused(401, "invalid_token");
    // What is no key set does no harm.
    fs::write(&file, "{").unwrap();
    gateway.post("/v1/chat/completions", &old.token(), &chat("hi")).ok();
    fs::write(&file, new.set().to_string()).unwrap();
    eventually("the new key", || {
        let reply = gateway.post("/v1/chat/completions", &new.token(), &chat("hi"));
        (reply.status == 200).then_some(())
    });
    gateway.post("/v1/chat/completions", &old.token(), &chat("hi")).refused(401, "invalid_token");
}
