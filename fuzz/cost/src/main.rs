//! The highest cost of the redactor, in instructions a byte: the same number in every run and on
//! every machine.
//!
//! Known bad inputs are held against a floor, and a search looks for worse ones. `scripts/test`
//! does both; see `USAGE` for how to go further by hand. Counting needs valgrind.

mod cases;
mod guard;
mod measure;
mod search;
#[path = "../../../benches/support/texts.rs"]
mod texts;

use bytes::Bytes;

const USAGE: &str = "usage:
  cost time CASES                     CPU time of each case
  cost count CASES                    instructions a byte of each case
  cost texts tuning|report            instructions a byte of usual texts
  cost cases tuning|report            the same texts as CASES
  cost check CASES FLOOR              the same; fails if a case takes more than FLOOR
  cost guard                          instructions of usual inputs, which scripts/counts \
  compares with its record
  cost hunt CASES SEED ROUNDS FLOOR   changes the worst cases for some rounds, by instructions; \
  fails as `check` does
  cost search CASES SEED SECONDS      worse inputs, by CPU time: many more, but not the same ones \
  in every run
  cost outputs SEED COUNT             a digest of what comes out of random cases, to compare two \
  versions
  cost cuts CASES                     looks for pieces in which other bytes come out
CASES is a file with a case in each line: rules, frame and unit, with tabs between them.";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["time", file] => {
            for case in cases::read(file) {
                match measure::time(&case) {
                    Some(ns) => println!("{:8.1} MB/s  {case}", 1000.0 / ns),
                    None => println!("     refused  {case}"),
                }
            }
        }
        ["count", file] => measure::count(&cases::read(file))
            .iter()
            .for_each(|(n, case)| println!("{n:8.1} {case}")),
        ["texts", set @ ("tuning" | "report")] => print_texts(set),
        ["cases", set @ ("tuning" | "report")] => {
            texts_of(set).iter().flat_map(|(_, cases)| cases).for_each(|case| println!("{case}"));
        }
        ["check", file, floor] => fail_above(&measure::count(&cases::read(file)), floor),
        ["guard"] => guard::print(),
        ["hunt", file, seed, rounds, floor] => {
            let rounds = rounds.parse().expect("a number of rounds");
            fail_above(
                &search::hunt(cases::read(file), seed.parse().expect("a seed"), rounds),
                floor,
            );
        }
        ["search", file, seed, seconds] => {
            search::search(
                cases::read(file),
                seed.parse().expect("a seed"),
                seconds.parse().expect("seconds"),
            );
        }
        ["outputs", seed, count] => {
            search::outputs(seed.parse().expect("a seed"), count.parse().expect("a number"));
        }
        ["cuts", file] => search::cuts(&cases::read(file)),
        // The parts that run under callgrind.
        ["guarded"] => guard::run(),
        ["run", file] => {
            measure::warm();
            let cases = cases::read(file);
            // Built before, so that it is not counted.
            let bodies: Vec<_> = cases.iter().map(|case| Bytes::from(case.body())).collect();
            for (case, body) in cases.iter().zip(&bodies) {
                measure::measured_case(case, body);
            }
        }
        _ => println!("{USAGE}"),
    }
}

/// The texts of a set by name, each with the default rules and with all entities.
fn texts_of(set: &str) -> Vec<(&'static str, [cases::Case; 2])> {
    let set = if set == "tuning" { texts::Set::Tuning } else { texts::Set::Report };
    let texts = texts::all(set, cases::BODY_BYTES).into_iter();
    texts
        .map(|(name, text)| (name, ["default", "all"].map(|rules| cases::Case::text(rules, &text))))
        .collect()
}

/// Prints what they cost.
fn print_texts(set: &str) {
    let texts = texts_of(set);
    let cases: Vec<_> = texts.iter().flat_map(|(_, cases)| cases.clone()).collect();
    println!("{:<16} {:>8} {:>8}", "", "default", "all");
    for ((name, _), counts) in texts.iter().zip(measure::count(&cases).chunks(2)) {
        println!("{name:<16} {:>8.1} {:>8.1}", counts[0].0, counts[1].0);
    }
}

/// Ends the program if a case takes more instructions a byte than `floor`.
fn fail_above(counts: &[(f64, cases::Case)], floor: &str) {
    let floor: f64 = floor.parse().expect("a number of instructions a byte");
    let worst = counts.iter().map(|(n, _)| *n).fold(0.0, f64::max);
    println!("{} cases, at most {worst:.0} instructions a byte", counts.len());
    let above: Vec<_> = counts.iter().filter(|(n, _)| *n > floor).collect();
    above.iter().for_each(|(n, case)| println!("{n:8.1} {case}"));
    if !above.is_empty() {
        println!("{} cases take more than {floor} instructions a byte", above.len());
        std::process::exit(1);
    }
}
