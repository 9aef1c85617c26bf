//! The redactions that rules would have made in a request, from the findings in it.
//!
//! Guarantees: counts only. Does not: look at text (see `redact`).

use std::sync::Arc;

use super::verdict::Counts;
use crate::code::Code;
use crate::redact::{Action, Ledger, RedactError, Rules};

/// The name under which attachments are counted.
pub(crate) const ATTACHMENT: &str = "attachment";

/// The decision of rules about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Redaction {
    pub(crate) counts: Counts,
    /// Why it would have been refused.
    pub(crate) refused: Option<Code>,
}

impl Redaction {
    /// The decision that was made, by the ledger of the rules in force.
    pub(crate) fn done(ledger: &Ledger) -> Redaction {
        let counts = ledger.counts.iter().map(|(kind, n)| (Arc::clone(kind), *n));
        Redaction { counts: with_attachments(counts.collect(), ledger), refused: None }
    }

    /// The decision of `rules`, by the ledger of rules that find the same.
    pub(crate) fn of_same(rules: &Rules, ledger: &Ledger) -> Redaction {
        let (mut counts, mut refused) = (Counts::new(), None);
        for (kind, n) in ledger.counts.iter().chain(&ledger.left) {
            match rules.action(kind) {
                Action::Count => continue,
                Action::Reject => refused = Some(Code::SensitiveData),
                Action::Mask | Action::DropMessage => {}
            }
            *counts.entry(Arc::clone(kind)).or_default() += n;
        }
        Redaction { counts: with_attachments(counts, ledger), refused }
    }

    /// The decision of `rules`, by their own ledger, and how that ended.
    pub(crate) fn of_own(rules: &Rules, ledger: &Ledger, error: Option<&RedactError>) -> Redaction {
        let refused = match error {
            Some(RedactError::Attachment { .. }) => Some(Code::AttachmentsNotAllowed),
            Some(RedactError::Sensitive { .. }) => Some(Code::SensitiveData),
            Some(RedactError::Tokens { .. }) => Some(Code::UnsupportedMediaType),
            // Those are refused under any rules.
            Some(
                RedactError::InvalidJson { .. }
                | RedactError::InvalidRequest { .. }
                | RedactError::Internal,
            )
            | None => (!rules.rejected(ledger).is_empty()).then_some(Code::SensitiveData),
        };
        Redaction { refused, ..Redaction::done(ledger) }
    }
}

fn with_attachments(mut counts: Counts, ledger: &Ledger) -> Counts {
    if ledger.attachments > 0 {
        counts.insert(Arc::from(ATTACHMENT), ledger.attachments);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{RulesSpec, text};

    fn rules(actions: &[(&str, Action)]) -> Arc<Rules> {
        let actions = actions.iter().map(|(kind, action)| ((*kind).to_owned(), *action)).collect();
        let entities = vec!["email".to_owned(), "phone".to_owned()];
        let spec = RulesSpec { entities, actions, ..RulesSpec::default() };
        Arc::new(Rules::compile(&spec).expect("rules"))
    }

    #[test]
    fn actions_are_judged_without_a_second_look() {
        let written = "Write to ann@example.com, or to bob@example.com; call +44 20 7946 0958.";
        let all = [
            rules(&[]),
            rules(&[("phone", Action::Count)]),
            rules(&[("email", Action::Reject)]),
            rules(&[("email", Action::Count), ("phone", Action::Reject)]),
        ];
        for force in &all {
            let (_, ledger) = text(force, written);
            for candidate in &all {
                assert!(force.finds_the_same(candidate));
                let own = text(candidate, written).1;
                let judged = Redaction::of_same(candidate, &ledger);
                assert_eq!(judged, Redaction::of_own(candidate, &own, None));
            }
        }
        let other = RulesSpec { entities: vec!["email".to_owned()], ..RulesSpec::default() };
        let other = Rules::compile(&other).expect("rules");
        assert!(!all[0].finds_the_same(&other));
    }
}
