//! Telephone numbers beside other text: numbers of a list or a table, marks and words glued to
//! them, and text that only looks like one.

use super::*;

/// Texts with what is to be found between « and ».
fn check(cases: &[&str]) {
    let rules = rules(&["email", "phone"]);
    let mut wrong = Vec::new();
    for case in cases {
        let (mut given, mut expected) = (String::new(), String::new());
        for (i, part) in case.split(['«', '»']).enumerate() {
            given.push_str(part);
            expected.push_str(if i % 2 == 1 { "[REDACTED_PHONE]" } else { part });
        }
        // Behind much text, too: a place is judged as soon as enough of it is there.
        for rest in ["", &" and so on".repeat(80)] {
            let found = message(&rules, &format!("{given}{rest}"));
            if found != format!("{expected}{rest}") {
                wrong.push(format!("{case}\n  {}", found.trim_end_matches(" and so on")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fields_of_tables_and_items_of_lists_are_found() {
    check(&[
        "1,«415-555-0132»,x",
        "7,«(415) 555-0132»,London",
        "Jane,34,«07911 123456»,London",
        "Jane,34,«06 12 34 56 78»,Paris",
        "2026-11-30,«(415) 555-0132»,ok",
        "id,phone\n1,«(415) 555-0132»",
        "id;12:«(415) 555-0132»;x",
        "Line 2:«415-555-0132»",
        "Line 12:«020 7946 0018» is called",
        "1.«+44 20 7946 0958»",
        "1.«+14155550132»",
        "1.«+1 (415) 555-0132»",
        "12.«(415) 555-0132»",
        "a,1,«(030) 1234567»,x",
        "phones:\n - «0612345678»\n - «0612345679»",
        "phones:\n* «0612345678»\n* «0612345679»\n* «0612345670»",
        "name,phone\nJane,«4155550132»\nBob,«4155550133»\nAda Lovelace,«4155550134»\n",
        "name;phone;city\nJane;«4155550132»;Rome\nBob;«4155550133»;Oslo",
        "| name | phone |\n|---|---|\n| Jane | «0612345678» |\n| Bob | «0612345679» |",
        "name\tphone\nJane\t«4155550132»\nBob\t«4155550133»",
        "phone numbers «4155550132» «4155550133»",
        "«06 12 34 56 78»  «06 12 34 56 79»",
        "Tlf «12 34 56 78»  «12 34 56 79»",
        "phone: «081234 50065» or «081234 50065»",
    ]);
}

/// Longer than the window of the text that is looked at.
#[test]
fn a_column_goes_on_through_a_long_table() {
    let rows = |number: &dyn Fn(u32) -> String| {
        let row = |i: u32| format!("Jane Roe,{},Bristol Road in London\n", number(i));
        format!("name,phone,address\n{}", (0..300).map(row).collect::<String>())
    };
    let found = message(
        &rules(&["email", "phone"]),
        &rows(&|i| (4_155_550_132 + u64::from(i)).to_string()),
    );
    assert_eq!(found, rows(&|_| "[REDACTED_PHONE]".to_owned()));
}

#[test]
fn columns_of_other_numbers_stay() {
    check(&[
        "name,phone,born\nJane,«4155550132»,19810312\nBob,«4155550133»,19810313",
        "name,phone,stock\nJane,«415-555-0132»,77\nBob,4155,1234567890\nAda,12345678901,3",
        "1,234,567,890 and 1,415,555 and 12,020 7946",
        "0.5,0123 and 12:34:56,0123 and 20:55:07.360",
        "lat 12,0201 lon 7,0918 and 3,05 12",
        "01 02 03 04 05 06 07 08 09 10",
    ]);
}

#[test]
fn words_and_marks_glued_to_a_number_cut_nothing() {
    check(&[
        "«+33 6 12 34 56 78»et",
        "«+86 138 0013 8000»and",
        "«+41 44 668 18 00»oder",
        "«+44 7911 123456»and",
        "«+46 70 123 45 67»och",
        "«+49 30 901820»und",
        "«+55 11 91234-5678»e",
        "«+90 532 123 45 67»ve",
        "«+380 44 123 45 67»and",
        "«+886 2 2311 3731»and",
        "«+49 30 901820» 10am",
        "«+33 6 12 34 56 78».24/7",
        "«+44 20 7946 0958».24/7",
        "«+14155550132».1",
        "__«415-555-0132»__",
        "__«(415) 555-0132»__",
        "call __«(415) 555-0132»__ now",
        "~~«415-555-0132»~~",
        "call«(415) 555-0132»",
        "Jane Smith«(415) 555-0132»",
        "Jane-«(415) 555-0132»",
        "Home/«415-555-0132»",
        "mobile«0049 30 901820»",
        "אפשר להתקשר ל«050-1234567» בבקשה",
        "Berlin 10115«+49 30 901820»",
        "tel: «0412 345 678»,5",
        "phone: «+49 8701 234511965»",
        "Handy («40108»)",
    ]);
}

#[test]
fn versions_dates_and_tables_stay() {
    check(&[
        "Fix a call to f.\n\n1.7.2 (2023-03-21)",
        "Fix a call to f.\n\n## 1.10.3 (2024-01-09)",
        "Telegram 10.5.0 (4123)",
        "fix tool call\n- 1157340: fix",
        "the call took 1234567 ns",
        "cell culture 10 000 000 cells",
        "DFARS 252.227-7013 and 252.227-7014",
        "[012][0-9]-[0123][0-9]",
        "[*0209.0020.0002]",
        "001 002 003 004 005",
    ]);
}
