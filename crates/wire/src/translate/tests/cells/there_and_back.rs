//! Properties of every cell: a conversation is kept, and an answer that its caller sends back is
//! what the provider said. The seeds are fixed, so that every run sees the same cases.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};

use super::answers::{context, streamed};
use super::replies::{self, Bit, Reply};
use super::{Row, cells, check_form, check_row, target, translated};
use crate::format::Format::{
    self, AnthropicMessages, BedrockConverse, Gemini, OpenAiChat, OpenAiResponses,
};
use crate::translate::answer;

/// So many cases, the same ones in every run.
pub(crate) fn fixed(cases: u32) -> Config {
    let rng_seed = RngSeed::Fixed(0x7011_6a7e);
    Config { cases, rng_seed, failure_persistence: None, ..Config::default() }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(fixed(cases))
}

/// Text that is not blank, of any characters.
fn words() -> impl Strategy<Value = String> {
    "[a-zé\\\\\"\\n\u{1f600}\u{1}<]{0,6}[a-z]"
}

fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{}".to_owned()),
        Just(r#"{"z":1.50,"a":[1,{"b":null}],"n":1234567890123456789}"#.to_owned()),
        words().prop_map(|text| json!({"x": text, "a": {"k": [true]}}).to_string()),
    ]
}

// ---- conversations ------------------------------------------------------------------------------

/// What the user says, and what the model answers.
#[derive(Clone, Debug)]
struct Exchange {
    said: Vec<String>,
    image: Option<String>,
    answer: Option<String>,
    /// Arguments and result of each call.
    calls: Vec<(String, String)>,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let image = proptest::option::of("[A-Za-z0-9+/]{4}");
    let calls = proptest::collection::vec((arguments(), words()), 0..3);
    (proptest::collection::vec(words(), 1..3), image, proptest::option::of(words()), calls)
        .prop_map(|(said, image, answer, calls)| Exchange { said, image, answer, calls })
}

/// The conversation as a request, which ends with a message of the user.
fn request(caller: Format, exchanges: &[Exchange], system: Option<&str>) -> String {
    let mut items: Vec<Value> = Vec::new();
    for (turn, exchange) in exchanges.iter().enumerate() {
        let id = |at: usize| format!("call_{turn}_{at}");
        let kind = if caller == OpenAiResponses { "input_text" } else { "text" };
        let texts = exchange.said.iter().map(|text| json!({"type": kind, "text": text}));
        let image = exchange.image.iter().map(|data| match caller {
            OpenAiChat => json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}}),
            OpenAiResponses => json!({"type": "input_image", "image_url": format!("data:image/png;base64,{data}")}),
            _ => json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}),
        });
        items.push(json!({"role": "user", "content": texts.chain(image).collect::<Vec<_>>()}));
        let calls = exchange.calls.iter().enumerate();
        match caller {
            OpenAiChat => {
                let list: Vec<Value> = calls.clone().map(|(at, (arguments, _))| json!({"id": id(at), "type": "function", "function": {"name": "f", "arguments": arguments}})).collect();
                let mut message = json!({"role": "assistant", "content": exchange.answer});
                if !list.is_empty() {
                    message["tool_calls"] = list.into();
                } else if exchange.answer.is_none() {
                    continue;
                }
                items.push(message);
                items.extend(calls.map(|(at, (_, result))| json!({"role": "tool", "tool_call_id": id(at), "content": result})));
            }
            OpenAiResponses => {
                items.extend(
                    exchange
                        .answer
                        .iter()
                        .map(|text| json!({"role": "assistant", "content": text})),
                );
                items.extend(calls.clone().map(|(at, (arguments, _))| json!({"type": "function_call", "call_id": id(at), "name": "f", "arguments": arguments})));
                items.extend(calls.map(|(at, (_, result))| json!({"type": "function_call_output", "call_id": id(at), "output": result})));
            }
            _ => {
                let said = exchange.answer.iter().map(|text| json!({"type": "text", "text": text}));
                let input =
                    |arguments: &str| serde_json::from_str::<Value>(arguments).expect("JSON");
                let uses = calls.clone().map(|(at, (arguments, _))| json!({"type": "tool_use", "id": id(at), "name": "f", "input": input(arguments)}));
                let blocks: Vec<Value> = said.chain(uses).collect();
                if blocks.is_empty() {
                    continue;
                }
                items.push(json!({"role": "assistant", "content": blocks}));
                let results: Vec<Value> = calls.map(|(at, (_, result))| json!({"type": "tool_result", "tool_use_id": id(at), "content": result})).collect();
                if !results.is_empty() {
                    items.push(json!({"role": "user", "content": results}));
                }
            }
        }
    }
    items.push(json!({"role": "user", "content": "end"}));
    let schema = json!({"type": "object", "properties": {}});
    let body = match caller {
        OpenAiChat => {
            let system = system.map(|text| json!({"role": "system", "content": text}));
            let messages: Vec<Value> = system.into_iter().chain(items).collect();
            json!({"messages": messages, "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})
        }
        OpenAiResponses => {
            json!({"instructions": system, "input": items, "tools": [{"type": "function", "name": "f", "strict": false, "parameters": schema}]})
        }
        _ => {
            let mut body = json!({"max_tokens": 9000, "messages": items, "tools": [{"name": "f", "input_schema": schema}]});
            if let Some(system) = system {
                body["system"] = system.into();
            }
            body
        }
    };
    body.to_string()
}

/// Texts, images, calls with their arguments and ids, and results are kept, in their order.
#[test]
fn conversations_are_kept() {
    let exchanges = proptest::collection::vec(exchange(), 0..4);
    let cases = (exchanges, proptest::option::of(words()));
    for (caller, to) in cells() {
        let check = |(exchanges, system): (Vec<Exchange>, Option<String>)| {
            let mut row = Row::new(request(caller, &exchanges, system.as_deref()));
            if caller == AnthropicMessages {
                row = row.at(Gemini, "/generationConfig/maxOutputTokens", "9000").at(
                    BedrockConverse,
                    "/inferenceConfig/maxTokens",
                    "9000",
                );
            }
            check_row(caller, to, &row);
            Ok(())
        };
        runner(60).run(&cases, check).unwrap_or_else(|odd| panic!("{caller:?} {to:?}: {odd}"));
    }
}

// ---- answers that come back ---------------------------------------------------------------------

/// Answers in an order that every caller can keep: thinking, texts, calls with thinking between.
fn reply(provider: Format) -> impl Strategy<Value = Reply> {
    let signature = || "[A-Za-z0-9]{8}";
    let thought = move || (words(), signature()).prop_map(|(text, sig)| Bit::Thought(text, sig));
    let hidden = move || signature().prop_map(Bit::Hidden);
    let has_hidden = matches!(provider, AnthropicMessages | BedrockConverse);
    let is_google = matches!(provider, Gemini | OpenAiChat);
    let thinking = move || match provider {
        OpenAiChat => proptest::collection::vec(thought(), 0..1).boxed(),
        _ if has_hidden => {
            proptest::collection::vec(prop_oneof![thought(), hidden()], 0..3).boxed()
        }
        _ => proptest::collection::vec(thought(), 0..3).boxed(),
    };
    let texts = proptest::collection::vec(words().prop_map(Bit::Text), 0..3);
    let signed = (proptest::option::of((words(), signature()))).prop_map(move |signed| {
        signed.filter(|_| is_google).map(|(text, signature)| Bit::SignedText(text, signature))
    });
    let call = move || (arguments(), proptest::option::of(signature()), thinking());
    let calls = proptest::collection::vec(call(), 0..4);
    (thinking(), texts, signed, calls).prop_map(move |(thinking, texts, signed, calls)| {
        let mut bits: Vec<Bit> = thinking.into_iter().chain(texts).chain(signed).collect();
        for (at, (arguments, signature, thinking)) in calls.into_iter().enumerate() {
            // A message of chat has its first thinking before its text.
            bits.extend(thinking.into_iter().filter(|_| has_hidden && at > 0));
            let signature = signature.filter(|_| is_google).unwrap_or_default();
            bits.push(Bit::Call(format!("call_{at}"), "f".to_owned(), arguments, signature));
        }
        Reply::new(bits)
    })
}

/// The next request of a caller that keeps the answer as its SDK does.
fn next_request(caller: Format, body: &Value, calls: usize) -> String {
    let schema = json!({"type": "object", "properties": {}});
    let user = json!({"role": "user", "content": "a"});
    let last = json!({"role": "user", "content": "end"});
    let mut items = vec![user];
    let body = match caller {
        OpenAiChat => {
            let message = &body["choices"][0]["message"];
            items.push(message.clone());
            let ids = message["tool_calls"].as_array().into_iter().flatten();
            items.extend(
                ids.map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "1"})),
            );
            items.push(last);
            json!({"messages": items, "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})
        }
        OpenAiResponses => {
            let output = body["output"].as_array().expect("a list").clone();
            let calls = output.iter().filter(|item| item.get("call_id").is_some());
            let results: Vec<Value> = calls.map(|call| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "1"})).collect();
            items.extend(output);
            items.extend(results);
            items.push(last);
            json!({"input": items, "tools": [{"type": "function", "name": "f", "strict": false, "parameters": schema}]})
        }
        _ => {
            let content = body["content"].as_array().expect("a list");
            if !content.is_empty() {
                items.push(json!({"role": "assistant", "content": content}));
            }
            let uses = content.iter().filter(|block| block["type"] == "tool_use");
            let mut results: Vec<Value> = uses.map(|block| json!({"type": "tool_result", "tool_use_id": block["id"], "content": "1"})).collect();
            assert_eq!(results.len(), calls);
            results.push(json!({"type": "text", "text": "end"}));
            items.push(json!({"role": "user", "content": results}));
            json!({"max_tokens": 9000, "messages": items, "tools": [{"name": "f", "input_schema": schema}]})
        }
    };
    body.to_string()
}

/// The bits of the model's turn in a request, in the provider's form. Neighbouring texts are one.
fn sent_back(provider: Format, body: &Value) -> Vec<Bit> {
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (turns, role) = match provider {
        Gemini => (list(&body["contents"]), "model"),
        _ => (list(&body["messages"]), "assistant"),
    };
    let Some(turn) = turns.into_iter().find(|turn| turn["role"] == role) else { return Vec::new() };
    let mut bits = Vec::new();
    match provider {
        OpenAiChat => {
            let signature = string(&turn["extra_content"]["google"]["thought_signature"]);
            let mut texts: Vec<String> =
                list(&turn["content"]).iter().map(|part| string(&part["text"])).collect();
            texts.extend(turn["content"].as_str().map(str::to_owned));
            match (texts.concat(), signature) {
                (text, _) if text.is_empty() => {}
                (text, signature) if signature.is_empty() => bits.push(Bit::Text(text)),
                (text, signature) => bits.push(Bit::SignedText(text, signature)),
            }
            for call in list(&turn["tool_calls"]) {
                let function = &call["function"];
                let signature = string(&call["extra_content"]["google"]["thought_signature"]);
                bits.push(Bit::Call(
                    string(&call["id"]),
                    string(&function["name"]),
                    string(&function["arguments"]),
                    signature,
                ));
            }
        }
        AnthropicMessages => {
            for block in list(&turn["content"]) {
                bits.push(match block["type"].as_str() {
                    Some("text") => Bit::Text(string(&block["text"])),
                    Some("thinking") => {
                        Bit::Thought(string(&block["thinking"]), string(&block["signature"]))
                    }
                    Some("redacted_thinking") => Bit::Hidden(string(&block["data"])),
                    _ => Bit::Call(
                        string(&block["id"]),
                        string(&block["name"]),
                        block["input"].to_string(),
                        String::new(),
                    ),
                });
            }
        }
        Gemini => {
            for (at, part) in list(&turn["parts"]).iter().enumerate() {
                let signature = string(&part["thoughtSignature"]);
                // Stands for the signature of a first call that has none.
                let signature =
                    if signature.starts_with("skip_") { String::new() } else { signature };
                bits.push(match (part.get("functionCall"), part["thought"] == true) {
                    (Some(call), _) => Bit::Call(
                        at.to_string(),
                        string(&call["name"]),
                        call["args"].to_string(),
                        signature,
                    ),
                    (None, true) => Bit::Thought(string(&part["text"]), signature),
                    (None, false) if signature.is_empty() => Bit::Text(string(&part["text"])),
                    (None, false) => Bit::SignedText(string(&part["text"]), signature),
                });
            }
        }
        _ => {
            for block in list(&turn["content"]) {
                let reasoning = &block["reasoningContent"];
                let thought = &reasoning["reasoningText"];
                bits.push(if let Some(call) = block.get("toolUse") {
                    Bit::Call(
                        string(&call["toolUseId"]),
                        string(&call["name"]),
                        call["input"].to_string(),
                        String::new(),
                    )
                } else if thought.is_object() {
                    Bit::Thought(string(&thought["text"]), string(&thought["signature"]))
                } else if reasoning.is_object() {
                    Bit::Hidden(string(&reasoning["redactedContent"]))
                } else {
                    Bit::Text(string(&block["text"]))
                });
            }
        }
    }
    comparable(provider, bits)
}

/// Neighbouring texts as one, arguments in one form, and no ids where there are none.
fn comparable(provider: Format, bits: Vec<Bit>) -> Vec<Bit> {
    let mut all: Vec<Bit> = Vec::new();
    for bit in bits {
        match (all.last_mut(), bit) {
            (Some(Bit::Text(before)), Bit::Text(text)) => before.push_str(&text),
            (Some(Bit::Text(before)), Bit::SignedText(text, signature)) => {
                let text = [before.as_str(), &text].concat();
                all.pop();
                all.push(Bit::SignedText(text, signature));
            }
            (_, Bit::Call(id, name, arguments, signature)) => {
                let id = if provider == Gemini { String::new() } else { id };
                let arguments: Value = serde_json::from_str(&arguments).expect("JSON");
                all.push(Bit::Call(id, name, arguments.to_string(), signature));
            }
            // Only a provider that signs thinking takes it back.
            (_, Bit::Thought(..)) if provider == OpenAiChat => {}
            (_, bit) => all.push(bit),
        }
    }
    all
}

/// An answer, whole or streamed, is in the next request what the provider said.
#[test]
fn answers_come_back() {
    for (caller, provider) in cells() {
        let mut to = target(caller, provider);
        if provider == OpenAiChat {
            // Gemini behind a server of this format: it wants its signatures back.
            to.model = "gemini-3-flash";
            to.facts = crate::translate::model::ModelFacts::of(to.model);
        }
        let context = context(caller, provider);
        let check = |reply: Reply| {
            let calls = reply.bits.iter().filter(|bit| matches!(bit, Bit::Call(..))).count();
            let whole = answer(&context, replies::whole(provider, &reply).as_bytes());
            let whole = crate::translate::tests::json(&whole.expect("an answer").body);
            let bytes = replies::stream(provider, &reply);
            let (out, ended, _) = streamed(&context, &bytes, 77);
            assert_eq!(ended, Ok(()));
            let joined = super::answers::joined(caller, &out);
            for body in [whole, joined] {
                let next = next_request(caller, &body, calls);
                let seen =
                    translated(caller, &to, &next).unwrap_or_else(|odd| panic!("{odd}: {next}"));
                let sent = crate::translate::tests::json(&seen.body);
                check_form(provider, &sent);
                let expected = comparable(provider, reply.bits.clone());
                prop_assert_eq!(sent_back(provider, &sent), expected, "{}", next);
            }
            Ok(())
        };
        let reply = reply(provider);
        runner(60)
            .run(&reply, check)
            .unwrap_or_else(|odd| panic!("{caller:?} {provider:?}: {odd}"));
    }
}
