//! A report as text around its table, as Markdown, and as a page of HTML.
//!
//! Pure. Guarantees: names come from outside and stay within their cells; the page needs nothing
//! else, runs no script, and can be mailed. Does not: read the log.

use std::borrow::Cow;

use super::overview::{Mover, Overview, percent, sparkline};
use crate::money::usd;
use crate::report::{Dim, Summary};
use crate::visible::{is_hidden, visible};

/// Columns of the table in Markdown and HTML, behind the dimensions.
const FIGURES: [&str; 7] =
    ["Calls", "Errors", "Tokens in", "Tokens out", "Cost USD", "p50 ms", "p95 ms"];

/// Width and height of a chart, in its own units.
const CHART: (usize, usize) = (720, 120);

/// The lines below a table on a terminal.
pub(crate) fn below_table(seen: &Overview) -> String {
    let calls: Vec<u64> = seen.days.iter().map(|(_, line)| line.calls).collect();
    let costs: Vec<u64> = seen.days.iter().map(|(_, line)| cost_of(line)).collect();
    let mut text = String::from("\n");
    for (name, figures, now) in
        [("calls", &calls, change_of_calls(seen)), ("cost ", &costs, change_of_cost(seen))]
    {
        if figures.len() > 1 {
            text.push_str(&format!("{name}  {}  {now}\n", sparkline(figures)));
        } else {
            text.push_str(&format!("{name}  {now}\n"));
        }
    }
    if let Some((dim, movers)) = seen.movers.as_ref().filter(|(_, movers)| !movers.is_empty()) {
        let told: Vec<String> = movers
            .iter()
            .map(|mover| format!("{} {}", name_of(&mover.name), change_of(mover)))
            .collect();
        text.push_str(&format!("largest changes by {}: {}\n", dim.as_str(), told.join(", ")));
    }
    if let Some(forecast) = forecast_of(seen) {
        text.push_str(&format!("{forecast}\n"));
    }
    text
}

/// Markdown: headings, tables, no HTML.
pub(crate) fn markdown(seen: &Overview, lines: &[Summary], by: &[Dim], is_cut: bool) -> String {
    let mut text = format!("# {}\n\n", title(seen));
    for sentence in sentences(seen) {
        text.push_str(&format!("- {sentence}\n"));
    }
    if let Some((dim, movers)) = seen.movers.as_ref().filter(|(_, movers)| !movers.is_empty()) {
        text.push_str(&format!("\n## Largest changes by {}\n\n", dim.as_str()));
        for mover in movers {
            text.push_str(&format!("- {} {}\n", code(&mover.name), change_of(mover)));
        }
    }
    if seen.all.calls == 0 {
        return text;
    }
    text.push_str("\n## Lines\n\n");
    let heads = by.iter().map(|dim| dim.as_str()).chain(FIGURES.map(Cow::Borrowed));
    text.push_str(&format!("| {} |\n", heads.collect::<Vec<_>>().join(" | ")));
    text.push_str(&format!("|{}{}\n", "---|".repeat(by.len()), "--:|".repeat(FIGURES.len())));
    for line in lines {
        let cells = line.key.iter().map(|key| code(key)).chain(figures(line));
        text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
    }
    if is_cut {
        text.push_str("\nMore lines are left out.\n");
    }
    text
}

/// A page of HTML with charts of the days.
pub(crate) fn html(seen: &Overview, lines: &[Summary], by: &[Dim], is_cut: bool) -> String {
    let title = title(seen);
    let mut body = format!("<h1>{}</h1>\n<ul>\n", escaped(&title));
    for sentence in sentences(seen) {
        body.push_str(&format!("<li>{}</li>\n", escaped(&sentence)));
    }
    body.push_str("</ul>\n");
    if seen.count() > 1 {
        body.push_str(&chart("Calls a day", seen, |line| (line.calls, line.calls.to_string())));
        body.push_str(&chart("Cost a day, USD", seen, |line| (cost_of(line), shown_cost(line))));
    }
    if let Some((dim, movers)) = seen.movers.as_ref().filter(|(_, movers)| !movers.is_empty()) {
        body.push_str(&format!("<h2>Largest changes by {}</h2>\n<ul>\n", dim.as_str()));
        for mover in movers {
            let (name, change) = (escaped(&name_of(&mover.name)), escaped(&change_of(mover)));
            body.push_str(&format!("<li><b>{name}</b> {change}</li>\n"));
        }
        body.push_str("</ul>\n");
    }
    if seen.all.calls > 0 {
        body.push_str(&table(lines, by));
    }
    if is_cut {
        body.push_str("<p>More lines are left out.</p>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}\
         </style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escaped(&title)
    )
}

const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #8886; }
.figure { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; }
svg { width: 100%; height: auto; }
rect { fill: #3b7dd8; }
text { font-size: 11px; fill: currentColor; }
";

fn title(seen: &Overview) -> String {
    let (from, to) = (seen.period.from, seen.period.to);
    if from == to {
        format!("LLM calls of {from}")
    } else {
        format!("LLM calls from {from} to {to}")
    }
}

/// The facts of the whole period, a sentence each.
fn sentences(seen: &Overview) -> Vec<String> {
    let all = &seen.all;
    if all.calls == 0 {
        return vec![format!("No calls were logged; {} {}.", seen.former.calls, seen.in_before())];
    }
    let mut told = vec![
        change_of_calls(seen),
        change_of_cost(seen),
        format!(
            "{:.1} % errors ({:.1} % {}), {} refused by limits",
            all.error_rate() * 100.0,
            seen.former.error_rate() * 100.0,
            seen.in_before(),
            all.rate_limited
        ),
        format!(
            "{} tokens in ({} cached), {} out",
            all.input_tokens, all.cached_tokens, all.output_tokens
        ),
        format!(
            "latency: half within {} ms, 95 % within {} ms, 99 % within {} ms",
            all.p50_ms, all.p95_ms, all.p99_ms
        ),
    ];
    if all.redactions > 0 || all.attachments_dropped > 0 {
        told.push(format!(
            "{} values redacted, {} attachments dropped",
            all.redactions, all.attachments_dropped
        ));
    }
    if all.unpriced > 0 {
        told.push(format!(
            "{} calls of models without a price; the cost is without them",
            all.unpriced
        ));
    }
    told.extend(forecast_of(seen));
    told
}

fn change_of_calls(seen: &Overview) -> String {
    let count = |line: &Summary| i64::try_from(line.calls).unwrap_or(i64::MAX);
    format!("{} calls ({})", seen.all.calls, compared(count(&seen.all), count(&seen.former), seen))
}

fn change_of_cost(seen: &Overview) -> String {
    match seen.all.cost() {
        None => "cost unknown: no model has a price".to_owned(),
        Some(cost) => {
            format!("{} USD ({})", rounded(cost), compared(cost, seen.former.cost_nano_usd, seen))
        }
    }
}

fn compared(now: i64, before: i64, seen: &Overview) -> String {
    match percent(now, before) {
        None => format!("none {}", seen.in_before()),
        Some(percent) => format!("{percent:+} % to {}", seen.before()),
    }
}

/// `+1.20 USD (0.30 to 1.50)`
fn change_of(mover: &Mover) -> String {
    let sign = if mover.change() > 0 { "+" } else { "" };
    let (change, before, now) =
        (rounded(mover.change()), rounded(mover.before), rounded(mover.now));
    format!("{sign}{change} USD ({before} to {now})")
}

fn forecast_of(seen: &Overview) -> Option<String> {
    let forecast = seen.forecast?;
    Some(format!(
        "forecast for {}: {} USD, {} so far (the last 7 complete days go on)",
        seen.period.today.strftime("%B"),
        rounded(forecast.expected),
        rounded(forecast.so_far)
    ))
}

/// An amount for the eye: whole cents, and small ones exactly.
fn rounded(nano: i64) -> String {
    const CENT: i64 = 10_000_000;
    if nano.abs() < CENT {
        return usd(nano);
    }
    usd((nano + nano.signum() * CENT / 2) / CENT * CENT)
}

fn cost_of(line: &Summary) -> u64 {
    u64::try_from(line.cost_nano_usd).unwrap_or_default()
}

fn shown_cost(line: &Summary) -> String {
    line.cost().map_or_else(|| "–".to_owned(), rounded)
}

fn figures(line: &Summary) -> [String; 7] {
    [
        line.calls.to_string(),
        line.errors.to_string(),
        line.input_tokens.to_string(),
        line.output_tokens.to_string(),
        line.cost().map_or_else(|| "–".to_owned(), usd),
        line.p50_ms.to_string(),
        line.p95_ms.to_string(),
    ]
}

/// Bars, one for each day.
fn chart(title: &str, seen: &Overview, of: impl Fn(&Summary) -> (u64, String)) -> String {
    let (width, height) = CHART;
    let figures: Vec<(u64, String)> = seen.days.iter().map(|(_, line)| of(line)).collect();
    let most = figures.iter().map(|(figure, _)| *figure).max().unwrap_or_default().max(1);
    let top = figures.iter().max_by_key(|(figure, _)| *figure).map_or("", |(_, shown)| shown);
    let step = width as f64 / figures.len().max(1) as f64;
    let mut bars = String::new();
    for (at, ((day, _), (figure, shown))) in seen.days.iter().zip(&figures).enumerate() {
        let tall = *figure as f64 / most as f64 * height as f64;
        bars.push_str(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{day}: \
             {shown}</title></rect>\n",
            at as f64 * step,
            16.0 + height as f64 - tall,
            (step * 0.8).max(0.5),
            tall
        ));
    }
    let below = height + 30;
    format!(
        "<figure>\n<figcaption>{title}</figcaption>\n<svg viewBox=\"0 0 {width} {}\" role=\"img\" \
         aria-label=\"{title}, at most {top}\">\n<text x=\"0\" y=\"11\">{top}</text>\n{bars}<text \
         x=\"0\" y=\"{below}\">{}</text>\n<text x=\"{width}\" y=\"{below}\" \
         text-anchor=\"end\">{}</text>\n</svg>\n</figure>\n",
        height + 36,
        seen.period.from,
        seen.period.to
    )
}

fn table(lines: &[Summary], by: &[Dim]) -> String {
    let cells = |tag: &str, names: Vec<String>, figures: Vec<String>| {
        let names = names.iter().map(|name| format!("<{tag}>{}</{tag}>", escaped(name)));
        let figures =
            figures.iter().map(|figure| format!("<{tag} class=\"figure\">{figure}</{tag}>"));
        format!("<tr>{}</tr>\n", names.chain(figures).collect::<String>())
    };
    let names = by.iter().map(|dim| dim.as_str().into_owned()).collect();
    let mut text = String::from("<h2>Lines</h2>\n<table>\n<thead>\n");
    text.push_str(&cells("th", names, FIGURES.map(str::to_owned).to_vec()));
    text.push_str("</thead>\n<tbody>\n");
    for line in lines {
        let names = line.key.iter().map(|key| name_of(key)).collect();
        text.push_str(&cells("td", names, figures(line).to_vec()));
    }
    text.push_str("</tbody>\n</table>\n");
    text
}

fn name_of(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { visible(name).into_owned() }
}

/// A name as code: names come from outside, and none may become a link, a mention or the end of its
/// cell.
pub(crate) fn code(name: &str) -> String {
    let plain = |c: char| if is_hidden(c) || matches!(c, '`' | '|') { '\u{fffd}' } else { c };
    if name.is_empty() {
        "-".to_owned()
    } else {
        format!("`{}`", name.chars().map(plain).collect::<String>())
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::overview::tests::overview;
    use super::*;

    fn line(key: &[&str], calls: u64, nano: i64) -> Summary {
        Summary {
            key: key.iter().map(|k| (*k).to_owned()).collect(),
            calls,
            cost_nano_usd: nano,
            ..Summary::default()
        }
    }

    #[test]
    fn below_a_table_stand_the_days_the_changes_and_the_month() {
        let seen = overview("2026-11-20", "2026-11-23", "2026-11-23");
        assert_eq!(
            below_table(&seen),
            "
calls  █▁▁▆  8 calls (-58 % to the 4 days before)
cost   █▁▁▅  0.00000104 USD (-87 % to the 4 days before)
largest changes by org: acme -0.0000076 USD (0.0000079 to 0.0000003), globex +0.0000007 USD (0.00 \
to 0.0000007), new +0.00000004 USD (0.00 to 0.00000004)
forecast for November: 0.000018424 USD, 0.00000894 so far (the last 7 complete days go on)
"
        );
        let one = overview("2026-11-18", "2026-11-18", "2026-11-23");
        assert!(below_table(&one).starts_with("\ncalls  10 calls (none the day before)\n"));
    }

    #[test]
    fn markdown_keeps_names_within_their_cells() {
        let seen = overview("2026-11-20", "2026-11-23", "2026-11-23");
        let lines = [line(&["a|`b`\n@all"], 3, 1_500_000_000)];
        let text = markdown(&seen, &lines, &[Dim::Org], true);
        assert!(text.starts_with("# LLM calls from 2026-11-20 to 2026-11-23\n\n- 8 calls (-58 %"));
        assert!(
            text.contains(
                "\n| `a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}@all` | 3 | 0 | 0 | 0 | 1.50 | 0 | 0 |\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("\nMore lines are left out.\n"));
        let none = overview("2026-11-21", "2026-11-22", "2026-11-23");
        assert!(
            markdown(&none, &[], &[Dim::Org], false)
                .contains("- No calls were logged; 5 in the 2 days before.\n")
        );
    }

    #[test]
    fn the_page_is_whole_and_runs_nothing() {
        let seen = overview("2026-11-20", "2026-11-23", "2026-11-23");
        let lines = [line(&["<script>alert(1)</script>\"'&"], 3, 0)];
        let page = html(&seen, &lines, &[Dim::Org], false);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"), "{page}");
        for word in ["<script", "http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(page.matches("<rect ").count(), 8, "two charts of four days");
        for tag in ["html", "head", "body", "style", "svg", "table", "ul", "figure"] {
            let begins = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(begins, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(page.contains("<title>2026-11-20: 5</title>"));
    }

    #[test]
    fn a_cost_that_is_not_known_is_not_zero() {
        let mut seen = overview("2026-11-20", "2026-11-23", "2026-11-23");
        seen.all = Summary { calls: 4, unpriced: 4, ..Summary::default() };
        assert_eq!(change_of_cost(&seen), "cost unknown: no model has a price");
        let unpriced = Summary { unpriced: 1, calls: 1, ..line(&["m"], 1, 0) };
        assert!(table(&[unpriced], &[Dim::Model]).contains(">–<"));
        for (nano, shown) in
            [(0, "0.00"), (9_999_999, "0.009999999"), (15_000_000, "0.02"), (-15_000_000, "-0.02")]
        {
            assert_eq!(rounded(nano), shown);
        }
    }
}
