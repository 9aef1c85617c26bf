//! A request in neutral form.

use std::borrow::Cow;
use std::fmt;

use super::part::{CacheMark, Part, Place};
use crate::translate::json::{JsonText, Number, Raw};
use crate::translate::loss::Losses;

/// A value, and the name of its field in the caller's request: `max_completion_tokens`,
/// `output_config.effort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<T> {
    /// The caller's name.
    pub name: &'static str,
    /// The value.
    pub value: T,
}

impl<T> Field<T> {
    /// A field with this name, if there is a value.
    pub fn some(name: &'static str, value: Option<T>) -> Option<Field<T>> {
        value.map(|value| Field { name, value })
    }
}

/// A request in neutral form.
///
/// Invariant after `history::settle`: neighbouring turns differ in their role;
/// in a user turn the results of tools stand first, in the order of the calls; each result belongs
/// to a call of the assistant turn before it, and each call that is followed by a turn has a
/// result.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The caller's names of what is not a field of its own.
    pub names: Names,
    /// The model that the caller named. The target has its own.
    pub model: JsonText<'a>,
    /// The answer is to be streamed.
    pub stream: bool,
    /// The caller asked for a usage event (`stream_options.include_usage`). Formats that always
    /// report usage set it.
    pub include_usage: bool,
    /// The conversation. System turns stand where the caller put them: those at the beginning are
    /// the system prompt.
    pub turns: Vec<Turn<'a>>,
    /// The tools; an empty list is none.
    pub tools: Vec<Tool<'a>>,
    /// Which tool is to be called.
    pub tool_choice: Option<Field<ToolChoice<'a>>>,
    /// Whether several tools may be called at once.
    pub parallel_tool_calls: Option<Field<bool>>,
    /// The form of the answer's text.
    pub output: Option<Field<OutputFormat<'a>>>,
    /// The bound on the answer.
    pub max_tokens: Option<Field<u64>>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<Field<Number<'a>>>,
    /// Nucleus sampling.
    pub top_p: Option<Field<Number<'a>>>,
    /// Sampling of the best tokens only.
    pub top_k: Option<Field<Number<'a>>>,
    /// Texts that end the answer.
    pub stop: Option<Field<Vec<JsonText<'a>>>>,
    /// The number of answers, if it is not 1.
    pub n: Option<Field<u64>>,
    /// Seed of the sampling.
    pub seed: Option<Field<Number<'a>>>,
    /// Penalty on tokens that have appeared.
    pub presence_penalty: Option<Field<Number<'a>>>,
    /// Penalty on tokens by their frequency.
    pub frequency_penalty: Option<Field<Number<'a>>>,
    /// Whether log probabilities are wanted; only `true` is kept.
    pub logprobs: Option<Field<bool>>,
    /// The number of alternatives with their log probabilities.
    pub top_logprobs: Option<Field<u64>>,
    /// How much the model is to think.
    pub effort: Option<Field<Effort>>,
    /// How thinking is switched (Anthropic's `thinking`).
    pub thinking: Option<Field<Thinking>>,
    /// The text of the thinking is wanted: `reasoning.summary`, `thinking.display: summarized`.
    pub show_thinking: Option<Field<bool>>,
    /// The caller's name for its end user, or for who is to be held to account.
    pub user: Option<Field<JsonText<'a>>>,
    /// OpenAI's newer name for it; wins over `user`.
    pub safety_identifier: Option<Field<JsonText<'a>>>,
    /// Pairs of the caller's own, an object of strings.
    pub metadata: Option<Field<Raw<'a>>>,
    /// The tier that is asked for; a word that says nothing (`auto` of OpenAI) may be left out.
    pub service_tier: Option<Field<Tier>>,
    /// How long the answer is to be: `low`, `medium`, `high`.
    pub verbosity: Option<Field<JsonText<'a>>>,
    /// A key by which a prompt cache finds the prompt. A hint.
    pub prompt_cache_key: Option<Field<JsonText<'a>>>,
    /// A cache mark on the whole request (Anthropic's top-level `cache_control`). A hint.
    pub cache: Option<Field<CacheMark>>,
    /// Names of functions whose caller did not say whether they are strict, in a format where they
    /// then are if their schema allows it (Responses).
    pub strict_by_default: Vec<JsonText<'a>>,
    /// Names of tools that were flattened, and their parts: `ns__name`.
    pub flattened: Vec<Flattened>,
    /// Fields of the request that the caller's format repeats in its answer, as JSON.
    pub echo: Vec<(&'static str, Raw<'a>)>,
}

impl Request<'_> {
    /// Notes the fields that a writer has not taken: it takes (`Option::take`) those that it
    /// expresses. The bound on the answer is not among them: every format has one.
    pub fn note_rest(&mut self, losses: &mut Losses) {
        fn noted<T>(losses: &mut Losses, field: &mut Option<Field<T>>) {
            if let Some(field) = field.take() {
                losses.drop_field(field.name);
            }
        }
        noted(losses, &mut self.tool_choice);
        noted(losses, &mut self.parallel_tool_calls);
        noted(losses, &mut self.output);
        noted(losses, &mut self.temperature);
        noted(losses, &mut self.top_p);
        noted(losses, &mut self.top_k);
        noted(losses, &mut self.stop);
        noted(losses, &mut self.n);
        noted(losses, &mut self.seed);
        noted(losses, &mut self.presence_penalty);
        noted(losses, &mut self.frequency_penalty);
        noted(losses, &mut self.logprobs);
        noted(losses, &mut self.top_logprobs);
        noted(losses, &mut self.effort);
        noted(losses, &mut self.thinking);
        noted(losses, &mut self.show_thinking);
        noted(losses, &mut self.user);
        noted(losses, &mut self.safety_identifier);
        noted(losses, &mut self.metadata);
        noted(losses, &mut self.service_tier);
        noted(losses, &mut self.verbosity);
        let (key, cache) = (self.prompt_cache_key.take(), self.cache.take());
        let hints = key.map(|field| field.name).into_iter().chain(cache.map(|field| field.name));
        hints.for_each(|name| losses.drop_hint(name));
    }
}

/// The caller's names of parts of the conversation, for losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The list of messages: `messages`, `input`.
    pub list: &'static str,
    /// The instructions beside the list: `system`, `instructions`.
    pub system: &'static str,
    /// The arguments of a call.
    pub arguments: &'static str,
    /// The content of a tool's result.
    pub result: &'static str,
    /// The mark that a tool's result is an error; empty if the format has none.
    pub is_error: &'static str,
    /// How closely an image is looked at; empty if the format has nothing of the kind.
    pub detail: &'static str,
    /// The wish for citations; empty if the format has none.
    pub citations: &'static str,
    /// The title or file name of a document.
    pub title: &'static str,
    /// A note on a document; empty if the format has none.
    pub context: &'static str,
    /// A cache mark.
    pub cache: &'static str,
}

impl Names {
    /// The name of a place: `messages[3].content[0]`.
    pub fn place(&self, place: Place) -> String {
        self.shown(place).to_string()
    }

    /// As [`Names::place`], not written yet.
    pub fn shown(&self, place: Place) -> ShownPlace<'_> {
        ShownPlace { names: self, place }
    }
}

/// A place that can be shown under its name.
#[derive(Clone, Copy, Debug)]
pub struct ShownPlace<'n> {
    names: &'n Names,
    place: Place,
}

impl fmt::Display for ShownPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.names.list;
        match (self.place.message, self.place.part) {
            (None, _) => f.write_str(self.names.system),
            (Some(message), None) => write!(f, "{list}[{message}]"),
            (Some(message), Some(part)) => write!(f, "{list}[{message}].content[{part}]"),
        }
    }
}

/// The name of a tool in a namespace, as one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flattened {
    /// `ns__name`.
    pub name: String,
    /// `ns`.
    pub namespace: String,
    /// `name`.
    pub tool: String,
}

/// The author of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application.
    System,
    /// The user, and the results of tools.
    #[default]
    User,
    /// The model.
    Assistant,
}

/// The parts of one author, up to the next author.
#[derive(Clone, Debug, Default)]
pub struct Turn<'a> {
    /// Its author.
    pub role: Role,
    /// Its parts, in order.
    pub parts: Vec<Part<'a>>,
}

/// A tool of the request.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// Its index in the caller's list, for names like `tools[2].function.strict`.
    pub index: usize,
    /// Its kind.
    pub kind: ToolKind<'a>,
    /// A cache mark after it.
    pub cache: Option<CacheMark>,
}

/// The kinds of tools.
#[derive(Clone, Debug)]
pub enum ToolKind<'a> {
    /// A function with a JSON Schema of its arguments.
    Function {
        /// Its name.
        name: JsonText<'a>,
        /// Its description; never blank.
        description: Option<JsonText<'a>>,
        /// The schema; `None` if the caller gave none.
        schema: Option<Raw<'a>>,
        /// The caller's name of a `strict` field that is true: `function.strict`.
        strict: Option<&'static str>,
    },
    /// A tool that takes free text. To other formats it is a function with one string, `input`.
    Custom {
        /// Its name.
        name: JsonText<'a>,
        /// Its description; never blank.
        description: Option<JsonText<'a>>,
        /// The form of the text, as the caller gave it. The name: `custom.format`.
        grammar: Option<Field<Raw<'a>>>,
    },
    /// A tool that the provider runs itself, or knows by heart.
    Hosted {
        /// Its type: `web_search`, `bash_20250124`.
        kind: Cow<'a, str>,
        /// Its name, where it has one.
        name: Option<JsonText<'a>>,
    },
}

impl<'a> Tool<'a> {
    /// Its name; `None` for a hosted tool without a name.
    pub fn name(&self) -> Option<&JsonText<'a>> {
        match &self.kind {
            ToolKind::Function { name, .. } | ToolKind::Custom { name, .. } => Some(name),
            ToolKind::Hosted { name, .. } => name.as_ref(),
        }
    }
}

/// Which tool is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// Some tool.
    Required,
    /// This tool.
    Named(JsonText<'a>),
    /// One of these; `is_required`: one must be called.
    Allowed {
        /// The names.
        names: Vec<JsonText<'a>>,
        /// Some tool must be called.
        is_required: bool,
    },
}

impl ToolChoice<'_> {
    /// Whether the answer must call a tool.
    pub fn is_forced(&self) -> bool {
        matches!(
            self,
            ToolChoice::Required
                | ToolChoice::Named(_)
                | ToolChoice::Allowed { is_required: true, .. }
        )
    }
}

/// The form of the answer's text. Plain text is the absence of it.
#[derive(Clone, Debug)]
pub enum OutputFormat<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// Its name, where the caller gave one.
        name: Option<JsonText<'a>>,
        /// Its description.
        description: Option<Field<JsonText<'a>>>,
        /// The schema; `None` if the caller gave none.
        schema: Option<Raw<'a>>,
        /// Whether the answer must hold to it.
        strict: Option<bool>,
    },
}

/// How much a model is to think, in OpenAI's words; Anthropic's are among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More.
    XHigh,
    /// As much as possible.
    Max,
}

impl Effort {
    /// All, from the least to the most.
    pub const ALL: [Effort; 7] = [
        Effort::None,
        Effort::Minimal,
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::XHigh,
        Effort::Max,
    ];

    /// The word in requests.
    pub const fn word(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::XHigh => "xhigh",
            Effort::Max => "max",
        }
    }

    /// The effort with this word.
    pub fn of_word(word: &str) -> Option<Effort> {
        Effort::ALL.into_iter().find(|effort| effort.word() == word)
    }

    /// The tokens of thinking for models that take a budget; 0 for [`Effort::None`].
    pub const fn budget(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal | Effort::Low => 1_024,
            Effort::Medium => 8_192,
            Effort::High | Effort::XHigh | Effort::Max => 24_576,
        }
    }

    /// The effort that a budget of tokens stands for.
    pub const fn of_budget(tokens: u64) -> Effort {
        match tokens {
            0..4_096 => Effort::Low,
            4_096..16_384 => Effort::Medium,
            _ => Effort::High,
        }
    }
}

/// How thinking is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Off.
    Disabled,
    /// On, as much as the model finds right.
    Adaptive,
    /// On, with at most this number of tokens.
    Budget(u64),
    /// On between the calls of tools only.
    BetweenTools,
}

/// The tier of service that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The provider decides. Says nothing at OpenAI; at Anthropic it is the default, too.
    Auto,
    /// The usual one: `default`, `standard_only`.
    Default,
    /// Slower and cheaper.
    Flex,
    /// Faster and dearer.
    Priority,
    /// Any other word.
    Other,
}
