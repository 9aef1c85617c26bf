//! `tollgate demo`: a whole gateway at work, without a key or a service.
//!
//! Starts the simulated provider and a real gateway on loopback, in a temporary folder, sends
//! sample calls of several organisations through it, and reports the values that were redacted, the
//! calls that were limited and retried, and the cost. One more call falls over from OpenAI to
//! Anthropic, translated. Then it stays up to be tried by hand, unless told to end. Does not touch
//! the configuration or data of a real gateway.

mod fallover;
mod traffic;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::progress::Progress;
use super::token::sign;
use super::{print, serve};
use crate::app::{self, App, Signals};
use crate::failure::Failure;
use crate::ids::OrgId;
use crate::money::usd;
use crate::report::{Dim, Filter, Reader, Summary};
use crate::{clock, config, mock};
use traffic::Tally;

/// The arguments of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Number of sample calls
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    requests: u32,
    /// Stop after the report; without it, the gateway stays up to be tried
    #[arg(long)]
    exit: bool,
}

/// Runs the demo.
///
/// # Errors
/// The temporary folder cannot be written, or loopback cannot be listened on.
pub fn run(args: &Args) -> Result<(), Failure> {
    let folder = Folder::new()?;
    serve::runtime()?.block_on(demo(args, &folder))
}

async fn demo(args: &Args, folder: &Folder) -> Result<(), Failure> {
    let (provider, handle) = mock::start(mock::Options::default())
        .await
        .context("cannot start the simulated provider")?;
    let app = start(folder, provider).await?;
    let url = format!("http://{}", app.listen);
    let tokens = tokens(&app)?;
    print::line(&format!("simulated provider  http://{provider}/v1"))?;
    print::line(&format!("gateway             {url}/v1"))?;
    print::line(&format!("operators           http://{}/", app.admin_listen))?;
    print::line("")?;

    let progress = Progress::new("sending", args.requests);
    let tally = traffic::send(&url, &tokens, args.requests, |done| progress.show(done)).await;
    progress.end();
    app.log().flush(Duration::from_secs(10));
    report(&app, &tally)?;
    fallover::show(&app, &url, &tokens.acme).await?;
    if args.exit {
        app.end().await;
    } else {
        let signals = Signals::listen()?;
        next_steps(&app, folder, &tokens.acme)?;
        app.run(signals).await;
    }
    handle.stop().await;
    Ok(())
}

/// The usual ports where they are free, so that the commands in the documentation work; else any.
/// Whether they are free is found by taking them: another demo may begin at the same moment.
async fn start(folder: &Folder, provider: SocketAddr) -> Result<App, Failure> {
    if let Ok(app) = start_at(folder, ["127.0.0.1:8080", "127.0.0.1:9090"], provider).await {
        return Ok(app);
    }
    start_at(folder, ["127.0.0.1:0"; 2], provider).await
}

async fn start_at(
    folder: &Folder,
    [listen, admin_listen]: [&str; 2],
    provider: SocketAddr,
) -> Result<App, Failure> {
    folder.write_config(listen, admin_listen, provider)?;
    let loaded = config::load(Some(&folder.path().join("config")));
    app::start(loaded.map_err(|problems| Failure::User(problems.to_string()))?).await
}

/// One JWT for each organisation of the demo.
pub(crate) struct Tokens {
    acme: String,
    globex: String,
    initech: String,
}

fn tokens(app: &App) -> Result<Tokens, Failure> {
    let policy = app.policy();
    let jwt = policy.auth.jwt.as_ref().context("the demo's policy has a secret")?;
    let algorithm = jwt.hs_algorithm().context("the demo's policy signs with HS256")?;
    let token = |org: &str| {
        let org = OrgId::new(org).context("a plain name")?;
        let now = clock::wall_ms() / 1000;
        sign(jwt, algorithm, &org, Some("demo-app"), Duration::from_secs(86_400), now)
            .context("signing")
    };
    Ok(Tokens { acme: token("acme")?, globex: token("globex")?, initech: token("initech")? })
}

fn report(app: &App, tally: &Tally) -> Result<(), Failure> {
    let settings = app.settings();
    let reader =
        Reader::open(&settings.store, &settings.options.data_dir).context("the demo's log")?;
    let (from, to) = (0, clock::wall_ms() + 60_000);
    let by_org = reader.summary(from, to, &[Dim::Org]).context("the demo's log")?;
    let all = reader.summary(from, to, &[]).context("the demo's log")?;

    print::line(&format!(
        "{} calls sent, {} calls in the log",
        tally.sent,
        sum(&all, |s| s.calls)
    ))?;
    print::line(&format!("  answered             {:>6}", tally.ok))?;
    print::line(&format!(
        "  over a limit         {:>6}   429 with retry-after; not sent to the provider",
        tally.limited
    ))?;
    print::line(&format!(
        "  not valid            {:>6}   400, 413 or 415; not sent to the provider",
        tally.refused
    ))?;
    print::line(&format!(
        "  provider failed      {:>6}   a 503 after three attempts",
        tally.unavailable
    ))?;
    print::line(&format!(
        "  saved by a retry     {:>6}   two attempts failed, the third answered",
        tally.saved
    ))?;
    print::line(&format!(
        "  values redacted      {:>6}   e-mail addresses and phone numbers",
        sum(&all, |s| s.redactions)
    ))?;
    print::line(&format!("  attachments dropped  {:>6}", sum(&all, |s| s.attachments_dropped)))?;
    print::line("")?;
    print::line("organisation    calls  errors  limited   tokens in     out    cost USD   p95 ms")?;
    for s in &by_org {
        let org = s.key.first().map_or("", String::as_str);
        print::line(&format!(
            "{org:<14} {:>6} {:>7} {:>8} {:>11} {:>7} {:>11} {:>8}",
            s.calls,
            s.errors,
            s.rate_limited,
            s.input_tokens,
            s.output_tokens,
            s.cost().map_or_else(|| "–".to_owned(), usd),
            s.p95_ms
        ))?;
    }
    print::line("")?;
    if let Some(sample) = sample(&reader)? {
        print::line(&format!("sent by the app:      {}", traffic::SAMPLE))?;
        print::line(&format!("sent to the provider: {sample}"))?;
        print::line("")?;
    }
    Ok(())
}

fn sum(rows: &[Summary], field: impl Fn(&Summary) -> u64) -> u64 {
    rows.iter().map(field).sum()
}

/// The sample sentence as the provider got it, from the log.
fn sample(reader: &Reader) -> Result<Option<String>, Failure> {
    let mut filter = Filter::default();
    filter.and("org_id", "acme");
    let rows = reader.logs(&filter, 1000).context("the demo's log")?;
    let texts = rows.iter().filter_map(|row| {
        let body: serde_json::Value = serde_json::from_str(row.get("request")?.as_str()?).ok()?;
        body["messages"][0]["content"].as_str().map(str::to_owned)
    });
    Ok(texts.into_iter().find(|text| text.starts_with(traffic::SAMPLE_BEGIN)))
}

fn next_steps(app: &App, folder: &Folder, token: &str) -> Result<(), Failure> {
    let config = folder.path().join("config");
    let lines = [
        "Try it (Ctrl-C ends the demo):".to_owned(),
        format!("  export OPENAI_BASE_URL=http://{}/v1 OPENAI_API_KEY={token}", app.listen),
        "  curl $OPENAI_BASE_URL/chat/completions -H \"authorization: Bearer $OPENAI_API_KEY\" \
         \\"
        .to_owned(),
        "    -H 'content-type: application/json' \\".to_owned(),
        "    -d \
         '{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"[[mock:echo]] \
         write to jane@example.com or +1 415 555 0132\"}]}'"
            .to_owned(),
        format!("  open http://{}/ in a browser", app.admin_listen),
        format!(
            "  edit {}; the edit is in force within a \
            second",
            config.join("policies/demo.yaml").display()
        ),
        format!("  tollgate report --config {}", config.display()),
    ];
    lines.iter().try_for_each(|line| print::line(line))?;
    Ok(())
}

/// The demo's folder, private to its user because its policy holds a secret. It is deleted when the
/// demo ends.
struct Folder(TempDir);

impl Folder {
    fn new() -> Result<Folder, Failure> {
        let folder = super::temporary_folder("tollgate-demo-")?;
        fs::create_dir_all(folder.path().join("config/policies"))
            .context("cannot make a temporary folder")?;
        Ok(Folder(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write_config(
        &self,
        listen: &str,
        admin_listen: &str,
        provider: SocketAddr,
    ) -> Result<(), Failure> {
        let secret: String = std::iter::repeat_with(fastrand::alphanumeric).take(48).collect();
        let data_dir = self.path().join("data");
        let gateway = format!(
            "listen: {listen}\nadmin_listen: {admin_listen}\ndata_dir: {}\nlog: {{level: warn}}\n",
            serde_json::json!(data_dir)
        );
        let policy = format!(
            "# The demo's policy: edit it while the demo runs.\n\
             auth:\n  accept: [jwt]\n  jwt: {{secret: \"{secret}\"}}\n\
             providers:\n  openai: {{kind: openai, base_url: \"http://{provider}/v1\", api_key: \
             \"sk-demo\", proxy: none}}\n  \
             anthropic: {{kind: anthropic, base_url: \"http://{provider}/v1\", api_key: \
             \"sk-demo\", proxy: none}}\n\
             routing:\n  default: [openai]\n  models:\n    \
             - {{match: {model}, to: [openai, {{provider: anthropic, model: {instead}}}]}}\n\
             retry: {{base_delay: 20ms, budget_percent: 100}}\n\
             limits:\n  requests_per_minute: 60\n  orgs:\n    \
             acme: {{requests_per_minute: 100000, burst: 100000}}\n    \
             globex: {{requests_per_minute: 100000, burst: 100000}}\n",
            model = fallover::MODEL,
            instead = fallover::INSTEAD,
        );
        write(&self.path().join("config/gateway.yaml"), &gateway)?;
        write(&self.path().join("config/policies/demo.yaml"), &policy)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    Ok(fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?)
}
