//! `tollgate redact`: the redactor as a filter, to try a policy on data at hand. Bytes in, bytes
//! out.
//!
//! Streams: memory does not grow with the input. Counts (and progress, on a terminal) go to
//! standard error; matched text goes nowhere. Does not: call anyone, or write anything but its
//! output.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tollgate_wire::{Format, tokens};

use super::print;
use crate::config::policy::{Policy, Settings};
use crate::failure::Failure;
use crate::ids::OrgId;
use crate::placeholders::PlaceholderKeys;
use crate::redact::{BodyRedactor, Finding, Ledger, PlaceholderKey, Redacted, Rules, TextRedactor};
use crate::visible::visible;

/// Bytes read at once.
const PIECE: usize = 256 << 10;
/// Bytes of the beginning that are looked at to tell what the input is.
const PEEK: usize = 16 << 10;
/// Progress is shown each time so many bytes have passed.
const PROGRESS_EVERY: u64 = 32 << 20;

/// Shows the text that a provider would receive: redacts a request body or a text
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON body; the default if the input begins with `{`
    #[arg(long, conflicts_with_all = ["jsonl", "text"])]
    pub json: bool,
    /// One JSON body per line; a refused line is reported and left out
    #[arg(long, conflicts_with = "text")]
    pub jsonl: bool,
    /// Plain text
    #[arg(long)]
    pub text: bool,
    /// Endpoint of the body; without it, the fields of the body decide
    #[arg(long, value_name = "NAME", value_parser = formats(), hide_possible_values = true)]
    pub endpoint: Option<Format>,
    /// Use the rules of this organisation (`redaction.orgs`)
    #[arg(long, value_name = "ORG", value_parser = org)]
    pub org: Option<OrgId>,
    /// Print kind, place and rule of each match, never the matched text
    #[arg(long)]
    pub explain: bool,
    /// File to read; without it, or with `-`, standard input
    pub file: Option<PathBuf>,
}

fn org(text: &str) -> Result<OrgId, String> {
    OrgId::new(text).ok_or_else(|| {
        "not the name of an organisation; give 1 to 128 of A-Z a-z \
        0-9 . _ : @ + = / -"
            .to_owned()
    })
}

/// The formats that a request can have.
fn requests() -> impl Iterator<Item = &'static Format> {
    Format::ALL.iter().filter(|format| **format == Format::Other || !format.routes().is_empty())
}

/// The end of the help: the names of endpoints, and examples.
pub(crate) fn help() -> String {
    let names = requests().map(|format| format.name()).fold(String::new(), |text, name| {
        let between = match text.rsplit('\n').next().map_or(0, str::len) {
            0 => "",
            1..=80 => ", ",
            _ => ",\n  ",
        };
        text + between + name
    });
    format!(
        "Endpoints ({other}: any other body, in which every string is user text):\n  {names}\n\n\
         Examples:\n  echo 'mail jane@example.com' | tollgate redact --text\n  tollgate redact \
         --org acme --explain body.json",
        other = Format::Other.name()
    )
}

/// The same, as values of an argument.
fn formats() -> impl TypedValueParser<Value = Format> {
    let values = requests().map(|format| {
        let path = format.routes().first().map(|route| route.path().trim_start_matches('/'));
        PossibleValue::new(format.name())
            .help(path.unwrap_or("any other body: every string is user text"))
    });
    PossibleValuesParser::new(values).map(|name| Format::named(&name).unwrap_or(Format::Other))
}

/// Runs the command with the rules of an organisation, or those for all.
///
/// # Errors
/// [`Failure::User`]: the file cannot be read, or the body is refused; what had already passed has
/// been written.
pub fn run(args: Args, settings: &Settings, policy: &Policy) -> Result<(), Failure> {
    let policy = &policy.redaction;
    let keys = PlaceholderKeys::existing(settings)
        .map_err(|error| Failure::User(format!("placeholder_key: {error:#}")))?;
    let org = args.org.clone().unwrap_or_else(OrgId::anonymous);
    let key = keys.and_then(|keys| keys.of(&org));
    let rules = args.org.as_ref().map_or(&policy.default, |org| policy.of(org));
    let (input, size): (Box<dyn Read>, Option<u64>) = match args.file.as_deref() {
        None => (Box::new(io::stdin().lock()), None),
        Some(path) if path.as_os_str() == "-" => (Box::new(io::stdin().lock()), None),
        Some(path) => {
            let file =
                File::open(path).map_err(|e| Failure::User(format!("{}: {e}", path.display())))?;
            let size = file.metadata().map(|m| m.len()).ok().filter(|n| *n > 0);
            (Box::new(file), size)
        }
    };
    let mut report = Report {
        terminal: io::stderr().is_terminal(),
        size,
        explain: args.explain,
        ..Report::default()
    };
    let mut output = BufWriter::with_capacity(PIECE, io::stdout().lock());
    let made = Made { rules, key };
    let result = filter(&args, &made, input, &mut output, &mut report);
    // A reader that has seen enough (`| head`) is no failure.
    let result = match result.and_then(|()| Ok(output.flush()?)) {
        Err(Stop::Output(error)) => print::written(Err(error)),
        Err(Stop::Input(text)) => Err(Failure::User(text)),
        Ok(()) => Ok(()),
    };
    report.end();
    result
}

/// Why the filter stops early.
enum Stop {
    Input(String),
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

/// The settings of redactors.
struct Made<'r> {
    rules: &'r Arc<Rules>,
    key: Option<Arc<dyn PlaceholderKey>>,
}

fn filter(
    args: &Args,
    made: &Made<'_>,
    mut input: impl Read,
    output: &mut impl Write,
    report: &mut Report,
) -> Result<(), Stop> {
    let first = read(&mut input)?;
    let begins = first.iter().find(|b| !b.is_ascii_whitespace());
    if args.jsonl {
        return lines(args, made, first, input, output, report);
    }
    let json = args.json || !args.text && begins == Some(&b'{');
    let mut redactor = if json {
        Either::Body(Box::new(body_redactor(made, format(args, &first))))
    } else {
        Either::Text(Box::new(TextRedactor::new(made.rules)))
    };
    if report.explain {
        redactor.explain();
    }
    let mut out = Vec::new();
    let mut piece = first;
    while !piece.is_empty() {
        report.passed(piece.len());
        let pushed = redactor.push(piece, &mut out);
        report.findings(redactor.findings(), None);
        write(output, &mut out)?;
        pushed.map_err(Stop::Input)?;
        piece = read(&mut input)?;
    }
    let finished = redactor.finish(&mut out);
    report.findings(redactor.findings(), None);
    report.ledger(redactor.ledger());
    write(output, &mut out)?;
    finished.map_err(Stop::Input)
}

/// One body a line. A line may be of any length.
fn lines(
    args: &Args,
    made: &Made<'_>,
    first: Bytes,
    mut input: impl Read,
    output: &mut impl Write,
    report: &mut Report,
) -> Result<(), Stop> {
    let mut line = 1;
    let mut current: Option<BodyRedactor> = None;
    let mut failed: Option<String> = None;
    let mut refused = 0u64;
    let (mut pending, mut out): (Vec<u8>, Vec<Redacted>) = Default::default();
    let mut piece = first;
    loop {
        report.passed(piece.len());
        let end = piece.is_empty();
        let mut rest = piece;
        loop {
            let newline = memchr::memchr(b'\n', &rest);
            let part = rest.split_to(newline.unwrap_or(rest.len()));
            if !part.iter().all(u8::is_ascii_whitespace) || current.is_some() {
                let redactor = current.get_or_insert_with(|| {
                    let mut redactor = body_redactor(made, format(args, &part));
                    if report.explain {
                        redactor.explain();
                    }
                    redactor
                });
                if failed.is_none() {
                    failed = redactor.push(part, &mut out).err().map(|e| e.to_string());
                }
                // A line leaves whole or not at all; it is kept until it has ended.
                pending.extend(out.drain(..).flat_map(Redacted::into_bytes));
            }
            if newline.is_none() && !end {
                break;
            }
            if let Some(mut redactor) = current.take() {
                if failed.is_none() {
                    failed = redactor.finish(&mut out).err().map(|e| e.to_string());
                    pending.extend(out.drain(..).flat_map(Redacted::into_bytes));
                }
                report.findings(redactor.findings(), Some(line));
                match failed.take() {
                    Some(reason) => {
                        refused += 1;
                        report.say(&format!("line {line}: left out: {reason}"));
                    }
                    None => {
                        report.ledger(redactor.ledger());
                        output.write_all(&pending)?;
                        output.write_all(b"\n")?;
                    }
                }
            }
            pending.clear();
            line += 1;
            match newline {
                Some(_) => drop(rest.split_to(1)),
                None => break,
            }
        }
        if end {
            return left_out(refused);
        }
        piece = read(&mut input)?;
    }
}

/// As the gateway redacts a body of this format.
fn body_redactor(made: &Made<'_>, format: Format) -> BodyRedactor {
    let mut redactor = BodyRedactor::new(Arc::clone(made.rules), *format.schema(), false);
    redactor.decode_tokens(&tokens::OpenAi);
    if let Some(key) = &made.key {
        redactor.key_placeholders(Arc::clone(key));
    }
    redactor
}

/// The end of an input of which so many lines were refused.
fn left_out(refused: u64) -> Result<(), Stop> {
    let lines = if refused == 1 { "line was" } else { "lines were" };
    let stop = Stop::Input(format!("{refused} {lines} left out"));
    if refused == 0 { Ok(()) } else { Err(stop) }
}

/// The format of the body, by the names of its fields.
fn format(args: &Args, beginning: &[u8]) -> Format {
    if let Some(format) = args.endpoint {
        return format;
    }
    let beginning = &beginning[..beginning.len().min(PEEK)];
    let has = |name: &[u8]| memchr::memmem::find(beginning, name).is_some();
    if has(b"\"messages\"") {
        Format::OpenAiChat
    } else if has(b"\"input\"") {
        Format::OpenAiResponses
    } else if has(b"\"prompt\"") {
        Format::OpenAiCompletions
    } else {
        Format::Other
    }
}

/// The next piece of the input; empty at its end.
fn read(input: &mut impl Read) -> Result<Bytes, Stop> {
    let mut piece = vec![0; PIECE];
    let mut n = 0;
    while n < piece.len() {
        match input.read(&mut piece[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Stop::Input(format!("cannot read: {e}"))),
        }
    }
    piece.truncate(n);
    Ok(piece.into())
}

fn write(output: &mut impl Write, out: &mut Vec<Redacted>) -> Result<(), Stop> {
    for redacted in out.drain(..) {
        output.write_all(redacted.as_bytes())?;
    }
    Ok(())
}

/// The redactor at work.
enum Either {
    Body(Box<BodyRedactor>),
    Text(Box<TextRedactor>),
}

impl Either {
    fn explain(&mut self) {
        match self {
            Either::Body(body) => body.explain(),
            Either::Text(text) => text.explain(),
        }
    }

    fn findings(&mut self) -> Vec<Finding> {
        match self {
            Either::Body(body) => body.findings(),
            Either::Text(text) => text.findings(),
        }
    }

    fn push(&mut self, piece: Bytes, out: &mut Vec<Redacted>) -> Result<(), String> {
        match self {
            Either::Body(body) => body.push(piece, out).map_err(|e| e.to_string()),
            Either::Text(text) => {
                text.push(piece, out);
                Ok(())
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Redacted>) -> Result<(), String> {
        match self {
            Either::Body(body) => body.finish(out).map_err(|e| e.to_string()),
            Either::Text(text) => {
                text.finish(out);
                Ok(())
            }
        }
    }

    fn ledger(&self) -> &Ledger {
        match self {
            Either::Body(body) => body.ledger(),
            Either::Text(text) => text.ledger(),
        }
    }
}

/// The report on standard error.
#[derive(Default)]
struct Report {
    terminal: bool,
    explain: bool,
    size: Option<u64>,
    bytes: u64,
    shown: u64,
    counts: BTreeMap<Arc<str>, u64>,
    attachments: u64,
}

impl Report {
    /// A line on standard error; a closed one is no reason to stop.
    fn say(&self, line: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stderr(), "{clear}{}", visible(line));
    }

    fn passed(&mut self, n: usize) {
        self.bytes += n as u64;
        if !self.terminal || self.bytes < self.shown + PROGRESS_EVERY {
            return;
        }
        self.shown = self.bytes;
        let done = match self.size {
            Some(size) => {
                let tenths = (self.bytes * 30 / size).min(30) as usize;
                format!(
                    "[{}{}] {} %",
                    "=".repeat(tenths),
                    " ".repeat(30 - tenths),
                    (self.bytes * 100 / size).min(100)
                )
            }
            None => format!("{} MiB", self.bytes >> 20),
        };
        let _ = write!(io::stderr(), "\r\x1b[K{done}");
    }

    fn findings(&self, findings: Vec<Finding>, line: Option<u64>) {
        for f in findings {
            let line = line.map(|n| format!("line {n}, ")).unwrap_or_default();
            let field = if f.field.is_empty() { String::new() } else { format!(" in {}", f.field) };
            // The rest of a long one is dropped as it comes.
            let more = if matches!(&*f.kind, "api_key" | "attachment") { " or more" } else { "" };
            let length = if f.to > f.from {
                format!("{} bytes{more}", f.to - f.from)
            } else {
                "a part".to_owned()
            };
            self.say(&format!("{line}byte {}: {} ({length}){field}", f.from, f.kind));
        }
    }

    fn ledger(&mut self, ledger: &Ledger) {
        for (kind, n) in &ledger.counts {
            *self.counts.entry(Arc::clone(kind)).or_default() += u64::from(*n);
        }
        self.attachments += u64::from(ledger.attachments);
    }

    fn end(&self) {
        let mut counts: Vec<String> =
            self.counts.iter().map(|(kind, n)| format!("{kind}={n}")).collect();
        if self.attachments > 0 {
            counts.push(format!("attachments={}", self.attachments));
        }
        let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
        self.say(&format!("{} bytes; taken out: {counts}", self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{Attachments, RulesSpec};

    fn filtered(args: &Args, input: &str) -> (String, Option<String>) {
        let spec = RulesSpec {
            entities: vec!["email".into(), "phone".into()],
            attachments: Attachments::Drop,
            ..RulesSpec::default()
        };
        let rules = Arc::new(Rules::compile(&spec).expect("rules"));
        let mut output = Vec::new();
        let made = Made { rules: &rules, key: None };
        let stop = match filter(args, &made, input.as_bytes(), &mut output, &mut Report::default())
        {
            Ok(()) => None,
            Err(Stop::Input(text)) => Some(text),
            Err(Stop::Output(e)) => Some(e.to_string()),
        };
        (String::from_utf8(output).expect("UTF-8"), stop)
    }

    fn args() -> Args {
        Args {
            json: false,
            jsonl: false,
            text: false,
            endpoint: None,
            org: None,
            explain: false,
            file: None,
        }
    }

    #[test]
    fn the_input_says_what_it_is() {
        let (out, stop) = filtered(&args(), "mail bob@example.com\n");
        assert_eq!((&*out, stop), ("mail [REDACTED_EMAIL]\n", None));
        let (out, stop) =
            filtered(&args(), " {\"messages\":[{\"content\":\"bob\\u0040example.com\"}]}\n");
        assert_eq!((&*out, stop), (" {\"messages\":[{\"content\":\"[REDACTED_EMAIL]\"}]}\n", None));
        let (_, stop) = filtered(&args(), "{\"a\":}");
        assert!(stop.is_some_and(|s| s.contains("not valid JSON")));
        let (out, _) = filtered(&Args { text: true, ..args() }, "{\"a\":} bob@example.com");
        assert_eq!(out, "{\"a\":} [REDACTED_EMAIL]");
    }

    #[test]
    fn lines_stand_alone() {
        let given = "{\"a\":\"bob@example.com\"}\n\n{\"a\":\n{\"b\":1}";
        let (out, stop) = filtered(&Args { jsonl: true, ..args() }, given);
        assert_eq!(out, "{\"a\":\"[REDACTED_EMAIL]\"}\n{\"b\":1}\n");
        assert_eq!(stop.as_deref(), Some("1 line was left out"));
    }
}
