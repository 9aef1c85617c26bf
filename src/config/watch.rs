//! Keeps the policy in force up to date with its files.
//!
//! Level 3 of the map: one thread of its own, which stops when the [`Watcher`] is dropped. It wakes
//! on a change in the folders (events of the system, 300 ms of quiet awaited) and every 15 s
//! (network file systems, single-file mounts; every second where the system has no more events to
//! give), and acts only when the *contents* differ from what it last saw. So a file written in
//! pieces, an atomic rename and a Kubernetes `..data` swap are all one reload.
//!
//! Promises: the policy is replaced whole or not at all; an edit with a problem is refused, logged
//! with its place, counted and kept for `status`; a policy file that vanishes or is emptied does
//! not silently loosen the rules it held: the policy in force stays until the file is back, its
//! sections stand elsewhere, or `reload_now` says that it is meant. Does not: apply `gateway.yaml`;
//! a change there is reported as waiting for a restart.

mod folders;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value as Json;

use super::diagnosis::{Diagnosis, diagnoses};
use super::load::{Content, Loaded, Origin, Snapshot, Source};
use super::policy::{Policy, Settings};
use super::reader::place::{Place, Problems};
use super::reader::shape::Section;
use super::sections::RawPolicy;
use super::shadow::{CandidateEdit, Shadow, ShadowStatus, Slot};
use super::warn::{warnings, without_policy};
use super::words;
use crate::audit::{Audit, By, Edit, Kind};
use crate::clock;
use crate::live::{LiveFiles, LiveWatch};
use crate::lock::lock;
use crate::metrics::Metrics;
pub(crate) use folders::Folders;

/// Quiet that is awaited after a change, so that several writes are one reload.
const QUIET: Duration = Duration::from_millis(300);
/// A folder that never becomes quiet is looked at after so many pauses all the same.
const QUIET_ROUNDS_MAX: u32 = 10;
/// How often the files are read without having been told of a change.
const POLL: Duration = Duration::from_secs(15);
/// The same where nobody would tell: the system has no events, or not for all of the folders.
const POLL_UNTOLD: Duration = Duration::from_secs(1);

/// The watching thread.
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    /// Looks at the files of secrets and certificates.
    _live: LiveWatch,
    signals: SyncSender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// The configuration in force, and the edit that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// Of the policy in force.
    pub(crate) version: Arc<str>,
    pub(crate) loaded_at_ms: i64,
    pub(crate) files: Vec<String>,
    /// The whole configuration, secrets masked.
    pub(crate) config: Arc<Json>,
    /// Whether the files now hold an edit that was refused.
    pub(crate) refused: bool,
    /// The last edit that was refused, be it repaired since or not.
    pub(crate) last_refused: Option<Refused>,
    /// Whether `gateway.yaml` says something else than at the start.
    pub(crate) restart_needed: bool,
    /// Warnings about the configuration in force.
    pub(crate) warnings: Vec<String>,
    /// The candidate policy, if `shadow/` has files.
    pub(crate) shadow: Option<ShadowStatus>,
}

/// An edit that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) at_ms: i64,
    /// One `file:line:column: key: reason` each.
    pub(crate) problems: Vec<String>,
    /// The same in parts, with the lines of the files.
    pub(crate) diagnoses: Vec<Json>,
}

#[derive(Debug)]
pub(crate) enum Signal {
    Changed,
    Stop,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Told after each look at the files, so that tests need not sleep.
    #[cfg(test)]
    pub(crate) changed: std::sync::Condvar,
}

pub(crate) struct State {
    source: Source,
    /// The files of secrets and certificates.
    live: LiveFiles,
    policy: Arc<ArcSwap<Policy>>,
    metrics: Arc<Metrics>,
    /// The files of the policy in force.
    in_force: Snapshot,
    /// The files as they were when they were last looked at.
    seen: Vec<(String, Content)>,
    /// The word lists of the policy in force, as they were then.
    words: Vec<(PathBuf, words::Stamp)>,
    /// `gateway.yaml` as the process began with it.
    gateway: String,
    settings: Arc<Settings>,
    /// Absent in tests.
    audit: Option<Arc<Audit>>,
    pub(crate) status: Status,
    /// The candidate policy.
    shadow: Shadow,
}

impl Watcher {
    /// Watches the files of `origin` and replaces `policy` when they change.
    ///
    /// # Errors
    /// The thread cannot be started. A system without change events is no error: the files are then
    /// read every second.
    pub(crate) fn start(
        origin: &Origin,
        policy: Arc<ArcSwap<Policy>>,
        audit: Option<Arc<Audit>>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Watcher> {
        Watcher::start_with(Folders::new, origin, policy, audit, metrics)
    }

    pub(crate) fn start_with(
        folders: impl FnOnce(SyncSender<Signal>) -> Folders + Send + 'static,
        origin: &Origin,
        policy: Arc<ArcSwap<Policy>>,
        audit: Option<Arc<Audit>>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Watcher> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(origin, policy, audit, Arc::clone(&metrics))),
            #[cfg(test)]
            changed: std::sync::Condvar::new(),
        });
        // One waiting signal says all that several would.
        let (signals, received) = sync_channel(1);
        let thread = {
            let (shared, signals, source) =
                (shared.clone(), signals.clone(), origin.source.clone());
            std::thread::Builder::new()
                .name("config-watch".to_owned())
                .spawn(move || run(&shared, &source, folders(signals), &received))?
        };
        let _live = origin.live.watch(metrics)?;
        Ok(Watcher { shared, _live, signals, thread: Some(thread) })
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The configuration in force, and the edit that was refused.
    pub(crate) fn status(&self) -> Status {
        let state = self.shared.lock();
        let mut status = state.status.clone();
        status.warnings.extend(state.live.faults());
        status
    }

    /// `SEQ:HASH` of the last record of the audit.
    pub(crate) fn audit_head(&self) -> Option<String> {
        let (seq, hash) = self.shared.lock().audit.as_ref()?.status().head?;
        Some(format!("{seq}:{hash}"))
    }

    /// The place of the candidate policy.
    pub(crate) fn candidate(&self) -> Arc<Slot> {
        self.shared.lock().shadow.slot()
    }

    /// Reads the files now, and takes them even if sections have vanished with their files (an
    /// operator asks for it).
    ///
    /// # Errors
    /// Every problem of every file; the policy in force stays.
    pub(crate) fn reload_now(&self, by: &By) -> Result<(), Problems> {
        self.shared.check(Ask::Operator, by)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // A full channel is emptied by the thread within one reload.
        drop(self.signals.send(Signal::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The reason why the files are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Change,
    Operator,
}

fn run(shared: &Shared, source: &Source, mut folders: Folders, received: &Receiver<Signal>) {
    let mut poll = folders.follow(source);
    // Between the reading at the start and the first watch something may have changed already.
    let by = By::kind(Kind::File);
    drop(shared.check(Ask::Change, &by));
    loop {
        match received.recv_timeout(poll) {
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Signal::Changed) => {
                for _ in 0..QUIET_ROUNDS_MAX {
                    match received.recv_timeout(QUIET) {
                        Ok(Signal::Changed) => {}
                        Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                        Err(RecvTimeoutError::Timeout) => break,
                    }
                }
            }
        }
        poll = folders.follow(source);
        drop(shared.check(Ask::Change, &by));
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn check(&self, ask: Ask, by: &By) -> Result<(), Problems> {
        let result = self.lock().check(ask, by);
        #[cfg(test)]
        self.changed.notify_all();
        result
    }
}

impl State {
    fn new(
        origin: &Origin,
        policy: Arc<ArcSwap<Policy>>,
        audit: Option<Arc<Audit>>,
        metrics: Arc<Metrics>,
    ) -> State {
        let current = policy.load();
        let mut warnings = warnings(&origin.settings, &current, &origin.live);
        warnings.extend(without_policy(&origin.source));
        warnings.extend(origin.doubts.iter().cloned());
        for warning in &warnings {
            tracing::warn!(event = "config_warning", "{warning}");
        }
        let status = Status {
            version: current.version.clone(),
            loaded_at_ms: current.loaded_at_ms,
            files: origin.files(),
            config: origin.shown.clone(),
            refused: false,
            last_refused: None,
            restart_needed: false,
            warnings,
            shadow: None,
        };
        drop(current);
        let mut state = State {
            source: origin.source.clone(),
            live: origin.live.clone(),
            policy,
            metrics,
            in_force: origin.snapshot.clone(),
            seen: origin.snapshot.files.clone(),
            words: origin.snapshot.words.clone(),
            gateway: origin.snapshot.gateway.clone(),
            settings: Arc::clone(&origin.settings),
            audit,
            status,
            shadow: Shadow::of(origin.source.folder()),
        };
        state.report(true);
        state.check_shadow(&By::kind(Kind::Start));
        state
    }

    /// Reads the files, those of the candidate too; replaces the policy if they hold a good one
    /// that differs.
    fn check(&mut self, ask: Ask, by: &By) -> Result<(), Problems> {
        let result = self.check_policy(ask, by);
        self.check_shadow(by);
        result
    }

    fn check_shadow(&mut self, by: &By) {
        let base = (&self.in_force, &self.status.version);
        let edit = self.shadow.check(base, &self.settings, &self.live, &self.metrics);
        self.status.shadow.clone_from(&self.shadow.status);
        let (Some(audit), Some(edit)) = (&self.audit, edit) else { return };
        match edit {
            CandidateEdit::Accepted(candidate) => {
                let (version, files) = (&*candidate.policy.version, candidate.texts());
                let effective = candidate.effective();
                audit.candidate_accepted(by, &Edit { version, files, effective });
            }
            CandidateEdit::Refused { files, problems } => {
                let files: Vec<(&str, &str)> =
                    files.iter().map(|(name, content)| (&**name, content.text())).collect();
                audit.candidate_rejected(by, &files, problems);
            }
            CandidateEdit::Removed => audit.candidate_removed(by),
        }
    }

    fn check_policy(&mut self, ask: Ask, by: &By) -> Result<(), Problems> {
        let contents = self.source.contents();
        let words: Vec<_> =
            self.words.iter().map(|(path, _)| (path.clone(), words::stamp(path))).collect();
        if contents == self.seen && words == self.words && ask == Ask::Change {
            return Ok(());
        }
        (self.seen, self.words) = (contents, words);
        let loaded = match self.source.load_again(clock::wall_ms(), &self.live) {
            Ok(loaded) => loaded,
            Err(problems) => return Err(self.reject(problems, by)),
        };
        if ask == Ask::Change
            && let Some(problems) = lost(&self.in_force, &loaded.origin.snapshot)
        {
            return Err(self.reject(problems, by));
        }
        self.note_accepted(&loaded, by)?;
        // The loaded content counts, even if the files have changed since they were compared.
        self.seen.clone_from(&loaded.origin.snapshot.files);
        self.words.clone_from(&loaded.origin.snapshot.words);
        let restart_needed = loaded.origin.snapshot.gateway != self.gateway;
        if restart_needed && !self.status.restart_needed {
            tracing::warn!(
                event = "restart_needed",
                "gateway.yaml has changed; it is read only at start, so a restart is needed for it"
            );
        }
        self.status.restart_needed = restart_needed;
        self.status.config = loaded.origin.shown.clone();
        self.status.refused = false;
        let mut warnings = warnings(&self.settings, &loaded.policy, &self.live);
        warnings.extend(loaded.origin.doubts.iter().cloned());
        for warning in warnings.iter().filter(|new| !self.status.warnings.contains(new)) {
            tracing::warn!(event = "config_warning", "{warning}");
        }
        self.status.warnings = warnings;
        if loaded.policy.version != self.status.version || ask == Ask::Operator {
            self.status.version = loaded.policy.version.clone();
            self.status.loaded_at_ms = loaded.policy.loaded_at_ms;
            self.status.files = loaded.origin.files();
            self.policy.store(Arc::new(loaded.policy));
            tracing::info!(
                event = "policy_reloaded",
                version = %self.status.version, "policy reloaded");
        } else {
            tracing::info!(
                event = "policy_unchanged",
                version = %self.status.version, "configuration files are as the policy \
                in force again");
        }
        self.in_force = loaded.origin.snapshot;
        self.report(true);
        Ok(())
    }

    /// An edit comes into force only with its record.
    fn note_accepted(&mut self, loaded: &Loaded, by: &By) -> Result<(), Problems> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let (version, origin) = (&*loaded.policy.version, &loaded.origin);
        let edit = Edit { version, files: origin.texts(), effective: &origin.effective };
        let Err(error) = audit.accepted(by, &edit) else { return Ok(()) };
        // The next look tries again.
        self.seen.clear();
        self.metrics.audit_write_failures.inc();
        let mut problems = Problems::default();
        let file = problems.file(crate::audit::RECORDS);
        let at = Place { file: Some(file), ..Place::built_in() };
        let text =
            format!("the record of this edit cannot be written: {error}; make room on the disk");
        problems.add(&at, text);
        Err(self.refuse(problems))
    }

    /// Refuses an edit and keeps a record of it.
    fn reject(&mut self, problems: Problems, by: &By) -> Problems {
        if let Some(audit) = &self.audit {
            let files: Vec<(&str, &str)> =
                self.seen.iter().map(|(name, content)| (&**name, content.text())).collect();
            audit.rejected(by, &files, problems.lines());
        }
        self.refuse(problems)
    }

    fn refuse(&mut self, problems: Problems) -> Problems {
        let lines = problems.lines();
        for line in &lines {
            tracing::error!(
                event = "policy_refused",
                version = %self.status.version, "policy edit refused, the policy in \
                force stays: {line}");
        }
        self.status.refused = true;
        let diagnoses = diagnoses(&problems).iter().map(Diagnosis::json).collect();
        self.status.last_refused =
            Some(Refused { at_ms: clock::wall_ms(), problems: lines, diagnoses });
        self.report(false);
        problems
    }

    fn report(&self, successful: bool) {
        self.metrics.config_last_reload_successful.set(i64::from(successful));
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds since 1970 fit a double to the millisecond"
        )]
        self.metrics
            .config_last_reload_success_timestamp_seconds
            .set(self.status.loaded_at_ms as f64 / 1000.0);
    }
}

/// Sections that were in force and whose file is gone or empty now: an accident more often than a
/// wish.
fn lost(before: &Snapshot, after: &Snapshot) -> Option<Problems> {
    let mut problems = Problems::default();
    for (section, name) in &before.sections {
        let still = after.sections.iter().any(|(key, _)| key == section)
            || !RawPolicy::KEYS.contains(&section.as_str());
        let content = after.files.iter().find(|(file, _)| file == name).map(|(_, content)| content);
        let state = match content {
            None => "gone",
            Some(Content::Text(text)) if text.trim().is_empty() => "empty",
            Some(_) => continue,
        };
        if !still {
            let file = problems.file(name);
            let at = Place { file: Some(file), ..Place::built_in() }.key(section);
            problems.add(
                &at,
                format!(
                    "the file is {state}, and `{section}` with it; put it back or give the section \
                     elsewhere, or send SIGHUP (or restart) if the default is meant"
                ),
            );
        }
    }
    (!problems.is_empty()).then_some(problems)
}
