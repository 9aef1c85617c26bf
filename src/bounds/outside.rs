//! Bounds of the configuration, the commands and the simulated provider.
//!
//! A part of the leaf `bounds`: constants only. Each names the behaviour when it is reached.

// ---- start --------------------------------------------------------------------------------------

/// Shortest `placeholder_key`. A shorter one is refused with the configuration, or at the start.
pub const PLACEHOLDER_KEY_BYTES_MIN: usize = 32;
/// A word list in a file of its own. A larger one is refused with the policy.
pub const WORDS_FILE_BYTES_MAX: u64 = 64 << 20;

// ---- configuration ------------------------------------------------------------------------------

/// One configuration file, in bytes. A larger one is refused.
pub const CONFIG_FILE_BYTES_MAX: u64 = 4 << 20;
/// A file with a secret, in bytes. A larger one is refused.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

// ---- commands -----------------------------------------------------------------------------------

/// A price list to be imported, in bytes. A longer one is refused.
pub const PRICES_FILE_BYTES_MAX: usize = 32 << 20;
/// Tickets of one evaluation, and bytes of its file. A longer one is refused.
pub const EVAL_TICKETS_MAX: usize = 10_000;
/// See [`EVAL_TICKETS_MAX`].
pub const EVAL_FILE_BYTES_MAX: u64 = 64 << 20;

// ---- the simulated provider ---------------------------------------------------------------------

/// A body sent to the simulated provider. Above it: 413.
pub const MOCK_BODY_BYTES_MAX: usize = 128 << 20;
/// Words of one simulated answer; more are not made.
pub const MOCK_CHUNKS_MAX: usize = 100_000;
/// Fault markers that are counted. At the bound all counts begin again.
pub const MOCK_MARKERS_MAX: usize = 4_096;
