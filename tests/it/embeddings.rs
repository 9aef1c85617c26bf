//! Embeddings of providers that take them in another form, often one text in a call.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Reply, Setup, eventually, jwt, step};

const TITAN: &str = "amazon.titan-embed-text-v2:0";

/// A policy with a provider of each of these kinds, with these models of their own, all of them
/// targets, in this order.
fn setup(providers: &[(&str, &str, &Provider)]) -> Setup {
    let section: Vec<String> = providers
        .iter()
        .map(|(kind, _, provider)| {
            let at = provider.address;
            format!(
                "{kind}: {{kind: {kind}, base_url: \"http://{at}/v1\", api_key: sk-{kind}-own}}"
            )
        })
        .collect();
    let to: Vec<String> = providers
        .iter()
        .map(|(kind, model, _)| format!("{{provider: {kind}, model: \"{model}\"}}"))
        .collect();
    Setup::towards(providers[0].2.address)
        .section("providers", &section.join("\n"))
        .section("routing", &format!("default: [{}]", to.join(", ")))
        .section("intent", &format!("{{provider: {}}}", providers[0].0))
        .section("prices", "[{model: '*titan*', input: 0.5, output: 0}]")
}

fn titan_gateway(titan: &Provider) -> Gateway {
    setup(&[("bedrock", TITAN, titan)]).start()
}

fn embed(gateway: &Gateway, body: &Value) -> Reply {
    gateway.post("/v1/embeddings", &jwt("acme"), body)
}

fn texts(count: usize) -> Value {
    (0..count).map(|n| format!("text {n}")).collect()
}

/// The answer of Titan to a text: its number as a vector.
fn titan_answer(body: &str) -> Value {
    let digits: String = body.chars().filter(char::is_ascii_digit).collect();
    let number: f64 = digits.parse().unwrap_or(0.0);
    json!({"embedding": [number, 0.5], "inputTextTokenCount": 3})
}

/// Titan, which answers each call with the number in its text.
fn titan() -> step::Step {
    vec![step::Act::Reply(Arc::new(|seen| {
        let text = seen.json()["inputText"].as_str().unwrap_or_default().to_owned();
        let body = titan_answer(&text).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
        format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
    }))]
}

#[test]
fn gemini_makes_embeddings_in_openais_shape() {
    let gemini = Provider::start();
    let gateway = setup(&[("gemini", "gemini-embedding-001", &gemini)]).start();
    let theirs = json!({"embeddings": [{"values": [0.6, 0.8]}, {"values": [1.5, -2.0]}],
        "usageMetadata": {"promptTokenCount": 9}});
    gemini.always(step::json(200, &theirs));
    let mut body = json!({"model": "any", "user": "u1",
        "input": ["I am jane@example.com", "b"]});
    let reply = embed(&gateway, &body);
    let answer = reply.ok().json();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["data"][0]["embedding"], json!([0.6, 0.8]));
    assert_eq!(
        answer["data"][1],
        json!({"object": "embedding", "index": 1, "embedding": [1.5, -2.0]})
    );
    assert_eq!(answer["usage"], json!({"prompt_tokens": 9, "total_tokens": 9}));
    assert_eq!(reply.header("x-tollgate-translation"), Some("embeddings>gemini; dropped=\"user\""));
    let seen = gemini.only();
    assert_eq!(seen.target, "/v1/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(seen.header("x-goog-api-key"), Some("sk-gemini-own"));
    let first = &seen.json()["requests"][0];
    assert_eq!(first["content"]["parts"][0]["text"], "I am [REDACTED_EMAIL]");

    body["encoding_format"] = json!("base64");
    let answer = embed(&gateway, &body).ok().json();
    let bytes = STANDARD.decode(answer["data"][1]["embedding"].as_str().unwrap()).unwrap();
    let floats: Vec<f32> =
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(floats, [1.5, -2.0]);
    for row in gateway.rows(2) {
        assert_eq!([&row["input_tokens"], &row["output_tokens"]], [9, 0], "{row:?}");
        assert_eq!([&row["translated"], &row["outcome"]], ["embeddings>gemini", "ok"]);
        assert_eq!([&row["dropped_fields"], &row["endpoint"]], ["user", "/v1/embeddings"]);
    }
}

#[test]
fn texts_are_asked_for_eight_at_a_time_and_stand_in_their_order() {
    let bedrock = Provider::start();
    let gateway = titan_gateway(&bedrock);
    let (gate, go) = step::gate();
    bedrock.always([vec![gate], titan()].concat());
    let body = json!({"model": "any", "input": texts(20), "dimensions": 2, "user": "u"});
    let refused = embed(&gateway, &body);
    refused.refused(400, "unsupported_parameter");
    assert_eq!(refused.json()["error"]["param"], "dimensions");

    let body = json!({"model": "any", "input": texts(20)});
    let reply = std::thread::scope(|scope| {
        let reply = scope.spawn(|| embed(&gateway, &body));
        bedrock.wait_for(8);
        for answered in 1..=20 {
            // One that is answered makes room for one more.
            assert_eq!(bedrock.wait_for((7 + answered).min(20)).len(), (7 + answered).min(20));
            go.send(()).expect("the provider waits");
        }
        reply.join().expect("a reply")
    });
    let answer = reply.ok().json();
    let numbers: Vec<f64> =
        (0..20).map(|n| answer["data"][n]["embedding"][0].as_f64().expect("a number")).collect();
    assert_eq!(numbers, (0..20).map(f64::from).collect::<Vec<_>>());
    assert_eq!(answer["usage"]["prompt_tokens"], 60);
    let seen = bedrock.seen().remove(0);
    assert_eq!(seen.target, "/v1/model/amazon.titan-embed-text-v2%3A0/invoke");
    assert_eq!(seen.header("authorization"), Some("Bearer sk-bedrock-own"));
    assert_eq!(reply.header("x-tollgate-attempts"), Some("1"));
    let row = gateway.rows(2).pop().unwrap();
    assert_eq!([&row["attempts"], &row["input_tokens"], &row["output_tokens"]], [1, 60, 0]);
    assert_eq!(row["cost_usd"], json!(0.00003), "{row:?}");
    assert_eq!([&row["provider"], &row["response_model"]], ["bedrock", TITAN]);
}

#[test]
fn a_text_that_fails_fails_all_and_a_retry_asks_for_what_is_missing() {
    let bedrock = Provider::start();
    let gateway = titan_gateway(&bedrock);
    let body = json!({"model": "any", "input": texts(3)});
    bedrock.always(titan());
    bedrock.script([step::json(503, &json!({"message": "busy"}))]);
    let reply = embed(&gateway, &body);
    assert_eq!(reply.ok().json()["data"][2]["embedding"][0], 2.0);
    let seen = bedrock.take_seen().len();
    assert!((4..=6).contains(&seen), "{seen} calls: the one that failed again, and its likes");
    let row = gateway.only_row();
    assert_eq!([&row["attempts"], &row["input_tokens"]], [2, 9], "{row:?}");

    let no = json!({"message": "expected maxLength: 50000, actual: 60000"});
    bedrock.script([step::json(400, &no)]);
    let reply = embed(&gateway, &body);
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["message"], no["message"]);
    let row = gateway.rows(2).pop().unwrap();
    assert_eq!([&row["attempts"], &row["status"], &row["input_tokens"]], [1, 400, 0]);
}

#[test]
fn answers_that_are_cut_or_hold_no_vector_are_no_answers() {
    let bedrock = Provider::start();
    let gateway = setup(&[("bedrock", TITAN, &bedrock)]).start();
    let body = json!({"model": "any", "input": texts(3)});
    bedrock.always(titan());
    bedrock.script([step::truncated_json(&titan_answer("1"))]);
    embed(&gateway, &body).refused(503, "provider_unavailable");

    bedrock.script((0..10).map(|_| step::json(200, &json!({"embedding": "none"}))));
    embed(&gateway, &body).refused(502, "provider_answer_invalid");
}

#[test]
fn a_late_answer_fails_the_others_at_the_deadline() {
    let bedrock = Provider::start();
    let gateway = setup(&[("bedrock", TITAN, &bedrock)]).section("timeouts", "{total: 3s}").start();
    bedrock.always(titan());
    // The others have come: the one that is late fails all of them, and its connection is closed.
    let closed = bedrock.closed_by_peer();
    bedrock.script([step::silence()]);
    embed(&gateway, &json!({"model": "any", "input": texts(3)})).refused(504, "provider_timeout");
    eventually("the late call has ended", || (bedrock.closed_by_peer() > closed).then_some(()));
    let row = gateway.only_row();
    assert_eq!([&row["outcome"], &row["error_code"]], ["timeout", "provider_timeout"]);
}

#[test]
fn one_call_falls_from_openai_to_gemini_to_bedrock() {
    let (openai, gemini, bedrock) = (Provider::start(), Provider::start(), Provider::start());
    let gateway = setup(&[
        ("openai", "text-embedding-3-small", &openai),
        ("gemini", "gemini-embedding-001", &gemini),
        ("bedrock", "eu.cohere.embed-v4:0", &bedrock),
    ])
    .start();
    openai.always(step::error(503, "x"));
    gemini.always(step::json(503, &json!({"error": {"code": 503, "status": "UNAVAILABLE"}})));
    let theirs =
        json!({"embeddings": {"float": [[0.1, 0.2]]}, "response_type": "embeddings_by_type"});
    let headers = [("content-type", "application/json"), ("x-amzn-bedrock-input-token-count", "5")];
    bedrock.always(step::with_headers(200, &headers, theirs.to_string().as_bytes()));
    let body =
        json!({"model": "any", "input": "from jane@example.com", "input_type": "search_query"});
    let reply = embed(&gateway, &body);
    assert_eq!(reply.ok().json()["data"][0]["embedding"], json!([0.1, 0.2]));
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 5);
    assert_eq!(openai.only().target, "/v1/embeddings");
    assert_eq!(openai.only().json()["model"], "text-embedding-3-small");
    assert!(gemini.only().target.ends_with(":batchEmbedContents"));
    let sent = bedrock.only().json();
    assert_eq!([&sent["texts"][0], &sent["input_type"]], ["from [REDACTED_EMAIL]", "search_query"]);
    let row = gateway.only_row();
    assert_eq!([&row["attempts"], &row["input_tokens"]], [3, 5], "{row:?}");
    assert_eq!([&row["provider"], &row["translated"]], ["bedrock", "embeddings>bedrock"]);
    let detail = row["attempts_detail"].as_str().unwrap();
    assert!(detail.starts_with("openai 503 ") && detail.contains("gemini 503 "), "{detail}");
}

#[test]
fn token_ids_and_lost_fields_are_refused() {
    for on_loss in ["note", "refuse"] {
        let gemini = Provider::start();
        let routing = format!("default: [gemini]\non_loss: {on_loss}");
        let gateway = setup(&[("gemini", "gemini-embedding-001", &gemini)])
            .section("routing", &routing)
            .section("redaction", "{token_arrays: allow}")
            .start();
        gemini.always(step::json(200, &json!({"embeddings": [{"values": [1]}]})));
        for input in [json!([1, 2]), json!([[1], [2]])] {
            let reply = embed(&gateway, &json!({"model": "gemini-embedding-001", "input": input}));
            reply.refused(400, "unsupported_parameter");
            assert_eq!(reply.json()["error"]["param"], "input[0]");
        }
        let body = json!({"model": "gemini-embedding-001", "input": "a", "user": "u"});
        let reply = embed(&gateway, &body);
        match on_loss {
            "note" => assert_eq!(reply.ok().json()["data"][0]["embedding"], json!([1])),
            _ => {
                reply.refused(400, "unsupported_parameter");
                assert_eq!(reply.json()["error"]["param"], "user");
            }
        }
        assert_eq!(gemini.seen().len(), usize::from(on_loss == "note"));
    }
}

#[test]
fn a_model_without_embeddings_is_a_wrong_endpoint() {
    let bedrock = Provider::start();
    let gateway = setup(&[("bedrock", "anthropic.claude-sonnet-4-5-v1:0", &bedrock)]).start();
    let reply = embed(&gateway, &json!({"model": "any", "input": "a"}));
    reply.refused(400, "wrong_endpoint");
    assert!(bedrock.seen().is_empty());
}

#[test]
fn long_texts_are_embedded_and_long_answers_carried() {
    let gemini = Provider::start();
    let gateway = setup(&[("gemini", "gemini-embedding-001", &gemini)]).start();
    // Several MiB, as the vectors of a hundred texts have them.
    let vector: Vec<f64> = (0..3072).map(|n| f64::from(n) / 3.0e5).collect();
    let vectors: Vec<Value> = (0..60).map(|_| json!({"values": vector})).collect();
    let theirs = json!({"embeddings": vectors});
    assert!(theirs.to_string().len() > 2 << 20);
    gemini.always(step::json(200, &theirs));
    let input: Vec<String> =
        (0..60).map(|n| format!("jane@example.com {n} ").repeat(400)).collect();
    let reply = embed(&gateway, &json!({"model": "any", "input": input}));
    let answer = reply.ok().json();
    assert_eq!(answer["data"][59]["embedding"][3], json!(0.00001));
    let sent = gemini.only();
    assert_eq!(sent.text().matches("[REDACTED_EMAIL]").count(), 60 * 400);
    // The provider has not told its usage.
    let row = gateway.only_row();
    assert_eq!([&row["usage_source"], &row["outcome"]], ["estimated", "ok"], "{row:?}");
}
