//! The content type of a form: the boundary that its client chose, and the one that goes on.
//!
//! Stage 6 of the walk. Guarantees: a boundary that two readers could read in two ways is refused;
//! the boundary that goes on is random, so that no file can hold it, and nothing of the client's
//! passes in it. Does not: read the form (`redact` does).

use aws_lc_rs::rand;
use http::HeaderValue;

use crate::code::Code;
use crate::pipeline::refusal::{Refusal, overloaded};

/// Longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// The boundary in a `content-type`; nothing if that is no `multipart/form-data`.
///
/// # Errors
/// It is one without a boundary, or with an ambiguous one.
pub fn boundary(content_type: &str) -> Result<Option<&[u8]>, Refusal> {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return Ok(None);
    }
    let mut found = None;
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else { return Err(ambiguous()) };
        if name.trim().eq_ignore_ascii_case("boundary") && found.replace(value.trim()).is_some() {
            return Err(ambiguous());
        }
    }
    let value = found.ok_or_else(ambiguous)?;
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').ok_or_else(ambiguous)?,
        None => value,
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&b);
    if value.is_empty() || value.len() > BOUNDARY_BYTES_MAX || !value.bytes().all(is_plain) {
        return Err(ambiguous());
    }
    Ok(Some(value.as_bytes()))
}

fn ambiguous() -> Refusal {
    let message = "the content type of a form must have one plain `boundary` of at most 70 \
        characters";
    Refusal::new(Code::InvalidRequest, message).closing()
}

/// A random boundary.
///
/// # Errors
/// The machine has no randomness.
pub fn fresh_boundary() -> Result<String, Refusal> {
    let mut random = [0; 16];
    rand::fill(&mut random).map_err(|_| overloaded())?;
    Ok(format!("tollgate-{:032x}", u128::from_be_bytes(random)))
}

/// The content type of a form with this boundary.
pub fn content_type(boundary: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_read_strictly() {
        let long = "b".repeat(71);
        for (kind, expected) in [
            ("application/json", Ok(None)),
            ("multipart/mixed; boundary=a", Ok(None)),
            (
                "multipart/form-data; boundary=----WebKitFormBoundaryx9",
                Ok(Some("----WebKitFormBoundaryx9")),
            ),
            ("Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a=b:c\"", Ok(Some("a=b:c"))),
            ("multipart/form-data", Err(())),
            ("multipart/form-data; boundary=", Err(())),
            ("multipart/form-data; boundary=\"\"", Err(())),
            ("multipart/form-data; boundary=\"a", Err(())),
            ("multipart/form-data; boundary=a; boundary=b", Err(())),
            ("multipart/form-data; boundary=a b", Err(())),
            ("multipart/form-data; boundary=\"a;b\"", Err(())),
            ("multipart/form-data; boundary=a@example.com", Err(())),
            (&format!("multipart/form-data; boundary={long}"), Err(())),
        ] {
            let read = boundary(kind).map_err(|refusal| assert_eq!(refusal.code.status(), 400));
            assert_eq!(read, expected.map(|text: Option<&str>| text.map(str::as_bytes)), "{kind}");
        }
    }

    #[test]
    fn fresh_boundaries_differ_and_are_plain() {
        let (one, other) = (fresh_boundary().expect("random"), fresh_boundary().expect("random"));
        assert_ne!(one, other);
        let kind = content_type(&one).expect("a header");
        let read = boundary(kind.to_str().expect("text")).expect("plain");
        assert_eq!(read, Some(one.as_bytes()));
    }
}
