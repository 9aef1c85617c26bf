//! The cost of the redactor, as ratios in one run: against memcpy, `memchr('@')`, an e-mail|phone
//! regex in one pass, a word automaton and JSON validation alone.
//!
//! `cargo bench --bench redact`, or only some texts: `cargo bench --bench redact -- logs dense`.
//! One thread, best of several runs; texts fit the cache. Whole path: tokenise, detect, write.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "a defect ends the program")]

#[path = "support/texts.rs"]
mod usual;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tollgate_redact::{BodyRedactor, Rules, RulesSpec, TermsSpec};
use tollgate_wire::Format;

const SIZE: usize = 8 << 20;

/// Seconds of the fastest of some runs.
fn best(mut f: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    let began = Instant::now();
    let mut runs = 0;
    while runs < 3 || began.elapsed().as_millis() < 600 {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

fn redact(rules: &Arc<Rules>, body: &Bytes, piece: usize) -> usize {
    let mut redactor = BodyRedactor::new(Arc::clone(rules), *Format::OpenAiChat.schema(), false);
    let mut out = Vec::new();
    let mut n = 0;
    let mut from = 0;
    while from < body.len() {
        let to = (from + piece).min(body.len());
        redactor.push(body.slice(from..to), &mut out).unwrap();
        n += out.drain(..).map(|r| r.as_bytes().len()).sum::<usize>();
        from = to;
    }
    redactor.finish(&mut out).unwrap();
    n + out.drain(..).map(|r| r.as_bytes().len()).sum::<usize>()
}

fn chat(content: &str) -> Bytes {
    let content = serde_json::to_string(content).unwrap();
    Bytes::from(format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":{content}}}]}}"#
    ))
}

fn filled(of: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(SIZE + 256);
    let mut i = 0;
    while text.len() < SIZE {
        text.push_str(&of(i));
        i += 1;
    }
    text
}

fn prose(i: usize) -> String {
    const WORDS: &[&str] = &[
        "The", "meeting", "was", "moved", "because", "nobody", "could", "agree", "on", "a",
        "room,", "so", "we", "wrote", "the", "summary", "together", "and", "sent", "it", "to",
        "everyone", "who", "asked", "in", "2024.",
    ];
    let mut text = String::new();
    for k in 0..14 {
        text.push_str(WORDS[(i * 7 + k * 5) % WORDS.len()]);
        text.push(' ');
    }
    if i % 8 == 7 {
        text.push('\n');
    }
    text
}

/// Seconds for a body of 1 GiB in pieces of 16 KiB, and the most that was held between two of them.
fn gibibyte(rules: &Arc<Rules>, text: &str) -> (f64, usize) {
    let mut redactor = BodyRedactor::new(Arc::clone(rules), *Format::OpenAiChat.schema(), false);
    let pieces: Vec<Bytes> = text
        .replace('\n', " ")
        .into_bytes()
        .chunks_exact(16 << 10)
        .map(Bytes::copy_from_slice)
        .collect();
    let mut out = Vec::new();
    redactor
        .push(Bytes::from_static(br#"{"messages":[{"role":"user","content":""#), &mut out)
        .unwrap();
    let began = Instant::now();
    let mut held = 0;
    for piece in pieces.iter().cycle().take(1 << 16) {
        redactor.push(piece.clone(), &mut out).unwrap();
        black_box(out.drain(..).count());
        held = held.max(redactor.held_bytes());
    }
    redactor.push(Bytes::from_static(br#""}]}"#), &mut out).unwrap();
    redactor.finish(&mut out).unwrap();
    (began.elapsed().as_secs_f64(), held)
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    let entities = vec!["email".to_owned(), "phone".to_owned()];
    let spec = RulesSpec { entities, ..RulesSpec::default() };
    let rules = Arc::new(Rules::compile(&spec).unwrap());
    let regex = regex::bytes::Regex::new(
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}|\+?\d{1,3}?[-. ]?\(?\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}",
    )
    .unwrap();
    let words =
        aho_corasick::AhoCorasick::new(["phone", "telefon", "order", "ticket", "invoice"]).unwrap();
    let log = |i: usize| {
        format!(
            "2024-11-05T12:{:02}:{:02}.{:03}Z INFO 10.0.{}.{} req={} took {} ms status=200 \
                bytes={}\n",
            i % 60,
            i * 7 % 60,
            i % 1000,
            i % 256,
            i * 3 % 256,
            100_000 + i,
            i % 977,
            i * 31 % 100_000
        )
    };
    let dense = |i: usize| {
        let contact = if i.is_multiple_of(2) {
            format!("user{i}@example.com")
        } else {
            format!("555-{:03}-{:04}", i % 1000, i % 10_000)
        };
        format!(
            "Please write to the person who is in charge of the order, {contact}, before the end \
                of this week. "
        )
    };
    let texts = [("prose", filled(prose)), ("logs", filled(log)), ("dense", filled(dense))];
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11}",
        "GB/s", "redact", "16K cuts", "memcpy", "memchr@", "regex", "serde", "words"
    );
    for (name, text) in texts.iter().filter(|(name, _)| wanted(name)) {
        let body = chat(text);
        let rate = |seconds: f64| body.len() as f64 / seconds / 1e9;
        let mut copy = vec![0u8; body.len()];
        let ours = rate(best(|| {
            black_box(redact(&rules, &body, body.len()));
        }));
        let cuts = rate(best(|| {
            black_box(redact(&rules, &body, 16 << 10));
        }));
        let memcpy = rate(best(|| black_box(&mut copy).copy_from_slice(black_box(&body))));
        let at = rate(best(|| {
            black_box(memchr::memchr_iter(b'@', &body).count());
        }));
        let pattern = rate(best(|| {
            black_box(regex.find_iter(&body).count());
        }));
        let valid = rate(best(|| {
            black_box(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok());
        }));
        let automaton = rate(best(|| {
            black_box(words.find_iter(&body[..]).count());
        }));
        println!(
            "{name:<10} {ours:>9.2} {cuts:>9.2} {memcpy:>9.2} {at:>9.2} {pattern:>9.2} \
                {valid:>9.2} {automaton:>11.2}"
        );
    }
    let rate = |body: &Bytes| {
        body.len() as f64
            / best(|| {
                black_box(redact(&rules, body, 64 << 10));
            })
            / 1e9
    };
    if wanted("usual") {
        for set in [usual::Set::Tuning, usual::Set::Report] {
            for (name, text) in usual::all(set, SIZE / 8) {
                println!("{set:?} {name:<16} {:>9.3}", rate(&chat(&text)));
            }
        }
    }
    let escaped: String =
        texts[0].1.chars().take(SIZE / 6).map(|c| format!("\\u{:04x}", c as u32)).collect();
    if wanted("escaped") {
        println!(
            "escaped    {:>9.3}",
            rate(&Bytes::from(format!(r#"{{"messages":[{{"content":"{escaped}"}}]}}"#)))
        );
    }
    for (name, unit) in [
        ("umlauts", "Die Größe übertrifft jede Äußerung über das Öl. "),
        ("chinese", "会议改期了，因为没有人同意房间安排。"),
        ("digits", "1234567890"),
        ("pairs", "12 "),
        ("singles", "1-"),
        ("at signs", "@"),
        ("letters", "a"),
        ("a@", "a@"),
        ("a.b@", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b@"),
        ("data:", "data:"),
        ("data", "data:a/b;"),
        ("quotes", "\"@"),
        ("slashes", "\\u00"),
        ("tel", "tel 12345678901234567890 "),
        ("invisible", "\u{200b}"),
        ("labels", "a@b.c."),
    ] {
        if wanted(name) {
            println!("{name:<10} {:>9.3}", rate(&chat(&unit.repeat(SIZE / unit.len() / 2))));
        }
    }
    // Inputs that were quadratic once, as ratios against text full of matches.
    let spec = |entity: &str, word: &str| RulesSpec {
        entities: ["email", "phone"]
            .into_iter()
            .chain((!entity.is_empty()).then_some(entity))
            .map(str::to_owned)
            .collect(),
        terms: if word.is_empty() {
            Vec::new()
        } else {
            vec![TermsSpec {
                name: "t".to_owned(),
                words: vec![word.to_owned()],
                replacement: "[T]".to_owned(),
            }]
        },
        ..RulesSpec::default()
    };
    if wanted("bad") {
        let base = rate(&chat(&texts[2].1));
        let names = format!("{{\"{}\":", "a".repeat(63)).repeat(120);
        let fields = vec![r#""k":"a@b.co""#; SIZE / 64].join(",");
        let deep = format!(r#"{{"messages":[],"x":{names}{{{fields}}}{}}}"#, "}".repeat(120));
        let repeated = |unit: &str| chat(&unit.repeat(SIZE / 8 / unit.len()));
        for (name, spec, body) in [
            ("deep keys", spec("", ""), Bytes::from(deep)),
            ("%40b.png", spec("", ""), repeated("%40b.png")),
            ("sk-sk-sk-", spec("api_key", ""), repeated("sk-sk-sk- a@b.co ")),
            ("a@b.co", spec("", ""), repeated("a@b.co ")),
            ("falcon", spec("", "falcon"), repeated("0]00132555[falcon'")),
            ("groups", spec("", ""), repeated("12(34(56(78(90(")),
            ("tel groups", spec("", ""), repeated("tel 12(34(56(78(90(12(34(56(78(90(")),
        ] {
            let rules = Arc::new(Rules::compile(&spec).unwrap());
            let seconds = best(|| {
                black_box(redact(&rules, &body, 64 << 10));
            });
            let rate = body.len() as f64 / seconds / 1e9;
            println!("{name:<10} {rate:>9.3} GB/s, {:.2} of dense text", rate / base);
        }
    }
    if !only.is_empty() {
        return;
    }
    for (name, text) in &texts {
        let (seconds, held) = gibibyte(&rules, text);
        println!(
            "1 GiB of {name:<10} {:>9.2} GB/s, at most {held} bytes held",
            (1u64 << 30) as f64 / seconds / 1e9
        );
    }
    for size in [1536, 4096, 65536] {
        let body = chat(&texts[0].1[..size]);
        let seconds = best(|| {
            for _ in 0..64 {
                black_box(redact(&rules, &body, body.len()));
            }
        });
        println!("{size:>6} bytes {:>8.2} us", seconds / 64.0 * 1e6);
    }
}
