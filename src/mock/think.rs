//! The words of the simulated model: the same for the same question.

use serde_json::{Value, json};

use super::fault::{Script, without_markers};
use super::intent;
use super::sample::sample;

/// A question, in the words that all formats share.
#[derive(Debug, Default)]
pub(crate) struct Question {
    pub(crate) model: String,
    /// Instructions, joined.
    pub(crate) system: String,
    /// The last message of the user.
    pub(crate) user: String,
    /// The answers of the tools, if they are the last message.
    pub(crate) tool_results: Vec<String>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: ToolChoice,
    /// At most one call in an answer.
    pub(crate) one_call: bool,
    /// Present where the answer has to be JSON; of this schema, if it is an object.
    pub(crate) schema: Option<Value>,
    /// Media types of the images and files in the last message of the user.
    pub(crate) media: Vec<String>,
    /// The model is to think first.
    pub(crate) thinks: bool,
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

impl Tool {
    /// A tool of a list in a request; `None` if it has no name.
    pub(crate) fn new(name: &Value, parameters: &Value) -> Option<Tool> {
        Some(Tool { name: name.as_str()?.to_owned(), parameters: parameters.clone() })
    }
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

impl ToolChoice {
    /// The meaning of a word, or of an object with a `type`, and the name of the tool if there is
    /// one.
    pub(crate) fn of(choice: &Value, name: &Value) -> ToolChoice {
        match (choice.as_str().or(choice["type"].as_str()), name.as_str()) {
            (_, Some(name)) => ToolChoice::Named(name.to_owned()),
            (Some("none"), _) => ToolChoice::None,
            (Some("required" | "any"), _) => ToolChoice::Any,
            _ => ToolChoice::Auto,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Thought {
    /// Empty where the model was not to think.
    pub(crate) thinking: String,
    /// Empty where tools are called.
    pub(crate) text: String,
    pub(crate) calls: Vec<ToolCall>,
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

impl ToolCall {
    /// The arguments as an object.
    pub(crate) fn input(&self) -> Value {
        serde_json::from_str(&self.arguments).unwrap_or_else(|_| json!({}))
    }
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

/// Calls of one answer.
const CALLS_MAX: usize = 8;

/// The answer to a question.
pub(crate) fn think(question: &Question, script: &Script) -> Thought {
    let calls = if script.say.is_some() || script.echo { vec![] } else { calls(question) };
    let mut text = if calls.is_empty() { say(question, script) } else { String::new() };
    let thinking = if question.thinks {
        format!("The question is: {}", first(&without_markers(&question.user)))
    } else {
        String::new()
    };
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
    let called: u64 = calls.iter().map(|call| tokens(&call.name) + tokens(&call.arguments)).sum();
    let said = tokens(&text) + tokens(&thinking) + called;
    let usage = Usage {
        input: script.input_tokens.unwrap_or(question.prompt_tokens),
        cached: script.cached_tokens.unwrap_or(0),
        output: script.output_tokens.unwrap_or(said),
        reasoning: script.reasoning_tokens.unwrap_or_else(|| tokens(&thinking)),
    };
    Thought { thinking, text, calls, cut_short, usage }
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
            sample(schema, &user)
        } else {
            json!({"answer": first(&user)})
        };
        return sample.to_string();
    }
    let media = match question.media.as_slice() {
        [] => String::new(),
        media => format!("I was sent {}. ", media.join(" and ")),
    };
    match question.tool_results.as_slice() {
        [] => format!("{media}This is a simulated answer. You wrote: {}", first(&user)),
        [result] => format!("{media}The tool answered: {}", first(result)),
        results => format!("{media}The tools answered: {}", first(&results.join("; "))),
    }
}

fn first(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}

/// The calls that the user asks for: one of each tool that the text mentions, in the order of the
/// text, and one for each of two names ("in Paris and Rome") behind it.
fn calls(question: &Question) -> Vec<ToolCall> {
    if !question.tool_results.is_empty() || question.tool_choice == ToolChoice::None {
        return vec![];
    }
    let user = without_markers(&question.user);
    let asked = user.to_lowercase();
    let mut mentioned: Vec<(usize, &Tool)> =
        question.tools.iter().filter_map(|tool| Some((mention(&asked, tool)?, tool))).collect();
    mentioned.sort_by_key(|(at, _)| *at);
    match &question.tool_choice {
        ToolChoice::Named(name) => {
            mentioned = question
                .tools
                .iter()
                .filter(|tool| tool.name == *name)
                .map(|tool| (0, tool))
                .collect();
        }
        ToolChoice::Any if mentioned.is_empty() => {
            mentioned = question.tools.first().map(|tool| (0, tool)).into_iter().collect();
        }
        ToolChoice::Auto if mentioned.is_empty() => {
            let wanted = ["tool", "function"].iter().any(|word| asked.contains(word));
            let first = question.tools.first().filter(|_| wanted);
            mentioned = first.map(|tool| (0, tool)).into_iter().collect();
        }
        _ => {}
    }
    let mut calls = vec![];
    for (index, (_, tool)) in mentioned.iter().enumerate() {
        // The names behind this tool's mention, and before the next.
        let from = if index == 0 { 0 } else { mentioned[index].0 };
        let to = mentioned.get(index + 1).map_or(asked.len(), |(at, _)| *at);
        let about = user.get(from..to).unwrap_or(&user);
        for noun in nouns(about) {
            let arguments = sample(&tool.parameters, &noun).to_string();
            calls.push(ToolCall { name: tool.name.clone(), arguments });
        }
    }
    calls.truncate(if question.one_call { 1 } else { CALLS_MAX });
    calls
}

/// Where a text mentions a tool: by its name, or by a longer word of it.
fn mention(asked: &str, tool: &Tool) -> Option<usize> {
    let name = tool.name.to_lowercase();
    asked.find(&name).or_else(|| {
        let words = name.split(['_', '-', '.']).filter(|word| word.len() > 3);
        words.filter_map(|word| asked.find(word)).min()
    })
}

/// The texts that the arguments of calls are made of: both names of "Paris and Rome", else the
/// text itself.
fn nouns(text: &str) -> Vec<String> {
    let is_name = |word: &str| word.starts_with(char::is_uppercase);
    let words: Vec<&str> = text.split_whitespace().collect();
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let pair = words.windows(3).find(|w| is_name(w[0]) && w[1] == "and" && is_name(w[2]));
    pair.map_or_else(|| vec![text.to_owned()], |pair| vec![bare(pair[0]), bare(pair[2])])
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
            assert_eq!(thought.calls.len(), usize::from(called), "{shown}");
            assert_eq!(thought.text.is_empty(), called, "{shown}");
            assert!(thought.calls.iter().all(|call| call.input() == expected), "{shown}");
        }
    }

    #[test]
    fn several_calls_are_made_where_the_text_asks_for_them() {
        let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let ask = |user: &str, one_call| {
            let tools = [&json!("get_weather"), &json!("get_time")]
                .into_iter()
                .filter_map(|name| Tool::new(name, &city))
                .collect();
            let question = Question { user: user.into(), tools, one_call, ..Question::default() };
            let calls = think(&question, &Script::default()).calls;
            let shown = calls.iter().map(|call| format!("{} {}", call.name, call.input()["city"]));
            shown.collect::<Vec<_>>().join(", ").replace('"', "")
        };
        let both = "get_weather Paris, get_time Tokyo";
        assert_eq!(ask("What is the weather in Paris and the time in Tokyo?", false), both);
        let two = "get_weather Paris, get_weather Rome";
        assert_eq!(ask("The weather in Paris and Rome, please", false), two);
        assert_eq!(ask("The weather in Paris and Rome, please", true), "get_weather Paris");
        assert_eq!(ask("Nothing", false), "");
    }

    #[test]
    fn thinking_and_media_are_named() {
        let question = Question {
            user: "Look".into(),
            thinks: true,
            media: vec!["image/png".into()],
            ..Question::default()
        };
        let thought = think(&question, &Script::default());
        assert_eq!(thought.thinking, "The question is: Look");
        assert_eq!(
            thought.text,
            "I was sent image/png. This is a simulated answer. You wrote: Look"
        );
        assert_eq!((thought.usage.reasoning, thought.usage.output), (6, 6 + 17));
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
