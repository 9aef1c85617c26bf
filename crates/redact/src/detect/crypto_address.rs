//! Addresses of Bitcoin and of Ethereum.
//!
//! Sources: Bitcoin's Base58Check (version 0 or 5, four bytes of a double SHA-256); BIP 173 and BIP
//! 350 (bech32 and bech32m with their checksums); EIP-55 (0x and 40 hexadecimal digits; its mixed
//! case is not checked). Does not: find keys, or addresses of other chains.

use super::places::{ALL, ANY, LETTER, RUN_MAX, after_letters, digits};
use super::{Detector, Digits, Span, View, in_word};

mod sha256;

/// Addresses of Bitcoin and of Ethereum.
pub(crate) const DETECTOR: Detector = Detector {
    name: "crypto_address",
    digits: Some(find),
    places: &[digits(ALL, LETTER), digits(&[RUN_MAX], ANY), after_letters(&[2], ALL, ANY)],
    digits_min: 1,
    ..Detector::NEW
};

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// The value of each byte as a digit of base 58, plus 1; 0 marks other bytes.
static VALUES: [u8; 256] = {
    let (mut values, mut i) = ([0; 256], 0);
    while i < BASE58.len() {
        values[BASE58[i] as usize] = i as u8 + 1;
        i += 1;
    }
    values
};
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    match view.text[q] {
        _ if view.before(q).is_some_and(|b| b.is_ascii_alphabetic()) => segwit(at),
        b'0' if at.run == 1 => ethereum(view, q),
        b'1' | b'3' => bitcoin(view, q),
        _ => None,
    }
}

/// Letters and digits from `start` on, if they are the whole word and as many as these.
fn word<'a>(view: &View<'a>, start: usize, (min, max): (usize, usize)) -> Option<&'a [u8]> {
    let text = view.text.get(start..view.text.len().min(start + max + 1))?;
    let len = text.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    ((min..=max).contains(&len) && !in_word(view, start, start + len)).then(|| &text[..len])
}

fn ethereum(view: &View<'_>, q: usize) -> Option<Span> {
    let text = word(view, q, (42, 42))?;
    let hex = text[1] == b'x' && text[2..].iter().all(u8::is_ascii_hexdigit);
    // Zeros at the beginning are those of numbers.
    (hex && !text[2..].starts_with(b"00000000")).then_some((q, q + text.len()))
}

fn bitcoin(view: &View<'_>, q: usize) -> Option<Span> {
    let text = word(view, q, (26, 35))?;
    let bytes = base58(text)?;
    let (payload, check) = bytes.split_at(21);
    let right = matches!(payload[0], 0 | 5) && sha256::of(&sha256::of(payload)).starts_with(check);
    right.then_some((q, q + text.len()))
}

/// The number that `text` is in base 58, as 25 bytes, if it has no more.
fn base58(text: &[u8]) -> Option<[u8; 25]> {
    // As many digits as fit into 32 bits at once; seven words hold 28 bytes.
    const AT_ONCE: usize = 5;
    let mut words = [0u32; 7];
    for part in text.chunks(AT_ONCE) {
        let (mut carry, mut factor) = (0u64, 1u64);
        for b in part {
            let digit = VALUES[usize::from(*b)].checked_sub(1)?;
            (carry, factor) = (carry * 58 + u64::from(digit), factor * 58);
        }
        for word in words.iter_mut().rev() {
            carry += u64::from(*word) * factor;
            *word = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; 28];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    bytes.strip_prefix(&[0; 3])?.try_into().ok()
}

/// `bc1…`: the digit at hand is the first after the letters.
fn segwit(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let start = q.checked_sub(2).filter(|start| *start >= view.lo && view.text[q] == b'1')?;
    if !view.text[start..q].eq_ignore_ascii_case(b"bc") {
        return None;
    }
    let text = word(view, start, (14, 74))?;
    let one_case =
        !(text.iter().any(u8::is_ascii_uppercase) && text.iter().any(u8::is_ascii_lowercase));
    // BIP 173: the letters of the prefix, high bits first, and a zero between.
    let mut sum = [3u32, 3, 0, 2, 3].iter().fold(1, |sum, value| step(sum, *value));
    for b in &text[3..] {
        let value = BECH32.iter().position(|c| *c == b.to_ascii_lowercase())?;
        sum = step(sum, value as u32);
    }
    (one_case && matches!(sum, 1 | 0x2bc8_30a3)).then_some((start, start + text.len()))
}

/// Takes the next five bits into the checksum.
fn step(sum: u32, value: u32) -> u32 {
    const FACTORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = sum >> 25;
    let sum = (sum & 0x01ff_ffff) << 5 ^ value;
    (0..5).filter(|i| top >> i & 1 == 1).fold(sum, |sum, i| sum ^ FACTORS[i])
}

#[cfg(test)]
#[test]
fn addresses_of_chains() {
    super::shape::check(
        "crypto_address",
        &[
            "pay to «1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa» or «3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy».",
            "«bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4»",
            "«BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4», \
             «bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr»",
            "eth «0x52908400098527886E0F7030069857D2E4169EE7»",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "0x52908400098527886E0F7030069857D2E4169EE 0x0000000000000000000000000000000000000001",
            "x1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        ],
    );
}
