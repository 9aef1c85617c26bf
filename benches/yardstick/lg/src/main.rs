//! lg: one-thread epoll HTTP/1.1 load generator. Closed loop (--rate 0) or open loop at a constant
//! rate. Prints one JSON line.
//!
//! Guarantees of the open loop: every connection has a fixed schedule, latency counts from the
//! scheduled instant, and every call that was due before the end counts, however late it is sent and
//! answered, so that a stall is not hidden (no coordinated omission). Calls that have no answer when
//! the grace is over are counted as `unanswered` in `errors`, with the latency that they had until
//! then.
//!
//! Does not: speak TLS or HTTP/2, or load anything but loopback.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

struct Conn {
    s: Option<TcpStream>,
    out: usize, // bytes of the request already written
    inflight: bool,
    sched: Instant,   // intended start
    sent_at: Instant, // real start
    next: Instant,    // next intended start (constant rate)
    buf: Vec<u8>,     // header bytes until \r\n\r\n
    in_body: bool,
    status: u16,
    left: u64, // content-length left
    chunked: bool,
    until_close: bool,
    close_after: bool,
    ck: Ck,
    events: u64,
    tail: [u8; 8], // last bytes seen, to find events split over reads
    tail_n: usize,
    first: Option<Instant>,
    bytes: u64,
    reqs: u64,
    want_out: bool,
    backoff: Option<Instant>,
    own: Vec<u8>, // the request, if each has a header of its own
}
#[derive(Clone, Copy, PartialEq)]
enum Ck {
    Size(u64, bool),
    Data(u64),
    Crlf(u8),
    Trailer(u8),
}

fn arg(a: &[String], k: &str) -> Option<String> {
    a.iter().position(|x| x == k).and_then(|i| a.get(i + 1).cloned())
}

fn pct(v: &[u32], p: f64) -> f64 {
    if v.is_empty() {
        return 0.0;
    }
    let i = ((v.len() as f64 * p).ceil() as usize).clamp(1, v.len()) - 1;
    v[i] as f64 / 10.0
}

struct G {
    req: Vec<u8>,
    lines: Vec<Vec<u8>>, // headers of which each request has the next one
    head_bytes: usize,   // where they are put in
    addr: SocketAddr,
    ep: i32,
    count_from: Instant,
    lat: Vec<u32>, // tenths of a µs, from schedule
    svc: Vec<u32>, // from real send
    ttfb: Vec<u32>,
    status: BTreeMap<u16, u64>,
    errs: BTreeMap<&'static str, u64>,
    done: u64,
    events: u64,
    bytes: u64,
    stop_at: Instant,
    rate: f64,
    period: Duration,
    sample: Vec<u8>,
    requests_limit: u64,
    issued: u64,
    all: u64,
    all_events: u64,
}

fn d10(d: Duration) -> u32 {
    (d.as_nanos() / 100).min(u32::MAX as u128) as u32
}

impl G {
    fn err(&mut self, e: &'static str) {
        *self.errs.entry(e).or_insert(0) += 1;
    }

    fn connect(&mut self, c: &mut Conn, i: usize) {
        match TcpStream::connect(self.addr) {
            Ok(s) => {
                s.set_nodelay(true).unwrap();
                s.set_nonblocking(true).unwrap();
                let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: i as u64 };
                unsafe { libc::epoll_ctl(self.ep, libc::EPOLL_CTL_ADD, s.as_raw_fd(), &mut ev) };
                c.s = Some(s);
                c.want_out = false;
            }
            Err(_) => {
                self.err("connect");
                c.backoff = Some(Instant::now() + Duration::from_millis(50));
            }
        }
    }
    fn reset(&mut self, c: &mut Conn) {
        c.s = None;
        c.inflight = false;
        c.in_body = false;
        c.buf.clear();
        c.reqs = 0;
    }
    fn want(&self, c: &mut Conn, i: usize, out: bool) {
        if c.want_out != out {
            c.want_out = out;
            let mut ev = libc::epoll_event {
                events: (libc::EPOLLIN | if out { libc::EPOLLOUT } else { 0 }) as u32,
                u64: i as u64,
            };
            if let Some(s) = &c.s {
                unsafe { libc::epoll_ctl(self.ep, libc::EPOLL_CTL_MOD, s.as_raw_fd(), &mut ev) };
            }
        }
    }
    fn start(&mut self, c: &mut Conn, i: usize, now: Instant) {
        if c.s.is_none() {
            self.connect(c, i);
            if c.s.is_none() {
                return;
            }
        }
        c.sched = if self.rate > 0.0 { c.next } else { now };
        if self.rate > 0.0 {
            c.next += self.period;
        }
        c.sent_at = now;
        c.out = 0;
        c.inflight = true;
        c.in_body = false;
        c.buf.clear();
        c.events = 0;
        c.tail_n = 0;
        c.first = None;
        c.bytes = 0;
        if !self.lines.is_empty() {
            c.own.clear();
            c.own.extend_from_slice(&self.req[..self.head_bytes]);
            c.own.extend_from_slice(&self.lines[self.issued as usize % self.lines.len()]);
            c.own.extend_from_slice(b"\r\n");
            c.own.extend_from_slice(&self.req[self.head_bytes..]);
        }
        self.issued += 1;
        self.push(c, i);
    }
    fn bytes_of<'a>(&'a self, c: &'a Conn) -> &'a [u8] {
        if self.lines.is_empty() { &self.req } else { &c.own }
    }
    fn push(&mut self, c: &mut Conn, i: usize) {
        while c.out < self.bytes_of(c).len() {
            let r = (&mut c.s.as_ref().unwrap()).write(&self.bytes_of(c)[c.out..]);
            match r {
                Ok(n) => c.out += n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    self.want(c, i, true);
                    return;
                }
                Err(_) => {
                    self.want(c, i, false);
                    self.werr(c);
                    return;
                }
            }
        }
        self.want(c, i, false);
    }
    fn werr(&mut self, c: &mut Conn) {
        // the server closed while we were sending: there may be an answer (413) to read still
        c.out = self.bytes_of(c).len();
        c.close_after = true;
        self.err("write_reset");
    }
    fn finish(&mut self, c: &mut Conn) {
        let now = Instant::now();
        c.inflight = false;
        c.in_body = false;
        c.reqs += 1;
        self.all += 1;
        self.all_events += c.events;
        // In an open loop a call counts by the instant at which it was due, or a stall at the end
        // would be left out.
        let in_time = self.rate > 0.0 || now <= self.stop_at;
        if c.sched >= self.count_from && in_time {
            self.lat.push(d10(now.saturating_duration_since(c.sched)));
            self.svc.push(d10(now - c.sent_at));
            if let Some(f) = c.first {
                self.ttfb.push(d10(f.saturating_duration_since(if self.rate > 0.0 {
                    c.sched
                } else {
                    c.sent_at
                })));
            }
        }
        if (self.rate > 0.0 && c.sched >= self.count_from)
            || (self.rate == 0.0 && now >= self.count_from && now <= self.stop_at)
        {
            *self.status.entry(c.status).or_insert(0) += 1;
            self.done += 1;
            self.events += c.events;
            self.bytes += c.bytes;
        }
        if c.close_after || c.out < self.bytes_of(c).len() {
            self.reset(c);
        }
    }
    /// Open loop: calls that were due and have no answer take at least as long as they have waited.
    fn count_unanswered(&mut self, cs: &[Conn]) {
        if self.rate == 0.0 || self.requests_limit != u64::MAX {
            return;
        }
        let now = Instant::now();
        for c in cs {
            let mut next = if c.inflight { c.sched } else { c.next };
            while next < self.stop_at {
                if next >= self.count_from {
                    self.lat.push(d10(now.saturating_duration_since(next)));
                    self.err("unanswered");
                }
                next += self.period;
            }
        }
    }
    fn count_events(&mut self, c: &mut Conn, d: &[u8]) {
        // "data: {" counts an SSE event; handle a split over reads with a small tail
        let pat = b"data: {";
        if c.tail_n > 0 {
            let mut t = [0u8; 14];
            let n = c.tail_n;
            t[..n].copy_from_slice(&c.tail[..n]);
            let m = d.len().min(6);
            t[n..n + m].copy_from_slice(&d[..m]);
            c.events += memchr::memmem::find_iter(&t[..n + m], pat).count() as u64;
        }
        c.events += memchr::memmem::find_iter(d, pat).count() as u64;
        if d.len() >= 6 {
            c.tail[..6].copy_from_slice(&d[d.len() - 6..]);
            c.tail_n = 6;
        } else {
            let keep = (6 - d.len()).min(c.tail_n);
            let mut t = [0u8; 8];
            t[..keep].copy_from_slice(&c.tail[c.tail_n - keep..c.tail_n]);
            t[keep..keep + d.len()].copy_from_slice(d);
            c.tail = t;
            c.tail_n = keep + d.len();
        }
    }
    fn body(&mut self, c: &mut Conn, d: &[u8], sse: bool) {
        c.bytes += d.len() as u64;
        if sse {
            self.count_events(c, d);
        }
        if self.sample.len() < 4000 && self.all == 0 {
            let n = d.len().min(4000 - self.sample.len());
            self.sample.extend_from_slice(&d[..n]);
        }
    }
    /// Returns false when the connection must be read no further.
    fn feed(&mut self, c: &mut Conn, mut d: &[u8], sse: bool) {
        while !d.is_empty() {
            if !c.inflight {
                self.err("unsolicited");
                self.reset(c);
                return;
            }
            if !c.in_body {
                c.buf.extend_from_slice(d);
                let Some(p) = memchr::memmem::find(&c.buf, b"\r\n\r\n") else { return };
                let used = p + 4 - (c.buf.len() - d.len());
                d = &d[used..];
                let head = std::mem::take(&mut c.buf);
                let h = &head[..p + 2];
                c.status = std::str::from_utf8(h.get(9..12).unwrap_or(b"0"))
                    .ok()
                    .and_then(|x| x.parse().ok())
                    .unwrap_or(0);
                if c.status == 100 {
                    continue;
                }
                c.left = 0;
                c.chunked = false;
                c.until_close = true;
                for l in h.split(|b| *b == b'\n').skip(1) {
                    let Some(k) = memchr::memchr(b':', l) else { continue };
                    let (k, v) = (&l[..k], std::str::from_utf8(&l[k + 1..]).unwrap_or("").trim());
                    if k.eq_ignore_ascii_case(b"content-length") {
                        c.left = v.parse().unwrap_or(0);
                        c.until_close = false;
                    } else if k.eq_ignore_ascii_case(b"transfer-encoding") && v.contains("chunked")
                    {
                        c.chunked = true;
                        c.until_close = false;
                        c.ck = Ck::Size(0, false);
                    } else if k.eq_ignore_ascii_case(b"connection")
                        && v.eq_ignore_ascii_case("close")
                    {
                        c.close_after = true;
                    }
                }
                c.in_body = true;
                if self.sample.is_empty() {
                    self.sample.extend_from_slice(h);
                    self.sample.extend_from_slice(b"\r\n");
                }
                if !c.chunked && !c.until_close && c.left == 0 {
                    self.finish(c);
                    if c.s.is_none() {
                        return;
                    }
                }
                continue;
            }
            if c.first.is_none() {
                c.first = Some(Instant::now());
            }
            if c.until_close {
                self.body(c, d, sse);
                return;
            }
            if !c.chunked {
                let n = (c.left).min(d.len() as u64) as usize;
                self.body(c, &d[..n], sse);
                c.left -= n as u64;
                d = &d[n..];
                if c.left == 0 {
                    self.finish(c);
                    if c.s.is_none() {
                        return;
                    }
                }
                continue;
            }
            match c.ck {
                Ck::Size(v, ext) => {
                    let b = d[0];
                    d = &d[1..];
                    if b == b'\n' {
                        c.ck = if v == 0 { Ck::Trailer(0) } else { Ck::Data(v) };
                    } else if b == b'\r' || ext {
                    } else if b == b';' {
                        c.ck = Ck::Size(v, true);
                    } else {
                        c.ck =
                            Ck::Size(v * 16 + (b as char).to_digit(16).unwrap_or(0) as u64, false);
                    }
                }
                Ck::Data(left) => {
                    let n = left.min(d.len() as u64) as usize;
                    self.body(c, &d[..n], sse);
                    d = &d[n..];
                    c.ck = if left == n as u64 { Ck::Crlf(0) } else { Ck::Data(left - n as u64) };
                }
                Ck::Crlf(k) => {
                    d = &d[1..];
                    c.ck = if k == 1 { Ck::Size(0, false) } else { Ck::Crlf(1) };
                }
                Ck::Trailer(k) => {
                    let b = d[0];
                    d = &d[1..];
                    if b == b'\n' {
                        if k == 0 {
                            self.finish(c);
                            if c.s.is_none() {
                                return;
                            }
                        } else {
                            c.ck = Ck::Trailer(0);
                        }
                    } else if b != b'\r' {
                        c.ck = Ck::Trailer(1);
                    }
                }
            }
        }
    }
}

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let url = arg(&a, "--url").expect("--url");
    let conns: usize = arg(&a, "--conns").map(|x| x.parse().unwrap()).unwrap_or(1);
    let secs: f64 = arg(&a, "--secs").map(|x| x.parse().unwrap()).unwrap_or(5.0);
    let warm: f64 = arg(&a, "--warmup").map(|x| x.parse().unwrap()).unwrap_or(0.5);
    let rate: f64 = arg(&a, "--rate").map(|x| x.parse().unwrap()).unwrap_or(0.0);
    let limit: u64 = arg(&a, "--requests").map(|x| x.parse().unwrap()).unwrap_or(u64::MAX);
    let sse = a.iter().any(|x| x == "--sse");
    let grace: f64 = arg(&a, "--grace").map(|x| x.parse().unwrap()).unwrap_or(10.0);
    let show = a.iter().any(|x| x == "--show");
    let method = arg(&a, "--method").unwrap_or("POST".into());
    let body = arg(&a, "--body").map(|p| std::fs::read(p).expect("body file")).unwrap_or_default();
    let rest = url.strip_prefix("http://").expect("http:// only");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let addr: SocketAddr = host.replace("localhost", "127.0.0.1").parse().expect("IP:PORT");
    assert!(addr.ip().is_loopback(), "loopback only");
    let mut req = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: lg\r\naccept: \
        */*\r\n"
    );
    let mut i = 1;
    while i < a.len() {
        if a[i] == "--header" {
            req += &a[i + 1];
            req += "\r\n";
            i += 1;
        }
        i += 1;
    }
    if method != "GET" {
        req += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    let head_bytes = req.len();
    req += "\r\n";
    let mut req = req.into_bytes();
    req.extend_from_slice(&body);
    let lines: Vec<Vec<u8>> = arg(&a, "--header-lines")
        .map(|p| std::fs::read(p).expect("file of headers"))
        .map(|all| all.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(Into::into).collect())
        .unwrap_or_default();
    let first: u64 = arg(&a, "--first-line").map(|x| x.parse().unwrap()).unwrap_or(0);

    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1000u64, 0, 0, 0);
    }
    let ep = unsafe { libc::epoll_create1(0) };
    let t0 = Instant::now();
    let count_from = t0 + Duration::from_secs_f64(warm);
    let stop_at = count_from + Duration::from_secs_f64(secs);
    let period =
        if rate > 0.0 { Duration::from_secs_f64(conns as f64 / rate) } else { Duration::ZERO };
    let mut g = G {
        req,
        lines,
        head_bytes,
        addr,
        ep,
        count_from,
        lat: Vec::with_capacity(1 << 20),
        svc: Vec::with_capacity(1 << 20),
        ttfb: Vec::with_capacity(1 << 20),
        status: BTreeMap::new(),
        errs: BTreeMap::new(),
        done: 0,
        events: 0,
        bytes: 0,
        stop_at,
        rate,
        period,
        sample: vec![],
        requests_limit: limit,
        issued: first,
        all: 0,
        all_events: 0,
    };
    let mut cs: Vec<Conn> = (0..conns)
        .map(|i| Conn {
            s: None,
            out: 0,
            inflight: false,
            sched: t0,
            sent_at: t0,
            next: t0
                + Duration::from_millis(20)
                + if rate > 0.0 {
                    Duration::from_secs_f64(i as f64 / rate)
                } else {
                    Duration::ZERO
                },
            buf: vec![],
            in_body: false,
            status: 0,
            left: 0,
            chunked: false,
            until_close: false,
            close_after: false,
            ck: Ck::Size(0, false),
            events: 0,
            tail: [0; 8],
            tail_n: 0,
            first: None,
            bytes: 0,
            reqs: 0,
            want_out: false,
            backoff: None,
            own: vec![],
        })
        .collect();
    for i in 0..conns {
        let c = &mut cs[i];
        g.connect(c, i);
    }
    let mut evs: Vec<libc::epoll_event> = vec![libc::epoll_event { events: 0, u64: 0 }; 256];
    let mut rb = vec![0u8; 256 * 1024];
    // Open loop: connections without a call in flight, by the instant at which their next one is due.
    let mut due: BinaryHeap<Reverse<(Instant, usize)>> = BinaryHeap::new();
    if rate > 0.0 {
        due.extend(cs.iter().enumerate().map(|(i, c)| Reverse((c.next, i))));
    }
    let mut begun = false;
    let hard_stop = stop_at + Duration::from_secs_f64(grace);
    loop {
        let now = Instant::now();
        let idle = cs.iter().all(|c| !c.inflight);
        let all_sent = rate == 0.0 || due.peek().is_none_or(|Reverse((next, _))| *next >= stop_at);
        if (now >= stop_at && ((idle && all_sent) || now >= hard_stop))
            || (g.issued - first >= g.requests_limit && idle)
        {
            break;
        }
        let over = now >= stop_at;
        let mut timeout = if over { hard_stop - now } else { stop_at - now };
        if rate > 0.0 {
            while let Some(Reverse((next, i))) = due.peek().copied() {
                if next > now || next >= stop_at || g.issued - first >= g.requests_limit {
                    if next > now && next < stop_at {
                        timeout = timeout.min(next - now);
                    }
                    break;
                }
                due.pop();
                let c = &mut cs[i];
                g.start(c, i, now);
                if !c.inflight {
                    // No connection: the call stays due.
                    due.push(Reverse((c.next, i)));
                    timeout = timeout.min(Duration::from_millis(50));
                    break;
                }
            }
        } else if over {
        } else if !begun {
            begun = true;
            for i in 0..conns {
                if g.issued - first < g.requests_limit {
                    let c = &mut cs[i];
                    g.start(c, i, now);
                }
            }
        }
        for i in 0..conns {
            if let Some(b) = cs[i].backoff {
                if now >= b {
                    cs[i].backoff = None;
                    if rate == 0.0 {
                        let c = &mut cs[i];
                        g.start(c, i, now);
                    }
                } else {
                    timeout = timeout.min(b - now);
                }
            }
        }
        let ts = libc::timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos() as i64,
        };
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                ep,
                evs.as_mut_ptr(),
                evs.len() as i32,
                &ts as *const _,
                std::ptr::null::<u8>(),
                8usize,
            )
        };
        for k in 0..n.max(0) as usize {
            let i = evs[k].u64 as usize;
            let fl = evs[k].events;
            let c = &mut cs[i];
            if c.s.is_none() {
                continue;
            }
            let was_inflight = c.inflight;
            if fl & libc::EPOLLOUT as u32 != 0 && c.inflight {
                g.push(c, i);
            }
            if fl & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0 {
                let r = c.s.as_mut().unwrap().read(&mut rb);
                match r {
                    Ok(0) => {
                        if c.inflight && c.in_body && c.until_close {
                            c.close_after = true;
                            g.finish(c);
                        } else {
                            if c.inflight {
                                g.err("closed_early");
                            }
                            g.reset(c);
                        }
                    }
                    Ok(m) => g.feed(c, &rb[..m], sse),
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => {
                        g.err("read");
                        g.reset(c);
                    }
                }
            }
            let c = &mut cs[i];
            if was_inflight && !c.inflight && rate > 0.0 {
                c.close_after = false;
                due.push(Reverse((c.next, i)));
            } else if rate == 0.0 && !c.inflight && c.backoff.is_none() {
                c.close_after = false;
                let now = Instant::now();
                if now < stop_at && g.issued - first < g.requests_limit {
                    g.start(c, i, now);
                }
            }
        }
    }
    g.count_unanswered(&cs);
    // An open loop that could not keep its rate has worked until the last answer.
    let end = if rate > 0.0 { Instant::now().max(stop_at) } else { Instant::now().min(stop_at) };
    let el = end.saturating_duration_since(count_from).as_secs_f64();
    g.lat.sort_unstable();
    g.svc.sort_unstable();
    g.ttfb.sort_unstable();
    if let Some(path) = arg(&a, "--samples") {
        // Latencies in tenths of a microsecond, sorted, four bytes each, the lowest first.
        let bytes: Vec<u8> = g.lat.iter().flat_map(|l| l.to_le_bytes()).collect();
        std::fs::write(path, bytes).expect("file of samples");
    }
    let p = |v: &Vec<u32>| {
        format!(
            "{{\"n\":{},\"p50\":{:.1},\"p90\":{:.1},\"p99\":{:.1},\"p999\":{:.1},\"max\":{:.1},\"min\":{:.1}}}",
            v.len(),
            pct(v, 0.5),
            pct(v, 0.9),
            pct(v, 0.99),
            pct(v, 0.999),
            pct(v, 1.0),
            pct(v, 0.0)
        )
    };
    let st: Vec<String> = g.status.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
    let er: Vec<String> = g.errs.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
    println!(
        "{{\"all\":{},\"all_events\":{},\"secs\":{:.3},\"done\":{},\"issued\":{},\"rps\":{:.1},\"bytes\":{},\"events\":{},\"status\":{{{}}},\"errors\":{{{}}},\"lat_us\":{},\"svc_us\":{},\"ttfb_us\":{}}}",
        g.all,
        g.all_events,
        el,
        g.done,
        g.issued - first,
        g.done as f64 / el,
        g.bytes,
        g.events,
        st.join(","),
        er.join(","),
        p(&g.lat),
        p(&g.svc),
        p(&g.ttfb)
    );
    if show {
        std::io::stdout().write_all(&g.sample).unwrap();
        println!();
    }
}
