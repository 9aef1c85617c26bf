//! Requests, answers and streams for Bedrock, judged by its documented shapes.

mod answers;
mod requests;
mod streams;
