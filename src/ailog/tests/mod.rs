//! Tests of the log: rows from one end to the other, and what they share.

mod clickhouse;
mod damage;
mod embedded;
mod former;
mod group;
mod kill;
mod model;
mod power;
mod ship;
mod switch;
mod tap;
mod wal;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tollgate_wire::usage::{ServiceTier, TokenUsage, UsageSource};
use uuid::Uuid;

use super::row::{Attempt, CostParts, Outcome, RouteKind, Row, Tag, Traced};
use super::store::{dead_letter, digest};
use super::{AiLog, Options, columns};
use crate::code::Code;
use crate::config::policy::StoreKind;
use crate::ids::{OrgId, RequestId};
use crate::metrics::Metrics;
use crate::redact::{Attachments, Redacted, Rules, RulesSpec};
use crate::report::{Days, Dim, Filter, Reader, Summary};
use crate::trace::{SpanId, TraceId};

/// Long enough for a busy machine; reached only by a failure.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Text as the log gets it; nothing in it is taken out.
pub(crate) fn redacted(text: &str) -> Redacted {
    let spec =
        RulesSpec { entities: vec![], attachments: Attachments::Allow, ..RulesSpec::default() };
    crate::redact::text(&Rules::compile(&spec).expect("no rules"), text).0
}

fn tags(rng: &mut fastrand::Rng) -> Vec<Tag> {
    let tag = |name: &str, value: &str| Tag { name: Arc::from(name), value: redacted(value) };
    let tags = [tag("team", "blue \"sky\""), tag("feature", "Übersicht")];
    tags[..rng.usize(..3)].to_vec()
}

fn attempts(rng: &mut fastrand::Rng) -> Vec<Attempt> {
    let attempt = |provider: &str, status, error: &'static str, ms| Attempt {
        provider: Arc::from(provider),
        status,
        error: Cow::Borrowed(error),
        ms,
    };
    let attempts = [attempt("openai", 503, "status", 120), attempt("azure", 200, "", 812)];
    attempts[..rng.usize(..3)].to_vec()
}

/// A row of which every column is different from row to row; the same for the same seed.
pub(crate) fn row(seed: u64) -> Row {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15);
    let outcomes = [
        Outcome::Ok,
        Outcome::Ok,
        Outcome::Ok,
        Outcome::ClientError,
        Outcome::RateLimited,
        Outcome::ProviderError,
        Outcome::Timeout,
        Outcome::ClientDisconnect,
        Outcome::Refused,
    ];
    let outcome = outcomes[rng.usize(..outcomes.len())];
    let texts = [
        "",
        "plain",
        "héllo → wörld",
        "{\"a\":[1,2,\"\\n\"]}",
        "line\nline\ttab",
        "🦀🦀🦀",
        "'; DROP TABLE ai_log; --",
    ];
    let mut text = |limit: usize| texts[rng.usize(..texts.len())].repeat(rng.usize(..limit));
    let (request, response, model) = (text(40), text(40), text(3));
    // Some days of November 2026, with times on both sides of midnight.
    let created_at_ms =
        1_793_491_200_000 + rng.i64(0..5) * 86_400_000 + rng.i64(-3..3) * 1_000 + rng.i64(0..999);
    Row {
        id: Uuid::from_u64_pair(rng.u64(..), seed),
        created_at_ms,
        org_id: OrgId::new(["acme", "globex", "team/a.b_c"][rng.usize(..3)]).expect("org"),
        caller: Arc::from(["ci", "", "auth0|4711"][rng.usize(..3)]),
        route: if rng.bool() { RouteKind::Proxy } else { RouteKind::Intent },
        endpoint: Cow::Borrowed("/v1/chat/completions"),
        provider: Arc::from(["openai", "anthropic", ""][rng.usize(..3)]),
        model,
        response_model: "gpt-4o-mini-2024-07-18".to_owned(),
        stream: rng.bool(),
        status: rng.u16(200..600),
        outcome,
        error_code: (outcome == Outcome::RateLimited).then_some(Code::RateLimitExceeded),
        attempts: rng.u8(..4),
        latency_ms: rng.u32(..60_000),
        ttfb_ms: rng.u32(..9_000),
        gateway_us: rng.u32(..900),
        usage: TokenUsage {
            input: rng.u64(..100_000),
            cached: rng.u64(..1_000),
            cache_write: rng.u64(..500),
            cache_write_1h: rng.u64(..50),
            output: rng.u64(..9_000),
            reasoning: rng.u64(..300),
            audio_input: rng.u64(..90),
            audio_output: rng.u64(..90),
            tier: ServiceTier::NAMED[rng.usize(..6)],
        },
        usage_source: if rng.bool() { UsageSource::Provider } else { UsageSource::None },
        cost_nano_usd: rng.bool().then(|| rng.i64(0..5_000_000_000)),
        redacted_emails: rng.u32(..5),
        redacted_phones: rng.u32(..5),
        redacted_other: rng.u32(..5),
        attachments_dropped: rng.u32(..3),
        request: rng.bool().then(|| redacted(&request)),
        response: rng.bool().then(|| redacted(&response)),
        request_bytes: rng.u64(..1 << 40),
        response_bytes: rng.u64(..1 << 40),
        truncated: rng.bool(),
        category: rng.bool().then(|| "billing".to_owned()),
        priority: rng.bool().then(|| "high".to_owned()),
        confidence: rng.bool().then(|| f64::from(rng.u32(..1_000)) / 1_000.0),
        request_id: RequestId::from_client(format!("req-{seed}").as_bytes()).expect("id"),
        policy_version: Arc::from("0123456789ab"),
        calls: if outcome == Outcome::RateLimited { rng.u32(1..500) } else { 1 },
        price_version: rng.bool().then(|| Arc::from("2026-11-23.0123abcd")),
        attempts_detail: ["", "openai 503 120ms, azure ok 812ms"][rng.usize(..2)].to_owned(),
        translated: ["", "chat>anthropic"][rng.usize(..2)].to_owned(),
        answer_masked: rng.u32(..4),
        redaction_actions: ["", "count:phone=2,reject:iban=1"][rng.usize(..2)].to_owned(),
        dropped_fields: ["", "seed, ~temperature"][rng.usize(..2)].to_owned(),
        finish_reason: Cow::Borrowed(["", "end_turn"][rng.usize(..2)]),
        limited_by: Cow::Borrowed(["", "org:requests_per_minute", "provider"][rng.usize(..3)]),
        tags: tags(&mut rng),
        first_token_ms: rng.u32(..9_000),
        cost_parts: rng.bool().then(|| CostParts {
            input: rng.i64(0..1_000_000),
            cached: rng.i64(0..1_000_000),
            cache_write: rng.i64(0..1_000_000),
            output: rng.i64(0..1_000_000),
            saved: rng.i64(0..1_000_000),
        }),
        stop_requested: rng.bool(),
        max_tokens: rng.u32(..5_000),
        prompt_chars: rng.u32(..90_000),
        tool_calls: rng.u16(..5),
        client: ["", "openai-python/2.9.0"][rng.usize(..2)].to_owned(),
        prompt: rng.bool().then(|| redacted("Hé, \"wörld\"\n")),
        answer: rng.bool().then(|| redacted("🦀")),
        attempts_log: attempts(&mut rng),
        cache: ["", "hit", "miss"][rng.usize(..3)],
        downgraded: ["", "small"][rng.usize(..2)].into(),
        trace_id: rng.bool().then(|| TraceId::of([rng.u8(1..); 16]).expect("an id")),
        span_id: rng.bool().then(|| SpanId::of([rng.u8(1..); 8]).expect("an id")),
        parent_span_id: rng.bool().then(|| SpanId::of([rng.u8(1..); 8]).expect("an id")),
        traced: rng.bool().then(|| {
            let (state, method) = ("vendor=1".to_owned(), "POST".to_owned());
            Box::new(Traced { state, method, took_ns: seed, attempts: Vec::new() })
        }),
        shadow: ["", r#"{"version":"0","allowed":true}"#][rng.usize(..2)].to_owned(),
    }
}

/// A log in `dir` with the embedded store, and its metrics.
pub(crate) fn open(dir: &std::path::Path) -> (AiLog, Arc<Metrics>) {
    let metrics = Metrics::new();
    let log = AiLog::open(Options::new(dir, 0), StoreKind::Embedded, metrics.clone()).expect("log");
    (log, metrics)
}

/// The value of `tollgate_log_rows_total`.
pub(crate) fn count(metrics: &Metrics, result: &str) -> u64 {
    metrics.log_rows.with_label_values(&[result]).get()
}

/// The row by column names, from its encoded form.
pub(crate) fn as_json(row: &Row) -> serde_json::Map<String, serde_json::Value> {
    let mut out = Vec::new();
    columns::encode(row, &mut out);
    dead_letter::as_json(&out).expect("a row")
}

/// Whether a reader of a store that holds `rows` says what they say.
pub(crate) fn check_report(reader: &Reader, rows: &[Row]) {
    for by in [&[][..], &[Dim::Day], &[Dim::Org, Dim::Model], &Dim::ALL] {
        let lines = reader.summary(0, i64::MAX, by).expect("summary");
        assert!(!lines.is_empty());
        let sum = |of: &dyn Fn(&Summary) -> u64| lines.iter().map(of).sum::<u64>();
        let all = |of: &dyn Fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
        assert_eq!(sum(&|s| s.calls), all(&|r| u64::from(r.calls)));
        assert_eq!(sum(&|s| s.input_tokens), all(&|r| r.usage.input));
        assert_eq!(sum(&|s| s.cached_tokens), all(&|r| r.usage.cached));
        assert_eq!(sum(&|s| s.output_tokens), all(&|r| r.usage.output));
        assert_eq!(sum(&|s| s.cost_nano_usd as u64), all(&|r| r.cost_nano_usd.unwrap_or(0) as u64));
        assert_eq!(sum(&|s| s.attachments_dropped), all(&|r| u64::from(r.attachments_dropped)));
        assert_eq!(
            sum(&|s| s.redactions),
            all(&|r| u64::from(r.redacted_emails + r.redacted_phones + r.redacted_other))
        );
        assert!(
            lines
                .iter()
                .all(|s| s.key.len() == by.len() && s.p50_ms <= s.p95_ms && s.p95_ms <= s.p99_ms)
        );
        assert!(lines.is_sorted_by(|a, b| a.key < b.key), "in the order of the keys");
    }
    let all = reader.summary(0, i64::MAX, &[Dim::Org]).expect("summary");
    for most in [1, all.len() - 1, all.len(), all.len() + 1] {
        let report = reader.report((0, i64::MAX), &[Dim::Org], &Days::UTC, most).expect("report");
        assert_eq!(
            (report.lines.len(), report.is_cut),
            (most.min(all.len()), most < all.len()),
            "at most {most}"
        );
        assert_eq!(report.lines, all[..report.lines.len()]);
    }
    let mut latencies: Vec<u64> = rows.iter().map(|r| u64::from(r.latency_ms)).collect();
    latencies.sort_unstable();
    let line = &reader.summary(0, i64::MAX, &[]).expect("summary")[0];
    // As near as the digests are.
    let percentile = |p: usize| {
        let exact = latencies[(p * latencies.len()).div_ceil(100) - 1];
        u64::from(digest::value(digest::bucket(exact as u32)))
    };
    assert_eq!(
        (line.p50_ms, line.p95_ms, line.p99_ms),
        (percentile(50), percentile(95), percentile(99))
    );

    let mut newest: Vec<&Row> = rows.iter().collect();
    newest.sort_by_key(|r| std::cmp::Reverse((r.created_at_ms, r.id)));
    let logs = reader.logs(&Filter::default(), 50).expect("logs");
    let expected: Vec<_> = newest.iter().take(50).map(|r| as_json(r)).collect();
    assert_eq!(logs, expected);
    assert!(logs[0].keys().eq(expected[0].keys()));

    let mut filter = Filter {
        from_ms: Some(newest[300].created_at_ms),
        to_ms: Some(newest[10].created_at_ms),
        ..Filter::default()
    };
    assert!(
        filter.and("org_id", "acme")
            && filter.and("status", &newest[100].status.to_string())
            && !filter.and("calls; --", "")
    );
    let range = newest[300].created_at_ms..newest[10].created_at_ms;
    let expected: Vec<_> = newest
        .iter()
        .filter(|r| {
            range.contains(&r.created_at_ms)
                && r.org_id.as_str() == "acme"
                && r.status == newest[100].status
        })
        .map(|r| as_json(r))
        .collect();
    assert_eq!(reader.logs(&filter, 50).expect("logs"), expected);

    let mut tagged = Filter::default();
    assert!(tagged.and("tag", "team:blue \"sky\"") && !tagged.and("tag", "team"));
    let expected: Vec<_> = newest
        .iter()
        .filter(|row| row.tags.iter().any(|tag| &*tag.name == "team"))
        .take(100)
        .map(|row| as_json(row))
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(reader.logs(&tagged, 100).expect("logs"), expected);
    tagged.and("tag", "feature:none");
    assert!(reader.logs(&tagged, 100).expect("logs").is_empty());
}
