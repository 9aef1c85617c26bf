//! Any form that has no file of its own: endpoints that an operator opens, counts of tokens, lists.
//!
//! Usage is read if it has familiar names, and a stream is read like one of `chat/completions`,
//! because most servers imitate OpenAI. The stream may end anywhere. Its text is not charged by
//! estimate: it may not be text of a model.

use tollgate_redact::Schema;

use super::{Spec, openai_chat};
use crate::reported::ReportedUsage;
use crate::stream::End;

pub(crate) const SPEC: Spec = Spec {
    name: "other",
    routes: &[],
    schema: Schema::UNKNOWN,
    is_generated: false,
    is_stored: false,
    usage: Some(ReportedUsage::included),
    event: openai_chat::chunk,
    end: End::Anywhere,
    error_event: None,
    objects: None,
};
