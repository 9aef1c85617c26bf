//! `tollgate mock`: the simulated provider alone.
//!
//! Prints one line, `listening on http://ADDR`, when it takes calls; ends with exit code 0 on SIGINT and SIGTERM.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::mock::{self, Options};

const MARKERS: &str = "\
Point a provider's base_url at it: http://127.0.0.1:9100/v1. Any key will do.

A marker in a message's text asks for something in that one call, several with commas:
  [[mock:status=503,times=2]]   an error, the first two times that this text comes; also code=, retry_after=, should_retry=
  [[mock:reset]]                the connection is closed without an answer
  [[mock:stall]]  [[mock:cut]]  the answer stops in its middle, and stays open or is closed
  [[mock:delay=200]]            milliseconds before the answer
  [[mock:chunks=50,chunk_delay=20]]  words of the answer, milliseconds between them
  [[mock:echo]]  [[mock:say=…]]  answer with the message as it arrived, or with this
  [[mock:input=10,cached=4,output=5,reasoning=1]]  usage";

/// A simulated OpenAI-compatible provider (JSON and streams), with faults on demand.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = MARKERS)]
pub struct Args {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Fail every N-th call; 0 fails none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_every: u64,
    /// The status of those failures.
    #[arg(long, value_name = "CODE", default_value_t = 503, value_parser = clap::value_parser!(u16).range(400..600))]
    status: u16,
    /// Milliseconds before each answer.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// Milliseconds between the events of a stream.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    chunk_delay_ms: u64,
    /// Words of each answer.
    #[arg(long, value_name = "N")]
    chunks: Option<usize>,
}

/// Runs until a signal ends it.
///
/// # Errors
/// [`Failure::User`] if the address is taken.
pub fn run(args: &Args) -> Result<(), Failure> {
    let options = Options {
        listen: args.listen,
        fail_every: args.fail_every,
        status: args.status,
        latency: Duration::from_millis(args.latency_ms),
        chunk_delay: Duration::from_millis(args.chunk_delay_ms),
        chunks: args.chunks,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let started = mock::start(options).await;
        let (address, handle) =
            started.map_err(|error| Failure::User(format!("cannot listen on {}: {error}", args.listen)))?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on http://{address}")?;
        out.flush()?;
        drop(out);
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
        writeln!(std::io::stdout(), "{} calls", handle.calls())?;
        handle.stop().await;
        Ok(())
    })
}
