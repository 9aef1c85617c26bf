//! The caller's request, read.

use serde_json::value::RawValue;

use crate::translate::json::{JsonText, List, Number, object};
use crate::translate::loss::{Losses, Reason, Refused};

use super::TEXTS_MAX;

object! {
    struct Body<'a> {
        "model" => model: JsonText<'a>,
        "input" => input: &'a RawValue,
        "dimensions" => dimensions: Number<'a>,
        "encoding_format" => encoding_format: JsonText<'a>,
        "user" => user: JsonText<'a>,
        // Cohere's; callers send it as an extra field.
        "input_type" => input_type: JsonText<'a>,
    }
}

/// A request in neutral form.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// At least one; none is empty.
    pub(crate) texts: Vec<JsonText<'a>>,
    pub(crate) dimensions: Option<u64>,
    /// Vectors are wanted as base64 of their floats.
    pub(crate) is_base64: bool,
    pub(crate) purpose: Option<Purpose>,
}

/// The purpose of the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Document,
    Query,
    Classification,
    Clustering,
}

impl Purpose {
    /// Cohere's word.
    pub(crate) const fn cohere(self) -> &'static str {
        match self {
            Purpose::Document => "search_document",
            Purpose::Query => "search_query",
            Purpose::Classification => "classification",
            Purpose::Clustering => "clustering",
        }
    }

    /// Google's word.
    pub(crate) const fn google(self) -> &'static str {
        match self {
            Purpose::Document => "RETRIEVAL_DOCUMENT",
            Purpose::Query => "RETRIEVAL_QUERY",
            Purpose::Classification => "CLASSIFICATION",
            Purpose::Clustering => "CLUSTERING",
        }
    }

    fn of_word(word: &str) -> Option<Purpose> {
        let all = [Purpose::Document, Purpose::Query, Purpose::Classification, Purpose::Clustering];
        all.into_iter().find(|purpose| purpose.cohere() == word)
    }
}

/// Reads a request, and notes the fields that no service can express.
pub(crate) fn read<'a>(body: &'a [u8], losses: &mut Losses) -> Result<Request<'a>, Refused> {
    let body = std::str::from_utf8(body).map_err(|_| Refused {
        reason: Reason::NotJson,
        param: None,
        message: "the request is not UTF-8".to_owned(),
    })?;
    let body: Body<'a> =
        serde_json::from_str(body).map_err(|odd| Refused::unreadable(&odd, None))?;
    losses.drop_unknown("", &body.unknown);
    if body.user.is_some() {
        losses.drop_field("user");
    }
    let dimensions = body.dimensions.map(|number| match number.as_u64() {
        Some(number) if number > 0 => Ok(number),
        _ => Err(Refused::invalid("dimensions", "`dimensions` is not a whole number above 0")),
    });
    let is_base64 = match body.encoding_format.as_ref().map(JsonText::plain).as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let text = "`encoding_format` is neither float nor base64";
            return Err(Refused::invalid("encoding_format", text));
        }
    };
    let purpose = body.input_type.map(|word| {
        Purpose::of_word(&word.plain()).ok_or_else(|| {
            let text = "`input_type` is none of search_document, search_query, classification, \
                        clustering";
            Refused::invalid("input_type", text)
        })
    });
    let Some(input) = body.input else {
        return Err(Refused::invalid("input", "`input` is missing"));
    };
    Ok(Request {
        texts: read_texts(input)?,
        dimensions: dimensions.transpose()?,
        is_base64,
        purpose: purpose.transpose()?,
    })
}

/// A text or a list of texts. Ids of tokens are those of OpenAI's models, and mean nothing to
/// others.
fn read_texts<'a>(input: &'a RawValue) -> Result<Vec<JsonText<'a>>, Refused> {
    let entries: Vec<&'a RawValue> = match input.get().as_bytes().first() {
        Some(b'"') => vec![input],
        Some(b'[') => {
            let list: Result<List<&'a RawValue>, _> = serde_json::from_str(input.get());
            list.map_err(|odd| Refused::unreadable(&odd, Some("input".to_owned())))?.0
        }
        _ => return Err(Refused::invalid("input", "`input` is neither a text nor a list")),
    };
    if entries.is_empty() || entries.len() > TEXTS_MAX {
        let text = format!("`input` must have 1 to {TEXTS_MAX} texts");
        return Err(Refused::invalid("input", text));
    }
    let is_list = input.get().starts_with('[');
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let name = if is_list { format!("input[{index}]") } else { "input".to_owned() };
            match entry.get().as_bytes().first() {
                Some(b'"') => {
                    let text: JsonText<'a> = serde_json::from_str(entry.get())
                        .map_err(|odd| Refused::unreadable(&odd, Some(name.clone())))?;
                    if text.is_empty() {
                        return Err(Refused::invalid(&*name, format!("`{name}` is empty")));
                    }
                    Ok(text)
                }
                Some(b'[' | b'0'..=b'9') => {
                    let text = "token ids can be read by OpenAI's models only; send the text";
                    Err(Refused::unsupported(name, text))
                }
                _ => Err(Refused::invalid(&*name, format!("`{name}` is not a text"))),
            }
        })
        .collect()
}
