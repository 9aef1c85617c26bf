//! What a policy decides about a call, without acting on it.
//!
//! Level 3½ of the map: above the rooms that hold limits and routes, below the walk. Pure: time,
//! counters and facts are arguments. `limits` decides for calls in progress, too.
//!
//! Guarantees: the same facts in the same order give the same decisions. Does not: send, refuse or
//! write anything.

pub(crate) mod limits;
