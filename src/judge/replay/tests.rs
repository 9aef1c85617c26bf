//! A recorded run of 5,000 calls at fixed times: a replay gives, call by call, the verdict that the
//! policy gives when it is in force.

use std::collections::BTreeMap;

use tollgate_wire::usage::TokenUsage;

use super::*;
use crate::config::load;
use crate::limit::caps::Scope;

fn policy(text: &str) -> Policy {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("file");
    let keys = "auth: {accept: [jwt, key, anonymous], jwt: {secret: \
        a-secret-of-enough-bytes-for-hs256}, \
        keys: [{name: ci, org: acme, \
        sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"}]}\n";
    let text = if text.contains("auth:") { text.to_owned() } else { [keys, text].concat() };
    std::fs::write(file.path(), text).expect("a policy");
    load(Some(file.path())).expect("a good policy").policy
}

/// Providers of two names, and no others.
const PROVIDERS: &str = "providers:\n  one: {kind: openai, base_url: 'http://127.0.0.1:1/v1'}\n  two: \
    {kind: openai, base_url: 'http://127.0.0.1:1/v1'}\n";

/// One call as its client makes it.
#[derive(Clone, Debug)]
struct Made {
    at_ms: i64,
    latency_ms: u64,
    org: &'static str,
    caller: &'static str,
    model: &'static str,
    max_tokens: u64,
    chars: u64,
    output: u64,
}

/// 2026-11-30, 23:50 UTC: the run goes on past midnight.
const FIRST_MS: i64 = 1_796_082_600_000;

fn made() -> Vec<Made> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut at_ms = FIRST_MS;
    (0..5_000)
        .map(|_| {
            at_ms += rng.i64(0..500);
            let org = ["acme", "globex", "initech"][rng.usize(..3)];
            let caller = ["ci", "ann", "bob"][rng.usize(..3)];
            Made {
                at_ms,
                latency_ms: rng.u64(1..9_000),
                org,
                // The key is one organisation's.
                caller: if caller == "ci" && org != "acme" { "eve" } else { caller },
                model: ["gpt-4o-mini", "gpt-4o", "o3"][rng.usize(..3)],
                max_tokens: rng.u64(0..3) * 200,
                chars: rng.u64(0..8_000),
                output: rng.u64(1..400),
            }
        })
        .collect()
}

fn usage(made: &Made) -> TokenUsage {
    TokenUsage { input: made.chars / 4, output: made.output, ..TokenUsage::default() }
}

/// Enforces a policy on the calls, as a gateway does: what happens, in the order of time. The code
/// and the limit of each refusal; the provider of each call that passes.
fn enforce(policy: &Policy, calls: &[Made]) -> Vec<Result<Arc<str>, (Code, String)>> {
    let (limiter, meters) = (Limiter::new(100), Arc::new(Meters::new(100)));
    let mut ends: BTreeMap<(i64, usize), Reservation> = BTreeMap::new();
    let moment = |ms: i64| moment(Nanos(START_NS + (ms - FIRST_MS) as u64 * 1_000_000), ms);
    let mut verdicts = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        while let Some(end) = ends.first_entry().filter(|end| end.key().0 <= call.at_ms) {
            let ((ended_ms, ended), held) = end.remove_entry();
            let made = &calls[ended];
            let model = made.model;
            let of_call = Call {
                provider: "one",
                response_model: model,
                model,
                usage: usage(made),
                at_ms: made.at_ms,
            };
            let cost = policy.prices.of_call(&of_call).map_or(0, |cost| cost.total as u64);
            let tokens = made.chars / 4 + made.output;
            held.settle(Some((tokens, cost)), Nanos(moment(ended_ms).now_ns));
        }
        let org = OrgId::new(call.org).expect("a name");
        let name = Arc::from(call.caller);
        let own = if call.caller == "ci" { Scope::Key(name) } else { Scope::User(name) };
        let who = Who { org: &org, own: Some(own) };
        let at = moment(call.at_ms);
        let decide = || -> Result<(Arc<str>, Option<Reservation>), Refused> {
            let over = |denial| match denial {
                Denial::Over(over, _) => Refused::from(over),
                Denial::Full => panic!("full"),
            };
            if call.caller == "ci" && policy.auth.keys.is_empty() {
                return Err(Refused::by(Code::InvalidToken));
            }
            let counters = Counters { limiter: &limiter, meters: &meters };
            let (_, mut held) = limits::admit(counters, &policy.limits, &who, at).map_err(over)?;
            let targets = crate::route::targets(policy, Some(call.model));
            let first = targets.list.first().ok_or(Refused::by(Code::ModelNotFound))?;
            let limits = policy.limits.more.as_ref().map(|more| more.of(&org));
            if let Some(limits) = limits.filter(|limits| limits.need_estimate()) {
                let bound = Some(call.max_tokens).filter(|bound| *bound > 0);
                let longest = output::longest(call.model);
                let asked = Asked { makes: Makes::Text, bound, choices: 1, longest };
                let names: Vec<_> =
                    targets.list.iter().map(|target| (&*target.provider.name, None)).collect();
                let expected = asked.expected(call.chars);
                let work = Work { targets: &names, model: call.model, expected };
                let ask = work.ask(&policy.prices, call.at_ms);
                let (wants, models) = limits::wants_of_usage(limits, &who, call.model);
                let reserved = limits::reserve(&meters, (&wants, &models), ask, at);
                let reserved = reserved.map_err(|denied| over(denied.into()))?;
                match &mut held {
                    Some(held) => held.absorb(reserved),
                    None => held = Some(reserved),
                }
            }
            Ok((Arc::clone(&first.provider.name), held))
        };
        verdicts.push(match decide() {
            Err(refused) => Err((refused.code, refused.limited_by())),
            Ok((provider, held)) => {
                held.into_iter().for_each(|held| {
                    ends.insert((call.at_ms + call.latency_ms as i64, n), held);
                });
                Ok(provider)
            }
        });
    }
    verdicts
}

/// Asks a candidate about the rows that `force` has left; compares call by call with its
/// enforcement, and returns how many are refused, allowed and rerouted.
fn check(force: &str, candidate: &str) -> (u64, u64, u64) {
    let (force, candidate) = (policy(force), policy(candidate));
    let calls = made();
    let (done, would) = (enforce(&force, &calls), enforce(&candidate, &calls));
    let mut replay = Replay::new(&candidate, &force);
    let mut sums = (0, 0, 0);
    for ((call, was), would) in calls.iter().zip(&done).zip(&would) {
        let mut row = LoggedCall {
            created_at_ms: call.at_ms,
            org: call.org,
            caller: call.caller,
            endpoint: "/v1/chat/completions",
            policy_version: &force.version,
            calls: 1,
            ..LoggedCall::default()
        };
        match was {
            Ok(provider) => {
                row = LoggedCall {
                    provider,
                    model: call.model,
                    response_model: call.model,
                    is_ok: true,
                    attempts: 1,
                    latency_ms: call.latency_ms,
                    usage: usage(call),
                    has_usage: true,
                    request_bytes: call.chars + 60,
                    prompt_chars: call.chars,
                    max_tokens: call.max_tokens,
                    ..row
                };
            }
            Err((code, limit)) => {
                row.error_code = code.as_str();
                row.limited_by = limit;
            }
        }
        let answer = replay.ask(&row);
        match (was, would) {
            (Ok(_), Err((code, limit))) => {
                let told: Vec<_> = answer
                    .refused
                    .iter()
                    .map(|(refused, n)| (refused.code, refused.limited_by(), *n))
                    .collect();
                assert_eq!(told, [(*code, limit.clone(), 1)], "{call:?}");
                sums.0 += 1;
            }
            (Err(_), Ok(_)) => {
                assert_eq!((answer.allowed, answer.refused.len()), (1, 0), "{call:?}");
                sums.1 += 1;
            }
            (Err(_), Err(_)) => assert_eq!((answer.allowed, answer.refused.len()), (0, 0)),
            (Ok(was), Ok(would)) => {
                let expected = (was != would).then_some(would);
                assert_eq!(answer.rerouted.as_ref(), expected, "{call:?}");
                assert!(answer.refused.is_empty(), "{call:?}: {answer:?}");
                sums.2 += u64::from(expected.is_some());
            }
        }
    }
    sums
}

#[test]
fn a_replay_gives_the_verdict_of_enforcement_call_by_call() {
    let open = format!(
        "{PROVIDERS}routing: {{default: [one]}}\nlimits: {{requests_per_minute: 100000, burst: \
            100000}}\n"
    );
    // Requests, of organisations, keys and users, and calls in flight.
    let requests = format!(
        "{PROVIDERS}routing: {{default: [one]}}\nlimits: {{requests_per_minute: 40, burst: 20, \
         calls_in_flight: 9, each_key: {{requests_per_minute: 9}}, each_user: \
         {{requests_per_minute: 11}}, orgs: {{initech: {{strict: true}}}}}}\n"
    );
    let (refused, ..) = check(&open, &requests);
    assert!((1_000..4_000).contains(&refused), "{refused}");
    // Tokens and money, by model too, over the end of a day.
    let usage = format!(
        "{PROVIDERS}routing: {{default: [one]}}\nlimits: {{requests_per_minute: 100000, burst: \
         100000, tokens_per_minute: 60000, usd_per_day: 2, each_user: {{usd_per_day: 0.6}}, \
         models: \
         [{{match: 'gpt-4o*', tokens_per_minute: 40000}}]}}\n"
    );
    let (refused, ..) = check(&open, &usage);
    assert!((500..4_900).contains(&refused), "{refused}");
    // A model removed, and a provider changed.
    let routing = format!(
        "{PROVIDERS}routing: {{default: [], models: [{{match: gpt-4o-mini, to: [two]}}, {{match: \
         gpt-4o, to: [one]}}]}}\nlimits: {{requests_per_minute: 100000, burst: 100000}}\n"
    );
    let (refused, _, rerouted) = check(&open, &routing);
    assert!(refused > 1_000 && rerouted > 1_000, "{refused} {rerouted}");
    // Wider limits than those in force.
    let wider = [
        ("requests_per_minute: 40, burst: 20", "requests_per_minute: 60, burst: 60"),
        ("requests_per_minute: 9}", "requests_per_minute: 40}"),
        ("requests_per_minute: 11}", "requests_per_minute: 40}"),
        ("calls_in_flight: 9", "calls_in_flight: 50"),
    ];
    let wider = wider.iter().fold(requests.clone(), |text, (from, to)| text.replace(from, to));
    let (refused, allowed, _) = check(&requests, &wider);
    assert!(allowed > 300, "{refused} {allowed}");
}

#[test]
fn a_key_that_is_gone_is_refused() {
    let open = format!(
        "{PROVIDERS}routing: {{default: [one]}}\nlimits: {{burst: 100000, requests_per_minute: \
            100000}}\n"
    );
    let without = format!(
        "auth: {{accept: [jwt, key, anonymous], jwt: {{secret: \
            a-secret-of-enough-bytes-for-hs256}}, keys: [{{name: other, org: acme, \
            sha256: \"1111111111111111111111111111111111111111111111111111111111111111\"}}]}\
            }\n{open}"
    );
    let (force, candidate) = (policy(&open), policy(&without));
    let mut replay = Replay::new(&candidate, &force);
    let row = |caller| LoggedCall {
        org: "acme",
        caller,
        model: "m",
        is_ok: true,
        attempts: 1,
        calls: 1,
        provider: "one",
        ..LoggedCall::default()
    };
    let answer = replay.ask(&row("ci"));
    assert_eq!(answer.refused, [(Refused::by(Code::InvalidToken), 1)]);
    assert_eq!(replay.ask(&row("ann")), Answer::default());
}

#[test]
fn what_cannot_be_judged_is_told_with_its_reason() {
    let open =
        format!("{PROVIDERS}routing: {{default: [one]}}\nredaction: {{entities: [email]}}\n");
    let force = policy(&open);
    let ask = |candidate: &str, row: &LoggedCall<'_>| {
        let candidate = policy(candidate);
        Replay::new(&candidate, &force).ask(row)
    };
    let base = || LoggedCall {
        org: "acme",
        caller: "ann",
        endpoint: "/v1/chat/completions",
        model: "gpt-4o-mini",
        provider: "one",
        policy_version: "000000000000",
        is_ok: true,
        attempts: 1,
        calls: 1,
        request: Some(br#"{"messages":[{"content":"hello"}]}"#),
        request_bytes: 40,
        has_usage: true,
        ..LoggedCall::default()
    };
    let reasons = |answer: Answer| answer.unjudged;
    assert_eq!(reasons(ask(&open, &base())), []);
    let refused = || LoggedCall {
        error_code: "rate_limit_exceeded",
        limited_by: "org:requests_per_minute",
        model: "",
        provider: "",
        is_ok: false,
        attempts: 0,
        request: None,
        request_bytes: 0,
        has_usage: false,
        ..base()
    };
    let head = [(Dimension::Routing, NO_MODEL), (Dimension::Redaction, logged::NO_BODY)];
    assert_eq!(reasons(ask(&open, &refused())), head);
    // Folded rows of several callers, each of whom has a limit.
    let each = format!("{open}limits: {{each_user: {{requests_per_minute: 5}}}}\n");
    let folded = LoggedCall { caller: "", calls: 3, ..refused() };
    let all = [(Dimension::Limits, NO_CALLER), head[0], head[1]];
    assert_eq!(reasons(ask(&each, &folded)), all);
    assert_eq!(ask(&open, &folded).allowed, 3, "without such limits each of its calls is judged");
    // Tokens are limited, and those of a call that was refused are not known.
    let tokens = format!("{open}limits: {{tokens_per_minute: 1000}}\n");
    let all = [(Dimension::Limits, USAGE_UNKNOWN), head[0], head[1]];
    assert_eq!(reasons(ask(&tokens, &refused())), all);
    let unreported = LoggedCall { has_usage: false, ..base() };
    assert_eq!(reasons(ask(&tokens, &unreported)), [(Dimension::Limits, USAGE_UNKNOWN)]);
    // Credentials are not logged.
    let other = format!(
        "auth: {{accept: [jwt], jwt: {{secret: another-secret-of-enough-bytes-1234}}}}\n{open}"
    );
    let all = Dimension::ALL.map(|dimension| (dimension, IDENTITY));
    assert_eq!(reasons(ask(&other, &base())), all);
    let iban = open.replace("[email]", "[email, iban]");
    let cut = LoggedCall { is_cut: true, ..base() };
    assert_eq!(reasons(ask(&iban, &cut)), [(Dimension::Redaction, logged::BODY_TRUNCATED)]);
    let none = LoggedCall { request: None, ..base() };
    assert_eq!(reasons(ask(&iban, &none)), [(Dimension::Redaction, logged::NO_BODY)]);
    let allow = open.replace("[email]", "[email], allow: ['@example.com']");
    let gone = LoggedCall { emails: 1, ..base() };
    assert_eq!(reasons(ask(&allow, &gone)), [(Dimension::Redaction, logged::VALUE_GONE)]);
}

#[test]
fn over_a_budget_a_call_is_downgraded_and_not_refused() {
    let open = format!("{PROVIDERS}routing: {{default: [one]}}\n");
    let prices =
        "prices: [{model: dear, input: 100, output: 100}, {model: cheap, input: 1, output: 1}]\n";
    let guided = |more: &str| {
        format!(
            "{open}{prices}limits: {{usd_per_day: 0.003, on_exhausted: {{downgrade: {{model: \
                cheap}}}}{more}}}\n"
        )
    };
    let force = policy(&open);
    let row = |downgraded: &'static str| LoggedCall {
        created_at_ms: FIRST_MS,
        org: "acme",
        caller: "ann",
        endpoint: "/v1/chat/completions",
        provider: "one",
        model: "dear",
        response_model: if downgraded.is_empty() { "dear" } else { downgraded },
        downgraded,
        policy_version: "000000000000",
        is_ok: true,
        attempts: 1,
        calls: 1,
        usage: TokenUsage { input: 11, output: 7, ..TokenUsage::default() },
        has_usage: true,
        request_bytes: 60,
        prompt_chars: 20,
        max_tokens: 7,
        request: Some(br#"{"messages":[{"content":"hello"}]}"#),
        ..LoggedCall::default()
    };
    let candidate = policy(&guided(""));
    let mut replay = Replay::new(&candidate, &force);
    let first = replay.ask(&row(""));
    assert_eq!((first.refused.len(), first.downgraded, first.rerouted), (0, None, None));
    assert_eq!(first.cost_nano_usd, Some(1_800_000));
    let second = replay.ask(&row(""));
    assert_eq!(second.downgraded, Some((Arc::from("cheap"), "org:usd_per_day".to_owned(), 1)));
    assert_eq!((second.refused, second.limited), (vec![], 0));
    assert_eq!(second.rerouted.as_deref(), Some("one"), "to another model at the same provider");
    assert_eq!(second.cost_nano_usd, Some(18_000), "at the price of the cheaper model");
    // In force the same was done: no difference.
    let third = replay.ask(&row("cheap"));
    assert_eq!((third.downgraded, third.rerouted), (None, None));
    // An endpoint whose answer is no text is refused.
    let embedding = LoggedCall { endpoint: "/v1/embeddings", ..row("") };
    let refused = replay.ask(&embedding);
    assert_eq!((refused.limited, refused.refused.len()), (0, 0), "it fits what is left");
    // A first call passes, whatever it may cost. Once all is spent, the head decides.
    let spent = guided("").replace("0.003", "0.0001");
    let refuses = spent.replace("{downgrade: {model: cheap}}", "refuse");
    for (text, expected) in [(spent, (true, 0, 0)), (refuses, (false, 1, 1))] {
        let candidate = policy(&text);
        let mut replay = Replay::new(&candidate, &force);
        let mut told = || {
            let answer = replay.ask(&row(""));
            (answer.downgraded.is_some(), answer.refused.len(), answer.limited)
        };
        assert_eq!((told(), told()), ((false, 0, 0), expected), "{text}");
    }
    // It was downgraded, and would not be.
    let mut replay = Replay::new(&force, &force);
    assert_eq!(replay.ask(&row("cheap")).rerouted.as_deref(), Some("one"));
}

#[test]
fn the_same_policy_allows_no_call_that_it_refused() {
    let keys = |models: &str| {
        format!(
            "auth: {{accept: [jwt, key], jwt: {{secret: a-secret-of-enough-bytes-for-hs256}}, \
             keys: [{{name: ci, org: acme, {models} sha256: \
             \"0000000000000000000000000000000000000000000000000000000000000000\"}}]}}\n\
             {PROVIDERS}routing: {{default: [one]}}\n"
        )
    };
    let force = policy(&keys("models: [gpt-4o], endpoints: [/v1/chat/completions],"));
    let wider = policy(&keys(""));
    let row = |caller, endpoint, model, error_code| LoggedCall {
        org: "acme",
        caller,
        endpoint,
        model,
        error_code,
        calls: 16,
        ..LoggedCall::default()
    };
    let unknown = (Dimension::Routing, REFUSAL_UNKNOWN);
    for (row, by_wider) in [
        // Nothing in the row says why: with the same policy and with a wider one.
        (row("ann", "/v1/files", "", "endpoint_not_allowed"), 0),
        (row("ann", "/v1/responses", "gpt-4o", "endpoint_not_allowed"), 0),
        (row("ann", "/v1/models/{id}", "gpt-9", "model_not_found"), 0),
        // The key does.
        (row("ci", "/v1/embeddings", "gpt-4o", "endpoint_not_allowed"), 16),
        (row("ci", "/v1/chat/completions", "o3", "model_not_found"), 16),
    ] {
        let same = Replay::new(&force, &force).ask(&row);
        assert_eq!((same.allowed, same.refused.len()), (0, 0), "{row:?}");
        let answer = Replay::new(&wider, &force).ask(&row);
        assert_eq!(answer.allowed, by_wider, "{row:?}");
        if by_wider == 0 {
            assert!(same.unjudged.contains(&unknown) || row.model.is_empty(), "{same:?}");
            assert!(same.unjudged.iter().any(|(in_what, _)| *in_what == Dimension::Routing));
        }
    }
}
