//! Repairs the roll-ups of rows whose costs were changed.
//!
//! Pure. Guarantees: sums that have fewer rows than there are, because their insert is under way,
//! are left alone. `ai_daily` follows `ai_hourly` by its view. Does not: run a statement.

use super::text::{HOURLY_NAMES, listed};
use crate::ailog::store::measures::MEASURES;

/// Sums up the rows of a roll-up anew.
pub(crate) struct Repair {
    /// Inserts the differences, where both have the same number of rows.
    pub(crate) insert: String,
    /// Counts the sums that have fewer rows than there are.
    pub(crate) behind: String,
}

/// Repairs of all roll-ups for a stretch of time, whose whole hours and days are compared; `from`
/// and `to` are SQL. The database is the current one. On a cluster `all` is [`all_of`] it: all
/// shards are compared, and this one gets the differences, which are added up with the others.
pub(crate) fn repairs(from: &str, to: &str, all: &str) -> [Repair; 2] {
    let hourly_keys = ["hour"].into_iter().chain(HOURLY_NAMES).chain(["category", "priority"]);
    let tag_keys = ["day", "org_id", "tag", "value", "outcome"];
    let rows = format!("ai_rows{all} AS r");
    let tags = format!("{rows} ARRAY JOIN CAST(r.tags, 'Array(Tuple(String, String))') AS t");
    [
        repair("ai_hourly", &hourly_keys.collect::<Vec<_>>(), &rows, (from, to, all)),
        repair("ai_tags", &tag_keys, &tags, (from, to, all)),
    ]
}

fn repair(rollup: &str, keys: &[&str], rows: &str, (from, to, all): (&str, &str, &str)) -> Repair {
    let key = |name: &&str| match *name {
        "hour" => "toStartOfHour(r.created_at) AS hour".to_owned(),
        "day" => "toDate(r.created_at) AS day".to_owned(),
        "tag" => "t.1 AS tag".to_owned(),
        "value" => "t.2 AS value".to_owned(),
        "category" | "priority" => format!("ifNull(r.{name}, '') AS {name}"),
        name => format!("r.{name} AS {name}"),
    };
    let (unit, time) =
        if keys[0] == "hour" { ("toStartOfHour", "hour") } else { ("toStartOfDay", "day") };
    let joined_keys = keys.join(", ");
    let selected: Vec<String> = keys.iter().map(key).collect();
    let of_rows = MEASURES.map(|m| format!("sum({}) AS r_{}", m.of_row("r"), m.name)).join(", ");
    let of_sums = MEASURES.map(|m| format!("sum(h.{0}) AS h_{0}", m.name)).join(", ");
    let sums_keys =
        keys.iter().map(|key| format!("h.{key} AS {key}")).collect::<Vec<_>>().join(", ");
    let joined = format!(
        "(SELECT {}, {of_rows} FROM {rows} WHERE r.created_at >= {unit}({from}) \
         AND r.created_at < {to} + toIntervalDay(1) AND {unit}(r.created_at) < {to} \
         GROUP BY {joined_keys}) AS a INNER JOIN (SELECT {sums_keys}, {of_sums} FROM {rollup}{all} AS h \
         WHERE h.{time} >= {unit}({from}) AND h.{time} < {to} GROUP BY {joined_keys}) AS b \
         USING ({joined_keys})",
        selected.join(", ")
    );
    let differences = MEASURES.map(|m| format!("r_{0} - h_{0}", m.name)).join(", ");
    let differs = MEASURES.map(|m| format!("r_{0} != h_{0}", m.name)).join(" OR ");
    let names = listed(keys.iter().copied(), &[]);
    Repair {
        insert: format!(
            "INSERT INTO {rollup} {names} SELECT {joined_keys}, {differences} FROM {joined} \
             WHERE r_row_count = h_row_count AND ({differs}) SETTINGS async_insert = 0, \
             insert_deduplication_token = 'repair-{:016x}', max_partitions_per_insert_block = 0",
            fastrand::u64(..)
        ),
        behind: format!("SELECT count() AS n FROM {joined} WHERE r_row_count > h_row_count"),
    }
}
