//! The conventions of Azure OpenAI. Its formats are OpenAI's.
//!
//! # Source
//! Azure OpenAI in Foundry Models REST API, `v1`, read November 2026.

use super::{Conventions, openai_chat};

pub(crate) const KIND: Conventions = Conventions {
    name: "azure_openai",
    base_url: "https://RESOURCE.openai.azure.com",
    key_header: ("api-key", ""),
    ..openai_chat::KIND
};
