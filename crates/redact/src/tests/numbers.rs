//! The example numbers of every region and type in libphonenumber's metadata, in the texts around
//! them. The examples are generated: see `scripts/phone-numbers`.

use std::fmt::Write;

use super::*;

/// Region, type, E.164, international, national.
const EXAMPLES: &str = include_str!("numbers.tsv");

/// Sentences without a telephone word: an international number needs none.
const SENTENCES: [&str; 10] = [
    "{}",
    "It is {}.",
    "Jane Roe, {}, London",
    "Sie ist unter {} da!",
    "C'est le {} ; merci",
    "Es el ({}), gracias",
    "|name|{}|",
    "我是{}。",
    "Это {}, спасибо",
    "see \"{}\"\nand more",
];

/// Sentences with one, in which a national number is known.
const CALLS: [&str; 10] = [
    "Tel.: {}",
    "My phone number is {}.",
    "Meine Handynummer ist {}, danke",
    "Téléphone : {} !",
    "Mi teléfono es {} (casa)",
    "Telefoon {}",
    "電話：{}。",
    "Телефон: {}, спасибо",
    "phone={}",
    "Mobile: {}\nJane",
];

/// Of all national numbers in all sentences at most so many are missed: those of four digits.
const NATIONAL_MISSED_PERCENT_MAX: f64 = 1.0;

/// The number of texts, and the misses.
fn misses<'a>(
    numbers: impl Iterator<Item = (&'a str, &'a str)>,
    sentences: &[&str],
) -> (usize, Vec<String>) {
    let rules = rules(&["email", "phone"]);
    let (mut count, mut missed) = (0, Vec::new());
    for (about, number) in numbers {
        for sentence in sentences {
            let (found, _) = text(&rules, &sentence.replace("{}", number));
            let expected = sentence.replace("{}", "[REDACTED_PHONE]");
            count += 1;
            if found.as_bytes() != expected.as_bytes() {
                let found = String::from_utf8_lossy(found.as_bytes()).into_owned();
                missed.push(format!("{about} {number} in {sentence:?}: {found:?}"));
            }
        }
    }
    (count, missed)
}

fn examples(form: usize) -> impl Iterator<Item = (&'static str, &'static str)> {
    EXAMPLES.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns.len(), 5, "{line}");
        let about = columns[0].len() + 1 + columns[1].len();
        Some((&line[..about], columns[form])).filter(|(_, number)| !number.is_empty())
    })
}

#[test]
fn international_numbers_of_every_region_and_type() {
    for form in [2, 3] {
        for sentences in [SENTENCES, CALLS] {
            let (count, missed) = misses(examples(form), &sentences);
            assert!(count > 9000 && missed.is_empty(), "{} of {count}: {missed:#?}", missed.len());
        }
    }
}

#[test]
fn national_numbers_of_every_region_and_type_beside_a_word() {
    let (count, missed) = misses(examples(4), &CALLS);
    let percent = missed.len() as f64 * 100.0 / count as f64;
    let mut list = String::new();
    missed.iter().for_each(|miss| _ = writeln!(list, "{miss}"));
    assert!(
        count > 9000 && percent <= NATIONAL_MISSED_PERCENT_MAX,
        "{percent:.2} % of {count} missed:\n{list}"
    );
    // No number is cut: a rest that leaves is a leak.
    let cut: Vec<&String> = missed.iter().filter(|miss| miss.contains("REDACTED")).collect();
    assert!(cut.is_empty(), "{cut:#?}");
}
