//! Broken configurations in `tests/diagnoses`, and what is said of each.
//!
//! `TOLLGATE_UPDATE=1 cargo test --lib diagnoses` writes what is said now.

use std::path::Path;

use crate::config::diagnosis::{Diagnosis, told};
use crate::config::load::{Purpose, Source};
use crate::config::reader::place::Problems;
use crate::config::warnings;

/// The environment of all of them.
fn variable(name: &str) -> Option<String> {
    matches!(name, "OPENAI_API_KEY" | "OTHER_KEY").then(|| "sk-of-the-environment".to_owned())
}

/// The output of `check` for a file.
fn said(path: &Path) -> String {
    let mut problems = Problems::default();
    problems.env = variable;
    let folder = format!("{}/", path.parent().expect("a folder").display());
    let loaded = Source::File(path.to_owned()).load_in(1_790_000_000_000, Purpose::Serve, problems);
    let text = match loaded {
        Err(problems) => told(&problems),
        Ok(loaded) => {
            let texts = |file: &str| loaded.origin.text(file);
            let mut list = warnings(&loaded.settings, &loaded.policy, &loaded.origin.live);
            // The folder that the tests run in is no part of the configuration.
            list.retain(|text| !text.starts_with("data_dir: "));
            list.extend(loaded.origin.doubts.iter().cloned());
            let list =
                list.iter().map(|text| Diagnosis::warning(text, &loaded.places, &texts).text());
            list.collect::<Vec<_>>().join("\n")
        }
    };
    text.replace(&folder, "") + "\n"
}

#[test]
fn every_broken_configuration_has_its_diagnosis() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnoses");
    let is_update = std::env::var_os("TOLLGATE_UPDATE").is_some();
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 60, "{} configurations", paths.len());
    let (mut wrong, mut odd) = (Vec::new(), Vec::new());
    for path in paths {
        let (said, golden) = (said(&path), path.with_extension("txt"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The line is shown, with the place underlined.
        let has_mark =
            said.lines().any(|line| line.trim_start().starts_with("| ") && line.ends_with('^'));
        if said.len() < 20 || !has_mark || said.contains("sk-live") {
            odd.push(format!("{name}: no line, no mark, or a secret\n{said}"));
        }
        if said.contains("warning: ") != name.starts_with("warn-") {
            odd.push(format!(
                "{name}: a warning where a problem is meant, or the other way\n{said}"
            ));
        }
        if is_update {
            std::fs::write(&golden, &said).expect("written");
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("{}\n{said}", golden.display()));
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
    assert!(
        wrong.is_empty(),
        "{} diagnoses changed; look at them, then run `TOLLGATE_UPDATE=1 cargo test --lib \
         diagnoses`\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
