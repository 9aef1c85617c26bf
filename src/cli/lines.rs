//! How many lines the log of the process has: a limit for each kind, so that a fault that repeats
//! itself does not fill a disk.
//!
//! Guarantees: the first lines of a kind in a minute are written, and how many were left out is a
//! line of its own. Does not: decide what is a line (see the places that write one).
//!
//! # Bounds
//! `LOG_LINES_PER_MINUTE_MAX` of one place in the program; as many counters as there are such
//! places.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::bounds::LOG_LINES_PER_MINUTE_MAX;
use crate::clock::wall_ms;

/// Counts lines by their place in the program. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    kinds: Arc<RwLock<HashMap<Identifier, Kind>>>,
}

/// The lines of one place.
struct Kind {
    /// Its stable name.
    event: String,
    /// The minute that is counted, and the lines in it.
    minute: AtomicU64,
    lines: AtomicU64,
    left_out: AtomicU64,
}

impl Kind {
    /// Whether there is room for one more line in this minute.
    fn take(&self, minute: u64) -> bool {
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.lines.store(0, Ordering::Relaxed);
        }
        let fits = self.lines.fetch_add(1, Ordering::Relaxed) < LOG_LINES_PER_MINUTE_MAX;
        if !fits {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }
}

impl Lines {
    /// Writes a line for each kind of which lines were left out since the last time.
    pub(crate) fn tell(&self) {
        for (of, count) in self.left_out() {
            tracing::warn!(event = "lines_left_out", of, count, "lines of the log are left out");
        }
    }

    fn left_out(&self) -> Vec<(String, u64)> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let taken = kinds.values().map(|kind| (kind, kind.left_out.swap(0, Ordering::Relaxed)));
        taken
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.event.clone(), count))
            .collect()
    }

    fn take(&self, id: Identifier, event: impl FnOnce() -> String, minute: u64) -> bool {
        if let Some(kind) = self.kinds.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return kind.take(minute);
        }
        let new = || Kind {
            event: event(),
            minute: AtomicU64::new(minute),
            lines: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        };
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(id).or_insert_with(new).take(minute)
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let minute = u64::try_from(wall_ms() / 60_000).unwrap_or(0);
        let name = || {
            let mut named = Named(String::new());
            event.record(&mut named);
            named.0
        };
        self.take(event.metadata().callsite(), name, minute)
    }
}

/// Reads the field `event`.
struct Named(String);

impl Visit for Named {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_kind_has_so_many_lines_a_minute_and_the_rest_is_counted() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        let written = LOG_LINES_PER_MINUTE_MAX;
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..2 * written + 2 {
                tracing::event!(Level::WARN, event = "flapping", "again");
            }
            tracing::event!(Level::WARN, event = "other", "once");
        });
        // A minute may have ended in between.
        let left_out = lines.left_out();
        assert!(left_out.len() == 1 && left_out[0].0 == "flapping", "{left_out:?}");
        assert!((2..=written + 2).contains(&left_out[0].1), "{left_out:?}");
        assert!(lines.left_out().is_empty());
    }

    #[test]
    fn the_next_minute_has_lines_again() {
        let kind = Kind {
            event: String::new(),
            minute: AtomicU64::new(7),
            lines: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        };
        let taken = |minute| (0..100).filter(|_| kind.take(minute)).count() as u64;
        assert_eq!((taken(7), taken(8)), (LOG_LINES_PER_MINUTE_MAX, LOG_LINES_PER_MINUTE_MAX));
        assert_eq!(kind.left_out.load(Ordering::Relaxed), 2 * (100 - LOG_LINES_PER_MINUTE_MAX));
    }
}
