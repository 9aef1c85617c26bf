//! Why a command failed, and the exit code that this means.
//!
//! A leaf: `app` and `cli` both use it.

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The user must change something; the text says what. Exit code 1.
    User(String),
    /// A bug in Tollgate. Exit code 70.
    Defect(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Defect(error.into())
    }
}
