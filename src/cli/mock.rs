//! `tollgate mock`: the simulated provider alone.
//!
//! Prints one line, `listening on http://ADDR`, when it takes calls; ends with exit code 0 on
//! SIGINT and SIGTERM.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::print;
use crate::failure::Failure;
use crate::mock::{self, Options};

/// The faults as `--help` lists them; `mock::fault` has all of them.
const FAULTS: &str = "\
Faults, for --fault, or for one call in a message's text, as in [[mock:status=503,times=2]]:
  instead of an answer  status=429 code=… retry_after=2 retry_after_ms=200 should_retry=false
                        page reset delay=200 times=2
  within an answer      stall cut unfinished error, each with after=3 events
                        chunks=50 chunk_delay=20 split=1
  text and usage        echo say=… input=9 cached=9 output=9 reasoning=9

Example:
  tollgate mock --fault status=503 --fail-every 5";

/// A simulated provider of each kind (OpenAI, Azure, Anthropic, Gemini, Bedrock), with faults on
/// demand.
///
/// Point an application or a provider's `base_url` at it: `http://127.0.0.1:9100/v1` for OpenAI and
/// Anthropic, `/v1beta` for Gemini, no path for Azure and Bedrock. It refuses requests that differ
/// from the provider's documented schema. A marker in a message's text asks for a fault in one
/// call, `--fault` for the same in every one.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = FAULTS)]
pub struct Args {
    /// Address to listen on; port 0: any free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Fault of each call (with --fail-every, of each N-th): `cut,after=3`
    #[arg(long, value_name = "FAULT", default_value = "", hide_default_value = true)]
    #[arg(value_parser = items)]
    fault: String,
    /// Fail each N-th call; 0 fails none
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_every: u64,
    /// Status of those failures; --fault takes precedence
    #[arg(long, value_name = "CODE", default_value_t = 503)]
    #[arg(value_parser = clap::value_parser!(u16).range(400..600))]
    status: u16,
    /// Milliseconds before each answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// Milliseconds between the events of a stream
    #[arg(long, value_name = "MS", default_value_t = 0)]
    chunk_delay_ms: u64,
    /// Number of words in each answer
    #[arg(long, value_name = "N")]
    chunks: Option<usize>,
}

fn items(text: &str) -> Result<String, String> {
    mock::fault::check(text).map(|()| text.to_owned())
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
        fault: args.fault.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let started = mock::start(options).await;
        let (address, handle) = started.map_err(|error| {
            Failure::User(format!(
                "cannot listen on {}: {error}; give another \
                address with --listen",
                args.listen
            ))
        })?;
        print::line(&format!("listening on http://{address}"))?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
        let told = print::line(&format!("{} calls", handle.calls()));
        handle.stop().await;
        told
    })
}
