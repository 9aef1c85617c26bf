//! The ticket endpoint's own knowledge: the prompt, the reading of the answer, and answers that came late.
//!
//! Its walk is in `pipeline/intent`. `prompt` and `parse` are pure; `background` keeps finished work for a while.

pub mod background;
pub mod parse;
pub mod prompt;
pub mod ticket;
