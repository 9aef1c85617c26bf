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
