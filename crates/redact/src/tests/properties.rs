//! The promises, as properties over generated bodies.

use proptest::prelude::*;

use super::*;

/// Pieces of text that meet each other in generated strings, with many ways to go wrong.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "bob@example.com", "jürgen@müller.de", "+49 30 1234567", "555-123-4567", "(030) 123456", "06 12 34 56 78",
            "tel ", "order ", "@", ".", "-", " ", "1", "0", "+", "(", ")", "a", "é", "电话", "13812345678", "\u{200b}", "＠",
            "5", "％40", "%40", "data:image/png;base64,", "AAAA", "\\u0040", "\\", "\"", "{", "}", "{\"a\":\"", "[", "\n",
            "sk-abcdefghijklmnopqrst12", ".", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "-----BEGIN PRIVATE \
                KEY-----", "-----",
            "=\n", "=2E", "=40", "%25", "%2B", "%20", "\\_", "\\\\", "\\x22", "\u{7f}", "\u{1}", "•", "--", "+1 415 555 0132", "x12", "phone",
            "data:text/plain;", "base64,", "data:image/png,", "\u{ad}a", "[\"", "\",\"", ":", "415-555-0132", "+44", "_", "   ", "\r\n",
            "4111 1111 1111 1111", "192.168.0.1", "::1", "DE89370400440532013000", "123-45-6789", "secret word", "CODE-123",
            "12345678Z", "DE136695976", "RSSMRA85T10A562S", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "00:1A:2B:3C:4D:5E",
            "ftp://u:pw@h/x", "born 12 March 1985", "dob March 12, 1985", "passport X1234567", "bsn 111222333", "tel: 40123",
            "+2908999", "AB 12 34 56 C", "529.982.247-25", "2345 6789 0124",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
        1 => (1usize..900).prop_map(|n| "x".repeat(n)),
        1 => (1usize..700).prop_map(|n| "7 ".repeat(n)),
        1 => (1usize..700).prop_map(|n| "a\u{200b}".repeat(n)),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..12).prop_map(|f| f.concat())
}

/// JSON-escapes a string in one of several ways.
fn escaped(text: &str, how: u8) -> String {
    let mut out = String::from("\"");
    for (i, unit) in text.encode_utf16().enumerate() {
        if how == 2 || how == 1 && i % 3 == 0 {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    if how == 0 {
        return serde_json::to_string(text).expect("string");
    }
    if how == 1 {
        out = String::from("\"");
        for (i, c) in text.chars().enumerate() {
            if i % 3 == 0 && (c as u32) < 0x10000 {
                out.push_str(&format!("\\u{:04X}", c as u32));
            } else {
                let quoted = serde_json::to_string(&c.to_string()).expect("char");
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
    }
    out.push('"');
    out
}

fn request() -> impl Strategy<Value = String> {
    (prop::collection::vec((string(), 0u8..3), 1..4), 0u8..5).prop_map(|(strings, schema)| {
        let s: Vec<String> = strings.iter().map(|(t, how)| escaped(t, *how)).collect();
        let first = &s[0];
        let last = &s[s.len() - 1];
        match schema {
            0 => format!(r#"{{"messages":[{{"content":{first}}},{{"content":[{{"text":{last},"type":"text"}}]}}]}}"#),
            1 => format!(r#"{{"metadata":{{{first}:{last}}},"stream":true}}"#),
            2 => format!(
                r#"{{"messages":[{{"content":[{{"text":{first},"type":"image"}},{{"type":"text","text":{last}}}]}}]}}"#
            ),
            3 => format!(
                r#"{{"input":{first},"phone":{last},"stream":true,"stream_options":{{"include_usage":false}}}}"#
            ),
            _ => format!(r#" {{ "a" : {first} , "data" : {last} }} "#),
        }
    })
}

/// Every detector, patterns and words as well.
fn everything() -> Arc<Rules> {
    let entities = ENTITIES.iter().map(|e| (*e).to_owned()).collect();
    let custom = vec![
        CustomSpec {
            name: "code".into(),
            pattern: r"CODE-\d+|\bx{5,}\b|^7".into(),
            replacement: "<\"code\">".into(),
        },
        CustomSpec {
            name: "any".into(),
            pattern: r"word.{0,40}".into(),
            replacement: String::new(),
        },
    ];
    let terms = vec![TermsSpec {
        name: "t".into(),
        words: vec!["secret word".into(), "secret".into()],
        replacement: "…".into(),
    }];
    Arc::new(
        Rules::compile(&RulesSpec {
            entities,
            attachments: Attachments::Drop,
            custom,
            terms,
            ..RulesSpec::default()
        })
        .expect("rules"),
    )
}

fn cuts(text: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = at.iter().map(|i| i % (text.len() + 1)).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in at {
        pieces.push(text[from..to].to_vec());
        from = to;
    }
    pieces.push(text[from..].to_vec());
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_bytes(request in request(), at in prop::collection::vec(0usize..100_000, 1..8), all in any::<bool>()) {
        let rules = if all { everything() } else { rules(&["email", "phone"]) };
        let whole = pieces(&rules, formats::CHAT, &[request.as_bytes()]);
        let cut = cuts(request.as_bytes(), &at);
        let cut: Vec<&[u8]> = cut.iter().map(Vec::as_slice).collect();
        let parts = pieces(&rules, formats::CHAT, &cut);
        match (whole, parts) {
            (Ok((whole, a)), Ok((parts, b))) => {
                prop_assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&parts));
                prop_assert_eq!(a.ledger(), b.ledger());
                prop_assert_eq!(a.facts(), b.facts());
            }
            (whole, parts) => prop_assert_eq!(whole.err(), parts.err()),
        }
        if request.len() < 2000 {
            let single: Vec<&[u8]> = request.as_bytes().chunks(1).collect();
            let single = pieces(&rules, formats::CHAT, &single).map(|(out, _)| out);
            prop_assert_eq!(pieces(&rules, formats::CHAT, &[request.as_bytes()]).map(|(out, _)| out), single);
        }
    }

    #[test]
    fn output_is_json_and_redacting_it_again_changes_nothing_more(request in request()) {
        let rules = rules(&["email", "phone"]);
        if let Ok((out, redactor)) = pieces(&rules, formats::CHAT, &[request.as_bytes()]) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
            let count = redactor.ledger().counts.len() as u32 + redactor.ledger().attachments;
            if count == 0 && !redactor.facts().usage_injected {
                prop_assert_eq!(out, request.into_bytes());
            }
        }
    }

    #[test]
    fn accepts_what_serde_accepts(text in "[\\[\\]{}\",:0-9eE+.\\-truefalsn \\\\u]{0,24}") {
        let oracle = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let ours = !matches!(pieces(&rules(&[]), Schema::ANSWER, &[text.as_bytes()]), Err(RedactError::InvalidJson { .. }));
        prop_assert_eq!(ours, oracle, "{}", text);
    }

    #[test]
    fn mutated_bodies_are_judged_as_serde_does(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = request.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let oracle = std::str::from_utf8(&bytes).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        match pieces(&rules(&["email"]), Schema::ANSWER, &[&bytes]) {
            Ok(_) => prop_assert!(oracle, "accepted"),
            Err(RedactError::InvalidJson { .. }) => prop_assert!(!oracle, "refused"),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn what_is_given_out_is_a_prefix(request in request(), cut in any::<prop::sample::Index>()) {
        let rules = rules(&["email", "phone"]);
        if let Ok((whole, _)) = pieces(&rules, formats::CHAT, &[request.as_bytes()]) {
            let mut redactor = BodyRedactor::new(Arc::clone(&rules), formats::CHAT, true);
            let mut out = Vec::new();
            let cut = cut.index(request.len());
            redactor.push(Bytes::copy_from_slice(&request.as_bytes()[..cut]), &mut out).expect("a prefix of a good body");
            let out: Vec<u8> = out.iter().flat_map(|r| r.as_bytes().to_vec()).collect();
            prop_assert!(whole.starts_with(&out));
        }
    }
}

/// Where one block of 64 bytes shows digits that are no number, the same place of a later block is
/// looked at anew.
#[test]
fn an_address_is_found_at_any_place_behind_digits() {
    let rules = rules(&["email", "phone"]);
    for gap in 0..200 {
        let gap = "x ".repeat(gap);
        let digits = "16 779 632081 45 8843 102 977 12 ".repeat(3);
        let text = format!("{digits}{gap}a@b.co {digits}{gap}+49 30 901820");
        let expected = format!("{digits}{gap}[REDACTED_EMAIL] {digits}{gap}[REDACTED_PHONE]");
        assert_eq!(message(&rules, &text), expected);
    }
}
