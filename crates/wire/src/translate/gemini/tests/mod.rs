//! Requests, answers and streams for Gemini, judged by its documented fields.

mod answers;
mod requests;
mod streams;
