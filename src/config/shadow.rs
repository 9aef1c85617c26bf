//! The candidate policy in `shadow/*.yaml`: a policy that is judged by and never in force.
//!
//! It has the sections of its files; those that it lacks are those of the policy in force. So a
//! candidate may be one section, and takes effect when its files are moved to `policies/`.
//!
//! Guarantees: a candidate is taken whole or not at all; an edit with a problem is refused as one
//! of
//! `policies/` is, and the last valid candidate stays; without the folder there is none. Does not:
//! judge (see `judge`), or start anything for a candidate (connections, tokens, key sets).
//!
//! # Bounds
//! As for `policies/` (see `load`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

use super::diagnosis::Diagnosis;
use super::effective::Effective;
use super::load::{
    ConfigFile, Content, Holds, Loaded, Purpose, Snapshot, Source, SourceFile, join, places,
    version, yaml_files,
};
use super::policy::{Policy, Settings};
use super::reader::node::{Node, Value};
use super::reader::place::{Place, Problems};
use super::reader::shape::Shape as _;
use super::sections::RawPolicy;
use super::uses::Uses;
use super::words::{self, Stamp, WordFiles};
use super::{check, doubts, warn};
use crate::clock;
use crate::live::LiveFiles;
use crate::metrics::Metrics;

/// The folder beside `policies/`.
const FOLDER: &str = "shadow";

/// A policy that calls are judged by.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) policy: Policy,
    /// The sections that its own files have.
    sections: Vec<String>,
    pub(crate) files: Vec<String>,
    /// Their texts.
    texts: Vec<Arc<str>>,
    words: Vec<(PathBuf, Stamp)>,
    details: Details,
}

/// The sections of a candidate and those that it takes from the policy in force, as they were read.
#[derive(Debug, Default)]
struct Details {
    effective: Effective,
    /// Settings that have no effect or cannot be meant.
    doubts: Vec<String>,
    places: HashMap<String, (String, u32, u32)>,
}

impl Details {
    fn of(node: &Node, raw: &RawPolicy, files: &[SourceFile], problems: &Problems) -> Details {
        let effective = Effective::of_policy((node, raw), problems);
        let doubts = doubts::doubts(raw, &raw.json(), &effective);
        Details { effective, doubts, places: places(&[node], files) }
    }
}

impl Candidate {
    /// Name and text of each of its files.
    pub(crate) fn texts(&self) -> Vec<(&str, &str)> {
        self.files.iter().map(|name| &**name).zip(self.texts.iter().map(|text| &**text)).collect()
    }

    /// Its settings, with those that it takes from the policy in force.
    pub(crate) fn effective(&self) -> &Effective {
        &self.details.effective
    }

    /// Every warning about its own sections.
    pub(crate) fn warnings(&self, settings: &Settings) -> Vec<Diagnosis> {
        let is_own = |text: &&String| {
            let section = text.split(['.', ':', '[']).next().unwrap_or_default();
            self.has(section)
        };
        let text_of = |file: &str| {
            let found = self.texts().into_iter().find(|(name, _)| *name == file)?;
            Some(found.1.to_owned())
        };
        let risks = warn::of(settings, &self.policy);
        let own = risks.iter().chain(&self.details.doubts).filter(is_own);
        own.map(|text| Diagnosis::warning(text, &self.details.places, &text_of)).collect()
    }

    /// Whether a section is its own, and not that of the policy in force.
    pub(crate) fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|own| own == section)
    }

    /// The candidate that the files of `folder` make of the policy of `base`; `None` if there are
    /// no files.
    ///
    /// # Errors
    /// Every problem of its files.
    pub(crate) fn load(
        folder: &Path,
        base: &Snapshot,
        settings: &Settings,
        purpose: Purpose,
        mut problems: Problems,
    ) -> Result<Option<Candidate>, Problems> {
        let parent = folder.parent().unwrap_or(Path::new("."));
        problems.folders = vec![parent.to_owned(), parent.join("policies"), folder.to_owned()];
        let listed = listed(folder, &mut problems);
        if listed.is_empty() && problems.is_empty() {
            return Ok(None);
        }
        let files: Vec<SourceFile> =
            listed.iter().filter_map(|file| SourceFile::read(file, &mut problems)).collect();
        let own = join(&files, &|_| true, &mut problems);
        let sections: Vec<String> = own.sections.iter().map(|(name, _)| name.clone()).collect();
        let lacks = |name: &str| !sections.iter().any(|own| own == name);
        let rest: Vec<SourceFile> = base
            .files
            .iter()
            .filter_map(|(name, content)| SourceFile::known(name, content, &mut problems))
            .collect();
        let rest_joined = join(&rest, &lacks, &mut problems);
        let used: Vec<Arc<str>> = rest
            .iter()
            .filter(|file| rest_joined.has_policy(&file.name))
            .map(|file| Arc::clone(&file.text))
            .collect();
        let node = merged(own.policy, rest_joined.policy);
        let raw = RawPolicy::read(&node, &mut problems);
        let read = |raw| WordFiles::read(raw, &problems.folders);
        let words = raw.as_ref().map(read).unwrap_or_default();
        let details = raw.as_ref().map(|raw| Details::of(&node, raw, &files, &problems));
        let texts = files.iter().map(|file| &*file.text).chain(used.iter().map(|text| &**text));
        let texts = texts.chain(words.texts());
        let version = version(texts);
        if let (Purpose::Serve, Some(raw), true) = (purpose, &raw, own.is_whole) {
            check::ways_in(raw, &mut problems);
        }
        let now_ms = clock::wall_ms();
        let policy =
            raw.and_then(|raw| check::policy(&raw, &words, version, now_ms, &mut problems));
        if let Some(policy) = &policy {
            problems.use_unresolved(|path| purpose.uses().value(path, settings, policy));
        }
        match policy {
            Some(policy) if problems.is_empty() => Ok(Some(Candidate {
                policy,
                sections,
                texts: files.iter().map(|file| Arc::clone(&file.text)).collect(),
                files: files.into_iter().map(|file| file.name).collect(),
                words: words.stamps(),
                details: details.unwrap_or_default(),
            })),
            _ => Err(problems),
        }
    }
}

/// The candidate beside a loaded configuration; `None` if there is none.
///
/// # Errors
/// Every problem of its files.
pub(crate) fn candidate(loaded: &Loaded) -> Result<Option<Candidate>, Problems> {
    let Some(configuration) = loaded.origin.source.folder() else { return Ok(None) };
    let mut problems = Problems::default();
    problems.live = loaded.origin.live.clone();
    let (folder, base) = (folder_in(configuration), &loaded.origin.snapshot);
    Candidate::load(&folder, base, &loaded.settings, Purpose::Serve, problems)
}

/// The policy of a folder: that of a whole configuration, or of files like those of a candidate,
/// whose missing sections are those of `loaded`.
///
/// # Errors
/// Every problem of its files.
pub(crate) fn policy_in(folder: &Path, loaded: &Loaded) -> Result<Policy, Problems> {
    let source = Source::find(Some(folder))?;
    let purpose = Purpose::Read(Uses::Judging);
    let is_whole = match &source {
        Source::Folder(folder) => ["policies", "gateway.yaml", "gateway.yml"]
            .iter()
            .any(|name| folder.join(name).exists()),
        Source::File(_) | Source::BuiltIn => true,
    };
    if is_whole {
        let whole = source.load_in(clock::wall_ms(), purpose, Problems::default())?;
        return Ok(whole.policy);
    }
    let load = |problems: Problems| {
        let base = (&loaded.origin.snapshot, &loaded.settings);
        Candidate::load(folder, base.0, base.1, purpose, problems)
    };
    let mut kept = Problems::default();
    kept.keep_unresolved();
    let candidate = match load(kept) {
        // A variable that is not set leaves out a value without a default.
        Err(found) if found.is_empty() => load(Problems::default()),
        result => result,
    };
    candidate?.map(|candidate| candidate.policy).ok_or_else(|| {
        let mut problems = Problems::default();
        let file = problems.file(&folder.to_string_lossy());
        let at = Place { file: Some(file), ..Place::built_in() };
        problems.add(&at, "there is no policy file in this folder; put at least one there");
        problems
    })
}

/// The folder of the candidate in that of a configuration.
pub(crate) fn folder_in(configuration: &Path) -> PathBuf {
    configuration.join(FOLDER)
}

/// The files of a candidate.
pub(crate) fn files_of(folder: &Path) -> Vec<ConfigFile> {
    listed(folder, &mut Problems::default())
}

fn listed(folder: &Path, problems: &mut Problems) -> Vec<ConfigFile> {
    let paths = yaml_files(folder, problems).into_iter();
    paths.map(|path| ConfigFile { path, holds: Holds::Policy }).collect()
}

/// All entries of both.
fn merged(own: Node, rest: Node) -> Node {
    match (own.value, rest.value) {
        (Value::Map(mut entries), Value::Map(rest)) => {
            entries.extend(rest);
            Node { at: own.at, value: Value::Map(entries) }
        }
        (value, _) => Node { at: own.at, value },
    }
}

/// The place of the candidate, which calls look at.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Calls look at no more than this where there is none.
    is_filled: AtomicBool,
    candidate: ArcSwapOption<Candidate>,
}

impl Slot {
    /// The candidate, if there is one.
    pub(crate) fn get(&self) -> Option<Arc<Candidate>> {
        if self.is_filled.load(Ordering::Relaxed) { self.candidate.load_full() } else { None }
    }

    /// Puts a candidate there, or takes it away.
    pub(crate) fn set(&self, candidate: Option<Arc<Candidate>>) {
        let is_filled = candidate.is_some();
        self.candidate.store(candidate);
        self.is_filled.store(is_filled, Ordering::Relaxed);
    }
}

/// The candidate as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShadowStatus {
    /// That of the candidate that calls are judged by, if there is one.
    pub(crate) version: Option<Arc<str>>,
    pub(crate) loaded_at_ms: Option<i64>,
    pub(crate) files: Vec<String>,
    /// One `file:line:column: key: reason` for each problem of an edit that was refused; empty if
    /// the last one was accepted.
    pub(crate) problems: Vec<String>,
}

/// Everything that a candidate is made of, as it was when it was last looked at.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    files: Vec<(String, Content)>,
    words: Vec<(PathBuf, Stamp)>,
    /// Version of the policy in force.
    base: Arc<str>,
}

/// A change of the candidate.
#[derive(Debug)]
pub(crate) enum CandidateEdit {
    /// Calls are judged by it.
    Accepted(Arc<Candidate>),
    /// There is none.
    Removed,
    /// It has problems; the last valid one goes on.
    Refused { files: Vec<(String, Content)>, problems: Vec<String> },
}

/// Keeps the candidate up to date with its files, and with the policy in force.
#[derive(Debug)]
pub(crate) struct Shadow {
    /// Nothing if the configuration is no folder.
    folder: Option<PathBuf>,
    slot: Arc<Slot>,
    seen: Option<Seen>,
    /// `None` without files.
    pub(crate) status: Option<ShadowStatus>,
}

impl Shadow {
    /// That of a configuration folder.
    pub(crate) fn of(configuration: Option<&Path>) -> Shadow {
        let folder = configuration.map(folder_in);
        Shadow { folder, slot: Arc::default(), seen: None, status: None }
    }

    /// Where calls find the candidate.
    pub(crate) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    /// Looks at the files, and takes what has changed. Returns what that was.
    pub(crate) fn check(
        &mut self,
        (base, base_version): (&Snapshot, &Arc<str>),
        settings: &Settings,
        live: &LiveFiles,
        metrics: &Metrics,
    ) -> Option<CandidateEdit> {
        let folder = self.folder.clone()?;
        let candidate = self.slot.get();
        let words = candidate.as_ref().map(|candidate| candidate.words.as_slice());
        let words = words.unwrap_or_default().iter();
        let seen = Seen {
            files: contents(&folder),
            words: words.map(|(path, _)| (path.clone(), words::stamp(path))).collect(),
            base: Arc::clone(base_version),
        };
        let is_known = self.seen.as_ref().is_some_and(|known| {
            let lists = candidate.as_ref().is_none_or(|candidate| candidate.words == seen.words);
            known.files == seen.files && known.base == seen.base && lists
        });
        if is_known {
            return None;
        }
        if seen.files.is_empty() && self.seen.is_none() {
            return Some(CandidateEdit::Removed);
        }
        let mut problems = Problems::default();
        problems.live = live.clone();
        let edit = match Candidate::load(&folder, base, settings, Purpose::Serve, problems) {
            Ok(Some(candidate)) => {
                let candidate = Arc::new(candidate);
                self.take(Arc::clone(&candidate), metrics);
                CandidateEdit::Accepted(candidate)
            }
            Ok(None) => {
                self.end(metrics);
                CandidateEdit::Removed
            }
            Err(problems) => {
                self.refuse(&seen, problems.lines(), metrics);
                CandidateEdit::Refused { files: seen.files.clone(), problems: problems.lines() }
            }
        };
        self.seen = (!seen.files.is_empty()).then_some(seen);
        Some(edit)
    }

    fn take(&mut self, candidate: Arc<Candidate>, metrics: &Metrics) {
        let version = Arc::clone(&candidate.policy.version);
        tracing::info!(
            event = "candidate_loaded",
            version = &*version,
            "candidate policy loaded; it is judged by, not in force"
        );
        self.status = Some(ShadowStatus {
            version: Some(version),
            loaded_at_ms: Some(candidate.policy.loaded_at_ms),
            files: candidate.files.clone(),
            problems: Vec::new(),
        });
        self.slot.set(Some(candidate));
        metrics.shadow_last_reload_successful.set(1);
    }

    fn end(&mut self, metrics: &Metrics) {
        if self.slot.get().is_some() {
            tracing::info!(
                event = "candidate_gone",
                "the candidate policy has gone with its files"
            );
        }
        self.slot.set(None);
        self.status = None;
        metrics.shadow_last_reload_successful.set(1);
    }

    fn refuse(&mut self, seen: &Seen, lines: Vec<String>, metrics: &Metrics) {
        for line in &lines {
            tracing::error!(
                event = "candidate_refused",
                "edit of the candidate policy refused, the last valid one stays: {line}"
            );
        }
        let files = || seen.files.iter().map(|(name, _)| name.clone()).collect();
        let status = self.status.get_or_insert_with(|| ShadowStatus {
            version: None,
            loaded_at_ms: None,
            files: files(),
            problems: Vec::new(),
        });
        status.problems = lines;
        metrics.shadow_last_reload_successful.set(0);
    }
}

/// The files of the folder and their contents, unparsed.
fn contents(folder: &Path) -> Vec<(String, Content)> {
    files_of(folder).iter().map(Content::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::load;

    struct Folder {
        dir: tempfile::TempDir,
        slot: Arc<Slot>,
        shadow: Shadow,
        metrics: Arc<Metrics>,
    }

    impl Folder {
        fn new() -> Folder {
            let dir = tempfile::tempdir().expect("folder");
            let shadow = Shadow::of(Some(dir.path()));
            let folder = Folder { dir, slot: shadow.slot(), shadow, metrics: Metrics::new() };
            folder.write("policies/all.yaml", "auth: {accept: [anonymous]}\nlimits: {burst: 7}\n");
            folder
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            std::fs::write(path, text).expect("write");
        }

        /// Looks at the files; the version and the problems of the candidate.
        fn look(&mut self) -> Option<(Option<Arc<str>>, Vec<String>)> {
            let loaded = load(Some(self.dir.path())).expect("a good policy");
            let base = (&loaded.origin.snapshot, &loaded.policy.version);
            let live = LiveFiles::default();
            drop(self.shadow.check(base, &loaded.settings, &live, &self.metrics));
            self.shadow.status.clone().map(|status| (status.version, status.problems))
        }
    }

    #[test]
    fn a_candidate_has_its_own_sections_and_for_the_rest_those_in_force() {
        let mut folder = Folder::new();
        assert_eq!(folder.look(), None);
        assert!(folder.slot.get().is_none());
        folder.write("shadow/routing.yaml", "routing: {default: []}\n");
        let (first, problems) = folder.look().expect("a candidate");
        assert!(first.is_some() && problems.is_empty(), "{problems:?}");
        let candidate = folder.slot.get().expect("a candidate");
        assert!(candidate.has("routing") && !candidate.has("limits"));
        assert!(candidate.policy.routing.default.list.is_empty());
        assert_eq!(candidate.policy.limits.requests.default.quota.burst(), 7);
        // An edit of the policy in force is one of the candidate.
        folder.write("policies/all.yaml", "auth: {accept: [anonymous]}\nlimits: {burst: 8}\n");
        let (second, _) = folder.look().expect("a candidate");
        assert_ne!(first, second);
        let candidate = folder.slot.get().expect("a candidate");
        assert_eq!(candidate.policy.limits.requests.default.quota.burst(), 8);
        // The folder goes, and the candidate with it.
        std::fs::remove_dir_all(folder.dir.path().join("shadow")).expect("removed");
        assert_eq!(folder.look(), None);
        assert!(folder.slot.get().is_none());
    }

    #[test]
    fn an_edit_with_a_problem_leaves_the_last_candidate() {
        let mut folder = Folder::new();
        folder.write("shadow/limits.yaml", "limits: {burst: 0}\n");
        let (version, problems) = folder.look().expect("a status");
        assert_eq!(version, None, "none is loaded");
        assert!(problems[0].contains("shadow/limits.yaml:1:17: limits.burst: "), "{problems:?}");
        assert_eq!(folder.metrics.shadow_last_reload_successful.get(), 0);
        folder.write("shadow/limits.yaml", "limits: {burst: 3}\n");
        let (good, problems) = folder.look().expect("a status");
        assert!(good.is_some() && problems.is_empty());
        assert_eq!(folder.metrics.shadow_last_reload_successful.get(), 1);
        folder.write("shadow/limits.yaml", "limits: {burts: 3}\n");
        let (version, problems) = folder.look().expect("a status");
        assert_eq!((version, problems.len()), (good, 1));
        let candidate = folder.slot.get().expect("the last valid one");
        assert_eq!(candidate.policy.limits.requests.default.quota.burst(), 3);
        // Keys of gateway.yaml are not a candidate's.
        folder.write("shadow/limits.yaml", "listen: 127.0.0.1:1\n");
        let (_, problems) = folder.look().expect("a status");
        assert!(problems[0].contains("belongs in gateway.yaml"), "{problems:?}");
    }
}
