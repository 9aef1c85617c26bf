//! Every pair of formats between which calls are translated: requests, answers, streams.
//!
//! A cell of the table is a caller's format and a provider's. The inputs are those of the caller's
//! format (`chat`, `messages`, `responses`) and of the provider's (`replies`); each goes to, or
//! comes from, every format of the other side. They are judged by what the documents say: the forms
//! (`valid`), what must be kept (`essence`, `told`), and where a field goes.

mod answers;
mod chat;
mod essence;
mod messages;
mod replies;
mod responses;
pub(crate) mod there_and_back;
mod told;

use serde_json::Value;

use super::valid;
use crate::format::Format::{
    self, AnthropicMessages, BedrockConverse, Gemini, OpenAiChat, OpenAiResponses,
};
use crate::translate::loss::{Losses, Refused};
use crate::translate::{self, Call, Operation, Target, Translated};

/// Requests, and answers, that each cell must have.
const CELL_CASES_MIN: usize = 40;

/// The cells: every pair of different formats that can be translated.
pub(crate) fn cells() -> Vec<(Format, Format)> {
    let all = || Format::ALL.iter().copied();
    let pairs = all().flat_map(|caller| all().map(move |target| (caller, target)));
    pairs
        .filter(|(caller, target)| {
            caller != target && translate::is_possible(*caller, *target, Operation::Generate)
        })
        .collect()
}

/// The target to which the requests of the tables go: one model for each format, without system
/// messages in the middle.
pub(crate) fn target(caller: Format, format: Format) -> Target<'static> {
    let model = match format {
        AnthropicMessages => "claude-sonnet-4-5",
        Gemini => "gemini-3-flash",
        BedrockConverse => "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        _ => "gpt-5.6",
    };
    let mut target = Target::new(format, model);
    // OpenAI itself speaks Responses: who has these translated calls another server.
    target.server.is_openai = caller != OpenAiResponses;
    target
}

pub(crate) fn translated(
    caller: Format,
    target: &Target<'_>,
    body: &str,
) -> Result<Translated, Refused> {
    let call = Call { format: caller, operation: Operation::Generate, id: "call-7", created: 17 };
    translate::request(&call, target, body.as_bytes())
}

/// The form that a provider demands of a request.
pub(crate) fn check_form(format: Format, body: &Value) {
    match format {
        AnthropicMessages => valid::messages_request(body),
        Gemini => valid::gemini::request(body),
        BedrockConverse => valid::bedrock::request(body),
        OpenAiChat => valid::chat_request(body),
        other => panic!("no form of {other:?}"),
    }
}

/// A request, and what becomes of it at each target.
pub(crate) struct Row {
    body: String,
    lost: Vec<(Format, &'static str)>,
    at: Vec<(Format, &'static str, &'static str)>,
    refused: Vec<(Format, &'static str)>,
}

impl Row {
    pub(crate) fn new(body: impl Into<String>) -> Row {
        Row { body: body.into(), lost: Vec::new(), at: Vec::new(), refused: Vec::new() }
    }

    /// The losses at a target: names that are dropped, and `~` before those that are changed.
    pub(crate) fn lost(mut self, to: Format, names: &'static str) -> Row {
        self.lost.push((to, names));
        self
    }

    /// The losses at every target.
    pub(crate) fn lost_everywhere(mut self, names: &'static str) -> Row {
        for to in [AnthropicMessages, Gemini, BedrockConverse, OpenAiChat] {
            self.lost.push((to, names));
        }
        self
    }

    /// A value that stands in the translation, at this place.
    pub(crate) fn at(mut self, to: Format, pointer: &'static str, json: &'static str) -> Row {
        self.at.push((to, pointer, json));
        self
    }

    /// The field for which a target is refused.
    pub(crate) fn refused(mut self, to: Format, param: &'static str) -> Row {
        self.refused.push((to, param));
        self
    }
}

/// The table of a caller's format.
fn rows(caller: Format) -> Vec<Row> {
    match caller {
        OpenAiChat => chat::rows(),
        AnthropicMessages => messages::rows(),
        OpenAiResponses => responses::rows(),
        other => panic!("no requests of {other:?}"),
    }
}

fn names(losses: &Losses) -> String {
    let changed = losses.changed().into_iter().map(|name| format!("~{name}"));
    let all: Vec<String> = losses.dropped().into_iter().map(str::to_owned).chain(changed).collect();
    all.join(" ")
}

fn check_row(caller: Format, to: Format, row: &Row) {
    let seen = translated(caller, &target(caller, to), &row.body);
    let refused = row.refused.iter().find(|(format, _)| *format == to);
    let seen = match (seen, refused) {
        (Err(seen), Some((_, param))) => {
            assert_eq!(seen.param.as_deref(), Some(*param), "{to:?} {}", row.body);
            return;
        }
        (Err(seen), None) => panic!("{to:?} {}: {seen:?}", row.body),
        (Ok(_), Some((_, param))) => panic!("{to:?} {}: not refused for {param}", row.body),
        (Ok(seen), None) => seen,
    };
    let body = super::json(&seen.body);
    check_form(to, &body);
    let expected = row.lost.iter().find(|(format, _)| *format == to).map_or("", |(_, names)| names);
    assert_eq!(names(&seen.losses), expected, "losses: {to:?} {}", row.body);
    check_said(caller, to, row, &seen, &body);
    check_fields(to, row, &body);
}

/// What was said is what the target is told, and its tools are the caller's.
fn check_said(caller: Format, to: Format, row: &Row, seen: &Translated, body: &Value) {
    let given = super::json(row.body.as_bytes());
    let mut ours = essence::of(caller, &given);
    let mut theirs = essence::of(to, body);
    let first = |said: &[String]| said.iter().position(|line| !line.starts_with("system: "));
    // In place, as text of the user.
    if to != OpenAiChat {
        let from = first(&ours.said).unwrap_or(0);
        for line in &mut ours.said[from..] {
            if let Some(words) = line.strip_prefix("system: ") {
                *line = format!("user: <system>{words}</system>");
            }
        }
    }
    // What a format demands, and the losses name: a first turn of the user, text beside a document.
    let changed = seen.losses.changed();
    if changed.contains(&"messages") || changed.contains(&"input") {
        theirs.said.retain(|line| line != "user: .");
    }
    // A mode for JSON where there is none.
    theirs.said.retain(|line| !line.starts_with("system: Answer with one JSON object"));
    assert_eq!(theirs.said, ours.said, "{to:?} {}", row.body);
    if !changed.contains(&"tools") && !changed.contains(&"tool_choice") {
        let is_none = to == BedrockConverse && given["tool_choice"].to_string().contains("none");
        let expected = if is_none { Vec::new() } else { ours.tools };
        assert_eq!(theirs.tools, expected, "{to:?} {}", row.body);
    }
    if to != Gemini {
        for (at, (id, sent)) in ours.ids.iter().zip(&theirs.ids).enumerate() {
            let is_plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            let is_first = !ours.ids[..at].contains(id);
            let is_kept = is_plain && is_first && (1..=40).contains(&id.len());
            assert!(!is_kept || id == sent, "{to:?} {id} {sent}");
        }
    }
}

/// Fields beside the conversation: those that the row names, with these values, and no others.
fn check_fields(to: Format, row: &Row, body: &Value) {
    const TALK: [&str; 12] = [
        "model",
        "messages",
        "contents",
        "system",
        "systemInstruction",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "stream_options",
        "tools",
        "toolConfig",
        "additionalModelResponseFieldPaths",
    ];
    let expected = || row.at.iter().filter(move |(format, _, _)| *format == to);
    for (_, pointer, json) in expected() {
        let seen = body.pointer(pointer).cloned().unwrap_or(Value::Null);
        assert_eq!(seen, super::json(json.as_bytes()), "{to:?} {pointer} {}: {body}", row.body);
    }
    for name in body.as_object().expect("an object").keys() {
        let is_named = expected().any(|(_, at, _)| at.split('/').nth(1) == Some(name));
        assert!(is_named || TALK.contains(&name.as_str()), "{to:?} {name} {}: {body}", row.body);
    }
}

#[test]
fn requests() {
    let mut broken = 0;
    for (caller, to) in cells() {
        for row in rows(caller) {
            // All of them are shown, not only the first.
            broken +=
                usize::from(std::panic::catch_unwind(|| check_row(caller, to, &row)).is_err());
        }
    }
    assert_eq!(broken, 0, "rows that failed");
}

/// A format that is added to the table of sides needs requests and answers here, too.
#[test]
fn every_cell_has_its_cases() {
    let cells = cells();
    assert!(cells.len() >= 10, "{cells:?}");
    for (caller, target) in cells {
        let mut bodies: Vec<String> = rows(caller).into_iter().map(|row| row.body).collect();
        bodies.sort_unstable();
        bodies.dedup();
        let (requests, answers) = (bodies.len(), replies::of(target).len());
        let both = requests.min(answers);
        assert!(both >= CELL_CASES_MIN, "{caller:?} > {target:?}: {requests} and {answers}");
    }
}
