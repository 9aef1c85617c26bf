//! Bodies: shapes, attachments, routing facts, usage, refusals.

use super::*;

const BOTH: &[&str] = &["email", "phone"];

#[test]
fn strings_are_text_unless_their_place_says_otherwise() {
    let rules = rules(BOTH);
    for (schema, given, expected) in [
        (
            formats::CHAT,
            r#"{"model":"a@b.com","messages":[{"role":"user","content":"mail bob@example.com now"}],"user":"bob@example.com"}"#,
            r#"{"model":"a@b.com","messages":[{"role":"user","content":"mail [REDACTED_EMAIL] now"}],"user":"[REDACTED_EMAIL]"}"#,
        ),
        (
            formats::CHAT,
            r#"{"messages":[{"role":"tool","tool_call_id":"call_5551234567","content":"bob\u0040example.com"}],"n":5551234567}"#,
            r#"{"messages":[{"role":"tool","tool_call_id":"call_5551234567","content":"[REDACTED_EMAIL]"}],"n":5551234567}"#,
        ),
        (
            formats::CHAT,
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"mail","arguments":"{\"to\":\"bob\\u0040example.com\",\"phone\":5551234567,\"deep\":\"{\\\"cc\\\":\\\"x\\\\u0040example.com\\\"}\"}"}}]}]}"#,
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"mail","arguments":"{\"to\":\"[REDACTED_EMAIL]\",\"phone\":\"[REDACTED_PHONE]\",\"deep\":\"{\\\"cc\\\":\\\"[REDACTED_EMAIL]\\\"}\"}"}}]}]}"#,
        ),
        (
            formats::CHAT,
            r#"{"messages":[{"role":"user","name":"+14155550132","content":"x"}],"tools":[{"type":"function","function":{"name":"f_415-555-0132"}}]}"#,
            r#"{"messages":[{"role":"user","name":"[REDACTED_PHONE]","content":"x"}],"tools":[{"type":"function","function":{"name":"f_415-555-0132"}}]}"#,
        ),
        (
            formats::RESPONSES,
            r#"{"instructions":"a@b.com","input":[{"role":"user","content":[{"type":"input_text","text":"tel 030 1234567"}]}],"metadata":{"a@b.com":"c@d.org"}}"#,
            r#"{"instructions":"[REDACTED_EMAIL]","input":[{"role":"user","content":[{"type":"input_text","text":"tel [REDACTED_PHONE]"}]}],"metadata":{"[REDACTED_EMAIL]":"[REDACTED_EMAIL]"}}"#,
        ),
        // The names of a stored prompt's variables are the user's, whatever they are elsewhere.
        (
            formats::RESPONSES,
            r#"{"prompt":{"id":"p","variables":{"name":"415-555-0132","type":"a@b.com","n":{"type":"input_text","text":"a@b.com"}}}}"#,
            r#"{"prompt":{"id":"p","variables":{"name":"[REDACTED_PHONE]","type":"[REDACTED_EMAIL]","n":{"type":"input_text","text":"[REDACTED_EMAIL]"}}}}"#,
        ),
        // A value whose key calls it an identifier is one; a list of texts is not.
        (
            Schema::UNKNOWN,
            r#"{"documents":["415-555-0132"],"ticket":"415-555-0132","reference":"Jane wrote, 415-555-0132"}"#,
            r#"{"documents":["[REDACTED_PHONE]"],"ticket":"415-555-0132","reference":"Jane wrote, [REDACTED_PHONE]"}"#,
        ),
        (
            formats::MESSAGES,
            r#"{"system":[{"type":"text","text":"a@b.com"}],"messages":[{"role":"user","content":[{"type":"tool_use","id":"t","name":"n","input":{"a@b.com":"call 555-123-4567"}},{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"a@b.com"}]}]}]}"#,
            r#"{"system":[{"type":"text","text":"[REDACTED_EMAIL]"}],"messages":[{"role":"user","content":[{"type":"tool_use","id":"t","name":"n","input":{"[REDACTED_EMAIL]":"call [REDACTED_PHONE]"}},{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"[REDACTED_EMAIL]"}]}]}]}"#,
        ),
        (
            formats::EMBEDDINGS,
            r#"{"model":"e","input":["a@b.com","none",[1,2]]}"#,
            r#"{"model":"e","input":["[REDACTED_EMAIL]","none",[1,2]]}"#,
        ),
        (formats::COMPLETIONS, r#"{"prompt":["a@b.com"]}"#, r#"{"prompt":["[REDACTED_EMAIL]"]}"#),
        (Schema::UNKNOWN, r#"["a@b.com"]"#, r#"["[REDACTED_EMAIL]"]"#),
    ] {
        assert_eq!(body(&rules, schema, given).as_deref(), Ok(expected));
    }
}

/// A document of Anthropic's whose source is text, or content blocks, is text: it is redacted and
/// stays, wherever its type stands. Any other source is an attachment.
#[test]
fn documents_of_text_are_redacted_and_others_are_dropped() {
    let note = r#"{"type":"text","text":"[attachment removed]"}"#;
    let (bob, mark) = ("bob@example.com", "[REDACTED_EMAIL]");
    let texts = [
        r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"mail bob@example.com"},"title":"of bob@example.com","context":"c","citations":{"enabled":true}}"#,
        r#"{"source":{"data":"mail bob@example.com","media_type":"text/plain","type":"text"},"title":"t","type":"document"}"#,
        r#"{"type":"document","source":{"content":"mail bob@example.com","type":"content"}}"#,
        r#"{"type":"document","source":{"type":"content","content":[{"type":"text","text":"mail bob@example.com"},{"type":"text","text":"b"}]}}"#,
        r#"{"t\u0079pe":"docum\u0065nt","sourc\u0065":{"typ\u0065":"t\u0065xt","data":"mail bob@example.com"}}"#,
    ];
    let others = [
        r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AAAA"},"title":"bob@example.com"}"#,
        r#"{"source":{"data":"AAAA","media_type":"application/pdf","type":"base64"},"title":"bob@example.com","type":"document"}"#,
        r#"{"type":"document","source":{"type":"url","url":"https://example.com/bob"}}"#,
        r#"{"type":"document","source":{"url":"https://example.com/bob","type":"url"}}"#,
        r#"{"type":"document","source":{"type":"file","file_id":"file_1"}}"#,
        r#"{"type":"document","source":{"data":"bob@example.com"}}"#,
        r#"{"type":"document","source":{}}"#,
        r#"{"type":"document","source":null}"#,
        r#"{"type":"document","source":[{"type":"text","data":"x"}]}"#,
        r#"{"type":"document","title":"bob@example.com"}"#,
        r#"{"source":{"type":"text","data":"x"},"type":"image"}"#,
    ];
    let refused = [
        r#"{"type":"document","source":{"type":"text","type":"base64","data":"AAAA"}}"#,
        r#"{"type":"document","source":{"type":"text","data":"x"},"source":{"type":"base64","data":"AAAA"}}"#,
        r#"{"source":{"type":"text","data":"x"},"source":{"data":"AAAA"},"type":"document"}"#,
        r#"{"type":"document","type":"text","source":{"type":"base64","data":"AAAA"}}"#,
        r#"{"source":{"type":"text","data":"x"}}"#,
    ];
    let drop = rules(BOTH);
    let (reject, allow) = (with(BOTH, Attachments::Reject), with(BOTH, Attachments::Allow));
    let around = |part: &str| {
        [
            format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}}]}}"#
            ),
            format!(
                r#"{{"messages":[{{"content":[{{"type":"tool_result","tool_use_id":"t","content":[{part}]}}]}}]}}"#
            ),
        ]
    };
    for part in texts {
        for (given, expected) in around(part).into_iter().zip(around(&part.replace(bob, mark))) {
            for rules in [&drop, &reject] {
                assert_eq!(body(rules, formats::MESSAGES, &given).as_deref(), Ok(&*expected));
            }
            let (_, redactor) =
                pieces(&drop, formats::MESSAGES, &[given.as_bytes()]).expect("good");
            let (found, ledger) = (part.matches(bob).count(), redactor.ledger());
            assert_eq!((ledger.count("email") as usize, ledger.attachments), (found, 0), "{part}");
        }
    }
    for part in others {
        for (given, expected) in around(part).into_iter().zip(around(note)) {
            assert_eq!(body(&drop, formats::MESSAGES, &given).as_deref(), Ok(&*expected), "{part}");
            let (_, redactor) =
                pieces(&drop, formats::MESSAGES, &[given.as_bytes()]).expect("good");
            assert_eq!((redactor.ledger().attachments, &*redactor.ledger().counts), (1, &[][..]));
            let refused = body(&reject, formats::MESSAGES, &given);
            assert!(matches!(refused, Err(RedactError::Attachment { .. })), "{part}: {refused:?}");
        }
    }
    for part in refused {
        for given in around(part) {
            for rules in [&drop, &reject] {
                let told = body(rules, formats::MESSAGES, &given);
                assert!(matches!(told, Err(RedactError::Attachment { .. })), "{part}: {told:?}");
            }
        }
    }
    for part in texts.iter().chain(&others[..4]) {
        assert!(body(&allow, formats::MESSAGES, &around(part)[0]).is_ok(), "{part}");
    }
    // Pictures among the blocks of a document go, and the document stays.
    let given = r#"{"type":"document","source":{"type":"content","content":[{"type":"text","text":"bob@example.com"},{"type":"image","source":{"type":"base64","data":"AAAA"}}]}}"#;
    let expected = format!(
        r#"{{"type":"document","source":{{"type":"content","content":[{{"type":"text","text":"{mark}"}},{note}]}}}}"#
    );
    assert_eq!(
        body(&drop, formats::MESSAGES, &around(given)[0]).as_deref(),
        Ok(&*around(&expected)[0])
    );
    // A long text stays text, and base64 that says it is a text does not.
    let long = "word ".repeat(20_000);
    let part = format!(r#"{{"type":"document","source":{{"type":"text","data":"{long}"}}}}"#);
    let given = &around(&part)[0];
    assert_eq!(body(&drop, formats::MESSAGES, given).as_deref(), Ok(&**given));
    let base64 = "QUJD".repeat(100);
    let part = format!(r#"{{"type":"document","source":{{"type":"text","data":"{base64}"}}}}"#);
    let out = body(&drop, formats::MESSAGES, &around(&part)[0]).expect("good");
    assert!(!out.contains("QUJD") && out.contains("[REDACTED_ATTACHMENT]"), "{out}");
    // What the server fetched and the client sends again.
    let page = |source: &str| {
        format!(
            r#"{{"messages":[{{"role":"assistant","content":[{{"type":"web_fetch_tool_result","tool_use_id":"t","content":{{"type":"web_fetch_result","url":"https://e.org","content":{source}}}}}]}}]}}"#
        )
    };
    let text = page(texts[0]);
    assert_eq!(body(&drop, formats::MESSAGES, &text), Ok(page(&texts[0].replace(bob, mark))));
    assert_eq!(body(&drop, formats::MESSAGES, &page(others[0])), Ok(page(note)));
}

#[test]
fn attachments_never_leave() {
    let rules = rules(BOTH);
    let note = r#"{"type":"text","text":"[attachment removed]"}"#;
    for part in [
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#,
        r#"{"image_url":{"url":"https://example.com/a.png"},"type":"image_url"}"#,
        r#"{"\u0074ype":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#,
        r#"{"file":{"file_data":"AAAA","filename":"a@b.com"},"type":"file"}"#,
        r#"{"cache_control":{"type":"ephemeral"},"source":{"type":"base64","data":"AAAA"},"type":"image"}"#,
        r#"{"title":"mail bob@example.com","type":"document","source":{"type":"text","data":"bob@example.com"}}"#,
    ] {
        let given = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}}]}}"#
        );
        let expected = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"a"}},{note}]}}]}}"#
        );
        assert_eq!(body(&rules, formats::CHAT, &given).as_deref(), Ok(&*expected), "{part}");
        let (_, redactor) = pieces(&rules, formats::CHAT, &[given.as_bytes()]).expect("body");
        assert_eq!(redactor.ledger().attachments, 1);
        assert_eq!(redactor.ledger().counts, [], "what a dropped part held is not counted apart");
        assert_eq!(redactor.ledger().fields, ["messages[0].content[1]"]);
        let reject = with(BOTH, Attachments::Reject);
        assert!(
            matches!(body(&reject, formats::CHAT, &given), Err(RedactError::Attachment { .. })),
            "{part}"
        );
        let allow = with(BOTH, Attachments::Allow);
        assert!(body(&allow, formats::CHAT, &given).is_ok(), "{part}");
    }
    // Inside a tool's result whose own type comes last.
    let given = r#"{"messages":[{"content":[{"content":[{"source":{"data":"AAAA"},"type":"image"}],"tool_use_id":"t","type":"tool_result"}]}]}"#;
    let expected = format!(
        r#"{{"messages":[{{"content":[{{"content":[{note}],"tool_use_id":"t","type":"tool_result"}}]}}]}}"#
    );
    assert_eq!(body(&rules, formats::MESSAGES, given).as_deref(), Ok(&*expected));
    // In prose.
    assert_eq!(
        message(&rules, "see data:image/png;base64,iVBORw0KGgo= and DATA:text/html,<b>"),
        "see [REDACTED_ATTACHMENT] and [REDACTED_ATTACHMENT]<b>"
    );
    assert_eq!(message(&rules, "the data: 1, 2"), "the data: 1, 2");
    // Audio that an assistant spoke.
    let given =
        r#"{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}],"audio":{"voice":"alloy"}}"#;
    let expected = r#"{"messages":[{"role":"assistant","audio":null}],"audio":{"voice":"alloy"}}"#;
    assert_eq!(body(&rules, formats::CHAT, given).as_deref(), Ok(expected));
}

#[test]
fn parts_that_cannot_be_understood_are_refused() {
    let rules = rules(BOTH);
    for part in [
        r#"{"type":"hologram","text":"a"}"#,
        r#"{"blob":"AAAA"}"#,
        r#"[]"#,
        r#"{"type":"text","type":"image_url","text":"a"}"#,
        r#"{"type":"text","text":"a","image_url":{"url":"https://example.com"}}"#,
    ] {
        let given = format!(r#"{{"messages":[{{"content":[{part}]}}]}}"#);
        assert!(
            matches!(body(&rules, formats::CHAT, &given), Err(RedactError::Attachment { .. })),
            "{part}"
        );
    }
    let given = r#"{"messages":[{"content":[{"type":"text","text":"a","image_url":null}]}]}"#;
    assert_eq!(body(&rules, formats::CHAT, given).as_deref(), Ok(given));
}

#[test]
fn long_parts_whose_type_comes_last() {
    let rules = rules(BOTH);
    for (n, dropped) in [(100, true), (20_000, true), (40_000, false), (200_000, false)] {
        let long = "x".repeat(n);
        let text = format!(r#"{{"messages":[{{"content":[{{"text":"{long}","type":"text"}}]}}]}}"#);
        assert_eq!(body(&rules, formats::CHAT, &text).as_deref(), Ok(&*text));
        let image =
            format!(r#"{{"messages":[{{"content":[{{"text":"{long}","type":"image"}}]}}]}}"#);
        assert_eq!(body(&rules, formats::CHAT, &image).is_ok(), dropped, "{n}");
    }
}

#[test]
fn lists_of_tokens_are_counted() {
    for (schema, text, expected) in [
        (formats::EMBEDDINGS, r#"{"model":"m","input":[[1,2,3],[4]]}"#, 16),
        (formats::EMBEDDINGS, r#"{"model":"m","input":[1,2,3],"dimensions":256}"#, 12),
        (formats::COMPLETIONS, r#"{"model":"m","prompt":[50256,1e3],"n":2}"#, 8),
        (formats::CHAT, r#"{"model":"m","messages":[],"temperature":1}"#, 0),
    ] {
        let (_, redactor) = pieces(&rules(BOTH), schema, &[text.as_bytes()]).expect("a body");
        assert_eq!(redactor.text_bytes(), expected, "{text}");
    }
}

#[test]
fn text_is_counted_as_it_reads_and_attachments_as_pictures() {
    let data = "iVBO".repeat(1000);
    let image =
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}"#);
    for (content, expected) in [
        (r#""12345678""#.to_owned(), 8),
        // Four characters of nine bytes, and a half that is none.
        (r#""\u0041\n\u00e9\u4e2d\ud83d\ude00 \ud800""#.to_owned(), 1 + 1 + 2 + 3 + 4 + 1),
        (r#""to jane@example.com""#.to_owned(), 19),
        (format!(r#"[{{"type":"text","text":"1234"}},{image}]"#), 4),
        (format!(r#""see data:image/png;base64,{data} there""#), 4 + 6),
    ] {
        let request =
            format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":{content}}}]}}"#);
        for attachments in [Attachments::Drop, Attachments::Allow] {
            if attachments == Attachments::Allow && !content.contains("image_url") {
                continue;
            }
            let rules = with(&["email"], attachments);
            let expected = expected + if attachments == Attachments::Allow { 6_400 } else { 0 };
            for cut in [1, 7, request.len()] {
                let chunks: Vec<&[u8]> = request.as_bytes().chunks(cut).collect();
                let (_, redactor) = pieces(&rules, formats::CHAT, &chunks).expect("a body");
                assert_eq!(
                    redactor.text_bytes(),
                    expected,
                    "{attachments:?}, in pieces of {cut}: {content:.60}"
                );
            }
        }
    }
}

#[test]
fn short_pieces_are_kept_together() {
    let mut kept = Vec::new();
    for n in 0..50_000u32 {
        kept.push(Redacted(Bytes::from(vec![(n % 251) as u8])));
        Redacted::pack(&mut kept);
    }
    assert!(kept.len() < 60, "{} pieces", kept.len());
    let whole = Redacted::concat(kept);
    assert!(whole.as_bytes().iter().enumerate().all(|(n, b)| usize::from(*b) == n % 251));
    assert_eq!(whole.as_bytes().len(), 50_000);
}

#[test]
fn what_routing_needs_is_seen() {
    let rules = rules(BOTH);
    let facts = |text: &str| {
        pieces(&rules, formats::CHAT, &[text.as_bytes()]).map(|(_, r)| r.facts().clone())
    };
    let seen = facts(r#"{"m\u006fdel":"gpt\u002d4","stream":true,"store":true}"#).expect("facts");
    assert_eq!(seen.model.as_deref(), Some("gpt-4"));
    assert!(seen.stream && seen.stateful && seen.usage_injected && !seen.usage_asked);
    for refused in [
        "[]",
        "null",
        "7",
        r#""a""#,
        r#"{"model":1}"#,
        r#"{"model":null}"#,
        r#"{"model":{}}"#,
        r#"{"model":"a","\u006dodel":"b"}"#,
        r#"{"messages":[],"messages":[]}"#,
        r#"{"stream":true,"stream":false}"#,
        r#"{"api_base":"http://evil"}"#,
        r#"{"extra_headers":{}}"#,
        &format!(r#"{{"model":"{}"}}"#, "m".repeat(257)),
    ] {
        assert!(matches!(facts(refused), Err(RedactError::InvalidRequest { .. })), "{refused}");
    }
    assert!(facts(r#"{"messages":[{"model":"a","model":"b"}]}"#).is_ok(), "only at the top");
}

#[test]
fn usage_is_asked_for() {
    let rules = rules(BOTH);
    for (given, expected) in [
        (r#"{"stream":true}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        (r#"{"stream":false}"#, r#"{"stream":false}"#),
        (r#"{}"#, r#"{}"#),
        (
            r#"{"stream":true,"stream_options":{}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":null}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"a":1} }"#,
            r#"{"stream":true,"stream_options":{"a":1,"include_usage":true} }"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
    ] {
        assert_eq!(body(&rules, formats::CHAT, given).as_deref(), Ok(expected));
        assert_eq!(body(&rules, formats::RESPONSES, given).as_deref(), Ok(given));
    }
}

#[test]
fn invalid_json_is_refused() {
    let rules = rules(BOTH);
    for text in [
        "",
        " ",
        "{",
        "{]",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,}"#,
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":+1}"#,
        r#"{"a":tru}"#,
        r#"{"a":"\x"}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":1}x"#,
        r#"{"a":1}{}"#,
        "\u{feff}{}",
        r#"{"a":"\u12G4"}"#,
        r#"{"a":'b'}"#,
        "{\"a\":\"b",
    ] {
        assert!(
            matches!(body(&rules, formats::CHAT, text), Err(RedactError::InvalidJson { .. })),
            "{text}"
        );
    }
    for bytes in [
        &b"{\"a\":\"\xff\"}"[..],
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\xff\":1}",
        b"\xff\xfe{\0",
    ] {
        assert!(matches!(
            pieces(&rules, formats::CHAT, &[bytes]),
            Err(RedactError::InvalidJson { .. })
        ));
    }
    let deep = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(body(&rules, formats::CHAT, &deep(127)).is_ok());
    assert!(body(&rules, formats::CHAT, &deep(128)).is_err());
}

#[test]
fn odd_values_pass_untouched() {
    let rules = rules(BOTH);
    for text in [
        r#"{"a":"a\ud83d"}"#,
        r#"{"a":"\ude00\ud83d\ud83d\ude00x\/\b\f\u0000"}"#,
        r#"{"a":123456789012345678901234567890,"b":1e999,"c":-0,"d":0.1000000000000000055511151231257827,"a":[]}"#,
        "\n\t {\"a\" : \r[ 1 , 2 ] }\n",
    ] {
        assert_eq!(body(&rules, formats::CHAT, text).as_deref(), Ok(text));
    }
}

#[test]
fn a_failed_redactor_gives_out_nothing_more() {
    let mut redactor = BodyRedactor::new(rules(BOTH), formats::CHAT, false);
    let mut out = Vec::new();
    assert!(redactor.push(Bytes::from_static(b"{x"), &mut out).is_err());
    let given = out.len();
    assert!(redactor.push(Bytes::from_static(b"{}"), &mut out).is_err());
    assert!(redactor.finish(&mut out).is_err());
    assert_eq!(out.len(), given);
}

#[test]
fn clean_bodies_leave_as_the_very_bytes() {
    let text =
        Bytes::from(format!(r#"{{"messages":[{{"content":"{}"}}]}}"#, "hello world ".repeat(300)));
    let mut redactor = BodyRedactor::new(rules(BOTH), formats::CHAT, false);
    let mut out = Vec::new();
    redactor.push(text.clone(), &mut out).expect("push");
    redactor.finish(&mut out).expect("finish");
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_bytes().as_ptr(), text.as_ptr());
}

#[test]
fn a_provider_that_is_to_keep_nothing_is_told_so() {
    for (schema, given, expected) in [
        (
            formats::RESPONSES,
            r#"{"model":"m","input":"x"}"#,
            r#"{"model":"m","input":"x","store":false}"#,
        ),
        (formats::RESPONSES, r#"{"store":true,"input":"x"}"#, r#"{"store":false,"input":"x"}"#),
        (
            formats::RESPONSES,
            r#"{"store": null ,"st\u006fre":true}"#,
            r#"{"store": false ,"st\u006fre":false}"#,
        ),
        (
            formats::RESPONSES,
            r#"{"input":[{"store":true}],"store":false}"#,
            r#"{"input":[{"store":true}],"store":false}"#,
        ),
        (formats::RESPONSES, "{ }", r#"{ "store":false}"#),
        (
            formats::CHAT,
            r#"{"stream":true,"messages":[]}"#,
            r#"{"stream":true,"messages":[],"stream_options":{"include_usage":true},"store":false}"#,
        ),
        (formats::MESSAGES, r#"{"messages":[]}"#, r#"{"messages":[]}"#),
    ] {
        for size in [1, 3, given.len()] {
            let mut redactor = BodyRedactor::new(rules(&["email"]), schema, true);
            redactor.forbid_store();
            let mut out = Vec::new();
            for piece in given.as_bytes().chunks(size) {
                redactor.push(Bytes::copy_from_slice(piece), &mut out).expect("body");
            }
            redactor.finish(&mut out).expect("body");
            let out: Vec<u8> = out.iter().flat_map(|p| p.as_bytes().to_vec()).collect();
            assert_eq!(
                String::from_utf8(out).expect("UTF-8"),
                expected,
                "{given} in pieces of {size}"
            );
            assert!(!redactor.facts().stateful, "{given}");
        }
    }
    for given in [r#"{"store":"true"}"#, r#"{"store":{}}"#] {
        let mut redactor = BodyRedactor::new(rules(&["email"]), formats::RESPONSES, true);
        redactor.forbid_store();
        assert!(redactor.push(Bytes::copy_from_slice(given.as_bytes()), &mut Vec::new()).is_err());
    }
}
