//! The decision of a policy about a call, compared with the decision that was made.
//!
//! Guarantees: names and counts only, never a value of a call. Does not: decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::code::Code;
use crate::limit::caps::{Over, Scope, Which};

/// Values taken out of a request, by kind; `attachment` for those.
pub(crate) type Counts = BTreeMap<Arc<str>, u32>;

/// A refusal by a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    /// The limit that refuses, and whose it is.
    pub(crate) limit: Option<(Which, Scope)>,
}

impl Refused {
    /// By no limit.
    pub(crate) fn by(code: Code) -> Refused {
        Refused { code, limit: None }
    }

    /// `org:requests_per_minute`, as the column `limited_by` has it; empty if no limit refuses.
    pub(crate) fn limited_by(&self) -> String {
        let text = |(which, scope): &(Which, Scope)| [scope.as_str(), ":", which.as_str()].concat();
        self.limit.as_ref().map(text).unwrap_or_default()
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("status".to_owned(), json!(self.code.status()));
        object.insert("code".to_owned(), json!(self.code.as_str()));
        if let Some((which, scope)) = &self.limit {
            object.insert("limit".to_owned(), json!(which.as_str()));
            object.insert("scope".to_owned(), json!(scope.as_str()));
        }
        Value::Object(object)
    }
}

impl From<Over> for Refused {
    fn from(over: Over) -> Refused {
        Refused { code: Code::RateLimitExceeded, limit: Some((over.which, over.scope)) }
    }
}

/// The difference in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It would have been refused.
    Refused,
    /// It was refused, and would not have been.
    Allowed,
    /// It would have gone to another target.
    Rerouted,
    /// Something else would have been taken out of it.
    Redacted,
    /// Nothing, as far as can be judged.
    Same,
}

impl Word {
    /// A closed set: it is a label of the metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Word::Refused => "refused",
            Word::Allowed => "allowed",
            Word::Rerouted => "rerouted",
            Word::Redacted => "redacted",
            Word::Same => "same",
        }
    }
}

/// The decision of a policy, where it differs from the one that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The call passed, and would have been refused.
    pub(crate) refused: Option<Refused>,
    /// The call was refused, and would have passed.
    pub(crate) allowed: bool,
    /// The redactions that it would have made.
    pub(crate) redacted: Option<Counts>,
    /// The provider that would have been asked first, and the model's name there.
    pub(crate) target: Option<(Arc<str>, String)>,
    /// Over this budget the call would have gone to this model, at the target above.
    pub(crate) downgraded: Option<(Arc<str>, Over)>,
    /// The parts that cannot be judged.
    pub(crate) unjudged: Vec<&'static str>,
}

impl Difference {
    /// The first word that fits.
    pub(crate) fn word(&self) -> Word {
        match self {
            Difference { refused: Some(_), .. } => Word::Refused,
            Difference { allowed: true, .. } => Word::Allowed,
            Difference { target: Some(_), .. } => Word::Rerouted,
            Difference { redacted: Some(_), .. } => Word::Redacted,
            _ => Word::Same,
        }
    }

    /// The column `shadow`: empty if nothing differs.
    pub(crate) fn to_json(&self, version: &str) -> String {
        if *self == Difference::default() {
            return String::new();
        }
        let mut object = Map::new();
        object.insert("version".to_owned(), json!(version));
        if let Some(refused) = &self.refused {
            object.insert("refused".to_owned(), refused.json());
        }
        if self.allowed {
            object.insert("allowed".to_owned(), json!(true));
        }
        if let Some(counts) = &self.redacted {
            object.insert("redacted".to_owned(), counts_json(counts));
        }
        if let Some((provider, model)) = &self.target {
            object.insert("target".to_owned(), json!({"provider": &**provider, "model": model}));
        }
        if let Some((model, over)) = &self.downgraded {
            let (limit, scope) = (over.which.as_str(), over.scope.as_str());
            let told = json!({"model": &**model, "limit": limit, "scope": scope});
            object.insert("downgraded".to_owned(), told);
        }
        if !self.unjudged.is_empty() {
            object.insert("unjudged".to_owned(), json!(self.unjudged));
        }
        Value::Object(object).to_string()
    }
}

fn counts_json(counts: &Counts) -> Value {
    counts.iter().map(|(kind, n)| (kind.to_string(), json!(n))).collect::<Map<_, _>>().into()
}

/// Whether the policy in force refused a call with this code: `limited_by` is the column.
pub(crate) fn is_of_policy(code: Code, limited_by: &str) -> bool {
    match code {
        Code::RateLimitExceeded => !limited_by.is_empty() && limited_by != "provider",
        Code::AttachmentsNotAllowed
        | Code::SensitiveData
        | Code::ModelNotFound
        | Code::WrongEndpoint
        | Code::EndpointNotAllowed
        | Code::FeatureDisabled => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_has_only_what_differs() {
        let check = |difference: &Difference, word: Word, expected: Value| {
            let text = difference.to_json("9f2c61e0ab34");
            let found = serde_json::from_str(&text).unwrap_or(Value::Null);
            assert_eq!((difference.word(), found), (word, expected));
        };
        let none = Difference::default();
        check(&none, Word::Same, Value::Null);
        let over = Over { which: Which::Requests, scope: Scope::Org, limit: 5, wait: None };
        let refused = Refused::from(over);
        assert_eq!(refused.limited_by(), "org:requests_per_minute");
        check(
            &Difference { refused: Some(refused), ..none.clone() },
            Word::Refused,
            json!({"version": "9f2c61e0ab34", "refused": {"status": 429,
                "code": "rate_limit_exceeded", "limit": "requests_per_minute", "scope": "org"}}),
        );
        check(
            &Difference { refused: Some(Refused::by(Code::ModelNotFound)), ..none.clone() },
            Word::Refused,
            json!({"version": "9f2c61e0ab34",
                "refused": {"status": 404, "code": "model_not_found"}}),
        );
        check(
            &Difference { allowed: true, ..none.clone() },
            Word::Allowed,
            json!({"version": "9f2c61e0ab34", "allowed": true}),
        );
        let counts = Counts::from([(Arc::from("email"), 1), (Arc::from("iban"), 2)]);
        let target = Some((Arc::from("azure"), "my-deployment".to_owned()));
        let redacted = Difference { redacted: Some(counts), ..none.clone() };
        check(
            &redacted,
            Word::Redacted,
            json!({"version": "9f2c61e0ab34", "redacted": {"email": 1, "iban": 2}}),
        );
        check(
            &Difference { target, ..redacted },
            Word::Rerouted,
            json!({"version": "9f2c61e0ab34", "redacted": {"email": 1, "iban": 2},
                "target": {"provider": "azure", "model": "my-deployment"}}),
        );
        let over = Over { which: Which::UsdPerDay, scope: Scope::Org, limit: 5, wait: None };
        let target = Some((Arc::from("azure"), "small".to_owned()));
        check(
            &Difference { target, downgraded: Some(("small".into(), over)), ..none.clone() },
            Word::Rerouted,
            json!({"version": "9f2c61e0ab34", "target": {"provider": "azure", "model": "small"},
                "downgraded": {"model": "small", "limit": "usd_per_day", "scope": "org"}}),
        );
        check(
            &Difference { unjudged: vec!["auth"], ..none },
            Word::Same,
            json!({"version": "9f2c61e0ab34", "unjudged": ["auth"]}),
        );
    }
}
