//! Carriers: opaque data of one provider in a field of another provider's format.
//!
//! A carrier is ASCII: `tg1.` and the maker of the model, a full stop, the data in base64url, and,
//! where the data is not the signature of the thinking beside it, a full stop and a letter. It
//! holds opaque data only, never text that may be read: redaction does not look into such fields.
//!
//! Does not check the data: it is the provider's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json::JsonText;
use super::neutral::{Opaque, OpaqueKind, Vendor};

/// The beginning of every carrier.
pub(crate) const PREFIX: &str = "tg1.";
/// A carrier of nothing. An item of reasoning without opaque content counts as the name of one that
/// the provider keeps; with this it is complete in itself.
pub const NOTHING: &str = "tg1.none.";

/// The part of an answer to which carried data belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The thinking in the same block or item.
    Thinking,
    /// The call of a tool that follows.
    Call,
    /// The text before it.
    Text,
}

const VENDORS: [(Vendor, &str); 5] = [
    (Vendor::Anthropic, "anthropic"),
    (Vendor::Google, "google"),
    (Vendor::OpenAi, "openai"),
    (Vendor::Amazon, "amazon"),
    (Vendor::Other, "other"),
];

/// The carrier of opaque data.
///
/// ```
/// use tollgate_wire::translate::carrier::{Owner, decode, encode};
/// use tollgate_wire::translate::json::JsonText;
/// use tollgate_wire::translate::neutral::{Opaque, OpaqueKind, Vendor};
/// let data = JsonText::literal("Sg==");
/// let opaque = Opaque { vendor: Vendor::Google, kind: OpaqueKind::Signature, data };
/// let carrier = encode(&opaque, Owner::Call);
/// assert_eq!(carrier, "tg1.google.U2c9PQ.c");
/// assert_eq!(decode(&carrier), Some((opaque, Owner::Call)));
/// ```
pub fn encode(opaque: &Opaque<'_>, owner: Owner) -> String {
    let vendor = VENDORS.iter().find(|(vendor, _)| *vendor == opaque.vendor);
    let mut carrier = [PREFIX, vendor.map_or("other", |(_, name)| name), "."].concat();
    URL_SAFE_NO_PAD.encode_string(opaque.data.plain().as_bytes(), &mut carrier);
    carrier.push_str(match (owner, opaque.kind) {
        (Owner::Thinking, OpaqueKind::Signature) => "",
        (Owner::Thinking, OpaqueKind::Hidden) => ".h",
        (Owner::Call, _) => ".c",
        (Owner::Text, _) => ".t",
    });
    carrier
}

/// Whether this is a carrier, of whatever maker.
pub fn is_carrier(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The data of a carrier; `None` if it is none, or not a known one.
pub fn decode(text: &str) -> Option<(Opaque<'static>, Owner)> {
    let mut pieces = text.strip_prefix(PREFIX)?.split('.');
    let (name, data) = (pieces.next()?, pieces.next()?);
    let (vendor, _) = VENDORS.iter().find(|(_, known)| *known == name)?;
    let (owner, kind) = match pieces.next() {
        None => (Owner::Thinking, OpaqueKind::Signature),
        Some("h") => (Owner::Thinking, OpaqueKind::Hidden),
        Some("c") => (Owner::Call, OpaqueKind::Signature),
        Some("t") => (Owner::Text, OpaqueKind::Signature),
        Some(_) => return None,
    };
    let data = String::from_utf8(URL_SAFE_NO_PAD.decode(data).ok()?).ok()?;
    let is_whole = pieces.next().is_none() && !data.is_empty();
    let opaque = Opaque { vendor: *vendor, kind, data: JsonText::from_plain(data) };
    is_whole.then_some((opaque, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_carrier() {
        for text in [
            "",
            "Sg==",
            "tg1.",
            "tg1.google",
            "tg1.google.",
            NOTHING,
            "tg1.nobody.U2c",
            "tg1.google.U2c9PQ.x",
            "tg1.google.U2c9PQ.c.c",
            "tg1.google.*",
            "tg2.google.U2c9PQ",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn carriers_come_back() {
        for (vendor, _) in VENDORS {
            for (kind, owner) in [
                (OpaqueKind::Signature, Owner::Thinking),
                (OpaqueKind::Hidden, Owner::Thinking),
                (OpaqueKind::Signature, Owner::Call),
                (OpaqueKind::Signature, Owner::Text),
            ] {
                let opaque = Opaque { vendor, kind, data: JsonText::from_plain("a/+\"\\=é\n") };
                let carrier = encode(&opaque, owner);
                assert!(is_carrier(&carrier) && carrier.is_ascii());
                assert_eq!(decode(&carrier), Some((opaque, owner)));
            }
        }
    }
}
