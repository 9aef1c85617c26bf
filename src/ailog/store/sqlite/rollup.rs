//! The roll-ups of a batch: summed up in memory, then added to the tables with a few statements.
//!
//! `ai_hourly` has the sums of each hour and group, `ai_digests` the latencies of the same,
//! `ai_daily` the sums of each day, series and outcome, and `ai_tags` those of each day,
//! organisation, tag and outcome.
//!
//! Guarantees: written in the transaction of its rows, so the sums are always those of the rows.
//! Does not: divide calls of one row between hours; a row counts in the hour in which it began.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use rusqlite::Connection;

use super::bind::bind;
use super::groups::{Group, outcome};
use super::layout::nano;
use crate::ailog::columns::{Value, at, iso_millis};
use crate::ailog::store::digest::bucket;
use crate::ailog::store::measures::{FIRST_TOKEN, LATENCY, MEASURES, Sums, Values};

const CREATED_AT: usize = at("created_at");
const ID: usize = at("id");
const REQUEST_ID: usize = at("request_id");
const ORG: usize = at("org_id");
const TAGS: usize = at("tags");

/// The hour in which a row began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hour {
    /// `2026-11-28`
    pub(crate) day: [u8; 10],
    pub(crate) hour: u8,
}

impl Hash for Hour {
    /// A batch has few days.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.hour);
    }
}

impl Hour {
    /// The hour of a row.
    pub(crate) fn of(values: &Values<'_>) -> Hour {
        let iso = iso_millis(values.number(CREATED_AT));
        let mut day = [0; 10];
        day.copy_from_slice(&iso[..10]);
        Hour { day, hour: (iso[11] - b'0') * 10 + (iso[12] - b'0') }
    }
}

/// What is known of an hour and a group.
#[derive(Debug, Default)]
struct Hourly {
    sums: Sums,
    outcome: Box<[u8]>,
    /// Of failed calls: time, id and request id of the newest.
    newest: Option<String>,
    /// The digest and the bucket of each value.
    values: Vec<(Digest, u16)>,
}

/// A place of `ai_daily`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DayOfSeries {
    day: [u8; 10],
    series: i64,
    outcome: Box<[u8]>,
}

/// Rows of one day, organisation and outcome with the same tags.
#[derive(Debug)]
struct Tagged {
    day: [u8; 10],
    org: Box<[u8]>,
    outcome: Box<[u8]>,
    tags: Vec<(String, String)>,
    sums: Sums,
}

/// A place of `ai_tags`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DayOfTag {
    day: [u8; 10],
    org: Box<[u8]>,
    tag: String,
    value: String,
    outcome: Box<[u8]>,
}

/// Latencies or times to the first token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Digest {
    Latency = 0,
    FirstToken = 1,
}

/// The sums of a batch.
#[derive(Debug, Default)]
pub(crate) struct Rollup {
    hours: HashMap<(Hour, Group), Hourly>,
    tagged: HashMap<Box<[u8]>, Tagged>,
    /// The place of a row in `tagged`, in one piece.
    key: Vec<u8>,
}

impl Rollup {
    /// Adds a row.
    pub(crate) fn add(&mut self, hour: Hour, group: Group, values: &Values<'_>) {
        let mut sums = Sums::default();
        sums.add(values);
        let hourly = self.add_sums(hour, group, values, &sums);
        if is_error(outcome(values)) {
            let newest = newest(values);
            if hourly.newest.as_ref() < Some(&newest) {
                hourly.newest = Some(newest);
            }
        }
        let number = |column| u32::try_from(values.number(column)).unwrap_or(u32::MAX);
        hourly.values.push((Digest::Latency, bucket(number(LATENCY))));
        if values.number(FIRST_TOKEN) > 0 {
            hourly.values.push((Digest::FirstToken, bucket(number(FIRST_TOKEN))));
        }
    }

    /// Adds the change of a row that is there already.
    pub(crate) fn add_change(
        &mut self,
        hour: Hour,
        group: Group,
        values: &Values<'_>,
        change: &Sums,
    ) {
        self.add_sums(hour, group, values, change);
    }

    fn add_sums(
        &mut self,
        hour: Hour,
        group: Group,
        values: &Values<'_>,
        sums: &Sums,
    ) -> &mut Hourly {
        let (org, outcome) = (values.text(ORG), outcome(values));
        let tags = match values.get(TAGS) {
            Value::Tags(tags) if !tags.is_empty() => tags.bytes(),
            // As the embedded store has them, where rows are moved.
            Value::Text(json) if json != b"{}" => json,
            _ => b"",
        };
        if !tags.is_empty() {
            self.key.clear();
            for part in [&hour.day, org, outcome, tags] {
                self.key.extend_from_slice(part);
                self.key.push(0xff);
            }
            if let Some(tagged) = self.tagged.get_mut(self.key.as_slice()) {
                tagged.sums.merge(sums);
            } else {
                let tagged = Tagged {
                    day: hour.day,
                    org: org.into(),
                    outcome: outcome.into(),
                    tags: tags_of(values.get(TAGS)),
                    sums: *sums,
                };
                self.tagged.insert(self.key.as_slice().into(), tagged);
            }
        }
        let hourly = self
            .hours
            .entry((hour, group))
            .or_insert_with(|| Hourly { outcome: outcome.into(), ..Hourly::default() });
        hourly.sums.merge(sums);
        hourly
    }

    /// Adds everything to the tables, and begins anew.
    pub(crate) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut hours: Vec<((Hour, Group), Hourly)> = self.hours.drain().collect();
        let mut days: BTreeMap<DayOfSeries, Sums> = BTreeMap::new();
        for ((hour, group), Hourly { sums, outcome, .. }) in &hours {
            let (day, series, outcome) = (hour.day, group.series, outcome.clone());
            days.entry(DayOfSeries { day, series, outcome }).or_default().merge(sums);
        }
        each(connection, &DAILY, days, |row, place, sums| {
            row.text(&place.day)?;
            row.number(place.series)?;
            row.text(&place.outcome)?;
            row.sums(sums)
        })?;
        hours.sort_unstable_by_key(|((hour, group), _)| {
            (hour.day, group.series, hour.hour, group.number)
        });
        let digests = hours.iter_mut().flat_map(|((hour, group), hourly)| {
            hourly.values.sort_unstable();
            let counts = hourly.values.chunk_by(|a, b| a == b);
            counts.map(|same| ((*hour, *group, same[0]), same.len() as i64))
        });
        each(connection, DIGESTS, digests, |row, (hour, group, (digest, bucket)), n| {
            let (hour_of_day, kind) = (i64::from(hour.hour), *digest as i64);
            row.text(&hour.day)?;
            [group.series, hour_of_day, group.number, kind, i64::from(*bucket), *n]
                .into_iter()
                .try_for_each(|number| row.number(number))
        })?;
        hours.sort_unstable_by_key(|((hour, group), _)| (*hour, group.number));
        each(connection, &HOURLY, hours, |row, (hour, group), hourly| {
            row.text(&hour.day)?;
            row.number(i64::from(hour.hour))?;
            row.number(group.number)?;
            row.sums(&hourly.sums)?;
            let newest = hourly.newest.as_ref().map(String::as_bytes);
            row.value(newest.map_or(Value::Null, Value::Text))
        })?;
        self.write_tags(connection)
    }

    fn write_tags(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut places: BTreeMap<DayOfTag, Sums> = BTreeMap::new();
        for (_, Tagged { day, org, outcome, tags, sums }) in self.tagged.drain() {
            for (tag, value) in tags {
                let (org, outcome) = (org.clone(), outcome.clone());
                places.entry(DayOfTag { day, org, tag, value, outcome }).or_default().merge(&sums);
            }
        }
        each(connection, &TAGS_DAILY, places, |row, place, sums| {
            row.text(&place.day)?;
            row.text(&place.org)?;
            row.text(place.tag.as_bytes())?;
            row.text(place.value.as_bytes())?;
            row.text(&place.outcome)?;
            row.sums(sums)
        })
    }

    /// Forgets everything: its transaction did not end well.
    pub(crate) fn clear(&mut self) {
        self.hours.clear();
        self.tagged.clear();
    }
}

/// The parameters of one row, in order.
struct Parameters<'s, 'c> {
    statement: &'s mut rusqlite::Statement<'c>,
    bound: usize,
}

impl Parameters<'_, '_> {
    fn value(&mut self, value: Value<'_>) -> rusqlite::Result<()> {
        self.bound += 1;
        bind(self.statement, self.bound, value)
    }

    fn text(&mut self, text: &[u8]) -> rusqlite::Result<()> {
        self.value(Value::Text(text))
    }

    fn number(&mut self, number: i64) -> rusqlite::Result<()> {
        self.value(Value::NanoUsd(number))
    }

    fn sums(&mut self, sums: &Sums) -> rusqlite::Result<()> {
        sums.0.iter().try_for_each(|sum| self.number(*sum))
    }
}

/// Runs a statement for each entry. In the order of the table's key, neighbours are written
/// together.
fn each<K, V>(
    connection: &Connection,
    sql: &str,
    entries: impl IntoIterator<Item = (K, V)>,
    fill: impl Fn(&mut Parameters<'_, '_>, &K, &V) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    for (key, value) in entries {
        fill(&mut Parameters { statement: &mut statement, bound: 0 }, &key, &value)?;
        statement.raw_execute()?;
    }
    Ok(())
}

const DIGESTS: &str = "INSERT INTO ai_digests (day, series, hour, grp, kind, bucket, n)
     VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n";
static DAILY: LazyLock<String> =
    LazyLock::new(|| upsert("ai_daily", &["day", "series", "outcome"], false));
static HOURLY: LazyLock<String> =
    LazyLock::new(|| upsert("ai_hourly", &["day", "hour", "grp"], true));
static TAGS_DAILY: LazyLock<String> =
    LazyLock::new(|| upsert("ai_tags", &["day", "org_id", "tag", "value", "outcome"], false));

/// Adds sums to those that a table has under a key.
fn upsert(table: &str, key: &[&str], has_newest: bool) -> String {
    let measures = MEASURES.map(|measure| nano(measure.name));
    let mut names: Vec<&str> = key.to_vec();
    names.extend(measures.iter().map(String::as_str));
    let mut sets: Vec<String> =
        measures.iter().map(|name| format!("{name} = {name} + excluded.{name}")).collect();
    if has_newest {
        names.push("newest");
        sets.push(
            "newest = coalesce(max(newest, excluded.newest), newest, excluded.newest)".to_owned(),
        );
    }
    format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT DO UPDATE SET {}",
        names.join(", "),
        vec!["?"; names.len()].join(", "),
        sets.join(", ")
    )
}

fn is_error(outcome: &[u8]) -> bool {
    matches!(outcome, b"provider_error" | b"timeout" | b"refused")
}

/// Text that is greater for a newer call.
fn newest(values: &Values<'_>) -> String {
    let at = iso_millis(values.number(CREATED_AT));
    let id = match values.get(ID) {
        Value::Uuid(id) => id.to_string(),
        _ => String::from_utf8_lossy(values.text(ID)).into_owned(),
    };
    let request_id = String::from_utf8_lossy(values.text(REQUEST_ID));
    format!("{} {id} {request_id}", String::from_utf8_lossy(&at))
}

/// Names and values.
fn tags_of(value: Value<'_>) -> Vec<(String, String)> {
    match value {
        Value::Tags(tags) => {
            tags.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        }
        Value::Text(json) => {
            let tags: BTreeMap<String, String> = serde_json::from_slice(json).unwrap_or_default();
            tags.into_iter().collect()
        }
        _ => Vec::new(),
    }
}
