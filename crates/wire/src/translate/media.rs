//! Media in `data:` URLs and in base64.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json::JsonText;
use super::neutral::Source;

/// The source that a URL names: the content of a `data:` URL, else an address.
///
/// # Errors
/// A sentence: a `data:` URL without a type, or not in base64.
pub(crate) fn source<'a>(url: &JsonText<'a>) -> Result<Source<'a>, &'static str> {
    let is_data = url.escaped().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if !is_data {
        return Ok(Source::Url(url.clone()));
    }
    let Some((head, data)) = url.split_at_comma() else {
        return Err("the `data:` URL has no data");
    };
    let head = head[5..].replace("\\/", "/");
    let mut words = head.split(';').map(str::trim);
    let media_type = media_type(words.next().unwrap_or_default());
    if !media_type.contains('/') {
        return Err("the `data:` URL has no media type");
    }
    if !words.any(|word| word.eq_ignore_ascii_case("base64")) {
        return Err("the `data:` URL is not in base64");
    }
    Ok(Source::Base64 { media_type: Cow::Owned(media_type), data: data.without_space() })
}

/// A media type in lower case, without parameters; `image/jpg` is `image/jpeg`.
pub(crate) fn media_type(given: &str) -> String {
    let name = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if name == "image/jpg" { "image/jpeg".to_owned() } else { name }
}

/// The text of base64; `None` if it is not UTF-8 in base64.
pub(crate) fn decode_text(data: &JsonText<'_>) -> Option<JsonText<'static>> {
    let bytes = STANDARD.decode(data.plain().as_bytes()).ok()?;
    String::from_utf8(bytes).ok().map(JsonText::from_plain)
}

/// `data:image/png;base64,` before the data.
pub(crate) fn data_url_head(media_type: &str) -> JsonText<'static> {
    JsonText::from_plain(format!("data:{media_type};base64,"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("data:image/png;base64,QUJD", Ok(("image/png", "QUJD"))),
            (r"data:image\/JPG;charset=x;base64,QU\/D\n", Ok(("image/jpeg", "QU/D"))),
            ("DATA:text/plain;base64,", Ok(("text/plain", ""))),
            ("data:;base64,QUJD", Err("the `data:` URL has no media type")),
            ("data:text/plain,abc", Err("the `data:` URL is not in base64")),
            ("data:text/plain;base64", Err("the `data:` URL has no data")),
        ] {
            let json = format!("\"{url}\"");
            let url: JsonText<'_> = serde_json::from_str(&json).expect("a string");
            let seen = match &source(&url) {
                Ok(Source::Base64 { media_type, data }) => {
                    Ok((media_type.to_string(), data.plain().into_owned()))
                }
                Ok(other) => panic!("{other:?}"),
                Err(text) => Err(*text),
            };
            assert_eq!(
                seen,
                expected.map(|(kind, data)| (kind.to_owned(), data.to_owned())),
                "{url:?}"
            );
        }
        let address = JsonText::literal("https://example.org/a,b.png");
        assert!(matches!(source(&address), Ok(Source::Url(url)) if url == address));
        assert_eq!(decode_text(&JsonText::literal("w6k=")), Some(JsonText::from_plain("é")));
        assert_eq!(decode_text(&JsonText::literal("/w==")), None);
    }
}
