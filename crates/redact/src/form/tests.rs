//! Forms: the same for every cut, strict about their grammar, redacted like JSON.

use std::sync::Arc;

use bytes::Bytes;

use crate::tests::rules;
use crate::{
    Action, Attachments, BodyRedactor, Placeholders, RedactError, Rules, RulesSpec, Schema,
};

const WRITTEN: &[u8] = b"new";

/// A part of a form, by its disposition behind `form-data; `, further headers, and its content.
type PartOf<'p> = (&'p str, &'p str, &'p [u8]);

fn form(parts: &[PartOf<'_>]) -> Vec<u8> {
    let mut form = Vec::new();
    for (disposition, headers, content) in parts {
        let head =
            format!("--old\r\nContent-Disposition: form-data; {disposition}\r\n{headers}\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--old--\r\n");
    form
}

fn allowing(spec: RulesSpec) -> Arc<Rules> {
    let entities = vec!["email".to_owned(), "phone".to_owned()];
    let spec = RulesSpec { entities, attachments: Attachments::Allow, ..spec };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

/// The form as it is written, and its fields for the log.
fn read(
    rules: &Arc<Rules>,
    body: &[u8],
    size: usize,
) -> Result<(Vec<u8>, String, BodyRedactor), RedactError> {
    let mut redactor = BodyRedactor::new(Arc::clone(rules), Schema::REQUEST, true);
    redactor.locate_model();
    redactor.read_form(b"old", WRITTEN);
    let (mut out, mut fields) = (Vec::new(), Vec::new());
    for piece in body.chunks(size) {
        redactor.push(Bytes::copy_from_slice(piece), &mut out)?;
        fields.extend(redactor.form_fields().expect("a form"));
        assert!(redactor.held_bytes() < 64 << 10, "{}", redactor.held_bytes());
    }
    redactor.finish(&mut out)?;
    fields.extend(redactor.form_fields().expect("a form"));
    let whole = |pieces: &[crate::Redacted]| -> Vec<u8> {
        pieces.iter().flat_map(|piece| piece.as_bytes().to_vec()).collect()
    };
    let fields = String::from_utf8(whole(&fields)).expect("UTF-8");
    Ok((whole(&out), fields, redactor))
}

/// The same, and a check that every cut gives the same.
fn written(rules: &Arc<Rules>, body: &[u8]) -> (String, String, BodyRedactor) {
    let (whole, fields, redactor) = read(rules, body, body.len()).expect("a form");
    for size in (1..64).chain([100, 511, 512, 513]) {
        let (cut, cut_fields, cut_redactor) = read(rules, body, size).expect("a form");
        assert_eq!(
            String::from_utf8_lossy(&cut),
            String::from_utf8_lossy(&whole),
            "in pieces of {size}"
        );
        assert_eq!(cut, whole, "in pieces of {size}");
        assert_eq!(cut_fields, fields, "in pieces of {size}");
        assert_eq!(cut_redactor.facts(), redactor.facts(), "in pieces of {size}");
        assert_eq!(cut_redactor.ledger(), redactor.ledger(), "in pieces of {size}");
        assert_eq!(cut_redactor.text_bytes(), redactor.text_bytes(), "in pieces of {size}");
    }
    (String::from_utf8_lossy(&whole).into_owned(), fields, redactor)
}

#[test]
fn fields_are_redacted_and_files_pass() {
    let sound: Vec<u8> = (0..=255_u8).cycle().take(2_000).collect();
    let body = form(&[
        (
            "name=\"file\"; filename=\"jane.roe@example.com.wav\"",
            "Content-Type: audio/mpeg\r\n",
            &sound,
        ),
        ("name=\"model\"", "", b"whisper-1"),
        ("name=\"prompt\"", "", "Call \"Jane\"\r\n+1 415 555 0132 \u{e9}\\".as_bytes()),
        ("name=\"stream\"", "", b"true"),
        ("name=\"n\"", "", b"2"),
        ("name=\"timestamp_granularities[]\"", "", b"word"),
        ("name=\"timestamp_granularities[]\"", "", b"segment"),
        ("name=\"empty\"", "", b""),
    ]);
    let (written, fields, redactor) = written(&allowing(RulesSpec::default()), &body);
    let expected = [
        "--new\r\nContent-Disposition: form-data; name=\"file\"; \
         filename=\"[REDACTED_EMAIL].wav\"\r\nContent-Type: audio/mpeg\r\n\r\n",
        &String::from_utf8_lossy(&sound),
        "\r\n--new\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
         --new\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n\
         Call \"Jane\"\r\n[REDACTED_PHONE] \u{e9}\\\r\n\
         --new\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n\
         --new\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n2\r\n\
         --new\r\nContent-Disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nword\r\n\
         --new\r\nContent-Disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nsegment\r\n\
         --new\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--new--\r\n",
    ]
    .concat();
    assert_eq!(written, expected);
    let facts = redactor.facts();
    assert_eq!((facts.model.as_deref(), facts.stream, facts.choices), (Some("whisper-1"), true, 2));
    assert_eq!((redactor.ledger().count("email"), redactor.ledger().count("phone")), (1, 1));
    let json: serde_json::Value = serde_json::from_str(&fields).expect("JSON");
    assert_eq!(json["filename"], "[REDACTED_EMAIL]");
    assert_eq!(json["prompt"], "Call \"Jane\"\r\n[REDACTED_PHONE] \u{e9}\\");
    assert_eq!(json["stream"], true);
}

#[test]
fn the_model_is_found_where_it_is_written() {
    let file = ("name=\"file\"; filename=\"a\"", "", &b"\0binary"[..]);
    let model = ("name=\"model\"", "", &b"gpt-4o-transcribe"[..]);
    let text = ("name=\"prompt\"", "", &b"to jane@example.com"[..]);
    for parts in [&[model, file, text][..], &[file, text, model], &[text, model, file]] {
        let (whole, _, redactor) =
            read(&allowing(RulesSpec::default()), &form(parts), 7).expect("form");
        let (from, to) = redactor.facts().model_at.expect("a place");
        assert_eq!(&whole[from as usize..to as usize], b"gpt-4o-transcribe");
    }
    let (_, _, redactor) = read(&allowing(RulesSpec::default()), &form(&[file]), 7).expect("form");
    assert_eq!(redactor.facts().model_at, None);
}

#[test]
fn files_that_are_text_are_redacted_as_text() {
    let long = "x".repeat(700);
    for (content, expected) in [
        (&b"mail jane@example.com"[..], &b"mail [REDACTED_EMAIL]"[..]),
        // Latin-1, and bytes that are no UTF-8.
        (b"Andr\xe9: jane@example.com\xff", b"Andr\xe9: [REDACTED_EMAIL]\xff"),
        // A text with a control character.
        (b"\0mail jane@example.com", b"\0mail [REDACTED_EMAIL]"),
        (b"mail jane@example.com\0\x01", b"mail jane@example.com\0\x01"),
        (b"%PDF-1.7\njane@example.com", b"%PDF-1.7\njane@example.com"),
        (b"", b""),
        (
            [long.as_bytes(), b" jane@example.com\0"].concat().leak(),
            [long.as_bytes(), b" [REDACTED_EMAIL]\0"].concat().leak(),
        ),
        // What resembles the old boundary, and the new one.
        (b"a\r\n--ol\r\n--olx\r\n-old\r\n--new--\0", b"a\r\n--ol\r\n--olx\r\n-old\r\n--new--\0"),
    ] {
        let body = form(&[("name=f; filename=\"f.txt\"", "", content)]);
        let rules = allowing(RulesSpec::default());
        written(&rules, &body);
        let (whole, ..) = read(&rules, &body, body.len()).expect("a form");
        let head =
            b"--new\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\n";
        let wanted = [&head[..], expected, b"\r\n--new--\r\n"].concat();
        assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&wanted));
    }
}

#[test]
fn texts_that_cannot_be_read_are_refused() {
    let wide = |of: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "Müller, jane@example.com, +14155550132".encode_utf16().flat_map(of).collect()
    };
    let little = wide(u16::to_le_bytes);
    let utf32: Vec<u8> =
        "jane@example.com".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    let rules = allowing(RulesSpec::default());
    for (media, content) in [
        ("", little.clone()),
        ("Content-Type: text/plain\r\n", little.clone()),
        ("Content-Type: audio/wav\r\n", little.clone()),
        ("Content-Type: text/csv\r\n", [&[0xFF, 0xFE][..], &little].concat()),
        ("", wide(u16::to_be_bytes)),
        ("Content-Type: application/octet-stream\r\n", utf32),
        ("Content-Type: text/plain\r\n", b"\0\x01\x02\x03jane@example.com".to_vec()),
        ("Content-Type: application/json\r\n", [&[0; 40][..], b"jane@example.com"].concat()),
    ] {
        let body = form(&[("name=f; filename=\"f.txt\"", media, &content)]);
        for size in [1, 7, body.len()] {
            let refused = read(&rules, &body, size).map(|_| ());
            assert!(matches!(refused, Err(RedactError::Attachment { .. })), "{media}: {refused:?}");
        }
    }
    // Sound and pictures pass, also with a text in them.
    for content in [
        &b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0jane@example.com"[..],
        b"\xff\xfb\x90\x64\0\0\x03\x02\x01\x0f\x10jane@example.com",
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0",
    ] {
        let body = form(&[("name=f; filename=f", "Content-Type: audio/mpeg\r\n", content)]);
        let (whole, ..) = read(&rules, &body, 7).expect("a form");
        assert!(whole.windows(content.len()).any(|part| part == content), "{whole:?}");
    }
}

#[test]
fn the_policy_decides_about_files() {
    let body = form(&[("name=\"model\"", "", b"m"), ("name=f; filename=f", "", b"x")]);
    for attachments in [Attachments::Drop, Attachments::Reject] {
        let spec = RulesSpec { attachments, ..RulesSpec::default() };
        let rules = Arc::new(Rules::compile(&spec).expect("rules"));
        let refused = read(&rules, &body, 9).map(|_| ());
        assert!(matches!(refused, Err(RedactError::Attachment { .. })), "{refused:?}");
    }
    // A field that is no file, in the place of one: a picture in base64.
    let drop = rules(&["email"]);
    let body = form(&[("name=\"image_url\"", "", b"data:image/png;base64,iVBORw0KGgo=")]);
    let (whole, ..) = read(&drop, &body, 9).expect("a form");
    assert!(!String::from_utf8_lossy(&whole).contains("iVBOR"), "{whole:?}");
}

#[test]
fn actions_and_placeholders_are_those_of_bodies() {
    let prompt = ("name=\"prompt\"", "", &b"from jane@example.com to bob@example.com"[..]);
    let numbered = RulesSpec { placeholders: Placeholders::Numbered, ..RulesSpec::default() };
    let (whole, ..) = written(&allowing(numbered), &form(&[prompt]));
    assert!(whole.contains("from [REDACTED_EMAIL_1] to [REDACTED_EMAIL_2]"), "{whole}");
    let reject = || RulesSpec {
        actions: vec![("email".to_owned(), Action::Reject)],
        ..RulesSpec::default()
    };
    let file = ("name=f; filename=f", "", &b"jane@example.com"[..]);
    for parts in [&[prompt][..], &[prompt, ("name=f; filename=f", "", b"x")], &[file]] {
        let refused = read(&allowing(reject()), &form(parts), 5).map(|_| ());
        assert!(matches!(refused, Err(RedactError::Sensitive { .. })), "{refused:?}");
    }
    let named = form(&[("name=\"jane@example.com\"", "", b"x")]);
    let (whole, ..) = written(&allowing(RulesSpec::default()), &named);
    assert!(!whole.contains("jane@"), "{whole}");
}

#[test]
fn what_is_no_form_is_refused() {
    let fine = String::from_utf8(form(&[("name=a", "", b"b")])).expect("UTF-8");
    let many = form(&vec![("name=a", "", &b"b"[..]); 1_001]);
    let cases: [(&str, Vec<u8>); 14] = [
        ("nothing", Vec::new()),
        ("JSON", b"{\"model\":\"m\"}".to_vec()),
        ("text before it", format!("text\r\n{fine}").into_bytes()),
        ("text after it", format!("{fine}text").into_bytes()),
        ("another form after it", format!("{fine}{fine}").into_bytes()),
        ("no end", fine.replace("--old--\r\n", "").into_bytes()),
        ("half an end", fine.replace("--old--\r\n", "--old-").into_bytes()),
        ("text behind a boundary", fine.replacen("--old\r\n", "--old x\r\n", 1).into_bytes()),
        ("bare line feeds", fine.replace("\r\n", "\n").into_bytes()),
        ("a longer boundary", fine.replacen("--old\r\n", "--older\r\n", 1).into_bytes()),
        ("no disposition", b"--old\r\n\r\nb\r\n--old--\r\n".to_vec()),
        ("a long head", form(&[("name=a", &format!("x: {}\r\n", "y".repeat(9_000)), b"b")])),
        ("no UTF-8", form(&[("name=a", "", b"\xff\xfe")])),
        ("many parts", many),
    ];
    for (case, body) in cases {
        for size in [1, 3, 1 << 20] {
            let refused = read(&allowing(RulesSpec::default()), &body, size).map(|_| ());
            assert!(
                matches!(refused, Err(RedactError::InvalidRequest { .. })),
                "{case}, {size}: {refused:?}"
            );
        }
    }
    // A routing key twice is refused as it is in JSON.
    let twice = form(&[("name=model", "", b"a"), ("name=model", "", b"b")]);
    assert!(read(&allowing(RulesSpec::default()), &twice, 10).is_err());
}
