//! The small endpoints: embeddings, moderations, models, images and speech.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError};
use super::chat::model_of;
use super::fault::Script;
use super::json::text_of;
use super::think::tokens;

/// The models that `GET /v1/models` lists.
const MODELS: [&str; 6] = [
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1-mini",
    "o4-mini",
    "text-embedding-3-small",
    "claude-sonnet-4-5",
];
/// OpenAI's own limit of inputs in one call.
const INPUTS_MAX: usize = 2048;
/// The most dimensions that OpenAI's models have.
const DIMENSIONS_MAX: u64 = 3072;

/// Answers to `GET`.
pub(crate) fn get(path: &str) -> Option<Answer> {
    let model = |id: &str| json!({"id": id, "object": "model", "created": 1_715_367_049, "owned_by": "mock"});
    if path == "/models" {
        return Some(Answer::ok(&json!({"object": "list", "data": MODELS.map(model)})));
    }
    let id = path.strip_prefix("/models/")?;
    MODELS.contains(&id).then(|| Answer::ok(&model(id)))
}

pub(crate) fn embeddings(body: &Value, script: &Script, _: u64) -> Result<Answer, ApiError> {
    let model = model_of(body)?;
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
fn inputs(input: &Value) -> Result<Vec<String>, ApiError> {
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

/// A vector of length one that depends on the text alone.
fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    // FNV-1a spreads the text over the state; splitmix64 draws from it.
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f32::from((mixed >> 48) as u16) / 32_768.0 - 1.0
    };
    let raw: Vec<f32> = (0..dimensions).map(|_| draw()).collect();
    let length =
        raw.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|number| number / length).collect()
}

pub(crate) fn moderations(body: &Value, _: &Script, number: u64) -> Result<Answer, ApiError> {
    const CATEGORIES: [&str; 7] =
        ["harassment", "hate", "illicit", "self-harm", "sexual", "sexual/minors", "violence"];
    let results = inputs(&body["input"])?.into_iter().map(|input| {
        let violent = ["kill", "attack"].iter().any(|word| input.to_lowercase().contains(word));
        let flagged = |category: &str| category == "violence" && violent;
        let categories: serde_json::Map<String, Value> =
            CATEGORIES.iter().map(|name| ((*name).to_owned(), json!(flagged(name)))).collect();
        let score =
            |name: &&str| ((**name).to_owned(), json!(if flagged(name) { 0.97 } else { 0.000_1 }));
        let scores: serde_json::Map<String, Value> = CATEGORIES.iter().map(score).collect();
        json!({"flagged": violent, "categories": categories, "category_scores": scores})
    });
    let results: Vec<Value> = results.collect();
    let model = body["model"].as_str().unwrap_or("omni-moderation-latest");
    Ok(Answer::ok(&json!({"id": format!("modr-mock{number}"), "model": model, "results": results})))
}

pub(crate) fn images(body: &Value, script: &Script, _: u64) -> Result<Answer, ApiError> {
    /// A grey pixel.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
    let prompt = text_of(&body["prompt"]);
    if prompt.is_empty() {
        return Err(ApiError::invalid("'prompt' is missing.", Some("prompt")));
    }
    let used = script.input_tokens.unwrap_or_else(|| tokens(&prompt));
    let usage = json!({"input_tokens": used, "output_tokens": 272, "total_tokens": used + 272,
        "input_tokens_details": {"text_tokens": used, "image_tokens": 0}});
    let created = crate::clock::wall_ms() / 1000;
    Ok(Answer::ok(&json!({"created": created, "data": [{"b64_json": PNG}], "usage": usage})))
}

/// A tenth of a second of silence: WAV, 8 kHz, 8 bit.
pub(crate) fn speech(body: &Value, _: &Script, _: u64) -> Result<Answer, ApiError> {
    if text_of(&body["input"]).is_empty() {
        return Err(ApiError::invalid("'input' is missing.", Some("input")));
    }
    let samples = 800_u32;
    let mut wav = Vec::with_capacity(844);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + samples).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&8000_u32.to_le_bytes());
    wav.extend_from_slice(&8000_u32.to_le_bytes());
    wav.extend_from_slice(b"\x01\0\x08\0data");
    wav.extend_from_slice(&samples.to_le_bytes());
    wav.resize(44 + samples as usize, 0x80);
    Ok(Answer::Whole { status: 200, content_type: "audio/wav", headers: vec![], body: wav.into() })
}
