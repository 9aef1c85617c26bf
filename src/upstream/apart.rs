//! Long work on one body, done apart from the threads that serve calls.
//!
//! Stage 10 of the walk. Translation cannot be cut into steps: a body is read whole and written
//! whole. Guarantees: short work is done at once; long work is done where the caller of this room
//! says, and the task waits for it without holding a thread. Does not: start threads.

use std::pin::Pin;

use tokio::sync::oneshot;

use crate::bounds::STEP_BYTES_MAX;

/// Work to be done on another thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Ready when a job is done, or will not be done.
pub type Done = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Does a job on a thread that serves no calls.
pub type Apart<'a> = &'a (dyn Fn(Job) -> Done + Sync);

/// The result of work on so many bytes; nothing if the work panicked.
///
/// # Cancel safety
/// Work that has not begun when the future is dropped is not done.
pub async fn apart<T: Send + 'static>(
    bytes: usize,
    run: Apart<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if bytes <= STEP_BYTES_MAX {
        return Some(work());
    }
    let (done, mut result) = oneshot::channel();
    run(Box::new(move || drop(done.send(work())))).await;
    result.try_recv().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn only_long_work_is_done_elsewhere() {
        let jobs = AtomicUsize::new(0);
        let run = |job: Job| -> Done {
            jobs.fetch_add(1, Ordering::Relaxed);
            let thread = std::thread::spawn(job);
            Box::pin(async move { drop(thread.join()) })
        };
        assert_eq!(apart(STEP_BYTES_MAX, &run, || 1).await, Some(1));
        assert_eq!(jobs.load(Ordering::Relaxed), 0);
        let here = std::thread::current().id();
        let is_here = apart(STEP_BYTES_MAX + 1, &run, move || std::thread::current().id() == here);
        assert_eq!(is_here.await, Some(false));
        assert_eq!(apart(usize::MAX, &run, || -> u8 { panic!("a defect") }).await, None);
    }
}
