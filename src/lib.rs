//! Tollgate: a gateway between applications and LLM providers.
//!
//! A call walks through the rooms in the order of the `mod` lines below. `pipeline` tells the walk in one place;
//! ARCHITECTURE.md is the map.

// Leaves: every room may use them, they use no room.
pub mod bounds;
mod clock;
mod code;
mod ids;
mod lock;
mod metrics;
mod share;
mod visible;

// The rooms, in the order a call meets them.
mod ailog;
mod auth;
mod cost;
mod intent;
pub mod limit;
mod pipeline;
pub mod redact;
mod route;
mod server;
mod upstream;

/// What `benches/wal.rs` and `benches/ship.rs` measure.
#[doc(hidden)]
pub use ailog::bench as ailog_bench;

/// What `benches/limit.rs` measures of identities.
#[doc(hidden)]
pub use auth::bench as auth_bench;

// Around the walk.
mod admin;
mod app;
pub mod cli;
mod config;
mod mock;
mod objects;
mod report;
