//! `guardrails`: Presidio becomes redaction.
//!
//! Pure.

use serde_json::json;

use super::super::findings::Findings;
use super::super::output::Output;
use super::super::tree::At;

/// Presidio's entities, and those of a policy.
const ENTITIES: &[(&str, &str)] = &[
    ("EMAIL_ADDRESS", "email"),
    ("PHONE_NUMBER", "phone"),
    ("CREDIT_CARD", "credit_card"),
    ("IBAN_CODE", "iban"),
    ("US_SSN", "us_ssn"),
    ("IP_ADDRESS", "ip"),
];

/// Reads the list.
pub(crate) fn read(list: &At<'_>, output: &mut Output, findings: &mut Findings) {
    let mut entities: Vec<&str> = Vec::new();
    let mut allow: Vec<String> = Vec::new();
    let mut is_any = false;
    for at in list.list() {
        let params = at.get("litellm_params");
        let kind = params.as_ref().and_then(|params| params.get("guardrail"));
        let (Some(params), Some(kind)) = (params, kind) else {
            findings.unsupported(&at, "there is no `litellm_params.guardrail`");
            continue;
        };
        if kind.raw() != Some("presidio") {
            let message = "only presidio has something like it here (`redaction`)";
            findings.unsupported(&at, message);
            continue;
        }
        let modes = params.get("mode").map(|mode| mode.texts()).unwrap_or_default();
        if modes.iter().any(|mode| mode == "logging_only") {
            findings.unsupported(&at, "the log is always redacted as the calls are");
            continue;
        }
        is_any = true;
        if let Some(name) = at.get("guardrail_name") {
            findings.approximate(&name, "redaction", "there is one redaction, without a name");
        }
        findings.exact(&kind, "redaction");
        of_one(&params, (&mut entities, &mut allow), output, findings);
    }
    if is_any {
        output.set("redaction.entities", json!(entities));
        if !allow.is_empty() {
            output.set("redaction.allow", json!(allow));
        }
    }
}

/// One guardrail of Presidio.
fn of_one(
    params: &At<'_>,
    (entities, allow): (&mut Vec<&'static str>, &mut Vec<String>),
    output: &mut Output,
    findings: &mut Findings,
) {
    let is_default = params.get("default_on").and_then(|at| at.switch()) == Some(true);
    let mut has_entities = false;
    for (key, at) in params.entries() {
        match key {
            "mode" => {
                findings.unit(&at);
                let modes = at.texts();
                if modes.iter().any(|mode| mode == "post_call") {
                    findings.approximate(
                        &at,
                        "redaction.answers",
                        "values that the caller has sent stay in the answer",
                    );
                    output.set("redaction.answers", "mask");
                } else if is_default {
                    findings.exact(&at, "redaction");
                } else {
                    findings.approximate(
                        &at,
                        "redaction",
                        "it holds for all calls, not only on request",
                    );
                }
            }
            "default_on" if is_default => findings.exact(&at, "redaction"),
            "default_on" => findings.approximate(&at, "redaction", "it is on for all calls here"),
            "pii_entities_config" => {
                has_entities = true;
                for (name, action) in at.entries() {
                    entity(name, &action, entities, findings);
                }
            }
            "output_parse_pii" => {
                findings.exact(&at, "redaction.restore");
                if at.switch() == Some(true) {
                    output.set("redaction.restore", true);
                }
            }
            "presidio_filter_scope" => match at.raw() {
                Some("output" | "both") => {
                    findings.approximate(
                        &at,
                        "redaction.answers",
                        "values that the caller has sent stay in the answer",
                    );
                    output.set("redaction.answers", "mask");
                }
                _ => findings.exact(&at, "redaction"),
            },
            "presidio_phrase_allow_list" => {
                findings.unit(&at);
                let phrases = at.texts();
                let fits =
                    |text: &String| text.contains('@') || text.chars().any(|c| c.is_ascii_digit());
                let (ours, others): (Vec<String>, Vec<String>) =
                    phrases.into_iter().partition(fits);
                match (ours.is_empty(), others.is_empty()) {
                    (true, _) => findings
                        .unsupported(&at, "words are not detected here, so none has to be allowed"),
                    (false, true) => {
                        findings.approximate(&at, "redaction.allow", "whole values are compared");
                    }
                    (false, false) => {
                        let message = "only addresses and numbers are carried over; words are not \
                            detected here";
                        findings.approximate(&at, "redaction.allow", message);
                    }
                }
                allow.extend(ours);
            }
            _ => {}
        }
    }
    if !has_entities {
        let message = "there is no `pii_entities_config`; LiteLLM masks all of Presidio's \
            entities, Tollgate email and phone";
        findings.approximate(params, "redaction.entities", message);
        add(entities, "email");
        add(entities, "phone");
    }
}

fn add(entities: &mut Vec<&'static str>, name: &'static str) {
    if !entities.contains(&name) {
        entities.push(name);
    }
}

fn entity(name: &str, action: &At<'_>, entities: &mut Vec<&'static str>, findings: &mut Findings) {
    let known = ENTITIES.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
    match (known, action.raw()) {
        (Some(ours), Some("MASK")) => {
            findings.exact(action, "redaction.entities");
            add(entities, ours);
        }
        (Some(ours), _) => {
            let message =
                format!("only MASK is carried over; set `redaction.actions: {{{ours}: reject}}`");
            findings.unsupported(action, &message);
        }
        (None, _) => {
            findings.unsupported(action, "there is no such entity here; see docs/redaction.md")
        }
    }
}
