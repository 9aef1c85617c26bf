//! A call, translated for a target of another format.
//!
//! Stage 10 of the walk. Guarantees: every attempt is translated from the caller's redacted
//! request; long bodies are translated apart from the threads that serve calls. Does not: know
//! formats (see `crates/wire`), read answers (see `foreign` and `embeddings`), or choose targets.

use std::sync::Arc;

use http::HeaderMap;
use tollgate_wire::translate::embeddings::{self, Service};
use tollgate_wire::translate::loss::{Losses, Refused};
use tollgate_wire::translate::model::Overrides;
use tollgate_wire::translate::{self, Operation, Server, native, vertex};
use tollgate_wire::{Format, ProviderKind};

use super::Call;
use super::answer::{Reduced, Translated};
use super::apart::apart;
use super::embeddings::Parts;
use super::foreign::Foreign;
use super::replay::Outgoing;
use crate::bounds::CALL_BYTES_FREE;
use crate::config::policy::{Provider, Target};
use crate::config::sections::{MaxTokensField, OnLoss};
use crate::redact::Redacted;
use crate::share::{Held, Share};

/// A call that may be translated.
#[derive(Clone, Copy, Debug)]
pub struct Translatable<'a> {
    /// The call, in its caller's format.
    pub call: translate::Call<'a>,
    /// The model as asked for.
    pub model: &'a str,
    /// The treatment of fields that a target cannot express.
    pub on_loss: OnLoss,
}

/// Why a call is not sent to a target.
#[derive(Debug)]
pub enum Unable {
    /// The target cannot do what the call asks for, or the call itself is wrong.
    Refused(Box<Refused>),
    /// There is no memory for the translation.
    NoRoom,
}

/// A call as a target takes it.
pub enum Prepared {
    /// As it came.
    AsItIs,
    /// In another form.
    Foreign(Box<Foreign>),
    /// As several calls.
    Parts(Box<Parts>),
}

impl Provider {
    /// Whether calls of this format are sent to it as they are.
    pub fn speaks(&self, format: Format) -> bool {
        let wires = &self.options.wires;
        let has = wires.is_empty() || wires.contains(&format);
        let is_object = matches!(format, Format::Other | Format::StoredObject);
        self.options.kind.speaks(format) && (has || is_object)
    }

    /// Whether it takes calls of this format as they come. Vertex AI takes those of Anthropic's
    /// format in another form.
    pub fn takes(&self, format: Format) -> bool {
        self.speaks(format) && !(format == Format::AnthropicMessages && self.is_vertex())
    }

    /// Whether calls of this format for a model are sent to it as they are, or translated. Without
    /// an operation there is no translation.
    pub fn serves(&self, format: Format, operation: Option<Operation>, model: &str) -> bool {
        self.speaks(format)
            || operation.is_some_and(|operation| self.translates(format, operation))
            || (format == Format::OpenAiEmbeddings && self.embeddings(model).is_some())
    }

    fn translates(&self, format: Format, operation: Operation) -> bool {
        translate::is_possible(format, self.asked_in(operation), operation)
    }

    /// The format of translated calls to it: OpenAI counts tokens in `responses` alone.
    fn asked_in(&self, operation: Operation) -> Format {
        let responses = Format::OpenAiResponses;
        if operation == Operation::CountTokens && self.speaks(responses) {
            responses
        } else {
            self.options.kind.format()
        }
    }

    /// The service behind a model for embeddings, if its calls can be translated.
    fn embeddings(&self, model: &str) -> Option<Service> {
        Service::of(self.options.kind.format(), self.is_vertex(), model)
    }

    fn server(&self) -> Server<'_> {
        let host = self.base_url.host().unwrap_or_default();
        let is_openai =
            self.options.kind == ProviderKind::AzureOpenAi || host.ends_with(".openai.com");
        Server {
            is_openai,
            max_tokens_field: match self.options.max_tokens_field {
                MaxTokensField::MaxTokens => "max_tokens",
                MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
            },
            reasoning_back: self.options.reasoning_back,
            is_vertex: self.is_vertex(),
            anthropic_version: self.options.version.as_deref(),
        }
    }
}

impl Translatable<'_> {
    /// The call for this target.
    ///
    /// # Errors
    /// Nothing is to be sent.
    pub async fn to(&self, target: &Target, call: &Call<'_>) -> Result<Prepared, Unable> {
        let provider = &target.provider;
        if provider.takes(self.call.format) {
            return self.without_carriers(target, call).await;
        }
        // It was gathered before: its targets were known.
        let Outgoing::Whole(body) = call.body else { return Err(Unable::NoRoom) };
        let work = self.work(target, body);
        let bytes = body.as_bytes().len();
        if provider.speaks(self.call.format) {
            let version = version(provider, call.headers);
            let reshaped = apart(bytes, call.apart, move || work.reshaped(&version)).await;
            let (body, (path, is_reduced)) = reshaped.ok_or(Unable::NoRoom)?.map_err(refused)?;
            let reduced = is_reduced.then(|| self.reduced(provider));
            let held = held(call.room, body.as_bytes().len())?;
            return Ok(Prepared::Foreign(Box::new(Foreign::reshaped(body, path, reduced, held))));
        }
        if self.call.format == Format::OpenAiEmbeddings {
            let divided = apart(bytes, call.apart, move || work.embeddings()).await;
            let (bodies, translated) = divided.ok_or(Unable::NoRoom)?.map_err(refused)?;
            let told = self.told(provider, &translated.losses)?;
            let held = held(call.room, bodies.iter().map(|body| body.as_bytes().len()).sum())?;
            let parts = Parts::new(bodies, translated, told, held);
            return Ok(Prepared::Parts(Box::new(parts)));
        }
        let rewritten = apart(bytes, call.apart, move || work.request()).await;
        let (body, translated) = rewritten.ok_or(Unable::NoRoom)?.map_err(refused)?;
        let told = self.told(provider, &translated.losses)?;
        let held = held(call.room, body.as_bytes().len())?;
        Ok(Prepared::Foreign(Box::new(Foreign::new(body, translated, told, held))))
    }

    /// The call in its own format. Thinking of a provider of another format is left out.
    async fn without_carriers(&self, target: &Target, call: &Call<'_>) -> Result<Prepared, Unable> {
        let Outgoing::Whole(body) = call.body else { return Ok(Prepared::AsItIs) };
        if !native::may_carry(self.call.format, body.as_bytes()) {
            return Ok(Prepared::AsItIs);
        }
        let (work, model) = (self.work(target, body), target.model.clone());
        let bytes = body.as_bytes().len();
        let reduced = apart(bytes, call.apart, move || work.without_carriers(model.as_deref()));
        let Some(body) = reduced.await.ok_or(Unable::NoRoom)? else {
            return Ok(Prepared::AsItIs);
        };
        let (path, reduced) = (call.path_and_query.to_owned(), self.reduced(&target.provider));
        let held = held(call.room, body.as_bytes().len())?;
        let foreign = Foreign::reshaped(body, path, Some(reduced), held);
        Ok(Prepared::Foreign(Box::new(foreign)))
    }

    /// The facts of a call from which thinking of another provider was left out. That is a hint:
    /// no policy refuses it.
    fn reduced(&self, provider: &Provider) -> Reduced {
        let mut losses = Losses::default();
        losses.drop_hint("reasoning");
        Reduced {
            header: losses.header_value(self.call.format.name(), provider.options.kind.name()),
            dropped_fields: losses.dropped().join(", "),
        }
    }

    fn work(&self, target: &Target, body: &Redacted) -> Work {
        Work {
            format: self.call.format,
            operation: self.call.operation,
            id: self.call.id.to_owned(),
            created: self.call.created,
            provider: Arc::clone(&target.provider),
            model: target.model.as_deref().unwrap_or(self.model).to_owned(),
            facts: target.facts,
            body: body.clone(),
        }
    }

    /// The facts of a translation that lost this; a refusal where the policy does not allow it.
    fn told(&self, provider: &Provider, losses: &Losses) -> Result<Translated, Unable> {
        if self.on_loss == OnLoss::Refuse
            && let Some(loss) = losses.refusal()
        {
            return Err(refused(loss));
        }
        let (from, to) = (self.call.format.name(), provider.options.kind.name());
        let changed = losses.changed().into_iter().map(|name| ["~", name].concat());
        let dropped = losses.dropped().into_iter().map(str::to_owned);
        Ok(Translated {
            formats: [from, ">", to].concat(),
            header: losses.header_value(from, to),
            dropped_fields: dropped.chain(changed).collect::<Vec<_>>().join(", "),
            stream: None,
            whole: None,
        })
    }
}

/// The version of Anthropic's API that a call is made for.
fn version(provider: &Provider, headers: &HeaderMap) -> String {
    let asked = headers.get("anthropic-version").and_then(|version| version.to_str().ok());
    provider.options.version.as_deref().or(asked).unwrap_or("2023-06-01").to_owned()
}

fn refused(refused: Refused) -> Unable {
    Unable::Refused(Box::new(refused))
}

/// Room for the bodies of a translation.
fn held(room: &Share, bytes: usize) -> Result<Option<Held>, Unable> {
    let mut held = (bytes > CALL_BYTES_FREE).then(|| room.begin());
    if held.as_mut().is_some_and(|held| !held.grow_to(bytes)) {
        return Err(Unable::NoRoom);
    }
    Ok(held)
}

/// All that a translation needs, so that another thread can do it.
struct Work {
    format: Format,
    operation: Operation,
    id: String,
    created: u64,
    provider: Arc<Provider>,
    /// The target's name of the model.
    model: String,
    facts: Overrides,
    body: Redacted,
}

impl Work {
    fn request(&self) -> Result<(Redacted, translate::Translated), Refused> {
        let call = translate::Call {
            format: self.format,
            operation: self.operation,
            id: &self.id,
            created: self.created,
        };
        let mut to = translate::Target::new(self.provider.asked_in(self.operation), &self.model);
        to.server = self.provider.server();
        to.facts = self.facts.of(to.facts);
        self.body.rewritten(|bytes| {
            translate::request(&call, &to, bytes)
                .map(|mut translated| (std::mem::take(&mut translated.body), translated))
        })
    }

    /// The body in the form of Vertex AI, its path, and whether thinking was left out.
    fn reshaped(&self, version: &str) -> Result<(Redacted, (String, bool)), Refused> {
        let model = Some(self.model.as_str()).filter(|model| !model.is_empty());
        self.body.rewritten(|bytes| {
            let reduced = native::without_carriers(self.format, bytes, None);
            let bytes = reduced.as_deref().unwrap_or(bytes);
            let written = vertex::reshaped(bytes, model, self.operation, version)?;
            Ok((written.body, (written.path.into_owned(), reduced.is_some())))
        })
    }

    /// The body without carriers, if it has any.
    fn without_carriers(&self, model: Option<&str>) -> Option<Redacted> {
        let without = |bytes: &[u8]| {
            native::without_carriers(self.format, bytes, model).map(|body| (body, ())).ok_or(())
        };
        self.body.rewritten(without).ok().map(|(body, ())| body)
    }

    fn embeddings(&self) -> Result<(Vec<Redacted>, embeddings::Translated), Refused> {
        let Some(service) = self.provider.embeddings(&self.model) else {
            let text = "the model makes no embeddings that can be asked for in OpenAI's format";
            return Err(Refused::unsupported("model", text));
        };
        self.body.divided(|bytes| {
            let mut translated = embeddings::request(service, &self.model, bytes)?;
            let bodies = translated.calls.iter_mut();
            let bodies = bodies.map(|call| std::mem::take(&mut call.body)).collect();
            Ok((bodies, translated))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;
    use crate::config::sections::RawProvider;

    fn provider(kind: &str, base_url: &str) -> Provider {
        Provider {
            name: Arc::from("p"),
            base_url: base_url.parse().expect("a URL"),
            forward_headers: vec![],
            egress: Arc::default(),
            auth: None,
            options: options::<RawProvider>(&format!("{{kind: {kind}}}")),
        }
    }

    #[test]
    fn embeddings_are_served_by_the_model() {
        let format = Format::OpenAiEmbeddings;
        for (kind, model, expected) in [
            ("openai", "text-embedding-3-small", true),
            ("anthropic", "claude-x", false),
            ("gemini", "gemini-embedding-001", true),
            ("bedrock", "amazon.titan-embed-text-v2:0", true),
            ("bedrock", "cohere.embed-v4:0", true),
            ("bedrock", "anthropic.claude-x", false),
            ("bedrock", "", false),
        ] {
            let provider = provider(kind, "http://127.0.0.1/v1");
            let serves = provider.serves(format, Some(Operation::Generate), model);
            assert_eq!(serves, expected, "{kind} {model}");
        }
    }
}
