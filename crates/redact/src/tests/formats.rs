//! Formats of requests as the tests need them. Those in use are made by the crate of wire formats.

use crate::Schema;

const CHAT_BOUNDS: &[&str] = &["max_completion_tokens", "max_tokens"];
const INPUT_TEXT: &str = r#"{"type":"input_text","text":"[attachment removed]"}"#;

pub(crate) const CHAT: Schema = Schema {
    usage_option: true,
    store_option: true,
    output_bounds: CHAT_BOUNDS,
    ..Schema::REQUEST
};
pub(crate) const COMPLETIONS: Schema =
    Schema { usage_option: true, prompts: true, output_bounds: CHAT_BOUNDS, ..Schema::REQUEST };
pub(crate) const RESPONSES: Schema = Schema {
    typed_items: true,
    store_option: true,
    removed_part: INPUT_TEXT,
    output_bounds: &["max_output_tokens"],
    ..Schema::REQUEST
};
pub(crate) const EMBEDDINGS: Schema =
    Schema { input_is_parts: true, lists_of_tokens: true, ..Schema::REQUEST };
pub(crate) const MODERATIONS: Schema = Schema { input_is_parts: true, ..Schema::REQUEST };
pub(crate) const IMAGES: Schema = Schema::REQUEST;
pub(crate) const SPEECH: Schema = Schema::REQUEST;
pub(crate) const MESSAGES: Schema =
    Schema { output_bounds: &["max_tokens"], text_documents: true, ..Schema::REQUEST };
