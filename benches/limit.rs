//! The cost of a decision on a limit, the memory of an organisation, and the cost of a JWT.
//!
//!     cargo bench --bench limit
//!
//! Every time is also given as a multiple of a plain look-up and change in the same kind of map, in
//! the same run: the machine may be slow or busy, the ratio stays.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it measures the time of the real world")]

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use http::{HeaderMap, HeaderValue, Uri, header};
use tollgate::auth::{
    Accept, AuthOptions, AuthPolicy, Authenticator, FetchError, JwtPolicy, KeySetFetch,
};
use tollgate::bounds::{METERS_MAX, ORGS_MAX};
use tollgate::clock::Nanos;
use tollgate::ids::{OrgId, SecretBytes};
use tollgate::limit::bucket::Quota;
use tollgate::limit::caps::{Ask, Caps, Estimate, Scope, Subject, Want};
use tollgate::limit::meters::{Meters, moment};
use tollgate::limit::store::Limiter;

/// Decisions of one sample; the fastest of several samples counts, since other work only adds time.
const DECISIONS: u64 = 200_000;
const SAMPLES: usize = 7;
const SECOND: u64 = 1_000_000_000;
/// The largest quota that a policy may have: it is never used up here.
const PLENTY: u32 = 10_000_000;

/// Organisations, and everything that counts them.
struct Work {
    orgs: Vec<OrgId>,
    plain: DashMap<OrgId, u64>,
    limiter: Limiter,
    small: Limiter,
    strict: Limiter,
    meters: Arc<Meters>,
    wants: Vec<[Want; 1]>,
}

fn quota(requests_per_minute: u32, strict: bool) -> Quota {
    let requests = NonZeroU32::new(requests_per_minute).unwrap_or(NonZeroU32::MIN);
    Quota::new(requests, requests, strict)
}

fn org(n: usize) -> OrgId {
    OrgId::new(&format!("org{n:09}")).unwrap_or_else(|| panic!("a plain name"))
}

impl Work {
    /// `orgs` organisations, each of which has called before.
    fn new(orgs: usize) -> Work {
        let orgs: Vec<OrgId> = (0..orgs).map(org).collect();
        let caps = Caps {
            requests: None,
            tokens_per_minute: NonZeroU64::new(1_000_000_000_000),
            calls_in_flight: NonZeroU32::new(1_000),
            nano_usd_per_day: NonZeroU64::new(9_000_000_000_000_000),
            nano_usd_per_month: NonZeroU64::new(9_000_000_000_000_000),
        };
        let want = |org: &OrgId| [(Subject { org: org.clone(), scope: Scope::Org }, caps)];
        let work = Work {
            plain: orgs.iter().map(|org| (org.clone(), 0)).collect(),
            limiter: Limiter::new(ORGS_MAX),
            small: Limiter::new(ORGS_MAX),
            strict: Limiter::new(ORGS_MAX),
            meters: Arc::new(Meters::new(METERS_MAX)),
            wants: orgs.iter().map(want).collect(),
            orgs,
        };
        for n in 0..work.orgs.len() as u64 {
            work.bucket(n);
            work.refused(n);
            work.strict(n);
            work.meters(n);
        }
        work
    }

    /// A limiter that tracks a million organisations, each of which has called once.
    fn million() -> Limiter {
        let limiter = Limiter::new(ORGS_MAX);
        for n in 0..1_000_000 {
            let _ = limiter.take(&org(n), &quota(60, false), Nanos(SECOND));
        }
        limiter
    }

    fn pick(&self, n: u64) -> usize {
        // Neighbours in time are not neighbours in memory.
        usize::try_from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).unwrap_or(0) % self.orgs.len()
    }

    /// The cost of any count by organisation in such a map.
    fn look_up(&self, n: u64) {
        if let Some(mut count) = self.plain.get_mut(&self.orgs[self.pick(n)]) {
            *count += 1;
        }
    }

    /// A decision that lets the call pass.
    fn bucket(&self, n: u64) {
        let now = Nanos(SECOND + n * 10_000);
        let decision = self.limiter.take(&self.orgs[self.pick(n)], &quota(PLENTY, false), now);
        assert!(decision.is_ok_and(|decision| decision.wait.is_none()));
    }

    /// A decision that, except for the first, refuses the call.
    fn refused(&self, n: u64) {
        let _ = self.small.take(&self.orgs[self.pick(n)], &quota(1, false), Nanos(SECOND));
    }

    /// A decision on a sliding window of 60 calls.
    fn strict(&self, n: u64) {
        let _ = self.strict.take(
            &self.orgs[self.pick(n)],
            &quota(60, true),
            Nanos(SECOND + n * 10_000_000),
        );
    }

    /// A reservation of tokens, money and a place in flight, and its settlement.
    fn meters(&self, n: u64) {
        let ask = Ask {
            call: true,
            estimate: Some(Estimate { tokens: 10, nano_usd: 1, assumed: false }),
        };
        let now = Nanos(SECOND + n * 10_000);
        let held = self.meters.ask(&self.wants[self.pick(n)], ask, moment(now, 1_700_000_000_000));
        assert!(held.is_ok_and(|held| {
            held.settle(Some((12, 1)), now);
            true
        }));
    }
}

/// A policy, and the headers of a call that shows a JWT.
struct Token {
    policy: AuthPolicy,
    headers: HeaderMap,
    known: Authenticator,
}

/// The policy has a secret and no key set.
struct NoKeySet;

impl KeySetFetch for NoKeySet {
    async fn fetch(&self, _: &Uri, _: usize) -> Result<Vec<u8>, FetchError> {
        panic!("there is no key set")
    }
}

impl Token {
    fn new() -> Token {
        const SECRET: &str = "benchmark-secret-of-enough-bytes";
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = r#"{"org_id":"acme","sub":"ann","iat":1799999990,"exp":1800003600}"#;
        let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
        let tag =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
        let bearer = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        let bearer = HeaderValue::from_str(&bearer).unwrap_or_else(|error| panic!("{error}"));
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
        let jwt = JwtPolicy::of_secret(SecretBytes::new(SECRET.as_bytes()), [1; 32]);
        let options = AuthOptions::accepting(vec![Accept::Jwt]);
        let policy = AuthPolicy { jwt: Some(jwt), keys: HashMap::new(), options };
        Token { policy, headers, known: Authenticator::default() }
    }

    /// The token was verified before.
    fn again(&self) {
        self.authenticate(&self.known);
    }

    /// The token is new: its signature is checked.
    fn first(&self) {
        self.authenticate(&Authenticator::default());
    }

    fn authenticate(&self, authenticator: &Authenticator) {
        const NOW_MS: i64 = 1_800_000_000_000;
        let asking =
            pin!(authenticator.authenticate(&self.policy, &self.headers, NOW_MS, false, &NoKeySet));
        let asked = asking.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(asked, Poll::Ready(Ok(caller)) if caller.org.as_str() == "acme"));
    }
}

/// Bytes of memory of this process, by the kernel's account; 0 if it gives none.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Nanoseconds of one decision.
fn nanos(work: impl Fn(u64)) -> f64 {
    let sample = || {
        let begun = Instant::now();
        (0..DECISIONS).for_each(&work);
        begun.elapsed().as_nanos() as f64 / DECISIONS as f64
    };
    (0..SAMPLES).map(|_| sample()).fold(f64::INFINITY, f64::min)
}

fn main() {
    // First, while the allocator holds nothing of earlier work.
    let before = resident_bytes();
    let million = Work::million();
    let each = (resident_bytes() - before) as f64 / 1e6;
    println!(
        "{} organisations with a bucket, names of 12 letters: {each:.0} bytes each\n",
        million.len()
    );
    drop(million);
    let token = Token::new();
    println!("| identity | ns each |\n|---|---|");
    println!("| a JWT that was verified before | {:.0} |", nanos(|_| token.again()));
    println!("| the same, never seen (HS256) | {:.0} |\n", nanos(|_| token.first()));
    println!("| organisations | work | ns each | look-ups |");
    println!("|---|---|---|---|");
    for orgs in [1, 1_000, 100_000] {
        let work = Work::new(orgs);
        let plain = nanos(|n| work.look_up(n));
        let rows = [
            ("plain look-up and change", plain),
            ("bucket, passes", nanos(|n| work.bucket(n))),
            ("bucket, refuses", nanos(|n| work.refused(n))),
            ("strict window of 60, passes and refuses", nanos(|n| work.strict(n))),
            ("tokens, money and a place, reserved and settled", nanos(|n| work.meters(n))),
        ];
        for (name, ns) in rows {
            println!("| {orgs} | {name} | {ns:.0} | {:.1} |", ns / plain);
        }
    }
}
