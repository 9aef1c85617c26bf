//! `intent`: the question about a ticket, and the words of its answer.

use std::sync::Arc;
use std::time::Duration;

use super::super::policy::{IntentOptions, IntentPolicy};
use super::super::reader::place::{Place, Problems, suggest};
use super::super::reader::shape::{At, Named, Plain as _};
use super::super::sections::{Example, RawExample, RawIntent};
use super::targets::Names;
use crate::digest::sha256;
use crate::intent::prompt::{Choice, Question};

/// Synonyms of a word.
const SYNONYMS_MAX: usize = 64;
/// Part of every prompt.
const DESCRIPTION_BYTES_MAX: usize = 300;

pub(crate) fn intent(
    raw: &RawIntent,
    names: &Names,
    problems: &mut Problems,
) -> Option<IntentPolicy> {
    let provider = if raw.provider.given {
        names.find(&raw.provider, &raw.provider.at, problems)
    } else {
        names.default(&raw.provider)
    };
    let mut categories = choices(&raw.categories, problems);
    describe(&mut categories, &raw.category_descriptions, problems);
    rename(&mut categories, &raw.category_synonyms, problems);
    let mut priorities = choices(&raw.priorities, problems);
    describe(&mut priorities, &raw.priority_descriptions, problems);
    rename(&mut priorities, &raw.priority_synonyms, problems);
    let examples =
        raw.examples.iter().map(|e| example(e, &categories, &priorities, problems)).collect();
    let question = Question {
        model: raw.model.trim().to_owned(),
        prompt: raw.prompt.trim().to_owned(),
        categories,
        priorities,
        examples,
        options: raw.plain(),
    };
    let provider = provider?;
    Some(IntentPolicy {
        provider,
        fingerprint: fingerprint(names.name(provider), &question),
        question: Arc::new(question),
        options: raw.plain(),
    })
}

/// Deadlines do not change the answer, so they do not count.
fn fingerprint(provider: &str, question: &Question) -> [u8; 32] {
    let (deadline, batch_deadline) = (Duration::ZERO, Duration::ZERO);
    let options = IntentOptions { deadline, batch_deadline, ..question.options };
    let question = Question { options, ..question.clone() };
    sha256(format!("{provider:?} {question:?}").as_bytes())
}

/// Words that differ in more than their case, because an answer is matched without regard to it.
fn choices(list: &At<Vec<At<String>>>, problems: &mut Problems) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::with_capacity(list.len());
    for given in list.iter() {
        let Some(name) = word(given, problems) else { continue };
        if choices.iter().any(|known| alike(&known.name, name)) {
            problems.add(&given.at, "given twice; keep one");
        } else {
            choices.push(Choice { name: name.to_owned(), description: None, synonyms: Vec::new() });
        }
    }
    choices
}

fn word<'a>(given: &'a At<String>, problems: &mut Problems) -> Option<&'a str> {
    let word = given.value.trim();
    let fits = !word.is_empty() && word.len() <= 64 && !word.chars().any(char::is_control);
    if !fits {
        problems.add(&given.at, "not a usable word; give 1 to 64 bytes of text on one line");
    }
    fits.then_some(word)
}

fn alike(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// The configured choice of a name; a problem where there is none.
fn named<'a>(
    choices: &'a mut [Choice],
    name: &At<String>,
    problems: &mut Problems,
) -> Option<&'a mut Choice> {
    if let Some(at) = choices.iter().position(|choice| alike(&choice.name, name.value.trim())) {
        return choices.get_mut(at);
    }
    unknown(&name.value, &name.at, choices, problems);
    None
}

fn unknown(name: &str, at: &Place, choices: &[Choice], problems: &mut Problems) {
    let hint = suggest(name, choices.iter().map(|choice| choice.name.as_str()));
    problems.add(at, format!("not one of the configured words; {hint}"));
}

fn describe(choices: &mut [Choice], given: &Named<String>, problems: &mut Problems) {
    for (name, text) in &given.0 {
        let Some(choice) = named(choices, name, problems) else { continue };
        let line = text.value.trim();
        if line.is_empty()
            || line.len() > DESCRIPTION_BYTES_MAX
            || line.chars().any(char::is_control)
        {
            problems.add(
                &text.at,
                format!(
                    "not a usable description; give 1 to {DESCRIPTION_BYTES_MAX} bytes of text on \
                     one line"
                ),
            );
        } else {
            choice.description = Some(line.to_owned());
        }
    }
}

fn rename(choices: &mut [Choice], given: &Named<Vec<At<String>>>, problems: &mut Problems) {
    for (name, synonyms) in &given.0 {
        if named(choices, name, problems).is_none() {
            continue;
        }
        if synonyms.len() > SYNONYMS_MAX {
            let count = synonyms.len();
            let reason = format!("{count} words are too many; give at most {SYNONYMS_MAX}");
            problems.add(&synonyms.at, reason);
        }
        for synonym in synonyms.iter() {
            let Some(word) = word(synonym, problems) else { continue };
            let taken = |choice: &Choice| {
                alike(&choice.name, word) || choice.synonyms.iter().any(|s| alike(s, word))
            };
            if choices.iter().any(taken) {
                problems.add(
                    &synonym.at,
                    "already stands for a configured word; keep one of \
                    the two",
                );
            } else if let Some(choice) = named(choices, name, problems) {
                choice.synonyms.push(word.to_owned());
            }
        }
    }
}

fn example(
    given: &RawExample,
    categories: &[Choice],
    priorities: &[Choice],
    problems: &mut Problems,
) -> Example {
    if given.title.trim().is_empty() && given.body.trim().is_empty() {
        problems.add(&given.body.at, "an example without text; give it a title or a body");
    }
    let mut answer = |given: &At<Option<String>>, choices: &[Choice]| {
        let word = given.value.as_deref()?.trim();
        let known = choices
            .iter()
            .find(|choice| alike(&choice.name, word))
            .map(|choice| choice.name.clone());
        if known.is_none() {
            unknown(word, &given.at, choices, problems);
        }
        known
    };
    Example {
        category: answer(&given.category, categories),
        priority: answer(&given.priority, priorities),
        ..given.plain()
    }
}
