//! Texts that once kept a value, or a part of one.

use super::*;

/// Every entity, as they stand.
fn all() -> Arc<Rules> {
    let entities: Vec<&str> = ENTITIES.to_vec();
    rules(&entities)
}

/// The rules of a policy without a word of its own, and two words.
fn words(words: &[&str]) -> Arc<Rules> {
    let terms = vec![TermsSpec {
        name: "t".into(),
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        replacement: "[TERM]".into(),
    }];
    let spec = RulesSpec { entities: vec!["phone".into()], terms, ..RulesSpec::default() };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

/// Texts with what is to be found between « and »; also far from the end of the text, where a place
/// is judged before all of it has come, and in plain text.
fn check(rules: &Arc<Rules>, cases: &[&str]) {
    let mut wrong = Vec::new();
    for case in cases {
        let given = case.replace(['«', '»'], "");
        let long = " x".repeat(400);
        for (before, after) in [("", ""), ("", long.as_str()), (long.as_str(), long.as_str())] {
            let before = if before.is_empty() { String::new() } else { format!("{before} ") };
            let text = format!("{before}{given}{after}");
            let out = message(rules, &text);
            let plain = super::text(rules, &text).0;
            let plain = String::from_utf8_lossy(plain.as_bytes()).into_owned();
            let (mut left, mut fits) = (out.as_str(), true);
            let expected = format!("{before}{case}{after}");
            for (i, part) in expected.split(['«', '»']).enumerate() {
                if i % 2 == 1 {
                    let end = left.starts_with('[').then(|| left.find(']')).flatten();
                    fits &= end.is_some();
                    left = &left[end.map_or(0, |end| end + 1)..];
                } else {
                    fits &= left.starts_with(part);
                    left = left.strip_prefix(part).unwrap_or(left);
                }
            }
            if !fits || !left.is_empty() || plain != out {
                let short = |text: &str| text.replace(long.as_str(), "…");
                wrong.push(format!("{case}\n  {}\n  {}", short(&out), short(&plain)));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_secret_behind_a_number_is_found_before_one_further_on() {
    let far = "<\"x \" x> ".repeat(120);
    for (first, second) in [
        ("AKIAIOSFODNN7EXAMPLE", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abcdefghijk"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF"),
        ("sk-abcdefghij0123456789abcd", "-----BEGIN PRIVATE KEY-----"),
        ("ghp_abcdefghij0123456789abcdefghij01", "xoxb-1234567890-abcdefghij"),
    ] {
        for number in ["+44 20 7946 0958", "jane@example.com. +1 415 555 0132"] {
            for gap in [1, 40, 200, 500, far.len()] {
                let case = format!("{number}{first} {}{second}", &far[..gap]);
                let out = message(&all(), &case);
                assert!(!out.contains(&first[4..]), "{case}\n{out}");
                assert!(!out.contains(&second[4..12]), "{case}\n{out}");
            }
        }
    }
}

#[test]
fn escapes_within_strings_behind_prose() {
    check(
        &all(),
        &[
            r#"Result: {"a":"{\"e\":\"«j\\u00fcrgen@m\\u00fcller.de»\"}"}"#,
            r#"Result: {"a":"{\"e\":\"«06\\u00a012\\u00a034\\u00a056\\u00a078»\"}"}"#,
            r#"Result: {"a":"{\"e\":\"«jan\\u0065\\u0040example.com»\"}"}"#,
            r#"Result: {"a":"{\"e\":\"«\\u006aane@example.com», «\\u002b14155550132»\"}"}"#,
            "```json\n{\"a\":\"{\\\"e\\\":\\\"«j\\\\u00fcrgen@m\\\\u00fcller.de»\\\"}\"}\n```",
            "```json\n{\"a\":\"{\\\"tel\\\":\\\"«06\\\\u00a012\\\\u00a034\\\\u00a056\\\\u00a078»\\\"}\"}\n```",
            r#"see {"a":"{\"b\":\"{\\\"c\\\":\\\"«jan\\\\u0065@m\\\\u00fcller.de»\\\"}\"}"}"#,
            r#"{"a":"see {\"b\":\"{\\\"c\\\":\\\"«jan\\\\u0065\\\\u0040example.com»\\\"}\"}"}"#,
            r#"log: "«\\u006aane\\x40example.com»""#,
            r#"?a=«jane\u0040example.com»"#,
        ],
    );
}

#[test]
fn no_escape_is_cut() {
    check(
        &all(),
        &[
            r#"print("To=\r\n«jane.roe@example.com»")"#,
            r#"print("To: a\r\n«jane.roe@example.com»\r\n")"#,
            r#""line\tone«\tjane.roe@example.com»\nx""#,
            r#"a = "b\\n«jane.roe@example.com»""#,
            r#"{"code":"print(\"To=\r\n«jane.roe@example.com»\")"}"#,
            r#"{"code":"print(\"To=\\r\\n«jane.roe@example.com»\")"}"#,
        ],
    );
    // A JSON string stays a JSON string.
    for text in [
        r#""print(\"To=\r\njane.roe@example.com\")""#,
        r#""end\njane.roe@example.com""#,
        r#""end\bjane.roe@example.com, end\fbob.roe@example.com""#,
        r#""end\tnina.roe@example.com\u0020+14155550132""#,
        r#""a\u002b14155550132, \\u002b14155550132, \u006aane@example.com""#,
    ] {
        let out = message(&all(), text);
        let inner = serde_json::from_str::<String>(&out);
        assert!(inner.is_ok(), "{text} became {out}");
        assert!(!out.contains("roe") && !out.contains("555") && !out.contains("ane@"), "{out}");
    }
}

#[test]
fn percent_encoded_characters() {
    check(
        &all(),
        &[
            "«jane%40m%C3%BCller.de»",
            "phone=«06%C2%A012%C2%A034%C2%A056%C2%A078»",
            "call «%EF%BC%8B14155550132»",
            "«j%C3%BCrgen%40m%c3%bcller.de»",
            "x?a=«j%25C3%25BCrgen@m%25c3%25bcller.de»",
            "«jane@%D0%BF%D1%80%D0%B8%D0%BC%D0%B5%D1%80.%D1%80%D1%84»",
            "«jane%C3%40example.com» %C3%C3%28 %E2%82",
            "%F0%9F%93%9E «%2B14155550132»",
        ],
    );
    check(
        &words(&["Müller GmbH", "Blue Harbour"]),
        &[
            "q=«M%C3%BCller%20GmbH»&b",
            "«M%C3%BCller%20GmbH»",
            "«M%c3%bcller GmbH»",
            "q=«Blue%20Harbour»",
        ],
    );
    let harmless = all().is_harmless(r"jane\u0040example.com")
        || rules(&["email"]).is_harmless(r"jane\u0040example.com");
    assert!(!harmless);
}

#[test]
fn a_plus_is_a_space_in_a_form() {
    check(
        &all(),
        &[
            "Body=call+me+at+«415+555+0132»",
            "q=call+«%28415%29+555-0132»",
            "a=1&Body=call+me+at+«415+555+0132»&c=d",
            "https://example.org/s?q=phone+«415-555-0132»+now",
            "to=«jane+news@example.com»",
            "tel=«+14155550132»&x=call+«+14155550132»",
        ],
    );
    check(
        &words(&["Blue Harbour"]),
        &["q=«Blue+Harbour»", "a=b&q=the+«Blue+Harbour»+deal", "Blue+Harbour", "x = Blue+Harbour"],
    );
}

#[test]
fn marks_of_emphasis_and_names_before_a_value() {
    check(
        &all(),
        &[
            "__«sk-abcdefghij0123456789abcd__»",
            "**«sk-abcdefghij0123456789abcd»**",
            "__«4111 1111 1111 1111»__",
            "__«4111111111111111»__, _«4111 1111 1111 1111»_",
            "__my card is «4111 1111 1111 1111»__",
            "__«DE89370400440532013000»__",
            "__«078-05-1120»__",
            "__«8.8.8.8»__ and ~~«8.8.8.8»~~",
            "~~«4111 1111 1111 1111»~~ ~~«078-05-1120»~~ ~~«DE89370400440532013000»~~",
            "~~«sk-abcdefghij0123456789abcd»~~",
            "AWS_«AKIAIOSFODNN7EXAMPLE»",
            "__«AKIAIOSFODNN7EXAMPLE»__",
            "IBAN«DE89370400440532013000»",
            "IBAN_«DE89370400440532013000»",
            "«AB123456C»",
            "dateOfBirth=«1981-03-12»T00:00:00Z",
            r"key:\n«AKIAIOSFODNN7EXAMPLE»\nnext:\n«8.8.8.8»",
            r"a:\n«DE89370400440532013000»",
            "__«2001:db8::8:1»__",
        ],
    );
    let rules = rules(&["credit_card", "us_ssn", "ip", "iban", "api_key"]);
    check(
        &rules,
        &[
            "id_4111111111111111 x_4111111111111111_y a__4111111111111111__b",
            "order_078-05-1120_x v_8.8.8.8 lib__8.8.8.8",
            "use_npm_config_for_building_v2_packages_of_all",
            "XAKIAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPLE7",
            "VIBANDE89370400440532013000X",
        ],
    );
}

#[test]
fn addresses_with_rare_characters() {
    check(
        &all(),
        &[
            "[«\"jane roe\"@example.com»]",
            "to [«\"jane roe\"@example.com», «\"bob\"@example.com»]",
            "{\"to\":[«\"jane roe\"@example.com»]}",
            "mail «jane#roe@example.com» now",
            "mail «jane|roe@example.com» now",
            "mail «jane?r@example.com» now",
            "email=\n«jane@example.com»",
            "user_email=\r\n«jane.roe@example.com»",
            "To=\n«jane@example.com»",
            "«jane.r=\noe@example.com»",
            "https://h.example/p?«user@example.com» https://h.example/p#«user@example.com»",
            "page.html?«jane@example.com» #«jane@example.com» a/b#«jane@example.com»",
            "|Name|«jane@example.com»|x| |«jane@example.com»|",
            "name|«jane@example.com»|415",
        ],
    );
}
