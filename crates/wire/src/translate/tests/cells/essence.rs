//! Requests of every format in the same words: what a translation must keep.
//!
//! Each line is one thing that was said: `user: text`, `assistant: text`, `system: text`, `user
//! image …`, `call 1 f {…}`, `result 1 …`, `tool f …`. Calls have numbers, because Gemini has no
//! ids. Written after the documents of the formats, without the code that is tested.

use serde_json::Value;

use crate::format::Format::{self, AnthropicMessages, BedrockConverse, Gemini, OpenAiResponses};

/// A request as its format means it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Essence {
    /// What was said, in order.
    pub(crate) said: Vec<String>,
    /// The tools with names, descriptions and schemas.
    pub(crate) tools: Vec<String>,
    /// The ids of the calls.
    pub(crate) ids: Vec<String>,
    /// Results of the turn, by the numbers of their calls.
    results: Vec<(usize, String)>,
    /// Media of results, which follow the last one.
    moved: Vec<String>,
}

const EMPTY: &str = r#"{"properties":{},"type":"object"}"#;
const FREE: &str = r#"{"additionalProperties":false,"properties":{"input":{"type":"string"}},"required":["input"],"type":"object"}"#;

/// Reads a request.
pub(crate) fn of(format: Format, body: &Value) -> Essence {
    let mut essence = Essence::default();
    match format {
        OpenAiResponses => essence.responses(body),
        AnthropicMessages => essence.messages(body),
        Gemini => essence.gemini(body),
        BedrockConverse => essence.bedrock(body),
        _ => essence.chat(body),
    }
    essence.end_results();
    essence
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The text of a call's arguments as an object; text that is none becomes `{"raw": …}`.
fn arguments(text: &str) -> String {
    if text.trim().is_empty() {
        return "{}".to_owned();
    }
    match serde_json::from_str::<Value>(text) {
        Ok(object @ Value::Object(_)) => object.to_string(),
        _ => serde_json::json!({ "raw": text }).to_string(),
    }
}

impl Essence {
    fn say(&mut self, role: &str, words: &str) {
        if !words.trim().is_empty() {
            self.said.push(format!("{role}: {words}"));
        }
    }

    /// Results stand in the order of the calls.
    fn end_results(&mut self) {
        self.results.sort();
        self.said.extend(self.results.drain(..).map(|(_, line)| line));
        self.said.append(&mut self.moved);
    }

    fn call(&mut self, id: &str, name: &str, arguments: &str) {
        self.ids.push(id.to_owned());
        self.said.push(format!("call {} {name} {arguments}", self.ids.len()));
    }

    /// The number of the last call with this id.
    fn number(&self, id: &str) -> usize {
        self.ids.iter().rposition(|call| call == id).map_or(0, |at| at + 1)
    }

    fn result(&mut self, number: usize, is_error: bool, texts: &[String]) {
        let mark = if is_error { " error" } else { "" };
        let texts = texts.join("\n");
        self.results.push((number, format!("result {number}{mark} {}", texts.trim())));
    }

    fn tool(&mut self, name: &str, description: &str, schema: Option<&Value>) {
        let schema = schema.filter(|schema| !schema.is_null());
        let schema = schema.map_or(EMPTY.to_owned(), |schema| sorted(schema).to_string());
        self.tools.push(format!("{name} ({}) {schema}", description.trim()));
    }

    fn free_tool(&mut self, name: &str, description: &str) {
        self.tools.push(format!("{name} ({}) {FREE}", description.trim()));
    }

    // ---- chat -----------------------------------------------------------------------------------

    fn chat(&mut self, body: &Value) {
        for message in list(body, "messages") {
            let role = match text(message, "role") {
                "developer" => "system",
                role => role,
            };
            if !matches!(role, "tool" | "function") {
                self.end_results();
            }
            match role {
                "tool" | "function" => {
                    let mut texts: Vec<String> = match &message["content"] {
                        Value::String(text) => vec![text.clone()],
                        parts => texts(parts.as_array(), "text"),
                    };
                    // So errors are told where there is no field for it.
                    let is_error = texts.first().is_some_and(|t| t.starts_with("Error"));
                    if let (true, Some(first)) = (is_error, texts.first_mut()) {
                        *first = first.trim_start_matches("Error").trim_start_matches(": ").into();
                    }
                    let id = text(message, "tool_call_id");
                    let number = if id.is_empty() { self.ids.len() } else { self.number(id) };
                    self.result(number, is_error, &texts);
                }
                _ => self.chat_content(role, message),
            }
            for call in list(message, "tool_calls") {
                let (function, custom) = (&call["function"], &call["custom"]);
                if custom.is_object() {
                    let input = serde_json::json!({ "input": custom["input"] }).to_string();
                    self.call(text(call, "id"), text(custom, "name"), &input);
                } else {
                    let arguments = arguments(text(function, "arguments"));
                    self.call(text(call, "id"), text(function, "name"), &arguments);
                }
            }
            if let Some(function) = message.get("function_call").filter(|call| call.is_object()) {
                self.call("", text(function, "name"), &arguments(text(function, "arguments")));
            }
        }
        for tool in list(body, "tools") {
            let (function, custom) = (&tool["function"], &tool["custom"]);
            if function.is_object() {
                self.tool(
                    text(function, "name"),
                    text(function, "description"),
                    function.get("parameters"),
                );
            } else if custom.is_object() {
                self.free_tool(text(custom, "name"), text(custom, "description"));
            }
        }
        for function in list(body, "functions") {
            self.tool(
                text(function, "name"),
                text(function, "description"),
                function.get("parameters"),
            );
        }
    }

    fn chat_content(&mut self, role: &str, message: &Value) {
        if let Some(words) = message["content"].as_str() {
            self.say(role, words);
        }
        for part in list(message, "content") {
            match text(part, "type") {
                "text" | "refusal" => self.say(role, text(part, text(part, "type"))),
                "image_url" => {
                    let url = part["image_url"].as_str().unwrap_or(text(&part["image_url"], "url"));
                    self.said.push(address("image", url));
                }
                "file" => self.said.push(address("document", text(&part["file"], "file_data"))),
                "input_audio" => {
                    let audio = &part["input_audio"];
                    let (kind, data) = (text(audio, "format"), text(audio, "data"));
                    self.said.push(format!("user audio {kind} {data}"));
                }
                other => panic!("{other}"),
            }
        }
        self.say(role, text(message, "refusal"));
    }

    // ---- responses ------------------------------------------------------------------------------

    fn responses(&mut self, body: &Value) {
        self.say("system", text(body, "instructions"));
        self.say("user", text(body, "input"));
        for item in list(body, "input") {
            let kind = item.get("type").and_then(Value::as_str).unwrap_or("message");
            if !kind.ends_with("_output") {
                self.end_results();
            }
            let name = match text(item, "namespace") {
                "" => text(item, "name").to_owned(),
                namespace => format!("{namespace}__{}", text(item, "name")),
            };
            match kind {
                "function_call" => {
                    let arguments = arguments(text(item, "arguments"));
                    self.call(text(item, "call_id"), &name, &arguments);
                }
                "custom_tool_call" => {
                    let input = serde_json::json!({ "input": item["input"] }).to_string();
                    self.call(text(item, "call_id"), &name, &input);
                }
                "function_call_output" | "custom_tool_call_output" => {
                    let number = self.number(text(item, "call_id"));
                    let mut texts = texts(item["output"].as_array(), "text");
                    texts.extend(item["output"].as_str().map(str::to_owned));
                    self.result(number, false, &texts);
                    let media = list(item, "output").filter_map(responses_media);
                    self.moved.extend(media);
                }
                "message" => {
                    let role = match text(item, "role") {
                        "developer" => "system",
                        role => role,
                    };
                    self.say(role, text(item, "content"));
                    for part in list(item, "content") {
                        match responses_media(part) {
                            Some(media) => self.said.push(media),
                            None => {
                                self.say(role, text(part, "text"));
                                self.say(role, text(part, "refusal"));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        for tool in list(body, "tools") {
            self.responses_tool("", tool);
        }
    }

    fn responses_tool(&mut self, prefix: &str, tool: &Value) {
        let name = [prefix, text(tool, "name")].concat();
        match text(tool, "type") {
            "function" => self.tool(&name, text(tool, "description"), tool.get("parameters")),
            "custom" => self.free_tool(&name, text(tool, "description")),
            "namespace" => {
                let prefix = [&name, "__"].concat();
                list(tool, "tools").for_each(|tool| self.responses_tool(&prefix, tool));
            }
            _ => {}
        }
    }

    // ---- messages -------------------------------------------------------------------------------

    fn messages(&mut self, body: &Value) {
        self.say("system", text(body, "system"));
        list(body, "system").for_each(|block| self.say("system", text(block, "text")));
        for message in list(body, "messages") {
            let role = text(message, "role");
            self.say(role, text(message, "content"));
            for block in list(message, "content") {
                if text(block, "type") != "tool_result" {
                    self.end_results();
                }
                self.messages_block(role, block);
            }
            self.end_results();
        }
        for tool in list(body, "tools") {
            if matches!(text(tool, "type"), "" | "custom") {
                self.tool(text(tool, "name"), text(tool, "description"), tool.get("input_schema"));
            }
        }
    }

    fn messages_block(&mut self, role: &str, block: &Value) {
        match text(block, "type") {
            "text" => self.say(role, text(block, "text")),
            "image" | "document" => self.said.extend(messages_media(block)),
            "search_result" => self.say("user", &search_result(block)),
            "tool_use" => {
                self.call(text(block, "id"), text(block, "name"), &block["input"].to_string());
            }
            "tool_result" => {
                let number = self.number(text(block, "tool_use_id"));
                let mut texts: Vec<String> = Vec::new();
                texts.extend(block["content"].as_str().map(str::to_owned));
                for part in list(block, "content") {
                    match text(part, "type") {
                        "text" => texts.push(text(part, "text").to_owned()),
                        "search_result" => texts.push(search_result(part)),
                        "tool_reference" => {}
                        _ => self.moved.extend(messages_media(part)),
                    }
                }
                self.result(number, block["is_error"] == true, &texts);
            }
            "thinking" | "redacted_thinking" => {}
            other => panic!("{other}"),
        }
    }

    // ---- Gemini ---------------------------------------------------------------------------------

    fn gemini(&mut self, body: &Value) {
        list(&body["systemInstruction"], "parts").for_each(|p| self.say("system", text(p, "text")));
        let (mut calls, mut answered) = (0, 0);
        for content in list(body, "contents") {
            let role = if text(content, "role") == "model" { "assistant" } else { "user" };
            self.end_results();
            for part in list(content, "parts") {
                if part["thought"] == true {
                    continue;
                }
                self.say(role, text(part, "text"));
                self.said.extend(gemini_media(part));
                if let Some(call) = part.get("functionCall") {
                    calls += 1;
                    self.call(&calls.to_string(), text(call, "name"), &call["args"].to_string());
                }
                if let Some(result) = part.get("functionResponse") {
                    answered += 1;
                    let is_error = result["response"].get("error").is_some();
                    let name = if is_error { "error" } else { "output" };
                    let texts = [text(&result["response"], name).to_owned()];
                    self.result(answered, is_error, &texts);
                    self.moved.extend(list(result, "parts").filter_map(gemini_media));
                }
            }
        }
        for tool in list(body, "tools").flat_map(|tools| list(tools, "functionDeclarations")) {
            self.tool(
                text(tool, "name"),
                text(tool, "description"),
                tool.get("parametersJsonSchema"),
            );
        }
    }

    // ---- Bedrock --------------------------------------------------------------------------------

    fn bedrock(&mut self, body: &Value) {
        list(body, "system").for_each(|block| self.say("system", text(block, "text")));
        for message in list(body, "messages") {
            let role = text(message, "role");
            for block in list(message, "content") {
                if block.get("toolResult").is_none() {
                    self.end_results();
                }
                self.say(role, text(block, "text"));
                self.said.extend(bedrock_media(block));
                if let Some(result) = block.get("searchResult") {
                    self.say("user", &bedrock_search_result(result));
                }
                if let Some(call) = block.get("toolUse") {
                    let input = call["input"].to_string();
                    self.call(text(call, "toolUseId"), text(call, "name"), &input);
                }
                if let Some(result) = block.get("toolResult") {
                    let mut texts: Vec<String> = Vec::new();
                    for part in list(result, "content") {
                        texts.extend(part["text"].as_str().map(str::to_owned));
                        texts.extend(part.get("searchResult").map(bedrock_search_result));
                        self.moved.extend(bedrock_media(part));
                    }
                    let is_error = result["status"] == "error";
                    if is_error && texts == ["error"] {
                        texts.clear();
                    }
                    self.result(self.number(text(result, "toolUseId")), is_error, &texts);
                }
            }
            self.end_results();
        }
        for tool in list(&body["toolConfig"], "tools") {
            let Some(spec) = tool.get("toolSpec") else { continue };
            self.tool(
                text(spec, "name"),
                text(spec, "description"),
                spec["inputSchema"].get("json"),
            );
        }
    }
}

/// The texts of a list of parts.
fn texts(parts: Option<&Vec<Value>>, name: &str) -> Vec<String> {
    let parts = parts.into_iter().flatten();
    parts.filter_map(|part| part[name].as_str()).map(str::to_owned).collect()
}

/// Media by a URL: the content of a `data:` URL, else the address.
fn address(kind: &str, url: &str) -> String {
    match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((media_type, data)) => content(kind, media_type, data),
        None => format!("user {kind} {url}"),
    }
}

/// Media by their content. Text is text, however it is packed.
fn content(kind: &str, media_type: &str, data: &str) -> String {
    use base64::Engine;
    let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type };
    let data: String = data.split_whitespace().collect();
    if media_type == "text/plain" {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&data).expect("base64");
        return format!("user: {}", String::from_utf8(bytes).expect("UTF-8"));
    }
    format!("user {kind} {media_type} {data}")
}

fn responses_media(part: &Value) -> Option<String> {
    match text(part, "type") {
        "input_image" => Some(address("image", text(part, "image_url"))),
        "input_file" if part.get("file_url").is_some() => {
            Some(address("document", text(part, "file_url")))
        }
        "input_file" => Some(address("document", text(part, "file_data"))),
        "input_audio" => {
            let audio = &part["input_audio"];
            Some(format!("user audio {} {}", text(audio, "format"), text(audio, "data")))
        }
        _ => None,
    }
}

fn messages_media(block: &Value) -> Vec<String> {
    let (kind, source) = (text(block, "type"), &block["source"]);
    match text(source, "type") {
        "base64" => vec![content(kind, text(source, "media_type"), text(source, "data"))],
        "text" => vec![format!("user: {}", text(source, "data"))],
        "content" => {
            let words = source["content"].as_str().map(|words| format!("user: {words}"));
            let parts = list(source, "content").flat_map(|part| match text(part, "type") {
                "text" => vec![format!("user: {}", text(part, "text"))],
                _ => messages_media(part),
            });
            words.into_iter().chain(parts).collect()
        }
        _ => vec![format!("user {kind} {}", text(source, "url"))],
    }
}

fn search_result(block: &Value) -> String {
    let texts = list(block, "content").map(|part| text(part, "text"));
    let lines: Vec<&str> =
        [text(block, "title"), text(block, "source")].into_iter().chain(texts).collect();
    lines.join("\n")
}

fn gemini_media(part: &Value) -> Option<String> {
    let kind = |media_type: &str| match media_type.split('/').next() {
        Some("image") => "image",
        Some("audio") => "audio",
        _ => "document",
    };
    if let Some(file) = part.get("fileData") {
        return Some(format!("user {} {}", kind(text(file, "mimeType")), text(file, "fileUri")));
    }
    let inline = part.get("inlineData")?;
    let (media_type, data) = (text(inline, "mimeType"), text(inline, "data"));
    match media_type.strip_prefix("audio/") {
        Some(format) => Some(format!("user audio {format} {data}")),
        None => Some(content(kind(media_type), media_type, data)),
    }
}

fn bedrock_media(block: &Value) -> Option<String> {
    let (kind, inner) = ["image", "document", "audio"]
        .iter()
        .find_map(|kind| block.get(kind).map(|inner| (*kind, inner)))?;
    let (format, data) = (text(inner, "format"), text(&inner["source"], "bytes"));
    let media_type = match (kind, format) {
        ("audio", format) => return Some(format!("user audio {format} {data}")),
        ("image", format) => format!("image/{format}"),
        (_, "pdf") => "application/pdf".to_owned(),
        (_, "txt") => "text/plain".to_owned(),
        (_, "md") => "text/markdown".to_owned(),
        (_, format) => format!("text/{format}"),
    };
    Some(content(kind, &media_type, data))
}

fn bedrock_search_result(result: &Value) -> String {
    let texts = list(result, "content").map(|part| text(part, "text"));
    let lines: Vec<&str> =
        [text(result, "title"), text(result, "source")].into_iter().chain(texts).collect();
    lines.join("\n")
}

/// With the keys in order, so that two schemas can be compared as text.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<(&String, &Value)> = object.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
