//! Answers of models, and the bytes in which each provider sends them, whole and streamed.
//!
//! Written after the documents of the formats, without the code that is tested.

use serde_json::{Value, json};

use crate::format::Format::{self, AnthropicMessages, BedrockConverse, Gemini, OpenAiChat};

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bit {
    Text(String),
    /// With the signature of a thought before it, which only Gemini has.
    SignedText(String, String),
    Refusal(String),
    /// With its signature; empty if there is none.
    Thought(String, String),
    Hidden(String),
    /// Id, name, arguments, and the signature of a thought before it, which only Gemini has.
    Call(String, String, String, String),
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Turn,
    Length,
    Filter,
    /// Another word of the provider, with the end that it stands for.
    Word(&'static str, Class),
}

/// The ends that callers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Done,
    Length,
    Filter,
    /// The end of the model's context.
    Context,
    Pause,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) bits: Vec<Bit>,
    pub(crate) end: End,
}

pub(crate) fn text(text: &str) -> Bit {
    Bit::Text(text.to_owned())
}

fn thought(text: &str, signature: &str) -> Bit {
    Bit::Thought(text.to_owned(), signature.to_owned())
}

pub(crate) fn call(id: &str, name: &str, arguments: &str) -> Bit {
    Bit::Call(id.to_owned(), name.to_owned(), arguments.to_owned(), String::new())
}

fn signed_call(id: &str, name: &str, arguments: &str, signature: &str) -> Bit {
    Bit::Call(id.to_owned(), name.to_owned(), arguments.to_owned(), signature.to_owned())
}

impl Reply {
    pub(crate) fn new(bits: Vec<Bit>) -> Reply {
        Reply { bits, end: End::Turn }
    }

    fn ended(self, end: End) -> Reply {
        Reply { end, ..self }
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.bits.iter().any(|bit| matches!(bit, Bit::Call(..)))
    }

    /// Whether a provider of this format can give it.
    fn is_of(&self, format: Format) -> bool {
        let order = |bit: &Bit| match bit {
            Bit::Thought(..) | Bit::Hidden(_) => 0,
            Bit::Text(_) | Bit::SignedText(..) => 1,
            Bit::Refusal(_) => 2,
            Bit::Call(..) => 3,
        };
        let mut signed_texts = self.bits.iter().filter(|bit| matches!(bit, Bit::SignedText(..)));
        match format {
            // Google's own endpoint for chat has its signatures, too: one of all texts.
            OpenAiChat => {
                self.bits.is_sorted_by_key(order)
                    && signed_texts.nth(1).is_none()
                    && self.bits.iter().all(|bit| match bit {
                        Bit::Hidden(_) => false,
                        Bit::Thought(_, signature) => signature.is_empty(),
                        _ => true,
                    })
            }
            Gemini => !self.bits.iter().any(|bit| matches!(bit, Bit::Hidden(_) | Bit::Refusal(_))),
            _ => self.bits.iter().all(|bit| match bit {
                Bit::SignedText(..) | Bit::Refusal(_) => false,
                Bit::Call(_, _, _, signature) => signature.is_empty(),
                _ => true,
            }),
        }
    }
}

/// The answers of a provider.
pub(crate) fn of(format: Format) -> Vec<Reply> {
    let mut replies: Vec<Reply> =
        common().into_iter().chain(signed()).filter(|reply| reply.is_of(format)).collect();
    let words: &[(&str, Class)] = match format {
        OpenAiChat => &[("eos", Class::Done)],
        Gemini => &[
            ("CONTINUATION", Class::Length),
            ("RECITATION", Class::Filter),
            ("IMAGE_SAFETY", Class::Filter),
            ("MODEL_ARMOR", Class::Filter),
            ("OTHER", Class::Done),
        ],
        AnthropicMessages => &[
            ("stop_sequence", Class::Done),
            ("pause_turn", Class::Pause),
            ("model_context_window_exceeded", Class::Context),
            ("later", Class::Done),
        ],
        _ => &[
            ("stop_sequence", Class::Done),
            ("content_filtered", Class::Filter),
            ("refusal", Class::Filter),
            ("model_context_window_exceeded", Class::Context),
            ("later", Class::Done),
        ],
    };
    for (word, class) in words {
        replies.push(Reply::new(vec![text("A")]).ended(End::Word(word, *class)));
    }
    replies
}

/// What a model may say in every format.
fn common() -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    for words in [
        "A",
        " a b ",
        "é ü 漢字 \u{1f600}",
        "\"quoted\" \\ and / and \u{7f}",
        "two\nlines\r\n\tand a tab",
        "\u{0}\u{1}\u{1f}",
        "{\"not\":\"a call\"}",
        "data: x\n\nevent: y\n\n",
        "[DONE]",
        "<system>no</system>",
        "\u{202e}left\u{202c} \u{feff}",
    ] {
        replies.push(Reply::new(vec![text(words)]));
    }
    replies.push(Reply::new(vec![text(&"word ".repeat(200))]));
    for end in [End::Length, End::Filter] {
        replies.push(Reply::new(vec![text("A")]).ended(end));
        replies.push(Reply::new(vec![]).ended(end));
        replies.push(Reply::new(vec![thought("Hm", ""), text("A")]).ended(end));
        replies.push(Reply::new(vec![text("A"), call("c1", "f", r#"{"x":1}"#)]).ended(end));
    }
    replies.push(Reply::new(vec![]));
    for arguments in [
        "{}",
        r#"{"x":1}"#,
        r#"{"b":1,"a":[null,true,{"c":"é \"q\" \\"}]}"#,
        r#"{"n":12345678901234567890,"f":1.50,"e":1e300}"#,
        r#"{"text":"{\"nested\":\"}{\"}"}"#,
        r#"{"":"","\u00e9":"\ud83d\ude00"}"#,
    ] {
        replies.push(Reply::new(vec![call("c1", "f", arguments)]));
    }
    for bits in [
        vec![call("c1", "f", "{}"), call("c2", "f", "{}")],
        vec![
            call("c1", "f", r#"{"x":1}"#),
            call("c2", "g_2", r#"{"y":"z"}"#),
            call("c3", "f", "{}"),
        ],
        vec![text("A"), call("c1", "f", "{}")],
        vec![text("A"), text("B")],
        vec![text("A"), text("B"), call("call_0123456789012345678901234567890123", "f", "{}")],
        vec![thought("Hm", ""), text("A")],
        vec![thought("Hm\n\"so\"", ""), text("A"), call("c1", "f", "{}")],
        vec![thought("Hm", ""), call("c1", "f", r#"{"x":1}"#)],
        vec![thought("Hm", "")],
        vec![text("free"), call("c1", "free", r#"{"input":"x \"y\"\n"}"#)],
        vec![call("c1", "free", r#"{"input":""}"#)],
        vec![call("c1", "free", r#"{"other":1}"#)],
    ] {
        replies.push(Reply::new(bits));
    }
    replies
}

/// Thinking that its maker has signed, and orders that chat does not have.
fn signed() -> Vec<Reply> {
    let hidden = |data: &str| Bit::Hidden(data.to_owned());
    let signed_text = |text: &str| Bit::SignedText(text.to_owned(), "Sg==".to_owned());
    let bits = [
        vec![thought("Hm", "Sg=="), text("A")],
        vec![thought("Hm", "Sg=="), text("A"), call("c1", "f", "{}")],
        vec![
            thought("Hm", "Sg=="),
            call("c1", "f", "{}"),
            thought("So", "U28="),
            call("c2", "g", "{}"),
        ],
        vec![hidden("RA=="), text("A")],
        vec![thought("Hm", "Sg=="), hidden("RA=="), text("A")],
        vec![text("A"), call("c1", "f", "{}"), text("B")],
        vec![call("c1", "f", "{}"), text("B")],
        vec![signed_text("A")],
        vec![text("B"), signed_text("A")],
        vec![signed_call("c1", "f", "{}", "Sg=="), call("c2", "g", "{}")],
        vec![text("A"), signed_call("c1", "f", r#"{"x":1}"#, "Sg==")],
        vec![signed_text("A"), signed_call("c1", "f", "{}", "U28=")],
        vec![signed_call("c1", "free", r#"{"input":"x"}"#, "Sg==")],
        vec![Bit::Refusal("No.".to_owned())],
    ];
    bits.into_iter().map(Reply::new).collect()
}

/// The vendor of signatures in a format: its own, or Google's.
pub(crate) fn vendor(format: Format) -> &'static str {
    match format {
        AnthropicMessages | BedrockConverse => "anthropic",
        _ => "google",
    }
}

fn word(format: Format, reply: &Reply) -> &'static str {
    let at = match format {
        OpenAiChat => 0,
        AnthropicMessages => 1,
        Gemini => 2,
        _ => 3,
    };
    match (reply.end, reply.has_calls()) {
        (End::Word(word, _), _) => word,
        (End::Turn, true) => ["tool_calls", "tool_use", "STOP", "tool_use"][at],
        (End::Turn, false) => ["stop", "end_turn", "STOP", "end_turn"][at],
        (End::Length, _) => ["length", "max_tokens", "MAX_TOKENS", "max_tokens"][at],
        (End::Filter, _) => ["content_filter", "refusal", "SAFETY", "guardrail_intervened"][at],
    }
}

/// The field by which a provider says in a stream why the answer has ended.
pub(crate) fn stop_field(format: Format) -> &'static str {
    match format {
        OpenAiChat => "\"finish_reason\":\"",
        AnthropicMessages => "\"stop_reason\":\"",
        Gemini => "\"finishReason\":\"",
        _ => "\"stopReason\":\"",
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|odd| panic!("{odd}: {json}"))
}

/// The tokens of every answer, in the words of a format.
fn usage(format: Format) -> Value {
    match format {
        OpenAiChat => json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 80},
            "completion_tokens_details": {"reasoning_tokens": 30}}),
        AnthropicMessages => json!({"input_tokens": 20, "cache_read_input_tokens": 80,
            "cache_creation_input_tokens": 0, "output_tokens": 50}),
        Gemini => json!({"promptTokenCount": 100, "cachedContentTokenCount": 80,
            "candidatesTokenCount": 20, "thoughtsTokenCount": 30, "totalTokenCount": 150}),
        _ => {
            json!({"inputTokens": 20, "cacheReadInputTokens": 80, "outputTokens": 50, "totalTokens": 70})
        }
    }
}

// ---- whole --------------------------------------------------------------------------------------

/// The whole answer.
pub(crate) fn whole(format: Format, reply: &Reply) -> String {
    let (word, usage) = (word(format, reply), usage(format));
    let value = match format {
        OpenAiChat => {
            let choice = json!({"index": 0, "message": chat_message(reply), "finish_reason": word});
            json!({"id": "x", "object": "chat.completion", "created": 1, "model": "served",
                "choices": [choice], "usage": usage})
        }
        AnthropicMessages => json!({"id": "x", "type": "message", "role": "assistant",
            "model": "served", "content": reply.bits.iter().map(messages_block).collect::<Vec<_>>(),
            "stop_reason": word, "stop_sequence": null, "usage": usage}),
        Gemini => {
            let parts: Vec<Value> = reply.bits.iter().map(gemini_part).collect();
            let content = json!({"role": "model", "parts": parts});
            json!({"candidates": [{"content": content, "finishReason": word, "index": 0}],
                "modelVersion": "served", "usageMetadata": usage})
        }
        _ => {
            let content: Vec<Value> = reply.bits.iter().map(bedrock_block).collect();
            json!({"output": {"message": {"role": "assistant", "content": content}},
                "stopReason": word, "usage": usage, "metrics": {"latencyMs": 1}})
        }
    };
    value.to_string()
}

fn chat_message(reply: &Reply) -> Value {
    let mut message = json!({"role": "assistant", "content": null});
    let mut texts: Vec<Value> = Vec::new();
    let mut calls: Vec<Value> = Vec::new();
    for bit in &reply.bits {
        match bit {
            Bit::Text(text) => texts.push(json!({"type": "text", "text": text})),
            Bit::SignedText(text, signature) => {
                texts.push(json!({"type": "text", "text": text}));
                message["extra_content"] = json!({"google": {"thought_signature": signature}});
            }
            Bit::Refusal(text) => message["refusal"] = json!(text),
            Bit::Thought(text, _) => message["reasoning_content"] = json!(text),
            Bit::Hidden(_) => {}
            Bit::Call(id, name, arguments, signature) => {
                let mut call = json!({"id": id, "type": "function",
                    "function": {"name": name, "arguments": arguments}});
                if !signature.is_empty() {
                    call["extra_content"] = json!({"google": {"thought_signature": signature}});
                }
                calls.push(call);
            }
        }
    }
    match &texts[..] {
        [] => {}
        [text] => message["content"] = text["text"].clone(),
        _ => message["content"] = texts.into(),
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

fn messages_block(bit: &Bit) -> Value {
    match bit {
        Bit::Thought(text, signature) => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        Bit::Hidden(data) => json!({"type": "redacted_thinking", "data": data}),
        Bit::Call(id, name, arguments, _) => {
            json!({"type": "tool_use", "id": id, "name": name, "input": parsed(arguments)})
        }
        Bit::Text(text) | Bit::SignedText(text, _) | Bit::Refusal(text) => {
            json!({"type": "text", "text": text})
        }
    }
}

fn gemini_part(bit: &Bit) -> Value {
    let signed = |mut part: Value, signature: &str| {
        if !signature.is_empty() {
            part["thoughtSignature"] = signature.into();
        }
        part
    };
    match bit {
        Bit::Thought(text, signature) => signed(json!({"text": text, "thought": true}), signature),
        Bit::SignedText(text, signature) => signed(json!({"text": text}), signature),
        Bit::Call(_, name, arguments, signature) => {
            signed(json!({"functionCall": {"name": name, "args": parsed(arguments)}}), signature)
        }
        Bit::Text(text) | Bit::Hidden(text) | Bit::Refusal(text) => json!({"text": text}),
    }
}

fn bedrock_block(bit: &Bit) -> Value {
    match bit {
        Bit::Thought(text, signature) if signature.is_empty() => {
            json!({"reasoningContent": {"reasoningText": {"text": text}}})
        }
        Bit::Thought(text, signature) => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        }
        Bit::Hidden(data) => json!({"reasoningContent": {"redactedContent": data}}),
        Bit::Call(id, name, arguments, _) => {
            json!({"toolUse": {"toolUseId": id, "name": name, "input": parsed(arguments)}})
        }
        Bit::Text(text) | Bit::SignedText(text, _) | Bit::Refusal(text) => json!({"text": text}),
    }
}

// ---- streams ------------------------------------------------------------------------------------

/// The streamed answer; texts come in two pieces.
pub(crate) fn stream(format: Format, reply: &Reply) -> Vec<u8> {
    match format {
        OpenAiChat => chat_stream(reply).into_bytes(),
        AnthropicMessages => messages_stream(reply).into_bytes(),
        Gemini => gemini_stream(reply).into_bytes(),
        _ => bedrock_stream(reply),
    }
}

fn pieces(text: &str) -> Vec<&str> {
    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
    [first, second].into_iter().filter(|piece| !piece.is_empty()).collect()
}

fn chat_stream(reply: &Reply) -> String {
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    let mut index = 0;
    for bit in &reply.bits {
        let (name, text) = match bit {
            Bit::Text(text) | Bit::SignedText(text, _) => ("content", text),
            Bit::Refusal(text) => ("refusal", text),
            Bit::Thought(text, _) | Bit::Hidden(text) => ("reasoning_content", text),
            Bit::Call(id, name, arguments, signature) => {
                let mut first = json!({"index": index, "id": id, "type": "function",
                    "function": {"name": name, "arguments": ""}});
                if !signature.is_empty() {
                    first["extra_content"] = json!({"google": {"thought_signature": signature}});
                }
                deltas.push(json!({"tool_calls": [first]}));
                for piece in pieces(arguments) {
                    let call = json!({"index": index, "function": {"arguments": piece}});
                    deltas.push(json!({"tool_calls": [call]}));
                }
                index += 1;
                continue;
            }
        };
        deltas.extend(pieces(text).into_iter().map(|piece| json!({name: piece})));
        if let Bit::SignedText(_, signature) = bit {
            deltas.push(json!({"extra_content": {"google": {"thought_signature": signature}}}));
        }
    }
    let mut stream = String::new();
    let mut push = |chunk: Value| stream.push_str(&format!("data: {chunk}\n\n"));
    for delta in deltas {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
        push(json!({"id": "x", "model": "served", "choices": [choice]}));
    }
    let last = json!({"index": 0, "delta": {}, "finish_reason": word(OpenAiChat, reply)});
    push(json!({"model": "served", "choices": [last]}));
    push(json!({"model": "served", "choices": [], "usage": usage(OpenAiChat)}));
    stream + "data: [DONE]\n\n"
}

fn messages_stream(reply: &Reply) -> String {
    let mut stream = String::new();
    let mut push = |name: &str, mut data: Value| {
        data["type"] = name.into();
        stream.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    };
    let start = json!({"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 1});
    push("message_start", json!({"message": {"model": "served", "content": [], "usage": start}}));
    push("ping", json!({}));
    for (index, bit) in reply.bits.iter().enumerate() {
        let deltas = |kind: &str, name: &str, text: &str| -> Vec<Value> {
            pieces(text).into_iter().map(|piece| json!({"type": kind, name: piece})).collect()
        };
        let (block, deltas) = match bit {
            Bit::Thought(text, signature) => {
                let mut all = deltas("thinking_delta", "thinking", text);
                if !signature.is_empty() {
                    all.push(json!({"type": "signature_delta", "signature": signature}));
                }
                (json!({"type": "thinking", "thinking": "", "signature": ""}), all)
            }
            Bit::Hidden(_) => (messages_block(bit), Vec::new()),
            Bit::Call(id, name, arguments, _) => {
                let arguments = if arguments == "{}" { "" } else { arguments };
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                (block, deltas("input_json_delta", "partial_json", arguments))
            }
            Bit::Text(text) | Bit::SignedText(text, _) | Bit::Refusal(text) => {
                (json!({"type": "text", "text": ""}), deltas("text_delta", "text", text))
            }
        };
        push("content_block_start", json!({"index": index, "content_block": block}));
        for delta in deltas {
            push("content_block_delta", json!({"index": index, "delta": delta}));
        }
        push("content_block_stop", json!({"index": index}));
    }
    let delta = json!({"stop_reason": word(AnthropicMessages, reply), "stop_sequence": null});
    push("message_delta", json!({"delta": delta, "usage": {"output_tokens": 50}}));
    push("message_stop", json!({}));
    stream
}

fn gemini_stream(reply: &Reply) -> String {
    let mut parts: Vec<Value> = Vec::new();
    for bit in &reply.bits {
        match bit {
            Bit::Text(text) => {
                parts.extend(pieces(text).into_iter().map(|piece| json!({"text": piece})));
            }
            bit => parts.push(gemini_part(bit)),
        }
    }
    let mut stream = String::new();
    let mut push = |chunk: Value| stream.push_str(&format!("data: {chunk}\r\n\r\n"));
    for part in parts {
        let content = json!({"role": "model", "parts": [part]});
        push(json!({"candidates": [{"index": 0, "content": content}], "modelVersion": "served",
            "usageMetadata": {"promptTokenCount": 100}}));
    }
    push(json!({"candidates": [{"finishReason": word(Gemini, reply)}], "modelVersion": "served",
        "usageMetadata": usage(Gemini)}));
    stream
}

fn bedrock_stream(reply: &Reply) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut push = |name: &str, payload: Value| stream.extend(frame(name, &payload.to_string()));
    push("messageStart", json!({"role": "assistant", "p": "abc"}));
    for (index, bit) in reply.bits.iter().enumerate() {
        let mut deltas: Vec<Value> = Vec::new();
        match bit {
            Bit::Thought(text, signature) => {
                let texts = pieces(text).into_iter().map(|piece| json!({"text": piece}));
                let signature = (!signature.is_empty()).then(|| json!({"signature": signature}));
                let both = texts.chain(signature);
                deltas.extend(both.map(|delta| json!({"reasoningContent": delta})));
            }
            Bit::Hidden(data) => {
                deltas.push(json!({"reasoningContent": {"redactedContent": data}}))
            }
            Bit::Call(id, name, arguments, _) => {
                let start = json!({"toolUse": {"toolUseId": id, "name": name}});
                push("contentBlockStart", json!({"contentBlockIndex": index, "start": start}));
                let arguments = if arguments == "{}" { "" } else { arguments };
                let pieces = pieces(arguments).into_iter();
                deltas.extend(pieces.map(|piece| json!({"toolUse": {"input": piece}})));
            }
            Bit::Text(text) | Bit::SignedText(text, _) | Bit::Refusal(text) => {
                deltas.extend(pieces(text).into_iter().map(|piece| json!({"text": piece})));
            }
        }
        for delta in deltas {
            push("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
        }
        push("contentBlockStop", json!({"contentBlockIndex": index}));
    }
    push("messageStop", json!({"stopReason": word(BedrockConverse, reply)}));
    push("metadata", json!({"usage": usage(BedrockConverse), "metrics": {"latencyMs": 1}}));
    stream
}

/// A frame of the binary event stream.
fn frame(name: &str, payload: &str) -> Vec<u8> {
    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }
    let mut headers: Vec<u8> = Vec::new();
    for (key, value) in
        [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(u8::try_from(key.len()).expect("short"));
        headers.extend_from_slice(key.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).expect("short").to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).expect("short").to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&length(headers.len() + payload.len() + 16));
    frame.extend_from_slice(&length(headers.len()));
    frame.extend_from_slice(&crc(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc(&frame).to_be_bytes());
    frame
}
