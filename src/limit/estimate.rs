//! How many tokens a call will use, guessed from its body before a provider has seen it.
//!
//! Stage 4 of the walk, where the policy limits tokens or money. Pure. A guess only has to be near: it is settled on what
//! the provider reports. Does not: tokenise.

use crate::usage::TokenUsage;

/// Bytes of text to one token, about: English has four to five, code and other scripts fewer.
const BYTES_PER_TOKEN: u64 = 4;
/// What a model is expected to answer where the request sets no bound.
const OUTPUT_TOKENS: u64 = 512;
/// The fields in which a request bounds its answer.
const BOUNDS: [&[u8]; 4] =
    [b"\"max_tokens\"", b"\"max_completion_tokens\"", b"\"max_output_tokens\"", b"\"max_tokens_to_sample\""];

/// The estimate for a request body with `bytes` bytes of text that begins with `begin`. `generates`: the endpoint answers with text
/// of a model.
pub fn usage(begin: &[u8], bytes: u64, generates: bool) -> TokenUsage {
    let output = if generates { bound(begin).unwrap_or(OUTPUT_TOKENS) } else { 0 };
    TokenUsage { input: bytes.div_ceil(BYTES_PER_TOKEN), output, ..TokenUsage::default() }
}

/// The bound that a request sets to its answer. Looked for in the text: within a JSON string the quotes around the name
/// would be escaped, so that no user's text can look like it.
fn bound(body: &[u8]) -> Option<u64> {
    BOUNDS.iter().find_map(|name| {
        let rest = &body[memchr::memmem::find(body, name)? + name.len()..];
        let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let digits = rest.iter().take(10).take_while(|b| b.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates() {
        for (body, generates, expected) in [
            (&br#"{"max_tokens": 7}"#[..], true, (5, 7)),
            (br#"{"max_completion_tokens":900,"a":1}"#, true, (9, 900)),
            (br#"{"max_tokens":null}"#, true, (5, 512)),
            (br#"{"text":"\"max_tokens\":9"}"#, true, (7, 512)),
            (br#"{"max_tokens":9"#, false, (4, 0)),
            (b"", true, (0, 512)),
        ] {
            let usage = usage(body, body.len() as u64, generates);
            assert_eq!((usage.input, usage.output), expected, "{}", String::from_utf8_lossy(body));
        }
    }
}
