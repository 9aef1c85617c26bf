//! Pictures of given states in terminals of several sizes.

use super::*;
use crate::cli::top::read::Refused;

fn frame() -> Frame<'static> {
    Frame { base: "http://127.0.0.1:9090", window: "1h", seconds: 3600.0, trouble: None }
}

fn organization_named(name: &str, calls: u64, errors: u64) -> Sum {
    Sum {
        org_id: name.to_owned(),
        calls,
        errors,
        cost_usd: Some(calls as f64 / 100.0),
        p95_ms: 1234,
        ..Sum::default()
    }
}

fn state() -> State {
    let limit = Limit {
        org_id: "acme".to_owned(),
        scope: "user".to_owned(),
        name: Some("ada".to_owned()),
        limit: "usd_per_day".to_owned(),
        used: 4.6,
        most: 5.0,
        used_percent: 92.0,
    };
    State {
        at_ms: 1_764_511_387_000,
        total: organization_named("", 12_345, 500),
        organizations: (0..40)
            .map(|n| organization_named(&format!("org-{n:02}"), 1000 - n, 0))
            .collect(),
        by_provider: vec![Sum {
            provider: "openai".to_owned(),
            ..organization_named("", 12_000, 500)
        }],
        providers: Some(vec![Provider {
            name: "openai".to_owned(),
            circuit: "open".to_owned(),
            ..Provider::default()
        }]),
        limits: Some(Limits {
            closest: vec![limit],
            most_refused: vec![Refused { org_id: "globex".to_owned(), refused: 77 }],
            shared_store: Some("away".to_owned()),
        }),
        store: Some(Store {
            store: "embedded".to_owned(),
            unstored_bytes: 5 << 20,
            lost_rows: 3,
            trouble: None,
        }),
    }
}

fn text(lines: &[Line]) -> String {
    let line = |line: &Line| line.iter().map(|(_, text)| text.as_str()).collect::<String>();
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_figures_are_there() {
    let lines = picture(&frame(), Some(&state()), &View::default(), (100, 30));
    let text = text(&lines);
    for part in [
        "calls 12,345 (205.8 a minute)",
        "errors 4.1 %",
        "cost $123.45",
        "embedded, 5.0 MiB waiting, 3 rows lost",
        "limits store away",
        "ORGANISATION (40, by cost)",
        "acme user ada: usd_per_day",
        "92 %",
        "refused most since the start: globex 77",
        "last 1h",
        "q quit",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let provider = lines.iter().find(|line| text_of(line).starts_with("openai")).expect("openai");
    assert_eq!(provider[0].0, Style::Bad, "an open circuit stands out");
}

fn text_of(line: &Line) -> String {
    line.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn any_terminal_is_filled_and_never_overrun() {
    for width in [1, 20, 80, 81, 200] {
        for height in [1, 2, 5, 10, 24, 60] {
            for view in [View::default(), View { has_help: true, ..View::default() }] {
                let states = [None, Some(state()), Some(State::default())];
                for state in &states {
                    let lines = picture(&frame(), state.as_ref(), &view, (width, height));
                    assert_eq!(lines.len(), height, "{width}×{height}");
                    for line in &lines {
                        let count = text_of(line).chars().count();
                        assert!(count <= width, "{width}×{height}: {count}: {line:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_small_terminal_shows_all_tables() {
    let shown = text(&picture(&frame(), Some(&state()), &View::default(), (80, 24)));
    for part in ["ORGANISATION", "org-00", "PROVIDER", "LIMIT CLOSEST", "refused most"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
}

#[test]
fn names_from_outside_steer_no_terminal() {
    let mut state = state();
    state.organizations = vec![organization_named("evil\u{1b}[2J\u{202e}", 1, 0)];
    let shown = text(&picture(&frame(), Some(&state), &View::default(), (80, 24)));
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn the_place_ends_with_the_list() {
    let view = View { skipped: 1_000, ..View::default() };
    let shown = text(&picture(&frame(), Some(&state()), &view, (80, 24)));
    assert!(shown.contains("org-39"), "the last one is visible:\n{shown}");
}

#[test]
fn a_gateway_that_is_away_is_named() {
    let frame = Frame { trouble: Some("http://127.0.0.1:1 is not reachable"), ..frame() };
    let without = text(&picture(&frame, None, &View::default(), (80, 24)));
    let with = text(&picture(&frame, Some(&state()), &View::default(), (120, 24)));
    assert!(without.contains("not reachable") && with.contains("not reachable"));
    assert!(with.contains("12,345"), "the last state stays");
}
