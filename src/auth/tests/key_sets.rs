//! Key sets: signatures, rotation, bounds, files.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use http::Uri;
use serde_json::{Value as Json, json};

use super::{
    NOW_MS, NOW_S, NoFetch, bearer, claims, good, headers, jwt_only, jwt_policy, now, signed_with,
};
use crate::auth::signature::PublicKey;
use crate::auth::{Authenticator, FetchError, KeySetFetch, hmac_key};
use crate::config::policy::{Algorithm, AuthPolicy, JwksSource};

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
