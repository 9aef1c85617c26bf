//! One reading of a gateway's state, over the JSON of its operators' side.
//!
//! Guarantees: bounded answers and time; a part that the token does not open is left out, and the
//! rest is shown. Does not: change anything, or try again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Source;
use crate::egress::Egress;
use crate::egress::fault::Fault;
use crate::egress::outbound::{Outbound, Patience, Unanswered};

/// Lines of a table: more are not asked for.
const LINES_MAX: usize = 200;
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(2),
    whole: Duration::from_secs(10),
    bytes_max: 4 << 20,
};

/// The reason why there is no reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Nothing answers there.
    Unreachable(String),
    /// Only another token, or another address, helps.
    Refused(String),
}

impl Unread {
    pub(crate) fn message(&self) -> &str {
        let (Unread::Unreachable(message) | Unread::Refused(message)) = self;
        message
    }
}

/// The figures of a group of calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sum {
    pub(crate) org_id: String,
    pub(crate) provider: String,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) rate_limited: u64,
    /// Nothing if no call has a price.
    pub(crate) cost_usd: Option<f64>,
    pub(crate) p95_ms: u64,
}

/// A provider of the policy in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) circuit: String,
    pub(crate) credential: String,
    pub(crate) credential_expires_in_s: Option<i64>,
}

/// A limit that is in use.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limit {
    pub(crate) org_id: String,
    pub(crate) scope: String,
    pub(crate) name: Option<String>,
    pub(crate) limit: String,
    pub(crate) used: f64,
    pub(crate) most: f64,
    pub(crate) used_percent: f64,
}

/// An organisation whose calls were over a limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refused {
    pub(crate) org_id: String,
    pub(crate) refused: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) closest: Vec<Limit>,
    pub(crate) most_refused: Vec<Refused>,
    pub(crate) shared_store: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Store {
    pub(crate) store: String,
    pub(crate) unstored_bytes: u64,
    pub(crate) lost_rows: u64,
    pub(crate) trouble: Option<String>,
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) total: Sum,
    pub(crate) organizations: Vec<Sum>,
    pub(crate) by_provider: Vec<Sum>,
    /// Nothing in what follows: the token does not open it.
    pub(crate) providers: Option<Vec<Provider>>,
    pub(crate) limits: Option<Limits>,
    pub(crate) store: Option<Store>,
}

#[derive(Deserialize)]
struct Rows {
    rows: Vec<Sum>,
}

#[derive(Deserialize)]
struct Providers {
    providers: Vec<Provider>,
}

/// Asks for everything once.
pub(crate) async fn read(source: Arc<Source>) -> Result<State, Unread> {
    let at_ms = crate::clock::wall_ms();
    let window = i64::try_from(source.window.as_millis()).unwrap_or(i64::MAX);
    let from = jiff::Timestamp::from_millisecond(at_ms.saturating_sub(window));
    let from = from.map(|moment| moment.to_string()).unwrap_or_default();
    let summary = |by: &str| format!("/api/summary?from={from}&by={by}");
    let largest = format!("&sort=calls&lines={LINES_MAX}");
    let questions = [summary("total"), summary("org") + &largest, summary("provider") + &largest];
    let (outbound, egress) = (Outbound::default(), Arc::clone(&source.egress));
    let reader = Reader { source: &source, outbound, egress };
    let sums = async |path: &str| reader.asked::<Rows>(path).await.map(|answer| answer.rows);
    let total = sums(&questions[0]).await?;
    let organizations = sums(&questions[1]).await?;
    let by_provider = sums(&questions[2]).await?;
    let providers = reader.opened::<Providers>("/api/providers").await?;
    Ok(State {
        at_ms,
        total: total.into_iter().next().unwrap_or_default(),
        organizations,
        by_provider,
        providers: providers.map(|answer| answer.providers),
        limits: reader.opened("/api/limits").await?,
        store: reader.opened("/api/store").await?,
    })
}

struct Reader<'a> {
    source: &'a Source,
    outbound: Outbound,
    egress: Arc<Egress>,
}

impl Reader<'_> {
    /// The document at this path.
    async fn asked<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unread> {
        let (status, body) = self.send(path).await?;
        self.document(path, status, &body)
    }

    /// The same; nothing where the token does not open it.
    async fn opened<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Unread> {
        let (status, body) = self.send(path).await?;
        if status == StatusCode::FORBIDDEN {
            return Ok(None);
        }
        self.document(path, status, &body).map(Some)
    }

    async fn send(&self, path: &str) -> Result<(StatusCode, Bytes), Unread> {
        let base = self.source.base.trim_end_matches('/');
        let mut request = Request::get(format!("{base}{path}")).header("sec-fetch-site", "none");
        if let Some(token) = &self.source.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Full::default())
            .map_err(|error| Unread::Refused(format!("{base}: {error}")))?;
        let answer = self.outbound.send(&self.egress, request, PATIENCE).await;
        let unreachable = |why: Unanswered| {
            let hint = if why == Unanswered::Failed(Fault::Certificate) {
                "; does --url have the name in its certificate, and --ca-file its authority?"
            } else {
                ""
            };
            Unread::Unreachable(format!("{base} is not reachable: {why}{hint}"))
        };
        let answer = answer.map_err(unreachable)?;
        Ok((answer.status(), answer.into_body()))
    }

    fn document<T: DeserializeOwned>(
        &self,
        path: &str,
        status: StatusCode,
        body: &[u8],
    ) -> Result<T, Unread> {
        let base = &self.source.base;
        match status {
            StatusCode::OK => serde_json::from_slice(body).map_err(|_| {
                Unread::Refused(format!("{base} is not the operators' side of this version"))
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Unread::Refused(format!(
                "{base} refuses the token; give one of `admin.access` as --token or TOLLGATE_TOKEN"
            ))),
            StatusCode::NOT_FOUND => Err(Unread::Refused(format!(
                "{base} has no {path}; give the address of the operators' side (`admin_listen`)"
            ))),
            // Busy or stopping: the next reading may succeed.
            status => Err(Unread::Unreachable(format!("{base} answers with {status}"))),
        }
    }
}
