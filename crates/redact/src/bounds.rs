//! How much of anything the redactor keeps, and the answer to more.
//!
//! A leaf. Each constant says its unit and the behaviour at the bound.

/// Nesting of a JSON body. Deeper is 400 `invalid_json`.
pub const JSON_DEPTH_MAX: usize = 128;
/// Bytes of one body that the redactor may hold back.
pub const REDACT_HELD_BYTES_MAX: usize = 64 << 10;
/// Longest `model` that is read. A longer one is 400 `invalid_request`.
pub const MODEL_BYTES_MAX: usize = 256;
/// Token ids of one body that are read as text; providers take 300,000. More are 400
/// `invalid_request`.
pub const REDACT_TOKENS_MAX: usize = 1 << 20;

/// Parts of one form. More are 400 `invalid_request`.
pub const FORM_PARTS_MAX: usize = 1000;
/// The head of one part of a form, in bytes. A longer one is 400 `invalid_request`.
pub const FORM_HEAD_BYTES_MAX: usize = 8 << 10;

/// Custom patterns, and word lists, of one policy. More are refused with the policy.
pub const CUSTOM_PATTERNS_MAX: usize = 64;
/// Words in all word lists of one policy. More are refused with the policy.
pub const TERMS_MAX: usize = 50_000;
/// Longest match of a custom pattern or word that is found for certain, in folded bytes.
pub const CUSTOM_SPAN_MAX: usize = 1024;
/// Names in one list that comes from a file. More are refused with the policy.
pub const NAMES_MAX: usize = 1_000_000;
/// A compiled custom pattern, in bytes. A larger one is refused with the policy.
pub const CUSTOM_REGEX_BYTES_MAX: usize = 1 << 20;
/// How far behind the first value for which a body is refused others are looked for, in bytes, so
/// that the refusal names all kinds.
pub const REJECT_LOOK_BYTES_MAX: u64 = 64 << 10;
/// Values of one call that get a number and are put back in its answer. Further ones get the plain
/// placeholder.
pub const RESTORE_VALUES_MAX: usize = 1024;
/// Longest such value, in bytes.
pub const RESTORE_VALUE_BYTES_MAX: usize = 1 << 10;
/// All such values of one call, in bytes.
pub const RESTORE_BYTES_MAX: usize = 64 << 10;
/// Values of one call that stay in its answer, where those of others are masked. Further ones count
/// as values of others.
pub const OWN_VALUES_MAX: usize = 4 << 10;
/// Texts of one stream that go on over events at once. In further ones placeholders stay.
pub const RESTORE_CHANNELS_MAX: usize = 256;
/// Longest event in whose text the beginning of a placeholder is held back.
pub const RESTORE_EVENT_BYTES_MAX: usize = 16 << 10;
/// Paths of redacted fields that a call's ledger keeps. Further ones are counted, not named.
pub const REDACT_FIELDS_MAX: usize = 32;
/// Objects kept at the provider (files, responses, containers …) that one body may name. Of a body
/// that names more the list is marked as cut.
pub const BODY_OBJECTS_MAX: usize = 64;
/// An id of such an object, or the name of a further model, in bytes. A longer one marks the list
/// as cut.
pub const BODY_OBJECT_ID_BYTES_MAX: usize = 128;
/// Models that one body may name besides `model`. Of a body that names more the list is marked as
/// cut.
pub const BODY_MODELS_MAX: usize = 16;
/// The place of such a name, for messages. A longer one is cut.
pub const BODY_PARAM_BYTES_MAX: usize = 64;
