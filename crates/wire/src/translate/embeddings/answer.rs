//! The answers of each service, read, and the caller's answer, written.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lenient::{Count, Lenient};
use crate::translate::TranslatedAnswer;
use crate::translate::error::Invalid;
use crate::translate::json::{JsonList, JsonObject, List, Raw, compact};
use crate::usage::TokenUsage;

use super::{Context, Service, vector};

/// The answer to one call, with a status of 200.
#[derive(Clone, Copy, Debug)]
pub struct CallAnswer<'a> {
    /// Its body.
    pub body: &'a [u8],
    /// The tokens of the texts, where only a header reports them
    /// (`x-amzn-bedrock-input-token-count`).
    pub input_tokens: Option<u64>,
}

/// Translates the answers to the calls of a request, in the order of the calls.
///
/// # Errors
/// One cannot be read, or has not one vector for each text: `provider_answer_invalid`.
pub fn answer(context: &Context, answers: &[CallAnswer<'_>]) -> Result<TranslatedAnswer, Invalid> {
    if answers.len() != context.texts.len() {
        return Err(Invalid::new("not every call has an answer"));
    }
    let mut out = Vec::with_capacity(answers.iter().map(|answer| answer.body.len() + 64).sum());
    let mut tokens = Some(0u64);
    {
        let mut object = JsonObject::new(&mut out);
        object.str("object", "list");
        {
            let mut data = object.list("data");
            let mut index = 0;
            for (answer, texts) in answers.iter().zip(&context.texts) {
                let (vectors, reported) = read(context.service, answer.body)?;
                if vectors.len() != *texts {
                    return Err(Invalid::new("the answer has not one vector for each text"));
                }
                for vector in vectors {
                    write_vector(vector, index, context, &mut data)?;
                    index += 1;
                }
                let reported = reported.or(answer.input_tokens);
                tokens = tokens.zip(reported).map(|(sum, more)| sum.saturating_add(more));
            }
        }
        object.str("model", &context.model);
        // The form of the answer requires figures.
        let mut usage = object.object("usage");
        usage.number("prompt_tokens", tokens.unwrap_or(0));
        usage.number("total_tokens", tokens.unwrap_or(0));
    }
    Ok(TranslatedAnswer {
        body: out,
        model: context.model.clone(),
        usage: tokens.map(|input| TokenUsage { input, ..TokenUsage::default() }),
        finish_reason: String::new(),
        tool_calls: 0,
    })
}

fn write_vector(
    json: &RawValue,
    index: u64,
    context: &Context,
    data: &mut JsonList<'_>,
) -> Result<(), Invalid> {
    let List(mut values): List<f64> = serde_json::from_str(json.get())
        .map_err(|_| Invalid::new("a vector of the answer is not a list of numbers"))?;
    let is_as_asked = context.dimensions.is_none_or(|asked| asked == values.len() as u64);
    if values.is_empty() || !is_as_asked {
        return Err(Invalid::new("a vector of the answer has another number of dimensions"));
    }
    let is_short = context.service.shortens() && context.dimensions.is_some();
    let is_changed = is_short && vector::normalise(&mut values);
    let mut entry = data.object();
    entry.str("object", "embedding");
    entry.number("index", index);
    if context.is_base64 {
        entry.str("embedding", &vector::base64(&values));
    } else if is_changed {
        let mut list = entry.list("embedding");
        for value in values {
            list.json(value.to_string().as_bytes());
        }
    } else {
        entry.raw("embedding", &Raw::trusted(compact(json.get())));
    }
    Ok(())
}

// ---- reading ------------------------------------------------------------------------------------

/// The vectors of an answer, as they are written, and its tokens where it reports them.
type Read<'a> = (Vec<&'a RawValue>, Option<u64>);

fn read(service: Service, body: &[u8]) -> Result<Read<'_>, Invalid> {
    match service {
        Service::Gemini => read_batch(parse(body)?),
        Service::VertexPredict => Ok(read_predict(parse(body)?)),
        Service::VertexContent => read_content(parse(body)?),
        Service::Titan => read_titan(parse(body)?),
        Service::CohereV3 | Service::CohereV4 => read_cohere(parse(body)?),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Invalid> {
    serde_json::from_slice(body).map_err(|_| Invalid::new("the answer is not one of embeddings"))
}

const WITHOUT: Invalid = Invalid::new("the answer has no vectors");

#[derive(Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageMetadata {
    #[serde(default)]
    prompt_token_count: Count,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow, default)]
    embedding: Option<Values<'a>>,
    #[serde(borrow, default)]
    embeddings: Option<List<Values<'a>>>,
    #[serde(default)]
    usage_metadata: Lenient<UsageMetadata>,
}

fn read_batch(answer: Content<'_>) -> Result<Read<'_>, Invalid> {
    let List(vectors) = answer.embeddings.ok_or(WITHOUT)?;
    let vectors = vectors.into_iter().map(|vector| vector.values).collect();
    Ok((vectors, answer.usage_metadata.0.and_then(|usage| usage.prompt_token_count.0)))
}

fn read_content(answer: Content<'_>) -> Result<Read<'_>, Invalid> {
    let vector = answer.embedding.ok_or(WITHOUT)?;
    let tokens = answer.usage_metadata.0.and_then(|usage| usage.prompt_token_count.0);
    Ok((vec![vector.values], tokens))
}

#[derive(Deserialize)]
struct Predictions<'a> {
    #[serde(borrow)]
    predictions: List<Prediction<'a>>,
}

#[derive(Deserialize)]
struct Prediction<'a> {
    #[serde(borrow)]
    embeddings: Predicted<'a>,
}

#[derive(Deserialize)]
struct Predicted<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
    #[serde(default)]
    statistics: Lenient<Statistics>,
}

#[derive(Default, Deserialize)]
struct Statistics {
    #[serde(default)]
    token_count: Whole,
}

/// A count that may be written as `7.0`.
#[derive(Clone, Copy, Default)]
struct Whole(Option<u64>);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Whole, D::Error> {
        let json = <&'de RawValue>::deserialize(from)?.get();
        let number: Option<crate::translate::json::Number<'_>> = serde_json::from_str(json).ok();
        Ok(Whole(number.and_then(|number| number.as_u64())))
    }
}

fn read_predict(answer: Predictions<'_>) -> Read<'_> {
    let mut tokens = Some(0u64);
    let mut vectors = Vec::new();
    for Prediction { embeddings } in answer.predictions.0 {
        let more = embeddings.statistics.0.and_then(|statistics| statistics.token_count.0);
        tokens = tokens.zip(more).map(|(sum, more)| sum.saturating_add(more));
        vectors.push(embeddings.values);
    }
    (vectors, tokens)
}

#[derive(Deserialize)]
struct TitanByType<'a> {
    #[serde(borrow, default)]
    float: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TitanAnswer<'a> {
    #[serde(borrow, default)]
    embedding: Option<&'a RawValue>,
    #[serde(borrow, default)]
    embeddings_by_type: Option<TitanByType<'a>>,
    #[serde(default)]
    input_text_token_count: Count,
}

fn read_titan(answer: TitanAnswer<'_>) -> Result<Read<'_>, Invalid> {
    let by_type = answer.embeddings_by_type.and_then(|types| types.float);
    let vector = answer.embedding.or(by_type).ok_or(WITHOUT)?;
    Ok((vec![vector], answer.input_text_token_count.0))
}

#[derive(Deserialize)]
struct CohereAnswer<'a> {
    #[serde(borrow, default)]
    embeddings: Option<&'a RawValue>,
}

/// A list of vectors, or an object of such lists by the type of their numbers.
fn read_cohere(answer: CohereAnswer<'_>) -> Result<Read<'_>, Invalid> {
    #[derive(Deserialize)]
    struct ByType<'a> {
        #[serde(borrow)]
        float: List<&'a RawValue>,
    }
    let json = answer.embeddings.ok_or(WITHOUT)?.get();
    let vectors = if json.starts_with('[') {
        serde_json::from_str::<List<&RawValue>>(json).map(|list| list.0)
    } else {
        serde_json::from_str::<ByType<'_>>(json).map(|types| types.float.0)
    };
    Ok((vectors.map_err(|_| WITHOUT)?, None))
}
