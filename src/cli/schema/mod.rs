//! `tollgate schema`: the JSON Schema of the configuration, for editors.
//!
//! With the hidden `--write FOLDER` it writes everything in a checkout that follows from the
//! program: the schema, the shipped configuration, its reference page, and the generated parts of
//! other pages (`pages`). Tests compare them with the committed files.

mod errors;
mod pages;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::print;
use crate::config;
use crate::failure::Failure;

/// Arguments of `tollgate schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the generated files (schema, shipped configuration, pages) into a checkout
    #[arg(long, value_name = "FOLDER", hide = true)]
    write: Option<PathBuf>,
}

/// Prints the schema, or writes the generated files.
///
/// # Errors
/// [`Failure::User`] if stdout cannot be written; an error of the system if a file cannot be read
/// or written.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Some(folder) = &args.write else {
        print::json(&format!("{:#}", config::json_schema()))?;
        return Ok(());
    };
    for (name, text) in config::files() {
        write(&folder.join(name), &text)?;
    }
    for part in pages::parts() {
        let path = folder.join(part.page);
        let page = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let page = part.put_into(&page).ok_or_else(|| {
            Failure::User(format!("{}: the marks of {} are missing", path.display(), part.name))
        })?;
        write(&path, &page)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(())
}
