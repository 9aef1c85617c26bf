//! The rules between the fields of a request, and between its turns.

use serde_json::Value;

use crate::mock::shape::{Problem, Step};
use crate::mock::{media, signature};

/// Google's placeholder for the signature of a call that another model made.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

type Checked = Result<(), Problem>;

/// Checks all of them.
pub(crate) fn check(body: &Value, model: &str, is_vertex: bool) -> Checked {
    config(&body["generationConfig"], model)?;
    let names = tools(body)?;
    calling(&body["toolConfig"]["functionCallingConfig"], &names)?;
    contents(body, model, is_vertex)
}

fn rule(path: &[Step], words: &str) -> Checked {
    Err(Problem::rule(path, words))
}

fn config(config: &Value, model: &str) -> Checked {
    let at = |field: &str| ["generation_config".into(), field.into()];
    let has = |field: &str| !config[field].is_null();
    let is_json = config["responseMimeType"] == "application/json";
    for schema in ["responseSchema", "responseJsonSchema"] {
        if has(schema) && !is_json {
            let words =
                "Response schema is only supported with response_mime_type application/json.";
            return rule(&at(schema), words);
        }
    }
    if has("responseSchema") && has("responseJsonSchema") {
        let words = "Only one of response_schema and response_json_schema may be set.";
        return rule(&at("responseJsonSchema"), words);
    }
    if config["stopSequences"].as_array().is_some_and(|stop| stop.len() > 5) {
        return rule(&at("stopSequences"), "At most 5 stop sequences are supported.");
    }
    if config["candidateCount"].as_u64().is_some_and(|count| !(1..=8).contains(&count)) {
        return rule(&at("candidateCount"), "Only 1 to 8 candidates are supported.");
    }
    if config["maxOutputTokens"] == 0 {
        return rule(&at("maxOutputTokens"), "max_output_tokens must be positive.");
    }
    let thinking = &config["thinkingConfig"];
    let (has_level, has_budget) =
        (!thinking["thinkingLevel"].is_null(), !thinking["thinkingBudget"].is_null());
    if has_level && has_budget {
        let words = "You can only set only one of thinking budget and thinking level.";
        return rule(&at("thinkingConfig"), words);
    }
    if has_level && model.contains("2.5") {
        return rule(&at("thinkingConfig"), "Thinking level is not supported for this model.");
    }
    if model.contains("2.5-pro") && thinking["thinkingBudget"] == 0 {
        let words = "Budget 0 is invalid. This model only works in thinking mode.";
        return rule(&at("thinkingConfig"), words);
    }
    Ok(())
}

/// The names of the functions.
fn tools(body: &Value) -> Result<Vec<&str>, Problem> {
    let mut names = vec![];
    for (index, tool) in body["tools"].as_array().into_iter().flatten().enumerate() {
        for declaration in tool["functionDeclarations"].as_array().into_iter().flatten() {
            let name = declaration["name"].as_str().unwrap_or_default();
            let is_start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let is_rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
            let place: [Step; 3] = ["tools".into(), index.into(), "function_declarations".into()];
            if !is_start || !is_rest || name.len() > 128 {
                return Err(Problem::rule(&place, "Invalid function name."));
            }
            if names.contains(&name) {
                return Err(Problem::rule(
                    &place,
                    format!("Duplicate function declaration found: {name}"),
                ));
            }
            if !declaration["parameters"].is_null()
                && !declaration["parametersJsonSchema"].is_null()
            {
                let words = "Only one of parameters and parameters_json_schema may be set.";
                return Err(Problem::rule(&place, words));
            }
            names.push(name);
        }
    }
    Ok(names)
}

fn calling(config: &Value, names: &[&str]) -> Checked {
    let place = ["tool_config".into(), "function_calling_config".into()];
    let mode = config["mode"].as_str().unwrap_or("AUTO");
    let allowed: Vec<&str> = config["allowedFunctionNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !allowed.is_empty() && !["ANY", "VALIDATED"].contains(&mode) {
        let words = "Allowed function names should only be set when mode is ANY or VALIDATED.";
        return rule(&place, words);
    }
    if allowed.iter().any(|name| !names.contains(name)) {
        return rule(&place, "allowed_function_names must be declared functions.");
    }
    if ["ANY", "VALIDATED"].contains(&mode) && names.is_empty() {
        return rule(&place, "Function calling mode requires function declarations.");
    }
    Ok(())
}

fn contents(body: &Value, model: &str, is_vertex: bool) -> Checked {
    let turns = body["contents"].as_array().map_or(&[][..], Vec::as_slice);
    // The step in progress begins behind the user's last words.
    let is_said = |turn: &Value| turn["role"] != "model" && !has(turn, "functionResponse");
    let step = turns.iter().rposition(is_said).unwrap_or(0);
    let mut called: Vec<&str> = vec![];
    for (index, turn) in turns.iter().enumerate() {
        let place = ["contents".into(), index.into()];
        let is_model = turn["role"] == "model";
        if index == 0 && is_model {
            let words = "Please ensure that function call turn comes immediately after a user turn \
                         or after a function response turn.";
            return rule(&place, words);
        }
        parts(turn, is_model, is_vertex, &place)?;
        let responses: Vec<&str> =
            inner(turn, "functionResponse").filter_map(|part| part["name"].as_str()).collect();
        if !responses.is_empty() && called.is_empty() {
            let words = "Please ensure that function response turn comes immediately after a \
                         function call turn.";
            return rule(&place, words);
        }
        if responses.len() != called.len() {
            let words = "Please ensure that the number of function response parts is equal to the \
                         number of function call parts of the function call turn.";
            return rule(&place, words);
        }
        if responses != called {
            return rule(
                &place,
                "Function responses must have the names of the calls, in their order.",
            );
        }
        let siblings = turn["parts"].as_array().map_or(0, Vec::len) > responses.len();
        if !responses.is_empty() && siblings && model.contains("gemini-3") {
            return rule(&place, "Function responses must stand in a turn of their own.");
        }
        called = inner(turn, "functionCall").filter_map(|part| part["name"].as_str()).collect();
        if !called.is_empty() && index > step && model.contains("gemini-3") {
            signed(turn, &place)?;
        }
    }
    if !called.is_empty() {
        let words =
            "Please ensure that function call turn is followed by a function response turn.";
        return rule(&["contents".into()], words);
    }
    Ok(())
}

fn has(turn: &Value, kind: &'static str) -> bool {
    inner(turn, kind).next().is_some()
}

/// The data of the parts of one kind.
fn inner<'v>(turn: &'v Value, kind: &'static str) -> impl Iterator<Item = &'v Value> + use<'v> {
    turn["parts"].as_array().into_iter().flatten().filter_map(move |part| part.get(kind))
}

/// The first call of a step of a newer model has the signature of that model.
fn signed(turn: &Value, place: &[Step]) -> Checked {
    let mut parts = turn["parts"].as_array().into_iter().flatten();
    let Some(first) = parts.find(|part| part.get("functionCall").is_some()) else { return Ok(()) };
    let name = first["functionCall"]["name"].as_str().unwrap_or_default();
    let known = first["thoughtSignature"]
        .as_str()
        .is_some_and(|text| text == NO_SIGNATURE || signature::is_of(text, "google", name));
    if known {
        return Ok(());
    }
    let words = format!(
        "Function call is missing a thought_signature in functionCall parts. This is required for \
         tools to work correctly. Function call `{name}`"
    );
    rule(place, &words)
}

fn parts(turn: &Value, is_model: bool, is_vertex: bool, place: &[Step]) -> Checked {
    for part in turn["parts"].as_array().into_iter().flatten() {
        let (call, response) = (&part["functionCall"], &part["functionResponse"]);
        if is_vertex && (!call["id"].is_null() || !response["id"].is_null()) {
            let words = "Invalid JSON payload received. Unknown name \"id\": Cannot find field.";
            return rule(place, words);
        }
        if (call.is_object() && !is_model) || (response.is_object() && is_model) {
            return rule(place, "Function calls are of the model, function responses of the user.");
        }
        if let Some(data) = part["inlineData"]["data"].as_str()
            && !media::is_base64(data)
        {
            return rule(place, "Base64 decoding failed for inline_data.");
        }
        if part["inlineData"]["mimeType"] == "" {
            return rule(place, "Unsupported MIME type: ");
        }
    }
    Ok(())
}
