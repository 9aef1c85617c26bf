//! The `tollgate` binary: hands the command line to [`tollgate::cli`] and exits with its code.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    small_pages();
    tollgate::cli::main()
}

/// Keeps huge pages away, which mimalloc asks the kernel for unless `MIMALLOC_ALLOW_THP` is set.
///
/// Thousands of open calls hold buffers that are hardly filled, and a huge page makes all of each
/// resident: 66 KiB a stream instead of 41, at the same CPU time a call. A kernel that refuses
/// costs memory and nothing else.
#[cfg(all(feature = "mimalloc", target_os = "linux"))]
fn small_pages() {
    if std::env::var_os("MIMALLOC_ALLOW_THP").is_none() {
        rustix::thread::disable_transparent_huge_pages(true).ok();
    }
}

#[cfg(not(all(feature = "mimalloc", target_os = "linux")))]
fn small_pages() {}
