//! The ticket endpoints: the category, the priority and the confidence of a help-desk ticket.
//!
//! `http` and `batch` answer the endpoints, `body` reads their tickets, `background` has the
//! tickets that are answered later. `work` is the classification of one ticket, once at a time
//! (`flights`); `provider` asks the provider for it, with a `question` of `prompt`, whose answer
//! `parse` reads. `results` keeps the answers that are fetched later.
//!
//! Guarantees: only title and body of a ticket are used, and they pass the redactor before anything
//! is built of them; a caller is answered by its deadline; work that outlives its caller continues
//! within the same attempts, has a row of its own with the same request id, and answers the same
//! ticket asked again. Does not keep a ticket (only a digest of it).

mod background;
mod batch;
mod body;
mod context;
pub mod flights;
mod http;
pub mod parse;
mod prefer;
pub mod prompt;
mod provider;
mod question;
pub mod reader;
mod reply;
pub mod results;
pub mod ticket;
mod work;

pub use batch::batch;
pub use http::{classify, result};
