//! The ticket endpoint: one ticket, many at once, tickets that give orders, and the evaluation.

mod batch;
mod eval;
mod injection;
mod single;
