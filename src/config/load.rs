//! From a path to a checked configuration: finds the files, joins their sections, checks them.
//!
//! A folder holds `gateway.yaml` and `policies/*.yaml`; sections may be split over as many policy
//! files as one likes, each section in one of them. A single file may hold everything. No path at
//! all is the built-in configuration.
//!
//! Bounds: [`FILES_MAX`] files of [`CONFIG_FILE_BYTES_MAX`] bytes each; beyond is a problem. Only
//! regular files are read.

mod files;
mod joined;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::diagnosis::Places;
use super::effective::{Effective, Read as ToWalk};
use super::policy::{ClickHouseOptions, Policy, Settings};
use super::reader::node::Node;
use super::reader::place::{Place, Problems};
use super::reader::shape::Shape as _;
use super::reader::yaml;
use super::sections::{RawGateway, RawPolicy};
use super::uses::Uses;
use super::words::{Stamp, WordFiles};
use super::{check, doubts};
use crate::digest::{hex, sha256};
use crate::live::LiveFiles;
use files::other_files;
pub(crate) use files::{ConfigFile, Content, Holds, SourceFile, version, yaml_files};
use joined::shown;
pub(crate) use joined::{join, places};

/// Files of one configuration.
const FILES_MAX: usize = 256;

/// Where a configuration comes from; can be read again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `gateway.yaml` and `policies/*.yaml`.
    Folder(PathBuf),
    /// One file that holds everything.
    File(PathBuf),
    /// Nothing was configured.
    BuiltIn,
}

/// A configuration that has passed every check.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// How to reach ClickHouse, whether or not it is the store.
    pub(crate) clickhouse: ClickHouseOptions,
    pub(crate) policy: Policy,
    pub(crate) origin: Origin,
    /// The places of all values, by their keys: file, line and column.
    pub(crate) places: Places,
    /// Other files that it names (certificates, keys, key sets). They may come and go while a
    /// gateway runs, so whether they are there is no matter of the configuration's own.
    pub(crate) others: Vec<OtherFile>,
}

/// A file that a configuration names.
#[derive(Debug)]
pub(crate) struct OtherFile {
    /// `file:line:column: key`, where it is named.
    pub(crate) named_at: String,
    pub(crate) path: PathBuf,
}

/// Where a configuration came from and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    /// `gateway.yaml`, as this process runs with it.
    pub(crate) settings: Arc<Settings>,
    pub(crate) shown: Arc<Json>,
    pub(crate) effective: Arc<Effective>,
    /// Settings that have no effect or cannot be meant: `key: text`.
    pub(crate) doubts: Vec<String>,
    pub(crate) snapshot: Snapshot,
    /// Its files of secrets and certificates.
    pub(crate) live: LiveFiles,
}

impl Origin {
    /// The loaded configuration, every key with its value, secrets masked.
    #[cfg(test)]
    pub(crate) fn masked(&self) -> &Json {
        &self.shown
    }

    /// The text of a file.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        let found = self.texts().into_iter().find(|(name, _)| *name == file)?;
        Some(found.1.to_owned())
    }

    /// Name and text of each file.
    pub(crate) fn texts(&self) -> Vec<(&str, &str)> {
        let files = self.snapshot.files.iter();
        let texts = files.filter_map(|(name, content)| match content {
            Content::Text(text) => Some((&**name, &**text)),
            Content::Unreadable(_) => None,
        });
        texts.collect()
    }

    /// The files that were read, in the order they were read.
    pub(crate) fn files(&self) -> Vec<String> {
        self.snapshot.files.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// A digest of the files: enough to see whether they changed, and in which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Name and content.
    pub(crate) files: Vec<(String, Content)>,
    /// Top-level keys and the file each is in.
    pub(crate) sections: Vec<(String, String)>,
    /// SHA-256 of what the keys of `gateway.yaml` say.
    pub(crate) gateway: String,
    /// Word lists in files of their own, and how they were.
    pub(crate) words: Vec<(PathBuf, Stamp)>,
}

/// The purpose for which a configuration is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// To take calls, so the ways in that it names have to be ones that hold.
    Serve,
    /// For a command that takes no calls and uses a part; other secrets may be missing.
    Read(Uses),
    /// To show what holds, or what holds for an organisation; secrets may be missing.
    Show(Option<&'a str>),
}

impl<'a> Purpose<'a> {
    pub(crate) fn uses(self) -> Uses {
        match self {
            Purpose::Serve => Uses::Everything,
            Purpose::Read(uses) => uses,
            Purpose::Show(_) => Uses::Shown,
        }
    }

    fn org(self) -> Option<&'a str> {
        match self {
            Purpose::Show(org) => org,
            Purpose::Serve | Purpose::Read(_) => None,
        }
    }
}

/// Loads the configuration at `path` for a gateway; without a path, that of `TOLLGATE_CONFIG`, of
/// `./config` if there is such a folder, else the built-in one.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn load(path: Option<&Path>) -> Result<Loaded, Problems> {
    let source = Source::find(path)?;
    let is_named = path.is_some() || named_by_environment().is_some();
    if is_named && source.has_no_policy() {
        let text = "there is no policy file in this folder; put at least one into policies/*.yaml";
        return Err(source.problem(text));
    }
    source.load(crate::clock::wall_ms())
}

/// The path in `TOLLGATE_CONFIG`.
fn named_by_environment() -> Option<PathBuf> {
    std::env::var_os("TOLLGATE_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// As [`load`], for a command that takes no calls and uses this part.
///
/// # Errors
/// Every problem of every file, but for variables that are not set and not used.
pub(crate) fn load_to_read(path: Option<&Path>, uses: Uses) -> Result<Loaded, Problems> {
    Source::find(path)?.load_in(crate::clock::wall_ms(), Purpose::Read(uses), Problems::default())
}

/// As [`load`], to show it, or what of it holds for an organisation.
///
/// # Errors
/// There are no files, or every problem of every file, but for variables that are not set.
pub(crate) fn load_to_show(path: Option<&Path>, org: Option<&str>) -> Result<Loaded, Problems> {
    let source = Source::find(path)?;
    if path.is_some() && source.files(&mut Problems::default()).is_empty() {
        let text = "this folder holds neither gateway.yaml nor policies/*.yaml; give the folder of a \
                    configuration, and `tollgate replay` the folder of a candidate";
        return Err(source.problem(text));
    }
    source.load_in(crate::clock::wall_ms(), Purpose::Show(org), Problems::default())
}

/// Reads YAML that is no configuration of ours, with the places of its values. References to the
/// environment stay as they are written.
///
/// # Errors
/// It is not YAML.
pub(crate) fn read_yaml(name: &str, text: &str) -> Result<Node, Problems> {
    let mut problems = Problems::default();
    let file = problems.file(name);
    let node = yaml::parse(&text.replace("${", "$${"), Some(file), &mut problems);
    node.filter(|_| problems.is_empty()).ok_or(problems)
}

impl Source {
    /// The source that the flag, the environment or the working directory names.
    ///
    /// # Errors
    /// There is nothing at the path that was named.
    pub(crate) fn find(path: Option<&Path>) -> Result<Source, Problems> {
        let named = path.map(Path::to_owned).or_else(named_by_environment);
        let Some(path) = named else {
            let default = PathBuf::from("config");
            return Ok(if default.is_dir() { Source::Folder(default) } else { Source::BuiltIn });
        };
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Source::Folder(path)),
            Ok(_) => Ok(Source::File(path)),
            Err(error) => {
                let mut problems = Problems::default();
                let file = problems.file(&path.to_string_lossy());
                let at = Place { file: Some(file), ..Place::built_in() };
                problems.add(
                    &at,
                    format!("cannot be read: {error}; give a folder or a file that exists"),
                );
                Err(problems)
            }
        }
    }

    /// Whether no file holds a policy, so that the built-in one is in force.
    pub(crate) fn has_no_policy(&self) -> bool {
        !self.files(&mut Problems::default()).iter().any(|file| file.holds != Holds::Gateway)
    }

    /// A problem of the source as a whole.
    fn problem(&self, text: &str) -> Problems {
        let mut problems = Problems::default();
        let file = problems.file(&self.shown());
        problems.add(&Place { file: Some(file), ..Place::built_in() }, text);
        problems
    }

    /// Its path.
    fn shown(&self) -> String {
        match self {
            Source::Folder(path) | Source::File(path) => path.to_string_lossy().into_owned(),
            Source::BuiltIn => "built-in configuration".to_owned(),
        }
    }

    /// Reads and checks everything that a gateway needs.
    ///
    /// # Errors
    /// Every problem of every file.
    pub(crate) fn load(&self, now_ms: i64) -> Result<Loaded, Problems> {
        self.load_in(now_ms, Purpose::Serve, Problems::default())
    }

    /// As [`Source::load`], once more: files of secrets and certificates that are in use are known.
    ///
    /// # Errors
    /// Every problem of every file.
    pub(crate) fn load_again(&self, now_ms: i64, live: &LiveFiles) -> Result<Loaded, Problems> {
        let mut problems = Problems::default();
        problems.live = live.clone();
        self.load_in(now_ms, Purpose::Serve, problems)
    }

    /// As [`Source::load`], for any purpose and with the environment of `problems`.
    pub(crate) fn load_in(
        &self,
        now_ms: i64,
        purpose: Purpose<'_>,
        problems: Problems,
    ) -> Result<Loaded, Problems> {
        if purpose.uses() == Uses::Everything {
            return self.load_sections(now_ms, purpose, problems, &|_| true);
        }
        let mut kept = problems.clone();
        kept.keep_unresolved();
        match self.load_sections(now_ms, purpose, kept.clone(), &|_| true) {
            // A variable that is not set leaves out a value without a default, perhaps in a section
            // that is not used.
            Err(found) if found.is_empty() => {
                match self
                    .load_sections(now_ms, purpose, kept, &|name| purpose.uses().section(name))
                {
                    Err(found) if found.is_empty() => {
                        self.load_sections(now_ms, purpose, problems, &|_| true)
                    }
                    result => result,
                }
            }
            result => result,
        }
    }

    /// Loads the wanted sections.
    fn load_sections(
        &self,
        now_ms: i64,
        purpose: Purpose<'_>,
        mut problems: Problems,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Loaded, Problems> {
        problems.folders = self.folders();
        let files = self.read(&mut problems);
        let joined = join(&files, wanted, &mut problems);
        let mut gateway_says = String::new();
        joined.gateway.write(&mut gateway_says);
        let gateway = RawGateway::read(&joined.gateway, &mut problems);
        let policy = RawPolicy::read(&joined.policy, &mut problems);
        let read = |raw| WordFiles::read(raw, &self.folders());
        let words = policy.as_ref().map(read).unwrap_or_default();
        let version = version(
            files
                .iter()
                .filter(|f| f.holds != Holds::Gateway || joined.has_policy(&f.name))
                .map(|f| &*f.text)
                .chain(words.texts()),
        );
        let shown = shown(gateway.as_ref(), policy.as_ref());
        let effective = gateway.as_ref().zip(policy.as_ref()).map(|(gateway, policy)| {
            let (gateway, policy) = ((&joined.gateway, gateway), (&joined.policy, policy));
            Effective::of(&ToWalk { gateway, policy, problems: &problems }, purpose.org())
        });
        let doubts = policy
            .as_ref()
            .zip(effective.as_ref())
            .map(|(policy, effective)| doubts::doubts(policy, &shown["policy"], effective));
        let doubts = doubts.unwrap_or_default();
        let places = places(&[&joined.gateway, &joined.policy], &files);
        let others = other_files(gateway.as_ref(), policy.as_ref(), &problems);
        // A file that is no YAML holds sections that were not seen.
        if let (Purpose::Serve, Some(raw), true) = (purpose, &policy, joined.is_whole) {
            check::ways_in(raw, &mut problems);
        }
        let settings = gateway.and_then(|raw| check::settings(&raw, &mut problems));
        let policy =
            policy.and_then(|raw| check::policy(&raw, &words, version, now_ms, &mut problems));
        if let (Some((settings, _)), Some(policy)) = (&settings, &policy) {
            problems.use_unresolved(|path| purpose.uses().value(path, settings, policy));
        }
        match (settings, policy) {
            (Some((settings, clickhouse)), Some(policy)) if problems.is_empty() => Ok(Loaded {
                clickhouse,
                policy,
                places,
                others,
                origin: Origin {
                    source: self.clone(),
                    settings: Arc::new(settings.clone()),
                    shown: Arc::new(shown),
                    effective: Arc::new(effective.unwrap_or_default()),
                    doubts,
                    live: problems.live,
                    snapshot: Snapshot {
                        sections: joined.sections,
                        gateway: hex(&sha256(gateway_says.as_bytes())),
                        words: words.stamps(),
                        files: files.into_iter().map(|f| (f.name, Content::Text(f.text))).collect(),
                    },
                },
                settings,
            }),
            _ => Err(problems),
        }
    }

    /// The names of the files and their present contents, unparsed.
    pub(crate) fn contents(&self) -> Vec<(String, Content)> {
        self.files(&mut Problems::default()).iter().map(Content::of).collect()
    }

    /// The folder of the configuration, if it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Source::Folder(folder) => Some(folder),
            Source::File(_) | Source::BuiltIn => None,
        }
    }

    /// The folders in which a change of a file would show.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        match self {
            Source::Folder(folder) => vec![folder.clone(), folder.join("policies")],
            Source::File(file) => {
                let parent =
                    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                vec![parent.to_owned()]
            }
            Source::BuiltIn => Vec::new(),
        }
    }

    /// The existing files.
    pub(crate) fn files(&self, problems: &mut Problems) -> Vec<ConfigFile> {
        match self {
            Source::BuiltIn => Vec::new(),
            Source::File(path) => vec![ConfigFile { path: path.clone(), holds: Holds::Both }],
            Source::Folder(folder) => {
                let gateway =
                    ["gateway.yaml", "gateway.yml"].map(|name| folder.join(name)).into_iter();
                // A dangling link counts as existing, and reading it is a problem.
                gateway
                    .filter(|path| fs::symlink_metadata(path).is_ok())
                    .map(|path| ConfigFile { path, holds: Holds::Gateway })
                    .chain(
                        yaml_files(&folder.join("policies"), problems)
                            .into_iter()
                            .map(|path| ConfigFile { path, holds: Holds::Policy }),
                    )
                    .collect()
            }
        }
    }

    fn read(&self, problems: &mut Problems) -> Vec<SourceFile> {
        let files = self.files(problems);
        files.iter().filter_map(|file| SourceFile::read(file, problems)).collect()
    }
}
