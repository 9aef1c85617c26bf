//! Ten thousand mixed calls: the same totals in the rows, the roll-ups, the views and the reports,
//! with any filter, at any hour.

use std::collections::BTreeMap;
use std::path::Path;

use super::queries::embedded;
use crate::ailog::columns::iso;
use crate::ailog::row::{Outcome, Row};
use crate::ailog::tests::{SOON, open, row};
use crate::config::policy::StoreKind;
use crate::report::{Days, Dim, Figure, Filter, Part, Question, Reader, Search, Summary};

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

/// Whether the largest groups are those of the whole answer, part by part, with the same figures.
pub(crate) fn check_largest(reader: &Reader) {
    let begin = 1_793_491_200_000;
    // Days, hours by group, hours one by one, and less than one.
    for length in [4 * 86_400_000, 86_400_000, 1_000_000] {
        let stretch = (begin + 1_000_000, begin + 1_000_007 + length);
        for by in [&[Dim::Org, Dim::Model][..], &[Dim::Hour], &[Dim::Caller], &[Dim::Minute]] {
            let question = Question { stretch, by, only: &[], days: &Days::UTC };
            let all = reader.answer(&question, 100_000).expect("an answer").lines;
            let figures = ["cost_usd", "errors", "calls", "saved_by_cache_usd"];
            let figures = if by.len() > 1 { &figures[..] } else { &figures[..1] };
            for name in figures.iter().copied() {
                check_largest_of(reader, &question, &all, name);
            }
        }
    }
    assert_eq!(Figure::parse("calls; --"), None);
}

fn check_largest_of(reader: &Reader, question: &Question<'_>, all: &[Summary], name: &str) {
    let of = |line: &Summary| match name {
        "calls" => line.calls as i64,
        "errors" => line.errors as i64,
        "cost_usd" => line.cost_nano_usd,
        _ => line.saved_by_cache_nano_usd,
    };
    let mut expected = all.to_vec();
    expected.sort_by_key(|line| (std::cmp::Reverse(of(line)), line.key.clone()));
    let largest = Figure::parse(name);
    let whole = Part { largest, skip: 0, most: 100_000, percentiles: true };
    let found = reader.part(question, &whole).expect("all lines").lines;
    assert_eq!(found, expected, "all of {question:?} by {name}");
    let mut found = Vec::new();
    loop {
        let part = Part { largest, skip: found.len(), most: 7, percentiles: true };
        let report = reader.part(question, &part).expect("a part");
        found.extend(report.lines);
        if !report.is_cut || found.len() >= 21 {
            break;
        }
    }
    expected.truncate(21);
    assert_eq!(found, expected, "{question:?} by {name}");
}

/// Whether a search finds the rows that have the text, and says nothing of texts without the right
/// to see them.
pub(crate) fn check_search(reader: &Reader, rows: &[Row]) {
    let text = |row: &Row| {
        let parts = [&row.request, &row.response, &row.prompt, &row.answer];
        let parts = parts.into_iter().flatten().map(|part| part.as_bytes().to_vec());
        parts.map(|bytes| String::from_utf8_lossy(&bytes).to_lowercase()).collect::<Vec<_>>()
    };
    let find = |wanted: &str, in_texts: bool, org: &str| {
        let search = Some(Search { text: wanted.to_owned(), in_texts });
        let orgs = if org.is_empty() { vec![] } else { vec![org.to_owned()] };
        let filter = Filter { search, orgs, ..Filter::default() };
        let found = reader.page(&filter, 10_000, usize::MAX).expect("a page");
        assert_eq!(found.searched_to_ms, None, "all of these rows are looked through in time");
        let mut ids: Vec<String> =
            found.rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    let expected = |fits: &dyn Fn(&Row) -> bool| {
        let mut ids: Vec<String> =
            rows.iter().filter(|row| fits(row)).map(|row| row.id.to_string()).collect();
        ids.sort();
        ids
    };
    let crab = |row: &Row| text(row).iter().any(|text| text.contains('🦀'));
    assert!(!find("🦀", true, "").is_empty());
    let in_name = |row: &Row| row.model.contains('🦀');
    assert_eq!(find("🦀", true, ""), expected(&|row| crab(row) || in_name(row)));
    assert_eq!(find("🦀", false, ""), expected(&in_name), "no word of a text");
    let of_acme = |row: &Row| row.org_id.as_str() == "acme";
    assert_eq!(
        find("🦀", true, "acme"),
        expected(&|row| of_acme(row) && (crab(row) || in_name(row)))
    );
    assert_eq!(find("AUTH0|4711", false, ""), expected(&|row| &*row.caller == "auth0|4711"));
    // The marks of patterns stand for themselves.
    assert!(find("%_%", false, "").is_empty() && find("au_h0", false, "").is_empty());
    let one = rows[77].id.to_string();
    assert_eq!(find(&one[..35], false, ""), [one]);
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
    check_largest(&reader);
    check_search(&reader, &rows);
    crate::cli::export::tests::check(&reader, &rows);
}
