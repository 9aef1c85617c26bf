//! Identity from outside: headers in, caller or refusal out. The tables follow the mistakes that
//! are known to go wrong with tokens.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::signature::PublicKey;
use super::{AuthError, Authenticator, Caller, FetchError, KeySetFetch, hmac_key};
use crate::code::Code;
use crate::config::options;
use crate::config::policy::{
    Accept, Algorithm, AuthOptions, AuthPolicy, GatewayKey, JwksSource, JwtPolicy,
};
use crate::config::sections::RawKey;
use crate::ids::{Secret, SecretBytes};

const NOW_S: i64 = 1_800_000_000;
const NOW_MS: i64 = NOW_S * 1000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "tg-live-0123456789";
const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

// ---- making tokens and policies

fn jwt_policy() -> JwtPolicy {
    JwtPolicy::of_secret(SecretBytes::new(SECRET.as_bytes()), [1; 32])
}

fn policy(accept: &[Accept], jwt: Option<JwtPolicy>) -> AuthPolicy {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, KEY.as_bytes()).as_ref());
    let holder = GatewayKey {
        name: Arc::from("ci"),
        expires_ms: Some(NOW_MS + 1_000_000_000),
        models: vec![],
        endpoints: vec![],
        options: options::<RawKey>("{name: ci, sha256: '', org: keyed}"),
    };
    AuthPolicy {
        jwt,
        keys: HashMap::from([(sum, Arc::new(holder))]),
        options: AuthOptions::accepting(accept.to_vec()),
    }
}

const ALL: [Accept; 4] = [Accept::Jwt, Accept::Key, Accept::Passthrough, Accept::Anonymous];

fn signed(header: &str, claims: &str) -> String {
    signed_with(hmac::HMAC_SHA256, SECRET.as_bytes(), header, claims)
}

fn signed_with(algorithm: hmac::Algorithm, secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", B64.encode(tag))
}

/// Claims that are good, with these changed; `null` takes one away.
fn claims(changes: &Json) -> String {
    let mut claims = json!({"org_id": "acme", "sub": "ann", "iat": NOW_S - 10, "exp": NOW_S + 600});
    let map = claims.as_object_mut().expect("object");
    for (name, value) in changes.as_object().expect("object") {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
    claims.to_string()
}

fn good() -> String {
    signed(HS256, &claims(&json!({})))
}

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name: HeaderName = name.parse().expect("name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("value"));
    }
    headers
}

/// A fetch that is never needed.
struct NoFetch;

impl KeySetFetch for NoFetch {
    async fn fetch(&self, _: &Uri, _: usize) -> Result<Vec<u8>, FetchError> {
        panic!("no key set was to be fetched")
    }
}

/// Runs a future that never really waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime")
        .block_on(future)
}

fn ask(policy: &AuthPolicy, list: &[(&str, &str)], require_jwt: bool) -> Result<Caller, AuthError> {
    now(Authenticator::default().authenticate(
        policy,
        &headers(list),
        NOW_MS,
        require_jwt,
        &NoFetch,
    ))
}

/// `org via name upstream-key`, or the code.
fn line(result: Result<Caller, AuthError>) -> String {
    match result {
        Ok(c) => {
            let key = c.upstream_key.as_ref().map_or("-".to_owned(), |k| k.reveal().to_owned());
            format!("{} {:?} {} {key}", c.org, c.via, if c.name.is_empty() { "-" } else { &c.name })
        }
        Err(error) => error.code().as_str().to_owned(),
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn check_token(policy: &AuthPolicy, token: &str) -> Result<Caller, AuthError> {
    ask(policy, &[("authorization", &bearer(token))], false)
}

fn jwt_only(jwt: JwtPolicy) -> AuthPolicy {
    policy(&[Accept::Jwt], Some(jwt))
}

// ---- where credentials are, and in which order

#[test]
fn headers_have_one_meaning_or_none() {
    let (policy, jwt) = (policy(&ALL[..3], Some(jwt_policy())), good());
    let table: &[(&[(&str, String)], &str)] = &[
        (&[], "missing_token"),
        (&[("authorization", bearer(&jwt))], "acme Jwt ann -"),
        (&[("authorization", format!("bearer {jwt}"))], "acme Jwt ann -"),
        (&[("authorization", format!("BEARER   {jwt} "))], "acme Jwt ann -"),
        (&[("authorization", "Bearer".into())], "missing_token"),
        (&[("authorization", "Bearer   ".into())], "missing_token"),
        (&[("authorization", String::new())], "invalid_token"),
        (&[("authorization", jwt.clone())], "invalid_token"),
        (&[("authorization", format!("Basic {jwt}"))], "invalid_token"),
        (&[("authorization", format!("Bearer{jwt}"))], "invalid_token"),
        (&[("authorization", format!("Bearer {jwt}, Bearer {jwt}"))], "invalid_token"),
        (&[("authorization", format!("Bearer {jwt} {jwt}"))], "invalid_token"),
        (&[("authorization", bearer(&jwt)), ("authorization", bearer(&jwt))], "invalid_token"),
        (&[("authorization", bearer("sk-ä"))], "invalid_token"),
        (&[("authorization", bearer(&format!("'{jwt}'")))], "invalid_token"),
        (&[("authorization", bearer(&format!("'{KEY}'")))], "invalid_token"),
        (&[("authorization", bearer(&format!("jwt:{jwt}")))], "invalid_token"),
        (&[("authorization", bearer(&"x".repeat(9_000)))], "invalid_token"),
        // Anthropic's SDKs.
        (&[("x-api-key", jwt.clone())], "acme Jwt ann -"),
        (&[("x-api-key", "sk-ant-1".into())], "key-… Passthrough - sk-ant-1"),
        (&[("x-api-key", "a".into()), ("x-api-key", "b".into())], "invalid_token"),
        (&[("x-api-key", "sk-ant-1".into()), ("authorization", bearer(&jwt))], "acme Jwt ann -"),
        // The gateway's own header, alone and beside the caller's own key.
        (&[("x-tollgate-token", jwt.clone())], "acme Jwt ann -"),
        (&[("x-tollgate-token", KEY.into())], "keyed Key ci -"),
        (
            &[("x-tollgate-token", jwt.clone()), ("authorization", bearer("sk-own"))],
            "acme Jwt ann sk-own",
        ),
        (
            &[("x-tollgate-token", KEY.into()), ("x-api-key", "sk-own".into())],
            "keyed Key ci sk-own",
        ),
        (&[("x-tollgate-token", KEY.into()), ("authorization", bearer(&jwt))], "invalid_token"),
        (&[("x-tollgate-token", jwt.clone()), ("authorization", bearer(KEY))], "invalid_token"),
        (
            &[("x-tollgate-token", jwt.clone()), ("authorization", bearer("tg-other"))],
            "invalid_token",
        ),
        (
            &[("x-tollgate-token", jwt.clone()), ("authorization", "Basic eDp5".into())],
            "invalid_token",
        ),
        (&[("x-tollgate-token", jwt.clone()), ("x-tollgate-token", jwt.clone())], "invalid_token"),
        (&[("x-tollgate-token", "sk-own".into())], "invalid_token"),
        (&[("x-tollgate-token", "tg-other".into())], "invalid_token"),
        (&[("x-tollgate-token", String::new())], "missing_token"),
        // Nothing else names an organisation.
        (
            &[
                ("openai-organization", "org".into()),
                ("x-org-id", "org".into()),
                ("x-tollgate-org", "org".into()),
            ],
            "missing_token",
        ),
    ];
    for (list, expected) in table {
        let list: Vec<(&str, &str)> =
            list.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let found = line(ask(&policy, &list, false));
        // The digits after `key-` have a test of their own.
        let found =
            if found.starts_with("key-") { format!("key-…{}", &found[16..]) } else { found };
        assert_eq!(&found, expected, "{list:?}");
    }
}

#[test]
fn the_policy_says_what_is_accepted() {
    use Accept::{Anonymous, Jwt, Key, Passthrough};
    let (jwt, foreign) =
        (good(), signed_with(hmac::HMAC_SHA256, b"another", HS256, &claims(&json!({}))));
    let checked = || Some(jwt_policy());
    // accept, whether JWTs are checked, bearer, expected
    let table: &[(&[Accept], bool, &str, &str)] = &[
        (&[Jwt, Key, Passthrough], true, &foreign, "invalid_token"),
        (&[Jwt, Key, Passthrough], true, "eyJhbGciOi", "invalid_token"),
        (&[Jwt, Key, Passthrough], true, "not.a.jwt", "invalid_token"),
        (&[Jwt, Key, Passthrough], true, "id.secret", "key Passthrough"),
        (&[Jwt, Key, Passthrough], true, "sk-a.b.c.d", "key Passthrough"),
        (&[Key, Passthrough], true, &jwt, "invalid_token"),
        (&[Key, Passthrough], true, &foreign, "invalid_token"),
        // Where no JWT can be verified, one is refused all the same, because it may be a real
        // credential.
        (&[Jwt, Key, Passthrough], false, "eyJh.eyJi.c2ln", "invalid_token"),
        (&[Key, Passthrough], false, &jwt, "invalid_token"),
        (&[Passthrough], false, &jwt, "invalid_token"),
        (&[Anonymous], false, &jwt, "invalid_token"),
        (&[Passthrough], false, "tg-unknown", "invalid_token"),
        (&[Passthrough, Anonymous], false, "TG-Unknown", "invalid_token"),
        (&[Jwt, Key], false, &jwt, "invalid_token"),
        (&[Jwt, Passthrough], true, KEY, "invalid_token"),
        (&[Jwt, Passthrough], true, "tg-unknown", "invalid_token"),
        (&[Jwt, Key, Anonymous], true, "tg-unknown", "invalid_token"),
        (&[Jwt, Key, Anonymous], true, &foreign, "invalid_token"),
        (&[Jwt, Key], true, "sk-provider", "invalid_token"),
        (&[Jwt, Key, Anonymous], true, "sk-dummy", "anonymous Anonymous - -"),
        (&[Anonymous, Passthrough], true, "sk-x", "anonymous Anonymous - -"),
        (&[Passthrough, Anonymous], true, "sk-x", "key Passthrough"),
        // A gateway credential is judged as such in any order of `accept`.
        (&[Anonymous, Jwt], true, &jwt, "acme Jwt ann -"),
        (&[Passthrough, Key], true, KEY, "keyed Key ci -"),
    ];
    for (accept, checks, token, expected) in table {
        let policy = policy(accept, if *checks { checked() } else { None });
        let found = line(check_token(&policy, token));
        match *expected {
            "key Passthrough" => {
                assert!(
                    found.starts_with("key-")
                        && found.ends_with(&format!(" Passthrough - {token}")),
                    "{found}"
                );
                assert_eq!(found.split(' ').next().map(str::len), Some(16));
            }
            expected => assert_eq!(found, expected, "{accept:?} {checks} {token}"),
        }
    }
    assert_eq!(line(ask(&policy(&[Anonymous], None), &[], false)), "anonymous Anonymous - -");
    assert_eq!(
        line(ask(&policy(&[Anonymous], None), &[("authorization", "Bearer ")], false)),
        "missing_token"
    );
    // A key of one's own beside a gateway credential is only used where keys pass through.
    let list = [("x-tollgate-token", jwt.as_str()), ("authorization", "Bearer sk-own")];
    assert_eq!(line(ask(&policy(&[Jwt, Key], checked()), &list, false)), "acme Jwt ann -");
}

/// Texts in the form of a gateway credential, complete or not.
fn looks_like_gateway_credential(jwt: &str) -> Vec<String> {
    let (head, rest) = jwt.split_once('.').expect("parts");
    let (body, tag) = rest.split_once('.').expect("parts");
    let spaced = |text: &str| B64.encode(text);
    let jwe = format!("{}..{tag}.{body}.{tag}", B64.encode(r#"{"alg":"dir","enc":"A256GCM"}"#));
    vec![
        jwt.to_owned(),
        head.to_owned(),
        format!("{head}."),
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        format!("{head}..{tag}"),
        format!(".{body}.{tag}"),
        format!("x{jwt}"),
        format!("{jwt}{jwt}"),
        format!("{jwt}."),
        format!("jwt:{jwt}"),
        format!("jwt:{jwe}"),
        format!("token={jwe}"),
        format!("bearer:{}", &jwe[..40]).replace("..", "."),
        format!("<{jwt}>"),
        format!("sk-{jwt}"),
        jwe.clone(),
        format!("Bearer{jwe}"),
        format!("{}.{body}.{tag}", spaced("{ \"alg\": \"HS256\"}")),
        format!("{}.{body}.{tag}", spaced("{\n \"alg\": \"HS256\"}")),
        format!("key/{}.{}.{tag}", spaced("{\r\n\t\"alg\":\"HS256\"}"), spaced("{\n}")),
        spaced("{\n \"alg\": \"HS256\", \"typ\": \"JWT\"}"),
        B64.encode(jwt),
        jwt.replace('.', "%2E"),
        "a.b.c".to_owned(),
        "a.b.c.d.e".to_owned(),
        "a..c.d.e".to_owned(),
        KEY.to_owned(),
        "tg-unknown".to_owned(),
        "tg-".to_owned(),
        "TG-Live-1".to_owned(),
        "Tg-x".to_owned(),
        "key:tg-x".to_owned(),
        "token=TG-x".to_owned(),
        "<tg-x>".to_owned(),
    ]
}

/// Under any policy and in either header: a text in the form of a gateway credential is never an
/// upstream key.
#[test]
fn gateway_credentials_never_become_upstream_keys() {
    let jwt = good();
    let looks = looks_like_gateway_credential(&jwt);
    let policies = [
        policy(&ALL, Some(jwt_policy())),
        policy(&ALL, None),
        policy(&[Accept::Passthrough], None),
        policy(&[Accept::Passthrough], Some(jwt_policy())),
        policy(&[Accept::Anonymous, Accept::Passthrough], None),
        AuthPolicy { keys: HashMap::new(), ..policy(&[Accept::Passthrough, Accept::Key], None) },
    ];
    for policy in &policies {
        for text in &looks {
            let good = jwt.clone();
            let places: [&[(&str, &str)]; 4] = [
                &[("authorization", &bearer(text))],
                &[("x-api-key", text)],
                &[("authorization", &bearer(text)), ("x-tollgate-token", &good)],
                &[("x-api-key", text), ("x-tollgate-token", KEY)],
            ];
            for list in places {
                let upstream = ask(policy, list, false).ok().and_then(|caller| caller.upstream_key);
                assert!(upstream.is_none(), "{:?} {list:?}", policy.options.accept);
            }
        }
        // Neither is a caller without a credential: one that is wrong is not taken for none.
        for text in looks.iter().filter(|text| **text != jwt && *text != KEY) {
            let found = ask(policy, &[("authorization", &bearer(text))], false);
            assert!(found.is_err(), "{:?} {text}: {found:?}", policy.options.accept);
        }
    }
}

/// Keys of providers pass through if the policy allows it.
#[test]
fn provider_keys_pass_through() {
    let policy = policy(&[Accept::Passthrough], None);
    for key in [
        "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ_-x",
        "sk-ant-api03-AAAA-tg-BBBB_eyJhbGciOi-CC",
        "sk-or-v1-0123456789abcdef",
        "gsk_abc123",
        "AIzaSyA-0123456789",
        "ya29.a0AfH6SMBx-y_z",
        "id.secret",
        "sk-a.b.c.d",
        "0123456789abcdef0123456789abcdef",
        "r8_tg-x",
        "hf_eyJx",
        "pplx-1:2",
    ] {
        let found = check_token(&policy, key).expect("a provider's key");
        assert_eq!(found.upstream_key, Some(Secret::new(key)));
    }
}

proptest! {
    /// Random keys of the alphabets that providers use are passed through, and JWTs cut anywhere
    /// are not.
    #[test]
    fn forms_are_told_apart(random in "(sk-|gsk_|xai-|)[A-Za-z0-9]{20,160}", cut in 8usize..200) {
        let policy = policy(&[Accept::Passthrough], None);
        prop_assert!(check_token(&policy, &random).is_ok(), "{}", random);
        let jwt = good();
        prop_assert!(check_token(&policy, &jwt[..cut.min(jwt.len())]).is_err());
        let marked = ["jwt:", &jwt[..cut.max(40).min(jwt.len())]].concat();
        prop_assert!(check_token(&policy, &marked).is_err(), "{}", marked);
    }
}

#[test]
fn where_a_jwt_is_needed_nothing_else_will_do() {
    let policy = policy(&ALL, Some(jwt_policy()));
    let jwt = good();
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[], "missing_token"),
        (&[("authorization", "Bearer sk-own")], "invalid_token"),
        (&[("x-api-key", KEY)], "invalid_token"),
        (&[("x-tollgate-token", KEY)], "invalid_token"),
        (&[("x-tollgate-token", "sk-own")], "invalid_token"),
        (&[("x-api-key", &jwt)], "acme Jwt ann -"),
        (&[("x-tollgate-token", &jwt), ("authorization", "Bearer sk-own")], "acme Jwt ann sk-own"),
    ];
    for (list, expected) in table {
        assert_eq!(&line(ask(&policy, list, true)), expected, "{list:?}");
    }
    let unchecked = AuthPolicy { jwt: None, ..policy };
    assert_eq!(line(ask(&unchecked, &[("x-api-key", &jwt)], true)), "invalid_token");
}

#[test]
fn passthrough_organisations_are_stable_and_tell_nothing() {
    let policy = policy(&[Accept::Passthrough], None);
    let org = |key: &str| check_token(&policy, key).expect("caller").org.as_str().to_owned();
    // printf %s sk-one | sha256sum
    let sum = digest::digest(&digest::SHA256, b"sk-one");
    let hex: String = sum.as_ref()[..6].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(org("sk-one"), format!("key-{hex}"));
    assert_ne!(org("sk-one"), org("sk-two"));
}

// ---- the required form of a token

#[test]
fn headers_of_tokens_are_strict() {
    let policy = jwt_only(jwt_policy());
    let table = [
        (HS256, true),
        (r#"{"alg":"HS256"}"#, true),
        (r#"{"alg":"HS256","typ":"at+jwt"}"#, true),
        (r#"{"alg":"HS256","typ":"jwt","kid":"../../etc/passwd"}"#, true),
        (r#"{"alg":"HS256","kid":"' OR 1=1--"}"#, true),
        // Keys and addresses inside a token are ignored; the configured secret decides.
        (
            r#"{"alg":"HS256","jku":"http://evil/","jwk":{"kty":"oct","k":"AA"},"x5u":"http://evil/","x5c":["AA"]}"#,
            true,
        ),
        (r#"{"alg":"none"}"#, false),
        (r#"{"alg":"None"}"#, false),
        (r#"{"alg":"nOnE"}"#, false),
        (r#"{"alg":""}"#, false),
        (r#"{"alg":"hs256"}"#, false),
        (r#"{"alg":null}"#, false),
        (r#"{"alg":["HS256"]}"#, false),
        (r#"{"typ":"JWT"}"#, false),
        (r#"{"alg":"HS512"}"#, false),
        (r#"{"alg":"RS256"}"#, false),
        (r#"{"alg":"HS256","crit":["exp"]}"#, false),
        (r#"{"alg":"HS256","crit":[]}"#, false),
        (r#"{"alg":"HS256","b64":false}"#, false),
        (r#"{"alg":"HS256","b64":true}"#, false),
        (r#"{"alg":"HS256","zip":"DEF"}"#, false),
        (r#"{"alg":"HS256","enc":"A128GCM"}"#, false),
        (r#"{"alg":"HS256","typ":"JWE"}"#, false),
        (r#"{"alg":"HS256","typ":1}"#, false),
        (r#"{"alg":"HS256","typ":null}"#, false),
        (r#"{"alg":"HS256","kid":1}"#, false),
        (r#"{"alg":"HS256","alg":"HS256"}"#, false),
        (r#"["HS256"]"#, false),
        (r#"{"alg":"HS256"} "#, true),
        (r#"{"alg":"HS256"}x"#, false),
        ("", false),
    ];
    for (header, expected) in table {
        let found = check_token(&policy, &signed(header, &claims(&json!({}))));
        assert_eq!(found.is_ok(), expected, "{header}: {found:?}");
        assert!(found.is_ok() || found.is_err_and(|e| e.code() == Code::InvalidToken), "{header}");
    }
    let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(257));
    assert!(check_token(&policy, &signed(&long, &claims(&json!({})))).is_err());
}

#[test]
fn times_are_numbers_and_kept() {
    let policy = jwt_only(jwt_policy());
    let table = [
        (json!({"exp": NOW_S - 29}), true),
        (json!({"exp": NOW_S - 30}), false),
        (json!({"exp": NOW_S - 31}), false),
        (json!({"exp": NOW_S as f64 + 0.5}), true),
        (json!({"exp": null}), false),
        (json!({"exp": (NOW_S + 600).to_string()}), false),
        (json!({"exp": true}), false),
        (json!({"exp": [NOW_S + 600]}), false),
        (json!({"exp": 1e300}), false),
        (json!({"exp": -1}), false),
        (json!({"exp": (NOW_S + 600) * 1000}), false),
        (json!({"nbf": NOW_S + 30}), true),
        (json!({"nbf": NOW_S + 31}), false),
        (json!({"nbf": "soon"}), false),
        (json!({"iat": NOW_S + 30}), true),
        (json!({"iat": NOW_S + 31}), false),
        (json!({"iat": "then"}), false),
        (json!({"iat": null, "nbf": null}), true),
    ];
    for (change, expected) in table {
        let found = check_token(&policy, &signed(HS256, &claims(&change)));
        assert_eq!(found.is_ok(), expected, "{change}: {found:?}");
        assert!(found.is_ok() || found.is_err_and(|e| e.code() == Code::InvalidToken), "{change}");
    }
}

#[test]
fn issuer_and_audience_are_exact() {
    let mut jwt = jwt_policy();
    (jwt.options.issuer, jwt.options.audience) =
        ("https://id.example".to_owned(), "tollgate".to_owned());
    let policy = jwt_only(jwt);
    let with = |iss: Json, aud: Json| json!({"iss": iss, "aud": aud});
    let iss = || json!("https://id.example");
    let table = [
        (with(iss(), json!("tollgate")), true),
        (with(iss(), json!(["other", "tollgate"])), true),
        (with(iss(), json!(["tollgate", 1])), false),
        (with(iss(), json!(["other"])), false),
        (with(iss(), json!([])), false),
        (with(iss(), json!("Tollgate")), false),
        (with(iss(), json!({"tollgate": true})), false),
        (with(iss(), Json::Null), false),
        (with(json!("https://id.example/"), json!("tollgate")), false),
        (with(json!(["https://id.example"]), json!("tollgate")), false),
        (with(Json::Null, json!("tollgate")), false),
    ];
    for (change, expected) in table {
        assert_eq!(
            check_token(&policy, &signed(HS256, &claims(&change))).is_ok(),
            expected,
            "{change}"
        );
    }
    // Not configured, not checked; but of the right type.
    let policy = jwt_only(jwt_policy());
    assert!(
        check_token(&policy, &signed(HS256, &claims(&with(json!("any"), json!(["any"]))))).is_ok()
    );
    assert!(
        check_token(&policy, &signed(HS256, &claims(&with(json!(["any"]), json!("any"))))).is_err()
    );
}

#[test]
fn organisations_are_plain_names_or_numbers() {
    let mut nested = jwt_policy();
    nested.org_claim = vec!["app".to_owned(), "org".to_owned()];
    let (flat, nested) = (jwt_only(jwt_policy()), jwt_only(nested));
    let table = [
        (&flat, json!({"org_id": "a.b_c:d"}), Ok("a.b_c:d")),
        (&flat, json!({"org_id": 4711}), Ok("4711")),
        (&flat, json!({"org_id": 0}), Ok("0")),
        (&flat, json!({"org_id": null}), Err(())),
        (&flat, json!({"org_id": ""}), Err(())),
        (&flat, json!({"org_id": -1}), Err(())),
        (&flat, json!({"org_id": 1.5}), Err(())),
        (&flat, json!({"org_id": true}), Err(())),
        (&flat, json!({"org_id": ["acme"]}), Err(())),
        (&flat, json!({"org_id": {}}), Err(())),
        (&flat, json!({"org_id": "a b"}), Err(())),
        (&flat, json!({"org_id": "a\nb"}), Err(())),
        (&flat, json!({"org_id": "аcme"}), Err(())),
        (&flat, json!({"org_id": "x".repeat(129)}), Err(())),
        (&flat, json!({"org_id": "{}"}), Err(())),
        // Names that the gateway gives itself.
        (&flat, json!({"org_id": "anonymous"}), Err(())),
        (&flat, json!({"org_id": "Anonymous"}), Err(())),
        (&flat, json!({"org_id": "passthrough"}), Err(())),
        (&flat, json!({"org_id": "key-0123456789ab"}), Err(())),
        (&flat, json!({"org_id": "KEY-acme"}), Err(())),
        (&nested, json!({"app": {"org": "key-acme"}}), Err(())),
        (&flat, json!({"org_id": "keys"}), Ok("keys")),
        (&nested, json!({"app": {"org": "acme"}}), Ok("acme")),
        (&nested, json!({"app": {"org": {"org": "acme"}}}), Err(())),
        (&nested, json!({"app": "acme"}), Err(())),
        (&nested, json!({"app.org": "acme"}), Err(())),
    ];
    for (policy, change, expected) in table {
        let found = check_token(policy, &signed(HS256, &claims(&change)));
        match expected {
            Ok(org) => assert_eq!(found.expect("caller").org.as_str(), org, "{change}"),
            Err(()) => {
                assert_eq!(found.map_err(AuthError::code), Err(Code::OrgMissing), "{change}")
            }
        }
    }
    // A token that does not verify says nothing of its organisation.
    let forged = signed_with(hmac::HMAC_SHA256, b"x", HS256, &claims(&json!({"org_id": null})));
    assert_eq!(check_token(&flat, &forged).map_err(AuthError::code), Err(Code::InvalidToken));
}

#[test]
fn a_token_has_one_spelling() {
    let (policy, token) = (jwt_only(jwt_policy()), good());
    let parts: Vec<&str> = token.split('.').collect();
    let (head, body, tag) = (parts[0], parts[1], parts[2]);
    // The last letter of 32 bytes in base64url has two bits to spare; a lenient decoder takes four
    // spellings.
    let last = tag.chars().last().expect("letter");
    let spare = char::from(
        B64.encode([B64.decode(format!("{last}AAA")).expect("letter")[0] | 0b100]).as_bytes()[0],
    );
    let spelled = format!("{}{spare}", &tag[..tag.len() - 1]);
    assert_ne!(spelled, tag);
    let deep = format!(
        r#"{{"org_id":"acme","exp":{},"x":{}1{}}}"#,
        NOW_S + 9,
        "[".repeat(900),
        "]".repeat(900)
    );
    let twice = format!(r#"{{"org_id":"victim","org_id":"acme","exp":{}}}"#, NOW_S + 9);
    let table = [
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        format!("{head}.{body}.{tag}."),
        format!("{head}.{body}.{tag}.x"),
        format!("{head}.{body}.{tag}="),
        format!("{head}=.{body}.{tag}"),
        format!("{head}.{body}.{tag}%20"),
        format!("{head}.{body}.{}", tag.replace(['-', '_'], "+")) + "/",
        format!("{head}.{body}.{spelled}"),
        format!("{head}..{tag}"),
        format!(".{body}.{tag}"),
        format!("{head}.{body}.{}", &tag[..tag.len() - 4]),
        signed(HS256, &deep),
        signed(HS256, &twice),
        signed(HS256, "[]"),
        signed(HS256, "null"),
        signed(HS256, ""),
        signed_with(hmac::HMAC_SHA512, SECRET.as_bytes(), HS256, &claims(&json!({}))),
        signed_with(hmac::HMAC_SHA256, b"", HS256, &claims(&json!({}))),
    ];
    for token in table {
        let found = check_token(&policy, &token);
        assert_eq!(found.as_ref().map_err(|e| e.code()), Err(Code::InvalidToken), "{token}");
        // Nothing of the token is said back.
        let message = found.expect_err("refused").to_string();
        assert!(!message.contains(head) && !message.contains("acme"), "{message}");
    }
    let not_text = [B64.encode(HS256), B64.encode(b"\xff\xfe{}")].join(".");
    let tag =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), not_text.as_bytes());
    assert!(check_token(&policy, &format!("{not_text}.{}", B64.encode(tag))).is_err());
}

proptest! {
    /// No change of a single byte leaves a token valid, nor makes it something other than refused.
    #[test]
    fn any_changed_byte_is_refused(at in 0usize..1000, to in 0x21u8..0x7f) {
        let (policy, token) = (policy(&ALL[..2], Some(jwt_policy())), good());
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let changed = String::from_utf8(bytes).expect("ascii");
        prop_assert!(check_token(&policy, &changed).is_err());
    }

    /// Any input gets an answer, and the answer quotes no part of it.
    #[test]
    fn any_bearer_has_an_answer(text in "[!-~]{1,200}", jwt_like: bool) {
        let policy = policy(&ALL[..2], Some(jwt_policy()));
        let text = if jwt_like { format!("eyJ{text}.{text}.{text}") } else { text };
        let refusal = check_token(&policy, &text).expect_err("no key").to_string();
        prop_assert!(text.len() < 8 || !refusal.contains(&text));
    }
}

// ---- key sets

/// A signing key, its JWK, and how it signs.
struct Signer {
    jwk: Json,
    algorithm: &'static str,
    sign: Sign,
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

impl Signer {
    fn token(&self, kid: Option<&str>, change: &Json) -> String {
        let mut header = json!({"alg": self.algorithm});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims(change)));
        let tag = (self.sign)(message.as_bytes());
        format!("{message}.{}", B64.encode(tag))
    }
}

fn set(keys: &[&Json]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

/// The two numbers of a PKCS #1 public key: SEQUENCE { INTEGER, INTEGER }.
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn take(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, start) = match der[1] {
            n if n < 0x80 => (usize::from(n), 2),
            0x81 => (usize::from(der[2]), 3),
            _ => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
        };
        der[start..].split_at(length)
    }
    let (n, rest) = take(take(der).0);
    let (e, _) = take(rest);
    let plain = |number: &[u8]| number.iter().copied().skip_while(|b| *b == 0).collect();
    (plain(n), plain(e))
}

fn rsa(kid: &str, algorithm: &'static str) -> Signer {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("key");
    let (n, e) = rsa_numbers(pair.public_key().as_ref());
    let encoding = if algorithm == "PS256" {
        &signature::RSA_PSS_SHA256
    } else {
        &signature::RSA_PKCS1_SHA256
    };
    Signer {
        jwk: json!({"kty": "RSA", "use": "sig", "kid": kid, "n": B64.encode(n), "e": B64.encode(e)}),
        algorithm,
        sign: Box::new(move |message| {
            let mut tag = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut tag).expect("signature");
            tag
        }),
    }
}

fn es256(kid: &str) -> Signer {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key");
    let point = pair.public_key().as_ref().to_vec();
    Signer {
        jwk: json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..])}),
        algorithm: "ES256",
        sign: Box::new(move |message| {
            pair.sign(&SystemRandom::new(), message).expect("signature").as_ref().to_vec()
        }),
    }
}

fn es512(kid: &str) -> Signer {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("key");
    let point = pair.public_key().as_ref().to_vec();
    Signer {
        jwk: json!({"kty": "EC", "crv": "P-521", "kid": kid, "alg": "ES512", "x": B64.encode(&point[1..67]), "y": B64.encode(&point[67..])}),
        algorithm: "ES512",
        sign: Box::new(move |message| {
            pair.sign(&SystemRandom::new(), message).expect("signature").as_ref().to_vec()
        }),
    }
}

fn ed25519(kid: &str) -> Signer {
    let pair = Ed25519KeyPair::generate().expect("key");
    Signer {
        jwk: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": B64.encode(pair.public_key().as_ref())}),
        algorithm: "EdDSA",
        sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
    }
}

/// A server of key sets that counts.
#[derive(Default)]
struct Server {
    asked: Mutex<usize>,
    answer: Mutex<Option<Vec<u8>>>,
}

impl Server {
    fn serve(&self, answer: Option<Vec<u8>>) {
        *self.answer.lock().expect("lock") = answer;
    }
    fn asked(&self) -> usize {
        *self.asked.lock().expect("lock")
    }
}

impl KeySetFetch for Server {
    async fn fetch(&self, address: &Uri, _: usize) -> Result<Vec<u8>, FetchError> {
        assert_eq!(address.to_string(), "https://id.example/jwks");
        *self.asked.lock().expect("lock") += 1;
        // So that other calls come in between.
        tokio::task::yield_now().await;
        self.answer.lock().expect("lock").clone().ok_or_else(|| FetchError("status 500".to_owned()))
    }
}

fn by_set(source: JwksSource) -> AuthPolicy {
    let mut jwt = jwt_policy();
    jwt.options.algorithms = vec![
        Algorithm::HS256,
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ];
    jwt.jwks = Some(source);
    jwt_only(jwt)
}

fn url() -> JwksSource {
    JwksSource::Url(Uri::from_static("https://id.example/jwks"))
}

async fn ask_set(
    auth: &Authenticator,
    policy: &AuthPolicy,
    server: &Server,
    token: &str,
    at_ms: i64,
) -> bool {
    let headers = headers(&[("authorization", &bearer(token))]);
    auth.authenticate(policy, &headers, at_ms, false, server).await.is_ok()
}

#[test]
fn each_family_verifies_with_its_own_key_only() {
    let signers = [rsa("r", "RS256"), rsa("p", "PS256"), es256("e"), es512("f"), ed25519("d")];
    let keys: Vec<&Json> = signers.iter().map(|s| &s.jwk).collect();
    let (server, policy, auth) = (Server::default(), by_set(url()), Authenticator::default());
    server.serve(Some(set(&keys)));
    now(async {
        for signer in &signers {
            let kid = signer.jwk["kid"].as_str();
            assert!(
                ask_set(&auth, &policy, &server, &signer.token(kid, &json!({})), NOW_MS).await,
                "{kid:?}"
            );
            // Without a key id every key that fits is tried.
            assert!(
                ask_set(&auth, &policy, &server, &signer.token(None, &json!({})), NOW_MS).await,
                "{kid:?}"
            );
            // Another's key id.
            assert!(
                !ask_set(&auth, &policy, &server, &signer.token(Some("x"), &json!({})), NOW_MS)
                    .await
            );
            for other in signers.iter().filter(|o| o.jwk["kid"] != signer.jwk["kid"]) {
                let token = signer.token(other.jwk["kid"].as_str(), &json!({}));
                assert!(!ask_set(&auth, &policy, &server, &token, NOW_MS).await);
            }
        }
        // The public key as an HMAC secret, in every form it is known in.
        let jwk = &signers[0].jwk;
        let n = jwk["n"].as_str().expect("n");
        for secret in [
            n.as_bytes().to_vec(),
            B64.decode(n).expect("n"),
            jwk.to_string().into_bytes(),
            Vec::new(),
        ] {
            let token = signed_with(
                hmac::HMAC_SHA256,
                &secret,
                r#"{"alg":"HS256","kid":"r"}"#,
                &claims(&json!({})),
            );
            assert!(!ask_set(&auth, &policy, &server, &token, NOW_MS).await);
        }
        // The configured secret still signs HS.
        assert!(ask_set(&auth, &policy, &server, &good(), NOW_MS).await);
    });
    assert_eq!(server.asked(), 1);
}

/// The examples of the standard: RFC 7515, appendix A.1 (HS256) and A.4 (ES512).
#[test]
fn signatures_of_the_standard_verify() {
    let secret = B64
        .decode(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-\
            1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        )
        .expect("base64");
    let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let tag = B64.decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").expect("base64");
    let key = hmac_key(Algorithm::HS256, &secret).expect("a key");
    assert!(hmac::verify(&key, message.as_bytes(), &tag).is_ok());
    let x =
        "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk";
    let y =
        "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2";
    let point = [vec![4], B64.decode(x).expect("x"), B64.decode(y).expect("y")].concat();
    let key = PublicKey::Ec { algorithm: Algorithm::ES512, point };
    let message = b"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
    let signature = B64
        .decode(
            "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_\
                7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
        )
        .expect("base64");
    assert!(key.verifies(Algorithm::ES512, message, &signature));
    assert!(!key.verifies(Algorithm::ES384, message, &signature));
    assert!(!key.verifies(Algorithm::ES512, b"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZB", &signature));
}

#[test]
fn sets_are_bounded_and_weak_keys_left_out() {
    let (good, other, edwards) = (es256("k"), rsa("k", "RS256"), ed25519("k"));
    let with = |jwk: &Json, changes: Json| {
        let mut jwk = jwk.clone();
        jwk.as_object_mut().expect("object").extend(changes.as_object().expect("object").clone());
        jwk
    };
    let (ec, big) = (&good.jwk, &other.jwk);
    let table: Vec<(Vec<u8>, &Signer, bool)> = vec![
        (set(&[ec]), &good, true),
        (set(&[big]), &other, true),
        // The same id twice: both are tried.
        (set(&[big, ec]), &good, true),
        (
            set(&[&json!({"kty": "oct", "kid": "k", "k": "AAAA"}), &json!({"kty": "new"}), ec]),
            &good,
            true,
        ),
        (set(&[&with(ec, json!({"use": "enc"}))]), &good, false),
        (set(&[&with(ec, json!({"key_ops": ["sign"]}))]), &good, false),
        (set(&[&with(ec, json!({"key_ops": ["verify"]}))]), &good, true),
        (set(&[&with(ec, json!({"alg": "ES384"}))]), &good, false),
        (set(&[&with(ec, json!({"alg": 1}))]), &good, false),
        (set(&[&with(ec, json!({"crv": "P-521"}))]), &good, false),
        (set(&[&with(ec, json!({"x": "AAAA"}))]), &good, false),
        // Points that are not on the curve.
        (set(&[&with(ec, json!({"x": B64.encode([7; 32])}))]), &good, false),
        (set(&[&with(&edwards.jwk, json!({"x": B64.encode([0xff; 32])}))]), &edwards, false),
        (set(&[&edwards.jwk]), &edwards, true),
        (set(&[&with(big, json!({"alg": "PS256"}))]), &other, false),
        (set(&[&with(big, json!({"n": B64.encode([0xff; 64])}))]), &other, false),
        (set(&[&with(big, json!({"n": B64.encode([0xff; 2048])}))]), &other, false),
        (set(&[&with(big, json!({"e": B64.encode([1])}))]), &other, false),
        (set(&[&with(big, json!({"e": B64.encode([2])}))]), &other, false),
        (set(&[ec; 65]), &good, false),
        ([set(&[ec]), vec![b' '; 300 << 10]].concat(), &good, false),
        (b"<html>".to_vec(), &good, false),
        (b"{\"keys\": {}}".to_vec(), &good, false),
        (Vec::new(), &good, false),
    ];
    for (i, (answer, signer, expected)) in table.into_iter().enumerate() {
        let (server, policy, auth) = (Server::default(), by_set(url()), Authenticator::default());
        server.serve(Some(answer));
        let found =
            now(ask_set(&auth, &policy, &server, &signer.token(Some("k"), &json!({})), NOW_MS));
        assert_eq!(found, expected, "row {i}");
    }
}

#[test]
fn rotation_is_followed_and_an_outage_survived() {
    let (old, new) = (es256("old"), es256("new"));
    let (server, policy, auth) = (Server::default(), by_set(url()), Authenticator::default());
    let token =
        |signer: &Signer| signer.token(signer.jwk["kid"].as_str(), &json!({"exp": NOW_S + 86_400}));
    let (old_token, new_token) = (token(&old), token(&new));
    now(async {
        // Down at the start: refused, and asked again only after the cool-down.
        for _ in 0..50 {
            assert!(!ask_set(&auth, &policy, &server, &old_token, NOW_MS).await);
        }
        assert_eq!(server.asked(), 1);
        server.serve(Some(set(&[&old.jwk])));
        assert!(!ask_set(&auth, &policy, &server, &old_token, NOW_MS + 29_999).await);
        assert!(ask_set(&auth, &policy, &server, &old_token, NOW_MS + 30_000).await);
        assert_eq!(server.asked(), 2);

        // A new key: known after the cool-down, asked for once.
        server.serve(Some(set(&[&old.jwk, &new.jwk])));
        assert!(!ask_set(&auth, &policy, &server, &new_token, NOW_MS + 40_000).await);
        assert!(ask_set(&auth, &policy, &server, &new_token, NOW_MS + 60_000).await);
        assert_eq!(server.asked(), 3);

        // Down later, and nonsense: the last good set is kept.
        for (i, answer) in [None, Some(b"<html>".to_vec()), Some(set(&[]))].into_iter().enumerate()
        {
            server.serve(answer);
            let at = NOW_MS + 100_000 + 40_000 * i as i64;
            assert!(
                !ask_set(
                    &auth,
                    &policy,
                    &server,
                    &es256("other").token(Some("other"), &json!({})),
                    at
                )
                .await
            );
            assert!(ask_set(&auth, &policy, &server, &old_token, at).await);
        }
        assert_eq!(server.asked(), 6);

        // An old set that cannot be renewed is kept, too, and asked for again after the cool-down.
        server.serve(None);
        let old = NOW_MS + 60_000 + 900_000;
        for (at, asked) in [(old, 7), (old + 29_999, 7), (old + 30_000, 8)] {
            assert!(ask_set(&auth, &policy, &server, &old_token, at).await);
            assert_eq!(server.asked(), asked);
        }

        // The old key is withdrawn: it is gone when the set has grown old, and so are tokens that
        // it verified.
        server.serve(Some(set(&[&new.jwk])));
        let later = old + 60_000;
        assert!(ask_set(&auth, &policy, &server, &new_token, later).await);
        assert!(!ask_set(&auth, &policy, &server, &old_token, later).await);
        assert_eq!(server.asked(), 9);
    });
}

#[test]
fn of_many_calls_at_once_one_asks() {
    let (server, policy, auth) = (Server::default(), by_set(url()), Authenticator::default());
    let signer = es256("k");
    server.serve(Some(set(&[&signer.jwk])));
    let token = signer.token(Some("k"), &json!({}));
    now(async {
        let calls = (0..200).map(|_| ask_set(&auth, &policy, &server, &token, NOW_MS));
        let mut calls: Vec<_> = calls.map(Box::pin).collect();
        let all = std::future::poll_fn(|context| {
            calls.retain_mut(|call| {
                call.as_mut().poll(context).map(|good| assert!(good)).is_pending()
            });
            if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        all.await;
        assert_eq!(server.asked(), 1);
        // A caller that leaves while it asks does not shut the others out for the whole cool-down.
        let fresh = Authenticator::default();
        let mut left = Box::pin(ask_set(&fresh, &policy, &server, &token, NOW_MS));
        let once = std::future::poll_fn(|context| {
            std::task::Poll::Ready(left.as_mut().poll(context).is_pending())
        });
        assert!(once.await, "it waits for the server");
        drop(left);
        assert!(!ask_set(&fresh, &policy, &server, &token, NOW_MS + 500).await);
        assert!(ask_set(&fresh, &policy, &server, &token, NOW_MS + 1_000).await);
    });
}

#[test]
fn a_file_is_read_again_when_it_changes() {
    let dir = tempfile::TempDir::new().expect("folder");
    let path: PathBuf = dir.path().join("jwks.json");
    let (old, new) = (es256("a"), es256("b"));
    let (policy, auth) = (by_set(JwksSource::File(path.clone())), Authenticator::default());
    let ask = |signer: &Signer, at: i64| {
        let token = signer.token(signer.jwk["kid"].as_str(), &json!({"exp": NOW_S + 900}));
        now(auth.authenticate(
            &policy,
            &headers(&[("authorization", &bearer(&token))]),
            NOW_MS + at,
            false,
            &NoFetch,
        ))
        .is_ok()
    };
    assert!(!ask(&old, 0));
    fs::write(&path, set(&[&old.jwk])).expect("write");
    assert!(!ask(&old, 499));
    assert!(ask(&old, 500));
    fs::write(&path, set(&[&new.jwk])).expect("write");
    assert!(ask(&new, 4_000) && !ask(&old, 4_000));
    fs::write(&path, "{").expect("write");
    assert!(ask(&new, 6_000));
    fs::remove_file(&path).expect("remove");
    assert!(ask(&new, 8_000));
}

// ---- tokens that come again

#[test]
fn what_was_verified_is_judged_again_by_time_and_policy() {
    let (auth, token) = (Authenticator::default(), good());
    let list = headers(&[("authorization", &bearer(&token))]);
    let ask = |policy: &AuthPolicy, at_s: i64| {
        now(auth.authenticate(policy, &list, at_s * 1000, false, &NoFetch))
    };
    let policy = jwt_only(jwt_policy());
    assert!(ask(&policy, NOW_S).is_ok());
    assert!(ask(&policy, NOW_S + 629).is_ok());
    assert!(ask(&policy, NOW_S + 630).is_err());
    assert!(ask(&policy, NOW_S - 41).is_err());
    // The signature is checked once for a token: with another secret under the same fingerprint it
    // would not verify.
    let same_rules =
        JwtPolicy::of_secret(SecretBytes::new(b"another secret, and long enough"), [1; 32]);
    assert!(ask(&jwt_only(same_rules), NOW_S).is_ok());
    // Another secret: another fingerprint, and tokens verified under the old one are no longer
    // valid.
    let mut changed = jwt_policy();
    (changed.secrets, changed.fingerprint) =
        (vec![SecretBytes::new(b"another secret, and long enough")], [2; 32]);
    assert!(ask(&jwt_only(changed), NOW_S).is_err());
    // No longer accepted at all.
    let keys_only =
        AuthPolicy { options: AuthOptions::accepting(vec![Accept::Key]), ..jwt_only(jwt_policy()) };
    assert!(ask(&keys_only, NOW_S).is_err());
    assert!(ask(&policy, NOW_S).is_ok());
}

#[test]
fn the_configuration_gives_every_rule_its_own_fingerprint() {
    let policy = |yaml: &str| {
        let dir = tempfile::TempDir::new().expect("folder");
        let file = dir.path().join("p.yaml");
        fs::write(&file, yaml).expect("write");
        let loaded = crate::config::Source::File(file).load(0).expect("good");
        loaded.policy.auth.jwt.expect("jwt").fingerprint
    };
    let base = policy("auth: {jwt: {secret: 0123456789abcdef0}}");
    assert_eq!(base, policy("auth: {jwt: {secret: 0123456789abcdef0}}\nlimits: {burst: 1}"));
    for other in [
        "secret: 0123456789abcdef1",
        "secret: 0123456789abcdef0, issuer: x",
        "secret: 0123456789abcdef0, audience: x",
        "secret: 0123456789abcdef0, org_claim: x",
        "secret: 0123456789abcdef0, leeway: 31s",
        "secret: 0123456789abcdef0, algorithms: [HS384]",
        "secret: 0123456789abcdef0, jwks: a.json, algorithms: [HS256, RS256]",
    ] {
        assert_ne!(base, policy(&format!("auth: {{jwt: {{{other}}}}}")), "{other}");
    }
}
