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
    b"\"role\":\"assistant\",",
    b"\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}],",
    b"\"finish_reason\":\"stop\"",
    b"\"stop_reason\":\"end_turn\"",
    b"data: ",
    b"\n\n",
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

/// Requests, answers and streams in the formats that are translated.
fn translated_corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        [
            r#"{"input":[{"role":"user","content":"a"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"b"},{"type":"input_image","image_url":"data:image/png;base64,QUJD"}]}],"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{}}}}}"#,
            r#"{"input":[{"role":"user","content":[{"type":"input_file","filename":"a","file_data":"data:application/pdf;base64,QUJD"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"tg1.anthropic.U2c9PQ"},{"role":"assistant","content":[{"type":"output_text","text":"b"}]},{"role":"user","content":"c"}],"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]},{"type":"custom","name":"c","format":{"type":"grammar","syntax":"lark","definition":"x"}}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]}}"#,
            r#"{"input":"a","instructions":"b","temperature":0.5,"top_logprobs":2,"stream":true,"max_output_tokens":9,"metadata":{"a":"b"}}"#,
            r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD","detail":"low"}}]},{"role":"assistant","content":"b","reasoning_content":"Hm","thinking_blocks":[{"type":"thinking","thinking":"Hm","signature":"Sg=="}],"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"c2","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"c2","content":"2"},{"role":"tool","tool_call_id":"c1","content":"1"},{"role":"user","content":"c"}],"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{},"required":[],"additionalProperties":false}}},{"type":"custom","custom":{"name":"h"}}],"tool_choice":"auto","stop":["x"],"temperature":1.5,"reasoning_effort":"high","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"type":["string","null"],"minLength":2}}}}},"stream":true}"#,
            r#"{"max_tokens":9,"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm","signature":"tg1.google.U2c9PQ"},{"type":"text","text":"b"},{"type":"tool_use","id":"t1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"1"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"}}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"thinking":{"type":"enabled","budget_tokens":2000},"output_config":{"effort":"low"},"metadata":{"user_id":"u"}}"#,
            r#"{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"Hm","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#,
            r#"{"model":"m","content":[{"type":"thinking","thinking":"Hm","signature":"Sg=="},{"type":"text","text":"a"},{"type":"tool_use","id":"t1","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":5,"output_tokens":3}}"#,
            "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: \
                {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":\
                {\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\ndata: \
                {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"d\",\"function\":\
                {\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: \
                {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":\
                {\"arguments\":\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\ndata: \
                {\"choices\":[],\"usage\":{\"prompt_tokens\":5}}\n\ndata: [DONE]\n\n",
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"}\
                }\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":\
                {\"type\":\"text\",\"text\":\"\"}}\n\ndata: \
                {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_\
                delta\",\"text\":\"a\"}}\n\ndata: \
                {\"type\":\"content_block_stop\",\"index\":0}\n\ndata: \
                {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_\
                use\",\"id\":\"t\",\"name\":\"f\"}}\n\ndata: \
                {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_\
                delta\",\"partial_json\":\"{}\"}}\n\ndata: \
                {\"type\":\"content_block_stop\",\"index\":1}\n\ndata: \
                {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}\
                ,\"usage\":{\"output_tokens\":5}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
            "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hm\",\"thought\":true},\
                {\"text\":\"a\",\"thoughtSignature\":\"Sg==\"}]}}]}\n\
             {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":\
             {}}}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1}}",
            "8{}\n2{\"delta\":{\"reasoningContent\":{\"text\":\"Hm\"}}\
                }\n2{\"delta\":{\"reasoningContent\":{\"signature\":\"Sg==\"}}}\n3{}\n\
             2{\"contentBlockIndex\":1,\"delta\":{\"text\":\"a\"}}\n3{\"contentBlockIndex\":1}\n\
             1{\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\"}}}\n\
             2{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}\
             }\n3{\"contentBlockIndex\":2}\n\
             4{\"stopReason\":\"tool_use\"}\n5{\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}",
            r#"{"output":{"message":{"content":[{"text":"a"},{"toolUse":{"toolUseId":"t","name":"f","input":{"a":1}}}]}},"stopReason":"tool_use","usage":{"inputTokens":1}}"#,
        ]
        .map(|body| body.as_bytes().to_vec())
        .into()
    })
}

/// An input made of a corpus.
fn input(rng: &mut fastrand::Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
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
fn drive(target: fn(&[u8]), corpus: &[Vec<u8>], head: usize, two: bool) {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let mut rng = fastrand::Rng::with_seed(number("TOLLGATE_FUZZ_SEED", 1));
    for run in 0..number("TOLLGATE_FUZZ_RUNS", RUNS) {
        let mut data: Vec<u8> = (0..head).map(|_| rng.u8(..)).collect();
        data.extend(input(&mut rng, corpus));
        if two {
            // The answer to the first.
            data.push(0);
            data.extend(input(&mut rng, corpus));
        }
        if let Err(panic) = std::panic::catch_unwind(|| target(&data)) {
            let said = panic.downcast_ref::<String>().map_or("", String::as_str);
            panic!("run {run}, input {:?}: {said}", String::from_utf8_lossy(&data));
        }
    }
}

#[test]
fn tokenizer() {
    drive(targets::tokenizer, corpus(), 0, false);
}

#[test]
fn redactor() {
    drive(targets::redactor, corpus(), 2, false);
}

#[test]
fn restorer() {
    drive(targets::restorer, corpus(), 1, true);
}

#[test]
fn form() {
    let part = |disposition: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    };
    let corpus = [
        [part("name=\"model\"", "m"), part("name=\"prompt\"", "to a@x.org \"x\"\\")].concat(),
        [part("name=f; filename=\"a\"", "\0\r\n--other"), part("name=n", "2")].concat(),
        part("name=f; filename=\"a@x.org\"", "mail bob@example.org")
            .replace("org\r\n--", "org\r\n-"),
        part("name=stream", "true").replace("\r\n\r\n", "\r\nContent-Type: text/plain\r\n\r\n"),
    ]
    .map(|parts: String| [&parts, "--b--\r\n"].concat().into_bytes());
    drive(targets::form, &corpus, 2, false);
}

#[test]
fn translated_request() {
    drive(targets::translated_request, translated_corpus(), 1, false);
}

#[test]
fn translated_answer() {
    drive(targets::translated_answer, translated_corpus(), 2, false);
}

#[test]
fn translated_embeddings() {
    let corpus = [
        r#"{"input":["a","b"],"dimensions":1024,"encoding_format":"base64","input_type":"search_query"}"#,
        r#"{"embeddings":[{"values":[0.5,1]}],"usageMetadata":{"promptTokenCount":2}}"#,
        r#"{"embedding":{"values":[0.5,1]}}"#,
        r#"{"embedding":[0.5,1],"inputTextTokenCount":2}"#,
        r#"{"embeddings":{"float":[[0.5,1]]}}"#,
        r#"{"predictions":[{"embeddings":{"values":[0.5,1],"statistics":{"token_count":2.0}}}]}"#,
    ]
    .map(|body: &str| body.as_bytes().to_vec());
    drive(targets::translated_embeddings, &corpus, 1, false);
}

#[test]
fn gemini_stream() {
    drive(targets::gemini_stream, translated_corpus(), 1, false);
}

#[test]
fn bedrock_stream() {
    drive(targets::bedrock_stream, translated_corpus(), 2, false);
}
