//! The issuer that a certificate names, for messages about certificates that do not verify.
//!
//! Pure. Guarantees: any bytes are read without a panic, in one pass, into a bounded text. Does
//! not: check anything; the certificate is not trusted.
//!
//! # Source
//! RFC 5280, sections 4.1 and 4.1.2.4; X.690.

use crate::visible::visible;

/// The parts of a name that people know an authority by: type (in DER) and abbreviation.
const PARTS: [(&[u8], &str); 3] =
    [(&[0x55, 4, 3], "CN"), (&[0x55, 4, 11], "OU"), (&[0x55, 4, 10], "O")];
/// Longest part of a name that is shown, in characters.
const PART_CHARS_MAX: usize = 64;

const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// The issuer of a certificate in DER, such as `CN=Example CA, O=Example`.
pub fn issuer(certificate: &[u8]) -> Option<String> {
    let (fields, _) = inside(SEQUENCE, inside(SEQUENCE, certificate)?.0)?;
    let fields = inside(VERSION, fields).map_or(fields, |(_, rest)| rest);
    let (_, fields) = inside(INTEGER, fields)?;
    let (_, fields) = inside(SEQUENCE, fields)?;
    let (mut name, _) = inside(SEQUENCE, fields)?;
    let mut parts = Vec::new();
    while let Some((set, rest)) = inside(SET, name) {
        name = rest;
        let Some((part, _)) = inside(SEQUENCE, set) else { continue };
        let Some((oid, value)) = inside(OID, part) else { continue };
        let known = PARTS.iter().position(|(known, _)| *known == oid);
        if let (Some(order), Some((_, text, _))) = (known, element(value)) {
            parts.push((order, String::from_utf8_lossy(text).into_owned()));
        }
    }
    parts.sort_by_key(|(order, _)| *order);
    parts.truncate(PARTS.len());
    let shown = |(order, text): &(usize, String)| {
        let text: String = text.chars().take(PART_CHARS_MAX).collect();
        format!("{}={}", PARTS[*order].1, visible(&text).replace(char::is_control, " "))
    };
    let parts: Vec<String> = parts.iter().map(shown).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The content of the first element if it has this tag, and the rest behind it.
fn inside(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag, content and rest.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if length.len() > 3 {
            return None;
        }
        (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn certificate(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls");
        CertificateDer::from_pem_file(folder.join(name)).expect("a certificate").to_vec()
    }

    #[test]
    fn the_issuer_of_a_certificate_is_found() {
        let issuer = issuer(&certificate("provider.pem"));
        assert_eq!(issuer.as_deref(), Some("CN=Tollgate test CA of providers"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(at in 0..400usize, byte: u8, cut in 0..900usize) {
            let mut bytes = certificate("provider.pem");
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            if let Some(name) = issuer(&bytes) {
                prop_assert!(name.len() <= 4 * 3 * (PART_CHARS_MAX + 8));
            }
        }
    }
}
