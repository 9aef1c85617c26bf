//! Writes the turns as `messages`.

use crate::translate::Target;
use crate::translate::ids::{self, IdRule};
use crate::translate::json::{JsonList, JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::marks::Marks;
use crate::translate::media;
use crate::translate::neutral::{
    Arguments, CacheMark, Detail, Media, MediaKind, Opaque, Part, PartKind, Request, Role,
    SearchResult, Source, ToolCall, ToolResult, Turn, Vendor,
};

use super::super::answer;

/// Writes the field `messages`.
pub(crate) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    if request.turns.last().is_some_and(|turn| turn.role == Role::Assistant) {
        let place = request.turns.last().and_then(|turn| turn.parts.first()).map(|part| part.place);
        return Err(Refused::unsupported(
            request.names.place(place.unwrap_or_default()),
            "the last message is of the assistant: the model would answer it, not continue it",
        ));
    }
    if !request.turns.iter().any(|turn| turn.role == Role::User) {
        return Err(Refused::invalid(request.names.list, "at least one user message is required"));
    }
    let turns = request.turns.iter().filter(|turn| turn.role != Role::Assistant);
    let is_written = |part: &&Part<'_>| part.cache.is_some() && has_room_for_mark(part);
    let count = turns.flat_map(|turn| &turn.parts).filter(is_written).count();
    let marks = Marks::new(count, target.server.is_openai && target.facts.cache_marks);
    let mut writer = Writer { request, target, losses, marks };
    let mut list = object.list("messages");
    for (index, turn) in request.turns.iter().enumerate() {
        match turn.role {
            Role::System if index == 0 => writer.plain("system", &turn.parts, &mut list)?,
            Role::System if target.server.is_openai => {
                writer.plain("developer", &turn.parts, &mut list)?;
            }
            Role::System => writer.plain("system", &turn.parts, &mut list)?,
            Role::User => writer.user(turn, &mut list)?,
            Role::Assistant => writer.assistant(turn, &mut list)?,
        }
    }
    Ok(())
}

struct Writer<'w, 'a> {
    request: &'w Request<'a>,
    target: &'w Target<'w>,
    losses: &'w mut Losses,
    marks: Marks,
}

/// Whether a part becomes one that can have a mark.
fn has_room_for_mark(part: &Part<'_>) -> bool {
    match &part.kind {
        PartKind::Text(_) | PartKind::SearchResult(_) => true,
        PartKind::Media(media) => !matches!(media.source, Source::Parts(_)),
        PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Reasoning(_) => false,
    }
}

impl<'a> Writer<'_, 'a> {
    /// A message of texts and media: a string, if it is one text.
    fn plain<'p>(
        &mut self,
        role: &str,
        parts: impl IntoIterator<Item = &'p Part<'a>>,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused>
    where
        'a: 'p,
    {
        let parts: Vec<&Part<'a>> = parts.into_iter().collect();
        let mut message = list.object();
        message.str("role", role);
        if let [Part { kind: PartKind::Text(text), cache, .. }] = parts[..]
            && (cache.is_none() || !self.marks.are_taken())
        {
            self.leave_out_mark(cache.is_some());
            message.text("content", &text.text);
            return Ok(());
        }
        let mut content = message.list("content");
        for part in parts {
            self.part(part, &mut content)?;
        }
        Ok(())
    }

    /// Results first, then what stands beside them, then the rest.
    fn user(&mut self, turn: &Turn<'a>, list: &mut JsonList<'_>) -> Result<(), Refused> {
        let mut moved: Vec<&Part<'a>> = Vec::new();
        let mut rest: Vec<&Part<'a>> = Vec::new();
        for part in &turn.parts {
            let PartKind::ToolResult(result) = &part.kind else {
                rest.push(part);
                continue;
            };
            self.leave_out_mark(part.is_marked());
            self.result(result, list);
            let media =
                result.content.iter().filter(|part| matches!(part.kind, PartKind::Media(_)));
            moved.extend(media);
        }
        if !moved.is_empty() {
            self.losses.change_field(self.request.names.result);
        }
        moved.extend(rest);
        if moved.is_empty() { Ok(()) } else { self.plain("user", moved, list) }
    }

    fn result(&mut self, result: &ToolResult<'a>, list: &mut JsonList<'_>) {
        let mut message = list.object();
        message.str("role", "tool");
        message.str("tool_call_id", &ids::fit(&result.call_id, IdRule::Chat, "call_"));
        let mut texts: Vec<JsonText<'_>> = Vec::new();
        for part in &result.content {
            match &part.kind {
                PartKind::Text(text) => texts.push(text.text.borrow()),
                PartKind::SearchResult(result) => texts.push(self.search_result(result)),
                _ => {}
            }
        }
        if result.is_error {
            self.losses.change_field(self.request.names.is_error);
            let mut first = JsonText::literal("Error: ");
            match texts.first_mut() {
                Some(text) => {
                    first.push(text);
                    *text = first;
                }
                None => texts.push(JsonText::literal("Error")),
            }
        }
        match &texts[..] {
            [] => message.str("content", ""),
            [text] => message.text("content", text),
            several if self.target.server.is_openai => {
                let mut content = message.list("content");
                for text in several {
                    let mut part = content.object();
                    part.str("type", "text");
                    part.text("text", text);
                }
            }
            several => message.text("content", &JsonText::lines(several)),
        }
    }

    /// A search result as text.
    fn search_result(&mut self, result: &SearchResult<'a>) -> JsonText<'a> {
        if result.citations {
            self.losses.drop_field(self.request.names.citations);
        }
        result.as_text()
    }

    fn assistant(&mut self, turn: &Turn<'a>, list: &mut JsonList<'_>) -> Result<(), Refused> {
        let mut thinking = JsonText::default();
        let mut texts: Vec<&Part<'a>> = Vec::new();
        let mut calls: Vec<&ToolCall<'a>> = Vec::new();
        let mut signature: Option<&Opaque<'a>> = None;
        for part in &turn.parts {
            self.leave_out_mark(part.cache.is_some());
            match &part.kind {
                PartKind::Reasoning(reasoning) => {
                    if self.target.server.reasoning_back && !reasoning.text.is_empty() {
                        thinking.push(&reasoning.text);
                    } else {
                        self.losses.drop_hint("reasoning");
                    }
                }
                PartKind::Text(text) => {
                    signature = self.own(text.signature.as_ref()).or(signature);
                    if !text.text.is_empty() || text.signature.is_none() {
                        texts.push(part);
                    }
                }
                PartKind::ToolCall(call) => calls.push(call),
                _ => {
                    let text = "the model's provider takes only text and calls of the assistant";
                    return Err(Refused::unsupported(self.request.names.place(part.place), text));
                }
            }
        }
        if texts.is_empty() && calls.is_empty() {
            return Ok(());
        }
        let mut message = list.object();
        message.str("role", "assistant");
        if !thinking.is_empty() {
            message.text("reasoning_content", &thinking);
        }
        write_said(&texts, &mut message);
        if !calls.is_empty() {
            let mut list = message.list("tool_calls");
            for call in calls {
                self.call(call, &mut list.object());
            }
        }
        if let Some(signature) = signature {
            answer::write_signature(signature, &mut message);
        }
        Ok(())
    }

    fn call(&mut self, call: &ToolCall<'a>, object: &mut JsonObject<'_>) {
        object.str("id", &ids::fit(&call.id, IdRule::Chat, "call_"));
        match &call.arguments {
            Arguments::Custom(input) if self.target.server.is_openai => {
                object.str("type", "custom");
                let mut custom = object.object("custom");
                custom.text("name", &call.name);
                custom.text("input", input);
            }
            arguments => {
                object.str("type", "function");
                let mut function = object.object("function");
                function.text("name", &call.name);
                function.text("arguments", &arguments.as_text());
            }
        }
        if let Some(signature) = self.own(call.signature.as_ref()) {
            answer::write_signature(signature, object);
        }
    }

    /// A signature that the model itself has made: of Gemini behind a server of this format.
    fn own<'o>(&mut self, signature: Option<&'o Opaque<'a>>) -> Option<&'o Opaque<'a>> {
        let signature = signature?;
        if signature.vendor == Vendor::Google && self.target.facts.vendor == Vendor::Google {
            return Some(signature);
        }
        self.losses.drop_hint("reasoning");
        None
    }

    fn part(&mut self, part: &Part<'a>, list: &mut JsonList<'_>) -> Result<(), Refused> {
        match &part.kind {
            PartKind::Media(media) => return self.media(media, part, list),
            PartKind::Text(text) => {
                let mut object = list.object();
                object.str("type", "text");
                object.text("text", &text.text);
                self.mark(part.cache, &mut object);
            }
            PartKind::SearchResult(result) => {
                let text = self.search_result(result);
                let mut object = list.object();
                object.str("type", "text");
                object.text("text", &text);
                self.mark(part.cache, &mut object);
            }
            // Of other turns.
            PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Reasoning(_) => {}
        }
        Ok(())
    }

    fn media(
        &mut self,
        media: &Media<'a>,
        part: &Part<'a>,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        if media.citations {
            self.losses.drop_field(self.request.names.citations);
        }
        if media.context.is_some() {
            self.losses.drop_field(self.request.names.context);
        }
        // Only a file has a name.
        if media.title.is_some() && !matches!(media.source, Source::Base64 { .. }) {
            self.losses.drop_field(self.request.names.title);
        }
        let refused =
            |text: &str| Err(Refused::unsupported(self.request.names.place(part.place), text));
        match (media.kind, &media.source) {
            (_, Source::File(_)) => {
                return refused(
                    "files that another provider keeps cannot be used; send the content",
                );
            }
            (MediaKind::Image, Source::Url(url)) => {
                let mut object = list.object();
                object.str("type", "image_url");
                write_image(&[url], media.detail, &mut object);
                self.mark(part.cache, &mut object);
            }
            (_, Source::Url(_)) => {
                return refused("documents by their address cannot be used; send the content");
            }
            (kind, Source::Base64 { media_type, data }) => {
                let mut object = list.object();
                write_base64(kind, media_type, data, media, &mut object);
                self.mark(part.cache, &mut object);
            }
            (_, Source::Text { text, .. }) => {
                let mut object = list.object();
                object.str("type", "text");
                object.text("text", text);
                self.mark(part.cache, &mut object);
            }
            (_, Source::Parts(parts)) => {
                for inner in parts {
                    self.part(inner, list)?;
                }
                self.leave_out_mark(part.cache.is_some());
            }
        }
        Ok(())
    }

    /// Writes the cache mark of a part, if the server takes marks.
    fn mark(&mut self, mark: Option<CacheMark>, object: &mut JsonObject<'_>) {
        if self.marks.next(mark, self.request.names.cache, self.losses).is_some() {
            let mut mark = object.object("prompt_cache_breakpoint");
            mark.str("mode", "explicit");
            mark.str("ttl", "30m");
        }
    }

    fn leave_out_mark(&mut self, is_marked: bool) {
        if is_marked {
            self.losses.drop_hint(self.request.names.cache);
        }
    }
}

/// The texts of an assistant message: a string where there is one, null where there is none.
fn write_said(texts: &[&Part<'_>], message: &mut JsonObject<'_>) {
    match texts {
        [] => message.null("content"),
        [Part { kind: PartKind::Text(text), .. }] if !text.is_refusal => {
            message.text("content", &text.text);
        }
        several => {
            let mut content = message.list("content");
            for part in several {
                let PartKind::Text(text) = &part.kind else { continue };
                let name = if text.is_refusal { "refusal" } else { "text" };
                let mut object = content.object();
                object.str("type", name);
                object.text(name, &text.text);
            }
        }
    }
}

fn write_image(url: &[&JsonText<'_>], detail: Option<Detail>, object: &mut JsonObject<'_>) {
    let mut image = object.object("image_url");
    image.joined("url", url);
    match detail {
        Some(Detail::Low) => image.str("detail", "low"),
        Some(Detail::High) => image.str("detail", "high"),
        None => {}
    }
}

fn write_base64(
    kind: MediaKind,
    media_type: &str,
    data: &JsonText<'_>,
    media: &Media<'_>,
    object: &mut JsonObject<'_>,
) {
    let head = media::data_url_head(media_type);
    match kind {
        MediaKind::Image => {
            object.str("type", "image_url");
            write_image(&[&head, data], media.detail, object);
        }
        MediaKind::Document => {
            object.str("type", "file");
            let mut file = object.object("file");
            match &media.title {
                Some(title) => file.text("filename", title),
                None => file.str("filename", "document.pdf"),
            }
            file.joined("file_data", &[&head, data]);
        }
        MediaKind::Audio => {
            object.str("type", "input_audio");
            let mut audio = object.object("input_audio");
            audio.text("data", data);
            audio.str("format", media_type.strip_prefix("audio/").unwrap_or(media_type));
        }
    }
}
