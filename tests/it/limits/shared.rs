//! Limits that gateways share through a real Redis server, which is killed, started anew and made
//! to hang.

use std::sync::{Arc, Barrier};

use crate::support::{Gateway, Provider, Redis, Setup, chat, eventually, span, step};

/// A row of the log.
type Row = serde_json::Map<String, serde_json::Value>;

/// No answer of the store is waited for so long unless a test makes it hang.
const PATIENT: &str = "10s";

fn setup(provider: &Provider, redis: &Redis, limits: &str) -> Setup {
    Setup::new(provider)
        .setting("limits_store", &format!("\"{}\"", redis.url()))
        .setting("limits_store_timeout", PATIENT)
        .section("limits", limits)
}

fn start(setup: Setup) -> Arc<Gateway> {
    let gateway = setup.start();
    eventually("the store to be connected", || {
        (gateway.metric("tollgate_limits_store_up") == 1.0).then_some(())
    });
    Arc::new(gateway)
}

/// `threads` callers, spread over the gateways, make `each` calls of one organisation; how many
/// passed, and the statuses of the others.
fn flood(gateways: &[Arc<Gateway>], threads: usize, each: usize) -> (usize, Vec<u16>) {
    let barrier = Arc::new(Barrier::new(threads));
    let callers: Vec<_> = (0..threads)
        .map(|n| {
            let (gateway, barrier) =
                (Arc::clone(&gateways[n % gateways.len()]), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                (0..each).map(|_| gateway.chat("acme", "hi").status).collect::<Vec<_>>()
            })
        })
        .collect();
    let statuses: Vec<u16> =
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    let passed = statuses.iter().filter(|status| **status == 200).count();
    (passed, statuses.into_iter().filter(|status| *status != 200).collect())
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn two_gateways_on_one_store_let_exactly_the_limit_through() {
    let (provider, redis) = (Provider::start(), Redis::start());
    for (limits, most) in [
        // One call a minute is gained, so that none is while the test runs (and one is allowed
        // for).
        ("{requests_per_minute: 1, burst: 60, fail: closed}", 60),
        (
            "{requests_per_minute: 40, strict: true, fail: closed, orgs: {acme: \
                {requests_per_minute: 35}}}",
            35,
        ),
    ] {
        let gateways =
            [start(setup(&provider, &redis, limits)), start(setup(&provider, &redis, limits))];
        let (passed, others) = flood(&gateways, 20, 10);
        assert!((most..=most + 1).contains(&passed), "{passed} passed");
        assert!(others.iter().all(|status| *status == 429), "{others:?}");
        let refused = gateways[0].chat("acme", "hi");
        refused.refused(429, "rate_limit_exceeded");
        assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        // What was used is still used for a gateway that comes later, and by another kind of limit.
        let third =
            start(setup(&provider, &redis, "{requests_per_minute: 30, burst: 30, fail: closed}"));
        third.chat("acme", "hi").refused(429, "rate_limit_exceeded");
        assert_eq!(
            third.chat("fresh", "hi").ok().header("x-ratelimit-remaining-requests"),
            Some("29")
        );
        redis_forget(&redis);
    }
}

/// Takes everything out of the store.
fn redis_forget(redis: &Redis) {
    let mut connection = crate::support::Connection::open(redis.address);
    connection.send(b"FLUSHALL\r\n");
    assert_eq!(connection.line(), "+OK");
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn leased_calls_ask_seldom_and_pass_at_most_one_percent_too_many() {
    let (provider, redis) = (Provider::start(), Redis::start());
    let limits = "{requests_per_minute: 1, burst: 1000, fail: closed, lease_percent: 1}";
    let gateways =
        [start(setup(&provider, &redis, limits)), start(setup(&provider, &redis, limits))];
    let (mut passed, _) = flood(&gateways, 12, 100);
    // What the last leases left comes back: not one call is lost.
    eventually("all thousand calls to be used", || {
        let (more, _) = flood(&gateways, 4, 3);
        passed += more;
        (passed >= 1_000).then_some(())
    });
    let (more, _) = flood(&gateways, 8, 5);
    // One percent, and one call a minute is gained.
    assert!((1_000..=1_012).contains(&(passed + more)), "{}", passed + more);
    let (leased, asked) = gateways.iter().fold((0.0, 0.0), |(leased, asked), gateway| {
        let count = |kind: &str| {
            gateway.metric(&format!("tollgate_limits_store_decisions_total{{result=\"{kind}\"}}"))
        };
        (leased + count("leased"), asked + count("shared"))
    });
    assert!(leased > 100.0, "{leased} leased, {asked} asked for");
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn while_calls_are_gained_no_more_pass_than_bucket_and_refill() {
    let (provider, redis) = (Provider::start(), Redis::start());
    // 20 calls a second are gained; ten percent of 100 may be leased.
    for (lease_percent, leased) in [(0, 0), (10, 10)] {
        let limits = format!(
            "{{requests_per_minute: 1200, burst: 100, fail: closed, lease_percent: \
                {lease_percent}}}"
        );
        let gateways =
            [start(setup(&provider, &redis, &limits)), start(setup(&provider, &redis, &limits))];
        let (passed, others) = flood(&gateways, 8, 100);
        // The rows of those that passed say how long it took.
        let rows = eventually("a row of each call that passed", || {
            let rows: Vec<_> = gateways.iter().flat_map(|gateway| gateway.rows(1)).collect();
            let ok = |rows: &[_]| rows.iter().filter(|row: &&Row| row["status"] == 200).count();
            (ok(&rows) == passed).then_some(rows)
        });
        let passed_at: Vec<&Row> = rows.iter().filter(|row| row["status"] == 200).collect();
        let most = 101 + leased + (span(&passed_at).as_secs_f64() * 20.0).ceil() as usize;
        assert!((100..=most).contains(&passed), "{passed} of {most}");
        assert!(others.iter().all(|status| *status == 429), "{others:?}");
        redis_forget(&redis);
    }
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn places_tokens_and_money_are_shared_too() {
    let (provider, redis) = (Provider::start(), Redis::start());
    let limits = "{requests_per_minute: 1000, burst: 1000, fail: closed, calls_in_flight: 1, \
                  orgs: {tokens: {calls_in_flight: off, tokens_per_minute: 1860}, \
                  money: {calls_in_flight: off, usd_per_day: 0.00002}, \
                  models: {calls_in_flight: off, tokens_per_minute: 100000, models: \
                  [{match: \"gpt-*\", requests_per_minute: 2}]}}}";
    let (a, b) = (start(setup(&provider, &redis, limits)), start(setup(&provider, &redis, limits)));
    // A call in flight on one gateway takes the other's place; when it ends the place is free,
    // though the store hears of it only after the client has its answer. The organisations that are
    // asked for something else have no such limit.
    let (wait, open) = step::gate();
    let mut slow = vec![wait];
    slow.extend(step::chat("slow"));
    provider.script([slow]);
    let first = std::thread::spawn({
        let a = Arc::clone(&a);
        move || a.chat("acme", "hi").status
    });
    provider.wait_for(1);
    let refused = b.chat("acme", "hi");
    refused.refused(429, "rate_limit_exceeded");
    assert!(refused.text().contains("1 calls in flight"), "{}", refused.text());
    open.send(()).unwrap();
    assert_eq!(first.join().unwrap(), 200);
    eventually("the place to be free", || (b.chat("acme", "hi").status == 200).then_some(()));
    let statuses: Vec<u16> =
        [&a, &b, &a, &b].iter().map(|gateway| gateway.chat("models", "hi").status).collect();
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses[2..].contains(&429), "{statuses:?}");
    // A chat of 800 tokens, or of 5.55 micro-USD, estimated as more: the estimate is given back,
    // the use stays.
    let table = [("tokens", "tokens a minute", 2, 1000, 789), ("money", "USD a day", 3, 9, 7)];
    for (org, limit, most, max_tokens, used) in table {
        provider.always(step::chat_using(used));
        let mut body = chat("hi");
        body["max_tokens"] = max_tokens.into();
        let body = body.to_string();
        let mut passed = 0;
        let reply = eventually("the limit to be reached", || {
            let bearer = format!("Bearer {}", crate::support::jwt(org));
            let gateway = if passed % 2 == 0 { &a } else { &b };
            let reply = gateway.send(
                "POST",
                "/v1/chat/completions",
                &[("authorization", &bearer)],
                body.as_bytes(),
            );
            passed += usize::from(reply.status == 200);
            // The settlement of the last call may still be on its way.
            (reply.status == 429 && passed >= most).then_some(reply)
        });
        reply.refused(429, "rate_limit_exceeded");
        assert!(reply.text().contains(limit), "{}", reply.text());
        assert!((most..=most + 1).contains(&passed), "{org}: {passed}");
    }
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_call_without_a_bound_holds_what_is_left_for_all_gateways() {
    let (provider, redis) = (Provider::start(), Redis::start());
    let limits = "{requests_per_minute: 1000, burst: 1000, fail: closed, usd_per_day: 0.5}";
    let (a, b) = (start(setup(&provider, &redis, limits)), start(setup(&provider, &redis, limits)));
    let mut body = chat("hi");
    body["model"] = "gpt-5".into();
    let (unbounded, bearer) = (body.to_string(), format!("Bearer {}", crate::support::jwt("acme")));
    body["max_tokens"] = 10.into();
    let bounded = body.to_string();
    let ask = |gateway: &Gateway, body: &str| {
        gateway
            .send("POST", "/v1/chat/completions", &[("authorization", &bearer)], body.as_bytes())
            .status
    };
    // It is less than what the answer may cost, 1.28 USD: such a call passes, and meanwhile no
    // other does.
    for _ in 0..3 {
        let (wait, open) = step::gate();
        let mut slow = vec![wait];
        slow.extend(step::chat("slow"));
        let before = provider.seen().len();
        provider.script([slow]);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| ask(&a, &unbounded));
            provider.wait_for(before + 1);
            assert_eq!([ask(&b, &unbounded), ask(&b, &bounded), ask(&a, &bounded)], [429; 3]);
            open.send(()).unwrap();
            assert_eq!(first.join().unwrap(), 200);
        });
        // The settlement is on its way. What was used is next to nothing.
        eventually("what was held to be free", || (ask(&b, &bounded) == 200).then_some(()));
    }
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_short_call_does_not_take_the_places_of_long_ones_with_it() {
    let (provider, redis) = (Provider::start(), Redis::start());
    let limits = "{requests_per_minute: 1000, burst: 1000, fail: closed, calls_in_flight: 10}";
    let with_total = |total: &str| {
        start(setup(&provider, &redis, limits).section("timeouts", &format!("{{total: {total}}}")))
    };
    let (long, short) = (with_total("1h"), with_total("5m"));
    let (wait, open) = step::gate();
    let mut slow = vec![wait];
    slow.extend(step::chat("slow"));
    provider.script([slow]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| long.chat("acme", "hi").status);
        provider.wait_for(1);
        short.chat("acme", "hi").ok();
        let mut connection = crate::support::Connection::open(redis.address);
        connection.send(b"PTTL tollgate:{acme}:o:f\r\n");
        let lasts: u64 =
            connection.line().trim_start_matches(':').parse().expect("the place is there");
        assert!(lasts > 30 * 60 * 1000, "{lasts}");
        open.send(()).unwrap();
        assert_eq!(first.join().unwrap(), 200);
    });
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn what_was_cut_at_the_end_is_settled_before_the_process_is_gone() {
    let (provider, redis) = (Provider::start(), Redis::start());
    let limits = "{requests_per_minute: 1000, burst: 1000, fail: closed, calls_in_flight: 1}";
    let next = start(setup(&provider, &redis, limits));
    let mut ending = setup(&provider, &redis, limits).setting("shutdown_grace", "100ms").start();
    eventually("the store to be connected", || {
        (ending.metric("tollgate_limits_store_up") == 1.0).then_some(())
    });
    provider.script([step::silence()]);
    let mut connection = ending.connect();
    let bearer = format!("Bearer {}", crate::support::jwt("acme"));
    let headers = [("authorization", bearer.as_str())];
    let body = chat("hi").to_string();
    connection.send(&crate::support::request(
        "POST",
        "/v1/chat/completions",
        &headers,
        body.as_bytes(),
    ));
    provider.wait_for(1);
    next.chat("acme", "hi").refused(429, "rate_limit_exceeded");
    ending.stop();
    next.chat("acme", "hi").ok();
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_store_that_is_full_is_away_until_it_has_room() {
    let (provider, redis) = (Provider::start(), Redis::start());
    let gateway =
        start(setup(&provider, &redis, "{requests_per_minute: 1000, burst: 1000, fail: closed}"));
    gateway.chat("acme", "hi").ok();
    let mut connection = crate::support::Connection::open(redis.address);
    connection.send(b"CONFIG SET maxmemory 1\r\n");
    assert_eq!(connection.line(), "+OK");
    gateway.chat("acme", "hi").refused(503, "overloaded");
    // It is tried again, and not taken for well because it takes connections.
    let told = || gateway.printed().contains("the limits store cannot be reached");
    eventually("the next trial", || {
        gateway.chat("acme", "hi").refused(503, "overloaded");
        told().then_some(())
    });
    assert_eq!(gateway.metric("tollgate_limits_store_up"), 0.0);
    connection.send(b"CONFIG SET maxmemory 0\r\n");
    assert_eq!(connection.line(), "+OK");
    eventually("the store to be back", || (gateway.chat("acme", "hi").status == 200).then_some(()));
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn tokens_and_models_are_limited_here_while_the_store_is_gone() {
    let (provider, mut redis) = (Provider::start(), Redis::start());
    let limits = "{requests_per_minute: 1000, burst: 1000, tokens_per_minute: 600, models: \
        [{match: \"*\", calls_in_flight: 5}]}";
    let gateway = start(setup(&provider, &redis, limits));
    // Each is estimated at more than 512 tokens. The first used 18, the second more than it may in
    // a minute.
    gateway.chat("acme", "hi").ok();
    redis.kill();
    provider.script([step::chat_using(6000)]);
    let statuses: Vec<u16> = (0..8).map(|_| gateway.chat("acme", "hi").status).collect();
    assert_eq!(statuses, [200, 429, 429, 429, 429, 429, 429, 429]);
    gateway.reaches("tollgate_limits_store_decisions_total{result=\"local\"}", 8.0);
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_store_that_is_gone_costs_no_call_and_its_return_is_noticed() {
    let (provider, mut redis) = (Provider::start(), Redis::start());
    let gateway = |fail: &str| {
        start(setup(
            &provider,
            &redis,
            &format!("{{requests_per_minute: 1, burst: 5, fail: {fail}}}"),
        ))
    };
    let (local, open, closed) = (gateway("local"), gateway("open"), gateway("closed"));
    for org in ["local", "open", "closed"] {
        closed.chat(org, "hi").ok();
    }
    local.chat("local", "hi").ok();
    redis.kill();
    let statuses = |gateway: &Gateway, org: &str| {
        (0..8).map(|_| gateway.chat(org, "hi").status).collect::<Vec<_>>()
    };
    // It knows of the one call that it let through itself, and not of the other gateway's.
    assert_eq!(statuses(&local, "local"), [200, 200, 200, 200, 429, 429, 429, 429]);
    assert_eq!(statuses(&open, "open"), [200; 8]);
    closed.chat("closed", "hi").refused(503, "overloaded");
    assert_eq!(closed.metric("tollgate_limits_store_up"), 0.0);
    redis.start_again();
    eventually("the store to be back", || {
        (closed.chat("closed", "hi").status == 200).then_some(())
    });
    // Started anew it has forgotten the scripts and what was used.
    assert_eq!(statuses(&closed, "closed")[..4], [200; 4]);
    closed.chat("closed", "hi").refused(429, "rate_limit_exceeded");
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_store_that_hangs_is_waited_for_once() {
    let (provider, redis) = (Provider::start(), Redis::start());
    let limits = "{requests_per_minute: 1, burst: 6, fail: local}";
    let gateway = start(setup(&provider, &redis, limits).setting("limits_store_timeout", "3s"));
    gateway.chat("acme", "hi").ok();
    redis.hang();
    let statuses: Vec<u16> = (0..30).map(|_| gateway.chat("acme", "hi").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5, "{statuses:?}");
    // One call waits for three seconds, not each of them.
    let rows = gateway.rows(6);
    let waited = |row: &&Row| row["latency_ms"].as_u64().unwrap() >= 3_000;
    assert_eq!(rows.iter().filter(waited).count(), 1, "{rows:?}");
    redis.go_on();
    eventually("the store to be back", || {
        (gateway.metric("tollgate_limits_store_up") == 1.0).then_some(())
    });
    gateway.chat("other", "hi").ok();
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_gateway_starts_without_its_store() {
    let (provider, mut redis) = (Provider::start(), Redis::start());
    redis.kill();
    let gateway = setup(&provider, &redis, "{requests_per_minute: 1, burst: 1}").start();
    gateway.chat("acme", "hi").ok();
    gateway.chat("acme", "hi").refused(429, "rate_limit_exceeded");
    redis.start_again();
    eventually("the store to be connected", || {
        (gateway.metric("tollgate_limits_store_up") == 1.0).then_some(())
    });
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn no_call_is_decided_before_the_store_is_reached_at_the_start() {
    let (provider, mut redis) = (Provider::start(), Redis::start());
    redis.kill();
    let limits = "{requests_per_minute: 1, burst: 60, fail: local}";
    let gateways = [(); 2].map(|()| Arc::new(setup(&provider, &redis, limits).start()));
    for gateway in &gateways {
        let ready = gateway.send("GET", "/readyz", &[], b"");
        assert_eq!((ready.status, ready.text()), (503, "waiting for the limits store\n"));
    }
    let flooding = {
        let gateways = gateways.clone();
        std::thread::spawn(move || flood(&gateways, 20, 10))
    };
    // Calls are there, and wait.
    eventually("calls in flight", || {
        let waiting = |gateway: &Arc<Gateway>| gateway.metric("tollgate_connections ");
        (gateways.iter().map(waiting).sum::<f64>() >= 20.0).then_some(())
    });
    assert!(provider.seen().is_empty());
    redis.start_again();
    let (passed, _) = flooding.join().unwrap();
    // One is gained in a minute.
    assert!((60..=61).contains(&passed), "{passed} passed");
    assert_eq!(gateways[0].operators("/readyz").status, 200);
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_store_that_is_not_reached_at_the_start_is_waited_for_within_a_bound() {
    let (provider, mut redis) = (Provider::start(), Redis::start());
    redis.kill();
    let limits = "{requests_per_minute: 600, burst: 600, fail: closed}";
    let gateway = setup(&provider, &redis, limits).start();
    // The call waits with the start, and then `fail` holds.
    assert_eq!(gateway.chat("acme", "hi").status, 503);
    assert_eq!(gateway.send("GET", "/readyz", &[], b"").status, 200);
    gateway.prints("was not reached at the start");
    assert!(provider.seen().is_empty());
}
