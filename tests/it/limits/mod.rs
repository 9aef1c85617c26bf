//! Limits: of requests, of tokens, money and calls in flight, and those that gateways share.

mod guided;
mod requests;
mod rotation;
mod servers;
mod shared;
mod usage;
