//! Two replicas of the log's tables, with a ZooKeeper. By hand, because they take half a minute
//! and 200 MB of packages:
//!
//! ```sh
//! apt-get install clickhouse-server zookeeper
//! cargo test --test it clickhouse_replicas:: -- --ignored --test-threads 1
//! ```
//!
//! The replicas that take rows are Debian's servers (18.16), whose dialect is old: their tables
//! have today's columns and the types of that time. The statements of `clickhouse apply` run on
//! two engines of today, which keep replicated tables but take no rows for them: they are libraries,
//! and have no port for other replicas.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::between::{Between, Fault};
use crate::support::engine::Engine;
use crate::support::load::Load;
use crate::support::redis_set::free_port;
use crate::support::replicas::{ZooKeeper, cluster};
use crate::support::server::{Server, UNKNOWN, tables};
use crate::support::{Provider, Setup, eventually, step, tollgate};

const CALLERS: usize = 16;

/// Rows, different ids and different requests at one replica.
fn counted(server: &Server) -> [usize; 3] {
    server.ask("SYSTEM SYNC REPLICA tollgate.ai_rows");
    let text =
        server.ask("SELECT count(), uniqExact(id), uniqExact(request_id) FROM tollgate.ai_rows");
    let counts: Vec<usize> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    counts.try_into().unwrap()
}

#[test]
#[ignore = "needs ZooKeeper; run by hand"]
fn by_hand_one_of_two_replicas_is_killed_under_load_and_each_call_has_one_row() {
    let zookeeper = ZooKeeper::start();
    let ports = [free_port(), free_port()];
    let [mut first, second] = [0, 1].map(|n| {
        let more = zookeeper.replica(&format!("r{n}"), &cluster(&ports));
        Server::with(&format!("{more}<tcp_port>{}</tcp_port>", ports[n]))
    });
    first.ask("CREATE DATABASE tollgate ON CLUSTER logs");
    for table in tables("ON CLUSTER logs", |table| {
        format!(
            "ReplicatedMergeTree('/clickhouse/tables/{{shard}}/tollgate/{table}', '{{replica}}') \
             ORDER BY id"
        )
    }) {
        first.ask(&table);
    }
    first.ask(
        "CREATE TABLE tollgate.ai_rows_all ON CLUSTER logs AS tollgate.ai_rows ENGINE = \
         Distributed(logs, tollgate, ai_rows)",
    );

    let provider = Provider::start();
    provider.always(step::as_asked("hello"));
    let fronts = [&first, &second].map(|server| Between::new(server.address, UNKNOWN));
    let urls = fronts.each_ref().map(|front| format!("\"http://{}\"", front.address)).join(", ");
    let mut gateway = Setup::new(&provider)
        .setting("store", "clickhouse")
        .setting("clickhouse", &format!("{{urls: [{urls}]}}"))
        .section("limits", "{requests_per_minute: 6000000, burst: 1000000}")
        .start();
    let load = Load::start(gateway.apps, CALLERS, "load", Duration::ZERO);
    load.go_on(3_000);
    // An acknowledgement is lost, and then the server is killed with rows under way.
    fronts[0].script_and_wait([Fault::LostAck], 0);
    first.kill();
    fronts[0].towards(None);
    let stored = || gateway.metric("tollgate_log_rows_total{result=\"stored\"}");
    let before = stored();
    eventually("rows at the second", || (stored() > before + 3_000.0).then_some(()));
    // Back again, it fetches what it has missed, and takes over when the second is gone.
    first.start_again();
    fronts[0].towards(Some(first.address));
    load.go_on(3_000);
    gateway.signal(Signal::TERM);
    let whole = load.end().len();
    assert!(gateway.wait().success());
    let found = [&first, &second].map(counted);
    assert_eq!(found[0], found[1], "the replicas have the same rows");
    let [count, ids, requests] = found[0];
    assert_eq!((count, count), (ids, requests));
    // A call whose caller saw no whole answer has its row, too.
    assert!((whole..=whole + CALLERS).contains(&count), "{count} rows of {whole} calls");
    let span = "SELECT max(created_at) - min(created_at) FROM tollgate.ai_rows";
    let rate = 1_000 * count / second.ask(span).trim().parse::<usize>().unwrap();
    eprintln!("{whole} calls, {rate} a second");
    assert!(rate >= 1_000, "{rate} calls a second: let nothing else run beside this test");
    let all = second.ask("SELECT count() FROM tollgate.ai_rows_all");
    assert_eq!(all.trim(), count.to_string());
    gateway.prints("a ClickHouse server is left alone for a while");
}

#[test]
#[ignore = "needs ZooKeeper; run by hand"]
fn by_hand_the_schema_of_a_cluster_makes_replicas_on_two_engines() {
    let zookeeper = ZooKeeper::start();
    let printed =
        tollgate().args(["clickhouse", "print", "--cluster", "logs"]).output().expect("print");
    let script = String::from_utf8(printed.stdout).expect("UTF-8");
    let code: Vec<&str> =
        script.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let engines: Vec<Engine> = (0..2)
        .map(|n| {
            let folder = tempfile::tempdir().unwrap().keep();
            let file = folder.join("config.xml");
            // Each is alone in its cluster: a library has no port for the other one.
            let more = zookeeper.replica(&format!("r{n}"), &cluster(&[9000]));
            let config = format!("<clickhouse><tcp_port>9000</tcp_port>{more}</clickhouse>");
            std::fs::write(&file, config).unwrap();
            Engine::start_with(&["--dsn-extra", &format!("config-file={}", file.display())])
        })
        .collect();
    let all = code.join("\n");
    let all: Vec<&str> = all.split(";\n").map(|one| one.trim().trim_end_matches(';')).collect();
    for engine in &engines {
        for statement in all.iter().filter(|statement| !statement.is_empty()) {
            // As it is, for every server of the cluster; rows are inserted once.
            let is_for_all = !statement.starts_with("INSERT ");
            let tree = engine.query(&format!("SELECT formatQuery($s${statement}$s$) AS text"));
            let is_on_cluster = tree[0]["text"].as_str().unwrap().contains("ON CLUSTER");
            assert_eq!(is_on_cluster, is_for_all, "{statement}");
            // Nothing can be changed in tables that have no port for replicas.
            let is_made = ["CREATE DATABASE ", "CREATE TABLE ", "CREATE OR REPLACE TABLE "];
            let is_made = is_made.iter().any(|begin| statement.starts_with(begin))
                || statement.starts_with("CREATE MATERIALIZED VIEW ");
            // The last column of `ai_log` is such a change.
            if is_made && !statement.contains("`.ai_log_all ") {
                engine.execute(&statement.replace(" ON CLUSTER 'logs'", ""));
            }
        }
    }
    let name = |statement: &&str| {
        let path = statement.split_once("ENGINE = Replicated")?.1.split('\'').nth(1)?;
        path.rsplit('/').next().map(str::to_owned)
    };
    let mut tables: Vec<String> = all.iter().filter_map(name).collect();
    tables.sort_unstable();
    assert!(tables.len() >= 6, "{tables:?}");
    let over_all = all.iter().filter(|one| one.contains("ENGINE = Distributed(")).count();
    for engine in &engines {
        let found = engine.query(
            "SELECT table, total_replicas, zookeeper_path FROM system.replicas WHERE database = \
             'tollgate' ORDER BY table",
        );
        let names: Vec<&str> = found.iter().map(|row| row["table"].as_str().unwrap()).collect();
        assert_eq!(names, tables);
        for row in &found {
            assert_eq!(row["total_replicas"], 2, "{row}");
            let path = format!("/clickhouse/tables/1/tollgate/{}", row["table"].as_str().unwrap());
            assert_eq!(row["zookeeper_path"], path.as_str());
        }
        let views = engine.query(
            "SELECT count() AS n FROM system.tables WHERE database = 'tollgate' AND engine = \
             'Distributed'",
        );
        // But `ai_log_all`, whose last column is such a change.
        assert_eq!(views[0]["n"], over_all - 1);
    }
}
