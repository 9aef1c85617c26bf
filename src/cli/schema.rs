//! `tollgate schema`: the JSON Schema of the configuration, for editors.

use std::path::PathBuf;

use anyhow::Context as _;

use super::print;
use crate::config;
use crate::failure::Failure;

/// Arguments of `tollgate schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the generated files (schema, shipped configuration, reference page) into a checkout
    #[arg(long, value_name = "FOLDER", hide = true)]
    write: Option<PathBuf>,
}

/// Prints the schema, or writes the generated files.
///
/// # Errors
/// [`Failure::User`] if stdout or a file cannot be written.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Some(folder) = &args.write else {
        print::json(&format!("{:#}", config::json_schema()))?;
        return Ok(());
    };
    for (name, text) in config::files() {
        let path = folder.join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
