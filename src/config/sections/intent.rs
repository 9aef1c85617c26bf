//! The keys of `intent`.

use std::time::Duration;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Named, Shape, section};
use super::{HOUR, MINUTE, MS};
use crate::bounds::MODEL_BYTES_MAX;
use crate::ids::OrgId;

/// Categories, priorities, and synonyms of one of them.
const WORDS_MAX: usize = 64;
/// Part of every prompt.
const PROMPT_BYTES_MAX: usize = 16 << 10;
const EXAMPLES_MAX: usize = 64;
const EXAMPLE_BYTES_MAX: usize = 4 << 10;

section! {
    /// The ticket endpoint.
    RawIntent => struct IntentOptions: Clone, Copy {
        /// Provider that is asked. Without it, `openai`, or the first provider if there is no
        /// `openai`.
        provider: String => check = "openai";
        /// Model that is asked.
        model: String => check = "gpt-4o-mini" in 1..=MODEL_BYTES_MAX;
        /// Temperature.
        temperature: f64 = "0.2" in 0.0..=2.0;
        /// Categories of tickets. Any other category in the answer becomes null.
        categories: Vec<At<String>> => check = "[billing, technical, account, \
            other]" in 1..=WORDS_MAX;
        /// Priorities of tickets. Any other priority in the answer becomes null.
        priorities: Vec<At<String>> => check = "[low, medium, high, vip]" in 1..=WORDS_MAX;
        /// Time until the caller gets an answer. The work continues after it.
        deadline: Duration = "20s" in MS..=10 * MINUTE;
        /// The same for all tickets of a batch together.
        batch_deadline: Duration = "60s" in MS..=HOUR;
        /// Beginning of the instructions. The form of the answer, the allowed words and the rule
        /// that a ticket is data always follow.
        prompt: String => check = "You classify support tickets." in 1..=PROMPT_BYTES_MAX;
        /// Descriptions of categories for the model, one line each.
        category_descriptions: Named<String> => check = "{}", eg "billing: Invoices, payments, \
            refunds, prices";
        /// Descriptions of priorities for the model, one line each.
        priority_descriptions: Named<String> => check = "{}", eg "vip: The sender says that they \
            are an enterprise customer";
        /// Other words that an answer may use for a category.
        category_synonyms: Named<Vec<At<String>>> => check = "{}", eg "technical: [bug, incident, \
            outage]";
        /// Other words that an answer may use for a priority.
        priority_synonyms: Named<Vec<At<String>>> => check = "{}", eg "high: [urgent, critical]";
        /// Tickets with their right answers, shown to the model.
        examples: Vec<At<RawExample>> => check = "[]" in 0..=EXAMPLES_MAX,
            eg "{title: Charged twice, body: Invoice 4711 was paid twice, category: billing, \
                priority: medium}";
        /// If true, the answer also has a `reason`: one sentence of the model.
        reason: bool = "false";
        /// If true, the model is asked again when its answer has no JSON, within
        /// `retry.max_retries`.
        repair: bool = "false";
    }
}
section! {
    /// A ticket with its right answer. It has a title or a body.
    RawExample => struct Example: Clone, PartialEq, Eq {
        /// Title.
        title: String = "''" in 0..=EXAMPLE_BYTES_MAX;
        /// Text.
        body: String = "''" in 0..=EXAMPLE_BYTES_MAX;
        /// One of the categories. Without it, none fits.
        category: Option<String> = "null";
        /// One of the priorities. Without it, none fits.
        priority: Option<String> = "null";
        /// Organisation whose tickets it is shown for. Without it, all.
        org: Option<OrgId> = "null";
    }
}
