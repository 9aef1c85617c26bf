//! Alerts that were delivered, and those still to deliver: one SQLite file, `data_dir/alerts.db`.
//!
//! Guarantees: a claim and the notifications that it causes are written in one transaction, so that
//! a crash loses neither and doubles neither; each webhook has a queue of at most
//! [`ALERTS_QUEUED_MAX`] notifications, beyond which new ones are dropped and counted. If the file
//! cannot be used, the same is kept in memory until the end of the process. Does not: send.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::bounds::{ALERT_CLAIMS_KEPT_MS, ALERT_TRIED_FOR_MS, ALERTS_QUEUED_MAX};

/// The file.
const NAME: &str = "alerts.db";
const TABLES: &str = "
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS claims (claim TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS queue (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, webhook TEXT NOT NULL,
        claim TEXT NOT NULL, body BLOB NOT NULL, made_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        tries INTEGER NOT NULL, held INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS due ON queue (webhook, held, due_ms);";

/// The file, open.
pub struct Book(Connection);

/// A notification to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub seq: i64,
    /// The same at every try.
    pub id: String,
    pub body: Vec<u8>,
    pub tries: u32,
}

/// A notification before it is in a queue.
#[derive(Clone, Debug)]
pub struct Draft<'d> {
    pub webhook: &'d str,
    pub id: &'d str,
    pub body: &'d [u8],
}

/// The effect of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It was known.
    Known,
    /// It is new; so many notifications found no room.
    New { dropped: usize },
}

impl Book {
    /// The book below `data_dir`.
    pub fn open(data_dir: &Path) -> Book {
        Book::at(&data_dir.join(NAME)).unwrap_or_else(|error| {
            tracing::warn!(
                event = "alerts_unremembered",
                %error,
                "alerts.db cannot be used; alerts are remembered until the end of this process"
            );
            Book::in_memory()
        })
    }

    fn at(path: &Path) -> rusqlite::Result<Book> {
        // Made here, so that its mode is ours from the beginning.
        drop(File::options().create(true).append(true).mode(0o600).open(path));
        let connection = Connection::open(path)?;
        connection.execute_batch(TABLES)?;
        Ok(Book(connection))
    }

    #[expect(clippy::expect_used, reason = "a database in memory needs nothing from outside")]
    fn in_memory() -> Book {
        let connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch(TABLES).expect("tables");
        Book(connection)
    }

    /// Every claim that holds.
    pub fn claims(&self) -> rusqlite::Result<Vec<String>> {
        let mut claims = self.0.prepare("SELECT claim FROM claims")?;
        claims.query_map([], |row| row.get(0))?.collect()
    }

    /// Claims, and queues what is to be told; with `held` it is told after [`Book::free`].
    pub fn raise(
        &mut self,
        claim: &str,
        drafts: &[Draft<'_>],
        held: bool,
        now_ms: i64,
    ) -> rusqlite::Result<Raised> {
        let write = self.0.transaction()?;
        let claimed = write
            .execute("INSERT OR IGNORE INTO claims VALUES (?1, ?2)", params![claim, now_ms])?;
        if claimed == 0 {
            return Ok(Raised::Known);
        }
        let mut dropped = 0;
        for Draft { webhook, id, body } in drafts {
            let count = "SELECT count(*) FROM queue WHERE webhook = ?1";
            let queued: i64 = write.query_row(count, [webhook], |row| row.get(0))?;
            if queued >= ALERTS_QUEUED_MAX {
                dropped += 1;
                continue;
            }
            write.execute(
                "INSERT INTO queue (id, webhook, claim, body, made_ms, due_ms, tries, held) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0, ?6)",
                params![id, webhook, claim, body, now_ms, held],
            )?;
        }
        write.commit()?;
        Ok(Raised::New { dropped })
    }

    /// The condition is over: the next time it is new.
    pub fn release(&self, claim: &str) -> rusqlite::Result<()> {
        self.0.execute("DELETE FROM claims WHERE claim = ?1", [claim]).map(drop)
    }

    /// Claims whose notifications are held, with the id of one of them.
    pub fn held(&self) -> rusqlite::Result<Vec<(String, String)>> {
        let mut held =
            self.0.prepare("SELECT claim, min(id) FROM queue WHERE held GROUP BY claim")?;
        held.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Lets held notifications go; or, where another gateway tells them, deletes them.
    pub fn free(&self, claim: &str, is_ours: bool) -> rusqlite::Result<()> {
        let sql = if is_ours {
            "UPDATE queue SET held = 0 WHERE claim = ?1"
        } else {
            "DELETE FROM queue WHERE claim = ?1 AND held"
        };
        self.0.execute(sql, [claim]).map(drop)
    }

    /// The next notification for a webhook that is due.
    pub fn due(&self, webhook: &str, now_ms: i64) -> rusqlite::Result<Option<Item>> {
        let sql = "SELECT seq, id, body, tries FROM queue WHERE webhook = ?1 AND NOT held \
             AND due_ms <= ?2 ORDER BY due_ms, seq LIMIT 1";
        let item = |row: &rusqlite::Row<'_>| {
            Ok(Item { seq: row.get(0)?, id: row.get(1)?, body: row.get(2)?, tries: row.get(3)? })
        };
        self.0.query_row(sql, params![webhook, now_ms], item).optional()
    }

    /// It was told, or never will be.
    pub fn done(&self, seq: i64) -> rusqlite::Result<()> {
        self.0.execute("DELETE FROM queue WHERE seq = ?1", [seq]).map(drop)
    }

    /// It will be tried again.
    pub fn again(&self, seq: i64, tries: u32, due_ms: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE queue SET tries = ?2, due_ms = ?3 WHERE seq = ?1";
        self.0.execute(sql, params![seq, tries, due_ms]).map(drop)
    }

    /// Forgets old claims of periods, and gives up what was tried for too long; returns how many of
    /// the latter each webhook had.
    pub fn tend(&mut self, now_ms: i64) -> rusqlite::Result<Vec<(String, i64)>> {
        let write = self.0.transaction()?;
        write.execute(
            "DELETE FROM claims WHERE claim LIKE 'budget|%' AND at_ms < ?1",
            [now_ms - ALERT_CLAIMS_KEPT_MS],
        )?;
        let old = now_ms - ALERT_TRIED_FOR_MS;
        let given_up: Vec<(String, i64)> = {
            let sql = "SELECT webhook, count(*) FROM queue WHERE made_ms < ?1 GROUP BY webhook";
            let mut old_ones = write.prepare(sql)?;
            old_ones
                .query_map([old], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?
        };
        write.execute("DELETE FROM queue WHERE made_ms < ?1", [old])?;
        write.commit()?;
        Ok(given_up)
    }

    /// Notifications that wait, by webhook.
    pub fn queued(&self) -> rusqlite::Result<HashMap<String, i64>> {
        let mut all = self.0.prepare("SELECT webhook, count(*) FROM queue GROUP BY webhook")?;
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn draft(id: &str) -> Draft<'_> {
        Draft { webhook: "ops", id, body: b"{}" }
    }

    fn due(book: &Book, now_ms: i64) -> Option<String> {
        book.due("ops", now_ms).expect("due").map(|item| item.id)
    }

    #[test]
    fn a_claim_is_told_once_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let mut book = Book::open(folder.path());
        let new = Raised::New { dropped: 0 };
        assert_eq!(book.raise("budget|a", &[draft("m1")], false, 10).expect("raise"), new);
        assert_eq!(
            book.raise("budget|a", &[draft("m2")], false, 11).expect("raise"),
            Raised::Known
        );
        drop(book);
        let mode = std::fs::metadata(folder.path().join(NAME)).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut book = Book::open(folder.path());
        assert_eq!(book.claims().expect("claims"), ["budget|a"]);
        let item = book.due("ops", 10).expect("due").expect("an item");
        assert_eq!((&*item.id, item.tries, &*item.body), ("m1", 0, &b"{}"[..]));
        book.again(item.seq, 1, 500).expect("again");
        assert_eq!((due(&book, 499), due(&book, 500)), (None, Some("m1".to_owned())));
        book.done(item.seq).expect("done");
        assert_eq!(due(&book, 1_000), None);
        book.release("budget|a").expect("release");
        assert_eq!(book.raise("budget|a", &[draft("m3")], false, 12).expect("raise"), new);
        // A message older than three days is given up; the claim stays for its period.
        let given_up = book.tend(13 + ALERT_TRIED_FOR_MS).expect("tend");
        assert_eq!(given_up, [("ops".to_owned(), 1)]);
        assert_eq!(book.claims().expect("claims").len(), 1);
        book.tend(13 + ALERT_CLAIMS_KEPT_MS).expect("tend");
        assert_eq!(book.claims().expect("claims").len(), 0);
    }

    #[test]
    fn held_ones_wait_until_it_is_known_who_tells_them() {
        let mut book = Book::in_memory();
        book.raise("budget|a", &[draft("m1")], true, 1).expect("raise");
        book.raise("budget|b", &[draft("m2")], true, 1).expect("raise");
        assert_eq!(due(&book, 9), None);
        assert_eq!(book.held().expect("held").len(), 2);
        book.free("budget|a", true).expect("free");
        book.free("budget|b", false).expect("free");
        assert_eq!((book.held().expect("held").len(), due(&book, 9)), (0, Some("m1".to_owned())));
        assert_eq!(book.queued().expect("queued").get("ops"), Some(&1));
    }

    #[test]
    fn a_queue_has_a_bound_and_a_folder_that_is_not_there_costs_the_file_alone() {
        let mut book = Book::open(Path::new("/nonexistent"));
        for n in 0..ALERTS_QUEUED_MAX {
            book.raise(&n.to_string(), &[draft("m")], false, 1).expect("raise");
        }
        let raised = book.raise("last", &[draft("m")], false, 1).expect("raise");
        assert_eq!(raised, Raised::New { dropped: 1 });
    }
}
