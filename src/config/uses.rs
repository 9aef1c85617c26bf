//! The part of a configuration that a command uses.
//!
//! A command that takes no calls needs few of the secrets: a report needs no provider's key. A
//! variable of the environment that is not set is a problem only if the command uses its value.
//! Wrong values are problems everywhere.

use super::policy::{Policy, Settings, StoreKind};
use super::reader::place::is_within;

/// The part that a command uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uses {
    /// All of it.
    Everything,
    /// All of it is shown, and no value is used.
    Shown,
    /// Where operators are answered.
    AdminSide,
    /// The secret by which tokens are signed.
    JwtSecret,
    Redaction,
    Prices,
    /// Where the log is.
    Log,
    /// The log, and all by which calls are judged.
    Judging,
    /// The log, and what its rows cost.
    LogAndPrices,
    /// The ClickHouse schema as text.
    Schema,
    /// The ClickHouse schema and its server.
    ClickHouse,
    /// Webhooks and what is told to them.
    Alerts,
    /// The question to a ticket's provider, and how such a call is made and priced.
    Tickets,
}

impl Uses {
    /// Paths of the values that are used.
    fn paths(self) -> &'static [&'static str] {
        match self {
            Uses::Everything | Uses::Shown => &[],
            Uses::AdminSide => &["admin_listen", "admin.tls", "admin.public_url"],
            Uses::JwtSecret => &["auth.jwt"],
            Uses::Redaction => &["redaction", "placeholder_key"],
            Uses::Prices => &["prices"],
            Uses::Log => &["store", "data_dir", "clickhouse"],
            Uses::Judging => &[
                "store",
                "data_dir",
                "clickhouse",
                "auth.accept",
                "auth.keys",
                "routing",
                "limits",
                "redaction",
                "features",
                "intent",
                "prices",
            ],
            Uses::LogAndPrices => &["store", "data_dir", "clickhouse", "prices"],
            Uses::Schema => &["clickhouse.database", "ailog.retention_days", "ailog.retention"],
            Uses::ClickHouse => &["clickhouse", "ailog.retention_days", "ailog.retention"],
            Uses::Alerts => &["alerts"],
            Uses::Tickets => &[
                "intent",
                "providers",
                "routing",
                "timeouts",
                "retry",
                "breaker",
                "redaction",
                "prices",
                "ailog",
                "bounds",
                "log",
            ],
        }
    }

    /// Whether the value at a path is used.
    pub(crate) fn value(self, path: &str, settings: &Settings, policy: &Policy) -> bool {
        if self == Uses::Everything {
            return true;
        }
        if !self.paths().iter().any(|used| is_within(path, used) || is_within(used, path)) {
            return false;
        }
        match self {
            Uses::Log | Uses::LogAndPrices | Uses::Judging if is_within(path, "clickhouse") => {
                matches!(settings.store, StoreKind::ClickHouse(_))
            }
            Uses::Tickets if is_within(path, "providers") && path != "providers" => policy
                .providers
                .get(policy.intent.provider)
                .is_some_and(|provider| is_within(path, &format!("providers.{}", provider.name))),
            _ => true,
        }
    }

    /// Whether any value of a section is used.
    pub(crate) fn section(self, name: &str) -> bool {
        matches!(self, Uses::Everything | Uses::Shown)
            || self.paths().iter().any(|path| path.split('.').next() == Some(name))
    }
}
