//! Tokens that come again are answered from memory.

use std::fs;

use super::{NOW_S, NoFetch, bearer, good, headers, jwt_only, jwt_policy, now};
use crate::auth::Authenticator;
use crate::config::policy::{Accept, AuthOptions, AuthPolicy, JwtPolicy};
use crate::ids::SecretBytes;

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
