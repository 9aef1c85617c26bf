//! `invoke` of the embedding models of Titan and Cohere.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError};
use crate::mock::fault::Script;
use crate::mock::think::tokens;
use crate::mock::vector::vector;

use super::{checked, shapes};

/// Texts of one call of Cohere.
const TEXTS_MAX: usize = 96;
/// Characters of a text of Cohere's older models.
const TEXT_CHARS_MAX: usize = 2_048;

pub(crate) fn invoke(body: &Value, model: &str, script: &Script) -> Result<Answer, ApiError> {
    if model.contains("titan-embed") {
        return titan(body, script);
    }
    if model.contains("cohere.embed") {
        return cohere(body, model, script);
    }
    let words = "The provided model identifier is invalid.";
    Err(ApiError::invalid(words, None))
}

fn titan(body: &Value, script: &Script) -> Result<Answer, ApiError> {
    checked(body, &shapes::TITAN)?;
    let dimensions = body["dimensions"].as_u64().unwrap_or(1024);
    if ![256, 512, 1024].contains(&dimensions) {
        return Err(malformed("#/dimensions: not one of 256, 512, 1024"));
    }
    let text = body["inputText"].as_str().unwrap_or_default();
    if text.is_empty() {
        return Err(malformed("#/inputText: expected minLength: 1, actual: 0"));
    }
    let used = script.input_tokens.unwrap_or_else(|| tokens(text));
    let values = vector(text, dimensions);
    Ok(counted(
        used,
        &json!({"embedding": values, "inputTextTokenCount": used,
        "embeddingsByType": {"float": values}}),
    ))
}

fn cohere(body: &Value, model: &str, script: &Script) -> Result<Answer, ApiError> {
    let is_new = model.contains("embed-v4");
    checked(body, if is_new { &shapes::COHERE_4 } else { &shapes::COHERE_3 })?;
    let texts = body["texts"].as_array().map_or(&[][..], Vec::as_slice);
    if texts.len() > TEXTS_MAX {
        return Err(malformed("#/texts: expected maximum item count: 96"));
    }
    let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
    if !is_new && texts.iter().any(|text| text.chars().count() > TEXT_CHARS_MAX) {
        return Err(malformed("#/texts/0: expected maxLength: 2048"));
    }
    let dimensions = body["output_dimension"].as_u64().unwrap_or(if is_new { 1536 } else { 1024 });
    if ![256, 512, 1024, 1536].contains(&dimensions) {
        return Err(malformed("#/output_dimension: not one of 256, 512, 1024, 1536"));
    }
    let vectors: Vec<Vec<f32>> = texts.iter().map(|text| vector(text, dimensions)).collect();
    let is_typed = body["embedding_types"].is_array();
    let used = texts.iter().map(|text| tokens(text)).sum();
    let answer = if is_typed {
        json!({"id": "mock", "texts": texts, "response_type": "embeddings_by_type",
            "embeddings": {"float": vectors}})
    } else {
        json!({"id": "mock", "texts": texts, "response_type": "embeddings_floats",
            "embeddings": vectors})
    };
    Ok(counted(script.input_tokens.unwrap_or(used), &answer))
}

/// The tokens are told in a header, too.
fn counted(tokens: u64, body: &Value) -> Answer {
    Answer::json(200, vec![("x-amzn-bedrock-input-token-count", tokens.to_string())], body)
}

fn malformed(words: &str) -> ApiError {
    ApiError::invalid(
        format!("Malformed input request: {words}, please reformat your input and try again."),
        None,
    )
}
