//! The tags of a row: values of headers and claims under the names of `ailog.tags`.
//!
//! Stage 5 of the walk. Pure. Guarantees: each value has passed the redactor. Does not: read bodies
//! (see `body_in`: a capture notes `metadata`).

use http::HeaderMap;

use super::credential::is_credential;
use crate::ailog::row::Tag;
use crate::auth::Caller;
use crate::bounds::TAG_BYTES_MAX;
use crate::config::policy::{Policy, TagRule, TagSource};
use crate::redact::{self, Capture, Captured, Redacted};

/// The tags that the head of a call and its caller give.
pub fn of_head(policy: &Policy, headers: &HeaderMap, caller: &Caller) -> Vec<Tag> {
    let rules = policy.redaction.of(&caller.org);
    let mut claims = caller.tags.as_deref().unwrap_or_default().iter();
    let mut tags = Vec::new();
    for TagRule { name, source } in &policy.tags {
        let value = match source {
            TagSource::Header(header) => headers.get(header).and_then(|value| value.to_str().ok()),
            TagSource::Claim(_) => claims.next().and_then(Option::as_deref),
            TagSource::Metadata(_) => None,
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        let value = if is_credential(value) {
            Redacted::from_gateway("(a credential)")
        } else {
            redact::text(rules, value).0.prefix(TAG_BYTES_MAX)
        };
        tags.push(Tag { name: name.clone(), value });
    }
    tags
}

/// Begins the capture of a request body, with the texts of `metadata` that are tags. `None` if the
/// policy asks for neither.
pub fn capture(policy: &Policy) -> Option<Capture> {
    let name = |rule: &TagRule| match &rule.source {
        TagSource::Metadata(name) => Some(name.clone()),
        TagSource::Header(_) | TagSource::Claim(_) => None,
    };
    let names: Vec<String> = policy.tags.iter().filter_map(name).collect();
    let bytes = policy.ailog.request_bytes();
    if bytes == 0 && names.is_empty() {
        return None;
    }
    let mut capture = Capture::request(bytes, policy.ailog.capture.keep);
    capture.note_metadata(names, TAG_BYTES_MAX);
    Some(capture)
}

/// Adds the tags that the body gave.
pub fn of_body(policy: &Policy, kept: &Captured, tags: &mut Vec<Tag>) {
    for (found, value) in &kept.metadata {
        let is_it = |rule: &&TagRule| matches!(&rule.source, TagSource::Metadata(n) if n == found);
        for rule in policy.tags.iter().filter(is_it) {
            tags.push(Tag { name: rule.name.clone(), value: value.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::load;
    use crate::config::policy::Accept;
    use crate::ids::OrgId;

    const POLICY: &str = "
        auth: {accept: [anonymous]}
        redaction: {entities: [email]}
        ailog:
          tags: {feature: 'header:x-feature', team: 'claim:app.team', ticket: 'metadata:ticket_id'}
          capture: {bytes: 100, keep: head}
        ";

    fn told(tags: &[Tag]) -> Vec<(&str, &str)> {
        let text = |tag: &Tag| std::str::from_utf8(tag.value.as_bytes()).map(str::to_owned);
        let texts: Vec<_> = tags.iter().map(|tag| text(tag).expect("UTF-8")).collect();
        tags.iter().zip(texts).map(|(tag, text)| (&*tag.name, &*text.leak())).collect()
    }

    #[test]
    fn tags_come_from_headers_claims_and_metadata_and_are_redacted() {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("file");
        std::fs::write(&file, POLICY).expect("a policy");
        let policy = load(Some(file.path())).expect("a policy").policy;
        let caller = Caller {
            org: OrgId::anonymous(),
            name: "".into(),
            via: Accept::Jwt,
            upstream_key: None,
            key: None,
            tags: Some([Some("blue".to_owned())].into()),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-feature", HeaderValue::from_static("by anna@example.org"));
        let mut tags = of_head(&policy, &headers, &caller);
        assert_eq!(told(&tags), [("feature", "by [REDACTED_EMAIL]"), ("team", "blue")]);
        let mut kept = capture(&policy).expect("captures");
        let body =
            redact::text(policy.redaction.of(&caller.org), r#"{"metadata":{"ticket_id":"T-1"}}"#);
        kept.push(&body.0);
        of_body(&policy, &kept.finish(), &mut tags);
        assert_eq!(told(&tags[2..]), [("ticket", "T-1")]);

        headers.insert("x-feature", HeaderValue::from_static("sk-proj-0123456789abcdefghij"));
        let tags = of_head(&policy, &headers, &Caller { tags: None, ..caller });
        assert_eq!(told(&tags), [("feature", "(a credential)")]);
        let long = "x".repeat(TAG_BYTES_MAX + 1);
        headers.insert("x-feature", HeaderValue::from_str(&long).expect("a value"));
        let tags = of_head(
            &policy,
            &headers,
            &Caller {
                org: OrgId::anonymous(),
                name: "".into(),
                via: Accept::Anonymous,
                upstream_key: None,
                key: None,
                tags: None,
            },
        );
        assert_eq!(told(&tags), [("feature", &long[..TAG_BYTES_MAX])]);
    }
}
