//! The diagnoses of a configuration and the results of `--live` in the form that was asked for.
//!
//! Pure. Guarantees: every form has the same problems in the same order; JSON has the same members
//! for each of them; a line for GitHub is one line, whatever a value holds. Does not: find
//! problems.

use serde_json::Value as Json;

use super::live::Live;
use crate::config::Diagnosis;
use crate::config::diagnosis::{Places, Texts, annotation, end_column, place_of};

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
    /// Annotations of GitHub Actions.
    Github,
}

/// All of it in JSON.
pub(crate) fn json_of(
    version: Option<&str>,
    files: &[String],
    findings: &[Diagnosis],
    live: Option<&[Live]>,
) -> String {
    let is_ok = !findings.iter().any(|finding| finding.is_error)
        && !live.unwrap_or_default().iter().any(Live::has_failed);
    let document = Document {
        version: 1,
        ok: is_ok,
        policy_version: version,
        files,
        problems: findings.iter().map(Diagnosis::json).collect(),
        live: live.map(|live| live.iter().map(Live::json).collect()),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

/// The JSON form; its keys are in this order.
#[derive(serde::Serialize)]
struct Document<'a> {
    version: u32,
    ok: bool,
    policy_version: Option<&'a str>,
    files: &'a [String],
    problems: Vec<Json>,
    live: Option<Vec<Json>>,
}

/// All of it as annotations, errors first.
pub(crate) fn github_of(
    findings: &[Diagnosis],
    live: &[Live],
    places: &Places,
    texts: Texts<'_>,
) -> Vec<String> {
    let errors = findings.iter().filter(|finding| finding.is_error).map(Diagnosis::github);
    let failed = live.iter().filter(|live| live.has_failed()).map(|live| {
        let place = place_of(&live.key, places);
        let end = place.as_ref().and_then(|place| end_column(place, texts));
        let place = place.as_ref().map(|(file, line, column)| (file.as_str(), *line, *column));
        annotation("error", place, end, Some(&live.key), &live.text())
    });
    let warnings = findings.iter().filter(|finding| !finding.is_error).map(Diagnosis::github);
    errors.chain(failed).chain(warnings).collect()
}
