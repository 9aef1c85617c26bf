//! Values and changes in words.

use serde_json::Value as Json;

use super::diff::{Change, ChangeKind};

/// Parts of an added entry that a sentence names.
const PARTS_MAX: usize = 8;

/// A value on one line, as YAML would write it.
pub(crate) fn shown_value(value: &Json) -> String {
    match value {
        Json::String(text) if is_plain(text) => text.clone(),
        Json::Array(list) => {
            format!("[{}]", list.iter().map(shown_value).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) => {
            // Keys without a value say nothing.
            let is_empty = |value: &Json| {
                value.is_null()
                    || value.as_object().is_some_and(|map| map.values().all(Json::is_null))
            };
            let parts = map.iter().filter(|(_, value)| !is_empty(value));
            let parts: Vec<String> =
                parts.map(|(key, value)| format!("{key}: {}", shown_value(value))).collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether a text needs no quotes.
fn is_plain(text: &str) -> bool {
    let odd_first = text.starts_with(|c: char| " [{}]&!|>'\"%@`#,?".contains(c));
    !text.is_empty()
        && !odd_first
        && !text.ends_with(' ')
        && ![": ", " #", ", "].iter().any(|part| text.contains(part))
        && !text.contains(char::is_control)
}

impl Change {
    /// The change as a sentence.
    pub(crate) fn sentence(&self) -> String {
        let restart = if self.restart { " (needs a restart)" } else { "" };
        let key = &self.key;
        let text = match self.kind {
            ChangeKind::Moved => moves(&self.old, &self.new),
            _ if self.secret => "changed (secret)".to_owned(),
            ChangeKind::Added => match parts(&self.new) {
                parts if parts.is_empty() => "added".to_owned(),
                parts => format!("added ({parts})"),
            },
            ChangeKind::Removed => "removed".to_owned(),
            ChangeKind::Changed => {
                format!("{} → {}", shown_value(&self.old), shown_value(&self.new))
            }
        };
        format!("{key}: {text}{restart}")
    }
}

/// The keys of an added entry, or its value.
fn parts(value: &Json) -> String {
    let Json::Object(map) = value else { return shown_value(value) };
    let mut parts: Vec<String> = map
        .iter()
        .take(PARTS_MAX)
        .map(|(key, value)| format!("{key} {}", shown_value(value)))
        .collect();
    if map.len() > PARTS_MAX {
        parts.push("…".to_owned());
    }
    parts.join(", ")
}

/// Each entry that has another place among the rest.
fn moves(old: &Json, new: &Json) -> String {
    let names = |list: &Json| -> Vec<String> {
        list.as_array().into_iter().flatten().map(shown_value).collect()
    };
    let (old, new) = (names(old), names(new));
    let staying = staying(&old, &new);
    let moved = new.iter().enumerate().filter(|(at, _)| !staying.contains(at));
    let told: Vec<String> = moved
        .take(PARTS_MAX)
        .map(|(at, name)| match new.get(at + 1) {
            Some(next) => format!("{name} now comes before {next}"),
            None => format!("{name} now comes last"),
        })
        .collect();
    told.join(", ")
}

/// The indices of `new` that keep their order: the longest such run.
fn staying(old: &[String], new: &[String]) -> Vec<usize> {
    let place = |name: &String| old.iter().position(|known| known == name);
    let places: Vec<Option<usize>> = new.iter().map(place).collect();
    // From the end: the length of the longest rising run that begins at an index.
    let mut runs = vec![(1_usize, None::<usize>); new.len()];
    for at in (0..new.len()).rev() {
        for next in at + 1..new.len() {
            if places[at] < places[next] && runs[next].0 + 1 > runs[at].0 {
                runs[at] = (runs[next].0 + 1, Some(next));
            }
        }
    }
    // Of runs of the same length the later one, so that what came forward is told.
    let mut at = (0..new.len()).rev().max_by_key(|at| (runs[*at].0, *at));
    let mut staying = Vec::new();
    while let Some(index) = at {
        staying.push(index);
        at = runs[index].1;
    }
    staying
}
