//! A notification: its JSON and its signatures.
//!
//! Pure. Guarantees: one message has the same bytes at every try; the body says nothing of what
//! calls say. Does not: send.
//!
//! # Source
//! GitHub's `X-Hub-Signature-256`; Standard Webhooks 1.0.0 (read November 2026).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::digest::hex;

/// The message to a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The kind of the condition: `budget`, `error_rate`, …
    pub alert: &'static str,
    /// The name of the rule.
    pub rule: String,
    /// Empty if it concerns no single organisation.
    pub org: String,
    pub value: f64,
    pub threshold: f64,
    /// The day or month of a budget, the window of a rate; else empty.
    pub period: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub provider: Option<String>,
    /// `SEQ:HASH` of the last record of the audit, which is compared with it later.
    pub audit_head: Option<String>,
    /// One sentence.
    pub text: String,
}

impl Message {
    /// A message that only shows that messages arrive.
    pub fn test(name: &str, at_ms: i64) -> Message {
        Message {
            alert: "test",
            rule: name.to_owned(),
            org: String::new(),
            value: 0.0,
            threshold: 0.0,
            period: String::new(),
            at_ms,
            provider: None,
            audit_head: None,
            text: "a test of Tollgate's alerts; nothing is wrong".to_owned(),
        }
    }

    /// The body of the request.
    pub fn body(&self) -> Vec<u8> {
        let at = jiff::Timestamp::from_millisecond(self.at_ms).unwrap_or_default();
        let mut body = json!({
            "alert": self.alert,
            "rule": self.rule,
            "org": self.org,
            "value": number(self.value),
            "threshold": number(self.threshold),
            "period": self.period,
            "at": format!("{at:.3}"),
            "text": self.text,
        });
        if let Some(provider) = &self.provider {
            body["provider"] = json!(provider);
        }
        if let Some(head) = &self.audit_head {
            body["audit_head"] = json!(head);
        }
        body.to_string().into_bytes()
    }
}

/// A whole number without a point.
fn number(value: f64) -> serde_json::Value {
    #[expect(clippy::cast_possible_truncation, reason = "a whole number in range")]
    let whole = value as i64;
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(whole) } else { json!(value) }
}

/// The value of `x-tollgate-signature`: of the body alone, as GitHub signs.
pub fn signature(secret: &[u8], body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("sha256={}", hex(hmac::sign(&key, body).as_ref()))
}

/// The value of `webhook-signature` (Standard Webhooks): of id, time in seconds and body. A secret
/// that begins with `whsec_` is base64 behind that.
pub fn standard_signature(secret: &[u8], id: &str, at_s: i64, body: &[u8]) -> String {
    let decoded = secret.strip_prefix(b"whsec_").and_then(|rest| STANDARD.decode(rest).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, decoded.as_deref().unwrap_or(secret));
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{at_s}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub's own example, and that of the libraries of Standard Webhooks.
    #[test]
    fn signatures_are_those_that_others_verify() {
        let found = signature(b"It's a Secret to Everybody", b"Hello, World!");
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(found, expected);
        let found = standard_signature(
            b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(found, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_body_has_what_the_contract_says() {
        let message = Message {
            alert: "budget",
            rule: "acme budget".to_owned(),
            org: "acme".to_owned(),
            value: 83.25,
            threshold: 80.0,
            period: "2026-11-30".to_owned(),
            at_ms: 1_780_000_000_000,
            provider: None,
            audit_head: None,
            text: "acme has used 83 % of usd_per_day".to_owned(),
        };
        let body: serde_json::Value = serde_json::from_slice(&message.body()).expect("JSON");
        let expected = json!({
            "alert": "budget", "rule": "acme budget", "org": "acme", "value": 83.25,
            "threshold": 80, "period": "2026-11-30", "at": "2026-05-28T20:26:40.000Z",
            "text": "acme has used 83 % of usd_per_day",
        });
        assert_eq!(body, expected);
        let (provider, audit_head) = (Some("openai".to_owned()), Some("7:ab".to_owned()));
        let message = Message { provider, audit_head, ..message };
        let body: serde_json::Value = serde_json::from_slice(&message.body()).expect("JSON");
        assert_eq!((&body["provider"], &body["audit_head"]), (&json!("openai"), &json!("7:ab")));
    }
}
