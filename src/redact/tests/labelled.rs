//! The labelled set: what is to be found, by format and language, and what is to be left alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;

/// What is to be taken out stands between « and » or ‹ and ›.
const CASES: &str = include_str!("cases.tsv");

struct Case {
    tier: &'static str,
    kind: &'static str,
    language: &'static str,
    text: String,
    expected: String,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for line in CASES.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let mut columns = line.splitn(4, '\t');
        let mut next = || columns.next().unwrap_or_else(|| panic!("four columns: {line}"));
        let (tier, kind, language, marked) = (next(), next(), next(), next());
        let mut expected = String::new();
        let mut rest = marked;
        while let Some(i) = rest.find(['«', '‹']) {
            expected.push_str(&rest[..i]);
            let (close, placeholder) =
                if rest[i..].starts_with('«') { ('»', "[REDACTED_EMAIL]") } else { ('›', "[REDACTED_PHONE]") };
            expected.push_str(placeholder);
            let end = rest.find(close).unwrap_or_else(|| panic!("closed: {line}"));
            rest = &rest[end + close.len_utf8()..];
        }
        expected.push_str(rest);
        let text = marked.replace(['«', '»', '‹', '›'], "");
        cases.push(Case { tier, kind, language, text, expected });
    }
    cases
}

/// A redacted text with extensions cut off: they may go or stay.
fn without_extension(text: &str) -> String {
    text.replace("] ext. 12", "]")
}

#[test]
fn the_labelled_set() {
    let rules = rules(&["email", "phone"]);
    let mut table: BTreeMap<(&str, &str, &str), (u32, u32)> = BTreeMap::new();
    let mut wrong = String::new();
    for case in cases() {
        let found = message(&rules, &case.text);
        let plain = String::from_utf8(text(&rules, &case.text).0.into_bytes().to_vec()).expect("UTF-8");
        let right = without_extension(&found) == without_extension(&case.expected);
        if case.tier != "none" || !case.text.contains('"') {
            assert_eq!(plain, found, "as text and as JSON");
        }
        let entry = table.entry((case.kind, case.tier, case.language)).or_default();
        if right {
            entry.0 += 1;
        } else {
            entry.1 += 1;
            let _ = writeln!(wrong, "{} {} {}: {}\n      {}", case.tier, case.kind, case.language, case.text, found);
        }
    }
    println!("{wrong}");
    for ((kind, tier, language), (right, missed)) in &table {
        println!("{kind} {tier} {language}: {right} right, {missed} wrong");
    }
    assert_eq!(wrong, "");
}
