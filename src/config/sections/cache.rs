//! The keys of `cache`.

use std::time::Duration;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Shape, Size, section, words};
use super::{DAY, SECOND};

words! {
    /// Which calls are answered from the cache.
    CacheMode {
        /// None.
        "off" => Off,
        /// Those that say exactly the same as an earlier one.
        "exact" => Exact,
    }
}

/// Less would keep next to nothing.
const ROOM_MIN: u64 = 64 << 10;
const ROOM_MAX: u64 = 1 << 40;

section! {
    /// The exact cache: the answer of an earlier call with the same body, in place of the provider's.
    RawCache => struct CacheOptions: Clone, Copy {
        /// off or exact. An answer is kept for the organisation that got it, under the policy that
        /// it got it under. With `off` for all organisations, kept answers are deleted.
        mode: CacheMode = "off";
        /// Time for which an answer is kept.
        ttl: Duration = "1h" in SECOND..=30 * DAY;
        /// Room for answers in `data_dir`, of all organisations together. The value of an
        /// organisation bounds its part of it.
        max_bytes: Size<u64> = "256MiB" in ROOM_MIN..=ROOM_MAX;
        /// Canonical paths whose answers are kept; `*` stands for any run of characters. Empty: all.
        endpoints: Vec<At<String>> => check = "[]", eg "/v1/embeddings";
    }
}
