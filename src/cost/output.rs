//! The longest answer of a model: what a call that sets no bound may cost.
//!
//! Pure data. Families by the beginning of their names, the more special ones first.
//!
//! # Source
//! Model pages of the makers (platform.openai.com/docs/models, docs.claude.com,
//! ai.google.dev/gemini-api/docs/models), as in LiteLLM's collection of November 2026.

/// A model that is not known is taken to answer as long as the longest do that are usual.
const UNKNOWN: u64 = 128_000;

const FAMILIES: &[(&str, u64)] = &[
    ("gpt-3.5", 4_096),
    ("gpt-4-turbo", 4_096),
    ("gpt-4-1106", 4_096),
    ("gpt-4-0125", 4_096),
    ("gpt-4-vision", 4_096),
    ("gpt-4-32k", 32_768),
    ("gpt-4.1", 32_768),
    ("gpt-4.5", 16_384),
    ("gpt-4o", 16_384),
    ("gpt-4", 8_192),
    ("chatgpt-4o", 16_384),
    ("gpt-audio", 16_384),
    ("gpt-5-pro", 272_000),
    ("gpt-5-chat", 16_384),
    ("gpt-5.1-chat", 16_384),
    ("gpt-5.2-chat", 16_384),
    ("gpt-5.3-chat", 16_384),
    ("o1-mini", 65_536),
    ("o1-preview", 32_768),
    ("o1", 100_000),
    ("o3", 100_000),
    ("o4", 100_000),
    ("codex-mini", 100_000),
    ("claude-3-5", 8_192),
    ("claude-3-7", 128_000),
    ("claude-3", 4_096),
    ("claude-opus-4-5", 64_000),
    ("claude-opus-4-6", 128_000),
    ("claude-opus-4-7", 128_000),
    ("claude-opus-4-8", 128_000),
    ("claude-opus-4", 32_000),
    ("claude-sonnet-4-6", 128_000),
    ("claude-sonnet-4", 64_000),
    ("claude-haiku-4", 64_000),
    ("gemini-1.5", 8_192),
    ("gemini-2.0", 8_192),
    ("gemini-2.5", 65_536),
    ("gemini-3", 65_536),
];

/// The most tokens that one answer of this model has.
pub fn longest(model: &str) -> u64 {
    // As in the price list, a maker may stand before the name; a name may be written in any case,
    // and tuned models name their family after `ft:`.
    let name = model.rsplit('/').next().unwrap_or(model);
    let begins = |name: &str, with: &str| {
        name.as_bytes()
            .get(..with.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()))
    };
    let name = if begins(name, "ft:") { &name[3..] } else { name };
    FAMILIES.iter().find(|(family, _)| begins(name, family)).map_or(UNKNOWN, |(_, tokens)| *tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_answers() {
        for (model, expected) in [
            ("gpt-4o-mini", 16_384),
            ("gpt-4o-2024-08-06", 16_384),
            ("openai/GPT-4o", 16_384),
            ("ft:gpt-4o-mini-2024-07-18:acme::x", 16_384),
            ("gpt-4-turbo-preview", 4_096),
            ("gpt-4-0613", 8_192),
            ("gpt-4.1-nano", 32_768),
            ("gpt-5-mini", 128_000),
            ("gpt-5-pro", 272_000),
            ("gpt-6.1-sol", 128_000),
            ("o3-mini", 100_000),
            ("claude-3-5-haiku-latest", 8_192),
            ("claude-sonnet-4-5-20250929", 64_000),
            ("claude-opus-5", 128_000),
            ("models/gemini-2.5-pro", 65_536),
            ("llama-3", 128_000),
            ("", 128_000),
            ("é", 128_000),
        ] {
            assert_eq!(longest(model), expected, "{model}");
        }
        // None is hidden by one before it.
        for (n, (family, _)) in FAMILIES.iter().enumerate() {
            assert!(
                FAMILIES[..n].iter().all(|(before, _)| !family.starts_with(before)),
                "{family}"
            );
        }
    }
}
