//! `tollgate serve`: the gateway, until a signal.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::lines::Lines;
use super::print;
use crate::app;
use crate::config::policy::{LogFormat, LogOptions};
use crate::config::{self, Loaded};
use crate::failure::Failure;

/// The arguments of `serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration: folder or file [default: $TOLLGATE_CONFIG or ./config]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

/// Runs the gateway.
///
/// # Errors
/// The configuration has problems, or an address or folder is in use.
pub fn run(args: &Args) -> Result<(), Failure> {
    let loaded = config::load(args.config.as_deref())
        .map_err(|problems| Failure::User(config::told(&problems)))?;
    let lines = log_to_stderr(&loaded.settings.options.log)?;
    runtime()?.block_on(serve(loaded, lines))
}

async fn serve(loaded: Loaded, lines: Lines) -> Result<(), Failure> {
    let (version, policy) = (env!("CARGO_PKG_VERSION"), Arc::clone(&loaded.policy.version));
    let data_dir = loaded.settings.options.data_dir.display().to_string();
    tracing::info!(event = "starting", version, policy_version = &*policy, data_dir, "starting");
    let signals = app::Signals::listen()?;
    let app = app::start(loaded).await?;
    let sides = [
        format!("listening on {}://{}", app.scheme(), app.listen),
        format!("operators on {}://{}", app.admin_scheme(), app.admin_listen),
    ];
    for side in sides {
        tracing::info!(event = "listening", "{side}");
        // A gateway serves whether or not its standard output can be written.
        if let Err(Failure::User(reason)) = print::line(&side) {
            tracing::warn!(event = "stdout_closed", "{reason}");
        }
    }
    tokio::select! {
        () = app.run(signals) => Ok(()),
        never = tell_left_out(lines) => match never {},
    }
}

/// Says now and then which lines were left out.
async fn tell_left_out(lines: Lines) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        lines.tell();
    }
}

/// A runtime for this machine: one thread where there is one core, which saves every hand-over
/// between threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if cores == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.enable_all().build()
}

/// How often lines that were left out are told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The watcher of files warns of each folder that an edit of a ConfigMap replaces. A level that the
/// configuration gives for it comes later in the filter, and takes precedence.
const QUIET: &str = "notify=error";

/// `trace` is not compiled into a release build; there it means `debug`, without a line about it on
/// stderr.
fn compiled(level: &str, most: LevelFilter) -> String {
    let known = |word: &str| LevelFilter::from_str(word).is_ok_and(|level| level > most);
    let part = |part: &str| match part.rsplit_once('=') {
        Some((room, word)) if known(word.trim()) => format!("{room}={most}"),
        None if known(part.trim()) => most.to_string(),
        _ => part.to_owned(),
    };
    level.split(',').map(part).collect::<Vec<_>>().join(",")
}

/// The gateway's own log goes to stderr; stdout says where it listens, as the log does.
fn log_to_stderr(options: &LogOptions) -> Result<Lines, Failure> {
    let level = compiled(&options.level, STATIC_MAX_LEVEL);
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|error| Failure::User(format!("log.level: {error}; give e.g. info")))?;
    let lines = Lines::default();
    let written = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let written = if options.format == LogFormat::Json {
        written.json().boxed()
    } else {
        written.with_ansi(false).boxed()
    };
    let all = tracing_subscriber::registry().with(written).with(lines.clone()).with(filter);
    all.try_init().map_err(|error| Failure::Defect(anyhow::anyhow!(error)))?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_are_not_compiled_are_the_most_there_is() {
        for (given, expected) in [
            ("info", "info"),
            ("trace", "debug"),
            ("tollgate=TRACE,info", "tollgate=debug,info"),
            ("warn, trace", "warn,debug"),
            ("tollgate::ailog=debug,off", "tollgate::ailog=debug,off"),
        ] {
            assert_eq!(compiled(given, LevelFilter::DEBUG), expected);
            assert_eq!(compiled(given, LevelFilter::TRACE), given);
        }
    }
}
