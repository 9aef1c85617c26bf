//! The words of the simulated model: the same for the same question.

use serde_json::{Map, Value, json};

use super::fault::{Script, without_markers};
use super::intent;

/// A question, in the words that all dialects share.
#[derive(Debug, Default)]
pub(crate) struct Question {
    pub(crate) model: String,
    /// Instructions, joined.
    pub(crate) system: String,
    /// The last message of the user.
    pub(crate) user: String,
    /// The answers of the tools, if they are the last message.
    pub(crate) tool_result: Option<String>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: ToolChoice,
    /// Present where the answer has to be JSON; of this schema, if it is an object.
    pub(crate) schema: Option<Value>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stream: bool,
    /// Tokens of the whole prompt.
    pub(crate) prompt_tokens: u64,
}

/// A function that the model may call.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// JSON Schema of its arguments.
    pub(crate) parameters: Value,
}

/// Whether the model has to call one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    #[default]
    Auto,
    None,
    Any,
    Named(String),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Thought {
    /// Empty where a tool is called.
    pub(crate) text: String,
    pub(crate) tool: Option<ToolCall>,
    /// The answer was ended by `max_tokens`.
    pub(crate) cut_short: bool,
    pub(crate) usage: Usage,
}

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// JSON, as text.
    pub(crate) arguments: String,
}

/// Tokens; `cached` is a part of `input`, `reasoning` of `output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

/// The tokens of a text: four bytes each.
pub(crate) fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

const WORDS: [&str; 8] =
    ["the ", "gateway ", "passes ", "tokens ", "along ", "one ", "by ", "one, "];
/// Of the question that an answer quotes.
const QUOTED_CHARS: usize = 160;

/// The answer to a question.
pub(crate) fn think(question: &Question, script: &Script) -> Thought {
    let tool = if script.say.is_some() || script.echo { None } else { tool_call(question) };
    let mut text = if tool.is_some() { String::new() } else { say(question, script) };
    let mut cut_short = false;
    if let Some(most) = question.max_tokens.filter(|most| tokens(&text) > *most) {
        let mut end =
            usize::try_from(most.saturating_mul(4)).map_or(text.len(), |end| end.min(text.len()));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        cut_short = true;
    }
    let said = tokens(&text)
        + tool.as_ref().map_or(0, |tool| tokens(&tool.name) + tokens(&tool.arguments));
    let usage = Usage {
        input: script.input_tokens.unwrap_or(question.prompt_tokens),
        cached: script.cached_tokens.unwrap_or(0),
        output: script.output_tokens.unwrap_or(said),
        reasoning: script.reasoning_tokens.unwrap_or(0),
    };
    Thought { text, tool, cut_short, usage }
}

fn say(question: &Question, script: &Script) -> String {
    if let Some(text) = &script.say {
        return text.clone();
    }
    let user = without_markers(&question.user);
    if script.echo {
        return user;
    }
    if let Some(words) = script.chunks {
        return WORDS.iter().cycle().take(words).copied().collect();
    }
    if let Some(answer) = intent::classify(&question.system, &question.user) {
        return answer;
    }
    if let Some(schema) = &question.schema {
        let sample = if schema.is_object() {
            sample(schema, &user, 0)
        } else {
            json!({"answer": first(&user)})
        };
        return sample.to_string();
    }
    match &question.tool_result {
        Some(result) => format!("The tool answered: {}", first(result)),
        None => format!("This is a simulated answer. You wrote: {}", first(&user)),
    }
}

fn first(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}

fn tool_call(question: &Question) -> Option<ToolCall> {
    if question.tool_result.is_some() {
        return None;
    }
    let asked = question.user.to_lowercase();
    let mentioned = |tool: &&Tool| {
        let name = tool.name.to_lowercase();
        asked.contains(&name)
            || name.split(['_', '-', '.']).any(|word| word.len() > 3 && asked.contains(word))
    };
    let tool = match &question.tool_choice {
        ToolChoice::None => None,
        ToolChoice::Named(name) => question.tools.iter().find(|tool| tool.name == *name),
        ToolChoice::Any => question.tools.iter().find(mentioned).or(question.tools.first()),
        ToolChoice::Auto => question.tools.iter().find(mentioned).or_else(|| {
            let wanted = ["tool", "function"].iter().any(|word| asked.contains(word));
            question.tools.first().filter(|_| wanted)
        }),
    }?;
    let arguments = sample(&tool.parameters, &without_markers(&question.user), 0).to_string();
    Some(ToolCall { name: tool.name.clone(), arguments })
}

/// Deeper schemas are cut off with null.
const SCHEMA_DEPTH_MAX: usize = 16;

/// A value of a JSON Schema, with words of `text` where a string is wanted.
fn sample(schema: &Value, text: &str, depth: usize) -> Value {
    if depth > SCHEMA_DEPTH_MAX {
        return Value::Null;
    }
    if let Some(first) = schema["enum"].get(0).or(schema.get("const")) {
        return first.clone();
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind {
        Some("string") => Value::String(noun(text)),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => match schema.get("items") {
            Some(items) => json!([sample(items, text, depth + 1)]),
            None => json!([]),
        },
        Some("object") | None => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fields: Map<String, Value> = fields
                .map(|(name, field)| (name.clone(), sample(field, text, depth + 1)))
                .collect();
            Value::Object(fields)
        }
        Some(_) => Value::Null,
    }
}

/// The last capitalised word of a text, else its last word: of "What is the weather in Paris?" it
/// is "Paris".
fn noun(text: &str) -> String {
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let all: Vec<&str> = words.by_ref().collect();
    let named = all.iter().skip(1).rev().find(|word| word.starts_with(char::is_uppercase));
    named.or(all.last()).map_or_else(String::new, |word| (*word).to_owned())
}

/// The pieces in which a text is streamed: one word each.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

/// The pieces in which arguments are streamed: a few characters each.
pub(crate) fn argument_pieces(arguments: &str) -> Vec<String> {
    let chars: Vec<char> = arguments.chars().collect();
    chars.chunks(12).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather(user: &str, tool_choice: ToolChoice) -> Question {
        let parameters = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}, "days": {"type": "integer"}}});
        let tools = vec![Tool { name: "get_weather".into(), parameters }];
        Question { user: user.into(), tools, tool_choice, ..Question::default() }
    }

    #[test]
    fn a_tool_is_called_when_the_user_asks_for_it() {
        let expected = json!({"city": "Paris", "unit": "celsius", "days": 1});
        let table = [
            ("What is the weather in Paris today?", ToolChoice::Auto, true),
            ("Say hello to Paris", ToolChoice::Auto, false),
            ("Say hello to Paris", ToolChoice::Any, true),
            ("Say hello to Paris", ToolChoice::Named("get_weather".into()), true),
            ("The weather in Paris", ToolChoice::None, false),
            ("The weather in Paris", ToolChoice::Named("other".into()), false),
        ];
        for (user, choice, called) in table {
            let shown = format!("{user} {choice:?}");
            let thought = think(&weather(user, choice), &Script::default());
            assert_eq!(thought.tool.is_some(), called, "{shown}");
            assert_eq!(thought.text.is_empty(), called, "{shown}");
            if let Some(tool) = thought.tool {
                assert_eq!(
                    serde_json::from_str::<Value>(&tool.arguments).unwrap(),
                    expected,
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn answers_follow_script_and_limits() {
        let mut question = Question {
            user: "hi [[mock:echo]] there".into(),
            prompt_tokens: 9,
            ..Question::default()
        };
        let echo = Script { echo: true, ..Script::default() };
        assert_eq!(think(&question, &echo).text, "hi  there");
        let words = Script { chunks: Some(11), ..Script::default() };
        assert_eq!(pieces(&think(&question, &words).text).count(), 11);
        question.max_tokens = Some(1);
        let short = think(&question, &echo);
        assert_eq!(
            (short.text.as_str(), short.cut_short, short.usage.output, short.usage.input),
            ("hi  ", true, 1, 9)
        );
        // A limit inside a character gives the character up.
        question.user = "ääää".into();
        question.max_tokens = Some(1);
        assert_eq!(think(&question, &echo).text, "ää");
        question.schema =
            Some(json!({"type": "object", "properties": {"ok": {"type": "boolean"}}}));
        question.max_tokens = None;
        assert_eq!(think(&question, &Script::default()).text, r#"{"ok":true}"#);
    }
}
