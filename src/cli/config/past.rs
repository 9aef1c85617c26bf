//! The figures of the past in `tollgate config diff`: the calls that the new limits would have
//! refused.
//!
//! The calls of a log are judged as `tollgate replay` judges them. Guarantees: without a log at
//! hand there are no figures, and no error unless a log was asked for; a figure that some calls may
//! exceed says "at least". Does not: change anything, or judge more than limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use crate::ailog::store::measures::Values;
use crate::ailog::store::sqlite::FILE;
use crate::bounds::REPLAY_ORGS_MAX;
use crate::cli::export::stretch;
use crate::cli::progress::Progress;
use crate::cli::replay::logged;
use crate::cli::report::start_ms;
use crate::clock::wall_ms;
use crate::config::effective::Change;
use crate::config::policy::{OrgLimits, Policy, StoreKind};
use crate::config::{self, Loaded, Uses, told};
use crate::failure::Failure;
use crate::judge::replay::{Dimension, Replay};
use crate::money::thousands;
use crate::report::Reader;
use crate::report::export::{ExportError, Selection, Sink};

/// Organisations that a sentence names.
const NAMED_MAX: usize = 3;

/// The log that is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration of the gateway whose log gives the figures [default: A]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// First day (UTC) of the figures [default: yesterday]
    #[arg(long, value_name = "DAY", value_parser = crate::cli::report::day)]
    from: Option<Date>,
    /// Last day (UTC) of the figures, included [default: yesterday]
    #[arg(long, value_name = "DAY", value_parser = crate::cli::report::day)]
    to: Option<Date>,
}

impl Args {
    /// Whether figures were asked for.
    fn is_given(&self) -> bool {
        self.config.is_some() || self.from.is_some() || self.to.is_some()
    }

    /// The days that are asked about, given the present day.
    fn days(&self, today: Date) -> Result<(Date, Date), Failure> {
        let yesterday = today.yesterday()?;
        Ok(match (self.from, self.to) {
            (None, None) => (yesterday, yesterday),
            (Some(from), None) => (from, yesterday.max(from)),
            (None, Some(to)) => (to, to),
            (Some(from), Some(to)) => (from, to),
        })
    }
}

/// Calls of an organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    all: u64,
    /// Those that the new policy would have refused with 429.
    refused: u64,
    /// Those that were refused with 429 for a limit.
    was_refused: u64,
    /// Some calls cannot be judged.
    is_least: bool,
}

impl Calls {
    fn add(&mut self, other: Calls) {
        self.all += other.all;
        self.refused += other.refused;
        self.was_refused += other.was_refused;
        self.is_least |= other.is_least;
    }
}

/// What a log says of a policy.
#[derive(Debug)]
pub(crate) struct Past {
    days: (Date, Date),
    /// "yesterday", or the days.
    when: String,
    orgs: BTreeMap<String, Calls>,
    all: Calls,
}

/// The figures for a policy, if a log is at hand. `a`: the configuration before; `b`: the folder or
/// file of the new one.
///
/// # Errors
/// A log was asked for and cannot be read.
pub(crate) fn read(args: &Args, (a, b): (&Path, &Path)) -> Result<Option<Past>, Failure> {
    let now = Timestamp::from_millisecond(wall_ms())?.to_zoned(TimeZone::UTC).date();
    let days = args.days(now)?;
    let when = match days {
        days if days == (now.yesterday()?, now.yesterday()?) => "yesterday".to_owned(),
        (from, to) if from == to => format!("on {from}"),
        (from, to) => format!("from {from} to {to}"),
    };
    match figures(args, (a, b), days, when) {
        // Nothing was asked for, so nothing is missing.
        Err(Failure::User(_)) if !args.is_given() => Ok(None),
        result => result,
    }
}

fn figures(
    args: &Args,
    (a, b): (&Path, &Path),
    days: (Date, Date),
    when: String,
) -> Result<Option<Past>, Failure> {
    let user = |error: crate::report::ReadError| Failure::User(error.to_string());
    let loaded = config::load_to_read(Some(args.config.as_deref().unwrap_or(a)), Uses::Judging)
        .map_err(|problems| Failure::User(told(&problems)))?;
    let asked = stretch(Some(days.0), Some(days.1))?;
    if !is_at_hand(&loaded, args.is_given())? {
        return Ok(None);
    }
    let candidate =
        config::policy_in(b, &loaded).map_err(|problems| Failure::User(problems.to_string()))?;
    let settings = &loaded.settings;
    let reader = Reader::open(&settings.store, &settings.options.data_dir).map_err(user)?;
    let from = if has_month(&candidate) {
        start_ms(days.0.first_of_month(), &TimeZone::UTC)?
    } else {
        asked.0
    };
    let mut judging = Judging {
        replay: Replay::new(&candidate, &loaded.policy),
        past: Past { days, when, orgs: BTreeMap::new(), all: Calls::default() },
        progress: Progress::new("judging the log, percent", 100),
        stretch: (from, asked.1),
        counted_from: asked.0,
    };
    let selection = Selection { stretch: (from, asked.1), only: Vec::new() };
    let done = reader.export(&selection, &mut judging);
    judging.progress.end();
    done.map_err(|error| match error {
        ExportError::Read(error) => user(error),
        ExportError::Write(error) => Failure::Defect(error.into()),
    })?;
    Ok(Some(judging.past))
}

/// Whether the log can be read here. A server is asked only if that is wanted.
fn is_at_hand(loaded: &Loaded, is_wanted: bool) -> Result<bool, Failure> {
    match &loaded.settings.store {
        StoreKind::ClickHouse(_) => Ok(is_wanted),
        StoreKind::Embedded => {
            let file = loaded.settings.options.data_dir.join(FILE);
            match file.exists() {
                false if is_wanted => Err(Failure::User(format!(
                    "{}: there is no log; name a gateway that has one with --config",
                    file.display()
                ))),
                there => Ok(there),
            }
        }
    }
}

/// Whether a budget is counted from the beginning of the month.
fn has_month(policy: &Policy) -> bool {
    let Some(more) = &policy.limits.more else { return false };
    let of = |limits: &OrgLimits| {
        let models = limits.models.iter().map(|limits| &limits.caps);
        let mut caps = [&limits.all, &limits.each_key, &limits.each_user].into_iter().chain(models);
        caps.any(|caps| caps.nano_usd_per_month.is_some())
    };
    more.all().any(of)
}

/// Takes the rows of the log.
struct Judging<'p> {
    replay: Replay<'p>,
    past: Past,
    progress: Progress,
    stretch: (i64, i64),
    /// Earlier rows only spend money.
    counted_from: i64,
}

impl Sink for Judging<'_> {
    fn take(&mut self, row: &Values<'_>) {
        let call = logged(row);
        let answer = self.replay.ask(&call);
        if call.created_at_ms < self.counted_from {
            return;
        }
        let all = u64::from(call.calls);
        let was_limited = call.error_code == "rate_limit_exceeded" && call.was_refused();
        let calls = Calls {
            all,
            refused: answer.limited,
            was_refused: if was_limited { all } else { 0 },
            is_least: answer.unjudged.iter().any(|(of, _)| *of == Dimension::Limits),
        };
        self.past.add(call.org, calls);
    }

    fn write(&mut self, at_ms: i64) -> std::io::Result<()> {
        let (from, to) = self.stretch;
        let percent = (at_ms + 1 - from).max(0) * 100 / (to - from).max(1);
        self.progress.show(u32::try_from(percent.min(100)).unwrap_or(0));
        Ok(())
    }
}

impl Past {
    fn add(&mut self, org: &str, calls: Calls) {
        self.all.add(calls);
        if self.orgs.contains_key(org) || self.orgs.len() < REPLAY_ORGS_MAX {
            self.orgs.entry(org.to_owned()).or_default().add(calls);
        }
    }

    /// The organisation of a changed key, or nothing for a key of all of them; `None` if the change
    /// is not about limits.
    fn concerns<'k>(&self, key: &'k str) -> Option<Option<&'k str>> {
        let rest = key.strip_prefix("limits")?;
        if !rest.is_empty() && !rest.starts_with('.') {
            return None;
        }
        let Some(rest) = rest.strip_prefix(".orgs.") else { return Some(None) };
        // A name may hold dots: of those in the log, the longest one counts.
        let begins = |name: &&String| {
            rest.strip_prefix(&***name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let known = self.orgs.keys().filter(begins).map(String::len).max();
        let length = known.unwrap_or_else(|| rest.find('.').unwrap_or(rest.len()));
        Some(Some(&rest[..length]))
    }

    /// The figure behind a change of limits: `its 429s would have been 1,204 yesterday`.
    pub(crate) fn told(&self, change: &Change) -> Option<String> {
        let when = &self.when;
        let figure = |calls: &Calls| {
            let least = if calls.is_least { "at least " } else { "" };
            format!("{least}{}", thousands(calls.refused))
        };
        let Some(org) = self.concerns(&change.key)? else {
            if self.all.all == 0 {
                return Some(format!("there were no calls {when}"));
            }
            let named = self.named(figure);
            return Some(format!("429s would have been {} {when}{named}", figure(&self.all)));
        };
        match self.orgs.get(org) {
            None => Some(format!("it made no calls {when}")),
            Some(calls) => Some(format!("its 429s would have been {} {when}", figure(calls))),
        }
    }

    /// The organisations with the most refusals.
    fn named(&self, figure: impl Fn(&Calls) -> String) -> String {
        let mut refused: Vec<_> = self.orgs.iter().filter(|(_, calls)| calls.refused > 0).collect();
        refused.sort_by_key(|(name, calls)| (std::cmp::Reverse(calls.refused), *name));
        let mut parts: Vec<String> = refused
            .iter()
            .take(NAMED_MAX)
            .map(|(name, calls)| format!("{name} {}", figure(calls)))
            .collect();
        match refused.len().saturating_sub(NAMED_MAX) {
            0 => {}
            1 => parts.push("1 more organisation".to_owned()),
            more => parts.push(format!("{more} more organisations")),
        }
        if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
    }

    /// The figures of a change in JSON; null for one that is not about limits.
    pub(crate) fn json(&self, change: &Change) -> Json {
        let Some(org) = self.concerns(&change.key) else { return Json::Null };
        let is_asked = |name: &str| org.is_none_or(|org| org == name);
        let of = |calls: &Calls| {
            json!({
                "calls": calls.all,
                "refused": calls.refused,
                "was_refused": calls.was_refused,
                "at_least": calls.is_least,
            })
        };
        let orgs = self.orgs.iter().filter(|(name, _)| is_asked(name)).map(|(name, calls)| {
            let mut object = of(calls);
            object["org_id"] = json!(name);
            object
        });
        let sum = org.map_or(self.all, |org| self.orgs.get(org).copied().unwrap_or_default());
        let mut object = of(&sum);
        object["from"] = json!(self.days.0.to_string());
        object["to"] = json!(self.days.1.to_string());
        object["orgs"] = orgs.collect();
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::effective::ChangeKind;

    fn change(key: &str) -> Change {
        Change {
            key: key.to_owned(),
            kind: ChangeKind::Changed,
            old: json!(600),
            new: json!(60),
            secret: false,
            restart: false,
        }
    }

    fn past(orgs: &[(&str, u64, bool)]) -> Past {
        let day: Date = "2026-11-29".parse().expect("a day");
        let (when, all) = ("yesterday".to_owned(), Calls::default());
        let mut past = Past { days: (day, day), when, orgs: BTreeMap::new(), all };
        for (org, refused, is_least) in orgs {
            past.add(
                org,
                Calls { all: 5_000, refused: *refused, was_refused: 7, is_least: *is_least },
            );
        }
        past
    }

    #[test]
    fn a_change_of_limits_has_the_figure_of_the_organisations_that_it_concerns() {
        let past = past(&[("acme", 1_204, false), ("acme.eu", 3, true), ("globex", 0, false)]);
        let told = |key: &str| past.told(&change(key));
        let acme = Some("its 429s would have been 1,204 yesterday".to_owned());
        assert_eq!(told("limits.orgs.acme.requests_per_minute"), acme);
        assert_eq!(told("limits.orgs.acme"), acme);
        let dotted = Some("its 429s would have been at least 3 yesterday".to_owned());
        assert_eq!(told("limits.orgs.acme.eu.burst"), dotted);
        let none = Some("its 429s would have been 0 yesterday".to_owned());
        assert_eq!(told("limits.orgs.globex.burst"), none);
        assert_eq!(told("limits.orgs.new.burst"), Some("it made no calls yesterday".to_owned()));
        let all = "429s would have been at least 1,207 yesterday: acme 1,204, acme.eu at least 3";
        assert_eq!(told("limits.burst"), Some(all.to_owned()));
        assert_eq!((told("routing.default"), told("limits_store")), (None, None));
    }

    #[test]
    fn many_organisations_are_counted_and_json_has_them_all() {
        let many = past(&[("a", 9, false), ("b", 8, false), ("c", 7, false), ("d", 1, false)]);
        let told = many.told(&change("limits.burst")).expect("a figure");
        assert_eq!(told, "429s would have been 25 yesterday: a 9, b 8, c 7, 1 more organisation");
        let json = many.json(&change("limits.burst"));
        assert_eq!((&json["refused"], &json["was_refused"]), (&json!(25), &json!(28)));
        assert_eq!(json["orgs"].as_array().map(Vec::len), Some(4));
        let one = many.json(&change("limits.orgs.d.burst"));
        assert_eq!((&one["refused"], &one["orgs"][0]["org_id"]), (&json!(1), &json!("d")));
        assert_eq!(many.json(&change("prices")), Json::Null);
        let none = past(&[]).told(&change("limits.burst"));
        assert_eq!(none.as_deref(), Some("there were no calls yesterday"));
    }
}
