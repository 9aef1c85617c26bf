//! Rows that wait for the disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use super::{SOON, count, row};
use crate::ailog::counters::Counters;
use crate::ailog::shared::SharedLog;
use crate::ailog::store::Retention;
use crate::ailog::wal::segment::{Disk, FileSystem};
use crate::ailog::wal::sync::Durable;
use crate::ailog::wal::{Wal, WalLimits};
use crate::ailog::{AiLog, Options};
use crate::bounds::LOG_SYNC_WAIT_MAX;
use crate::config::policy::StoreKind;
use crate::lock::lock;
use crate::metrics::Metrics;

/// A request to a disk.
#[derive(Default)]
struct Asked {
    /// Inode of each file that was synced, in order.
    files: Mutex<Vec<u64>>,
    folders: AtomicUsize,
}

/// Each sync of a file says that it has begun and then does as it is told.
struct Told {
    asked: Arc<Asked>,
    begun: Sender<()>,
    tell: Mutex<Receiver<io::Result<()>>>,
}

impl Disk for Told {
    fn create(&self, path: &Path) -> io::Result<File> {
        FileSystem.create(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileSystem.write_all_at(file, bytes, offset)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        lock(&self.asked.files).push(file.metadata()?.ino());
        let _ = self.begun.send(());
        // The hand that tells is gone at the end of a test: then the disk works.
        lock(&self.tell).recv().unwrap_or(Ok(()))
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        self.asked.folders.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

struct Case {
    log: Arc<SharedLog>,
    syncer: Option<JoinHandle<()>>,
    metrics: Arc<Metrics>,
    asked: Arc<Asked>,
    begun: Receiver<()>,
    tell: Option<Sender<io::Result<()>>>,
    dir: tempfile::TempDir,
}

impl Case {
    /// A log on a disk that does as it is told, without a shipper, which would sync as well.
    fn new(limits: WalLimits) -> Case {
        let (dir, metrics, asked) =
            (tempfile::tempdir().expect("dir"), Metrics::new(), Arc::new(Asked::default()));
        let ((begin, begun), (tell, told)) = (channel(), channel());
        let disk = Box::new(Told { asked: asked.clone(), begun: begin, tell: Mutex::new(told) });
        let wal = Wal::open(&dir.path().join("wal"), limits, disk).expect("wal").0;
        let log = Arc::new(SharedLog::new(
            Arc::new(wal),
            Counters::new(metrics.clone()),
            Retention::default(),
        ));
        let syncing = log.clone();
        let syncer = Some(std::thread::spawn(move || syncing.sync_until_stopped()));
        Case { log, syncer, metrics, asked, begun, tell: Some(tell), dir }
    }

    fn append(&self, seed: u64) {
        self.log.wal.keep_until_synced();
        self.log.appender.append(&row(seed));
    }

    fn files(&self) -> Vec<u64> {
        lock(&self.asked.files).clone()
    }

    fn folders(&self) -> usize {
        self.asked.folders.load(Ordering::SeqCst)
    }

    /// The next sync ends so.
    fn tell(&self, result: io::Result<()>) {
        self.tell.as_ref().expect("not gone").send(result).expect("somebody listens");
    }

    /// From now on every sync works.
    fn let_go(&mut self) {
        self.tell = None;
    }

    fn end(&mut self) {
        self.let_go();
        self.log.syncer.end();
        if let Some(syncer) = self.syncer.take() {
            syncer.join().expect("the thread ends well");
        }
    }

    /// How many rows a gateway that is started now stores.
    fn stored(mut self) -> u64 {
        self.end();
        let (log, metrics) = super::open(self.dir.path());
        assert!(log.flush(SOON));
        count(&metrics, "stored")
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        self.let_go();
        self.log.syncer.end();
    }
}

fn poll(durable: &mut Durable) -> Poll<()> {
    Pin::new(durable).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn nothing_goes_out_before_the_disk_has_it_and_those_that_wait_share_a_sync() {
    let case = Case::new(WalLimits::default());
    case.append(0);
    let mut first = case.log.syncer.durable();
    assert!(poll(&mut first).is_pending());
    case.begun.recv().expect("the thread syncs");
    // While the disk works on the first, twenty more calls end.
    let mut others: Vec<Durable> = (1..=20)
        .map(|n| {
            case.append(n);
            case.log.syncer.durable()
        })
        .collect();
    assert!(others.iter_mut().all(|other| poll(other).is_pending()));
    case.tell(Ok(()));
    first.await;
    assert!(
        others.iter_mut().all(|other| poll(other).is_pending()),
        "their rows were not in that sync"
    );
    case.begun.recv().expect("the next sync");
    case.tell(Ok(()));
    for other in others {
        other.await;
    }
    assert_eq!(case.files().len(), 2, "one sync for twenty calls");
    assert_eq!(case.folders(), 1, "the segment's name, once");
    assert_eq!(case.metrics.log_sync_seconds.get_sample_count(), 2);
    // All is there: nobody has to wait.
    case.log.syncer.durable().await;
    assert_eq!(case.files().len(), 2);
    assert_eq!(count(&case.metrics, "suspect"), 0);
    assert_eq!(case.stored(), 21);
}

#[tokio::test]
async fn after_a_sync_that_failed_the_log_goes_on_in_a_new_segment() {
    let mut case = Case::new(WalLimits::default());
    (0..3).for_each(|n| case.append(n));
    let mut waits = case.log.syncer.durable();
    assert!(poll(&mut waits).is_pending());
    case.begun.recv().expect("the thread syncs");
    case.append(3);
    case.tell(Err(io::Error::from_raw_os_error(5)));
    waits.await;
    assert_eq!(
        count(&case.metrics, "suspect"),
        4,
        "also the row that came meanwhile: its file is not asked again"
    );
    case.append(4);
    case.let_go();
    case.log.syncer.durable().await;
    let files = case.files();
    assert_eq!(files.len(), 2);
    assert_ne!(files[0], files[1], "a second sync of the same file would prove nothing");
    assert_eq!(case.folders(), 2, "the new segment's name, too");
    assert_eq!((count(&case.metrics, "suspect"), count(&case.metrics, "lost")), (4, 0));
    // The machine did not fail after all: suspect rows are stored like all others, once.
    assert_eq!(case.stored(), 5);
}

#[tokio::test]
async fn after_a_sync_that_failed_its_file_is_not_asked_again_where_it_was_ended_meanwhile() {
    // Every row has a segment of its own.
    let mut case = Case::new(WalLimits { segment_bytes_max: 1, ..WalLimits::default() });
    case.append(0);
    let mut waits = case.log.syncer.durable();
    assert!(poll(&mut waits).is_pending());
    case.begun.recv().expect("the thread syncs");
    case.append(1);
    case.tell(Err(io::Error::from_raw_os_error(5)));
    waits.await;
    assert_eq!(count(&case.metrics, "suspect"), 2, "which of the two the disk has is not known");
    case.append(2);
    case.let_go();
    case.log.syncer.durable().await;
    let files = case.files();
    assert!(
        files.len() > 1 && !files[1..].contains(&files[0]),
        "{files:?}: a second sync would prove nothing"
    );
    assert_eq!(case.stored(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_does_not_hold_answers_for_ever() {
    let case = Case::new(WalLimits::default());
    case.append(0);
    let begun = tokio::time::Instant::now();
    case.log.syncer.durable().await;
    assert!(begun.elapsed() >= LOG_SYNC_WAIT_MAX);
    assert!(
        case.metrics.text().contains("tollgate_bounds_reached_total{bound=\"log_sync_wait\"} 1")
    );
    assert_eq!(case.stored(), 1);
}

#[tokio::test]
async fn rows_of_calls_that_end_after_the_log_was_closed_are_synced_too() {
    let mut case = Case::new(WalLimits::default());
    case.append(0);
    case.end();
    assert_eq!(case.files().len(), 1, "the thread's last");
    case.append(1);
    case.log.syncer.durable().await;
    assert_eq!(case.files().len(), 2);
}

#[tokio::test]
async fn a_segment_that_ends_before_its_sync_is_synced_all_the_same() {
    // Every row has a segment of its own.
    let mut case = Case::new(WalLimits { segment_bytes_max: 1, ..WalLimits::default() });
    case.let_go();
    (0..5).for_each(|n| case.append(n));
    case.log.syncer.durable().await;
    let files: BTreeSet<u64> = case.files().into_iter().collect();
    assert_eq!(files.len(), 5);
}

#[test]
fn where_nobody_asks_nothing_is_synced_at_either_end() {
    let (dir, asked) = (tempfile::tempdir().expect("dir"), Arc::new(Asked::default()));
    let ((begin, _begun), (_, told)) = (channel(), channel());
    let disk = Box::new(Told { asked: asked.clone(), begun: begin, tell: Mutex::new(told) });
    let mut options = Options::new(dir.path(), 0);
    options.wal.segment_bytes_max = 10_000;
    let log = AiLog::open_on(options, StoreKind::Embedded, Metrics::new(), disk).expect("log");
    (0..100).for_each(|n| log.append(&row(n)));
    assert!(log.flush(SOON));
    log.close(SOON);
    assert_eq!((lock(&asked.files).len(), asked.folders.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn with_it_the_shipper_reads_what_is_on_the_disk_and_the_store_syncs_its_commits() {
    let (dir, asked) = (tempfile::tempdir().expect("dir"), Arc::new(Asked::default()));
    let ((begin, begun), (tell, told)) = (channel(), channel());
    let disk = Box::new(Told { asked: asked.clone(), begun: begin, tell: Mutex::new(told) });
    let metrics = Metrics::new();
    let log =
        AiLog::open_on(Options::new(dir.path(), 0), StoreKind::Embedded, metrics.clone(), disk)
            .expect("log");
    log.expect_durable();
    (0..10).for_each(|n| log.append(&row(n)));
    begun.recv().expect("the shipper syncs by itself, nobody waits");
    assert_eq!(count(&metrics, "stored"), 0);
    drop(tell);
    assert!(log.flush(SOON));
    assert_eq!(count(&metrics, "stored"), 10);
}
