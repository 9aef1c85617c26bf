//! The keys of `providers` and `routing`.

use super::super::reader::node::{Name, Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Kind, Section, Shape, scalar, section, words};
use super::{ProxySource, RawProviderAuth, RawTargetTimeouts};
use crate::ids::Secret;
use std::path::PathBuf;
use tollgate_wire::translate::model::{ForcedTool, Overrides, Sampling, ThinkingForm};
use tollgate_wire::{Format, ProviderKind};

words!(ProviderKind = ProviderKind::ALL);
words!(Format = WIRES);

/// The formats that a server may be said to offer.
const WIRES: &[Format] = &[
    Format::OpenAiChat,
    Format::OpenAiCompletions,
    Format::OpenAiResponses,
    Format::OpenAiEmbeddings,
    Format::OpenAiModerations,
    Format::OpenAiImages,
    Format::OpenAiSpeech,
    Format::OpenAiTranscriptions,
];

words! {
    /// The treatment of request fields that a target of another format cannot express.
    OnLoss {
        /// They are named in the answer's header and in the row.
        "note" => Note,
        /// The call is refused.
        "refuse" => Refuse,
    }
}
words! {
    /// The field that bounds an answer of `chat/completions`.
    MaxTokensField {
        /// Older servers.
        "max_tokens" => MaxTokens,
        /// OpenAI's own API, and servers that follow it.
        "max_completion_tokens" => MaxCompletionTokens,
    }
}
words! {
    /// Whether a model can be told how to sample.
    SamplingWord {
        /// `temperature`, `top_p` and `top_k` are sent.
        "yes" => Yes,
        /// `temperature` and `top_p` are not sent together.
        "not_both" => NotBoth,
        /// None is sent.
        "no" => No,
    }
}
words! {
    /// How a model is asked to think.
    ThinkingWord {
        /// It does not think.
        "none" => None,
        /// By a number of tokens.
        "budget" => Budget,
        /// By an effort, as newer models of Anthropic.
        "adaptive" => Adaptive,
        /// By a level, as newer models of Google.
        "level" => Level,
        /// As the caller asks; the provider decides.
        "as_asked" => AsAsked,
    }
}
words! {
    /// Whether a call of a tool can be demanded.
    ForcedToolWord {
        /// Yes; or the provider says no.
        "yes" => Yes,
        /// Not while the model thinks.
        "not_with_thinking" => NotWithThinking,
        /// No.
        "no" => No,
    }
}
words! {
    /// Stored objects that a body may name under the gateway's own key.
    StoredObjects {
        /// Objects that answers to the organisation have named.
        "own" => Own,
        /// None.
        "refuse" => Refuse,
        /// All.
        "allow" => Allow,
    }
}

section! {
    /// A provider.
    RawProvider => struct ProviderOptions: Clone {
        /// API of the provider: openai (also every compatible server), azure_openai, anthropic,
        /// gemini or bedrock. Calls in another format are translated.
        kind: ProviderKind = "openai";
        /// http(s)://host[:port]/path, up to and including the version. Required.
        base_url: Option<String> => check = "null";
        /// The gateway's own key at the provider; best a reference to the environment, or
        /// `{file: PATH}`, which is watched: a new key is used within a second. If it is empty, only
        /// callers' own keys are sent.
        api_key: Secret = "''";
        /// API of an Azure resource: v1, or the date of an older one, such as 2024-10-21, whose paths
        /// name the deployment.
        api_version: String = "v1";
        /// Formats of a compatible server that does not have all of OpenAI's, such as [chat,
        /// embeddings]; calls in `responses` are then translated. Empty: all.
        wires: Vec<At<Format>> = "[]";
        /// Name of the field that bounds an answer in translated chat calls; older servers know
        /// only max_tokens.
        max_tokens_field: MaxTokensField = "max_completion_tokens";
        /// If true, translated chat calls give earlier reasoning back in `reasoning_content`.
        reasoning_back: bool = "false";
        /// Value of `anthropic-version` in translated calls. Null: the newest that takes the
        /// call's fields.
        version: Option<String> = "null";
        /// Request headers that are forwarded, redacted, in addition to the common ones.
        forward_headers: Vec<At<String>> => check = "[]";
        /// Proxy of its connections: env (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`,
        /// read at start), none, http(s)://[user:password@]host:port, or the mapping {url, username,
        /// password}, whose password may be in a file. An https `base_url` is reached through a
        /// tunnel (CONNECT), of which the proxy sees the host only.
        proxy: ProxySource => check = "env";
        /// Hosts that are reached without the proxy, by the rules of curl's `NO_PROXY`: a domain with
        /// its subdomains, an address, a network such as 10.0.0.0/8, or `*` alone. With `proxy: env`
        /// they are added to those of the variable.
        no_proxy: Vec<At<String>> => check = "[]", eg "internal.example";
        /// PEM file with the authorities that may sign the server's certificate, instead of the
        /// machine's. This file and the next two are watched: new connections use new content within
        /// a second.
        ca_file: Option<PathBuf> => check = "null";
        /// PEM file with the certificate chain that the gateway shows to the server.
        client_cert_file: Option<PathBuf> => check = "null";
        /// PEM file with its private key (PKCS#8, PKCS#1 or SEC1).
        client_key_file: Option<PathBuf> => check = "null";
        /// A credential of Azure, AWS or Google Cloud, in place of `api_key`.
        auth: Option<RawProviderAuth> => check = "null";
    }
}
section! {
    /// Routing.
    RawRouting => struct RoutingOptions: Clone {
        /// Targets of models that no rule matches, as `models[].to`. Empty: such calls get 404
        /// `model_not_found`.
        default: Vec<At<RawTo>> => check = "[openai]";
        /// Sticky routing for `default`, as `models[].sticky`.
        sticky: bool => check = "false";
        /// Further paths to open; `*` stands for one segment.
        endpoints: Vec<At<String>> => check = "[]", eg "POST /v1/batches/*/cancel";
        /// Stored objects (previous_response_id, conversations, files, vector stores, containers,
        /// prompts …) that a body may name under the gateway's own key: own (objects that answers
        /// to the same organisation have named), refuse (none), or allow (all).
        stored_objects: StoredObjects = "own";
        /// If true, chat/completions and responses are sent with `store: false`, so that providers
        /// keep no answers.
        force_store_false: bool = "false";
        /// Request fields that a target of another format cannot express: note (the answer's header
        /// `x-tollgate-translation` and the row name them) or refuse (400 `unsupported_parameter`).
        on_loss: OnLoss = "note";
        /// Ids of objects that every organisation may name; `*` stands for any run of characters.
        shared_objects: Vec<At<String>> => check = "[]", eg "vs_handbook_*";
        /// Rules by model; the first match wins.
        models: Vec<At<RawModelRule>> => check = "[]",
            eg "{match: gpt-4o, to: [openai, {provider: openai, model: gpt-4o-mini}]}";
    }
}
section! {
    /// A rule: the targets of the models that match, and what these models take in translated
    /// calls. Without such a key the built-in table decides by the name of the model.
    RawModelRule => struct ModelOptions: Clone, Copy {
        /// A model; `*` stands for any run of characters: claude-*.
        r#match: String => check;
        /// Targets, tried in this order. If one of them has a `weight`, the targets share the
        /// calls, and those without a share follow when a call fails.
        to: Vec<At<RawTo>> => check;
        /// With weights: an organisation stays at one target while that target is healthy, which
        /// helps its prompt cache.
        sticky: bool => check = "false";
        /// Longest answer, in tokens: the bound where a provider needs one and the call has none.
        max_output_tokens: Option<u64> = "null" in 1..=100_000_000;
        /// Sampling fields (temperature, top_p, top_k) that it takes: yes, not_both or no.
        sampling: Option<SamplingWord> = "null";
        /// How it is asked to think: none, budget, adaptive, level or as_asked.
        thinking: Option<ThinkingWord> = "null";
        /// Whether a call of a tool can be demanded: yes, not_with_thinking or no.
        forced_tool: Option<ForcedToolWord> = "null";
        /// Whether the last turn of a call may be the assistant's, to be continued.
        prefill: Option<bool> = "null";
        /// Whether a system message may stand in the middle of the conversation.
        mid_system: Option<bool> = "null";
        /// Whether answers can be held to a JSON Schema.
        structured: Option<bool> = "null";
    }
}

impl ModelOptions {
    /// The facts of the models, for translation.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            output_tokens_max: self.max_output_tokens,
            sampling: self.sampling.map(|sampling| match sampling {
                SamplingWord::Yes => Sampling::Yes,
                SamplingWord::NotBoth => Sampling::NotBoth,
                SamplingWord::No => Sampling::No,
            }),
            thinking: self.thinking.map(|thinking| match thinking {
                ThinkingWord::None => ThinkingForm::None,
                ThinkingWord::Budget => ThinkingForm::Budget { least: 0 },
                ThinkingWord::Adaptive => {
                    ThinkingForm::Adaptive { can_disable: true, takes_budget: false }
                }
                ThinkingWord::Level => ThinkingForm::Level,
                ThinkingWord::AsAsked => ThinkingForm::AsAsked,
            }),
            forced_tool: self.forced_tool.map(|forced| match forced {
                ForcedToolWord::Yes => ForcedTool::Yes,
                ForcedToolWord::NotWithThinking => ForcedTool::NotWithThinking,
                ForcedToolWord::No => ForcedTool::No,
            }),
            prefill: self.prefill,
            mid_system: self.mid_system,
            structured: self.structured,
        }
    }
}
section! {
    /// A target: a provider and how it is used here. The name of the provider alone is enough.
    RawTarget {
        /// Name of the provider.
        provider: String;
        /// Share of the calls: 3 gets three times the calls of 1; 0 gets only calls that failed
        /// elsewhere. With equal weights, the target with the fewest calls in flight is chosen. If
        /// one target has a weight, the default of the others is 1.
        weight: Option<u32> = "null" in 0..=1_000_000;
        /// Name of the model at this provider; it replaces the name in the body.
        model: Option<String> = "null";
        /// Timeouts of this target.
        timeouts: RawTargetTimeouts = "{}", eg "{first_byte: 20s}";
    }
}

/// The name of a provider, or a [`RawTarget`].
#[derive(Clone, Debug)]
pub(crate) struct RawTo(pub(crate) RawTarget);

impl Shape for RawTo {
    fn read(node: &Node, problems: &mut Problems) -> Option<RawTo> {
        if matches!(node.value, Value::Map(_)) {
            return RawTarget::read(node, problems).map(RawTo);
        }
        scalar(node, "a provider's name", problems)?;
        let name = Name { text: "provider".to_owned(), at: node.at.clone() };
        let node = Node { at: node.at.clone(), value: Value::Map(vec![(name, node.clone())]) };
        RawTarget::read(&node, problems).map(RawTo)
    }
    fn json(&self) -> serde_json::Value {
        let RawTarget { provider, weight, model, timeouts } = &self.0;
        if weight.given || model.given || timeouts.given {
            self.0.json()
        } else {
            provider.value.json()
        }
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"anyOf": [{"type": "string"}, RawTarget::schema()]})
    }
    fn kind() -> Kind {
        Kind::Section(RawTarget::info())
    }
}
