//! Policies are edited under load: no call is dropped, a bad edit is refused whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::step::{self, Act};
use crate::support::{Provider, Setup, chat, eventually, jwt, request};

#[test]
fn a_word_list_in_a_file_is_read_again_when_it_changes() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).start();
    let list = gateway.folder().join("customers.txt");
    std::fs::write(&list, "Blue Harbour\nFalcon\n").expect("written");
    let terms = "terms: [{name: customers, words_file: customers.txt, replacement: '[CUSTOMER]'}]";
    gateway.edit_and_wait("redaction", terms);
    let sent = |text: &str| {
        gateway.chat("acme", text).ok();
        let seen = provider.take_seen();
        seen[0].json()["messages"][0]["content"].as_str().expect("text").to_owned()
    };
    assert_eq!(sent("blue harbour, Falcon, Heron"), "[CUSTOMER], [CUSTOMER], Heron");
    let change = |text: &str| {
        let before = gateway.policy_version();
        std::fs::write(&list, text).expect("written");
        eventually("the edited list", || (gateway.policy_version() != before).then_some(()));
    };
    change("Heron\n");
    assert_eq!(sent("blue harbour, Falcon, Heron"), "blue harbour, Falcon, [CUSTOMER]");
    // A list that cannot be used is refused as any edit.
    std::fs::write(&list, "\n").expect("written");
    eventually("the refusal", || {
        let problems = gateway.config()["last_refused"]["problems"].to_string();
        problems.contains("customers.txt").then_some(())
    });
    assert_eq!(sent("Falcon, Heron"), "Falcon, [CUSTOMER]");
}

#[test]
fn edits_never_drop_a_call() {
    let provider = Provider::start();
    let gateway = Arc::new(Setup::new(&provider).start());
    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, stop, calls) =
                (Arc::clone(&gateway), Arc::clone(&stop), Arc::clone(&calls));
            std::thread::spawn(move || {
                let bearer = format!("Bearer {}", jwt("acme"));
                let call = request(
                    "POST",
                    "/v1/chat/completions",
                    &[("authorization", &bearer)],
                    chat("hi").to_string().as_bytes(),
                );
                let mut connection = gateway.connect();
                while !stop.load(Ordering::SeqCst) {
                    connection.send(&call).reply().ok();
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    // A stream that is open all the while.
    let events = step::chat_events(&["first ", "last "], true);
    let (gate, go) = step::gate();
    let mut script = step::sse_open(&events[..2]);
    script.push(gate);
    script.extend(step::sse_rest(&events[2..]));
    let long = Provider::start();
    long.script([script]);
    let streaming = Setup::new(&long).start();
    let mut connection = streaming.connect();
    let bearer = format!("Bearer {}", jwt("acme"));
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.as_bytes(),
    ));
    let mut head = connection.head().unwrap();
    connection.chunks_until("first ");
    for n in 1..=5 {
        let limits = format!("{{requests_per_minute: {}, burst: 60000}}", 60_000 - n);
        gateway.edit_and_wait("limits", &limits);
        streaming.edit_and_wait("limits", &limits);
    }
    go.send(()).unwrap();
    connection.body(&mut head);
    assert!(head.complete && head.text().ends_with("[DONE]\n\n"), "{}", head.text());
    stop.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().expect("no call failed");
    }
    assert!(calls.load(Ordering::SeqCst) > 20, "{calls:?}");
    let reply = gateway.chat("acme", "hi");
    assert_eq!(reply.ok().header("x-ratelimit-limit-requests"), Some("59995"));
}

#[test]
fn a_bad_edit_is_refused_whole_with_its_place() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).start();
    let before = gateway.policy_version();
    let bad = [
        ("requests_per_minute", "limits:\n  requests_per_minute: many\n", 2),
        ("requests_per_minite", "limits:\n  burst: 5\n  requests_per_minite: 5\n", 3),
        ("yaml", "limits: [\n", 0),
    ];
    for (what, text, line) in bad {
        let former = gateway.config()["last_refused"].clone();
        gateway.write_policy("limits", text);
        let refused = eventually(&format!("the refused edit ({what})"), || {
            let refused = gateway.config()["last_refused"].clone();
            let told = refused.to_string();
            let placed =
                if line > 0 { format!("limits.yaml:{line}:") } else { "limits.yaml:".into() };
            (refused != former && told.contains(&placed)).then_some(told)
        });
        assert!(!refused.is_empty());
        assert_eq!(gateway.policy_version(), before, "{what}");
        assert!(gateway.metric("tollgate_config_last_reload_successful") < 0.5);
        assert!(gateway.printed().contains("limits.yaml"), "{}", gateway.printed());
        gateway.chat("acme", "hi").ok();
    }
    gateway.edit_and_wait("limits", "{requests_per_minute: 77, burst: 77}");
    assert_eq!(gateway.chat("acme", "hi").ok().header("x-ratelimit-limit-requests"), Some("77"));
    assert!(gateway.metric("tollgate_config_last_reload_successful") > 0.5);
}

#[test]
fn a_running_call_ends_under_the_policy_it_began_with() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).start();
    let (gate, go) = step::gate();
    let mut slow: Vec<Act> = vec![gate];
    slow.extend(step::chat("hello"));
    provider.script([slow]);
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        chat("hi").to_string().as_bytes(),
    ));
    provider.wait_for(1);
    let before = gateway.policy_version();
    gateway.edit_and_wait("limits", "{requests_per_minute: 77, burst: 77}");
    go.send(()).unwrap();
    connection.reply().ok();
    assert_eq!(gateway.only_row()["policy_version"], before);
}

#[test]
fn a_redaction_rule_is_in_force_for_the_next_call() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).start();
    gateway.chat("acme", "Bluebird").ok();
    gateway.edit_and_wait(
        "redaction",
        "terms: [{name: project, words: [Bluebird], replacement: \"[PROJECT]\"}]",
    );
    gateway.chat("acme", "Bluebird").ok();
    let seen = provider.seen();
    assert!(
        seen[0].text().contains("Bluebird") && !seen[1].text().contains("Bluebird"),
        "{seen:?}"
    );
}
