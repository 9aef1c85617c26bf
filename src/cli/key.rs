//! `tollgate key new`: makes a key of the gateway's own.
//!
//! The key goes to stdout, once, and nothing else does; the line for the policy file goes to
//! stderr. The policy keeps only the SHA-256, so the key cannot be had again.

use std::io::Write as _;

use super::print;
use crate::digest::{hex, sha256};
use crate::failure::Failure;
use crate::ids::OrgId;
use crate::keys::random_key;

/// Arguments of `tollgate key`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key; it goes to stdout, its lines for `auth.keys` to stderr
    #[command(after_help = "\
Example:
  tollgate key new --org acme --name ci --expires 90d --model 'gpt-4o-mini*'")]
    New {
        /// Organisation that the key speaks for
        #[arg(long, value_name = "ORG")]
        org: String,
        /// Holder of the key; the `caller` in the log
        #[arg(long, value_name = "NAME")]
        name: String,
        /// End of its validity: a time (90d) or a day (2027-01-31)
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// Model that it may be used for; `*` stands for any text; may be repeated
        #[arg(long = "model", value_name = "MODEL")]
        models: Vec<String>,
        /// Path that it may be used for, e.g. /v1/embeddings; may be repeated
        #[arg(long = "endpoint", value_name = "PATH")]
        endpoints: Vec<String>,
    },
}

/// The uses of a key, as the policy says them.
#[derive(Debug, Default)]
struct Restrictions {
    expires: Option<String>,
    models: Vec<String>,
    endpoints: Vec<String>,
}

/// Makes a key.
///
/// # Errors
/// [`Failure::User`] if organisation or name cannot be used.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Command::New { org, name, expires, models, endpoints } = &args.command;
    let org = OrgId::new(org).ok_or_else(|| {
        Failure::User(
            "--org: not the name of an organisation; give 1 to 128 of A-Z a-z 0-9 . _ \
            : @ + = / -"
                .to_owned(),
        )
    })?;
    if org.is_reserved() {
        return Err(Failure::User(format!(
            "--org: `{org}` is reserved for callers without an organisation; give another name"
        )));
    }
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return Err(Failure::User(
            "--name: not a usable name; give 1 to 128 bytes of text on one \
            line"
                .to_owned(),
        ));
    }
    if let Some(path) = endpoints.iter().find(|path| !crate::config::is_api_path(path)) {
        return Err(Failure::User(format!(
            "--endpoint: `{path}` is not a path of the API; give e.g. /v1/chat/completions"
        )));
    }
    let expires =
        expires.as_deref().map(|text| moment(text, crate::clock::wall_ms())).transpose()?;
    let restrictions =
        Restrictions { expires, models: models.clone(), endpoints: endpoints.clone() };
    let key = key()?;
    writeln!(
        std::io::stderr(),
        "# a line for `auth.keys` in policies/*.yaml; the key itself is shown only once\n{}",
        line(&key, name, &org, &restrictions)
    )?;
    print::line(&key)?;
    Ok(())
}

fn key() -> Result<String, Failure> {
    random_key().map_err(|error| Failure::Defect(anyhow::anyhow!(error)))
}

/// A time from now, a day or a moment, as the policy takes it.
fn moment(text: &str, now_ms: i64) -> Result<String, Failure> {
    let wrong = || {
        Failure::User(format!(
            "--expires: `{text}` is not a time; give e.g. 90d, 2027-01-31 or 2027-01-31T12:00:00Z"
        ))
    };
    if text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::Date>().is_ok() {
        return Ok(text.to_owned());
    }
    let lasts = crate::config::duration(text).map_err(|_| wrong())?;
    let seconds = now_ms / 1000 + i64::try_from(lasts.as_secs()).map_err(|_| wrong())?;
    jiff::Timestamp::from_second(seconds).map(|moment| moment.to_string()).map_err(|_| wrong())
}

/// The entry of `auth.keys`. Strings are JSON, which YAML reads as they are meant; `$${` is a
/// literal `${`.
fn line(key: &str, name: &str, org: &OrgId, restrictions: &Restrictions) -> String {
    let sum = hex(&sha256(key.as_bytes()));
    let text = |text: &str| serde_json::Value::from(text.replace("${", "$${")).to_string();
    let mut line = format!("- {{name: {}, sha256: {sum}, org: {}", text(name), text(org.as_str()));
    if let Some(moment) = &restrictions.expires {
        line.push_str(&format!(", expires: {}", text(moment)));
    }
    for (name, list) in [("models", &restrictions.models), ("endpoints", &restrictions.endpoints)] {
        if !list.is_empty() {
            let list: Vec<String> = list.iter().map(|entry| text(entry)).collect();
            line.push_str(&format!(", {name}: [{}]", list.join(", ")));
        }
    }
    line + "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_one_that_the_policy_takes() {
        let (key, other) = (key().expect("key"), key().expect("key"));
        assert!(key.starts_with("tg-") && key.len() == 46 && key != other);
        for (name, org) in
            [("ci", "acme"), ("it's \"mine\": {x} ${HOME}# \\", "4711"), ("no", "null")]
        {
            let dir = tempfile::TempDir::new().expect("folder");
            let file = dir.path().join("p.yaml");
            let org = OrgId::new(org).expect("org");
            std::fs::write(
                &file,
                format!(
                    "auth:\n  keys:\n    {}\n",
                    line(&key, name, &org, &Restrictions::default())
                ),
            )
            .expect("write");
            let keys = crate::config::load_to_read(Some(&file), crate::config::Uses::Everything)
                .expect("good")
                .policy
                .auth
                .keys;
            let sum = sha256(key.as_bytes());
            let (known, holder) = keys.iter().next().expect("one key");
            assert_eq!(
                (known.as_slice(), &*holder.name, &holder.options.org),
                (&sum[..], name, &org)
            );
            assert!(!holder.is_restricted() && holder.expires_ms.is_none());
        }
    }

    #[test]
    fn what_a_key_may_be_used_for_is_in_its_line() {
        let restrictions = Restrictions {
            expires: Some(moment("90d", 1_800_000_000_123).expect("a time")),
            models: vec!["gpt-4o*".to_owned(), "a: {b}".to_owned()],
            endpoints: vec!["/v1/embeddings".to_owned()],
        };
        let dir = tempfile::TempDir::new().expect("folder");
        let (file, org) = (dir.path().join("p.yaml"), OrgId::new("acme").expect("org"));
        let line = line("tg-x", "ci", &org, &restrictions);
        std::fs::write(&file, format!("auth:\n  keys:\n    {line}\n")).expect("write");
        let keys = crate::config::load_to_read(Some(&file), crate::config::Uses::Everything)
            .expect("good")
            .policy
            .auth
            .keys;
        let key = keys.values().next().expect("one key");
        assert_eq!(key.expires_ms, Some(1_800_000_000_000 + 90 * 86_400_000));
        assert!(key.may_use(Some("gpt-4o-mini")) && key.may_use(Some("a: {b}")));
        assert!(!key.may_use(Some("gpt-4")) && !key.may_use(None));
        assert!(key.may_call("/v1/embeddings") && !key.may_call("/v1/chat/completions"));
        for (text, expected) in [
            ("2027-01-31", Ok("2027-01-31")),
            ("2027-01-31T12:00:00Z", Ok("2027-01-31T12:00:00Z")),
            ("soon", Err(())),
        ] {
            assert_eq!(moment(text, 0).as_deref().map_err(|_| ()), expected);
        }
    }
}
