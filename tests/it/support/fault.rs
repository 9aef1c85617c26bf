//! The fault table's form: what a provider does wrong in one line, and the same three questions
//! after each.
//!
//! What the client got, what the provider saw, what the row says. Then the next good call succeeds
//! at its first attempt, the provider's connection is closed, and descriptors are as they were.

use serde_json::{Map, Value, json};

use super::step::{self, Act, Step};
use super::{Connection, Gateway, Provider, Reply, eventually, jwt, request};

/// What the client got.
pub enum Got {
    /// The gateway's own error.
    Refused(u16, &'static str),
    /// The provider's answer, whole: its status, and its body as it was sent.
    Passed(u16, String),
    /// A stream that began as it was sent and ends with the endpoint's own error event, and nothing
    /// after it.
    BrokenStream(&'static str),
    /// A head, and then a connection that is cut before the end.
    Cut,
}

/// One line of the table.
pub struct Fault {
    pub name: &'static str,
    path: &'static str,
    model: &'static str,
    stream: bool,
    script: Vec<Step>,
    got: Got,
    sees: usize,
    /// `outcome`, `status`, `attempts`, `error_code`, and how `attempts_detail` goes on after each
    /// provider's name.
    row: (&'static str, u16, u8, &'static str, &'static str),
}

pub const CHAT: &str = "/v1/chat/completions";

/// A plain call; unless told otherwise all is well, and the provider sees it once.
pub fn json_call(name: &'static str, script: impl IntoIterator<Item = Step>) -> Fault {
    Fault {
        name,
        path: CHAT,
        model: "m",
        stream: false,
        script: script.into_iter().collect(),
        got: Got::Cut,
        sees: 1,
        row: ("ok", 200, 1, "", ""),
    }
}

/// A stream.
pub fn stream(name: &'static str, script: Step) -> Fault {
    Fault { stream: true, ..json_call(name, [script]) }
}

impl Fault {
    pub fn to(mut self, model: &'static str) -> Fault {
        self.model = model;
        self
    }

    pub fn at(mut self, path: &'static str) -> Fault {
        self.path = path;
        self
    }

    pub fn refused(mut self, status: u16, code: &'static str) -> Fault {
        self.got = Got::Refused(status, code);
        self
    }

    pub fn passed(mut self, status: u16, body: impl Into<String>) -> Fault {
        self.got = Got::Passed(status, body.into());
        self
    }

    pub fn broken(mut self, code: &'static str) -> Fault {
        self.got = Got::BrokenStream(code);
        self
    }

    pub fn cut(mut self) -> Fault {
        self.got = Got::Cut;
        self
    }

    pub fn provider_sees(mut self, times: usize) -> Fault {
        self.sees = times;
        self
    }

    pub fn row(
        mut self,
        outcome: &'static str,
        status: u16,
        attempts: u8,
        code: &'static str,
        detail: &'static str,
    ) -> Fault {
        self.row = (outcome, status, attempts, code, detail);
        self
    }
}

fn body(fault: &Fault) -> String {
    // Usage is asked for by the client itself, so that every byte of a stream passes as it came.
    let mut body = json!({"model": fault.model, "stream": fault.stream, "messages": [{"role": "user", "content": "hi"}]});
    match fault.path {
        CHAT if fault.stream => body["stream_options"] = json!({"include_usage": true}),
        "/v1/responses" => body = json!({"model": fault.model, "stream": true, "input": "hi"}),
        "/v1/audio/speech" => body = json!({"model": fault.model, "input": "hi", "voice": "x"}),
        "/v1/messages" => body["max_tokens"] = json!(9),
        _ => {}
    }
    body.to_string()
}

/// A gateway and its provider, on which faults are played one after the other.
pub struct Stage<'a> {
    pub gateway: &'a Gateway,
    pub provider: &'a Provider,
    /// Descriptors of the gateway before the first fault.
    files: usize,
}

/// An idle connection more or less in the gateway's pool is no leak. The measure is that of the
/// beginning, so that a leak of one by each fault adds up.
const FILES_SPARE: usize = 3;

impl Stage<'_> {
    pub fn new<'a>(gateway: &'a Gateway, provider: &'a Provider) -> Stage<'a> {
        provider.script([step::chat_closing("hello")]);
        gateway.chat("acme", "hi").ok();
        gateway.rows(1);
        provider.take_seen();
        Stage { gateway, provider, files: gateway.open_files() }
    }

    /// Plays a fault and asks the three questions; then all is as before.
    pub fn play(&self, fault: &Fault) {
        let closed = self.provider.closed_by_peer();
        self.provider.script(fault.script.clone());
        let bearer = format!("Bearer {}", jwt("acme"));
        let headers = [("authorization", bearer.as_str()), ("x-request-id", fault.name)];
        let mut connection = Connection::open(self.gateway.apps);
        let reply =
            connection.send(&request("POST", fault.path, &headers, body(fault).as_bytes())).reply();
        drop(connection);
        assert_eq!(reply.header("x-request-id"), Some(fault.name));
        client_got(fault, &reply);
        let seen = self.provider.take_seen();
        assert_eq!(seen.len(), fault.sees, "{}: the provider saw {seen:?}", fault.name);
        assert!(
            seen.iter().all(|s| s.complete && s.body == seen[0].body),
            "{}: {seen:?}",
            fault.name
        );
        row_says(fault, &row(self.gateway, fault.name));
        // Where the provider waits for the gateway to leave, it does.
        let waits = |step: &&Step| matches!(step.last(), Some(Act::Hold | Act::Again(_)));
        let waiting = fault.script.iter().filter(waits).count();
        eventually("the provider's connection closed", || {
            (self.provider.closed_by_peer() >= closed + waiting).then_some(())
        });
        self.well_again(fault.name);
    }

    /// The next good call is answered at its first attempt, so without any wait of ours, and
    /// descriptors are as before.
    pub fn well_again(&self, after: &str) {
        // The next fault begins with a connection of its own.
        self.provider.script([step::chat_closing("hello")]);
        let reply = self.gateway.chat("acme", "hi");
        assert_eq!(
            (reply.status, reply.header("x-tollgate-attempts")),
            (200, Some("1")),
            "after {after}"
        );
        self.provider.take_seen();
        eventually(&format!("descriptors as before, after {after}"), || {
            (self.gateway.open_files() <= self.files + FILES_SPARE).then_some(())
        });
    }

    /// Nothing is at work any more.
    pub fn is_quiet(&self) {
        let in_flight = || self.gateway.metric("tollgate_requests_in_flight");
        eventually("no call in flight", || (in_flight() < 0.5).then_some(()));
    }
}

fn client_got(fault: &Fault, reply: &Reply) {
    let name = fault.name;
    let text = String::from_utf8_lossy(&reply.body);
    match &fault.got {
        Got::Refused(status, code) => {
            assert_eq!(
                (reply.status, reply.error_code().as_str()),
                (*status, *code),
                "{name}: {text}"
            );
            assert_eq!(reply.header("x-should-retry"), Some("false"), "{name}");
        }
        Got::Passed(status, body) => {
            assert_eq!(
                (reply.status, &*text, reply.complete),
                (*status, body.as_str(), true),
                "{name}"
            );
        }
        Got::BrokenStream(code) => {
            assert!(reply.status == 200 && reply.complete, "{name}: {text}");
            let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
            let told = match fault.path {
                "/v1/messages" => {
                    last.starts_with("event: error\n") && last.contains("\"type\":\"api_error\"")
                }
                "/v1/responses" => {
                    last.starts_with("event: error\n")
                        && last.contains(code)
                        && last.contains("\"sequence_number\":1")
                }
                _ => last.starts_with("data: {\"error\":") && last.contains(code),
            };
            assert!(told && !text.contains("[DONE]"), "{name}: {text}");
        }
        Got::Cut => assert!(reply.status == 200 && !reply.complete, "{name}: {text}"),
    }
}

/// The row of a request, once it is there.
pub fn row(gateway: &Gateway, id: &str) -> Map<String, Value> {
    eventually(&format!("the row of {id}"), || {
        gateway.rows(0).into_iter().find(|row| row["request_id"] == id)
    })
}

fn row_says(fault: &Fault, row: &Map<String, Value>) {
    let (outcome, status, attempts, code, detail) = fault.row;
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    // `openai 503 12ms, azure ok 8ms` without names and times.
    let words: Vec<String> = text("attempts_detail")
        .split(", ")
        .map(|part| part.split(' ').nth(1).unwrap_or_default().to_owned())
        .collect();
    let said = (
        text("outcome"),
        row["status"].clone(),
        row["attempts"].clone(),
        text("error_code"),
        words.join(", "),
    );
    let expected =
        (outcome.to_owned(), json!(status), json!(attempts), code.to_owned(), detail.to_owned());
    assert_eq!(said, expected, "{}: {row:?}", fault.name);
    assert!(row["attempts"].as_u64().is_some_and(|attempts| attempts <= 3), "{}", fault.name);
}
