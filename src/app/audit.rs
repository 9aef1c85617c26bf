//! The audit at a start: its record, its copy in the store, and a look at both copies.

use std::sync::Arc;

use crate::ailog::{AiLog, AuditRecord};
use crate::audit::{Audit, By, Edit, Entry, Kind, RECORDS, Stored, stored_entry};
use crate::config::Origin;
use crate::config::policy::{Policy, Settings, StoreKind};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::report::Reader;

/// Opens the audit; the policy may come into force when this returns.
///
/// # Errors
/// The files cannot be read or written.
pub(crate) fn open(
    settings: &Settings,
    policy: &Policy,
    origin: &Origin,
    log: &AiLog,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Audit>, Failure> {
    let failed = |error: std::io::Error| Failure::User(format!("{RECORDS}: {error}"));
    let audit = Audit::open(&settings.options.data_dir, Arc::clone(metrics)).map_err(failed)?;
    let log = log.clone();
    let store = move |stored: Stored| {
        let Stored { chain, seq, record, hash } = stored;
        log.keep_audit(AuditRecord { chain, seq, record, hash });
    };
    let audit = Arc::new(audit);
    // Before the store gets anything, it tells what it has. A server that is away must not delay
    // the start.
    let (to_store, from) = (Arc::clone(&audit), settings.clone());
    let begin = move || {
        compare(&from, &to_store);
        if let Err(error) = to_store.send_to(Box::new(store)) {
            tracing::error!(
                event = "audit_not_stored",
                %error, "records of the audit are not stored");
        }
    };
    match &settings.store {
        StoreKind::Embedded => begin(),
        StoreKind::ClickHouse(_) => {
            let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(begin);
            thread.map(drop).map_err(failed)?;
        }
    }
    let files = origin.texts();
    let edit = Edit { version: &policy.version, files, effective: &origin.effective };
    audit.accepted(&By::kind(Kind::Start), &edit).map_err(failed)?;
    let status = audit.status();
    let head = status.head.map(|(seq, hash)| format!("{seq}:{hash}")).unwrap_or_default();
    tracing::info!(event = "audit_opened", chain = status.chain, head, "audit");
    Ok(audit)
}

/// Looks at both copies. A store that cannot be read is told where it is written.
fn compare(settings: &Settings, audit: &Audit) {
    let Ok(reader) = Reader::open(&settings.store, &settings.options.data_dir) else { return };
    let Ok(records) = reader.audit(Some(audit.chain())) else { return };
    let entries: Vec<Option<Entry>> =
        records.iter().map(|kept| stored_entry(kept.seq, &kept.record, &kept.hash)).collect();
    audit.compare(&entries);
}
