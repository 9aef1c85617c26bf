//! Base64 in a field where attachments stand: whether it is the data of an image and the like, or a
//! text in disguise.
//!
//! Pure. Judged by the beginning of a string; whatever the verdict, the string is still looked at
//! as text. Does not: read what is in an image, a sound or a document that is no plain text.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Shorter strings of base64 characters may be words.
const TEXT_MIN: usize = 8;
/// Shorter strings are no data of their own: patterns of the policy are looked for in them.
const SEALED_MIN: usize = 64;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// The meaning of a media type, or of the type of a part, for data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Media {
    #[default]
    Unknown,
    /// A text: it could have been sent as one.
    Text,
    /// Pixels, sound, PDF, archives.
    Binary,
}

impl Media {
    /// The meaning of the media type `name`.
    pub(crate) fn of(name: &[u8]) -> Media {
        let name =
            name.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let (kind, sub) = match name.iter().position(|b| *b == b'/') {
            Some(i) => (&name[..i], &name[i + 1..]),
            None => (&name[..], &name[..0]),
        };
        let ends = |ends: &[&[u8]]| ends.iter().any(|end| sub.ends_with(end));
        match kind {
            b"text" | b"message" => Media::Text,
            _ if ends(&[
                b"xml",
                b"json",
                b"yaml",
                b"csv",
                b"html",
                b"script",
                b"toml",
                b"sql",
                b"rtf",
                b"markdown",
                b"x-sh",
                b"x-tex",
                b"x-latex",
                b"x-python",
                b"x-www-form-urlencoded",
                b"ndjson",
                b"jsonl",
                b"graphql",
            ]) =>
            {
                Media::Text
            }
            b"image" | b"audio" | b"video" | b"font" => Media::Binary,
            b"application"
                if sub.starts_with(b"vnd.")
                    || matches!(sub, b"pdf" | b"zip" | b"gzip" | b"msword") =>
            {
                Media::Binary
            }
            _ => Media::Unknown,
        }
    }
}

/// The beginning of a string, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// No base64, as far as it can be told.
    Plain,
    /// Base64 of something else than text.
    Sealed,
    /// Base64 that may be of anything; too short, or too even, to be sure.
    Short,
    /// Base64 of a text.
    Text,
}

/// Judges the beginning of a string in a field for attachments. `media`: what its neighbours say of
/// it.
pub(crate) fn attachment(head: &[u8], media: Media) -> Head {
    let head = head.trim_ascii_start();
    let Some(rest) = strip_data(head) else { return base64(head, media) };
    let Some(comma) = rest.iter().position(|b| *b == b',') else { return Head::Plain };
    let about = rest[..comma].trim_ascii().to_ascii_lowercase();
    if !about.ends_with(b"base64") {
        return Head::Plain;
    }
    match Media::of(&about) {
        Media::Text => Head::Text,
        Media::Binary => base64(&rest[comma + 1..], Media::Binary),
        Media::Unknown => base64(&rest[comma + 1..], media),
    }
}

/// Judges the beginning of a field that only the provider can read.
pub(crate) fn opaque(head: &[u8]) -> Head {
    match base64(head, Media::Binary) {
        Head::Text => Head::Short,
        head => head,
    }
}

fn strip_data(head: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = head.split_at_checked(5)?;
    scheme.eq_ignore_ascii_case(b"data:").then_some(rest)
}

fn base64(head: &[u8], media: Media) -> Head {
    let mut data = Vec::with_capacity(head.len());
    let mut safe = false;
    for b in head {
        match b {
            b'-' | b'_' => safe = true,
            b'\n' | b'\t' | b' ' => continue,
            b'=' => break,
            b'+' | b'/' => {}
            b if b.is_ascii_alphanumeric() => {}
            _ => return Head::Plain,
        }
        data.push(*b);
    }
    if data.len() > SEALED_MIN {
        // The string may go on.
        data.truncate(data.len() / 4 * 4);
    }
    if data.len() < TEXT_MIN || data.len() % 4 == 1 {
        return Head::Plain;
    }
    let engine = if safe { &SAFE } else { &PLAIN };
    let Ok(decoded) = engine.decode(&data) else { return Head::Plain };
    // Sound may begin as a mark of UTF-16 does.
    if is_text(&decoded) && !(media == Media::Binary && decoded[0] >= 0xFE) {
        return Head::Text;
    }
    let mixed = |class: fn(&u8) -> bool| data.iter().any(class);
    let mixed =
        mixed(u8::is_ascii_uppercase) && mixed(u8::is_ascii_lowercase) && mixed(u8::is_ascii_digit);
    if data.len() >= SEALED_MIN && mixed { Head::Sealed } else { Head::Short }
}

/// Whether these bytes are a text in a usual encoding.
fn is_text(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"%PDF-") || bytes.len() < 6 {
        return false;
    }
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // A character is cut.
        Err(e) => e.error_len().is_none() && bytes.len() - e.valid_up_to() < 4,
    };
    let ascii = bytes.iter().filter(|b| b.is_ascii()).count();
    // One byte for each letter, as ISO 8859 and Windows have it: mostly ASCII.
    let single = bytes.len() >= 16 && ascii * 10 >= bytes.len() * 9;
    is_wide_text(bytes) || bytes.iter().all(|b| is_visible(*b)) && (valid || single)
}

fn is_visible(b: u8) -> bool {
    b >= b' ' && b != 0x7F || matches!(b, b'\n' | b'\r' | b'\t' | 0x0C)
}

/// Whether these bytes are a text in UTF-16 or UTF-32: by its mark, or because most characters are
/// ASCII with zeros beside them.
pub(crate) fn is_wide_text(bytes: &[u8]) -> bool {
    let mostly = |len: usize| {
        let count = bytes.len() / len;
        (0..len).any(|at| {
            let ascii = |c: &&[u8]| {
                c.iter().enumerate().all(|(i, b)| if i == at { is_visible(*b) } else { *b == 0 })
            };
            bytes.chunks_exact(len).filter(ascii).count() * 4 >= count * 3
        })
    };
    bytes.starts_with(&[0xFF, 0xFE])
        || bytes.starts_with(&[0xFE, 0xFF])
        || bytes.len() >= 8 && (mostly(2) || mostly(4))
}
