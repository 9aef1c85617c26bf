//! A search for inputs that cost more: units are put together from fragments and changed, the worst
//! of each rule set and frame go on.

use rustix::time::{ClockId, clock_gettime};

use crate::cases::{Case, FRAMES, RULES};
use crate::measure;

/// The texts that detectors and the tokenizer look for.
const FRAGMENTS: &[&str] = &[
    "@",
    "a@b.co",
    "%40",
    "%2540",
    "a",
    "b",
    "x",
    ".",
    "-",
    "+",
    "(",
    ")",
    "[",
    "]",
    "/",
    ":",
    ",",
    ";",
    " ",
    "  ",
    "_",
    "=",
    "&",
    "?",
    "#",
    "'",
    "<",
    ">",
    "{",
    "}",
    "|",
    "~",
    "*",
    "!",
    "$",
    "^",
    "`",
    "%",
    "%20",
    "%3D",
    "%2B",
    "0",
    "00",
    "1",
    "12",
    "123",
    "1234",
    "0049",
    "011",
    "7",
    "20",
    "555",
    "2024-11-05",
    "192.168.0.1",
    "010190",
    "5551234",
    "4155550132",
    "+1",
    "+49 30 1234567",
    "(030) ",
    "555-123-4567",
    "06 12 34 56 78",
    "tel ",
    "phone",
    "fax",
    "id ",
    "order ",
    "ext",
    " x1",
    " or ",
    ".png",
    ".js",
    ".co",
    ".com",
    "http://",
    "://",
    "git",
    "this",
    "[bot]",
    "xn--",
    "data:",
    "data:a/b,",
    ";base64,",
    "::",
    "f:",
    "1:2",
    "sk-",
    "ghp_",
    "eyJ",
    "AKIA",
    "-----BEGIN ",
    "SG.",
    "DE89",
    "4111 1111 1111 1111",
    "078-05-1120",
    "falcon",
    "blue heron",
    "EMP-",
    "EMP-123456",
    "case",
    "case 12345",
    "é",
    "ß",
    "я",
    "电",
    "电话",
    "ا",
    "ֱ",
    "。",
    "ー",
    "—",
    "＠",
    "５",
    "\u{200b}",
    "🙂",
    "☎",
    "ə",
    "\\n",
    "\\t",
    "\\\"",
    "\\\\",
    "\\u0040",
    "\\u0031",
    "\\ud83d",
    "\\\\u0040",
    "\\\\n",
    "\\\\\\\"",
    "\"",
    "\"\"",
    "\"k\":",
    "\"\":",
    "{}",
    "[]",
    "\"a@b.co\"",
    "\"12345678\"",
    "null",
    "\"type\":\"text\"",
    "\"text\":\"a@b.co\"",
    "{\"type\":\"text\",\"text\":\"x\"}",
    "{\"type\":\"image_url\",\"text\":\"a@b.co\"}",
    "\"phone\":\"1\"",
    "1e9",
    "1) ",
    "2) ",
    "415-555-0132 ",
    "0171 1234567",
    " / ",
    "24/7",
    "tel:",
    ",",
    "jane roe",
    "Жар-птица",
    "%25",
    "%41",
    "%3A",
    "%0A",
    "=2E",
    "=40",
    "=\\n",
    "=\\r\\n",
    "\\\"a b\\\"@c.de",
    "\\\"@c.de",
    "@b.co",
    "@c.de",
    "@example.com",
    "v1.2.3",
    "@2x",
    ".com.",
    "Please",
    ".run(",
    "(1)",
    ".name",
    "x123456",
    "xn--p1ai",
    "рф",
    "[192.0.2.1]",
    "ssh://",
    "user:",
    "git@",
    "mailto:",
    "{\\\"a\\\":\\\"b\\\",",
    "[\\\"c\\\",",
    "\\\"phone\\\":",
    "1,",
    "::1",
    "2001:db8::",
    "prvs=",
    "a=1&",
    "\u{301}",
    "\u{2800}",
];

/// Cases kept for each rule set and frame.
const POOL: usize = 6;
/// Longest unit.
const UNIT_BYTES_MAX: usize = 400;

fn mutate(rng: &mut fastrand::Rng, case: &Case, others: &[(f64, Case)]) -> Case {
    let mut unit = case.unit.clone();
    for _ in 0..rng.usize(1..5) {
        let mut at = rng.usize(..=unit.len());
        while !unit.is_char_boundary(at) {
            at -= 1;
        }
        match rng.u8(0..9) {
            0..=2 => unit.insert_str(at, FRAGMENTS[rng.usize(..FRAGMENTS.len())]),
            3 | 4 => {
                let mut to = (at + rng.usize(1..8)).min(unit.len());
                while !unit.is_char_boundary(to) {
                    to -= 1;
                }
                unit.replace_range(
                    at..to,
                    if rng.bool() { "" } else { FRAGMENTS[rng.usize(..FRAGMENTS.len())] },
                );
            }
            5 => {
                let mut to = (at + rng.usize(1..24)).min(unit.len());
                while !unit.is_char_boundary(to) {
                    to -= 1;
                }
                let again = unit[at..to].repeat(rng.usize(1..6));
                unit.insert_str(at, &again);
            }
            6 if !others.is_empty() => {
                let other = &others[rng.usize(..others.len())].1.unit;
                unit.insert_str(at, other);
            }
            7 => unit.insert(at, char::from(rng.u8(0x20..0x7f))),
            _ => unit = unit.repeat(2),
        }
    }
    while unit.len() > UNIT_BYTES_MAX {
        unit.pop();
    }
    Case { rules: case.rules, frame: case.frame, unit }
}

/// Looks for so many seconds, then prints the worst.
pub fn search(seeds: Vec<Case>, seed: u64, seconds: f64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    measure::warm();
    let mut pools: Vec<Vec<(f64, Case)>> = vec![Vec::new(); RULES.len() * FRAMES.len()];
    let pool_of = |case: &Case| case.rules * FRAMES.len() + case.frame;
    for case in seeds {
        if let Some(ns) = measure::time(&case) {
            pools[pool_of(&case)].push((ns, case));
        }
    }
    let begun = clock_gettime(ClockId::Monotonic).tv_sec as f64;
    let mut tried = 0u64;
    while clock_gettime(ClockId::Monotonic).tv_sec as f64 - begun < seconds {
        tried += 1;
        let (rules, frame) = (rng.usize(..RULES.len()), rng.usize(..FRAMES.len()));
        let which = rules * FRAMES.len() + frame;
        let case = if pools[which].is_empty() || rng.u8(0..20) == 0 {
            // From another pool of the frame, or from nothing.
            let pool = &pools[rng.usize(..RULES.len()) * FRAMES.len() + frame];
            match pool.first() {
                Some((_, case)) => Case { rules, ..case.clone() },
                None => {
                    Case { rules, frame, unit: FRAGMENTS[rng.usize(..FRAGMENTS.len())].to_owned() }
                }
            }
        } else {
            pools[which][rng.usize(..pools[which].len())].1.clone()
        };
        let case = mutate(&mut rng, &case, &pools[which]);
        if pools[which].iter().any(|(_, c)| *c == case) {
            continue;
        }
        let Some(ns) = measure::time(&case) else { continue };
        let pool = &mut pools[which];
        if pool.len() < POOL || pool.last().is_some_and(|(worst, _)| ns > *worst) {
            pool.push((ns, case));
            pool.sort_by(|a, b| b.0.total_cmp(&a.0));
            pool.truncate(POOL);
        }
    }
    println!("// {tried} tried");
    for pool in &pools {
        for (ns, case) in pool.iter().take(2) {
            let again = measure::time(case).unwrap_or(0.0).min(*ns);
            println!("{:8.1} MB/s\t{case}", 1000.0 / again);
        }
    }
}

/// Prints a digest of what comes out of random cases.
pub fn outputs(seed: u64, count: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..count {
        let (rules, frame) = (rng.usize(..RULES.len()), rng.usize(..FRAMES.len()));
        let mut unit = String::new();
        for _ in 0..rng.usize(1..30) {
            let fragment = FRAGMENTS[rng.usize(..FRAGMENTS.len())];
            if unit.len() < 1500 {
                unit.push_str(&fragment.repeat(if rng.u8(0..8) == 0 {
                    rng.usize(1..40)
                } else {
                    1
                }));
            }
        }
        let text = matches!(FRAMES[frame].0, "text" | "nested");
        if !text && !unit.starts_with(['"', '{', '[']) {
            unit = format!("\"{}\"", unit.replace('"', ""));
        }
        let case = Case { rules, frame, unit };
        let mut body = case.body();
        if rng.bool() {
            // Only a few units.
            body = Case { unit: case.unit.clone(), ..case }.few();
        }
        let body = bytes::Bytes::from(body);
        let digest = measure::digest(&case, &body, body.len().max(1));
        let cut = measure::digest(&case, &body, rng.usize(1..700));
        println!("{digest:016x} {} {case}", if digest == cut { "" } else { "CUT" });
    }
}

/// Looks for pieces in which other bytes come out than of the whole body, and shows both.
pub fn cuts(cases: &[Case]) {
    for case in cases {
        for body in [case.few(), case.body()].map(bytes::Bytes::from) {
            let digest = measure::digest(case, &body, body.len());
            let Some(piece) = (1..700).find(|piece| measure::digest(case, &body, *piece) != digest)
            else {
                continue;
            };
            println!("pieces of {piece} bytes of {}: {case}", body.len());
            if body.len() < 1000 {
                println!(
                    "{}\n{}",
                    measure::output(case, &body, body.len()),
                    measure::output(case, &body, piece)
                );
            }
        }
    }
}

/// Cases that are counted in one round.
const EACH: usize = 80;
/// The worst ones, which are changed for the next round.
const PARENTS: usize = 24;

/// Changes the worst cases for so many rounds; all that were counted. The same ones in every run.
pub fn hunt(seeds: Vec<Case>, seed: u64, rounds: usize) -> Vec<(f64, Case)> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut counted = measure::count(&seeds);
    for _ in 0..rounds {
        counted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut next: Vec<Case> = Vec::new();
        while next.len() < EACH {
            let parent = &counted[rng.usize(..PARENTS.min(counted.len()))].1;
            let mut case = mutate(&mut rng, parent, &counted[..PARENTS.min(counted.len())]);
            if rng.u8(0..8) == 0 {
                case.rules = rng.usize(..RULES.len());
            }
            if !case.unit.is_empty() && measure::is_taken(&case) {
                next.push(case);
            }
        }
        counted.extend(measure::count(&next));
    }
    counted
}
