//! Why servers cannot be used, for a person who checks a configuration.
//!
//! Guarantees: each server is dialled once, and gets no more than a trial of all scripts, whose
//! keys expire; a reason has the server's address and says what to change, and never a password.
//! Does not: bound the time of all of it (the caller does), or keep a connection.

use redis::{ErrorKind, ServerErrorKind};

use super::dial::{self, Cause, Link, NoLink};
use super::script::Scripts;
use super::{cluster, sentinel, table, trial};
use crate::config::policy::{RedisAccess, RedisAddress, RedisMode, RedisOptions};

/// Dials the servers and tries those that count.
///
/// # Errors
/// The first reason why they cannot be used.
pub async fn diagnose(options: &RedisOptions) -> Result<(), NoLink> {
    match options.mode {
        RedisMode::Single => {
            for address in &options.contacts {
                single(options, address).await.map_err(|reason| reason.at(address))?;
            }
            Ok(())
        }
        RedisMode::Cluster => of_cluster(options).await,
        RedisMode::Sentinel => of_sentinels(options).await,
    }
}

async fn single(options: &RedisOptions, address: &RedisAddress) -> Result<(), NoLink> {
    let link = reach(options, address, &options.servers, options.database).await?;
    // Without the right to ask, or with another error, it is taken for a single one.
    if cluster::slots(&link, &address.host, options.timeout).await.is_ok() {
        return Err(misused("it is a node of a cluster; set `mode: cluster`"));
    }
    tried(options, &link, "").await
}

async fn of_cluster(options: &RedisOptions) -> Result<(), NoLink> {
    let mut failed = None;
    for address in &options.contacts {
        match slots_at(options, address).await {
            Ok(parts) => return masters(options, &parts).await,
            Err(reason) => failed = failed.or(Some(reason.at(address))),
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn slots_at(
    options: &RedisOptions,
    address: &RedisAddress,
) -> Result<Vec<cluster::Stretch>, NoLink> {
    let link = reach(options, address, &options.servers, 0).await?;
    cluster::slots(&link, &address.host, options.timeout).await.map_err(|error| match error {
        Some(error) if error.to_string().contains("cluster support disabled") => {
            misused("it is no node of a cluster; set `mode: single`")
        }
        Some(error) => NoLink::of(&error, &options.servers),
        None => misused("it does not tell the slots of the cluster"),
    })
}

/// Tries every master of a cluster.
async fn masters(options: &RedisOptions, parts: &[cluster::Stretch]) -> Result<(), NoLink> {
    let mut seen: Vec<&RedisAddress> = Vec::new();
    for part in parts {
        if seen.contains(&&part.master) {
            continue;
        }
        seen.push(&part.master);
        let tried = async {
            let link = reach(options, &part.master, &options.servers, 0).await?;
            let tag = table::tag_between(part.from, part.to).unwrap_or_default();
            tried(options, &link, &tag).await
        };
        tried.await.map_err(|reason| reason.at(&part.master))?;
    }
    Ok(())
}

async fn of_sentinels(options: &RedisOptions) -> Result<(), NoLink> {
    let mut failed = None;
    for address in &options.contacts {
        let asked = async {
            let link = reach(options, address, &options.sentinels, 0).await?;
            sentinel::master(options, &link).await
        };
        match asked.await {
            Ok(master) => {
                let tried = async {
                    let link = reach(options, &master, &options.servers, options.database).await?;
                    tried(options, &link, "").await
                };
                return tried.await.map_err(|reason| reason.at(&master));
            }
            Err(reason) => failed = failed.or(Some(reason.at(address))),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Connects and greets, in time.
async fn reach(
    options: &RedisOptions,
    address: &RedisAddress,
    access: &RedisAccess,
    database: u32,
) -> Result<Link, NoLink> {
    let patience = options.timeout.saturating_mul(4);
    let dialling = dial::dial(address, access, database);
    tokio::time::timeout(patience, dialling).await.unwrap_or_else(|_| {
        let hint = match access.tls {
            Some(_) => "; if it does not speak TLS at this port, give redis://",
            None => "",
        };
        Err(NoLink { cause: Cause::Late, reason: format!("no answer in time{hint}") })
    })
}

async fn tried(options: &RedisOptions, link: &Link, tag: &str) -> Result<(), NoLink> {
    let scripts = Scripts::default();
    let mut connection = link.connection();
    let trial = trial::run(&scripts, tag, &mut connection);
    let tried = tokio::time::timeout(options.timeout.saturating_mul(4), trial).await;
    let tried =
        tried.map_err(|_| NoLink { cause: Cause::Late, reason: "no answer in time".to_owned() })?;
    tried.map_err(|error| match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            misused("it is a replica, which takes no writes; give the address of its master")
        }
        _ => NoLink::of(&error, &options.servers),
    })
}

fn misused(reason: &str) -> NoLink {
    NoLink { cause: Cause::Server, reason: reason.to_owned() }
}
