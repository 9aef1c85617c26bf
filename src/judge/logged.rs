//! The redactions that rules would have made in a logged request, from its row and its captured
//! body.
//!
//! The captured body is redacted: what was taken out is gone, and only counts of it are left. So an
//! entity that the rules add is counted exactly, one that they drop is known by the counts, and
//! changed rules of an entity that was taken out cannot be judged.
//!
//! Guarantees: what is not known is said, never guessed; a placeholder that a caller typed counts
//! for nothing, because counts decide. Does not: change a body.

use std::sync::Arc;

use bytes::Bytes;

use super::row::LoggedCall;
use crate::code::Code;
use crate::redact::{Action, BodyRedactor, ENTITIES, RedactError, Rules, Schema};

/// The decision that would have been made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Something else would have been taken out.
    pub(crate) is_changed: bool,
    pub(crate) refused: Option<Code>,
}

const SAME: Judged = Judged { is_changed: false, refused: None };
const CHANGED: Judged = Judged { is_changed: true, refused: None };

fn refused(code: Code) -> Judged {
    Judged { is_changed: false, refused: Some(code) }
}

/// The reason why a row cannot be judged.
pub(crate) type Reason = &'static str;
pub(crate) const NO_BODY: Reason = "no_body";
pub(crate) const BODY_TRUNCATED: Reason = "body_truncated";
pub(crate) const VALUE_GONE: Reason = "value_gone";

/// Judges a row. `force`: the rules under which its call was made, if they are known.
///
/// # Errors
/// Why it cannot be judged.
pub(crate) fn judge(
    row: &LoggedCall<'_>,
    rules: &Arc<Rules>,
    force: Option<&Rules>,
    schema: Schema,
) -> Result<Judged, Reason> {
    if row.ended_at_head() {
        return Err(NO_BODY);
    }
    if let Some(judged) = was_refused(row, rules) {
        return judged;
    }
    if row.attachments > 0 && rules.rejects_attachments() {
        return Ok(refused(Code::AttachmentsNotAllowed));
    }
    if row.attachments > 0 && rules.allows_attachments() {
        return Ok(CHANGED);
    }
    if let Some(force) = force.filter(|force| force.finds_the_same(rules)) {
        return by_action(row, rules, force);
    }
    if let Some(judged) = by_counts(row, rules) {
        return Ok(judged);
    }
    if row.request_bytes == 0 {
        return Ok(SAME);
    }
    let Some(body) = row.request else { return Err(NO_BODY) };
    if row.is_cut {
        return Err(BODY_TRUNCATED);
    }
    if row.others > 0
        && let Some(judged) = by_placeholders(row, rules, body)?
    {
        return Ok(judged);
    }
    if row.emails + row.phones > 0 && !force.is_some_and(|force| force.allows_the_same(rules)) {
        // A value may be one that these rules let stay, or find otherwise.
        let alone = force.is_none() && !rules.may_leave();
        if !alone {
            return Err(VALUE_GONE);
        }
    }
    Ok(by_body(rules, schema, body))
}

/// A request that was refused for what it held, and that was not read to its end.
fn was_refused(row: &LoggedCall<'_>, rules: &Rules) -> Option<Result<Judged, Reason>> {
    let code =
        match row.error_code {
            "attachments_not_allowed" if rules.rejects_attachments() => Code::AttachmentsNotAllowed,
            "sensitive_data"
                if row.actions.split(',').filter_map(noted).any(|(kind, _)| {
                    rules.looks_for(kind) && rules.action(kind) == Action::Reject
                }) =>
            {
                Code::SensitiveData
            }
            "attachments_not_allowed" | "sensitive_data" => return Some(Err(NO_BODY)),
            _ => return None,
        };
    Some(Ok(refused(code)))
}

/// The rules find the same, and do something else with it.
fn by_action(row: &LoggedCall<'_>, rules: &Rules, force: &Rules) -> Result<Judged, Reason> {
    let mut is_changed = false;
    let found = [("email", row.emails), ("phone", row.phones)];
    let noted = row.actions.split(',').filter_map(noted);
    for (kind, count) in found.into_iter().chain(noted) {
        let (was, is) = (force.action(kind), rules.action(kind));
        if count == 0 || was == is {
            continue;
        }
        if is == Action::Reject {
            return Ok(refused(Code::SensitiveData));
        }
        is_changed |= was != Action::Reject;
    }
    if row.others > 0 && !force.acts_the_same(rules) {
        // The row does not say which kinds they were.
        return Err(VALUE_GONE);
    }
    Ok(if is_changed { CHANGED } else { SAME })
}

/// An entry of the column `redaction_actions` that names a kind.
fn noted(entry: &str) -> Option<(&str, u32)> {
    let (name, count) = entry.split_once('=')?;
    let (_, kind) = name.split_once(':')?;
    Some((kind, count.parse().ok()?))
}

/// By the numbers of addresses and telephone numbers that were taken out.
fn by_counts(row: &LoggedCall<'_>, rules: &Rules) -> Option<Judged> {
    let mut judged = None;
    for (kind, count) in [("email", row.emails), ("phone", row.phones)] {
        match (count, rules.looks_for(kind), rules.action(kind)) {
            (0, ..) => {}
            (_, true, Action::Reject) => return Some(refused(Code::SensitiveData)),
            (_, false, _) | (_, true, Action::Count) => judged = Some(CHANGED),
            (_, true, Action::Mask | Action::DropMessage) => {}
        }
    }
    judged
}

/// Of other kinds by their placeholders; nothing if all of them would be taken out again.
fn by_placeholders(
    row: &LoggedCall<'_>,
    rules: &Rules,
    body: &[u8],
) -> Result<Option<Judged>, Reason> {
    let text = String::from_utf8_lossy(body);
    let is_there = |entity: &&&str| text.contains(&["[REDACTED_", &entity.to_uppercase()].concat());
    let others = ENTITIES.iter().filter(|entity| !matches!(**entity, "email" | "phone"));
    let named: Vec<&&str> = others.filter(is_there).collect();
    // More kinds than values: some of the placeholders were typed.
    if named.is_empty() || named.len() > row.others as usize || rules.may_leave() {
        return Err(VALUE_GONE);
    }
    let stays = |kind: &&&str| !rules.looks_for(kind) || rules.action(kind) == Action::Count;
    if named.iter().any(|kind| rules.looks_for(kind) && rules.action(kind) == Action::Reject) {
        return Ok(Some(refused(Code::SensitiveData)));
    }
    Ok(named.iter().any(stays).then_some(CHANGED))
}

/// The matches that are still in the captured body.
fn by_body(rules: &Arc<Rules>, schema: Schema, body: &[u8]) -> Judged {
    let mut redactor = BodyRedactor::new(Arc::clone(rules), schema, false);
    let (body, mut out) = (Bytes::copy_from_slice(body), Vec::new());
    let result = redactor.push(body, &mut out).and_then(|()| redactor.finish(&mut out));
    match result {
        Err(RedactError::Attachment { .. }) => refused(Code::AttachmentsNotAllowed),
        Err(RedactError::Sensitive { .. }) => refused(Code::SensitiveData),
        _ if redactor.ledger().is_empty() => SAME,
        _ => CHANGED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{Attachments, RulesSpec};

    fn spec(entities: &[&str]) -> RulesSpec {
        let entities = entities.iter().map(|name| (*name).to_owned()).collect();
        RulesSpec { entities, ..RulesSpec::default() }
    }

    fn rules(spec: &RulesSpec) -> Arc<Rules> {
        Arc::new(Rules::compile(spec).expect("rules"))
    }

    #[track_caller]
    fn check(
        row: &LoggedCall<'_>,
        candidate: &RulesSpec,
        force: Option<&RulesSpec>,
        expected: Result<Judged, Reason>,
    ) {
        let force = force.map(rules);
        let judged = judge(row, &rules(candidate), force.as_deref(), Schema::REQUEST);
        assert_eq!(judged, expected);
    }

    const IBAN: &[u8] = br#"{"messages":[{"content":"pay to DE89 3704 0044 0532 0130 00"}]}"#;
    const PLAIN: &[u8] = br#"{"messages":[{"content":"[REDACTED_EMAIL], hello"}]}"#;
    const TAKEN: &[u8] = br#"{"messages":[{"content":"pay to [REDACTED_IBAN]"}]}"#;

    fn row(request: Option<&'static [u8]>) -> LoggedCall<'static> {
        LoggedCall { request, request_bytes: 70, calls: 1, ..LoggedCall::default() }
    }

    #[test]
    fn an_entity_that_is_added_is_counted_in_the_body() {
        let candidate = spec(&["email", "iban"]);
        check(&row(Some(IBAN)), &candidate, None, Ok(CHANGED));
        check(&row(Some(PLAIN)), &candidate, None, Ok(SAME));
        let rejects =
            RulesSpec { actions: vec![("iban".into(), Action::Reject)], ..candidate.clone() };
        check(&row(Some(IBAN)), &rejects, None, Ok(refused(Code::SensitiveData)));
        check(&row(None), &candidate, None, Err(NO_BODY));
        check(
            &LoggedCall { is_cut: true, ..row(Some(IBAN)) },
            &candidate,
            None,
            Err(BODY_TRUNCATED),
        );
        // A call without a body holds nothing.
        check(&LoggedCall { request_bytes: 0, ..row(None) }, &candidate, None, Ok(SAME));
        let head = LoggedCall { request_bytes: 0, error_code: "rate_limit_exceeded", ..row(None) };
        check(&head, &candidate, None, Err(NO_BODY));
    }

    #[test]
    fn an_entity_that_is_dropped_is_known_by_the_counts() {
        let row = LoggedCall { emails: 1, ..row(Some(PLAIN)) };
        check(&row, &spec(&["phone"]), None, Ok(CHANGED));
        check(&row, &spec(&["email"]), None, Ok(SAME));
        let actions = |action| RulesSpec { actions: vec![("email".into(), action)], ..spec(&[]) };
        check(&row, &actions(Action::Count), None, Ok(CHANGED));
        check(&row, &actions(Action::Reject), None, Ok(refused(Code::SensitiveData)));
        // Without the count it was typed.
        let typed = LoggedCall { emails: 0, ..row };
        check(&typed, &spec(&["phone"]), None, Ok(SAME));
        let other = LoggedCall { others: 1, request: Some(TAKEN), ..typed };
        check(&other, &spec(&["email"]), None, Ok(CHANGED));
        check(&other, &spec(&["iban"]), None, Ok(SAME));
    }

    #[test]
    fn other_rules_for_a_value_that_is_gone_cannot_be_judged() {
        let row = LoggedCall { emails: 1, ..row(Some(PLAIN)) };
        let allows = RulesSpec { allow: vec!["@example.com".into()], ..spec(&["email"]) };
        check(&row, &allows, None, Err(VALUE_GONE));
        check(&row, &allows, Some(&allows), Ok(SAME));
        check(&row, &spec(&["email"]), Some(&allows), Err(VALUE_GONE));
        // A kind of the policy's own has no placeholder that tells it.
        check(&LoggedCall { emails: 0, others: 1, ..row }, &spec(&["iban"]), None, Err(VALUE_GONE));
    }

    #[test]
    fn the_same_rules_with_other_actions_need_no_body() {
        let force = spec(&["email", "phone"]);
        let actions = |kind: &str, action| RulesSpec {
            actions: vec![(kind.to_owned(), action)],
            ..force.clone()
        };
        let row = LoggedCall { emails: 2, ..row(None) };
        check(&row, &force, Some(&force), Ok(SAME));
        check(&row, &actions("email", Action::Count), Some(&force), Ok(CHANGED));
        check(&row, &actions("phone", Action::Reject), Some(&force), Ok(SAME));
        let rejects = actions("email", Action::Reject);
        check(&row, &rejects, Some(&force), Ok(refused(Code::SensitiveData)));
        // It was refused, and would not have been.
        let was = LoggedCall { emails: 0, actions: "reject:email=2", ..row };
        check(&was, &force, Some(&rejects), Ok(SAME));
    }

    #[test]
    fn attachments_are_known_by_their_count() {
        let row = LoggedCall { attachments: 1, ..row(None) };
        let of = |attachments| RulesSpec { attachments, ..spec(&["email"]) };
        let drop = of(Attachments::Drop);
        let code = Code::AttachmentsNotAllowed;
        check(&row, &of(Attachments::Reject), Some(&drop), Ok(refused(code)));
        check(&row, &of(Attachments::Allow), Some(&drop), Ok(CHANGED));
        check(&row, &drop, Some(&drop), Ok(SAME));
    }
}
