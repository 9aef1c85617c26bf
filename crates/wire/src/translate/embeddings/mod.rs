//! Translation of OpenAI's `embeddings` to other services, which take fewer texts in one call: a
//! request becomes one or more calls, and their answers become one.
//!
//! | module | content |
//! |---|---|
//! | `request` | the caller's request, read |
//! | `write` | the calls of each service |
//! | `answer` | the answers of each service, read, and the caller's, written |
//! | `vector` | the length of vectors, and their form in base64 |
//!
//! Guarantees: vectors stand in the order of the texts; a text that is too long is the service's
//! error, it is never cut; an answer has the vectors of all calls or there is none. Vectors that
//! Google has shortened are brought back to the length 1, as those of OpenAI have it, so that dot
//! products keep their meaning. No I/O: calls are made elsewhere.
//!
//! # Source
//! OpenAI API reference; Gemini API and Vertex AI references; Amazon Bedrock user guide (Titan Text
//! Embeddings V2, Cohere Embed v3 and v4), read November 2026.
//!
//! # Example
//!
//! ```
//! use tollgate_wire::translate::embeddings::{CallAnswer, Service, answer, request};
//! let service = Service::Titan;
//! let body = br#"{"model":"m","input":["a","b"]}"#;
//! let translated = request(service, "amazon.titan-embed-text-v2:0", body)?;
//! assert_eq!(translated.calls.len(), 2);
//! assert_eq!(translated.calls[0].body, br#"{"inputText":"a","normalize":true,"embeddingTypes":["float"]}"#);
//! let body = br#"{"embedding":[0.6,0.8],"inputTextTokenCount":1}"#;
//! let answers = [CallAnswer { body, input_tokens: None }; 2];
//! let ours = answer(&translated.context, &answers)?;
//! assert_eq!(ours.usage.map(|usage| usage.input), Some(2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod request;
#[cfg(test)]
mod tests;
mod vector;
mod write;

use super::Written;
use super::loss::{Losses, Refused};
use crate::format::Format;

pub use answer::{CallAnswer, answer};

/// Texts of one request.
pub const TEXTS_MAX: usize = 2_048;
/// Texts of a request to a service that takes one in a call.
pub const CALLS_MAX: usize = 128;
/// Calls of one request that may run at once.
pub const CALLS_AT_ONCE: usize = 8;

/// A service that makes embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The Gemini API: `batchEmbedContents`.
    Gemini,
    /// Text models of Vertex AI: `predict`.
    VertexPredict,
    /// Gemini embedding and partner models of Vertex AI: `embedContent`.
    VertexContent,
    /// Titan Text Embeddings V2 on Bedrock.
    Titan,
    /// Cohere Embed v3 on Bedrock.
    CohereV3,
    /// Cohere Embed v4 on Bedrock.
    CohereV4,
}

impl Service {
    /// The service behind a model of a provider; `None` if it makes no embeddings that can be
    /// translated. `is_vertex`: of two services of Google, that of its cloud.
    ///
    /// ```
    /// use tollgate_wire::Format;
    /// use tollgate_wire::translate::embeddings::Service;
    /// let of = |model| Service::of(Format::BedrockConverse, false, model);
    /// assert_eq!(of("eu.cohere.embed-v4:0"), Some(Service::CohereV4));
    /// assert_eq!(of("amazon.titan-embed-text-v1"), None);
    /// ```
    pub fn of(provider: Format, is_vertex: bool, model: &str) -> Option<Service> {
        let model = model.to_ascii_lowercase();
        match provider {
            Format::Gemini if !is_vertex => Some(Service::Gemini),
            Format::Gemini => {
                let name = model.rsplit('/').next().unwrap_or_default();
                let is_content = name.contains("gemini") && name != "gemini-embedding-001";
                let is_content = is_content || name.contains("maas");
                Some(if is_content { Service::VertexContent } else { Service::VertexPredict })
            }
            Format::BedrockConverse if model.contains("titan-embed-text-v2") => {
                Some(Service::Titan)
            }
            Format::BedrockConverse if model.contains("cohere.embed-v4") => Some(Service::CohereV4),
            Format::BedrockConverse if model.contains("cohere.embed-") && model.contains("-v3") => {
                Some(Service::CohereV3)
            }
            _ => None,
        }
    }

    /// Texts of one call.
    fn texts_of_a_call(self, model: &str) -> usize {
        match self {
            Service::Gemini => 100,
            Service::VertexPredict if model.contains("gemini") => 1,
            Service::VertexPredict => 250,
            Service::VertexContent | Service::Titan => 1,
            Service::CohereV3 | Service::CohereV4 => 96,
        }
    }

    /// Whether vectors that are shortened lose their length.
    fn shortens(self) -> bool {
        matches!(self, Service::Gemini | Service::VertexPredict | Service::VertexContent)
    }
}

/// A translated request.
#[derive(Debug)]
pub struct Translated {
    /// The calls to make, at most [`CALLS_AT_ONCE`] at a time. All must succeed.
    pub calls: Vec<Written>,
    /// The fields that were not carried.
    pub losses: Losses,
    /// The facts needed to translate the answers.
    pub context: Context,
}

/// The facts needed to translate the answers to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    service: Service,
    model: String,
    /// Texts of each call.
    texts: Vec<usize>,
    dimensions: Option<u64>,
    is_base64: bool,
}

/// Translates a request. The same bytes can be translated for several services.
///
/// # Errors
/// The request is wrong, or the service cannot do it.
pub fn request(service: Service, model: &str, body: &[u8]) -> Result<Translated, Refused> {
    let mut losses = Losses::default();
    let request = request::read(body, &mut losses)?;
    let most = service.texts_of_a_call(model);
    if most == 1 && request.texts.len() > CALLS_MAX {
        let text = format!("the model takes one text in a call; send at most {CALLS_MAX} texts");
        return Err(Refused::unsupported("input", text));
    }
    write::check(service, &request, &mut losses)?;
    let calls: Vec<Written> = request
        .texts
        .chunks(most)
        .map(|texts| write::write(service, model, texts, &request))
        .collect();
    let texts = request.texts.chunks(most).map(<[_]>::len).collect();
    let context = Context {
        service,
        model: model.to_owned(),
        texts,
        dimensions: request.dimensions,
        is_base64: request.is_base64,
    };
    Ok(Translated { calls, losses, context })
}
