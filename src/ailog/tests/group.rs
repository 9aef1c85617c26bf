//! Rows that share a write.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::{count, row};
use crate::ailog::counters::Counters;
use crate::ailog::shared::SharedLog;
use crate::ailog::store::Retention;
use crate::ailog::wal::append::encoded;
use crate::ailog::wal::group::Pending;
use crate::ailog::wal::segment::{Disk, FileSystem};
use crate::ailog::wal::{Wal, WalLimits};
use crate::bounds::LOG_GROUP_ROWS_MAX;
use crate::metrics::Metrics;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts writes; takes none that is longer than its bound.
struct Counting {
    writes: Arc<AtomicUsize>,
    longest: usize,
}

impl Disk for Counting {
    fn create(&self, path: &Path) -> io::Result<File> {
        FileSystem.create(path)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        if bytes.len() > self.longest {
            return Err(io::ErrorKind::StorageFull.into());
        }
        FileSystem.write_all_at(file, bytes, offset)
    }
}

struct Case {
    log: Arc<SharedLog>,
    metrics: Arc<Metrics>,
    writes: Arc<AtomicUsize>,
    _dir: tempfile::TempDir,
}

impl Case {
    /// A log without a shipper, so that nobody else writes.
    fn new(longest: usize) -> Case {
        let (dir, metrics) = (tempfile::tempdir().expect("dir"), Metrics::new());
        let writes = Arc::new(AtomicUsize::new(0));
        let disk = Box::new(Counting { writes: Arc::clone(&writes), longest });
        let wal = Wal::open(dir.path(), WalLimits::default(), disk).expect("wal").0;
        let log = Arc::new(SharedLog::new(
            Arc::new(wal),
            Counters::new(Arc::clone(&metrics)),
            Retention::default(),
        ));
        Case { log, metrics, writes, _dir: dir }
    }

    fn add(&self, seed: u64) -> Pending {
        encoded(&row(seed), |record| self.log.group.append_soon(record))
    }

    /// Writes of records, without the one of the segment's head.
    fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst).saturating_sub(1)
    }
}

fn poll(pending: &mut Pending, woken: &Arc<Woken>) -> Poll<()> {
    pin!(pending).poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
}

#[test]
fn calls_that_end_together_share_a_write() {
    let case = Case::new(usize::MAX);
    let (leads, follows) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut first = case.add(0);
    assert!(poll(&mut first, &leads).is_pending());
    assert_eq!(leads.0.load(Ordering::SeqCst), 1, "it asks for its turn at once");
    let mut others: Vec<Pending> = (1..10).map(|n| case.add(n)).collect();
    for other in &mut others {
        // Twice: a waker that is given again takes the place of the first.
        assert!(poll(other, &follows).is_pending() && poll(other, &follows).is_pending());
    }
    assert_eq!((case.writes(), count(&case.metrics, "written")), (0, 0));
    assert!(poll(&mut first, &leads).is_ready());
    assert_eq!((case.writes(), count(&case.metrics, "written")), (1, 10));
    assert_eq!(follows.0.load(Ordering::SeqCst), 9);
    assert!(others.iter_mut().all(|other| poll(other, &follows).is_ready()));
    // The next one begins a new group.
    let mut next = case.add(10);
    assert!(poll(&mut next, &leads).is_pending() && poll(&mut next, &leads).is_ready());
    assert_eq!((case.writes(), count(&case.metrics, "written")), (2, 11));
}

#[test]
fn a_call_that_is_dropped_is_written_with_those_that_wait() {
    for dropped in 0..2 {
        let case = Case::new(usize::MAX);
        let woken = Arc::new(Woken::default());
        let mut both: Vec<Pending> = (0..2).map(|n| case.add(n)).collect();
        for one in &mut both {
            assert!(poll(one, &woken).is_pending());
        }
        drop(both.remove(dropped));
        assert_eq!((case.writes(), count(&case.metrics, "written")), (1, 2));
        assert!(poll(&mut both[0], &woken).is_ready());
        drop(both);
        assert_eq!(case.writes(), 1);
    }
}

#[test]
fn a_full_group_is_written_at_once() {
    let case = Case::new(usize::MAX);
    let woken = Arc::new(Woken::default());
    let mut all: Vec<Pending> = (0..LOG_GROUP_ROWS_MAX as u64).map(|n| case.add(n)).collect();
    assert_eq!((case.writes(), count(&case.metrics, "written")), (1, LOG_GROUP_ROWS_MAX as u64));
    assert!(all.iter_mut().all(|one| poll(one, &woken).is_ready()));
}

#[test]
fn where_the_group_cannot_be_written_those_that_can_are() {
    let longest = (0..8).map(|n| encoded(&row(n), <[u8]>::len)).max().unwrap_or_default();
    for longest in [longest, longest - 1, 0] {
        let case = Case::new(longest.max(100));
        let woken = Arc::new(Woken::default());
        let mut all: Vec<Pending> = (0..8).map(|n| case.add(n)).collect();
        assert!(poll(&mut all[0], &woken).is_pending() && poll(&mut all[0], &woken).is_ready());
        let fit =
            (0..8).filter(|n| encoded(&row(*n), <[u8]>::len) <= longest.max(100)).count() as u64;
        assert_eq!((count(&case.metrics, "written"), count(&case.metrics, "lost")), (fit, 8 - fit));
        assert!(all.iter_mut().all(|one| poll(one, &woken).is_ready()), "nobody waits for ever");
    }
}
