//! The fuzz targets, driven by seeded mutations: the same inputs in every run, on a stable
//! compiler, a few seconds each. `TOLLGATE_FUZZ_RUNS=10000000 TOLLGATE_FUZZ_SEED=7 cargo test
//! --test fuzz` goes further by hand.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::sync::OnceLock;

/// Inputs of one test.
const RUNS: u64 = 150_000;
/// Longest input.
const INPUT_BYTES_MAX: usize = 2048;

/// What is put into an input now and then: what the tokenizer and the detectors look for.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0040",
    b"\\u005b",
    b"\\ud83d",
    b"\\\"",
    b"\\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\0",
    b"@",
    b"%40",
    b"bob@example.org",
    b".com",
    b"+1 415 555 0132",
    b"(020) 7946 0018",
    b"tel ",
    b"order ",
    b"4111 1111 1111 1111",
    b"DE89 3704 0044 0532 0130 00",
    b"078-05-1120",
    b"10.0.0.1",
    b"sk-abcdefghij0123456789klmn",
    b"-----BEGIN PRIVATE KEY-----",
    b"data:image/png;base64,iVBORw0KGgo=",
    b"\xe2\x80\x8b",
    b"\xef\xbc\xa0",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\xff",
    b"C-12",
    b"heron",
    b"\"type\":\"image_url\"",
    b"\"type\":\"text\",",
    b"\"image_url\":",
    b"\"content\":",
    b"\"arguments\":\"{\\\"a\\\":\\\"",
    b"\"stream\":true,",
    b"\"delta\":",
    b"\"index\":0,",
    b"[REDACTED_EMAIL_1]",
    b"[REDACTED_",
    b"EMAIL_1]",
    b"1e9",
    b"-0.5",
    b"null",
];

fn corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let texts = include_str!("../crates/redact/src/tests/cases.tsv").lines().filter_map(|line| line.splitn(4, '\t').nth(3));
        let mut corpus: Vec<Vec<u8>> = texts
            .map(|text| {
                let text = text.replace(['«', '»', '‹', '›'], "");
                serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string().into()
            })
            .collect();
        let bodies = [
            r#"{"messages":[{"content":[{"type":"text","text":"a@x.org"},{"image_url":{"url":"data:;base64,AA=="},"type":"image_url"}]}]}"#,
            r#"{"messages":[{"tool_calls":[{"function":{"arguments":"{\"to\":\"a@x.org\",\"n\":4155550132}"}}]}],"stream":true}"#,
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"+1 415 555 0132"},{"type":"input_file","file_id":"f"}]}]}"#,
            r#"{"messages":[{"content":[{"type":"tool_result","content":[{"type":"image","source":{"data":"AA=="}}]}]}],"system":"x"}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"to [REDACTED_EM"}}]}"#,
            r#"{"stream_options":{"include_usage":false},"stream":true,"metadata":{"a@x.org":"b@x.org"}}"#,
        ];
        corpus.extend(bodies.map(|body| body.as_bytes().to_vec()));
        corpus
    })
}

/// An input made of the corpus.
fn input(rng: &mut fastrand::Rng) -> Vec<u8> {
    let corpus = corpus();
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.usize(0..6) {
        let at = rng.usize(..=input.len());
        match rng.u8(0..6) {
            0 if at < input.len() => input[at] = rng.u8(..),
            1 if at < input.len() => {
                drop(input.drain(at..(at + rng.usize(1..16)).min(input.len())))
            }
            2 => {
                let other = &corpus[rng.usize(..corpus.len())];
                let from = rng.usize(..other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            3 => {
                let again = input[at..(at + rng.usize(1..64)).min(input.len())].to_vec();
                input.splice(at..at, again);
            }
            _ => drop(input.splice(at..at, TOKENS[rng.usize(..TOKENS.len())].iter().copied())),
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

/// Runs a target, and tells the input with which it fails. `head`: bytes that say how; `two`: it
/// takes two bodies.
fn drive(target: fn(&[u8]), head: usize, two: bool) {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let mut rng = fastrand::Rng::with_seed(number("TOLLGATE_FUZZ_SEED", 1));
    for run in 0..number("TOLLGATE_FUZZ_RUNS", RUNS) {
        let mut data: Vec<u8> = (0..head).map(|_| rng.u8(..)).collect();
        data.extend(input(&mut rng));
        if two {
            // The answer to the first.
            data.push(0);
            data.extend(input(&mut rng));
        }
        if let Err(panic) = std::panic::catch_unwind(|| target(&data)) {
            let said = panic.downcast_ref::<String>().map_or("", String::as_str);
            panic!("run {run}, input {:?}: {said}", String::from_utf8_lossy(&data));
        }
    }
}

#[test]
fn tokenizer() {
    drive(targets::tokenizer, 0, false);
}

#[test]
fn redactor() {
    drive(targets::redactor, 2, false);
}

#[test]
fn restorer() {
    drive(targets::restorer, 1, true);
}
