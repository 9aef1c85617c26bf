//! Mock provider: OpenAI's chat completions, embeddings and models, and Anthropic's messages, with
//! the same text and figures in each. One thread. Env:
//! MOCK_ADDR (127.0.0.1:9100), MOCK_CHUNKS (200), MOCK_CHUNK_DELAY_US (0),
//! MOCK_LATENCY_US (0, before the answer), MOCK_LAST=path : write the last received body there
//! (debug, slow).
//!
//! Marks in the first 8 KiB of a body say the same for one call, and survive any gateway:
//! `[[delay=N]]` N µs between events, `[[events=N]]` N events, `[[together=N]]` N events in one
//! piece, and a delay only between pieces.
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Method, Request, Response, StatusCode, header};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

struct Cfg {
    chunks: usize,
    chunk_delay: Duration,
    latency: Duration,
    chat: Bytes,
    models: Bytes,
    emb: Bytes,
    events: Events,
    message: Bytes,
    message_events: Events,
    dump: Option<String>,
}

/// The events of a stream: the one at its beginning, those that repeat, and its end.
#[derive(Clone)]
struct Events {
    first: Bytes,
    delta: Vec<Bytes>,
    last: Bytes,
}

fn env_u(name: &str, d: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(d)
}

/// Streams chunks; with no delay it yields a frame per poll, as an upstream that is always ready.
struct Sse {
    events: Events,
    i: usize,
    n: usize,
    delay: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    since_yield: u32,
    together: usize,
}

impl Events {
    /// Event number `i` of a stream of `n` and its beginning and end.
    fn at(&self, i: usize, n: usize) -> &Bytes {
        if i == 0 {
            &self.first
        } else if i <= n {
            &self.delta[i % self.delta.len()]
        } else {
            &self.last
        }
    }
}

/// The number of a mark `[[NAME=N]]` in the beginning of a body.
fn mark(head: &[u8], name: &str) -> Option<u64> {
    let start = format!("[[{name}=");
    let p = memchr::memmem::find(head, start.as_bytes())? + start.len();
    let digits = head[p..].iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0, |a, b| a * 10 + u64::from(b - b'0')))
}
impl Body for Sse {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let total = self.n + 2;
        if self.i >= total {
            return Poll::Ready(None);
        }
        if !self.delay.is_zero() && self.i > 0 {
            if self.sleep.is_none() {
                self.sleep = Some(Box::pin(tokio::time::sleep(self.delay)));
            }
            if self.sleep.as_mut().unwrap().as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        } else if self.delay.is_zero() {
            // every 16 frames give the task back so that frames reach the socket as they would live
            self.since_yield += 1;
            if self.since_yield > 16 {
                self.since_yield = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let (i, n) = (self.i, self.n);
        let to = (i + self.together).min(total);
        self.i = to;
        let b = match self.together {
            1 => self.events.at(i, n).clone(),
            _ => {
                let mut piece = BytesMut::new();
                (i..to).for_each(|i| piece.extend_from_slice(self.events.at(i, n)));
                piece.freeze()
            }
        };
        Poll::Ready(Some(Ok(Frame::data(b))))
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

type RB = BoxBody<Bytes, Infallible>;

/// "stream" : true anywhere in the first 4 KiB or last 4 KiB (no JSON parse: the mock must be
/// cheap)
fn wants_stream(parts: &[u8]) -> bool {
    let mut from = 0;
    while let Some(p) = memchr::memmem::find(&parts[from..], b"\"stream\"") {
        let mut q = from + p + 8;
        while q < parts.len() && (parts[q] == b' ' || parts[q] == b':') {
            q += 1;
        }
        if parts[q..].starts_with(b"true") {
            return true;
        }
        from = q;
    }
    false
}

async fn handle(cfg: Arc<Cfg>, req: Request<Incoming>) -> Result<Response<RB>, Infallible> {
    let path = req.uri().path().to_owned();
    let hdr_delay = req
        .headers()
        .get("x-mock-chunk-delay-us")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    let method = req.method().clone();
    let mut body = req.into_body();
    let mut head = BytesMut::new();
    let mut tail: Bytes = Bytes::new();
    let mut seen = 0usize;
    let mut all: Option<Vec<u8>> = cfg.dump.as_ref().map(|_| Vec::new());
    while let Some(f) = body.frame().await {
        let Ok(f) = f else { break };
        if let Ok(d) = f.into_data() {
            seen += d.len();
            if let Some(a) = all.as_mut() {
                a.extend_from_slice(&d);
            }
            if head.len() < 8192 {
                let n = (8192 - head.len()).min(d.len());
                head.extend_from_slice(&d[..n]);
            }
            if !d.is_empty() {
                tail = d;
            }
        }
    }
    if let (Some(a), Some(p)) = (all, cfg.dump.as_ref()) {
        let _ = std::fs::write(p, a);
    }
    if !cfg.latency.is_zero() {
        tokio::time::sleep(cfg.latency).await;
    }
    let json = |b: &Bytes| {
        Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(b.clone()).boxed())
            .unwrap()
    };
    let r = match (&method, path.as_str()) {
        (&Method::POST, p) if p.ends_with("/chat/completions") || p.ends_with("/messages") => {
            let (whole, events) = match p.ends_with("/messages") {
                true => (&cfg.message, &cfg.message_events),
                false => (&cfg.chat, &cfg.events),
            };
            let t = &tail[tail.len().saturating_sub(4096)..];
            if wants_stream(&head) || (seen > 8192 && wants_stream(t)) {
                let delay = mark(&head, "delay").or(hdr_delay);
                let delay = delay.map(Duration::from_micros).unwrap_or(cfg.chunk_delay);
                let together = mark(&head, "together").unwrap_or(1).max(1) as usize;
                Response::builder()
                    .header(header::CONTENT_TYPE, "text/event-stream")
                    .header(header::CACHE_CONTROL, "no-cache")
                    .body(
                        Sse {
                            n: mark(&head, "events").map_or(cfg.chunks, |n| n as usize),
                            events: events.clone(),
                            i: 0,
                            delay,
                            sleep: None,
                            since_yield: 0,
                            together,
                        }
                        .boxed(),
                    )
                    .unwrap()
            } else {
                json(whole)
            }
        }
        (&Method::POST, p) if p.ends_with("/embeddings") => json(&cfg.emb),
        (&Method::GET, p) if p.ends_with("/models") => json(&cfg.models),
        (&Method::GET, _) => json(&Bytes::from_static(b"{\"status\":\"ok\"}")),
        _ => Response::builder()
            .status(StatusCode::NOT_FOUND)
            .body(Full::new(Bytes::new()).boxed())
            .unwrap(),
    };
    Ok(r)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let addr: std::net::SocketAddr =
        std::env::var("MOCK_ADDR").unwrap_or("127.0.0.1:9100".into()).parse().unwrap();
    let text =
        "The quick brown fox jumps over the lazy dog while the gateway counts every token it \
            passes along. "
            .repeat(2);
    let chat = format!(
        "{{\"id\":\"chatcmpl-mock0000000000000000000001\",\"object\":\"chat.completion\",\"created\":1750000000,\"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{}\",\"refusal\":null}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":320,\"completion_tokens\":42,\"total_tokens\":362,\"prompt_tokens_details\":{{\"cached_tokens\":0,\"audio_tokens\":0}}}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock000001\"}}",
        text.trim()
    );
    let ev = |delta: &str, fin: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-mock0000000000000000000001\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_mock000001\",\"choices\":[{{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":{}}}]}}\n\n",
            delta, fin
        ))
    };
    let words = ["the ", "gateway ", "passes ", "tokens ", "along ", "one ", "by ", "one, "];
    let delta = words.iter().map(|w| ev(&format!("{{\"content\":\"{}\"}}", w), "null")).collect();
    let mut last = BytesMut::new();
    last.extend_from_slice(&ev("{}", "\"stop\""));
    last.extend_from_slice(b"data: {\"id\":\"chatcmpl-mock0000000000000000000001\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"gpt-4o-mini\",\"choices\":[],\"usage\":{\"prompt_tokens\":320,\"completion_tokens\":200,\"total_tokens\":520}}\n\ndata: [DONE]\n\n");
    let message = format!(
        "{{\"id\":\"msg_mock0000000000000000000001\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[{{\"type\":\"text\",\"text\":\"{}\"}}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{{\"input_tokens\":320,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":42,\"service_tier\":\"standard\"}}}}",
        text.trim()
    );
    let named = |data: &str| {
        let name = data.split('"').nth(3).unwrap_or_default();
        format!("event: {name}\ndata: {data}\n\n")
    };
    let message_events = Events {
        first: Bytes::from(
            named(r#"{"type":"message_start","message":{"id":"msg_mock0000000000000000000001","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":320,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}"#)
                + &named(r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#),
        ),
        delta: words
            .iter()
            .map(|word| {
                let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"WORD"}}"#;
                Bytes::from(named(&delta.replace("WORD", word)))
            })
            .collect(),
        last: Bytes::from(
            named(r#"{"type":"content_block_stop","index":0}"#)
                + &named(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":320,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":200}}"#)
                + &named(r#"{"type":"message_stop"}"#),
        ),
    };
    let emb: String = (0..256)
        .map(|i| format!("{:.6}", (i as f64 * 0.37).sin() * 0.05))
        .collect::<Vec<_>>()
        .join(",");
    let cfg = Arc::new(Cfg {
        chunks: env_u("MOCK_CHUNKS", 200) as usize,
        chunk_delay: Duration::from_micros(env_u("MOCK_CHUNK_DELAY_US", 0)),
        latency: Duration::from_micros(env_u("MOCK_LATENCY_US", 0)),
        chat: Bytes::from(chat),
        models: Bytes::from_static(b"{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1750000000,\"owned_by\":\"mock\"}]}"),
        emb: Bytes::from(format!("{{\"object\":\"list\",\"data\":[{{\"object\":\"embedding\",\"index\":0,\"embedding\":[{}]}}],\"model\":\"text-embedding-3-small\",\"usage\":{{\"prompt_tokens\":8,\"total_tokens\":8}}}}", emb)),
        events: Events {
            first: ev("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null"),
            delta,
            last: last.freeze(),
        },
        message: Bytes::from(message),
        message_events,
        dump: std::env::var("MOCK_LAST").ok(),
    });
    let s = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    s.set_reuse_address(true).unwrap();
    s.set_nonblocking(true).unwrap();
    s.bind(&addr.into()).unwrap();
    s.listen(4096).unwrap();
    let l = tokio::net::TcpListener::from_std(s.into()).unwrap();
    eprintln!("mock on {addr}");
    loop {
        let Ok((c, _)) = l.accept().await else { continue };
        let _ = c.set_nodelay(true);
        let cfg = cfg.clone();
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(
                    hyper_util::rt::TokioIo::new(c),
                    hyper::service::service_fn(move |r| handle(cfg.clone(), r)),
                )
                .await;
        });
    }
}
