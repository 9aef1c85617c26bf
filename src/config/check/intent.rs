//! `intent`, checked: what is asked about tickets, and what may be answered.

use std::sync::Arc;
use std::time::Duration;

use super::super::place::{Place, Problems, suggest};
use super::super::policy::IntentPolicy;
use super::super::raw::{RawExample, RawIntent};
use super::super::shape::{At, Named};
use super::targets::Names;
use super::{lasting, refuse};
use crate::bounds;
use crate::digest::sha256;
use crate::intent::prompt::{Choice, Example, Question};

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
/// Words that a model may choose from; synonyms of one of them.
const WORDS_MAX: usize = 64;
/// What goes into every prompt is short.
const PROMPT_BYTES_MAX: usize = 16 << 10;
const DESCRIPTION_BYTES_MAX: usize = 300;
const EXAMPLES_MAX: usize = 64;
const EXAMPLE_BYTES_MAX: usize = 4 << 10;

pub(super) fn intent(raw: &RawIntent, names: &Names, problems: &mut Problems) -> Option<IntentPolicy> {
    let provider = if raw.provider.given {
        names.find(&raw.provider, &raw.provider.at, problems)
    } else {
        names.default(&raw.provider)
    };
    let model = raw.model.trim();
    if model.is_empty() || model.len() > bounds::MODEL_BYTES_MAX {
        problems.add(&raw.model.at, format!("a model's name is 1 to {} bytes", bounds::MODEL_BYTES_MAX));
    }
    let temperature = raw.temperature.value;
    if !(0.0..=2.0).contains(&temperature) {
        refuse(&raw.temperature.at, temperature, "give 0 to 2", problems);
    }
    let prompt = raw.prompt.trim();
    if prompt.is_empty() || prompt.len() > PROMPT_BYTES_MAX {
        problems.add(
            &raw.prompt.at,
            format!("instructions are 1 to {PROMPT_BYTES_MAX} bytes; leave the key out for the built-in ones"),
        );
    }
    let mut categories = choices(&raw.categories, problems);
    describe(&mut categories, &raw.category_descriptions, problems);
    rename(&mut categories, &raw.category_synonyms, problems);
    let mut priorities = choices(&raw.priorities, problems);
    describe(&mut priorities, &raw.priority_descriptions, problems);
    rename(&mut priorities, &raw.priority_synonyms, problems);
    if raw.examples.len() > EXAMPLES_MAX {
        problems.add(&raw.examples.at, format!("more than {EXAMPLES_MAX} examples; each makes every prompt longer"));
    }
    let examples = raw.examples.iter().map(|e| example(e, &categories, &priorities, problems)).collect();
    let question = Question {
        model: model.to_owned(),
        temperature,
        prompt: prompt.to_owned(),
        categories,
        priorities,
        examples,
        reason: raw.reason.value,
        repair: raw.repair.value,
    };
    let provider = provider?;
    Some(IntentPolicy {
        provider,
        fingerprint: fingerprint(names.name(provider), &question),
        question: Arc::new(question),
        deadline: lasting(&raw.deadline, MS..=10 * MINUTE, problems),
        batch_deadline: lasting(&raw.batch_deadline, MS..=60 * MINUTE, problems),
    })
}

fn fingerprint(provider: &str, question: &Question) -> [u8; 32] {
    let said = format!("{provider:?} {question:?}");
    sha256(said.as_bytes())
}

/// Words that differ in more than their case, because an answer is matched without regard to it.
fn choices(list: &At<Vec<At<String>>>, problems: &mut Problems) -> Vec<Choice> {
    if list.is_empty() || list.len() > WORDS_MAX {
        problems.add(&list.at, format!("give 1 to {WORDS_MAX} words"));
    }
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
        problems.add(&given.at, "a word is 1 to 64 bytes of text on one line");
    }
    fits.then_some(word)
}

fn alike(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// The configured choice of a name; a problem where there is none.
fn named<'a>(choices: &'a mut [Choice], name: &At<String>, problems: &mut Problems) -> Option<&'a mut Choice> {
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
        if line.is_empty() || line.len() > DESCRIPTION_BYTES_MAX || line.chars().any(char::is_control) {
            problems.add(&text.at, format!("a description is 1 to {DESCRIPTION_BYTES_MAX} bytes of text on one line"));
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
        if synonyms.len() > WORDS_MAX {
            problems.add(&synonyms.at, format!("give at most {WORDS_MAX} words"));
        }
        for synonym in synonyms.iter() {
            let Some(word) = word(synonym, problems) else { continue };
            let taken = |choice: &Choice| alike(&choice.name, word) || choice.synonyms.iter().any(|s| alike(s, word));
            if choices.iter().any(taken) {
                problems.add(&synonym.at, "stands for something already; keep one");
            } else if let Some(choice) = named(choices, name, problems) {
                choice.synonyms.push(word.to_owned());
            }
        }
    }
}

fn example(given: &RawExample, categories: &[Choice], priorities: &[Choice], problems: &mut Problems) -> Example {
    if given.title.trim().is_empty() && given.body.trim().is_empty() {
        problems.add(&given.body.at, "an example needs a title or a body");
    }
    for text in [&given.title, &given.body] {
        if text.value.len() > EXAMPLE_BYTES_MAX {
            problems.add(
                &text.at,
                format!("longer than {EXAMPLE_BYTES_MAX} bytes; each example makes every prompt longer"),
            );
        }
    }
    let mut answer = |given: &At<Option<String>>, choices: &[Choice]| {
        let word = given.value.as_deref()?.trim();
        let known = choices.iter().find(|choice| alike(&choice.name, word)).map(|choice| choice.name.clone());
        if known.is_none() {
            unknown(word, &given.at, choices, problems);
        }
        known
    };
    Example {
        category: answer(&given.category, categories),
        priority: answer(&given.priority, priorities),
        title: given.title.value.clone(),
        body: given.body.value.clone(),
        org: given.org.value.clone(),
    }
}
