//! The command line: which command, with what, and the exit code.
//!
//! Level 6 of the map. One file per command, each with `Args` (clap) and `run`. Exit codes: 0 done,
//! 1 the user must change something (also a full disk or a missing
//! permission), 2 usage, 70 a bug. Standard output has one writer, `print`.

pub mod alert;
pub mod audit;
pub mod check;
pub mod clickhouse;
pub mod completions;
pub mod config;
mod csv;
pub mod demo;
pub mod export;
mod form;
pub mod healthcheck;
pub mod import;
pub mod intent;
pub mod key;
mod lines;
pub mod mock;
pub mod prices;
mod print;
mod progress;
pub mod redact;
pub mod replay;
pub mod report;
pub mod reprice;
pub mod schema;
pub mod serve;
pub mod token;
pub mod top;

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, Parser, Subcommand};
use tempfile::TempDir;

use crate::config::{Loaded, Uses, load_to_read, told};
use crate::failure::Failure;
use crate::visible::visible_lines;

#[cfg(test)]
mod tests;

/// A gateway between applications and LLM providers: redacts, limits, retries and logs every call.
#[derive(Parser)]
#[command(name = "tollgate", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  tollgate demo                           See all of it at work, without a key or a service
  tollgate check --config config          Find every problem of a configuration
  tollgate --config config                Run the gateway")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default command)
    #[command(after_help = "Example:\n  tollgate serve --config /etc/tollgate")]
    Serve(serve::Args),
    /// Run a gateway, a simulated provider and sample calls; needs no key and no service
    #[command(after_help = "Example:\n  tollgate demo --requests 1000 --exit")]
    Demo(demo::Args),
    /// Run the simulated provider alone
    Mock(mock::Args),
    /// Check the configuration; print each problem as file:line:column: key: message
    #[command(after_help = "Example:\n  tollgate check --config config --live")]
    Check(check::Args),
    /// Print the effective configuration, or what changes between two of them
    #[command(after_help = "Example:\n  tollgate config diff /etc/tollgate new-config")]
    Config(config::Args),
    /// Print the JSON Schema of the configuration, for editors
    #[command(after_help = "Example:\n  tollgate schema > tollgate.schema.json")]
    Schema(schema::Args),
    /// Print a text or a request body as the provider would receive it
    #[command(after_help = redact::help())]
    Redact(Configured<redact::Args>),
    /// Print calls, cost, errors and latencies from the log
    #[command(after_help = "\
Examples:
  tollgate report --from 2026-11-01 --to 2026-11-30 --by org,model --format csv
  tollgate report --by org --format html > report.html
  tollgate report --daily --tz Europe/Berlin")]
    Report(Configured<report::Args>),
    /// Write the rows of the log as JSON lines, CSV or Parquet
    #[command(after_help = "\
Examples:
  tollgate export --from 2026-11-01 --to 2026-11-30 --format parquet --output november.parquet
  tollgate export --org acme --where outcome=ok --format csv --output acme.csv
  tollgate export --format jsonl | gzip > rows.jsonl.gz")]
    Export(Configured<export::Args>),
    /// Ask a policy what it would have decided about the calls of the log
    #[command(after_help = "\
Examples:
  tollgate replay --policy config/shadow --from 2026-11-01 --to 2026-11-30
  tollgate replay --policy new-config --format json --exit-code")]
    Replay(Configured<replay::Args>),
    /// List the prices in force, or make a policy file of another price list
    #[command(after_help = "Example:\n  tollgate prices list --model 'gpt-4o*'")]
    Prices(prices::Args),
    /// Compute the cost of stored calls again, with the prices in force
    #[command(after_help = "\
Example:
  tollgate reprice --from 2026-11-01 --to 2026-11-30 --dry-run")]
    Reprice(Configured<reprice::Args>),
    /// Evaluate the ticket endpoint with labelled tickets
    #[command(after_help = "Example:\n  tollgate intent eval examples/tickets.csv --wrong")]
    Intent(Configured<intent::Args>),
    /// Print the records of policy edits and operators, or verify them
    #[command(after_help = "Example:\n  tollgate audit verify")]
    Audit(Configured<audit::Args>),
    /// Make a policy of another gateway's configuration
    #[command(after_help = "Example:\n  tollgate import litellm config.yaml --output tollgate")]
    Import(import::Args),
    /// Print or apply the schema of the ClickHouse store
    #[command(after_help = "Example:\n  tollgate clickhouse apply --url http://127.0.0.1:8123")]
    Clickhouse(Configured<clickhouse::Args>),
    /// Sign a JWT with the configured secret, to try the gateway
    #[command(after_help = "\
Example:
  export OPENAI_API_KEY=$(tollgate token --org acme --ttl 8h)")]
    Token(token::Args),
    /// Make a gateway key, and its lines for the policy
    #[command(after_help = "Example:\n  tollgate key new --org acme --name ci --expires 90d")]
    Key(key::Args),
    /// Watch calls, organisations, providers and limits of a running gateway
    #[command(after_help = "\
Examples:
  tollgate top                                        q quits, ? shows the keys
  tollgate top --url http://127.0.0.1:9090 --once")]
    Top(top::Args),
    /// Exit with 0 if a running gateway is ready, for containers
    #[command(after_help = "Example:\n  tollgate healthcheck --addr 127.0.0.1:9090 --timeout 1s")]
    Healthcheck(healthcheck::Args),
    /// Test the alerts of the configuration
    #[command(after_help = "Example:\n  tollgate alert test ops")]
    Alert(Configured<alert::Args>),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  tollgate completions bash > ~/.local/share/bash-completion/completions/tollgate")]
    Completions(completions::Args),
}

/// A command that works with the configuration of a gateway.
#[derive(Debug, clap::Args)]
struct Configured<A: clap::Args> {
    /// Configuration: folder or file [default: $TOLLGATE_CONFIG or ./config]
    #[arg(long, value_name = "PATH", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    args: A,
}

impl<A: clap::Args> Configured<A> {
    /// Loads the part of the configuration that the command uses.
    fn load(self, uses: Uses) -> Result<(A, Loaded), Failure> {
        let loaded = load_to_read(self.config.as_deref(), uses);
        Ok((self.args, loaded.map_err(|problems| Failure::User(told(&problems)))?))
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    // One crypto provider for everything that speaks TLS; a second one in the process would be a
    // defect.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return not_a_command(&answer),
    };
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Mock(args) => mock::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Redact(configured) => configured
            .load(Uses::Redaction)
            .and_then(|(args, loaded)| redact::run(args, &loaded.settings, &loaded.policy)),
        Command::Report(configured) => configured
            .load(Uses::Log)
            .and_then(|(args, loaded)| report::run(args, &loaded.settings)),
        Command::Export(configured) => configured
            .load(Uses::Log)
            .and_then(|(args, loaded)| export::run(&args, &loaded.settings)),
        Command::Audit(configured) => configured
            .load(Uses::Log)
            .and_then(|(args, loaded)| audit::run(&args, &loaded.settings)),
        Command::Replay(configured) => {
            configured.load(Uses::Judging).and_then(|(args, loaded)| replay::run(&args, &loaded))
        }
        Command::Prices(args) => prices::run(args),
        Command::Reprice(configured) => {
            configured.load(Uses::LogAndPrices).and_then(|(args, loaded)| {
                reprice::run(&args, &loaded.settings, &loaded.policy.prices)
            })
        }
        Command::Intent(configured) => {
            configured.load(Uses::Tickets).and_then(|(args, loaded)| intent::run(args, loaded))
        }
        // Before `store: clickhouse` is set, the schema can be looked at and made.
        Command::Clickhouse(configured) => {
            let uses = configured.args.uses();
            configured.load(uses).and_then(|(args, loaded)| {
                clickhouse::run(args, loaded.clickhouse, &loaded.policy.ailog)
            })
        }
        Command::Token(args) => token::run(&args),
        Command::Key(args) => key::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Alert(configured) => configured
            .load(Uses::Alerts)
            .and_then(|(args, loaded)| alert::run(&args, &loaded.policy)),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    };
    exit(result)
}

/// Help, the version, or what is wrong with the arguments.
fn not_a_command(answer: &clap::Error) -> ExitCode {
    if answer.use_stderr() {
        // If stderr is closed, the message is lost.
        drop(answer.print());
        return ExitCode::from(2);
    }
    exit(print::written(answer.print().and_then(|()| std::io::stdout().flush())))
}

/// The exit code of a command, whose failure is told on stderr.
fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::User(message)) => {
            say(&message);
            ExitCode::from(1)
        }
        Err(Failure::Defect(error)) if is_of_the_environment(&error) => {
            say(&format!("{error:#}"));
            ExitCode::from(1)
        }
        Err(Failure::Defect(error)) => {
            say(&format!("a bug in tollgate, please report it: {error:#}"));
            ExitCode::from(70)
        }
    }
}

fn say(message: &str) {
    if !message.is_empty() {
        // If stderr is closed, the message is lost.
        let _ = writeln!(std::io::stderr(), "{}", visible_lines(message));
    }
}

/// Whether an error comes from the system: a disk that is full or read-only, a missing permission,
/// too few descriptors or too little memory, a closed pipe.
fn is_of_the_environment(error: &anyhow::Error) -> bool {
    use rustix::io::Errno;
    const OF_SYSTEM: [Errno; 12] = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::FBIG,
        Errno::ROFS,
        Errno::ACCESS,
        Errno::PERM,
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::PIPE,
    ];
    let mut found = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    found.any(|io| Errno::from_io_error(io).is_some_and(|number| OF_SYSTEM.contains(&number)))
}

/// A folder that only its owner may enter, below the system's temporary folder; deleted when it is
/// dropped.
fn temporary_folder(prefix: &str) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    let folder = builder.prefix(prefix).permissions(Permissions::from_mode(0o700)).tempdir();
    Ok(folder.context("cannot make a temporary folder")?)
}
