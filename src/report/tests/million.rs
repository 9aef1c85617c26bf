//! By hand: a log of a million rows, and how long the questions of the operators' pages take.
//!
//!     TOLLGATE_ROWS=1000000 TOLLGATE_DATA=/tmp/rows cargo test --lib by_hand_ -- --ignored
//!     --nocapture
//!
//! The rows lie in the last thirty days, of two hundred organisations, eight models and three
//! providers; each has captured texts. The folder can be the `data_dir` of a gateway afterwards.
//! A folder that has rows already is only asked.

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tollgate_wire::usage::{ServiceTier, TokenUsage, UsageSource};

use crate::ailog::row::{Outcome, Row};
use crate::ailog::tests::{SOON, open, redacted, row};
use crate::clock::{Clock, wall_ms};
use crate::code::Code;
use crate::config::policy::StoreKind;
use crate::ids::OrgId;
use crate::report::{Days, Dim, Figure, Filter, Part, Question, Reader, Search};

const DAY_MS: i64 = 86_400_000;

/// Name, stretch, groups, conditions and order of a question.
type Asked<'a> = (&'a str, (i64, i64), &'a [Dim], &'a [(Dim, String)], Option<Figure>);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// One of `count` names, the first ones more often.
fn skewed(rng: &mut fastrand::Rng, count: u64) -> u64 {
    let part = rng.f64();
    (part * part * part * count as f64) as u64
}

fn call(rng: &mut fastrand::Rng, seed: u64, now: i64) -> Row {
    let models = [
        ("openai", "gpt-4o-mini"),
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("openai", "gpt-4.1"),
        ("anthropic", "claude-haiku-4-5"),
        ("gemini", "gemini-2.5-pro"),
        ("openai", "o3"),
        ("gemini", "gemini-2.5-flash"),
    ];
    let (provider, model) = models[skewed(rng, 8) as usize];
    let outcome = match rng.u32(..100) {
        0..=93 => Outcome::Ok,
        94 | 95 => Outcome::ProviderError,
        96 => Outcome::Timeout,
        97 => Outcome::RateLimited,
        98 => Outcome::ClientError,
        _ => Outcome::ClientDisconnect,
    };
    let text = redacted("a text of some length, so that rows are like those of a real log");
    Row {
        created_at_ms: now - rng.i64(0..30 * DAY_MS),
        org_id: OrgId::new(&format!("org-{:03}", skewed(rng, number("TOLLGATE_ORGS", 200))))
            .expect("name"),
        caller: Arc::from(format!("service-{}", rng.u32(..5))),
        provider: Arc::from(provider),
        model: model.to_owned(),
        response_model: model.to_owned(),
        outcome,
        status: if outcome == Outcome::Ok { 200 } else { 503 },
        error_code: (outcome == Outcome::RateLimited).then_some(Code::RateLimitExceeded),
        latency_ms: 200 + rng.u32(..3_000),
        category: None,
        priority: None,
        usage_source: UsageSource::Provider,
        usage: TokenUsage { tier: ServiceTier::NAMED[0], ..row(seed).usage },
        request: Some(text.clone()),
        response: Some(text),
        ..row(seed)
    }
}

#[test]
#[ignore = "needs a folder for a million rows; run by hand"]
fn by_hand_a_million_rows_are_asked() {
    let data: PathBuf = std::env::var("TOLLGATE_DATA").expect("TOLLGATE_DATA=FOLDER").into();
    let (clock, now) = (Clock::start(), wall_ms());
    if !data.join("tollgate.db").exists() {
        let (log, _) = open(&data);
        let mut rng = fastrand::Rng::with_seed(11);
        for seed in 0..number("TOLLGATE_ROWS", 1_000_000) {
            log.append(&call(&mut rng, seed, now));
            while seed % 20_000 == 0 && !log.flush(SOON) {}
        }
        while !log.flush(SOON) {}
    }
    let reader = Reader::open(&StoreKind::Embedded, &data).expect("reader");
    let time = |name: &str, ask: &mut dyn FnMut() -> usize| {
        let begun = clock.now();
        let lines = ask();
        println!(
            "{:>7.0} ms  {lines:>6} lines  {name}",
            clock.now().since(begun).as_secs_f64() * 1e3
        );
    };
    let month = (now - 30 * DAY_MS, now);
    let cost = Figure::parse("cost_usd");
    let questions: [Asked<'_>; 10] = [
        ("30 days", month, &[], &[], None),
        ("30 days by day", month, &[Dim::Day], &[], None),
        ("30 days by org", month, &[Dim::Org], &[], cost),
        ("30 days by model", month, &[Dim::Model], &[], cost),
        ("30 days by outcome, error", month, &[Dim::Outcome, Dim::Error], &[], None),
        ("30 days by day, one org", month, &[Dim::Day], &[(Dim::Org, "org-007".into())], None),
        ("7 days by hour", (now - 7 * DAY_MS, now), &[Dim::Hour], &[], None),
        ("6 hours by minute", (now - DAY_MS / 4, now), &[Dim::Minute], &[], None),
        ("30 days by caller", month, &[Dim::Caller], &[], cost),
        ("30 days by day, org, model", month, &[Dim::Day, Dim::Org, Dim::Model], &[], None),
    ];
    for (name, stretch, by, only, largest) in questions {
        time(name, &mut || {
            let question = Question { stretch, by, only, days: &Days::UTC };
            let most = if largest.is_some() { 10 } else { 10_000 };
            let part = Part { largest, skip: 0, most, percentiles: true };
            reader.part(&question, &part).expect("an answer").lines.len()
        });
    }
    let filter = |pairs: &[(&str, &str)], search: Option<(&str, bool)>| {
        let mut filter = Filter { to_ms: Some(now), ..Filter::default() };
        assert!(pairs.iter().all(|(name, value)| filter.and(name, value)));
        filter.search = search.map(|(text, in_texts)| Search { text: text.to_owned(), in_texts });
        filter
    };
    for (name, filter) in [
        ("newest rows", filter(&[], None)),
        ("rows of one org", filter(&[("org_id", "org-190")], None)),
        ("rows of no org", filter(&[("org_id", "nobody")], None)),
        ("rows of one outcome", filter(&[("outcome", "timeout")], None)),
        ("rows of one request", filter(&[("request_id", "nothing")], None)),
        ("search that finds", filter(&[], Some(("org-19", true)))),
        ("search that finds nothing", filter(&[], Some(("zzzzz", true)))),
        ("the same without texts", filter(&[], Some(("zzzzz", false)))),
    ] {
        time(name, &mut || reader.page(&filter, 50, 512 << 10).expect("a page").rows.len());
    }
    let file = Connection::open(data.join("tollgate.db")).expect("the file");
    for view in ["cost_by_org_day", "daily_summary", "cache_savings", "unpriced_models"] {
        let mut ask = file.prepare(&format!("SELECT * FROM {view}")).expect("a view");
        for _ in 0..3 {
            time(view, &mut || {
                let mut rows = ask.query([]).expect("rows");
                std::iter::from_fn(|| rows.next().expect("a row").map(|_| ())).count()
            });
        }
    }
}
