//! The password of Redis in a file that is replaced while calls run.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::servers::{setup, start};
use crate::support::limits_user::documented_user;
use crate::support::redis_set::RedisNode;
use crate::support::{Gateway, Provider, eventually};

/// Writes a file in one move.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Runs `work` while calls are made, none of which may fail.
fn under_load(gateway: &Gateway, work: impl FnOnce()) {
    let (is_over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for caller in 0..3 {
            let (is_over, calls) = (&is_over, &calls);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    gateway.chat(&format!("caller-{caller}"), "hi").ok();
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        work();
        let enough = calls.load(Ordering::SeqCst) + 20;
        eventually("calls", || (calls.load(Ordering::SeqCst) >= enough).then_some(()));
        is_over.store(true, Ordering::SeqCst);
    });
}

fn connections(gateway: &Gateway) -> usize {
    gateway.printed().matches("the limits store is connected").count()
}

/// The connections are closed by the server, as an idle one may be.
fn close_connections(redis: &RedisNode, gateway: &Gateway) {
    let before = connections(gateway);
    redis.ask::<i64>(&["CLIENT", "KILL", "USER", "gateway"]);
    eventually("another connection", || (connections(gateway) > before).then_some(()));
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_new_password_in_its_file_is_used_by_new_connections_and_no_call_fails() {
    let provider = Provider::start();
    let rule = documented_user("user gateway on").replace("change-me", "number-one");
    let redis = RedisNode::start(&format!("{rule}\n"), "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    put(&file, "number-one\n");
    let store = format!(
        "{{redis: {{urls: [\"{}\"], username: gateway, password: {{file: \"{}\"}}}}}}",
        redis.url(),
        file.display()
    );
    let limits = "{requests_per_minute: 60000, burst: 60000, fail: closed}";
    let gateway = start(setup(&provider, &store, limits));
    under_load(&gateway, || {
        // Both are valid while the files of all gateways are replaced; then the old one is not.
        redis.ask::<()>(&["ACL", "SETUSER", "gateway", ">number-two"]);
        put(&file, "number-two\n");
        redis.ask::<()>(&["ACL", "SETUSER", "gateway", "<number-one"]);
    });
    assert_eq!(connections(&gateway), 1, "a connection that works is kept");
    // No call is under way: the next one is decided by the server.
    for _ in 0..3 {
        close_connections(&redis, &gateway);
        gateway.chat("acme", "hi").ok();
    }
    let printed = gateway.printed();
    assert!(!printed.contains("number-"), "{printed}");
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_server_whose_password_was_replaced_first_is_back_as_soon_as_the_file_is_written() {
    let provider = Provider::start();
    let redis = RedisNode::start("", "");
    redis.ask::<()>(&["ACL", "SETUSER", "gateway", "on", ">number-one", "~*", "+@all"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    put(&file, "number-one");
    let store = format!(
        "{{redis: {{urls: [\"{}\"], username: gateway, password: {{file: \"{}\"}}}}}}",
        redis.url(),
        file.display()
    );
    let limits = "{requests_per_minute: 60000, burst: 60000, fail: local}";
    let gateway = start(setup(&provider, &store, limits));
    let up = || gateway.metric("tollgate_limits_store_up");
    under_load(&gateway, || {
        redis.ask::<()>(&["ACL", "SETUSER", "gateway", ">number-two", "<number-one"]);
        redis.ask::<i64>(&["CLIENT", "KILL", "USER", "gateway"]);
        eventually("the store to be away", || (up() == 0.0).then_some(()));
        let reason = "refuses the user `gateway`: WRONGPASS";
        eventually("the reason", || gateway.printed().contains(reason).then_some(()));
        put(&file, "number-two");
        eventually("the store to be back", || (up() == 1.0).then_some(()));
    });
    assert!(!gateway.printed().contains("number-"), "{}", gateway.printed());
}
