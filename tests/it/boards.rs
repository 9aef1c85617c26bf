//! The dashboards, rules and alerts that are shipped: their form, and every query of them on the
//! engine that it is for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::engine::Engine;
use crate::support::prometheus::{Prometheus, promtool, rules};
use crate::support::{Connection, Gateway, Provider, Setup, chat, eventually, jwt, request, step};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn board(name: &str) -> Value {
    let text = fs::read_to_string(root().join("config/grafana").join(name)).expect("a dashboard");
    serde_json::from_str(&text).expect("JSON")
}

const BOARDS: [(&str, &str); 2] =
    [("tollgate.json", "prometheus"), ("tollgate-log.json", "grafana-clickhouse-datasource")];

/// The panels that have queries.
pub(crate) fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    let all = board["panels"].as_array().expect("panels").iter();
    all.filter(|panel| panel["type"] != "row")
}

#[test]
fn dashboards_have_the_form_that_grafana_imports() {
    for (name, kind) in BOARDS {
        let board = board(name);
        assert!(board["id"].is_null(), "{name}: an id belongs to one Grafana");
        assert!((1..=40).contains(&board["uid"].as_str().expect("uid").len()));
        assert_eq!(board["schemaVersion"], 42, "the last one of the classic model");
        for field in ["title", "description", "refresh"] {
            assert!(board[field].as_str().is_some_and(|text| !text.is_empty()), "{name}: {field}");
        }
        assert!(board["time"]["from"].is_string() && !board["tags"].as_array().unwrap().is_empty());
        let variables = board["templating"]["list"].as_array().expect("variables");
        let source = variables.iter().find(|v| v["name"] == "datasource").expect("a data source");
        assert_eq!((&source["type"], &source["query"]), (&"datasource".into(), &kind.into()));
        let (mut ids, mut cells, mut titles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for panel in board["panels"].as_array().expect("panels") {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}: {panel}");
            let at = |field: &str| panel["gridPos"][field].as_u64().expect("a place");
            assert!(at("x") + at("w") <= 24 && at("h") > 0, "{name}: {panel}");
            for cell in (at("x")..at("x") + at("w"))
                .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(cells.insert(cell), "{name}: {} covers another", panel["title"]);
            }
        }
        for panel in panels(&board) {
            let title = panel["title"].as_str().expect("a title");
            assert!(titles.insert(title), "{name}: {title} twice");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}: {title}");
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{name}: {title}");
            for source in targets.iter().chain([panel]).map(|one| &one["datasource"]) {
                assert_eq!(
                    (&source["type"], &source["uid"]),
                    (&kind.into(), &"${datasource}".into())
                );
            }
            let refs: BTreeSet<_> = targets.iter().map(|t| t["refId"].as_str().unwrap()).collect();
            assert_eq!(refs.len(), targets.len(), "{name}: {title}");
        }
        assert!(ids.len() > 20, "{name}");
    }
    for file in ["datasources", "dashboards"] {
        let path = format!("config/grafana/provisioning/{file}/tollgate.yaml");
        let text = fs::read_to_string(root().join(path)).expect("provisioning");
        assert!(text.contains("apiVersion: 1"));
    }
}

/// A gateway that had calls of every kind that a dashboard shows.
fn after_traffic(setup: Setup, provider: &Provider) -> Gateway {
    let gateway = setup.section("limits", LIMITS).start();
    provider.script([step::error(503, "overloaded")]);
    for n in 0..6 {
        gateway.chat("acme", &format!("mail jane@example.com, call {n}")).ok();
    }
    // Its limit is one call.
    gateway.chat("globex", "hi").ok();
    gateway.chat("globex", "hi").refused(429, "rate_limit_exceeded");
    provider.script((0..3).map(|_| step::error(503, "overloaded")));
    assert_eq!(gateway.chat("acme", "fails").status, 503);
    assert_eq!(
        gateway.post("/v1/chat/completions", &format!("{}x", jwt("acme")), &chat("hi")).status,
        401
    );
    gateway
}

const LIMITS: &str = "{requests_per_minute: 60000, burst: 60000, usd_per_day: 100, orgs: {globex: \
    {requests_per_minute: 1, burst: 1}}}";

/// What Grafana makes of a query.
fn for_prometheus(expr: &str) -> String {
    let expr = expr.replace("$__rate_interval", "10s").replace("$__range", "1m");
    let expr = expr.replace("$instance", ".*").replace("$job", ".*");
    assert!(!expr.contains('$'), "{expr}");
    expr
}

#[test]
#[ignore = "needs Prometheus; run by scripts/test"]
fn every_series_of_the_dashboard_and_every_rule_works_on_a_real_prometheus() {
    let provider = Provider::start();
    let setup = Setup::new(&provider).setting("metrics", "{per_org: true}");
    let gateway = after_traffic(setup, &provider);
    let page = gateway.folder().join("metrics.txt");
    fs::write(&page, gateway.operators("/metrics").ok().text()).expect("written");
    let checked = promtool(&["check", "metrics"], Some(&page));
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    gateway.counts("tollgate_org_requests_total{org=\"acme\"}", 7.0);

    let prometheus = Prometheus::start(gateway.operators);
    // Rates need two scrapes.
    eventually("some scrapes", || {
        let found = prometheus.query("count_over_time(up{job=\"tollgate\"}[30s])");
        let count: f64 = found.first()?["value"][1].as_str()?.parse().ok()?;
        (count >= 3.0).then_some(())
    });
    let mut queries = 0;
    let board = board("tollgate.json");
    for panel in panels(&board) {
        for target in panel["targets"].as_array().expect("targets") {
            let expr = for_prometheus(target["expr"].as_str().expect("expr"));
            let found = prometheus.query(&expr);
            assert!(!found.is_empty(), "{}: no series for {expr}", panel["title"]);
            queries += 1;
        }
    }
    assert!(queries > 40, "{queries}");
    for variable in board["templating"]["list"].as_array().expect("variables") {
        let Some(query) = variable["definition"].as_str() else { continue };
        let (metric, label) = query
            .trim_start_matches("label_values(")
            .trim_end_matches(')')
            .rsplit_once(", ")
            .expect("two");
        let found = prometheus.query(&for_prometheus(metric));
        assert!(found.iter().all(|one| one["metric"][label].is_string()) && !found.is_empty());
    }
    let groups = eventually("evaluated rules", || {
        let groups = prometheus.api("rules", &[])["groups"].as_array()?.clone();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
        let rules: Vec<Value> = rules.collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert!(groups.len() > 20, "{}", groups.len());
    for rule in &groups {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    // The figures are the log's.
    let rows = gateway.rows(9);
    let calls: i64 = rows.iter().map(|row| row["calls"].as_i64().unwrap()).sum();
    let counted = prometheus.query("sum(tollgate_requests_total{route=\"proxy\"})");
    assert_eq!(counted[0]["value"][1], calls.to_string().as_str());
}

#[test]
#[ignore = "needs Prometheus; run by scripts/test"]
fn alerts_fire_as_their_tests_say() {
    let folder = tempfile::tempdir().expect("folder");
    let mut check = vec!["check", "rules", "--lint=all", "--lint-fatal"];
    let files: Vec<String> = rules().iter().map(|path| path.display().to_string()).collect();
    check.extend(files.iter().map(String::as_str));
    let checked = promtool(&check, None);
    assert!(checked.status.success(), "{checked:?}");
    for path in rules() {
        fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let tests = folder.path().join("rules_test.yaml");
    fs::copy(root().join("tests/prometheus/rules_test.yaml"), &tests).expect("copied");
    let tested = promtool(&["test", "rules", tests.to_str().expect("UTF-8")], None);
    assert!(tested.status.success(), "{tested:?}");
    // Each alert is in a test.
    let text = fs::read_to_string(tests).expect("tests");
    let alerts = fs::read_to_string(root().join("config/prometheus/alerts.yaml")).expect("alerts");
    let count = alerts.lines().filter(|line| line.trim().starts_with("- alert:")).count();
    assert!(text.contains(&format!("value: {count}}}")), "{count} alerts");
}

/// What Grafana's plugin makes of a query: with all values, or with one.
pub(crate) fn for_clickhouse(sql: &str, chosen: bool) -> String {
    let (from, to) = ("(toUnixTimestamp(now()) - 7200)", "(toUnixTimestamp(now()) + 60)");
    let mut sql = sql.to_owned();
    while let Some(at) = sql.find("$__") {
        let open = at + sql[at..].find('(').expect("a macro has arguments");
        let mut depth = 0;
        let close = open
            + sql[open..]
                .find(|c| {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    depth == 0
                })
                .expect("balanced");
        let argument = sql[open + 1..close].to_owned();
        let made = match &sql[at + 3..open] {
            "timeFilter" => {
                format!("{argument} >= toDateTime({from}) AND {argument} <= toDateTime({to})")
            }
            "timeFilter_ms" => format!(
                "{argument} >= fromUnixTimestamp64Milli({from} * 1000) AND {argument} <= \
                 fromUnixTimestamp64Milli({to} * 1000)"
            ),
            "dateFilter" => format!(
                "{argument} >= toDate(toDateTime({from})) AND {argument} <= \
                    toDate(toDateTime({to}))"
            ),
            "timeInterval" => {
                format!("toStartOfInterval(toDateTime({argument}), INTERVAL 60 second)")
            }
            "conditionalAll" => {
                let (condition, variable) = argument.rsplit_once(", $").expect("a variable");
                let value = if variable == "org" { "'acme'" } else { "'gpt-4o-mini'" };
                let form = format!("${{{variable}:singlequote}}");
                assert!(condition.contains(&form), "{condition}");
                if chosen { condition.replace(&form, value) } else { "1=1".to_owned() }
            }
            other => panic!("{other} is no macro of the plugin"),
        };
        sql.replace_range(at..=close, &made);
    }
    assert!(!sql.contains('$'), "{sql}");
    sql
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn every_query_of_the_log_dashboard_works_on_the_engine_and_agrees_with_the_metrics() {
    let (engine, provider) = (Engine::start(), Provider::start());
    engine.apply(engine.folder.path());
    let setup = Setup::new(&provider)
        .setting("store", "clickhouse")
        .setting("clickhouse", &format!("{{url: \"http://{}\"}}", engine.address));
    let gateway = after_traffic(setup, &provider);
    eventually("all rows", || {
        let rows = engine.query("SELECT sum(calls) AS n FROM tollgate.ai_log");
        (rows[0]["n"] == 9).then_some(())
    });
    let ask = |sql: &str| -> Vec<Value> {
        let sql =
            format!("{sql} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers=0");
        let request = request("POST", "/?database=tollgate", &[], sql.as_bytes());
        let reply = Connection::open(engine.address).send(&request).reply();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.text().lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    };
    let board = board("tollgate-log.json");
    for panel in panels(&board) {
        for target in panel["targets"].as_array().expect("targets") {
            let sql = target["rawSql"].as_str().expect("a query");
            let is_series = panel["type"] == "timeseries";
            assert_eq!(target["format"], i32::from(!is_series), "{}", panel["title"]);
            let rows = ask(&for_clickhouse(sql, false));
            assert!(!rows.is_empty(), "{}: no rows for {sql}", panel["title"]);
            assert!(!is_series || rows[0]["time"].is_string(), "{}: {rows:?}", panel["title"]);
            ask(&for_clickhouse(sql, true));
        }
    }
    for variable in board["templating"]["list"].as_array().expect("variables") {
        if let Some(query) = variable["definition"].as_str() {
            assert!(!ask(query).is_empty(), "{query}");
        }
    }
    // The same figures in all places.
    let figure = |title: &str| {
        let panel = panels(&board).find(|panel| panel["title"] == title).expect("a panel");
        let rows = ask(&for_clickhouse(panel["targets"][0]["rawSql"].as_str().unwrap(), false));
        let value = rows[0].as_object().unwrap().values().next().unwrap().clone();
        value.as_f64().or_else(|| value.as_str()?.parse().ok()).expect("a number")
    };
    assert_eq!(figure("Calls"), gateway.metric("tollgate_requests_total{"));
    let tokens = gateway.metric("tollgate_tokens_total{direction=\"input\"")
        + gateway.metric("tollgate_tokens_total{direction=\"output\"");
    assert_eq!(figure("Tokens"), tokens);
    assert!((figure("Cost") - gateway.metric("tollgate_cost_usd_total")).abs() < 1e-9);
}
