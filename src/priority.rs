//! The priority of a thread.
//!
//! Threads that do long work for one caller run at a low priority, so that short work for all
//! callers goes first on a busy machine. Guarantees: the rest of the process keeps its priority.
//! Does not: work outside Linux, where priorities belong to the whole process.

/// How much less the kernel favours a thread of low priority than the others (`nice`).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lowers the priority of this thread; to be called once in it.
#[cfg(target_os = "linux")]
pub fn lower() {
    // A refusal does no harm but that other work is slower.
    rustix::process::nice(NICE).ok();
}

/// Lowers the priority of this thread; not on this system.
#[cfg(not(target_os = "linux"))]
pub fn lower() {}
