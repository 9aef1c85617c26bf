//! `tollgate audit list|verify`: the records of edits and of operators, and whether both copies of
//! them are whole.
//!
//! Guarantees: changes nothing; works beside a gateway. A record that a gateway has just written is
//! waited for in the store.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use super::form::{TableForm, TextForm};
use super::print;
use super::report::start_ms;
use crate::ailog::AuditRecord;
use crate::audit::stored_entry as entry;
use crate::audit::verify::{Fault, Head, check, check_head};
use crate::audit::{self, Entry, Event, Lines, Record};
use crate::clock::wall_ms;
use crate::config::policy::Settings;
use crate::failure::Failure;
use crate::report::Reader;

/// How often a store that does not have the newest records is read again.
const STORE_TRIES: u32 = 30;
const STORE_TICK: Duration = Duration::from_millis(100);
/// A record that is older than this should be stored.
const FRESH_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// Arguments of `tollgate audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the records, oldest first
    #[command(after_help = "\
Example:
  tollgate audit list --from 2026-11-01")]
    List {
        /// First day or moment
        #[arg(long, value_name = "WHEN")]
        from: Option<String>,
        /// Day or moment before which the records end; a day counts with its end
        #[arg(long, value_name = "WHEN")]
        to: Option<String>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = TableForm::Table)]
        format: TableForm,
    },
    /// Compare both copies of the records; name the first one that is broken
    #[command(after_help = "\
Example:
  tollgate audit verify --head \"$(cat head-of-yesterday)\"")]
    Verify {
        /// A record that was noted elsewhere, as SEQ:HASH; the chain has to hold it
        #[arg(long, value_name = "SEQ:HASH", value_parser = head)]
        head: Option<Head>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = TextForm::Text)]
        format: TextForm,
    },
}

fn head(text: &str) -> Result<Head, String> {
    Head::read(text).ok_or_else(|| {
        "not a head; give SEQ:HASH with 64 hex digits, as `audit verify` prints it".to_owned()
    })
}

/// Prints or verifies the records of a data folder.
///
/// # Errors
/// [`Failure::User`] if they cannot be read, or are broken.
pub fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    match &args.action {
        Action::List { from, to, format } => {
            let time = |text: &Option<String>, is_end| {
                text.as_deref().map(|text| moment(text, is_end)).transpose()
            };
            list(settings, (time(from, false)?, time(to, true)?), *format)
        }
        Action::Verify { head, format } => verify(settings, head.as_ref(), *format),
    }
}

fn unreadable(error: &std::io::Error, settings: &Settings) -> Failure {
    let path = audit::path(&settings.options.data_dir);
    Failure::User(format!("{}: cannot be read: {error}", path.display()))
}

#[derive(serde::Serialize)]
struct Listed {
    version: u32,
    chain: Option<String>,
    records: Vec<Json>,
}

fn list(
    settings: &Settings,
    (from, to): (Option<i64>, Option<i64>),
    format: TableForm,
) -> Result<(), Failure> {
    let (mut objects, mut rows) = (Vec::new(), Vec::new());
    let lines = Lines::open(&settings.options.data_dir).map_err(|e| unreadable(&e, settings))?;
    for line in lines {
        let line = line.map_err(|e| unreadable(&e, settings))?;
        let Some(record) = audit::read(&line) else {
            rows.push("(not a record; run `tollgate audit verify`)".to_owned());
            continue;
        };
        let at = record.at.parse().map_or(0, |at: jiff::Timestamp| at.as_millisecond());
        if from.is_some_and(|from| at < from) || to.is_some_and(|to| at >= to) {
            continue;
        }
        match format {
            TableForm::Json => objects.push(serde_json::from_str(&line).unwrap_or(Json::Null)),
            TableForm::Table => rows.push(told(&record)),
        }
    }
    if format == TableForm::Json {
        let chain =
            audit::chain(&settings.options.data_dir).map_err(|e| unreadable(&e, settings))?;
        let document = Listed { version: 1, chain, records: objects };
        return print::document(&document);
    }
    match rows.is_empty() {
        true => print::line("no records"),
        false => print::line(&rows.join("\n")),
    }
}

/// A record in words: a line, and one for each difference or problem.
fn told(record: &Record) -> String {
    let word = |value: &Json| value.as_str().unwrap_or_default().replace('_', " ");
    let event = word(&json!(record.event));
    let by = match &record.by.principal {
        Some(name) => format!("{} ({name})", word(&json!(record.by.kind))),
        None => word(&json!(record.by.kind)),
    };
    let version = record.version.as_deref().unwrap_or("-");
    let mut text = format!("{:>4}  {}  {event:<15}  {by:<14}  {version}", record.seq, record.at);
    for change in &record.diff {
        text.push_str(&format!("\n        {}", change.sentence()));
    }
    if record.more_changes > 0 {
        text.push_str(&format!("\n        and {} more", record.more_changes));
    }
    for problem in &record.problems {
        text.push_str(&format!("\n        {problem}"));
    }
    if let Some(subject) = &record.subject {
        text.push_str(&format!("\n        {}", object(record.event, subject)));
    }
    text
}

/// The object of an operator's action.
fn object(event: Event, subject: &Json) -> String {
    let part = |key: &str| subject[key].as_str().unwrap_or("-");
    match event {
        Event::CachePurged => {
            let answers = &subject["answers"];
            let of =
                subject["org"].as_str().map_or("all".to_owned(), |org| format!("those of {org}"));
            format!("{answers} answers, {of}")
        }
        Event::AlertTested => {
            let taken = subject["delivered"].as_bool().unwrap_or_default();
            format!("{} {}", part("name"), if taken { "delivered" } else { "not delivered" })
        }
        _ => format!("key {} of {} ({})", part("name"), part("org"), part("id")),
    }
}

#[derive(serde::Serialize)]
struct Verified {
    version: u32,
    ok: bool,
    records: usize,
    head: Option<Json>,
    problem: Option<Json>,
}

fn verify(settings: &Settings, head: Option<&Head>, format: TextForm) -> Result<(), Failure> {
    let (file, fault) = both(settings, head)?;
    let last = file.iter().flatten().next_back();
    let text = |fault: &Fault| match fault.copy {
        Some(audit::verify::FILE) => {
            format!("{}: {}", audit::path(&settings.options.data_dir).display(), fault.message)
        }
        Some(copy) => format!("{copy}: {}", fault.message),
        None => fault.message.clone(),
    };
    if format == TextForm::Json {
        let head =
            last.map(|last| json!({"seq": last.seq, "hash": crate::digest::hex(&last.hash)}));
        let problem = fault.as_ref().map(|fault| {
            let record = Some(fault.record).filter(|record| *record > 0);
            json!({"record": record, "copy": fault.copy, "message": text(fault)})
        });
        let document =
            Verified { version: 1, ok: fault.is_none(), records: file.len(), head, problem };
        print::document(&document)?;
    }
    match (fault, format) {
        (Some(fault), TextForm::Text) => {
            print::line(&text(&fault))?;
            Err(Failure::User("the audit is broken".to_owned()))
        }
        (Some(_), TextForm::Json) => Err(Failure::User(String::new())),
        (None, TextForm::Json) => Ok(()),
        (None, TextForm::Text) => print::line(&summary(&file)),
    }
}

fn summary(file: &[Option<Entry>]) -> String {
    let entries: Vec<&Entry> = file.iter().flatten().collect();
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return "ok: no records".to_owned();
    };
    let day = |entry: &Entry| entry.at.get(..10).unwrap_or(&entry.at).to_owned();
    let head = Head { seq: last.seq, hash: last.hash }.text();
    let count = match entries.len() {
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    };
    format!("ok: {count}, {} to {}, head {head}", day(first), day(last))
}

/// The file's copy, and the first fault of both.
fn both(
    settings: &Settings,
    head: Option<&Head>,
) -> Result<(Vec<Option<Entry>>, Option<Fault>), Failure> {
    let data_dir: &PathBuf = &settings.options.data_dir;
    let mut tries = STORE_TRIES;
    loop {
        let chain = audit::chain(data_dir).map_err(|e| unreadable(&e, settings))?;
        // The store first: what it has, the file has.
        let store = Reader::open(&settings.store, data_dir)
            .and_then(|reader| reader.audit(chain.as_deref()));
        let file = audit::entries(data_dir).map_err(|e| unreadable(&e, settings))?;
        let stored = |records: &[AuditRecord]| -> Vec<Option<Entry>> {
            records.iter().map(|kept| entry(kept.seq, &kept.record, &kept.hash)).collect()
        };
        let fault = match store {
            Ok(records) => check(&file, Some(&stored(&records))),
            Err(error) => Some(check(&file, None).unwrap_or_else(|| Fault {
                record: 0,
                copy: Some(audit::verify::STORE),
                message: error.to_string(),
                is_store_behind: false,
            })),
        };
        let is_fresh = file.iter().flatten().next_back().is_some_and(|last| {
            let at = last.at.parse().map_or(0, |at: jiff::Timestamp| at.as_millisecond());
            wall_ms() - at < FRESH_MS
        });
        let is_behind = fault.as_ref().is_some_and(|fault| fault.is_store_behind);
        if is_behind && is_fresh && tries > 0 {
            tries -= 1;
            std::thread::sleep(STORE_TICK);
            continue;
        }
        let fault = fault.or_else(|| head.and_then(|head| check_head(&file, head)));
        return Ok((file, fault));
    }
}

/// A day or a moment, in milliseconds since 1970; a day as an end counts with its hours.
fn moment(text: &str, is_end: bool) -> Result<i64, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let wrong = |_| {
        Failure::User(format!(
            "`{text}` is neither a day nor a moment; give 2026-11-23 or 2026-11-23T12:00:00Z"
        ))
    };
    let day = text.parse::<jiff::civil::Date>().map_err(wrong)?;
    let start = start_ms(day, &TimeZone::UTC)?;
    Ok(if is_end { start + DAY_MS } else { start })
}
