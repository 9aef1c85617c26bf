//! Sign-in by OpenID Connect, with an issuer of the test's own that checks what it is sent.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Reply, Setup};

/// The flow that the issuer expects at its token endpoint.
#[derive(Default)]
struct Expected {
    nonce: String,
    challenge: String,
    groups: Vec<&'static str>,
    /// The claim that differs, and its value.
    wrong: Option<(&'static str, Value)>,
}

struct Issuer {
    address: SocketAddr,
    expected: Arc<Mutex<Expected>>,
    /// Requests by path.
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Issuer {
    fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let expected: Arc<Mutex<Expected>> = Arc::default();
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let (known, counted) = (Arc::clone(&expected), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some((path, head, body)) = request(&stream) else { continue };
                *counted.lock().unwrap().entry(path.clone()).or_default() += 1;
                if let Some((_, query)) = path.split_once("/authorize?") {
                    let _ = write!(&stream, "{}", choice(address, &fields(query), &known));
                    continue;
                }
                let answer = match path.as_str() {
                    "/.well-known/openid-configuration" => document(address),
                    "/keys" => key_set(&pair),
                    "/token" => token(address, &pair, &known.lock().unwrap(), &head, &body),
                    _ => json!({"error": "not_found"}),
                };
                let text = answer.to_string();
                let status =
                    if answer.get("error").is_some() { "400 Bad Request" } else { "200 OK" };
                let _ = write!(
                    &stream,
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{text}",
                    text.len()
                );
            }
        });
        Issuer { address, expected, asked }
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

fn document(address: SocketAddr) -> Value {
    json!({
        "issuer": format!("http://{address}"),
        // Another site than the gateway's, as browsers see it.
        "authorization_endpoint": format!("http://localhost:{}/authorize", address.port()),
        "token_endpoint": format!("http://{address}/token"),
        "jwks_uri": format!("http://{address}/keys"),
        "authorization_response_iss_parameter_supported": true,
    })
}

/// The page on which a person chooses the group to be in, as an HTTP answer. The browser leaves it
/// for the gateway by a link.
fn choice(
    address: SocketAddr,
    asked: &HashMap<String, String>,
    expected: &Mutex<Expected>,
) -> String {
    let mut expected = expected.lock().unwrap();
    let group = asked.get("group").map(String::as_str);
    let Some(group) = GROUPS.into_iter().find(|name| Some(*name) == group) else {
        expected.nonce = asked["nonce"].clone();
        expected.challenge = asked["code_challenge"].clone();
        let link = |group| {
            let encoded = |name: &str| {
                let value = asked[name].as_bytes();
                percent_encoding::percent_encode(value, percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
            };
            format!(
                "<a id=\"{group}\" href=\"/authorize?group={group}&state={}&redirect_uri={}\">\
                 {group}</a>",
                encoded("state"),
                encoded("redirect_uri")
            )
        };
        let page = format!("<!doctype html><title>Issuer</title>{}", GROUPS.map(link).join(" "));
        return format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: \
             close\r\n\r\n{page}",
            page.len()
        );
    };
    expected.groups = vec![group];
    expected.wrong = Some(("app", json!({"orgs": ["globex"]})));
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {}?code=the-code&state={}&iss=http%3A%2F%2F{address}\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n",
        asked["redirect_uri"], asked["state"]
    )
}

/// The groups that have a role.
const GROUPS: [&str; 4] = ["platform", "finance", "acme-team", "customers"];

fn key_set(pair: &EcdsaKeyPair) -> Value {
    let point = pair.public_key().as_ref();
    let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": "k",
        "x": number(&point[1..33]), "y": number(&point[33..])}]})
}

/// Method and path are those of a small request; the body has a `content-length`.
fn request(stream: &TcpStream) -> Option<(String, HashMap<String, String>, String)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut head = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        head.insert(name.to_lowercase(), value.to_owned());
    }
    let length = head.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, head, String::from_utf8(body).ok()?))
}

/// The token endpoint: the client's secret, the code, and PKCE's verifier have to be right.
fn token(
    address: SocketAddr,
    pair: &EcdsaKeyPair,
    expected: &Expected,
    head: &HashMap<String, String>,
    body: &str,
) -> Value {
    let fields = fields(body);
    let basic = format!("Basic {}", BASE64_STANDARD.encode("gate%2D1:s%3Acret"));
    let verifier = fields.get("code_verifier").cloned().unwrap_or_default();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let is_right = head.get("authorization") == Some(&basic)
        && fields.get("code").map(String::as_str) == Some("the-code")
        && fields.get("grant_type").map(String::as_str) == Some("authorization_code")
        && challenge == expected.challenge;
    if !is_right {
        return json!({"error": "invalid_grant"});
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": format!("http://{address}"), "aud": "gate-1", "sub": "42", "email": "ada@corp.example",
        "nonce": expected.nonce, "exp": now + 300, "iat": now, "groups": expected.groups,
    });
    if let Some((name, value)) = &expected.wrong {
        claims[*name] = value.clone();
    }
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(json!({"alg": "ES256", "kid": "k"})), part(claims));
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    let token = format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    json!({"access_token": "unused", "token_type": "Bearer", "id_token": token})
}

/// Fields of a form or a query, decoded.
fn fields(text: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text).decode_utf8().expect("text").into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn gateway(issuer: SocketAddr, provider: &Provider) -> Gateway {
    let oidc = format!(
        "{{issuer: \"http://{issuer}\", client_id: gate-1, client_secret: \"s:cret\", \
         roles: {{platform: operator, finance: viewer, acme-team: {{role: auditor, orgs: [acme]}}, \
         customers: {{role: viewer, org_claim: app.orgs}}}}}}"
    );
    Setup::new(provider).setting("admin", &format!("{{access: {{oidc: {oidc}}}}}")).start()
}

/// A browser: what it is sent, and the cookies that it keeps.
struct Browser<'g> {
    gateway: &'g Gateway,
    cookies: HashMap<String, String>,
}

impl Browser<'_> {
    fn get(&mut self, path: &str) -> Reply {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let headers: &[(&str, &str)] =
            if cookies.is_empty() { &[] } else { &[("cookie", &cookies)] };
        let reply = self.gateway.ask_operators("GET", path, headers, "");
        for (name, value) in &reply.headers {
            if name == "set-cookie" {
                let pair = value.split(';').next().expect("a pair");
                let (name, value) = pair.split_once('=').expect("a value");
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    /// Goes to the issuer; returns what it is asked.
    fn leaves(&mut self) -> HashMap<String, String> {
        let reply = self.get("/sign-in/oidc");
        assert_eq!(reply.status, 303, "{}", reply.text());
        let place = reply.header("location").expect("the issuer").to_owned();
        fields(place.split_once('?').expect("a query").1)
    }
}

/// The issuer lets the person in, who comes back.
fn comes_back(issuer: &Issuer, browser: &mut Browser<'_>, expected: Expected) -> Reply {
    let asked = browser.leaves();
    *issuer.expected.lock().unwrap() = Expected {
        nonce: asked["nonce"].clone(),
        challenge: asked["code_challenge"].clone(),
        ..expected
    };
    browser.get(&back(issuer, &asked["state"]))
}

fn back(issuer: &Issuer, state: &str) -> String {
    format!("/sign-in/callback?code=the-code&state={state}&iss=http%3A%2F%2F{}", issuer.address)
}

#[test]
fn a_person_of_the_issuer_gets_the_role_of_a_group() {
    let (provider, issuer) = (Provider::start(), Issuer::start());
    let gateway = gateway(issuer.address, &provider);
    let mut browser = Browser { gateway: &gateway, cookies: HashMap::new() };
    let page = browser.get("/");
    assert_eq!(page.status, 401);
    assert!(page.text().contains("/sign-in/oidc") && !page.text().contains("name=\"token\""));
    let asked = browser.leaves();
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["redirect_uri"], format!("http://{}/sign-in/callback", gateway.operators));
    assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
    let groups = vec!["everyone", "finance", "platform"];
    let reply = comes_back(&issuer, &mut browser, Expected { groups, ..Expected::default() });
    assert_eq!(reply.status, 200, "a page, for a redirect would lose the cookie: {}", reply.text());
    assert!(reply.text().contains("url=/"));
    let cookies: Vec<&str> = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.as_str())
        .collect();
    assert!(cookies.iter().any(|c| c.contains("tollgate_session=") && c.contains("Strict")));
    assert_eq!(browser.get("/api/config").status, 200, "an operator");
    gateway.prints("ada@corp.example");
    // A second person: the documents are known.
    let mut other = Browser { gateway: &gateway, cookies: HashMap::new() };
    let groups = vec!["finance"];
    comes_back(&issuer, &mut other, Expected { groups, ..Expected::default() });
    assert_eq!(other.get("/api/summary").status, 200);
    let reload = gateway.ask_operators(
        "POST",
        "/api/reload",
        &[("cookie", &format!("tollgate_session={}", other.cookies["tollgate_session"]))],
        "",
    );
    assert_eq!(reload.status, 403, "a viewer changes nothing");
    assert_eq!(issuer.asked("/.well-known/openid-configuration"), 1);
    assert_eq!(issuer.asked("/keys"), 1);
}

#[test]
fn a_person_sees_the_organisations_of_a_group_or_of_a_claim() {
    let (provider, issuer) = (Provider::start(), Issuer::start());
    let gateway = gateway(issuer.address, &provider);
    for org in ["acme", "globex", "initech"] {
        gateway.chat(org, &format!("a plan of {org}")).ok();
    }
    gateway.rows(3);
    let person = |group: &'static str, orgs: Value| {
        let mut browser = Browser { gateway: &gateway, cookies: HashMap::new() };
        let (groups, wrong) = (vec![group], Some(("app", json!({"orgs": orgs}))));
        let reply =
            comes_back(&issuer, &mut browser, Expected { groups, wrong, ..Expected::default() });
        (reply.status, browser)
    };
    for (group, orgs, role, seen) in [
        ("acme-team", json!(["globex"]), "auditor", &["acme"][..]),
        ("customers", json!(["globex", "initech"]), "viewer", &["globex", "initech"]),
        ("customers", json!("initech"), "viewer", &["initech"]),
    ] {
        let (status, mut browser) = person(group, orgs);
        assert_eq!(status, 200, "{group}");
        let session = browser.get("/api/session").ok().json();
        assert_eq!((&session["role"], &session["orgs"]), (&json!(role), &json!(seen)));
        let rows = browser.get("/api/logs").ok().json();
        let mut orgs: Vec<&str> = rows["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| row["org_id"].as_str().expect("an organisation"))
            .collect();
        orgs.sort_unstable();
        assert_eq!(orgs, seen);
        assert_eq!(browser.get("/api/config").status, 403);
    }
    for nothing in [json!([]), Value::Null, json!(["no name"])] {
        let (status, browser) = person("customers", nothing);
        assert_eq!(status, 403, "without an organisation there is no role");
        assert!(!browser.cookies.contains_key("tollgate_session"));
    }
}

#[test]
fn no_other_browser_flow_token_or_group_gets_in() {
    let (provider, issuer) = (Provider::start(), Issuer::start());
    let gateway = gateway(issuer.address, &provider);
    let fresh = || Browser { gateway: &gateway, cookies: HashMap::new() };
    // Without a role.
    let groups = vec!["everyone"];
    let reply = comes_back(&issuer, &mut fresh(), Expected { groups, ..Expected::default() });
    assert_eq!(reply.status, 403, "{}", reply.text());
    // The browser of another: the cookie is missing, or of another flow.
    let asked = fresh().leaves();
    assert_eq!(fresh().get(&back(&issuer, &asked["state"])).status, 400);
    let mut browser = fresh();
    browser.leaves();
    assert_eq!(browser.get(&back(&issuer, &asked["state"])).status, 400);
    // The same answer twice.
    let mut browser = fresh();
    let groups = vec!["platform"];
    let asked = browser.leaves();
    *issuer.expected.lock().unwrap() = Expected {
        nonce: asked["nonce"].clone(),
        challenge: asked["code_challenge"].clone(),
        groups: groups.clone(),
        wrong: None,
    };
    let flow = browser.cookies["tollgate_flow"].clone();
    assert_eq!(browser.get(&back(&issuer, &asked["state"])).status, 200);
    let again = gateway.ask_operators(
        "GET",
        &back(&issuer, &asked["state"]),
        &[("cookie", &format!("tollgate_flow={flow}"))],
        "",
    );
    assert_eq!(again.status, 400, "a flow is finished once");
    // Another issuer's answer, and one that does not say whose it is.
    for wrong in ["&iss=http%3A%2F%2Fevil.example", ""] {
        let mut browser = fresh();
        let asked = browser.leaves();
        let path = format!("/sign-in/callback?code=the-code&state={}{wrong}", asked["state"]);
        assert_eq!(browser.get(&path).status, 401, "{wrong}");
    }
    assert!(!gateway.printed().contains("the-code"), "codes stay out of the log");
}

#[test]
fn tokens_with_a_wrong_claim_and_refusals_of_the_issuer_begin_no_session() {
    let (provider, issuer) = (Provider::start(), Issuer::start());
    let gateway = gateway(issuer.address, &provider);
    for wrong in [
        ("nonce", json!("another")),
        ("aud", json!("other")),
        ("iss", json!("http://evil.example")),
        ("exp", json!(1)),
    ] {
        let mut browser = Browser { gateway: &gateway, cookies: HashMap::new() };
        let groups = vec!["platform"];
        let name = wrong.0;
        let expected = Expected { groups, wrong: Some(wrong), ..Expected::default() };
        let reply = comes_back(&issuer, &mut browser, expected);
        assert_eq!(reply.status, 401, "{name}");
        assert!(!browser.cookies.contains_key("tollgate_session"), "{name}");
    }
    let mut browser = Browser { gateway: &gateway, cookies: HashMap::new() };
    let state = browser.leaves()["state"].clone();
    let iss = format!("iss=http%3A%2F%2F{}", issuer.address);
    let denied = browser.get(&format!("/sign-in/callback?error=access_denied&state={state}&{iss}"));
    assert_eq!(denied.status, 401);
    gateway.prints("access_denied");
}

#[test]
fn an_issuer_that_is_away_stops_nothing_else() {
    let provider = Provider::start();
    let away = crate::support::refused_address();
    let gateway = gateway(away, &provider);
    let reply = gateway.ask_operators("GET", "/sign-in/oidc", &[], "");
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("cannot be reached"));
    assert_eq!(gateway.ask_operators("GET", "/readyz", &[], "").status, 200);
    gateway.chat("acme", "hi").ok();
}

/// Chromium goes to the issuer and comes back from another site, with the cookies of both.
#[test]
#[ignore = "needs Chromium; run by scripts/test"]
fn a_browser_signs_in_at_the_issuer_and_lands_on_the_page_with_its_role() {
    let (provider, issuer) = (Provider::start(), Issuer::start());
    let gateway = gateway(issuer.address, &provider);
    for org in ["acme", "globex", "globex", "initech"] {
        gateway.chat(org, &format!("a plan of {org}")).ok();
    }
    gateway.rows(4);
    let all = json!(["Overview", "Calls", "Organisations", "Providers", "Policy", "Log"]);
    let own = json!(["Overview", "Calls", "Organisations"]);
    let person = |group: &str, who: &str, pages: &Value, calls: u32, reload: u16| {
        let who = format!("ada@corp.example · {who}");
        json!({"group": group, "who": who, "pages": pages, "calls": calls, "reload": reload})
    };
    let setup = json!({
        "operators": gateway.operators.to_string(),
        "issuer": format!("http://localhost:{}", issuer.address.port()),
        "people": [
            person("platform", "operator", &all, 4, 200),
            person("finance", "viewer", &all, 4, 403),
            person("acme-team", "auditor · acme", &own, 1, 403),
            person("customers", "viewer · globex", &own, 2, 403),
        ],
    });
    let file = gateway.folder().join("oidc.json");
    std::fs::write(&file, setup.to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/oidc.py");
    let mut python = Command::new("python3");
    let output = python.arg(script).arg(&file).stdin(Stdio::null()).output().expect("python3");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let arrived = out.lines().filter(|line| line.starts_with("ok: ")).count();
    assert!(output.status.success() && arrived == 4, "{arrived} arrived\n{out}\n{err}");
    assert_eq!(issuer.asked("/token"), 4);
}
