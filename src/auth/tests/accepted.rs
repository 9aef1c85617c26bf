//! Places of credentials, their order, and the kinds that a policy takes.

use std::collections::HashMap;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use proptest::prelude::*;
use serde_json::json;

use super::{
    ALL, HS256, KEY, ask, bearer, check_token, claims, good, jwt_policy, line, policy, signed_with,
};
use crate::config::policy::{Accept, AuthPolicy};
use crate::ids::Secret;

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
