//! The process itself, under the names that Prometheus clients share: CPU time, memory, file
//! descriptors, threads and the time of its start.
//!
//! Source: `proc(5)`, read anew for each gathering. Guarantees: a value that the kernel does not
//! tell is left out, never 0. Does not: work outside Linux, where nothing is shown.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::make;

/// Collects seven series of this process.
pub struct Process {
    cpu: Counter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    start: Gauge,
    threads: IntGauge,
}

/// The numbers of `/proc/self/stat` that are shown, in its units: clock ticks, bytes and pages.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    start_ticks: u64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl Process {
    /// The collector, with the time of the start read once.
    ///
    /// # Errors
    /// None in practice: the names are valid.
    pub fn new() -> prometheus::Result<Process> {
        let process = Process {
            cpu: make::amount("process_cpu_seconds_total", "CPU time, user and system.")?,
            open_fds: make::int("process_open_fds", "Open file descriptors.")?,
            max_fds: make::int("process_max_fds", "File descriptors that may be open.")?,
            virtual_memory: make::int("process_virtual_memory_bytes", "Virtual memory.")?,
            resident_memory: make::int("process_resident_memory_bytes", "Resident memory.")?,
            start: make::float("process_start_time_seconds", "Unix time of the start.")?,
            threads: make::int("process_threads", "Threads of the operating system.")?,
        };
        if let (Some(boot), Some(stat)) = (boot_time(), Stat::read()) {
            process.start.set(boot + seconds(stat.start_ticks));
        }
        Ok(process)
    }

    fn series(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.open_fds,
            &self.max_fds,
            &self.virtual_memory,
            &self.resident_memory,
            &self.start,
            &self.threads,
        ]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.series().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(stat) = Stat::read() else { return Vec::new() };
        // Two gatherings at once may meet here: a counter never goes back.
        self.cpu.inc_by((seconds(stat.cpu_ticks) - self.cpu.get()).max(0.0));
        self.threads.set(stat.threads);
        self.virtual_memory.set(stat.virtual_bytes);
        self.resident_memory.set(stat.resident_pages.saturating_mul(page_size() as i64));
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // The folder itself is open while it is read.
            self.open_fds.set(open.count().saturating_sub(1) as i64);
        }
        let limit = getrlimit(Resource::Nofile).current;
        self.max_fds.set(limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX)));
        self.series().into_iter().flat_map(Collector::collect).collect()
    }
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Reads one line of `/proc/PID/stat`. The second field, the name of the program in brackets,
    /// may hold blanks and brackets; fields are counted from the last bracket.
    fn parse(line: &str) -> Option<Stat> {
        let (_, rest) = line.rsplit_once(')')?;
        // Field 3 of the manual is the first here.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Stat {
            cpu_ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
            threads: field(20)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
            virtual_bytes: field(23)?.parse().ok()?,
            resident_pages: field(24)?.parse().ok()?,
        })
    }
}

/// Unix time of the machine's start, in seconds.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_program_is_called() {
        let line = "4242 (a) b (c)) S 1 4242 4242 0 -1 4194560 900 0 0 0 17 5 0 0 20 0 9 0 8812 \
                    734003200 6144 18446744073709551615 1 1 0";
        let stat = Stat {
            cpu_ticks: 22,
            threads: 9,
            start_ticks: 8812,
            virtual_bytes: 734_003_200,
            resident_pages: 6144,
        };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse("4242 (x) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn all_series_have_values_of_this_process() {
        let process = Process::new().unwrap();
        let families = process.collect();
        assert_eq!(families.len(), process.desc().len());
        assert!(process.resident_memory.get() > 1 << 20);
        assert!(process.virtual_memory.get() >= process.resident_memory.get());
        assert!(process.open_fds.get() >= 3 && process.open_fds.get() <= process.max_fds.get());
        assert!(process.threads.get() >= 1);
        // 2020-01-01, and not after the machine's own now.
        assert!(process.start.get() > 1_577_836_800.0);
    }
}
