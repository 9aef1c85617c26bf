//! The roll-ups of a batch: summed up in memory, then added to the tables with a few statements.
//!
//! `ai_hourly` has the sums and the digests of each hour and group, `ai_daily` those of each day,
//! series and outcome, and `ai_tags` the sums of each day, organisation, tag and outcome.
//!
//! Guarantees: written in the transaction of its rows, so the sums are always those of the rows.
//! Does not: divide calls of one row between hours; a row counts in the hour in which it began.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use uuid::Uuid;

use super::bind::bind;
use super::groups::{Group, outcome};
use super::layout::nano;
use crate::ailog::columns::{Value, at, iso_millis};
use crate::ailog::store::digest::{append, bucket, write};
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
        Hour::of_time(&iso_millis(values.number(CREATED_AT)))
    }

    /// The hour of a time.
    pub(crate) fn of_time(iso: &[u8; 24]) -> Hour {
        let mut day = [0; 10];
        day.copy_from_slice(&iso[..10]);
        Hour { day, hour: (iso[11] - b'0') * 10 + (iso[12] - b'0') }
    }
}

/// The sums of an hour and a group.
#[derive(Debug, Default)]
struct Hourly {
    sums: Sums,
    outcome: Box<[u8]>,
    /// Of failed calls: time, id and request id of the newest.
    newest: Option<String>,
    buckets: Buckets,
}

/// The bucket of each latency and of each time to the first token.
#[derive(Debug, Default)]
struct Buckets {
    latencies: Vec<u16>,
    first_tokens: Vec<u16>,
}

impl Buckets {
    fn merge(&mut self, other: &Buckets) {
        self.latencies.extend_from_slice(&other.latencies);
        self.first_tokens.extend_from_slice(&other.first_tokens);
    }
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
        hourly.buckets.latencies.push(bucket(number(LATENCY)));
        if values.number(FIRST_TOKEN) > 0 {
            hourly.buckets.first_tokens.push(bucket(number(FIRST_TOKEN)));
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
        let mut days: BTreeMap<DayOfSeries, (Sums, Buckets)> = BTreeMap::new();
        for ((hour, group), Hourly { sums, outcome, buckets, .. }) in &hours {
            let (day, series, outcome) = (hour.day, group.series, outcome.clone());
            let daily = days.entry(DayOfSeries { day, series, outcome }).or_default();
            daily.0.merge(sums);
            daily.1.merge(buckets);
        }
        each(connection, &DAILY, days, |row, place, (sums, buckets)| {
            row.text(&place.day)?;
            row.number(place.series)?;
            row.text(&place.outcome)?;
            row.sums(sums)?;
            row.digests(buckets)
        })?;
        hours.sort_unstable_by_key(|((hour, group), _)| (*hour, group.number));
        each(connection, &HOURLY, hours, |row, (hour, group), hourly| {
            row.text(&hour.day)?;
            row.number(i64::from(hour.hour))?;
            row.number(group.number)?;
            row.sums(&hourly.sums)?;
            row.digests(&mut hourly.buckets)?;
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

    fn digests(&mut self, buckets: &mut Buckets) -> rusqlite::Result<()> {
        let mut text = String::new();
        for values in [&mut buckets.latencies, &mut buckets.first_tokens] {
            text.clear();
            write(values, &mut text);
            let text = Some(text.as_bytes()).filter(|text| !text.is_empty());
            self.value(text.map_or(Value::Null, Value::Text))?;
        }
        Ok(())
    }
}

/// Adds each entry to a table. In the order of the table's key, neighbours are written together.
fn each<K, V>(
    connection: &Connection,
    table: &Table,
    entries: impl IntoIterator<Item = (K, V)>,
    fill: impl Fn(&mut Parameters<'_, '_>, &K, &mut V) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    let mut update = connection.prepare_cached(&table.update)?;
    let mut insert = connection.prepare_cached(&table.insert)?;
    for (key, mut value) in entries {
        fill(&mut Parameters { statement: &mut update, bound: 0 }, &key, &mut value)?;
        if update.raw_execute()? == 0 {
            fill(&mut Parameters { statement: &mut insert, bound: 0 }, &key, &mut value)?;
            insert.raw_execute()?;
        }
    }
    Ok(())
}

/// The statements of a roll-up. To update a row, and to insert it if there is none, takes half the
/// time of `ON CONFLICT DO UPDATE`.
struct Table {
    update: String,
    insert: String,
}

/// The columns behind the sums.
const DIGESTS: [&str; 2] = ["latency_digest", "first_token_digest"];
static DAILY: LazyLock<Table> =
    LazyLock::new(|| table("ai_daily", &["day", "series", "outcome"], &DIGESTS));
static HOURLY: LazyLock<Table> = LazyLock::new(|| {
    table("ai_hourly", &["day", "hour", "grp"], &[DIGESTS[0], DIGESTS[1], "newest"])
});
static TAGS_DAILY: LazyLock<Table> =
    LazyLock::new(|| table("ai_tags", &["day", "org_id", "tag", "value", "outcome"], &[]));

/// The statements of a table with this key, and these columns behind its sums.
fn table(name: &str, key: &[&str], more: &[&str]) -> Table {
    let measures = MEASURES.map(|measure| nano(measure.name));
    let sums = measures.iter().map(String::as_str);
    let names: Vec<&str> = key.iter().copied().chain(sums).chain(more.iter().copied()).collect();
    let set = |(place, name): (usize, &&str)| match *name {
        "newest" => format!("newest = coalesce(max(newest, ?{place}), newest, ?{place})"),
        name if DIGESTS.contains(&name) => format!(
            "{name} = CASE WHEN ?{place} IS NULL THEN {name} \
             ELSE digest_joined({name}, ?{place}) END"
        ),
        name => format!("{name} = {name} + ?{place}"),
    };
    let numbered = || (1..).zip(&names);
    let sets: Vec<String> = numbered().skip(key.len()).map(set).collect();
    let is: Vec<String> =
        numbered().take(key.len()).map(|(place, name)| format!("{name} = ?{place}")).collect();
    let marks = vec!["?"; names.len()].join(", ");
    Table {
        update: format!("UPDATE {name} SET {} WHERE {}", sets.join(", "), is.join(" AND ")),
        insert: format!("INSERT INTO {name} ({}) VALUES ({marks})", names.join(", ")),
    }
}

/// Gives a connection that writes roll-ups the function that they need.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("digest_joined", 2, flags, |context| {
        let digest = |at| {
            context
                .get_raw(at)
                .as_str_or_null()
                .map_err(|error| rusqlite::Error::UserFunctionError(error.into()))
        };
        let (before, more) = (digest(0)?, digest(1)?);
        let mut text =
            String::with_capacity(before.map_or(0, str::len) + more.map_or(0, str::len) + 1);
        text.push_str(before.unwrap_or_default());
        append(&mut text, more.unwrap_or_default());
        Ok(Some(text).filter(|text| !text.is_empty()))
    })
}

fn is_error(outcome: &[u8]) -> bool {
    matches!(outcome, b"provider_error" | b"timeout" | b"refused")
}

/// Text that is greater for a newer call.
fn newest(values: &Values<'_>) -> String {
    let mut buffer = Uuid::encode_buffer();
    let id = match values.get(ID) {
        Value::Uuid(id) => &*id.hyphenated().encode_lower(&mut buffer),
        _ => str::from_utf8(values.text(ID)).unwrap_or_default(),
    };
    let at = iso_millis(values.number(CREATED_AT));
    let request_id = str::from_utf8(values.text(REQUEST_ID)).unwrap_or_default();
    [str::from_utf8(&at).unwrap_or_default(), " ", id, " ", request_id].concat()
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
