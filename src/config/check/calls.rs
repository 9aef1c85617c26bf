//! `retry` and `timeouts`: the rules between their keys.

use std::time::Duration;

use super::super::reader::place::{Place, Problems};
use super::super::reader::shape::Plain as _;
use super::super::sections::{RawRetry, RawTargetTimeouts, RawTimeouts, Timeouts};
use crate::upstream::retry::RetryOptions;

pub(crate) fn retry(raw: &RawRetry, problems: &mut Problems) -> RetryOptions {
    if raw.max_delay.value < raw.base_delay.value {
        let at = if raw.max_delay.given { &raw.max_delay.at } else { &raw.base_delay.at };
        problems.add(at, "`max_delay` is shorter than `base_delay`; make it at least as long");
    }
    raw.plain()
}

pub(crate) fn timeouts(raw: &RawTimeouts, problems: &mut Problems) -> Timeouts {
    keep_alive(&raw.keep_alive.at, raw.keep_alive.value.0, raw.idle.value, problems);
    raw.plain()
}

/// A stream that is silent for `idle` is closed, so a longer interval would never send a comment.
fn keep_alive(at: &Place, every: Option<Duration>, idle: Duration, problems: &mut Problems) {
    if every.is_some_and(|every| every >= idle) {
        problems.add(
            at,
            "`keep_alive` is not shorter than `idle`, which ends a silent stream; make it \
                shorter, or `off`",
        );
    }
}

/// Timeouts of one target over those of the policy.
pub(crate) fn target_timeouts(
    raw: &RawTargetTimeouts,
    policy: Timeouts,
    problems: &mut Problems,
) -> Timeouts {
    let timeouts = raw.over(policy);
    if raw.keep_alive.value.is_some() {
        keep_alive(&raw.keep_alive.at, timeouts.keep_alive, timeouts.idle, problems);
    }
    timeouts
}
