//! The configuration from outside: files in, policy or problems out.

mod credentials;
mod diagnoses;
mod documentation;
mod generated;
mod meaning;
mod openapi;
mod policy_rules;
mod refused;
mod shipped;
mod warned;
mod watching;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::load::{Loaded, Purpose, Source};
use super::policy::Policy;
use super::reader::place::Problems;
use super::uses::Uses;
use crate::ids::OrgId;

fn env(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk-from-the-environment".to_owned()),
        "OFF" => Some("False".to_owned()),
        "FIVE" => Some("5".to_owned()),
        "AZURE_CLIENT_SECRET"
        | "AWS_SECRET_ACCESS_KEY"
        | "AWS_ROLE_ARN"
        | "AZURE_TENANT_ID"
        | "AZURE_CLIENT_ID"
        | "AZURE_FEDERATED_TOKEN_FILE" => Some("of-docs".to_owned()),
        "AWS_WEB_IDENTITY_TOKEN_FILE" => Some("/var/run/secrets/token".to_owned()),
        "EVIL" => Some("x\nlimits: {strict: true}".to_owned()),
        _ => None,
    }
}

fn load(source: &Source) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    problems.env = env;
    source.load_in(1_700_000_000_123, Purpose::Read(Uses::Everything), problems)
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("folder");
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, text).expect("file");
}

/// The problems of these files, with the folder's name taken out.
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let dir = folder(files);
    let prefix = format!("{}/", dir.path().display());
    match load(&Source::Folder(dir.path().to_owned())) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .lines()
            .iter()
            .map(|line| line.replace(&prefix, ""))
            .inspect(|line| assert!(has_the_form(line), "{line}"))
            .collect(),
    }
}

/// Words that begin a remedy.
const REMEDIES: [&str; 20] = [
    "accept",
    "add",
    "choose",
    "close",
    "configure",
    "correct",
    "define",
    "did you mean",
    "give",
    "keep",
    "make",
    "move",
    "name",
    "put",
    "remove",
    "run",
    "save",
    "set",
    "use",
    "write",
];

/// Whether a problem is `file:line:column: key: problem; remedy`. Only a problem with a whole file
/// has no key.
fn has_the_form(line: &str) -> bool {
    let mut place = line.splitn(4, ':');
    let (Some(file), Some(number), Some(column), Some(rest)) =
        (place.next(), place.next(), place.next(), place.next())
    else {
        return false;
    };
    let numbered = |text: &str| text.parse::<u32>().is_ok_and(|number| number > 0);
    // Behind the last semicolon, but not one inside a value that is quoted.
    let Some((problem, remedy)) = rest.split_once("; ") else { return false };
    !file.is_empty()
        && numbered(number)
        && numbered(column)
        && problem.starts_with(' ')
        && !problem.contains(". ")
        && REMEDIES.iter().any(|word| remedy.starts_with(word))
        && !remedy.ends_with('.')
}

fn policy(yaml: &str) -> Policy {
    let dir = folder(&[("all.yaml", yaml)]);
    load(&Source::File(dir.path().join("all.yaml"))).expect("good").policy
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn org(name: &str) -> OrgId {
    OrgId::new(name).expect("org")
}
