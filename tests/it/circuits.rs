//! What one caller's failing calls mean for the others: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::step::{self, Act, Step};
use crate::support::{Gateway, Provider, SECRET, Setup, chat, eventually, jwt};

const CHAT: &str = "/v1/chat/completions";

fn bytes(step: Step) -> Vec<u8> {
    step.into_iter()
        .filter_map(|act| if let Act::Send(bytes) = act { Some(bytes) } else { None })
        .flatten()
        .collect()
}

/// Fails with this status for calls that say `boom`, and for all while it is out.
fn fails_on_boom(status: u16, out: &Arc<AtomicBool>) -> Step {
    let (bad, good) = (bytes(step::error(status, "server_error")), bytes(step::chat("hello")));
    let out = Arc::clone(out);
    vec![Act::Reply(Arc::new(move |seen| {
        let fails = out.load(Ordering::SeqCst) || seen.text().contains("boom");
        if fails { bad.clone() } else { good.clone() }
    }))]
}

fn setup(provider: &Provider) -> Setup {
    Setup::new(provider).section("retry", "{max_retries: 0}").section(
        "auth",
        &format!("jwt: {{secret: \"{SECRET}\"}}\naccept: [jwt, passthrough, anonymous]"),
    )
}

/// So many calls at once.
fn at_once(gateway: &Gateway, bearers: &[String], body: &Value) -> Vec<u16> {
    std::thread::scope(|scope| {
        let calls: Vec<_> = bearers
            .iter()
            .map(|bearer| scope.spawn(move || gateway.post(CHAT, bearer, body).status))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

#[track_caller]
fn is_served(gateway: &Gateway) {
    for _ in 0..5 {
        gateway.chat("victim", "hi").ok();
        gateway.chat("other", "hi").ok();
    }
    assert_eq!(gateway.metric("tollgate_breaker_open{provider=\"openai\"}"), 0.0);
}

#[test]
fn failing_calls_of_one_caller_hold_no_other_off() {
    let provider = Provider::start();
    provider.always(fails_on_boom(500, &Arc::default()));
    let gateway = setup(&provider).start();
    let boom = chat("boom");
    // One organisation; junk bearers, which are one organisation each; and both together.
    let hostile = |n: usize| {
        if n.is_multiple_of(2) { jwt("hostile") } else { format!("sk-junk-bearer-number-{n}") }
    };
    let callers: [Vec<String>; 4] = [
        vec![jwt("hostile"); 12],
        (0..24).map(|n| format!("sk-junk-{n}")).collect(),
        vec!["sk-one-junk-bearer".to_owned(); 24],
        (0..24).map(hostile).collect(),
    ];
    for bearers in &callers {
        let statuses = at_once(&gateway, bearers, &boom);
        assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
        is_served(&gateway);
    }
    // Without a name at all.
    for _ in 0..12 {
        assert_eq!(gateway.send("POST", CHAT, &[], boom.to_string().as_bytes()).status, 503);
    }
    is_served(&gateway);
    // Its own calls are held off, also the good ones, and the provider is left alone.
    provider.take_seen();
    gateway.chat("hostile", "boom").refused(503, "provider_unavailable");
    assert_eq!(provider.take_seen().len(), 0, "an open circuit sends nothing");
    // With a provider key of its own an organisation is another caller than under the gateway's.
    let token = jwt("hostile");
    let headers =
        [("x-tollgate-token", token.as_str()), ("authorization", "Bearer sk-its-own-key")];
    assert_eq!(gateway.send("POST", CHAT, &headers, chat("hi").to_string().as_bytes()).status, 200);
}

#[test]
fn calls_that_one_caller_makes_slow_hold_no_other_off() {
    let provider = Provider::start();
    let gateway = setup(&provider).section("timeouts", "{first_byte: 300ms}").start();
    provider.script((0..12).map(|_| step::silence()));
    let statuses = at_once(&gateway, &vec![jwt("hostile"); 12], &chat("think"));
    assert!(statuses.iter().all(|status| *status == 504), "{statuses:?}");
    is_served(&gateway);
    // Resets, answers that break off, and rubbish.
    for (n, step) in [
        vec![Act::Reset],
        step::truncated_json(&step::chat_body("hello")),
        vec![Act::Send(b"rubbish\r\n\r\n".to_vec()), Act::Close],
    ]
    .into_iter()
    .enumerate()
    {
        // The first reset ends the connection of the call before, which is no attempt.
        provider.script((0..10 + usize::from(n == 0)).map(|_| step.clone()));
        for _ in 0..10 {
            assert_eq!(gateway.chat(&format!("hostile-{n}"), "x").status, 503);
        }
        is_served(&gateway);
    }
}

#[test]
fn after_an_outage_nobody_keeps_the_others_out() {
    let (provider, out) = (Provider::start(), Arc::new(AtomicBool::new(true)));
    provider.always(fails_on_boom(500, &out));
    let gateway =
        setup(&provider).section("breaker", "{consecutive_failures: 4, open_for: 1s}").start();
    for _ in 0..4 {
        for org in ["victim", "hostile", "third"] {
            assert_eq!(gateway.chat(org, "boom").status, 503);
        }
    }
    // An outage for all.
    gateway.counts("tollgate_breaker_open{provider=\"openai\"}", 1.0);
    provider.take_seen();
    for org in ["victim", "hostile", "third"] {
        let refused = gateway.chat(org, "hi");
        refused.refused(503, "provider_unavailable");
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(provider.take_seen().len(), 0, "an open circuit sends nothing");
    // A newcomer is the probe of its own.
    gateway.chat("newcomer", "hi").refused(503, "provider_unavailable");
    assert_eq!(provider.take_seen().len(), 1);
    gateway.chat("newcomer", "hi").refused(503, "provider_unavailable");
    assert_eq!(provider.take_seen().len(), 0);
    // The provider is well again, but not for the one that goes on failing and is first at every
    // probe.
    out.store(false, Ordering::SeqCst);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for bearer in [jwt("hostile"), "sk-junk-of-somebody".to_owned()] {
            let (gateway, over) = (&gateway, &over);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    gateway.post(CHAT, &bearer, &chat("boom"));
                }
            });
        }
        eventually("the victim to be served", || {
            (gateway.chat("victim", "hi").status == 200).then_some(())
        });
        for org in ["victim", "third", "newcomer"] {
            for _ in 0..10 {
                assert_eq!(
                    gateway.chat(org, "hi").status,
                    200,
                    "{org}: the success of one lets all in"
                );
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(gateway.metric("tollgate_breaker_open{provider=\"openai\"}"), 0.0);
}

#[test]
fn a_provider_that_cannot_be_connected_to_is_left_alone_by_all() {
    let gateway = Setup::towards(crate::support::refused_address())
        .section("retry", "{max_retries: 0}")
        .section("breaker", "{consecutive_failures: 4, open_for: 10m}")
        .start();
    // Each organisation failed once: no one of them alone would have opened a circuit.
    for n in 0..4 {
        gateway.chat(&format!("org-{n}"), "hi").refused(503, "provider_unavailable");
    }
    gateway.chat("newcomer", "hi").refused(503, "provider_unavailable");
    let rows = gateway.rows(5);
    let detail =
        rows.iter().find(|row| row["org_id"] == "newcomer").unwrap()["attempts_detail"].clone();
    assert_eq!(detail, json!("openai open"));
    gateway.counts("tollgate_breaker_open{provider=\"openai\"}", 1.0);
}

#[test]
fn one_callers_failures_move_no_other_to_another_target() {
    let (a, b) = (Provider::start(), Provider::start());
    a.always(fails_on_boom(500, &Arc::default()));
    b.always(fails_on_boom(500, &Arc::default()));
    let gateway = setup(&a)
        .section(
            "providers",
            &format!(
                "a: {{kind: openai, base_url: \"http://{}/v1\"}}\nb: {{kind: openai, \
                    base_url: \"http://{}/v1\"}}",
                a.address, b.address
            ),
        )
        .section("routing", "default: [a, b]")
        .section("intent", "{provider: a}")
        .start();
    for _ in 0..24 {
        gateway.chat("hostile", "boom").refused(503, "provider_unavailable");
    }
    for _ in 0..10 {
        assert_eq!(gateway.chat("victim", "hi").ok().header("x-tollgate-provider"), Some("a"));
    }
}

#[test]
fn retries_of_one_caller_are_not_paid_for_by_others() {
    let (provider, out) = (Provider::start(), Arc::new(AtomicBool::new(false)));
    provider.always(fails_on_boom(503, &out));
    let gateway = setup(&provider)
        .section("retry", "{max_retries: 1, base_delay: 1ms, max_delay: 1ms, budget_percent: 0}")
        .section("breaker", "{consecutive_failures: 100000, error_percent: 100}")
        .start();
    for _ in 0..150 {
        gateway.chat("hostile", "boom").refused(503, "provider_unavailable");
    }
    let hostile = provider.take_seen().len();
    assert!(hostile < 300, "its own budget ends, {hostile}");
    // A passing fault of a call of somebody else's is retried all the same.
    for _ in 0..20 {
        provider.script([step::error(503, "x")]);
        gateway.chat("victim", "hi").ok();
    }
}
