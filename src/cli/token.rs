//! `tollgate token`: signs a JWT with the configured HS secret, to try things out.
//!
//! The token goes to stdout and nothing else does, so that `OPENAI_API_KEY=$(tollgate token --org
//! acme)` works.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json, json};

use super::print;
use crate::auth::hmac_key;
use crate::clock;
use crate::config;
use crate::config::policy::{Algorithm, JwtPolicy};
use crate::failure::Failure;
use crate::ids::OrgId;

/// Arguments of `tollgate token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration: folder or file [default: $TOLLGATE_CONFIG or ./config]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Organisation that the token speaks for
    #[arg(long, value_name = "ORG")]
    org: String,
    /// Holder of the token; the `caller` in the log
    #[arg(long, value_name = "NAME")]
    sub: Option<String>,
    /// Time for which it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = config::duration)]
    ttl: Duration,
}

/// Prints a token.
///
/// # Errors
/// [`Failure::User`] if no HS secret is configured or the organisation's name is none.
pub fn run(args: &Args) -> Result<(), Failure> {
    let loaded = config::load_to_read(args.config.as_deref(), config::Uses::JwtSecret)
        .map_err(|problems| Failure::User(problems.to_string()))?;
    let org = OrgId::new(&args.org).ok_or_else(|| {
        Failure::User(
            "--org: not the name of an organisation; give 1 to 128 of A-Z a-z 0-9 . _ \
            : @ + = / -"
                .to_owned(),
        )
    })?;
    if org.is_reserved() {
        return Err(Failure::User(format!(
            "--org: `{org}` is reserved for callers without an organisation; give another name"
        )));
    }
    if args.ttl < Duration::from_secs(1) {
        return Err(Failure::User(
            "--ttl: a token is valid for whole seconds; give at least 1s".to_owned(),
        ));
    }
    let signed = loaded.policy.auth.jwt.as_ref().and_then(|jwt| {
        let algorithm = jwt.hs_algorithm()?;
        sign(jwt, algorithm, &org, args.sub.as_deref(), args.ttl, clock::wall_ms() / 1000)
    });
    let Some(token) = signed else {
        return Err(Failure::User(
            "no secret is configured, so no token can be signed; set `auth.jwt.secret`: run\n  \
                export TOLLGATE_JWT_SECRET=$(openssl rand -hex \
             32)\nand write in policies/*.yaml auth: {jwt: {secret: \"${TOLLGATE_JWT_SECRET}\"}}"
                .to_owned(),
        ));
    };
    print::line(&token)?;
    Ok(())
}

/// A token that the policy accepts; `None` if the algorithm needs more than a secret.
pub(crate) fn sign(
    jwt: &JwtPolicy,
    algorithm: Algorithm,
    org: &OrgId,
    sub: Option<&str>,
    ttl: Duration,
    now_s: i64,
) -> Option<String> {
    let mut claims = Map::new();
    let expires = now_s.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    claims.insert("iat".to_owned(), json!(now_s));
    claims.insert("exp".to_owned(), json!(expires));
    for (name, value) in [("iss", &jwt.options.issuer), ("aud", &jwt.options.audience)] {
        if !value.is_empty() {
            claims.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(sub) = sub {
        put(&mut claims, &jwt.user_claim, sub);
    }
    put(&mut claims, &jwt.org_claim, org.as_str());
    let header = json!({"alg": format!("{algorithm:?}"), "typ": "JWT"});
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let message =
        format!("{}.{}", part(header.to_string()), part(Json::Object(claims).to_string()));
    let secret = jwt.secrets.first()?.reveal();
    let tag = hmac::sign(&hmac_key(algorithm, &secret)?, message.as_bytes());
    Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// Sets a claim: `app.org` is {"app": {"org": …}}.
fn put(claims: &mut Map<String, Json>, path: &[String], value: &str) {
    match path {
        [] => {}
        [name] => drop(claims.insert(name.clone(), json!(value))),
        [outer, rest @ ..] => {
            let inner = claims.entry(outer.clone()).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Authenticator, FetchError, KeySetFetch};

    struct NoFetch;

    impl KeySetFetch for NoFetch {
        async fn fetch(&self, _: &http::Uri, _: usize) -> Result<Vec<u8>, FetchError> {
            panic!("no key set is configured")
        }
    }

    #[test]
    fn the_gateway_accepts_what_it_signed() {
        for jwt in [
            "secret: 0123456789abcdef",
            "secret: 0123456789abcdef, algorithms: [RS256, HS512], org_claim: app.of.org, issuer: \
                me, audience: you",
            "secret: 0123456789abcdef, org_claim: app.org, user_claim: app.user.name",
            "secret: {base64: AP+AIAEC/w==}",
            "secrets: [0123456789abcdef, fedcba9876543210]",
        ] {
            let dir = tempfile::TempDir::new().expect("folder");
            let file = dir.path().join("p.yaml");
            std::fs::write(&file, format!("auth: {{jwt: {{{jwt}}}}}")).expect("write");
            let auth = config::load_to_read(Some(&file), crate::config::Uses::Everything)
                .expect("good")
                .policy
                .auth;
            let policy = auth.jwt.as_ref().expect("jwt");
            let algorithm =
                policy.options.algorithms.iter().copied().find(|a| a.is_hs()).expect("HS");
            let org = OrgId::new("acme").expect("org");
            let token = sign(policy, algorithm, &org, Some("ann"), Duration::from_secs(60), 1_000)
                .expect("token");
            let mut headers = http::HeaderMap::new();
            headers.insert("authorization", format!("Bearer {token}").parse().expect("header"));
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            let ask = |now_ms| {
                runtime.block_on(
                    Authenticator::default().authenticate(&auth, &headers, now_ms, true, &NoFetch),
                )
            };
            let caller = ask(1_000_000).expect("caller");
            assert_eq!((caller.org, &*caller.name), (org, "ann"));
            assert!(ask(1_089_999).is_ok() && ask(1_090_000).is_err());
        }
    }
}
