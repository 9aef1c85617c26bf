//! The log against a model: appends, syncs, shipping, kills and power cuts in any order, on a disk
//! and with a store that fail in every way they know. What was acknowledged is stored exactly once;
//! everything else is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::{count, row};
use crate::ailog::columns::{Decoder, Type, Value};
use crate::ailog::counters::Counters;
use crate::ailog::shared::SharedLog;
use crate::ailog::store::shipper::{Shipper, Step};
use crate::ailog::store::{
    AuditRecord, Keep, LimitInForce, Resume, Retention, Store, StoreError, Stored,
};
use crate::ailog::wal::position::Position;
use crate::ailog::wal::reader::{Batch, BatchLimits};
use crate::ailog::wal::segment;
use crate::ailog::wal::segment::{Disk, FileSystem};
use crate::ailog::wal::{Wal, WalLimits};
use crate::lock::lock;
use crate::metrics::Metrics;

#[derive(Clone, Debug)]
enum Op {
    /// So many calls end together.
    Append(u8),
    /// They wait for the disk.
    Sync,
    /// So many steps of the shipper.
    Ship(u8),
    /// The segment is an hour old.
    EndSegment,
    Kill,
    PowerCut,
    /// The next writes end early: the disk is full.
    ShortWrites(u8),
    /// The next segments cannot be begun.
    NoSegment(u8),
    /// The rest of a failed write cannot be cut off.
    NoCut(u8),
    FailedSyncs(u8),
    /// The reader meets a bad sector, which gets better before the segment is given up.
    FailedReads(u8),
    /// The store has the rows, but its answer is lost.
    LostAcks(u8),
    /// The store says no.
    Refusals(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1u8..6).prop_map(Op::Append),
        4 => Just(Op::Sync),
        6 => (1u8..8).prop_map(Op::Ship),
        1 => Just(Op::EndSegment),
        2 => Just(Op::Kill),
        1 => Just(Op::PowerCut),
        2 => (1u8..4).prop_map(Op::ShortWrites),
        1 => (1u8..3).prop_map(Op::NoSegment),
        1 => (1u8..3).prop_map(Op::NoCut),
        1 => (1u8..3).prop_map(Op::FailedSyncs),
        1 => (1u8..4).prop_map(Op::FailedReads),
        2 => (1u8..4).prop_map(Op::LostAcks),
        2 => (1u8..4).prop_map(Op::Refusals),
    ]
}

/// A disk that fails when it is told, and knows what of each file would survive a power cut.
#[derive(Default)]
struct Faults {
    short_writes: AtomicU32,
    no_segment: AtomicU32,
    no_cut: AtomicU32,
    failed_syncs: AtomicU32,
    failed_reads: AtomicU32,
    /// By inode.
    files: Mutex<HashMap<u64, OnDisk>>,
}

#[derive(Clone, Copy, Default)]
struct OnDisk {
    length: u64,
    has_name: bool,
    /// A sync of it failed: what is not on the disk yet never will be, whatever a later sync says.
    is_broken: bool,
}

/// Whether one more fault is due.
fn due(faults: &AtomicU32) -> bool {
    faults.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
}

struct Fragile(Arc<Faults>);

impl Disk for Fragile {
    fn create(&self, path: &Path) -> io::Result<File> {
        if due(&self.0.no_segment) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = FileSystem.create(path)?;
        lock(&self.0.files).insert(file.metadata()?.ino(), OnDisk::default());
        Ok(file)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if due(&self.0.short_writes) {
            FileSystem.write_all_at(file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        FileSystem.write_all_at(file, bytes, offset)
    }

    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        if due(&self.0.no_cut) {
            Err(io::Error::from_raw_os_error(5))
        } else {
            FileSystem.set_len(file, length)
        }
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        let mut files = lock(&self.0.files);
        let state = files.entry(file.metadata()?.ino()).or_default();
        if due(&self.0.failed_syncs) {
            state.is_broken = true;
            return Err(io::Error::from_raw_os_error(5));
        }
        if !state.is_broken {
            state.length = file.metadata()?.len();
        }
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        lock(&self.0.files).values_mut().for_each(|state| state.has_name = true);
        Ok(())
    }

    fn read_exact_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        if due(&self.0.failed_reads) {
            return Err(io::Error::from_raw_os_error(5));
        }
        FileSystem.read_exact_at(file, bytes, offset)
    }
}

/// A store on another machine: it drops a block whose token it has seen, and its answers may be
/// lost.
#[derive(Default)]
struct Remote {
    /// How often it has each row.
    rows: BTreeMap<u64, u32>,
    tokens: HashSet<(uuid::Uuid, u64, u64)>,
    resume: Option<Resume>,
    lost_acks: AtomicU32,
    refusals: AtomicU32,
}

struct Away(Arc<Mutex<Remote>>);

impl Store for Away {
    fn limits(&self) -> BatchLimits {
        BatchLimits { rows_max: 3, bytes_max: 0 }
    }

    fn tick(&self) -> Duration {
        Duration::ZERO
    }

    fn resume(&mut self) -> Result<Option<Resume>, StoreError> {
        Ok(lock(&self.0).resume)
    }

    fn store(&mut self, batch: &Batch, _give_up: &dyn Fn() -> bool) -> Result<Stored, StoreError> {
        let retry = || StoreError::Retry { reason: "told to".to_owned(), at_least: Duration::ZERO };
        let mut remote = lock(&self.0);
        let at = |offset| Position { segment: batch.segment, offset };
        remote.resume =
            Some(Resume { position: at(batch.start), sealed_until: Some(batch.sealed_end) });
        if due(&remote.refusals) {
            return Err(retry());
        }
        if remote.tokens.insert((batch.segment, batch.start, batch.sealed_end)) {
            for index in 0..batch.rows.len() {
                *remote.rows.entry(seed_of(batch.row(index))).or_default() += 1;
            }
        }
        if due(&remote.lost_acks) {
            return Err(retry());
        }
        remote.resume = Some(Resume { position: at(batch.end), sealed_until: None });
        Ok(Stored { rows: batch.rows.len() })
    }

    fn pass_over(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let position = Position { segment: batch.segment, offset: batch.end };
        lock(&self.0).resume = Some(Resume { position, sealed_until: None });
        Ok(())
    }

    fn settle(&mut self) {}

    fn sync_always(&mut self) {}

    fn forget_before(&mut self, _keep: &Keep) -> bool {
        false
    }

    fn keep_limits(&mut self, _limits: &[LimitInForce]) -> Result<(), StoreError> {
        Ok(())
    }

    fn keep_audit(&mut self, _records: &[AuditRecord]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The seed that [`row`] has put into a row's id.
fn seed_of(row: &[u8]) -> u64 {
    match Decoder::new(row).next(Type::Uuid) {
        Ok(Value::Uuid(id)) => id.as_u64_pair().1,
        other => panic!("{other:?}"),
    }
}

/// The machine, with the process that runs on it.
struct World {
    dir: PathBuf,
    limits: WalLimits,
    faults: Arc<Faults>,
    remote: Arc<Mutex<Remote>>,
    rng: fastrand::Rng,
    log: Arc<SharedLog>,
    shipper: Shipper,
    metrics: Arc<Metrics>,
    /// Answers wait for the disk.
    power: bool,
    next: u64,
    /// Rows of answers that went out.
    acknowledged: BTreeSet<u64>,
    /// Written, and not yet waited for.
    unsynced: BTreeSet<u64>,
    /// The number that the process counted as suspect when they last waited.
    suspect: u64,
    /// Of these a process said that they are lost, or may be.
    counted: u64,
    cuts_failed: bool,
    power_was_cut: bool,
}

impl World {
    fn new(dir: &Path, limits: WalLimits, power: bool, seed: u64) -> World {
        let (faults, remote) = (Arc::new(Faults::default()), Arc::default());
        let (log, shipper, metrics) = start(dir, limits, &faults, &remote);
        World {
            dir: dir.to_owned(),
            limits,
            faults,
            remote,
            rng: fastrand::Rng::with_seed(seed),
            log,
            shipper,
            metrics,
            power,
            next: 0,
            acknowledged: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            suspect: 0,
            counted: 0,
            cuts_failed: false,
            power_was_cut: false,
        }
    }

    fn apply(&mut self, op: &Op) {
        let tell = |fault: &AtomicU32, n: u8| fault.store(u32::from(n), Ordering::Relaxed);
        match *op {
            Op::Append(rows) => self.append(u64::from(rows)),
            Op::Sync => self.sync(),
            Op::Ship(steps) => self.ship(steps),
            Op::EndSegment => self.log.wal.end_if_begun_before(i64::MAX),
            Op::Kill => self.restart(),
            Op::PowerCut if self.power => self.power_cut(),
            Op::PowerCut => self.restart(),
            Op::ShortWrites(n) => tell(&self.faults.short_writes, n),
            Op::NoSegment(n) => tell(&self.faults.no_segment, n),
            Op::NoCut(n) => {
                self.cuts_failed = true;
                tell(&self.faults.no_cut, n);
            }
            Op::FailedSyncs(n) => tell(&self.faults.failed_syncs, n),
            Op::FailedReads(n) => {
                tell(&self.faults.failed_reads, n);
                self.ship(n);
                tell(&self.faults.failed_reads, 0);
                self.ship(1);
            }
            Op::LostAcks(n) => tell(&lock(&self.remote).lost_acks, n),
            Op::Refusals(n) => tell(&lock(&self.remote).refusals, n),
        }
    }

    fn ship(&mut self, steps: u8) {
        for _ in 0..steps {
            self.shipper.step();
        }
    }

    /// Calls end: their rows are written in one group, and if that fails one by one.
    fn append(&mut self, rows: u64) {
        if self.power {
            self.log.wal.keep_until_synced();
        }
        let (mut record, mut records, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for seed in self.next..self.next + rows {
            segment::record(&row(seed), &mut record);
            records.extend_from_slice(&record);
            ends.push(records.len());
        }
        let before = count(&self.metrics, "written");
        self.log.appender.append_records(&records, &ends);
        let written = count(&self.metrics, "written") - before;
        // Which ones of a group were written a fault that passes does not say; of those nothing is
        // asked but the number.
        if written == rows {
            let seeds = self.next..self.next + rows;
            if self.power { self.unsynced.extend(seeds) } else { self.acknowledged.extend(seeds) }
        }
        self.next += rows;
    }

    fn sync(&mut self) {
        if !self.power {
            return;
        }
        self.log.syncer.sync_written();
        let waited = std::mem::take(&mut self.unsynced);
        // The shipper syncs as well, and may have met the failure.
        let suspect = count(&self.metrics, "suspect");
        if std::mem::replace(&mut self.suspect, suspect) == suspect {
            self.acknowledged.extend(waited);
        }
    }

    fn restart(&mut self) {
        self.counted += ["lost", "suspect"].map(|of| count(&self.metrics, of)).iter().sum::<u64>();
        // The clients of the old process never saw the end of their answers.
        self.unsynced.clear();
        self.suspect = 0;
        // The old process is gone before the new one looks.
        let stand_in = tempfile::tempdir().expect("dir");
        (self.log, self.shipper, self.metrics) =
            start(stand_in.path(), self.limits, &Arc::default(), &Arc::default());
        (self.log, self.shipper, self.metrics) =
            start(&self.dir, self.limits, &self.faults, &self.remote);
    }

    /// Of every file there is what was synced, and anything or nothing of what was not.
    fn power_cut(&mut self) {
        self.power_was_cut = true;
        let mut files = lock(&self.faults.files);
        for entry in fs::read_dir(&self.dir).expect("dir") {
            let path = entry.expect("entry").path();
            let file = File::options().read(true).write(true).open(&path).expect("file");
            let metadata = file.metadata().expect("metadata");
            let state = files.entry(metadata.ino()).or_default();
            if !state.has_name && self.rng.bool() {
                fs::remove_file(&path).expect("removed");
                continue;
            }
            let kept = self.rng.u64(state.length.min(metadata.len())..=metadata.len());
            match self.rng.u8(..3) {
                0 => file.set_len(kept).expect("cut"),
                1 => file
                    .write_all_at(&vec![0; (metadata.len() - kept) as usize], kept)
                    .expect("zeroes"),
                _ => {
                    let noise: Vec<u8> = (kept..metadata.len()).map(|_| self.rng.u8(..)).collect();
                    file.write_all_at(&noise, kept).expect("noise");
                }
            }
            *state = OnDisk {
                length: file.metadata().expect("metadata").len(),
                has_name: true,
                is_broken: false,
            };
        }
        drop(files);
        self.restart();
    }

    /// Everything works again; all that is left is shipped.
    fn recover(&mut self) {
        for fault in [
            &self.faults.short_writes,
            &self.faults.no_segment,
            &self.faults.no_cut,
            &self.faults.failed_syncs,
            &self.faults.failed_reads,
        ] {
            fault.store(0, Ordering::Relaxed);
        }
        {
            let remote = lock(&self.remote);
            remote.lost_acks.store(0, Ordering::Relaxed);
            remote.refusals.store(0, Ordering::Relaxed);
        }
        self.restart();
        for _ in 0..10_000 {
            if matches!(self.shipper.step(), Step::CaughtUp) {
                assert_eq!(self.log.wal.bytes(), 0);
                self.counted += count(&self.metrics, "lost");
                return;
            }
        }
        panic!("the shipper does not come to an end");
    }
}

fn start(
    dir: &Path,
    limits: WalLimits,
    faults: &Arc<Faults>,
    remote: &Arc<Mutex<Remote>>,
) -> (Arc<SharedLog>, Shipper, Arc<Metrics>) {
    let metrics = Metrics::new();
    let (wal, found) = Wal::open(dir, limits, Box::new(Fragile(faults.clone()))).expect("wal");
    let counters = Counters::new(metrics.clone());
    counters.lost.inc_by(found.quarantined as u64);
    let log = Arc::new(SharedLog::new(Arc::new(wal), counters, Retention::default()));
    let shipper = Shipper::new(
        log.clone(),
        Box::new(Away(remote.clone())),
        None,
        dir.join("dead-letter.jsonl"),
    );
    (log, shipper.expect("shipper"), metrics)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_was_acknowledged_is_stored_once_and_the_rest_is_counted(
        ops in proptest::collection::vec(op(), 1..60), power: bool, seed: u64, segment in 1_000u64..30_000,
    ) {
        let dir = tempfile::tempdir().expect("dir");
        let limits = WalLimits { segment_bytes_max: segment, total_bytes_max: u64::MAX };
        let mut world = World::new(dir.path(), limits, power, seed);
        ops.iter().for_each(|op| world.apply(op));
        world.recover();
        let rows = &lock(&world.remote).rows;
        for (row, times) in rows {
            prop_assert_eq!(*times, 1, "row {} is stored more than once", row);
            prop_assert!(*row < world.next, "row {} was never written", row);
        }
        for row in &world.acknowledged {
            prop_assert!(rows.contains_key(row), "row {} is missing", row);
        }
        let missing = world.next - rows.len() as u64;
        if !power {
            // To the row, unless a rest that could not be cut off was found again and counted once
            // more.
            prop_assert!(world.counted == missing || (world.cuts_failed && world.counted >= missing),
                "{} rows are missing, {} were counted", missing, world.counted);
        }
        if !world.power_was_cut {
            // With syncs that fail rows are counted that are there all the same; none is gone that
            // was not counted.
            prop_assert!(world.counted >= missing, "{} rows are missing, {} were \
                counted", missing, world.counted);
        }
    }
}
