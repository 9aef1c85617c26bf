//! The abilities of a model, by its family: the built-in table, every value of which can be
//! overridden.
//!
//! Pure. An unknown Claude counts as the newest, because older ones are known. Of other unknown
//! models the provider decides: the field is sent, and its error is shown.
//!
//! # Source
//! Anthropic's model catalogue and migration guide (anthropics/skills, July 2026), anthropic-python
//! 2.14; Google's thinking guide; Amazon Nova guide.

use super::neutral::{Effort, Vendor};

/// The abilities of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// Its maker, for opaque data.
    pub vendor: Vendor,
    /// The most tokens of an answer; sent where a format requires a bound and the caller gave none.
    pub output_tokens_max: u64,
    /// `temperature`, `top_p` and `top_k`.
    pub sampling: Sampling,
    /// How thinking is asked for.
    pub thinking: ThinkingForm,
    /// The efforts that it takes, as they are; empty where thinking is not asked for by effort.
    pub efforts: &'static [Effort],
    /// Whether a call of a tool can be demanded.
    pub forced_tool: ForcedTool,
    /// Whether the last turn may be the assistant's, to be continued.
    pub prefill: bool,
    /// Whether a system message may stand in the middle.
    pub mid_system: bool,
    /// Whether answers can be held to a JSON Schema.
    pub structured: bool,
    /// Whether marks of prompt caches are taken.
    pub cache_marks: bool,
}

/// Whether a model can be told how to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Yes.
    Yes,
    /// Yes, but not by `temperature` and `top_p` at once.
    NotBoth,
    /// No: any such field is an error.
    No,
}

/// How thinking is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingForm {
    /// There is none.
    None,
    /// By a number of tokens; 0 switches it off unless `least` is more.
    Budget {
        /// The smallest budget that stands for "off": 0 where it can be switched off.
        least: u64,
    },
    /// By an effort: Claude's adaptive thinking. `can_disable`: `thinking: disabled` is taken.
    Adaptive {
        /// Whether it can be switched off.
        can_disable: bool,
        /// Whether the older form, a budget, is taken, too.
        takes_budget: bool,
    },
    /// By a level: Gemini 3, Nova 2, `reasoning_effort`. The nearest of `efforts` is sent.
    Level,
    /// By what the caller says; the provider decides.
    AsAsked,
}

/// Whether a call of a tool can be demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedTool {
    /// Yes; or the provider says no.
    Yes,
    /// Not while it thinks.
    NotWithThinking,
    /// No.
    No,
}

/// Facts of a model that an operator knows better than the table; what is absent is the table's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The most tokens of an answer.
    pub output_tokens_max: Option<u64>,
    /// How it can be told to sample.
    pub sampling: Option<Sampling>,
    /// How thinking is asked for.
    pub thinking: Option<ThinkingForm>,
    /// Whether a call of a tool can be demanded.
    pub forced_tool: Option<ForcedTool>,
    /// Whether the last turn may be the assistant's.
    pub prefill: Option<bool>,
    /// Whether a system message may stand in the middle.
    pub mid_system: Option<bool>,
    /// Whether answers can be held to a JSON Schema.
    pub structured: Option<bool>,
}

impl Overrides {
    /// The facts of a model with these in place of the table's.
    ///
    /// ```
    /// use tollgate_wire::translate::model::{ModelFacts, Overrides, Sampling};
    /// let own = Overrides { sampling: Some(Sampling::No), ..Overrides::default() };
    /// let facts = own.of(ModelFacts::of("my-model"));
    /// assert_eq!((facts.sampling, facts.output_tokens_max), (Sampling::No, 8_192));
    /// ```
    #[must_use]
    pub fn of(self, facts: ModelFacts) -> ModelFacts {
        let thinking = self.thinking.unwrap_or(facts.thinking);
        let efforts = match thinking {
            ThinkingForm::Adaptive { .. } if facts.efforts.is_empty() => CLAUDE_EFFORTS,
            ThinkingForm::Level if facts.efforts.is_empty() => GEMINI.efforts,
            _ => facts.efforts,
        };
        ModelFacts {
            output_tokens_max: self.output_tokens_max.unwrap_or(facts.output_tokens_max),
            sampling: self.sampling.unwrap_or(facts.sampling),
            thinking,
            efforts,
            forced_tool: self.forced_tool.unwrap_or(facts.forced_tool),
            prefill: self.prefill.unwrap_or(facts.prefill),
            mid_system: self.mid_system.unwrap_or(facts.mid_system),
            structured: self.structured.unwrap_or(facts.structured),
            ..facts
        }
    }
}

/// Answer tokens of a model that is not known, where a format requires a bound.
const UNKNOWN_OUTPUT_TOKENS: u64 = 8_192;

/// A model that is not in the table: everything is sent.
const UNKNOWN: ModelFacts = ModelFacts {
    vendor: Vendor::Other,
    output_tokens_max: UNKNOWN_OUTPUT_TOKENS,
    sampling: Sampling::Yes,
    thinking: ThinkingForm::AsAsked,
    efforts: &[],
    forced_tool: ForcedTool::Yes,
    prefill: true,
    mid_system: false,
    structured: true,
    cache_marks: false,
};

const CLAUDE_EFFORTS: &[Effort] =
    &[Effort::Low, Effort::Medium, Effort::High, Effort::XHigh, Effort::Max];

/// The newest Claude.
const CLAUDE: ModelFacts = ModelFacts {
    vendor: Vendor::Anthropic,
    output_tokens_max: 128_000,
    sampling: Sampling::No,
    thinking: ThinkingForm::Adaptive { can_disable: true, takes_budget: false },
    efforts: CLAUDE_EFFORTS,
    forced_tool: ForcedTool::Yes,
    prefill: false,
    mid_system: true,
    structured: true,
    cache_marks: true,
};

const GEMINI: ModelFacts = ModelFacts {
    vendor: Vendor::Google,
    output_tokens_max: 65_536,
    thinking: ThinkingForm::Level,
    efforts: &[Effort::Minimal, Effort::Low, Effort::Medium, Effort::High],
    ..UNKNOWN
};

impl ModelFacts {
    /// The facts of the model with this name: an id, an alias, or the id of a cloud
    /// (`eu.anthropic.claude-opus-4-6-v1:0`, `claude-sonnet-4@20250514`).
    ///
    /// ```
    /// use tollgate_wire::translate::model::{ModelFacts, Sampling};
    /// assert_eq!(ModelFacts::of("claude-opus-4-8").sampling, Sampling::No);
    /// assert_eq!(ModelFacts::of("claude-3-haiku-20240307").output_tokens_max, 4_096);
    /// ```
    pub fn of(model: &str) -> ModelFacts {
        let model = model.to_ascii_lowercase();
        if let Some(name) = after(&model, "claude") {
            return claude(name);
        }
        if let Some(name) = after(&model, "gemini") {
            return gemini(name);
        }
        if let Some(name) = after(&model, "nova") {
            return nova(name);
        }
        if let Some(name) = after(&model, "gpt") {
            return gpt(name);
        }
        if is_openai_o(&model) {
            return ModelFacts { vendor: Vendor::OpenAi, ..UNKNOWN };
        }
        UNKNOWN
    }
}

/// The text after the first occurrence of a word.
fn after<'n>(name: &'n str, word: &str) -> Option<&'n str> {
    name.find(word).map(|at| &name[at + word.len()..])
}

/// `o1`, `o3-mini`, `o4-mini`.
fn is_openai_o(model: &str) -> bool {
    let mut chars = model.rsplit('/').next().unwrap_or(model).chars();
    chars.next() == Some('o') && chars.next().is_some_and(|c| c.is_ascii_digit())
}

/// Major and minor version: the first numbers of at most two digits; dates are longer, and `v1:0`
/// begins with a letter.
fn version(name: &str) -> Option<(u32, u32)> {
    let mut words =
        name.split(|c: char| !c.is_ascii_alphanumeric()).skip_while(|w| number(w).is_none());
    let major = words.next().and_then(number)?;
    Some((major, words.next().and_then(number).unwrap_or(0)))
}

fn number(word: &str) -> Option<u32> {
    if word.len() <= 2 { word.parse().ok() } else { None }
}

fn claude(name: &str) -> ModelFacts {
    let is_haiku = name.contains("haiku");
    if name.contains("fable") || name.contains("mythos") {
        let forced_tool = match (name.contains("fable"), version(name)) {
            (true, Some((5, 1))) => ForcedTool::No,
            _ => ForcedTool::Yes,
        };
        let thinking = ThinkingForm::Adaptive { can_disable: false, takes_budget: false };
        return ModelFacts { thinking, forced_tool, ..CLAUDE };
    }
    match version(name) {
        Some((0..=3, _) | (4, 0..=5)) => old_claude(name),
        Some((4, 6)) => ModelFacts {
            sampling: Sampling::NotBoth,
            thinking: ThinkingForm::Adaptive { can_disable: true, takes_budget: true },
            efforts: &[Effort::Low, Effort::Medium, Effort::High, Effort::Max],
            forced_tool: ForcedTool::NotWithThinking,
            mid_system: false,
            ..CLAUDE
        },
        Some((4, 7)) => ModelFacts { mid_system: false, ..CLAUDE },
        _ if is_haiku => ModelFacts { output_tokens_max: 64_000, ..CLAUDE },
        _ => CLAUDE,
    }
}

/// Up to 4.5.
fn old_claude(name: &str) -> ModelFacts {
    let version = version(name).unwrap_or_default();
    let (is_opus, is_haiku) = (name.contains("opus"), name.contains("haiku"));
    ModelFacts {
        output_tokens_max: match version {
            (0..=2, _) | (3, 0..=4) => 4_096,
            (3, 5..=6) => 8_192,
            (4, 0..=4) if is_opus => 32_000,
            _ => 64_000,
        },
        sampling: if version >= (4, 0) { Sampling::NotBoth } else { Sampling::Yes },
        thinking: match version {
            (0..=2, _) | (3, 0..=6) => ThinkingForm::None,
            _ => ThinkingForm::Budget { least: 0 },
        },
        efforts: if version == (4, 5) && is_opus && !is_haiku {
            &[Effort::Low, Effort::Medium, Effort::High]
        } else {
            &[]
        },
        forced_tool: ForcedTool::NotWithThinking,
        prefill: true,
        mid_system: false,
        structured: version >= (4, 5),
        ..CLAUDE
    }
}

fn gemini(name: &str) -> ModelFacts {
    let version = version(name).unwrap_or((3, 0));
    let is_pro = name.contains("pro");
    if version < (2, 5) {
        return ModelFacts {
            thinking: ThinkingForm::None,
            efforts: &[],
            output_tokens_max: UNKNOWN_OUTPUT_TOKENS,
            ..GEMINI
        };
    }
    if version < (3, 0) {
        let least = if is_pro { 128 } else { 0 };
        return ModelFacts { thinking: ThinkingForm::Budget { least }, efforts: &[], ..GEMINI };
    }
    match (is_pro, version) {
        (true, (3, 0)) => ModelFacts { efforts: &[Effort::Low, Effort::High], ..GEMINI },
        (true, _) | (false, (3, 7..=8)) => {
            ModelFacts { efforts: &[Effort::Low, Effort::Medium, Effort::High], ..GEMINI }
        }
        _ => GEMINI,
    }
}

/// Of the efforts only "none" is in question: the provider knows the others.
fn gpt(name: &str) -> ModelFacts {
    let facts = ModelFacts { vendor: Vendor::OpenAi, ..UNKNOWN };
    match version(name) {
        // `gpt-4o`, `gpt-3.5-turbo`: they do not think.
        _ if name.starts_with("-3") || name.starts_with("-4") => {
            ModelFacts { thinking: ThinkingForm::None, ..facts }
        }
        Some(version) if version >= (5, 1) => {
            ModelFacts { efforts: &Effort::ALL, cache_marks: version >= (5, 6), ..facts }
        }
        _ => facts,
    }
}

fn nova(name: &str) -> ModelFacts {
    let takes_effort = version(name).is_some_and(|version| version >= (2, 0));
    ModelFacts {
        vendor: Vendor::Amazon,
        cache_marks: true,
        thinking: if takes_effort { ThinkingForm::Level } else { ThinkingForm::None },
        efforts: if takes_effort { &[Effort::Low, Effort::Medium, Effort::High] } else { &[] },
        ..UNKNOWN
    }
}

/// The effort that a model takes in place of the one asked for: the same, or the nearest one below,
/// or the least.
pub fn nearest(asked: Effort, taken: &[Effort]) -> Option<Effort> {
    let below = taken.iter().copied().filter(|effort| *effort <= asked).max();
    below.or_else(|| taken.iter().copied().min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claude_by_family() {
        use Sampling::{No, NotBoth, Yes};
        for (names, sampling, tokens, mid_system, prefill) in [
            (
                &["claude-3-haiku-20240307", "anthropic.claude-3-haiku-20240307-v1:0"][..],
                Yes,
                4_096,
                false,
                true,
            ),
            (&["claude-3-5-sonnet-20241022", "claude-3-5-haiku@20241022"], Yes, 8_192, false, true),
            (&["claude-3-7-sonnet-20250219"], Yes, 64_000, false, true),
            (&["claude-opus-4-20250514", "claude-opus-4-1-20250805"], NotBoth, 32_000, false, true),
            (
                &[
                    "claude-sonnet-4@20250514",
                    "claude-haiku-4-5-20251001",
                    "us.anthropic.claude-opus-4-5-20251101-v1:0",
                ],
                NotBoth,
                64_000,
                false,
                true,
            ),
            (&["claude-opus-4-6", "claude-sonnet-4.6"], NotBoth, 128_000, false, false),
            (&["claude-opus-4-7", "anthropic.claude-opus-4-7"], No, 128_000, false, false),
            (
                &["claude-opus-4-8", "claude-sonnet-5", "claude-opus-5-5", "claude-new"],
                No,
                128_000,
                true,
                false,
            ),
            (&["claude-fable-5-1", "claude-mythos-5"], No, 128_000, true, false),
        ] {
            for name in names {
                let facts = ModelFacts::of(name);
                let seen =
                    (facts.sampling, facts.output_tokens_max, facts.mid_system, facts.prefill);
                assert_eq!(seen, (sampling, tokens, mid_system, prefill), "{name}");
                assert_eq!(facts.vendor, Vendor::Anthropic);
            }
        }
        assert_eq!(ModelFacts::of("claude-fable-5-1").forced_tool, ForcedTool::No);
        assert_eq!(ModelFacts::of("claude-fable-5").forced_tool, ForcedTool::Yes);
        assert_eq!(ModelFacts::of("claude-3-5-sonnet").thinking, ThinkingForm::None);
        assert_eq!(ModelFacts::of("claude-sonnet-4-5").thinking, ThinkingForm::Budget { least: 0 });
        assert_eq!(ModelFacts::of("claude-opus-4-5").efforts.len(), 3);
    }

    #[test]
    fn other_models() {
        assert_eq!(ModelFacts::of("gemini-2.5-pro").thinking, ThinkingForm::Budget { least: 128 });
        assert_eq!(ModelFacts::of("gemini-2.5-flash").thinking, ThinkingForm::Budget { least: 0 });
        assert_eq!(
            ModelFacts::of("models/gemini-3-pro-preview").efforts,
            &[Effort::Low, Effort::High]
        );
        assert_eq!(ModelFacts::of("gemini-3-flash").efforts.len(), 4);
        assert_eq!(ModelFacts::of("gemini-2.0-flash").thinking, ThinkingForm::None);
        assert_eq!(ModelFacts::of("us.amazon.nova-pro-v1:0").thinking, ThinkingForm::None);
        assert_eq!(ModelFacts::of("amazon.nova-2-lite-v1:0").thinking, ThinkingForm::Level);
        assert_eq!(ModelFacts::of("o3-mini").vendor, Vendor::OpenAi);
        assert_eq!(ModelFacts::of("openai.gpt-oss-120b-1:0").vendor, Vendor::OpenAi);
        assert_eq!(ModelFacts::of("llama-3.3").output_tokens_max, 8_192);
    }

    #[test]
    fn the_nearest_effort() {
        let low_high = [Effort::Low, Effort::High];
        for (asked, taken, expected) in [
            (Effort::Medium, &low_high[..], Some(Effort::Low)),
            (Effort::Max, &low_high, Some(Effort::High)),
            (Effort::Minimal, &low_high, Some(Effort::Low)),
            (Effort::XHigh, &[Effort::High, Effort::Max], Some(Effort::High)),
            (Effort::Low, &[], None),
        ] {
            assert_eq!(nearest(asked, taken), expected, "{asked:?}");
        }
    }
}
