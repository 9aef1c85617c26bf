//! The end of an answer that is not complete.

/// The answer broke off. The connection is cut, so that the client does not take it for complete.
#[derive(Debug, thiserror::Error)]
#[error("the answer ended early")]
pub struct Cut;
