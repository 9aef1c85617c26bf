//! `tollgate config show|diff`: the effective configuration, and what changes between two of them.
//!
//! Guarantees: secrets are masked; variables that are not set are no problem, so that both commands
//! work without a gateway's secrets. Does not: connect, except to a store whose figures were asked
//! for, or check what `check` alone does.

mod past;

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::form::TextForm;
use super::print;
use crate::config::effective::{Change, Effective, differences};
use crate::config::{self, Loaded};
use crate::failure::Failure;
use crate::ids::OrgId;
use past::Past;

/// Arguments of `tollgate config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print every key with its value and its source; secrets are masked
    #[command(after_help = "\
Examples:
  tollgate config show
  tollgate config show --org acme --format json")]
    Show {
        /// Configuration: folder or file [default: $TOLLGATE_CONFIG or ./config]
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
        /// Print what holds for this organisation
        #[arg(long, value_name = "ORG", value_parser = org)]
        org: Option<String>,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = TextForm::Text)]
        format: TextForm,
    },
    /// Print what changes between two configurations, by meaning
    #[command(after_help = "\
Examples:
  tollgate config diff /etc/tollgate new-config --exit-code
  tollgate config diff /etc/tollgate new-config --from 2026-11-01 --to 2026-11-30")]
    Diff {
        /// The configuration before: folder or file
        a: PathBuf,
        /// The configuration after: folder or file
        b: PathBuf,
        #[command(flatten)]
        past: past::Args,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = TextForm::Text)]
        format: TextForm,
        /// Exit with 1 if there is a difference
        #[arg(long)]
        exit_code: bool,
    },
}

fn org(text: &str) -> Result<String, String> {
    match OrgId::new(text) {
        Some(org) => Ok(org.as_str().to_owned()),
        None => {
            Err("not the name of an organisation; give 1 to 128 of A-Z a-z 0-9 . _ : @ + = / -"
                .to_owned())
        }
    }
}

/// Prints the effective configuration or a difference.
///
/// # Errors
/// [`Failure::User`] if a configuration has problems, or for a difference with `--exit-code`.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Show { config, org, format } => {
            let loaded = load(config.as_deref(), org.as_deref())?;
            show(&loaded.origin.effective, org.as_deref(), *format)
        }
        Action::Diff { a, b, past, format, exit_code } => {
            let (old, new) = (load(Some(a), None)?, load(Some(b), None)?);
            let changes = changes(&old.origin.effective, &new.origin.effective);
            let has_limits = changes.iter().any(|change| change.key.starts_with("limits"));
            let past = if has_limits { past::read(past, (a, b))? } else { None };
            diff(&changes, past.as_ref(), *format)?;
            match changes.is_empty() || !exit_code {
                true => Ok(()),
                false => Err(Failure::User(String::new())),
            }
        }
    }
}

fn load(path: Option<&Path>, org: Option<&str>) -> Result<Loaded, Failure> {
    config::load_to_show(path, org).map_err(|problems| Failure::User(config::told(&problems)))
}

fn changes(a: &Effective, b: &Effective) -> Vec<Change> {
    // Marks of secrets are compared here and go nowhere.
    const SALT: &[u8] = b"tollgate config diff";
    differences(&a.meaning(SALT), &b.meaning(SALT))
}

#[derive(serde::Serialize)]
struct Shown<'a> {
    version: u32,
    org: Option<&'a str>,
    keys: Vec<Json>,
}

fn show(effective: &Effective, org: Option<&str>, format: TextForm) -> Result<(), Failure> {
    let settings = effective.settings.iter();
    match format {
        TextForm::Text => print::line(&settings.map(|s| s.line()).collect::<Vec<_>>().join("\n")),
        TextForm::Json => {
            print::document(&Shown { version: 1, org, keys: settings.map(|s| s.json()).collect() })
        }
    }
}

#[derive(serde::Serialize)]
struct Changed<'a> {
    version: u32,
    changes: Vec<WithPast<'a>>,
}

#[derive(serde::Serialize)]
struct WithPast<'a> {
    #[serde(flatten)]
    change: &'a Change,
    past: Json,
}

fn diff(changes: &[Change], past: Option<&Past>, format: TextForm) -> Result<(), Failure> {
    match (format, changes) {
        (TextForm::Json, changes) => {
            let of = |change| past.map_or(Json::Null, |past| past.json(change));
            let changes = changes.iter().map(|change| WithPast { change, past: of(change) });
            print::document(&Changed { version: 1, changes: changes.collect() })
        }
        (TextForm::Text, []) => print::line("no difference"),
        (TextForm::Text, changes) => {
            let line = |change: &Change| match past.and_then(|past| past.told(change)) {
                Some(figure) => format!("{} ({figure})", change.sentence()),
                None => change.sentence(),
            };
            print::line(&changes.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
    }
}
