//! Gateway keys that operators make and revoke while the gateway runs.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Redis, Reply, SECRET, Setup, chat, eventually};

const PATH: &str = "/v1/chat/completions";

fn setup(provider: &Provider) -> Setup {
    let auth = format!(
        "accept: [jwt, key]\njwt: {{secret: \"{SECRET}\"}}\nkeys:\n  - {{name: written, org: acme, \
         sha256: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}}"
    );
    Setup::new(provider).section("auth", &auth)
}

/// A request on the operators' side.
fn ask(gateway: &Gateway, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Reply {
    gateway.ask_operators(method, path, more, body)
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn make(gateway: &Gateway, wanted: &Value) -> Reply {
    ask(gateway, "POST", "/api/keys", &[JSON], &wanted.to_string())
}

fn keys(gateway: &Gateway) -> Vec<Value> {
    gateway.operators("/api/keys").ok().json()["keys"].as_array().expect("a list").clone()
}

#[test]
fn a_key_is_in_force_when_it_is_made_and_out_of_it_when_it_is_revoked() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let wanted = json!({"name": "ci", "org": "acme", "models": ["gpt-4o*"],
        "endpoints": ["/v1/chat/*"], "expires": "2099-01-31"});
    let made = make(&gateway, &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let key = made["key"].as_str().expect("a key").to_owned();
    assert!(key.starts_with("tg-") && key.len() == 46, "{key}");
    assert_eq!(
        (&made["org"], &made["expires_at"]),
        (&json!("acme"), &json!("2099-01-31T00:00:00Z"))
    );
    let mut call = chat("hi");
    call["model"] = json!("gpt-4o-mini");
    gateway.post(PATH, &key, &call).ok();
    // Its bounds hold.
    call["model"] = json!("o3");
    gateway.post(PATH, &key, &call).refused(404, "model_not_found");
    gateway.post("/v1/embeddings", &key, &call).refused(403, "endpoint_not_allowed");
    let row = &gateway.rows(1)[0];
    assert_eq!((&row["org_id"], &row["caller"]), (&json!("acme"), &json!("ci")));
    // The list has all but the key.
    let listed = keys(&gateway);
    assert_eq!(
        (listed.len(), &listed[0]["id"], &listed[0]["revoked_at"]),
        (1, &made["id"], &Value::Null)
    );
    assert!(!listed[0].to_string().contains(&key[3..]), "{}", listed[0]);
    let path = format!("/api/keys/{}", made["id"].as_str().expect("an id"));
    for _ in 0..2 {
        let revoked = ask(&gateway, "DELETE", &path, &[], "").ok().json();
        assert!(revoked["revoked_at"].is_string(), "{revoked}");
        gateway.post(PATH, &key, &call).refused(401, "invalid_token");
    }
    assert!(keys(&gateway)[0]["revoked_at"].is_string());
    let printed = gateway.printed();
    assert!(printed.contains("key_made") && printed.contains("key_revoked"), "{printed}");
    assert!(!printed.contains(&key[3..]), "{printed}");
}

#[test]
fn keys_outlive_a_kill_and_their_file_holds_no_key() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let key = |name: &str| {
        let made = make(&gateway, &json!({"name": name, "org": "acme"})).json();
        (
            made["key"].as_str().expect("a key").to_owned(),
            made["id"].as_str().expect("id").to_owned(),
        )
    };
    let ((kept, _), (revoked, id)) = (key("kept"), key("revoked"));
    ask(&gateway, "DELETE", &format!("/api/keys/{id}"), &[], "").ok();
    let file = gateway.folder().join("data/keys.json");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(!text.contains(&kept[3..]) && !text.contains(&revoked[3..]), "{text}");
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let gateway = gateway.kill_and_restart();
    gateway.post(PATH, &kept, &chat("hi")).ok();
    gateway.post(PATH, &revoked, &chat("hi")).refused(401, "invalid_token");
    assert_eq!(keys(&gateway).len(), 2);
}

#[test]
fn wrong_requests_say_what_to_do_and_change_nothing() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let fine = json!({"name": "a", "org": "acme"});
    for (wanted, status, word) in [
        (json!({"name": "a"}), 400, "org"),
        (json!({"name": "a", "org": "a b"}), 400, "`org`"),
        (json!({"name": "", "org": "acme"}), 400, "`name`"),
        (json!({"name": "a", "org": "acme", "model": "x"}), 400, "model"),
        (json!({"name": "a", "org": "acme", "expires": "2020-01-01"}), 400, "future"),
        (json!({"name": "a", "org": "acme", "endpoints": ["chat"]}), 400, "/v1/"),
        (json!({"name": "written", "org": "acme"}), 409, "written"),
        (json!([]), 400, "name"),
    ] {
        let reply = make(&gateway, &wanted);
        assert_eq!(reply.status, status, "{wanted}: {}", reply.text());
        assert!(reply.json()["error"].as_str().expect("text").contains(word), "{}", reply.text());
    }
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(70 << 10));
    assert_eq!(ask(&gateway, "POST", "/api/keys", &[JSON], &long).status, 413);
    assert_eq!(ask(&gateway, "POST", "/api/keys", &[], &fine.to_string()).status, 415);
    // Pages of other sites.
    for more in [
        &[JSON, ("origin", "http://evil.test")][..],
        &[JSON, ("origin", "null")],
        &[JSON, ("sec-fetch-site", "cross-site")],
        &[JSON, ("sec-fetch-site", "same-site")],
    ] {
        let reply = ask(&gateway, "POST", "/api/keys", more, &fine.to_string());
        assert_eq!(reply.status, 403, "{more:?}: {}", reply.text());
    }
    assert_eq!(ask(&gateway, "DELETE", "/api/keys/key_0", &[], "").status, 404);
    for (method, path, allow) in [
        ("DELETE", "/api/keys", "GET, POST"),
        ("PUT", "/api/keys", "GET, POST"),
        ("GET", "/api/keys/key_0", "DELETE"),
    ] {
        let reply = ask(&gateway, method, path, &[], "");
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    assert!(keys(&gateway).is_empty());
    let own = [JSON, ("sec-fetch-site", "same-origin")];
    assert_eq!(ask(&gateway, "POST", "/api/keys", &own, &fine.to_string()).status, 201);
    assert_eq!(make(&gateway, &fine).status, 409, "the name is taken");
    // Not on the applications' side.
    assert_eq!(gateway.send("POST", "/api/keys", &[JSON], fine.to_string().as_bytes()).status, 404);
}

#[test]
fn keys_need_a_policy_that_accepts_them_and_a_side_that_only_this_machine_reaches() {
    let provider = Provider::start();
    let auth = format!("accept: [jwt]\njwt: {{secret: \"{SECRET}\"}}");
    let gateway = Setup::new(&provider).section("auth", &auth).start();
    let fine = json!({"name": "a", "org": "acme"});
    let refused = make(&gateway, &fine);
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("auth.accept"), "{}", refused.text());
    let open = setup(&provider)
        .setting("admin_listen", "0.0.0.0:0")
        .setting("admin", "{access: insecure}")
        .start();
    let refused = make(&open, &fine);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("loopback"), "{}", refused.text());
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn replicas_share_keys_through_the_limits_store_even_after_it_has_lost_them() {
    let (provider, mut redis) = (Provider::start(), Redis::start());
    let start =
        || setup(&provider).setting("limits_store", &format!("\"{}\"", redis.url())).start();
    let (one, other) = (start(), start());
    let made = make(&one, &json!({"name": "ci", "org": "acme"})).json();
    let (key, id) = (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap());
    eventually("the key in force at the other", || {
        (other.post(PATH, &key, &chat("hi")).status == 200).then_some(())
    });
    // The store forgets everything, and gets it back.
    redis.kill();
    redis.start_again();
    let third = setup(&provider).setting("limits_store", &format!("\"{}\"", redis.url())).start();
    eventually("the key in force at a new replica", || {
        (third.post(PATH, &key, &chat("hi")).status == 200).then_some(())
    });
    // Revoked at one that did not make it.
    ask(&other, "DELETE", &format!("/api/keys/{id}"), &[], "").ok();
    for gateway in [&one, &third] {
        eventually("the key out of force", || {
            (gateway.post(PATH, &key, &chat("hi")).status == 401).then_some(())
        });
        assert!(keys(gateway)[0]["revoked_at"].is_string());
    }
}
