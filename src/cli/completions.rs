//! `tollgate completions SHELL`: a completion script for the shell.

use super::print;
use crate::failure::Failure;

/// Arguments of `tollgate completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell that reads the script
    shell: clap_complete::Shell,
}

/// Prints the script for `command`, which is the whole command line as clap knows it.
///
/// # Errors
/// [`Failure::User`] if stdout cannot be written.
pub fn run(args: &Args, mut command: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tollgate", &mut script);
    print::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(())
}
