//! The demo's sample calls: what a morning at three companies might send.
//!
//! The same calls in the same order each time. Promises: at most eight at once; only the gateway on
//! loopback is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Tokens;

/// How the sample sentence begins, so that it is found again in the log.
pub(crate) const SAMPLE_BEGIN: &str = "Please call Jane back";
/// A sentence with what must not leave.
pub(crate) const SAMPLE: &str =
    "Please call Jane back at +1 415 555 0132 or write to jane.doe@example.com.";
/// Calls under way at once.
const AT_ONCE: usize = 8;
/// Longest answer that is read.
pub(crate) const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The results of the calls.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u32,
    pub(crate) ok: u32,
    pub(crate) limited: u32,
    pub(crate) refused: u32,
    pub(crate) unavailable: u32,
    pub(crate) saved: u32,
}

/// One sample call.
struct Sample {
    path: &'static str,
    org: Org,
    body: String,
}

#[derive(Clone, Copy)]
enum Org {
    Acme,
    Globex,
    Initech,
}

/// Sends `count` calls and says after each how many are done.
pub(crate) async fn send(url: &str, tokens: &Tokens, count: u32, progress: impl Fn(u32)) -> Tally {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let (places, done) = (Arc::new(Semaphore::new(AT_ONCE)), AtomicU32::new(0));
    let (mut running, mut tally) = (JoinSet::new(), Tally { sent: count, ..Tally::default() });
    let finished = |tally: &mut Tally, result: Option<(StatusCode, bool)>| {
        match result {
            Some((StatusCode::TOO_MANY_REQUESTS, _)) => tally.limited += 1,
            Some((StatusCode::SERVICE_UNAVAILABLE, _)) => tally.unavailable += 1,
            Some((status, saved)) if status.is_success() => {
                tally.ok += 1;
                tally.saved += u32::from(saved);
            }
            Some(_) | None => tally.refused += 1,
        }
        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
    };
    for n in 0..count {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        while let Some(Ok(result)) = running.try_join_next() {
            finished(&mut tally, result);
        }
        let request = request(url, tokens, &sample(n));
        let client = client.clone();
        running.spawn(async move {
            let _place = place;
            call(&client, request?).await
        });
    }
    while let Some(result) = running.join_next().await {
        finished(&mut tally, result.ok().flatten());
    }
    tally
}

/// The status, and whether it took more than one attempt.
async fn call(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Option<(StatusCode, bool)> {
    let response = client.request(request).await.ok()?;
    let attempts =
        response.headers().get("x-tollgate-attempts").and_then(|v| v.to_str().ok()).unwrap_or("1");
    let (status, saved) = (response.status(), attempts != "1");
    let mut body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    while let Some(frame) = body.frame().await {
        frame.ok()?;
    }
    Some((status, saved))
}

fn request(url: &str, tokens: &Tokens, sample: &Sample) -> Option<Request<Full<Bytes>>> {
    let token = match sample.org {
        Org::Acme => &tokens.acme,
        Org::Globex => &tokens.globex,
        Org::Initech => &tokens.initech,
    };
    Request::builder()
        .method(Method::POST)
        .uri([url, sample.path].concat())
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(sample.body.clone())))
        .ok()
}

/// The n-th sample call. A third of them are Initech's, which has no more than 60 a minute.
fn sample(n: u32) -> Sample {
    let org = match n % 3 {
        0 => Org::Acme,
        1 => Org::Globex,
        _ => Org::Initech,
    };
    let chat = |content: Value| chat(content, false);
    let (path, body) = match n % 20 {
        0 | 12 => ("/v1/chat/completions", chat(json!(SAMPLE))),
        1 | 9 => (
            "/v1/chat/completions",
            self::chat(
                json!("Summarise the ticket of klaus@beispiel.de, 030 901820, in one sentence."),
                true,
            ),
        ),
        2 | 14 => (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": [SAMPLE, "opening hours"]}),
        ),
        3 | 15 => ("/api/ai/intent", ticket(n)),
        4 => ("/v1/chat/completions", chat(with_image())),
        6 => (
            "/v1/responses",
            json!({"model": "gpt-4o-mini", "input": "Translate: ring me at +44 20 7946 0958."}),
        ),
        7 if n > 100 && n % 60 == 7 => (
            "/v1/chat/completions",
            chat(json!(format!("[[mock:status=503,id={n}]] the provider is down"))),
        ),
        13 => (
            "/v1/chat/completions",
            chat(json!(format!("[[mock:status=503,times=2,id={n}]] the provider stumbles"))),
        ),
        18 if n % 40 == 18 => ("/v1/chat/completions", json!("this is no chat request")),
        _ => (
            "/v1/chat/completions",
            self::chat(json!("What are the opening hours of the museum?"), n % 2 == 1),
        ),
    };
    Sample { path, org, body: body.to_string() }
}

fn chat(content: Value, stream: bool) -> Value {
    let mut body =
        json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]});
    if stream {
        body["stream"] = json!(true);
    }
    body
}

fn with_image() -> Value {
    let pixels = format!("data:image/png;base64,{}", "iVBORw0KGgo".repeat(200));
    json!([{"type": "text", "text": "What is on this \
        photo?"}, {"type": "image_url", "image_url": {"url": pixels}}])
}

fn ticket(n: u32) -> Value {
    const TICKETS: [(&str, &str); 4] = [
        (
            "Charged twice",
            "My card was charged twice for invoice 4711. Please refund. maria@example.org",
        ),
        (
            "App crashes at login",
            "Since the update the app crashes with an error. Urgent, we cannot work.",
        ),
        ("Change my password", "I cannot find where to change the password of my account."),
        ("A question", "Do you have a brochure? You reach me at 089 1234567."),
    ];
    let (title, body) = TICKETS[n as usize / 4 % TICKETS.len()];
    json!({"title": title, "body": body})
}
