//! Answers as providers send them, to exact tokens and exact cost: every format, whole and
//! streamed, with and without cache, by tier. Prices are the built-in ones of 2026-11-23; each cost
//! is worked out beside its case.

use tollgate_wire::usage::{ServiceTier, TokenUsage};
use tollgate_wire::{Format, Format::*, StreamReader};

use super::{Call, PriceList};

/// 2026-11-23.
const NOW: i64 = 1_795_392_000_000;

struct Golden {
    name: &'static str,
    format: Format,
    /// A whole answer, or the events of a stream in their order.
    sent: &'static [&'static str],
    model: &'static str,
    tokens: TokenUsage,
    /// 10⁻⁹ USD; absent where there is no price for such a call.
    cost: Option<i64>,
}

const NONE: TokenUsage = TokenUsage {
    input: 0,
    cached: 0,
    cache_write: 0,
    cache_write_1h: 0,
    output: 0,
    reasoning: 0,
    audio_input: 0,
    audio_output: 0,
    tier: ServiceTier::Unknown,
};
const STANDARD: TokenUsage = TokenUsage { tier: ServiceTier::Standard, ..NONE };

const GOLDEN: &[Golden] = &[
    Golden {
        name: "OpenAI chat, cached, default tier",
        format: OpenAiChat,
        sent: &[
            r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","service_tier":"default",
            "usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
            "prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0}}}"#,
        ],
        model: "gpt-4o-mini-2024-07-18",
        tokens: TokenUsage { input: 2_006, cached: 1_920, output: 300, ..STANDARD },
        // 86 × 0.15 + 1920 × 0.075 + 300 × 0.60
        cost: Some(12_900 + 144_000 + 180_000),
    },
    Golden {
        name: "OpenAI chat, reasoning, flex",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gpt-5-2025-08-07","service_tier":"flex","usage":{"prompt_tokens":1000,"completion_tokens":900,
            "total_tokens":1900,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":832}}}"#,
        ],
        model: "gpt-5-2025-08-07",
        tokens: TokenUsage {
            input: 1_000,
            output: 900,
            reasoning: 832,
            tier: ServiceTier::Flex,
            ..NONE
        },
        // Half of 1000 × 1.25 + 900 × 10
        cost: Some(625_000 + 4_500_000),
    },
    Golden {
        name: "OpenAI chat, priority",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gpt-4o-mini-2024-07-18","service_tier":"priority","usage":{"prompt_tokens":3,"completion_tokens":1,
            "prompt_tokens_details":{"cached_tokens":1}}}"#,
        ],
        model: "gpt-4o-mini-2024-07-18",
        tokens: TokenUsage { input: 3, cached: 1, output: 1, tier: ServiceTier::Priority, ..NONE },
        // 2 × 0.25 + 1 × 0.125 + 1 × 1.00
        cost: Some(500 + 125 + 1_000),
    },
    Golden {
        name: "OpenAI chat, a tier that has no price here",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gpt-6.1-sol","service_tier":"ultrafast","usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
        ],
        model: "gpt-6.1-sol",
        tokens: TokenUsage { input: 3, output: 1, tier: ServiceTier::Other, ..NONE },
        cost: None,
    },
    Golden {
        name: "OpenAI chat, cache written, above 272,000 tokens",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gpt-6-sol-2026-09-01","usage":{"prompt_tokens":300000,"completion_tokens":1000,
            "prompt_tokens_details":{"cached_tokens":100000,"cache_write_tokens":150000}}}"#,
        ],
        model: "gpt-6-sol-2026-09-01",
        tokens: TokenUsage {
            input: 300_000,
            cached: 100_000,
            cache_write: 150_000,
            output: 1_000,
            ..NONE
        },
        // 50,000 × 4 + 100,000 × 0.40 + 150,000 × 5 + 1000 × 15
        cost: Some(200_000_000 + 40_000_000 + 750_000_000 + 15_000_000),
    },
    Golden {
        name: "OpenAI chat, sound in and out",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gpt-audio-2025-08-28","usage":{"prompt_tokens":110,"completion_tokens":260,
            "prompt_tokens_details":{"audio_tokens":80,"text_tokens":30},"completion_tokens_details":{"audio_tokens":200,"text_tokens":60}}}"#,
        ],
        model: "gpt-audio-2025-08-28",
        tokens: TokenUsage { input: 110, output: 260, audio_input: 80, audio_output: 200, ..NONE },
        // 30 × 2.50 + 80 × 32 + 60 × 10 + 200 × 64
        cost: Some(75_000 + 2_560_000 + 600_000 + 12_800_000),
    },
    Golden {
        name: "OpenAI chat, streamed",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gpt-4o-2024-08-06","service_tier":"default","choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}"#,
            r#"{"model":"gpt-4o-2024-08-06","service_tier":"default","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"model":"gpt-4o-2024-08-06","service_tier":"default","choices":[],"usage":{"prompt_tokens":1100,"completion_tokens":2,
               "total_tokens":1102,"prompt_tokens_details":{"cached_tokens":1024}}}"#,
            "[DONE]",
        ],
        model: "gpt-4o-2024-08-06",
        tokens: TokenUsage { input: 1_100, cached: 1_024, output: 2, ..STANDARD },
        // 76 × 2.50 + 1024 × 1.25 + 2 × 10
        cost: Some(190_000 + 1_280_000 + 20_000),
    },
    Golden {
        name: "OpenAI completions",
        format: OpenAiCompletions,
        sent: &[
            r#"{"model":"gpt-3.5-turbo-instruct","usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#,
        ],
        model: "gpt-3.5-turbo-instruct",
        tokens: TokenUsage { input: 5, output: 7, ..NONE },
        // 5 × 1.50 + 7 × 2
        cost: Some(7_500 + 14_000),
    },
    Golden {
        name: "OpenAI responses, cached, reasoning",
        format: OpenAiResponses,
        sent: &[
            r#"{"object":"response","model":"o3-2025-04-16","service_tier":"default","usage":{"input_tokens":81,
            "input_tokens_details":{"cached_tokens":64},"output_tokens":1035,"output_tokens_details":{"reasoning_tokens":832},"total_tokens":1116}}"#,
        ],
        model: "o3-2025-04-16",
        tokens: TokenUsage { input: 81, cached: 64, output: 1_035, reasoning: 832, ..STANDARD },
        // 17 × 2 + 64 × 0.50 + 1035 × 8
        cost: Some(34_000 + 32_000 + 8_280_000),
    },
    Golden {
        name: "OpenAI responses, streamed: the tier asked for is not the tier served",
        format: OpenAiResponses,
        sent: &[
            r#"{"type":"response.created","response":{"model":"gpt-5-mini-2025-08-07","service_tier":"auto","usage":null}}"#,
            r#"{"type":"response.output_text.delta","output_index":0,"delta":"Hi"}"#,
            r#"{"type":"response.completed","response":{"model":"gpt-5-mini-2025-08-07","service_tier":"priority",
               "usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":0},"output_tokens":10,"output_tokens_details":{"reasoning_tokens":0}}}}"#,
        ],
        model: "gpt-5-mini-2025-08-07",
        tokens: TokenUsage { input: 100, output: 10, tier: ServiceTier::Priority, ..NONE },
        // 100 × 0.45 + 10 × 3.60
        cost: Some(45_000 + 36_000),
    },
    Golden {
        name: "OpenAI embeddings",
        format: OpenAiEmbeddings,
        sent: &[
            r#"{"object":"list","model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
        ],
        model: "text-embedding-3-small",
        tokens: TokenUsage { input: 8, ..NONE },
        cost: Some(160),
    },
    Golden {
        name: "Anthropic, cache read and written, for an hour as well",
        format: AnthropicMessages,
        sent: &[
            r#"{"type":"message","model":"claude-opus-4-5-20251101","usage":{"input_tokens":21,"cache_creation_input_tokens":1000,
            "cache_read_input_tokens":18000,"cache_creation":{"ephemeral_5m_input_tokens":400,"ephemeral_1h_input_tokens":600},
            "output_tokens":393,"service_tier":"standard","server_tool_use":{"web_search_requests":0}}}"#,
        ],
        model: "claude-opus-4-5-20251101",
        tokens: TokenUsage {
            input: 19_021,
            cached: 18_000,
            cache_write: 1_000,
            cache_write_1h: 600,
            output: 393,
            ..STANDARD
        },
        // 21 × 5 + 18,000 × 0.50 + 400 × 6.25 + 600 × 10 + 393 × 25
        cost: Some(105_000 + 9_000_000 + 2_500_000 + 6_000_000 + 9_825_000),
    },
    Golden {
        name: "Anthropic, above 200,000 tokens with the cache",
        format: AnthropicMessages,
        sent: &[
            r#"{"model":"claude-sonnet-4-5-20250929","usage":{"input_tokens":1001,"cache_creation_input_tokens":0,
            "cache_read_input_tokens":199000,"output_tokens":10}}"#,
        ],
        model: "claude-sonnet-4-5-20250929",
        tokens: TokenUsage { input: 200_001, cached: 199_000, output: 10, ..NONE },
        // 1001 × 6 + 199,000 × 0.60 + 10 × 22.50
        cost: Some(6_006_000 + 119_400_000 + 225_000),
    },
    Golden {
        name: "Anthropic, batch",
        format: AnthropicMessages,
        sent: &[
            r#"{"model":"claude-haiku-4-5-20251001","usage":{"input_tokens":100,"output_tokens":10,"service_tier":"batch"}}"#,
        ],
        model: "claude-haiku-4-5-20251001",
        tokens: TokenUsage { input: 100, output: 10, tier: ServiceTier::Batch, ..NONE },
        cost: Some(50_000 + 25_000),
    },
    Golden {
        name: "Anthropic, fast mode is not priced",
        format: AnthropicMessages,
        sent: &[
            r#"{"model":"claude-opus-4-6","usage":{"input_tokens":100,"output_tokens":10,"service_tier":"standard","speed":"fast"}}"#,
        ],
        model: "claude-opus-4-6",
        tokens: TokenUsage { input: 100, output: 10, tier: ServiceTier::Other, ..NONE },
        cost: None,
    },
    Golden {
        name: "Anthropic, streamed: the input at the beginning, the output at the end",
        format: AnthropicMessages,
        sent: &[
            r#"{"type":"message_start","message":{"model":"claude-haiku-4-5-20251001","usage":{"input_tokens":25,
               "cache_creation_input_tokens":0,"cache_read_input_tokens":2000,"output_tokens":1,"service_tier":"standard"}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
            r#"{"type":"message_stop"}"#,
        ],
        model: "claude-haiku-4-5-20251001",
        tokens: TokenUsage { input: 2_025, cached: 2_000, output: 15, ..STANDARD },
        // 25 × 1 + 2000 × 0.10 + 15 × 5
        cost: Some(25_000 + 200_000 + 75_000),
    },
    Golden {
        name: "Gemini, thoughts beside the answer",
        format: Other,
        sent: &[
            r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"modelVersion":"gemini-2.5-flash","usageMetadata":{
            "promptTokenCount":1000,"cachedContentTokenCount":600,"candidatesTokenCount":50,"thoughtsTokenCount":150,"totalTokenCount":1200,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":900},{"modality":"AUDIO","tokenCount":100}],"trafficType":"ON_DEMAND"}}"#,
        ],
        model: "gemini-2.5-flash",
        tokens: TokenUsage {
            input: 1_000,
            cached: 600,
            output: 200,
            reasoning: 150,
            audio_input: 100,
            ..STANDARD
        },
        // 300 × 0.30 + 600 × 0.03 + 100 × 1 + 200 × 2.50
        cost: Some(90_000 + 18_000 + 100_000 + 500_000),
    },
    Golden {
        name: "Gemini, streamed: each report holds the sums so far",
        format: Other,
        sent: &[
            r#"{"candidates":[{"content":{"parts":[{"text":"H"}]}}],"modelVersion":"gemini-2.5-pro","usageMetadata":{"promptTokenCount":200001,"totalTokenCount":200001}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"i"}]}}],"modelVersion":"gemini-2.5-pro","usageMetadata":{"promptTokenCount":200001,"candidatesTokenCount":2,"totalTokenCount":200003}}"#,
        ],
        model: "gemini-2.5-pro",
        tokens: TokenUsage { input: 200_001, output: 2, ..NONE },
        // 200,001 × 2.50 + 2 × 15
        cost: Some(500_002_500 + 30_000),
    },
    Golden {
        name: "Gemini by its OpenAI endpoint: thoughts are in the total alone",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gemini-2.5-flash","usage":{"prompt_tokens":8,"completion_tokens":7,"total_tokens":280}}"#,
        ],
        model: "gemini-2.5-flash",
        tokens: TokenUsage { input: 8, output: 272, reasoning: 265, ..NONE },
        // 8 × 0.30 + 272 × 2.50
        cost: Some(2_400 + 680_000),
    },
    Golden {
        name: "xAI: reasoning beside the completion",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"grok-4","usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,
            "prompt_tokens_details":{"cached_tokens":6,"text_tokens":32},"completion_tokens_details":{"reasoning_tokens":94}}}"#,
        ],
        model: "grok-4",
        tokens: TokenUsage { input: 32, cached: 6, output: 103, reasoning: 94, ..NONE },
        cost: None,
    },
    Golden {
        name: "DeepSeek: a name of its own for the cache",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"deepseek-chat","usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,
            "prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}}"#,
        ],
        model: "deepseek-chat",
        tokens: TokenUsage { input: 100, cached: 64, output: 5, ..NONE },
        cost: None,
    },
    Golden {
        name: "Moonshot: another",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"kimi-k2","usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"cached_tokens":70}}"#,
        ],
        model: "kimi-k2",
        tokens: TokenUsage { input: 100, cached: 70, output: 5, ..NONE },
        cost: None,
    },
    Golden {
        name: "no tokens cost nothing",
        format: OpenAiChat,
        sent: &[
            r#"{"model":"gpt-4o","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
        ],
        model: "gpt-4o",
        tokens: NONE,
        cost: Some(0),
    },
    Golden {
        name: "Anthropic, thinking, within the United States",
        format: AnthropicMessages,
        sent: &[
            r#"{"type":"message","model":"claude-opus-4-6","content":[],"usage":{"input_tokens":1000,"output_tokens":500,
            "output_tokens_details":{"thinking_tokens":200},"service_tier":"standard","inference_geo":"us"}}"#,
        ],
        model: "claude-opus-4-6",
        tokens: TokenUsage {
            input: 1_000,
            output: 500,
            reasoning: 200,
            tier: ServiceTier::StandardUs,
            ..NONE
        },
        // (1000 × 5 + 500 × 25) × 1.1
        cost: Some(19_250_000),
    },
    Golden {
        name: "Anthropic stream, thinking, anywhere",
        format: AnthropicMessages,
        sent: &[
            r#"{"type":"message_start","message":{"model":"claude-opus-4-6","usage":{"input_tokens":1000,
            "cache_read_input_tokens":2000,"output_tokens":1,"service_tier":"standard","inference_geo":"global"}}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},
            "usage":{"output_tokens":500,"output_tokens_details":{"thinking_tokens":200}}}"#,
            r#"{"type":"message_stop"}"#,
        ],
        model: "claude-opus-4-6",
        tokens: TokenUsage { input: 3_000, cached: 2_000, output: 500, reasoning: 200, ..STANDARD },
        // 1000 × 5 + 2000 × 0.5 + 500 × 25
        cost: Some(18_500_000),
    },
    Golden {
        name: "Anthropic, an older model without a choice of places",
        format: AnthropicMessages,
        sent: &[
            r#"{"type":"message","model":"claude-opus-4-5","content":[],"usage":{"input_tokens":1000,"output_tokens":0,
            "service_tier":"standard","inference_geo":"not_available"}}"#,
        ],
        model: "claude-opus-4-5",
        tokens: TokenUsage { input: 1_000, ..STANDARD },
        cost: Some(5_000_000),
    },
    Golden {
        name: "Anthropic, a place without a known factor",
        format: AnthropicMessages,
        sent: &[
            r#"{"type":"message","model":"claude-opus-4-6","content":[],"usage":{"input_tokens":1000,"output_tokens":500,
            "inference_geo":"eu"}}"#,
        ],
        model: "claude-opus-4-6",
        tokens: TokenUsage { input: 1_000, output: 500, tier: ServiceTier::OtherGeo, ..NONE },
        cost: None,
    },
    Golden {
        name: "Anthropic, a cheaper tier within the United States",
        format: AnthropicMessages,
        sent: &[
            r#"{"type":"message","model":"claude-opus-4-6","content":[],"usage":{"input_tokens":1000,"output_tokens":500,
            "service_tier":"batch","inference_geo":"us"}}"#,
        ],
        model: "claude-opus-4-6",
        tokens: TokenUsage { input: 1_000, output: 500, tier: ServiceTier::OtherGeo, ..NONE },
        cost: None,
    },
];

/// The model and the usage that the reader of such answers finds.
fn found(golden: &Golden) -> (String, Option<TokenUsage>) {
    if let [whole] = golden.sent {
        let facts = golden.format.read_answer(whole.as_bytes());
        return (facts.model, facts.usage);
    }
    let mut stream = StreamReader::new(golden.format, 1_000);
    for (at, event) in golden.sent.iter().enumerate() {
        assert!(
            at == 0
                || golden.format == Other
                || !stream.is_usage_final()
                || *event == "[DONE]"
                || event.contains("_stop")
        );
        stream.event(b"", event.as_bytes());
    }
    assert!(stream.is_usage_final(), "{}", golden.name);
    (stream.model().to_owned(), stream.usage())
}

#[test]
fn usage_to_the_token_and_cost_to_the_nano_dollar() {
    let prices = PriceList::built_in_with(vec![]);
    for golden in GOLDEN {
        let (model, usage) = found(golden);
        assert_eq!((model.as_str(), usage), (golden.model, Some(golden.tokens)), "{}", golden.name);
        let call = Call {
            provider: "p",
            response_model: &model,
            model: "asked",
            usage: golden.tokens,
            at_ms: NOW,
        };
        let cost = prices.of_call(&call);
        assert_eq!(cost.map(|cost| cost.total), golden.cost, "{}", golden.name);
        let parts = cost.map(|c| c.input + c.cached + c.cache_write + c.output);
        assert_eq!(parts, golden.cost, "{}", golden.name);
        // An answer too long to be held: the same from its end alone.
        if let [whole] = golden.sent {
            assert_eq!(
                golden.format.read_usage_in_tail(whole.as_bytes()),
                Some(golden.tokens),
                "{}",
                golden.name
            );
        }
        // The same object shown again by a stored object's route is not used again.
        assert_eq!(
            StoredObject.read_answer(golden.sent[0].as_bytes()).usage,
            None,
            "{}",
            golden.name
        );
    }
}
