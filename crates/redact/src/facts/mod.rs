//! Facts that a body states about its call: the model, the bounds of the answer, other models, and
//! objects kept at the provider.
//!
//! Pure. Filled while the body passes, from names and values as they are decoded, so that neither
//! an escape nor the place of a field hides it. Promises: bounded memory; no allocation for a body
//! that names nothing of this; what the bounds leave out is flagged. Does not: decide what is
//! allowed.

mod number;

pub(crate) use number::{Number, Tally};

use crate::Schema;
use crate::bounds::{
    BODY_MODELS_MAX, BODY_OBJECT_ID_BYTES_MAX, BODY_OBJECTS_MAX, BODY_PARAM_BYTES_MAX,
};
use crate::keys::Key;

/// The facts seen in a body as it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `model`, decoded.
    pub model: Option<String>,
    /// Where its value stands in the redacted body, quotes included; only where
    /// [`super::BodyRedactor::locate_model`] asked for it.
    pub model_at: Option<(u64, u64)>,
    /// `stream: true`
    pub stream: bool,
    /// The client itself asked for `stream_options.include_usage`.
    pub usage_asked: bool,
    /// The redactor asked for it on the client's behalf; the extra event has to be taken out of the
    /// answer.
    pub usage_injected: bool,
    /// The body asks the provider to keep state (`store: true`, `background: true`,
    /// `previous_response_id`, `conversation`), so that repeating it is not free of effects.
    pub stateful: bool,
    /// The body asks the provider not to keep the answer (`store: false`).
    pub unstored: bool,
    /// The answer is to be JSON (`response_format`, `text.format`, `output_config`).
    pub json_answer: bool,
    /// The largest bound that the body sets to its answer, in tokens, if it sets one that this
    /// endpoint knows. A negative number means "no bound" to some servers and is the largest number
    /// here.
    pub output_tokens_max: Option<u64>,
    /// The body has stop sequences (`stop`, `stop_sequences`).
    pub stops: bool,
    /// How many answers are asked for, at least one: the largest of `n` and `best_of`, for each
    /// prompt of a list of prompts.
    pub choices: u64,
    /// Objects kept at the provider that the body names, each once.
    pub stored: Vec<StoredObject>,
    /// There are more of them, or one has an id that is too long: [`Facts::stored`] is not
    /// complete.
    pub stored_cut: bool,
    /// Names of models besides `model`: `models`, `fallbacks`, `tools[].model` and the like.
    pub models: Vec<NamedModel>,
    /// There are more of them, or one is too long: [`Facts::models`] is not complete.
    pub models_cut: bool,
    /// The first field that leaves the choice of a model to the provider (`route`, `provider`,
    /// `preset` …).
    pub chooser: Option<&'static str>,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            model: None,
            model_at: None,
            stream: false,
            usage_asked: false,
            usage_injected: false,
            stateful: false,
            unstored: false,
            json_answer: false,
            output_tokens_max: None,
            stops: false,
            choices: 1,
            stored: Vec::new(),
            stored_cut: false,
            models: Vec::new(),
            models_cut: false,
            chooser: None,
        }
    }
}

/// An object kept at the provider that a body names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its kind.
    pub kind: StoredKind,
    /// Where it is named (`input[0].id`), for messages; cut if it is long.
    pub param: String,
    /// Its id, decoded.
    pub id: String,
}

/// A model that a body names besides `model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedModel {
    /// Where it is named (`models[0]`), for messages; cut if it is long.
    pub param: String,
    /// Its name, decoded.
    pub name: String,
}

/// Kinds of objects that a provider keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredKind {
    /// `previous_response_id` and the like.
    Response,
    /// `conversation`, as id or as object.
    Conversation,
    /// An item that is named and not sent: `{"type": "item_reference", "id"}`.
    Item,
    /// An item of an answer that is sent back without its content, which the provider then takes
    /// from its store: reasoning without `encrypted_content`, a generated image or search results
    /// without `result`.
    Echo,
    /// `file_id`, `file_ids`, `training_file` and the like.
    File,
    /// `vector_store_ids`
    VectorStore,
    /// `container`, `container_id`
    Container,
    /// `prompt.id`
    Prompt,
    /// `skill_id`, unless it names one of those that every account has.
    Skill,
    /// `connector_id`
    Connector,
    /// `audio.id` of a message, `voice.id`.
    Audio,
    /// `cached_content`
    Cache,
    /// An assistant, a thread, a run, a batch and the like.
    Other,
}

/// A key's meaning for the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fact {
    #[default]
    None,
    /// A bound of the answer that this endpoint knows.
    Bound,
    /// One that it may not know.
    LooseBound,
    Answers,
    /// Its string, the strings of its list, or the `id` of its object.
    Stored(StoredKind),
    /// The `id` of its object alone.
    Owner(StoredKind),
    /// `id` of an object that may be an item.
    Id,
    /// Every string in it names a model.
    Models,
    /// Values under it may choose a model, or say where a call goes.
    Choice,
    /// Stop sequences.
    Stop,
    /// Content of an item, so that the item need not be taken from a store.
    Content,
}

impl Fact {
    /// Whether a string under the key is kept.
    pub(crate) fn takes_string(self) -> bool {
        !matches!(self, Fact::None | Fact::Owner(_) | Fact::Content | Fact::Choice | Fact::Stop)
    }

    /// Whether a number under the key is kept.
    pub(crate) fn takes_number(self) -> bool {
        matches!(self, Fact::Bound | Fact::LooseBound | Fact::Answers)
    }

    /// The fact that `name`, which is `key`, states in an object whose keys are the API's. `top`: at the top level,
    /// or in `extra_body`; `owner`: what the key says under which the object stands.
    pub(crate) fn of(name: &[u8], key: Key, schema: &Schema, top: bool, owner: Fact) -> Fact {
        if owner == Fact::Models {
            return Fact::Models;
        }
        if name == b"id" {
            return match owner {
                Fact::Stored(kind) | Fact::Owner(kind) => Fact::Stored(kind),
                _ if schema.typed_items || schema.is_unknown() => Fact::Id,
                _ => Fact::None,
            };
        }
        if let Some(fact) = stored(name) {
            return fact;
        }
        if matches!(name, b"encrypted_content" | b"content" | b"result" | b"results") {
            return Fact::Content;
        }
        if top && key.routing_bit().is_none() {
            let fact = at_top(name, schema);
            if fact != Fact::None {
                return fact;
            }
        }
        match owner {
            _ if names_models(name) => Fact::Models,
            Fact::Choice => Fact::Choice,
            _ => Fact::None,
        }
    }
}

fn stored(name: &[u8]) -> Option<Fact> {
    use StoredKind::*;
    Some(Fact::Stored(match name {
        b"previous_response_id" | b"response_id" => Response,
        b"conversation" | b"conversation_id" => Conversation,
        b"file_id" | b"file_ids" | b"input_file_id" | b"output_file_id" | b"training_file"
        | b"validation_file" | b"upload_id" | b"image_id" | b"video_id" => File,
        b"vector_store_id" | b"vector_store_ids" => VectorStore,
        b"container" | b"container_id" => Container,
        b"prompt_id" => Prompt,
        b"skill_id" => Skill,
        b"connector_id" => Connector,
        b"cached_content" | b"cachedContent" => Cache,
        b"assistant_id" | b"thread_id" | b"run_id" | b"batch_id" | b"eval_id"
        | b"memory_store_id" => Other,
        b"prompt" => return Some(Fact::Owner(Prompt)),
        b"audio" | b"voice" => return Some(Fact::Owner(Audio)),
        b"video" => return Some(Fact::Owner(File)),
        _ => return None,
    }))
}

/// Fields that mean something at the top level only.
fn at_top(name: &[u8], schema: &Schema) -> Fact {
    if schema.output_bounds.iter().any(|bound| bound.as_bytes() == name) {
        return Fact::Bound;
    }
    match fold(name, &mut [0; FOLD_MAX]) {
        b"maxtokens"
        | b"maxcompletiontokens"
        | b"maxoutputtokens"
        | b"maxtokenstosample"
        | b"maxnewtokens"
        | b"numpredict" => Fact::LooseBound,
        b"n" | b"bestof" => Fact::Answers,
        b"stop" | b"stopsequences" => Fact::Stop,
        b"engine" | b"deployment" | b"deploymentid" => Fact::Models,
        b"extrabody" => Fact::Choice,
        folded if chooser(folded).is_some() => Fact::Choice,
        _ => Fact::None,
    }
}

/// `model`, `models`, `fallbacks` and names that end like them, whatever their case.
fn names_models(name: &[u8]) -> bool {
    matches!(name.last(), Some(b'l' | b'L' | b's' | b'S'))
        && ["model", "models", "fallbacks"].iter().any(|end| {
            name.len()
                .checked_sub(end.len())
                .is_some_and(|from| name[from..].eq_ignore_ascii_case(end.as_bytes()))
        })
}

/// Fields that let the provider choose another model than the one named.
pub(crate) fn chooser(folded: &[u8]) -> Option<&'static str> {
    Some(match folded {
        b"route" => "route",
        b"router" => "router",
        b"routing" => "routing",
        b"provider" => "provider",
        b"providers" => "providers",
        b"preset" => "preset",
        _ => return None,
    })
}

/// Fields that would send the call somewhere else, or with another key.
pub(crate) fn is_override(folded: &[u8], schema: &Schema) -> bool {
    let known = matches!(
        folded,
        b"extraheaders"
            | b"defaultheaders"
            | b"extraquery"
            | b"apiversion"
            | b"apitype"
            | b"customllmprovider"
            | b"litellmparams"
            | b"litellmcredentialname"
            | b"modellist"
            | b"userconfig"
            | b"azureendpoint"
            | b"azureadtoken"
            | b"awsaccesskeyid"
            | b"awssecretaccesskey"
            | b"awssessiontoken"
            | b"awsregionname"
            | b"awsrolename"
            | b"awssessionname"
            | b"awsprofilename"
            | b"awsstsendpoint"
            | b"awswebidentitytoken"
            | b"awsbedrockruntimeendpoint"
            | b"vertexcredentials"
            | b"vertexproject"
            | b"vertexlocation"
            | b"vertexaicredentials"
            | b"vertexaiproject"
            | b"vertexailocation"
    );
    let ends = [&b"apibase"[..], b"baseurl", b"apikey"].iter().any(|end| folded.ends_with(end));
    known || ends || folded == b"headers" && !schema.is_unknown()
}

/// The field on which routing depends, as it is to be written, that `folded` is to a server which
/// reads names without case.
pub(crate) fn routes(folded: &[u8], schema: &Schema) -> Option<&'static str> {
    Some(match folded {
        b"model" => "model",
        b"stream" => "stream",
        _ if schema.is_unknown() => return None,
        b"messages" => "messages",
        b"input" => "input",
        b"prompt" => "prompt",
        b"streamoptions" => "stream_options",
        _ => return None,
    })
}

/// Longest name that is folded; longer ones are no names of ours.
pub(crate) const FOLD_MAX: usize = 64;

/// A name as the most forgiving server would read it: without case (also `ſ` for `s` and the Kelvin
/// sign for `k`, as Go and .NET have it), without `_` and `-`. Empty if it is too long.
pub(crate) fn fold<'a>(name: &[u8], into: &'a mut [u8; FOLD_MAX]) -> &'a [u8] {
    if name.len() > FOLD_MAX {
        return &[];
    }
    let mut n = 0;
    if name.is_ascii() {
        for b in name.iter().filter(|b| !matches!(b, b'_' | b'-')) {
            into[n] = b.to_ascii_lowercase();
            n += 1;
        }
        return &into[..n];
    }
    let mut rest = name;
    while let [b, after @ ..] = rest {
        rest = after;
        let folded = match (b, after) {
            (b'_' | b'-', _) => continue,
            (0xC5, [0xBF, after @ ..]) => {
                rest = after;
                b's'
            }
            (0xE2, [0x84, 0xAA, after @ ..]) => {
                rest = after;
                b'k'
            }
            (0xC4, [0xB0 | 0xB1, after @ ..]) => {
                rest = after;
                b'i'
            }
            _ => b.to_ascii_lowercase(),
        };
        into[n] = folded;
        n += 1;
    }
    &into[..n]
}

impl Facts {
    /// Whether an object kept at the provider is to be noted: it is new, and there is room.
    pub(crate) fn wants_object(&mut self, kind: StoredKind, id: &[u8]) -> bool {
        let in_every_account =
            kind == StoredKind::Skill && matches!(id, b"pptx" | b"xlsx" | b"docx" | b"pdf");
        if in_every_account
            || id.is_empty()
            || self.stored.iter().any(|s| s.kind == kind && s.id.as_bytes() == id)
        {
            return false;
        }
        let room = self.stored.len() < BODY_OBJECTS_MAX && id.len() <= BODY_OBJECT_ID_BYTES_MAX;
        self.stored_cut |= !room;
        room
    }

    /// Notes it.
    pub(crate) fn object(&mut self, kind: StoredKind, id: &[u8], param: String) {
        self.stored.push(StoredObject { kind, param: short(param), id: text(id) });
    }

    /// Whether a model besides `model` is to be noted.
    pub(crate) fn wants_model(&mut self, name: &[u8]) -> bool {
        if self.models.iter().any(|m| m.name.as_bytes() == name) {
            return false;
        }
        let room = self.models.len() < BODY_MODELS_MAX && name.len() <= BODY_OBJECT_ID_BYTES_MAX;
        self.models_cut |= !room;
        room
    }

    /// Notes it.
    pub(crate) fn named_model(&mut self, name: &[u8], param: String) {
        self.models.push(NamedModel { param: short(param), name: text(name) });
    }
}

/// Decoded text is UTF-8; half a surrogate pair was replaced before.
fn text(decoded: &[u8]) -> String {
    String::from_utf8_lossy(decoded).into_owned()
}

fn short(mut param: String) -> String {
    let end = (0..=BODY_PARAM_BYTES_MAX.min(param.len()))
        .rev()
        .find(|i| param.is_char_boundary(*i))
        .unwrap_or(0);
    param.truncate(end);
    param.shrink_to_fit();
    param
}
