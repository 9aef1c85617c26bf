//! Gives a file today's layout when it is opened.
//!
//! Guarantees: a file of any released layout gets today's, in one transaction; an interrupted
//! opening is taken up by the next one. Does not: move the rows of a former layout (see `former`).

use rusqlite::Connection;

use super::layout::{
    LIMITS, USER_VERSION, added, columns_of, has_column, has_table, joined_digests, tables,
    without_computed,
};
use super::{audit, views};
use crate::ailog::columns::SCHEMA_VERSION;

/// Gives the file today's layout; `found` is the one that it has, 0 if it is new. The rows of a
/// former layout are in `ai_log_former` then.
pub(crate) fn bring_up_to_date(connection: &Connection, found: u8) -> rusqlite::Result<()> {
    let mut steps = String::new();
    let columns = columns_of(found);
    if has_table(connection, "ai_log")? {
        // The columns that it lacks, so that all former rows look alike.
        for version in columns + 1..=SCHEMA_VERSION {
            steps.push_str(&added("ai_log", version));
        }
        steps.push_str(&views::dropped(connection)?);
        steps.push_str("ALTER TABLE ai_log RENAME TO ai_log_former; ");
        steps.push_str(&tables());
        tracing::info!(
            event = "layout_begun",
            "the embedded store gets a new layout; its rows are moved"
        );
    } else if found == 0 {
        steps.push_str(&tables());
    } else {
        if i32::from(found) < USER_VERSION {
            steps.push_str(&views::dropped(connection)?);
            tracing::info!(
                event = "layout_migrated",
                layout = USER_VERSION,
                "the embedded store was migrated to a new layout"
            );
        }
        steps.push_str(&without_computed(connection)?);
        for version in columns + 1..=SCHEMA_VERSION {
            for table in ["ai_series", "ai_groups", "ai_captures", "ai_rows"] {
                steps.push_str(&added(table, version));
            }
        }
        if has_table(connection, "ai_digests")? {
            steps.push_str(&joined_digests());
        }
        if !has_column(connection, "ai_limits", "place")? {
            steps.push_str(&format!("DROP TABLE ai_limits; {LIMITS} "));
        }
    }
    if !has_table(connection, "policy_audit")? {
        steps.push_str(audit::TABLE);
    }
    // Where they are dropped, all of them are made anew.
    let are_dropped = steps.contains("DROP VIEW");
    steps.push_str(&views::outdated(connection, are_dropped)?);
    if steps.is_empty() && i32::from(found) == USER_VERSION {
        return Ok(());
    }
    connection
        .execute_batch(&format!("BEGIN; {steps} PRAGMA user_version = {USER_VERSION}; COMMIT;"))
}
