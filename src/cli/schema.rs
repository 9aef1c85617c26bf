//! `tollgate schema`: the JSON Schema of the configuration, for editors.

use super::{Failure, print};

/// Arguments of `tollgate schema`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the schema.
///
/// # Errors
/// [`Failure::Defect`] if stdout is closed.
pub fn run(_: &Args) -> Result<(), Failure> {
    print::json(&format!("{:#}", crate::config::json_schema()))?;
    Ok(())
}
