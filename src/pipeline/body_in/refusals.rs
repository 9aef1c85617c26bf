//! The refusals of a request body.
//!
//! Stage 6 of the walk. Pure.

use crate::code::Code;
use crate::config::policy::GatewayKey;
use crate::pipeline::refusal::Refusal;
use crate::redact::{Facts, Ledger, RedactError, Rules};

/// Whether the body may be sent with its key, as far as it is read.
pub fn allowed(key: &GatewayKey, facts: &Facts) -> Result<(), Refusal> {
    if let Some(other) = facts.models.iter().find(|m| !key.may_use(Some(&m.name))) {
        let message =
            format!("this key may not be used with the model that `{}` names", other.param);
        return Err(Refusal::new(Code::ModelNotFound, message).about("model").closing());
    }
    if facts.models_cut {
        let message = "the request body names too many models, or one with too long a name, for a \
            key that is \
                       restricted to certain models; name fewer";
        return Err(Refusal::new(Code::InvalidRequest, message).closing());
    }
    let Some(field) = facts.chooser else { return Ok(()) };
    let message = format!(
        "`{field}` lets the provider choose another model, and this key is restricted to certain \
         models; leave `{field}` out"
    );
    Err(Refusal::new(Code::InvalidRequest, message).about(field).closing())
}

/// The 408 of a body that is not there by the deadline.
pub fn too_slow() -> Refusal {
    Refusal::of(Code::RequestTimeout).closing()
}

/// The 413 of a body longer than `bytes_max`.
pub fn too_large(bytes_max: u64) -> Refusal {
    let message = format!("the request body is too large; at most {bytes_max} bytes are taken");
    Refusal::new(Code::BodyTooLarge, message).closing()
}

/// The 413 of a body that is to be translated, and longer than `bytes_max`.
pub(super) fn too_long_to_translate(bytes_max: usize) -> Refusal {
    let message = format!(
        "the request body is too large for a provider of another format; at most {bytes_max} bytes \
         are translated"
    );
    Refusal::new(Code::BodyTooLarge, message).closing()
}

/// Whether the policy lets a call go on in whose head this was found.
///
/// # Errors
/// A kind that it rejects.
pub fn judge_head(rules: &Rules, found: &Ledger) -> Result<(), Refusal> {
    match rules.rejected(found) {
        kinds if kinds.is_empty() => Ok(()),
        kinds => Err(refusal_of(&RedactError::Sensitive { kinds })),
    }
}

/// The refusal of a body that cannot be redacted.
pub(super) fn refusal_of(error: &RedactError) -> Refusal {
    let code = match error {
        RedactError::InvalidJson { .. } => Code::InvalidJson,
        RedactError::InvalidRequest { .. } => Code::InvalidRequest,
        RedactError::Attachment { .. } => Code::AttachmentsNotAllowed,
        RedactError::Tokens { .. } => Code::UnsupportedMediaType,
        RedactError::Sensitive { .. } => Code::SensitiveData,
        RedactError::Internal => Code::RedactionFailed,
    };
    Refusal::new(code, error.to_string()).closing()
}
