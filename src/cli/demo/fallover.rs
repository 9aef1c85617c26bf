//! One call of the demo that falls over: OpenAI answers 503, and Anthropic answers in its place.
//!
//! The caller speaks OpenAI's format throughout. Prints the answer as the caller has it, and what
//! the log has about the call.

use std::time::Duration;

use anyhow::Context as _;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value, json};

use super::super::print;
use super::traffic::ANSWER_BYTES_MAX;
use crate::app::App;
use crate::failure::Failure;
use crate::report::{Filter, Reader};

/// The model that the caller asks for.
pub(crate) const MODEL: &str = "gpt-4o";
/// The model that Anthropic is asked for in its place.
pub(crate) const INSTEAD: &str = "claude-sonnet-4-5";

/// Makes the call and prints it.
///
/// # Errors
/// The call is not answered, or the log cannot be read.
pub(crate) async fn show(app: &App, url: &str, token: &str) -> Result<(), Failure> {
    let answer = ask(url, token).await.context("the call that falls over was not answered")?;
    app.log().flush(Duration::from_secs(10));
    let settings = app.settings();
    let reader =
        Reader::open(&settings.store, &settings.options.data_dir).context("the demo's log")?;
    let mut filter = Filter::default();
    filter.and("provider", "anthropic");
    let rows = reader.logs(&filter, 1).context("the demo's log")?;
    let row = rows.first().context("the demo's log has no row of the call that falls over")?;
    lines(&answer, row).iter().try_for_each(|line| print::line(line))?;
    Ok(())
}

/// The answer, in OpenAI's format.
async fn ask(url: &str, token: &str) -> Option<Value> {
    let text = "[[mock:status=503,times=1]] Where is the museum?";
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": text}]});
    let request = Request::builder()
        .method(Method::POST)
        .uri([url, "/v1/chat/completions"].concat())
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(bytes::Bytes::from(body.to_string())))
        .ok()?;
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let response = client.request(request).await.ok()?;
    let is_ok = response.status().is_success();
    let mut body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let mut answer = vec![];
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            answer.extend_from_slice(&data);
        }
    }
    serde_json::from_slice(&answer).ok().filter(|_| is_ok)
}

fn lines(answer: &Value, row: &Map<String, Value>) -> Vec<String> {
    let of_row = |name: &str| match row.get(name) {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let of_answer = |path: &str| answer.pointer(path).and_then(Value::as_str).unwrap_or("–");
    vec![
        format!("one call falls over: OpenAI answers 503 for {MODEL}, {INSTEAD} answers instead"),
        format!("  format of the answer {}, as the caller asked", of_answer("/object")),
        format!("  answer               {}", of_answer("/choices/0/message/content")),
        format!("  provider             {}", of_row("provider")),
        format!("  translated           {}", of_row("translated")),
        format!("  attempts             {}   {}", of_row("attempts"), of_row("attempts_detail")),
        format!(
            "  cost USD             {}   for {} tokens in, {} out",
            of_row("cost_usd"),
            of_row("input_tokens"),
            of_row("output_tokens")
        ),
        String::new(),
    ]
}
