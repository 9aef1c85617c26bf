//! The files of a configuration, read within bounds.
//!
//! Level 2 of the map. Guarantees: at most [`FILES_MAX`] regular files of [`CONFIG_FILE_BYTES_MAX`]
//! bytes each; any other is a problem. Does not: check what stands in them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use aws_lc_rs::digest;

use super::{FILES_MAX, OtherFile};
use crate::bounds::CONFIG_FILE_BYTES_MAX;
use crate::config::check;
use crate::config::reader::place::{Place, Problems};
use crate::config::sections::{RawGateway, RawPolicy};
use crate::digest::hex;

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
    pub(crate) fn of(file: &ConfigFile) -> (String, Content) {
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
pub(crate) struct SourceFile {
    pub(crate) name: String,
    /// Index in the problems.
    pub(crate) file: usize,
    pub(crate) text: Arc<str>,
    pub(crate) holds: Holds,
}

impl SourceFile {
    /// A file that was read before.
    pub(crate) fn known(
        name: &str,
        content: &Content,
        problems: &mut Problems,
    ) -> Option<SourceFile> {
        let Content::Text(text) = content else { return None };
        let file = problems.file(name);
        Some(SourceFile { name: name.to_owned(), file, text: Arc::clone(text), holds: Holds::Both })
    }

    pub(crate) fn read(source: &ConfigFile, problems: &mut Problems) -> Option<SourceFile> {
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

pub(crate) fn other_files(
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

pub(crate) fn unreadable(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::Other => {
            format!("give a regular file of at most {} MiB", CONFIG_FILE_BYTES_MAX >> 20)
        }
        _ => "make it readable for this user, or remove it".to_owned(),
    };
    format!("cannot be read: {error}; {remedy}")
}

pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
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
pub(crate) fn yaml_files(folder: &Path, problems: &mut Problems) -> Vec<PathBuf> {
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
pub(crate) fn version<'a>(files: impl Iterator<Item = &'a str>) -> Arc<str> {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in files {
        // Lengths first, so that no two sets of files look alike.
        context.update(&(text.len() as u64).to_le_bytes());
        context.update(text.as_bytes());
    }
    Arc::from(&hex(context.finish().as_ref())[..12])
}
