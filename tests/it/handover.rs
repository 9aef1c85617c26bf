//! One process ends and another takes over its socket: no connection is refused, no call is lost.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Provider, Setup, chat, eventually, jwt, post, request, step};

/// Calls on new connections, from a few threads, while `change` is at work. Every one has to be
/// answered.
fn under_load<T>(at: std::net::SocketAddr, change: impl FnOnce(&AtomicUsize) -> T) -> (T, usize) {
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let changed = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    post(at, "/v1/chat/completions", &jwt("acme"), &chat("hi")).ok();
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let changed = change(&answered);
        over.store(true, Ordering::SeqCst);
        changed
    });
    (changed, answered.into_inner())
}

fn more(answered: &AtomicUsize) {
    let before = answered.load(Ordering::SeqCst);
    eventually("more calls", || (answered.load(Ordering::SeqCst) >= before + 20).then_some(()));
}

#[test]
fn the_next_process_on_the_same_folder_refuses_nobody() {
    let provider = Provider::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Setup::new(&provider).socket(&socket).start();
    assert_eq!(gateway.apps, socket.local_addr().unwrap());
    let ((mut gateway, rounds), answered) = under_load(gateway.apps, |answered| {
        let mut gateway = gateway;
        for _ in 0..3 {
            more(answered);
            // Its log is whole when it has ended; until the next one is there connections wait in
            // the socket's queue.
            gateway.stop();
            gateway = gateway.start_again();
        }
        more(answered);
        (gateway, 3)
    });
    assert_eq!(
        (gateway.stop().len(), rounds),
        (answered, 3),
        "every call that was answered has its row"
    );
}

#[test]
fn the_next_process_may_begin_before_the_former_ends() {
    let provider = Provider::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || Setup::new(&provider).socket(&socket).start();
    let first = start();
    let (gateways, answered) = under_load(first.apps, |answered| {
        let mut gateways = vec![first];
        for _ in 0..3 {
            more(answered);
            gateways.push(start());
            let former = gateways.len() - 2;
            gateways[former].signal(Signal::TERM);
            more(answered);
            assert!(gateways[former].wait().success());
        }
        gateways
    });
    let rows: usize = gateways
        .into_iter()
        .enumerate()
        .map(|(n, mut gateway)| if n == 3 { gateway.stop().len() } else { gateway.rows(0).len() })
        .sum();
    assert_eq!(rows, answered);
}

#[test]
fn a_second_signal_ends_open_streams_at_once() {
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider).setting("shutdown_grace", "10m").start();
    let mut open = step::sse_open(&step::chat_events(&["first "], true)[..2]);
    open.push(step::Act::Hold);
    provider.script([open]);
    let mut body = chat("hi");
    body["stream"] = json!(true);
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.to_string().as_bytes(),
    ));
    connection.head().unwrap();
    connection.chunks_until("first ");
    gateway.signal(Signal::TERM);
    eventually("the listener closed", || {
        std::net::TcpStream::connect(gateway.apps).is_err().then_some(())
    });
    gateway.signal(Signal::TERM);
    let status = gateway.wait();
    assert!(status.success(), "{status}");
    let row = gateway.only_row();
    assert_eq!(
        (&row["outcome"], &row["response_bytes"].as_u64().map(|n| n > 0)),
        (&json!("refused"), &Some(true)),
        "{row:?}"
    );
}
