//! The write-ahead log against a model, with faults: what was acknowledged is read back, in order,
//! once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::row;
use crate::ailog::columns;
use crate::ailog::wal::position::Position;
use crate::ailog::wal::reader::{BatchLimits, Next, WalReader};
use crate::ailog::wal::segment::{Disk, FileSystem, RECORD_HEAD_BYTES, SEGMENT_HEAD_BYTES, record};
use crate::ailog::wal::{Side, Wal, WalLimits};

const ALL: BatchLimits = BatchLimits { rows_max: usize::MAX, bytes_max: usize::MAX };

fn bytes(seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    record(&row(seed), &mut out);
    out
}

fn open(dir: &Path) -> Wal {
    Wal::open(dir, WalLimits::default(), Box::new(FileSystem)).expect("wal").0
}

/// Everything from the position on, as encoded rows, and how many damaged stretches were met.
fn read_all(wal: Wal, from: Option<Position>, limits: BatchLimits) -> (Vec<Vec<u8>>, u32) {
    wal.seal();
    let wal = Arc::new(wal);
    let mut tail = WalReader::new(wal.clone(), from);
    let (mut rows, mut damaged) = (Vec::new(), 0);
    loop {
        match tail.next(limits, None).expect("read") {
            Next::Nothing => break,
            Next::SegmentDone => tail.remove_done(),
            Next::Batch => {
                let batch = tail.batch();
                rows.extend((0..batch.rows.len()).map(|i| batch.row(i).to_vec()));
                damaged += batch.damaged;
                let end = batch.end;
                tail.advance(end);
            }
        }
    }
    assert_eq!(wal.bytes(), 0, "everything was taken off");
    (rows, damaged)
}

fn encoded(seeds: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    let one = |seed| {
        let mut out = Vec::new();
        columns::encode(&row(seed), &mut out);
        out
    };
    seeds.into_iter().map(one).collect()
}

#[test]
fn a_torn_tail_costs_the_torn_record_only() {
    let records: Vec<Vec<u8>> = (0..3).map(bytes).collect();
    let last = records[2].len();
    for kept in 0..=last {
        let dir = tempfile::tempdir().expect("dir");
        let wal = open(dir.path());
        records.iter().for_each(|r| wal.append(r).expect("append"));
        let path = wal.oldest().expect("segment").path.clone();
        drop(wal);
        let file = File::options().write(true).open(&path).expect("segment");
        let whole = file.metadata().expect("length").len();
        file.set_len(whole - (last - kept) as u64).expect("cut");

        let (rows, damaged) = read_all(open(dir.path()), None, ALL);
        let expected = if kept == last { 3 } else { 2 };
        assert_eq!(rows, encoded(0..expected), "kept {kept}");
        assert_eq!(damaged, 0, "kept {kept}: its writing was cut off");
    }
}

#[test]
fn a_torn_head_of_a_segment_is_no_segment() {
    for kept in 0..=SEGMENT_HEAD_BYTES as u64 {
        let dir = tempfile::tempdir().expect("dir");
        let wal = open(dir.path());
        wal.append(&bytes(1)).expect("append");
        let path = wal.oldest().expect("segment").path.clone();
        drop(wal);
        File::options().write(true).open(&path).expect("segment").set_len(kept).expect("cut");
        let (wal, found) =
            Wal::open(dir.path(), WalLimits::default(), Box::new(FileSystem)).expect("opens");
        assert_eq!((found.segments, found.quarantined), (0, 0), "kept {kept}");
        wal.append(&bytes(2)).expect("append");
        assert_eq!(read_all(wal, None, ALL), (encoded([2]), 0));
    }
}

#[test]
fn foreign_files_are_put_aside_and_others_left_alone() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(
        dir.path().join("0000000000000005.seg"),
        b"TOLLWAL9 of a version to come, longer than a head",
    )
    .expect("w");
    std::fs::write(dir.path().join("notes.txt"), b"mine").expect("w");
    let (wal, found) =
        Wal::open(dir.path(), WalLimits::default(), Box::new(FileSystem)).expect("opens");
    assert_eq!((found.segments, found.quarantined), (0, 1));
    wal.append(&bytes(1)).expect("append");
    assert_eq!(
        wal.oldest().expect("segment").path.file_name().expect("name"),
        "0000000000000006.seg"
    );
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .expect("dir")
        .map(|e| e.expect("entry").file_name().into_string().expect("utf-8"))
        .collect();
    assert!(
        names.contains(&"0000000000000005.quarantined".to_owned())
            && names.contains(&"notes.txt".to_owned())
    );
}

#[test]
fn at_its_bound_the_log_refuses_the_newest() {
    let dir = tempfile::tempdir().expect("dir");
    let one = bytes(1);
    let limits = WalLimits { segment_bytes_max: 1 << 20, total_bytes_max: 2 * one.len() as u64 };
    let (wal, _) = Wal::open(dir.path(), limits, Box::new(FileSystem)).expect("wal");
    wal.append(&one).expect("first");
    wal.append(&one).expect("second");
    assert!(matches!(wal.append(&one), Err(crate::ailog::wal::AppendError::Full)));
    wal.taken(Side::Store, one.len() as u64);
    wal.append(&one).expect("there is room again");
}

#[test]
fn a_segment_is_ended_when_it_is_old_and_holds_anything() {
    let dir = tempfile::tempdir().expect("dir");
    let wal = open(dir.path());
    let begun = crate::clock::wall_ms();
    wal.append(&bytes(1)).expect("append");
    let first = wal.oldest().expect("segment");
    wal.end_if_begun_before(begun - 60_000);
    assert!(!first.extent().1, "young");
    wal.end_if_begun_before(begun + 60_000);
    assert!(first.extent().1, "old");
    wal.end_if_begun_before(begun + 60_000);
    wal.append(&bytes(2)).expect("append");
    assert_eq!(read_all(wal, None, ALL), (encoded(1..3), 0));
    assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 0);
}

/// A disk from which nothing can be removed.
struct Sticky;

impl Disk for Sticky {
    fn create(&self, path: &Path) -> io::Result<File> {
        FileSystem.create(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileSystem.write_all_at(file, bytes, offset)
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[test]
fn rows_of_a_stored_segment_that_cannot_be_removed_are_not_read_again() {
    let dir = tempfile::tempdir().expect("dir");
    let (wal, _) = Wal::open(dir.path(), WalLimits::default(), Box::new(Sticky)).expect("wal");
    (0..5).for_each(|n| wal.append(&bytes(n)).expect("append"));
    assert_eq!(read_all(wal, None, ALL).0.len(), 5);
    assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 1, "the file is there");
    // Without a position: that of a later segment, which is gone, says nothing.
    assert_eq!(read_all(open(dir.path()), None, ALL), (Vec::new(), 0));
}

/// Fails as it is told: in one in `1 << every` operations, after a part of the bytes.
struct Faulty {
    state: AtomicU32,
    every: u32,
}

impl Faulty {
    fn fails(&self) -> Option<u32> {
        let n = self.state.fetch_add(0x9e37_79b9, Ordering::Relaxed).wrapping_mul(0x85eb_ca6b);
        (n >> (32 - self.every) == 0).then_some(n)
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        if self.fails().is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        FileSystem.create(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(n) = self.fails() {
            let part = n as usize % (bytes.len() + 1);
            file.write_all_at(&bytes[..part], offset).expect("part");
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(bytes, offset)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Appends, disk faults, restarts and a reader that stops anywhere: every acknowledged record
    /// is read, in order, and nothing else is.
    #[test]
    fn what_was_acknowledged_is_read(seed: u32, every in 2u32..6, steps in 1u64..120, segment in 2_000u64..20_000,
                                     restarts in proptest::collection::vec(0u64..120, 0..4), rows_max in 1usize..20) {
        let dir = tempfile::tempdir().expect("dir");
        let limits = WalLimits { segment_bytes_max: segment, total_bytes_max: u64::MAX };
        let batches = BatchLimits { rows_max, bytes_max: 0 };
        let disk = |n: u32| Box::new(Faulty { state: AtomicU32::new(seed ^ n), every });
        let mut wal = Wal::open(dir.path(), limits, disk(0)).expect("wal").0;
        let (mut acknowledged, mut read, mut position) = (Vec::new(), Vec::new(), None);
        for step in 0..steps {
            if wal.append(&bytes(step)).is_ok() {
                acknowledged.push(step);
            }
            if restarts.contains(&step) {
                // The process ends; the next one reads a batch or two and ends as well.
                drop(wal);
                let next = Arc::new(Wal::open(dir.path(), limits, disk(step as u32)).expect("wal").0);
                let mut tail = WalReader::new(next.clone(), position);
                for _ in 0..2 {
                    match tail.next(batches, None).expect("read") {
                        Next::Batch => {
                            let batch = tail.batch();
                            read.extend((0..batch.rows.len()).map(|i| batch.row(i).to_vec()));
                            position = Some(Position { segment: batch.segment, offset: batch.end });
                            let end = batch.end;
                            tail.advance(end);
                        }
                        Next::SegmentDone => tail.remove_done(),
                        Next::Nothing => {}
                    }
                }
                drop(tail);
                wal = Arc::into_inner(next).expect("sole owner");
            }
        }
        drop(wal);
        let wal = Wal::open(dir.path(), limits, Box::new(FileSystem)).expect("wal").0;
        let (rest, _) = read_all(wal, position, batches);
        read.extend(rest);
        prop_assert_eq!(read, encoded(acknowledged));
    }

    /// Any bytes changed or cut out anywhere: the reader comes to an end, and every row it gives
    /// was written.
    #[test]
    fn damage_never_stops_the_reader(at in 0usize..20_000, length in 0usize..3_000, with: Option<u8>) {
        let dir = tempfile::tempdir().expect("dir");
        let wal = open(dir.path());
        (0..20).for_each(|n| wal.append(&bytes(n)).expect("append"));
        let path = wal.oldest().expect("segment").path.clone();
        drop(wal);
        let mut content = std::fs::read(&path).expect("segment");
        let from = SEGMENT_HEAD_BYTES + at % (content.len() - SEGMENT_HEAD_BYTES);
        let to = (from + length).min(content.len());
        match with {
            Some(byte) => content[from..to].fill(byte),
            None => drop(content.drain(from..to)),
        }
        std::fs::write(&path, &content).expect("segment");
        let (rows, damaged) = read_all(open(dir.path()), None, ALL);
        let all = encoded(0..20);
        let mut expected = all.iter();
        for row in &rows {
            prop_assert!(expected.any(|e| e == row), "a row that was not written, or out of order");
        }
        prop_assert!(rows.len() == 20 || damaged > 0 || with.is_none());
    }

    /// Every row decodes to itself, whatever it holds.
    #[test]
    fn rows_are_whole(seed: u64) {
        let mut out = Vec::new();
        columns::encode(&row(seed), &mut out);
        prop_assert_eq!(columns::missing(columns::SCHEMA_VERSION, &out), Ok(&[][..]));
        prop_assert_eq!(columns::created_at_ms(&out), Some(row(seed).created_at_ms));
        prop_assert_eq!(columns::missing(columns::SCHEMA_VERSION, &out[..out.len() - 1]), Err(columns::NotARow));
    }
}

#[test]
fn a_row_that_is_too_long_loses_the_tail_of_its_bodies_and_says_so() {
    let mut long = row(1);
    long.truncated = false;
    long.traced = None;
    long.request = Some(super::redacted(&"é".repeat(900_000)));
    long.response = Some(super::redacted(&"x".repeat(100)));
    let mut out = Vec::new();
    record(&long, &mut out);
    assert!(out.len() <= crate::bounds::WAL_RECORD_BYTES_MAX);
    let json =
        crate::ailog::store::dead_letter::as_json(&out[RECORD_HEAD_BYTES + 1..]).expect("a row");
    assert_eq!(json["truncated"], true);
    assert_eq!(json["response"], "x".repeat(100));
    let request = json["request"].as_str().expect("text");
    assert!(request.len() > 900_000 && request.chars().all(|c| c == 'é'));
}
