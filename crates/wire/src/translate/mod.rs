//! Translation between provider formats: requests, answers, streams, errors. Pure.
//!
//! An application speaks one format, the provider another. A request is read into a neutral form
//! ([`neutral`]) by the caller's format and written by the provider's; its answer goes the other
//! way. Each format has a folder here, with its readers and writers, and a line in `table`.
//!
//! | module | content |
//! |---|---|
//! | [`neutral`] | requests, answers and events in the words of no format |
//! | [`loss`] | fields that were not carried, and refusals |
//! | [`model`] | what a model takes, by its family |
//! | [`schema`] | subsets of JSON Schema |
//! | [`embeddings`] | requests for embeddings and their answers, which have a form of their own |
//! | [`native`] | requests in their own format, without thinking of other providers |
//! | [`vertex`] | requests of Anthropic's format in the form of Google Cloud |
//! | [`ids`], [`carrier`] | ids of answers and calls; opaque data in a foreign field |
//! | [`error`] | errors in the caller's words |
//! | [`json`] | strings and values that are carried as they were written |
//!
//! Guarantees: what a writer cannot express is named in [`Losses`] or refused; text, numbers and
//! the order of keys are carried as they were written; a call of a tool that was cut off never
//! becomes a complete one; the same bytes can be translated for several targets. No I/O, no clock,
//! no random numbers: ids and times are handed in.
//!
//! # Example
//!
//! ```
//! use tollgate_wire::Format;
//! use tollgate_wire::translate::{Call, Operation, Target, answer, request};
//!
//! let body = br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"seed":7}"#;
//! let call = Call { format: Format::OpenAiChat, operation: Operation::Generate, id: "c1", created: 1 };
//! let target = Target::new(Format::AnthropicMessages, "claude-3-haiku-20240307");
//! let translated = request(&call, &target, body)?;
//! assert_eq!(
//!     translated.body,
//!     br#"{"model":"claude-3-haiku-20240307","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}"#
//! );
//! assert_eq!(translated.losses.dropped(), ["seed"]);
//!
//! let theirs = br#"{"type":"message","model":"claude-3-haiku-20240307","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"}"#;
//! let ours = answer(&translated.context, theirs)?;
//! assert!(ours.body.starts_with(br#"{"id":"chatcmpl-"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anthropic_messages;
mod bedrock_converse;
pub mod carrier;
pub mod embeddings;
pub mod error;
mod form;
mod framing;
mod gemini;
pub mod ids;
pub mod json;
#[cfg(test)]
mod kit;
pub mod loss;
mod marks;
mod media;
pub mod model;
pub mod native;
pub mod neutral;
mod openai;
mod openai_chat;
mod openai_responses;
mod path;
mod read;
pub mod schema;
mod sides;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod tools;
pub mod vertex;

use std::borrow::Cow;
use std::fmt;

use crate::format::Format;
use crate::usage::TokenUsage;

use error::{Invalid, ProviderError};
use ids::Ids;
use json::JsonText;
use loss::{Losses, Refused};
use model::ModelFacts;
use neutral::{Flattened, Stop, ToolKind, Vendor, history};
pub use path::segment as path_segment;
pub use sides::Bounds;
pub use stream::{Failure, Stream, StreamFacts};

/// A call of the application.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Its format.
    pub format: Format,
    /// The features that it asks for.
    pub operation: Operation,
    /// Its id, from which the ids of the answer are drawn.
    pub id: &'a str,
    /// When it began, in seconds since 1970; the answer's `created`.
    pub created: u64,
}

/// The features that a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An answer of the model.
    Generate,
    /// The number of tokens of the request.
    CountTokens,
}

/// A provider and a model to which a call is sent.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The provider's format.
    pub format: Format,
    /// The provider's name of the model.
    pub model: &'a str,
    /// The abilities of the model.
    pub facts: ModelFacts,
    /// The abilities of the server.
    pub server: Server<'a>,
}

/// The abilities of a server, for every model.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// OpenAI's own API, or Azure's: it takes `developer`, `safety_identifier`, custom tools and
    /// marks of prompt caches.
    pub is_openai: bool,
    /// The field that bounds the answer in chat completions.
    pub max_tokens_field: &'static str,
    /// Reasoning is sent back in `reasoning_content`.
    pub reasoning_back: bool,
    /// Google Cloud: Vertex AI in place of the Gemini API or of Anthropic's.
    pub is_vertex: bool,
    /// The `anthropic-version` that the operator fixed.
    pub anthropic_version: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// A model by its name, with the facts of the built-in table, at the server of its maker.
    pub fn new(format: Format, model: &'a str) -> Target<'a> {
        let server = Server {
            is_openai: true,
            max_tokens_field: "max_completion_tokens",
            reasoning_back: false,
            is_vertex: false,
            anthropic_version: None,
        };
        Target { format, model, facts: ModelFacts::of(model), server }
    }
}

/// A request as a writer has written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The body.
    pub body: Vec<u8>,
    /// The path below the provider's base URL, with its query: `/chat/completions`,
    /// `/models/m:generateContent`.
    pub path: Cow<'static, str>,
    /// Headers that the request needs beside those of every call: `anthropic-version`.
    pub headers: Vec<(&'static str, String)>,
}

/// A translated request.
#[derive(Debug)]
pub struct Translated {
    /// The body.
    pub body: Vec<u8>,
    /// The path below the provider's base URL, with its query.
    pub path: Cow<'static, str>,
    /// Headers that the request needs beside those of every call.
    pub headers: Vec<(&'static str, String)>,
    /// The answer is to be streamed.
    pub stream: bool,
    /// The bound on the answer that was sent; what a limiter reserves.
    pub output_tokens_max: Option<u64>,
    /// The fields that were not carried.
    pub losses: Losses,
    /// The facts needed to translate the answer.
    pub context: Context,
}

/// The facts needed to translate the answer to a request.
#[derive(Clone, Debug)]
pub struct Context {
    /// The application's format.
    pub caller: Format,
    /// The provider's format.
    pub target: Format,
    /// The features that the call asks for.
    pub operation: Operation,
    /// Mints the ids of the answer.
    pub ids: Ids,
    /// The answer's `created`, in seconds since 1970.
    pub created: u64,
    /// The target's model, for providers that do not name theirs.
    pub model: String,
    /// The maker of the model, for opaque data.
    pub vendor: Vendor,
    /// The answer is to be streamed.
    pub stream: bool,
    /// The caller asked for a usage event.
    pub include_usage: bool,
    /// Names of the tools that take free text; their calls come as `{"input": text}`.
    pub custom_tools: Vec<String>,
    /// Names of tools that were flattened.
    pub flattened: Vec<Flattened>,
    /// Fields of the request that the caller's format repeats in its answer, as JSON.
    pub echo: Vec<(&'static str, String)>,
}

impl Context {
    /// Whether the caller knows this tool as one that takes free text.
    pub fn is_custom(&self, name: &JsonText<'_>) -> bool {
        self.custom_tools.iter().any(|custom| name.is(custom))
    }
}

/// A translated answer.
#[derive(Debug)]
pub struct TranslatedAnswer {
    /// The body.
    pub body: Vec<u8>,
    /// The model that answered; empty if it is not named.
    pub model: String,
    /// The provider's own figures.
    pub usage: Option<TokenUsage>,
    /// The provider's own word for the end.
    pub finish_reason: String,
    /// Calls of tools.
    pub tool_calls: u32,
}

/// There is no translation between two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untranslatable;

impl fmt::Display for Untranslatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no translation between the two formats")
    }
}

impl std::error::Error for Untranslatable {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Invalid {}

/// Whether calls in the format `caller` can be served by a provider that speaks `target`.
pub fn is_possible(caller: Format, target: Format, operation: Operation) -> bool {
    let (Some(caller), Some(provider)) = (table::caller(caller), table::provider(target)) else {
        return false;
    };
    match operation {
        // Responses is served as it is, or not at all.
        Operation::Generate => target != Format::OpenAiResponses,
        Operation::CountTokens => caller.write_count.is_some() && provider.read_count.is_some(),
    }
}

/// Translates a request. The same bytes can be translated for several targets.
///
/// # Errors
/// The request is wrong, or going on would give a wrong answer.
pub fn request(call: &Call<'_>, target: &Target<'_>, body: &[u8]) -> Result<Translated, Refused> {
    let (Some(caller), Some(provider)) =
        (table::caller(call.format), table::provider(target.format))
    else {
        return Err(Refused::unsupported("model", Untranslatable.to_string()));
    };
    if call.operation == Operation::CountTokens && provider.read_count.is_none() {
        let text = "the model's provider cannot count tokens";
        return Err(Refused::unsupported("model", text));
    }
    let body = std::str::from_utf8(body).map_err(|_| Refused {
        reason: loss::Reason::NotJson,
        param: None,
        message: "the request is not UTF-8".to_owned(),
    })?;
    let mut losses = Losses::default();
    let mut request = (caller.read_request)(body, call.operation, &mut losses)?;
    history::settle(&mut request)?;
    let written = (provider.write_request)(&mut request, target, call.operation, &mut losses)?;
    let custom = request.tools.iter().filter_map(|tool| match &tool.kind {
        ToolKind::Custom { name, .. } => Some(name.plain().into_owned()),
        _ => None,
    });
    let echo = request.echo.iter().map(|(name, value)| (*name, value.json().to_owned()));
    let context = Context {
        caller: call.format,
        target: target.format,
        operation: call.operation,
        ids: Ids::new(call.id),
        created: call.created,
        model: target.model.to_owned(),
        vendor: target.facts.vendor,
        stream: request.stream,
        include_usage: request.include_usage,
        custom_tools: custom.collect(),
        flattened: std::mem::take(&mut request.flattened),
        echo: echo.collect(),
    };
    Ok(Translated {
        body: written.body,
        path: written.path,
        headers: written.headers,
        stream: request.stream,
        output_tokens_max: request.max_tokens.as_ref().map(|field| field.value),
        losses,
        context,
    })
}

/// Translates a whole answer with a status of 200.
///
/// # Errors
/// It cannot be read or carried: `provider_answer_invalid`.
pub fn answer(context: &Context, body: &[u8]) -> Result<TranslatedAnswer, Invalid> {
    let sides = (table::caller(context.caller), table::provider(context.target));
    let (Some(caller), Some(provider)) = sides else {
        return Err(Invalid::new("there is no translation between the two formats"));
    };
    if context.operation == Operation::CountTokens {
        return count(caller, provider, body);
    }
    let body = std::str::from_utf8(body).map_err(|_| Invalid::new("the answer is not UTF-8"))?;
    let mut answer = (provider.read_answer)(body, context)?;
    answer.stop = answer.stop.with_calls(answer.has_calls());
    let is_empty = matches!(answer.stop, Stop::Unknown) && !answer.has_content();
    if answer.stop == Stop::Malformed || is_empty {
        return Err(Invalid::new("the provider could not read its model's answer"));
    }
    let mut out = Vec::with_capacity(body.len() + 256);
    (caller.write_answer)(&answer, context, &mut out)?;
    let calls =
        answer.parts.iter().filter(|part| matches!(part.kind, neutral::PartKind::ToolCall(_)));
    Ok(TranslatedAnswer {
        body: out,
        model: answer.model.plain().into_owned(),
        usage: answer.usage,
        finish_reason: answer.stop_word.clone().into_owned(),
        tool_calls: u32::try_from(calls.count()).unwrap_or(u32::MAX),
    })
}

fn count(
    caller: &sides::CallerSide,
    provider: &sides::ProviderSide,
    body: &[u8],
) -> Result<TranslatedAnswer, Invalid> {
    let tokens = provider.read_count.and_then(|read| read(body));
    let (Some(tokens), Some(write)) = (tokens, caller.write_count) else {
        return Err(Invalid::new("the answer has no number of tokens"));
    };
    let mut out = Vec::new();
    write(tokens, &mut out);
    Ok(TranslatedAnswer {
        body: out,
        model: String::new(),
        usage: None,
        finish_reason: String::new(),
        tool_calls: 0,
    })
}

/// Reads the error that a provider of this format answered with.
pub fn provider_error(target: Format, status: u16, body: &[u8]) -> ProviderError {
    match table::provider(target) {
        Some(provider) => (provider.read_error)(status, body),
        None => error::read_error(status, body),
    }
}
