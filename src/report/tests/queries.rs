//! The queries of `docs/ailog.md` on the embedded store, each with at least one line of result.
//! `src/ailog/tests/clickhouse.rs` runs the same on ClickHouse and compares the lines.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::ailog::columns::iso;
use crate::ailog::row::{Outcome, Row};
use crate::ailog::tests::{SOON, open};
use crate::ailog::{AiLog, LimitInForce};
use crate::clock::Clock;
use crate::glob::Glob;
use crate::report::tests::views::rows;

/// The query for one call has this id.
const EXAMPLE_ID: &str = "req_ag74Jk1YxoVlKpUtHGUFmpHY";
/// Queries for one day have this day.
const EXAMPLE_DAY: &str = "2026-11-28";

/// The queries in their order. They ask for the call and the day of the last failure in November.
pub(crate) fn queries(rows: &[Row]) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ailog.md");
    let page = std::fs::read_to_string(page).expect("docs/ailog.md");
    assert!(page.contains(EXAMPLE_ID) && page.contains(EXAMPLE_DAY));
    assert!(YESTERDAY.iter().all(|sql| page.contains(&format!("\"{sql}\""))));
    let failures = rows.iter().filter(|row| row.outcome == Outcome::ProviderError);
    let in_november = failures.filter(|row| iso(row.created_at_ms).starts_with("2026-11-"));
    let row = in_november.max_by_key(|row| row.created_at_ms).expect("a failure");
    let (request_id, day) = (row.request_id.as_str(), &iso(row.created_at_ms)[..10]);
    let blocks = page.split("```sql\n").skip(1);
    let sql = blocks.map(|block| block.split_once("\n```").expect("the end of a block").0);
    let sql = sql.map(|sql| sql.trim_end_matches(';').replace(EXAMPLE_ID, request_id));
    sql.map(|sql| sql.replace(EXAMPLE_DAY, day)).collect()
}

/// The queries of the page's first example, for SQLite and for ClickHouse.
pub(crate) const YESTERDAY: [&str; 2] = [
    "SELECT * FROM cost_by_org_day WHERE day = date('now', '-1 day')",
    "SELECT * FROM cost_by_org_day WHERE day = yesterday()",
];

/// Limits on money, for the question how much of them is used.
pub(crate) fn keep_limits(log: &AiLog) {
    let line = |org: &str, scope, name: &str, period, usd: u64| LimitInForce {
        org: org.to_owned(),
        scope,
        name: name.to_owned(),
        place: 0,
        period,
        nano_usd: usd * 1_000_000_000,
    };
    let models = MODELS.iter().flat_map(|(org, patterns)| {
        (0..).zip(*patterns).map(|(place, (pattern, usd))| LimitInForce {
            place,
            ..line(org, "model", pattern, "month", *usd)
        })
    });
    let mut limits = vec![
        line("*", "org", "", "day", 40),
        line("*", "org", "", "month", 300),
        line("acme", "org", "", "month", 250),
        line("globex", "org", "", "month", 0),
        line("acme", "key", "ci", "month", 60),
        line("acme", "user", "*", "month", 70),
    ];
    limits.extend(models);
    log.set_limits(limits);
}

/// Limits by model: patterns with USD a month, in their order. Each of the marks stands for itself
/// but `*`; globex has none, and lifts those of `*`.
const MODELS: [(&str, &[(&str, u64)]); 2] = [
    (
        "*",
        &[
            ("plainplain", 0),
            ("pl[a]in", 5),
            ("pla?n", 5),
            ("*plain*", 30),
            ("l_ne%*", 5),
            ("*", 90),
        ],
    ),
    ("acme", &[("*\"a\"*", 20), ("pl%", 5), ("'; DROP*", 7), ("*l*", 40)]),
];

/// `org_id, name, limit_usd, spent` (10⁻⁹ USD) of November, by the rule of the limiter.
pub(crate) fn budgets_of_models(rows: &[Row]) -> Vec<Vec<String>> {
    let mut spent: BTreeMap<(String, String), (u64, i64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| iso(row.created_at_ms).starts_with("2026-11-")) {
        let org = row.org_id.as_str();
        let list = match org {
            "acme" => MODELS[1].1,
            "globex" => continue,
            _ => MODELS[0].1,
        };
        let first = list.iter().find(|(pattern, _)| Glob::new(pattern).matches(&row.model));
        let Some((pattern, usd)) = first.filter(|(_, usd)| *usd > 0) else { continue };
        let sums = spent.entry((org.to_owned(), (*pattern).to_owned())).or_default();
        sums.0 = *usd;
        sums.1 += row.cost_nano_usd.unwrap_or(0);
    }
    let line = |((org, name), (usd, nano)): ((String, String), (u64, i64))| {
        vec![org, name, usd.to_string(), nano.to_string()]
    };
    spent.into_iter().map(line).collect()
}

/// The lines in an order of their own, with numbers and times in one form for both stores.
pub(crate) fn comparable(lines: Vec<Vec<Option<String>>>) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = lines
        .into_iter()
        .map(|line| line.into_iter().map(|cell| cell.map_or_else(String::new, form)).collect())
        .collect();
    lines.sort();
    lines
}

/// `2026-11-01T10:00:00.000Z` and `2026-11-01 10:00:00.000`, `0.5` and `0.500000000` are the same.
fn form(cell: String) -> String {
    if let Ok(number) = cell.parse::<f64>() {
        return format!("{number:.4}");
    }
    let bytes = cell.as_bytes();
    let is_time = bytes.len() > 10 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    if is_time { cell.trim_end_matches('Z').replacen('T', " ", 1) } else { cell }
}

/// The lines of a query in the embedded store of a folder.
pub(crate) fn embedded(dir: &Path, sql: &str) -> Vec<Vec<Option<String>>> {
    let database = Connection::open(dir.join("tollgate.db")).expect("database");
    let mut statement = database.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = statement.column_count();
    let mut found = statement.query([]).expect("query");
    let mut lines = Vec::new();
    while let Some(row) = found.next().expect("row") {
        let text = |at: usize| match row.get_ref(at).expect("value") {
            ValueRef::Null => None,
            ValueRef::Integer(n) => Some(n.to_string()),
            ValueRef::Real(n) => Some(n.to_string()),
            ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(_) => panic!("a blob"),
        };
        lines.push((0..columns).map(text).collect());
    }
    lines
}

#[test]
fn queries_of_the_documentation_run_in_the_embedded_store() {
    let dir = tempfile::tempdir().expect("dir");
    let (log, _) = open(dir.path());
    let rows = rows();
    keep_limits(&log);
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    let clock = Clock::start();
    let begun = clock.now();
    while embedded(dir.path(), "SELECT 1 FROM ai_limits").len() < 16 {
        assert!(clock.now().since(begun) < SOON, "the limits are not stored");
        std::thread::yield_now();
    }
    let queries = queries(&rows);
    assert_eq!(queries.len(), 32);
    for sql in &queries[..12] {
        assert!(sql.lines().count() <= 3 && !sql.contains("ai_log"), "{sql}");
    }
    let used = "SELECT DISTINCT scope, org_id, limit_usd FROM budget_used WHERE period = 'month' \
                AND org_id <> 'team/a.b_c' AND scope <> 'model' ORDER BY 1, 2";
    let expected = [["key", "acme", "60"], ["org", "acme", "250"], ["user", "acme", "70"]];
    let found = embedded(dir.path(), used);
    let found: Vec<Vec<&str>> =
        found.iter().map(|line| line.iter().flatten().map(String::as_str).collect()).collect();
    assert_eq!(found, expected, "a lifted limit is none");
    let models = "SELECT org_id, name, CAST(limit_usd AS INTEGER), \
                  CAST(round(spent_usd * 1e9) AS INTEGER) FROM budget_used \
                  WHERE period = 'month' AND day = '2026-11-01' AND scope = 'model' ORDER BY 1, 2";
    let found: Vec<Vec<String>> = embedded(dir.path(), models)
        .into_iter()
        .map(|line| line.into_iter().flatten().collect())
        .collect();
    assert_eq!(found, budgets_of_models(&rows));
    assert!(found.len() >= 5, "{found:?}");
    for sql in queries {
        assert!(!embedded(dir.path(), &sql).is_empty(), "no line: {sql}");
    }
    // It has lines on the day after a day of these rows only.
    embedded(dir.path(), YESTERDAY[0]);
}
