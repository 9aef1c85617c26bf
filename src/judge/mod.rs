//! The decision of a policy about a call, without acting on it.
//!
//! Level 3½ of the map: above the rooms that hold limits and routes, below the walk. Pure: time,
//! counters and facts are arguments. `limits` decides for calls in progress, too; `targets`,
//! `redaction` and `verdict` say where a candidate would have decided otherwise, `shadow` has its
//! counters. `replay` asks about rows of the log (`row`, `logged`), and `tally` adds up its
//! answers.
//!
//! Guarantees: the same facts in the same order give the same decisions. Does not: send, refuse or
//! write anything.

pub(crate) mod limits;
mod logged;
pub(crate) mod redaction;
pub(crate) mod replay;
pub(crate) mod row;
pub(crate) mod shadow;
pub(crate) mod tally;
pub(crate) mod targets;
pub(crate) mod verdict;
