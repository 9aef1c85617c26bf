//! `tollgate report --daily`: one day as Markdown, short enough for a chat.

use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::overview::percent;
use super::written::code;
use super::{start_ms, today};
use crate::audit;
use crate::bounds::REPORT_LINES_MAX;
use crate::failure::Failure;
use crate::money::usd;
use crate::report::{Days, Dim, Reader, Summary};

/// Lines of a table; the rest is one line.
const LINES_MAX: usize = 10;

/// Yesterday, or `day`, in a time zone.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn report(
    reader: &Reader,
    zone: &TimeZone,
    day: Option<Date>,
    now_ms: i64,
) -> Result<String, Failure> {
    let day = match day {
        Some(day) => day,
        None => today(zone, now_ms)?.yesterday()?,
    };
    let (before, begin, end) =
        (start_ms(day.yesterday()?, zone)?, start_ms(day, zone)?, start_ms(day.tomorrow()?, zone)?);
    let sums = |from, to, by: &[Dim]| {
        let report = reader.report((from, to), by, &Days::UTC, REPORT_LINES_MAX);
        report.map(|report| report.lines).map_err(|error| Failure::User(error.to_string()))
    };
    let one = |lines: Vec<Summary>| lines.into_iter().next().unwrap_or_default();
    let (all, former) = (one(sums(begin, end, &[])?), one(sums(before, begin, &[])?));
    let name = zone.iana_name().unwrap_or("UTC");
    let mut text = format!("# LLM calls of {day} ({name})\n\n{}", opening(&all, &former));
    if all.calls > 0 {
        for (title, dim) in
            [("Organisation", Dim::Org), ("Model", Dim::Model), ("Provider", Dim::Provider)]
        {
            text.push_str(&table(title, sums(begin, end, &[dim])?));
        }
    }
    Ok(text)
}

/// The head of the audit in this data folder, to be compared later where nobody can change it;
/// nothing without an audit.
pub(crate) fn audit(data_dir: &Path) -> String {
    let last = audit::entries(data_dir).ok().and_then(|all| all.into_iter().flatten().next_back());
    last.map_or_else(String::new, |last| {
        let head = audit::verify::Head { seq: last.seq, hash: last.hash }.text();
        format!("\nHead of the audit: `{head}`.\n")
    })
}

fn opening(all: &Summary, former: &Summary) -> String {
    if all.calls == 0 {
        return format!("No calls were logged; {} the day before.\n", former.calls);
    }
    let count = |line: &Summary| i64::try_from(line.calls).unwrap_or(i64::MAX);
    let mut text = format!(
        "**{} calls** ({}), {}, {:.1} % errors ({:.1} % the day before), {} rate limited.\n\
         {} tokens in ({} cached), {} out. Latency: half within {} ms, 95 % within {} ms, 99 % \
         within {} ms.\n",
        all.calls,
        change(count(all), count(former)),
        match all.cost() {
            None => "cost unknown".to_owned(),
            Some(cost) => {
                let change = change(cost, former.cost_nano_usd);
                format!("**{} USD** ({change})", usd(cost))
            }
        },
        all.error_rate() * 100.0,
        former.error_rate() * 100.0,
        all.rate_limited,
        all.input_tokens,
        all.cached_tokens,
        all.output_tokens,
        all.p50_ms,
        all.p95_ms,
        all.p99_ms,
    );
    if all.redactions > 0 || all.attachments_dropped > 0 {
        text.push_str(&format!(
            "{} values were redacted, {} attachments dropped.\n",
            all.redactions, all.attachments_dropped
        ));
    }
    if all.unpriced > 0 {
        text.push_str(&format!(
            "{} calls are of models without a price; the cost is without them.\n",
            all.unpriced
        ));
    }
    text
}

/// In whole percent of the day before.
fn change(now: i64, before: i64) -> String {
    match percent(now, before) {
        None => "none the day before".to_owned(),
        Some(percent) => format!("{percent:+} % to the day before"),
    }
}

/// The dearest lines first, and of the same cost those with the most calls.
fn table(title: &str, mut lines: Vec<Summary>) -> String {
    lines.sort_by(|a, b| {
        (b.cost_nano_usd, b.calls).cmp(&(a.cost_nano_usd, a.calls)).then_with(|| a.key.cmp(&b.key))
    });
    let mut text = format!(
        "\n| {title} | Calls | Errors | Tokens in | Tokens out | Cost USD | p95 ms \
         |\n|---|--:|--:|--:|--:|--:|--:|\n"
    );
    for line in lines.iter().take(LINES_MAX) {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            code(line.key.first().map_or("", String::as_str)),
            line.calls,
            line.errors,
            line.input_tokens,
            line.output_tokens,
            line.cost().map_or_else(|| "–".to_owned(), usd),
            line.p95_ms
        ));
    }
    let rest = lines.get(LINES_MAX..).unwrap_or_default();
    if !rest.is_empty() {
        let sum = |of: fn(&Summary) -> u64| rest.iter().map(of).sum::<u64>();
        let costs: Vec<i64> = rest.iter().filter_map(Summary::cost).collect();
        let cost = if costs.is_empty() { "–".to_owned() } else { usd(costs.iter().sum()) };
        text.push_str(&format!(
            "| {} more | {} | {} | {} | {} | {} | |\n",
            rest.len(),
            sum(|line| line.calls),
            sum(|line| line.errors),
            sum(|line| line.input_tokens),
            sum(|line| line.output_tokens),
            cost
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, calls: u64, nano: i64) -> Summary {
        Summary {
            key: vec![key.to_owned()],
            calls,
            errors: 1,
            cost_nano_usd: nano,
            p95_ms: 20,
            ..Summary::default()
        }
    }

    #[test]
    fn the_dearest_come_first_and_the_rest_is_summed_up() {
        let mut lines: Vec<Summary> = (0..12).map(|n| line(&format!("m{n:02}"), 1, n)).collect();
        lines.push(line("a|`b`\n@all", 3, 1_500_000_000));
        let text = table("Model", lines);
        let rows: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            rows[0],
            "| `a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}@all` | 3 | 1 | 0 | 0 | 1.50 | 20 |"
        );
        assert_eq!(rows[1], "| `m11` | 1 | 1 | 0 | 0 | 0.000000011 | 20 |");
        assert_eq!((rows.len(), rows[10]), (11, "| 3 more | 3 | 3 | 0 | 0 | 0.000000003 | |"));
    }
}
