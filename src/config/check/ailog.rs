//! The rules of `ailog`: where the tags of a row come from.
//!
//! Pure. Guarantees: no tag comes from a header that carries a credential or a cookie.

use std::sync::Arc;

use http::HeaderName;

use super::label;
use crate::bounds::TAGS_MAX;
use crate::config::carriers::tells_of_credential;
use crate::config::policy::{TagRule, TagSource};
use crate::config::reader::place::{Place, Problems};
use crate::config::sections::RawAiLog;

/// The tags of a row.
pub(crate) fn tags(raw: &RawAiLog, problems: &mut Problems) -> Vec<TagRule> {
    let mut tags = Vec::new();
    for (name, source) in &raw.tags.0 {
        if tags.len() == TAGS_MAX {
            problems.add(&name.at, format!("more than {TAGS_MAX} tags; remove some"));
            break;
        }
        let fits = label(&name.value, &name.at, problems);
        if let Some(source) = self::source(&source.value, &source.at, problems)
            && fits
        {
            tags.push(TagRule { name: Arc::from(&*name.value), source });
        }
    }
    tags
}

/// The paths of the claims that are tags, in the order of the tags.
pub(crate) fn claims(tags: &[TagRule]) -> Vec<Vec<String>> {
    let path = |tag: &TagRule| match &tag.source {
        TagSource::Claim(path) => Some(path.clone()),
        TagSource::Header(_) | TagSource::Metadata(_) => None,
    };
    tags.iter().filter_map(path).collect()
}

fn source(text: &str, at: &Place, problems: &mut Problems) -> Option<TagSource> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let name = name.trim();
    match kind.trim() {
        "header" => {
            let Ok(header) = name.parse::<HeaderName>() else {
                problems.add(at, "not the name of a header; write header:x-feature");
                return None;
            };
            if tells_of_credential(header.as_str()) {
                let text = "this header carries a credential or a cookie, which is never logged; \
                            use another header";
                problems.add(at, text);
                return None;
            }
            Some(TagSource::Header(header))
        }
        "claim" if !name.is_empty() && name.split('.').all(|part| !part.is_empty()) => {
            Some(TagSource::Claim(name.split('.').map(str::to_owned).collect()))
        }
        "metadata" if !name.is_empty() => Some(TagSource::Metadata(name.to_owned())),
        _ => {
            problems.add(at, "no source; write header:NAME, claim:NAME or metadata:NAME");
            None
        }
    }
}
