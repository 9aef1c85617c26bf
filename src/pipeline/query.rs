//! The query of a request's target: read, redacted, and written again where something was taken
//! out.
//!
//! Pure. A query has no one reading: `+` is a plus or a space, and what was encoded twice may be
//! decoded twice. So names and values are looked at in every reading. Promises: what holds no match
//! leaves exactly as it came; parameters that carry credentials, and those that would send a call
//! elsewhere, do not leave. Does not: know which parameters a provider has.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::credential::Shown;
use super::refusal::Refusal;
use crate::bounds::{QUERY_BYTES_MAX, QUERY_PARAMETERS_MAX};
use crate::code::Code;
use crate::redact::{self, Ledger, Rules};

/// How many times what is decoded may be decoded again.
const DECODINGS_MAX: usize = 3;

/// A query that may leave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query<'q> {
    pub text: Cow<'q, str>,
    pub ledger: Ledger,
    /// Models that it names, in every reading.
    pub models: Vec<String>,
}

/// The part of a query that may leave, by these rules.
///
/// # Errors
/// 400 for a query that is too long or not UTF-8, 415 for a `data:` URL where the policy refuses
/// attachments.
pub fn cleaned<'q>(rules: &Rules, shown: &Shown<'_>, query: &'q str) -> Result<Query<'q>, Refusal> {
    let bad = |message: &'static str| Err(Refusal::new(Code::InvalidRequest, message).closing());
    if query.len() > QUERY_BYTES_MAX {
        return bad("the query of the request is too long; at most 8 KiB are read");
    }
    let mut parameters: Vec<Cow<'q, str>> = Vec::new();
    let (mut ledger, mut models, mut changed) = (Ledger::default(), Vec::new(), false);
    for parameter in query.split('&') {
        if parameters.len() == QUERY_PARAMETERS_MAX {
            return bad("the query of the request has too many parameters; at most 100 are read");
        }
        if percent_decoded(parameter).is_none() {
            return bad("the query of the request is not UTF-8");
        }
        let mut one = Parameter { rules, shown, ledger: &mut ledger, models: &mut models };
        match one.cleaned(parameter) {
            Some(kept) => {
                changed |= matches!(kept, Cow::Owned(_));
                parameters.push(kept);
            }
            None => changed = true,
        }
    }
    if ledger.attachments > 0 && rules.rejects_attachments() {
        let message = "attachments are not allowed (a `data:` URL in the query)";
        return Err(Refusal::new(Code::AttachmentsNotAllowed, message).closing());
    }
    let text = if changed { Cow::Owned(parameters.join("&")) } else { Cow::Borrowed(query) };
    Ok(Query { text, ledger, models })
}

/// Looks at one parameter.
struct Parameter<'a> {
    rules: &'a Rules,
    shown: &'a Shown<'a>,
    ledger: &'a mut Ledger,
    models: &'a mut Vec<String>,
}

impl Parameter<'_> {
    /// The part of the parameter that may leave; nothing if none of it may.
    fn cleaned<'q>(&mut self, parameter: &'q str) -> Option<Cow<'q, str>> {
        let (name, value) = parameter
            .split_once('=')
            .map_or((parameter, None), |(name, value)| (name, Some(value)));
        // Some readers take `;` for `&`.
        let hidden = |part: &str| {
            part.split(';').skip(1).any(|p| is_barred(p.split('=').next().unwrap_or_default()))
        };
        if is_barred(name) || hidden(parameter) {
            return None;
        }
        let value_readings = readings(value.unwrap_or_default());
        if readings(name).iter().chain(&value_readings).any(|reading| self.shown.are_in(reading)) {
            return None;
        }
        let plain = plain_name(name);
        if matches!(
            &*plain,
            "model" | "models" | "modelid" | "modelname" | "engine" | "deployment" | "deploymentid"
        ) {
            self.models.extend(value_readings.iter().cloned());
        }
        if plain == "apiversion" && !is_api_version(value.unwrap_or_default()) {
            return None;
        }
        let clean_name = self.redacted(name);
        let clean_value = value.map(|value| self.redacted(value));
        if let (None, None | Some(None)) = (&clean_name, &clean_value) {
            // A name may say what a number is.
            let joined = value_readings.iter().map(|value| format!("{plain}={value}"));
            let found = joined
                .filter(|text| !self.rules.is_harmless(text))
                .map(|text| redact::text(self.rules, &text).1);
            let Some(found) = found.into_iter().find(|found| !found.is_empty()) else {
                return Some(Cow::Borrowed(parameter));
            };
            self.ledger.absorb(&found);
            return Some(Cow::Owned(format!("{name}=")));
        }
        let name = clean_name.unwrap_or_else(|| name.to_owned());
        Some(Cow::Owned(match (value, clean_value.flatten()) {
            (None, _) => name,
            (Some(value), None) => [&name, "=", value].concat(),
            (Some(_), Some(value)) => [&name, "=", &value].concat(),
        }))
    }

    /// A part with what was found taken out; nothing if it holds nothing.
    fn redacted(&mut self, part: &str) -> Option<String> {
        let mut clean: Option<String> = None;
        // A match taken out of one reading may leave another in a second one.
        for _ in 0..DECODINGS_MAX {
            let at_hand = clean.as_deref().unwrap_or(part);
            let mut found = readings(at_hand)
                .into_iter()
                .filter(|r| !self.rules.is_harmless(r))
                .filter_map(|reading| {
                    let (text, ledger) = redact::text(self.rules, &reading);
                    (!ledger.is_empty()).then_some((text, ledger))
                });
            let Some((text, ledger)) = found.next() else { return clean };
            self.ledger.absorb(&ledger);
            clean = Some(percent_encode(text.as_bytes(), RESERVED).to_string());
        }
        Some(String::new())
    }
}

/// Every reading of a part: with `+` as a space and as a plus, decoded once and again.
pub fn readings(part: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::with_capacity(1);
    for plus_is_space in [true, false] {
        let mut reading = decoded(part, plus_is_space);
        for _ in 1..DECODINGS_MAX {
            let again = decoded(&reading, false);
            let ends = again == reading;
            if !all.contains(&reading) {
                all.push(std::mem::replace(&mut reading, again));
            } else {
                reading = again;
            }
            if ends {
                break;
            }
        }
        if !all.contains(&reading) {
            all.push(reading);
        }
        if !part.contains('+') {
            break;
        }
    }
    all
}

/// A parameter's name as careless readers compare it: letters and digits alone, in lower case.
fn plain_name(name: &str) -> String {
    let last = readings(name).pop().unwrap_or_default();
    last.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a parameter of this name carries a credential, or would send the call elsewhere.
fn is_barred(name: &str) -> bool {
    let name = plain_name(name);
    matches!(
        &*name,
        "key" | "apikey" | "xapikey" | "subscriptionkey" | "ocpapimsubscriptionkey" | "accesskey" | "accesskeyid" | "code"
            | "token" | "auth" | "authorization" | "xauthorization" | "bearer" | "jwt" | "credential" | "credentials"
            | "password" | "passwd" | "pwd" | "secret" | "clientsecret" | "cookie" | "session" | "sessionid"
            // These would send the call elsewhere.
            | "apibase" | "baseurl" | "customllmprovider" | "extraheaders" | "extrabody"
    ) || ["sig", "xamz", "xgoog"].iter().any(|prefix| name.starts_with(prefix))
        || [
            "apikey",
            "accesstoken",
            "authtoken",
            "idtoken",
            "refreshtoken",
            "sessiontoken",
            "securitytoken",
            "bearertoken",
        ]
        .iter()
        .chain(&["gatewaytoken", "tollgatetoken", "secretkey", "privatekey"])
        .any(|end| name.ends_with(end))
}

/// `2024-10-21`, `2025-03-01-preview`, `v1`, `preview`, `latest`.
fn is_api_version(value: &str) -> bool {
    let dated = value.strip_suffix("-preview").unwrap_or(value);
    let is_date = dated.len() == 10
        && dated
            .bytes()
            .enumerate()
            .all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    is_date && dated.starts_with("20") || matches!(value, "v1" | "preview" | "latest")
}

/// Form decoding: `%40` and `+`; `None` where the result is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    String::from_utf8(bytes_of(text, true)).ok()
}

fn decoded(text: &str, plus_is_space: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    String::from_utf8(bytes_of(text, plus_is_space))
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn bytes_of(text: &str, plus_is_space: bool) -> Vec<u8> {
    let text = if plus_is_space { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&text).collect()
}

/// Characters that are encoded: all except the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::redact::{Attachments, RulesSpec};

    fn rules(attachments: Attachments) -> Rules {
        let entities = vec!["email".to_owned(), "phone".to_owned()];
        Rules::compile(&RulesSpec { entities, attachments, ..RulesSpec::default() }).expect("rules")
    }

    fn clean(query: &str) -> Result<String, u16> {
        let cleaned =
            cleaned(&rules(Attachments::Drop), &Shown::in_headers(&HeaderMap::new()), query);
        cleaned.map(|q| q.text.into_owned()).map_err(|refusal| refusal.code.status())
    }

    #[test]
    fn queries_are_decoded_as_forms() {
        assert_eq!(percent_decoded("a%40b+c%zz%"), Some("a@b c%zz%".to_owned()));
        assert_eq!(percent_decoded("%ff"), None);
        assert_eq!(percent_encode("[R] ä".as_bytes(), RESERVED).to_string(), "%5BR%5D%20%C3%A4");
        assert_eq!(readings("a"), ["a"]);
        assert_eq!(readings("%2b1+2"), ["+1 2", "+1+2"]);
        assert_eq!(readings("%2540"), ["%40", "@"]);
    }

    #[test]
    fn every_reading_is_redacted() {
        for (query, expected) in [
            ("beta=true", "beta=true"),
            ("limit=20&after=resp_abc&order=desc", "limit=20&after=resp_abc&order=desc"),
            ("include[]=a%20b&&x", "include[]=a%20b&&x"),
            ("p=jane%40example.com", "p=%5BREDACTED_EMAIL%5D"),
            ("p=jane%2540example.com", "p=%5BREDACTED_EMAIL%5D"),
            ("jane@example.com", "%5BREDACTED_EMAIL%5D"),
            ("jane%40example.com=1&b=2", "%5BREDACTED_EMAIL%5D=1&b=2"),
            ("p=+14155550132", "p=%5BREDACTED_PHONE%5D"),
            ("p=%2B14155550132", "p=%5BREDACTED_PHONE%5D"),
            ("p=%252B14155550132", "p=%5BREDACTED_PHONE%5D"),
            ("p=%2B1+415+555+0132", "p=%5BREDACTED_PHONE%5D"),
            ("p=data:image/png;base64,iVBORw0KGgo=", "p=%5BREDACTED_ATTACHMENT%5D"),
            ("p=data%3Aimage/png%3Bbase64%2CiVBORw0KGgo", "p=%5BREDACTED_ATTACHMENT%5D"),
        ] {
            assert_eq!(clean(query), Ok(expected.to_owned()), "{query}");
        }
        let refused = cleaned(
            &rules(Attachments::Reject),
            &Shown::in_headers(&HeaderMap::new()),
            "p=data:image/png;base64,iVBORw0KGgo=",
        );
        assert_eq!(refused.map_err(|r| r.code.status()), Err(415));
        assert_eq!(clean(&"x".repeat(QUERY_BYTES_MAX + 1)), Err(400));
        assert_eq!(clean(&"&".repeat(QUERY_PARAMETERS_MAX)), Err(400));
        assert_eq!(clean("a=%ff"), Err(400));
    }

    #[test]
    fn credentials_and_detours_do_not_leave() {
        for query in [
            "key=sk-other",
            "KEY=x",
            "api_key=x",
            "api-key=x",
            "apikey=x",
            "apiKey=x",
            "api%5Fkey=x",
            "api%255Fkey=x",
            "%6bey=x",
            "key[]=x",
            "access_token=x",
            "token=x",
            "Authorization=Bearer+x",
            "x-api-key=x",
            "sig=x",
            "Signature=x",
            "X-Amz-Signature=x",
            "subscription-key=x",
            "b=1;key=x",
            "api_base=http://evil",
            "x=sk-proj-abcde",
            "x=Bearer%20tg-lab-key",
            "sk-proj-abcdef",
            "x=eyJhbGciOiJI.eyJz",
            "api-version=jane",
            "key",
        ] {
            assert_eq!(clean(query), Ok(String::new()), "{query}");
            assert_eq!(clean(&format!("a=1&{query}&b=2")), Ok("a=1&b=2".to_owned()), "{query}");
        }
        for query in [
            "api-version=2024-10-21",
            "api-version=2025-03-01-preview",
            "pageToken=abc",
            "max_tokens=5",
            "keys=1",
        ] {
            assert_eq!(clean(query), Ok(query.to_owned()));
        }
        let models = cleaned(
            &rules(Attachments::Drop),
            &Shown::in_headers(&HeaderMap::new()),
            "Model=o1%2Dpro&x=1",
        )
        .expect("query")
        .models;
        assert_eq!(models, ["o1-pro"]);
    }
}
