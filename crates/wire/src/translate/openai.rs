//! The common parts of requests in OpenAI's two formats, `chat/completions` and `responses`.

use std::borrow::Cow;

use super::json::{JsonText, object};
use super::loss::{Losses, Refused};
use super::media;
use super::neutral::{CacheMark, Detail, Media, MediaKind, Part, Source, Tier};

object! {
    /// Sound in a message.
    pub(crate) struct Audio<'a> {
        "data" => data: JsonText<'a>,
        "format" => format: JsonText<'a>,
    }
}

object! {
    /// A mark of the prompt cache: `{"mode": "explicit", "ttl": "30m"}`.
    pub(crate) struct Breakpoint<'a> {
        "mode" => mode: JsonText<'a>,
        "ttl" => ttl: JsonText<'a>,
    }
}

impl<'a> Audio<'a> {
    /// The sound. `path`: that of the object, with a full stop, for fields that are not known.
    pub(crate) fn media(self, path: &str, losses: &mut Losses) -> Media<'a> {
        losses.drop_unknown(path, &self.unknown);
        let format = self.format.unwrap_or_default();
        let data = self.data.unwrap_or_default().without_space();
        let media_type = Cow::Owned(format!("audio/{}", format.plain()));
        Media::new(MediaKind::Audio, Source::Base64 { media_type, data })
    }
}

impl Breakpoint<'_> {
    /// The mark.
    pub(crate) fn mark(&self) -> CacheMark {
        let ttl = self.ttl.as_ref().map(JsonText::plain).unwrap_or_default();
        let minutes = match (ttl.strip_suffix('m'), ttl.strip_suffix('h')) {
            (Some(minutes), _) => minutes.parse::<u32>().ok(),
            (None, Some(hours)) => hours.parse::<u32>().ok().and_then(|n| n.checked_mul(60)),
            (None, None) => None,
        };
        CacheMark { minutes }
    }
}

/// How closely an image is looked at.
pub(crate) fn detail(word: Option<&JsonText<'_>>) -> Option<Detail> {
    match &*word?.plain() {
        "low" => Some(Detail::Low),
        "high" | "original" => Some(Detail::High),
        _ => None,
    }
}

/// The content of a file, which is a `data:` URL. `name`: its place.
pub(crate) fn file_data<'a>(data: &JsonText<'a>, name: &str) -> Result<Source<'a>, Refused> {
    match media::source(data) {
        Ok(source @ Source::Base64 { .. }) => Ok(source),
        Ok(_) => Err(Refused::invalid(name, "`file_data` is not a `data:` URL")),
        Err(text) => Err(Refused::invalid(name, text)),
    }
}

/// The tier of service by its word.
pub(crate) fn tier(word: &JsonText<'_>) -> Tier {
    match &*word.plain() {
        "auto" => Tier::Auto,
        "default" => Tier::Default,
        "flex" => Tier::Flex,
        "priority" => Tier::Priority,
        _ => Tier::Other,
    }
}

/// Takes the marks of the parts of a tool's result: the result has room for one, at its end.
pub(crate) fn take_marks(content: &mut [Part<'_>]) -> Option<CacheMark> {
    content.iter_mut().filter_map(|part| part.cache.take()).fold(None, |_, mark| Some(mark))
}
