//! Limits in a Redis cluster, with sentinels, behind TLS and with users: real servers, of which
//! masters are killed, hang, and are replaced while calls run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::limits_user::documented_user;
use crate::support::redis_set::{RedisCluster, RedisNode, RedisSentinels, free_port};
use crate::support::{Gateway, Provider, Setup, eventually, secure, within};

/// Callers of each load: so many calls may be under way when a master dies.
const CALLERS: usize = 8;
/// Calls of the burst, and one percent of it, which may be leased.
const LIMIT: usize = 600;
const LEASED: usize = 6;
/// One call is gained a minute.
const GAINED: usize = 2;
const LIMITS: &str = "{requests_per_minute: 1, burst: 600, fail: closed, lease_percent: 1}";
/// The time to be back after another server was promoted.
const BACK: Duration = Duration::from_secs(2);

pub(super) fn setup(provider: &Provider, store: &str, limits: &str) -> Setup {
    Setup::new(provider)
        .setting("limits_store", store)
        .setting("limits_store_timeout", "2s")
        .section("limits", limits)
}

pub(super) fn start(setup: Setup) -> Arc<Gateway> {
    let gateway = setup.start();
    eventually("the store to be connected", || {
        (gateway.metric("tollgate_limits_store_up") == 1.0).then_some(())
    });
    Arc::new(gateway)
}

/// Callers of one organisation, who go on until they are stopped.
struct Load {
    org: String,
    gateways: Vec<Arc<Gateway>>,
    stop: Arc<AtomicBool>,
    /// Calls with 200, with 429, with any other status.
    counts: Arc<[AtomicUsize; 3]>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(gateways: &[Arc<Gateway>], org: &str, callers: usize) -> Load {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::<[AtomicUsize; 3]>::default());
        let caller = |number: usize| {
            let gateway = Arc::clone(&gateways[number % gateways.len()]);
            let (stop, counts, org) = (Arc::clone(&stop), Arc::clone(&counts), org.to_owned());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let kind = match gateway.chat(&org, "hi").status {
                        200 => 0,
                        429 => 1,
                        _ => 2,
                    };
                    counts[kind].fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let callers = (0..callers).map(caller).collect();
        Load { org: org.to_owned(), gateways: gateways.to_vec(), stop, counts, callers }
    }

    fn count(&self, kind: usize) -> usize {
        self.counts[kind].load(Ordering::Relaxed)
    }

    fn wait_for(&self, passed: usize) {
        eventually("calls that pass", || (self.count(0) >= passed).then_some(()));
    }

    /// Every gateway decides again, within two seconds from now.
    fn is_back(&self) {
        for gateway in &self.gateways {
            let back = within(BACK, || {
                let status = gateway.chat(&self.org, "hi").status;
                if status == 200 {
                    self.counts[0].fetch_add(1, Ordering::Relaxed);
                }
                (status != 503).then_some(())
            });
            assert!(back.is_some(), "{}", gateway.printed());
        }
    }

    /// Waits until the limit is used up, and ends. Calls with 200, and those with neither 200 nor
    /// 429.
    fn end(self) -> (usize, usize) {
        let before = self.count(1);
        eventually("the limit to be used up", || (self.count(1) > before + 50).then_some(()));
        self.stop.store(true, Ordering::Relaxed);
        let (counts, callers) = (self.counts, self.callers);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let count = |kind: usize| counts[kind].load(Ordering::Relaxed);
        (count(0), count(2))
    }
}

/// The limit is kept up to leases and calls under way; and it is used.
fn is_kept(passed: usize, more: usize) {
    let most = LIMIT + LEASED + GAINED + CALLERS + more;
    assert!((LIMIT - 3 * CALLERS..=most).contains(&passed), "{passed} passed of {most}");
}

fn cluster_setting(cluster: &RedisCluster) -> String {
    // One of the nodes is enough to find the others.
    format!("{{redis: {{mode: cluster, urls: [\"{}\"]}}}}", cluster.masters[2].url())
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_master_of_a_cluster_dies_and_the_others_go_on() {
    let (provider, mut cluster) = (Provider::start(), RedisCluster::start());
    let (store, orgs) = (cluster_setting(&cluster), [cluster.org_of(0), cluster.org_of(1)]);
    let gateways = [(); 2].map(|()| start(setup(&provider, &store, LIMITS)));
    let load = Load::start(&gateways, &orgs[0], CALLERS);
    let other = Load::start(&gateways, &orgs[1], 2);
    load.wait_for(100);
    cluster.masters[0].kill();
    eventually("the store to be away", || {
        (gateways[0].metric("tollgate_limits_store_up") == 0.0).then_some(())
    });
    eventually("the replica to be promoted", || cluster.replica.is_master().then_some(()));
    load.is_back();
    eventually("all slots to have a server", || {
        let up = |gateway: &Arc<Gateway>| gateway.metric("tollgate_limits_store_up") == 1.0;
        gateways.iter().all(up).then_some(())
    });
    let (passed, _) = load.end();
    is_kept(passed, 0);
    // Its master lives: none of its calls was refused because of another one.
    let (passed, refused) = other.end();
    assert_eq!(refused, 0);
    is_kept(passed, 0);
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn slots_that_move_cost_no_call() {
    let (provider, cluster) = (Provider::start(), RedisCluster::start());
    let (store, org) = (cluster_setting(&cluster), cluster.org_of(1));
    let gateways = [(); 2].map(|()| start(setup(&provider, &store, LIMITS)));
    let load = Load::start(&gateways, &org, CALLERS);
    load.wait_for(100);
    let ids: Vec<String> =
        cluster.masters.iter().map(|node| node.ask(&["CLUSTER", "MYID"])).collect();
    let slot = cluster.masters[0].ask::<u16>(&["CLUSTER", "KEYSLOT", &org]).to_string();
    let [from, to] = [&cluster.masters[1], &cluster.masters[2]];
    to.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[1]]);
    from.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[2]]);
    let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    assert!(!keys.is_empty());
    for key in &keys {
        from.ask::<String>(&["MIGRATE", "127.0.0.1", &to.port.to_string(), key, "0", "5000"]);
    }
    for node in [to, from, &cluster.masters[0]] {
        node.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[2]]);
    }
    let (passed, refused) = load.end();
    assert_eq!(refused, 0, "{}", gateways[0].printed());
    is_kept(passed, 0);
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn settlements_of_many_organisations_reach_all_masters() {
    let (provider, cluster) = (Provider::start(), RedisCluster::start());
    let limits = "{requests_per_minute: 1000, burst: 1000, fail: closed, calls_in_flight: 1, \
                  tokens_per_minute: 100000}";
    let gateway = start(setup(&provider, &cluster_setting(&cluster), limits));
    let orgs: Vec<String> = (0..30).map(|number| format!("org{number}")).collect();
    // Each has one place, which is free again only when the settlement has arrived.
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for org in &orgs {
                let gateway = &gateway;
                scope.spawn(move || {
                    eventually("the place to be free", || {
                        (gateway.chat(org, "hi").status == 200).then_some(())
                    });
                });
            }
        });
    }
    let lost = "tollgate_bounds_reached_total{bound=\"limits_settlements\"}";
    assert_eq!(gateway.metric(lost), 0.0);
    assert_eq!(gateway.metric("tollgate_limits_store_up"), 1.0);
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn sentinels_name_another_master_when_one_dies_or_hangs() {
    for hangs in [false, true] {
        let (provider, mut set) = (Provider::start(), RedisSentinels::start());
        let gateways = [(); 2].map(|()| start(setup(&provider, &set.setting(), LIMITS)));
        let load = Load::start(&gateways, "acme", CALLERS);
        load.wait_for(100);
        if hangs {
            set.master.hang();
        } else {
            set.master.kill();
        }
        eventually("the sentinels to name the replica", || {
            (set.told() == set.replica.port && set.replica.is_master()).then_some(())
        });
        load.is_back();
        let (passed, _) = load.end();
        is_kept(passed, 0);
    }
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_planned_switch_leaves_the_old_master_at_once() {
    let (provider, set) = (Provider::start(), RedisSentinels::start());
    let gateways = [(); 2].map(|()| start(setup(&provider, &set.setting(), LIMITS)));
    let load = Load::start(&gateways, "acme", CALLERS);
    load.wait_for(100);
    set.sentinels[0].ask::<()>(&["SENTINEL", "FAILOVER", "mymaster"]);
    eventually("the sentinels to name the replica", || {
        (set.told() == set.replica.port).then_some(())
    });
    load.is_back();
    let (passed, _) = load.end();
    // The old master may have counted for half a second what the new one does not know.
    is_kept(passed, LIMIT / 10);
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn a_user_with_the_documented_rights_is_enough_and_refusals_are_told_once() {
    let provider = Provider::start();
    let rule = documented_user("user gateway on");
    let redis = RedisNode::start(&format!("{rule}\n"), "");
    let store = |password: &str| {
        format!(
            "{{redis: {{urls: [\"{}\"], username: gateway, password: {password}}}}}",
            redis.url()
        )
    };
    let limits = "{requests_per_minute: 60000, burst: 60000, fail: closed, lease_percent: 1, \
                  orgs: {strict: {strict: true, lease_percent: 0, requests_per_minute: 100, \
                  burst: 100}, \
                  full: {calls_in_flight: 10, tokens_per_minute: 100000, usd_per_day: 5, \
                  usd_per_month: 50}}}";
    let gateway = start(setup(&provider, &store("change-me"), limits));
    for org in ["acme", "strict", "full", "full"] {
        gateway.chat(org, "hi").ok();
    }
    // The user loses a right, and gets it back: it is told once, and the server is not away.
    redis.ask::<()>(&["ACL", "SETUSER", "gateway", "-evalsha", "-eval"]);
    for _ in 0..5 {
        gateway.chat("full", "hi").refused(503, "overloaded");
    }
    let told = |gateway: &Gateway, words: &str| gateway.printed().matches(words).count();
    assert_eq!(told(&gateway, "refuses the user `gateway`: NOPERM"), 1, "{}", gateway.printed());
    assert_eq!(gateway.metric("tollgate_limits_store_up"), 1.0);
    redis.ask::<()>(&["ACL", "SETUSER", "gateway", "+@scripting"]);
    gateway.chat("full", "hi").ok();

    let wrong = setup(&provider, &store("another"), limits).start();
    let connections = || -> usize {
        redis.info("stats", "total_connections_received").parse().unwrap_or_default()
    };
    let before = connections();
    eventually("several trials", || (connections() > before + 20).then_some(()));
    assert_eq!(told(&wrong, "refuses the user `gateway`: WRONGPASS"), 1, "{}", wrong.printed());
    assert!(!wrong.printed().contains("another"), "{}", wrong.printed());
}

#[test]
#[ignore = "needs Valkey; run by scripts/test"]
fn valkey_keeps_limits_of_two_gateways_with_the_documented_rights() {
    let provider = Provider::start();
    let rule = documented_user("user gateway on");
    let valkey = RedisNode::valkey(&format!("{rule}\n"), "");
    assert_eq!(valkey.info("server", "server_name"), "valkey");
    let store = format!(
        "{{redis: {{urls: [\"{}\"], username: gateway, password: change-me}}}}",
        valkey.url()
    );
    let limits = "{requests_per_minute: 1, burst: 600, fail: closed, lease_percent: 1, orgs: {full: \
                  {calls_in_flight: 10, tokens_per_minute: 100000, usd_per_day: 5}}}";
    let gateways = [(); 2].map(|()| start(setup(&provider, &store, limits)));
    for gateway in &gateways {
        gateway.chat("full", "hi").ok();
    }
    let load = Load::start(&gateways, "acme", CALLERS);
    load.wait_for(100);
    let (passed, refused) = load.end();
    assert_eq!(refused, 0, "{}", gateways[0].printed());
    is_kept(passed, 0);
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn tls_takes_an_authority_and_shows_a_certificate() {
    let provider = Provider::start();
    let port = free_port();
    let path = |name: &str| secure::file(name).display().to_string();
    let lines = format!(
        "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
         tls-auth-clients yes\n",
        path("provider.pem"),
        path("provider.key"),
        path("ca.pem")
    );
    let redis = RedisNode::start(&lines, "");
    let store =
        |files: &str| format!("{{redis: {{urls: [\"rediss://127.0.0.1:{port}\"]{files}}}}}");
    let authority = format!(", ca_file: \"{}\"", path("provider-ca.pem"));
    let both = format!(
        "{authority}, client_cert_file: \"{}\", client_key_file: \"{}\"",
        path("client.pem"),
        path("client.key")
    );
    let gateway = start(setup(&provider, &store(&both), LIMITS));
    gateway.chat("acme", "hi").ok();
    assert!(redis.ask::<u64>(&["EXISTS", "tollgate:{acme}:o:r"]) == 1);
    // An unknown authority, and no certificate of the gateway's own.
    for (files, words) in
        [("", "CN=Tollgate test CA of providers"), (authority.as_str(), "ertificate")]
    {
        let refused = setup(&provider, &store(files), LIMITS).start();
        eventually("the reason", || refused.printed().contains(words).then_some(()));
        assert_eq!(refused.metric("tollgate_limits_store_up"), 0.0);
    }
}
