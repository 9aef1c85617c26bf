//! The rules between the fields of a request, and between its turns.

use serde_json::Value;

use crate::mock::shape::{Problem, Step};
use crate::mock::{media, signature};

/// Fields of Claude's own API that stand beside those of Converse.
const CLAUDE_FIELDS: [&str; 6] =
    ["thinking", "top_k", "output_config", "anthropic_beta", "anthropic_version", "tools"];
/// Messages may have the role `system` for these.
const MID_SYSTEM: [&str; 6] = ["opus-4-8", "opus-5", "sonnet-5", "haiku-5", "fable", "mythos"];

type Checked = Result<(), Problem>;

/// Checks all of them.
pub(crate) fn check(body: &Value, model: &str) -> Checked {
    options(body, model)?;
    let has_tools = tools(&body["toolConfig"])?;
    for (index, block) in body["system"].as_array().into_iter().flatten().enumerate() {
        if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
            return blank(&["system".into(), index.into()], "SystemContentBlock");
        }
    }
    messages(body, model, has_tools)
}

fn rule(path: &[Step], words: &str) -> Checked {
    Err(Problem::rule(path, words))
}

fn blank(path: &[Step], kind: &str) -> Checked {
    let words = format!(
        "The text field in the {kind} object at {{place}} is blank. Add text to the text field, \
         and try again."
    );
    rule(path, &words)
}

fn options(body: &Value, model: &str) -> Checked {
    let config = &body["inferenceConfig"];
    if config["maxTokens"].as_i64().is_some_and(|most| most < 1) {
        let words = "Value at '{place}' failed to satisfy constraint: Member must have value \
                     greater than or equal to 1";
        return rule(&["inferenceConfig".into(), "maxTokens".into()], words);
    }
    let stops = config["stopSequences"].as_array().into_iter().flatten();
    if stops.into_iter().any(|text| text.as_str().is_some_and(str::is_empty)) {
        let words = "Value at '{place}' failed to satisfy constraint: Member must have length \
                     greater than or equal to 1";
        return rule(&["inferenceConfig".into(), "stopSequences".into()], words);
    }
    let extra = body["additionalModelRequestFields"].as_object().into_iter().flatten();
    for (name, _) in extra {
        if model.contains("anthropic.") && !CLAUDE_FIELDS.contains(&name.as_str()) {
            let words = format!("{name}: Extra inputs are not permitted");
            return rule(&["additionalModelRequestFields".into()], &words);
        }
    }
    let thinking = &body["additionalModelRequestFields"]["thinking"];
    if thinking["type"] == "enabled" {
        let budget = thinking["budget_tokens"].as_u64().unwrap_or(0);
        if budget < 1024 || config["maxTokens"].as_u64().is_some_and(|most| most <= budget) {
            let words = "`max_tokens` must be greater than `thinking.budget_tokens`, which must be \
                         at least 1024.";
            return rule(&["additionalModelRequestFields".into()], words);
        }
    }
    let schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str();
    if schema.is_some_and(|text| serde_json::from_str::<Value>(text).is_err()) {
        return rule(&["outputConfig".into()], "The JSON schema is not valid JSON.");
    }
    Ok(())
}

fn is_word(text: &str, extra: &[u8]) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

/// Whether there are any.
fn tools(config: &Value) -> Result<bool, Problem> {
    let tools = config["tools"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, tool) in tools.iter().enumerate() {
        let spec = &tool["toolSpec"];
        let place: [Step; 3] = ["toolConfig.tools".into(), index.into(), "toolSpec".into()];
        if !spec.is_object() {
            continue;
        }
        if !is_word(spec["name"].as_str().unwrap_or_default(), b"_-") {
            let words = "Value at '{place}.name' failed to satisfy constraint: Member must satisfy \
                         regular expression pattern: [a-zA-Z0-9_-]+";
            return Err(Problem::rule(&place, words));
        }
        if spec["description"] == "" {
            let words = "Value at '{place}.description' failed to satisfy constraint: Member must \
                         have length greater than or equal to 1";
            return Err(Problem::rule(&place, words));
        }
        if spec["inputSchema"]["json"]["type"] != "object" {
            let words = "The value at {place}.inputSchema.json.type must be one of the following: \
                         object.";
            return Err(Problem::rule(&place, words));
        }
    }
    Ok(!tools.is_empty())
}

fn messages(body: &Value, model: &str, has_tools: bool) -> Checked {
    let takes_system = MID_SYSTEM.iter().any(|part| model.contains(part));
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut before = "";
    let mut open: Vec<&str> = vec![];
    for (index, message) in messages.iter().enumerate() {
        let place = ["messages".into(), index.into()];
        let role = message["role"].as_str().unwrap_or_default();
        if role == "system" {
            if !takes_system {
                return rule(&place, "The value at {place}.role must be user or assistant.");
            }
            continue;
        }
        if before.is_empty() && role != "user" {
            let words = "A conversation must start with a user message. Try again with a \
                         conversation that starts with a user message.";
            return rule(&place, words);
        }
        if before == role {
            let words = "A conversation must alternate between user and assistant roles. Make sure \
                         the conversation alternates between user and assistant roles and try \
                         again.";
            return rule(&place, words);
        }
        before = role;
        let blocks = message["content"].as_array().map_or(&[][..], Vec::as_slice);
        for (at, block) in blocks.iter().enumerate() {
            let place = ["messages".into(), index.into(), "content".into(), at.into()];
            block_rules(block, role, &place)?;
        }
        answers(blocks, &mut open, index)?;
        let of = |kind: &'static str| blocks.iter().filter_map(move |block| block.get(kind));
        open = of("toolUse").filter_map(|call| call["toolUseId"].as_str()).collect();
        if !has_tools && (of("toolUse").next().is_some() || of("toolResult").next().is_some()) {
            let words = "The toolConfig field must be defined when using toolUse and toolResult \
                         content blocks.";
            return rule(&[], words);
        }
        if of("document").next().is_some() && of("text").next().is_none() {
            let words = "A text block must be included when using documents.";
            return rule(&place, words);
        }
    }
    if open.is_empty() { Ok(()) } else { expected(messages.len(), &open) }
}

fn expected(index: usize, open: &[&str]) -> Checked {
    let words = format!(
        "Expected toolResult blocks at {{place}}.content for the following Ids: {}",
        open.join(", ")
    );
    rule(&["messages".into(), index.into()], &words)
}

/// The results in a turn answer the calls of the turn before it, all of them.
fn answers(blocks: &[Value], open: &mut Vec<&str>, index: usize) -> Checked {
    let results = blocks.iter().filter_map(|block| block.get("toolResult"));
    let mut ids: Vec<&str> = results.filter_map(|result| result["toolUseId"].as_str()).collect();
    ids.sort_unstable();
    let twice = ids.windows(2).any(|pair| pair[0] == pair[1]);
    if twice || ids.iter().any(|id| !open.contains(id)) {
        let words = "The number of toolResult blocks at {place}.content exceeds the number of \
                     toolUse blocks of previous turn.";
        return rule(&["messages".into(), index.into()], words);
    }
    open.retain(|id| !ids.contains(id));
    if open.is_empty() { Ok(()) } else { expected(index, open) }
}

fn block_rules(block: &Value, role: &str, place: &[Step]) -> Checked {
    if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
        return blank(place, "ContentBlock");
    }
    let is_user = role == "user";
    let wrong = if is_user { ["toolUse", "reasoningContent"] } else { ["toolResult", "image"] };
    if let Some(kind) = wrong.iter().find(|kind| block.get(**kind).is_some()) {
        return rule(
            place,
            &format!("A {kind} block at {{place}} cannot be in a message of the {role}."),
        );
    }
    let id = block["toolUse"]["toolUseId"].as_str().or(block["toolResult"]["toolUseId"].as_str());
    if id.is_some_and(|id| !is_word(id, b"_.:-")) {
        let words = "Value at '{place}.toolUseId' failed to satisfy constraint: Member must \
            satisfy \
                     regular expression pattern: [a-zA-Z0-9_.:-]+";
        return rule(place, words);
    }
    if block["toolUse"].is_object() && !block["toolUse"]["input"].is_object() {
        let words = "The format of the value at {place}.toolUse.input is invalid. Provide a json \
                     object for the field and try again.";
        return rule(place, words);
    }
    for kind in ["image", "document"] {
        if let Some(data) = block[kind]["source"]["bytes"].as_str()
            && !media::is_base64(data)
        {
            return rule(place, "The bytes at {place} are not base64.");
        }
    }
    if let Some(name) = block["document"]["name"].as_str()
        && !is_document_name(name)
    {
        let words = "The document file name at {place} can only contain alphanumeric characters, \
                     whitespace characters, hyphens, parentheses, and square brackets. The name \
                     can't contain more than one consecutive whitespace character.";
        return rule(place, words);
    }
    let thought = &block["reasoningContent"]["reasoningText"];
    if let Some(signature) = thought["signature"].as_str()
        && !signature::is_of(signature, "anthropic", thought["text"].as_str().unwrap_or_default())
    {
        return rule(place, "{place}: Invalid `signature` in `thinking` block");
    }
    Ok(())
}

fn is_document_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || " -()[]".contains(c);
    (1..=200).contains(&name.len()) && name.chars().all(is_fine) && !name.contains("  ")
}
