//! The master that sentinels name, followed as it changes.
//!
//! Every sentinel is asked ten times a second, on a connection of its own; the address of the
//! highest configuration epoch holds, so that a sentinel which has not heard of a switch yet is not
//! believed. While a sentinel says that a fail-over is in progress, no call is sent to the master:
//! a planned one leaves the old master writable, and its counts would not reach the new one. With
//! the switch, connections to the old master end. If no sentinel answers, the last master stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::dial::{self, Cause, Link, NoLink};
use super::servers::Servers;
use super::table::{Node, Table};
use crate::config::policy::{RedisAddress, RedisOptions};

/// How often each sentinel is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How often a sentinel that is away is tried again.
const RECONNECT_EVERY: Duration = Duration::from_millis(500);
/// The longest time without a master because a fail-over is in progress; sentinels may take minutes
/// to give one up.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The answer of a sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    epoch: u64,
    master: RedisAddress,
    is_switching: bool,
}

/// Follows the sentinels; never returns.
pub async fn follow(servers: &Arc<Servers>, keepers: &mut JoinSet<()>) {
    let (tell, mut told) = mpsc::channel(1);
    for sentinel in &servers.options.contacts {
        keepers.spawn(ask_always(Arc::clone(servers), sentinel.clone(), tell.clone()));
    }
    // Ends with the tasks above.
    drop(tell);
    let mut answers: HashMap<RedisAddress, Told> = HashMap::new();
    let mut paused_at = None;
    while let Some((sentinel, answer)) = told.recv().await {
        answers.insert(sentinel, answer);
        let Some(best) = best(&answers) else { continue };
        let table = servers.table();
        let current = table.nodes.first();
        if current.is_none_or(|node| node.address != best.master) {
            paused_at = None;
            tracing::info!(
                event = "limits_master_named",
                server = %best.master, "the sentinels name this master");
            servers.replace(Table::of_one(Some(Node::new(best.master))), keepers);
            continue;
        }
        let Some(node) = current else { continue };
        let is_switching = best.is_switching && {
            let since = *paused_at.get_or_insert_with(Instant::now);
            since.elapsed() < PAUSE_MAX
        };
        if !best.is_switching {
            paused_at = None;
        }
        if node.pause(is_switching) {
            tracing::info!(
                event = "limits_master_replaced",
                server = %node.address,
                paused = is_switching,
                "the sentinels replace the master"
            );
            servers.note();
        }
    }
}

/// The answer of the highest epoch; among several, that of most sentinels.
fn best(answers: &HashMap<RedisAddress, Told>) -> Option<Told> {
    let epoch = answers.values().map(|told| told.epoch).max()?;
    let newest = || answers.values().filter(|told| told.epoch == epoch);
    let count = |master: &RedisAddress| newest().filter(|told| told.master == *master).count();
    let mut best = newest().max_by_key(|told| count(&told.master))?.clone();
    best.is_switching = newest().any(|told| told.is_switching && told.master == best.master);
    Some(best)
}

/// Asks one sentinel again and again.
async fn ask_always(
    servers: Arc<Servers>,
    sentinel: RedisAddress,
    tell: mpsc::Sender<(RedisAddress, Told)>,
) {
    let access = &servers.options.sentinels;
    let patience = servers.options.timeout.saturating_mul(2);
    let mut told = false;
    loop {
        let dialling = tokio::time::timeout(patience, dial::dial(&sentinel, access, 0));
        let reason = match dialling.await {
            Ok(Ok(link)) => {
                let mut last = None;
                loop {
                    match ask(&servers.options, &link).await {
                        Ok(answer) => {
                            told = false;
                            // Only a change, or a switch that goes on, says something.
                            if (answer.is_switching || last.as_ref() != Some(&answer))
                                && tell.send((sentinel.clone(), answer.clone())).await.is_err()
                            {
                                return;
                            }
                            last = Some(answer);
                        }
                        Err(no_link) => break no_link.reason,
                    }
                    tokio::time::sleep(ASK_EVERY).await;
                }
            }
            Ok(Err(no_link)) => no_link.reason,
            Err(_) => "no answer".to_owned(),
        };
        if !told {
            told = true;
            tracing::warn!(
                event = "limits_sentinel_away",
                %sentinel, reason, "a sentinel of the limits store cannot be asked");
        }
        tokio::time::sleep(RECONNECT_EVERY).await;
    }
}

/// The master that a sentinel names.
///
/// # Errors
/// It names none.
pub async fn master(options: &RedisOptions, link: &Link) -> Result<RedisAddress, NoLink> {
    ask(options, link).await.map(|told| told.master)
}

async fn ask(options: &RedisOptions, link: &Link) -> Result<Told, NoLink> {
    let mut command = redis::cmd("SENTINEL");
    command.arg("MASTER").arg(&options.master);
    let mut connection = link.connection();
    let asking = command.query_async::<HashMap<String, String>>(&mut connection);
    let answer = tokio::time::timeout(options.timeout.saturating_mul(2), asking).await;
    let no = |cause, reason: String| NoLink { cause, reason };
    let answer = answer.map_err(|_| no(Cause::Late, "no answer".to_owned()))?;
    let fields = answer.map_err(|error| {
        let text = error.to_string();
        if text.contains("No such master") {
            let reason = format!("it knows no master `{}`; correct `master`", options.master);
            no(Cause::Server, reason)
        } else if text.contains("unknown command") {
            let reason = "it is no sentinel; give the sentinels' addresses in `urls`, with their \
                          port (26379)";
            no(Cause::Server, reason.to_owned())
        } else {
            NoLink {
                reason: dial::reason(&error, &options.sentinels),
                ..NoLink::of(&error, &options.sentinels)
            }
        }
    })?;
    read(&fields).ok_or_else(|| no(Cause::Server, "an answer in an unknown form".to_owned()))
}

/// `SENTINEL MASTER`
fn read(fields: &HashMap<String, String>) -> Option<Told> {
    let host = fields.get("ip").filter(|host| !host.is_empty())?.clone();
    let port = fields.get("port")?.parse().ok()?;
    let flags = fields.get("flags").map_or("", String::as_str);
    Some(Told {
        epoch: fields.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0),
        master: RedisAddress { host, port },
        is_switching: flags.split(',').any(|flag| flag == "failover_in_progress"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(epoch: u64, port: u16, is_switching: bool) -> Told {
        Told { epoch, master: RedisAddress { host: "m".to_owned(), port }, is_switching }
    }

    fn best_of(list: &[Told]) -> Option<(u16, bool)> {
        let from = |port| RedisAddress { host: "s".to_owned(), port };
        let answers = (0..).zip(list).map(|(port, told)| (from(port), told.clone())).collect();
        best(&answers).map(|told| (told.master.port, told.is_switching))
    }

    #[test]
    fn the_newest_answer_holds() {
        assert_eq!(best_of(&[]), None);
        assert_eq!(
            best_of(&[told(1, 1, false), told(2, 2, false), told(1, 1, true)]),
            Some((2, false))
        );
        assert_eq!(best_of(&[told(1, 1, false), told(1, 1, true)]), Some((1, true)));
        assert_eq!(
            best_of(&[told(0, 1, false), told(0, 2, false), told(0, 2, false)]),
            Some((2, false))
        );
    }

    #[test]
    fn an_answer_is_read() {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut fields: HashMap<String, String> = [
            ("name", "mymaster"),
            ("ip", "10.0.0.1"),
            ("port", "6379"),
            ("flags", "master,failover_in_progress"),
            ("config-epoch", "7"),
        ]
        .iter()
        .map(field)
        .collect();
        let answer = read(&fields).expect("an answer");
        assert_eq!((answer.epoch, answer.is_switching), (7, true));
        assert_eq!(answer.master.to_string(), "10.0.0.1:6379");
        fields.remove("port");
        assert_eq!(read(&fields), None);
    }
}
