//! Requests and answers of every service, judged by their documented schemas.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CallAnswer, Context, Service, answer, request};
use crate::Format;
use crate::translate::TranslatedAnswer;
use crate::translate::error::Invalid;
use crate::translate::loss::Reason;

const ALL: [(Service, &str); 6] = [
    (Service::Gemini, "gemini-embedding-001"),
    (Service::VertexPredict, "text-embedding-005"),
    (Service::VertexContent, "gemini-embedding-2"),
    (Service::Titan, "amazon.titan-embed-text-v2:0"),
    (Service::CohereV3, "cohere.embed-english-v3"),
    (Service::CohereV4, "cohere.embed-v4:0"),
];

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn texts(count: usize) -> String {
    let texts: Vec<String> = (0..count).map(|n| format!("text {n}")).collect();
    json!(texts).to_string()
}

/// An answer to one call, with these vectors; each text has two tokens.
fn theirs(service: Service, vectors: &[Value]) -> Value {
    let count = vectors.len() * 2;
    match service {
        Service::Gemini => {
            let vectors: Vec<Value> =
                vectors.iter().map(|vector| json!({"values": vector})).collect();
            json!({"embeddings": vectors, "usageMetadata": {"promptTokenCount": count}})
        }
        Service::VertexPredict => {
            let vectors = vectors.iter().map(|vector| {
                json!({"embeddings": {"values": vector,
                    "statistics": {"truncated": false, "token_count": 2.0}}})
            });
            json!({"predictions": vectors.collect::<Vec<Value>>()})
        }
        Service::VertexContent => {
            json!({"embedding": {"values": vectors[0]}, "usageMetadata": {"promptTokenCount": 2}})
        }
        Service::Titan => json!({"embedding": vectors[0], "inputTextTokenCount": 2}),
        Service::CohereV3 => json!({"embeddings": vectors, "response_type": "embeddings_floats"}),
        Service::CohereV4 => {
            json!({"embeddings": {"float": vectors}, "response_type": "embeddings_by_type"})
        }
    }
}

/// Answers with one vector for each text, whose first number is the number of the text.
fn answered(service: Service, context: &Context) -> Result<TranslatedAnswer, Invalid> {
    let mut next = 0.0;
    let bodies = context.texts.iter().map(|texts| {
        let vectors = (0..*texts).map(|_| {
            next += 1.0;
            json!([next, 0.5])
        });
        let vectors: Vec<Value> = vectors.collect();
        (theirs(service, &vectors).to_string(), vectors.len() as u64 * 2)
    });
    let bodies: Vec<(String, u64)> = bodies.collect();
    let answers: Vec<CallAnswer<'_>> = bodies
        .iter()
        .map(|(body, tokens)| CallAnswer { body: body.as_bytes(), input_tokens: Some(*tokens) })
        .collect();
    answer(context, &answers)
}

#[test]
fn services_of_models() {
    for (format, is_vertex, model, expected) in [
        (Format::Gemini, false, "gemini-embedding-001", Some(Service::Gemini)),
        (Format::Gemini, true, "gemini-embedding-001", Some(Service::VertexPredict)),
        (Format::Gemini, true, "text-embedding-005", Some(Service::VertexPredict)),
        (Format::Gemini, true, "gemini-embedding-2", Some(Service::VertexContent)),
        (Format::Gemini, true, "e5-large-maas", Some(Service::VertexContent)),
        (Format::BedrockConverse, false, "amazon.titan-embed-text-v2:0", Some(Service::Titan)),
        (Format::BedrockConverse, false, "amazon.titan-embed-text-v1", None),
        (Format::BedrockConverse, false, "cohere.embed-multilingual-v3", Some(Service::CohereV3)),
        (Format::BedrockConverse, false, "us.cohere.embed-v4:0", Some(Service::CohereV4)),
        (Format::BedrockConverse, false, "anthropic.claude-haiku-4-5", None),
        (Format::OpenAiEmbeddings, false, "text-embedding-3-small", None),
    ] {
        assert_eq!(Service::of(format, is_vertex, model), expected, "{model}");
    }
}

#[test]
fn calls_of_every_service() {
    let body = r#"{"model":"m","input":["a \u00e9","b"],"dimensions":1024,"user":"u","x":1}"#;
    for (service, path, bodies) in [
        (
            ALL[0],
            "/models/gemini-embedding-001:batchEmbedContents",
            vec![json!({"requests": [
                {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a é"}]},
                    "outputDimensionality": 1024},
                {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "b"}]},
                    "outputDimensionality": 1024}
            ]})],
        ),
        (
            ALL[1],
            "/models/text-embedding-005:predict",
            vec![json!({"instances": [{"content": "a é"}, {"content": "b"}],
                "parameters": {"outputDimensionality": 1024, "autoTruncate": false}})],
        ),
        (
            ALL[2],
            "/models/gemini-embedding-2:embedContent",
            ["a é", "b"]
                .map(|text| {
                    json!({"content": {"parts": [{"text": text}]},
                        "embedContentConfig": {"outputDimensionality": 1024, "autoTruncate": false}})
                })
                .to_vec(),
        ),
        (
            ALL[3],
            "/model/amazon.titan-embed-text-v2%3A0/invoke",
            ["a é", "b"]
                .map(|text| {
                    json!({"inputText": text, "dimensions": 1024, "normalize": true,
                        "embeddingTypes": ["float"]})
                })
                .to_vec(),
        ),
        (
            ALL[4],
            "/model/cohere.embed-english-v3/invoke",
            vec![json!({"texts": ["a é", "b"], "input_type": "search_document",
                "truncate": "NONE", "embedding_types": ["float"]})],
        ),
        (
            ALL[5],
            "/model/cohere.embed-v4%3A0/invoke",
            vec![json!({"texts": ["a é", "b"], "input_type": "search_document",
                "truncate": "NONE", "embedding_types": ["float"], "output_dimension": 1024})],
        ),
    ] {
        let (service, model) = service;
        let translated = request(service, model, body.as_bytes()).expect("a request");
        let seen: Vec<Value> = translated.calls.iter().map(|call| parsed(&call.body)).collect();
        assert_eq!(seen, bodies, "{service:?}");
        assert!(translated.calls.iter().all(|call| call.path == path), "{service:?}");
        assert_eq!(translated.losses.dropped(), ["user", "x"]);
    }
}

#[test]
fn the_purpose_of_vectors() {
    let body = br#"{"input":"a","input_type":"search_query"}"#;
    for (service, model) in ALL {
        let translated = request(service, model, body).expect("a request");
        let sent = parsed(&translated.calls[0].body);
        let (purpose, expected) = match service {
            Service::Gemini => (&sent["requests"][0]["taskType"], "RETRIEVAL_QUERY"),
            Service::VertexPredict => (&sent["instances"][0]["task_type"], "RETRIEVAL_QUERY"),
            Service::VertexContent => (&sent["embedContentConfig"]["taskType"], "RETRIEVAL_QUERY"),
            Service::CohereV3 | Service::CohereV4 => (&sent["input_type"], "search_query"),
            Service::Titan => {
                assert_eq!(translated.losses.dropped(), ["input_type"]);
                continue;
            }
        };
        assert_eq!((purpose, translated.losses.is_empty()), (&expected.into(), true));
    }
}

/// Every text is in one call, in order, and its vector at its place in the answer.
#[test]
fn texts_are_spread_over_calls() {
    for (service, model) in ALL {
        let one_each = matches!(service, Service::VertexContent | Service::Titan);
        for count in [1, 2, 95, 96, 97, 100, 101, 128, 250, 251, 2_048] {
            let body = format!(r#"{{"input":{}}}"#, texts(count));
            let translated = request(service, model, body.as_bytes());
            if one_each && count > 128 {
                let refused = translated.expect_err("too many calls");
                assert_eq!(refused.param.as_deref(), Some("input"));
                continue;
            }
            let translated = translated.expect("a request");
            let sent: String = translated
                .calls
                .iter()
                .map(|call| String::from_utf8_lossy(&call.body).into_owned())
                .collect();
            let mut from = 0;
            for n in 0..count {
                let text = format!("\"text {n}\"");
                from += sent[from..].find(&text).unwrap_or_else(|| panic!("{text}"));
            }
            let ours = answered(service, &translated.context).expect("an answer");
            let seen = parsed(&ours.body);
            let data = seen["data"].as_array().expect("a list");
            assert_eq!(data.len(), count);
            for (n, entry) in data.iter().enumerate() {
                assert_eq!((&entry["object"], &entry["index"]), (&"embedding".into(), &n.into()));
                assert_eq!(entry["embedding"][0], (n + 1) as f64, "{service:?}");
            }
            let tokens = count as u64 * 2;
            assert_eq!(seen["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
            assert_eq!((&seen["object"], &seen["model"]), (&"list".into(), &model.into()));
            assert_eq!(ours.usage.map(|usage| usage.input), Some(tokens));
        }
    }
    let body = format!(r#"{{"input":{}}}"#, texts(2));
    let one = request(Service::VertexPredict, "gemini-embedding-001", body.as_bytes());
    assert_eq!(one.expect("a request").calls.len(), 2);
}

#[test]
fn refused_requests() {
    use Reason::{Invalid, NotJson, Unsupported};
    for (body, reason, param) in [
        (r#"{"model":"m"}"#, Invalid, Some("input")),
        (r#"{"input":""}"#, Invalid, Some("input")),
        (r#"{"input":[]}"#, Invalid, Some("input")),
        (r#"{"input":["a",""]}"#, Invalid, Some("input[1]")),
        (r#"{"input":["a",null]}"#, Invalid, Some("input[1]")),
        (r#"{"input":[1,2]}"#, Unsupported, Some("input[0]")),
        (r#"{"input":[[1,2],[3]]}"#, Unsupported, Some("input[0]")),
        (r#"{"input":["a",[3]]}"#, Unsupported, Some("input[1]")),
        (r#"{"input":7}"#, Invalid, Some("input")),
        (r#"{"input":{}}"#, Invalid, Some("input")),
        (r#"{"input":"a","dimensions":0}"#, Invalid, Some("dimensions")),
        (r#"{"input":"a","dimensions":1.5}"#, Invalid, Some("dimensions")),
        (r#"{"input":"a","encoding_format":"int8"}"#, Invalid, Some("encoding_format")),
        (r#"{"input":"a","input_type":"image"}"#, Invalid, Some("input_type")),
        (r#"{"input":"a","user":7}"#, Invalid, None),
        ("{", NotJson, None),
        ("[]", Invalid, None),
    ] {
        for (service, model) in ALL {
            let refused = request(service, model, body.as_bytes()).expect_err(body);
            assert_eq!((refused.reason, refused.param.as_deref()), (reason, param), "{body}");
        }
    }
    let many = format!(r#"{{"input":{}}}"#, texts(2_049));
    let refused = request(Service::Gemini, "m", many.as_bytes()).expect_err("too many");
    assert_eq!(refused.param.as_deref(), Some("input"));
    assert!(request(Service::Gemini, "m", b"\xff").is_err());
}

#[test]
fn dimensions_of_every_service() {
    for ((service, model), taken) in ALL.into_iter().zip([
        &[1, 256, 768, 1024, 1536, 3072][..],
        &[1, 256, 768, 1024, 1536, 3072],
        &[1, 256, 768, 1024, 1536, 3072],
        &[256, 1024],
        &[1024],
        &[256, 1024, 1536],
    ]) {
        for dimensions in [1, 256, 768, 1024, 1536, 3072] {
            let body = format!(r#"{{"input":"a","dimensions":{dimensions}}}"#);
            match request(service, model, body.as_bytes()) {
                Ok(_) => assert!(taken.contains(&dimensions), "{service:?} {dimensions}"),
                Err(refused) => {
                    assert!(!taken.contains(&dimensions), "{service:?} {dimensions}");
                    let seen = (refused.reason, refused.param.as_deref());
                    assert_eq!(seen, (Reason::Unsupported, Some("dimensions")));
                }
            }
        }
    }
}

/// The floats of a vector in base64.
fn floats(entry: &Value) -> Vec<f32> {
    let bytes = STANDARD.decode(entry.as_str().expect("a text")).expect("base64");
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

fn only_vector(service: Service, fields: &str, vector: &str) -> Result<Value, Invalid> {
    let body = format!(r#"{{"input":"a"{fields}}}"#);
    let translated = request(service, "m", body.as_bytes()).expect("a request");
    let vector: Box<serde_json::value::RawValue> = serde_json::from_str(vector).expect("JSON");
    let theirs = match service {
        Service::Titan => format!(r#"{{"embedding":{vector}}}"#),
        _ => format!(r#"{{"embeddings":[{{"values":{vector}}}]}}"#),
    };
    let answers = [CallAnswer { body: theirs.as_bytes(), input_tokens: None }];
    let ours = answer(&translated.context, &answers)?;
    assert_eq!(ours.usage, None);
    let text = String::from_utf8(ours.body).expect("UTF-8");
    Ok(json!([parsed(text.as_bytes())["data"][0]["embedding"], text]))
}

#[test]
fn vectors_are_carried_as_they_are() {
    let seen = only_vector(Service::Titan, "", "[ 0.10, -1e-3, 3 ]").expect("an answer");
    assert!(seen[1].as_str().is_some_and(|text| text.contains("[0.10,-1e-3,3]")), "{seen}");
    let base64 = r#","encoding_format":"base64""#;
    let seen = only_vector(Service::Titan, base64, "[0.5, -1.0, 3]").expect("an answer");
    assert_eq!(floats(&seen[0]), [0.5, -1.0, 3.0]);
    assert_eq!(seen[0], "AAAAPwAAgL8AAEBA");
}

#[test]
fn shortened_vectors_have_the_length_one() {
    for (fields, vector, expected) in [
        (r#","dimensions":2"#, "[3, 4]", json!([0.6, 0.8])),
        (r#","dimensions":2"#, "[0.6, 0.8]", json!([0.6, 0.8])),
        (r#","dimensions":2"#, "[0, 0]", json!([0, 0])),
        // Not shortened.
        ("", "[3, 4]", json!([3, 4])),
    ] {
        let seen = only_vector(Service::Gemini, fields, vector).expect("an answer");
        assert_eq!(seen[0], expected, "{vector}");
    }
    let fields = r#","dimensions":2,"encoding_format":"base64""#;
    let seen = only_vector(Service::Gemini, fields, "[3, 4]").expect("an answer");
    assert_eq!(floats(&seen[0]), [0.6, 0.8]);
}

#[test]
fn answers_that_are_none() {
    for (fields, vector) in [
        ("", "[]"),
        ("", "7"),
        ("", "[\"a\"]"),
        ("", "[null]"),
        ("", "[[1]]"),
        (r#","dimensions":2"#, "[1]"),
        (r#","dimensions":2"#, "[1,2,3]"),
    ] {
        assert!(only_vector(Service::Gemini, fields, vector).is_err(), "{vector}");
    }
    for (service, model) in ALL {
        let context = request(service, model, br#"{"input":"a"}"#).expect("a request").context;
        for body in
            ["", "{}", "[]", "{\"embeddings\":7}", "{\"embeddings\":[]}", "{\"predictions\":[]}"]
        {
            let answers = [CallAnswer { body: body.as_bytes(), input_tokens: None }];
            assert!(answer(&context, &answers).is_err(), "{service:?} {body}");
        }
        assert!(answer(&context, &[]).is_err());
    }
}

/// Figures that one call lacks are unknown for the whole.
#[test]
fn tokens_that_are_not_reported() {
    let translated = request(Service::Titan, "m", br#"{"input":["a","b"]}"#).expect("a request");
    let with =
        CallAnswer { body: br#"{"embedding":[1],"inputTextTokenCount":3}"#, input_tokens: None };
    let without = CallAnswer { body: br#"{"embeddingsByType":{"float":[1]}}"#, input_tokens: None };
    for (answers, expected) in [([with, with], Some(6)), ([with, without], None)] {
        let ours = answer(&translated.context, &answers).expect("an answer");
        assert_eq!(ours.usage.map(|usage| usage.input), expected);
        let total = &parsed(&ours.body)["usage"]["total_tokens"];
        assert_eq!(total, &json!(expected.unwrap_or(0)));
    }
}

proptest! {
    #[test]
    fn base64_holds_the_floats(values in prop::collection::vec(-1e3f32..1e3, 1..50)) {
        let vector: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        prop_assert_eq!(floats(&super::vector::base64(&vector).into()), values);
    }

    #[test]
    fn normalised_vectors_keep_their_direction(mut vector in prop::collection::vec(-10f64..10.0, 2..50)) {
        let before = vector.clone();
        super::vector::normalise(&mut vector);
        let length = |vector: &[f64]| vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        let product: f64 = vector.iter().zip(&before).map(|(a, b)| a * b).sum();
        if length(&before) > 1e-9 {
            prop_assert!((length(&vector) - 1.0).abs() < 1e-4);
            prop_assert!((product - length(&before)).abs() < 1e-3 * length(&before).max(1.0));
        }
    }
}
