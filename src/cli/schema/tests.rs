//! The documentation against the program: generated parts, commands and reasons.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use super::errors::ADVICE;
use super::pages::parts;
use crate::auth::Reason;
use crate::cli::Cli;
use crate::code::Code;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README and every page of `docs/`.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).expect("docs");
    let mut pages: Vec<PathBuf> = docs.map(|entry| entry.expect("entry").path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.push(root().join("README.md"));
    pages.push(root().join("examples/README.md"));
    pages.sort();
    pages
}

#[test]
fn generated_parts_are_those_of_the_program() {
    for part in parts() {
        let page = read(&root().join(part.page));
        let anew = part.put_into(&page);
        let hint = "write it with `cargo run -- schema --write .`";
        assert_eq!(anew.as_ref(), Some(&page), "{} is out of date; {hint}", part.page);
    }
}

#[test]
fn every_error_code_has_a_cause_and_a_remedy() {
    let codes: Vec<Code> = ADVICE.iter().map(|advice| advice.0).collect();
    assert_eq!(codes, Code::ALL);
    for advice in ADVICE {
        for text in [advice.1, advice.2] {
            assert!(text.ends_with('.') && !text.contains('|'), "{text}");
        }
    }
}

#[test]
fn every_reason_of_a_refused_credential_is_explained() {
    let page = read(&root().join("docs/authentication.md"));
    for reason in Reason::ALL {
        assert!(page.contains(&format!("`{}`", reason.as_str())), "{}", reason.as_str());
    }
}

/// The words of a command line up to a redirection or a comment; quotes are taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => words.last_mut().expect("a word").push(c),
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => words.push(String::new()),
            None => words.last_mut().expect("a word").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    let ends = |word: &String| ["#", ">", "<", "&"].iter().any(|mark| word.starts_with(mark));
    let end = words.iter().position(ends).unwrap_or(words.len());
    words.truncate(end);
    words
}

/// The calls of Tollgate in a piece of shell: their arguments.
fn calls(shell: &str) -> Vec<Vec<String>> {
    let shell = shell.replace("\\\n", " ").replace("$(", "\n").replace([')', ';'], "\n");
    let mut calls = Vec::new();
    for command in shell.split(['\n', '|']).flat_map(|line| line.split("&&")) {
        let mut words = words(command.trim());
        let is_program = |word: &String| word == "tollgate" || word.ends_with("/tollgate");
        let through_cargo = words.iter().take(2).eq(["cargo", "run"]);
        let at = if through_cargo {
            words.iter().position(|word| word == "--")
        } else {
            words.first().is_some_and(is_program).then_some(0)
        };
        if let Some(at) = at {
            calls.push(words.split_off(at + 1));
        }
    }
    calls
}

/// Why the command line would refuse the arguments. `in_text` lets required ones be left out.
fn refusal(arguments: &[String], in_text: bool) -> Option<String> {
    let line = std::iter::once("tollgate").chain(arguments.iter().map(String::as_str));
    let error = Cli::try_parse_from(line).err()?;
    let is_help = !error.use_stderr();
    let left_out = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let accepted = is_help || (in_text && left_out);
    (!accepted).then(|| error.to_string())
}

/// Every call of Tollgate in a page: in blocks of shell, and in the text (`true`).
fn calls_in(page: &str) -> Vec<(Vec<String>, bool)> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        let trimmed = line.trim_start();
        if let Some(shell) = &mut block {
            if trimmed.starts_with("```") {
                found.extend(calls(shell).into_iter().map(|call| (call, false)));
                block = None;
            } else {
                shell.push_str(trimmed);
                shell.push('\n');
            }
        } else if trimmed == "```sh" {
            block = Some(String::new());
        } else {
            // Spans of code stand at the odd places.
            for span in line.split('`').skip(1).step_by(2).filter(|s| s.starts_with("tollgate ")) {
                found.extend(calls(span).into_iter().map(|call| (call, true)));
            }
        }
    }
    found
}

#[test]
fn every_command_of_the_documentation_is_one() {
    let (mut wrong, mut number) = (Vec::new(), 0);
    for path in pages() {
        for (call, in_text) in calls_in(&read(&path)) {
            number += 1;
            // Names of placeholders stand for values.
            let plain: Vec<String> =
                call.iter().map(|word| word.replace("DAY", "2026-11-01")).collect();
            if let Some(refusal) = refusal(&plain, in_text) {
                wrong.push(format!("{}: {call:?}: {refusal}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(number > 60, "only {number} commands were found");
}

#[test]
fn calls_are_found_in_shell() {
    let shell = "export A=$(target/release/tollgate token --org 'a b')\n\
                 echo x | tollgate redact --text # why\n\
                 tollgate mock \\\n  --fault cut && tollgate\ncargo run -- demo --exit\n";
    let expected: [&[&str]; 5] = [
        &["token", "--org", "a b"],
        &["redact", "--text"],
        &["mock", "--fault", "cut"],
        &[],
        &["demo", "--exit"],
    ];
    assert_eq!(calls(shell), expected);
    let (wrong, text) = (["report".to_owned(), "--no".to_owned()], ["reprice".to_owned()]);
    assert!(refusal(&wrong, true).is_some());
    assert!(refusal(&text, true).is_none() && refusal(&text, false).is_some());
}
