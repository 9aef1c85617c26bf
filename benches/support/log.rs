//! Rows, stores and CPU times for the benchmarks of the log.

#![expect(dead_code, reason = "each benchmark uses a part")]

use std::process::Command;
use std::sync::Arc;

use tollgate::ailog::row::{Outcome, RouteKind, Row};
use tollgate::ailog::{ClickHouseOptions, StoreKind};
use tollgate::clock::wall_ms;
use tollgate::ids::{OrgId, RequestId};
use tollgate::redact::{self, Attachments, Redacted, Rules, RulesSpec};
use tollgate_wire::usage::{TokenUsage, UsageSource};

const DATABASE: &str = "tollgate_bench";

/// A folder for one log.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for the benchmark: {error}"))
}

/// The database of the benchmark on a server.
pub fn server(url: &str) -> ClickHouseOptions {
    ClickHouseOptions::at(url, DATABASE)
}

/// The embedded store, or the benchmark's database, with its schema.
pub fn store(clickhouse: Option<&str>) -> StoreKind {
    let Some(url) = clickhouse else { return StoreKind::Embedded };
    let mut apply = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let applied =
        apply.args(["clickhouse", "apply", "--url", url, "--database", DATABASE]).status();
    assert!(applied.is_ok_and(|status| status.success()), "the schema was not applied");
    StoreKind::ClickHouse(server(url))
}

fn rules() -> Rules {
    let spec =
        RulesSpec { entities: vec![], attachments: Attachments::Allow, ..RulesSpec::default() };
    Rules::compile(&spec).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The row of a usual call with two captured bodies.
pub fn row(body_bytes: usize) -> Row {
    let text: String =
        (0..).flat_map(|n| [format!("word{n}"), " ".to_owned()]).take(body_bytes).collect();
    let body = redact::text(&rules(), &text[..body_bytes]).0;
    let Some(org) = OrgId::new("acme") else { panic!("a plain name") };
    let (id, version) = (RequestId::random(), Arc::from("0123456789ab"));
    let mut row = Row::begin(wall_ms(), org, RouteKind::Proxy, id, version);
    row.caller = Arc::from("ci-runner");
    row.endpoint = "/v1/chat/completions".into();
    row.provider = Arc::from("openai");
    row.model = "gpt-4o-mini".to_owned();
    row.response_model = "gpt-4o-mini-2024-07-18".to_owned();
    (row.status, row.attempts, row.latency_ms, row.ttfb_ms, row.gateway_us) =
        (200, 1, 812, 320, 95);
    row.usage = TokenUsage { input: 812, output: 240, ..TokenUsage::default() };
    (row.usage_source, row.cost_nano_usd) = (UsageSource::Provider, Some(265_800));
    (row.request, row.response) = (Some(body.clone()), Some(body));
    row
}

/// 2,000 different texts of made-up words, so that a store's compression has work to do.
pub fn texts(bytes: usize) -> Vec<Redacted> {
    let rules = rules();
    let mut rng = fastrand::Rng::with_seed(7);
    let words: Vec<String> =
        (0..4_000).map(|_| (0..rng.usize(2..10)).map(|_| rng.lowercase()).collect()).collect();
    let mut text = || {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            text.push_str(&words[rng.usize(..words.len())]);
            text.push(' ');
        }
        text.truncate(bytes);
        redact::text(&rules, &text).0
    };
    (0..2_000).map(|_| text()).collect()
}

/// Gives a row a new id and bodies drawn from `texts`.
pub fn renew(row: &mut Row, texts: &[Redacted]) {
    row.id = uuid::Uuid::now_v7();
    row.created_at_ms = wall_ms();
    row.request = Some(texts[fastrand::usize(..texts.len())].clone());
    row.response = Some(texts[fastrand::usize(..texts.len())].clone());
}

/// Gives a row a new id and other names and figures.
pub fn vary(row: &mut Row, rng: &mut fastrand::Rng, callers: &[Arc<str>]) {
    row.id = uuid::Uuid::from_u64_pair(rng.u64(..), rng.u64(..));
    row.created_at_ms = 1_795_428_000_000 + rng.i64(0..60_000);
    let org = ["acme", "globex", "initech", "umbrella", "hooli", "stark"][rng.usize(..6)];
    row.org_id = OrgId::new(org).unwrap_or_else(|| panic!("a plain name"));
    row.caller = Arc::clone(&callers[rng.usize(..callers.len())]);
    row.model = ["gpt-4o-mini", "gpt-4o", "o3", "gpt-4.1"][rng.usize(..4)].to_owned();
    let failed = rng.usize(..5) == 0;
    row.status = if failed { 503 } else { 200 };
    row.outcome = if failed { Outcome::ProviderError } else { Outcome::Ok };
    (row.latency_ms, row.ttfb_ms) = (rng.u32(200..4_000), rng.u32(50..200));
    row.usage =
        TokenUsage { input: rng.u64(1..3_000), output: rng.u64(1..900), ..TokenUsage::default() };
    row.cost_nano_usd = Some(rng.i64(1_000..9_000_000));
}

/// The CPU time of this thread.
pub fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The CPU time of the process's running threads.
pub fn process_cpu_ns() -> u64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let of = |path: std::path::PathBuf| std::fs::read_to_string(path.join("schedstat")).ok();
    let texts = threads.filter_map(|entry| of(entry.ok()?.path()));
    texts.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}
