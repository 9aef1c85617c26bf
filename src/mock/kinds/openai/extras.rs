//! The small endpoints: moderations, models, images and speech.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError};
use crate::mock::fault::Script;
use crate::mock::json::text_of;
use crate::mock::think::tokens;

use super::embeddings::inputs;

/// The models that `GET /v1/models` lists.
const MODELS: [&str; 6] = [
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1-mini",
    "o4-mini",
    "text-embedding-3-small",
    "claude-sonnet-4-5",
];
/// Answers to `GET`.
pub(crate) fn get(path: &str) -> Option<Answer> {
    let model = |id: &str| json!({"id": id, "object": "model", "created": 1_715_367_049, "owned_by": "mock"});
    if path == "/models" {
        return Some(Answer::ok(&json!({"object": "list", "data": MODELS.map(model)})));
    }
    let id = path.strip_prefix("/models/")?;
    MODELS.contains(&id).then(|| Answer::ok(&model(id)))
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
