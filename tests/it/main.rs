//! Integration tests: a real gateway process between a raw client and a scripted provider.
//!
//! Each test names a promise of the public contract. Bytes are asserted on both sides of the
//! gateway, and the row in the log where there is one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it stands"
)]
#![expect(clippy::disallowed_methods, reason = "tests measure the time of the real world")]
#![expect(clippy::print_stderr, reason = "what the gateway printed is shown beside a failure")]

mod access;
mod alerts;
mod analysts;
mod audit;
mod boards;
mod broken;
mod cache;
mod carriers;
mod checks;
mod circuits;
mod clickhouse;
mod clickhouse_replicas;
mod clickhouse_server;
mod clients;
mod clouds;
mod commands;
mod compression;
mod cors;
mod credentials;
mod deploy;
mod durability;
mod early;
mod egress;
mod embeddings;
mod endpoints;
mod examples;
mod faults;
mod forms;
mod framing;
mod handover;
mod heads;
mod hostile;
mod http2;
mod identity;
mod import;
mod intent;
mod key_sets;
mod keys;
mod killed;
mod lifecycle;
mod limits;
mod live_stores;
mod manager;
mod matrix;
mod models;
mod money;
mod objects;
mod oidc;
mod open_door;
mod openapi;
mod operators;
mod operators_log;
mod operators_tls;
mod output;
mod overload;
mod page;
mod pii_benchmark;
mod privacy;
mod proxy;
mod redaction;
mod reload;
mod resources;
mod retries;
mod sdk;
mod secret_files;
mod secrets;
mod shadow;
mod smuggling;
mod streams;
mod support;
mod targets;
mod tls;
mod top;
mod totals;
mod traces;
mod translation;
mod turns;
mod uploads;
mod usage;
mod walls;
mod yardsticks;
