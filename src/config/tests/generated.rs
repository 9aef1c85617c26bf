//! Policies made at random: each is read again as it was meant, and each mistake is told.

use proptest::prelude::*;

use super::{folder, load};
use crate::config::load::Source;

/// The names that lead to each value that is no mapping.
fn leaves(json: &serde_json::Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match json.as_object().filter(|map| !map.is_empty()) {
        None => found.push(path.clone()),
        Some(map) => {
            for (key, value) in map {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
    }
}

proptest! {
    /// For any content of a file there is a configuration or a reason with a place.
    #[test]
    fn any_text_loads_or_says_why(text in "([a-z_]{0,8}[:{}\\[\\],&*!|>'\"#%@$\\-\t\n \
        ]{1,3}){0,40}|\\PC{0,200}") {
        let dir = folder(&[("all.yaml", &text)]);
        if let Err(problems) = load(&Source::File(dir.path().join("all.yaml"))) {
            let lines = problems.lines();
            prop_assert!(!lines.is_empty());
            for line in lines {
                let place = line.split("all.yaml:").nth(1).unwrap_or_default();
                let mut numbers = place.split(':').map(str::parse::<u32>);
                prop_assert!(matches!((numbers.next(), numbers.next()), (Some(Ok(1..)), Some(Ok(1..)))), "{}", line);
            }
        }
    }

    /// Any value under any key: taken, or refused at its place and nowhere else.
    #[test]
    fn any_value_of_any_key_is_taken_or_refused_there(
        pick: prop::sample::Index,
        value in prop_oneof![
            prop::sample::select(vec![
                "0", "1", "-1", "1.5", "99999999999999999999", "1e400", "true", "null", "''", "' '", "[]", "{}", "[[]]",
                "[{}]", "{a: {}}", "[null]", "500ms", "36500d", "18446744073709551615GiB", "'${'", "'${KEY}'", "openai",
                "jwt", "'[::]:0'", "'http://x/'", "'redis://x'", "'\\0'", "\"\\u0000\"", "[openai, openai]",
            ]).prop_map(str::to_owned),
            "'[ -&(-~]{0,40}'",
        ],
    ) {
        let defaults = load(&Source::BuiltIn).expect("defaults");
        let mut paths = Vec::new();
        leaves(&defaults.origin.masked()["gateway"], &mut Vec::new(), &mut paths);
        leaves(&defaults.origin.masked()["policy"], &mut Vec::new(), &mut paths);
        let path = pick.get(&paths);
        let yaml = path.iter().rev().fold(value.clone(), |inner, key| format!("{{{key}: {inner}}}"));
        let dir = folder(&[("all.yaml", &yaml)]);
        if let Err(problems) = load(&Source::File(dir.path().join("all.yaml"))) {
            for line in problems.lines() {
                prop_assert!(line.contains("all.yaml:1:"), "{}: {}", yaml, line);
                // The path of a file is no secret, and its message names it.
                let names_file = path.last().is_some_and(|key| key.ends_with("_file"));
                prop_assert!(names_file || !line.contains("sk-from"), "{}", line);
            }
        }
    }

    /// A shipped file with a piece cut out of it: the same.
    #[test]
    fn a_file_that_lost_a_piece_loads_or_says_why(from in 0usize..2500, length in 1usize..80) {
        let text = include_str!("../../../config/policies/access.yaml");
        let (from, to) = (from.min(text.len()), (from + length).min(text.len()));
        let cut = [&text.as_bytes()[..from], &text.as_bytes()[to..]].concat();
        let cut = String::from_utf8_lossy(&cut).into_owned();
        let dir = folder(&[("policies/access.yaml", &cut)]);
        if let Err(problems) = load(&Source::Folder(dir.path().to_owned())) {
            prop_assert!(problems.lines().iter().all(|line| line.contains("access.yaml:")), "{}", problems);
        }
    }
}
