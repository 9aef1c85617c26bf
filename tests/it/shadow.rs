//! A candidate policy judges every call and decides none.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::support::engine::Engine;
use crate::support::{
    Gateway, Provider, Reply, SECRET, Setup, chat, eventually, jwt, request, sign, step, tollgate,
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
    gateway.counts("tollgate_shadow_decisions_total", 7.0);
    let refused = "tollgate_shadow_decisions_total{decision=\"refused\"}";
    gateway.counts(refused, 3.0);
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
    gateway.counts("tollgate_config_last_reload_successful", 1.0);
    gateway.prints("edit of the candidate policy refused");
    gateway.chat("acme", "hello").ok();
    assert_eq!(gateway.only_row()["shadow"], "");
    let good = judge_by(&gateway, "limits", "limits: {burst: 1}\n");
    gateway.counts("tollgate_shadow_last_reload_successful", 1.0);
    write(&gateway, "limits", "limts: {burst: 1}\n");
    eventually("the refusal", || (shadow(&gateway)["problems"] != json!([])).then_some(()));
    assert_eq!(shadow(&gateway)["version"], json!(good), "the last valid one goes on");
    std::fs::remove_dir_all(gateway.folder().join("shadow")).expect("removed");
    eventually("its end", || shadow(&gateway).is_null().then_some(()));
    gateway.counts("tollgate_shadow_last_reload_successful", 1.0);
    // All of it is in the audit.
    let listed = run_to_json(&gateway, &["audit", "list", "--format", "json"]);
    let records = listed["records"].as_array().expect("a list");
    let told = |record: &Value| {
        let [event, kind] = [&record["event"], &record["by"]["kind"]].map(|word| word.to_string());
        format!("{event} {kind}").replace('"', "")
    };
    let expected = [
        "policy_accepted start",
        "shadow_rejected file",
        "shadow_accepted file",
        "shadow_rejected file",
        "shadow_removed file",
    ];
    assert_eq!(records.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(records[1]["problems"].to_string().contains("limits.burst: 0 is not allowed"));
    assert_eq!(
        (&records[2]["version"], &records[4]["previous_version"]),
        (&json!(good), &json!(good))
    );
    let change = &records[2]["diff"];
    // The candidate says nothing of requests in a minute, so they are as by default.
    assert_eq!(change.as_array().map(Vec::len), Some(2), "{change}");
    let change = &change[1];
    assert_eq!(
        (&change["key"], &change["old"], &change["new"]),
        (&json!("limits.burst"), &json!(60000), &json!(1)),
        "against the policy in force"
    );
    assert!(records[2]["files"][0]["name"].as_str().unwrap().ends_with("shadow/limits.yaml"));
}

/// Runs a command for the configuration of a gateway; its JSON.
fn run_to_json(gateway: &Gateway, arguments: &[&str]) -> Value {
    let output =
        tollgate().args(arguments).arg("--config").arg(gateway.folder()).output().expect("run");
    let (stdout, stderr) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

#[test]
fn check_tells_the_warnings_of_a_candidate() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).start();
    write(&gateway, "one", "redaction: {custom: [{name: all, pattern: '.+'}]}\n");
    let checked = run_to_json(&gateway, &["check", "--format", "json"]);
    assert_eq!(checked["ok"], json!(true), "{checked}");
    let problems = checked["problems"].as_array().expect("a list");
    let of_shadow =
        |problem: &&Value| problem["file"].as_str().is_some_and(|f| f.contains("shadow/"));
    let found: Vec<&Value> = problems.iter().filter(of_shadow).collect();
    assert_eq!(found.len(), 1, "{checked}");
    assert_eq!((&found[0]["severity"], &found[0]["line"]), (&json!("warning"), &json!(1)));
    let key = found[0]["key"].as_str().expect("a key");
    assert!(key.starts_with("redaction.custom"), "{checked}");
    let files = checked["files"].to_string();
    assert!(files.contains("shadow/one.yaml"), "{files}");
}

/// Prices at which a call costs 18 tokens at 100 USD a million, or at 1.
const PRICES: &str =
    "[{model: dear, input: 100, output: 100}, {model: cheap, input: 1, output: 1}]";

/// Sends a call for a model.
fn ask(gateway: &Gateway, org: &str, model: &str) -> Reply {
    let mut body = chat("hi");
    (body["model"], body["max_tokens"]) = (json!(model), json!(7));
    gateway.post("/v1/chat/completions", &jwt(org), &body)
}

#[test]
fn a_candidate_that_downgrades_says_to_which_model() {
    not_across_midnight();
    let provider = Provider::start();
    // The model is named by the request alone.
    let mut answer = step::chat_body("hello");
    answer.as_object_mut().expect("an object").remove("model");
    provider.always(step::json(200, &answer));
    let candidate = "limits: {requests_per_minute: 60000, burst: 60000, usd_per_day: 0.003, \
        on_exhausted: {downgrade: {model: cheap}}, orgs: {globex: {on_exhausted: refuse}}}\n";
    let setup = || Setup::new(&provider).section("prices", PRICES);
    let mut watched = setup().start();
    let version = judge_by(&watched, "limits", candidate);
    let mut enforced = setup().start();
    enforced.edit_and_wait("limits", candidate.trim_start_matches("limits: ").trim_end());
    let calls = [("acme", "dear"), ("acme", "dear"), ("acme", "cheap"), ("acme", "dear")];
    let (mut downgrades, mut refused) = (Vec::new(), Vec::new());
    for (org, model) in calls.into_iter().chain([("globex", "dear"), ("globex", "dear")]) {
        ask(&watched, org, model).ok();
        let would = ask(&enforced, org, model);
        downgrades.push(would.header("x-tollgate-downgrade").is_some());
        refused.push(would.status == 429);
    }
    assert_eq!(downgrades, [false, true, false, true, false, false]);
    assert_eq!(refused, [false, false, false, false, false, true]);
    enforced.stop();
    let rows = watched.stop();
    let limit = json!({"model": "cheap", "limit": "usd_per_day", "scope": "org"});
    let downgraded =
        json!({"downgraded": limit, "target": {"provider": "openai", "model": "cheap"}});
    let over = json!({"refused": {"status": 429, "code": "rate_limit_exceeded",
        "limit": "usd_per_day", "scope": "org"}});
    let told: Vec<Value> = rows.iter().map(|row| told(row, &version)).collect();
    let count = |of: &Value| told.iter().filter(|told| *told == of).count();
    assert_eq!((count(&downgraded), count(&over), count(&Value::Null)), (2, 1, 3), "{told:?}");
    // A replay of the rows says the same.
    let folder = watched.folder().join("shadow");
    let folder = folder.to_str().expect("a path");
    let replayed = run_to_json(&watched, &["replay", "--format", "json", "--policy", folder]);
    let expected =
        json!([{"org_id": "acme", "limit": "org:usd_per_day", "model": "cheap", "calls": 2}]);
    assert_eq!(replayed["downgrades"], expected, "{replayed}");
    let changes = json!({"refused": 1, "allowed": 0, "rerouted": 2, "redaction_changed": 0});
    assert_eq!(replayed["changes"], changes);
    let output = tollgate()
        .args(["replay", "--policy", folder, "--config"])
        .arg(watched.folder())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("acme  org:usd_per_day: 2 calls downgraded to cheap"), "{text}");
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn rows_reports_and_replays_of_a_candidate_are_the_same_in_clickhouse() {
    not_across_midnight();
    let (engine, provider) = (Engine::start(), Provider::start());
    engine.apply(engine.folder.path());
    let mut gateway = Setup::new(&provider)
        .section("redaction", "{entities: [email]}")
        .setting("store", "clickhouse")
        .setting("clickhouse", &format!("{{url: \"http://{}\"}}", engine.address))
        .start();
    let version = judge_by(
        &gateway,
        "all",
        "limits: {requests_per_minute: 1, burst: 2}\nredaction: {entities: [email, iban]}\n",
    );
    for text in ["hello", "pay to DE89 3704 0044 0532 0130 00", "and again", "and once more"] {
        gateway.chat("acme", text).ok();
    }
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.wait().success(), "{}", gateway.printed());
    let over = json!({"refused": {"status": 429, "code": "rate_limit_exceeded",
        "limit": "requests_per_minute", "scope": "org"}});
    let expected = [Value::Null, json!({"redacted": {"iban": 1}}), over.clone(), over];
    let mut told: Vec<String> = engine
        .rows()
        .iter()
        .map(|row| told(row.as_object().expect("a row"), &version).to_string())
        .collect();
    let mut expected: Vec<String> = expected.iter().map(Value::to_string).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    let report = run_to_json(&gateway, &["report", "--by", "shadow", "--format", "json"]);
    let lines = report["rows"].as_array().or(report.as_array()).expect("lines");
    let mut words: Vec<String> =
        lines.iter().map(|line| format!("{} {}", line["shadow"], line["calls"])).collect();
    words.sort();
    assert_eq!(words, ["\"redacted\" 1", "\"refused\" 2", "\"same\" 1"]);
    let folder = gateway.folder().join("shadow");
    let folder = folder.to_str().expect("a path");
    let replayed = run_to_json(&gateway, &["replay", "--format", "json", "--policy", folder]);
    let changes = json!({"refused": 2, "allowed": 0, "rerouted": 0, "redaction_changed": 1});
    assert_eq!((&replayed["changes"], &replayed["calls"]), (&changes, &json!(4)), "{replayed}");
}

#[test]
fn a_difference_of_limits_says_how_many_calls_it_would_have_refused() {
    not_across_midnight();
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider).start();
    let folder = gateway.folder().to_owned();
    let other = tempfile::tempdir().expect("folder");
    let copied = std::process::Command::new("cp")
        .args(["-r", "policies", "gateway.yaml"])
        .arg(other.path())
        .current_dir(&folder)
        .status();
    assert!(copied.expect("run").success());
    let diff = |more: &[&str]| {
        let mut command = tollgate();
        command.args(["config", "diff"]).arg(&folder).arg(other.path()).args(more);
        let output = command.output().expect("run");
        String::from_utf8(output.stdout).expect("text")
            + &String::from_utf8(output.stderr).expect("text")
    };
    let limits = |text: &str| {
        let text = format!("limits: {{requests_per_minute: 60000, burst: 60000, {text}}}\n");
        std::fs::write(other.path().join("policies/limits.yaml"), text).expect("written");
    };
    limits("orgs: {acme: {requests_per_minute: 1, burst: 5}, new: {burst: 9}}");
    for n in 0..12 {
        gateway.chat(["acme", "globex"][usize::from(n == 11)], "hello").ok();
    }
    gateway.stop();
    let told = diff(&[]);
    assert!(
        told.contains("limits.orgs.acme: added (") && told.contains("(it made no calls yesterday)"),
        "{told}"
    );
    // A day later.
    let database = rusqlite::Connection::open(gateway.database()).expect("open");
    database
        .execute(
            "UPDATE ai_rows SET created_at = strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '-1 day')",
            [],
        )
        .expect("moved");
    let told = diff(&[]);
    assert!(told.contains("(its 429s would have been 6 yesterday)"), "{told}");
    assert!(
        told.contains("limits.orgs.new: added (burst 9) (it made no calls yesterday)"),
        "{told}"
    );
    let json: Value = serde_json::from_str(&diff(&["--format", "json"])).expect("JSON");
    let of = |key: &str| {
        let changes = json["changes"].as_array().expect("a list").iter();
        changes.clone().find(|change| change["key"] == *key).expect("a change")["past"].clone()
    };
    let past = of("limits.orgs.acme");
    assert_eq!([&past["calls"], &past["refused"], &past["was_refused"]], [11, 6, 0], "{past}");
    std::fs::write(
        other.path().join("policies/limits.yaml"),
        "limits: {requests_per_minute: 1, burst: 2}\n",
    )
    .expect("written");
    let told = diff(&["--from", "2026-01-01"]);
    let figure = "limits.burst: 60000 → 2 (429s would have been 9 from 2026-01-01 to ";
    assert!(told.contains(figure) && told.contains(": acme 9)"), "{told}");
    // Without a log there is no figure; where one was asked for, that is an error.
    std::fs::remove_dir_all(folder.join("data")).expect("removed");
    let told = diff(&[]);
    assert!(told.contains("limits.burst: 60000 → 2\n"), "{told}");
    let told = diff(&["--from", "2026-01-01"]);
    assert!(told.contains("there is no log"), "{told}");
    // The folder of a candidate is no configuration, and not compared as if it were an empty one.
    std::fs::remove_dir_all(other.path().join("policies")).expect("removed");
    std::fs::rename(other.path().join("gateway.yaml"), other.path().join("all.yaml"))
        .expect("renamed");
    let told = diff(&[]);
    assert!(told.contains("this folder holds neither gateway.yaml nor policies/*.yaml"), "{told}");
}

/// Budgets are of a UTC day: a test that spends one does not begin in the last minutes of it.
fn not_across_midnight() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 86_400;
    if now >= 86_280 {
        std::thread::sleep(Duration::from_secs(86_401 - now));
    }
}

/// Organisations of the recorded run.
const ORGS: usize = 3;

/// A recorded run: what each call asks for, by its number.
fn recorded(n: usize) -> (&'static str, String, Value) {
    let org = ["acme", "globex", "initech"][n % ORGS];
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

/// Sends the recorded calls: those of an organisation one after another, because their order
/// decides; those of several organisations beside each other.
fn run(gateway: &Gateway, calls: usize) -> Vec<Reply> {
    let of_org = |first: usize| -> Vec<(usize, Reply)> {
        let mut connection = gateway.connect();
        let mut send = |n| {
            let (path, bearer, body) = recorded(n);
            let id = format!("call-{n}");
            let headers = [("authorization", &*format!("Bearer {bearer}")), ("x-request-id", &*id)];
            let reply = connection
                .send(&request("POST", path, &headers, body.to_string().as_bytes()))
                .reply();
            if reply.header("connection") == Some("close") {
                connection = gateway.connect();
            }
            (n, reply)
        };
        (first..calls).step_by(ORGS).map(&mut send).collect()
    };
    let mut replies: Vec<(usize, Reply)> = std::thread::scope(|scope| {
        let of_org = &of_org;
        let running: Vec<_> = (0..ORGS).map(|org| scope.spawn(move || of_org(org))).collect();
        running.into_iter().flat_map(|calls| calls.join().expect("all calls")).collect()
    });
    replies.sort_by_key(|(n, _)| *n);
    replies.into_iter().map(|(_, reply)| reply).collect()
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
    const CALLS: usize = 5_000;
    let candidate = "\
limits:\n  requests_per_minute: 1\n  burst: 1400\n  orgs:\n    acme: {burst: 2800, each_user: \
{usd_per_day: 0.0011}}\n\
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
                "{burst: 60000, orgs: {initech: {requests_per_minute: 1, burst: 560}}}",
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
        (enforced.config()["config"]["policy"]["limits"]["burst"] == json!(1400)).then_some(())
    });
    let enforced_replies = run(&enforced, CALLS);
    enforced.stop();
    let by_id: HashMap<&str, &Map<String, Value>> =
        rows.iter().map(|row| (row["request_id"].as_str().expect("an id"), row)).collect();
    // Shadow, call by call.
    let mut sums = [0_u64; 4];
    let mut allowed = 0;
    for (n, (was, would)) in in_force.iter().zip(&enforced_replies).enumerate() {
        let ((was_code, was_out, was_at), (code, out, at)) = (decided(was), decided(would));
        if !was_code.is_empty() {
            allowed += u64::from(code.is_empty());
            continue;
        }
        let row = by_id[&*format!("call-{n}")];
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
