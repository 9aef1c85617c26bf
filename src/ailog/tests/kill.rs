//! `kill -9`: what `append` returned from is stored once, whenever the process ends.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::{SOON, open, row};

/// Set in the process that is killed; names its folder.
const FOLDER: &str = "TOLLGATE_TEST_KILL_FOLDER";
const NAME: &str = "ailog::tests::kill::a_killed_process_loses_nothing_it_acknowledged";

/// Appends for ever from two threads, and says so after each append.
fn append_until_killed(folder: &str) -> ! {
    let (log, _) = open(folder.as_ref());
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0.. {
                    let mut row = row(n * 2 + thread);
                    row.id = uuid::Uuid::now_v7();
                    log.append(&row);
                    // A line is written at once, so the other end never sees half of one.
                    let line = format!("appended {}\n", row.id);
                    std::io::stdout().write_all(line.as_bytes()).expect("the other end reads");
                }
            });
        }
    });
    unreachable!("the threads have no end")
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    if let Ok(folder) = std::env::var(FOLDER) {
        append_until_killed(&folder);
    }
    let dir = tempfile::tempdir().expect("dir");
    let mut acknowledged = BTreeSet::new();
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().expect("path"))
            .args([NAME, "--exact", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        // Killed after more rows each time: before, during and after the first batch has reached
        // the store.
        let enough = 50 + round * 700;
        let mut seen = 0;
        for line in lines {
            let Ok(line) = line else { break };
            if let Some((_, id)) = line.split_once("appended ") {
                acknowledged.insert(id.to_owned());
                seen += 1;
            }
            if seen == enough {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("ended");
        assert!(seen >= enough, "the process ended by itself after {seen} rows");
    }

    let (log, metrics) = open(dir.path());
    assert!(log.flush(SOON));
    // The end may come in the middle of a write: of a row that nobody was told of.
    assert_eq!(super::count(&metrics, "lost"), 0);
    log.close(SOON);
    let database = rusqlite::Connection::open(dir.path().join("tollgate.db")).expect("database");
    let mut statement = database.prepare("SELECT id FROM ai_log").expect("sql");
    let ids: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .expect("query")
        .map(|id| id.expect("id"))
        .collect();
    let stored: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(stored.len(), ids.len(), "no row twice");
    let missing: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(missing.is_empty(), "{} of {} rows are missing", missing.len(), acknowledged.len());
    super::embedded::rollups_equal_rows(dir.path());
}
