//! The head of one part of a form: its name, its file name and its type.
//!
//! Pure. Guarantees: a head that two readers could read in two ways is refused; only a name, a file
//! name and a plain media type are told. Other header fields have no meaning in a form and are left
//! out (RFC 7578, section 4.8).

use super::parts::invalid;
use crate::RedactError;

/// A part, as its head describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartHead {
    pub(crate) name: String,
    /// It is a file.
    pub(crate) filename: Option<String>,
    /// Its media type without parameters, in lower case.
    pub(crate) media: Option<String>,
}

/// Longest media type that is passed on.
const MEDIA_BYTES_MAX: usize = 100;

/// Reads a head.
///
/// # Errors
/// It is ambiguous, or describes a part that is not read: one that is encoded, or in parts itself.
pub(crate) fn read(head: &[u8]) -> Result<PartHead, RedactError> {
    let Ok(head) = std::str::from_utf8(head) else {
        return invalid("the head of a part is not UTF-8");
    };
    let (mut disposition, mut kind) = (None, None);
    for line in head.split("\r\n") {
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_token(name)) else {
            return invalid("a part has a malformed header line");
        };
        let value = value.trim_matches([' ', '\t']);
        if value.contains(|c: char| c.is_control() && c != '\t') {
            return invalid("a header of a part holds a control character");
        }
        let slot = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-type" => &mut kind,
            "content-transfer-encoding" if !is_as_it_is(value) => {
                return invalid("a part is encoded; send it as it is");
            }
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return invalid("a part has the same header twice");
        }
    }
    let Some(disposition) = disposition else {
        return invalid("a part has no Content-Disposition");
    };
    let mut part = PartHead::default();
    let mut named = false;
    for (name, value) in parameters(disposition, "form-data")? {
        match name.as_str() {
            "name" if !std::mem::replace(&mut named, true) => part.name = value,
            "filename" if part.filename.is_none() => part.filename = Some(base_name(&value)),
            "name" | "filename" => return invalid("a part has two names"),
            "filename*" | "name*" => {
                return invalid("a part has an extended name, which forms do not have");
            }
            _ => {}
        }
    }
    if !named {
        return invalid("a part has no name");
    }
    part.media = kind.map(|kind| media(kind, part.filename.is_some())).transpose()?.flatten();
    Ok(part)
}

/// The last segment of a path: only the name of a file matters (RFC 7578, section 4.2).
fn base_name(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

/// Encodings that leave the bytes alone.
fn is_as_it_is(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|known| known.eq_ignore_ascii_case(encoding))
}

/// The media type as it is passed on; nothing if it says more than a type.
fn media(kind: &str, is_file: bool) -> Result<Option<String>, RedactError> {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence.starts_with("multipart/") {
        return invalid("a part has parts itself");
    }
    if !is_file {
        let charset = kind.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        });
        let is_utf8 = |charset: &str| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|known| known.eq_ignore_ascii_case(charset))
        };
        if charset.is_some_and(|charset| !is_utf8(charset)) {
            return invalid("a text field is not in UTF-8");
        }
    }
    let digits = essence.bytes().filter(u8::is_ascii_digit).count();
    let plain = essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
    Ok(Some(essence).filter(|essence| plain && digits < 6 && essence.len() <= MEDIA_BYTES_MAX))
}

/// The parameters behind `essence`; their names in lower case.
///
/// # Errors
/// The value does not begin with `essence`, or its grammar is broken.
fn parameters(value: &str, essence: &str) -> Result<Vec<(String, String)>, RedactError> {
    const BROKEN: &str = "a part has a malformed Content-Disposition";
    let mut rest = match value.split_at_checked(essence.len()) {
        Some((kind, rest)) if kind.eq_ignore_ascii_case(essence) => rest.trim_start(),
        _ => return invalid("the Content-Disposition of a part is not form-data"),
    };
    let mut parameters = Vec::new();
    while !rest.is_empty() {
        let Some((name, behind)) = rest.strip_prefix(';').and_then(|rest| rest.split_once('='))
        else {
            return invalid(BROKEN);
        };
        let (name, behind) = (name.trim().to_ascii_lowercase(), behind.trim_start());
        if !is_token(&name) {
            return invalid(BROKEN);
        }
        let value;
        (value, rest) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let Some(unquoted) = unquoted(quoted) else { return invalid(BROKEN) };
                unquoted
            }
            None => {
                let end = behind.find([';', ' ', '\t']).unwrap_or(behind.len());
                if !is_token(&behind[..end]) {
                    return invalid(BROKEN);
                }
                (behind[..end].to_owned(), &behind[end..])
            }
        };
        parameters.push((name, value));
        rest = rest.trim_start();
    }
    Ok(parameters)
}

/// A quoted value, read behind its opening quotation mark, and the rest. A backslash escapes a
/// quotation mark or itself, as curl writes it; elsewhere it stands for itself, as browsers write it.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => {
                let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                value.push(escaped.map_or(c, |(_, escaped)| escaped));
            }
            c => value.push(c),
        }
    }
    None
}

/// A token of RFC 9110, with the `*` of extended parameters.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, filename: Option<&str>, media: Option<&str>) -> PartHead {
        PartHead {
            name: name.to_owned(),
            filename: filename.map(str::to_owned),
            media: media.map(str::to_owned),
        }
    }

    #[test]
    fn heads_of_common_clients_are_read() {
        for (head, expected) in [
            ("Content-Disposition: form-data; name=\"model\"", part("model", None, None)),
            (
                "content-disposition: FORM-DATA;name=file ; filename=a.wav\r\nContent-Type: audio/WAV",
                part("file", Some("a.wav"), Some("audio/wav")),
            ),
            (
                "Content-Disposition: form-data; name=\"file\"; filename=\"C:\\tmp\\a \\\"b\\\".mp3\"\r\n\
                 Content-Type: audio/mpeg; x=jane@example.com\r\nContent-Length: 7",
                part("file", Some("a \"b\".mp3"), Some("audio/mpeg")),
            ),
            (
                "Content-Disposition: form-data; name=\"f\"; filename=\"../../x\"\r\nContent-Type: ",
                part("f", Some("x"), None),
            ),
            (
                "Content-Disposition: form-data; name=\"p\"\r\nContent-Type: text/plain; charset=UTF-8\r\n\
                 Content-Transfer-Encoding: 8bit",
                part("p", None, Some("text/plain")),
            ),
            (
                "Content-Disposition: form-data; name=\"f\"; filename=\"\"\r\nContent-Type: x/4155550132",
                part("f", Some(""), None),
            ),
        ] {
            assert_eq!(read(head.as_bytes()), Ok(expected), "{head}");
        }
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        for head in [
            "",
            "Content-Type: text/plain",
            "Content-Disposition: attachment; name=\"a\"",
            "Content-Disposition: form-data",
            "Content-Disposition: form-data; filename=\"a\"",
            "Content-Disposition: form-data; name=\"a\"; name=\"b\"",
            "Content-Disposition: form-data; name=\"a\"; filename=\"b\"; filename=\"c\"",
            "Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''b",
            "Content-Disposition: form-data; name=\"a",
            "Content-Disposition: form-data; name=\"a\" b",
            "Content-Disposition: form-data; name=a b",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
            "Content-Disposition : form-data; name=\"a\"",
            "Content-Disposition: form-data;\r\n name=\"a\"",
            "Content-Disposition: form-data; name=\"a\nb\"",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: multipart/mixed; boundary=c",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=utf-16",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64",
        ] {
            assert!(read(head.as_bytes()).is_err(), "{head}");
        }
        assert!(read(b"Content-Disposition: form-data; name=\"\xff\"").is_err());
    }
}
