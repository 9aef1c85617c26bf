//! Lists of models: those of providers, read, and the caller's, written.
//!
//! Pure. Guarantees: a list is bounded in models and in bytes of text; names that no request could
//! carry are left out. Does not: know which models a caller may use.
//!
//! # Source
//! API references of OpenAI, Anthropic and Gemini ("Models"), read November 2026.
//!
//! # Example
//!
//! ```
//! use tollgate_wire::ProviderKind;
//! use tollgate_wire::models;
//! let theirs = br#"{"models":[{"name":"models/gemini-x","displayName":"Gemini X",
//!     "supportedGenerationMethods":["generateContent"]}]}"#;
//! let page = models::read(ProviderKind::Gemini, theirs).expect("a list");
//! assert_eq!(&*page.models[0].id, "gemini-x");
//! ```

mod day;
mod read;
#[cfg(test)]
mod tests;

use crate::format::ProviderKind;
use crate::translate::json::{JsonList, JsonObject};

use day::rfc3339;
pub use read::{Page, read};

/// Models of one list; more are left out.
pub const MODELS_MAX: usize = 2_000;
/// Bytes of text in one list.
pub const LIST_BYTES_MAX: usize = 64 << 10;
/// Models of a page that a provider is asked for.
const PAGE: usize = 1_000;
/// Models of a page of Anthropic's API, unless the caller asks for another number.
const PAGE_DEFAULT: usize = 20;

/// A model in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name under which it is called.
    pub id: Box<str>,
    /// When it appeared, in seconds since 1970; 0 if that is not known.
    pub created: u64,
    /// Its owner; empty if that is not known.
    pub owned_by: Box<str>,
    /// Its name for people; empty if it has none.
    pub display_name: Box<str>,
}

impl Model {
    /// A model of which only its name and its owner are known.
    pub fn named(id: &str, owned_by: &str) -> Model {
        Model { id: id.into(), created: 0, owned_by: owned_by.into(), display_name: "".into() }
    }
}

/// The path of a provider's list below its base URL, with its query. `after`: the mark of the page
/// before.
///
/// `None` where the kind has no list at its address, or no further page.
pub fn path(kind: ProviderKind, after: Option<&str>) -> Option<String> {
    let mark = |name: &str| {
        let after = after.map(crate::translate::path_segment);
        after.map_or_else(String::new, |after| format!("&{name}={after}"))
    };
    match kind {
        ProviderKind::OpenAi | ProviderKind::AzureOpenAi => {
            after.is_none().then(|| "/models".to_owned())
        }
        ProviderKind::Anthropic => Some(format!("/models?limit={PAGE}{}", mark("after_id"))),
        ProviderKind::Gemini => Some(format!("/models?pageSize={PAGE}{}", mark("pageToken"))),
        ProviderKind::Bedrock => None,
    }
}

/// The list in OpenAI's shape.
pub fn write_openai(models: &[&Model]) -> Vec<u8> {
    let mut out = Vec::with_capacity(models.len() * 96 + 64);
    {
        let mut object = JsonObject::new(&mut out);
        object.str("object", "list");
        let mut data = object.list("data");
        models.iter().for_each(|model| openai(model, &mut data.object()));
    }
    out
}

/// One model in OpenAI's shape.
pub fn write_openai_one(model: &Model) -> Vec<u8> {
    let mut out = Vec::new();
    openai(model, &mut JsonObject::new(&mut out));
    out
}

fn openai(model: &Model, object: &mut JsonObject<'_>) {
    object.str("id", &model.id);
    object.str("object", "model");
    object.number("created", model.created);
    object.str("owned_by", &model.owned_by);
}

/// The part of a list that a caller of Anthropic's API asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paging<'a> {
    /// At most so many; 20 unless it is said.
    pub limit: Option<usize>,
    /// Models behind this one.
    pub after: Option<&'a str>,
    /// Models before this one.
    pub before: Option<&'a str>,
}

/// A page in Anthropic's shape; nothing if the list does not have the model that it is to begin or
/// end at.
pub fn write_anthropic(models: &[&Model], paging: &Paging<'_>) -> Option<Vec<u8>> {
    let at = |id: &str| models.iter().position(|model| &*model.id == id);
    let limit = paging.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE);
    let (page, has_more) = match (paging.after, paging.before) {
        (None, Some(before)) => {
            let end = at(before)?;
            (&models[end.saturating_sub(limit)..end], end > limit)
        }
        (after, _) => {
            let begin = after.map_or(Some(0), |after| at(after).map(|at| at + 1))?;
            let end = (begin + limit).min(models.len());
            (&models[begin..end], end < models.len())
        }
    };
    let mut out = Vec::with_capacity(page.len() * 128 + 64);
    {
        let mut object = JsonObject::new(&mut out);
        {
            let mut data: JsonList<'_> = object.list("data");
            page.iter().for_each(|model| anthropic(model, &mut data.object()));
        }
        object.bool("has_more", has_more);
        for (name, model) in [("first_id", page.first()), ("last_id", page.last())] {
            match model {
                Some(model) => object.str(name, &model.id),
                None => object.null(name),
            }
        }
    }
    Some(out)
}

/// One model in Anthropic's shape.
pub fn write_anthropic_one(model: &Model) -> Vec<u8> {
    let mut out = Vec::new();
    anthropic(model, &mut JsonObject::new(&mut out));
    out
}

fn anthropic(model: &Model, object: &mut JsonObject<'_>) {
    let name = if model.display_name.is_empty() { &model.id } else { &model.display_name };
    object.str("type", "model");
    object.str("id", &model.id);
    object.str("display_name", name);
    // Anthropic's own word for an unknown time is the first second of 1970.
    object.str("created_at", &rfc3339(model.created));
}
