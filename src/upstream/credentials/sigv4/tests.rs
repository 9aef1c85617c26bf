//! Signatures against AWS's own test suite, and against cases of Bedrock's paths.
//!
//! `vectors.jsonl` is the part of "aws-signing-test-suite" for header signatures, one case in each
//! line: awslabs/aws-c-auth v0.9.0, `tests/aws-signing-test-suite/v4`, Apache License 2.0. Its
//! cases of a path with a blank are left out: their path is encoded once, and those of Bedrock are
//! twice.

use aws_lc_rs::hmac;
use aws_sigv4::http_request::{SessionTokenMode, UriPathNormalizationMode};

use super::*;
use crate::config::options;
use crate::config::sections::RawProvider;
use crate::digest::{hex, sha256};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    normalize: bool,
    sign_body: bool,
    request: String,
    signature: String,
    token: Option<String>,
    #[serde(default)]
    omit: bool,
}

/// The parts of a request as it is written; a header may go on in the next line.
fn parts(request: &str) -> (String, String, Vec<(String, String)>, String) {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut lines = head.lines();
    let first = lines.next().expect("a request line").trim_end_matches(" HTTP/1.1");
    let (method, path) = first.split_once(' ').expect("a method");
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        match line.split_once(':') {
            Some((name, value)) if !line.starts_with(' ') => {
                headers.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                let last = headers.last_mut().expect("a header");
                last.1 = [&last.1, "\n", line].concat();
            }
        }
    }
    (method.to_owned(), path.to_owned(), headers, body.trim_end_matches('\n').to_owned())
}

#[test]
fn signatures_are_those_of_the_test_suite_of_aws() {
    let mut count = 0;
    for line in include_str!("vectors.jsonl").lines() {
        let vector: Vector = serde_json::from_str(line).expect("a case");
        let (method, path, headers, body) = parts(&vector.request);
        let host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = &host.expect("a host").1;
        let address = ["https://", host, &path].concat();
        // No request of ours has a blank in its address, or a header of several lines.
        let is_one_line = headers.iter().all(|(_, value)| !value.contains('\n'));
        if address.parse::<Uri>().is_err() || !is_one_line {
            continue;
        }
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = if vector.sign_body {
            PayloadChecksumKind::XAmzSha256
        } else {
            PayloadChecksumKind::NoHeader
        };
        settings.uri_path_normalization_mode = UriPathNormalizationMode::from(vector.normalize);
        if vector.omit {
            settings.session_token_mode = SessionTokenMode::Exclude;
        }
        let signable = SignableRequest::new(
            &method,
            address,
            headers.iter().map(|(name, value)| (&**name, &**value)),
            SignableBody::Bytes(body.as_bytes()),
        );
        let keys = Credentials::new("AKIDEXAMPLE", SECRET, vector.token, None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let scope = Scope { region: "us-east-1", service: "service" };
        let signed = signature(signable.expect("signable"), scope, &keys, time, settings);
        assert_eq!(signed.expect("signed").1, vector.signature, "{}", vector.name);
        count += 1;
    }
    assert!(count >= 25, "only {count} cases");
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// The signature of a canonical request, step by step as AWS describes it.
fn by_hand(canonical: &str, date: &str, (region, service): (&str, &str)) -> String {
    let day = &date[..8];
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let digest = hex(&sha256(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let key = ["AWS4", SECRET].concat().into_bytes();
    let key = [day, region, service, "aws4_request"].iter().fold(key, |key, part| mac(&key, part));
    hex(&mac(&key, &text))
}

fn provider(kind: &str, base_url: &str) -> Provider {
    Provider {
        name: std::sync::Arc::from("p"),
        base_url: base_url.parse().expect("a URL"),
        forward_headers: vec![],
        auth: None,
        egress: std::sync::Arc::default(),
        options: options::<RawProvider>(&format!("{{kind: {kind}}}")),
    }
}

#[test]
fn the_path_as_it_is_sent_is_encoded_once_more() {
    const BODY: &[u8] = b"{\"messages\":[]}";
    for (host, id, canonical_id) in [
        (
            "bedrock-runtime.eu-central-1.amazonaws.com",
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "us.anthropic.claude-sonnet-4-20250514-v1%253A0",
        ),
        (
            "127.0.0.1:8443",
            "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1",
            "arn%253Aaws%253Abedrock%253Aeu-central-1%253A123456789012%253Aapplication-inference-\
                profile%252Fa1",
        ),
        ("bedrock-runtime.x.amazonaws.com", "plain", "plain"),
    ] {
        for token in [None, Some("a/session+token==")] {
            let segment = tollgate_wire::translate::path_segment(id);
            let address: Uri =
                format!("https://{host}/model/{segment}/converse").parse().expect("URI");
            let keys = Credentials::new("AKID", SECRET, token.map(str::to_owned), None, "test");
            let digest = hex(&sha256(BODY));
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert("user-agent", HeaderValue::from_static("may be changed by a proxy"));
            headers.insert("traceparent", HeaderValue::from_static("so may this"));
            let scope = Scope { region: "eu-central-1", service: "bedrock" };
            let request =
                Signable { method: &Method::POST, address: &address, body_sha256: &digest };
            signed(&mut headers, request, scope, &keys, 1_795_947_300_000).expect("signed");
            let (line, name) = match token {
                Some(token) => (format!("x-amz-security-token:{token}\n"), ";x-amz-security-token"),
                None => (String::new(), ""),
            };
            let names = format!("content-type;host;x-amz-content-sha256;x-amz-date{name}");
            let canonical = format!(
                "POST\n/model/{canonical_id}/converse\n\ncontent-type:application/\
                    json\nhost:{host}\n\
                 x-amz-content-sha256:{digest}\nx-amz-date:20261129T101500Z\n{line}\n{names}\n{digest}"
            );
            let expected = by_hand(&canonical, "20261129T101500Z", ("eu-central-1", "bedrock"));
            assert_eq!(
                headers["authorization"],
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKID/20261129/eu-central-1/bedrock/aws4_request, \
                     SignedHeaders={names}, Signature={expected}"
                ),
                "{id}"
            );
            assert!(headers["authorization"].is_sensitive());
            assert_eq!(headers["x-amz-content-sha256"], digest);
            assert_eq!(headers.get("x-amz-security-token").is_some(), token.is_some());
        }
    }
}

#[test]
fn each_service_signs_under_its_own_name() {
    for (kind, base_url, expected) in [
        ("bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com", "bedrock"),
        ("bedrock", "http://127.0.0.1:1", "bedrock"),
        ("anthropic", "https://bedrock-mantle.eu-central-1.api.aws/anthropic/v1", "bedrock-mantle"),
        ("anthropic", "http://127.0.0.1:1/anthropic/v1", "bedrock-mantle"),
        ("anthropic", "https://bedrock-runtime.eu-central-1.amazonaws.com/anthropic/v1", "bedrock"),
    ] {
        assert_eq!(service(&provider(kind, base_url)), expected, "{base_url}");
    }
}
