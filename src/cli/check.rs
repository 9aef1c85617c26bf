//! `tollgate check`: every problem of the configuration, or a short summary of what it says, with
//! warnings.
//!
//! The same code that `serve` and a reload run, so what passes here is taken there. Beyond it the
//! files that a configuration names (certificates, key sets) are opened: they may come later, but a
//! person who checks wants to know. `format` writes the result, `live` also connects.

mod format;
mod live;

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::print;
use super::serve::runtime;
use crate::auth::key_set_fault;
use crate::bounds::memory_max;
use crate::config::policy::{Accept, JwksSource, Policy};
use crate::config::{self, Candidate, Diagnosis, Loaded, OtherFile};
use crate::failure::Failure;
use crate::redact::Names;
use crate::tls::{HTTP_1_ALONE, TlsAcceptor};
use format::{Format, github_of, json_of};

/// Arguments of `tollgate check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration: folder or file [default: $TOLLGATE_CONFIG or ./config]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Also connect to all that the configuration uses, free of charge
    #[arg(long)]
    live: bool,
}

/// Checks the configuration and prints the result.
///
/// # Errors
/// [`Failure::User`] if there is a problem; all of them are on stdout by then.
pub fn run(args: &Args) -> Result<(), Failure> {
    let loaded = match config::load(args.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            return refused(args.format, &config::diagnoses(&problems), &[]);
        }
    };
    let texts = |file: &str| loaded.origin.text(file);
    let mut found: Vec<Diagnosis> = missing(&loaded)
        .iter()
        .map(|line| Diagnosis::error(line, &loaded.places, &texts))
        .collect();
    let candidate = match config::candidate(&loaded) {
        Ok(candidate) => candidate,
        Err(problems) => {
            found.extend(config::diagnoses(&problems));
            None
        }
    };
    if !found.is_empty() {
        return refused(args.format, &found, &loaded.origin.files());
    }
    let live = match args.live {
        true => Some(runtime()?.block_on(live::all(&loaded))),
        false => None,
    };
    let (told, warnings) = (live.as_deref().unwrap_or_default(), warnings(&loaded));
    let mut findings: Vec<Diagnosis> =
        warnings.iter().map(|text| Diagnosis::warning(text, &loaded.places, &texts)).collect();
    let candidate = candidate.as_ref();
    findings.extend(candidate.into_iter().flat_map(|found| found.warnings(&loaded.settings)));
    match args.format {
        Format::Text => {
            let warned: String = findings.iter().map(|told| format!("\n{}", told.text())).collect();
            let asked: String = told.iter().map(|live| format!("\n{}", live.text())).collect();
            let judged = candidate.map(shadow);
            print::line(&(summary(&loaded) + &judged.unwrap_or_default() + &warned + &asked))?;
        }
        Format::Json => {
            let (version, mut files) = (&*loaded.policy.version, loaded.origin.files());
            files.extend(candidate.into_iter().flat_map(|found| found.files.clone()));
            print::json(&json_of(Some(version), &files, &findings, live.as_deref()))?;
        }
        Format::Github => {
            let lines = github_of(&findings, told, &loaded.places, &texts);
            if !lines.is_empty() {
                print::line(&lines.join("\n"))?;
            }
        }
    }
    match told.iter().filter(|live| live.has_failed()).count() {
        0 => Ok(()),
        1 => Err(Failure::User("1 of the live checks failed".to_owned())),
        count => Err(Failure::User(format!("{count} of the live checks failed"))),
    }
}

fn refused(format: Format, findings: &[Diagnosis], files: &[String]) -> Result<(), Failure> {
    let texts: Vec<String> = findings.iter().map(Diagnosis::text).collect();
    match format {
        Format::Text => print::line(&texts.join("\n"))?,
        Format::Json => print::json(&json_of(None, files, findings, None))?,
        Format::Github => {
            let lines: Vec<String> = findings.iter().map(Diagnosis::github).collect();
            print::line(&lines.join("\n"))?;
        }
    }
    let count = findings.len();
    Err(Failure::User(format!("{count} problem{}", if count == 1 { "" } else { "s" })))
}

/// Problems of the files that the configuration names.
fn missing(loaded: &Loaded) -> Vec<String> {
    let unread = |other: &OtherFile| {
        let error = File::open(&other.path).err()?;
        Some(format!(
            "{}: `{}` cannot be read: {error}; give a file that exists",
            other.named_at,
            other.path.display()
        ))
    };
    let mut lines: Vec<String> = loaded.others.iter().filter_map(unread).collect();
    let all_there = lines.is_empty();
    for tls in [&loaded.settings.options.tls, &loaded.settings.admin_tls].into_iter().flatten() {
        if all_there && let Err(error) = TlsAcceptor::new(tls, HTTP_1_ALONE) {
            let of = loaded.others.iter().find(|other| other.path == tls.cert_file);
            let place = of.map_or("tls", |other| other.named_at.as_str());
            lines.push(format!("{place}: {error:#}"));
        }
    }
    lines.extend(unusable_key_set(loaded));
    lines.extend(unusable_data_dir(&loaded.settings.options.data_dir));
    lines
}

/// Problems of a key set in a file.
fn unusable_key_set(loaded: &Loaded) -> Option<String> {
    let Some(JwksSource::File(path)) = loaded.policy.auth.jwt.as_ref()?.jwks.as_ref() else {
        return None;
    };
    let reason = key_set_fault(&std::fs::read(path).ok()?)?;
    let named_at = loaded.others.iter().find(|other| other.path == *path);
    let place = named_at.map_or("auth.jwt.jwks", |other| other.named_at.as_str());
    let remedy = if reason.contains("; ") { "" } else { "; give a JWK set (RFC 7517)" };
    Some(format!("{place}: `{}` is not a usable key set: {reason}{remedy}", path.display()))
}

/// Why the data folder cannot be made or written. The first folder above it that is there is tried
/// with a folder that is deleted again.
fn unusable_data_dir(data_dir: &Path) -> Option<String> {
    let here = Path::new(".");
    let above =
        data_dir.ancestors().map(|path| if path.as_os_str().is_empty() { here } else { path });
    let there = above.into_iter().find(|path| path.exists()).unwrap_or(here);
    let error = tempfile::Builder::new().prefix(".tollgate-check-").tempdir_in(there).err()?;
    Some(format!(
        "data_dir: `{}` cannot be made or written: {}; give a folder that this user may write",
        data_dir.display(),
        error.kind()
    ))
}

/// Each thing that is allowed and an operator should know.
fn warnings(loaded: &Loaded) -> Vec<String> {
    let mut warnings = config::warnings(&loaded.settings, &loaded.policy, &loaded.origin.live);
    warnings.extend(config::without_policy(&loaded.origin.source));
    warnings.extend(loaded.origin.doubts.iter().cloned());
    warnings
}

/// The line of the candidate policy.
fn shadow(candidate: &Candidate) -> String {
    format!(
        "\n  {:<10} {} judges every call, and decides none: {}",
        "shadow",
        candidate.policy.version,
        candidate.files.join(", ")
    )
}

fn summary(loaded: &Loaded) -> String {
    let (policy, files) = (&loaded.policy, loaded.origin.files());
    let mut text = match files.as_slice() {
        [] => "ok: no files, so the built-in configuration".to_owned(),
        [file] => format!("ok: {file}"),
        files => format!("ok: {} files: {}", files.len(), files.join(", ")),
    };
    let providers: Vec<&str> = policy.providers.iter().map(|p| &*p.name).collect();
    let ways: Vec<String> =
        policy.auth.options.accept.iter().map(|a| format!("{a:?}").to_lowercase()).collect();
    let lines = [
        ("policy", policy.version.to_string()),
        (
            "listen",
            format!(
                "{} (applications), {} (operators)",
                loaded.settings.listen, loaded.settings.admin_listen
            ),
        ),
        ("accept", ways.join(", ")),
        (
            "jwt",
            if policy.auth.options.accept.contains(&Accept::Jwt) {
                "verified"
            } else {
                "not accepted"
            }
            .into(),
        ),
        ("keys", policy.auth.keys.len().to_string()),
        ("providers", providers.join(", ")),
        (
            "limits",
            format!(
                "{} calls a minute, {} organisations with their own",
                policy.limits.requests.default.quota.requests_per_minute(),
                policy.limits.requests.orgs.len()
            ),
        ),
        ("memory", memory(loaded)),
        ("stop", stop(loaded)),
    ];
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {name:<10} {value}");
    }
    text
}

/// The time that the gateway needs to end, so that its manager does not kill it before.
fn stop(loaded: &Loaded) -> String {
    let (delay, grace) =
        (loaded.settings.options.drain_delay, loaded.settings.options.shutdown_grace);
    format!(
        "up to {} s after SIGTERM (drain_delay + shutdown_grace + 20 s); kill it no sooner",
        (delay + grace).as_secs() + 20
    )
}

/// Memory that the gateway may take at its bounds.
fn memory(loaded: &Loaded) -> String {
    let bounds = loaded.settings.options.bounds;
    let capture = loaded.policy.ailog.capture_bytes();
    let bytes = memory_max(bounds.connections, bounds.calls_in_flight, bounds.held_bytes, capture)
        .saturating_add(lists_memory(&loaded.policy));
    format!(
        "at most {} MiB, with {} connections and {} calls at their bounds",
        bytes >> 20,
        bounds.connections,
        bounds.calls_in_flight
    )
}

/// Memory of the long word lists: twice, because an edit is read while the old ones are in force.
fn lists_memory(policy: &Policy) -> usize {
    let mut lists: Vec<&Names> = Vec::new();
    for names in policy.redaction.all().flat_map(|rules| rules.names()) {
        if !lists.iter().any(|known| known.is(names)) {
            lists.push(names);
        }
    }
    lists.iter().map(|names| names.memory()).sum::<usize>().saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_is_in_force_and_no_secret() {
        let dir = tempfile::TempDir::new().expect("folder");
        let file = dir.path().join("all.yaml");
        let text = "auth: {accept: [jwt], jwt: {secret: a-secret-that-is-long}}\nproviders: \
            {local: {base_url: 'http://127.0.0.1:9', api_key: sk-1}}\n";
        std::fs::write(&file, text).expect("write");
        let summary = summary(&config::load(Some(&file)).expect("good"));
        assert!(
            summary.starts_with(&format!("ok: {}\n  policy     ", file.display())),
            "{summary}"
        );
        for part in
            ["accept     jwt", "jwt        verified", "providers  local", "60 calls a minute"]
        {
            assert!(summary.contains(part), "{part}: {summary}");
        }
        assert!(!summary.contains("a-secret") && !summary.contains("sk-1"));
    }

    #[test]
    fn problems_are_counted_and_the_user_is_to_change_something() {
        let dir = tempfile::TempDir::new().expect("folder");
        let file = dir.path().join("all.yaml");
        std::fs::write(
            &file,
            "auth: {accept: [key]}\nlimits: {burst: 0}\nretry: {max_retries: 99}\n",
        )
        .expect("write");
        let failure = run(&Args { config: Some(file), format: Format::Text, live: false });
        assert!(matches!(failure, Err(Failure::User(text)) if text == "2 problems"));
    }
}
