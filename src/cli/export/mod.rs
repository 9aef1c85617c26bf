//! `tollgate export`: the rows of the log as JSON lines, CSV or Parquet.
//!
//! Guarantees: the rows are in the order of `created_at` and `id`, with every column, from either
//! store; a file has its final name only when it is whole and on the disk; memory does not grow
//! with the number of rows. Does not: show one state of a log that is being written to.

mod csv;
mod jsonl;
mod parquet;

#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use tempfile::NamedTempFile;

use self::csv::Csv;
use self::jsonl::JsonLines;
use self::parquet::Parquet;
use super::print;
use super::progress::Progress;
use super::report::{Conditions, start_ms};
use crate::ailog::columns::{Column, Type, Value};
use crate::ailog::store::measures::Values;
use crate::bounds::{EXPORT_GROUP_BYTES, EXPORT_GROUP_ROWS};
use crate::config::policy::Settings;
use crate::failure::Failure;
use crate::report::Reader;
use crate::report::export::{ExportError, Selection, Sink};

/// `tollgate export`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// First day (UTC), e.g. 2026-11-01; without it, from the oldest row on
    #[arg(long, value_name = "DAY", value_parser = super::report::day)]
    from: Option<Date>,
    /// Last day (UTC), included; without it, up to the newest row
    #[arg(long, value_name = "DAY", value_parser = super::report::day)]
    to: Option<Date>,
    #[command(flatten)]
    only: Conditions,
    /// Format
    #[arg(long, value_enum)]
    format: Format,
    /// File that gets the rows; without it, standard output does
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A JSON object on each line
    Jsonl,
    /// RFC 4180 with a line of names; safe to open in a spreadsheet
    Csv,
    /// Apache Parquet, compressed with Zstandard
    Parquet,
}

/// A format that rows are written in.
trait Form {
    /// Appends all that stands before the rows.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Takes a row, and appends what is complete with it.
    fn row(&mut self, row: &Values<'_>, out: &mut Vec<u8>);

    /// Appends the rest.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Runs the command.
///
/// # Errors
/// The days are in the wrong order, the store cannot be read, or the output cannot be written.
pub fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let user = |error: crate::report::ReadError| Failure::User(error.to_string());
    let asked = stretch(args.from, args.to)?;
    if args.format == Format::Parquet && args.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::User("Parquet is not for a terminal; add --output FILE".to_owned()));
    }
    let target = Target::open(args.output.as_deref())?;
    let reader = Reader::open(&settings.store, &settings.options.data_dir).map_err(user)?;
    // Rows that are stored from now on would keep the end away.
    let span = reader.span(asked).map_err(user)?;
    let stretch = span.map_or((0, 0), |(first, last)| (first, last.saturating_add(1)));
    let selection = Selection { stretch, only: args.only.all() };
    let mut work = Work::new(args.format, target, stretch);
    let done = work.all(&reader, &selection);
    work.progress.end();
    match done {
        Ok(()) => work.target.finish(work.rows),
        Err(ExportError::Read(error)) => Err(user(error)),
        Err(ExportError::Write(error)) => work.target.failed(error),
    }
}

/// Milliseconds since 1970: from the first on, before the second.
pub(crate) fn stretch(from: Option<Date>, to: Option<Date>) -> Result<(i64, i64), Failure> {
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Failure::User(format!("--from {from} is after --to {to}; swap them")));
    }
    let start = |day: Date| start_ms(day, &TimeZone::UTC);
    let from = from.map_or(Ok(0), start)?;
    let to = match to {
        Some(to) => start(to.tomorrow()?)?,
        None => i64::MAX,
    };
    Ok((from, to))
}

/// The destination of the rows.
enum Target {
    Stdout,
    File {
        /// Beside the final file; it is deleted when it is dropped.
        partial: NamedTempFile,
        path: PathBuf,
    },
}

impl Target {
    /// Makes the file under a temporary name.
    fn open(path: Option<&Path>) -> Result<Target, Failure> {
        let Some(path) = path else { return Ok(Target::Stdout) };
        if path.exists() && !path.is_file() {
            return Err(Failure::User(format!(
                "{} is not a file; leave --output out for standard output",
                path.display()
            )));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        let partial = builder.prefix(".tollgate-export-").suffix(".partial");
        let partial = partial.tempfile_in(folder.unwrap_or(Path::new(".")));
        let partial = partial.map_err(|error| cannot_write(path, &error))?;
        Ok(Target::File { partial, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Target::Stdout => print::bytes(bytes),
            Target::File { partial, .. } => partial.write_all(bytes),
        }
    }

    /// Gives the whole file its name.
    fn finish(self, rows: u64) -> Result<(), Failure> {
        let Target::File { partial, path } = self else { return Ok(()) };
        let named = partial.as_file().sync_all().and_then(|()| Ok(partial.persist(&path)?));
        named.map_err(|error| cannot_write(&path, &error))?;
        // If stderr is closed, the message is lost.
        drop(writeln!(io::stderr(), "{rows} rows in {}", path.display()));
        Ok(())
    }

    /// The meaning of a failed write.
    fn failed(self, error: io::Error) -> Result<(), Failure> {
        match self {
            Target::Stdout => print::written(Err(error)),
            Target::File { path, .. } => Err(cannot_write(&path, &error)),
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::User(format!("{} cannot be written: {error}", path.display()))
}

/// A running export.
struct Work {
    form: Box<dyn Form>,
    target: Target,
    buffer: Vec<u8>,
    rows: u64,
    progress: Progress,
    stretch: (i64, i64),
}

impl Work {
    fn new(format: Format, target: Target, stretch: (i64, i64)) -> Work {
        let form: Box<dyn Form> = match format {
            Format::Jsonl => Box::new(JsonLines),
            Format::Csv => Box::new(Csv),
            Format::Parquet => Box::new(Parquet::new(EXPORT_GROUP_ROWS, EXPORT_GROUP_BYTES)),
        };
        let rows_are_shown = matches!(target, Target::Stdout) && io::stdout().is_terminal();
        let progress = Progress::unless(rows_are_shown, "exporting, percent", 100);
        Work { form, target, buffer: Vec::new(), rows: 0, progress, stretch }
    }

    fn all(&mut self, reader: &Reader, selection: &Selection) -> Result<(), ExportError> {
        self.form.begin(&mut self.buffer);
        reader.export(selection, self)?;
        self.form.end(&mut self.buffer);
        self.send().map_err(ExportError::Write)
    }

    fn send(&mut self) -> io::Result<()> {
        self.target.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for Work {
    fn take(&mut self, row: &Values<'_>) {
        self.rows += 1;
        self.form.row(row, &mut self.buffer);
    }

    fn write(&mut self, at_ms: i64) -> io::Result<()> {
        self.send()?;
        let (from, to) = self.stretch;
        let percent = (at_ms + 1 - from).max(0) * 100 / (to - from).max(1);
        self.progress.show(u32::try_from(percent.min(100)).unwrap_or(0));
        Ok(())
    }
}

/// The JSON text of tags or attempts; `None` for any other value.
fn nested_json(column: &Column, value: Value<'_>) -> Option<String> {
    match value {
        Value::Tags(tags) => Some(tags.to_json().to_string()),
        Value::Attempts(attempts) => Some(attempts.to_json().to_string()),
        // As the embedded store has them.
        Value::Text(json) if matches!(column.of, Type::Tags | Type::Attempts) => {
            Some(String::from_utf8_lossy(json).into_owned())
        }
        _ => None,
    }
}
