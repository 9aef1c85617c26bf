//! Sign-in on the operators' side: tokens, roles, organisations, sessions.

use std::process::Stdio;

use serde_json::{Value, json};
pub use sha2_of::sha256;

use crate::support::{Gateway, Provider, Reply, Setup, tollgate};

/// Tokens, and their digests for the configuration.
const TOKENS: [(&str, &str, &str); 5] = [
    ("viewer", "viewer", "[]"),
    ("auditor", "auditor", "[]"),
    ("operator", "operator", "[]"),
    ("of-acme", "operator", "[acme]"),
    ("of-two", "viewer", "[acme, globex]"),
];

mod sha2_of {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// The SHA-256 of a text, by the tool that the documentation names.
    pub fn sha256(text: &str) -> String {
        let mut tool = Command::new("sha256sum")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sha256sum");
        tool.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("written");
        let output = tool.wait_with_output().expect("sha256sum");
        String::from_utf8(output.stdout).expect("text")[..64].to_owned()
    }
}

fn setup(provider: &Provider) -> Setup {
    let tokens: Vec<String> = TOKENS
        .iter()
        .map(|(name, role, orgs)| {
            let sha = sha256(&format!("token of {name}"));
            format!("{{name: {name}, role: {role}, orgs: {orgs}, sha256: {sha}}}")
        })
        .collect();
    Setup::new(provider)
        .setting("admin", &format!("{{access: {{tokens: [{}]}}}}", tokens.join(", ")))
        .section("ailog", "{capture_bytes: 4096}")
}

/// A request on the operators' side.
fn ask(gateway: &Gateway, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Reply {
    gateway.ask_operators(method, path, more, body)
}

/// `GET` with somebody's token.
fn get(gateway: &Gateway, name: &str, path: &str) -> Reply {
    let bearer = format!("Bearer token of {name}");
    ask(gateway, "GET", path, &[("authorization", &bearer)], "")
}

fn rows(reply: &Reply) -> Vec<Value> {
    reply.ok().json()["rows"].as_array().expect("rows").clone()
}

/// One call of each organisation, in the log.
fn with_calls(provider: &Provider) -> Gateway {
    let gateway = setup(provider).start();
    for org in ["acme", "globex", "initech"] {
        gateway.chat(org, &format!("a secret plan of {org}")).ok();
    }
    gateway.rows(3);
    gateway
}

#[test]
fn a_stranger_gets_health_and_the_sign_in_page_alone() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    for path in [
        "/api/config",
        "/api/logs",
        "/api/summary",
        "/api/limits",
        "/api/auth",
        "/api/keys",
        "/api/providers",
        "/api/store",
        "/api/session",
        "/metrics",
    ] {
        let reply = ask(&gateway, "GET", path, &[], "");
        assert_eq!(
            (reply.status, reply.header("www-authenticate")),
            (401, Some("Bearer")),
            "{path}"
        );
        assert!(reply.json()["error"].is_string(), "{}", reply.text());
    }
    for method in ["POST", "DELETE"] {
        assert_eq!(ask(&gateway, method, "/api/keys", &[], "{}").status, 401);
        assert_eq!(ask(&gateway, method, "/api/reload", &[], "").status, 401);
    }
    for path in ["/", "/calls", "/assets/main.js", "/openapi.yaml", "/nothing"] {
        let page = ask(&gateway, "GET", path, &[], "");
        assert_eq!(page.status, 401, "{path}");
        assert!(page.text().contains("action=\"/sign-in\""), "{path}: {}", page.text());
    }
    for path in ["/healthz", "/readyz", "/sign-in", "/dashboard.css"] {
        assert_eq!(ask(&gateway, "GET", path, &[], "").status, 200, "{path}");
    }
    let basic = [("authorization", "Basic dG9rZW46b2Y=")];
    assert_eq!(ask(&gateway, "GET", "/api/config", &basic, "").status, 401);
}

#[test]
fn metrics_may_be_open_and_nothing_else_is() {
    let provider = Provider::start();
    let sha = sha256("x");
    let access = format!(
        "{{metrics_open: true, access: {{tokens: [{{name: a, role: viewer, sha256: {sha}}}]}}}}"
    );
    let gateway = Setup::new(&provider).setting("admin", &access).start();
    assert_eq!(ask(&gateway, "GET", "/metrics", &[], "").status, 200);
    assert_eq!(ask(&gateway, "GET", "/api/config", &[], "").status, 401);
}

#[test]
fn roles_decide_about_texts_and_changes() {
    let provider = Provider::start();
    let gateway = with_calls(&provider);
    for (name, texts) in [("viewer", false), ("auditor", true), ("operator", true)] {
        let reply = get(&gateway, name, "/api/logs");
        assert_eq!(rows(&reply).len(), 3);
        assert_eq!(reply.text().contains("secret plan"), texts, "{name}: {}", reply.text());
        for row in rows(&reply) {
            for column in ["request", "response", "prompt", "answer"] {
                assert_eq!(row[column].is_null(), !texts, "{name}: {column}");
            }
        }
        for path in ["/api/summary", "/api/config", "/api/limits", "/api/auth", "/metrics", "/"] {
            let reply = get(&gateway, name, path);
            assert_eq!(reply.status, 200, "{name} {path}");
            assert!(!reply.text().contains("secret plan"), "{name} {path}");
        }
        let bearer = format!("Bearer token of {name}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = json!({"name": name, "org": "acme"}).to_string();
        let made = ask(&gateway, "POST", "/api/keys", &headers, &body);
        let listed = get(&gateway, name, "/api/keys");
        assert_eq!(listed.status, if name == "operator" { 200 } else { 403 }, "{name}");
        let reloaded = ask(&gateway, "POST", "/api/reload", &headers, "");
        let expected = if name == "operator" { (201, 200) } else { (403, 403) };
        assert_eq!((made.status, reloaded.status), expected, "{name}");
    }
}

#[test]
fn a_token_for_some_organisations_sees_nothing_of_others() {
    let provider = Provider::start();
    let gateway = with_calls(&provider);
    let all = rows(&get(&gateway, "operator", "/api/logs"));
    for (name, seen) in [("of-acme", &["acme"][..]), ("of-two", &["acme", "globex"])] {
        let logs = rows(&get(&gateway, name, "/api/logs"));
        assert_eq!(logs.len(), seen.len());
        assert!(logs.iter().all(|row| seen.contains(&row["org_id"].as_str().unwrap())));
        let sums = rows(&get(&gateway, name, "/api/summary?by=org"));
        let orgs: Vec<&str> = sums.iter().map(|row| row["org_id"].as_str().unwrap()).collect();
        assert_eq!(orgs.len(), seen.len());
        assert!(orgs.iter().all(|org| seen.contains(org)), "{orgs:?}");
        let one = rows(&get(&gateway, name, "/api/logs?org_id=acme"));
        assert_eq!(one.len(), 1);
        for path in [
            "/api/logs?org_id=initech",
            "/api/summary?by=day&org=initech",
            "/api/config",
            "/api/limits",
            "/api/auth",
            "/metrics",
            "/api/keys",
            "/api/providers",
            "/api/store",
        ] {
            assert_eq!(get(&gateway, name, path).status, 403, "{name} {path}");
        }
        // A row of another organisation is as unknown as one that is not there.
        let other = all.iter().find(|row| row["org_id"] == "initech").expect("a row");
        let path = format!("/api/logs?before={}", other["id"].as_str().unwrap());
        assert_eq!(get(&gateway, name, &path).status, 404, "{name}");
        let path = format!("/api/logs?id={}", other["id"].as_str().unwrap());
        assert!(rows(&get(&gateway, name, &path)).is_empty(), "{name}");
    }
    let bearer = ("authorization", "Bearer token of of-acme");
    assert_eq!(ask(&gateway, "POST", "/api/reload", &[bearer], "").status, 403);
}

#[test]
fn a_browser_signs_in_and_out() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let sign_in = |token: &str| {
        let body = format!("token={}", token.replace(' ', "+"));
        ask(&gateway, "POST", "/sign-in", &form, &body)
    };
    let wrong = sign_in("token of nobody");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert!(!wrong.text().contains("nobody"), "{}", wrong.text());
    let right = sign_in("token of operator");
    assert_eq!((right.status, right.header("location")), (303, Some("/")));
    let cookie = right.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let page = ask(&gateway, "GET", "/", &[("cookie", pair)], "");
    assert!(page.ok().text().contains("/assets/main.js"), "{}", page.text());
    assert!(page.text().contains("action=\"/sign-out\""), "{}", page.text());
    assert_eq!(ask(&gateway, "GET", "/api/config", &[("cookie", pair)], "").status, 200);
    // Changes under a cookie come from a page of this side.
    let host = format!("http://{}", gateway.operators);
    for (more, status) in [
        (vec![("origin", host.as_str()), ("sec-fetch-site", "same-origin")], 200),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("origin", "http://evil.test")], 403),
    ] {
        let headers = [&[("cookie", pair)], more.as_slice()].concat();
        assert_eq!(ask(&gateway, "POST", "/api/reload", &headers, "").status, status, "{more:?}");
    }
    let foreign =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", "http://evil.test")];
    let reply = ask(&gateway, "POST", "/sign-in", &foreign, "token=token+of+operator");
    assert_eq!((reply.status, reply.header("set-cookie")), (403, None));
    let out = ask(&gateway, "POST", "/sign-out", &[("cookie", pair)], "");
    assert_eq!((out.status, out.header("location")), (303, Some("/sign-in")));
    assert_eq!(ask(&gateway, "GET", "/api/config", &[("cookie", pair)], "").status, 401);
    let printed = gateway.printed();
    assert!(printed.contains("sign_in") && !printed.contains("token of"), "{printed}");
}

#[test]
fn wrong_tokens_are_slowed_down_and_a_right_bearer_is_not() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let statuses: Vec<u16> =
        (0..15).map(|n| get(&gateway, &format!("nobody {n}"), "/api/config").status).collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 5]);
    let late = get(&gateway, "nobody", "/api/config");
    let wait: u64 = late.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(get(&gateway, "viewer", "/api/config").status, 200);
    let told = gateway.printed().matches("sign_in_refused").count();
    assert_eq!(told, 5, "{}", gateway.printed());
}

#[test]
fn an_open_side_starts_on_loopback_alone_unless_the_operator_says_so() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().expect("folder");
    let check = |settings: &str| {
        std::fs::create_dir_all(folder.path().join("policies")).unwrap();
        std::fs::write(folder.path().join("gateway.yaml"), settings).unwrap();
        let policy = format!(
            "auth: {{accept: [passthrough]}}\nproviders: {{p: {{base_url: \"http://{}/v1\"}}}}\n\
             routing: {{default: [p]}}\n",
            provider.address
        );
        std::fs::write(folder.path().join("policies/p.yaml"), policy).unwrap();
        let output = tollgate()
            .args(["check", "--config"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let (code, text) = check("admin_listen: 0.0.0.0:9090\n");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("gateway.yaml:1:15") && text.contains("admin.access"), "{text}");
    let (code, text) = check("admin_listen: 0.0.0.0:9090\nadmin: {access: insecure}\n");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("has no sign-in"), "{text}");
    let sha = sha256("x");
    for (tokens, word) in [
        ("[]".to_owned(), "empty"),
        (format!("[{{name: a, role: king, sha256: {sha}}}]"), "operator"),
        ("[{name: a, role: viewer, sha256: abc}]".to_owned(), "SHA-256"),
        (format!("[{{name: a, role: viewer, sha256: {}}}]", sha256("")), "empty text"),
        (
            format!(
                "[{{name: a, role: viewer, sha256: {sha}}}, {{name: b, role: viewer, sha256: \
                    {sha}}}]"
            ),
            "same token",
        ),
    ] {
        let (code, text) = check(&format!("admin: {{access: {{tokens: {tokens}}}}}\n"));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(word), "{text}");
    }
}
