//! Lists of each kind, and what callers get.

use super::day::{rfc3339, seconds};
use super::*;

fn ids(page: &Page) -> Vec<&str> {
    page.models.iter().map(|model| &*model.id).collect()
}

#[test]
fn lists_are_read_as_providers_send_them() {
    let openai = br#"{"object":"list","data":[
        {"id":"gpt-4o","object":"model","created":1715367049,"owned_by":"system"},
        {"id":"local","object":"model","created":null,"owned_by":7,"permission":[{}]},
        {"id":"","object":"model"},{"id":"a\nb"}]}"#;
    let page = read(ProviderKind::OpenAi, openai).expect("a list");
    assert_eq!((ids(&page), &page.next), (vec!["gpt-4o", "local"], &None));
    assert_eq!((page.models[0].created, &*page.models[0].owned_by), (1_715_367_049, "system"));
    assert_eq!((page.models[1].created, &*page.models[1].owned_by), (0, ""));

    // llama.cpp has two lists.
    let two = br#"{"models":[{"name":"x.gguf","type":"model"}],"object":"list","data":[{"id":"x.gguf"}]}"#;
    assert_eq!(ids(&read(ProviderKind::OpenAi, two).expect("a list")), ["x.gguf"]);

    let anthropic = br#"{"data":[{"type":"model","id":"claude-x","display_name":"Claude X",
        "created_at":"2025-02-19T00:00:00Z"}],"has_more":true,"first_id":"claude-x","last_id":"claude-x"}"#;
    let page = read(ProviderKind::Anthropic, anthropic).expect("a list");
    assert_eq!(page.next.as_deref(), Some("claude-x"));
    let model = &page.models[0];
    assert_eq!((&*model.display_name, model.created), ("Claude X", 1_739_923_200));

    let gemini = br#"{"models":[
        {"name":"models/gemini-x","displayName":"Gemini X","supportedGenerationMethods":["generateContent","countTokens"]},
        {"name":"models/live","supportedGenerationMethods":["bidiGenerateContent"]},
        {"name":"models/embed","supportedGenerationMethods":["embedContent"]}],"nextPageToken":"t/1"}"#;
    let page = read(ProviderKind::Gemini, gemini).expect("a list");
    assert_eq!((ids(&page), page.next.as_deref()), (vec!["gemini-x", "embed"], Some("t/1")));

    for odd in ["", "{}", "[]", r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"choices":[]}"#] {
        assert_eq!(read(ProviderKind::OpenAi, odd.as_bytes()), None, "{odd}");
    }
}

#[test]
fn a_list_is_bounded() {
    let entries: Vec<String> = (0..5_000).map(|n| format!(r#"{{"id":"m{n:04}"}}"#)).collect();
    let many = format!(r#"{{"data":[{}]}}"#, entries.join(","));
    let page = read(ProviderKind::OpenAi, many.as_bytes()).expect("a list");
    assert_eq!(page.models.len(), MODELS_MAX);
    let long = "x".repeat(250);
    let entries: Vec<String> = (0..1_000).map(|n| format!(r#"{{"id":"{n:04}{long}"}}"#)).collect();
    let many = format!(r#"{{"data":[{}]}}"#, entries.join(","));
    let page = read(ProviderKind::OpenAi, many.as_bytes()).expect("a list");
    assert_eq!(page.models.len(), LIST_BYTES_MAX / 254);
}

#[test]
fn pages_are_asked_for_by_kind() {
    for (kind, after, expected) in [
        (ProviderKind::OpenAi, None, Some("/models")),
        (ProviderKind::OpenAi, Some("x"), None),
        (ProviderKind::AzureOpenAi, None, Some("/models")),
        (ProviderKind::Anthropic, None, Some("/models?limit=1000")),
        (ProviderKind::Anthropic, Some("a&b"), Some("/models?limit=1000&after_id=a%26b")),
        (ProviderKind::Gemini, Some("t/1"), Some("/models?pageSize=1000&pageToken=t%2F1")),
        (ProviderKind::Bedrock, None, None),
    ] {
        assert_eq!(path(kind, after).as_deref(), expected, "{kind:?} {after:?}");
    }
}

#[test]
fn callers_get_the_shape_of_their_api() {
    let model = Model {
        id: "claude-x".into(),
        created: 1_739_923_200,
        owned_by: "anthropic".into(),
        display_name: "Claude X".into(),
    };
    let one = r#"{"id":"claude-x","object":"model","created":1739923200,"owned_by":"anthropic"}"#;
    assert_eq!(write_openai_one(&model), one.as_bytes());
    let list = format!(r#"{{"object":"list","data":[{one}]}}"#);
    assert_eq!(write_openai(&[&model]), list.as_bytes());
    let one = r#"{"type":"model","id":"claude-x","display_name":"Claude X","created_at":"2025-02-19T00:00:00Z"}"#;
    assert_eq!(write_anthropic_one(&model), one.as_bytes());
    let unknown = Model::named("m", "p");
    assert!(
        String::from_utf8_lossy(&write_anthropic_one(&unknown))
            .ends_with(r#""display_name":"m","created_at":"1970-01-01T00:00:00Z"}"#)
    );
}

#[test]
fn anthropics_pages_cover_the_list_in_both_directions() {
    let models: Vec<Model> = (0..45).map(|n| Model::named(&format!("m{n}"), "p")).collect();
    let models: Vec<&Model> = models.iter().collect();
    let page = |limit, after, before| {
        let page = write_anthropic(&models, &Paging { limit, after, before })?;
        let page: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
        let count = page["data"].as_array().map_or(0, Vec::len);
        let id = |name: &str| page[name].as_str().unwrap_or("null").to_owned();
        Some(format!("{count} {} {} {}", page["has_more"], id("first_id"), id("last_id")))
    };
    for (limit, after, before, expected) in [
        (None, None, None, Some("20 true m0 m19")),
        (Some(1_000), None, None, Some("45 false m0 m44")),
        (Some(0), None, None, Some("1 true m0 m0")),
        (None, Some("m19"), None, Some("20 true m20 m39")),
        (None, Some("m39"), None, Some("5 false m40 m44")),
        (None, Some("m44"), None, Some("0 false null null")),
        (Some(2), None, Some("m3"), Some("2 true m1 m2")),
        (Some(3), None, Some("m3"), Some("3 false m0 m2")),
        (None, None, Some("m0"), Some("0 false null null")),
        (None, Some("gone"), None, None),
        (None, None, Some("gone"), None),
    ] {
        assert_eq!(
            page(limit, after, before).as_deref(),
            expected,
            "{limit:?} {after:?} {before:?}"
        );
    }
}

#[test]
fn times_are_written_and_read() {
    for (second, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_739_923_199, "2025-02-18T23:59:59Z"),
        (4_107_542_399, "2100-02-28T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!((rfc3339(second).as_str(), seconds(text)), (text, Some(second)));
    }
    assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    assert_eq!(seconds("2025-02-18T23:59:59.123Z"), Some(1_739_923_199));
    assert_eq!(seconds("2025-02-18T23:59:59+00:00"), Some(1_739_923_199));
    for odd in ["", "2025-02-18", "2025-02-18T23:59:59+02:00", "2025-13-18T23:59:59Z", "é025-02-18"]
    {
        assert_eq!(seconds(odd), None, "{odd}");
    }
}
