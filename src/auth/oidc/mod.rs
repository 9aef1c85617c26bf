//! Sign-in of operators by OpenID Connect: the authorization code flow with PKCE.
//!
//! Guarantees: an issuer that is away stops no start and no other sign-in; its document must name
//! exactly the configured issuer; a flow belongs to the browser that began it, ends after ten
//! minutes and is finished once; a token is used only after its signature and claims have been
//! verified; the client's secret goes to the issuer's token endpoint alone. Does not: keep a
//! session (`admin/access` does), ask the userinfo endpoint, or refresh anything.
//!
//! Bounds: `OIDC_DOCUMENT_BYTES_MAX`, 10 s for a request, `USED_MAX` finished flows remembered.
//!
//! # Source
//! OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749, RFC 7636 (PKCE), RFC 9207 (`iss`), RFC
//! 9700.

mod flow;
mod id_token;
mod issuer;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Request, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use self::flow::{Flow, Seal};
use self::issuer::{Issuer, Issuers};
use super::jwks::KeySets;
use crate::config::policy::{JwksSource, OidcOptions, Role};
use crate::digest::sha256;
use crate::ids::OrgId;
use crate::lock::lock;
use crate::secrets;

/// Finished flows that are remembered, so that none is finished twice. A flow lasts ten minutes.
const USED_MAX: usize = 4096;
/// Longest query of a callback.
const QUERY_BYTES_MAX: usize = 16 << 10;

/// Why there is no sign-in. None of it quotes the issuer or the browser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The issuer cannot be asked now; the text is for the operators' log.
    #[error("{0}")]
    Away(String),
    /// The browser's part is wrong: it began no flow here, or too long ago.
    #[error("{0}")]
    Flow(&'static str),
    /// The issuer refuses, or its token does not hold; the text is for the operators' log.
    #[error("{0}")]
    Refused(String),
    /// Known to the issuer, and without a role here.
    #[error("no value of the role claim has a role")]
    NoRole,
}

/// The first half of a flow: where the browser goes, and what it keeps meanwhile.
#[derive(Debug)]
pub struct Begun {
    /// The authorization request at the issuer.
    pub location: String,
    /// The value of a cookie that the callback needs.
    pub cookie: String,
}

/// A person whom the issuer has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// `preferred_username`, else `email`, else `sub`; at most 128 characters on one line.
    pub name: String,
    /// The highest of all values of the claim.
    pub role: Role,
    /// The organisations that the person sees; empty: all.
    pub orgs: Vec<OrgId>,
}

/// The gateway as a client of one issuer.
pub struct Client {
    options: Arc<OidcOptions>,
    issuers: Issuers,
    keys: KeySets,
    seal: Seal,
    used: Mutex<VecDeque<[u8; 32]>>,
}

/// The answer of a token endpoint, as far as it counts.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

impl Client {
    /// A client; nothing if the system gives no random numbers.
    pub fn new(options: Arc<OidcOptions>) -> Option<Client> {
        let issuers = Issuers::new(Arc::clone(&options));
        let (keys, used) = (KeySets::default(), Mutex::default());
        Some(Client { options, issuers, keys, seal: Seal::new()?, used })
    }

    /// Begins a flow that comes back to `redirect_uri`.
    ///
    /// # Errors
    /// [`OidcError::Away`].
    pub async fn begin(&self, redirect_uri: &str, now_ms: i64) -> Result<Begun, OidcError> {
        let issuer = self.issuers.get(now_ms).await?;
        let random = || secrets::random().ok_or_else(|| away("the system gives no random numbers"));
        let flow = Flow::new(random()?, random()?, random()?, redirect_uri, now_ms);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(flow.verifier.as_bytes()));
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.options.client_id),
            ("redirect_uri", redirect_uri),
            ("scope", &self.options.scopes.join(" ")),
            ("state", &flow.state),
            ("nonce", &flow.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let address = &issuer.authorization_endpoint;
        let mark = if address.contains('?') { '&' } else { '?' };
        let cookie = self.seal.close(&flow).ok_or_else(|| away("the flow cannot be sealed"))?;
        Ok(Begun { location: format!("{address}{mark}{query}"), cookie })
    }

    /// Finishes a flow: the query of the callback, and the cookie of the same browser.
    ///
    /// # Errors
    /// All of [`OidcError`].
    pub async fn finish(
        &self,
        query: &str,
        cookie: Option<&str>,
        now_ms: i64,
    ) -> Result<SignedIn, OidcError> {
        let flow = cookie.and_then(|cookie| self.seal.open(cookie, now_ms));
        let flow = flow.ok_or(OidcError::Flow("this browser has begun no sign-in, or long ago"))?;
        let given = Callback::read(query)?;
        if given.state != flow.state {
            return Err(OidcError::Flow("the answer belongs to another sign-in"));
        }
        self.once(&flow)?;
        let issuer = self.issuers.get(now_ms).await?;
        if given.iss.as_ref().is_some_and(|iss| *iss != self.options.issuer)
            || given.iss.is_none() && issuer.names_itself
        {
            return Err(OidcError::Refused("the answer is of another issuer".to_owned()));
        }
        if let Some(error) = given.error {
            return Err(OidcError::Refused(format!("the issuer answers with {error}")));
        }
        let code = given.code.ok_or(OidcError::Flow("the answer has no code"))?;
        let token = self.exchange(&issuer, &flow, &code).await?;
        let claims = self.claims(&issuer, &flow, &token, now_ms).await?;
        let (role, orgs) = id_token::rights(&claims, &self.options).ok_or(OidcError::NoRole)?;
        Ok(SignedIn { name: id_token::name(&claims), role, orgs })
    }

    /// Remembers a flow, and refuses it the second time.
    fn once(&self, flow: &Flow) -> Result<(), OidcError> {
        let digest = sha256(flow.state.as_bytes());
        let mut used = lock(&self.used);
        if used.contains(&digest) {
            return Err(OidcError::Flow("this sign-in is over already"));
        }
        if used.len() >= USED_MAX {
            used.pop_front();
        }
        used.push_back(digest);
        Ok(())
    }

    /// The ID token for a code.
    async fn exchange(
        &self,
        issuer: &Issuer,
        flow: &Flow,
        code: &str,
    ) -> Result<String, OidcError> {
        let secret = self.options.client_secret.reveal();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &flow.redirect_uri),
            ("code_verifier", &flow.verifier),
        ];
        let by_header = issuer.takes_basic && !secret.is_empty();
        if !by_header {
            fields.push(("client_id", &self.options.client_id));
            if !secret.is_empty() {
                fields.push(("client_secret", &secret));
            }
        }
        let mut request = Request::post(&issuer.token_endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        if by_header {
            let pair = format!("{}:{}", encoded(&self.options.client_id), encoded(&secret));
            request =
                request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
        }
        let request = request.body(form(&fields).into());
        let request = request.map_err(|error| away(&format!("token endpoint: {error}")))?;
        let answer = self.issuers.send(request).await.map_err(|why| away(&why))?;
        match answer.status() {
            StatusCode::OK => serde_json::from_slice(answer.body())
                .map(|tokens: Tokens| tokens.id_token)
                .map_err(|_| OidcError::Refused("the token endpoint gave no id_token".to_owned())),
            // Also a code that was used before.
            status if status.is_client_error() => Err(OidcError::Refused(format!(
                "the token endpoint answers with {status}; check `client_id` and `client_secret`"
            ))),
            status => Err(away(&format!("the token endpoint answers with {status}"))),
        }
    }

    /// The verified claims of a token. Keys are fetched again for one that is not known.
    async fn claims(
        &self,
        issuer: &Issuer,
        flow: &Flow,
        token: &str,
        now_ms: i64,
    ) -> Result<id_token::Claims, OidcError> {
        let rules = id_token::Rules {
            issuer: &self.options.issuer,
            client_id: &self.options.client_id,
            nonce: &flow.nonce,
            now_ms,
        };
        let source = JwksSource::Url(issuer.jwks_uri.clone());
        if let Some(address) = self.keys.is_old(&source, now_ms) {
            self.keys.renew(&address, now_ms, &self.issuers).await;
        }
        let current = self.keys.current(&source, now_ms);
        let mut verified = id_token::verify(&current.keys, token, &rules);
        if verified == Err(id_token::Fault::UnknownKey)
            && let Some(address) = current.may_ask
        {
            self.keys.refresh(&address, now_ms, &self.issuers).await;
            verified = id_token::verify(&self.keys.current(&source, now_ms).keys, token, &rules);
        }
        verified.map_err(|fault| match fault {
            id_token::Fault::UnknownKey => away("no key of the issuer fits its token"),
            fault => OidcError::Refused(format!("the ID token is refused: {fault}")),
        })
    }
}

fn away(reason: &str) -> OidcError {
    OidcError::Away(reason.to_owned())
}

/// The parameters of a callback.
#[derive(Default)]
struct Callback {
    state: String,
    code: Option<String>,
    iss: Option<String>,
    /// One of the error codes of RFC 6749, or `another error`.
    error: Option<&'static str>,
}

impl Callback {
    fn read(query: &str) -> Result<Callback, OidcError> {
        const WRONG: OidcError = OidcError::Flow("the answer of the issuer cannot be read");
        if query.len() > QUERY_BYTES_MAX {
            return Err(WRONG);
        }
        let mut given = Callback::default();
        let mut has_state = false;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_encoding::percent_decode_str(&value).decode_utf8();
            let value = value.map_err(|_| WRONG)?.into_owned();
            let is_twice = match name {
                "state" => {
                    given.state = value;
                    std::mem::replace(&mut has_state, true)
                }
                "code" => given.code.replace(value).is_some(),
                "iss" => given.iss.replace(value).is_some(),
                "error" => given.error.replace(known_error(&value)).is_some(),
                _ => false,
            };
            if is_twice {
                return Err(WRONG);
            }
        }
        Ok(given)
    }
}

/// The code of an error as one of the known words: the text comes from the browser.
fn known_error(code: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        "access_denied",
        "interaction_required",
        "invalid_request",
        "invalid_scope",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    ];
    KNOWN.into_iter().find(|known| *known == code).unwrap_or("another error")
}

/// Fields as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_read_strictly() {
        let read = |query: &str| Callback::read(query).map(|c| (c.state, c.code, c.iss, c.error));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("state=a%2Bb&code=c+d&iss=https%3A%2F%2Fid.example&session_state=x"),
            Ok(("a+b".to_owned(), text("c d"), text("https://id.example"), None))
        );
        assert_eq!(
            read("error=access_denied&state=s"),
            Ok(("s".to_owned(), None, None, Some("access_denied")))
        );
        let strange = read("error=%3Cscript%3E&state=s").map(|given| given.3);
        assert_eq!(strange, Ok(Some("another error")), "nothing is reflected");
        for wrong in ["state=a&state=b", "code=a&code=b&state=s", "state=%ff", "iss=a&iss=a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(Callback::read(&"a".repeat(QUERY_BYTES_MAX + 1)).is_err());
    }
}
