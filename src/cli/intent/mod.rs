//! `tollgate intent eval`: labelled tickets through the endpoint, and how good its answers were.
//!
//! Starts a gateway of its own on loopback with the configuration to be judged, in a temporary
//! folder, and sends the tickets to it: the same redaction, prompt, provider and reading as in
//! service. Limits and the feature flag do not apply there.
//!
//! Guarantees: neither data nor buckets of a running gateway are touched; nothing of a ticket is
//! kept. Does not spare the provider: every ticket is a call that costs.

mod csv;
mod score;

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::progress::Progress;
use super::token::sign;
use super::{print, serve};
use crate::app::{self, App};
use crate::bounds::EVAL_FILE_BYTES_MAX;
use crate::clock;
use crate::config::Loaded;
use crate::config::policy::{Accept, Algorithm, JwtPolicy, StoreKind};
use crate::failure::Failure;
use crate::ids::{OrgId, SecretBytes};
use crate::limit::bucket::Quota;
use crate::money::usd;
use crate::report::{Reader, Summary};
use csv::Labelled;
use score::{Answered, Score};

const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Evaluations have no limits.
const UNLIMITED: NonZeroU32 = NonZeroU32::new(10_000_000).expect("not zero");

/// `tollgate intent`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Send labelled tickets through the endpoint; print accuracy, calibration, cost and latency
    #[command(after_help = "\
Examples:
  tollgate intent eval examples/tickets.csv --wrong
  tollgate intent eval tickets.csv --config candidate --min-accuracy 90%")]
    Eval(Eval),
}

#[derive(Debug, clap::Args)]
struct Eval {
    /// CSV with the columns title, body, category, priority; an empty label means: none fits
    file: PathBuf,
    /// Organisation whose redaction and examples are used
    #[arg(long, value_name = "ORG", default_value = "eval")]
    org: String,
    /// Tickets in flight at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
    /// Format of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// List the misjudged tickets: line, title, expected and given labels
    #[arg(long)]
    wrong: bool,
    /// Exit with 1 if a smaller share is right in both labels: 0.9 or 90%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_accuracy: Option<f64>,
}

/// `0.9`, `90` or `90%`; 1 is all.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%');
    let number = percent.unwrap_or(text).trim().parse::<f64>().ok();
    number
        .map(|n| if percent.is_some() || n > 1.0 { n / 100.0 } else { n })
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "not a share of the tickets; give e.g. 0.9, 90 or 90%".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
///
/// # Errors
/// The file or the configuration has problems, or no ticket at all was answered.
pub(crate) fn run(args: Args, loaded: Loaded) -> Result<(), Failure> {
    let What::Eval(eval) = args.what;
    let org = OrgId::new(&eval.org).ok_or_else(|| {
        Failure::User(
            "--org: not the name of an organisation; give 1 to 128 of A-Z a-z 0-9 . _ \
            : @ + = / -"
                .to_owned(),
        )
    })?;
    let names = |choices: &[crate::intent::prompt::Choice]| {
        choices.iter().map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    let question = &loaded.policy.intent.question;
    let (categories, priorities) = (names(&question.categories), names(&question.priorities));
    let (categories, priorities): (Vec<&str>, Vec<&str>) = (
        categories.iter().map(String::as_str).collect(),
        priorities.iter().map(String::as_str).collect(),
    );
    let tickets =
        csv::read(&text_of(&eval.file)?, &categories, &priorities).map_err(|problems| {
            let lines = problems.iter().map(|problem| format!("{}:{problem}", eval.file.display()));
            Failure::User(lines.collect::<Vec<_>>().join("\n"))
        })?;
    let folder = super::temporary_folder("tollgate-eval-")?;
    let score = Score::new(&categories, &priorities);
    serve::runtime()?.block_on(judge(&eval, &org, tickets, loaded, &folder, score))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let told =
        |error: &dyn std::fmt::Display| Failure::User(format!("{}: {error}", file.display()));
    let length = fs::metadata(file).map_err(|error| told(&error))?.len();
    if length > EVAL_FILE_BYTES_MAX {
        return Err(told(&format!("longer than {EVAL_FILE_BYTES_MAX} bytes; split it")));
    }
    fs::read_to_string(file).map_err(|error| told(&error))
}

async fn judge(
    eval: &Eval,
    org: &OrgId,
    tickets: Vec<Labelled>,
    loaded: Loaded,
    folder: &TempDir,
    mut score: Score,
) -> Result<(), Failure> {
    let (loaded, jwt) = prepared(loaded, folder);
    let algorithm = Algorithm::HS256;
    let token = sign(
        &jwt,
        algorithm,
        org,
        Some("eval"),
        Duration::from_secs(86_400),
        clock::wall_ms() / 1000,
    )
    .context("signing")?;
    let app = app::start(loaded).await?;
    let version = app.policy().version.clone();
    ask_all(eval, app.listen, &token, tickets, &mut score).await;
    if app.policy().version != version {
        app.end().await;
        return Err(Failure::User(
            "the policy was edited during the evaluation; run it again".to_owned(),
        ));
    }
    let all = summary(&app)?;
    app.end().await;
    match eval.format {
        Format::Text => {
            let wrong = if eval.wrong { score.wrong_text() } else { String::new() };
            print::line(&(score.text() + &wrong + &costs(&all)))?;
        }
        Format::Json => {
            let mut json = score.json();
            json["cost_usd"] = json!(all.cost().map(|nano_usd| nano_usd as f64 / 1e9));
            json["unpriced"] = json!(all.unpriced);
            json["tokens"] = json!({"input": all.input_tokens, "output": all.output_tokens});
            json["latency_ms"] = json!({"p50": all.p50_ms, "p95": all.p95_ms, "p99": all.p99_ms});
            if eval.wrong {
                json["wrong"] = score.wrong_json();
            }
            print::json(&json.to_string())?;
        }
    }
    match eval.min_accuracy {
        Some(least) if score.accuracy() < least => Err(Failure::User(format!(
            "{:.1} % of the tickets are right in category and priority; --min-accuracy asks for \
             {:.1} %",
            100.0 * score.accuracy(),
            100.0 * least
        ))),
        _ => Ok(()),
    }
}

/// The configuration as it is judged: loopback, a store of its own, a token of its own, no limits.
fn prepared(mut loaded: Loaded, folder: &TempDir) -> (Loaded, JwtPolicy) {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = &mut loaded.settings;
    (settings.listen, settings.admin_listen) = (anywhere, anywhere);
    (settings.options.tls, settings.admin_tls) = (None, None);
    (settings.store, settings.options.data_dir) = (StoreKind::Embedded, folder.path().to_owned());
    settings.limits_store = crate::config::policy::LimitsStore::Memory;
    let secret: String = std::iter::repeat_with(fastrand::alphanumeric).take(48).collect();
    let secret = SecretBytes::new(secret.as_bytes());
    let jwt = || JwtPolicy::of_secret(secret.clone(), [0; 32]);
    let policy = &mut loaded.policy;
    (policy.auth.options.accept, policy.auth.jwt) = (vec![Accept::Jwt], Some(jwt()));
    policy.limits.requests.default.quota = Quota::new(UNLIMITED, UNLIMITED, false);
    policy.limits.requests.orgs.clear();
    policy.limits.more = None;
    policy.features.default.ai_intent_enabled = true;
    policy.features.orgs.clear();
    (policy.ailog.capture_request, policy.ailog.capture_response) = (false, false);
    (loaded, jwt())
}

/// Sends all tickets, few at once, and counts their answers.
async fn ask_all(
    eval: &Eval,
    gateway: SocketAddr,
    token: &str,
    tickets: Vec<Labelled>,
    score: &mut Score,
) {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let places = Arc::new(Semaphore::new(usize::from(eval.at_once)));
    let progress = Progress::new("asking", u32::try_from(tickets.len()).unwrap_or(u32::MAX));
    let (mut running, mut done) = (JoinSet::new(), 0);
    let mut finished =
        |score: &mut Score, result: Result<(Labelled, Result<Answered, String>), _>| {
            if let Ok((ticket, answer)) = result {
                score.count(ticket, answer);
            }
            done += 1;
            progress.show(done);
        };
    for ticket in tickets {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        while let Some(result) = running.try_join_next() {
            finished(score, result);
        }
        let (client, request) = (client.clone(), request(gateway, token, &ticket));
        running.spawn(async move {
            let _place = place;
            let answer = match request {
                Ok(request) => ask(&client, request).await,
                Err(_) => Err("no_request".to_owned()),
            };
            (ticket, answer)
        });
    }
    while let Some(result) = running.join_next().await {
        finished(score, result);
    }
    progress.end();
}

fn request(
    gateway: SocketAddr,
    token: &str,
    ticket: &Labelled,
) -> http::Result<Request<Full<Bytes>>> {
    let body = json!({"title": ticket.title, "body": ticket.body}).to_string();
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://{gateway}/api/ai/intent"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
}

/// The answer to a ticket, or the code of the error.
async fn ask(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answered, String> {
    let broken = || "no_answer".to_owned();
    let response = client.request(request).await.map_err(|_| broken())?;
    let mut body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| broken())?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    let answer: Value = serde_json::from_slice(&bytes).map_err(|_| broken())?;
    if let Some(code) = answer["error"]["code"].as_str() {
        return Err(code.to_owned());
    }
    let name = |field: &str| answer[field].as_str().map(str::to_owned);
    let confidence = answer["confidence"].as_f64().ok_or_else(broken)?;
    Ok(Answered { category: name("category"), priority: name("priority"), confidence })
}

/// The rows of all the calls.
fn summary(app: &App) -> Result<Summary, Failure> {
    app.log().flush(Duration::from_secs(10));
    let settings = app.settings();
    let reader = Reader::open(&settings.store, &settings.options.data_dir)
        .context("the evaluation's log")?;
    let rows = reader.summary(0, clock::wall_ms() + 60_000, &[]).context("the evaluation's log")?;
    rows.into_iter().next().context("the evaluation's log is empty").map_err(Failure::from)
}

fn costs(all: &Summary) -> String {
    let calls = i64::try_from(all.calls.max(1)).unwrap_or(i64::MAX);
    let cost = match all.cost() {
        None => "unknown".to_owned(),
        Some(cost) => format!("{} USD, {} a ticket", usd(cost), usd(cost / calls)),
    };
    let unpriced = if all.unpriced == 0 {
        String::new()
    } else {
        format!("; {} calls have no price", all.unpriced)
    };
    format!(
        "\ncost     {cost}; {} input and {} output tokens{unpriced}\n\
         latency  p50 {} ms, p95 {} ms, p99 {} ms",
        all.input_tokens, all.output_tokens, all.p50_ms, all.p95_ms, all.p99_ms
    )
}
