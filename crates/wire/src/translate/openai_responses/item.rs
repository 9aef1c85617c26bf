//! The items of an answer: messages, reasoning, calls. Whole answers and streams write them alike.

use crate::translate::Context;
use crate::translate::ids::{self, IdRule};
use crate::translate::json::{JsonObject, JsonText};
use crate::translate::neutral::Flattened;
use crate::translate::tools;

/// The id of the item at this place in `output`.
pub(crate) fn id(context: &Context, prefix: &str, output_index: u32) -> String {
    context.ids.mint(prefix, output_index)
}

/// Whether log probabilities were asked for: then the number of alternatives is repeated.
pub(crate) fn wants_logprobs(context: &Context) -> bool {
    context.echo.iter().any(|(name, _)| *name == "top_logprobs")
}

/// A list without its brackets, or nothing.
pub(crate) fn entries(list: &str) -> &str {
    let list = list.trim_ascii();
    let inner = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
    inner.unwrap_or_default().trim_ascii()
}

/// A part of text. `logprobs`: the entries of their list.
pub(crate) fn write_text(text: &JsonText<'_>, logprobs: &str, object: &mut JsonObject<'_>) {
    object.str("type", "output_text");
    object.text("text", text);
    object.list("annotations");
    write_logprobs(logprobs, object);
}

/// The field `logprobs`, which clients expect also when it is empty.
pub(crate) fn write_logprobs(entries: &str, object: &mut JsonObject<'_>) {
    let mut list = object.list("logprobs");
    if !entries.is_empty() {
        list.json(entries.as_bytes());
    }
}

/// A part that says why the model refused.
pub(crate) fn write_refusal(text: &JsonText<'_>, object: &mut JsonObject<'_>) {
    object.str("type", "refusal");
    object.text("refusal", text);
}

/// A message. `parts`: its parts with commas between them.
pub(crate) fn write_message(id: &str, status: &str, parts: &[u8], object: &mut JsonObject<'_>) {
    object.str("id", id);
    object.str("type", "message");
    object.str("role", "assistant");
    object.str("status", status);
    let mut content = object.list("content");
    if !parts.is_empty() {
        content.json(parts);
    }
}

/// A reasoning item. Empty text stands for hidden thinking.
pub(crate) fn write_reasoning(
    id: &str,
    text: &JsonText<'_>,
    carrier: Option<&str>,
    object: &mut JsonObject<'_>,
) {
    object.str("id", id);
    object.str("type", "reasoning");
    {
        let mut summary = object.list("summary");
        if !text.is_empty() {
            let mut part = summary.object();
            part.str("type", "summary_text");
            part.text("text", text);
        }
    }
    if let Some(carrier) = carrier {
        object.str("encrypted_content", carrier);
    }
}

/// A call of a tool, without its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    call_id: String,
    pub(crate) name: JsonText<'static>,
    namespace: Option<String>,
    /// The tool takes free text.
    pub(crate) is_custom: bool,
}

impl Call {
    /// The call with the provider's id and the name under which the tool was sent. `index`: the
    /// calls before it.
    pub(crate) fn new(
        context: &Context,
        output_index: u32,
        index: u32,
        call_id: &JsonText<'_>,
        name: &JsonText<'_>,
    ) -> Call {
        let is_custom = context.is_custom(name);
        let is_this = |flattened: &&Flattened| name.is(&flattened.name);
        let (name, namespace) = match context.flattened.iter().find(is_this) {
            Some(flattened) => {
                (JsonText::from_plain(flattened.tool.clone()), Some(flattened.namespace.clone()))
            }
            None => (name.clone().into_owned(), None),
        };
        let call_id = match call_id.is_empty() {
            true => context.ids.mint("call_", index),
            false => ids::fit(call_id, IdRule::Chat, "call_").into_owned(),
        };
        let prefix = if is_custom { "ctc_" } else { "fc_" };
        Call { id: id(context, prefix, output_index), call_id, name, namespace, is_custom }
    }

    /// The input of the tool, from the text of its arguments. None are an empty object, unless the
    /// answer was cut before they came.
    pub(crate) fn input<'t>(&self, arguments: &'t JsonText<'_>, is_cut: bool) -> JsonText<'t> {
        match (self.is_custom, arguments.is_blank()) {
            (true, true) => JsonText::default(),
            (true, false) => tools::free_text(&arguments.plain()),
            (false, true) if !is_cut => JsonText::literal("{}"),
            (false, _) => arguments.borrow(),
        }
    }

    /// Writes the item. `input`: the text of the arguments, or the free text.
    pub(crate) fn write(&self, status: &str, input: &JsonText<'_>, object: &mut JsonObject<'_>) {
        object.str("id", &self.id);
        object.str("type", if self.is_custom { "custom_tool_call" } else { "function_call" });
        object.str("status", status);
        object.str("call_id", &self.call_id);
        object.text("name", &self.name);
        if let Some(namespace) = &self.namespace {
            object.str("namespace", namespace);
        }
        object.text(if self.is_custom { "input" } else { "arguments" }, input);
    }
}
