//! Stage 4 of the walk: each organisation is kept to its quota.
//!
//! `bucket` is the arithmetic (pure), `store` the map of organisations (bounded, outlives policy reloads).

pub mod bucket;
pub mod store;
