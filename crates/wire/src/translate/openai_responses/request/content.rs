//! Reads the content of a message, and the output of a tool.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::translate::json::{JsonText, List};
use crate::translate::loss::{Losses, Refused};
use crate::translate::media;
use crate::translate::neutral::{
    CacheMark, Detail, Media, MediaKind, Part, PartKind, Place, Source, TextPart,
};

use super::fields::{self, Breakpoint};
use super::parse;

/// Reads one list of parts.
pub(crate) struct Content<'l> {
    pub(crate) losses: &'l mut Losses,
    /// Of the item.
    pub(crate) place: Place,
    /// The output of a tool. Its parts are named by their item.
    pub(crate) is_output: bool,
}

impl Content<'_> {
    /// A string is one text, absent content is none.
    pub(crate) fn read<'a>(
        &mut self,
        content: Option<&'a RawValue>,
    ) -> Result<Vec<Part<'a>>, Refused> {
        let Some(content) = content else { return Ok(Vec::new()) };
        let name = self.place.name("input");
        match content.get().as_bytes().first() {
            Some(b'"') => {
                let text = TextPart::plain(parse(content, &name)?);
                Ok(vec![Part::new(PartKind::Text(text), self.place)])
            }
            Some(b'[') => {
                let List(parts): List<&'a RawValue> = parse(content, &name)?;
                parts.into_iter().enumerate().map(|(at, part)| self.part(part, at)).collect()
            }
            _ => {
                let text = format!("`{name}` has content that is neither text nor a list");
                Err(Refused::invalid(name, text))
            }
        }
    }

    fn part<'a>(&mut self, json: &'a RawValue, at: usize) -> Result<Part<'a>, Refused> {
        let part = if self.is_output { None } else { u32::try_from(at).ok() };
        let place = Place { part, ..self.place };
        let name = place.name("input");
        let part: fields::Part<'a> = parse(json, &name)?;
        let path = if self.is_output { "input[].output[]." } else { "input[].content[]." };
        self.losses.drop_unknown(path, &part.unknown);
        let cache = part.breakpoint.as_ref().map(cache_mark);
        let kind = part.kind.clone().unwrap_or_default();
        let kind = match (&*kind.plain(), part) {
            ("input_text" | "output_text" | "text", fields::Part { text: Some(text), .. }) => {
                PartKind::Text(TextPart::plain(text))
            }
            ("refusal", fields::Part { refusal: Some(text), .. }) => {
                PartKind::Text(TextPart { text, is_refusal: true, signature: None })
            }
            ("input_image", part) => PartKind::Media(image(part, &name)?),
            ("input_file", part) => PartKind::Media(self.file(part, path, &name)?),
            ("input_audio", fields::Part { input_audio: Some(audio), .. }) => {
                self.losses.drop_unknown(&[path, "input_audio."].concat(), &audio.unknown);
                let format = audio.format.unwrap_or_default();
                let data = audio.data.unwrap_or_default().without_space();
                let media_type = Cow::Owned(format!("audio/{}", format.plain()));
                PartKind::Media(Media::new(MediaKind::Audio, Source::Base64 { media_type, data }))
            }
            ("input_text" | "output_text" | "text" | "refusal" | "input_audio", _) => {
                let text = format!("`{name}` has nothing under the name of its type");
                return Err(Refused::invalid(name, text));
            }
            _ => {
                let text = format!("`{name}` has a part whose type is not known");
                return Err(Refused::invalid(name, text));
            }
        };
        Ok(Part { kind, cache, place })
    }

    fn file<'a>(
        &mut self,
        part: fields::Part<'a>,
        path: &str,
        name: &str,
    ) -> Result<Media<'a>, Refused> {
        if part.detail.is_some_and(|detail| !detail.is("auto")) {
            self.losses.drop_field([path, "detail"].concat());
        }
        let source = match (part.file_data, part.file_url, part.file_id) {
            (Some(data), _, _) => match media::source(&data) {
                Ok(source @ Source::Base64 { .. }) => source,
                Ok(_) => return Err(Refused::invalid(name, "`file_data` is not a `data:` URL")),
                Err(text) => return Err(Refused::invalid(name, text)),
            },
            (None, Some(url), _) => {
                media::source(&url).map_err(|text| Refused::invalid(name, text))?
            }
            (None, None, Some(id)) => Source::File(id),
            (None, None, None) => return Err(Refused::invalid(name, "the file has no content")),
        };
        Ok(Media { title: part.filename, ..Media::new(MediaKind::Document, source) })
    }
}

fn image<'a>(part: fields::Part<'a>, name: &str) -> Result<Media<'a>, Refused> {
    let detail = part.detail.as_ref().and_then(|detail| match &*detail.plain() {
        "low" => Some(Detail::Low),
        "high" | "original" => Some(Detail::High),
        _ => None,
    });
    let source = match (part.image_url, part.file_id) {
        (Some(url), _) => media::source(&url).map_err(|text| Refused::invalid(name, text))?,
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(Refused::invalid(name, "the image has no content")),
    };
    Ok(Media { detail, ..Media::new(MediaKind::Image, source) })
}

/// A mark of the prompt cache: `{"mode": "explicit", "ttl": "30m"}`.
fn cache_mark(mark: &Breakpoint<'_>) -> CacheMark {
    let ttl = mark.ttl.as_ref().map(JsonText::plain).unwrap_or_default();
    let minutes = match (ttl.strip_suffix('m'), ttl.strip_suffix('h')) {
        (Some(minutes), _) => minutes.parse::<u32>().ok(),
        (None, Some(hours)) => hours.parse::<u32>().ok().and_then(|n| n.checked_mul(60)),
        (None, None) => None,
    };
    CacheMark { minutes }
}
