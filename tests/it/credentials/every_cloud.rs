//! What holds for the credential of every cloud: its endpoint rotates, hangs, fails and lets the
//! credential expire.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{aws, google, kept_apart, setup};
use crate::support::step::{self, Act, Step};
use crate::support::{Gateway, Provider, Seen, eventually};

/// What an endpoint does from now on.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    /// It gives this credential, for so many seconds.
    Gives(&'static str, u32),
    Fails,
    /// It is silent until its mood is another one.
    Hangs,
}

/// The endpoint of a cloud.
struct Endpoint {
    double: Provider,
    mood: Arc<(Mutex<Mood>, Condvar)>,
    asked: Arc<AtomicUsize>,
}

/// The body of an answer with a credential.
type Answer = fn(&str, u32) -> String;

impl Endpoint {
    /// Answers by its mood; requests to `beside` always get a word.
    fn start(answer: Answer, beside: &'static [&'static str]) -> Endpoint {
        let mood = Arc::new((Mutex::new(Mood::Gives("tok-one", 60)), Condvar::new()));
        let (asked, double) = (Arc::new(AtomicUsize::new(0)), Provider::start());
        let (held, count) = (Arc::clone(&mood), Arc::clone(&asked));
        double.always(vec![Act::Reply(Arc::new(move |seen: &Seen| {
            let body = if beside.contains(&&*seen.target) {
                "a-word".to_owned()
            } else {
                count.fetch_add(1, Ordering::SeqCst);
                let (mood, changed) = &*held;
                let mood = changed.wait_while(mood.lock().unwrap(), |mood| *mood == Mood::Hangs);
                match *mood.unwrap() {
                    Mood::Gives(token, life) => answer(token, life),
                    Mood::Fails | Mood::Hangs => {
                        return b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n".to_vec();
                    }
                }
            };
            let head = format!(
                "HTTP/1.1 200 X\r\nmetadata-flavor: Google\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            (head + &body).into_bytes()
        }))]);
        Endpoint { double, mood, asked }
    }

    fn is(&self, mood: Mood) {
        *self.mood.0.lock().unwrap() = mood;
        self.mood.1.notify_all();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn bearer(token: &str, life: u32) -> String {
    json!({"token_type": "Bearer", "access_token": token, "expires_in": life}).to_string()
}

fn until(life: u32) -> String {
    let until = Timestamp::now() + SignedDuration::from_secs(life.into());
    until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn keys(token: &str, life: u32) -> String {
    json!({"Code": "Success", "AccessKeyId": "ASIA", "SecretAccessKey": "signs-only",
        "Token": token, "Expiration": until(life)})
    .to_string()
}

fn sts(token: &str, life: u32) -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>signs-only</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        until(life)
    )
}

/// A cloud under test.
struct Cloud {
    /// Kind of the provider, and its `auth` but for the address.
    kind: &'static str,
    auth: &'static str,
    answer: Answer,
    beside: &'static [&'static str],
    /// A variable with the address of the endpoint, and what stands behind that; else `token_url`.
    variable: Option<(&'static str, &'static str)>,
}

const CLOUDS: [Cloud; 5] = [
    Cloud {
        kind: "azure_openai",
        auth: "type: entra, tenant_id: t, client_id: c, client_secret: proof-of-the-gateway",
        answer: bearer,
        beside: &[],
        variable: None,
    },
    Cloud {
        kind: "bedrock",
        auth: "type: aws, region: x-1, credentials: web_identity",
        answer: sts,
        beside: &[],
        variable: None,
    },
    Cloud {
        kind: "bedrock",
        auth: "type: aws, region: x-1, credentials: container",
        answer: keys,
        beside: &[],
        variable: Some(("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/keys")),
    },
    Cloud {
        kind: "bedrock",
        auth: "type: aws, region: x-1, credentials: instance",
        answer: keys,
        beside: &["/latest/api/token", "/latest/meta-data/iam/security-credentials/"],
        variable: Some(("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")),
    },
    Cloud {
        kind: "gemini",
        auth: "type: gcp, credentials: metadata",
        answer: bearer,
        beside: &[],
        variable: Some(("GCE_METADATA_HOST", "")),
    },
];

impl Cloud {
    fn start(&self, llm: &Provider, other: &Provider, endpoint: &Endpoint, file: &str) -> Gateway {
        let at = format!("http://{}", endpoint.double.address);
        let address = match self.variable {
            None => format!(", token_url: \"{at}/token\""),
            Some(_) => String::new(),
        };
        let providers = format!(
            "cloud: {{kind: {}, base_url: \"http://{}\", auth: {{{}{address}}}}}\n\
             other: {{base_url: \"http://{}/v1\", api_key: sk-of-the-other}}\n",
            self.kind, llm.address, self.auth, other.address
        );
        let mut setup = setup(llm, &providers, "{provider: cloud, model: m}, other")
            .environment("AWS_WEB_IDENTITY_TOKEN_FILE", file)
            .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/tollgate");
        if let Some((name, path)) = self.variable {
            let at = if name == "GCE_METADATA_HOST" { &at["http://".len()..] } else { &at };
            setup = setup.environment(name, &format!("{at}{path}"));
        }
        setup.start()
    }

    fn answers(&self) -> Step {
        match self.kind {
            "bedrock" => aws::converse("hi"),
            "gemini" => google::generated(),
            _ => step::chat("hi"),
        }
    }

    /// A refusal of the credential itself.
    fn refuses(&self) -> Step {
        let headers =
            [("content-type", "application/json"), ("x-amzn-errortype", "ExpiredTokenException")];
        let status = if self.kind == "bedrock" { 403 } else { 401 };
        step::with_headers(status, &headers, br#"{"message": "no", "error": {"code": "401"}}"#)
    }

    fn holds(&self) {
        let (llm, other) = (Provider::start(), Provider::start());
        let endpoint = Endpoint::start(self.answer, self.beside);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "proof-of-the-gateway").unwrap();
        llm.always(self.answers());
        let gateway = self.start(&llm, &other, &endpoint, &file.display().to_string());
        let shows = |token: &str| {
            gateway.chat("acme", "hi").ok();
            let seen = llm.seen();
            seen.last().is_some_and(|seen| format!("{:?}", seen.headers).contains(token))
        };
        assert!(shows("tok-one"), "{}", self.auth);

        // The refresh that the provider asks for hangs: no call waits for it.
        endpoint.is(Mood::Hangs);
        llm.script([self.refuses()]);
        gateway.chat("acme", "hi").ok();
        eventually("the refresh", || (endpoint.asked() == 2).then_some(()));
        for _ in 0..5 {
            assert!(shows("tok-one"), "{}", self.auth);
        }
        assert_eq!(endpoint.asked(), 2, "it still hangs, and is the only one: {}", self.auth);

        // It rotates; and then it fails, until the token has expired.
        endpoint.is(Mood::Gives("tok-two", 5));
        eventually("the rotated token", || shows("tok-two").then_some(()));
        endpoint.is(Mood::Fails);
        eventually("a failed refresh", || {
            assert!(!shows("tok-one"));
            (endpoint.asked() > 2).then_some(())
        });
        let calls = llm.seen().len();
        eventually("the end of the token", || {
            let before = llm.seen().len();
            gateway.chat("acme", "hi").ok();
            (llm.seen().len() == before).then_some(())
        });
        assert!(llm.seen().len() > calls, "it was shown until its end: {}", self.auth);
        eventually("its row", || {
            let says = |row: &Map<String, Value>| {
                let detail = row["attempts_detail"].as_str().unwrap_or_default();
                detail.starts_with("cloud key_refused, other ok")
            };
            gateway.rows(1).iter().any(says).then_some(())
        });

        endpoint.is(Mood::Gives("tok-three", 60));
        eventually("a new token", || shows("tok-three").then_some(()));
        for series in ["tollgate_breaker_open", "tollgate_retries_total"] {
            assert_eq!(gateway.metric(series), 0.0, "{series}");
        }
        let doubles = [("llm", &llm), ("other", &other), ("endpoint", &endpoint.double)];
        let mut secrets = vec![
            ("tok-one", &["llm"][..]),
            ("tok-two", &["llm"]),
            ("tok-three", &["llm"]),
            ("sk-of-the-other", &["other"]),
            ("signs-only", &[]),
        ];
        if self.variable.is_none() {
            secrets.push(("proof-of-the-gateway", &["endpoint"]));
        }
        kept_apart(&doubles, &secrets);
    }
}

#[test]
fn a_credential_of_any_cloud_rotates_hangs_fails_and_expires_without_a_failed_call() {
    std::thread::scope(|scope| {
        for cloud in &CLOUDS {
            scope.spawn(|| cloud.holds());
        }
    });
}
