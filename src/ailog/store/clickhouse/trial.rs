//! Whether ClickHouse servers can be used as gateways and reports use them, for a person who checks
//! a configuration.
//!
//! Guarantees: nothing is stored; each table is read and written as the user may; a reason says what
//! to change, and never a password. Does not: bound the time of all of it (the caller does).

use std::error::Error as StdError;

use clickhouse::Client;
use clickhouse::error::Error;
use futures_util::future::join_all;

use super::schema::all_of;
use super::{engine, errors, is_replicated, servers};
use crate::ailog::columns::COLUMNS;
use crate::config::policy::ClickHouseOptions;
use crate::egress::connector::NoConnection;

/// Longest part of a server's message that an error repeats, in bytes.
const TOLD_MAX: usize = 300;
/// The tables that gateways insert into.
const WRITTEN: [&str; 4] = ["ai_rows", "ai_captures", "ai_limits", "policy_audit"];

/// Why a server cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) cause: Cause,
    /// For an operator.
    pub(crate) reason: String,
}

/// The part that has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The way to the server.
    Connect,
    Tls,
    Late,
    /// The user, its password or its rights.
    User,
    /// Database, tables or columns.
    Schema,
    /// The server itself.
    Server,
}

/// Asks every configured server. The text is a warning, or empty.
///
/// # Errors
/// The cause of the first server that cannot be used, and the reasons of all of them.
pub(crate) async fn trial(options: &ClickHouseOptions) -> Result<String, Unusable> {
    let tried = join_all(options.urls.iter().map(|url| of_one(options, url))).await;
    let (mut failed, mut notes): (Option<Unusable>, Vec<String>) = (None, Vec::new());
    for (url, result) in options.urls.iter().zip(tried) {
        match result {
            Ok(note) if !note.is_empty() && !notes.contains(&note) => notes.push(note),
            Ok(_) => {}
            Err(Unusable { cause, reason }) => {
                let reason = format!("{url}: {reason}");
                failed = Some(match failed {
                    None => Unusable { cause, reason },
                    Some(first) => {
                        Unusable { reason: format!("{}; {reason}", first.reason), ..first }
                    }
                });
            }
        }
    }
    failed.map_or(Ok(notes.join("; ")), Err)
}

async fn of_one(options: &ClickHouseOptions, url: &str) -> Result<String, Unusable> {
    let client = servers::client(options, url);
    let failed = |error: Error| unusable(&error, options);
    client.query_raw("SELECT 1").fetch_one::<u8>().await.map_err(failed)?;
    if !options.cluster.is_empty() {
        knows_cluster(&client, &options.cluster).await?;
    }
    let all = all_of(Some(&options.cluster));
    // Reaches every shard, and reads nothing: no row is of tomorrow.
    let read = format!(
        "SELECT id, request FROM ai_log{all} WHERE created_at > now() + toIntervalDay(1) LIMIT 1"
    );
    client.query_raw(&read).execute().await.map_err(failed)?;
    let missing = missing_columns(&client, &format!("ai_log{all}")).await.map_err(failed)?;
    if !missing.is_empty() {
        let reason = format!("{} missing; {}", missing.join(", "), apply(options));
        return Err(Unusable { cause: Cause::Schema, reason });
    }
    for table in WRITTEN {
        let insert = format!("INSERT INTO {table} SELECT * FROM {table} WHERE 0");
        client.query_raw(&insert).execute().await.map_err(failed)?;
    }
    let engine = engine(&client).await.unwrap_or_default();
    let shares = options.urls.len() > 1 || !options.cluster.is_empty();
    Ok(if shares && !is_replicated(&engine) {
        "ai_rows is no replicated table: a batch that is sent again to another server is stored \
         twice"
            .to_owned()
    } else {
        String::new()
    })
}

async fn knows_cluster(client: &Client, cluster: &str) -> Result<(), Unusable> {
    let asked = client.query("SELECT count() FROM system.clusters WHERE cluster = ?").bind(cluster);
    // Without the right to ask, the tables tell.
    match asked.fetch_one::<u64>().await {
        Ok(0) => {
            let reason = format!(
                "the server knows no cluster `{cluster}`; correct `clickhouse.cluster`, or define \
                 it in `remote_servers` of the server"
            );
            Err(Unusable { cause: Cause::Server, reason })
        }
        _ => Ok(()),
    }
}

/// The columns that a table or view lacks.
async fn missing_columns(client: &Client, table: &str) -> Result<Vec<&'static str>, Error> {
    let sql = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = ?";
    let has = client.query(sql).bind(table).fetch_all::<String>().await?;
    let wanted = COLUMNS.iter().map(|column| column.name);
    Ok(wanted.filter(|name| !has.iter().any(|has| has == name)).collect())
}

/// The command that makes what is missing.
fn apply(options: &ClickHouseOptions) -> &'static str {
    if options.cluster.is_empty() {
        "run `tollgate clickhouse apply`"
    } else {
        "run `tollgate clickhouse apply`, which makes the tables on every server of the cluster"
    }
}

/// The meaning of a failure for the person who checks.
fn unusable(error: &Error, options: &ClickHouseOptions) -> Unusable {
    let user = &options.user;
    let told = |cause, reason: String| Unusable { cause, reason };
    let text = match error {
        Error::BadResponse(text) => text,
        Error::TimedOut => return told(Cause::Late, "no answer in time".to_owned()),
        error => return unreached(error),
    };
    let first: String = text.lines().next().unwrap_or_default().chars().take(TOLD_MAX).collect();
    match errors::exception_code(text) {
        Some(192..=194 | 516) => told(
            Cause::User,
            format!(
                "it refuses user `{user}`, or its password; correct `clickhouse.user` and \
                 `clickhouse.password`"
            ),
        ),
        Some(497) => told(
            Cause::User,
            format!(
                "user `{user}` lacks the grant {}; grant the roles at the end of `tollgate \
                 clickhouse print`",
                grant(text)
            ),
        ),
        Some(164) => told(
            Cause::User,
            format!("user `{user}` may only read; give it a profile without `readonly`"),
        ),
        Some(81) => told(
            Cause::Schema,
            format!("there is no database `{}`; {}", options.database, apply(options)),
        ),
        Some(16 | 47 | 60) => {
            told(Cause::Schema, format!("{}; {}", without_version(&first), apply(options)))
        }
        Some(_) => told(Cause::Server, first),
        None => told(
            Cause::Server,
            format!(
                "no answer of ClickHouse: {first}; give the address of its HTTP interface (port \
                 8123, with TLS 8443)"
            ),
        ),
    }
}

/// The grant that a refusal names.
fn grant(text: &str) -> String {
    let named = text.split_once("have the grant ").map_or("for this", |(_, rest)| rest);
    let end = named.find(". (").or_else(|| named.find('\n')).unwrap_or(named.len());
    named[..end].chars().take(TOLD_MAX).collect()
}

fn without_version(text: &str) -> &str {
    text.split_once(" (version").map_or(text, |(text, _)| text)
}

/// There was no answer.
fn unreached(error: &Error) -> Unusable {
    let told = |cause, reason: String| Unusable { cause, reason };
    let mut causes =
        std::iter::successors(Some(error as &(dyn StdError + 'static)), |cause| (**cause).source());
    let Some(failed) = causes.find_map(|cause| cause.downcast_ref::<NoConnection>()) else {
        let text = "the connection broke off; if this is a port of TLS, give https://".to_owned();
        return told(Cause::Connect, text);
    };
    match failed {
        NoConnection::Tls { error, .. } => {
            let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
            let remedy = match of_tls {
                Some(rustls::Error::InvalidMessage(_)) => {
                    "it does not speak TLS at this port; give http://, or its port of TLS (8443)"
                }
                Some(rustls::Error::InvalidCertificate(_)) => {
                    "give the authority of its certificate by `clickhouse.ca_file`"
                }
                _ => "look at its TLS, and at `client_cert_file` if it asks for a certificate",
            };
            told(Cause::Tls, format!("{failed}; {remedy}"))
        }
        NoConnection::Late { .. } => told(Cause::Late, failed.to_string()),
        _ => told(Cause::Connect, format!("no connection: {failed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_change() {
        let options = ClickHouseOptions {
            user: "gateway".to_owned(),
            ..ClickHouseOptions::at("http://h:8123", "logs")
        };
        for (text, cause, words) in [
            (
                "Code: 516. DB::Exception: gateway: Authentication failed: password is incorrect. \
                 (AUTHENTICATION_FAILED) (version 26.9)",
                Cause::User,
                "refuses user `gateway`, or its password; correct `clickhouse.user`",
            ),
            (
                "Code: 497. DB::Exception: gateway: Not enough privileges. To execute this query, \
                 it's necessary to have the grant INSERT(id, created_at) ON logs.ai_rows. \
                 (ACCESS_DENIED) (version 26.9)",
                Cause::User,
                "lacks the grant INSERT(id, created_at) ON logs.ai_rows; grant the roles",
            ),
            (
                "Code: 164. DB::Exception: gateway: Cannot execute query in readonly mode. \
                 (READONLY)",
                Cause::User,
                "may only read",
            ),
            (
                "Code: 81. DB::Exception: Database logs does not exist. (UNKNOWN_DATABASE)",
                Cause::Schema,
                "there is no database `logs`; run `tollgate clickhouse apply`",
            ),
            (
                "Code: 60. DB::Exception: Unknown table expression identifier 'ai_log'. \
                 (UNKNOWN_TABLE) (version 26.9.2.1)",
                Cause::Schema,
                "'ai_log'. (UNKNOWN_TABLE); run `tollgate clickhouse apply`",
            ),
            (
                "Port 9000 is for clickhouse-client program\nYou must use port 8123 for HTTP.",
                Cause::Server,
                "give the address of its HTTP interface (port 8123, with TLS 8443)",
            ),
        ] {
            let told = unusable(&Error::BadResponse(text.to_owned()), &options);
            assert_eq!(told.cause, cause, "{text}");
            assert!(told.reason.contains(words), "{}", told.reason);
        }
    }
}
