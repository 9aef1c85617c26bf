//! The log as analysts use it: tags, captured texts, filters, and exports.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::support::{Gateway, Provider, SECRET, Setup, sign, step, tollgate};

/// A token of acme's, with a team in it.
fn of_team(team: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims =
        json!({"org_id": "acme", "sub": "tests", "exp": now + 3600, "app": {"team": team}});
    sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET)
}

fn tagging(provider: &Provider) -> Setup {
    Setup::new(provider).section(
        "ailog",
        "tags: {feature: 'header:x-feature', team: 'claim:app.team', ticket: \
            'metadata:ticket_id'}\n\
         capture: {bytes: 1KiB}",
    )
}

/// A call with a header, a claim and a text of the body that are tags.
fn call(gateway: &Gateway, feature: &str, team: &str, body: &Value) -> u16 {
    let bearer = format!("Bearer {}", of_team(team));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-feature", feature),
        ("user-agent", "OpenAI/Python 2.9.0"),
    ];
    gateway.send("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes()).status
}

fn body(ticket: &str, text: &str) -> Value {
    json!({"model": "gpt-4o-mini", "metadata": {"ticket_id": ticket},
           "messages": [{"role": "user", "content": text}]})
}

fn tags(row: &Map<String, Value>) -> Value {
    serde_json::from_str(row["tags"].as_str().unwrap()).unwrap()
}

#[test]
fn tags_come_from_header_claim_and_metadata_and_filter_rows_and_sums() {
    let provider = Provider::start();
    let gateway = tagging(&provider).start();
    for (feature, team, ticket) in [
        ("search", "blue", "T-1"),
        ("search", "red", "T-2"),
        ("chat", "blue", "mail jane@example.com"),
    ] {
        assert_eq!(call(&gateway, feature, team, &body(ticket, "hi")), 200);
    }
    let rows = gateway.rows(3);
    assert_eq!(tags(&rows[0]), json!({"feature": "search", "team": "blue", "ticket": "T-1"}));
    assert_eq!(tags(&rows[2])["ticket"], "mail [REDACTED_EMAIL]");

    let found =
        |path: &str| gateway.operators(path).ok().json()["rows"].as_array().unwrap().clone();
    assert_eq!(found("/api/logs?tag=team:blue").len(), 2);
    let one = found("/api/logs?tag=team:blue&tag=feature:search");
    assert_eq!((one.len(), &one[0]["id"]), (1, &rows[0]["id"]));
    assert_eq!(one[0]["tags"]["ticket"], "T-1");
    assert!(found("/api/logs?tag=team:green").is_empty());
    assert_eq!(gateway.operators("/api/logs?tag=team").status, 400);
    let by_feature = found("/api/summary?by=tag:feature&tag=team:blue");
    let calls: Vec<(&Value, &Value)> =
        by_feature.iter().map(|line| (&line["tag:feature"], &line["calls"])).collect();
    assert_eq!(calls, [(&json!("chat"), &json!(1)), (&json!("search"), &json!(1))]);

    let report = |more: &[&str]| {
        let arguments = [&["report", "--format", "json"], more].concat();
        let output = run(gateway.folder(), &gateway, &arguments);
        serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().clone()
    };
    let lines = report(&["--by", "tag:team", "--where", "tag:feature=search"]);
    let teams: Vec<&Value> = lines.iter().map(|line| &line["tag:team"]).collect();
    assert_eq!(teams, [&json!("blue"), &json!("red")]);
    let lines = report(&["--by", "org", "--where", "tag:team=blue", "--where", "outcome=ok"]);
    assert_eq!((lines.len(), &lines[0]["calls"]), (1, &json!(2)));
    assert!(report(&["--by", "org", "--where", "tag:team=green"]).is_empty());
}

#[test]
fn a_ticket_in_the_background_has_the_tags_and_the_client_of_its_call() {
    let provider = Provider::start();
    let gateway = tagging(&provider).start();
    provider.script([step::chat(r#"{"category":"billing","priority":"high","confidence":1}"#)]);
    let bearer = format!("Bearer {}", of_team("blue"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-feature", "tickets"),
        ("user-agent", "OpenAI/Python 2.9.0"),
        ("prefer", "respond-async"),
    ];
    let ticket = json!({"title": "invoice", "body": "twice"}).to_string();
    assert_eq!(gateway.send("POST", "/api/ai/intent", &headers, ticket.as_bytes()).status, 202);
    let rows = gateway.rows(2);
    assert_eq!(rows.iter().filter(|row| row["attempts"] == 1).count(), 1, "{rows:?}");
    for row in &rows {
        assert_eq!(tags(row), json!({"feature": "tickets", "team": "blue"}));
        assert_eq!(row["client"], "openai-python/2.9.0");
    }
}

/// Bodies longer than the bound stay JSON and keep both ends; what is taken out of them is taken
/// out of every text.
#[test]
fn long_bodies_are_captured_as_json_with_their_last_message() {
    let provider = Provider::start();
    let gateway = tagging(&provider).start();
    let words = "lorem ipsum ".repeat(120);
    let answer = format!("{words}end jane@example.com");
    provider.script([step::chat(&answer)]);
    let long = json!({"model": "gpt-4o-mini", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": words},
        {"role": "assistant", "content": words},
        {"role": "user", "content": "What about jane@example.com?"},
    ]});
    assert_eq!(call(&gateway, "search", "blue", &long), 200);
    let events = step::chat_events(&["Hel", "lo"], true);
    provider.script([step::sse(&events)]);
    let mut streamed = body("T-1", "short");
    streamed["stream"] = true.into();
    assert_eq!(call(&gateway, "search", "blue", &streamed), 200);

    let rows = gateway.rows(2);
    let text = |row: &Map<String, Value>, name: &str| row[name].as_str().unwrap().to_owned();
    let json_of = |row: &Map<String, Value>, name: &str| -> Value {
        let text = text(row, name);
        assert!(text.len() <= 1024, "{} bytes", text.len());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let request = json_of(&rows[0], "request");
    let messages = request["messages"].as_array().unwrap();
    assert_eq!(messages[0], json!({"role": "system", "content": "Be brief."}));
    let last = "What about [REDACTED_EMAIL]?";
    assert_eq!(messages.last().unwrap(), &json!({"role": "user", "content": last}));
    assert!(messages.contains(&json!("…[cut]")), "{messages:?}");
    assert_eq!(rows[0]["truncated"], 1);
    let content = json_of(&rows[0], "response")["choices"][0]["message"]["content"].clone();
    let content = content.as_str().unwrap();
    assert!(content.starts_with("lorem ipsum") && content.ends_with("…[cut]"), "{content}");
    assert_eq!(text(&rows[0], "prompt"), last);
    assert!(text(&rows[0], "answer").starts_with("lorem ipsum"));

    assert_eq!(json_of(&rows[1], "request")["messages"][0]["content"], "short");
    assert_eq!(json_of(&rows[1], "response")["choices"][0]["content"], "Hello");
    assert_eq!(
        (text(&rows[1], "prompt"), text(&rows[1], "answer")),
        ("short".into(), "Hello".into())
    );
    assert_eq!(rows[1]["truncated"], 0);
    assert!(!format!("{rows:?}").contains("jane@example.com"));
}

fn run(folder: &Path, gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command: Command = tollgate();
    command.env("TOLLGATE_CONFIG", gateway.folder()).args(arguments).current_dir(folder);
    command.output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn rows_are_exported_while_the_gateway_runs() {
    let provider = Provider::start();
    let gateway = tagging(&provider).start();
    provider.script([step::chat("one"), step::chat("two"), step::error(400, "x")]);
    for (team, text) in [("blue", "call jane@example.com"), ("red", "=1+1\nline"), ("blue", "no")] {
        call(&gateway, "search", team, &body("T-1", text));
    }
    let rows = gateway.rows(3);
    let folder = tempfile::tempdir().unwrap();
    let export = |more: &[&str]| run(folder.path(), &gateway, &[&["export"], more].concat());

    let output = export(&["--format", "jsonl"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let found: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&found), rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>());
    assert_eq!(found[0]["prompt"], "call [REDACTED_EMAIL]");
    assert_eq!(found[0]["tags"], json!({"feature": "search", "team": "blue", "ticket": "T-1"}));
    assert_eq!(found[0]["cost_usd"], rows[0]["cost_usd"]);

    // A filter, a file, and no trace of its temporary name.
    let output = export(&[
        "--format",
        "csv",
        "--output",
        "blue.csv",
        "--where",
        "tag:team=blue",
        "--org",
        "acme",
        "--model",
        "gpt-4o-mini",
        "--where",
        "outcome=ok",
    ]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "1 rows in blue.csv\n");
    let csv = fs::read_to_string(folder.path().join("blue.csv")).unwrap();
    assert_eq!(csv.matches("\r\n").count(), 2, "{csv}");
    assert!(csv.starts_with("id,created_at,org_id,") && csv.contains("call [REDACTED_EMAIL]"));
    assert_eq!(names(folder.path()), ["blue.csv"]);
    let output = export(&["--format", "csv"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains(",\"'=1+1\nline\","));

    let output = export(&["--format", "parquet", "--output", "all.parquet"]);
    assert!(output.status.success(), "{output:?}");
    let parquet = fs::read(folder.path().join("all.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));

    // Days: all calls are of today or, around midnight, of yesterday.
    for (from, count) in [("2020-01-01", 3), ("2999-01-01", 0)] {
        let output = export(&["--format", "jsonl", "--from", from, "--to", "2999-12-31"]);
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), count);
    }
    for (arguments, code, said) in [
        (&["--format", "jsonl", "--from", "2026-11-02", "--to", "2026-11-01"][..], 1, "swap them"),
        (&["--format", "csv", "--output", "."], 1, "is not a file"),
        (&["--format", "csv", "--output", "no/such/folder.csv"], 1, "cannot be written"),
        (&["--format", "xml"], 2, "possible values"),
        (&[], 2, "--format"),
    ] {
        let output = export(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(said), "{told}");
    }
    assert_eq!(names(folder.path()), ["all.parquet", "blue.csv"]);
}

/// An export that cannot be finished leaves the file of before, and nothing else.
#[test]
fn an_export_that_fails_leaves_no_file() {
    let provider = Provider::start();
    let mut gateway = tagging(&provider).start();
    call(&gateway, "search", "blue", &body("T-1", "hi"));
    gateway.stop();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rows.csv"), "before").unwrap();
    let database = rusqlite::Connection::open(gateway.database()).unwrap();
    database.execute_batch("DROP TABLE ai_captures").unwrap();
    let output =
        run(folder.path(), &gateway, &["export", "--format", "csv", "--output", "rows.csv"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(names(folder.path()), ["rows.csv"]);
    assert_eq!(fs::read_to_string(folder.path().join("rows.csv")).unwrap(), "before");
}
