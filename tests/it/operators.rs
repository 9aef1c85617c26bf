//! The operators' side holds: clients that are silent, or do not read, keep nobody off it and cost
//! little.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::{Gateway, Provider, Setup, chat, eventually, jwt};

/// A gateway whose log has rows with long texts, and their ids, newest first.
fn logged(rows: usize) -> (Gateway, Provider, Vec<String>) {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("ailog", "{capture_bytes: 1MiB}").start();
    let text = "word ".repeat(40_000);
    for _ in 0..rows {
        gateway.post("/v1/chat/completions", &jwt("acme"), &chat(&text)).ok();
    }
    let mut all: Vec<(String, String)> = gateway
        .rows(rows)
        .iter()
        .map(|row| {
            (row["created_at"].as_str().unwrap().to_owned(), row["id"].as_str().unwrap().to_owned())
        })
        .collect();
    all.sort();
    (gateway, provider, all.into_iter().rev().map(|(_, id)| id).collect())
}

fn ask(gateway: &Gateway, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.operators).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    stream
}

#[test]
fn a_long_answer_is_cut_and_goes_on_where_it_was_cut() {
    let (gateway, _provider, ids) = logged(60);
    let mut found = Vec::new();
    let mut path = "/api/logs?limit=1000".to_owned();
    let mut pages = 0;
    loop {
        let reply = gateway.operators(&path);
        assert!(reply.ok().text().len() <= (8 << 20) + 100, "{} bytes", reply.text().len());
        let page: Value = reply.json();
        found.extend(
            page["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        if page["cut"] == false {
            assert!(page.get("next").is_none());
            break;
        }
        assert_eq!(page["next"].as_str(), found.last().map(String::as_str));
        path = format!("/api/logs?limit=1000&before={}", page["next"].as_str().unwrap());
    }
    assert!(pages > 1, "60 rows of 200 KB and more are longer than one answer");
    assert_eq!(found, ids);
    // A limit counts over all batches, and `before` goes together with it.
    let some: Value =
        gateway.operators(&format!("/api/logs?limit=7&before={}", ids[3])).ok().json();
    let some: Vec<&str> =
        some["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(some, ids[4..11]);
    assert_eq!(gateway.operators("/api/logs?before=nothing").status, 404);
}

#[test]
fn silent_clients_keep_nobody_off() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut silent: Vec<TcpStream> =
        (0..300).map(|_| TcpStream::connect(gateway.operators).unwrap()).collect();
    // Half of them begin a head.
    for stream in silent.iter_mut().step_by(2) {
        // One that has been closed meanwhile may say so.
        drop(stream.write_all(b"GET /healthz HTTP/1.1\r\n"));
    }
    for path in ["/healthz", "/readyz", "/metrics", "/api/logs", "/api/summary", "/"] {
        gateway.operators(path).ok();
    }
    // The first ones had to go for it.
    let mut end = [0; 1];
    assert!(matches!(silent[0].read(&mut end), Ok(0) | Err(_)));
}

#[test]
fn clients_that_do_not_read_keep_nobody_off() {
    let (gateway, _provider, ids) = logged(60);
    let deaf: Vec<TcpStream> = (0..100)
        .map(|n| {
            ask(
                &gateway,
                ["/api/logs?limit=1000", "/metrics", "/api/summary", "/api/config"][n % 4],
            )
        })
        .collect();
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        gateway.operators(path).ok();
    }
    eventually("a turn for one that reads", || {
        let reply = gateway.operators("/api/logs?limit=3");
        (reply.status == 200)
            .then(|| assert_eq!(reply.json()["rows"][0]["id"].as_str(), Some(ids[0].as_str())))
    });
    drop(deaf);
}

#[test]
fn figures_come_in_order_and_rows_by_their_text() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("ailog", "{capture_bytes: 4096}").start();
    for (org, calls) in [("acme", 1), ("globex", 3), ("initech", 2)] {
        for n in 0..calls {
            gateway.chat(org, &format!("a plan of {org}, part {n}")).ok();
        }
    }
    gateway.rows(6);
    let orgs = |query: &str| -> (Vec<(String, u64)>, bool) {
        let answer = gateway.operators(&format!("/api/summary?by=org&{query}")).ok().json();
        let line = |row: &Value| {
            (row["org_id"].as_str().unwrap().to_owned(), row["calls"].as_u64().unwrap())
        };
        let rows = answer["rows"].as_array().unwrap().iter().map(line).collect();
        (rows, answer["cut"] == true)
    };
    let pair = |org: &str, calls| (org.to_owned(), calls);
    let first = orgs("sort=calls&lines=2");
    assert_eq!(first, (vec![pair("globex", 3), pair("initech", 2)], true));
    assert_eq!(orgs("sort=calls&lines=2&offset=2"), (vec![pair("acme", 1)], false));
    assert_eq!(orgs("org=acme&org=initech").0, [pair("acme", 1), pair("initech", 2)]);
    // Times divide the calls; each call is in one minute.
    let at: Value = gateway.operators("/api/logs?limit=1000").ok().json();
    let middle = at["rows"][3]["created_at"].as_str().unwrap();
    let (before, after) = (orgs(&format!("to={middle}")).0, orgs(&format!("from={middle}")).0);
    let sum = |lines: &[(String, u64)]| lines.iter().map(|(_, calls)| calls).sum::<u64>();
    assert_eq!((sum(&before) + sum(&after), sum(&before) <= 3), (6, true));
    let minutes = gateway.operators("/api/summary?by=minute&percentiles=false").ok().json();
    let minutes = minutes["rows"].as_array().unwrap().clone();
    assert_eq!(minutes.iter().map(|row| row["calls"].as_u64().unwrap()).sum::<u64>(), 6);
    assert!(minutes[0]["minute"].as_str().unwrap().ends_with(":00Z"));
    assert_eq!(minutes[0]["p99_ms"], 0);
    let total = gateway.operators("/api/summary?by=total").ok().json();
    assert_eq!(
        (total["rows"][0]["calls"].as_u64(), total["rows"].as_array().unwrap().len()),
        (Some(6), 1)
    );
    let found = |query: &str| {
        let answer = gateway.operators(&format!("/api/logs?{query}")).ok().json();
        answer["rows"].as_array().unwrap().len()
    };
    assert_eq!(
        [found("q=PLAN+of+globex"), found("q=plan&org_id=acme"), found("q=100%25")],
        [3, 1, 0]
    );
    assert_eq!(found("outcome=ok&outcome=timeout"), 6);
    for wrong in [
        "/api/summary?by=org&sort=nothing",
        "/api/summary?lines=-1",
        "/api/summary?percentiles=no",
        "/api/summary?from=yesterday",
        "/api/summary?by=total&status=429",
        "/api/summary?orgs=acme",
        "/api/summary?tz=Mars/X",
        "/api/limits?org=acme",
        &format!("/api/logs?q={}", "x".repeat(201)),
    ] {
        let reply = gateway.operators(wrong);
        assert_eq!(reply.status, 400, "{wrong}");
        assert!(!reply.json()["error"].as_str().unwrap().is_empty());
    }
    // A page is a page for every path of its own, and its parts are kept by the browser.
    for page in ["/", "/calls", "/calls/some-id", "/organizations", "/providers", "/policy", "/log"]
    {
        let reply = gateway.operators(page);
        assert_eq!(reply.ok().header("content-type"), Some("text/html; charset=utf-8"), "{page}");
        let rules = reply.header("content-security-policy").unwrap();
        assert!(rules.starts_with("default-src 'none';") && !rules.contains("unsafe"), "{rules}");
    }
    let part = gateway.operators("/assets/uplot.js");
    let tag = part.ok().header("etag").unwrap().to_owned();
    let again = [("if-none-match", tag.as_str())];
    let again = gateway.ask_operators("GET", "/assets/uplot.js", &again, "");
    assert_eq!((again.status, again.text()), (304, ""));
    assert_eq!(gateway.operators("/assets/nothing.js").status, 404);
}
