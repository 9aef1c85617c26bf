//! `tollgate clickhouse print|apply`: the schema of the ClickHouse store.

use clap::Subcommand;

use super::Failure;
use crate::ailog::schema::SchemaOptions;
use crate::config::policy::{ClickHouseOptions, Settings, StoreKind};
use crate::ids::Secret;

/// `tollgate clickhouse`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the schema as SQL.
    Print(Options),
    /// Create database, tables and views, or bring them up to date. May be run again.
    Apply(Options),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Replicated tables on this cluster (needs the macros {shard} and {replica}).
    #[arg(long, value_parser = cluster_name)]
    cluster: Option<String>,
    /// ClickHouse deletes rows that are older.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    retention_days: u32,
    /// Where the server is, if not as in gateway.yaml.
    #[arg(long)]
    url: Option<String>,
    /// The database, if not as in gateway.yaml.
    #[arg(long, value_parser = database_name)]
    database: Option<String>,
}

fn cluster_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if fits { Ok(text.to_owned()) } else { Err("letters, digits, `_` and `-` only".to_owned()) }
}

fn database_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits { Ok(text.to_owned()) } else { Err("letters, digits and `_` only".to_owned()) }
}

/// Runs the command.
///
/// # Errors
/// The server cannot be reached, or refuses.
#[expect(clippy::print_stdout, reason = "the schema is what was asked for")]
pub fn run(args: Args, settings: &Settings) -> Result<(), Failure> {
    let (Action::Print(options) | Action::Apply(options)) = &args.action;
    let mut server = match &settings.store {
        StoreKind::ClickHouse(server) => server.clone(),
        // Before `store: clickhouse` is set, the schema can be looked at and made.
        StoreKind::Embedded => ClickHouseOptions {
            url: "http://127.0.0.1:8123".to_owned(),
            database: "tollgate".to_owned(),
            user: "default".to_owned(),
            password: Secret::default(),
        },
    };
    if let Some(url) = &options.url {
        server.url.clone_from(url);
    }
    if let Some(database) = &options.database {
        server.database.clone_from(database);
    }
    let schema = SchemaOptions {
        database: server.database.clone(),
        cluster: options.cluster.clone(),
        retention_days: options.retention_days,
    };
    match args.action {
        Action::Print(_) => print!("{}", schema.sql()),
        Action::Apply(_) => {
            let applied = schema.apply(&server).map_err(|error| Failure::User(error.to_string()))?;
            match applied.last() {
                Some(last) => println!("{}: database `{}` is at version {last} now", server.url, server.database),
                None => println!("{}: database `{}` is up to date", server.url, server.database),
            }
        }
    }
    Ok(())
}
