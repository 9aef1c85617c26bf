//! `POST /v1/embeddings`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError};
use crate::mock::fault::Script;
use crate::mock::shape::Field::{May, Must};
use crate::mock::shape::Shape;
use crate::mock::think::tokens;
use crate::mock::vector::vector;

use super::{checked, model_of};

/// OpenAI's own limit of inputs in one call.
const INPUTS_MAX: usize = 2048;
/// The most dimensions that OpenAI's models have.
const DIMENSIONS_MAX: u64 = 3072;

const BODY: Shape = Shape::Fields(&[
    Must("model", Shape::Text),
    Must("input", Shape::Either(&[Shape::Text, Shape::List(0, &Shape::Any)])),
    May("dimensions", Shape::Integer),
    May("encoding_format", Shape::Text),
    May("user", Shape::Text),
]);

pub(crate) fn embeddings(body: &Value, script: &Script, _: u64) -> Result<Answer, ApiError> {
    let model = model_of(body)?;
    checked(body, &BODY)?;
    let inputs = inputs(&body["input"])?;
    let dimensions = body["dimensions"].as_u64().unwrap_or(1536);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(ApiError::invalid(
            "'dimensions' has to be from 1 to 3072.",
            Some("dimensions"),
        ));
    }
    let base64 = match body["encoding_format"].as_str() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(ApiError::invalid(
                "'encoding_format' is float or base64.",
                Some("encoding_format"),
            ));
        }
    };
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = vector(input, dimensions);
        let embedding = if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(BASE64_STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let data: Vec<Value> = data.collect();
    let used =
        script.input_tokens.unwrap_or_else(|| inputs.iter().map(|input| tokens(input)).sum());
    let usage = json!({"prompt_tokens": used, "total_tokens": used});
    Ok(Answer::ok(&json!({"object": "list", "data": data, "model": model, "usage": usage})))
}

/// The inputs: a string, a list of strings, a list of tokens, or a list of those.
pub(crate) fn inputs(input: &Value) -> Result<Vec<String>, ApiError> {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let inputs = match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_number) => {
            vec![input.to_string()]
        }
        Value::Array(items) => items.iter().map(one).collect(),
        _ => vec![],
    };
    if inputs.is_empty() || inputs.len() > INPUTS_MAX {
        return Err(ApiError::invalid(
            "'input' has to be a string or a list of 1 to 2048.",
            Some("input"),
        ));
    }
    Ok(inputs)
}
