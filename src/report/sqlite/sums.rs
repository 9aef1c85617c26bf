//! Sums out of the embedded store: which lines are wanted, and their figures.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params_from_iter};

use super::grouped::{GROUPED_LINES_MAX, Grouped, OF_OUTCOME, SUMMED, figures, line_of};
use super::parts::{Selected, Source, Sql, gathered, is_by_group, parts, sources};
use super::percentiles::{MERGED_LINES_MAX, percentiles};
use crate::ailog::store::sqlite::views::ERRORS;
use crate::report::days::Days;
use crate::report::pieces::{Pieces, Stretch};
use crate::report::query::{Dim, Figure, Part, Question, ReadError, Spent, Summary, keys};

/// Sums of the calls that a question asks for: the wanted lines, by a figure or in the order of the
/// keys.
pub(crate) fn summary(
    connection: &Connection,
    question: &Question<'_>,
    wanted: &Part,
) -> Result<Vec<Summary>, ReadError> {
    // All statements read the same state of the file.
    let reading = connection.unchecked_transaction()?;
    let keys = keys(question.by);
    let pieces = Pieces::of(question.stretch, question.grain());
    let gathers = pieces.hours.iter().any(|hours| is_by_group(Source::Hourly, *hours, question));
    let mut only = question.only.to_vec();
    let mut lines = match wanted.largest {
        // One figure says which lines these are, and the others are summed up for them alone.
        Some(figure) if !keys.is_empty() && !gathers && wanted.most <= MERGED_LINES_MAX => {
            let places = largest(&reading, question, figure, wanted)?;
            only = only_of(question, places.keys());
            let question = Question { only: &only, ..*question };
            let mut lines = sums(&reading, &question, &keys, &ALL)?;
            lines.retain(|line| places.contains_key(&line.key));
            lines.sort_by_key(|line| places[&line.key]);
            lines
        }
        _ => sums(&reading, question, &keys, wanted)?,
    };
    if wanted.percentiles {
        // Digests of other lines need not be read. All lines need no condition.
        let is_part = wanted.skip > 0 || lines.len() >= wanted.most;
        if wanted.largest.is_some() && (is_part || lines.len() > MERGED_LINES_MAX) {
            only = only_of(question, lines.iter().map(|line| &line.key));
        }
        let question = Question { only: &only, ..*question };
        if lines.len() <= MERGED_LINES_MAX || wanted.largest.is_none() {
            percentiles(&reading, &question, &keys, &mut lines)?;
        } else {
            // The digests of many lines are read in the order of their keys.
            let mut placed: Vec<(usize, Summary)> = lines.into_iter().enumerate().collect();
            placed.sort_by(|one, other| one.1.key.cmp(&other.1.key));
            let (places, mut sorted): (Vec<usize>, Vec<Summary>) = placed.into_iter().unzip();
            percentiles(&reading, &question, &keys, &mut sorted)?;
            let mut placed: Vec<(usize, Summary)> = places.into_iter().zip(sorted).collect();
            placed.sort_by_key(|(place, _)| *place);
            lines = placed.into_iter().map(|(_, line)| line).collect();
        }
    }
    Ok(lines)
}

/// Every line, in the order of the keys.
const ALL: Part = Part { largest: None, skip: 0, most: i64::MAX as usize, percentiles: false };

/// The conditions of a question, and that each key is one of these lines'.
fn only_of<'a>(
    question: &Question<'_>,
    lines: impl Iterator<Item = &'a Vec<String>> + Clone,
) -> Vec<(Dim, String)> {
    let others = question.only.iter().filter(|(dim, _)| !question.by.contains(dim));
    let mut only: Vec<(Dim, String)> = others.cloned().collect();
    for (place, dim) in question.by.iter().enumerate() {
        let values: BTreeSet<&String> = lines.clone().map(|key| &key[place]).collect();
        only.extend(values.into_iter().map(|value| (dim.clone(), value.clone())));
    }
    only
}

/// The keys of the lines whose figure is largest, each with its place among them.
fn largest(
    connection: &Connection,
    question: &Question<'_>,
    figure: Figure,
    wanted: &Part,
) -> Result<HashMap<Vec<String>, usize>, ReadError> {
    let listed = keys(question.by).join(", ");
    let mut sql = Sql::default();
    sql.push(&format!("SELECT {listed} FROM "));
    let select = |source| format!("{} AS figure", figure_of(source, figure.0));
    let pieces = Pieces::of(question.stretch, question.grain());
    // Asked where nothing is gathered by group.
    let selected = Selected { of: &select, gathered: "" };
    if !parts(question, &sources(&pieces), &selected, &mut sql) {
        return Ok(HashMap::new());
    }
    let Part { skip, most, .. } = wanted;
    sql.push(&format!(
        " GROUP BY {listed} ORDER BY sum(figure) DESC, {listed} LIMIT {most} OFFSET {skip}"
    ));
    let mut statement = connection.prepare(&sql.text)?;
    let key = |row: &rusqlite::Row<'_>| (0..question.by.len()).map(|at| row.get(at)).collect();
    let found = statement.query_map(params_from_iter(&sql.values), key)?;
    Ok(found.enumerate().map(|(place, key)| Ok((key?, place))).collect::<rusqlite::Result<_>>()?)
}

/// A figure of a source as a column.
fn figure_of(source: Source, name: &str) -> String {
    let outcome = if source == Source::Daily { "d.outcome" } else { "g.outcome" };
    let calls = source.measure("calls");
    let when = |which: &str| format!("CASE WHEN {outcome} IN {which} THEN {calls} ELSE 0 END");
    match name {
        "errors" => when(ERRORS),
        "rate_limited" => when("('rate_limited')"),
        name => source.measure(name),
    }
}

/// The sums alone.
fn sums(
    connection: &Connection,
    question: &Question<'_>,
    keys: &[String],
    wanted: &Part,
) -> Result<Vec<Summary>, ReadError> {
    let joined = |column: &dyn Fn(&str) -> String| {
        SUMMED.iter().map(|name| column(name)).collect::<Vec<String>>().join(", ")
    };
    let select = |source| joined(&|name| format!("{} AS {name}", figure_of(source, name)));
    let measures = SUMMED.iter().filter(|name| !OF_OUTCOME.contains(name));
    let gathered = measures.map(|name| gathered(name)).collect::<Vec<_>>().join(", ");
    let selected = Selected { of: &select, gathered: &gathered };
    let mut from = Sql::default();
    let pieces = Pieces::of(question.stretch, question.grain());
    if !parts(question, &sources(&pieces), &selected, &mut from) {
        return Ok(Vec::new());
    }
    let listed: String = keys.iter().map(|key| format!("{key}, ")).collect();
    if !keys.is_empty() {
        let sql = format!("SELECT {listed}{} FROM {}", joined(&str::to_owned), from.text);
        let mut statement = connection.prepare(&sql)?;
        let mut found = statement.query(params_from_iter(&from.values))?;
        let mut lines = Grouped::new(keys.len());
        while lines.len() <= GROUPED_LINES_MAX {
            let Some(row) = found.next()? else { return Ok(lines.part(wanted)) };
            lines.add(row)?;
        }
    }
    let largest = wanted.largest.map(|figure| format!("sum({}) DESC", figure.0));
    let order: Vec<&str> =
        largest.iter().map(String::as_str).chain(keys.iter().map(String::as_str)).collect();
    let mut sql =
        format!("SELECT {listed}{} FROM {}", joined(&|name| format!("sum({name})")), from.text);
    if !keys.is_empty() {
        sql.push_str(&format!(" GROUP BY {} ORDER BY {}", keys.join(", "), order.join(", ")));
    }
    sql.push_str(&format!(" LIMIT {} OFFSET {}", wanted.most, wanted.skip));
    let mut statement = connection.prepare(&sql)?;
    let lines = statement.query_map(params_from_iter(&from.values), |row| {
        let key = (0..keys.len()).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?;
        Ok(line_of(key, &figures(row, keys.len())?))
    })?;
    // Without dimensions SQL returns one line even if there is no row.
    let lines =
        lines.filter(|line| line.as_ref().is_ok_and(|line| line.calls > 0) || line.is_err());
    Ok(lines.collect::<rusqlite::Result<_>>()?)
}

/// The largest costs by organisation, caller and model.
pub(crate) fn spent(
    connection: &Connection,
    stretch: Stretch,
    most: usize,
) -> Result<Vec<Spent>, ReadError> {
    let by = [Dim::Org, Dim::Caller, Dim::Model];
    let question = Question { stretch, by: &by, only: &[], days: &Days::UTC };
    let pieces = Pieces::of(stretch, question.grain());
    let sources = [(Source::Hourly, &pieces.hours), (Source::Rows, &pieces.rows)];
    let mut sql = Sql::default();
    sql.push("SELECT k0, k1, k2, sum(cost) FROM ");
    let select = |source: Source| format!("{} AS cost", source.measure("cost_usd"));
    let selected = Selected { of: &select, gathered: &gathered("cost_usd") };
    if !parts(&question, &sources, &selected, &mut sql) {
        return Ok(Vec::new());
    }
    sql.push(&format!(
        " GROUP BY k0, k1, k2 HAVING sum(cost) > 0 ORDER BY 4 DESC, 1, 2, 3 LIMIT {most}"
    ));
    let mut statement = connection.prepare(&sql.text)?;
    let sums = statement.query_map(params_from_iter(&sql.values), |row| {
        let nano_usd = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
        Ok(Spent { org: row.get(0)?, caller: row.get(1)?, model: row.get(2)?, nano_usd })
    })?;
    Ok(sums.collect::<rusqlite::Result<_>>()?)
}
