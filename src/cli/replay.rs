//! `tollgate replay`: what a policy would have decided for the calls of the log.
//!
//! Guarantees: reads the store and the policy, changes nothing, opens no connection but that to the
//! store; the same rows give the same output. Does not: judge what the log does not say (the output
//! counts those rows, with the reason).

use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::export::stretch;
use super::form::TableForm;
use super::print;
use super::progress::Progress;
use crate::ailog::columns::{Value, at, iso};
use crate::ailog::store::measures::Values;
use crate::config::policy::Policy;
use crate::config::{self, Loaded};
use crate::failure::Failure;
use crate::judge::replay::Replay;
use crate::judge::row::LoggedCall;
use crate::judge::tally::Tally;
use crate::report::Reader;
use crate::report::export::{ExportError, Selection, Sink};
use tollgate_wire::usage::{ServiceTier, TokenUsage};

/// `tollgate replay`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration folder, or policy files; the rest is as in force
    #[arg(long, value_name = "DIR")]
    policy: PathBuf,
    /// First day (UTC), e.g. 2026-11-01; without it, from the oldest row on
    #[arg(long, value_name = "DAY", value_parser = super::report::day)]
    from: Option<Date>,
    /// Last day (UTC), included; without it, up to the newest row
    #[arg(long, value_name = "DAY", value_parser = super::report::day)]
    to: Option<Date>,
    /// Format
    #[arg(long, value_enum, default_value_t = TableForm::Table)]
    format: TableForm,
    /// Exit with 1 if anything would have changed
    #[arg(long)]
    exit_code: bool,
}

/// Runs the command. `loaded`: the configuration of the gateway whose log is read.
///
/// # Errors
/// The policy has a problem, the store cannot be read, or, with `--exit-code`, something would have
/// changed.
pub(crate) fn run(args: &Args, loaded: &Loaded) -> Result<(), Failure> {
    let user = |error: crate::report::ReadError| Failure::User(error.to_string());
    let asked = stretch(args.from, args.to)?;
    let candidate = candidate(&args.policy, loaded)?;
    let settings = &loaded.settings;
    let reader = Reader::open(&settings.store, &settings.options.data_dir).map_err(user)?;
    let span = reader.span(asked).map_err(user)?;
    let stretch = span.map_or((0, 0), |(first, last)| (first, last.saturating_add(1)));
    let selection = Selection { stretch, only: Vec::new() };
    let mut asking = Asking {
        replay: Replay::new(&candidate, &loaded.policy),
        tally: Tally::default(),
        progress: Progress::new("asking, percent", 100),
        stretch,
    };
    let done = reader.export(&selection, &mut asking);
    asking.progress.end();
    done.map_err(|error| match error {
        ExportError::Read(error) => user(error),
        ExportError::Write(error) => Failure::Defect(error.into()),
    })?;
    let (first, last) = span.unwrap_or((0, 0));
    let times = span.map(|_| (iso(first), iso(last))).unwrap_or_default();
    let (tally, times) = (&asking.tally, (times.0.as_str(), times.1.as_str()));
    match args.format {
        TableForm::Table => print::line(&tally.to_text(&candidate.version, times))?,
        TableForm::Json => print::json(&tally.to_json(&candidate.version, times).to_string())?,
    }
    match args.exit_code && !tally.changes.are_none() {
        true => Err(Failure::User("the policy would have decided otherwise".to_owned())),
        false => Ok(()),
    }
}

/// The policy that is asked.
fn candidate(folder: &Path, loaded: &Loaded) -> Result<Policy, Failure> {
    config::policy_in(folder, loaded).map_err(|problems| Failure::User(problems.to_string()))
}

/// A replay that takes rows.
struct Asking<'p> {
    replay: Replay<'p>,
    tally: Tally,
    progress: Progress,
    stretch: (i64, i64),
}

impl Sink for Asking<'_> {
    fn take(&mut self, row: &Values<'_>) {
        let call = logged(row);
        let answer = self.replay.ask(&call);
        self.tally.add(&call, &answer, || iso(call.created_at_ms));
    }

    fn write(&mut self, at_ms: i64) -> std::io::Result<()> {
        let (from, to) = self.stretch;
        let percent = (at_ms + 1 - from).max(0) * 100 / (to - from).max(1);
        self.progress.show(u32::try_from(percent.min(100)).unwrap_or(0));
        Ok(())
    }
}

/// The marks of what was left out of a captured body.
const CUT: &str = "…[cut]";

/// The provider of the first of several attempts.
fn first_provider<'a>(row: &Values<'a>, column: usize) -> Option<&'a str> {
    match row.get(column) {
        Value::Attempts(attempts) => attempts.iter().next().map(|attempt| attempt.provider),
        // As the embedded store has them; names need no escapes.
        Value::Text(json) => {
            let json = std::str::from_utf8(json).ok()?;
            let (_, behind) = json.split_once(r#""provider":""#)?;
            behind.split('"').next()
        }
        _ => None,
    }
}

/// The values of a row by which it is judged.
pub(crate) fn logged<'a>(row: &Values<'a>) -> LoggedCall<'a> {
    macro_rules! column {
        ($name:literal) => {{
            const AT: usize = at($name);
            AT
        }};
    }
    macro_rules! text {
        ($name:literal) => {
            std::str::from_utf8(row.text(column!($name))).unwrap_or_default()
        };
    }
    macro_rules! number {
        ($name:literal) => {
            u64::try_from(row.number(column!($name))).unwrap_or(0)
        };
    }
    macro_rules! count {
        ($name:literal) => {
            u32::try_from(row.number(column!($name))).unwrap_or(u32::MAX)
        };
    }
    let body = |column: usize| match row.get(column) {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let (request, response) = (body(column!("request")), body(column!("response")));
    let marked = |body: Option<&[u8]>| {
        body.is_some_and(|body| memchr::memmem::find(body, CUT.as_bytes()).is_some())
    };
    let truncated = row.get(column!("truncated")) == Value::Bool(true);
    let usage = TokenUsage {
        input: number!("input_tokens"),
        cached: number!("cached_tokens"),
        cache_write: number!("cache_write_tokens"),
        cache_write_1h: number!("cache_write_1h_tokens"),
        output: number!("output_tokens"),
        reasoning: number!("reasoning_tokens"),
        audio_input: number!("audio_input_tokens"),
        audio_output: number!("audio_output_tokens"),
        tier: ServiceTier::named(text!("service_tier")),
    };
    LoggedCall {
        id: match row.get(column!("id")) {
            Value::Uuid(id) => id.to_string(),
            _ => text!("id").to_owned(),
        },
        created_at_ms: row.number(column!("created_at")),
        org: text!("org_id"),
        caller: text!("caller"),
        is_ticket: text!("route") == "intent",
        endpoint: text!("endpoint"),
        provider: first_provider(row, column!("attempts_log")).unwrap_or(text!("provider")),
        model: text!("model"),
        downgraded: text!("downgraded"),
        response_model: text!("response_model"),
        is_ok: text!("outcome") == "ok",
        error_code: text!("error_code"),
        limited_by: text!("limited_by"),
        attempts: count!("attempts"),
        latency_ms: number!("latency_ms"),
        usage,
        // An answer of the cache used nothing.
        has_usage: text!("usage_source") != "none" || text!("cache") == "hit",
        cost_nano_usd: match row.get(column!("cost_usd")) {
            Value::NanoUsd(nano) => Some(nano),
            _ => None,
        },
        emails: count!("redacted_emails"),
        phones: count!("redacted_phones"),
        others: count!("redacted_other"),
        attachments: count!("attachments_dropped"),
        actions: text!("redaction_actions"),
        request,
        // The row says of both bodies together whether one is cut.
        is_cut: truncated && (marked(request) || !marked(response)),
        request_bytes: number!("request_bytes"),
        prompt_chars: number!("prompt_chars"),
        max_tokens: number!("max_tokens"),
        policy_version: text!("policy_version"),
        calls: count!("calls").max(1),
    }
}
