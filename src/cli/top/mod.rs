//! `tollgate top`: a live view of a running gateway in a terminal.
//!
//! Guarantees: reads the JSON of the operators' side and nothing else; one reading at a time; the
//! terminal is restored at every end. A gateway that is away is named, and asked again. Does not:
//! show texts of calls, or change anything.

mod picture;
mod read;
mod screen;
mod view;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::picture::{Frame, Line, picture};
use self::read::{State, Unread, read};
use self::screen::Screen;
use self::view::{Then, View};
use super::{healthcheck, print};
use crate::config;
use crate::egress::Egress;
use crate::egress::rules::Proxies;
use crate::egress::trust::{ClientTls, TlsFiles};
use crate::failure::Failure;
use crate::live::LiveFiles;

/// Arguments of `tollgate top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// http[s]://HOST:PORT of the operators' side [default: as configured]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// PEM file with the authority of the gateway's certificate
    #[arg(long, value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// Token of `admin.access`
    #[arg(long, value_name = "TOKEN", env = "TOLLGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Time between two readings
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = config::duration)]
    interval: Duration,
    /// Stretch of the figures, up to now
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = config::duration)]
    window: Duration,
    /// Print one table and end, as without a terminal
    #[arg(long)]
    once: bool,
    /// Configuration: folder or file [default: $TOLLGATE_CONFIG or ./config]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

/// The gateway that is read.
#[derive(Debug)]
struct Source {
    /// `http://host:port`.
    base: String,
    token: Option<String>,
    window: Duration,
    egress: Arc<Egress>,
}

impl Source {
    fn frame<'a>(&'a self, window: &'a str, trouble: Option<&'a str>) -> Frame<'a> {
        Frame { base: &self.base, window, seconds: self.window.as_secs_f64(), trouble }
    }
}

/// Columns of a picture without a terminal.
const WIDTH: usize = 100;
/// Its most lines.
const HEIGHT: usize = 250;

/// Shows a gateway until the person quits, or once.
///
/// # Errors
/// [`Failure::User`] if the gateway is not reachable or refuses the token at the first reading of
/// `--once`, or if there is no terminal.
pub fn run(args: &Args) -> Result<(), Failure> {
    let source = Arc::new(source(args)?);
    let window = words(args.window);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime")?;
    runtime.block_on(async {
        if args.once || !io::stdout().is_terminal() {
            return once(source, &window).await;
        }
        live(source, &window, args.interval.max(Duration::from_millis(100))).await
    })
}

fn source(args: &Args) -> Result<Source, Failure> {
    let base = match &args.url {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => url.clone(),
        Some(url) => {
            let message = format!("`{url}` is no address; write --url http://127.0.0.1:9090");
            return Err(Failure::User(message));
        }
        None => {
            let path = args.config.as_deref();
            let loaded = config::load_to_read(path, config::Uses::AdminSide)
                .map_err(|problems| Failure::User(problems.to_string()))?;
            let settings = &loaded.settings;
            let here = healthcheck::reachable(settings.admin_listen);
            // A certificate has a name, which an address is not.
            match (&settings.admin_tls, &settings.admin_url) {
                (None, _) => format!("http://{here}"),
                (Some(_), Some(url)) => url.to_string(),
                (Some(_), None) => format!("https://{here}"),
            }
        }
    };
    let files = TlsFiles { ca: args.ca_file.clone(), client: None };
    let tls = ClientTls::of(&LiveFiles::default(), &files)
        .map_err(|reason| Failure::User(format!("--ca-file: {reason}")))?;
    let egress = Arc::new(Egress::new(Proxies::default(), tls));
    let token = args.token.clone().filter(|token| !token.is_empty());
    Ok(Source { base, token, window: args.window.max(Duration::from_secs(1)), egress })
}

/// One plain table.
async fn once(source: Arc<Source>, window: &str) -> Result<(), Failure> {
    let state = read(Arc::clone(&source)).await;
    let state = state.map_err(|unread| Failure::User(unread.message().to_owned()))?;
    let size = (WIDTH, HEIGHT);
    let lines = picture(&source.frame(window, None), Some(&state), &View::default(), size);
    let text = |line: &Line| line.iter().map(|(_, text)| text.as_str()).collect::<String>();
    let mut lines: Vec<String> =
        lines.iter().map(|line| text(line).trim_end().to_owned()).collect();
    // The line of keys.
    lines.pop();
    lines.dedup_by(|a, b| a.is_empty() && b.is_empty());
    print::line(lines.join("\n").trim_end())
}

/// A picture that is drawn again and again.
async fn live(source: Arc<Source>, window: &str, interval: Duration) -> Result<(), Failure> {
    let (screen, mut events) = Screen::enter()
        .map_err(|error| Failure::User(format!("the terminal cannot be used: {error}")))?;
    let mut ends = [
        signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
        signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?,
        signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
    ];
    let [terminate, hangup, interrupt] = &mut ends;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut view, mut reading) = (View::default(), JoinSet::new());
    let (mut state, mut trouble): (Option<State>, Option<Unread>) = (None, None);
    loop {
        let frame = source.frame(window, trouble.as_ref().map(Unread::message));
        let lines = picture(&frame, state.as_ref(), &view, screen.size());
        if screen.draw(&lines).is_err() {
            // The terminal is gone.
            return Ok(());
        }
        let then = tokio::select! {
            event = events.recv() => match event {
                Some(event) => view.take(&event),
                None => Then::Quit,
            },
            _ = ticks.tick() => if view.is_paused { Then::Draw } else { Then::Read },
            Some(done) = reading.join_next() => {
                match done.unwrap_or_else(|error| Err(Unread::Unreachable(error.to_string()))) {
                    Ok(new) => (state, trouble) = (Some(new), None),
                    Err(unread) => trouble = Some(unread),
                }
                Then::Draw
            }
            _ = terminate.recv() => Then::Quit,
            _ = hangup.recv() => Then::Quit,
            _ = interrupt.recv() => Then::Quit,
        };
        match then {
            Then::Quit => return Ok(()),
            Then::Read if reading.is_empty() => drop(reading.spawn(read(Arc::clone(&source)))),
            Then::Read | Then::Draw => {}
        }
    }
}

/// `1h`, `90s`: the largest unit in which a duration is whole.
fn words(duration: Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, letter) = whole.unwrap_or((1, "s"));
    format!("{}{letter}", seconds / unit)
}
