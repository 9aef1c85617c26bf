//! The cost of a case: by CPU time, and by instructions under callgrind.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tollgate_redact::BodyRedactor;

use crate::cases::{self, Case};

/// Redacts the body of a case in pieces, as they come from a socket; whether it was taken.
fn redact(case: &Case, body: &Bytes) -> bool {
    let mut redactor = BodyRedactor::new(cases::rules(case.rules), case.schema(), true);
    let mut out = Vec::with_capacity(64);
    for from in (0..body.len()).step_by(16 << 10) {
        if redactor.push(body.slice(from..body.len().min(from + (16 << 10))), &mut out).is_err() {
            return false;
        }
    }
    let taken = redactor.finish(&mut out).is_ok();
    std::hint::black_box(&out);
    taken
}

/// A digest of what comes out, and of what the ledger says.
pub fn digest(case: &Case, body: &Bytes, piece: usize) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut redactor = BodyRedactor::new(cases::rules(case.rules), case.schema(), true);
    let mut out = Vec::new();
    let mut result = Ok(());
    for from in (0..body.len()).step_by(piece) {
        result = redactor.push(body.slice(from..body.len().min(from + piece)), &mut out);
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| redactor.finish(&mut out));
    let mut hasher = DefaultHasher::new();
    let whole: Vec<u8> = out.iter().flat_map(|r| r.as_bytes().to_vec()).collect();
    (
        whole,
        redactor.ledger().counts.clone(),
        redactor.ledger().fields.clone(),
        format!("{result:?}"),
    )
        .hash(&mut hasher);
    hasher.finish()
}

/// The output.
pub fn output(case: &Case, body: &Bytes, piece: usize) -> String {
    let mut redactor = BodyRedactor::new(cases::rules(case.rules), case.schema(), true);
    let mut out = Vec::new();
    for from in (0..body.len()).step_by(piece) {
        if let Err(e) = redactor.push(body.slice(from..body.len().min(from + piece)), &mut out) {
            return e.to_string();
        }
    }
    let result = redactor.finish(&mut out);
    let whole: Vec<u8> = out.iter().flat_map(|r| r.as_bytes().to_vec()).collect();
    format!(
        "{} {:?} {:?} {result:?}",
        String::from_utf8_lossy(&whole),
        redactor.ledger().counts,
        redactor.ledger().fields
    )
}

/// Whether the body is one that the redactor takes.
pub fn is_taken(case: &Case) -> bool {
    redact(case, &Bytes::from(case.body()))
}

fn now() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

/// Nanoseconds of CPU time a byte, the least of a few runs; nothing if the body is refused.
pub fn time(case: &Case) -> Option<f64> {
    let body = Bytes::from(case.body());
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = now();
        if !redact(case, &body) {
            return None;
        }
        best = best.min(now() - start);
    }
    Some(best / body.len() as f64)
}

/// The function that callgrind watches: it writes a profile each time this is entered.
#[inline(never)]
pub fn measured_case(case: &Case, body: &Bytes) -> bool {
    std::hint::black_box(redact(std::hint::black_box(case), body))
}

/// Instructions a byte of each case.
pub fn count(cases: &[Case]) -> Vec<(f64, Case)> {
    let folder = temporary("cases");
    let file = folder.join("cases");
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    std::fs::write(&file, lines).expect("a file of cases");
    let file = file.to_str().expect("a path in UTF-8");
    let totals = totals(&["run", file], "measured_case", cases.len());
    std::fs::remove_dir_all(&folder).expect("the folder for cases");
    let per_byte =
        |(total, case): (&u64, &Case)| (*total as f64 / case.body().len() as f64, case.clone());
    totals.iter().zip(cases).map(per_byte).collect()
}

/// A new folder of this process.
fn temporary(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tollgate-cost-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs this program with these arguments under callgrind: the instructions of each call of a
/// function, which is called so many times.
pub fn totals(arguments: &[&str], function: &str, calls: usize) -> Vec<u64> {
    let folder = temporary("profiles");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--combine-dumps=no"])
        .arg(format!("--dump-before=*{function}*"))
        .arg(format!("--callgrind-out-file={}", folder.join("p").display()))
        .arg(std::env::current_exe().expect("this program"))
        .args(arguments)
        .status()
        .expect("valgrind");
    assert!(status.success(), "valgrind: {status}");
    let total = |name: String| -> u64 {
        let text =
            std::fs::read_to_string(folder.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let line = text.lines().find_map(|l| l.strip_prefix("totals:")).expect("totals");
        line.trim().parse().expect("a number")
    };
    // The first profile is what comes before the first call; the last one has no number.
    let name = |i| if i + 1 == calls { "p".to_owned() } else { format!("p.{}", i + 2) };
    let totals = (0..calls).map(|i| total(name(i))).collect();
    std::fs::remove_dir_all(&folder).expect("the folder for profiles");
    totals
}

/// Builds what is built once: rules, the table of countries, the pages of the characters in use.
pub fn warm() {
    let text = "+49 30 1234567 电话。ー—＠５🙂☎ الهاتف ə é ß ֱ Жар-птица “” \u{200b}\u{301}\u{2800}";
    for rules in cases::RULES {
        let case = Case::text(rules, text);
        redact(&case, &Bytes::from(case.few()));
    }
}
