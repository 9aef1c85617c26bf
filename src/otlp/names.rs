//! Names of attributes, in one table: those of the OpenTelemetry conventions, pinned, and ours.
//!
//! Pure data. Guarantees: each name is in the vocabulary of its convention (`vocabulary.tsv`), and
//! none is one that the conventions have given up.
//!
//! # Source
//! semantic-conventions-genai, `client-inference.md` @024a4f9 and `migration.md` @32c328e;
//! semantic-conventions 1.41 and 1.44; read in November 2026. All of GenAI has the status
//! Development.

use crate::config::policy::Semconv;

/// A name in each version of the conventions; `None`: not in that version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    current: &'static str,
    v1_41: Option<&'static str>,
}

impl Name {
    /// The name in this version.
    pub(crate) const fn of(self, version: Semconv) -> Option<&'static str> {
        match version {
            Semconv::Current => Some(self.current),
            Semconv::V141 => self.v1_41,
        }
    }
}

macro_rules! names {
    ($($name:ident = $current:literal $(, v1_41 $old:expr)?;)*) => {
        $( pub(crate) const $name: Name = names!(@name $current $(, $old)?); )*

        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[Name] = &[$($name),*];
    };
    (@name $current:literal) => { Name { current: $current, v1_41: Some($current) } };
    (@name $current:literal, $old:expr) => { Name { current: $current, v1_41: $old } };
}

names! {
    METHOD = "http.request.method";
    ROUTE = "http.route";
    STATUS = "http.response.status_code";
    RESEND_COUNT = "http.request.resend_count";
    PATH = "url.path";
    SCHEME = "url.scheme";
    SERVER_ADDRESS = "server.address";
    SERVER_PORT = "server.port";
    ERROR = "error.type";
    USER_AGENT = "user_agent.original";

    OPERATION = "gen_ai.operation.name";
    PROVIDER = "gen_ai.provider.name";
    MODEL = "gen_ai.request.model";
    STREAM = "gen_ai.request.stream";
    MAX_TOKENS = "gen_ai.request.max_tokens";
    TEMPERATURE = "gen_ai.request.temperature";
    TOP_P = "gen_ai.request.top_p";
    TOP_K = "gen_ai.request.top_k";
    FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty";
    PRESENCE_PENALTY = "gen_ai.request.presence_penalty";
    STOP = "gen_ai.request.stop_sequences";
    SEED = "gen_ai.request.seed";
    CHOICES = "gen_ai.request.choice.count";
    REASONING_LEVEL = "gen_ai.request.reasoning.level", v1_41 None;
    PREVIOUS_RESPONSE = "gen_ai.request.previous_response.id", v1_41 None;
    OUTPUT_TYPE = "gen_ai.output.type";
    RESPONSE_ID = "gen_ai.response.id";
    RESPONSE_MODEL = "gen_ai.response.model";
    FINISH_REASONS = "gen_ai.response.finish_reasons";
    FIRST_CHUNK = "gen_ai.response.time_to_first_chunk";
    INPUT_TOKENS = "gen_ai.usage.input_tokens";
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    CACHE_READ = "gen_ai.usage.cache_read.input_tokens";
    CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens",
        v1_41 Some("gen_ai.usage.cache_creation.input_tokens");
    REASONING = "gen_ai.usage.reasoning.output_tokens";
    INPUT_MESSAGES = "gen_ai.input.messages";
    OUTPUT_MESSAGES = "gen_ai.output.messages";
    INSTRUCTIONS = "gen_ai.system_instructions";
    TOOLS = "gen_ai.tool.definitions";

    ORG = "tollgate.org";
    OUTCOME = "tollgate.outcome";
    POLICY_VERSION = "tollgate.policy_version";
    REQUEST_ID = "tollgate.request_id";
    ATTEMPTS = "tollgate.attempts";
    ROW_ID = "tollgate.log_id";
    ERROR_CODE = "tollgate.error_code";
    LIMITED_BY = "tollgate.limited_by";
    TRANSLATED = "tollgate.translated";
    REDACTED_EMAILS = "tollgate.redactions.email";
    REDACTED_PHONES = "tollgate.redactions.phone";
    REDACTED_OTHER = "tollgate.redactions.other";
    ATTACHMENTS = "tollgate.redactions.attachment";
    PROVIDER_NAME = "tollgate.provider";
    COST = "tollgate.cost_usd";
    USAGE_SOURCE = "tollgate.usage_source";
}

/// The address of the conventions, for receivers that convert.
pub(crate) const fn schema_url(version: Semconv) -> &'static str {
    match version {
        Semconv::Current => "https://opentelemetry.io/schemas/1.44.0",
        Semconv::V141 => "https://opentelemetry.io/schemas/1.41.0",
    }
}

/// `gen_ai.provider.name` of a provider of this kind at this host.
pub(crate) fn provider(kind: &str, host: &str) -> &'static str {
    match kind {
        "azure_openai" => "azure.ai.openai",
        "anthropic" => "anthropic",
        "gemini" if host.ends_with("aiplatform.googleapis.com") => "gcp.vertex_ai",
        "gemini" => "gcp.gemini",
        "bedrock" => "aws.bedrock",
        // The flavour, whoever runs the server.
        _ => "openai",
    }
}

/// `gen_ai.operation.name` of a call to this endpoint.
pub(crate) fn operation(endpoint: &str) -> &'static str {
    match endpoint.rsplit('/').next().unwrap_or_default() {
        "embeddings" => "embeddings",
        "generations" | "speech" | "edits" | "variations" | "transcriptions" => "generate_content",
        "completions" if !endpoint.ends_with("chat/completions") => "text_completion",
        _ => "chat",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// `gone`, `both`, `current` or `v1.41`, and a name.
    fn vocabulary(of: &[&str]) -> HashSet<&'static str> {
        let lines = include_str!("vocabulary.tsv").lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.map(|line| line.split_once('\t').expect("two fields"));
        pairs.filter(|(kind, _)| of.contains(kind)).map(|(_, name)| name).collect()
    }

    #[test]
    fn every_name_is_of_the_conventions_or_ours() {
        let gone = vocabulary(&["gone"]);
        for (version, words) in [
            (Semconv::Current, vocabulary(&["both", "current"])),
            (Semconv::V141, vocabulary(&["both", "v1.41"])),
        ] {
            assert!(words.len() > 40, "{}", words.len());
            for name in ALL.iter().filter_map(|name| name.of(version)) {
                assert!(name.starts_with("tollgate.") || words.contains(name), "{name}");
                assert!(!gone.contains(name), "{name} was given up");
            }
        }
        let distinct: HashSet<_> = ALL.iter().map(|name| name.current).collect();
        assert_eq!(distinct.len(), ALL.len());
    }

    #[test]
    fn what_is_asked_of_whom_has_the_conventions_words() {
        for (endpoint, word) in [
            ("/v1/chat/completions", "chat"),
            ("/v1/completions", "text_completion"),
            ("/v1/responses", "chat"),
            ("/v1/messages", "chat"),
            ("/v1/embeddings", "embeddings"),
            ("/v1/images/generations", "generate_content"),
            ("/api/ai/intent", "chat"),
        ] {
            assert_eq!(operation(endpoint), word, "{endpoint}");
        }
        let vertex = "europe-west4-aiplatform.googleapis.com";
        assert_eq!(provider("gemini", vertex), "gcp.vertex_ai");
        assert_eq!(provider("gemini", "generativelanguage.googleapis.com"), "gcp.gemini");
        assert_eq!(
            (provider("openai", "10.0.0.5"), provider("bedrock", "")),
            ("openai", "aws.bedrock")
        );
    }
}
