//! A candidate policy judges every call and decides none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::support::{
    Gateway, Provider, Reply, SECRET, Setup, chat, eventually, jwt, sign, step, tollgate,
};

/// Writes a file of the candidate.
pub(crate) fn write(gateway: &Gateway, name: &str, text: &str) {
    let folder = gateway.folder().join("shadow");
    std::fs::create_dir_all(&folder).expect("folder");
    let new = gateway.folder().join(format!("{name}.new"));
    std::fs::write(&new, text).expect("written");
    std::fs::rename(new, folder.join(format!("{name}.yaml"))).expect("moved");
}

/// The candidate as operators see it.
fn shadow(gateway: &Gateway) -> Value {
    gateway.config()["shadow"].clone()
}

/// Writes a file of the candidate and waits until it judges.
fn judge_by(gateway: &Gateway, name: &str, text: &str) -> String {
    let before = shadow(gateway)["version"].clone();
    write(gateway, name, text);
    eventually("the candidate", || {
        let now = shadow(gateway);
        let version = now["version"].as_str()?.to_owned();
        (now["version"] != before && now["problems"] == json!([])).then_some(version)
    })
}

/// The column of a row, without the version, which is checked.
#[track_caller]
fn told(row: &Map<String, Value>, version: &str) -> Value {
    let text = row["shadow"].as_str().expect("a text");
    if text.is_empty() {
        return Value::Null;
    }
    let mut told: Map<String, Value> = serde_json::from_str(text).expect("JSON");
    assert_eq!(told.remove("version"), Some(json!(version)));
    Value::Object(told)
}

#[test]
fn every_call_says_what_the_candidate_would_have_decided() {
    let provider = Provider::start();
    let more = format!(
        "openai: {{kind: openai, base_url: \"http://{0}/v1\", api_key: k}}\nother: {{kind: openai, \
         base_url: \"http://{0}/v1\", api_key: k}}",
        provider.address
    );
    let mut gateway = Setup::new(&provider)
        .section("providers", &more)
        .section("routing", "{default: [openai]}")
        .section("redaction", "{entities: [email]}")
        .start();
    assert_eq!(shadow(&gateway), Value::Null);
    let version = judge_by(
        &gateway,
        "all",
        "limits: {requests_per_minute: 1, burst: 2, orgs: {globex: {burst: 100}}}\n\
         redaction: {entities: [email, iban], orgs: {globex: {entities: [iban]}}}\n\
         routing: {models: [{match: gpt-4o-mini, to: [{provider: other, model: mini}]}, \
                            {match: gpt-gone, to: [openai]}], default: []}\n\
         features: {ai_intent_enabled: false}\n",
    );
    let iban = "mail ann@example.com, pay to DE89 3704 0044 0532 0130 00";
    provider.take_seen();
    // Two pass the candidate's burst, the third does not; all of them pass.
    for text in [iban, "nothing to see", "and again"] {
        gateway.chat("acme", text).ok();
    }
    // An entity less, and a model that is gone.
    gateway.chat("globex", iban).ok();
    let mut gone = chat("hello");
    gone["model"] = json!("o3");
    gateway.post("/v1/chat/completions", &jwt("globex"), &gone).ok();
    // A stream, and a ticket, which the candidate does not take.
    provider.script([step::sse(&step::chat_events(&["a"; 3], true))]);
    let mut stream = chat(iban);
    stream["stream"] = json!(true);
    gateway.post("/v1/chat/completions", &jwt("globex"), &stream).ok();
    let ticket = json!({"title": "Refund", "body": "twice"});
    gateway.post("/api/ai/intent", &jwt("globex"), &ticket).ok();
    // Nothing that left the gateway shows the candidate.
    for seen in provider.seen() {
        assert!(!seen.text().contains("ann@example.com"), "{}", seen.text());
        assert_eq!(seen.text().contains("DE89"), seen.text().contains("pay to"));
    }
    assert_eq!(gateway.metric("tollgate_shadow_decisions_total"), 7.0);
    let refused = "tollgate_shadow_decisions_total{decision=\"refused\"}";
    assert_eq!(gateway.metric(refused), 3.0);
    let rows = gateway.stop();
    let mut told: Vec<String> = rows.iter().map(|row| told(row, &version).to_string()).collect();
    let elsewhere = json!({"provider": "other", "model": "mini"});
    let over = json!({"refused": {"status": 429, "code": "rate_limit_exceeded",
        "limit": "requests_per_minute", "scope": "org"}});
    let expected = [
        json!({"redacted": {"email": 1, "iban": 1}, "target": elsewhere}),
        json!({"target": elsewhere}),
        over,
        json!({"redacted": {"iban": 1}, "target": elsewhere}),
        json!({"refused": {"status": 404, "code": "model_not_found"}}),
        json!({"redacted": {"iban": 1}, "target": elsewhere}),
        json!({"refused": {"status": 403, "code": "feature_disabled"}}),
    ];
    // Rows of one millisecond have no order.
    let mut expected: Vec<String> = expected.iter().map(Value::to_string).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_call_that_was_refused_and_would_have_passed_is_told() {
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider)
        .section("limits", "{requests_per_minute: 1, burst: 1}")
        .section("redaction", "{attachments: reject, actions: {email: reject}}")
        .start();
    let version = judge_by(&gateway, "limits", "limits: {requests_per_minute: 1, burst: 3}\n");
    gateway.chat("acme", "one").ok();
    for _ in 0..4 {
        gateway.chat("acme", "more").refused(429, "rate_limit_exceeded");
    }
    // The same refusal under both is no difference; one that the candidate does not know is.
    gateway.chat("globex", "ann@example.com").refused(422, "sensitive_data");
    let second = judge_by(&gateway, "redaction", "redaction: {actions: {email: count}}\n");
    gateway.chat("initech", "ann@example.com").refused(422, "sensitive_data");
    let rows = gateway.stop();
    let of = |org: &'static str| rows.iter().filter(move |row| row["org_id"] == *org);
    let acme: Vec<(Value, u64)> = of("acme")
        .map(|row| (told(row, &version), row["calls"].as_u64().expect("calls")))
        .collect();
    // Two more would have passed, and two not: they are folded apart.
    let calls = |word: &Value| acme.iter().filter(|(told, _)| told == word).map(|(_, n)| n).sum();
    let (allowed, same): (u64, u64) = (calls(&json!({"allowed": true})), calls(&Value::Null));
    assert_eq!((allowed, same), (2, 3), "{acme:?}");
    assert_eq!(told(of("globex").next().expect("a row"), &version), Value::Null);
    assert_eq!(told(of("initech").next().expect("a row"), &second), json!({"allowed": true}));
}

#[test]
fn an_invalid_candidate_is_reported_and_calls_never_notice() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).start();
    write(&gateway, "limits", "limits: {burst: 0}\n");
    let problems = eventually("the refusal", || {
        let now = shadow(&gateway);
        now["problems"].as_array().filter(|list| !list.is_empty()).cloned()
    });
    assert!(problems[0].as_str().unwrap().contains("shadow/limits.yaml:1:17: limits.burst: "));
    assert_eq!(shadow(&gateway)["version"], Value::Null);
    let check = tollgate()
        .args(["check", "--format", "json", "--config"])
        .arg(gateway.folder())
        .output()
        .expect("run");
    let checked: Value = serde_json::from_slice(&check.stdout).expect("JSON");
    assert_eq!((check.status.code(), &checked["ok"]), (Some(1), &json!(false)));
    let problem = &checked["problems"][0];
    assert_eq!((&problem["key"], &problem["line"]), (&json!("limits.burst"), &json!(1)));
    assert!(problem["file"].as_str().unwrap().ends_with("shadow/limits.yaml"), "{problem}");
    assert_eq!(gateway.metric("tollgate_shadow_last_reload_successful"), 0.0);
    assert_eq!(gateway.metric("tollgate_config_last_reload_successful"), 1.0);
    assert!(gateway.printed().contains("edit of the candidate policy refused"));
    gateway.chat("acme", "hello").ok();
    assert_eq!(gateway.only_row()["shadow"], "");
    let good = judge_by(&gateway, "limits", "limits: {burst: 1}\n");
    assert_eq!(gateway.metric("tollgate_shadow_last_reload_successful"), 1.0);
    write(&gateway, "limits", "limts: {burst: 1}\n");
    eventually("the refusal", || (shadow(&gateway)["problems"] != json!([])).then_some(()));
    assert_eq!(shadow(&gateway)["version"], json!(good), "the last valid one goes on");
    std::fs::remove_dir_all(gateway.folder().join("shadow")).expect("removed");
    eventually("its end", || shadow(&gateway).is_null().then_some(()));
    assert_eq!(gateway.metric("tollgate_shadow_last_reload_successful"), 1.0);
}

/// Budgets are of a UTC day: a test that spends one does not begin in the last minutes of it.
fn not_across_midnight() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 86_400;
    if now >= 86_280 {
        std::thread::sleep(Duration::from_secs(86_401 - now));
    }
}

/// A recorded run: what each call asks for, by its number.
fn recorded(n: usize) -> (&'static str, String, Value) {
    let org = ["acme", "globex", "initech"][n % 3];
    let mut text = format!("call {n}");
    for (every, found) in
        [(7, "ann@example.com"), (11, "DE89 3704 0044 0532 0130 00"), (13, "+44 20 7946 0958")]
    {
        if n.is_multiple_of(every) {
            text = format!("{text}, {found}");
        }
    }
    let claims = json!({"org_id": org, "sub": format!("u{}", n % 5), "exp": 4_102_444_800_u64});
    let bearer = sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET);
    if n.is_multiple_of(23) && org == "globex" {
        return ("/api/ai/intent", bearer, json!({"title": "Refund", "body": text}));
    }
    let mut body = chat(&text);
    body["max_tokens"] = json!(10);
    if n.is_multiple_of(17) && org == "globex" {
        body["model"] = json!("o3");
    }
    if n.is_multiple_of(19) {
        body["stream"] = json!(true);
    }
    ("/v1/chat/completions", bearer, body)
}

/// Sends the recorded calls one after another.
fn run(gateway: &Gateway, calls: usize) -> Vec<Reply> {
    let send = |n| {
        let (path, bearer, body) = recorded(n);
        let id = format!("call-{n}");
        let headers = [("authorization", &*format!("Bearer {bearer}")), ("x-request-id", &*id)];
        gateway.send("POST", path, &headers, body.to_string().as_bytes())
    };
    (0..calls).map(send).collect()
}

/// What an answer says of the decisions: the code of a refusal, what was taken out, the provider.
fn decided(reply: &Reply) -> (String, Map<String, Value>, String) {
    let code = if reply.status < 400 { String::new() } else { reply.error_code() };
    let counts = reply.header("x-tollgate-redactions").unwrap_or_default().split(',');
    let counts = counts
        .filter_map(|one| one.split_once('='))
        .map(|(kind, count)| (kind.to_owned(), json!(count.parse::<u64>().expect("a number"))));
    let provider = reply.header("x-tollgate-provider").unwrap_or_default().to_owned();
    (code, counts.collect(), provider)
}

#[test]
fn shadow_and_replay_give_the_verdict_that_enforcing_would_have_given() {
    const CALLS: usize = 900;
    let candidate = "\
limits:\n  requests_per_minute: 1\n  burst: 250\n  orgs:\n    acme: {burst: 500, each_user: \
{usd_per_day: 0.0002}}\n\
redaction: {entities: [email, iban]}\n\
routing: {default: [other], models: [{match: o3, to: [openai]}, {match: gpt-*, to: [other]}]}\n\
features: {ai_intent_enabled: false}\n";
    let provider = Provider::start();
    let setup = || {
        let one =
            format!("{{kind: openai, base_url: \"http://{}/v1\", api_key: k}}", provider.address);
        Setup::new(&provider)
            .section("providers", &format!("openai: {one}\nother: {one}"))
            .section("redaction", "{entities: [email, phone]}")
            .section("routing", "{default: [openai]}")
            .section(
                "limits",
                "{burst: 60000, orgs: {initech: {requests_per_minute: 1, burst: 100}}}",
            )
            .section("features", "{ai_intent_enabled: true}")
    };
    not_across_midnight();
    let mut watched = setup().start();
    let version = judge_by(&watched, "all", candidate);
    let in_force = run(&watched, CALLS);
    let rows = watched.stop();
    let mut enforced = setup().start();
    for section in ["limits", "redaction", "routing", "features"] {
        std::fs::remove_file(enforced.folder().join(format!("policies/{section}.yaml"))).unwrap();
    }
    std::fs::write(enforced.folder().join("policies/candidate.yaml"), candidate).unwrap();
    eventually("the enforced policy", || {
        (enforced.config()["config"]["policy"]["limits"]["burst"] == json!(250)).then_some(())
    });
    let enforced_replies = run(&enforced, CALLS);
    enforced.stop();
    // Shadow, call by call.
    let mut sums = [0_u64; 4];
    let mut allowed = 0;
    for (n, (was, would)) in in_force.iter().zip(&enforced_replies).enumerate() {
        let ((was_code, was_out, was_at), (code, out, at)) = (decided(was), decided(would));
        if !was_code.is_empty() {
            allowed += u64::from(code.is_empty());
            continue;
        }
        let id = json!(format!("call-{n}"));
        let row = rows.iter().find(|row| row["request_id"] == id).expect("a row");
        let told = told(row, &version);
        assert_eq!(told["refused"]["code"].as_str().unwrap_or_default(), code, "{n}: {told}");
        if !code.is_empty() {
            sums[0] += 1;
            continue;
        }
        let expected = if was_out == out { Value::Null } else { Value::Object(out) };
        assert_eq!(told["redacted"], expected, "{n}");
        let expected = if was_at == at { Value::Null } else { json!(at) };
        assert_eq!(told["target"]["provider"], expected, "{n}");
        sums[2] += u64::from(told["target"].is_object());
        sums[3] += u64::from(told["redacted"].is_object());
    }
    let told_allowed: u64 = rows
        .iter()
        .filter(|row| told(row, &version)["allowed"] == json!(true))
        .map(|row| row["calls"].as_u64().expect("calls"))
        .sum();
    assert_eq!(told_allowed, allowed);
    sums[1] = allowed;
    assert!(sums.iter().all(|sum| *sum > 20), "each kind of difference is in the run: {sums:?}");
    // Replay, in sums.
    let folder = watched.folder();
    let replay = tollgate()
        .args(["replay", "--format", "json", "--exit-code", "--policy"])
        .arg(folder.join("shadow"))
        .arg("--config")
        .arg(folder)
        .output()
        .expect("run");
    assert_eq!(replay.status.code(), Some(1), "{}", String::from_utf8_lossy(&replay.stderr));
    let replayed: Value = serde_json::from_slice(&replay.stdout).expect("JSON");
    let changes = ["refused", "allowed", "rerouted", "redaction_changed"]
        .map(|change| replayed["changes"][change].as_u64().expect("a number"));
    assert_eq!(changes, sums, "{replayed}");
    assert_eq!((&replayed["version"], &replayed["calls"]), (&json!(1), &json!(CALLS)));
    let total = replayed["rows"].as_u64().expect("rows");
    for dimension in ["limits", "routing", "redaction"] {
        let unjudged = replayed["unjudged"].as_array().unwrap().iter();
        let unjudged =
            unjudged.filter(|one| one["of"].as_array().unwrap().contains(&json!(dimension)));
        let unjudged: u64 = unjudged.map(|one| one["rows"].as_u64().unwrap()).sum();
        assert_eq!(
            replayed["judged"][dimension].as_u64().unwrap() + unjudged,
            total,
            "{dimension}"
        );
    }
    // The report sums up the column.
    let report = tollgate()
        .args(["report", "--by", "shadow", "--format", "json", "--config"])
        .arg(folder)
        .output()
        .expect("run");
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let calls = |word: &str| {
        let lines = report["rows"].as_array().or(report.as_array()).expect("lines").iter();
        lines
            .filter(|line| line["shadow"] == *word)
            .map(|line| line["calls"].as_u64().unwrap())
            .sum()
    };
    let reported: [u64; 3] = ["refused", "allowed", "rerouted"].map(calls);
    assert_eq!(reported, [sums[0], sums[1], sums[2]], "{report}");
}
