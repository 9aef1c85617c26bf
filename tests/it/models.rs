//! `GET /v1/models` under the gateway's own keys: one list over all providers.

use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Reply, Setup, eventually, jwt, step};

const KEY: &str = "tg-models-key-0123456789";

fn openai_list(ids: &[&str]) -> step::Step {
    let model = |id: &&str| json!({"id": id, "object": "model", "created": 7, "owned_by": "o"});
    let data: Vec<Value> = ids.iter().map(model).collect();
    step::json(200, &json!({"object": "list", "data": data}))
}

fn anthropic_list(ids: &[&str]) -> step::Step {
    let model = |id: &&str| {
        json!({"type": "model", "id": id, "display_name": id.to_uppercase(),
            "created_at": "2025-02-19T00:00:00Z"})
    };
    let data: Vec<Value> = ids.iter().map(model).collect();
    step::json(200, &json!({"data": data, "has_more": false}))
}

fn gemini_list(ids: &[&str]) -> step::Step {
    let model = |id: &&str| json!({"name": format!("models/{id}"), "displayName": id});
    let models: Vec<Value> = ids.iter().map(model).collect();
    step::json(200, &json!({"models": models}))
}

/// A gateway with these providers, by kind, and this routing; a key that may use models of one
/// pattern.
fn gateway(providers: &[(&str, &Provider)], routing: &str) -> Gateway {
    let section: Vec<String> = providers
        .iter()
        .map(|(kind, provider)| {
            let at = provider.address;
            format!(
                "{kind}: {{kind: {kind}, base_url: \"http://{at}/v1\", api_key: sk-{kind}-own}}"
            )
        })
        .collect();
    let secret = crate::support::SECRET;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY.as_bytes());
    let sha256: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Setup::towards(providers[0].1.address)
        .section("providers", &section.join("\n"))
        .section("routing", routing)
        .section("intent", &format!("{{provider: {}}}", providers[0].0))
        .section(
            "auth",
            &format!(
                "accept: [jwt, key, passthrough]\njwt: {{secret: \"{secret}\"}}\n\
                 keys: [{{name: k, sha256: \"{sha256}\", org: acme, models: ['gpt-*']}}]"
            ),
        )
        .start()
}

fn get(gateway: &Gateway, path: &str, bearer: &str, more: &[(&str, &str)]) -> Reply {
    let bearer = format!("Bearer {bearer}");
    let headers = [&[("authorization", bearer.as_str())], more].concat();
    gateway.send("GET", path, &headers, b"")
}

fn ids(reply: &Reply) -> Vec<String> {
    let answer = reply.ok().json();
    let data = answer["data"].as_array().expect("a list").clone();
    data.iter().map(|model| model["id"].as_str().expect("an id").to_owned()).collect()
}

const ROUTING: &str = "default: [openai]
models:
  - {match: 'claude-*', to: [anthropic]}
  - {match: 'gemini-*', to: [gemini]}
  - {match: house, to: [{provider: bedrock, model: 'amazon.nova-pro-v1:0'}]}
  - {match: 'amazon.*', to: [{provider: bedrock, model: 'amazon.nova-pro-v1:0'}]}";

#[test]
fn one_list_over_all_providers_in_the_shape_of_the_caller() {
    let (openai, anthropic) = (Provider::start(), Provider::start());
    let (gemini, bedrock) = (Provider::start(), Provider::start());
    let gateway = gateway(
        &[
            ("openai", &openai),
            ("anthropic", &anthropic),
            ("gemini", &gemini),
            ("bedrock", &bedrock),
        ],
        ROUTING,
    );
    // A model that routing sends elsewhere is not callable at the provider that lists it.
    openai.always(openai_list(&["gpt-4o", "gpt-4o", "text-embedding-3-small", "claude-copy"]));
    anthropic.always(anthropic_list(&["claude-x", "claude-y"]));
    gemini.always(gemini_list(&["gemini-x", "embedding-001"]));
    let all = [
        "gpt-4o",
        "text-embedding-3-small",
        "claude-x",
        "claude-y",
        "gemini-x",
        "house",
        "amazon.nova-pro-v1:0",
    ];
    let reply = get(&gateway, "/v1/models", &jwt("acme"), &[]);
    assert_eq!(ids(&reply), all);
    let first = json!({"id": "gpt-4o", "object": "model", "created": 7, "owned_by": "o"});
    assert_eq!(reply.json()["data"][0], first);
    assert_eq!(reply.json()["data"][5]["owned_by"], "bedrock");
    assert_eq!(reply.header("x-tollgate-models-missing"), None);
    assert!(reply.header("x-ratelimit-limit-requests").is_some());
    assert_eq!(anthropic.only().header("x-api-key"), Some("sk-anthropic-own"));
    assert_eq!(anthropic.only().target, "/v1/models?limit=1000");
    assert_eq!(gemini.only().header("x-goog-api-key"), Some("sk-gemini-own"));
    assert!(bedrock.seen().is_empty(), "it has no list");

    let version = [("anthropic-version", "2023-06-01")];
    let reply = get(&gateway, "/v1/models?limit=2&after_id=gpt-4o", &jwt("acme"), &version);
    assert_eq!(ids(&reply), all[1..3]);
    let answer = reply.json();
    assert_eq!([&answer["has_more"], &answer["last_id"]], [&json!(true), &json!("claude-x")]);
    let claude = json!({"type": "model", "id": "claude-x", "display_name": "CLAUDE-X",
        "created_at": "2025-02-19T00:00:00Z"});
    assert_eq!(answer["data"][1], claude);
    let one = get(&gateway, "/v1/models/claude-x", &jwt("acme"), &version);
    assert_eq!(one.ok().json(), claude);
    let invalid = (400, "invalid_request");
    for (path, param, (status, code)) in [
        ("/v1/models?limit=0", "limit", invalid),
        ("/v1/models?after_id=gone", "after_id", (404, "model_not_found")),
        ("/v1/models?after_id=gpt-4o&before_id=gpt-4o", "before_id", invalid),
    ] {
        let reply = get(&gateway, path, &jwt("acme"), &version);
        reply.refused(status, code);
        assert_eq!(reply.json()["error"]["param"], param);
    }
    let gone = get(&gateway, "/v1/models/claude-copy", &jwt("acme"), &[]);
    gone.refused(404, "model_not_found");
    assert_eq!(openai.seen().len(), 1, "the list is kept");
    let row = gateway.rows(1).remove(0);
    assert_eq!([&row["endpoint"], &row["outcome"]], ["/v1/models", "ok"]);
    assert_eq!([&row["provider"], &row["model"]], ["", ""]);
    assert_eq!([&row["attempts"], &row["status"]], [0, 200]);
}

#[test]
fn a_restricted_key_sees_its_models_alone() {
    let openai = Provider::start();
    let gateway = gateway(&[("openai", &openai)], "default: [openai]");
    openai.always(openai_list(&["gpt-4o", "o4-mini", "gpt-4o-mini"]));
    assert_eq!(ids(&get(&gateway, "/v1/models", KEY, &[])), ["gpt-4o", "gpt-4o-mini"]);
    get(&gateway, "/v1/models/gpt-4o", KEY, &[]).ok();
    get(&gateway, "/v1/models/o4-mini", KEY, &[]).refused(404, "model_not_found");
    let version = [("anthropic-version", "2023-06-01")];
    assert_eq!(ids(&get(&gateway, "/v1/models", KEY, &version)), ["gpt-4o", "gpt-4o-mini"]);
    assert_eq!(ids(&get(&gateway, "/v1/models", &jwt("acme"), &[])).len(), 3);

    // A caller's own provider key is the provider's business.
    let own = get(&gateway, "/v1/models?x=1", "sk-callers-own-key-0123456789", &[]);
    assert_eq!(ids(&own).len(), 3);
    let seen = openai.seen();
    assert_eq!(seen.len(), 2, "one list for all, and the caller's own");
    assert_eq!(seen[1].target, "/v1/models?x=1");
    assert_eq!(seen[1].header("authorization"), Some("Bearer sk-callers-own-key-0123456789"));
}

#[test]
fn a_provider_without_a_list_hides_no_other_one() {
    let (openai, anthropic, gemini) = (Provider::start(), Provider::start(), Provider::start());
    let providers = [("openai", &openai), ("anthropic", &anthropic), ("gemini", &gemini)];
    let gateway = gateway(&providers, "default: [openai, anthropic, gemini]");
    openai.always(openai_list(&["gpt-4o"]));
    anthropic.always(step::error(500, "x"));
    gemini.always(step::silence());
    let reply = get(&gateway, "/v1/models", &jwt("acme"), &[]);
    assert_eq!(ids(&reply), ["gpt-4o"]);
    assert_eq!(reply.header("x-tollgate-models-missing"), Some("anthropic, gemini"));
    // Perhaps one of those has it.
    let reply = get(&gateway, "/v1/models/claude-x", &jwt("acme"), &[]);
    reply.refused(503, "provider_unavailable");
    assert_eq!(anthropic.seen().len(), 1, "it is left alone for a while");
    gateway.prints("list of models cannot be read");
}

#[test]
fn without_any_list_there_is_no_answer() {
    let openai = Provider::start();
    let gateway = gateway(&[("openai", &openai)], "default: [openai]");
    openai.always(step::json(200, &json!({"what": 1})));
    let reply = get(&gateway, "/v1/models", &jwt("acme"), &[]);
    reply.refused(503, "provider_unavailable");
    let row = gateway.only_row();
    assert_eq!([&row["status"], &row["attempts"]], [503, 0]);
    let with_body = [("content-type", "application/json")];
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [&[("authorization", bearer.as_str())], &with_body[..]].concat();
    gateway.send("GET", "/v1/models", &headers, b"{}").refused(400, "invalid_request");
}

#[test]
fn many_callers_share_one_request_for_a_list() {
    let openai = Provider::start();
    let gateway = gateway(&[("openai", &openai)], "default: [openai]");
    let (gate, go) = step::gate();
    openai.always([vec![gate], openai_list(&["gpt-4o"])].concat());
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| ids(&get(&gateway, "/v1/models", &jwt("acme"), &[]))))
            .collect();
        openai.wait_for(1);
        eventually("all calls are in the gateway", || {
            (gateway.metric("tollgate_requests_in_flight") >= 5.0).then_some(())
        });
        go.send(()).expect("the provider waits");
        for call in calls {
            assert_eq!(call.join().expect("a reply"), ["gpt-4o"]);
        }
    });
    assert_eq!(openai.seen().len(), 1);
}
