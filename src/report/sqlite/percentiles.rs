//! The percentiles of the lines of an answer, out of the digests of the roll-ups and the rows.
//!
//! Guarantees: digests are merged as they are read, so that memory grows with the lines and not
//! with the groups. Does not: choose the lines (see `sums`).

use rusqlite::{Connection, params_from_iter};

use super::digest::Digest;
use super::grouped::Places;
use super::parts::{Selected, Source, Sql, parts, sources};
use crate::ailog::store::digest::{ENTRY, bucket_sql};
use crate::report::pieces::Pieces;
use crate::report::query::{Question, ReadError, Summary};

/// So many lines have their digests merged in memory, each at most two numbers for each bucket.
pub(crate) const MERGED_LINES_MAX: usize = 1_000;

/// The percentiles of the lines. Many lines are in the order of their keys.
pub(crate) fn percentiles(
    connection: &Connection,
    question: &Question<'_>,
    keys: &[String],
    lines: &mut [Summary],
) -> Result<(), ReadError> {
    let pieces = Pieces::of(question.stretch, question.grain());
    let select = |source: Source| match source {
        Source::Rows => {
            let entry = |column: &str| {
                let bucket = bucket_sql(column, |by| format!("{column} / {by}"));
                format!("{ENTRY} + {bucket}")
            };
            format!(
                "{} AS latencies, CASE WHEN r.first_token_ms > 0 THEN {} END AS first_tokens",
                entry("r.latency_ms"),
                entry("r.first_token_ms")
            )
        }
        Source::Daily => digests_of("d"),
        Source::Hourly => digests_of("h"),
    };
    let listed: String = keys.iter().map(|key| format!("{key}, ")).collect();
    let mut sql = Sql::default();
    sql.push(&format!("SELECT {listed}latencies, first_tokens FROM "));
    let gathered = "group_concat(h.latency_digest) AS latency_digest, \
         group_concat(h.first_token_digest) AS first_token_digest";
    let selected = Selected { of: &select, gathered };
    if lines.is_empty() || !parts(question, &sources(&pieces), &selected, &mut sql) {
        return Ok(());
    }
    if lines.len() <= MERGED_LINES_MAX {
        return merged(connection, &sql, keys.len(), lines);
    }
    sql.push(&format!(" ORDER BY {}", keys.join(", ")));
    let mut statement = connection.prepare(&sql.text)?;
    let mut found = statement.query(params_from_iter(&sql.values))?;
    let (mut at, mut digest) = (0, Digest::default());
    while let Some(row) = found.next()? {
        let is_same = |line: &Summary| -> rusqlite::Result<bool> {
            for (place, key) in line.key.iter().enumerate() {
                if row.get_ref(place)?.as_str()? != key {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if !is_same(&lines[at])? {
            digest.finish(&mut lines[at]);
            // Groups without a call have no line.
            match (at + 1..lines.len()).find(|next| is_same(&lines[*next]).unwrap_or(false)) {
                Some(next) => at = next,
                None if at + 1 >= lines.len() => return Ok(()),
                None => continue,
            }
        }
        digest.add(row, keys.len())?;
    }
    digest.finish(&mut lines[at]);
    Ok(())
}

/// The digests of a roll-up.
fn digests_of(alias: &str) -> String {
    format!("{alias}.latency_digest AS latencies, {alias}.first_token_digest AS first_tokens")
}

/// The digests of a few lines, merged here: quicker than to sort them.
fn merged(
    connection: &Connection,
    sql: &Sql,
    keys: usize,
    lines: &mut [Summary],
) -> Result<(), ReadError> {
    let mut places = Places::of(lines);
    let mut digests: Vec<Digest> =
        std::iter::repeat_with(Digest::default).take(lines.len()).collect();
    let mut statement = connection.prepare(&sql.text)?;
    let mut found = statement.query(params_from_iter(&sql.values))?;
    while let Some(row) = found.next()? {
        if let Some(place) = places.find(row, keys)? {
            digests[place].add(row, keys)?;
        }
    }
    for (line, digest) in lines.iter_mut().zip(&mut digests) {
        digest.finish(line);
    }
    Ok(())
}
