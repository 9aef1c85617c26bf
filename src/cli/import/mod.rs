//! `tollgate import litellm`: a policy from a configuration of LiteLLM's proxy.
//!
//! `litellm` makes the policy, `tree` reads the input, `findings` says what became of each key, and
//! `output` writes the files. Guarantees: nothing is overwritten without `--force`; a file with a
//! secret in clear has mode 0600.

mod findings;
mod litellm;
mod output;
mod tree;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::print;
use crate::bounds::CONFIG_FILE_BYTES_MAX;
use crate::config;
use crate::failure::Failure;
use findings::{Finding, Status};

/// Arguments of `tollgate import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, clap::Subcommand)]
enum Source {
    /// Make a policy of a LiteLLM configuration; print what became of each key
    #[command(after_help = "\
Example:
  tollgate import litellm config.yaml --output tollgate")]
    Litellm(LitellmArgs),
}

#[derive(Debug, clap::Args)]
struct LitellmArgs {
    /// The configuration of LiteLLM's proxy
    file: PathBuf,
    /// Folder of the new configuration
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Form of the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write into a folder that holds something
    #[arg(long)]
    force: bool,
    /// Exit with 1 if a key is unsupported
    #[arg(long)]
    exit_code: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

/// Makes the policy and prints the findings.
///
/// # Errors
/// [`Failure::User`] if the input cannot be used or the folder is not free, or with `--exit-code`
/// if a key is unsupported.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Source::Litellm(args) = &args.source;
    let source = args.file.display().to_string();
    let (output, findings) = read(&args.file)?;
    if !args.force && !is_free(&args.output) {
        return Err(Failure::User(format!(
            "--output: {} holds something; give a new folder, or --force",
            args.output.display()
        )));
    }
    let mut written = Vec::new();
    for (name, text, has_secret) in output.files(&source) {
        let path = args.output.join(name);
        output::write(&path, &text, has_secret)
            .map_err(|error| Failure::User(format!("{}: {error}", path.display())))?;
        written.push(path.display().to_string());
    }
    match args.format {
        Format::Text => print::line(&text(&findings, &written))?,
        Format::Json => {
            let document = Document { version: 1, source, findings: &findings, output: written };
            print::json(&serde_json::to_string(&document).unwrap_or_default())?;
        }
    }
    let has_unsupported = findings.iter().any(|finding| finding.status == Status::Unsupported);
    match has_unsupported && args.exit_code {
        true => Err(Failure::User(String::new())),
        false => Ok(()),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    source: String,
    findings: &'a [Finding],
    output: Vec<String>,
}

fn read(file: &Path) -> Result<(output::Output, Vec<Finding>), Failure> {
    let name = file.display().to_string();
    let failed = |reason: String| Failure::User(format!("{name}: {reason}"));
    let length = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if length > CONFIG_FILE_BYTES_MAX {
        return Err(failed(format!("larger than {} MiB", CONFIG_FILE_BYTES_MAX >> 20)));
    }
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let node =
        config::read_yaml(&name, &text).map_err(|problems| Failure::User(problems.to_string()))?;
    litellm::import(&node).ok_or_else(|| {
        let at = format!("{name}:{}:{}", node.at.line, node.at.column);
        Failure::User(format!(
            "{at}: model_list: missing or empty; give a configuration of LiteLLM's proxy"
        ))
    })
}

fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn text(findings: &[Finding], written: &[String]) -> String {
    let mut lines = Vec::new();
    for finding in findings {
        let status = match finding.status {
            Status::Exact => "exact",
            Status::Approximate => "approximate",
            Status::Unsupported => "unsupported",
        };
        let to = finding.to.as_ref().map(|to| format!(" → {to}")).unwrap_or_default();
        let message = match finding.message.as_str() {
            "" => String::new(),
            message => format!(": {message}"),
        };
        lines.push(format!("{status:<11}  {} (line {}){to}{message}", finding.path, finding.line));
    }
    let count = |status: Status| findings.iter().filter(|f| f.status == status).count();
    lines.push(format!(
        "{} exact, {} approximate, {} unsupported; written: {}",
        count(Status::Exact),
        count(Status::Approximate),
        count(Status::Unsupported),
        written.join(", ")
    ));
    lines.push("next: tollgate check --config DIR".to_owned());
    lines.join("\n")
}
