//! Text that comes as token ids.

use proptest::prelude::*;

use super::*;

/// A token is a byte; 256 is an address, and of `b` also 257.
#[derive(Debug)]
struct Bytewise(&'static str, [u8; 256]);

static A: Bytewise = Bytewise("a", bytes());
static B: Bytewise = Bytewise("b", bytes());

const fn bytes() -> [u8; 256] {
    let mut all = [0; 256];
    let mut n = 0;
    while n < 256 {
        all[n] = n as u8;
        n += 1;
    }
    all
}

impl Vocabulary for Bytewise {
    fn name(&self) -> &'static str {
        self.0
    }
    fn bytes_of(&self, token: u32) -> Option<&[u8]> {
        match token {
            256 => Some(b"jane@example.com"),
            257 if self.0 == "b" => Some(b"second"),
            _ => self.1.get(token as usize).map(std::slice::from_ref),
        }
    }
}

#[derive(Debug)]
struct Models;

impl Encodings for Models {
    fn of_model(&self, model: &str) -> Option<&'static dyn Vocabulary> {
        match model {
            "a" => Some(&A),
            "b" => Some(&B),
            _ => None,
        }
    }
    fn usual(&self) -> &'static dyn Vocabulary {
        &A
    }
}

const EMBEDDINGS: Schema = Schema { token_field: "input", ..formats::EMBEDDINGS };
const COMPLETIONS: Schema = Schema { token_field: "prompt", ..formats::COMPLETIONS };

fn rules_of(token_arrays: TokenArrays) -> Arc<Rules> {
    let spec = RulesSpec { entities: vec!["email".into()], token_arrays, ..RulesSpec::default() };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

/// The redacted body, or the error; however it is cut.
fn read(rules: &Arc<Rules>, schema: Schema, body: &str) -> Result<(String, Ledger), RedactError> {
    let cut = |size: usize| {
        let mut redactor = BodyRedactor::new(Arc::clone(rules), schema, false);
        redactor.decode_tokens(&Models);
        let mut out = Vec::new();
        for piece in body.as_bytes().chunks(size) {
            redactor.push(Bytes::copy_from_slice(piece), &mut out)?;
            assert!(redactor.held_bytes() < 8 << 10, "{body:.80}");
        }
        redactor.finish(&mut out)?;
        let out = out.iter().flat_map(|r| r.as_bytes().to_vec()).collect();
        Ok((String::from_utf8(out).expect("UTF-8"), redactor.ledger().clone()))
    };
    let whole = cut(body.len().max(1));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(cut(size), whole, "{body:.200} in pieces of {size}");
    }
    whole
}

#[test]
fn token_ids_are_sent_as_redacted_text() {
    let rules = rules_of(TokenArrays::Decode);
    for (schema, body, expected) in [
        (
            EMBEDDINGS,
            r#"{"model":"a","input":[72,105,32,256]}"#,
            r#"{"model":"a","input":"Hi [REDACTED_EMAIL]"}"#,
        ),
        // As LangChain sends it: the model comes behind.
        (
            EMBEDDINGS,
            r#"{"input": [[72, 105], [ 256 ,10,34,92]], "model": "a", "encoding_format":"base64"}"#,
            r#"{"input": ["Hi", "[REDACTED_EMAIL]\u000a\"\\"], "model": "a", "encoding_format":"base64"}"#,
        ),
        // The address is made of tokens, and the character of two.
        (
            EMBEDDINGS,
            r#"{"model":"b","input":[[106,64,101,120,46,99,111,109,32,195,164,257]]}"#,
            r#"{"model":"b","input":["[REDACTED_EMAIL] äsecond"]}"#,
        ),
        // Half characters, alone and at the end.
        (
            EMBEDDINGS,
            r#"{"model":"a","input":[[195],[164,65],[240,159,152,128]]}"#,
            "{\"model\":\"a\",\"input\":[\"\u{fffd}\",\"\u{fffd}A\",\"\u{1f600}\"]}",
        ),
        (
            COMPLETIONS,
            r#"{"prompt":[256],"max_tokens":5,"model":"a"}"#,
            r#"{"prompt":"[REDACTED_EMAIL]","max_tokens":5,"model":"a"}"#,
        ),
        // Text is text, in any mixture; other numbers are none.
        (
            EMBEDDINGS,
            r#"{"model":"z","input":["a", "j@ex.com"],"dimensions":256,"x":[1,2]}"#,
            r#"{"model":"z","input":["a", "[REDACTED_EMAIL]"],"dimensions":256,"x":[1,2]}"#,
        ),
        (
            EMBEDDINGS,
            r#"{"model":"a","input":[ "x" ,[72]],"metadata":{"input":[256]}}"#,
            r#"{"model":"a","input":[ "x" ,"H"],"metadata":{"input":[256]}}"#,
        ),
        (EMBEDDINGS, r#"{"model":"z","input":[ ]}"#, r#"{"model":"z","input":[ ]}"#),
        (EMBEDDINGS, r#"{"model":"z","input":[[], [ ] ]}"#, r#"{"model":"z","input":[[], [ ] ]}"#),
        (EMBEDDINGS, r#"{"model":"z","input":"x"}"#, r#"{"model":"z","input":"x"}"#),
        // A name may be escaped.
        (
            EMBEDDINGS,
            r#"{"mod\u0065l":"a","\u0069nput":[256]}"#,
            r#"{"mod\u0065l":"a","\u0069nput":"[REDACTED_EMAIL]"}"#,
        ),
    ] {
        let (out, ledger) = read(&rules, schema, body).expect(body);
        assert_eq!(out, expected, "{body}");
        let places = out.matches("[REDACTED_EMAIL]").count();
        assert_eq!(ledger.count("email") as usize, places, "{body}");
    }
    // A token counts as four bytes of text, whatever it stands for.
    let counted = |body: &str| {
        let mut redactor = BodyRedactor::new(Arc::clone(&rules), EMBEDDINGS, false);
        redactor.decode_tokens(&Models);
        redactor.push(Bytes::copy_from_slice(body.as_bytes()), &mut Vec::new()).expect("good");
        redactor.text_bytes()
    };
    assert_eq!(counted(r#"{"model":"a","input":[[72,105],[256,195]]}"#), 16);
    assert_eq!(counted(r#"{"model":"a","input":["four",[72]]}"#), 8);
    let two = r#"{"model":"a","input":[[72],[256]]}"#;
    assert_eq!(read(&rules, EMBEDDINGS, two).expect("good").1.fields, ["input[1]"]);
}

#[test]
fn tokens_that_cannot_be_read_are_refused() {
    let rules = rules_of(TokenArrays::Decode);
    let white = " ".repeat(2_000);
    for (body, told) in [
        (r#"{"model":"z","input":[[72]]}"#.to_owned(), "check_embedding_ctx_length=False"),
        (r#"{"input":[72],"model":"z"}"#.to_owned(), "check_embedding_ctx_length=False"),
        (r#"{"input":[72],"model":"b"}"#.to_owned(), "put `model` first"),
        (r#"{"input":[72]}"#.to_owned(), "no `model`"),
        (r#"{"model":"a","input":[999]}"#.to_owned(), "no token of a"),
        (r#"{"model":"a","input":[4294967297]}"#.to_owned(), "no token of a"),
        (r#"{"model":"a","input":[-1]}"#.to_owned(), "no token of a"),
        (r#"{"model":"a","input":[1.0]}"#.to_owned(), "no token of a"),
        (r#"{"model":"a","input":[1e2]}"#.to_owned(), "no token of a"),
        (r#"{"model":"a","input":[72,"x"]}"#.to_owned(), "something else"),
        (r#"{"model":"a","input":[[72,null]]}"#.to_owned(), "something else"),
        (r#"{"model":"a","input":[72,[73]]}"#.to_owned(), "something else"),
        // Deeper than any API has it, and where some servers look, too.
        (r#"{"model":"a","input":[[[72]]]}"#.to_owned(), "send `input` as text"),
        (r#"{"model":"a","input":["x",72]}"#.to_owned(), "send `input` as text"),
        (r#"{"model":"a","extra_body":{"input":[72]}}"#.to_owned(), "send `input` as text"),
        (format!(r#"{{"model":"a","input":[{white}72]}}"#), "white space"),
    ] {
        let error = read(&rules, EMBEDDINGS, &body).expect_err(&body);
        assert!(error.to_string().contains(told), "{body:.80}: {error}");
    }
    let many = format!(r#"{{"model":"a","input":[72{}]}}"#, ",72".repeat(1 << 20));
    let mut redactor = BodyRedactor::new(Arc::clone(&rules), EMBEDDINGS, false);
    redactor.decode_tokens(&Models);
    let error = redactor.push(Bytes::from(many), &mut Vec::new()).expect_err("too many");
    assert!(error.to_string().contains("more than 1048576 token ids"), "{error}");
}

#[test]
fn the_policy_decides_about_tokens() {
    let body = r#"{"model":"a","input":[[72,256]]}"#;
    let refused = read(&rules_of(TokenArrays::Refuse), EMBEDDINGS, body);
    assert!(matches!(refused, Err(RedactError::Tokens { .. })), "{refused:?}");
    let allowed = read(&rules_of(TokenArrays::Allow), EMBEDDINGS, body).expect("allowed");
    assert_eq!(allowed.0, body);
    // Where nobody can read them, they do not pass either.
    let mut redactor = BodyRedactor::new(rules_of(TokenArrays::Decode), EMBEDDINGS, false);
    let mut out = Vec::new();
    let pushed = redactor.push(Bytes::copy_from_slice(body.as_bytes()), &mut out);
    assert!(matches!(pushed, Err(RedactError::Tokens { .. })), "{pushed:?}");
    // Formats without such a field are as they were.
    let chat = r#"{"model":"z","messages":[],"logit_bias":{"50256":-100},"input":[1,2]}"#;
    let responses = Schema { token_field: "", ..EMBEDDINGS };
    assert_eq!(read(&rules_of(TokenArrays::Decode), responses, chat).expect("good").0, chat);
}

/// One element of a list: a token, something else, or a list of them.
fn element() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        8 => (0_u32..260).prop_map(|token| token.to_string()),
        1 => Just("\"a@b.co\"".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("-1.5e3".to_owned()),
    ];
    let list = |inner: BoxedStrategy<String>| {
        (proptest::collection::vec(inner, 0..6), " {0,3}")
            .prop_map(|(list, space)| format!("[{space}{}{space}]", list.join(",")))
    };
    let leaf = leaf.boxed();
    prop_oneof![3 => leaf.clone(), 2 => list(leaf)]
}

proptest! {
    /// Any list, with the model before it, behind it or nowhere: every cut of the bytes has the
    /// same outcome, and what leaves is JSON in which no number of that field is left.
    #[test]
    fn lists_of_any_form_have_one_outcome(
        list in proptest::collection::vec(element(), 0..8),
        model in "[abz]?",
        first in any::<bool>(),
    ) {
        let input = format!("\"input\":[{}]", list.join(" , "));
        let model = if model.is_empty() { String::new() } else { format!("\"model\":\"{model}\"") };
        let mut fields = vec![input, model];
        fields.retain(|field| !field.is_empty());
        if first {
            fields.reverse();
        }
        let body = format!("{{{}}}", fields.join(","));
        if let Ok((out, _)) = read(&rules_of(TokenArrays::Decode), EMBEDDINGS, &body) {
            let out: serde_json::Value = serde_json::from_str(&out).expect("JSON");
            let numbers = |list: &serde_json::Value| {
                list.as_array().is_some_and(|list| list.iter().any(serde_json::Value::is_number))
            };
            let input = &out["input"];
            prop_assert!(!numbers(input), "{out}");
            prop_assert!(!input.as_array().is_some_and(|list| list.iter().any(numbers)), "{out}");
        }
    }
}
