//! The form that a token must have: its claims and its spelling.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{
    ALL, HS256, NOW_S, SECRET, check_token, claims, good, jwt_only, jwt_policy, policy, signed,
    signed_with,
};
use crate::auth::AuthError;
use crate::code::Code;

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
