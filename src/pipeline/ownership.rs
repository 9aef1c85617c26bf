//! Stored objects under a shared key: whose they are, and what an answer adds.
//!
//! Stages 6 and 11 of the walk. Under the gateway's own key every object that a body names has to
//! be one that an answer to the same organisation named before (`routing.stored_objects: own`),
//! else the body does not become a complete one upstream. Does not: look at callers with their own
//! provider key, whose account is theirs alone.

use std::sync::Arc;

use http::Method;
use tollgate_wire::{Format, ids};

use super::gateway::Gateway;
use super::refusal::Refusal;
use crate::auth::Caller;
use crate::code::Code;
use crate::config::policy::{Policy, StoredObjects};
use crate::ids::OrgId;
use crate::objects::Objects;
use crate::redact::{Facts, StoredKind, StoredObject};
use crate::route::table::Endpoint;

/// Judges the objects that one body names, as they are read.
pub struct Ownership {
    objects: Arc<Objects>,
    policy: Arc<Policy>,
    org: OrgId,
    /// So many of them have been judged.
    judged: usize,
}

impl Ownership {
    /// For the bodies of this caller; nothing where all objects may be named.
    pub fn of(gateway: &Gateway, policy: &Arc<Policy>, caller: &Caller) -> Option<Ownership> {
        let asked = caller.upstream_key.is_none()
            && policy.routing.options.stored_objects != StoredObjects::Allow;
        asked.then(|| Ownership {
            objects: Arc::clone(&gateway.objects),
            policy: Arc::clone(policy),
            org: caller.org.clone(),
            judged: 0,
        })
    }

    /// Judges what has been named since the last time.
    ///
    /// # Errors
    /// 403 for an object that is not known to be the organisation's.
    pub fn judge(&mut self, facts: &Facts) -> Result<(), Refusal> {
        if facts.stored_cut {
            let message = "the request names more stored objects than can be checked, or one with \
                a very long id, so it was \
                           not forwarded; name fewer, or use your own provider key";
            return Err(Refusal::new(Code::EndpointNotAllowed, message).closing());
        }
        for object in facts.stored.get(self.judged..).unwrap_or_default() {
            if !self.may_name(object) {
                let message = format!(
                    "`{}` names an object kept at the provider that is not known to be your \
                     organization's, so the request \
                     was not forwarded; name one from an earlier answer to your organization, send \
                     the content itself, use \
                     your own provider key, or have the operator open it (routing.shared_objects, \
                     routing.stored_objects)",
                    object.param
                );
                return Err(Refusal::new(Code::EndpointNotAllowed, message)
                    .about(field(object.kind))
                    .closing());
            }
        }
        self.judged = facts.stored.len();
        Ok(())
    }

    fn may_name(&self, object: &StoredObject) -> bool {
        let routing = &self.policy.routing;
        // The same for every account: connector_googledrive.
        let is_public = object.kind == StoredKind::Connector
            && object
                .id
                .strip_prefix("connector_")
                .is_some_and(|name| name.bytes().all(|b| b.is_ascii_lowercase()));
        is_public
            || routing.shared_objects.iter().any(|glob| glob.matches(&object.id))
            || routing.options.stored_objects == StoredObjects::Own
                && self.objects.owns(&self.org, &object.id)
    }
}

fn field(kind: StoredKind) -> &'static str {
    match kind {
        StoredKind::Response => "previous_response_id",
        StoredKind::Conversation => "conversation",
        StoredKind::Item | StoredKind::Echo => "input",
        StoredKind::File => "file_id",
        StoredKind::VectorStore => "vector_store_ids",
        StoredKind::Container => "container",
        StoredKind::Prompt => "prompt",
        StoredKind::Skill => "skill_id",
        StoredKind::Connector => "connector_id",
        StoredKind::Audio => "audio",
        StoredKind::Cache => "cached_content",
        StoredKind::Other => "id",
    }
}

/// Notes the objects that the answers of one call name.
pub struct Learning {
    objects: Arc<Objects>,
    org: OrgId,
    format: Format,
    /// The answer is an object that the call made.
    begins: bool,
}

impl Learning {
    /// For a call of this caller with this method; `None` if its answer names no objects to note.
    pub fn of(
        gateway: &Gateway,
        policy: &Policy,
        method: &Method,
        endpoint: &Endpoint,
        caller: &Caller,
    ) -> Option<Learning> {
        let kept = policy.routing.options.stored_objects == StoredObjects::Own
            && caller.upstream_key.is_none();
        let begins = endpoint.format == Format::Other
            && *method == Method::POST
            && endpoint.ids().next().is_none();
        let names = begins || endpoint.answer.names_objects();
        (kept && names).then(|| Learning {
            objects: Arc::clone(&gateway.objects),
            org: caller.org.clone(),
            format: endpoint.answer,
            begins,
        })
    }

    /// Takes a whole answer, the beginning of one, or the data of an event.
    pub fn answer(&self, bytes: &[u8]) {
        let mut learn = |id: &str| self.objects.learn(&self.org, id);
        if self.begins {
            ids::made_object(bytes, &mut learn);
        } else {
            self.format.each_object(bytes, &mut learn);
        }
    }
}
