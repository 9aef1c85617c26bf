//! Requests for a count of tokens (`responses/input_tokens`), written for callers of other formats,
//! and their answers. Writes what has tokens: the conversation, the tools and the form of the
//! answer.

use std::borrow::Cow;

use serde::Deserialize;

use crate::translate::error::Invalid;
use crate::translate::ids::{self, IdRule};
use crate::translate::json::{JsonList, JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::media;
use crate::translate::neutral::{
    Answer, Detail, Media, MediaKind, OutputFormat, Part, PartKind, Request, Role, Sink, Source,
    Tool, ToolCall, ToolChoice, ToolKind, ToolResult, Turn,
};
use crate::translate::sides::{Bounds, ReadStream};
use crate::translate::{Context, Operation, Target, Untranslatable, Written, tools};

/// Reads the answer.
pub(crate) fn read(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Count {
        input_tokens: u64,
    }
    serde_json::from_slice::<Count>(body).ok().map(|count| count.input_tokens)
}

/// There is none: nothing is asked of this side but counts.
pub(crate) fn no_answer<'a>(_: &'a str, _: &Context) -> Result<Answer<'a>, Invalid> {
    Err(Invalid::new("there is no translation between the two formats"))
}

/// As [`no_answer`].
pub(crate) fn no_stream(_: &Context, _: Bounds) -> Box<dyn ReadStream> {
    struct NoStream;
    impl ReadStream for NoStream {
        fn event(&mut self, _: &[u8], _: &str, _: &mut Sink<'_>) -> Result<(), Invalid> {
            Err(Invalid::new("there is no translation between the two formats"))
        }
        fn end(&mut self, _: &mut Sink<'_>) -> Result<bool, Invalid> {
            Ok(false)
        }
    }
    Box::new(NoStream)
}

/// Writes a request.
pub(crate) fn write(
    request: &mut Request<'_>,
    target: &Target<'_>,
    operation: Operation,
    losses: &mut Losses,
) -> Result<Written, Refused> {
    if operation != Operation::CountTokens {
        return Err(Refused::unsupported("model", Untranslatable.to_string()));
    }
    tools::leave_out_hosted(request, losses)?;
    let mut body = Vec::with_capacity(1 << 10);
    {
        let mut object = JsonObject::new(&mut body);
        object.str("model", target.model);
        {
            let mut input = object.list("input");
            let mut writer = Writer { request, losses };
            for turn in &request.turns {
                writer.turn(turn, &mut input)?;
            }
        }
        write_tools(request, losses, &mut object);
        write_output(request, &mut object);
        if let Some(effort) = request.effort.take() {
            object.object("reasoning").str("effort", effort.value.word());
        }
    }
    // A switch has no tokens.
    request.thinking = None;
    request.show_thinking = None;
    request.note_rest(losses);
    let path = Cow::Borrowed("/responses/input_tokens");
    Ok(Written { body, path, headers: Vec::new() })
}

struct Writer<'w, 'a> {
    request: &'w Request<'a>,
    losses: &'w mut Losses,
}

impl<'a> Writer<'_, 'a> {
    fn turn(&mut self, turn: &Turn<'a>, input: &mut JsonList<'_>) -> Result<(), Refused> {
        let role = match turn.role {
            Role::System => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let mut said: Vec<&Part<'a>> = Vec::new();
        for part in &turn.parts {
            if part.cache.is_some() {
                self.losses.drop_hint(self.request.names.cache);
            }
            match &part.kind {
                PartKind::ToolResult(result) => self.result(result, input)?,
                PartKind::ToolCall(call) => {
                    self.message(role, &std::mem::take(&mut said), input)?;
                    self.call(call, input);
                }
                PartKind::Reasoning(_) => self.losses.drop_hint("reasoning"),
                _ => said.push(part),
            }
        }
        self.message(role, &said, input)
    }

    fn message(
        &mut self,
        role: &str,
        parts: &[&Part<'a>],
        input: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        if parts.is_empty() {
            return Ok(());
        }
        let mut message = input.object();
        message.str("type", "message");
        message.str("role", role);
        let mut content = message.list("content");
        let kind = if role == "assistant" { "output_text" } else { "input_text" };
        parts.iter().try_for_each(|part| self.part(part, kind, &mut content))
    }

    fn call(&mut self, call: &ToolCall<'a>, input: &mut JsonList<'_>) {
        let mut item = input.object();
        item.str("type", "function_call");
        item.str("call_id", &ids::fit(&call.id, IdRule::Long, "call_"));
        item.text("name", &call.name);
        item.text("arguments", &call.arguments.as_text());
    }

    fn result(&mut self, result: &ToolResult<'a>, input: &mut JsonList<'_>) -> Result<(), Refused> {
        let mut item = input.object();
        item.str("type", "function_call_output");
        item.str("call_id", &ids::fit(&result.call_id, IdRule::Long, "call_"));
        if result.content.is_empty() && !result.is_error {
            item.str("output", "");
            return Ok(());
        }
        let mut output = item.list("output");
        if result.is_error {
            self.losses.change_field(self.request.names.is_error);
            write_text("input_text", &JsonText::literal("Error: "), &mut output);
        }
        result.content.iter().try_for_each(|part| self.part(part, "input_text", &mut output))
    }

    fn part(
        &mut self,
        part: &Part<'a>,
        text_kind: &str,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        match &part.kind {
            PartKind::Text(text) => write_text(text_kind, &text.text, list),
            PartKind::Media(media) => return self.media(media, part, text_kind, list),
            PartKind::SearchResult(result) => {
                if result.citations {
                    self.losses.drop_field(self.request.names.citations);
                }
                write_text(text_kind, &result.as_text(), list);
            }
            // Items of their own.
            PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Reasoning(_) => {}
        }
        Ok(())
    }

    fn media(
        &mut self,
        media: &Media<'a>,
        part: &Part<'a>,
        text_kind: &str,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        if media.citations {
            self.losses.drop_field(self.request.names.citations);
        }
        if media.context.is_some() {
            self.losses.drop_field(self.request.names.context);
        }
        if media.title.is_some() && !matches!(media.source, Source::Base64 { .. }) {
            self.losses.drop_field(self.request.names.title);
        }
        let refused =
            |text: &str| Err(Refused::unsupported(self.request.names.place(part.place), text));
        match (media.kind, &media.source) {
            (_, Source::Text { text, .. }) => write_text(text_kind, text, list),
            (_, Source::Parts(parts)) => {
                for inner in parts {
                    self.part(inner, text_kind, list)?;
                }
            }
            (_, Source::File(_)) => {
                return refused(
                    "files that another provider keeps cannot be used; send the content",
                );
            }
            (MediaKind::Audio, _) => return refused("the tokens of sound cannot be counted"),
            (MediaKind::Image, Source::Url(url)) => write_image(&[url], media.detail, list),
            (MediaKind::Image, Source::Base64 { media_type, data }) => {
                write_image(&[&media::data_url_head(media_type), data], media.detail, list);
            }
            (MediaKind::Document, Source::Url(url)) => {
                let mut object = list.object();
                object.str("type", "input_file");
                object.text("file_url", url);
            }
            (MediaKind::Document, Source::Base64 { media_type, data }) => {
                let mut object = list.object();
                object.str("type", "input_file");
                let name = media.title.clone();
                object.text("filename", &name.unwrap_or(JsonText::literal("document.pdf")));
                object.joined("file_data", &[&media::data_url_head(media_type), data]);
            }
        }
        Ok(())
    }
}

fn write_text(kind: &str, text: &JsonText<'_>, list: &mut JsonList<'_>) {
    let mut object = list.object();
    object.str("type", kind);
    object.text("text", text);
}

fn write_image(url: &[&JsonText<'_>], detail: Option<Detail>, list: &mut JsonList<'_>) {
    let mut object = list.object();
    object.str("type", "input_image");
    object.joined("image_url", url);
    object.str(
        "detail",
        match detail {
            Some(Detail::Low) => "low",
            Some(Detail::High) => "high",
            None => "auto",
        },
    );
}

fn write_tools(request: &mut Request<'_>, losses: &mut Losses, object: &mut JsonObject<'_>) {
    if request.tools.is_empty() {
        return;
    }
    {
        let mut list = object.list("tools");
        for tool in &request.tools {
            write_tool(tool, losses, &mut list.object());
        }
    }
    if let Some(choice) = request.tool_choice.take() {
        match &choice.value {
            ToolChoice::Auto => object.str("tool_choice", "auto"),
            ToolChoice::None => object.str("tool_choice", "none"),
            ToolChoice::Required => object.str("tool_choice", "required"),
            ToolChoice::Named(name) => write_named(name, &mut object.object("tool_choice")),
            ToolChoice::Allowed { names, is_required } => {
                let mut allowed = object.object("tool_choice");
                allowed.str("type", "allowed_tools");
                allowed.str("mode", if *is_required { "required" } else { "auto" });
                let mut list = allowed.list("tools");
                names.iter().for_each(|name| write_named(name, &mut list.object()));
            }
        }
    }
    if let Some(parallel) = request.parallel_tool_calls.take() {
        object.bool("parallel_tool_calls", parallel.value);
    }
}

fn write_named(name: &JsonText<'_>, object: &mut JsonObject<'_>) {
    object.str("type", "function");
    object.text("name", name);
}

fn write_tool(tool: &Tool<'_>, losses: &mut Losses, object: &mut JsonObject<'_>) {
    if tool.cache.is_some() {
        losses.drop_hint(format!("tools[{}].cache_control", tool.index));
    }
    let (name, description, schema, is_strict) = match &tool.kind {
        ToolKind::Function { name, description, schema, strict } => {
            (name, description, tools::schema_or_empty(schema.as_ref()), strict.is_some())
        }
        ToolKind::Custom { name, description, .. } => {
            (name, description, tools::TEXT_SCHEMA, false)
        }
        // Left out before.
        ToolKind::Hosted { .. } => return,
    };
    object.str("type", "function");
    object.text("name", name);
    if let Some(description) = description {
        object.text("description", description);
    }
    object.json("parameters", schema);
    object.bool("strict", is_strict);
}

fn write_output(request: &mut Request<'_>, object: &mut JsonObject<'_>) {
    let Some(output) = request.output.take() else { return };
    let mut text = object.object("text");
    let mut format = text.object("format");
    match output.value {
        OutputFormat::JsonSchema { name, description, schema: Some(schema), strict } => {
            format.str("type", "json_schema");
            format.text("name", &name.unwrap_or_else(|| JsonText::literal("answer")));
            if let Some(description) = description {
                format.text("description", &description.value);
            }
            format.raw("schema", &schema);
            if let Some(strict) = strict {
                format.bool("strict", strict);
            }
        }
        _ => format.str("type", "json_object"),
    }
}
