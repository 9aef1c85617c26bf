//! The command line: which command, with what, and the exit code.
//!
//! Level 6 of the map. One file per command, each with `Args` (clap) and `run`. Exit codes: 0 done, 1 the user must
//! change something, 2 usage, 70 a defect.

pub mod check;
pub mod completions;
pub mod healthcheck;
pub mod mock;
mod print;
pub mod schema;
pub mod token;
pub mod clickhouse;
pub mod report;

use std::process::ExitCode;

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The user must change something; the text says what. Exit code 1.
    User(String),
    /// A defect of Tollgate. Exit code 70.
    Defect(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Defect(error.into())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
