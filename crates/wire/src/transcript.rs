//! The text of a streamed answer, put together per choice, for the log.
//!
//! Pure. Holds a bounded number of bytes, choices and tool calls. The text is raw: the log takes it
//! through the redactor only.

use std::borrow::Cow;

use serde::Serialize;

use crate::lenient::{PARTS_MAX, Text};

/// The text so far. Serialises as JSON: `{"choices":[{"index":0,"content":"…"}]}`.
#[derive(Debug, Default, Serialize)]
pub struct Transcript {
    choices: Vec<Choice>,
    #[serde(skip)]
    text_bytes_left: usize,
    #[serde(skip)]
    is_cut: bool,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Choice {
    index: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) refusal: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) finish_reason: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct ToolCall {
    index: u64,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

impl Transcript {
    /// A transcript that holds at most `text_bytes_max` bytes of text.
    pub(crate) fn new(text_bytes_max: usize) -> Transcript {
        Transcript { text_bytes_left: text_bytes_max, ..Transcript::default() }
    }

    /// Some of the text did not fit.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Adds text to a field of a choice.
    pub(crate) fn add(
        &mut self,
        index: u64,
        text: Text<'_>,
        field: impl Fn(&mut Choice) -> &mut String,
    ) {
        if let Text(Some(text)) = text {
            let text = self.fitting(text);
            if let Some(choice) = self.choice(index) {
                field(choice).push_str(&text);
            }
        }
    }

    /// Adds text to a field of a tool call.
    pub(crate) fn add_tool(
        &mut self,
        index: u64,
        call: u64,
        text: Text<'_>,
        field: impl Fn(&mut ToolCall) -> &mut String,
    ) {
        let Text(Some(text)) = text else { return };
        let text = self.fitting(text);
        let Some(choice) = self.choice(index) else { return };
        let at = match choice.tool_calls.iter().position(|t| t.index == call) {
            Some(at) => at,
            None if choice.tool_calls.len() < PARTS_MAX => {
                choice.tool_calls.push(ToolCall { index: call, ..ToolCall::default() });
                choice.tool_calls.len() - 1
            }
            None => return,
        };
        field(&mut choice.tool_calls[at]).push_str(&text);
    }

    /// The number of the next tool call of a choice, in a format that does not number them.
    pub(crate) fn next_tool(&self, index: u64) -> u64 {
        let choice = self.choices.iter().find(|choice| choice.index == index);
        choice.map_or(0, |choice| choice.tool_calls.len() as u64)
    }

    fn choice(&mut self, index: u64) -> Option<&mut Choice> {
        let at = match self.choices.iter().position(|c| c.index == index) {
            Some(at) => at,
            None if self.choices.len() < PARTS_MAX => {
                self.choices.push(Choice { index, ..Choice::default() });
                self.choices.len() - 1
            }
            None => return None,
        };
        self.choices.get_mut(at)
    }

    /// The beginning of `text` that still fits, cut at a character boundary.
    fn fitting<'a>(&mut self, text: Cow<'a, str>) -> Cow<'a, str> {
        if text.len() <= self.text_bytes_left {
            self.text_bytes_left -= text.len();
            return text;
        }
        self.is_cut = true;
        let end = text.floor_char_boundary(self.text_bytes_left);
        self.text_bytes_left = 0;
        Cow::Owned(text[..end].to_owned())
    }
}
