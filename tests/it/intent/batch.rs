//! Tickets that meet: the same one twice at once, later answers, batches, and what is left at the
//! end of the process.

use std::thread;

use rustix::process::Signal;
use serde_json::{Map, Value, json};

use crate::support::{Gateway, Provider, Reply, Setup, eventually, jwt, step};

const PATH: &str = "/api/ai/intent";
const GOOD: &str = r#"{"category":"billing","priority":"high","confidence":0.9}"#;

fn ticket(title: &str) -> Value {
    json!({"title": title, "body": "I was charged twice"})
}

fn good() -> Value {
    json!({"category": "billing", "priority": "high", "confidence": 0.9})
}

fn ask(gateway: &Gateway, org: &str, title: &str) -> Reply {
    gateway.post(PATH, &jwt(org), &ticket(title))
}

/// A ticket with a preference.
fn ask_later(gateway: &Gateway, org: &str, title: &str, prefer: &str) -> Reply {
    let bearer = format!("Bearer {}", jwt(org));
    let headers = [("authorization", bearer.as_str()), ("prefer", prefer)];
    gateway.send("POST", PATH, &headers, ticket(title).to_string().as_bytes())
}

fn look(gateway: &Gateway, org: &str, location: &str, prefer: &str) -> Reply {
    let bearer = format!("Bearer {}", jwt(org));
    gateway.send("GET", location, &[("authorization", bearer.as_str()), ("prefer", prefer)], b"")
}

fn answer_behind_a_gate(answer: &str) -> (step::Step, std::sync::mpsc::Sender<()>) {
    let (gate, go) = step::gate();
    let mut step = vec![gate];
    step.extend(step::chat(answer));
    (step, go)
}

fn rows_with<'a>(
    rows: &'a [Map<String, Value>],
    column: &str,
    value: &Value,
) -> Vec<&'a Map<String, Value>> {
    rows.iter().filter(|row| row[column] == *value).collect()
}

/// Waits until so many calls have joined the work of another.
fn wait_until_joined(gateway: &Gateway, count: f64) {
    let name = "tollgate_intents_shared_total{from=\"work\"}";
    eventually("calls that join", || (gateway.metric(name) >= count).then_some(()));
}

#[test]
fn the_same_ticket_twice_at_once_is_asked_about_once() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let (first, go) = answer_behind_a_gate(GOOD);
    provider.script([first]);
    provider.always(step::chat(r#"{"category":"other","priority":"low","confidence":0.1}"#));
    thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(&gateway, "acme", "one"))).collect();
        provider.wait_for(1);
        wait_until_joined(&gateway, 3.0);
        // Another organisation's ticket of the same words is another ticket.
        assert_eq!(ask(&gateway, "other", "one").ok().json()["category"], "other");
        go.send(()).unwrap();
        for reply in asked {
            assert_eq!(reply.join().unwrap().ok().json(), good());
        }
    });
    assert_eq!(provider.seen().len(), 2);
    let rows = gateway.rows(5);
    let ours = rows_with(&rows, "org_id", &json!("acme"));
    assert_eq!(ours.len(), 4);
    for row in &ours {
        assert_eq!(
            (&row["category"], &row["priority"], &row["confidence"]),
            (&json!("billing"), &json!("high"), &json!(0.9))
        );
        assert_eq!(
            (&row["outcome"], &row["provider"], &row["status"]),
            (&json!("ok"), &json!("openai"), &json!(200))
        );
    }
    // One of them paid.
    let paid: Vec<_> = ours.iter().filter(|row| row["attempts"] == 1).collect();
    assert_eq!(paid.len(), 1);
    assert_eq!(
        (&paid[0]["usage_source"], &paid[0]["input_tokens"]),
        (&json!("provider"), &json!(11))
    );
    assert!(!paid[0]["cost_usd"].is_null());
    assert!(ours.iter().filter(|row| row["attempts"] == 0).all(|row| row["cost_usd"].is_null()));
    // What everybody got is not kept: the ticket asked again is asked about again.
    assert_eq!(ask(&gateway, "acme", "one").ok().json()["category"], "other");
    assert_eq!(provider.seen().len(), 3);
}

#[test]
fn who_follows_shares_a_failure_and_takes_over_from_one_who_left() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("retry", "{max_retries: 0}").start();
    let (gate, go) = step::gate();
    let mut failing = vec![gate];
    failing.extend(step::error(503, "x"));
    provider.script([failing]);
    thread::scope(|scope| {
        let asked: Vec<_> =
            (0..2).map(|_| scope.spawn(|| ask(&gateway, "acme", "fails"))).collect();
        provider.wait_for(1);
        wait_until_joined(&gateway, 1.0);
        go.send(()).unwrap();
        for reply in asked {
            reply.join().unwrap().refused(503, "provider_unavailable");
        }
    });
    assert_eq!(provider.take_seen().len(), 1);

    // The leader leaves: who follows leads, and is answered.
    provider.script([step::silence(), step::chat(GOOD)]);
    let mut leaver = gateway.connect();
    let bearer = format!("Bearer {}", jwt("acme"));
    let body = ticket("left").to_string();
    let request =
        crate::support::request("POST", PATH, &[("authorization", &bearer)], body.as_bytes());
    leaver.send(&request);
    provider.wait_for(1);
    thread::scope(|scope| {
        let follower = scope.spawn(|| ask(&gateway, "acme", "left"));
        wait_until_joined(&gateway, 2.0);
        drop(leaver);
        assert_eq!(follower.join().unwrap().ok().json(), good());
    });
    assert_eq!(provider.seen().len(), 2);
    let rows = gateway.rows(4);
    assert_eq!(rows_with(&rows, "outcome", &json!("client_disconnect")).len(), 1, "{rows:?}");
}

#[test]
fn a_stalled_provider_is_told_at_the_deadline_and_its_answer_is_not_lost() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("intent", "{deadline: 1s}").start();
    let (stalled, go) = answer_behind_a_gate(GOOD);
    provider.script([stalled]);
    let reply = ask(&gateway, "acme", "late");
    reply.refused(504, "provider_timeout");
    assert!(reply.header("retry-after").is_some());
    // A policy edit does not end the work.
    gateway.edit_and_wait("limits", "{requests_per_minute: 50000, burst: 50000}");
    gateway.edit_and_wait("intent", "{deadline: 60s}");
    go.send(()).unwrap();
    assert_eq!(ask(&gateway, "acme", "late").ok().json(), good());
    assert_eq!(
        provider.seen().len(),
        1,
        "answered without a new call, and another deadline is no other question"
    );
    // An edit of what is asked is another question.
    gateway.edit_and_wait("intent", "{deadline: 60s, categories: [billing, refunds]}");
    provider.script([step::chat(r#"{"category":"refunds","priority":"high","confidence":1}"#)]);
    assert_eq!(ask(&gateway, "acme", "late").ok().json()["category"], "refunds");
    assert_eq!(provider.seen().len(), 2);
}

#[test]
fn an_answer_can_be_fetched_later_by_its_organisation_alone() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let (step, go) = answer_behind_a_gate(GOOD);
    provider.script([step]);
    let reply = ask_later(&gateway, "acme", "later", "respond-async");
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert_eq!(reply.header("preference-applied"), Some("respond-async"));
    assert!(reply.header("x-ratelimit-remaining-requests").is_some());
    let location = reply.header("location").expect("location").to_owned();
    assert_eq!(reply.json(), json!({"id": location.rsplit('/').next(), "status": "pending"}));

    let pending = look(&gateway, "acme", &location, "");
    assert_eq!((pending.status, pending.header("retry-after")), (202, Some("1")));
    assert_eq!(pending.json(), reply.json());
    look(&gateway, "other", &location, "").refused(404, "not_found");
    assert_eq!(gateway.send("GET", &location, &[], b"").status, 401);
    look(&gateway, "acme", &format!("{location}x"), "").refused(404, "not_found");

    go.send(()).unwrap();
    // Waiting at the result saves asking again and again.
    let found = look(&gateway, "acme", &location, "wait=15");
    assert_eq!(found.ok().json(), good());
    assert_eq!(look(&gateway, "acme", &location, "").ok().json(), good());
    look(&gateway, "other", &location, "").refused(404, "not_found");
    // The same ticket has its answer, too.
    assert_eq!(ask(&gateway, "acme", "later").ok().json(), good());
    assert_eq!(provider.seen().len(), 1);

    let rows = gateway.rows(3);
    assert_eq!(rows.len(), 3, "looking leaves no row: {rows:?}");
    let accepted = rows_with(&rows, "status", &json!(202));
    assert_eq!(
        (accepted.len(), &accepted[0]["outcome"], &accepted[0]["cost_usd"]),
        (1, &json!("ok"), &Value::Null)
    );
    let worked = rows.iter().find(|row| row["attempts"] == 1).expect("the work has a row");
    assert_eq!(
        (&worked["request_id"], &worked["category"]),
        (&accepted[0]["request_id"], &json!("billing"))
    );
    assert!(!worked["cost_usd"].is_null());
}

#[test]
fn a_later_answer_that_is_there_at_once_is_given_at_once_and_a_failure_is_told() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("retry", "{max_retries: 0}").start();
    provider.script([step::chat(GOOD)]);
    assert_eq!(ask_later(&gateway, "acme", "quick", "respond-async, wait=15").ok().json(), good());
    provider.script([step::error(500, "x")]);
    let reply = ask_later(&gateway, "acme", "broken", "respond-async");
    assert_eq!(reply.status, 202);
    look(&gateway, "acme", reply.header("location").unwrap(), "wait=15")
        .refused(503, "provider_unavailable");
    // Mistakes are told before anything is begun.
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("prefer", "respond-async")];
    gateway.send("POST", PATH, &headers, b"{}").refused(400, "invalid_request");
}

#[test]
fn a_batch_is_answered_in_order_and_fails_one_by_one() {
    let provider = Provider::start();
    let limits = "{requests_per_minute: 60000, burst: 60000, orgs: {small: {requests_per_minute: \
        1, burst: 3}}}";
    let gateway = Setup::new(&provider)
        .section("limits", limits)
        .section("retry", "{max_retries: 0}")
        .start();
    // The answer depends on the ticket, not on the order in which tickets arrive.
    let by_ticket = |seen: &crate::support::Seen| {
        let category = if seen.text().contains("crash") { "technical" } else { "billing" };
        format!(r#"{{"category":"{category}","priority":"low","confidence":1}}"#)
    };
    provider.always(step::chat_by(by_ticket));
    let batch = |org: &str, tickets: Value| {
        gateway.post("/api/ai/intent/batch", &jwt(org), &json!({"tickets": tickets}))
    };
    let titles: Vec<Value> = (0..20)
        .map(|n| ticket(&format!("{n} {}", if n % 3 == 0 { "crash" } else { "x" })))
        .collect();
    let reply = batch("acme", json!(titles));
    let results = reply.ok().json()["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 20);
    for n in 0..20 {
        let category = if n % 3 == 0 { "technical" } else { "billing" };
        let expected =
            json!({"status": 200, "category": category, "priority": "low", "confidence": 1.0});
        assert_eq!(results[n], expected, "{n}");
    }
    let rows = gateway.rows(20);
    assert_eq!(rows_with(&rows, "endpoint", &json!("/api/ai/intent/batch")).len(), 20);
    assert!(
        rows.iter()
            .all(|row| row["request_id"] == rows[0]["request_id"] && !row["cost_usd"].is_null())
    );

    // Each ticket takes one from the bucket; an empty one and one that fails do, too.
    let three = batch(
        "small",
        json!([ticket("a"), {"title": " ", "body": ""}, ticket("b"), ticket("c"), ticket("d")]),
    );
    let results = three.ok().json()["results"].clone();
    let statuses: Vec<u64> =
        results.as_array().unwrap().iter().map(|r| r["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 400, 200, 429, 429]);
    assert_eq!(results[1]["error"]["code"], "invalid_request");
    assert_eq!(
        (&results[3]["error"]["code"], results[3]["retry_after"].as_u64() > Some(0)),
        (&json!("rate_limit_exceeded"), true)
    );
    assert_eq!(three.header("x-ratelimit-remaining-requests"), Some("0"));
    // Over the limit from the first ticket on: told at once.
    batch("small", json!([ticket("e")])).refused(429, "rate_limit_exceeded");

    // A batch of a wrong form is refused, before any ticket is paid for.
    let before = provider.seen().len();
    for wrong in [json!({}), json!([]), json!({"tickets": {}}), json!({"tickets": []})] {
        gateway.post("/api/ai/intent/batch", &jwt("acme"), &wrong).refused(400, "invalid_request");
    }
    let many: Vec<Value> = (0..101).map(|_| ticket("x")).collect();
    batch("acme", json!(many)).refused(400, "invalid_request");
    assert_eq!(provider.seen().len(), before);
    // The same ticket several times in one batch is one question.
    let same = batch("acme", json!([ticket("same"), ticket("same"), ticket("same")]));
    assert!(same.ok().json()["results"].as_array().unwrap().iter().all(|r| r["status"] == 200));
}

/// A ticket of a wrong form fails alone; each result has the id of its ticket.
#[test]
fn a_bad_ticket_of_a_batch_fails_alone() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    provider.always(step::chat(r#"{"category":"billing","priority":"low","confidence":1}"#));
    let tickets = json!([
        {"id": "T-1", "title": "a", "body": "b"},
        {"id": 2, "body": "without a title"},
        {"id": {"no": "id"}, "title": "c"},
        "no ticket",
        {"id": "T-5", "title": "only a title"},
        {"title": "without an id", "body": ["no text"]},
    ]);
    let reply = gateway.post("/api/ai/intent/batch", &jwt("acme"), &json!({"tickets": tickets}));
    let results = reply.ok().json()["results"].as_array().expect("results").clone();
    let told: Vec<_> = results
        .iter()
        .map(|r| (r["id"].clone(), r["status"].as_u64().unwrap(), r["error"]["message"].as_str()))
        .collect();
    let object = "tickets[3] must be a JSON object with a `title`";
    assert_eq!(
        told,
        [
            (json!("T-1"), 200, None),
            (json!(2), 400, Some("`tickets[1].title` is missing")),
            (
                json!(null),
                400,
                Some(
                    "`tickets[2].id` must be a string of at most 128 characters, or a whole number"
                )
            ),
            (json!(null), 400, Some(object)),
            (json!("T-5"), 200, None),
            (json!(null), 400, Some("`tickets[5].body` must be a string")),
        ]
    );
    assert_eq!(results[1]["error"]["param"], "title");
    assert_eq!(results[5]["error"]["code"], "invalid_request");
    assert!(results[3].get("id").is_none());
    // Two questions, six rows; the ids are nobody's business but the caller's.
    let seen = provider.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| !seen.text().contains("T-")));
    let rows = gateway.rows(6);
    assert_eq!(rows_with(&rows, "status", &json!(400)).len(), 4);
}

#[test]
fn the_answer_to_a_ticket_repeats_its_id_and_a_title_is_enough() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    provider.always(step::chat(r#"{"category":"billing","priority":"low","confidence":1}"#));
    let intent = json!({"category": "billing", "priority": "low", "confidence": 1.0});
    for (id, ticket) in [
        (json!("T-1"), json!({"id": "T-1", "title": "one"})),
        (json!(4711), json!({"id": 4711, "title": "two", "body": null})),
        (json!(null), json!({"title": "three", "body": "x"})),
    ] {
        let answer = gateway.post(PATH, &jwt("acme"), &ticket).ok().json();
        let mut expected = intent.clone();
        if !id.is_null() {
            expected["id"] = id;
        }
        assert_eq!(answer, expected, "{ticket}");
    }
    gateway.post(PATH, &jwt("acme"), &json!({"title": " "})).refused(400, "invalid_request");
    gateway.post(PATH, &jwt("acme"), &json!({"body": "x"})).refused(400, "invalid_request");
    // Also of an answer that is fetched later.
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("prefer", "respond-async")];
    let body = json!({"id": "late", "title": "four"}).to_string();
    let pending = gateway.send("POST", PATH, &headers, body.as_bytes());
    assert_eq!(pending.status, 202);
    let location = pending.header("location").expect("a location").to_owned();
    let answer = eventually("the result", || {
        let reply = gateway.send("GET", &location, &headers[..1], b"");
        (reply.status == 200).then(|| reply.json())
    });
    assert_eq!(answer["id"], "late");
}

#[test]
fn a_batch_ends_at_its_deadline() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("intent", "{deadline: 10s, batch_deadline: 1s}").start();
    provider.always(step::silence());
    let tickets: Vec<Value> = (0..10).map(|n| ticket(&n.to_string())).collect();
    let reply = gateway.post("/api/ai/intent/batch", &jwt("acme"), &json!({"tickets": tickets}));
    let results = reply.ok().json()["results"].clone();
    let results = results.as_array().unwrap();
    let late = |r: &&Value| r["status"] == 504 && r["error"]["code"] == "provider_timeout";
    assert_eq!(results.iter().filter(late).count(), 10, "{results:?}");
    assert!(provider.seen().len() <= 8, "the last two were not begun");
    let rows = gateway.rows(10);
    assert!(rows_with(&rows, "attempts", &json!(0)).len() >= 2, "{rows:?}");
}

#[test]
fn work_left_at_the_end_of_the_process_says_so() {
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider)
        .setting("shutdown_grace", "100ms")
        .section("intent", "{deadline: 1s}")
        .start();
    provider.always(step::silence());
    ask(&gateway, "acme", "never").refused(504, "provider_timeout");
    assert_eq!(ask_later(&gateway, "acme", "later", "respond-async").status, 202);
    provider.wait_for(2);
    let rows = gateway.stop();
    let outcomes = |outcome: &str| rows_with(&rows, "outcome", &json!(outcome)).len();
    assert_eq!((outcomes("timeout"), outcomes("ok"), outcomes("refused")), (1, 1, 2), "{rows:?}");
    let cut = rows_with(&rows, "outcome", &json!("refused"));
    assert!(cut.iter().all(|row| row["status"] == 503 && row["attempts"] == 1), "{cut:?}");
}

#[test]
fn background_work_is_finished_before_the_process_ends() {
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider).section("intent", "{deadline: 1s}").start();
    let (step, go) = answer_behind_a_gate(GOOD);
    provider.script([step]);
    ask(&gateway, "acme", "late").refused(504, "provider_timeout");
    gateway.signal(Signal::TERM);
    eventually("draining", || gateway.printed().contains("draining").then_some(()));
    go.send(()).unwrap();
    let status = gateway.wait();
    assert!(status.success());
    let rows = gateway.rows(2);
    assert!(
        rows.iter().any(|row| row["outcome"] == "ok" && row["category"] == "billing"),
        "{rows:?}"
    );
}

#[test]
fn a_repair_stays_within_the_retries() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("intent", "{repair: true, reason: true}").start();
    provider.script([
        step::chat("I think it is billing."),
        step::chat(r#"{"category":"billing","reason":"money"}"#),
    ]);
    let expected =
        json!({"category": "billing", "priority": null, "confidence": 0.0, "reason": "money"});
    assert_eq!(ask(&gateway, "acme", "a").ok().json(), expected);
    let rows = gateway.rows(1);
    // Both questions are paid for.
    assert_eq!((&rows[0]["attempts"], &rows[0]["input_tokens"]), (&json!(2), &json!(22)));
    // Two attempts failed: the third's answer stands.
    provider.take_seen();
    provider.script([
        step::error(503, "x"),
        step::error(503, "x"),
        step::chat("no idea"),
        step::chat(GOOD),
    ]);
    assert_eq!(ask(&gateway, "acme", "b").ok().json()["category"], Value::Null);
    assert_eq!(provider.seen().len(), 3);
    // One failed, one said nothing: one is left for the repair, and none for a retry of that.
    let left_over = ask(&gateway, "acme", "c");
    assert_eq!(left_over.ok().json()["category"], "billing", "the fourth answer was not asked for");
    provider.take_seen();
    provider.script([
        step::error(503, "x"),
        step::chat("no idea"),
        step::error(503, "x"),
        step::chat(GOOD),
    ]);
    assert_eq!(ask(&gateway, "acme", "d").ok().json()["category"], Value::Null);
    assert_eq!(provider.seen().len(), 3);
}

#[test]
fn tickets_reserve_tokens_and_settle_on_what_was_used() {
    let provider = Provider::start();
    let limits =
        "{requests_per_minute: 60000, burst: 60000, tokens_per_minute: 950, calls_in_flight: 3}";
    let gateway = Setup::new(&provider).section("limits", limits).start();
    let (step, go) = answer_behind_a_gate(GOOD);
    provider.script([step]);
    provider.always(step::chat(GOOD));
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&gateway, "acme", "one"));
        provider.wait_for(1);
        // A question is estimated at nearly all of the minute's tokens: a second one would fit
        // beside it after more than half a minute.
        ask(&gateway, "acme", "two").refused(429, "rate_limit_exceeded");
        let second = ask_later(&gateway, "acme", "three", "respond-async");
        assert_eq!(second.status, 202);
        let told = look(&gateway, "acme", second.header("location").unwrap(), "wait=15");
        told.refused(429, "rate_limit_exceeded");
        assert!(told.header("retry-after").is_some());
        // The same ticket needs no question, and so no tokens.
        let same = scope.spawn(|| ask(&gateway, "acme", "one"));
        wait_until_joined(&gateway, 1.0);
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap().ok().json(), good());
        assert_eq!(same.join().unwrap().ok().json(), good());
    });
    // 18 were used; what was held is free again, calls in flight as well.
    for title in ["two", "three", "four", "five"] {
        assert_eq!(ask(&gateway, "acme", title).ok().json(), good(), "{title}");
    }
    assert_eq!(provider.seen().len(), 5);
}

#[test]
fn tickets_of_a_batch_that_wait_are_no_calls_in_flight() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("limits", "{requests_per_minute: 60000, burst: 60000, calls_in_flight: 8}")
        .start();
    provider.always(step::chat(GOOD));
    let tickets: Vec<Value> = (0..40).map(|n| ticket(&n.to_string())).collect();
    let reply = gateway.post("/api/ai/intent/batch", &jwt("acme"), &json!({"tickets": tickets}));
    let results = reply.ok().json()["results"].clone();
    let answered =
        results.as_array().unwrap().iter().filter(|result| result["status"] == 200).count();
    assert_eq!(answered, 40, "{results}");
}
