//! Threads of low priority for slow work on request bodies.
//!
//! Beside stage 6 of the walk. A body that has taken
//! [`BODY_INLINE_TIME_MAX`](crate::bounds::BODY_INLINE_TIME_MAX) on a thread of the runtime beyond
//! the usual time for its bytes is worked on here, in jobs of about a millisecond. So the runtime's
//! threads do short work only, and on a busy machine the kernel lets them run first. Turn groups
//! take turns. Guarantees: a job of a dropped call is not begun; a job that panics ends its own
//! call and no other; threads are started when they are needed. Does not: cut work into jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::by_group::ByGroup;
use super::turn_group::TurnGroup;
use crate::lock::lock;
use crate::priority;

/// The threads.
pub struct BodyThreads(Arc<Shared>);

struct Shared {
    jobs: Mutex<Jobs>,
    ready: Condvar,
    threads_max: usize,
}

#[derive(Default)]
struct Jobs {
    waiting: ByGroup<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

type Job = Box<dyn FnOnce() + Send>;

/// A job that waits or runs, and its result. Dropped, it is not begun any more.
pub struct Running<T> {
    shared: Arc<Shared>,
    group: TurnGroup,
    number: u64,
    result: oneshot::Receiver<T>,
}

impl BodyThreads {
    /// At most so many threads.
    pub fn new(threads_max: usize) -> BodyThreads {
        BodyThreads(Arc::new(Shared { jobs: Mutex::default(), ready: Condvar::new(), threads_max }))
    }

    /// Does `work` when it is the group's turn.
    pub fn run<T: Send + 'static>(
        &self,
        group: TurnGroup,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Running<T> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !done.is_closed() {
                drop(done.send(work()));
            }
        });
        let mut jobs = lock(&self.0.jobs);
        let number = jobs.waiting.number();
        jobs.waiting.add(group, number, job);
        let start = jobs.idle == 0 && jobs.threads < self.0.threads_max;
        if start {
            jobs.threads += 1;
        }
        drop(jobs);
        if !start {
            self.0.ready.notify_one();
        } else if let Err(error) = self.start() {
            self.do_here(group, number, &error);
        }
        Running { shared: Arc::clone(&self.0), group, number, result }
    }

    fn start(&self) -> std::io::Result<()> {
        let shared = Arc::clone(&self.0);
        let run = move || {
            priority::lower();
            shared.work();
        };
        std::thread::Builder::new().name("bodies".to_owned()).spawn(run).map(drop)
    }

    /// The system gives no thread: where there is no other, the job is done on this one.
    fn do_here(&self, group: TurnGroup, number: u64, error: &std::io::Error) {
        let mut jobs = lock(&self.0.jobs);
        jobs.threads -= 1;
        if jobs.threads > 0 {
            return;
        }
        let job = jobs.waiting.remove(group, number);
        drop(jobs);
        tracing::warn!(
            event = "thread_not_started",
            %error, "cannot start a thread for request bodies");
        job.into_iter().for_each(done);
    }
}

impl Drop for BodyThreads {
    fn drop(&mut self) {
        let mut jobs = lock(&self.0.jobs);
        jobs.closed = true;
        let left = std::mem::take(&mut jobs.waiting);
        drop(jobs);
        // Not under the lock: a value that a job holds may take the lock when it is dropped.
        drop(left);
        self.0.ready.notify_all();
    }
}

impl Shared {
    /// Does one job after the other until the end.
    fn work(&self) {
        while let Some(job) = self.next() {
            done(job);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some((_, job)) = jobs.waiting.pop() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs.idle += 1;
            jobs = self.ready.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            jobs.idle -= 1;
        }
    }
}

/// Does a job. One that panics leaves no result, and its thread goes on.
fn done(job: Job) {
    drop(catch_unwind(AssertUnwindSafe(job)));
}

impl<T> Running<T> {
    /// The result; nothing if the job panicked.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Poll::Ready(ready!(Pin::new(&mut self.result).poll(cx)).ok())
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        let left = lock(&self.shared.jobs).waiting.remove(self.group, self.number);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Without threads: jobs are done where the test says so.
    fn by_hand() -> BodyThreads {
        BodyThreads::new(0)
    }

    fn do_next(threads: &BodyThreads) -> bool {
        let job = lock(&threads.0.jobs).waiting.pop();
        job.map(|(_, job)| done(job)).is_some()
    }

    fn result<T>(running: &mut Running<T>) -> Poll<Option<T>> {
        running.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn groups_take_turns_however_many_jobs_one_of_them_has() {
        let threads = by_hand();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut running = Vec::new();
        for (n, group) in [0, 0, 0, 0, 1, 1, 2].into_iter().enumerate() {
            let order = Arc::clone(&order);
            running.push(threads.run(TurnGroup::of_test(group), move || lock(&order).push(n)));
        }
        while do_next(&threads) {}
        assert_eq!(*lock(&order), [0, 4, 6, 1, 5, 2, 3]);
        assert!(running.iter_mut().all(|running| result(running) == Poll::Ready(Some(()))));
        assert!(lock(&threads.0.jobs).waiting.is_empty());
    }

    #[test]
    fn a_job_of_a_dropped_call_is_not_begun() {
        let threads = by_hand();
        let held = Arc::new(());
        let also = Arc::clone(&held);
        let running = threads.run(TurnGroup::of_test(0), move || drop(also));
        let mut other = threads.run(TurnGroup::of_test(0), || 7);
        drop(running);
        assert_eq!(Arc::strong_count(&held), 1, "what it held is free at once");
        assert!(result(&mut other).is_pending());
        assert!(do_next(&threads) && !do_next(&threads));
        assert_eq!(result(&mut other), Poll::Ready(Some(7)));
    }

    #[test]
    fn a_job_that_panics_ends_its_own_call_alone() {
        let threads = BodyThreads::new(1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut first = threads.run(TurnGroup::of_test(0), || -> u8 { panic!("a defect") });
        let mut second = threads.run(TurnGroup::of_test(0), || 8);
        runtime.block_on(async {
            assert_eq!(std::future::poll_fn(|cx| first.poll(cx)).await, None);
            assert_eq!(std::future::poll_fn(|cx| second.poll(cx)).await, Some(8));
        });
        assert_eq!(lock(&threads.0.jobs).threads, 1, "its thread went on");
    }

    /// Many jobs of several groups on several threads: each is done once, none is forgotten, and
    /// the threads end.
    #[test]
    fn no_job_is_lost_among_threads() {
        let threads = BodyThreads::new(3);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .expect("a runtime");
        let sum = runtime.block_on(async {
            let mut sum = 0;
            for round in 0..50_u64 {
                let jobs: Vec<_> = (0..20_u64)
                    .map(|n| threads.run(TurnGroup::of_test((n % 3) as u16), move || round * n))
                    .collect();
                for (n, mut job) in jobs.into_iter().enumerate() {
                    if n % 7 == 6 {
                        continue;
                    }
                    sum += std::future::poll_fn(|cx| job.poll(cx)).await.expect("no panic");
                }
            }
            sum
        });
        assert_eq!(sum, (0..50).sum::<u64>() * (0..20).filter(|n| n % 7 != 6).sum::<u64>());
        let shared = Arc::downgrade(&threads.0);
        drop(threads);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
