//! Reads the content of a message, and the output of a tool.

use serde_json::value::RawValue;

use crate::translate::json::List;
use crate::translate::loss::{Losses, Refused};
use crate::translate::media;
use crate::translate::neutral::{Media, MediaKind, Part, PartKind, Place, Source, TextPart};
use crate::translate::openai::{self, Breakpoint};
use crate::translate::read::parse;

use super::NAMES;
use super::fields;

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
        let name = NAMES.place(self.place);
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
        let name = NAMES.place(place);
        let part: fields::Part<'a> = parse(json, &name)?;
        let path = if self.is_output { "input[].output[]." } else { "input[].content[]." };
        self.losses.drop_unknown(path, &part.unknown);
        let cache = part.breakpoint.as_ref().map(Breakpoint::mark);
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
                PartKind::Media(audio.media(&[path, "input_audio."].concat(), self.losses))
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
            (Some(data), _, _) => openai::file_data(&data, name)?,
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
    let detail = openai::detail(part.detail.as_ref());
    let source = match (part.image_url, part.file_id) {
        (Some(url), _) => media::source(&url).map_err(|text| Refused::invalid(name, text))?,
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(Refused::invalid(name, "the image has no content")),
    };
    Ok(Media { detail, ..Media::new(MediaKind::Image, source) })
}
