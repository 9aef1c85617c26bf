//! `tollgate check --live` against real stores: each way in which one cannot be used has its words.

use serde_json::Value;

use crate::support::engine::Engine;
use crate::support::limits_user::documented_user;
use crate::support::redis_set::{RedisCluster, RedisNode, RedisSentinels, free_port};
use crate::support::{refused_address, secure, tollgate};

/// The code and the detail of the only store in a configuration with these keys.
fn told(keys: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "auth: {{accept: [key]}}\nproviders: {{a: {{base_url: 'http://127.0.0.1:1/v1'}}}}\n{keys}\n"
    );
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let output = tollgate()
        .args(["check", "--config", "all.yaml", "--live", "--format", "json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(!told.to_string().contains("number-one"), "{told}");
    let live = told["live"].as_array().unwrap_or_else(|| panic!("{told}"));
    let stores: Vec<&Value> = live.iter().filter(|live| live["kind"] != "provider").collect();
    let [store] = stores.as_slice() else { panic!("{told}") };
    let code = store["code"].as_str().unwrap().to_owned();
    assert_eq!(output.status.code(), Some(i32::from(code != "ok")), "{told}");
    (code, store["detail"].as_str().unwrap().to_owned())
}

#[track_caller]
fn check(keys: &str, code: &str, words: &[&str]) {
    let (found, detail) = told(keys);
    assert_eq!(found, code, "{detail}");
    for word in words {
        assert!(detail.contains(word), "{word}: {detail}");
    }
}

fn redis(keys: &str) -> String {
    format!("limits_store: {{redis: {{{keys}}}}}")
}

fn file(name: &str) -> String {
    secure::file(name).display().to_string()
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_redis_that_cannot_be_used_says_what_to_change() {
    let rule = documented_user("user gateway on").replace("change-me", "number-one");
    let server = RedisNode::start(&format!("{rule}\nrequirepass number-one\n"), ":number-one@");
    let url = format!("urls: [\"{}\"]", server.url());
    let with = |access: &str| redis(&format!("{url}{access}"));
    let gateway = ", username: gateway, password: number-one";
    check(&with(gateway), "ok", &[]);
    check(
        &with(", username: gateway, password: another"),
        "key_refused",
        &["refuses the user `gateway`: WRONGPASS", "correct `username` and `password`"],
    );
    check(&with(""), "key_refused", &["the user `default`: ", "correct `username`"]);
    check(&with(&format!("{gateway}, database: 99")), "key_refused", &["NOPERM", "select"]);
    server.ask::<()>(&["ACL", "SETUSER", "gateway", "-zadd"]);
    check(
        &with(gateway),
        "key_refused",
        &["refuses the user `gateway`: ", "grant what docs/redis.md lists"],
    );
    server.ask::<()>(&["ACL", "SETUSER", "gateway", "+zadd", "resetkeys", "~other:*"]);
    check(&with(gateway), "key_refused", &["NOPERM", "docs/redis.md"]);

    let gone = refused_address();
    check(&redis(&format!("urls: [\"redis://{gone}\"]")), "connect", &[&gone.to_string()]);
    let replica = RedisNode::start(&format!("replicaof 127.0.0.1 {}\n", server.port), "");
    let keys = redis(&format!("urls: [\"{}\"]", replica.url()));
    check(&keys, "protocol", &["is a replica", "the address of its master"]);
    check(
        &redis(&format!("mode: cluster, {url}, password: number-one")),
        "protocol",
        &["no node of a cluster; set `mode: single`"],
    );
    check(
        &redis(&format!("mode: sentinel, master: m, {url}, sentinel: {{password: number-one}}")),
        "protocol",
        &["no sentinel", "26379"],
    );
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn the_tls_of_a_redis_says_what_to_change() {
    let port = free_port();
    let lines = format!(
        "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
         tls-auth-clients no\n",
        file("provider.pem"),
        file("provider.key"),
        file("ca.pem")
    );
    let server = RedisNode::start(&lines, "");
    let of = |scheme: &str, port: u16, more: &str| {
        redis(&format!("urls: [\"{scheme}://127.0.0.1:{port}\"]{more}"))
    };
    let authority = format!(", ca_file: \"{}\"", file("provider-ca.pem"));
    check(&of("rediss", port, &authority), "ok", &[]);
    check(&of("rediss", port, ""), "tls", &["CN=Tollgate test CA of providers", "`ca_file`"]);
    let (code, detail) = told(&of("rediss", server.port, &authority));
    assert!(["tls", "timeout"].contains(&&*code) && detail.contains("redis://"), "{detail}");
    let (code, detail) = told(&of("redis", port, ""));
    assert!(["connect", "timeout"].contains(&&*code) && detail.contains("rediss://"), "{detail}");
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn clusters_and_sentinels_are_asked_in_their_mode() {
    let cluster = RedisCluster::start();
    let urls = format!("urls: [\"{}\"]", cluster.masters[1].url());
    check(&redis(&format!("mode: cluster, {urls}")), "ok", &[]);
    check(&redis(&urls), "protocol", &["a node of a cluster; set `mode: cluster`"]);

    let set = RedisSentinels::start();
    let keys = format!("limits_store: {}", set.setting());
    check(&keys, "ok", &[]);
    let wrong = |from: &str, to: &str| keys.replace(from, to);
    check(&wrong("mymaster", "another"), "protocol", &["no master `another`; correct `master`"]);
    check(&wrong(RedisSentinels::OF_SENTINELS, "another"), "key_refused", &["WRONGPASS"]);
    let of_master = format!("127.0.0.1:{}: ", set.master.port);
    check(&wrong(RedisSentinels::PASSWORD, "another"), "key_refused", &["WRONGPASS", &of_master]);
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn a_clickhouse_that_cannot_be_used_says_what_to_change() {
    let engine = Engine::start_with(&["--user", "gateway", "--password", "number-one"]);
    let of = |url: &str, more: &str| {
        format!("store: clickhouse\nclickhouse: {{url: \"{url}\", user: gateway{more}}}")
    };
    let (url, access) = (format!("http://{}", engine.address), ", password: number-one");
    let keys = of(&url, access);
    check(&of(&url, ", password: another"), "key_refused", &["refuses user `gateway`", "password"]);
    check(&keys, "schema_missing", &["no database `tollgate`; run `tollgate clickhouse apply`"]);
    std::fs::write(engine.folder.path().join("gateway.yaml"), &keys).unwrap();
    let apply = || {
        let folder = engine.folder.path();
        let mut command = tollgate();
        let applied = command.args(["clickhouse", "apply", "--config"]).arg(folder).output();
        assert!(applied.unwrap().status.success());
    };
    apply();
    check(&keys, "ok", &[]);
    let several = keys.replace("url: ", "urls: [").replace(", user", "], user");
    check(&several, "ok", &[]);
    let gone = refused_address();
    let with_gone = several.replace("], user", &format!(", \"http://{gone}\"], user"));
    check(&with_gone, "connect", &[&format!("http://{gone}: no connection")]);
    for table in ["ai_limits", "ai_captures"] {
        engine.execute_as("gateway:number-one", &format!("DROP TABLE tollgate.{table} SYNC"));
        check(&keys, "schema_missing", &[table, "run `tollgate clickhouse apply`"]);
        engine.execute_as("gateway:number-one", "TRUNCATE TABLE tollgate.tollgate_migrations");
        apply();
    }
    check(&keys, "ok", &[]);

    let secured = secure::in_front_of(engine.address, "provider.pem");
    let https = format!("https://{secured}");
    check(&of(&https, &format!("{access}, ca_file: \"{}\"", file("provider-ca.pem"))), "ok", &[]);
    check(
        &of(&https, &format!("{access}, ca_file: \"{}\"", file("ca.pem"))),
        "tls",
        &["CN=Tollgate test CA of providers", "`clickhouse.ca_file`"],
    );
    let plain = format!("https://{}", engine.address);
    check(&of(&plain, access), "tls", &["does not speak TLS", "http://"]);
    check(&of(&format!("http://{secured}"), access), "connect", &["https://"]);
}
