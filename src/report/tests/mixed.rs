//! Ten thousand mixed calls: the same totals in the rows, the roll-ups, the views and the reports,
//! with any filter, at any hour.

use std::collections::BTreeMap;
use std::path::Path;

use super::queries::embedded;
use crate::ailog::columns::iso;
use crate::ailog::row::{Outcome, Row};
use crate::ailog::tests::{SOON, open, row};
use crate::config::policy::StoreKind;
use crate::report::{Days, Dim, Question, Reader, Summary};

const CALLS: u64 = 10_000;

/// The calls, over five days.
pub(crate) fn rows() -> Vec<Row> {
    let mut rng = fastrand::Rng::with_seed(3);
    let begin = 1_793_491_200_000;
    (0..CALLS)
        .map(|seed| Row { created_at_ms: begin + rng.i64(0..5 * 86_400_000), ..row(seed) })
        .collect()
}

/// Calls, tokens in and out, and 10⁻⁹ USD.
pub(crate) type Totals = (u64, u64, u64, i64);

pub(crate) fn totals<'a>(rows: impl Iterator<Item = &'a Row>) -> Totals {
    rows.fold((0, 0, 0, 0), |sums, row| {
        (
            sums.0 + u64::from(row.calls),
            sums.1 + row.usage.input,
            sums.2 + row.usage.output,
            sums.3 + row.cost_nano_usd.unwrap_or(0),
        )
    })
}

fn of_lines(lines: &[Summary]) -> Totals {
    lines.iter().fold((0, 0, 0, 0), |sums, line| {
        (
            sums.0 + line.calls,
            sums.1 + line.input_tokens,
            sums.2 + line.output_tokens,
            sums.3 + line.cost_nano_usd,
        )
    })
}

/// Whether the answers of a reader are those of the rows.
pub(crate) fn check(reader: &Reader, rows: &[Row]) {
    let mut rng = fastrand::Rng::with_seed(5);
    let begin = 1_793_491_200_000;
    let tag = || Dim::Tag("feature".into());
    let groups: [&[Dim]; 8] = [
        &[],
        &[Dim::Day],
        &[Dim::Hour, Dim::Org],
        &[Dim::Outcome, Dim::Error],
        &[Dim::Caller, Dim::Model],
        &[Dim::Limit],
        &[tag()],
        &[Dim::Day, Dim::Provider, Dim::Route],
    ];
    let feature = |row: &Row| {
        let tag = row.tags.iter().find(|tag| &*tag.name == "feature");
        tag.map_or_else(String::new, |tag| {
            String::from_utf8_lossy(tag.value.as_bytes()).into_owned()
        })
    };
    for round in 0..24 {
        let stretch = match round % 3 {
            0 => (begin + rng.i64(0..200) * 1_800_000, begin + rng.i64(100..240) * 1_800_000),
            1 => (begin + rng.i64(0..400_000_000), begin + rng.i64(0..400_000_000)),
            _ => (begin - 86_400_000, begin + 6 * 86_400_000),
        };
        let only: Vec<(Dim, String)> = match round % 4 {
            0 => vec![],
            1 => vec![(Dim::Outcome, "ok".to_owned()), (Dim::Org, "acme".to_owned())],
            2 => vec![(tag(), "Übersicht".to_owned())],
            _ => vec![(Dim::Caller, "ci".to_owned()), (Dim::Caller, "auth0|4711".to_owned())],
        };
        let expected: Vec<&Row> = rows
            .iter()
            .filter(|row| (stretch.0..stretch.1).contains(&row.created_at_ms))
            .filter(|row| match round % 4 {
                0 => true,
                1 => row.outcome == Outcome::Ok && row.org_id.as_str() == "acme",
                2 => feature(row) == "Übersicht",
                _ => !row.caller.is_empty(),
            })
            .collect();
        for by in groups {
            let question = Question { stretch, by, only: &only, days: &Days::UTC };
            let lines = reader.answer(&question, 10_000).expect("an answer").lines;
            assert_eq!(of_lines(&lines), totals(expected.iter().copied()), "{question:?}");
        }
        let by = [tag(), Dim::Hour];
        let question = Question { stretch, by: &by, only: &only, days: &Days::UTC };
        let lines = reader.answer(&question, 10_000).expect("an answer").lines;
        let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
        for row in &expected {
            let hour = iso(row.created_at_ms)[..13].to_owned() + ":00:00Z";
            groups.entry(vec![feature(row), hour]).or_default().push(row);
        }
        let found: BTreeMap<_, _> = lines
            .iter()
            .map(|line| (line.key.clone(), of_lines(std::slice::from_ref(line))))
            .collect();
        let expected: BTreeMap<_, _> =
            groups.into_iter().map(|(key, rows)| (key, totals(rows.into_iter()))).collect();
        assert_eq!(found, expected);
    }
}

fn number(dir: &Path, sql: &str) -> i64 {
    let lines = embedded(dir, sql);
    lines[0][0].as_deref().expect("a value").parse().expect("a whole number")
}

#[test]
fn rows_rollups_views_and_reports_have_the_same_totals() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    let rows = rows();
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    let (calls, input, output, nano) = totals(rows.iter());
    let tables = [
        ("ai_log", "sum(cost_nano_usd)"),
        ("ai_hourly", "sum(cost_nano_usd)"),
        ("ai_daily", "sum(cost_nano_usd)"),
        ("hourly", "CAST(round(sum(cost_usd) * 1e9) AS INTEGER)"),
        ("daily_summary", "CAST(round(sum(cost_usd) * 1e9) AS INTEGER)"),
    ];
    for (name, cost) in tables {
        for (sum, expected) in [
            ("sum(calls)", calls as i64),
            ("sum(input_tokens)", input as i64),
            ("sum(output_tokens)", output as i64),
            (cost, nano),
        ] {
            assert_eq!(
                number(dir.path(), &format!("SELECT {sum} FROM {name}")),
                expected,
                "{name}"
            );
        }
    }
    let reader = Reader::open(&StoreKind::Embedded, dir.path()).expect("reader");
    check(&reader, &rows);
    crate::cli::export::tests::check(&reader, &rows);
}
