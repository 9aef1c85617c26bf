//! The picture: a state and the wishes of a person, as lines of a terminal; pure.
//!
//! Guarantees: at most as many lines and columns as the terminal has; names from outside hold
//! nothing that steers a terminal. Does not: write.

use super::read::{Limit, Limits, Provider, State, Store, Sum};
use super::view::View;
use crate::money::thousands;
use crate::visible::visible;

/// The meaning of a piece of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// The head of a table.
    Head,
    Strong,
    Quiet,
    Warning,
    Bad,
}

/// Pieces side by side.
pub(crate) type Line = Vec<(Style, String)>;

/// The frame around the state.
pub(crate) struct Frame<'a> {
    pub(crate) base: &'a str,
    /// The stretch of the figures, in words.
    pub(crate) window: &'a str,
    pub(crate) seconds: f64,
    /// Why there is no newer state.
    pub(crate) trouble: Option<&'a str>,
}

const KEYS: &str = "q quit  s order  / filter  space pause  r read  arrows scroll  ? help";
const HELP: &[&str] = &[
    "q, Ctrl-C     quit",
    "s             next order of the organisations: cost, calls, errors, refused, p95, name",
    "/             filter organisations by a part of their name; Enter keeps it, Esc removes it",
    "space, p      pause and go on",
    "r             read now",
    "j, k, arrows  scroll; Page Up, Page Down by ten; g to the top",
    "",
    "errors   failed calls: provider errors, time-outs and refusals of the gateway",
    "refused  calls over a limit",
    "p95      95 of 100 calls were faster, in milliseconds",
];

/// The lines for a terminal of this size.
pub(crate) fn picture(
    frame: &Frame<'_>,
    state: Option<&State>,
    view: &View,
    (width, height): (usize, usize),
) -> Vec<Line> {
    let mut lines = vec![title(frame, state, view)];
    match state {
        _ if view.has_help => {
            lines.push(Line::new());
            lines.extend(HELP.iter().map(|text| plain((*text).to_owned())));
        }
        None => {
            let text = frame.trouble.unwrap_or("reading …");
            lines.push(Line::new());
            lines.push(vec![(Style::Warning, text.to_owned())]);
        }
        Some(state) => {
            lines.push(totals(&state.total, frame.seconds));
            lines.push(log(state.store.as_ref(), state.limits.as_ref()));
            let room = height.saturating_sub(lines.len() + 1);
            lines.extend(tables(state, view, width, room));
        }
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::new());
    lines.push(footer(view));
    lines.iter().map(|line| cut(line, width)).collect()
}

fn plain(text: String) -> Line {
    vec![(Style::Plain, text)]
}

fn title(frame: &Frame<'_>, state: Option<&State>, view: &View) -> Line {
    let mut line = vec![
        (Style::Strong, "tollgate".to_owned()),
        (Style::Plain, format!("  {}  last {}", visible(frame.base), frame.window)),
    ];
    if let Some(state) = state {
        line.push((Style::Quiet, format!("  {} UTC", clock(state.at_ms))));
    }
    if view.is_paused {
        line.push((Style::Warning, "  paused".to_owned()));
    }
    if let (Some(trouble), Some(_)) = (frame.trouble, state) {
        line.push((Style::Bad, format!("  {}", visible(trouble))));
    }
    line
}

fn clock(ms: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(ms);
    moment.map(|moment| moment.strftime("%H:%M:%S").to_string()).unwrap_or_default()
}

fn totals(total: &Sum, seconds: f64) -> Line {
    let rate = total.calls as f64 / (seconds / 60.0).max(f64::MIN_POSITIVE);
    vec![
        (Style::Quiet, "calls ".to_owned()),
        (Style::Strong, thousands(total.calls)),
        (Style::Plain, format!(" ({rate:.1} a minute)")),
        (Style::Quiet, "  errors ".to_owned()),
        (of_errors(total), share(total.errors, total.calls)),
        (Style::Quiet, "  refused ".to_owned()),
        (Style::Plain, thousands(total.rate_limited)),
        (Style::Quiet, "  p95 ".to_owned()),
        (Style::Plain, format!("{} ms", thousands(total.p95_ms))),
        (Style::Quiet, "  cost ".to_owned()),
        (Style::Strong, money(total.cost_usd)),
    ]
}

fn log(store: Option<&Store>, limits: Option<&Limits>) -> Line {
    let mut line = vec![(Style::Quiet, "log   ".to_owned())];
    match store {
        None => line.push((Style::Quiet, "not shown to this token".to_owned())),
        Some(store) => {
            line.push((
                Style::Plain,
                format!("{}, {} waiting", visible(&store.store), bytes(store.unstored_bytes)),
            ));
            if store.lost_rows > 0 {
                line.push((Style::Bad, format!(", {} rows lost", thousands(store.lost_rows))));
            }
            if let Some(trouble) = &store.trouble {
                line.push((Style::Warning, format!(", {}", visible(trouble))));
            }
        }
    }
    if limits.is_some_and(|limits| limits.shared_store.as_deref() == Some("away")) {
        line.push((Style::Bad, "  limits store away".to_owned()));
    }
    line
}

/// The three tables. The organisations get the room that the others leave.
fn tables(state: &State, view: &View, width: usize, room: usize) -> Vec<Line> {
    let mut below = providers(state, width);
    below.extend(limits(state.limits.as_ref(), width));
    let chosen = view.chosen(&state.organizations);
    // Two lines for the head, and at least three organisations.
    let kept = below.len().min(room.saturating_sub(5));
    let lines = room.saturating_sub(kept + 2);
    let skipped = view.skipped.min(chosen.len().saturating_sub(lines));
    let mut all = vec![Line::new(), head_of_organizations(view, chosen.len(), width)];
    if chosen.is_empty() {
        let text = match &*view.filter {
            "" => "no call in this time".to_owned(),
            filter => format!("no organisation with `{}` in its name", visible(filter)),
        };
        all.push(vec![(Style::Quiet, text)]);
    }
    all.extend(chosen.iter().skip(skipped).take(lines).map(|sum| organization(sum, width)));
    all.resize_with(all.len().max(lines + 2).min(room.saturating_sub(kept)), Line::new);
    below.truncate(kept);
    all.extend(below);
    all
}

const FIGURES: usize = 5 * 10;

fn head_of_organizations(view: &View, count: usize, width: usize) -> Line {
    let name = format!("ORGANISATION ({count}, by {})", view.sort.name());
    let figures = ["CALLS", "ERRORS", "REFUSED", "P95 MS", "COST"];
    vec![(Style::Head, row(&name, &figures.map(str::to_owned), width))]
}

fn organization(sum: &Sum, width: usize) -> Line {
    let style = of_errors(sum);
    let name = if sum.org_id.is_empty() { "–" } else { &sum.org_id };
    let figures = [
        thousands(sum.calls),
        share(sum.errors, sum.calls),
        thousands(sum.rate_limited),
        thousands(sum.p95_ms),
        money(sum.cost_usd),
    ];
    vec![(style, row(name, &figures, width))]
}

fn providers(state: &State, width: usize) -> Vec<Line> {
    let mut names: Vec<&str> = Vec::new();
    names.extend(state.providers.iter().flatten().map(|provider| provider.name.as_str()));
    for sum in &state.by_provider {
        if !sum.provider.is_empty() && !names.contains(&sum.provider.as_str()) {
            names.push(&sum.provider);
        }
    }
    if names.is_empty() {
        return Vec::new();
    }
    let figures = ["CALLS", "ERRORS", "STATE", "P95 MS", "COST"].map(str::to_owned);
    let mut lines = vec![Line::new(), vec![(Style::Head, row("PROVIDER", &figures, width))]];
    for name in names {
        let known = state.providers.iter().flatten().find(|provider| provider.name == name);
        let sum = state.by_provider.iter().find(|sum| sum.provider == name);
        let sum = sum.cloned().unwrap_or_default();
        let (style, word) = health(known);
        let style = if style == Style::Plain { of_errors(&sum) } else { style };
        let figures = [
            thousands(sum.calls),
            share(sum.errors, sum.calls),
            word,
            thousands(sum.p95_ms),
            money(sum.cost_usd),
        ];
        lines.push(vec![(style, row(name, &figures, width))]);
    }
    lines
}

fn health(provider: Option<&Provider>) -> (Style, String) {
    let Some(provider) = provider else { return (Style::Plain, "–".to_owned()) };
    match (provider.credential_expires_in_s, provider.circuit.as_str()) {
        (Some(..=0), _) => (Style::Bad, "expired".to_owned()),
        (_, "open") => (Style::Bad, "open".to_owned()),
        _ if provider.credential == "none" => (Style::Plain, "no key".to_owned()),
        _ => (Style::Plain, "ok".to_owned()),
    }
}

fn limits(limits: Option<&Limits>, width: usize) -> Vec<Line> {
    let Some(limits) = limits else { return Vec::new() };
    let mut lines = Vec::new();
    if !limits.closest.is_empty() {
        let figures = ["USED", "OF", "", "", "PERCENT"].map(str::to_owned);
        lines.push(Line::new());
        lines.push(vec![(Style::Head, row("LIMIT CLOSEST TO EXHAUSTION", &figures, width))]);
        lines.extend(limits.closest.iter().take(5).map(|limit| used(limit, width)));
    }
    if !limits.most_refused.is_empty() {
        let named = limits.most_refused.iter().take(5);
        let named: Vec<String> = named
            .map(|one| format!("{} {}", visible(&one.org_id), thousands(one.refused)))
            .collect();
        lines.push(vec![
            (Style::Quiet, "refused most since the start: ".to_owned()),
            (Style::Plain, named.join(", ")),
        ]);
    }
    lines
}

fn used(limit: &Limit, width: usize) -> Line {
    let style = match limit.used_percent {
        100.0.. => Style::Bad,
        80.0.. => Style::Warning,
        _ => Style::Plain,
    };
    let subject = match &limit.name {
        Some(name) if !name.is_empty() => format!("{} {} {name}", limit.org_id, limit.scope),
        _ => limit.org_id.clone(),
    };
    let amount = |amount: f64| {
        if limit.limit.starts_with("usd") { money(Some(amount)) } else { thousands(amount as u64) }
    };
    let figures = [
        amount(limit.used),
        amount(limit.most),
        String::new(),
        String::new(),
        format!("{:.0} %", limit.used_percent),
    ];
    vec![(style, row(&format!("{subject}: {}", limit.limit), &figures, width))]
}

fn footer(view: &View) -> Line {
    if view.is_typing {
        return vec![
            (Style::Strong, "filter: ".to_owned()),
            (Style::Plain, format!("{}_", visible(&view.filter))),
        ];
    }
    let mut line = vec![(Style::Quiet, KEYS.to_owned())];
    if !view.filter.is_empty() {
        line.insert(0, (Style::Strong, format!("filter: {}  ", visible(&view.filter))));
    }
    line
}

/// A name to the left, cut where it is long, and figures to the right.
fn row(name: &str, figures: &[String; 5], width: usize) -> String {
    let room = width.saturating_sub(FIGURES).max(8);
    let mut text = fitted(&visible(name), room);
    let missing = room.saturating_sub(text.chars().count());
    text.extend(std::iter::repeat_n(' ', missing));
    for figure in figures {
        text.push_str(&format!("{figure:>10}"));
    }
    text
}

/// The beginning of a text, with a mark where it is cut.
fn fitted(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn cut(line: &Line, width: usize) -> Line {
    let mut left = width;
    let mut kept = Line::new();
    for (style, text) in line {
        let count = text.chars().count();
        if count > left {
            kept.push((*style, fitted(text, left)));
            break;
        }
        left -= count;
        kept.push((*style, text.clone()));
    }
    kept
}

fn of_errors(sum: &Sum) -> Style {
    match (sum.errors, sum.calls) {
        (0, _) | (_, 0) => Style::Plain,
        (errors, calls) if errors.saturating_mul(10) >= calls => Style::Bad,
        (errors, calls) if errors.saturating_mul(50) >= calls => Style::Warning,
        _ => Style::Plain,
    }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}

fn money(usd: Option<f64>) -> String {
    match usd {
        None => "–".to_owned(),
        Some(usd) if usd != 0.0 && usd.abs() < 0.01 => format!("${usd:.6}"),
        Some(usd) => format!("${usd:.2}"),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut amount = count as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests;
