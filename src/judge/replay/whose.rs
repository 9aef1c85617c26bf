//! Whose call a row was, as the candidate policy knows it.
//!
//! Pure. Does not: know credentials; they are not logged.

use std::sync::Arc;

use super::super::row::LoggedCall;
use super::Replay;
use crate::code::Code;
use crate::config::policy::{Accept, AuthPolicy, GatewayKey, Policy};
use crate::ids::OrgId;
use crate::limit::caps::Scope;

/// The holder of a credential.
pub(crate) struct Whose {
    pub(crate) own: Option<Scope>,
    pub(crate) key: Option<Arc<GatewayKey>>,
}

/// Why a caller is not known.
pub(crate) enum Unknown {
    /// The policy would have refused it.
    Refused(Code),
    Unjudged,
}

/// The keys of a policy, by organisation and name.
pub(crate) fn keys(
    policy: &AuthPolicy,
) -> impl Iterator<Item = ((OrgId, Arc<str>), &Arc<GatewayKey>)> {
    policy.keys.values().map(|key| ((key.options.org.clone(), Arc::clone(&key.name)), key))
}

impl Replay<'_> {
    /// The caller of a row.
    pub(crate) fn identify(&self, row: &LoggedCall<'_>, org: &OrgId) -> Result<Whose, Unknown> {
        let name: Arc<str> = Arc::from(row.caller);
        let accepts = |way| self.candidate.auth.options.accept.contains(&way);
        let named = (org.clone(), Arc::clone(&name));
        if let Some(key) = self.candidate_keys.get(&named) {
            let expired = key.expires_ms.is_some_and(|expires| row.created_at_ms >= expires);
            return match accepts(Accept::Key) && !expired {
                true => Ok(Whose { own: Some(Scope::Key(name)), key: Some(Arc::clone(key)) }),
                false => Err(Unknown::Refused(Code::InvalidToken)),
            };
        }
        if self.keys.contains_key(&named) {
            return Err(Unknown::Refused(Code::InvalidToken));
        }
        if *org == OrgId::anonymous() {
            let whose = Whose { own: None, key: None };
            let known = accepts(Accept::Anonymous);
            return if known { Ok(whose) } else { Err(Unknown::Refused(Code::MissingToken)) };
        }
        if org.is_reserved() {
            let whose = Whose { own: None, key: None };
            let known = accepts(Accept::Passthrough);
            return if known { Ok(whose) } else { Err(Unknown::Refused(Code::InvalidToken)) };
        }
        // A token, or a key that was made at run time.
        let rules = |policy: &Policy| policy.auth.jwt.as_ref().map(|jwt| jwt.fingerprint);
        let accepted = |policy: &Policy| {
            let accept = &policy.auth.options.accept;
            (accept.contains(&Accept::Jwt), accept.contains(&Accept::Key))
        };
        if rules(self.candidate) != rules(self.force)
            || accepted(self.candidate) != accepted(self.force)
        {
            return Err(Unknown::Unjudged);
        }
        let own = (!row.caller.is_empty()).then_some(Scope::User(name));
        Ok(Whose { own, key: None })
    }
}
