//! What the redactor costs at worst. See `usage`.

mod cases;
mod measure;
mod search;

use cases::Case;

const USAGE: &str = "usage:
  cost time CASES            CPU time of each case: nanoseconds a byte and MB/s
  cost count CASES           instructions a byte of each case, by callgrind
  cost check CASES FLOOR     the same; fails if a case takes more than FLOOR instructions a byte
  cost search CASES SEED SECONDS          worse inputs, by CPU time
  cost outputs SEED COUNT    a digest of what comes out of random cases, to compare two versions of the redactor
  cost run CASES             what is run under callgrind
CASES is a file with a case in each line: rules, frame and unit, with tabs between them.";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["time", file] => {
            for case in cases::read(file) {
                match measure::time(&case) {
                    Some(ns) => println!("{:8.2} ns {:8.1} MB/s  {case}", ns, 1000.0 / ns),
                    None => println!("  invalid               {case}"),
                }
            }
        }
        ["count", file] => {
            for (case, count) in measure::count(file) {
                println!("{count:8.1} {case}");
            }
        }
        ["check", file, floor] => {
            let floor: f64 = floor.parse().expect("a number");
            let mut worse = 0;
            for (case, count) in measure::count(file) {
                if count > floor {
                    println!("{count:8.1} {case}");
                    worse += 1;
                }
            }
            if worse > 0 {
                println!("{worse} cases take more than {floor} instructions a byte");
                std::process::exit(1);
            }
        }
        ["show", file] => search::show(cases::read(file)),
        ["outputs", seed, count] => {
            search::outputs(seed.parse().expect("a seed"), count.parse().expect("a number"));
        }
        ["run", file] => {
            measure::warm();
            cases::read(file).iter().for_each(measure::run);
        }
        ["search", file, seed, seconds] => {
            search::search(cases::read(file), seed.parse().expect("a seed"), seconds.parse().expect("seconds"));
        }
        _ => println!("{USAGE}"),
    }
}

/// Kept from the optimiser.
pub fn keep(case: &Case) {
    std::hint::black_box(case);
}
