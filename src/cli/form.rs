//! The forms in which commands print.

/// Lines or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TextForm {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

/// A table or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TableForm {
    /// Lines for people
    Table,
    /// One JSON object
    Json,
}
