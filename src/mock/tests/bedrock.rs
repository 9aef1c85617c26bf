//! Bedrock, whose streams are frames.

use flate2::Crc;
use serde_json::{Value, json};

use super::{SocketAddr, call, provider};

const KEY: &str = "authorization: Bearer k\r\n";
const CLAUDE: &str = "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0";

fn converse(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

async fn ask(address: SocketAddr, method: &str, body: &Value) -> (u16, String, Vec<u8>) {
    call(address, &format!("{CLAUDE}/{method}"), KEY, body).await
}

async fn ok(address: SocketAddr, method: &str, body: &Value) -> Value {
    let (status, _, bytes) = ask(address, method, body).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).unwrap()
}

fn sum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The values of the header that names each frame, with its payload; and the bytes behind the last
/// whole frame.
fn frames(mut bytes: &[u8]) -> (Vec<(String, Value)>, usize) {
    let number =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut found = vec![];
    while bytes.len() >= 12 && bytes.len() >= number(bytes, 0) as usize {
        let (frame, rest) = bytes.split_at(number(bytes, 0) as usize);
        assert_eq!(sum(&frame[..8]), number(frame, 8), "the prelude's checksum");
        assert_eq!(sum(&frame[..frame.len() - 4]), number(frame, frame.len() - 4), "the frame's");
        let headers = number(frame, 4) as usize;
        let mut at = 12;
        let mut name = String::new();
        while at < 12 + headers {
            let key =
                String::from_utf8(frame[at + 1..at + 1 + frame[at] as usize].to_vec()).unwrap();
            at += 1 + frame[at] as usize;
            assert_eq!(frame[at], 7, "a string");
            let length = usize::from(u16::from_be_bytes([frame[at + 1], frame[at + 2]]));
            let value = String::from_utf8(frame[at + 3..at + 3 + length].to_vec()).unwrap();
            at += 3 + length;
            if key == ":event-type" || key == ":exception-type" {
                name = value;
            }
        }
        found.push((name, serde_json::from_slice(&frame[at..frame.len() - 4]).unwrap()));
        bytes = rest;
    }
    (found, bytes.len())
}

#[tokio::test]
async fn converse_counts_thinks_and_streams_the_same() {
    let (address, _provider) = provider().await;
    let mut body = converse("Hi [[mock:input=100,cached=60,output=40]]");
    body["inferenceConfig"] = json!({"maxTokens": 4000});
    body["additionalModelRequestFields"] =
        json!({"thinking": {"type": "enabled", "budget_tokens": 1024}});
    let whole = ok(address, "converse", &body).await;
    let content = &whole["output"]["message"]["content"];
    let thought = &content[0]["reasoningContent"]["reasoningText"];
    assert_eq!(thought["text"], "The question is: Hi");
    assert_eq!(content[1]["text"], "This is a simulated answer. You wrote: Hi");
    let told = ["inputTokens", "cacheReadInputTokens", "outputTokens", "totalTokens"];
    assert_eq!(told.map(|name| whole["usage"][name].as_u64().unwrap()), [40, 60, 40, 140]);
    let (_, head, bytes) = ask(address, "converse-stream", &body).await;
    assert!(head.contains("application/vnd.amazon.eventstream"), "{head}");
    let (seen, rest) = frames(&bytes);
    assert_eq!(rest, 0);
    let text = |path: &str| -> String {
        seen.iter().filter_map(|(_, data)| data.pointer(path)?.as_str()).collect()
    };
    assert_eq!(text("/delta/text"), content[1]["text"].as_str().unwrap());
    assert_eq!(text("/delta/reasoningContent/text"), thought["text"].as_str().unwrap());
    assert_eq!(text("/delta/reasoningContent/signature"), thought["signature"].as_str().unwrap());
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!names.contains(&"contentBlockStart"), "{names:?}");
    assert_eq!(names[names.len() - 2..], ["messageStop", "metadata"]);
    assert_eq!(seen.last().unwrap().1["usage"], whole["usage"]);
}

#[tokio::test]
async fn tools_are_called_and_answered() {
    let (address, _provider) = provider().await;
    let spec = |name: &str| {
        json!({"toolSpec": {"name": name, "inputSchema": {"json":
        {"type": "object", "properties": {"city": {"type": "string"}}}}}})
    };
    let mut body = converse("The weather in Paris and the time in Tokyo?");
    body["toolConfig"] = json!({"tools": [spec("get_weather"), spec("get_time")]});
    let whole = ok(address, "converse", &body).await;
    assert_eq!(whole["stopReason"], "tool_use");
    let message = whole["output"]["message"].clone();
    let (_, _, bytes) = ask(address, "converse-stream", &body).await;
    let starts = frames(&bytes).0.into_iter().filter(|(name, _)| name == "contentBlockStart");
    let names: Vec<Value> =
        starts.map(|(_, data)| data["start"]["toolUse"]["name"].clone()).collect();
    assert_eq!(json!(names), json!(["get_weather", "get_time"]));
    let result = |n: usize, text: &str| {
        json!({"toolResult": {"content": [{"text": text}],
        "toolUseId": message["content"][n]["toolUse"]["toolUseId"]}})
    };
    let results = json!({"role": "user", "content": [result(0, "18"), result(1, "9:00")]});
    body["messages"].as_array_mut().unwrap().extend([message.clone(), results]);
    let whole = ok(address, "converse", &body).await;
    let said = &whole["output"]["message"]["content"][0]["text"];
    assert_eq!(said, "The tools answered: 18; 9:00");
    body.as_object_mut().unwrap().remove("toolConfig");
    let (status, head, bytes) = ask(address, "converse", &body).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(status == 400 && text.contains("toolConfig"), "{text}");
    assert!(head.contains("x-amzn-errortype: ValidationException"), "{head}");
}

#[tokio::test]
async fn tokens_are_counted_and_texts_embedded() {
    let (address, _provider) = provider().await;
    let counted = json!({"input": {"converse": converse("12345678")}});
    assert_eq!(ok(address, "count-tokens", &counted).await["inputTokens"], 5);
    let titan = json!({"inputText": "12345678", "dimensions": 256, "normalize": true, "embeddingTypes": ["float"]});
    let path = "/model/amazon.titan-embed-text-v2%3A0/invoke";
    let (status, head, bytes) = call(address, path, KEY, &titan).await;
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((status, &answer["inputTextTokenCount"]), (200, &json!(2)));
    assert!(head.contains("x-amzn-bedrock-input-token-count: 2"), "{head}");
    let mut cohere =
        json!({"texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"]});
    let path = "/model/cohere.embed-multilingual-v3/invoke";
    let (_, _, bytes) = call(address, path, KEY, &cohere).await;
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(answer["embeddings"]["float"][1].as_array().unwrap().len(), 1024);
    cohere["dimensions"] = json!(256);
    assert_eq!(call(address, path, KEY, &cohere).await.0, 400);
}

#[tokio::test]
async fn faults_are_exceptions() {
    let (address, _provider) = provider().await;
    let (status, head, bytes) = ask(address, "converse", &converse("[[mock:status=429]]")).await;
    assert!(status == 429 && head.contains("x-amzn-errortype: ThrottlingException"), "{head}");
    assert!(serde_json::from_slice::<Value>(&bytes).unwrap()["message"].is_string());
    let failing = converse("[[mock:error,after=2]]");
    let (seen, rest) = frames(&ask(address, "converse-stream", &failing).await.2);
    assert_eq!((seen.len(), rest, seen[2].0.as_str()), (3, 0, "internalServerException"));
    let named = converse("[[mock:error,after=2,code=ThrottlingException]]");
    assert_eq!(
        frames(&ask(address, "converse-stream", &named).await.2).0[2].0,
        "throttlingException"
    );
    let (seen, rest) =
        frames(&ask(address, "converse-stream", &converse("[[mock:cut,after=2]]")).await.2);
    assert!(seen.len() == 2 && rest > 0, "{seen:?} {rest}");
    let (status, head, _) = call(address, &format!("{CLAUDE}/converse"), "", &converse("x")).await;
    assert!(status == 403 && head.contains("MissingAuthenticationToken"), "{head}");
}
