//! `retry`, `timeouts`, `breaker` and `ailog`, checked.

use std::time::Duration;

use super::super::place::{Place, Problems};
use super::super::policy::{AiLogPolicy, Timeouts};
use super::super::raw::{RawAiLog, RawBreaker, RawRetry, RawTargetTimeouts, RawTimeouts};
use super::super::shape::{At, Cap};
use super::{in_range, lasting, sized};
use crate::bounds;
use crate::upstream::breaker::BreakerOptions;
use crate::upstream::retry::RetryOptions;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// Fewer calls say nothing about a share.
const SHARE_OF_AT_LEAST: u32 = 20;

pub(super) fn retry(raw: &RawRetry, problems: &mut Problems) -> Option<RetryOptions> {
    let max_retries = in_range(&raw.max_retries, 0..=10, problems);
    let base_delay = lasting(&raw.base_delay, MS..=MINUTE, problems);
    let max_delay = lasting(&raw.max_delay, MS..=10 * MINUTE, problems);
    if max_delay < base_delay {
        let at = if raw.max_delay.given { &raw.max_delay.at } else { &raw.base_delay.at };
        problems.add(at, "`max_delay` is shorter than `base_delay`; make it at least as long");
    }
    let budget_percent = in_range(&raw.budget_percent, 0..=1000, problems);
    let replay_bytes = sized(&raw.replay_bytes, 0..=bounds::REPLAY_BYTES_MAX as u64, problems);
    Some(RetryOptions {
        max_retries: max_retries?,
        base_delay,
        max_delay,
        budget_percent: budget_percent?,
        replay_bytes: usize::try_from(replay_bytes).ok()?,
    })
}

pub(super) fn timeouts(raw: &RawTimeouts, problems: &mut Problems) -> Timeouts {
    Timeouts {
        connect: lasting(&raw.connect, MS..=10 * MINUTE, problems),
        first_byte: lasting(&raw.first_byte, MS..=DAY, problems),
        idle: lasting(&raw.idle, MS..=DAY, problems),
        total: lasting(&raw.total, MS..=DAY, problems),
        keep_alive: keep_alive(&raw.keep_alive.at, raw.keep_alive.value.0, raw.idle.value, problems),
    }
}

/// How often a silent stream is told of. Where the stream is given up before that, nobody would ever hear it.
fn keep_alive(at: &Place, every: Option<Duration>, idle: Duration, problems: &mut Problems) -> Option<Duration> {
    let every = lasting(&At { value: every?, at: at.clone(), given: true }, 100 * MS..=DAY, problems);
    if every >= idle {
        problems
            .add(at, "`keep_alive` is not shorter than `idle`, which ends a silent stream; make it shorter, or `off`");
    }
    Some(every)
}

/// Timeouts of one target over those of the policy.
pub(super) fn target_timeouts(raw: &RawTargetTimeouts, policy: Timeouts, problems: &mut Problems) -> Timeouts {
    let mut own = |given: &At<Option<Duration>>, most: Duration, policy: Duration| match given.value {
        Some(value) => lasting(&At { value, at: given.at.clone(), given: given.given }, MS..=most, problems),
        None => policy,
    };
    let (connect, first_byte) =
        (own(&raw.connect, 10 * MINUTE, policy.connect), own(&raw.first_byte, DAY, policy.first_byte));
    let idle = own(&raw.idle, DAY, policy.idle);
    let keep_alive = match raw.keep_alive.value {
        Some(Cap(every)) => keep_alive(&raw.keep_alive.at, every, idle, problems),
        None => policy.keep_alive,
    };
    Timeouts { connect, first_byte, idle, total: policy.total, keep_alive }
}

pub(super) fn breaker(raw: &RawBreaker, problems: &mut Problems) -> Option<BreakerOptions> {
    let consecutive_failures = in_range(&raw.consecutive_failures, 1..=1_000_000, problems);
    let error_percent = in_range(&raw.error_percent, 1..=100, problems);
    let min_calls = match raw.min_calls.value {
        Some(value) => {
            let given = At { value, at: raw.min_calls.at.clone(), given: true };
            in_range(&given, 1..=1_000_000, problems)
        }
        // Who allows more failures in a row does not want to be overruled by their share.
        None => consecutive_failures.map(|n| n.saturating_mul(2).max(SHARE_OF_AT_LEAST)),
    };
    let window = lasting(&raw.window, 1000 * MS..=60 * MINUTE, problems);
    let open_for = lasting(&raw.open_for, MS..=60 * MINUTE, problems);
    Some(BreakerOptions {
        consecutive_failures: consecutive_failures?,
        error_percent: error_percent?,
        min_calls: min_calls?,
        window,
        open_for,
    })
}

pub(super) fn ailog(raw: &RawAiLog, problems: &mut Problems) -> Option<AiLogPolicy> {
    let capture_bytes = sized(&raw.capture_bytes, 0..=bounds::WAL_RECORD_BYTES_MAX as u64, problems);
    let retention_days = in_range(&raw.retention_days, 1..=36_500, problems);
    Some(AiLogPolicy {
        capture_request: raw.capture_request.value,
        capture_response: raw.capture_response.value,
        capture_bytes: usize::try_from(capture_bytes).ok()?,
        retention_days: retention_days?,
        durability: raw.durability.value,
    })
}
