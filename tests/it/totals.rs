//! Ten thousand mixed calls have the same totals everywhere: at the client that made them, on the
//! dashboard, in `/metrics`, in `tollgate report`, in the panels of Grafana on a real Prometheus
//! and on the ClickHouse engine, and in SQL.
//!
//! Panels of Prometheus are asked for exactly the time between two scrapes, before which and after
//! which no call is under way: then `rate` and `increase` are exact.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::boards::{board, for_clickhouse, panels};
use crate::sdk::Mock;
use crate::support::engine::Engine;
use crate::support::prometheus::Prometheus;
use crate::support::{Connection, Gateway, Reply, Setup, eventually, jwt, request, tollgate};

const CALLS: usize = 10_000;
/// Enough to have had every kind of call.
const FIRST: usize = 400;
const CLIENTS: usize = 8;

/// What a client saw: answers by organisation and status, and tokens of answers that were made.
#[derive(Default, Debug)]
struct Seen {
    answers: BTreeMap<(String, u16), u64>,
    input: u64,
    output: u64,
    hits: u64,
}

/// Organisation, path and body of the call with a number. No organisation: a wrong credential.
fn call(n: usize) -> (&'static str, &'static str, String) {
    const CHAT: &str = "/v1/chat/completions";
    let org = ["acme", "globex", "initech"][n % 3];
    let model = ["gpt-4o-mini", "gpt-4o", "gpt-4.1"][n / 3 % 3];
    let chat = |model: &str, text: String| {
        json!({"model": model, "messages": [{"role": "user", "content": text}]}).to_string()
    };
    let usage = format!("[[mock:input={},cached={},output={}]]", 40 + n % 50, n % 30, 3 + n % 20);
    match n % 20 {
        0 => (org, CHAT, chat(model, format!("[[mock:status=503,times=1]] saved {n}"))),
        1 if n % 40 == 1 => ("unlucky", CHAT, chat(model, format!("[[mock:status=503]] lost {n}"))),
        1 => (org, CHAT, chat(model, format!("[[mock:status=400]] refused {n}"))),
        2 => (org, CHAT, format!("{{\"model\": \"{model}\", \"messages\": [{n}")),
        3 => ("limited", CHAT, chat(model, format!("too many {n}"))),
        4 | 5 => ("cached", CHAT, chat("gpt-4o-mini", format!("the same question {}", n % 7))),
        6 => (org, CHAT, chat(model, format!("mail jane{n}@example.com or +1 212 555 0100"))),
        7 => {
            let body = json!({"model": "text-embedding-3-small", "input": format!("text {n}")});
            (org, "/v1/embeddings", body.to_string())
        }
        8 => (org, CHAT, chat("house-model", format!("without a price {n} {usage}"))),
        9..=11 => {
            let body = json!({
                "model": model, "stream": true, "stream_options": {"include_usage": true},
                "messages": [{"role": "user", "content": format!("streamed {n} {usage}")}],
            });
            (org, CHAT, body.to_string())
        }
        12 => ("", CHAT, chat(model, format!("nobody {n}"))),
        13 => {
            let body = json!({"model": model, "input": format!("responses {n} {usage}")});
            (org, "/v1/responses", body.to_string())
        }
        _ => (org, CHAT, chat(model, format!("call {n} {usage}"))),
    }
}

/// Makes the calls with these numbers, on several connections at once.
fn make(gateway: &Gateway, from: usize, to: usize, seen: &Mutex<Seen>) {
    let next = AtomicUsize::new(from);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut bearers: BTreeMap<&str, String> = BTreeMap::new();
                let mut connection = Connection::open(gateway.apps);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= to {
                        return;
                    }
                    let (org, path, body) = call(n);
                    let bearer = bearers.entry(org).or_insert_with(|| match org {
                        "" => format!("Bearer {}x", jwt("acme")),
                        org => format!("Bearer {}", jwt(org)),
                    });
                    let headers = [("authorization", bearer.as_str())];
                    let bytes = request("POST", path, &headers, body.as_bytes());
                    let reply = connection.send(&bytes).reply();
                    assert!(reply.complete, "{n}: {}", reply.text());
                    if reply.header("connection") == Some("close") {
                        connection = Connection::open(gateway.apps);
                    }
                    seen.lock().unwrap().note(org, &reply);
                }
            });
        }
    });
}

impl Seen {
    fn note(&mut self, org: &str, reply: &Reply) {
        *self.answers.entry((org.to_owned(), reply.status)).or_default() += 1;
        if reply.header("x-tollgate-cache") == Some("hit") {
            self.hits += 1;
            return;
        }
        if reply.status != 200 {
            return;
        }
        let text = reply.text();
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let mut documents = events.filter_map(|event| serde_json::from_str::<Value>(event).ok());
        let document = match serde_json::from_str::<Value>(text) {
            Ok(document) => document,
            Err(_) => documents.rfind(|event| event["usage"].is_object()).expect("usage"),
        };
        let usage = &document["usage"];
        let number = |names: [&str; 2]| names.iter().find_map(|name| usage[name].as_u64());
        self.input += number(["prompt_tokens", "input_tokens"]).expect("input");
        self.output += number(["completion_tokens", "output_tokens"]).unwrap_or(0);
    }

    /// Calls that have a row, and those without a credential, which have none.
    fn calls(&self) -> (u64, u64) {
        let sum = |is_known: bool| {
            let of = self.answers.iter().filter(|((org, _), _)| org.is_empty() != is_known);
            of.map(|(_, count)| count).sum()
        };
        (sum(true), sum(false))
    }
}

/// Calls, errors, calls over a limit, tokens in and out, redactions, and 10⁻⁹ USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Totals([i64; 7]);

const FIGURES: [&str; 7] =
    ["calls", "errors", "rate_limited", "input_tokens", "output_tokens", "redactions", "cost_usd"];

/// The sums of lines with the names of the log.
fn of_lines(lines: &[Value]) -> Totals {
    Totals(FIGURES.map(|name| {
        let values = lines.iter().map(|line| line[name].as_f64().unwrap_or(0.0));
        whole(values.sum::<f64>() * if name == "cost_usd" { 1e9 } else { 1.0 })
    }))
}

/// A number that is whole but for the arithmetic of floating point.
fn whole(value: f64) -> i64 {
    let near = value.round();
    assert!((value - near).abs() < 1e-3, "{value} is no whole number");
    near as i64
}

fn dashboard(gateway: &Gateway, by: &str) -> Totals {
    let answer = gateway.operators(&format!("/api/summary?by={by}")).ok().json();
    assert_eq!(answer["cut"], false, "{by}");
    of_lines(answer["rows"].as_array().expect("rows"))
}

fn report(gateway: &Gateway, by: &str) -> Totals {
    let mut command = tollgate();
    command.args(["report", "--format", "json", "--by", by, "--config"]).arg(gateway.folder());
    let output = command.output().expect("report");
    assert!(output.status.success(), "{output:?}");
    of_lines(&serde_json::from_slice::<Vec<Value>>(&output.stdout).expect("JSON"))
}

fn metrics(gateway: &Gateway) -> Totals {
    let page = gateway.operators("/metrics");
    let page = page.ok().text();
    let sum = |name: &str, labels: &[&str]| {
        let lines = page.lines().filter(|line| {
            line.starts_with(name) && (labels.is_empty() || labels.iter().any(|l| line.contains(l)))
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let errors = ["provider_error", "timeout", "refused"].map(|o| format!("outcome=\"{o}\""));
    let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
    Totals([
        whole(sum("tollgate_requests_total{", &[])),
        whole(sum("tollgate_requests_total{", &errors)),
        whole(sum("tollgate_requests_total{", &["outcome=\"rate_limited\""])),
        whole(sum("tollgate_tokens_total{", &["direction=\"input\""])),
        whole(sum("tollgate_tokens_total{", &["direction=\"output\""])),
        whole(sum("tollgate_redactions_total{", &[])),
        whole(sum("tollgate_cost_usd_total ", &[]) * 1e9),
    ])
}

fn sql(engine: &Engine) -> Totals {
    let rows = engine.query(
        "SELECT sum(l.calls) AS calls, sumIf(l.calls, outcome IN ('provider_error', 'timeout', \
         'refused')) AS errors, sumIf(l.calls, outcome = 'rate_limited') AS rate_limited, \
         sum(l.input_tokens) AS input_tokens, sum(l.output_tokens) AS output_tokens, \
         sum(redacted_emails + redacted_phones + redacted_other) AS redactions, \
         sum(toFloat64(l.cost_usd)) AS cost_usd FROM tollgate.ai_log AS l",
    );
    of_lines(&rows)
}

/// Sums by a word, without those that are nothing.
type Groups = BTreeMap<String, i64>;

/// `sum` by `key` over the rows of the log.
fn grouped(engine: &Engine, key: &str, sum: &str) -> Groups {
    let rows = engine.query(&format!(
        "SELECT toString({key}) AS k, toFloat64({sum}) AS n FROM tollgate.ai_log GROUP BY k HAVING \
         n <> 0"
    ));
    let pair = |row: &Value| {
        (row["k"].as_str().expect("a word").to_owned(), whole(row["n"].as_f64().expect("a number")))
    };
    rows.iter().map(pair).collect()
}

/// A panel of Prometheus that counts something of the log.
#[derive(Clone, Copy)]
struct Counted {
    title: &'static str,
    /// Labels of its series.
    labels: &'static [&'static str],
    /// What a rate per second of it is multiplied with.
    factor: f64,
    /// The same in the log: a key, and a sum.
    key: &'static str,
    sum: &'static str,
}

const fn counted(
    title: &'static str,
    labels: &'static [&'static str],
    (key, sum): (&'static str, &'static str),
) -> Counted {
    Counted { title, labels, factor: 1.0, key, sum }
}

const COUNTED: [Counted; 12] = [
    counted("Calls", &[], ("''", "sum(calls)")),
    counted("Calls by outcome", &["outcome"], ("outcome", "sum(calls)")),
    counted("Calls by status", &["code"], ("status", "sum(calls)")),
    counted("Tokens by provider", &["provider"], ("provider", "sum(input_tokens + output_tokens)")),
    Counted {
        factor: 1e9 / 3600.0,
        ..counted("Cost", &[], ("''", "sum(toFloat64(cost_usd)) * 1e9"))
    },
    counted("Redactions", &[], ("''", "sum(redacted_emails + redacted_phones + redacted_other)")),
    counted(
        "Calls over a limit",
        &["scope", "limit"],
        ("limited_by", "sumIf(calls, limited_by <> '')"),
    ),
    counted("Attempts", &["provider"], ("provider", "sum(attempts)")),
    counted(
        "Failed attempts",
        &["provider"],
        ("provider", "sum(attempts) - countIf(status < 400 AND attempts > 0)"),
    ),
    counted("Retries", &["provider"], ("provider", "sum(if(attempts > 1, attempts - 1, 0))")),
    counted("Rows", &["result"], ("'stored'", "count()")),
    counted("Rows", &["result"], ("'written'", "count()")),
];

/// A scrape before which and after which nothing changes: its time in milliseconds.
fn quiet_scrape(prometheus: &Prometheus) -> i64 {
    let samples = || -> Option<Vec<Value>> {
        let found = prometheus.query("tollgate_build_info[20m]");
        Some(found.first()?["values"].as_array()?.clone())
    };
    let before = samples().map_or(0, |samples| samples.len());
    // One that was under way may be of before.
    let later = eventually("two more scrapes", || samples().filter(|s| s.len() >= before + 2));
    whole(later.last().expect("a sample")[0].as_f64().expect("a time") * 1000.0)
}

/// The increments of a panel's series between two scrapes.
fn increments(prometheus: &Prometheus, of: Counted, (from_ms, to_ms): (i64, i64)) -> Groups {
    let Counted { title, labels, factor, .. } = of;
    let board = board("tollgate.json");
    let panel = panels(&board).find(|panel| panel["title"] == title).expect("a panel");
    let expr = panel["targets"][0]["expr"].as_str().expect("expr");
    let range = format!("{}ms", to_ms - from_ms);
    let expr = expr.replace("$__rate_interval", &range).replace("$__range", &range);
    let expr = expr.replace("$instance", ".*").replace("$job", ".*");
    assert!(expr.contains(&range) && !expr.contains('$'), "{title}: {expr}");
    let time = format!("{}.{:03}", to_ms / 1000, to_ms % 1000);
    let found = prometheus.api("query", &[("query", &expr), ("time", &time)]);
    let seconds = (to_ms - from_ms) as f64 / 1000.0;
    let mut groups = Groups::new();
    for series in found["result"].as_array().expect("a result") {
        let names = labels.iter().map(|label| series["metric"][label].as_str().expect("a label"));
        let value: f64 = series["value"][1].as_str().expect("text").parse().expect("a number");
        let count = whole(value * seconds * factor);
        if count != 0 {
            *groups.entry(names.collect::<Vec<_>>().join(":")).or_default() += count;
        }
    }
    groups
}

fn less(later: &Groups, earlier: &Groups) -> Groups {
    let rest = later.iter().map(|(key, n)| (key.clone(), n - earlier.get(key).unwrap_or(&0)));
    rest.filter(|(_, n)| *n != 0).collect()
}

/// The figures of Grafana's dashboard of the log, as its plugin asks for them.
fn check_log_board(engine: &Engine, expected: &Totals) {
    let board = board("tollgate-log.json");
    let ask = |title: &str| {
        let panel = panels(&board).find(|panel| panel["title"] == title).expect("a panel");
        let sql = for_clickhouse(panel["targets"][0]["rawSql"].as_str().expect("SQL"), false);
        let sql =
            format!("{sql} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers=0");
        let bytes = request("POST", "/?database=tollgate", &[], sql.as_bytes());
        let reply = Connection::open(engine.address).send(&bytes).reply();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        let lines = reply.text().lines();
        lines.map(|line| serde_json::from_str(line).expect("a row")).collect::<Vec<Value>>()
    };
    let sum = |title: &str, column: &str, factor: f64| {
        let number = |row: &Value| match row.get(column).expect(column) {
            // The cost of calls without a price.
            Value::Null => 0.0,
            Value::String(text) => text.parse().expect("a number"),
            value => value.as_f64().expect("a number"),
        };
        whole(ask(title).iter().map(number).sum::<f64>() * factor)
    };
    let [calls, errors, limited, input, output, redactions, cost] = expected.0;
    for (title, column, factor, expected) in [
        ("Calls", "calls", 1.0, calls),
        ("Cost", "cost", 1e9, cost),
        ("Errors", "errors", calls as f64, errors),
        ("Tokens", "tokens", 1.0, input + output),
        ("Cost by organisation and day", "cost", 1e9, cost),
        ("Cost by model and day", "cost", 1e9, cost),
        ("Organisations", "calls", 1.0, calls),
        ("Organisations", "input", 1.0, input),
        ("Organisations", "output", 1.0, output),
        ("Organisations", "cost", 1e9, cost),
        ("Models", "calls", 1.0, calls),
        ("Models", "cost", 1e9, cost),
        ("Refused by a limit", "refused", 1.0, limited),
    ] {
        assert_eq!(sum(title, column, factor), expected, "{title}: {column}");
    }
    for title in ["Redactions", "Redactions by organisation"] {
        let kinds = ["emails", "phones", "other"].map(|kind| sum(title, kind, 1.0));
        assert_eq!(kinds.iter().sum::<i64>(), redactions, "{title}");
    }
}

fn start(engine: &Engine, mock: &Mock) -> Gateway {
    Setup::towards(mock.address)
        .setting("store", "clickhouse")
        .setting("clickhouse", &format!("{{url: \"http://{}\"}}", engine.address))
        .setting("metrics", "{per_org: true}")
        .section("auth", &format!("accept: [jwt]\njwt: {{secret: \"{}\"}}", crate::support::SECRET))
        .section(
            "limits",
            "{requests_per_minute: 60000, burst: 60000, orgs: {limited: {requests_per_minute: 60, \
             burst: 5}}}",
        )
        .section("cache", "{mode: off, orgs: {cached: {mode: exact}}}")
        // No circuit opens, and each failure is retried: a series that begins with its first event
        // has no increment of it.
        .section(
            "breaker",
            "{consecutive_failures: 1000000, error_percent: 100, min_calls: 1000000}",
        )
        .section("retry", "{base_delay: 1ms, max_delay: 2ms, budget_percent: 1000}")
        .start()
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn ten_thousand_mixed_calls_have_the_same_totals_everywhere() {
    let (engine, mock) = (Engine::start(), Mock::start());
    engine.apply(engine.folder.path());
    let gateway = start(&engine, &mock);
    let prometheus = Prometheus::start(gateway.operators);
    let seen = Mutex::new(Seen::default());
    // All rows are in the store, those of folded calls, too, and the gateway knows it.
    let stored = |to: usize| {
        let (with_row, without) = seen.lock().unwrap().calls();
        assert_eq!(with_row + without, to as u64);
        eventually("all rows in the store", || {
            (sql(&engine).0[0] == with_row as i64).then_some(())
        });
        let rows = grouped(&engine, "''", "count()");
        eventually("rows that the gateway knows to be stored", || {
            let counted = gateway.metric("tollgate_log_rows_total{result=\"stored\"}");
            (whole(counted) == rows[""]).then_some(())
        });
    };
    let of_log = || COUNTED.map(|panel| grouped(&engine, panel.key, panel.sum));
    make(&gateway, 0, FIRST, &seen);
    stored(FIRST);
    let strangers = seen.lock().unwrap().calls().1;
    let (before, early, early_tokens) = (quiet_scrape(&prometheus), of_log(), tokens(&engine));
    make(&gateway, FIRST, CALLS, &seen);
    stored(CALLS);
    let after = quiet_scrape(&prometheus);

    let seen = seen.into_inner().unwrap();
    let expected = sql(&engine);
    assert_eq!(expected.0[0], seen.calls().0 as i64, "the client's calls");
    assert_eq!(
        (expected.0[3], expected.0[4]),
        (seen.input as i64, seen.output as i64),
        "its tokens"
    );
    assert!(seen.hits > 500 && expected.0.iter().all(|figure| *figure > 100), "{expected:?}");
    let statuses: BTreeMap<(String, u16), u64> = engine
        .query("SELECT org_id, status, sum(calls) AS n FROM tollgate.ai_log GROUP BY 1, 2")
        .iter()
        .map(|row| {
            let org = row["org_id"].as_str().expect("an organisation").to_owned();
            ((org, row["status"].as_u64().expect("a status") as u16), row["n"].as_u64().unwrap())
        })
        .collect();
    let mut answers = seen.answers.clone();
    answers.retain(|(org, _), _| !org.is_empty());
    assert_eq!(statuses, answers, "answers by organisation and status");

    for by in ["total", "org", "model", "outcome", "hour,provider", "day,org,model"] {
        assert_eq!(dashboard(&gateway, by), expected, "the dashboard by {by}");
    }
    assert_eq!(metrics(&gateway), expected, "/metrics");
    for by in ["org", "model", "outcome", "day"] {
        assert_eq!(report(&gateway, by), expected, "the report by {by}");
    }
    check_log_board(&engine, &expected);
    for (panel, (late, early)) in COUNTED.into_iter().zip(of_log().iter().zip(&early)) {
        let mut found = increments(&prometheus, panel, (before, after));
        if panel.title == "Rows" {
            found.retain(|result, _| panel.key == format!("'{result}'"));
        }
        assert_eq!(found, less(late, early), "the panel `{}`", panel.title);
    }
    let by_direction = counted("Tokens", &["direction"], ("", ""));
    let found = increments(&prometheus, by_direction, (before, after));
    assert_eq!(found, less(&tokens(&engine), &early_tokens), "the panel `Tokens`");
    let refused = counted("Calls without a valid credential", &[], ("", ""));
    let found = increments(&prometheus, refused, (before, after));
    assert_eq!(found[""], (seen.calls().1 - strangers) as i64, "calls without a credential");
}

/// Tokens by direction, as the metrics name them.
fn tokens(engine: &Engine) -> Groups {
    let of = |direction: &str, column: &str| {
        let sum = grouped(engine, &format!("'{direction}'"), &format!("sum({column})"));
        sum.into_iter().next()
    };
    let all = [
        of("input", "input_tokens"),
        of("cached", "cached_tokens"),
        of("output", "output_tokens"),
        of("reasoning", "reasoning_tokens"),
    ];
    all.into_iter().flatten().collect()
}
