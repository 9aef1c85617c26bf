//! `batchEmbedContents` and `embedContent`.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError};
use crate::mock::fault::Script;
use crate::mock::json::text_of;
use crate::mock::think::tokens;
use crate::mock::vector::vector;

/// Dimensions of the model without `outputDimensionality`, and at most.
const DIMENSIONS: u64 = 3072;
/// Texts of one call.
const TEXTS_MAX: usize = 100;

pub(crate) fn batch(body: &Value, model: &str, script: &Script) -> Result<Answer, ApiError> {
    let requests = body["requests"].as_array().map_or(&[][..], Vec::as_slice);
    if requests.len() > TEXTS_MAX {
        let words =
            "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch";
        return Err(ApiError::invalid(words, None));
    }
    let named = format!("models/{model}");
    if requests.iter().any(|request| request["model"] != named) {
        let words = format!("* BatchEmbedContentsRequest.requests[].model: expected '{named}'");
        return Err(ApiError::invalid(words, None));
    }
    let vectors: Result<Vec<Value>, ApiError> = requests.iter().map(embedding).collect();
    let used = requests.iter().map(|request| tokens(&text(request))).sum();
    let used: u64 = script.input_tokens.unwrap_or(used);
    Ok(Answer::ok(&json!({"embeddings": vectors?, "usageMetadata": {"promptTokenCount": used}})))
}

pub(crate) fn one(body: &Value, _: &str, script: &Script) -> Result<Answer, ApiError> {
    let used = script.input_tokens.unwrap_or_else(|| tokens(&text(body)));
    let usage = json!({"promptTokenCount": used});
    Ok(Answer::ok(&json!({"embedding": embedding(body)?, "usageMetadata": usage})))
}

fn text(request: &Value) -> String {
    text_of(&request["content"]["parts"])
}

/// Vectors of fewer dimensions are not of length one.
fn embedding(request: &Value) -> Result<Value, ApiError> {
    let dimensions = request["outputDimensionality"].as_u64().unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS).contains(&dimensions) {
        return Err(ApiError::invalid("output_dimensionality must be from 1 to 3072", None));
    }
    let text = text(request);
    if text.is_empty() {
        return Err(ApiError::invalid("content is empty", None));
    }
    let cut = usize::try_from(dimensions).unwrap_or(usize::MAX);
    let values: Vec<f32> = vector(&text, DIMENSIONS).into_iter().take(cut).collect();
    Ok(json!({"values": values}))
}
