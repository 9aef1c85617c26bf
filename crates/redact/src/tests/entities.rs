//! Entities by policy, patterns and words, allow lists, plain text, answers.

use super::*;

#[test]
fn entities_are_taken_out_when_the_policy_asks() {
    for (entity, given, expected) in [
        ("credit_card", "card 4111 1111 1111 1111.", "card [REDACTED_CREDIT_CARD]."),
        ("credit_card", "4111-1111-1111-1111", "[REDACTED_CREDIT_CARD]"),
        (
            "credit_card",
            "378282246310005, 5500000000000004",
            "[REDACTED_CREDIT_CARD], [REDACTED_CREDIT_CARD]",
        ),
        ("credit_card", "4111 1111 1111 1112", "4111 1111 1111 1112"),
        (
            "credit_card",
            "id a4111111111111111 0000000000000000",
            "id a4111111111111111 0000000000000000",
        ),
        ("iban", "IBAN DE89 3704 0044 0532 0130 00!", "IBAN [REDACTED_IBAN]!"),
        ("iban", "GB29NWBK60161331926819", "[REDACTED_IBAN]"),
        ("iban", "GB29NWBK60161331926818", "GB29NWBK60161331926818"),
        ("us_ssn", "ssn 219-09-9999", "ssn [REDACTED_US_SSN]"),
        (
            "us_ssn",
            "000-12-3456 666-12-3456 [REDACTED_US_SSN] 1219-09-9999",
            "000-12-3456 666-12-3456 [REDACTED_US_SSN] 1219-09-9999",
        ),
        ("us_ssn", "900-70-1234, SSN 999881234", "[REDACTED_US_SSN], SSN [REDACTED_US_SSN]"),
        (
            "credit_card",
            // Maestro of 12 and 13 digits, JCB's old form, its range 35.
            "501800000009 6759649826430 213100000000001 3500000000000009 5018 0000 0009",
            "[REDACTED_CREDIT_CARD] [REDACTED_CREDIT_CARD] [REDACTED_CREDIT_CARD] \
             [REDACTED_CREDIT_CARD] [REDACTED_CREDIT_CARD]",
        ),
        ("credit_card", "2 3 4 5 6 7 8 9 10 11 12 13", "2 3 4 5 6 7 8 9 10 11 12 13"),
        ("credit_card", "24226576 62875866", "24226576 62875866"),
        ("us_ssn", "SSN: 123456789, id 123456789", "SSN: [REDACTED_US_SSN], id 123456789"),
        ("us_ssn", "Social Security Number 123456789", "Social Security Number [REDACTED_US_SSN]"),
        ("us_ssn", "sessn 123456789, ssn 1234567890", "sessn 123456789, ssn 1234567890"),
        (
            "ip",
            "from 192.168.1.20:8080 to 2001:db8::1.",
            "from [REDACTED_IP]:8080 to [REDACTED_IP].",
        ),
        ("ip", "1.1.1.1", "[REDACTED_IP]"),
        (
            "ip",
            "v1.2.3.4.5 256.1.1.1 std::fmt 12:30:45 a::b",
            "v1.2.3.4.5 256.1.1.1 std::fmt 12:30:45 a::b",
        ),
        ("api_key", "key sk-proj-abcDEF1234567890abcDEF123456.", "key [REDACTED_API_KEY]."),
        ("api_key", "AKIAIOSFODNN7EXAMPLE is aws", "[REDACTED_API_KEY] is aws"),
        ("api_key", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "[REDACTED_API_KEY]"),
        (
            "api_key",
            "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk, ok",
            "Bearer [REDACTED_API_KEY], ok",
        ),
        (
            "api_key",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----\nafter",
            "[REDACTED_API_KEY]\nafter",
        ),
        (
            "api_key",
            "dapi0123456789abcdef0123456789abcdef, dapi0123",
            "[REDACTED_API_KEY], dapi0123",
        ),
        ("api_key", "GOCSPX-abcDEF1234567890abcDEF123456", "[REDACTED_API_KEY]"),
        ("api_key", "hvs.CAESIJabcdef1234567890abcdef!", "[REDACTED_API_KEY]!"),
        ("api_key", "xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4OTA", "[REDACTED_API_KEY]"),
        ("api_key", "sk-learn-is-a-library-for-machines", "sk-learn-is-a-library-for-machines"),
        ("api_key", "-----BEGIN CERTIFICATE-----\nMIIE", "-----BEGIN CERTIFICATE-----\nMIIE"),
    ] {
        assert_eq!(message(&rules(&[entity]), given), expected, "{entity}");
        assert_eq!(message(&rules(&[]), given), given, "nothing asked for");
    }
}

#[test]
fn long_secrets_are_taken_whole() {
    let rules = rules(&["api_key"]);
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----",
        "MIIEabcd0123\n".repeat(2_000)
    );
    assert_eq!(message(&rules, &format!("a {key} b")), "a [REDACTED_API_KEY] b");
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.sig_-1", "a0B1".repeat(5_000));
    assert_eq!(message(&rules, &format!("a {jwt}. b")), "a [REDACTED_API_KEY]. b");
}

fn custom(pattern: &str, replacement: &str, words: &[&str]) -> Result<Rules, Vec<RulesError>> {
    Rules::compile(&RulesSpec {
        entities: vec!["email".into()],
        custom: vec![CustomSpec {
            name: "code".into(),
            pattern: pattern.into(),
            replacement: replacement.into(),
        }],
        terms: if words.is_empty() {
            vec![]
        } else {
            vec![TermsSpec {
                name: "project".into(),
                words: words.iter().map(|w| (*w).to_owned()).collect(),
                replacement: "[PROJECT]".into(),
            }]
        },
        ..RulesSpec::default()
    })
}

#[test]
fn a_quoted_plus_is_seen_in_a_name_however_it_is_cut() {
    let entities = vec!["email".into(), "phone".into()];
    let spec = RulesSpec { entities, ..RulesSpec::default() };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    let given = r#"{"messages":[{"role":"or =2B44=2020=207946=200958","content":"a"}]}"#;
    let whole = body(&rules, formats::CHAT, given).expect("body");
    assert!(whole.contains(r#""role":"or [REDACTED_PHONE]""#), "{whole}");
}

#[test]
fn patterns_and_words_of_the_policy() {
    let rules =
        Arc::new(custom(r"\bEMP-\d{4}\b", "\"<emp>\"\n", &["Blue Heron", "heron"]).expect("rules"));
    assert_eq!(
        message(
            &rules,
            "EMP-1234 and ＥＭＰ-5678, blue heron, Heron, herons, bob@example.com EMP-12345"
        ),
        "\"<emp>\"\n and \"<emp>\"\n, [PROJECT], [PROJECT], herons, [REDACTED_EMAIL] EMP-12345"
    );
    // A longer word of the list that is none here does not hide a shorter one.
    let list = ["Blue", "Blue Heron", "Blue Heron Nest"];
    let nested = Arc::new(custom("x{9}", "", &list).expect("rules"));
    for (given, expected) in [
        ("Blue Herons", "[PROJECT] Herons"),
        ("Blue Heron Nests, Blue", "[PROJECT] Nests, [PROJECT]"),
        ("bob@example.comBlue Herons", "[REDACTED_EMAIL] Herons"),
        ("Blues", "Blues"),
    ] {
        assert_eq!(message(&nested, given), expected, "{given}");
    }
    let long = format!("{}EMP-1234 {}", "x ".repeat(5_000), "y ".repeat(5_000));
    assert_eq!(message(&rules, &long), long.replace("EMP-1234", "\"<emp>\"\n"));
    let nested =
        r#"{"messages":[{"tool_calls":[{"function":{"arguments":"{\"a\":\"EMP-1234\"}"}}]}]}"#;
    let out = body(&rules, formats::CHAT, nested).expect("body");
    assert!(out.contains(r#"{\"a\":\"\\\"<emp>\\\"\\n\"}"#), "{out}");
    let (_, ledger) = text(&rules, "EMP-1234 heron");
    assert_eq!((ledger.count("code"), ledger.count("project"), ledger.count("email")), (1, 1, 0));
    for (pattern, words) in
        [("(", &["a"][..]), ("a*", &["a"]), ("a", &[""]), ("(a{1000}){1000}", &["a"])]
    {
        assert!(custom(pattern, "", words).is_err(), "{pattern}");
    }
    let problems = Rules::compile(&RulesSpec {
        entities: vec!["email".into(), "e-mail".into()],
        attachments: Attachments::Drop,
        ..RulesSpec::default()
    });
    assert_eq!(
        problems.err().map(|p| p[0].to_string()).as_deref(),
        Some("unknown entity `e-mail`")
    );
}

/// A credential never stays, whatever the list of allowed values says.
#[test]
fn an_allowed_credential_does_not_stay() {
    let key = "AKIAIOSFODNN7EXAMPLE";
    let spec = RulesSpec {
        entities: vec!["api_key".into()],
        allow: vec![key.to_owned()],
        ..RulesSpec::default()
    };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    assert_eq!(message(&rules, key), "[REDACTED_API_KEY]");
}

#[test]
fn allowed_values_stay() {
    let spec = RulesSpec {
        entities: vec!["email".into(), "phone".into()],
        allow: vec![
            "Support@Example.com".to_owned(),
            "@example.org".to_owned(),
            "+1 (800) 555-0199".to_owned(),
        ],
        ..RulesSpec::default()
    };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    let nothing = RulesSpec { allow: vec!["- ".to_owned()], ..spec };
    assert!(matches!(
        Rules::compile(&nothing).expect_err("a problem")[..],
        [RulesError::Allow { index: 0 }]
    ));
    assert_eq!(
        message(
            &rules,
            "support@example.com bob@example.com ann@example.org x@evil-example.org +1 800 555 \
                0199 +1 800 555 0198"
        ),
        "support@example.com [REDACTED_EMAIL] ann@example.org [REDACTED_EMAIL] +1 800 555 0199 \
            [REDACTED_PHONE]"
    );
}

#[test]
fn answers_are_redacted_for_the_log() {
    let rules = rules(&["email", "phone"]);
    let cut = |given: &str, whole: bool, max: usize| {
        let kept = answer(&rules, &Bytes::copy_from_slice(given.as_bytes()), whole, max);
        let body = kept.body.unwrap_or_default();
        (String::from_utf8(body.into_bytes().to_vec()).expect("UTF-8"), kept.is_cut)
    };
    let given = r#"{"id":"chatcmpl-1","choices":[{"message":{"content":"bob\u0040example.com","type":"hologram"}}]}"#;
    let (out, was_cut) = cut(given, true, 1000);
    assert!(out.contains(r#""content":"[REDACTED_EMAIL]""#) && !was_cut, "{out}");
    assert_eq!(
        cut("Bad key of bob@example.com", true, 1000),
        ("\"Bad key of [REDACTED_EMAIL]\"".into(), false)
    );
    assert_eq!(
        cut("{broken bob@example.com", true, 1000),
        ("\"{broken [REDACTED_EMAIL]\"".into(), false)
    );
    assert_eq!(cut("ééééééé", true, 15), ("\"éé…[cut]\"".into(), true));
    assert_eq!(cut("ééé", true, 3), (String::new(), true), "not even the mark fits");
    let (out, was_cut) = cut(r#"{"a":"hello","b":"bob@exam"#, false, 1000);
    assert!(out.starts_with(r#"{"a":"hello""#) && !out.contains("bob") && was_cut, "{out}");
    let image = format!(r#"{{"data":[{{"b64_json":"{}"}}]}}"#, "QUJD".repeat(10_000));
    assert_eq!(
        cut(&image, true, 1000),
        (r#"{"data":[{"b64_json":"[REDACTED_ATTACHMENT]"}]}"#.into(), false)
    );
}

#[test]
fn plain_text_in_any_pieces() {
    let rules = rules(&["email", "phone"]);
    let given = "a bob@example.com é — 電話０３－１２３４－５６７８ \u{200b}x".as_bytes().to_vec();
    let mut given = given;
    given.extend_from_slice(b" \xe9\xff tail \xe2\x82");
    let run = |sizes: usize| {
        let mut redactor = TextRedactor::new(&rules);
        let mut out = Vec::new();
        for piece in given.chunks(sizes) {
            redactor.push(Bytes::copy_from_slice(piece), &mut out);
        }
        redactor.finish(&mut out);
        out.iter().flat_map(|r| r.as_bytes().to_vec()).collect::<Vec<u8>>()
    };
    let whole = run(usize::MAX);
    for sizes in 1..20 {
        assert_eq!(run(sizes), whole, "{sizes}");
    }
    assert!(whole.ends_with(b" \xe9\xff tail \xe2\x82"), "what is no UTF-8 stays");
    let text = String::from_utf8_lossy(&whole).into_owned();
    assert!(text.contains("[REDACTED_EMAIL]") && text.contains("[REDACTED_PHONE]"), "{text}");
}

/// Bodies without an end, as a beginning, what goes on, and an end.
const ENDLESS: &[(&str, &str, &str)] = &[
    (
        r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"#,
        "QUJD",
        r#""}}]}]}"#,
    ),
    (r#"{"messages":[{"content":""#, "some words 12 and data ", r#""}]}"#),
    (r#"{"messages":[{"content":""#, "\\u0061\\u0040", r#""}]}"#),
    (r#"{"messages":[{"content":""#, "\u{200b}", r#""}]}"#),
    // Invisible characters, escaped, between letters, in JSON inside a string, as many as are
    // looked through.
    (
        r#"{"messages":[{"content":""#,
        "a\\u200b\\u200b\\u200b\\u200b\\u200b\\u200b\\u200b\\u200b",
        r#""}]}"#,
    ),
    (
        r#"{"messages":[{"content":"{\"a\":\"{"#,
        "\\\\u0061\\\\u200b\\\\u200b\\\\u200b\\\\u200b\\\\u200b",
        r#"\"}"}]}"#,
    ),
    (r#"{"messages":[{"content":"data:a/b;base64,"#, "QUJD", r#""}]}"#),
    (r#"{"messages":[{"content":[{"text":""#, "words ", r#"","type":"text"}]}]}"#),
    (r#"{"messages":[{"content":[{"text":""#, "\\u200b\\u0061@", r#"","type":"text"}]}]}"#),
    (
        r#"{"messages":[{"content":["#,
        r#"{"text":"a@x.org","type":"text"},"#,
        r#"{"text":"","type":"text"}]}]}"#,
    ),
    (r#"{"metadata":{""#, "long key ", r#"":1}}"#),
    (r#"{"metadata":{"a":["#, r#""+1 415 555 0132","#, r#"1]}}"#),
];

#[test]
fn memory_does_not_grow_with_the_body() {
    let everything = Rules::compile(&RulesSpec {
        entities: ENTITIES.iter().map(|e| (*e).to_owned()).collect(),
        custom: vec![CustomSpec {
            name: "c".into(),
            pattern: r"\bEMP-\d+".into(),
            replacement: "[C]".into(),
        }],
        terms: vec![TermsSpec {
            name: "t".into(),
            words: vec!["heron".into()],
            replacement: "[T]".into(),
        }],
        restore: true,
        ..RulesSpec::default()
    });
    for rules in [rules(&["email", "phone"]), Arc::new(everything.expect("rules"))] {
        for (begin, unit, end) in ENDLESS {
            let mut redactor = BodyRedactor::new(Arc::clone(&rules), formats::CHAT, false);
            // 4 MiB, in pieces that no unit fits.
            let whole = unit.repeat(2 * 16_381 / unit.len() + 1);
            let mut out = Vec::new();
            redactor.push(Bytes::copy_from_slice(begin.as_bytes()), &mut out).expect("begin");
            let (mut at, mut held_max) = (0, 0);
            for _ in 0..256 {
                let piece = Bytes::copy_from_slice(&whole.as_bytes()[at..at + 16_381]);
                at = (at + 16_381) % unit.len();
                redactor.push(piece, &mut out).expect("piece");
                out.clear();
                held_max = held_max.max(redactor.held_bytes());
            }
            assert!(held_max <= crate::bounds::REDACT_HELD_BYTES_MAX, "{unit}: {held_max}");
            let rest = (unit.len() - at) % unit.len();
            redactor
                .push(Bytes::copy_from_slice(&whole.as_bytes()[at..at + rest]), &mut out)
                .expect("rest");
            redactor.push(Bytes::copy_from_slice(end.as_bytes()), &mut out).expect("end");
            redactor.finish(&mut out).expect("finish");
        }
    }
}

#[test]
fn a_word_right_behind_a_match_is_found() {
    let terms = vec![TermsSpec {
        name: "t".into(),
        words: vec!["falcon".into()],
        replacement: "[T]".into(),
    }];
    let entities = vec!["email".to_owned(), "phone".to_owned(), "api_key".to_owned()];
    let spec = RulesSpec { entities, terms, ..RulesSpec::default() };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    // Far from the next word as well as near it.
    for between in [1, 10, 1500, 5000] {
        let gap = " ".repeat(between);
        let text = message(&rules, &format!("+49 30 1234567falcon{gap}falcon"));
        assert_eq!(text, format!("[REDACTED_PHONE][T]{gap}[T]"));
    }
    assert_eq!(message(&rules, "xfalcon falconx falcon"), "xfalcon falconx [T]");
}

#[test]
fn secrets_are_entities_of_their_own_where_the_policy_names_them() {
    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1g";
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIEow+/=\n-----END PRIVATE KEY-----";
    const KEY: &str = "sk-proj-abcDEF1234567890abcDEF123456";
    let text = format!("{JWT} {PEM} {KEY}");
    for (entities, expected) in [
        (&["jwt"][..], format!("[REDACTED_JWT] {PEM} {KEY}")),
        (&["private_key"], format!("{JWT} [REDACTED_PRIVATE_KEY] {KEY}")),
        (&["api_key"], "[REDACTED_API_KEY] [REDACTED_API_KEY] [REDACTED_API_KEY]".to_owned()),
        (&["@secrets"], "[REDACTED_JWT] [REDACTED_PRIVATE_KEY] [REDACTED_API_KEY]".to_owned()),
    ] {
        assert_eq!(message(&rules(entities), &text), expected, "{entities:?}");
    }
}

#[test]
fn a_group_stands_for_its_entities() {
    for (group, members) in ENTITY_GROUPS {
        let (group, members) = (rules(&[group]), rules(members));
        assert_eq!(group.0.on, members.0.on);
    }
    let spec = RulesSpec { entities: vec!["@none".to_owned()], ..RulesSpec::default() };
    let errors = Rules::compile(&spec).expect_err("no such group");
    assert!(matches!(&errors[..], [RulesError::UnknownEntity(name)] if name == "@none"));
}

#[test]
fn a_numbered_value_may_be_cut_inside_a_character() {
    let entities = vec!["email".to_owned()];
    let spec = RulesSpec { entities, restore: true, ..RulesSpec::default() };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    assert_eq!(
        message(&rules, "to jü\u{200b}rgen@b.co, jü\u{200b}rgen@b.co"),
        "to [REDACTED_EMAIL_1], [REDACTED_EMAIL_1]"
    );
}

#[test]
fn matches_around_each_other_are_found_as_alone() {
    // Text remembered by one detector must not hide a match that another one's match uncovers.
    let rules = rules(ENTITIES);
    for (text, expected) in [
        (
            "1) 415-555-0132 2) 415-555-0133 3) 415-555-0134",
            "1) [REDACTED_PHONE] 2) [REDACTED_PHONE] 3) [REDACTED_PHONE]",
        ),
        ("12(34(56( tel 5551234, 12(34(56(", "12(34(56( tel [REDACTED_PHONE], 12(34(56("),
        ("4 4 4 x 4111 1111 1111 1111 y", "4 4 4 x [REDACTED_CREDIT_CARD] y"),
        ("sk-sk-sk-abcdefghij0123456789klmn a@b.co", "[REDACTED_API_KEY] [REDACTED_EMAIL]"),
        ("eyJeyJ a@b.co eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.x", "eyJeyJ [REDACTED_EMAIL] [REDACTED_JWT]"),
    ] {
        assert_eq!(message(&rules, text), expected);
    }
}

#[test]
fn what_is_put_into_json_inside_json_is_escaped_for_its_place() {
    let custom = vec![CustomSpec {
        name: "c".into(),
        pattern: r"secret\d".into(),
        replacement: r#"<"\X">"#.into(),
    }];
    let rules =
        Arc::new(Rules::compile(&RulesSpec { custom, ..RulesSpec::default() }).expect("rules"));
    let inner = |value: &str| serde_json::json!({"b": value}).to_string();
    for pad in [0, 10, 3000, 9000] {
        let pad = "p".repeat(pad);
        for (first, last) in [
            (inner("secret1"), "z".to_owned()),
            ("z secret2".to_owned(), inner("secret3")),
            (inner("secret4 secret5"), inner("z")),
            (format!("[\"{pad}secret6\"]"), "secret7".to_owned()),
            (inner(&format!("{pad} secret8")), format!("x{pad}{{secret9")),
        ] {
            let text = serde_json::json!({"a": first, "k": pad, "z": last}).to_string();
            let redacted: serde_json::Value =
                serde_json::from_str(&message(&rules, &text)).expect("JSON");
            for (key, before) in [("a", &first), ("z", &last)] {
                let after = redacted[key].as_str().expect("text");
                let Ok(mut expected) = serde_json::from_str::<serde_json::Value>(before) else {
                    assert!(
                        !after.contains("secret")
                            && after.matches(r#"<"\X">"#).count()
                                == before.matches("secret").count()
                    );
                    continue;
                };
                for value in expected.as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
                    let text = value.as_str().expect("text");
                    let text = (1..=9).fold(text.to_owned(), |t, n| {
                        t.replace(&format!("secret{n}"), r#"<"\X">"#)
                    });
                    *value = text.into();
                }
                for value in expected.as_array_mut().into_iter().flatten() {
                    *value = format!(r#"{pad}<"\X">"#).into();
                }
                assert_eq!(
                    serde_json::from_str::<serde_json::Value>(after).expect("JSON inside"),
                    expected,
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn strings_too_short_for_a_match_are_told_from_the_shortest_ones() {
    let rules = rules(ENTITIES);
    let expected = |text: &str| {
        // The same text in a longer string, which is looked at in another way.
        let longer = message(&rules, &format!("{text} {}", "w ".repeat(40)));
        longer[..longer.len() - 81].to_owned()
    };
    for text in [
        "",
        "@",
        "a@b.co",
        "a@b.c",
        "a%40b.co",
        "1::",
        "::1",
        "a::",
        "::",
        "1.2.3.4",
        "1.2.3",
        "5551234",
        "555123",
        "data:a/,",
        "data:a,",
        "xoxb-a1bc345678",
        "xoxb-a1bc34567",
        "a@[1.1.1.1]",
        "NO9386011117947",
        "078-05-1120",
    ] {
        assert_eq!(message(&rules, text), expected(text), "{text}");
    }
}

#[test]
fn words_of_the_policy_are_written_in_other_ways() {
    let rules = custom("unused", "[X]", &["O'Neil", "O’Hara", "Müller GmbH", "Blue\u{a0}Heron"])
        .expect("rules");
    for (given, expected) in [
        ("for O’Neil and O'Neil", "for [PROJECT] and [PROJECT]"),
        ("for O'Hara, O’Hara", "for [PROJECT], [PROJECT]"),
        ("the Müller\u{a0}GmbH here", "the [PROJECT] here"),
        ("a Blue Heron, a blue\u{2009}heron", "a [PROJECT], a [PROJECT]"),
        ("a Ｂｌｕｅ Heron", "a [PROJECT]"),
    ] {
        let (found, _) = text(&rules, given);
        assert_eq!(String::from_utf8_lossy(found.as_bytes()), expected, "{given}");
    }
}
