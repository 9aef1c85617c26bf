//! The keys of `ailog` and `prices`.

use std::time::Duration;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Named, Shape, Size, Usd, section, words};
use crate::bounds::WAL_RECORD_BYTES_MAX;
use crate::cost::Rates;
use crate::redact::Keep;
use tollgate_wire::usage::ServiceTier;

impl AiLogPolicy {
    /// The length at which a captured body is cut.
    pub fn capture_bytes(&self) -> usize {
        self.capture_bytes.unwrap_or(self.capture.bytes)
    }

    /// The length of a captured request; 0 if none is captured.
    pub fn request_bytes(&self) -> usize {
        if self.capture_request { self.capture_bytes() } else { 0 }
    }
}

words!(
    Keep:
        "head" => Keep::Head,
        "head_and_tail" => Keep::HeadAndTail
);
const DAY: Duration = Duration::from_secs(86_400);
const KEPT_MIN: Duration = DAY;
const KEPT_MAX: Duration = Duration::from_secs(36_500 * 86_400);

impl AiLogPolicy {
    /// Days for which rows are kept.
    pub fn rows_days(&self) -> u32 {
        self.retention_days.unwrap_or(days(self.retention.rows))
    }

    /// Days for which captured texts are kept.
    pub fn captures_days(&self) -> u32 {
        days(self.retention.captures).min(self.rows_days())
    }

    /// Days for which sums by hour are kept.
    pub fn hourly_days(&self) -> u32 {
        days(self.retention.hourly)
    }
}

/// Whole days, rounded up.
fn days(time: Duration) -> u32 {
    u32::try_from(time.as_secs().div_ceil(DAY.as_secs())).unwrap_or(u32::MAX)
}

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
    /// The part of a long body that the log keeps.
    RawCapture => struct CapturePolicy: Clone, Copy {
        /// Length at which each of request and answer is cut. The kept part is valid JSON.
        bytes: Size<usize> = "16KiB" in 0..=WAL_RECORD_BYTES_MAX as u64;
        /// The part of a long request that is kept: head (its beginning) or head_and_tail (its
        /// beginning and its last user message).
        keep: Keep = "head_and_tail";
    }
}
section! {
    /// Times after which the parts of the log are deleted, in whole days.
    RawRetention => struct RetentionPolicy: Clone, Copy {
        /// Rows, without the captured texts.
        rows: Duration = "400d" in KEPT_MIN..=KEPT_MAX;
        /// Captured texts (`request`, `response`, `prompt`, `answer`); never longer than their rows.
        captures: Duration = "30d" in KEPT_MIN..=KEPT_MAX;
        /// Sums by hour, on which reports and most views stand.
        hourly: Duration = "1095d" in KEPT_MIN..=KEPT_MAX;
    }
}
section! {
    /// The log of calls.
    RawAiLog => struct AiLogPolicy: Clone, Copy {
        /// Keep the redacted request.
        capture_request: bool = "true";
        /// Keep the redacted answer.
        capture_response: bool = "true";
        /// Length at which each of the two is cut: the short form of `capture.bytes`, and counts
        /// before it.
        capture_bytes: Option<Size<usize>> = "null" in 0..=WAL_RECORD_BYTES_MAX as u64, eg "16KiB";
        /// The part of a long body that the log keeps.
        capture: RawCapture = "{}";
        /// Tags of each row: a name, and where its value is found, as header:NAME, claim:NAME (a
        /// claim of the JWT) or metadata:NAME (a text in `metadata` of the body). At most 16; values
        /// are redacted and cut at 256 bytes.
        tags: Named<String> => check = "{}", eg "feature: header:x-feature";
        /// Days after which rows are deleted: the short form of `retention.rows`, and counts before
        /// it.
        retention_days: Option<u32> = "null" in 1..=36_500, eg "90";
        /// Times after which the parts of the log are deleted.
        retention: RawRetention = "{}";
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
