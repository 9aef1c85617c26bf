//! The query of a request's target: decoded, redacted, encoded again.
//!
//! Pure. What holds no match leaves exactly as it came.

use crate::redact;

/// The query with its names and values redacted, and what was found; `None` where it is not UTF-8.
pub fn redacted(rules: &redact::Rules, query: &str) -> Option<(String, redact::Ledger)> {
    let mut total = redact::Ledger::default();
    let mut redacted = String::with_capacity(query.len());
    for (i, pair) in query.split('&').enumerate() {
        if i > 0 {
            redacted.push('&');
        }
        for (j, part) in pair.splitn(2, '=').enumerate() {
            if j > 0 {
                redacted.push('=');
            }
            let decoded = percent_decoded(part)?;
            let (clean, ledger) = redact::text(rules, &decoded);
            if ledger.counts.is_empty() {
                redacted.push_str(part);
            } else {
                percent_encode(clean.as_bytes(), &mut redacted);
                total.absorb(&ledger);
            }
        }
    }
    Some((redacted, total))
}

/// Form decoding: `%40` and `+`; `None` where the result is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).ok()?);
                i += 3;
            }
            (b'+', ..) => {
                decoded.push(b' ');
                i += 1;
            }
            (byte, ..) => {
                decoded.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

fn percent_encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_as_forms() {
        assert_eq!(percent_decoded("a%40b+c%zz%"), Some("a@b c%zz%".to_owned()));
        assert_eq!(percent_decoded("%ff"), None);
        let mut out = String::new();
        percent_encode("[R] ä".as_bytes(), &mut out);
        assert_eq!(out, "%5BR%5D%20%C3%A4");
    }
}
