//! Callers that call until their gateway is gone, JSON and streams mixed, and remember which
//! answers they saw whole.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Connection, chat, eventually, jwt, request};

/// Callers at work.
pub struct Load {
    callers: Vec<JoinHandle<()>>,
    /// `x-request-id` of each call whose answer was whole.
    whole: Arc<Mutex<Vec<String>>>,
}

impl Load {
    /// Lets `callers` call, every second one for streams. Each keeps its connection and stops when
    /// that breaks, so that no call can go to another process that was given the same port. Between
    /// two calls it pauses.
    pub fn start(gateway: SocketAddr, callers: usize, name: &str, pause: Duration) -> Load {
        let whole = Arc::new(Mutex::new(vec![]));
        let callers = (0..callers).map(|caller| {
            let (whole, name, mut connection) =
                (Arc::clone(&whole), format!("{name}-{caller}"), Connection::open(gateway));
            std::thread::spawn(move || {
                for n in 0.. {
                    let id = format!("{name}-{n}");
                    if call(&mut connection, caller % 2 == 1, &id).is_none() {
                        return;
                    }
                    whole.lock().unwrap().push(id);
                    std::thread::sleep(pause);
                }
            })
        });
        Load { callers: callers.collect(), whole }
    }

    /// How many answers were whole so far.
    pub fn count(&self) -> usize {
        self.whole.lock().unwrap().len()
    }

    /// Waits for so many more whole answers.
    pub fn go_on(&self, more: usize) {
        let enough = self.count() + more;
        eventually("whole answers", || (self.count() >= enough).then_some(()));
    }

    /// Waits until every caller has lost its gateway; the ids of the whole answers.
    pub fn end(self) -> Vec<String> {
        for caller in self.callers {
            caller.join().expect("a caller");
        }
        std::mem::take(&mut self.whole.lock().unwrap())
    }
}

/// One call; nothing if its answer did not come whole. A stream is whole when its last event is
/// there.
fn call(connection: &mut Connection, stream: bool, id: &str) -> Option<()> {
    let mut body = chat("hi");
    body["stream"] = stream.into();
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("x-request-id", id)];
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &headers,
        body.to_string().as_bytes(),
    ));
    let mut reply = connection.head()?;
    connection.body(&mut reply);
    assert_eq!(reply.status, 200, "{:?}", reply.headers);
    let whole = if stream { reply.body.ends_with(b"data: [DONE]\n\n") } else { reply.complete };
    whole.then_some(())
}
