//! Estimates of the tokens that a call uses: before it is sent, and after it if the provider
//! reported none.
//!
//! Pure. Before a call, money is reserved for the most that it may use and tokens for what it will
//! probably use (a bucket of tokens refills, and a debt is waited for). Both are settled on the
//! provider's report. If there is none, usage is estimated from the bytes of text.
//!
//! Four bytes of text count as one token. English prose has 4.2 to 4.8 with current vocabularies,
//! other European languages 3.5 to 4.5, code 3 to 4, Chinese and Japanese 3 to 4 (one character has
//! three bytes). The estimate is therefore within about 30 % of the charge and needs no vocabulary
//! of megabytes in the binary.
//!
//! Does not tokenise, read a body, know models, or estimate images and sound in a request.

use crate::usage::TokenUsage;

/// Bytes of text per token, on average.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens of a typical answer, used if the request sets no bound.
const OUTPUT_TOKENS: u64 = 512;
/// Tokens of one large image of the best quality.
const IMAGE_TOKENS: u64 = 6_240;
/// Tokens that a model writes in a second, used while its answer is not visible.
const TOKENS_PER_SECOND: u64 = 50;
/// The assumed size of a body whose length is not known yet: the largest context windows hold this
/// many bytes.
pub const UNKNOWN_BYTES: u64 = 4 << 20;

/// The output that an endpoint charges for, besides the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// Text of a model.
    Text,
    /// Images.
    Images,
    /// No output, or none that is charged by the token: embeddings, moderations, speech.
    Nothing,
}

/// The request's own statements about its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The kind of output.
    pub makes: Makes,
    /// The request's bound on one answer, in tokens.
    pub bound: Option<u64>,
    /// Number of answers or images.
    pub choices: u64,
    /// The longest answer of its model, in tokens.
    pub longest: u64,
}

/// The reservation for a call, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Tokens of the request.
    pub input: u64,
    /// Tokens that the answer will probably have.
    pub likely: u64,
    /// Tokens that the answer may have at most.
    pub most: u64,
    /// The request sets no bound, so `most` is the model's.
    pub assumed: bool,
}

impl Asked {
    /// The bound on one answer, if it is one: some servers ignore zero and negative numbers (read
    /// as `u64::MAX`).
    fn bound(&self) -> Option<u64> {
        self.bound.filter(|bound| !matches!(*bound, 0 | u64::MAX))
    }

    /// The most tokens that all choices together may have.
    pub fn most(&self) -> u64 {
        match self.makes {
            Makes::Text => self.bound().unwrap_or(self.longest).saturating_mul(self.choices),
            Makes::Images => IMAGE_TOKENS.saturating_mul(self.choices),
            Makes::Nothing => 0,
        }
    }

    /// The reservation for a request with `bytes` of text.
    pub fn expected(&self, bytes: u64) -> Expected {
        let most = self.most();
        let likely = match (self.makes, self.bound()) {
            (Makes::Text, None) => OUTPUT_TOKENS.saturating_mul(self.choices).min(most),
            _ => most,
        };
        let assumed = self.makes == Makes::Text && self.bound().is_none();
        Expected { input: bytes.div_ceil(BYTES_PER_TOKEN), likely, most, assumed }
    }

    /// Usage of a call whose client disconnected or timed out after its provider had worked for
    /// `worked_ms`. `seen`: usage known from the part of the answer that arrived; `bytes`: text in
    /// the request.
    pub fn used_until(&self, seen: Option<TokenUsage>, bytes: u64, worked_ms: u64) -> TokenUsage {
        let at_work = match seen {
            // The part that arrived is counted; only a long silence adds to it.
            Some(_) => (worked_ms / 1_000).saturating_sub(1).saturating_mul(TOKENS_PER_SECOND),
            None => worked_ms.saturating_mul(TOKENS_PER_SECOND).div_ceil(1_000),
        };
        let written = match self.makes {
            Makes::Text => at_work.saturating_mul(self.choices).min(self.most()),
            Makes::Images => self.most(),
            Makes::Nothing => 0,
        };
        combined(seen, bytes, written)
    }
}

/// Usage of a call whose provider reported none, or only a part (`reported`). The request had
/// `asked_bytes` of text, the answer `text_bytes`.
pub fn usage(reported: Option<TokenUsage>, asked_bytes: u64, text_bytes: u64) -> TokenUsage {
    combined(reported, asked_bytes, text_bytes.div_ceil(BYTES_PER_TOKEN))
}

/// The known part, completed with the request's bytes as input and with `written` tokens of output.
fn combined(known: Option<TokenUsage>, asked_bytes: u64, written: u64) -> TokenUsage {
    let known = known.unwrap_or_default();
    let input = if known.input > 0 { known.input } else { asked_bytes.div_ceil(BYTES_PER_TOKEN) };
    TokenUsage { input, output: known.output.max(written), ..known }
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
            // Values that are no bounds.
            (Text, Some(0), 1, 4, (1, 512, 16_384, true)),
            (Text, Some(u64::MAX), 1, 4, (1, 512, 16_384, true)),
            (Text, Some(u64::MAX - 1), 3, u64::MAX, (u64::MAX / 4 + 1, u64::MAX, u64::MAX, false)),
            (Images, None, 3, 8, (2, 18_720, 18_720, false)),
            (Nothing, Some(9), 9, 8, (2, 0, 0, false)),
        ] {
            let expected = Expected { input, likely, most, assumed };
            assert_eq!(
                asked(makes, bound, choices).expected(bytes),
                expected,
                "{makes:?} {bound:?} {choices}"
            );
        }
    }

    #[test]
    fn what_a_call_used_that_was_left() {
        use Makes::*;
        let seen = |input, output| Some(TokenUsage { input, output, ..TokenUsage::default() });
        for (makes, bound, choices, seen, worked_ms, expected) in [
            // Nothing arrived: the input, and a rate for each second.
            (Text, None, 1, None, 0, (1_000, 0)),
            (Text, None, 1, None, 1, (1_000, 1)),
            (Text, None, 1, None, 10_000, (1_000, 500)),
            (Text, None, 2, None, 10_000, (1_000, 1_000)),
            (Text, Some(40), 1, None, 10_000, (1_000, 40)),
            (Text, None, 1, None, u64::MAX, (1_000, 16_384)),
            // A part arrived: it counts, unless a long silence followed.
            (Text, None, 1, seen(0, 20), 1_900, (1_000, 20)),
            (Text, None, 1, seen(90, 20), 10_000, (90, 450)),
            (Text, Some(30), 1, seen(90, 40), 10_000, (90, 40)),
            (Images, None, 2, None, 0, (1_000, 12_480)),
            (Nothing, None, 1, None, 10_000, (1_000, 0)),
        ] {
            let used = asked(makes, bound, choices).used_until(seen, 4_000, worked_ms);
            assert_eq!(
                (used.input, used.output),
                expected,
                "{makes:?} {bound:?} {seen:?} {worked_ms}"
            );
        }
    }

    #[test]
    fn a_report_counts_before_the_estimate() {
        let seen = TokenUsage { input: 90, cached: 80, output: 1, ..TokenUsage::default() };
        assert_eq!(usage(Some(seen), 4_000, 400), TokenUsage { output: 100, ..seen });
        assert_eq!(
            usage(None, 4_001, 7),
            TokenUsage { input: 1_001, output: 2, ..TokenUsage::default() }
        );
    }
}
