//! Requests that are refused: the field or the item is named with its index.

use super::{ANTHROPIC, CHAT, target, translated};
use crate::translate::loss::Reason::{Invalid, NotJson, Unsupported};

#[test]
fn refused_requests() {
    let item = |item: &str| format!(r#"{{"input":[{{"role":"user","content":"Hi"}},{item}]}}"#);
    let part = |json: &str| {
        item(&format!(r#"{{"role":"user","content":[{{"type":"input_text","text":"a"}},{json}]}}"#))
    };
    let field = |field: &str| format!(r#"{{"input":"Hi",{field}}}"#);
    let cases = [
        (field(r#""previous_response_id":"resp_1""#), Unsupported, "previous_response_id"),
        (field(r#""conversation":"conv_1""#), Unsupported, "conversation"),
        (field(r#""prompt":{"id":"p"}"#), Unsupported, "prompt"),
        (field(r#""background":true"#), Unsupported, "background"),
        (field(r#""text":{"format":{"type":"grammar"}}"#), Unsupported, "text.format"),
        (field(r#""reasoning":{"effort":"huge"}"#), Invalid, "reasoning.effort"),
        (field(r#""reasoning":{"effort":7}"#), Invalid, "reasoning"),
        (field(r#""max_output_tokens":-1"#), Invalid, "max_output_tokens"),
        (field(r#""max_output_tokens":"7""#), Invalid, "max_output_tokens"),
        (field(r#""top_logprobs":0.5"#), Invalid, "top_logprobs"),
        (field(r#""temperature":"warm""#), Invalid, "temperature"),
        (field(r#""tools":{}"#), Invalid, "tools"),
        (field(r#""tools":[{"type":"function"}]"#), Invalid, "tools[0]"),
        (field(r#""tools":[{"type":"function","name":"f"},7]"#), Invalid, "tools[1]"),
        (field(r#""tools":[{"type":"namespace","name":"n"}]"#), Invalid, "tools[0]"),
        (
            field(&format!(
                r#""tools":[{{"type":"namespace","name":"n","tools":[{{"type":"function","name":"{}"}}]}}]"#,
                "x".repeat(62)
            )),
            Unsupported,
            "tools[0].tools[0]",
        ),
        (field(r#""tool_choice":"some""#), Invalid, "tool_choice"),
        (field(r#""tool_choice":{"name":"f"}"#), Invalid, "tool_choice"),
        (
            field(r#""tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}"#),
            Unsupported,
            "tool_choice",
        ),
        (
            field(r#""tools":[{"type":"web_search"}],"tool_choice":"required""#),
            Unsupported,
            "tools[0]",
        ),
        (
            field(
                r#""tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"mcp"}]}"#,
            ),
            Unsupported,
            "tool_choice",
        ),
        (r#"{"model":"m"}"#.into(), Invalid, "input"),
        (r#"{"input":7}"#.into(), Invalid, "input"),
        (r#"{"input":[7]}"#.into(), Invalid, "input[0]"),
        (r#"{"input":[]}"#.into(), Invalid, "input"),
        (r#"{"input":[{"role":"developer","content":"a"}]}"#.into(), Invalid, "input"),
        (item(r#"{"type":"item_reference","id":"msg_1"}"#), Unsupported, "input[1]"),
        (item(r#"{"id":"msg_1"}"#), Unsupported, "input[1]"),
        (
            item(r#"{"type":"web_search_call","id":"ws_1","status":"completed"}"#),
            Unsupported,
            "input[1]",
        ),
        (
            item(r#"{"type":"mcp_call","id":"m","name":"n","arguments":"{}"}"#),
            Unsupported,
            "input[1]",
        ),
        (item(r#"{"type":"computer_call_output","output":{}}"#), Unsupported, "input[1]"),
        (item(r#"{"type":"tool_search_call","arguments":{}}"#), Unsupported, "input[1]"),
        (item(r#"{"type":"compaction","encrypted_content":"x"}"#), Unsupported, "input[1]"),
        (item(r#"{"type":"additional_tools","tools":[]}"#), Unsupported, "input[1]"),
        (item(r#"{"role":"tool","content":"a"}"#), Invalid, "input[1]"),
        (item(r#"{"role":"user","content":7}"#), Invalid, "input[1]"),
        (item(r#"{"type":"function_call","name":"f","arguments":"{}"}"#), Invalid, "input[1]"),
        (
            item(r#"{"type":"function_call","call_id":"c","name":"f","arguments":{}}"#),
            Invalid,
            "input[1].arguments",
        ),
        (
            item(r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#),
            Invalid,
            "input[1]",
        ),
        (
            item(r#"{"type":"function_call_output","call_id":"c","output":"x"}"#),
            Invalid,
            "input[1]",
        ),
        (item(r#"{"type":"function_call_output","output":"x"}"#), Invalid, "input[1]"),
        (item(r#"{"type":"reasoning","summary":"x"}"#), Invalid, "input[1].summary"),
        (part(r#"{"type":"input_image","file_id":"file-1"}"#), Unsupported, "input[1].content[1]"),
        (part(r#"{"type":"input_file","file_id":"file-1"}"#), Unsupported, "input[1].content[1]"),
        (part(r#"{"type":"input_image"}"#), Invalid, "input[1].content[1]"),
        (part(r#"{"type":"input_file"}"#), Invalid, "input[1].content[1]"),
        (part(r#"{"type":"input_image","image_url":"data:,a"}"#), Invalid, "input[1].content[1]"),
        (part(r#"{"type":"input_file","file_data":"QUJD"}"#), Invalid, "input[1].content[1]"),
        (part(r#"{"type":"input_video"}"#), Invalid, "input[1].content[1]"),
        (part(r#"{"type":"input_text"}"#), Invalid, "input[1].content[1]"),
        (part("7"), Invalid, "input[1].content[1]"),
        (
            item(
                r#"{"role":"assistant","content":[{"type":"input_image","image_url":"https://e.org/a"}]}"#,
            ),
            Invalid,
            "input[1].content[0]",
        ),
    ];
    for (body, reason, param) in &cases {
        for format in [CHAT, ANTHROPIC] {
            let refused = translated(&target(format), body).expect_err(body);
            let seen = (refused.reason, refused.param.as_deref());
            // Formats may say which part of the list is missing.
            assert_eq!(seen, (*reason, Some(*param)), "{format:?} {body}: {}", refused.message);
            assert!(!refused.message.is_empty());
        }
    }
}

#[test]
fn documents_by_address() {
    let body = r#"{"input":[{"role":"user","content":[{"type":"input_file","file_url":"https://e.org/a.pdf"}]}]}"#;
    let refused = translated(&target(CHAT), body).expect_err("no such form");
    assert_eq!(refused.param.as_deref(), Some("input[0].content[0]"));
    let (sent, _) = super::sent(&target(ANTHROPIC), body);
    let source = &sent["messages"][0]["content"][0]["source"];
    assert_eq!((&source["type"], &source["url"]), (&"url".into(), &"https://e.org/a.pdf".into()));
}

#[test]
fn bodies_that_are_none() {
    for body in ["", "{", "[]", "7", r#"{"input":"#, r#"{"stream":1}"#] {
        let refused = translated(&target(CHAT), body).expect_err(body);
        assert!(matches!(refused.reason, NotJson | Invalid), "{body}");
    }
}
