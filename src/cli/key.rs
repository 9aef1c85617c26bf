//! `tollgate key new`: makes a key of the gateway's own.
//!
//! The key goes to stdout, once, and nothing else does; the line for the policy file goes to stderr. The policy keeps only
//! the SHA-256, so the key cannot be had again.

use std::fmt::Write as _;
use std::io::Write as _;

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Failure, print};
use crate::ids::OrgId;

/// Arguments of `tollgate key`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key: the key on stdout, its line for auth.keys on stderr
    New {
        /// The organisation that the key speaks for
        #[arg(long, value_name = "ORG")]
        org: String,
        /// Who holds it; the `caller` in the log
        #[arg(long, value_name = "NAME")]
        name: String,
    },
}

/// Makes a key.
///
/// # Errors
/// [`Failure::User`] if organisation or name cannot be used.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Command::New { org, name } = &args.command;
    let org =
        OrgId::new(org).ok_or_else(|| Failure::User("--org: 1 to 128 of A-Z a-z 0-9 . _ : @ + = / -".to_owned()))?;
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return Err(Failure::User("--name: 1 to 128 bytes of text on one line".to_owned()));
    }
    let key = key()?;
    writeln!(
        std::io::stderr(),
        "# a line for auth.keys in policies/*.yaml; the key itself is shown only now\n{}",
        line(&key, name, &org)
    )?;
    print::line(&key)?;
    Ok(())
}

/// `tg-` and 256 random bits.
fn key() -> Result<String, Failure> {
    let mut bits = [0; 32];
    rand::fill(&mut bits).map_err(|_| Failure::Defect(anyhow::anyhow!("the system gives no random numbers")))?;
    Ok(format!("tg-{}", URL_SAFE_NO_PAD.encode(bits)))
}

/// The entry of `auth.keys`. Strings are JSON, which YAML reads as they are meant; `$${` is a literal `${`.
fn line(key: &str, name: &str, org: &OrgId) -> String {
    let mut sum = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, key.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(sum, "{byte:02x}");
    }
    let text = |text: &str| serde_json::Value::from(text.replace("${", "$${")).to_string();
    format!("- {{name: {}, sha256: {sum}, org: {}}}", text(name), text(org.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_one_that_the_policy_takes() {
        let (key, other) = (key().expect("key"), key().expect("key"));
        assert!(key.starts_with("tg-") && key.len() == 46 && key != other);
        for (name, org) in [("ci", "acme"), ("it's \"mine\": {x} ${HOME}# \\", "4711"), ("no", "null")] {
            let dir = tempfile::TempDir::new().expect("folder");
            let file = dir.path().join("p.yaml");
            let org = OrgId::new(org).expect("org");
            std::fs::write(&file, format!("auth:\n  keys:\n    {}\n", line(&key, name, &org))).expect("write");
            let keys = crate::config::load(Some(&file)).expect("good").policy.auth.keys;
            let sum = digest::digest(&digest::SHA256, key.as_bytes());
            let (known, holder) = keys.iter().next().expect("one key");
            assert_eq!((known.as_slice(), &*holder.name, &holder.org), (sum.as_ref(), name, &org));
        }
    }
}
