//! Exports held against the rows that were logged: every column of every row, from both stores.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value as Json};

use super::csv::Csv;
use super::jsonl::JsonLines;
use super::parquet::Parquet;
use super::*;
use crate::ailog::columns::COLUMNS;
use crate::ailog::row::Row;
use crate::ailog::tests::{SOON, as_json, open, row};
use crate::config::policy::StoreKind;
use crate::money::{parse_usd, usd};
use crate::report::Dim;

/// Keeps an export in memory.
struct Memory {
    form: Box<dyn Form>,
    out: Vec<u8>,
    pages: usize,
}

impl Sink for Memory {
    fn take(&mut self, row: &Values<'_>) {
        self.form.row(row, &mut self.out);
    }

    fn write(&mut self, _at_ms: i64) -> io::Result<()> {
        self.pages += 1;
        Ok(())
    }
}

fn exported(reader: &Reader, form: Box<dyn Form>, selection: &Selection) -> Memory {
    let mut memory = Memory { form, out: Vec::new(), pages: 0 };
    memory.form.begin(&mut memory.out);
    reader.export(selection, &mut memory).expect("an export");
    memory.form.end(&mut memory.out);
    memory
}

fn everything() -> Selection {
    Selection { stretch: (0, i64::MAX), only: Vec::new() }
}

fn in_order(rows: &[Row]) -> Vec<&Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| (row.created_at_ms, row.id.to_string()));
    rows
}

fn objects(lines: &[u8]) -> Vec<Map<String, Json>> {
    let lines = std::str::from_utf8(lines).expect("UTF-8").lines();
    lines.map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// Cells of CSV: RFC 4180.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut rest) = (false, text.chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => cell.extend(rest.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => line.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {
                assert_eq!(rest.next(), Some('\n'), "a line ends with CRLF");
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            c => cell.push(c),
        }
    }
    assert!(line.is_empty() && cell.is_empty(), "the last line has an end");
    lines
}

/// The cell of a value.
fn cell_of(column: &Column, value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Number(_) if column.of == Type::NanoUsd => {
            usd((value.as_f64().expect("a number") * 1e9).round() as i64)
        }
        Json::String(text) if text.starts_with(['=', '-', '+', '@', '\t', '\n']) => {
            format!("'{text}")
        }
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether all rows come in their order with every column, in every format, with any filter, and
/// add up to the same totals.
pub(crate) fn check(reader: &Reader, rows: &[Row]) {
    let expected: Vec<Map<String, Json>> = in_order(rows).into_iter().map(as_json).collect();
    let memory = exported(reader, Box::new(JsonLines), &everything());
    let found = objects(&memory.out);
    let names = BTreeSet::from(COLUMNS.map(|column| column.name));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
        for Column { name, .. } in COLUMNS {
            assert_eq!(found[name], expected[name], "{name} of {}", expected["request_id"]);
        }
    }
    // The amounts are exact, not only the nearest double.
    let text = String::from_utf8_lossy(&memory.out);
    let amounts = text.lines().map(|line| {
        let (_, amount) = line.split_once("\"cost_usd\":").expect("a cost");
        parse_usd(amount.split(',').next().unwrap_or_default()).unwrap_or(0)
    });
    let nano = |row: &Row| row.cost_nano_usd.unwrap_or(0);
    assert_eq!(amounts.sum::<i64>(), rows.iter().map(nano).sum::<i64>());

    let memory = exported(reader, Box::new(Csv), &everything());
    let lines = cells(std::str::from_utf8(&memory.out).expect("UTF-8"));
    assert_eq!(lines[0], COLUMNS.map(|column| column.name));
    assert_eq!(lines.len(), expected.len() + 1);
    for (line, expected) in lines[1..].iter().zip(&expected) {
        assert_eq!(line.len(), COLUMNS.len());
        for (cell, column) in line.iter().zip(&COLUMNS) {
            assert_eq!(*cell, cell_of(column, &expected[column.name]), "{}", column.name);
        }
    }
    check_filters(reader, rows);
}

fn check_filters(reader: &Reader, rows: &[Row]) {
    let tag = || Dim::Tag("feature".into());
    let text = |dim: Dim, value: &str| (dim, value.to_owned());
    let has = |row: &Row, name: &str| row.tags.iter().any(|tag| &*tag.name == name);
    type Keeps<'a> = Box<dyn Fn(&Row) -> bool + 'a>;
    let cases: [(Vec<(Dim, String)>, Keeps<'_>); 4] = [
        (
            vec![text(Dim::Org, "acme"), text(Dim::Outcome, "ok")],
            Box::new(|row| row.org_id.as_str() == "acme" && row.outcome.as_str() == "ok"),
        ),
        (
            vec![text(Dim::Org, "acme"), text(Dim::Org, "globex"), text(tag(), "Übersicht")],
            Box::new(|row| row.org_id.as_str() != "team/a.b_c" && has(row, "feature")),
        ),
        (vec![text(tag(), "")], Box::new(|row| !has(row, "feature"))),
        (vec![text(Dim::Model, "'; --?")], Box::new(|_| false)),
    ];
    let begin = rows.iter().map(|row| row.created_at_ms).min().expect("a row");
    for stretch in [(0, i64::MAX), (begin + 1, begin + 3 * 86_400_000 + 1)] {
        for (only, keeps) in &cases {
            let selection = Selection { stretch, only: only.clone() };
            let found = objects(&exported(reader, Box::new(JsonLines), &selection).out);
            let expected: Vec<&Row> = in_order(rows)
                .into_iter()
                .filter(|row| (stretch.0..stretch.1).contains(&row.created_at_ms) && keeps(row))
                .collect();
            assert_eq!(found.len(), expected.len(), "{selection:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found["id"], expected.id.to_string(), "{selection:?}");
            }
        }
    }
}

/// Whether each of `rows`, which fill several pages, comes once and in its order.
pub(crate) fn check_large(reader: &Reader, rows: &[Row]) {
    let rows = in_order(rows);
    let stretch = (rows[0].created_at_ms, rows[rows.len() - 1].created_at_ms + 1);
    let selection = Selection { stretch, only: Vec::new() };
    let memory = exported(reader, Box::new(JsonLines), &selection);
    assert!(memory.pages >= 3, "{} pages", memory.pages);
    let ids: Vec<Json> = objects(&memory.out).iter().map(|row| row["id"].clone()).collect();
    let expected: Vec<Json> = rows.into_iter().map(|row| row.id.to_string().into()).collect();
    assert_eq!(ids, expected);
}

fn logged(dir: &Path, rows: &[Row]) -> Reader {
    let (log, _) = open(dir);
    rows.iter().for_each(|row| log.append(row));
    assert!(log.flush(SOON));
    Reader::open(&StoreKind::Embedded, dir).expect("reader")
}

#[test]
fn every_column_of_every_row_is_exported() {
    let dir = tempfile::tempdir().expect("dir");
    let rows: Vec<Row> = (0..2_000).map(row).collect();
    check(&logged(dir.path(), &rows), &rows);
}

/// Captured texts fill pages; several rows of one millisecond stand on both sides of their ends.
#[test]
fn pages_lose_and_repeat_no_row() {
    let dir = tempfile::tempdir().expect("dir");
    let text = crate::ailog::tests::redacted(&"x".repeat(200_000));
    let of = |seed| Row {
        created_at_ms: 1_793_491_200_000 + i64::from(seed > 30),
        request: Some(text.clone()),
        ..row(seed)
    };
    let rows: Vec<Row> = (0..60).map(of).collect();
    check_large(&logged(dir.path(), &rows), &rows);
}

#[test]
fn csv_is_safe_to_open_and_keeps_lines() {
    let dir = tempfile::tempdir().expect("dir");
    let text = crate::ailog::tests::redacted;
    let rows = [Row {
        model: "=HYPERLINK(\"http://evil\",\"x\")".to_owned(),
        prompt: Some(text("\tone\n=two, \u{1b}[2J\u{202e}three")),
        ..row(1)
    }];
    let reader = logged(dir.path(), &rows);
    let csv = exported(&reader, Box::new(Csv), &everything()).out;
    let lines = cells(std::str::from_utf8(&csv).expect("UTF-8"));
    let of = |name: &str| {
        let place = COLUMNS.iter().position(|column| column.name == name).expect("a column");
        lines[1][place].clone()
    };
    assert_eq!(of("model"), "'=HYPERLINK(\"http://evil\",\"x\")");
    assert_eq!(of("prompt"), "'\tone\n=two, \u{fffd}[2J\u{fffd}three");
    let json = exported(&reader, Box::new(JsonLines), &everything()).out;
    assert!(!String::from_utf8_lossy(&json).contains(['\u{1b}', '\u{202e}']));
    assert_eq!(objects(&json)[0]["prompt"], "\tone\n=two, \u{1b}[2J\u{202e}three");
}

#[test]
fn a_log_without_rows_is_a_whole_file() {
    let dir = tempfile::tempdir().expect("dir");
    let reader = Reader::open(&StoreKind::Embedded, dir.path()).expect("reader");
    let parquet = exported(&reader, Box::new(Parquet::new(10, 10)), &everything()).out;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    assert!(exported(&reader, Box::new(JsonLines), &everything()).out.is_empty());
    assert_eq!(
        cells(
            std::str::from_utf8(&exported(&reader, Box::new(Csv), &everything()).out)
                .expect("UTF-8")
        )
        .len(),
        1
    );
}

fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    std::env::var_os("TOLLGATE_TEST_PYTHON").map_or(venv, PathBuf::from)
}

/// The value of a cell as a reader of Parquet prints it.
fn read_as(column: &Column, value: &Json) -> Json {
    match column.of {
        Type::Tags | Type::Attempts => value.to_string().into(),
        Type::NanoUsd if !value.is_null() => {
            let nano = (value.as_f64().expect("a number") * 1e9).round() as i64;
            format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000).into()
        }
        _ => value.clone(),
    }
}

#[test]
#[ignore = "needs PyArrow and DuckDB; run by scripts/test"]
fn parquet_is_read_by_others() {
    let dir = tempfile::tempdir().expect("dir");
    let rows: Vec<Row> = (0..1_000).map(row).collect();
    let reader = logged(dir.path(), &rows);
    let expected: Vec<Map<String, Json>> = in_order(&rows).into_iter().map(as_json).collect();
    let path = dir.path().join("rows.parquet");
    // By rows, by bytes, and all rows in one group.
    for (rows_max, bytes_max, groups) in
        [(300, 1 << 30, 4..=4), (9_999, 100_000, 5..=50), (9_999, 1 << 30, 1..=1)]
    {
        let form = Box::new(Parquet::new(rows_max, bytes_max));
        std::fs::write(&path, exported(&reader, form, &everything()).out).expect("a file");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet/rows.py");
        let output = Command::new(python()).arg(script).arg(&path).output().expect("python");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = objects(&output.stdout);
        let readers: Vec<&[Map<String, Json>]> = printed.chunks(expected.len() + 1).collect();
        assert_eq!(readers.len(), 2);
        for (lines, (name, time, amount)) in readers.into_iter().zip([
            ("pyarrow", "timestamp[ms, tz=UTC]", "decimal128(18, 9)"),
            ("duckdb", "TIMESTAMP WITH TIME ZONE", "DECIMAL(18,9)"),
        ]) {
            let head = &lines[0];
            assert_eq!(head["reader"], name);
            let found = head["groups"].as_u64().expect("a number");
            assert!(groups.contains(&found), "{name}: {found} row groups");
            assert_eq!(
                (&head["types"]["created_at"], &head["types"]["cost_usd"]),
                (&time.into(), &amount.into())
            );
            assert_eq!(lines.len(), expected.len() + 1);
            for (found, expected) in lines[1..].iter().zip(&expected) {
                for column in &COLUMNS {
                    let name = column.name;
                    assert_eq!(found[name], read_as(column, &expected[name]), "{name}");
                }
            }
        }
    }
}
