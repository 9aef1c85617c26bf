//! Secrets in files: all ways of replacing them, while calls run.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{
    Gateway, Provider, Proxy, SECRET, Setup, chat, eventually, jwt, secure, sign, step, tollgate,
};

/// Writes a file in one move.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

/// A token of an organisation, signed with this secret.
fn token(org: &str, secret: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"org_id": org, "sub": "tests", "exp": now + 3600});
    sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, secret)
}

/// Runs `work` while calls are made one after the other, none of which may fail.
fn under_load(gateway: &Gateway, work: impl FnOnce()) {
    let (is_over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for caller in 0..2 {
            let (is_over, calls) = (&is_over, &calls);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    gateway.chat(&format!("caller-{caller}"), "hi").ok();
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        work();
        let enough = calls.load(Ordering::SeqCst) + 2;
        eventually("calls", || (calls.load(Ordering::SeqCst) >= enough).then_some(()));
        is_over.store(true, Ordering::SeqCst);
    });
}

/// Waits until the provider gets this key, and no other any more.
fn arrives(provider: &Provider, key: &str) {
    let bearer = format!("Bearer {key}");
    eventually(key, || {
        let seen = provider.take_seen();
        let is_new = |seen: &crate::support::Seen| seen.header("authorization") == Some(&bearer);
        (!seen.is_empty() && seen.iter().all(is_new)).then_some(())
    });
}

#[test]
fn a_provider_s_key_is_replaced_in_every_way_while_calls_run() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, key: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("key"), key).unwrap();
    };
    version("..1", "sk-number-one\n");
    symlink("..1", at("..data")).unwrap();
    symlink("..data/key", at("key")).unwrap();
    let gateway = Setup::new(&provider)
        .section(
            "providers",
            &format!(
                "openai: {{base_url: \"http://{}/v1\", api_key: {{file: \"{}\"}}}}",
                provider.address,
                at("key").display()
            ),
        )
        .start();
    under_load(&gateway, || {
        arrives(&provider, "sk-number-one");
        version("..2", "sk-number-two\r\n");
        symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        arrives(&provider, "sk-number-two");
        put(&at("key"), "sk-number-three");
        arrives(&provider, "sk-number-three");
        fs::write(at("key"), "").unwrap();
        eventually("the empty file", || {
            gateway.config().to_string().contains("is empty").then_some(())
        });
        arrives(&provider, "sk-number-three");
        fs::write(at("key"), "sk-number-four\n").unwrap();
        arrives(&provider, "sk-number-four");
        fs::remove_file(at("key")).unwrap();
        eventually("the lost file", || {
            (gateway.metric("tollgate_files_refused") == 1.0).then_some(())
        });
        arrives(&provider, "sk-number-four");
        put(&at("key"), "sk-number-five");
        arrives(&provider, "sk-number-five");
    });
    eventually("all files in use", || {
        (gateway.metric("tollgate_files_refused") == 0.0).then_some(())
    });
    let shown = gateway.config().to_string() + &gateway.printed();
    assert!(shown.contains("key") && !shown.contains("sk-number"), "{shown}");
}

#[test]
fn an_edit_of_the_policy_keeps_a_secret_whose_file_is_lost() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    put(&file, "sk-kept");
    let entry = |more: &str| {
        format!(
            "openai: {{base_url: \"http://{}/v1\", api_key: {{file: \"{}\"}}}}{more}",
            provider.address,
            file.display()
        )
    };
    let gateway = Setup::new(&provider).section("providers", &entry("")).start();
    fs::remove_file(&file).unwrap();
    gateway.edit_and_wait("retry", "{max_retries: 1}");
    gateway.chat("acme", "hi").ok();
    assert_eq!(provider.only().header("authorization"), Some("Bearer sk-kept"));
    // A file that is new must be there.
    let other = "\nother: {base_url: \"http://127.0.0.1:1\", api_key: {file: nowhere}}";
    gateway.edit("providers", &entry(other));
    eventually("the refused edit", || {
        gateway.config().to_string().contains("providers.other.api_key").then_some(())
    });
    gateway.chat("acme", "hi").ok();
}

#[test]
fn tokens_are_verified_by_every_secret_and_by_none_that_is_gone() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let (old, new) = (SECRET, "a-second-secret-of-enough-bytes-here");
    put(&file, old);
    let section = |secrets: &str| format!("accept: [jwt]\njwt: {{secrets: [{secrets}]}}");
    let in_file = format!("{{file: \"{}\"}}", file.display());
    let gateway = Setup::new(&provider).section("auth", &section(&in_file)).start();
    let status = |token: &str| gateway.post("/v1/chat/completions", token, &chat("hi")).status;
    let (by_old, by_new) = (token("acme", old), token("acme", new));
    assert_eq!((status(&by_old), status(&by_new)), (200, 401));

    // The new one is added, then it signs alone.
    gateway.edit_and_wait("auth", &section(&format!("\"{new}\", {in_file}")));
    assert_eq!((status(&by_old), status(&by_new)), (200, 200));
    gateway.edit_and_wait("auth", &section(&format!("\"{new}\"")));
    assert_eq!((status(&by_old), status(&by_new)), (401, 200));

    // The same in a file: tokens that were verified before are refused.
    gateway.edit_and_wait("auth", &section(&in_file));
    assert_eq!((status(&by_old), status(&by_new)), (200, 401));
    put(&file, new);
    eventually("the new secret", || (status(&by_new) == 200).then_some(()));
    assert_eq!(status(&by_old), 401);
    put(&file, old);
    eventually("the old secret", || (status(&by_old) == 200).then_some(()));
    assert_eq!(status(&by_new), 401);
}

#[test]
fn calls_go_on_while_the_secret_of_tokens_is_replaced_by_a_list() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    put(&file, "another-secret-of-enough-bytes-here");
    let secrets = format!(
        "accept: [jwt]\njwt: {{secrets: [{{file: \"{}\"}}, \"{SECRET}\"]}}",
        file.display()
    );
    let gateway = Setup::new(&provider).section("auth", &secrets).start();
    under_load(&gateway, || {
        for secret in ["one-secret-of-enough-bytes-for-it", "two-secret-of-enough-bytes-for-it"] {
            put(&file, secret);
            let token = token("acme", secret);
            let status = || gateway.post("/v1/chat/completions", &token, &chat("hi")).status;
            eventually(secret, || (status() == 200).then_some(()));
        }
    });
}

#[test]
fn the_password_of_clickhouse_is_replaced_while_rows_are_sent() {
    let (provider, store) = (Provider::start(), Provider::start());
    store.always(step::with_headers(200, &[], b""));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    put(&file, "the first password");
    let gateway = Setup::new(&provider)
        .setting("store", "clickhouse")
        .setting(
            "clickhouse",
            &format!(
                "{{url: \"http://{}\", password: {{file: \"{}\"}}}}",
                store.address,
                file.display()
            ),
        )
        .start();
    let arrives = |password: &str| {
        eventually(password, || {
            gateway.chat("acme", "hi").ok();
            let seen = store.take_seen();
            let is_new =
                |seen: &crate::support::Seen| seen.header("x-clickhouse-key") == Some(password);
            (!seen.is_empty() && seen.iter().all(is_new)).then_some(())
        });
    };
    arrives("the first password");
    put(&file, "the second password");
    arrives("the second password");
    assert!(!gateway.printed().contains("second password"), "{}", gateway.printed());
}

#[test]
fn the_password_of_a_proxy_is_replaced_while_calls_run() {
    let provider = Provider::start();
    // A new connection for each call.
    let answer = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"},
            "finish_reason": "stop"}]});
    let headers = [("content-type", "application/json"), ("connection", "close")];
    provider.always(step::with_headers(200, &headers, answer.to_string().as_bytes()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    for (tls, expected) in [(true, "CONNECT "), (false, "POST http://")] {
        put(&file, "number one\n");
        let proxy = Proxy::to_all();
        let (base, ca) = if tls {
            let secured = secure::in_front_of(provider.address, "provider.pem");
            (format!("https://{secured}"), secure::file("provider-ca.pem"))
        } else {
            (format!("http://{}", provider.address), secure::file("ca.pem"))
        };
        let keys = format!(
            "openai: {{base_url: \"{base}/v1\", api_key: sk-key, ca_file: \"{}\", proxy: {{url: \
             \"http://{}\", username: corp, password: {{file: \"{}\"}}}}}}",
            ca.display(),
            proxy.address,
            file.display()
        );
        let gateway = Setup::new(&provider).section("providers", &keys).start();
        let arrives = |password: &str| {
            let value = STANDARD.encode(format!("corp:{password}"));
            let line = format!("proxy-authorization: Basic {value}\r\n");
            eventually(password, || {
                let last = proxy.heads().pop()?;
                (last.starts_with(expected) && last.contains(&line)).then_some(())
            });
        };
        under_load(&gateway, || {
            arrives("number one");
            put(&file, "number two");
            arrives("number two");
            // An empty file leaves the one before in force.
            fs::write(&file, "").unwrap();
            eventually("the empty file", || {
                gateway.config().to_string().contains("is empty").then_some(())
            });
            arrives("number two");
        });
        let shown = gateway.config().to_string() + &gateway.printed();
        assert!(shown.contains("corp") && !shown.contains("number "), "{shown}");
    }
}

#[test]
fn the_secret_of_placeholders_is_replaced_within_a_second() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("placeholders");
    put(&file, "one-secret-of-at-least-32-bytes-here\n");
    let gateway = Setup::new(&provider)
        .setting("placeholder_key", &format!("{{file: \"{}\"}}", file.display()))
        .section("redaction", "{placeholders: stable, restore: true}")
        .start();
    let sent = || {
        provider.take_seen();
        gateway.chat("acme", "jane@example.com").ok();
        provider.only().json()["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    let first = sent();
    put(&file, "short");
    eventually("the short secret", || {
        gateway.config().to_string().contains("is too short").then_some(())
    });
    assert_eq!(sent(), first);
    put(&file, "two-secret-of-at-least-32-bytes-here\n");
    let second = eventually("the new secret", || Some(sent()).filter(|sent| *sent != first));
    put(&file, "one-secret-of-at-least-32-bytes-here");
    eventually("the first secret again", || (sent() == first).then_some(()));
    assert_ne!(second, first);
}

#[test]
fn check_tells_every_file_that_cannot_hold_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("policies")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    for (name, content) in [
        ("empty", &b""[..]),
        ("lines", b"sk-one\nsk-two\n"),
        ("nul", b"sk-\0one"),
        ("bytes", b"\xff\xfe\xfd"),
        ("large", &[b'x'; 70_000]),
        ("good", b"sk-good\n"),
    ] {
        fs::write(at(name), content).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let check = |provider: &str, jwt: &str| {
        let text = format!(
            "auth: {{accept: [jwt], jwt: {{{jwt}}}}}\nproviders: {{openai: {{base_url: \
             \"http://127.0.0.1:1/v1\", api_key: {provider}}}}}\n"
        );
        fs::write(at("policies/all.yaml"), text).unwrap();
        fs::write(at("gateway.yaml"), "data_dir: data\n").unwrap();
        let run = |command: &[&str]| {
            let output = tollgate()
                .args(command)
                .args(["--config", "."])
                .current_dir(folder.path())
                .output();
            let output = output.unwrap();
            let text =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            (output.status.code(), text)
        };
        (run(&["check"]), run(&["token", "--org", "acme"]))
    };
    let jwt = format!("secret: \"{SECRET}\"");
    for (file, reason) in [
        ("none", "cannot be read"),
        ("folder", "is not a regular file"),
        ("pipe", "is not a regular file"),
        ("/dev/null", "is not a regular file"),
        ("empty", "is empty"),
        ("lines", "has a line break"),
        ("nul", "has a NUL byte"),
        ("bytes", "is not UTF-8"),
        ("large", "is larger than 64 KiB"),
    ] {
        let ((code, text), (of_token, _)) = check(&format!("{{file: {file}}}"), &jwt);
        assert_eq!(code, Some(1), "{file}: {text}");
        assert!(text.contains("policies/all.yaml:2:"), "{text}");
        assert!(text.contains("providers.openai.api_key: `") && text.contains(reason), "{text}");
        assert_eq!(of_token, Some(0), "a command that does not use it: {file}");
        let ((code, text), (of_token, _)) = check("sk-1", &format!("secret: {{file: {file}}}"));
        if file != "lines" {
            assert_eq!((code, of_token), (Some(1), Some(1)), "{file}");
            assert!(text.contains("auth.jwt.secret: `") && text.contains(reason), "{text}");
            assert!(!text.contains("neither a secret nor"), "{text}");
        }
    }
    for (secrets, reason) in [
        ("secret: aaaa, secrets: [bbbb]", "are both given; give one of them"),
        ("secrets: ['']", "auth.jwt.secrets[0]: empty"),
        ("secrets: [a1, a2, a3, a4, a5, a6, a7, a8, a9]", "more than 8 secrets"),
        ("secret: {fail: good}", "write `base64` or `file`"),
        ("secret: {base64: {file: lines}}", "is not base64"),
    ] {
        let ((code, text), _) = check("{file: good}", secrets);
        assert!(code == Some(1) && text.contains(reason), "{secrets}: {text}");
    }
    let ((code, text), _) = check("{file: good}", &jwt);
    assert!(code == Some(0) && !text.contains("may read this secret"), "{text}");
    fs::set_permissions(at("good"), fs::Permissions::from_mode(0o644)).unwrap();
    let ((code, text), _) = check("{file: good}", &jwt);
    assert!(code == Some(0) && text.contains("every user of this machine may read"), "{text}");
}

#[test]
fn the_first_secret_signs() {
    let provider = Provider::start();
    provider.always(step::chat("hello"));
    let (first, second) = ("the-first-secret-of-enough-bytes", "the-second-secret-of-enough-bytes");
    let gateway = Setup::new(&provider)
        .section("auth", &format!("accept: [jwt]\njwt: {{secrets: [\"{first}\", \"{second}\"]}}"))
        .start();
    let config = gateway.folder().display().to_string();
    let output = tollgate().args(["token", "--org", "acme", "--config", &config]).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    gateway.post("/v1/chat/completions", token.trim(), &chat("hi")).ok();
    gateway.edit_and_wait("auth", &format!("accept: [jwt]\njwt: {{secret: \"{second}\"}}"));
    assert_eq!(gateway.post("/v1/chat/completions", token.trim(), &chat("hi")).status, 401);
    assert_eq!(gateway.post("/v1/chat/completions", &jwt("acme"), &chat("hi")).status, 401);
}
