//! Risks of a configuration that an operator should know: doors that are open, secrets that can
//! be guessed, text in clear.
//!
//! One list for `tollgate check`, the start, a reload and the operators' side. Pure but for
//! [`warnings`], which looks at the modes of the data folder and of files with secrets. Does not:
//! refuse anything; what cannot be meant is a problem (see `check`).

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use http::Uri;
use tollgate_wire::ProviderKind;

use super::carriers::tells_of_credential;
use super::load::Source;
use super::policy::{
    Accept, Access, Algorithm, AuthPolicy, JwksSource, JwtPolicy, Policy, Provider, ProviderAuth,
    Settings, StoreKind,
};
use crate::glob::Glob;
use crate::live::LiveFiles;
use crate::visible::visible;

/// One `key: what it means and what to do`.
fn warning(list: &mut Vec<String>, key: &str, text: &str) {
    list.push(visible(&format!("{key}: {text}")).into_owned());
}

/// Every warning about what is configured.
pub(crate) fn warnings(settings: &Settings, policy: &Policy, live: &LiveFiles) -> Vec<String> {
    let mut list = of(settings, policy);
    list.extend(live.warnings().iter().map(|text| visible(text).into_owned()));
    if let Some(mode) = open_mode(&settings.options.data_dir) {
        let folder = settings.options.data_dir.display();
        let text = format!(
            "other users of this machine may enter {folder} (mode {mode:o}), where redacted \
             prompts and answers are kept; run \
             `chmod 700 {folder}`"
        );
        warning(&mut list, "data_dir", &text);
    }
    list
}

/// The warning about a source without any policy file.
pub(crate) fn without_policy(source: &Source) -> Option<String> {
    source.has_no_policy().then(|| {
        "policies: there is no policy file, so the built-in policy is in force with the provider \
         api.openai.com; pass a folder with policies/*.yaml as --config"
            .to_owned()
    })
}

/// The mode of a folder that is there, if others than its owner have rights in it.
fn open_mode(folder: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(folder).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The same without a look at the disk.
pub(crate) fn of(settings: &Settings, policy: &Policy) -> Vec<String> {
    let mut list = Vec::new();
    ways_in(settings.listen, &policy.auth, &mut list);
    if let Some(jwt) =
        policy.auth.jwt.as_ref().filter(|_| policy.auth.options.accept.contains(&Accept::Jwt))
    {
        tokens(jwt, &mut list);
    }
    let admin = settings.admin_listen;
    if !admin.ip().is_loopback() {
        let text = match settings.access {
            Access::Tokens(_) if settings.admin_tls.is_some() => String::new(),
            Access::Tokens(_) => format!(
                "{admin} is open to other machines without TLS, so tokens, prompts and answers \
                 cross the network in clear; set `admin.tls`, or let only a TLS proxy reach it"
            ),
            _ => format!(
                "the operators' side has no sign-in, and {admin} is open to other machines, which \
                 can read all prompts and answers; set `admin.access`, or listen on 127.0.0.1 \
                 and use a tunnel"
            ),
        };
        if !text.is_empty() {
            warning(&mut list, "admin_listen", &text);
        }
    }
    if !settings.listen.ip().is_loopback() && settings.options.tls.is_none() {
        let text = format!(
            "{} is open to other machines without TLS, so credentials and prompts cross the \
             network in clear; set `tls`, or let only a TLS proxy reach it",
            settings.listen
        );
        warning(&mut list, "listen", &text);
    }
    if let StoreKind::ClickHouse(options) = &settings.store
        && options
            .urls
            .iter()
            .any(|url| url.parse::<Uri>().is_ok_and(|uri| in_clear(&uri) && !is_near(&uri)))
    {
        warning(
            &mut list,
            "clickhouse.url",
            "http: the password and all rows cross the network in clear; give an https address",
        );
    }
    redaction(policy, &mut list);
    let env: Vec<&str> = policy.egress.proxies().no_proxy().without_effect().collect();
    no_proxy("NO_PROXY", &env, &mut list);
    for provider in &policy.providers {
        self::provider(provider, &policy.auth, &mut list);
        let own = provider.egress.proxies().no_proxy().without_effect();
        let own: Vec<&str> = own.filter(|entry| !env.contains(entry)).collect();
        no_proxy(&format!("providers.{}.no_proxy", provider.name), &own, &mut list);
    }
    globs(policy, &mut list);
    list
}

fn ways_in(listen: SocketAddr, auth: &AuthPolicy, list: &mut Vec<String>) {
    let reach = if listen.ip().is_loopback() {
        "on this machine".to_owned()
    } else {
        format!("who reaches {listen}")
    };
    if auth.options.accept.contains(&Accept::Anonymous) {
        let text = format!(
            "`anonymous` lets anyone {reach} call without a credential, at the gateway's cost; \
             remove it unless that is intended"
        );
        warning(list, "auth.accept", &text);
    }
    if auth.options.accept.contains(&Accept::Passthrough) {
        let text = format!(
            "`passthrough` lets anyone {reach} call with any text as a provider key, each text as \
             an organisation of its own; remove it unless applications have their own keys"
        );
        warning(list, "auth.accept", &text);
    }
    let mut guessed: Vec<&str> = auth
        .keys
        .iter()
        .filter(|(sha256, _)| is_guessable_key(sha256))
        .map(|(_, key)| &*key.name)
        .collect();
    guessed.sort_unstable();
    for name in guessed.into_iter().filter(|_| auth.options.accept.contains(&Accept::Key)) {
        let text =
            format!("the key of `{name}` can be guessed; make a random one: tollgate key new");
        warning(list, "auth.keys", &text);
    }
    if auth.options.accept == [Accept::Key] && auth.keys.is_empty() {
        let text = "there is no key, and nothing else is accepted, so every call is refused; \
            make a \
            key: tollgate key new";
        warning(list, "auth.keys", text);
    }
}

fn tokens(jwt: &JwtPolicy, list: &mut Vec<String>) {
    let needed = jwt.options.algorithms.iter().filter_map(|algorithm| hash_bytes(*algorithm)).max();
    for (index, secret) in jwt.secrets.iter().enumerate() {
        let Some(needed) = needed else { break };
        let key = match jwt.secrets.len() {
            1 => "auth.jwt.secret".to_owned(),
            _ => format!("auth.jwt.secrets[{index}]"),
        };
        let (secret, remedy) = (secret.reveal(), "set a random one: openssl rand -hex 32");
        if std::str::from_utf8(&secret).is_ok_and(is_guessable) {
            let text = format!("it can be guessed, and then anyone can sign tokens; {remedy}");
            warning(list, &key, &text);
        } else if secret.len() < needed {
            let text = format!(
                "it is shorter than the {needed} bytes that RFC 7518 asks for: a short one can be \
                 found from one token; {remedy}"
            );
            warning(list, &key, &text);
        }
    }
    if let Some(JwksSource::Url(uri)) = &jwt.jwks
        && in_clear(uri)
        && !is_loopback(uri)
    {
        let text = "http: a machine on the way can replace the keys and sign tokens; give an https \
            address";
        warning(list, "auth.jwt.jwks", text);
    }
}

/// Bytes of the hash of an HMAC algorithm (RFC 7518, section 3.2).
fn hash_bytes(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::HS256 => Some(32),
        Algorithm::HS384 => Some(48),
        Algorithm::HS512 => Some(64),
        _ => None,
    }
}

/// Words that stand in examples and tutorials.
const COMMON_WORDS: &[&str] = &[
    "secret",
    "secretkey",
    "mysecret",
    "mysecretkey",
    "supersecret",
    "supersecretkey",
    "verysecret",
    "topsecret",
    "jwtsecret",
    "jwtsecretkey",
    "yoursecret",
    "yoursecretkey",
    "your256bitsecret",
    "your384bitsecret",
    "your512bitsecret",
    "changeme",
    "changethis",
    "changeit",
    "changemeplease",
    "replaceme",
    "password",
    "passwort",
    "passw0rd",
    "passphrase",
    "default",
    "example",
    "test",
    "testing",
    "testsecret",
    "dev",
    "devsecret",
    "development",
    "admin",
    "root",
    "letmein",
    "qwerty",
    "abc",
    "key",
    "token",
    "jwt",
    "tollgate",
    "tollgatesecret",
    "tollgatejwtsecret",
    "none",
    "null",
    "undefined",
    "todo",
    "xxx",
];

/// Whether a gateway key is a common word, with the prefix or without.
fn is_guessable_key(sha256: &[u8; 32]) -> bool {
    let is = |text: &str| digest(&SHA256, text.as_bytes()).as_ref() == sha256;
    let more = [
        "x",
        "a",
        "1",
        "123",
        "1234",
        "12345",
        "123456",
        "12345678",
        "changeme1",
        "ci",
        "demo",
        "local",
    ];
    let names = [
        "$KEY",
        "${KEY}",
        "$TOLLGATE_KEY",
        "YOUR_KEY",
        "your-key",
        "change-me",
        "my-key",
        "api-key",
    ];
    COMMON_WORDS.iter().chain(&more).chain(&names).any(|word| {
        [word.to_string(), format!("tg-{word}"), format!("{word}\n"), format!("tg-{word}\n")]
            .iter()
            .any(|text| is(text))
    })
}

/// Whether a secret is a common word, with digits and marks in or around it, or the same few
/// characters again and again.
fn is_guessable(secret: &str) -> bool {
    let letters: String =
        secret.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let bare = letters.trim_matches(|c: char| c.is_ascii_digit());
    let bytes = secret.as_bytes();
    let repeats = (1..=16.min(bytes.len() / 2))
        .any(|period| bytes.iter().zip(&bytes[period..]).all(|(a, b)| a == b));
    // `0123456789abcdef…` and its kind: each byte follows from the one before.
    let steps = bytes.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) == 1).count();
    let counted = bytes.len() >= 8 && steps * 10 >= bytes.len() * 8;
    // The name of a variable instead of its value: `$TOLLGATE_JWT_SECRET` without braces is plain
    // text in YAML.
    let named = secret.starts_with(['$', '%', '<', '{'])
        && letters.to_uppercase()
            == secret.replace(['$', '%', '<', '>', '{', '}', '(', ')', '_'], "");
    bare.is_empty()
        || named
        || repeats
        || counted
        || [letters.as_str(), bare].iter().any(|word| COMMON_WORDS.contains(word))
}

fn redaction(policy: &Policy, list: &mut Vec<String>) {
    let text = "empty, so e-mail addresses, phone numbers and the rest reach the providers; name \
        at least [email, phone]";
    if !policy.redaction.default.has_entities() {
        warning(list, "redaction.entities", text);
    }
    let mut orgs: Vec<_> =
        policy.redaction.orgs.iter().filter(|(_, rules)| !rules.has_entities()).collect();
    orgs.sort_by_key(|(org, _)| org.as_str());
    for (org, _) in orgs {
        warning(list, &format!("redaction.orgs.{org}.entities"), text);
    }
    let passes = "mask; audio and images cannot be masked: answers of `audio/speech`, \
        `images/generations` and of endpoints with other formats than text and JSON pass as they are";
    if policy.redaction.default.mask_answers() {
        warning(list, "redaction.answers", passes);
    }
    let mut orgs: Vec<_> =
        policy.redaction.orgs.iter().filter(|(_, rules)| rules.mask_answers()).collect();
    orgs.sort_by_key(|(org, _)| org.as_str());
    for (org, _) in orgs.iter().filter(|_| !policy.redaction.default.mask_answers()) {
        warning(list, &format!("redaction.orgs.{org}.answers"), passes);
    }
}

/// Exceptions of a proxy that match nothing.
fn no_proxy(key: &str, entries: &[&str], list: &mut Vec<String>) {
    for entry in entries {
        let text = format!(
            "`{entry}` matches nothing: give a domain, which has its subdomains, or an address, \
             without port and star"
        );
        warning(list, key, &text);
    }
}

fn provider(provider: &Provider, auth: &AuthPolicy, list: &mut Vec<String>) {
    let key = |name: &str| format!("providers.{}.{name}", provider.name);
    let uri = &provider.base_url;
    let (has_key, own_keys) =
        (has_key(provider), auth.options.accept.contains(&Accept::Passthrough));
    if in_clear(uri) && !is_loopback(uri) && (has_key || own_keys || !is_near(uri)) {
        let what =
            if has_key || own_keys { "the key and the prompts cross" } else { "prompts cross" };
        warning(
            list,
            &key("base_url"),
            &format!("http: {what} the network in clear; give an https address"),
        );
    }
    if !has_key
        && !is_near(uri)
        && auth.options.accept.iter().any(|way| *way != Accept::Passthrough)
    {
        let text = "empty, so only callers with their own key can be served; set the variable \
            that it \
            refers to, or give the key";
        warning(list, &key("api_key"), text);
    }
    if provider.egress.forwards(uri) {
        let text = "the proxy sees keys and prompts, because the address is http; give an https \
            address, or `proxy: none`";
        warning(list, &key("proxy"), text);
    }
    if let Some(auth) = &provider.auth {
        credential(auth, &key, list);
    }
    let path = uri.path().trim_end_matches('/');
    if path.is_empty() && provider.options.kind != ProviderKind::Bedrock {
        let text = "has no path; add the version (…/v1), unless the server has none";
        warning(list, &key("base_url"), text);
    }
    let endpoints = ["/completions", "/responses", "/embeddings", "/messages", "/models", "/chat"];
    if endpoints.iter().any(|end| path.ends_with(end)) {
        let text = format!(
            "ends with {path}, to which the gateway adds the endpoint; end it with the version \
             (…/v1)"
        );
        warning(list, &key("base_url"), &text);
    }
    for name in &provider.forward_headers {
        let name = name.as_str();
        if tells_of_credential(name) && name != "idempotency-key" {
            let text = format!(
                "`{name}` looks like a credential of the caller, and the provider gets it; remove \
                 it unless that is intended"
            );
            warning(list, &key("forward_headers"), &text);
        }
    }
}

/// Makers of models at Bedrock, as model names begin there.
const BEDROCK_MAKERS: &str = "ai21 amazon anthropic cohere deepseek google luma meta minimax \
    mistral moonshot moonshotai nvidia openai qwen stability twelvelabs writer";

/// `*` is the only sign of a pattern; a regular expression matches nothing.
fn globs(policy: &Policy, list: &mut Vec<String>) {
    let mut look = |key: &str, glob: &Glob| {
        let text = glob.as_str();
        // At Bedrock names begin with their maker and a dot: `anthropic.*` means what it says.
        let is_maker = |begin: &str| {
            let name = begin.rsplit('.').next().unwrap_or_default();
            BEDROCK_MAKERS.split(' ').any(|maker| maker == name)
        };
        let has_any = text.match_indices(".*").any(|(at, _)| !is_maker(&text[..at]));
        if has_any || text.contains(['^', '$', '(', ')', '[', ']', '|', '\\', '?']) {
            let text = format!(
                "`{text}` looks like a regular expression, but is compared as it is written; use \
                 `*` for any text"
            );
            warning(list, key, &text);
        }
    };
    for (at, rule) in policy.routing.models.iter().enumerate() {
        look(&format!("routing.models[{at}].match"), &rule.pattern);
    }
    let mut keys: Vec<_> = policy.auth.keys.values().collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    for key in keys {
        key.models.iter().for_each(|glob| look("auth.keys.models", glob));
        key.endpoints.iter().for_each(|glob| look("auth.keys.endpoints", glob));
    }
    if let Some(more) = &policy.limits.more {
        for (at, model) in more.default.models.iter().enumerate() {
            look(&format!("limits.models[{at}].match"), &model.pattern);
        }
    }
}

/// Risky settings of a credential that comes from a cloud.
fn credential(auth: &ProviderAuth, key: &dyn Fn(&str) -> String, list: &mut Vec<String>) {
    if auth.keys().is_some_and(|keys| keys.is_from_environment && !keys.session_token.is_empty()) {
        let text = "AWS_SESSION_TOKEN ends and cannot be renewed here; use web_identity, container \
            or instance, or keys without an end";
        warning(list, &key("auth.credentials"), text);
    }
    if let Some(address) = auth.source.token_url()
        && in_clear(address)
        && !is_loopback(address)
    {
        let text = "http: secrets and tokens cross the network in clear; give an https address";
        warning(list, &key("auth.token_url"), text);
    }
}

/// Whether the gateway has a key of its own there.
fn has_key(provider: &Provider) -> bool {
    !provider.options.api_key.is_empty() || provider.auth.is_some()
}

fn in_clear(uri: &Uri) -> bool {
    uri.scheme_str() == Some("http")
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(uri: &Uri) -> bool {
    let host = host(uri);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// This machine or a private network: an address of one, or a name that only such a network knows.
fn is_near(uri: &Uri) -> bool {
    let host = host(uri).trim_end_matches('.');
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => {
            let inner = ["local", "internal", "localhost", "lan", "svc", "test"];
            !host.contains('.') || host.rsplit('.').next().is_some_and(|end| inner.contains(&end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_can_be_guessed() {
        for secret in [
            "a",
            "secret",
            "Secret!",
            "changeme",
            "change-me",
            "CHANGE_ME_123",
            "password1",
            "your-256-bit-secret",
            "12345678",
            "$TOLLGATE_JWT_SECRET",
            "%JWT_SIGNING_SECRET_OF_THE_GATEWAY%",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abcabcabcabcabcabcabcabcabcabcabcabc",
            "secretsecretsecretsecretsecretsecret",
            "0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "my_super_secret_key".trim_start_matches("my_"),
        ] {
            assert!(is_guessable(secret) || secret.len() == 1, "{secret}");
        }
        for secret in [
            "f3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "integration-test-secret-of-enough-bytes",
            "Zk3v8qLr2nT6yWb9",
            "$aB3xk9QmP0zR7wLt5",
        ] {
            assert!(!is_guessable(secret), "{secret}");
        }
    }

    #[test]
    fn hosts_are_here_near_or_far() {
        for (url, here, near) in [
            ("http://127.0.0.1:1/v1", true, true),
            ("http://localhost/v1", true, true),
            ("http://[::1]:1/v1", true, true),
            ("http://[::ffff:127.0.0.1]:1/v1", true, true),
            ("http://10.1.2.3/v1", false, true),
            ("http://192.168.1.1/v1", false, true),
            ("http://[fd00::1]/v1", false, true),
            ("http://ollama:11434/v1", false, true),
            ("http://llm.default.svc.cluster.local/v1", false, true),
            ("http://api.example.com/v1", false, false),
            ("http://93.184.216.34/v1", false, false),
            ("http://127.0.0.1.example.com/v1", false, false),
            ("http://localhost.example.com/v1", false, false),
            ("http://[2001:db8::1]/v1", false, false),
        ] {
            let uri = url.parse().expect("url");
            assert_eq!((is_loopback(&uri), is_near(&uri)), (here, near), "{url}");
        }
    }
}
