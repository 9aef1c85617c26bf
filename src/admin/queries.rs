//! Questions of operators about the log: `/api/summary` and `/api/logs`.
//!
//! Guarantees: a principal for some organisations gets nothing of others, whatever it asks for; a
//! parameter that is not known is an error that names those that are. Does not: read the log
//! (`answers` does).

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::access::Asker;
use super::body::Body;
use super::{Admin, Unanswered, answers, iso, typed};
use crate::bounds::{REPORT_ROWS_MAX, SEARCH_TEXT_MAX};
use crate::report::{Days, Dim, Figure, Filter, Part, Question, Reader, Search};

const DAY_MS: i64 = 86_400_000;

/// `?from=2026-11-01&to=2026-11-30&by=day,org,model`; the last seven days where nothing is said.
/// `sort=cost_usd&lines=20&offset=40`: the largest first, a page of them.
pub(crate) async fn summary(
    admin: &Arc<Admin>,
    query: &Query,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    let now = crate::clock::wall_ms();
    let from = query.moment("from", 0)?.unwrap_or(now - now.rem_euclid(DAY_MS) - 6 * DAY_MS);
    let to = query.moment("to", DAY_MS)?.unwrap_or(now + DAY_MS);
    let by = query.get("by").unwrap_or("day,org,model");
    let dims: Vec<Dim> = by
        .split(',')
        .filter(|name| !name.trim().is_empty() && by != "total")
        .map(|name| {
            Dim::parse(name.trim()).ok_or_else(|| {
                format!(
                    "cannot group by `{name}`; use day, hour, minute, org, model, provider, \
                     route, caller, outcome, error, limit, shadow, tag:NAME, or total alone"
                )
            })
        })
        .collect::<Result<_, String>>()?;
    query.known_in_summary()?;
    let mut only = query.conditions()?;
    let named = only.iter().filter(|(dim, _)| *dim == Dim::Org).map(|(_, org)| org.as_str());
    let seen = seen_orgs(asker, named)?;
    if !seen.is_empty() {
        only.retain(|(dim, _)| *dim != Dim::Org);
        only.extend(seen.into_iter().map(|org| (Dim::Org, org)));
    }
    let part = query.part()?;
    let answer = answers::long(admin).await?;
    let by = dims.clone();
    let ask = move |reader: &Reader| {
        let question = Question { stretch: (from, to), by: &by, only: &only, days: &Days::UTC };
        Ok(reader.part(&question, &part)?)
    };
    let report = answers::asked(admin, ask).await?;
    let rows = report.lines;
    let begin = format!("{{\"from\":{},\"to\":{},\"rows\":[", json!(iso(from)), json!(iso(to)));
    let is_cut = "],\"cut\":true}";
    let ends = (if report.is_cut { is_cut } else { "],\"cut\":false}" }, is_cut);
    let body = answers::rows(&admin.tasks, answer, begin, rows, ends, move |row| {
        Value::Object(row.to_full_json(&dims))
    });
    Ok(typed("application/json", body))
}

/// `?limit=50&org_id=acme&outcome=ok…`: newest first; `before=ID` goes on behind that row, and `q`
/// searches.
pub(crate) async fn logs(
    admin: &Arc<Admin>,
    query: &Query,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    let limit = query.number("limit")?.unwrap_or(50).min(1000);
    let mut filter = Filter {
        from_ms: query.moment("from", 0)?,
        to_ms: query.moment("to", DAY_MS)?,
        search: query.search(asker)?,
        ..Filter::default()
    };
    for (name, value) in &query.0 {
        let is_known = match name.as_str() {
            "limit" | "from" | "to" | "before" | "q" => true,
            name => filter.and(name, value),
        };
        if !is_known {
            return Err(format!(
                "cannot filter by `{name}`; use one of {}, q=TEXT, or tag=NAME:VALUE",
                Filter::COLUMNS.join(", ")
            )
            .into());
        }
    }
    filter.orgs = seen_orgs(asker, query.get("org_id"))?;
    if let Some(id) = query.get("before") {
        let mut one = Filter { orgs: filter.orgs.clone(), ..Filter::default() };
        one.and("id", id);
        let row = answers::asked(admin, move |reader| Ok(reader.page(&one, 1, 1)?)).await?;
        let place = row.rows.first().and_then(crate::report::Place::of);
        let unknown = || {
            let message = format!("there is no row `{id}`; `before` takes the `id` of a row");
            Unanswered(StatusCode::NOT_FOUND, message)
        };
        filter.behind = Some(place.ok_or_else(unknown)?);
    }
    let texts = asker.sees_texts();
    Ok(typed("application/json", answers::logs(admin, filter, limit, texts).await?))
}

/// The organisations to which an answer is restricted, of which the request names these; empty:
/// all.
fn seen_orgs<'q>(
    asker: &Asker,
    named: impl IntoIterator<Item = &'q str>,
) -> Result<Vec<String>, Unanswered> {
    let seen: Vec<&str> = asker.orgs().collect();
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<&str> = named.into_iter().collect();
    if let Some(other) = named.iter().find(|org| !seen.contains(org)) {
        let message = format!("your token is not for the organisation `{other}`");
        return Err(Unanswered(StatusCode::FORBIDDEN, message));
    }
    Ok(if named.is_empty() { seen } else { named }.into_iter().map(str::to_owned).collect())
}

/// A query string, decoded.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(query: Option<&str>) -> Query {
        let pairs = query.unwrap_or_default().split('&').filter(|p| !p.is_empty()).take(32);
        let decoded =
            |text: &str| crate::pipeline::query::percent_decoded(text).unwrap_or_default();
        Query(
            pairs
                .map(|p| p.split_once('=').unwrap_or((p, "")))
                .map(|(k, v)| (decoded(k), decoded(v)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// Checks that there are no other parameters than these.
    ///
    /// # Errors
    /// There is one, which is named with those that exist.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), String> {
        let Some((other, _)) = self.0.iter().find(|(name, _)| !names.contains(&name.as_str()))
        else {
            return Ok(());
        };
        Err(match names {
            [] => format!("there is no parameter `{other}`; this path takes none"),
            names => {
                format!("there is no parameter `{other}`; this path takes {}", names.join(", "))
            }
        })
    }

    /// Checks that a summary has all parameters. The names of columns are understood, too.
    fn known_in_summary(&self) -> Result<(), String> {
        const OPTIONS: [&str; 7] = ["from", "to", "by", "sort", "lines", "offset", "percentiles"];
        let is_known = |name: &str| {
            OPTIONS.contains(&name)
                || name == "tag"
                || Dim::parse_condition(&format!("{name}=")).is_some()
        };
        let Some((other, _)) = self.0.iter().find(|(name, _)| !is_known(name)) else {
            return Ok(());
        };
        Err(format!(
            "cannot filter by `{other}`; use one of org, model, provider, route, caller, outcome, \
             error, limit, shadow, tag=NAME:VALUE, or {}",
            OPTIONS.join(", ")
        ))
    }

    /// The conditions of a summary: dimensions, and `tag=NAME:VALUE`.
    fn conditions(&self) -> Result<Vec<(Dim, String)>, String> {
        let mut conditions = Vec::new();
        for (name, value) in &self.0 {
            let named = |tag: &str, value: &str| (Dim::Tag(tag.into()), value.to_owned());
            if name == "tag" {
                let tag = value.split_once(':').filter(|(tag, _)| !tag.is_empty());
                let (tag, value) = tag.ok_or("`tag` must be NAME:VALUE")?;
                conditions.push(named(tag, value));
            } else if let Some(condition) = Dim::parse_condition(&format!("{name}={value}")) {
                conditions.push(condition);
            }
        }
        Ok(conditions)
    }

    /// A moment, in milliseconds since 1970: that of a time, or `later` after the beginning of a
    /// day.
    fn moment(&self, name: &str, later: i64) -> Result<Option<i64>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Ok(Some(moment.as_millisecond()));
        }
        let form = format!(
            "`{name}` must be a day like 2026-11-23, or a time like \
            2026-11-23T10:00:00Z"
        );
        let day: jiff::civil::Date = text.parse().map_err(|_| form)?;
        let zoned = day.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| e.to_string())?;
        Ok(Some(zoned.timestamp().as_millisecond() + later))
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, String> {
        let number = self.get(name).map(str::parse::<usize>).transpose();
        number.map_err(|_| format!("`{name}` must be a number"))
    }

    /// The lines of a summary that are wanted.
    fn part(&self) -> Result<Part, String> {
        let figure = |name| {
            let known = || format!("cannot sort by `{name}`; use {}", Figure::NAMES.join(", "));
            Figure::parse(name).ok_or_else(known)
        };
        let most = self.number("lines")?.unwrap_or(REPORT_ROWS_MAX).min(REPORT_ROWS_MAX);
        let skip = self.number("offset")?.unwrap_or(0).min(u32::MAX as usize);
        let percentiles = match self.get("percentiles") {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err("`percentiles` must be true or false".to_owned()),
        };
        Ok(Part { largest: self.get("sort").map(figure).transpose()?, skip, most, percentiles })
    }

    /// The text to search for. Captured texts are searched for those who may see them.
    fn search(&self, asker: &Asker) -> Result<Option<Search>, String> {
        let Some(text) = self.get("q") else { return Ok(None) };
        if text.chars().count() > SEARCH_TEXT_MAX {
            return Err(format!("`q` may have {SEARCH_TEXT_MAX} characters"));
        }
        Ok(Some(Search { text: text.to_owned(), in_texts: asker.sees_texts() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_refuses_what_it_does_not_know() {
        for known in ["", "org=acme&org_id=b&tag=team:x&from=2026-11-01&by=day", "tag:team=x"] {
            assert_eq!(Query::of(Some(known)).known_in_summary(), Ok(()), "{known}");
        }
        for other in ["status", "q", "endpoint", "orgs", "tz", "day"] {
            let query = format!("by=total&{other}=429");
            let refused = Query::of(Some(&query)).known_in_summary().expect_err(other);
            assert!(refused.starts_with(&format!("cannot filter by `{other}`; use one of org, ")));
        }
    }

    #[test]
    fn a_path_refuses_parameters_of_others() {
        let query = Query::of(Some("org=nobody"));
        let refused = query.only(&["org_id"]);
        assert_eq!(refused, Err("there is no parameter `org`; this path takes org_id".to_owned()));
        assert!(query.only(&[]).is_err() && query.only(&["org"]).is_ok());
    }
}
