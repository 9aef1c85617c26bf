//! `POST /v1/responses` and `POST /v1/responses/input_tokens`.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError};
use crate::mock::fault::Script;
use crate::mock::json::text_of;
use crate::mock::media;
use crate::mock::think::{Question, Tool, ToolChoice, think, tokens};

use super::responses_form::Form;
use super::responses_stream::stream;
use super::{checked, invalid, model_of, responses_shape, strict};

pub(crate) fn responses(body: &Value, script: &Script, number: u64) -> Result<Answer, ApiError> {
    let question = question(body)?;
    let thought = think(&question, script);
    let form = Form::new(body, &question, &thought, number);
    if question.stream {
        return Ok(Answer::events(stream(&form)));
    }
    Ok(Answer::ok(&form.response(true)))
}

pub(crate) fn input_tokens(body: &Value, script: &Script, _: u64) -> Result<Answer, ApiError> {
    let tokens = script.input_tokens.unwrap_or(question(body)?.prompt_tokens);
    Ok(Answer::ok(&json!({"object": "response.input_tokens", "input_tokens": tokens})))
}

fn question(body: &Value) -> Result<Question, ApiError> {
    let model = model_of(body)?;
    checked(body, &responses_shape::BODY)?;
    responses_shape::rules(body).map_err(|problem| invalid(&problem))?;
    let format = &body["text"]["format"];
    if format["strict"] == true
        && let Some(problem) = strict::problem(&format["schema"])
    {
        let words = format!("Invalid schema for response_format: {problem}.");
        return Err(ApiError::invalid(words, Some("text.format.schema")));
    }
    let items = body["input"].as_array().map_or(&[][..], Vec::as_slice);
    let of_role = |role: &'static str| items.iter().filter(move |item| item["role"] == role);
    let texts = |role| of_role(role).map(|item| text_of(&item["content"]));
    let mut system: Vec<String> =
        body["instructions"].as_str().map(str::to_owned).into_iter().collect();
    system.extend(texts("system").chain(texts("developer")));
    let system = system.join("\n");
    let last_user = of_role("user").next_back().map_or(&Value::Null, |item| &item["content"]);
    let user = body["input"].as_str().map_or_else(|| text_of(last_user), str::to_owned);
    let is_output =
        |item: &&Value| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output"));
    let results = items.iter().rev().take_while(is_output);
    let mut results: Vec<String> = results.map(|item| text_of(&item["output"])).collect();
    results.reverse();
    let custom = json!({"type": "string"});
    let tools = body["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        let is_custom = tool["type"] == "custom";
        Tool::new(&tool["name"], if is_custom { &custom } else { &tool["parameters"] })
    });
    let choice = &body["tool_choice"];
    let said = items.iter().map(|item| tokens(&text_of(&item["content"])) + 3).sum::<u64>();
    Ok(Question {
        model,
        prompt_tokens: said.max(tokens(&user)) + tokens(&system) + 3,
        system,
        user,
        tool_results: results,
        tools: tools.collect(),
        tool_choice: ToolChoice::of(choice.get("mode").unwrap_or(choice), &choice["name"]),
        one_call: body["parallel_tool_calls"] == false,
        schema: match format["type"].as_str() {
            Some("json_object") => Some(Value::Null),
            Some("json_schema") => Some(format["schema"].clone()),
            _ => None,
        },
        media: media_of(last_user)?,
        thinks: body["reasoning"]["effort"].as_str().is_some_and(|effort| effort != "none"),
        max_tokens: body["max_output_tokens"].as_u64(),
        stream: body["stream"] == true,
    })
}

fn media_of(content: &Value) -> Result<Vec<String>, ApiError> {
    let urls = content.as_array().into_iter().flatten().filter_map(|part| {
        let fields = ["image_url", "file_data", "file_url"];
        fields.iter().find_map(|field| part[*field].as_str())
    });
    let all: Result<Vec<String>, &str> = urls.map(media::of_url).collect();
    all.map_err(|problem| ApiError::invalid(problem, Some("input")))
}
