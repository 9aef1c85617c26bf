//! Tollgate: a gateway between applications and LLM providers.
//!
//! A call walks through the rooms in the order of the `mod` lines below. `pipeline` tells the walk
//! in one place; ARCHITECTURE.md is the map.

// Leaves: every room may use them, they use no room.
pub mod bounds;
pub mod clock;
mod code;
mod digest;
pub mod failure;
mod glob;
pub mod ids;
mod live;
mod lock;
pub mod metrics;
mod money;
mod priority;
mod secrets;
mod share;
mod trace;
mod visible;

// The rooms, in the order a call meets them.
pub mod ailog;
mod alerts;
pub mod auth;
mod cache;
mod cost;
mod egress;
mod intent;
mod judge;
mod keys;
pub mod limit;
mod pipeline;
mod placeholders;
mod route;
mod server;
mod upstream;

/// The streaming redactor, as the rooms know it.
pub use tollgate_redact as redact;

// Around the walk.
mod admin;
mod app;
mod audit;
pub mod cli;
mod config;
mod mock;
mod objects;
mod otlp;
mod report;
mod tls;
