//! The ClickHouse servers of a store, tried in turn.
//!
//! Guarantees: a server that failed is left alone for 10 s, then for twice as long, at most 60 s,
//! while another one is there; with one server alone, every try goes to it. One piece of work is at
//! one server at a time. Each request carries the password that is in force, and each connection
//! has the files of TLS that are. Does not: spread load.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Compression};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;

use crate::ailog::store::StoreError;
use crate::clock::{Clock, Nanos};
use crate::config::policy::ClickHouseOptions;
use crate::egress::Egress;
use crate::egress::connector::Connector;
use crate::egress::rules::Proxies;

/// How long a server that failed is left alone, at first and at most.
const REST_MIN: Duration = Duration::from_secs(10);
const REST_MAX: Duration = Duration::from_secs(60);
/// Servers end connections that were idle for three seconds.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// The longest time for a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The servers, and which of them is in use.
pub(crate) struct Servers {
    options: ClickHouseOptions,
    list: Vec<Server>,
    current: usize,
    clock: Clock,
}

struct Server {
    url: String,
    client: Client,
    rests_until: Nanos,
    /// How long it rests when it fails the next time.
    rest: Duration,
}

impl Servers {
    /// The configured servers, none of which is connected yet.
    pub(crate) fn new(options: &ClickHouseOptions) -> Servers {
        let server = |url: &String| {
            let client = client(options, url);
            Server { url: url.clone(), client, rests_until: Nanos(0), rest: REST_MIN }
        };
        let list = options.urls.iter().map(server).collect();
        Servers { options: options.clone(), list, current: 0, clock: Clock::start() }
    }

    /// Whether there are several.
    pub(crate) fn are_several(&self) -> bool {
        self.list.len() > 1
    }

    /// The server in use.
    pub(crate) fn current(&self) -> Client {
        self.client_of(self.current)
    }

    fn client_of(&self, place: usize) -> Client {
        let client = self.list.get(place).map(|server| server.client.clone()).unwrap_or_default();
        client.with_password(&*self.options.password.reveal())
    }

    /// Has the work done by one server: the one in use, or the next that does it. Errors that are
    /// none of the server's end it.
    ///
    /// # Errors
    /// The last error; or every server is left alone.
    pub(crate) fn in_turn(
        &mut self,
        mut work: impl FnMut(&Client) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut failed = None;
        for _ in 0..self.list.len() {
            let now = self.clock.now();
            let Some(place) = self.next(now) else { break };
            match work(&self.client_of(place)) {
                Ok(()) => {
                    self.current = place;
                    if let Some(server) = self.list.get_mut(place) {
                        server.rest = REST_MIN;
                    }
                    return Ok(());
                }
                Err(error) if !is_the_servers(&error) => return Err(error),
                Err(error) => {
                    self.leave_alone(place, &error);
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| self.all_rest()))
    }

    /// The next server, from the one in use on, that is not left alone.
    fn next(&self, now: Nanos) -> Option<usize> {
        let count = self.list.len();
        let mut places = (0..count).map(|step| (self.current + step) % count);
        places.find(|place| self.list[*place].rests_until <= now)
    }

    fn leave_alone(&mut self, place: usize, error: &StoreError) {
        if !self.are_several() {
            return;
        }
        let now = self.clock.now();
        if let Some(server) = self.list.get_mut(place) {
            let rest = server.rest;
            server.rests_until = now.plus(rest);
            server.rest = (rest * 2).min(REST_MAX);
            let (url, seconds) = (&server.url, rest.as_secs());
            let reason = error.clone().into_reason();
            tracing::warn!(
                event = "clickhouse_server_away",
                url,
                reason,
                seconds,
                "a ClickHouse server is left alone for a while"
            );
        }
    }

    fn all_rest(&self) -> StoreError {
        let now = self.clock.now();
        let first = self.list.iter().map(|server| server.rests_until).min().unwrap_or(now);
        StoreError::Retry {
            reason: "no ClickHouse server can be used; each failed a moment ago".to_owned(),
            at_least: first.since(now),
        }
    }
}

/// Whether another server may do better: not if the rows are refused, or the table has too many
/// parts.
fn is_the_servers(error: &StoreError) -> bool {
    match error {
        StoreError::Retry { at_least, .. } => at_least.is_zero(),
        StoreError::Operator { .. } => true,
        StoreError::Rows { .. } => false,
    }
}

/// A client of the configured database at one server.
pub(crate) fn client(options: &ClickHouseOptions, url: &str) -> Client {
    let egress = Arc::new(Egress::new(Proxies::default(), options.tls.clone()));
    let http = HttpClient::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_MAX)
        .build(Connector::new(egress, CONNECT_TIMEOUT));
    Client::with_http_client(http)
        .with_url(url)
        .with_database(&options.database)
        .with_user(&options.user)
        .with_password(&*options.password.reveal())
        .with_compression(Compression::Lz4)
        // Rows are sent and read as bytes; there is no row type that could be validated.
        .with_validation(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(count: usize) -> Servers {
        let options = ClickHouseOptions {
            urls: (0..count).map(|n| format!("http://127.0.0.1:{}", n + 1)).collect(),
            ..ClickHouseOptions::at("", "tollgate")
        };
        Servers::new(&options)
    }

    fn away() -> StoreError {
        StoreError::Retry { reason: "away".to_owned(), at_least: Duration::ZERO }
    }

    #[test]
    fn a_server_that_failed_is_left_alone_for_longer_each_time() {
        let mut servers = servers(2);
        let mut tried = 0;
        servers
            .in_turn(|_| {
                tried += 1;
                if tried == 1 { Err(away()) } else { Ok(()) }
            })
            .expect("the second does it");
        assert_eq!((tried, servers.current), (2, 1));
        assert_eq!(servers.list[0].rest, 2 * REST_MIN);
        // The first is not asked while it rests, also if the second fails.
        tried = 0;
        let error = servers.in_turn(|_| {
            tried += 1;
            Err(away())
        });
        assert_eq!((tried, error), (1, Err(away())));
        let Err(StoreError::Retry { at_least, .. }) = servers.in_turn(|_| Ok(())) else {
            panic!("all rest")
        };
        assert!(at_least <= REST_MIN && at_least > REST_MIN / 2, "{at_least:?}");
        for _ in 0..5 {
            servers.leave_alone(0, &away());
        }
        assert_eq!(servers.list[0].rest, REST_MAX);
    }

    #[test]
    fn one_server_is_tried_each_time_and_no_other_is_asked_about_rows() {
        let mut one = servers(1);
        for _ in 0..3 {
            assert_eq!(one.in_turn(|_| Err(away())), Err(away()));
        }
        let mut two = servers(2);
        for error in [
            StoreError::Rows { reason: String::new() },
            StoreError::Retry { reason: String::new(), at_least: Duration::from_secs(5) },
        ] {
            let mut tried = 0;
            let found = two.in_turn(|_| {
                tried += 1;
                Err(error.clone())
            });
            assert_eq!((tried, found), (1, Err(error)));
        }
    }
}
