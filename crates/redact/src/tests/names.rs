//! Long lists of names: what is found, and that cuts do not matter.

use std::fmt::Write as _;
use std::sync::Arc;

use super::message;
use crate::{Compare, Names, NamesError, NamesSpec, Rules, RulesSpec};

fn rules(lists: &[(&str, &str, bool)]) -> Arc<Rules> {
    let names = lists.iter().map(|(name, lines, case)| NamesSpec {
        name: (*name).to_owned(),
        names: Names::of_lines(lines, Compare { case: *case, ..Compare::default() })
            .expect("a list"),
        replacement: format!("[{}]", name.to_uppercase()),
    });
    let spec = RulesSpec {
        entities: vec!["email".to_owned()],
        names: names.collect(),
        ..RulesSpec::default()
    };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

const PEOPLE: &str = "Jane Roe\n  Jane Roe-Smith \n\nJosé Müller\nO'Neil\n田中\nRoe\nACME, Inc.\n";

#[test]
fn the_longest_name_at_a_place_is_found_as_whole_words() {
    let rules = rules(&[("who", PEOPLE, false)]);
    for (text, expected) in [
        ("Ask Jane Roe today", "Ask [WHO] today"),
        ("JANE ROE-SMITH, jane roe", "[WHO], [WHO]"),
        ("Jane Roe-Smithson", "[WHO]-Smithson"),
        ("Jane Roes and Jane  Roe", "Jane Roes and Jane  [WHO]"),
        ("JOSÉ MÜLLER o'neil", "[WHO] [WHO]"),
        ("我是田中先生", "我是[WHO]先生"),
        ("acme, inc. and acme, inc", "[WHO] and acme, inc"),
        ("jane.roe@example.com", "[REDACTED_EMAIL]"),
        ("Ｊａｎｅ\u{a0}Roe", "[WHO]"),
        ("Monroe, roe_1 Roe1", "Monroe, [WHO]_1 Roe1"),
        ("", ""),
    ] {
        assert_eq!(message(&rules, text), expected, "{text}");
    }
}

#[test]
fn case_matters_where_the_list_says_so() {
    let rules = rules(&[("exact", "Falcon\nTiger", true), ("any", "heron", false)]);
    assert_eq!(
        message(&rules, "Falcon falcon FALCON Heron Tiger"),
        "[EXACT] falcon FALCON [ANY] [EXACT]"
    );
}

#[test]
fn a_list_says_what_is_wrong_with_it() {
    assert_eq!(Names::of_lines("\n \n", Compare::default()).err(), Some(NamesError::Empty));
    let long = format!("a\n{}\n", "x".repeat(1_025));
    let too_long = NamesError::TooLong { line: 2, bytes: 1_025 };
    assert_eq!(Names::of_lines(&long, Compare::default()).err(), Some(too_long));
    let names = Names::of_lines(PEOPLE, Compare::default()).expect("a list");
    assert_eq!(names.count(), 7);
    assert!(!format!("{names:?}").contains("Jane"));
    let other = Names::of_lines("Jane Roe", Compare::default()).expect("a list");
    assert_ne!(format!("{names:?}"), format!("{other:?}"));
}

#[test]
fn many_names_take_some_fifty_bytes_each() {
    let mut lines = String::new();
    for n in 0..50_000 {
        let _ = writeln!(lines, "Customer{n} of Company{}", n * 7919 % 50_000);
    }
    let names = Names::of_lines(&lines, Compare::default()).expect("a list");
    assert!(names.memory() / names.count() < 60, "{} bytes each", names.memory() / names.count());
    let rules = rules(&[("who", &lines, false)]);
    assert_eq!(
        message(&rules, "customer7 of company5433, Customer7 of Company5434"),
        "[WHO], Customer7 of Company5434"
    );
}

fn inside(lines: &str, case: bool) -> Arc<Rules> {
    let compare = Compare { case, whole_words: false };
    let list = NamesSpec {
        name: "part".to_owned(),
        names: Names::of_lines(lines, compare).expect("a list"),
        replacement: "[PART]".to_owned(),
    };
    let entities = vec!["email".to_owned(), "phone".to_owned()];
    let spec = RulesSpec { entities, names: vec![list], ..RulesSpec::default() };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

#[test]
fn names_inside_longer_words_are_found_if_the_list_asks_for_them() {
    let rules = inside("falcon\nFalcon Heavy\nMüller\n田中\nжар\n", false);
    for (text, expected) in [
        ("falcon", "[PART]"),
        ("xfalcon FALCONRY gyrfalcons", "x[PART] [PART]RY gyr[PART]s"),
        ("falconfalcon", "[PART][PART]"),
        ("Falcon Heavyweight, Falcon Heav", "[PART]weight, [PART] Heav"),
        ("Obermüllers MÜLLEREI", "Ober[PART]s [PART]EI"),
        ("我是田中先生", "我是[PART]先生"),
        ("Пожары", "По[PART]ы"),
        ("ｆａｌｃｏｎ7", "[PART]7"),
        ("fal\u{200b}conry", "[PART]ry"),
        ("falco falcn alcon", "falco falcn alcon"),
        ("bob.falcon@example.com", "[REDACTED_EMAIL]"),
        ("+49 30 1234567falcony", "[REDACTED_PHONE][PART]y"),
    ] {
        assert_eq!(message(&rules, text), expected, "{text}");
    }
    let exact = inside("Falcon", true);
    assert_eq!(message(&exact, "Falconry falconry"), "[PART]ry falconry");
}

/// The places of words in long texts, behind the windows, too; `message` tries cuts of its own.
#[test]
fn names_inside_longer_words_are_found_at_any_place() {
    let rules = inside("falcon\nblue falcon of the north", false);
    for between in [0, 1, 390, 399, 400, 401, 1_023, 1_500, 5_000] {
        let gap = "é".repeat(between);
        let text = format!("a{gap}falcon{gap}xBlue Falcon of the Northx{gap}falco");
        let expected = format!("a{gap}[PART]{gap}x[PART]x{gap}falco");
        assert_eq!(message(&rules, &text), expected, "{between}");
    }
}

#[test]
fn lists_are_equal_if_they_find_the_same() {
    let list = |lines, case, whole_words| {
        Names::of_lines(lines, Compare { case, whole_words }).expect("a list")
    };
    assert_eq!(list("a\nb", false, true), list("a\n\nb\n", false, true));
    for other in [list("a\nc", false, true), list("a\nb", true, true), list("a\nb", false, false)] {
        assert_ne!(list("a\nb", false, true), other);
    }
}

/// Names of many words are looked for in steps: each depth is found, in any text, over windows.
#[test]
fn nested_names_of_many_words_are_found_at_every_depth() {
    let row = |word: &str, n: usize| vec![word; n].join(" ");
    let depths = [1, 2, 3, 6, 7, 8, 11, 12, 13, 23, 24, 25, 40, 200];
    let lines: Vec<String> = depths.iter().map(|n| format!("{} end", row("go", *n))).collect();
    let rules = rules(&[("who", &lines.join("\n"), false)]);
    for n in (0..60).chain(195..206) {
        let text = format!("{} end of it", row("go", n));
        // The last ones of a longer row are a name.
        let fits = depths.iter().filter(|depth| **depth <= n).max();
        let expected = match fits {
            Some(depth) if n > *depth => format!("{} [WHO] of it", row("go", n - depth)),
            Some(_) => "[WHO] of it".to_owned(),
            None => text.clone(),
        };
        assert_eq!(message(&rules, &text), expected, "{n}");
    }
    let inside = inside("abababab\nababababababababab\nabababababababababababx\nb", false);
    for (text, expected) in [
        ("abababab", "[PART]"),
        ("abababababab", "[PART]a[PART]a[PART]"),
        ("ababababababababababab", "[PART]a[PART]a[PART]"),
        ("xabababababababababababx", "x[PART]"),
        ("abababababababababababy", "[PART]a[PART]a[PART]y"),
    ] {
        assert_eq!(message(&inside, text), expected, "{text}");
    }
}
