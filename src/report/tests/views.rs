//! Days of time zones and the views, against brute force over random rows: to the call, the token
//! and the nano-dollar.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tollgate_wire::usage::UsageSource;

use crate::ailog::columns::iso;
use crate::ailog::row::{Outcome, Row};
use crate::ailog::store::digest;
use crate::ailog::tests::{SOON, open, row};
use crate::config::policy::StoreKind;
use crate::report::{Days, Dim, Reader};

/// Rows of a year in which clocks are set forward and back, many of them around midnights and
/// around those hours.
pub(crate) fn rows() -> Vec<Row> {
    let mut rng = fastrand::Rng::with_seed(7);
    // Hours in which offsets change: Berlin, New York, Lord Howe (half an hour), Apia; 2026.
    let changes = [
        1_774_746_000_000,
        1_792_890_000_000,
        1_772_953_200_000,
        1_793_512_800_000,
        1_775_314_800_000,
    ];
    let begin = 1_767_225_600_000;
    let mut at = |seed: u64| match seed % 3 {
        0 => begin + rng.i64(0..31_536_000_000),
        1 => changes[rng.usize(..5)] + rng.i64(-7_200_000..7_200_000),
        // Midnight of some offset, to the millisecond.
        _ => begin + rng.i64(0..365) * 86_400_000 + rng.i64(-48..56) * 900_000 + rng.i64(-2..2),
    };
    (0..3_000).map(|seed| Row { created_at_ms: at(seed), ..row(seed) }).collect()
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Marquesas",
    "Africa/Casablanca",
];

/// Whether sums by day are those of the zone's days.
pub(crate) fn check_days(reader: &Reader, rows: &[Row]) {
    let (from, to) = (1_767_139_200_000, 1_798_848_000_000);
    for name in ZONES {
        let zone = TimeZone::get(name).expect("a zone");
        let day = |row: &Row| {
            Timestamp::from_millisecond(row.created_at_ms)
                .expect("a time")
                .to_zoned(zone.clone())
                .date()
                .to_string()
        };
        let mut expected: BTreeMap<Vec<String>, (u64, i64)> = BTreeMap::new();
        for row in rows {
            let sums = expected.entry(vec![day(row), row.org_id.as_str().to_owned()]).or_default();
            sums.0 += u64::from(row.calls);
            sums.1 += row.cost_nano_usd.unwrap_or(0);
        }
        let lines = reader
            .report((from, to), &[Dim::Day, Dim::Org], &Days::of(&zone, from, to), 10_000)
            .expect("summary")
            .lines;
        let found: BTreeMap<_, _> =
            lines.into_iter().map(|l| (l.key, (l.calls, l.cost_nano_usd))).collect();
        assert_eq!(found, expected, "{name}");
    }
}

fn day(row: &Row) -> String {
    iso(row.created_at_ms)[..10].to_owned()
}

fn is_error(row: &Row) -> bool {
    matches!(row.outcome, Outcome::ProviderError | Outcome::Timeout | Outcome::Refused)
}

fn nano(row: &Row) -> i64 {
    row.cost_nano_usd.unwrap_or(0)
}

/// Rows that agree in a key, in the order of the keys.
fn groups<'a, K: Ord>(rows: &'a [Row], key: impl Fn(&'a Row) -> K) -> BTreeMap<K, Vec<&'a Row>> {
    let mut groups: BTreeMap<K, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(key(row)).or_default().push(row));
    groups
}

fn sum(rows: &[&Row], of: impl Fn(&Row) -> i64) -> String {
    rows.iter().map(|row| of(row)).sum::<i64>().to_string()
}

/// `day, org_id, calls, cost (10⁻⁹ USD), tokens, unpriced_calls`.
pub(crate) fn cost_by_org_day(rows: &[Row]) -> Vec<Vec<String>> {
    let line = |((day, org), rows): ((String, String), Vec<&Row>)| {
        let unpriced =
            |row: &Row| row.cost_nano_usd.is_none() && row.usage_source != UsageSource::None;
        vec![
            day,
            org,
            sum(&rows, |r| i64::from(r.calls)),
            sum(&rows, nano),
            sum(&rows, |r| (r.usage.input + r.usage.output) as i64),
            sum(&rows, |r| if unpriced(r) { i64::from(r.calls) } else { 0 }),
        ]
    };
    groups(rows, |row| (day(row), row.org_id.as_str().to_owned())).into_iter().map(line).collect()
}

/// `hour, org_id, provider, model, outcome, status, error_code, calls, last_request_id, all_calls`.
pub(crate) fn errors_hourly(rows: &[Row]) -> Vec<Vec<String>> {
    let failed: Vec<Row> = rows.iter().filter(|row| is_error(row)).cloned().collect();
    let key = |row: &Row| {
        let hour = iso(row.created_at_ms)[..13].to_owned() + ":00:00Z";
        let code = row.error_code.map_or("", |code| code.as_str());
        let names = [row.org_id.as_str(), &row.provider, &row.model, row.outcome.as_str()]
            .map(str::to_owned);
        (hour, names, row.status, code)
    };
    let of_hour = groups(rows, |row| {
        let hour = iso(row.created_at_ms)[..13].to_owned() + ":00:00Z";
        (hour, [row.org_id.as_str(), &row.provider, &row.model].map(str::to_owned))
    });
    let line =
        |((hour, names, status, code), rows): ((String, [String; 4], u16, &str), Vec<&Row>)| {
            let [org, provider, model, _] = names.clone();
            let all = &of_hour[&(hour.clone(), [org, provider, model])];
            let newest = rows
                .iter()
                .max_by_key(|row| (row.created_at_ms, row.id.to_string()))
                .expect("a row");
            let mut line = vec![hour];
            line.extend(names);
            line.extend([status.to_string(), code.to_owned(), sum(&rows, |r| i64::from(r.calls))]);
            line.push(newest.request_id.as_str().to_owned());
            line.push(sum(all, |r| i64::from(r.calls)));
            line
        };
    groups(&failed, key).into_iter().map(line).collect()
}

/// `day, org_id, provider, model, route, calls, errors, rate_limited, input_tokens, output_tokens,
/// cost (10⁻⁹ USD), p50, p95, p99`.
pub(crate) fn daily_summary(rows: &[Row]) -> Vec<Vec<String>> {
    let key = |row: &Row| {
        [day(row).as_str(), row.org_id.as_str(), &row.provider, &row.model, row.route.as_str()]
            .map(str::to_owned)
    };
    let line = |(key, rows): ([String; 5], Vec<&Row>)| {
        let calls = |row: &Row| i64::from(row.calls);
        let limited = |row: &Row| if row.outcome == Outcome::RateLimited { calls(row) } else { 0 };
        let mut latencies: Vec<u32> = rows.iter().map(|row| row.latency_ms).collect();
        latencies.sort_unstable();
        let percentile = |p: usize| {
            let exact = latencies[(p * latencies.len()).div_ceil(100) - 1];
            digest::value(digest::bucket(exact)).to_string()
        };
        let mut line = key.to_vec();
        line.extend([
            sum(&rows, calls),
            sum(&rows, |r| if is_error(r) { calls(r) } else { 0 }),
            sum(&rows, limited),
            sum(&rows, |r| r.usage.input as i64),
            sum(&rows, |r| r.usage.output as i64),
            sum(&rows, nano),
            percentile(50),
            percentile(95),
            percentile(99),
        ]);
        line
    };
    groups(rows, key).into_iter().map(line).collect()
}

fn lines(dir: &Path, sql: &str) -> Vec<Vec<String>> {
    let database = Connection::open(dir.join("tollgate.db")).expect("database");
    let mut statement = database.prepare(sql).expect("sql");
    let columns = statement.column_count();
    let mut found = statement.query([]).expect("query");
    let mut lines = Vec::new();
    while let Some(row) = found.next().expect("row") {
        let text = |at: usize| match row.get_ref(at).expect("value") {
            ValueRef::Integer(n) => n.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{other:?}"),
        };
        lines.push((0..columns).map(text).collect());
    }
    lines
}

#[test]
fn days_and_views_are_what_brute_force_finds() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    let rows = rows();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    check_days(&Reader::open(&StoreKind::Embedded, dir.path()).expect("reader"), &rows);
    let lines = |sql: &str| lines(dir.path(), sql);
    let cost =
        "SELECT day, org_id, calls, CAST(round(coalesce(cost_usd, 0) * 1e9) AS INTEGER), tokens, \
         unpriced_calls
                FROM cost_by_org_day ORDER BY 1, 2";
    assert_eq!(lines(cost), cost_by_org_day(&rows));
    let errors = "SELECT hour, org_id, provider, model, outcome, status, error_code, calls, \
                  last_request_id, all_calls FROM errors_hourly ORDER BY 1, 2, 3, 4, 5, 6, 7";
    assert_eq!(lines(errors), errors_hourly(&rows));
    let daily = "SELECT day, org_id, provider, model, route, calls, errors, rate_limited, \
        input_tokens, output_tokens,
                        CAST(round(coalesce(cost_usd, 0) * 1e9) AS INTEGER), p50_ms, p95_ms, \
                        p99_ms FROM \
                        daily_summary ORDER BY 1, 2, 3, 4, 5";
    assert_eq!(lines(daily), daily_summary(&rows));
}
