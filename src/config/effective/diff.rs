//! The differences between two configurations, by what they mean.
//!
//! Pure. Guarantees: the order of keys and files, comments and forms of the same value make no
//! difference; entries with names are compared by name; where the order of a list has a meaning, a
//! change of it is a move. Does not: tell text apart.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::super::reader::shape::Section as _;
use super::super::sections::RawGateway;
use super::meaning::{Held, Meaning};

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) kind: ChangeKind,
    pub(crate) old: Json,
    pub(crate) new: Json,
    /// The value is a secret, so both are masked.
    pub(crate) secret: bool,
    /// It takes effect at the next start.
    #[serde(default)]
    pub(crate) restart: bool,
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeKind {
    Added,
    Removed,
    Changed,
    Moved,
}

type Path = [String];

/// One side.
struct Side<'a> {
    meaning: &'a Meaning,
    items: HashMap<&'a Path, &'a Held>,
    entries: HashSet<&'a Path>,
    /// The first item at or below a path; those below it follow.
    first: HashMap<&'a Path, usize>,
}

impl<'a> Side<'a> {
    fn of(meaning: &'a Meaning) -> Side<'a> {
        let items = meaning.items.iter().map(|item| (&*item.path, item)).collect();
        let entries = meaning.entries.iter().map(|path| &**path).collect();
        let mut first = HashMap::new();
        for (at, item) in meaning.items.iter().enumerate() {
            for length in 1..=item.path.len() {
                first.entry(&item.path[..length]).or_insert(at);
            }
        }
        Side { meaning, items, entries, first }
    }

    /// The value that holds at a path: an organisation without its own has that of all.
    fn in_force(&self, path: &Path) -> Option<&'a Held> {
        self.items.get(path).copied().or_else(|| {
            let at = path.iter().position(|name| name == "orgs")?;
            let of_all: Vec<String> =
                path[..at].iter().chain(path.get(at + 2..)?).cloned().collect();
            self.items.get(&*of_all).copied()
        })
    }

    /// The values of a file below a path, by the rest of the path.
    fn below(&self, path: &Path) -> Map<String, Json> {
        let Some(first) = self.first.get(path) else { return Map::new() };
        let items = self.meaning.items[*first..].iter();
        let below = items.map_while(|item| Some((item.path.strip_prefix(path)?, item)));
        let given = below.filter(|(_, item)| item.is_given);
        given.map(|(rest, item)| (rest.join("."), item.value.clone())).collect()
    }

    fn has_below(&self, path: &Path) -> bool {
        !self.items.contains_key(path) && self.first.contains_key(path)
    }
}

/// Every difference, in the order of the schema.
pub(crate) fn differences(old: &Meaning, new: &Meaning) -> Vec<Change> {
    let (old, new) = (Side::of(old), Side::of(new));
    let mut changes = Vec::new();
    // Below these all is told.
    let mut told: Vec<&Path> = Vec::new();
    replaced(&old, &new, &mut told, &mut changes);
    entries(&old, &new, &mut told, &mut changes);
    let told: HashSet<&Path> = told.into_iter().collect();
    let is_told = |path: &Path| (1..=path.len()).any(|length| told.contains(&path[..length]));
    let only_old = old.meaning.items.iter().filter(|item| !new.items.contains_key(&*item.path));
    for item in new.meaning.items.iter().chain(only_old).filter(|item| !is_told(&item.path)) {
        changes.extend(value(&old, &new, &item.path));
    }
    moved(&old, &new, &mut changes);
    let items = new.meaning.items.iter().chain(&old.meaning.items);
    let mut sections: Vec<&str> = items.map(|item| &*item.path[0]).collect();
    sections.dedup();
    changes.sort_by_cached_key(|change| {
        let section = change.key.split('.').next().unwrap_or_default();
        sections.iter().position(|name| *name == section)
    });
    changes
}

/// Values that became mappings, and the other way: `tls: null` and `tls: {cert_file: …}`.
fn replaced<'a>(
    old: &Side<'a>,
    new: &Side<'a>,
    told: &mut Vec<&'a Path>,
    changes: &mut Vec<Change>,
) {
    let is_empty = |value: &Json| *value == json!({}) || *value == json!([]);
    for (here, there, is_new) in [(old, new, true), (new, old, false)] {
        for item in here.meaning.items.iter().filter(|item| !is_empty(&item.value)) {
            let path: &Path = &item.path;
            if there.items.contains_key(path) || !there.has_below(path) {
                continue;
            }
            told.push(path);
            let (whole, single) = (Json::Object(there.below(path)), item.value.clone());
            let kind = match (item.value.is_null(), is_new) {
                (true, true) => ChangeKind::Added,
                (true, false) => ChangeKind::Removed,
                (false, _) => ChangeKind::Changed,
            };
            let (before, after) = if is_new { (single, whole) } else { (whole, single) };
            changes.push(change(path, kind, before, after, false));
        }
    }
}

/// Entries that came and went.
fn entries<'a>(
    old: &Side<'a>,
    new: &Side<'a>,
    told: &mut Vec<&'a Path>,
    changes: &mut Vec<Change>,
) {
    for (here, there, kind) in [(new, old, ChangeKind::Added), (old, new, ChangeKind::Removed)] {
        for path in &here.meaning.entries {
            let is_told = (1..=path.len()).any(|length| told.contains(&&path[..length]));
            if there.entries.contains(&**path) || is_told {
                continue;
            }
            told.push(path);
            let single = here.items.get(&**path).map(|item| item.value.clone());
            let whole = single.unwrap_or_else(|| Json::Object(here.below(path)));
            let is_org = path.iter().rev().nth(1).is_some_and(|name| name == "orgs");
            if is_org && whole == json!({}) {
                // It has nothing of its own.
                continue;
            }
            let (before, after) = match kind {
                ChangeKind::Added => (Json::Null, whole),
                _ => (whole, Json::Null),
            };
            changes.push(change(path, kind, before, after, false));
        }
    }
}

/// A value that differs.
fn value(old: &Side<'_>, new: &Side<'_>, path: &Path) -> Option<Change> {
    let (before, after) = (old.in_force(path), new.in_force(path));
    let is_empty = |held: Option<&Held>| {
        held.is_some_and(|held| held.value == json!({}) || held.value == json!([]))
    };
    match (before, after) {
        (Some(before), Some(after)) => {
            let is_same_mark = before.mark == after.mark;
            if same(before, after) && is_same_mark {
                return None;
            }
            if before.is_ordered && is_same_mark && sorted(&before.value) == sorted(&after.value) {
                let (old, new) = (before.value.clone(), after.value.clone());
                return Some(change(path, ChangeKind::Moved, old, new, false));
            }
            let is_secret = before.is_secret || after.is_secret || before.value == after.value;
            let (old, new) = (before.value.clone(), after.value.clone());
            Some(change(path, ChangeKind::Changed, old, new, is_secret))
        }
        // Entries stand in the place of an empty mapping, and are told themselves.
        (None, Some(_)) if !is_empty(after) => {
            let (new, is_secret) = after.map(|held| (held.value.clone(), held.is_secret))?;
            Some(change(path, ChangeKind::Added, Json::Null, new, is_secret))
        }
        (Some(_), None) if !is_empty(before) => {
            let (old, is_secret) = before.map(|held| (held.value.clone(), held.is_secret))?;
            Some(change(path, ChangeKind::Removed, old, Json::Null, is_secret))
        }
        _ => None,
    }
}

/// Whether two values mean the same.
fn same(before: &Held, after: &Held) -> bool {
    before.value == after.value
        || (!before.is_ordered && sorted(&before.value) == sorted(&after.value))
}

/// The entries of a list by their text; of any other value, itself.
fn sorted(value: &Json) -> Vec<String> {
    match value {
        Json::Array(list) => {
            let mut texts: Vec<String> = list.iter().map(Json::to_string).collect();
            texts.sort_unstable();
            texts.insert(0, "list".to_owned());
            texts
        }
        other => vec![other.to_string()],
    }
}

/// Lists of named entries whose order changed.
fn moved(old: &Side<'_>, new: &Side<'_>, changes: &mut Vec<Change>) {
    let mut seen: HashSet<&Path> = HashSet::new();
    for entry in &new.meaning.entries {
        let list = &entry[..entry.len().saturating_sub(1)];
        if list.last().is_none_or(|name| name != "models") || !seen.insert(list) {
            continue;
        }
        let names = |side: &Side<'_>, other: &Side<'_>| -> Vec<String> {
            let here = side.meaning.entries.iter().filter(|path| {
                path.len() == list.len() + 1
                    && path.starts_with(list)
                    && other.entries.contains(&***path)
            });
            here.filter_map(|path| path.last().cloned()).collect()
        };
        let (before, after) = (names(old, new), names(new, old));
        if before != after {
            changes.push(change(list, ChangeKind::Moved, json!(before), json!(after), false));
        }
    }
}

fn change(path: &Path, kind: ChangeKind, old: Json, new: Json, secret: bool) -> Change {
    let restart = path.first().is_some_and(|name| RawGateway::KEYS.contains(&name.as_str()));
    Change { key: path.join("."), kind, old, new, secret, restart }
}
