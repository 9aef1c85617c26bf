//! The keys of `ailog` and `prices`.

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Shape, Size, Usd, section, words};
use crate::bounds::WAL_RECORD_BYTES_MAX;
use crate::cost::Rates;
use tollgate_wire::usage::ServiceTier;

words! {
    /// The failure that a row outlasts once its answer is complete.
    Durability {
        /// The end of the process, also by `kill -9`.
        "process" => Process,
        /// A power cut.
        "power" => Power,
    }
}
words!(
    ServiceTier:
        "standard" => ServiceTier::Standard,
        "flex" => ServiceTier::Flex,
        "priority" => ServiceTier::Priority,
        "scale" => ServiceTier::Scale,
        "batch" => ServiceTier::Batch,
        "standard_us" => ServiceTier::StandardUs
);

section! {
    /// The log of calls.
    RawAiLog => struct AiLogPolicy: Clone, Copy {
        /// Keep the redacted request.
        capture_request: bool = "true";
        /// Keep the redacted answer.
        capture_response: bool = "true";
        /// Length at which each of the two is cut.
        capture_bytes: Size<usize> = "16KiB" in 0..=WAL_RECORD_BYTES_MAX as u64;
        /// Days after which rows are deleted.
        retention_days: u32 = "90" in 1..=36_500;
        /// The failure that a row survives once its answer is complete: process (end of the
        /// process, also kill -9) or power (also a power cut; answers wait for the disk).
        durability: Durability = "process";
    }
}
section! {
    /// Prices of a model in USD per million tokens. Lines of the same provider and model belong
    /// together.
    RawPrice => Rates, ..default {
        /// Name of a provider; without it, any provider.
        provider: Option<String> => check = "null";
        /// A model; `*` stands for any run of characters.
        model: String => check;
        /// The price applies to calls with more prompt tokens than this, and to all tokens of such
        /// a call.
        above: u64 => check = "0";
        /// The price applies to calls that the provider served in this tier: flex, priority, scale,
        /// batch, standard or standard_us (Anthropic's inference_geo us; without such a line, 1.1
        /// times the usual one).
        tier: Option<ServiceTier> => check = "null";
        /// The price applies from this day on (UTC), until a later price replaces it:
        /// 2027-01-01.
        from: Option<String> => check = "null";
        /// Prompt tokens.
        input: Usd;
        /// Prompt tokens from the provider's cache; without it, as `input`.
        cached_input: Option<Usd> => check = "null";
        /// Prompt tokens written to the provider's cache; without it, as `input`.
        cache_write: Option<Usd> => check = "null";
        /// Prompt tokens written to the provider's cache for an hour; without it, as `cache_write`.
        cache_write_1h: Option<Usd> => check = "null";
        /// Answer tokens.
        output: Usd;
        /// Audio prompt tokens; without it, a call with audio prompt tokens has no price.
        audio_input: Option<Usd> = "null";
        /// Audio answer tokens; without it, a call with audio answer tokens has no price.
        audio_output: Option<Usd> = "null";
    }
}
