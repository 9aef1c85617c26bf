//! Damage that an earlier run, another version, or a bad disk may leave in the folder: each case
//! with its outcome. In every one the log opens, what is whole is stored, what is not is counted,
//! and new calls are logged.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::{SOON, count, row};
use crate::ailog::wal::segment::{Disk, FileSystem, RECORD_HEAD_BYTES, SEGMENT_HEAD_BYTES};
use crate::ailog::{AiLog, Options};
use crate::config::policy::StoreKind;
use crate::metrics::Metrics;

/// Rows of the run whose log is damaged.
const BEFORE: u64 = 10;
/// Rows of the run after it.
const AFTER: u64 = 5;

/// Leaves [`BEFORE`] rows that are not stored, in one segment, which is given back with the end of
/// each record.
fn left_behind(dir: &Path) -> (PathBuf, Vec<usize>) {
    let wal =
        crate::ailog::wal::Wal::open(&dir.join("wal"), Default::default(), Box::new(FileSystem))
            .expect("wal")
            .0;
    let (mut record, mut ends, mut end) = (Vec::new(), Vec::new(), SEGMENT_HEAD_BYTES);
    for n in 0..BEFORE {
        crate::ailog::wal::segment::record(&row(n), &mut record);
        wal.append(&record).expect("append");
        end += record.len();
        ends.push(end);
    }
    (wal.oldest().expect("segment").path.clone(), ends)
}

/// The fate of the rows: stored, lost, in the dead-letter file; and how many files were put
/// aside.
fn outcome(damage: impl FnOnce(&mut Vec<u8>, &[usize])) -> (u64, u64, u64, usize) {
    let (outcome, unfinished) = outcome_and_unfinished(damage);
    assert_eq!(unfinished, 0);
    outcome
}

/// The same, and how many rows were cut off while they were written.
fn outcome_and_unfinished(
    damage: impl FnOnce(&mut Vec<u8>, &[usize]),
) -> ((u64, u64, u64, usize), u64) {
    let dir = tempfile::tempdir().expect("dir");
    let (path, ends) = left_behind(dir.path());
    let mut content = std::fs::read(&path).expect("segment");
    damage(&mut content, &ends);
    std::fs::write(&path, &content).expect("segment");

    let (log, metrics) = super::open(dir.path());
    (BEFORE..BEFORE + AFTER).for_each(|n| log.append(&row(n)));
    assert!(log.flush(SOON), "{:?}", log.backlog());
    log.close(SOON);
    let files = std::fs::read_dir(dir.path().join("wal")).expect("dir");
    let aside = files
        .filter(|f| f.as_ref().expect("entry").path().extension() == Some("quarantined".as_ref()))
        .count();
    let stored = count(&metrics, "stored").checked_sub(AFTER).expect("new calls are logged");
    (
        (stored, count(&metrics, "lost"), count(&metrics, "dead_letter"), aside),
        count(&metrics, "unfinished"),
    )
}

#[test]
fn a_row_whose_writing_was_cut_off_is_not_lost_and_counted_apart() {
    for kept in [1, 3, 4, 11, 12, 13, 40] {
        assert_eq!(
            outcome_and_unfinished(|s, ends| s.truncate(ends[8] + kept)),
            ((9, 0, 0, 0), 1),
            "{kept} bytes of it"
        );
    }
    let in_damage = |s: &mut Vec<u8>, ends: &[usize]| {
        s[ends[7]..ends[8]].fill(0);
        s.truncate(s.len() - 7);
    };
    assert_eq!(
        outcome_and_unfinished(in_damage),
        ((8, 1, 0, 0), 1),
        "damage, and then a row that was cut off"
    );
}

#[test]
fn every_kind_of_damage_has_its_outcome() {
    assert_eq!(outcome(|_, _| {}), (10, 0, 0, 0), "nothing");
    assert_eq!(
        outcome(|s, ends| s.truncate(ends[4])),
        (5, 0, 0, 0),
        "cut at a record: nothing says that there was more"
    );
    assert_eq!(outcome(|s, ends| s[ends[2] + 40] ^= 0x10), (9, 1, 0, 0), "a flipped bit in a row");
    assert_eq!(
        outcome(|s, ends| s[ends[2] + 5] ^= 0x01),
        (9, 1, 0, 0),
        "a flipped bit in a length"
    );
    assert_eq!(outcome(|s, ends| s[ends[2]] ^= 0x80), (9, 1, 0, 0), "a flipped bit in a marker");
    assert_eq!(
        outcome(|s, ends| s[ends[3]..ends[6]].fill(0)),
        (7, 1, 0, 0),
        "three rows of zeroes are one stretch"
    );
    assert_eq!(
        outcome(|s, _| s.extend_from_slice(b"???")),
        (10, 1, 0, 0),
        "a few bytes behind the tail"
    );
    assert_eq!(
        outcome(|s, ends| s[ends[8]..].fill(0)),
        (9, 1, 0, 0),
        "a tail of zeroes, as a power cut leaves it"
    );
    assert_eq!(
        outcome(|s, _| s.resize(s.len() + 9_000, 0)),
        (10, 1, 0, 0),
        "zeroes behind the tail"
    );
    assert_eq!(outcome(|s, _| s.fill(0)), (0, 1, 0, 1), "nothing but zeroes");
    assert_eq!(
        outcome(|s, _| s.clear()),
        (0, 0, 0, 0),
        "an empty file: a segment that was being begun"
    );
    assert_eq!(outcome(|s, _| s.truncate(20)), (0, 0, 0, 0), "half a head");
    assert_eq!(
        outcome(|s, _| s[..8].copy_from_slice(b"TOLLWAL9")),
        (0, 1, 0, 1),
        "a format to come"
    );
    assert_eq!(outcome(|s, _| s[30] ^= 1), (0, 1, 0, 1), "a head that is not whole");
    assert_eq!(
        outcome(|s, _| *s = b"{\"not\": \"ours\"}".repeat(100)),
        (0, 1, 0, 1),
        "a foreign file"
    );
}

#[test]
fn a_row_of_a_schema_to_come_is_kept_aside_and_the_others_are_stored() {
    let of_another_version = |s: &mut Vec<u8>, ends: &[usize]| {
        let (at, end) = (ends[2], ends[3]);
        s[at + RECORD_HEAD_BYTES] = 250;
        let crc = crc32c::crc32c_append(
            crc32c::crc32c(&s[at + 4..at + 8]),
            &s[at + RECORD_HEAD_BYTES..end],
        );
        s[at + 8..at + RECORD_HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
    };
    assert_eq!(outcome(of_another_version), (9, 0, 1, 0));
}

/// A disk that cannot be read while it is told so, and with which error.
struct Unreadable(Arc<AtomicI32>);

impl Disk for Unreadable {
    fn create(&self, path: &Path) -> io::Result<File> {
        FileSystem.create(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileSystem.write_all_at(file, bytes, offset)
    }

    fn read_exact_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => FileSystem.read_exact_at(file, bytes, offset),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

const BAD_SECTOR: i32 = 5;
const TOO_MANY_FILES: i32 = 24;

#[test]
fn a_segment_that_is_put_aside_while_it_is_written_takes_no_later_row_with_it() {
    let (dir, metrics) = (tempfile::tempdir().expect("dir"), Metrics::new());
    let broken = Arc::new(AtomicI32::new(BAD_SECTOR));
    let disk = Box::new(Unreadable(broken.clone()));
    let log =
        AiLog::open_on(Options::new(dir.path(), 0), StoreKind::Embedded, metrics.clone(), disk)
            .expect("log");
    for round in 1..=2 {
        broken.store(BAD_SECTOR, Ordering::Relaxed);
        log.append(&row(round));
        while count(&metrics, "lost") < round {
            log.flush(std::time::Duration::from_millis(5));
        }
        broken.store(0, Ordering::Relaxed);
        (0..10).for_each(|n| log.append(&row(round * 100 + n)));
        assert!(log.flush(SOON));
        assert_eq!(count(&metrics, "stored"), round * 10);
    }
    let names =
        std::fs::read_dir(dir.path().join("wal")).expect("dir").map(|f| f.expect("entry").path());
    assert_eq!(
        names.filter(|n| n.extension() == Some("quarantined".as_ref())).count(),
        2,
        "neither replaced the other"
    );
}

#[test]
fn while_files_are_short_nothing_is_put_aside() {
    let (dir, metrics) = (tempfile::tempdir().expect("dir"), Metrics::new());
    left_behind(dir.path());
    let broken = Arc::new(AtomicI32::new(TOO_MANY_FILES));
    let disk = Box::new(Unreadable(broken.clone()));
    let log =
        AiLog::open_on(Options::new(dir.path(), 0), StoreKind::Embedded, metrics.clone(), disk)
            .expect("log");
    // Each ends one wait of the shipper; more than it tries a bad sector.
    for _ in 0..10 {
        assert!(!log.flush(std::time::Duration::from_millis(5)));
    }
    broken.store(0, Ordering::Relaxed);
    assert!(log.flush(SOON));
    assert_eq!((count(&metrics, "stored"), count(&metrics, "lost")), (BEFORE, 0));
}

#[test]
fn a_segment_that_cannot_be_read_is_put_aside_and_the_log_goes_on() {
    let (dir, metrics) = (tempfile::tempdir().expect("dir"), Metrics::new());
    left_behind(dir.path());
    let broken = Arc::new(AtomicI32::new(BAD_SECTOR));
    let disk = Box::new(Unreadable(broken.clone()));
    let log =
        AiLog::open_on(Options::new(dir.path(), 0), StoreKind::Embedded, metrics.clone(), disk)
            .expect("log");
    while count(&metrics, "lost") == 0 {
        // Wakes the shipper out of its waits.
        log.flush(std::time::Duration::from_millis(5));
    }
    broken.store(0, Ordering::Relaxed);
    (BEFORE..BEFORE + AFTER).for_each(|n| log.append(&row(n)));
    assert!(log.flush(SOON));
    assert_eq!((count(&metrics, "stored"), count(&metrics, "lost")), (AFTER, 1));
    let names =
        std::fs::read_dir(dir.path().join("wal")).expect("dir").map(|f| f.expect("entry").path());
    assert_eq!(
        names.filter(|n| n.extension() == Some("quarantined".as_ref())).count(),
        1,
        "kept for a person to look at"
    );
}
