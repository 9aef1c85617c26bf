//! Alerts: conditions that are told to webhooks.
//!
//! Level 3 of the map. `rules` says what holds (pure), `message` is what is told, `book` remembers
//! both on disk, `pulse` counts calls for error rates; this file delivers. `app/alerting` gathers
//! the facts.
//!
//! Guarantees: each notification is tried with the same id and the same bytes until a 2xx, for
//! three days, with growing pauses; one webhook holds up no other, no call, and not the end of the
//! process; redirects are not followed; a 410 ends a notification. Does not: repeat or resolve
//! alerts, or know where facts come from.

mod book;
mod message;
pub mod pulse;
pub mod rules;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bounds::{ALERT_ANSWER_BYTES_MAX, ALERT_WAIT_MAX};
use crate::clock::wall_ms;
use crate::config::policy::{AlertRules, Webhook};
use crate::egress::Egress;
use crate::egress::outbound::{Outbound, Patience};
use crate::lock::lock;
use crate::metrics::Metrics;
use book::{Book, Draft, Item, Raised};
pub use message::Message;
use pulse::Pulse;
use rules::Finding;

/// The time for one try.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    whole: Duration::from_secs(15),
    bytes_max: ALERT_ANSWER_BYTES_MAX,
};
/// Pauses after each try, in seconds; the last one is repeated.
const PAUSES: [u64; 8] = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400];
/// The shortest pause after an answer that asks to slow down.
const SLOW: Duration = Duration::from_secs(60);

/// Everything that alerts need while a gateway runs.
pub struct Alerts {
    data_dir: PathBuf,
    /// Opened with the first rule.
    state: Mutex<Option<State>>,
    /// Webhooks with a notification on its way.
    busy: Mutex<HashSet<Arc<str>>>,
    outbound: Outbound,
    /// Calls and errors, for rules about rates.
    pub pulse: Arc<Pulse>,
    metrics: Arc<Metrics>,
}

struct State {
    book: Book,
    claims: HashSet<String>,
}

/// The end of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Delivered,
    /// The webhook does not exist any more.
    Gone,
    Failed {
        /// As the webhook asks.
        wait: Option<Duration>,
    },
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    pub webhook: Arc<str>,
    /// The status; or why there is none.
    pub result: Result<u16, String>,
}

impl Tested {
    /// Whether it arrived.
    pub fn is_delivered(&self) -> bool {
        self.result.as_ref().is_ok_and(|status| (200..300).contains(status))
    }
}

impl Alerts {
    /// Alerts that remember below `data_dir`. Touches nothing yet.
    pub fn new(data_dir: &Path, metrics: Arc<Metrics>) -> Alerts {
        Alerts {
            data_dir: data_dir.to_owned(),
            state: Mutex::default(),
            busy: Mutex::default(),
            outbound: Outbound::default(),
            pulse: Arc::default(),
            metrics,
        }
    }

    /// Remembers what the rules say, and queues what is new. `is_shared`: findings of a period wait
    /// until [`Alerts::held`] are decided. Blocks.
    pub fn note(&self, findings: &[Finding<'_>], is_shared: bool, now_ms: i64) {
        let mut state = self.state();
        let Some(State { book, claims }) = &mut *state else { return };
        for finding in findings {
            let claim = &finding.claim;
            match (finding.holds, claims.contains(claim)) {
                (true, false) => {
                    let body = finding.message.body();
                    let id = delivery_id();
                    let to = finding.rule.to.iter();
                    let drafts: Vec<Draft<'_>> =
                        to.map(|webhook| Draft { webhook, id: &id, body: &body }).collect();
                    let held = is_shared && finding.is_of_period();
                    match book.raise(claim, &drafts, held, now_ms) {
                        Ok(Raised::New { dropped }) => self.raised(finding, dropped),
                        Ok(Raised::Known) => {}
                        Err(error) => {
                            tracing::warn!(
                                event = "alert_not_kept",
                                %error, "an alert cannot be written down");
                            continue;
                        }
                    }
                    claims.insert(claim.clone());
                }
                (false, true) => {
                    if let Err(error) = book.release(claim) {
                        tracing::warn!(
                            event = "alert_not_kept",
                            %error, "the end of an alert cannot be written down");
                    }
                    claims.remove(claim);
                }
                _ => {}
            }
        }
    }

    fn raised(&self, finding: &Finding<'_>, dropped: usize) {
        let rule = &*finding.rule.name;
        let Message { alert, org, value, threshold, period, .. } = &finding.message;
        tracing::warn!(event = "alert", alert, rule, org, value, threshold, period);
        self.metrics.alerts_fired.with_label_values(&[rule]).inc();
        for _ in 0..dropped {
            self.metrics.bound("alerts_queued");
        }
    }

    /// Claims of periods that all gateways have to agree on, each with an id of this gateway's.
    /// Blocks.
    pub fn held(&self) -> Vec<(String, String)> {
        let state = self.state();
        state.as_ref().and_then(|state| state.book.held().ok()).unwrap_or_default()
    }

    /// Such a claim is this gateway's, or another one's. Blocks.
    pub fn decided(&self, claim: &str, is_ours: bool) {
        if let Some(state) = &*self.state()
            && let Err(error) = state.book.free(claim, is_ours)
        {
            tracing::warn!(event = "alert_not_kept", %error, "an alert cannot be written down");
        }
    }

    /// Gives up what was tried for too long, and shows what waits. Blocks.
    pub fn tend(&self, rules: &AlertRules, now_ms: i64) {
        let mut state = self.state();
        let Some(State { book, .. }) = &mut *state else { return };
        let given_up = book.tend(now_ms).unwrap_or_default();
        for (webhook, count) in given_up {
            tracing::warn!(event = "alert_given_up", webhook, count);
            if rules.webhook(&webhook).is_some() {
                let labels = [&*webhook, "given_up"];
                self.metrics
                    .alerts_deliveries
                    .with_label_values(&labels)
                    .inc_by(u64::try_from(count).unwrap_or(0));
            }
        }
        let queued = book.queued().unwrap_or_default();
        for webhook in &rules.webhooks {
            let waiting = queued.get(&*webhook.name).copied().unwrap_or(0);
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            self.metrics.alerts_queued.with_label_values(&[&webhook.name]).set(waiting as f64);
        }
    }

    /// Begins to deliver what is due, to each webhook by itself.
    pub fn deliver(
        self: &Arc<Alerts>,
        rules: &AlertRules,
        egress: &Arc<Egress>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        for webhook in &rules.webhooks {
            if !lock(&self.busy).insert(Arc::clone(&webhook.name)) {
                continue;
            }
            let (alerts, egress) = (Arc::clone(self), Arc::clone(egress));
            let (webhook, stop) = (webhook.clone(), stop.clone());
            tasks.spawn(async move {
                // A message that is on its way at the end is sent again at the next start.
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = alerts.empty(&webhook, &egress) => {}
                }
                lock(&alerts.busy).remove(&webhook.name);
            });
        }
    }

    /// Sends what is due for one webhook.
    async fn empty(self: &Arc<Alerts>, webhook: &Webhook, egress: &Arc<Egress>) {
        loop {
            let (alerts, name) = (Arc::clone(self), Arc::clone(&webhook.name));
            let next = tokio::task::spawn_blocking(move || {
                let state = alerts.state();
                state.as_ref().and_then(|state| state.book.due(&name, wall_ms()).ok().flatten())
            });
            let Ok(Some(item)) = next.await else { return };
            let tried = self.try_once(webhook, &item, egress).await;
            let (alerts, name) = (Arc::clone(self), Arc::clone(&webhook.name));
            drop(tokio::task::spawn_blocking(move || alerts.tried(&name, &item, tried)).await);
        }
    }

    async fn try_once(&self, webhook: &Webhook, item: &Item, egress: &Arc<Egress>) -> Tried {
        let request = request(webhook, &item.id, &item.body);
        match self.outbound.send(egress, request, PATIENCE).await {
            Ok(answer) => judged(answer.status(), answer.headers()),
            Err(error) => {
                let (webhook, reason) = (&*webhook.name, error.to_string());
                tracing::warn!(event = "alert_not_delivered", webhook, reason);
                Tried::Failed { wait: None }
            }
        }
    }

    /// Writes down how a try ended.
    fn tried(&self, webhook: &str, item: &Item, tried: Tried) {
        let result = match tried {
            Tried::Delivered => "delivered",
            Tried::Gone => "gone",
            Tried::Failed { .. } => "failed",
        };
        self.metrics.alerts_deliveries.with_label_values(&[webhook, result]).inc();
        let Some(state) = &*self.state() else { return };
        let written = match tried {
            Tried::Delivered | Tried::Gone => state.book.done(item.seq),
            Tried::Failed { wait } => {
                let pause = pause(item.tries, wait, fastrand::f64());
                let ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
                state.book.again(item.seq, item.tries + 1, wall_ms().saturating_add(ms))
            }
        };
        if let Err(error) = written {
            tracing::warn!(
                event = "alert_not_kept",
                %error, "the delivery of an alert cannot be written down");
        }
    }

    /// Sends a test to a webhook, or to those of a rule, once and at once; `None` if there is none
    /// of that name.
    pub async fn test(
        &self,
        rules: &AlertRules,
        name: &str,
        egress: &Arc<Egress>,
    ) -> Option<Vec<Tested>> {
        let mut to: Vec<&Webhook> = rules.webhook(name).into_iter().collect();
        if let Some(rule) = rules.rules.iter().find(|rule| *rule.name == *name) {
            to.extend(rule.to.iter().filter_map(|webhook| rules.webhook(webhook)));
        }
        let (body, mut tested) = (Message::test(name, wall_ms()).body(), Vec::new());
        for webhook in to {
            let request = request(webhook, &delivery_id(), &body);
            let answer = self.outbound.send(egress, request, PATIENCE).await;
            let result = answer.map(|answer| answer.status().as_u16());
            let result = result.map_err(|error| error.to_string());
            tested.push(Tested { webhook: Arc::clone(&webhook.name), result });
        }
        (!tested.is_empty()).then_some(tested)
    }

    /// The book, opened with its first use.
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        let mut state = lock(&self.state);
        if state.is_none() {
            let book = Book::open(&self.data_dir);
            let claims = book.claims().unwrap_or_default().into_iter().collect();
            *state = Some(State { book, claims });
        }
        state
    }
}

/// An id that no other notification has.
fn delivery_id() -> String {
    format!("msg_{}", uuid::Uuid::now_v7().simple())
}

/// One try: the same id and body each time, signed for its moment.
fn request(webhook: &Webhook, id: &str, body: &[u8]) -> Request<Full<Bytes>> {
    let secret = webhook.secret.reveal();
    let secret = secret.as_bytes();
    let at_s = wall_ms() / 1_000;
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = Method::POST;
    request.uri_mut().clone_from(&webhook.url);
    let headers = request.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("content-type", "application/json");
    set("user-agent", concat!("tollgate/", env!("CARGO_PKG_VERSION")));
    set("webhook-id", id);
    set("webhook-timestamp", &at_s.to_string());
    set("webhook-signature", &message::standard_signature(secret, id, at_s, body));
    set("x-tollgate-signature", &message::signature(secret, body));
    request
}

fn judged(status: StatusCode, headers: &HeaderMap) -> Tried {
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
    match status.as_u16() {
        200..=299 => Tried::Delivered,
        410 => Tried::Gone,
        429 | 502 | 504 => Tried::Failed { wait: Some(asked.unwrap_or_default().max(SLOW)) },
        _ => Tried::Failed { wait: asked },
    }
}

/// How long to wait after so many tries: at least as long as asked, within a day; else by the
/// table, a fifth more or less.
fn pause(tries: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let place = usize::try_from(tries).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    let pause = Duration::from_secs(PAUSES[place]).mul_f64(0.8 + 0.4 * chance);
    pause.max(asked.unwrap_or_default()).min(ALERT_WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::{AlertRule, Condition};

    #[test]
    fn a_condition_is_told_when_it_begins_and_again_only_after_it_was_over() {
        let folder = tempfile::tempdir().expect("folder");
        let rule = AlertRule {
            name: Arc::from("edits"),
            on: Condition::PolicyRejected,
            org: None,
            to: vec![Arc::from("ops"), Arc::from("others")],
        };
        let rules = AlertRules { webhooks: vec![], rules: vec![rule] };
        let fired = |alerts: &Alerts, holds: bool| {
            let facts = rules::Facts { policy_rejected: holds, ..rules::Facts::default() };
            alerts.note(&rules::judge(&rules, &facts), false, 5);
            alerts.metrics.alerts_fired.with_label_values(&["edits"]).get()
        };
        let alerts = Alerts::new(folder.path(), Metrics::new());
        let told = [false, true, true, false, true].map(|holds| fired(&alerts, holds));
        assert_eq!(told, [0, 1, 1, 1, 2]);
        // After a restart the same condition is no news.
        let alerts = Alerts::new(folder.path(), Metrics::new());
        assert_eq!([true, false, true].map(|holds| fired(&alerts, holds)), [0, 0, 1]);
        let state = alerts.state();
        let queued = state.as_ref().expect("a book").book.queued().expect("queued");
        assert_eq!((queued["ops"], queued["others"]), (3, 3));
    }

    #[test]
    fn pauses_grow_and_a_webhook_may_ask_for_longer_ones() {
        let seconds = |tries, asked: Option<u64>, chance| {
            pause(tries, asked.map(Duration::from_secs), chance).as_secs()
        };
        assert_eq!((seconds(0, None, 0.0), seconds(0, None, 1.0)), (4, 6));
        assert_eq!((seconds(2, None, 0.5), seconds(99, None, 0.5)), (300, 50_400));
        assert_eq!((seconds(0, Some(90), 0.5), seconds(3, Some(90), 0.5)), (90, 1_800));
        assert_eq!(seconds(0, Some(10_000_000), 0.5), 86_400);
    }

    #[test]
    fn only_a_2xx_is_a_delivery() {
        let mut headers = HeaderMap::new();
        let failed =
            |seconds: Option<u64>| Tried::Failed { wait: seconds.map(Duration::from_secs) };
        let judge = |status, headers: &HeaderMap| {
            judged(StatusCode::from_u16(status).expect("status"), headers)
        };
        for (status, expected) in [
            (200, Tried::Delivered),
            (204, Tried::Delivered),
            (301, failed(None)),
            (400, failed(None)),
            (410, Tried::Gone),
            (429, failed(Some(60))),
            (500, failed(None)),
            (502, failed(Some(60))),
        ] {
            assert_eq!(judge(status, &headers), expected, "{status}");
        }
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("120"));
        assert_eq!(
            (judge(429, &headers), judge(503, &headers)),
            (failed(Some(120)), failed(Some(120)))
        );
    }
}
