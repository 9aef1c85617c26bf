//! A real ClickHouse server process beside a running gateway: stopped, killed, filled up and
//! started again.
//!
//! The server is Debian's, whose version knows no deduplication tokens; so an acknowledgement that
//! is lost with the server may leave a batch twice in the table, and it is counted by id, as its
//! engine does. That a batch is stored once where tokens are known is tested in `killed` with a
//! current engine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::between::Between;
use crate::support::load::Load;
use crate::support::server::{Server, UNKNOWN};
use crate::support::{Gateway, Provider, Setup, step, within};

/// After a failure the gateway waits for up to half a minute before it tries again.
const WITHIN: Duration = Duration::from_secs(90);

/// Between the calls of one caller: the server's troubles last for seconds.
const PAUSE: Duration = Duration::from_millis(10);

fn in_time<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(WITHIN, ask).unwrap_or_else(|| panic!("waited {WITHIN:?} for: {what}"))
}

/// How many rows there are of each request, counted once by id.
fn by_request(server: &Server) -> BTreeMap<String, usize> {
    let text =
        server.ask("SELECT request_id, count() FROM tollgate.ai_rows FINAL GROUP BY request_id");
    let line = |line: &str| {
        line.split_once('\t').map(|(id, n)| (id.to_owned(), n.parse().expect("count")))
    };
    text.lines().filter_map(line).collect()
}

/// Does the damage, waits until inserts fail with this error, helps, and waits until they do not
/// fail any more.
fn fails_and_recovers(
    gateway: &Gateway,
    reason: &str,
    damage: impl FnOnce(),
    remedy: impl FnOnce(),
) {
    let before = gateway.printed().len();
    // Behind the first line since then that holds both words.
    let behind = |from: usize, what: &str, why: &str| {
        let printed = gateway.printed();
        let mut at = from;
        for line in printed[from..].split_inclusive('\n') {
            at += line.len();
            if line.contains(what) && line.contains(why) {
                return Some(at);
            }
        }
        None
    };
    damage();
    let failed = in_time(reason, || behind(before, "the log cannot be stored", reason));
    remedy();
    in_time("rows stored again", || behind(failed, "the log is stored again", ""));
}

#[test]
#[ignore = "needs clickhouse-server; run by scripts/test"]
fn a_server_that_is_stopped_killed_and_filled_up_costs_no_call_and_no_row() {
    let server = Server::start(128);
    let between = Between::new(server.address, UNKNOWN);
    let provider = Provider::start();
    provider.always(step::as_asked("hello"));
    let mut gateway = Setup::new(&provider)
        .setting("store", "clickhouse")
        .setting("clickhouse", &format!("{{url: \"http://{}\"}}", between.address))
        .start();
    let load = Load::start(gateway.apps, 3, "first", PAUSE);
    in_time("rows", || (!by_request(&server).is_empty()).then_some(()));

    // Stopped for a while, as for an upgrade.
    let server = RefCell::new(server);
    let start_again = || {
        server.borrow_mut().start_again();
        between.towards(Some(server.borrow().address));
    };
    let stop = || {
        between.towards(None);
        server.borrow_mut().stop();
    };
    fails_and_recovers(&gateway, "ClickHouse cannot be reached", stop, || {
        load.go_on(50);
        start_again();
    });

    // Killed in the middle of whatever it does.
    load.go_on(50);
    fails_and_recovers(&gateway, "ClickHouse", || server.borrow_mut().kill(), start_again);

    // The gateway is killed while the server is away, and takes up what it left.
    server.borrow_mut().kill();
    load.go_on(50);
    gateway = gateway.kill_and_restart();
    let mut whole = load.end();
    start_again();
    let server = server.into_inner();

    // Too many parts: nothing is merged for a while.
    let load = Load::start(gateway.apps, 3, "second", PAUSE);
    let merges =
        |command: &str| drop(server.ask(&format!("SYSTEM {command} MERGES tollgate.ai_rows")));
    fails_and_recovers(&gateway, "ClickHouse error 252", || merges("STOP"), || merges("START"));

    // Not a byte left on its disk.
    if server.has_small_disk() {
        fails_and_recovers(
            &gateway,
            "ClickHouse error",
            || server.fill_disk(),
            || server.empty_disk(),
        );
    }
    load.go_on(20);
    gateway.signal(Signal::TERM);
    whole.extend(load.end());
    assert!(gateway.wait().success());

    let gateway = gateway.kill_and_restart();
    let rows = in_time("every row", || {
        let rows = by_request(&server);
        whole.iter().all(|id| rows.contains_key(id)).then_some(rows)
    });
    let twice: Vec<_> = rows.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(gateway.metric("tollgate_log_rows_total{result=\"lost\"}"), 0.0);
    assert_eq!(gateway.metric("tollgate_log_rows_total{result=\"dead_letter\"}"), 0.0);
}
