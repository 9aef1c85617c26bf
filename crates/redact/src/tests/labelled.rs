//! The labelled set: what is to be found, by format and language, and what is to be left alone.
//! Keeps COVERAGE.md and `docs/redaction-coverage.md` true.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;

/// Personal data stands between « and » or ‹ and ›.
const CASES: &str = include_str!("cases.tsv");
/// Numbers and the texts around them.
const FORMATS: &str = include_str!("formats.tsv");
const COVERAGE: &str = include_str!("../../COVERAGE.md");
const PAGE: &str = include_str!("../../../../docs/redaction-coverage.md");
/// Languages with fewer cases share a line of the page's first table.
const OWN_LINE: u32 = 20;

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
        let marked = marked.replace("\\n", "\n");
        let mut expected = String::new();
        let mut rest = &marked[..];
        while let Some(i) = rest.find(['«', '‹']) {
            expected.push_str(&rest[..i]);
            let (close, placeholder) = if rest[i..].starts_with('«') {
                ('»', "[REDACTED_EMAIL]")
            } else {
                ('›', "[REDACTED_PHONE]")
            };
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

/// An extension may go or stay; a bare number under a key of JSON in a string gets marks of its
/// own.
fn comparable(text: &str) -> String {
    text.replace("] ext. 12", "]")
        .replace(":\"[REDACTED_PHONE]\"", ":[REDACTED_PHONE]")
        .replace(": \"[RED", ": [RED")
        .replace("PHONE]\"", "PHONE]")
}

#[test]
fn the_labelled_set() {
    let rules = rules(&["email", "phone"]);
    let mut table: BTreeMap<(&str, &str), [u32; 6]> = BTreeMap::new();
    let mut wrong = String::new();
    for case in cases() {
        let found = message(&rules, &case.text);
        let plain =
            String::from_utf8(text(&rules, &case.text).0.into_bytes().to_vec()).expect("UTF-8");
        assert_eq!(comparable(&plain), comparable(&found), "as text and as JSON");
        let right = comparable(&found) == comparable(&case.expected);
        let column = match case.tier {
            "must" => 0,
            "should" => 2,
            _ => 4,
        };
        let row = table.entry((case.kind, case.language)).or_default();
        match case.tier {
            // Known misses count against what should be found.
            "missed" => row[3] += 1,
            _ => row[column + usize::from(!right)] += 1,
        }
        if !right {
            let _ = writeln!(
                wrong,
                "{} {} {}: {}\n      {}",
                case.tier, case.kind, case.language, case.text, found
            );
        }
    }
    assert_eq!(wrong, "");
    let mut markdown = String::from(
        "| entity | language | must: found | missed | should: found | missed | left alone | taken \
            wrongly |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for ((kind, language), n) in &table {
        let _ = writeln!(
            markdown,
            "| {kind} | {language} | {} | {} | {} | {} | {} | {} |",
            n[0], n[1], n[2], n[3], n[4], n[5]
        );
    }
    let page = "docs/redaction-coverage.md";
    for (name, text) in [("crates/redact/COVERAGE.md", COVERAGE), (page, PAGE)] {
        assert!(text.contains(&markdown), "{name} has another table than:\n{markdown}");
    }
    let short = by_language(&table);
    assert!(PAGE.contains(&short), "{page} has another table than:\n{short}");
}

#[test]
fn the_page_has_a_row_for_each_entity_and_names_each_group() {
    let row = |name: &str| PAGE.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    for entity in ENTITIES.iter().filter(|name| !matches!(**name, "email" | "phone")) {
        assert!(row(entity).is_some(), "`{entity}` has no row in docs/redaction-coverage.md");
    }
    for (group, members) in ENTITY_GROUPS {
        for member in *members {
            assert!(ENTITIES.contains(member), "{member} in {group}");
            let listed = row(member).is_some_and(|row| row.contains(&format!("`{group}`")));
            assert!(listed || *group == "@all_ids", "{member} is in {group}: say it in its row");
        }
    }
}

/// The short table of the page: a line for each language, both formats side by side.
fn by_language(table: &BTreeMap<(&str, &str), [u32; 6]>) -> String {
    let mut lines: BTreeMap<&str, [u32; 6]> = BTreeMap::new();
    for ((kind, language), n) in table {
        let line = lines.entry(*language).or_default();
        let at = if *kind == "email" { 0 } else { 2 };
        line[at] += n[0] + n[2];
        line[at + 1] += n[1] + n[3];
        line[4] += n[4];
        line[5] += n[5];
    }
    let mut markdown = String::from(
        "| language | e-mail: found | missed | phone: found | missed | no such data: left alone | \
            taken |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut line = |name: &str, n: &[u32; 6]| {
        let _ = writeln!(
            markdown,
            "| {name} | {} | {} | {} | {} | {} | {} |",
            n[0], n[1], n[2], n[3], n[4], n[5]
        );
    };
    let (own, few): (Vec<_>, Vec<_>) =
        lines.iter().partition(|(_, n)| n.iter().sum::<u32>() >= OWN_LINE);
    for (language, n) in own {
        line(if *language == "any" { "numbers alone" } else { language }, n);
    }
    let rest = few.iter().fold([0; 6], |sum, (_, n)| std::array::from_fn(|i| sum[i] + n[i]));
    line(&format!("{} others", few.len()), &rest);
    markdown
}

#[test]
fn every_format_in_every_place() {
    let rules = rules(&["email", "phone"]);
    let mut wrong = String::new();
    for line in FORMATS.lines().filter(|l| !l.starts_with('#')) {
        let [language, numbers, places] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        for (number, place) in
            numbers.split('|').flat_map(|n| places.split('|').map(move |p| (n, p)))
        {
            let place = place.replace('¦', "|").replace("\\n", "\n");
            let (found, ledger) = text(&rules, &place.replace("{}", number));
            let expected = place.replace("{}", "[REDACTED_PHONE]");
            if found.as_bytes() != expected.as_bytes()
                || ledger.count("phone") as usize != place.matches("{}").count()
            {
                let _ = writeln!(wrong, "{language} {number} in {place:?}: {:?}", found.as_bytes());
            }
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn escapes_and_invisible_characters_hide_nothing() {
    let rules = rules(&["email", "phone"]);
    for case in cases()
        .iter()
        .filter(|c| c.tier == "must" && c.text.is_ascii() && !c.text.contains(['"', '\\', '{']))
    {
        let escaped: String = case.text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect();
        let given = format!(r#"{{"messages":[{{"content":"{escaped}"}}]}}"#);
        let out = body(&rules, formats::CHAT, &given).expect("body");
        let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let found = value["messages"][0]["content"].as_str().expect("text");
        assert_eq!(comparable(found), comparable(&case.expected), "escaped");
        // As an argument of a tool call, escaped once more.
        let inner = format!(r#"{{"note":"{escaped}"}}"#);
        let given =
            serde_json::json!({"messages": [{"tool_calls": [{"function": {"arguments": inner}}]}]})
                .to_string();
        let out = body(&rules, formats::CHAT, &given).expect("body");
        let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let arguments =
            value["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().expect("text");
        let inner: serde_json::Value = serde_json::from_str(arguments).expect("JSON inside");
        assert_eq!(
            comparable(inner["note"].as_str().expect("text")),
            comparable(&case.expected),
            "escaped twice"
        );
        let wide: String = case
            .text
            .chars()
            .map(|c| {
                if c.is_ascii_graphic() {
                    char::from_u32(c as u32 + 0xFEE0).unwrap_or(c)
                } else {
                    c
                }
            })
            .collect();
        if !case.text.contains(['<', '*', '_', '`', '|', '~']) {
            let count = |s: &str| s.matches("[REDACTED_").count();
            assert!(
                count(&message(&rules, &wide)) >= count(&case.expected),
                "full-width: {}",
                case.text
            );
        }
    }
}

#[test]
fn no_control_or_format_character_hides_anything() {
    let rules = rules(&["email", "phone"]);
    let hidden = (0..=8u32)
        .chain(0x0E..=0x1F)
        .chain(0x7F..=0x9F)
        .chain([0xAD, 0x34F, 0x61C, 0x180E, 0x2800, 0x3164]);
    let hidden = hidden
        .chain(0x200B..=0x200F)
        .chain(0x2060..=0x206F)
        .chain(0xFFF0..=0xFFFC)
        .chain(0xE0000..=0xE007F);
    for hidden in hidden.filter_map(char::from_u32) {
        for count in [1, 8] {
            let run = hidden.to_string().repeat(count);
            let text = format!(
                "to jane.{run}roe@exam{run}ple.{run}com, +1415{run}555{run}0132 or (415{run}) \
                    555-01{run}32."
            );
            let expected = "to [REDACTED_EMAIL], [REDACTED_PHONE] or [REDACTED_PHONE].";
            assert_eq!(message(&rules, &text), expected, "{hidden:?}");
        }
    }
}

#[test]
fn nothing_is_left_of_a_number_and_an_address_side_by_side() {
    let rules = rules(&["email", "phone"]);
    let numbers =
        ["+44 20 7946 0958", "+14155550132", "(415) 555-0132", "06 12 34 56 78", "0049301234567"];
    let locals = [
        "x123456",
        "ext5",
        "extension7",
        "ramal7",
        "poste12",
        "anexo3",
        "jane.roe",
        "x12.jane",
        "x5+tag",
    ];
    let marks = [
        " ", ", ", ",", "; ", ";", "|", "/", "\n", "'", "\"", "+", "_", "·", "..", "...", " - ",
        "--", "~", "*", "(", ") ", "[", "<", ">", "=", "&", "?", "!", ":", "•", "、", "。", "%20",
        "%2C", "%3B", "%0A", "%26", "%22", "%2520", "\\n", "\",\"", "`", "{", "}", "#", "$", "^",
        "@ ", "—", "<br>",
    ];
    for (number, local, mark) in numbers
        .iter()
        .flat_map(|n| locals.iter().map(move |l| (n, l)))
        .flat_map(|(n, l)| marks.iter().map(move |m| (n, l, m)))
    {
        for text in
            [format!("{number}{mark}{local}@bank.com"), format!("{local}@bank.com{mark}{number}")]
        {
            let (found, _) = super::super::text(&rules, &text);
            let found = String::from_utf8(found.as_bytes().to_vec()).expect("UTF-8");
            let left = found.replace("[REDACTED_PHONE]", "").replace("[REDACTED_EMAIL]", "");
            let left = mark.chars().fold(left, |left, c| left.replacen(c, "", 1));
            assert!(left.len() < 3 && !left.contains("bank"), "{text:?}: {found:?}");
        }
    }
}

#[test]
fn base64_ends_where_other_text_begins() {
    let rules = rules(&["email", "phone"]);
    let line = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHx";
    for width in [60, 64, 76] {
        for end in ["\n", "\r\n"] {
            let lines =
                [&line[..width], &line[..width], "gljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg"].join(end);
            let given = format!("data:image/png;base64,{lines}{end}+44 20 7946 0958 is Jane's");
            let expected = format!("[REDACTED_ATTACHMENT]{end}[REDACTED_PHONE] is Jane's");
            assert_eq!(message(&rules, &given), expected, "{width}");
        }
    }
    for (given, expected) in [
        ("data:image/png;base64,AAAA\n+44 20 7946 0958", "[REDACTED_ATTACHMENT]\n[REDACTED_PHONE]"),
        ("data:image/png;base64,AAAA\nHello world", "[REDACTED_ATTACHMENT]\nHello world"),
        ("data:image/png;base64, AAA and text", "[REDACTED_ATTACHMENT] and text"),
        ("data:image/png; base64,AAAA is it", "[REDACTED_ATTACHMENT] is it"),
        ("data:text/plain,hello%20jane%20%22x%22 world", "[REDACTED_ATTACHMENT] world"),
    ] {
        assert_eq!(message(&rules, given), expected);
    }
    for length in [190, 300, 480, 500, 510, 520, 3000] {
        let given = format!("x data:text/plain;a={};base64,SGVsbG8= tail", "x".repeat(length));
        assert_eq!(message(&rules, &given), "x [REDACTED_ATTACHMENT] tail", "{length}");
    }
    // An invisible character goes with what follows it, wherever the body is cut.
    for (shown, unit) in
        [("data:image/png,", "\u{ad}a"), ("data:text/plain;base64,", "AAA\u{200b}A")]
    {
        let given = format!("x {shown}{} tail", unit.repeat(500));
        assert_eq!(message(&rules, &given), "x [REDACTED_ATTACHMENT] tail", "{shown}");
    }
}
