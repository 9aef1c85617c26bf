//! The kinds of providers that are simulated. A new kind is a file (or a folder) here, and a line
//! in [`KINDS`].

mod anthropic;
mod azure;
mod bedrock;
mod gemini;
mod openai;

use super::kind::{Kind, Request};

/// The first that takes a request answers it; OpenAI takes all.
const KINDS: [&Kind; 5] =
    [&azure::KIND, &bedrock::KIND, &gemini::KIND, &anthropic::KIND, &openai::KIND];

/// The kind of provider that a request is meant for.
pub(crate) fn of(request: &Request<'_>) -> &'static Kind {
    KINDS.into_iter().find(|kind| (kind.takes)(request)).unwrap_or(&openai::KIND)
}
