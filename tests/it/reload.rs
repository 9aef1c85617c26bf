//! Policies are edited under load: no call is dropped, a bad edit is refused whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use crate::identity::sha256;
use crate::support::step::{self, Act};
use crate::support::{Gateway, Provider, Seen, Setup, chat, eventually, jwt, request};

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

/// The policy of a number: the model that is asked for, its price and what is redacted depend on
/// it.
fn numbered(number: u64) -> String {
    let (price, entity) = (number + 1, if number.is_multiple_of(2) { "email" } else { "iban" });
    format!(
        "routing: {{default: [openai], models: [{{match: gpt-4o-mini, to: [{{provider: openai, \
         model: model-{number}}}]}}]}}\nredaction: {{entities: [{entity}]}}\nprices: [{{model: \
         model-{number}, input: {price}, output: {price}}}]\n"
    )
}

/// The events of a stream in the name of a model.
fn events_of(model: &str) -> Vec<String> {
    let events = step::chat_events(&["first ", "last "], true);
    events.iter().map(|event| event.replace("gpt-4o-mini-2024-07-18", model)).collect()
}

/// An answer in the name of the model that is asked for, as a stream to those who ask for one.
fn in_the_name_of_its_model(seen: &Seen) -> Vec<u8> {
    let model = seen.json()["model"].as_str().expect("a model").to_owned();
    let step = if seen.text().contains("\"stream\":true") {
        step::sse_together(&events_of(&model))
    } else {
        let mut body = step::chat_body("hello");
        body["model"] = model.into();
        step::json(200, &body)
    };
    let sent = step.into_iter().filter_map(|act| match act {
        Act::Send(bytes) => Some(bytes),
        _ => None,
    });
    sent.flatten().collect()
}

/// The bytes of a call, which names an address.
fn call(is_stream: bool) -> Vec<u8> {
    let mut body = chat("write to ann@example.com");
    body["stream"] = is_stream.into();
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", &*bearer)];
    request("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes())
}

/// The number of each version that was accepted, by the audit.
fn numbers_of_versions(gateway: &Gateway, last: u64) -> HashMap<String, u64> {
    let numbers: HashMap<String, u64> = (0..=last).map(|n| (sha256(&numbered(n)), n)).collect();
    let text = std::fs::read_to_string(gateway.folder().join("data/audit.jsonl")).expect("audit");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record"));
    let number = |record: Value| {
        let sums = record["files"].as_array()?.iter().filter_map(|file| file["sha256"].as_str());
        let number = sums.filter_map(|sum| numbers.get(sum)).next()?;
        Some((record["version"].as_str()?.to_owned(), *number))
    };
    records.filter_map(number).collect()
}

#[test]
fn a_thousand_edits_under_load_fail_no_call_and_cut_no_stream() {
    const EDITS: u64 = 1_000;
    const CALLERS: usize = 4;
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider).start();
    let before = gateway.policy_version();
    gateway.write_policy("numbers", &numbered(0));
    eventually("the first policy", || (gateway.policy_version() != before).then_some(()));
    // Streams that are open all the while.
    let long: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (events, (gate, go)) = (events_of("model-0"), step::gate());
            let mut script = step::sse_open(&events[..2]);
            script.push(gate);
            script.extend(step::sse_rest(&events[2..]));
            provider.script([script]);
            let mut connection = gateway.connect();
            connection.send(&call(true));
            let head = connection.head().expect("a head");
            connection.chunks_until("first ");
            (connection, head, go)
        })
        .collect();
    provider.always(vec![Act::Reply(Arc::new(in_the_name_of_its_model))]);
    // Short calls and short streams.
    let (stop, (done, is_done)) = (Arc::new(AtomicBool::new(false)), channel());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (stop, done, mut connection) = (Arc::clone(&stop), done.clone(), gateway.connect());
            std::thread::spawn(move || {
                let is_stream = caller % 2 == 1;
                let (call, mut calls) = (call(is_stream), 0);
                while !stop.load(Ordering::SeqCst) {
                    let reply = connection.send(&call).reply();
                    assert!(!is_stream || reply.ok().text().ends_with("[DONE]\n\n"), "{reply:?}");
                    reply.ok();
                    calls += 1;
                    let _ = done.send(());
                }
                calls
            })
        })
        .collect();
    // As fast as calls are answered: a minute has room for more than these.
    for number in 1..=EDITS {
        gateway.write_policy("numbers", &numbered(number));
        is_done.recv_timeout(Duration::from_secs(60)).expect("a call that was answered");
    }
    let model = format!("model-{EDITS}");
    eventually("the last policy", || {
        let config = gateway.config();
        config["config"]["policy"]["routing"].to_string().contains(&*model).then_some(())
    });
    assert_eq!(gateway.config()["last_refused"], Value::Null);
    for (mut connection, mut head, go) in long {
        go.send(()).expect("a provider");
        connection.body(&mut head);
        assert!(head.complete && head.text().ends_with("[DONE]\n\n"), "{}", head.text());
    }
    stop.store(true, Ordering::SeqCst);
    let calls: usize =
        callers.into_iter().map(|caller| caller.join().expect("no call failed")).sum();
    assert_eq!(gateway.chat("acme", "hi").json()["model"], *model);
    let numbers = numbers_of_versions(&gateway, EDITS);
    let rows = gateway.stop();
    assert_eq!(rows.len(), calls + CALLERS + 1);
    let mut of_number: HashMap<u64, usize> = HashMap::new();
    for row in &rows {
        assert_eq!(row["outcome"], "ok");
        let number = numbers[row["policy_version"].as_str().expect("a version")];
        *of_number.entry(number).or_default() += 1;
        assert_eq!(row["response_model"], format!("model-{number}"), "{row:?}");
        let cost = row["cost_usd"].as_f64().expect("a price") * 1e6;
        let expected = 18.0 * (number + 1) as f64;
        assert!((cost - expected).abs() < 1e-3, "{number}: {cost}, {expected}");
        // The last call names no address.
        if row["prompt_chars"] != json!(2) {
            let redacted = u64::from(number.is_multiple_of(2));
            assert_eq!(row["redacted_emails"], json!(redacted), "{row:?}");
        }
    }
    assert!(of_number[&0] >= CALLERS && of_number[&EDITS] >= 1, "{of_number:?}");
    assert!(of_number.len() > 20, "edits come into force while calls are made: {of_number:?}");
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
        gateway.prints("limits.yaml");
        gateway.chat("acme", "hi").ok();
    }
    gateway.edit_and_wait("limits", "{requests_per_minute: 77, burst: 77}");
    assert_eq!(gateway.chat("acme", "hi").ok().header("x-ratelimit-limit-requests"), Some("77"));
    gateway.reaches("tollgate_config_last_reload_successful", 0.5);
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
