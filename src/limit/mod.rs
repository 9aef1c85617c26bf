//! Stage 4 of the walk: limits on requests, tokens, calls in flight and money.
//!
//! `bucket` is the arithmetic of requests (pure), `store` the map of organisations (outlives policy
//! reloads), `bounded` the map under it. Limits beyond an organisation's requests (tokens, calls in
//! flight, money; by key, user and model) have their types in `caps`, their arithmetic in `meter`
//! and `calendar` (pure), and their map in `meters`. `redis` shares all of them between replicas.
//! `sketch` finds the organisations that are refused most often.

mod bounded;
pub mod bucket;
pub mod calendar;
pub mod caps;
pub mod meter;
pub mod meters;
pub mod redis;
pub mod sketch;
pub mod store;
