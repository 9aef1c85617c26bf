//! `tollgate reprice`: what stored calls cost by today's prices.

use std::io::{IsTerminal as _, Write as _};

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::report::start_ms;
use crate::config::policy::Settings;
use crate::cost::PriceList;
use crate::failure::Failure;
use crate::money::usd;
use crate::report::reprice::{Repriced, reprice};

/// `tollgate reprice`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// First day (UTC), e.g. 2026-11-01
    #[arg(long, value_name = "DAY", value_parser = super::report::day)]
    from: Date,
    /// Last day (UTC), included
    #[arg(long, value_name = "DAY", value_parser = super::report::day)]
    to: Date,
    /// Print the changes, but store nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// The days are in the wrong order, or the store cannot be read or written.
pub fn run(args: &Args, settings: &Settings, prices: &PriceList) -> Result<(), Failure> {
    let Args { from, to, dry_run } = *args;
    if from > to {
        return Err(Failure::User(format!("--from {from} is after --to {to}; swap them")));
    }
    let window =
        (start_ms(from, &TimeZone::UTC)?, start_ms(to.checked_add(1.day())?, &TimeZone::UTC)?);
    let seen = std::io::stderr().is_terminal();
    let mut progress = |so_far: &Repriced| {
        if seen {
            drop(write!(
                std::io::stderr(),
                "\r{} rows, {} with another cost",
                so_far.rows,
                so_far.changed
            ));
        }
    };
    let done = reprice(
        &settings.store,
        &settings.options.data_dir,
        prices,
        window,
        dry_run,
        &mut progress,
    );
    if seen {
        drop(writeln!(std::io::stderr()));
    }
    let done = done.map_err(|error| Failure::User(error.to_string()))?;
    super::print::line(&summary(&done, prices.version(), dry_run))?;
    Ok(())
}

fn summary(done: &Repriced, version: &str, dry_run: bool) -> String {
    let money =
        |nano: i128| usd(i64::try_from(nano).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX }));
    let difference = done.after_nano - done.before_nano;
    let sign = if difference > 0 { "+" } else { "" };
    let mut text = format!(
        "{} rows, price list {version}\ncost before {} USD, now {} USD, difference {sign}{} \
         USD\n{} rows {} another cost, {} {} \
         the name of this list alone",
        done.rows,
        money(done.before_nano),
        money(done.after_nano),
        money(difference),
        done.changed,
        if dry_run { "would have" } else { "have" },
        done.renamed,
        if dry_run { "would take" } else { "took" },
    );
    for (rows, what) in [
        (done.without_usage, "without usage, so no cost can be computed"),
        (done.former, "priced by an earlier version, which did not store cache writes"),
        (done.unpriced, "of models or service tiers without a price"),
    ] {
        if rows > 0 {
            text.push_str(&format!("\nleft as they are: {rows} {what}"));
        }
    }
    if dry_run {
        text.push_str("\nnothing was changed (--dry-run)");
    }
    text
}
