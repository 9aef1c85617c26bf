//! `tollgate report`: calls, cost, errors and latency out of the log, as a table, CSV, JSON,
//! Markdown or a page of HTML; a day as Markdown.

mod daily;
mod overview;
mod written;

use std::io::{IsTerminal as _, Write};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use self::overview::{Overview, Period};
use super::csv::quoted;
use super::print::{self, aligned, printable};
use crate::bounds::REPORT_LINES_MAX;
use crate::clock::wall_ms;
use crate::config::policy::Settings;
use crate::failure::Failure;
use crate::money::usd;
use crate::report::{Days, Dim, Question, Reader, Summary};
use crate::visible::visible_json;

/// `tollgate report`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// First day, e.g. 2026-11-23; without it, the report covers a week
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<Date>,
    /// Last day, included; without it, today
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<Date>,
    /// day, hour, org, model, provider, route, caller, outcome, error, tag:TAG
    #[arg(long, value_delimiter = ',', default_value = "day,org,model", value_parser = dim)]
    #[arg(hide_default_value = true)]
    by: Vec<Dim>,
    #[command(flatten)]
    only: Conditions,
    /// Format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Time zone of the days, e.g. Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    tz: TimeZone,
    /// Print yesterday, or the day of --to, as Markdown for a mail or a chat
    #[arg(long, conflicts_with_all = ["from", "by", "format", "org", "model", "only"])]
    daily: bool,
}

/// A day of the command line.
///
/// # Errors
/// It is none.
pub(crate) fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "not a day; write e.g. 2026-11-23".to_owned())
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "unknown time zone; write e.g. Europe/Berlin or UTC".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    /// Markdown, with the period before, the largest changes and a forecast
    Md,
    /// A page with charts that needs nothing else and can be mailed
    Html,
}

fn dim(name: &str) -> Result<Dim, String> {
    let names = || Dim::ALL.map(|dim| dim.as_str()).join(", ");
    Dim::parse(name).ok_or_else(|| format!("choose from {}, shadow, tag:NAME", names()))
}

fn condition(text: &str) -> Result<(Dim, String), String> {
    let say = || "not a condition; write e.g. outcome=ok or tag:feature=search".to_owned();
    Dim::parse_condition(text).ok_or_else(say)
}

/// The calls that a command is about.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Conditions {
    /// Only calls of this organisation; may be given again
    #[arg(long, value_name = "ORG")]
    org: Vec<String>,
    /// Only calls of this model; may be given again
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// Only e.g. outcome=ok or tag:feature=search; may be given again
    #[arg(long = "where", value_name = "GROUP=VALUE", value_parser = condition)]
    only: Vec<(Dim, String)>,
}

impl Conditions {
    /// All of them; those of one group are alternatives.
    pub(crate) fn all(&self) -> Vec<(Dim, String)> {
        let named = |dim: Dim, names: &[String]| -> Vec<(Dim, String)> {
            names.iter().map(|name| (dim.clone(), name.clone())).collect()
        };
        [named(Dim::Org, &self.org), named(Dim::Model, &self.model), self.only.clone()].concat()
    }
}

/// Runs the command.
///
/// # Errors
/// The days are in the wrong order, the store cannot be read, or CSV or JSON are not whole.
pub fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    let user = |error: crate::report::ReadError| Failure::User(error.to_string());
    let reader = Reader::open(&settings.store, &settings.options.data_dir).map_err(user)?;
    let (text, is_cut) = if args.daily {
        let report = daily::report(&reader, &args.tz, args.to, wall_ms())?;
        (report + &daily::audit(&settings.options.data_dir), false)
    } else {
        let (from, to) = days(&args, wall_ms())?;
        let (begin, end) = (start_ms(from, &args.tz)?, start_ms(to.tomorrow()?, &args.tz)?);
        let days = Days::of(&args.tz, begin, end);
        let only = args.only.all();
        let question = Question { stretch: (begin, end), by: &args.by, only: &only, days: &days };
        let report = reader.answer(&question, REPORT_LINES_MAX).map_err(user)?;
        let sums = |from, to: Date, by: &[Dim]| {
            let stretch = (start_ms(from, &args.tz)?, start_ms(to.tomorrow()?, &args.tz)?);
            let days = Days::of(&args.tz, stretch.0, stretch.1);
            let question = Question { stretch, by, only: &only, days: &days };
            Ok(reader.answer(&question, REPORT_LINES_MAX).map_err(user)?.lines)
        };
        let period = Period { from, to, today: today(&args.tz, wall_ms())? };
        let seen = || Overview::read(&sums, period, &args.by);
        let text = match args.format {
            Format::Md => written::markdown(&seen()?, &report.lines, &args.by, report.is_cut),
            Format::Html => written::html(&seen()?, &report.lines, &args.by, report.is_cut),
            // The lines that are left out are part of the total.
            Format::Table if report.is_cut => table(
                &report.lines,
                &reader.answer(&Question { by: &[], ..question }, 1).map_err(user)?.lines,
                &args.by,
                from,
                to,
            ),
            Format::Table => table(&report.lines, &report.lines, &args.by, from, to),
            Format::Csv => csv(&report.lines, &args.by),
            Format::Json => json(&report.lines, &args.by),
        };
        let for_the_eye = args.format == Format::Table && std::io::stdout().is_terminal();
        let below = if for_the_eye && !report.lines.is_empty() {
            written::below_table(&seen()?)
        } else {
            String::new()
        };
        (text + &below, report.is_cut)
    };
    print::raw(&text)?;
    if is_cut { not_whole(args.format) } else { Ok(()) }
}

/// Says that lines are left out. The end of a CSV or JSON file is rarely read, so there it is a
/// failure.
///
/// # Errors
/// Somebody would take the lines for all of them.
fn not_whole(format: Format) -> Result<(), Failure> {
    let text = format!(
        "only the first {REPORT_LINES_MAX} lines are printed; choose fewer days or dimensions"
    );
    if matches!(format, Format::Csv | Format::Json) {
        return Err(Failure::User(text));
    }
    // If stderr is closed, there is nothing left to tell.
    drop(writeln!(std::io::stderr(), "{text}"));
    Ok(())
}

fn days(args: &Args, now_ms: i64) -> Result<(Date, Date), Failure> {
    let to = args.to.unwrap_or(today(&args.tz, now_ms)?);
    let from = match args.from {
        Some(from) => from,
        None => to.checked_sub(6.days())?,
    };
    if from > to {
        return Err(Failure::User(format!("--from {from} is after --to {to}; swap them")));
    }
    Ok((from, to))
}

fn today(zone: &TimeZone, now_ms: i64) -> Result<Date, Failure> {
    Ok(Timestamp::from_millisecond(now_ms)?.to_zoned(zone.clone()).date())
}

/// When a day begins: not at midnight where clocks are set forward then.
pub(crate) fn start_ms(day: Date, zone: &TimeZone) -> Result<i64, Failure> {
    Ok(day.to_zoned(zone.clone())?.timestamp().as_millisecond())
}

/// The lines, and the sum of `all`.
fn table(lines: &[Summary], all: &[Summary], by: &[Dim], from: Date, to: Date) -> String {
    if lines.is_empty() {
        return format!(
            "No calls were logged from {from} to {to}.\n\
             Rows are written by `tollgate serve`; `tollgate demo` makes some to look at.\n"
        );
    }
    let mut rows = vec![header(
        by,
        &[
            "calls", "errors", "error %", "limited", "input", "cached", "output", "cost USD",
            "p50 ms", "p95 ms", "p99 ms",
        ],
    )];
    rows.extend(lines.iter().map(|line| cells(line, by.len())));
    if lines.len() > 1 {
        rows.push(total(all, by.len()));
    }
    let mut text = aligned(&rows, |column| column >= by.len());
    let unpriced: u64 = all.iter().map(|l| l.unpriced).sum();
    if unpriced > 0 {
        text.push_str(&format!(
            "\n{unpriced} calls are of models without a price; costs are without them. Add them \
             under `prices:`.\n"
        ));
    }
    text
}

fn header(by: &[Dim], figures: &[&str]) -> Vec<String> {
    let names = by.iter().map(|dim| dim.as_str().into_owned());
    names.chain(figures.iter().map(|figure| (*figure).to_owned())).collect()
}

fn cells(line: &Summary, keys: usize) -> Vec<String> {
    let mut cells: Vec<String> = line.key.iter().take(keys).map(|k| printable(k)).collect();
    cells.extend([
        line.calls.to_string(),
        line.errors.to_string(),
        format!("{:.1}", line.error_rate() * 100.0),
        line.rate_limited.to_string(),
        line.input_tokens.to_string(),
        line.cached_tokens.to_string(),
        line.output_tokens.to_string(),
        line.cost().map_or_else(|| "–".to_owned(), usd),
        line.p50_ms.to_string(),
        line.p95_ms.to_string(),
        line.p99_ms.to_string(),
    ]);
    cells
}

/// Sums; percentiles of parts do not add up.
fn total(lines: &[Summary], keys: usize) -> Vec<String> {
    let sum = |of: fn(&Summary) -> u64| lines.iter().map(of).sum::<u64>();
    let all = Summary {
        key: vec!["total".to_owned(); keys],
        calls: sum(|l| l.calls),
        errors: sum(|l| l.errors),
        rate_limited: sum(|l| l.rate_limited),
        input_tokens: sum(|l| l.input_tokens),
        cached_tokens: sum(|l| l.cached_tokens),
        output_tokens: sum(|l| l.output_tokens),
        cost_nano_usd: lines.iter().map(|l| l.cost_nano_usd).sum(),
        unpriced: sum(|l| l.unpriced),
        ..Summary::default()
    };
    let mut cells = cells(&all, keys);
    if let Some(rest) = cells.get_mut(1..keys) {
        rest.fill(String::new());
    }
    let percentiles = cells.len() - 3;
    cells[percentiles..].fill(String::new());
    cells
}

/// RFC 4180, with the column names of the log. Safe to print on a terminal and to open in a
/// spreadsheet.
fn csv(lines: &[Summary], by: &[Dim]) -> String {
    let figures = [
        "calls",
        "errors",
        "error_rate",
        "rate_limited",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "cost_usd",
        "unpriced",
        "redactions",
        "attachments_dropped",
        "p50_ms",
        "p95_ms",
        "p99_ms",
    ];
    let names = by.iter().map(|dim| quoted(&dim.column()));
    let names: Vec<String> = names.chain(figures.map(str::to_owned)).collect();
    let mut text = names.join(",") + "\r\n";
    for line in lines {
        let mut cells: Vec<String> = line.key.iter().map(|k| quoted(k)).collect();
        let figures: [String; 14] = [
            line.calls.to_string(),
            line.errors.to_string(),
            line.error_rate().to_string(),
            line.rate_limited.to_string(),
            line.input_tokens.to_string(),
            line.cached_tokens.to_string(),
            line.output_tokens.to_string(),
            line.cost().map(usd).unwrap_or_default(),
            line.unpriced.to_string(),
            line.redactions.to_string(),
            line.attachments_dropped.to_string(),
            line.p50_ms.to_string(),
            line.p95_ms.to_string(),
            line.p99_ms.to_string(),
        ];
        cells.extend(figures);
        text.push_str(&(cells.join(",") + "\r\n"));
    }
    text
}

fn json(lines: &[Summary], by: &[Dim]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.to_json(by)).collect();
    visible_json(&serde_json::to_string_pretty(&lines).unwrap_or_default()).into_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Command::try_parse_from(std::iter::once(&"report").chain(words)).expect("arguments").args
    }

    fn line(key: &[&str], calls: u64, nano: i64) -> Summary {
        Summary {
            key: key.iter().map(|k| (*k).to_owned()).collect(),
            calls,
            errors: 1,
            cost_nano_usd: nano,
            p50_ms: 10,
            p95_ms: 20,
            p99_ms: 30,
            ..Summary::default()
        }
    }

    #[test]
    fn the_last_week_is_the_default() {
        let now = 1_795_428_000_000;
        let text =
            |words: &[&str]| days(&args(words), now).map(|(from, to)| format!("{from} {to}")).ok();
        assert_eq!(text(&[]).as_deref(), Some("2026-11-17 2026-11-23"));
        assert_eq!(text(&["--from", "2026-11-01"]).as_deref(), Some("2026-11-01 2026-11-23"));
        assert_eq!(text(&["--to", "2026-03-01"]).as_deref(), Some("2026-02-23 2026-03-01"));
        assert_eq!(text(&["--from", "2026-11-24"]), None);
        assert_eq!(args(&["--by", "org,caller"]).by, [Dim::Org, Dim::Caller]);
        assert!(Command::try_parse_from(["report", "--by", "weather"]).is_err());
    }

    #[test]
    fn a_table_lines_up_and_adds_up() {
        let day = Date::constant(2026, 11, 23);
        let lines = [
            line(&["acme", "gpt-4o"], 9, 195_000),
            line(&["globex", "evil\u{1b}[2J"], 1, 1_500_000_000),
        ];
        assert_eq!(
            table(&lines, &lines, &[Dim::Org, Dim::Model], day, day),
            "\
org     model     calls  errors  error %  limited  input  cached  output  cost USD  p50 ms  p95 \
ms  p99 ms
acme    gpt-4o        9       1     11.1        0      0       0       0  0.000195      10      \
20      30
globex  evil\u{fffd}[2J      1       1    100.0        0      0       0       0      1.50      \
10      20      30
total                10       2     20.0        0      0       0       0  1.500195
"
        );
        assert!(
            table(&[], &[], &[Dim::Org], day, day)
                .starts_with("No calls were logged from 2026-11-23 to 2026-11-23.")
        );
    }

    /// No cost is not a cost of zero; a free model's is.
    #[test]
    fn a_model_without_a_price_has_no_cost() {
        let day = Date::constant(2026, 11, 23);
        let unpriced = Summary { unpriced: 4, ..line(&["mine"], 4, 0) };
        let part = Summary { unpriced: 1, ..line(&["both"], 2, 1_500_000_000) };
        let lines = [unpriced, part, line(&["free"], 1, 0)];
        let by = [Dim::Model];
        let text = table(&lines, &lines, &by, day, day);
        let cost = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).expect("a line").to_owned();
            line.split_whitespace().nth(8).expect("a cost").to_owned()
        };
        assert_eq!(cost(&text, "mine"), "–");
        assert_eq!(cost(&text, "both"), "1.50");
        assert_eq!(cost(&text, "free"), "0.00");
        assert_eq!(cost(&text, "total"), "1.50");
        assert!(text.contains("5 calls are of models without a price"), "{text}");
        let only = &lines[..1];
        assert!(!table(only, only, &by, day, day).contains("0.00"));
        let csv = csv(&lines, &by);
        let cell = |name: &str| {
            let line = csv.lines().find(|line| line.starts_with(name)).expect("a line");
            line.split(',').nth(8).expect("a cost").to_owned()
        };
        assert_eq!(
            (cell("mine"), cell("both"), cell("free")),
            ("".into(), "1.50".into(), "0.00".into())
        );
        let json: serde_json::Value = serde_json::from_str(&json(&lines, &by)).expect("JSON");
        assert_eq!(
            (&json[0]["cost_usd"], &json[2]["cost_usd"]),
            (&serde_json::Value::Null, &0.0.into())
        );
    }

    #[test]
    fn lines_that_are_left_out_are_told_and_are_part_of_the_total() {
        let day = Date::constant(2026, 11, 23);
        let lines = [line(&["acme"], 9, 0), line(&["globex"], 1, 0)];
        let text = table(&lines, &[line(&[], 40, 0)], &[Dim::Org], day, day);
        let total = text.lines().last().expect("a line");
        assert!(total.starts_with("total ") && total.contains(" 40 "), "{total}");
        assert!(not_whole(Format::Table).is_ok());
        for format in [Format::Csv, Format::Json] {
            assert!(
                matches!(not_whole(format), Err(Failure::User(_))),
                "a script must not take it for all"
            );
        }
    }

    #[test]
    fn csv_and_json_have_the_column_names() {
        let lines = [line(&["a,\"b\""], 1, 5)];
        assert_eq!(
            csv(&lines, &[Dim::Org]),
            "org_id,calls,errors,error_rate,rate_limited,input_tokens,cached_tokens,output_tokens,\
                cost_usd,unpriced,\
             redactions,attachments_dropped,p50_ms,p95_ms,p99_ms\r\n\"a,\"\"b\"\"\",1,1,1,0,0,0,0,\
             0.000000005,0,0,0,10,20,30\r\n"
        );
        for (cell, expected) in [
            ("gpt-4o", "gpt-4o"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "\"' =1\""),
            ("＝1", "'＝1"),
            ("\t=1", "'\u{fffd}=1"),
            ("\r=1", "'\u{fffd}=1"),
            ("-2+3|cmd", "\"'-2+3|cmd\""),
            ("-5", "-5"),
            ("-5.25", "-5.25"),
            ("-", "'-"),
            ("-1e5", "'-1e5"),
            ("m;=cmd|'/c calc'!A0", "\"m;=cmd|'/c calc'!A0\""),
            ("a\tb", "a\u{fffd}b"),
            ("a\n=1", "a\u{fffd}=1"),
            ("\u{1b}]0;pwned\u{7}", "\"\u{fffd}]0;pwned\u{fffd}\""),
            ("a\u{202e}b\u{200b}", "a\u{fffd}b\u{fffd}"),
            ("a\"b", "\"a\"\"b\""),
        ] {
            assert_eq!(quoted(cell), expected, "{cell:?}");
        }
        let steering = [line(&["a\u{1b}[2J\u{202e}"], 1, 5)];
        let text = json(&steering, &[Dim::Org]);
        assert!(text.contains("\\u001b[2J\\u202e"), "{text}");
        let parsed: serde_json::Value =
            serde_json::from_str(&json(&lines, &[Dim::Org])).expect("JSON");
        assert_eq!(
            (&parsed[0]["org_id"], &parsed[0]["cost_usd"]),
            (&"a,\"b\"".into(), &5e-9.into())
        );
    }
}
