//! How many tokens a call will use: before a provider has seen it, and when its client has left before its end.
//!
//! Stages 4 and 9 of the walk. Pure. Before a call money is reserved for the most that it may use, and tokens for what it
//! will use about (a bucket of tokens is refilled, and what was used too much is waited for); both are settled on what the
//! provider reports. Does not: tokenise, read a body (see `redact::Facts`), or know models (see `cost::output`).

use crate::usage::TokenUsage;

/// Bytes of text to one token, about: English has four to five, code and other scripts fewer.
const BYTES_PER_TOKEN: u64 = 4;
/// What a model answers about, where the request sets no bound.
const OUTPUT_TOKENS: u64 = 512;
/// The tokens of one large image of the best quality.
const IMAGE_TOKENS: u64 = 6_240;
/// What a model writes in a second while nothing is seen of it.
const TOKENS_PER_SECOND: u64 = 50;
/// A body of which the end and the length are not known is taken to have at least so many bytes: what the largest context
/// windows hold.
pub const UNKNOWN_BYTES: u64 = 4 << 20;

/// What an endpoint charges besides its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// Text of a model.
    Text,
    /// Images.
    Images,
    /// Nothing, or nothing by the token: embeddings, moderations, speech.
    Nothing,
}

/// What a body says about its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is made of it.
    pub makes: Makes,
    /// The bound that it sets to one answer.
    pub bound: Option<u64>,
    /// Answers, or images.
    pub choices: u64,
    /// The longest answer of its model.
    pub longest: u64,
}

/// What is reserved for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What its request has.
    pub input: u64,
    /// What it will answer, about.
    pub likely: u64,
    /// What it may answer, at most.
    pub most: u64,
    /// It sets no bound, so that `most` is the model's.
    pub assumed: bool,
}

impl Asked {
    /// The bound of one answer; none where it says nothing. Zero, and what stands for a negative number, are no bound to some
    /// servers.
    fn bound(&self) -> Option<u64> {
        self.bound.filter(|bound| !matches!(*bound, 0 | u64::MAX))
    }

    /// The most that may be answered, all choices together.
    pub fn most(&self) -> u64 {
        match self.makes {
            Makes::Text => self.bound().unwrap_or(self.longest).saturating_mul(self.choices),
            Makes::Images => IMAGE_TOKENS.saturating_mul(self.choices),
            Makes::Nothing => 0,
        }
    }

    /// What is reserved, with `bytes` of text in the request.
    pub fn expected(&self, bytes: u64) -> Expected {
        let most = self.most();
        let likely = match (self.makes, self.bound()) {
            (Makes::Text, None) => OUTPUT_TOKENS.saturating_mul(self.choices).min(most),
            _ => most,
        };
        let assumed = self.makes == Makes::Text && self.bound().is_none();
        Expected { input: bytes.div_ceil(BYTES_PER_TOKEN), likely, most, assumed }
    }

    /// What a call has used whose client left, or was told of a timeout, after its provider had been at work for so many
    /// milliseconds. `told`: what is known of it from what came until then.
    pub fn used_until(&self, told: Option<TokenUsage>, bytes: u64, worked_ms: u64) -> TokenUsage {
        let at_work = match told {
            // What was seen tells its speed, so that only a long silence is more.
            Some(_) => (worked_ms / 1_000).saturating_sub(1).saturating_mul(TOKENS_PER_SECOND),
            None => worked_ms.saturating_mul(TOKENS_PER_SECOND).div_ceil(1_000),
        };
        let written = match self.makes {
            Makes::Text => at_work.saturating_mul(self.choices).min(self.most()),
            Makes::Images => self.most(),
            Makes::Nothing => 0,
        };
        let told = told.unwrap_or_default();
        let input = if told.input > 0 { told.input } else { bytes.div_ceil(BYTES_PER_TOKEN) };
        TokenUsage { input, output: told.output.max(written), ..told }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(makes: Makes, bound: Option<u64>, choices: u64) -> Asked {
        Asked { makes, bound, choices, longest: 16_384 }
    }

    #[test]
    fn what_is_reserved() {
        use Makes::*;
        for (makes, bound, choices, bytes, (input, likely, most, assumed)) in [
            (Text, Some(7), 1, 17, (5, 7, 7, false)),
            (Text, Some(100), 5, 0, (0, 500, 500, false)),
            (Text, None, 1, 4, (1, 512, 16_384, true)),
            (Text, None, 128, 4, (1, 65_536, 2_097_152, true)),
            // No bounds, whatever they look like.
            (Text, Some(0), 1, 4, (1, 512, 16_384, true)),
            (Text, Some(u64::MAX), 1, 4, (1, 512, 16_384, true)),
            (Text, Some(u64::MAX - 1), 3, u64::MAX, (u64::MAX / 4 + 1, u64::MAX, u64::MAX, false)),
            (Images, None, 3, 8, (2, 18_720, 18_720, false)),
            (Nothing, Some(9), 9, 8, (2, 0, 0, false)),
        ] {
            let expected = Expected { input, likely, most, assumed };
            assert_eq!(asked(makes, bound, choices).expected(bytes), expected, "{makes:?} {bound:?} {choices}");
        }
    }

    #[test]
    fn what_a_call_used_that_was_left() {
        use Makes::*;
        let told = |input, output| Some(TokenUsage { input, output, ..TokenUsage::default() });
        for (makes, bound, choices, told, worked_ms, expected) in [
            // Nothing was seen of it: its input, and so much for each second.
            (Text, None, 1, None, 0, (1_000, 0)),
            (Text, None, 1, None, 1, (1_000, 1)),
            (Text, None, 1, None, 10_000, (1_000, 500)),
            (Text, None, 2, None, 10_000, (1_000, 1_000)),
            (Text, Some(40), 1, None, 10_000, (1_000, 40)),
            (Text, None, 1, None, u64::MAX, (1_000, 16_384)),
            // Something was: that counts, unless it was silent for long.
            (Text, None, 1, told(0, 20), 1_900, (1_000, 20)),
            (Text, None, 1, told(90, 20), 10_000, (90, 450)),
            (Text, Some(30), 1, told(90, 40), 10_000, (90, 40)),
            (Images, None, 2, None, 0, (1_000, 12_480)),
            (Nothing, None, 1, None, 10_000, (1_000, 0)),
        ] {
            let used = asked(makes, bound, choices).used_until(told, 4_000, worked_ms);
            assert_eq!((used.input, used.output), expected, "{makes:?} {bound:?} {told:?} {worked_ms}");
        }
    }
}
