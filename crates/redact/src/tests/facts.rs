//! Facts: what a body says about its call, whatever its spelling and order.

use super::*;

fn facts(schema: Schema, text: &str) -> Facts {
    let rules = rules(&["email", "phone"]);
    let (_, whole) =
        pieces(&rules, schema, &[text.as_bytes()]).unwrap_or_else(|e| panic!("{e}: {text}"));
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let (_, single) = pieces(&rules, schema, &bytes).expect("the same in single bytes");
    assert_eq!(whole.facts(), single.facts(), "{text}");
    whole.facts().clone()
}

#[test]
fn the_bound_of_an_answer() {
    for (schema, text, expected) in [
        (formats::CHAT, r#"{"max_tokens":7}"#, Some(7)),
        (formats::CHAT, r#"{"max_tokens": 7 }"#, Some(7)),
        (formats::CHAT, r#"{"messages":[]}"#, None),
        (
            formats::CHAT,
            r#"{"metadata":{"max_tokens":1},"messages":[{"max_tokens":2}],"max_tokens":100000}"#,
            Some(100_000),
        ),
        (formats::CHAT, r#"{"metadata":{"max_tokens":1}}"#, None),
        (formats::CHAT, r#"{"max\u005ftokens":100000}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":1,"max_completion_tokens":900}"#, Some(900)),
        (
            formats::CHAT,
            r#"{"max_tokens":900,"max_completion_tokens":1,"max_tokens":2}"#,
            Some(900),
        ),
        (formats::CHAT, r#"{"max_tokens":1e5}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":1E+5}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":100000.0}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":0.00001e10}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":1000000000000000000000000000e-22}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":100000.00000000000000000000000000}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":7.5}"#, Some(8)),
        (formats::CHAT, r#"{"max_tokens":7.00000000000000000000000001}"#, Some(8)),
        (formats::CHAT, r#"{"max_tokens":1e-9}"#, Some(1)),
        (formats::CHAT, r#"{"max_tokens":0e99}"#, Some(0)),
        (formats::CHAT, r#"{"max_tokens":9223372036854775807}"#, Some(i64::MAX as u64)),
        (formats::CHAT, r#"{"max_tokens":99999999999999999999}"#, Some(u64::MAX)),
        (formats::CHAT, r#"{"max_tokens":1e999999999999999999999999}"#, Some(u64::MAX)),
        (formats::CHAT, r#"{"max_tokens":1e-999999999999999999999999}"#, Some(1)),
        (formats::CHAT, r#"{"max_tokens":-1}"#, Some(u64::MAX)),
        (formats::CHAT, r#"{"max_tokens":null}"#, None),
        (formats::CHAT, r#"{"max_tokens":"seven"}"#, None),
        (formats::CHAT, r#"{"max_tokens":" 100_000 "}"#, Some(100_000)),
        (formats::CHAT, r#"{"max_tokens":[9]}"#, None),
        (formats::CHAT, r#"{"max_tokens":{"max_tokens":9}}"#, None),
        (formats::CHAT, r#"{"messages":"\"max_tokens\":9"}"#, None),
        (formats::CHAT, r#"{"extra_body":{"max_tokens":9}}"#, Some(9)),
        // A bound that the endpoint does not know bounds nothing, but may raise what does.
        (formats::CHAT, r#"{"max_output_tokens":1}"#, None),
        (formats::CHAT, r#"{"max_tokens_to_sample":1}"#, None),
        (formats::CHAT, r#"{"max_tokens":1,"MAX_TOKENS":9}"#, Some(9)),
        (formats::CHAT, r#"{"maxTokens":9}"#, None),
        (formats::RESPONSES, r#"{"max_output_tokens":5,"max_tokens":1}"#, Some(5)),
        (formats::RESPONSES, r#"{"max_tokens":1}"#, None),
        (formats::MESSAGES, r#"{"max_tokens":5}"#, Some(5)),
        (formats::COMPLETIONS, r#"{"max_tokens":5}"#, Some(5)),
        (Schema::UNKNOWN, r#"{"max_tokens_to_sample":5}"#, Some(5)),
        (Schema::UNKNOWN, r#"[{"max_tokens":5}]"#, None),
    ] {
        assert_eq!(facts(schema, text).output_tokens_max, expected, "{text}");
    }
    // Wherever it stands.
    let late =
        format!(r#"{{"messages":[{{"content":"{}"}}],"max_tokens":77}}"#, "word ".repeat(50_000));
    let rules = rules(&["email"]);
    assert_eq!(
        pieces(&rules, formats::CHAT, &[late.as_bytes()])
            .expect("body")
            .1
            .facts()
            .output_tokens_max,
        Some(77)
    );
}

#[test]
fn how_many_answers() {
    for (schema, text, expected) in [
        (formats::CHAT, "{}", 1),
        (formats::CHAT, r#"{"n":3}"#, 3),
        (formats::CHAT, r#"{"n":0}"#, 1),
        (formats::CHAT, r#"{"n":-4}"#, 1),
        (formats::CHAT, r#"{"n":1e2,"best_of":7}"#, 100),
        (formats::CHAT, r#"{"\u006e":128,"n":1}"#, 128),
        (formats::CHAT, r#"{"N":5}"#, 5),
        (formats::CHAT, r#"{"metadata":{"n":5}}"#, 1),
        (formats::COMPLETIONS, r#"{"n":2,"best_of":20}"#, 20),
        (formats::COMPLETIONS, r#"{"prompt":["a","b","c"],"n":2}"#, 6),
        (formats::COMPLETIONS, r#"{"n":2,"prompt":[[1,2],[3],[4]]}"#, 6),
        (formats::COMPLETIONS, r#"{"prompt":[1,2,3,4]}"#, 1),
        (formats::COMPLETIONS, r#"{"prompt":"a"}"#, 1),
        (formats::IMAGES, r#"{"n":1e999}"#, u64::MAX),
    ] {
        assert_eq!(facts(schema, text).choices, expected, "{text}");
    }
}

#[test]
fn objects_kept_at_the_provider() {
    use StoredKind::*;
    for (schema, text, expected) in [
        (
            formats::RESPONSES,
            r#"{"previous_response_id":"resp_1"}"#,
            vec![(Response, "previous_response_id", "resp_1")],
        ),
        (
            formats::RESPONSES,
            r#"{"previous\u005fresponse_id":"resp\u005f1"}"#,
            vec![(Response, "previous_response_id", "resp_1")],
        ),
        (
            formats::RESPONSES,
            r#"{"conversation":"conv_1"}"#,
            vec![(Conversation, "conversation", "conv_1")],
        ),
        (
            formats::RESPONSES,
            r#"{"conversation":{"id":"conv_1"}}"#,
            vec![(Conversation, "conversation.id", "conv_1")],
        ),
        (
            formats::RESPONSES,
            r#"{"input":[{"type":"item_reference","id":"msg_1"},{"id":"msg_2","type":"item_reference"},{"id":"msg_3"},{"type":null,"id":"msg_4"},{"id":"msg_5","role":"user","content":"x"}]}"#,
            vec![
                (Item, "input[0].id", "msg_1"),
                (Item, "input[1].id", "msg_2"),
                (Item, "input[2].id", "msg_3"),
                (Item, "input[3].id", "msg_4"),
            ],
        ),
        (
            formats::RESPONSES,
            r#"{"input":[{"type":"message","type":"item_reference","id":"a","id":"b","role":"user"}]}"#,
            vec![(Item, "input[0].id", "b"), (Item, "input[0].id", "a")],
        ),
        (
            formats::RESPONSES,
            r#"{"input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null},{"type":"reasoning","id":"rs_2","encrypted_content":"x"},{"type":"image_generation_call","id":"ig_1"},{"type":"function_call","id":"fc_1","call_id":"c","name":"n","arguments":"{}"}]}"#,
            vec![(Echo, "input[0].id", "rs_1"), (Echo, "input[2].id", "ig_1")],
        ),
        (
            formats::RESPONSES,
            r#"{"tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2","vs_1"]},{"type":"code_interpreter","container":"cntr_1"},{"type":"code_interpreter","container":{"type":"auto","file_ids":["file_1"]}},{"type":"mcp","connector_id":"connector_x"},{"type":"shell","environment":{"type":"container_reference","container_id":"cntr_2"}}]}"#,
            vec![
                (VectorStore, "tools[0].vector_store_ids[0]", "vs_1"),
                (VectorStore, "tools[0].vector_store_ids[1]", "vs_2"),
                (Container, "tools[1].container", "cntr_1"),
                (File, "tools[2].container.file_ids[0]", "file_1"),
                (Connector, "tools[3].connector_id", "connector_x"),
                (Container, "tools[4].environment.container_id", "cntr_2"),
            ],
        ),
        (
            formats::RESPONSES,
            r#"{"prompt":{"id":"pmpt_1","variables":{"id":"x","file_id":"x","f":{"type":"input_text","file_id":"file_1","text":"t"}}}}"#,
            vec![(Prompt, "prompt.id", "pmpt_1"), (File, "prompt.variables.f.file_id", "file_1")],
        ),
        (
            formats::MESSAGES,
            r#"{"container":{"id":"c_1","skills":[{"type":"custom","skill_id":"skill_1"},{"type":"anthropic","skill_id":"xlsx"}]}}"#,
            vec![
                (Container, "container.id", "c_1"),
                (Skill, "container.skills[0].skill_id", "skill_1"),
            ],
        ),
        (formats::MESSAGES, r#"{"container":"c_1"}"#, vec![(Container, "container", "c_1")]),
        (
            formats::CHAT,
            r#"{"audio":{"voice":{"id":"voice_1"}}}"#,
            vec![(Audio, "audio.voice.id", "voice_1")],
        ),
        (
            Schema::UNKNOWN,
            r#"{"assistant_id":"asst_1","tool_resources":{"code_interpreter":{"file_ids":["file_1"]},"file_search":{"vector_store_ids":["vs_1"]}},"thread":{"messages":[{"attachments":[{"file_id":"file_2"}]}]},"items":[{"type":"item_reference","id":"i_1"}],"metadata":{"file_id":"file_3"}}"#,
            vec![
                (Other, "assistant_id", "asst_1"),
                (File, "*.*.*[0]", "file_1"),
                (VectorStore, "*.*.*[0]", "vs_1"),
                (File, "*.*[0].*[0].*", "file_2"),
                (Item, "*[0].id", "i_1"),
            ],
        ),
        // The user's own data: arguments, metadata, schemas, citations of an answer.
        (
            formats::RESPONSES,
            r#"{"metadata":{"file_id":"x"},"input":[{"type":"function_call","arguments":"{\"file_id\":\"x\"}"},{"role":"assistant","content":[{"type":"output_text","text":"t","annotations":[{"type":"file_citation","file_id":"x"}]}]}],"tools":[{"type":"function","parameters":{"properties":{"container":{"file_id":"x"}}}}]}"#,
            vec![],
        ),
        // Codex sends its own ids along.
        (
            formats::RESPONSES,
            r#"{"client_metadata":{"thread_id":"019aa1c2","session_id":"019aa1c2"},"input":[]}"#,
            vec![],
        ),
        (
            formats::MESSAGES,
            r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","input":{"file_id":"x"}}]}]}"#,
            vec![],
        ),
        (
            formats::CHAT,
            r#"{"messages":[{"role":"assistant","id":"m","tool_calls":[{"id":"c"}]}]}"#,
            vec![],
        ),
    ] {
        let facts = facts(schema, text);
        let seen: Vec<_> =
            facts.stored.iter().map(|s| (s.kind, s.param.as_str(), s.id.as_str())).collect();
        if schema == Schema::UNKNOWN {
            let seen: Vec<_> = seen.iter().map(|s| (s.0, s.2)).collect();
            assert_eq!(seen, expected.iter().map(|e| (e.0, e.2)).collect::<Vec<_>>(), "{text}");
        } else {
            assert_eq!(seen, expected, "{text}");
        }
        assert!(!facts.stored_cut);
    }
}

#[test]
fn files_of_allowed_attachments_are_named_and_dropped_ones_are_not() {
    let text = r#"{"input":[{"role":"user","content":[{"type":"input_file","file_id":"file_1"},{"file_id":"file_2","type":"input_image"}]}]}"#;
    assert_eq!(facts(formats::RESPONSES, text).stored, []);
    let allow = with(&["email"], Attachments::Allow);
    let (_, redactor) = pieces(&allow, formats::RESPONSES, &[text.as_bytes()]).expect("body");
    let ids: Vec<&str> = redactor.facts().stored.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["file_1", "file_2"]);
    let text = r#"{"messages":[{"content":[{"type":"image","source":{"type":"file","file_id":"file_1"}},{"type":"file","file":{"file_id":"file_2"}}]},{"role":"assistant","audio":{"id":"audio_1"}}]}"#;
    assert_eq!(facts(formats::CHAT, text).stored, []);
    let (_, redactor) = pieces(&allow, formats::CHAT, &[text.as_bytes()]).expect("body");
    let ids: Vec<&str> = redactor.facts().stored.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["file_1", "file_2", "audio_1"]);
}

#[test]
fn many_objects_are_cut_and_flagged() {
    let ids = |n: usize| (0..n).map(|n| format!(r#""file_{n}""#)).collect::<Vec<_>>().join(",");
    let body = |ids: String| format!(r#"{{"tools":[{{"file_ids":[{ids}]}}]}}"#);
    let seen = facts(formats::RESPONSES, &body(ids(64)));
    assert_eq!((seen.stored.len(), seen.stored_cut), (64, false));
    let seen = facts(formats::RESPONSES, &body(ids(65)));
    assert_eq!((seen.stored.len(), seen.stored_cut), (64, true));
    let seen = facts(formats::RESPONSES, &body(format!(r#""{}""#, "f".repeat(129))));
    assert_eq!((seen.stored.len(), seen.stored_cut), (0, true));
    let models = (0..17).map(|n| format!(r#""m{n}""#)).collect::<Vec<_>>().join(",");
    let seen = facts(formats::CHAT, &format!(r#"{{"models":[{models}]}}"#));
    assert_eq!((seen.models.len(), seen.models_cut), (16, true));
}

#[test]
fn further_models() {
    for (schema, text, expected) in [
        (formats::CHAT, r#"{"model":"a"}"#, vec![]),
        (formats::CHAT, r#"{"model":"a","models":["b","a"]}"#, vec!["b", "a"]),
        (
            formats::CHAT,
            r#"{"model":"a","m\u006fdels":["b"],"fallbacks":[{"a":["c"]},"d",{"model":"e"}]}"#,
            vec!["b", "a", "c", "d", "e"],
        ),
        (
            formats::CHAT,
            r#"{"Models":"b","fallback_model":"c","context_window_fallbacks":[["d"]]}"#,
            vec!["b", "c", "d"],
        ),
        (formats::CHAT, r#"{"extra_body":{"model":"b"},"deployment_id":"c"}"#, vec!["b", "c"]),
        (formats::CHAT, r#"{"plugins":[{"id":"auto-router","allowed_models":["b"]}]}"#, vec!["b"]),
        (
            formats::RESPONSES,
            r#"{"tools":[{"type":"image_generation","model":"gpt-image-1"}]}"#,
            vec!["gpt-image-1"],
        ),
        (
            formats::MESSAGES,
            r#"{"tools":[{"type":"advisor","name":"advisor","model":"opus"}]}"#,
            vec!["opus"],
        ),
        (Schema::UNKNOWN, r#"{"session":{"model":"b"}}"#, vec!["b"]),
        (
            formats::CHAT,
            r#"{"metadata":{"model":"b"},"tools":[{"function":{"parameters":{"model":"b"}}}]}"#,
            vec![],
        ),
    ] {
        let facts = facts(schema, text);
        let seen: Vec<&str> = facts.models.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(seen, expected, "{text}");
        assert_eq!(facts.chooser, None);
    }
    for (text, expected) in [
        (r#"{"route":"fallback"}"#, Some("route")),
        (r#"{"Provider":{"order":["x"]}}"#, Some("provider")),
        (r#"{"extra_body":{"preset":"x"}}"#, Some("preset")),
        (r#"{"metadata":{"route":"x"}}"#, None),
    ] {
        assert_eq!(facts(formats::CHAT, text).chooser, expected, "{text}");
    }
}
