//! File descriptors: raises the limit, and fits the number of connections to it.
//!
//! Stage 1 of the walk. Guarantees: the soft limit is raised to the hard one; a bound on
//! connections under which the gateway still has descriptors for its own files and for one
//! connection to a provider per call. Does not: count them.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::bounds::CONNECTIONS_OVER_MAX;

/// Descriptors for everything but calls: the log, the store, the watcher, the operators' side.
const OWN: usize = 128;

/// The bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Connections that are served.
    pub served: usize,
    /// Connections beyond them that are refused with a time to retry.
    pub over: usize,
}

/// Raises the limit as far as it goes, and fits `connections` into it.
pub fn places(connections: usize) -> Places {
    let limit = getrlimit(Resource::Nofile);
    let mut raised = limit;
    raised.current = limit.maximum;
    // If raising is not allowed, the limit stays.
    let now =
        if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    let descriptors = now.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let places = fitted(connections, descriptors);
    // A slightly lower bound is not logged.
    if places.served < connections / 10 * 9 {
        tracing::warn!(
            event = "descriptors_few",
            descriptors,
            wanted = connections,
            connections = places.served,
            "too few file descriptors for bounds.connections; raise the limit (ulimit -n, \
             LimitNOFILE)"
        );
    }
    places
}

fn fitted(connections: usize, descriptors: usize) -> Places {
    let for_calls = descriptors - OWN.min(descriptors / 2);
    let over = CONNECTIONS_OVER_MAX.min(for_calls / 8).max(1);
    // Each call has a connection on either side.
    Places { served: connections.min(for_calls.saturating_sub(over) / 2).max(1), over }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_descriptors() {
        for (wanted, descriptors, served, over) in [
            (10_000, usize::MAX, 10_000, 64),
            (10_000, 1 << 20, 10_000, 64),
            (10_000, 1024, 416, 64),
            (100, 1024, 100, 64),
            (10_000, 64, 14, 4),
            (10_000, 3, 1, 1),
        ] {
            assert_eq!(
                fitted(wanted, descriptors),
                Places { served, over },
                "{wanted} within {descriptors}"
            );
        }
    }
}
