//! The sums by day: `ai_daily_mv` makes them of what is inserted into `ai_hourly`.
//!
//! A database that had rows before it had that view has a gap: days of which `ai_daily` may lack
//! sums. They are read from `ai_hourly`. [`SchemaOptions::fill_days`] sums up the days that are
//! over, and notes a smaller gap once they are the sums by hour.
//!
//! Guarantees: a day outside of the gap has the sums of its hours, also while gateways write. Does
//! not: fill the day of the update and those beside it, into which gateways write meanwhile.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;

use super::text::{DAILY_NAMES, listed};
use super::{SchemaOptions, all_of, execute, in_time};
use crate::ailog::store::measures::MEASURES;

/// The longest time for the sums of a month.
const FILL_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How often the sums of a month are compared.
const FILL_TRIES: u32 = 3;
/// Memory after which sums are kept on disk.
const FILL_BYTES_MAX: u64 = 2 << 30;

/// The digests of both latencies.
const DIGESTS: [&str; 2] = ["latency", "first_token"];

/// The first day of the gap as SQL; `all` is [`all_of`] the cluster.
pub(crate) fn gap_begin(all: &str) -> String {
    gap("begin", "1970-01-01", all)
}

/// The day after the gap.
pub(crate) fn gap_end(all: &str) -> String {
    gap("end", "2149-06-06", all)
}

fn gap(end: &str, unknown: &str, all: &str) -> String {
    format!(
        "(SELECT if(count() = 0, toDate('{unknown}'), argMax(g.{end}, g.written_at)) \
         FROM ai_daily_gaps{all} AS g)"
    )
}

impl SchemaOptions {
    /// An end of the gap for a view, which may be read from another database.
    pub(crate) fn gap_of(&self, end: fn(&str) -> String) -> String {
        let named = format!("FROM `{}`.ai_daily_gaps", self.database);
        end(all_of(self.cluster.as_deref())).replace("FROM ai_daily_gaps", &named)
    }

    /// The sums by day of sums by hour.
    pub(crate) fn daily_of(&self) -> String {
        let sums = MEASURES.map(|m| format!("    sum(h.{0}) AS {0}", m.name)).join(",\n");
        let digests = DIGESTS.map(|name| format!("    sumMap(h.{name}) AS {name}")).join(",\n");
        format!(
            "SELECT\n    toDate(h.hour) AS day,\n    {},\n{sums},\n{digests}\n\
             FROM `{}`.ai_hourly AS h\nGROUP BY day, {}",
            DAILY_NAMES.map(|name| format!("h.{name} AS {name}")).join(",\n    "),
            self.database,
            DAILY_NAMES.join(", "),
        )
    }

    /// Sums up the days before the update, month by month, and makes the gap smaller. Does nothing
    /// where this is done.
    ///
    /// # Errors
    /// A statement fails; the gap stays.
    pub(crate) async fn fill_days(&self, client: &Client) -> Result<(), Error> {
        let all = all_of(self.cluster.as_deref());
        let client = client.clone().with_database(&self.database);
        let (begin, end) = (gap_begin(all), gap_end(all));
        // Yesterday and today stay in the gap: calls that began then may end now.
        let months = format!(
            "SELECT DISTINCT toYYYYMM(h.hour) AS month FROM ai_hourly{all} AS h \
             WHERE {begin} = toDate('1970-01-01') AND {end} > toDate('1970-01-01') \
             AND toDate(h.hour) < {LAST} ORDER BY month"
        );
        let months: Vec<u32> = self.fetched(&client, &months).await?;
        for month in &months {
            if !self.fill_month(&client, *month).await? {
                return Ok(());
            }
        }
        let note = format!(
            "INSERT INTO ai_daily_gaps (begin, end) SELECT {LAST} AS begin, {end} AS end \
             WHERE {begin} = toDate('1970-01-01') AND {end} > toDate('1970-01-01')"
        );
        execute(&client, &note, FILL_TIMEOUT).await
    }

    /// Fills `ai_daily` with the sums of the days of a month that are over; returns whether it has them.
    async fn fill_month(&self, client: &Client, month: u32) -> Result<bool, Error> {
        let (differences, count) = self.differences(month);
        for _ in 0..FILL_TRIES {
            execute(client, &differences, FILL_TIMEOUT).await?;
            if self.fetched::<u64>(client, &count).await? == [0] {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The insert of the differences between the sums by hour and by day, and their count. Digests
    /// are of unsigned numbers, which are added modulo 2^64: a difference may be below zero.
    fn differences(&self, month: u32) -> (String, String) {
        let all = all_of(self.cluster.as_deref());
        let names = DAILY_NAMES.join(", ");
        let of_hours = MEASURES.map(|m| format!("h.{0} AS d_{0}", m.name)).join(", ");
        let of_days = MEASURES.map(|m| format!("-d.{0} AS d_{0}", m.name)).join(", ");
        let sums = MEASURES.map(|m| format!("sum(d_{0}) AS s_{0}", m.name)).join(", ");
        let selected = MEASURES.map(|m| format!("s_{}", m.name)).join(", ");
        let differs = MEASURES.map(|m| format!("s_{} != 0", m.name)).join(" OR ");
        let hours_digests = DIGESTS.map(|name| format!("h.{name} AS d_{name}")).join(", ");
        let days_digests = DIGESTS
            .map(|name| format!("mapApply((k, n) -> (k, toUInt64(0 - n)), d.{name}) AS d_{name}"))
            .join(", ");
        let digests = DIGESTS
            .map(|name| format!("mapFilter((k, n) -> n != 0, sumMap(d_{name})) AS s_{name}"))
            .join(", ");
        let any = DIGESTS.map(|name| format!("length(s_{name}) > 0")).join(" OR ");
        let found = format!(
            "FROM (SELECT d_day, {names}, {sums}, {digests} FROM (SELECT toDate(h.hour) AS d_day, \
             {}, {of_hours}, {hours_digests} FROM ai_hourly{all} AS h \
             WHERE toYYYYMM(h.hour) = {month} AND toDate(h.hour) < {LAST} \
             UNION ALL SELECT d.day AS d_day, {}, {of_days}, {days_digests} FROM ai_daily{all} AS d \
             WHERE toYYYYMM(d.day) = {month} AND d.day < {LAST}) \
             GROUP BY d_day, {names}) WHERE {differs} OR {any}",
            DAILY_NAMES.map(|name| format!("h.{name} AS {name}")).join(", "),
            DAILY_NAMES.map(|name| format!("d.{name} AS {name}")).join(", "),
        );
        let insert = format!(
            "INSERT INTO ai_daily {} SELECT d_day, {names}, {selected}, s_latency, s_first_token \
             {found} SETTINGS async_insert = 0, insert_deduplication_token = 'days-{:016x}', \
             max_bytes_before_external_group_by = {FILL_BYTES_MAX}",
            listed(["day"].into_iter().chain(DAILY_NAMES), &DIGESTS),
            fastrand::u64(..)
        );
        let count = format!(
            "SELECT count() {found} SETTINGS max_bytes_before_external_group_by = {FILL_BYTES_MAX}"
        );
        (insert, count)
    }

    async fn fetched<T>(&self, client: &Client, sql: &str) -> Result<Vec<T>, Error>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        in_time(client.query_raw(sql).fetch_all(), FILL_TIMEOUT).await
    }
}

/// The first day that is not over for good, as SQL.
const LAST: &str = "toDate(now('UTC')) - 1";
