//! Requests to token endpoints, and the refusals in their answers.
//!
//! Beside stage 10 of the walk. Pure: the time is an argument. Guarantees: values are encoded, so
//! that no secret can add a field; a refusal is told by its code, its status and the id that the
//! cloud's support asks for, and never by its text. Does not: send anything (see `fetch`).
//!
//! # Source
//! Microsoft Entra ID, "OAuth 2.0 client credentials flow"; RFC 7523; AWS STS, API version
//! 2011-06-15, read November 2026.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::token::{Failed, element, word};

/// The scope of tokens for Google Cloud.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where a key file sends the request for a token, if it says nothing else.
const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// The life of a signed claim, in seconds: the longest that Google accepts.
const CLAIM_LIFE: i64 = 3_600;
/// The bytes that a form leaves as they are.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A form, as bytes that are cleared.
pub fn form(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let mut form = Zeroizing::new(Vec::new());
    for (name, value) in fields {
        if !form.is_empty() {
            form.push(b'&');
        }
        form.extend_from_slice(name.as_bytes());
        form.push(b'=');
        for part in utf8_percent_encode(value, FORM) {
            form.extend_from_slice(part.as_bytes());
        }
    }
    form
}

/// The form by which an application asks Entra for a token.
pub fn entra(client_id: &str, scope: &str, proof: (&str, &str)) -> Zeroizing<Vec<u8>> {
    const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let mut fields =
        vec![("grant_type", "client_credentials"), ("client_id", client_id), ("scope", scope)];
    if proof.0 == "client_assertion" {
        fields.push(("client_assertion_type", ASSERTION));
    }
    fields.push(proof);
    form(&fields)
}

/// The form by which AWS STS is asked for the keys of a role.
pub fn web_identity(role_arn: &str, session_name: &str, token: &str) -> Zeroizing<Vec<u8>> {
    form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role_arn),
        ("RoleSessionName", session_name),
        ("WebIdentityToken", token),
    ])
}

/// The form by which Google is asked for the token of a service account.
pub fn google(assertion: &str) -> Zeroizing<Vec<u8>> {
    form(&[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion)])
}

/// A service account's key, as Google writes it.
#[derive(Deserialize)]
pub struct ServiceAccount {
    #[serde(default)]
    r#type: String,
    client_email: Zeroizing<String>,
    private_key: Zeroizing<String>,
    #[serde(default)]
    private_key_id: String,
    token_uri: Option<String>,
}

impl ServiceAccount {
    /// Reads a file's content.
    ///
    /// # Errors
    /// It is not a service account's key.
    pub fn read(content: &[u8]) -> Result<ServiceAccount, Failed> {
        let account: Option<ServiceAccount> = serde_json::from_slice(content).ok();
        let account = account.filter(|account| account.r#type == "service_account");
        account.ok_or_else(|| {
            Failed::lasting(
                "the file is not a service account's key; give its JSON as Google made it",
            )
        })
    }

    /// Where the request goes.
    pub fn token_uri(&self) -> &str {
        self.token_uri.as_deref().unwrap_or(GOOGLE_TOKEN_URI)
    }

    /// The signed claim (RFC 7523) at a time in seconds since 1970.
    ///
    /// # Errors
    /// The private key cannot be used.
    pub fn assertion(&self, now: i64) -> Result<Zeroizing<String>, Failed> {
        let unusable = || Failed::lasting("the private key in the file is no RSA key in PKCS #8");
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.private_key.as_bytes());
        let key = key.map_err(|_| unusable())?;
        let pair = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| unusable())?;
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": self.private_key_id});
        let claims = serde_json::json!({
            "iss": *self.client_email,
            "scope": GOOGLE_SCOPE,
            "aud": self.token_uri(),
            "iat": now,
            "exp": now + CLAIM_LIFE,
        });
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let mut signed = Zeroizing::new([part(header), part(claims)].join("."));
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
            .map_err(|_| unusable())?;
        signed.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut signed);
        Ok(signed)
    }
}

/// Whether the same request may be accepted later without a change.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 404 | 408 | 410 | 425 | 429)
}

/// An OAuth error.
#[derive(Deserialize)]
struct OAuthError<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    error_codes: Option<&'a RawValue>,
    trace_id: Option<String>,
    code: Option<String>,
}

/// The refusal of a token endpoint.
pub fn refused(status: StatusCode, answer: &[u8]) -> Failed {
    let mut reason = format!("status {}", status.as_u16());
    let mut add = |text: &str| {
        if !text.is_empty() {
            reason.push_str(", ");
            reason.push_str(text);
        }
    };
    let mut is_passing = may_pass(status);
    if let Ok(error) = serde_json::from_slice::<OAuthError<'_>>(answer) {
        let name = error.error.map(RawValue::get).filter(|error| error.starts_with('"'));
        add(&name.map(word).unwrap_or_default());
        add(&error.code.map(|code| word(&code)).unwrap_or_default());
        let number = error.error_codes.map(|codes| word(codes.get())).unwrap_or_default();
        if !number.is_empty() {
            add(&["AADSTS", &number].concat());
        }
        if let Some(id) = error.trace_id {
            add(&["trace_id ", &word(&id)].concat());
        }
    } else if let Ok(text) = std::str::from_utf8(answer)
        && let Some(code) = element(text, "Code")
    {
        // The token in the file is replaced by others, and AWS may not reach who has signed it.
        is_passing |= matches!(code, "IDPCommunicationError" | "ExpiredTokenException");
        add(&word(code));
        if let Some(id) = element(text, "RequestId") {
            add(&["request id ", &word(id)].concat());
        }
    }
    if is_passing { Failed::passing(reason) } else { Failed::lasting(reason) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;
    use crate::upstream::credentials::schedule::Kind;

    fn text(form: Zeroizing<Vec<u8>>) -> String {
        String::from_utf8(form.to_vec()).expect("ASCII")
    }

    #[test]
    fn forms_are_those_of_the_clouds_and_no_value_leaves_its_field() {
        let scope = "https://cognitiveservices.azure.com/.default";
        assert_eq!(
            text(entra("id", scope, ("client_secret", "a~b.c+d/e=f&g=h %"))),
            "grant_type=client_credentials&client_id=id&\
                scope=https%3A%2F%2Fcognitiveservices.azure.com\
             %2F.default&client_secret=a~b.c%2Bd%2Fe%3Df%26g%3Dh%20%25"
        );
        assert!(
            text(entra("id", scope, ("client_assertion", "e.y.J"))).ends_with(
                "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
                 &client_assertion=e.y.J"
            )
        );
        assert_eq!(
            text(web_identity("arn:aws:iam::1:role/r", "s", "t")),
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&\
                RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
             &RoleSessionName=s&WebIdentityToken=t"
        );
    }

    #[test]
    fn a_claim_is_signed_for_the_address_in_the_file() {
        const PEM: &str = include_str!("../../../tests/it/cloud/service-account.pem");
        let file = serde_json::json!({
            "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com",
            "private_key": PEM, "private_key_id": "k1", "token_uri": "https://oauth2.googleapis.com/token",
        });
        let account = ServiceAccount::read(file.to_string().as_bytes()).expect("a key");
        let signed = account.assertion(1_764_500_000).expect("signed");
        let parts: Vec<&str> = signed.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64");
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&decode(part)).expect("JSON")
        };
        assert_eq!(json(parts[0]), serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        assert_eq!(
            json(parts[1]),
            serde_json::json!({"iss": "a@p.iam.gserviceaccount.com", "scope": GOOGLE_SCOPE,
                "aud": "https://oauth2.googleapis.com/token", "iat": 1_764_500_000, "exp": 1_764_503_600})
        );
        let der = PrivatePkcs8KeyDer::from_pem_slice(PEM.as_bytes()).expect("PEM");
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a key");
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key());
        let message = [parts[0], parts[1]].join(".");
        assert!(key.verify(message.as_bytes(), &decode(parts[2])).is_ok());
    }

    #[test]
    fn other_files_are_no_keys() {
        for content in
            ["", "{}", r#"{"type":"external_account","client_email":"a","private_key":"b"}"#]
        {
            assert!(ServiceAccount::read(content.as_bytes()).is_err(), "{content}");
        }
        let file = r#"{"type":"service_account","client_email":"a","private_key":"no key"}"#;
        let account = ServiceAccount::read(file.as_bytes()).expect("JSON");
        assert!(account.assertion(1).is_err());
    }

    #[test]
    fn a_refusal_is_told_by_its_code() {
        let told = |status: u16, answer: &str| {
            let failed = refused(StatusCode::from_u16(status).expect("status"), answer.as_bytes());
            (failed.kind, failed.reason)
        };
        let entra = r#"{"error":"invalid_client","error_description":"AADSTS7000215: wrong secret of app 1",
            "error_codes":[7000215],"trace_id":"8f-1"}"#;
        assert_eq!(
            told(401, entra),
            (Kind::Lasting, "status 401, invalid_client, AADSTS7000215, trace_id 8f-1".to_owned())
        );
        let sts = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</\
            Code><Message>no\
            </Message></Error><RequestId>r1</RequestId></ErrorResponse>";
        assert_eq!(
            told(400, sts),
            (Kind::Lasting, "status 400, InvalidIdentityToken, request id r1".to_owned())
        );
        let away = sts.replace("InvalidIdentityToken", "IDPCommunicationError");
        assert_eq!(told(400, &away).0, Kind::Passing);
        assert_eq!(told(503, "<html>"), (Kind::Passing, "status 503".to_owned()));
        assert_eq!(told(403, r#"{"code":"x y\u001b[","message":"m"}"#).1, "status 403, xy");
        assert_eq!(told(429, "").0, Kind::Passing);
    }
}
