//! From a path to a checked configuration: finds the files, joins their sections, checks them.
//!
//! A folder holds `gateway.yaml` and `policies/*.yaml`; sections may be split over as many policy
//! files as one likes, each section in one of them. A single file may hold everything. No path at
//! all is the built-in configuration.
//!
//! Bounds: [`FILES_MAX`] files of [`CONFIG_FILE_BYTES_MAX`] bytes each; beyond is a problem. Only
//! regular files are read.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use serde_json::{Value as Json, json};

use super::check;
use super::diagnosis::Places;
use super::doubts;
use super::effective::{Effective, Read as ToWalk};
use super::policy::{ClickHouseOptions, Policy, Settings};
use super::reader::node::{Name, Node, Value};
use super::reader::place::{Place, Problems, suggest};
use super::reader::shape::{Section, Shape};
use super::reader::yaml;
use super::sections::{RawGateway, RawPolicy};
use super::uses::Uses;
use super::words::{Stamp, WordFiles};
use crate::bounds::CONFIG_FILE_BYTES_MAX;
use crate::digest::{hex, sha256};
use crate::live::LiveFiles;

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
    pub(super) fn uses(self) -> Uses {
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
        let mut problems = Problems::default();
        let file = problems.file(&source.shown());
        let at = Place { file: Some(file), ..Place::built_in() };
        let text = "there is no policy file in this folder; put at least one into policies/*.yaml";
        problems.add(&at, text);
        return Err(problems);
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
/// Every problem of every file, but for variables that are not set.
pub(crate) fn load_to_show(path: Option<&Path>, org: Option<&str>) -> Result<Loaded, Problems> {
    Source::find(path)?.load_in(crate::clock::wall_ms(), Purpose::Show(org), Problems::default())
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

/// The keys that a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Those of `gateway.yaml`.
    Gateway,
    /// Those of a policy.
    Policy,
    /// All.
    Both,
}

/// A file of a configuration.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) holds: Holds,
}

/// The content of a file. A file that cannot be read differs from every text, so that its problem
/// is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(Arc<str>),
    /// The reason.
    Unreadable(String),
}

impl Content {
    /// The text; empty if it cannot be read.
    pub(crate) fn text(&self) -> &str {
        match self {
            Content::Text(text) => text,
            Content::Unreadable(_) => "",
        }
    }

    /// The name of a file and its present content.
    pub(super) fn of(file: &ConfigFile) -> (String, Content) {
        let mut problems = Problems::default();
        match SourceFile::read(file, &mut problems) {
            Some(file) => (file.name, Content::Text(file.text)),
            None => {
                let name = file.path.to_string_lossy().into_owned();
                (name, Content::Unreadable(problems.to_string()))
            }
        }
    }
}

/// One file as read.
pub(super) struct SourceFile {
    pub(super) name: String,
    /// Index in the problems.
    file: usize,
    pub(super) text: Arc<str>,
    holds: Holds,
}

impl SourceFile {
    /// A file that was read before.
    pub(super) fn known(
        name: &str,
        content: &Content,
        problems: &mut Problems,
    ) -> Option<SourceFile> {
        let Content::Text(text) = content else { return None };
        let file = problems.file(name);
        Some(SourceFile { name: name.to_owned(), file, text: Arc::clone(text), holds: Holds::Both })
    }

    pub(super) fn read(source: &ConfigFile, problems: &mut Problems) -> Option<SourceFile> {
        let (path, holds) = (&source.path, source.holds);
        let name = path.to_string_lossy().into_owned();
        let file = problems.file(&name);
        let at = Place { file: Some(file), ..Place::built_in() };
        let bytes = match read_bounded(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                problems.add(&at, unreadable(&error));
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => {
                let text: Arc<str> = Arc::from(text);
                problems.keep_text(file, Arc::clone(&text));
                Some(SourceFile { name, file, text, holds })
            }
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = good.iter().filter(|b| **b == b'\n').count() + 1;
                let start = good.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
                let column = String::from_utf8_lossy(&good[start..]).chars().count() + 1;
                let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
                problems.add(
                    &at.moved(number(line), number(column)),
                    "not UTF-8; save the file as UTF-8",
                );
                None
            }
        }
    }
}

fn other_files(
    gateway: Option<&RawGateway>,
    policy: Option<&RawPolicy>,
    problems: &Problems,
) -> Vec<OtherFile> {
    let file = |at: &Place, path: &Path| OtherFile {
        named_at: format!("{}: {}", problems.show(at), at.path),
        path: path.to_owned(),
    };
    let sides = gateway.into_iter().flat_map(|raw| [&raw.tls.value, &raw.admin.tls.value]);
    let tls = sides.flatten().flat_map(|tls| {
        let ca = tls.client_ca_file.value.as_deref().map(|path| file(&tls.client_ca_file.at, path));
        [file(&tls.cert_file.at, &tls.cert_file.value), file(&tls.key_file.at, &tls.key_file.value)]
            .into_iter()
            .chain(ca)
    });
    let jwks = policy.map(|raw| &raw.auth.value.jwt.value.jwks).filter(|given| {
        let text = given.value.trim();
        !text.is_empty() && !text.contains("://")
    });
    let providers = policy.into_iter().flat_map(|raw| &raw.providers.value.0);
    let credentials = providers
        .filter_map(|(_, provider)| provider.auth.value.as_ref())
        .flat_map(check::credential_files)
        .map(|(at, path)| file(at, path));
    tls.chain(jwks.map(|given| file(&given.at, Path::new(given.value.trim()))))
        .chain(credentials)
        .collect()
}

fn unreadable(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::Other => {
            format!("give a regular file of at most {} MiB", CONFIG_FILE_BYTES_MAX >> 20)
        }
        _ => "make it readable for this user, or remove it".to_owned(),
    };
    format!("cannot be read: {error}; {remedy}")
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer, so the kind comes first.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {} MiB", CONFIG_FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// The `*.yaml` and `*.yml` of a folder by name; hidden ones (editors' and Kubernetes' own) are not
/// meant.
pub(super) fn yaml_files(folder: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                let file = problems.file(&folder.to_string_lossy());
                problems.add(&Place { file: Some(file), ..Place::built_in() }, unreadable(&error));
            }
            Vec::new()
        }
    };
    paths.retain(|path| {
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        yaml && !hidden && !path.is_dir()
    });
    paths.sort();
    if paths.len() > FILES_MAX {
        let file = problems.file(&folder.to_string_lossy());
        let at = Place { file: Some(file), ..Place::built_in() };
        problems.add(&at, format!("{} policy files; use at most {FILES_MAX}", paths.len()));
        paths.truncate(FILES_MAX);
    }
    paths
}

/// Twelve hex digits of the SHA-256 of the policy files and the word lists.
pub(super) fn version<'a>(files: impl Iterator<Item = &'a str>) -> Arc<str> {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in files {
        // Lengths first, so that no two sets of files look alike.
        context.update(&(text.len() as u64).to_le_bytes());
        context.update(text.as_bytes());
    }
    Arc::from(&hex(context.finish().as_ref())[..12])
}

/// The top-level keys of all files, sorted into the two halves of the configuration.
pub(super) struct Joined {
    gateway: Node,
    pub(super) policy: Node,
    pub(super) sections: Vec<(String, String)>,
    /// Every file is YAML.
    pub(super) is_whole: bool,
}

impl Joined {
    /// Whether a file holds a section of the policy.
    pub(super) fn has_policy(&self, file: &str) -> bool {
        self.sections
            .iter()
            .any(|(key, name)| name == file && RawPolicy::KEYS.contains(&key.as_str()))
    }
}

pub(super) fn join(
    files: &[SourceFile],
    wanted: &dyn Fn(&str) -> bool,
    problems: &mut Problems,
) -> Joined {
    let mut gateway: Vec<(Name, Node)> = Vec::new();
    let mut policy: Vec<(Name, Node)> = Vec::new();
    let mut sections = Vec::new();
    let mut is_whole = true;
    for file in files {
        let Some(root) = yaml::parse(&file.text, Some(file.file), problems) else {
            is_whole = false;
            continue;
        };
        let entries = match root.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Failed => Vec::new(),
            Value::Scalar(_) | Value::List(_) => {
                is_whole = false;
                problems.add(
                    &root.at,
                    "not a mapping; write the name of a section, a colon and its keys",
                );
                continue;
            }
        };
        for (name, node) in entries {
            let half = if RawPolicy::KEYS.contains(&name.text.as_str()) {
                &mut policy
            } else if !RawGateway::KEYS.contains(&name.text.as_str()) {
                let known = RawGateway::KEYS
                    .iter()
                    .filter(|_| file.holds != Holds::Policy)
                    .chain(RawPolicy::KEYS)
                    .copied();
                problems.add(&name.at, format!("unknown key; {}", suggest(&name.text, known)));
                continue;
            } else if file.holds == Holds::Policy {
                problems.add(
                    &name.at,
                    "belongs in gateway.yaml, because it is read only at start; move it there",
                );
                continue;
            } else {
                &mut gateway
            };
            if let Some((first, _)) = half.iter().find(|(known, _)| known.text == name.text) {
                let first = problems.show(&first.at);
                problems.add(
                    &name.at,
                    format!("this section is already in {first}; keep one of the two"),
                );
                continue;
            }
            if !wanted(&name.text) {
                continue;
            }
            sections.push((name.text.clone(), file.name.clone()));
            half.push((name, node));
        }
    }
    let at = Place { file: files.first().map(|f| f.file), ..Place::built_in() };
    let node = |entries| Node { at: at.clone(), value: Value::Map(entries) };
    Joined { gateway: node(gateway), policy: node(policy), sections, is_whole }
}

/// The place of each value that a file has.
pub(super) fn places(nodes: &[&Node], files: &[SourceFile]) -> HashMap<String, (String, u32, u32)> {
    let mut places = HashMap::new();
    let mut left: Vec<&Node> = nodes.to_vec();
    while let Some(node) = left.pop() {
        let file = files.iter().find(|file| Some(file.file) == node.at.file);
        if let Some(file) = file.filter(|_| !node.at.path.is_empty()) {
            let place = (file.name.clone(), node.at.line, node.at.column);
            places.insert(node.at.path.to_string(), place);
        }
        match &node.value {
            Value::Map(entries) => left.extend(entries.iter().map(|(_, node)| node)),
            Value::List(nodes) => left.extend(nodes),
            Value::Scalar(_) | Value::Null | Value::Failed => {}
        }
    }
    places
}

fn shown(gateway: Option<&RawGateway>, policy: Option<&RawPolicy>) -> Json {
    json!({ "gateway": gateway.map(Shape::json), "policy": policy.map(Shape::json) })
}
