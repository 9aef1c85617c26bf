//! Numbers of a body that say something about the call: bounds of the answer, and how many answers.

use super::{Fact, Facts};

/// The numbers from which [`Facts::output_tokens_max`] and [`Facts::choices`] come.
#[derive(Debug)]
pub(crate) struct Tally {
    bound: Option<u64>,
    /// Bounds by names that this endpoint may not know: they raise a bound, but set none.
    loose_bound: u64,
    /// `n` or `best_of`.
    answers: u64,
    /// Elements of a list of prompts.
    prompts: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { bound: None, loose_bound: 0, answers: 1, prompts: 1 }
    }
}

impl Tally {
    /// Takes a number under a key that says something about the call.
    pub(crate) fn number(&mut self, fact: Fact, number: &Number, facts: &mut Facts) {
        match fact {
            Fact::Bound => self.bound = self.bound.max(Some(number.value(u64::MAX))),
            Fact::LooseBound => self.loose_bound = self.loose_bound.max(number.value(u64::MAX)),
            Fact::Answers => self.answers = self.answers.max(number.value(1)),
            _ => {}
        }
        facts.output_tokens_max = self.bound.map(|bound| bound.max(self.loose_bound));
        facts.choices = self.answers.saturating_mul(self.prompts);
    }

    /// So many prompts stand in a list.
    pub(crate) fn prompts(&mut self, prompts: u64, facts: &mut Facts) {
        self.prompts = self.prompts.max(prompts);
        facts.choices = self.answers.saturating_mul(self.prompts);
    }
}

/// A JSON number, read digit by digit in constant memory: whole numbers of up to 19 digits are
/// exact, fractions are rounded up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Number {
    negative: bool,
    mantissa: u64,
    digits: u8,
    /// Power of ten that the mantissa is to be multiplied with, apart from the exponent that is
    /// written.
    scale: i64,
    point: bool,
    in_exponent: bool,
    exponent: i64,
    exponent_negative: bool,
    /// A digit that is not 0 was left out.
    inexact: bool,
}

impl Number {
    /// So many digits fit into the mantissa.
    const DIGITS: u8 = 19;

    /// Takes the next character.
    pub(crate) fn push(&mut self, b: u8) {
        match b {
            b'-' if self.in_exponent => self.exponent_negative = true,
            b'-' => self.negative = true,
            b'.' => self.point = true,
            b'e' | b'E' => self.in_exponent = true,
            b'0'..=b'9' if self.in_exponent => {
                self.exponent =
                    self.exponent.saturating_mul(10).saturating_add(i64::from(b - b'0'));
            }
            b'0'..=b'9' if self.digits < Self::DIGITS => {
                self.mantissa = self.mantissa * 10 + u64::from(b - b'0');
                self.digits += u8::from(self.mantissa > 0);
                self.scale = self.scale.saturating_sub(i64::from(self.point));
            }
            b'0'..=b'9' => {
                self.inexact |= b != b'0';
                self.scale = self.scale.saturating_add(i64::from(!self.point));
            }
            _ => {}
        }
    }

    /// A string that some servers take for a number.
    pub(crate) fn of_text(text: &[u8]) -> Option<Number> {
        let text = text.trim_ascii();
        let is_number = text.iter().any(u8::is_ascii_digit)
            && text
                .iter()
                .all(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E' | b'_'));
        is_number.then(|| {
            let mut number = Number::default();
            text.iter().for_each(|b| number.push(*b));
            number
        })
    }

    /// The number, at most `u64::MAX`; `negative` for one below 0.
    pub(crate) fn value(&self, negative: u64) -> u64 {
        if self.mantissa == 0 {
            return 0;
        }
        if self.negative {
            return negative;
        }
        let written =
            if self.exponent_negative { self.exponent.saturating_neg() } else { self.exponent };
        let scale = self.scale.saturating_add(written);
        let power = |n: i64| u32::try_from(n).ok().and_then(|n| 10_u128.checked_pow(n));
        match (scale, power(scale.saturating_abs())) {
            (0.., Some(power)) => u128::from(self.mantissa)
                .checked_mul(power)
                .and_then(|n| n.try_into().ok())
                .unwrap_or(u64::MAX),
            (0.., None) => u64::MAX,
            (_, Some(power)) => {
                let whole = u128::from(self.mantissa).div_ceil(power);
                let up = self.inexact && u128::from(self.mantissa) % power == 0;
                u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(u64::from(up))
            }
            (_, None) => 1,
        }
    }
}
