//! Tokens of an issuer with one key, each with something wrong.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::*;
use crate::config::policy::Grant;
use crate::egress::Egress;

const NOW_MS: i64 = 1_800_000_000_000;
const NOW_S: i64 = NOW_MS / 1000;
const RULES: Rules<'_> =
    Rules { issuer: "https://id.example", client_id: "gate", nonce: "n-1", now_ms: NOW_MS };

struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Issuer {
        Issuer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn keys(&self, kid: &str) -> KeySet {
        let point = self.0.public_key().as_ref();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": kid,
            "x": number(&point[1..33]), "y": number(&point[33..])}]});
        KeySet::read(set.to_string().as_bytes()).expect("a set")
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "k"})
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "gate", "sub": "42", "nonce": "n-1",
        "exp": NOW_S + 300, "iat": NOW_S,
    })
}

#[test]
fn a_token_holds_only_with_every_claim() {
    let issuer = Issuer::new();
    let keys = issuer.keys("k");
    let judged = |claims: &Value| verify(&keys, &issuer.token(&header(), claims), &RULES);
    assert!(judged(&claims()).is_ok());
    for (name, value, fault) in [
        ("iss", json!("https://id.example/"), Fault::Issuer),
        ("iss", Value::Null, Fault::Issuer),
        ("aud", json!("other"), Fault::Audience),
        ("aud", json!(["gate", "other"]), Fault::Audience),
        ("aud", json!([]), Fault::Audience),
        ("azp", json!("other"), Fault::Audience),
        ("nonce", json!("n-2"), Fault::Nonce),
        ("nonce", Value::Null, Fault::Nonce),
        ("exp", json!(NOW_S - 61), Fault::Time),
        ("exp", Value::Null, Fault::Time),
        ("iat", json!(NOW_S + 61), Fault::Time),
        ("iat", Value::Null, Fault::Time),
        ("nbf", json!(NOW_S + 61), Fault::Time),
        ("sub", json!(""), Fault::Subject),
        ("sub", json!(42), Fault::Subject),
    ] {
        let mut wrong = claims();
        wrong[name] = value.clone();
        assert_eq!(judged(&wrong), Err(fault), "{name}: {value}");
    }
    let mut two = claims();
    (two["aud"], two["azp"]) = (json!(["other", "gate"]), json!("gate"));
    assert!(judged(&two).is_ok(), "several audiences, and the party is this client");
}

#[test]
fn only_a_public_key_of_the_issuer_verifies() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let keys = issuer.keys("k");
    let judged = |token: &str| verify(&keys, token, &RULES).map(|_| ());
    assert_eq!(judged(&other.token(&header(), &claims())), Err(Fault::Signature));
    let unknown = json!({"alg": "ES256", "kid": "new"});
    assert_eq!(judged(&issuer.token(&unknown, &claims())), Err(Fault::UnknownKey));
    let without = json!({"alg": "ES256"});
    assert_eq!(judged(&issuer.token(&without, &claims())), Ok(()));
    assert_eq!(judged(&other.token(&without, &claims())), Err(Fault::UnknownKey));
    for algorithm in ["none", "HS256", "ES999", ""] {
        let token = issuer.token(&json!({"alg": algorithm, "kid": "k"}), &claims());
        assert_eq!(judged(&token), Err(Fault::Algorithm), "{algorithm}");
    }
    for token in ["", "a.b", "a.b.c", "a.b.c.d", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
        assert!(judged(token).is_err());
    }
}

fn options() -> OidcOptions {
    let orgs = |names: &[&str]| names.iter().filter_map(|name| OrgId::new(name)).collect();
    let path = |text: &str| text.split('.').map(str::to_owned).collect();
    let roles = [
        ("readers", Role::Viewer, GrantedOrgs::All),
        ("platform", Role::Operator, GrantedOrgs::All),
        ("audit", Role::Auditor, GrantedOrgs::All),
        ("acme-readers", Role::Viewer, GrantedOrgs::These(orgs(&["acme"]))),
        ("globex-readers", Role::Viewer, GrantedOrgs::These(orgs(&["globex", "acme"]))),
        ("acme-operators", Role::Operator, GrantedOrgs::These(orgs(&["acme"]))),
        ("customers", Role::Auditor, GrantedOrgs::Claim(path("app.orgs"))),
    ];
    OidcOptions {
        issuer: String::new(),
        client_id: String::new(),
        client_secret: Default::default(),
        scopes: Vec::new(),
        role_claim: path("realm.groups"),
        roles: roles.map(|(value, role, orgs)| (value.to_owned(), Grant { role, orgs })).to_vec(),
        egress: Egress::direct().into(),
    }
}

/// The rights of a person with these groups, whose organisations a claim names.
fn rights_of(groups: &Value, orgs: &Value) -> Option<(Role, Vec<String>)> {
    let claims = json!({"realm": {"groups": groups}, "app": {"orgs": orgs}});
    let (role, orgs) = rights(claims.as_object().expect("an object"), &options())?;
    Some((role, orgs.iter().map(|org| org.as_str().to_owned()).collect()))
}

#[test]
fn the_highest_role_of_all_values_counts() {
    let of = |groups: Value| rights_of(&groups, &Value::Null).map(|(role, _)| role);
    assert_eq!(of(json!(["readers", "platform", "x"])), Some(Role::Operator));
    assert_eq!(of(json!("audit")), Some(Role::Auditor));
    assert_eq!(of(json!(["Platform", 7])), None, "names are exact");
    assert_eq!(of(json!({})), None);
    assert_eq!(rights(&Claims::new(), &options()).map(|(role, _)| role), None);
}

#[test]
fn organisations_are_those_of_the_values_that_give_the_role() {
    let all = json!(["acme", "b"]);
    for (groups, claim, role, orgs) in [
        (json!(["acme-readers"]), &Value::Null, Role::Viewer, &["acme"][..]),
        (json!(["globex-readers", "acme-readers"]), &all, Role::Viewer, &["acme", "globex"]),
        // All organisations, by one of them.
        (json!(["acme-readers", "readers"]), &all, Role::Viewer, &[]),
        (json!(["readers", "acme-readers"]), &all, Role::Viewer, &[]),
        // An operator of one organisation, although a viewer of all.
        (json!(["readers", "acme-operators"]), &all, Role::Operator, &["acme"]),
        (json!(["acme-operators", "readers"]), &all, Role::Operator, &["acme"]),
        (json!(["customers"]), &all, Role::Auditor, &["acme", "b"]),
        (json!("customers"), &json!("solo"), Role::Auditor, &["solo"]),
        // Names that are no names are left out.
        (json!("customers"), &json!(["ok", "no name", 7, ""]), Role::Auditor, &["ok"]),
        // A claim without a name gives nothing, and never all.
        (json!(["customers", "acme-readers"]), &json!([]), Role::Viewer, &["acme"]),
    ] {
        let orgs: Vec<String> = orgs.iter().map(|org| (*org).to_owned()).collect();
        assert_eq!(rights_of(&groups, claim), Some((role, orgs)), "{groups} {claim}");
    }
    for nothing in [Value::Null, json!([]), json!(""), json!(["no name"]), json!({"a": "acme"})] {
        assert_eq!(rights_of(&json!("customers"), &nothing), None, "{nothing}");
    }
    let many: Vec<String> = (0..OIDC_ORGS_MAX + 9).map(|n| format!("o{n}")).collect();
    let seen = rights_of(&json!("customers"), &json!(many)).expect("rights").1;
    assert_eq!(seen.len(), OIDC_ORGS_MAX);
}

#[test]
fn a_person_has_a_name_on_one_line() {
    let of = |claims: Value| name(claims.as_object().expect("an object"));
    assert_eq!(of(json!({"sub": "42", "email": "a@b.example"})), "a@b.example");
    assert_eq!(of(json!({"sub": "42", "preferred_username": " "})), "42");
    assert_eq!(of(json!({"sub": "x\ny".repeat(100)})).chars().count(), NAME_CHARS_MAX);
    assert!(!of(json!({"sub": "x\ny"})).contains('\n'));
}
