//! Conversations with thinking that go from a translated provider to one of the caller's own
//! format, and back.
//!
//! `tollgate mock` refuses thinking that the provider has not signed itself, as the providers do.

use serde_json::{Value, json};

use crate::sdk::Mock;
use crate::support::{Gateway, Provider, Reply, Setup, jwt, step};

/// Models named `gemini*` go to Gemini, `over` to a Gemini that is down and then to the provider of
/// the caller's format, all others to the latter.
fn gateway(mock: &Mock, down: &Provider, kind: &str, model: &str) -> Gateway {
    let (at, down) = (mock.address, down.address);
    let providers = format!(
        "gemini: {{kind: gemini, base_url: \"http://{at}/v1beta\", api_key: sk-own}}\n\
         down: {{kind: gemini, base_url: \"http://{down}/v1beta\", api_key: sk-own}}\n\
         native: {{kind: {kind}, base_url: \"http://{at}/v1\", api_key: sk-own}}"
    );
    let native = format!("{{provider: native, model: {model}}}");
    let routing = format!(
        "default: [{native}]\nmodels: [{{match: 'gemini*', to: [gemini]}}, {{match: over, to: [\
         {{provider: down, model: gemini-3-flash-preview}}, {native}]}}]"
    );
    Setup::towards(mock.address)
        .section("providers", &providers)
        .section("routing", &routing)
        .section("intent", "{provider: native}")
        .start()
}

/// The conversation after an answer to it and a new question.
fn continued(body: &mut Value, list: &str, answer: &Reply) {
    let answer = answer.json();
    let talk = body[list].as_array_mut().unwrap();
    match answer["output"].as_array() {
        Some(items) => talk.extend(items.iter().cloned()),
        None => talk.push(json!({"role": "assistant", "content": answer["content"]})),
    }
    talk.push(json!({"role": "user", "content": "More"}));
}

fn conversation(path: &str, kind: &str, model: &str, list: &str, options: &Value) {
    let (mock, down) = (Mock::start(), Provider::start());
    down.always(step::error(503, "x"));
    let gateway = gateway(&mock, &down, kind, model);
    let lost = |from: &str| format!("{from}>{kind}; dropped=\"reasoning\"");
    for native in ["any", "over"] {
        let mut body = options.clone();
        let ask = |model: &str, body: &mut Value| {
            body["model"] = json!(model);
            let reply = gateway.post(path, &jwt("acme"), body);
            assert_eq!(reply.status, 200, "{model}: {}", reply.text());
            continued(body, list, &reply);
            reply
        };
        let first = ask("gemini-3-flash-preview", &mut body);
        assert!(first.text().contains("\"tg1."), "{}", first.text());
        let second = ask(native, &mut body);
        let from = if list == "input" { "responses" } else { "messages" };
        assert_eq!(second.header("x-tollgate-provider"), Some("native"));
        assert_eq!(second.header("x-tollgate-translation"), Some(lost(from).as_str()));
        assert_eq!(second.json()["model"], json!(model));
        // Both kinds of thinking are in the conversation now.
        ask("gemini-3-flash-preview", &mut body);
        let fourth = ask(native, &mut body);
        assert!(!fourth.text().contains("\"tg1."), "{}", fourth.text());
    }
    let rows = gateway.rows(8);
    let own: Vec<_> = rows.iter().filter(|row| row["provider"] == "native").collect();
    assert_eq!(own.len(), 4);
    for row in own {
        assert_eq!([&row["dropped_fields"], &row["translated"]], ["reasoning", ""]);
    }
}

#[test]
fn thinking_of_gemini_is_not_sent_to_anthropic() {
    let options = json!({"max_tokens": 4000, "thinking": {"type": "adaptive", "display": "summarized"},
        "messages": [{"role": "user", "content": "Hi"}]});
    conversation("/v1/messages", "anthropic", "claude-opus-4-8", "messages", &options);
}

#[test]
fn thinking_of_gemini_is_not_sent_to_openai() {
    let options = json!({"store": false, "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "input": [{"role": "user", "content": "Hi"}]});
    conversation("/v1/responses", "openai", "gpt-5.1", "input", &options);
}
