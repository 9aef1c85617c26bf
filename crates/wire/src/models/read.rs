//! The lists of providers, read.

use serde_json::value::RawValue;

use crate::format::ProviderKind;
use crate::lenient::{Count, Text};
use crate::translate::json::List;

use super::{LIST_BYTES_MAX, MODELS_MAX, Model, day};

/// Longest name of a model.
const NAME_BYTES_MAX: usize = 256;

/// A page of a provider's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its models, in the provider's order.
    pub models: Vec<Model>,
    /// The mark of the next page; `None` if this is the last.
    pub next: Option<String>,
}

#[derive(serde::Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    /// Gemini's. Other servers have a list of another form here, beside `data`.
    #[serde(borrow, default)]
    models: Option<&'a RawValue>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(borrow, default)]
    last_id: Text<'a>,
    #[serde(borrow, default, rename = "nextPageToken")]
    next_page: Text<'a>,
}

#[derive(serde::Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    /// Gemini's, with `models/` before it.
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(default)]
    created: Count,
    #[serde(borrow, default)]
    created_at: Text<'a>,
    #[serde(borrow, default)]
    owned_by: Text<'a>,
    #[serde(borrow, default, alias = "displayName")]
    display_name: Text<'a>,
    #[serde(borrow, default, rename = "supportedGenerationMethods")]
    methods: Option<List<Text<'a>>>,
}

/// Reads a page of the list of a provider of this kind; nothing if it is none.
pub fn read(kind: ProviderKind, body: &[u8]) -> Option<Page> {
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    let list = if kind == ProviderKind::Gemini { body.models? } else { body.data? };
    let List(entries) = serde_json::from_str::<List<Entry<'_>>>(list.get()).ok()?;
    let mut bytes = 0;
    let entries = entries.into_iter().filter_map(|entry| model(kind, &entry));
    let within = entries.take(MODELS_MAX).take_while(|model| {
        bytes += model.id.len() + model.owned_by.len() + model.display_name.len();
        bytes <= LIST_BYTES_MAX
    });
    let models: Vec<Model> = within.collect();
    let next = match kind {
        ProviderKind::Anthropic => body.last_id.0.filter(|_| body.has_more == Some(true)),
        ProviderKind::Gemini => body.next_page.0,
        _ => None,
    };
    let next = next.filter(|next| !next.is_empty() && next.len() <= 1_024);
    Some(Page { models, next: next.map(|next| next.into_owned()) })
}

fn model(kind: ProviderKind, entry: &Entry<'_>) -> Option<Model> {
    let text = |text: &Text<'_>| -> Box<str> {
        let text = text.0.as_deref().unwrap_or_default();
        text[..text.floor_char_boundary(NAME_BYTES_MAX)].into()
    };
    let (id, owner) = match kind {
        ProviderKind::Gemini => {
            let name = entry.name.0.as_deref()?;
            (name.strip_prefix("models/").unwrap_or(name), Some("google"))
        }
        ProviderKind::Anthropic => (entry.id.0.as_deref()?, Some("anthropic")),
        _ => (entry.id.0.as_deref()?, None),
    };
    let is_name = (1..=NAME_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
    // Models for live talk and the like cannot be called here.
    let answers = |method: &Text<'_>| {
        let method = method.0.as_deref().unwrap_or_default();
        ["generateContent", "embedContent", "batchEmbedContents"].contains(&method)
    };
    let can_answer = entry.methods.as_ref().is_none_or(|methods| methods.0.iter().any(answers));
    let owned_by = owner.map_or_else(|| text(&entry.owned_by), Into::into);
    let at = entry.created_at.0.as_deref().and_then(day::seconds);
    (is_name && can_answer).then(|| Model {
        id: id.into(),
        created: entry.created.0.or(at).unwrap_or(0),
        owned_by,
        display_name: text(&entry.display_name),
    })
}
