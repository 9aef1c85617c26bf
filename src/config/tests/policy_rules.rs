//! The rules that a policy has to keep, and the message of each.

use super::problems;

/// One policy text, one place and the words its problem has to hold.
#[test]
fn rules_of_the_policy() {
    let table = [
        ("auth: {accept: []}", "1:16: auth.accept: ", "no call is accepted"),
        ("auth: {accept: [jwt, jwt]}", "1:22: auth.accept[1]: ", "given twice"),
        (
            "auth: {accept: [token]}",
            "1:17: auth.accept[0]: ",
            "choose from jwt, key, passthrough, anonymous",
        ),
        (
            "redaction: {restore_arguments: true}",
            "1:32: redaction.restore_arguments: ",
            "without `restore: true`",
        ),
        (
            "redaction: {restore: true, placeholders: plain}",
            "1:42: redaction.placeholders: ",
            "plain placeholders cannot be restored; give numbered or stable",
        ),
        ("redaction: {allow: [a@b.de, '+ ']}", "1:29: redaction.allow[1]: ", "can match nothing"),
        (
            "auth: {jwt: {algorithms: [none]}}",
            "1:27: auth.jwt.algorithms[0]: ",
            "`none` is not known here",
        ),
        ("auth: {jwt: {jwks: keys.json}}", "1:20: auth.jwt.jwks: ", "only HS algorithms"),
        (
            "auth: {jwt: {jwks: 'ftp://x/y', algorithms: [RS256]}}",
            "1:20: auth.jwt.jwks: ",
            "not the address of a key set",
        ),
        ("auth: {jwt: {leeway: 1h}}", "1:22: auth.jwt.leeway: ", "give 0s to 10m"),
        ("auth: {jwt: {org_claim: a..b}}", "1:25: auth.jwt.org_claim: ", "not the name of a claim"),
        (
            "auth: {keys: [{name: a, sha256: 12, org: b}]}",
            "1:33: auth.keys[0].sha256: ",
            "64 hex digits",
        ),
        (
            "auth: {keys: [{name: a, org: b, expires: soon, sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:42: auth.keys[0].expires: ",
            "2027-01-31",
        ),
        (
            "auth: {keys: [{name: a, org: b, models: [''], sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:42: auth.keys[0].models[0]: ",
            "give a model",
        ),
        (
            "auth: {keys: [{name: a, org: b, endpoints: [chat], sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:45: auth.keys[0].endpoints[0]: ",
            "/v1/",
        ),
        (
            "auth: {keys: [{name: a, org: anonymous, sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:30: auth.keys[0].org: ",
            "give another name",
        ),
        (
            "auth: {keys: [{name: a, org: b, sha256: \
                e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}]}",
            "1:41: auth.keys[0].sha256: ",
            "tollgate key new",
        ),
        (
            "auth: {keys: [{name: a, org: b, sha256: \
                01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b}]}",
            "1:41: auth.keys[0].sha256: ",
            "tollgate key new",
        ),
        ("auth: {keys: [{name: a, org: b}]}", "1:15: auth.keys[0]: ", "`sha256` is missing"),
        (
            "auth: {keys: [{name: a, sha256: ~, org: b}]}",
            "1:25: auth.keys[0].sha256: ",
            "`sha256` is missing",
        ),
        ("providers: {}", "1:12: providers: ", "at least one"),
        ("providers: {a: {base_url: 'ftp://x'}}", "1:27: providers.a.base_url: ", "http or https"),
        (
            "providers: {a: {kind: azure_openai, api_version: '2024', base_url: 'http://x'}}",
            "1:50: providers.a.api_version: ",
            "give v1 or a date",
        ),
        (
            "providers: {a: {api_version: '2024-10-21', base_url: 'http://x/v1'}}",
            "1:30: providers.a.api_version: ",
            "only a provider of kind azure_openai",
        ),
        (
            "providers: {a: {kind: anthropic, base_url: 'https://aiplatform.googleapis.com/v1/p'}}",
            "1:44: providers.a.base_url: ",
            "/publishers/anthropic",
        ),
        ("providers: {a: {base_url: 'http://x/v1?k=1'}}", "1:27: providers.a.base_url: ", "query"),
        ("providers: {a: {base_url: 'http://u:p@x/v1'}}", "1:27: providers.a.base_url: ", "a user"),
        (
            "providers: {a: {base_url: 'http://x:99999/v1'}}",
            "1:27: providers.a.base_url: ",
            "1 to 65535",
        ),
        (
            "providers: {a: {base_url: 'http://[::1]:0/v1'}}",
            "1:27: providers.a.base_url: ",
            "1 to 65535",
        ),
        (
            "auth: {jwt: {jwks: 'http://x:99999/y', algorithms: [RS256]}}",
            "1:20: auth.jwt.jwks: ",
            "not the address of a key set",
        ),
        (
            "providers: {a: {kind: openapi, base_url: 'http://a/v1'}}",
            "1:23: providers.a.kind: ",
            "did you mean `openai`?",
        ),
        (
            "providers: {a: {forward_headers: [Authorization], base_url: 'http://a/v1'}}",
            "1:35: providers.a.forward_headers[0]: ",
            "never forwarded",
        ),
        (
            "providers: {'a b': {base_url: 'https://a.example/v1'}}",
            "1:13: providers.a b: ",
            "not a usable name",
        ),
        ("cors: {origins: [app.example.com]}", "1:18: cors.origins[0]: ", "not an origin"),
        ("cors: {origins: ['https://x.y/']}", "1:18: cors.origins[0]: ", "without a path"),
        ("cors: {origins: ['https://X.y']}", "1:18: cors.origins[0]: ", "not an origin"),
        ("cors: {origins: ['http://a:1', '*']}", "1:32: cors.origins[1]: ", "give it alone"),
        ("cors: {headers: ['a b']}", "1:18: cors.headers[0]: ", "not the name of a header"),
        (
            "routing: {default: [nobody]}",
            "1:21: routing.default[0]: ",
            "there is no provider of this name; choose from openai",
        ),
        (
            "routing: {models: [{match: 'x*', to: []}]}",
            "1:38: routing.models[0].to: ",
            "at least one provider",
        ),
        (
            "routing: {models: [{match: 'x*', to: [opnai]}]}",
            "1:39: routing.models[0].to[0]: ",
            "did you mean `openai`?",
        ),
        ("routing: {default: [openai, openai]}", "1:29: routing.default[1]: ", "given twice"),
        (
            "routing: {default: [{weight: 2}]}",
            "1:21: routing.default[0]: ",
            "`provider` is missing",
        ),
        (
            "routing: {default: [{provider: openai, weigth: 2}]}",
            "1:40: routing.default[0].weigth: ",
            "did you mean `weight`?",
        ),
        (
            "routing: {default: [{provider: openai, weight: 1000001}]}",
            "1:48: routing.default[0].weight: ",
            "give 0 to 1000000",
        ),
        (
            "routing: {default: [{provider: openai, weight: 0}]}",
            "1:21: routing.default[0]: ",
            "every weight is 0",
        ),
        (
            "routing: {default: [{provider: openai, model: ''}]}",
            "1:47: routing.default[0].model: ",
            "not the name of a model",
        ),
        (
            "routing: {default: [{provider: openai, timeouts: {idle: 0s}}]}",
            "1:57: routing.default[0].timeouts.idle: ",
            "0s is not allowed",
        ),
        ("routing: {default: [openai], sticky: true}", "1:38: routing.sticky: ", "without weights"),
        ("breaker: {error_percent: 101}", "1:26: breaker.error_percent: ", "give 1 to 100"),
        ("breaker: {min_calls: 0}", "1:22: breaker.min_calls: ", "give 1 to"),
        ("routing: {endpoints: ['FETCH /v1/x']}", "1:23: routing.endpoints[0]: ", "unknown method"),
        ("routing: {endpoints: ['GET /v1/../x']}", "1:23: routing.endpoints[0]: ", "no path has"),
        (
            "routing: {endpoints: ['POST /v1/batches/{id}']}",
            "1:23: routing.endpoints[0]: ",
            "use `*` for one segment",
        ),
        (
            "routing: {endpoints: ['GET /v1/batches/x*']}",
            "1:23: routing.endpoints[0]: ",
            "for a whole segment",
        ),
        ("routing: {endpoints: ['GET /v1/a(b)']}", "1:23: routing.endpoints[0]: ", "no path has"),
        ("retry: {max_retries: 11}", "1:22: retry.max_retries: ", "give 0 to 10"),
        ("retry: {max_delay: 1ms}", "1:20: retry.max_delay: ", "shorter than `base_delay`"),
        ("retry: {budget_percent: 1001}", "1:25: retry.budget_percent: ", "give 0 to 1000"),
        ("timeouts: {keep_alive: 0s}", "1:24: timeouts.keep_alive: ", "0s is not allowed"),
        (
            "timeouts: {keep_alive: never}",
            "1:24: timeouts.keep_alive: ",
            "give a duration, or \
            `off`",
        ),
        ("timeouts: {keep_alive: 60s}", "1:24: timeouts.keep_alive: ", "not shorter than `idle`"),
        (
            "routing: {default: [{provider: openai, timeouts: {idle: 5s, keep_alive: 5s}}]}",
            "1:73: routing.default[0].timeouts.keep_alive: ",
            "not shorter than `idle`",
        ),
        ("timeouts: {connect: 0s}", "1:21: timeouts.connect: ", "0s is not allowed"),
        ("timeouts: {connect: 5}", "1:21: timeouts.connect: ", "has no unit"),
        (
            "breaker: {consecutive_failures: 0}",
            "1:33: breaker.consecutive_failures: ",
            "0 is not allowed",
        ),
        (
            "redaction: {attachments: keep}",
            "1:26: redaction.attachments: ",
            "choose from drop, reject, allow",
        ),
        (
            "redaction: {custom: [{name: email, pattern: x}]}",
            "1:29: redaction.custom[0].name: ",
            "give another name",
        ),
        (
            "redaction: {custom: [{name: x, pattern: '[a'}]}",
            "1:41: redaction.custom[0].pattern: ",
            "pattern: not a usable pattern: unclosed character class",
        ),
        (
            "redaction: {orgs: {acme: {orgs: {}}}}",
            "1:27: redaction.orgs.acme.orgs: ",
            "unknown key",
        ),
        (
            "limits: {orgs: {acme: {burst: 0}}}",
            "1:31: limits.orgs.acme.burst: ",
            "0 is not allowed",
        ),
        (
            "limits: {strict: true, requests_per_minute: 10001}",
            "1:45: limits.requests_per_minute: ",
            "give 1 to 10000",
        ),
        ("limits: {strict: yes}", "1:18: limits.strict: ", "neither true nor false"),
        ("limits: [1]", "1:9: limits: ", "not a mapping"),
        (
            "limits: {tokens_per_minute: 0}",
            "1:29: limits.tokens_per_minute: ",
            "give 1 to 1000000000000, or `off`",
        ),
        (
            "limits: {usd_per_day: 0}",
            "1:23: limits.usd_per_day: ",
            "0 is not allowed; give 0.000000001 to 9000000, or `off`",
        ),
        (
            "limits: {usd_per_month: lots}",
            "1:25: limits.usd_per_month: ",
            "give an amount of USD, or `off`",
        ),
        (
            "limits: {each_user: {calls_in_flight: 0}}",
            "1:39: limits.each_user.calls_in_flight: ",
            "or `off`",
        ),
        ("limits: {models: [{match: a}]}", "1:19: limits.models[0]: ", "limits nothing"),
        (
            "limits: {lease_percent: 11}",
            "1:25: limits.lease_percent: ",
            "11 is not allowed; give 0 to 10",
        ),
        (
            "limits: {lease_percent: 1, strict: true}",
            "1:25: limits.lease_percent: ",
            "nothing can be leased",
        ),
        ("limits: {fail: never}", "1:16: limits.fail: ", "not known here"),
        ("cache: {mode: on}", "1:15: cache.mode: ", "choose from off, exact"),
        (
            "cache: {mode: exact, endpoints: [chat]}",
            "1:34: cache.endpoints[0]: ",
            "not a path of the API",
        ),
        (
            "cache: {max_bytes: 1MiB, orgs: {a: {max_bytes: 2MiB}}}",
            "1:48: cache.orgs.a.max_bytes: ",
            "the room of all organisations",
        ),
        (
            "limits: {on_exhausted: stop}",
            "1:24: limits.on_exhausted: ",
            "give refuse, or {downgrade: {model: NAME}}",
        ),
        (
            "limits: {on_exhausted: {downgrade: {model: ' '}}}",
            "1:44: limits.on_exhausted.downgrade.model: ",
            "empty; give the name of a model",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'ftp://h', secret: s}}}",
            "1:32: alerts.webhooks.ops.url: ",
            "not the address of a webhook",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: ''}}}",
            "1:54: alerts.webhooks.ops.secret: ",
            "the secret that signs requests",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                log_loss, to: [oops]}]}",
            "1:96: alerts.rules[0].to[0]: ",
            "`ops`",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                log_loss, to: []}]}",
            "1:95: alerts.rules[0].to: ",
            "names no webhook",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                log_loss, org: a, to: [ops]}]}",
            "1:96: alerts.rules[0].org: ",
            "says nothing to this condition",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                budget, at_percent: [0], to: [ops]}]}",
            "1:102: alerts.rules[0].at_percent[0]: ",
            "give 1 to 1000 percent",
        ),
        (
            "features: {ai_intent_enabled: maybe}",
            "1:31: features.ai_intent_enabled: ",
            "neither true nor false",
        ),
        (
            "intent: {provider: other}",
            "1:20: intent.provider: ",
            "there is no provider of this name",
        ),
        ("intent: {temperature: 2.5}", "1:23: intent.temperature: ", "give 0 to 2"),
        (
            "intent: {categories: []}",
            "1:22: intent.categories: ",
            "has 0 entries; give 1 to 64 entries",
        ),
        ("intent: {priorities: [low, Low]}", "1:28: intent.priorities[1]: ", "given twice"),
        ("intent: {prompt: ' '}", "1:18: intent.prompt: ", "has 0 bytes; give 1 to 16384 bytes"),
        (
            "intent: {category_descriptions: {biling: x}}",
            "1:34: intent.category_descriptions.biling: ",
            "`billing`",
        ),
        (
            "intent: {priority_descriptions: {low: ''}}",
            "1:39: intent.priority_descriptions.low: ",
            "one line",
        ),
        (
            "intent: {category_synonyms: {other: [Billing]}}",
            "1:38: intent.category_synonyms.other[0]: ",
            "already",
        ),
        (
            "intent: {priority_synonyms: {hi: [x]}}",
            "1:30: intent.priority_synonyms.hi: ",
            "not one of",
        ),
        (
            "intent: {examples: [{category: billing}]}",
            "1:21: intent.examples[0].body: ",
            "a title or a body",
        ),
        (
            "intent: {examples: [{title: x, priority: hgh}]}",
            "1:42: intent.examples[0].priority: ",
            "`high`",
        ),
        ("ailog: {capture_bytes: 1GiB}", "1:24: ailog.capture_bytes: ", "give 0B to 1MiB"),
        ("ailog: {tags: {a: x-a}}", "1:19: ailog.tags.a: ", "no source"),
        ("ailog: {tags: {a: 'header:cookie'}}", "1:19: ailog.tags.a: ", "a credential or a cookie"),
        (
            "ailog: {tags: {a: 'header:x-api-key'}}",
            "1:19: ailog.tags.a: ",
            "a credential or a cookie",
        ),
        ("ailog: {tags: {'a b': 'claim:x'}}", "1:16: ailog.tags.a b: ", "not a usable name"),
        ("ailog: {capture: {keep: tail}}", "1:25: ailog.capture.keep: ", "head_and_tail"),
        ("ailog: {retention_days: 0}", "1:25: ailog.retention_days: ", "0 is not allowed"),
        ("prices: [{model: m, input: -1, output: 1}]", "1:28: prices[0].input: ", "not negative"),
        (
            "prices: [{provider: x, model: m, input: 1, output: 1}]",
            "1:21: prices[0].provider: ",
            "there is no provider",
        ),
        ("prices: [{model: m, input: 1}]", "1:10: prices[0]: ", "`output` is missing"),
        (
            "prices: [{model: m, input: 1, output: 1, tier: flx}]",
            "1:48: prices[0].tier: ",
            "`flex`",
        ),
        (
            "prices: [{model: m, input: 1, output: 1, from: soon}]",
            "1:48: prices[0].from: ",
            "2027-01-01",
        ),
        (
            "prices: [{model: m, input: 1, output: 1, above: -1}]",
            "1:49: prices[0].above: ",
            "negative",
        ),
        ("limit: {}", "1:1: limit: ", "did you mean `limits`?"),
        ("- a", "1:1: ", "not a mapping"),
        ("a: b: c", "1:", "not valid YAML"),
        ("limits: {burst: '${UNSET}'}", "1:17: limits.burst: ", "UNSET is not set"),
        ("limits: {burst: ${UNSET}}", "1:", "put quotes around a ${…}"),
        ("limits: {burst: 1, burst: 2}", "1:20: limits.burst: ", "given twice"),
    ];
    for (yaml, place, words) in table {
        let found = problems(&[("policies/p.yaml", yaml)]);
        assert_eq!(found.len(), 1, "{yaml}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("policies/p.yaml:{place}")) && found[0].contains(words),
            "{yaml}: {found:#?}"
        );
    }
}
