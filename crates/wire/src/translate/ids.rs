//! Ids: those that the gateway mints for answers, and ids of calls that a format cannot take.
//!
//! A minted id is drawn from the id of the call and a counter, so that stream, log and a repeated
//! chunk agree. Does not use random numbers.

use std::borrow::Cow;

use super::json::JsonText;

/// Characters of a minted id after its prefix.
const MINTED_CHARS: usize = 24;

/// Mints the ids of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    seed: [u64; 2],
}

impl Ids {
    /// The ids of the call with this id.
    pub fn new(call_id: &str) -> Ids {
        Ids { seed: hash(call_id.as_bytes(), 0) }
    }

    /// The id number `counter` with this prefix: `msg_` and 24 letters and digits.
    pub fn mint(&self, prefix: &str, counter: u32) -> String {
        let mut bytes = Vec::with_capacity(prefix.len() + 20);
        bytes.extend_from_slice(prefix.as_bytes());
        bytes.extend_from_slice(&counter.to_le_bytes());
        bytes.extend_from_slice(&self.seed[0].to_le_bytes());
        written(prefix, hash(&bytes, self.seed[1]))
    }
}

/// The ids that a format takes for calls of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdRule {
    /// `[a-zA-Z0-9_-]{1,40}`: chat completions.
    Chat,
    /// `[a-zA-Z0-9_-]{1,64}`: Responses, Anthropic.
    Long,
    /// `[a-zA-Z0-9_.:-]{1,64}`: Bedrock.
    Bedrock,
}

impl IdRule {
    fn takes(self, id: &str) -> bool {
        let (most, dots) = match self {
            IdRule::Chat => (40, false),
            IdRule::Long => (64, false),
            IdRule::Bedrock => (64, true),
        };
        let fits = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || dots && b".:".contains(&byte)
        };
        (1..=most).contains(&id.len()) && id.bytes().all(fits)
    }
}

/// The id of a call if the format takes it, else `prefix` and a hash of it: the same for the call
/// and for its result, in every turn.
pub fn fit<'t>(id: &'t JsonText<'_>, rule: IdRule, prefix: &str) -> Cow<'t, str> {
    if rule.takes(id.escaped()) {
        return Cow::Borrowed(id.escaped());
    }
    Cow::Owned(written(prefix, hash(id.escaped().as_bytes(), 1)))
}

/// `prefix` and a hash of a text.
pub(crate) fn hashed(text: &str, prefix: &str) -> String {
    written(prefix, hash(text.as_bytes(), 2))
}

/// Whether every format takes this id.
pub fn is_plain(id: &str) -> bool {
    IdRule::Chat.takes(id)
}

/// Whether a name of a tool has 1 to `most` of `[a-zA-Z0-9_-]`.
pub fn is_tool_name(name: &JsonText<'_>, most: usize) -> bool {
    let name = name.escaped();
    (1..=most).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// FNV-1a twice, mixed at the end. Not against an attacker: whoever chooses an id can only disturb
/// their own conversation.
fn hash(bytes: &[u8], seed: u64) -> [u64; 2] {
    let (mut a, mut b) =
        (0xcbf2_9ce4_8422_2325 ^ seed, 0x6c62_272e_07bb_0142 ^ seed.rotate_left(32));
    for byte in bytes {
        a = (a ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        b = (b ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        b = b.rotate_left(29);
    }
    [mixed(a ^ b.rotate_left(17)), mixed(b.wrapping_add(a))]
}

/// The last step of SplitMix64.
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn written(prefix: &str, state: [u64; 2]) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = String::with_capacity(prefix.len() + MINTED_CHARS);
    id.push_str(prefix);
    // 24 digits to the base 62 are 142 bits: 12 from each half, the second stirred by the first.
    for mut half in [state[0], state[1]] {
        for _ in 0..MINTED_CHARS / 2 {
            id.push(char::from(ALPHABET[usize::try_from(half % 62).unwrap_or(0)]));
            half = (half / 62) ^ ((half % 62) << 58);
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_ids_are_constant_and_differ() {
        let ids = Ids::new("0199-call");
        let mut all: Vec<String> = (0..1000).map(|n| ids.mint("msg_", n)).collect();
        assert_eq!(all[7], Ids::new("0199-call").mint("msg_", 7));
        assert!(all.iter().all(|id| id.len() == 28 && is_plain(id)), "{all:?}");
        all.extend((0..1000).map(|n| ids.mint("fc_", n)));
        all.extend((0..1000).map(|n| Ids::new("0199-cal1").mint("msg_", n)));
        all.iter_mut().for_each(|id| *id = id.split_off(id.len() - 24));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3000);
    }

    #[test]
    fn ids_that_do_not_fit_are_replaced() {
        for (id, rule, fits) in [
            ("call_1", IdRule::Chat, true),
            ("toolu_01A-b", IdRule::Chat, true),
            ("", IdRule::Chat, false),
            ("a.b", IdRule::Chat, false),
            ("a.b:c", IdRule::Bedrock, true),
            ("call_0123456789012345678901234567890123456789", IdRule::Chat, false),
            ("call_0123456789012345678901234567890123456789", IdRule::Long, true),
            ("call_1|fc_2", IdRule::Long, false),
            ("é", IdRule::Long, false),
        ] {
            let text = JsonText::from_plain(id);
            let fitted = fit(&text, rule, "call_");
            assert_eq!(fitted == id, fits, "{id}");
            assert!(rule.takes(&fitted), "{fitted}");
            assert_eq!(fitted, fit(&text, rule, "call_"));
        }
        assert_ne!(
            fit(&JsonText::from_plain("a|b"), IdRule::Long, "call_"),
            fit(&JsonText::from_plain("a|c"), IdRule::Long, "call_")
        );
    }
}
