//! Pricing stored rows again: every row against its own arithmetic, in both stores.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tollgate_wire::usage::{ServiceTier, UsageSource};

use crate::ailog::AiLog;
use crate::ailog::row::Row;
use crate::ailog::tests::{SOON, open, row};
use crate::config::policy::StoreKind;
use crate::cost::{Call, Price, PriceList, Rates};
use crate::money::usd;
use crate::report::reprice::{Repriced, reprice};
use crate::report::{Dim, Filter, ReadError, Reader};

/// Rows of models with and without a price, priced by an older list, by a former version, or not at
/// all.
fn rows() -> Vec<Row> {
    let models = ["gpt-4o-mini", "claude-opus-4-5", "gpt-5", "nobody-knows", "own"];
    let tiers = [
        ServiceTier::Unknown,
        ServiceTier::Standard,
        ServiceTier::Flex,
        ServiceTier::Priority,
        ServiceTier::Other,
    ];
    let pick = |seed: u64| {
        let mut row = row(seed);
        let at = seed as usize;
        row.model = models[at % 5].to_owned();
        row.response_model = if at.is_multiple_of(3) {
            String::new()
        } else {
            format!("{}-2025-08-07", models[at / 5 % 5])
        };
        row.usage.tier = tiers[at / 2 % 5];
        if !at.is_multiple_of(4) {
            (row.usage.audio_input, row.usage.audio_output) = (0, 0);
        }
        row.usage_source =
            [UsageSource::Provider, UsageSource::Estimated, UsageSource::None][at / 7 % 3];
        row.cost_nano_usd =
            (!at.is_multiple_of(6)).then_some(i64::try_from(seed).expect("small") * 1_000_003);
        row.price_version = (at % 6 > 1).then(|| Arc::from("2025-01-01.00000000"));
        row
    };
    (0..2_500).map(pick).collect()
}

fn prices() -> PriceList {
    let rates = Rates {
        cached: 1,
        cache_write: 7,
        cache_write_1h: 11,
        audio_input: Some(17),
        audio_output: Some(19),
        ..Rates::of(3, 13)
    };
    let big = |n: u64| n * 123_456_789;
    let rates = Rates {
        cached: big(rates.cached),
        cache_write: big(rates.cache_write),
        cache_write_1h: big(rates.cache_write_1h),
        audio_input: rates.audio_input.map(big),
        audio_output: rates.audio_output.map(big),
        ..Rates::of(big(rates.input), big(rates.output))
    };
    let own = Price {
        provider: String::new(),
        model: "own*".to_owned(),
        above: 0,
        tier: None,
        from_ms: 0,
        rates,
    };
    PriceList::built_in_with(vec![
        Price { above: 50_000, rates: Rates { input: 1, ..rates }, ..own.clone() },
        own,
    ])
}

/// Appends rows to the log, prices them again, and checks each.
pub(crate) fn check(log: &AiLog, store: &StoreKind, dir: &Path) {
    let (rows, prices) = (rows(), prices());
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    let mut expected: HashMap<String, (Option<i64>, String)> = HashMap::new();
    let mut sums = Repriced { rows: rows.len() as u64, ..Repriced::default() };
    for row in &rows {
        let version = row.price_version.as_deref().unwrap_or_default();
        let mut after = (row.cost_nano_usd, version.to_owned());
        let call = Call {
            provider: &row.provider,
            response_model: &row.response_model,
            model: &row.model,
            usage: row.usage,
            at_ms: row.created_at_ms,
        };
        if row.usage_source == UsageSource::None {
            sums.without_usage += 1;
        } else if row.cost_nano_usd.is_some() && version.is_empty() {
            sums.former += 1;
        } else if let Some(nano) = prices.of_call(&call).map(|cost| cost.total) {
            sums.before_nano += i128::from(row.cost_nano_usd.unwrap_or(0));
            sums.after_nano += i128::from(nano);
            sums.changed += 1;
            after = (Some(nano), prices.version().to_string());
        } else {
            sums.unpriced += 1;
        }
        expected.insert(row.id.to_string(), after);
    }
    assert!(
        sums.changed > 500 && sums.former > 100 && sums.unpriced > 100 && sums.without_usage > 500,
        "{sums:?}"
    );

    let window = (rows.iter().map(|r| r.created_at_ms).min().expect("rows"), i64::MAX / 2);
    let run = |dry_run: bool| {
        reprice(store, dir, &prices, window, dry_run, &mut |_| {}).expect("priced again")
    };
    let stored = || {
        let reader = Reader::open(store, dir).expect("reader");
        reader.logs(&Filter::default(), 10_000).expect("logs")
    };
    let before = stored();
    assert_eq!(run(true), sums);
    assert_eq!(stored(), before, "a dry run changes nothing");
    // Two at once: the second begins and ends in the middle of the first, and neither disturbs the
    // other.
    let mut second = None;
    let mut begin_second = |_: &Repriced| {
        second.get_or_insert_with(|| run(false));
    };
    assert_eq!(
        reprice(store, dir, &prices, window, false, &mut begin_second).expect("priced again").rows,
        sums.rows
    );
    assert_eq!(second.expect("it ran").rows, sums.rows);
    let after = stored();
    assert_eq!(after.len(), rows.len());
    for (row, before) in after.iter().zip(&before) {
        let (nano, version) = &expected[row["id"].as_str().expect("id")];
        assert_eq!(
            row["cost_usd"].as_f64().map(|usd| format!("{usd:.9}")),
            nano.map(exact),
            "{row:?}"
        );
        assert_eq!(row["price_version"], version.as_str());
        for (name, value) in row {
            assert!(
                value == &before[name] || (name.ends_with("_usd") || name == "price_version"),
                "{name}"
            );
        }
    }
    // The money of a report is that of the rows, and a second time there is nothing to do.
    let lines =
        Reader::open(store, dir).expect("reader").summary(0, i64::MAX, &[]).expect("summary");
    let all: i64 = expected.values().filter_map(|(nano, _)| *nano).sum();
    assert_eq!(lines[0].cost_nano_usd, all, "{}", usd(all));
    let hours = [Dim::Hour, Dim::Org, Dim::Caller, Dim::Outcome];
    let lines = Reader::open(store, dir).expect("reader").summary(0, i64::MAX, &hours);
    let of_hours: i64 = lines.expect("summary").iter().map(|line| line.cost_nano_usd).sum();
    assert_eq!(of_hours, all, "the roll-ups are priced again, too");
    let again = run(false);
    assert_eq!((again.changed, again.renamed, again.before_nano), (0, 0, sums.after_nano));
}

/// Prices everything again.
pub(crate) fn run(store: &StoreKind, dir: &Path, dry_run: bool) -> Result<Repriced, ReadError> {
    reprice(store, dir, &prices(), (0, i64::MAX / 2), dry_run, &mut |_| {})
}

/// Nine digits after the point, as they are.
fn exact(nano: i64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

#[test]
fn rows_are_priced_again_to_the_nano_dollar() {
    let dir = tempfile::tempdir().expect("dir");
    let nothing =
        reprice(&StoreKind::Embedded, dir.path(), &prices(), (0, i64::MAX), false, &mut |_| {});
    assert_eq!(nothing.expect("no store yet"), Repriced::default());
    let (log, _) = open(dir.path());
    check(&log, &StoreKind::Embedded, dir.path());
}

#[test]
fn only_rows_of_the_days_asked_for_are_priced_again() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    let rows = rows();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    let (from, to) = (1_793_577_600_000, 1_793_664_000_000);
    let within = rows.iter().filter(|row| (from..to).contains(&row.created_at_ms)).count() as u64;
    assert!(within > 0 && within < rows.len() as u64);
    // While the log is open, and its writer with it.
    let done = reprice(&StoreKind::Embedded, dir.path(), &prices(), (from, to), false, &mut |_| {})
        .expect("done");
    assert_eq!(done.rows, within);
    log.append(&row(9_999));
    assert!(log.flush(SOON));
}
