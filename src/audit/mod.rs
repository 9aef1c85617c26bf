//! The audit: a record of each accepted or rejected edit of the policy and of what operators did.
//!
//! Level 2½ of the map. The records are a chain of hashes (`record`) in `data_dir/audit.jsonl`
//! (`file`); the log's store gets a second copy. `verify` compares both.
//!
//! Guarantees: a policy comes into force only after its record is on the disk; a record has no
//! secret and no text of users; the same content read again is no record. A chain that is broken is
//! told, and goes on behind its last line. Does not: keep records from somebody who can write both
//! copies; see `verify` for what cannot be told.
//!
//! # Bounds
//! [`AUDIT_LINE_BYTES_MAX`] for one record: differences beyond it are counted. The file grows with
//! each record, which are few.

mod file;
pub(crate) mod record;
pub(crate) mod verify;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value as Json;

use crate::bounds::{AUDIT_LINE_BYTES_MAX, AUDIT_RESENT_MAX};
use crate::clock::wall_ms;
use crate::config::effective::{Effective, differences};
use crate::digest::{hex, sha256};
use crate::lock::lock;
use crate::metrics::Metrics;
use file::Accepted;
pub(crate) use file::{Lines, RECORDS, chain, entries, path};
pub use record::{By, Event, Kind};
pub(crate) use record::{Entry, Record};
use record::{FileSum, divided};
use verify::{Head, check};

/// The audit of a gateway.
pub struct Audit {
    data_dir: PathBuf,
    chain: String,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Takes each record to the store.
    store: OnceLock<Box<dyn Fn(Stored) + Send + Sync>>,
}

/// A record as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The id of the chain.
    pub chain: String,
    /// The number of the record.
    pub seq: u64,
    /// Its bytes, without the hash.
    pub record: String,
    /// The hash as hexadecimal digits.
    pub hash: String,
}

struct State {
    file: File,
    /// The last record.
    head: Option<Head>,
    /// The version that was accepted last.
    version: Option<String>,
    accepted: Accepted,
    /// The digest of the edit that was rejected last, while it is still there.
    rejected: Option<[u8; 32]>,
    /// The version of the candidate.
    shadow: Option<String>,
    /// As `rejected`, for the candidate.
    shadow_rejected: Option<[u8; 32]>,
    /// Why the chain is broken.
    broken: Option<String>,
}

/// A policy as it was read.
pub(crate) struct Edit<'a> {
    pub(crate) version: &'a str,
    /// Name and text of each file.
    pub(crate) files: Vec<(&'a str, &'a str)>,
    pub(crate) effective: &'a Effective,
}

/// The state of the audit, for operators.
#[derive(Clone, Debug)]
pub struct Status {
    /// The id of the chain.
    pub chain: String,
    /// `SEQ` and `HASH` of the last record.
    pub head: Option<(u64, String)>,
    /// Why the chain is broken.
    pub broken: Option<String>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Audit {
    /// The audit in a data folder.
    ///
    /// # Errors
    /// Its files cannot be read or written. A chain that is broken is no error.
    pub fn open(data_dir: &Path, metrics: Arc<Metrics>) -> io::Result<Audit> {
        let chain = file::make_chain(data_dir)?;
        let (file, torn) = file::open(data_dir)?;
        if torn > 0 {
            tracing::warn!(
                event = "audit_line_removed",
                bytes = torn,
                "the last line of {RECORDS} was not finished; it is removed"
            );
        }
        let entries = entries(data_dir)?;
        let broken = check(&entries, None).map(|fault| fault.message);
        let head = entries.iter().rev().flatten().next();
        let head = head.map(|entry| Head { seq: entry.seq, hash: entry.hash });
        let (mut version, mut shadow, mut shadow_rejected) = (None, None, None);
        for line in Lines::open(data_dir)? {
            let Some(record) = read(&line?) else { continue };
            match record.event {
                Event::PolicyAccepted => version = record.version,
                Event::ShadowAccepted => (shadow, shadow_rejected) = (record.version, None),
                Event::ShadowRemoved => (shadow, shadow_rejected) = (None, None),
                Event::ShadowRejected => {
                    shadow_rejected = Some(edit_digest(&record.files, &record.problems));
                }
                _ => {}
            }
        }
        let mut accepted = file::accepted(data_dir).unwrap_or_default();
        if accepted.salt.is_empty() {
            accepted.salt = crate::secrets::random()
                .ok_or_else(|| io::Error::other("the system gives no random numbers"))?;
        }
        let audit = Audit {
            data_dir: data_dir.to_owned(),
            chain,
            metrics,
            state: Mutex::new(State {
                file,
                head,
                version,
                accepted,
                rejected: None,
                shadow,
                shadow_rejected,
                broken: None,
            }),
            store: OnceLock::new(),
        };
        audit.metrics.audit_chain_intact.set(1);
        if let Some(reason) = broken {
            audit.note_broken(format!("{RECORDS}: {reason}"));
        }
        Ok(audit)
    }

    /// From now on each record goes to the store; those that it may lack go there at once.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn send_to(&self, store: Box<dyn Fn(Stored) + Send + Sync>) -> io::Result<()> {
        // No record may come in between.
        let _state = lock(&self.state);
        let mut last = VecDeque::new();
        for line in Lines::open(&self.data_dir)? {
            last.push_back(line?);
            if last.len() > AUDIT_RESENT_MAX {
                last.pop_front();
            }
        }
        for line in last {
            if let Some((record, hash)) = divided(&line)
                && let Some(entry) = record::entry(&record, hash)
            {
                let (chain, hash) = (self.chain.clone(), hash.to_owned());
                store(Stored { chain, seq: entry.seq, record, hash });
            }
        }
        drop(self.store.set(store));
        Ok(())
    }

    /// Compares the file with the store's copy, and tells if the chain is broken. Records that the
    /// store does not have yet are on their way.
    pub(crate) fn compare(&self, store: &[Option<Entry>]) {
        let Ok(entries) = entries(&self.data_dir) else { return };
        if let Some(fault) = check(&entries, Some(store)).filter(|fault| !fault.is_store_behind) {
            let copy = fault.copy.map(|copy| format!("{copy}: ")).unwrap_or_default();
            self.note_broken(format!("{copy}{}", fault.message));
        }
    }

    fn note_broken(&self, reason: String) {
        let mut state = lock(&self.state);
        if state.broken.is_none() {
            tracing::error!(
                event = "audit_broken",
                reason,
                "the chain of audit records is broken; `tollgate audit verify` says more"
            );
            self.metrics.audit_chain_intact.set(0);
            state.broken = Some(reason);
        }
    }

    /// A policy that is about to come into force. Without an error it may; the record is on the
    /// disk then. The version that was accepted last is no record.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(crate) fn accepted(&self, by: &By, edit: &Edit<'_>) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.rejected = None;
        let salt = state.accepted.salt.clone();
        let meaning = edit.effective.meaning(salt.as_bytes());
        if state.version.as_deref() != Some(edit.version) {
            // Of a first policy everything would be new.
            let diff = match state.version {
                Some(_) => differences(&state.accepted.meaning, &meaning),
                None => Vec::new(),
            };
            let record = Record {
                version: Some(edit.version.to_owned()),
                files: sums(&edit.files),
                diff,
                ..self.record(&state, Event::PolicyAccepted, by)
            };
            self.append(&mut state, record)?;
            state.version = Some(edit.version.to_owned());
        } else if state.accepted.version == edit.version && state.accepted.meaning == meaning {
            return Ok(());
        }
        let version = edit.version.to_owned();
        state.accepted = Accepted { version, salt, meaning };
        // The record is there; without this file the next difference is told against an older one.
        if let Err(error) = file::keep_accepted(&self.data_dir, &state.accepted) {
            tracing::warn!(
                event = "policy_not_kept",
                %error, "the accepted policy is not kept for the next difference");
        }
        Ok(())
    }

    /// An edit that was refused. One that is still there is no record.
    pub(crate) fn rejected(&self, by: &By, files: &[(&str, &str)], problems: Vec<String>) {
        let mut state = lock(&self.state);
        let sums = sums(files);
        let digest = edit_digest(&sums, &problems);
        if state.rejected.replace(digest) == Some(digest) {
            return;
        }
        let record = Record {
            files: sums,
            problems,
            version: None,
            ..self.record(&state, Event::PolicyRejected, by)
        };
        let written = self.append(&mut state, record);
        self.tell(written);
    }

    /// A candidate policy by which calls are judged from now on. Its differences are those to the
    /// policy that was accepted last. The same version again is no record.
    pub(crate) fn candidate_accepted(&self, by: &By, edit: &Edit<'_>) {
        let mut state = lock(&self.state);
        state.shadow_rejected = None;
        if state.shadow.as_deref() == Some(edit.version) {
            return;
        }
        let meaning = edit.effective.meaning(state.accepted.salt.as_bytes());
        let mut diff = differences(&state.accepted.meaning, &meaning);
        // A candidate has no keys of gateway.yaml.
        diff.retain(|change| !change.restart);
        let record = Record {
            version: Some(edit.version.to_owned()),
            previous_version: state.shadow.clone(),
            files: sums(&edit.files),
            diff,
            ..self.record(&state, Event::ShadowAccepted, by)
        };
        let written = self.append(&mut state, record);
        if written.is_ok() {
            state.shadow = Some(edit.version.to_owned());
        }
        self.tell(written);
    }

    /// A candidate that was refused. One that is still there is no record.
    pub(crate) fn candidate_rejected(
        &self,
        by: &By,
        files: &[(&str, &str)],
        problems: Vec<String>,
    ) {
        let mut state = lock(&self.state);
        let sums = sums(files);
        let digest = edit_digest(&sums, &problems);
        if state.shadow_rejected.replace(digest) == Some(digest) {
            return;
        }
        let record = Record {
            files: sums,
            problems,
            version: None,
            previous_version: state.shadow.clone(),
            ..self.record(&state, Event::ShadowRejected, by)
        };
        let written = self.append(&mut state, record);
        self.tell(written);
    }

    /// There is no candidate; without one before, that is no record.
    pub(crate) fn candidate_removed(&self, by: &By) {
        let mut state = lock(&self.state);
        state.shadow_rejected = None;
        let Some(version) = state.shadow.take() else { return };
        let record = Record {
            version: None,
            previous_version: Some(version),
            ..self.record(&state, Event::ShadowRemoved, by)
        };
        let written = self.append(&mut state, record);
        self.tell(written);
    }

    /// Something that an operator did.
    pub(crate) fn action(&self, event: Event, by: &By, subject: Option<Json>) {
        let mut state = lock(&self.state);
        let record = Record { subject, ..self.record(&state, event, by) };
        let written = self.append(&mut state, record);
        self.tell(written);
    }

    fn tell(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.metrics.audit_write_failures.inc();
            tracing::error!(
                event = "audit_not_written",
                %error, "a record of the audit cannot be written");
        }
    }

    fn record(&self, state: &State, event: Event, by: &By) -> Record {
        Record {
            seq: state.head.map_or(1, |head| head.seq + 1),
            at: jiff::Timestamp::from_millisecond(wall_ms())
                .map(|at| format!("{at:.3}"))
                .unwrap_or_default(),
            event,
            by: by.clone(),
            version: state.version.clone(),
            previous_version: state.version.clone(),
            files: Vec::new(),
            diff: Vec::new(),
            more_changes: 0,
            problems: Vec::new(),
            subject: None,
            prev: hex(&state.head.map_or([0; 32], |head| head.hash)),
        }
    }

    fn append(&self, state: &mut State, mut record: Record) -> io::Result<()> {
        let mut text = serde_json::to_string(&record)?;
        while text.len() > AUDIT_LINE_BYTES_MAX - 256 && !record.diff.is_empty() {
            let kept = record.diff.len() / 2;
            record.more_changes += record.diff.len() - kept;
            record.diff.truncate(kept);
            text = serde_json::to_string(&record)?;
        }
        let prev = state.head.map_or([0; 32], |head| head.hash);
        let hash = record::hash(&prev, text.as_bytes());
        file::append(&mut state.file, &record::line(&text, &hash))?;
        state.head = Some(Head { seq: record.seq, hash });
        if let Some(store) = self.store.get() {
            let (chain, hash) = (self.chain.clone(), hex(&hash));
            store(Stored { chain, seq: record.seq, record: text, hash });
        }
        Ok(())
    }

    /// The id of the chain.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The state, for operators.
    pub fn status(&self) -> Status {
        let state = lock(&self.state);
        let head = state.head.map(|head| (head.seq, hex(&head.hash)));
        Status { chain: self.chain.clone(), head, broken: state.broken.clone() }
    }

    /// The newest records with a number below `before`, newest first, at most `most`. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn newest(&self, before: u64, most: usize) -> io::Result<Vec<Json>> {
        let mut found = VecDeque::new();
        for line in Lines::open(&self.data_dir)? {
            let Ok(record) = serde_json::from_str::<Json>(&line?) else { continue };
            if record["seq"].as_u64().is_some_and(|seq| seq < before) {
                found.push_front(record);
                found.truncate(most);
            }
        }
        Ok(found.into())
    }
}

/// A record of the store; `None` if it is none, or stands under another number than its own.
pub(crate) fn stored_entry(seq: u64, record: &str, hash: &str) -> Option<Entry> {
    record::entry(record, hash).filter(|entry| entry.seq == seq)
}

/// The record in a line.
pub(crate) fn read(line: &str) -> Option<Record> {
    serde_json::from_str(&divided(line)?.0).ok()
}

/// The digest of an edit that was refused, with the reasons.
fn edit_digest(files: &[FileSum], problems: &[String]) -> [u8; 32] {
    let files = files.iter().map(|file| format!("{} {}", file.name, file.sha256));
    let texts: Vec<String> = files.chain(problems.iter().cloned()).collect();
    sha256(texts.join("\n").as_bytes())
}

fn sums(files: &[(&str, &str)]) -> Vec<FileSum> {
    let sum = |(name, text): &(&str, &str)| FileSum {
        name: (*name).to_owned(),
        sha256: hex(&sha256(text.as_bytes())),
    };
    files.iter().map(sum).collect()
}
