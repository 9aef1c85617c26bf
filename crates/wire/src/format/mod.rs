//! The table of wire formats and of provider kinds, and the parts that each format defines.
//!
//! One file per format. A new format is a file beside these, a `mod` line and a line of `formats!`;
//! a provider kind with headers of its own is also a line of `kinds!`. Everything else (route
//! table, stream reader, usage, errors, command line) follows from the format's [`Spec`].

mod anthropic_messages;
mod azure_openai;
mod bedrock_converse;
mod gemini;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_images;
mod openai_moderations;
mod openai_responses;
mod openai_speech;
mod openai_transcriptions;
mod other;
mod stored_object;

use serde_json::Value;
use tollgate_redact::Schema;

use crate::answer::{self, AddUp, AnswerFacts};
use crate::error::StreamFailure;
use crate::estimate::Makes;
use crate::exchange::{TextForm, TextRequest};
use crate::ids::{self, PlacesOf};
use crate::stream::{End, ReadEvent, StreamReader};
use crate::usage::TokenUsage;

macro_rules! formats {
    ($($(#[$doc:meta])+ $variant:ident => $file:ident,)+) => {
        /// The form of a request or an answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])+ $variant,)+
        }

        impl Format {
            /// All formats.
            pub const ALL: &'static [Format] = &[$(Format::$variant),+];

            pub(crate) const fn spec(self) -> &'static Spec {
                match self {
                    $(Format::$variant => &$file::SPEC,)+
                }
            }
        }
    };
}

formats! {
    /// OpenAI's `chat/completions`, which most other servers offer, too.
    OpenAiChat => openai_chat,
    /// OpenAI's `completions`.
    OpenAiCompletions => openai_completions,
    /// OpenAI's `responses`.
    OpenAiResponses => openai_responses,
    /// OpenAI's `embeddings`.
    OpenAiEmbeddings => openai_embeddings,
    /// OpenAI's `moderations`.
    OpenAiModerations => openai_moderations,
    /// OpenAI's `images/generations`, `images/edits` and `images/variations`.
    OpenAiImages => openai_images,
    /// OpenAI's `audio/speech`.
    OpenAiSpeech => openai_speech,
    /// OpenAI's `audio/transcriptions` and `audio/translations`.
    OpenAiTranscriptions => openai_transcriptions,
    /// Anthropic's `messages`.
    AnthropicMessages => anthropic_messages,
    /// Gemini's `generateContent`. Only providers speak it.
    Gemini => gemini,
    /// Bedrock's `converse`. Only providers speak it.
    BedrockConverse => bedrock_converse,
    /// Any other form. Usage is read if it has familiar names.
    Other => other,
    /// An answer about an object that the provider stores; its usage was counted when the object
    /// was made.
    StoredObject => stored_object,
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident => $file:ident,)+) => {
        /// A kind of provider: `kind` in the policy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProviderKind {
            $($(#[$doc])+ $variant,)+
        }

        impl ProviderKind {
            /// All kinds.
            pub const ALL: &'static [ProviderKind] = &[$(ProviderKind::$variant),+];

            const fn conventions(self) -> &'static Conventions {
                match self {
                    $(ProviderKind::$variant => &$file::KIND,)+
                }
            }
        }
    };
}

kinds! {
    /// OpenAI, and every server that offers its API.
    OpenAi => openai_chat,
    /// OpenAI's API as Azure offers it.
    AzureOpenAi => azure_openai,
    /// Anthropic.
    Anthropic => anthropic_messages,
    /// Gemini, at Google's Developer API or Vertex AI.
    Gemini => gemini,
    /// Amazon Bedrock.
    Bedrock => bedrock_converse,
}

/// All that is known of one format. A format that resembles another one starts from its constant:
/// `Spec { name: "embeddings", ..other::SPEC }`.
pub(crate) struct Spec {
    /// Its name on the command line and in the documentation.
    pub name: &'static str,
    /// The endpoints that take requests in this format and are open to every caller.
    pub routes: &'static [Route],
    /// How the redactor reads a request.
    pub schema: Schema,
    /// The answer is text of a model, charged by the token.
    pub is_generated: bool,
    /// The provider keeps the answer unless the request says `store: false`.
    pub is_stored: bool,
    /// Adds up the `usage` object. `None`: its usage is not counted.
    pub usage: Option<AddUp>,
    /// Reads the data of one event of a stream.
    pub event: ReadEvent,
    /// The event that ends a stream.
    pub end: End,
    /// Writes the event that reports a failure. `None`: the format has no such event, so the
    /// connection is cut.
    pub error_event: Option<fn(&StreamFailure<'_>) -> String>,
    /// Finds the ids of stored objects. `None`: answers in this format name no stored objects.
    pub objects: Option<PlacesOf>,
}

/// An endpoint that takes `POST` requests in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its path with the version: `/v1/chat/completions`.
    pub name: &'static str,
    /// The format of its answer.
    pub answer: Format,
    /// The output that it charges for; `None` if it charges nothing, not even the input.
    pub makes: Option<Makes>,
}

impl Route {
    /// The path below a provider's base URL: `/chat/completions`.
    pub fn path(&self) -> &'static str {
        self.name.strip_prefix("/v1").unwrap_or(self.name)
    }
}

impl Format {
    /// Its name on the command line: `chat`.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The format with this name.
    ///
    /// ```
    /// use tollgate_wire::Format;
    /// assert_eq!(Format::named("messages"), Some(Format::AnthropicMessages));
    /// assert_eq!(Format::named("soap"), None);
    /// ```
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.iter().copied().find(|format| format.name() == name)
    }

    /// The endpoints that take requests in this format and are open to every caller.
    pub const fn routes(self) -> &'static [Route] {
        self.spec().routes
    }

    /// How the redactor reads a request: its text, its attachments and the options of the call.
    pub const fn schema(self) -> &'static Schema {
        &self.spec().schema
    }

    /// Whether an answer is text of a model, charged by the token.
    pub const fn is_generated(self) -> bool {
        self.spec().is_generated
    }

    /// Whether the provider keeps an answer unless the request says `store: false`.
    pub const fn is_stored(self) -> bool {
        self.spec().is_stored
    }

    /// The event that reports a failure in a stream that has begun, with its blank line. `None`:
    /// the format has no such event, so the connection must be cut. SDKs take a stream that just
    /// ends for a complete one.
    pub fn error_event(self, failure: &StreamFailure<'_>) -> Option<String> {
        self.spec().error_event.map(|write| write(failure))
    }

    /// Reads a whole answer. Anything but a JSON object gives the default.
    pub fn read_answer(self, answer: &[u8]) -> AnswerFacts {
        answer::read(answer, self.spec().usage)
    }

    /// Reads usage from the end of a long answer, of which only `tail` was kept: the last `"usage"`
    /// in it.
    pub fn read_usage_in_tail(self, tail: &[u8]) -> Option<TokenUsage> {
        answer::read_usage_in_tail(tail, self.spec().usage)
    }

    /// Whether answers in this format name stored objects.
    pub const fn names_objects(self) -> bool {
        self.spec().objects.is_some()
    }

    /// Calls `note` with the id of each object that an answer, or the data of an event, says was
    /// made.
    pub fn each_object(self, answer: &[u8], note: &mut dyn FnMut(&str)) {
        if let Some(place) = self.spec().objects.and_then(|places| places(answer)) {
            ids::read(place, answer, note);
        }
    }
}

impl StreamReader {
    /// A reader whose transcript holds at most `text_bytes_max` bytes of text.
    pub fn new(format: Format, text_bytes_max: usize) -> StreamReader {
        let spec = format.spec();
        StreamReader::with(spec.event, spec.end, spec.usage, text_bytes_max)
    }
}

/// How a format writes a question of the gateway's own and reads its answer.
#[derive(Debug)]
pub struct TextExchange {
    /// The format of request and answer.
    pub format: Format,
    pub(crate) form: TextForm,
}

impl TextExchange {
    /// The path below the provider's base URL.
    pub fn path(&self) -> &'static str {
        self.format.routes().first().map_or("/", |route| route.path())
    }

    /// Whether the model takes a JSON Schema of its answer.
    pub fn takes_schema(&self, model: &str) -> bool {
        (self.form.takes_schema)(model)
    }

    /// The request body.
    pub fn request(&self, request: &TextRequest<'_>) -> Value {
        (self.form.write)(request)
    }

    /// The text that the model has written in a whole JSON answer; empty if there is none. Keeps
    /// nothing else of it.
    pub fn text(&self, answer: &[u8]) -> String {
        (self.form.read)(answer)
    }
}

/// The conventions that providers of one kind share, whatever the format of a call.
pub(crate) struct Conventions {
    /// Its name in the policy.
    pub name: &'static str,
    /// Its public address, with the version.
    pub base_url: &'static str,
    /// The header that carries a key, and the text before the key.
    pub key_header: (&'static str, &'static str),
    /// A header that must be there, and the value used if the client sends none.
    pub version_header: Option<(&'static str, &'static str)>,
    /// The format into which calls are translated that it does not take as they are.
    pub format: Format,
    /// How it is asked a question that the gateway itself writes; in a format of callers.
    pub text_exchange: TextExchange,
}

impl ProviderKind {
    /// Its name in the policy: `openai`.
    pub const fn name(self) -> &'static str {
        self.conventions().name
    }

    /// Its public address, with the version.
    pub const fn base_url(self) -> &'static str {
        self.conventions().base_url
    }

    /// Whether its endpoints take requests in this format.
    pub const fn speaks(self, format: Format) -> bool {
        let is_object = matches!(format, Format::Other | Format::StoredObject);
        match self {
            ProviderKind::OpenAi | ProviderKind::AzureOpenAi => !matches!(
                format,
                Format::AnthropicMessages | Format::Gemini | Format::BedrockConverse
            ),
            ProviderKind::Anthropic => is_object || matches!(format, Format::AnthropicMessages),
            // Their paths name methods and models, which no path of a caller does.
            ProviderKind::Gemini | ProviderKind::Bedrock => false,
        }
    }

    /// The format into which calls are translated that it does not take as they are.
    pub const fn format(self) -> Format {
        self.conventions().format
    }

    /// The header that carries a key, and the text before the key.
    pub const fn key_header(self) -> (&'static str, &'static str) {
        self.conventions().key_header
    }

    /// A header that this kind requires, and the value used if the client sends none.
    pub const fn version_header(self) -> Option<(&'static str, &'static str)> {
        self.conventions().version_header
    }

    /// How it is asked a question that the gateway itself writes.
    pub const fn text_exchange(self) -> &'static TextExchange {
        &self.conventions().text_exchange
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_routes_are_unique_and_well_formed() {
        let mut names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        let mut routes: Vec<&str> =
            Format::ALL.iter().flat_map(|format| format.routes()).map(|r| r.name).collect();
        assert!(
            routes.iter().all(|name| name.starts_with("/v1/") && !name.ends_with('/')),
            "{routes:?}"
        );
        for list in [&mut names, &mut routes] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count, "{list:?}");
        }
        for format in Format::ALL {
            assert_eq!(Format::named(format.name()), Some(*format));
            assert!(format.routes().iter().all(|route| route.path() == &route.name[3..]));
        }
    }

    /// Providers count tokens without charge, so such a call reserves nothing.
    #[test]
    fn counting_tokens_reserves_nothing() {
        for name in ["/v1/responses/input_tokens", "/v1/messages/count_tokens"] {
            let mut routes = Format::ALL.iter().flat_map(|format| format.routes());
            let route = routes.find(|route| route.name == name).expect("a route");
            assert_eq!(route.makes, None, "{name}");
        }
    }

    #[test]
    fn each_format_reports_a_failure_in_its_own_words() {
        let failure = StreamFailure {
            code: "provider_unavailable",
            kind: "service_unavailable_error",
            message: "gone",
            sequence_number: 7,
        };
        let openai = "data: {\"error\":{\"code\":\"provider_\
            unavailable\",\"message\":\"gone\",\"param\":null,\
                      \"type\":\"service_unavailable_error\"}}\n\n";
        let responses = "event: error\ndata: \
            {\"code\":\"provider_unavailable\",\"message\":\"gone\",\"param\":null,\
                         \"sequence_number\":7,\"type\":\"error\"}\n\n";
        let messages = "event: error\ndata: \
            {\"error\":{\"message\":\"gone\",\"type\":\"api_error\"},\
                        \"type\":\"error\"}\n\n";
        for format in Format::ALL {
            let expected = match format {
                Format::OpenAiChat | Format::OpenAiCompletions => Some(openai),
                Format::OpenAiResponses => Some(responses),
                Format::AnthropicMessages => Some(messages),
                _ => None,
            };
            assert_eq!(format.error_event(&failure).as_deref(), expected, "{format:?}");
        }
    }

    #[test]
    fn a_kind_is_asked_in_a_format_of_its_own() {
        for kind in ProviderKind::ALL {
            let exchange = kind.text_exchange();
            assert!(
                exchange.format.routes().iter().any(|route| route.path() == exchange.path()),
                "{kind:?}"
            );
        }
        assert_eq!(ProviderKind::Anthropic.key_header(), ("x-api-key", ""));
    }
}
