//! The documentation as text: links and anchors, blocks of code, named tests, sentences, events of
//! the log.
//!
//! Reads README.md, `docs/` and the other pages of the repository; runs `bash -n` on blocks of
//! shell, and nothing else. Commands, configurations and queries of the pages are tested beside the
//! code (`src/cli/schema/tests.rs`, `src/config/tests/documentation.rs`,
//! `src/report/tests/queries.rs`). Does not follow links to other hosts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Pages outside `docs/` whose links are checked, too.
const OTHERS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benches/RESULTS.md",
    "benches/wal.md",
    "crates/redact/COVERAGE.md",
    "deny/README.md",
    "examples/README.md",
];
/// Languages of blocks that a reader and a test know.
const LANGUAGES: &[&str] =
    &["sh", "yaml", "sql", "json", "text", "python", "js", "promql", "ini", "toml", "rust"];
/// Lines of README.
const README_LINES_MAX: usize = 120;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages of `docs/`, without the table of contents.
fn docs() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).expect("docs");
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.retain(|path| !path.ends_with("SUMMARY.md"));
    pages.sort();
    pages
}

/// README and the pages of `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = docs();
    pages.push(root().join("README.md"));
    pages
}

/// A fenced block: its language and its text without the margin.
struct Block {
    language: String,
    text: String,
}

/// The blocks of a page, and the page without them (each is an empty line there).
fn parts(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::<Block>::new(), String::new());
    let mut margin = None;
    for line in page.lines() {
        let trimmed = line.trim_start();
        match margin {
            None => match trimmed.strip_prefix("```") {
                Some(language) => {
                    margin = Some(line.len() - trimmed.len());
                    blocks.push(Block { language: language.to_owned(), text: String::new() });
                    prose.push('\n');
                }
                None => {
                    prose.push_str(line);
                    prose.push('\n');
                }
            },
            Some(_) if trimmed == "```" => margin = None,
            Some(margin) => {
                let text = &mut blocks.last_mut().expect("a block").text;
                text.push_str(line.get(margin..).unwrap_or_default());
                text.push('\n');
            }
        }
    }
    assert!(margin.is_none(), "a block does not end");
    (blocks, prose)
}

/// `line` without its spans of code.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("code")
}

/// The targets of the links and pictures of a page.
fn links(prose: &str) -> Vec<String> {
    let mut found = Vec::new();
    // A link may be broken between its text and its target, never within the target.
    let text: Vec<String> = prose.lines().map(without_code).collect();
    let text = text.join("\n");
    for rest in text.split("](").skip(1) {
        let target = rest.split_once(')').expect("the end of a link").0;
        found.push(target.to_owned());
    }
    found
}

/// The anchors of a page, as code hosts and mdBook make them from its headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let (_, prose) = parts(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let mut anchors = BTreeSet::new();
    for heading in headings {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut unique = anchor.clone();
        let mut n = 0;
        while !anchors.insert(unique) {
            n += 1;
            unique = format!("{anchor}-{n}");
        }
    }
    anchors
}

/// What is wrong with a link of a page; nothing for links to other hosts.
fn broken(page: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(f, a)| (f, Some(a)));
    let target =
        if file.is_empty() { page.to_owned() } else { page.parent().expect("a folder").join(file) };
    if !target.exists() {
        return Some(format!("{}: {link}: there is no such file", page.display()));
    }
    let anchor = anchor?;
    let there = anchors(&read(&target));
    (!there.contains(anchor)).then(|| format!("{}: {link}: no such heading", page.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = docs();
    pages.push(root().join("docs/SUMMARY.md"));
    pages.extend(OTHERS.iter().map(|name| root().join(name)));
    let (mut wrong, mut number) = (Vec::new(), 0);
    for path in pages {
        let (_, prose) = parts(&read(&path));
        let links = links(&prose);
        number += links.len();
        wrong.extend(links.iter().filter_map(|link| broken(&path, link)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(number > 150, "only {number} links were found");
    let page = root().join("docs/redaction.md");
    assert!(broken(&page, "nowhere.md").is_some() && broken(&page, "faq.md#nothing").is_some());
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let listed = links(&summary);
    let there: Vec<String> = docs()
        .iter()
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(sorted, there);
}

#[test]
fn every_page_starts_with_an_example() {
    for path in docs() {
        let page = read(&path);
        let before_the_first_section = page.split("\n## ").next().unwrap_or_default();
        let (blocks, _) = parts(before_the_first_section);
        let is_example = |block: &Block| ["sh", "yaml"].contains(&&*block.language);
        assert!(blocks.iter().any(is_example), "{}", path.display());
    }
}

#[test]
fn readme_is_short() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines");
}

/// Whether bash takes a text as a program.
fn is_shell(text: &str) -> bool {
    let mut bash = Command::new("bash");
    let mut bash =
        bash.arg("-n").stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash");
    let mut input = bash.stdin.take().expect("its input");
    std::io::Write::write_all(&mut input, text.as_bytes()).expect("written");
    drop(input);
    bash.wait().expect("its end").success()
}

#[test]
fn every_block_is_of_a_known_language_and_can_be_read() {
    let (mut shells, mut objects) = (0, 0);
    for path in pages() {
        let (blocks, _) = parts(&read(&path));
        for Block { language, text } in &blocks {
            let name = path.display();
            assert!(LANGUAGES.contains(&&**language), "{name}: `{language}`:\n{text}");
            match &**language {
                "sh" => {
                    shells += 1;
                    assert!(is_shell(text), "{name}:\n{text}");
                }
                "json" => {
                    objects += 1;
                    let read: Result<serde_json::Value, _> = serde_json::from_str(text);
                    assert!(read.is_ok(), "{name}: {read:?}:\n{text}");
                }
                // Tests run the queries of this page.
                "sql" => assert!(path.ends_with("ailog.md"), "{name}:\n{text}"),
                _ => {}
            }
        }
    }
    assert!(shells > 30 && objects > 2, "{shells} and {objects} blocks were found");
    assert!(!is_shell("if true; then\n") && is_shell("true\n"));
}

/// The tests that a page names, as `file::test`.
fn named_tests(page: &str) -> Vec<(String, String)> {
    let spans = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let named = spans.filter_map(|span| span.split_once(".rs::"));
    named.map(|(file, test)| (format!("{file}.rs"), test.to_owned())).collect()
}

#[test]
fn every_named_test_exists() {
    let tests = named_tests(&read(&root().join("docs/guarantees.md")));
    assert!(tests.len() > 60, "only {} tests are named", tests.len());
    for (file, test) in tests {
        let source = read(&root().join(&file));
        let head = format!("fn {test}(");
        let at = source.find(&head).unwrap_or_else(|| panic!("{file} has no test {test}"));
        // The attribute stands within a few lines before, and no other function between.
        let before = &source[..at];
        let attribute = before.rfind("#[test]").unwrap_or_else(|| panic!("{file}: {test}"));
        assert!(!before[attribute..].contains("fn "), "{file}: {test} is no test");
    }
}

#[test]
fn every_counted_bound_is_explained() {
    let page = read(&root().join("docs/metrics.md"));
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    let mut bounds = BTreeSet::new();
    for path in files {
        let source = read(&path);
        let counted = source.split(".bound(\"").skip(1);
        bounds.extend(counted.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    assert!(bounds.len() > 8, "{bounds:?}");
    for bound in bounds {
        assert!(page.contains(&format!("`{bound}`")), "docs/metrics.md lacks `{bound}`");
    }
}

/// Lines that operators act on are written by the program in these words.
#[test]
fn every_named_log_line_is_written_by_the_program() {
    let page = read(&root().join("docs/operations.md"));
    let (_, section) = page.split_once("## The log of the process").expect("the section");
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    let sources: Vec<String> = files.iter().map(|path| read(path)).collect();
    let mut number = 0;
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let first = row.split('|').nth(1).unwrap_or_default();
        for line in first.split('`').skip(1).step_by(2) {
            number += 1;
            let written = format!("\"{line}");
            assert!(sources.iter().any(|source| source.contains(&written)), "{line}");
        }
    }
    assert!(number > 10, "only {number} lines were found");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The tables of the sections that name the record `benches/RESULTS.md` have its figures.
#[test]
fn figures_of_performance_are_those_of_the_record() {
    let (page, record) = ("docs/performance.md", "benches/RESULTS.md");
    let (page, record) = (read(&root().join(page)), read(&root().join(record)));
    let mut number = 0;
    for section in page.split("\n## ").filter(|section| section.contains("benches/RESULTS.md")) {
        for cell in section.lines().filter(|line| line.starts_with('|')).flat_map(|l| l.split('|'))
        {
            let figure = cell.split_whitespace().next().unwrap_or_default();
            if figure.contains('.') && figure.parse::<f64>().is_ok() {
                number += 1;
                assert!(record.contains(&format!(" {figure} ")), "{figure} is not in the record");
            }
        }
    }
    assert!(number > 12, "only {number} figures were found");
}

/// The sentences of a page whose subject seems to be one of these words.
fn odd_subjects(prose: &str) -> Vec<String> {
    let mut odd = Vec::new();
    let text = prose.replace(['|', '\n'], " ");
    for sentence in text.split(['.', ':', ';', '?', '!']) {
        let sentence = sentence.trim_start_matches(|c: char| !c.is_alphanumeric());
        let first = sentence.split_whitespace().next().unwrap_or_default();
        if ["What", "Who", "Nobody", "Whoever", "Whatever"].contains(&first) {
            odd.push(sentence.to_owned());
        }
    }
    odd
}

#[test]
fn sentences_have_plain_subjects() {
    for path in pages() {
        let (_, prose) = parts(&read(&path));
        let odd = odd_subjects(&prose);
        assert!(odd.is_empty(), "{}: {odd:?}", path.display());
    }
    assert_eq!(odd_subjects("A row. What failed is tried again.").len(), 1);
}

/// Every line that the program logs has a stable name, and the page lists exactly these.
#[test]
fn every_line_of_the_log_has_an_event_that_the_page_lists() {
    let mut used = BTreeSet::new();
    let mut files = vec![];
    collect_rust(&root().join("src"), &mut files);
    assert!(files.len() > 200, "{}", files.len());
    for file in files {
        let source = read(&file);
        for level in ["trace", "debug", "info", "warn", "error"] {
            let begin = format!("tracing::{level}!(");
            for (at, _) in source.match_indices(&begin) {
                let body = source[at + begin.len()..].trim_start();
                let line = source[..at].lines().count();
                let place = format!("{}:{line}", file.display());
                let name = body.strip_prefix("event = \"").and_then(|rest| rest.split_once('"'));
                let Some((name, _)) = name else { panic!("{place}: a line without `event = …`") };
                let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                assert!(plain && !name.is_empty(), "{place}: {name}");
                used.insert(name.to_owned());
            }
        }
    }
    let page = read(&root().join("docs/log-events.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: Vec<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert!(listed.is_sorted_by(|a, b| a < b), "the events are in order, each once");
    assert_eq!(listed, used.into_iter().collect::<Vec<_>>());
}

/// Adds the Rust files of a folder.
fn collect_rust(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect_rust(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
