//! Each kind of provider: its answers, its streams, its usage and its faults.

use serde_json::{Value, json};

use super::{Handle, SocketAddr, call, events, provider};

/// Calls with the key of each kind.
const KEY: &str = "x-goog-api-key: k\r\napi-key: k\r\nauthorization: Bearer k\r\n";

async fn ok(address: SocketAddr, path: &str, body: &Value) -> Value {
    let (status, _, bytes) = call(address, path, KEY, body).await;
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn weather(name: &str) -> Value {
    json!({"name": name, "parametersJsonSchema":
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}})
}

fn gemini(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

const FLASH: &str = "/v1beta/models/gemini-3-flash-preview:generateContent";
const FLASH_STREAM: &str = "/v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse";

#[tokio::test]
async fn gemini_counts_and_thinks() {
    let (address, _provider): (SocketAddr, Handle) = provider().await;
    let mut body = gemini("Hi [[mock:input=100,cached=60,output=40,reasoning=10]]");
    body["generationConfig"] = json!({"thinkingConfig": {"includeThoughts": true}});
    let whole = ok(address, FLASH, &body).await;
    let parts = &whole["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0], json!({"thought": true, "text": "The question is: Hi"}));
    assert_eq!(parts[1]["text"], "This is a simulated answer. You wrote: Hi");
    let usage = &whole["usageMetadata"];
    let told = [
        "promptTokenCount",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "totalTokenCount",
    ];
    assert_eq!(told.map(|name| usage[name].as_u64().unwrap()), [100, 60, 30, 10, 140]);
    assert_eq!(whole["candidates"][0]["finishReason"], "STOP");
    // The same in a stream, and in the list that a stream is without `alt=sse`.
    let (_, head, bytes) = call(address, FLASH_STREAM, KEY, &body).await;
    assert!(head.contains("text/event-stream"), "{head}");
    let chunks = events(std::str::from_utf8(&bytes).unwrap());
    let list = ok(address, FLASH_STREAM.split('?').next().unwrap(), &body).await;
    assert_eq!(list.as_array().unwrap().len(), chunks.len());
    for chunks in [chunks, list.as_array().unwrap().clone()] {
        let said: String = chunks
            .iter()
            .filter_map(|chunk| chunk["candidates"][0]["content"]["parts"][0]["text"].as_str())
            .collect();
        assert_eq!(said, "The question is: HiThis is a simulated answer. You wrote: Hi");
        let last = chunks.last().unwrap();
        assert_eq!(last["usageMetadata"]["totalTokenCount"], 140);
        assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    }
}

#[tokio::test]
async fn gemini_calls_several_tools_and_takes_their_results() {
    let (address, _provider) = provider().await;
    let mut body = gemini("The weather in Paris and the time in Tokyo?");
    body["tools"] =
        json!([{"functionDeclarations": [weather("get_weather"), weather("get_time")]}]);
    let whole = ok(address, FLASH, &body).await;
    let content = whole["candidates"][0]["content"].clone();
    let calls: Vec<&Value> =
        content["parts"].as_array().unwrap().iter().map(|part| &part["functionCall"]).collect();
    assert_eq!(
        json!(calls),
        json!([{"name": "get_weather", "args": {"city": "Paris"}}, {"name": "get_time", "args": {"city": "Tokyo"}}])
    );
    assert!(content["parts"][0]["thoughtSignature"].is_string());
    assert!(content["parts"][1].get("thoughtSignature").is_none());
    let response = |name: &str, text: &str| json!({"functionResponse": {"name": name, "response": {"output": text}}});
    let results = json!({"role": "user", "parts": [response("get_weather", "18"), response("get_time", "9:00")]});
    body["contents"].as_array_mut().unwrap().extend([content, results]);
    let whole = ok(address, FLASH, &body).await;
    let said = &whole["candidates"][0]["content"]["parts"][0]["text"];
    assert_eq!(said, "The tools answered: 18; 9:00");
    // Its own signature is asked for.
    body["contents"][1]["parts"][0]["thoughtSignature"] = json!("c2ln");
    let (status, _, bytes) = call(address, FLASH, KEY, &body).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        status == 400 && text.contains("thought_signature") && text.contains("INVALID_ARGUMENT"),
        "{text}"
    );
}

#[tokio::test]
async fn gemini_embeds_and_counts_and_lists() {
    let (address, _provider) = provider().await;
    let of = |text: &str| {
        json!({"model": "models/gemini-embedding-001", "outputDimensionality": 8,
        "content": {"parts": [{"text": text}]}})
    };
    let path = "/v1beta/models/gemini-embedding-001:batchEmbedContents";
    let answer = ok(address, path, &json!({"requests": [of("a"), of("b")]})).await;
    assert_eq!(answer["embeddings"][1]["values"].as_array().unwrap().len(), 8);
    assert_eq!(answer["usageMetadata"]["promptTokenCount"], 2);
    let mut counted = gemini("12345678");
    counted["model"] = json!("models/gemini-2.5-flash");
    let path = "/v1beta/models/gemini-2.5-flash:countTokens";
    let answer = ok(address, path, &json!({"generateContentRequest": counted})).await;
    assert_eq!(answer["totalTokens"], 5);
    let list = ok(address, "/v1beta/models", &Value::Null).await;
    assert_eq!(list["models"][0]["name"], "models/gemini-2.5-flash");
}

#[tokio::test]
async fn azure_answers_below_a_resource_and_a_deployment() {
    let (address, _provider) = provider().await;
    let mut body = json!({"messages": [{"role": "user", "content": "[[mock:say=hello]]"}]});
    let path = "/openai/deployments/my%2Dgpt/chat/completions?api-version=2024-10-21";
    let answer = ok(address, path, &body).await;
    assert_eq!(
        [&answer["model"], &answer["choices"][0]["message"]["content"]],
        ["my-gpt", "hello"]
    );
    assert_eq!(answer["choices"][0]["content_filter_results"]["hate"]["filtered"], false);
    body["model"] = json!("gpt-4o");
    body["stream"] = json!(true);
    let (_, _, bytes) = call(address, "/openai/v1/chat/completions", KEY, &body).await;
    let chunks = events(std::str::from_utf8(&bytes).unwrap());
    assert_eq!(chunks[0]["choices"], json!([]));
    assert_eq!(chunks[2]["choices"][0]["delta"]["content"], "hello");
    let vectors = json!({"model": "e", "input": "x", "dimensions": 4});
    assert_eq!(ok(address, "/openai/v1/embeddings", &vectors).await["object"], "list");
    for (path, headers, status) in [
        ("/openai/v1/chat/completions", "", 401),
        ("/openai/deployments/d/chat/completions", KEY, 404),
        ("/openai/unknown", KEY, 404),
    ] {
        let (seen, _, bytes) = call(address, path, headers, &body).await;
        let error: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((seen, &error["error"]["code"]), (status, &json!(status.to_string())), "{path}");
    }
}

#[tokio::test]
async fn openai_reasons_and_calls_several_tools() {
    let (address, _provider) = provider().await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let question = "The weather in Paris and Rome";
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": question}],
        "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": schema}}]});
    let answer = ok(address, "/v1/chat/completions", &body).await;
    let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    let cities: Vec<&str> =
        calls.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(cities, [r#"{"city":"Paris"}"#, r#"{"city":"Rome"}"#]);
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    let reasoning = &answer["usage"]["completion_tokens_details"]["reasoning_tokens"];
    assert!(reasoning.as_u64().unwrap() > 0);

    let body = json!({"model": "gpt-5", "input": question, "stream": true,
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "function", "name": "get_weather", "parameters": schema}]});
    let (_, _, bytes) = call(address, "/v1/responses", KEY, &body).await;
    let seen = events(std::str::from_utf8(&bytes).unwrap());
    let done = seen.iter().filter(|event| event["type"] == "response.output_item.done");
    let items: Vec<Value> = done.map(|event| event["item"].clone()).collect();
    assert_eq!(json!(items), seen.last().unwrap()["response"]["output"]);
    let kinds: Vec<&str> = items.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "function_call", "function_call"]);
    // The items are taken back, and a changed one is not.
    let output =
        |id: &Value| json!({"type": "function_call_output", "call_id": id, "output": "18"});
    let mut input = vec![json!({"role": "user", "content": question})];
    input.extend(items.iter().cloned());
    input.extend([output(&items[1]["call_id"]), output(&items[2]["call_id"])]);
    let mut body = json!({"model": "gpt-5", "input": input});
    let answer = ok(address, "/v1/responses", &body).await;
    assert_eq!(answer["output"][0]["content"][0]["text"], "The tools answered: 18; 18");
    body["input"][1]["encrypted_content"] = json!("tg1.x");
    assert_eq!(call(address, "/v1/responses", KEY, &body).await.0, 400);
}

#[tokio::test]
async fn anthropic_thinks_and_checks_its_signature() {
    let (address, _provider) = provider().await;
    let mut body = json!({"model": "claude-opus-4-8", "max_tokens": 4000, "thinking": {"type": "adaptive"},
        "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ok(address, "/v1/messages", &body).await;
    assert_eq!(answer["content"][0]["thinking"], "The question is: Hi");
    let again = json!({"role": "user", "content": "More"});
    body["messages"]
        .as_array_mut()
        .unwrap()
        .extend([json!({"role": "assistant", "content": answer["content"]}), again]);
    ok(address, "/v1/messages", &body).await;
    body["messages"][1]["content"][0]["thinking"] = json!("another");
    let (status, _, bytes) = call(address, "/v1/messages", KEY, &body).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(status == 400 && text.contains("messages.1.content.0: Invalid `signature`"), "{text}");
}

#[tokio::test]
async fn answers_follow_a_schema_and_name_what_was_sent() {
    let (address, _provider) = provider().await;
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["city"],
        "properties": {"city": {"type": "string"}}});
    let mut body = gemini("I live in Rome");
    body["generationConfig"] =
        json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
    let answer = ok(address, FLASH, &body).await;
    assert_eq!(answer["candidates"][0]["content"]["parts"][0]["text"], r#"{"city":"Rome"}"#);
    let body = json!({"model": "claude-opus-4-8", "max_tokens": 99, "output_config": {"format":
        {"type": "json_schema", "schema": schema}}, "messages": [{"role": "user", "content": "I live in Rome"}]});
    assert_eq!(
        ok(address, "/v1/messages", &body).await["content"][0]["text"],
        r#"{"city":"Rome"}"#
    );
    let mut body = gemini("What is this?");
    body["contents"][0]["parts"] =
        json!([{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]);
    let answer = ok(address, FLASH, &body).await;
    let said = answer["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap();
    assert!(said.starts_with("I was sent image/png."), "{said}");
}

#[tokio::test]
async fn faults_have_the_form_of_their_kind() {
    let (address, _provider) = provider().await;
    let limited = gemini("[[mock:status=429,retry_after=7]]");
    let (status, head, bytes) = call(address, FLASH, KEY, &limited).await;
    let error: Value = serde_json::from_slice(&bytes).unwrap();
    assert!(status == 429 && !head.contains("retry-after"), "{head}");
    assert_eq!(error["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(error["error"]["details"][0]["retryDelay"], "7s");
    let failing = gemini("[[mock:error,after=2]]");
    let (status, _, bytes) = call(address, FLASH_STREAM, KEY, &failing).await;
    let chunks = events(std::str::from_utf8(&bytes).unwrap());
    assert_eq!((status, chunks.len(), &chunks[2]["error"]["status"]), (200, 3, &json!("INTERNAL")));
    let (_, _, bytes) = call(address, FLASH_STREAM, KEY, &gemini("[[mock:cut,after=1]]")).await;
    assert!(bytes.starts_with(b"data: ") && !bytes.ends_with(b"\n\n"));
    let (status, _, bytes) = call(address, FLASH, "", &gemini("hi")).await;
    assert!(status == 403 && String::from_utf8_lossy(&bytes).contains("PERMISSION_DENIED"));
}
