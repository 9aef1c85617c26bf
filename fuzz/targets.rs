//! The checks of the fuzz targets on any bytes. Used by the targets here, which a coverage-guided
//! fuzzer drives, and by `tests/fuzz.rs`, which drives them with seeded mutations on a stable
//! compiler.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::de::IgnoredAny;
use tollgate_redact::{
    Attachments, BodyRedactor, BodyRestorer, CustomSpec, ENTITIES, EventRestorer, RedactError,
    Rules, RulesSpec, Schema, TermsSpec,
};
use tollgate_wire::Format;
use tollgate_wire::translate::embeddings::{self, CallAnswer, Service};
use tollgate_wire::translate::{self, Bounds, Call, Context, Operation, Stream, Target};

/// Formats as those of the gateway are.
const CHAT: Schema = Schema { usage_option: true, store_option: true, ..Schema::REQUEST };
const ITEMS: Schema = Schema { typed_items: true, store_option: true, ..Schema::REQUEST };

/// Nothing is looked for.
const NOTHING: usize = 0;
/// E-mail and telephone.
const DEFAULT: usize = 1;
/// All entities, a pattern and a word list.
const EVERYTHING: usize = 2;
/// Placeholders with numbers.
const RESTORE: usize = 3;
/// E-mail and telephone; files pass.
const FILES: usize = 4;

fn rules(which: usize) -> Arc<Rules> {
    static RULES: OnceLock<[Arc<Rules>; 5]> = OnceLock::new();
    let make = |which: usize| {
        let entities: Vec<String> = ENTITIES.iter().map(|e| (*e).to_owned()).collect();
        let custom = CustomSpec {
            name: "c".into(),
            pattern: r"\bC-\d+".into(),
            replacement: "\"c\"".into(),
        };
        let terms =
            TermsSpec { name: "t".into(), words: vec!["heron".into()], replacement: "t".into() };
        let everything = which == EVERYTHING;
        let spec = RulesSpec {
            entities: match which {
                NOTHING => vec![],
                EVERYTHING => entities,
                _ => entities[..2].to_vec(),
            },
            attachments: if matches!(which, NOTHING | FILES) {
                Attachments::Allow
            } else {
                Attachments::Drop
            },
            restore: which == RESTORE,
            restore_arguments: which == RESTORE,
            custom: if everything { vec![custom] } else { vec![] },
            terms: if everything { vec![terms] } else { vec![] },
            ..RulesSpec::default()
        };
        Arc::new(Rules::compile(&spec).expect("rules"))
    };
    Arc::clone(
        &RULES.get_or_init(|| [NOTHING, DEFAULT, EVERYTHING, RESTORE, FILES].map(make))[which],
    )
}

fn run(
    which: usize,
    schema: Schema,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, BodyRedactor), RedactError> {
    let mut redactor = BodyRedactor::new(rules(which), schema, true);
    let mut out = Vec::new();
    for piece in pieces {
        redactor.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    redactor.finish(&mut out)?;
    Ok((out.iter().flat_map(|r| r.as_bytes().to_vec()).collect(), redactor))
}

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// What is accepted as JSON is what serde_json accepts (with UTF-8 checked and depth bounded), and
/// a body in which nothing is looked for leaves as it came.
pub fn tokenizer(data: &[u8]) {
    let oracle = is_json(data);
    match run(NOTHING, Schema::ANSWER, &[data]) {
        Ok((out, _)) => {
            assert!(oracle);
            assert_eq!(out, data);
        }
        Err(RedactError::InvalidJson { reason, .. }) => assert!(!oracle || reason.contains("deep")),
        Err(other) => panic!("{other}"),
    }
}

/// Any bytes, cut anywhere: the same outcome as in one piece; what is given out is JSON. The first
/// two bytes say how.
pub fn redactor(data: &[u8]) {
    let [how, cut, data @ ..] = data else { return };
    let schema = [CHAT, ITEMS, Schema::REQUEST, Schema::UNKNOWN][usize::from(how % 4)];
    let which = [DEFAULT, EVERYTHING, RESTORE][usize::from(how / 4 % 3)];
    let pieces: Vec<&[u8]> = data.chunks(usize::from(*cut % 32) + 1).collect();
    let whole = run(which, schema, &[data]).map(|(out, r)| (out, r.ledger().clone()));
    let cut = run(which, schema, &pieces).map(|(out, r)| (out, r.ledger().clone()));
    assert_eq!(whole, cut);
    // Where a body may be empty, white space is one, too.
    if let Ok((out, _)) = whole
        && !data.iter().all(|b| b" \t\r\n".contains(b))
    {
        assert!(is_json(&out));
    }
}

/// A form, in pieces.
fn run_form(
    which: usize,
    boundaries: [&[u8]; 2],
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, Vec<u8>), RedactError> {
    let mut redactor = BodyRedactor::new(rules(which), Schema::REQUEST, true);
    redactor.read_form(boundaries[0], boundaries[1]);
    let (mut out, mut fields) = (Vec::new(), Vec::new());
    for piece in pieces {
        redactor.push(Bytes::copy_from_slice(piece), &mut out)?;
        fields.extend(redactor.form_fields().unwrap_or_default());
    }
    redactor.finish(&mut out)?;
    fields.extend(redactor.form_fields().unwrap_or_default());
    let whole = |pieces: Vec<tollgate_redact::Redacted>| {
        pieces.iter().flat_map(|piece| piece.as_bytes().to_vec()).collect()
    };
    Ok((whole(out), whole(fields)))
}

/// Any form, cut anywhere: the same outcome as in one piece; what is given out is a form with the
/// same fields, and the fields are JSON. The first two bytes say how.
pub fn form(data: &[u8]) {
    let [how, cut, data @ ..] = data else { return };
    let which = [NOTHING, FILES, EVERYTHING][usize::from(how % 3)];
    let pieces: Vec<&[u8]> = data.chunks(usize::from(*cut % 32) + 1).collect();
    let whole = run_form(which, [b"b", b"no-file-holds-it"], &[data]);
    assert_eq!(whole, run_form(which, [b"b", b"no-file-holds-it"], &pieces));
    let Ok((out, fields)) = whole else { return };
    assert!(is_json(&fields));
    // Quotation marks in names are written as %22, and read as that.
    if fields.contains(&b'\\') {
        return;
    }
    let again = run_form(NOTHING, [b"no-file-holds-it", b"nor-this-one"], &[&out]);
    assert_eq!(again.map(|(_, fields)| fields), Ok(fields));
}

/// Any answer to any request: values come back the same wherever the answer is cut, and what was
/// JSON is JSON. The first bytes say how; the request ends at the first zero byte.
pub fn restorer(data: &[u8]) {
    let [cut, data @ ..] = data else { return };
    let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let (request, answer) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok((redacted, redactor)) = run(RESTORE, CHAT, &[request]) else { return };
    let values = redactor.values().expect("rules with restore");
    for answer in [answer, &redacted] {
        let whole = BodyRestorer::whole(&values, &Bytes::copy_from_slice(answer));
        let mut restorer = BodyRestorer::new(&values);
        let mut out = Vec::new();
        for piece in answer.chunks(usize::from(*cut % 32) + 1) {
            restorer.push(Bytes::copy_from_slice(piece), &mut out);
        }
        restorer.finish(&mut out);
        assert_eq!(out.concat(), whole);
        assert_eq!(is_json(answer), is_json(&whole));
        let mut events = EventRestorer::new(&values);
        for line in answer.split(|b| *b == b'\n') {
            let restored = events.event(b"", line);
            for data in restored.before.iter().map(|e| &e.data).chain(&restored.data) {
                assert!(is_json(data), "{:?}", String::from_utf8_lossy(data));
            }
        }
        events.end();
    }
}

/// Formats that applications speak, and formats that providers speak, with a model of each.
const CALLERS: [Format; 3] =
    [Format::OpenAiChat, Format::AnthropicMessages, Format::OpenAiResponses];
const TARGETS: [(Format, &str); 6] = [
    (Format::OpenAiChat, "gpt-5.6"),
    (Format::AnthropicMessages, "claude-opus-4-8"),
    (Format::AnthropicMessages, "claude-sonnet-4-5"),
    (Format::Gemini, "gemini-3-flash"),
    (Format::BedrockConverse, "anthropic.claude-opus-4-8"),
    (Format::BedrockConverse, "amazon.nova-2-lite-v1:0"),
];
/// Where those stand that are read by targets of their own, too.
const GEMINI: usize = 3;
const BEDROCK: usize = 4;

fn call(format: Format) -> Call<'static> {
    Call { format, operation: Operation::Generate, id: "call", created: 1 }
}

/// Any bytes as a request: it is refused, or its translation is JSON and the same every time. The
/// first byte says from what to what.
pub fn translated_request(data: &[u8]) {
    let [how, data @ ..] = data else { return };
    let caller = CALLERS[usize::from(*how) % CALLERS.len()];
    let (format, model) = TARGETS[usize::from(*how) / CALLERS.len() % TARGETS.len()];
    let translate = || translate::request(&call(caller), &Target::new(format, model), data);
    if let Ok(translated) = translate() {
        assert!(is_json(&translated.body), "{:?}", String::from_utf8_lossy(&translated.body));
        let again = translate().expect("the same");
        assert_eq!((again.body, again.losses), (translated.body, translated.losses));
    }
}

/// The state that a request of this caller leaves for its answer from this provider.
fn context(caller: Format, target: (Format, &str)) -> Context {
    let body = match caller {
        Format::AnthropicMessages => {
            &br#"{"max_tokens":5,"messages":[{"role":"user","content":"a"}]}"#[..]
        }
        Format::OpenAiResponses => br#"{"input":"a","top_logprobs":1,"tools":[{"type":"custom","name":"f"},{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]}]}"#,
        _ => br#"{"messages":[{"role":"user","content":"a"}],"stream_options":{"include_usage":true},"tools":[{"type":"custom","custom":{"name":"f"}}]}"#,
    };
    let target = Target::new(target.0, target.1);
    translate::request(&call(caller), &target, body).expect("a plain request").context
}

/// Any bytes as an answer, whole and as a stream: what is given out is JSON, the same in any
/// pieces, and without an end after a failure. The first two bytes say how.
pub fn translated_answer(data: &[u8]) {
    let [how, cut, data @ ..] = data else { return };
    let caller = CALLERS[usize::from(*how) % CALLERS.len()];
    let target = TARGETS[usize::from(*how) / CALLERS.len() % TARGETS.len()];
    let context = context(caller, target);
    if let Ok(answer) = translate::answer(&context, data) {
        assert!(is_json(&answer.body), "{:?}", String::from_utf8_lossy(&answer.body));
    }
    check_stream(&context, data, *cut);
}

/// Any stream, cut anywhere: whole events of JSON, the same as in one piece, and no mark of an end
/// after a failure.
fn check_stream(context: &Context, data: &[u8], cut: u8) {
    let run = |chunk_bytes: usize| {
        let bounds = Bounds { event_bytes_max: 512, held_bytes_max: 256 };
        let mut stream = Stream::new(context, bounds).expect("a translation");
        let mut out = Vec::new();
        let failed = data
            .chunks(chunk_bytes)
            .any(|chunk| stream.push(Bytes::copy_from_slice(chunk), &mut out).is_err());
        let failed = failed || stream.end(&mut out).is_err();
        (out, failed)
    };
    let (out, failed) = run(data.len().max(1));
    let text = std::str::from_utf8(&out).expect("UTF-8");
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        assert!(line == "[DONE]" || is_json(line.as_bytes()), "{line}");
    }
    let ends = [
        "data: [DONE]",
        "event: message_stop",
        "event: response.completed",
        "event: response.incomplete",
    ];
    assert_eq!(ends.iter().any(|end| text.contains(end)), !failed);
    let (cut_out, cut_failed) = run(usize::from(cut % 32) + 1);
    assert_eq!((String::from_utf8_lossy(&cut_out), cut_failed), (text.into(), failed));
}

const SERVICES: [(Service, &str); 6] = [
    (Service::Gemini, "gemini-embedding-001"),
    (Service::VertexPredict, "text-embedding-005"),
    (Service::VertexContent, "gemini-embedding-2"),
    (Service::Titan, "amazon.titan-embed-text-v2:0"),
    (Service::CohereV3, "cohere.embed-english-v3"),
    (Service::CohereV4, "cohere.embed-v4:0"),
];

/// Any bytes as a request for embeddings, and as the answer to one: what is given out is JSON. The
/// first byte says of which service.
pub fn translated_embeddings(data: &[u8]) {
    let [how, data @ ..] = data else { return };
    let (service, model) = SERVICES[usize::from(*how) % SERVICES.len()];
    if let Ok(translated) = embeddings::request(service, model, data) {
        assert!(!translated.calls.is_empty());
        assert!(translated.calls.iter().all(|call| is_json(&call.body)));
    }
    let asked = match how & 128 {
        0 => &br#"{"input":"a"}"#[..],
        _ => br#"{"input":"a","encoding_format":"base64","dimensions":1024}"#,
    };
    let asked = embeddings::request(service, model, asked).expect("a plain request");
    let answers = [CallAnswer { body: data, input_tokens: None }];
    if let Ok(answer) = embeddings::answer(&asked.context, &answers) {
        assert!(is_json(&answer.body), "{:?}", String::from_utf8_lossy(&answer.body));
    }
}

/// The chunks of Gemini, one a line, and whatever else stands there.
pub fn gemini_stream(data: &[u8]) {
    let [cut, data @ ..] = data else { return };
    let lines = data.split(|byte| *byte == b'\n');
    let stream: Vec<u8> = lines.flat_map(|line| [b"data: ", line, b"\n\n"].concat()).collect();
    let caller = CALLERS[usize::from(cut / 32) % CALLERS.len()];
    check_stream(&context(caller, TARGETS[GEMINI]), &stream, *cut);
}

/// Payloads of Bedrock, one a line, in frames, one bit of which may be wrong.
pub fn bedrock_stream(data: &[u8]) {
    const KINDS: [&str; 7] = [
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "unknown",
    ];
    let [cut, how, data @ ..] = data else { return };
    let mut stream = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        // A digit before the payload names the event.
        let (kind, payload) = line.split_first().unwrap_or((&0, b""));
        let kind = KINDS[usize::from(kind % 8).min(KINDS.len() - 1)];
        let mut headers = header(":message-type", "event");
        headers.extend(header(":event-type", kind));
        stream.extend(frame(&headers, payload));
    }
    if how % 4 == 0 && !stream.is_empty() {
        let at = usize::from(*how) * 37 % stream.len();
        stream[at] ^= 1 << (how / 4 % 8);
    }
    let caller = CALLERS[usize::from(cut / 32) % CALLERS.len()];
    check_stream(&context(caller, TARGETS[BEDROCK]), &stream, *cut);
}

fn header(name: &str, value: &str) -> Vec<u8> {
    let lengths = [name.len(), value.len()].map(|length| u8::try_from(length).expect("short"));
    [&[lengths[0]], name.as_bytes(), &[7, 0, lengths[1]], value.as_bytes()].concat()
}

fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).expect("short").to_be_bytes();
    let with_sum = |mut bytes: Vec<u8>| {
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        bytes.extend(crc.sum().to_be_bytes());
        bytes
    };
    let lengths = [length(16 + headers.len() + payload.len()), length(headers.len())].concat();
    with_sum([&with_sum(lengths), headers, payload].concat())
}
