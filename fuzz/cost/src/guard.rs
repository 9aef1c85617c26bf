//! Usual inputs of the pure libraries, whose instructions `scripts/counts` holds against a record:
//! bodies and an answer for the redactor, answers and streams for the wire formats.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use tollgate_redact::{AnswerRedactor, Rules};
use tollgate_wire::sse::{EventReader, Piece, parse};
use tollgate_wire::{Format, StreamReader};

use crate::cases::{self, Case};
use crate::measure;
use crate::texts::{self, Set};

/// One input.
enum Input {
    /// A body, which comes from the client.
    Body(Case, Bytes),
    /// A whole answer, redacted for the log.
    Logged(Arc<Rules>, Bytes),
    /// A whole answer, of which usage and model are read.
    Answer(Format, Bytes),
    /// A streamed answer in pieces of so many bytes; the reader wants its usage and model.
    Stream(Format, Bytes, usize),
}

/// The texts that are redacted: their kinds, and the rules.
const TEXTS: [(&str, &str); 7] = [
    ("prose", "default"),
    ("code", "default"),
    ("app log", "default"),
    ("contacts", "default"),
    ("contacts", "all"),
    ("phone list", "default"),
    ("Chinese tickets", "default"),
];
const WORDS: &str = "Thank you for your message. We look into your invoice today. ";

/// All inputs by name, the same in every run.
fn inputs() -> Vec<(String, Input)> {
    let all = texts::all(Set::Report, cases::BODY_BYTES);
    let text = |kind: &str| {
        let found = all.iter().find(|(name, _)| *name == kind);
        found.map(|(_, text)| text).expect("a kind of text")
    };
    let mut inputs: Vec<_> = TEXTS
        .iter()
        .map(|(kind, rules)| {
            let case = Case::text(rules, text(kind));
            let body = Bytes::from(case.body());
            (format!("redact: {kind}, {rules}"), Input::Body(case, body))
        })
        .collect();
    let rules = cases::rules(cases::DEFAULT);
    let chat = Bytes::from(chat_answer());
    inputs.push(("redact: answer for the log".to_owned(), Input::Logged(rules, chat.clone())));
    inputs.push(("wire: chat answer".to_owned(), Input::Answer(Format::OpenAiChat, chat)));
    let messages = Bytes::from(messages_stream());
    for (name, format, bytes) in [
        ("chat stream", Format::OpenAiChat, Bytes::from(chat_stream())),
        ("messages stream", Format::AnthropicMessages, messages),
    ] {
        for piece in [100, 16 << 10] {
            let name = format!("wire: {name}, pieces of {piece}");
            inputs.push((name, Input::Stream(format, bytes.clone(), piece)));
        }
    }
    inputs
}

fn chat_answer() -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":300,"completion_tokens":120,"total_tokens":420,"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}}}},"service_tier":"default"}}"#,
        WORDS.repeat(20)
    )
}

fn chat_stream() -> String {
    let head = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":"#;
    let words = WORDS.split_inclusive(' ').cycle().take(200);
    let event = |word: &str| {
        format!(
            "data: {head}[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let events: String = words.map(event).collect();
    format!(
        "{events}data: {head}[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {head}[],\"usage\":{{\"prompt_tokens\":300,\"completion_tokens\":200,\"total_tokens\":500}}}}\n\n\
         data: [DONE]\n\n"
    )
}

fn messages_stream() -> String {
    let event =
        |name: &str, rest: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\",{rest}}}\n\n");
    let words = WORDS.split_inclusive(' ').cycle().take(200);
    let words: String = words
        .map(|word| {
            let delta =
                format!("\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{word}\"}}");
            event("content_block_delta", &delta)
        })
        .collect();
    let usage =
        r#""message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":{"input_tokens":300}}"#;
    let end = r#""delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":200}"#;
    [
        &event("message_start", usage),
        &words,
        &event("message_delta", end),
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ]
    .concat()
}

/// The function that callgrind watches.
#[inline(never)]
fn measured_input(input: &Input) {
    match black_box(input) {
        Input::Body(case, body) => assert!(measure::measured_case(case, body), "a body"),
        Input::Logged(rules, answer) => {
            let mut text = AnswerRedactor::new(rules, answer.clone(), true, 64 << 10);
            while !text.step(16 << 10) {}
            black_box(text.finish());
        }
        Input::Answer(format, answer) => drop(black_box(format.read_answer(answer))),
        Input::Stream(format, bytes, piece) => {
            let (mut events, mut pieces) = (EventReader::new(1 << 20), Vec::new());
            let mut stream = StreamReader::new(*format, 16 << 10);
            for from in (0..bytes.len()).step_by(*piece) {
                let to = bytes.len().min(from + piece);
                events.push(bytes.slice(from..to), &mut pieces);
                for piece in pieces.drain(..) {
                    if let Piece::Event(event) = piece {
                        let event = parse(&event);
                        black_box(stream.event(event.name, &event.data));
                    }
                }
            }
            assert!(stream.ended(), "it reads the stream to its end");
            black_box(stream.usage());
        }
    }
}

/// Runs every input twice; the second time counts.
pub fn run() {
    let inputs = inputs();
    measure::warm();
    for (_, input) in &inputs {
        measured_input(input);
        measured_input(input);
    }
}

/// Prints the instructions of each input: its name and the number, with a tab between them.
pub fn print() {
    let names: Vec<String> = inputs().into_iter().map(|(name, _)| name).collect();
    let totals = measure::totals(&["guarded"], "measured_input", names.len() * 2);
    for (name, total) in names.iter().zip(totals.iter().skip(1).step_by(2)) {
        println!("{name}\t{total}");
    }
}
