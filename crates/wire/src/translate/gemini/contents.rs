//! Writes the turns as `systemInstruction` and `contents`.
//!
//! Results of tools stand in a turn of their own, one for each call, in the order of the calls.
//! Their text is never read as JSON: it is one string under `output`, or under `error`.

use crate::translate::Target;
use crate::translate::json::{JsonList, JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::model::ThinkingForm;
use crate::translate::neutral::{
    Media, MediaKind, Opaque, Part, PartKind, Request, Role, SearchResult, Source, ToolCall,
    ToolResult, Turn,
};

/// Google's placeholder for the signature of a call that another model made: newer models refuse a
/// step whose first call has none.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
/// Bytes of a tool's name.
const NAME_BYTES_MAX: usize = 128;

/// Types by the ending of a path.
const ENDINGS: [(&str, &str); 21] = [
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("bmp", "image/bmp"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("xml", "text/xml"),
    ("json", "application/json"),
    ("wav", "audio/wav"),
    ("mp3", "audio/mp3"),
    ("mp4", "video/mp4"),
    ("mov", "video/mov"),
    ("webm", "video/webm"),
];

/// Writes `systemInstruction`: the system messages at the beginning.
pub(crate) fn write_system(request: &Request<'_>, object: &mut JsonObject<'_>) {
    let Some(turn) = request.turns.first().filter(|turn| turn.role == Role::System) else {
        return;
    };
    let mut system = object.object("systemInstruction");
    let mut parts = system.list("parts");
    for part in &turn.parts {
        if let PartKind::Text(text) = &part.kind {
            parts.object().text("text", &text.text);
        }
    }
}

/// Writes `contents`.
pub(crate) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    let is_first_system = request.turns.first().is_some_and(|turn| turn.role == Role::System);
    let turns = &request.turns[usize::from(is_first_system)..];
    let (Some(first), Some(last)) = (turns.first(), turns.last()) else {
        return Err(Refused::invalid(request.names.list, "at least one user message is required"));
    };
    if last.role == Role::Assistant {
        let place = last.parts.first().map(|part| part.place).unwrap_or_default();
        return Err(Refused::unsupported(
            request.names.place(place),
            "the last message is of the assistant: the model would answer it, not continue it",
        ));
    }
    let is_gemini_3 = is_gemini_3(target);
    let mut list = object.list("contents");
    if first.role == Role::Assistant {
        losses.change_field(request.names.list);
        let mut content = list.object();
        content.str("role", "user");
        content.list("parts").object().str("text", ".");
    }
    let mut writer = Writer { request, losses, is_gemini_3 };
    for turn in turns {
        match turn.role {
            Role::Assistant => writer.model(turn, &mut list)?,
            Role::User | Role::System => writer.user(turn, &mut list)?,
        }
    }
    Ok(())
}

/// Whether the model is of the third generation, which checks signatures and takes media in the
/// results of tools.
fn is_gemini_3(target: &Target<'_>) -> bool {
    target.facts.thinking == ThinkingForm::Level
}

/// Whether this is a name of a function: it begins with a letter or `_`.
pub(crate) fn is_name(name: &JsonText<'_>) -> bool {
    let name = name.escaped();
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.as_bytes().first().is_some_and(is_start)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
}

/// The rule of [`is_name`], for a caller.
pub(crate) const NAME_RULE: &str =
    "a name of a tool has 1 to 128 of A-Z a-z 0-9 _ - . : and begins with a letter or _";

struct Writer<'w, 'a> {
    request: &'w Request<'a>,
    losses: &'w mut Losses,
    is_gemini_3: bool,
}

impl<'a> Writer<'_, 'a> {
    fn refused(&self, part: &Part<'_>, text: &str) -> Refused {
        Refused::unsupported(self.request.names.place(part.place), text)
    }

    fn model(&mut self, turn: &Turn<'a>, list: &mut JsonList<'_>) -> Result<(), Refused> {
        let mut content = list.object();
        content.str("role", "model");
        let mut parts = content.list("parts");
        let mut is_first_call = true;
        for part in &turn.parts {
            match &part.kind {
                PartKind::ToolCall(call) => {
                    self.call(call, part, is_first_call, &mut parts)?;
                    is_first_call = false;
                }
                PartKind::Reasoning(reasoning) => {
                    let mut object = parts.object();
                    object.text("text", &reasoning.text);
                    object.bool("thought", true);
                    write_signature(reasoning.opaque.as_ref(), &mut object);
                }
                _ => self.part(part, &mut parts)?,
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        call: &ToolCall<'a>,
        part: &Part<'a>,
        is_first: bool,
        parts: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        if !is_name(&call.name) {
            return Err(self.refused(part, NAME_RULE));
        }
        let mut object = parts.object();
        {
            // Without the id: Vertex refuses the key, and the order says it.
            let mut function = object.object("functionCall");
            function.text("name", &call.name);
            let (arguments, is_changed) = call.arguments.as_object_or_raw();
            function.raw("args", &arguments);
            if is_changed {
                self.losses.change_field(self.request.names.arguments);
            }
        }
        match &call.signature {
            None if is_first && self.is_gemini_3 => object.str("thoughtSignature", NO_SIGNATURE),
            signature => write_signature(signature.as_ref(), &mut object),
        }
        Ok(())
    }

    /// Results first, in a turn of their own; then the rest.
    fn user(&mut self, turn: &Turn<'a>, list: &mut JsonList<'_>) -> Result<(), Refused> {
        let is_result = |part: &&Part<'a>| matches!(part.kind, PartKind::ToolResult(_));
        let results = turn.parts.iter().take_while(is_result).count();
        let (results, rest) = turn.parts.split_at(results);
        let mut moved: Vec<&Part<'a>> = Vec::new();
        if !results.is_empty() {
            let mut content = list.object();
            content.str("role", "user");
            let mut parts = content.list("parts");
            for part in results {
                if let PartKind::ToolResult(result) = &part.kind {
                    self.result(result, &mut moved, &mut parts.object())?;
                }
            }
        }
        if moved.is_empty() && rest.is_empty() {
            return Ok(());
        }
        let mut content = list.object();
        content.str("role", "user");
        let mut parts = content.list("parts");
        for part in moved.into_iter().chain(rest) {
            self.part(part, &mut parts)?;
        }
        Ok(())
    }

    /// Writes a result. Media that it cannot hold are put into `moved`.
    fn result<'p>(
        &mut self,
        result: &'p ToolResult<'a>,
        moved: &mut Vec<&'p Part<'a>>,
        object: &mut JsonObject<'_>,
    ) -> Result<(), Refused> {
        let (mut texts, mut media) = (Vec::new(), Vec::new());
        self.flatten(&result.content, &mut texts, &mut media);
        let mut function = object.object("functionResponse");
        function.text("name", &result.name);
        function
            .object("response")
            .text(if result.is_error { "error" } else { "output" }, &JsonText::lines(&texts));
        let is_held = |part: &&Part<'a>| match &part.kind {
            PartKind::Media(media) => matches!(media.source, Source::Base64 { .. }),
            _ => false,
        };
        let (held, others): (Vec<_>, Vec<_>) =
            media.into_iter().partition(|part| self.is_gemini_3 && is_held(part));
        if !held.is_empty() {
            let mut parts = function.list("parts");
            for part in held {
                self.part(part, &mut parts)?;
            }
        }
        if !others.is_empty() {
            self.losses.change_field(self.request.names.result);
            moved.extend(others);
        }
        Ok(())
    }

    /// The texts and the media of a result, or of a document that has parts.
    fn flatten<'p>(
        &mut self,
        content: &'p [Part<'a>],
        texts: &mut Vec<JsonText<'a>>,
        media: &mut Vec<&'p Part<'a>>,
    ) {
        for part in content {
            match &part.kind {
                PartKind::Text(text) => texts.push(text.text.clone()),
                PartKind::SearchResult(result) => texts.push(self.search_result(result)),
                PartKind::Media(inner) => match &inner.source {
                    Source::Text { text, .. } => {
                        self.note_extras(inner);
                        texts.push(text.clone());
                    }
                    Source::Parts(parts) => {
                        self.note_extras(inner);
                        self.flatten(parts, texts, media);
                    }
                    _ => media.push(part),
                },
                _ => {}
            }
        }
    }

    /// A search result as text.
    fn search_result(&mut self, result: &SearchResult<'a>) -> JsonText<'a> {
        if result.citations {
            self.losses.drop_field(self.request.names.citations);
        }
        result.as_text()
    }

    fn part(&mut self, part: &Part<'a>, parts: &mut JsonList<'_>) -> Result<(), Refused> {
        match &part.kind {
            PartKind::Text(text) => {
                let mut object = parts.object();
                object.text("text", &text.text);
                write_signature(text.signature.as_ref(), &mut object);
            }
            PartKind::SearchResult(result) => {
                let text = self.search_result(result);
                parts.object().text("text", &text);
            }
            PartKind::Media(media) => self.media(media, part, parts)?,
            // Written by their turns.
            PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Reasoning(_) => {}
        }
        Ok(())
    }

    fn note_extras(&mut self, media: &Media<'a>) {
        if media.citations {
            self.losses.drop_field(self.request.names.citations);
        }
        if media.context.is_some() {
            self.losses.drop_field(self.request.names.context);
        }
        if media.title.is_some() {
            self.losses.drop_field(self.request.names.title);
        }
    }

    fn media(
        &mut self,
        media: &Media<'a>,
        part: &Part<'a>,
        parts: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        self.note_extras(media);
        match &media.source {
            Source::Base64 { media_type, data } => {
                let mut object = parts.object();
                let mut inline = object.object("inlineData");
                inline.str("mimeType", media_type);
                inline.text("data", data);
            }
            Source::Text { text, .. } => parts.object().text("text", text),
            Source::Parts(inner) => {
                for part in inner {
                    self.part(part, parts)?;
                }
            }
            Source::Url(url) => {
                let Some(media_type) = type_of_url(&url.plain(), media.kind) else {
                    let text = "the type of a file by its address must be told by the end of its \
                                path, such as `.png`; or send the content";
                    return Err(self.refused(part, text));
                };
                let mut object = parts.object();
                let mut file = object.object("fileData");
                file.str("mimeType", media_type);
                file.text("fileUri", url);
            }
            Source::File(_) => {
                let text = "files that another provider keeps cannot be used; send the content";
                return Err(self.refused(part, text));
            }
        }
        Ok(())
    }
}

/// The type of a file by the end of its path, if it is one of the kind that is wanted.
fn type_of_url(url: &str, kind: MediaKind) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    if !["https", "http", "gs"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let path = rest.split(['?', '#']).next()?;
    let (_, file) = path.rsplit_once('/')?;
    let (_, ending) = file.rsplit_once('.')?;
    let (_, media_type) = ENDINGS.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known))?;
    let is_image = media_type.starts_with("image/");
    ((kind == MediaKind::Image) == is_image).then_some(media_type)
}

fn write_signature(signature: Option<&Opaque<'_>>, object: &mut JsonObject<'_>) {
    if let Some(signature) = signature {
        object.text("thoughtSignature", &signature.data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_addresses() {
        for (url, kind, expected) in [
            ("https://example.org/a.PNG", MediaKind::Image, Some("image/png")),
            ("https://example.org/a.b/c.jpg?x=.pdf#y", MediaKind::Image, Some("image/jpeg")),
            ("gs://bucket/a.pdf", MediaKind::Document, Some("application/pdf")),
            ("https://example.org/a.pdf", MediaKind::Image, None),
            ("https://example.org/a.png", MediaKind::Document, None),
            ("https://example.org/a", MediaKind::Image, None),
            ("https://example.png", MediaKind::Image, None),
            ("file:///a.png", MediaKind::Image, None),
            ("a.png", MediaKind::Image, None),
        ] {
            assert_eq!(type_of_url(url, kind), expected, "{url}");
        }
    }

    #[test]
    fn names_of_functions() {
        for (name, expected) in [
            ("get_weather", true),
            ("_a.b:c-1", true),
            ("1st", false),
            ("", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(&JsonText::from_plain(name)), expected, "{name}");
        }
        assert!(!is_name(&JsonText::from_plain("a".repeat(129))));
    }
}
