//! Text without personal data, in which every entity is looked for: little of it may be taken out.

use std::fmt::Write;

use super::*;

/// Matches in a megabyte that are borne.
const PER_MB_MAX: f64 = 5.0;
/// Bytes of generated text.
const BYTES: usize = 1 << 20;

/// Numbers that look random and are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

/// Lines of logs, programs, tables and prose with numbers of every length.
fn generated() -> String {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut text = String::with_capacity(BYTES + 1024);
    while text.len() < BYTES {
        let r = &mut random;
        let (a, b, c) = (r.next(), r.next(), r.next());
        let n = r.below(100_000_000);
        let (h, m, s, ms) = (r.below(24), r.below(60), r.below(60), r.below(1000));
        let line = match r.below(16) {
            0 => format!(
                "2026-11-{:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z INFO gateway: request id={:08x} \
                 took {ms} ms, {n} bytes",
                1 + a % 30,
                b as u32
            ),
            1 => format!(
                "trace_id={a:016x}{b:016x} span_id={c:016x} \
                 parent={:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                a as u32,
                b as u16,
                c & 0xfff,
                a & 0xfff,
                b & 0xffff_ffff_ffff
            ),
            2 => format!("    let mask: u64 = 0x{a:x}; // {:#018x}, {}", b, n),
            3 => format!(
                "const TABLE: [u32; 4] = [{}, {}, {}, {}];",
                a as u32, b as u32, c as u32, n
            ),
            4 => format!(
                "| {} | {:.3} | {:.1} % | {} |",
                n,
                (a % 10_000) as f64 / 7.0,
                (b % 1000) as f64 / 10.0,
                c % 1000
            ),
            5 => format!(
                "{},{},{},{:.6},{:.6}",
                a % 100_000,
                b % 1_000_000,
                n,
                (b % 180) as f64 / 1.37,
                (c % 90) as f64 / 1.91
            ),
            6 => format!(
                "name = \"crate-{}\"\nversion = \"{}.{}.{}\"\n\
                 checksum = \"{a:016x}{b:016x}{c:016x}{a:016x}\"",
                n % 977,
                a % 9,
                b % 40,
                c % 30
            ),
            7 => format!(
                "assert_eq!(digest, \"{a:016x}{c:016x}\"); // offset {n}, line {}",
                b % 4000
            ),
            8 => format!(
                "[{h:02}:{m:02}:{s:02}] worker-{} processed {} items in {}.{ms:03} s (rss {} kB)",
                a % 64,
                n % 10_000,
                b % 90,
                c % 9_000_000
            ),
            9 => format!(
                "GET /v1/objects/{} HTTP/1.1\" 200 {} \"-\" \"curl/8.{}.{}\"",
                a % 10_000_000_000,
                n,
                b % 20,
                c % 9
            ),
            10 => format!(
                "  {:8} {:8} {:8} {:8}",
                a % 100_000_000,
                b % 100_000_000,
                c % 100_000_000,
                n
            ),
            11 => format!(
                "In section {}.{} of the report from {} the sum rose by {:.2} to {} units.",
                a % 9,
                b % 20,
                1990 + c % 40,
                (a % 9999) as f64 / 100.0,
                n
            ),
            12 => format!(
                "  0x{a:016x} <main+{}>: mov 0x{:x}(%rip),%eax  # 0x{:x}",
                n % 4096,
                b as u32,
                c as u32
            ),
            13 => format!(
                "order #{} shipped, batch {}-{}, sku {}",
                n,
                a % 10_000,
                b % 1000,
                c % 1_000_000_000
            ),
            14 => format!(
                "epoch {} next {} delta {}",
                1_600_000_000 + a % 200_000_000,
                1_600_000_000_000 + b % 200_000_000_000,
                n % 5000
            ),
            _ => format!(
                "{:x}:{:x} commit {:07x} +{} -{} files {}",
                a as u16,
                b as u16,
                c & 0xfff_ffff,
                a % 900,
                b % 700,
                n % 90
            ),
        };
        _ = writeln!(text, "{line}");
    }
    text
}

/// What is taken out of `text`, with what stands around it.
fn taken(rules: &Rules, text: &str) -> Vec<String> {
    let mut redactor = TextRedactor::new(rules);
    redactor.explain();
    let mut out = Vec::new();
    redactor.push(Bytes::copy_from_slice(text.as_bytes()), &mut out);
    redactor.finish(&mut out);
    let findings = redactor.findings();
    findings
        .iter()
        .map(|found| {
            let (from, to) = (found.from as usize, found.to as usize);
            let around = String::from_utf8_lossy(
                &text.as_bytes()[from.saturating_sub(40)..text.len().min(to + 20)],
            );
            let what = String::from_utf8_lossy(&text.as_bytes()[from..to]);
            format!("{} {what:?} in {around:?}", found.kind)
        })
        .collect()
}

#[test]
fn numbers_of_logs_and_programs_stay() {
    let text = generated();
    let taken = taken(&rules(ENTITIES), &text);
    let per_mb = taken.len() as f64 * (1 << 20) as f64 / text.len() as f64;
    assert!(per_mb <= PER_MB_MAX, "{per_mb:.1} in a megabyte: {taken:#?}");
}

/// The same for the files of a folder: `TOLLGATE_TEXTS=DIR cargo test -p tollgate-redact
/// by_hand_the_texts_of_a_folder -- --ignored --nocapture`. `TOLLGATE_ENTITIES=email,phone` looks
/// for these alone.
#[test]
#[ignore = "needs a folder of texts; run by hand"]
fn by_hand_the_texts_of_a_folder() {
    let folder = std::env::var("TOLLGATE_TEXTS").expect("TOLLGATE_TEXTS names a folder");
    let entities = std::env::var("TOLLGATE_ENTITIES").unwrap_or_else(|_| ENTITIES.join(","));
    let rules = rules(&entities.split(',').collect::<Vec<_>>());
    let (mut bytes, mut kinds) = (0, std::collections::BTreeMap::new());
    let mut folders = vec![std::path::PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                bytes += text.len();
                for line in taken(&rules, &text) {
                    let kind = line.split(' ').next().unwrap_or_default().to_owned();
                    *kinds.entry(kind).or_insert(0) += 1;
                    tell(&format!("{}: {line}", path.display()));
                }
            }
        }
    }
    let count: usize = kinds.values().sum();
    tell(&format!("{count} in {bytes} bytes: {kinds:?}"));
}

/// Writes a line for the one who runs the test by hand.
fn tell(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
