//! The endpoints that take forms: transcriptions, translations of sound, and pictures made of
//! pictures.

use serde_json::{Value, json};

use super::{extras, invalid_field, model_of};
use crate::mock::answer::{Answer, ApiError, event};
use crate::mock::fault::Script;
use crate::mock::think::tokens;

/// Kinds of sound that the API takes, by the end of the file's name.
const SOUNDS: [&str; 9] =
    [".flac", ".mp3", ".mp4", ".mpeg", ".mpga", ".m4a", ".ogg", ".wav", ".webm"];

pub(crate) fn transcription(form: &Value, script: &Script) -> Result<Answer, ApiError> {
    answer(form, script, "transcript")
}

pub(crate) fn translation(form: &Value, script: &Script) -> Result<Answer, ApiError> {
    answer(form, script, "translation")
}

/// A picture that is made of others.
pub(crate) fn image(form: &Value, script: &Script) -> Result<Answer, ApiError> {
    let image = &form["image"];
    let images = if image.is_null() { &form["image[]"] } else { image };
    let first = if images.is_array() { &images[0] } else { images };
    if !first["filename"].is_string() {
        return Err(invalid_field("image"));
    }
    let prompt = form["prompt"].as_str().unwrap_or("a variation");
    extras::images(&json!({"prompt": prompt}), script, 0)
}

fn answer(form: &Value, script: &Script, what: &str) -> Result<Answer, ApiError> {
    let model = model_of(form)?;
    let file = &form["file"];
    let (Some(name), Some(bytes)) = (file["filename"].as_str(), file["bytes"].as_u64()) else {
        return Err(invalid_field("file"));
    };
    if !SOUNDS.iter().any(|end| name.to_ascii_lowercase().ends_with(end)) {
        return Err(ApiError::invalid("Invalid file format.", Some("file")));
    }
    let prompt = form["prompt"].as_str().map(|prompt| format!(" The prompt was: {prompt}"));
    let said = format!(
        "This is a simulated {what} of {name}, {bytes} bytes.{}",
        prompt.unwrap_or_default()
    );
    let said = script.say.clone().unwrap_or(said);
    let output = script.output_tokens.unwrap_or_else(|| tokens(&said));
    let input = script.input_tokens.unwrap_or(bytes / 1_000 + 1);
    let usage = json!({"type": "tokens", "input_tokens": input, "output_tokens": output,
        "total_tokens": input + output,
        "input_token_details": {"text_tokens": 0, "audio_tokens": input}});
    if form["stream"] == "true" && model != "whisper-1" {
        let delta = json!({"type": "transcript.text.delta", "delta": said});
        let done = json!({"type": "transcript.text.done", "text": said, "usage": usage});
        return Ok(Answer::events(vec![event(&delta), event(&done)]));
    }
    match form["response_format"].as_str().unwrap_or("json") {
        "json" | "verbose_json" => Ok(Answer::ok(&json!({"text": said, "usage": usage}))),
        "text" => Ok(text(said + "\n")),
        "srt" => Ok(text(format!("1\n00:00:00,000 --> 00:00:01,000\n{said}\n"))),
        "vtt" => Ok(text(format!("WEBVTT\n\n00:00.000 --> 00:01.000\n{said}\n"))),
        _ => Err(invalid_field("response_format")),
    }
}

fn text(said: String) -> Answer {
    let body = said.into();
    Answer::Whole { status: 200, content_type: "text/plain; charset=utf-8", headers: vec![], body }
}
