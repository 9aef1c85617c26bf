//! A collector of traces: a scripted provider whose requests are read as OTLP, by a reader that
//! shares nothing with the gateway's writer.

use std::io::Read;
use std::net::SocketAddr;

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use super::step::{self, Step};
use super::{Provider, eventually};

/// One span as it came.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent: String,
    pub state: String,
    pub name: String,
    pub kind: u64,
    pub start: u64,
    pub end: u64,
    pub attributes: Map<String, Value>,
    /// 2: an error.
    pub status: u64,
    pub flags: u64,
}

impl Span {
    pub fn is_server(&self) -> bool {
        self.kind == 2
    }

    pub fn get(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }
}

/// A request as it came, unpacked.
pub struct Export {
    pub resource: Map<String, Value>,
    pub schema_url: String,
    pub spans: Vec<Span>,
    pub body: Vec<u8>,
}

pub struct Collector {
    provider: Provider,
}

impl Collector {
    /// Takes everything, unless told otherwise.
    pub fn start() -> Collector {
        let provider = Provider::start();
        provider.always(answer(200, b""));
        Collector { provider }
    }

    pub fn address(&self) -> SocketAddr {
        self.provider.address
    }

    /// The value of `telemetry` for a gateway, with more keys of `otlp`.
    pub fn setting(&self, more: &str) -> String {
        format!("{{otlp: {{endpoint: \"http://{}\"{more}}}}}", self.address())
    }

    /// What to answer to the next requests; then the default again.
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.provider.script(steps);
    }

    pub fn always(&self, step: Step) {
        self.provider.always(step);
    }

    /// The requests so far, whatever was answered to them.
    pub fn requests(&self) -> usize {
        self.provider.seen().len()
    }

    pub fn exports(&self) -> Vec<Export> {
        let seen = self.provider.seen();
        let complete = seen.iter().filter(|seen| seen.complete);
        complete
            .map(|seen| {
                assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/traces"));
                assert_eq!(seen.header("content-type"), Some("application/x-protobuf"));
                assert_eq!(seen.header("content-encoding"), Some("gzip"));
                export(&seen.body)
            })
            .collect()
    }

    /// The value of a header of the first request.
    pub fn header(&self, name: &str) -> Option<String> {
        self.provider.seen().first()?.header(name).map(str::to_owned)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.exports().into_iter().flat_map(|export| export.spans).collect()
    }

    /// The spans, once there are so many.
    pub fn wait_for(&self, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans at the collector"), || {
            Some(self.spans()).filter(|spans| spans.len() >= count)
        })
    }
}

/// An answer of a collector.
pub fn answer(status: u16, body: &[u8]) -> Step {
    step::with_headers(status, &[("content-type", "application/x-protobuf")], body)
}

fn export(packed: &[u8]) -> Export {
    let mut body = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut body).expect("gzip");
    let mut export = Export {
        resource: Map::new(),
        schema_url: String::new(),
        spans: Vec::new(),
        body: Vec::new(),
    };
    for resource_spans in all(&body, 1) {
        for resource in all(resource_spans, 1) {
            export.resource.extend(attributes(resource, 1));
        }
        for scope_spans in all(resource_spans, 2) {
            export.schema_url = all(scope_spans, 3).map(text).collect();
            export.spans.extend(all(scope_spans, 2).map(span));
        }
    }
    export.body = body;
    export
}

fn span(bytes: &[u8]) -> Span {
    let mut span = Span { attributes: attributes(bytes, 9), ..Span::default() };
    for (number, value) in fields(bytes) {
        match (number, value) {
            (1, Part::Bytes(id)) => span.trace_id = hex(id),
            (2, Part::Bytes(id)) => span.span_id = hex(id),
            (3, Part::Bytes(state)) => span.state = text(state),
            (4, Part::Bytes(id)) => span.parent = hex(id),
            (5, Part::Bytes(name)) => span.name = text(name),
            (6, Part::Number(kind)) => span.kind = kind,
            (7, Part::Number(start)) => span.start = start,
            (8, Part::Number(end)) => span.end = end,
            (9, _) => {}
            (15, Part::Bytes(status)) => {
                for (number, value) in fields(status) {
                    if let (3, Part::Number(code)) = (number, value) {
                        span.status = code;
                    }
                }
            }
            (16, Part::Number(flags)) => span.flags = flags,
            (number, _) => panic!("field {number} of a span"),
        }
    }
    assert!(span.trace_id.len() == 32 && span.span_id.len() == 16 && span.end >= span.start);
    span
}

fn attributes(bytes: &[u8], number: u64) -> Map<String, Value> {
    all(bytes, number).map(|pair| (all(pair, 1).map(text).collect(), value_of(pair, 2))).collect()
}

fn value_of(bytes: &[u8], number: u64) -> Value {
    any(all(bytes, number).next().expect("a value"))
}

fn any(bytes: &[u8]) -> Value {
    let Some((number, value)) = fields(bytes).into_iter().next() else { return Value::Null };
    match (number, value) {
        (1, Part::Bytes(bytes)) => json!(text(bytes)),
        (2, Part::Number(is)) => json!(is == 1),
        (3, Part::Number(n)) => json!(n),
        (4, Part::Number(bits)) => json!(f64::from_bits(bits)),
        (5, Part::Bytes(list)) => all(list, 1).map(any).collect(),
        (6, Part::Bytes(map)) => attributes(map, 1).into(),
        other => panic!("{other:?}"),
    }
}

#[derive(Debug)]
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn all(bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(bytes).into_iter().filter_map(move |(n, value)| match value {
        Part::Bytes(bytes) if n == number => Some(bytes),
        _ => None,
    })
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Part<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Part::Number(varint(&mut bytes)),
            1 => Part::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Part::Bytes(take(&mut bytes, length))
            }
            5 => {
                Part::Number(u64::from(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())))
            }
            wire => panic!("wire type {wire}"),
        };
        all.push((tag >> 3, value));
    }
    all
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut n, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        n |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return n;
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
