//! `tollgate clickhouse print|apply`: the schema of the ClickHouse store.

use clap::Subcommand;

use super::print;
use crate::ailog::Retention;
use crate::ailog::schema::{Applied, KeptFor, RETENTION_DAYS_MAX, SchemaOptions};
use crate::config::Uses;
use crate::config::policy::{AiLogPolicy, ClickHouseOptions};
use crate::failure::Failure;

/// `tollgate clickhouse`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the schema as SQL
    #[command(after_help = "Example:\n  tollgate clickhouse print > schema.sql")]
    Print(Options),
    /// Create database, tables and views, or bring them up to date; may be run again
    #[command(after_help = "\
Without --retention-days, new tables keep their rows for `ailog.retention` of the policy, and
existing tables do not change. With it, captured texts and roll-ups take over the policy's times.

Example:
  tollgate clickhouse apply --url http://127.0.0.1:8123 --retention-days 400")]
    Apply(Options),
}

impl Args {
    /// The part of the configuration that the action uses.
    pub(crate) fn uses(&self) -> Uses {
        match self.action {
            Action::Print(_) => Uses::Schema,
            Action::Apply(_) => Uses::ClickHouse,
        }
    }
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Cluster for replicated tables; without it, that of gateway.yaml
    #[arg(long, value_name = "NAME", value_parser = cluster_name)]
    cluster: Option<String>,
    /// Days after which ClickHouse deletes rows
    #[arg(long, value_name = "DAYS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(RETENTION_DAYS_MAX)))]
    retention_days: Option<u32>,
    /// Address of the server; without it, that of gateway.yaml
    #[arg(long)]
    url: Option<String>,
    /// Database; without it, that of gateway.yaml
    #[arg(long, value_parser = database_name)]
    database: Option<String>,
}

fn cluster_name(text: &str) -> Result<String, String> {
    let fits =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("not the name of a cluster; give letters, \
        digits, `_` and `-`"
            .to_owned())
    }
}

fn database_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("not the name of a database; give letters, \
        digits and `_`"
            .to_owned())
    }
}

/// Runs the command for the configured server; `policy` has the times of retention.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub fn run(args: Args, mut server: ClickHouseOptions, policy: &AiLogPolicy) -> Result<(), Failure> {
    let (Action::Print(options) | Action::Apply(options)) = &args.action;
    if let Some(url) = &options.url {
        server.urls = vec![url.clone()];
    }
    if let Some(database) = &options.database {
        server.database.clone_from(database);
    }
    let rows = options.retention_days.unwrap_or(policy.rows_days()).min(RETENTION_DAYS_MAX);
    let schema = SchemaOptions {
        database: server.database.clone(),
        cluster: options
            .cluster
            .clone()
            .or_else(|| Some(server.cluster.clone()).filter(|cluster| !cluster.is_empty())),
        retention: Retention {
            rows,
            captures: policy.captures_days().min(rows),
            hourly: policy.hourly_days().min(RETENTION_DAYS_MAX),
        },
        changes_retention: options.retention_days.is_some(),
    };
    match args.action {
        Action::Print(_) => print::raw(&schema.sql())?,
        Action::Apply(_) => {
            let applied =
                schema.apply(&server).map_err(|error| Failure::User(error.to_string()))?;
            let database = format!("{}: database `{}` is", server.urls.join(", "), server.database);
            let state = if applied.is_new {
                format!("{database} at version {} now", applied.version)
            } else {
                format!("{database} up to date")
            };
            print::line(&format!("{state}\n{}", retention(&applied, rows)))?;
            if server.urls.len() > 1 && !applied.is_replicated {
                print::line(
                    "warning: several addresses, and the tables are not replicated: a batch that \
                     is sent again to another server is stored twice; give --cluster, or one url",
                )?;
            }
        }
    }
    Ok(())
}

/// When rows are deleted, and how to change that where it is not what was asked for.
fn retention(applied: &Applied, asked_for: u32) -> String {
    let words = |retention| match retention {
        KeptFor::Days(days) => format!("rows are deleted after {days} days"),
        KeptFor::Never => "rows are never deleted".to_owned(),
        KeptFor::Other => "rows are deleted by a rule of your own".to_owned(),
    };
    let now = words(applied.retention);
    match applied.retention_before {
        Some(before) if before != applied.retention => format!("{now} (before: {})", words(before)),
        Some(_) if applied.retention != KeptFor::Days(asked_for) => format!(
            "{now}, as before; the policy's ailog.retention.rows is {asked_for} days: \
                `--retention-days \
             {asked_for}` would take it over"
        ),
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_when_rows_are_deleted() {
        let say = |before, now| {
            retention(
                &Applied {
                    version: 7,
                    is_new: false,
                    retention_before: before,
                    retention: now,
                    is_replicated: false,
                },
                90,
            )
        };
        let days = KeptFor::Days;
        assert_eq!(say(None, days(90)), "rows are deleted after 90 days");
        assert_eq!(say(Some(days(90)), days(90)), "rows are deleted after 90 days");
        assert_eq!(
            say(Some(KeptFor::Never), days(90)),
            "rows are deleted after 90 days (before: rows are never deleted)"
        );
        assert_eq!(
            say(Some(days(730)), days(730)),
            "rows are deleted after 730 days, as before; the policy's ailog.retention.rows is 90 days: \
                `--retention-days 90` would \
             take it over"
        );
    }
}
